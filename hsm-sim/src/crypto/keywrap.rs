//! AES key wrap (PKCS#11 3.1 §6.14): RFC 3394, and RFC 5649 under both of its numbers.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    aes, block,
    error::{CryptoError, Result},
    key::Key,
    mechanism::MechanismInfo,
    operation::Direction,
    params::{ParamKind, Params},
};

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    row(CKM_AES_KEY_WRAP, "AES_KEY_WRAP", ParamKind::OptionalIv(8)).wraps(wrap, unwrap),
    row(CKM_AES_KEY_WRAP_PAD, "AES_KEY_WRAP_PAD", ParamKind::OptionalIv(4)).wraps(wrap_padded, unwrap_padded),
    row(CKM_AES_KEY_WRAP_KWP, "AES_KEY_WRAP_KWP", ParamKind::OptionalIv(4)).wraps(wrap_padded, unwrap_padded),
    row(CKM_AES_KEY_WRAP_PKCS7, "AES_KEY_WRAP_PKCS7", ParamKind::OptionalIv(8)).wraps(wrap_pkcs7, unwrap_pkcs7),
];

const fn row(mechanism: CK_MECHANISM_TYPE, name: &'static str, params: ParamKind) -> MechanismInfo {
    MechanismInfo::new(mechanism, name, aes::KEY_TYPES, aes::SIZES, params).single_part()
}

/// What a decryption failure is called when it happens while unwrapping.
pub(super) fn as_unwrap_error(error: CryptoError) -> CryptoError {
    match error {
        CryptoError::EncryptedDataInvalid | CryptoError::AeadDecryptFailed => CryptoError::WrappedKeyInvalid,
        CryptoError::EncryptedDataLenRange => CryptoError::WrappedKeyLenRange,
        other => other,
    }
}

fn wrap(params: &Params, key: &Key, plain: &[u8]) -> Result<Vec<u8>> {
    let iv = initial_value(params)?;
    // RFC 3394 §2: at least two 64-bit blocks.
    if plain.len() < 16 || !plain.len().is_multiple_of(8) || plain.len() > BYTES_MAX {
        return Err(CryptoError::KeyNotWrappable);
    }
    let mut wrapped = vec![0; plain.len() + 8];
    key.secret()?.wrap_key(Direction::Encrypt)?.wrap(iv, plain, &mut wrapped)?;
    Ok(wrapped)
}

fn unwrap(params: &Params, key: &Key, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let iv = initial_value(params)?;
    if wrapped.len() < 24 || !wrapped.len().is_multiple_of(8) || wrapped.len() > BYTES_MAX + 8 {
        return Err(CryptoError::WrappedKeyLenRange);
    }
    let mut plain = Zeroizing::new(vec![0; wrapped.len() - 8]);
    let key = key.secret()?.wrap_key(Direction::Decrypt)?;
    key.unwrap(iv, wrapped, &mut plain).map_err(|_whatever| CryptoError::WrappedKeyInvalid)?;
    Ok(plain)
}

pub(super) fn wrap_padded(params: &Params, key: &Key, plain: &[u8]) -> Result<Vec<u8>> {
    default_value_only(params)?;
    if plain.is_empty() || plain.len() > BYTES_MAX {
        return Err(CryptoError::KeyNotWrappable);
    }
    let mut wrapped = vec![0; plain.len().next_multiple_of(8) + 8];
    let written = key.secret()?.wrap_key(Direction::Encrypt)?.wrap_padded(plain, &mut wrapped)?;
    wrapped.truncate(written);
    Ok(wrapped)
}

pub(super) fn unwrap_padded(params: &Params, key: &Key, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    default_value_only(params)?;
    if wrapped.len() < 16 || !wrapped.len().is_multiple_of(8) || wrapped.len() > BYTES_MAX + 8 {
        return Err(CryptoError::WrappedKeyLenRange);
    }
    let mut plain = Zeroizing::new(vec![0; wrapped.len() - 8]);
    let key = key.secret()?.wrap_key(Direction::Decrypt)?;
    let bytes = key.unwrap_padded(wrapped, &mut plain).map_err(|_whatever| CryptoError::WrappedKeyInvalid)?;
    plain.truncate(bytes);
    Ok(plain)
}

/// RFC 3394 over a value that PKCS#7 has filled up to whole half blocks (PKCS#11 3.1 §6.16.5).
fn wrap_pkcs7(params: &Params, key: &Key, plain: &[u8]) -> Result<Vec<u8>> {
    if plain.len() > BYTES_MAX - 8 {
        return Err(CryptoError::KeyNotWrappable);
    }
    let filled = (plain.len() / 8 + 1) * 8;
    let fill = u8::try_from(filled - plain.len()).map_err(|_at_most_eight| CryptoError::GeneralError)?;
    let mut padded = Zeroizing::new(vec![fill; filled]);
    padded.get_mut(..plain.len()).ok_or(CryptoError::GeneralError)?.copy_from_slice(plain);
    wrap(params, key, &padded)
}

fn unwrap_pkcs7(params: &Params, key: &Key, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut plain = unwrap(params, key, wrapped)?;
    let last = plain.last_chunk::<8>().ok_or(CryptoError::WrappedKeyInvalid)?;
    let bytes = plain.len() - 8 + block::unpadded_bytes(last).ok_or(CryptoError::WrappedKeyInvalid)?;
    plain.truncate(bytes);
    Ok(plain)
}

fn initial_value(params: &Params) -> Result<Option<&[u8; 8]>> {
    match params {
        Params::None => Ok(None),
        Params::Iv(iv) => iv.as_slice().try_into().map(Some).map_err(|_length| CryptoError::MechanismParamInvalid),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

/// RFC 5649 §3 allows no other value; naming the standard's own is accepted.
fn default_value_only(params: &Params) -> Result<()> {
    match params {
        Params::None => Ok(()),
        Params::Iv(iv) if iv.as_slice() == KWP_VALUE => Ok(()),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

const KWP_VALUE: [u8; 4] = [0xa6, 0x59, 0x59, 0xa6];
/// Far above any key, far below where lengths could overflow.
const BYTES_MAX: usize = 1 << 20;
