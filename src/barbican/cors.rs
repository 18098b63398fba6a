//! Cross-origin requests of browsers (contract §1.13). Off unless origins are configured; a request from another origin is
//! served as if this did not exist, and the browser keeps its answer from the page.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header},
};

use super::Settings;

/// What pages may send and read.
const HEADERS: &str = "X-Auth-Token, X-Openstack-Request-Id, X-Project-Id, X-Identity-Status, X-User-Id, X-Storage-Token, \
                       X-Domain-Id, X-User-Domain-Id, X-Project-Domain-Id, X-Roles";
/// Headers that every page may send anyway.
const SIMPLE: &[&str] = &["accept", "accept-language", "content-type", "cache-control", "content-language"];
const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "PATCH"];

/// The origin of the request, when it is one of ours.
fn allowed(settings: &Settings, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    settings.cors_origins.iter().any(|known| known == "*" || known == text).then(|| origin.clone())
}

/// The answer to a browser's question before the request, if this is one that is allowed.
pub(super) fn preflight(settings: &Settings, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?.to_str().ok()?;
    let origin = allowed(settings, headers).filter(|_| method == Method::OPTIONS && METHODS.contains(&wanted))?;
    let mut response = Response::new(Body::empty());
    let answer = response.headers_mut();
    if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        let is_known = |name: &str| {
            let known = HEADERS.split(", ").any(|header| header.eq_ignore_ascii_case(name));
            name.is_empty() || known || SIMPLE.iter().any(|simple| simple.eq_ignore_ascii_case(name))
        };
        if !asked.to_str().ok()?.split(',').all(|name| is_known(name.trim())) {
            return None;
        }
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    origin_headers(answer, origin);
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_str(wanted).ok()?);
    Some(response)
}

/// Lets the page read the answer, if it may.
pub(super) fn announce(settings: &Settings, asked: &HeaderMap, response: &mut Response<Body>) {
    let Some(origin) = allowed(settings, asked) else { return };
    let headers = response.headers_mut();
    if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        origin_headers(headers, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(HEADERS));
    }
}

fn origin_headers(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    // The answer depends on who asks: caches must not mix them up.
    headers.append(header::VARY, HeaderValue::from_name(HeaderName::from_static("origin")));
}
