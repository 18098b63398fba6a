//! What a storage engine must be able to do: an ordered map with all-or-nothing batches of guarded writes.
//!
//! An engine knows keys and bytes only; records, MACs and indexes are made above it. A batch is durable before `done` is
//! called with `Ok`, and a batch whose condition fails leaves no trace. Calls of [`Backend::get`] and [`Backend::scan`] may
//! wait for a disk: callers keep them off the async threads. Every engine passes `tests/store_contract.rs`.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::{
    compaction::{CompactError, Compacted, Telling},
    fuse::Fuse,
    journal::{JournalCheck, JournalStatus, Position},
};
use crate::engine::ports::{Order, StoreError};

/// A key; engines order keys byte by byte.
pub type Key = Vec<u8>;

/// What must hold when a batch is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which key.
    pub key: Key,
    /// The value it must have; `None` when the key must be absent.
    pub expected: Option<Vec<u8>>,
    /// What the caller is told when it does not hold.
    pub otherwise: StoreError,
}

/// Makes a new value of the old one and something else; `None` where there is none.
pub type Merging = fn(Option<&[u8]>, &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

/// A value that follows from the one before it, whatever that is when the batch is applied.
#[derive(Clone, Debug)]
pub struct Merge {
    /// Which key.
    pub key: Key,
    /// What the old value is merged with.
    pub with: Vec<u8>,
    /// Makes the new value of the old one and `with`.
    pub by: Merging,
}

/// Writes that happen together or not at all, each key once.
#[derive(Clone, Debug, Default)]
pub struct RawBatch {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// The new value of each key; `None` removes it.
    pub writes: BTreeMap<Key, Option<Vec<u8>>>,
    /// Values that are made when the batch is applied, of keys that it does not write.
    pub merges: Vec<Merge>,
}

impl RawBatch {
    /// Every write, those that were merged included; `value` gives what a key has.
    ///
    /// # Errors
    ///
    /// Those of `value` and of the merges: then the batch must not be applied.
    pub fn resolved(
        self,
        value: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<BTreeMap<Key, Option<Vec<u8>>>, StoreError> {
        let mut writes = self.writes;
        for Merge { key, with, by } in self.merges {
            let merged = by(value(&key)?.as_deref(), &with)?;
            writes.insert(key, merged);
        }
        Ok(writes)
    }
}

/// Called once, on a thread of the engine, when the batch is durable or has failed. It must not block.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A range of keys.
#[derive(Clone, Debug)]
pub struct KeyRange {
    /// Lower end.
    pub start: Bound<Key>,
    /// Upper end.
    pub end: Bound<Key>,
}

impl KeyRange {
    /// Every key that begins with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { start: Bound::Included(prefix.to_vec()), end: after_prefix(prefix) }
    }

    /// From one key to another, both included.
    #[must_use]
    pub const fn between(low: Key, high: Key) -> Self {
        Self { start: Bound::Included(low), end: Bound::Included(high) }
    }
}

/// The bound above every key that begins with `prefix`.
fn after_prefix(prefix: &[u8]) -> Bound<Key> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// From which end a range is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Lowest key first.
    Up,
    /// Highest key first.
    Down,
}

impl From<Order> for Direction {
    fn from(order: Order) -> Self {
        match order {
            Order::OldestFirst => Self::Up,
            Order::NewestFirst => Self::Down,
        }
    }
}

/// A key and its value.
pub type Pair = (Key, Vec<u8>);

/// The state of one moment, read a piece at a time while others go on writing.
pub trait Snapshot: Send {
    /// The next pairs of a range, lowest key first, about `limit` of them, and the key after which the range goes on; `None`
    /// when it has ended. Ranges must be read in ascending order: what lies before the last key read is forgotten.
    ///
    /// # Errors
    ///
    /// `Unavailable` and `Corrupt`.
    fn read(&mut self, range: &KeyRange, limit: usize) -> Result<(Vec<Pair>, Option<Key>), StoreError>;
}

/// A storage engine.
pub trait Backend: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// `Unavailable` and `Corrupt`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` pairs of a range.
    ///
    /// # Errors
    ///
    /// `Unavailable` and `Corrupt`.
    fn scan(&self, range: &KeyRange, direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError>;

    /// The same where it needs no disk for sure; `None` where it may.
    ///
    /// # Errors
    ///
    /// `Unavailable` and `Corrupt`.
    fn scan_in_memory(
        &self,
        _range: &KeyRange,
        _direction: Direction,
        _limit: usize,
    ) -> Result<Option<Vec<Pair>>, StoreError> {
        Ok(None)
    }

    /// Applies a batch and calls `done` when it is durable. Batches of one caller are applied in the order of the calls.
    fn commit(&self, batch: RawBatch, done: Done);

    /// Removes a key some time soon, with somebody else's commit; losing this at a crash is harmless.
    fn remove_lazily(&self, key: Key);

    /// The state of this moment: each batch is in it as a whole, or not at all. One at a time.
    ///
    /// # Errors
    ///
    /// `Conflict` while there is another one, `Unavailable`.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// Bytes on disk.
    fn bytes_on_disk(&self) -> u64;

    /// Copies what lives into new files, which take the place of the old ones, while others read and write. One at a time; blocks.
    ///
    /// # Errors
    ///
    /// Then the store is as it was.
    fn compact(&self, _tell: Telling<'_>) -> Result<Compacted, CompactError> {
        Err(CompactError::Refused("there is nothing to compact in this engine".to_owned()))
    }

    /// What there is of a journal of changes, where the engine keeps one.
    fn journal(&self) -> Option<JournalStatus> {
        None
    }

    /// Reads all of the journal, where the engine keeps one.
    fn check_journal(&self) -> Option<JournalCheck> {
        None
    }

    /// Lets go of what the journal has up to a position, because a backup has it.
    fn prune_journal(&self, _to: Position) {}

    /// What tells those who wait for the engine that it has failed, where it can fail.
    fn fuse(&self) -> Option<&Arc<Fuse>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_of_its_length() {
        assert_eq!(after_prefix(&[1, 2]), Bound::Excluded(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 0xFF]), Bound::Excluded(vec![2]));
        assert_eq!(after_prefix(&[0xFF, 0xFF]), Bound::Unbounded);
    }
}
