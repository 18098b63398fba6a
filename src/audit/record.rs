//! One line of the trail, written and read.
//!
//! The shape is CADF's (DMTF DSP0262): `typeURI`, `eventTime`, `action`, `outcome`, `initiator`, `target`, `observer`. Beside
//! them stand `seq`, counting every line of the trail from 1, and `prev`, the SHA-256 of the line before, without its end of
//! line. Some lines are the trail's own: a `checkpoint` signs the chain up to a line, a `repair` tells what a crash left.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::domain::{
    OperationKind, Realm, Timestamp,
    audit::{AuditEvent, Outcome, Protocol},
};

/// A SHA-256 digest.
pub type LineHash = [u8; 32];

/// What the first line of a trail has as the hash before it.
pub const BEGINNING: LineHash = [0; 32];

const EVENT_TYPE: &str = "http://schemas.dmtf.org/cloud/audit/1.0/event";

/// What a line says, before it has its place in the chain.
#[derive(Clone, Debug)]
pub enum Entry {
    /// The outcome of a request.
    Event(Box<AuditEvent>),
    /// A signature over the chain up to a line.
    Checkpoint(Timestamp, Checkpoint),
    /// Bytes after the last whole line, left by a crash, were moved away.
    Repair(Timestamp, Repair),
}

/// A signature over the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last line that is covered.
    pub seq: u64,
    /// Its hash, in hex.
    pub head: String,
    /// Always `ecdsa-p256-sha256`.
    pub algorithm: String,
    /// The DER signature over [`signed_message`], in Base64.
    pub signature: String,
}

/// What a crash left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// How many bytes were moved away.
    pub bytes: u64,
    /// The file they were moved to.
    pub file: String,
}

/// What a checkpoint signs: ECDSA with SHA-256 over these bytes.
#[must_use]
pub fn signed_message(seq: u64, head: &LineHash) -> Vec<u8> {
    [b"portcullis audit head 1".as_slice(), &seq.to_be_bytes(), head].concat()
}

/// The hash of a line, given without its end of line.
#[must_use]
pub fn hash(line: &[u8]) -> LineHash {
    *digest(&SHA256, line).as_ref().first_chunk().expect("a SHA-256 digest has 32 bytes")
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

/// The line, without its end of line.
///
/// # Errors
///
/// serde_json's, which a record of these types does not cause.
pub fn line(entry: &Entry, seq: u64, prev: &LineHash, observer: &str) -> serde_json::Result<Vec<u8>> {
    let observer = Observer { type_uri: "service/security", id: observer };
    let own = |time, action| Written {
        type_uri: EVENT_TYPE,
        seq,
        id: None,
        event_type: "control",
        event_time: moment(time),
        action,
        outcome: "success",
        reason: None,
        initiator: Initiator { type_uri: "service/security", id: None, credential: None, project_id: None, host: None },
        target: Target { type_uri: "service/security/audit", id: None },
        targets: Vec::new(),
        observer,
        protocol: None,
        request: None,
        recovered: false,
        checkpoint: None,
        repair: None,
        prev: hex(prev),
    };
    match entry {
        Entry::Event(event) => serde_json::to_vec(&of_event(event, seq, prev, observer)),
        Entry::Checkpoint(time, checkpoint) => {
            serde_json::to_vec(&Written { checkpoint: Some(checkpoint), ..own(*time, "checkpoint") })
        }
        Entry::Repair(time, repair) => serde_json::to_vec(&Written { repair: Some(repair), ..own(*time, "repair") }),
    }
}

fn of_event<'a>(event: &'a AuditEvent, seq: u64, prev: &LineHash, observer: Observer<'a>) -> Written<'a> {
    let (outcome, reason) = match &event.outcome {
        Outcome::Success => ("success", None),
        Outcome::Failure(kind) => ("failure", Some(Reason { reason_code: kind })),
    };
    let targets: Vec<String> = event.targets.iter().map(ToString::to_string).collect();
    Written {
        type_uri: EVENT_TYPE,
        seq,
        id: Some(Uuid::from_bytes(event.id).to_string()),
        event_type: "activity",
        event_time: moment(event.time),
        action: event.operation.name(),
        outcome,
        reason,
        initiator: Initiator {
            type_uri: "service/security/account/user",
            id: event.initiator.as_deref(),
            credential: event.realm.map(|realm| Credential { realm: realm_name(realm) }),
            project_id: event.project.as_ref().map(|project| project.0.as_str()),
            host: event.address.as_deref().map(|address| Host { address }),
        },
        target: Target { type_uri: target_uri(event), id: targets.first().cloned() },
        targets: if targets.len() > 1 { targets } else { Vec::new() },
        observer,
        protocol: Some(event.protocol.name()),
        request: Some(&event.request),
        recovered: event.recovered,
        checkpoint: None,
        repair: None,
        prev: hex(prev),
    }
}

/// What the request was about, in the words of the Barbican API where it came through that.
const fn target_uri(event: &AuditEvent) -> &'static str {
    use OperationKind as K;
    match (event.protocol, event.operation) {
        (Protocol::Kmip | Protocol::Internal, _) => "data/security",
        (Protocol::Barbican, operation) => match operation {
            K::CreateGroup
            | K::ReadGroup
            | K::ListGroups
            | K::ChangeGroupMembers
            | K::DeleteGroup
            | K::ReadGroupGrants
            | K::ChangeGroupGrants
            | K::ReadGroupConsumers
            | K::ChangeGroupConsumers => "service/security/keymanager/containers",
            K::SubmitJob | K::ReadJob | K::ListJobs | K::DeleteJob | K::RunJob => "service/security/keymanager/orders",
            K::ReadQuotas => "service/security/keymanager/quotas",
            K::ReadProjectQuotas | K::ChangeProjectQuotas => "service/security/keymanager/project-quotas",
            K::ReadSecretStores | K::ChangePreferredStore => "service/security/keymanager/secret-stores",
            K::ReadTransportKeys | K::ChangeTransportKeys => "service/security/keymanager/transport_keys",
            K::Refuse | K::Query => "service/security/keymanager",
            _ => "service/security/keymanager/secrets",
        },
    }
}

/// The identifier of an event, as lines write it, read back.
#[must_use]
pub fn event_id(text: &str) -> Option<[u8; 16]> {
    Uuid::try_parse(text).ok().map(Uuid::into_bytes)
}

/// What a reader needs of a line; the rest is covered by the hash.
#[derive(Clone, Debug, Deserialize)]
pub struct ReadLine {
    /// Its number.
    pub seq: u64,
    /// The hash of the line before, in hex.
    pub prev: String,
    /// The event's identifier; absent in the trail's own lines.
    pub id: Option<String>,
    /// What was done.
    pub action: String,
    /// Set in a checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Set in a repair note.
    pub repair: Option<Repair>,
}

/// RFC 3339 with what precision the clock gave; a time beyond year 9999 in microseconds.
fn moment(time: Timestamp) -> String {
    let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.micros()) * 1000).ok();
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{} us", time.micros()))
}

const fn realm_name(realm: Realm) -> &'static str {
    match realm {
        Realm::Certificate => "certificate",
        Realm::Keystone => "keystone",
        Realm::Unauthenticated => "unauthenticated",
        Realm::System => "system",
        Realm::Bearer => "bearer",
    }
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "eventType")]
    event_type: &'static str,
    #[serde(rename = "eventTime")]
    event_time: String,
    action: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason<'a>>,
    initiator: Initiator<'a>,
    target: Target,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<String>,
    observer: Observer<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    recovered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<&'a Checkpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<&'a Repair>,
    prev: String,
}

#[derive(Serialize)]
struct Reason<'a> {
    #[serde(rename = "reasonCode")]
    reason_code: &'a str,
}

#[derive(Serialize)]
struct Initiator<'a> {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<Credential>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Host<'a>>,
}

#[derive(Serialize)]
struct Credential {
    #[serde(rename = "type")]
    realm: &'static str,
}

#[derive(Serialize)]
struct Host<'a> {
    address: &'a str,
}

#[derive(Serialize)]
struct Target {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Clone, Copy, Serialize)]
struct Observer<'a> {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProjectId, UniqueIdentifier};

    #[test]
    fn a_line_has_cadf_s_shape() {
        let event = AuditEvent {
            id: [1; 16],
            time: Timestamp::from_micros(1_700_000_000_123_456),
            request: "req-1".to_owned(),
            protocol: Protocol::Kmip,
            initiator: Some("backup \"server\"".to_owned()),
            realm: Some(Realm::Certificate),
            project: Some(ProjectId("demo".to_owned())),
            address: Some("127.0.0.1".to_owned()),
            operation: OperationKind::Reveal,
            targets: vec![UniqueIdentifier::from_bytes([2; 16]), UniqueIdentifier::from_bytes([3; 16])],
            outcome: Outcome::Failure("not-found".to_owned()),
            recovered: false,
        };
        let line = line(&Entry::Event(Box::new(event)), 7, &BEGINNING, "portcullis").unwrap();
        let expected = serde_json::json!({
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
            "seq": 7,
            "id": "01010101-0101-0101-0101-010101010101",
            "eventType": "activity",
            "eventTime": "2023-11-14T22:13:20.123456Z",
            "action": "reveal",
            "outcome": "failure",
            "reason": {"reasonCode": "not-found"},
            "initiator": {
                "typeURI": "service/security/account/user",
                "id": "backup \"server\"",
                "credential": {"type": "certificate"},
                "project_id": "demo",
                "host": {"address": "127.0.0.1"},
            },
            "target": {"typeURI": "data/security", "id": "02020202-0202-0202-0202-020202020202"},
            "targets": ["02020202-0202-0202-0202-020202020202", "03030303-0303-0303-0303-030303030303"],
            "observer": {"typeURI": "service/security", "id": "portcullis"},
            "protocol": "kmip",
            "request": "req-1",
            "recovered": false,
            "prev": "0".repeat(64),
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).unwrap(), expected);
        assert!(!line.contains(&b'\n'));
        let read: ReadLine = serde_json::from_slice(&line).unwrap();
        assert_eq!(read.id.as_deref().and_then(event_id), Some([1; 16]));
    }
}
