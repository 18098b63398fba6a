//! Every metric of the gateway, in one table.
//!
//! A row is a field of [`Metrics`], its Prometheus name, kind, labels and help text; `docs/metrics.md` is compared with
//! [`TABLE`] by a test. Labels are closed sets or names from the configuration, never anything a client chose: a label
//! with unbounded values would let a peer fill the memory.

use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
};

/// What kind of series a row makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The Prometheus name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// Its labels in order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// Requests: half a millisecond to ten seconds.
const REQUEST_SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// PKCS#11 calls: from twenty microseconds in software to half a minute for a large RSA key.
const CALL_SECONDS: &[f64] =
    &[0.00002, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Commits: a tenth of a millisecond to five seconds.
const COMMIT_SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

macro_rules! kind_type {
    (Counter) => {
        IntCounterVec
    };
    (Gauge) => {
        IntGaugeVec
    };
    (Seconds) => {
        GaugeVec
    };
    (Histogram $bounds:ident) => {
        HistogramVec
    };
}

macro_rules! kind_value {
    (Counter) => {
        Kind::Counter
    };
    (Gauge) => {
        Kind::Gauge
    };
    (Seconds) => {
        Kind::Gauge
    };
    (Histogram $bounds:ident) => {
        Kind::Histogram($bounds)
    };
}

macro_rules! build {
    (Counter, $registry:ident, $row:expr) => {
        register($registry, $row, IntCounterVec::new(options($row), $row.labels))
    };
    (Gauge, $registry:ident, $row:expr) => {
        register($registry, $row, IntGaugeVec::new(options($row), $row.labels))
    };
    (Seconds, $registry:ident, $row:expr) => {
        register($registry, $row, GaugeVec::new(options($row), $row.labels))
    };
    (Histogram $bounds:ident, $registry:ident, $row:expr) => {
        register(
            $registry,
            $row,
            HistogramVec::new(HistogramOpts { common_opts: options($row), buckets: $bounds.to_vec() }, $row.labels),
        )
    };
}

macro_rules! metrics {
    ($($field:ident: $kind:ident $($bounds:ident)?, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        /// Every metric, in the order of `docs/metrics.md`.
        pub const TABLE: &[Row] = &[$(Row {
            name: $name, kind: kind_value!($kind $($bounds)?), labels: &[$($label),*], help: $help,
        },)*];

        /// The gateway's metrics. One instance a process, shared as an `Arc`.
        pub struct Metrics {
            registry: Registry,
            $($field: kind_type!($kind $($bounds)?),)*
        }

        impl Metrics {
            /// All series of the table, at zero.
            #[must_use]
            pub fn new() -> Self {
                let registry = Registry::new();
                let shared = &registry;
                $(let $field = build!($kind $($bounds)?, shared, &Row {
                    name: $name, kind: kind_value!($kind $($bounds)?), labels: &[$($label),*], help: $help,
                });)*
                let metrics = Self { registry, $($field,)* };
                metrics.touch();
                metrics
            }
        }
    };
}

metrics! {
    build_info: Gauge, "portcullis_build_info", ["version"],
        "Always 1; the label carries the version of the gateway.";
    requests: Counter, "portcullis_requests_total", ["protocol", "operation", "outcome"],
        "Requests answered, by protocol (kmip, barbican, internal), operation and outcome (success or the kind of error).";
    request_seconds: Histogram REQUEST_SECONDS, "portcullis_request_duration_seconds", ["protocol", "operation", "outcome"],
        "Time from the decoded request to its answer; outcome is success or failure.";
    hsm_calls: Histogram CALL_SECONDS, "portcullis_hsm_call_duration_seconds", ["token", "function", "result"],
        "Time inside a PKCS#11 function, by token name, function and result (ok, the code in hex, or vendor).";
    hsm_waits: Histogram CALL_SECONDS, "portcullis_hsm_wait_duration_seconds", ["token"],
        "Time a request waited for a session of the token.";
    hsm_queue: Gauge, "portcullis_hsm_queue_depth", ["token"],
        "Requests that wait for a session of the token.";
    hsm_sessions: Gauge, "portcullis_hsm_sessions", ["token"],
        "Worker sessions open on the token.";
    hsm_stuck: Gauge, "portcullis_hsm_workers_stuck", ["token"],
        "Workers inside a call that was given up because it took too long; others work in their place.";
    hsm_ready: Gauge, "portcullis_hsm_token_ready", ["token"],
        "1 while the token serves requests, otherwise 0.";
    hsm_health: Gauge, "portcullis_hsm_token_health", ["token", "health"],
        "1 for the token's present health (ready, degraded, down, ...), 0 for the others.";
    hsm_generation: Gauge, "portcullis_hsm_token_generation", ["token"],
        "How often the token's sessions and handles became void since the start.";
    hsm_restarts: Counter, "portcullis_hsm_module_restarts_total", ["token", "after"],
        "How often the process of the token's isolated module was started again, after it crashed, hung, was garbled or renewed.";
    hsm_owed: Gauge, "portcullis_hsm_token_owed", ["token"],
        "Objects under which the token may differ from the others of its replicated group, still to be copied or destroyed.";
    migration_objects: Gauge, "portcullis_migration_objects", ["state"],
        "Objects of the last migration that was ordered: moved, remaining, or stayed because they cannot be moved.";
    migration_state: Gauge, "portcullis_migration_state", ["state"],
        "1 for what the last migration that was ordered does now (moving, waiting, done), 0 for the others.";
    store_commit_seconds: Histogram COMMIT_SECONDS, "portcullis_store_commit_duration_seconds", ["result"],
        "Time until a commit of the metadata store was durable, waiting included; result is ok, conflict or error.";
    store_marks: Counter, "portcullis_store_marks_total", ["result"],
        "Marks of the store noted on the token (ok) or not (error); without them an older copy of the store is not noticed.";
    store_disk: Gauge, "portcullis_store_disk_bytes", [],
        "Bytes of the metadata store's files, the journal of changes apart.";
    store_live: Gauge, "portcullis_store_live_bytes", [],
        "Bytes of what lives in the metadata store, as counted last, once a minute at most; 0 until it was counted.";
    store_journal: Gauge, "portcullis_store_journal_bytes", [],
        "Bytes of the metadata store's journal of changes.";
    syncs: Counter, "portcullis_syncs_total", ["of"],
        "Times that the disk was waited for, by what was made durable: a group of commits (store) or of records (audit).";
    audit_records: Counter, "portcullis_audit_records_total", ["result"],
        "Audit records written (ok) or not writable (error).";
    audit_lag: Seconds, "portcullis_audit_lag_seconds", [],
        "Age of the oldest audit record that is with the kernel but not yet known to be on disk; 0 when there is none.";
    tls_failures: Counter, "portcullis_tls_handshake_failures_total", ["listener", "reason"],
        "TLS handshakes that failed, by listener and reason.";
    tls_reloads: Counter, "portcullis_tls_reloads_total", ["result"],
        "Reloads of certificates, by result (ok; error keeps the old ones).";
    tls_expiry: Gauge, "portcullis_tls_certificate_expiry_timestamp_seconds", ["listener"],
        "When the listener's own certificate expires, in seconds since 1970.";
    policy_reloads: Counter, "portcullis_policy_reloads_total", ["result"],
        "Reloads of the policy file, by result (ok; error keeps the old rules).";
    policy_current: Gauge, "portcullis_policy_current", [],
        "1 while the rules in force are those of the policy file, 0 while the file cannot be used.";
    purged: Counter, "portcullis_purged_total", ["what"],
        "What was removed because its time had passed: expired secrets, and records of deleted ones (deleted).";
    notices: Counter, "portcullis_keystone_notices_total", ["outcome"],
        "Notices from Keystone's message bus: purged (a project was removed), ignored (of something else), malformed, or failed (tried again).";
    bus_connected: Gauge, "portcullis_keystone_bus_connected", [],
        "1 while Keystone's message bus is listened to, otherwise 0.";
    connections: Gauge, "portcullis_connections", ["listener"],
        "Connections open, handshakes included.";
    connections_refused: Counter, "portcullis_connections_refused_total", ["listener"],
        "Connections closed at once because the listener's limit was reached.";
    objects: Gauge, "portcullis_objects", ["state"],
        "Managed objects by state, counted every half minute.";
}

impl Metrics {
    /// Counts an answered request. `outcome` is `success` or the stable name of an error kind.
    pub fn request(&self, protocol: &str, operation: &str, outcome: &str, seconds: f64) {
        self.requests.with_label_values(&[protocol, operation, outcome]).inc();
        let coarse = if outcome == "success" { outcome } else { "failure" };
        self.request_seconds.with_label_values(&[protocol, operation, coarse]).observe(seconds);
    }

    /// Counts one PKCS#11 call. `result` is `ok` or the return value in hex.
    pub fn hsm_call(&self, token: &str, function: &str, result: &str, seconds: f64) {
        self.hsm_calls.with_label_values(&[token, function, result]).observe(seconds);
    }

    /// Counts how long a request waited for a session.
    pub fn hsm_wait(&self, token: &str, seconds: f64) {
        self.hsm_waits.with_label_values(&[token]).observe(seconds);
    }

    /// Counts a new start of the process of an isolated module.
    pub fn hsm_restarted(&self, token: &str, after: &str) {
        self.hsm_restarts.with_label_values(&[token, after]).inc();
    }

    /// What a token of a replicated group owes the others.
    pub fn hsm_owed(&self, token: &str, owed: usize) {
        self.hsm_owed.with_label_values(&[token]).set(whole(owed));
    }

    /// How many workers of a token hang.
    pub fn hsm_stuck(&self, token: &str, stuck: usize) {
        self.hsm_stuck.with_label_values(&[token]).set(whole(stuck));
    }

    /// How far the migration is.
    pub fn migration(&self, moved: usize, remaining: usize, stayed: usize) {
        for (state, count) in [("moved", moved), ("remaining", remaining), ("stayed", stayed)] {
            self.migration_objects.with_label_values(&[state]).set(whole(count));
        }
    }

    /// Whether the migration does this now: `moving`, `waiting` or `done`.
    pub fn migration_state(&self, state: &str, is_it: bool) {
        self.migration_state.with_label_values(&[state]).set(i64::from(is_it));
    }

    /// Sets what is known of a token.
    pub fn hsm_token(&self, token: &str, health: &str, sessions: usize, queued: usize, generation: u64) {
        self.hsm_queue.with_label_values(&[token]).set(whole(queued));
        self.hsm_sessions.with_label_values(&[token]).set(whole(sessions));
        self.hsm_ready.with_label_values(&[token]).set(i64::from(health == "ready" || health == "degraded"));
        for known in HEALTH {
            self.hsm_health.with_label_values(&[token, known]).set(i64::from(*known == health));
        }
        self.hsm_generation.with_label_values(&[token]).set(whole(generation));
    }

    /// Counts one commit of the store. `result` is `ok`, `conflict` or `error`.
    pub fn store_commit(&self, result: &str, seconds: f64) {
        self.store_commit_seconds.with_label_values(&[result]).observe(seconds);
    }

    /// Counts one mark of the store. `result` is `ok` or `error`.
    pub fn store_mark(&self, result: &str) {
        self.store_marks.with_label_values(&[result]).inc();
    }

    /// Sets how large the store's files are: the engine's, and those of the journal.
    pub fn store_files(&self, disk: u64, journal: u64) {
        self.store_disk.with_label_values(&[] as &[&str]).set(whole(disk));
        self.store_journal.with_label_values(&[] as &[&str]).set(whole(journal));
    }

    /// Sets how many bytes live in the store.
    pub fn store_live(&self, bytes: u64) {
        self.store_live.with_label_values(&[] as &[&str]).set(whole(bytes));
    }

    /// Counts one sync of what waited together. `of` is `store` or `audit`.
    pub fn synced(&self, of: &str) {
        self.syncs.with_label_values(&[of]).inc();
    }

    /// Counts audit records. `result` is `ok` or `error`.
    pub fn audit_written(&self, result: &str, records: u64) {
        self.audit_records.with_label_values(&[result]).inc_by(records);
    }

    /// Sets the age of the oldest audit record that is not yet on disk.
    pub fn audit_lag(&self, age: Duration) {
        self.audit_lag.with_label_values(&[] as &[&str]).set(age.as_secs_f64());
    }

    /// Counts a failed handshake.
    pub fn tls_failure(&self, listener: &str, reason: &str) {
        self.tls_failures.with_label_values(&[listener, reason]).inc();
    }

    /// Counts a reload of certificates. `result` is `ok` or `error`.
    pub fn tls_reload(&self, result: &str) {
        self.tls_reloads.with_label_values(&[result]).inc();
    }

    /// Counts a reload of the policy file, which may have failed.
    pub fn policy_reload(&self, is_good: bool) {
        self.policy_reloads.with_label_values(&[if is_good { "ok" } else { "error" }]).inc();
        self.policy_current.with_label_values(&[] as &[&str]).set(i64::from(is_good));
    }

    /// Counts what was removed because its time had passed. `what` is `expired` or `deleted`.
    pub fn purged(&self, what: &str, count: usize) {
        self.purged.with_label_values(&[what]).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Counts a notice of Keystone. `outcome` is `purged`, `ignored`, `malformed` or `failed`.
    pub fn keystone_notice(&self, outcome: &str) {
        self.notices.with_label_values(&[outcome]).inc();
    }

    /// Sets whether Keystone's message bus is listened to.
    pub fn keystone_bus(&self, is_connected: bool) {
        self.bus_connected.with_label_values(&[] as &[&str]).set(i64::from(is_connected));
    }

    /// Sets when the listener's certificate expires, in seconds since 1970.
    pub fn tls_expiry(&self, listener: &str, seconds: i64) {
        self.tls_expiry.with_label_values(&[listener]).set(seconds);
    }

    /// Moves the number of open connections of a listener by one.
    pub fn connection(&self, listener: &str, opened: bool) {
        let gauge = self.connections.with_label_values(&[listener]);
        if opened { gauge.inc() } else { gauge.dec() }
    }

    /// Counts a connection that was closed because the limit was reached.
    pub fn connection_refused(&self, listener: &str) {
        self.connections_refused.with_label_values(&[listener]).inc();
    }

    /// Sets how many objects are in a state.
    pub fn objects(&self, state: &str, count: u64) {
        self.objects.with_label_values(&[state]).set(whole(count));
    }

    /// The text exposition.
    ///
    /// # Errors
    ///
    /// The encoder's, when two families collide; the table's test excludes that.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }

    /// Series without labels or with labels known beforehand exist from the start, so that a rate over them works.
    fn touch(&self) {
        self.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        self.audit_lag.with_label_values(&[] as &[&str]).set(0.0);
        self.policy_current.with_label_values(&[] as &[&str]).set(1);
        self.bus_connected.with_label_values(&[] as &[&str]).set(0);
        self.store_files(0, 0);
        self.store_live(0);
        self.migration(0, 0, 0);
        for state in ["moving", "waiting", "done"] {
            self.migration_state(state, false);
        }
        for outcome in ["purged", "ignored", "malformed", "failed"] {
            self.notices.with_label_values(&[outcome]).inc_by(0);
        }
        for of in ["store", "audit"] {
            self.syncs.with_label_values(&[of]).inc_by(0);
        }
        for what in ["expired", "deleted"] {
            self.purged.with_label_values(&[what]).inc_by(0);
        }
        for result in ["ok", "error"] {
            self.policy_reloads.with_label_values(&[result]).inc_by(0);
            self.audit_records.with_label_values(&[result]).inc_by(0);
            self.tls_reloads.with_label_values(&[result]).inc_by(0);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The words of a token's health, as the port names them.
const HEALTH: &[&str] = &[
    "starting",
    "ready",
    "degraded",
    "down",
    "recovering",
    "pin_rejected",
    "wrong_token",
    "disabled",
    "resyncing",
    "fenced",
    "drained",
];

fn whole<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn options(row: &Row) -> Opts {
    Opts::new(row.name, row.help)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, row: &Row, made: prometheus::Result<C>) -> C {
    let collector = made.unwrap_or_else(|error| panic!("the constant row {} is well formed: {error}", row.name));
    registry
        .register(Box::new(collector.clone()))
        .unwrap_or_else(|error| panic!("the names of the constant table differ: {}: {error}", row.name));
    collector
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row with one series, so that the whole table is exposed.
    pub(super) fn filled() -> Metrics {
        let metrics = Metrics::new();
        metrics.request("kmip", "create", "success", 0.002);
        metrics.request("barbican", "reveal", "not-found", 0.001);
        metrics.hsm_call("main", "C_GenerateKey", "ok", 0.0001);
        metrics.hsm_wait("main", 0.0001);
        metrics.hsm_token("main", "ready", 32, 0, 1);
        metrics.hsm_owed("main", 0);
        metrics.hsm_stuck("main", 0);
        metrics.hsm_restarted("main", "death");
        metrics.store_commit("ok", 0.0005);
        metrics.store_mark("ok");
        metrics.synced("store");
        metrics.audit_written("ok", 3);
        metrics.audit_lag(Duration::from_millis(3));
        metrics.tls_failure("kmip", "no-certificate");
        metrics.tls_expiry("kmip", 1_800_000_000);
        metrics.connection("kmip", true);
        metrics.connection_refused("kmip");
        metrics.objects("active", 3);
        metrics
    }

    #[test]
    fn every_row_is_exposed_with_its_help() {
        let text = filled().render().unwrap();
        for row in TABLE {
            assert!(text.contains(&format!("# HELP {} ", row.name)), "{}", row.name);
        }
    }

    #[test]
    fn names_follow_the_conventions() {
        for row in TABLE {
            assert!(row.name.starts_with("portcullis_"), "{}", row.name);
            assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{}", row.name);
            assert_eq!(row.name.ends_with("_duration_seconds"), matches!(row.kind, Kind::Histogram(_)), "{}", row.name);
            assert!(row.help.ends_with('.'), "{}", row.name);
        }
    }

    #[test]
    fn promtool_has_no_complaint() {
        use std::{
            io::Write,
            process::{Command, Stdio},
        };
        let tool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = tool else {
            println!("skipped, because promtool (Debian package prometheus) is not installed");
            return;
        };
        child.stdin.take().unwrap().write_all(filled().render().unwrap().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }

    #[test]
    fn the_document_lists_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let document = std::fs::read_to_string(path).unwrap();
        let listed: Vec<&str> = document.lines().filter(|line| line.starts_with("| `portcullis_")).collect();
        let expected: Vec<String> = TABLE.iter().map(document_row).collect();
        assert_eq!(listed, expected, "docs/metrics.md and the table differ");
    }

    fn document_row(row: &Row) -> String {
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels = row.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let labels = if labels.is_empty() { "none".to_owned() } else { labels };
        format!("| `{}` | {kind} | {labels} | {} |", row.name, row.help)
    }
}
