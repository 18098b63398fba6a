//! The store as far as memory has it: what short reads need mostly is, and then the async thread that asks does them itself.
//!
//! It has the index entries whose blocks were read lately, and refuses everything else: then the reading threads are asked. So a
//! reader here never waits for a disk, and finds what it would find there.

use std::sync::Arc;

use super::backend::{Backend, Direction, Done, KeyRange, Pair, RawBatch, Snapshot};
use crate::engine::ports::StoreError;

/// Entries that are looked at in place; longer lists are left to the reading threads.
pub(super) const LOOKED_AT_MAX: usize = 512;

/// What memory has of an engine.
pub(super) struct AtHand(pub(super) Arc<dyn Backend>);

fn elsewhere() -> StoreError {
    StoreError::Unavailable(String::new())
}

impl Backend for AtHand {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Err(elsewhere())
    }

    fn scan(&self, range: &KeyRange, direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError> {
        let pairs = self.0.scan_in_memory(range, direction, limit.min(LOOKED_AT_MAX))?.ok_or_else(elsewhere)?;
        if pairs.len() >= LOOKED_AT_MAX { Err(elsewhere()) } else { Ok(pairs) }
    }

    fn commit(&self, _: RawBatch, done: Done) {
        done(Err(elsewhere()));
    }

    fn remove_lazily(&self, key: Vec<u8>) {
        self.0.remove_lazily(key);
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Err(elsewhere())
    }

    fn bytes_on_disk(&self) -> u64 {
        self.0.bytes_on_disk()
    }
}
