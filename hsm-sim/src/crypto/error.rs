//! What can go wrong in the crypto layer, one variant for each PKCS#11 return code it may answer with.
//!
//! Variants carry no data on purpose: a code is all that may leave the token, and two failures that must not be told
//! apart (every kind of bad padding, for instance) are the same variant.

use cryptoki_sys::*;
use thiserror::Error;

/// Result of a crypto operation.
pub type Result<T, E = CryptoError> = std::result::Result<T, E>;

macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident $text:literal $rv:ident;)+) => {
        /// A failure of the crypto layer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
        pub enum CryptoError {
            $($(#[$doc])* #[error($text)] $variant,)+
        }

        impl CryptoError {
            /// Every variant, for tests and tables.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The return code a caller of the module sees.
            pub const fn rv(&self) -> CK_RV {
                match self { $(Self::$variant => $rv,)+ }
            }
        }
    };
}

errors! {
    /// The plaintext, or the data to be signed, has a length the mechanism does not take.
    DataLenRange "data length out of range" CKR_DATA_LEN_RANGE;
    /// The plaintext, or the data to be signed, is not acceptable (RSA input not below the modulus).
    DataInvalid "data invalid" CKR_DATA_INVALID;
    /// The ciphertext does not decrypt, whatever the reason.
    EncryptedDataInvalid "encrypted data invalid" CKR_ENCRYPTED_DATA_INVALID;
    /// The ciphertext has a length the mechanism cannot produce.
    EncryptedDataLenRange "encrypted data length out of range" CKR_ENCRYPTED_DATA_LEN_RANGE;
    /// The tag of an AEAD ciphertext does not verify.
    AeadDecryptFailed "authenticated decryption failed" CKR_AEAD_DECRYPT_FAILED;
    /// The signature or MAC does not verify.
    SignatureInvalid "signature invalid" CKR_SIGNATURE_INVALID;
    /// The signature or MAC has a length the mechanism cannot produce.
    SignatureLenRange "signature length out of range" CKR_SIGNATURE_LEN_RANGE;
    /// The mechanism is unknown or not for this operation.
    MechanismInvalid "mechanism invalid" CKR_MECHANISM_INVALID;
    /// The mechanism's parameters are missing, superfluous or out of range.
    MechanismParamInvalid "mechanism parameter invalid" CKR_MECHANISM_PARAM_INVALID;
    /// The key is of another type than the mechanism takes.
    KeyTypeInconsistent "key type inconsistent" CKR_KEY_TYPE_INCONSISTENT;
    /// The key's size is outside what the mechanism takes.
    KeySizeRange "key size out of range" CKR_KEY_SIZE_RANGE;
    /// The components of a key contradict each other or are malformed.
    AttributeValueInvalid "attribute value invalid" CKR_ATTRIBUTE_VALUE_INVALID;
    /// The curve is not one of those offered.
    CurveNotSupported "curve not supported" CKR_CURVE_NOT_SUPPORTED;
    /// A public value is not a valid point or key of its domain.
    PublicKeyInvalid "public key invalid" CKR_PUBLIC_KEY_INVALID;
    /// The wrapped key does not unwrap, whatever the reason.
    WrappedKeyInvalid "wrapped key invalid" CKR_WRAPPED_KEY_INVALID;
    /// The wrapped key has a length the mechanism cannot produce.
    WrappedKeyLenRange "wrapped key length out of range" CKR_WRAPPED_KEY_LEN_RANGE;
    /// The key to be wrapped has a length the mechanism does not take.
    KeyNotWrappable "key size not wrappable by this mechanism" CKR_KEY_SIZE_RANGE;
    /// The library failed in a way that no input explains.
    GeneralError "crypto library failure" CKR_GENERAL_ERROR;
}
