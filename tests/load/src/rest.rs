//! The Barbican API over HTTP/1.1 with connections kept alive.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::{
    drive::Client,
    options::RestOperation,
    stats::Failure,
    transport::{Endpoint, Traffic},
    work::{pattern, turn_of},
};

/// Where requests go and for which project.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) endpoint: Endpoint,
    /// For the `Host` header.
    pub(crate) authority: String,
    pub(crate) project: String,
    /// What proves who asks, where somebody asks for it.
    pub(crate) token: Option<header::HeaderValue>,
}

/// A connection that speaks HTTP.
pub(crate) struct Link {
    site: Site,
    traffic: Traffic,
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    ///
    /// What TCP, TLS or HTTP say.
    pub(crate) async fn open(site: &Site) -> Result<Self, Failure> {
        let connection = site.endpoint.connect().await?;
        let traffic = connection.traffic().clone();
        let (sender, driver) = http1::handshake(TokioIo::new(connection)).await.map_err(broken)?;
        // How the connection ends is told to whoever waits for an answer on it.
        tokio::spawn(async move { driver.await.ok() });
        Ok(Self { site: site.clone(), traffic, sender })
    }

    /// Sends one request; any answer but the expected one is a failure.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        accept: &str,
        body: Bytes,
        expected: StatusCode,
    ) -> Result<Bytes, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.site.authority.as_str())
            .header("X-Project-Id", self.site.project.as_str())
            .header(header::ACCEPT, accept);
        if let Some(token) = &self.site.token {
            request = request.header("X-Auth-Token", token);
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, JSON);
        }
        let request = request.body(Full::new(body)).map_err(|error| Failure::refused(format!("request: {error}")))?;
        self.sender.ready().await.map_err(broken)?;
        let answer = self.sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(broken)?.to_bytes();
        if status == expected {
            return Ok(body);
        }
        let description = serde_json::from_slice::<Value>(&body).ok();
        let description = description.as_ref().and_then(|body| body.get("description")?.as_str()).unwrap_or("");
        Err(Failure::refused(format!("HTTP {}: {description}", status.as_u16())))
    }

    async fn store(&mut self, body: &Bytes) -> Result<String, Failure> {
        let answer = self.ask(Method::POST, "/v1/secrets", JSON, body.clone(), StatusCode::CREATED).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_error| unexpected())?;
        let reference = answer.get("secret_ref").and_then(Value::as_str).ok_or_else(unexpected)?;
        let id = reference.rsplit('/').next().filter(|id| !id.is_empty()).ok_or_else(unexpected)?;
        Ok(id.to_owned())
    }

    /// Deletes a secret.
    ///
    /// # Errors
    ///
    /// Any answer but 204.
    pub(crate) async fn delete(&mut self, id: &str) -> Result<(), Failure> {
        let path = format!("/v1/secrets/{id}");
        self.ask(Method::DELETE, &path, JSON, Bytes::new(), StatusCode::NO_CONTENT).await.map(drop)
    }
}

fn broken(error: hyper::Error) -> Failure {
    Failure::broken(format!("HTTP connection: {error}"))
}

fn unexpected() -> Failure {
    Failure::refused("an answer with other content than expected")
}

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// How many secrets a page of the list has.
const PAGE: usize = 10;

/// Secrets made for a run, before it is measured.
pub(crate) struct Prepared {
    secrets: Vec<String>,
    works: Arc<Vec<Work>>,
}

/// What the clients of a run do.
enum Work {
    Store(Bytes),
    Metadata(Vec<String>),
    Payload(Vec<String>, Vec<u8>),
    List(usize),
    Version,
    /// So many bytes of a path.
    Fixed(&'static str, usize),
}

/// A client that asks for one path of any server, whose answer has so many bytes.
pub(crate) fn fixed(link: Link, path: &'static str, bytes: usize) -> RestClient {
    RestClient { link, works: Arc::new(vec![Work::Fixed(path, bytes)]), turn: 0, made: Vec::new() }
}

impl Prepared {
    /// Makes what the operation needs.
    ///
    /// # Errors
    ///
    /// The first refusal.
    pub(crate) async fn make(
        link: &mut Link,
        operations: &[(RestOperation, u32)],
        count: usize,
        size: usize,
    ) -> Result<Self, Failure> {
        let payload = pattern(size);
        let body = json!({
            "name": "load",
            "secret_type": "opaque",
            "payload": BASE64.encode(&payload),
            "payload_content_type": BYTES,
            "payload_content_encoding": "base64",
        });
        let body = Bytes::from(body.to_string());
        let mut secrets = Vec::new();
        let needs = |it: &RestOperation| !matches!(it, RestOperation::Version | RestOperation::Store);
        if operations.iter().any(|(operation, _)| needs(operation)) {
            for _ in 0..count {
                secrets.push(link.store(&body).await?);
            }
        }
        let work = |operation| match operation {
            RestOperation::Store => Work::Store(body.clone()),
            RestOperation::Metadata => Work::Metadata(secrets.clone()),
            RestOperation::Payload => Work::Payload(secrets.clone(), payload.clone()),
            RestOperation::List => Work::List(count.min(PAGE)),
            RestOperation::Version => Work::Version,
        };
        let works = operations.iter().flat_map(|(operation, weight)| (0..*weight).map(|_| work(*operation)));
        Ok(Self { works: Arc::new(works.collect()), secrets })
    }

    /// A client for this work; `number` tells it from the others.
    pub(crate) fn client(&self, link: Link, number: usize) -> RestClient {
        RestClient { link, works: Arc::clone(&self.works), turn: number, made: Vec::new() }
    }

    /// Everything to be deleted.
    pub(crate) fn into_secrets(self, clients: &mut [RestClient]) -> Vec<String> {
        let made = clients.iter_mut().flat_map(|client| client.made.drain(..));
        self.secrets.into_iter().chain(made).collect()
    }
}

/// One connection of a run.
pub(crate) struct RestClient {
    link: Link,
    works: Arc<Vec<Work>>,
    turn: usize,
    made: Vec<String>,
}

impl Client for RestClient {
    async fn once(&mut self) -> Result<(), Failure> {
        self.turn += 1;
        let link = &mut self.link;
        let is_expected = match turn_of(&self.works, self.turn)? {
            Work::Store(body) => {
                self.made.push(link.store(body).await?);
                true
            }
            Work::Metadata(secrets) => {
                let id = turn_of(secrets, self.turn)?;
                let path = format!("/v1/secrets/{id}");
                let found = object(&link.ask(Method::GET, &path, JSON, Bytes::new(), StatusCode::OK).await?)?;
                found.get("secret_ref").and_then(Value::as_str).is_some_and(|reference| reference.ends_with(id))
            }
            Work::Payload(secrets, payload) => {
                let path = format!("/v1/secrets/{}/payload", turn_of(secrets, self.turn)?);
                link.ask(Method::GET, &path, BYTES, Bytes::new(), StatusCode::OK).await?.as_ref() == payload.as_slice()
            }
            Work::List(length) => {
                let path = format!("/v1/secrets?limit={PAGE}");
                let found = object(&link.ask(Method::GET, &path, JSON, Bytes::new(), StatusCode::OK).await?)?;
                found.get("secrets").and_then(Value::as_array).is_some_and(|secrets| secrets.len() >= *length)
            }
            Work::Fixed(path, bytes) => {
                link.ask(Method::GET, path, BYTES, Bytes::new(), StatusCode::OK).await?.len() == *bytes
            }
            Work::Version => {
                object(&link.ask(Method::GET, "/v1", JSON, Bytes::new(), StatusCode::OK).await?)?.is_object()
            }
        };
        if is_expected { Ok(()) } else { Err(unexpected()) }
    }

    fn traffic(&self) -> &Traffic {
        &self.link.traffic
    }

    async fn reconnect(&mut self) -> Result<(), Failure> {
        self.link = Link::open(&self.link.site).await?;
        Ok(())
    }
}

fn object(body: &Bytes) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|_error| unexpected())
}
