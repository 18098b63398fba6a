//! Bytes that must not be seen: wiped when dropped, no content in `Debug`, compared in constant time.
//!
//! Everything that can be key material, a password or data to be encrypted has one of these types. Content is reached
//! through `expose_secret` only, so that each place that does can be found. There is no `Clone`.

use std::{
    fmt, mem,
    ops::{Deref, DerefMut},
};

use zeroize::{Zeroizing, optimization_barrier};

/// A buffer that is wiped when it is dropped, all of its room included.
///
/// `Zeroizing<Vec<u8>>` does the same a byte at a time, which keeps a thread for milliseconds where a message has 16 MiB. This
/// one fills the room with zeros and then shows it to the compiler, which must not leave the filling out because of that.
/// What it moves out of when it grows is not wiped: whoever lets it grow makes room first.
#[derive(Default)]
pub struct Wiped(Vec<u8>);

impl Wiped {
    /// Takes the bytes over.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Gives the bytes to somebody who wipes them.
    pub fn into_inner(mut self) -> Vec<u8> {
        mem::take(&mut self.0)
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        if self.0.capacity() > 0 {
            self.0.clear();
            // Fills what there is and allocates nothing.
            self.0.resize(self.0.capacity(), 0);
            optimization_barrier(self.0.as_slice());
        }
    }
}

impl Deref for Wiped {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl From<Vec<u8>> for Wiped {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Zeroizing<Vec<u8>>> for Wiped {
    fn from(mut bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(mem::take(&mut *bytes))
    }
}

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Wiped {
    fn eq(&self, other: &Self) -> bool {
        same(self, other)
    }
}

impl fmt::Debug for Wiped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wiped({} bytes)", self.0.len())
    }
}

/// Secret bytes.
pub struct SecretBytes(Wiped);

impl SecretBytes {
    /// Copies the bytes; the caller wipes its own copy.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(Wiped::new(bytes.to_vec()))
    }

    /// The bytes.
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Wiped> for SecretBytes {
    fn from(bytes: Wiped) -> Self {
        Self(bytes)
    }
}

impl From<Zeroizing<Vec<u8>>> for SecretBytes {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes.into())
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Wiped::new(bytes))
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

/// Secret text.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Copies the text; the caller wipes its own copy.
    pub fn copy_of(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        same(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// A big integer as it was sent: two's complement, a multiple of eight bytes, redundant leading bytes included.
///
/// Registered keys come back byte for byte, so the number is never normalised. Most big integers are parts of private
/// keys, therefore all of them are treated as secrets.
pub struct BigInteger(Wiped);

impl BigInteger {
    /// A non-negative number from its magnitude, most significant byte first; leading zeros are added as needed.
    pub fn from_magnitude(magnitude: &[u8]) -> Self {
        let needs_sign = magnitude.first().is_none_or(|first| first & 0x80 != 0);
        let length = (magnitude.len() + usize::from(needs_sign)).next_multiple_of(8);
        let mut bytes = Wiped::new(Vec::with_capacity(length));
        bytes.resize(length - magnitude.len(), 0);
        bytes.extend_from_slice(magnitude);
        Self(bytes)
    }

    /// The number as sent. `None` unless the length is a positive multiple of eight.
    pub fn from_encoded(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty() && bytes.len().is_multiple_of(8)).then(|| Self(Wiped::new(bytes.to_vec())))
    }

    /// The bytes on the wire.
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }

    /// The magnitude without leading zeros. `None` when the number is negative.
    pub fn expose_magnitude(&self) -> Option<&[u8]> {
        if self.0.first().is_some_and(|first| first & 0x80 != 0) {
            return None;
        }
        let zeros = self.0.iter().take_while(|byte| **byte == 0).count();
        self.0.get(zeros..)
    }
}

impl PartialEq for BigInteger {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl fmt::Debug for BigInteger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BigInteger({} bytes)", self.0.len())
    }
}

/// Compares without leaving early, so that the time says nothing about where two secrets differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magnitude_gains_a_sign_byte_only_when_needed() {
        assert_eq!(BigInteger::from_magnitude(&[0x7F; 8]).expose_secret(), [0x7F; 8]);
        assert_eq!(BigInteger::from_magnitude(&[0x80; 8]).expose_secret().len(), 16);
        assert_eq!(BigInteger::from_magnitude(&[]).expose_secret(), [0; 8]);
        assert_eq!(BigInteger::from_magnitude(&[1, 0, 1]).expose_magnitude(), Some(&[1, 0, 1][..]));
        assert_eq!(BigInteger::from_encoded(&[0xFF; 8]).and_then(|n| n.expose_magnitude().map(<[u8]>::to_vec)), None);
        assert!(BigInteger::from_encoded(&[1; 7]).is_none() && BigInteger::from_encoded(&[]).is_none());
    }

    #[test]
    fn a_wiped_buffer_keeps_its_place_while_it_is_wiped() {
        let mut bytes = Wiped::new(Vec::with_capacity(64));
        bytes.extend_from_slice(b"AAAA");
        assert_eq!(bytes, Wiped::from(b"AAAA".to_vec()));
        assert_eq!(bytes.into_inner(), b"AAAA");
        drop(Wiped::default());
    }

    #[test]
    fn debug_shows_no_content() {
        let shown = format!("{:?} {:?}", SecretBytes::copy_of(b"AAAA"), SecretText::copy_of("AAAA"));
        assert!(!shown.contains("AAAA") && !shown.contains("65"), "{shown}");
    }
}
