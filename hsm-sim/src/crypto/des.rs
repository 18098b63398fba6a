//! Triple DES (PKCS#11 3.1 §6.19), kept for old data only.

use cryptoki_sys::*;

use super::{
    aes,
    block::{self, Padding},
    ffi::cipher::Cipher,
    mechanism::MechanismInfo,
    operation::Direction,
    params::ParamKind,
};

/// Key types of triple DES.
pub(super) const KEY_TYPES: &[CK_KEY_TYPE] = &[CKK_DES3, CKK_DES2];
/// Sizes of its keys in bytes: two keys or three.
pub(super) const SIZES: (CK_ULONG, CK_ULONG) = (16, 24);

const fn row(mechanism: CK_MECHANISM_TYPE, name: &'static str, params: ParamKind) -> MechanismInfo {
    MechanismInfo::new(mechanism, name, KEY_TYPES, SIZES, params)
}

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    row(CKM_DES3_ECB, "DES3_ECB", ParamKind::None)
        .encrypts(|direction, params, key| block::ecb(Cipher::Des3Ecb, direction, params, key))
        .wraps(
            |params, key, plain| {
                let mut operation = block::ecb(Cipher::Des3Ecb, Direction::Encrypt, params, key)?;
                block::wrap_zero_filled(&mut *operation, 8, plain)
            },
            |params, key, wrapped| aes::unwrap(block::ecb(Cipher::Des3Ecb, Direction::Decrypt, params, key)?, wrapped),
        ),
    row(CKM_DES3_CBC, "DES3_CBC", ParamKind::Iv(8))
        .encrypts(|direction, params, key| block::cbc(Cipher::Des3Cbc, Padding::None, direction, params, key))
        .wraps(
            |params, key, plain| {
                let mut operation = block::cbc(Cipher::Des3Cbc, Padding::None, Direction::Encrypt, params, key)?;
                block::wrap_zero_filled(&mut *operation, 8, plain)
            },
            |params, key, wrapped| {
                aes::unwrap(block::cbc(Cipher::Des3Cbc, Padding::None, Direction::Decrypt, params, key)?, wrapped)
            },
        ),
    row(CKM_DES3_CBC_PAD, "DES3_CBC_PAD", ParamKind::Iv(8))
        .encrypts(|direction, params, key| block::cbc(Cipher::Des3Cbc, Padding::Pkcs7, direction, params, key))
        .wraps(
            |params, key, plain| {
                let mut operation = block::cbc(Cipher::Des3Cbc, Padding::Pkcs7, Direction::Encrypt, params, key)?;
                Ok(std::mem::take(&mut *block::process_to_vec(&mut *operation, plain)?))
            },
            |params, key, wrapped| {
                aes::unwrap(block::cbc(Cipher::Des3Cbc, Padding::Pkcs7, Direction::Decrypt, params, key)?, wrapped)
            },
        ),
];

/// Sets the parity bit of every byte: an odd number of ones in each (FIPS 46-3).
pub fn set_odd_parity(key: &mut [u8]) {
    for byte in key {
        *byte = (*byte & 0xfe) | u8::from((*byte & 0xfe).count_ones().is_multiple_of(2));
    }
}

/// Whether every byte has odd parity, which `C_CreateObject` may insist on.
pub fn has_odd_parity(key: &[u8]) -> bool {
    !key.iter().fold(false, |even, byte| even | byte.count_ones().is_multiple_of(2))
}
