//! On what terms the HSM is asked: for whom, how urgently, and how long somebody waits.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use crate::domain::ProjectId;

/// Whose share of a busy HSM a request takes: one number a project. Two projects with one number share a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(pub u64);

impl Tenant {
    /// The gateway itself.
    pub const GATEWAY: Self = Self(0);

    /// The number of a project.
    #[must_use]
    pub fn of(project: &ProjectId) -> Self {
        let mut hasher = DefaultHasher::new();
        project.hash(&mut hasher);
        Self(hasher.finish().max(1))
    }
}

/// The lanes in which requests wait for the HSM. They share its sessions 8 : 3 : 1 while all are busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for this one answer.
    #[default]
    Interactive = 0,
    /// One of many: items of a batch, orders, reconciliation, copies between tokens.
    Bulk = 1,
    /// The gateway asks whether a token is well: always let in.
    Probe = 2,
}

/// On what terms the HSM is asked.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long somebody waits for the answer.
    pub limit: Duration,
    /// For whom.
    pub tenant: Tenant,
    /// How urgently.
    pub lane: Lane,
}

impl Terms {
    /// For the gateway's own work in the background.
    #[must_use]
    pub const fn of_gateway(limit: Duration) -> Self {
        Self { limit, tenant: Tenant::GATEWAY, lane: Lane::Bulk }
    }
}
