//! A refusal: the return code a caller of the module gets.

use cryptoki_sys::*;

/// A return code other than `CKR_OK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rv(pub(crate) CK_RV);

/// The result of everything between the entry points and the crypto library.
pub(crate) type Result<T, E = Rv> = std::result::Result<T, E>;

impl From<crate::crypto::CryptoError> for Rv {
    fn from(error: crate::crypto::CryptoError) -> Self {
        Self(error.rv())
    }
}

impl From<crate::store::StoreError> for Rv {
    fn from(error: crate::store::StoreError) -> Self {
        use crate::store::StoreError;
        Self(match error {
            StoreError::Full => CKR_DEVICE_MEMORY,
            StoreError::NewerVersion { .. } => CKR_TOKEN_NOT_RECOGNIZED,
            StoreError::Pin => CKR_PIN_INCORRECT,
            StoreError::PinLocked => CKR_PIN_LOCKED,
            StoreError::PinNotSet => CKR_USER_PIN_NOT_INITIALIZED,
            StoreError::Gone => CKR_OBJECT_HANDLE_INVALID,
            StoreError::Busy
            | StoreError::Corrupt(_)
            | StoreError::Io { .. }
            | StoreError::Database(_)
            | StoreError::Crypto(_)
            | StoreError::Refused(_) => CKR_DEVICE_ERROR,
        })
    }
}
