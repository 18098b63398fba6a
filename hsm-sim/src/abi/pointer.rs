//! Pointers of the caller as values: null and overflow are refused here and nowhere else.

use std::ops::Deref;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use crate::{
    core::{
        attributes::{Attributes, VALUE_BYTES_MAX, Value, value_of},
        operation::{Output, Written},
        rules::{self, Kind},
        rv::{Result, Rv},
    },
    fault,
};

const BAD: Rv = Rv(CKR_ARGUMENTS_BAD);

/// Attributes in one template.
const TEMPLATE_MAX: usize = 1024;

/// No array that a caller can mean is longer, in bytes.
const BYTES_MAX: usize = 1 << 36;

/// The length of an array of `T` that the caller says it has.
fn length<T>(count: CK_ULONG) -> Result<usize> {
    let count = usize::try_from(count).map_err(|_too_long| BAD)?;
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes <= BYTES_MAX => Ok(count),
        _ => Err(BAD),
    }
}

/// Bytes of the caller; null is an empty slice when the length is zero.
///
/// # Safety
///
/// `pointer` is null or points to `count` readable bytes that nobody writes during the call.
pub(super) unsafe fn bytes<'a>(pointer: *const CK_BYTE, count: CK_ULONG) -> Result<&'a [u8]> {
    let count = length::<CK_BYTE>(count)?;
    match (pointer.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(BAD),
        // SAFETY: not null, of a length that fits, and readable as the caller promises.
        (false, count) => Ok(unsafe { std::slice::from_raw_parts(pointer, count) }),
    }
}

/// Writes a value where the caller wants it.
///
/// # Safety
///
/// `place` is null or points to writable memory for a `T`.
pub(super) unsafe fn put<T>(place: *mut T, value: T) -> Result<()> {
    if place.is_null() {
        return Err(BAD);
    }
    // SAFETY: not null, and writable as the caller promises.
    unsafe { place.write_unaligned(value) };
    Ok(())
}

/// Refuses a null pointer before work is done whose result goes there.
pub(super) fn check<T>(place: *const T) -> Result<()> {
    if place.is_null() { Err(BAD) } else { Ok(()) }
}

/// A buffer of the caller with its length in and out, as every function with output takes it.
pub(super) struct Sink {
    pointer: *mut CK_BYTE,
    capacity: usize,
    length: *mut CK_ULONG,
}

impl Sink {
    /// # Safety
    ///
    /// `length` is null or points to a `CK_ULONG`; `pointer` is null or points to that many writable bytes, of which no
    /// other reference is used during the call but through [`Sink::beside`].
    pub(super) unsafe fn new(pointer: *mut CK_BYTE, length: *mut CK_ULONG) -> Result<Self> {
        check(length)?;
        let capacity = if pointer.is_null() {
            0
        } else {
            // SAFETY: not null, and readable as the caller promises.
            self::length::<CK_BYTE>(unsafe { length.read_unaligned() })?
        };
        Ok(Self { pointer, capacity, length })
    }

    /// Input that may lie in the same memory as the output: then it is copied first.
    ///
    /// # Safety
    ///
    /// As [`bytes`].
    pub(super) unsafe fn beside<'a>(&self, pointer: *const CK_BYTE, count: CK_ULONG) -> Result<Input<'a>> {
        // SAFETY: as the caller promises. The slice is not used once the output is borrowed, if they overlap.
        let input = unsafe { bytes(pointer, count) }?;
        let output = self.pointer.addr()..self.pointer.addr().saturating_add(self.capacity);
        let source = input.as_ptr().addr()..input.as_ptr().addr().saturating_add(input.len());
        let overlaps = output.start < source.end && source.start < output.end;
        if !overlaps {
            return Ok(Input::There(input));
        }
        Ok(Input::Copy(copied(input)?))
    }

    /// Has output written and tells the caller its length.
    pub(super) fn fill(self, write: impl FnOnce(Output<'_>) -> Result<Written>) -> Result<()> {
        let output = if self.pointer.is_null() {
            Output::Query
        } else {
            // SAFETY: `new` was promised this memory for the length of the call.
            Output::Buffer(unsafe { std::slice::from_raw_parts_mut(self.pointer, self.capacity) })
        };
        let (bytes, outcome) = match write(output)? {
            Written::Done(bytes) if fault::is_armed() && !self.pointer.is_null() => {
                // SAFETY: as above, and the output that was handed out is no longer borrowed.
                let written = unsafe { std::slice::from_raw_parts_mut(self.pointer, bytes.min(self.capacity)) };
                (fault::written(written), Ok(()))
            }
            Written::Done(bytes) => (bytes, Ok(())),
            Written::Needed(bytes) => (fault::needed(bytes), Ok(())),
            Written::TooSmall(bytes) => (fault::needed(bytes), Err(Rv(CKR_BUFFER_TOO_SMALL))),
        };
        // SAFETY: `new` checked the pointer.
        unsafe { self.length.write_unaligned(bytes as CK_ULONG) };
        outcome
    }
}

/// A copy of bytes whose number only the caller knows.
pub(super) fn copied(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut copy = Zeroizing::new(Vec::new());
    copy.try_reserve_exact(bytes.len()).map_err(|_too_long| Rv(CKR_HOST_MEMORY))?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Input bytes, copied if they lay where output goes.
pub(super) enum Input<'a> {
    Copy(Zeroizing<Vec<u8>>),
    There(&'a [u8]),
}

impl Deref for Input<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Copy(bytes) => bytes,
            Self::There(bytes) => bytes,
        }
    }
}

/// Writes an array of values, or tells how many there are.
///
/// # Safety
///
/// `count` is null or points to a `CK_ULONG`; `array` is null or points to that many writable values.
pub(super) unsafe fn put_list<T: Copy>(array: *mut T, count: *mut CK_ULONG, values: &[T]) -> Result<()> {
    check(count)?;
    // SAFETY: not null, and readable as the caller promises.
    let room = if array.is_null() { values.len() } else { length::<T>(unsafe { count.read_unaligned() })? };
    // SAFETY: as above.
    unsafe { count.write_unaligned(values.len() as CK_ULONG) };
    if room < values.len() {
        return Err(Rv(CKR_BUFFER_TOO_SMALL));
    }
    if !array.is_null() {
        for (place, value) in values.iter().enumerate() {
            // SAFETY: `place` is below the room that the caller promises.
            unsafe { array.add(place).write_unaligned(*value) };
        }
    }
    Ok(())
}

/// The attributes of an array, copied.
///
/// # Safety
///
/// `array` is null or points to `count` readable `CK_ATTRIBUTE`s whose values are null or readable for their length.
unsafe fn attributes(
    array: *const CK_ATTRIBUTE,
    count: CK_ULONG,
    depth: u8,
) -> Result<Vec<(CK_ATTRIBUTE_TYPE, Value)>> {
    let count = length::<CK_ATTRIBUTE>(count)?;
    if count > TEMPLATE_MAX || (array.is_null() && count > 0) {
        return Err(BAD);
    }
    let mut attributes = Vec::with_capacity(count);
    for place in 0..count {
        // SAFETY: `place` is below the count that the caller promises.
        let attribute = unsafe { array.add(place).read_unaligned() };
        let invalid = Rv(CKR_ATTRIBUTE_VALUE_INVALID);
        if attribute.pValue.is_null() && attribute.ulValueLen > 0 {
            return Err(invalid);
        }
        if attribute.ulValueLen > VALUE_BYTES_MAX as CK_ULONG {
            return Err(invalid);
        }
        let value = if rules::kind(attribute.type_) == Some(Kind::Template) {
            let size = size_of::<CK_ATTRIBUTE>() as CK_ULONG;
            if depth > 0 || !attribute.ulValueLen.is_multiple_of(size) {
                return Err(invalid);
            }
            // SAFETY: the value of a template attribute is an array of attributes, as the caller promises.
            let nested = unsafe { self::attributes(attribute.pValue.cast(), attribute.ulValueLen / size, depth + 1) }?;
            Value::new(&Attributes::from_template(nested)?.encode())
        } else {
            // SAFETY: readable for its length, as the caller promises.
            value_of(attribute.type_, unsafe { bytes(attribute.pValue.cast(), attribute.ulValueLen) }?)
        };
        attributes.push((attribute.type_, value));
    }
    Ok(attributes)
}

/// A template of the caller.
///
/// # Safety
///
/// As [`attributes`].
pub(super) unsafe fn template(array: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Attributes> {
    // SAFETY: as the caller promises.
    Attributes::from_template(unsafe { attributes(array, count, 0) }?)
}

/// Fixed-width text, padded with blanks.
pub(super) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [b' '; N];
    bytes.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
    bytes
}
