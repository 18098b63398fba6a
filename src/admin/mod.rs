//! The listener for operators: `/metrics`, `/healthz`, `/readyz`.
//!
//! Health says that the process answers; readiness says that requests would succeed: the start is over, a token serves,
//! store and audit trail take writes. It has no authentication, so it shows nothing but states and counts.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use crate::{engine::ports::TokenStatus, telemetry::Metrics};

/// What a part of the gateway says about itself: nothing, or why it is not ready.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Where the gateway is in its life.
#[derive(Clone)]
pub enum Phase {
    /// On its way up; the text says what it waits for.
    Starting(String),
    /// Serving, with what has to be asked each time.
    Serving(Arc<Parts>),
    /// On its way down.
    Draining,
}

/// What is asked while the gateway serves.
pub struct Parts {
    /// Every token.
    pub tokens: Box<dyn Fn() -> Vec<TokenStatus> + Send + Sync>,
    /// Other parts by name, such as `store`.
    pub checks: Vec<(&'static str, Check)>,
    /// Sets gauges that nobody else sets in time.
    pub refresh: Box<dyn Fn() + Send + Sync>,
}

/// What the routes share.
pub struct Admin {
    metrics: Arc<Metrics>,
    phase: ArcSwap<Phase>,
}

/// Why the gateway is not ready.
#[derive(Serialize)]
struct Reason {
    part: String,
    what: String,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<Reason>,
}

impl Admin {
    /// At the start of the process.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { metrics, phase: ArcSwap::from_pointee(Phase::Starting("the start has begun".to_owned())) })
    }

    /// The gateway goes on.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(Arc::new(phase));
    }

    /// The routes.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "alive\n" }))
            .route("/readyz", get(readiness))
            .with_state(Arc::clone(self))
    }

    /// Sets the gauges of the tokens from their present state.
    pub fn refresh(&self) {
        if let Phase::Serving(parts) = &**self.phase.load() {
            (parts.refresh)();
            for status in (parts.tokens)() {
                let TokenStatus { token, health, sessions, queued, stuck, generation, owed, .. } = status;
                self.metrics.hsm_token(&token.0, health, sessions, queued, generation);
                self.metrics.hsm_owed(&token.0, owed);
                self.metrics.hsm_stuck(&token.0, stuck);
            }
        }
    }

    fn reasons(&self) -> Vec<Reason> {
        let reason = |part: &str, what: String| Reason { part: part.to_owned(), what };
        match &**self.phase.load() {
            Phase::Starting(what) => vec![reason("start", what.clone())],
            Phase::Draining => vec![reason("stop", "the gateway drains".to_owned())],
            Phase::Serving(parts) => {
                let tokens = (parts.tokens)();
                let serves = |status: &TokenStatus| status.spared || matches!(status.health, "ready" | "degraded");
                let lost = tokens.iter().filter(|status| !serves(status)).map(|status| {
                    let what = status.reason.clone().unwrap_or_else(|| format!("the token is {}", status.health));
                    reason(&format!("hsm.{}", status.token.0), what)
                });
                let broken = parts.checks.iter().filter_map(|(part, check)| Some(reason(part, check().err()?)));
                lost.chain(broken).collect()
            }
        }
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    admin.refresh();
    match admin.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn readiness(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<Readiness>) {
    let reasons = admin.reasons();
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons }))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::domain::TokenId;

    fn token(health: &'static str) -> TokenStatus {
        TokenStatus {
            token: TokenId("main".to_owned()),
            group: None,
            owed: 0,
            spared: false,
            health,
            reason: None,
            label: String::new(),
            serial: String::new(),
            manufacturer: String::new(),
            model: String::new(),
            firmware: String::new(),
            module: String::new(),
            sessions: 4,
            stuck: 0,
            queued: 0,
            generation: 1,
            generic_secret_bytes_max: 0,
            simulated: true,
            software: true,
        }
    }

    async fn get(admin: &Arc<Admin>, path: &str) -> (StatusCode, String) {
        let answer = admin.router().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn serving(health: &'static str, store: Result<(), String>) -> Phase {
        let check: Check = Arc::new(move || store.clone());
        Phase::Serving(Arc::new(Parts {
            tokens: Box::new(move || vec![token(health)]),
            checks: vec![("store", check)],
            refresh: Box::new(|| ()),
        }))
    }

    #[tokio::test]
    async fn readiness_follows_the_phases_and_the_parts() {
        let admin = Admin::new(Arc::new(Metrics::new()));
        let table = [
            (None, 503, r#"{"ready":false,"reasons":[{"part":"start","what":"the start has begun"}]}"#),
            (Some(serving("ready", Ok(()))), 200, r#"{"ready":true,"reasons":[]}"#),
            (
                Some(serving("down", Err("disk full".to_owned()))),
                503,
                r#"{"ready":false,"reasons":[{"part":"hsm.main","what":"the token is down"},{"part":"store","what":"disk full"}]}"#,
            ),
            (Some(Phase::Draining), 503, r#"{"ready":false,"reasons":[{"part":"stop","what":"the gateway drains"}]}"#),
        ];
        for (phase, status, body) in table {
            if let Some(phase) = phase {
                admin.enter(phase);
            }
            let answer = get(&admin, "/readyz").await;
            assert_eq!((answer.0.as_u16(), answer.1.as_str()), (status, body));
            assert_eq!(get(&admin, "/healthz").await, (StatusCode::OK, "alive\n".to_owned()));
        }
    }

    #[tokio::test]
    async fn metrics_show_the_tokens_as_they_are_now() {
        let admin = Admin::new(Arc::new(Metrics::new()));
        admin.enter(serving("down", Ok(())));
        let (status, text) = get(&admin, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("portcullis_hsm_token_ready{token=\"main\"} 0\n"), "{text}");
        assert!(text.contains("portcullis_hsm_sessions{token=\"main\"} 4\n"), "{text}");
    }
}
