//! A client of the Barbican API in the unauthenticated context of `dev`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Client, Method,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};

use crate::PATIENCE;

/// A client of one project.
#[derive(Clone)]
pub struct Rest {
    http: Client,
    base: String,
    project: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The seconds of `Retry-After`.
    pub retry_after: Option<u32>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The identifier at the end of a reference in the body.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        let json = self.json();
        let reference = json.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no {name}: {json}"));
        reference.rsplit('/').next().unwrap().to_owned()
    }
}

impl Rest {
    /// A client for the API at `base`, a URL without a path.
    #[must_use]
    pub fn new(base: &str, project: &str) -> Self {
        // The client insists on a provider, though nothing here is TLS; another test may have been first.
        drop(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default());
        let http = Client::builder().timeout(PATIENCE).connect_timeout(PATIENCE).no_proxy();
        Self { http: http.build().unwrap(), base: base.to_owned(), project: project.to_owned() }
    }

    /// A request with a JSON body.
    ///
    /// # Errors
    ///
    /// A broken connection: what was asked may have happened or not.
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Answer, reqwest::Error> {
        self.send(method, path, "application/json", "application/json", body.to_string().into_bytes()).await
    }

    /// A request without a body.
    ///
    /// # Errors
    ///
    /// As [`Self::json`].
    pub async fn bare(&self, method: Method, path: &str, accept: &str) -> Result<Answer, reqwest::Error> {
        self.send(method, path, accept, "", Vec::new()).await
    }

    /// Any request.
    ///
    /// # Errors
    ///
    /// As [`Self::json`].
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, url).header("X-Project-Id", &self.project).header("Accept", accept);
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap()).body(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(reqwest::header::RETRY_AFTER).cloned();
        let retry_after = retry_after.and_then(|text| text.to_str().ok()?.parse().ok());
        Ok(Answer { status, retry_after, body: answer.bytes().await?.to_vec() })
    }

    /// Stores bytes in one step; the answer to the creation.
    ///
    /// # Errors
    ///
    /// As [`Self::json`].
    pub async fn store(&self, secret_type: &str, payload: &[u8]) -> Result<Answer, reqwest::Error> {
        let body = json!({
            "name": "stored",
            "secret_type": secret_type,
            "payload": STANDARD.encode(payload),
            "payload_content_type": "application/octet-stream",
            "payload_content_encoding": "base64",
        });
        self.json(Method::POST, "/v1/secrets", &body).await
    }

    /// The payload of a secret, in its own content type.
    ///
    /// # Errors
    ///
    /// As [`Self::json`].
    pub async fn payload(&self, id: &str) -> Result<Answer, reqwest::Error> {
        self.bare(Method::GET, &format!("/v1/secrets/{id}/payload"), "*/*").await
    }

    /// Deletes a secret.
    ///
    /// # Errors
    ///
    /// As [`Self::json`].
    pub async fn delete(&self, id: &str) -> Result<Answer, reqwest::Error> {
        self.bare(Method::DELETE, &format!("/v1/secrets/{id}"), "application/json").await
    }
}
