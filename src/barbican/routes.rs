//! Which verbs each place has, in one table.

use std::{future::Future, pin::Pin};

use axum::{
    body::Body,
    http::{Method, Response, StatusCode},
};

use super::{Request, error::Refusal, path::Kind, payload, secrets, versions};
use crate::engine::{Error, ErrorKind};

/// What an endpoint answers, later.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

/// One verb of one place.
pub(super) struct Row {
    pub(super) method: Method,
    /// Whether the answer is JSON, so that `Accept` is judged.
    pub(super) answers_json: bool,
    /// The operation's name in error texts (contract §1.9).
    pub(super) operation: &'static str,
    pub(super) run: fn(Request) -> Answering,
    /// Kinds of failure that have a text of their own here.
    pub(super) own: &'static [(ErrorKind, u16, &'static str)],
}

const JSON: bool = true;
const BARE: bool = false;

macro_rules! row {
    ($method:ident $json:ident $operation:literal $run:path) => {
        row!($method $json $operation $run, &[])
    };
    ($method:ident $json:ident $operation:literal $run:path, $own:expr) => {
        Row { method: Method::$method, answers_json: $json, operation: $operation, run: |request| Box::pin($run(request)), own: $own }
    };
}

/// The verbs of a place.
pub(super) const fn rows(kind: Kind) -> &'static [Row] {
    match kind {
        Kind::Version => &[row!(GET JSON "Version retrieval" versions::v1)],
        Kind::Secrets => {
            &[row!(GET JSON "Secret(s) retrieval" secrets::list), row!(POST JSON "Secret creation" secrets::create)]
        }
        Kind::Secret => &[
            row!(DELETE BARE "Secret deletion" secrets::delete),
            row!(GET BARE "Secret retrieval" secrets::read),
            row!(PUT BARE "Secret update" payload::put),
        ],
        Kind::Payload => &[row!(GET BARE "Secret payload retrieval" payload::read)],
        _ => &[],
    }
}

/// The answer to a verb that a place does not have.
pub(super) fn not_allowed(kind: Kind) -> Refusal {
    let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "");
    // The reference judges these two inside their handlers and sends no `Allow` with them.
    if !matches!(kind, Kind::Payload | Kind::MetadataItem) {
        let mut verbs: Vec<&str> = rows(kind).iter().map(|row| row.method.as_str()).collect();
        verbs.sort_unstable();
        refusal.allow = Some(verbs.join(", "));
    }
    refusal
}
