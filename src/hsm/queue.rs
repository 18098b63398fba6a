//! What waits for the sessions of one token: three lanes, and in a lane a line for each tenant (contract §3).
//!
//! Lanes share the sessions by weight, tenants of a lane by deficit round robin, so neither a batch nor a busy project makes others
//! wait longer than their share asks for. The queue is bounded. When it is full, the newest entry of the longest line gives way to
//! a tenant with a shorter one; the probes of the gateway itself are always let in.

use std::{
    collections::{HashMap, VecDeque},
    sync::atomic::{AtomicU64, Ordering},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

use super::crew::{Crew, Kind, Seen, Shift, Up, Usual, WATCH};
use crate::engine::ports::{Lane, Tenant};

/// Turns of each lane in a round, while all have entries.
const WEIGHTS: [u32; 3] = [8, 3, 1];

/// Who waits, where, for what, and how much of a session's time that takes: 1 for the use of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) tenant: Tenant,
    pub(super) lane: Lane,
    pub(super) cost: u32,
    pub(super) kind: Kind,
}

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered<T> {
    /// It waits.
    Waits,
    /// It waits, and this one does not any more.
    Instead(T),
    /// There is no room.
    Full(T),
    /// Nobody works here any more.
    Closed(T),
}

/// What a worker gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    /// This.
    Entry(T),
    /// Nothing came in time.
    Nothing,
    /// Nothing will come.
    Closed,
}

/// One tenant's entries in a lane.
struct Line<T> {
    entries: VecDeque<(u32, Kind, T)>,
    /// What it has saved for something that costs more than one.
    deficit: u32,
}

struct Lines<T> {
    lines: HashMap<Tenant, Line<T>>,
    /// The tenants that have entries, in their turn.
    turn: VecDeque<Tenant>,
    waiting: usize,
}

impl<T> Lines<T> {
    fn new() -> Self {
        Self { lines: HashMap::new(), turn: VecDeque::new(), waiting: 0 }
    }

    fn length(&self, tenant: Tenant) -> usize {
        self.lines.get(&tenant).map_or(0, |line| line.entries.len())
    }

    fn push(&mut self, Ticket { tenant, cost, kind, .. }: Ticket, entry: T) {
        let line = self.lines.entry(tenant).or_insert_with(|| {
            self.turn.push_back(tenant);
            Line { entries: VecDeque::new(), deficit: 0 }
        });
        line.entries.push_back((cost.max(1), kind, entry));
        self.waiting += 1;
        if self.turn.len() == 1 && line.entries.len() == 1 {
            line.deficit = 1;
        }
    }

    /// The next one by deficit round robin: each turn is worth one.
    fn pop(&mut self) -> Option<(Kind, T)> {
        loop {
            let tenant = *self.turn.front()?;
            let line = self.lines.get_mut(&tenant)?;
            let cost = line.entries.front()?.0;
            if cost > line.deficit {
                self.turn.rotate_left(1);
                self.begin_turn();
                continue;
            }
            line.deficit -= cost;
            let (_, kind, entry) = line.entries.pop_front()?;
            self.waiting -= 1;
            if line.entries.is_empty() {
                self.leave(tenant);
            }
            return Some((kind, entry));
        }
    }

    /// Takes the newest entry of a line away.
    fn drop_newest(&mut self, tenant: Tenant) -> Option<T> {
        let line = self.lines.get_mut(&tenant)?;
        let (_, _, entry) = line.entries.pop_back()?;
        self.waiting -= 1;
        if line.entries.is_empty() {
            self.leave(tenant);
        }
        Some(entry)
    }

    /// Forgets the entries that nobody waits for.
    fn bury(&mut self, is_dead: impl Fn(&T) -> bool) {
        let tenants: Vec<Tenant> = self.turn.iter().copied().collect();
        for tenant in tenants {
            let Some(line) = self.lines.get_mut(&tenant) else { continue };
            let before = line.entries.len();
            line.entries.retain(|(_, _, entry)| !is_dead(entry));
            self.waiting -= before - line.entries.len();
            if line.entries.is_empty() {
                self.leave(tenant);
            }
        }
    }

    /// A line without entries is no line, and keeps no savings.
    fn leave(&mut self, tenant: Tenant) {
        let first = self.turn.front() == Some(&tenant);
        self.lines.remove(&tenant);
        self.turn.retain(|other| *other != tenant);
        if first {
            self.begin_turn();
        }
    }

    fn begin_turn(&mut self) {
        if let Some(line) = self.turn.front().and_then(|tenant| self.lines.get_mut(tenant)) {
            line.deficit = line.deficit.saturating_add(1);
        }
    }

    /// How many are served before a new entry of that tenant, at most.
    fn ahead(&self, tenant: Tenant) -> usize {
        let tenants = self.lines.len() + usize::from(!self.lines.contains_key(&tenant));
        self.waiting.min((self.length(tenant) + 1).saturating_mul(tenants))
    }
}

struct Inner<T> {
    lanes: [Lines<T>; 3],
    /// Turns that the lanes have left in this round.
    left: [u32; 3],
    open: bool,
    crew: Crew,
}

impl<T> Inner<T> {
    fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting).sum()
    }

    fn lane(&mut self, lane: Lane) -> &mut Lines<T> {
        let [interactive, bulk, probe] = &mut self.lanes;
        match lane {
            Lane::Interactive => interactive,
            Lane::Bulk => bulk,
            Lane::Probe => probe,
        }
    }

    fn pop(&mut self) -> Option<(Kind, T)> {
        if self.waiting() == 0 {
            return None;
        }
        loop {
            for (lane, left) in self.lanes.iter_mut().zip(&mut self.left) {
                if *left > 0
                    && let Some(entry) = lane.pop()
                {
                    *left -= 1;
                    return Some(entry);
                }
            }
            self.left = WEIGHTS;
        }
    }

    /// The tenant with the longest line, the gateway's probes apart, and in which lane.
    fn longest(&self) -> Option<(Lane, Tenant, usize)> {
        let of = |lane: Lane, lines: &Lines<T>| {
            lines.lines.iter().map(move |(tenant, line)| (lane, *tenant, line.entries.len())).collect::<Vec<_>>()
        };
        let [interactive, bulk, _probe] = &self.lanes;
        let lines = of(Lane::Interactive, interactive).into_iter().chain(of(Lane::Bulk, bulk));
        lines.max_by_key(|(_, _, length)| *length)
    }
}

/// The queue of one token.
pub(super) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    capacity: usize,
    /// What a call has taken lately, in nanoseconds.
    usual: AtomicU64,
    /// The same by kind.
    usual_of: Usual,
}

impl<T> Queue<T> {
    /// With room for that many.
    pub(super) fn new(capacity: usize) -> Self {
        let lanes = [Lines::new(), Lines::new(), Lines::new()];
        let inner = Inner { lanes, left: WEIGHTS, open: true, crew: Crew::default() };
        let (capacity, usual) = (capacity.max(1), AtomicU64::new(0));
        Self { inner: Mutex::new(inner), capacity, usual, usual_of: Usual::default() }
    }

    /// Lets an entry in, if there is room, or entries that are dead, or somebody else has more than his share.
    pub(super) fn enter(&self, ticket: Ticket, entry: T, is_dead: impl Fn(&T) -> bool) -> Entered<T> {
        let mut inner = self.inner.lock();
        if !inner.open {
            return Entered::Closed(entry);
        }
        let mut instead = None;
        if ticket.lane != Lane::Probe && inner.waiting() >= self.capacity {
            inner.lanes.iter_mut().for_each(|lane| lane.bury(&is_dead));
        }
        if ticket.lane != Lane::Probe && inner.waiting() >= self.capacity {
            let own = inner.lane(ticket.lane).length(ticket.tenant);
            match inner.longest() {
                Some((lane, tenant, length)) if length > own + 1 => instead = inner.lane(lane).drop_newest(tenant),
                Some(_) | None => {}
            }
            if instead.is_none() {
                return Entered::Full(entry);
            }
        }
        inner.lane(ticket.lane).push(ticket, entry);
        let waiting = inner.waiting();
        let called = inner.crew.call_for(ticket.kind, waiting, &self.usual_of);
        drop(inner);
        if let Some(thread) = called {
            thread.unpark();
        }
        instead.map_or(Entered::Waits, Entered::Instead)
    }

    /// The next entry, as soon as there is one.
    pub(super) fn take(&self, shift: &mut Shift, patience: Duration) -> Taken<T> {
        let mut until = None;
        let mut inner = self.inner.lock();
        inner.crew.looks(shift);
        loop {
            if let Some((kind, entry)) = inner.pop() {
                inner.crew.takes(shift, kind, &self.usual_of);
                return Taken::Entry(entry);
            }
            if !inner.open {
                inner.crew.ends(shift);
                return Taken::Closed;
            }
            // Most of the time there is something at once, and the clock is not asked.
            let until = *until.get_or_insert_with(|| Instant::now() + patience);
            if !self.rest(&mut inner, shift, until) {
                return Taken::Nothing;
            }
        }
    }

    /// Waits to be called, or for what the one that watches finds. `false` when nothing came in time.
    fn rest(&self, inner: &mut MutexGuard<'_, Inner<T>>, shift: &mut Shift, until: Instant) -> bool {
        let own = thread::current().id();
        let mut watch = inner.crew.rests(shift);
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            let pause = if watch.is_some() { rest.min(WATCH) } else { rest };
            MutexGuard::unlocked(inner, || thread::park_timeout(pause));
            if inner.crew.is_up(own, shift) == Up::Called {
                return true;
            }
            let waiting = inner.waiting();
            match watch.as_mut().map(|watch| inner.crew.watches(watch, waiting)) {
                None | Some(Seen::Fine) => {}
                Some(Seen::Quiet) => watch = None,
                Some(Seen::Stalled) => {
                    let others = inner.crew.steps_in(own, shift, waiting, &self.usual_of);
                    others.iter().for_each(Thread::unpark);
                    return true;
                }
            }
            if Instant::now() >= until {
                inner.crew.gets_up(own, shift);
                if waiting > 0 {
                    return true;
                }
                inner.crew.ends(shift);
                return false;
            }
        }
    }

    /// A worker does something else for a while, or goes.
    pub(super) fn leave(&self, shift: &mut Shift) {
        self.inner.lock().crew.ends(shift);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.inner.lock().waiting()
    }

    /// Wakes everybody who waits for work: there will be none. What still waits is given back.
    pub(super) fn close(&self) -> Vec<T> {
        let mut inner = self.inner.lock();
        inner.open = false;
        let left = std::iter::from_fn(|| inner.pop()).map(|(_, entry)| entry).collect();
        let resting = inner.crew.everybody();
        drop(inner);
        resting.iter().for_each(Thread::unpark);
        left
    }

    /// A call has taken that long: a moving average over about sixteen calls.
    pub(super) fn took(&self, kind: Kind, took: Duration) {
        self.usual_of.took(kind, took);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let usual = self.usual.load(Ordering::Relaxed);
        let next = if usual == 0 { took } else { usual - usual / 16 + took / 16 };
        self.usual.store(next, Ordering::Relaxed);
    }

    /// How long a new entry would wait for one of that many sessions, by what calls have taken lately.
    pub(super) fn expected(&self, ticket: Ticket, sessions: usize) -> Duration {
        let ahead = match (ticket.lane, &mut *self.inner.lock()) {
            (Lane::Probe, _) => 0,
            (lane, inner) => {
                let own = inner.lane(lane).ahead(ticket.tenant);
                let [interactive, bulk, _] = &inner.lanes;
                let others = if lane == Lane::Interactive { bulk.waiting } else { interactive.waiting };
                let [of_interactive, of_bulk, _] = WEIGHTS.map(|weight| usize::try_from(weight).unwrap_or(1));
                let share = match lane {
                    Lane::Interactive => own.saturating_mul(of_bulk).div_ceil(of_interactive),
                    Lane::Bulk | Lane::Probe => own.saturating_mul(of_interactive).div_ceil(of_bulk),
                };
                own + others.min(share)
            }
        };
        let usual = Duration::from_nanos(self.usual.load(Ordering::Relaxed));
        let sessions = u32::try_from(sessions.max(1)).unwrap_or(u32::MAX);
        usual.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX)) / sessions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ticket(tenant: u64, lane: Lane) -> Ticket {
        Ticket { tenant: Tenant(tenant), lane, cost: 1, kind: Kind::Other }
    }

    const fn alive<T>(_: &T) -> bool {
        false
    }

    fn drain(queue: &Queue<(u64, u32)>) -> Vec<(u64, u32)> {
        let mut shift = Shift::default();
        std::iter::from_fn(move || match queue.take(&mut shift, Duration::ZERO) {
            Taken::Entry(entry) => Some(entry),
            Taken::Nothing | Taken::Closed => None,
        })
        .collect()
    }

    #[test]
    fn a_tenant_with_many_entries_does_not_keep_one_with_few_waiting() {
        let queue = Queue::new(100);
        for nth in 0..50 {
            assert_eq!(queue.enter(ticket(1, Lane::Interactive), (1, nth), alive), Entered::Waits);
        }
        for nth in 0..3 {
            assert_eq!(queue.enter(ticket(2, Lane::Interactive), (2, nth), alive), Entered::Waits);
        }
        let order = drain(&queue);
        assert_eq!(order.len(), 53);
        // One each in turn, and each tenant's own in their order.
        let second: Vec<_> = order.iter().positions_of(2);
        assert_eq!(second, [1, 3, 5]);
        for tenant in [1, 2] {
            let own: Vec<_> = order.iter().filter(|(of, _)| *of == tenant).map(|(_, nth)| *nth).collect();
            assert!(own.is_sorted(), "{own:?}");
        }
    }

    trait Positions {
        fn positions_of(self, tenant: u64) -> Vec<usize>;
    }

    impl<'a, I: Iterator<Item = &'a (u64, u32)>> Positions for I {
        fn positions_of(self, tenant: u64) -> Vec<usize> {
            self.enumerate().filter(|(_, (of, _))| *of == tenant).map(|(at, _)| at).collect()
        }
    }

    #[test]
    fn lanes_share_by_weight_and_nobody_starves() {
        let queue = Queue::new(1_000);
        for nth in 0..80 {
            queue.enter(ticket(1, Lane::Interactive), (1, nth), alive);
            queue.enter(ticket(2, Lane::Bulk), (2, nth), alive);
            queue.enter(ticket(3, Lane::Probe), (3, nth), alive);
        }
        let order = drain(&queue);
        let first: Vec<_> = order.iter().take(24).collect();
        for (tenant, share) in [(1, 16), (2, 6), (3, 2)] {
            assert_eq!(first.iter().filter(|(of, _)| *of == tenant).count(), share, "tenant {tenant}");
        }
        assert_eq!(order.len(), 240);
    }

    #[test]
    fn what_costs_more_comes_as_much_more_rarely() {
        let queue = Queue::new(1_000);
        for nth in 0..40 {
            let dear = Ticket { cost: 8, ..ticket(1, Lane::Interactive) };
            queue.enter(dear, (1, nth), alive);
            queue.enter(ticket(2, Lane::Interactive), (2, nth), alive);
        }
        let order = drain(&queue);
        let dear = order.iter().take(36).filter(|(of, _)| *of == 1).count();
        assert_eq!(dear, 4, "{order:?}");
        assert_eq!(order.len(), 80);
    }

    #[test]
    fn a_full_queue_takes_from_the_longest_line() {
        let queue = Queue::new(4);
        for nth in 0..4 {
            assert_eq!(queue.enter(ticket(1, Lane::Bulk), (1, nth), alive), Entered::Waits);
        }
        assert_eq!(queue.enter(ticket(1, Lane::Bulk), (1, 4), alive), Entered::Full((1, 4)));
        assert_eq!(queue.enter(ticket(2, Lane::Interactive), (2, 0), alive), Entered::Instead((1, 3)));
        assert_eq!(queue.enter(ticket(2, Lane::Interactive), (2, 1), alive), Entered::Instead((1, 2)));
        // Two each: nobody has more than his share.
        assert_eq!(queue.enter(ticket(2, Lane::Interactive), (2, 2), alive), Entered::Full((2, 2)));
        assert_eq!(queue.enter(ticket(0, Lane::Probe), (0, 0), alive), Entered::Waits);
        assert_eq!(queue.len(), 5);
        let mut left = drain(&queue);
        left.sort_unstable();
        assert_eq!(left, [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]);
    }

    #[test]
    fn the_dead_make_room_and_the_living_keep_their_order() {
        let queue = Queue::new(4);
        for nth in 0..4 {
            queue.enter(ticket(u64::from(nth % 2), Lane::Interactive), (1, nth), alive);
        }
        let odd = |(_, nth): &(u64, u32)| nth % 2 == 1;
        assert_eq!(queue.enter(ticket(0, Lane::Bulk), (1, 4), odd), Entered::Waits);
        assert_eq!(queue.len(), 3);
        assert_eq!(drain(&queue), [(1, 0), (1, 2), (1, 4)]);
    }

    #[test]
    fn the_wait_is_foreseen_by_tenant_and_sessions() {
        let queue = Queue::new(1_000);
        let light = ticket(2, Lane::Interactive);
        assert_eq!(queue.expected(light, 1), Duration::ZERO);
        queue.took(Kind::Other, Duration::from_millis(16));
        for nth in 0..100 {
            queue.enter(ticket(1, Lane::Interactive), (1, nth), alive);
        }
        assert_eq!(queue.expected(ticket(1, Lane::Interactive), 1), Duration::from_millis(1_600));
        assert_eq!(queue.expected(ticket(1, Lane::Interactive), 4), Duration::from_millis(400));
        assert_eq!(queue.expected(light, 1), Duration::from_millis(32));
        assert_eq!(queue.expected(ticket(0, Lane::Probe), 1), Duration::ZERO);
    }

    #[test]
    fn a_closed_queue_gives_back_what_waits_and_lets_the_workers_go() {
        let queue = std::sync::Arc::new(Queue::new(4));
        let worker = thread::spawn({
            let queue = std::sync::Arc::clone(&queue);
            move || queue.take(&mut Shift::default(), Duration::from_secs(600))
        });
        assert_eq!(queue.close(), Vec::<u32>::new());
        assert_eq!(worker.join().unwrap(), Taken::Closed);
        assert_eq!(queue.enter(ticket(1, Lane::Bulk), 7, alive), Entered::Closed(7));
    }

    /// A worker that was counted on does not come back: whoever watches takes what waits, and wakes others for the rest.
    #[test]
    fn what_waits_behind_a_long_call_is_taken_by_others() {
        let queue = std::sync::Arc::new(Queue::new(200));
        let brisk = Ticket { kind: Kind::Cipher, ..ticket(1, Lane::Interactive) };
        let (taken, takes) = std::sync::mpsc::channel();
        let gate = std::sync::Arc::new(Mutex::new(()));
        let shut = gate.lock();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (queue, taken) = (std::sync::Arc::clone(&queue), taken.clone());
                let gate = std::sync::Arc::clone(&gate);
                thread::spawn(move || {
                    let mut shift = Shift::default();
                    loop {
                        let nth = match queue.take(&mut shift, Duration::from_secs(1)) {
                            Taken::Entry(nth) => nth,
                            Taken::Nothing => continue,
                            Taken::Closed => break,
                        };
                        queue.took(Kind::Cipher, Duration::from_micros(3));
                        taken.send((nth, thread::current().id())).unwrap();
                        if nth == 50 {
                            // Longer than anybody expects.
                            drop(gate.lock());
                        }
                    }
                })
            })
            .collect();
        for nth in 0..=100 {
            assert_eq!(queue.enter(brisk, nth, alive), Entered::Waits, "{nth}");
        }
        let order: Vec<_> = (0..=100).map(|_| takes.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
        let (_, held) = order.iter().find(|(nth, _)| *nth == 50).unwrap();
        assert_eq!(order.iter().filter(|(nth, of)| *nth > 50 && of == held).count(), 0);
        drop(shut);
        queue.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    }
}
