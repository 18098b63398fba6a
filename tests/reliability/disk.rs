//! What a disk holds after a power cut, from a record of what reached its files (`shim/disk.c`).
//!
//! What was written to a file and not synced may be there or not, sector by sector. What happened to names happens in its order,
//! as in a journal: a cut leaves some of it from the beginning. A sync promises what was written to its file before it began; one
//! that is not for data alone promises all names until then, and each promises the name of its own file.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Chance;

/// The shim's library, compiled with the C compiler that the program's own build needs; or why there is none.
pub(crate) fn shim(folder: &Path) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reliability/shim/disk.c");
    let library = folder.join("disk.so");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(&compiler);
    command.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    let output = command.output().map_err(|error| format!("{compiler} cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(library),
        false => Err(format!("{compiler} failed: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

const WRITE: u8 = 1;
const LENGTH: u8 = 2;
const CREATED: u8 = 3;
const RENAMED: u8 = 4;
const REMOVED: u8 = 5;
const FOLDER: u8 = 6;
const SYNC_BEGIN: u8 = 7;
const SYNC_END: u8 = 8;

/// One call.
pub(crate) struct Frame {
    kind: u8,
    number: u64,
    offset: usize,
    path: String,
    other: String,
    data: Vec<u8>,
    /// Where it ends in the record.
    pub(crate) end: u64,
}

/// The record's frames, with paths below `folder`.
pub(crate) fn frames(record: &[u8], folder: &Path) -> Vec<Frame> {
    let prefix = format!("{}/", folder.display());
    let (mut at, mut found) = (0, Vec::new());
    let number = |from: usize, bytes: usize| {
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(&record[from..from + bytes]);
        u64::from_le_bytes(value)
    };
    let length = |from: usize| usize::try_from(number(from, 4)).unwrap();
    while at < record.len() {
        let (one, two, data) = (length(at + 17), length(at + 21), length(at + 25));
        let start = at + 29;
        let path = |from: usize, length: usize| {
            let text = String::from_utf8(record[from..from + length].to_vec()).unwrap();
            text.strip_prefix(&prefix).unwrap_or(&text).to_owned()
        };
        found.push(Frame {
            kind: record[at],
            number: number(at + 1, 8),
            offset: usize::try_from(number(at + 9, 8)).unwrap(),
            path: path(start, one),
            other: path(start + one, two),
            data: record[start + one + two..start + one + two + data].to_vec(),
            end: u64::try_from(start + one + two + data).unwrap(),
        });
        at = start + one + two + data;
    }
    found
}

/// What is done to a file's content.
#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                if bytes.len() < at + data.len() {
                    bytes.resize(at + data.len(), 0);
                }
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    /// What was not synced, each with its place in the record.
    pending: Vec<(usize, Change)>,
}

/// What is done to names.
#[derive(Clone)]
enum Naming {
    Set(String, usize),
    Rename(String, String),
    Remove(String),
    Folder(String),
}

/// Files and folders by name; a folder has no file.
type Names = BTreeMap<String, Option<usize>>;

impl Naming {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Set(path, file) => drop(names.insert(path.clone(), Some(*file))),
            Self::Folder(path) => drop(names.insert(path.clone(), None)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                let below = format!("{from}/");
                let moved: Vec<String> =
                    names.keys().filter(|name| *name == from || name.starts_with(&below)).cloned().collect();
                for name in moved {
                    let file = names.remove(&name).unwrap();
                    names.insert(format!("{to}{}", &name[from.len()..]), file);
                }
            }
        }
    }
}

/// What a cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing.
    Dropped,
    /// Some sectors of 512 bytes, and some of the names from the beginning.
    Torn,
}

const SECTOR: usize = 512;

/// A disk on the way through a record.
pub(crate) struct Disk {
    files: Vec<File>,
    /// As the program sees them.
    names: Names,
    /// As they are after a cut.
    durable_names: Names,
    pending_names: Vec<(usize, Naming)>,
    begun: BTreeMap<u64, usize>,
    /// Folders whose power is never cut: they are another machine's.
    spared: &'static [&'static str],
    done: usize,
}

impl Disk {
    /// With what stands below `folder`, all of it durable.
    pub(crate) fn of(folder: &Path, spared: &'static [&'static str]) -> Self {
        let mut disk = Self {
            files: Vec::new(),
            names: Names::new(),
            durable_names: Names::new(),
            pending_names: Vec::new(),
            begun: BTreeMap::new(),
            spared,
            done: 0,
        };
        disk.take(folder, "");
        disk.durable_names.clone_from(&disk.names);
        disk
    }

    fn take(&mut self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                self.names.insert(name.clone(), None);
                self.take(&entry.path(), &format!("{name}/"));
            } else if kind.is_file() {
                self.names.insert(name, Some(self.files.len()));
                self.files.push(File { durable: fs::read(entry.path()).unwrap(), pending: Vec::new() });
            }
        }
    }

    /// Goes on to this place in the record.
    pub(crate) fn advance(&mut self, frames: &[Frame], to: usize) {
        for (at, frame) in frames.iter().enumerate().take(to).skip(self.done) {
            self.play(at, frame);
        }
        self.done = to;
    }

    fn is_spared(&self, path: &str) -> bool {
        self.spared.iter().any(|folder| path.starts_with(folder))
    }

    fn make(&mut self, at: usize, path: &str) -> usize {
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.name(at, Naming::Set(path.to_owned(), file), path);
        file
    }

    fn change(&mut self, at: usize, path: &str, change: Change) {
        let known = self.names.get(path).copied().flatten();
        // One that was opened past the shim is made when it is first written.
        let (file, is_spared) = (known.unwrap_or_else(|| self.make(at, path)), self.is_spared(path));
        match is_spared {
            true => change.apply(&mut self.files[file].durable),
            false => self.files[file].pending.push((at, change)),
        }
    }

    fn name(&mut self, at: usize, naming: Naming, path: &str) {
        naming.apply(&mut self.names);
        match self.is_spared(path) {
            true => naming.apply(&mut self.durable_names),
            false => self.pending_names.push((at, naming)),
        }
    }

    fn play(&mut self, at: usize, frame: &Frame) {
        let path = &frame.path;
        match frame.kind {
            WRITE => self.change(at, path, Change::Write(frame.offset, frame.data.clone())),
            LENGTH => self.change(at, path, Change::Length(frame.offset)),
            CREATED => {
                self.make(at, path);
            }
            RENAMED => self.name(at, Naming::Rename(path.clone(), frame.other.clone()), path),
            REMOVED => self.name(at, Naming::Remove(path.clone()), path),
            FOLDER => self.name(at, Naming::Folder(path.clone()), path),
            SYNC_BEGIN => drop(self.begun.insert(frame.number, at)),
            SYNC_END => {
                let Some(begun) = self.begun.remove(&frame.number) else { return };
                let synced = self.names.get(path).copied().flatten();
                let mut named = if frame.offset == 1 { begun } else { 0 };
                if let Some(file) = synced {
                    let File { durable, pending } = &mut self.files[file];
                    pending.retain(|(at, change)| {
                        if *at < begun {
                            change.apply(durable);
                        }
                        *at >= begun
                    });
                    for (at, naming) in &self.pending_names {
                        if matches!(naming, Naming::Set(_, made) if *made == file) {
                            named = named.max(at + 1);
                        }
                    }
                }
                let names = &mut self.durable_names;
                self.pending_names.retain(|(at, naming)| {
                    if *at < named {
                        naming.apply(names);
                    }
                    *at >= named
                });
            }
            kind => panic!("a frame of kind {kind}"),
        }
    }

    /// How many writes were not synced here.
    pub(crate) fn unsynced(&self) -> usize {
        self.files.iter().map(|file| file.pending.len()).sum()
    }

    /// Puts what a cut leaves here in the place of `folder`.
    pub(crate) fn image(&self, folder: &Path, cut: Cut, chance: &mut Chance) {
        let mut names = self.durable_names.clone();
        let kept = if cut == Cut::Torn { chance.below(self.pending_names.len() + 1) } else { 0 };
        self.pending_names.iter().take(kept).for_each(|(_, naming)| naming.apply(&mut names));
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
        fs::create_dir_all(folder).unwrap();
        for (name, file) in &names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match file {
                None => fs::create_dir_all(&path).unwrap(),
                // It is mapped and not written: a database makes it anew.
                Some(_) if name.ends_with("-shm") => {}
                Some(file) => fs::write(&path, self.content(*file, cut, chance)).unwrap(),
            }
        }
    }

    fn content(&self, file: usize, cut: Cut, chance: &mut Chance) -> Vec<u8> {
        let File { durable, pending } = &self.files[file];
        let mut bytes = durable.clone();
        if cut == Cut::Dropped {
            return bytes;
        }
        for (_, change) in pending {
            match change {
                Change::Length(_) if chance.below(2) == 0 => change.apply(&mut bytes),
                Change::Length(_) => {}
                Change::Write(at, data) => {
                    let mut from = 0;
                    while from < data.len() {
                        // Sectors are the disk's and not the write's.
                        let to = (from + SECTOR - (at + from) % SECTOR).min(data.len());
                        if chance.below(2) == 0 {
                            Change::Write(at + from, data[from..to].to_vec()).apply(&mut bytes);
                        }
                        from = to;
                    }
                }
            }
        }
        bytes
    }
}

#[test]
fn a_sync_covers_what_was_written_before_it_began() {
    let frame = |kind, number, offset, path: &str, data: &[u8]| Frame {
        kind,
        number,
        offset,
        path: path.to_owned(),
        other: String::new(),
        data: data.to_vec(),
        end: 0,
    };
    let record = [
        frame(CREATED, 0, 0, "a", b""),
        frame(WRITE, 0, 0, "a", b"one"),
        frame(SYNC_BEGIN, 1, 0, "a", b""),
        frame(WRITE, 0, 3, "a", b"two"),
        frame(CREATED, 0, 0, "b", b""),
        frame(SYNC_END, 1, 0, "a", b""),
        frame(WRITE, 0, 0, "token/c", b"kept"),
    ];
    let (folder, mut chance) = (tempfile::tempdir().unwrap(), Chance(1));
    fs::create_dir(folder.path().join("token")).unwrap();
    fs::write(folder.path().join("token/c"), b"").unwrap();
    let mut disk = Disk::of(folder.path(), &["token/"]);
    let read = |name: &str| fs::read(folder.path().join("image").join(name)).ok();
    let image = folder.path().join("image");
    disk.advance(&record, 5);
    disk.image(&image, Cut::Dropped, &mut chance);
    assert_eq!((read("a"), read("b")), (None, None));
    disk.advance(&record, 7);
    disk.image(&image, Cut::Dropped, &mut chance);
    assert_eq!((read("a"), read("b"), read("token/c")), (Some(b"one".to_vec()), None, Some(b"kept".to_vec())));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        disk.image(&image, Cut::Torn, &mut chance);
        seen.insert((read("a"), read("b")));
    }
    let (short, long) = (Some(b"one".to_vec()), Some(b"onetwo".to_vec()));
    let all = [(short.clone(), None), (short, Some(vec![])), (long.clone(), None), (long, Some(vec![]))];
    assert_eq!(seen, all.into());
}
