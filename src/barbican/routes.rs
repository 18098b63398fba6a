//! Which verbs each place has, in one table.

use std::{future::Future, pin::Pin};

use axum::{
    body::Body,
    http::{Method, Response, StatusCode},
};

use super::{
    Request, acls, consumers, containers,
    error::Refusal,
    metadata, orders,
    path::{Kind, Place},
    payload, quotas, secrets, versions,
};
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
        Kind::Metadata => &[
            row!(GET JSON "Secret metadata retrieval" metadata::read_all),
            row!(POST JSON "Secret metadatum creation" metadata::add, metadata::OWN),
            row!(PUT JSON "Secret metadata creation" metadata::replace_all),
        ],
        Kind::MetadataItem => &[
            row!(DELETE JSON "Secret metadatum removal" metadata::remove),
            row!(GET JSON "Secret metadatum retrieval" metadata::read, metadata::OWN),
            row!(PUT JSON "Secret metadatum update" metadata::replace, metadata::OWN),
        ],
        Kind::SecretAcl => &[
            row!(DELETE JSON "SecretACL(s) deletion" acls::remove),
            row!(GET JSON "SecretACL(s) retrieval" acls::read),
            row!(PATCH JSON "SecretACL(s) Update" acls::merge),
            row!(PUT JSON "SecretACL(s) Update" acls::replace),
        ],
        Kind::SecretConsumers => &[
            row!(DELETE JSON "SecretConsumer deletion" consumers::remove, consumers::OWN),
            row!(GET JSON "SecretConsumers(s) retrieval" consumers::list),
            row!(POST JSON "SecretConsumer creation" consumers::add),
        ],
        Kind::SecretConsumer | Kind::ContainerConsumer => &[],
        Kind::Containers => &[
            row!(GET JSON "Containers(s) retrieval" containers::list),
            row!(POST JSON "Container creation" containers::create),
        ],
        Kind::Container => &[
            row!(DELETE BARE "Container deletion" containers::delete),
            row!(GET JSON "Container retrieval" containers::read),
        ],
        Kind::ContainerSecrets => &[
            row!(DELETE BARE "Container Secret deletion" containers::remove, containers::MEMBERS_OWN),
            row!(POST JSON "Container Secret creation" containers::add, containers::MEMBERS_OWN),
        ],
        Kind::ContainerAcl => &[
            row!(DELETE JSON "ContainerACL(s) deletion" acls::remove),
            row!(GET JSON "ContainerACL(s) retrieval" acls::read),
            row!(PATCH JSON "ContainerACL(s) Update" acls::merge),
            row!(PUT JSON "ContainerACL(s) Update" acls::replace),
        ],
        Kind::ContainerConsumers => &[
            row!(DELETE JSON "ContainerConsumer deletion" consumers::remove, consumers::OWN),
            row!(GET JSON "ContainerConsumers(s) retrieval" consumers::list),
            row!(POST JSON "ContainerConsumer creation" consumers::add),
        ],
        Kind::Orders => &[
            row!(GET JSON "Order(s) retrieval" orders::list),
            row!(POST JSON "Order creation" orders::create),
            row!(PUT BARE "Order update" orders::update),
        ],
        Kind::Order => {
            &[row!(DELETE BARE "Order deletion" orders::delete), row!(GET JSON "Order retrieval" orders::read)]
        }
        Kind::Quotas => &[row!(GET JSON "Quotas" quotas::read)],
    }
}

/// The answer to a verb that a place does not have.
pub(super) fn absent(place: &Place) -> Refusal {
    if matches!(place.kind, Kind::SecretConsumer | Kind::ContainerConsumer) {
        return consumers::missing(&place.tail);
    }
    let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "");
    // The reference judges these two inside their handlers and sends no `Allow` with them.
    if !matches!(place.kind, Kind::Payload | Kind::MetadataItem) {
        // Updating orders is offered to say no.
        let offered = rows(place.kind).iter().filter(|row| place.kind != Kind::Orders || row.method != Method::PUT);
        let mut verbs: Vec<&str> = offered.map(|row| row.method.as_str()).collect();
        verbs.sort_unstable();
        refusal.allow = Some(verbs.join(", "));
    }
    refusal
}
