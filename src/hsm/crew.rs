//! Which workers of a token rest, and when one of them is woken.
//!
//! To wake a thread costs more than a short call takes, so an entry wakes nobody as long as those who are awake will have done
//! it in a moment. That is only a guess. So while workers are spared, one of those who rest watches: it looks every two
//! milliseconds, and when nothing was taken meanwhile though something waits, the guess was wrong; then all are woken whom
//! the queue has work for. The one that has rested for the shortest time is woken first, as its session and its stack are still
//! in the processor's caches.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread::{self, Thread, ThreadId},
    time::Duration,
};

/// What is asked of a session, as far as it says how long that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// With a secret key.
    Cipher,
    /// With a private key of an elliptic curve.
    Curve,
    /// With a private RSA key.
    Rsa,
    /// With a public key.
    Public,
    /// A value leaves the token.
    Reveal,
    /// Anything else: nothing is known of it.
    Other,
}

/// How many [`Kind`]s there are.
const KINDS: usize = 6;

/// So long may an entry wait for those who are awake. Measured with calls of 3 and 17 µs: less saves fewer changes of threads, more
/// saves hardly any and makes who is served late wait longer.
const MOMENT: Duration = Duration::from_micros(40);
/// What calls are believed to take after a guess was wrong.
const DOUBTFUL: Duration = Duration::from_millis(1);
/// How often the one that watches looks.
pub(super) const WATCH: Duration = Duration::from_millis(2);
/// After so many looks at a queue where nothing happens nobody watches any more.
const QUIET: u32 = 10;

/// What calls of each kind have taken lately, in nanoseconds; 0 is not known.
#[derive(Default)]
pub(super) struct Usual([AtomicU64; KINDS]);

impl Usual {
    fn of(&self, kind: Kind) -> Option<Duration> {
        let nanos = self.0.get(kind as usize).filter(|_| kind != Kind::Other)?.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// A call has taken that long: a moving average over about sixteen. One that was kept from its processor counts four times
    /// what is usual at most.
    pub(super) fn took(&self, kind: Kind, took: Duration) {
        let Some(usual) = self.0.get(kind as usize) else { return };
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let old = usual.load(Ordering::Relaxed);
        let next = if old == 0 { took } else { old - old / 16 + took.min(old.saturating_mul(4)) / 16 };
        usual.store(next.max(1), Ordering::Relaxed);
    }

    /// A guess was wrong: until calls were quick again, nobody waits for a worker that is awake.
    fn doubt(&self) {
        let doubtful = u64::try_from(DOUBTFUL.as_nanos()).unwrap_or(u64::MAX);
        for usual in &self.0 {
            if usual.load(Ordering::Relaxed) > 0 {
                usual.fetch_max(doubtful, Ordering::Relaxed);
            }
        }
    }
}

/// What a worker does, for the crew's count.
#[derive(Debug, Default)]
pub(super) struct Shift {
    doing: Option<Doing>,
}

#[derive(Clone, Copy, Debug)]
struct Doing {
    /// The round in which it was counted.
    round: u64,
    is_short: bool,
}

/// A worker that rests.
struct Resting {
    thread: Thread,
    watches: bool,
}

/// The workers of a token. Locked with the queue.
#[derive(Default)]
pub(super) struct Crew {
    /// The last one has rested for the shortest time.
    resting: Vec<Resting>,
    /// Somebody watches.
    is_watched: bool,
    /// Workers that are awake and will be free in a moment.
    brisk: usize,
    /// How often the counts began anew.
    round: u64,
    /// Entries taken until now.
    taken: u64,
    /// How many were taken when the last one stopped watching.
    quiet_at: u64,
}

/// Why a worker that rested is up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Up {
    /// Somebody has called it.
    Called,
    /// Its time is over, or no reason at all.
    Itself,
}

/// What the one that watches sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Entries are taken, or none came a moment ago.
    Fine,
    /// Nothing happens: nobody has to watch.
    Quiet,
    /// Something waits, and nothing is taken.
    Stalled,
}

/// What the one that watches has seen.
#[derive(Debug, Default)]
pub(super) struct Watch {
    taken: u64,
    quiet: u32,
}

impl Crew {
    /// Whom to wake for an entry of that kind, when so many wait with it.
    pub(super) fn call_for(&mut self, kind: Kind, waiting: usize, usual: &Usual) -> Option<Thread> {
        if self.is_watched && !self.needs_another(usual.of(kind), waiting) {
            return None;
        }
        self.call()
    }

    fn needs_another(&self, usual: Option<Duration>, waiting: usize) -> bool {
        let Some(usual) = usual.filter(|usual| *usual <= MOMENT) else { return true };
        let ahead = u32::try_from(waiting + self.brisk).unwrap_or(u32::MAX);
        usual.saturating_mul(ahead) > MOMENT.saturating_mul(u32::try_from(self.brisk).unwrap_or(u32::MAX))
    }

    /// Wakes whoever has rested for the shortest time, and counts on it from now on.
    pub(super) fn call(&mut self) -> Option<Thread> {
        let called = self.resting.pop()?;
        if called.watches {
            self.is_watched = false;
        }
        self.brisk += 1;
        Some(called.thread)
    }

    /// A worker looks for work.
    pub(super) fn looks(&mut self, shift: &mut Shift) {
        self.ends(shift);
        self.counts(shift, true);
    }

    /// A worker has taken an entry of that kind.
    pub(super) fn takes(&mut self, shift: &mut Shift, kind: Kind, usual: &Usual) {
        self.taken = self.taken.wrapping_add(1);
        self.ends(shift);
        self.counts(shift, usual.of(kind).is_some_and(|usual| usual <= MOMENT));
    }

    fn counts(&mut self, shift: &mut Shift, is_short: bool) {
        self.brisk += usize::from(is_short);
        shift.doing = Some(Doing { round: self.round, is_short });
    }

    /// A worker does nothing any more.
    pub(super) fn ends(&mut self, shift: &mut Shift) {
        if let Some(done) = shift.doing.take().filter(|done| done.round == self.round) {
            self.brisk = self.brisk.saturating_sub(usize::from(done.is_short));
        }
    }

    /// A worker rests: whether it is to watch meanwhile.
    pub(super) fn rests(&mut self, shift: &mut Shift) -> Option<Watch> {
        self.ends(shift);
        let watches = !self.is_watched && self.taken != self.quiet_at;
        let resting = Resting { thread: thread::current(), watches };
        if watches {
            // Whoever watches is called last.
            self.is_watched = true;
            self.resting.insert(0, resting);
        } else {
            self.resting.push(resting);
        }
        watches.then_some(Watch { taken: self.taken, quiet: 0 })
    }

    /// A worker is up again; unless it was called, it rests on.
    pub(super) fn is_up(&self, thread: ThreadId, shift: &mut Shift) -> Up {
        if self.resting.iter().any(|resting| resting.thread.id() == thread) {
            return Up::Itself;
        }
        shift.doing = Some(Doing { round: self.round, is_short: true });
        Up::Called
    }

    /// A worker gets up without having been called.
    pub(super) fn gets_up(&mut self, thread: ThreadId, shift: &mut Shift) {
        if let Some(at) = self.resting.iter().position(|resting| resting.thread.id() == thread) {
            let resting = self.resting.remove(at);
            self.is_watched &= !resting.watches;
            self.counts(shift, true);
        }
    }

    /// Looks at a queue in which so many wait.
    pub(super) fn watches(&mut self, watch: &mut Watch, waiting: usize) -> Seen {
        if self.taken != watch.taken {
            *watch = Watch { taken: self.taken, quiet: 0 };
            return Seen::Fine;
        }
        if waiting > 0 {
            return Seen::Stalled;
        }
        watch.quiet += 1;
        if watch.quiet < QUIET {
            return Seen::Fine;
        }
        self.is_watched = false;
        self.resting.iter_mut().for_each(|resting| resting.watches = false);
        self.quiet_at = self.taken;
        Seen::Quiet
    }

    /// The one that watches gets up, because the guess was wrong: whoever is at work needs longer than was thought and is not
    /// counted on. It takes one of those that wait, and this is who is woken for the others.
    pub(super) fn steps_in(
        &mut self,
        thread: ThreadId,
        shift: &mut Shift,
        waiting: usize,
        usual: &Usual,
    ) -> Vec<Thread> {
        self.round = self.round.wrapping_add(1);
        self.brisk = 0;
        usual.doubt();
        self.gets_up(thread, shift);
        (1..waiting).map_while(|_| self.call()).collect()
    }

    /// Everybody who rests.
    pub(super) fn everybody(&mut self) -> Vec<Thread> {
        self.is_watched = false;
        self.resting.drain(..).map(|resting| resting.thread).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crew of two: one has taken an entry, one rests and watches.
    fn crew(usual: Duration) -> (Crew, Shift, Shift, Usual) {
        let (mut crew, known) = (Crew::default(), Usual::default());
        known.took(Kind::Cipher, usual);
        let (mut first, mut second) = (Shift::default(), Shift::default());
        crew.looks(&mut second);
        crew.takes(&mut second, Kind::Cipher, &known);
        assert!(crew.rests(&mut second).is_some(), "nobody watches");
        crew.looks(&mut first);
        crew.takes(&mut first, Kind::Cipher, &known);
        (crew, first, second, known)
    }

    #[test]
    fn a_worker_that_is_free_in_a_moment_is_waited_for() {
        let (mut crew, mut first, _, usual) = crew(Duration::from_micros(5));
        assert!(crew.call_for(Kind::Cipher, 1, &usual).is_none());
        assert!(crew.call_for(Kind::Cipher, 7, &usual).is_none());
        // So many would wait too long.
        assert!(crew.needs_another(usual.of(Kind::Cipher), 8));
        // Nothing is known of the other.
        assert!(crew.needs_another(usual.of(Kind::Rsa), 1));
        crew.ends(&mut first);
        assert!(crew.call_for(Kind::Cipher, 1, &usual).is_some(), "nobody is awake");
    }

    #[test]
    fn long_calls_and_those_nothing_is_known_of_are_not_waited_for() {
        let (crew, ..) = crew(Duration::from_micros(5));
        assert!(crew.needs_another(Some(Duration::from_micros(300)), 1));
        assert!(crew.needs_another(None, 1));
    }

    #[test]
    fn whoever_watches_steps_in_when_nothing_is_taken() {
        let (mut crew, mut first, mut second, usual) = crew(Duration::from_micros(5));
        let mut watch = Watch { taken: crew.taken, quiet: 0 };
        assert_eq!(crew.watches(&mut watch, 0), Seen::Fine);
        assert_eq!(crew.watches(&mut watch, 1), Seen::Stalled);
        let others = crew.steps_in(thread::current().id(), &mut second, 1, &usual);
        assert!(others.is_empty());
        assert_eq!((crew.brisk, crew.is_watched), (1, false));
        // Whoever comes back from a long call is not counted twice, and for a while nobody is waited for.
        crew.ends(&mut first);
        assert_eq!(crew.brisk, 1);
        assert!(crew.needs_another(usual.of(Kind::Cipher), 1));
        (0..100).for_each(|_| usual.took(Kind::Cipher, Duration::from_micros(5)));
        assert!(!crew.needs_another(usual.of(Kind::Cipher), 1));
    }

    #[test]
    fn nobody_watches_a_quiet_queue() {
        let (mut crew, _, _, usual) = crew(Duration::from_micros(5));
        let mut watch = Watch { taken: crew.taken, quiet: 0 };
        assert!((1..QUIET).all(|_| crew.watches(&mut watch, 0) == Seen::Fine));
        assert_eq!(crew.watches(&mut watch, 0), Seen::Quiet);
        assert!(crew.call_for(Kind::Cipher, 1, &usual).is_some(), "nobody would see that the guess is wrong");
    }
}
