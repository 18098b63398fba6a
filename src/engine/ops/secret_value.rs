//! What the payload of a Barbican secret is, for the HSM and for KMIP.
//!
//! Nothing compares a payload with its labels (Barbican contract §2.1.1). One that is what its type says becomes a usable
//! key, with its bytes beside it where the key's own encoding would not give exactly them back; any other is held as it
//! is, and KMIP sees an Opaque Object (design decision "Barbican payload of a key type").

use super::register::{ImportedKey, NewValue};
use crate::{
    crypto::{Certificate, PrivateKey, PublicKey},
    domain::{
        Attribute, AttributeKind, AttributeValue, CryptographicAlgorithm, ObjectType, SecretValue, Timestamp,
        UsageMask,
        algorithm::KeyFormatType,
        reference::KeyKind,
        secret::{SecretFacet, SecretType},
    },
};

/// A payload, ready for the HSM, and what the record says of it.
#[derive(Debug)]
pub struct Recognised {
    /// The KMIP type.
    pub object_type: ObjectType,
    /// Its subtype, where the type has one.
    pub subtype: Option<u32>,
    /// The format in which KMIP gives the key out.
    pub format: Option<KeyFormatType>,
    /// Algorithm and length.
    pub derived: Vec<Attribute>,
    /// What it may be used for.
    pub usage: UsageMask,
    /// The value itself.
    pub value: NewValue,
}

/// The managed object that a secret type stands for while there is no payload.
#[must_use]
pub const fn object_type(secret_type: SecretType) -> ObjectType {
    match secret_type {
        SecretType::Symmetric => ObjectType::SymmetricKey,
        SecretType::Passphrase => ObjectType::SecretData,
        SecretType::Private => ObjectType::PrivateKey,
        SecretType::Public => ObjectType::PublicKey,
        SecretType::Certificate => ObjectType::Certificate,
        SecretType::Opaque => ObjectType::OpaqueObject,
    }
}

/// Algorithm texts that clients send, in lower case without punctuation, and what KMIP calls them.
const ALGORITHMS: &[(&str, CryptographicAlgorithm)] = &[
    ("3des", CryptographicAlgorithm::TRIPLE_DES),
    ("aes", CryptographicAlgorithm::AES),
    ("des", CryptographicAlgorithm::DES),
    ("desede", CryptographicAlgorithm::TRIPLE_DES),
    ("dsa", CryptographicAlgorithm::DSA),
    ("ec", CryptographicAlgorithm::EC),
    ("ecdsa", CryptographicAlgorithm::ECDSA),
    ("ed25519", CryptographicAlgorithm::ED25519),
    ("hmacmd5", CryptographicAlgorithm::HMAC_MD5),
    ("hmacsha1", CryptographicAlgorithm::HMAC_SHA1),
    ("hmacsha224", CryptographicAlgorithm::HMAC_SHA224),
    ("hmacsha256", CryptographicAlgorithm::HMAC_SHA256),
    ("hmacsha384", CryptographicAlgorithm::HMAC_SHA384),
    ("hmacsha512", CryptographicAlgorithm::HMAC_SHA512),
    ("rsa", CryptographicAlgorithm::RSA),
];

/// KMIP's algorithm for Barbican's free text, where there is one.
#[must_use]
pub fn algorithm_named(text: &str) -> Option<CryptographicAlgorithm> {
    let plain = text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect::<String>().to_ascii_lowercase();
    ALGORITHMS.iter().find(|(name, _)| *name == plain).map(|(_, algorithm)| *algorithm)
}

/// Whether keys of the algorithm make MACs.
#[must_use]
pub const fn makes_macs(algorithm: CryptographicAlgorithm) -> bool {
    algorithm.0 >= CryptographicAlgorithm::HMAC_SHA1.0 && algorithm.0 <= CryptographicAlgorithm::HMAC_SHA512.0
}

/// The usage of a key made through Barbican (design decision "mapping").
#[must_use]
pub const fn usage_of(algorithm: CryptographicAlgorithm) -> UsageMask {
    if makes_macs(algorithm) {
        UsageMask::MAC_GENERATE.with(UsageMask::MAC_VERIFY)
    } else {
        UsageMask::ENCRYPT.with(UsageMask::DECRYPT)
    }
}

/// Algorithm, length and usage as attributes; what a secret without a payload says of itself, too.
#[must_use]
pub fn described(algorithm: CryptographicAlgorithm, bits: Option<u32>) -> Vec<Attribute> {
    let bits = bits.and_then(|bits| i32::try_from(bits).ok());
    let algorithm = Attribute::new(AttributeKind::CryptographicAlgorithm, AttributeValue::Enumeration(algorithm.0));
    let length = bits.map(|bits| Attribute::new(AttributeKind::CryptographicLength, AttributeValue::Integer(bits)));
    std::iter::once(algorithm).chain(length).collect()
}

/// The client attributes that every object made through Barbican has: active at once, and what it may be used for.
#[must_use]
pub fn client_attributes(now: Timestamp, usage: UsageMask) -> Vec<Attribute> {
    let active = Attribute::new(AttributeKind::ActivationDate, AttributeValue::Date(now.to_seconds()));
    let mask = AttributeValue::Integer(usage.0.cast_signed());
    let usage = (usage.0 != 0).then(|| Attribute::new(AttributeKind::CryptographicUsageMask, mask));
    std::iter::once(active).chain(usage).collect()
}

/// Finds out what a payload is. `labels` are those of the secret.
#[must_use]
pub fn recognise(labels: &SecretFacet, payload: SecretValue) -> Recognised {
    let secret_type = labels.secret_type.unwrap_or_default();
    let key = match secret_type {
        SecretType::Symmetric => labels.algorithm.as_deref().and_then(algorithm_named).and_then(|algorithm| {
            let kind = secret_key(algorithm, payload.len())?;
            let bits = u32::try_from(payload.len()).ok()?.checked_mul(8)?;
            let imported = ImportedKey { kind, value: payload.duplicate() };
            Some((imported, algorithm, bits, usage_of(algorithm), KeyFormatType::RAW))
        }),
        SecretType::Private => PrivateKey::parse(&payload).ok().and_then(|key| {
            let imported = ImportedKey { kind: private_kind(&key), value: key.to_pkcs8().ok()? };
            Some((imported, key.algorithm(), key.bits(), UsageMask::SIGN, KeyFormatType::PKCS_8))
        }),
        SecretType::Public => PublicKey::parse_secret(&payload).ok().and_then(|key| {
            let imported = ImportedKey { kind: public_kind(&key), value: key.to_spki().ok()?.into() };
            Some((imported, key.algorithm(), key.bits(), UsageMask::VERIFY, KeyFormatType::X_509))
        }),
        SecretType::Passphrase | SecretType::Certificate | SecretType::Opaque => None,
    };
    if let Some((key, algorithm, bits, usage, format)) = key {
        // Raw key bytes are their own canonical form; PEM and DER are kept beside the key.
        let bytes = (secret_type != SecretType::Symmetric).then_some(payload);
        return Recognised {
            object_type: object_type(secret_type),
            subtype: None,
            format: Some(format),
            derived: described(algorithm, Some(bits)),
            usage,
            value: NewValue { key: Some(key), bytes },
        };
    }
    let (object_type, subtype, format) = match secret_type {
        SecretType::Passphrase => (ObjectType::SecretData, SECRET_DATA_PASSWORD, Some(KeyFormatType::RAW)),
        SecretType::Certificate if Certificate::parse_secret(&payload).is_ok() => {
            (ObjectType::Certificate, CERTIFICATE_X509, None)
        }
        _ => (ObjectType::OpaqueObject, OPAQUE_DATA, None),
    };
    let value = NewValue { key: None, bytes: Some(payload) };
    let usage = UsageMask::default();
    Recognised { object_type, subtype: Some(subtype), format, derived: Vec::new(), usage, value }
}

/// KMIP 2.1 §11.54, *Secret Data Type*: Password.
pub(crate) const SECRET_DATA_PASSWORD: u32 = 1;
/// KMIP 2.1 §11.7, *Certificate Type*: X.509.
const CERTIFICATE_X509: u32 = 1;
/// KMIP 2.1 §11.36, *Opaque Data Type*: the standard defines no value, only the range of extensions. The first of it is
/// the one that PyKMIP knows, as "none".
const OPAQUE_DATA: u32 = 0x8000_0000;

/// The key object for raw bytes of that length, where the algorithm has one.
fn secret_key(algorithm: CryptographicAlgorithm, bytes: usize) -> Option<KeyKind> {
    match (algorithm, bytes) {
        (CryptographicAlgorithm::AES, 16 | 24 | 32) => Some(KeyKind::Aes),
        (CryptographicAlgorithm::TRIPLE_DES, 16 | 24) => Some(KeyKind::TripleDes),
        (algorithm, 1..) if makes_macs(algorithm) => Some(KeyKind::Generic),
        _ => None,
    }
}

const fn private_kind(key: &PrivateKey) -> KeyKind {
    match key {
        PrivateKey::Rsa(_) => KeyKind::RsaPrivate,
        PrivateKey::Ec(key) => KeyKind::EcPrivate(key.curve()),
        PrivateKey::Ed25519(_) => KeyKind::Ed25519Private,
    }
}

const fn public_kind(key: &PublicKey) -> KeyKind {
    match key {
        PublicKey::Rsa(_) => KeyKind::RsaPublic,
        PublicKey::Ec(key) => KeyKind::EcPublic(key.curve()),
        PublicKey::Ed25519(_) => KeyKind::Ed25519Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(secret_type: SecretType, algorithm: &str) -> SecretFacet {
        SecretFacet { secret_type: Some(secret_type), algorithm: Some(algorithm.to_owned()), ..SecretFacet::default() }
    }

    #[test]
    fn algorithm_texts_are_read_in_every_spelling_that_clients_use() {
        for (text, expected) in [
            ("aes", Some(CryptographicAlgorithm::AES)),
            ("AES", Some(CryptographicAlgorithm::AES)),
            ("HMAC-SHA256", Some(CryptographicAlgorithm::HMAC_SHA256)),
            ("hmacsha512", Some(CryptographicAlgorithm::HMAC_SHA512)),
            ("DESede", Some(CryptographicAlgorithm::TRIPLE_DES)),
            ("twofishy", None),
            ("", None),
        ] {
            assert_eq!(algorithm_named(text), expected, "{text}");
        }
    }

    #[test]
    fn raw_bytes_are_a_key_only_at_a_length_of_the_algorithm() {
        for (algorithm, length, kind) in [
            ("aes", 16, Some(KeyKind::Aes)),
            ("aes", 32, Some(KeyKind::Aes)),
            ("aes", 31, None),
            ("aes", 64, None),
            ("3des", 24, Some(KeyKind::TripleDes)),
            ("hmacsha256", 40, Some(KeyKind::Generic)),
            ("unheard of", 16, None),
        ] {
            let found = recognise(&labels(SecretType::Symmetric, algorithm), SecretValue::new(vec![7; length]));
            assert_eq!(found.value.key.as_ref().map(|key| key.kind), kind, "{algorithm} {length}");
            assert_eq!(found.value.bytes.is_some(), kind.is_none(), "{algorithm} {length}");
            let expected = if kind.is_some() { ObjectType::SymmetricKey } else { ObjectType::OpaqueObject };
            assert_eq!(found.object_type, expected, "{algorithm} {length}");
        }
    }

    #[test]
    fn what_is_no_key_or_certificate_is_opaque() {
        for secret_type in [SecretType::Private, SecretType::Public, SecretType::Certificate, SecretType::Opaque] {
            let found = recognise(&labels(secret_type, "rsa"), b"-----BEGIN NOTHING-----".to_vec().into());
            assert_eq!(found.object_type, ObjectType::OpaqueObject, "{secret_type:?}");
            assert!(found.value.key.is_none() && found.value.bytes.is_some());
        }
    }
}
