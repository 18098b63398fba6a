//! A use that was permitted while another request began to destroy the value.
//!
//! The HSM is changed before the record is, so for a moment the record names a value that is gone. Whoever meets that is told
//! that the object is destroyed, which is true from then on: a destruction that began is finished. Without such a reason a
//! missing value stays what it is, a fault.

use super::{
    error::{Error, ErrorKind},
    ports::{HsmError, HsmErrorKind, HsmRequest, IntentKind, MetadataStore},
};
use crate::domain::{UniqueIdentifier, reference::CkaId};

/// The values that a request uses; none for one that makes, finds or destroys.
pub(super) fn used(request: &HsmRequest) -> [Option<CkaId>; 2] {
    use HsmRequest as R;
    match request {
        R::RevealKey { reference }
        | R::RevealBytes { reference }
        | R::Digest { reference, .. }
        | R::CopyTo { reference, .. } => [Some(reference.cka_id), None],
        R::WrapKey { wrapping, target, .. } => [Some(wrapping.cka_id), Some(target.cka_id)],
        R::WrapBytes { wrapping: key, .. }
        | R::UnwrapBytes { wrapping: key, .. }
        | R::Encrypt { key, .. }
        | R::Decrypt { key, .. }
        | R::Sign { key, .. }
        | R::Verify { key, .. }
        | R::Mac { key, .. }
        | R::Derive { key, .. }
        | R::MakeTwin { of: key, .. } => [Some(key.cka_id), None],
        R::GenerateKey { .. }
        | R::GenerateKeyPair { .. }
        | R::ImportKey { .. }
        | R::HoldBytes { .. }
        | R::Destroy { .. }
        | R::Clear { .. }
        | R::Find { .. }
        | R::Random { .. }
        | R::SeedRandom { .. }
        | R::CertifierKey
        | R::CertifierSign { .. } => [None, None],
    }
}

/// What a failure of the HSM means for who used these values.
pub(super) async fn explained(store: &dyn MetadataStore, used: [Option<CkaId>; 2], error: HsmError) -> Error {
    if error.kind == HsmErrorKind::ObjectMissing {
        for id in used.into_iter().flatten().map(|id| UniqueIdentifier::from_bytes(id.0)) {
            if is_going(store, id).await {
                return Error::new(ErrorKind::Destroyed, "the object has been destroyed").because(error);
            }
        }
    }
    error.into()
}

/// Whether a request destroys it or has done so. Intents first: what is concluded between the two looks is in the record.
async fn is_going(store: &dyn MetadataStore, id: UniqueIdentifier) -> bool {
    let begun = store.intents().await.is_ok_and(|intents| {
        intents.iter().any(|intent| matches!(intent.kind, IntentKind::Destroy { object } if object == id))
    });
    begun || store.object(id).await.is_ok_and(|found| found.is_none_or(|found| found.record.value.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            ManagedObject, ObjectType, OperationKind, Origin, ProjectId, Timestamp, TokenId, TokenReference,
            attributes::Attributes,
            audit::{AuditEvent, Outcome, Protocol},
            lifecycle::Lifecycle,
            reference::{DataHolder, HeldBytes},
            secret::SecretFacet,
        },
        engine::{
            ports::{Batch, Intent, Write},
            testing::MemoryStore,
        },
    };

    const ID: UniqueIdentifier = UniqueIdentifier::from_bytes([7; 16]);

    fn object() -> ManagedObject {
        ManagedObject {
            identifier: ID,
            object_type: ObjectType::OpaqueObject,
            project: ProjectId("p".to_owned()),
            creator: None,
            origin: Origin::Barbican,
            value: Some(TokenReference {
                token: TokenId("t".to_owned()),
                cka_id: ID.cka_id(),
                key: None,
                bytes: Some(HeldBytes { holder: DataHolder::Data, length: 8 }),
            }),
            format: None,
            subtype: None,
            lifecycle: Lifecycle::new(Timestamp::from_seconds(1)),
            attributes: Attributes::default(),
            secret: SecretFacet::default(),
        }
    }

    fn destruction() -> Intent {
        let event = AuditEvent {
            id: [1; 16],
            time: Timestamp::from_seconds(1),
            request: "r".to_owned(),
            protocol: Protocol::Barbican,
            initiator: None,
            realm: None,
            project: None,
            address: None,
            operation: OperationKind::Destroy,
            targets: vec![ID],
            outcome: Outcome::Success,
            recovered: false,
            http: None,
        };
        Intent { id: [2; 16], kind: IntentKind::Destroy { object: ID }, places: Vec::new(), event }
    }

    async fn kind(store: &MemoryStore, error: HsmErrorKind) -> ErrorKind {
        let error = HsmError { kind: error, function: "C_FindObjects", rv: 0, again: None };
        explained(store, [Some(ID.cka_id()), None], error).await.kind
    }

    #[tokio::test]
    async fn a_missing_value_is_a_fault_unless_somebody_destroys_it() {
        let store = MemoryStore::default();
        assert_eq!(kind(&store, HsmErrorKind::ObjectMissing).await, ErrorKind::Destroyed, "no record is left");
        store.plant_object(object());
        assert_eq!(kind(&store, HsmErrorKind::ObjectMissing).await, ErrorKind::Internal, "nobody destroys it");
        store.commit(Batch(vec![Write::PutIntent(Box::new(destruction()))])).await.unwrap();
        assert_eq!(kind(&store, HsmErrorKind::ObjectMissing).await, ErrorKind::Destroyed, "somebody has begun to");
        assert_eq!(kind(&store, HsmErrorKind::Busy).await, ErrorKind::Busy);
    }
}
