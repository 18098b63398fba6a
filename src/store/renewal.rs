//! An older store is copied into a new folder, its index entries into blocks, and the new folder takes the old one's place.
//!
//! sled keeps the page numbers of leaves that became empty, and memory for each: a store whose single index keys were removed in place
//! would need more memory than before. Until the two folders change places, in one step, the old one is whole; what a crash leaves
//! beside it is removed at the next start. Where that cannot be done (too little room, a folder that is a mount), the entries
//! are moved in place when the store is unlocked.

use std::{
    fs::{self, File},
    io,
    ops::Bound,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{CWD, RenameFlags};

use super::{
    CONVERTING, INDEX_LAYOUT, SINGLE_KEYS,
    backend::{Backend, Direction, KeyRange, RawBatch},
    blocks, committed, compaction, fences, journal,
    packed::is_packed,
    record::Table,
    sled::{SledBackend, SledOptions},
};
use crate::engine::ports::StoreError;

/// Keys copied at a time; a value has at most 4 KiB.
const STEP: usize = 1_000;
/// How often it is said how far it has come.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Where the store really is, when a link leads to it: the copy must be on its disk.
pub(super) fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_not_there| path.to_path_buf())
}

/// The folder in which a copy is made.
fn beside(path: &Path) -> PathBuf {
    let path = real(path);
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".converted");
    path.with_file_name(name)
}

/// Removes what an earlier attempt has left.
pub(super) fn tidy(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(beside(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The layout that a copy has; `None` when there is no need for one.
pub(super) fn wanted(old: &dyn Backend) -> Result<Option<Vec<u8>>, StoreError> {
    let layout = old.get(&Table::IndexLayout.key(&[]))?;
    Ok(match layout.as_deref() {
        Some([SINGLE_KEYS]) => Some(vec![INDEX_LAYOUT]),
        Some([INDEX_LAYOUT, at @ ..]) if at == CONVERTING => Some(vec![INDEX_LAYOUT]),
        // All entries are there, and the counts are not.
        Some([INDEX_LAYOUT, u8::MAX]) => Some(vec![INDEX_LAYOUT, u8::MAX]),
        _ => None,
    })
}

/// Copies a store.
pub(super) fn copy(path: &Path, old: &dyn Backend, options: &SledOptions, layout: Vec<u8>) -> Result<(), StoreError> {
    tracing::info!("the store is copied into the form of this version of the program: the gateway serves when it is");
    let options = SledOptions { observer: None, journal: None, ..options.clone() };
    let failed = |reason: &str| tracing::warn!(reason, "the copy of the store failed");
    let new = SledBackend::open(&beside(path), options, Box::new(failed))?;
    let own = Table::IndexLayout.key(&[]);
    let (mut count, mut told) = (0_usize, Instant::now());
    let mut range = KeyRange::prefix(&[]);
    loop {
        let pairs = old.scan(&range, Direction::Up, STEP)?;
        let Some((last, _)) = pairs.last() else { break };
        range.start = Bound::Excluded(last.clone());
        count += pairs.len();
        let pairs = pairs.into_iter().filter(|(key, _)| *key != own).map(|(key, value)| (key, Some(value)));
        let (entries, others): (Vec<_>, Vec<_>) = pairs.partition(|(key, _)| is_packed(key));
        blocks::take_in(&new, entries.iter().map(|(key, value)| (key, value)))?;
        if !others.is_empty() {
            committed(&new, RawBatch { writes: others.into_iter().collect(), ..RawBatch::default() })?;
        }
        if told.elapsed() >= TOLD_EVERY {
            tracing::info!(keys = count, "the store is being copied");
            told = Instant::now();
        }
    }
    let mut last = fences();
    last.push((own, Some(layout)));
    committed(&new, RawBatch { writes: last.into_iter().collect(), ..RawBatch::default() })?;
    tracing::info!(keys = count, "the store is copied");
    Ok(())
}

/// Puts the copy in the place of the store, which nobody has open, and removes the old one.
pub(super) fn replace(path: &Path) -> io::Result<()> {
    let (path, copy) = (real(path), beside(path));
    journal::carry(&path, &copy).map_err(io::Error::other)?;
    compaction::carry(&path, &copy)?;
    rustix::fs::renameat_with(CWD, &copy, CWD, &path, RenameFlags::EXCHANGE)?;
    // A real path has a folder around it.
    if let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    fs::remove_dir_all(copy)
}
