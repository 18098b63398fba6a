//! What the threads of one token share: its queue, its link, its handles, its health.
//!
//! A [`Link`] is what holds good between reaching the token and losing it. Losing it adds one to the generation, and whatever
//! carries an older number, a handle or a session, is a miss. Log-in belongs to the application, so the link's anchor session
//! stays open and unused as long as the link lives.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    Config, Observer,
    capability::Capability,
    error::refused,
    home::{Caller, Home, Session},
    module::Linked,
    probe,
    queue::{Entered, Queue, Ticket},
    quirks::Quirk,
    raw::{Fault, Handle, TokenInfo},
    token::{self, RefusedPins, Trouble},
    transfer::Transport,
    work::Work,
};
use crate::{
    alarm::Alarms,
    crypto::PublicKey,
    domain::{TokenId, reference::CkaId},
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, Lane, Memory, Tenant, Terms},
};

/// Handles kept a token.
const HANDLES_MAX: u64 = 10_000;
/// Faults in a row, without a success between them, after which the token is looked at.
pub(super) const SUSPECT_AFTER: u32 = 5;

/// How long a full token is passed over for new objects: room may be made meanwhile.
const FULL_FOR: Duration = Duration::from_secs(60);

/// How long requests wait for a module whose process has ended; within their own time.
pub(super) const RESTART: Duration = Duration::from_secs(10);

/// A request in the queue.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) deadline: Instant,
    pub(super) queued: Instant,
    pub(super) started: Arc<AtomicBool>,
    pub(super) reply: oneshot::Sender<Result<HsmAnswer, HsmError>>,
}

/// For whom the token is asked, how urgently, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand {
    pub(super) until: Instant,
    pub(super) tenant: Tenant,
    pub(super) lane: Lane,
}

impl Errand {
    /// From now on.
    pub(super) fn new(terms: Terms) -> Self {
        let now = Instant::now();
        let until = now.checked_add(terms.limit).unwrap_or(now + Duration::from_secs(86_400));
        Self { until, tenant: terms.tenant, lane: terms.lane }
    }

    /// The gateway's own.
    pub(super) fn of_gateway(limit: Duration) -> Self {
        Self::new(Terms::of_gateway(limit))
    }

    /// What is left of the time.
    pub(super) fn rest(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The same with so much time at most from now on.
    pub(super) fn within(self, patience: Duration) -> Self {
        Self { until: self.until.min(Instant::now() + patience), ..self }
    }

    /// The same with more time.
    pub(super) fn longer(self, by: Duration) -> Self {
        Self { until: self.until + by, ..self }
    }
}

/// Too much waits: nothing has begun, and after that time it is worth another try.
fn busy(step: &'static str, wait: Duration) -> HsmError {
    HsmError { again: Some(wait.max(Duration::from_secs(1))), ..refused(HsmErrorKind::Busy, step) }
}

/// A request that was put into the queue.
pub(super) struct Pending {
    /// Where its answer comes.
    pub(super) answer: oneshot::Receiver<Result<HsmAnswer, HsmError>>,
    /// Whether a worker has begun with it.
    pub(super) started: Arc<AtomicBool>,
}

/// The class of a token object, as far as handles are told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Secret,
    /// A generic secret beside a cipher key of the same name.
    Twin,
    Private,
    Public,
    Data,
}

/// A session and what was established in it.
pub(super) struct Seat {
    pub(super) session: Session,
    pub(super) transport: Option<Transport>,
    pub(super) used: Used,
}

impl Seat {
    pub(super) fn new(session: Session) -> Self {
        Self { session, transport: None, used: Used::default() }
    }
}

/// Handles that a session has used lately, before those that all share are asked, which costs more.
#[derive(Default)]
pub(super) struct Used {
    /// How often handles were forgotten when these were taken in.
    as_of: u64,
    handles: HashMap<(CkaId, Class), Handle>,
}

/// Handles that a session keeps for itself.
const USED_MAX: usize = 64;

impl Used {
    /// The handle, unless any was forgotten since.
    pub(super) fn get(&mut self, forgotten: u64, id: CkaId, class: Class) -> Option<Handle> {
        if self.as_of != forgotten {
            self.handles.clear();
            self.as_of = forgotten;
        }
        self.handles.get(&(id, class)).copied()
    }

    /// Keeps a handle that was looked up after [`Self::get`] did not have it.
    pub(super) fn keep(&mut self, id: CkaId, class: Class, handle: Handle) {
        if self.handles.len() >= USED_MAX {
            self.handles.clear();
        }
        self.handles.insert((id, class), handle);
    }
}

/// A token that was reached and logged in to.
pub(super) struct Link {
    pub(super) generation: u64,
    pub(super) info: TokenInfo,
    pub(super) quirk: Quirk,
    /// Whether the configured profile is one of this token.
    pub(super) profiled: bool,
    pub(super) capability: Capability,
    /// Keeps the log-in. Works only where sessions are so few that it must.
    pub(super) anchor: Mutex<Seat>,
    pub(super) anchor_works: bool,
    /// How many workers the token's session limit leaves room for.
    pub(super) workers: usize,
    login: Mutex<()>,
    _linked: Option<Linked>,
}

impl Link {
    /// Whether the module had a process of its own, which has ended.
    pub(super) fn has_lost_its_process(&self) -> bool {
        // Whoever holds the anchor notices it himself.
        self.anchor.try_lock().is_some_and(|seat| !seat.session.is_alive())
    }
}

/// How a token is doing.
pub(super) struct Health {
    pub(super) state: &'static str,
    pub(super) reason: Option<String>,
}

/// What all threads of one token share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) id: TokenId,
    pub(super) module: Home,
    pub(super) caller: Arc<Caller>,
    pub(super) memory: Arc<dyn Memory>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) queue: Queue<Job>,
    alarms: Alarms,
    wake: flume::Sender<()>,
    pub(super) link: ArcSwapOption<Link>,
    pub(super) generation: AtomicU64,
    pub(super) handles: Cache<(CkaId, Class), (u64, Handle)>,
    /// How often handles were forgotten.
    pub(super) forgotten: AtomicU64,
    /// What verifies the signatures of a private key; `None` where the token does not tell.
    pub(super) public_halves: Cache<CkaId, Option<Arc<PublicKey>>>,
    pub(super) health: Mutex<Health>,
    pub(super) refused_pins: RefusedPins,
    /// The group it is in.
    pub(super) grouped: OnceLock<TokenId>,
    /// Whether other tokens of that group hold the same objects.
    pub(super) replicated: AtomicBool,
    /// Worker sessions open now.
    pub(super) sessions: AtomicUsize,
    /// Workers with a higher number rest, because the token gave no more sessions.
    pub(super) ceiling: AtomicUsize,
    pub(super) stuck: AtomicUsize,
    /// Held while one of the gateway's own keys is looked for and made: two workers must not both find none.
    pub(super) making_system_keys: Mutex<()>,
    faults: AtomicU32,
    /// When the token said that it has no room.
    full: Mutex<Option<Instant>>,
    /// When the process of its module ended: it is started again, and requests wait for it a moment.
    gap: Mutex<Option<Instant>>,
    stopping: AtomicBool,
}

impl Shared {
    /// The state before the token was reached, and the keeper's wake-up.
    pub(super) fn new(
        config: Config,
        module: Home,
        memory: Arc<dyn Memory>,
        observer: Arc<dyn Observer>,
    ) -> (Arc<Self>, flume::Receiver<()>) {
        let id = TokenId(config.name.clone());
        let (wake, woken) = flume::bounded(1);
        module.tell_of_ends(wake.clone());
        let shared = Self {
            caller: module.caller(id.clone(), Arc::clone(&observer), config.call_limit),
            refused_pins: RefusedPins::new(config.retry_refused_pin),
            grouped: OnceLock::new(),
            replicated: AtomicBool::new(false),
            id,
            module,
            memory,
            observer,
            queue: Queue::new(config.queue),
            alarms: Alarms::default(),
            wake,
            link: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            handles: Cache::new(HANDLES_MAX),
            forgotten: AtomicU64::new(0),
            public_halves: Cache::new(HANDLES_MAX),
            health: Mutex::new(Health { state: "starting", reason: None }),
            sessions: AtomicUsize::new(0),
            ceiling: AtomicUsize::new(usize::MAX),
            stuck: AtomicUsize::new(0),
            making_system_keys: Mutex::new(()),
            faults: AtomicU32::new(0),
            full: Mutex::new(None),
            gap: Mutex::new(None),
            stopping: AtomicBool::new(false),
            config,
        };
        (Arc::new(shared), woken)
    }

    /// Puts work into the queue; the answer comes through the receiver.
    ///
    /// # Errors
    ///
    /// `Unavailable` without a link, `Busy` with a full queue or one that is too long for the deadline.
    pub(super) fn submit(&self, work: Work, errand: Errand) -> Result<Pending, HsmError> {
        let sessions = self.link.load().as_ref().map(|link| link.workers.min(self.ceiling.load(Ordering::Relaxed)));
        let sessions = sessions
            .or_else(|| self.returns_soon().then_some(1))
            .ok_or_else(|| refused(HsmErrorKind::Unavailable, "link"))?;
        let ticket = Ticket { tenant: errand.tenant, lane: errand.lane, cost: work.cost(), kind: work.kind() };
        let wait = self.queue.expected(ticket, sessions);
        if wait > errand.rest() {
            return Err(busy("expected wait", wait));
        }
        let (reply, answer) = oneshot::channel();
        let started = Arc::new(AtomicBool::new(false));
        let job = Job { work, deadline: errand.until, queued: Instant::now(), started: Arc::clone(&started), reply };
        let now = Instant::now();
        let is_dead = |job: &Job| job.deadline <= now || job.reply.is_closed() && !job.work.mutates();
        match self.queue.enter(ticket, job, is_dead) {
            Entered::Waits => Ok(Pending { answer, started }),
            Entered::Instead(other) => {
                // Nothing of it has begun. Its caller may have gone.
                let _gone = other.reply.send(Err(busy("queue", wait)));
                Ok(Pending { answer, started })
            }
            Entered::Full(_) => Err(busy("queue", wait)),
            Entered::Closed(_) => Err(refused(HsmErrorKind::Unavailable, "closing")),
        }
    }

    /// Puts work into the queue and waits for its answer, until the errand is over at most; a change that has begun is finished all the same.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`]; `Busy` when nobody has begun within the limit, `Unavailable` when the call takes longer.
    pub(super) async fn ask(&self, work: Work, errand: Errand) -> Result<HsmAnswer, HsmError> {
        let Pending { answer, started } = self.submit(work, errand)?;
        match self.alarms.until(errand.until, answer).await {
            Some(Ok(answer)) => answer,
            Some(Err(_dropped)) => Err(refused(HsmErrorKind::Unavailable, "worker")),
            None if started.load(Ordering::Acquire) => Err(refused(HsmErrorKind::Unavailable, "call limit")),
            None => Err(busy("deadline", Duration::ZERO)),
        }
    }

    /// Requests waiting.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether the pool is being closed.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Ends all threads at their next step.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // Whoever waits for these is told by the end of his channel.
        drop(self.queue.close());
        self.wake_keeper();
    }

    /// Makes the keeper look now.
    pub(super) fn wake_keeper(&self) {
        // Full means that it is about to look anyway.
        let _already_waking = self.wake.try_send(());
    }

    /// Sets the health that operators see.
    pub(super) fn set_health(&self, state: &'static str, reason: Option<String>) {
        let mut health = self.health.lock();
        if health.state != state {
            tracing::info!(token = %self.id, from = health.state, to = state, reason, "HSM");
        }
        *health = Health { state, reason };
    }

    /// Opens the anchor, logs in, and makes the link (contract §1.3, §1.4).
    pub(super) fn connect(&self) -> Result<Arc<Link>, Trouble> {
        self.module.initialize(self.config.call_limit).map_err(Trouble::Away)?;
        if self.caller.bind() {
            let after = self.module.last_end().map_or("crashed", |(end, _)| end);
            self.observer.restarted(&self.id, after);
        }
        let info = token::choose(&self.caller, &self.config)?;
        token::check_serial(&*self.memory, &self.config, &info)?;
        let anchor = self.caller.open(info.slot)?;
        token::login(&anchor, &self.caller, info.slot, &self.config, &*self.memory, &self.refused_pins)?;
        let usual = super::quirks::find(&format!("{} {} {}", self.module.description(), info.manufacturer, info.model));
        let facts = self.config.profile.as_ref().filter(|profile| match profile.fits(&info) {
            Ok(()) => true,
            Err(why) => {
                tracing::warn!(token = %self.id, why, "the profile is of another make of token and is not believed");
                false
            }
        });
        let (profiled, facts) = (facts.is_some(), facts.map(|profile| profile.facts.clone()).unwrap_or_default());
        let quirk = probe::overlaid(usual, &facts);
        let capability = Capability::discover(&self.caller, info.slot, &facts)?;
        let (workers, anchor_works) = self.worker_count(&quirk, info.sessions_max);
        Ok(Arc::new(Link {
            generation: self.generation.load(Ordering::Acquire),
            info,
            quirk,
            profiled,
            capability,
            anchor: Mutex::new(Seat::new(anchor)),
            anchor_works,
            workers,
            login: Mutex::new(()),
            _linked: self.module.linked(),
        }))
    }

    /// Below six sessions there is no reserve, and a token with a single one lets the anchor work (decision "sessions").
    fn worker_count(&self, quirk: &Quirk, sessions_max: Option<u64>) -> (usize, bool) {
        const RESERVE: usize = 2;
        let wanted =
            if self.module.is_for_one_thread() { 1 } else { self.config.workers.unwrap_or(quirk.workers).max(1) };
        match sessions_max.map(|max| usize::try_from(max).unwrap_or(usize::MAX)) {
            None => (wanted, false),
            Some(0 | 1) => (1, true),
            Some(max @ 2..6) => (wanted.min(max - 1), false),
            Some(max) => (wanted.min(max - 1 - RESERVE), false),
        }
    }

    /// The token of that generation is gone: its handles and sessions are void. Only the first to say so counts.
    pub(super) fn lost(&self, generation: u64, why: String) {
        let next = generation + 1;
        if self.generation.compare_exchange(generation, next, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        let dead = self.link.load().as_ref().is_some_and(|link| link.has_lost_its_process());
        let why = match self.module.last_end().filter(|_| dead) {
            Some((_, end)) => end,
            None => why,
        };
        *self.gap.lock() = dead.then(Instant::now);
        tracing::warn!(token = %self.id, generation = next, why, "the token is lost");
        self.caller.void_sessions();
        self.link.store(None);
        self.set_health("recovering", Some(why));
        self.wake_keeper();
    }

    /// Logs in again unless somebody else has done it meanwhile.
    pub(super) fn login_again(&self, link: &Link, session: &Session) -> Result<(), HsmError> {
        let _single_flight = link.login.lock();
        if session.state()? == cryptoki_sys::CKS_RW_USER_FUNCTIONS {
            return Ok(());
        }
        let (config, memory) = (&self.config, &*self.memory);
        token::login(session, &self.caller, link.info.slot, config, memory, &self.refused_pins).map_err(|trouble| {
            self.lost(link.generation, trouble.reason().to_owned());
            refused(HsmErrorKind::Unavailable, "login")
        })
    }

    /// Whether the log-in still stands on the anchor; if the anchor is gone, so is the link.
    pub(super) fn check_anchor(&self, link: &Link) {
        let Some(seat) = link.anchor.try_lock() else { return };
        if let Err(Fault { rv, .. }) = seat.session.state() {
            drop(seat);
            self.lost(link.generation, format!("C_GetSessionInfo of the anchor session answered 0x{rv:08X}"));
        }
    }

    /// A call failed as it does when a device is failing.
    pub(super) fn suspect(&self) {
        if self.faults.fetch_add(1, Ordering::Relaxed) + 1 >= SUSPECT_AFTER {
            self.wake_keeper();
        }
    }

    /// It has no room for another object.
    pub(super) fn is_full_now(&self) {
        *self.full.lock() = Some(Instant::now());
    }

    /// Whether requests may go to it: it is there, or its module is just being started again.
    pub(super) fn serves(&self) -> bool {
        self.link.load().is_some() || self.returns_soon()
    }

    /// The process of its module has ended a moment ago, and is started again.
    pub(super) fn returns_soon(&self) -> bool {
        self.gap.lock().is_some_and(|since| since.elapsed() < RESTART)
    }

    /// It does not return soon after all.
    pub(super) fn stays_away(&self) {
        *self.gap.lock() = None;
    }

    /// Whether new objects may go to it: it is there, and has not said lately that it is full.
    pub(super) fn takes_objects(&self) -> bool {
        self.serves() && self.full.lock().is_none_or(|since| since.elapsed() > FULL_FOR)
    }

    /// A request succeeded.
    pub(super) fn succeeded(&self) {
        if self.faults.load(Ordering::Relaxed) != 0 {
            self.faults.store(0, Ordering::Relaxed);
        }
    }

    /// Faults in a row.
    pub(super) fn faults(&self) -> u32 {
        self.faults.load(Ordering::Relaxed)
    }

    /// The token gave no further session: as many as are open now are what there is.
    pub(super) fn lower_ceiling(&self) {
        self.ceiling.store(self.sessions.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
