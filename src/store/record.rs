//! What is written: a head and, beside it, the body in pieces of at most 4 KiB.
//!
//! The head is `version (1) ‖ revision (8) ‖ pieces (2) ‖ MAC (16)`; with no pieces the body follows it at once. The MAC is
//! HMAC-SHA-256, cut to 16 bytes, over the head's key, the head without its MAC, and the whole body: a record that was
//! changed, or moved to another key, does not verify. An object's body stands in its head unless it is long: sled keeps memory for
//! each leaf of sixteen keys, and rewrites a leaf as a whole after ten changes of it.
//!
//! Bodies are postcard; a change of a type in `domain` that alters its encoding takes a new `RECORD_VERSION` and an entry in
//! `older`, which reads what earlier programs wrote. A record is written in today's encoding when it changes next.

use aws_lc_rs::{constant_time, hmac};
use serde::{Serialize, de::DeserializeOwned};

use super::{backend::Key, index::Entry, older};
use crate::{
    domain::{
        ManagedObject, SecretValue,
        audit::AuditEvent,
        group::Group,
        job::Job,
        project::{Project, TransportKey},
    },
    engine::ports::{Intent, Revision, StoreError},
};

/// The encoding written today; 1 to this are read.
pub(super) const RECORD_VERSION: u8 = 2;
/// Longest piece; sled keeps larger values in separate files that our sync does not cover.
pub(super) const PIECE_BYTES: usize = 4096;
/// Longest body.
pub(super) const BODY_BYTES_MAX: usize = 512 * 1024;
/// Length of the key that unlocks the store.
pub(super) const MAC_KEY_BYTES: usize = 32;

const MAC_BYTES: usize = 16;

/// The tables of the store: the first byte of a key. Small and short-lived keys lie together, away from the records, so that
/// rewriting the leaf they live in stays cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Table {
    /// Up to where the journal of changes is in the tree. The first, so that a snapshot has it before all else.
    JournalHead = 0x00,
    /// Facts of the `Memory` port.
    Fact = 0x01,
    /// The record that tells whether the MAC key is the right one.
    KeyCheck = 0x02,
    /// Which index entries the records have.
    IndexLayout = 0x03,
    /// How far the store has come.
    Mark = 0x04,
    /// Keys that are never changed; they keep the tables around them in leaves of their own.
    FenceLow = 0x10,
    /// Intents.
    Intent = 0x20,
    /// Owed audit records.
    Owed = 0x21,
    /// How many there are: of everything, and of each project.
    Counts = 0x22,
    /// As `FenceLow`.
    FenceHigh = 0x2F,
    /// Objects by creation.
    ObjectsByCreation = 0x30,
    /// Objects by project and creation.
    ObjectsByProject = 0x31,
    /// Names.
    Names = 0x32,
    /// Objects by user in their access list.
    ObjectsByGrant = 0x33,
    /// Groups by project and creation.
    GroupsByProject = 0x34,
    /// Groups by member.
    GroupsByMember = 0x35,
    /// Jobs by project and creation.
    JobsByProject = 0x36,
    /// Jobs that are not finished.
    PendingJobs = 0x37,
    /// Objects that are not destroyed, by project and creation.
    LiveByProject = 0x38,
    /// Objects that are not destroyed, by project, shown name and creation.
    LiveByName = 0x39,
    /// Objects that are not destroyed and will expire, by that time; the value is the project.
    Expiring = 0x3A,
    /// Destroyed objects, by that time.
    Destroyed = 0x3B,
    /// Consumers, by the project that registered them.
    ConsumersByProject = 0x3C,
    /// Projects with quotas of their own, by the time these were set.
    ProjectsByQuota = 0x3D,
    /// Objects by project, storage status, attribute and creation, and by project and dates.
    ObjectsByTerm = 0x3E,
    /// As `FenceLow`.
    FenceRecords = 0x3F,
    /// Blocks of the index entries above, by their lowest key.
    Block = 0x40,
    /// Changes of index entries that are not in the blocks yet, by their order.
    Journal = 0x41,
    /// As `FenceLow`.
    FenceJournal = 0x42,
    /// Objects.
    Object = 0x80,
    /// Groups.
    Group = 0x81,
    /// Jobs.
    Job = 0x82,
    /// Projects.
    Project = 0x83,
    /// Transport keys.
    TransportKey = 0x84,
}

impl Table {
    /// A key of this table.
    #[must_use]
    pub(super) fn key(self, rest: &[&[u8]]) -> Key {
        let mut key = Vec::with_capacity(1 + rest.iter().map(|part| part.len()).sum::<usize>());
        key.push(self as u8);
        rest.iter().for_each(|part| key.extend_from_slice(part));
        key
    }
}

/// Something with a head, a body and index entries.
pub(super) trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Where it is kept.
    const TABLE: Table;
    /// Longest body that stands in the head itself.
    const INLINE_BYTES: usize;
    /// Its identifier.
    fn id(&self) -> [u8; 16];
    /// The index entries that follow it.
    fn entries(&self) -> Vec<Entry>;
    /// Under which label it is counted: its table, unless it has kinds.
    fn label(&self) -> Vec<u8> {
        vec![Self::TABLE as u8]
    }
    /// The index keys that only one record may have at a time.
    fn claims(&self) -> Vec<Key> {
        Vec::new()
    }
    /// Reads a body of some encoding up to today's; what follows it is given back.
    ///
    /// # Errors
    ///
    /// postcard's.
    fn read(_version: u8, body: &[u8]) -> postcard::Result<(Self, &[u8])> {
        postcard::take_from_bytes(body)
    }
}

impl Record for ManagedObject {
    const TABLE: Table = Table::Object;
    const INLINE_BYTES: usize = 1024;
    fn id(&self) -> [u8; 16] {
        self.identifier.bytes()
    }
    fn entries(&self) -> Vec<Entry> {
        super::index::of_object(self)
    }
    fn label(&self) -> Vec<u8> {
        super::index::label(self).to_vec()
    }
    fn claims(&self) -> Vec<Key> {
        super::index::names(self)
    }
}

impl Record for Group {
    const TABLE: Table = Table::Group;
    const INLINE_BYTES: usize = 0;
    fn id(&self) -> [u8; 16] {
        self.identifier.bytes()
    }
    fn entries(&self) -> Vec<Entry> {
        super::index::of_group(self)
    }
}

impl Record for Job {
    const TABLE: Table = Table::Job;
    const INLINE_BYTES: usize = 0;
    fn id(&self) -> [u8; 16] {
        self.identifier.bytes()
    }
    fn entries(&self) -> Vec<Entry> {
        super::index::of_job(self)
    }
}

impl Record for Project {
    const TABLE: Table = Table::Project;
    const INLINE_BYTES: usize = PIECE_BYTES - HEAD_BYTES;
    fn id(&self) -> [u8; 16] {
        super::index::project(&self.id)
    }
    fn entries(&self) -> Vec<Entry> {
        super::index::of_project(self)
    }
}

impl Record for TransportKey {
    const TABLE: Table = Table::TransportKey;
    const INLINE_BYTES: usize = 0;
    fn id(&self) -> [u8; 16] {
        self.identifier.bytes()
    }
    fn entries(&self) -> Vec<Entry> {
        Vec::new()
    }
}

impl Record for Intent {
    const TABLE: Table = Table::Intent;
    const INLINE_BYTES: usize = PIECE_BYTES - HEAD_BYTES;
    fn read(version: u8, body: &[u8]) -> postcard::Result<(Self, &[u8])> {
        if version < older::HTTP_FACTS { older::intent(body) } else { postcard::take_from_bytes(body) }
    }
    fn id(&self) -> [u8; 16] {
        self.id
    }
    fn entries(&self) -> Vec<Entry> {
        Vec::new()
    }
}

impl Record for AuditEvent {
    const TABLE: Table = Table::Owed;
    const INLINE_BYTES: usize = PIECE_BYTES - HEAD_BYTES;
    fn read(version: u8, body: &[u8]) -> postcard::Result<(Self, &[u8])> {
        if version < older::HTTP_FACTS { older::event(body) } else { postcard::take_from_bytes(body) }
    }
    fn id(&self) -> [u8; 16] {
        self.id
    }
    fn entries(&self) -> Vec<Entry> {
        Vec::new()
    }
}

/// The key of a record's head.
#[must_use]
pub(super) fn head_key<R: Record>(id: [u8; 16]) -> Key {
    R::TABLE.key(&[&id])
}

/// The key of one piece of its body.
#[must_use]
pub(super) fn piece_key(head_key: &[u8], piece: u16) -> Key {
    [head_key, &piece.to_be_bytes()].concat()
}

/// Length of a head's key: table and identifier. Pieces have longer keys.
pub(super) const HEAD_KEY_BYTES: usize = 17;

const PREFIX_BYTES: usize = 1 + 8 + 2;
const HEAD_BYTES: usize = PREFIX_BYTES + MAC_BYTES;

/// A head, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// The revision of the record.
    pub(super) revision: Revision,
    /// In how many pieces the body stands beside the head.
    pub(super) pieces: u16,
    prefix: [u8; PREFIX_BYTES],
    mac: [u8; MAC_BYTES],
    inline: Vec<u8>,
}

impl Head {
    /// Takes a stored head apart.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is too short or of an unknown version.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, StoreError> {
        let short = || StoreError::Corrupt("a record's head is too short".to_owned());
        let (prefix, rest) = bytes.split_first_chunk::<PREFIX_BYTES>().ok_or_else(short)?;
        let (mac, inline) = rest.split_first_chunk::<MAC_BYTES>().ok_or_else(short)?;
        let [version, r0, r1, r2, r3, r4, r5, r6, r7, p0, p1] = *prefix;
        if !(1..=RECORD_VERSION).contains(&version) {
            return Err(StoreError::Corrupt(format!(
                "a record of encoding {version}: this program reads 1 to {RECORD_VERSION}"
            )));
        }
        let revision = Revision(u64::from_be_bytes([r0, r1, r2, r3, r4, r5, r6, r7]));
        let pieces = u16::from_be_bytes([p0, p1]);
        Ok(Self { revision, pieces, prefix: *prefix, mac: *mac, inline: inline.to_vec() })
    }
}

impl Head {
    /// The encoding of the body.
    pub(super) const fn version(&self) -> u8 {
        let [version, ..] = self.prefix;
        version
    }
}

/// A record as it is written.
#[derive(Debug)]
pub(super) struct Encoded {
    /// The value of the head's key.
    pub(super) head: Vec<u8>,
    /// The values of the pieces, in order.
    pub(super) pieces: Vec<Vec<u8>>,
}

/// The key that makes and checks the MACs.
pub(super) struct MacKey(hmac::Key);

impl MacKey {
    /// From 32 bytes.
    ///
    /// # Errors
    ///
    /// `Unavailable` for any other length.
    pub(super) fn new(key: &SecretValue) -> Result<Self, StoreError> {
        if key.len() != MAC_KEY_BYTES {
            return Err(StoreError::Unavailable(format!("the store's MAC key must have {MAC_KEY_BYTES} bytes")));
        }
        #[expect(clippy::disallowed_methods, reason = "the MAC key is used here, inside the process")]
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret())))
    }

    /// A key for something else, computed from this one. Purposes are texts, and begin as no table does.
    pub(super) fn derived(&self, purpose: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.0, purpose).as_ref())
    }

    /// Encodes a record.
    ///
    /// # Errors
    ///
    /// `TooLarge` beyond [`BODY_BYTES_MAX`].
    pub(super) fn encode<R: Record>(&self, record: &R, revision: Revision) -> Result<Encoded, StoreError> {
        let body = postcard::to_stdvec(record)
            .map_err(|error| StoreError::Corrupt(format!("a record cannot be encoded: {error}")))?;
        self.seal(&head_key::<R>(record.id()), revision, body, R::INLINE_BYTES)
    }

    /// Puts a head before a body.
    pub(super) fn seal(
        &self,
        head_key: &[u8],
        revision: Revision,
        body: Vec<u8>,
        inline_bytes: usize,
    ) -> Result<Encoded, StoreError> {
        self.seal_as(RECORD_VERSION, head_key, revision, body, inline_bytes)
    }

    /// The same for a body in the encoding of `version`.
    pub(super) fn seal_as(
        &self,
        version: u8,
        head_key: &[u8],
        revision: Revision,
        body: Vec<u8>,
        inline_bytes: usize,
    ) -> Result<Encoded, StoreError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(StoreError::TooLarge);
        }
        let cut: &[u8] = if body.len() <= inline_bytes { &[] } else { &body };
        let pieces: Vec<Vec<u8>> = cut.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect();
        let count = u16::try_from(pieces.len()).map_err(|_too_many| StoreError::TooLarge)?;
        let mut head = Vec::with_capacity(HEAD_BYTES + if pieces.is_empty() { body.len() } else { 0 });
        head.push(version);
        head.extend_from_slice(&revision.0.to_be_bytes());
        head.extend_from_slice(&count.to_be_bytes());
        let mac = self.mac(head_key, &head, &body);
        head.extend_from_slice(mac.as_ref().split_at(MAC_BYTES).0);
        if pieces.is_empty() {
            head.extend_from_slice(&body);
        }
        Ok(Encoded { head, pieces })
    }

    /// Checks and decodes a record.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the MAC does not fit or the body cannot be read.
    pub(super) fn decode<R: Record>(&self, head_key: &[u8], head: &Head, pieces: &[Vec<u8>]) -> Result<R, StoreError> {
        let body = self.open(head_key, head, pieces)?;
        let damaged = |why: &str| StoreError::Corrupt(format!("{}: {why}", display(head_key)));
        let [version, ..] = head.prefix;
        let (record, rest) = R::read(version, &body).map_err(|error| damaged(&error.to_string()))?;
        match rest.is_empty() && R::TABLE.key(&[&record.id()]) == head_key {
            true => Ok(record),
            false => Err(damaged("the body is not this record's")),
        }
    }

    /// Checks a record and gives its body.
    pub(super) fn open(&self, head_key: &[u8], head: &Head, pieces: &[Vec<u8>]) -> Result<Vec<u8>, StoreError> {
        let body = if head.pieces == 0 { head.inline.clone() } else { pieces.concat() };
        let mac = self.mac(head_key, &head.prefix, &body);
        constant_time::verify_slices_are_equal(mac.as_ref().split_at(MAC_BYTES).0, &head.mac)
            .map_err(|_unequal| StoreError::Corrupt(format!("{}: its MAC does not fit", display(head_key))))?;
        Ok(body)
    }

    fn mac(&self, head_key: &[u8], prefix: &[u8], body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        // Key and prefix have fixed lengths within a table, so the parts cannot be shifted against each other.
        [head_key, prefix, body].into_iter().for_each(|part| context.update(part));
        context.sign()
    }
}

/// A record's key for people.
pub(super) fn display(head_key: &[u8]) -> String {
    let table = match head_key.first() {
        Some(0x02) => "the key check",
        Some(0x04) => "the store's mark",
        Some(0x20) => "intent",
        Some(0x21) => "owed audit record",
        Some(0x80) => "object",
        Some(0x81) => "group",
        Some(0x82) => "job",
        Some(0x83) => "project",
        Some(0x84) => "transport key",
        _ => "record",
    };
    match head_key.get(1..).and_then(|id| uuid::Uuid::from_slice(id).ok()) {
        Some(id) => format!("{table} {id}"),
        None => table.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MacKey {
        MacKey::new(&SecretValue::new(vec![7; 32])).unwrap()
    }

    fn open(sealed: &Encoded, at: &[u8]) -> Result<Vec<u8>, StoreError> {
        key().open(at, &Head::parse(&sealed.head)?, &sealed.pieces)
    }

    #[test]
    fn bodies_survive_inline_and_in_pieces() {
        for (length, inline, pieces) in
            [(0, 0, 0), (10, 100, 0), (10, 0, 1), (4096, 0, 1), (4097, 0, 2), (BODY_BYTES_MAX, 0, 128)]
        {
            let body = vec![1; length];
            let sealed = key().seal(b"k", Revision(3), body.clone(), inline).unwrap();
            assert_eq!(sealed.pieces.len(), pieces);
            assert_eq!(open(&sealed, b"k").unwrap(), body);
        }
        assert_eq!(key().seal(b"k", Revision(1), vec![1; BODY_BYTES_MAX + 1], 0).unwrap_err(), StoreError::TooLarge);
    }

    #[test]
    fn every_flipped_byte_another_key_and_another_place_are_noticed() {
        let sealed = key().seal(b"k", Revision(3), b"body".to_vec(), 100).unwrap();
        for at in 0..sealed.head.len() {
            let mut head = sealed.head.clone();
            head[at] ^= 1;
            let result = open(&Encoded { head, pieces: vec![] }, b"k");
            assert!(matches!(result, Err(StoreError::Corrupt(_))), "byte {at}");
        }
        assert!(open(&sealed, b"l").is_err());
        let other = MacKey::new(&SecretValue::new(vec![8; 32])).unwrap();
        assert!(other.open(b"k", &Head::parse(&sealed.head).unwrap(), &[]).is_err());
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert!(MacKey::new(&SecretValue::new(vec![7; 31])).is_err());
    }
}
