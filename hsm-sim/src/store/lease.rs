//! Which processes have sessions open on a token, and how many.
//!
//! A process holds the lock of one file `leases/<n>` for as long as it lives and keeps its counts in word n of the token's
//! page. Whoever counts tries the lock of the others: if it can be had, that process is gone and so are its sessions.

use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use rustix::{fs::FlockOperation, io::Errno};

use super::{Result, StoreError, folder::open_shared};
use crate::abi::{PAGE_WORDS, SharedPage};

/// The first of the words that hold counts.
const FIRST: usize = 16;
/// Processes that can have sessions on one token at the same time.
const LEASES: usize = 496;
const _: () = assert!(FIRST + LEASES <= PAGE_WORDS);
/// A read/write session counts in the high half and in the low half, which counts all.
const READ_WRITE: u64 = 1 << 32;

/// This process's place among those that use the token.
pub(crate) struct Lease {
    folder: PathBuf,
    place: usize,
    page: Arc<SharedPage>,
    // Keeps the lock.
    _file: File,
}

/// Sessions open over all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OpenSessions {
    /// Of any kind.
    pub(crate) all: u32,
    /// Read/write ones.
    pub(crate) read_write: u32,
}

impl Lease {
    /// Takes a free place.
    pub(super) fn take(token: &Path, page: Arc<SharedPage>) -> Result<Self> {
        let folder = token.join("leases");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(StoreError::io(&folder))?;
        for place in 0..LEASES {
            if let Some(file) = try_lock(&folder, place)? {
                page.word(FIRST + place).store(0, Ordering::Release);
                return Ok(Self { folder, place, page, _file: file });
            }
        }
        Err(StoreError::Refused("more processes use the token than it has places for"))
    }

    /// Counts a session in.
    pub(crate) fn add(&self, read_write: bool) {
        self.page.word(FIRST + self.place).fetch_add(weight(read_write), Ordering::AcqRel);
    }

    /// Counts a session out.
    pub(crate) fn remove(&self, read_write: bool) {
        self.page.word(FIRST + self.place).fetch_sub(weight(read_write), Ordering::AcqRel);
    }

    /// Sessions of this process and of every other one that lives.
    pub(crate) fn open_sessions(&self) -> Result<OpenSessions> {
        let mut open = OpenSessions::default();
        for place in 0..LEASES {
            let word = self.page.word(FIRST + place);
            let count = word.load(Ordering::Acquire);
            if count == 0 {
                continue;
            }
            if place != self.place && try_lock(&self.folder, place)?.is_some() {
                word.store(0, Ordering::Release);
                continue;
            }
            open.all += u32::try_from(count % READ_WRITE).unwrap_or(u32::MAX);
            open.read_write += u32::try_from(count / READ_WRITE).unwrap_or(u32::MAX);
        }
        Ok(open)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.page.word(FIRST + self.place).store(0, Ordering::Release);
    }
}

const fn weight(read_write: bool) -> u64 {
    if read_write { READ_WRITE + 1 } else { 1 }
}

/// The locked file of a place, or nothing when a living process has it.
fn try_lock(folder: &Path, place: usize) -> Result<Option<File>> {
    let path = folder.join(place.to_string());
    let file = open_shared(&path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(StoreError::errno(&path)(errno)),
    }
}
