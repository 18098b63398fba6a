//! The change journal: every group of commits once more, in files that only grow, beside the engine's file.
//!
//! The engine's file is what is read; the journal is what it can be made from again, with a backup that is older (`restore
//! --journal`), and what brings it forward when it is found behind. A group is acknowledged when it is on disk
//! here and readers see it over the tree (`pending`); the tree follows a little later, with many groups at once. It carries the position
//! of its last group and the keys that this one wrote, so a start can tell which of the two a crash has left behind, and mend it.
//! Whatever a crash cannot leave refuses to start. See docs/decisions/0014-journal.md and 0017-journal-first.md.

use std::{
    collections::{BTreeSet, VecDeque},
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

mod check;
mod files;
mod follower;
mod frame;
mod history;
mod recovery;

pub(super) use check::check;
pub use check::{Damage, JournalCheck};
pub(super) use follower::Follower;
pub use frame::{Changes, Position, PositionText};
pub use history::{Checked, History};
pub(super) use recovery::has_records;

use self::{
    files::{name, trouble},
    frame::{HEADER_BYTES, Header, encoded, heads, record},
};
use super::{
    backend::{Backend as _, Direction, Key, KeyRange, RawBatch},
    record::{PIECE_BYTES, Table},
};
use crate::engine::ports::StoreError;

/// How the journal is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// No more than this is kept, though no backup has it.
    pub bytes_max: u64,
    /// A file that is longer is followed by another one.
    pub part_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { bytes_max: 1 << 30, part_bytes: 16 << 20 }
    }
}

/// Zeros in the file ahead of what is written. A sync of what is written over them writes that and nothing else; into room that
/// was only set aside, the file system would write its own journal with each.
const RESERVE_BYTES: u64 = 1 << 20;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The folder of a store's journal, in that of the store.
#[must_use]
pub fn folder(store: &Path) -> PathBuf {
    store.join("journal")
}

/// What there is of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalStatus {
    /// Bytes of its files.
    pub bytes: u64,
    /// It has the changes after this number.
    pub after: u64,
    /// Its last record.
    pub last: Position,
}

/// The journal of a store that is open.
pub(super) struct Journal {
    folder: PathBuf,
    options: JournalOptions,
    /// Files that are complete: what their first record follows, and their bytes.
    parts: VecDeque<(u64, u64)>,
    file: File,
    /// What the first record of the file follows.
    first: u64,
    /// Where the next record goes.
    at: u64,
    /// Up to where there are zeros.
    reserved: u64,
    /// Bytes of records since the tree was on disk.
    ahead: u64,
    last: Position,
}

/// Makes one of the tree's values of a position and the keys of its group.
fn written(at: &Position, keys: &[&Key]) -> Result<Changes, StoreError> {
    let values = heads(at, keys, PIECE_BYTES)?;
    let key = |piece: u16| match piece {
        0 => Table::JournalHead.key(&[]),
        piece => Table::JournalHead.key(&[&piece.to_be_bytes()]),
    };
    Ok((0..=u16::MAX).zip(values).map(|(piece, value)| (key(piece), Some(value))).collect())
}

/// The position that the tree's first value tells.
pub(super) fn position(head: &[u8]) -> Option<Position> {
    frame::parse_head(head).map(|(at, ..)| at)
}

/// Why a record was not written.
pub(super) enum NotWritten {
    /// There was no room; nothing has changed.
    Full(String),
    /// Anything else.
    Failed(String),
}

impl Journal {
    /// Writes a group; gives what the tree notes of it, which belongs into the same batch.
    pub(super) fn append(&mut self, changes: &Changes) -> Result<Changes, NotWritten> {
        let failed = |error: StoreError| NotWritten::Failed(error.to_string());
        let body = encoded(changes).map_err(failed)?;
        let next = self.last.then(&body);
        let bytes = record(&next, &body).map_err(failed)?;
        let noted = written(&next, &changes.keys().collect::<Vec<_>>()).map_err(failed)?;
        self.file.write_all_at(&bytes, self.at).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                NotWritten::Full(format!("the store's journal cannot be written: {error}"))
            }
            _ => NotWritten::Failed(format!("writing the journal failed: {error}")),
        })?;
        self.at += bytes.len() as u64;
        self.ahead += bytes.len() as u64;
        self.last = next;
        Ok(noted)
    }

    /// Whether more than so many bytes of records are not in the tree on disk, or the file is to be followed by another one: a start
    /// looks for them in the last file only.
    pub(super) const fn is_ahead(&self, most: u64) -> bool {
        self.ahead > most || (self.ahead > 0 && self.at >= self.options.part_bytes)
    }

    /// The tree is on disk with all that stands here.
    pub(super) const fn is_followed(&mut self) {
        self.ahead = 0;
    }

    /// Brings what was written to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// What can be done when nobody waits: room ahead, the next file, and the end of what is too old.
    pub(super) fn tend(&mut self) -> io::Result<()> {
        if self.at >= self.options.part_bytes {
            let file = create(&self.folder, &Header { after: self.last, before: self.first })?;
            self.parts.push_back((self.first, self.at));
            (self.file, self.first) = (file, self.last.sequence);
            (self.at, self.reserved) = (HEADER_BYTES as u64, 0);
            let mut lost = 0;
            while self.bytes() > self.options.bytes_max && self.forget_first()? {
                lost += 1;
            }
            if lost > 0 {
                tracing::warn!(
                    after = self.first_kept(),
                    "the store's journal is full, and its oldest changes were removed: a backup that is older than change {} \
                     cannot be brought up to date any more: make one now",
                    self.first_kept()
                );
            }
        }
        if self.at + RESERVE_BYTES / 4 > self.reserved && self.reserved < self.options.part_bytes {
            self.reserve();
        }
        Ok(())
    }

    /// Writes zeros ahead, which the next group's sync brings to the disk. Without them a sync takes longer, and nothing else is
    /// different.
    fn reserve(&mut self) {
        let mut at = self.at.max(self.reserved);
        let end = (at + RESERVE_BYTES).min(self.options.part_bytes);
        while at < end {
            let bytes = usize::try_from(end - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            if self.file.write_all_at(ZEROS.get(..bytes).unwrap_or_default(), at).is_err() {
                self.reserved = u64::MAX;
                return;
            }
            at += bytes as u64;
        }
        self.reserved = end;
    }

    /// Removes the files that have nothing after this record.
    pub(super) fn prune(&mut self, to: Position) -> io::Result<()> {
        if to.journal != self.last.journal {
            return Ok(());
        }
        while self.parts.get(1).map_or(self.first, |(after, _)| *after) <= to.sequence && self.forget_first()? {}
        Ok(())
    }

    /// Removes the oldest file, unless it is the only one.
    fn forget_first(&mut self) -> io::Result<bool> {
        let Some((after, _)) = self.parts.front() else { return Ok(false) };
        match fs::remove_file(self.folder.join(name(*after))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                self.parts.pop_front();
                Ok(true)
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum::<u64>() + self.at
    }

    fn first_kept(&self) -> u64 {
        self.parts.front().map_or(self.first, |(after, _)| *after)
    }

    /// What there is of it.
    pub(super) fn status(&self) -> JournalStatus {
        JournalStatus { bytes: self.bytes(), after: self.first_kept(), last: self.last }
    }
}

/// Makes a file that is on disk with its head and its name before anything else is written into it.
fn create(folder: &Path, header: &Header) -> io::Result<File> {
    let path = folder.join(name(header.after.sequence));
    let file = File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all_at(&header.bytes(), 0)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Gives a store that takes another one's place that one's journal, as links to the same files; both go on to be the same.
///
/// # Errors
///
/// `Journal`.
pub(super) fn carry(from: &Path, to: &Path) -> Result<(), StoreError> {
    let (from, to) = (folder(from), folder(to));
    if !from.is_dir() {
        return Ok(());
    }
    let carried = || {
        super::sled::make_private_folder(&to)?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if fs::hard_link(entry.path(), &target).is_err() {
                fs::copy(entry.path(), &target)?;
                File::open(&target)?.sync_all()?;
            }
        }
        File::open(&to)?.sync_all()
    };
    carried().map_err(|error: io::Error| trouble(&to, error))
}

/// Gives a copy of a store that is being written the journal of it, as links to the same files; to be said again for what came since.
///
/// # Errors
///
/// `Journal`, also where the file system makes no links.
pub(super) fn link(from: &Path, to: &Path) -> Result<(), StoreError> {
    let (from, to) = (folder(from), folder(to));
    let named = |folder: &Path| -> io::Result<BTreeSet<OsString>> {
        let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name()));
        names.collect()
    };
    let linked = || {
        super::sled::make_private_folder(&to)?;
        let (wanted, there) = (named(&from)?, named(&to)?);
        wanted.difference(&there).try_for_each(|name| fs::hard_link(from.join(name), to.join(name)))?;
        there.difference(&wanted).try_for_each(|name| fs::remove_file(to.join(name)))?;
        if wanted == there { Ok(()) } else { File::open(&to)?.sync_all() }
    };
    linked().map_err(|error: io::Error| trouble(&to, error))
}

/// Puts the journal of a store that nobody has open aside, and makes the store forget it: its next start begins another one. Where
/// the former one is then, if there was one.
///
/// # Errors
///
/// `Unavailable` when the store cannot be opened; `Journal`.
pub fn set_aside(store: &Path) -> Result<Option<PathBuf>, StoreError> {
    let options = super::sled::SledOptions { journal: None, ..Default::default() };
    let failed = |reason: &str| tracing::error!(reason, "the store failed");
    let tree = super::sled::SledBackend::open(store, options, Box::new(failed))?;
    let own = folder(store);
    let moved = |own: &Path| {
        let aside = (0_u32..).map(|at| store.join(format!("journal.before-{at}"))).find(|path| !path.exists());
        let aside = aside.ok_or(io::ErrorKind::AlreadyExists)?;
        fs::rename(own, &aside)?;
        File::open(store)?.sync_all()?;
        Ok(aside)
    };
    // In this order: a store that still knows of a journal does not start without one, and this can be said again.
    let aside = match own.exists() {
        true => Some(moved(&own).map_err(|error: io::Error| trouble(&own, error))?),
        false => None,
    };
    let heads = KeyRange::prefix(&Table::JournalHead.key(&[]));
    let keys = tree.scan(&heads, Direction::Up, usize::MAX)?.into_iter().map(|(key, _)| (key, None)).collect();
    super::committed(&tree, RawBatch { writes: keys, ..RawBatch::default() })?;
    Ok(aside)
}
