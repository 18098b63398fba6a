//! What outlives a gateway — store, token, trail, clock — and a gateway whose nth write goes wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use portcullis::{
    authz::Authorizer,
    domain::{
        ObjectType, OperationKind, Principal, ProjectId, Realm, SecretValue, Timestamp, TokenId, UniqueIdentifier,
        access::expand_roles,
        audit::{AuditEvent, Protocol},
        group::Group,
        job::Job,
        project::{Project, Resource, TransportKey},
    },
    engine::{
        Caller, Engine, Error, Operation, Ports, Settings,
        ports::{
            Answer, AuditError, AuditSink, Batch, Clock, Cursor, Due, Durability, Guard, Hsm, HsmAnswer, HsmError,
            HsmErrorKind, HsmRequest, Intent, Lane, MetadataStore, Order, Page, Scope, Slice, StoreError, Terms,
            TokenStatus, Versioned, Window, Write,
        },
        reconcile::{Repaired, reconcile},
        testing::{MemoryAudit, MemoryHsm, SystemChance, Unobserved},
    },
    store::{RawStore, Repository},
};
use tokio::sync::Notify;

/// What becomes of the nth write to the store, the token or the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It never happens, nor does anything after it: the process is gone.
    Stop,
    /// As `Stop`, but a token call that makes two objects has made the first of them.
    Torn,
    /// It does not happen, the gateway is told so, and goes on.
    Fail,
    /// A token call happens, the gateway is told that it did not, and goes on.
    Lost,
    /// Right before it somebody else changes what the request is about.
    Meddle,
}

impl Mode {
    pub(crate) const ALL: [Self; 5] = [Self::Stop, Self::Torn, Self::Fail, Self::Lost, Self::Meddle];

    /// Whether the process ends by it.
    pub(crate) const fn ends(self) -> bool {
        matches!(self, Self::Stop | Self::Torn)
    }
}

/// When what goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    /// Counted from 1.
    pub(crate) at: u64,
}

impl Plan {
    /// Nothing goes wrong.
    pub(crate) const NONE: Self = Self { mode: Mode::Stop, at: u64::MAX };
}

/// A clock that moves by a microsecond a look, and on over restarts.
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// What outlives a gateway.
pub(crate) struct World {
    raw: RawStore,
    pub(crate) hsm: Arc<MemoryHsm>,
    pub(crate) audit: Arc<MemoryAudit>,
    clock: Arc<Ticks>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            raw: RawStore::in_memory(),
            hsm: Arc::default(),
            audit: Arc::default(),
            clock: Arc::new(Ticks(AtomicI64::new(1_795_327_200_000_000))),
        }
    }

    /// Starts a gateway: nothing but the store's bytes, the token and the trail comes over from the one before.
    pub(crate) fn start(&self, plan: Plan) -> Life {
        let repository = Arc::new(self.raw.unlock(&SecretValue::new(vec![7; 32])).unwrap());
        let faults = Arc::new(Faults {
            plan,
            writes: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            bell: Notify::new(),
            subjects: parking_lot::Mutex::default(),
            store: Arc::clone(&repository),
        });
        let ports = Arc::new(Ports {
            hsm: Arc::new(FaultyHsm { inner: Arc::clone(&self.hsm), faults: Arc::clone(&faults) }),
            store: Arc::new(FaultyStore { inner: Arc::clone(&repository), faults: Arc::clone(&faults) }),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            chance: Arc::new(SystemChance),
            settings: Settings::default(),
            uses: Arc::default(),
        });
        let audit = Arc::new(FaultyAudit { inner: Arc::clone(&self.audit), faults: Arc::clone(&faults) });
        let sink = Arc::clone(&audit) as Arc<dyn AuditSink>;
        let engine = Engine::new(Arc::clone(&ports), sink, Authorizer::default(), Arc::new(Unobserved), false);
        Life { engine: Arc::new(engine), ports, audit, store: repository, faults }
    }
}

/// One gateway, from its start to its end.
pub(crate) struct Life {
    pub(crate) engine: Arc<Engine>,
    ports: Arc<Ports>,
    audit: Arc<FaultyAudit>,
    /// The store without faults, for looking.
    pub(crate) store: Arc<Repository>,
    faults: Arc<Faults>,
}

/// The request id of what a case does, as the trail names it.
pub(crate) const ACT: &str = "act";

impl Life {
    /// A request of an administrator of the project, through the protocol that has it.
    pub(crate) async fn ask<O: Operation>(&self, request: &str, operation: O) -> Result<O::Output, Error> {
        use OperationKind as Kind;
        let is_kmip = matches!(
            O::KIND,
            Kind::Activate
                | Kind::Revoke
                | Kind::Destroy
                | Kind::ChangeAttributes
                | Kind::Rekey
                | Kind::Derive
                | Kind::Archive
                | Kind::Lease
                | Kind::SplitKey
                | Kind::JoinKey
                | Kind::Import
                | Kind::Certify
        );
        let caller = Caller {
            principal: Arc::new(Principal {
                name: Some("somebody".to_owned()),
                project: ProjectId("demo".to_owned()),
                roles: expand_roles(["admin"]),
                realm: match O::KIND {
                    Kind::RunJob | Kind::Migrate => Realm::System,
                    _ if is_kmip => Realm::Certificate,
                    _ => Realm::Keystone,
                },
                user_name: None,
            }),
            protocol: if is_kmip { Protocol::Kmip } else { Protocol::Barbican },
            request: request.to_owned(),
            address: None,
            transaction: None,
            http: None,
            lane: Lane::Interactive,
            bounds: None,
        };
        self.engine.execute(&caller, operation).await
    }

    /// The request that a case is about.
    pub(crate) async fn act<O: Operation>(&self, operation: O) -> Result<(), Error> {
        self.ask(ACT, operation).await.map(drop)
    }

    /// Runs the repair of a start; `None` when the process ended in it.
    pub(crate) async fn reconcile(&self) -> Option<Repaired> {
        self.until_stopped(async { reconcile(&self.ports, &*self.audit, Duration::ZERO).await.unwrap() }).await
    }

    /// What the work answers, or `None` when the process ended first.
    pub(crate) async fn until_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.faults.ended() => None,
        }
    }

    /// Names what `Mode::Meddle` changes.
    pub(crate) fn subjects(&self, ids: &[UniqueIdentifier]) {
        self.faults.subjects.lock().extend_from_slice(ids);
    }

    /// Whether what was planned has come to pass.
    pub(crate) fn went_wrong(&self) -> bool {
        self.faults.writes.load(Ordering::SeqCst) >= self.faults.plan.at
    }
}

/// Counts writes and decides what becomes of each.
struct Faults {
    plan: Plan,
    writes: AtomicU64,
    stopped: AtomicBool,
    bell: Notify,
    subjects: parking_lot::Mutex<Vec<UniqueIdentifier>>,
    store: Arc<Repository>,
}

/// What becomes of a write.
#[derive(PartialEq, Eq)]
enum Fate {
    Happens,
    HappensInPart,
    IsRefused,
    IsDenied,
}

impl Faults {
    /// One more write; returns only if the process is still there.
    async fn write(&self) -> Fate {
        self.read().await;
        let number = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        if number != self.plan.at {
            return Fate::Happens;
        }
        match self.plan.mode {
            Mode::Stop => {
                self.end();
                std::future::pending().await
            }
            Mode::Torn => Fate::HappensInPart,
            Mode::Fail => Fate::IsRefused,
            Mode::Lost => Fate::IsDenied,
            Mode::Meddle => {
                self.meddle().await;
                Fate::Happens
            }
        }
    }

    /// Returns only if the process is still there.
    async fn read(&self) {
        if self.stopped.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    fn end(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    async fn ended(&self) {
        while !self.stopped.load(Ordering::SeqCst) {
            self.bell.notified().await;
        }
    }

    /// Writes every subject once more, as any other client could: its revision moves.
    async fn meddle(&self) {
        let subjects = self.subjects.lock().clone();
        for id in subjects {
            let mut writes = Vec::new();
            if let Some(found) = self.store.object(id).await.unwrap() {
                writes.push(Write::PutObject(Box::new(found.record), Guard::At(found.revision)));
            }
            if let Some(found) = self.store.group(id).await.unwrap() {
                writes.push(Write::PutGroup(Box::new(found.record), Guard::At(found.revision)));
            }
            if let Some(found) = self.store.job(id).await.unwrap() {
                writes.push(Write::PutJob(Box::new(found.record), Guard::At(found.revision)));
            }
            self.store.commit(Batch(writes)).await.unwrap();
        }
    }
}

struct FaultyStore {
    inner: Arc<Repository>,
    faults: Arc<Faults>,
}

/// Passes a read on, as long as there is a process.
macro_rules! read {
    ($self:ident . $method:ident ($($argument:ident),*)) => {
        Box::pin(async move {
            $self.faults.read().await;
            $self.inner.$method($($argument),*).await
        })
    };
}

impl MetadataStore for FaultyStore {
    fn object(
        &self,
        id: UniqueIdentifier,
    ) -> Answer<'_, Result<Option<Versioned<portcullis::domain::ManagedObject>>, StoreError>> {
        read!(self.object(id))
    }

    fn objects(
        &self,
        scope: Scope,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<portcullis::domain::ManagedObject>, StoreError>> {
        read!(self.objects(scope, order, after, limit))
    }

    fn group(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Group>>, StoreError>> {
        read!(self.group(id))
    }

    fn groups(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Group>, StoreError>> {
        read!(self.groups(project, after, limit))
    }

    fn groups_with(&self, member: UniqueIdentifier) -> Answer<'_, Result<Vec<Versioned<Group>>, StoreError>> {
        read!(self.groups_with(member))
    }

    fn job(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<Job>>, StoreError>> {
        read!(self.job(id))
    }

    fn jobs(
        &self,
        project: ProjectId,
        after: Option<Cursor>,
        limit: usize,
    ) -> Answer<'_, Result<Page<Job>, StoreError>> {
        read!(self.jobs(project, after, limit))
    }

    fn live(
        &self,
        scope: Scope,
        window: Window,
        now: Timestamp,
    ) -> Answer<'_, Result<Slice<portcullis::domain::ManagedObject>, StoreError>> {
        read!(self.live(scope, window, now))
    }

    fn group_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Group>, StoreError>> {
        read!(self.group_slice(project, window))
    }

    fn job_slice(&self, project: ProjectId, window: Window) -> Answer<'_, Result<Slice<Job>, StoreError>> {
        read!(self.job_slice(project, window))
    }

    fn used(&self, project: ProjectId, resource: Resource, now: Timestamp) -> Answer<'_, Result<u64, StoreError>> {
        read!(self.used(project, resource, now))
    }

    fn due(&self, what: Due, until: Timestamp, limit: usize) -> Answer<'_, Result<Vec<UniqueIdentifier>, StoreError>> {
        read!(self.due(what, until, limit))
    }

    fn project(&self, id: ProjectId) -> Answer<'_, Result<Option<Versioned<Project>>, StoreError>> {
        read!(self.project(id))
    }

    fn projects(&self, window: Window) -> Answer<'_, Result<Slice<Project>, StoreError>> {
        read!(self.projects(window))
    }

    fn preferred(&self, project: &ProjectId) -> Option<TokenId> {
        self.inner.preferred(project)
    }

    fn transport_key(&self, id: UniqueIdentifier) -> Answer<'_, Result<Option<Versioned<TransportKey>>, StoreError>> {
        read!(self.transport_key(id))
    }

    fn transport_keys(&self) -> Answer<'_, Result<Vec<TransportKey>, StoreError>> {
        read!(self.transport_keys())
    }

    fn pending_jobs(&self) -> Answer<'_, Result<Vec<Versioned<Job>>, StoreError>> {
        read!(self.pending_jobs())
    }

    fn intents(&self) -> Answer<'_, Result<Vec<Intent>, StoreError>> {
        read!(self.intents())
    }

    fn owed(&self) -> Answer<'_, Result<Vec<AuditEvent>, StoreError>> {
        read!(self.owed())
    }

    fn commit(&self, batch: Batch) -> Answer<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match self.faults.write().await {
                Fate::IsRefused => Err(StoreError::Unavailable("told to refuse".to_owned())),
                // A batch happens or not; the store's own tests prove that.
                Fate::Happens | Fate::HappensInPart | Fate::IsDenied => self.inner.commit(batch).await,
            }
        })
    }

    fn forget_owed(&self, event: [u8; 16]) {
        let faults = &self.faults;
        if faults.stopped.load(Ordering::SeqCst) {
            return;
        }
        let number = faults.writes.fetch_add(1, Ordering::SeqCst) + 1;
        match faults.plan.mode {
            Mode::Stop if number == faults.plan.at => faults.end(),
            _ => self.inner.forget_owed(event),
        }
    }
}

struct FaultyHsm {
    inner: Arc<MemoryHsm>,
    faults: Arc<Faults>,
}

impl Hsm for FaultyHsm {
    fn place(&self, project: &ProjectId, object_type: ObjectType) -> Result<TokenId, HsmError> {
        self.inner.place(project, object_type)
    }

    fn place_on(&self, token: &TokenId) -> Result<TokenId, HsmError> {
        self.inner.place_on(token)
    }

    fn call(&self, request: HsmRequest, terms: Terms) -> Answer<'_, Result<HsmAnswer, HsmError>> {
        let changes = matches!(
            request,
            HsmRequest::GenerateKey { .. }
                | HsmRequest::GenerateKeyPair { .. }
                | HsmRequest::ImportKey { .. }
                | HsmRequest::HoldBytes { .. }
                | HsmRequest::MakeTwin { .. }
                | HsmRequest::Destroy { .. }
                | HsmRequest::CopyTo { .. }
                | HsmRequest::Clear { .. }
        );
        let away = || HsmError { kind: HsmErrorKind::Unavailable, function: "test", rv: 0x30, again: None };
        Box::pin(async move {
            if !changes {
                self.faults.read().await;
                return self.inner.call(request, terms).await;
            }
            let second = match &request {
                HsmRequest::GenerateKeyPair { public, .. } => Some(public.clone()),
                _ => None,
            };
            match self.faults.write().await {
                Fate::Happens => self.inner.call(request, terms).await,
                Fate::IsRefused => Err(away()),
                Fate::IsDenied => {
                    self.inner.call(request, terms).await?;
                    Err(away())
                }
                Fate::HappensInPart => {
                    self.inner.call(request, terms).await?;
                    if let Some(at) = second {
                        self.inner.call(HsmRequest::Destroy { at }, terms).await?;
                    }
                    self.faults.end();
                    std::future::pending().await
                }
            }
        })
    }

    fn status(&self) -> Vec<TokenStatus> {
        self.inner.status()
    }
}

struct FaultyAudit {
    inner: Arc<MemoryAudit>,
    faults: Arc<Faults>,
}

impl AuditSink for FaultyAudit {
    fn record(&self, event: AuditEvent, durability: Durability) -> Answer<'_, Result<(), AuditError>> {
        Box::pin(async move {
            match self.faults.write().await {
                Fate::IsRefused => Err(AuditError("told to refuse".to_owned())),
                Fate::Happens | Fate::HappensInPart | Fate::IsDenied => self.inner.record(event, durability).await,
            }
        })
    }

    fn holds(&self, event: [u8; 16]) -> bool {
        self.inner.holds(event)
    }
}
