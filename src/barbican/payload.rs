//! Payloads: reading them in the form that `Accept` asks for, and giving one late (contract §2.1.5, §2.2).

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, StatusCode, header},
};

use super::{
    Request, content,
    content::{NotWanted, Wanted},
    error::Refusal,
    extract::header_text,
    model, no_content, transport_keys,
};
use crate::{
    crypto::pem,
    domain::{ObjectType, Origin, SecretValue},
    engine::{
        Error, ErrorKind,
        ops::{
            payload::{Condition, ReadPayload},
            reveal::{Form, Revealed},
            set_value::SetValue,
        },
    },
};

/// `GET /v1/secrets/ID/payload`, and `GET /v1/secrets/ID` with the `Accept` of a payload.
pub(super) async fn read(request: Request) -> Result<Response<Body>, Error> {
    let operation = request.operation;
    let accept = header_text(&request.headers, header::ACCEPT);
    let wanted = content::wanted(accept.as_deref());
    let transport = transport_key(&request).await;
    let refusal = match (transport, &wanted) {
        (Some(refusal), _) => Some(refusal),
        (None, Ok(_)) => None,
        (None, Err(NotWanted::Unknown)) => Some(wrong_type(operation)),
        (None, Err(NotWanted::Misspelt(given))) => {
            let reason = format!("content-type of '{given}' not supported");
            Some(Refusal::issue(StatusCode::BAD_REQUEST, operation, &reason))
        }
    };
    let condition: Condition = (is_text, wrong_type(operation).into());
    let condition = matches!(wanted, Ok(Wanted::Text(_))).then_some(condition);
    let read = ReadPayload { secret: request.id(), refusal: refusal.map(Error::from), condition };
    let revealed = request.execute(read).await?;
    let stored = model::Secret(&revealed.object).content_type().unwrap_or(content::OCTETS).to_owned();
    let value = shown(revealed)?;
    let content_type = match wanted.unwrap_or(Wanted::Stored) {
        Wanted::Stored => stored,
        Wanted::Bytes(content_type) | Wanted::Text(content_type) => content_type.to_owned(),
    };
    let mut response = Response::new(Body::from(Bytes::from_owner(Outgoing(value))));
    let content_type = HeaderValue::from_str(&content_type).unwrap_or(HeaderValue::from_static(content::OCTETS));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

fn wrong_type(operation: &str) -> Refusal {
    Refusal::issue(StatusCode::NOT_ACCEPTABLE, operation, "Wrong payload content-type")
}

/// No back-end of ours wraps under transport keys; a request for a wrapped payload is told so. A key alone asks for nothing.
async fn transport_key(request: &Request) -> Option<Refusal> {
    request.query.last("trans_wrapped_session_key").filter(|session| !session.is_empty())?;
    match request.query.last("transport_key_id") {
        Some(named) => Some(Box::pin(transport_keys::refuse(request, named)).await),
        None => Some(Refusal::bad_request(
            "Transport key wrapped session key has been provided to wrap secrets for retrieval, but the transport key id \
             has not been provided.",
        )),
    }
}

/// The bytes that a client sees: those it gave, raw key bytes, or PEM of a key or certificate that has no such bytes.
fn shown(revealed: Revealed) -> Result<SecretValue, Error> {
    let Some(label) = label(&revealed) else { return Ok(revealed.value) };
    pem::encode_secret(label, &revealed.value)
        .map_err(|error| Error::new(ErrorKind::Internal, "the value cannot be encoded").because(error))
}

/// The label of the PEM that a value is shown in, if it is.
fn label(Revealed { object, form, .. }: &Revealed) -> Option<&'static str> {
    match (object.object_type, form) {
        (ObjectType::PrivateKey, Form::Canonical) => Some(pem::PRIVATE_KEY),
        (ObjectType::PublicKey, Form::Canonical) => Some(pem::PUBLIC_KEY),
        (ObjectType::Certificate, _) if object.origin == Origin::Kmip => Some(pem::CERTIFICATE),
        _ => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "text is given out only where the payload is UTF-8")]
fn is_text(revealed: &Revealed) -> bool {
    label(revealed).is_some() || std::str::from_utf8(revealed.value.expose_secret()).is_ok()
}

/// A payload on its way into the socket; zeroised when the last of it has been written.
struct Outgoing(SecretValue);

impl AsRef<[u8]> for Outgoing {
    #[expect(clippy::disallowed_methods, reason = "the payload leaves here, in the answer to the one who may read it")]
    fn as_ref(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

/// `PUT /v1/secrets/ID`: the second step of a two-step secret.
pub(super) async fn put(mut request: Request) -> Result<Response<Body>, Error> {
    let late = late_value(&mut request).await;
    request.execute_late(late).await?;
    Ok(no_content())
}

async fn late_value(request: &mut Request) -> Result<SetValue, Refusal> {
    let operation = request.operation;
    let given = header_text(&request.headers, header::CONTENT_TYPE).unwrap_or_default();
    let media = given.split(';').next().unwrap_or_default().trim();
    if !matches!(media, content::TEXT | content::OCTETS) {
        return Err(Refusal::content_type(&[content::OCTETS, content::TEXT]));
    }
    let issue = |status, reason: &str| Refusal::issue(status, operation, reason);
    let limit = request.settings().secret_bytes_max;
    let too_large = || issue(StatusCode::PAYLOAD_TOO_LARGE, "Provided information too large to process");
    let mut body = request.bytes(limit).await?.ok_or_else(too_large)?;
    if body.is_empty() {
        return Err(issue(StatusCode::BAD_REQUEST, "No data supplied to process."));
    }
    let wrong = |reason: &str| Error::from(issue(StatusCode::BAD_REQUEST, reason));
    let encoding = header_text(&request.headers, header::CONTENT_ENCODING);
    let value = if let Some(named) = request.query.last("transport_key_id") {
        Err(transport_keys::refuse(request, named).await.into())
    } else {
        match (media, encoding.as_deref()) {
            (content::OCTETS, Some("base64")) => content::decode(&body)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| wrong("Problem decoding payload")),
            (content::OCTETS, Some(_)) => {
                Err(wrong("Text-based binary secret payloads must specify a content-encoding of 'base64'"))
            }
            _ => Ok(SecretValue::new(std::mem::take(&mut *body))),
        }
    };
    Ok(SetValue { secret: request.id(), value, content_type: media.to_owned() })
}
