//! Several use cases as one: their changes are staged over the store and the HSM and become true together, or not at all.
//!
//! A use case inside sees what the earlier ones did; nobody outside sees anything before [`Transaction::commit`]. Keys are
//! made at once, each under its intent, and destroyed again on [`Transaction::roll_back`] or by `reconcile` after a crash.
//! Values are destroyed only after the commit, whose batch carries the intents that finish it (KMIP batches with *Undo*).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    changes::Change,
    error::Error,
    ports::{
        Answer, Batch, Cursor, Due, Guard, Hsm, HsmAnswer, HsmError, HsmRequest, Intent, IntentKind, MetadataStore,
        Order, Page, Placement, Revision, Scope, Slice, StoreError, Terms, TokenStatus, Versioned, Window, Write,
    },
    tools::Ports,
};
use crate::domain::{
    ManagedObject, ObjectType, ProjectId, Timestamp, TokenId, UniqueIdentifier,
    audit::AuditEvent,
    group::Group,
    job::Job,
    project::{Project, Resource, TransportKey},
};

/// A batch of use cases that become true together.
pub struct Transaction {
    base: Arc<Ports>,
    staged: Arc<Mutex<Staged>>,
    ports: Arc<Ports>,
    changes: Mutex<Vec<Change>>,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

/// A changed object: what it is now, and what must hold of the stored one.
struct Changed {
    guard: Guard,
    revision: Revision,
    record: Option<ManagedObject>,
}

#[derive(Default)]
struct Staged {
    objects: BTreeMap<UniqueIdentifier, Changed>,
    /// Groups and jobs, in their order.
    others: Vec<Write>,
    /// Written already: what they announce happens inside.
    made: HashMap<[u8; 16], Intent>,
    /// Of these the record is staged.
    concluded: Vec<[u8; 16]>,
    /// Written with the commit: values that are destroyed after it.
    doomed: HashMap<[u8; 16], Intent>,
    owed: Vec<AuditEvent>,
    forgotten: Vec<[u8; 16]>,
}

/// Revisions of staged records: no stored record ever counts that far.
static NEXT_REVISION: AtomicU64 = AtomicU64::new(1 << 62);

fn lock(staged: &Mutex<Staged>) -> MutexGuard<'_, Staged> {
    staged.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transaction {
    /// Nothing has happened yet.
    pub(super) fn new(base: &Arc<Ports>) -> Self {
        let staged = Arc::new(Mutex::new(Staged::default()));
        let ports = Arc::new(Ports {
            hsm: Arc::new(StagedHsm { base: Arc::clone(&base.hsm), staged: Arc::clone(&staged) }),
            store: Arc::new(StagedStore { base: Arc::clone(&base.store), staged: Arc::clone(&staged) }),
            clock: Arc::clone(&base.clock),
            chance: Arc::clone(&base.chance),
            settings: base.settings.clone(),
            uses: Arc::clone(&base.uses),
        });
        Self { base: Arc::clone(base), staged, ports, changes: Mutex::default() }
    }

    /// Keeps what is told of after the commit.
    pub(super) fn put_changes(&self, mut changes: Vec<Change>) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).append(&mut changes);
    }

    /// What is told of now that it is committed.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the use cases inside work on.
    pub(super) const fn ports(&self) -> &Arc<Ports> {
        &self.ports
    }

    /// Makes everything true in one batch, then destroys the values that were to be destroyed.
    ///
    /// # Errors
    ///
    /// The store's own: then it must be rolled back.
    pub(super) async fn commit(&self) -> Result<(), Error> {
        let (writes, doomed, forgotten) = {
            let mut staged = lock(&self.staged);
            let mut writes: Vec<Write> = Vec::new();
            for (id, changed) in &staged.objects {
                match (&changed.record, changed.guard) {
                    (Some(record), guard) => writes.push(Write::PutObject(Box::new(record.clone()), guard)),
                    (None, Guard::At(revision)) => writes.push(Write::RemoveObject(*id, Guard::At(revision))),
                    (None, Guard::Absent) => {}
                }
            }
            writes.append(&mut staged.others);
            writes.extend(staged.concluded.iter().map(|id| Write::RemoveIntent(*id)));
            writes.extend(staged.doomed.values().map(|intent| Write::PutIntent(Box::new(intent.clone()))));
            writes.extend(staged.owed.iter().map(|event| Write::PutOwed(Box::new(event.clone()))));
            let doomed: Vec<Intent> = staged.doomed.values().cloned().collect();
            (writes, doomed, staged.forgotten.clone())
        };
        if !writes.is_empty() {
            self.base.store.commit(Batch(writes)).await?;
        }
        lock(&self.staged).made.clear();
        for event in forgotten {
            self.base.store.forget_owed(event);
        }
        for intent in doomed {
            self.destroy(&intent).await;
        }
        Ok(())
    }

    /// Undoes everything; answers the audit records of what had been done, which tell of something that is no more.
    pub(super) async fn roll_back(&self) -> Vec<AuditEvent> {
        let (made, owed) = {
            let mut staged = lock(&self.staged);
            let taken = std::mem::take(&mut *staged);
            (taken.made, taken.owed)
        };
        for intent in made.into_values() {
            self.destroy(&intent).await;
        }
        owed
    }

    /// Destroys what stands at an intent's places and removes it; what cannot be destroyed now is left to the reconciler.
    async fn destroy(&self, intent: &Intent) {
        for at in &intent.places {
            let request = HsmRequest::Destroy { at: at.clone() };
            if let Err(error) = self.base.hsm.call(request, Terms::of_gateway(self.base.settings.hsm_limit)).await {
                tracing::warn!(%error, "a value is left to the reconciler");
                return;
            }
        }
        if let Err(error) = self.base.store.commit(Batch(vec![Write::RemoveIntent(intent.id)])).await {
            tracing::warn!(%error, "an intent stays until it is reconciled");
        }
    }
}

/// The HSM as the use cases inside see it: what is to be destroyed stands until the commit.
struct StagedHsm {
    base: Arc<dyn Hsm>,
    staged: Arc<Mutex<Staged>>,
}

impl Hsm for StagedHsm {
    fn place(&self, project: &ProjectId, object_type: ObjectType) -> Result<TokenId, HsmError> {
        self.base.place(project, object_type)
    }

    fn place_on(&self, token: &TokenId) -> Result<TokenId, HsmError> {
        self.base.place_on(token)
    }

    fn call(&self, request: HsmRequest, terms: Terms) -> Answer<'_, Result<HsmAnswer, HsmError>> {
        if let HsmRequest::Destroy { at } = &request {
            let made_inside = |at: &Placement| lock(&self.staged).made.values().any(|it| it.places.contains(at));
            if !made_inside(at) {
                return Box::pin(async { Ok(HsmAnswer::Done) });
            }
        }
        self.base.call(request, terms)
    }

    fn status(&self) -> Vec<TokenStatus> {
        self.base.status()
    }
}

/// Records fetched at a time.
const STEP: usize = 256;

/// The store as the use cases inside see it.
struct StagedStore {
    base: Arc<dyn MetadataStore>,
    staged: Arc<Mutex<Staged>>,
}

impl StagedStore {
    /// The object as it is inside.
    async fn current(&self, id: UniqueIdentifier) -> Result<Option<Versioned<ManagedObject>>, StoreError> {
        if let Some(changed) = lock(&self.staged).objects.get(&id) {
            let revision = changed.revision;
            return Ok(changed.record.clone().map(|record| Versioned { record, revision }));
        }
        self.base.object(id).await
    }

    /// Refuses a name that another object of the project carries inside.
    async fn name_free(&self, object: &ManagedObject) -> Result<(), StoreError> {
        if object.lifecycle.destroy.is_some() {
            return Ok(());
        }
        for name in object.names() {
            let scope = Scope::Name(object.project.clone(), name.to_owned());
            let found = self.objects(scope, Order::OldestFirst, None, 2).await?;
            if found.records.iter().any(|it| it.record.identifier != object.identifier) {
                return Err(StoreError::NameTaken);
            }
        }
        Ok(())
    }

    async fn stage(&self, batch: Batch) -> Result<(), StoreError> {
        let mut through = Vec::new();
        // First what can be refused, then what changes: a batch happens as a whole or not at all.
        for write in &batch.0 {
            let (id, guard, object) = match write {
                Write::PutObject(object, guard) => (object.identifier, *guard, Some(object)),
                Write::RemoveObject(id, guard) => (*id, *guard, None),
                _ => continue,
            };
            let found = self.current(id).await?.map(|found| found.revision);
            match (guard, found) {
                (Guard::Absent, None) => {}
                (Guard::At(revision), Some(found)) if revision == found => {}
                _ => return Err(StoreError::Conflict),
            }
            if let Some(object) = object {
                self.name_free(object).await?;
            }
        }
        {
            let staged = &mut *lock(&self.staged);
            let alone = batch.0.len() == 1;
            for write in batch.0 {
                match write {
                    Write::PutObject(object, guard) => change(staged, object.identifier, guard, Some(*object)),
                    Write::RemoveObject(id, guard) => change(staged, id, guard, None),
                    Write::PutIntent(intent) if intent.kind == IntentKind::Make => {
                        staged.made.insert(intent.id, (*intent).clone());
                        through.push(Write::PutIntent(intent));
                    }
                    Write::PutIntent(intent) => drop(staged.doomed.insert(intent.id, *intent)),
                    // An intent that goes alone was withdrawn; one that goes with records was settled.
                    Write::RemoveIntent(id) if alone => {
                        staged.doomed.remove(&id);
                        if staged.made.remove(&id).is_some() {
                            through.push(Write::RemoveIntent(id));
                        }
                    }
                    Write::RemoveIntent(id) if staged.made.contains_key(&id) => staged.concluded.push(id),
                    // The value is destroyed after the commit, and its intent goes then.
                    Write::RemoveIntent(_) => {}
                    Write::PutOwed(event) => {
                        staged.owed.retain(|owed| owed.id != event.id);
                        staged.owed.push(*event);
                    }
                    other => staged.others.push(other),
                }
            }
        }
        if through.is_empty() { Ok(()) } else { self.base.commit(Batch(through)).await }
    }
}

fn change(staged: &mut Staged, id: UniqueIdentifier, guard: Guard, record: Option<ManagedObject>) {
    let revision = Revision(NEXT_REVISION.fetch_add(1, Ordering::Relaxed));
    let guard = staged.objects.get(&id).map_or(guard, |earlier| earlier.guard);
    staged.objects.insert(id, Changed { guard, revision, record });
}

impl MetadataStore for StagedStore {
    fn object(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<ManagedObject>>, StoreError>> {
        Box::pin(self.current(id))
    }

    fn objects(
        &self,
        scope: Scope,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<ManagedObject>, StoreError>> {
        Box::pin(async move {
            let first = after.is_none();
            // The store's indexes do not know what was changed inside, so then all of the project is walked.
            let walked = match &scope {
                Scope::Having(search) if !lock(&self.staged).objects.is_empty() => {
                    Scope::Project(search.project.clone())
                }
                other => other.clone(),
            };
            let mut page = self.base.objects(walked, order, after, limit).await?;
            let staged = lock(&self.staged);
            page.records.retain_mut(|found| match staged.objects.get(&found.record.identifier) {
                None => scope.holds(&found.record),
                Some(Changed { record: None, .. }) => false,
                Some(Changed { record: Some(record), revision, .. }) => {
                    *found = Versioned { record: record.clone(), revision: *revision };
                    scope.holds(record)
                }
            });
            // What the stored page cannot know: objects made inside, and ones that came into the scope inside.
            let is_edge = if order == Order::NewestFirst { first } else { page.next.is_none() };
            if is_edge {
                let mut ours: Vec<Versioned<ManagedObject>> = staged
                    .objects
                    .values()
                    .filter_map(|changed| {
                        let record = changed.record.as_ref().filter(|record| scope.holds(record))?;
                        let is_new = changed.guard == Guard::Absent || matches!(scope, Scope::Name(..));
                        let listed = page.records.iter().any(|it| it.record.identifier == record.identifier);
                        (is_new && !listed).then(|| Versioned { record: record.clone(), revision: changed.revision })
                    })
                    .collect();
                ours.sort_by_key(|it| (it.record.lifecycle.initial, it.record.identifier));
                if order == Order::NewestFirst {
                    ours.reverse();
                    ours.append(&mut page.records);
                    page.records = ours;
                } else {
                    page.records.append(&mut ours);
                }
            }
            Ok(page)
        })
    }

    fn group(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Group>>, StoreError>> {
        self.base.group(id)
    }

    fn groups(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Group>, StoreError>> {
        self.base.groups(project, after, limit)
    }

    fn groups_with(&self, member: UniqueIdentifier) -> Answer<'_, Result<Vec<Versioned<Group>>, StoreError>> {
        self.base.groups_with(member)
    }

    fn job(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Job>>, StoreError>> {
        self.base.job(id)
    }

    fn jobs(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Job>, StoreError>> {
        self.base.jobs(project, after, limit)
    }

    fn live(
        &self,
        scope: Scope,
        window: Window,
        now: Timestamp,
    ) -> Answer<'_, Result<Slice<ManagedObject>, StoreError>> {
        Box::pin(async move {
            if lock(&self.staged).objects.is_empty() {
                return self.base.live(scope, window, now).await;
            }
            let (mut records, mut total, mut after) = (Vec::new(), 0_usize, None);
            loop {
                let page = self.objects(scope.clone(), window.order, after, STEP).await?;
                for object in page.records.into_iter().map(|it| it.record).filter(|it| !it.is_expired(now)) {
                    if total >= window.offset && records.len() < window.limit {
                        records.push(object);
                    }
                    total += 1;
                }
                after = page.next;
                if after.is_none() {
                    return Ok(Slice { records, total });
                }
            }
        })
    }

    fn group_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Group>, StoreError>> {
        self.base.group_slice(project, window)
    }

    fn job_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Job>, StoreError>> {
        self.base.job_slice(project, window)
    }

    fn used(&self, project: ProjectId, resource: Resource, now: Timestamp) -> Answer<'_, Result<u64, StoreError>> {
        self.base.used(project, resource, now)
    }

    fn due(&self, what: Due, until: Timestamp, limit: usize) -> Answer<'_, Result<Vec<UniqueIdentifier>, StoreError>> {
        self.base.due(what, until, limit)
    }

    fn project(&self, id: ProjectId) -> Answer<'_, Result<Option<Versioned<Project>>, StoreError>> {
        self.base.project(id)
    }

    fn projects(&self, window: Window) -> Answer<'_, Result<Slice<Project>, StoreError>> {
        self.base.projects(window)
    }

    fn preferred(&self, project: &ProjectId) -> Option<TokenId> {
        self.base.preferred(project)
    }

    fn transport_key(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<TransportKey>>, StoreError>> {
        self.base.transport_key(id)
    }

    fn transport_keys(&self) -> Answer<'_, Result<Vec<TransportKey>, StoreError>> {
        self.base.transport_keys()
    }

    fn pending_jobs(&self) -> Answer<'_, Result<Vec<Versioned<Job>>, StoreError>> {
        self.base.pending_jobs()
    }

    fn intents(&self) -> Answer<'_, Result<Vec<Intent>, StoreError>> {
        self.base.intents()
    }

    fn owed(&self) -> Answer<'_, Result<Vec<AuditEvent>, StoreError>> {
        self.base.owed()
    }

    fn commit(&self, batch: Batch) -> Answer<'_, Result<(), StoreError>> {
        Box::pin(self.stage(batch))
    }

    fn forget_owed(&self, event: [u8; 16]) {
        lock(&self.staged).forgotten.push(event);
    }
}
