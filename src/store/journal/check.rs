//! Reads all of a journal, from its oldest file to the store's position, and says what does not hold.
//!
//! A start reads the end only, because the rest matters to a restore alone. Nothing is changed, and reading goes on behind a damaged place
//! with the next file, whose head says what it follows.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    JournalStatus, Position,
    files::{End, Part, SUFFIX, name},
    frame::{HEADER_BYTES, Header},
};

/// What reading a journal has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalCheck {
    /// Files that were read.
    pub files: u64,
    /// Groups of changes in them.
    pub groups: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// It has the changes after this number.
    pub after: u64,
    /// The number of the last one that holds.
    pub last: u64,
    /// What does not hold.
    pub damaged: Vec<Damage>,
}

/// A place of a journal that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// At which byte of it.
    pub byte: u64,
    /// The number of the change that it comes after.
    pub after: u64,
    /// What is wrong.
    pub what: String,
}

impl JournalCheck {
    /// Whether all of it holds.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.damaged.is_empty()
    }
}

/// Reads the journal in a folder. `status` says what there should be: asked before and after, as files may come and go meanwhile.
pub(in crate::store) fn check(folder: &Path, status: impl Fn() -> Option<JournalStatus>) -> JournalCheck {
    let Some(before) = status() else { return JournalCheck::default() };
    let mut reading = Reading { before, check: JournalCheck::default(), last: None, met: false };
    let mut found = Vec::new();
    match names(folder) {
        Ok(names) => names.iter().for_each(|(after, bytes)| found.push((*after, *bytes))),
        Err(error) => reading.damage(folder, 0, 0, error.to_string()),
    }
    let count = found.len();
    for (at, (after, bytes)) in found.into_iter().enumerate() {
        let path = folder.join(name(after));
        match reading.file(&path, bytes, at + 1 == count) {
            Ok(()) => {}
            // It was too old, and was removed: what follows begins anew.
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_gone(after, status()) => {}
            Err(error) => reading.damage(&path, 0, after, error.to_string()),
        }
    }
    let Reading { check, met, .. } = &mut reading;
    if !*met && check.damaged.is_empty() {
        let (after, what) = (check.last, format!("its end is missing: the store stands at {}", before.last));
        reading.damage(folder, 0, after, what);
    }
    reading.check
}

/// The files by the number that each follows, and their bytes.
fn names(folder: &Path) -> io::Result<Vec<(u64, u64)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let own = entry.file_name();
        let number = own.to_str().and_then(|own| own.strip_suffix(SUFFIX)?.strip_suffix('.'));
        let Some(after) = number.and_then(|number| u64::from_str_radix(number, 16).ok()) else { continue };
        match entry.metadata() {
            Ok(metadata) => names.push((after, metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a file has been removed by the writer because the journal was long enough without it.
fn is_gone(after: u64, now: Option<JournalStatus>) -> bool {
    now.is_some_and(|now| after < now.after)
}

struct Reading {
    before: JournalStatus,
    check: JournalCheck,
    /// Where the file before has ended, when it was whole.
    last: Option<Position>,
    /// Whether the store's position was come to.
    met: bool,
}

impl Reading {
    fn damage(&mut self, path: &Path, byte: u64, after: u64, what: String) {
        self.check.damaged.push(Damage { file: path.display().to_string(), byte, after, what });
        self.last = None;
    }

    fn file(&mut self, path: &Path, bytes: u64, is_newest: bool) -> io::Result<()> {
        let head = {
            use std::os::unix::fs::FileExt as _;
            let mut head = vec![0; HEADER_BYTES];
            let file = fs::File::open(path)?;
            match file.read_exact_at(&mut head, 0) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Vec::new(),
                read => read.map(|()| head)?,
            }
        };
        let named = path.file_stem().and_then(|stem| u64::from_str_radix(stem.to_str()?, 16).ok()).unwrap_or_default();
        let Some(header) = Header::parse(&head) else {
            // In the making: the store's position is in the file before it.
            if !is_newest || named < self.before.last.sequence {
                self.damage(path, 0, named, "its head cannot be read".to_owned());
            }
            return Ok(());
        };
        self.check.files += 1;
        self.check.bytes += bytes;
        if self.check.files == 1 {
            self.check.after = header.after.sequence;
        }
        if header.after.sequence != named {
            self.damage(path, 0, header.after.sequence, "its name is not the one it was given".to_owned());
        }
        if header.after.journal != self.before.last.journal {
            self.damage(path, 0, header.after.sequence, "it is of another journal".to_owned());
            return Ok(());
        }
        if let Some(last) = self.last.filter(|last| *last != header.after) {
            self.damage(path, 0, last.sequence, format!("it does not follow {last}: a file is missing before it"));
        }
        let wanted = self.before.last;
        let (mut groups, mut met, mut other) = (0, header.after == wanted, false);
        let part = Part { path: path.to_path_buf(), header, bytes };
        let walked = part.walk(|at, _| {
            groups += 1;
            met |= at == wanted;
            other |= at.sequence == wanted.sequence && at != wanted;
            Ok(())
        });
        self.check.groups += groups;
        let walked = match walked {
            Ok(walked) => walked,
            Err(_) if !path.exists() => return Err(io::ErrorKind::NotFound.into()),
            Err(error) => return Err(io::Error::other(error)),
        };
        self.met |= met;
        self.check.last = walked.last.sequence;
        self.last = Some(walked.last);
        if other {
            let what = format!("it tells another history than the store, which stands at {wanted}");
            self.damage(path, 0, wanted.sequence, what);
        }
        match walked.end {
            End::Whole => {}
            // Beyond the store's position it may be in the writing.
            End::Torn(_) if is_newest && self.met => {}
            End::Flipped(byte, _) if is_newest => {
                let what = "a bit of the last record has changed since it was written; the next start flips it back"
                    .to_owned();
                self.damage(path, byte, walked.last.sequence, what);
            }
            End::Torn(_) | End::Flipped(..) | End::Damaged(_) => {
                let what = "what stands there cannot be read".to_owned();
                self.damage(path, walked.valid, walked.last.sequence, what);
            }
        }
        Ok(())
    }
}
