//! Key management (PKCS#11 3.1 §5.18).

use cryptoki_sys::*;

use super::{
    Entry, entry_call, mechanism,
    pointer::{self, Sink},
};
use crate::core::names::Function;

/// # Safety
///
/// `mechanism` and `template` are as their readers want them; `key` is null or writable.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_GenerateKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::GenerateKey, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        pointer::check(key)?;
        // SAFETY: as the caller promises.
        let (mechanism, template) = unsafe { (mechanism::read(mechanism)?, pointer::template(template, count)?) };
        let handle = session.generate_key(mechanism.number, template)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(key, handle) }
    })
}

/// # Safety
///
/// `mechanism` and the templates are as their readers want them; the keys are null or writable.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_GenerateKeyPair(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    public_template: *mut CK_ATTRIBUTE,
    public_count: CK_ULONG,
    private_template: *mut CK_ATTRIBUTE,
    private_count: CK_ULONG,
    public_key: *mut CK_OBJECT_HANDLE,
    private_key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::GenerateKeyPair, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        pointer::check(public_key)?;
        pointer::check(private_key)?;
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        // SAFETY: as the caller promises.
        let (public, private) = unsafe {
            (pointer::template(public_template, public_count)?, pointer::template(private_template, private_count)?)
        };
        let [public, private] = session.generate_key_pair(mechanism.number, public, private)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(public_key, public).and_then(|()| pointer::put(private_key, private)) }
    })
}

/// # Safety
///
/// `mechanism` is as its reader wants it; `wrapped` and `wrapped_length` are a buffer as [`Sink::new`] wants it.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_WrapKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    wrapping_key: CK_OBJECT_HANDLE,
    key: CK_OBJECT_HANDLE,
    wrapped: *mut CK_BYTE,
    wrapped_length: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::WrapKey, session).with_mechanism(mechanism) }.on(key);
    entry_call(entry, session, |_, session| {
        // SAFETY: as the caller promises.
        let (sink, mechanism) = unsafe { (Sink::new(wrapped, wrapped_length)?, mechanism::read(mechanism)?) };
        let blob = session.wrap_key(mechanism.number, &mechanism.params, wrapping_key, key)?;
        sink.fill(|output| Ok(output.put(&blob)))
    })
}

/// # Safety
///
/// `mechanism` and `template` are as their readers want them; `wrapped` is null or readable for its length; `key` is null
/// or writable.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_UnwrapKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    unwrapping_key: CK_OBJECT_HANDLE,
    wrapped: *mut CK_BYTE,
    wrapped_length: CK_ULONG,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::UnwrapKey, session).with_mechanism(mechanism) }.on(unwrapping_key);
    entry_call(entry, session, |_, session| {
        pointer::check(key)?;
        // SAFETY: as the caller promises.
        let (mechanism, wrapped) = unsafe { (mechanism::read(mechanism)?, pointer::bytes(wrapped, wrapped_length)?) };
        // SAFETY: as the caller promises.
        let template = unsafe { pointer::template(template, count) }?;
        let handle = session.unwrap_key(mechanism.number, &mechanism.params, unwrapping_key, wrapped, template)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(key, handle) }
    })
}
