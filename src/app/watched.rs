//! The metadata store with its commits timed and its last trouble remembered, for metrics and readiness.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;

use crate::{
    domain::{
        ManagedObject, ProjectId, Timestamp, TokenId, UniqueIdentifier,
        audit::AuditEvent,
        group::Group,
        job::Job,
        project::{Project, Resource, TransportKey},
    },
    engine::ports::{
        Answer, Batch, Cursor, Due, Intent, Memory, MetadataStore, Order, Page, Scope, Slice, StoreError, Versioned,
        Window,
    },
    store::{PROBE, RawStore, Repository},
    telemetry::Metrics,
};

/// The store as the engine sees it.
pub(super) struct WatchedStore {
    inner: Repository,
    raw: RawStore,
    metrics: Arc<Metrics>,
    trouble: Mutex<Option<String>>,
}

impl WatchedStore {
    pub(super) const fn new(inner: Repository, raw: RawStore, metrics: Arc<Metrics>) -> Self {
        Self { inner, raw, metrics, trouble: Mutex::new(None) }
    }

    /// The store itself, for what concerns it as a whole.
    pub(super) const fn repository(&self) -> &Repository {
        &self.inner
    }

    /// Whether the last commit was taken. After one that was not, a write of our own finds out whether it is over; a
    /// gateway that is not ready gets no requests that would.
    pub(super) fn health(&self) -> Result<(), String> {
        if self.trouble.lock().is_none() {
            return Ok(());
        }
        let trouble = self.raw.remember(PROBE, &[]).err().map(|error| error.to_string());
        self.trouble.lock().clone_from(&trouble);
        trouble.map_or(Ok(()), Err)
    }

    fn note(&self, result: &Result<(), StoreError>, began: Instant) {
        let word = match result {
            Ok(()) => "ok",
            Err(StoreError::Conflict | StoreError::NameTaken | StoreError::CeilingReached) => "conflict",
            Err(StoreError::TooLarge | StoreError::Corrupt(_) | StoreError::Journal(_)) => "error",
            Err(error @ (StoreError::Unavailable(_) | StoreError::Full(_))) => {
                *self.trouble.lock() = Some(error.to_string());
                "error"
            }
        };
        self.metrics.store_commit(word, began.elapsed().as_secs_f64());
    }
}

type Found<T> = Result<Option<Versioned<T>>, StoreError>;

impl MetadataStore for WatchedStore {
    fn object(&self, id: UniqueIdentifier) -> Answer<'_, Found<ManagedObject>> {
        self.inner.object(id)
    }

    fn objects(
        &self,
        scope: Scope,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<ManagedObject>, StoreError>> {
        self.inner.objects(scope, order, after, limit)
    }

    fn group(&self, id: UniqueIdentifier) -> Answer<'_, Found<Group>> {
        self.inner.group(id)
    }

    fn groups(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Group>, StoreError>> {
        self.inner.groups(project, after, limit)
    }

    fn groups_with(&self, member: UniqueIdentifier) -> Answer<'_, Result<Vec<Versioned<Group>>, StoreError>> {
        self.inner.groups_with(member)
    }

    fn job(&self, id: UniqueIdentifier) -> Answer<'_, Found<Job>> {
        self.inner.job(id)
    }

    fn jobs(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Job>, StoreError>> {
        self.inner.jobs(project, after, limit)
    }

    fn live(
        &self,
        scope: Scope,
        window: Window,
        now: Timestamp,
    ) -> Answer<'_, Result<Slice<ManagedObject>, StoreError>> {
        self.inner.live(scope, window, now)
    }

    fn group_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Group>, StoreError>> {
        self.inner.group_slice(project, window)
    }

    fn job_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Job>, StoreError>> {
        self.inner.job_slice(project, window)
    }

    fn used(&self, project: ProjectId, resource: Resource, now: Timestamp) -> Answer<'_, Result<u64, StoreError>> {
        self.inner.used(project, resource, now)
    }

    fn due(&self, what: Due, until: Timestamp, limit: usize) -> Answer<'_, Result<Vec<UniqueIdentifier>, StoreError>> {
        self.inner.due(what, until, limit)
    }

    fn project(&self, id: ProjectId) -> Answer<'_, Found<Project>> {
        self.inner.project(id)
    }

    fn projects(&self, window: Window) -> Answer<'_, Result<Slice<Project>, StoreError>> {
        self.inner.projects(window)
    }

    fn preferred(&self, project: &ProjectId) -> Option<TokenId> {
        self.inner.preferred(project)
    }

    fn transport_key(&self, id: UniqueIdentifier) -> Answer<'_, Found<TransportKey>> {
        self.inner.transport_key(id)
    }

    fn transport_keys(&self) -> Answer<'_, Result<Vec<TransportKey>, StoreError>> {
        self.inner.transport_keys()
    }

    fn pending_jobs(&self) -> Answer<'_, Result<Vec<Versioned<Job>>, StoreError>> {
        self.inner.pending_jobs()
    }

    fn intents(&self) -> Answer<'_, Result<Vec<Intent>, StoreError>> {
        self.inner.intents()
    }

    fn owed(&self) -> Answer<'_, Result<Vec<AuditEvent>, StoreError>> {
        self.inner.owed()
    }

    fn commit(&self, batch: Batch) -> Answer<'_, Result<(), StoreError>> {
        let began = Instant::now();
        Box::pin(async move {
            let result = self.inner.commit(batch).await;
            self.note(&result, began);
            result
        })
    }

    fn forget_owed(&self, event: [u8; 16]) {
        self.inner.forget_owed(event);
    }
}
