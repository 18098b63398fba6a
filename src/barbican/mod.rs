//! The Barbican REST API, version 1.
//!
//! A request is turned into one use case of the engine and the outcome into one answer. The API fixes the order of its
//! refusals (contract §1.1): 404 before 405, 406, 403, 415, 400. The engine looks up and permits in one step, so a body is
//! read and judged first and what is wrong with it travels inside the use case ([`Late`]); only the failures that come
//! before policy, a wrong method or `Accept`, cost a lookup of their own.

mod acls;
mod consumers;
mod containers;
mod content;
mod cors;
mod dates;
mod error;
mod extract;
mod filters;
mod json;
mod metadata;
mod model;
pub mod openapi;
mod orders;
mod page;
mod path;
mod payload;
mod query;
mod quotas;
mod routes;
mod schema;
mod secrets;
mod stores;
pub mod testing;
mod transport_keys;
mod versions;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, Response, StatusCode, header},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tower_http::catch_panic::CatchPanicLayer;
use zeroize::Zeroizing;

use self::{
    error::{Refusal, Words, json_response, refusal_of},
    extract::Microversion,
    json::Json,
    page::Window,
    path::Place,
    query::Query,
    routes::Row,
};
use crate::{
    domain::{
        Timestamp, UniqueIdentifier,
        audit::{HttpFacts, Protocol},
    },
    engine::{Caller, Engine, Error, Http, Late, Operation, Stranger, jobs::Runner, ports::Lane},
};

pub use extract::{AuthRefusal, Authenticate};

/// How the API behaves; the defaults are the reference service's (contract §6.1).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The root of all links; from the request when absent.
    pub host_href: Option<String>,
    /// Other roots that clients may use in references to secrets.
    pub aliases: Vec<String>,
    /// Whether the listener speaks TLS.
    pub https: bool,
    /// Whether `X-Forwarded-Proto` and `X-Forwarded-Host` are believed.
    pub behind_proxy: bool,
    /// Most bytes of a JSON body.
    pub request_bytes_max: usize,
    /// Most bytes of a payload, as sent.
    pub secret_bytes_max: usize,
    /// Items of a page when none is asked for.
    pub page_default: usize,
    /// Most items of a page.
    pub page_max: usize,
    /// Whether blanks around a `payload` in JSON are kept.
    pub keep_payload_blanks: bool,
    /// While this file exists `/healthcheck` says that the service is disabled.
    pub healthcheck_disable_file: Option<PathBuf>,
    /// Pages of these origins may call the API from a browser.
    pub cors_origins: Vec<String>,
    /// Whether lists leave out the private secrets and containers that the caller may not read.
    pub hide_private: bool,
    /// How long the answer to a new order waits for the order to be done.
    pub order_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host_href: None,
            aliases: Vec::new(),
            https: false,
            behind_proxy: false,
            request_bytes_max: 25_000,
            secret_bytes_max: 20_000,
            page_default: 10,
            page_max: 100,
            keep_payload_blanks: false,
            healthcheck_disable_file: None,
            cors_origins: Vec::new(),
            hide_private: false,
            order_wait: Duration::from_secs(10),
        }
    }
}

/// What the API needs: the engine, somebody who knows callers, and its settings.
pub struct Gateway {
    /// Runs the use cases.
    pub engine: Arc<Engine>,
    /// Is told of new orders.
    pub jobs: Arc<Runner>,
    /// Knows who asks.
    pub authenticator: Arc<dyn Authenticate>,
    /// How the API behaves.
    pub settings: Settings,
}

/// The whole API as one service.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new().fallback(serve).with_state(gateway).layer(CatchPanicLayer::custom(panicked))
}

async fn serve(State(gateway): State<Arc<Gateway>>, request: HttpRequest<Body>) -> Response<Body> {
    let mut id = [0; 16];
    gateway.engine.ports().chance.fill(&mut id);
    let id = format!("req-{}", uuid::Builder::from_random_bytes(id).into_uuid());
    let (parts, body) = request.into_parts();
    let (request, body) = (HttpRequest::from_parts(parts, ()), Arc::new(Mutex::new(body)));
    // What browsers ask is looked at only where some may ask.
    let browser = (!gateway.settings.cors_origins.is_empty())
        .then(|| (request.headers().clone(), request.method() != Method::OPTIONS));
    let preflight = browser.as_ref().and_then(|(asked, _)| cors::preflight(&gateway.settings, request.method(), asked));
    let mut response = match preflight {
        Some(answer) => answer,
        None => route(Arc::clone(&gateway), &id, request, Arc::clone(&body)).await,
    };
    if let Some((asked, true)) = &browser {
        cors::announce(&gateway.settings, asked, &mut response);
    }
    // An answer may come before the body was looked at. What is left of it is read, so that the connection can go on.
    if !extract::drain(&mut *body.lock().await).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-openstack-request-id", id);
    }
    response
}

/// A request's body, read once by whoever needs it.
type SharedBody = Arc<Mutex<Body>>;

async fn route(gateway: Arc<Gateway>, id: &str, request: HttpRequest<()>, body: SharedBody) -> Response<Body> {
    if request.method() == Method::OPTIONS {
        return Response::new(Body::empty());
    }
    let path = request.uri().path().to_owned();
    match path.strip_prefix("/v1") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => v1(gateway, id, request, rest, body).await,
        _ if path == "/" => versions::root(&gateway.settings, &request),
        _ if path == "/openapi.json" && request.method() == Method::GET => openapi::serve(),
        _ if path.trim_end_matches('/') == "/healthcheck" => {
            versions::healthcheck(&gateway.settings, request.method(), request.headers()).await
        }
        _ => text_response(StatusCode::NOT_FOUND, "404 Not Found\n\nThe resource could not be found.\n\n   "),
    }
}

/// Everything below `/v1`, in the order of contract §1.1.
async fn v1(gateway: Arc<Gateway>, id: &str, request: HttpRequest<()>, rest: &str, body: SharedBody) -> Response<Body> {
    let (parts, ()) = request.into_parts();
    let asked = extract::asked(&gateway.settings, &parts.headers, &parts.uri);
    let base = extract::configured(&gateway.settings).map_or_else(|| asked.clone(), str::to_owned);
    let facts = extract::facts(&parts.method, &parts.uri, &parts.headers, &base);
    let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_string());
    let principal = match gateway.authenticator.authenticate(&parts.method, parts.uri.path(), &parts.headers).await {
        Ok(principal) => principal,
        Err(refusal) => {
            let kind = refusal.kind();
            let response = unauthenticated(refusal);
            let http = Some(HttpFacts { status: Some(response.status().as_u16()), ..facts });
            let stranger = Stranger { protocol: Protocol::Barbican, request: id.to_owned(), address, http };
            return match Box::pin(gateway.engine.unknown(stranger, kind)).await {
                Ok(()) => response,
                Err(error) => refusal_of(&error, NOWHERE).into_response(),
            };
        }
    };
    let facts = HttpFacts { user_name: principal.user_name.clone(), ..facts };
    let place = path::parse(rest);
    let row = place.as_ref().ok().and_then(|place| routes::row(place.kind, &parts.method));
    let words = place.as_ref().map_or(NOWHERE, |place| words(place, row));
    let success = place.as_ref().map_or(200, |place| openapi::success(place.kind, &parts.method).0);
    let status = move |error: Option<&Error>| error.map_or(success, |error| refusal_of(error, words).status.as_u16());
    let caller = Caller {
        principal: Arc::new(principal),
        protocol: Protocol::Barbican,
        request: id.to_owned(),
        address,
        transaction: None,
        http: Some(Arc::new(Http { facts, status: Box::new(status) })),
        lane: Lane::Interactive,
        bounds: None,
    };
    let version = match Microversion::of(&parts.headers) {
        Ok(version) => version,
        Err((status, text)) => {
            let refusal = Refusal::new(status, text.clone());
            return match Box::pin(gateway.engine.refused(&caller, &refusal.into())).await {
                Ok(()) => early(status, &text),
                Err(error) => refusal_of(&error, NOWHERE).into_response(),
            };
        }
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let mut response = match place {
        Err(description) => {
            let refusal = Refusal::not_found(description);
            match Box::pin(gateway.engine.refused(&caller, &refusal.clone().into())).await {
                Ok(()) => refusal.into_response(),
                Err(error) => refusal_of(&error, NOWHERE).into_response(),
            }
        }
        Ok(place) => {
            let request = Request {
                gateway,
                caller,
                place,
                version,
                base,
                asked,
                query,
                headers: parts.headers,
                body,
                operation: "",
                rule: None,
            };
            dispatch(request, &parts.method).await
        }
    };
    versions::announce(&mut response, version);
    response
}

/// Method and `Accept`, each after the target is known to exist; then the endpoint.
async fn dispatch(mut request: Request, method: &Method) -> Response<Body> {
    let row = routes::row(request.place.kind, method);
    let words = words(&request.place, row);
    let accept = extract::header_text(&request.headers, header::ACCEPT);
    if let Some(refusal) = stores::missing(&request) {
        return Box::pin(request.refuse(refusal, words)).await;
    }
    let refusal = match row {
        None => Some(routes::absent(&request.place)),
        Some(row) if row.answers_json && !extract::accepts_json(accept.as_deref()) => Some(Refusal::not_acceptable()),
        Some(_) => None,
    };
    if let Some(refusal) = refusal {
        let found = Box::pin(request.gateway.engine.look_up(&request.caller, request.place.target())).await;
        let refusal = found.err().map_or(refusal, |error| refusal_of(&error, words));
        return Box::pin(request.refuse(refusal, words)).await;
    }
    let Some(row) = row else { return Refusal::not_acceptable().into_response() };
    (request.operation, request.rule) = (row.operation, row.rule);
    match (row.run)(request).await {
        Ok(response) => response,
        Err(error) => refusal_of(&error, words).into_response(),
    }
}

fn words(place: &Place, row: Option<&Row>) -> Words {
    Words {
        operation: row.map_or("Request", |row| row.operation),
        missing: place.missing(),
        own: row.map_or(&[], |row| row.own),
    }
}

/// One request on its way to an endpoint.
struct Request {
    gateway: Arc<Gateway>,
    caller: Caller,
    place: Place,
    version: Microversion,
    /// The root of the links of the answer.
    base: String,
    /// The root that the client used, which `host_href` may differ from.
    asked: String,
    query: Query,
    headers: HeaderMap,
    body: SharedBody,
    /// The operation's name in error texts.
    operation: &'static str,
    /// The rule that the request is measured by.
    rule: Option<&'static str>,
}

/// What is said of a request that names nothing, when even that cannot be said.
const NOWHERE: Words = Words { operation: "Request", missing: "", own: &[] };

impl Request {
    /// The answer to a request that ends before any use case: it stands in the audit trail like all others.
    async fn refuse(&self, refusal: Refusal, words: Words) -> Response<Body> {
        match self.gateway.engine.refused(&self.caller, &refusal.clone().into()).await {
            Ok(()) => refusal.into_response(),
            Err(error) => refusal_of(&error, words).into_response(),
        }
    }

    /// The secret, container or order of the path.
    const fn id(&self) -> UniqueIdentifier {
        self.place.id
    }

    fn settings(&self) -> &Settings {
        &self.gateway.settings
    }

    fn now(&self) -> Timestamp {
        self.gateway.engine.ports().clock.now()
    }

    fn window(&self) -> Window {
        Window::of(&self.query, self.settings().page_default, self.settings().page_max)
    }

    /// Runs a use case.
    async fn execute<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        let late = Late { target: operation.target(), rule: self.rule, operation: Ok(operation) };
        self.gateway.engine.execute(&self.caller, late).await
    }

    /// Runs a use case made from a body that may be wrong; lookup and policy come first.
    async fn execute_late<O: Operation>(&self, operation: Result<O, Refusal>) -> Result<O::Output, Error> {
        let target = self.place.target();
        let late = Late { target, rule: self.rule, operation: operation.map_err(Error::from) };
        self.gateway.engine.execute(&self.caller, late).await
    }

    /// The JSON body of a verb that requires one.
    async fn json(&mut self) -> Result<Json, Refusal> {
        self.requires_json()?;
        self.any_json().await
    }

    /// Refuses a body that says it is something else than JSON, or says nothing.
    fn requires_json(&self) -> Result<(), Refusal> {
        let content_type = extract::header_text(&self.headers, header::CONTENT_TYPE).unwrap_or_default();
        if content_type.split(';').next().map(str::trim) == Some("application/json") {
            Ok(())
        } else {
            Err(Refusal::content_type(&["application/json"]))
        }
    }

    /// The JSON body, whatever its content type says.
    async fn any_json(&mut self) -> Result<Json, Refusal> {
        let keep = self.settings().keep_payload_blanks.then_some("payload");
        let bytes = self.bytes(self.settings().request_bytes_max).await?.ok_or_else(Refusal::malformed_json)?;
        Json::parse(&bytes, keep).ok_or_else(Refusal::malformed_json)
    }

    /// The body as it is; `None` when it is longer than `limit`.
    async fn bytes(&mut self, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, Refusal> {
        extract::read(&mut *self.body.lock().await, limit).await
    }
}

/// A JSON answer with status 200.
fn ok(body: &impl Serialize) -> Response<Body> {
    json_response(StatusCode::OK, body)
}

/// A JSON answer with a `Location`.
fn located(status: StatusCode, location: &str, body: &Value) -> Response<Body> {
    let mut response = json_response(status, body);
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// 204 without a body.
fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn text_response(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}

/// A failure before the API proper: the usual members and, for other clients of the reference, `message` (contract §1.8).
fn early(status: StatusCode, text: &str) -> Response<Body> {
    let body = json!({"code": status.as_u16(), "title": error::title(status), "description": text, "message": text});
    json_response(status, &body)
}

fn unauthenticated(refusal: AuthRefusal) -> Response<Body> {
    match refusal {
        AuthRefusal::ProjectMissing => early(StatusCode::BAD_REQUEST, "Missing X-Project-Id"),
        AuthRefusal::Unavailable => {
            early(StatusCode::SERVICE_UNAVAILABLE, "The Keystone service is temporarily unavailable.")
        }
        AuthRefusal::Unauthenticated { challenge } => {
            let text = "The request you have made requires authentication.";
            let inner = json!({"code": 401, "title": "Unauthorized", "message": text});
            let body = json!({"code": 401, "title": "Unauthorized", "description": text, "error": inner});
            let mut response = json_response(StatusCode::UNAUTHORIZED, &body);
            if let Some(challenge) = challenge.and_then(|challenge| HeaderValue::from_str(&challenge).ok()) {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

/// The answer when a handler panicked: the peer learns nothing, the log has the panic.
fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response<Body> {
    tracing::error!("a request handler panicked");
    let text = "Request failure seen - please contact site administrator.";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}
