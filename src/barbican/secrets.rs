//! `/v1/secrets` and `/v1/secrets/ID`: create, list, read, delete (contract §2.1).

use axum::{
    body::Body,
    http::{Response, StatusCode, header},
};
use serde_json::json;

use super::{
    Request, content, dates,
    error::Refusal,
    extract::{Microversion, header_text},
    filters,
    json::Json,
    located, model, no_content, ok, payload,
    query::invalid,
    schema::{Field, Schema, Type, list as words},
    transport_keys,
};
use crate::{
    domain::{
        Origin, SecretValue, Timestamp, UsageMask,
        secret::{SecretFacet, SecretType},
    },
    engine::{
        Error,
        ops::{
            list_secrets::{ListSecrets, ReadSecret},
            register::Register,
            retire::Retire,
            secret_value::{self, algorithm_named, client_attributes, recognise},
        },
    },
};

const TYPES: &[&str] = &["symmetric", "passphrase", "private", "public", "certificate", "opaque"];

/// The labels that a secret and an order's `meta` share.
pub(super) const LABELS: &[Field] = &[
    Field::new("name", &[Type::String, Type::Null]).length(0, 255),
    Field::new("algorithm", &[Type::String]).length(0, 255),
    Field::new("bit_length", &[Type::Integer]).range(1, 32_767),
    Field::new("mode", &[Type::String]).length(0, 255),
    Field::new("expiration", &[Type::String]).length(0, 255),
    Field::new("payload_content_type", &[Type::String, Type::Null]),
];

pub(super) const SECRET: Schema = Schema { name: "Secret", fields: LABELS, closed: false, names_missing: false };
pub(super) const VALUE: Schema = Schema {
    name: "Secret",
    fields: &[
        Field::new("secret_type", &[]).one_of(TYPES),
        Field::new("payload", &[Type::String]),
        Field::new("payload_content_encoding", &[]).one_of(&["base64"]),
        Field::new("transport_key_needed", &[Type::String]).one_of(&["true", "false"]),
        Field::new("transport_key_id", &[Type::String]),
    ],
    closed: false,
    names_missing: false,
};

/// A secret that was asked for.
struct NewSecret {
    labels: SecretFacet,
    payload: Option<SecretValue>,
    /// The transport key that it names.
    transport_key: Option<String>,
}

/// `POST /v1/secrets`.
pub(super) async fn create(mut request: Request) -> Result<Response<Body>, Error> {
    let now = request.now();
    let limit = request.settings().secret_bytes_max;
    let operation = request.operation;
    let mut new = request.json().await.and_then(|body| new_secret(body, limit, now, operation));
    if let Ok(NewSecret { transport_key: Some(named), .. }) = &new {
        new = Err(transport_keys::refuse(&request, named).await);
    }
    let object = request.execute_late(new.map(|new| registration(new, now))).await?;
    let href = model::secret_ref(&request.base, object.identifier);
    Ok(located(StatusCode::CREATED, &href, &json!({"secret_ref": href})))
}

fn registration(new: NewSecret, now: Timestamp) -> Register {
    let origin = Origin::Barbican;
    let NewSecret { labels: secret, payload, .. } = new;
    match payload {
        Some(payload) => {
            let found = recognise(&secret, payload);
            Register {
                identifier: None,
                object_type: found.object_type,
                subtype: found.subtype,
                origin,
                format: found.format,
                value: Some(found.value),
                derived: found.derived,
                attributes: client_attributes(now, found.usage),
                secret,
            }
        }
        None => {
            let algorithm = secret.algorithm.as_deref().and_then(algorithm_named);
            let described = algorithm.map(|algorithm| secret_value::described(algorithm, secret.bit_length));
            Register {
                identifier: None,
                object_type: secret_value::object_type(secret.secret_type.unwrap_or_default()),
                subtype: None,
                origin,
                format: None,
                value: None,
                derived: described.unwrap_or_default(),
                attributes: client_attributes(now, UsageMask::default()),
                secret,
            }
        }
    }
}

/// Judges a body, in the order in which the reference service does.
fn new_secret(mut body: Json, limit: usize, now: Timestamp, operation: &str) -> Result<NewSecret, Refusal> {
    SECRET.check(&body)?;
    VALUE.check(&body)?;
    let text = |name: &str| body.get(name).and_then(Json::text).map(str::to_owned);
    let transport_key = text("transport_key_id");
    let mut labels = labels(&SECRET, &body, now)?;
    labels.secret_type = Some(text("secret_type").as_deref().and_then(SecretType::from_name).unwrap_or_default());
    if text("transport_key_needed").as_deref() == Some("true") {
        let reason = "Secret store supported plugin not found.";
        return Err(Refusal::issue(StatusCode::BAD_REQUEST, operation, reason));
    }
    let content_type = text("payload_content_type");
    let encoding = text("payload_content_encoding");
    let Some(payload) = body.take("payload") else {
        if body.get("payload_content_type").is_some() {
            let reason = "payload must be provided when payload_content_type is specified";
            return Err(SECRET.refuse(reason, Some("payload")));
        }
        return Ok(NewSecret { labels, payload: None, transport_key: None });
    };
    let payload = payload.text().unwrap_or_default();
    let at = |property, reason: &str| Err(SECRET.refuse(reason, Some(property)));
    let Some(given) = content_type else {
        let reason = "If 'payload' is supplied, 'payload_content_type' must also be supplied.";
        return at("payload_content_type", reason);
    };
    let content_type = content_type_of(&SECRET, &given)?;
    match (content_type == content::TEXT, encoding.is_some()) {
        (true, true) => return at("payload_content_encoding", "payload_content_encoding is not one of None"),
        (false, false) => {
            return at("payload_content_encoding", "payload_content_encoding is not one of ['base64', 'binary']");
        }
        (true, false) | (false, true) => {}
    }
    if payload.len() > limit {
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "Provided information too large to process"));
    }
    const EMPTY: &str = "If 'payload' specified, must be non empty";
    if payload.trim().is_empty() {
        return at("payload", EMPTY);
    }
    let value = if encoding.is_some() {
        let decoded = content::decode(payload.as_bytes());
        decoded.ok_or_else(|| SECRET.refuse("Invalid payload for payload_content_encoding", Some("payload")))?
    } else {
        SecretValue::new(payload.as_bytes().to_vec())
    };
    if value.is_empty() {
        return at("payload", EMPTY);
    }
    labels.content_type = Some(content_type.to_owned());
    Ok(NewSecret { labels, payload: Some(value), transport_key })
}

/// The stored form of a content type.
pub(super) fn content_type_of(schema: &Schema, given: &str) -> Result<&'static str, Refusal> {
    content::normalise(given).ok_or_else(|| {
        let reason = format!("payload_content_type is not one of {}", words(content::SUPPORTED));
        schema.refuse(reason, Some("payload_content_type"))
    })
}

/// The labels of a checked body.
pub(super) fn labels(schema: &Schema, body: &Json, now: Timestamp) -> Result<SecretFacet, Refusal> {
    let text = |name: &str| body.get(name).and_then(Json::text).map(str::to_owned);
    let expiration = match text("expiration").filter(|text| !text.trim().is_empty()) {
        None => None,
        Some(text) => {
            let at = dates::parse(&text)
                .ok_or_else(|| schema.refuse("Invalid date for 'expiration'", Some("expiration")))?;
            if at <= now {
                return Err(schema.refuse("'expiration' is before current time", Some("expiration")));
            }
            Some(at)
        }
    };
    Ok(SecretFacet {
        name: text("name"),
        algorithm: text("algorithm"),
        bit_length: body.get("bit_length").and_then(Json::integer).and_then(|bits| u32::try_from(bits).ok()),
        mode: text("mode"),
        expiration,
        ..SecretFacet::default()
    })
}

/// `GET /v1/secrets`.
pub(super) async fn list(request: Request) -> Result<Response<Body>, Error> {
    let (now, window) = (request.now(), request.window());
    let wanted = || {
        let filters::Wanted { name, narrow, filter } = filters::filter(&request.query)?;
        let filter = filters::shown_to(&request, filter);
        Ok::<_, Refusal>(ListSecrets {
            granted: request.query.once("acl_only")?.is_some_and(|value| value.eq_ignore_ascii_case("true")),
            name,
            narrow,
            filter,
            sort: filters::sort(&request.query, now)?,
            offset: window.offset,
            limit: window.limit,
        })
    };
    let listed = request.execute_late(wanted()).await?;
    let url = format!("{}/v1/secrets", request.base);
    let shown = window.answer(
        "secrets",
        &listed,
        |object| model::Secret(object).show(&request.base, now, request.version),
        &url,
        &request.query,
    );
    Ok(ok(&shown))
}

/// `GET /v1/secrets/ID`: the metadata, or, for old clients, the payload (contract §2.1.4).
pub(super) async fn read(mut request: Request) -> Result<Response<Body>, Error> {
    match header_text(&request.headers, header::ACCEPT).as_deref() {
        None | Some("application/json" | "*/*") => {
            let object = request.execute(ReadSecret { secret: request.id() }).await?;
            Ok(ok(&model::Secret(&object).show(&request.base, request.now(), request.version)))
        }
        Some(_) => {
            request.rule = Some("secret:decrypt");
            Box::pin(payload::read(request)).await
        }
    }
}

/// `DELETE /v1/secrets/ID`.
pub(super) async fn delete(request: Request) -> Result<Response<Body>, Error> {
    let secret = request.id();
    let guarded = request.version >= Microversion::V1_2;
    let force = if guarded { force(&request) } else { Ok(true) };
    request.execute_late(force.map(|force| Retire { secret, respect_consumers: !force })).await?;
    Ok(no_content())
}

/// `force`, in all the words that the reference takes for true and false.
fn force(request: &Request) -> Result<bool, Refusal> {
    let Some(value) = request.query.once("force")? else { return Ok(false) };
    match value.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Ok(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Ok(false),
        _ => Err(invalid()),
    }
}
