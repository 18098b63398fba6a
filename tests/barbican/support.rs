//! A gateway in memory and a client for it.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, Response},
};
use portcullis::{
    barbican::{Settings, testing::over},
    engine::{jobs::Runner, testing::Bench},
};
use serde_json::{Value, json};
use tower::ServiceExt;

/// The root of every link in the tests.
pub(crate) const BASE: &str = "http://keys.test:9311";
/// An identifier of the right form that nothing has.
pub(crate) const NOBODY: &str = "6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f";

/// The API over everything in memory.
pub(crate) struct Api {
    pub(crate) bench: Bench,
    pub(crate) router: Router,
    pub(crate) jobs: Arc<Runner>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status and description of an error, whose other members must fit.
    pub(crate) fn error(&self) -> (u16, Value) {
        let body = self.json();
        assert_eq!(body["code"], self.status, "{body}");
        assert!(body["title"].is_string(), "{body}");
        (self.status, body["description"].clone())
    }
}

/// The refusal that is expected.
pub(crate) fn refused(status: u16, description: &str) -> (u16, Value) {
    (status, json!(description))
}

/// One request.
pub(crate) struct Call {
    router: Router,
    request: axum::http::request::Builder,
    body: Body,
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request
            .headers_mut()
            .unwrap()
            .insert(axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        self
    }

    /// The request without this header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn project(self, project: &str) -> Self {
        self.header("x-project-id", project)
    }

    pub(crate) fn user(self, user: &str) -> Self {
        self.header("x-user-id", user)
    }

    pub(crate) fn roles(self, roles: &str) -> Self {
        self.header("x-roles", roles)
    }

    pub(crate) fn version(self, version: &str) -> Self {
        self.header("openstack-api-version", &format!("key-manager {version}"))
    }

    pub(crate) fn accept(self, accept: &str) -> Self {
        self.header("accept", accept)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string())
    }

    pub(crate) fn raw(mut self, content_type: &str, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    pub(crate) async fn send(self) -> Reply {
        let response: Response<Body> = self.router.oneshot(self.request.body(self.body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

impl Api {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let bench = Bench::default();
        let (router, jobs) = over(&bench, settings);
        Self { router, bench, jobs }
    }

    /// A request of user `alice` of project `p1`.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        let request = Request::builder().method(method).uri(path);
        let call = Call { router: self.router.clone(), request, body: Body::empty() };
        call.header("host", "keys.test:9311").project("p1").user("alice")
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path).json(&body).send().await
    }

    /// A secret that must be taken; its identifier.
    pub(crate) async fn secret(&self, body: Value) -> String {
        let reply = self.post("/v1/secrets", body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        id_of(&reply.json()["secret_ref"])
    }

    /// A secret with a text for a payload.
    pub(crate) async fn text_secret(&self, name: &str) -> String {
        self.secret(json!({"name": name, "payload": "beer", "payload_content_type": "text/plain"})).await
    }
}

/// What stands after the last slash.
pub(crate) fn id_of(href: &Value) -> String {
    href.as_str().and_then(|href| href.rsplit('/').next()).expect("an href").to_owned()
}
