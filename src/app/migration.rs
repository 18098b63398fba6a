//! `portcullis hsm migrate`: moves every object of one place to another while the gateway serves.
//!
//! The order is remembered, so it goes on after a restart, and it stays in force when it is done: new objects keep going to the
//! target. Passes over the records are repeated until one finds nothing left to move and no intent at the source. Each object is
//! moved by a use case of its own, several at a time, behind the requests of clients. What cannot be moved stays where it is and is
//! named. A token that is away or full makes the whole wait.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, task::JoinSet, time::sleep};

use super::problem::{Explain as _, Problem};
use crate::{
    domain::{
        OperationKind, Principal, ProjectId, Realm, TokenId, UniqueIdentifier,
        audit::{AuditEvent, Outcome, Protocol},
    },
    engine::{
        Caller, Engine, Error, ErrorKind,
        ops::migrate::Migrate,
        ports::{Durability, Lane, Memory, Order, Scope},
        reconcile::reconcile_moves,
    },
    hsm::{Pool, Route},
    telemetry::Metrics,
};

/// What was ordered.
const FACT: &str = "migrations";
/// Objects on their way at the same time.
const IN_FLIGHT: usize = 16;
/// Records read at a time.
const PAGE: usize = 500;
/// Objects named that cannot be moved; the count is of all.
const NAMED_MAX: usize = 1_000;
/// How often a move is tried that fails for no reason that explains it.
const TRIES: u32 = 3;
/// Between two looks whether the tokens are there again: each time longer, up to a limit.
const LOOK: Duration = Duration::from_millis(200);
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Between two passes that found something unfinished.
const AGAIN: Duration = Duration::from_millis(300);
/// How often the count of moved objects is written down.
const NOTED_EVERY: Duration = Duration::from_secs(5);

/// One order, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ordered {
    id: String,
    from: String,
    to: String,
    done: bool,
    moved: usize,
    /// How many objects stayed, once it is done.
    stayed: usize,
}

/// What a migration is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// None was ordered.
    #[default]
    None,
    /// Objects are moved.
    Moving,
    /// A token is away or full.
    Waiting,
    /// Everything that can be moved is.
    Done,
}

impl State {
    const ALL: [(Self, &'static str); 3] = [(Self::Moving, "moving"), (Self::Waiting, "waiting"), (Self::Done, "done")];
}

/// An object that stays, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stayed {
    pub(super) object: String,
    pub(super) reason: String,
}

/// How far the last ordered migration is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// What it is doing.
    pub(super) state: State,
    /// From where.
    pub(super) from: String,
    /// To where.
    pub(super) to: String,
    /// Why it waits.
    pub(super) reason: Option<String>,
    /// Objects moved.
    pub(super) moved: usize,
    /// Objects still to be moved, as far as they have been counted.
    pub(super) remaining: usize,
    /// Objects that cannot be moved.
    pub(super) stayed_count: usize,
    /// They, the first thousand.
    pub(super) stayed: Vec<Stayed>,
    /// Whether the source holds keys of the gateway's own, which it needs at every start.
    pub(super) own_keys: bool,
}

/// The orders, and what carries them out.
pub(super) struct Migrations {
    engine: Arc<Engine>,
    pool: Arc<Pool>,
    memory: Arc<dyn Memory>,
    metrics: Arc<Metrics>,
    ordered: Mutex<Vec<Ordered>>,
    /// Held from reading the orders to having them written.
    keeping: tokio::sync::Mutex<()>,
    progress: Mutex<Progress>,
    stays: Mutex<BTreeMap<UniqueIdentifier, String>>,
    turn: AtomicUsize,
    waited: AtomicUsize,
    wake: Notify,
}

/// What was ordered before this start: put in force before anything is settled or served.
pub(super) struct Recalled(Vec<Ordered>);

/// Puts earlier orders in force.
pub(super) fn recall(memory: &Arc<dyn Memory>, pool: &Pool) -> Result<Recalled, Problem> {
    let bytes = memory.recall(FACT).explain("PC-STORE-OPEN", "which migrations were ordered", "")?;
    let ordered: Vec<Ordered> = match bytes {
        Some(bytes) => {
            serde_json::from_slice(&bytes).explain("PC-STORE-DAMAGED", "which migrations were ordered", "")?
        }
        None => Vec::new(),
    };
    for order in &ordered {
        match pool.route(&TokenId(order.from.clone()), &TokenId(order.to.clone())) {
            Ok(route) => pool.begin_move(&order.id, route),
            // Its source was taken out of the configuration, as it may be.
            Err(_) if order.done => {}
            Err(why) => tracing::warn!(why, "a migration that was ordered cannot go on"),
        }
    }
    Ok(Recalled(ordered))
}

/// What came of a pass over the records.
#[derive(Default)]
struct Pass {
    /// Moves that were tried.
    tried: usize,
    /// Of these, those that another pass must try again.
    later: usize,
    /// Why it was broken off.
    broken: Option<String>,
}

/// What came of one move.
enum Fate {
    Moved,
    Gone,
    Stays(String),
    Later,
    /// No other one would get on now.
    Breaks(String),
    /// Nobody knows why.
    Fails(String),
}

impl Migrations {
    pub(super) fn new(
        engine: Arc<Engine>,
        pool: Arc<Pool>,
        memory: Arc<dyn Memory>,
        metrics: Arc<Metrics>,
        Recalled(ordered): Recalled,
    ) -> Arc<Self> {
        let last = ordered.last().cloned();
        let migrations = Self {
            engine,
            pool,
            memory,
            metrics,
            ordered: Mutex::new(ordered),
            keeping: tokio::sync::Mutex::default(),
            progress: Mutex::default(),
            stays: Mutex::default(),
            turn: AtomicUsize::new(0),
            waited: AtomicUsize::new(0),
            wake: Notify::new(),
        };
        if let Some(last) = last {
            migrations.show(&last);
        }
        Arc::new(migrations)
    }

    /// How far the last ordered one is.
    pub(super) fn progress(&self) -> Progress {
        let mut progress = self.progress.lock().clone();
        let stays = self.stays.lock();
        progress.stayed_count = progress.stayed_count.max(stays.len());
        let named = stays.iter().take(NAMED_MAX);
        progress.stayed =
            named.map(|(object, reason)| Stayed { object: object.to_string(), reason: reason.clone() }).collect();
        progress
    }

    /// Orders one. The one that runs may be ordered again, or be turned round; another has to wait for its end.
    pub(super) async fn order(&self, from: &str, to: &str) -> Result<(), String> {
        let route = self.pool.route(&TokenId(from.to_owned()), &TokenId(to.to_owned()))?;
        let mut id = [0; 8];
        self.engine.ports().chance.fill(&mut id);
        let new = Ordered {
            id: format!("{:016x}", u64::from_be_bytes(id)),
            from: from.to_owned(),
            to: to.to_owned(),
            done: false,
            moved: 0,
            stayed: 0,
        };
        let keeping = self.keeping.lock().await;
        let (orders, ended) = {
            let ordered = self.ordered.lock().clone();
            if let Some(runs) = ordered.iter().find(|order| !order.done) {
                if (&*runs.from, &*runs.to) == (from, to) {
                    return Ok(());
                }
                if (&*runs.from, &*runs.to) != (to, from) {
                    return Err(format!(
                        "objects are being moved from {} to {}; wait until that is done",
                        runs.from, runs.to
                    ));
                }
            }
            // What takes objects from now on is no source any more, and one source has one target.
            let is_over = |order: &Ordered| {
                let Ok(old) = self.pool.route(&TokenId(order.from.clone()), &TokenId(order.to.clone())) else {
                    return true;
                };
                old.from.iter().any(|name| route.to.contains(name) || route.from.contains(name))
            };
            let (ended, mut orders): (Vec<_>, Vec<_>) = ordered.into_iter().partition(is_over);
            orders.push(new.clone());
            (orders, ended)
        };
        self.tell(&format!("migrate {from} to {to}")).await.map_err(|error| error.to_string())?;
        // Before it is known as the one that runs: what carries it out may look at once.
        self.pool.begin_move(&new.id, route);
        if let Err(error) = self.keep(orders).await {
            self.pool.forget_move(&new.id);
            return Err(error);
        }
        drop(keeping);
        for order in ended {
            self.pool.end_move(&order.id).await;
            self.pool.forget_move(&order.id);
        }
        self.stays.lock().clear();
        self.show(&new);
        self.wake.notify_one();
        tracing::warn!(from, to, "objects are moved, as ordered");
        Ok(())
    }

    /// The audit record of an order, or of its end.
    async fn tell(&self, what: &str) -> Result<(), Error> {
        let mut id = [0; 16];
        self.engine.ports().chance.fill(&mut id);
        let event = AuditEvent {
            id,
            time: self.engine.ports().clock.now(),
            request: what.to_owned(),
            protocol: Protocol::Internal,
            initiator: None,
            realm: Some(Realm::System),
            project: None,
            address: None,
            operation: OperationKind::Migrate,
            targets: Vec::new(),
            outcome: Outcome::Success,
            recovered: false,
            http: None,
        };
        Ok(self.engine.audit().record(event, Durability::Synced).await?)
    }

    /// Writes the orders down.
    async fn keep(&self, orders: Vec<Ordered>) -> Result<(), String> {
        let bytes = serde_json::to_vec(&orders).map_err(|error| error.to_string())?;
        let memory = Arc::clone(&self.memory);
        let kept = tokio::task::spawn_blocking(move || memory.remember(FACT, &bytes)).await;
        kept.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        *self.ordered.lock() = orders;
        Ok(())
    }

    /// Changes what is remembered of one order, unless it was replaced.
    async fn note(&self, id: &str, change: impl FnOnce(&mut Ordered)) -> Result<(), String> {
        let _alone = self.keeping.lock().await;
        let mut orders = self.ordered.lock().clone();
        match orders.iter_mut().find(|order| order.id == id) {
            Some(order) => change(order),
            None => return Ok(()),
        }
        self.keep(orders).await
    }

    fn show(&self, order: &Ordered) {
        let route = self.pool.route(&TokenId(order.from.clone()), &TokenId(order.to.clone()));
        *self.progress.lock() = Progress {
            state: if order.done { State::Done } else { State::Moving },
            from: order.from.clone(),
            to: order.to.clone(),
            moved: order.moved,
            stayed_count: order.stayed,
            own_keys: route.is_ok_and(|route| self.pool.holds_own_keys(&route.from)),
            ..Progress::default()
        };
        self.publish();
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock());
        self.publish();
    }

    fn publish(&self) {
        let progress = self.progress.lock();
        self.metrics.migration(progress.moved, progress.remaining, self.stays.lock().len());
        for (state, name) in State::ALL {
            self.metrics.migration_state(name, progress.state == state);
        }
    }

    fn running(&self) -> Option<Ordered> {
        self.ordered.lock().iter().find(|order| !order.done).cloned()
    }

    /// Carries out what is ordered, until the task is ended.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            match self.running() {
                Some(order) => self.drive(&order).await,
                None => self.wake.notified().await,
            }
        }
    }

    fn is_current(&self, order: &Ordered) -> bool {
        self.running().is_some_and(|running| running.id == order.id)
    }

    /// Passes until everything is moved, or until another order takes its place.
    async fn drive(&self, order: &Ordered) {
        let mut clean = 0;
        let mut tries = BTreeMap::new();
        while self.is_current(order) {
            let route = match self.possible(order) {
                Ok(route) => route,
                Err(why) => {
                    self.wait(why).await;
                    continue;
                }
            };
            self.change(|progress| {
                progress.state = State::Moving;
                progress.reason = None;
            });
            let passed = match self.settled(&route).await {
                Ok(_) => self.pass(order, &route, &mut tries).await,
                Err(error) => Err(error),
            };
            let Pass { tried, later, broken } = match passed {
                Ok(pass) => pass,
                Err(error) => Pass { broken: Some(error.to_string()), ..Pass::default() },
            };
            if let Some(why) = broken {
                self.wait(why).await;
                continue;
            }
            // A request that has begun at the source may still make something there, or destroy it.
            let quiet = matches!(self.settled(&route).await, Ok(true));
            clean = if tried == 0 && later == 0 && quiet { clean + 1 } else { 0 };
            if clean < 2 {
                sleep(AGAIN).await;
            } else if let Err(error) = self.finish(order).await {
                self.wait(error).await;
            }
        }
    }

    /// The way, if both ends can be reached.
    fn possible(&self, order: &Ordered) -> Result<Route, String> {
        let route = self.pool.route(&TokenId(order.from.clone()), &TokenId(order.to.clone()))?;
        if !route.from.iter().any(|place| self.pool.is_there(place)) {
            return Err(format!("{} cannot be reached", order.from));
        }
        if !route.to.iter().any(|place| self.pool.is_there(place)) {
            return Err(format!("{} cannot be reached", order.to));
        }
        Ok(route)
    }

    async fn wait(&self, why: String) {
        let is_news = self.progress.lock().reason.as_ref() != Some(&why);
        if is_news {
            tracing::warn!(why, "the migration waits");
        }
        self.change(|progress| {
            progress.state = State::Waiting;
            progress.reason = Some(why);
        });
        let waited = self.waited.fetch_add(1, Ordering::Relaxed);
        sleep((LOOK * u32::try_from(waited.saturating_add(1)).unwrap_or(u32::MAX)).min(LOOK_MAX)).await;
    }

    /// Settles what earlier moves have left; whether no intent is about the source any more.
    async fn settled(&self, route: &Route) -> Result<bool, Error> {
        reconcile_moves(self.engine.ports(), self.engine.audit()).await?;
        let intents = self.engine.ports().store.intents().await?;
        Ok(!intents.iter().flat_map(|intent| &intent.places).any(|place| route.from.contains(&place.token)))
    }

    /// One look at every record, and a move for each whose value is at the source.
    async fn pass(
        &self,
        order: &Ordered,
        route: &Route,
        tries: &mut BTreeMap<UniqueIdentifier, u32>,
    ) -> Result<Pass, Error> {
        let remaining = self.count(route).await?;
        self.change(|progress| progress.remaining = remaining);
        let mut pass = Pass::default();
        if remaining == 0 {
            return Ok(pass);
        }
        let store = &self.engine.ports().store;
        let (mut after, mut moves, mut noted) = (None, JoinSet::new(), Instant::now());
        loop {
            let page = store.objects(Scope::Everything, Order::OldestFirst, after, PAGE).await?;
            for found in page.records {
                let object = found.record;
                if !self.is_to_move(route, &object.value.map(|value| value.token), object.identifier) {
                    continue;
                }
                let Some(to) = self.target(route) else {
                    pass.broken = Some(format!("{} cannot be reached", order.to));
                    break;
                };
                if moves.len() >= IN_FLIGHT
                    && let Some(ended) = moves.join_next().await
                {
                    self.ended(order, ended, &mut pass, tries);
                }
                if pass.broken.is_some() {
                    break;
                }
                let (engine, caller) = (Arc::clone(&self.engine), gateway(object.project));
                let one = Migrate { object: object.identifier, from: route.from.clone(), to };
                pass.tried += 1;
                moves.spawn(async move { (one.object, engine.execute(&caller, one).await) });
            }
            if noted.elapsed() >= NOTED_EVERY {
                self.note_moved(order).await;
                noted = Instant::now();
            }
            after = page.next;
            if after.is_none() || pass.broken.is_some() || !self.is_current(order) {
                break;
            }
        }
        while let Some(ended) = moves.join_next().await {
            self.ended(order, ended, &mut pass, tries);
        }
        self.note_moved(order).await;
        Ok(pass)
    }

    async fn note_moved(&self, order: &Ordered) {
        let moved = self.progress.lock().moved;
        if let Err(error) = self.note(&order.id, |order| order.moved = moved).await {
            tracing::warn!(error, "how far the migration is cannot be written down");
        }
    }

    fn is_to_move(&self, route: &Route, at: &Option<TokenId>, object: UniqueIdentifier) -> bool {
        at.as_ref().is_some_and(|at| route.from.contains(at)) && !self.stays.lock().contains_key(&object)
    }

    /// One of the places that take objects, in turn; one that said that it is full is asked again when no other is there.
    fn target(&self, route: &Route) -> Option<TokenId> {
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = route.to.len().max(1);
        let mut in_turn = (0..count).filter_map(|step| route.to.get((start + step) % count));
        let taking = in_turn.clone().find(|place| self.pool.takes_objects(place));
        taking.or_else(|| in_turn.find(|place| self.pool.is_there(place))).cloned()
    }

    async fn count(&self, route: &Route) -> Result<usize, Error> {
        let (mut after, mut count) = (None, 0);
        loop {
            let page = self.engine.ports().store.objects(Scope::Everything, Order::OldestFirst, after, PAGE).await?;
            let found = page.records.into_iter().map(|found| found.record);
            count += found
                .filter(|object| {
                    let at = object.value.as_ref().map(|value| value.token.clone());
                    self.is_to_move(route, &at, object.identifier)
                })
                .count();
            after = page.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    fn ended(
        &self,
        order: &Ordered,
        ended: Result<(UniqueIdentifier, Result<bool, Error>), tokio::task::JoinError>,
        pass: &mut Pass,
        tries: &mut BTreeMap<UniqueIdentifier, u32>,
    ) {
        let (object, result) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a move ended unexpectedly");
                pass.later += 1;
                return;
            }
        };
        if !self.is_current(order) {
            // It was turned round; what this says of the object does not count any more.
            pass.later += 1;
            return;
        }
        let fate = match fate(&result) {
            Fate::Fails(why) => {
                let tried = tries.entry(object).or_default();
                *tried += 1;
                if *tried < TRIES { Fate::Later } else { Fate::Stays(why) }
            }
            fate => fate,
        };
        if !matches!(fate, Fate::Later | Fate::Breaks(_)) {
            tries.remove(&object);
        }
        match fate {
            Fate::Moved => {
                self.waited.store(0, Ordering::Relaxed);
                self.change(|progress| {
                    progress.moved += 1;
                    progress.remaining = progress.remaining.saturating_sub(1);
                });
            }
            Fate::Gone => self.change(|progress| progress.remaining = progress.remaining.saturating_sub(1)),
            Fate::Stays(why) => {
                tracing::warn!(%object, why, "an object cannot be moved and stays where it is");
                self.stays.lock().insert(object, why);
                self.change(|progress| progress.remaining = progress.remaining.saturating_sub(1));
            }
            Fate::Breaks(why) => {
                pass.later += 1;
                pass.broken = Some(why);
            }
            Fate::Later | Fate::Fails(_) => pass.later += 1,
        }
    }

    /// Everything that can be moved is.
    async fn finish(&self, order: &Ordered) -> Result<(), String> {
        let (moved, stayed) = (self.progress.lock().moved, self.stays.lock().len());
        let what = format!("migrate {} to {}: done, {moved} moved", order.from, order.to);
        self.tell(&what).await.map_err(|error| error.to_string())?;
        self.pool.end_move(&order.id).await;
        self.note(&order.id, |order| {
            order.done = true;
            order.moved = moved;
            order.stayed = stayed;
        })
        .await?;
        tracing::info!(
            from = order.from,
            to = order.to,
            moved,
            stayed = self.stays.lock().len(),
            "the migration is done"
        );
        self.change(|progress| {
            progress.state = State::Done;
            progress.reason = None;
            progress.remaining = 0;
        });
        Ok(())
    }
}

/// What a move's result means for the rest.
fn fate(result: &Result<bool, Error>) -> Fate {
    let error = match result {
        Ok(true) => return Fate::Moved,
        Ok(false) => return Fate::Gone,
        Err(error) => error,
    };
    let source = std::error::Error::source(error).map(|source| format!(" ({source})")).unwrap_or_default();
    let why = format!("{}{source}", error.public);
    match error.kind {
        ErrorKind::Destroyed | ErrorKind::NotFound => Fate::Gone,
        ErrorKind::Busy | ErrorKind::Conflict => Fate::Later,
        ErrorKind::Unavailable | ErrorKind::Full => Fate::Breaks(why),
        ErrorKind::NotExtractable
        | ErrorKind::UnsupportedParameters
        | ErrorKind::BadParameters
        | ErrorKind::Cryptographic
        | ErrorKind::WrongUsage
        | ErrorKind::Denied => Fate::Stays(why),
        _ => Fate::Fails(why),
    }
}

/// The gateway, acting on an object of a project.
fn gateway(project: ProjectId) -> Caller {
    Caller {
        principal: Arc::new(Principal {
            name: None,
            project,
            roles: Vec::new(),
            realm: Realm::System,
            user_name: None,
        }),
        protocol: Protocol::Internal,
        request: "migrate".to_owned(),
        address: None,
        transaction: None,
        http: None,
        lane: Lane::Bulk,
        bounds: None,
    }
}

/// The progress for people.
pub(super) fn described(progress: &Progress) -> String {
    let Progress { state, from, to, reason, moved, remaining, stayed_count, stayed, own_keys } = progress;
    let mut text = match state {
        State::None => return "no migration was ordered\n".to_owned(),
        State::Moving => format!("from {from} to {to}: {moved} objects are moved, {remaining} remain\n"),
        State::Waiting => {
            let why = reason.as_deref().unwrap_or("no reason is known");
            format!("from {from} to {to}: {moved} objects are moved, {remaining} remain; it waits: {why}\n")
        }
        State::Done => format!("from {from} to {to}: {moved} objects were moved\n"),
    };
    if *stayed_count > 0 {
        text += &format!("  {stayed_count} objects stay at {from}, because they cannot be moved:\n");
        stayed.iter().for_each(|one| text += &format!("    {}: {}\n", one.object, one.reason));
        if stayed.len() < *stayed_count {
            text += &format!("    and {} more\n", stayed_count - stayed.len());
        }
    }
    if *own_keys {
        text += &format!(
            "  {from} also holds the gateway's own keys: it is needed at every start, so leave it configured\n"
        );
    }
    text
}
