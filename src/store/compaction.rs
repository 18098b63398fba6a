//! Compaction: what lives is copied into a new file beside the store while it serves, which then takes the store's place.
//!
//! sled's file only grows. The keys of one moment are read from a snapshot and put into an engine of its own; the journal of
//! changes brings that one up to date while others go on writing; for the last few groups the writer itself waits, syncs the copy, gives it
//! the journal as links to the same files, and exchanges the two folders in one step. Before that step the store is whole and the copy
//! counts for nothing, after it the copy is the store: a crash or a power cut finds one or the other, and what lies beside it is
//! removed at the next start. The copy is opened through a descriptor of its folder, so the exchange does not lead it astray.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    ops::{Bound, ControlFlow},
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, RenameFlags};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    backend::{Backend as _, Direction, KeyRange, Snapshot as _},
    journal::{self, Changes, Follower, Position},
    overlay::Frozen,
    record::Table,
    renewal::real,
    sled::{self, Opened, SledBackend},
};
use crate::engine::ports::StoreError;

/// What a compaction is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// What lives is counted.
    Counting,
    /// It is copied.
    Copying,
    /// What was changed meanwhile is followed.
    Following,
    /// The copy takes the store's place.
    Exchanging,
    /// The old files are removed.
    Removing,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is done now.
    pub stage: Stage,
    /// Keys, or groups of changes, that are done.
    pub done: u64,
    /// How many there are, as far as that is known.
    pub of: u64,
}

/// Is told how far a compaction is; one that it tells to break off does so, unless the copy has already taken the store's place.
pub type Telling<'a> = &'a dyn Fn(Progress) -> ControlFlow<()>;

/// What a compaction has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// Bytes of the engine's files before.
    pub bytes_before: u64,
    /// Afterwards.
    pub bytes_after: u64,
    /// Bytes of the keys and values that were copied.
    pub bytes_live: u64,
    /// How many there were.
    pub keys: u64,
    /// Groups of changes that were made meanwhile.
    pub groups: u64,
    /// How long the writer waited for it, in microseconds.
    pub paused_micros: u64,
}

/// Why a store is as it was.
#[derive(Debug, Error)]
pub enum CompactError {
    /// It cannot be done like this.
    #[error("{0}")]
    Refused(String),
    /// The file system's trouble.
    #[error("{0}: {1}")]
    File(String, io::Error),
    /// The store's own.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// It was told to break off.
    #[error("it was broken off")]
    Stopped,
}

/// How many bytes of keys and values there are, and how many keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Bytes.
    pub bytes: u64,
    /// Keys.
    pub keys: u64,
}

impl Live {
    /// Whether a file of so many bytes is worth compacting: some overhead is sled's way, and small files are no trouble.
    #[must_use]
    pub const fn is_lost_in(self, bytes_on_disk: u64) -> bool {
        bytes_on_disk > ALARM_BYTES_MIN && bytes_on_disk / ALARM_TIMES > self.bytes
    }
}

/// A file that has more than so many times what lives in it, and more than so many bytes, is an alarm.
const ALARM_TIMES: u64 = 4;
const ALARM_BYTES_MIN: u64 = 64 << 20;
/// Keys read at a time: the writer waits as long.
const STEP: usize = 256;
/// A copy needs at most so many times what lives in it, and the room that the engine takes for itself.
const SPACE_TIMES: u64 = 2;
const SPACE_MORE: u64 = 16 << 20;
/// How often the free space is looked at, in bytes written.
const SPACE_EVERY: u64 = 4 << 20;
/// So few groups are left to the pause, and so often it is tried to come down to them.
const LEFT_MAX: u64 = 32;
const ROUNDS_MAX: usize = 1_000;
/// How long the last readers of the old files are waited for.
const READERS: Duration = Duration::from_secs(600);
const READERS_LOOKED_AT: Duration = Duration::from_millis(2);

/// Where a copy is made.
fn beside(path: &Path) -> PathBuf {
    let path = real(path);
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".compacting");
    path.with_file_name(name)
}

/// Removes what a compaction that was cut short has left beside a store that is open: a copy, or the files before it.
pub(super) fn tidy(path: &Path) {
    let left = beside(path);
    match fs::remove_dir_all(&left) {
        Ok(()) => {
            tracing::info!(folder = %left.display(), "what a compaction had left beside the store was removed");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(%error, folder = %left.display(), "what a compaction has left beside the store cannot be removed");
        }
    }
}

/// Counts what lives in a store; others may write meanwhile. After each step `told` says whether to go on.
///
/// # Errors
///
/// `Unavailable`, `Corrupt`; `None` when it was broken off.
pub(super) fn live(
    store: &dyn super::backend::Backend,
    mut told: impl FnMut(Live) -> ControlFlow<()>,
) -> Result<Option<Live>, StoreError> {
    let mut live = Live::default();
    let mut range = KeyRange { start: Bound::Included(Vec::new()), end: Bound::Unbounded };
    loop {
        let pairs = store.scan(&range, Direction::Up, STEP)?;
        let Some((last, _)) = pairs.last() else { return Ok(Some(live)) };
        range.start = Bound::Excluded(last.clone());
        live.keys += pairs.len() as u64;
        live.bytes += pairs.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
        if told(live).is_break() {
            return Ok(None);
        }
    }
}

/// Compacts a store.
pub(super) fn compact(store: &SledBackend, tell: Telling<'_>) -> Result<Compacted, CompactError> {
    let Some(_alone) = store.compacting.try_lock() else {
        return Err(CompactError::Refused("the store is being compacted already".to_owned()));
    };
    let path = real(&store.path);
    let copy = beside(&path);
    let (bytes_before, keys) = room(store, &path, tell)?;
    let ready = prepared(store, &path, &copy, keys, tell);
    let exchanged = ready.and_then(|(ready, live)| {
        told(tell, Stage::Exchanging, 0, 0)?;
        Ok((store.exchange(ready)?, live))
    });
    let (Exchanged { old, groups, paused }, live) = match exchanged {
        Ok(exchanged) => exchanged,
        Err(error) => {
            if store.db().is_ok() {
                removed(&copy);
            }
            return Err(error);
        }
    };
    // The copy is the store: what follows cannot undo it.
    let (mut old, began) = (Some(old), Instant::now());
    while let Some(kept) = old.take() {
        match Arc::try_unwrap(kept) {
            Ok(opened) => {
                store.state.bounded("store-close", move || {
                    drop(opened);
                    Ok(())
                })?;
                removed(&copy);
            }
            Err(kept) => {
                let done = told(tell, Stage::Removing, 0, 0).is_err();
                if done || began.elapsed() > READERS {
                    tracing::warn!("the store's old files are still being read: the next start removes them");
                    break;
                }
                thread::sleep(READERS_LOOKED_AT);
                old = Some(kept);
            }
        }
    }
    let bytes_after = store.bytes_on_disk();
    let paused_micros = u64::try_from(paused.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(bytes_before, bytes_after, keys = live.keys, groups, paused_micros, "the store was compacted");
    Ok(Compacted { bytes_before, bytes_after, bytes_live: live.bytes, keys: live.keys, groups, paused_micros })
}

fn told(tell: Telling<'_>, stage: Stage, done: u64, of: u64) -> Result<(), CompactError> {
    match tell(Progress { stage, done, of }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(CompactError::Stopped),
    }
}

fn removed(copy: &Path) {
    match fs::remove_dir_all(copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, folder = %copy.display(), "what is left of a compaction is removed at the next start");
        }
        _ => {}
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> CompactError {
    let path = path.display().to_string();
    move |error| CompactError::File(path.clone(), error)
}

/// Sees to it that there is room for a copy; the bytes that the store has on disk, and its keys.
fn room(store: &SledBackend, path: &Path, tell: Telling<'_>) -> Result<(u64, u64), CompactError> {
    let parent = path.parent().unwrap_or(path);
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).map_err(at(path));
    if device(path)? != device(parent)? {
        return Err(CompactError::Refused(format!(
            "{} is a file system of its own, so no copy can take its place: configure a folder inside of it for the store",
            path.display()
        )));
    }
    if store.journal().is_none() {
        return Err(CompactError::Refused("the store has no journal of changes".to_owned()));
    }
    let counted = live(store, |live| tell(Progress { stage: Stage::Counting, done: live.keys, of: 0 }));
    let live = counted?.ok_or(CompactError::Stopped)?;
    let needed = live.bytes.saturating_mul(SPACE_TIMES).saturating_add(SPACE_MORE);
    let needed = needed.saturating_add(store.options.free_bytes_min);
    let free = store.options.free_bytes(&File::open(parent).map_err(at(parent))?).map_err(at(parent))?;
    if free < needed {
        return Err(CompactError::Refused(format!(
            "only {free} bytes are free beside the store, and {needed} are needed: {} for the copy, {} that stay free \
             (store.free_mib_min): make room, or give the store a larger disk",
            needed.saturating_sub(store.options.free_bytes_min),
            store.options.free_bytes_min
        )));
    }
    Ok((store.bytes_on_disk(), live.keys))
}

/// A copy that lacks the last groups only.
pub(super) struct Ready {
    engine: Arc<Opened>,
    barrier: File,
    follower: Follower,
    groups: u64,
    from: PathBuf,
    copy: PathBuf,
}

/// The copy in the store's place.
pub(super) struct Exchanged {
    /// The engine before, on its files.
    pub(super) old: Arc<Opened>,
    pub(super) groups: u64,
    pub(super) paused: Duration,
}

/// Why the writer goes on with the engine that it has, or cannot go on.
pub(super) enum NotExchanged {
    /// Nothing has happened.
    Before(StoreError),
    /// It is not known which of the folders is on disk under the store's name.
    After(String),
}

/// Copies what lives, and follows what is written meanwhile.
fn prepared(
    store: &SledBackend,
    path: &Path,
    copy: &Path,
    keys: u64,
    tell: Telling<'_>,
) -> Result<(Ready, Live), CompactError> {
    match fs::remove_dir_all(copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(copy)(error)),
        _ => {}
    }
    sled::make_private_folder(copy).map_err(at(copy))?;
    // At once, because a file system that makes no links is found out by it.
    journal::link(path, copy)?;
    let folder = File::open(copy).map_err(at(copy))?;
    let own = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let engine = Arc::new(sled::open_copy(&own, folder, store.options.cache_bytes)?);
    let filled = filled(store, &engine, keys, tell);
    let followed = filled.and_then(|live| Ok((ready(store, path, copy, &engine, tell)?, live)));
    if followed.is_err() {
        // Closing waits for the engine's threads.
        store.state.bounded("store-close", move || {
            drop(engine);
            Ok(())
        })?;
    }
    followed
}

/// Looks at the free space now and then.
struct Room<'a> {
    store: &'a SledBackend,
    folder: &'a File,
    written: u64,
}

impl Room<'_> {
    fn look(&mut self, written: usize) -> Result<(), CompactError> {
        self.written += written as u64;
        if self.written < SPACE_EVERY {
            return Ok(());
        }
        self.written = 0;
        let free = self.store.options.free_bytes(self.folder).map_err(at(&self.store.path))?;
        if free < self.store.options.free_bytes_min {
            return Err(CompactError::Refused(format!(
                "only {free} bytes were left free beside the store: make room, the copy was removed again"
            )));
        }
        Ok(())
    }
}

fn filled(store: &SledBackend, engine: &Arc<Opened>, keys: u64, tell: Telling<'_>) -> Result<Live, CompactError> {
    let mut room = Room { store, folder: &engine.folder_of(&store.path).map_err(at(&store.path))?, written: 0 };
    // The snapshot is of the tree, which lacks the latest groups otherwise.
    store.followed()?;
    let begun = Frozen::begin(|| store.db(), &store.overlays, &store.state);
    let mut snapshot = begun.map_err(|error| match error {
        StoreError::Conflict => CompactError::Refused("a backup is being made: try again when it is".to_owned()),
        error => error.into(),
    })?;
    let mut live = Live::default();
    let mut range = KeyRange { start: Bound::Included(Vec::new()), end: Bound::Unbounded };
    loop {
        let (pairs, next) = snapshot.read(&range, STEP)?;
        // One by one: a batch keeps every other use of any engine of the process waiting.
        for (key, value) in pairs {
            let bytes = key.len() + value.len();
            live.keys += 1;
            live.bytes += bytes as u64;
            store.state.call(|| engine.insert(key, value).map(drop))?;
            room.look(bytes)?;
        }
        told(tell, Stage::Copying, live.keys, keys.max(live.keys))?;
        match next {
            Some(last) => range.start = Bound::Excluded(last),
            None => return Ok(live),
        }
    }
}

fn ready(
    store: &SledBackend,
    path: &Path,
    copy: &Path,
    engine: &Arc<Opened>,
    tell: Telling<'_>,
) -> Result<Ready, CompactError> {
    let head = store.state.call(|| engine.get(Table::JournalHead.key(&[])))?;
    let position = head.and_then(|head| journal::position(&head));
    let position = position.ok_or_else(|| StoreError::Journal("the copy does not know its position".to_owned()))?;
    let follower = Follower::open(&journal::folder(path), position)?;
    let db = copy.join("db");
    let barrier = File::options().read(true).write(true).open(&db).map_err(at(&db))?;
    let (engine, from, copy) = (Arc::clone(engine), path.to_path_buf(), copy.to_path_buf());
    let mut ready = Ready { engine, barrier, follower, groups: 0, from, copy };
    let folder = ready.engine.folder_of(path).map_err(at(path))?;
    let mut room = Room { store, folder: &folder, written: 0 };
    for _ in 0..ROUNDS_MAX {
        let before = ready.groups;
        while let Some(bytes) = ready.follow(|engine, changes| store.state.call(|| put(engine, changes)))? {
            room.look(bytes)?;
            let behind = store.journal().map_or(0, |journal| journal.last.sequence);
            let of = ready.groups + behind.saturating_sub(ready.follower.position().sequence);
            told(tell, Stage::Following, ready.groups, of)?;
        }
        // What is on disk by now need not be synced in the pause.
        journal::link(&ready.from, &ready.copy)?;
        carry(&ready.from, &ready.copy).map_err(at(&ready.copy))?;
        ready.sync().map_err(at(&ready.copy))?;
        if ready.groups - before <= LEFT_MAX {
            return Ok(ready);
        }
    }
    Err(CompactError::Refused("the store is written faster than it is copied: try again when less is".to_owned()))
}

fn put(engine: &Opened, changes: Changes) -> ::sled::Result<()> {
    for (key, value) in changes {
        match value {
            Some(value) => engine.insert(key, value),
            None => engine.remove(key),
        }?;
    }
    Ok(())
}

impl Ready {
    /// Takes one group more; how many bytes it had, `None` when there is none.
    fn follow(
        &mut self,
        put: impl Fn(&Opened, Changes) -> Result<(), StoreError>,
    ) -> Result<Option<usize>, StoreError> {
        let Some(changes) = self.follower.next()? else { return Ok(None) };
        let bytes = changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        put(&self.engine, changes)?;
        self.groups += 1;
        Ok(Some(bytes))
    }

    /// Everything of the copy, and its name, is on disk when this returns.
    fn sync(&self) -> io::Result<()> {
        self.engine.flush().map_err(io::Error::other)?;
        self.barrier.sync_all()?;
        let conf = self.copy.join("conf");
        if conf.exists() {
            File::open(conf)?.sync_all()?;
        }
        File::open(&self.copy)?.sync_all()?;
        self.copy.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    /// On the writer's thread: nothing is written meanwhile. Gives the engine and the file to sync from then on.
    pub(super) fn exchange(mut self, last: Position) -> Result<(Arc<Opened>, File, u64), NotExchanged> {
        let prepared = (|| {
            while self
                .follow(|engine, changes| put(engine, changes).map_err(|error| sled::unreadable(&error)))?
                .is_some()
            {}
            if self.follower.position() != last {
                let at = self.follower.position();
                return Err(StoreError::Journal(format!("it can be read up to {at}, and the store stands at {last}")));
            }
            journal::link(&self.from, &self.copy)?;
            // All else was on disk before the pause.
            let synced = || {
                carry(&self.from, &self.copy)?;
                self.engine.flush().map_err(io::Error::other)?;
                self.barrier.sync_data()
            };
            synced().map_err(|error| StoreError::Unavailable(format!("{}: {error}", self.copy.display())))
        })();
        prepared.map_err(NotExchanged::Before)?;
        if let Err(error) = rustix::fs::renameat_with(CWD, &self.copy, CWD, &self.from, RenameFlags::EXCHANGE) {
            let what = format!("{} and {} cannot change places: {error}", self.copy.display(), self.from.display());
            return Err(NotExchanged::Before(StoreError::Unavailable(what)));
        }
        let parent = self.from.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all());
        parent
            .map_err(|error| NotExchanged::After(format!("the folder around the store cannot be synced: {error}")))?;
        Ok((self.engine, self.barrier, self.groups))
    }
}

/// Whether something in the folder of a store is the engine's own, or its journal, which goes another way.
fn is_engines(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    matches!(&*name, "db" | "conf" | "blobs" | "journal") || name.starts_with("snap.")
}

/// Gives a copy what stands beside the engine's files: that the store has had a mark, that it was repaired and not yet compared with
/// itself (what is copied is what was repaired), and journals that were put aside.
pub(super) fn carry(from: &Path, to: &Path) -> io::Result<()> {
    let mut is_new = false;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if !is_engines(&name) {
            is_new |= carried(&from.join(&name), &to.join(&name))?;
        }
    }
    if is_new { File::open(to)?.sync_all() } else { Ok(()) }
}

/// Whether it was not there yet.
fn carried(from: &Path, to: &Path) -> io::Result<bool> {
    let is_new = !to.exists();
    if from.is_dir() {
        sled::make_private_folder(to)?;
        carry_all(from, to)?;
    } else if is_new && fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
        File::open(to)?.sync_all()?;
    }
    Ok(is_new)
}

fn carry_all(from: &Path, to: &Path) -> io::Result<()> {
    let mut is_new = false;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        is_new |= carried(&from.join(&name), &to.join(&name))?;
    }
    if is_new { File::open(to)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_worth_compacting_when_it_is_large_and_mostly_dead() {
        let live = |bytes| Live { bytes, keys: 1 };
        assert!(live(0).is_lost_in(ALARM_BYTES_MIN + 1));
        assert!(!live(0).is_lost_in(ALARM_BYTES_MIN), "small");
        assert!(live(100 << 20).is_lost_in((400 << 20) + 4));
        assert!(!live(100 << 20).is_lost_in(400 << 20), "at the limit");
    }
}
