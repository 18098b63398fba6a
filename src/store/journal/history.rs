//! A journal that no gateway writes: what a store is made from again, after a backup.

use std::path::{Path, PathBuf};

use super::{
    Changes, Position,
    files::{End, Part, list, trouble},
    frame::decoded,
};
use crate::engine::ports::StoreError;

/// The files of a journal.
pub struct History {
    folder: PathBuf,
    parts: Vec<Part>,
}

/// What was read of a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Groups of changes after the backup.
    pub groups: u64,
    /// The number of the last one.
    pub last: u64,
    /// Bytes at the end that were not written to their end, and are no acknowledged change.
    pub cut: u64,
    /// Where it is damaged, and reading was to stop there.
    pub stopped: Option<String>,
}

impl History {
    /// Looks at the files; nothing but their heads is read.
    ///
    /// # Errors
    ///
    /// `Journal` when one is missing or has no head.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Ok(Self { folder: folder.to_path_buf(), parts: list(folder)? })
    }

    /// Whether there is any.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether it is the journal of this position.
    #[must_use]
    pub fn is_of(&self, at: &Position) -> bool {
        self.parts.first().is_some_and(|part| part.header.after.journal == at.journal)
    }

    /// Bytes of its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Shows `see` every group after a position, and how many bytes are read, in their order.
    ///
    /// # Errors
    ///
    /// `Journal` when it does not go back to `from` or is damaged, unless reading is to `stop` there; those of `see`.
    pub fn after(
        &self,
        from: Position,
        stop: bool,
        mut see: impl FnMut(Position, Changes, u64) -> Result<(), StoreError>,
    ) -> Result<Checked, StoreError> {
        let begins = self.parts.iter().rposition(|part| part.header.after.sequence <= from.sequence);
        let relevant = begins.and_then(|begins| self.parts.get(begins..)).unwrap_or_default();
        let first = relevant.first().filter(|part| part.header.after.journal == from.journal).ok_or_else(|| {
            trouble(&self.folder, format!("it does not go back to {from}, at which the backup was made"))
        })?;
        let mut checked = Checked { last: from.sequence, ..Checked::default() };
        let (mut last, mut met, mut read) = (first.header.after, first.header.after == from, 0_u64);
        for (number, part) in relevant.iter().enumerate() {
            let mut whole = Ok(());
            if part.header.after != last {
                whole = Err(format!("{}: it does not follow {last}", part.path.display()));
            }
            if whole.is_ok() {
                let walked = part.walk(|at, changes| {
                    if at.sequence > from.sequence && met {
                        let changes =
                            decoded(changes).ok_or_else(|| trouble(&part.path, format!("{at} makes no sense")))?;
                        checked.groups += 1;
                        checked.last = at.sequence;
                        see(at, changes, read)?;
                    }
                    met |= at == from;
                    Ok(())
                })?;
                last = walked.last;
                whole = match walked.end {
                    End::Whole => Ok(()),
                    End::Torn(bytes) if number + 1 == relevant.len() => {
                        checked.cut = bytes;
                        Ok(())
                    }
                    End::Torn(_) | End::Flipped(..) | End::Damaged(_) => {
                        Err(format!("{}: it is damaged at byte {}, after {last}", part.path.display(), walked.valid))
                    }
                };
            }
            read += part.bytes;
            match whole {
                Ok(()) => {}
                Err(what) if stop && met => {
                    checked.stopped = Some(what);
                    break;
                }
                Err(what) => return Err(StoreError::Journal(what)),
            }
        }
        match met {
            true => Ok(checked),
            false => Err(trouble(&self.folder, format!("it has no {from}, at which the backup was made"))),
        }
    }
}
