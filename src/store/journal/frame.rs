//! The bytes of the journal: the head of a file, and one record for each group of commits.
//!
//! A record is `length (4) ‖ CRC32C (4) ‖ sequence (8) ‖ chain (32)`, then the changes. The chain is SHA-256 over the chain before
//! it, the sequence and the changes, so a record that is missing, exchanged or out of place shows in the next one. The
//! journal's random identifier goes into each CRC: bytes that a client has sent are never taken for a record.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::super::backend::Key;
use crate::engine::ports::StoreError;

/// Keys with their new values; `None` removes.
pub type Changes = BTreeMap<Key, Option<Vec<u8>>>;

/// What a journal is known by.
pub(super) type Id = [u8; 16];

/// A place in a journal: after this record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which journal: 16 random bytes.
    pub journal: [u8; 16],
    /// The record's number; the first one has 1.
    pub sequence: u64,
    /// The hash over everything up to it.
    pub chain: [u8; 32],
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", hex(&self.journal), self.sequence, hex(&self.chain))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "change {} of journal {}", self.sequence, hex(&self.journal))
    }
}

/// A position as it stands in the manifest of a backup and in the orders of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionText {
    /// Which journal, as hexadecimal digits.
    pub journal: String,
    /// The record's number.
    pub sequence: u64,
    /// The chain, as hexadecimal digits.
    pub chain: String,
}

impl From<Position> for PositionText {
    fn from(at: Position) -> Self {
        Self { journal: hex(&at.journal), sequence: at.sequence, chain: hex(&at.chain) }
    }
}

impl PositionText {
    /// What it names; `None` when it is no position.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        Some(Position { journal: unhex(&self.journal)?, sequence: self.sequence, chain: unhex(&self.chain)? })
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl Position {
    /// Before the first record.
    pub(super) const fn start(journal: Id) -> Self {
        Self { journal, sequence: 0, chain: [0; 32] }
    }

    /// After a record with these changes that follows this one.
    pub(super) fn then(&self, changes: &[u8]) -> Self {
        let sequence = self.sequence.saturating_add(1);
        let mut context = Context::new(&SHA256);
        context.update(&self.chain);
        context.update(&sequence.to_be_bytes());
        context.update(changes);
        let chain = *context.finish().as_ref().first_chunk().expect("a SHA-256 digest has 32 bytes");
        Self { journal: self.journal, sequence, chain }
    }
}

const CASTAGNOLI: u32 = 0x82F6_3B78;

/// For each byte, and for each with so many bytes behind it: eight bytes are taken in at a time.
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut at = 0_u32;
    while at < 256 {
        let (mut value, mut bit) = (at, 0);
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ CASTAGNOLI } else { value >> 1 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "in a constant, and below 256")]
        {
            tables[0][at as usize] = value;
        }
        at += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut at = 0;
        while at < 256 {
            #[expect(clippy::indexing_slicing, reason = "in a constant, and below 8 and 256")]
            {
                let value: u32 = tables[behind - 1][at];
                tables[behind][at] = (value >> 8) ^ tables[0][(value & 0xFF) as usize];
            }
            at += 1;
        }
        behind += 1;
    }
    tables
}

static TABLES: [[u32; 256]; 8] = tables();

/// CRC32C (RFC 3720, appendix B.4) over several parts.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    // The tables have an entry for each byte.
    let of = |table: &[u32; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or_default();
    let mut crc = u32::MAX;
    for part in parts {
        let (words, rest) = part.as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in words {
            let [a, b, c, d] = (crc ^ u32::from_le_bytes([*a, *b, *c, *d])).to_le_bytes();
            crc = of(t7, a) ^ of(t6, b) ^ of(t5, c) ^ of(t4, d) ^ of(t3, *e) ^ of(t2, *f) ^ of(t1, *g) ^ of(t0, *h);
        }
        for byte in rest {
            let [low, ..] = crc.to_le_bytes();
            crc = of(t0, low ^ byte) ^ (crc >> 8);
        }
    }
    !crc
}

/// What stands before the changes of a record.
pub(super) const RECORD_BYTES: usize = 4 + 4 + 8 + 32;

/// A record of changes, as it is written.
pub(super) fn record(at: &Position, changes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let length = u32::try_from(changes.len()).map_err(|_long| StoreError::TooLarge)?.to_be_bytes();
    let sequence = at.sequence.to_be_bytes();
    let crc = crc32c(&[&at.journal, &length, &sequence, &at.chain, changes]).to_be_bytes();
    Ok([&length[..], &crc, &sequence, &at.chain, changes].concat())
}

/// A record that was read. That it follows the one before is for the reader to see.
pub(super) struct Found<'a> {
    pub(super) at: Position,
    pub(super) changes: &'a [u8],
}

impl Found<'_> {
    pub(super) const fn bytes(&self) -> usize {
        RECORD_BYTES + self.changes.len()
    }
}

/// The record that these bytes begin with, if they begin with one that holds.
pub(super) fn parse(bytes: &[u8], journal: Id) -> Option<Found<'_>> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (chain, rest) = rest.split_first_chunk::<32>()?;
    let changes = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let sum = crc32c(&[&journal, length, sequence, chain, changes]);
    let at = Position { journal, sequence: u64::from_be_bytes(*sequence), chain: *chain };
    (!changes.is_empty() && sum == u32::from_be_bytes(*crc)).then_some(Found { at, changes })
}

/// The bit that was flipped in the record that follows `last`, with which these bytes began: they begin with that record again once
/// it is flipped back. `None` for everything else, above all for a record that was not written to its end.
///
/// A cyclic checksum is linear, so each bit changes it in a way of its own; that the chain agrees afterwards leaves no doubt.
pub(super) fn flipped(bytes: &[u8], last: &Position) -> Option<usize> {
    let follows = |bytes: &[u8]| {
        let found = parse(bytes, last.journal).filter(|found| last.then(found.changes) == found.at);
        found.is_some()
    };
    let head = bytes.get(..RECORD_BYTES)?;
    // The length says where the record ends, so each other one it may have been is tried.
    let mut tried = bytes.to_vec();
    for bit in 0..LENGTH_BITS {
        flip(&mut tried, bit)?;
        if follows(&tried) {
            return Some(bit);
        }
        flip(&mut tried, bit)?;
    }
    let (length, rest) = head.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let whole = RECORD_BYTES.checked_add(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let changes = bytes.get(RECORD_BYTES..whole)?;
    let odd = crc32c(&[&last.journal, length, rest, changes]) ^ u32::from_be_bytes(*crc);
    let at = if odd.count_ones() == 1 {
        // Of the checksum itself, which is written with its highest byte first.
        let bit = usize::try_from(odd.trailing_zeros()).ok()?;
        (4 + 3 - bit / 8) * 8 + bit % 8
    } else {
        let mut of_bits = [0_u32; 8];
        for (bit, of_bit) in (0_usize..).zip(&mut of_bits) {
            *of_bit = TABLES.first().and_then(|table| table.get(1 << bit)).copied()?;
        }
        (LENGTH_BITS / 8 + 4..whole).rev().find_map(|byte| {
            let found = of_bits.iter().position(|of_bit| *of_bit == odd);
            for of_bit in &mut of_bits {
                *of_bit = behind_a_zero(*of_bit);
            }
            found.map(|bit| byte * 8 + bit)
        })?
    };
    flip(&mut tried, at)?;
    follows(&tried).then_some(at)
}

const LENGTH_BITS: usize = 32;

fn flip(bytes: &mut [u8], bit: usize) -> Option<()> {
    *bytes.get_mut(bit / 8)? ^= 1 << (bit % 8);
    Some(())
}

/// What a difference of checksums becomes with a byte of zeros behind it.
fn behind_a_zero(crc: u32) -> u32 {
    let [low, ..] = crc.to_le_bytes();
    TABLES.first().and_then(|table| table.get(usize::from(low))).copied().unwrap_or_default() ^ (crc >> 8)
}

/// Says that a value goes.
const GOES: u32 = u32::MAX;

/// Changes in a row, in the order of their keys.
pub(super) fn encoded(changes: &Changes) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    for (key, value) in changes {
        bytes.extend(u16::try_from(key.len()).map_err(|_long| StoreError::TooLarge)?.to_be_bytes());
        let length = match value {
            Some(value) => u32::try_from(value.len()).ok().filter(|length| *length != GOES),
            None => Some(GOES),
        };
        bytes.extend(length.ok_or(StoreError::TooLarge)?.to_be_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    Ok(bytes)
}

/// The changes of a record; `None` when they make no sense.
pub(super) fn decoded(mut bytes: &[u8]) -> Option<Changes> {
    let mut changes = Changes::new();
    while !bytes.is_empty() {
        let (key, rest) = bytes.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*key)))?;
        let (value, rest) = match u32::from_be_bytes(*value) {
            GOES => (None, rest),
            length => {
                let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Some(value.to_vec()), rest)
            }
        };
        changes.insert(key.to_vec(), value);
        bytes = rest;
    }
    Some(changes)
}

/// The head of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What its first record follows.
    pub(super) after: Position,
    /// What the first record of the file before it follows; the same where there is none.
    pub(super) before: u64,
}

const MAGIC: &[u8; 21] = b"portcullis journal 1\n";
pub(super) const HEADER_BYTES: usize = MAGIC.len() + 16 + 8 + 32 + 8 + 4;

impl Header {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let Position { journal, sequence, chain } = self.after;
        let text = [&MAGIC[..], &journal, &sequence.to_be_bytes(), &chain, &self.before.to_be_bytes()].concat();
        let crc = crc32c(&[&text]).to_be_bytes();
        [text.as_slice(), &crc].concat()
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (text, crc) = bytes.get(..HEADER_BYTES)?.split_last_chunk::<4>()?;
        let rest = text.strip_prefix(MAGIC)?;
        let (journal, rest) = rest.split_first_chunk::<16>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (chain, rest) = rest.split_first_chunk::<32>()?;
        let (before, _) = rest.split_first_chunk::<8>()?;
        let after = Position { journal: *journal, sequence: u64::from_be_bytes(*sequence), chain: *chain };
        (crc32c(&[text]) == u32::from_be_bytes(*crc)).then_some(Self { after, before: u64::from_be_bytes(*before) })
    }
}

/// The value by which the tree says how far it has come: the position, and the keys of the last group, cut to what the engine
/// takes as one value.
pub(super) fn heads(at: &Position, keys: &[&Key], piece: usize) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut list = Vec::new();
    for key in keys {
        list.extend(u16::try_from(key.len()).map_err(|_long| StoreError::TooLarge)?.to_be_bytes());
        list.extend_from_slice(key);
    }
    let first = piece - HEAD_BYTES;
    let rest = list.get(first.min(list.len())..).unwrap_or_default();
    let pieces = u16::try_from(rest.chunks(piece).len()).map_err(|_many| StoreError::TooLarge)?.to_be_bytes();
    let head = [&at.journal[..], &at.sequence.to_be_bytes(), &at.chain, &pieces].concat();
    let head = [&head, list.get(..first.min(list.len())).unwrap_or_default()].concat();
    Ok(std::iter::once(head).chain(rest.chunks(piece).map(<[u8]>::to_vec)).collect())
}

const HEAD_BYTES: usize = 16 + 8 + 32 + 2;

/// What the tree says: the position, how many pieces follow, and what stands in the head of the list of keys.
pub(super) fn parse_head(head: &[u8]) -> Option<(Position, u16, &[u8])> {
    let (journal, rest) = head.split_first_chunk::<16>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (chain, rest) = rest.split_first_chunk::<32>()?;
    let (pieces, list) = rest.split_first_chunk::<2>()?;
    let at = Position { journal: *journal, sequence: u64::from_be_bytes(*sequence), chain: *chain };
    Some((at, u16::from_be_bytes(*pieces), list))
}

/// The keys of such a list.
pub(super) fn keys(mut list: &[u8]) -> Option<Vec<Key>> {
    let mut keys = Vec::new();
    while !list.is_empty() {
        let (length, rest) = list.split_first_chunk::<2>()?;
        let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        keys.push(key.to_vec());
        list = rest;
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[&[0; 32]]), 0x8A91_36AA);
        assert_eq!(crc32c(&[&[0xFF; 16], &[0xFF; 16]]), 0x62A8_AB43);
        assert_eq!(crc32c(&[b"123456789"]), 0xE306_9283);
        let long: Vec<u8> = (0..100).collect();
        for at in 0..=long.len() {
            assert_eq!(crc32c(&[&long[..at], &long[at..]]), crc32c(&[&long]), "in two parts at {at}");
        }
        assert_eq!(
            crc32c(&[&long]),
            long.iter().fold(u32::MAX, |crc, byte| {
                let crc = crc ^ u32::from(*byte);
                (0..8).fold(crc, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ CASTAGNOLI } else { crc >> 1 })
            }) ^ u32::MAX
        );
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let changes: Changes = [(vec![1, 2], Some(vec![3; 300])), (vec![], Some(vec![])), (vec![9; 40], None)].into();
        let bytes = encoded(&changes).unwrap();
        assert_eq!(decoded(&bytes).unwrap(), changes);
        let at = Position::start([7; 16]).then(&bytes);
        let whole = record(&at, &bytes).unwrap();
        let found = parse(&whole, [7; 16]).unwrap();
        assert_eq!((found.at, found.changes, found.bytes()), (at, bytes.as_slice(), whole.len()));
        assert!(parse(&whole, [8; 16]).is_none(), "of another journal");
        for at in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(parse(&flipped, [7; 16]).is_none(), "bit {at}");
            drop(decoded(flipped.get(RECORD_BYTES..).unwrap()));
        }
        // With the room behind it, as in a file.
        let room = [whole.as_slice(), &[0; 700]].concat();
        for bit in 0..whole.len() * 8 {
            let mut damaged = room.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(flipped(&damaged, &Position::start([7; 16])), Some(bit));
            assert_eq!(flipped(&damaged, &at), None, "of another place");
            damaged[(bit / 8 + 1) % whole.len()] ^= 1 << (bit % 8);
            assert_eq!(flipped(&damaged, &Position::start([7; 16])), None, "two bits");
        }
        for end in 0..whole.len() - 1 {
            let torn = [&whole[..end], &[0; 700]].concat();
            assert_eq!(flipped(&torn, &Position::start([7; 16])), None, "{end} bytes were written");
        }
        for end in 0..whole.len() {
            assert!(parse(&whole[..end], [7; 16]).is_none());
            drop(decoded(&bytes[..end.min(bytes.len())]));
        }
    }

    #[test]
    fn heads_and_headers_survive() {
        let at = Position { journal: [1; 16], sequence: 5, chain: [2; 32] };
        let header = Header { after: at, before: 3 };
        assert_eq!(Header::parse(&header.bytes()), Some(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = header.bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse(&flipped), None, "bit {bit}");
        }
        let many: Vec<Key> = (0..500_u16).map(|number| [number.to_be_bytes().as_slice(), &[4; 15]].concat()).collect();
        for count in [0, 1, 3, 500] {
            let pieces = heads(&at, &many[..count].iter().collect::<Vec<_>>(), 4096).unwrap();
            assert!(pieces.iter().all(|piece| piece.len() <= 4096));
            let (found, more, list) = parse_head(&pieces[0]).unwrap();
            assert_eq!((found, usize::from(more)), (at, pieces.len() - 1));
            let list = [list, &pieces[1..].concat()].concat();
            assert_eq!(keys(&list).unwrap(), many[..count]);
        }
        assert_eq!(PositionText::from(at).position(), Some(at));
    }
}
