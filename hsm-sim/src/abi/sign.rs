//! Signatures and MACs (PKCS#11 3.1 §5.13, §5.15; 3.2 `C_VerifySignature`).

use cryptoki_sys::*;

use super::{
    Entry, entry_call, mechanism,
    pointer::{self, Sink},
    session_call,
};
use crate::core::names::Function;

/// # Safety
///
/// `mechanism` is null or points to a mechanism as `mechanism::read` wants it; null cancels the operation.
pub(super) unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::SignInit, session).with_mechanism(mechanism) }.on(key);
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            session.operations().sign.end();
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        session.sign_init(mechanism.number, &mechanism.params, key)
    })
}

/// # Safety
///
/// `mechanism` is null or points to a mechanism as `mechanism::read` wants it; null cancels the operation.
pub(super) unsafe extern "C" fn C_VerifyInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::VerifyInit, session).with_mechanism(mechanism) }.on(key);
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            session.operations().verify.end();
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        session.verify_init(mechanism.number, &mechanism.params, key)
    })
}

/// # Safety
///
/// `data` is null or readable for its length; `signature` and `signature_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::Sign, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(signature, signature_length) }?;
        // SAFETY: as the caller promises.
        let data = unsafe { sink.beside(data, data_length) }?;
        sink.fill(|output| session.operations().sign.single(&data, output))
    })
}

/// # Safety
///
/// `signature` and `signature_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_SignFinal(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    signature_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::SignFinal, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(signature, signature_length) }?;
        sink.fill(|output| session.operations().sign.last(output))
    })
}

/// # Safety
///
/// `data` and `signature` are null or readable for their lengths.
pub(super) unsafe extern "C" fn C_Verify(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::Verify, session, |_, session| {
        // SAFETY: as the caller promises.
        let (data, signature) =
            unsafe { (pointer::bytes(data, data_length)?, pointer::bytes(signature, signature_length)?) };
        session.operations().verify.single(data, Some(signature))
    })
}

/// # Safety
///
/// `signature` is null or readable for its length.
pub(super) unsafe extern "C" fn C_VerifyFinal(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    signature_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::VerifyFinal, session, |_, session| {
        // SAFETY: as the caller promises.
        let signature = unsafe { pointer::bytes(signature, signature_length) }?;
        session.operations().verify.last(Some(signature))
    })
}

/// # Safety
///
/// As [`C_VerifyInit`], and `signature` is null or readable for its length.
pub(super) unsafe extern "C" fn C_VerifySignatureInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
    signature: *mut CK_BYTE,
    signature_length: CK_ULONG,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::VerifySignatureInit, session).with_mechanism(mechanism) }.on(key);
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            session.operations().verify_signature.end();
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let (mechanism, signature) =
            unsafe { (mechanism::read(mechanism)?, pointer::bytes(signature, signature_length)?) };
        session.verify_signature_init(mechanism.number, &mechanism.params, key, signature)
    })
}

/// # Safety
///
/// `data` is null or readable for its length.
pub(super) unsafe extern "C" fn C_VerifySignature(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::VerifySignature, session, |_, session| {
        // SAFETY: as the caller promises.
        let data = unsafe { pointer::bytes(data, data_length) }?;
        session.operations().verify_signature.single(data, None)
    })
}

/// Ends a verification of parts against the signature given at the start.
pub(super) extern "C" fn C_VerifySignatureFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    session_call(Function::VerifySignatureFinal, session, |_, session| session.operations().verify_signature.last(None))
}

/// # Safety
///
/// `part` is null or readable for its length.
pub(super) unsafe extern "C" fn C_SignUpdate(
    session: CK_SESSION_HANDLE,
    part: *mut CK_BYTE,
    part_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::SignUpdate, session, |_, session| {
        // SAFETY: as the caller promises.
        session.operations().sign.update(unsafe { pointer::bytes(part, part_length) }?)
    })
}

/// # Safety
///
/// `part` is null or readable for its length.
pub(super) unsafe extern "C" fn C_VerifyUpdate(
    session: CK_SESSION_HANDLE,
    part: *mut CK_BYTE,
    part_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::VerifyUpdate, session, |_, session| {
        // SAFETY: as the caller promises.
        session.operations().verify.update(unsafe { pointer::bytes(part, part_length) }?)
    })
}

/// # Safety
///
/// `part` is null or readable for its length.
pub(super) unsafe extern "C" fn C_VerifySignatureUpdate(
    session: CK_SESSION_HANDLE,
    part: *mut CK_BYTE,
    part_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::VerifySignatureUpdate, session, |_, session| {
        // SAFETY: as the caller promises.
        session.operations().verify_signature.update(unsafe { pointer::bytes(part, part_length) }?)
    })
}
