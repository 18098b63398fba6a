//! `/v1/transport_keys` (contract §2.12).

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use serde_json::{Value, json};

use super::{
    Request, dates,
    error::Refusal,
    json::Json,
    located, no_content, ok,
    schema::{Field, Schema, Type},
};
use crate::{
    domain::{UniqueIdentifier, project::TransportKey},
    engine::{
        Error,
        ops::{
            list_secrets::Listed,
            transport_keys::{ChangeTransportKeys, ReadTransportKeys, TransportKeyChange},
        },
    },
};

pub(super) const BODY: Schema = Schema {
    name: "Transport Key",
    fields: &[Field::new("plugin_name", &[Type::String]), Field::new("transport_key", &[Type::String])],
    closed: false,
    names_missing: false,
};

fn reference(base: &str, id: UniqueIdentifier) -> String {
    format!("{base}/v1/transport_keys/{id}")
}

/// `GET /v1/transport_keys`: references, and nothing else.
pub(super) async fn list(request: Request) -> Result<Response<Body>, Error> {
    let window = request.window();
    let plugin = request.query.filter("plugin_name").map(|name| name.map(str::to_owned));
    let (plugin, wanted) = match plugin {
        Ok(plugin) => (plugin, Ok(ReadTransportKeys { key: None })),
        Err(refusal) => (None, Err(refusal)),
    };
    let mut keys = request.execute_late(wanted).await?;
    keys.retain(|key| plugin.as_ref().is_none_or(|plugin| key.plugin_name == *plugin));
    let total = keys.len();
    let listed = Listed { records: keys.into_iter().skip(window.offset).take(window.limit).collect(), total };
    let show = |key: &TransportKey| Value::String(reference(&request.base, key.identifier));
    let url = format!("{}/v1/transport_keys", request.base);
    Ok(ok(&window.answer("transport_keys", &listed, show, &url, &request.query)))
}

/// `POST /v1/transport_keys`.
pub(super) async fn create(mut request: Request) -> Result<Response<Body>, Error> {
    let change = request.json().await.and_then(|body| new_key(&body)).map(|change| ChangeTransportKeys { change });
    let id = request.execute_late(change).await?;
    let href = reference(&request.base, id);
    Ok(located(StatusCode::CREATED, &href, &json!({"transport_key_ref": href})))
}

fn new_key(body: &Json) -> Result<TransportKeyChange, Refusal> {
    BODY.check(body)?;
    let required = |name: &str| {
        let text = body.get(name).and_then(Json::text).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| BODY.refuse(format!("{name} must be provided"), Some(name)))
    };
    Ok(TransportKeyChange::Add { plugin_name: required("plugin_name")?, text: required("transport_key")? })
}

/// `GET /v1/transport_keys/ID`.
pub(super) async fn read(request: Request) -> Result<Response<Body>, Error> {
    let found = request.execute(ReadTransportKeys { key: Some(request.id()) }).await?;
    let key = found.first().ok_or_else(Error::not_found)?;
    let created = dates::show_micros(key.created).replace('T', " ");
    Ok(ok(&json!({
        "id": key.identifier.to_string(),
        "plugin_name": key.plugin_name,
        "transport_key": key.text,
        "status": "ACTIVE",
        "created_at": created,
        "updated_at": created,
        "deleted": false,
        "deleted_at": null,
    })))
}

/// `DELETE /v1/transport_keys/ID`.
pub(super) async fn remove(request: Request) -> Result<Response<Body>, Error> {
    request.execute(ChangeTransportKeys { change: TransportKeyChange::Remove(request.id()) }).await?;
    Ok(no_content())
}

/// Why a request that names a transport key is refused: there is no such key, or no back-end of ours has its other half.
pub(super) async fn refuse(request: &Request, named: &str) -> Refusal {
    let known = match named.parse() {
        Ok(id) => request.gateway.engine.ports().store.transport_key(id).await.is_ok_and(|found| found.is_some()),
        Err(_) => false,
    };
    let reason =
        if known { "Secret store supported plugin not found." } else { "Provided transport key was not found." };
    Refusal::issue(StatusCode::BAD_REQUEST, request.operation, reason)
}
