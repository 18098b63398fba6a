//! The unlocked store: records by identifier and by index.
//!
//! A read that the cache can answer runs in place; everything else goes to the reading threads. A list is read in two
//! steps, index and records; a record that changed in between is judged by what it says itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::{Bound, ControlFlow},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::sleep};

use super::{
    CONVERTING, Stats, Writes,
    at_hand::{AtHand, LOOKED_AT_MAX},
    backend::{Backend, Direction, Key, KeyRange, Pair},
    batch,
    cache::{Cache, Names, Stored},
    check::{self, IndexCheck},
    compaction::{self, CompactError, Compacted, Live, Telling},
    index::{self, Counted},
    journal::{JournalCheck, JournalStatus, Position},
    mark::Marked,
    pool::Pool,
    record::{HEAD_KEY_BYTES, Head, MacKey, Record, Table, head_key, piece_key},
    tally::Tallies,
};
use crate::{
    domain::{
        ManagedObject, ObjectType, ProjectId, Timestamp, TokenId, UniqueIdentifier,
        audit::AuditEvent,
        group::Group,
        job::Job,
        project::{Project, Resource, TransportKey},
    },
    engine::ports::{
        Answer, Batch, Cursor, Due, Intent, MetadataStore, Order, Page, Scope, Slice, StoreError, Versioned, Window,
    },
};

/// The metadata store.
pub struct Repository {
    pub(super) shared: Arc<Shared>,
    /// The same as far as memory has it, for short reads in place.
    at_hand: Shared,
    pub(super) marked: Marked,
    pool: Pool,
}

/// How the index entries of a store are made again that were made by an older program.
pub(super) struct Rebuild<'a> {
    /// The last key that an earlier attempt has come to.
    pub(super) done: Option<Key>,
    /// Writes entries, and the key that they have come to.
    pub(super) write: &'a WriteEntries<'a>,
}

type WriteEntries<'a> = dyn Fn(Writes, &[u8]) -> Result<(), StoreError> + 'a;

/// What the reading threads need.
pub(super) struct Shared {
    backend: Arc<dyn Backend>,
    pub(super) mac: Arc<MacKey>,
    pub(super) known: Arc<Known>,
}

/// What is kept in memory. The writer's callbacks hold this and not the engine: they run on its thread, and the last one to
/// let go of the engine waits for that thread.
pub(super) struct Known {
    pub(super) objects: Cache<ManagedObject>,
    pub(super) names: Names,
    pub(super) groups: Cache<Group>,
    pub(super) jobs: Cache<Job>,
    pub(super) projects: Cache<Project>,
    pub(super) transport_keys: Cache<TransportKey>,
    /// Every project that has a record, and which token it prefers: asked with each creation.
    preferences: Mutex<HashMap<[u8; 16], Option<TokenId>>>,
    pub(super) tallies: Tallies,
    /// The intents and owed records that are stored, with the number of their pieces.
    volatile: Mutex<HashMap<Key, u16>>,
    counts: Mutex<BTreeMap<Vec<u8>, i64>>,
}

/// A record that is kept decoded.
pub(super) trait Cached: Record {
    fn cache(known: &Known) -> &Cache<Self>;
    /// Follows a durable change beside the cache.
    fn note(_known: &Known, _id: [u8; 16], _new: Option<&Self>) {}
    /// Takes over from the stored record what only a move or a count may change.
    fn follow(&mut self, _stored: &Self) {}
}

impl Cached for ManagedObject {
    fn follow(&mut self, stored: &Self) {
        self.follow_uses(stored);
        if let (Some(value), Some(stored)) = (&mut self.value, &stored.value) {
            value.follow(stored);
        }
    }

    fn cache(known: &Known) -> &Cache<Self> {
        &known.objects
    }
}

impl Cached for Group {
    fn cache(known: &Known) -> &Cache<Self> {
        &known.groups
    }
}

impl Cached for Job {
    fn cache(known: &Known) -> &Cache<Self> {
        &known.jobs
    }
}

impl Cached for Project {
    fn cache(known: &Known) -> &Cache<Self> {
        &known.projects
    }

    fn note(known: &Known, id: [u8; 16], new: Option<&Self>) {
        let mut preferences = known.preferences.lock();
        match new {
            Some(project) => drop(preferences.insert(id, project.preferred.clone())),
            None => drop(preferences.remove(&id)),
        }
    }
}

impl Cached for TransportKey {
    fn cache(known: &Known) -> &Cache<Self> {
        &known.transport_keys
    }
}

/// Records kept decoded.
const OBJECTS_CACHED: u64 = 10_000;
const GROUPS_CACHED: u64 = 10_000;
const JOBS_CACHED: u64 = 10_000;
const PROJECTS_CACHED: u64 = 10_000;
const TRANSPORT_KEYS_CACHED: u64 = 100;
/// Pairs read from an index at a time while counting.
const COUNTED_AT_A_TIME: usize = 10_000;
/// Keys of a table of records, pieces included, whose index entries are made again in one batch.
const INDEXED_AT_A_TIME: usize = 1_000;
/// How often it is said how far the index entries have come.
const TOLD_EVERY: Duration = Duration::from_secs(5);
/// How often a batch is planned anew because a record was written while it was planned, and how long it waits for that write to
/// be durable: only then do the caches show it.
const OUTRUN_MAX: usize = 200;
const OUTRUN_PAUSE: Duration = Duration::from_millis(1);
/// How often a record may change under a reader before it gives up.
const READ_ATTEMPTS: usize = 100;

impl Repository {
    /// Opens the records.
    pub(super) fn new(backend: Arc<dyn Backend>, mac: MacKey, marked: Marked) -> Result<Self, StoreError> {
        let shared = Shared::new(Arc::clone(&backend), mac);
        let at_hand = Shared {
            backend: Arc::new(AtHand(backend)),
            mac: Arc::clone(&shared.mac),
            known: Arc::clone(&shared.known),
        };
        shared.recall_counts()?;
        for project in shared.table::<Project>()? {
            Project::note(&shared.known, project.id(), Some(&project));
        }
        let pool = Pool::start(shared.backend.fuse().cloned())?;
        Ok(Self { shared: Arc::new(shared), at_hand, marked, pool })
    }

    /// Reads every record, and compares records with index entries both ways.
    ///
    /// # Errors
    ///
    /// `Unavailable`; `Corrupt` when the engine cannot read its file.
    pub async fn check_indexes(&self) -> Result<IndexCheck, StoreError> {
        self.read(|shared| shared.check(&|_| {})).await
    }

    /// The same on this thread; `step` is told how many keys were looked at.
    ///
    /// # Errors
    ///
    /// As [`Self::check_indexes`].
    pub fn check(&self, step: impl Fn(u64)) -> Result<IndexCheck, StoreError> {
        self.shared.check(&step)
    }

    /// Copies what lives into new files while others read and write; `tell` is told how far it is. Blocks.
    ///
    /// # Errors
    ///
    /// Then the store is as it was.
    pub fn compact(&self, tell: Telling<'_>) -> Result<Compacted, CompactError> {
        self.shared.backend.compact(tell)
    }

    /// Counts the bytes of all keys and values, as an estimate of what a new file would take; others may write meanwhile. `told` says
    /// whether to go on.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Corrupt`; `None` when it was broken off.
    pub fn weighed(&self, told: impl FnMut(Live) -> ControlFlow<()>) -> Result<Option<Live>, StoreError> {
        compaction::live(self.shared.backend(), told)
    }

    /// Bytes of the engine's files.
    #[must_use]
    pub fn bytes_on_disk(&self) -> u64 {
        self.shared.backend.bytes_on_disk()
    }

    /// Reads all of the journal of changes; `None` where the engine keeps none.
    #[must_use]
    pub fn check_journal(&self) -> Option<JournalCheck> {
        self.shared.backend.check_journal()
    }

    /// What there is of the journal of changes.
    #[must_use]
    pub fn journal(&self) -> Option<JournalStatus> {
        self.shared.backend.journal()
    }

    /// Lets go of the journal up to a position that a backup has.
    pub fn prune_journal(&self, to: Position) {
        self.shared.backend.prune_journal(to);
    }

    /// Counts for operators.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats { bytes_on_disk: self.shared.backend.bytes_on_disk(), ..Stats::default() };
        for (label, count) in &*self.shared.known.counts.lock() {
            let count = u64::try_from(*count).unwrap_or(0);
            match label.as_slice() {
                [table] if *table == Table::Group as u8 => stats.groups = count,
                [table] if *table == Table::Job as u8 => stats.jobs = count,
                [number, flags] => {
                    let kind = ObjectType::from_number(u32::from(*number)).map_or("unknown", ObjectType::name);
                    *stats.objects.entry((kind, *flags & 1 != 0, *flags & 2 != 0)).or_default() += count;
                }
                _ => {}
            }
        }
        for head in self.shared.known.volatile.lock().keys() {
            match head.first() {
                Some(table) if *table == Table::Intent as u8 => stats.intents += 1,
                _ => stats.owed += 1,
            }
        }
        stats
    }

    /// Runs a read that may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        self.pool.run(move || work(&shared)).await
    }

    async fn one<R: Cached>(&self, id: UniqueIdentifier) -> Result<Option<Versioned<R>>, StoreError> {
        if let Some(stored) = R::cache(&self.shared.known).get(&id.bytes()) {
            return Ok(Some(stored.versioned.clone()));
        }
        self.read(move |shared| Ok(shared.load::<R>(id.bytes())?.map(|stored| stored.versioned.clone()))).await
    }

    async fn listed<R: Cached>(
        &self,
        prefix: Key,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
        belongs: impl Fn(&R) -> bool + Send + 'static,
    ) -> Result<Page<R>, StoreError> {
        self.read(move |shared| shared.page(&prefix, order, after, limit.max(1), belongs)).await
    }
}

impl Shared {
    /// Nothing is known yet.
    pub(super) fn new(backend: Arc<dyn Backend>, mac: MacKey) -> Self {
        let known = Known {
            objects: Cache::new(OBJECTS_CACHED),
            names: Names::new(OBJECTS_CACHED),
            groups: Cache::new(GROUPS_CACHED),
            jobs: Cache::new(JOBS_CACHED),
            projects: Cache::new(PROJECTS_CACHED),
            transport_keys: Cache::new(TRANSPORT_KEYS_CACHED),
            preferences: Mutex::default(),
            tallies: Tallies::default(),
            volatile: Mutex::default(),
            counts: Mutex::default(),
        };
        Self { backend, mac: Arc::new(mac), known: Arc::new(known) }
    }

    /// A record, from the cache or the engine.
    pub(super) fn load<R: Cached>(&self, id: [u8; 16]) -> Result<Option<Arc<Stored<R>>>, StoreError> {
        let cache = R::cache(&self.known);
        if let Some(stored) = cache.get(&id) {
            return Ok(Some(stored));
        }
        let noted = cache.generation(&id);
        let key = head_key::<R>(id);
        let mut last = None;
        for _ in 0..READ_ATTEMPTS {
            let Some(bytes) = self.backend.get(&key)? else { return Ok(None) };
            match self.read_at::<R>(&key, &bytes) {
                Ok(stored) => {
                    let stored = Arc::new(stored);
                    cache.keep(noted, &stored);
                    return Ok(Some(stored));
                }
                // Head and pieces may be of different revisions when a writer came in between; then the head has changed.
                Err(error @ StoreError::Corrupt(_)) if last.as_ref() == Some(&bytes) => return Err(error),
                Err(StoreError::Corrupt(_)) => last = Some(bytes),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(super) fn read_at<R: Record>(&self, key: &[u8], bytes: &[u8]) -> Result<Stored<R>, StoreError> {
        let head = Head::parse(bytes)?;
        let mut pieces = Vec::with_capacity(usize::from(head.pieces));
        for at in 0..head.pieces {
            let piece = self.backend.get(&piece_key(key, at))?;
            pieces.push(piece.ok_or_else(|| StoreError::Corrupt("a piece of a record is missing".to_owned()))?);
        }
        let record = self.mac.decode(key, &head, &pieces)?;
        Ok(Stored::new(record, &head, bytes.to_vec()))
    }

    fn page<R: Cached>(
        &self,
        prefix: &[u8],
        order: Order,
        after: Option<Cursor>,
        limit: usize,
        belongs: impl Fn(&R) -> bool,
    ) -> Result<Page<R>, StoreError> {
        let mut range = KeyRange::prefix(prefix);
        let direction = Direction::from(order);
        // A cursor is a key of this list; one from elsewhere finds nothing or begins at an end, never another list.
        if let Some(Cursor(key)) = after {
            match direction {
                Direction::Up if key.as_slice() >= prefix => range.start = Bound::Excluded(key),
                Direction::Up => {}
                Direction::Down if key.starts_with(prefix) || key.as_slice() < prefix => {
                    range.end = Bound::Excluded(key)
                }
                Direction::Down => {}
            }
        }
        let mut pairs = self.backend.scan(&range, direction, limit.saturating_add(1))?;
        let more = pairs.len() > limit;
        pairs.truncate(limit);
        let next = if more { pairs.last().map(|(key, _)| Cursor(key.clone())) } else { None };
        let mut records = Vec::with_capacity(pairs.len());
        for (key, _) in pairs {
            let Some(id) = index::identifier(&key) else { continue };
            if let Some(stored) = self.load::<R>(id.bytes())?
                && belongs(&stored.versioned.record)
            {
                records.push(stored.versioned.clone());
            }
        }
        Ok(Page { records, next })
    }

    /// A part of a list by position. Without a `total` the whole list is counted. Entries of what is in `gone` do not count.
    fn slice<R: Cached>(
        &self,
        prefix: &[u8],
        window: Window,
        gone: &BTreeSet<[u8; 16]>,
        total: Option<usize>,
        belongs: impl Fn(&R) -> bool,
    ) -> Result<Slice<R>, StoreError> {
        let mut range = KeyRange::prefix(prefix);
        let direction = Direction::from(window.order);
        let end = window.offset.saturating_add(window.limit);
        let (mut seen, mut ids) = (0_usize, Vec::new());
        loop {
            let wanted = if total.is_some() { end.saturating_sub(seen) } else { COUNTED_AT_A_TIME };
            let pairs = self.backend.scan(&range, direction, wanted.clamp(1, COUNTED_AT_A_TIME))?;
            let Some((last, _)) = pairs.last() else { break };
            match direction {
                Direction::Up => range.start = Bound::Excluded(last.clone()),
                Direction::Down => range.end = Bound::Excluded(last.clone()),
            }
            let listed = pairs.iter().filter_map(|(key, _)| index::identifier(key).map(|id| id.bytes()));
            for id in listed.filter(|id| !gone.contains(id)) {
                if seen >= window.offset && ids.len() < window.limit {
                    ids.push(id);
                }
                seen += 1;
            }
            if total.is_some() && seen >= end {
                break;
            }
        }
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(stored) = self.load::<R>(id)?
                && belongs(&stored.versioned.record)
            {
                records.push(stored.versioned.record.clone());
            }
        }
        Ok(Slice { records, total: total.unwrap_or(seen) })
    }

    /// The project's objects that have expired and are not yet destroyed.
    pub(super) fn expired(&self, project: &ProjectId, now: Timestamp) -> Result<BTreeSet<[u8; 16]>, StoreError> {
        let owner = index::project(project);
        let pairs = self.backend.scan(&until(Table::Expiring, now), Direction::Up, usize::MAX)?;
        let own = pairs.iter().filter(|(_, value)| value.as_slice() == owner);
        Ok(own.filter_map(|(key, _)| index::identifier(key).map(|id| id.bytes())).collect())
    }

    /// How many of a resource a project has.
    fn used(&self, project: &ProjectId, resource: Resource, now: Timestamp) -> Result<u64, StoreError> {
        let there = self.known.tallies.of((Counted::Resource(resource), index::project(project)));
        let expired = match resource {
            Resource::Secrets => self.expired(project, now)?.len(),
            Resource::Orders | Resource::Containers | Resource::Consumers => 0,
        };
        Ok(there.saturating_sub(expired as u64))
    }

    /// Writes the index entries of every record again, as this program makes them, each as a single key, and the counts.
    pub(super) fn entries_again(&self, rebuild: &Rebuild<'_>) -> Result<(), StoreError> {
        tracing::info!(
            resumed = rebuild.done.is_some(),
            "the store's indexes are made for this version of the program"
        );
        let mut count = 0;
        self.entries_of::<ManagedObject>(rebuild, &mut count)?;
        self.entries_of::<Group>(rebuild, &mut count)?;
        tracing::info!(records = count, "the store's indexes are complete");
        // With them the mark that this is done; a crash before it goes on with the entries.
        (rebuild.write)(self.counts_written(&self.counted_again()?)?, &CONVERTING)
    }

    fn entries_of<R: Record>(&self, rebuild: &Rebuild<'_>, count: &mut u64) -> Result<(), StoreError> {
        let mut range = KeyRange::prefix(&R::TABLE.key(&[]));
        if let Some(done) = &rebuild.done
            && *done >= R::TABLE.key(&[])
        {
            range.start = Bound::Excluded(done.clone());
        }
        let mut told = Instant::now();
        loop {
            let pairs = self.backend.scan(&range, Direction::Up, INDEXED_AT_A_TIME)?;
            let Some((last, _)) = pairs.last() else { return Ok(()) };
            range.start = Bound::Excluded(last.clone());
            let mut entries = Vec::new();
            for (key, bytes) in pairs.iter().filter(|(key, _)| key.len() == HEAD_KEY_BYTES) {
                entries.extend(self.read_at::<R>(key, bytes)?.versioned.record.entries());
                *count += 1;
            }
            (rebuild.write)(entries.into_iter().map(|(key, value)| (key, Some(value))).collect(), last)?;
            if told.elapsed() >= TOLD_EVERY {
                tracing::info!(
                    records = *count,
                    "index entries are being made: the gateway serves when they are complete"
                );
                told = Instant::now();
            }
        }
    }

    /// The one object that holds a name. Nothing authenticates the entry itself: one that leads to another object was exchanged.
    fn named(&self, scope: &Scope) -> Result<Page<ManagedObject>, StoreError> {
        let entry = index::listing(scope);
        let mut found = None;
        // A record that has just given a name up, or taken it, is looked at again.
        let is_settled = check::settled(|| {
            let noted = self.known.names.generation(&entry);
            let Some(id) = self.backend.get(&entry)?.and_then(|id| <[u8; 16]>::try_from(id).ok()) else {
                found = None;
                return Ok(true);
            };
            self.known.names.keep(noted, entry.clone(), id);
            found = self.load::<ManagedObject>(id)?.filter(|stored| scope.holds(&stored.versioned.record));
            Ok(found.is_some())
        })?;
        match is_settled {
            true => Ok(Page { records: found.iter().map(|stored| stored.versioned.clone()).collect(), next: None }),
            false => Err(StoreError::Corrupt("a name leads to an object that does not carry it".to_owned())),
        }
    }

    /// The same where both name and object are cached.
    fn named_at_hand(&self, scope: &Scope) -> Option<Page<ManagedObject>> {
        let id = self.known.names.get(&index::listing(scope))?;
        let stored = self.known.objects.get(&id).filter(|stored| scope.holds(&stored.versioned.record))?;
        Some(Page { records: vec![stored.versioned.clone()], next: None })
    }

    /// The objects of a scope that have not expired, by position.
    fn live(&self, scope: &Scope, window: Window, now: Timestamp) -> Result<Slice<ManagedObject>, StoreError> {
        let (gone, total) = match scope {
            Scope::Live(project) => {
                let gone = self.expired(project, now)?;
                let there = self.known.tallies.of((Counted::Resource(Resource::Secrets), index::project(project)));
                let total = usize::try_from(there).unwrap_or(usize::MAX).saturating_sub(gone.len());
                (gone, Some(total))
            }
            Scope::Called(project, _) | Scope::Project(project) | Scope::Name(project, _) => {
                (self.expired(project, now)?, None)
            }
            Scope::Having(search) => {
                let there = usize::try_from(self.of_statuses(search)).unwrap_or(usize::MAX);
                let mut gone = self.expired(&search.project, now)?;
                for id in gone.clone() {
                    let stored = self.load::<ManagedObject>(id)?;
                    if !stored.is_some_and(|stored| search.admits(&stored.versioned.record)) {
                        gone.remove(&id);
                    }
                }
                let total = there.saturating_sub(gone.len());
                (gone, Some(total))
            }
            Scope::GrantedTo(_) | Scope::Everything => (BTreeSet::new(), None),
        };
        let belongs = |object: &ManagedObject| scope.holds(object) && !object.is_expired(now);
        self.slice(&index::listing(scope), window, &gone, total, belongs)
    }

    fn all<R: Cached>(&self, prefix: &[u8], belongs: impl Fn(&R) -> bool) -> Result<Vec<Versioned<R>>, StoreError> {
        Ok(self.page(prefix, Order::OldestFirst, None, usize::MAX - 1, belongs)?.records)
    }

    /// Every record of a table without an index.
    fn table<R: Record>(&self) -> Result<Vec<R>, StoreError> {
        let pairs = self.backend.scan(&KeyRange::prefix(&R::TABLE.key(&[])), Direction::Up, usize::MAX)?;
        let heads = pairs.iter().filter(|(key, _)| key.len() == HEAD_KEY_BYTES);
        let mut records = Vec::new();
        for (key, bytes) in heads {
            match self.read_at::<R>(key, bytes) {
                Ok(stored) => records.push(stored.versioned.record),
                // Removed since the scan: with its pieces, if it had any.
                Err(StoreError::Corrupt(_)) if self.backend.get(key)?.as_ref() != Some(bytes) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// Takes in the counts, and notes the intents and owed records.
    fn recall_counts(&self) -> Result<(), StoreError> {
        let counts = self.stored_counts()?;
        self.known.tallies.begin(&counts.of);
        *self.known.counts.lock() = counts.labels;
        let mut volatile = self.known.volatile.lock();
        for table in [Table::Intent, Table::Owed] {
            self.each(&table.key(&[]), |(key, _)| {
                let (head, piece) = key.split_at_checked(HEAD_KEY_BYTES).unwrap_or((&key, &[]));
                *volatile.entry(head.to_vec()).or_default() += u16::from(!piece.is_empty());
            })?;
        }
        Ok(())
    }

    fn each(&self, prefix: &[u8], mut see: impl FnMut(Pair)) -> Result<(), StoreError> {
        let mut range = KeyRange::prefix(prefix);
        loop {
            let pairs = self.backend.scan(&range, Direction::Up, COUNTED_AT_A_TIME)?;
            match pairs.last() {
                Some((last, _)) => range.start = Bound::Excluded(last.clone()),
                None => return Ok(()),
            }
            pairs.into_iter().for_each(&mut see);
        }
    }
}

/// Every key of a table by time, up to and including a time.
fn until(table: Table, time: Timestamp) -> KeyRange {
    let mut range = KeyRange::prefix(&table.key(&[]));
    range.end = Bound::Included(table.key(&[&index::moment_of(time), &[u8::MAX; 16]]));
    range
}

impl Known {
    /// The keys of an intent or owed record.
    pub(super) fn volatile_keys(&self, head: &[u8]) -> Vec<Key> {
        let pieces = self.volatile.lock().get(head).copied().unwrap_or(0);
        let mut keys: Vec<Key> = (0..pieces).map(|at| piece_key(head, at)).collect();
        keys.push(head.to_vec());
        keys
    }

    /// An intent or owed record is stored.
    pub(super) fn note_volatile(&self, head: Key, pieces: u16) {
        self.volatile.lock().insert(head, pieces);
    }

    /// An intent or owed record is gone, or soon will be.
    pub(super) fn forget_volatile(&self, head: &[u8]) {
        self.volatile.lock().remove(head);
    }

    /// Follows a durable batch.
    pub(super) fn count(&self, labels: &BTreeMap<Vec<u8>, i64>) {
        let mut counts = self.counts.lock();
        for (label, step) in labels {
            *counts.entry(label.clone()).or_default() += step;
        }
    }
}

impl MetadataStore for Repository {
    fn object(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<ManagedObject>>, StoreError>> {
        Box::pin(self.one(id))
    }

    fn objects(
        &self,
        scope: Scope,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<ManagedObject>, StoreError>> {
        Box::pin(async move {
            match &scope {
                Scope::Name(..) if after.is_some() => Ok(Page { records: Vec::new(), next: None }),
                Scope::Name(..) => match self.shared.named_at_hand(&scope) {
                    Some(page) => Ok(page),
                    None => self.read(move |shared| shared.named(&scope)).await,
                },
                Scope::Having(search) => {
                    let search = search.clone();
                    self.read(move |shared| shared.found(&search, order, after, limit.max(1))).await
                }
                Scope::Project(_) | Scope::Live(_) | Scope::Called(..) | Scope::GrantedTo(_) | Scope::Everything => {
                    let prefix = index::listing(&scope);
                    self.listed(prefix, order, after, limit, move |object| scope.holds(object)).await
                }
            }
        })
    }

    fn group(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Group>>, StoreError>> {
        Box::pin(self.one(id))
    }

    fn groups(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Group>, StoreError>> {
        let prefix = index::in_project(Table::GroupsByProject, &project);
        Box::pin(self.listed(prefix, Order::OldestFirst, after, limit, move |group: &Group| group.project == project))
    }

    fn groups_with(&self, member: UniqueIdentifier) -> Answer<'_, Result<Vec<Versioned<Group>>, StoreError>> {
        let prefix = Table::GroupsByMember.key(&[&member.bytes()]);
        let belongs = move |group: &Group| group.members.iter().any(|one| one.object == member);
        Box::pin(self.read(move |shared| shared.all(&prefix, belongs)))
    }

    fn job(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Job>>, StoreError>> {
        Box::pin(self.one(id))
    }

    fn jobs(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Job>, StoreError>> {
        let prefix = index::in_project(Table::JobsByProject, &project);
        Box::pin(self.listed(prefix, Order::OldestFirst, after, limit, move |job: &Job| job.project == project))
    }

    fn live(
        &self,
        scope: Scope,
        window: Window,
        now: Timestamp,
    ) -> Answer<'_, Result<Slice<ManagedObject>, StoreError>> {
        Box::pin(async move {
            // Where the total is known, the part that is wanted is all that is looked at.
            let is_short = window.offset.saturating_add(window.limit) < LOOKED_AT_MAX;
            if is_short
                && matches!(scope, Scope::Live(_) | Scope::Having(_))
                && let Ok(slice) = self.at_hand.live(&scope, window, now)
            {
                return Ok(slice);
            }
            self.read(move |shared| shared.live(&scope, window, now)).await
        })
    }

    fn group_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Group>, StoreError>> {
        Box::pin(self.read(move |shared| {
            let prefix = index::in_project(Table::GroupsByProject, &project);
            let total = shared.known.tallies.of((Counted::Resource(Resource::Containers), index::project(&project)));
            let belongs = |group: &Group| group.project == project;
            shared.slice(&prefix, window, &BTreeSet::new(), usize::try_from(total).ok(), belongs)
        }))
    }

    fn job_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Job>, StoreError>> {
        Box::pin(self.read(move |shared| {
            let prefix = index::in_project(Table::JobsByProject, &project);
            let total = shared.known.tallies.of((Counted::Resource(Resource::Orders), index::project(&project)));
            let belongs = |job: &Job| job.project == project;
            shared.slice(&prefix, window, &BTreeSet::new(), usize::try_from(total).ok(), belongs)
        }))
    }

    fn used(&self, project: ProjectId, resource: Resource, now: Timestamp) -> Answer<'_, Result<u64, StoreError>> {
        Box::pin(self.read(move |shared| shared.used(&project, resource, now)))
    }

    fn due(&self, what: Due, time: Timestamp, limit: usize) -> Answer<'_, Result<Vec<UniqueIdentifier>, StoreError>> {
        let table = match what {
            Due::Expired => Table::Expiring,
            Due::Destroyed => Table::Destroyed,
        };
        Box::pin(self.read(move |shared| {
            let pairs = shared.backend.scan(&until(table, time), Direction::Up, limit)?;
            Ok(pairs.iter().filter_map(|(key, _)| index::identifier(key)).collect())
        }))
    }

    fn project(&self, id: ProjectId) -> Answer<'_, Result<Option<Versioned<Project>>, StoreError>> {
        let key = index::project(&id);
        let is_there = self.shared.known.preferences.lock().contains_key(&key);
        Box::pin(async move {
            if !is_there {
                return Ok(None);
            }
            let found = self.one::<Project>(UniqueIdentifier::from_bytes(key)).await?;
            Ok(found.filter(|found| found.record.id == id))
        })
    }

    fn projects(&self, window: Window) -> Answer<'_, Result<Slice<Project>, StoreError>> {
        Box::pin(self.read(move |shared| {
            let prefix = Table::ProjectsByQuota.key(&[]);
            shared.slice(&prefix, window, &BTreeSet::new(), None, |project: &Project| project.quotas.is_some())
        }))
    }

    fn preferred(&self, project: &ProjectId) -> Option<TokenId> {
        self.shared.known.preferences.lock().get(&index::project(project)).cloned().flatten()
    }

    fn transport_key(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<TransportKey>>, StoreError>> {
        Box::pin(self.one(id))
    }

    fn transport_keys(&self) -> Answer<'_, Result<Vec<TransportKey>, StoreError>> {
        Box::pin(self.read(|shared| {
            let mut keys = shared.table::<TransportKey>()?;
            keys.sort_by_key(|key| (key.created, key.identifier));
            Ok(keys)
        }))
    }

    fn pending_jobs(&self) -> Answer<'_, Result<Vec<Versioned<Job>>, StoreError>> {
        let pending = |job: &Job| job.state == crate::domain::job::JobState::Pending;
        Box::pin(self.read(move |shared| shared.all(&Table::PendingJobs.key(&[]), pending)))
    }

    fn intents(&self) -> Answer<'_, Result<Vec<Intent>, StoreError>> {
        Box::pin(self.read(Shared::table::<Intent>))
    }

    fn owed(&self) -> Answer<'_, Result<Vec<AuditEvent>, StoreError>> {
        Box::pin(self.read(Shared::table::<AuditEvent>))
    }

    fn commit(&self, batch: Batch) -> Answer<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if !batch::may_be_outrun(&batch) {
                return self.commit_once(batch).await?;
            }
            for _ in 0..OUTRUN_MAX {
                // The plan compares revisions; what the writer refuses then was written since the plan read it.
                match self.commit_once(batch.clone()).await? {
                    Err(StoreError::Conflict) => sleep(OUTRUN_PAUSE).await,
                    settled => return settled,
                }
            }
            self.commit_once(batch).await?
        })
    }

    fn forget_owed(&self, event: [u8; 16]) {
        let head = head_key::<AuditEvent>(event);
        for key in self.shared.known.volatile_keys(&head) {
            self.shared.backend.remove_lazily(key);
        }
        self.shared.known.forget_volatile(&head);
    }
}

impl Repository {
    /// Outside: the plan's refusal, which is final. Inside: what the writer says.
    async fn commit_once(&self, batch: Batch) -> Result<Result<(), StoreError>, StoreError> {
        let plan = match batch::is_cached(&self.shared, &batch) {
            true => batch::plan(&self.shared, batch)?,
            false => self.read(move |shared| batch::plan(shared, batch)).await?,
        };
        let (answer, answered) = oneshot::channel();
        let known = Arc::clone(&self.shared.known);
        let (mut raw, effects, deltas) = (plan.raw, plan.effects, plan.deltas);
        raw.merges = deltas.merges()?;
        // From here to the engine's answer nothing is awaited, so what is announced is always settled.
        known.tallies.announce(&deltas.of, &plan.ceilings)?;
        // The effects run with the commit, not with the caller, who may have gone away.
        let done = move |result: Result<(), StoreError>| {
            if result.is_ok() {
                effects.into_iter().for_each(|effect| effect(&known));
                known.count(&deltas.labels);
            }
            known.tallies.settle(&deltas.of, result.is_ok());
            drop(answer.send(result));
        };
        self.shared.backend.commit(raw, Box::new(done));
        answered.await.map_err(|_dropped| StoreError::Unavailable("the writer thread has ended".to_owned()))
    }
}
