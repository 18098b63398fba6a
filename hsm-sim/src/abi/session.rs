//! Session management (PKCS#11 3.1 §5.6) and random numbers (§5.19).

use cryptoki_sys::*;

use super::{Entry, call, pointer, session_call, slot::pin_bytes};
use crate::{
    core::{names::Function, rv::Rv},
    crypto,
};

/// # Safety
///
/// `session` is null or points to writable memory for a handle. The notification callback is never called.
pub(super) unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    _application: CK_VOID_PTR,
    _notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    call(Entry::slot(Function::OpenSession, slot), |library| {
        pointer::check(session)?;
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Rv(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
        }
        let handle = library.open_session(slot, flags & CKF_RW_SESSION != 0)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(session, handle) }
    })
}

/// Closes a session.
pub(super) extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    session_call(Function::CloseSession, session, |library, session| library.close_session(session.handle))
}

/// Closes all sessions of this process on a slot.
pub(super) extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    call(Entry::slot(Function::CloseAllSessions, slot), |library| {
        library.token(slot)?;
        library.close_slot(slot);
        Ok(())
    })
}

/// # Safety
///
/// `info` is null or points to writable memory for a `CK_SESSION_INFO`.
pub(super) unsafe extern "C" fn C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO) -> CK_RV {
    session_call(Function::GetSessionInfo, session, |_, session| {
        let value = CK_SESSION_INFO {
            slotID: session.token().slot(),
            state: session.state(),
            flags: CKF_SERIAL_SESSION | if session.read_write { CKF_RW_SESSION } else { 0 },
            ulDeviceError: 0,
        };
        // SAFETY: as the caller promises.
        unsafe { pointer::put(info, value) }
    })
}

/// # Safety
///
/// `pin` is null or readable for its length.
pub(super) unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    pin_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::Login, session, |library, session| {
        // SAFETY: as the caller promises.
        library.log_in(session, user, &unsafe { pin_bytes(library, user, pin, pin_length) }?)
    })
}

/// # Safety
///
/// `pin` and `name` are null or readable for their lengths.
pub(super) unsafe extern "C" fn C_LoginUser(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    pin_length: CK_ULONG,
    name: *mut CK_UTF8CHAR,
    name_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::LoginUser, session, |library, session| {
        // SAFETY: as the caller promises.
        let (pin, name) = unsafe { (pin_bytes(library, user, pin, pin_length)?, pointer::bytes(name, name_length)?) };
        library.log_in_user(session, user, &pin, name)
    })
}

/// # Safety
///
/// `state` and `length` are a buffer as [`pointer::Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_GetOperationState(
    session: CK_SESSION_HANDLE,
    state: *mut CK_BYTE,
    length: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::GetOperationState, session, |_, session| {
        // SAFETY: as the caller promises.
        let sink = unsafe { pointer::Sink::new(state, length) }?;
        let saved = session.operations().save()?;
        sink.fill(|output| Ok(output.put(&saved)))
    })
}

/// # Safety
///
/// `state` is null or readable for its length.
pub(super) unsafe extern "C" fn C_SetOperationState(
    session: CK_SESSION_HANDLE,
    state: *mut CK_BYTE,
    length: CK_ULONG,
    encryption_key: CK_OBJECT_HANDLE,
    authentication_key: CK_OBJECT_HANDLE,
) -> CK_RV {
    session_call(Function::SetOperationState, session, |_, session| {
        pointer::check(state)?;
        // SAFETY: as the caller promises.
        let saved = unsafe { pointer::bytes(state, length) }?;
        session.restore(saved, [encryption_key, authentication_key])
    })
}

/// Logs out of the token of a session.
pub(super) extern "C" fn C_Logout(session: CK_SESSION_HANDLE) -> CK_RV {
    session_call(Function::Logout, session, |library, session| library.log_out(session))
}

/// Ends operations of a session.
pub(super) extern "C" fn C_SessionCancel(session: CK_SESSION_HANDLE, flags: CK_FLAGS) -> CK_RV {
    session_call(Function::SessionCancel, session, |library, session| {
        // A call that names nothing ends nothing (PKCS#11 3.1 §5.6.5). Programs that expect what they did not ask for take
        // it for one that ends everything.
        let names_nothing = flags == 0 && library.config.is_permissive();
        session.operations().cancel(if names_nothing { CK_FLAGS::MAX } else { flags });
        Ok(())
    })
}

/// # Safety
///
/// `flags` is null or points to writable memory for `CK_FLAGS`.
pub(super) unsafe extern "C" fn C_GetSessionValidationFlags(
    session: CK_SESSION_HANDLE,
    _kind: CK_SESSION_VALIDATION_FLAGS_TYPE,
    flags: *mut CK_FLAGS,
) -> CK_RV {
    session_call(Function::GetSessionValidationFlags, session, |_, _| {
        // Nobody has validated this module. SAFETY: as the caller promises.
        unsafe { pointer::put(flags, 0) }
    })
}

/// # Safety
///
/// `seed` is null or readable for its length.
pub(super) unsafe extern "C" fn C_SeedRandom(
    session: CK_SESSION_HANDLE,
    seed: *mut CK_BYTE,
    length: CK_ULONG,
) -> CK_RV {
    session_call(Function::SeedRandom, session, |_, _| {
        pointer::check(seed)?;
        // The system's generator needs no help; a seed is accepted and not used. SAFETY: as the caller promises.
        unsafe { pointer::bytes(seed, length) }.map(drop)
    })
}

/// # Safety
///
/// `output` is null or writable for its length.
pub(super) unsafe extern "C" fn C_GenerateRandom(
    session: CK_SESSION_HANDLE,
    output: *mut CK_BYTE,
    length: CK_ULONG,
) -> CK_RV {
    session_call(Function::GenerateRandom, session, |_, _| {
        pointer::check(output)?;
        let mut length = length;
        // SAFETY: as the caller promises.
        let sink = unsafe { pointer::Sink::new(output, &raw mut length) }?;
        sink.fill(|output| output.fill_with(|room| Ok(crypto::random(room)?)))
    })
}
