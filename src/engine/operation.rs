//! A use case: a type with a trait, because the pipeline is written once around it and its answer is typed.

use super::{error::Error, ports::Versioned, tools::Tools};
use crate::{
    authz::Permitted,
    domain::{ManagedObject, OperationKind, UniqueIdentifier, group::Group, job::Job},
};

/// What must be loaded and permitted before a use case runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The caller's project only: creations and lists.
    Project,
    /// One object.
    Object(UniqueIdentifier),
    /// Several objects, each of which must be permitted; loaded in this order.
    Objects(Vec<UniqueIdentifier>),
    /// One object, and after it those that it links to by these link types and that exist; each must be permitted.
    Linked(UniqueIdentifier, &'static [u32]),
    /// One object, if it exists.
    Maybe(UniqueIdentifier),
    /// A group.
    Group(UniqueIdentifier),
    /// A job of the caller's project; another project's is not found.
    Job(UniqueIdentifier),
}

/// What was loaded, at the revisions at which it was permitted.
#[derive(Debug, Default)]
pub struct Targets {
    /// Objects in the order asked for.
    pub objects: Vec<Versioned<ManagedObject>>,
    /// The group.
    pub group: Option<Versioned<Group>>,
    /// The job.
    pub job: Option<Versioned<Job>>,
}

impl Permitted<Targets> {
    /// The one object that [`Target::Object`] named.
    ///
    /// # Errors
    ///
    /// An internal error when the use case named no object; the pipeline loads what `target` names.
    pub fn into_object(self) -> Result<Versioned<ManagedObject>, Error> {
        self.into_inner().objects.pop().ok_or_else(Error::not_found)
    }

    /// The group that [`Target::Group`] named.
    ///
    /// # Errors
    ///
    /// As [`Self::into_object`].
    pub fn into_group(self) -> Result<Versioned<Group>, Error> {
        self.into_inner().group.ok_or_else(Error::not_found)
    }

    /// The job that [`Target::Job`] named.
    ///
    /// # Errors
    ///
    /// As [`Self::into_object`].
    pub fn into_job(self) -> Result<Versioned<Job>, Error> {
        self.into_inner().job.ok_or_else(Error::not_found)
    }
}

/// A use case. [`super::Engine::execute`] is the only way to run one.
pub trait Operation: Send + 'static {
    /// Its name for policy, audit and metrics.
    const KIND: OperationKind;
    /// What it answers.
    type Output: Send + 'static;

    /// What must be loaded and permitted.
    fn target(&self) -> Target;

    /// The one rule that is asked for, where the use case serves several requests that have a rule each.
    fn rule(&self) -> Option<&'static str> {
        None
    }

    /// Does it. Reaches objects only through `on`; what it commits is guarded by the revision that was permitted.
    fn run(self, on: Permitted<Targets>, tools: &Tools) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}
