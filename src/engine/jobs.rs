//! Runs jobs: those that are pending at start, and each new one soon after it was stored.
//!
//! The store is the queue, so a restart loses nothing. A job that fails because the HSM or the store is away stays pending
//! and is tried again, later each time; any other failure ends it. Only one runner works on a store.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Engine,
    error::{Error, ErrorKind},
    ops::jobs::{RunJob, may_be_repeated},
    pipeline::Caller,
    ports::Lane,
};
use crate::domain::{
    Principal, Realm, UniqueIdentifier,
    audit::Protocol,
    job::{Job, JobState},
};

/// Most jobs at once: key pairs keep a session busy for seconds.
const AT_ONCE: usize = 4;
/// The first pause before a job is tried again, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Runs jobs.
pub struct Runner {
    engine: Arc<Engine>,
    wake: Notify,
    /// Whether anybody works off what is pending.
    working: AtomicBool,
    /// Who waits for the end of a run of which job.
    waiting: Mutex<HashMap<UniqueIdentifier, Vec<oneshot::Sender<()>>>>,
}

/// When a job that could not run is tried again.
#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    pause: Duration,
}

impl Runner {
    /// A runner of this engine's jobs.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, wake: Notify::new(), working: AtomicBool::new(false), waiting: Mutex::default() }
    }

    /// A job was stored: look for it now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// A job was stored: looks for it now and waits, at most for `limit`, until it has been run once.
    pub async fn settle(&self, job: UniqueIdentifier, limit: Duration) {
        let (done, ended) = oneshot::channel();
        self.waiting.lock().entry(job).or_default().push(done);
        self.wake();
        // It may have been found before anybody waited for it.
        let pending = match self.engine.ports().store.job(job).await {
            Ok(Some(found)) => found.record.state == JobState::Pending,
            Ok(None) | Err(_) => false,
        };
        if pending && self.working.load(Ordering::Acquire) {
            // Whatever comes of it, the order tells.
            tokio::time::timeout(limit, ended).await.ok();
        }
        self.waiting.lock().remove(&job);
    }

    fn ended(&self, job: UniqueIdentifier) {
        for waiter in self.waiting.lock().remove(&job).into_iter().flatten() {
            // Who does not wait any more need not be told.
            waiter.send(()).ok();
        }
    }

    /// Works until `drain`, then lets the jobs that are running end.
    pub async fn run(&self, drain: CancellationToken) {
        self.working.store(true, Ordering::Release);
        self.work_off(drain).await;
        self.working.store(false, Ordering::Release);
        self.waiting.lock().clear();
    }

    async fn work_off(&self, drain: CancellationToken) {
        let mut retries: BTreeMap<UniqueIdentifier, Retry> = BTreeMap::new();
        let mut running: BTreeSet<UniqueIdentifier> = BTreeSet::new();
        let mut tasks: JoinSet<(UniqueIdentifier, Result<(), Error>)> = JoinSet::new();
        while !drain.is_cancelled() {
            let pause = match self.engine.ports().store.pending_jobs().await {
                Ok(pending) => {
                    let now = Instant::now();
                    retries.retain(|id, _| pending.iter().any(|job| job.record.identifier == *id));
                    for job in pending.into_iter().map(|job| job.record) {
                        let id = job.identifier;
                        let due = retries.get(&id).is_none_or(|retry| retry.at <= now);
                        if due && running.len() < AT_ONCE && running.insert(id) {
                            let engine = Arc::clone(&self.engine);
                            tasks.spawn(async move { (id, work(&engine, &job).await) });
                        }
                    }
                    let next = retries.values().map(|retry| retry.at.saturating_duration_since(now)).min();
                    next.map_or(PAUSE_MAX, |next| next.clamp(PAUSE_FIRST, PAUSE_MAX))
                }
                Err(error) => {
                    tracing::error!(%error, "the store does not tell which orders are pending");
                    PAUSE_FIRST
                }
            };
            tokio::select! {
                () = drain.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
                Some(ended) = tasks.join_next() => match ended {
                    Ok((id, result)) => {
                        running.remove(&id);
                        note(&mut retries, id, result);
                        self.ended(id);
                    }
                    Err(error) => {
                        // A panic in a use case is caught inside the engine; nothing else ends a task.
                        tracing::error!(%error, "an order's run ended unexpectedly");
                        running.clear();
                    }
                },
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Runs every pending job once, one after the other: for tests and for repair by hand.
    ///
    /// # Errors
    ///
    /// The store's own. What becomes of a job stands in the job.
    pub async fn run_pending(&self) -> Result<usize, Error> {
        let pending = self.engine.ports().store.pending_jobs().await?;
        for job in &pending {
            if let Err(error) = work(&self.engine, &job.record).await {
                tracing::debug!(%error, order = %job.record.identifier, "an order did not succeed");
            }
        }
        Ok(pending.len())
    }
}

/// When a job comes again, if it does.
fn note(retries: &mut BTreeMap<UniqueIdentifier, Retry>, id: UniqueIdentifier, result: Result<(), Error>) {
    match result {
        Err(error) if may_be_repeated(error.kind) => {
            let pause = retries.get(&id).map_or(PAUSE_FIRST, |retry| (retry.pause * 2).min(PAUSE_MAX));
            let source = source_of(&error);
            tracing::warn!(%error, source, order = %id, seconds = pause.as_secs_f64(), "an order is tried again later");
            retries.insert(id, Retry { at: Instant::now() + pause, pause });
        }
        Err(error) if error.kind == ErrorKind::NotFound => drop(retries.remove(&id)),
        Err(error) => {
            // Its client sees the outcome only; which function of the HSM answered what stands in the source.
            tracing::warn!(%error, source = source_of(&error), order = %id, "an order failed");
            retries.remove(&id);
        }
        Ok(()) => drop(retries.remove(&id)),
    }
}

/// What the engine's error was made from: for the HSM, function and code.
fn source_of(error: &Error) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}

/// One run of one job, in the name of its creator.
async fn work(engine: &Arc<Engine>, job: &Job) -> Result<(), Error> {
    let caller = Caller {
        principal: Arc::new(Principal {
            name: job.creator.clone(),
            project: job.project.clone(),
            roles: Vec::new(),
            realm: Realm::System,
            user_name: None,
        }),
        protocol: Protocol::Internal,
        request: format!("order-{}", job.identifier),
        address: None,
        transaction: None,
        http: None,
        lane: Lane::Bulk,
        bounds: None,
    };
    engine.execute(&caller, RunJob { job: job.identifier }).await
}
