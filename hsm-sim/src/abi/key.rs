//! Key management (PKCS#11 3.1 §5.18).

use cryptoki_sys::*;

use super::{
    Entry, entry_call, mechanism,
    message::Place,
    pointer::{self, Sink},
};
use crate::core::{
    names::Function,
    operation::{Output, Written},
    rv::Rv,
};

/// # Safety
///
/// `mechanism` and `template` are as their readers want them; `key` is null or writable.
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
        let handle = session.generate_key(mechanism.number, &mechanism.params, template)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(key, handle) }
    })
}

/// # Safety
///
/// `mechanism` and the templates are as their readers want them; the keys are null or writable.
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
    entry_call(entry, session, |library, session| {
        pointer::check(public_key)?;
        pointer::check(private_key)?;
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        // SAFETY: as the caller promises.
        let (public, private) = unsafe {
            (pointer::template(public_template, public_count)?, pointer::template(private_template, private_count)?)
        };
        let [public, private] = session.generate_key_pair(library, mechanism.number, public, private)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(public_key, public).and_then(|()| pointer::put(private_key, private)) }
    })
}

/// # Safety
///
/// `mechanism` is as its reader wants it; `wrapped` and `wrapped_length` are a buffer as [`Sink::new`] wants it.
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
        let sink = unsafe { Sink::new(wrapped, wrapped_length) }?;
        // SAFETY: as the caller promises.
        if let Some((number, mut place, aad)) = unsafe { Place::read_wrap(mechanism) }? {
            let mut is_done = false;
            let outcome = sink.fill(|output| {
                let written = session.wrap_key_with_iv(number, &mut place.params, [wrapping_key, key], &aad, output)?;
                is_done = matches!(written, Written::Done(_));
                Ok(written)
            });
            if is_done {
                // SAFETY: as the caller promises.
                unsafe { place.put_iv() };
            }
            return outcome;
        }
        // SAFETY: as the caller promises.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        let blob = session.wrap_key(mechanism.number, &mechanism.params, wrapping_key, key)?;
        sink.fill(|output| Ok(output.put(&blob)))
    })
}

/// # Safety
///
/// `mechanism` and `template` are as their readers want them; `wrapped` is null or readable for its length; `key` is null
/// or writable.
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
        let (own, wrapped) = unsafe { (Place::read_wrap(mechanism)?, pointer::bytes(wrapped, wrapped_length)?) };
        // SAFETY: as the caller promises.
        let template = unsafe { pointer::template(template, count) }?;
        let handle = match own {
            Some((number, mut place, aad)) => {
                session.unwrap_key_with_iv(number, &mut place.params, unwrapping_key, (&aad, wrapped), template)?
            }
            None => {
                // SAFETY: as the caller promises.
                let mechanism = unsafe { mechanism::read(mechanism) }?;
                session.unwrap_key(mechanism.number, &mechanism.params, unwrapping_key, wrapped, template)?
            }
        };
        // SAFETY: as the caller promises.
        unsafe { pointer::put(key, handle) }
    })
}

/// # Safety
///
/// `mechanism` and `template` are as their readers want them; `key` is null or writable.
pub(super) unsafe extern "C" fn C_DeriveKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    base: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::DeriveKey, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        pointer::check(key)?;
        // SAFETY: as the caller promises.
        let (mut read, more) = unsafe { (mechanism::read(mechanism)?, mechanism::additional(mechanism)?) };
        // SAFETY: as the caller promises.
        let mut templates = vec![unsafe { pointer::template(template, count) }?];
        let mut places = Vec::with_capacity(more.len());
        for further in more {
            places.push(further.place);
            // SAFETY: as the caller promises. The one that is at fault is marked (PKCS#11 3.1 §6.42.6).
            templates.push(further.template.inspect_err(|_| unsafe { further.place.write_unaligned(0) })?);
        }
        let handles = session.derive_keys(read.number, &mut read.params, base, templates).map_err(|refused| {
            if let Some(place) = refused.template.and_then(|place| places.get(place)) {
                // SAFETY: as the caller promises.
                unsafe { place.write_unaligned(CK_INVALID_HANDLE) };
            }
            refused.rv
        })?;
        let (first, further) = handles.split_first().ok_or(Rv(CKR_GENERAL_ERROR))?;
        for (place, handle) in places.into_iter().zip(further) {
            // SAFETY: as the caller promises.
            unsafe { pointer::put(place, *handle) }?;
        }
        // SAFETY: as the caller promises.
        unsafe { pointer::put(key, *first) }
    })
}

/// # Safety
///
/// `mechanism` and `template` are as their readers want them; `ciphertext` and `ciphertext_length` are a buffer as
/// [`Sink::new`] wants it; `key` is null or writable.
pub(super) unsafe extern "C" fn C_EncapsulateKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    public: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    ciphertext: *mut CK_BYTE,
    ciphertext_length: *mut CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::EncapsulateKey, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        // SAFETY: as the caller promises.
        let (sink, mechanism) = unsafe { (Sink::new(ciphertext, ciphertext_length)?, mechanism::read(mechanism)?) };
        // SAFETY: as the caller promises.
        let template = unsafe { pointer::template(template, count) }?;
        let bytes = session.encapsulated_bytes(mechanism.number, public)?;
        sink.fill(|output| match output {
            // No key is made before its ciphertext has a place.
            Output::Query => Ok(Written::Needed(bytes)),
            Output::Buffer(buffer) if buffer.len() < bytes => Ok(Written::TooSmall(bytes)),
            output @ Output::Buffer(_) => {
                pointer::check(key)?;
                let (made, handle) = session.encapsulate_key(mechanism.number, &mechanism.params, public, template)?;
                // SAFETY: as the caller promises.
                unsafe { pointer::put(key, handle) }?;
                Ok(output.put(&made))
            }
        })
    })
}

/// # Safety
///
/// `mechanism` and `template` are as their readers want them; `ciphertext` is null or readable for its length; `key` is
/// null or writable.
pub(super) unsafe extern "C" fn C_DecapsulateKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    private: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    ciphertext: *mut CK_BYTE,
    ciphertext_length: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::DecapsulateKey, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        pointer::check(key)?;
        // SAFETY: as the caller promises.
        let (mechanism, ciphertext) =
            unsafe { (mechanism::read(mechanism)?, pointer::bytes(ciphertext, ciphertext_length)?) };
        // SAFETY: as the caller promises.
        let template = unsafe { pointer::template(template, count) }?;
        let handle = session.decapsulate_key(mechanism.number, &mechanism.params, private, ciphertext, template)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(key, handle) }
    })
}

/// # Safety
///
/// `mechanism` is null or readable, with a parameter as [`Place::read`] wants it; `aad` is null or readable for its length;
/// `wrapped` and `wrapped_length` are a buffer as [`Sink::new`] wants it.
pub(super) unsafe extern "C" fn C_WrapKeyAuthenticated(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    wrapping_key: CK_OBJECT_HANDLE,
    key: CK_OBJECT_HANDLE,
    aad: *mut CK_BYTE,
    aad_length: CK_ULONG,
    wrapped: *mut CK_BYTE,
    wrapped_length: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::WrapKeyAuthenticated, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        pointer::check(mechanism)?;
        // SAFETY: not null, and readable as the caller promises.
        let raw = unsafe { mechanism.read_unaligned() };
        // SAFETY: as the caller promises.
        let (sink, aad) =
            unsafe { (Sink::new(wrapped, wrapped_length)?, pointer::copied(pointer::bytes(aad, aad_length)?)?) };
        // SAFETY: as the caller promises.
        let mut place = unsafe { Place::read(raw.mechanism, raw.pParameter, raw.ulParameterLen) }?;
        let mut is_done = false;
        let outcome = sink.fill(|output| {
            let keys = [wrapping_key, key];
            let written = session.wrap_key_authenticated(raw.mechanism, &mut place.params, keys, &aad, output)?;
            is_done = matches!(written, Written::Done(_));
            Ok(written)
        });
        if is_done {
            // SAFETY: as the caller promises.
            unsafe {
                place.put_iv();
                place.put_tag();
            }
        }
        outcome
    })
}

/// # Safety
///
/// `mechanism` is as in [`C_WrapKeyAuthenticated`]; `wrapped` and `aad` are null or readable for their lengths; `template`
/// is as its reader wants it; `key` is null or writable.
pub(super) unsafe extern "C" fn C_UnwrapKeyAuthenticated(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    unwrapping_key: CK_OBJECT_HANDLE,
    wrapped: *mut CK_BYTE,
    wrapped_length: CK_ULONG,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    aad: *mut CK_BYTE,
    aad_length: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(Function::UnwrapKeyAuthenticated, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        pointer::check(key)?;
        pointer::check(mechanism)?;
        // SAFETY: not null, and readable as the caller promises.
        let raw = unsafe { mechanism.read_unaligned() };
        // SAFETY: as the caller promises.
        let (wrapped, aad) = unsafe { (pointer::bytes(wrapped, wrapped_length)?, pointer::bytes(aad, aad_length)?) };
        // SAFETY: as the caller promises.
        let template = unsafe { pointer::template(template, count) }?;
        // SAFETY: as the caller promises.
        let mut place = unsafe { Place::read(raw.mechanism, raw.pParameter, raw.ulParameterLen) }?;
        let handle = session.unwrap_key_authenticated(
            raw.mechanism,
            &mut place.params,
            unwrapping_key,
            (aad, wrapped),
            template,
        )?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(key, handle) }
    })
}
