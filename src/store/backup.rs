//! Backups: every record by itself, in a file of our own that any engine can be filled from (docs/backup.md).
//!
//! The file begins with a line that names it and its version, then come frames, each a kind, a length and a body; the last
//! one counts the others, and an HMAC-SHA-256 over everything ends the file. Its key is computed from the store's own, which
//! only the token can compute. Records stand in the encoding they were stored in, without index entries: these are made
//! again. Intents and owed audit records are left out, because they are orders of that moment.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use aws_lc_rs::{constant_time, hmac};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    INDEX_LAYOUT, RawStore,
    backend::{Direction, KeyRange, Pair, RawBatch},
    fences, index,
    journal::{self, Changes, Checked, History, PositionText},
    mark::Mark,
    record::{BODY_BYTES_MAX, HEAD_KEY_BYTES, Head, MacKey, Record, Table, piece_key},
    repository::{Repository, Shared},
};
use crate::{
    domain::{
        ManagedObject, SecretValue,
        group::Group,
        job::Job,
        project::{Project, TransportKey},
    },
    engine::ports::{Revision, StoreError},
};

/// The version of the file that is written; no other is read.
pub const FORMAT: u16 = 1;
const MAGIC: &[u8; 18] = b"portcullis backup\n";
const PURPOSE: &[u8] = b"portcullis backup 1";
const MAC_BYTES: usize = 32;
/// Longest frame: a record and what stands before it.
const FRAME_BYTES_MAX: usize = BODY_BYTES_MAX + 64;
/// Keys read from the store at a time, and written to one.
const STEP: usize = 1_000;

/// What stands in the tables that a backup holds.
const TABLES: [Table; 6] = [Table::Fact, Table::Object, Table::Group, Table::Job, Table::Project, Table::TransportKey];
/// The kinds of frames beside the tables.
const MANIFEST: u8 = 0x00;
const END: u8 = 0xFF;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the program that wrote it.
    pub program: String,
    /// When it was begun, in microseconds since 1970.
    pub made: i64,
    /// Which store, as 32 hexadecimal digits.
    pub store: String,
    /// The store's mark at that moment.
    pub mark: u64,
    /// The latest line of the audit trail that this mark names.
    pub line: u64,
    /// Up to where the journal of changes is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<PositionText>,
}

/// What a backup holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Objects, destroyed ones included.
    pub objects: u64,
    /// Groups.
    pub groups: u64,
    /// Jobs.
    pub jobs: u64,
    /// Projects with settings of their own.
    pub projects: u64,
    /// Transport keys.
    pub transport_keys: u64,
    /// Facts about tokens.
    pub facts: u64,
}

impl Counts {
    fn count(&mut self, kind: u8) -> Option<Table> {
        let table = TABLES.into_iter().find(|table| *table as u8 == kind)?;
        let counter = match table {
            Table::Object => &mut self.objects,
            Table::Group => &mut self.groups,
            Table::Job => &mut self.jobs,
            Table::Project => &mut self.projects,
            Table::TransportKey => &mut self.transport_keys,
            _ => &mut self.facts,
        };
        *counter += 1;
        Some(table)
    }

    /// All records, facts apart.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.objects + self.groups + self.jobs + self.projects + self.transport_keys
    }
}

/// A backup that was read to its end and holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// What it says of itself.
    pub manifest: Manifest,
    /// What it holds.
    pub counts: Counts,
}

impl Verified {
    /// Which store it is of.
    #[must_use]
    pub fn store(&self) -> Option<[u8; 16]> {
        uuid::Uuid::try_parse(&self.manifest.store).ok().map(uuid::Uuid::into_bytes)
    }
}

/// Why a backup is not made or not taken.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The store's own trouble.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The file system's.
    #[error("{0}")]
    File(#[from] io::Error),
    /// It is no backup, or was changed or cut.
    #[error("the backup does not hold: {0}")]
    Damaged(String),
    /// Another program wrote it.
    #[error("the backup has format {0}, this program reads {FORMAT}")]
    Format(u16),
    /// It belongs to another token, or it was changed: the two cannot be told apart.
    #[error("the backup's MAC does not fit: it was changed, or it belongs to another token")]
    Mac,
}

fn damaged(what: impl Into<String>) -> BackupError {
    BackupError::Damaged(what.into())
}

/// Writes and adds to the MAC.
struct Sealing<W> {
    out: W,
    mac: hmac::Context,
}

impl<W: Write> Sealing<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.mac.update(bytes);
        self.out.write_all(bytes)
    }

    fn frame(&mut self, kind: u8, parts: &[&[u8]]) -> Result<(), BackupError> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length).map_err(|_too_long| damaged("a record is too long"))?;
        self.put(&[kind])?;
        self.put(&length.to_be_bytes())?;
        parts.iter().try_for_each(|part| self.put(part))?;
        Ok(())
    }
}

impl Repository {
    /// Writes a backup of this moment's state while others go on writing; `step` is told how many records are done. Blocks.
    ///
    /// # Errors
    ///
    /// `Damaged` records stop it: what cannot be read must not be missed in silence.
    pub fn back_up(
        &self,
        out: impl Write,
        manifest: &Manifest,
        mut step: impl FnMut(u64),
    ) -> Result<Verified, BackupError> {
        let shared = &self.shared;
        let mut snapshot = shared.backend().snapshot()?;
        let (heads, _) = snapshot.read(&KeyRange::prefix(&Table::JournalHead.key(&[])), STEP)?;
        let position = heads.first().and_then(|(_, head)| journal::position(head));
        let manifest = Manifest { journal: position.map(PositionText::from), ..manifest.clone() };
        let mut out = Sealing { out, mac: hmac::Context::with_key(&shared.mac.derived(PURPOSE)) };
        out.put(MAGIC)?;
        out.put(&FORMAT.to_be_bytes())?;
        out.frame(MANIFEST, &[&serde_json::to_vec(&manifest).map_err(io::Error::other)?])?;
        let mut counts = Counts::default();
        for table in TABLES {
            let mut range = KeyRange::prefix(&table.key(&[]));
            let mut open: Option<Open> = None;
            loop {
                let (pairs, next) = snapshot.read(&range, STEP)?;
                for (key, value) in pairs {
                    if table == Table::Fact {
                        if key != index::fact(super::PROBE) {
                            counts.count(table as u8);
                            out.frame(table as u8, &[key.get(1..).unwrap_or_default(), &value])?;
                        }
                        continue;
                    }
                    open = match open.take() {
                        None => Some(Open::new(key, &value)?),
                        Some(record) => Some(record.piece((key, value))?),
                    };
                    if open.as_ref().is_some_and(Open::is_whole)
                        && let Some(record) = open.take()
                    {
                        let body = shared.mac.open(&record.key, &record.head, &record.pieces)?;
                        let revision = record.head.revision.0.to_be_bytes();
                        let id = record.key.get(1..).unwrap_or_default();
                        counts.count(table as u8);
                        out.frame(table as u8, &[&[record.head.version()], &revision, id, &body])?;
                        step(counts.records());
                    }
                }
                match next {
                    Some(last) => range.start = std::ops::Bound::Excluded(last),
                    None => break,
                }
            }
            if let Some(record) = open {
                return Err(record.unfinished().into());
            }
        }
        out.frame(END, &[&serde_json::to_vec(&counts).map_err(io::Error::other)?])?;
        let Sealing { mut out, mac } = out;
        out.write_all(mac.sign().as_ref())?;
        out.flush()?;
        Ok(Verified { manifest, counts })
    }
}

/// A record whose pieces are being collected.
struct Open {
    key: Vec<u8>,
    head: Head,
    pieces: Vec<Vec<u8>>,
}

impl Open {
    fn new(key: Vec<u8>, head: &[u8]) -> Result<Self, StoreError> {
        if key.len() != HEAD_KEY_BYTES {
            return Err(StoreError::Corrupt("a piece without its record".to_owned()));
        }
        Ok(Self { key, head: Head::parse(head)?, pieces: Vec::new() })
    }

    fn is_whole(&self) -> bool {
        self.pieces.len() == usize::from(self.head.pieces)
    }

    fn piece(mut self, (key, value): Pair) -> Result<Self, StoreError> {
        let at = u16::try_from(self.pieces.len()).map_err(|_too_many| StoreError::TooLarge)?;
        if key != piece_key(&self.key, at) {
            return Err(self.unfinished());
        }
        self.pieces.push(value);
        Ok(self)
    }

    fn unfinished(&self) -> StoreError {
        StoreError::Corrupt(format!("{}: a piece of it is missing", super::record::display(&self.key)))
    }
}

/// Reads and adds to the MAC.
struct Checking<R> {
    source: R,
    mac: hmac::Context,
    read: u64,
}

impl<R: Read> Checking<R> {
    fn bare(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.source.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("it ends too early: it was cut, or it was never finished"),
            _ => error.into(),
        })?;
        self.read += bytes.len() as u64;
        Ok(())
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.bare(bytes)?;
        self.mac.update(bytes);
        Ok(())
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>), BackupError> {
        let mut front = [0; 5];
        self.take(&mut front)?;
        let [kind, a, b, c, d] = front;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(damaged(format!("a frame of {length} bytes")));
        }
        let mut body = vec![0; length];
        self.take(&mut body)?;
        Ok((kind, body))
    }
}

/// One frame of a record or fact.
struct Entry<'a> {
    table: Table,
    body: &'a [u8],
}

/// Reads a backup to its end; `see` is shown each record and fact, and how many bytes are read. What `see` was shown is not
/// authentic before this returns.
fn read<R: Read>(
    source: R,
    mac: &MacKey,
    mut see: impl FnMut(Entry<'_>, u64) -> Result<(), BackupError>,
) -> Result<Verified, BackupError> {
    let mut file = Checking { source, mac: hmac::Context::with_key(&mac.derived(PURPOSE)), read: 0 };
    let mut magic = [0; MAGIC.len()];
    file.take(&mut magic)?;
    if magic != *MAGIC {
        return Err(damaged("the file is no backup of portcullis"));
    }
    let mut format = [0; 2];
    file.take(&mut format)?;
    if u16::from_be_bytes(format) != FORMAT {
        return Err(BackupError::Format(u16::from_be_bytes(format)));
    }
    let manifest: Manifest = match file.frame()? {
        (MANIFEST, body) => serde_json::from_slice(&body).map_err(|error| damaged(error.to_string()))?,
        _ => return Err(damaged("its manifest is missing")),
    };
    let mut counts = Counts::default();
    let told: Counts = loop {
        let (kind, body) = file.frame()?;
        if kind == END {
            break serde_json::from_slice(&body).map_err(|error| damaged(error.to_string()))?;
        }
        let table = counts.count(kind).ok_or_else(|| damaged(format!("a frame of kind {kind}")))?;
        see(Entry { table, body: &body }, file.read)?;
    };
    let mut theirs = [0; MAC_BYTES];
    file.bare(&mut theirs)?;
    let ours = file.mac.clone().sign();
    constant_time::verify_slices_are_equal(ours.as_ref(), &theirs).map_err(|_unequal| BackupError::Mac)?;
    if told != counts {
        return Err(damaged("its counts do not fit"));
    }
    if file.source.read(&mut [0; 1])? != 0 {
        return Err(damaged("something follows its end"));
    }
    Ok(Verified { manifest, counts })
}

/// What a record's frame is taken apart into.
struct Framed<'a> {
    version: u8,
    revision: Revision,
    id: [u8; 16],
    body: &'a [u8],
}

fn framed(body: &[u8]) -> Result<Framed<'_>, BackupError> {
    let short = || damaged("a record's frame is too short");
    let ([version], rest) = body.split_first_chunk::<1>().ok_or_else(short)?;
    let (revision, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let (id, body) = rest.split_first_chunk::<16>().ok_or_else(short)?;
    Ok(Framed { version: *version, revision: Revision(u64::from_be_bytes(*revision)), id: *id, body })
}

fn decoded<R: Record>(framed: &Framed<'_>) -> Result<R, BackupError> {
    let (record, rest) = R::read(framed.version, framed.body).map_err(|error| damaged(error.to_string()))?;
    match rest.is_empty() && record.id() == framed.id && framed.version <= super::record::RECORD_VERSION {
        true => Ok(record),
        false => Err(damaged("a record is not the one that its frame names")),
    }
}

/// The pairs that a record is stored as: head, pieces, index entries and names.
fn pairs<R: Record>(mac: &MacKey, framed: &Framed<'_>) -> Result<Vec<Pair>, BackupError> {
    let record: R = decoded(framed)?;
    let encoded = mac.encode(&record, framed.revision)?;
    let key = R::TABLE.key(&[&framed.id]);
    let mut pairs = record.entries();
    pairs.extend(record.claims().into_iter().map(|name| (name, framed.id.to_vec())));
    pairs.extend((0_u16..).zip(encoded.pieces).map(|(at, piece)| (piece_key(&key, at), piece)));
    pairs.push((key, encoded.head));
    Ok(pairs)
}

fn stored(mac: &MacKey, entry: &Entry<'_>) -> Result<Vec<Pair>, BackupError> {
    if entry.table == Table::Fact {
        let (name, value) = entry.body.split_first_chunk::<16>().ok_or_else(|| damaged("a fact is too short"))?;
        return Ok(vec![(Table::Fact.key(&[name]), value.to_vec())]);
    }
    let framed = framed(entry.body)?;
    match entry.table {
        Table::Object => pairs::<ManagedObject>(mac, &framed),
        Table::Group => pairs::<Group>(mac, &framed),
        Table::Job => pairs::<Job>(mac, &framed),
        Table::Project => pairs::<Project>(mac, &framed),
        Table::TransportKey => pairs::<TransportKey>(mac, &framed),
        _ => Err(damaged("a frame of a table that backups do not have")),
    }
}

/// Writes the index entries and names of every record of a kind.
fn entries_of<R: Record>(shared: &Shared) -> Result<(), StoreError> {
    shared.steps(&R::TABLE.key(&[]), |pairs| {
        let mut batch = RawBatch::default();
        for (key, head) in pairs.iter().filter(|(key, _)| key.len() == HEAD_KEY_BYTES) {
            let record = shared.read_at::<R>(key, head)?.versioned.record;
            let names = record.claims().into_iter().map(|name| (name, record.id().to_vec()));
            batch.writes.extend(record.entries().into_iter().chain(names).map(|(key, value)| (key, Some(value))));
        }
        super::committed(shared.backend(), batch)
    })
}

/// Reads a backup to its end, every record decoded, and changes nothing; `step` is told how many bytes are read.
///
/// # Errors
///
/// Why it does not hold.
pub fn verify(source: impl Read, mac_key: &SecretValue, mut step: impl FnMut(u64)) -> Result<Verified, BackupError> {
    let mac = MacKey::new(mac_key)?;
    let mut refused = None;
    // A file that was changed is to be called that, whatever a record of it looks like.
    let verified = read(source, &mac, |entry, bytes| {
        step(bytes);
        if refused.is_none() {
            refused = stored(&mac, &entry).err();
        }
        Ok(())
    })?;
    refused.map_or(Ok(verified), Err)
}

/// The changes after a backup.
pub struct Following<'a> {
    /// The journal of the store that the backup is of.
    pub history: &'a History,
    /// Whether it is right to take what comes before damage.
    pub stop: bool,
}

impl Following<'_> {
    /// Reads it from a backup on and changes nothing; `step` is told how many bytes are read.
    ///
    /// # Errors
    ///
    /// Why it does not follow the backup, or does not hold.
    pub fn verify(&self, backup: &Manifest, mut step: impl FnMut(u64)) -> Result<Checked, StoreError> {
        self.read(backup, |_, bytes| {
            step(bytes);
            Ok(())
        })
    }

    fn read(
        &self,
        backup: &Manifest,
        mut see: impl FnMut(Changes, u64) -> Result<(), StoreError>,
    ) -> Result<Checked, StoreError> {
        let from = backup.journal.as_ref().and_then(PositionText::position);
        let from = from.ok_or_else(|| StoreError::Journal("the backup names no place in a journal".to_owned()))?;
        self.history.after(from, self.stop, |_, changes, bytes| see(changes, bytes))
    }
}

/// Whether what stands under a key is taken over from a backup or a journal; index entries are made anew.
fn is_kept(key: &[u8], orders: bool) -> bool {
    let table = key.first().copied().unwrap_or_default();
    TABLES.iter().any(|kept| *kept as u8 == table)
        || orders && (table == Table::Intent as u8 || table == Table::Owed as u8)
}

impl RawStore {
    /// Makes the changes after a backup again in a store that was filled from it, and the index entries of all records; `step` is
    /// told how many bytes of the journal are read. Without its end, intents are left out, as in a backup: what they ask for
    /// may have been done. Blocks.
    ///
    /// # Errors
    ///
    /// Why the journal does not hold, or the store's own.
    pub fn follow(
        &self,
        backup: &Manifest,
        following: &Following<'_>,
        mac_key: &SecretValue,
        mut step: impl FnMut(u64),
    ) -> Result<Checked, BackupError> {
        let whole = following.verify(backup, |_| {})?.stopped.is_none();
        let mut waiting = RawBatch::default();
        let write = |batch: &mut RawBatch| super::committed(&*self.backend, std::mem::take(batch));
        // The entries that the backup's records had are not those of the records of today.
        for table in 0..=u8::MAX {
            if table == Table::Names as u8 || super::packed::is_packed(&[table]) {
                let mut range = KeyRange::prefix(&[table]);
                loop {
                    let pairs = self.backend.scan(&range, Direction::Up, STEP)?;
                    let Some((last, _)) = pairs.last() else { break };
                    range.start = std::ops::Bound::Excluded(last.clone());
                    waiting.writes.extend(pairs.into_iter().map(|(key, _)| (key, None)));
                    write(&mut waiting)?;
                }
            }
        }
        let checked = following.read(backup, |changes, bytes| {
            waiting.writes.extend(changes.into_iter().filter(|(key, _)| is_kept(key, whole)));
            if waiting.writes.len() >= STEP {
                write(&mut waiting)?;
                step(bytes);
            }
            Ok(())
        })?;
        write(&mut waiting)?;
        let shared = Shared::new(Arc::clone(&self.backend), MacKey::new(mac_key)?);
        entries_of::<ManagedObject>(&shared)?;
        entries_of::<Group>(&shared)?;
        entries_of::<Job>(&shared)?;
        entries_of::<Project>(&shared)?;
        entries_of::<TransportKey>(&shared)?;
        Ok(checked)
    }

    /// Fills a store that nothing was ever written to; `step` is told how many bytes of the backup are read. The store can be
    /// unlocked when this has ended well, and not before. `mark` is its mark from then on. Blocks.
    ///
    /// # Errors
    ///
    /// Why the backup does not hold, or the store's own.
    pub fn fill(
        &self,
        source: impl Read,
        mac_key: &SecretValue,
        mark: Mark,
        mut step: impl FnMut(u64),
    ) -> Result<Verified, BackupError> {
        let mac = MacKey::new(mac_key)?;
        let mut waiting = RawBatch::default();
        let write = |batch: &mut RawBatch| super::committed(&*self.backend, std::mem::take(batch));
        let verified = read(source, &mac, |entry, bytes| {
            waiting.writes.extend(stored(&mac, &entry)?.into_iter().map(|(key, value)| (key, Some(value))));
            if waiting.writes.len() >= STEP {
                write(&mut waiting)?;
                step(bytes);
            }
            Ok(())
        })?;
        let check = Table::KeyCheck.key(&[]);
        let sealed = mac.seal(&check, Revision(1), Vec::new(), 0)?.head;
        // All entries are there, so the counts alone are left to be made when it is unlocked.
        let layout = (Table::IndexLayout.key(&[]), vec![INDEX_LAYOUT, u8::MAX]);
        let last = [(check, sealed), layout, mark.sealed(&mac)?];
        waiting.writes.extend(fences());
        waiting.writes.extend(last.into_iter().map(|(key, value)| (key, Some(value))));
        write(&mut waiting)?;
        Ok(verified)
    }
}
