//! The metadata store: managed objects, groups, jobs, intents and owed audit records; never a value.
//!
//! [`RawStore::open`] gives the `Memory` port at once, because finding the HSM needs it; [`RawStore::unlock`] takes the MAC
//! key that the HSM gave and returns the [`Repository`]. Records carry a MAC under that key; indexes follow records in the
//! same batch (`record`, `index`, `batch`) and stand in blocks (`packed`, `blocks`). Engines stand behind [`backend::Backend`].
//!
//! A read that misses the cache may see a write whose sync is still running. If that sync fails, the store is unavailable
//! for good and the process ends.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc};

mod at_hand;
pub mod backend;
pub mod backup;
mod batch;
mod blocks;
mod cache;
mod changes;
mod check;
pub mod compaction;
mod counts;
mod found;
pub mod fuse;
mod index;
mod join;
pub mod journal;
mod mark;
pub mod memory;
mod older;
mod overlay;
pub mod packed;
mod pending;
mod pool;
mod record;
mod renewal;
mod repository;
pub mod sled;
mod tally;
mod terms;

pub use check::IndexCheck;
pub use mark::Mark;
pub use repository::Repository;

use self::{
    backend::{Backend, Condition, Key, RawBatch},
    mark::Marked,
    memory::MemoryBackend,
    packed::Packed,
    record::{Head, MacKey, Table},
    repository::{Rebuild, Shared},
    sled::{OnFatal, SledBackend, SledOptions},
};
use crate::{
    domain::SecretValue,
    engine::ports::{Memory, Revision, StoreError},
};

/// The store before its MAC key is known.
#[derive(Clone)]
pub struct RawStore {
    backend: Arc<dyn Backend>,
    marked: Marked,
}

/// Counts for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Objects by type name, whether destroyed, and whether compromised.
    pub objects: BTreeMap<(&'static str, bool, bool), u64>,
    /// Groups.
    pub groups: u64,
    /// Jobs.
    pub jobs: u64,
    /// Intents: requests that run, or that a crash cut short.
    pub intents: u64,
    /// Owed audit records.
    pub owed: u64,
    /// Bytes of the store's files.
    pub bytes_on_disk: u64,
}

/// Keys with their new values; `None` removes.
type Writes = Vec<(Key, Option<Vec<u8>>)>;

/// Which index entries and counts the records have: raised with each new table of them, so that older stores get theirs. While they are
/// being made, the last key that they have come to follows it in the store; while they are put into blocks, `CONVERTING`.
const INDEX_LAYOUT: u8 = 6;
/// The layout with the same entries, each a key of its own.
const SINGLE_KEYS: u8 = 5;
const CONVERTING: [u8; 2] = [u8::MAX, 0];
/// Keys of each fence: more than two of sled's leaves take.
const FENCE_KEYS: u8 = 34;

impl RawStore {
    /// Opens the store in the folder `path`, makes it when it is missing. `on_fatal` is called once when a disk error has
    /// made the store unavailable for good.
    ///
    /// # Errors
    ///
    /// `Unavailable` with what to do when the folder is in use or cannot be opened.
    pub fn open(path: &Path, options: SledOptions, on_fatal: OnFatal) -> Result<Self, StoreError> {
        let cannot = |what: &str, error: &dyn std::fmt::Display| {
            StoreError::Unavailable(format!("{}: {what}: {error}", path.display()))
        };
        renewal::tidy(path).map_err(|error| cannot("what a conversion left beside it cannot be removed", &error))?;
        let on_fatal = Arc::new(on_fatal);
        let open = || {
            let on_fatal = Arc::clone(&on_fatal);
            SledBackend::open(path, options.clone(), Box::new(move |reason| on_fatal(reason)))
        };
        let store = open()?;
        // Only what a store stands beside that opens: as long as it does not, nothing that could be of use goes.
        compaction::tidy(path);
        let Some(layout) = renewal::wanted(&store)? else { return Ok(Self::at(store, path)) };
        if let Err(error) = renewal::copy(path, &store, &options, layout) {
            tracing::warn!(%error, "the store cannot be copied: its index entries are moved in place, which leaves it larger");
            renewal::tidy(path).map_err(|error| cannot("the copy cannot be removed", &error))?;
            return Ok(Self::at(store, path));
        }
        drop(store);
        if let Err(error) = renewal::replace(path) {
            tracing::warn!(%error, "the copy of the store cannot take its place: its index entries are moved in place");
            renewal::tidy(path).map_err(|error| cannot("the copy cannot be removed", &error))?;
        }
        Ok(Self::at(open()?, path))
    }

    fn at(store: SledBackend, path: &Path) -> Self {
        Self { backend: Arc::new(store), marked: Marked::at(path) }
    }

    /// A store that ends with the process, for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::on(Arc::new(MemoryBackend::default()))
    }

    /// A store on an engine.
    #[must_use]
    pub fn on(backend: Arc<dyn Backend>) -> Self {
        Self { backend, marked: Marked::default() }
    }

    /// Opens the records with the key that authenticates them, 32 bytes. Blocks; a new store remembers the key's mark.
    ///
    /// # Errors
    ///
    /// `Corrupt` when this is not the key that the store was made with.
    pub fn unlock(&self, mac_key: &SecretValue) -> Result<Repository, StoreError> {
        let mac = MacKey::new(mac_key)?;
        // An engine that begins anew where its first pages are damaged must not be taken for a new store.
        if self.marked.is_there() && self.backend.get(&Table::Mark.key(&[]))?.is_none() {
            return Err(StoreError::Corrupt("its first pages are damaged: it has no mark any more".to_owned()));
        }
        let (key, layout) = (Table::KeyCheck.key(&[]), Table::IndexLayout.key(&[]));
        match self.backend.get(&key)? {
            Some(head) => {
                mac.open(&key, &Head::parse(&head)?, &[]).map_err(|_unfit| {
                    StoreError::Corrupt("the HSM's store key is not the one this store was made with".to_owned())
                })?;
            }
            None => {
                let mut writes = fences();
                writes.push((key.clone(), Some(mac.seal(&key, Revision(1), Vec::new(), 0)?.head)));
                writes.push((layout.clone(), Some(vec![INDEX_LAYOUT])));
                self.write(writes, vec![Condition { key, expected: None, otherwise: StoreError::Conflict }])?;
            }
        }
        match self.backend.get(&layout)?.as_deref() {
            Some([INDEX_LAYOUT]) => {}
            Some([newer, ..]) if *newer > INDEX_LAYOUT => {
                return Err(StoreError::Corrupt(format!(
                    "its indexes are of layout {newer}: this program knows {INDEX_LAYOUT}"
                )));
            }
            Some([SINGLE_KEYS]) => {
                // From now on no earlier program opens the store.
                let converting = [&[INDEX_LAYOUT], CONVERTING.as_slice()].concat();
                self.write(vec![(layout.clone(), Some(converting))], Vec::new())?;
                self.converted(layout)?;
            }
            Some([INDEX_LAYOUT, at @ ..]) if at == CONVERTING => self.converted(layout)?,
            older => {
                let done = older.and_then(|older| match older {
                    [INDEX_LAYOUT, done @ ..] => Some(done.to_vec()),
                    _ => None,
                });
                let write = |mut writes: Writes, done: &[u8]| {
                    writes.push((layout.clone(), Some([&[INDEX_LAYOUT], done].concat())));
                    self.write(writes, Vec::new())
                };
                let shared = Shared::new(Arc::clone(&self.backend), MacKey::new(mac_key)?);
                shared.entries_again(&Rebuild { done, write: &write })?;
                self.converted(layout)?;
            }
        }
        let packed = Packed::open(Arc::clone(&self.backend))?;
        let repository = Repository::new(Arc::new(packed), mac, self.marked.clone())?;
        if let Some(unchecked) = self.marked.unchecked() {
            checked(&repository)?;
            // What has vanished by itself is as good.
            fs::remove_file(&unchecked).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(StoreError::Unavailable(format!("{}: {error}", unchecked.display()))),
            })?;
        }
        Ok(repository)
    }

    /// Puts the index entries into blocks.
    fn converted(&self, layout: Key) -> Result<(), StoreError> {
        Packed::convert(&*self.backend)?;
        let mut writes = fences();
        writes.push((layout, Some(vec![INDEX_LAYOUT])));
        self.write(writes, Vec::new())
    }

    /// Writes and waits for it, on this thread.
    fn write(&self, writes: Writes, conditions: Vec<Condition>) -> Result<(), StoreError> {
        let batch = RawBatch { conditions, writes: writes.into_iter().collect(), merges: Vec::new() };
        committed(&*self.backend, batch)
    }
}

/// After a repair: every record is read, and records and index entries are compared both ways.
fn checked(repository: &Repository) -> Result<(), StoreError> {
    let check = repository.check(|_| {})?;
    let IndexCheck { records, damaged, missing, stray, miscounted, .. } = &check;
    if !check.is_sound() {
        return Err(StoreError::Corrupt(format!(
            "a half-written snapshot was taken away, and what is left does not agree: {} records cannot be read, {} index entries \
             are missing, {} belong to no record, {} counts are wrong; the copy from before is beside it",
            damaged.len(),
            missing.len(),
            stray.len(),
            miscounted.len()
        )));
    }
    tracing::info!(records, "a half-written snapshot was taken away, and everything was compared: the store is whole");
    Ok(())
}

/// Commits a batch and waits for it, on this thread.
fn committed(backend: &dyn Backend, batch: RawBatch) -> Result<(), StoreError> {
    let (answer, answered) = std::sync::mpsc::sync_channel(1);
    // The receiver waits below; if the engine drops the callback, `recv` says so.
    backend.commit(batch, Box::new(move |result| drop(answer.send(result))));
    answered.recv().map_err(|_dropped| StoreError::Unavailable("the writer thread has ended".to_owned()))?
}

/// The fact that finds out whether the store takes writes; no backup has it.
pub const PROBE: &str = "store-probe";

/// Keys that stand between the tables and never change. sled rewrites a whole leaf after ten changes of it, and a leaf takes
/// up to sixteen neighbours: the fences keep large records out of the leaves that change with every request.
fn fences() -> Writes {
    let tables = [Table::FenceLow, Table::FenceHigh, Table::FenceRecords, Table::FenceJournal];
    tables.iter().flat_map(|table| (0..FENCE_KEYS).map(|at| (table.key(&[&[at]]), Some(Vec::new())))).collect()
}

impl Memory for RawStore {
    fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(stored) = self.backend.get(&index::fact(name))? else { return Ok(None) };
        let damaged = || StoreError::Corrupt(format!("the fact {name:?}"));
        let (sum, fact) = stored.split_first_chunk::<8>().ok_or_else(damaged)?;
        if *sum == checksum(name, fact) { Ok(Some(fact.to_vec())) } else { Err(damaged()) }
    }

    fn remember(&self, name: &str, fact: &[u8]) -> Result<(), StoreError> {
        if fact.len() + 8 > record::PIECE_BYTES {
            return Err(StoreError::TooLarge);
        }
        let value = [checksum(name, fact).as_slice(), fact].concat();
        self.write(vec![(index::fact(name), Some(value))], Vec::new())
    }
}

/// Tells a damaged fact; facts are needed before there is a key that could authenticate them.
fn checksum(name: &str, fact: &[u8]) -> [u8; 8] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(&(name.len() as u64).to_be_bytes());
    context.update(name.as_bytes());
    context.update(fact);
    *context.finish().as_ref().first_chunk().expect("a SHA-256 digest has 32 bytes")
}
