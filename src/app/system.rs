//! The real clock and the real chance; everything else is given them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

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

impl Chance for SystemChance {
    fn fill(&self, buffer: &mut [u8]) {
        // The library's generator ends the process when the system has no entropy; it never reports failure here.
        self.0.fill(buffer).expect("the crypto library's generator does not fail once the process runs");
    }
}
