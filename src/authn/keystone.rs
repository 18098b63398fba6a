//! Keystone v3 token validation: `GET /v3/auth/tokens` with a service token of our own (Identity API v3, "Validate and show
//! information for token").
//!
//! What Keystone said is remembered for a short time under the SHA-256 of the token, never under the token; a refusal for five
//! seconds. Concurrent requests with one token ask once. Our own token is renewed before it ends and when Keystone refuses it.
//! That Keystone is away is never remembered. Tokens of trusts and application credentials need nothing special: what they may is
//! in the answer.

mod access_rules;
mod answer;
mod login;
pub(super) mod notice;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache};
use reqwest::{
    Method, Request, Response, StatusCode, Url,
    header::{HeaderName, HeaderValue},
};
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use self::answer::{Answer, Token};
use super::{Refusal, RestClaim, principal};
use crate::{
    crypto::hash,
    domain::{Principal, Realm, SecretValue, Timestamp},
};

/// How long a refused token is not asked about again.
const REFUSED: Duration = Duration::from_secs(5);
/// Our own token is not used in the last minute of its life.
const MARGIN_SECONDS: i64 = 60;
/// Longer tokens are refused without asking: Fernet and JWS tokens have some hundred bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Remembered tokens.
const REMEMBERED_MAX: u64 = 10_000;
/// One try and two more, while time is left.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const X_SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// Says that we honour the limits of application credentials; without it Keystone hides such tokens.
const ACCESS_RULES: HeaderName = HeaderName::from_static("openstack-identity-access-rules");

/// A Keystone v3 service and our account there; the password comes separately.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeystoneSettings {
    /// Its URL, up to `/v3` or without it.
    pub url: String,
    /// Our user, who may validate tokens.
    pub username: String,
    /// The user's domain, by name.
    #[serde(default = "default_domain")]
    pub user_domain: String,
    /// Our project, by name.
    #[serde(default = "service")]
    pub project: String,
    /// The project's domain, by name.
    #[serde(default = "default_domain")]
    pub project_domain: String,
    /// What `WWW-Authenticate` names; absent: `url`.
    #[serde(default)]
    pub public_url: Option<String>,
    /// Roles that make a service token one.
    #[serde(default = "service_roles")]
    pub service_token_roles: Vec<String>,
    /// How long a validated token is believed; 0 asks each time.
    #[serde(default = "cache_seconds")]
    pub cache_seconds: u64,
    /// For one validation, tries included.
    #[serde(default = "request_seconds")]
    pub request_seconds: u64,
}

fn default_domain() -> String {
    "Default".to_owned()
}

fn service() -> String {
    "service".to_owned()
}

fn service_roles() -> Vec<String> {
    vec![service()]
}

const fn cache_seconds() -> u64 {
    60
}

const fn request_seconds() -> u64 {
    5
}

/// What keeps the gateway from using Keystone, for operators.
#[derive(Debug, Error)]
pub enum KeystoneError {
    /// The URL is none, neither http nor https, or has a password in it.
    #[error("the Keystone URL is not usable: write http:// or https://, a host, and no user or password")]
    Url,
    /// The CA file holds no certificate, or TLS cannot be set up.
    #[error("TLS to Keystone cannot be set up; check the CA file")]
    Tls(#[source] reqwest::Error),
    /// Nothing answers, or not in time.
    #[error("Keystone does not answer")]
    Unreachable(#[source] Option<reqwest::Error>),
    /// It answers with something unexpected.
    #[error("Keystone answered {0}")]
    Status(StatusCode),
    /// The password is not UTF-8.
    #[error("the Keystone password is not UTF-8 text")]
    Password,
    /// Our name or password is refused.
    #[error("Keystone refuses the gateway's user: check username, domains, project and password")]
    LoginRefused,
    /// Our user lacks the right to validate tokens.
    #[error("the gateway's Keystone user may not validate tokens: give it the role service or admin")]
    NotAllowed,
    /// The answer is not what the Identity API promises.
    #[error("Keystone's answer cannot be read: {0}")]
    Answer(&'static str),
}

/// Validates tokens.
pub struct Keystone {
    tokens: Url,
    login: Zeroizing<Vec<u8>>,
    www_authenticate: String,
    service_roles: Vec<String>,
    limit: Duration,
    http: reqwest::Client,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    remembered: Duration,
    verdicts: Cache<[u8; 32], Verdict>,
    own: Cache<(), Own>,
}

/// What is remembered of a token.
#[derive(Clone)]
enum Verdict {
    Vouched { token: Arc<Token>, lasts: Duration },
    Refused { lasts: Duration },
}

/// What is remembered of our own log-in: a refused one for a moment too, lest the account be locked.
#[derive(Clone)]
enum Own {
    In { header: Arc<HeaderValue>, lasts: Duration },
    Refused,
}

struct Lifetimes;

impl Expiry<[u8; 32], Verdict> for Lifetimes {
    fn expire_after_create(&self, _key: &[u8; 32], verdict: &Verdict, _at: Instant) -> Option<Duration> {
        Some(match verdict {
            Verdict::Vouched { lasts, .. } | Verdict::Refused { lasts } => *lasts,
        })
    }
}

impl Expiry<(), Own> for Lifetimes {
    fn expire_after_create(&self, _key: &(), own: &Own, _at: Instant) -> Option<Duration> {
        Some(match own {
            Own::In { lasts, .. } => *lasts,
            Own::Refused => REFUSED,
        })
    }
}

impl Keystone {
    /// Sets the client up; asks nothing yet. `ca` is PEM; without it the system's CAs are trusted.
    ///
    /// # Errors
    ///
    /// [`KeystoneError::Url`], [`KeystoneError::Tls`].
    ///
    /// # Panics
    ///
    /// When the process has not named its TLS provider; `tls::install_provider` comes first.
    pub fn new(
        settings: &KeystoneSettings,
        password: &SecretValue,
        ca: Option<&[u8]>,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<Self, KeystoneError> {
        let base = settings.url.trim_end_matches('/');
        let base = base.strip_suffix("/v3").unwrap_or(base);
        let named: Url = base.parse().ok().ok_or(KeystoneError::Url)?;
        let has_user = !named.username().is_empty() || named.password().is_some();
        if !["http", "https"].contains(&named.scheme()) || has_user {
            return Err(KeystoneError::Url);
        }
        let tokens: Url = format!("{base}/v3/auth/tokens?nocatalog=").parse().ok().ok_or(KeystoneError::Url)?;
        let limit = Duration::from_secs(settings.request_seconds.max(1));
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limit)
            .timeout(limit)
            .pool_idle_timeout(Duration::from_secs(30));
        let builder = match ca {
            Some(pem) => {
                builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem).map_err(KeystoneError::Tls)?)
            }
            // No CAs are needed, and there may be none on the machine.
            None if tokens.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        Ok(Self {
            login: login::body(settings, password)?,
            www_authenticate: format!(
                "Keystone uri=\"{}\"",
                settings.public_url.as_deref().unwrap_or(base).replace(['"', '\\'], "")
            ),
            tokens,
            service_roles: settings.service_token_roles.iter().map(|role| role.to_lowercase()).collect(),
            limit,
            http: builder.build().map_err(KeystoneError::Tls)?,
            clock,
            remembered: Duration::from_secs(settings.cache_seconds),
            verdicts: Cache::builder().max_capacity(REMEMBERED_MAX).expire_after(Lifetimes).build(),
            own: Cache::builder().max_capacity(1).expire_after(Lifetimes).build(),
        })
    }

    /// The principal behind a request's token.
    ///
    /// # Errors
    ///
    /// `Unauthenticated` without a good token, `Unscoped` for one without a project, `Unavailable` when Keystone cannot be asked.
    pub async fn authenticate(&self, claim: &RestClaim<'_>) -> Result<Principal, Refusal> {
        let token = claim.token.ok_or(Refusal::Unauthenticated)?;
        // A service that acts for a user may do so longer than the user's token lives, and is not bound by its limits.
        let by_service = match claim.service_token {
            Some(service) => match self.validate(service, false).await {
                Ok(found) => found.roles.iter().any(|role| self.service_roles.contains(role)),
                Err(Refusal::Unavailable) => return Err(Refusal::Unavailable),
                Err(_refused) => false,
            },
            None => false,
        };
        let found = self.validate(token, by_service).await?;
        if !by_service
            && !found.access_rules.as_ref().is_none_or(|rules| access_rules::allow(rules, claim.method, claim.path))
        {
            return Err(Refusal::Unauthenticated);
        }
        let project = found.project.as_deref().ok_or(Refusal::Unscoped)?;
        let known = principal(Some(&found.user), project, found.roles.iter().map(String::as_str), Realm::Keystone);
        Ok(Principal { user_name: found.user_name.clone(), ..known })
    }

    /// The header `WWW-Authenticate` of a 401.
    #[must_use]
    pub fn www_authenticate(&self) -> String {
        self.www_authenticate.clone()
    }

    /// Logs in, so that a start or a check finds out early that it cannot.
    ///
    /// # Errors
    ///
    /// What keeps it from doing so.
    pub async fn reach(&self) -> Result<(), KeystoneError> {
        match within(self.limit, self.log_in()).await? {
            Own::Refused => Err(KeystoneError::LoginRefused),
            own @ Own::In { .. } => {
                self.own.insert((), own).await;
                Ok(())
            }
        }
    }

    /// What Keystone says of a token, by memory or by asking.
    async fn validate(&self, token: &str, allow_expired: bool) -> Result<Arc<Token>, Refusal> {
        let header = secret_header(token.as_bytes()).filter(|_| token.len() <= TOKEN_BYTES_MAX && !token.is_empty());
        let header = header.ok_or(Refusal::Unauthenticated)?;
        let key = hash::sha256_of(&[&[u8::from(allow_expired)], token.as_bytes()]);
        let asking = async { within(self.limit, self.ask(&header, allow_expired)).await };
        match self.verdicts.try_get_with(key, asking).await {
            Ok(Verdict::Vouched { token, .. }) => Ok(token),
            Ok(Verdict::Refused { .. }) => Err(Refusal::Unauthenticated),
            Err(error) => {
                let source = std::error::Error::source(&*error).map(ToString::to_string);
                tracing::error!(%error, source, "a token could not be validated");
                Err(Refusal::Unavailable)
            }
        }
    }

    async fn ask(&self, subject: &HeaderValue, allow_expired: bool) -> Result<Verdict, KeystoneError> {
        let refused = Verdict::Refused { lasts: self.remembered.min(REFUSED) };
        let mut url = self.tokens.clone();
        if allow_expired {
            url.query_pairs_mut().append_pair("allow_expired", "1");
        }
        // Our own token may have been revoked or its keys rotated away: then log in again, once.
        for _ in 0..2 {
            let own = self.own_token().await?;
            let mut request = Request::new(Method::GET, url.clone());
            request.headers_mut().insert(X_AUTH_TOKEN, HeaderValue::clone(&own));
            request.headers_mut().insert(X_SUBJECT_TOKEN, subject.clone());
            request.headers_mut().insert(ACCESS_RULES, HeaderValue::from_static("1.0"));
            let (status, _, body) = self.send(request).await?;
            return match status {
                StatusCode::OK => {
                    let token = Answer::parse(&body).map_err(KeystoneError::Answer)?;
                    let left = token.expires.seconds().saturating_sub((self.clock)().seconds());
                    let lasts = match (u64::try_from(left), allow_expired) {
                        (Ok(left @ 1..), _) => self.remembered.min(Duration::from_secs(left)),
                        (_, true) => self.remembered,
                        (_, false) => return Ok(refused),
                    };
                    Ok(Verdict::Vouched { token: Arc::new(token), lasts })
                }
                // "Not found" is Keystone's word for a bad token; a server that is no Keystone says it in other words.
                StatusCode::NOT_FOUND if !answer::is_error(&body) => Err(KeystoneError::Answer("not an Identity API")),
                StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => Ok(refused),
                StatusCode::FORBIDDEN => Err(KeystoneError::NotAllowed),
                StatusCode::UNAUTHORIZED => {
                    self.forget(&own).await;
                    continue;
                }
                status => Err(KeystoneError::Status(status)),
            };
        }
        Err(KeystoneError::LoginRefused)
    }

    async fn own_token(&self) -> Result<Arc<HeaderValue>, KeystoneError> {
        // Waiters share the log-in of the first; its error is told to each in its own words.
        match self.own.try_get_with((), self.log_in()).await {
            Ok(Own::In { header, .. }) => Ok(header),
            Ok(Own::Refused) => Err(KeystoneError::LoginRefused),
            Err(error) => Err(match &*error {
                KeystoneError::Status(status) => KeystoneError::Status(*status),
                KeystoneError::Answer(what) => KeystoneError::Answer(what),
                KeystoneError::NotAllowed => KeystoneError::NotAllowed,
                KeystoneError::LoginRefused => KeystoneError::LoginRefused,
                KeystoneError::Url
                | KeystoneError::Tls(_)
                | KeystoneError::Password
                | KeystoneError::Unreachable(_) => KeystoneError::Unreachable(None),
            }),
        }
    }

    /// Forgets our own token, unless somebody has renewed it meanwhile.
    async fn forget(&self, refused: &Arc<HeaderValue>) {
        if let Some(Own::In { header, .. }) = self.own.get(&()).await
            && Arc::ptr_eq(&header, refused)
        {
            self.own.invalidate(&()).await;
        }
    }

    async fn log_in(&self) -> Result<Own, KeystoneError> {
        let mut request = Request::new(Method::POST, self.tokens.clone());
        request.headers_mut().insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(self.login.to_vec().into());
        let (status, header, body) = self.send(request).await?;
        match status {
            StatusCode::CREATED => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(Own::Refused),
            status => return Err(KeystoneError::Status(status)),
        }
        let header = header.ok_or(KeystoneError::Answer("no token in the answer to our log-in"))?;
        let expires = Answer::expiry(&body).map_err(KeystoneError::Answer)?;
        let left = expires.seconds().saturating_sub((self.clock)().seconds()).saturating_sub(MARGIN_SECONDS);
        let lasts = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        Ok(Own::In { header: Arc::new(header), lasts })
    }

    /// Sends a request, which may be repeated, until somebody answers: status, new token, body.
    async fn send(
        &self,
        request: Request,
    ) -> Result<(StatusCode, Option<HeaderValue>, Zeroizing<Vec<u8>>), KeystoneError> {
        let mut last = KeystoneError::Unreachable(None);
        for attempt in 0..TRIES {
            tokio::time::sleep(PAUSE * attempt).await;
            // Bodies here are bytes, so the clone cannot fail.
            let Some(request) = request.try_clone() else { break };
            match self.http.execute(request).await {
                Ok(response) if response.status().is_server_error() => last = KeystoneError::Status(response.status()),
                Ok(response) => {
                    let status = response.status();
                    let token =
                        response.headers().get(X_SUBJECT_TOKEN).and_then(|token| secret_header(token.as_bytes()));
                    return Ok((status, token, read(response).await?));
                }
                Err(error) => last = KeystoneError::Unreachable(Some(error.without_url())),
            }
        }
        Err(last)
    }
}

impl fmt::Debug for Keystone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystone").field("tokens", &self.tokens.as_str()).finish_non_exhaustive()
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, KeystoneError>>) -> Result<T, KeystoneError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(KeystoneError::Unreachable(None)))
}

/// The whole body of an answer, which is bounded: a token with many roles has some ten thousand bytes.
async fn read(mut response: Response) -> Result<Zeroizing<Vec<u8>>, KeystoneError> {
    const BODY_BYTES_MAX: usize = 1 << 20;
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) =
        response.chunk().await.map_err(|error| KeystoneError::Unreachable(Some(error.without_url())))?
    {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(KeystoneError::Answer("too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A header value that no log and no compression table shows.
fn secret_header(bytes: &[u8]) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_bytes(bytes).ok()?;
    header.set_sensitive(true);
    Some(header)
}
