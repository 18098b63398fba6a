//! The mark: how far the store has come, by its own count.
//!
//! Now and then the store's mark is moved and the token is told its number. A store whose mark is below the number that the
//! token knows is an older copy. The mark also names a line of the audit trail that was on disk when it was made. It is
//! authenticated like a record; which store it belongs to is a random identifier that goes with a backup.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{
    backend::{Condition, RawBatch},
    record::{Head, MacKey, Table},
    repository::Repository,
    sled::UNCHECKED,
};
use crate::engine::ports::{Revision, StoreError};

/// How far a store has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which store.
    pub store: [u8; 16],
    /// Counts the marks of this store.
    pub number: u64,
    /// A line of the audit trail that was on disk by then, 0 for none.
    pub line: u64,
    /// Its hash.
    pub line_hash: [u8; 32],
}

const BYTES: usize = 16 + 8 + 8 + 32;

impl Mark {
    /// Its bytes, for the store and for the token.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.store[..], &self.number.to_be_bytes(), &self.line.to_be_bytes(), &self.line_hash].concat()
    }

    /// From such bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (store, rest) = <&[u8; BYTES]>::try_from(bytes).ok()?.split_first_chunk::<16>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (line, hash) = rest.split_first_chunk::<8>()?;
        Some(Self {
            store: *store,
            number: u64::from_be_bytes(*number),
            line: u64::from_be_bytes(*line),
            line_hash: hash.try_into().ok()?,
        })
    }

    /// As it is written.
    pub(super) fn sealed(self, mac: &MacKey) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
        let key = Table::Mark.key(&[]);
        let sealed = mac.seal(&key, Revision(self.number), self.to_bytes(), BYTES)?;
        Ok((key, sealed.head))
    }
}

impl Repository {
    /// The mark; `None` in a store that never had one. May wait for the disk.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `Unavailable`.
    pub fn mark(&self) -> Result<Option<Mark>, StoreError> {
        let key = Table::Mark.key(&[]);
        let Some(stored) = self.shared.backend().get(&key)? else { return Ok(None) };
        let body = self.shared.mac.open(&key, &Head::parse(&stored)?, &[])?;
        let mark = Mark::from_bytes(&body);
        mark.map(Some).ok_or_else(|| StoreError::Corrupt("the store's mark has another length".to_owned()))
    }

    /// Moves the mark from `before`. Waits for the disk.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is not at `before`; else as a commit.
    pub fn move_mark(&self, before: Option<Mark>, mark: Mark) -> Result<(), StoreError> {
        let (key, value) = mark.sealed(&self.shared.mac)?;
        let expected = before.map(|before| before.sealed(&self.shared.mac)).transpose()?.map(|(_, value)| value);
        let condition = Condition { key: key.clone(), expected, otherwise: StoreError::Conflict };
        let batch =
            RawBatch { conditions: vec![condition], writes: [(key, Some(value))].into(), ..RawBatch::default() };
        super::committed(self.shared.backend(), batch)?;
        self.marked.make().map_err(|error| StoreError::Unavailable(format!("beside the store's files: {error}")))
    }
}

/// An empty file beside the engine's that says that the store has had a mark.
#[derive(Clone, Default)]
pub(super) struct Marked(Option<PathBuf>);

impl Marked {
    /// Of the store in a folder.
    pub(super) fn at(folder: &Path) -> Self {
        Self(Some(folder.join("marked")))
    }

    pub(super) fn is_there(&self) -> bool {
        self.0.as_ref().is_some_and(|path| path.exists())
    }

    /// Where it stands that the store was repaired, if it was.
    pub(super) fn unchecked(&self) -> Option<PathBuf> {
        let path = self.0.as_ref()?.with_file_name(UNCHECKED);
        path.exists().then_some(path)
    }

    fn make(&self) -> io::Result<()> {
        let Some(path) = self.0.as_ref().filter(|path| !path.exists()) else { return Ok(()) };
        File::create(path)?.sync_all()?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_and_nothing_else_is_one() {
        let mark = Mark { store: [1; 16], number: 7, line: 9, line_hash: [3; 32] };
        assert_eq!(Mark::from_bytes(&mark.to_bytes()), Some(mark));
        assert_eq!(Mark::from_bytes(&mark.to_bytes()[1..]), None);
    }
}
