//! Test support: an HSM and a metadata store in memory, a clock that stands still, an audit trail that can be read.
//!
//! The HSM keeps bytes in a map and makes real keys, so that what a front end gives out can be checked; requests can be
//! told to fail, once or several times, by name. Nothing of the product uses this module. It is not behind `cfg(test)`,
//! because the test programs under `tests/` are crates of their own.

mod hsm;
mod store;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use aws_lc_rs::rand;

use super::{
    Engine, Observer,
    ports::{Answer, AuditError, AuditSink, Chance, Clock, Durability},
    tools::{Ports, Settings, SoftwareFallback},
};
use crate::{
    authz::Authorizer,
    domain::{
        OperationKind, Timestamp,
        audit::{AuditEvent, Protocol},
    },
};

pub use self::{hsm::MemoryHsm, store::MemoryStore};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An engine over everything in memory, and the parts of it.
pub struct Bench {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Its HSM.
    pub hsm: Arc<MemoryHsm>,
    /// Its store.
    pub store: Arc<MemoryStore>,
    /// Its audit trail.
    pub audit: Arc<MemoryAudit>,
    /// Its clock.
    pub clock: Arc<FixedClock>,
}

impl Bench {
    /// A bench at 2026-11-22 06:00:00 UTC, whose operator allows all that its HSM in memory cannot do.
    #[must_use]
    pub fn new(authorizer: Authorizer) -> Self {
        Self::made(authorizer, Settings { software_fallback: SoftwareFallback::ALL, ..Settings::default() })
    }

    /// A bench with these settings.
    #[must_use]
    pub fn with(settings: Settings) -> Self {
        Self::made(Authorizer::default(), settings)
    }

    fn made(authorizer: Authorizer, settings: Settings) -> Self {
        let hsm = Arc::new(MemoryHsm::default());
        let store = Arc::new(MemoryStore::default());
        let audit = Arc::new(MemoryAudit::default());
        let clock = Arc::new(FixedClock(AtomicI64::new(1_795_327_200_000_000)));
        let ports = Arc::new(Ports {
            hsm: Arc::<MemoryHsm>::clone(&hsm),
            store: Arc::<MemoryStore>::clone(&store),
            clock: Arc::<FixedClock>::clone(&clock),
            chance: Arc::new(SystemChance),
            settings,
            uses: Arc::default(),
        });
        let sink = Arc::<MemoryAudit>::clone(&audit);
        let engine = Arc::new(Engine::new(ports, sink, authorizer, Arc::new(Unobserved), false));
        Self { engine, hsm, store, audit, clock }
    }
}

impl Default for Bench {
    /// A bench with the rules that are in force when nothing else is said.
    fn default() -> Self {
        Self::new(Authorizer::default())
    }
}

/// Counts nothing.
#[derive(Debug)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn finished(&self, _: Protocol, _: OperationKind, _: &'static str, _: f64) {}
}

/// A clock that moves when it is told to.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// Moves the clock.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        // One microsecond a look keeps the order of creation visible.
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// The operating system's generator.
#[derive(Debug)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn fill(&self, buffer: &mut [u8]) {
        rand::fill(buffer).expect("the operating system's generator does not fail");
    }
}

/// An audit trail that can be read.
#[derive(Debug, Default)]
pub struct MemoryAudit(Mutex<Vec<AuditEvent>>);

impl MemoryAudit {
    /// Every record so far.
    #[must_use]
    pub fn events(&self) -> Vec<AuditEvent> {
        lock(&self.0).clone()
    }
}

impl AuditSink for MemoryAudit {
    fn record(&self, event: AuditEvent, _: Durability) -> Answer<'_, Result<(), AuditError>> {
        lock(&self.0).push(event);
        Box::pin(async { Ok(()) })
    }

    fn holds(&self, event: [u8; 16]) -> bool {
        lock(&self.0).iter().any(|record| record.id == event)
    }
}
