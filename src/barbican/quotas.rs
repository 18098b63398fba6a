//! `/v1/quotas` and `/v1/project-quotas` (contract §2.10).

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use serde_json::{Value, json};

use super::{
    Request,
    error::Refusal,
    json::Json,
    no_content, ok,
    schema::{Field, Schema, Type},
};
use crate::{
    domain::{ProjectId, project::Quotas},
    engine::{
        Error, ErrorKind,
        ops::quotas::{ChangeProjectQuotas, QuotaChange, ReadProjectQuotas, ReadQuotas},
    },
};

pub(super) const BODY: Schema = Schema {
    name: "Project Quota",
    fields: &[Field::new("project_quotas", &[Type::Object]).required()],
    closed: true,
    names_missing: false,
};

pub(super) const QUOTAS: Schema = Schema {
    name: "Project Quota",
    fields: &[
        Field::new("secrets", &[Type::Integer]),
        Field::new("orders", &[Type::Integer]),
        Field::new("containers", &[Type::Integer]),
        Field::new("consumers", &[Type::Integer]),
        Field::new("cas", &[Type::Integer]),
    ],
    closed: true,
    names_missing: false,
};

/// The text of the failure that means something of its own here.
pub(super) const OWN: &[(ErrorKind, u16, &str)] = &[(ErrorKind::AttributeMissing, 404, "Project quotas not found.")];

/// `GET /v1/quotas`: what is in force. `cas` is a leftover that clients compare.
pub(super) async fn read(request: Request) -> Result<Response<Body>, Error> {
    let quotas = request.execute(ReadQuotas).await?;
    let unlimited =
        Quotas { secrets: Some(-1), orders: Some(-1), containers: Some(-1), consumers: Some(-1), cas: Some(-1) };
    Ok(ok(&json!({"quotas": shown(quotas.or(unlimited))})))
}

fn shown(quotas: Quotas) -> Value {
    json!({
        "secrets": quotas.secrets,
        "orders": quotas.orders,
        "containers": quotas.containers,
        "consumers": quotas.consumers,
        "cas": quotas.cas,
    })
}

/// `GET /v1/project-quotas`: the projects with quotas of their own.
pub(super) async fn list(request: Request) -> Result<Response<Body>, Error> {
    let window = request.window();
    let listed =
        request.execute(ReadProjectQuotas { project: None, offset: window.offset, limit: window.limit }).await?;
    let show =
        |(project, quotas): &(ProjectId, Quotas)| json!({"project_id": project.0, "project_quotas": shown(*quotas)});
    let url = format!("{}/v1/project-quotas", request.base);
    Ok(ok(&window.answer("project_quotas", &listed, show, &url, &request.query)))
}

fn project(request: &Request) -> ProjectId {
    ProjectId(request.place.tail.clone())
}

/// `GET /v1/project-quotas/P`.
pub(super) async fn read_one(request: Request) -> Result<Response<Body>, Error> {
    let wanted = ReadProjectQuotas { project: Some(project(&request)), offset: 0, limit: 1 };
    let listed = request.execute(wanted).await?;
    let quotas = listed.records.first().map(|(_, quotas)| shown(*quotas));
    Ok(ok(&json!({"project_quotas": quotas})))
}

/// `PUT /v1/project-quotas/P`: what is not named stays as it is.
pub(super) async fn replace(mut request: Request) -> Result<Response<Body>, Error> {
    let quotas = quotas_of(&mut request).await;
    let project = project(&request);
    request
        .execute_late(quotas.map(|quotas| ChangeProjectQuotas { project, change: QuotaChange::Merge(quotas) }))
        .await?;
    Ok(no_content())
}

async fn quotas_of(request: &mut Request) -> Result<Quotas, Refusal> {
    request.requires_json()?;
    let limit = request.settings().request_bytes_max;
    let bytes = request.bytes(limit).await?.ok_or_else(Refusal::malformed_json)?;
    if bytes.is_empty() {
        return Err(Refusal::issue(StatusCode::BAD_REQUEST, request.operation, "No data supplied to process."));
    }
    let body = Json::parse(&bytes, None).ok_or_else(Refusal::malformed_json)?;
    BODY.check(&body)?;
    let Some(quotas) = body.get("project_quotas") else { return Ok(Quotas::default()) };
    QUOTAS.check_under(quotas, Some("project_quotas"))?;
    let of = |name: &str| quotas.get(name).and_then(Json::integer);
    Ok(Quotas {
        secrets: of("secrets"),
        orders: of("orders"),
        containers: of("containers"),
        consumers: of("consumers"),
        cas: of("cas"),
    })
}

/// `DELETE /v1/project-quotas/P`.
pub(super) async fn remove(request: Request) -> Result<Response<Body>, Error> {
    let project = project(&request);
    request.execute(ChangeProjectQuotas { project, change: QuotaChange::Remove }).await?;
    Ok(no_content())
}
