//! Quotas: those in force for the caller's project, and those that were set for projects (Barbican contract §2.10).
//!
//! How they are kept is not here: see [`Tools::within_quota`] and `Write::Ceiling`.

use super::list_secrets::Listed;
use crate::{
    authz::Permitted,
    domain::{
        OperationKind, ProjectId,
        project::{OwnQuotas, Project, Quotas},
    },
    engine::{
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        ports::{Guard, Order, Slice, Versioned, Window, Write},
        tools::Tools,
    },
};

/// Reads the quotas in force for the caller's project.
#[derive(Clone, Copy, Debug)]
pub struct ReadQuotas;

impl Operation for ReadQuotas {
    const KIND: OperationKind = OperationKind::ReadQuotas;
    type Output = Quotas;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let own = tools.store().project(tools.principal().project.clone()).await?.and_then(|kept| kept.record.quotas);
        Ok(own.map(|own| own.quotas).unwrap_or_default().or(tools.settings().quotas))
    }
}

/// Reads what was set: for one project, or for all that have something set, oldest first.
#[derive(Clone, Debug)]
pub struct ReadProjectQuotas {
    /// Which project; all when absent.
    pub project: Option<ProjectId>,
    /// How many to pass over.
    pub offset: usize,
    /// How many to answer.
    pub limit: usize,
}

impl Operation for ReadProjectQuotas {
    const KIND: OperationKind = OperationKind::ReadProjectQuotas;
    type Output = Listed<(ProjectId, Quotas)>;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let shown = |project: Project| project.quotas.map(|own| (project.id, own.quotas));
        match self.project {
            Some(project) => {
                let found = tools.store().project(project).await?.and_then(|kept| shown(kept.record));
                Ok(Listed { records: vec![found.ok_or_else(nothing_set)?], total: 1 })
            }
            None => {
                let window = Window { order: Order::OldestFirst, offset: self.offset, limit: self.limit };
                let Slice { records, total } = tools.store().projects(window).await?;
                Ok(Listed { records: records.into_iter().filter_map(shown).collect(), total })
            }
        }
    }
}

fn nothing_set() -> Error {
    Error::new(ErrorKind::AttributeMissing, "nothing is set for the project")
}

/// What becomes of a project's quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaChange {
    /// Those that are named are set, the others stay.
    Merge(Quotas),
    /// All are removed: the defaults apply. `AttributeMissing` when none was set.
    Remove,
}

/// Changes the quotas of a project.
#[derive(Clone, Debug)]
pub struct ChangeProjectQuotas {
    /// Which project; it need not have anything yet.
    pub project: ProjectId,
    /// How.
    pub change: QuotaChange,
}

impl Operation for ChangeProjectQuotas {
    const KIND: OperationKind = OperationKind::ChangeProjectQuotas;
    type Output = ();

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let now = tools.now();
        change_project(tools, &self.project, |project| {
            match (self.change, &mut project.quotas) {
                (QuotaChange::Merge(quotas), Some(own)) => {
                    own.quotas = quotas.or(own.quotas);
                    own.updated = now;
                }
                (QuotaChange::Merge(quotas), none @ None) => {
                    *none = Some(OwnQuotas { quotas, created: now, updated: now });
                }
                (QuotaChange::Remove, own @ Some(_)) => *own = None,
                (QuotaChange::Remove, None) => return Err(nothing_set()),
            }
            Ok(())
        })
        .await
    }
}

/// How often a project's record is read again when others change it meanwhile.
const ATTEMPTS: u32 = 256;

/// Changes what is kept about a project; a record that says nothing is removed.
pub(super) async fn change_project(
    tools: &Tools,
    id: &ProjectId,
    mut change: impl FnMut(&mut Project) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let found = tools.store().project(id.clone()).await?;
        let (mut project, guard) = match found {
            Some(Versioned { record, revision }) => (record, Guard::At(revision)),
            None => (Project::new(id.clone()), Guard::Absent),
        };
        change(&mut project)?;
        let write = match (project.is_empty(), guard) {
            (true, Guard::Absent) => return Ok(()),
            (true, Guard::At(_)) => Write::RemoveProject(id.clone(), guard),
            (false, _) => Write::PutProject(Box::new(project), guard),
        };
        match tools.commit(vec![write]).await {
            Err(error) if error.kind == ErrorKind::Conflict => {}
            done => return done,
        }
    }
    Err(Error::new(ErrorKind::Busy, "the project is being changed by others; try again later"))
}
