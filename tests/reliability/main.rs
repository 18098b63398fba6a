//! What the gateway promises when things go wrong, one row of `docs/reliability.md` a file.
//!
//! Each row runs the built program against simulated tokens, checks every answer, and prints its figures in one line that
//! begins with `figures`. The short forms run by default; `LONG=1` runs the forms whose figures the page states. `SEED` sets
//! the random decisions. Rows run one after the other, because they share the machine.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in tests a panic is the answer")]

mod clients;
mod damage;
mod disk;
mod failover;
mod flood;
mod full;
mod hang;
mod pair;
mod pin;
mod power;
mod removed;
mod sessions;
mod simulate;
mod soak;

use std::{
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use portcullis_testing::{Gateway, PATIENCE, Rest};
use tokio::sync::{Mutex, MutexGuard};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

/// One row at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ROW: Mutex<()> = Mutex::const_new(());
    // Installs what every later client of HTTP needs.
    drop(Rest::new("http://127.0.0.1", "demo"));
    ROW.lock().await
}

/// Whether the long forms are asked for.
fn is_long() -> bool {
    ["LONG", "PORTCULLIS_LONG"].iter().any(|name| env::var(name).is_ok_and(|it| !it.is_empty()))
}

/// The number in a variable of the environment.
fn asked(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// The long form's number, or the short one's.
fn size(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Where the random decisions of a row begin: `SEED`, or always the same.
fn seed() -> u64 {
    asked("SEED").unwrap_or(1)
}

/// Small random numbers by SplitMix64.
#[derive(Clone, Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// The time that so many of a hundred did not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Waits for something that comes in the end.
async fn until(what: &str, gateway: &Gateway, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "never: {what}; it said: {}", tail(&gateway.log()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// The end of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// The sum of a metric's values in the lines that hold all these words.
async fn metric(gateway: &Gateway, name: &str, words: &[&str]) -> f64 {
    let text = reqwest::get(format!("{}/metrics", gateway.ops())).await.unwrap().text().await.unwrap();
    let begins = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let lines = text.lines().filter(begins).filter(|line| words.iter().all(|word| line.contains(word)));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Whether it says that it is ready.
async fn is_ready(gateway: &Gateway) -> bool {
    reqwest::get(format!("{}/readyz", gateway.ops())).await.is_ok_and(|answer| answer.status() == 200)
}

/// Memory of a process now, in MiB.
fn memory(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

/// Open descriptors of a process.
fn descriptors(gateway: &Gateway) -> usize {
    fs::read_dir(Path::new("/proc").join(gateway.pid().to_string()).join("fd")).unwrap().count()
}
