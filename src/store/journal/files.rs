//! The files of a journal: which there are, and what stands in them.
//!
//! Only the last record of the last file may be torn: a group is written when the one before it is on disk. So what cannot be
//! read and has nothing behind it is the end, and what has a record behind it is damage. So is a last record of which a single bit is not
//! as it was written: a write that was cut short looks different.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::frame::{HEADER_BYTES, Header, Position, RECORD_BYTES, flipped, parse};
use crate::engine::ports::StoreError;

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) bytes: u64,
}

/// How a file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a whole record.
    Whole,
    /// With so many bytes of one that was not written to its end.
    Torn(u64),
    /// With a record of which one bit has changed since: whole, once this bit of this byte is flipped back.
    Flipped(u64, u8),
    /// At this byte something cannot be read, and records follow it.
    Damaged(u64),
}

/// A file that was read.
#[derive(Clone, Debug)]
pub(super) struct Walked {
    /// After its last whole record.
    pub(super) last: Position,
    /// Up to where it is whole.
    pub(super) valid: u64,
    pub(super) end: End,
}

pub(super) const SUFFIX: &str = "journal";

pub(super) fn name(after: u64) -> String {
    format!("{after:016x}.{SUFFIX}")
}

pub(super) fn trouble(path: &Path, what: impl std::fmt::Display) -> StoreError {
    StoreError::Journal(format!("{}: {what}", path.display()))
}

/// The files in their order, heads compared: each must follow the one before it.
///
/// # Errors
///
/// `Journal` when one is missing, or its head cannot be read.
pub(super) fn list(folder: &Path) -> Result<Vec<Part>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(trouble(folder, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| trouble(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == SUFFIX) {
            paths.push(path);
        }
    }
    // The names are numbers of one length.
    paths.sort();
    let mut parts: Vec<Part> = Vec::new();
    let count = paths.len();
    for (at, path) in paths.into_iter().enumerate() {
        let mut head = Vec::new();
        let read = File::open(&path).and_then(|file| {
            let bytes = file.metadata()?.len();
            file.take(HEADER_BYTES as u64).read_to_end(&mut head)?;
            Ok(bytes)
        });
        let bytes = read.map_err(|error| trouble(&path, error))?;
        let Some(header) = Header::parse(&head) else {
            // Made at the moment of a crash: records are written when the head is on disk.
            if at + 1 == count && has_no_records(&path)? {
                continue;
            }
            return Err(trouble(&path, "its head cannot be read"));
        };
        if path.file_name().is_none_or(|own| own != name(header.after.sequence).as_str()) {
            return Err(trouble(&path, "its name is not the one it was given"));
        }
        if let Some(before) = parts.last()
            && (before.header.after.sequence != header.before || before.header.after.journal != header.after.journal)
        {
            return Err(trouble(&path, format!("it does not follow {}: a file is missing", before.path.display())));
        }
        parts.push(Part { path, header, bytes });
    }
    Ok(parts)
}

fn has_no_records(path: &Path) -> Result<bool, StoreError> {
    let bytes = fs::read(path).map_err(|error| trouble(path, error))?;
    Ok(bytes.iter().skip(HEADER_BYTES).all(|byte| *byte == 0))
}

impl Part {
    /// Reads it from its first record on; `see` is shown each record.
    ///
    /// # Errors
    ///
    /// `Journal` when it cannot be read at all; those of `see`.
    pub(super) fn walk(
        &self,
        mut see: impl FnMut(Position, &[u8]) -> Result<(), StoreError>,
    ) -> Result<Walked, StoreError> {
        let bytes = fs::read(&self.path).map_err(|error| trouble(&self.path, error))?;
        let (mut last, mut at) = (self.header.after, HEADER_BYTES);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let valid = at as u64;
            let is_clear = rest.iter().take(RECORD_BYTES).all(|byte| *byte == 0);
            if is_clear && rest.iter().all(|byte| *byte == 0) {
                return Ok(Walked { last, valid, end: End::Whole });
            }
            let found = parse(rest, last.journal).filter(|found| last.then(found.changes) == found.at);
            let Some(found) = found else {
                let end = match flipped(rest, &last) {
                    _ if is_followed(rest, last) => End::Damaged(valid),
                    Some(bit) => End::Flipped(valid + (bit / 8) as u64, 1 << (bit % 8)),
                    None => End::Torn(rest.len() as u64),
                };
                return Ok(Walked { last, valid, end });
            };
            at += found.bytes();
            last = found.at;
            see(found.at, found.changes)?;
        }
    }
}

/// Whether a record of a later number stands anywhere in these bytes. One that holds but does not fit where it stands counts, too.
fn is_followed(bytes: &[u8], last: Position) -> bool {
    (0..bytes.len().saturating_sub(RECORD_BYTES)).any(|at| {
        let rest = bytes.get(at..).unwrap_or_default();
        let sequence = rest.get(8..).and_then(<[u8]>::first_chunk).map(|bytes| u64::from_be_bytes(*bytes));
        let later = sequence.is_some_and(|number| number > last.sequence && number - last.sequence <= RECORDS_MAX);
        later && parse(rest, last.journal).is_some()
    })
}

/// A file has fewer records than this.
const RECORDS_MAX: u64 = 1 << 32;
