//! The default engine: sled 0.34.7, one tree, one writer thread.
//!
//! sled's own flush is `pwrite` and `sync_file_range`: it reaches neither the disk's cache nor the file's metadata, and a
//! power cut then loses acknowledged records. So a commit is: check conditions, write the group to the journal of changes
//! (`journal`) and sync that, lay it over the tree (`pending`), acknowledge. Batches that wait while a sync runs share the next one. The
//! tree takes in many groups at once, a little later, by `apply_batch`, flush, and **our own `fdatasync` on a second descriptor of the
//! `db` file**; without a journal it does so with each group, before the answer. Values stay ≤ 4 KiB (the caller cuts them), because larger tree nodes go to files that
//! the second descriptor does not cover. sled's periodic flush stays on, since its garbage collection runs in that thread. An
//! error is final: a failed sync is never tried again, because the kernel may have dropped the pages; the process must end and
//! start from the disk.

use std::{
    fs::{self, File},
    io,
    mem::ManuallyDrop,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, RwLock};
use rustix::fs::FallocateFlags;
use sled::Db;

use super::{
    backend::{Backend, Direction, Done, Key, KeyRange, Pair, RawBatch, Snapshot},
    compaction::{self, CompactError, Compacted, Exchanged, NotExchanged, Ready, Telling},
    fuse::{Fuse, caught},
    journal::{self, Changes, Journal, JournalCheck, JournalOptions, JournalStatus, NotWritten, Position},
    memory::is_empty,
    overlay::{Frozen, Overlays},
    pending::{self, Pending},
};
use crate::engine::ports::StoreError;

/// Called with the seconds of a group commit and the number of batches in it.
pub type Observer = Arc<dyn Fn(Duration, usize) + Send + Sync>;

/// Called once, with the reason, when the store has become unavailable for good.
pub type OnFatal = Box<dyn Fn(&str) + Send + Sync>;

/// How the store is opened.
#[derive(Clone)]
pub struct SledOptions {
    /// sled's page cache, as long as its pages are on disk: in memory they take up to three times as much.
    pub cache_bytes: u64,
    /// No commits are taken when less than this is free on the file system.
    pub free_bytes_min: u64,
    /// Takes a network file system too, where a sync may promise more than it keeps.
    pub any_file_system: bool,
    /// The file is made longer by this much ahead of what is written, so that a commit need not wait for the file system to
    /// find room; 0 for never.
    pub reserve_bytes: u64,
    /// Told about each group commit.
    pub observer: Option<Observer>,
    /// How the journal of changes is kept; `None` for a store that is being made and that nothing depends on yet.
    pub journal: Option<JournalOptions>,
    /// How many bytes are free, where that is not asked of the file system.
    pub free: Option<Free>,
}

/// Says how many bytes are free.
pub type Free = Arc<dyn Fn() -> u64 + Send + Sync>;

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 24 << 20,
            free_bytes_min: 64 << 20,
            any_file_system: false,
            reserve_bytes: 4 << 20,
            observer: None,
            journal: Some(JournalOptions::default()),
            free: None,
        }
    }
}

impl SledOptions {
    /// How many bytes are free where a file stands.
    pub(super) fn free_bytes(&self, file: &File) -> io::Result<u64> {
        self.free.as_ref().map_or_else(|| free_bytes(file), |free| Ok(free()))
    }
}

/// sled with our own durability.
pub struct SledBackend {
    /// There until this is dropped; a compaction puts another one in its place.
    current: Arc<ArcSwapOption<Opened>>,
    pub(super) state: Arc<Fuse>,
    status: Arc<RwLock<Option<JournalStatus>>>,
    pending: Pending,
    pub(super) overlays: Overlays,
    queue: Option<flume::Sender<Task>>,
    writer: Option<JoinHandle<()>>,
    pub(super) path: PathBuf,
    pub(super) options: SledOptions,
    /// Held by the one compaction that there may be.
    pub(super) compacting: Mutex<()>,
}

/// sled on its files.
pub(super) struct Opened {
    db: Db,
    /// The folder, where sled finds it by this descriptor: it may get another name.
    folder: Option<File>,
}

impl Opened {
    /// The folder around the files, for what is asked of the file system.
    pub(super) fn folder_of(&self, path: &Path) -> io::Result<File> {
        self.folder.as_ref().map_or_else(|| File::open(path), File::try_clone)
    }
}

impl Deref for Opened {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

enum Task {
    Commit(RawBatch, Done),
    Remove(Key),
    /// The tree is to have everything.
    Follow(Done),
    Prune(Position),
    Exchange(Box<Ready>, flume::Sender<Result<Exchanged, StoreError>>),
}

/// Waiting batches that are taken into one group.
const GROUP_MAX: usize = 256;
/// Keys of waiting batches that are taken into one group; the tree is locked while they are applied.
const GROUP_KEYS: usize = 4_096;
/// Groups of so many keys leave nothing behind.
const SMALL_BATCH: usize = 32;
/// After this much quiet, lazy removals are committed by themselves, and the tree takes in what it lacks.
const IDLE: Duration = Duration::from_secs(1);
/// How often the free space is looked at.
const SPACE_EVERY: Duration = Duration::from_secs(1);
/// How long the end of another process is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// sled's segment: a tree node of 17 values of 4 KiB must fit into a quarter of it.
const SEGMENT_BYTES: usize = 512 * 1024;
/// The tree follows when the journal is so far ahead of it: at first, at least, and at most. What sled writes for that may be some
/// times as much; the number is moved so that it is no more than half a segment.
const AHEAD_BYTES: u64 = 64 << 10;
const AHEAD_BYTES_MIN: u64 = 1 << 10;
const AHEAD_BYTES_MAX: u64 = 1 << 20;

impl SledBackend {
    /// Opens the store in the folder `path`, makes it when it is missing.
    ///
    /// # Errors
    ///
    /// `Unavailable` with what to do when the folder is in use or cannot be opened.
    pub fn open(path: &Path, options: SledOptions, on_fatal: OnFatal) -> Result<Self, StoreError> {
        make_private_folder(path).map_err(|error| cannot_open(path, &error))?;
        if !options.any_file_system {
            check_file_system(path)?;
        }
        let kept = journal::folder(path);
        if options.journal.is_some() && !path.join("db").exists() && journal::has_records(&kept)? {
            return Err(StoreError::Journal(format!(
                "{}: it has changes, and the store's file is gone",
                kept.display()
            )));
        }
        let (db, state) = open_or_repair(path, options.cache_bytes)?;
        let db = Arc::new(Opened { db, folder: None });
        let current = Arc::new(ArcSwapOption::new(Some(Arc::clone(&db))));
        let kept_options = options.clone();
        let journal = options.journal.map(|options| {
            let (db, kept) = (Arc::clone(&db), kept);
            // What follows in the journal is applied here, which is the engine's work as well.
            state.bounded("store-open", move || with_journal(&db, &kept, options))
        });
        let journal = journal.transpose().inspect_err(|_error| {
            if state.check().is_err() {
                let _kept_open = ManuallyDrop::new(db.clone());
            }
        })?;
        let file = path.join("db");
        let barrier = File::options().read(true).write(true).open(&file).map_err(|error| cannot_open(&file, &error))?;
        // What sled's own recovery has written, and the names of the files, must be on disk before the first answer.
        barrier.sync_all().and_then(|()| File::open(path)?.sync_all()).map_err(|error| cannot_open(path, &error))?;
        let status = Arc::new(RwLock::new(journal.as_ref().map(Journal::status)));
        state.arm(on_fatal)?;
        let (queue, tasks) = flume::unbounded();
        let (overlays, pending) = (Overlays::default(), Pending::default());
        let mut writer = Writer {
            db,
            pending: pending.clone(),
            current: Arc::clone(&current),
            overlays: overlays.clone(),
            barrier,
            journal,
            status: Arc::clone(&status),
            state: Arc::clone(&state),
            free_bytes_min: options.free_bytes_min,
            free: options.free,
            free_checked: None,
            reserve: Reserve { bytes: options.reserve_bytes, end: 0 },
            observer: options.observer,
            removals: Vec::new(),
            ahead_max: AHEAD_BYTES,
        };
        writer.tend();
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&tasks))
            .map_err(|error| cannot_open(path, &error))?;
        Ok(Self {
            current,
            state,
            status,
            pending,
            overlays,
            queue: Some(queue),
            writer: Some(writer),
            path: path.to_path_buf(),
            options: kept_options,
            compacting: Mutex::default(),
        })
    }

    /// The engine of this moment: to be asked for anew with each call.
    pub(super) fn db(&self) -> Result<Arc<Opened>, StoreError> {
        self.state.check()?;
        self.current.load_full().ok_or_else(|| StoreError::Unavailable("the store is closed".to_owned()))
    }

    /// Has the writer give the tree all that was acknowledged.
    pub(super) fn followed(&self) -> Result<(), StoreError> {
        let (answer, answered) = flume::bounded(1);
        let done = self.state.covered(Box::new(move |result| drop(answer.send(result))));
        let ended = || StoreError::Unavailable("the writer thread has ended".to_owned());
        self.send(Task::Follow(done)).map_err(|_ended| ended())?;
        answered.recv().map_err(|_dropped| ended())?
    }

    /// Has the writer put a copy in the place of the engine.
    pub(super) fn exchange(&self, ready: Ready) -> Result<Exchanged, StoreError> {
        let (answer, answered) = flume::bounded(1);
        let ended = || StoreError::Unavailable("the writer thread has ended".to_owned());
        self.send(Task::Exchange(Box::new(ready), answer)).map_err(|_ended| ended())?;
        answered.recv().map_err(|_dropped| ended())?
    }

    fn send(&self, task: Task) -> Result<(), Task> {
        match &self.queue {
            Some(queue) => queue.send(task).map_err(flume::SendError::into_inner),
            None => Err(task),
        }
    }
}

impl Backend for SledBackend {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.state.check()?;
        // In this order: what is not laid over the tree any more is in the one of this moment.
        if let Some(found) = self.pending.get(key) {
            return Ok(found);
        }
        let db = self.db()?;
        self.state.call(|| Ok(db.get(key)?.map(|value| value.to_vec())))
    }

    fn scan(&self, range: &KeyRange, direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError> {
        self.state.check()?;
        if is_empty(range) {
            return Ok(Vec::new());
        }
        // Held meanwhile, so that nothing goes from there to where the reader was already.
        let pending = self.pending.read();
        let db = self.db()?;
        self.state.call(|| pending::scan(&pending, &db, range, direction, limit))
    }

    fn commit(&self, batch: RawBatch, done: Done) {
        let done = self.state.covered(done);
        if let Err(Task::Commit(_, done)) = self.send(Task::Commit(batch, done)) {
            done(Err(self.state.fail("the writer thread has ended".to_owned())));
        }
    }

    fn remove_lazily(&self, key: Key) {
        // Losing this is harmless by contract, and a writer that has ended has said so already.
        drop(self.send(Task::Remove(key)));
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.followed()?;
        let frozen = Frozen::begin(|| self.db(), &self.overlays, &self.state)?;
        Ok(Box::new(frozen))
    }

    fn bytes_on_disk(&self) -> u64 {
        self.db().ok().and_then(|db| db.size_on_disk().ok()).unwrap_or(0)
    }

    fn compact(&self, tell: Telling<'_>) -> Result<Compacted, CompactError> {
        compaction::compact(self, tell)
    }

    fn fuse(&self) -> Option<&Arc<Fuse>> {
        Some(&self.state)
    }

    fn journal(&self) -> Option<JournalStatus> {
        *self.status.read()
    }

    fn check_journal(&self) -> Option<JournalCheck> {
        self.journal()?;
        Some(journal::check(&journal::folder(&self.path), || self.journal()))
    }

    fn prune_journal(&self, to: Position) {
        // A writer that has ended has said so already, and the next backup asks again.
        drop(self.send(Task::Prune(to)));
    }
}

impl Drop for SledBackend {
    fn drop(&mut self) {
        drop(self.queue.take());
        let (writer, db) = (self.writer.take(), self.current.swap(None));
        if self.state.check().is_err() {
            // Letting go of the last one waits for sled's threads, which may have ended.
            let _kept_open = ManuallyDrop::new(db);
            return;
        }
        let closed = self.state.bounded("store-close", move || {
            let ended = writer.map_or(Ok(()), JoinHandle::join);
            drop(db);
            ended.map_err(|_panicked| StoreError::Unavailable("the writer thread panicked".to_owned()))
        });
        if let Err(error) = closed {
            tracing::error!(%error, "the store is not closed as it should be");
        }
    }
}

/// The only thread that writes.
struct Writer {
    db: Arc<Opened>,
    /// What readers use: the same.
    current: Arc<ArcSwapOption<Opened>>,
    pending: Pending,
    overlays: Overlays,
    barrier: File,
    journal: Option<Journal>,
    status: Arc<RwLock<Option<JournalStatus>>>,
    state: Arc<Fuse>,
    free_bytes_min: u64,
    free: Option<Free>,
    free_checked: Option<(Instant, Result<(), StoreError>)>,
    reserve: Reserve,
    observer: Option<Observer>,
    removals: Vec<Key>,
    /// How far the journal may be ahead of the tree on disk.
    ahead_max: u64,
}

/// Room in the file ahead of what sled has written. sled takes a tail of zeros for unused segments.
struct Reserve {
    bytes: u64,
    /// The length the file was given last.
    end: u64,
}

impl Reserve {
    /// Makes room again when sled has written past it, or has cut it off while it cleaned up.
    fn renew(&mut self, file: &File) {
        let renewed = match file.metadata() {
            _ if self.bytes == 0 => return,
            Ok(metadata) if metadata.len() == self.end => return,
            // Never `set_len`: sled writes meanwhile, and `fallocate` cannot make a file shorter.
            Ok(metadata) => rustix::fs::fallocate(file, FallocateFlags::empty(), metadata.len(), self.bytes)
                .map(|()| self.end = metadata.len().saturating_add(self.bytes))
                .map_err(io::Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = renewed {
            tracing::debug!(%error, "no room is kept ahead of the store's file: commits may take longer");
            self.bytes = 0;
        }
    }
}

impl Writer {
    fn run(&mut self, tasks: &flume::Receiver<Task>) {
        // Nobody may believe that commits still happen.
        if let Err(panicked) = caught(|| self.work(tasks)) {
            self.state.fail(format!("the writer thread has ended: {panicked}"));
        }
        if self.state.check().is_err() {
            let _kept_open = ManuallyDrop::new(self.db.clone());
        }
    }

    fn work(&mut self, tasks: &flume::Receiver<Task>) {
        loop {
            let first = if self.removals.is_empty() && self.pending.is_empty() {
                tasks.recv().map_err(|_ended| flume::RecvTimeoutError::Disconnected)
            } else {
                tasks.recv_timeout(IDLE)
            };
            match first {
                Ok(first) => self.group(std::iter::once(first).chain(tasks.try_iter())),
                Err(flume::RecvTimeoutError::Timeout) => self.rest(),
                Err(flume::RecvTimeoutError::Disconnected) => return self.rest(),
            }
        }
    }

    /// Leaves nothing for later.
    fn rest(&mut self) {
        if !self.removals.is_empty() {
            self.settle(Changes::new(), Vec::new());
        }
        if !self.pending.is_empty() {
            self.follow();
        }
    }

    /// Takes what waits into one group, then settles it with one sync.
    fn group(&mut self, tasks: impl Iterator<Item = Task>) {
        let (mut group, mut taken) = (Changes::new(), Vec::new());
        let mut exchange = None;
        for task in tasks {
            match task {
                // When everything before it is settled.
                Task::Exchange(ready, answer) => {
                    exchange = Some((ready, answer));
                    break;
                }
                Task::Remove(key) => self.removals.push(key),
                Task::Follow(done) => {
                    self.follow();
                    done(self.state.check());
                }
                Task::Prune(to) => self.prune(to),
                Task::Commit(batch, done) => match self.take(&mut group, batch) {
                    Ok(()) => taken.push(done),
                    Err(error) => done(Err(error)),
                },
            }
            if taken.len() >= GROUP_MAX || group.len() >= GROUP_KEYS {
                break;
            }
        }
        if !taken.is_empty() {
            self.settle(group, taken);
        }
        if let Some((ready, answer)) = exchange {
            // Who has asked and does not wait any more has ended with the process.
            drop(answer.send(self.exchange(*ready)));
        }
    }

    /// Puts a copy that has everything in the place of the engine.
    fn exchange(&mut self, ready: Ready) -> Result<Exchanged, StoreError> {
        let began = Instant::now();
        // The copy has all that stands in the journal, so that nothing must be left over it.
        self.follow();
        self.state.check()?;
        let Some(last) = self.journal.as_ref().map(|journal| journal.status().last) else {
            return Err(StoreError::Journal("there is none".to_owned()));
        };
        let (engine, barrier, groups) = ready.exchange(last).map_err(|error| match error {
            NotExchanged::Before(error) => error,
            NotExchanged::After(reason) => self.state.fail(reason),
        })?;
        self.barrier = barrier;
        self.reserve.end = 0;
        self.current.store(Some(Arc::clone(&engine)));
        let old = std::mem::replace(&mut self.db, engine);
        Ok(Exchanged { old, groups, paused: began.elapsed() })
    }

    /// Adds a batch to the group whose changes it follows; one that is refused leaves nothing in it.
    fn take(&mut self, group: &mut Changes, batch: RawBatch) -> Result<(), StoreError> {
        self.state.check()?;
        for condition in &batch.conditions {
            if self.value(group, &condition.key)? != condition.expected {
                return Err(condition.otherwise.clone());
            }
        }
        self.check_space()?;
        let changes = batch.resolved(|key| self.value(group, key))?;
        group.extend(changes);
        Ok(())
    }

    /// What a key has after the group.
    fn value(&self, group: &Changes, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(value) = group.get(key) {
            return Ok(value.clone());
        }
        if let Some(value) = self.pending.get(key) {
            return Ok(value);
        }
        let value = self.db.get(key).map_err(|error| self.state.fail(format!("reading failed: {error}")))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn check_space(&mut self) -> Result<(), StoreError> {
        match &self.free_checked {
            Some((when, result)) if when.elapsed() < SPACE_EVERY => result.clone(),
            _ => {
                let free = match &self.free {
                    Some(free) => Ok(free()),
                    None => free_bytes(&self.barrier).map_err(|error| self.state.fail(format!("fstatvfs: {error}"))),
                };
                let result = free.and_then(|free| match free < self.free_bytes_min {
                    true => Err(StoreError::Full(format!(
                        "only {free} bytes are free on the store's file system: make room, {} are needed",
                        self.free_bytes_min
                    ))),
                    false => Ok(()),
                });
                self.free_checked = Some((Instant::now(), result.clone()));
                result
            }
        }
    }

    /// Applies changes to the tree as a whole; how many there are.
    fn apply(&self, changes: &Changes) -> Result<usize, StoreError> {
        // Held until they are applied: a snapshot begins before them or after them.
        let kept = self.overlays.before(&self.db, changes.keys());
        let _kept = kept.map_err(|error| self.state.fail(format!("reading failed: {error}")))?;
        let applied = self.db.apply_batch(together(changes));
        applied.map(|()| changes.len()).map_err(|error| self.state.fail(format!("writing failed: {error}")))
    }

    /// Makes a group durable and says so.
    fn settle(&mut self, group: Changes, taken: Vec<Done>) {
        let started = Instant::now();
        let result = self.state.check().and_then(|()| self.write(group));
        if result.is_ok()
            && let Some(observer) = &self.observer
        {
            observer(started.elapsed(), taken.len());
        }
        self.tell();
        for done in taken {
            done(result.clone());
        }
        self.tend();
    }

    /// Makes sled free what a large batch has replaced: it does so a little at a time, with every use of the tree, and a batch is one
    /// use however large it is. Loading a million objects by the hundred took more than a gigabyte.
    fn look_around(&self, keys: usize) {
        for _ in 0..if keys > SMALL_BATCH { keys / 2 } else { 0 } {
            // What it finds does not matter, nor whether it can look.
            drop(self.db.contains_key([]));
        }
    }

    /// Writes a group to the journal; the tree is given it later, unless there is no journal.
    fn write(&mut self, mut group: Changes) -> Result<(), StoreError> {
        let removals = std::mem::take(&mut self.removals);
        group.extend(removals.iter().map(|key| (key.clone(), None)));
        if let Some(journal) = self.journal.as_mut().filter(|_| !group.is_empty()) {
            match journal.append(&group) {
                Ok(noted) => group.extend(noted),
                Err(NotWritten::Full(what)) => {
                    self.removals = removals;
                    return Err(StoreError::Full(what));
                }
                Err(NotWritten::Failed(what)) => return Err(self.state.fail(what)),
            }
            let synced = journal.sync();
            synced.map_err(|error| self.state.fail(format!("fdatasync of the journal failed: {error}")))?;
            self.pending.add(group);
            return Ok(());
        }
        let keys = self.apply(&group)?;
        self.sync()?;
        self.look_around(keys);
        Ok(())
    }

    /// Brings the tree to the disk; how much sled has written for that.
    fn sync(&self) -> Result<usize, StoreError> {
        let written = self.db.flush().map_err(|error| self.state.fail(format!("flushing failed: {error}")))?;
        self.barrier.sync_data().map_err(|error| self.state.fail(format!("fdatasync failed: {error}")))?;
        Ok(written)
    }

    /// Brings the tree to where the journal is, on disk.
    ///
    /// sled writes over a segment when all that stood there was written anew, the last of it at least a whole segment ago. It takes that
    /// for durable, and a power cut must not prove it wrong: so it is synced within each segment.
    fn follow(&mut self) {
        // An error has blown the fuse, and what comes next will find that.
        let Ok((keys, written)) = self.state.check().and_then(|()| self.take_in()) else { return };
        self.look_around(keys);
        if let Some(journal) = &mut self.journal {
            journal.is_followed();
        }
        if written > SEGMENT_BYTES / 2 {
            self.ahead_max = (self.ahead_max / 2).max(AHEAD_BYTES_MIN);
        } else if written < SEGMENT_BYTES / 8 {
            self.ahead_max = (self.ahead_max * 2).min(AHEAD_BYTES_MAX);
        }
    }

    /// Gives the tree what it lacks; how many keys these were, and what sled has written.
    fn take_in(&self) -> Result<(usize, usize), StoreError> {
        let keys = self.apply(&self.pending.read())?;
        self.pending.clear();
        Ok((keys, self.sync()?))
    }

    /// What is done when nobody waits.
    fn tend(&mut self) {
        if self.journal.as_ref().is_some_and(|journal| journal.is_ahead(self.ahead_max)) {
            self.follow();
        }
        self.reserve.renew(&self.barrier);
        if let Some(journal) = &mut self.journal {
            if let Err(error) = journal.tend() {
                tracing::warn!(%error, "the next file of the store's journal cannot be made: this one grows");
            }
            self.tell();
        }
    }

    /// Shows how far the journal is.
    fn tell(&self) {
        if let Some(journal) = &self.journal {
            *self.status.write() = Some(journal.status());
        }
    }

    fn prune(&mut self, to: Position) {
        if let Some(journal) = &mut self.journal {
            if let Err(error) = journal.prune(to) {
                tracing::warn!(%error, "what a backup has of the store's journal is not removed");
            }
            self.tell();
        }
    }
}

/// Changes as sled takes them.
fn together(changes: &Changes) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(key.as_slice(), value.as_slice()),
            None => batch.remove(key.as_slice()),
        }
    }
    batch
}

/// Opens the journal, and brings the tree to where it is.
fn with_journal(db: &Db, folder: &Path, options: JournalOptions) -> Result<Journal, StoreError> {
    let failed = |error: sled::Error| cannot_open(folder, &error);
    let get = |key: &[u8]| db.get(key).map(|value| value.map(|value| value.to_vec())).map_err(failed);
    let mut apply = |changes: Changes| db.apply_batch(together(&changes)).map_err(failed);
    let journal = Journal::open(folder, options, &get, &mut apply)?;
    db.flush().map_err(failed)?;
    Ok(journal)
}

/// File systems of other machines, by `f_type` of statfs(2).
const NETWORK_FILE_SYSTEMS: &[(u32, &str)] = &[
    (0x0000_517B, "SMB"),
    (0x0000_564C, "NCP"),
    (0x0000_6969, "NFS"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x7375_7245, "Coda"),
    (0xFE53_4D42, "SMB2"),
    (0xFF53_4D42, "CIFS"),
];

fn check_file_system(path: &Path) -> Result<(), StoreError> {
    let kind = rustix::fs::statfs(path).map_err(|error| cannot_open(path, &error))?.f_type;
    match network_file_system(i128::from(kind)) {
        Some(name) => Err(StoreError::Unavailable(format!(
            "{} is on a network file system ({name}), where a sync does not reach a disk for sure: use a local one",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// The kernel's number is 32 bits wide, whatever the type is and its sign.
fn network_file_system(kind: i128) -> Option<&'static str> {
    let number = u32::try_from(kind & 0xFFFF_FFFF).ok()?;
    NETWORK_FILE_SYSTEMS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

fn free_bytes(file: &File) -> io::Result<u64> {
    let space = rustix::fs::fstatvfs(file)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

fn config(path: &Path, cache_bytes: u64) -> sled::Config {
    sled::Config::new()
        .path(path)
        .cache_capacity(cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(Some(200))
        .mode(sled::Mode::LowSpace)
}

/// Opens sled; a snapshot that a crash left half-written makes it refuse, and only that file is in the way.
fn open_or_repair(path: &Path, cache_bytes: u64) -> Result<(Db, Arc<Fuse>), StoreError> {
    let config = config(path, cache_bytes);
    let started = Instant::now();
    let error = loop {
        match opened(&config) {
            Ok(opened) => return Ok(opened),
            Err(error) if !error.to_string().contains("could not acquire lock") => break error,
            // The process that was stopped for this one may not have ended yet.
            Err(_locked) if started.elapsed() < LOCK_PATIENCE => thread::sleep(Duration::from_millis(50)),
            Err(_locked) => {
                return Err(StoreError::Unavailable(format!(
                    "the store folder {} is in use by another process: stop that process, or give this one a folder of its own",
                    path.display()
                )));
            }
        }
    };
    let unfinished = unfinished_snapshots(path).map_err(|error| cannot_open(path, &error))?;
    if unfinished.is_empty() {
        return Err(error);
    }
    let copy = copy_aside(path).map_err(|error| cannot_open(path, &error))?;
    // Until everything was looked at; also when the process ends before that.
    let unchecked = path.join(UNCHECKED);
    let noted = File::create(&unchecked).and_then(|file| file.sync_all()).and_then(|()| File::open(path)?.sync_all());
    noted.map_err(|error| cannot_open(&unchecked, &error))?;
    tracing::warn!(folder = %path.display(), copy = %copy.display(), %error, "removing a half-written snapshot and opening again");
    for file in unfinished {
        fs::remove_file(&file).map_err(|error| cannot_open(&file, &error))?;
    }
    opened(&config)
}

/// sled's recovery takes some of what damage leaves for impossible: it panics, or waits for a thread that did.
fn opened(config: &sled::Config) -> Result<(Db, Arc<Fuse>), StoreError> {
    let (fuse, config) = (Fuse::new(), config.clone());
    let damaged = |what: &dyn std::fmt::Display| StoreError::Corrupt(format!("its files cannot be opened: {what}"));
    let opened = fuse.bounded("store-open", move || match config.open() {
        Ok(db) => Ok(db),
        Err(sled::Error::Io(error)) => Err(cannot_open(&config.get_path(), &error)),
        Err(error) => Err(damaged(&error)),
    });
    match opened {
        Ok(db) => Ok((db, fuse)),
        Err(error) => match fuse.check() {
            Err(StoreError::Unavailable(reason)) => Err(damaged(&reason)),
            _ => Err(error),
        },
    }
}

/// Opens an engine for a copy, in a folder that it finds by a descriptor.
pub(super) fn open_copy(path: &Path, folder: File, cache_bytes: u64) -> Result<Opened, StoreError> {
    let (db, _) = opened(&config(path, cache_bytes))?;
    Ok(Opened { db, folder: Some(folder) })
}

/// The file in a store's folder that says that it was repaired and not yet compared with itself.
pub(super) const UNCHECKED: &str = "unchecked";

fn unfinished_snapshots(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Copies the store's files beside it, so that a repair can be undone by hand.
fn copy_aside(path: &Path) -> io::Result<PathBuf> {
    let mut copy = path.to_path_buf();
    for at in 0_u32.. {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".before-repair-{at}"));
        copy.set_file_name(name);
        if !copy.exists() {
            break;
        }
    }
    copy_folder(path, &copy)?;
    Ok(copy)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    make_private_folder(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &target)?,
            false => fs::copy(entry.path(), target).map(drop)?,
        }
    }
    Ok(())
}

/// Only the gateway's user may look into it.
pub(super) fn make_private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn cannot_open(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{} cannot be opened: {error}", path.display()))
}

pub(super) fn unreadable(error: &sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { .. } => StoreError::Corrupt(format!("the store's file: {error}")),
        _ => StoreError::Unavailable(format!("reading failed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let first = SledBackend::open(folder.path(), SledOptions::default(), Box::new(|_| {})).unwrap();
        let second = SledBackend::open(folder.path(), SledOptions::default(), Box::new(|_| {}));
        let Err(StoreError::Unavailable(text)) = second.map(drop) else { panic!("opened twice") };
        assert!(text.contains("in use by another process: stop"), "{text}");
        drop(first);
        SledBackend::open(folder.path(), SledOptions::default(), Box::new(|_| {})).unwrap();
    }

    #[test]
    fn network_file_systems_are_known() {
        assert_eq!(network_file_system(0x6969), Some("NFS"));
        assert_eq!(network_file_system(0xFF53_4D42), Some("CIFS"));
        assert_eq!(network_file_system(i128::from(0xFF53_4D42_u32.cast_signed())), Some("CIFS"));
        assert_eq!(network_file_system(0xEF53), None, "ext4");
    }

    #[test]
    fn a_copy_is_kept_before_a_repair() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        make_private_folder(&store.join("blobs")).unwrap();
        fs::write(store.join("blobs/1"), b"x").unwrap();
        fs::write(store.join("snap.01.generating"), b"half").unwrap();
        assert_eq!(unfinished_snapshots(&store).unwrap(), [store.join("snap.01.generating")]);
        let copy = copy_aside(&store).unwrap();
        assert_eq!(copy.file_name().unwrap(), "store.before-repair-0");
        assert_eq!(fs::read(copy.join("blobs/1")).unwrap(), b"x");
        assert_eq!(copy_aside(&store).unwrap().file_name().unwrap(), "store.before-repair-1");
    }

    #[test]
    fn a_full_disk_refuses_commits_and_is_not_final() {
        let folder = tempfile::tempdir().unwrap();
        let options = SledOptions { free_bytes_min: u64::MAX, ..SledOptions::default() };
        let store = SledBackend::open(folder.path(), options, Box::new(|reason| panic!("{reason}"))).unwrap();
        let (answer, answers) = flume::bounded(1);
        let batch = RawBatch { writes: [(vec![1], Some(vec![2]))].into(), ..RawBatch::default() };
        store.commit(batch, Box::new(move |result| answer.send(result).unwrap()));
        assert!(matches!(answers.recv().unwrap(), Err(StoreError::Full(text)) if text.contains("make room")));
        assert_eq!(store.get(&[1]), Ok(None));
    }
}
