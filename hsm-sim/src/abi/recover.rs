//! Signatures that contain what was signed (PKCS#11 3.1 §5.13.5, §5.15.5).

use cryptoki_sys::*;

use super::{Entry, entry_call, mechanism, pointer::Sink, session_call};
use crate::core::names::Function;

/// # Safety
///
/// `mechanism` is null or points to a mechanism as `mechanism::read` wants it; null cancels the operation.
pub(super) unsafe extern "C" fn C_SignRecoverInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::SignRecoverInit, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            session.operations().sign_recover.end();
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        session.sign_recover_init(mechanism.number, key)
    })
}

/// # Safety
///
/// As [`C_SignRecoverInit`].
pub(super) unsafe extern "C" fn C_VerifyRecoverInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::VerifyRecoverInit, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            session.operations().verify_recover.end();
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        session.verify_recover_init(mechanism.number, key)
    })
}

/// # Safety
///
/// `data` is null or readable for its length; `signature` and `signature_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_SignRecover(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::SignRecover, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(signature, signature_length) }?;
        // SAFETY: as the caller promises.
        let data = unsafe { sink.beside(data, data_length) }?;
        sink.fill(|output| session.operations().sign_recover.sign(&data, output))
    })
}

/// # Safety
///
/// `signature` is null or readable for its length; `data` and `data_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_VerifyRecover(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    signature_length: CK_ULONG,
    data: *mut CK_BYTE,
    data_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::VerifyRecover, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(data, data_length) }?;
        // SAFETY: as the caller promises.
        let signature = unsafe { sink.beside(signature, signature_length) }?;
        sink.fill(|output| session.operations().verify_recover.verify(&signature, output))
    })
}
