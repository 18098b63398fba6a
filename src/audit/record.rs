//! One line of the trail, written and read.
//!
//! The shape is CADF's (DMTF DSP0262): `typeURI`, `eventTime`, `action`, `outcome`, `initiator`, `target`, `observer`. Beside
//! them stand `seq`, counting every line of the trail from 1, and `prev`, the SHA-256 of the line before, without its end of
//! line. Some lines are the trail's own: a `checkpoint` signs the chain up to a line, a `repair` tells what a crash left.
//!
//! A request to the Barbican API is told in the words of that service's own audit filter: `action` from verb and path,
//! `requestPath`, the HTTP status as the reason. `operation` is the use case, in both protocols.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
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
    /// An operator did something with the metadata store as a whole.
    Order(Timestamp, StoreOrder),
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

/// What an operator did with the metadata store as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOrder {
    /// `backup`, `compact`, `restore` or `accept-older`.
    #[serde(skip)]
    pub action: &'static str,
    /// Which store.
    pub store: String,
    /// The mark of what was written, or taken.
    pub mark: u64,
    /// The mark that was known before.
    pub known: u64,
    /// How many records it has; not told of a store that was taken as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
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
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect();
    String::from_utf8(digits).expect("digits are ASCII")
}

/// Adds the line to `out`, without its end of line.
///
/// # Errors
///
/// serde_json's, which a record of these types does not cause.
pub fn write_line(
    out: &mut Vec<u8>,
    entry: &Entry,
    seq: u64,
    prev: &LineHash,
    observer: &str,
) -> serde_json::Result<()> {
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
        initiator: Initiator {
            type_uri: "service/security",
            id: None,
            name: None,
            credential: None,
            project_id: None,
            host: None,
        },
        target: Target { type_uri: "service/security/audit".into(), id: None, addresses: Vec::new() },
        targets: Vec::new(),
        observer,
        request_path: None,
        reporter_chain: Vec::new(),
        tags: Vec::new(),
        operation: None,
        protocol: None,
        request: None,
        recovered: false,
        checkpoint: None,
        repair: None,
        order: None,
        prev: hex(prev),
    };
    match entry {
        Entry::Event(event) => serde_json::to_writer(out, &of_event(event, seq, prev, observer)),
        Entry::Checkpoint(time, checkpoint) => {
            serde_json::to_writer(out, &Written { checkpoint: Some(checkpoint), ..own(*time, "checkpoint") })
        }
        Entry::Order(time, order) => {
            serde_json::to_writer(out, &Written { order: Some(order), ..own(*time, order.action) })
        }
        Entry::Repair(time, repair) => {
            serde_json::to_writer(out, &Written { repair: Some(repair), ..own(*time, "repair") })
        }
    }
}

fn of_event<'a>(event: &'a AuditEvent, seq: u64, prev: &LineHash, observer: Observer<'a>) -> Written<'a> {
    let http = event.http.as_ref();
    let failure = match &event.outcome {
        Outcome::Success => None,
        Outcome::Failure(kind) => Some(kind.as_str()),
    };
    let reason = match http.and_then(|http| http.status) {
        Some(status) => Some(Reason { reason_type: Some("HTTP"), reason_code: status.to_string().into(), failure }),
        None => failure.map(|kind| Reason { reason_type: None, reason_code: kind.into(), failure: None }),
    };
    let targets: Vec<String> = event.targets.iter().map(ToString::to_string).collect();
    let event_time = moment(event.time);
    let reporter_chain = http.map(|_| Reporter::of(event_time.clone())).into_iter().collect();
    Written {
        type_uri: EVENT_TYPE,
        seq,
        id: Some(Uuid::from_bytes(event.id).to_string()),
        event_type: "activity",
        event_time,
        action: http.map_or_else(|| event.operation.name(), |http| action(&http.method, &http.path)),
        outcome: if failure.is_some() { "failure" } else { "success" },
        reason,
        initiator: Initiator {
            type_uri: "service/security/account/user",
            id: event.initiator.as_deref(),
            name: http.and_then(|http| http.user_name.as_deref()),
            credential: event.realm.map(Credential::of),
            project_id: event.project.as_ref().map(|project| project.0.as_str()),
            host: event
                .address
                .as_deref()
                .map(|address| Host { address, agent: http.and_then(|http| http.agent.as_deref()) }),
        },
        target: target(event, targets.first()),
        targets: if targets.len() > 1 { targets } else { Vec::new() },
        observer,
        request_path: http.map(|http| http.path.as_str()),
        reporter_chain,
        tags: http.map(|_| format!("correlation_id?value={}", event.request)).into_iter().collect(),
        operation: Some(event.operation.name()),
        protocol: Some(event.protocol.name()),
        request: Some(&event.request),
        recovered: event.recovered,
        checkpoint: None,
        repair: None,
        order: None,
        prev: hex(prev),
    }
}

/// The collections of the Barbican API: they are the words of targets, and what a path ends with when it lists or adds.
const COLLECTIONS: &[&str] = &[
    "secrets",
    "containers",
    "orders",
    "cas",
    "quotas",
    "project-quotas",
    "secret-stores",
    "transport_keys",
    "consumers",
];

/// The parts of a path after `/v1`.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    let path = path.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("/v1").unwrap_or(path);
    path.split('/').filter(|part| !part.is_empty())
}

/// What CADF calls the verb of a request (contract §6.3).
fn action(method: &str, path: &str) -> &'static str {
    let last = parts(path).next_back().unwrap_or_default();
    let is_collection = COLLECTIONS.contains(&last);
    match method {
        "GET" if is_collection => "read/list",
        "GET" | "HEAD" => "read",
        "POST" if is_collection => "create",
        "POST" | "PUT" | "PATCH" => "update",
        "DELETE" => "delete",
        _ => "unknown",
    }
}

/// What the request was about, in the words of the Barbican API where it came through that.
fn target(event: &AuditEvent, first: Option<&String>) -> Target {
    let Some(http) = &event.http else {
        return Target { type_uri: target_uri(event).into(), id: first.cloned(), addresses: Vec::new() };
    };
    let mut parts = parts(&http.path);
    let word = parts.next().filter(|word| COLLECTIONS.contains(word) && *word != "consumers");
    let type_uri = word.map_or(Cow::Borrowed(KEY_MANAGER), |word| format!("{KEY_MANAGER}/{word}").into());
    // What is no object of ours (a project, a store) has its name in the path.
    let named = || word.and_then(|_| parts.next()).map(str::to_owned);
    let id = first.cloned().or_else(named);
    Target { type_uri, id, addresses: vec![Address { name: "public", url: http.service.clone() }] }
}

const KEY_MANAGER: &str = "service/security/keymanager";

/// The target of a request by its use case.
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

/// RFC 3339 with what precision the clock gave; a time beyond year 9999 in microseconds. Digit by digit, as every line has one.
fn moment(time: Timestamp) -> String {
    let date = OffsetDateTime::from_unix_timestamp(time.seconds()).ok();
    let year = date.and_then(|date| u32::try_from(date.year()).ok()).filter(|year| *year <= 9999);
    let (Some(date), Some(year)) = (date, year) else {
        return format!("{} us", time.micros());
    };
    let mut text = String::with_capacity("2000-01-01T00:00:00.000000Z".len());
    let mut put = |number: u32, width: u32, after: char| {
        let digits = (0..width).rev().map(|place| number / 10_u32.pow(place) % 10);
        text.extend(digits.filter_map(|digit| char::from_digit(digit, 10)).chain([after]));
    };
    put(year, 4, '-');
    put(u8::from(date.month()).into(), 2, '-');
    put(date.day().into(), 2, 'T');
    put(date.hour().into(), 2, ':');
    put(date.minute().into(), 2, ':');
    let micros = u32::try_from(time.micros().rem_euclid(1_000_000)).unwrap_or_default();
    if micros == 0 {
        put(date.second().into(), 2, 'Z');
        return text;
    }
    put(date.second().into(), 2, '.');
    let (mut fraction, mut width) = (micros, 6);
    while fraction % 10 == 0 {
        (fraction, width) = (fraction / 10, width - 1);
    }
    put(fraction, width, 'Z');
    text
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
    #[serde(rename = "requestPath", skip_serializing_if = "Option::is_none")]
    request_path: Option<&'a str>,
    #[serde(rename = "reporterchain", skip_serializing_if = "Vec::is_empty")]
    reporter_chain: Vec<Reporter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    recovered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<&'a Checkpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<&'a Repair>,
    #[serde(rename = "store", skip_serializing_if = "Option::is_none")]
    order: Option<&'a StoreOrder>,
    prev: String,
}

#[derive(Serialize)]
struct Reason<'a> {
    #[serde(rename = "reasonType", skip_serializing_if = "Option::is_none")]
    reason_type: Option<&'static str>,
    #[serde(rename = "reasonCode")]
    reason_code: Cow<'a, str>,
    /// The kind of the failure, where the code is HTTP's.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

/// Who changed the event last: CADF's filters write themselves in when the answer is known.
#[derive(Serialize)]
struct Reporter {
    role: &'static str,
    reporter: ReporterName,
    #[serde(rename = "reporterTime")]
    reporter_time: String,
}

#[derive(Serialize)]
struct ReporterName {
    id: &'static str,
}

impl Reporter {
    const fn of(reporter_time: String) -> Self {
        Self { role: "modifier", reporter: ReporterName { id: "target" }, reporter_time }
    }
}

#[derive(Serialize)]
struct Initiator<'a> {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
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
    /// That there was one; never what it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_status: Option<&'static str>,
}

impl Credential {
    fn of(realm: Realm) -> Self {
        let by_token = matches!(realm, Realm::Keystone | Realm::Bearer);
        Self {
            realm: realm_name(realm),
            token: by_token.then_some("***"),
            identity_status: by_token.then_some("Confirmed"),
        }
    }
}

#[derive(Serialize)]
struct Host<'a> {
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
}

#[derive(Serialize)]
struct Target {
    #[serde(rename = "typeURI")]
    type_uri: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<Address>,
}

#[derive(Serialize)]
struct Address {
    name: &'static str,
    url: String,
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
    use crate::domain::{ProjectId, UniqueIdentifier, audit::HttpFacts};

    fn line(entry: &Entry, seq: u64, prev: &LineHash, observer: &str) -> serde_json::Result<Vec<u8>> {
        let mut line = Vec::new();
        write_line(&mut line, entry, seq, prev, observer)?;
        Ok(line)
    }

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
            http: None,
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
            "operation": "reveal",
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

    #[test]
    fn a_request_to_the_rest_api_is_told_as_that_api_s_own_filter_tells_it() {
        let event = AuditEvent {
            id: [1; 16],
            time: Timestamp::from_seconds(1_700_000_000),
            request: "req-1".to_owned(),
            protocol: Protocol::Barbican,
            initiator: Some("u1".to_owned()),
            realm: Some(Realm::Keystone),
            project: Some(ProjectId("p1".to_owned())),
            address: Some("127.0.0.1".to_owned()),
            operation: OperationKind::Refuse,
            targets: Vec::new(),
            outcome: Outcome::Failure("denied".to_owned()),
            recovered: false,
            http: Some(HttpFacts {
                method: "GET".to_owned(),
                path: "/v1/project-quotas/p2?x=1".to_owned(),
                service: "https://keys.example".to_owned(),
                agent: Some("curl/8".to_owned()),
                user_name: Some("alice".to_owned()),
                status: Some(403),
            }),
        };
        let line = line(&Entry::Event(Box::new(event)), 1, &BEGINNING, "portcullis").unwrap();
        let mut shown: serde_json::Value = serde_json::from_slice(&line).unwrap();
        for (member, expected) in [
            ("action", serde_json::json!("read")),
            ("operation", serde_json::json!("refuse")),
            ("outcome", serde_json::json!("failure")),
            ("reason", serde_json::json!({"reasonType": "HTTP", "reasonCode": "403", "failure": "denied"})),
            ("requestPath", serde_json::json!("/v1/project-quotas/p2?x=1")),
            (
                "initiator",
                serde_json::json!({
                    "typeURI": "service/security/account/user",
                    "id": "u1",
                    "name": "alice",
                    "credential": {"type": "keystone", "token": "***", "identity_status": "Confirmed"},
                    "project_id": "p1",
                    "host": {"address": "127.0.0.1", "agent": "curl/8"},
                }),
            ),
            (
                "target",
                serde_json::json!({
                    "typeURI": "service/security/keymanager/project-quotas",
                    "id": "p2",
                    "addresses": [{"name": "public", "url": "https://keys.example"}],
                }),
            ),
            ("tags", serde_json::json!(["correlation_id?value=req-1"])),
            (
                "reporterchain",
                serde_json::json!([{
                    "role": "modifier",
                    "reporter": {"id": "target"},
                    "reporterTime": "2023-11-14T22:13:20Z",
                }]),
            ),
        ] {
            assert_eq!(shown[member].take(), expected, "{member}");
        }
    }

    #[test]
    fn moments_are_rfc_3339() {
        use time::format_description::well_known::Rfc3339;
        for micros in
            [0, 1, 10, 999_999, 1_000_000, 1_700_000_000_120_000, -1, -62_167_219_200_000_000, 253_402_300_799_999_999]
        {
            let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap();
            assert_eq!(moment(Timestamp::from_micros(micros)), date.format(&Rfc3339).unwrap());
        }
        for micros in [i64::MIN, -62_167_219_200_000_001, 253_402_300_800_000_000, i64::MAX] {
            assert_eq!(moment(Timestamp::from_micros(micros)), format!("{micros} us"));
        }
    }

    #[test]
    fn verbs_have_cadf_s_words() {
        for (method, path, word) in [
            ("GET", "/v1/secrets", "read/list"),
            ("GET", "/v1/secrets/", "read/list"),
            ("GET", "/v1/secrets?name=x", "read/list"),
            ("GET", "/v1/secrets/1", "read"),
            ("GET", "/v1/secrets/1/payload", "read"),
            ("GET", "/v1/secrets/1/acl", "read"),
            ("GET", "/v1/secrets/1/consumers", "read/list"),
            ("GET", "/v1/orders", "read/list"),
            ("POST", "/v1/orders", "create"),
            ("POST", "/v1/containers/1/secrets", "create"),
            ("POST", "/v1/secrets/1/metadata", "update"),
            ("PUT", "/v1/secrets/1", "update"),
            ("PATCH", "/v1/secrets/1/acl", "update"),
            ("DELETE", "/v1/secrets/1", "delete"),
            ("BREW", "/v1/secrets", "unknown"),
        ] {
            assert_eq!(action(method, path), word, "{method} {path}");
        }
    }
}
