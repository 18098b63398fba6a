//! Asks the plan at each call, and counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cryptoki_sys::CK_RV;
use parking_lot::RwLock;

use super::{
    Action, Call, FaultsConfig, PlanError, control,
    plan::{Plan, random},
};
use crate::{
    core::names::{Function, RETURN_CODES},
    store::{StoreFolder, page},
};

/// The plan in force and its counts.
struct Active {
    plan: Plan,
    counts: Counts,
}

/// Where a plan's matches are counted: shared by all processes for a plan of `ctl`, else for this process alone.
enum Counts {
    Own { matched: Vec<AtomicU64>, fired: Vec<AtomicU64> },
    Shared,
}

/// The faults of one initialised module.
pub(crate) struct Engine {
    own: FaultsConfig,
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
}

const NEVER: u64 = u64::MAX;

impl Engine {
    /// The engine of a store, with this process's own plan.
    pub(crate) fn new(own: FaultsConfig, store: &StoreFolder) -> Result<Self, PlanError> {
        let active = Active::own(&own)?;
        let engine = Self {
            own,
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
        self.active.read().plan.rules.iter().any(|rule| matches!(rule.action, Action::RemoveToken(_)))
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
        }
        let verdict = active.ask(store, call)?;
        count(store, page::INJECTED + call.function.index());
        Some(verdict)
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
            Ok(Some(config)) => Plan::new(&config).map(|plan| Active { plan, counts: Counts::Shared }),
            Ok(None) => Active::own(&self.own),
            Err(error) => Err(error),
        };
        let outcome = loaded.map(|loaded| *active = Arc::new(loaded));
        self.loaded.store(counter, Ordering::Release);
        self.calm_at.store(if active.plan.is_calm() { counter } else { NEVER }, Ordering::Release);
        outcome
    }
}

impl Active {
    fn own(config: &FaultsConfig) -> Result<Self, PlanError> {
        let plan = Plan::new(config)?;
        let zeroes = || plan.rules.iter().map(|_| AtomicU64::new(0)).collect();
        let counts = Counts::Own { matched: zeroes(), fired: zeroes() };
        Ok(Self { plan, counts })
    }

    /// The first rule that matches and fires decides.
    fn ask(&self, store: &StoreFolder, call: &Call) -> Option<Verdict> {
        for (place, rule) in self.plan.rules.iter().enumerate().filter(|(_, rule)| rule.matches(call)) {
            let (matched, fired) = match &self.counts {
                Counts::Own { matched, fired } => (matched.get(place)?, fired.get(place)?),
                Counts::Shared => (store.page().word(page::MATCHED + place), store.page().word(page::FIRED + place)),
            };
            let count = matched.fetch_add(1, Ordering::AcqRel) + 1;
            let stream = self.plan.seed ^ (place as u64).rotate_left(48);
            let words = [0, 1, 2].map(|word| random(stream, count.wrapping_mul(3).wrapping_add(word)));
            let [decision, draw @ ..] = words;
            if !rule.fires(count, decision) {
                continue;
            }
            let may_fire = fired
                .try_update(Ordering::AcqRel, Ordering::Acquire, |fired| {
                    rule.times.is_none_or(|times| fired < times).then_some(fired + 1)
                })
                .is_ok();
            if may_fire {
                return Some(Verdict { action: rule.action.clone(), random: draw });
            }
        }
        None
    }
}

fn count(store: &StoreFolder, word: usize) {
    store.page().word(word).fetch_add(1, Ordering::Relaxed);
}

/// The counts of a store, for `ctl stats`.
pub(super) fn counts(store: &StoreFolder) -> impl Iterator<Item = (Function, u64, u64)> {
    Function::ALL.iter().map(|function| {
        let word = |first: usize| store.page().load(first + function.index());
        (*function, word(page::CALLS), word(page::INJECTED))
    })
}
