//! AES in the modes without authentication (PKCS#11 3.1 §6.13–6.16), for data and for wrapping.

use cryptoki_sys::*;

use super::{
    block::{self, Padding},
    error::Result,
    ffi::cipher::Cipher,
    mechanism::MechanismInfo,
    operation::Direction,
    params::ParamKind,
};

/// Sizes of AES keys in bytes.
pub(super) const SIZES: (CK_ULONG, CK_ULONG) = (16, 32);
/// The key type of AES.
pub(super) const KEY_TYPES: &[CK_KEY_TYPE] = &[CKK_AES];

const fn row(mechanism: CK_MECHANISM_TYPE, name: &'static str, params: ParamKind) -> MechanismInfo {
    MechanismInfo::new(mechanism, name, KEY_TYPES, SIZES, params)
}

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    row(CKM_AES_ECB, "AES_ECB", ParamKind::None)
        .encrypts(|direction, params, key| block::ecb(Cipher::AesEcb, direction, params, key))
        .wraps(
            |params, key, plain| {
                let mut operation = block::ecb(Cipher::AesEcb, Direction::Encrypt, params, key)?;
                block::wrap_zero_filled(&mut *operation, 16, plain)
            },
            |params, key, wrapped| unwrap(block::ecb(Cipher::AesEcb, Direction::Decrypt, params, key)?, wrapped),
        ),
    row(CKM_AES_CBC, "AES_CBC", ParamKind::Iv(16))
        .encrypts(|direction, params, key| block::cbc(Cipher::AesCbc, Padding::None, direction, params, key))
        .wraps(
            |params, key, plain| {
                let mut operation = block::cbc(Cipher::AesCbc, Padding::None, Direction::Encrypt, params, key)?;
                block::wrap_zero_filled(&mut *operation, 16, plain)
            },
            |params, key, wrapped| {
                unwrap(block::cbc(Cipher::AesCbc, Padding::None, Direction::Decrypt, params, key)?, wrapped)
            },
        ),
    row(CKM_AES_CBC_PAD, "AES_CBC_PAD", ParamKind::Iv(16))
        .encrypts(|direction, params, key| block::cbc(Cipher::AesCbc, Padding::Pkcs7, direction, params, key))
        .wraps(
            |params, key, plain| {
                let mut operation = block::cbc(Cipher::AesCbc, Padding::Pkcs7, Direction::Encrypt, params, key)?;
                Ok(std::mem::take(&mut *block::process_to_vec(&mut *operation, plain)?))
            },
            |params, key, wrapped| {
                unwrap(block::cbc(Cipher::AesCbc, Padding::Pkcs7, Direction::Decrypt, params, key)?, wrapped)
            },
        ),
    row(CKM_AES_CTR, "AES_CTR", ParamKind::Ctr).encrypts(block::ctr),
    row(CKM_AES_CFB8, "AES_CFB8", ParamKind::Iv(16))
        .encrypts(|direction, params, key| block::stream(Cipher::AesCfb8, direction, params, key)),
    row(CKM_AES_CFB128, "AES_CFB128", ParamKind::Iv(16))
        .encrypts(|direction, params, key| block::stream(Cipher::AesCfb128, direction, params, key)),
    row(CKM_AES_OFB, "AES_OFB", ParamKind::Iv(16))
        .encrypts(|direction, params, key| block::stream(Cipher::AesOfb, direction, params, key)),
];

/// Decrypts a wrapped key, with the errors of unwrapping.
pub(super) fn unwrap(
    mut operation: Box<dyn super::operation::CipherOperation>,
    wrapped: &[u8],
) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    block::process_to_vec(&mut *operation, wrapped).map_err(super::keywrap::as_unwrap_error)
}
