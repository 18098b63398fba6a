//! One thread that owns one session, for the session's whole life.
//!
//! PKCS#11 leaves concurrent calls on a session undefined, so a session never changes threads. A worker takes a request only
//! when it has a session, drops what is late, tries again what may be tried again, and cleans its session after a fault. A
//! session of an older generation is abandoned and not closed: the module may have given its number to somebody else.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    crew::Shift,
    error::{After, Retry, classify, refused},
    pool::{Job, Link, RESTART, Seat, Shared},
    queue::Taken,
    request::Turn,
    work::Work,
};
use crate::engine::ports::{HsmAnswer, HsmError, HsmErrorKind};

/// How often an idle worker looks whether its link has changed.
const IDLE: Duration = Duration::from_secs(1);

/// How long a request that may be repeated waits for a link that was lost under it.
const RELINK: Duration = Duration::from_secs(2);

/// What the keeper sees of a worker.
pub(super) struct Station {
    /// Its place among the workers of its token.
    pub(super) index: usize,
    /// When its present request must be over; `None` when it is idle.
    pub(super) due: Mutex<Option<Instant>>,
    /// The call hangs: the session counts as lost and somebody else works instead.
    pub(super) stuck: AtomicBool,
    /// The generation its present request runs in.
    pub(super) generation: AtomicU64,
}

impl Station {
    /// A worker that has not begun.
    pub(super) fn new(index: usize) -> Arc<Self> {
        Arc::new(Self { index, due: Mutex::new(None), stuck: AtomicBool::new(false), generation: AtomicU64::new(0) })
    }

    /// Whether a request is running.
    pub(super) fn is_busy(&self) -> bool {
        self.due.lock().is_some()
    }
}

/// Where a worker sits: on a session of its own, or on the anchor where sessions are that few.
enum Place {
    Own(Arc<Link>, Seat),
    Anchor(Arc<Link>),
}

impl Place {
    const fn link(&self) -> &Arc<Link> {
        match self {
            Self::Own(link, _) | Self::Anchor(link) => link,
        }
    }
}

/// The worker's life.
pub(super) fn run(shared: &Arc<Shared>, station: &Arc<Station>) {
    let mut worker = Worker { shared, station, place: None };
    let mut shift = Shift::default();
    while !shared.is_stopping() && !station.stuck.load(Ordering::Acquire) {
        if station.index >= shared.ceiling.load(Ordering::Relaxed) {
            shared.queue.leave(&mut shift);
            worker.leave(true);
            thread::sleep(Duration::from_millis(200));
            continue;
        }
        if let Err(error) = worker.take_place() {
            tracing::debug!(token = %shared.id, %error, "a worker has no session");
            shared.queue.leave(&mut shift);
            thread::sleep(Duration::from_millis(100));
            continue;
        }
        match shared.queue.take(&mut shift, IDLE) {
            Taken::Entry(job) => worker.serve(job),
            Taken::Nothing => {}
            Taken::Closed => break,
        }
    }
    shared.queue.leave(&mut shift);
    worker.leave(true);
}

struct Worker<'a> {
    shared: &'a Arc<Shared>,
    station: &'a Arc<Station>,
    place: Option<Place>,
}

impl Worker<'_> {
    /// Opens a session of the present link, unless there is one already or no link.
    fn take_place(&mut self) -> Result<(), HsmError> {
        let link = self.shared.link.load_full();
        let stale = match (&self.place, &link) {
            (None, None) => false,
            (None, Some(_)) => true,
            (Some(place), Some(link)) => place.link().generation != link.generation,
            (Some(_), None) => true,
        };
        if !stale {
            return Ok(());
        }
        self.leave(true);
        let Some(link) = link else { return Ok(()) };
        self.place = Some(if link.anchor_works {
            Place::Anchor(link)
        } else {
            let session = self.shared.caller.open(link.info.slot).map_err(|fault| {
                let error = HsmError::from(fault);
                match classify(error.function, error.rv).after {
                    After::TooMany => self.shared.lower_ceiling(),
                    after => self.clean_up_after(after, &error, &link),
                }
                error
            })?;
            if self.shared.generation.load(Ordering::Acquire) != link.generation {
                // Its token may be another one by now, and what the link knows of objects is not true there.
                return Err(refused(HsmErrorKind::Unavailable, "link"));
            }
            self.shared.sessions.fetch_add(1, Ordering::Relaxed);
            Place::Own(link, Seat::new(session))
        });
        Ok(())
    }

    /// Gives the session up; it closes itself unless it is known to be gone.
    fn leave(&mut self, close: bool) {
        if let Some(Place::Own(_, seat)) = self.place.take() {
            self.shared.sessions.fetch_sub(1, Ordering::Relaxed);
            if !close {
                seat.session.abandon();
            }
        }
    }

    fn serve(&mut self, job: Job) {
        let now = Instant::now();
        self.shared.observer.waited(&self.shared.id, now - job.queued);
        if now >= job.deadline {
            // Nobody waits for it any more, and nothing has begun.
            let _gone = job.reply.send(Err(refused(HsmErrorKind::Busy, "deadline")));
            return;
        }
        if job.reply.is_closed() && !job.work.mutates() {
            return;
        }
        job.started.store(true, Ordering::Release);
        let limit = job.work.call_limit(self.shared.config.call_limit);
        *self.station.due.lock() = Some(now + limit);
        let answer = self.answer(&job.work, job.deadline);
        self.shared.queue.took(job.work.kind(), now.elapsed() / job.work.cost());
        *self.station.due.lock() = None;
        if self.station.stuck.load(Ordering::Acquire) {
            tracing::warn!(token = %self.shared.id, "a call that was given up has returned; its answer is discarded");
            return;
        }
        if answer.is_ok() {
            self.shared.succeeded();
        }
        // The caller may have gone: then nobody is interested.
        let _gone = job.reply.send(answer);
    }

    fn answer(&mut self, work: &Work, deadline: Instant) -> Result<HsmAnswer, HsmError> {
        if self.shared.returns_soon() {
            self.await_link(deadline);
        }
        let first = match self.attempt(work) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let retry = if first.rv == 0 { Retry::Never } else { classify(first.function, first.rv).retry };
        match retry {
            Retry::Never => return Err(first),
            Retry::Once | Retry::AfterLogin | Retry::AfterLookup => {}
            Retry::AfterPause => thread::sleep(Duration::from_millis(50)),
        }
        // A creation may have happened all the same: what stands under its identifier is cleared away first, and once more if
        // the second try fails. What cannot be cleared is left to the engine's intent.
        self.await_link(deadline);
        let clear = |worker: &mut Self| !work.creates() || worker.attempt(&Work::Clear(work.places())).is_ok();
        if Instant::now() >= deadline || !clear(self) {
            return Err(first);
        }
        self.attempt(work).map_err(|second| {
            if !clear(self) {
                tracing::warn!(token = %self.shared.id, "what a failed creation may have made could not be cleared away");
            }
            if second.rv == 0 { first } else { second }
        })
    }

    /// Waits a moment for the token to be linked anew, where the first try lost the link and may be repeated.
    fn await_link(&self, deadline: Instant) {
        let patience = if self.shared.returns_soon() { RESTART } else { RELINK };
        let until = deadline.min(Instant::now() + patience);
        while self.shared.link.load().is_none() && !self.shared.is_stopping() && Instant::now() < until {
            // The keeper waits for workers that are inside a call of the lost generation; this one is not.
            self.station.generation.store(self.shared.generation.load(Ordering::Acquire), Ordering::Release);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// One try, and what its failure asks of session, log-in and handles.
    fn attempt(&mut self, work: &Work) -> Result<HsmAnswer, HsmError> {
        self.take_place()?;
        let link = match &self.place {
            None => return Err(refused(HsmErrorKind::Unavailable, "link")),
            Some(place) => Arc::clone(place.link()),
        };
        self.station.generation.store(link.generation, Ordering::Release);
        let shared = self.shared;
        // A panic here is our mistake; it must cost the request and not the worker.
        let answer = catch_unwind(AssertUnwindSafe(|| match &mut self.place {
            Some(Place::Own(link, seat)) => Turn::new(shared, link, seat).perform(work),
            Some(Place::Anchor(link)) => Turn::new(shared, link, &mut link.anchor.lock()).perform(work),
            None => Err(refused(HsmErrorKind::Unavailable, "link")),
        }))
        .unwrap_or_else(|_panic| {
            self.leave(true);
            Err(refused(HsmErrorKind::Internal, "panic"))
        });
        let answer = answer.map_err(|error| match error.kind {
            // A full token is full for new objects; for the use of one that is there, something passing is short.
            HsmErrorKind::Full if !work.creates() && !matches!(work, Work::CopyIn(..) | Work::GroupKey(..)) => {
                HsmError { kind: HsmErrorKind::Busy, ..error }
            }
            HsmErrorKind::Full => {
                shared.is_full_now();
                error
            }
            _ => error,
        });
        answer.inspect_err(|error| {
            if error.rv == 0 {
                return;
            }
            tracing::debug!(token = %shared.id, function = error.function, rv = error.rv, kind = ?error.kind, "HSM fault");
            let row = classify(error.function, error.rv);
            self.clean_up_after(row.after, error, &link);
            match row.retry {
                Retry::AfterLookup => {
                    work.ids().iter().for_each(|id| Turn::forget(shared, *id));
                    self.with_seat(|seat| seat.transport = None);
                }
                Retry::AfterLogin => {
                    let restored = self.with_seat(|seat| shared.login_again(&link, &seat.session));
                    if let Some(Err(error)) = restored {
                        tracing::warn!(token = %shared.id, %error, "the log-in could not be restored");
                    }
                }
                Retry::Never | Retry::Once | Retry::AfterPause => {}
            }
        })
    }

    fn with_seat<T>(&mut self, run: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        match &mut self.place {
            Some(Place::Own(_, seat)) => Some(run(seat)),
            Some(Place::Anchor(link)) => Some(run(&mut link.anchor.lock())),
            None => None,
        }
    }

    fn clean_up_after(&mut self, after: After, error: &HsmError, link: &Arc<Link>) {
        let why = || format!("{} answered 0x{:08X}", error.function, error.rv);
        match after {
            After::Keep => {}
            After::Dirty => {
                if self.with_seat(|seat| seat.session.cancel().is_err()) == Some(true) {
                    self.reopen();
                }
            }
            After::Reopen => self.reopen(),
            After::Suspect => {
                self.shared.suspect();
                self.reopen();
            }
            After::SessionLost => {
                self.leave(false);
                self.shared.check_anchor(link);
            }
            After::TokenLost => {
                self.shared.lost(link.generation, why());
                self.leave(false);
            }
            After::ModuleLost => {
                self.shared.lost(link.generation, why());
                self.leave(false);
            }
            After::TooMany => self.shared.lower_ceiling(),
        }
    }

    /// Closes the session; the next step opens another. The anchor cannot be closed without logging out: there the token is
    /// linked anew.
    fn reopen(&mut self) {
        match &self.place {
            Some(Place::Anchor(link)) => {
                let generation = link.generation;
                self.shared.lost(generation, "the only session had to be reopened".to_owned());
                self.place = None;
            }
            _ => self.leave(true),
        }
    }
}
