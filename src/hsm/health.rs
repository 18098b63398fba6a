//! The keeper of one token: reaches it, watches it, and gets it back.
//!
//! One thread a token. It alone makes links, so a token that returns is logged in to once. While the token is there it probes
//! every ten seconds, looks for workers that hang, and lets resting workers try again; while it is not, it tries with growing
//! pauses, at most a second long in the first two minutes.

use std::{
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    error::{After, classify},
    pool::{Link, SUSPECT_AFTER, Shared},
    raw::Fault,
    token::Trouble,
    worker::{self, Station},
};

/// How often the keeper looks at its workers.
const TICK: Duration = Duration::from_millis(500);
/// How often a real operation is part of the probe.
const REAL_PROBE: Duration = Duration::from_secs(60);
/// How long the pauses stay short after a token was lost (decision "returning token").
const SHORT_PAUSES: Duration = Duration::from_secs(120);
/// After this long its module is initialised anew, if nobody else needs it (contract §2).
const LAST_RESORT: Duration = Duration::from_secs(30);

/// Everything the keeper knows beside what is shared.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    woken: flume::Receiver<()>,
    workers: Vec<(Arc<Station>, JoinHandle<()>)>,
    abandoned: Vec<(Arc<Station>, JoinHandle<()>)>,
    lost_at: Instant,
    attempts: u32,
    probed: Instant,
    probed_really: Instant,
    raised: Instant,
    /// Where the token was, once it has been reached.
    slot: Option<u64>,
}

impl Keeper {
    /// A keeper that has not begun.
    pub(super) fn new(shared: Arc<Shared>, woken: flume::Receiver<()>) -> Self {
        let now = Instant::now();
        Self {
            shared,
            woken,
            workers: Vec::new(),
            abandoned: Vec::new(),
            lost_at: now,
            attempts: 0,
            probed: now,
            probed_really: now,
            raised: now,
            slot: None,
        }
    }

    /// The keeper's life. The outcome of the first attempt goes to `first`.
    pub(super) fn run(mut self, first: &flume::Sender<Result<(), Trouble>>) {
        while !self.shared.is_stopping() {
            let pause = match self.shared.link.load_full() {
                Some(link) => {
                    self.watch(&link);
                    TICK
                }
                None => {
                    let outcome = self.reach();
                    let pause = match &outcome {
                        Ok(()) => Duration::ZERO,
                        Err(trouble) => self.pause_after(trouble),
                    };
                    // Only the first outcome is waited for.
                    let _nobody_waits = first.try_send(outcome);
                    pause
                }
            };
            if !pause.is_zero() {
                // Whether it was woken or the pause is over, it looks again.
                let _woken = self.woken.recv_timeout(pause);
            }
        }
        self.close();
    }

    /// Tries to reach the token, and puts its workers to work.
    fn reach(&mut self) -> Result<(), Trouble> {
        if self.attempts == 0 {
            self.lost_at = Instant::now();
            self.let_go();
        }
        self.attempts = self.attempts.saturating_add(1);
        match self.shared.connect() {
            Ok(link) => {
                self.attempts = 0;
                self.slot = Some(link.info.slot);
                let now = Instant::now();
                (self.probed, self.probed_really, self.raised) = (now, now, now);
                self.shared.succeeded();
                self.shared.ceiling.store(usize::MAX, Ordering::Relaxed);
                self.shared.link.store(Some(Arc::clone(&link)));
                self.shared.set_health("ready", None);
                self.staff(link.workers);
                Ok(())
            }
            Err(trouble) => {
                let state = match &trouble {
                    // Until now it may only have been slow to appear.
                    Trouble::Away(_) if self.shared.generation.load(Ordering::Relaxed) > 0 => "recovering",
                    trouble => trouble.health(),
                };
                self.shared.set_health(state, Some(trouble.reason().to_owned()));
                match &trouble {
                    Trouble::Away(_) if self.lost_at.elapsed() >= LAST_RESORT => {
                        if self.shared.module.last_resort() {
                            tracing::warn!(token = %self.shared.id, "the token stays away; its module is initialised anew");
                        }
                    }
                    Trouble::Away(_) => {}
                    Trouble::Ambiguous(_) | Trouble::WrongToken(_) | Trouble::PinRejected(_) => {
                        self.shared.stays_away();
                    }
                }
                Err(trouble)
            }
        }
    }

    /// Waits until no worker is inside a call of the lost generation: the new link's sessions may get the old numbers.
    fn let_go(&self) {
        let generation = self.shared.generation.load(Ordering::Acquire);
        let until = Instant::now() + Duration::from_secs(2);
        let lingers = |station: &Station| station.is_busy() && station.generation.load(Ordering::Acquire) != generation;
        while Instant::now() < until && self.workers.iter().any(|(station, _)| lingers(station)) {
            thread::sleep(Duration::from_millis(5));
        }
        // Workers abandon their old sessions; where the token still knows them, they are closed here.
        if let Some(slot) = self.slot
            && let Err(fault) = self.shared.caller.close_all(slot)
        {
            tracing::debug!(token = %self.shared.id, rv = fault.rv, "C_CloseAllSessions");
        }
    }

    fn pause_after(&self, trouble: &Trouble) -> Duration {
        let longest = match trouble {
            Trouble::Away(_) if self.lost_at.elapsed() < SHORT_PAUSES => Duration::from_secs(1),
            Trouble::Away(_) => Duration::from_secs(30),
            Trouble::PinRejected(_) | Trouble::WrongToken(_) | Trouble::Ambiguous(_) => {
                // The keeper only reads a file or a flag here; a log-in at the device is asked for once a minute at most.
                return Duration::from_secs(60);
            }
        };
        let full = Duration::from_millis(100).saturating_mul(1 << self.attempts.min(16)).min(longest);
        // Half of it by chance, so that several gateways do not come back in step.
        let [chance, ..] = *Uuid::new_v4().as_bytes();
        full / 2 + full.mul_f64(f64::from(chance) / 512.0)
    }

    /// Starts the workers that are missing, replacements for ended and stuck ones included.
    fn staff(&mut self, wanted: usize) {
        self.workers.retain(|(_, thread)| !thread.is_finished());
        for index in 0..wanted {
            if self.workers.iter().any(|(station, _)| station.index == index) {
                continue;
            }
            let station = Station::new(index);
            let (shared, own) = (Arc::clone(&self.shared), Arc::clone(&station));
            let name = format!("hsm-{}-{index}", self.shared.id);
            match thread::Builder::new().name(name).spawn(move || worker::run(&shared, &own)) {
                Ok(thread) => self.workers.push((station, thread)),
                Err(error) => {
                    tracing::error!(token = %self.shared.id, %error, "no thread for a session");
                    return;
                }
            }
        }
    }

    fn watch(&mut self, link: &Arc<Link>) {
        if link.has_lost_its_process() {
            self.shared.lost(link.generation, "its module's process has ended".to_owned());
            return;
        }
        self.find_stuck(link.workers);
        self.staff(link.workers);
        let now = Instant::now();
        let ceiling = self.shared.ceiling.load(Ordering::Relaxed);
        // One more session a minute; without any, look at every tick.
        if ceiling < link.workers && (ceiling == 0 || now - self.raised >= Duration::from_secs(60)) {
            self.raised = now;
            self.shared.ceiling.store(ceiling + 1, Ordering::Relaxed);
        }
        let suspected = self.shared.faults() >= SUSPECT_AFTER;
        if suspected || now - self.probed >= self.shared.config.probe_interval {
            self.probed = now;
            let really = suspected || now - self.probed_really >= REAL_PROBE;
            if really {
                self.probed_really = now;
            }
            self.probe(link, really);
        }
        if self.shared.link.load().is_some() {
            let degraded = self.shared.faults() > 1 || self.shared.stuck.load(Ordering::Relaxed) > 0;
            let state = if degraded { "degraded" } else { "ready" };
            if self.shared.health.lock().state != state {
                let reason = degraded.then(|| "calls fail or hang; see the log and the call metrics".to_owned());
                self.shared.set_health(state, reason);
            }
        }
    }

    /// Gives up on workers whose call takes too long; at most as many replacements as there are workers.
    fn find_stuck(&mut self, workers: usize) {
        if self.shared.module.is_isolated() {
            // Each call has its time there, and the process does not outlive it: nobody is stuck.
            return;
        }
        let now = Instant::now();
        let (returned, still): (Vec<_>, Vec<_>) =
            self.abandoned.drain(..).partition(|(_, thread)| thread.is_finished());
        self.abandoned = still;
        if !returned.is_empty() {
            self.shared.stuck.fetch_sub(returned.len(), Ordering::Relaxed);
        }
        while self.abandoned.len() < workers {
            let Some(index) =
                self.workers.iter().position(|(station, _)| station.due.lock().is_some_and(|due| due < now))
            else {
                return;
            };
            let (station, thread) = self.workers.swap_remove(index);
            tracing::error!(token = %self.shared.id, worker = station.index, "a PKCS#11 call hangs; another worker replaces it");
            station.stuck.store(true, Ordering::Release);
            self.shared.stuck.fetch_add(1, Ordering::Relaxed);
            self.abandoned.push((station, thread));
        }
    }

    /// Session state, token and, now and then, a real operation (contract §1.7).
    fn probe(&self, link: &Arc<Link>, really: bool) {
        // Where the anchor works, a request in progress is a better probe than this one.
        let Some(mut seat) = link.anchor.try_lock() else { return };
        let answer = seat.session.state().and_then(|state| {
            let info = self.shared.caller.token_info(link.info.slot)?;
            let random = if really { seat.session.random(16).map(drop) } else { Ok(()) };
            match random {
                // A token without a generator is no broken token.
                Err(fault) if classify(fault.function, fault.rv).after == After::Keep => {}
                other => other?,
            }
            Ok((state, info))
        });
        match answer {
            Ok((_, info)) if info.serial != link.info.serial => {
                drop(seat);
                self.shared.lost(link.generation, "another token stands in the slot".to_owned());
            }
            Ok((state, info)) => {
                let logged_in =
                    state == cryptoki_sys::CKS_RW_USER_FUNCTIONS || info.flags & cryptoki_sys::CKF_LOGIN_REQUIRED == 0;
                if !logged_in && let Err(error) = self.shared.login_again(link, &seat.session) {
                    tracing::warn!(token = %self.shared.id, %error, "the log-in could not be restored");
                }
                if really {
                    self.shared.succeeded();
                }
            }
            Err(Fault { function, rv }) => {
                drop(seat);
                self.shared.lost(link.generation, format!("the probe failed: {function} answered 0x{rv:08X}"));
            }
        }
    }

    /// Waits for the workers; those inside a call are left to themselves.
    fn close(mut self) {
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && self.workers.iter().any(|(_, thread)| !thread.is_finished()) {
            thread::sleep(Duration::from_millis(10));
        }
        let inside = self.abandoned.iter().chain(&self.workers).any(|(_, thread)| !thread.is_finished());
        self.workers.clear();
        let caller = Arc::clone(&self.shared.caller);
        // The anchor goes last: closing the last session logs out.
        drop(self.shared.link.swap(None));
        self.shared.module.release(|| {
            if inside {
                tracing::warn!(token = %self.shared.id, "a PKCS#11 call still runs; C_Finalize is left out");
            } else if let Err(fault) = caller.finalize() {
                tracing::debug!(token = %self.shared.id, rv = fault.rv, "C_Finalize");
            }
        });
    }
}
