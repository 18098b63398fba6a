//! Obliterate and Deactivate, which KMIP 3.0 adds to the lifecycle.

use super::{change::change_object, retire};
use crate::{
    authz::Permitted,
    domain::{
        AttributeKind, AttributeValue, Lifecycle, ManagedObject, ObjectType, OperationKind, State, Timestamp,
        UniqueIdentifier,
        lifecycle::{RevocationReason, Trigger},
        secret::SecretFacet,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Guard, HsmRequest, IntentKind, Placement, Write},
    },
};

/// How often the record is read again when others change it meanwhile.
const ATTEMPTS: u32 = 16;

/// Destroys an object's value, and its attributes with it; what stays is the identifier.
#[derive(Debug)]
pub struct Obliterate {
    /// Which object.
    pub object: UniqueIdentifier,
}

impl Operation for Obliterate {
    const KIND: OperationKind = OperationKind::Obliterate;
    type Output = ();

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<(), Error> {
        let mut on = on.into_object()?;
        // As Destroy: an active object is deactivated first. One that was destroyed before may follow its value.
        if on.record.state(tools.now()) == State::Active {
            return Err(Error::new(ErrorKind::WrongState, "not possible for an object that is active"));
        }
        let value = on.record.value.take();
        let intent = match value {
            None => None,
            Some(reference) => {
                let at = Placement { token: reference.token, cka_id: reference.cka_id };
                let intent = tools.announce(IntentKind::Destroy { object: self.object }, vec![at.clone()]).await?;
                // The value may be gone or not when this fails; the intent stays, and the reconciler finishes it.
                tools.hsm(HsmRequest::Destroy { at }).await?;
                Some(intent)
            }
        };
        for _ in 0..ATTEMPTS {
            let mut writes = retire::burial(tools.store(), tools.now(), &on).await?;
            if let Some(first) = writes.first_mut() {
                let nothing = nothing_but(&on.record, tools.now());
                *first = Write::PutObject(Box::new(nothing), Guard::At(on.revision));
            }
            let written = match &intent {
                Some(intent) => tools.settle(intent, writes).await,
                None => tools.commit(writes).await,
            };
            match written {
                Err(error) if error.kind == ErrorKind::Conflict => {
                    let newest = tools.store().object(self.object).await?;
                    on = newest.ok_or_else(Error::not_found)?;
                    if intent.is_none() && on.record.value.is_some() {
                        return Err(Error::new(ErrorKind::Conflict, "the object got a value meanwhile; try again"));
                    }
                }
                done => return done,
            }
        }
        Err(Error::new(ErrorKind::Busy, "the object is being changed by others; try again later"))
    }
}

/// The identifier and whose it was, so that its owner is told the truth and nobody else anything.
fn nothing_but(object: &ManagedObject, now: Timestamp) -> ManagedObject {
    let mut lifecycle = Lifecycle::new(now);
    lifecycle.end(now);
    ManagedObject {
        identifier: object.identifier,
        object_type: ObjectType::Obliterated,
        project: object.project.clone(),
        creator: None,
        origin: object.origin,
        value: None,
        format: None,
        subtype: None,
        lifecycle,
        attributes: Default::default(),
        secret: SecretFacet::default(),
    }
}

/// Ends the use of an active object without the word of a revocation.
#[derive(Debug)]
pub struct Deactivate {
    /// Which object.
    pub object: UniqueIdentifier,
    /// Why.
    pub reason: Option<RevocationReason>,
}

impl Operation for Deactivate {
    const KIND: OperationKind = OperationKind::Deactivate;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        change_object(tools, on.into_object()?, |object| {
            super::lifecycle::at_hand(object)?;
            if object.state(tools.now()).is_destroyed() {
                return Err(Error::new(ErrorKind::Destroyed, "the object has been destroyed"));
            }
            object.lifecycle.apply(Trigger::Deactivate, tools.now())?;
            if let Some(RevocationReason { code, message }) = self.reason.clone() {
                object
                    .attributes
                    .set(AttributeKind::DeactivationReason, AttributeValue::RevocationReason { code, message });
            }
            Ok(())
        })
        .await
    }
}
