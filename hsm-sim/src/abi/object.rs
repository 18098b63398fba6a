//! Object management (PKCS#11 3.1 §5.7).

use cryptoki_sys::*;

use super::{Entry, entry_call, pointer, session_call};
use crate::core::{
    attributes::Attributes,
    names::Function,
    object::Reading,
    rules::{self, Kind},
    rv::{Result, Rv},
};

/// # Safety
///
/// `template` is as [`pointer::template`] wants it; `object` is null or writable.
pub(super) unsafe extern "C" fn C_CreateObject(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    object: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    session_call(Function::CreateObject, session, |_, session| {
        pointer::check(object)?;
        // SAFETY: as the caller promises.
        let handle = session.create_object(unsafe { pointer::template(template, count) }?)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(object, handle) }
    })
}

/// # Safety
///
/// As [`C_CreateObject`].
pub(super) unsafe extern "C" fn C_CopyObject(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    copy: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    entry_call(Entry::session(Function::CopyObject, session).on(object), session, |_, session| {
        pointer::check(copy)?;
        // SAFETY: as the caller promises.
        let handle = session.copy_object(object, &unsafe { pointer::template(template, count) }?)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(copy, handle) }
    })
}

/// Destroys an object.
pub(super) extern "C" fn C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> CK_RV {
    entry_call(Entry::session(Function::DestroyObject, session).on(object), session, |_, session| {
        session.destroy_object(object)
    })
}

/// # Safety
///
/// `size` is null or writable.
pub(super) unsafe extern "C" fn C_GetObjectSize(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    size: *mut CK_ULONG,
) -> CK_RV {
    entry_call(Entry::session(Function::GetObjectSize, session).on(object), session, |_, session| {
        pointer::check(size)?;
        let bytes = session.object_size(object)?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(size, bytes as CK_ULONG) }
    })
}

/// # Safety
///
/// `template` is null or points to `count` attributes whose values are null or writable for their lengths.
pub(super) unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    entry_call(Entry::session(Function::GetAttributeValue, session).on(object), session, |_, session| {
        let object = session.token().object(object)?;
        // SAFETY: as the caller promises.
        unsafe {
            answer(template, count, |attribute| match object.read(attribute) {
                Reading::Value(value) => Ok(value.into_owned()),
                Reading::Sensitive => Err(Rv(CKR_ATTRIBUTE_SENSITIVE)),
                Reading::Absent => Err(Rv(CKR_ATTRIBUTE_TYPE_INVALID)),
            })
        }
    })
}

/// Fills a caller's attributes: all that can be, and then the error that matters most (PKCS#11 3.1 §5.7.5).
///
/// # Safety
///
/// As [`C_GetAttributeValue`].
unsafe fn answer(
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    read: impl Fn(CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>>,
) -> Result<()> {
    const BY_RANK: [CK_RV; 3] = [CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL];
    if template.is_null() && count > 0 {
        return Err(Rv(CKR_ARGUMENTS_BAD));
    }
    let mut refusals = Vec::new();
    for place in 0..usize::try_from(count).map_err(|_too_many| Rv(CKR_ARGUMENTS_BAD))? {
        // SAFETY: `place` is below the count that the caller promises.
        let attribute = unsafe { template.add(place) };
        // SAFETY: as above.
        if let Err(rv) = unsafe { fill(attribute, &read) } {
            refusals.push(rv);
        }
    }
    match BY_RANK.into_iter().map(Rv).find(|rv| refusals.contains(rv)) {
        Some(rv) => Err(rv),
        None => refusals.into_iter().next().map_or(Ok(()), Err),
    }
}

/// # Safety
///
/// `attribute` points to an attribute whose value is null or writable for its length.
unsafe fn fill(attribute: *mut CK_ATTRIBUTE, read: &dyn Fn(CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>>) -> Result<()> {
    // SAFETY: as the caller promises.
    let CK_ATTRIBUTE { type_, pValue: room, ulValueLen: length } = unsafe { attribute.read_unaligned() };
    // SAFETY: as the caller promises.
    let set_length = |length: CK_ULONG| unsafe { (&raw mut (*attribute).ulValueLen).write_unaligned(length) };
    let value = read(type_).inspect_err(|_| set_length(CK_UNAVAILABLE_INFORMATION))?;
    if rules::kind(type_) == Some(Kind::Template) {
        let nested = Attributes::decode(&value)?;
        // SAFETY: the value of such an attribute is an array of attributes.
        return unsafe { fill_nested(room.cast(), length, &nested, &set_length) };
    }
    if room.is_null() {
        set_length(value.len() as CK_ULONG);
        return Ok(());
    }
    if length < value.len() as CK_ULONG {
        set_length(CK_UNAVAILABLE_INFORMATION);
        return Err(Rv(CKR_BUFFER_TOO_SMALL));
    }
    set_length(value.len() as CK_ULONG);
    // SAFETY: the room is as long as the caller said, and the value is our own memory.
    unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), room.cast::<CK_BYTE>(), value.len()) };
    Ok(())
}

/// # Safety
///
/// `room` is null or points to attributes, `length` bytes of them, whose values are null or writable for their lengths.
unsafe fn fill_nested(
    room: *mut CK_ATTRIBUTE,
    length: CK_ULONG,
    nested: &Attributes,
    set_length: &dyn Fn(CK_ULONG),
) -> Result<()> {
    let needed = (nested.len() * size_of::<CK_ATTRIBUTE>()) as CK_ULONG;
    if !room.is_null() && length < needed {
        set_length(CK_UNAVAILABLE_INFORMATION);
        return Err(Rv(CKR_BUFFER_TOO_SMALL));
    }
    set_length(needed);
    if room.is_null() {
        return Ok(());
    }
    let mut outcome = Ok(());
    for (place, (attribute, value)) in nested.iter().enumerate() {
        // SAFETY: the room has space for all of them.
        let inner = unsafe { room.add(place) };
        // SAFETY: as above. The caller finds the types here, and values where it gave room.
        unsafe { (&raw mut (*inner).type_).write_unaligned(attribute) };
        // SAFETY: as above.
        let filled = unsafe { fill(inner, &|_| Ok(value.to_vec())) };
        outcome = outcome.and(filled);
    }
    outcome
}

/// # Safety
///
/// `template` is as [`pointer::template`] wants it.
pub(super) unsafe extern "C" fn C_SetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    entry_call(Entry::session(Function::SetAttributeValue, session).on(object), session, |_, session| {
        // SAFETY: as the caller promises.
        session.set_attributes(object, &unsafe { pointer::template(template, count) }?)
    })
}

/// # Safety
///
/// `template` is as [`pointer::template`] wants it.
pub(super) unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    session_call(Function::FindObjectsInit, session, |_, session| {
        // SAFETY: as the caller promises.
        session.find(&unsafe { pointer::template(template, count) }?)
    })
}

/// # Safety
///
/// `objects` is null or points to `most` writable handles; `count` is null or writable.
pub(super) unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    objects: *mut CK_OBJECT_HANDLE,
    most: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    session_call(Function::FindObjects, session, |_, session| {
        pointer::check(objects)?;
        pointer::check(count)?;
        let found = session.find_next(usize::try_from(most).unwrap_or(usize::MAX))?;
        let mut room = found.len() as CK_ULONG;
        // SAFETY: as the caller promises; no more are found than there is room for.
        unsafe { pointer::put_list(objects, &raw mut room, &found).and_then(|()| pointer::put(count, room)) }
    })
}

/// Ends a search.
pub(super) extern "C" fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    session_call(Function::FindObjectsFinal, session, |_, session| session.find_end())
}
