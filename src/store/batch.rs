//! From a batch of records to a batch of keys: guards become conditions, index entries and names follow the records.
//!
//! The same record may appear several times in one batch; later guards see the earlier writes. Names are settled over the
//! whole batch: what one record gives up another may take.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::Arc,
};

use super::{
    backend::{Condition, Key, RawBatch},
    cache::Stored,
    counts::Counts,
    index,
    record::{Encoded, Head, Record, head_key, piece_key},
    repository::{Cached, Known, Shared},
    tally::Ceiling,
};
use crate::{
    domain::{AttributeKind, ManagedObject, TokenReference, project::Resource},
    engine::ports::{Batch, Guard, Intent, Revision, StoreError, Write},
};

/// What happens to the caches and counters once the batch is durable.
pub(super) type Effect = Box<dyn FnOnce(&Known) + Send>;

/// A batch ready for the engine.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) raw: RawBatch,
    pub(super) effects: Vec<Effect>,
    /// What the batch adds to and takes from the counts.
    pub(super) deltas: Counts,
    /// Which of the counts may not grow beyond a limit.
    pub(super) ceilings: Vec<Ceiling>,
    released: BTreeMap<Key, [u8; 16]>,
    claimed: BTreeMap<Key, [u8; 16]>,
}

/// What a batch does to one record.
struct Touched<R> {
    /// As stored before the batch; `None` when the guard says that it is absent.
    old: Option<Arc<Stored<R>>>,
    /// As it will be.
    new: Option<R>,
    revision: Revision,
}

type Touches<R> = BTreeMap<[u8; 16], Touched<R>>;

/// Makes the plan. Reads the records that guards name, from the cache where it has them.
pub(super) fn plan(shared: &Shared, batch: Batch) -> Result<Plan, StoreError> {
    let (mut objects, mut groups, mut jobs) = (Touches::new(), Touches::new(), Touches::new());
    let (mut projects, mut transport_keys) = (Touches::new(), Touches::new());
    let mut plan = Plan::default();
    for write in batch.0 {
        match write {
            Write::PutObject(object, guard) => touch(shared, &mut objects, object.id(), guard, Some(*object))?,
            Write::RemoveObject(id, guard) => touch(shared, &mut objects, id.bytes(), guard, None)?,
            Write::Relocate { object, from, to } => relocate(shared, &mut objects, object.bytes(), &from, *to)?,
            Write::CountUses { object, uses } => count_uses(shared, &mut objects, object.bytes(), &uses)?,
            Write::PutGroup(group, guard) => touch(shared, &mut groups, group.id(), guard, Some(*group))?,
            Write::RemoveGroup(id, guard) => touch(shared, &mut groups, id.bytes(), guard, None)?,
            Write::PutJob(job, guard) => touch(shared, &mut jobs, job.id(), guard, Some(*job))?,
            Write::RemoveJob(id, guard) => touch(shared, &mut jobs, id.bytes(), guard, None)?,
            Write::PutProject(project, guard) => touch(shared, &mut projects, project.id(), guard, Some(*project))?,
            Write::RemoveProject(id, guard) => touch(shared, &mut projects, index::project(&id), guard, None)?,
            Write::PutTransportKey(key, guard) => touch(shared, &mut transport_keys, key.id(), guard, Some(*key))?,
            Write::RemoveTransportKey(id, guard) => touch(shared, &mut transport_keys, id.bytes(), guard, None)?,
            Write::Ceiling { project, resource, most, now } => {
                let expired = match resource {
                    Resource::Secrets => shared.expired(&project, now)?.len(),
                    Resource::Orders | Resource::Containers | Resource::Consumers => 0,
                };
                let of = (index::Counted::Resource(resource), index::project(&project));
                plan.ceilings.push(Ceiling { of, most, expired });
            }
            Write::PutIntent(intent) => plan.put_volatile(shared, &*intent)?,
            Write::PutOwed(event) => plan.put_volatile(shared, &*event)?,
            Write::RemoveIntent(id) => {
                let head = head_key::<Intent>(id);
                let planned = plan.raw.writes.range(head.clone()..).take_while(|(key, _)| key.starts_with(&head));
                let mut keys: Vec<Key> = planned.map(|(key, _)| key.clone()).collect();
                keys.extend(shared.known.volatile_keys(&head));
                plan.raw.writes.extend(keys.into_iter().map(|key| (key, None)));
                plan.effects.push(Box::new(move |known| known.forget_volatile(&head)));
            }
        }
    }
    plan.emit(shared, objects)?;
    plan.emit(shared, groups)?;
    plan.emit(shared, jobs)?;
    plan.emit(shared, projects)?;
    plan.emit(shared, transport_keys)?;
    plan.names();
    Ok(plan)
}

/// Whether [`plan`] finds every record that it reads in the cache.
pub(super) fn is_cached(shared: &Shared, batch: &Batch) -> bool {
    let at = |guard: &Guard| matches!(guard, Guard::At(_));
    batch.0.iter().all(|write| match write {
        Write::PutObject(object, guard) => !at(guard) || shared.known.objects.get(&object.id()).is_some(),
        Write::RemoveObject(id, guard) => !at(guard) || shared.known.objects.get(&id.bytes()).is_some(),
        Write::Relocate { object, .. } | Write::CountUses { object, .. } => {
            shared.known.objects.get(&object.bytes()).is_some()
        }
        Write::PutGroup(group, guard) => !at(guard) || shared.known.groups.get(&group.id()).is_some(),
        Write::RemoveGroup(id, guard) => !at(guard) || shared.known.groups.get(&id.bytes()).is_some(),
        Write::PutJob(job, guard) => !at(guard) || shared.known.jobs.get(&job.id()).is_some(),
        Write::RemoveJob(id, guard) => !at(guard) || shared.known.jobs.get(&id.bytes()).is_some(),
        Write::PutProject(project, guard) => !at(guard) || shared.known.projects.get(&project.id()).is_some(),
        Write::RemoveProject(id, guard) => !at(guard) || shared.known.projects.get(&index::project(id)).is_some(),
        Write::PutTransportKey(key, guard) => !at(guard) || shared.known.transport_keys.get(&key.id()).is_some(),
        Write::RemoveTransportKey(id, guard) => !at(guard) || shared.known.transport_keys.get(&id.bytes()).is_some(),
        // What has expired is looked up.
        Write::Ceiling { resource, .. } => *resource != Resource::Secrets,
        Write::PutIntent(_) | Write::RemoveIntent(_) | Write::PutOwed(_) => true,
    })
}

/// Whether a refusal may be due to a move or a count, which change a record without giving it a revision: then the batch is
/// planned anew.
pub(super) fn may_be_outrun(batch: &Batch) -> bool {
    batch.0.iter().any(|write| {
        matches!(
            write,
            Write::PutObject(_, Guard::At(_))
                | Write::RemoveObject(_, Guard::At(_))
                | Write::Relocate { .. }
                | Write::CountUses { .. }
        )
    })
}

/// Notes that the value of an object stands somewhere else.
fn relocate(
    shared: &Shared,
    touches: &mut Touches<ManagedObject>,
    id: [u8; 16],
    from: &TokenReference,
    to: TokenReference,
) -> Result<(), StoreError> {
    let btree_map::Entry::Vacant(entry) = touches.entry(id) else { return Err(StoreError::Conflict) };
    let stored = shared.load::<ManagedObject>(id)?.ok_or(StoreError::Conflict)?;
    if stored.versioned.record.value.as_ref() != Some(from) {
        return Err(StoreError::Conflict);
    }
    let (revision, mut new) = (stored.versioned.revision, stored.versioned.record.clone());
    new.value = Some(to);
    entry.insert(Touched { old: Some(stored), new: Some(new), revision });
    Ok(())
}

/// Adds to the counters of an object, whatever its revision is.
fn count_uses(
    shared: &Shared,
    touches: &mut Touches<ManagedObject>,
    id: [u8; 16],
    uses: &[(AttributeKind, i64)],
) -> Result<(), StoreError> {
    match touches.entry(id) {
        btree_map::Entry::Occupied(mut entry) => {
            entry.get_mut().new.as_mut().ok_or(StoreError::Conflict)?.count_uses(uses);
        }
        btree_map::Entry::Vacant(entry) => {
            let stored = shared.load::<ManagedObject>(id)?.ok_or(StoreError::Conflict)?;
            let (revision, mut new) = (stored.versioned.revision, stored.versioned.record.clone());
            new.count_uses(uses);
            entry.insert(Touched { old: Some(stored), new: Some(new), revision });
        }
    }
    Ok(())
}

/// Checks a guard against what is stored or what the batch has made of it, and notes the write.
fn touch<R: Cached>(
    shared: &Shared,
    touches: &mut Touches<R>,
    id: [u8; 16],
    guard: Guard,
    mut new: Option<R>,
) -> Result<(), StoreError> {
    let next = |revision: Revision| Revision(revision.0.saturating_add(1));
    match touches.entry(id) {
        btree_map::Entry::Occupied(mut entry) => {
            let touched = entry.get_mut();
            let holds = match guard {
                Guard::Absent => touched.new.is_none(),
                Guard::At(revision) => touched.new.is_some() && touched.revision == revision,
            };
            if !holds {
                return Err(StoreError::Conflict);
            }
            if let (Some(new), Some(stored)) = (&mut new, &touched.old) {
                new.follow(&stored.versioned.record);
            }
            touched.new = new;
            touched.revision = next(touched.revision);
        }
        btree_map::Entry::Vacant(entry) => {
            let (old, revision) = match guard {
                Guard::Absent => (None, Revision(1)),
                Guard::At(revision) => {
                    let stored = shared.load::<R>(id)?.ok_or(StoreError::Conflict)?;
                    if stored.versioned.revision != revision {
                        return Err(StoreError::Conflict);
                    }
                    if let Some(new) = &mut new {
                        new.follow(&stored.versioned.record);
                    }
                    (Some(stored), next(revision))
                }
            };
            entry.insert(Touched { old, new, revision });
        }
    }
    Ok(())
}

impl Plan {
    /// Writes a record that has no guard and no index.
    fn put_volatile<R: Record>(&mut self, shared: &Shared, record: &R) -> Result<(), StoreError> {
        let key = head_key::<R>(record.id());
        let encoded = shared.mac.encode(record, Revision(1))?;
        let pieces = u16::try_from(encoded.pieces.len()).map_err(|_too_many| StoreError::TooLarge)?;
        let head = key.clone();
        self.effects.push(Box::new(move |known| known.note_volatile(head, pieces)));
        self.put(key, encoded);
        Ok(())
    }

    fn put(&mut self, key: Key, encoded: Encoded) {
        for (at, piece) in (0_u16..).zip(encoded.pieces) {
            self.raw.writes.insert(piece_key(&key, at), Some(piece));
        }
        self.raw.writes.insert(key, Some(encoded.head));
    }

    /// Turns the net change of each record into conditions and writes.
    fn emit<R: Cached>(&mut self, shared: &Shared, touches: Touches<R>) -> Result<(), StoreError> {
        for (id, Touched { old, new, revision }) in touches {
            let key = head_key::<R>(id);
            let expected = old.as_ref().map(|old| old.head.clone());
            self.raw.conditions.push(Condition { key: key.clone(), expected, otherwise: StoreError::Conflict });

            let before = old.as_ref().map(|old| &old.versioned.record);
            before.into_iter().for_each(|record| self.deltas.label(record.label(), -1));
            new.iter().for_each(|record| self.deltas.label(record.label(), 1));
            let stale: BTreeMap<Key, Vec<u8>> = before.map(Record::entries).unwrap_or_default().into_iter().collect();
            let fresh: BTreeMap<Key, Vec<u8>> =
                new.as_ref().map(Record::entries).unwrap_or_default().into_iter().collect();
            self.raw.writes.extend(stale.keys().filter(|key| !fresh.contains_key(*key)).map(|key| (key.clone(), None)));
            for key in stale.keys().filter(|key| !fresh.contains_key(*key)) {
                self.deltas.entry(key, -1);
            }
            for key in fresh.keys().filter(|key| !stale.contains_key(*key)) {
                self.deltas.entry(key, 1);
            }
            let changed = fresh.iter().filter(|(key, value)| stale.get(*key) != Some(*value));
            self.raw.writes.extend(changed.map(|(key, value)| (key.clone(), Some(value.clone()))));

            let held: BTreeSet<Key> = before.map(Record::claims).unwrap_or_default().into_iter().collect();
            let wanted: BTreeSet<Key> = new.as_ref().map(Record::claims).unwrap_or_default().into_iter().collect();
            self.released.extend(held.difference(&wanted).map(|name| (name.clone(), id)));
            for name in wanted.difference(&held) {
                if self.claimed.insert(name.clone(), id).is_some() {
                    return Err(StoreError::NameTaken);
                }
            }

            if let Some(old) = &old {
                self.raw.writes.extend((0..old.pieces).map(|at| (piece_key(&key, at), None)));
                self.raw.writes.insert(key.clone(), None);
            }
            let stored = match new {
                None => None,
                Some(record) => {
                    let encoded = shared.mac.encode(&record, revision)?;
                    let head = encoded.head.clone();
                    self.put(key, encoded);
                    Some(Arc::new(Stored::new(record, &Head::parse(&head)?, head)))
                }
            };
            self.effects.push(Box::new(move |known| {
                R::note(known, id, stored.as_deref().map(|stored| &stored.versioned.record));
                R::cache(known).follow(id, stored);
            }));
        }
        Ok(())
    }

    /// A name is taken when it is free or when this batch frees it.
    fn names(&mut self) {
        for (name, id) in std::mem::take(&mut self.claimed) {
            let expected = self.released.remove(&name).map(Vec::from);
            self.raw.conditions.push(Condition { key: name.clone(), expected, otherwise: StoreError::NameTaken });
            self.raw.writes.insert(name.clone(), Some(id.to_vec()));
            self.effects.push(Box::new(move |known| known.names.follow(name, Some(id))));
        }
        for name in std::mem::take(&mut self.released).into_keys() {
            self.raw.writes.insert(name.clone(), None);
            self.effects.push(Box::new(move |known| known.names.follow(name, None)));
        }
    }
}
