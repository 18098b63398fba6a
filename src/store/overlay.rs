//! A snapshot of sled, which has none: what a batch replaces while one is read is kept for it.
//!
//! The reader walks the keys upwards. Before the writer changes a key that the reader has not come to, it lays the old value
//! aside; the reader takes that one. Both hold one lock, the writer over a batch and the reader over a step, so the snapshot
//! has every batch as a whole or not at all.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use sled::Db;

use super::{
    backend::{Key, KeyRange, Pair, Snapshot},
    memory::is_empty,
    sled::unreadable,
};
use crate::engine::ports::StoreError;

/// What is kept for the snapshot that is being read, if there is one.
#[derive(Clone, Default)]
pub(super) struct Overlays(Arc<Mutex<Option<Overlay>>>);

/// What the reader will need of the keys that have changed since it began.
#[derive(Default)]
pub(super) struct Overlay {
    /// The last key that was read; what lies up to it is not needed any more.
    done: Option<Key>,
    before: BTreeMap<Key, Option<Vec<u8>>>,
}

impl Overlays {
    /// Keeps what stands under these keys; they may be changed while the answer is held.
    pub(super) fn before<'a>(
        &self,
        db: &Db,
        keys: impl Iterator<Item = &'a Key>,
    ) -> sled::Result<MutexGuard<'_, Option<Overlay>>> {
        let mut running = self.0.lock();
        if let Some(overlay) = running.as_mut() {
            for key in keys {
                if overlay.done.as_ref().is_none_or(|done| key > done) && !overlay.before.contains_key(key) {
                    overlay.before.insert(key.clone(), db.get(key)?.map(|value| value.to_vec()));
                }
            }
        }
        Ok(running)
    }
}

/// The state of one moment.
pub(super) struct Frozen {
    db: Db,
    overlays: Overlays,
}

impl Frozen {
    /// The state of this moment; `None` while another one is being read.
    pub(super) fn begin(db: Db, overlays: &Overlays) -> Option<Self> {
        let mut running = overlays.0.lock();
        if running.is_some() {
            return None;
        }
        *running = Some(Overlay::default());
        drop(running);
        Some(Self { db, overlays: overlays.clone() })
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        *self.overlays.0.lock() = None;
    }
}

impl Snapshot for Frozen {
    fn read(&mut self, range: &KeyRange, limit: usize) -> Result<(Vec<Pair>, Option<Key>), StoreError> {
        if is_empty(range) {
            return Ok((Vec::new(), None));
        }
        let mut running = self.overlays.0.lock();
        let pairs = self.db.range::<Key, _>((range.start.clone(), range.end.clone())).take(limit);
        let mut found = BTreeMap::new();
        for pair in pairs {
            let (key, value) = pair.map_err(|error| unreadable(&error))?;
            found.insert(key.to_vec(), value.to_vec());
        }
        let next = if found.len() == limit { found.last_key_value().map(|(key, _)| key.clone()) } else { None };
        if let Some(overlay) = running.as_mut() {
            let end = next.clone().map_or_else(|| range.end.clone(), Bound::Included);
            let step = KeyRange { start: range.start.clone(), end };
            if !is_empty(&step) {
                for (key, before) in overlay.before.range((step.start, step.end.clone())) {
                    match before {
                        Some(value) => drop(found.insert(key.clone(), value.clone())),
                        None => drop(found.remove(key)),
                    }
                }
            }
            // What ends before an excluded bound is forgotten with the next step.
            if let Some(done) = &next {
                overlay.before = overlay.before.split_off(done);
                overlay.before.remove(done);
                overlay.done = Some(done.clone());
            }
        }
        Ok((found.into_iter().collect(), next))
    }
}
