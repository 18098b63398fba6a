//! Protected bytes on their way between a client and an HSM.
//!
//! A value is zeroised when dropped, shows only its length, is never cloned, serialised or compared with `==`. Bytes leave
//! through [`SecretValue::expose_secret`] only; the lint configuration names that method, so every place that lets a value
//! out says why and can be counted.

use std::fmt;

use secrecy::{ExposeSecret, SecretBox};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, optimization_barrier};

/// Bytes that are wiped as fast as memory takes zeros; the implementation for `Vec<u8>` goes byte by byte, which keeps a thread
/// for milliseconds where there are many.
struct Bytes(Vec<u8>);

impl Zeroize for Bytes {
    fn zeroize(&mut self) {
        if self.0.capacity() > 0 {
            self.0.clear();
            // Fills what there is and allocates nothing; what is shown to the barrier must have been filled.
            self.0.resize(self.0.capacity(), 0);
            optimization_barrier(self.0.as_slice());
            self.0.clear();
        }
    }
}

/// Key material or any other protected bytes.
pub struct SecretValue(SecretBox<Bytes>);

impl SecretValue {
    /// Takes the bytes over; the caller's buffer is the one that will be zeroised.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(SecretBox::new(Box::new(Bytes(bytes))))
    }

    /// Lets the bytes out. Each use carries an `#[expect(clippy::disallowed_methods, reason = "…")]`.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0.expose_secret().0
    }

    /// A second copy, zeroised like the first: for a value that must reach the HSM in two forms.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::new(self.0.expose_secret().0.clone())
    }

    /// A second value of its first half.
    #[must_use]
    pub fn first_half(&self) -> Self {
        let bytes = &self.0.expose_secret().0;
        Self::new(bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec())
    }

    /// The length in bytes; lengths are not secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.expose_secret().0.len()
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Compares in constant time for equal lengths.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.expose_secret().0.as_slice().ct_eq(other.0.expose_secret().0.as_slice()).into()
    }
}

impl From<Vec<u8>> for SecretValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretValue({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_length_only() {
        assert_eq!(format!("{:?}", SecretValue::new(b"hunter2".to_vec())), "SecretValue(7 bytes)");
    }

    #[test]
    fn equal_bytes_match_and_others_do_not() {
        assert!(SecretValue::new(vec![1, 2]).matches(&SecretValue::new(vec![1, 2])));
        assert!(!SecretValue::new(vec![1, 2]).matches(&SecretValue::new(vec![1, 3])));
        assert!(!SecretValue::new(vec![1]).matches(&SecretValue::new(vec![1, 3])));
    }
}
