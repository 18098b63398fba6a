//! Import: an object with its identifier and every attribute, as Export gave it (KMIP 2.1 §6.1.25).
//!
//! Dates and state come with the object. One that replaces an existing object of the project is taken in beside it, under a
//! `CKA_ID` of its own; the old value is destroyed once the new record stands, so that no moment has neither.

use super::{
    register::{NewValue, take_in_announced},
    template,
};
use crate::{
    authz::Permitted,
    domain::{
        Attribute, AttributeKind, AttributeValue, Lifecycle, ManagedObject, ObjectType, OperationKind, Origin, State,
        Timestamp, UniqueIdentifier, algorithm::KeyFormatType, attributes::Instances, error::AttributeRefusal,
        lifecycle::RevocationReason, secret::SecretFacet,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Guard, IntentKind, Placement, Versioned, Write},
    },
};

/// Takes an object in with its identifier.
#[derive(Debug)]
pub struct Import {
    /// Its identifier.
    pub identifier: UniqueIdentifier,
    /// Whether one of that identifier in the project gives way.
    pub replace: bool,
    /// What it is.
    pub object_type: ObjectType,
    /// The type number within the object.
    pub subtype: Option<u32>,
    /// The encoding of the value as given.
    pub format: Option<KeyFormatType>,
    /// The value; none for one that has been destroyed.
    pub value: Option<NewValue>,
    /// What the server found in the value.
    pub derived: Vec<Attribute>,
    /// Every attribute.
    pub attributes: Vec<Attribute>,
    /// What only Barbican's side keeps; whose it is.
    pub secret: SecretFacet,
}

impl Operation for Import {
    const KIND: OperationKind = OperationKind::Import;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Maybe(self.identifier)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        let old = on.into_inner().objects.pop();
        if old.is_some() && !self.replace {
            return Err(Error::new(ErrorKind::AlreadyExists, "an object of that identifier exists"));
        }
        let (identifier, replaced) = (self.identifier, old.as_ref().and_then(|old| old.record.value.clone()));
        let (mut object, value) = self.record(tools)?;
        let announced = match value {
            None => {
                object.attributes.set(AttributeKind::KeyValuePresent, AttributeValue::Boolean(false));
                None
            }
            Some(value) => {
                let place = tools.place(identifier, object.object_type)?;
                let cka_id = if replaced.is_some() { tools.identifier().cka_id() } else { place.cka_id };
                let at = Placement { cka_id, ..place };
                let intent = tools.announce(IntentKind::Make, vec![at.clone()]).await?;
                let extractable = object.flag(&AttributeKind::Extractable, true);
                let (of_type, usage) = (object.object_type, object.usage());
                let (reference, intent) =
                    take_in_announced(tools, intent, at, of_type, value, usage, extractable).await?;
                object.value = Some(reference);
                Some(intent)
            }
        };
        let guard = old.map_or(Guard::Absent, |Versioned { revision, .. }| Guard::At(revision));
        let writes = vec![Write::PutObject(Box::new(object.clone()), guard)];
        let conflict = |mut error: Error| {
            if guard == Guard::Absent && error.kind == ErrorKind::Conflict {
                error.kind = ErrorKind::AlreadyExists;
            }
            error
        };
        match (announced, replaced) {
            (announced, Some(old)) => {
                let old = Placement { token: old.token, cka_id: old.cka_id };
                tools.conclude_clearing(announced, writes, old).await.map_err(conflict)?;
            }
            (Some(announced), None) => tools.conclude(announced, writes).await.map_err(conflict)?,
            (None, None) => tools.commit(writes).await.map_err(conflict)?,
        }
        Ok(object)
    }
}

impl Import {
    /// The record as its attributes say.
    fn record(self, tools: &Tools) -> Result<(ManagedObject, Option<NewValue>), Error> {
        let now = tools.now();
        let mut object = ManagedObject {
            identifier: self.identifier,
            object_type: self.object_type,
            project: tools.principal().project.clone(),
            creator: tools.principal().name.clone(),
            origin: Origin::Kmip,
            value: None,
            format: self.format,
            subtype: self.subtype,
            lifecycle: Lifecycle::new(now),
            attributes: Default::default(),
            secret: self.secret,
        };
        for attribute in self.derived {
            match attribute.kind {
                AttributeKind::CryptographicAlgorithm | AttributeKind::CryptographicLength => {
                    object.attributes.set(attribute.kind, attribute.value);
                }
                _ => {
                    object.attributes.add(attribute.kind, attribute.value)?;
                }
            }
        }
        let mut state = None;
        let mut given = Vec::new();
        for attribute in self.attributes {
            if let (AttributeKind::State, AttributeValue::Enumeration(number)) = (&attribute.kind, &attribute.value) {
                state = State::from_number(*number);
                continue;
            }
            let is_single = attribute.kind.rule().instances == Instances::One;
            if is_single && given.contains(&attribute.kind) {
                return Err(Error::new(ErrorKind::AttributeSingleValued, "the attribute takes one value"));
            }
            if !attribute.kind.applies_to(object.object_type) {
                return Err(AttributeRefusal::NotApplicable.into());
            }
            template::limits_in_range(&attribute.value)?;
            given.push(attribute.kind.clone());
            take_attribute(&mut object, attribute)?;
        }
        if let Some(state) = state {
            assume(&mut object.lifecycle, state, now);
        }
        if !object.lifecycle.dates_in_order() {
            return Err(Error::new(ErrorKind::InvalidAttributeValue, "the dates are not in their required order"));
        }
        object.lifecycle.last_change = now;
        let told: Vec<Attribute> = TOLD
            .iter()
            .filter_map(|kind| object.attributes.value(kind).cloned().map(|value| Attribute::new(kind.clone(), value)))
            .collect();
        template::server_attributes(&mut object, tools.settings(), false);
        for attribute in told {
            object.attributes.set(attribute.kind, attribute.value);
        }
        let gone = object.state(now).is_destroyed();
        if gone && self.value.is_some() {
            return Err(Error::new(ErrorKind::InvalidField, "a destroyed object has no value"));
        }
        Ok((object, self.value))
    }
}

/// What the server says of objects of its own and an imported one says itself.
const TOLD: &[AttributeKind] = &[
    AttributeKind::AlwaysSensitive,
    AttributeKind::NeverExtractable,
    AttributeKind::LeaseTime,
    AttributeKind::RandomNumberGenerator,
];

fn take_attribute(object: &mut ManagedObject, attribute: Attribute) -> Result<(), Error> {
    use AttributeKind as K;
    let Attribute { kind, value, index } = attribute;
    let life = &mut object.lifecycle;
    let slot = match kind {
        K::InitialDate => {
            if let AttributeValue::Date(at) = value {
                life.initial = at;
            }
            return Ok(());
        }
        K::OriginalCreationDate => &mut life.original_creation,
        K::ActivationDate => &mut life.activation,
        K::ProcessStartDate => &mut life.process_start,
        K::ProtectStopDate => &mut life.protect_stop,
        K::DeactivationDate => &mut life.deactivation,
        K::CompromiseOccurrenceDate => &mut life.compromise_occurrence,
        K::CompromiseDate => &mut life.compromise,
        K::DestroyDate => &mut life.destroy,
        K::ArchiveDate => &mut life.archive,
        K::RevocationReason => {
            if let AttributeValue::RevocationReason { code, message } = value {
                life.revocation = Some(RevocationReason { code, message });
            }
            return Ok(());
        }
        K::ObjectType => {
            return match value {
                AttributeValue::Enumeration(number) if number == object.object_type.number() => Ok(()),
                _ => Err(Error::new(ErrorKind::InvalidField, "the object type contradicts the request")),
            };
        }
        K::CryptographicAlgorithm | K::CryptographicLength => {
            if object.attributes.value(&kind).is_some_and(|known| *known != value) {
                return Err(Error::new(ErrorKind::InvalidField, "algorithm or length contradicts the object"));
            }
            object.attributes.set(kind, value);
            return Ok(());
        }
        // The server's own, of this object and in this place.
        K::Digest | K::ShortUniqueIdentifier | K::ProtectionStorageMask | K::KeyValuePresent => return Ok(()),
        ref computed if computed.is_computed() => return Ok(()),
        _ => {
            if object.attributes.of(&kind).any(|known| known.index == index && known.value == value) {
                return Ok(());
            }
            match kind.rule().instances {
                Instances::One => object.attributes.set(kind, value),
                Instances::Many if object.attributes.of(&kind).any(|known| known.value == value) => {}
                Instances::Many => drop(object.attributes.add(kind, value)?),
            }
            return Ok(());
        }
    };
    match value {
        AttributeValue::Date(at) => *slot = Some(at),
        _ => return Err(Error::new(ErrorKind::InvalidAttributeValue, "a date is expected")),
    }
    Ok(())
}

/// Lets the dates say what the state says, where they do not.
fn assume(life: &mut Lifecycle, state: State, now: Timestamp) {
    let at = Some(now.to_seconds());
    if life.state(now) == state {
        return;
    }
    match state {
        State::PreActive => {}
        State::Active => life.activation = at,
        State::Deactivated => life.deactivation = at,
        State::Compromised => life.compromise = at,
        State::Destroyed => life.destroy = at,
        State::DestroyedCompromised => {
            life.destroy = life.destroy.or(at);
            life.compromise = life.compromise.or(at);
        }
    }
}
