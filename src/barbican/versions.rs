//! Version discovery and the health check (contract §1.3, §1.4, §1.12).

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, Response, StatusCode, header},
};
use serde_json::{Value, json};

use super::{
    Request, Settings, early,
    error::json_response,
    extract::{Microversion, accepts_json, base, header_text},
    ok, text_response,
};
use crate::engine::Error;

/// `GET /`: no authentication, and cheap, because some clients ask for it before each operation.
pub(super) fn root(settings: &Settings, request: &HttpRequest<()>) -> Response<Body> {
    let version = match Microversion::of(request.headers()) {
        Ok(version) => version,
        Err((status, text)) => return early(status, &text),
    };
    let accept = header_text(request.headers(), header::ACCEPT);
    let mut response = if request.method() != Method::GET {
        let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        response
    } else if accept.as_deref() == Some("application/json-home") {
        let mut response = text_response(StatusCode::FOUND, "302 Found");
        let place = format!("{}/v1/", base(settings, request.headers(), request.uri()));
        if let Ok(place) = HeaderValue::from_str(&place) {
            response.headers_mut().insert(header::LOCATION, place);
        }
        response
    } else if !accepts_json(accept.as_deref()) {
        text_response(StatusCode::NOT_ACCEPTABLE, "406 Not Acceptable")
    } else if request
        .uri()
        .query()
        .is_some_and(|query| query.split('&').any(|it| it.split('=').next() == Some("build")))
    {
        ok(&json!({"build": env!("CARGO_PKG_VERSION")}))
    } else {
        let document = document(&base(settings, request.headers(), request.uri()), version);
        let versions = if version == Microversion::V1_0 { json!({"values": [document]}) } else { json!([document]) };
        json_response(StatusCode::MULTIPLE_CHOICES, &json!({"versions": versions}))
    };
    announce(&mut response, version);
    response
}

/// `GET /v1`.
pub(super) async fn v1(request: Request) -> Result<Response<Body>, Error> {
    request.gateway.engine.queried(&request.caller).await?;
    Ok(ok(&json!({"version": document(&request.base, request.version)})))
}

/// The version document; its shape depends on the microversion, because clients decide by it what the service supports.
fn document(base: &str, version: Microversion) -> Value {
    let links = json!([
        {"rel": "self", "href": format!("{base}/v1/")},
        {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
    ]);
    if version == Microversion::V1_0 {
        let media = json!([{"base": "application/json", "type": "application/vnd.openstack.key-manager-v1+json"}]);
        json!({"id": "v1", "status": "stable", "links": links, "media-types": media})
    } else {
        json!({"id": "v1", "status": "CURRENT", "min_version": "1.0", "max_version": "1.2", "links": links})
    }
}

/// The headers that tell the effective microversion.
pub(super) fn announce(response: &mut Response<Body>, version: Microversion) {
    let headers: &mut HeaderMap = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&format!("key-manager {version}")) {
        headers.insert(Microversion::HEADER, value);
        headers.insert(header::VARY, HeaderValue::from_static("OpenStack-API-Version"));
    }
}

fn typed_response(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// `/healthcheck`: text and a page for people, JSON for those who ask for it.
pub(super) async fn healthcheck(settings: &Settings, method: &Method, headers: &HeaderMap) -> Response<Body> {
    let disabled = match &settings.healthcheck_disable_file {
        // A file that cannot be looked at counts as there: whoever hid it wants the service out of rotation.
        Some(file) => tokio::fs::try_exists(file).await.unwrap_or(true),
        None => false,
    };
    let (status, reason) =
        if disabled { (StatusCode::SERVICE_UNAVAILABLE, "DISABLED BY FILE") } else { (StatusCode::OK, "OK") };
    match *method {
        Method::HEAD => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = if disabled { status } else { StatusCode::NO_CONTENT };
            response
        }
        Method::GET => {
            let accept = header_text(headers, header::ACCEPT);
            match accept.as_deref() {
                Some(accept) if accept.contains("application/json") => {
                    let body =
                        format!("{{\n    \"detailed\": false,\n    \"reasons\": [\n        \"{reason}\"\n    ]\n}}");
                    typed_response(status, "application/json", body)
                }
                Some(accept) if accept.contains("text/html") => {
                    let body = format!(
                        "<HTML><HEAD><TITLE>Healthcheck Status</TITLE></HEAD>\n<BODY>\n<H2>Result of 1 checks:</H2>\n<TABLE \
                         bgcolor=\"#ffffff\" border=\"1\"><TBODY><TR><TH>Reason</TH></TR>\n<TR><TD>{reason}</TD></TR>\n\
                         </TBODY></TABLE><HR></HR></BODY></HTML>\n"
                    );
                    typed_response(status, "text/html; charset=UTF-8", body)
                }
                _ => text_response(status, reason),
            }
        }
        _ => {
            let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
    }
}
