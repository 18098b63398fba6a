//! Decoded records, never older than what the store has acknowledged.
//!
//! A writer puts the new record in after it is durable and before its commit is acknowledged. A reader that missed may have
//! read the old record meanwhile; so it notes the slot's generation before it reads and leaves the cache alone when a writer
//! has moved it since.

use std::{hash::BuildHasher, sync::Arc};

use moka::sync::Cache as Map;
use parking_lot::Mutex;

use super::{
    backend::Key,
    record::{Head, Record},
};
use crate::engine::ports::Versioned;

/// A decoded record with the head it was stored under.
#[derive(Debug)]
pub(super) struct Stored<R> {
    pub(super) versioned: Versioned<R>,
    pub(super) head: Vec<u8>,
    pub(super) pieces: u16,
}

impl<R> Stored<R> {
    pub(super) fn new(record: R, head: &Head, bytes: Vec<u8>) -> Self {
        Self { versioned: Versioned { record, revision: head.revision }, head: bytes, pieces: head.pieces }
    }
}

/// The cache of one kind of record.
pub(super) struct Cache<R> {
    map: Map<[u8; 16], Arc<Stored<R>>>,
    slots: Slots,
}

/// Which objects hold names, by the keys of the names.
pub(super) struct Names {
    map: Map<Key, [u8; 16]>,
    slots: Slots,
}

/// Generations of keys.
struct Slots {
    slots: Vec<Mutex<u64>>,
    hasher: std::hash::RandomState,
}

/// What a reader noted before it read.
#[derive(Clone, Copy)]
pub(super) struct Generation(u64);

const SLOTS: usize = 64;

impl<R: Record> Cache<R> {
    pub(super) fn new(records: u64) -> Self {
        Self { map: Map::new(records), slots: Slots::new() }
    }

    pub(super) fn get(&self, id: &[u8; 16]) -> Option<Arc<Stored<R>>> {
        self.map.get(id)
    }

    /// To be called before reading from the store.
    pub(super) fn generation(&self, id: &[u8; 16]) -> Generation {
        Generation(*self.slots.of(id).lock())
    }

    /// Keeps what a reader found, unless a writer came in between.
    pub(super) fn keep(&self, noted: Generation, stored: &Arc<Stored<R>>) {
        let id = stored.versioned.record.id();
        let slot = self.slots.of(&id).lock();
        if *slot == noted.0 {
            self.map.insert(id, Arc::clone(stored));
        }
    }

    /// Follows a durable write.
    pub(super) fn follow(&self, id: [u8; 16], stored: Option<Arc<Stored<R>>>) {
        let mut slot = self.slots.of(&id).lock();
        *slot = slot.wrapping_add(1);
        match stored {
            Some(stored) => self.map.insert(id, stored),
            None => self.map.invalidate(&id),
        }
    }
}

impl Names {
    pub(super) fn new(names: u64) -> Self {
        Self { map: Map::new(names), slots: Slots::new() }
    }

    pub(super) fn get(&self, name: &Key) -> Option<[u8; 16]> {
        self.map.get(name)
    }

    /// To be called before reading from the store.
    pub(super) fn generation(&self, name: &Key) -> Generation {
        Generation(*self.slots.of(name).lock())
    }

    /// Keeps what a reader found, unless a writer came in between.
    pub(super) fn keep(&self, noted: Generation, name: Key, id: [u8; 16]) {
        let slot = self.slots.of(&name).lock();
        if *slot == noted.0 {
            self.map.insert(name, id);
        }
    }

    /// Follows a durable write.
    pub(super) fn follow(&self, name: Key, id: Option<[u8; 16]>) {
        let mut slot = self.slots.of(&name).lock();
        *slot = slot.wrapping_add(1);
        match id {
            Some(id) => self.map.insert(name, id),
            None => self.map.invalidate(&name),
        }
    }
}

impl Slots {
    fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Mutex::new(0)).collect(), hasher: std::hash::RandomState::new() }
    }

    fn of(&self, key: &[u8]) -> &Mutex<u64> {
        let at = self.hasher.hash_one(key) % SLOTS as u64;
        usize::try_from(at).ok().and_then(|at| self.slots.get(at)).expect("the remainder is below the number of slots")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Timestamp, engine::ports::Revision};

    fn stored(revision: u64) -> Arc<Stored<crate::domain::audit::AuditEvent>> {
        let record = crate::domain::audit::AuditEvent {
            id: [1; 16],
            time: Timestamp::from_seconds(1),
            request: String::new(),
            protocol: crate::domain::audit::Protocol::Internal,
            initiator: None,
            realm: None,
            project: None,
            address: None,
            operation: crate::domain::OperationKind::Query,
            targets: vec![],
            outcome: crate::domain::audit::Outcome::Success,
            recovered: false,
            http: None,
        };
        Arc::new(Stored { versioned: Versioned { record, revision: Revision(revision) }, head: vec![], pieces: 0 })
    }

    #[test]
    fn a_name_that_was_given_up_meanwhile_is_not_kept() {
        let (names, name) = (Names::new(10), vec![1]);
        let before = names.generation(&name);
        names.follow(name.clone(), Some([1; 16]));
        names.follow(name.clone(), None);
        names.keep(before, name.clone(), [1; 16]);
        assert_eq!(names.get(&name), None);
        names.keep(names.generation(&name), name.clone(), [2; 16]);
        assert_eq!(names.get(&name), Some([2; 16]));
    }

    #[test]
    fn a_reader_that_was_overtaken_keeps_nothing() {
        let cache = Cache::new(10);
        let before = cache.generation(&[1; 16]);
        cache.follow([1; 16], Some(stored(2)));
        cache.keep(before, &stored(1));
        assert_eq!(cache.get(&[1; 16]).unwrap().versioned.revision, Revision(2));
        let before = cache.generation(&[1; 16]);
        cache.follow([1; 16], None);
        cache.keep(before, &stored(2));
        assert!(cache.get(&[1; 16]).is_none());
    }
}
