//! How many of each resource every project has, kept in memory beside the index entries that are counted.
//!
//! A batch announces what it will add before it is handed to the engine, and takes it back or makes it count when the engine
//! has answered, in one step under one lock. So at every moment each creation counts exactly once, and a limit is neither
//! exceeded nor undercut by any number of requests at a time.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::index::Of;
use crate::engine::ports::StoreError;

/// A limit that a batch must keep.
#[derive(Debug)]
pub(super) struct Ceiling {
    /// Of what.
    pub(super) of: Of,
    /// How many there may be.
    pub(super) most: u64,
    /// How many that are there do not count any more.
    pub(super) expired: usize,
}

#[derive(Debug, Default)]
struct Tally {
    there: i64,
    coming: i64,
}

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Tallies(Mutex<HashMap<Of, Tally>>);

impl Tallies {
    /// Begins with what is stored.
    pub(super) fn begin(&self, counts: &HashMap<Of, i64>) {
        *self.0.lock() = counts.iter().map(|(of, there)| (*of, Tally { there: *there, coming: 0 })).collect();
    }

    /// How many there are.
    pub(super) fn of(&self, of: Of) -> u64 {
        self.0.lock().get(&of).map_or(0, |tally| u64::try_from(tally.there).unwrap_or(0))
    }

    /// Announces a batch, unless it breaks a limit.
    pub(super) fn announce(&self, deltas: &HashMap<Of, i64>, ceilings: &[Ceiling]) -> Result<(), StoreError> {
        let mut tallies = self.0.lock();
        for ceiling in ceilings {
            let delta = deltas.get(&ceiling.of).copied().unwrap_or_default();
            let have = tallies.get(&ceiling.of).map_or(0, |tally| tally.there + tally.coming);
            let expired = i64::try_from(ceiling.expired).unwrap_or(i64::MAX);
            if delta > 0 && have + delta - expired > i64::try_from(ceiling.most).unwrap_or(i64::MAX) {
                return Err(StoreError::CeilingReached);
            }
        }
        for (of, delta) in deltas.iter().filter(|(_, delta)| **delta > 0) {
            tallies.entry(*of).or_default().coming += delta;
        }
        Ok(())
    }

    /// An announced batch is stored, or was refused.
    pub(super) fn settle(&self, deltas: &HashMap<Of, i64>, stored: bool) {
        let mut tallies = self.0.lock();
        for (of, delta) in deltas {
            let tally = tallies.entry(*of).or_default();
            tally.coming -= (*delta).max(0);
            if stored {
                tally.there += delta;
            }
            if tally.there == 0 && tally.coming == 0 {
                tallies.remove(of);
            }
        }
    }
}
