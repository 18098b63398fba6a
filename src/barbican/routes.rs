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
    payload, quotas, secrets, stores, transport_keys, versions,
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
    /// The rule that it is measured by.
    pub(super) rule: Option<&'static str>,
    pub(super) run: fn(Request) -> Answering,
    /// Kinds of failure that have a text of their own here.
    pub(super) own: &'static [(ErrorKind, u16, &'static str)],
}

const JSON: bool = true;
const BARE: bool = false;

macro_rules! row {
    ($method:ident $json:ident $operation:literal $rule:tt $run:path) => {
        row!($method $json $operation $rule $run, &[])
    };
    ($method:ident $json:ident $operation:literal $rule:tt $run:path, $own:expr) => {
        Row {
            method: Method::$method,
            answers_json: $json,
            operation: $operation,
            rule: row!(@rule $rule),
            run: |request| Box::pin($run(request)),
            own: $own,
        }
    };
    (@rule _) => { None };
    (@rule $rule:literal) => { Some($rule) };
}

/// A verb of a place.
pub(super) fn row(kind: Kind, method: &Method) -> Option<&'static Row> {
    rows(kind).iter().find(|row| row.method == *method)
}

/// The verbs of a place.
pub(super) const fn rows(kind: Kind) -> &'static [Row] {
    match kind {
        Kind::Version => &[row!(GET JSON "Version retrieval" _ versions::v1)],
        Kind::Secrets => &[
            row!(GET JSON "Secret(s) retrieval" "secrets:get" secrets::list),
            row!(POST JSON "Secret creation" "secrets:post" secrets::create),
        ],
        Kind::Secret => &[
            row!(DELETE BARE "Secret deletion" "secret:delete" secrets::delete),
            row!(GET BARE "Secret retrieval" "secret:get" secrets::read),
            row!(PUT BARE "Secret update" "secret:put" payload::put),
        ],
        Kind::Payload => &[row!(GET BARE "Secret payload retrieval" "secret:decrypt" payload::read)],
        Kind::Metadata => &[
            row!(GET JSON "Secret metadata retrieval" "secret_meta:get" metadata::read_all),
            row!(POST JSON "Secret metadatum creation" "secret_meta:post" metadata::add, metadata::OWN),
            row!(PUT JSON "Secret metadata creation" "secret_meta:put" metadata::replace_all),
        ],
        Kind::MetadataItem => &[
            row!(DELETE JSON "Secret metadatum removal" "secret_meta:delete" metadata::remove),
            row!(GET JSON "Secret metadatum retrieval" "secret_meta:get" metadata::read, metadata::OWN),
            row!(PUT JSON "Secret metadatum update" "secret_meta:put" metadata::replace, metadata::OWN),
        ],
        Kind::SecretAcl => &[
            row!(DELETE JSON "SecretACL(s) deletion" "secret_acls:delete" acls::remove),
            row!(GET JSON "SecretACL(s) retrieval" "secret_acls:get" acls::read),
            row!(PATCH JSON "SecretACL(s) Update" "secret_acls:put_patch" acls::merge),
            row!(PUT JSON "SecretACL(s) Update" "secret_acls:put_patch" acls::replace),
        ],
        Kind::SecretConsumers => &[
            row!(DELETE JSON "SecretConsumer deletion" "secret_consumers:delete" consumers::remove, consumers::OWN),
            row!(GET JSON "SecretConsumers(s) retrieval" "secret_consumers:get" consumers::list),
            row!(POST JSON "SecretConsumer creation" "secret_consumers:post" consumers::add),
        ],
        Kind::SecretConsumer | Kind::ContainerConsumer => &[],
        Kind::Containers => &[
            row!(GET JSON "Containers(s) retrieval" "containers:get" containers::list),
            row!(POST JSON "Container creation" "containers:post" containers::create),
        ],
        Kind::Container => &[
            row!(DELETE BARE "Container deletion" "container:delete" containers::delete),
            row!(GET JSON "Container retrieval" "container:get" containers::read),
        ],
        Kind::ContainerSecrets => &[
            row!(DELETE BARE "Container Secret deletion" "container_secret:delete" containers::remove, containers::MEMBERS_OWN),
            row!(POST JSON "Container Secret creation" "container_secret:post" containers::add, containers::MEMBERS_OWN),
        ],
        Kind::ContainerAcl => &[
            row!(DELETE JSON "ContainerACL(s) deletion" "container_acls:delete" acls::remove),
            row!(GET JSON "ContainerACL(s) retrieval" "container_acls:get" acls::read),
            row!(PATCH JSON "ContainerACL(s) Update" "container_acls:put_patch" acls::merge),
            row!(PUT JSON "ContainerACL(s) Update" "container_acls:put_patch" acls::replace),
        ],
        Kind::ContainerConsumers => &[
            row!(DELETE JSON "ContainerConsumer deletion" "container_consumers:delete" consumers::remove, consumers::OWN),
            row!(GET JSON "ContainerConsumers(s) retrieval" "container_consumers:get" consumers::list),
            row!(POST JSON "ContainerConsumer creation" "container_consumers:post" consumers::add),
        ],
        Kind::Orders => &[
            row!(GET JSON "Order(s) retrieval" "orders:get" orders::list),
            row!(POST JSON "Order creation" "orders:post" orders::create),
            row!(PUT BARE "Order update" "orders:put" orders::update),
        ],
        Kind::Order => &[
            row!(DELETE BARE "Order deletion" "order:delete" orders::delete),
            row!(GET JSON "Order retrieval" "order:get" orders::read),
        ],
        Kind::Quotas => &[row!(GET JSON "Quotas" "quotas:get" quotas::read)],
        Kind::ProjectQuotas => &[row!(GET JSON "Project Quotas" "project_quotas:get" quotas::list)],
        Kind::ProjectQuota => &[
            row!(DELETE BARE "Project Quotas" "project_quotas:delete" quotas::remove, quotas::OWN),
            row!(GET JSON "Project Quotas" "project_quotas:get" quotas::read_one, quotas::OWN),
            row!(PUT JSON "Project Quotas" "project_quotas:put" quotas::replace),
        ],
        Kind::SecretStores => &[row!(GET JSON "List available secret stores" "secretstores:get" stores::list)],
        Kind::DefaultStore => &[
            row!(GET JSON "Retrieve global default secret store" "secretstores:get_global_default" stores::read_default),
        ],
        Kind::PreferredStore => &[row!(
            GET JSON "Retrieve project preferred store" "secretstores:get_preferred" stores::read_preferred, stores::OWN
        )],
        Kind::SecretStore => &[row!(GET JSON "Secret store retrieval" "secretstore:get" stores::read)],
        Kind::StorePreference => &[
            row!(
                DELETE BARE "Removing preferred secret store" "secretstore_preferred:delete" stores::prefer_none,
                stores::OWN
            ),
            row!(POST BARE "Setting preferred secret store" "secretstore_preferred:post" stores::prefer),
        ],
        Kind::BelowStore => &[],
        Kind::TransportKeys => &[
            row!(GET JSON "Transport Key(s) retrieval" "transport_keys:get" transport_keys::list),
            row!(POST JSON "Transport Key Creation" "transport_keys:post" transport_keys::create),
        ],
        Kind::TransportKey => &[
            row!(DELETE BARE "Transport Key deletion" "transport_key:delete" transport_keys::remove),
            row!(GET JSON "Transport Key retrieval" "transport_key:get" transport_keys::read),
        ],
    }
}

/// The answer to a verb that a place does not have.
pub(super) fn absent(place: &Place) -> Refusal {
    if matches!(place.kind, Kind::SecretConsumer | Kind::ContainerConsumer) {
        return consumers::missing(&place.tail);
    }
    let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "");
    // The reference judges these inside their handlers and sends no `Allow` with them.
    if !matches!(place.kind, Kind::Payload | Kind::MetadataItem | Kind::BelowStore) {
        // Updating orders is offered to say no.
        let offered = rows(place.kind).iter().filter(|row| place.kind != Kind::Orders || row.method != Method::PUT);
        let mut verbs: Vec<&str> = offered.map(|row| row.method.as_str()).collect();
        verbs.sort_unstable();
        refusal.allow = Some(verbs.join(", "));
    }
    refusal
}
