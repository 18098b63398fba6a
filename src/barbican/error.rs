//! How failures become answers: one table from the engine's kinds to status and text (contract §1.8, §1.9).
//!
//! A [`Refusal`] is a failure that the front end words itself. It may travel through the engine inside an [`Error`], so that
//! lookup and policy come first; on the way out it is found again and answered as it was written.

use std::{borrow::Cow, error::Error as _, fmt, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde::Serialize;
use serde_json::json;

use crate::engine::{Error, ErrorKind};

/// A failure with its status and description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// `null` where the API says nothing.
    pub(super) description: Option<Cow<'static, str>>,
    /// The `Allow` header of a 405.
    pub(super) allow: Option<String>,
    /// After how long it is worth another try, where that is known.
    pub(super) again: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, description: impl Into<Cow<'static, str>>) -> Self {
        Self { status, description: Some(description.into()), allow: None, again: None }
    }

    pub(super) fn bad_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, description)
    }

    pub(super) fn malformed_json() -> Self {
        Self::bad_request("Malformed JSON")
    }

    pub(super) fn not_found(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, description)
    }

    pub(super) const fn not_acceptable() -> Self {
        Self { status: StatusCode::NOT_ACCEPTABLE, description: None, allow: None, again: None }
    }

    pub(super) fn content_type(expected: &[&str]) -> Self {
        let expected = super::schema::list(expected);
        let text = format!("Unexpected content type. Expected content types are: {expected}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
    }

    /// `"{operation} issue seen - {reason}."`
    pub(super) fn issue(status: StatusCode, operation: &str, reason: &str) -> Self {
        Self::new(status, format!("{operation} issue seen - {reason}."))
    }

    /// The answer.
    pub(super) fn into_response(self) -> Response<Body> {
        let body = json!({
            "code": self.status.as_u16(),
            "title": title(self.status),
            "description": self.description,
        });
        let mut response = json_response(self.status, &body);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            // Where nobody knows better: a lost link is back within a second or two.
            let again = self.again.map_or(1, |again| again.as_secs() + u64::from(again.subsec_nanos() > 0));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(again));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    /// The kind is what audit and metrics say; the text stays in the refusal.
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal.status {
            StatusCode::NOT_FOUND => ErrorKind::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => ErrorKind::UnsupportedOperation,
            StatusCode::NOT_ACCEPTABLE | StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorKind::FormatUnsupported,
            StatusCode::CONFLICT => ErrorKind::AlreadyExists,
            StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::TooLarge,
            StatusCode::FORBIDDEN => ErrorKind::Denied,
            _ => ErrorKind::Malformed,
        };
        Self::new(kind, "refused by the front end").because(refusal)
    }
}

/// What most answers have room in.
const JSON_BYTES: usize = 512;

/// A JSON answer.
pub(super) fn json_response(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let mut text = Vec::with_capacity(JSON_BYTES);
    let written = serde_json::to_writer(&mut text, body);
    if let Err(error) = &written {
        tracing::error!(%error, "an answer cannot be written as JSON");
        text.clear();
    }
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = if written.is_ok() { status } else { StatusCode::INTERNAL_SERVER_ERROR };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The title of a status, where the API and HTTP differ the API's.
pub(super) fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        other => other.canonical_reason().unwrap_or("Error"),
    }
}

/// The words that an endpoint adds to its failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// The operation's name, typos of the reference included.
    pub(super) operation: &'static str,
    /// What is said when the target does not exist.
    pub(super) missing: &'static str,
    /// Kinds that mean something of their own here.
    pub(super) own: &'static [(ErrorKind, u16, &'static str)],
}

/// Where the description comes from.
enum Text {
    /// The endpoint's words for a missing target.
    Missing,
    /// This, as it is.
    Plain(&'static str),
    /// This, as an issue of the operation.
    Issue(&'static str),
    /// The error's own public text, as an issue of the operation.
    Public,
    /// The policy refusal.
    NotAllowed,
    /// Nothing that the client could use.
    Administrator,
}

/// The table. Kinds that only the other protocol can meet are there, too: a new one asks for a decision.
const fn row(kind: ErrorKind) -> (StatusCode, Text) {
    use ErrorKind as K;
    use StatusCode as S;
    match kind {
        K::NotFound | K::Destroyed | K::Obliterated | K::Archived => (S::NOT_FOUND, Text::Missing),
        K::ValueMissing => (S::NOT_FOUND, Text::Plain("Not Found. Sorry but your secret has no payload.")),
        K::ValuePresent => (S::CONFLICT, Text::Plain("Secret already has data, cannot modify it.")),
        K::Foreign | K::Denied | K::NotAuthorised => (S::FORBIDDEN, Text::NotAllowed),
        K::QuotaReached => (S::FORBIDDEN, Text::Issue("Creation not allowed because a quota has been reached")),
        K::NotExtractable | K::Sensitive | K::WrongUsage | K::UsageSpent | K::AllocationRefused | K::LeaseRefused => {
            (S::FORBIDDEN, Text::Public)
        }
        K::InUse => (S::BAD_REQUEST, Text::Public),
        K::TooLarge => (S::PAYLOAD_TOO_LARGE, Text::Issue("Provided information too large to process")),
        K::Unauthenticated => (S::UNAUTHORIZED, Text::Plain("The request you have made requires authentication.")),
        K::Conflict | K::AlreadyExists | K::NameTaken | K::NameTakenOnChange | K::WrongState | K::IllegalTransition => {
            (S::CONFLICT, Text::Public)
        }
        K::UnsupportedOperation => (S::METHOD_NOT_ALLOWED, Text::Plain("")),
        K::Malformed
        | K::Missing
        | K::InvalidField
        | K::InvalidAttributeValue
        | K::UnknownAttribute
        | K::AttributeReadOnly
        | K::AttributeSingleValued
        | K::AttributeMultiValued
        | K::AttributeMissing
        | K::TooManyAttributes
        | K::WrongDataType
        | K::OutOfRange
        | K::FormatUnsupported
        | K::WrongObjectType
        | K::WrappingKeyMissing
        | K::WrappingKeyWrongType
        | K::WrappingKeyWrongUsage
        | K::WrappingKeyWrongState
        | K::WrappingKeyDestroyed
        | K::WrappingKeyArchived
        | K::WrapTypeUnsupported
        | K::NoUsageLimit
        | K::OffsetImpossible
        | K::WrappingEncoding
        | K::UnsupportedFeature
        | K::UnsupportedParameters
        | K::BadParameters
        | K::IvMissing
        | K::RequirementUnmet
        | K::TagLength
        | K::Cryptographic => (S::BAD_REQUEST, Text::Public),
        K::Full => (S::INSUFFICIENT_STORAGE, Text::Public),
        K::Busy | K::Unavailable => (S::SERVICE_UNAVAILABLE, Text::Public),
        K::Internal => (S::INTERNAL_SERVER_ERROR, Text::Administrator),
    }
}

/// The answer to a failure, in the endpoint's words.
pub(super) fn refusal_of(error: &Error, words: Words) -> Refusal {
    if let Some(refusal) = error.source().and_then(|source| source.downcast_ref::<Refusal>()) {
        return refusal.clone();
    }
    if let Some((_, status, text)) = words.own.iter().find(|(kind, ..)| *kind == error.kind) {
        return Refusal::new(StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), *text);
    }
    let (status, text) = row(error.kind);
    let operation = words.operation;
    let refusal = match text {
        Text::Missing => Refusal::new(status, words.missing),
        Text::Plain(text) => Refusal::new(status, text),
        Text::Issue(reason) => Refusal::issue(status, operation, reason),
        Text::Public => Refusal::issue(status, operation, &error.public),
        Text::NotAllowed => {
            let text = format!("{operation} attempt not allowed - please review your user/project privileges");
            Refusal::new(status, text)
        }
        Text::Administrator => {
            Refusal::new(status, format!("{operation} failure seen - please contact site administrator."))
        }
    };
    Refusal { again: error.again, ..refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Words = Words {
        operation: "Secret retrieval",
        missing: "Secret not found.",
        own: &[(ErrorKind::AlreadyExists, 409, "Conflict.")],
    };

    fn text(kind: ErrorKind) -> (u16, String) {
        let refusal = refusal_of(&Error::new(kind, "the reason"), WORDS);
        (refusal.status.as_u16(), refusal.description.unwrap().into_owned())
    }

    #[test]
    fn kinds_are_worded_by_the_table() {
        for (kind, status, expected) in [
            (ErrorKind::NotFound, 404, "Secret not found."),
            (ErrorKind::AlreadyExists, 409, "Conflict."),
            (
                ErrorKind::Foreign,
                403,
                "Secret retrieval attempt not allowed - please review your user/project privileges",
            ),
            (ErrorKind::BadParameters, 400, "Secret retrieval issue seen - the reason."),
            (ErrorKind::Internal, 500, "Secret retrieval failure seen - please contact site administrator."),
        ] {
            assert_eq!(text(kind), (status, expected.to_owned()), "{kind:?}");
        }
    }

    #[test]
    fn every_failure_is_an_error_status() {
        for kind in ErrorKind::ALL {
            assert!(text(*kind).0 >= 400, "{kind:?}");
        }
    }

    #[test]
    fn a_refusal_comes_back_from_the_engine_as_it_was() {
        let refusal = Refusal::bad_request("Malformed JSON");
        assert_eq!(refusal_of(&refusal.clone().into(), WORDS), refusal);
    }
}
