//! What the audit trail is told: identifiers, enumerations and counts. No field can carry a value.

use serde::{Deserialize, Serialize};

use super::{
    access::{ProjectId, Realm},
    object::UniqueIdentifier,
    operation::OperationKind,
    time::Timestamp,
};

/// Which way a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// KMIP.
    Kmip,
    /// The Barbican API.
    Barbican,
    /// The gateway's own work.
    Internal,
}

impl Protocol {
    /// The label of a metric and the word of an audit record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kmip => "kmip",
            Self::Barbican => "barbican",
            Self::Internal => "internal",
        }
    }
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done.
    Success,
    /// Refused or failed; the text is an error kind of the engine.
    Failure(String),
}

/// What a request over HTTP adds: the words that CADF has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpFacts {
    /// The verb.
    pub method: String,
    /// Path and query as they came; what the query says of wrapped keys is masked.
    pub path: String,
    /// The root under which the service was called.
    pub service: String,
    /// What the client calls itself.
    pub agent: Option<String>,
    /// What people call the user.
    pub user_name: Option<String>,
    /// The status of the answer; absent where nothing was answered, because a crash came in between.
    pub status: Option<u16>,
}

/// One outcome record of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// A random identifier of this record; also finds the record again after a crash.
    pub id: [u8; 16],
    /// When the outcome was known.
    pub time: Timestamp,
    /// The request, as the logs name it.
    pub request: String,
    /// Which way it came in.
    pub protocol: Protocol,
    /// Who asked.
    pub initiator: Option<String>,
    /// How the initiator was proved.
    pub realm: Option<Realm>,
    /// For which project.
    pub project: Option<ProjectId>,
    /// From where: address without port.
    pub address: Option<String>,
    /// What was asked.
    pub operation: OperationKind,
    /// What it was about.
    pub targets: Vec<UniqueIdentifier>,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the record was written at start for an act that a crash cut short.
    pub recovered: bool,
    /// Of requests over HTTP.
    pub http: Option<HttpFacts>,
}
