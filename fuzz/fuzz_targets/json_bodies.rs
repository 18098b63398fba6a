//! JSON bodies and paths of the Barbican API: never a panic, never a 5xx from a request alone.
//!
//! The first byte chooses the call, the rest is the body.
#![no_main]

use std::sync::LazyLock;

use axum::{Router, body::Body, http::Request};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

static ROUTER: LazyLock<Router> = LazyLock::new(portcullis::barbican::testing::router);

const ID: &str = "6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f";

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, body)) = bytes.split_first() else { return };
    let (method, path) = match choice % 12 {
        0 => ("POST", "/v1/secrets".to_owned()),
        1 => ("POST", "/v1/containers".to_owned()),
        2 => ("POST", "/v1/orders".to_owned()),
        3 => ("PUT", format!("/v1/secrets/{ID}")),
        4 => ("PUT", format!("/v1/secrets/{ID}/metadata")),
        5 => ("POST", format!("/v1/secrets/{ID}/metadata")),
        6 => ("PUT", format!("/v1/secrets/{ID}/acl")),
        7 => ("PATCH", format!("/v1/secrets/{ID}/acl")),
        8 => ("POST", format!("/v1/secrets/{ID}/consumers")),
        9 => ("POST", format!("/v1/containers/{ID}/consumers")),
        10 => ("POST", format!("/v1/containers/{ID}/secrets")),
        _ => ("DELETE", format!("/v1/containers/{ID}/secrets")),
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("x-project-id", "fuzz")
        .body(Body::from(body.to_vec()))
        .expect("a request");
    let response = RUNTIME.block_on(ROUTER.clone().oneshot(request)).expect("an answer");
    assert!(response.status().as_u16() < 500, "{}", response.status());
});
