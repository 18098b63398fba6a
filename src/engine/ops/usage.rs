//! Whether a key may be used now, and what a use costs (KMIP 2.1 §3.1 states, §4.66 Usage Limits; contract §7).
//!
//! The order of the checks decides which reason wins: archived, destroyed, type, state and dates, mask, limits.

use crate::{
    domain::{AttributeKind, AttributeValue, ManagedObject, ObjectType, State, TokenReference, UsageMask},
    engine::{
        Error, ErrorKind, Tools,
        ports::{Guard, Versioned, Write},
    },
};

/// Which side of a key's life a use belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Encrypt, sign, MAC, wrap, derive: active keys before their Protect Stop Date.
    Protect,
    /// Decrypt, verify: also after the key was deactivated, from its Process Start Date on.
    Process,
}

/// The key object to use, or why it may not be used.
///
/// # Errors
///
/// In this order: `Destroyed`, `Archived`, `WrongObjectType`, `WrongState`, `WrongUsage`, and `Cryptographic` for a
/// value that the token does not accept as a key.
pub(super) fn usable<'a>(
    tools: &Tools,
    object: &'a ManagedObject,
    types: &[ObjectType],
    side: Side,
    need: UsageMask,
) -> Result<&'a TokenReference, Error> {
    let reference = allowed(tools, object, types, side, need)?;
    if reference.key.is_none() {
        let text = "the HSM holds the value, but does not offer its algorithm, curve or length";
        return Err(Error::new(ErrorKind::Cryptographic, text));
    }
    Ok(reference)
}

/// The value to use, whether the token takes it as a key or holds it as bytes; or why it may not be used.
///
/// # Errors
///
/// As [`usable`], but for the last.
pub(super) fn allowed<'a>(
    tools: &Tools,
    object: &'a ManagedObject,
    types: &[ObjectType],
    side: Side,
    need: UsageMask,
) -> Result<&'a TokenReference, Error> {
    let now = tools.now();
    let state = object.state(now);
    if object.lifecycle.archive.is_some() && !state.is_destroyed() {
        return Err(Error::new(ErrorKind::Archived, "the object is archived"));
    }
    if state.is_destroyed() {
        return Err(Error::new(ErrorKind::Destroyed, "the object has been destroyed"));
    }
    if !types.contains(&object.object_type) {
        return Err(Error::new(ErrorKind::WrongObjectType, "the operation does not apply to this type of object"));
    }
    let allowed = match side {
        Side::Protect => state == State::Active && object.lifecycle.protect_stop.is_none_or(|stop| now < stop),
        Side::Process => {
            matches!(state, State::Active | State::Deactivated | State::Compromised)
                && object.lifecycle.process_start.is_none_or(|start| start <= now)
        }
    };
    if !allowed {
        return Err(Error::new(ErrorKind::WrongState, format!("not possible for an object that is {}", state.name())));
    }
    if !object.usage().contains(need) {
        return Err(Error::new(ErrorKind::WrongUsage, "the usage mask does not allow it"));
    }
    tools.reference(object)
}

/// Takes a use of `bytes` bytes off the usage limit, if the object has one: atomic over concurrent requests and restarts.
///
/// # Errors
///
/// `UsageSpent` when the limit does not allow it; `Conflict` when others win eight times in a row.
pub(super) async fn charge(tools: &Tools, mut found: Versioned<ManagedObject>, bytes: usize) -> Result<(), Error> {
    for _ in 0..8 {
        let Some(AttributeValue::UsageLimits { total, count, unit }) =
            found.record.attributes.value(&AttributeKind::UsageLimits)
        else {
            return Ok(());
        };
        const UNIT_BYTE: u32 = 1;
        let cost = if *unit == UNIT_BYTE { i64::try_from(bytes).unwrap_or(i64::MAX) } else { 1 };
        let left = count.unwrap_or(*total).checked_sub(cost).filter(|left| *left >= 0);
        let left = left.ok_or_else(|| Error::new(ErrorKind::UsageSpent, "the usage limit does not allow it"))?;
        let limits = AttributeValue::UsageLimits { total: *total, count: Some(left), unit: *unit };
        let id = found.record.identifier;
        found.record.attributes.set(AttributeKind::UsageLimits, limits);
        match tools.commit(vec![Write::PutObject(Box::new(found.record), Guard::At(found.revision))]).await {
            Err(error) if error.kind == ErrorKind::Conflict => {
                found = tools.store().object(id).await?.ok_or_else(Error::not_found)?;
            }
            other => return other,
        }
    }
    Err(Error::new(ErrorKind::Conflict, "the usage limit is contended; try again"))
}
