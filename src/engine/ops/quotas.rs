//! Reads the quotas of the caller's project. None are set in this version: every resource is unlimited.

use crate::{
    authz::Permitted,
    domain::OperationKind,
    engine::{
        error::Error,
        operation::{Operation, Target, Targets},
        tools::Tools,
    },
};

/// Reads the quotas.
#[derive(Clone, Copy, Debug)]
pub struct ReadQuotas;

/// The quota of each resource; negative is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Secrets.
    pub secrets: i64,
    /// Orders.
    pub orders: i64,
    /// Containers.
    pub containers: i64,
    /// Consumers.
    pub consumers: i64,
}

impl Operation for ReadQuotas {
    const KIND: OperationKind = OperationKind::ReadQuotas;
    type Output = Quotas;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, _: &Tools) -> Result<Self::Output, Error> {
        Ok(Quotas { secrets: -1, orders: -1, containers: -1, consumers: -1 })
    }
}
