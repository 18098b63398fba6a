//! How the attributes that come with a creation become a record: client attributes by the rules, the server's own after.

use super::register::{ImportedKey, NewValue};
use crate::{
    domain::{
        Attribute, AttributeKind, AttributeValue, CryptographicAlgorithm, ManagedObject, ObjectType, SecretValue,
        UsageMask,
        algorithm::BlockCipherMode,
        attributes::{Instances, SetBy},
        error::AttributeRefusal,
        reference::KeyKind,
    },
    engine::{Error, ErrorKind, Settings},
};

/// Which key object stands for an algorithm and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyShape {
    /// Its kind on the token.
    pub kind: KeyKind,
    /// The length of the value in bytes.
    pub bytes: u32,
    /// Whether the HSM can use it; otherwise it is held without usage bits.
    pub usable: bool,
}

impl KeyShape {
    /// The shape of secret data that is made here, or `None` for a length that is none.
    #[must_use]
    pub fn of_secret(bits: u32) -> Option<Self> {
        let fits = bits != 0 && bits.is_multiple_of(8) && bits <= 32_768;
        fits.then_some(Self { kind: KeyKind::Generic, bytes: bits / 8, usable: true })
    }

    /// The shape of a secret key, or `None` when the length does not fit the algorithm.
    ///
    /// Triple-DES counts effective bits: 112 and 168 (KMIP contract §6, Create). AES of 512 bits is the two keys of XTS; of
    /// 384 bits it is two keys of a mode that the HSM has no object for, held as every algorithm without a mechanism.
    #[must_use]
    pub fn of(algorithm: CryptographicAlgorithm, bits: u32) -> Option<Self> {
        use CryptographicAlgorithm as A;
        let shape = |kind, bytes, usable| Some(Self { kind, bytes, usable });
        if bits == 0 || !bits.is_multiple_of(8) || bits > 65_536 {
            return None;
        }
        match (algorithm, bits) {
            (A::AES, 128 | 192 | 256) => shape(KeyKind::Aes, bits / 8, true),
            (A::AES, 512) => shape(KeyKind::AesXts, 64, true),
            (A::AES, 384) => shape(KeyKind::Generic, bits / 8, false),
            (A::AES, _) => None,
            (A::TRIPLE_DES, 112) => shape(KeyKind::TripleDes, 16, true),
            (A::TRIPLE_DES, 168) => shape(KeyKind::TripleDes, 24, true),
            (A::TRIPLE_DES, _) => None,
            (A::CHACHA20 | A::CHACHA20_POLY1305, 256) => shape(KeyKind::ChaCha20, 32, true),
            (A::CHACHA20 | A::CHACHA20_POLY1305, _) => None,
            (
                A::HMAC_SHA1
                | A::HMAC_SHA224
                | A::HMAC_SHA256
                | A::HMAC_SHA384
                | A::HMAC_SHA512
                | A::HMAC_SHA3_224
                | A::HMAC_SHA3_256
                | A::HMAC_SHA3_384
                | A::HMAC_SHA3_512,
                _,
            ) => shape(KeyKind::Generic, bits / 8, true),
            (A::RSA | A::DSA | A::ECDSA | A::EC | A::ECDH | A::DH | A::ECMQV | A::ED25519, _) => None,
            _ => shape(KeyKind::Generic, bits / 8, false),
        }
    }
}

/// Takes the client's attributes into a new record.
///
/// # Errors
///
/// `AttributeReadOnly` for the server's own, `AttributeSingleValued` for a repeated one, `InvalidAttributeValue` for
/// dates out of order or of the wrong shape.
pub(super) fn apply(object: &mut ManagedObject, attributes: Vec<Attribute>) -> Result<(), Error> {
    for Attribute { kind, value, .. } in attributes {
        if set_date(object, &kind, &value)? {
            continue;
        }
        match (&kind, &value) {
            (AttributeKind::ObjectType, AttributeValue::Enumeration(number))
                if *number == object.object_type.number() => {}
            (AttributeKind::ObjectType, _) => {
                return Err(Error::new(ErrorKind::InvalidField, "the object type contradicts the request"));
            }
            (AttributeKind::CryptographicAlgorithm | AttributeKind::CryptographicLength, _) => {
                if object.attributes.value(&kind).is_some_and(|known| *known != value) {
                    return Err(Error::new(ErrorKind::InvalidField, "algorithm or length contradicts the object"));
                }
                object.attributes.set(kind, value);
            }
            _ => {
                let rule = kind.rule();
                if rule.initially == SetBy::Server {
                    // A client may repeat what the server knows, as TC-CERTATTR-1 does with the certificate's type.
                    let now = object.lifecycle.initial;
                    if object.all_attributes(now).iter().any(|known| known.kind == kind && known.value == value) {
                        continue;
                    }
                    return Err(Error::new(ErrorKind::AttributeReadOnly, "the attribute is set by the server"));
                }
                if rule.instances == Instances::One && object.attributes.value(&kind).is_some() {
                    return Err(Error::new(ErrorKind::AttributeSingleValued, "the attribute takes one value"));
                }
                if !kind.applies_to(object.object_type) {
                    return Err(AttributeRefusal::NotApplicable.into());
                }
                limits_in_range(&value)?;
                let value = match value {
                    AttributeValue::UsageLimits { total, unit, count } => {
                        AttributeValue::UsageLimits { total, unit, count: Some(count.unwrap_or(total)) }
                    }
                    other => other,
                };
                object.attributes.add(kind, value)?;
            }
        }
    }
    if !object.lifecycle.dates_in_order() {
        return Err(Error::new(ErrorKind::InvalidAttributeValue, "the dates are not in their required order"));
    }
    Ok(())
}

/// Usage limits count down to nothing, and begin with no less.
pub(super) fn limits_in_range(value: &AttributeValue) -> Result<(), AttributeRefusal> {
    match value {
        AttributeValue::UsageLimits { total, count, .. } if *total < 0 || count.is_some_and(|count| count < 0) => {
            Err(AttributeRefusal::InvalidValue("a usage limit is not below zero"))
        }
        _ => Ok(()),
    }
}

/// Sets a date of the lifecycle from an attribute; `false` when the attribute is no such date.
fn set_date(object: &mut ManagedObject, kind: &AttributeKind, value: &AttributeValue) -> Result<bool, Error> {
    let life = &mut object.lifecycle;
    let date = match kind {
        AttributeKind::ActivationDate => &mut life.activation,
        AttributeKind::ProcessStartDate => &mut life.process_start,
        AttributeKind::ProtectStopDate => &mut life.protect_stop,
        AttributeKind::DeactivationDate => &mut life.deactivation,
        AttributeKind::OriginalCreationDate => &mut life.original_creation,
        _ => return Ok(false),
    };
    match value {
        AttributeValue::Date(at) if date.is_none() => *date = Some(*at),
        AttributeValue::Date(_) => return Err(Error::new(ErrorKind::AttributeSingleValued, "the date is given twice")),
        _ => return Err(Error::new(ErrorKind::InvalidAttributeValue, "a date is expected")),
    }
    Ok(true)
}

const MACS: UsageMask = UsageMask::MAC_GENERATE.with(UsageMask::MAC_VERIFY);

/// The bits that ask for a twin.
pub(super) const TWIN: UsageMask = MACS.with(UsageMask::DERIVE);

/// The usage of the second object that a cipher key needs to make HMACs, too, or to be the key of a KDF; `None` where it
/// needs none (CS-AC-M-4: an AES key that encrypts and makes HMACs).
pub(super) fn twin_usage(kind: KeyKind, mask: UsageMask) -> Option<UsageMask> {
    let wanted = UsageMask(mask.0 & TWIN.0);
    (matches!(kind, KeyKind::Aes | KeyKind::TripleDes) && wanted.0 != 0).then_some(wanted)
}

/// The kind of key object for a secret key with that use: one that only makes MACs is a generic secret on the token, as
/// HMAC takes no AES key, unless its parameters ask for CMAC (CS-AC-M-4 registers an AES key for HMAC-SHA256).
pub(super) fn kind_for_use(kind: KeyKind, object: &ManagedObject) -> KeyKind {
    let mask = object.usage();
    let macs = MACS;
    let ciphers = UsageMask::ENCRYPT.with(UsageMask::DECRYPT).with(UsageMask::WRAP).with(UsageMask::UNWRAP);
    let cmac = object.attributes.iter().any(|attribute| match &attribute.value {
        AttributeValue::CryptographicParameters(it) => it.block_cipher_mode == Some(BlockCipherMode::CMAC),
        _ => false,
    });
    if matches!(kind, KeyKind::Aes | KeyKind::TripleDes) && mask.intersects(macs) && !mask.intersects(ciphers) && !cmac
    {
        KeyKind::Generic
    } else {
        kind
    }
}

/// Adds what the server sets on every new object with a value.
pub(super) fn server_attributes(object: &mut ManagedObject, settings: &Settings, made_here: bool) {
    use AttributeKind as K;
    use AttributeValue as V;
    let sensitive = object.flag(&K::Sensitive, false);
    let extractable = object.flag(&K::Extractable, true);
    object.attributes.set(K::Sensitive, V::Boolean(sensitive));
    object.attributes.set(K::Extractable, V::Boolean(extractable));
    object.attributes.set(K::AlwaysSensitive, V::Boolean(sensitive));
    object.attributes.set(K::NeverExtractable, V::Boolean(!extractable));
    object.attributes.set(K::LeaseTime, V::Interval(settings.lease_seconds));
    object.attributes.set(K::ProtectionStorageMask, V::Integer(if settings.simulated_hsm { 1 } else { 2 }));
    if object.attributes.value(&K::Fresh).is_none() {
        object.attributes.set(K::Fresh, V::Boolean(true));
    }
    let short = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &object.identifier.bytes());
    object.attributes.set(K::ShortUniqueIdentifier, V::Bytes(short.as_ref().to_vec()));
    if made_here {
        // PKCS#11 says nothing of the token's generator: this is the operator's word.
        object.attributes.set(K::RandomNumberGenerator, V::Rng(Box::new(settings.generator.clone())));
    }
    if made_here && object.lifecycle.original_creation.is_none() {
        object.lifecycle.original_creation = Some(object.lifecycle.initial);
    }
}

/// The digest attribute of a value whose SHA-256 the HSM layer computed.
pub(super) fn digest(value: Vec<u8>, format: u32) -> AttributeValue {
    AttributeValue::Digest { hashing_algorithm: 6, value, format: Some(format) }
}

/// The usage mask among attributes, if there is one.
pub(super) fn usage_of(attributes: &[Attribute]) -> Option<UsageMask> {
    attributes.iter().find_map(|attribute| match (&attribute.kind, &attribute.value) {
        (AttributeKind::CryptographicUsageMask, AttributeValue::Integer(bits)) => Some(UsageMask(bits.cast_unsigned())),
        _ => None,
    })
}

/// What raw bytes are as an object of that type: a key where the HSM can use them, else held.
///
/// # Errors
///
/// `WrongObjectType` for types that are not made of raw bytes, `InvalidField` for a length that does not fit the algorithm.
pub(super) fn raw_value(
    object_type: ObjectType,
    algorithm: Option<CryptographicAlgorithm>,
    usage: UsageMask,
    value: SecretValue,
) -> Result<NewValue, Error> {
    match object_type {
        ObjectType::SymmetricKey => {
            let bits = u32::try_from(value.len()).unwrap_or(u32::MAX).saturating_mul(8);
            let bits = match (algorithm, bits) {
                (Some(CryptographicAlgorithm::TRIPLE_DES), 128) => 112,
                (Some(CryptographicAlgorithm::TRIPLE_DES), 192) => 168,
                (_, bits) => bits,
            };
            let shape = algorithm.and_then(|algorithm| KeyShape::of(algorithm, bits));
            let shape =
                shape.ok_or_else(|| Error::new(ErrorKind::InvalidField, "the length does not fit the algorithm"))?;
            Ok(match shape.usable {
                true => NewValue { key: Some(ImportedKey { kind: shape.kind, value }), bytes: None },
                false => NewValue { key: None, bytes: Some(value) },
            })
        }
        ObjectType::SecretData if secret_is_key(usage) => {
            Ok(NewValue { key: Some(ImportedKey { kind: KeyKind::Generic, value }), bytes: None })
        }
        ObjectType::SecretData => Ok(NewValue { key: None, bytes: Some(value) }),
        _ => Err(Error::new(ErrorKind::WrongObjectType, "symmetric keys and secret data are made of raw bytes")),
    }
}

/// Whether secret data is used in the HSM: as the key of a KDF or of HMAC.
pub(crate) const fn secret_is_key(usage: UsageMask) -> bool {
    usage.intersects(TWIN)
}

/// Refuses what *Quantum Safe* = True asks of an algorithm that is not (KMIP 2.1 §4.45).
///
/// # Errors
///
/// `RequirementUnmet`.
pub(super) fn quantum_safe(
    attributes: &[Attribute],
    algorithm: CryptographicAlgorithm,
    bits: u32,
) -> Result<(), Error> {
    let wanted = attributes.iter().any(|attribute| {
        attribute.kind == AttributeKind::QuantumSafe && attribute.value == AttributeValue::Boolean(true)
    });
    let safe = match algorithm {
        CryptographicAlgorithm::RSA
        | CryptographicAlgorithm::DSA
        | CryptographicAlgorithm::ECDSA
        | CryptographicAlgorithm::EC
        | CryptographicAlgorithm::ECDH
        | CryptographicAlgorithm::DH
        | CryptographicAlgorithm::ED25519 => false,
        _ => bits >= 256,
    };
    if wanted && !safe {
        return Err(Error::new(ErrorKind::RequirementUnmet, "the algorithm and length are not quantum safe"));
    }
    Ok(())
}
