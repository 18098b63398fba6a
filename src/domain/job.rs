//! A use case that outlives its request: Barbican's order.
//!
//! A job never holds a value. A passphrase that an order brings becomes a token object before the job is stored, and the
//! job names it by identifier.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{access::ProjectId, object::UniqueIdentifier, secret::SecretFacet, time::Timestamp};

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// Stored, not finished.
    Pending,
    /// Done; final.
    Done {
        /// The key, for a key order.
        object: Option<UniqueIdentifier>,
        /// The group of the pair, for an asymmetric order.
        group: Option<UniqueIdentifier>,
    },
    /// Failed; final.
    Failed {
        /// The HTTP-like code shown to the client.
        code: u16,
        /// The reason shown to the client, at most 255 characters.
        reason: String,
    },
}

/// What a job makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobKind {
    /// A symmetric key.
    Key,
    /// A key pair.
    Asymmetric,
}

/// A use case that outlives its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its identifier.
    pub identifier: UniqueIdentifier,
    /// For which project.
    pub project: ProjectId,
    /// Who asked.
    pub creator: Option<String>,
    /// What it makes.
    pub kind: JobKind,
    /// What the client asked, member by member, as JSON text of each member; never a passphrase.
    pub meta: BTreeMap<String, String>,
    /// The labels of what it will make: name, algorithm, length, mode, expiration, content type.
    pub labels: SecretFacet,
    /// The identifiers of what it will make, chosen when it is stored, so that a repeat after a crash finds them.
    pub results: Vec<UniqueIdentifier>,
    /// The object that holds the passphrase, when there is one.
    pub passphrase: Option<UniqueIdentifier>,
    /// How far it is.
    pub state: JobState,
    /// When it was stored.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}
