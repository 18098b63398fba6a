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

/// A use case whose result may not be what was asked for: no such key, no text. The judgement belongs to the use case, so that
/// the audit trail and the answer say the same.
pub struct Judged<O, F> {
    /// What is done.
    pub operation: O,
    /// What the result is good for.
    pub judge: F,
}

impl<O, T, F> Operation for Judged<O, F>
where
    O: Operation,
    T: Send + 'static,
    F: FnOnce(O::Output) -> Result<T, Error> + Send + 'static,
{
    const KIND: OperationKind = O::KIND;
    type Output = T;

    fn target(&self) -> Target {
        self.operation.target()
    }

    fn rule(&self) -> Option<&'static str> {
        self.operation.rule()
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<T, Error> {
        (self.judge)(self.operation.run(on, tools).await?)
    }
}
