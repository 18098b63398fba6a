//! What a run adds up to: latencies in a histogram, failures by kind.
//!
//! Each connection fills a [`Tally`] of its own; they are merged at the end, so that measuring takes no lock. Times are
//! kept in nanoseconds with three significant digits.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Why a request did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Failures of one kind are counted together; it names no identifiers.
    pub(crate) kind: String,
    /// Whether the connection cannot be used any further.
    pub(crate) breaks: bool,
}

impl Failure {
    /// The answer says no; the connection goes on.
    pub(crate) fn refused(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), breaks: false }
    }

    /// The connection is lost.
    pub(crate) fn broken(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), breaks: true }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::broken(format!("I/O: {}", error.kind()))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)
    }
}

impl std::error::Error for Failure {}

/// What one connection saw, or all of them together.
pub(crate) struct Tally {
    nanoseconds: Histogram<u64>,
    /// Of the requests that succeeded: sent and received.
    pub(crate) bytes: (u64, u64),
    /// How many requests failed, by kind.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Nothing seen yet; the histogram grows with the longest time.
    pub(crate) fn new() -> Self {
        Self {
            nanoseconds: Histogram::new(DIGITS).expect("3 is an allowed precision"),
            bytes: (0, 0),
            errors: BTreeMap::new(),
        }
    }

    /// Counts a success that took this long and this many bytes, sent and received.
    pub(crate) fn record(&mut self, time: Duration, bytes: (u64, u64)) {
        self.add(bytes);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.record(nanoseconds).expect("the histogram grows by itself");
    }

    /// Counts a failure.
    pub(crate) fn fail(&mut self, failure: Failure) {
        *self.errors.entry(failure.kind).or_default() += 1;
    }

    /// Adds what another connection saw.
    pub(crate) fn merge(&mut self, other: Self) {
        self.add(other.bytes);
        self.nanoseconds.add(other.nanoseconds).expect("the histogram grows by itself");
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }

    fn add(&mut self, (sent, received): (u64, u64)) {
        self.bytes = (self.bytes.0 + sent, self.bytes.1 + received);
    }

    /// How many requests succeeded.
    pub(crate) fn completed(&self) -> u64 {
        self.nanoseconds.len()
    }

    /// The latencies that are reported.
    pub(crate) fn latency(&self) -> Latency {
        let at = |quantile| Duration::from_nanos(self.nanoseconds.value_at_quantile(quantile));
        let max = Duration::from_nanos(self.nanoseconds.max());
        Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max }
    }
}

const DIGITS: u8 = 3;

/// Quantiles of the time from the first byte of a request to the last of its answer; zero when nothing succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p90: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) max: Duration,
}

/// The result of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// `kmip`, `rest`, `pkcs11` or a limit.
    pub(crate) protocol: &'static str,
    /// What was asked for.
    pub(crate) operation: &'static str,
    pub(crate) connections: usize,
    /// Requests under way on each of them.
    pub(crate) in_flight: usize,
    /// Items of each request, more than one for a batch.
    pub(crate) items: usize,
    /// How long was measured, warm-up excluded.
    pub(crate) elapsed: Duration,
    /// Requests that succeeded in that time.
    pub(crate) completed: u64,
    /// Requests that failed, warm-up included, so that no failure is hidden.
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) latency: Latency,
    /// Bytes of a request and of its answer, on average, above TLS.
    pub(crate) request_bytes: f64,
    pub(crate) answer_bytes: f64,
    /// Processor time of this program.
    pub(crate) client_cpu: Duration,
    /// Processor time of the server, when it is known which process it is.
    pub(crate) server_cpu: Option<Duration>,
    /// Resident bytes of the server at the end.
    pub(crate) server_rss: Option<u64>,
    /// How often the gateway waited for the disk of its store and of its trail meanwhile, by its own count.
    pub(crate) syncs: Option<u64>,
}

impl Measured {
    /// Successful requests a second.
    pub(crate) fn rate(&self) -> f64 {
        ratio(self.completed as f64, self.elapsed.as_secs_f64())
    }

    /// Microseconds of processor time that a request cost the server.
    pub(crate) fn server_cpu_us(&self) -> Option<f64> {
        self.server_cpu.map(|cpu| self.each(cpu))
    }

    /// Microseconds of processor time that a request cost this program.
    pub(crate) fn client_cpu_us(&self) -> f64 {
        self.each(self.client_cpu)
    }

    /// How many requests failed, whatever the kind.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    fn each(&self, cpu: Duration) -> f64 {
        ratio(microseconds(cpu), self.completed as f64)
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let Latency { p50, p90, p99, p999, max } = self.latency;
        json!({
            "protocol": self.protocol,
            "operation": self.operation,
            "connections": self.connections,
            "in_flight": self.in_flight,
            "items": self.items,
            "seconds": self.elapsed.as_secs_f64(),
            "completed": self.completed,
            "requests_per_second": self.rate(),
            "latency_us": {
                "p50": microseconds(p50), "p90": microseconds(p90), "p99": microseconds(p99),
                "p99.9": microseconds(p999), "max": microseconds(max),
            },
            "errors": self.errors,
            "request_bytes": self.request_bytes,
            "answer_bytes": self.answer_bytes,
            "client_cpu_us_per_request": self.client_cpu_us(),
            "server_cpu_us_per_request": self.server_cpu_us(),
            "server_rss_bytes": self.server_rss,
            "syncs": self.syncs,
        })
    }
}

/// A quotient that is zero where there is nothing to divide by.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Duration, expected: Duration) -> bool {
        found.abs_diff(expected).as_secs_f64() <= expected.as_secs_f64() * 0.001
    }

    #[test]
    fn quantiles_are_those_of_all_connections_together() {
        let (mut first, mut second) = (Tally::new(), Tally::new());
        for at in 1..=500 {
            first.record(Duration::from_micros(at), (1, at));
            second.record(Duration::from_micros(500 + at), (2, 0));
        }
        first.merge(second);
        let Latency { p50, p90, p99, max, .. } = first.latency();
        assert_eq!((first.completed(), first.bytes), (1000, (1500, 125_250)));
        assert!(close(p50, Duration::from_micros(500)), "{p50:?}");
        assert!(close(p90, Duration::from_micros(900)), "{p90:?}");
        assert!(close(p99, Duration::from_micros(990)), "{p99:?}");
        assert!(close(max, Duration::from_micros(1000)), "{max:?}");
    }

    #[test]
    fn one_slow_request_in_a_thousand_is_the_maximum_and_not_the_99th_percentile() {
        let mut tally = Tally::new();
        (0..999).for_each(|_| tally.record(Duration::from_micros(100), (1, 1)));
        tally.record(Duration::from_secs(40), (1, 1));
        let latency = tally.latency();
        assert!(close(latency.p99, Duration::from_micros(100)), "{latency:?}");
        assert!(close(latency.max, Duration::from_secs(40)), "{latency:?}");
    }

    #[test]
    fn failures_are_counted_by_kind_and_are_no_completions() {
        let (mut first, mut second) = (Tally::new(), Tally::new());
        first.fail(Failure::refused("HTTP 503"));
        second.fail(Failure::refused("HTTP 503"));
        second.fail(Failure::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        first.merge(second);
        let counts: Vec<_> = first.errors.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        assert_eq!(counts, [("HTTP 503", 2), ("I/O: connection reset", 1)]);
        assert_eq!((first.completed(), first.latency()), (0, Latency::default()));
    }

    #[test]
    fn rates_and_costs_are_per_measured_second_and_per_completed_request() {
        let measured = Measured {
            elapsed: Duration::from_millis(2500),
            completed: 5000,
            client_cpu: Duration::from_millis(100),
            server_cpu: Some(Duration::from_millis(250)),
            errors: [("a".to_owned(), 2), ("b".to_owned(), 3)].into(),
            ..Measured::default()
        };
        assert_eq!((measured.rate(), measured.failed()), (2000.0, 5));
        assert!((measured.client_cpu_us() - 20.0).abs() < 1e-9);
        assert!(measured.server_cpu_us().is_some_and(|cpu| (cpu - 50.0).abs() < 1e-9));
        let json = measured.json();
        assert_eq!((json["requests_per_second"].as_f64(), json["errors"]["b"].as_u64()), (Some(2000.0), Some(3)));
    }

    #[test]
    fn a_run_without_a_success_has_rates_of_zero() {
        let measured = Measured { server_cpu: Some(Duration::from_secs(1)), ..Measured::default() };
        assert_eq!((measured.rate(), measured.client_cpu_us(), measured.server_cpu_us()), (0.0, 0.0, Some(0.0)));
    }
}
