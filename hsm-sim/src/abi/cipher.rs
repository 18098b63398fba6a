//! Encryption and decryption (PKCS#11 3.1 §5.8, §5.9).

use cryptoki_sys::*;

use super::{Entry, entry_call, mechanism, pointer::Sink, session_call, special};
use crate::core::{names::Function, operation::Way};

/// # Safety
///
/// `mechanism` is null or points to a mechanism as `mechanism::read` wants it; null cancels the operation.
pub(super) unsafe extern "C" fn C_EncryptInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::EncryptInit, session).with_mechanism(mechanism) }.on(key);
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            session.operations().encrypt.end();
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mechanism = unsafe {
            special::write_iv(&session.token().config, mechanism)?;
            mechanism::read(mechanism)
        }?;
        session.encrypt_init(mechanism.number, &mechanism.params, key)
    })
}

/// # Safety
///
/// `input` is null or readable for its length; `output` and `output_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_Encrypt(
    session: CK_SESSION_HANDLE,
    input: *mut CK_BYTE,
    input_length: CK_ULONG,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::Encrypt, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(output, output_length) }?;
        // SAFETY: as the caller promises.
        let input = unsafe { sink.beside(input, input_length) }?;
        sink.fill(|output| session.operations().encrypt.single(Way::Encrypt, &input, output))
    })
}

/// # Safety
///
/// As [`C_Encrypt`].
pub(super) unsafe extern "C" fn C_EncryptUpdate(
    session: CK_SESSION_HANDLE,
    part: *mut CK_BYTE,
    part_length: CK_ULONG,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::EncryptUpdate, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(output, output_length) }?;
        // SAFETY: as the caller promises.
        let part = unsafe { sink.beside(part, part_length) }?;
        sink.fill(|output| session.operations().encrypt.update(&part, output))
    })
}

/// # Safety
///
/// `output` and `output_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_EncryptFinal(
    session: CK_SESSION_HANDLE,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::EncryptFinal, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(output, output_length) }?;
        sink.fill(|output| session.operations().encrypt.last(Way::Encrypt, output))
    })
}

/// # Safety
///
/// `mechanism` is null or points to a mechanism as `mechanism::read` wants it; null cancels the operation.
pub(super) unsafe extern "C" fn C_DecryptInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::DecryptInit, session).with_mechanism(mechanism) }.on(key);
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            session.operations().decrypt.end();
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        session.decrypt_init(mechanism.number, &mechanism.params, key)
    })
}

/// # Safety
///
/// `input` is null or readable for its length; `output` and `output_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_Decrypt(
    session: CK_SESSION_HANDLE,
    input: *mut CK_BYTE,
    input_length: CK_ULONG,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::Decrypt, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(output, output_length) }?;
        // SAFETY: as the caller promises.
        let input = unsafe { sink.beside(input, input_length) }?;
        sink.fill(|output| session.operations().decrypt.single(Way::Decrypt, &input, output))
    })
}

/// # Safety
///
/// As [`C_Decrypt`].
pub(super) unsafe extern "C" fn C_DecryptUpdate(
    session: CK_SESSION_HANDLE,
    part: *mut CK_BYTE,
    part_length: CK_ULONG,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::DecryptUpdate, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(output, output_length) }?;
        // SAFETY: as the caller promises.
        let part = unsafe { sink.beside(part, part_length) }?;
        sink.fill(|output| session.operations().decrypt.update(&part, output))
    })
}

/// # Safety
///
/// `output` and `output_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_DecryptFinal(
    session: CK_SESSION_HANDLE,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::DecryptFinal, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(output, output_length) }?;
        sink.fill(|output| session.operations().decrypt.last(Way::Decrypt, output))
    })
}
