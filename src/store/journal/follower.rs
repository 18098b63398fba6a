//! Reads a journal while another thread writes it: what brings a copy of the store up to date.
//!
//! The file that is being read is kept open, so the journal may be shortened behind it. What cannot be read is taken for what is not
//! written yet; whoever follows compares where it has come to with where the journal is.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{
    Changes, Position,
    files::{list, name, trouble},
    frame::{HEADER_BYTES, Header, RECORD_BYTES, decoded, parse},
    written,
};
use crate::engine::ports::StoreError;

/// A reader of a journal that grows.
pub(in crate::store) struct Follower {
    folder: PathBuf,
    file: File,
    /// What the first record of the file follows.
    first: u64,
    /// Where the next record begins.
    at: u64,
    last: Position,
}

/// How often the files are looked for that are removed while they are listed.
const ATTEMPTS: usize = 3;
/// A record is shorter than this.
const RECORD_MAX: usize = 1 << 28;

impl Follower {
    /// Begins after a position.
    ///
    /// # Errors
    ///
    /// `Journal` when the journal does not have it.
    pub(in crate::store) fn open(folder: &Path, from: Position) -> Result<Self, StoreError> {
        let mut opened = Self::begin(folder, from);
        for _ in 1..ATTEMPTS {
            if opened.is_ok() {
                break;
            }
            opened = Self::begin(folder, from);
        }
        let mut follower = opened?;
        while follower.last.sequence < from.sequence && follower.read()?.is_some() {}
        if follower.last == from { Ok(follower) } else { Err(trouble(folder, format!("it has no {from}"))) }
    }

    fn begin(folder: &Path, from: Position) -> Result<Self, StoreError> {
        let parts = list(folder)?;
        let part = parts.iter().rfind(|part| part.header.after.sequence <= from.sequence);
        let part = part.ok_or_else(|| trouble(folder, format!("it does not go back to {from}")))?;
        let file = File::open(&part.path).map_err(|error| trouble(&part.path, error))?;
        let (first, last) = (part.header.after.sequence, part.header.after);
        Ok(Self { folder: folder.to_path_buf(), file, first, at: HEADER_BYTES as u64, last })
    }

    /// Where it has come to.
    pub(in crate::store) const fn position(&self) -> Position {
        self.last
    }

    /// The next group, with what the tree notes of it; `None` when there is none yet.
    ///
    /// # Errors
    ///
    /// `Journal`.
    pub(in crate::store) fn next(&mut self) -> Result<Option<Changes>, StoreError> {
        let Some(changes) = self.read()? else { return Ok(None) };
        let changes =
            decoded(&changes).ok_or_else(|| trouble(&self.folder, format!("{} makes no sense", self.last)))?;
        let mut all = written(&self.last, &changes.keys().collect::<Vec<_>>())?;
        all.extend(changes);
        Ok(Some(all))
    }

    /// The bytes of the next record.
    fn read(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            if let Some(changes) = self.read_here().map_err(|error| trouble(&self.folder, error))? {
                return Ok(Some(changes));
            }
            if !self.turn()? {
                return Ok(None);
            }
        }
    }

    fn read_here(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; RECORD_BYTES];
        if !filled(&self.file, &mut bytes, self.at)? {
            return Ok(None);
        }
        let length = bytes.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length));
        let Some(length) = usize::try_from(length).ok().filter(|length| (1..RECORD_MAX).contains(length)) else {
            return Ok(None);
        };
        bytes.resize(RECORD_BYTES + length, 0);
        if !filled(&self.file, &mut bytes, self.at)? {
            return Ok(None);
        }
        let found = parse(&bytes, self.last.journal).filter(|found| self.last.then(found.changes) == found.at);
        let Some(found) = found else { return Ok(None) };
        self.last = found.at;
        self.at += found.bytes() as u64;
        Ok(Some(found.changes.to_vec()))
    }

    /// Goes on to the next file, if there is one.
    fn turn(&mut self) -> Result<bool, StoreError> {
        if self.first == self.last.sequence {
            return Ok(false);
        }
        let path = self.folder.join(name(self.last.sequence));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(trouble(&path, error)),
        };
        let mut head = [0; HEADER_BYTES];
        // It may be in the making.
        if !filled(&file, &mut head, 0).map_err(|error| trouble(&path, error))? {
            return Ok(false);
        }
        let Some(header) = Header::parse(&head) else { return Ok(false) };
        if header.after != self.last {
            return Err(trouble(&path, format!("it does not follow {}", self.last)));
        }
        (self.file, self.first, self.at) = (file, self.last.sequence, HEADER_BYTES as u64);
        Ok(true)
    }
}

/// Reads as many bytes, if the file has them.
fn filled(file: &File, bytes: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
