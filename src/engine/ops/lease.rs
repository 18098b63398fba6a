//! Obtain Lease and Get Usage Allocation (KMIP 2.1 §6.1.35, .23).

use super::change::change_object;
use crate::{
    authz::Permitted,
    domain::{AttributeKind, AttributeValue, ManagedObject, OperationKind, State, UniqueIdentifier},
    engine::{Error, ErrorKind, Operation, Target, Targets, Tools},
};

/// Asks how long an object may be used without asking again.
#[derive(Debug)]
pub struct ObtainLease {
    /// Which object.
    pub object: UniqueIdentifier,
}

/// A lease.
#[derive(Debug)]
pub struct Leased {
    /// The object.
    pub object: ManagedObject,
    /// For how many seconds.
    pub seconds: u32,
}

impl Operation for ObtainLease {
    const KIND: OperationKind = OperationKind::Lease;
    type Output = Leased;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Leased, Error> {
        let object = on.into_object()?.record;
        let state = object.state(tools.now());
        if object.lifecycle.archive.is_some() && !state.is_destroyed() {
            return Err(Error::new(ErrorKind::Archived, "the object is archived"));
        }
        match state {
            State::PreActive | State::Active | State::Deactivated => {}
            State::Compromised | State::Destroyed | State::DestroyedCompromised => {
                let text = format!("no lease is given for an object that is {}", state.name());
                return Err(Error::new(ErrorKind::LeaseRefused, text));
            }
        }
        let seconds = match object.attributes.value(&AttributeKind::LeaseTime) {
            Some(AttributeValue::Interval(seconds)) => *seconds,
            _ => tools.settings().lease_seconds,
        };
        Ok(Leased { object, seconds })
    }
}

/// Takes a part of what an object may be used: atomic over concurrent requests and restarts.
#[derive(Debug)]
pub struct Allocate {
    /// Which object.
    pub object: UniqueIdentifier,
    /// How much, in the unit of its limits.
    pub count: i64,
}

impl Operation for Allocate {
    const KIND: OperationKind = OperationKind::Lease;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        if self.count < 0 {
            return Err(Error::new(ErrorKind::InvalidField, "an allocation is not negative"));
        }
        let now = tools.now();
        change_object(tools, on.into_object()?, move |object| {
            let state = object.state(now);
            if object.lifecycle.archive.is_some() && !state.is_destroyed() {
                return Err(Error::new(ErrorKind::Archived, "the object is archived"));
            }
            if state.is_destroyed() {
                return Err(Error::new(ErrorKind::Destroyed, "the object has been destroyed"));
            }
            let stopped = object.lifecycle.protect_stop.is_some_and(|stop| stop <= now);
            if state != State::Active || stopped {
                let text = format!("not possible for an object that is {}", state.name());
                return Err(Error::new(ErrorKind::WrongState, text));
            }
            let Some(AttributeValue::UsageLimits { total, count, unit }) =
                object.attributes.value(&AttributeKind::UsageLimits)
            else {
                return Err(Error::new(ErrorKind::NoUsageLimit, "the object has no usage limits"));
            };
            let left = count
                .unwrap_or(*total)
                .checked_sub(self.count)
                .filter(|left| *left >= 0)
                .ok_or_else(|| Error::new(ErrorKind::AllocationRefused, "the usage limit does not allow it"))?;
            let limits = AttributeValue::UsageLimits { total: *total, count: Some(left), unit: *unit };
            object.attributes.set(AttributeKind::UsageLimits, limits);
            object.lifecycle.last_change = now;
            Ok(())
        })
        .await
    }
}
