//! Derivations that only rearrange or encrypt: concatenation, exclusive or, extraction (PKCS#11 3.1 §6.43), encrypted data
//! (§6.14, §6.18), and keys from passwords (§6.37).

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    aes, block, des,
    error::{CryptoError, Result},
    ffi::{cipher::Cipher, kdf},
    generate,
    key::Key,
    mechanism::MechanismInfo,
    operation::Direction,
    params::{ParamKind, Params},
};

const fn row(mechanism: CK_MECHANISM_TYPE, name: &'static str, params: ParamKind) -> MechanismInfo {
    MechanismInfo::new(mechanism, name, generate::ANY_SECRET, (1, 4096), params).leaky()
}

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    row(CKM_CONCATENATE_BASE_AND_KEY, "CONCATENATE_BASE_AND_KEY", ParamKind::OtherKey).derives(|params, key, bytes| {
        let Params::OtherKey(other) = params else { return Err(CryptoError::MechanismParamInvalid) };
        concatenate(key.secret()?.value(), other.value()?, bytes)
    }),
    row(CKM_CONCATENATE_BASE_AND_DATA, "CONCATENATE_BASE_AND_DATA", ParamKind::Data)
        .derives(|params, key, bytes| concatenate(key.secret()?.value(), data(params)?, bytes)),
    row(CKM_CONCATENATE_DATA_AND_BASE, "CONCATENATE_DATA_AND_BASE", ParamKind::Data)
        .derives(|params, key, bytes| concatenate(data(params)?, key.secret()?.value(), bytes)),
    row(CKM_XOR_BASE_AND_DATA, "XOR_BASE_AND_DATA", ParamKind::Data).derives(|params, key, bytes| {
        let (base, data) = (key.secret()?.value(), data(params)?);
        let mixed: Zeroizing<Vec<u8>> = Zeroizing::new(base.iter().zip(data).map(|(base, data)| base ^ data).collect());
        front(mixed, bytes)
    }),
    row(CKM_EXTRACT_KEY_FROM_KEY, "EXTRACT_KEY_FROM_KEY", ParamKind::Extract).derives(extract),
    MechanismInfo::new(CKM_AES_ECB_ENCRYPT_DATA, "AES_ECB_ENCRYPT_DATA", aes::KEY_TYPES, aes::SIZES, ParamKind::Data)
        .derives(|params, key, bytes| encrypt(Cipher::AesEcb, key, &[], data(params)?, bytes)),
    MechanismInfo::new(
        CKM_AES_CBC_ENCRYPT_DATA,
        "AES_CBC_ENCRYPT_DATA",
        aes::KEY_TYPES,
        aes::SIZES,
        ParamKind::IvData(16),
    )
    .derives(|params, key, bytes| {
        let (iv, data) = iv_data(params)?;
        encrypt(Cipher::AesCbc, key, iv, data, bytes)
    }),
    MechanismInfo::new(CKM_DES3_ECB_ENCRYPT_DATA, "DES3_ECB_ENCRYPT_DATA", des::KEY_TYPES, des::SIZES, ParamKind::Data)
        .derives(|params, key, bytes| encrypt(Cipher::Des3Ecb, key, &[], data(params)?, bytes)),
    MechanismInfo::new(
        CKM_DES3_CBC_ENCRYPT_DATA,
        "DES3_CBC_ENCRYPT_DATA",
        des::KEY_TYPES,
        des::SIZES,
        ParamKind::IvData(8),
    )
    .derives(|params, key, bytes| {
        let (iv, data) = iv_data(params)?;
        encrypt(Cipher::Des3Cbc, key, iv, data, bytes)
    }),
];

fn data(params: &Params) -> Result<&[u8]> {
    match params {
        Params::Data(data) => Ok(data),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

fn iv_data(params: &Params) -> Result<(&[u8], &[u8])> {
    match params {
        Params::IvData { iv, data } => Ok((iv, data)),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

/// The front of some material; all of it when no length is asked for.
fn front(mut material: Zeroizing<Vec<u8>>, bytes: Option<usize>) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = bytes.unwrap_or(material.len());
    if bytes > material.len() || bytes == 0 {
        return Err(CryptoError::KeySizeRange);
    }
    material.truncate(bytes);
    Ok(material)
}

fn concatenate(first: &[u8], second: &[u8], bytes: Option<usize>) -> Result<Zeroizing<Vec<u8>>> {
    let mut both = Zeroizing::new(Vec::with_capacity(first.len() + second.len()));
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    front(both, bytes)
}

/// Bits from a place on, round the end of the key if need be; the place is counted from the first bit of the first byte.
fn extract(params: &Params, key: &Key, bytes: Option<usize>) -> Result<Zeroizing<Vec<u8>>> {
    let Params::Extract(start) = params else { return Err(CryptoError::MechanismParamInvalid) };
    let base = key.secret()?.value();
    let bytes = bytes.ok_or(CryptoError::KeySizeRange)?;
    if *start >= 8 * base.len() {
        return Err(CryptoError::MechanismParamInvalid);
    }
    if bytes > base.len() || bytes == 0 {
        return Err(CryptoError::KeySizeRange);
    }
    let byte = |place: usize| u16::from(base.get(place % base.len()).copied().unwrap_or_default());
    let shift = start % 8;
    let mut output = Zeroizing::new(Vec::with_capacity(bytes));
    for place in (start / 8..).take(bytes) {
        let [made, _] = (((byte(place) << 8) | byte(place + 1)) << shift).to_be_bytes();
        output.push(made);
    }
    Ok(output)
}

fn encrypt(cipher: Cipher, key: &Key, iv: &[u8], data: &[u8], bytes: Option<usize>) -> Result<Zeroizing<Vec<u8>>> {
    let block = block::block_bytes(cipher);
    // Data too short for the key that is asked for is the caller's mistake in the same parameter.
    let is_short = bytes.is_some_and(|bytes| bytes > data.len());
    if data.is_empty() || is_short || !data.len().is_multiple_of(block) || data.len() > DATA_BYTES_MAX {
        return Err(CryptoError::MechanismParamInvalid);
    }
    let iv = (!iv.is_empty()).then_some(iv);
    let mut context = key.secret()?.template(cipher, Direction::Encrypt)?.start(iv, Direction::Encrypt)?;
    let mut output = Zeroizing::new(vec![0; data.len()]);
    context.update(data, &mut output)?;
    front(output, bytes)
}

/// Makes the value of a key from a password (PBKDF2).
pub fn pbkdf2(params: &Params, bytes: usize) -> Result<Zeroizing<Vec<u8>>> {
    let Params::Pbkdf2 { hash, salt, iterations, password } = params else {
        return Err(CryptoError::MechanismParamInvalid);
    };
    if *iterations == 0 || *iterations > ITERATIONS_MAX {
        return Err(CryptoError::MechanismParamInvalid);
    }
    let mut output = Zeroizing::new(vec![0; bytes]);
    kdf::pbkdf2(*hash, password.value(), salt, *iterations, &mut output)?;
    Ok(output)
}

/// Far above any key.
const DATA_BYTES_MAX: usize = 1 << 20;
/// A minute's work or so: beyond it a caller only means to stop the token.
const ITERATIONS_MAX: u32 = 20_000_000;
