//! Payloads: both steps, every `Accept`, keys that are keys and bytes that come back exactly.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::{
    domain::{ObjectType, UsageMask, reference::KeyKind},
    engine::ports::{HsmErrorKind, MetadataStore},
};
use serde_json::json;

use crate::support::{Api, NOBODY, refused};

async fn binary(api: &Api, secret_type: &str, algorithm: &str, bytes: &[u8]) -> String {
    api.secret(json!({"secret_type": secret_type, "algorithm": algorithm, "payload": STANDARD.encode(bytes),
        "payload_content_type": "application/octet-stream", "payload_content_encoding": "base64"}))
        .await
}

#[tokio::test]
async fn a_payload_comes_in_the_form_that_is_accepted() {
    let api = Api::new();
    let text = format!("/v1/secrets/{}", api.text_secret("s").await);
    let octets = format!("/v1/secrets/{}", binary(&api, "opaque", "x", b"\xff\x00").await);
    for (path, accept, status, content_type) in [
        (&text, Some("text/plain"), 200, "text/plain; charset=UTF-8"),
        (&text, Some("text/plain;charset=utf-8"), 200, "text/plain;charset=utf-8"),
        (&text, Some("application/octet-stream"), 200, "application/octet-stream"),
        (&text, Some("application/pkcs8"), 200, "application/pkcs8"),
        (&text, Some("*/*"), 200, "text/plain"),
        (&text, Some(""), 200, "application/octet-stream"),
        (&text, None, 200, "application/octet-stream"),
        (&octets, Some("*/*"), 200, "application/octet-stream"),
        (&octets, Some("text/plain"), 406, "application/json"),
        (&text, Some("application/json"), 406, "application/json"),
        (&text, Some("text/plain;q=0.5"), 406, "application/json"),
        (&text, Some("TEXT/PLAIN"), 400, "application/json"),
    ] {
        let mut call = api.call("GET", &format!("{path}/payload"));
        if let Some(accept) = accept {
            call = call.accept(accept);
        }
        let reply = call.send().await;
        assert_eq!((reply.status, reply.header("content-type")), (status, content_type), "{accept:?}");
        let operation = "Secret payload retrieval issue seen -";
        match status {
            406 => assert_eq!(reply.error(), refused(406, &format!("{operation} Wrong payload content-type."))),
            400 => {
                assert_eq!(
                    reply.error(),
                    refused(400, &format!("{operation} content-type of 'TEXT/PLAIN' not supported."))
                );
            }
            _ => assert!(reply.body == b"beer" || reply.body == b"\xff\x00"),
        }
    }
}

#[tokio::test]
async fn old_clients_read_the_payload_from_the_secret_itself() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}", api.text_secret("s").await);
    for accept in ["application/json", "*/*"] {
        assert_eq!(api.call("GET", &path).accept(accept).send().await.json()["name"], "s", "{accept}");
    }
    for accept in ["text/plain", "application/octet-stream", ""] {
        assert_eq!(api.call("GET", &path).accept(accept).send().await.body, b"beer", "{accept}");
    }
    let reply = api.call("GET", &path).accept("application/json;q=0.9").send().await;
    assert_eq!(reply.error(), refused(406, "Secret retrieval issue seen - Wrong payload content-type."));
}

#[tokio::test]
async fn a_secret_without_payload_says_so_whatever_is_accepted() {
    let api = Api::new();
    let id = api.secret(json!({})).await;
    for accept in ["*/*", "text/plain", "application/json", "junk"] {
        let reply = api.call("GET", &format!("/v1/secrets/{id}/payload")).accept(accept).send().await;
        assert_eq!(reply.error(), refused(404, "Not Found. Sorry but your secret has no payload."), "{accept}");
    }
    let reply = api.get(&format!("/v1/secrets/{NOBODY}/payload")).await;
    assert_eq!(reply.error(), refused(404, "Secret not found."));
}

#[tokio::test]
async fn a_payload_may_come_late() {
    let api = Api::new();
    let id = api.secret(json!({"name": "two", "secret_type": "symmetric", "algorithm": "aes"})).await;
    let path = format!("/v1/secrets/{id}");
    let reply = api.call("PUT", &path).raw("application/octet-stream; x=y", vec![7; 16]).send().await;
    assert_eq!((reply.status, reply.body.len()), (204, 0), "{}", reply.text());
    assert_eq!(api.get(&path).await.json()["content_types"], json!({"default": "application/octet-stream"}));
    assert_eq!(api.get(&format!("{path}/payload")).await.body, [7; 16]);
    let object = api.bench.store.object(id.parse().unwrap()).await.unwrap().unwrap().record;
    assert_eq!(object.value.unwrap().key, Some(KeyKind::Aes));
    let again = api.call("PUT", &path).raw("text/plain", "other").send().await;
    assert_eq!(again.error(), refused(409, "Secret already has data, cannot modify it."));
    assert_eq!(api.get(&format!("{path}/payload")).await.body, [7; 16]);
}

#[tokio::test]
async fn a_late_payload_may_be_base64() {
    let api = Api::new();
    let id = api.secret(json!({})).await;
    let path = format!("/v1/secrets/{id}");
    let put = |encoding: &'static str, body: &'static str| {
        api.call("PUT", &path).raw("application/octet-stream", body).header("content-encoding", encoding).send()
    };
    let text =
        "Secret update issue seen - Text-based binary secret payloads must specify a content-encoding of 'base64'.";
    assert_eq!(put("gzip", "x").await.error(), refused(400, text));
    assert_eq!(
        put("base64", "a!b").await.error(),
        refused(400, "Secret update issue seen - Problem decoding payload.")
    );
    assert_eq!(put("base64", "YmVl\ncg==").await.status, 204);
    assert_eq!(api.get(&format!("{path}/payload")).await.body, b"beer");
}

#[tokio::test]
async fn late_payloads_that_cannot_be_taken_are_refused() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}", api.secret(json!({})).await);
    let types = "Unexpected content type. Expected content types are: ['application/octet-stream', 'text/plain']";
    for content_type in ["application/json", "application/pkcs8", "TEXT/PLAIN", ""] {
        let reply = api.call("PUT", &path).raw(content_type, "x").send().await;
        assert_eq!(reply.error(), refused(415, types), "{content_type}");
    }
    let reply = api.call("PUT", &path).raw("text/plain", "").send().await;
    assert_eq!(reply.error(), refused(400, "Secret update issue seen - No data supplied to process.."));
    let reply = api.call("PUT", &path).raw("text/plain", vec![b'x'; 20_001]).send().await;
    assert_eq!(reply.error(), refused(413, "Secret update issue seen - Provided information too large to process."));
    let reply = api.call("PUT", &path).raw("text/plain", " x ").roles("nobody").send().await;
    assert_eq!(reply.status, 403);
    assert_eq!(api.call("PUT", &path).raw("text/plain", vec![b'x'; 20_000]).send().await.status, 204);
}

#[tokio::test]
async fn a_late_payload_is_not_stripped() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}", api.secret(json!({})).await);
    assert_eq!(api.call("PUT", &path).raw("text/plain", " x\n").send().await.status, 204);
    assert_eq!(api.get(&format!("{path}/payload")).await.body, b" x\n");
}

#[tokio::test]
async fn of_two_late_payloads_at_once_one_wins_and_stays() {
    let api = Api::new();
    let id = api.secret(json!({})).await;
    let path = format!("/v1/secrets/{id}");
    let put = |text: &'static str| api.call("PUT", &path).raw("text/plain", text).send();
    let replies = tokio::join!(put("one"), put("two"), put("three"));
    let statuses = [replies.0.status, replies.1.status, replies.2.status];
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert_eq!(api.get(&format!("{path}/payload")).await.status, 200);
    assert_eq!(api.bench.hsm.holds(id.parse().unwrap()), 1);
}

#[tokio::test]
async fn a_late_payload_that_the_hsm_refuses_can_be_sent_again() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}", api.secret(json!({})).await);
    api.bench.hsm.fail("hold-bytes", HsmErrorKind::Busy, 1);
    let reply = api.call("PUT", &path).raw("text/plain", "x").send().await;
    assert_eq!(reply.error(), refused(503, "Secret update issue seen - the HSM is busy; try again later."));
    assert_eq!(api.bench.hsm.count(), 0);
    assert_eq!(api.call("PUT", &path).raw("text/plain", "x").send().await.status, 204);
}

#[tokio::test]
async fn key_bytes_become_a_key_that_kmip_can_use() {
    let api = Api::new();
    for (algorithm, bytes, kind, usage) in [
        ("aes", vec![1; 32], KeyKind::Aes, UsageMask::ENCRYPT.with(UsageMask::DECRYPT)),
        ("hmac-sha256", vec![2; 40], KeyKind::Generic, UsageMask::MAC_GENERATE.with(UsageMask::MAC_VERIFY)),
    ] {
        let id = binary(&api, "symmetric", algorithm, &bytes).await;
        let object = api.bench.store.object(id.parse().unwrap()).await.unwrap().unwrap().record;
        assert_eq!(object.object_type, ObjectType::SymmetricKey);
        assert_eq!(object.usage(), usage);
        assert_eq!(object.length_bits(), u32::try_from(bytes.len() * 8).ok());
        let value = object.value.unwrap();
        assert_eq!((value.key, value.bytes), (Some(kind), None), "{algorithm}");
        assert_eq!(api.get(&format!("/v1/secrets/{id}/payload")).await.body, bytes);
    }
}

#[tokio::test]
async fn bytes_that_are_no_key_are_held_and_opaque() {
    let api = Api::new();
    let id = binary(&api, "symmetric", "aes", b"YmVlcg").await;
    let object = api.bench.store.object(id.parse().unwrap()).await.unwrap().unwrap().record;
    assert_eq!(object.object_type, ObjectType::OpaqueObject);
    assert_eq!(api.get(&format!("/v1/secrets/{id}")).await.json()["secret_type"], "symmetric");
    assert_eq!(api.get(&format!("/v1/secrets/{id}/payload")).await.body, b"YmVlcg");
}

#[tokio::test]
async fn a_key_that_the_token_refuses_is_held_as_bytes() {
    let api = Api::new();
    api.bench.hsm.fail("import-key", HsmErrorKind::Unsupported, 1);
    let id = binary(&api, "symmetric", "aes", &[9; 16]).await;
    let object = api.bench.store.object(id.parse().unwrap()).await.unwrap().unwrap().record;
    assert!(object.value.unwrap().bytes.is_some());
    assert_eq!(api.get(&format!("/v1/secrets/{id}/payload")).await.body, [9; 16]);
}

#[tokio::test]
async fn keys_in_pem_are_usable_and_come_back_exactly() {
    let api = Api::new();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    // Carriage returns and a comment: the exact bytes come back, although the key was understood.
    let private = format!("my key\r\n{}", key.serialize_pem().replace('\n', "\r\n"));
    let public = key.public_key_pem();
    for (secret_type, pem, object_type, usage) in [
        ("private", &private, ObjectType::PrivateKey, UsageMask::SIGN),
        ("public", &public, ObjectType::PublicKey, UsageMask::VERIFY),
    ] {
        let id = binary(&api, secret_type, "ec", pem.as_bytes()).await;
        let object = api.bench.store.object(id.parse().unwrap()).await.unwrap().unwrap().record;
        assert_eq!((object.object_type, object.usage()), (object_type, usage));
        let value = object.value.unwrap();
        assert!(value.key.is_some() && value.bytes.is_some());
        assert_eq!(api.get(&format!("/v1/secrets/{id}/payload")).await.text(), *pem);
    }
}

#[tokio::test]
async fn transport_parameters_are_refused() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}/payload", api.text_secret("s").await);
    let reply = api.get(&format!("{path}?trans_wrapped_session_key=W")).await;
    let text = "Transport key wrapped session key has been provided to wrap secrets for retrieval, but the transport key \
                id has not been provided.";
    assert_eq!(reply.error(), refused(400, text));
    let reply = api.get(&format!("{path}?trans_wrapped_session_key=W&transport_key_id=x")).await;
    assert_eq!(
        reply.error(),
        refused(400, "Secret payload retrieval issue seen - Provided transport key was not found..")
    );
    // A key without anything that was wrapped under it is a parameter like any other, and ignored.
    for query in ["transport_key_id=x", "trans_wrapped_session_key=", "transport_key_id=x&transport_key_id=y"] {
        assert_eq!(api.get(&format!("{path}?{query}")).await.text(), "beer", "{query}");
    }
}

/// CVE-2022-3100: what a request says of the target must not reach the rules.
#[tokio::test]
async fn parameters_do_not_open_a_secret() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}/payload?target.secret.read=read", api.text_secret("s").await);
    let reply = api.call("GET", &path).project("p2").user("mallory").send().await;
    assert_eq!(
        reply.error(),
        refused(403, "Secret payload retrieval attempt not allowed - please review your user/project privileges")
    );
}
