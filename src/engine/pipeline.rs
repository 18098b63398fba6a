//! [`Engine::execute`]: everything that happens around a use case, in one place and one order.

use std::{sync::Arc, time::Instant};

use super::{
    changes::{Change, Changes, Listening},
    error::{Error, ErrorKind},
    operation::{Operation, Target, Targets},
    ports::{AuditSink, Durability, Lane, StoreError, Versioned},
    rates::Limiter,
    tools::{Ports, Tools},
    transaction::Transaction,
};
use crate::{
    authz::{Authorizer, Denied, Permitted, Resource},
    domain::{
        ManagedObject, ObjectType, OperationKind, Origin, Principal, Timestamp, UniqueIdentifier,
        audit::{AuditEvent, HttpFacts, Outcome, Protocol},
        group::Group,
        operation::Effect,
    },
};

/// What bounds a caller's requests beside the rules: rights that somebody lent.
pub trait Bounds: std::fmt::Debug + Send + Sync {
    /// Whether the request may be done to this object, which it names.
    ///
    /// # Errors
    ///
    /// What the caller is told.
    fn admit(&self, object: &ManagedObject) -> Result<(), Error>;
}

/// Who asks, which way, and what the audit trail says about it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The principal.
    pub principal: Arc<Principal>,
    /// Which way the request came in.
    pub protocol: Protocol,
    /// The request id that the logs carry.
    pub request: String,
    /// The peer's address without port.
    pub address: Option<String>,
    /// Where several use cases become true together; `None` where each does by itself.
    pub transaction: Option<Arc<Transaction>>,
    /// What the audit trail says beside, of a request over HTTP.
    pub http: Option<Arc<Http>>,
    /// Where it waits for the HSM.
    pub lane: Lane,
    /// To which objects it may be done, where that is less than the rules allow.
    pub bounds: Option<Arc<dyn Bounds>>,
}

/// A request over HTTP, for the audit trail: the record is written before the answer, so the status is worked out here.
pub struct Http {
    /// What is known before the outcome is.
    pub facts: HttpFacts,
    /// The status of the answer to this outcome.
    pub status: StatusOf,
}

/// The status of the answer to a failure, or to a success.
pub type StatusOf = Box<dyn Fn(Option<&Error>) -> u16 + Send + Sync>;

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Http {
    /// Notes the status of the answer to a failure, or to a success.
    fn conclude(caller: &Caller, event: &mut AuditEvent, error: Option<&Error>) {
        if let (Some(http), Some(facts)) = (&caller.http, &mut event.http) {
            facts.status = Some((http.status)(error));
        }
    }
}

/// A request that ended before anybody knew who asks.
#[derive(Clone, Debug)]
pub struct Stranger {
    /// Which way the request came in.
    pub protocol: Protocol,
    /// The request id that the logs carry.
    pub request: String,
    /// The peer's address without port.
    pub address: Option<String>,
    /// Of a request over HTTP, with the status of the answer.
    pub http: Option<HttpFacts>,
}

/// Counts finished use cases; the telemetry of the gateway implements it.
pub trait Observer: Send + Sync {
    /// One use case ended.
    fn finished(&self, protocol: Protocol, operation: OperationKind, outcome: &'static str, seconds: f64);
}

/// Runs use cases.
pub struct Engine {
    ports: Arc<Ports>,
    audit: Arc<dyn AuditSink>,
    authorizer: arc_swap::ArcSwap<Authorizer>,
    observer: Arc<dyn Observer>,
    strict_audit: bool,
    changes: Changes,
    limiter: Limiter,
}

impl Engine {
    /// An engine over its ports. With `strict_audit` uses and reveals are on disk before they are answered, too.
    #[must_use]
    pub fn new(
        ports: Arc<Ports>,
        audit: Arc<dyn AuditSink>,
        authorizer: Authorizer,
        observer: Arc<dyn Observer>,
        strict_audit: bool,
    ) -> Self {
        Self {
            limiter: Limiter::new(ports.settings.rates),
            ports,
            audit,
            authorizer: arc_swap::ArcSwap::from_pointee(authorizer),
            observer,
            strict_audit,
            changes: Changes::default(),
        }
    }

    /// Puts other rules in force, from the next request on.
    pub fn replace_rules(&self, authorizer: Authorizer) {
        self.authorizer.store(Arc::new(authorizer));
    }

    /// The ports, for start-up repair and health.
    #[must_use]
    pub const fn ports(&self) -> &Arc<Ports> {
        &self.ports
    }

    /// The audit trail, for refusals that no use case saw.
    #[must_use]
    pub fn audit(&self) -> &dyn AuditSink {
        &*self.audit
    }

    /// Hears of every change from now on, after it was committed and recorded.
    #[must_use]
    pub fn listen(&self) -> Listening {
        self.changes.listen()
    }

    /// Whether anybody hears of changes.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.changes.is_heard()
    }

    /// Begins a transaction: use cases whose caller carries it become true together.
    #[must_use]
    pub fn begin(&self) -> Arc<Transaction> {
        Arc::new(Transaction::new(&self.ports))
    }

    /// Makes a transaction's changes true; when that fails it is undone.
    ///
    /// # Errors
    ///
    /// The store's own, `Unavailable` when the undoing cannot be written down.
    pub async fn commit(&self, transaction: &Transaction) -> Result<(), Error> {
        if let Err(error) = transaction.commit().await {
            self.roll_back(transaction).await?;
            return Err(error);
        }
        self.changes.tell(transaction.take_changes());
        Ok(())
    }

    /// Undoes a transaction and writes down that what its audit records tell of is no more.
    ///
    /// # Errors
    ///
    /// `Unavailable` when that cannot be written; it is undone all the same.
    pub async fn roll_back(&self, transaction: &Transaction) -> Result<(), Error> {
        for event in transaction.roll_back().await {
            let mut id = [0; 16];
            self.ports.chance.fill(&mut id);
            let outcome = Outcome::Failure("undone".to_owned());
            let undone = AuditEvent { id, time: self.ports.clock.now(), outcome, ..event };
            self.audit.record(undone, Durability::Synced).await?;
        }
        Ok(())
    }

    /// What this caller's use cases work on.
    fn ports_of<'a>(&'a self, caller: &'a Caller) -> &'a Arc<Ports> {
        caller.transaction.as_ref().map_or(&self.ports, |transaction| transaction.ports())
    }

    /// Runs a use case: load, permit, run, record, count.
    ///
    /// A change that has begun is finished even when the caller goes away. The audit record is written before this
    /// returns; when it cannot be written the request fails.
    ///
    /// # Errors
    ///
    /// The use case's own, `Denied`/`Foreign`/`NotFound` from the rules, `Unavailable` when the audit record is refused.
    pub async fn execute<O: Operation>(self: &Arc<Self>, caller: &Caller, operation: O) -> Result<O::Output, Error> {
        if let Err(error) = self.limiter.admit(&caller.principal) {
            self.observer.finished(caller.protocol, O::KIND, error.kind.name(), 0.0);
            tracing::debug!(request = caller.request, error = %error, "refused");
            return Err(error);
        }
        let started = Instant::now();
        let (kind, result) = if O::KIND.effect() == Effect::Change {
            let (engine, of) = (Arc::clone(self), caller.clone());
            let task = tokio::spawn(async move { engine.perform(&of, operation).await });
            task.await.unwrap_or_else(|error| {
                (O::KIND, Err(Error::new(ErrorKind::Internal, "the request ended unexpectedly").because(error)))
            })
        } else {
            self.perform(caller, operation).await
        };
        let outcome = result.as_ref().map_or_else(|error| error.kind.name(), |_| "success");
        self.observer.finished(caller.protocol, kind, outcome, started.elapsed().as_secs_f64());
        if let Err(error) = &result {
            log_failure(caller, kind, error);
        }
        result
    }

    /// Whether the target exists, as far as the caller's protocol tells anybody; nothing is permitted by it.
    ///
    /// For front ends that must say that something is missing before they say that a request for it is wrong.
    ///
    /// # Errors
    ///
    /// `NotFound`, or the store's own.
    pub async fn look_up(&self, caller: &Caller, target: Target) -> Result<(), Error> {
        let mut event = self.event(caller, OperationKind::ReadAttributes);
        let found = self.fetch(caller, target, &mut event).await?;
        let (objects, group) = (&found.objects, &found.group);
        let mut resources = objects
            .iter()
            .map(|it| object_resource(&it.record))
            .chain(group.iter().map(|it| group_resource(&it.record)));
        let user = caller.principal.name.as_ref();
        let unknown = |resource: Resource<'_>| {
            let is_granted = resource.grants.is_some_and(|grants| user.is_some_and(|it| grants.users.contains(it)));
            *resource.project != caller.principal.project && !is_granted
        };
        if self.hides(caller) && resources.any(unknown) { Err(Box::pin(self.hidden()).await) } else { Ok(()) }
    }

    /// Writes the record of a request that ended before any use case: no such path, verb or form of answer.
    ///
    /// # Errors
    ///
    /// `Unavailable` when the audit record is refused.
    pub async fn refused(&self, caller: &Caller, refusal: &Error) -> Result<(), Error> {
        let mut event = self.event(caller, OperationKind::Refuse);
        event.outcome = Outcome::Failure(refusal.kind.name().to_owned());
        Http::conclude(caller, &mut event, Some(refusal));
        self.audit.record(event, Durability::Handed).await?;
        self.observer.finished(caller.protocol, OperationKind::Refuse, refusal.kind.name(), 0.0);
        Ok(())
    }

    /// Writes the record of a request that asked nothing of the store: what this service is.
    ///
    /// # Errors
    ///
    /// `Unavailable` when the audit record is refused.
    pub async fn queried(&self, caller: &Caller) -> Result<(), Error> {
        let mut event = self.event(caller, OperationKind::Query);
        Http::conclude(caller, &mut event, None);
        self.audit.record(event, Durability::Handed).await?;
        self.observer.finished(caller.protocol, OperationKind::Query, "success", 0.0);
        Ok(())
    }

    /// Writes the record of a request whose caller nobody knows.
    ///
    /// # Errors
    ///
    /// `Unavailable` when the audit record is refused.
    pub async fn unknown(&self, stranger: Stranger, kind: ErrorKind) -> Result<(), Error> {
        let Stranger { protocol, request, address, http } = stranger;
        let mut id = [0; 16];
        self.ports.chance.fill(&mut id);
        let event = AuditEvent {
            id,
            time: self.ports.clock.now(),
            request,
            protocol,
            initiator: None,
            realm: None,
            project: None,
            address,
            operation: OperationKind::Refuse,
            targets: Vec::new(),
            outcome: Outcome::Failure(kind.name().to_owned()),
            recovered: false,
            http,
        };
        self.audit.record(event, Durability::Handed).await?;
        self.observer.finished(protocol, OperationKind::Refuse, kind.name(), 0.0);
        Ok(())
    }

    /// What it turned out to be, and its result.
    async fn perform<O: Operation>(&self, caller: &Caller, operation: O) -> (OperationKind, Result<O::Output, Error>) {
        let mut event = self.event(caller, O::KIND);
        let result = match self.load(caller, (O::KIND, operation.rule()), operation.target(), &mut event).await {
            Ok(permitted) => {
                // A move changes nothing that a client could see.
                let is_told = self.changes.is_heard() && O::KIND != OperationKind::Migrate;
                let before = is_told.then(|| records(permitted.get()));
                let tools =
                    Tools::new(Arc::clone(self.ports_of(caller)), Arc::clone(&caller.principal), event, caller.lane);
                let result = operation.run(permitted, &tools).await;
                let outcome = outcome_of(&result);
                let (event, committed) = tools.into_finished(outcome);
                let touched = before.filter(|_| committed).map(|before| (before, event.targets.clone()));
                let kind = event.operation;
                let result = self.close(caller, kind, result, (event, committed)).await;
                if let Some((before, touched)) = touched.filter(|_| result.is_ok()) {
                    Box::pin(self.tell(caller, before, touched)).await;
                }
                return (kind, result);
            }
            Err(error) => Err(error),
        };
        event.time = self.ports.clock.now();
        event.outcome = outcome_of(&result);
        (O::KIND, self.close(caller, O::KIND, result, (event, false)).await)
    }

    /// Tells listeners what became of the objects that a request has touched; in a transaction, when it is committed.
    async fn tell(&self, caller: &Caller, mut before: Vec<ManagedObject>, touched: Vec<UniqueIdentifier>) {
        let mut changes = Vec::new();
        for id in touched {
            let was = before.iter().position(|it| it.identifier == id).map(|at| before.swap_remove(at));
            match self.ports_of(caller).store.object(id).await {
                Ok(Some(found)) if was.as_ref() != Some(&found.record) => {
                    changes.push(Change { object: id, before: was, after: found.record });
                }
                // Unchanged, or gone without trace.
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "nobody is told of a change"),
            }
        }
        match &caller.transaction {
            Some(transaction) => transaction.put_changes(changes),
            None => self.changes.tell(changes),
        }
    }

    /// Writes the outcome record. What was committed owes it, durably: that is forgotten once the trail has it on disk, which the
    /// answer does not wait for unless the trail is strict.
    async fn close<T>(
        &self,
        caller: &Caller,
        kind: OperationKind,
        result: Result<T, Error>,
        (mut event, committed): (AuditEvent, bool),
    ) -> Result<T, Error> {
        Http::conclude(caller, &mut event, result.as_ref().err());
        let id = event.id;
        if !committed {
            let is_strict = self.strict_audit && kind.effect() != Effect::Read;
            let durability = if is_strict { Durability::Synced } else { Durability::Handed };
            self.audit.record(event, durability).await?;
        } else if self.strict_audit || caller.transaction.is_some() {
            // What a transaction owes is stored with its commit, which comes after this.
            self.audit.record(event, Durability::Synced).await?;
            self.ports_of(caller).store.forget_owed(id);
        } else {
            let store = Arc::clone(&self.ports.store);
            self.audit.record_owed(event, Box::new(move || store.forget_owed(id))).await?;
        }
        result
    }

    fn event(&self, caller: &Caller, operation: OperationKind) -> AuditEvent {
        let mut id = [0; 16];
        self.ports.chance.fill(&mut id);
        AuditEvent {
            id,
            time: self.ports.clock.now(),
            request: caller.request.clone(),
            protocol: caller.protocol,
            initiator: caller.principal.name.clone(),
            realm: Some(caller.principal.realm),
            project: Some(caller.principal.project.clone()),
            address: caller.address.clone(),
            operation,
            targets: Vec::new(),
            outcome: Outcome::Success,
            recovered: false,
            // Without a status: that is what a crash would leave.
            http: caller.http.as_ref().map(|http| http.facts.clone()),
        }
    }

    async fn load(
        &self,
        caller: &Caller,
        (kind, rule): (OperationKind, Option<&'static str>),
        target: Target,
        event: &mut AuditEvent,
    ) -> Result<Permitted<Targets>, Error> {
        // What is only linked to the object at hand is not what the request is for.
        let named = if matches!(target, Target::Linked(..)) { 1 } else { usize::MAX };
        let targets = match self.fetch(caller, target, event).await {
            Err(error) if error.kind == ErrorKind::NotFound && self.hides(caller) => {
                // As much work as for an object of somebody else.
                self.authorizer.load().permit(&caller.principal, kind, rule, &[], ()).ok();
                return Err(error);
            }
            fetched => fetched?,
        };
        let authorizer = self.authorizer.load();
        let (objects, group) = (&targets.objects, &targets.group);
        let resources: Vec<Resource<'_>> = objects
            .iter()
            .map(|it| object_resource(&it.record))
            .chain(group.iter().map(|it| group_resource(&it.record)))
            .collect();
        let foreign = resources.iter().any(|resource| *resource.project != caller.principal.project);
        match authorizer.permit(&caller.principal, kind, rule, &resources, ()) {
            Ok(permit) => {
                if let Some(bounds) = &caller.bounds {
                    objects.iter().take(named).try_for_each(|it| bounds.admit(&it.record))?;
                }
                Ok(permit.map(|()| targets))
            }
            Err(Denied { visible: false }) => Err(Error::not_found()),
            Err(Denied { visible: true }) if foreign && self.hides(caller) => Err(Box::pin(self.hidden()).await),
            Err(Denied { visible: true }) if foreign => Err(Error::new(ErrorKind::Foreign, "not allowed")),
            Err(Denied { visible: true }) => Err(Error::new(ErrorKind::Denied, "not allowed")),
        }
    }

    /// Whether the caller is not to know of what other projects have.
    fn hides(&self, caller: &Caller) -> bool {
        self.ports.settings.hide_foreign && caller.protocol == Protocol::Barbican
    }

    /// The refusal of what exists and is hidden, after as much work as a missing object makes: one lookup that the store's
    /// cache cannot answer.
    async fn hidden(&self) -> Error {
        let mut id = [0; 16];
        self.ports.chance.fill(&mut id);
        match self.ports.store.object(UniqueIdentifier::from_random(id)).await {
            Ok(_) => Error::not_found(),
            Err(error) => error.into(),
        }
    }

    async fn fetch(&self, caller: &Caller, target: Target, event: &mut AuditEvent) -> Result<Targets, Error> {
        let now = self.ports.clock.now();
        let mut targets = Targets::default();
        match target {
            Target::Project => {}
            Target::Object(id) => targets.objects = vec![self.object(caller, id, now, event).await?],
            Target::Objects(ids) => {
                targets.objects.reserve_exact(ids.len());
                for id in ids {
                    targets.objects.push(self.object(caller, id, now, event).await?);
                }
            }
            Target::Linked(id, kinds) => {
                let found = self.object(caller, id, now, event).await?;
                let linked: Vec<UniqueIdentifier> =
                    kinds.iter().flat_map(|kind| found.record.links(*kind).collect::<Vec<_>>()).collect();
                targets.objects.push(found);
                for id in linked {
                    targets.objects.extend(self.maybe(caller, id, now, event).await?);
                }
            }
            Target::Maybe(id) => targets.objects.extend(self.maybe(caller, id, now, event).await?),
            Target::Group(id) => {
                event.targets.push(id);
                targets.group = Some(self.ports_of(caller).store.group(id).await?.ok_or_else(Error::not_found)?);
            }
            Target::Job(id) => {
                event.targets.push(id);
                let job = self.ports_of(caller).store.job(id).await?;
                let exists = job.is_some();
                targets.job = job.filter(|job| job.record.project == caller.principal.project);
                if targets.job.is_none() {
                    let hidden = exists && self.hides(caller);
                    return Err(if hidden { Box::pin(self.hidden()).await } else { Error::not_found() });
                }
            }
        }
        Ok(targets)
    }

    async fn maybe(
        &self,
        caller: &Caller,
        id: UniqueIdentifier,
        now: Timestamp,
        event: &mut AuditEvent,
    ) -> Result<Option<Versioned<ManagedObject>>, Error> {
        match self.object(caller, id, now, event).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn object(
        &self,
        caller: &Caller,
        id: UniqueIdentifier,
        now: Timestamp,
        event: &mut AuditEvent,
    ) -> Result<Versioned<ManagedObject>, Error> {
        event.targets.push(id);
        let found = self.ports_of(caller).store.object(id).await.map_err(|error| match error {
            StoreError::Conflict => Error::not_found().because(error),
            other => other.into(),
        })?;
        let object = found.ok_or_else(Error::not_found)?;
        // Barbican's identifiers end with the secret: a destroyed or expired one is looked up in vain (contract §2.1.4).
        let gone = object.record.is_expired(now)
            || (caller.protocol == Protocol::Barbican
                && (object.record.state(now).is_destroyed() || object.record.object_type.is_of_accounts()));
        if object.record.object_type == ObjectType::Obliterated {
            let own = object.record.project == caller.principal.project && caller.protocol == Protocol::Kmip;
            return Err(if own {
                Error::new(ErrorKind::Obliterated, "the object is gone")
            } else {
                Error::not_found()
            });
        }
        if gone { Err(Error::not_found()) } else { Ok(object) }
    }
}

fn records(targets: &Targets) -> Vec<ManagedObject> {
    targets.objects.iter().map(|found| found.record.clone()).collect()
}

fn outcome_of<T>(result: &Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(error) => Outcome::Failure(error.kind.name().to_owned()),
    }
}

fn object_resource(object: &ManagedObject) -> Resource<'_> {
    Resource {
        project: &object.project,
        creator: object.creator.as_deref(),
        origin: object.origin,
        grants: object.secret.grants.as_ref(),
    }
}

fn group_resource(group: &Group) -> Resource<'_> {
    Resource {
        project: &group.project,
        creator: group.creator.as_deref(),
        origin: Origin::Barbican,
        grants: group.grants.as_ref(),
    }
}

fn log_failure(caller: &Caller, kind: OperationKind, error: &Error) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    match error.kind {
        ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Full => {
            tracing::error!(request = caller.request, operation = kind.name(), %error, source, "request failed");
        }
        _ => tracing::debug!(request = caller.request, operation = kind.name(), %error, source, "request refused"),
    }
}
