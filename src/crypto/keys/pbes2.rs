//! PKCS#8 under a passphrase: PBES2 of RFC 8018 with PBKDF2-HMAC-SHA-256 and AES-256-CBC.
//!
//! Opening also takes the other AES sizes and SHA-1/384/512 as the pseudo-random function, because common tools wrote them.
//! Composed here because the encryption feature of the PKCS#8 crate would bring a second cryptographic library.

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{
        AES_128, AES_192, AES_256, Algorithm as Cipher, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
        PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    error::Unspecified,
    iv::FixedLength,
    pbkdf2,
};
use der::{
    Encode, Sequence,
    asn1::{AnyRef, ObjectIdentifier, OctetStringRef},
};
use spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use super::PrivateKey;
use crate::{
    crypto::{Error, asn1, asn1::cut_into_secret, bytes, pem},
    domain::SecretValue,
};

/// Rounds of PBKDF2 for new keys: the OWASP recommendation for HMAC-SHA-256.
pub const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");
/// More rounds than this are refused on opening, because a peer chooses the number.
pub const ROUNDS_MAX: u32 = 5_000_000;
/// Random bytes that [`seal`] needs: salt and initialisation vector.
pub const RANDOM_BYTES: usize = 32;

const WHAT: &str = "encrypted private key";
const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");

/// RFC 8018 §B.1.
const PSEUDO_RANDOM: &[(ObjectIdentifier, pbkdf2::Algorithm)] = &[
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.9"), pbkdf2::PBKDF2_HMAC_SHA256),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.7"), pbkdf2::PBKDF2_HMAC_SHA1),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.10"), pbkdf2::PBKDF2_HMAC_SHA384),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.11"), pbkdf2::PBKDF2_HMAC_SHA512),
];

/// RFC 8018 §B.2.5, with the key length in bytes.
const CIPHERS: &[(ObjectIdentifier, &Cipher, usize)] = &[
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42"), &AES_256, 32),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.22"), &AES_192, 24),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.2"), &AES_128, 16),
];

#[derive(Sequence)]
struct EncryptedInfo<'a> {
    algorithm: AlgorithmIdentifierRef<'a>,
    encrypted: &'a OctetStringRef,
}

#[derive(Sequence)]
struct Pbes2Parameters<'a> {
    derivation: AlgorithmIdentifierRef<'a>,
    encryption: AlgorithmIdentifierRef<'a>,
}

#[derive(Sequence)]
struct Pbkdf2Parameters<'a> {
    salt: &'a OctetStringRef,
    rounds: u32,
    #[asn1(optional = "true")]
    key_bytes: Option<u16>,
    /// Absent means HMAC-SHA-1.
    #[asn1(optional = "true")]
    pseudo_random: Option<AlgorithmIdentifierRef<'a>>,
}

/// Encrypts a private key under a passphrase; the DER of `EncryptedPrivateKeyInfo`.
///
/// # Errors
///
/// `Malformed` for an empty passphrase; else only those of encoder and library.
pub fn seal(
    key: &PrivateKey,
    passphrase: &SecretValue,
    rounds: NonZeroU32,
    random: &[u8; RANDOM_BYTES],
) -> Result<Vec<u8>, Error> {
    encrypt(&key.to_pkcs8()?, passphrase, rounds, random)
}

/// Encrypts under a passphrase; the DER of `EncryptedPrivateKeyInfo`, which is that of PKCS#12's shrouded keys, too.
fn encrypt(
    plain: &SecretValue,
    passphrase: &SecretValue,
    rounds: NonZeroU32,
    random: &[u8; RANDOM_BYTES],
) -> Result<Vec<u8>, Error> {
    let failed = |Unspecified| Error::Failed("encrypting a private key");
    let (salt, iv) = random.split_at(RANDOM_BYTES / 2);
    let [(cipher_oid, cipher, key_bytes), ..] = CIPHERS else { return Err(Error::Failed("table of ciphers")) };
    let [(prf_oid, prf), ..] = PSEUDO_RANDOM else { return Err(Error::Failed("table of pseudo-random functions")) };
    let derived = derive(*prf, rounds, salt, passphrase, *key_bytes)?;
    let cipher =
        UnboundCipherKey::new(cipher, &derived).and_then(PaddedBlockEncryptingKey::cbc_pkcs7).map_err(failed)?;
    // Room for the padding, so that the plain text is overwritten in place and never moved.
    let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + 16));
    text.extend_from_slice(bytes(plain));
    let context = EncryptionContext::Iv128(FixedLength::try_from(iv).map_err(failed)?);
    cipher.less_safe_encrypt(&mut *text, context).map_err(failed)?;

    let prf = AlgorithmIdentifierRef { oid: *prf_oid, parameters: Some(AnyRef::NULL) };
    let derivation =
        Pbkdf2Parameters { salt: octets(salt)?, rounds: rounds.get(), key_bytes: None, pseudo_random: Some(prf) };
    let derivation = asn1::encode(WHAT, &derivation)?;
    let iv = octets(iv)?.to_der().map_err(refused)?;
    let scheme = Pbes2Parameters {
        derivation: AlgorithmIdentifierRef { oid: PBKDF2, parameters: Some(asn1::decode(WHAT, &derivation)?) },
        encryption: AlgorithmIdentifierRef { oid: *cipher_oid, parameters: Some(asn1::decode(WHAT, &iv)?) },
    };
    let scheme = asn1::encode(WHAT, &scheme)?;
    let info = EncryptedInfo {
        algorithm: AlgorithmIdentifierRef { oid: PBES2, parameters: Some(asn1::decode(WHAT, &scheme)?) },
        encrypted: octets(&text)?,
    };
    Ok(std::mem::take(&mut *asn1::encode(WHAT, &info)?))
}

/// As [`seal`], as PEM: `BEGIN ENCRYPTED PRIVATE KEY`.
///
/// # Errors
///
/// As [`seal`].
pub fn seal_pem(
    key: &PrivateKey,
    passphrase: &SecretValue,
    rounds: NonZeroU32,
    random: &[u8; RANDOM_BYTES],
) -> Result<String, Error> {
    pem::encode(pem::ENCRYPTED_PRIVATE_KEY, &seal(key, passphrase, rounds, random)?)
}

/// Opens `EncryptedPrivateKeyInfo`, DER or PEM.
///
/// # Errors
///
/// `Malformed`, `Unsupported` for other schemes and too many rounds, `WrongPassphrase` also for damaged content.
pub fn open(sealed: &[u8], passphrase: &SecretValue) -> Result<PrivateKey, Error> {
    if pem::is_pem(sealed) {
        let block = pem::decode(sealed)?;
        return match block.label.as_str() {
            pem::ENCRYPTED_PRIVATE_KEY => open(bytes(&block.der), passphrase),
            _ => Err(Error::malformed(WHAT)),
        };
    }
    let info: EncryptedInfo<'_> = asn1::decode(WHAT, sealed)?;
    match PrivateKey::from_pkcs8(&decrypt(&info.algorithm, info.encrypted.as_bytes(), passphrase)?) {
        // Now and then a wrong key leaves padding that looks right.
        Err(Error::Malformed { .. }) => Err(Error::WrongPassphrase),
        opened => opened,
    }
}

/// Decrypts what is encrypted by PBES2 with these parameters.
pub(in crate::crypto) fn decrypt(
    algorithm: &AlgorithmIdentifierRef<'_>,
    encrypted: &[u8],
    passphrase: &SecretValue,
) -> Result<SecretValue, Error> {
    if algorithm.oid != PBES2 {
        return Err(Error::Unsupported("this encryption of a private key"));
    }
    let scheme: Pbes2Parameters<'_> = parameters(algorithm)?;
    if scheme.derivation.oid != PBKDF2 {
        return Err(Error::Unsupported("this derivation of a key from a passphrase"));
    }
    let derivation: Pbkdf2Parameters<'_> = parameters(&scheme.derivation)?;
    let (_, cipher, key_bytes) = CIPHERS
        .iter()
        .find(|row| row.0 == scheme.encryption.oid)
        .ok_or(Error::Unsupported("this cipher for a private key"))?;
    let iv: &OctetStringRef = parameters(&scheme.encryption)?;
    let prf = match &derivation.pseudo_random {
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(given) => PSEUDO_RANDOM
            .iter()
            .find(|row| row.0 == given.oid && given.parameters.is_none_or(|parameters| parameters == AnyRef::NULL))
            .map(|row| row.1)
            .ok_or(Error::Unsupported("this pseudo-random function"))?,
    };
    if derivation.rounds > ROUNDS_MAX {
        return Err(Error::Unsupported("an encrypted private key with that many rounds"));
    }
    let rounds = NonZeroU32::new(derivation.rounds).ok_or(Error::malformed(WHAT))?;
    if derivation.key_bytes.is_some_and(|given| usize::from(given) != *key_bytes) {
        return Err(Error::malformed(WHAT));
    }
    let derived = derive(prf, rounds, derivation.salt.as_bytes(), passphrase, *key_bytes)?;
    let failed = |Unspecified| Error::Failed("decrypting a private key");
    let cipher =
        UnboundCipherKey::new(cipher, &derived).and_then(PaddedBlockDecryptingKey::cbc_pkcs7).map_err(failed)?;
    let context =
        DecryptionContext::Iv128(FixedLength::try_from(iv.as_bytes()).map_err(|Unspecified| Error::malformed(WHAT))?);
    let mut text = Zeroizing::new(encrypted.to_vec());
    let length = cipher.decrypt(&mut text, context).map_err(|Unspecified| Error::WrongPassphrase)?.len();
    Ok(cut_into_secret(text, length))
}

fn derive(
    prf: pbkdf2::Algorithm,
    rounds: NonZeroU32,
    salt: &[u8],
    passphrase: &SecretValue,
    key_bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if passphrase.is_empty() {
        return Err(Error::malformed("passphrase"));
    }
    let mut derived = Zeroizing::new(vec![0; key_bytes]);
    pbkdf2::derive(prf, rounds, salt, bytes(passphrase), &mut derived);
    Ok(derived)
}

fn parameters<'a, T: der::Decode<'a, Error = der::Error> + der::DecodeValue<'a, Error = der::Error> + der::FixedTag>(
    algorithm: &AlgorithmIdentifierRef<'a>,
) -> Result<T, Error> {
    algorithm.parameters.ok_or(Error::malformed(WHAT))?.decode_as().map_err(refused)
}

fn octets(bytes: &[u8]) -> Result<&OctetStringRef, Error> {
    OctetStringRef::new(bytes).map_err(refused)
}

const fn refused(cause: der::Error) -> Error {
    Error::Malformed { what: WHAT, cause: Some(cause) }
}
