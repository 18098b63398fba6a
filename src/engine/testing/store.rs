//! A metadata store in memory: what the real one promises, in maps.

use std::{collections::BTreeMap, sync::Mutex};

use super::lock;
use crate::{
    domain::{
        ManagedObject, ProjectId, Timestamp, TokenId, UniqueIdentifier,
        access::Consumer,
        audit::AuditEvent,
        group::Group,
        job::{Job, JobState},
        project::{Project, Resource, TransportKey},
    },
    engine::ports::{
        Answer, Batch, Cursor, Due, Guard, Intent, MetadataStore, Order, Page, Revision, Scope, Slice, StoreError,
        Versioned, Window, Write,
    },
};

type Table<T> = BTreeMap<UniqueIdentifier, (T, Revision)>;

#[derive(Default)]
struct Tables {
    objects: Table<ManagedObject>,
    groups: Table<Group>,
    jobs: Table<Job>,
    projects: BTreeMap<ProjectId, (Project, Revision)>,
    transport_keys: Table<TransportKey>,
    intents: Vec<Intent>,
    owed: Vec<AuditEvent>,
}

/// Metadata in maps.
#[derive(Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
    /// How many commits pass before some are refused, and how many those are.
    refusals: Mutex<(u64, u64)>,
    /// How many commits of records find that somebody else was faster.
    conflicts: Mutex<u64>,
    /// How often a record was asked for and found, and how often not.
    reads: Mutex<(u64, u64)>,
}

impl MemoryStore {
    /// Of `reads`.
    pub fn reads(&self) -> (u64, u64) {
        *lock(&self.reads)
    }

    fn read<T>(&self, found: Option<T>) -> Option<T> {
        let mut reads = lock(&self.reads);
        *(if found.is_some() { &mut reads.0 } else { &mut reads.1 }) += 1;
        found
    }

    /// Lets `passing` commits through and then fails `times` of them with `Unavailable`.
    pub fn refuse_after(&self, passing: u64, times: u64) {
        *lock(&self.refusals) = (passing, times);
    }

    /// Lets the next `times` commits that change a record find that somebody else was faster.
    pub fn conflict(&self, times: u64) {
        *lock(&self.conflicts) = times;
    }

    fn outrun(&self, batch: &Batch) -> bool {
        let guarded = |write: &Write| {
            matches!(write, Write::PutObject(_, Guard::At(_)) | Write::PutGroup(_, Guard::At(_)) | Write::RemoveJob(..))
        };
        let mut left = lock(&self.conflicts);
        let outrun = *left > 0 && batch.0.iter().any(guarded);
        *left -= u64::from(outrun);
        outrun
    }

    fn refused(&self) -> bool {
        let mut refusals = lock(&self.refusals);
        match *refusals {
            (0, 0) => false,
            (0, times) => {
                *refusals = (0, times - 1);
                true
            }
            (passing, times) => {
                *refusals = (passing - 1, times);
                false
            }
        }
    }

    /// Stores an object that nobody made.
    pub fn plant_object(&self, object: ManagedObject) {
        put(&mut lock(&self.tables).objects, object.identifier, object);
    }

    /// Stores a group that nobody made.
    pub fn plant_group(&self, group: Group) {
        put(&mut lock(&self.tables).groups, group.identifier, group);
    }

    /// How many intents are not settled.
    #[must_use]
    pub fn open_intents(&self) -> usize {
        lock(&self.tables).intents.len()
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if self.refused() {
            return Err(StoreError::Unavailable("told to refuse".into()));
        }
        if self.outrun(&batch) {
            return Err(StoreError::Conflict);
        }
        let mut tables = lock(&self.tables);
        for write in &batch.0 {
            match write {
                Write::PutObject(object, guard) => {
                    held(&tables.objects, object.identifier, *guard)?;
                    name_free(&tables.objects, &batch, object)?;
                }
                Write::RemoveObject(id, guard) => held(&tables.objects, *id, *guard)?,
                Write::Relocate { object, from, .. } => {
                    let stored = tables.objects.get(object).and_then(|(stored, _)| stored.value.as_ref());
                    if stored != Some(&**from) {
                        return Err(StoreError::Conflict);
                    }
                }
                Write::CountUses { object, .. } if tables.objects.contains_key(object) => {}
                Write::CountUses { .. } => return Err(StoreError::Conflict),
                Write::PutGroup(group, guard) => held(&tables.groups, group.identifier, *guard)?,
                Write::RemoveGroup(id, guard) => held(&tables.groups, *id, *guard)?,
                Write::PutJob(job, guard) => held(&tables.jobs, job.identifier, *guard)?,
                Write::RemoveJob(id, guard) => held(&tables.jobs, *id, *guard)?,
                Write::PutProject(project, guard) => held(&tables.projects, project.id.clone(), *guard)?,
                Write::RemoveProject(id, guard) => held(&tables.projects, id.clone(), *guard)?,
                Write::PutTransportKey(key, guard) => held(&tables.transport_keys, key.identifier, *guard)?,
                Write::RemoveTransportKey(id, guard) => held(&tables.transport_keys, *id, *guard)?,
                Write::Ceiling { project, resource, most, now } => {
                    let after = tables.used(project, *resource, *now) + batch.adds(&tables, project, *resource);
                    if after > *most && batch.adds(&tables, project, *resource) > 0 {
                        return Err(StoreError::CeilingReached);
                    }
                }
                Write::PutIntent(_) | Write::RemoveIntent(_) | Write::PutOwed(_) => {}
            }
        }
        for write in batch.0 {
            match write {
                Write::PutObject(mut object, _) => {
                    if let Some((stored, _)) = tables.objects.get(&object.identifier) {
                        object.follow_uses(stored);
                        if let (Some(value), Some(stored)) = (&mut object.value, &stored.value) {
                            value.follow(stored);
                        }
                    }
                    put(&mut tables.objects, object.identifier, *object);
                }
                Write::Relocate { object, to, .. } => {
                    if let Some((stored, _)) = tables.objects.get_mut(&object) {
                        stored.value = Some(*to);
                    }
                }
                Write::CountUses { object, uses } => {
                    if let Some((stored, _)) = tables.objects.get_mut(&object) {
                        stored.count_uses(&uses);
                    }
                }
                Write::RemoveObject(id, _) => drop(tables.objects.remove(&id)),
                Write::PutGroup(group, _) => put(&mut tables.groups, group.identifier, *group),
                Write::RemoveGroup(id, _) => drop(tables.groups.remove(&id)),
                Write::PutJob(job, _) => put(&mut tables.jobs, job.identifier, *job),
                Write::RemoveJob(id, _) => drop(tables.jobs.remove(&id)),
                Write::PutProject(project, _) => put(&mut tables.projects, project.id.clone(), *project),
                Write::RemoveProject(id, _) => drop(tables.projects.remove(&id)),
                Write::PutTransportKey(key, _) => put(&mut tables.transport_keys, key.identifier, *key),
                Write::RemoveTransportKey(id, _) => drop(tables.transport_keys.remove(&id)),
                Write::Ceiling { .. } => {}
                Write::PutIntent(intent) => tables.intents.push(*intent),
                Write::RemoveIntent(id) => tables.intents.retain(|intent| intent.id != id),
                Write::PutOwed(event) => {
                    tables.owed.retain(|owed| owed.id != event.id);
                    tables.owed.push(*event);
                }
            }
        }
        Ok(())
    }
}

impl MetadataStore for MemoryStore {
    fn object(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<ManagedObject>>, StoreError>> {
        Box::pin(async move { Ok(self.read(one(&lock(&self.tables).objects, id))) })
    }

    fn objects(
        &self,
        scope: Scope,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<ManagedObject>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.objects.values().filter(|(object, _)| scope.holds(object));
            Ok(page(found, |object| (object.lifecycle.initial, object.identifier), order, after, limit))
        })
    }

    fn group(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Group>>, StoreError>> {
        Box::pin(async move { Ok(self.read(one(&lock(&self.tables).groups, id))) })
    }

    fn groups(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Group>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.groups.values().filter(|(group, _)| group.project == project);
            Ok(page(found, |group| (group.created, group.identifier), Order::OldestFirst, after, limit))
        })
    }

    fn groups_with(&self, member: UniqueIdentifier) -> Answer<'_, Result<Vec<Versioned<Group>>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.groups.values().filter(|(group, _)| group.members.iter().any(|it| it.object == member));
            Ok(found.map(versioned).collect())
        })
    }

    fn job(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Job>>, StoreError>> {
        Box::pin(async move { Ok(self.read(one(&lock(&self.tables).jobs, id))) })
    }

    fn jobs(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Job>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.jobs.values().filter(|(job, _)| job.project == project);
            Ok(page(found, |job| (job.created, job.identifier), Order::OldestFirst, after, limit))
        })
    }

    fn live(
        &self,
        scope: Scope,
        window: Window,
        now: Timestamp,
    ) -> Answer<'_, Result<Slice<ManagedObject>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.objects.values().filter(|(it, _)| scope.holds(it) && !it.is_expired(now));
            Ok(slice(found, |object| (object.lifecycle.initial, object.identifier), window))
        })
    }

    fn group_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Group>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.groups.values().filter(|(group, _)| group.project == project);
            Ok(slice(found, |group| (group.created, group.identifier), window))
        })
    }

    fn job_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Job>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.jobs.values().filter(|(job, _)| job.project == project);
            Ok(slice(found, |job| (job.created, job.identifier), window))
        })
    }

    fn used(&self, project: ProjectId, resource: Resource, now: Timestamp) -> Answer<'_, Result<u64, StoreError>> {
        Box::pin(async move { Ok(lock(&self.tables).used(&project, resource, now)) })
    }

    fn due(&self, what: Due, until: Timestamp, limit: usize) -> Answer<'_, Result<Vec<UniqueIdentifier>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let due = |object: &ManagedObject| match (what, object.lifecycle.destroy) {
                (Due::Expired, None) => object.is_expired(until),
                (Due::Expired, Some(_)) => false,
                (Due::Destroyed, at) => at.is_some_and(|at| at <= until),
            };
            let found = tables.objects.values().filter(|(object, _)| due(object));
            Ok(found.map(|(object, _)| object.identifier).take(limit).collect())
        })
    }

    fn project(&self, id: ProjectId) -> Answer<'_, Result<Option<Versioned<Project>>, StoreError>> {
        Box::pin(async move { Ok(lock(&self.tables).projects.get(&id).map(versioned)) })
    }

    fn projects(&self, window: Window) -> Answer<'_, Result<Slice<Project>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            let found = tables.projects.values().filter(|(project, _)| project.quotas.is_some());
            let created = |project: &Project| project.quotas.map(|own| own.created);
            Ok(slice(found, |project| (created(project), project.id.clone()), window))
        })
    }

    fn preferred(&self, project: &ProjectId) -> Option<TokenId> {
        lock(&self.tables).projects.get(project).and_then(|(kept, _)| kept.preferred.clone())
    }

    fn transport_key(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<TransportKey>>, StoreError>> {
        Box::pin(async move { Ok(one(&lock(&self.tables).transport_keys, id)) })
    }

    fn transport_keys(&self) -> Answer<'_, Result<Vec<TransportKey>, StoreError>> {
        Box::pin(async move {
            let mut keys: Vec<TransportKey> =
                lock(&self.tables).transport_keys.values().map(|(key, _)| key.clone()).collect();
            keys.sort_by_key(|key| (key.created, key.identifier));
            Ok(keys)
        })
    }

    fn pending_jobs(&self) -> Answer<'_, Result<Vec<Versioned<Job>>, StoreError>> {
        Box::pin(async move {
            let tables = lock(&self.tables);
            Ok(tables.jobs.values().filter(|(job, _)| job.state == JobState::Pending).map(versioned).collect())
        })
    }

    fn intents(&self) -> Answer<'_, Result<Vec<Intent>, StoreError>> {
        Box::pin(async move { Ok(lock(&self.tables).intents.clone()) })
    }

    fn owed(&self) -> Answer<'_, Result<Vec<AuditEvent>, StoreError>> {
        Box::pin(async move { Ok(lock(&self.tables).owed.clone()) })
    }

    fn commit(&self, batch: Batch) -> Answer<'_, Result<(), StoreError>> {
        Box::pin(async move { self.apply(batch) })
    }

    fn forget_owed(&self, event: [u8; 16]) {
        lock(&self.tables).owed.retain(|owed| owed.id != event);
    }
}

impl Tables {
    fn used(&self, project: &ProjectId, resource: Resource, now: Timestamp) -> u64 {
        let consumers = |all: &[Consumer]| all.iter().filter(|consumer| consumer.project == *project).count();
        let used = match resource {
            Resource::Secrets => {
                let scope = Scope::Live(project.clone());
                self.objects.values().filter(|(it, _)| scope.holds(it) && !it.is_expired(now)).count()
            }
            Resource::Orders => self.jobs.values().filter(|(job, _)| job.project == *project).count(),
            Resource::Containers => self.groups.values().filter(|(group, _)| group.project == *project).count(),
            Resource::Consumers => {
                let of_secrets = self.objects.values().map(|(object, _)| consumers(&object.secret.consumers));
                of_secrets.chain(self.groups.values().map(|(group, _)| consumers(&group.consumers))).sum()
            }
        };
        used as u64
    }
}

impl Batch {
    /// How many of a resource the batch adds to a project.
    fn adds(&self, tables: &Tables, project: &ProjectId, resource: Resource) -> u64 {
        let consumers = |all: &[Consumer]| all.iter().filter(|consumer| consumer.project == *project).count();
        let added = |write: &Write| match (resource, write) {
            (Resource::Secrets, Write::PutObject(object, Guard::Absent)) => usize::from(object.project == *project),
            (Resource::Orders, Write::PutJob(job, Guard::Absent)) => usize::from(job.project == *project),
            (Resource::Containers, Write::PutGroup(group, Guard::Absent)) => usize::from(group.project == *project),
            (Resource::Consumers, Write::PutObject(object, _)) => {
                let old = tables.objects.get(&object.identifier);
                let old = old.map_or(0, |(old, _)| consumers(&old.secret.consumers));
                consumers(&object.secret.consumers).saturating_sub(old)
            }
            (Resource::Consumers, Write::PutGroup(group, _)) => {
                let old = tables.groups.get(&group.identifier).map_or(0, |(old, _)| consumers(&old.consumers));
                consumers(&group.consumers).saturating_sub(old)
            }
            _ => 0,
        };
        self.0.iter().map(added).sum::<usize>() as u64
    }
}

fn slice<'a, T: Clone + 'a, K: Ord>(
    found: impl Iterator<Item = &'a (T, Revision)>,
    key: impl Fn(&T) -> K,
    window: Window,
) -> Slice<T> {
    let mut rows: Vec<&T> = found.map(|(record, _)| record).collect();
    rows.sort_by_key(|record| key(record));
    if window.order == Order::NewestFirst {
        rows.reverse();
    }
    let total = rows.len();
    Slice { records: rows.into_iter().skip(window.offset).take(window.limit).cloned().collect(), total }
}

fn held<K: Ord, T>(table: &BTreeMap<K, (T, Revision)>, id: K, guard: Guard) -> Result<(), StoreError> {
    let holds = match (guard, table.get(&id)) {
        (Guard::Absent, found) => found.is_none(),
        (Guard::At(revision), found) => found.is_some_and(|(_, at)| *at == revision),
    };
    if holds { Ok(()) } else { Err(StoreError::Conflict) }
}

/// Names are settled over the whole batch: what one record gives up another may take.
fn name_free(objects: &Table<ManagedObject>, batch: &Batch, object: &ManagedObject) -> Result<(), StoreError> {
    let changed: Vec<&ManagedObject> = batch
        .0
        .iter()
        .filter_map(|write| match write {
            Write::PutObject(other, _) => Some(&**other),
            _ => None,
        })
        .collect();
    let others: Vec<&ManagedObject> = objects
        .values()
        .map(|(other, _)| other)
        .filter(|other| !changed.iter().any(|new| new.identifier == other.identifier))
        .chain(changed.iter().copied())
        .collect();
    if object.lifecycle.destroy.is_some() {
        return Ok(());
    }
    let taken = object.names().any(|name| {
        others.iter().any(|other| {
            other.identifier != object.identifier
                && other.project == object.project
                && other.lifecycle.destroy.is_none()
                && other.names().any(|have| have == name)
        })
    });
    if taken { Err(StoreError::NameTaken) } else { Ok(()) }
}

fn put<K: Ord, T>(table: &mut BTreeMap<K, (T, Revision)>, id: K, record: T) {
    let revision = table.get(&id).map_or(1, |(_, revision)| revision.0 + 1);
    table.insert(id, (record, Revision(revision)));
}

fn one<T: Clone>(table: &Table<T>, id: UniqueIdentifier) -> Option<Versioned<T>> {
    table.get(&id).map(versioned)
}

fn versioned<T: Clone>((record, revision): &(T, Revision)) -> Versioned<T> {
    Versioned { record: record.clone(), revision: *revision }
}

fn page<'a, T: Clone + 'a>(
    found: impl Iterator<Item = &'a (T, Revision)>,
    key: impl Fn(&T) -> (Timestamp, UniqueIdentifier),
    order: Order,
    after: Option<Cursor>,
    limit: usize,
) -> Page<T> {
    let mut rows: Vec<_> = found.collect();
    rows.sort_by_key(|(record, _)| key(record));
    if order == Order::NewestFirst {
        rows.reverse();
    }
    let start = after.map_or(0, |Cursor(id)| {
        rows.iter().position(|(record, _)| key(record).1.bytes().as_slice() == id).map_or(rows.len(), |at| at + 1)
    });
    let rest = rows.get(start..).unwrap_or_default();
    let records: Vec<_> = rest.iter().take(limit).copied().map(versioned).collect();
    let more = rest.len() > records.len();
    let next = records.last().filter(|_| more).map(|last| Cursor(key(&last.record).1.bytes().to_vec()));
    Page { records, next }
}
