//! `/v1/orders`, the runner that works on them, and quotas.

use std::sync::Arc;

use portcullis::{
    crypto::{PrivateKey, PublicKey, keys::pbes2},
    domain::{SecretValue, reference::KeyKind},
    engine::{
        ports::{HsmErrorKind, MetadataStore},
        reconcile::reconcile,
    },
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Api, BASE, NOBODY, id_of, refused};

async fn ordered(api: &Api, body: Value) -> String {
    let reply = api.post("/v1/orders/", body).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let href = reply.json()["order_ref"].as_str().unwrap().to_owned();
    assert_eq!((reply.header("location"), reply.json()), (href.as_str(), json!({"order_ref": href})));
    format!("/v1/orders/{}", id_of(&json!(href)))
}

async fn done(api: &Api, body: Value) -> Value {
    let path = ordered(api, body).await;
    api.jobs.run_pending().await.unwrap();
    api.get(&path).await.json()
}

async fn payload(api: &Api, href: &Value) -> Vec<u8> {
    api.get(&format!("/v1/secrets/{}/payload", id_of(href))).await.body
}

fn key(algorithm: &str, bits: u32) -> Value {
    json!({"type": "key", "meta": {"algorithm": algorithm, "bit_length": bits}})
}

#[tokio::test]
async fn a_key_order_makes_a_key_in_the_hsm() {
    let api = Api::new();
    let meta = json!({"algorithm": "AES", "bit_length": 256, "mode": "cbc", "name": " k1 ", "hint": "h",
        "expiration": "2030-01-01T00:00:00+01:00", "payload_content_type": "application/octet-stream"});
    let path = ordered(&api, json!({"type": "key", "meta": meta})).await;
    let pending = api.get(&path).await.json();
    let shown_meta = json!({"algorithm": "AES", "bit_length": 256, "mode": "cbc", "name": "k1", "hint": "h",
        "expiration": "2029-12-31T23:00:00.000000", "payload_content_type": "application/octet-stream"});
    assert_eq!(
        pending,
        json!({"created": pending["created"], "updated": pending["updated"], "status": "PENDING", "type": "key",
               "meta": shown_meta, "creator_id": "alice", "order_ref": format!("{BASE}{path}")})
    );
    api.jobs.run_pending().await.unwrap();
    let order = api.get(&path).await.json();
    assert_eq!(order["status"], "ACTIVE");
    assert_eq!((&order["sub_status"], &order["sub_status_message"]), (&json!("Unknown"), &json!("Unknown")));
    let id = id_of(&order["secret_ref"]);
    let secret = api.get(&format!("/v1/secrets/{id}")).await.json();
    for (member, value) in [
        ("name", json!("k1")),
        ("secret_type", json!("symmetric")),
        ("algorithm", json!("AES")),
        ("bit_length", json!(256)),
        ("mode", json!("cbc")),
        ("expiration", json!("2029-12-31T23:00:00")),
        ("creator_id", json!("alice")),
        ("content_types", json!({"default": "application/octet-stream"})),
    ] {
        assert_eq!(secret[member], value, "{member}");
    }
    assert_eq!(payload(&api, &order["secret_ref"]).await, api.bench.hsm.values(id.parse().unwrap())[0]);
    let object = api.bench.store.object(id.parse().unwrap()).await.unwrap().unwrap().record;
    assert_eq!(object.value.unwrap().key, Some(KeyKind::Aes));
}

#[tokio::test]
async fn keys_of_every_promised_length_are_made() {
    let api = Api::new();
    for (algorithm, bits) in [
        ("aes", 128),
        ("aes", 192),
        ("aes", 384),
        ("aes", 512),
        ("hmacsha1", 160),
        ("hmacsha512", 1024),
        ("des", 64),
        ("desede", 192),
        ("3des", 128),
        ("generic", 8192),
        ("hmacsha256", 8192),
    ] {
        let order = done(&api, key(algorithm, bits)).await;
        assert_eq!(order["status"], "ACTIVE", "{algorithm} {bits}: {order}");
        assert_eq!(payload(&api, &order["secret_ref"]).await.len(), bits as usize / 8, "{algorithm} {bits}");
        assert_eq!(order["meta"]["name"], Value::Null);
        assert_eq!(order["meta"]["expiration"], Value::Null);
    }
}

#[tokio::test]
async fn orders_that_nothing_can_make_end_in_an_error() {
    let api = Api::new();
    let unsupported = "Process TypeOrder issue seen - Requested algorithm is not supported..";
    let nobody = "Process TypeOrder issue seen - Secret generate supported plugin not found..";
    let asymmetric = |algorithm: &str, bits: u32| json!({"type": "asymmetric", "meta": {"algorithm": algorithm, "bit_length": bits}});
    for (body, reason) in [
        (key("rsa", 2048), unsupported),
        (key("twofish", 128), nobody),
        (key("aes", 1000), "Process TypeOrder issue seen - aes keys of 1000 bits are not supported."),
        (asymmetric("aes", 256), unsupported),
        (asymmetric("dsa", 2048), nobody),
        (asymmetric("rsa", 2056), "Process TypeOrder issue seen - rsa key pairs of 2056 bits are not supported."),
    ] {
        let order = done(&api, body.clone()).await;
        assert_eq!((&order["status"], &order["error_status_code"]), (&json!("ERROR"), &json!("400")), "{body}");
        assert_eq!(order["error_reason"], reason, "{body}");
        assert!(order.get("secret_ref").is_none() && order.get("container_ref").is_none());
    }
    assert_eq!((api.bench.hsm.count(), api.bench.store.open_intents()), (0, 0));
    assert_eq!(api.get("/v1/secrets").await.json()["total"], 0);
}

#[tokio::test]
async fn a_pair_order_makes_a_container_of_pem_keys() {
    let api = Api::new();
    for (algorithm, bits, kind) in [("RSA", 2048, "rsa"), ("ec", 256, "generic"), ("ec", 521, "generic")] {
        let meta = json!({"algorithm": algorithm, "bit_length": bits, "name": "pair"});
        let order = done(&api, json!({"type": "asymmetric", "meta": meta})).await;
        assert_eq!(order["status"], "ACTIVE", "{order}");
        assert!(order.get("secret_ref").is_none());
        let container = api.get(&format!("/v1/containers/{}", id_of(&order["container_ref"]))).await.json();
        assert_eq!((&container["type"], &container["name"]), (&json!(kind), &json!("pair")));
        let refs = container["secret_refs"].as_array().unwrap();
        let names: Vec<_> = refs.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["private_key", "public_key"]);
        let private = payload(&api, &refs[0]["secret_ref"]).await;
        let public = payload(&api, &refs[1]["secret_ref"]).await;
        assert!(private.starts_with(b"-----BEGIN PRIVATE KEY-----\n"));
        assert!(public.starts_with(b"-----BEGIN PUBLIC KEY-----\n"));
        let parsed = PrivateKey::parse(&SecretValue::new(private)).unwrap();
        assert_eq!((parsed.public().unwrap(), parsed.bits()), (PublicKey::parse(&public).unwrap(), bits));
        let secret = api.get(&format!("/v1/secrets/{}", id_of(&refs[0]["secret_ref"]))).await.json();
        assert_eq!((&secret["secret_type"], &secret["algorithm"]), (&json!("private"), &json!(algorithm)));
    }
}

#[tokio::test]
async fn a_passphrase_protects_the_private_key_and_is_shown_to_nobody() {
    let api = Api::new();
    for name in ["passphrase", "pass_phrase"] {
        let meta = json!({"algorithm": "ec", "bit_length": 256, name: "opensesame"});
        let path = ordered(&api, json!({"type": "asymmetric", "meta": meta})).await;
        let id = path.rsplit('/').next().unwrap().parse().unwrap();
        let job = api.bench.store.job(id).await.unwrap().unwrap().record;
        assert!(!format!("{job:?}").contains("opensesame"), "the record holds no passphrase");
        api.jobs.run_pending().await.unwrap();
        let order = api.get(&path).await;
        assert!(!order.text().contains("opensesame"));
        assert_eq!(order.json()["status"], "ACTIVE", "{}", order.text());
        let container = api.get(&format!("/v1/containers/{}", id_of(&order.json()["container_ref"]))).await.json();
        let refs = container["secret_refs"].as_array().unwrap();
        let names: Vec<_> = refs.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["private_key", "public_key", "private_key_passphrase"]);
        let sealed = payload(&api, &refs[0]["secret_ref"]).await;
        assert!(sealed.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        let opened = pbes2::open(&sealed, &SecretValue::new(b"opensesame".to_vec())).unwrap();
        let public = payload(&api, &refs[1]["secret_ref"]).await;
        assert_eq!(opened.public().unwrap(), PublicKey::parse(&public).unwrap());
        assert_eq!(payload(&api, &refs[0]["secret_ref"]).await, sealed, "every read gives the same bytes");
        assert_eq!(payload(&api, &refs[2]["secret_ref"]).await, b"opensesame");
    }
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused() {
    let api = Api::new();
    let order = |reason: &str, property: &str| {
        refused(
            400,
            &format!("Provided object does not match schema 'Order': {reason}. Invalid property: '{property}'"),
        )
    };
    let meta = |reason: &str, property: &str| {
        let text = "Provided object does not match schema 'Secret' within 'Order': ";
        refused(400, &format!("{text}{reason}. Invalid property: '{property}'"))
    };
    let unsupported = || refused(400, "Provided field value is not supported");
    let of = |meta: Value| json!({"type": "key", "meta": meta});
    let pair = |meta: Value| json!({"type": "asymmetric", "meta": meta});
    for (body, expected) in [
        (json!({"meta": {}}), order("'type' is a required property", "type")),
        (
            json!({"type": "certificate", "meta": {}}),
            order("'certificate' is not one of ['key', 'asymmetric']", "type"),
        ),
        (json!({"type": "key"}), order("'meta' is a required property", "meta")),
        (of(json!([])), order("[] is not of type 'object'", "meta")),
        (of(json!({"bit_length": 256})), order("'algorithm' is required field for key type order", "meta")),
        (
            of(json!({"algorithm": "", "bit_length": 8})),
            order("'algorithm' is required field for key type order", "meta"),
        ),
        (of(json!({"algorithm": "aes"})), order("'bit_length' is required field for key type order", "meta")),
        (
            pair(json!({"bit_length": 256})),
            order("'algorithm' is required field for asymmetric key type order", "meta"),
        ),
        (
            pair(json!({"algorithm": "rsa"})),
            order("'bit_length' is required field for asymmetric key type order", "meta"),
        ),
        (
            of(json!({"algorithm": "aes", "bit_length": 256, "payload": "x", "payload_content_type": "text/plain"})),
            order("'payload' not allowed for key type order", "meta"),
        ),
        (
            pair(json!({"algorithm": "rsa", "bit_length": 2048, "payload": "x", "payload_content_type": "text/plain"})),
            order("'payload' not allowed for asymmetric type order", "meta"),
        ),
        (of(json!({"algorithm": "aes", "bit_length": 129})), unsupported()),
        (pair(json!({"algorithm": "EC", "bit_length": 512})), unsupported()),
        (of(json!({"algorithm": "aes", "bit_length": "256"})), meta("'256' is not of type 'integer'", "bit_length")),
        (
            of(json!({"algorithm": "aes", "bit_length": 256, "expiration": "2020-01-01"})),
            meta("'expiration' is before current time", "expiration"),
        ),
        (
            pair(json!({"algorithm": "rsa", "bit_length": 2048, "passphrase": 5})),
            meta("<redacted> is not of type 'string'", "passphrase"),
        ),
    ] {
        assert_eq!(api.post("/v1/orders", body.clone()).await.error(), expected, "{body}");
    }
    assert_eq!(
        api.post("/v1/orders", of(json!({"algorithm": "aes", "bit_length": 8, "payload_content_type": "x/y"})))
            .await
            .status,
        400
    );
    assert_eq!(api.call("POST", "/v1/orders").raw("text/plain", "{}").send().await.status, 415);
    assert_eq!(api.get("/v1/orders").await.json(), json!({"orders": [], "total": 0}));
}

#[tokio::test]
async fn content_types_of_orders_may_be_empty() {
    let api = Api::new();
    for content_type in [json!(null), json!(""), json!("text/plain;charset=utf-8")] {
        let meta = json!({"algorithm": "aes", "bit_length": 128, "payload_content_type": content_type});
        let order = done(&api, json!({"type": "key", "meta": meta})).await;
        let secret = api.get(&format!("/v1/secrets/{}", id_of(&order["secret_ref"]))).await.json();
        let expected = if content_type.as_str().unwrap_or_default().is_empty() {
            "application/octet-stream"
        } else {
            "text/plain"
        };
        assert_eq!(secret["content_types"]["default"], expected, "{content_type}");
    }
}

#[tokio::test]
async fn orders_are_listed_deleted_and_private_to_their_project() {
    let api = Api::new();
    let first = ordered(&api, key("aes", 128)).await;
    ordered(&api, key("hmacsha256", 256)).await;
    api.jobs.run_pending().await.unwrap();
    let listed = api.get("/v1/orders?limit=1").await.json();
    assert_eq!((&listed["total"], &listed["orders"][0]), (&json!(2), &api.get(&first).await.json()));
    assert_eq!(listed["next"], format!("{BASE}/v1/orders?limit=1&offset=1"));
    assert_eq!(api.get("/v1/orders?meta=hmac").await.json()["total"], 1);

    for path in [&first, "/v1/orders/x", &format!("/v1/orders/{NOBODY}")] {
        let reply = api.call("GET", path).project("p2").send().await;
        assert_eq!(reply.error(), refused(404, "Order not found."), "{path}");
    }
    let secret = id_of(&api.get(&first).await.json()["secret_ref"]);
    let reply = api.delete(&first).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!(api.delete(&first).await.error(), refused(404, "Order not found."));
    assert_eq!(api.get(&format!("/v1/secrets/{secret}")).await.status, 200, "what it made stays");
}

#[tokio::test]
async fn orders_cannot_be_updated() {
    let api = Api::new();
    let path = ordered(&api, key("aes", 128)).await;
    let reply = api.call("PUT", "/v1/orders").send().await;
    assert_eq!(reply.error(), refused(405, "Order update is not supported."));
    let reply = api.call("PUT", "/v1/orders").roles("nobody").send().await;
    let text = "Order update attempt not allowed - please review your user/project privileges";
    assert_eq!(reply.error(), refused(403, text));
    for method in ["PUT", "PATCH"] {
        let reply = api.call(method, &path).send().await;
        assert_eq!((reply.error(), reply.header("allow")), (refused(405, ""), "DELETE, GET"), "{method}");
    }
}

#[tokio::test]
async fn an_order_waits_while_the_hsm_is_away() {
    let api = Api::new();
    let path = ordered(&api, key("aes", 256)).await;
    api.bench.hsm.fail("generate-key", HsmErrorKind::Unavailable, 2);
    for _ in 0..2 {
        api.jobs.run_pending().await.unwrap();
        assert_eq!(api.get(&path).await.json()["status"], "PENDING");
    }
    assert_eq!(api.bench.store.open_intents(), 0);
    api.jobs.run_pending().await.unwrap();
    assert_eq!(api.get(&path).await.json()["status"], "ACTIVE");
    assert_eq!((api.bench.hsm.count(), api.get("/v1/secrets").await.json()["total"].clone()), (1, json!(1)));
}

/// The store fails after the key was made and again when it is undone: what a crash leaves behind.
#[tokio::test]
async fn an_interrupted_order_never_makes_a_second_key() {
    let api = Api::new();
    let path = ordered(&api, key("aes", 256)).await;
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    let result = api.bench.store.job(id).await.unwrap().unwrap().record.results[0];
    // The intent is written; then neither the result nor the removal of the intent is, and the key stays.
    api.bench.hsm.fail("destroy", HsmErrorKind::Unavailable, 1);
    api.bench.store.refuse_after(1, 1);
    api.jobs.run_pending().await.unwrap();
    assert_eq!((api.bench.hsm.holds(result), api.bench.store.open_intents()), (1, 1), "the run was interrupted");
    api.jobs.run_pending().await.unwrap();
    assert_eq!(api.bench.hsm.calls("generate-key"), 1, "nothing is made while the first run is not undone");
    assert_eq!(api.get(&path).await.json()["status"], "PENDING");

    reconcile(api.bench.engine.ports(), api.bench.engine.audit(), std::time::Duration::ZERO).await.unwrap();
    assert_eq!((api.bench.hsm.holds(result), api.bench.store.open_intents()), (0, 0));
    api.jobs.run_pending().await.unwrap();
    assert_eq!(api.get(&path).await.json()["status"], "ACTIVE");
    assert_eq!(api.bench.hsm.holds(result), 1);
}

#[tokio::test]
async fn a_deleted_order_makes_nothing_and_keeps_no_passphrase() {
    let api = Api::new();
    let meta = json!({"algorithm": "ec", "bit_length": 256, "passphrase": "opensesame"});
    let path = ordered(&api, json!({"type": "asymmetric", "meta": meta})).await;
    assert_eq!(api.bench.hsm.count(), 1);
    assert_eq!(api.delete(&path).await.status, 204);
    api.jobs.run_pending().await.unwrap();
    assert_eq!(api.bench.hsm.count(), 0);

    let meta = json!({"algorithm": "dsa", "bit_length": 2048, "passphrase": "opensesame"});
    let order = done(&api, json!({"type": "asymmetric", "meta": meta})).await;
    assert_eq!((&order["status"], api.bench.hsm.count()), (&json!("ERROR"), 0));
}

#[tokio::test]
async fn the_runner_works_by_itself() {
    let api = Api::new();
    // One order is there before the runner starts, as after a restart.
    let early = ordered(&api, key("aes", 128)).await;
    let (drain, jobs) = (CancellationToken::new(), Arc::clone(&api.jobs));
    let runner = tokio::spawn({
        let drain = drain.clone();
        async move { jobs.run(drain).await }
    });
    let mut paths = vec![early];
    for _ in 0..6 {
        paths.push(ordered(&api, key("aes", 256)).await);
    }
    for path in paths {
        for _ in 0..6000 {
            if api.get(&path).await.json()["status"] != "PENDING" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(api.get(&path).await.json()["status"], "ACTIVE", "{path}");
    }
    drain.cancel();
    runner.await.unwrap();
    assert_eq!(api.bench.hsm.count(), 7);
}

#[tokio::test]
async fn quotas_are_unlimited() {
    let api = Api::new();
    let quotas = json!({"quotas": {"secrets": -1, "orders": -1, "containers": -1, "consumers": -1, "cas": -1}});
    assert_eq!(api.get("/v1/quotas").await.json(), quotas);
    let reply = api.call("POST", "/v1/quotas").send().await;
    assert_eq!((reply.error(), reply.header("allow")), (refused(405, ""), "GET"));
    assert_eq!(api.get("/v1/quotas/x").await.error(), refused(404, ""));
}
