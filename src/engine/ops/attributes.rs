//! Reads and changes attributes by the rules of the attribute table (KMIP 2.1 §4 and §6.1.2, .14, .20, .34, .55).

use super::change::change_object;
use crate::{
    authz::Permitted,
    domain::{
        Attribute, AttributeKind, AttributeValue, ManagedObject, ObjectType, OperationKind, State, Timestamp,
        UniqueIdentifier,
        algorithm::{HashingAlgorithm, KeyFormatType},
        attributes::Change,
        error::AttributeRefusal,
    },
    engine::{Error, ErrorKind, Operation, Target, Targets, Tools, ports::HsmRequest},
};

/// Reads every attribute of an object, destroyed ones included.
#[derive(Debug)]
pub struct ReadAttributes {
    /// Of which object.
    pub object: UniqueIdentifier,
    /// Whether *Digest* is wanted: it may have to be computed from the value, inside the HSM layer.
    pub digest: bool,
}

/// An object's attributes as they are now.
#[derive(Clone, Debug)]
pub struct AttributeSet {
    /// The object.
    pub object: ManagedObject,
    /// Stored and computed attributes.
    pub attributes: Vec<Attribute>,
}

impl Operation for ReadAttributes {
    const KIND: OperationKind = OperationKind::ReadAttributes;
    type Output = AttributeSet;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<AttributeSet, Error> {
        let object = on.into_object()?.record;
        let attributes = all(tools, &object, self.digest).await?;
        Ok(AttributeSet { object, attributes })
    }
}

/// Stored and computed attributes, with *Digest* where it is wanted and may be had.
pub(super) async fn all(tools: &Tools, object: &ManagedObject, digest: bool) -> Result<Vec<Attribute>, Error> {
    let mut attributes = object.all_attributes(tools.now());
    if object.object_type.is_key() {
        let counters = tools.counters(object);
        attributes.retain(|known| !counters.iter().any(|counter| counter.kind == known.kind));
        attributes.extend(counters);
    }
    if digest
        && object.attributes.value(&AttributeKind::Digest).is_none()
        && let Some(reference) = object.value.clone()
        && !object.state(tools.now()).is_destroyed()
        && object.flag(&AttributeKind::Extractable, true)
    {
        // Digests of values that a client chose are never stored: a low-entropy value could be guessed from one.
        let format = object.format.unwrap_or(KeyFormatType::RAW);
        let raw = matches!(object.object_type, ObjectType::SymmetricKey | ObjectType::SecretData);
        let format = if reference.bytes.is_some() || raw { format } else { canonical(object) };
        let value = tools.hsm_bytes(HsmRequest::Digest { reference, hash: HashingAlgorithm::SHA_256 }).await?;
        attributes.push(Attribute::new(AttributeKind::Digest, super::template::digest(value, format.0)));
    }
    Ok(attributes)
}

const fn canonical(object: &ManagedObject) -> KeyFormatType {
    match object.object_type {
        ObjectType::PrivateKey => KeyFormatType::PKCS_8,
        ObjectType::PublicKey => KeyFormatType::X_509,
        _ => KeyFormatType::RAW,
    }
}

/// What to do to an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeChange {
    /// Adds an instance.
    Add(Attribute),
    /// Replaces an instance: the one with the attribute's index, or the one that equals `current`.
    Modify {
        /// The new value, with the index of the instance in KMIP 1.x.
        to: Attribute,
        /// KMIP ≥ 2.0: which instance, by its value.
        current: Option<AttributeValue>,
    },
    /// Adds, or replaces the only instance (KMIP ≥ 2.0 Set Attribute).
    Set(Attribute),
    /// Moves the only instance (KMIP ≥ 2.0 Adjust Attribute): a number or date by so much, a flag to its opposite.
    Adjust {
        /// Which attribute.
        kind: AttributeKind,
        /// How.
        by: Adjustment,
    },
    /// Removes an instance by index, by value, or — with neither — every instance.
    Delete {
        /// Which attribute.
        kind: AttributeKind,
        /// Which instance, by index.
        index: Option<u32>,
        /// Which instance, by value.
        current: Option<AttributeValue>,
    },
}

/// How far an attribute moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    /// By this many units, which may be negative.
    By(i64),
    /// To its opposite.
    Negate,
}

/// Changes one attribute of an object.
#[derive(Debug)]
pub struct ChangeAttribute {
    /// Of which object.
    pub object: UniqueIdentifier,
    /// How.
    pub change: AttributeChange,
}

/// A changed object and the instance that was added, changed or deleted.
#[derive(Clone, Debug)]
pub struct ChangedAttribute {
    /// The object as it is now.
    pub object: ManagedObject,
    /// The instance; for deletions as it was.
    pub attribute: Attribute,
}

impl Operation for ChangeAttribute {
    const KIND: OperationKind = OperationKind::ChangeAttributes;
    type Output = ChangedAttribute;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ChangedAttribute, Error> {
        let now = tools.now();
        let mut attribute = None;
        let changed = change_object(tools, on.into_object()?, |object| {
            super::lifecycle::at_hand(object)?;
            attribute = Some(apply(object, self.change.clone(), now)?);
            object.lifecycle.last_change = now;
            // What was not so once was not always so (KMIP 1.4 §3.49, §3.51).
            for (kind, ended) in [
                (AttributeKind::AlwaysSensitive, !object.flag(&AttributeKind::Sensitive, false)),
                (AttributeKind::NeverExtractable, object.flag(&AttributeKind::Extractable, true)),
            ] {
                if ended && object.flag(&kind, false) {
                    object.attributes.set(kind, AttributeValue::Boolean(false));
                }
            }
            Ok(())
        });
        let object = changed.await.map_err(|mut error| {
            if error.kind == ErrorKind::NameTaken {
                error.kind = ErrorKind::NameTakenOnChange;
            }
            error
        })?;
        let attribute = attribute.ok_or_else(|| Error::new(ErrorKind::Internal, "a change that was not made"))?;
        Ok(ChangedAttribute { object, attribute })
    }
}

/// Applies a change or refuses it; pure.
fn apply(object: &mut ManagedObject, change: AttributeChange, now: Timestamp) -> Result<Attribute, Error> {
    if let AttributeChange::Add(to) | AttributeChange::Modify { to, .. } | AttributeChange::Set(to) = &change {
        super::template::limits_in_range(&to.value)?;
    }
    match change {
        AttributeChange::Add(attribute) => {
            allowed(object, &attribute.kind, now, true)?;
            if let Some(done) = date_change(object, &attribute, now, true)? {
                return Ok(done);
            }
            let Attribute { kind, value, .. } = attribute;
            if kind == AttributeKind::Name && object.attributes.of(&kind).any(|known| known.value == value) {
                return Err(Error::new(ErrorKind::NameTakenOnChange, "the object has this name already"));
            }
            let index = object.attributes.add(kind.clone(), with_count(value))?;
            stored(object, &kind, index)
        }
        AttributeChange::Modify { to, current } => {
            allowed(object, &to.kind, now, false)?;
            if let Some(done) = date_change(object, &to, now, false)? {
                return Ok(done);
            }
            let index = match &current {
                Some(current) => index_of(object, &to.kind, current)?,
                None => to.index,
            };
            check_value(object, &to.kind, index, &to.value)?;
            object.attributes.replace(&to.kind, index, with_count(to.value))?;
            stored(object, &to.kind, index)
        }
        AttributeChange::Set(to) => {
            allowed(object, &to.kind, now, object.attributes.value(&to.kind).is_none())?;
            if let Some(done) = date_change(object, &to, now, object_date(object, &to.kind).is_none())? {
                return Ok(done);
            }
            let instances: Vec<u32> = object.attributes.of(&to.kind).map(|attribute| attribute.index).collect();
            match instances.as_slice() {
                [] => {
                    let index = object.attributes.add(to.kind.clone(), with_count(to.value))?;
                    stored(object, &to.kind, index)
                }
                [index] => {
                    check_value(object, &to.kind, *index, &to.value)?;
                    object.attributes.replace(&to.kind, *index, with_count(to.value))?;
                    stored(object, &to.kind, *index)
                }
                _ => Err(AttributeRefusal::MultiValued.into()),
            }
        }
        AttributeChange::Adjust { kind, by } => {
            let current: Vec<AttributeValue> = match object_date(object, &kind) {
                Some(date) => vec![AttributeValue::Date(date)],
                None => object.attributes.of(&kind).map(|attribute| attribute.value.clone()).collect(),
            };
            let value = match current.as_slice() {
                [] => absent(&kind)?,
                [value] => value.clone(),
                _ => return Err(AttributeRefusal::MultiValued.into()),
            };
            apply(object, AttributeChange::Set(Attribute::new(kind, adjusted(value, by)?)), now)
        }
        AttributeChange::Delete { kind, index, current } => {
            if !kind.rule().deletable {
                let exists = object.all_attributes(now).iter().any(|attribute| attribute.kind == kind);
                return Err(if exists { AttributeRefusal::ReadOnly } else { AttributeRefusal::NoSuchInstance }.into());
            }
            after_destroy(object, &kind, now)?;
            let index = match (index, current) {
                (Some(index), _) => index,
                (None, Some(current)) => index_of(object, &kind, &current)?,
                (None, None) => {
                    let first = object.attributes.of(&kind).next().cloned();
                    let first = first.ok_or(AttributeRefusal::NoSuchInstance)?;
                    object.attributes.clear(&kind);
                    return Ok(first);
                }
            };
            Ok(object.attributes.remove(&kind, index)?)
        }
    }
}

/// What an attribute that is not there counts as: nothing, for numbers and flags (KMIP 2.1 §6.1.3).
fn absent(kind: &AttributeKind) -> Result<AttributeValue, Error> {
    use AttributeKind as K;
    match kind {
        K::CryptographicLength | K::CertificateLength | K::RotateGeneration => Ok(AttributeValue::Integer(0)),
        K::LeaseTime | K::ProtectionPeriod | K::RotateInterval | K::RotateOffset => Ok(AttributeValue::Interval(0)),
        K::Extractable | K::Sensitive | K::Fresh | K::QuantumSafe | K::RotateAutomatic => {
            Ok(AttributeValue::Boolean(false))
        }
        K::Vendor { .. } => Err(AttributeRefusal::NoSuchInstance.into()),
        _ => Err(wrong_type()),
    }
}

fn wrong_type() -> Error {
    Error::new(ErrorKind::WrongDataType, "the attribute is no number, date or flag")
}

fn adjusted(value: AttributeValue, by: Adjustment) -> Result<AttributeValue, Error> {
    use AttributeValue as V;
    let range = || Error::new(ErrorKind::OutOfRange, "the adjusted value is out of range");
    Ok(match (value, by) {
        (V::Boolean(flag), Adjustment::Negate) => V::Boolean(!flag),
        (V::Integer(number), Adjustment::By(by)) => {
            V::Integer(i32::try_from(i64::from(number).checked_add(by).ok_or_else(range)?).ok().ok_or_else(range)?)
        }
        (V::Integer(number), Adjustment::Negate) => V::Integer(number.checked_neg().ok_or_else(range)?),
        (V::Long(number), Adjustment::By(by)) => V::Long(number.checked_add(by).ok_or_else(range)?),
        (V::Long(number), Adjustment::Negate) => V::Long(number.checked_neg().ok_or_else(range)?),
        (V::Interval(seconds), Adjustment::By(by)) => {
            V::Interval(u32::try_from(i64::from(seconds).checked_add(by).ok_or_else(range)?).ok().ok_or_else(range)?)
        }
        (V::Date(date), Adjustment::By(by)) => {
            let seconds = date.seconds().checked_add(by).filter(|it| it.checked_mul(1_000_000).is_some());
            V::Date(Timestamp::from_seconds(seconds.ok_or_else(range)?))
        }
        _ => return Err(wrong_type()),
    })
}

/// Usage limits that come without a count start full.
fn with_count(value: AttributeValue) -> AttributeValue {
    match value {
        AttributeValue::UsageLimits { total, count, unit } => {
            AttributeValue::UsageLimits { total, count: Some(count.unwrap_or(total)), unit }
        }
        other => other,
    }
}

fn stored(object: &ManagedObject, kind: &AttributeKind, index: u32) -> Result<Attribute, Error> {
    let found = object.attributes.of(kind).find(|attribute| attribute.index == index).cloned();
    Ok(found.ok_or(AttributeRefusal::NoSuchInstance)?)
}

fn index_of(object: &ManagedObject, kind: &AttributeKind, current: &AttributeValue) -> Result<u32, Error> {
    let found = object.attributes.of(kind).find(|attribute| attribute.value == *current);
    Ok(found.map(|attribute| attribute.index).ok_or(AttributeRefusal::NoSuchInstance)?)
}

/// Whether a client may add (`adding`) or change the attribute of an object in this state.
fn allowed(object: &ManagedObject, kind: &AttributeKind, now: Timestamp, adding: bool) -> Result<(), Error> {
    let rule = kind.rule();
    if rule.initially == crate::domain::attributes::SetBy::Server {
        return Err(AttributeRefusal::ReadOnly.into());
    }
    if !kind.applies_to(object.object_type) {
        return Err(AttributeRefusal::NotApplicable.into());
    }
    after_destroy(object, kind, now)?;
    let exists = object.attributes.value(kind).is_some() || object_date(object, kind).is_some();
    match rule.changed {
        Change::Anytime => Ok(()),
        Change::Never if adding && !exists => Ok(()),
        Change::Never => Err(AttributeRefusal::ReadOnly.into()),
        Change::PreActive | Change::UntilDeactivated => {
            let state = object.state(now);
            let open =
                state == State::PreActive || (rule.changed == Change::UntilDeactivated && state == State::Active);
            if open { Ok(()) } else { Err(AttributeRefusal::WrongState.into()) }
        }
    }
}

/// A destroyed object keeps its attributes; only notes about it may still change (contract §7, last table).
fn after_destroy(object: &ManagedObject, kind: &AttributeKind, now: Timestamp) -> Result<(), Error> {
    let note = matches!(kind, AttributeKind::Comment | AttributeKind::Description | AttributeKind::Vendor { .. });
    if object.state(now).is_destroyed() && !note { Err(AttributeRefusal::WrongState.into()) } else { Ok(()) }
}

/// Values that may move in one direction only, and usage limits that have been drawn on.
fn check_value(object: &ManagedObject, kind: &AttributeKind, index: u32, to: &AttributeValue) -> Result<(), Error> {
    let from = object.attributes.of(kind).find(|attribute| attribute.index == index).map(|attribute| &attribute.value);
    let Some(from) = from else { return Err(AttributeRefusal::NoSuchInstance.into()) };
    if std::mem::discriminant(from) != std::mem::discriminant(to) {
        return Err(AttributeRefusal::InvalidValue("the value has another type").into());
    }
    match (kind, from, to) {
        (AttributeKind::Extractable, AttributeValue::Boolean(false), AttributeValue::Boolean(true)) => {
            Err(AttributeRefusal::InvalidValue("an object that may not leave stays so").into())
        }
        (AttributeKind::UsageLimits, AttributeValue::UsageLimits { total, count: Some(count), .. }, _)
            if count < total =>
        {
            Err(AttributeRefusal::ReadOnly.into())
        }
        _ => Ok(()),
    }
}

const fn object_date(object: &ManagedObject, kind: &AttributeKind) -> Option<Timestamp> {
    match kind {
        AttributeKind::ActivationDate => object.lifecycle.activation,
        AttributeKind::ProcessStartDate => object.lifecycle.process_start,
        AttributeKind::ProtectStopDate => object.lifecycle.protect_stop,
        AttributeKind::DeactivationDate => object.lifecycle.deactivation,
        AttributeKind::OriginalCreationDate => object.lifecycle.original_creation,
        _ => None,
    }
}

/// Sets a date of the lifecycle; `None` when the attribute is no such date.
fn date_change(
    object: &mut ManagedObject,
    to: &Attribute,
    now: Timestamp,
    adding: bool,
) -> Result<Option<Attribute>, Error> {
    let before = object.lifecycle.clone();
    let date = match to.kind {
        AttributeKind::ActivationDate => &mut object.lifecycle.activation,
        AttributeKind::ProcessStartDate => &mut object.lifecycle.process_start,
        AttributeKind::ProtectStopDate => &mut object.lifecycle.protect_stop,
        AttributeKind::DeactivationDate => &mut object.lifecycle.deactivation,
        AttributeKind::OriginalCreationDate => &mut object.lifecycle.original_creation,
        _ => return Ok(None),
    };
    let AttributeValue::Date(at) = to.value else {
        return Err(AttributeRefusal::InvalidValue("a date is expected").into());
    };
    // What has begun or stopped by the clock stays so (KMIP 1.4 §3.25, §3.26).
    let is_final = matches!(to.kind, AttributeKind::ProcessStartDate | AttributeKind::ProtectStopDate);
    if is_final && date.is_some_and(|reached| reached <= now) {
        return Err(AttributeRefusal::WrongState.into());
    }
    match (date.is_some(), adding) {
        (true, true) => return Err(AttributeRefusal::SingleValued.into()),
        (false, false) => return Err(AttributeRefusal::NoSuchInstance.into()),
        _ => *date = Some(at),
    }
    if !object.lifecycle.dates_in_order() {
        object.lifecycle = before;
        return Err(AttributeRefusal::InvalidValue("the dates are not in their required order").into());
    }
    Ok(Some(to.clone()))
}
