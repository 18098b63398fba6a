//! An engine for index entries on top of another: new ones in memory and in a journal, the rest in blocks.
//!
//! The changes of a batch to index entries become a row of the journal, in the same batch as the records they follow. When it is
//! durable they are noted in memory, where readers look first; after a restart the journal tells them again. When there are
//! many, a thread takes them into the blocks and removes their rows. It repeats all of that after a crash, which changes nothing: the last
//! row of a key is always the last to go. Keys of all other tables pass through.

use std::{
    collections::BTreeMap,
    hash::BuildHasher,
    iter::Peekable,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, RwLock};

use super::{
    backend::{Backend, Direction, Done, Key, KeyRange, Pair, RawBatch, Snapshot},
    blocks::{self, Below, Block},
    changes::{Encoder, decoded},
    committed,
    compaction::{CompactError, Compacted, Telling},
    fuse::{Fuse, joined},
    journal::{JournalCheck, JournalStatus, Position},
    memory::is_empty,
    record::Table,
};
use crate::engine::ports::StoreError;

/// So many entries in memory are taken into the blocks.
const FRESH_MAX: usize = 65_536;
/// Blocks that are kept as they were read, some four kilobytes each.
const KEPT_MAX: usize = 512;
/// Longest row of the journal.
const ROW_BYTES: usize = 3 * 1024;
/// Rows read or removed at a time.
const ROWS_AT_A_TIME: usize = 500;
/// Single keys that are taken into the blocks at a time.
const CONVERTED_AT_A_TIME: usize = 4_096;
/// After so long what was refused is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is said how far a conversion has come.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// The first and the last table of entries in blocks. The table of names lies between them and has single keys, because
/// batches hang on what stands there.
const FIRST: u8 = Table::ObjectsByCreation as u8;
const LAST: u8 = Table::ObjectsByTerm as u8;

pub(super) fn is_packed(key: &[u8]) -> bool {
    key.first().is_some_and(|table| (FIRST..=LAST).contains(table) && *table != Table::Names as u8)
}

/// The engine.
pub struct Packed {
    inner: Arc<dyn Backend>,
    state: Arc<State>,
    /// Tells the rows of this engine from those of another one on the same store.
    salt: [u8; 4],
    sequence: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

/// What the writer's callbacks and the thread share. It does not hold the engine below, whose writer calls back.
#[derive(Default)]
struct State {
    fresh: RwLock<Fresh>,
    /// Blocks that were read since what was fresh was taken in last, by their lowest key. A block that was changed since then
    /// does as well: what changed it is still laid over it. Locked after `fresh`.
    kept: RwLock<BTreeMap<Key, Arc<Block>>>,
    bell: Mutex<Bell>,
    rung: Condvar,
    /// Only one thread at a time changes blocks.
    taking: Mutex<()>,
}

/// What is not in the blocks yet.
#[derive(Default)]
struct Fresh {
    growing: Layer,
    /// What is being taken in.
    leaving: Option<Arc<Layer>>,
    /// How many have been taken in: a block that was read before may lack what is gone from here.
    taken_in: u64,
}

#[derive(Default)]
struct Layer {
    entries: BTreeMap<Key, Option<Vec<u8>>>,
    /// The rows of the journal in the order in which they became durable.
    rows: Vec<Key>,
}

#[derive(Default)]
struct Bell {
    work: bool,
    stop: bool,
}

impl Packed {
    /// Reads the journal and starts the thread.
    ///
    /// # Errors
    ///
    /// `Unavailable` and `Corrupt`.
    pub fn open(inner: Arc<dyn Backend>) -> Result<Self, StoreError> {
        let mut layer = Layer::default();
        let mut sequence = 0;
        let mut range = KeyRange::prefix(&Table::Journal.key(&[]));
        loop {
            let rows = inner.scan(&range, Direction::Up, ROWS_AT_A_TIME)?;
            let Some((last, _)) = rows.last() else { break };
            range.start = Bound::Excluded(last.clone());
            let number = last.get(1..).and_then(<[u8]>::first_chunk).copied();
            sequence = number.map(u64::from_be_bytes).ok_or_else(|| StoreError::Corrupt("the journal".to_owned()))?;
            for (row, changes) in rows {
                layer.entries.extend(decoded(&changes)?);
                layer.rows.push(row);
            }
        }
        let full = layer.entries.len() >= FRESH_MAX;
        let state = Arc::new(State {
            fresh: RwLock::new(Fresh { growing: layer, ..Fresh::default() }),
            bell: Mutex::new(Bell { work: full, stop: false }),
            ..State::default()
        });
        let (theirs, below) = (Arc::clone(&state), Arc::clone(&inner));
        let thread = thread::Builder::new()
            .name("store-index".to_owned())
            .spawn(move || theirs.run(&*below))
            .map_err(|error| StoreError::Unavailable(format!("a thread cannot be started: {error}")))?;
        let salt = std::hash::RandomState::new().hash_one(sequence).to_be_bytes();
        let [first, second, third, fourth, ..] = salt;
        Ok(Self {
            inner,
            state,
            salt: [first, second, third, fourth],
            sequence: AtomicU64::new(sequence),
            thread: Some(thread),
        })
    }

    /// Takes the single keys that earlier programs had for index entries into the blocks. Goes on where a crash cut it short.
    ///
    /// # Errors
    ///
    /// `Unavailable` and `Corrupt`.
    pub fn convert(inner: &dyn Backend) -> Result<(), StoreError> {
        let (mut count, mut told) = (0_usize, Instant::now());
        for table in (FIRST..=LAST).filter(|table| is_packed(&[*table])) {
            let mut range = KeyRange::prefix(&[table]);
            loop {
                let pairs = inner.scan(&range, Direction::Up, CONVERTED_AT_A_TIME)?;
                let Some((last, _)) = pairs.last() else { break };
                range.start = Bound::Excluded(last.clone());
                count += pairs.len();
                let entries: Vec<_> = pairs.into_iter().map(|(key, value)| (key, Some(value))).collect();
                blocks::move_in(inner, entries.iter().map(|(key, value)| (key, value)))?;
                if told.elapsed() >= TOLD_EVERY {
                    tracing::info!(
                        entries = count,
                        "index entries are put into blocks: the gateway serves when all are"
                    );
                    told = Instant::now();
                }
            }
        }
        tracing::info!(entries = count, "the store's index entries stand in blocks");
        Ok(())
    }

    /// Takes everything into the blocks, on this thread.
    ///
    /// # Errors
    ///
    /// `Unavailable` and `Corrupt`.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.state.take_in(&*self.inner)
    }

    /// The rows of changes.
    fn rows(&self, changes: &BTreeMap<Key, Option<Vec<u8>>>) -> Result<Vec<Pair>, StoreError> {
        let mut rows = Vec::new();
        let mut row = Encoder::default();
        for (key, value) in changes {
            row.push(key, value.as_deref())?;
            if row.len() >= ROW_BYTES {
                rows.push((self.next_row(), std::mem::take(&mut row).finish()));
            }
        }
        if row.len() > 0 {
            rows.push((self.next_row(), row.finish()));
        }
        Ok(rows)
    }

    fn next_row(&self) -> Key {
        let number = self.sequence.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        Table::Journal.key(&[&number.to_be_bytes(), &self.salt])
    }

    /// The entries of one block that lie in a range, with what is fresh laid over them; `None` when the block is not kept and
    /// must not be read.
    fn overlaid(
        &self,
        below: Below<'_>,
        range: &KeyRange,
        want: &mut Want,
        may_read: bool,
    ) -> Result<Option<Arc<Block>>, StoreError> {
        loop {
            let taken_in = self.state.fresh.read().taken_in;
            let (block, is_kept) = match self.state.kept(below) {
                Some(block) => (block, true),
                None if !may_read => return Ok(None),
                None => (Arc::new(blocks::find(&*self.inner, below)?), false),
            };
            let fresh = self.state.fresh.read();
            // What was fresh when the block was read may have gone into it since.
            if fresh.taken_in == taken_in {
                want.take(&block, range, &fresh);
                if !is_kept {
                    self.state.keep(&block);
                }
                return Ok(Some(block));
            }
        }
    }

    /// A part of a range that begins among entries in blocks; `None` when a block is not kept and must not be read.
    fn walk(
        &self,
        range: &KeyRange,
        start: &Key,
        direction: Direction,
        limit: usize,
        may_read: bool,
    ) -> Result<Option<Vec<Pair>>, StoreError> {
        let mut want = Want { direction, limit, found: Vec::new() };
        let mut at = match direction {
            Direction::Up => Some(start.clone()),
            Direction::Down => part_end(range).cloned(),
        };
        if is_empty(range) {
            return Ok(Some(Vec::new()));
        }
        let mut first = true;
        while want.found.len() < limit {
            let below = match (direction, &at, &range.end) {
                (Direction::Up, at, _) => Below::Covering(at.as_deref().unwrap_or_default()),
                (Direction::Down, None, _) => Below::Last,
                (Direction::Down, Some(at), Bound::Included(_)) if first => Below::Covering(at),
                (Direction::Down, Some(at), _) => Below::Before(at),
            };
            first = false;
            let rest = beyond(range, direction, at.as_ref());
            let Some(block) = self.overlaid(below, &rest, &mut want, may_read)? else { return Ok(None) };
            let beside = match direction {
                Direction::Up => &block.end,
                Direction::Down => &block.low,
            };
            let is_last = match direction {
                Direction::Up => beside.is_empty() || part_end(range).is_some_and(|end| end < beside),
                Direction::Down => beside.is_empty() || beside <= start,
            };
            if is_last {
                break;
            }
            at = Some(beside.clone());
        }
        Ok(Some(want.found))
    }
}

/// What a reader is still to be given.
struct Want {
    direction: Direction,
    limit: usize,
    found: Vec<Pair>,
}

type Item<'a> = (&'a Key, Option<&'a Vec<u8>>);

impl Want {
    fn take(&mut self, block: &Block, range: &KeyRange, fresh: &Fresh) {
        let mut part = range.clone();
        if !admits(&part.start, &block.low) {
            part.start = Bound::Included(block.low.clone());
        }
        if !block.end.is_empty() && part_end(&part).is_none_or(|end| *end >= block.end) {
            part.end = Bound::Excluded(block.end.clone());
        }
        if is_empty(&part) {
            return;
        }
        let layers = [Some(&fresh.growing), fresh.leaving.as_deref()];
        let layers = layers.into_iter().flatten().map(|layer| {
            let entries = layer.entries.range((part.start.clone(), part.end.clone()));
            turned(self.direction, entries.map(|(key, value)| (key, value.as_ref())))
        });
        let entries = block.entries.iter().map(|(key, value)| (key, Some(value)));
        let entries = turned(self.direction, entries.filter(|(key, _)| contains(&part, key)));
        let mut sources: Vec<_> = layers.chain([entries]).map(Iterator::peekable).collect();
        while self.found.len() < self.limit
            && let Some((key, value)) = next(self.direction, &mut sources)
        {
            self.found.extend(value.map(|value| (key.clone(), value.clone())));
        }
    }
}

fn turned<'a>(
    direction: Direction,
    items: impl DoubleEndedIterator<Item = Item<'a>> + 'a,
) -> Box<dyn Iterator<Item = Item<'a>> + 'a> {
    match direction {
        Direction::Up => Box::new(items),
        Direction::Down => Box::new(items.rev()),
    }
}

/// The next key of any source, as the first source that has it says.
fn next<'a, I: Iterator<Item = Item<'a>>>(direction: Direction, sources: &mut [Peekable<I>]) -> Option<Item<'a>> {
    let keys = sources.iter_mut().filter_map(|source| source.peek().map(|(key, _)| *key));
    let key = match direction {
        Direction::Up => keys.min(),
        Direction::Down => keys.max(),
    }?;
    let mut taken = None;
    for source in sources {
        let item = source.next_if(|(own, _)| *own == key);
        taken = taken.or(item);
    }
    taken
}

/// Whether a lower bound lies at or above a key.
fn admits(start: &Bound<Key>, low: &[u8]) -> bool {
    match start {
        Bound::Included(start) | Bound::Excluded(start) => start.as_slice() >= low,
        Bound::Unbounded => low.is_empty(),
    }
}

fn part_end(range: &KeyRange) -> Option<&Key> {
    match &range.end {
        Bound::Included(end) | Bound::Excluded(end) => Some(end),
        Bound::Unbounded => None,
    }
}

fn contains(range: &KeyRange, key: &Key) -> bool {
    let after = match &range.start {
        Bound::Included(start) => key >= start,
        Bound::Excluded(start) => key > start,
        Bound::Unbounded => true,
    };
    let before = match &range.end {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    };
    after && before
}

impl Backend for Packed {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if !is_packed(key) {
            return self.inner.get(key);
        }
        let mut want = Want { direction: Direction::Up, limit: 1, found: Vec::new() };
        self.overlaid(Below::Covering(key), &KeyRange::between(key.to_vec(), key.to_vec()), &mut want, true)?;
        Ok(want.found.pop().map(|(_, value)| value))
    }

    /// A range that begins among entries in blocks has these only.
    fn scan(&self, range: &KeyRange, direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError> {
        let (Bound::Included(start) | Bound::Excluded(start)) = &range.start else {
            return self.inner.scan(range, direction, limit);
        };
        if !is_packed(start) {
            return self.inner.scan(range, direction, limit);
        }
        Ok(self.walk(range, start, direction, limit, true)?.unwrap_or_default())
    }

    fn scan_in_memory(
        &self,
        range: &KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Option<Vec<Pair>>, StoreError> {
        match &range.start {
            Bound::Included(start) | Bound::Excluded(start) if is_packed(start) => {
                self.walk(range, start, direction, limit, false)
            }
            _ => self.inner.scan_in_memory(range, direction, limit),
        }
    }

    fn commit(&self, mut batch: RawBatch, done: Done) {
        let (changes, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut batch.writes).into_iter().partition(|(key, _)| is_packed(key));
        batch.writes = others;
        if changes.is_empty() {
            return self.inner.commit(batch, done);
        }
        let rows = match self.rows(&changes) {
            Ok(rows) => rows,
            Err(error) => return done(Err(error)),
        };
        let keys: Vec<Key> = rows.iter().map(|(key, _)| key.clone()).collect();
        batch.writes.extend(rows.into_iter().map(|(key, row)| (key, Some(row))));
        let state = Arc::clone(&self.state);
        let noted = move |result: Result<(), StoreError>| {
            if result.is_ok() {
                state.note(changes, keys);
            }
            done(result);
        };
        self.inner.commit(batch, Box::new(noted));
    }

    fn remove_lazily(&self, key: Key) {
        self.inner.remove_lazily(key);
    }

    /// Of what stands below: index entries are in it as they are stored, not as they are read.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.inner.snapshot()
    }

    fn bytes_on_disk(&self) -> u64 {
        self.inner.bytes_on_disk()
    }

    fn compact(&self, tell: Telling<'_>) -> Result<Compacted, CompactError> {
        self.inner.compact(tell)
    }

    fn journal(&self) -> Option<JournalStatus> {
        self.inner.journal()
    }

    fn check_journal(&self) -> Option<JournalCheck> {
        self.inner.check_journal()
    }

    fn prune_journal(&self, to: Position) {
        self.inner.prune_journal(to);
    }

    fn fuse(&self) -> Option<&Arc<Fuse>> {
        self.inner.fuse()
    }
}

/// What is left of a range from where a reader has come to.
fn beyond(range: &KeyRange, direction: Direction, at: Option<&Key>) -> KeyRange {
    let mut rest = range.clone();
    let Some(at) = at else { return rest };
    match direction {
        Direction::Up if !admits(&rest.start, at) => rest.start = Bound::Included(at.clone()),
        Direction::Down if part_end(&rest).is_none_or(|end| end > at) => rest.end = Bound::Excluded(at.clone()),
        Direction::Up | Direction::Down => {}
    }
    rest
}

impl Drop for Packed {
    fn drop(&mut self) {
        self.state.bell.lock().stop = true;
        self.state.rung.notify_all();
        if let Some(thread) = self.thread.take() {
            joined(self.inner.fuse(), thread, "the thread of the store's indexes");
        }
    }
}

impl State {
    fn kept(&self, below: Below<'_>) -> Option<Arc<Block>> {
        let kept = self.kept.read();
        let (_, block) = match below {
            Below::Covering(key) => kept.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back(),
            Below::Before(key) => kept.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(key))).next_back(),
            Below::Last => kept.last_key_value(),
        }?;
        below.is_reached_by(block).then(|| Arc::clone(block))
    }

    fn keep(&self, block: &Arc<Block>) {
        let mut kept = self.kept.write();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(block.low.clone(), Arc::clone(block));
    }

    /// Notes durable changes.
    fn note(&self, changes: BTreeMap<Key, Option<Vec<u8>>>, rows: Vec<Key>) {
        let mut fresh = self.fresh.write();
        fresh.growing.entries.extend(changes);
        fresh.growing.rows.extend(rows);
        let full = fresh.growing.entries.len() >= FRESH_MAX;
        drop(fresh);
        if full {
            self.bell.lock().work = true;
            self.rung.notify_all();
        }
    }

    /// The thread.
    fn run(&self, inner: &dyn Backend) {
        let mut again = None;
        loop {
            let mut bell = self.bell.lock();
            while !bell.stop && !bell.work {
                match again {
                    Some(at) if self.rung.wait_until(&mut bell, at).timed_out() => bell.work = true,
                    Some(_) => {}
                    None => self.rung.wait(&mut bell),
                }
            }
            if bell.stop {
                return;
            }
            bell.work = false;
            drop(bell);
            again = match self.take_in(inner) {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(%error, "index entries stay in the journal: they are taken into blocks later");
                    Some(Instant::now() + AGAIN)
                }
            };
        }
    }

    /// Takes what is fresh into the blocks.
    fn take_in(&self, inner: &dyn Backend) -> Result<(), StoreError> {
        let _alone = self.taking.lock();
        let mut fresh = self.fresh.write();
        // What failed before goes first.
        if fresh.leaving.is_none() {
            fresh.leaving = Some(Arc::new(std::mem::take(&mut fresh.growing)));
        }
        let Some(layer) = fresh.leaving.clone() else { return Ok(()) };
        drop(fresh);
        blocks::take_in(inner, layer.entries.iter())?;
        for rows in layer.rows.chunks(ROWS_AT_A_TIME) {
            let writes = rows.iter().map(|row| (row.clone(), None)).collect();
            committed(inner, RawBatch { writes, ..RawBatch::default() })?;
        }
        let mut fresh = self.fresh.write();
        fresh.leaving = None;
        fresh.taken_in += 1;
        self.kept.write().clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::{super::memory::MemoryBackend, *};

    /// Small random numbers, the same in every run.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % limit
        }
    }

    /// Fails after so many commits.
    struct Failing(Arc<dyn Backend>, AtomicU64);

    impl Backend for Failing {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            self.0.get(key)
        }
        fn scan(&self, range: &KeyRange, direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError> {
            self.0.scan(range, direction, limit)
        }
        fn commit(&self, batch: RawBatch, done: Done) {
            match self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => self.0.commit(batch, done),
                Err(_) => done(Err(StoreError::Unavailable("stopped".to_owned()))),
            }
        }
        fn remove_lazily(&self, key: Key) {
            self.0.remove_lazily(key);
        }
        fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
            self.0.snapshot()
        }
        fn bytes_on_disk(&self) -> u64 {
            0
        }
    }

    type Model = BTreeMap<Key, Vec<u8>>;

    fn random_key(dice: &mut Dice) -> Key {
        let table = [0x30, 0x31, 0x39, 0x3A, 0x3E][usize::try_from(dice.below(5)).unwrap()];
        let list = u8::try_from(dice.below(3)).unwrap();
        let at = dice.below(3_000).to_be_bytes();
        [&[table, list, 7, 7, 7][..], &at, &[9; 12]].concat()
    }

    fn change(dice: &mut Dice, model: &mut Model, packed: &dyn Backend) {
        let mut writes = BTreeMap::new();
        for _ in 0..dice.below(40) {
            let key = random_key(dice);
            let value = match dice.below(5) {
                0 => None,
                1 => Some(vec![3; 16]),
                _ => Some(vec![]),
            };
            match &value {
                Some(value) => drop(model.insert(key.clone(), value.clone())),
                None => drop(model.remove(&key)),
            }
            writes.insert(key, value);
        }
        committed(packed, RawBatch { writes, ..RawBatch::default() }).unwrap();
    }

    fn bound(dice: &mut Dice) -> Bound<Key> {
        let key = random_key(dice);
        if dice.below(2) == 0 { Bound::Included(key) } else { Bound::Excluded(key) }
    }

    fn agree(dice: &mut Dice, model: &Model, packed: &dyn Backend) {
        let everything = KeyRange { start: Bound::Included(vec![FIRST]), end: Bound::Excluded(vec![LAST + 1]) };
        for way in [Direction::Up, Direction::Down] {
            assert_eq!(packed.scan(&everything, way, usize::MAX).unwrap().len(), model.len());
        }
        for _ in 0..60 {
            let range = match dice.below(3) {
                0 => KeyRange::prefix(&random_key(dice)[..2]),
                _ => KeyRange { start: bound(dice), end: bound(dice) },
            };
            let limit = usize::try_from(dice.below(80)).unwrap();
            let all: Vec<Pair> = match is_empty(&range) {
                true => Vec::new(),
                false => model
                    .range((range.start.clone(), range.end.clone()))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            };
            let expected: Vec<Pair> = all.iter().take(limit).cloned().collect();
            assert_eq!(packed.scan(&range, Direction::Up, limit).unwrap(), expected, "{range:?}");
            let expected: Vec<Pair> = all.iter().rev().take(limit).cloned().collect();
            assert_eq!(packed.scan(&range, Direction::Down, limit).unwrap(), expected, "{range:?}");
            if let Some(found) = packed.scan_in_memory(&range, Direction::Down, limit).unwrap() {
                assert_eq!(found, expected, "{range:?}");
            }
            let key = random_key(dice);
            assert_eq!(packed.get(&key).unwrap(), model.get(&key).cloned());
            // What was read just now is in memory.
            let alone = KeyRange::between(key.clone(), key.clone());
            let expected: Vec<Pair> = model.get(&key).map(|value| (key, value.clone())).into_iter().collect();
            assert_eq!(packed.scan_in_memory(&alone, Direction::Up, 1).unwrap(), Some(expected));
        }
    }

    #[test]
    fn it_is_the_map_that_it_should_be_whatever_was_taken_in() {
        let (mut dice, mut model) = (Dice(0xFEED), Model::new());
        let inner: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
        for round in 0..30 {
            let packed = Packed::open(Arc::clone(&inner)).unwrap();
            for _ in 0..30 {
                change(&mut dice, &mut model, &packed);
            }
            agree(&mut dice, &model, &packed);
            if round % 3 > 0 {
                packed.settle().unwrap();
                agree(&mut dice, &model, &packed);
            }
            if round == 20 {
                // Everything goes, and with it all blocks but one.
                let keys: Vec<Key> = std::mem::take(&mut model).into_keys().collect();
                let writes = keys.into_iter().map(|key| (key, None)).collect();
                committed(&packed, RawBatch { writes, ..RawBatch::default() }).unwrap();
                packed.settle().unwrap();
                let left = inner.scan(&KeyRange::prefix(&[Table::Block as u8]), Direction::Up, usize::MAX).unwrap();
                assert_eq!(left.len(), 1);
            }
        }
        assert!(model.len() > 1_000);
        let blocks = inner.scan(&KeyRange::prefix(&[Table::Block as u8]), Direction::Up, usize::MAX).unwrap();
        assert!(blocks.len() * 8 < model.len(), "{} blocks of {} entries", blocks.len(), model.len());
        assert!(blocks.iter().all(|(_, value)| value.len() < 800));
    }

    #[test]
    fn wherever_it_is_stopped_it_goes_on() {
        let (mut dice, mut model) = (Dice(0xD1CE), Model::new());
        let inner: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
        for stop in (0..40).step_by(3) {
            let failing: Arc<dyn Backend> = Arc::new(Failing(Arc::clone(&inner), AtomicU64::new(60 + stop)));
            let packed = Packed::open(failing).unwrap();
            for _ in 0..60 {
                change(&mut dice, &mut model, &packed);
            }
            drop(packed.settle());
            agree(&mut dice, &model, &packed);
            drop(packed);
            agree(&mut dice, &model, &Packed::open(Arc::clone(&inner)).unwrap());
        }
    }

    #[test]
    fn readers_miss_nothing_while_blocks_are_divided_and_joined() {
        let inner: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
        let packed = Packed::open(inner).unwrap();
        let key = |at: u64| [&[0x3E, 1][..], &at.to_be_bytes(), &[5; 20]].concat();
        let write = |keys: &mut dyn Iterator<Item = u64>, value: Option<Vec<u8>>| {
            let writes = keys.map(|at| (key(at), value.clone())).collect();
            committed(&packed, RawBatch { writes, ..RawBatch::default() }).unwrap();
        };
        // These stay; others come and go between them.
        write(&mut (0..4_000).step_by(10), Some(vec![]));
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for way in [Direction::Up, Direction::Down] {
                let (packed, ended) = (&packed, &ended);
                scope.spawn(move || {
                    let mut scans = 0;
                    while !ended.load(Ordering::SeqCst) || scans < 20 {
                        let found = packed.scan(&KeyRange::prefix(&[0x3E, 1]), way, usize::MAX).unwrap();
                        let stays = |(key, _): &&Pair| {
                            let at = key.get(2..10).and_then(<[u8]>::first_chunk).copied().map(u64::from_be_bytes);
                            at.is_some_and(|at| at.is_multiple_of(10))
                        };
                        assert_eq!(found.iter().filter(stays).count(), 400);
                        assert!(found.is_sorted() || way == Direction::Down);
                        let range = KeyRange::prefix(&[0x3E, 1]);
                        if let Some(found) = packed.scan_in_memory(&range, way, usize::MAX).unwrap() {
                            assert_eq!(found.iter().filter(stays).count(), 400);
                        }
                        scans += 1;
                    }
                });
            }
            for _ in 0..15 {
                for value in [Some(vec![]), None] {
                    write(&mut (0..4_000_u64).filter(|at| !at.is_multiple_of(10)), value);
                    packed.settle().unwrap();
                }
            }
            ended.store(true, Ordering::SeqCst);
        });
    }

    #[test]
    fn single_keys_are_taken_in_though_it_is_stopped_after_each_commit() {
        let (mut dice, mut model) = (Dice(0xC0), Model::new());
        let inner: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
        for _ in 0..700 {
            change(&mut dice, &mut model, &*inner);
        }
        let names = RawBatch { writes: [(vec![Table::Names as u8, 1], Some(vec![1]))].into(), ..RawBatch::default() };
        committed(&*inner, names).unwrap();
        let mut stops = 0;
        while Packed::convert(&Failing(Arc::clone(&inner), AtomicU64::new(1))).is_err() {
            stops += 1;
            assert!(stops < 50, "it begins anew each time");
        }
        assert!(stops > 2);
        assert_eq!(inner.get(&[Table::Names as u8, 1]).unwrap(), Some(vec![1]));
        let left = KeyRange { start: Bound::Included(vec![FIRST]), end: Bound::Excluded(vec![LAST + 1]) };
        assert_eq!(inner.scan(&left, Direction::Up, usize::MAX).unwrap().len(), 1, "the name");
        agree(&mut dice, &model, &Packed::open(inner).unwrap());
    }
}
