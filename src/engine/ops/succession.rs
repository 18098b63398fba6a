//! How one object takes the place of another: attributes, dates, names and links (KMIP 2.1 §6.1.45–47; contract §6, Re-key).
//!
//! The successor has the attributes of its predecessor, except those that belong to one life: dates of its end, digest,
//! what is left of usage limits. Names leave the predecessor, so that a name always leads to the newest object. Both link
//! to each other.

use super::template;
use crate::{
    domain::{
        Attribute, AttributeKind, AttributeValue, Lifecycle, ManagedObject, Origin, Timestamp, UniqueIdentifier,
        attributes::{Instances, link},
        secret::SecretFacet,
    },
    engine::{Error, ErrorKind, Tools},
};

/// Which names come first on the successor: indexes are counted from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Those of the predecessor (Re-key).
    MovedFirst,
    /// Those of the request (Re-certify).
    GivenFirst,
}

/// Attributes that are of one life, or computed anew for each object.
const OWN: &[AttributeKind] = &[
    AttributeKind::Digest,
    AttributeKind::Link,
    AttributeKind::Name,
    AttributeKind::Fresh,
    AttributeKind::RandomNumberGenerator,
    AttributeKind::ShortUniqueIdentifier,
    AttributeKind::KeyValuePresent,
    AttributeKind::KeyValueLocation,
    AttributeKind::KeyWrappingData,
    AttributeKind::CertifyCounter,
    AttributeKind::DecryptCounter,
    AttributeKind::EncryptCounter,
    AttributeKind::SignCounter,
    AttributeKind::SignatureVerifyCounter,
    AttributeKind::CertificateIdentifier,
    AttributeKind::CertificateIssuer,
    AttributeKind::CertificateLength,
    AttributeKind::CertificateSubject,
    AttributeKind::DigitalSignatureAlgorithm,
    AttributeKind::X509CertificateIdentifier,
    AttributeKind::X509CertificateIssuer,
    AttributeKind::X509CertificateSubject,
    AttributeKind::CertificateAttributes,
];

/// Whether an object may be replaced: it is there, and not archived.
///
/// # Errors
///
/// `Destroyed`, `Archived`.
pub(super) fn replaceable(tools: &Tools, old: &ManagedObject) -> Result<(), Error> {
    if old.state(tools.now()).is_destroyed() {
        return Err(Error::new(ErrorKind::Destroyed, "the object has been destroyed"));
    }
    if old.lifecycle.archive.is_some() {
        return Err(Error::new(ErrorKind::Archived, "the object is archived"));
    }
    Ok(())
}

/// The record that takes the place of `old`, without a value yet.
///
/// # Errors
///
/// `Malformed` for an offset beside dates, `OffsetImpossible` for one that has nothing to count from; those of the
/// attributes.
pub(super) fn successor(
    tools: &Tools,
    old: &ManagedObject,
    identifier: UniqueIdentifier,
    given: Vec<Attribute>,
    offset: Option<u32>,
    names: Names,
) -> Result<ManagedObject, Error> {
    let now = tools.now();
    let mut new = ManagedObject {
        identifier,
        object_type: old.object_type,
        project: old.project.clone(),
        creator: tools.principal().name.clone(),
        origin: Origin::Kmip,
        value: None,
        format: old.format,
        subtype: old.subtype,
        lifecycle: dates(&old.lifecycle, &given, offset, now)?,
        attributes: Default::default(),
        // Whoever the old one was for, the new one is for.
        secret: SecretFacet { grants: old.secret.grants.clone(), ..SecretFacet::default() },
    };
    let (given_names, mut given): (Vec<_>, Vec<_>) =
        given.into_iter().partition(|attribute| attribute.kind == AttributeKind::Name);
    let moved_names = old.attributes.of(&AttributeKind::Name).cloned();
    let all_names: Vec<Attribute> = match names {
        Names::MovedFirst => moved_names.chain(given_names).collect(),
        Names::GivenFirst => given_names.into_iter().chain(moved_names).collect(),
    };
    for attribute in all_names {
        if !new.attributes.of(&AttributeKind::Name).any(|known| known.value == attribute.value) {
            new.attributes.add(attribute.kind, attribute.value)?;
        }
    }
    for attribute in old.attributes.iter() {
        let replaced = attribute.kind != AttributeKind::Link && given.iter().any(|new| new.kind == attribute.kind);
        if replaced || OWN.contains(&attribute.kind) || attribute.kind.is_certificate_name() {
            continue;
        }
        let value = match &attribute.value {
            AttributeValue::UsageLimits { total, unit, .. } => {
                AttributeValue::UsageLimits { total: *total, count: Some(*total), unit: *unit }
            }
            other => other.clone(),
        };
        if attribute.kind.rule().instances == Instances::Many {
            new.attributes.add(attribute.kind.clone(), value)?;
        } else {
            new.attributes.set(attribute.kind.clone(), value);
        }
    }
    given.retain(|attribute| !is_date(&attribute.kind));
    template::apply(&mut new, given)?;
    rotated(&mut new, now);
    template::server_attributes(&mut new, tools.settings(), true);
    Ok(new)
}

/// What becomes of the predecessor: its names are gone, and it links to its successor.
///
/// # Errors
///
/// `TooManyAttributes`.
pub(super) fn replaced(old: &mut ManagedObject, by: UniqueIdentifier, now: Timestamp) -> Result<(), Error> {
    old.attributes.clear(&AttributeKind::Name);
    old.link_once(link::REPLACEMENT, by)?;
    if old.attributes.value(&AttributeKind::RotateLatest).is_some() {
        old.attributes.set(AttributeKind::RotateLatest, AttributeValue::Boolean(false));
    }
    old.lifecycle.last_change = now;
    Ok(())
}

/// A key that is rotated counts its generations (KMIP 2.1 §4.46–4.52).
fn rotated(new: &mut ManagedObject, now: Timestamp) {
    let rotates = [
        AttributeKind::RotateName,
        AttributeKind::RotateGeneration,
        AttributeKind::RotateInterval,
        AttributeKind::RotateAutomatic,
    ];
    if !rotates.iter().any(|kind| new.attributes.value(kind).is_some()) {
        return;
    }
    let generation = match new.attributes.value(&AttributeKind::RotateGeneration) {
        Some(AttributeValue::Integer(generation)) => generation.saturating_add(1),
        _ => 1,
    };
    new.attributes.set(AttributeKind::RotateGeneration, AttributeValue::Integer(generation));
    new.attributes.set(AttributeKind::RotateLatest, AttributeValue::Boolean(true));
    new.attributes.set(AttributeKind::RotateDate, AttributeValue::Date(now.to_seconds()));
}

const fn is_date(kind: &AttributeKind) -> bool {
    matches!(
        kind,
        AttributeKind::ActivationDate
            | AttributeKind::ProcessStartDate
            | AttributeKind::ProtectStopDate
            | AttributeKind::DeactivationDate
    )
}

/// The dates of the successor: given, shifted by the offset, or copied (KMIP 1.0 table 116).
fn dates(old: &Lifecycle, given: &[Attribute], offset: Option<u32>, now: Timestamp) -> Result<Lifecycle, Error> {
    let mut new = Lifecycle::new(now);
    if let Some(offset) = offset {
        if given.iter().any(|attribute| is_date(&attribute.kind)) {
            return Err(Error::new(ErrorKind::Malformed, "an offset and dates exclude each other"));
        }
        let activation = now.to_seconds().plus_seconds(i64::from(offset));
        new.activation = Some(activation);
        let later = [old.process_start, old.protect_stop, old.deactivation];
        if later.iter().any(Option::is_some) {
            let from = old.activation.ok_or_else(|| {
                Error::new(ErrorKind::OffsetImpossible, "the dates cannot be moved without an activation date")
            })?;
            let shift = activation.seconds().saturating_sub(from.seconds());
            let [process_start, protect_stop, deactivation] = later.map(|date| date.map(|at| at.plus_seconds(shift)));
            (new.process_start, new.protect_stop, new.deactivation) = (process_start, protect_stop, deactivation);
        }
        return Ok(new);
    }
    (new.activation, new.deactivation) = (old.activation, old.deactivation);
    (new.process_start, new.protect_stop) = (old.process_start, old.protect_stop);
    for attribute in given {
        let date = match attribute.kind {
            AttributeKind::ActivationDate => &mut new.activation,
            AttributeKind::ProcessStartDate => &mut new.process_start,
            AttributeKind::ProtectStopDate => &mut new.protect_stop,
            AttributeKind::DeactivationDate => &mut new.deactivation,
            _ => continue,
        };
        let AttributeValue::Date(at) = attribute.value else {
            return Err(Error::new(ErrorKind::InvalidAttributeValue, "a date is expected"));
        };
        *date = Some(at);
    }
    Ok(new)
}
