//! Message digests (PKCS#11 3.1 §5.11).

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
pub(super) unsafe extern "C" fn C_DigestInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::DigestInit, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            session.operations().digest.end();
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        session.digest_init(mechanism.number)
    })
}

/// # Safety
///
/// `data` is null or readable for its length; `digest` and `digest_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_Digest(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    digest: *mut CK_BYTE,
    digest_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::Digest, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(digest, digest_length) }?;
        // SAFETY: as the caller promises.
        let data = unsafe { sink.beside(data, data_length) }?;
        sink.fill(|output| session.operations().digest.single(&data, output))
    })
}

/// # Safety
///
/// `part` is null or readable for its length.
pub(super) unsafe extern "C" fn C_DigestUpdate(
    session: CK_SESSION_HANDLE,
    part: *mut CK_BYTE,
    part_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::DigestUpdate, session, |_, session| {
        // SAFETY: as the caller promises.
        session.operations().digest.update(unsafe { pointer::bytes(part, part_length) }?)
    })
}

/// Digests the value of a secret key.
pub(super) extern "C" fn C_DigestKey(session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) -> CK_RV {
    entry_call(Entry::session(Function::DigestKey, session).on(key), session, |_, session| session.digest_key(key))
}

/// # Safety
///
/// `digest` and `digest_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_DigestFinal(
    session: CK_SESSION_HANDLE,
    digest: *mut CK_BYTE,
    digest_length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::DigestFinal, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(digest, digest_length) }?;
        sink.fill(|output| session.operations().digest.last(output))
    })
}
