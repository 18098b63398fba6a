//! What a `CK_RV` means: one table from the module's answer to the class the engine sees, whether the pool tries again, and
//! what becomes of the session.
//!
//! The rows are those of the PKCS#11 contract, section 2. "Once" means once per request, on a clean session, inside its
//! deadline, and only for requests that change nothing; a creation is first cleared away by its `CKA_ID`.

use std::fmt;

use cryptoki_sys::*;

use super::raw::Fault;
use crate::engine::ports::{HsmError, HsmErrorKind};

/// Whether a failed request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// No.
    Never,
    /// Once.
    Once,
    /// Once, after a moment.
    AfterPause,
    /// Once, after the log-in is restored.
    AfterLogin,
    /// Once, after the object has been looked up again.
    AfterLookup,
}

/// What becomes of the session, and of more than the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It may be used on.
    Keep,
    /// An operation may be active: cancel it or reopen the session.
    Dirty,
    /// Reopen it.
    Reopen,
    /// Reopen it and count the fault towards taking the token down.
    Suspect,
    /// The session is gone; the anchor may be, too.
    SessionLost,
    /// The token is gone: all sessions and handles with it.
    TokenLost,
    /// The module forgot its initialisation.
    ModuleLost,
    /// One session fewer is to be had.
    TooMany,
}

/// One row of the table.
pub(super) struct Row {
    codes: &'static [CK_RV],
    /// The class for the engine.
    pub(super) kind: HsmErrorKind,
    /// Whether to try again.
    pub(super) retry: Retry,
    /// What becomes of the session.
    pub(super) after: After,
}

const fn row(codes: &'static [CK_RV], kind: HsmErrorKind, retry: Retry, after: After) -> Row {
    Row { codes, kind, retry, after }
}

/// Contract §2, in its order.
static ROWS: &[Row] = &[
    row(&[CKR_HOST_MEMORY], HsmErrorKind::Busy, Retry::AfterPause, After::Reopen),
    row(&[CKR_GENERAL_ERROR], HsmErrorKind::Internal, Retry::Once, After::Suspect),
    row(&[CKR_FUNCTION_FAILED], HsmErrorKind::Internal, Retry::Once, After::Suspect),
    row(&[CKR_DEVICE_ERROR], HsmErrorKind::Unavailable, Retry::Once, After::Suspect),
    row(&[CKR_DEVICE_MEMORY, CKR_TOKEN_RESOURCE_EXCEEDED], HsmErrorKind::Full, Retry::Never, After::Keep),
    row(
        &[CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED, CKR_SLOT_ID_INVALID],
        HsmErrorKind::Unavailable,
        Retry::Never,
        After::TokenLost,
    ),
    row(&[CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED], HsmErrorKind::Unavailable, Retry::Once, After::SessionLost),
    row(&[CKR_SESSION_COUNT], HsmErrorKind::Busy, Retry::Never, After::TooMany),
    row(&[CKR_SESSION_READ_ONLY], HsmErrorKind::Internal, Retry::Once, After::Reopen),
    row(&[CKR_USER_NOT_LOGGED_IN], HsmErrorKind::Unavailable, Retry::AfterLogin, After::Keep),
    row(
        &[CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED, CKR_PIN_LOCKED],
        HsmErrorKind::Unavailable,
        Retry::Never,
        After::Keep,
    ),
    row(&[CKR_CRYPTOKI_NOT_INITIALIZED], HsmErrorKind::Unavailable, Retry::Once, After::ModuleLost),
    row(&[CKR_OPERATION_ACTIVE], HsmErrorKind::Internal, Retry::Once, After::Dirty),
    row(&[CKR_OPERATION_NOT_INITIALIZED], HsmErrorKind::Internal, Retry::Once, After::Reopen),
    row(
        &[
            CKR_OBJECT_HANDLE_INVALID,
            CKR_KEY_HANDLE_INVALID,
            CKR_WRAPPING_KEY_HANDLE_INVALID,
            CKR_UNWRAPPING_KEY_HANDLE_INVALID,
        ],
        HsmErrorKind::ObjectMissing,
        Retry::AfterLookup,
        After::Keep,
    ),
    row(
        &[CKR_MECHANISM_INVALID, CKR_FUNCTION_NOT_SUPPORTED, CKR_CURVE_NOT_SUPPORTED],
        HsmErrorKind::Unsupported,
        Retry::Never,
        After::Keep,
    ),
    row(
        &[CKR_MECHANISM_PARAM_INVALID, CKR_DOMAIN_PARAMS_INVALID],
        HsmErrorKind::BadParameters,
        Retry::Never,
        After::Dirty,
    ),
    row(
        &[
            CKR_KEY_SIZE_RANGE,
            CKR_KEY_TYPE_INCONSISTENT,
            CKR_WRAPPING_KEY_SIZE_RANGE,
            CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
            CKR_UNWRAPPING_KEY_SIZE_RANGE,
            CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
        ],
        HsmErrorKind::BadParameters,
        Retry::Never,
        After::Dirty,
    ),
    row(&[CKR_KEY_FUNCTION_NOT_PERMITTED], HsmErrorKind::NotPermitted, Retry::Never, After::Dirty),
    row(
        &[CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_KEY_UNEXTRACTABLE, CKR_KEY_NOT_WRAPPABLE],
        HsmErrorKind::NotExtractable,
        Retry::Never,
        After::Keep,
    ),
    row(
        &[CKR_ATTRIBUTE_READ_ONLY, CKR_ACTION_PROHIBITED, CKR_TOKEN_WRITE_PROTECTED],
        HsmErrorKind::NotPermitted,
        Retry::Never,
        After::Keep,
    ),
    row(
        &[CKR_ATTRIBUTE_VALUE_INVALID, CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCONSISTENT, CKR_PUBLIC_KEY_INVALID],
        HsmErrorKind::BadData,
        Retry::Never,
        After::Keep,
    ),
    row(&[CKR_DATA_INVALID, CKR_DATA_LEN_RANGE], HsmErrorKind::BadData, Retry::Never, After::Dirty),
    row(
        &[CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_AEAD_DECRYPT_FAILED],
        HsmErrorKind::DecryptionFailed,
        Retry::Never,
        After::Dirty,
    ),
    row(&[CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE], HsmErrorKind::BadData, Retry::Never, After::Keep),
    row(
        &[CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_LEN_RANGE],
        HsmErrorKind::DecryptionFailed,
        Retry::Never,
        After::Keep,
    ),
    row(&[CKR_RANDOM_NO_RNG, CKR_RANDOM_SEED_NOT_SUPPORTED], HsmErrorKind::Unsupported, Retry::Never, After::Keep),
    row(&[CKR_BUFFER_TOO_SMALL], HsmErrorKind::Internal, Retry::Once, After::Dirty),
    row(&[CKR_CANT_LOCK, CKR_NEED_TO_CREATE_THREADS], HsmErrorKind::Unavailable, Retry::Never, After::Keep),
    row(&[CKR_FUNCTION_CANCELED, CKR_FUNCTION_REJECTED], HsmErrorKind::Refused, Retry::Never, After::Dirty),
    // Proteccio: the vendor base and errno 113, host unreachable (contract §2, last row).
    row(&[0x8100_0071], HsmErrorKind::Unavailable, Retry::Never, After::TokenLost),
    // Named by the standard, but no row of the contract: the request does not fit the module, or we made a mistake.
    row(&[CKR_ARGUMENTS_BAD], HsmErrorKind::Internal, Retry::Never, After::Dirty),
];

/// Every other code: as a device error, with the number in the log.
static UNKNOWN: Row = row(&[], HsmErrorKind::Internal, Retry::Once, After::Suspect);

/// What `C_Decrypt` answers to data that do not decrypt: some modules say no more than that something failed, and all of it must
/// look alike (no padding oracle).
static UNDECRYPTABLE: Row = row(
    &[CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_DATA_INVALID, CKR_DATA_LEN_RANGE],
    HsmErrorKind::DecryptionFailed,
    Retry::Once,
    After::Dirty,
);

/// The row of an answer.
pub(super) fn classify(function: &str, rv: CK_RV) -> &'static Row {
    if function == "C_Decrypt" && UNDECRYPTABLE.codes.contains(&rv) {
        return &UNDECRYPTABLE;
    }
    ROWS.iter().find(|row| row.codes.contains(&rv)).unwrap_or(&UNKNOWN)
}

/// Whether the code says that a PIN was refused and must not be tried again (contract §1.3).
pub(super) const fn refuses_pin(rv: CK_RV) -> bool {
    matches!(rv, CKR_PIN_INCORRECT | CKR_PIN_INVALID | CKR_PIN_LEN_RANGE | CKR_PIN_LOCKED | CKR_PIN_EXPIRED)
}

impl From<Fault> for HsmError {
    fn from(fault: Fault) -> Self {
        Self { kind: classify(fault.function, fault.rv).kind, function: fault.function, rv: fault.rv, again: None }
    }
}

/// A refusal of the pool itself.
pub(super) const fn refused(kind: HsmErrorKind, step: &'static str) -> HsmError {
    HsmError { kind, function: step, rv: 0, again: None }
}

/// Why a pool could not be started: the configuration must change, waiting does not help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// The token's configured name.
    pub token: String,
    /// What happened and what to do.
    pub reason: String,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hsm.{}: {}", self.token, self.reason)
    }
}

impl std::error::Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_has_two_rows() {
        let mut codes: Vec<CK_RV> = ROWS.iter().flat_map(|row| row.codes.iter().copied()).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn a_refused_pin_is_never_retried_and_an_unknown_code_suspects_the_device() {
        for rv in [CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_LOCKED, CKR_PIN_EXPIRED] {
            assert!(refuses_pin(rv));
            assert_eq!(classify("C_Login", rv).retry, Retry::Never);
        }
        assert!(!refuses_pin(CKR_OK));
        assert_eq!(classify("C_Decrypt", CKR_GENERAL_ERROR).kind, HsmErrorKind::DecryptionFailed);
        assert_eq!(classify("C_DecryptInit", CKR_GENERAL_ERROR).kind, HsmErrorKind::Internal);
        assert_eq!(classify("C_Sign", 0x8000_1234).after, After::Suspect);
        assert_eq!(classify("C_Sign", 0x8100_0071).after, After::TokenLost);
    }
}
