//! Keystone token validation against a small Keystone of our own: what goes over the wire, what is remembered and for how
//! long, and what a client is told when Keystone refuses, misbehaves or is away.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use portcullis::{
    authn::{Keystone, KeystoneError, KeystoneSettings, Refusal, RestAuthenticator, RestClaim},
    domain::{Realm, SecretValue, Timestamp},
};
use serde_json::{Value, json};

/// 2026-11-22T10:00:00Z.
const NOW: i64 = 1_795_341_600;
const PASSWORD: &str = "s\"cret\u{e9}";

#[derive(Default)]
struct Fake {
    tokens: Mutex<HashMap<String, Value>>,
    logins: AtomicUsize,
    validations: AtomicUsize,
    /// Own tokens up to this one are refused.
    revoked: AtomicUsize,
    /// Answered to everything, unless 0.
    broken: AtomicU16,
    /// How many answers are broken; negative: all.
    broken_answers: AtomicI64,
    delay: Mutex<Duration>,
    seen: Mutex<Vec<(HeaderMap, HashMap<String, String>)>>,
}

struct Setup {
    fake: Arc<Fake>,
    url: String,
    clock: Arc<AtomicI64>,
}

impl Setup {
    async fn start() -> Self {
        portcullis::tls::install_provider();
        let fake = Arc::new(Fake::default());
        let routes = Router::new().route("/v3/auth/tokens", get(validate).post(log_in)).with_state(Arc::clone(&fake));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { fake, url, clock: Arc::new(AtomicI64::new(NOW)) }
    }

    fn settings(&self) -> KeystoneSettings {
        toml::from_str(&format!("url = '{}/'\nusername = 'barbican'", self.url)).unwrap()
    }

    fn keystone_with(&self, settings: &KeystoneSettings, password: &str) -> Keystone {
        let clock = Arc::clone(&self.clock);
        let clock = Arc::new(move || Timestamp::from_seconds(clock.load(SeqCst)));
        Keystone::new(settings, &SecretValue::new(password.into()), None, clock).unwrap()
    }

    fn keystone(&self) -> Keystone {
        self.keystone_with(&self.settings(), PASSWORD)
    }

    fn issue(&self, token: &str, change: impl FnOnce(&mut Value)) {
        let mut body = json!({"token": {
            "methods": ["password"], "expires_at": "2026-11-22T11:00:00.000000Z", "issued_at": "2026-11-22T09:00:00.000000Z",
            "user": {"id": "u1", "name": "alice", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r1", "name": "Member"}], "is_domain": false, "audit_ids": ["x"],
        }});
        change(&mut body["token"]);
        self.fake.tokens.lock().unwrap().insert(token.into(), body);
    }

    fn counts(&self) -> (usize, usize) {
        (self.fake.logins.load(SeqCst), self.fake.validations.load(SeqCst))
    }

    fn break_answers(&self, status: u16, count: i64) {
        self.fake.broken_answers.store(count, SeqCst);
        self.fake.broken.store(status, SeqCst);
    }
}

fn not_found(what: &str, status: StatusCode) -> Response {
    let body = json!({"error": {"code": status.as_u16(), "message": what, "title": "x"}});
    (status, Json(body)).into_response()
}

async fn disturbed(fake: &Fake) -> Option<Response> {
    let delay = *fake.delay.lock().unwrap();
    tokio::time::sleep(delay).await;
    let status = StatusCode::from_u16(fake.broken.load(SeqCst)).ok()?;
    match fake.broken_answers.load(SeqCst) {
        0 => None,
        left => {
            fake.broken_answers.store(left - 1, SeqCst);
            Some((status, "<html>somebody in between</html>").into_response())
        }
    }
}

async fn log_in(State(fake): State<Arc<Fake>>, body: String) -> Response {
    if let Some(answer) = disturbed(&fake).await {
        return answer;
    }
    let number = fake.logins.fetch_add(1, SeqCst) + 1;
    let expected = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": "barbican", "domain": {"name": "Default"}, "password": PASSWORD}}},
        "scope": {"project": {"name": "service", "domain": {"name": "Default"}}},
    }});
    if serde_json::from_str::<Value>(&body).unwrap() != expected {
        return not_found("who are you?", StatusCode::UNAUTHORIZED);
    }
    let expires = "2026-11-22T10:10:00.000000Z";
    let body = json!({"token": {"expires_at": expires, "user": {"id": "service"}}});
    (StatusCode::CREATED, [("x-subject-token", format!("own-{number}"))], Json(body)).into_response()
}

async fn validate(
    State(fake): State<Arc<Fake>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    fake.validations.fetch_add(1, SeqCst);
    if let Some(answer) = disturbed(&fake).await {
        return answer;
    }
    let own = headers["x-auth-token"].to_str().unwrap().strip_prefix("own-").unwrap().parse::<usize>().unwrap();
    let subject = headers["x-subject-token"].to_str().unwrap().to_owned();
    fake.seen.lock().unwrap().push((headers, query.clone()));
    if own <= fake.revoked.load(SeqCst) {
        return not_found("your token is not good", StatusCode::UNAUTHORIZED);
    }
    let found = fake.tokens.lock().unwrap().get(&subject).cloned();
    match found {
        Some(body)
            if query.contains_key("allow_expired") || body["token"]["expires_at"].as_str() > Some("2026-11-22T10") =>
        {
            Json(body).into_response()
        }
        _ => not_found("no such token", StatusCode::NOT_FOUND),
    }
}

fn claim(token: &str) -> RestClaim<'_> {
    RestClaim { token: Some(token), method: "GET", path: "/v1/secrets", ..RestClaim::default() }
}

#[tokio::test]
async fn a_token_becomes_a_principal() {
    let setup = Setup::start().await;
    setup.issue("t1", |_| {});
    let rest = RestAuthenticator::Keystone(Arc::new(setup.keystone()));
    let made = rest.authenticate(&claim("t1")).await.unwrap();
    assert_eq!((made.name.as_deref(), made.project.0.as_str(), made.realm), (Some("u1"), "p1", Realm::Keystone));
    assert_eq!(made.roles, ["member", "reader"]);
    let seen = setup.fake.seen.lock().unwrap();
    let (headers, query) = &seen[0];
    assert_eq!(headers["x-auth-token"], "own-1");
    assert_eq!(headers["x-subject-token"], "t1");
    assert_eq!(headers["openstack-identity-access-rules"], "1.0");
    assert!(query.contains_key("nocatalog") && !query.contains_key("allow_expired"));
    assert_eq!(rest.www_authenticate(), Some(format!("Keystone uri=\"{}\"", setup.url)));
}

#[tokio::test]
async fn a_validated_token_is_believed_for_a_while() {
    let setup = Setup::start().await;
    let keystone = setup.keystone();
    setup.issue("t1", |_| {});
    for _ in 0..3 {
        assert!(keystone.authenticate(&claim("t1")).await.is_ok());
    }
    assert_eq!(setup.counts(), (1, 1));
    let asks_each_time = setup.keystone_with(&KeystoneSettings { cache_seconds: 0, ..setup.settings() }, PASSWORD);
    for _ in 0..3 {
        assert!(asks_each_time.authenticate(&claim("t1")).await.is_ok());
    }
    assert_eq!(setup.counts(), (2, 4));
}

#[tokio::test]
async fn a_token_is_not_believed_beyond_its_end() {
    let setup = Setup::start().await;
    let keystone = setup.keystone();
    setup.issue("t1", |token| token["expires_at"] = "2026-11-22T10:00:01.000000Z".into());
    assert!(keystone.authenticate(&claim("t1")).await.is_ok());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    setup.fake.tokens.lock().unwrap().clear();
    assert_eq!(keystone.authenticate(&claim("t1")).await, Err(Refusal::Unauthenticated));
    // A Keystone whose clock lags behind ours is not believed either.
    setup.clock.store(NOW + 3600, SeqCst);
    setup.issue("t2", |_| {});
    assert_eq!(keystone.authenticate(&claim("t2")).await, Err(Refusal::Unauthenticated));
}

#[tokio::test]
async fn a_refused_token_is_asked_about_once() {
    let setup = Setup::start().await;
    let keystone = setup.keystone();
    for _ in 0..3 {
        assert_eq!(keystone.authenticate(&claim("unknown")).await, Err(Refusal::Unauthenticated));
    }
    assert_eq!(setup.counts(), (1, 1));
    // What cannot be a token is not asked about at all.
    let long = "x".repeat(20_000);
    for token in ["", "a\nb", "a\0", &long] {
        assert_eq!(keystone.authenticate(&claim(token)).await, Err(Refusal::Unauthenticated));
    }
    assert_eq!(keystone.authenticate(&RestClaim::default()).await, Err(Refusal::Unauthenticated));
    assert_eq!(setup.counts(), (1, 1));
}

#[tokio::test]
async fn concurrent_requests_ask_once() {
    let setup = Setup::start().await;
    let keystone = Arc::new(setup.keystone());
    setup.issue("t1", |_| {});
    *setup.fake.delay.lock().unwrap() = Duration::from_millis(50);
    let asked = (0..20).map(|_| {
        let keystone = Arc::clone(&keystone);
        tokio::spawn(async move { keystone.authenticate(&claim("t1")).await })
    });
    for answer in asked.collect::<Vec<_>>() {
        assert!(answer.await.unwrap().is_ok());
    }
    assert_eq!(setup.counts(), (1, 1));
}

#[tokio::test]
async fn a_token_without_a_project_is_refused() {
    let setup = Setup::start().await;
    let keystone = setup.keystone();
    setup.issue("unscoped", |token| drop(token.as_object_mut().unwrap().remove("project")));
    setup.issue("domain", |token| {
        token["project"] = Value::Null;
        token["domain"] = json!({"id": "default"});
    });
    for token in ["unscoped", "domain"] {
        assert_eq!(keystone.authenticate(&claim(token)).await, Err(Refusal::Unscoped));
    }
}

#[tokio::test]
async fn our_own_token_is_renewed_when_it_is_refused_and_before_it_ends() {
    let setup = Setup::start().await;
    let keystone = setup.keystone();
    for token in ["t1", "t2", "t3"] {
        setup.issue(token, |_| {});
    }
    assert!(keystone.authenticate(&claim("t1")).await.is_ok());
    setup.fake.revoked.store(1, SeqCst);
    assert!(keystone.authenticate(&claim("t2")).await.is_ok());
    assert_eq!(setup.counts(), (2, 3));
    // Refused again at once: our account is the trouble, and the client is not to blame.
    setup.fake.revoked.store(99, SeqCst);
    assert_eq!(keystone.authenticate(&claim("t3")).await, Err(Refusal::Unavailable));
    setup.fake.revoked.store(0, SeqCst);
    assert!(keystone.authenticate(&claim("t3")).await.is_ok());

    // An own token that ends within a minute is not kept.
    let setup = Setup::start().await;
    setup.clock.store(NOW + 9 * 60 + 10, SeqCst);
    let keystone = setup.keystone();
    for token in ["t1", "t2"] {
        setup.issue(token, |_| {});
        assert!(keystone.authenticate(&claim(token)).await.is_ok());
    }
    assert_eq!(setup.counts(), (2, 2));
}

#[tokio::test]
async fn a_refused_log_in_is_not_repeated_at_once() {
    let setup = Setup::start().await;
    let keystone = setup.keystone_with(&setup.settings(), "wrong");
    for token in ["t1", "t2", "t3"] {
        assert_eq!(keystone.authenticate(&claim(token)).await, Err(Refusal::Unavailable));
    }
    assert_eq!(setup.counts(), (1, 0));
    assert!(matches!(keystone.reach().await, Err(KeystoneError::LoginRefused)));
    assert!(setup.keystone().reach().await.is_ok());
}

#[tokio::test]
async fn short_trouble_is_ridden_out_and_long_trouble_is_told() {
    let setup = Setup::start().await;
    let keystone = setup.keystone();
    setup.issue("t1", |_| {});
    setup.break_answers(502, 2);
    assert!(keystone.authenticate(&claim("t1")).await.is_ok());
    setup.break_answers(503, -1);
    assert_eq!(keystone.authenticate(&claim("t2")).await, Err(Refusal::Unavailable));
    // What was validated before is still believed, and trouble is not remembered.
    assert!(keystone.authenticate(&claim("t1")).await.is_ok());
    setup.issue("t2", |_| {});
    setup.break_answers(0, 0);
    assert!(keystone.authenticate(&claim("t2")).await.is_ok());
}

#[tokio::test]
async fn answers_of_something_else_blame_no_client() {
    let setup = Setup::start().await;
    let keystone = setup.keystone();
    keystone.reach().await.unwrap();
    for status in [200, 204, 302, 403, 404, 429] {
        setup.break_answers(status, -1);
        assert_eq!(keystone.authenticate(&claim("t1")).await, Err(Refusal::Unavailable), "{status}");
    }
    setup.break_answers(200, -1);
    assert!(matches!(keystone.reach().await, Err(KeystoneError::Status(StatusCode::OK))));
}

#[tokio::test]
async fn a_silent_or_absent_keystone_is_given_up_in_time() {
    let setup = Setup::start().await;
    let keystone = setup.keystone_with(&KeystoneSettings { request_seconds: 1, ..setup.settings() }, PASSWORD);
    *setup.fake.delay.lock().unwrap() = Duration::from_secs(30);
    let begun = tokio::time::Instant::now();
    assert_eq!(keystone.authenticate(&claim("t1")).await, Err(Refusal::Unavailable));
    assert!(begun.elapsed() < Duration::from_secs(25), "it has waited for the answer");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = KeystoneSettings { url: format!("http://{closed}/v3"), ..setup.settings() };
    let keystone = setup.keystone_with(&settings, PASSWORD);
    assert_eq!(keystone.authenticate(&claim("t1")).await, Err(Refusal::Unavailable));
    assert!(matches!(keystone.reach().await, Err(KeystoneError::Unreachable(_))));
}

#[tokio::test]
async fn a_service_may_act_with_an_expired_token_of_its_user() {
    let setup = Setup::start().await;
    let keystone = setup.keystone();
    let expired = |token: &mut Value| token["expires_at"] = "2026-11-22T09:30:00.000000Z".into();
    setup.issue("expired", expired);
    setup.issue("nova", |token| token["roles"] = json!([{"id": "s", "name": "Service"}]));
    setup.issue("mallory", |_| {});
    setup.issue("old-nova", |token| {
        expired(token);
        token["roles"] = json!([{"id": "s", "name": "service"}]);
    });
    let by = |service| RestClaim { service_token: service, ..claim("expired") };
    assert_eq!(keystone.authenticate(&by(None)).await, Err(Refusal::Unauthenticated));
    for service in ["mallory", "old-nova", "unknown", "expired", ""] {
        assert_eq!(keystone.authenticate(&by(Some(service))).await, Err(Refusal::Unauthenticated), "{service}");
    }
    assert_eq!(keystone.authenticate(&by(Some("nova"))).await.unwrap().name.as_deref(), Some("u1"));
    // What was allowed beside the service token is not remembered for the token alone.
    assert_eq!(keystone.authenticate(&by(None)).await, Err(Refusal::Unauthenticated));
}

#[tokio::test]
async fn an_application_credential_keeps_to_its_requests() {
    let setup = Setup::start().await;
    let keystone = setup.keystone();
    setup.issue("limited", |token| {
        token["application_credential"] =
            json!({"id": "a", "access_rules": [{"id": "r", "service": "key-manager", "method": "GET", "path": "/v1/secrets/{id}"}]});
    });
    setup.issue("unlimited", |token| token["application_credential"] = json!({"id": "a", "restricted": true}));
    setup.issue("nova", |token| token["roles"] = json!([{"id": "s", "name": "service"}]));
    let asks = |method, path, token, service_token| RestClaim {
        token: Some(token),
        service_token,
        method,
        path,
        ..RestClaim::default()
    };
    assert!(keystone.authenticate(&asks("GET", "/v1/secrets/1", "limited", None)).await.is_ok());
    for (method, path) in [("DELETE", "/v1/secrets/1"), ("GET", "/v1/secrets"), ("GET", "/v1/secrets/1/payload")] {
        assert_eq!(keystone.authenticate(&asks(method, path, "limited", None)).await, Err(Refusal::Unauthenticated));
        assert!(keystone.authenticate(&asks(method, path, "unlimited", None)).await.is_ok());
        assert!(keystone.authenticate(&asks(method, path, "limited", Some("nova"))).await.is_ok());
    }
}

#[tokio::test]
async fn nothing_prints_a_token_or_the_password() {
    let setup = Setup::start().await;
    let keystone = setup.keystone();
    setup.issue("t1-canary", |_| {});
    keystone.authenticate(&claim("t1-canary")).await.unwrap();
    let printed = format!("{keystone:?} {:?} {:?}", claim("t1-canary"), setup.settings());
    for secret in ["canary", "own-1", PASSWORD] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let setup = Setup::start().await;
    let clock = || Arc::new(|| Timestamp::from_seconds(NOW));
    let password = SecretValue::new(b"x".to_vec());
    for url in ["", "keystone", "ftp://keystone", "http://", "http://user:pass@keystone"] {
        let settings = KeystoneSettings { url: url.into(), ..setup.settings() };
        let error = Keystone::new(&settings, &password, None, clock()).unwrap_err();
        assert!(matches!(error, KeystoneError::Url), "{url}");
        assert!(!error.to_string().contains("pass@"));
    }
    let binary = SecretValue::new(vec![0xFF]);
    assert!(matches!(Keystone::new(&setup.settings(), &binary, None, clock()), Err(KeystoneError::Password)));
    let ca = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Keystone::new(&setup.settings(), &password, Some(ca), clock()), Err(KeystoneError::Tls(_))));
    assert!(toml::from_str::<KeystoneSettings>("url = 'http://k'\nusername = 'b'\ncolour = 1").is_err());
}
