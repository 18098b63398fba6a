//! Secret stores: the tokens that a project may choose from (Barbican contract §2.11).
//!
//! A choice counts for what is made from then on, through either protocol; what exists stays where it is.

use super::quotas::change_project;
use crate::{
    authz::Permitted,
    domain::{OperationKind, UniqueIdentifier},
    engine::{
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        tools::{SecretStore, Tools},
    },
};

/// Reads the stores, and which one the caller's project prefers.
#[derive(Clone, Copy, Debug)]
pub struct ReadSecretStores;

impl Operation for ReadSecretStores {
    const KIND: OperationKind = OperationKind::ReadSecretStores;
    type Output = (Vec<SecretStore>, Option<SecretStore>);

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let stores = &tools.settings().stores;
        let preferred = tools.store().preferred(&tools.principal().project);
        let preferred = stores.iter().find(|store| Some(&store.token) == preferred.as_ref());
        Ok((stores.clone(), preferred.cloned()))
    }
}

/// Sets the store that the caller's project prefers, or goes back to the default one.
#[derive(Clone, Copy, Debug)]
pub struct ChangePreferredStore {
    /// Which store; absent to go back, refused with `AttributeMissing` when there is nothing to go back from.
    pub store: Option<UniqueIdentifier>,
}

impl Operation for ChangePreferredStore {
    const KIND: OperationKind = OperationKind::ChangePreferredStore;
    type Output = ();

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let stores = &tools.settings().stores;
        let chosen = match self.store {
            None => None,
            Some(id) => {
                let store = stores.iter().find(|store| store.identifier == id).ok_or_else(Error::not_found)?;
                Some(store.token.clone())
            }
        };
        change_project(tools, &tools.principal().project, |project| {
            if chosen.is_none() && project.preferred.is_none() {
                return Err(Error::new(ErrorKind::AttributeMissing, "the project prefers no store"));
            }
            project.preferred.clone_from(&chosen);
            Ok(())
        })
        .await
    }
}
