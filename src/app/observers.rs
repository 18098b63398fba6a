//! Adapters from what the modules report to the metrics and the log.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    domain::{
        OperationKind, TokenId,
        audit::{AuditEvent, Protocol},
    },
    engine::{
        self,
        ports::{Answer, AuditError, AuditSink, Durability, OnDisk},
    },
    hsm, net,
    telemetry::Metrics,
};

/// Everything that is counted, for every module that counts.
pub(super) struct Counting(pub(super) Arc<Metrics>);

impl net::Events for Counting {
    fn connection(&self, listener: &'static str, opened: bool) {
        self.0.connection(listener, opened);
    }

    fn refused(&self, listener: &'static str) {
        self.0.connection_refused(listener);
    }

    fn handshake_failed(&self, listener: &'static str, peer: SocketAddr, reason: &'static str, detail: &str) {
        self.0.tls_failure(listener, reason);
        tracing::info!(listener, %peer, reason, detail, "a TLS handshake failed");
    }
}

impl engine::Observer for Counting {
    fn finished(&self, protocol: Protocol, operation: OperationKind, outcome: &'static str, seconds: f64) {
        self.0.request(protocol.name(), operation.name(), outcome, seconds);
    }
}

impl hsm::Observer for Counting {
    fn called(&self, token: &TokenId, function: &'static str, rv: u64, took: Duration) {
        let seconds = took.as_secs_f64();
        // Modules answer few different codes; vendors' own ones share a word, so that the label stays bounded.
        match rv {
            0 => self.0.hsm_call(&token.0, function, "ok", seconds),
            0x8000_0000.. => self.0.hsm_call(&token.0, function, "vendor", seconds),
            _ => self.0.hsm_call(&token.0, function, &format!("0x{rv:03X}"), seconds),
        }
    }

    fn waited(&self, token: &TokenId, waited: Duration) {
        self.0.hsm_wait(&token.0, waited.as_secs_f64());
    }

    fn restarted(&self, token: &TokenId, after: &'static str) {
        self.0.hsm_restarted(&token.0, after);
    }
}

/// The audit trail with its counts: how many records, and how old the oldest one is that is not known to be on disk.
pub(super) struct CountedTrail<S> {
    sink: Arc<S>,
    lag: Arc<Lag>,
}

/// Records on their way to the disk.
pub(super) struct Lag {
    metrics: Arc<Metrics>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    records: usize,
    oldest: Option<Instant>,
}

impl Lag {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { metrics, waiting: Mutex::default() })
    }

    /// The sink has synced that many records.
    pub(super) fn synced(&self, records: usize) {
        let mut waiting = self.waiting.lock();
        waiting.records = waiting.records.saturating_sub(records);
        // Whatever is left was handed over while this sync ran.
        waiting.oldest = (waiting.records > 0).then(Instant::now);
    }

    /// Sets the gauge.
    pub(super) fn publish(&self) {
        let oldest = self.waiting.lock().oldest;
        self.metrics.audit_lag(oldest.map_or(Duration::ZERO, |since| since.elapsed()));
    }

    fn handed(&self) {
        let mut waiting = self.waiting.lock();
        waiting.records += 1;
        waiting.oldest.get_or_insert_with(Instant::now);
    }
}

impl<S> CountedTrail<S> {
    pub(super) const fn new(sink: Arc<S>, lag: Arc<Lag>) -> Self {
        Self { sink, lag }
    }

    fn counted(&self, recorded: Result<(), AuditError>) -> Result<(), AuditError> {
        match &recorded {
            Ok(()) => self.lag.metrics.audit_written("ok", 1),
            Err(_) => {
                self.lag.metrics.audit_written("error", 1);
                self.lag.synced(1);
            }
        }
        recorded
    }
}

impl<S: AuditSink> AuditSink for CountedTrail<S> {
    fn record(&self, event: AuditEvent, durability: Durability) -> Answer<'_, Result<(), AuditError>> {
        self.lag.handed();
        Box::pin(async move { self.counted(self.sink.record(event, durability).await) })
    }

    fn record_owed(&self, event: AuditEvent, then: OnDisk) -> Answer<'_, Result<(), AuditError>> {
        self.lag.handed();
        Box::pin(async move { self.counted(self.sink.record_owed(event, then).await) })
    }

    fn holds(&self, event: [u8; 16]) -> bool {
        self.sink.holds(event)
    }
}
