//! Activate, Revoke, Destroy, Check (KMIP 2.1 §6.1.1, .48, .15, .5).

use super::{
    change::change_object,
    usage::{self, Side},
};
use crate::{
    authz::Permitted,
    domain::{
        AttributeKind, AttributeValue, ManagedObject, OperationKind, State, Timestamp, UniqueIdentifier, UsageMask,
        lifecycle::{RevocationReason, Trigger},
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Guard, HsmRequest, IntentKind, Placement, Versioned, Write},
    },
};

/// Makes a Pre-Active object Active, now.
#[derive(Debug)]
pub struct Activate {
    /// Which object.
    pub object: UniqueIdentifier,
}

impl Operation for Activate {
    const KIND: OperationKind = OperationKind::Activate;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        change_object(tools, on.into_object()?, |object| {
            at_hand(object)?;
            alive(object, tools.now())?;
            object.lifecycle.apply(Trigger::Activate, tools.now()).map_err(|illegal| {
                // An active object is in the wrong state; the others have no such transition, and 1.x calls both the same.
                Error::new(ErrorKind::WrongState, format!("not possible for an object that is {}", illegal.from.name()))
                    .because(illegal)
            })?;
            Ok(())
        })
        .await
    }
}

/// Ends the use of an object: deactivates it, or marks it compromised.
#[derive(Debug)]
pub struct Revoke {
    /// Which object.
    pub object: UniqueIdentifier,
    /// Why.
    pub reason: RevocationReason,
    /// When the compromise happened, as far as the client knows.
    pub occurred: Option<Timestamp>,
}

impl Operation for Revoke {
    const KIND: OperationKind = OperationKind::Revoke;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        change_object(tools, on.into_object()?, |object| {
            at_hand(object)?;
            let trigger = if self.reason.is_compromise() { Trigger::Compromise } else { Trigger::Deactivate };
            object.lifecycle.apply(trigger, tools.now())?;
            if trigger == Trigger::Compromise {
                object.lifecycle.compromise_occurrence = Some(self.occurred.unwrap_or(object.lifecycle.initial));
            }
            object.lifecycle.revocation = Some(self.reason.clone());
            Ok(())
        })
        .await
    }
}

/// Destroys an object's value; its attributes stay.
#[derive(Debug)]
pub struct Destroy {
    /// Which object.
    pub object: UniqueIdentifier,
}

impl Operation for Destroy {
    const KIND: OperationKind = OperationKind::Destroy;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        let Versioned { record: mut object, mut revision } = on.into_object()?;
        at_hand(&object)?;
        alive(&object, tools.now())?;
        object.lifecycle.apply(Trigger::Destroy, tools.now()).map_err(|illegal| {
            let text = format!("not possible for an object that is {}", illegal.from.name());
            Error::new(ErrorKind::WrongState, text).because(illegal)
        })?;
        let Some(reference) = object.value.take() else {
            tools.commit(vec![Write::PutObject(Box::new(object.clone()), Guard::At(revision))]).await?;
            return Ok(object);
        };
        let at = Placement { token: reference.token, cka_id: reference.cka_id };
        let intent = tools.announce(IntentKind::Destroy { object: self.object }, vec![at.clone()]).await?;
        if let Err(error) = tools.hsm(HsmRequest::Destroy { at }).await {
            // The value may be gone or not; the intent stays and is finished by the reconciler, never half undone.
            tracing::warn!(%error, object = %self.object, "destroying a value is left to the reconciler");
            return Err(error);
        }
        object.attributes.set(AttributeKind::KeyValuePresent, AttributeValue::Boolean(false));
        for _ in 0..ATTEMPTS {
            let write = Write::PutObject(Box::new(object.clone()), Guard::At(revision));
            match tools.settle(&intent, vec![write]).await {
                Ok(()) => return Ok(object),
                Err(error) if error.kind != ErrorKind::Conflict => return Err(error),
                Err(_) => {}
            }
            // The value is gone, whatever became of the record meanwhile: the newest one must say so.
            let newest = tools.store().object(self.object).await?;
            let Some(newest) = newest.filter(|it| !it.record.state(tools.now()).is_destroyed()) else {
                tools.withdraw(intent).await;
                return Err(Error::new(ErrorKind::Destroyed, "the object has been destroyed"));
            };
            (object, revision) = (without_value(newest.record, tools.now()), newest.revision);
        }
        Err(Error::new(ErrorKind::Busy, "the object is being changed by others; try again later"))
    }
}

/// How often the record is read again when others change it meanwhile.
const ATTEMPTS: u32 = 16;

/// The record of an object whose value has been destroyed.
pub(in crate::engine) fn without_value(mut object: ManagedObject, now: Timestamp) -> ManagedObject {
    object.value = None;
    object.attributes.set(AttributeKind::KeyValuePresent, AttributeValue::Boolean(false));
    object.lifecycle.end(now);
    object
}

/// What is archived is recovered first; before anything else is said of it (KMIP 1.4 §11, "Object is archived").
pub(super) fn at_hand(object: &ManagedObject) -> Result<(), Error> {
    match object.lifecycle.archive {
        Some(_) => Err(Error::new(ErrorKind::Archived, "the object is archived")),
        None => Ok(()),
    }
}

fn alive(object: &ManagedObject, now: Timestamp) -> Result<(), Error> {
    if object.state(now).is_destroyed() {
        return Err(Error::new(ErrorKind::Destroyed, "the object has been destroyed"));
    }
    Ok(())
}

/// Asks whether a use would be allowed, without using.
#[derive(Debug)]
pub struct Check {
    /// Which object.
    pub object: UniqueIdentifier,
    /// Would this many more uses be allowed.
    pub usage_limits_count: Option<i64>,
    /// Are all these bits in the mask.
    pub usage: Option<UsageMask>,
    /// Would a lease of this many seconds be given.
    pub lease_seconds: Option<u32>,
}

impl Operation for Check {
    const KIND: OperationKind = OperationKind::Check;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        let object = on.into_object()?.record;
        at_hand(&object)?;
        alive(&object, tools.now())?;
        if let Some(usage) = self.usage
            && !object.usage().contains(usage)
        {
            return Err(Error::new(ErrorKind::WrongUsage, "the usage mask does not allow it"));
        }
        if let Some(wanted) = self.usage_limits_count
            && let Some(AttributeValue::UsageLimits { total, count, .. }) =
                object.attributes.value(&AttributeKind::UsageLimits)
            && count.unwrap_or(*total) < wanted
        {
            return Err(Error::new(ErrorKind::UsageSpent, "the usage limit does not allow it"));
        }
        if let Some(seconds) = self.lease_seconds
            && seconds > tools.settings().lease_seconds
        {
            return Err(Error::new(ErrorKind::Denied, "no lease of that length is given"));
        }
        Ok(object)
    }
}

/// Whether a protecting use would be possible now; for tests of the state table.
#[must_use]
pub fn may_protect(tools: &Tools, object: &ManagedObject, need: UsageMask) -> bool {
    object.state(tools.now()) == State::Active
        && usage::usable(tools, object, &[object.object_type], Side::Protect, need).is_ok()
}
