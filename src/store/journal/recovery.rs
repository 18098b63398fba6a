//! What a start does with journal and tree: the two are compared, and what a crash may leave is mended.
//!
//! Groups are synced one after the other here, and some of them later in the tree. So a crash leaves the tree behind, and its groups are
//! applied again; or ahead by one (its pages reached the disk before a power cut and the record did not), and the record is made
//! again from the tree, whose note of the position proves that it is the same. A tree that is behind by more than the last file has,
//! because an older one was put back or sled gave up the end of a damaged one, is brought forward as well. Anything else is
//! refused.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

use super::{
    Changes, Journal, JournalOptions, Position, create,
    files::{End, Part, list, trouble},
    frame::{HEADER_BYTES, Header, decoded, encoded, keys, parse_head},
    written,
};
use crate::{
    engine::ports::StoreError,
    store::{record::Table, sled::make_private_folder},
};

/// Reads a key of the tree.
pub(crate) type Get<'a> = &'a dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, StoreError>;
/// Applies changes to the tree.
pub(crate) type Apply<'a> = &'a mut dyn FnMut(Changes) -> Result<(), StoreError>;

/// What the tree says of its last group.
struct Noted {
    at: Position,
    changed: Changes,
}

fn noted(get: Get<'_>) -> Result<Option<Noted>, StoreError> {
    let damaged = || StoreError::Journal("the store's note of its journal cannot be read".to_owned());
    let Some(head) = get(&Table::JournalHead.key(&[]))? else { return Ok(None) };
    let (at, pieces, list) = parse_head(&head).ok_or_else(damaged)?;
    let mut list = list.to_vec();
    for piece in 1..=pieces {
        list.extend(get(&Table::JournalHead.key(&[&piece.to_be_bytes()]))?.ok_or_else(damaged)?);
    }
    let mut changed = Changes::new();
    for key in keys(&list).ok_or_else(damaged)? {
        let value = get(&key)?;
        changed.insert(key, value);
    }
    Ok(Some(Noted { at, changed }))
}

/// Whether a folder has a journal in which anything stands.
///
/// # Errors
///
/// `Journal`.
pub(crate) fn has_records(folder: &Path) -> Result<bool, StoreError> {
    for part in list(folder)? {
        let walked = part.walk(|_, _| Ok(()))?;
        if walked.last != part.header.after || walked.end != End::Whole || part.header.after.sequence > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Journal {
    /// Opens the journal in `folder` for the tree that `get` reads, and makes it when neither has one yet; what the tree lacks is
    /// given to `apply` first. The tree must be synced before anything is acknowledged.
    ///
    /// # Errors
    ///
    /// `Journal` with what to do when the two do not belong together, or something between them is missing.
    pub(crate) fn open(
        folder: &Path,
        options: JournalOptions,
        get: Get<'_>,
        apply: Apply<'_>,
    ) -> Result<Self, StoreError> {
        let failed = |error: io::Error| trouble(folder, error);
        let Some(noted) = noted(get)? else {
            if has_records(folder)? {
                return Err(trouble(
                    folder,
                    "it has changes, and the store knows nothing of them: the store's file was removed or exchanged",
                ));
            }
            return Self::begin(folder, options, apply);
        };
        let parts = list(folder)?;
        let Some(newest) = parts.last().cloned() else {
            return Err(trouble(folder, format!("the journal is gone: the store stands at {}", noted.at)));
        };
        if newest.header.after.journal != noted.at.journal {
            return Err(trouble(folder, format!("this is another journal: the store stands at {}", noted.at)));
        }
        let (last, valid) = match compared(folder, &parts, noted.at, apply)? {
            Compared { last, valid, flipped: None } => (last, valid),
            Compared { flipped: Some((byte, bit)), .. } => {
                mend(&newest.path, byte, bit).map_err(failed)?;
                let Compared { last, valid, .. } = compared(folder, &parts, noted.at, apply)?;
                (last, valid)
            }
        };
        let file = File::options().read(true).write(true).open(&newest.path).map_err(failed)?;
        if newest.bytes > valid {
            // What is torn was never acknowledged, and what lies behind it is room.
            file.set_len(valid).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        let closed = parts.iter().take(parts.len() - 1);
        let mut journal = Self {
            folder: folder.to_path_buf(),
            options,
            parts: closed.map(|part| (part.header.after.sequence, part.bytes)).collect(),
            file,
            first: newest.header.after.sequence,
            at: valid,
            reserved: 0,
            ahead: 0,
            last,
        };
        if noted.at.sequence > last.sequence {
            journal.made_again(&noted)?;
        }
        Ok(journal)
    }

    fn begin(folder: &Path, options: JournalOptions, apply: Apply<'_>) -> Result<Self, StoreError> {
        let failed = |error: io::Error| trouble(folder, error);
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_unspecified| trouble(folder, "there are no random numbers"))?;
        make_private_folder(folder).map_err(failed)?;
        for part in list(folder)? {
            fs::remove_file(part.path).map_err(failed)?;
        }
        let start = Position::start(id);
        let file = create(folder, &Header { after: start, before: 0 }).map_err(failed)?;
        folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all()).map_err(failed)?;
        apply(written(&start, &[])?)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            options,
            parts: VecDeque::new(),
            file,
            first: 0,
            at: HEADER_BYTES as u64,
            reserved: 0,
            ahead: 0,
            last: start,
        })
    }

    /// Writes the last record again, from what the tree has.
    fn made_again(&mut self, noted: &Noted) -> Result<(), StoreError> {
        let gap = || {
            trouble(
                &self.folder,
                format!("its end is missing: it has come to {}, and the store stands at {}", self.last, noted.at),
            )
        };
        let body = encoded(&noted.changed)?;
        if self.last.then(&body) != noted.at {
            return Err(gap());
        }
        self.append(&noted.changed).map_err(|why| match why {
            super::NotWritten::Full(what) => StoreError::Full(what),
            super::NotWritten::Failed(what) => trouble(&self.folder, what),
        })?;
        self.file.sync_all().map_err(|error| trouble(&self.folder, error))?;
        tracing::info!(at = %noted.at, "the journal's last record was made again");
        Ok(())
    }
}

/// What was found by [`compared`].
struct Compared {
    /// Where the journal ends.
    last: Position,
    /// Up to which byte its last file is whole.
    valid: u64,
    /// There is one more record, of which this bit of this byte is flipped.
    flipped: Option<(u64, u8)>,
}

/// Flips a bit back.
fn mend(path: &Path, byte: u64, bit: u8) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut found = [0];
    file.read_exact_at(&mut found, byte)?;
    file.write_all_at(&found.map(|found| found ^ bit), byte)?;
    file.sync_all()?;
    tracing::warn!(
        file = %path.display(), byte, bit,
        "a bit of the journal's last record had changed since it was written, and was flipped back: is the disk failing?"
    );
    Ok(())
}

/// Reads the files from the one on that has the store's position; gives what lies beyond it to `apply`.
fn compared(folder: &Path, parts: &[Part], store: Position, apply: Apply<'_>) -> Result<Compared, StoreError> {
    let begins = parts.iter().rposition(|part| part.header.after.sequence <= store.sequence);
    let relevant = begins.and_then(|begins| parts.get(begins..)).unwrap_or_default();
    let Some(first) = relevant.first() else {
        let from = parts.first().map_or(0, |part| part.header.after.sequence);
        return Err(trouble(folder, format!("it begins after change {from}, and the store stands at {store}")));
    };
    let other = || trouble(folder, format!("it tells another history than the store, which stands at {store}"));
    let (mut last, mut valid, mut met, mut applied) = (first.header.after, 0, false, 0_u64);
    let mut flipped = None;
    let meet = |at: Position, met: &mut bool| {
        if at.sequence != store.sequence {
            return Ok(());
        }
        *met = true;
        if at == store { Ok(()) } else { Err(other()) }
    };
    meet(last, &mut met)?;
    for (number, part) in relevant.iter().enumerate() {
        if part.header.after != last {
            return Err(trouble(&part.path, format!("it does not follow {last}")));
        }
        let walked = part.walk(|at, changes| {
            if at.sequence <= store.sequence {
                return meet(at, &mut met);
            }
            let changes = decoded(changes).ok_or_else(|| trouble(&part.path, format!("{at} makes no sense")))?;
            let mut all = written(&at, &changes.keys().collect::<Vec<_>>())?;
            all.extend(changes);
            applied += 1;
            apply(all)
        })?;
        match walked.end {
            End::Whole => {}
            End::Torn(bytes) if number + 1 == relevant.len() => {
                tracing::info!(file = %part.path.display(), bytes, "the journal's last record was not written to its end, and is cut off");
            }
            End::Flipped(byte, bit) if number + 1 == relevant.len() => flipped = Some((byte, bit)),
            End::Torn(_) | End::Flipped(..) | End::Damaged(_) => {
                let what = format!("it is damaged at byte {}, after {}", walked.valid, walked.last);
                return Err(trouble(&part.path, what));
            }
        }
        (last, valid) = (walked.last, walked.valid);
    }
    match applied {
        0 => {}
        // The tree is synced before a file is followed by another one.
        groups if relevant.len() == 1 => {
            tracing::info!(groups, at = %last, "the journal's last groups were applied to the store again");
        }
        groups => tracing::warn!(
            groups,
            at = %last,
            "the store's file was behind its journal and has been brought forward: was an older one put back, or is the disk failing?"
        ),
    }
    Ok(Compared { last, valid, flipped })
}
