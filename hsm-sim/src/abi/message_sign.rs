//! Signatures and verifications message by message (PKCS#11 3.1 §5.14, §5.16).

use std::ffi::c_void;

use cryptoki_sys::*;

use super::{
    Entry, entry_call, mechanism,
    pointer::{self, Sink},
    session_call,
};
use crate::core::{
    names::Function,
    rv::{Result, Rv},
};

/// No mechanism offered here has parameters for each message.
fn check_none(parameter: *const c_void, length: CK_ULONG) -> Result<()> {
    if parameter.is_null() && length == 0 { Ok(()) } else { Err(Rv(CKR_MECHANISM_PARAM_INVALID)) }
}

/// # Safety
///
/// `mechanism` is null or points to a mechanism as `mechanism::read` wants it; null ends the process.
pub(super) unsafe extern "C" fn C_MessageSignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::MessageSignInit, session).with_mechanism(mechanism) }.on(key);
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            session.operations().message_sign = None;
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        session.message_sign_init(mechanism.number, mechanism.params, key)
    })
}

/// # Safety
///
/// As [`C_MessageSignInit`].
pub(super) unsafe extern "C" fn C_MessageVerifyInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::MessageVerifyInit, session).with_mechanism(mechanism) }.on(key);
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            session.operations().message_verify = None;
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        session.message_verify_init(mechanism.number, mechanism.params, key)
    })
}

/// # Safety
///
/// `data` is null or readable for its length; `signature` and `signature_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_SignMessage(
    session: CK_SESSION_HANDLE,
    parameter: *mut c_void,
    parameter_length: CK_ULONG,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::SignMessage, session, |_, session| {
        session.operations().signing()?;
        check_none(parameter, parameter_length)?;
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(signature, signature_length) }?;
        // SAFETY: as the caller promises.
        let data = unsafe { sink.beside(data, data_length) }?;
        sink.fill(|output| session.operations().signing()?.single(&data, output))
    })
}

/// Begins a message to be signed in parts.
pub(super) extern "C" fn C_SignMessageBegin(
    session: CK_SESSION_HANDLE,
    parameter: *mut c_void,
    parameter_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::SignMessageBegin, session, |_, session| {
        let mut operations = session.operations();
        let signing = operations.signing()?;
        check_none(parameter, parameter_length)?;
        signing.begin()
    })
}

/// # Safety
///
/// As [`C_SignMessage`]; a null length says that more parts follow.
pub(super) unsafe extern "C" fn C_SignMessageNext(
    session: CK_SESSION_HANDLE,
    parameter: *mut c_void,
    parameter_length: CK_ULONG,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::SignMessageNext, session, |_, session| {
        session.operations().signing()?;
        check_none(parameter, parameter_length)?;
        if signature_length.is_null() {
            // SAFETY: as the caller promises.
            return session.operations().signing()?.next(unsafe { pointer::bytes(data, data_length) }?);
        }
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(signature, signature_length) }?;
        // SAFETY: as the caller promises.
        let data = unsafe { sink.beside(data, data_length) }?;
        sink.fill(|output| session.operations().signing()?.last(&data, output))
    })
}

/// Ends the signing of messages.
pub(super) extern "C" fn C_MessageSignFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    session_call(Function::MessageSignFinal, session, |_, session| session.operations().end_signing())
}

/// # Safety
///
/// `data` and `signature` are null or readable for their lengths.
pub(super) unsafe extern "C" fn C_VerifyMessage(
    session: CK_SESSION_HANDLE,
    parameter: *mut c_void,
    parameter_length: CK_ULONG,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::VerifyMessage, session, |_, session| {
        let mut operations = session.operations();
        let verifying = operations.verifying()?;
        check_none(parameter, parameter_length)?;
        // SAFETY: as the caller promises.
        let (data, signature) =
            unsafe { (pointer::bytes(data, data_length)?, pointer::bytes(signature, signature_length)?) };
        verifying.single(data, signature)
    })
}

/// Begins a message to be verified in parts.
pub(super) extern "C" fn C_VerifyMessageBegin(
    session: CK_SESSION_HANDLE,
    parameter: *mut c_void,
    parameter_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::VerifyMessageBegin, session, |_, session| {
        let mut operations = session.operations();
        let verifying = operations.verifying()?;
        check_none(parameter, parameter_length)?;
        verifying.begin()
    })
}

/// # Safety
///
/// As [`C_VerifyMessage`]; a null signature says that more parts follow.
pub(super) unsafe extern "C" fn C_VerifyMessageNext(
    session: CK_SESSION_HANDLE,
    parameter: *mut c_void,
    parameter_length: CK_ULONG,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::VerifyMessageNext, session, |_, session| {
        let mut operations = session.operations();
        let verifying = operations.verifying()?;
        check_none(parameter, parameter_length)?;
        // SAFETY: as the caller promises.
        let data = unsafe { pointer::bytes(data, data_length) }?;
        let signature = if signature.is_null() {
            None
        } else {
            // SAFETY: not null, and readable for its length as the caller promises.
            Some(unsafe { pointer::bytes(signature, signature_length) }?)
        };
        verifying.next(data, signature)
    })
}

/// Ends the verification of messages.
pub(super) extern "C" fn C_MessageVerifyFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    session_call(Function::MessageVerifyFinal, session, |_, session| session.operations().end_verifying())
}
