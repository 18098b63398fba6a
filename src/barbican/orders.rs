//! `/v1/orders` and `/v1/orders/ID` (contract §2.9).

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use serde_json::{Map, Value, json};

use super::{
    Request, content, dates,
    error::Refusal,
    json::Json,
    located, model, no_content, ok,
    schema::{Field, Schema, Type},
    secrets::{LABELS, content_type_of, labels},
};
use crate::{
    domain::{
        SecretValue, Timestamp,
        job::{Job, JobKind, JobState},
    },
    engine::{
        Error,
        ops::{
            jobs::{DeleteJob, ListJobs, ReadJob, SubmitJob},
            list_secrets::Filter,
        },
    },
};

pub(super) const ORDER: Schema = Schema {
    name: "Order",
    fields: &[
        Field::new("type", &[]).one_of(&["key", "asymmetric"]).required(),
        Field::new("meta", &[Type::Object]).required(),
    ],
    closed: false,
    names_missing: true,
};

/// The reference's own name of the schema, quotes and all.
pub(super) const META: Schema =
    Schema { name: "Secret' within 'Order", fields: LABELS, closed: false, names_missing: false };

/// Members that are not kept: they hold or may hold a passphrase or payload.
const SECRET_MEMBERS: &[&str] = &["passphrase", "pass_phrase", "payload"];

/// `POST /v1/orders`.
pub(super) async fn create(mut request: Request) -> Result<Response<Body>, Error> {
    let now = request.now();
    let order = request.json().await.and_then(|body| new_order(body, now));
    let id = request.execute_late(order).await?;
    // The reference service works orders off inside the request, and some clients count on it.
    request.gateway.jobs.settle(id, request.settings().order_wait).await;
    let href = order_ref(&request.base, id);
    Ok(located(StatusCode::ACCEPTED, &href, &json!({"order_ref": href})))
}

/// Judges a body, in the order in which the reference service does.
fn new_order(mut body: Json, now: Timestamp) -> Result<SubmitJob, Refusal> {
    ORDER.check(&body)?;
    let kind = match body.get("type").and_then(Json::text) {
        Some("asymmetric") => JobKind::Asymmetric,
        _ => JobKind::Key,
    };
    let meta = body.take("meta").unwrap_or(Json::Null);
    META.check(&meta)?;
    let mut labels = labels(&META, &meta, now)?;
    let given = meta.get("payload_content_type").and_then(Json::text).filter(|given| !given.is_empty());
    labels.content_type = Some(match given {
        Some(given) => content_type_of(&META, given)?.to_owned(),
        None => content::OCTETS.to_owned(),
    });
    let at_meta = |reason: String| ORDER.refuse(reason, Some("meta"));
    // The reference words the two kinds differently from text to text.
    let (required_for, refused_for) = match kind {
        JobKind::Key => ("key type order", "key type order"),
        JobKind::Asymmetric => ("asymmetric key type order", "asymmetric type order"),
    };
    if meta.get("payload").is_some() {
        if given.is_none() {
            let reason = "If 'payload' is supplied, 'payload_content_type' must also be supplied.";
            return Err(META.refuse(reason, Some("payload_content_type")));
        }
        return Err(at_meta(format!("'payload' not allowed for {refused_for}")));
    }
    if labels.algorithm.as_deref().is_none_or(str::is_empty) {
        return Err(at_meta(format!("'algorithm' is required field for {required_for}")));
    }
    let Some(bits) = labels.bit_length else {
        return Err(at_meta(format!("'bit_length' is required field for {required_for}")));
    };
    let curve = labels.algorithm.as_deref().is_some_and(|algorithm| algorithm.eq_ignore_ascii_case("ec"));
    let fits = if curve { matches!(bits, 256 | 384 | 521) } else { bits.is_multiple_of(8) };
    if !fits {
        return Err(Refusal::bad_request("Provided field value is not supported"));
    }
    let passphrase = match kind {
        JobKind::Key => None,
        JobKind::Asymmetric => passphrase(&meta)?,
    };
    Ok(SubmitJob { kind, meta: kept(&meta, labels.expiration), labels, passphrase })
}

/// `passphrase`, or `pass_phrase` as python-barbicanclient calls it; empty is none.
fn passphrase(meta: &Json) -> Result<Option<SecretValue>, Refusal> {
    for name in ["passphrase", "pass_phrase"] {
        match meta.get(name) {
            None | Some(Json::Null) => {}
            Some(Json::Text(text)) if text.is_empty() => {}
            Some(Json::Text(text)) => return Ok(Some(SecretValue::new(text.as_bytes().to_vec()))),
            Some(_) => return Err(META.refuse("<redacted> is not of type 'string'", Some(name))),
        }
    }
    Ok(None)
}

/// What the order shows as its `meta`: as sent, with `name` and `expiration` always there.
fn kept(meta: &Json, expiration: Option<Timestamp>) -> BTreeMap<String, String> {
    let members = meta.members().iter().filter(|(name, _)| !SECRET_MEMBERS.contains(&name.as_str()));
    let mut kept: BTreeMap<String, String> =
        members.map(|(name, value)| (name.clone(), value.to_value().to_string())).collect();
    kept.insert("expiration".to_owned(), Value::from(expiration.map(dates::show_micros)).to_string());
    kept.entry("name".to_owned()).or_insert_with(|| "null".to_owned());
    kept
}

/// `PUT /v1/orders`: policy decides who is told that there is no such thing.
pub(super) async fn update(request: Request) -> Result<Response<Body>, Error> {
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Order update is not supported.");
    request.execute_late(Err::<SubmitJob, _>(refusal)).await?;
    Ok(no_content())
}

/// `GET /v1/orders`.
pub(super) async fn list(request: Request) -> Result<Response<Body>, Error> {
    let window = request.window();
    let wanted = || {
        let text = request.query.filter("meta")?.map(str::to_owned);
        let filter: Option<Filter<Job>> = text.map(|text| {
            let keep: Filter<Job> = Box::new(move |job| meta(job).to_string().contains(&text));
            keep
        });
        Ok(ListJobs { filter, offset: window.offset, limit: window.limit })
    };
    let listed = request.execute_late(wanted()).await?;
    let url = format!("{}/v1/orders", request.base);
    Ok(ok(&window.answer("orders", &listed, |job| show(job, &request.base), &url, &request.query)))
}

/// `GET /v1/orders/ID`.
pub(super) async fn read(request: Request) -> Result<Response<Body>, Error> {
    let job = request.execute(ReadJob { job: request.id() }).await?;
    Ok(ok(&show(&job, &request.base)))
}

/// `DELETE /v1/orders/ID`.
pub(super) async fn delete(request: Request) -> Result<Response<Body>, Error> {
    request.execute(DeleteJob { job: request.id() }).await?;
    Ok(no_content())
}

fn order_ref(base: &str, id: crate::domain::UniqueIdentifier) -> String {
    format!("{base}/v1/orders/{id}")
}

fn meta(job: &Job) -> Value {
    let member = |(name, text): (&String, &String)| {
        // Each was written by `kept`; a damaged one is shown as nothing rather than hiding the order.
        (name.clone(), serde_json::from_str(text).unwrap_or(Value::Null))
    };
    Value::Object(job.meta.iter().map(member).collect::<Map<_, _>>())
}

fn show(job: &Job, base: &str) -> Value {
    let mut shown = json!({
        "created": dates::show(job.created),
        "updated": dates::show(job.updated),
        "type": match job.kind {
            JobKind::Key => "key",
            JobKind::Asymmetric => "asymmetric",
        },
        "meta": meta(job),
        "creator_id": job.creator,
        "order_ref": order_ref(base, job.identifier),
        "status": match job.state {
            JobState::Pending => "PENDING",
            JobState::Done { .. } => "ACTIVE",
            JobState::Failed { .. } => "ERROR",
        },
    });
    let Value::Object(members) = &mut shown else { return shown };
    let mut put = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
    match &job.state {
        JobState::Pending => {}
        JobState::Done { object, group } => {
            put("sub_status", Value::from("Unknown"));
            put("sub_status_message", Value::from("Unknown"));
            if let Some(id) = object {
                put("secret_ref", Value::String(model::secret_ref(base, *id)));
            }
            if let Some(id) = group {
                put("container_ref", Value::String(model::container_ref(base, *id)));
            }
        }
        JobState::Failed { code, reason } => {
            put("error_status_code", Value::String(code.to_string()));
            put("error_reason", Value::from(reason.as_str()));
        }
    }
    shown
}
