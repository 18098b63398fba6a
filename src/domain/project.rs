//! What is kept about a project as such: its own quotas and the secret store it prefers; and the wrapping keys that clients
//! may fetch (Barbican contract §2.10 to §2.12).
//!
//! A project without any of this has no record; projects need not be made before they are used.

use serde::{Deserialize, Serialize};

use super::{access::ProjectId, object::UniqueIdentifier, reference::TokenId, time::Timestamp};

/// What of a project is counted, and may be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Resource {
    /// Objects that are neither destroyed nor expired, made through either protocol.
    Secrets,
    /// Orders.
    Orders,
    /// Containers.
    Containers,
    /// Consumers that the project registered, with secrets and containers of any project.
    Consumers,
}

impl Resource {
    /// Every resource, in the order of the API.
    pub const ALL: [Self; 4] = [Self::Secrets, Self::Orders, Self::Containers, Self::Consumers];

    /// The API's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::Orders => "orders",
            Self::Containers => "containers",
            Self::Consumers => "consumers",
        }
    }
}

/// How many of each resource there may be: negative is no limit, absent is the gateway's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Secrets.
    pub secrets: Option<i64>,
    /// Orders.
    pub orders: Option<i64>,
    /// Containers.
    pub containers: Option<i64>,
    /// Consumers.
    pub consumers: Option<i64>,
    /// Certificate authorities: a leftover of the API that limits nothing and is shown as it was set.
    pub cas: Option<i64>,
}

impl Quotas {
    /// The quota of a resource.
    #[must_use]
    pub const fn of(&self, resource: Resource) -> Option<i64> {
        match resource {
            Resource::Secrets => self.secrets,
            Resource::Orders => self.orders,
            Resource::Containers => self.containers,
            Resource::Consumers => self.consumers,
        }
    }

    /// These, and where one is absent the other's.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            secrets: self.secrets.or(other.secrets),
            orders: self.orders.or(other.orders),
            containers: self.containers.or(other.containers),
            consumers: self.consumers.or(other.consumers),
            cas: self.cas.or(other.cas),
        }
    }
}

/// Quotas that were set for a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnQuotas {
    /// The quotas.
    pub quotas: Quotas,
    /// When they were first set.
    pub created: Timestamp,
    /// When they last changed.
    pub updated: Timestamp,
}

/// What is kept about a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Which.
    pub id: ProjectId,
    /// Its own quotas.
    pub quotas: Option<OwnQuotas>,
    /// Where its new values go.
    pub preferred: Option<TokenId>,
}

impl Project {
    /// A project of which nothing is kept.
    #[must_use]
    pub const fn new(id: ProjectId) -> Self {
        Self { id, quotas: None, preferred: None }
    }

    /// Whether nothing is kept.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.quotas.is_none() && self.preferred.is_none()
    }
}

/// A public key under which clients of a back-end wrap what they send. Kept and given out; no back-end of ours asks for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportKey {
    /// Its identifier.
    pub identifier: UniqueIdentifier,
    /// The back-end that has the private half, as an operator names it.
    pub plugin_name: String,
    /// The key, as an operator gave it.
    pub text: String,
    /// When it was stored.
    pub created: Timestamp,
}
