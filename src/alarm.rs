//! Time-outs that are hardly ever reached, at the price of a comparison.
//!
//! A time-out that begins with each request and ends with its answer would be put into the runtime's timer and taken out again
//! each time, under the timer's lock. [`Alarms`] keep the timers that were set for earlier requests: whoever waits takes one
//! that goes off before his own time is over, and only when it does is it set anew. So no time-out is late, and a timer is
//! set once in the length of a time-out and not once a request.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    runtime::{self, Handle},
    time::{Sleep, sleep_until},
};

/// Timers that are kept for the next who waits.
const KEPT_MAX: usize = 64;
/// For a time-out that no clock can express.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Timers that are set already. Clones share them.
#[derive(Clone, Default)]
pub struct Alarms(Arc<Mutex<Vec<Timer>>>);

/// A timer of one runtime.
struct Timer {
    of: runtime::Id,
    sleep: Pin<Box<Sleep>>,
}

impl Alarms {
    /// Waits for the future, but not longer than `limit` from when it is first asked.
    pub async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        unless(future, || self.after(limit)).await
    }

    /// The same up to a point in time.
    pub async fn until<F: Future>(&self, due: Instant, future: F) -> Option<F::Output> {
        unless(future, || self.at(due)).await
    }

    /// Goes off after so long.
    #[must_use]
    pub fn after(&self, limit: Duration) -> Alarm {
        let now = Instant::now();
        self.at(now.checked_add(limit).unwrap_or(now + FAR))
    }

    /// Goes off then.
    #[must_use]
    pub fn at(&self, due: Instant) -> Alarm {
        Alarm { alarms: self.clone(), due, timer: None }
    }

    fn take(&self, due: Instant) -> Timer {
        let of = Handle::current().id();
        // One of a runtime that has ended never goes off.
        let kept = self.0.lock().pop().filter(|kept| kept.of == of);
        kept.unwrap_or_else(|| Timer { of, sleep: Box::pin(sleep_until(due.into())) })
    }
}

/// The future's output, unless the alarm goes off first. What is there at once needs neither clock nor timer.
async fn unless<F: Future>(future: F, set: impl Fn() -> Alarm) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut alarm = None;
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        Pin::new(alarm.get_or_insert_with(&set)).poll(cx).map(|()| None)
    })
    .await
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarms").finish_non_exhaustive()
    }
}

/// Ready when its time has come, never before.
#[derive(Debug)]
pub struct Alarm {
    alarms: Alarms,
    due: Instant,
    timer: Option<Timer>,
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { alarms, due, timer } = &mut *self;
        let sleep = &mut timer.get_or_insert_with(|| alarms.take(*due)).sleep;
        let due = (*due).into();
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            // It was set for somebody before us.
            sleep.as_mut().reset(due);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            let mut kept = self.alarms.0.lock();
            if kept.len() < KEPT_MAX {
                kept.push(timer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn one_timer_serves_time_outs_of_all_lengths() {
        let alarms = Alarms::default();
        assert_eq!(alarms.within(LONG, ready(1)).await, Some(1));
        assert!(alarms.0.lock().is_empty(), "a timer for what was there at once");
        for limit in [SHORT, 2 * SHORT, SHORT] {
            let began = Instant::now();
            assert_eq!(alarms.within(limit, pending::<()>()).await, None);
            assert!(began.elapsed() >= limit, "too early");
            assert_eq!(alarms.0.lock().len(), 1);
        }
        // One that goes off too early, and one that would go off too late.
        assert_eq!(alarms.within(LONG, tokio::time::sleep(3 * SHORT)).await, Some(()));
        assert_eq!(alarms.within(LONG, async { tokio::task::yield_now().await }).await, Some(()));
        assert_eq!(alarms.within(SHORT, pending::<()>()).await, None);
        assert_eq!(alarms.until(Instant::now() + SHORT, pending::<()>()).await, None);
        assert_eq!(alarms.within(Duration::MAX, tokio::time::sleep(SHORT)).await, Some(()));
        assert_eq!(alarms.0.lock().len(), 1);
        // Two at a time are two timers, and both are kept.
        assert_eq!(tokio::join!(alarms.after(SHORT), alarms.after(SHORT)), ((), ()));
        assert_eq!(alarms.0.lock().len(), 2);
    }

    #[test]
    fn a_timer_of_a_runtime_that_has_ended_is_not_waited_for() {
        let alarms = Alarms::default();
        for _ in 0..2 {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            assert_eq!(runtime.block_on(alarms.within(SHORT, pending::<()>())), None);
        }
    }
}
