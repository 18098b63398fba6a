//! Maps by handle. Handles are numbers of our own making that rise one by one, so a multiplication spreads them well enough,
//! and nobody gains by choosing them.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map by handle.
pub(crate) type HandleMap<T> = HashMap<u64, T, BuildHasherDefault<HandleHasher>>;

/// Spreads numbers by Fibonacci hashing.
#[derive(Default)]
pub(crate) struct HandleHasher(u64);

impl Hasher for HandleHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // 2⁶⁴ divided by the golden ratio; the rotation brings the well mixed half to where maps look.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}
