//! User metadata of a secret: free keys and values (Barbican contract §2.3).

use std::collections::BTreeMap;

use super::change::change_object;
use crate::{
    authz::Permitted,
    domain::{OperationKind, UniqueIdentifier},
    engine::{
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        tools::Tools,
    },
};

/// Reads user metadata.
#[derive(Debug)]
pub struct ReadMetadata {
    /// Of which secret.
    pub secret: UniqueIdentifier,
}

impl Operation for ReadMetadata {
    const KIND: OperationKind = OperationKind::ReadMetadata;
    type Output = BTreeMap<String, String>;

    fn target(&self) -> Target {
        Target::Object(self.secret)
    }

    async fn run(self, on: Permitted<Targets>, _: &Tools) -> Result<Self::Output, Error> {
        Ok(on.into_object()?.record.secret.metadata)
    }
}

/// What becomes of the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataChange {
    /// These and no others.
    ReplaceAll(BTreeMap<String, String>),
    /// One more; refused with `AlreadyExists` when the key is there.
    Add(String, String),
    /// Another value; refused with `AttributeMissing` when the key is not there.
    Replace(String, String),
    /// One less; one that is not there is a success.
    Remove(String),
}

/// Changes user metadata.
#[derive(Debug)]
pub struct ChangeMetadata {
    /// Of which secret.
    pub secret: UniqueIdentifier,
    /// How.
    pub change: MetadataChange,
}

/// Most keys one secret may carry; a limit of ours, since all of them are part of one record.
pub const METADATA_KEYS_MAX: usize = 128;

impl Operation for ChangeMetadata {
    const KIND: OperationKind = OperationKind::ChangeMetadata;
    type Output = ();

    fn target(&self) -> Target {
        Target::Object(self.secret)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let on = on.into_object()?;
        change_object(tools, on, |object| apply(&mut object.secret.metadata, &self.change)).await?;
        Ok(())
    }
}

fn apply(metadata: &mut BTreeMap<String, String>, change: &MetadataChange) -> Result<(), Error> {
    match change {
        MetadataChange::ReplaceAll(all) => metadata.clone_from(all),
        MetadataChange::Add(key, _) if metadata.contains_key(key) => {
            return Err(Error::new(ErrorKind::AlreadyExists, "the key is in the metadata already"));
        }
        MetadataChange::Add(key, value) => drop(metadata.insert(key.clone(), value.clone())),
        MetadataChange::Replace(key, value) => {
            let missing = || Error::new(ErrorKind::AttributeMissing, "the key is not in the metadata");
            metadata.get_mut(key).ok_or_else(missing)?.clone_from(value);
        }
        MetadataChange::Remove(key) => drop(metadata.remove(key)),
    }
    if metadata.len() > METADATA_KEYS_MAX {
        return Err(Error::new(ErrorKind::TooManyAttributes, "the secret has too many metadata keys"));
    }
    Ok(())
}
