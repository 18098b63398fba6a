//! One token of a replicated group: whether it serves, and what it owes.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{sleep, sleep_until},
};

use super::ledger::{Ledger, Stamp};
use crate::{
    domain::reference::CkaId,
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, StoreError},
    hsm::{
        error::refused,
        pool::{Errand, Pending, Shared},
        work::Work,
    },
};

/// One canary of so many goes both ways.
const THOROUGH_EVERY: usize = 8;

/// Whether a token serves its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not yet, or not any more: it is away, or is being made equal to the others.
    Out(String),
    /// It does, since it was reached in this generation.
    In(u64),
    /// It computes wrongly, or has lost objects: not again before it is reached anew or an operator says so.
    Fenced(String, u64),
    /// An operator took it out.
    Drained,
}

/// A token as a member.
pub(super) struct Member {
    pub(super) token: Arc<Shared>,
    ledger: Ledger,
    standing: Mutex<Standing>,
    doubt: AtomicBool,
    /// How often its canary was asked.
    songs: AtomicUsize,
    /// Calls that wait for this token should turn elsewhere.
    gave_up: Notify,
    /// Its minder should look now.
    wake: Notify,
    /// Changes whose outcome is not known, because nobody waits for their call any longer.
    unsettled: Mutex<HashMap<CkaId, usize>>,
    /// What cannot be copied to it, so that it is not tried again and again.
    passed_over: Mutex<HashSet<CkaId>>,
}

impl Member {
    pub(super) fn new(token: Arc<Shared>, ledger: Ledger) -> Self {
        Self {
            token,
            ledger,
            standing: Mutex::new(Standing::Out("it has not been reached yet".to_owned())),
            doubt: AtomicBool::new(false),
            songs: AtomicUsize::new(0),
            gave_up: Notify::new(),
            wake: Notify::new(),
            unsettled: Mutex::default(),
            passed_over: Mutex::default(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.lock().clone()
    }

    /// Changes the standing, and says so once.
    pub(super) fn stand(&self, standing: Standing) {
        let mut now = self.standing.lock();
        if *now == standing {
            return;
        }
        match &standing {
            Standing::In(_) => tracing::info!(token = %self.token.id, "the token serves its group"),
            Standing::Fenced(why, _) => {
                tracing::error!(token = %self.token.id, why, "the token is fenced: it serves no request");
            }
            Standing::Out(why) if matches!(*now, Standing::In(_)) => {
                tracing::warn!(token = %self.token.id, why, "the token does not serve its group");
            }
            Standing::Out(_) => {}
            Standing::Drained => tracing::warn!(token = %self.token.id, "the token was drained by an operator"),
        }
        let serves = matches!(standing, Standing::In(_));
        if !serves {
            self.passed_over.lock().clear();
        }
        *now = standing;
        drop(now);
        if !serves {
            self.gave_up.notify_waiters();
        }
    }

    /// Whether requests may go to it.
    pub(super) fn serves(&self) -> bool {
        let link = self.token.link.load();
        let generation = link.as_ref().map(|link| link.generation);
        matches!(*self.standing.lock(), Standing::In(since) if generation == Some(since))
    }

    /// Whether it is asked only when there is no other.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubt.load(Ordering::Acquire)
    }

    /// It failed as a failing device does: others are asked first until its canary has sung.
    pub(super) fn doubt(&self) {
        if !self.doubt.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// Its canary does not answer: who waits for it turns elsewhere.
    pub(super) fn give_up(&self) {
        self.doubt.store(true, Ordering::Release);
        self.gave_up.notify_waiters();
    }

    /// Whether its canary is to be asked for everything: at first, now and then, and whenever the token is in doubt.
    pub(super) fn is_asked_thoroughly(&self) -> bool {
        self.songs.fetch_add(1, Ordering::Relaxed).is_multiple_of(THOROUGH_EVERY) || self.is_doubtful()
    }

    /// Its canary has sung.
    pub(super) fn trust(&self) {
        self.doubt.store(false, Ordering::Release);
    }

    /// Waits until it is time, or until somebody doubts it.
    pub(super) async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = sleep(pause) => {}
        }
    }

    /// Makes its minder look now.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// How many identifiers it owes.
    pub(super) fn owed(&self) -> usize {
        self.ledger.len()
    }

    /// Whether it may differ from the others under this identifier.
    pub(super) fn owes(&self, id: CkaId) -> bool {
        self.ledger.holds(id)
    }

    /// Some of what it owes, but for what is not settled yet and what cannot be copied.
    pub(super) fn debts(&self, count: usize, later: &HashSet<CkaId>) -> Vec<(CkaId, Stamp)> {
        let (unsettled, passed_over) = (self.unsettled.lock(), self.passed_over.lock());
        self.ledger.some(count, |id| unsettled.contains_key(id) || passed_over.contains(id) || later.contains(id))
    }

    /// Whether a call that nobody waits for may still change what stands under this identifier.
    pub(super) fn is_unsettled(&self, id: CkaId) -> bool {
        self.unsettled.lock().contains_key(&id)
    }

    /// This cannot be copied to it as long as it stays linked.
    pub(super) fn pass_over(&self, id: CkaId) {
        self.passed_over.lock().insert(id);
    }

    /// It may differ from the others under these identifiers from now on; durable when it answers.
    pub(super) async fn owe(self: &Arc<Self>, ids: Vec<CkaId>) -> Result<(), HsmError> {
        let own = Arc::clone(self);
        kept(tokio::task::spawn_blocking(move || own.ledger.enter(&ids)).await)
    }

    /// It was made equal to the others.
    pub(super) async fn settle(self: &Arc<Self>, repaid: Vec<(CkaId, Stamp)>) -> Result<(), HsmError> {
        let own = Arc::clone(self);
        kept(tokio::task::spawn_blocking(move || own.ledger.strike(&repaid)).await)
    }

    /// Asks the token for something; gives up when the errand is over or everybody does. `changes` names the identifiers under
    /// which a call that nobody waits for may still change something: they are not settled before it has ended.
    pub(super) async fn ask(
        self: &Arc<Self>,
        work: Work,
        errand: Errand,
        changes: &[CkaId],
    ) -> Result<HsmAnswer, HsmError> {
        let Pending { mut answer, .. } = self.token.submit(work, errand)?;
        let late = tokio::select! {
            biased;
            answer = &mut answer => {
                return answer.unwrap_or_else(|_dropped| Err(refused(HsmErrorKind::Unavailable, "worker")));
            }
            () = self.gave_up.notified() => "the token was given up",
            () = sleep_until(errand.until.into()) => "call limit",
        };
        if !changes.is_empty() {
            let (own, ids) = (Arc::clone(self), changes.to_vec());
            let mut unsettled = self.unsettled.lock();
            ids.iter().for_each(|id| *unsettled.entry(*id).or_default() += 1);
            drop(unsettled);
            tokio::spawn(async move {
                // Whatever it says: only that it has ended matters.
                let _ended = answer.await;
                let mut unsettled = own.unsettled.lock();
                for id in ids {
                    if let Some(calls) = unsettled.get_mut(&id) {
                        *calls -= 1;
                        if *calls == 0 {
                            unsettled.remove(&id);
                        }
                    }
                }
            });
        }
        Err(refused(HsmErrorKind::Unavailable, late))
    }
}

/// What came of a write of the group's facts.
pub(super) fn kept<T>(written: Result<Result<T, StoreError>, tokio::task::JoinError>) -> Result<T, HsmError> {
    written.map_err(|error| error.to_string()).and_then(|written| written.map_err(|error| error.to_string())).map_err(
        |error| {
            tracing::error!(error, "what a token owes its group cannot be kept; the store is at fault");
            refused(HsmErrorKind::Internal, "the group's ledger")
        },
    )
}
