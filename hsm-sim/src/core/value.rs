//! An attribute's bytes. Most are a truth value or a number and fit where the pointer to memory would be, which saves an
//! object of fifteen attributes a dozen allocations. What is longer stays in one place until it is wiped: what is moved about
//! would leave copies behind. What is secret lies in memory for keys.

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::Locked;

/// The bytes; wiped when they go.
#[derive(Clone)]
pub(crate) struct Value(Bytes);

#[derive(Clone)]
enum Bytes {
    Short(Short),
    Long(Zeroizing<Vec<u8>>),
    Secret(Locked),
}

#[derive(Clone)]
struct Short {
    bytes: [u8; SHORT_BYTES],
    length: u8,
}

/// A `CK_ULONG`.
const SHORT_BYTES: usize = 8;

impl Value {
    /// A copy of bytes.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut short = Short { bytes: [0; SHORT_BYTES], length: 0 };
        Self(match (short.bytes.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(bytes);
                short.length = length;
                Bytes::Short(short)
            }
            _ => Bytes::Long(Zeroizing::new(bytes.to_vec())),
        })
    }

    /// A copy of bytes that are a key or a part of one.
    pub(crate) fn secret(bytes: &[u8]) -> Self {
        Self(Bytes::Secret(Locked::new(bytes)))
    }

    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short(short) => short.bytes.get(..usize::from(short.length)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
            Bytes::Secret(bytes) => bytes,
        }
    }

    /// The bytes, to be changed.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Bytes::Short(short) => short.bytes.get_mut(..usize::from(short.length)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
            Bytes::Secret(bytes) => bytes,
        }
    }
}

impl Drop for Short {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl std::ops::Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_values_are_what_was_given() {
        let bytes: Vec<u8> = (0..100).collect();
        for length in [0, 1, 8, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, 100] {
            let mut value = Value::new(&bytes[..length]);
            assert_eq!(value.as_slice(), &bytes[..length]);
            assert!(value == value.clone() && value == Value::secret(&bytes[..length]));
            value.as_mut_slice().fill(9);
            assert_eq!(value.as_slice(), vec![9; length]);
        }
        assert!(size_of::<Value>() <= size_of::<Vec<u8>>() + 2 * size_of::<usize>());
    }
}
