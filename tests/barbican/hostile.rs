//! Bodies, paths and headers that nobody sends in good faith: never a panic, never a fault of ours.

use axum::{
    body::Body,
    http::{HeaderValue, Request},
};
use portcullis::barbican::testing::router;
use proptest::prelude::*;
use tower::ServiceExt;

/// The secret and the container of the fuzz target's API.
const ID: &str = "6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f";

const CALLS: &[(&str, &str)] = &[
    ("POST", "/v1/secrets"),
    ("POST", "/v1/containers"),
    ("POST", "/v1/orders"),
    ("PUT", "/v1/secrets/ID/metadata"),
    ("POST", "/v1/secrets/ID/metadata"),
    ("PUT", "/v1/secrets/ID/acl"),
    ("PATCH", "/v1/containers/ID/acl"),
    ("POST", "/v1/secrets/ID/consumers"),
    ("DELETE", "/v1/secrets/ID/consumers"),
    ("POST", "/v1/containers/ID/consumers"),
    ("POST", "/v1/containers/ID/secrets"),
    ("DELETE", "/v1/containers/ID/secrets"),
];

/// The status of one call of a fresh API.
fn status(method: &str, path: &str, header: (&'static str, &[u8]), body: Vec<u8>) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("x-project-id", "fuzz")
        .body(Body::from(body))
        .unwrap();
    if let Ok(value) = HeaderValue::from_bytes(header.1) {
        request.headers_mut().insert(header.0, value);
    }
    runtime.block_on(router().oneshot(request)).unwrap().status().as_u16()
}

fn calls(body: &[u8]) -> Result<(), TestCaseError> {
    for (method, path) in CALLS {
        let status = status(method, &path.replace("ID", ID), ("accept", b"*/*"), body.to_vec());
        prop_assert!(status < 500, "{method} {path}: {status}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_bytes_as_a_body(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        calls(&bytes)?;
    }

    #[test]
    fn members_of_the_right_name_and_any_value(text in "\\PC{0,30}", key in "[ -~é]{0,12}", number in any::<i64>()) {
        for body in [
            serde_json::json!({"name": key, "payload": text, "payload_content_type": text, "bit_length": number}),
            serde_json::json!({"payload": text, "payload_content_type": "application/octet-stream",
                               "payload_content_encoding": "base64", "secret_type": "private"}),
            serde_json::json!({"type": "key", "meta": {"algorithm": text, "bit_length": number, "expiration": text}}),
            serde_json::json!({"type": "rsa", "secret_refs": [{"name": key, "secret_ref": text}, number]}),
            serde_json::json!({"metadata": {(key.clone()): text}, "read": {"users": [text, number]}}),
            serde_json::json!({"key": key, "value": text}),
            serde_json::json!({"service": key, "resource_type": text, "resource_id": text}),
            serde_json::json!({"name": key, "URL": text, "secret_ref": format!("/{text}")}),
        ] {
            calls(body.to_string().as_bytes())?;
        }
    }

    #[test]
    fn any_path_query_and_header(
        tail in "[!-~]{0,40}", value in proptest::collection::vec(32_u8..=255, 0..40), name in 0_usize..6,
    ) {
        let names = ["accept", "openstack-api-version", "host", "content-type", "content-encoding", "x-roles"];
        for path in [format!("/v1/secrets/{ID}/{tail}"), format!("/v1/secrets?{tail}"), format!("/{tail}")] {
            if path.parse::<axum::http::Uri>().is_ok() {
                for method in ["GET", "PUT"] {
                    let status = status(method, &path, (names[name], &value), b"{}".to_vec());
                    prop_assert!(status < 500, "{method} {path}: {status}");
                }
            }
        }
    }
}
