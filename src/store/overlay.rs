//! A snapshot of sled, which has none: what a batch replaces while one is read is kept for it.
//!
//! The reader walks the keys upwards. Before the writer changes a key that the reader has not come to, it lays the old value
//! aside; the reader takes that one. Both hold one lock, the writer over a batch and the reader over a step, so the snapshot
//! has every batch as a whole or not at all.

use std::{collections::BTreeMap, mem::ManuallyDrop, ops::Bound, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use sled::Db;

use super::{
    backend::{Key, KeyRange, Pair, Snapshot},
    fuse::Fuse,
    memory::is_empty,
    sled::Opened,
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

/// How often who waits for the lock looks whether the engine still works: the other side may hold it for ever when it does not.
const LOOKED_EVERY: Duration = Duration::from_millis(100);

impl Overlays {
    fn lock(&self, engine: &Fuse) -> Result<MutexGuard<'_, Option<Overlay>>, StoreError> {
        loop {
            engine.check()?;
            if let Some(running) = self.0.try_lock_for(LOOKED_EVERY) {
                return Ok(running);
            }
        }
    }

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
    db: Arc<Opened>,
    overlays: Overlays,
    engine: Arc<Fuse>,
}

impl Frozen {
    /// The state of this moment; `Conflict` while another one is being read.
    pub(super) fn begin(
        db: impl FnOnce() -> Result<Arc<Opened>, StoreError>,
        overlays: &Overlays,
        engine: &Arc<Fuse>,
    ) -> Result<Self, StoreError> {
        let mut running = overlays.lock(engine)?;
        if running.is_some() {
            return Err(StoreError::Conflict);
        }
        // Under the lock: nothing is written into another engine, which a compaction has exchanged for it, before this one is noted.
        let db = db()?;
        *running = Some(Overlay::default());
        drop(running);
        Ok(Self { db, overlays: overlays.clone(), engine: Arc::clone(engine) })
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        match self.overlays.lock(&self.engine) {
            Ok(mut running) => *running = None,
            // Nothing will be written any more, and nothing waited for.
            Err(_failed) => {
                let _kept_open = ManuallyDrop::new(self.db.clone());
            }
        }
    }
}

impl Snapshot for Frozen {
    fn read(&mut self, range: &KeyRange, limit: usize) -> Result<(Vec<Pair>, Option<Key>), StoreError> {
        if is_empty(range) {
            return Ok((Vec::new(), None));
        }
        let mut running = self.overlays.lock(&self.engine)?;
        let mut found: BTreeMap<Key, Vec<u8>> = self.engine.call(|| {
            let pairs = self.db.range::<Key, _>((range.start.clone(), range.end.clone())).take(limit);
            pairs.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
        })?;
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
