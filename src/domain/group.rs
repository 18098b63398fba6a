//! A named set of objects with roles: Barbican's container.

use serde::{Deserialize, Serialize};

use super::{
    access::{Consumer, Grants, ProjectId},
    object::UniqueIdentifier,
    time::Timestamp,
};

/// What a group is for; decides which member names it must and may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GroupKind {
    /// Free member names.
    Generic,
    /// A key pair.
    Rsa,
    /// A certificate with its key and chain.
    Certificate,
}

impl GroupKind {
    /// The API's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Rsa => "rsa",
            Self::Certificate => "certificate",
        }
    }

    /// From the API's word, exact.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Generic, Self::Rsa, Self::Certificate].into_iter().find(|kind| kind.name() == name)
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its role in the group; absent where the client gave none.
    pub name: Option<String>,
    /// The object.
    pub object: UniqueIdentifier,
}

/// A named set of objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its identifier.
    pub identifier: UniqueIdentifier,
    /// Whose it is.
    pub project: ProjectId,
    /// Who made it.
    pub creator: Option<String>,
    /// What it is for.
    pub kind: GroupKind,
    /// Its name; need not be unique.
    pub name: Option<String>,
    /// Its members in the order given.
    pub members: Vec<Member>,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// The access list, when one is set.
    pub grants: Option<Grants>,
    /// Consumers, oldest first.
    pub consumers: Vec<Consumer>,
}
