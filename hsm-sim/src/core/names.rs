//! The standard's names of functions and return codes, for fault plans and statistics.
//!
//! Functions are numbered in the order of `CK_FUNCTION_LIST_3_2`, return codes in the order of the header; both numbers
//! are only used inside one version of the module (the statistics page names its layout).

use cryptoki_sys::*;

macro_rules! functions {
    ($($name:ident)+) => {
        /// An entry of the function list.
        #[expect(clippy::enum_variant_names, reason = "the standard has a function C_CancelFunction")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Function {
            $($name,)+
        }

        impl Function {
            /// Every function, in the order of the list.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name a program calls it by.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("C_", stringify!($name)),)+
                }
            }

            /// The place in the list.
            pub(crate) const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

functions! {
    Initialize Finalize GetInfo GetFunctionList GetSlotList GetSlotInfo GetTokenInfo GetMechanismList GetMechanismInfo
    InitToken InitPIN SetPIN OpenSession CloseSession CloseAllSessions GetSessionInfo GetOperationState
    SetOperationState Login Logout CreateObject CopyObject DestroyObject GetObjectSize GetAttributeValue
    SetAttributeValue FindObjectsInit FindObjects FindObjectsFinal EncryptInit Encrypt EncryptUpdate EncryptFinal
    DecryptInit Decrypt DecryptUpdate DecryptFinal DigestInit Digest DigestUpdate DigestKey DigestFinal SignInit Sign
    SignUpdate SignFinal SignRecoverInit SignRecover VerifyInit Verify VerifyUpdate VerifyFinal VerifyRecoverInit
    VerifyRecover DigestEncryptUpdate DecryptDigestUpdate SignEncryptUpdate DecryptVerifyUpdate GenerateKey
    GenerateKeyPair WrapKey UnwrapKey DeriveKey SeedRandom GenerateRandom GetFunctionStatus CancelFunction
    WaitForSlotEvent GetInterfaceList GetInterface LoginUser SessionCancel MessageEncryptInit EncryptMessage
    EncryptMessageBegin EncryptMessageNext MessageEncryptFinal MessageDecryptInit DecryptMessage DecryptMessageBegin
    DecryptMessageNext MessageDecryptFinal MessageSignInit SignMessage SignMessageBegin SignMessageNext
    MessageSignFinal MessageVerifyInit VerifyMessage VerifyMessageBegin VerifyMessageNext MessageVerifyFinal
    EncapsulateKey DecapsulateKey VerifySignatureInit VerifySignature VerifySignatureUpdate VerifySignatureFinal
    GetSessionValidationFlags AsyncComplete AsyncGetID AsyncJoin WrapKeyAuthenticated UnwrapKeyAuthenticated
}

macro_rules! return_codes {
    ($($name:ident)+) => {
        /// Every return code of the standard by name.
        pub(crate) const RETURN_CODES: &[(&str, CK_RV)] = &[$((stringify!($name), $name),)+];
    };
}

return_codes! {
    CKR_OK CKR_CANCEL CKR_HOST_MEMORY CKR_SLOT_ID_INVALID CKR_GENERAL_ERROR CKR_FUNCTION_FAILED CKR_ARGUMENTS_BAD
    CKR_NO_EVENT CKR_NEED_TO_CREATE_THREADS CKR_CANT_LOCK CKR_ATTRIBUTE_READ_ONLY CKR_ATTRIBUTE_SENSITIVE
    CKR_ATTRIBUTE_TYPE_INVALID CKR_ATTRIBUTE_VALUE_INVALID CKR_ACTION_PROHIBITED CKR_DATA_INVALID CKR_DATA_LEN_RANGE
    CKR_DEVICE_ERROR CKR_DEVICE_MEMORY CKR_DEVICE_REMOVED CKR_ENCRYPTED_DATA_INVALID CKR_ENCRYPTED_DATA_LEN_RANGE
    CKR_AEAD_DECRYPT_FAILED CKR_FUNCTION_CANCELED CKR_FUNCTION_NOT_PARALLEL CKR_FUNCTION_NOT_SUPPORTED
    CKR_KEY_HANDLE_INVALID CKR_KEY_SIZE_RANGE CKR_KEY_TYPE_INCONSISTENT CKR_KEY_NOT_NEEDED CKR_KEY_CHANGED
    CKR_KEY_NEEDED CKR_KEY_INDIGESTIBLE CKR_KEY_FUNCTION_NOT_PERMITTED CKR_KEY_NOT_WRAPPABLE CKR_KEY_UNEXTRACTABLE
    CKR_MECHANISM_INVALID CKR_MECHANISM_PARAM_INVALID CKR_OBJECT_HANDLE_INVALID CKR_OPERATION_ACTIVE
    CKR_OPERATION_NOT_INITIALIZED CKR_PIN_INCORRECT CKR_PIN_INVALID CKR_PIN_LEN_RANGE CKR_PIN_EXPIRED CKR_PIN_LOCKED
    CKR_SESSION_CLOSED CKR_SESSION_COUNT CKR_SESSION_HANDLE_INVALID CKR_SESSION_PARALLEL_NOT_SUPPORTED
    CKR_SESSION_READ_ONLY CKR_SESSION_EXISTS CKR_SESSION_READ_ONLY_EXISTS CKR_SESSION_READ_WRITE_SO_EXISTS
    CKR_SIGNATURE_INVALID CKR_SIGNATURE_LEN_RANGE CKR_TEMPLATE_INCOMPLETE CKR_TEMPLATE_INCONSISTENT
    CKR_TOKEN_NOT_PRESENT CKR_TOKEN_NOT_RECOGNIZED CKR_TOKEN_WRITE_PROTECTED CKR_UNWRAPPING_KEY_HANDLE_INVALID
    CKR_UNWRAPPING_KEY_SIZE_RANGE CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT CKR_USER_ALREADY_LOGGED_IN
    CKR_USER_NOT_LOGGED_IN CKR_USER_PIN_NOT_INITIALIZED CKR_USER_TYPE_INVALID CKR_USER_ANOTHER_ALREADY_LOGGED_IN
    CKR_USER_TOO_MANY_TYPES CKR_WRAPPED_KEY_INVALID CKR_WRAPPED_KEY_LEN_RANGE CKR_WRAPPING_KEY_HANDLE_INVALID
    CKR_WRAPPING_KEY_SIZE_RANGE CKR_WRAPPING_KEY_TYPE_INCONSISTENT CKR_RANDOM_SEED_NOT_SUPPORTED CKR_RANDOM_NO_RNG
    CKR_DOMAIN_PARAMS_INVALID CKR_CURVE_NOT_SUPPORTED CKR_BUFFER_TOO_SMALL CKR_SAVED_STATE_INVALID
    CKR_INFORMATION_SENSITIVE CKR_STATE_UNSAVEABLE CKR_CRYPTOKI_NOT_INITIALIZED CKR_CRYPTOKI_ALREADY_INITIALIZED
    CKR_MUTEX_BAD CKR_MUTEX_NOT_LOCKED CKR_NEW_PIN_MODE CKR_NEXT_OTP CKR_EXCEEDED_MAX_ITERATIONS
    CKR_FIPS_SELF_TEST_FAILED CKR_LIBRARY_LOAD_FAILED CKR_PIN_TOO_WEAK CKR_PUBLIC_KEY_INVALID CKR_FUNCTION_REJECTED
    CKR_TOKEN_RESOURCE_EXCEEDED CKR_OPERATION_CANCEL_FAILED CKR_KEY_EXHAUSTED CKR_PENDING
    CKR_SESSION_ASYNC_NOT_SUPPORTED CKR_SEED_RANDOM_REQUIRED CKR_OPERATION_NOT_VALIDATED CKR_TOKEN_NOT_INITIALIZED
    CKR_PARAMETER_SET_NOT_SUPPORTED
}

/// The return code of a name, or of a number such as `0x80000001`.
pub(crate) fn return_code(text: &str) -> Option<CK_RV> {
    if let Some(digits) = text.strip_prefix("0x") {
        return CK_RV::from_str_radix(digits, 16).ok();
    }
    RETURN_CODES.iter().find(|row| row.0 == text).map(|row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_numbered_in_the_order_of_the_list() {
        assert_eq!(Function::ALL.len(), 104);
        assert!(Function::ALL.iter().enumerate().all(|(place, function)| function.index() == place));
        assert_eq!(Function::Initialize.name(), "C_Initialize");
    }

    #[test]
    fn return_codes_are_found_by_name_and_number() {
        assert_eq!(return_code("CKR_DEVICE_ERROR"), Some(CKR_DEVICE_ERROR));
        assert_eq!(return_code("0x80000001"), Some(0x8000_0001));
        assert_eq!(return_code("CKR_NICE"), None);
    }
}
