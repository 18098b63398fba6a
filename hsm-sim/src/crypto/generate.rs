//! Random bytes and key generation.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    aes, des,
    error::{CryptoError, Result},
    ffi,
    mechanism::MechanismInfo,
    params::ParamKind,
};

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    MechanismInfo::new(CKM_AES_KEY_GEN, "AES_KEY_GEN", aes::KEY_TYPES, aes::SIZES, ParamKind::None).flags(CKF_GENERATE),
    MechanismInfo::new(CKM_DES2_KEY_GEN, "DES2_KEY_GEN", &[CKK_DES2], (16, 16), ParamKind::None).flags(CKF_GENERATE),
    MechanismInfo::new(CKM_DES3_KEY_GEN, "DES3_KEY_GEN", &[CKK_DES3], (24, 24), ParamKind::None).flags(CKF_GENERATE),
    MechanismInfo::new(
        CKM_GENERIC_SECRET_KEY_GEN,
        "GENERIC_SECRET_KEY_GEN",
        &[CKK_GENERIC_SECRET],
        (1, 4096),
        ParamKind::None,
    )
    .flags(CKF_GENERATE),
];

/// Fills `output` with random bytes.
pub fn random(output: &mut [u8]) -> Result<()> {
    ffi::random::fill(output)
}

/// Makes a secret of so many random bytes.
pub fn generate_secret(bytes: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut value = Zeroizing::new(vec![0; bytes]);
    random(&mut value)?;
    Ok(value)
}

/// Makes a DES2 (16 bytes) or DES3 (24 bytes) key with odd parity and single keys that differ.
pub fn generate_des(bytes: usize) -> Result<Zeroizing<Vec<u8>>> {
    if bytes != 16 && bytes != 24 {
        return Err(CryptoError::KeySizeRange);
    }
    loop {
        let mut value = generate_secret(bytes)?;
        des::set_odd_parity(&mut value);
        let mut keys = value.chunks_exact(8);
        let (first, second, third) = (keys.next(), keys.next(), keys.next());
        if first != second && second != third && first != third {
            return Ok(value);
        }
    }
}
