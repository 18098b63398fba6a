//! What a search by attributes asks of the store's indexes.
//!
//! The indexes narrow a walk, they do not decide: a store may give an object that does not match, never leave one out that
//! does. Who searches judges each record by itself. Conditions that no index knows are simply not used for narrowing.

use crate::domain::{
    Attribute, AttributeKind, ManagedObject, ObjectType, ProjectId, State, Timestamp, secret::SecretType,
};

/// Objects of a project that may match some conditions; all of them must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Whose.
    pub project: ProjectId,
    /// KMIP's Storage Status Mask: bits of [`storage_status`].
    pub statuses: u32,
    /// Values that it carries, each in some instance.
    pub carries: Vec<Attribute>,
    /// States that it is in; two different ones leave nothing.
    pub states: Vec<State>,
    /// Dates that it has.
    pub dates: Vec<Dated>,
    /// What the Barbican API's lists show of it.
    pub shown: Vec<Shown>,
}

/// A date that lies in a closed range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    /// Which date.
    pub kind: AttributeKind,
    /// The earliest.
    pub from: Timestamp,
    /// The latest.
    pub to: Timestamp,
}

/// What the Barbican API's lists show of an object; texts are compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// `algorithm`.
    Algorithm(String),
    /// `mode`.
    Mode(String),
    /// `bit_length`.
    BitLength(u32),
    /// `secret_type`.
    Type(SecretType),
}

/// The bit of an object in KMIP's Storage Status Mask (KMIP 2.1 §11.52): 1 on-line, 2 archived, 4 destroyed.
#[must_use]
pub const fn storage_status(object: &ManagedObject) -> u32 {
    if object.lifecycle.destroy.is_some() {
        4
    } else if object.lifecycle.archive.is_some() {
        2
    } else {
        1
    }
}

impl Search {
    /// Every object of a project with one of these statuses.
    #[must_use]
    pub const fn all(project: ProjectId, statuses: u32) -> Self {
        Self { project, statuses, carries: Vec::new(), states: Vec::new(), dates: Vec::new(), shown: Vec::new() }
    }

    /// Whether it asks for nothing but project and status.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.carries.is_empty() && self.states.is_empty() && self.dates.is_empty() && self.shown.is_empty()
    }

    /// Whether an object is one of those among which it searches. What has been obliterated nobody finds.
    #[must_use]
    pub fn admits(&self, object: &ManagedObject) -> bool {
        object.project == self.project
            && self.statuses & storage_status(object) != 0
            && object.object_type != ObjectType::Obliterated
    }
}
