//! RSA encryption (PKCS#11 3.1 §6.1): PKCS#1 v1.5, OAEP and raw, for data and for wrapping, and the two-layer
//! RSA_AES_KEY_WRAP.
//!
//! Decryption under v1.5 rejects implicitly: a ciphertext with bad padding decrypts to a message that depends only on key
//! and ciphertext, so nobody learns from it whether the padding was good (Bleichenbacher, Marvin). All steps that see the
//! padding run in constant time.

use std::sync::Arc;

use cryptoki_sys::*;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    ffi::rsa::{Component, Padding, RsaKey},
    generate,
    key::{Key, rsa},
    keywrap,
    mac::hmac_once,
    mechanism::MechanismInfo,
    operation::{CipherOperation, Direction},
    params::{Hash, Oaep, ParamKind, Params},
    rsa_sign,
    whole::{OneShot, Whole},
};

/// The key type of RSA.
pub(super) const KEY_TYPES: &[CK_KEY_TYPE] = &[CKK_RSA];
/// Sizes of RSA keys in bits.
pub(super) const SIZES: (CK_ULONG, CK_ULONG) = (rsa::BITS_MIN as CK_ULONG, rsa::BITS_MAX as CK_ULONG);

/// The row of `CKM_RSA_PKCS`, which also signs: the signature family adds that.
pub(super) const RSA_PKCS: MechanismInfo =
    MechanismInfo::new(CKM_RSA_PKCS, "RSA_PKCS", KEY_TYPES, SIZES, ParamKind::None)
        .single_part()
        .encrypts(|direction, params, key| open(pkcs1(params)?, direction, (), key))
        .recovers(rsa_sign::sign_recover_pkcs1, rsa_sign::verify_recover_pkcs1)
        .wraps(
            |params, key, plain| wrap(pkcs1(params)?, (), key, plain),
            |params, key, wrapped| unwrap(pkcs1(params)?, (), key, wrapped),
        );

/// The row of `CKM_RSA_X_509`, which also signs.
pub(super) const RSA_X_509: MechanismInfo =
    MechanismInfo::new(CKM_RSA_X_509, "RSA_X_509", KEY_TYPES, SIZES, ParamKind::None)
        .single_part()
        .encrypts(|direction, params, key| open(Scheme::Raw, direction, none(params)?, key))
        .recovers(rsa_sign::sign_recover_raw, rsa_sign::verify_recover_raw);

/// The rows that only encrypt and wrap.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    MechanismInfo::new(CKM_RSA_PKCS_OAEP, "RSA_PKCS_OAEP", KEY_TYPES, SIZES, ParamKind::Oaep)
        .single_part()
        .encrypts(|direction, params, key| open(oaep(params)?, direction, (), key))
        .wraps(
            |params, key, plain| wrap(oaep(params)?, (), key, plain),
            |params, key, wrapped| unwrap(oaep(params)?, (), key, wrapped),
        ),
    MechanismInfo::new(CKM_RSA_AES_KEY_WRAP, "RSA_AES_KEY_WRAP", KEY_TYPES, SIZES, ParamKind::RsaAes)
        .single_part()
        .wraps(wrap_rsa_aes, unwrap_rsa_aes),
];

#[derive(Clone)]
enum Scheme {
    Raw,
    /// PKCS#1 v1.5; `tells` says whether bad padding is an error.
    Pkcs1 {
        tells: bool,
    },
    Oaep(Oaep),
}

fn none(params: &Params) -> Result<()> {
    match params {
        Params::None => Ok(()),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

fn pkcs1(params: &Params) -> Result<Scheme> {
    match params {
        Params::None => Ok(Scheme::Pkcs1 { tells: false }),
        Params::ExplicitRejection => Ok(Scheme::Pkcs1 { tells: true }),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

fn oaep(params: &Params) -> Result<Scheme> {
    match params {
        Params::Oaep(oaep) => Ok(Scheme::Oaep(oaep.clone())),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

fn open(scheme: Scheme, direction: Direction, _checked: (), key: &Key) -> Result<Box<dyn CipherOperation>> {
    let key = match direction {
        Direction::Encrypt => key.rsa_public()?,
        Direction::Decrypt => key.rsa_private()?,
    };
    if let Scheme::Oaep(oaep) = &scheme {
        oaep_message_bytes(key, oaep)?;
    }
    Ok(Box::new(Whole::new(RsaOperation { key: Arc::clone(key), scheme, direction })))
}

fn wrap(scheme: Scheme, _checked: (), key: &Key, plain: &[u8]) -> Result<Vec<u8>> {
    encrypt(key.rsa_public()?, &scheme, plain).map_err(|error| match error {
        CryptoError::DataLenRange => CryptoError::KeyNotWrappable,
        other => other,
    })
}

fn unwrap(scheme: Scheme, _checked: (), key: &Key, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    decrypt(key.rsa_private()?, &scheme, wrapped).map_err(keywrap::as_unwrap_error)
}

/// PKCS#11 3.1 §6.1.11: a fresh AES key under OAEP, and behind it the key under KWP with that AES key.
fn wrap_rsa_aes(params: &Params, key: &Key, plain: &[u8]) -> Result<Vec<u8>> {
    let (aes_bytes, scheme) = rsa_aes(params)?;
    let aes = generate::generate_secret(aes_bytes)?;
    let mut wrapped = wrap(scheme, (), key, &aes)?;
    wrapped.extend(keywrap::wrap_padded(&Params::None, &Key::from_secret(aes), plain)?);
    Ok(wrapped)
}

fn unwrap_rsa_aes(params: &Params, key: &Key, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let (aes_bytes, scheme) = rsa_aes(params)?;
    let modulus = key.rsa_private()?.modulus_bytes();
    let (first, second) = wrapped.split_at_checked(modulus).ok_or(CryptoError::WrappedKeyLenRange)?;
    let aes = unwrap(scheme, (), key, first)?;
    if aes.len() != aes_bytes {
        return Err(CryptoError::WrappedKeyInvalid);
    }
    keywrap::unwrap_padded(&Params::None, &Key::from_secret(aes), second)
}

fn rsa_aes(params: &Params) -> Result<(usize, Scheme)> {
    match params {
        Params::RsaAes { aes_bits: 128, oaep } => Ok((16, Scheme::Oaep(oaep.clone()))),
        Params::RsaAes { aes_bits: 192, oaep } => Ok((24, Scheme::Oaep(oaep.clone()))),
        Params::RsaAes { aes_bits: 256, oaep } => Ok((32, Scheme::Oaep(oaep.clone()))),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

struct RsaOperation {
    key: Arc<RsaKey>,
    scheme: Scheme,
    direction: Direction,
}

impl OneShot for RsaOperation {
    fn is_exact(&self) -> bool {
        self.direction == Direction::Encrypt || matches!(self.scheme, Scheme::Raw)
    }

    fn input_bytes_max(&self) -> usize {
        self.key.modulus_bytes()
    }

    fn output_bound(&self, _input_bytes: usize) -> usize {
        let modulus = self.key.modulus_bytes();
        match (self.direction, &self.scheme) {
            (Direction::Encrypt, _) | (Direction::Decrypt, Scheme::Raw) => modulus,
            (Direction::Decrypt, Scheme::Pkcs1 { .. }) => modulus - PKCS1_OVERHEAD,
            (Direction::Decrypt, Scheme::Oaep(oaep)) => oaep_message_bytes(&self.key, oaep).unwrap_or(modulus),
        }
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn run(&self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let result = match self.direction {
            Direction::Encrypt => Zeroizing::new(encrypt(&self.key, &self.scheme, input)?),
            Direction::Decrypt => decrypt(&self.key, &self.scheme, input)?,
        };
        output.get_mut(..result.len()).ok_or(CryptoError::GeneralError)?.copy_from_slice(&result);
        Ok(result.len())
    }
}

fn encrypt(key: &RsaKey, scheme: &Scheme, plain: &[u8]) -> Result<Vec<u8>> {
    let modulus = key.modulus_bytes();
    let mut output = vec![0; modulus];
    match scheme {
        Scheme::Raw => {
            let block = raw_block(modulus, plain)?;
            key.encrypt_raw(Padding::None, &block, &mut output).map_err(|_not_below| CryptoError::DataInvalid)?;
        }
        Scheme::Pkcs1 { .. } => {
            if plain.len() > modulus - PKCS1_OVERHEAD {
                return Err(CryptoError::DataLenRange);
            }
            key.encrypt_raw(Padding::Pkcs1, plain, &mut output)?;
        }
        Scheme::Oaep(oaep) => {
            if plain.len() > oaep_message_bytes(key, oaep)? {
                return Err(CryptoError::DataLenRange);
            }
            key.encrypt_oaep(oaep, plain, &mut output)?;
        }
    }
    Ok(output)
}

fn decrypt(key: &RsaKey, scheme: &Scheme, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let modulus = key.modulus_bytes();
    if cipher.len() != modulus {
        return Err(CryptoError::EncryptedDataLenRange);
    }
    let mut output = Zeroizing::new(vec![0; modulus]);
    match scheme {
        Scheme::Oaep(oaep) => {
            let bytes =
                key.decrypt_oaep(oaep, cipher, &mut output).map_err(|_whatever| CryptoError::EncryptedDataInvalid)?;
            output.truncate(bytes);
            Ok(output)
        }
        Scheme::Raw | Scheme::Pkcs1 { .. } => {
            key.decrypt_raw(cipher, &mut output).map_err(|_not_below| CryptoError::EncryptedDataInvalid)?;
            match scheme {
                Scheme::Pkcs1 { tells } => {
                    let (message, good) = unpad_pkcs1(key, cipher, &output)?;
                    if *tells && !bool::from(good) { Err(CryptoError::EncryptedDataInvalid) } else { Ok(message) }
                }
                _ => Ok(output),
            }
        }
    }
}

/// PKCS#11 3.1 §6.1.7: shorter input is filled up with zeros in front.
pub(super) fn raw_block(modulus: usize, input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let fill = modulus.checked_sub(input.len()).ok_or(CryptoError::DataLenRange)?;
    let mut block = Zeroizing::new(vec![0; modulus]);
    block.get_mut(fill..).ok_or(CryptoError::GeneralError)?.copy_from_slice(input);
    Ok(block)
}

/// The longest message under OAEP (RFC 8017 §7.1.1); a modulus too small for the hash is `KeySizeRange`.
fn oaep_message_bytes(key: &RsaKey, oaep: &Oaep) -> Result<usize> {
    key.modulus_bytes().checked_sub(2 * oaep.hash.output_bytes() + 2).ok_or(CryptoError::KeySizeRange)
}

/// Removes type 2 padding with implicit rejection (draft-irtf-cfrg-rsa-guidance §7.2, as OpenSSL 3.2 does it). The only
/// thing that depends on the padding is which message, of which length, comes out; and what the caller makes of the second
/// answer, whether the padding was good.
fn unpad_pkcs1(key: &RsaKey, cipher: &[u8], padded: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Choice)> {
    let modulus = padded.len();
    let secret = rejection_secret(key, cipher)?;
    let mut synthetic = Zeroizing::new(vec![0; modulus]);
    expand(&secret, b"message", &mut synthetic)?;
    let synthetic_bytes = synthetic_length(&secret, modulus)?;

    let [zero, block_type, rest @ ..] = padded else { return Err(CryptoError::GeneralError) };
    let mut good = zero.ct_eq(&0) & block_type.ct_eq(&2);
    let mut found = Choice::from(0);
    let mut separator = 0_u32;
    for (index, byte) in (2_u32..).zip(rest) {
        let here = byte.ct_eq(&0) & !found;
        separator.conditional_assign(&index, here);
        found |= here;
    }
    // At least eight bytes of padding.
    good &= separator.ct_gt(&9);
    let total = u32::try_from(modulus).map_err(|_wide| CryptoError::GeneralError)?;
    let start = u32::conditional_select(&(total - synthetic_bytes), &(separator + 1), good);

    for (byte, real) in synthetic.iter_mut().zip(padded) {
        byte.conditional_assign(real, good);
    }
    let start = usize::try_from(start).map_err(|_wide| CryptoError::GeneralError)?;
    synthetic.drain(..start);
    Ok((synthetic, good))
}

/// HMAC of the ciphertext under the hash of the private exponent: equal for equal ciphertexts, unknown to all others.
fn rejection_secret(key: &RsaKey, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let exponent = raw_block(key.modulus_bytes(), &key.component(Component::PrivateExponent)?)?;
    let hash = Zeroizing::new(super::digest::digest(Hash::Sha256, &exponent)?);
    hmac_once(Hash::Sha256, &hash, &[cipher])
}

fn expand(secret: &[u8], label: &[u8], output: &mut [u8]) -> Result<()> {
    let bits = u16::try_from(output.len() * 8).map_err(|_wide| CryptoError::GeneralError)?;
    for (index, chunk) in (0_u16..).zip(output.chunks_mut(32)) {
        let block = hmac_once(Hash::Sha256, secret, &[&index.to_be_bytes(), label, &bits.to_be_bytes()])?;
        for (byte, made) in chunk.iter_mut().zip(block.iter()) {
            *byte = *made;
        }
    }
    Ok(())
}

/// A length that a good message could have, drawn from 128 candidates.
fn synthetic_length(secret: &[u8], modulus: usize) -> Result<u32> {
    let mut candidates = Zeroizing::new([0; 256]);
    expand(secret, b"length", &mut *candidates)?;
    let longest = u16::try_from(modulus - 10).map_err(|_wide| CryptoError::GeneralError)?;
    let mask = u16::MAX >> longest.leading_zeros();
    let mut length = 0_u16;
    for pair in candidates.chunks_exact(2) {
        let candidate = pair.iter().fold(0_u16, |value, byte| value << 8 | u16::from(*byte)) & mask;
        length.conditional_assign(&candidate, longest.ct_gt(&candidate));
    }
    Ok(u32::from(length))
}

/// 0x00, 0x02, at least eight bytes of padding, 0x00.
pub(super) const PKCS1_OVERHEAD: usize = 11;
