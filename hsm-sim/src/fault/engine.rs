//! Asks the plan at each call, and counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cryptoki_sys::{CK_MECHANISM_TYPE, CK_RV};
use parking_lot::RwLock;

use super::{
    Action, Call, FaultsConfig, PlanError,
    action::Selector,
    control,
    plan::{Plan, random},
};
use crate::{
    core::{
        clock,
        names::{Function, RETURN_CODES},
    },
    store::{StoreFolder, page},
};

/// The plan in force and its counts.
struct Active {
    plan: Plan,
    counts: Counts,
    /// When it began, in milliseconds of the system's clock.
    began: u64,
}

/// Where a plan's matches are counted: shared by all processes for a plan of `ctl`, else for this process alone.
enum Counts {
    Own { matched: Vec<AtomicU64>, fired: Vec<AtomicU64> },
    Shared,
}

/// The faults of one initialised module.
pub(crate) struct Engine {
    own: FaultsConfig,
    began: u64,
    /// The value of the shared counter at which calls may go by; no counter value while a plan is active.
    calm_at: AtomicU64,
    /// The value of the shared counter for which `active` was loaded.
    loaded: AtomicU64,
    active: RwLock<Arc<Active>>,
}

/// What is to happen to a call.
pub(crate) struct Verdict {
    pub(crate) action: Action,
    /// Random words for the action.
    pub(crate) random: [u64; 2],
    /// The how manieth firing of the rule this is, from 1.
    pub(crate) turn: u64,
    rule: usize,
}

const NEVER: u64 = u64::MAX;
const HANG_PAUSE: Duration = Duration::from_millis(5);

impl Engine {
    /// The engine of a store, with this process's own plan.
    pub(crate) fn new(own: FaultsConfig, store: &StoreFolder) -> Result<Self, PlanError> {
        let began = clock::milliseconds();
        let active = Active::own(&own, began)?;
        let engine = Self {
            own,
            began,
            calm_at: AtomicU64::new(NEVER),
            loaded: AtomicU64::new(NEVER),
            active: RwLock::new(Arc::new(active)),
        };
        engine.reload(store)?;
        Ok(engine)
    }

    /// Whether there is nothing to ask: two relaxed loads.
    pub(crate) fn is_calm(&self, store: &StoreFolder) -> bool {
        store.page().load(page::PLAN) == self.calm_at.load(Ordering::Relaxed)
    }

    /// Whether the plan in force can take a token out of its slot.
    pub(crate) fn can_remove_tokens(&self, store: &StoreFolder) -> bool {
        if self.is_calm(store) {
            return false;
        }
        self.follow(store);
        let moves = |action: &Action| matches!(action, Action::RemoveToken(_) | Action::ReplaceToken(_));
        self.active.read().plan.rules.iter().any(|rule| moves(&rule.action))
    }

    /// Whether a rule wants to know about the objects of calls.
    pub(crate) fn wants_objects(&self, store: &StoreFolder) -> bool {
        self.follow(store);
        self.active.read().plan.wants_objects()
    }

    /// Loads the plan that `ctl` has put in force since the last look.
    fn follow(&self, store: &StoreFolder) {
        if store.page().load(page::PLAN) != self.loaded.load(Ordering::Acquire)
            && let Err(error) = self.reload(store)
        {
            // A plan that `ctl` accepted parses; whoever edits the file by hand is told on the error stream.
            eprintln!("hsm-sim: {error}");
        }
    }

    /// What is to happen to a call.
    pub(crate) fn ask(&self, store: &StoreFolder, call: &Call) -> Option<Verdict> {
        self.follow(store);
        let active = Arc::clone(&self.active.read());
        if active.plan.counts {
            count(store, page::CALLS + call.function.index());
            if let Some(mechanism) = call.mechanism {
                count_mechanism(store, mechanism);
            }
        }
        let verdict = active.ask(store, call)?;
        count(store, page::INJECTED + call.function.index());
        Some(verdict)
    }

    /// Takes a firing back that found nothing to do, so that its rule fires at the next call instead.
    pub(crate) fn take_back(&self, store: &StoreFolder, function: Function, verdict: &Verdict) {
        let active = Arc::clone(&self.active.read());
        let down = |word: &AtomicU64| {
            // A plan that was exchanged meanwhile has counts of its own, which must not fall below zero.
            let _exchanged = word.try_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1));
        };
        if let Some((matched, fired)) = active.words(store, verdict.rule) {
            down(matched);
            down(fired);
            down(store.page().word(page::INJECTED + function.index()));
        }
    }

    /// The objects that rules of the plan have lost.
    pub(crate) fn lost(&self, store: &StoreFolder) -> Option<Arc<[Selector]>> {
        let active = Arc::clone(&self.active.read());
        let mut lost = Vec::new();
        for (place, rule) in active.plan.rules.iter().enumerate() {
            if let Action::LoseObject(selector) = &rule.action
                && active.words(store, place).is_some_and(|(_, fired)| fired.load(Ordering::Acquire) > 0)
            {
                lost.push(selector.clone());
            }
        }
        if lost.is_empty() { None } else { Some(lost.into()) }
    }

    /// Blocks for so long, or until `release`, or until the plan is exchanged.
    pub(crate) fn hang(store: &StoreFolder, time: Duration) {
        let state = || (store.page().load(page::RELEASES), store.page().load(page::PLAN));
        let (before, until) = (state(), clock::milliseconds().saturating_add(milliseconds(time)));
        while state() == before && clock::milliseconds() < until {
            std::thread::sleep(HANG_PAUSE);
        }
    }

    /// Counts an answer, while counting is on.
    pub(crate) fn answered(&self, store: &StoreFolder, code: CK_RV) {
        if self.active.read().plan.counts {
            let place = RETURN_CODES.iter().position(|row| row.1 == code).unwrap_or(page::CODES - 1);
            count(store, page::ANSWERS + place);
        }
    }

    fn reload(&self, store: &StoreFolder) -> Result<(), PlanError> {
        let mut active = self.active.write();
        let counter = store.page().load(page::PLAN);
        let loaded = match control::installed(store) {
            Ok(Some(config)) => {
                let began = store.page().load(page::BEGAN);
                Plan::new(&config).map(|plan| Active { plan, counts: Counts::Shared, began })
            }
            Ok(None) => Active::own(&self.own, self.began),
            Err(error) => Err(error),
        };
        let outcome = loaded.map(|loaded| *active = Arc::new(loaded));
        self.loaded.store(counter, Ordering::Release);
        self.calm_at.store(if active.plan.is_calm() { counter } else { NEVER }, Ordering::Release);
        outcome
    }
}

impl Active {
    fn own(config: &FaultsConfig, began: u64) -> Result<Self, PlanError> {
        let plan = Plan::new(config)?;
        let zeroes = || plan.rules.iter().map(|_| AtomicU64::new(0)).collect();
        let counts = Counts::Own { matched: zeroes(), fired: zeroes() };
        Ok(Self { plan, counts, began })
    }

    /// Where matches and firings of a rule are counted.
    fn words<'a>(&'a self, store: &'a StoreFolder, place: usize) -> Option<(&'a AtomicU64, &'a AtomicU64)> {
        match &self.counts {
            Counts::Own { matched, fired } => Some((matched.get(place)?, fired.get(place)?)),
            Counts::Shared => Some((store.page().word(page::MATCHED + place), store.page().word(page::FIRED + place))),
        }
    }

    /// The first rule that matches and fires decides.
    fn ask(&self, store: &StoreFolder, call: &Call) -> Option<Verdict> {
        let elapsed = clock::milliseconds().saturating_sub(self.began);
        for (place, rule) in self.plan.rules.iter().enumerate().filter(|(_, rule)| rule.matches(call, elapsed)) {
            let (matched, fired) = self.words(store, place)?;
            let count = matched.fetch_add(1, Ordering::AcqRel) + 1;
            let stream = self.plan.seed ^ (place as u64).rotate_left(48);
            let words = [0, 1, 2].map(|word| random(stream, count.wrapping_mul(3).wrapping_add(word)));
            let [decision, draw @ ..] = words;
            if !rule.fires(count, decision) {
                continue;
            }
            let may_fire = fired.try_update(Ordering::AcqRel, Ordering::Acquire, |fired| {
                rule.times.is_none_or(|times| fired < times).then_some(fired + 1)
            });
            if let Ok(before) = may_fire {
                return Some(Verdict { action: rule.action.clone(), random: draw, turn: before + 1, rule: place });
            }
        }
        None
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn count(store: &StoreFolder, word: usize) {
    store.page().word(word).fetch_add(1, Ordering::Relaxed);
}

/// Counts a call by its mechanism: pairs of number and count, found by hashing; a full table counts no new ones.
fn count_mechanism(store: &StoreFolder, mechanism: CK_MECHANISM_TYPE) {
    let key = mechanism.wrapping_add(1);
    let start = usize::try_from(random(0, key) % page::MECHANISMS as u64).unwrap_or(0);
    for step in 0..page::MECHANISMS {
        let place = page::BY_MECHANISM + (start + step) % page::MECHANISMS * 2;
        let word = store.page().word(place);
        let held = word.load(Ordering::Acquire);
        let found = if held == 0 {
            word.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire).map_or_else(|found| found, |_| key)
        } else {
            held
        };
        if found == key {
            return count(store, place + 1);
        }
    }
}

/// The counts of a store by function, for `ctl stats`.
pub(super) fn counts(store: &StoreFolder) -> impl Iterator<Item = (Function, u64, u64)> {
    Function::ALL.iter().map(|function| {
        let word = |first: usize| store.page().load(first + function.index());
        (*function, word(page::CALLS), word(page::INJECTED))
    })
}

/// The counts of a store by mechanism.
pub(super) fn mechanism_counts(store: &StoreFolder) -> impl Iterator<Item = (CK_MECHANISM_TYPE, u64)> {
    (0..page::MECHANISMS).filter_map(|place| {
        let word = |offset: usize| store.page().load(page::BY_MECHANISM + place * 2 + offset);
        (word(0) > 0).then(|| (word(0).wrapping_sub(1), word(1)))
    })
}
