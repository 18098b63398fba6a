//! Between attributes and key material.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    attributes::Attributes,
    object::Object,
    rv::{Result, Rv},
};
use crate::crypto::{
    self, Curve, DhGroup, DhPrivateKey, DhPublicKey, EcPublicKey, Hash, Key, LatticePrivateKey, LatticePublicKey,
    ParameterSet, Params, RawPublicKey, RsaNumbers, RsaPrivateKey, RsaPublicKey,
};

/// Lengths a secret key type takes, in bytes; nothing for types this token does not have.
fn secret_lengths(key_type: CK_KEY_TYPE) -> Option<&'static [std::ops::RangeInclusive<usize>]> {
    Some(match key_type {
        CKK_AES => &[16..=16, 24..=24, 32..=32],
        CKK_AES_XTS => &[32..=32, 64..=64],
        CKK_CHACHA20 => &[32..=32],
        CKK_DES2 => &[16..=16],
        CKK_DES3 => &[24..=24],
        CKK_GENERIC_SECRET | CKK_HKDF | CKK_SHA_1_HMAC | CKK_SHA224_HMAC | CKK_SHA256_HMAC | CKK_SHA384_HMAC
        | CKK_SHA512_HMAC | CKK_SHA512_224_HMAC | CKK_SHA512_256_HMAC | CKK_SHA3_224_HMAC | CKK_SHA3_256_HMAC
        | CKK_SHA3_384_HMAC | CKK_SHA3_512_HMAC => &[1..=GENERIC_BYTES_MAX],
        _ => return None,
    })
}

/// The longest generic secret.
pub(crate) const GENERIC_BYTES_MAX: usize = 4096;

/// The length of a secret key type that has only one, so that nobody need name it.
pub(crate) fn fixed_length(key_type: CK_KEY_TYPE) -> Option<usize> {
    match secret_lengths(key_type)? {
        [only] if only.start() == only.end() => Some(*only.start()),
        _ => None,
    }
}

/// Whether a secret key type takes values of a length; an unknown type is refused as such.
pub(crate) fn check_secret_length(key_type: CK_KEY_TYPE, bytes: usize) -> Result<()> {
    let lengths = secret_lengths(key_type).ok_or(Rv(CKR_ATTRIBUTE_VALUE_INVALID))?;
    if lengths.iter().any(|length| length.contains(&bytes)) { Ok(()) } else { Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)) }
}

/// The key that an object's attributes make; contradictions among them are refused.
pub(crate) fn from_attributes(object: &Object) -> Result<Key> {
    let value = |attribute| object.attributes.get(attribute).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE));
    let optional = |attribute| object.attributes.get(attribute).unwrap_or_default();
    let secret = |attribute| Zeroizing::new(optional(attribute).to_vec());
    let curve = || Ok::<_, Rv>(Curve::from_ec_params(value(CKA_EC_PARAMS)?)?);
    let key = match (object.class, object.key_type) {
        (CKO_SECRET_KEY, Some(_)) => return Ok(Key::from_secret(Zeroizing::new(value(CKA_VALUE)?.to_vec()))),
        (CKO_PUBLIC_KEY, Some(CKK_RSA)) => {
            Key::RsaPublic(RsaPublicKey::new(value(CKA_MODULUS)?, value(CKA_PUBLIC_EXPONENT)?)?)
        }
        (CKO_PRIVATE_KEY, Some(CKK_RSA)) => Key::RsaPrivate(RsaPrivateKey::new(&RsaNumbers {
            modulus: value(CKA_MODULUS)?.to_vec(),
            public_exponent: value(CKA_PUBLIC_EXPONENT)?.to_vec(),
            private_exponent: Zeroizing::new(value(CKA_PRIVATE_EXPONENT)?.to_vec()),
            prime_1: Zeroizing::new(value(CKA_PRIME_1)?.to_vec()),
            prime_2: Zeroizing::new(value(CKA_PRIME_2)?.to_vec()),
            exponent_1: secret(CKA_EXPONENT_1),
            exponent_2: secret(CKA_EXPONENT_2),
            coefficient: secret(CKA_COEFFICIENT),
        })?),
        (CKO_PUBLIC_KEY, Some(CKK_ML_KEM | CKK_ML_DSA)) => {
            Key::LatticePublic(LatticePublicKey::new(parameter_set(object)?, value(CKA_VALUE)?)?)
        }
        (CKO_PRIVATE_KEY, Some(CKK_ML_KEM | CKK_ML_DSA)) => {
            let (set, seed) = (parameter_set(object)?, object.attributes.get(CKA_SEED).filter(|seed| !seed.is_empty()));
            // At least one of the two (3.2 §6.67.4).
            Key::LatticePrivate(match (object.attributes.get(CKA_VALUE), seed) {
                (None, Some(seed)) => LatticePrivateKey::from_seed(set, seed)?,
                (_, seed) => LatticePrivateKey::new(set, value(CKA_VALUE)?, seed)?,
            })
        }
        (CKO_PUBLIC_KEY, Some(CKK_DH)) => {
            Key::DhPublic(DhPublicKey::new(group(&object.attributes)?, value(CKA_VALUE)?)?)
        }
        (CKO_PRIVATE_KEY, Some(CKK_DH)) => {
            Key::DhPrivate(DhPrivateKey::new(group(&object.attributes)?, value(CKA_VALUE)?)?)
        }
        (CKO_PUBLIC_KEY, Some(_)) => Key::from_curve_public(curve()?, value(CKA_EC_POINT)?)?,
        (CKO_PRIVATE_KEY, Some(_)) => Key::from_curve_private(curve()?, value(CKA_VALUE)?)?,
        _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
    };
    // A curve of another family than the key type says.
    if key.key_type() == object.key_type { Ok(key) } else { Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)) }
}

/// The group that an object, or the template of a key pair, names.
pub(crate) fn group(attributes: &Attributes) -> Result<DhGroup> {
    let value = |attribute| attributes.get(attribute).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE));
    Ok(DhGroup::new(value(CKA_PRIME)?, value(CKA_BASE)?)?)
}

/// The parameter set that an object, or the template of a key pair, names.
fn parameter_set(object: &Object) -> Result<ParameterSet> {
    let number = object.attributes.ulong(CKA_PARAMETER_SET).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
    known_set(object.key_type, number)
}

/// The parameter set of a key type and number.
pub(crate) fn known_set(key_type: Option<CK_KEY_TYPE>, number: CK_ULONG) -> Result<ParameterSet> {
    let set = match key_type {
        Some(CKK_ML_KEM) => ParameterSet::kem(number),
        _ => ParameterSet::dsa(number),
    };
    set.ok_or(Rv(CKR_PARAMETER_SET_NOT_SUPPORTED))
}

/// Sets the attributes that a key's material determines, in the standard's encodings.
pub(crate) fn to_attributes(key: &Key, attributes: &mut Attributes) -> Result<()> {
    match key {
        Key::Secret(key) => {
            attributes.set(CKA_VALUE, key.value());
            attributes.set_ulong(CKA_VALUE_LEN, key.len() as CK_ULONG);
        }
        Key::RsaPublic(key) => {
            attributes.set(CKA_MODULUS, key.modulus()?);
            attributes.set_ulong(CKA_MODULUS_BITS, key.bits().into());
            attributes.set(CKA_PUBLIC_EXPONENT, key.public_exponent()?);
        }
        Key::RsaPrivate(key) => {
            let numbers = key.numbers()?;
            attributes.set(CKA_MODULUS, numbers.modulus);
            attributes.set(CKA_PUBLIC_EXPONENT, numbers.public_exponent);
            for (attribute, number) in [
                (CKA_PRIVATE_EXPONENT, &numbers.private_exponent),
                (CKA_PRIME_1, &numbers.prime_1),
                (CKA_PRIME_2, &numbers.prime_2),
                (CKA_EXPONENT_1, &numbers.exponent_1),
                (CKA_EXPONENT_2, &numbers.exponent_2),
                (CKA_COEFFICIENT, &numbers.coefficient),
            ] {
                attributes.set(attribute, number.as_slice());
            }
        }
        Key::EcPublic(key) => set_public(attributes, key.curve(), &EcPublicKey::point(key)?),
        Key::Ed25519Public(key) | Key::X25519Public(key) => {
            set_public(attributes, key.curve(), RawPublicKey::bytes(key));
        }
        Key::Ed448Public(key) | Key::X448Public(key) => set_public(attributes, key.curve(), key.bytes()),
        Key::Ed448Private(key) | Key::X448Private(key) => {
            set_curve(attributes, key.public().curve());
            attributes.set(CKA_VALUE, key.value());
        }
        Key::EcPrivate(key) => {
            set_curve(attributes, key.curve());
            attributes.set(CKA_VALUE, key.scalar()?.as_slice());
        }
        Key::Ed25519Private(key) | Key::X25519Private(key) => {
            set_curve(attributes, key.curve());
            attributes.set(CKA_VALUE, key.value().as_slice());
        }
        Key::DhPublic(key) => {
            set_group(attributes, key.group());
            attributes.set(CKA_VALUE, key.value());
        }
        Key::DhPrivate(key) => {
            set_group(attributes, key.public().group());
            attributes.set(CKA_VALUE, key.value());
            attributes.set_ulong(CKA_VALUE_BITS, key.bits().into());
        }
        Key::LatticePublic(key) => {
            attributes.set_ulong(CKA_PARAMETER_SET, key.set().number());
            attributes.set(CKA_VALUE, key.bytes());
        }
        Key::LatticePrivate(key) => {
            attributes.set_ulong(CKA_PARAMETER_SET, key.set().number());
            attributes.set(CKA_VALUE, key.value());
            if let Some(seed) = key.seed() {
                attributes.set(CKA_SEED, seed);
            }
        }
    }
    Ok(())
}

/// Sets the attributes of a group, in minimal form.
pub(crate) fn set_group(attributes: &mut Attributes, group: &DhGroup) {
    attributes.set(CKA_PRIME, group.prime());
    attributes.set(CKA_BASE, group.base());
}

fn set_public(attributes: &mut Attributes, curve: Curve, point: &[u8]) {
    set_curve(attributes, curve);
    attributes.set(CKA_EC_POINT, crypto::to_octet_string(point));
}

/// Keeps the name that the caller gave the curve, which may be one of several.
fn set_curve(attributes: &mut Attributes, curve: Curve) {
    if !attributes.has(CKA_EC_PARAMS) {
        attributes.set(CKA_EC_PARAMS, curve.to_ec_params());
    }
}

/// `CKA_CHECK_VALUE`: three bytes of an encrypted zero block, or of a SHA-1 digest (PKCS#11 3.1 §4.10.2).
pub(crate) fn check_value(object: &Object) -> Result<Vec<u8>> {
    let key = object.key()?;
    let encrypted = |mechanism, block: &[u8]| -> Result<Vec<u8>> {
        let mut operation = crypto::encryptor(mechanism, &Params::None, key)?;
        let mut output = vec![0; operation.output_bound(block.len())];
        operation.process(block, &mut output)?;
        Ok(output)
    };
    let mut value = match (object.key_type, key) {
        (Some(CKK_AES), _) => encrypted(CKM_AES_ECB, &[0; 16])?,
        (Some(CKK_DES2 | CKK_DES3), _) => encrypted(CKM_DES3_ECB, &[0; 8])?,
        (_, Key::Secret(key)) => crypto::digest(Hash::Sha1, key.value())?,
        (_, key) => crypto::digest(Hash::Sha1, &key.to_spki()?)?,
    };
    value.truncate(3);
    Ok(value)
}
