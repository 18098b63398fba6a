//! An engine that keeps everything in memory, for tests. Durable means nothing here; all else is as on disk.

use std::{collections::BTreeMap, ops::Bound};

use parking_lot::RwLock;

use super::backend::{Backend, Direction, Done, Key, KeyRange, Pair, RawBatch, Snapshot};
use crate::engine::ports::StoreError;

/// A map behind a lock.
#[derive(Debug, Default)]
pub struct MemoryBackend(RwLock<BTreeMap<Key, Vec<u8>>>);

impl MemoryBackend {
    fn apply(&self, batch: RawBatch) -> Result<(), StoreError> {
        let mut map = self.0.write();
        if let Some(failed) =
            batch.conditions.iter().find(|condition| map.get(&condition.key) != condition.expected.as_ref())
        {
            return Err(failed.otherwise.clone());
        }
        let writes = batch.resolved(|key| Ok(map.get(key).cloned()))?;
        for (key, value) in writes {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }
}

impl Backend for MemoryBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.read().get(key).cloned())
    }

    fn scan(&self, range: &KeyRange, direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError> {
        if is_empty(range) {
            return Ok(Vec::new());
        }
        let map = self.0.read();
        let pairs = map.range((range.start.clone(), range.end.clone()));
        let owned = |(key, value): (&Key, &Vec<u8>)| (key.clone(), value.clone());
        Ok(match direction {
            Direction::Up => pairs.take(limit).map(owned).collect(),
            Direction::Down => pairs.rev().take(limit).map(owned).collect(),
        })
    }

    fn commit(&self, batch: RawBatch, done: Done) {
        done(self.apply(batch));
    }

    fn remove_lazily(&self, key: Key) {
        self.0.write().remove(&key);
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(Copy(self.0.read().clone())))
    }

    fn bytes_on_disk(&self) -> u64 {
        0
    }
}

/// A copy of everything.
struct Copy(BTreeMap<Key, Vec<u8>>);

impl Snapshot for Copy {
    fn read(&mut self, range: &KeyRange, limit: usize) -> Result<(Vec<Pair>, Option<Key>), StoreError> {
        if is_empty(range) {
            return Ok((Vec::new(), None));
        }
        let pairs = self.0.range((range.start.clone(), range.end.clone())).take(limit);
        let pairs: Vec<Pair> = pairs.map(|(key, value)| (key.clone(), value.clone())).collect();
        let next = if pairs.len() == limit { pairs.last().map(|(key, _)| key.clone()) } else { None };
        Ok((pairs, next))
    }
}

/// Whether no key can lie in the range; a map panics on such a range.
pub(super) fn is_empty(range: &KeyRange) -> bool {
    match (&range.start, &range.end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end) | Bound::Included(end)) => start >= end,
    }
}
