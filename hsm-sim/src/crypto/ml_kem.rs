//! ML-KEM (PKCS#11 3.2 §6.68, FIPS 203): a shared secret of 32 bytes and the ciphertext that carries it.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    key::Key,
    mechanism::MechanismInfo,
    params::{ParamKind, Params},
};

/// The key type.
pub(super) const KEY_TYPES: &[CK_KEY_TYPE] = &[CKK_ML_KEM];
/// Sizes of public keys in bytes, which is how the standard counts here.
pub(super) const SIZES: (CK_ULONG, CK_ULONG) = (800, 1568);

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] =
    &[MechanismInfo::new(CKM_ML_KEM, "ML_KEM", KEY_TYPES, SIZES, ParamKind::None).encapsulates(
        ciphertext_bytes,
        encapsulate,
        decapsulate,
    )];

fn ciphertext_bytes(key: &Key) -> Result<usize> {
    match key {
        Key::LatticePublic(key) => key.ciphertext_bytes(),
        _ => Err(CryptoError::KeyTypeInconsistent),
    }
}

fn encapsulate(params: &Params, key: &Key) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    match (params, key) {
        (Params::None, Key::LatticePublic(key)) => key.encapsulate(),
        (Params::None, _) => Err(CryptoError::KeyTypeInconsistent),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

fn decapsulate(params: &Params, key: &Key, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    match (params, key) {
        (Params::None, Key::LatticePrivate(key)) => key.decapsulate(ciphertext),
        (Params::None, _) => Err(CryptoError::KeyTypeInconsistent),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}
