//! The device behind the module: how many operations it does at once, how long they take, how many a second.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use cryptoki_sys::CK_MECHANISM_TYPE;
use parking_lot::{Condvar, Mutex};

use crate::{
    config::Config,
    core::names::Function,
    crypto,
    fault::{Delay, is_match, random},
};

/// The device of one initialised module.
pub(crate) struct Device {
    is_ideal: bool,
    engines: u32,
    busy: Mutex<u32>,
    freed: Condvar,
    latency: Vec<(&'static str, Delay)>,
    turn: AtomicU64,
    throughput: Vec<Cap>,
    began: Instant,
}

/// So many operations a second.
struct Cap {
    pattern: String,
    interval: Duration,
    /// Since the device began: when the next operation may start.
    next: Mutex<Duration>,
}

/// An engine that works on an operation; free again when dropped.
pub(crate) struct Engine<'d>(Option<&'d Device>);

/// How far the 99th percentile of an operation's time is above its median.
const TAIL: f64 = 2.5;

impl Device {
    /// Whether operations take no time of their own and never wait.
    pub(super) fn is_ideal(config: &Config) -> bool {
        let limits = &config.limits;
        (config.model().latency.is_empty() || !config.simulate_latency)
            && limits.concurrency == 0
            && limits.throughput.is_empty()
            && !limits.op_serial
            && limits.slow_start.0.is_zero()
    }

    pub(crate) fn new(config: &Config) -> Self {
        let latency = if config.simulate_latency { config.model().latency } else { &[] };
        let limits = &config.limits;
        let caps = limits.throughput.iter().filter(|(_, rate)| **rate > 0.0).map(|(pattern, rate)| Cap {
            pattern: pattern.clone(),
            interval: Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX),
            next: Mutex::new(Duration::ZERO),
        });
        Self {
            is_ideal: Self::is_ideal(config),
            engines: if limits.op_serial { 1 } else { limits.concurrency },
            busy: Mutex::new(0),
            freed: Condvar::new(),
            latency: latency
                .iter()
                .map(|(pattern, p50)| (*pattern, Delay::lognormal(*p50, p50 * TAIL, p50 * TAIL * 4.0)))
                .collect(),
            turn: AtomicU64::new(0),
            throughput: caps.collect(),
            began: Instant::now(),
        }
    }

    /// Waits for an engine and for the time that the operation takes; the engine is busy until the answer is dropped.
    pub(crate) fn work(&self, function: Function, mechanism: Option<CK_MECHANISM_TYPE>) -> Engine<'_> {
        if self.is_ideal || !is_work(function) {
            return Engine(None);
        }
        let name = mechanism.and_then(crypto::mechanism).map_or("", |info| info.name);
        for cap in self.throughput.iter().filter(|cap| is_match(&cap.pattern, name)) {
            std::thread::sleep(cap.wait(self.began.elapsed()));
        }
        let engine = self.take();
        if let Some((_, delay)) = self.latency.iter().find(|(pattern, _)| is_match(pattern, name)) {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
            std::thread::sleep(delay.draw([random(1, turn), random(2, turn)], turn));
        }
        engine
    }

    fn take(&self) -> Engine<'_> {
        if self.engines == 0 {
            return Engine(None);
        }
        let mut busy = self.busy.lock();
        while *busy >= self.engines {
            self.freed.wait(&mut busy);
        }
        *busy += 1;
        Engine(Some(self))
    }
}

impl Cap {
    /// How long an operation that comes now has to wait for its turn.
    fn wait(&self, now: Duration) -> Duration {
        let mut next = self.next.lock();
        let start = (*next).max(now);
        *next = start.saturating_add(self.interval);
        start - now
    }
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        if let Some(device) = self.0 {
            *device.busy.lock() -= 1;
            device.freed.notify_one();
        }
    }
}

/// Whether a function makes the device work, as opposed to asking or preparing something.
fn is_work(function: Function) -> bool {
    const WORK: &[&str] = &[
        "C_Login",
        "C_CreateObject",
        "C_CopyObject",
        "C_DestroyObject",
        "C_SetAttributeValue",
        "C_FindObjectsInit",
        "C_Encrypt",
        "C_EncryptUpdate",
        "C_EncryptFinal",
        "C_EncryptMessage*",
        "C_Decrypt",
        "C_DecryptUpdate",
        "C_DecryptFinal",
        "C_DecryptMessage*",
        "C_Sign",
        "C_SignFinal",
        "C_Verify",
        "C_VerifyFinal",
        "C_VerifySignature",
        "C_VerifySignatureFinal",
        "C_Generate*",
        "C_Wrap*",
        "C_Unwrap*",
        "C_DeriveKey",
        "C_*capsulateKey",
    ];
    WORK.iter().any(|pattern| is_match(pattern, function.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_gives_out_turns_at_its_rate() {
        let cap = Cap { pattern: String::new(), interval: Duration::from_millis(10), next: Mutex::default() };
        let waits = [0, 0, 0, 100].map(|now| cap.wait(Duration::from_millis(now)).as_millis());
        assert_eq!(waits, [0, 10, 20, 0]);
    }

    #[test]
    fn engines_are_as_many_as_there_are() {
        let mut config = Config::default();
        config.limits.concurrency = 2;
        let device = Device::new(&config);
        let first = device.work(Function::Sign, None);
        let second = device.work(Function::Sign, None);
        assert_eq!(*device.busy.lock(), 2);
        assert!(device.work(Function::GetInfo, None).0.is_none());
        std::thread::scope(|scope| {
            let third = scope.spawn(|| drop(device.work(Function::Sign, None)));
            drop(first);
            third.join().unwrap();
        });
        drop(second);
        assert_eq!(*device.busy.lock(), 0);
    }
}
