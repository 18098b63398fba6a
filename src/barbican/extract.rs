//! What a request says about itself: who asks, which microversion, which base its links have, what it accepts.

use std::{fmt, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    http::{HeaderMap, Method, StatusCode, Uri, header},
};
use http_body_util::BodyExt;
use zeroize::Zeroizing;

use super::{Settings, error::Refusal};
use crate::{
    domain::{Principal, audit::HttpFacts},
    engine::{ErrorKind, ports::Answer},
};

/// Why nobody is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthRefusal {
    /// No token, or one that is not valid; the text goes into `WWW-Authenticate`.
    Unauthenticated {
        /// The whole header value, if there is one.
        challenge: Option<String>,
    },
    /// Whoever could tell cannot be reached.
    Unavailable,
    /// The development context without `X-Project-Id`.
    ProjectMissing,
}

impl AuthRefusal {
    /// What the audit trail calls it.
    pub(super) const fn kind(&self) -> ErrorKind {
        match self {
            Self::Unauthenticated { .. } => ErrorKind::Unauthenticated,
            Self::Unavailable => ErrorKind::Unavailable,
            Self::ProjectMissing => ErrorKind::Malformed,
        }
    }
}

/// Turns a request's headers into a principal: Keystone, or the development context.
pub trait Authenticate: Send + Sync {
    /// Who asks. Method and path count, because a token may be limited to some requests.
    fn authenticate<'a>(
        &'a self,
        method: &'a Method,
        path: &'a str,
        headers: &'a HeaderMap,
    ) -> Answer<'a, Result<Principal, AuthRefusal>>;
}

/// An API microversion, 1.0 to 1.2 (contract §1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Microversion(u8);

impl Microversion {
    pub(super) const V1_0: Self = Self(0);
    pub(super) const V1_1: Self = Self(1);
    pub(super) const V1_2: Self = Self(2);
    pub(super) const HEADER: &'static str = "openstack-api-version";

    /// From the header, which may stand several times and name several services.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, (StatusCode, String)> {
        let mut version = Self::V1_0;
        for line in headers.get_all(Self::HEADER) {
            for element in line.to_str().unwrap_or_default().split(',') {
                let mut words = element.split_ascii_whitespace();
                if let (Some(service), Some(text)) = (words.next(), words.next())
                    && service.eq_ignore_ascii_case("key-manager")
                {
                    version = Self::parse(text)?;
                }
            }
        }
        Ok(version)
    }

    fn parse(text: &str) -> Result<Self, (StatusCode, String)> {
        if text.eq_ignore_ascii_case("latest") {
            return Ok(Self::V1_2);
        }
        let invalid = || {
            let text =
                format!("Invalid microversion: invalid version string: {text}; the form is major.minor or latest");
            (StatusCode::BAD_REQUEST, text)
        };
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain { Ok(digits.parse::<u32>().unwrap_or(u32::MAX)) } else { Err(invalid()) }
        };
        let (major, minor) = text.split_once('.').ok_or_else(invalid)?;
        match (number(major)?, number(minor)?) {
            (1, 0) => Ok(Self::V1_0),
            (1, 1) => Ok(Self::V1_1),
            (1, 2) => Ok(Self::V1_2),
            _ => {
                let text = format!("Invalid microversion: Unacceptable version header: {text}");
                Err((StatusCode::NOT_ACCEPTABLE, text))
            }
        }
    }
}

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// The one value of a header; `None` when it is absent. Several lines are one list.
pub(super) fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("\u{fffd}")).collect();
    if lines.is_empty() { None } else { Some(lines.join(", ")) }
}

/// Whether JSON answers the `Accept` header (contract §1.5). What cannot be read accepts everything.
pub(super) fn accepts_json(accept: Option<&str>) -> bool {
    let Some(accept) = accept.map(str::trim).filter(|accept| !accept.is_empty()) else { return true };
    let mut unreadable = true;
    for element in accept.split(',') {
        let media = element.split(';').next().unwrap_or_default().trim();
        let Some((kind, subtype)) = media.split_once('/') else { continue };
        if kind.is_empty() || subtype.is_empty() {
            continue;
        }
        unreadable = false;
        if matches!((kind, subtype), ("*" | "application", "*") | ("application", "json")) {
            return true;
        }
    }
    unreadable
}

/// The root of the links of an answer, without a trailing slash (contract §1.10).
pub(super) fn base(settings: &Settings, headers: &HeaderMap, uri: &Uri) -> String {
    configured(settings).map_or_else(|| asked(settings, headers, uri), str::to_owned)
}

/// The root that the operator has named.
pub(super) fn configured(settings: &Settings) -> Option<&str> {
    let href = settings.host_href.as_deref().map(str::trim).filter(|href| !href.is_empty())?;
    Some(href.trim_end_matches('/'))
}

/// The root that the client used, as far as the request tells.
pub(super) fn asked(settings: &Settings, headers: &HeaderMap, uri: &Uri) -> String {
    let proxy = if settings.behind_proxy { Forwarded::of(headers) } else { Forwarded::default() };
    let scheme = match proxy.scheme.map(|scheme| scheme.to_ascii_lowercase()) {
        Some(scheme) if matches!(scheme.as_str(), "http" | "https") => scheme,
        _ if settings.https => "https".to_owned(),
        _ => "http".to_owned(),
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let own = uri.authority().map(ToString::to_string).or(host).filter(|it| is_authority(it));
    let told = proxy.host.filter(|it| is_authority(it));
    let mut authority = told.or(own).unwrap_or_else(|| "localhost".to_owned());
    if let Some(port) = proxy.port.and_then(|port| port.parse::<u16>().ok()) {
        let usual = if scheme == "https" { 443 } else { 80 };
        authority.truncate(host_length(&authority));
        if port != usual {
            authority.push_str(&format!(":{port}"));
        }
    }
    let prefix = proxy.prefix.map(|prefix| prefix.trim_matches('/').to_owned());
    match prefix.filter(|prefix| is_prefix(prefix)) {
        Some(prefix) => format!("{scheme}://{authority}/{prefix}"),
        None => format!("{scheme}://{authority}"),
    }
}

/// What a trusted proxy says of the request that it took: RFC 7239 where it is spoken, else the older headers. Of several
/// proxies the outermost counts, which stands first.
#[derive(Default)]
struct Forwarded {
    scheme: Option<String>,
    host: Option<String>,
    port: Option<String>,
    prefix: Option<String>,
}

impl Forwarded {
    fn of(headers: &HeaderMap) -> Self {
        let first = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            value.split(',').next().map(|first| first.trim().to_owned()).filter(|first| !first.is_empty())
        };
        let prefix = first("x-forwarded-prefix");
        match first("forwarded") {
            Some(element) => {
                let pair = |wanted: &str| {
                    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
                    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
                    Some(value.trim().trim_matches('"').to_owned())
                };
                Self { scheme: pair("proto"), host: pair("host"), port: None, prefix }
            }
            None => Self {
                scheme: first("x-forwarded-proto"),
                host: first("x-forwarded-host"),
                port: first("x-forwarded-port"),
                prefix,
            },
        }
    }
}

/// Where the host of an authority ends: before the last colon, unless that belongs to an IPv6 address.
fn host_length(authority: &str) -> usize {
    match authority.rfind(':') {
        Some(colon) if authority.get(colon..).is_some_and(|tail| !tail.contains(']')) => colon,
        _ => authority.len(),
    }
}

/// Letters that the path of a service has; nothing else comes back in our links.
fn is_prefix(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~'))
}

/// Most characters of a path and of a client's name on the audit trail: a peer is not to fill it with one request.
const AUDITED_PATH_MAX: usize = 1024;
const AUDITED_AGENT_MAX: usize = 256;

/// What the audit trail says of a request before its outcome is known. A session key in the query is masked, wrapped or not.
pub(super) fn facts(method: &Method, uri: &Uri, headers: &HeaderMap, base: &str) -> HttpFacts {
    let cut = |text: &str, most: usize| {
        if text.len() <= most { text.to_owned() } else { text.chars().take(most).collect() }
    };
    let mut path = uri.path().to_owned();
    for (at, element) in uri.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        path.push(if at == 0 { '?' } else { '&' });
        let name = element.split('=').next().unwrap_or_default();
        match super::query::decode(name).as_str() {
            "trans_wrapped_session_key" => path.extend([name, "=***"]),
            _ => path.push_str(element),
        }
    }
    let agent = headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    HttpFacts {
        method: cut(method.as_str(), 32),
        path: cut(&path, AUDITED_PATH_MAX),
        service: base.to_owned(),
        agent: agent.map(|agent| cut(&agent, AUDITED_AGENT_MAX)),
        user_name: None,
        status: None,
    }
}

/// Letters that a host and port have; anything else would come back in our answers as the peer wrote it.
fn is_authority(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'_' | b'[' | b']'))
}

/// How long a peer may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body of at most `limit` bytes into zeroised memory; `None` when it is longer.
pub(super) async fn read(body: &mut Body, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, Refusal> {
    // One allocation, for what was announced or for the whole limit: growing would leave copies behind.
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced.map_or(limit, |bytes| bytes.min(limit))));
    let all = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_broken| Refusal::bad_request("The body of the request is incomplete."))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > limit.saturating_sub(bytes.len()) {
                return Ok(false);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(true)
    };
    match tokio::time::timeout(BODY_TIMEOUT, all).await {
        Ok(Ok(true)) => Ok(Some(bytes)),
        Ok(Ok(false)) => Ok(None),
        Ok(Err(refusal)) => Err(refusal),
        Err(_elapsed) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "The body of the request came too slowly.")),
    }
}

/// Most bytes of a body that are read only to be thrown away, and for how long.
const DRAIN_BYTES_MAX: usize = 1 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads what is left of a body that nobody wants; false when that is too much or takes too long.
pub(super) async fn drain(body: &mut Body) -> bool {
    let mut seen = 0_usize;
    let all = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            seen = seen.saturating_add(frame.data_ref().map_or(0, |data| data.len()));
            if seen > DRAIN_BYTES_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DRAIN_TIMEOUT, all).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(value: &str) -> Result<String, (u16, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(Microversion::HEADER, value.parse().unwrap());
        Microversion::of(&headers).map(|it| it.to_string()).map_err(|(status, text)| (status.as_u16(), text))
    }

    #[test]
    fn microversions_are_read_as_the_contract_lists_them() {
        for (value, expected) in [
            ("key-manager 1.0", "1.0"),
            ("key-manager 1.2", "1.2"),
            ("key-manager latest", "1.2"),
            ("compute 2.1", "1.0"),
            ("compute 2.1, key-manager 1.2", "1.2"),
            ("1.1", "1.0"),
        ] {
            assert_eq!(version(value).as_deref(), Ok(expected), "{value}");
        }
        let (status, text) = version("key-manager 1.9").unwrap_err();
        assert_eq!((status, text.as_str()), (406, "Invalid microversion: Unacceptable version header: 1.9"));
        let (status, text) = version("key-manager abc").unwrap_err();
        assert_eq!(status, 400);
        assert!(text.contains("Invalid microversion: invalid version string: abc; "), "{text}");
    }

    #[test]
    fn json_is_accepted_where_the_contract_says_so() {
        for (accept, expected) in [
            (None, true),
            (Some(""), true),
            (Some("*/*"), true),
            (Some("application/json"), true),
            (Some("text/html, application/json;q=0.5"), true),
            (Some("nonsense"), true),
            (Some("text/plain"), false),
            (Some("application/xml"), false),
            (Some("application/octet-stream"), false),
        ] {
            assert_eq!(accepts_json(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn links_start_with_what_is_known_of_the_service() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "keys.example:9311".parse().unwrap());
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let mut settings = Settings::default();
        let uri = Uri::from_static("/v1");
        assert_eq!(base(&settings, &headers, &uri), "http://keys.example:9311");
        settings.behind_proxy = true;
        assert_eq!(base(&settings, &headers, &uri), "https://keys.example:9311");
        settings.host_href = Some("https://api.example/key-manager/".into());
        assert_eq!(base(&settings, &headers, &uri), "https://api.example/key-manager");
        settings.host_href = None;
        headers.insert("host", "a\"b<script>".parse().unwrap());
        assert_eq!(base(&settings, &headers, &uri), "https://localhost");
    }

    #[test]
    fn a_trusted_proxy_tells_host_port_and_prefix() {
        for (forwarded, expected) in [
            (&[("x-forwarded-host", "api.example")][..], "http://api.example"),
            (&[("x-forwarded-host", "api.example, inner:1")], "http://api.example"),
            (&[("x-forwarded-port", "8443")], "http://keys.example:8443"),
            (&[("x-forwarded-port", "443"), ("x-forwarded-proto", "https")], "https://keys.example"),
            (&[("x-forwarded-host", "[::1]"), ("x-forwarded-port", "8443")], "http://[::1]:8443"),
            (&[("x-forwarded-prefix", "/key-manager/")], "http://keys.example:9311/key-manager"),
            (&[("x-forwarded-prefix", "/<script>")], "http://keys.example:9311"),
            (&[("forwarded", "for=1.2.3.4;proto=HTTPS;host=\"api.example:8443\", for=x")], "https://api.example:8443"),
            (&[("forwarded", "proto=https"), ("x-forwarded-host", "other")], "https://keys.example:9311"),
            (&[("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a b")], "http://keys.example:9311"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", "keys.example:9311".parse().unwrap());
            for (name, value) in forwarded {
                headers.insert(header::HeaderName::from_static(name), value.parse().unwrap());
            }
            let uri = Uri::from_static("/v1");
            let settings = Settings { behind_proxy: true, ..Settings::default() };
            assert_eq!(base(&settings, &headers, &uri), expected, "{forwarded:?}");
            assert_eq!(base(&Settings::default(), &headers, &uri), "http://keys.example:9311");
        }
    }

    #[test]
    fn the_trail_is_told_a_path_of_bounded_length_and_no_session_key() {
        let facts = |uri: &str| facts(&Method::GET, &uri.parse().unwrap(), &HeaderMap::new(), "http://k").path;
        assert_eq!(facts("/v1/secrets?limit=1&name=a%20b"), "/v1/secrets?limit=1&name=a%20b");
        assert_eq!(facts("/v1/x?trans_wrapped_session_key=abc&y"), "/v1/x?trans_wrapped_session_key=***&y");
        assert_eq!(facts("/v1/x?trans%5Fwrapped_session_key=abc"), "/v1/x?trans%5Fwrapped_session_key=***");
        assert_eq!(facts(&format!("/v1/{}", "x".repeat(5000))).len(), AUDITED_PATH_MAX);
    }
}
