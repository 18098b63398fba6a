//! A use case whose details are judged only after its target was found and permitted.
//!
//! Where a protocol fixes the order of refusals (Barbican contract §1.1: 404, 405, 406, 403, 415, 400), the front end reads
//! the body first, but a fault in it must not hide that the target is missing or forbidden. So the fault travels with the
//! use case and comes out when it would have run.

use super::{
    error::Error,
    operation::{Operation, Target, Targets},
    tools::Tools,
};
use crate::{authz::Permitted, domain::OperationKind};

/// A use case, or what was wrong with the request for it.
pub struct Late<O> {
    /// What must be loaded and permitted in any case.
    pub target: Target,
    /// The rule that the request is measured by, where the use case has several.
    pub rule: Option<&'static str>,
    /// The use case, or why there is none.
    pub operation: Result<O, Error>,
}

impl<O: Operation> Operation for Late<O> {
    const KIND: OperationKind = O::KIND;
    type Output = O::Output;

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn rule(&self) -> Option<&'static str> {
        self.rule
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        self.operation?.run(on, tools).await
    }
}
