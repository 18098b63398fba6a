//! Blocks: index entries in sorted runs, so that the engine keeps one value for some thirty of them.
//!
//! sled holds about three hundred bytes in memory for each leaf of sixteen keys, whatever its cache; an index of single keys
//! therefore costs memory with every object. The blocks divide the whole space of index keys among them: a block's key is the
//! lowest key it may hold, and its value begins with the lowest key of the next one. So a reader that comes to a block knows what it
//! covers, and sees when blocks were divided or joined under it. Only one thread at a time changes blocks.

use std::{collections::BTreeMap, iter::Peekable, ops::Bound};

use super::{
    backend::{Backend, Direction, Key, KeyRange, RawBatch},
    changes::{Encoder, decoded},
    committed,
    record::Table,
};
use crate::engine::ports::StoreError;

/// Longest row of a block. sled writes a value anew with each change of it, and its fifteen neighbours with every tenth.
const BLOCK_BYTES: usize = 640;
/// A block that is shorter joins the one before it.
const SMALL_BYTES: usize = 96;
/// What a key takes in a row that begins with it.
const FIRST_BYTES: usize = 64;
/// Keys that are written in one batch, so that commits of others need not wait for long.
const WRITTEN_AT_A_TIME: usize = 128;
/// The same while nobody else commits.
const MOVED_AT_A_TIME: usize = 4_096;

/// Some neighbouring entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The lowest key it may hold.
    pub(super) low: Key,
    /// The lowest key of the next block; empty when there is none.
    pub(super) end: Key,
    /// The entries, in order.
    pub(super) entries: Vec<(Key, Vec<u8>)>,
}

impl Block {
    fn parse(low: &[u8], value: &[u8]) -> Result<Self, StoreError> {
        let damaged = || StoreError::Corrupt("a block of index entries cannot be read".to_owned());
        let (length, rest) = value.split_first().ok_or_else(damaged)?;
        let (end, row) = rest.split_at_checked(usize::from(*length)).ok_or_else(damaged)?;
        let entries: Option<Vec<(Key, Vec<u8>)>> =
            decoded(row)?.into_iter().map(|(key, value)| value.map(|value| (key, value))).collect();
        Ok(Self { low: low.to_vec(), end: end.to_vec(), entries: entries.ok_or_else(damaged)? })
    }

    fn value(&self) -> Result<Vec<u8>, StoreError> {
        let end = u8::try_from(self.end.len()).map_err(|_long| StoreError::TooLarge)?;
        Ok([&[end], self.end.as_slice(), &self.row()?.finish()].concat())
    }

    fn row(&self) -> Result<Encoder, StoreError> {
        let mut row = Encoder::default();
        self.entries.iter().try_for_each(|(key, value)| row.push(key, Some(value)))?;
        Ok(row)
    }

    /// Whether a key belongs into it.
    pub(super) fn covers(&self, key: &[u8]) -> bool {
        self.low.as_slice() <= key && (self.end.is_empty() || key < self.end.as_slice())
    }

    /// Blocks that are no longer than they should be. What was added at the end leaves full blocks behind it: lists grow there.
    fn divided(self, at_the_end: bool) -> Result<Vec<Self>, StoreError> {
        let length = self.row()?.len();
        if length <= BLOCK_BYTES {
            return Ok(vec![self]);
        }
        // The first key of a row is told in full.
        let even = length.div_ceil(length.div_ceil(BLOCK_BYTES)).saturating_add(FIRST_BYTES);
        let most = if at_the_end { BLOCK_BYTES } else { even.min(BLOCK_BYTES) };
        let mut blocks = Vec::new();
        let (mut low, mut entries, mut row) = (self.low, Vec::<(Key, Vec<u8>)>::new(), Encoder::default());
        for (key, value) in self.entries {
            row.push(&key, Some(&value))?;
            if row.len() > most
                && let Some((last, _)) = entries.last()
            {
                let end = separator(last, &key);
                blocks.push(Self { low, end: end.clone(), entries: std::mem::take(&mut entries) });
                low = end;
                row = Encoder::default();
                row.push(&key, Some(&value))?;
            }
            entries.push((key, value));
        }
        blocks.push(Self { low, end: self.end, entries });
        Ok(blocks)
    }
}

/// The shortest key above one and not above the other, which is higher.
fn separator(below: &[u8], key: &[u8]) -> Key {
    let shared = below.iter().zip(key).take_while(|(one, other)| one == other).count();
    key.get(..=shared).unwrap_or(key).to_vec()
}

/// The key of a block.
fn block_key(low: &[u8]) -> Key {
    Table::Block.key(&[low])
}

/// Up to where a block is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Below<'a> {
    /// The block that a key belongs to.
    Covering(&'a [u8]),
    /// The block before a key.
    Before(&'a [u8]),
    /// The last block.
    Last,
}

impl Below<'_> {
    /// Whether a block that begins below is the one.
    pub(super) fn is_reached_by(self, block: &Block) -> bool {
        match self {
            Self::Covering(key) => block.covers(key),
            Self::Before(key) => block.end.is_empty() || block.end.as_slice() >= key,
            Self::Last => block.end.is_empty(),
        }
    }
}

/// How often a block that others divide or join meanwhile is looked for.
const ATTEMPTS: usize = 100;

/// Finds a block; where there is none yet, an empty one covers everything.
pub(super) fn find(inner: &dyn Backend, below: Below<'_>) -> Result<Block, StoreError> {
    let mut range = KeyRange::prefix(&Table::Block.key(&[]));
    match below {
        Below::Covering(key) => range.end = Bound::Included(block_key(key)),
        Below::Before(key) => range.end = Bound::Excluded(block_key(key)),
        Below::Last => {}
    }
    for _ in 0..ATTEMPTS {
        let pairs = inner.scan(&range, Direction::Down, 1)?;
        let block = match pairs.first() {
            Some((key, value)) => Block::parse(key.get(1..).unwrap_or_default(), value)?,
            None => Block { low: Key::new(), end: Key::new(), entries: Vec::new() },
        };
        if below.is_reached_by(&block) {
            return Ok(block);
        }
    }
    Err(StoreError::Corrupt("blocks of index entries are missing".to_owned()))
}

/// Takes changes into the blocks, in the order of their keys. After each batch the blocks are whole.
pub(super) fn take_in<'a>(
    inner: &dyn Backend,
    changes: impl Iterator<Item = (&'a Key, &'a Option<Vec<u8>>)>,
) -> Result<(), StoreError> {
    pack(Packer { inner, writes: BTreeMap::new(), open: None, moves: false, most: WRITTEN_AT_A_TIME }, changes)
}

/// Takes single keys of the engine into the blocks, in their order: each goes in the batch that writes its block.
pub(super) fn move_in<'a>(
    inner: &dyn Backend,
    keys: impl Iterator<Item = (&'a Key, &'a Option<Vec<u8>>)>,
) -> Result<(), StoreError> {
    pack(Packer { inner, writes: BTreeMap::new(), open: None, moves: true, most: MOVED_AT_A_TIME }, keys)
}

fn pack<'a>(
    mut packer: Packer<'_>,
    changes: impl Iterator<Item = (&'a Key, &'a Option<Vec<u8>>)>,
) -> Result<(), StoreError> {
    let mut changes = changes.peekable();
    while let Some((first, _)) = changes.peek() {
        let block = find(packer.inner, Below::Covering(first))?;
        packer.change(block, &mut changes)?;
        if packer.writes.len() >= packer.most {
            packer.write()?;
        }
    }
    packer.write()
}

struct Packer<'b> {
    inner: &'b dyn Backend,
    writes: BTreeMap<Key, Option<Vec<u8>>>,
    /// The block changed last: the next one may join it.
    open: Option<Block>,
    /// Whether the changes stand in the engine as single keys, too, which go.
    moves: bool,
    /// Keys that are written in one batch.
    most: usize,
}

impl Packer<'_> {
    /// Applies the changes that belong into one block.
    fn change<'a, I>(&mut self, mut block: Block, changes: &mut Peekable<I>) -> Result<(), StoreError>
    where
        I: Iterator<Item = (&'a Key, &'a Option<Vec<u8>>)>,
    {
        let mut old = std::mem::take(&mut block.entries).into_iter().peekable();
        let mut at_the_end = true;
        while let Some((key, value)) = changes.next_if(|(key, _)| block.covers(key)) {
            while let Some(entry) = old.next_if(|(before, _)| before < key) {
                block.entries.push(entry);
            }
            drop(old.next_if(|(same, _)| same == key));
            at_the_end &= old.peek().is_none();
            block.entries.extend(value.clone().map(|value| (key.clone(), value)));
            if self.moves {
                self.writes.insert(key.clone(), None);
            }
        }
        block.entries.extend(old);
        if !block.low.is_empty() && block.row()?.len() < SMALL_BYTES {
            block = self.joined(block)?;
        }
        if let Some(open) = self.open.take().filter(|open| open.low != block.low) {
            self.put(&open)?;
        }
        let mut blocks = block.divided(at_the_end)?;
        self.open = blocks.pop();
        blocks.iter().try_for_each(|block| self.put(block))
    }

    /// A small block with the one before it, when both have room in one.
    fn joined(&mut self, block: Block) -> Result<Block, StoreError> {
        let before = match &self.open {
            Some(open) if open.end == block.low => open.clone(),
            _ => find(self.inner, Below::Before(&block.low))?,
        };
        let mut joined = Block { end: block.end.clone(), ..before };
        joined.entries.extend(block.entries.iter().cloned());
        if joined.row()?.len() > BLOCK_BYTES {
            return Ok(block);
        }
        self.writes.insert(block_key(&block.low), None);
        Ok(joined)
    }

    fn put(&mut self, block: &Block) -> Result<(), StoreError> {
        self.writes.insert(block_key(&block.low), Some(block.value()?));
        Ok(())
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if let Some(open) = self.open.take() {
            self.put(&open)?;
        }
        let writes = std::mem::take(&mut self.writes);
        if writes.is_empty() {
            return Ok(());
        }
        committed(self.inner, RawBatch { writes, ..RawBatch::default() })
    }
}
