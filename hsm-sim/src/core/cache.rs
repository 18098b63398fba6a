//! Decrypted token objects by handle, kept in step with other processes by the store's counter of changes.
//!
//! The cache is trusted at counter value `known` for entries seen at or after `floor`. A commit of our own moves `known`
//! along with the counter; any other movement is a foreign change and raises `floor`, so that each entry is compared with
//! its row's version before its next use. While the counter is odd a change is under way and every use is compared.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::RwLock;

use super::{hash::HandleMap, object::Object};
use crate::store::Commit;

/// The cache of one token.
pub(crate) struct Cache {
    bytes_max: usize,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    entries: HandleMap<Entry>,
    bytes: usize,
    known: u64,
    floor: u64,
}

struct Entry {
    object: Arc<Object>,
    seen: AtomicU64,
    is_used: AtomicBool,
}

/// What the cache has of a handle.
pub(crate) enum Lookup {
    /// As it is on disk.
    Fresh(Arc<Object>),
    /// As it was; its row's version tells whether it still is.
    Stale(Arc<Object>),
    /// Nothing.
    Missing,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: RwLock::default() }
    }

    /// Looks a handle up at a value of the counter that was loaded before.
    pub(crate) fn get(&self, handle: u64, counter: u64) -> Lookup {
        let mut state = self.state.read();
        if counter > state.known && counter.is_multiple_of(2) {
            drop(state);
            let mut writing = self.state.write();
            if counter > writing.known {
                writing.known = counter;
                writing.floor = counter;
            }
            drop(writing);
            state = self.state.read();
        }
        let Some(entry) = state.entries.get(&handle) else { return Lookup::Missing };
        entry.is_used.store(true, Ordering::Relaxed);
        let object = Arc::clone(&entry.object);
        if counter == state.known && entry.seen.load(Ordering::Relaxed) >= state.floor {
            Lookup::Fresh(object)
        } else {
            Lookup::Stale(object)
        }
    }

    /// Notes that an entry was found to be its row's version at a value of the counter.
    pub(crate) fn confirm(&self, handle: u64, counter: u64) {
        let state = self.state.read();
        if let Some(entry) = state.entries.get(&handle)
            && state.known == counter
        {
            entry.seen.store(counter, Ordering::Relaxed);
        }
    }

    /// Keeps an object that was read at a value of the counter, unless something has changed since.
    pub(crate) fn insert(&self, handle: u64, object: &Arc<Object>, counter: u64) {
        let mut state = self.state.write();
        if state.known == counter {
            state.put(handle, object, counter, self.bytes_max);
        }
    }

    /// Follows a commit of this process that changed (or, with `None`, deleted) the object.
    pub(crate) fn follow(&self, commit: Commit, handle: u64, object: Option<&Arc<Object>>) {
        let mut state = self.state.write();
        if state.known == commit.before {
            state.known = commit.after;
        }
        state.take(handle);
        if let Some(object) = object
            && state.known == commit.after
        {
            state.put(handle, object, commit.after, self.bytes_max);
        }
    }

    /// Forgets a handle.
    pub(crate) fn forget(&self, handle: u64) {
        self.state.write().take(handle);
    }

    /// Forgets private objects; their memory is wiped when the last operation lets go.
    pub(crate) fn forget_private(&self) {
        let mut state = self.state.write();
        state.entries.retain(|_, entry| !entry.object.is_private);
        state.bytes = state.entries.values().map(|entry| entry.object.bytes()).sum();
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let mut state = self.state.write();
        state.entries.clear();
        state.bytes = 0;
    }
}

impl State {
    fn take(&mut self, handle: u64) {
        if let Some(entry) = self.entries.remove(&handle) {
            self.bytes = self.bytes.saturating_sub(entry.object.bytes());
        }
    }

    fn put(&mut self, handle: u64, object: &Arc<Object>, counter: u64, bytes_max: usize) {
        self.take(handle);
        let bytes = object.bytes();
        if bytes > bytes_max {
            return;
        }
        // A second chance for what was used since the last sweep, then whatever is left goes.
        for _ in 0..2 {
            if self.bytes + bytes > bytes_max {
                self.entries.retain(|_, entry| entry.is_used.swap(false, Ordering::Relaxed));
                self.bytes = self.entries.values().map(|entry| entry.object.bytes()).sum();
            }
        }
        self.bytes += bytes;
        let entry = Entry { object: Arc::clone(object), seen: AtomicU64::new(counter), is_used: AtomicBool::new(true) };
        self.entries.insert(handle, entry);
    }
}

#[cfg(test)]
mod tests {
    use cryptoki_sys::*;

    use super::*;
    use crate::core::attributes::Attributes;

    fn object(label: &[u8]) -> Arc<Object> {
        let mut attributes = Attributes::default();
        attributes.set_ulong(CKA_CLASS, CKO_DATA);
        attributes.set(CKA_LABEL, label);
        Arc::new(Object::new([0; 16], 1, attributes).unwrap())
    }

    fn is_fresh(cache: &Cache, handle: u64, counter: u64) -> bool {
        matches!(cache.get(handle, counter), Lookup::Fresh(_))
    }

    #[test]
    fn a_foreign_change_makes_entries_stale_until_confirmed() {
        let cache = Cache::new(1 << 20);
        assert!(matches!(cache.get(1, 10), Lookup::Missing));
        cache.insert(1, &object(b"a"), 10);
        assert!(is_fresh(&cache, 1, 10));
        assert!(!is_fresh(&cache, 1, 11));
        assert!(!is_fresh(&cache, 1, 12));
        cache.confirm(1, 12);
        assert!(is_fresh(&cache, 1, 12));
    }

    #[test]
    fn an_own_change_leaves_the_others_fresh() {
        let cache = Cache::new(1 << 20);
        assert!(matches!(cache.get(1, 10), Lookup::Missing));
        cache.insert(1, &object(b"a"), 10);
        cache.insert(2, &object(b"b"), 10);
        cache.follow(Commit { before: 10, after: 12 }, 1, None);
        assert!(matches!(cache.get(1, 12), Lookup::Missing));
        assert!(is_fresh(&cache, 2, 12));
    }

    #[test]
    fn an_object_read_before_a_change_is_not_kept_after_it() {
        let cache = Cache::new(1 << 20);
        assert!(matches!(cache.get(1, 10), Lookup::Missing));
        cache.follow(Commit { before: 10, after: 12 }, 1, None);
        cache.insert(1, &object(b"a"), 10);
        assert!(matches!(cache.get(1, 12), Lookup::Missing));
    }

    #[test]
    fn the_cache_keeps_to_its_bytes() {
        let entry = object(&[0; 1000]);
        let cache = Cache::new(entry.bytes() * 3);
        assert!(matches!(cache.get(0, 0), Lookup::Missing));
        for handle in 0..100 {
            cache.insert(handle, &object(&[0; 1000]), 0);
        }
        let state = cache.state.read();
        assert!(state.bytes <= entry.bytes() * 3 && !state.entries.is_empty());
    }
}
