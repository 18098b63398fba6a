//! The real clock and the real chance; everything else is given them.

use std::{
    cell::RefCell,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    domain::Timestamp,
    engine::ports::{Chance, Clock},
};

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock that is passed to everything else")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The operating system's generator, through the crypto library.
#[derive(Debug, Default)]
pub(super) struct SystemChance(SystemRandom);

impl SystemChance {
    /// The generator.
    #[must_use]
    pub(super) fn new() -> Self {
        Self(SystemRandom::new())
    }
}

/// Sixteen random bytes.
pub(super) fn chosen(chance: &dyn Chance) -> [u8; 16] {
    let mut bytes = [0; 16];
    chance.fill(&mut bytes);
    bytes
}

/// Random bytes that a thread has ahead: identifiers and IVs take a few each, and the generator costs as much for them as for all
/// of these.
struct Stock {
    bytes: Zeroizing<[u8; STOCK]>,
    /// How many of them, from the end, nobody has got yet.
    left: usize,
}

const STOCK: usize = 512;
/// Longer ones, which are more likely to be a secret, are never kept ahead.
const FROM_STOCK: usize = 16;

thread_local! {
    static AHEAD: RefCell<Stock> = RefCell::new(Stock { bytes: Zeroizing::new([0; STOCK]), left: 0 });
}

impl Stock {
    /// Hands bytes out, each once.
    fn take(&mut self, buffer: &mut [u8], refill: impl FnOnce(&mut [u8])) {
        if self.left < buffer.len() {
            refill(&mut *self.bytes);
            self.left = STOCK;
        }
        let start = STOCK - self.left;
        if let Some(from) = self.bytes.get_mut(start..start + buffer.len()) {
            buffer.copy_from_slice(from);
            from.zeroize();
        }
        self.left -= buffer.len();
    }
}

impl Chance for SystemChance {
    fn fill(&self, buffer: &mut [u8]) {
        // The library's generator ends the process when the system has no entropy; it never reports failure here.
        let generate = |bytes: &mut [u8]| {
            self.0.fill(bytes).expect("the crypto library's generator does not fail once the process runs");
        };
        if buffer.len() > FROM_STOCK {
            return generate(buffer);
        }
        AHEAD.with_borrow_mut(|stock| stock.take(buffer, generate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_random_byte_is_given_out_twice() {
        let chance = SystemChance::new();
        let mut seen = std::collections::HashSet::new();
        for length in (1..=40).cycle().take(4_000) {
            let mut bytes = vec![0; length];
            chance.fill(&mut bytes);
            assert!(length < 12 || seen.insert(bytes), "the same {length} bytes twice");
        }
        let mut stock = Stock { bytes: Zeroizing::new([0; STOCK]), left: 0 };
        let (mut count, mut filled) = (0_u8, 0);
        let mut refill = |bytes: &mut [u8]| {
            filled += 1;
            bytes.iter_mut().for_each(|byte| {
                *byte = count;
                count = count.wrapping_add(1);
            });
        };
        let mut buffer = [0; 16];
        stock.take(&mut buffer, &mut refill);
        assert_eq!(buffer.to_vec(), (0..16).collect::<Vec<u8>>());
        stock.take(&mut buffer, &mut refill);
        assert_eq!(buffer.to_vec(), (16..32).collect::<Vec<u8>>());
        assert!(stock.bytes.iter().take(32).all(|byte| *byte == 0), "what was given out is still there");
        (2..33).for_each(|_| stock.take(&mut buffer, &mut refill));
        assert_eq!(filled, 2);
    }
}
