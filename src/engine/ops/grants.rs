//! Access lists of secrets and containers (Barbican contract §2.4). They widen or narrow reading only.

use super::change::{change_group, change_object};
use crate::{
    authz::Permitted,
    domain::{OperationKind, Timestamp, UniqueIdentifier, access::Grants},
    engine::{
        error::Error,
        operation::{Operation, Target, Targets},
        tools::Tools,
    },
};

/// What becomes of an access list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantsChange {
    /// This list and no other.
    Replace {
        /// Whether the project's roles may read.
        project_access: bool,
        /// Who else may.
        users: Vec<String>,
    },
    /// Only what is given changes; a list appears when there was none.
    Merge {
        /// Whether the project's roles may read.
        project_access: Option<bool>,
        /// Who else may.
        users: Option<Vec<String>>,
    },
    /// No list any more.
    Clear,
    /// As it was.
    Nothing,
}

impl GrantsChange {
    fn apply(&self, grants: &mut Option<Grants>, now: Timestamp) {
        let fresh = Grants { project_access: true, users: Vec::new(), created: now, updated: now };
        match self {
            Self::Nothing => {}
            Self::Clear => *grants = None,
            Self::Replace { project_access, users } => {
                let created = grants.as_ref().map_or(now, |grants| grants.created);
                *grants = Some(Grants { project_access: *project_access, users: users.clone(), created, ..fresh });
            }
            Self::Merge { project_access, users } => {
                let mut next = grants.take().unwrap_or(fresh);
                next.updated = now;
                next.project_access = project_access.unwrap_or(next.project_access);
                if let Some(users) = users {
                    next.users.clone_from(users);
                }
                *grants = Some(next);
            }
        }
    }
}

/// Reads the access list of a secret.
#[derive(Debug)]
pub struct ReadGrants {
    /// Which secret.
    pub secret: UniqueIdentifier,
}

impl Operation for ReadGrants {
    const KIND: OperationKind = OperationKind::ReadGrants;
    type Output = Option<Grants>;

    fn target(&self) -> Target {
        Target::Object(self.secret)
    }

    async fn run(self, on: Permitted<Targets>, _: &Tools) -> Result<Self::Output, Error> {
        Ok(on.into_object()?.record.secret.grants)
    }
}

/// Changes the access list of a secret.
#[derive(Debug)]
pub struct ChangeGrants {
    /// Which secret.
    pub secret: UniqueIdentifier,
    /// How.
    pub change: GrantsChange,
}

impl Operation for ChangeGrants {
    const KIND: OperationKind = OperationKind::ChangeGrants;
    type Output = ();

    fn target(&self) -> Target {
        Target::Object(self.secret)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        if self.change == GrantsChange::Nothing {
            return Ok(());
        }
        let (on, now) = (on.into_object()?, tools.now());
        change_object(tools, on, |object| {
            self.change.apply(&mut object.secret.grants, now);
            object.secret.updated = Some(now);
            Ok(())
        })
        .await?;
        Ok(())
    }
}

/// Reads the access list of a container.
#[derive(Debug)]
pub struct ReadGroupGrants {
    /// Which container.
    pub group: UniqueIdentifier,
}

impl Operation for ReadGroupGrants {
    const KIND: OperationKind = OperationKind::ReadGroupGrants;
    type Output = Option<Grants>;

    fn target(&self) -> Target {
        Target::Group(self.group)
    }

    async fn run(self, on: Permitted<Targets>, _: &Tools) -> Result<Self::Output, Error> {
        Ok(on.into_group()?.record.grants)
    }
}

/// Changes the access list of a container.
#[derive(Debug)]
pub struct ChangeGroupGrants {
    /// Which container.
    pub group: UniqueIdentifier,
    /// How.
    pub change: GrantsChange,
}

impl Operation for ChangeGroupGrants {
    const KIND: OperationKind = OperationKind::ChangeGroupGrants;
    type Output = ();

    fn target(&self) -> Target {
        Target::Group(self.group)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        if self.change == GrantsChange::Nothing {
            return Ok(());
        }
        let (on, now) = (on.into_group()?, tools.now());
        change_group(tools, on, |group| {
            self.change.apply(&mut group.grants, now);
            group.updated = now;
            Ok(())
        })
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(9);

    #[test]
    fn merging_into_nothing_starts_from_the_defaults() {
        let mut grants = None;
        GrantsChange::Merge { project_access: None, users: Some(vec!["u".into()]) }.apply(&mut grants, NOW);
        let expected = Grants { project_access: true, users: vec!["u".into()], created: NOW, updated: NOW };
        assert_eq!(grants, Some(expected));
    }

    #[test]
    fn replacing_keeps_the_date_of_the_first_list() {
        let first = Timestamp::from_seconds(1);
        let mut grants =
            Some(Grants { project_access: false, users: vec!["a".into()], created: first, updated: first });
        GrantsChange::Replace { project_access: true, users: Vec::new() }.apply(&mut grants, NOW);
        assert_eq!(grants, Some(Grants { project_access: true, users: Vec::new(), created: first, updated: NOW }));
    }
}
