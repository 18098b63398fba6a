//! Encodings that earlier programs wrote: what a record was then, and what it is now.
//!
//! Each type here is frozen: it says how bytes on disks look. A type of the domain that changes leaves its old form here,
//! under the version that it was last written with.

use serde::Deserialize;

use crate::{
    domain::{
        OperationKind, ProjectId, Realm, Timestamp, UniqueIdentifier,
        audit::{AuditEvent, Outcome, Protocol},
    },
    engine::ports::{Intent, IntentKind, Placement},
};

/// From this version on an audit record knows of HTTP.
pub(super) const HTTP_FACTS: u8 = 2;

/// An audit record of version 1.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct EventOf1 {
    id: [u8; 16],
    time: Timestamp,
    request: String,
    protocol: Protocol,
    initiator: Option<String>,
    realm: Option<Realm>,
    project: Option<ProjectId>,
    address: Option<String>,
    operation: OperationKind,
    targets: Vec<UniqueIdentifier>,
    outcome: Outcome,
    recovered: bool,
}

/// An intent of version 1.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct IntentOf1 {
    id: [u8; 16],
    kind: IntentKind,
    places: Vec<Placement>,
    event: EventOf1,
}

impl From<EventOf1> for AuditEvent {
    fn from(old: EventOf1) -> Self {
        Self {
            id: old.id,
            time: old.time,
            request: old.request,
            protocol: old.protocol,
            initiator: old.initiator,
            realm: old.realm,
            project: old.project,
            address: old.address,
            operation: old.operation,
            targets: old.targets,
            outcome: old.outcome,
            recovered: old.recovered,
            http: None,
        }
    }
}

/// Reads an owed audit record from before [`HTTP_FACTS`].
pub(super) fn event(body: &[u8]) -> postcard::Result<(AuditEvent, &[u8])> {
    let (old, rest) = postcard::take_from_bytes::<EventOf1>(body)?;
    Ok((old.into(), rest))
}

/// Reads an intent from before [`HTTP_FACTS`].
pub(super) fn intent(body: &[u8]) -> postcard::Result<(Intent, &[u8])> {
    let (IntentOf1 { id, kind, places, event }, rest) = postcard::take_from_bytes::<IntentOf1>(body)?;
    Ok((Intent { id, kind, places, event: event.into() }, rest))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde::Serialize;

    use super::{
        super::{
            RawStore,
            backend::{Backend, RawBatch},
            memory::MemoryBackend,
            record::{MacKey, Record, Table, head_key, piece_key},
        },
        *,
    };
    use crate::{
        domain::{Attributes, Lifecycle, ManagedObject, ObjectType, Origin, SecretValue, TokenId, secret::SecretFacet},
        engine::ports::{MetadataStore, Revision},
    };

    const ID: [u8; 16] = [7; 16];

    fn old_event() -> EventOf1 {
        EventOf1 {
            id: ID,
            time: Timestamp::from_micros(1_800_000_000_123_456),
            request: "req-1".to_owned(),
            protocol: Protocol::Barbican,
            initiator: Some("alice".to_owned()),
            realm: Some(Realm::Keystone),
            project: Some(ProjectId("p1".to_owned())),
            address: Some("127.0.0.1".to_owned()),
            operation: OperationKind::Register,
            targets: vec![UniqueIdentifier::from_bytes([9; 16])],
            outcome: Outcome::Failure("busy".to_owned()),
            recovered: true,
        }
    }

    fn event_today() -> AuditEvent {
        old_event().into()
    }

    /// What version 1 wrote, byte by byte: the frozen types must not move.
    #[test]
    fn the_first_encoding_is_what_it_was() {
        let body = postcard::to_stdvec(&old_event()).unwrap();
        let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert_eq!(event(&body).unwrap(), (event_today(), &[][..]));
    }

    const GOLDEN: &str = "070707070707070707070707070707078089d389e5c5b206057265712d31010105616c69636501010102703101093132372e302e302e31020110\
                          0909090909090909090909090909090901046275737901";

    fn sealed<R: Record>(mac: &MacKey, record: &impl Serialize, writes: &mut RawBatch) {
        let key = head_key::<R>(ID);
        let body = postcard::to_stdvec(record).unwrap();
        let encoded = mac.seal_as(1, &key, Revision(1), body, R::INLINE_BYTES).unwrap();
        for (at, piece) in (0_u16..).zip(encoded.pieces) {
            writes.writes.insert(piece_key(&key, at), Some(piece));
        }
        writes.writes.insert(key, Some(encoded.head));
    }

    /// A store in which a program of version 1 left an object, an intent and an owed record.
    #[tokio::test]
    async fn a_store_of_the_first_version_is_read_whole() {
        let key = SecretValue::new(vec![42; 32]);
        let mac = MacKey::new(&key).unwrap();
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
        let object = ManagedObject {
            identifier: UniqueIdentifier::from_bytes(ID),
            object_type: ObjectType::OpaqueObject,
            project: ProjectId("p1".to_owned()),
            creator: None,
            origin: Origin::Barbican,
            value: None,
            format: None,
            subtype: None,
            lifecycle: Lifecycle::new(Timestamp::from_seconds(1)),
            attributes: Attributes::default(),
            secret: SecretFacet::default(),
        };
        let place = Placement { token: TokenId("main".to_owned()), cka_id: UniqueIdentifier::from_bytes(ID).cka_id() };
        let intent = IntentOf1 { id: ID, kind: IntentKind::Make, places: vec![place.clone()], event: old_event() };
        let mut batch = RawBatch::default();
        sealed::<ManagedObject>(&mac, &object, &mut batch);
        sealed::<Intent>(&mac, &intent, &mut batch);
        sealed::<AuditEvent>(&mac, &old_event(), &mut batch);
        // The mark of the key is of that version, too; the indexes are made when they are found missing.
        let mark = Table::KeyCheck.key(&[]);
        let sealed_mark = mac.seal_as(1, &mark, Revision(1), Vec::new(), 0).unwrap();
        batch.writes.insert(mark, Some(sealed_mark.head));
        backend.commit(batch, Box::new(|done| done.unwrap()));

        let store = RawStore::on(backend).unlock(&key).unwrap();
        let found = store.object(object.identifier).await.unwrap().unwrap();
        assert_eq!((found.record, found.revision), (object.clone(), Revision(1)));
        let wanted = Intent { id: ID, kind: IntentKind::Make, places: vec![place], event: event_today() };
        assert_eq!(store.intents().await.unwrap(), [wanted]);
        assert_eq!(store.owed().await.unwrap(), [event_today()]);
    }
}
