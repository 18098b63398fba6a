//! The closed loop: each connection sends its next request when the answer to the last one is there.
//!
//! So the number of connections is the number of requests under way, and a slow server is asked less often: latencies
//! here are those of a server that is as busy as these connections can make it, not of one at a given rate of arrivals.
//! What ends inside the measured window counts, so a window always has as many seconds as it says.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    process::{self, Server},
    stats::{Failure, Measured, Tally, ratio},
    transport::Traffic,
};

/// One connection that can do one thing again and again.
pub(crate) trait Client: Send + 'static {
    /// Does it once and checks the answer.
    fn once(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The bytes of its present connection.
    fn traffic(&self) -> &Traffic;

    /// Replaces a connection that broke.
    fn reconnect(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// When the request was sent whose answer came last, where several are under way.
    fn begun(&self) -> Option<Instant> {
        None
    }

    /// Takes the answers that are still to come.
    fn finish(&mut self) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }
}

/// How long, and when to give up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
    /// The longest a request may take before it counts as failed and its connection is replaced.
    pub(crate) timeout: Duration,
}

/// What is measured, and of whom.
pub(crate) struct Subject {
    pub(crate) protocol: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) server: Option<Server>,
    /// Where the gateway's metrics are.
    pub(crate) ops: Option<SocketAddr>,
    /// Requests under way on each connection.
    pub(crate) in_flight: usize,
    /// Items of each request.
    pub(crate) items: usize,
}

impl Subject {
    /// One request at a time of one item, of a server without metrics.
    pub(crate) const fn new(protocol: &'static str, operation: &'static str, server: Option<Server>) -> Self {
        Self { protocol, operation, server, ops: None, in_flight: 1, items: 1 }
    }
}

/// What the connections tell while they run.
#[derive(Default)]
struct Live {
    completed: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

/// A result, and the connections for those who have to clean up.
pub(crate) struct Driven<C> {
    pub(crate) measured: Measured,
    pub(crate) clients: Vec<C>,
    /// Whether somebody pressed Ctrl-C.
    pub(crate) interrupted: bool,
}

/// Runs every client until the plan is over or somebody interrupts it.
///
/// # Errors
///
/// When the processor times cannot be read; requests that fail are counted instead.
pub(crate) async fn drive<C: Client>(clients: Vec<C>, plan: Plan, subject: Subject) -> anyhow::Result<Driven<C>> {
    let connections = clients.len();
    let live = Arc::new(Live::default());
    let start = Instant::now() + plan.warmup;
    let end = start + plan.measured;
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(repeat(client, start, end, plan.timeout, Arc::clone(&live)));
    }

    let mut interrupted = tokio::select! {
        () = sleep_until(start) => false,
        pressed = tokio::signal::ctrl_c() => pressed.is_ok(),
    };
    let syncs = syncs(&subject).await;
    let usage = process::usage(subject.server)?;
    while !interrupted && Instant::now() < end {
        interrupted = tokio::select! {
            () = sleep_until(end.min(Instant::now() + PROGRESS)) => false,
            pressed = tokio::signal::ctrl_c() => pressed.is_ok(),
        };
        progress(&subject, connections, &live, start.elapsed());
    }
    live.stop.store(true, Relaxed);
    let elapsed = Instant::now().min(end).saturating_duration_since(start);
    let usage_after = process::usage(subject.server)?;
    let server_rss = subject.server.map(process::resident_bytes).transpose()?;
    let syncs_after = self::syncs(&subject).await;

    let mut all = Tally::new();
    let mut clients = Vec::with_capacity(connections);
    while let Some(done) = tasks.join_next().await {
        let (client, tally) = done.context("a connection's task panicked")?;
        clients.push(client);
        all.merge(tally);
    }
    let completed = all.completed();
    let (sent, received) = all.bytes;
    let measured = Measured {
        protocol: subject.protocol,
        operation: subject.operation,
        connections,
        in_flight: subject.in_flight,
        items: subject.items,
        elapsed,
        completed,
        latency: all.latency(),
        errors: all.errors,
        request_bytes: ratio(sent as f64, completed as f64),
        answer_bytes: ratio(received as f64, completed as f64),
        client_cpu: usage_after.client.saturating_sub(usage.client),
        server_cpu: usage_after.server.zip(usage.server).map(|(now, then)| now.saturating_sub(then)),
        server_rss,
        syncs: syncs_after.zip(syncs).map(|(now, then)| now.saturating_sub(then)),
    };
    Ok(Driven { measured, clients, interrupted })
}

async fn repeat<C: Client>(
    mut client: C,
    start: Instant,
    end: Instant,
    patience: Duration,
    live: Arc<Live>,
) -> (C, Tally) {
    let mut tally = Tally::new();
    while !live.stop.load(Relaxed) {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        let before = client.traffic().bytes();
        let result = timeout(patience, client.once()).await;
        let ended = Instant::now();
        match result.unwrap_or_else(|_elapsed| Err(Failure::broken(LATE))) {
            Ok(()) if (start..end).contains(&ended) && !live.stop.load(Relaxed) => {
                let after = client.traffic().bytes();
                tally.record(ended - client.begun().unwrap_or(begun), (after.0 - before.0, after.1 - before.1));
                live.completed.fetch_add(1, Relaxed);
            }
            Ok(()) => {}
            Err(failure) => {
                let breaks = failure.breaks;
                tally.fail(failure);
                live.failed.fetch_add(1, Relaxed);
                if breaks {
                    sleep(PAUSE).await;
                    let again = timeout(patience, client.reconnect()).await;
                    if let Err(failure) = again.unwrap_or_else(|_elapsed| Err(Failure::broken("no connection in time")))
                    {
                        tally.fail(failure);
                    }
                }
            }
        }
    }
    if let Err(failure) = timeout(patience, client.finish()).await.unwrap_or_else(|_elapsed| Err(Failure::broken(LATE)))
    {
        tally.fail(failure);
    }
    (client, tally)
}

/// How often the gateway has waited for the disk so far. A gateway without that metric is measured all the same.
async fn syncs(subject: &Subject) -> Option<u64> {
    let mut stream = TcpStream::connect(subject.ops?).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let rows = text.lines().filter(|line| line.starts_with("portcullis_syncs_total{"));
    rows.map(|row| row.rsplit(' ').next()?.parse::<u64>().ok())
        .sum::<Option<u64>>()
        .filter(|_| text.contains("_syncs_"))
}

fn progress(subject: &Subject, connections: usize, live: &Live, elapsed: Duration) {
    let (completed, failed) = (live.completed.load(Relaxed), live.failed.load(Relaxed));
    let rate = ratio(completed as f64, elapsed.as_secs_f64());
    let seconds = elapsed.as_secs_f64();
    let Subject { protocol, operation, .. } = subject;
    say(&format!("{protocol} {operation} x{connections}: {seconds:4.1} s, {rate:8.0} requests/s, {failed} failed"));
}

/// One line that is written over again, for people only.
pub(crate) fn say(line: &str) {
    let mut out = io::stderr().lock();
    if out.is_terminal() {
        // Whether the line can be shown or not changes nothing about the measurement.
        let _shown = write!(out, "\r{line} \x1b[K").and_then(|()| io::Write::flush(&mut out));
    }
}

/// Clears the progress line.
pub(crate) fn clear_progress() {
    let mut out = io::stderr().lock();
    if out.is_terminal() {
        let _shown = write!(out, "\r\x1b[K");
    }
}

const LATE: &str = "no answer in time";

const PROGRESS: Duration = Duration::from_millis(500);

/// Before a broken connection is replaced, so that a server that is gone is not hammered.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a fixed time, fails every tenth time, breaks every hundredth.
    struct Scripted {
        turn: u64,
        reconnected: u64,
        takes: Duration,
        traffic: Traffic,
    }

    impl Client for Scripted {
        async fn once(&mut self) -> Result<(), Failure> {
            self.turn += 1;
            sleep(self.takes).await;
            match self.turn {
                turn if turn.is_multiple_of(100) => Err(Failure::broken("broken")),
                turn if turn.is_multiple_of(10) => Err(Failure::refused("refused")),
                _ => Ok(()),
            }
        }

        fn traffic(&self) -> &Traffic {
            &self.traffic
        }

        async fn reconnect(&mut self) -> Result<(), Failure> {
            self.reconnected += 1;
            Ok(())
        }
    }

    const SUBJECT: Subject = Subject::new("test", "sleep", None);

    #[tokio::test]
    async fn the_rate_is_what_the_clients_can_do_and_failures_are_kept_apart() {
        let clients = (0..4)
            .map(|_| Scripted { turn: 0, reconnected: 0, takes: Duration::from_millis(2), traffic: Traffic::default() })
            .collect();
        let plan = Plan {
            warmup: Duration::from_millis(100),
            measured: Duration::from_millis(900),
            timeout: Duration::from_secs(5),
        };
        let driven = drive(clients, plan, SUBJECT).await.unwrap();
        let measured = driven.measured;
        let turns: u64 = driven.clients.iter().map(|client| client.turn).sum();
        let broken = *measured.errors.get("broken").unwrap_or(&0);
        let reconnected: u64 = driven.clients.iter().map(|client| client.reconnected).sum();
        assert_eq!((broken, driven.interrupted), (reconnected, false));
        assert!(measured.completed > 0 && measured.completed + measured.failed() <= turns, "{measured:?}, {turns}");
        // Four requests under way, two milliseconds or more each, nine of ten successful: 1800 a second at most.
        assert!(measured.rate() <= 1900.0, "{}", measured.rate());
        assert!(measured.latency.p50 >= Duration::from_micros(1990), "{:?}", measured.latency);
        assert_eq!(measured.elapsed, plan.measured);
    }

    #[tokio::test]
    async fn a_request_that_never_ends_is_given_up() {
        let plan =
            Plan { warmup: Duration::ZERO, measured: Duration::from_millis(300), timeout: Duration::from_millis(100) };
        let client =
            Scripted { turn: 0, reconnected: 0, takes: Duration::from_secs(3600), traffic: Traffic::default() };
        let driven = drive(vec![client], plan, SUBJECT).await.unwrap();
        assert_eq!(driven.measured.completed, 0);
        assert!(driven.measured.errors.get("no answer in time").is_some_and(|count| *count >= 1));
        assert_eq!(driven.measured.errors.len(), 1);
    }
}
