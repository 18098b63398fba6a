//! `/v1/secrets/ID/metadata` and its items: free keys and values (contract §2.3).

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use serde_json::json;

use super::{
    Request,
    error::{Refusal, json_response},
    json::Json,
    located, model, no_content, ok,
    schema::{Field, Schema, Type},
};
use crate::engine::{
    Error, ErrorKind, Judged,
    ops::metadata::{ChangeMetadata, MetadataChange, ReadMetadata},
};

const LENGTH_MAX: usize = 255;

pub(super) const ALL: Schema = Schema {
    name: "SecretMetadata",
    fields: &[Field::new("metadata", &[Type::Object]).required()],
    closed: false,
    names_missing: true,
};

pub(super) const ITEM: Schema = Schema {
    name: "SecretMetadatum",
    fields: &[
        Field::new("key", &[Type::String]).length(0, LENGTH_MAX).required(),
        Field::new("value", &[Type::String]).length(0, LENGTH_MAX).required(),
    ],
    closed: true,
    names_missing: true,
};

/// The texts of the failures that mean something of their own here.
pub(super) const OWN: &[(ErrorKind, u16, &str)] = &[
    (ErrorKind::AlreadyExists, 409, "Conflict. Key in request is already in the secret metadata"),
    (ErrorKind::AttributeMissing, 404, "Secret metadata not found."),
];

/// `GET …/metadata`.
pub(super) async fn read_all(request: Request) -> Result<Response<Body>, Error> {
    let metadata = request.execute(ReadMetadata { secret: request.id() }).await?;
    Ok(ok(&json!({"metadata": metadata})))
}

/// `PUT …/metadata`: these and no others.
pub(super) async fn replace_all(mut request: Request) -> Result<Response<Body>, Error> {
    let secret = request.id();
    let all = request.json().await.and_then(|body| all_of(&body));
    let change = all.map(|all| ChangeMetadata { secret, change: MetadataChange::ReplaceAll(all) });
    request.execute_late(change).await?;
    let href = format!("{}/metadata", model::secret_ref(&request.base, secret));
    Ok(json_response(StatusCode::CREATED, &json!({"metadata_ref": href})))
}

fn all_of(body: &Json) -> Result<BTreeMap<String, String>, Refusal> {
    ALL.check(body)?;
    let mut all = BTreeMap::new();
    for (key, value) in body.get("metadata").map(Json::members).unwrap_or_default() {
        let not_text = || Refusal::bad_request("Invalid Metadata. Keys and Values must be Strings.");
        let value = value.text().ok_or_else(not_text)?;
        let key = valid_key(key)?;
        if let Some(long) = [key.as_str(), value].into_iter().find(|text| text.chars().count() > LENGTH_MAX) {
            return Err(ALL.refuse(format!("'{long}' is too long"), Some("metadata")));
        }
        // Of keys that differ in case only the first counts.
        all.entry(key).or_insert_with(|| value.to_owned());
    }
    Ok(all)
}

/// Keys are kept in lower case and must do as a part of a URL.
fn valid_key(key: &str) -> Result<String, Refusal> {
    let valid = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if valid { Ok(key.to_ascii_lowercase()) } else { Err(Refusal::bad_request("Invalid Key. Key must be URL safe.")) }
}

fn item_of(body: &Json) -> Result<(String, String), Refusal> {
    ITEM.check(body)?;
    let text = |name| body.get(name).and_then(Json::text).unwrap_or_default();
    Ok((valid_key(text("key"))?, text("value").to_owned()))
}

/// `POST …/metadata`: one more.
pub(super) async fn add(mut request: Request) -> Result<Response<Body>, Error> {
    let secret = request.id();
    let item = request.json().await.and_then(|body| item_of(&body));
    let answer = item.as_ref().ok().cloned();
    let change = item.map(|(key, value)| ChangeMetadata { secret, change: MetadataChange::Add(key, value) });
    request.execute_late(change).await?;
    let (key, value) = answer.ok_or_else(Error::not_found)?;
    let href = format!("{}/metadata/{key}", model::secret_ref(&request.base, secret));
    Ok(located(StatusCode::CREATED, &href, &json!({"key": key, "value": value})))
}

/// `GET …/metadata/KEY`.
pub(super) async fn read(request: Request) -> Result<Response<Body>, Error> {
    let key = request.place.tail.clone();
    let wanted = key.clone();
    let judge = move |mut metadata: BTreeMap<String, String>| {
        let missing = || Error::new(ErrorKind::AttributeMissing, "the key is not in the metadata");
        metadata.remove(&wanted).ok_or_else(missing)
    };
    let value = request.execute(Judged { operation: ReadMetadata { secret: request.id() }, judge }).await?;
    Ok(ok(&json!({"key": key, "value": value})))
}

/// `PUT …/metadata/KEY`: another value.
pub(super) async fn replace(mut request: Request) -> Result<Response<Body>, Error> {
    let (secret, path_key) = (request.id(), request.place.tail.to_ascii_lowercase());
    let item = request.json().await.and_then(|body| item_of(&body)).and_then(|(key, value)| {
        let differs = Refusal::new(StatusCode::CONFLICT, "Key in request data does not match key in the ");
        if key == path_key { Ok((key, value)) } else { Err(differs) }
    });
    let answer = item.as_ref().ok().cloned();
    let change = item.map(|(key, value)| ChangeMetadata { secret, change: MetadataChange::Replace(key, value) });
    request.execute_late(change).await?;
    let (key, value) = answer.ok_or_else(Error::not_found)?;
    Ok(ok(&json!({"key": key, "value": value})))
}

/// `DELETE …/metadata/KEY`: a key that is not there is a success, too.
pub(super) async fn remove(request: Request) -> Result<Response<Body>, Error> {
    let change = MetadataChange::Remove(request.place.tail.clone());
    request.execute(ChangeMetadata { secret: request.id(), change }).await?;
    Ok(no_content())
}
