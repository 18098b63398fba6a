//! Paths under `/v1` and what they name (contract §1.2, §1.10, §2).
//!
//! Paths are case-sensitive and take one trailing slash. Identifiers are judged by form here and by existence later; a path
//! that goes below a leaf names nothing.

use crate::{domain::UniqueIdentifier, engine::Target};

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Version,
    Secrets,
    Secret,
    Payload,
    Metadata,
    MetadataItem,
    SecretAcl,
    SecretConsumers,
    SecretConsumer,
    Containers,
    Container,
    ContainerSecrets,
    ContainerAcl,
    ContainerConsumers,
    ContainerConsumer,
    Orders,
    Order,
    Quotas,
    ProjectQuotas,
    ProjectQuota,
    SecretStores,
    DefaultStore,
    PreferredStore,
    SecretStore,
    StorePreference,
    /// Any other path below a store.
    BelowStore,
    TransportKeys,
    TransportKey,
}

impl Kind {
    /// Every kind.
    #[cfg(test)]
    pub(super) const ALL: &'static [Self] = &[
        Self::Version,
        Self::Secrets,
        Self::Secret,
        Self::Payload,
        Self::Metadata,
        Self::MetadataItem,
        Self::SecretAcl,
        Self::SecretConsumers,
        Self::SecretConsumer,
        Self::Containers,
        Self::Container,
        Self::ContainerSecrets,
        Self::ContainerAcl,
        Self::ContainerConsumers,
        Self::ContainerConsumer,
        Self::Orders,
        Self::Order,
        Self::Quotas,
        Self::ProjectQuotas,
        Self::ProjectQuota,
        Self::SecretStores,
        Self::DefaultStore,
        Self::PreferredStore,
        Self::SecretStore,
        Self::StorePreference,
        Self::BelowStore,
        Self::TransportKeys,
        Self::TransportKey,
    ];
}

/// A path that names something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// The secret, container or order; a nil identifier where the kind has none.
    pub(super) id: UniqueIdentifier,
    /// The metadata key, consumer id, project or store id.
    pub(super) tail: String,
}

impl Place {
    /// What must exist for anything to be done there.
    pub(super) const fn target(&self) -> Target {
        match self.kind {
            Kind::Version
            | Kind::Secrets
            | Kind::Containers
            | Kind::Orders
            | Kind::Quotas
            | Kind::ProjectQuotas
            | Kind::ProjectQuota
            | Kind::SecretStores
            | Kind::DefaultStore
            | Kind::PreferredStore
            | Kind::SecretStore
            | Kind::StorePreference
            | Kind::BelowStore
            | Kind::TransportKeys
            // The rules are asked before it is looked for (contract §1.2).
            | Kind::TransportKey => Target::Project,
            Kind::Secret
            | Kind::Payload
            | Kind::Metadata
            | Kind::MetadataItem
            | Kind::SecretAcl
            | Kind::SecretConsumers
            | Kind::SecretConsumer => Target::Object(self.id),
            Kind::Container
            | Kind::ContainerSecrets
            | Kind::ContainerAcl
            | Kind::ContainerConsumers
            | Kind::ContainerConsumer => Target::Group(self.id),
            Kind::Order => Target::Job(self.id),
        }
    }

    /// What is said when it does not exist.
    pub(super) fn missing(&self) -> &'static str {
        if self.kind == Kind::TransportKey {
            return "Not Found. Transport Key not found.";
        }
        match self.target() {
            Target::Group(_) => "Secrets container not found.",
            Target::Job(_) => ORDER_NOT_FOUND,
            Target::Object(_) | Target::Objects(_) | Target::Linked(..) | Target::Maybe(_) | Target::Project => {
                "Secret not found."
            }
        }
    }
}

const ORDER_NOT_FOUND: &str = "Order not found.";

/// Reads the path after `/v1`: what it names, or the description of the 404.
pub(super) fn parse(rest: &str) -> Result<Place, &'static str> {
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let parts: Vec<&str> = rest.split('/').collect();
    let bare = |kind| Ok(Place { kind, id: NIL, tail: String::new() });
    let of = |kind, id, tail: &str| Ok(Place { kind, id, tail: tail.to_owned() });
    match parts.as_slice() {
        [""] => bare(Kind::Version),
        ["secrets"] => bare(Kind::Secrets),
        ["secrets", id] => of(Kind::Secret, secret(id)?, ""),
        ["secrets", id, "payload"] => of(Kind::Payload, secret(id)?, ""),
        ["secrets", id, "metadata"] => of(Kind::Metadata, secret(id)?, ""),
        ["secrets", id, "metadata", key] => of(Kind::MetadataItem, secret(id)?, key),
        ["secrets", id, "acl"] => of(Kind::SecretAcl, secret(id)?, ""),
        ["secrets", id, "consumers"] => of(Kind::SecretConsumers, secret(id)?, ""),
        ["secrets", id, "consumers", consumer] => of(Kind::SecretConsumer, secret(id)?, consumer),
        ["containers"] => bare(Kind::Containers),
        ["containers", id] => of(Kind::Container, container(id)?, ""),
        ["containers", id, "secrets"] => of(Kind::ContainerSecrets, container(id)?, ""),
        ["containers", id, "acl"] => of(Kind::ContainerAcl, container(id)?, ""),
        ["containers", id, "consumers"] => of(Kind::ContainerConsumers, container(id)?, ""),
        ["containers", id, "consumers", consumer] => of(Kind::ContainerConsumer, container(id)?, consumer),
        ["orders"] => bare(Kind::Orders),
        ["orders", id] => of(Kind::Order, id.parse().map_err(|_not_an_id| ORDER_NOT_FOUND)?, ""),
        ["quotas"] => bare(Kind::Quotas),
        ["project-quotas"] => bare(Kind::ProjectQuotas),
        ["project-quotas", project] => of(Kind::ProjectQuota, NIL, &unescaped(project)),
        ["secret-stores"] => bare(Kind::SecretStores),
        ["secret-stores", "global-default"] => bare(Kind::DefaultStore),
        ["secret-stores", "preferred"] => bare(Kind::PreferredStore),
        ["secret-stores", id] => of(Kind::SecretStore, NIL, id),
        ["secret-stores", id, "preferred"] => of(Kind::StorePreference, NIL, id),
        ["secret-stores", id, ..] => of(Kind::BelowStore, NIL, id),
        ["transport_keys"] => bare(Kind::TransportKeys),
        ["transport_keys", id] => {
            let id = id.parse().map_err(|_not_an_id| "Not Found. Provided transport key id is invalid.")?;
            of(Kind::TransportKey, id, "")
        }
        _ => Err(""),
    }
}

const NIL: UniqueIdentifier = UniqueIdentifier::from_bytes([0; 16]);

/// A project id as it was before it was put into a URL.
fn unescaped(part: &str) -> String {
    super::query::decode(&part.replace('+', "%2B"))
}

fn secret(id: &str) -> Result<UniqueIdentifier, &'static str> {
    id.parse().map_err(|_not_an_id| "Not Found. Provided secret id is invalid.")
}

fn container(id: &str) -> Result<UniqueIdentifier, &'static str> {
    id.parse().map_err(|_not_an_id| "Not Found. Provided container id is invalid.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f";

    #[test]
    fn a_trailing_slash_changes_nothing() {
        for path in ["", "/secrets", "/orders", &format!("/secrets/{ID}"), &format!("/containers/{ID}/consumers")] {
            assert_eq!(parse(path), parse(&format!("{path}/")), "{path}");
            assert!(parse(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn bad_identifiers_have_their_texts() {
        for (path, text) in [
            ("/secrets/1", "Not Found. Provided secret id is invalid."),
            ("/secrets/6C2F3F1E-0B1A-4D5C-9E2F-1A2B3C4D5E6F/acl", "Not Found. Provided secret id is invalid."),
            ("/containers/x/secrets", "Not Found. Provided container id is invalid."),
            ("/orders/x", "Order not found."),
        ] {
            assert_eq!(parse(path), Err(text), "{path}");
        }
    }

    #[test]
    fn paths_below_a_leaf_name_nothing() {
        for tail in ["payload/x", "acl/read", "metadata/a/b", "x", "consumers/a/b"] {
            assert_eq!(parse(&format!("/secrets/{ID}/{tail}")), Err(""), "{tail}");
        }
        for path in ["/foo", "/cas", "/Secrets", "/quotas/x", &format!("/orders/{ID}/x"), "//secrets"] {
            assert_eq!(parse(path), Err(""), "{path}");
        }
    }
}
