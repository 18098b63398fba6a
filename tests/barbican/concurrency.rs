//! What happens when somebody else changes the same record at the same moment.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Api, Call, id_of, refused};

fn consumer(id: usize) -> Value {
    json!({"service": "s", "resource_type": "t", "resource_id": id.to_string()})
}

#[tokio::test]
async fn a_change_is_made_again_on_the_newer_record() {
    let api = Api::new();
    let secret = format!("/v1/secrets/{}", api.text_secret("s").await);
    let container = id_of(&api.post("/v1/containers", json!({"type": "generic"})).await.json()["container_ref"]);
    let container = format!("/v1/containers/{container}");
    for (method, path, body, status) in [
        ("POST", format!("{secret}/consumers"), consumer(1), 200),
        ("POST", format!("{secret}/metadata"), json!({"key": "k", "value": "v"}), 201),
        ("PUT", format!("{secret}/acl"), json!({"read": {"users": ["u"]}}), 200),
        ("POST", format!("{container}/consumers"), json!({"name": "n", "URL": "u"}), 200),
        ("POST", format!("{container}/secrets"), json!({"name": "a", "secret_ref": secret}), 201),
    ] {
        api.bench.store.conflict(3);
        let reply = api.call(method, &path).json(&body).send().await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_change_that_never_gets_through_is_told() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}/consumers", api.text_secret("s").await);
    api.bench.store.conflict(1000);
    let reply = api.post(&path, consumer(1)).await;
    let text = "SecretConsumer creation issue seen - the object changed meanwhile; try again.";
    assert_eq!(reply.error(), refused(409, text));
    api.bench.store.conflict(0);
    assert_eq!(api.get(&path).await.json()["total"], 0);
}

/// Once the value is destroyed there is no way back: the record must follow.
#[tokio::test]
async fn a_deletion_outlasts_changes_of_others() {
    let api = Api::new();
    let id = api.text_secret("s").await;
    let refs = json!([{"name": "a", "secret_ref": format!("{}/v1/secrets/{id}", crate::support::BASE)}]);
    let made = api.post("/v1/containers", json!({"type": "generic", "secret_refs": refs})).await;
    api.bench.store.conflict(5);
    assert_eq!(api.delete(&format!("/v1/secrets/{id}")).await.status, 204);
    assert_eq!((api.bench.hsm.count(), api.bench.store.open_intents()), (0, 0));
    let container = api.get(&format!("/v1/containers/{}", id_of(&made.json()["container_ref"]))).await.json();
    assert_eq!(container["secret_refs"], json!([]));
}

/// How many ask at the same time.
const CROWD: usize = 100;

/// Everybody asks at once; how often each status was answered.
async fn crowd(api: &Api, call: impl Fn(usize) -> Call) -> BTreeMap<u16, usize> {
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..CROWD {
        calls.spawn(call(number).send());
    }
    let mut answered = BTreeMap::new();
    while let Some(reply) = calls.join_next().await {
        *answered.entry(reply.unwrap().status).or_default() += 1;
    }
    assert_eq!(api.bench.store.open_intents(), 0);
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_remembered() {
    let api = Api::new();
    let secret = format!("/v1/secrets/{}", api.text_secret("s").await);
    let made = api.post("/v1/containers", json!({"type": "generic"})).await;
    let container = format!("/v1/containers/{}", id_of(&made.json()["container_ref"]));
    let path = format!("{secret}/consumers");
    assert_eq!(crowd(&api, |n| api.call("POST", &path).json(&consumer(n))).await, [(200, CROWD)].into());
    assert_eq!(api.get(&path).await.json()["total"], CROWD);
    assert_eq!(crowd(&api, |n| api.call("DELETE", &path).json(&consumer(n))).await, [(200, CROWD)].into());
    assert_eq!(api.get(&path).await.json()["total"], 0);

    let path = format!("{secret}/metadata");
    let item = |n: usize| json!({"key": format!("k{n}"), "value": n.to_string()});
    assert_eq!(crowd(&api, |n| api.call("POST", &path).json(&item(n))).await, [(201, CROWD)].into());
    assert_eq!(api.get(&path).await.json()["metadata"].as_object().unwrap().len(), CROWD);

    let path = format!("{container}/consumers");
    let named = |n: usize| json!({"name": format!("n{n}"), "URL": "u"});
    assert_eq!(crowd(&api, |n| api.call("POST", &path).json(&named(n))).await, [(200, CROWD)].into());
    assert_eq!(api.get(&path).await.json()["total"], CROWD);

    let path = format!("{container}/secrets");
    let member = |n: usize| json!({"name": format!("m{n}"), "secret_ref": secret});
    assert_eq!(crowd(&api, |n| api.call("POST", &path).json(&member(n))).await, [(201, CROWD)].into());
    assert_eq!(api.get(&container).await.json()["secret_refs"].as_array().unwrap().len(), CROWD);
}

/// What only one of them can have, one of them has; everybody else is told so.
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_once_happens_once() {
    let api = Api::new();
    let secret = format!("/v1/secrets/{}", api.secret(json!({})).await);
    let put = crowd(&api, |n| api.call("PUT", &secret).raw("text/plain", format!("payload {n}"))).await;
    assert_eq!(put, [(204, 1), (409, CROWD - 1)].into());
    assert_eq!(api.bench.hsm.count(), 1);
    let metadata = format!("{secret}/metadata");
    let add = crowd(&api, |n| api.call("POST", &metadata).json(&json!({"key": "k", "value": n.to_string()}))).await;
    assert_eq!(add, [(201, 1), (409, CROWD - 1)].into());
    let made = api.post("/v1/containers", json!({"type": "generic"})).await;
    let container = format!("/v1/containers/{}", id_of(&made.json()["container_ref"]));
    let member = json!({"name": "m", "secret_ref": secret});
    let path = format!("{container}/secrets");
    let add = crowd(&api, |_| api.call("POST", &path).json(&member)).await;
    assert_eq!(add, [(201, 1), (409, CROWD - 1)].into());
    for path in [&secret, &container] {
        assert_eq!(crowd(&api, |_| api.call("DELETE", path)).await, [(204, 1), (404, CROWD - 1)].into(), "{path}");
    }
    assert_eq!(api.bench.hsm.count(), 0);
}

/// The last one wins, and nobody is told that it failed but that somebody else was there.
#[tokio::test(flavor = "multi_thread")]
async fn lists_of_access_end_as_one_of_those_that_were_given() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}/acl", api.text_secret("s").await);
    let read = |n: usize| json!({"read": {"users": [format!("u{n}")]}});
    let answered = crowd(&api, |n| api.call("PUT", &path).json(&read(n))).await;
    assert!(answered.keys().all(|status| matches!(status, 200 | 409)) && answered.contains_key(&200), "{answered:?}");
    let users = api.get(&path).await.json()["read"]["users"].clone();
    assert!((0..CROWD).any(|n| users == json!([format!("u{n}")])), "{users}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_crowd_gets_past_a_quota() {
    const MOST: usize = 10;
    let api = Api::new();
    let secret = format!("/v1/secrets/{}", api.text_secret("s").await);
    let quotas =
        json!({"project_quotas": {"secrets": MOST + 1, "containers": MOST, "orders": MOST, "consumers": MOST}});
    let set = api.call("PUT", "/v1/project-quotas/p1").roles("admin,key-manager:service-admin").json(&quotas);
    assert_eq!(set.send().await.status, 204);
    let order = json!({"type": "key", "meta": {"algorithm": "aes", "bit_length": 128}});
    let consumers = format!("{secret}/consumers");
    for (path, body) in [
        ("/v1/secrets", json!({"payload": "x", "payload_content_type": "text/plain"})),
        ("/v1/containers", json!({"type": "generic"})),
        ("/v1/orders", order),
        (&consumers, Value::Null),
    ] {
        let bodies = |n: usize| if body.is_null() { consumer(n) } else { body.clone() };
        let answered = crowd(&api, |n| api.call("POST", path).json(&bodies(n))).await;
        let good = answered.iter().filter(|(status, _)| **status < 300).map(|(_, count)| count).sum::<usize>();
        assert_eq!((good, answered.get(&403)), (MOST, Some(&(CROWD - MOST))), "{path}: {answered:?}");
        let total = MOST + usize::from(path == "/v1/secrets");
        assert_eq!(api.get(path).await.json()["total"], total, "{path}");
    }
    // What was refused has left nothing behind.
    assert_eq!(api.bench.hsm.count(), MOST + 1);
}

/// Everything that touches one secret and one container at once, and then their end: each answer is one of those that the
/// contract knows, and what is left fits together.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_all_kinds_leaves_no_loose_ends() {
    let api = Api::new();
    let secret = format!("/v1/secrets/{}", api.text_secret("s").await);
    let made = api.post("/v1/containers", json!({"type": "generic"})).await;
    let container = format!("/v1/containers/{}", id_of(&made.json()["container_ref"]));
    let consumers = format!("{secret}/consumers");
    type Kind = fn(usize) -> (&'static str, &'static str, Value);
    let kinds: &[Kind] = &[
        |n| ("POST", "S/consumers", consumer(n)),
        |n| ("DELETE", "S/consumers", consumer(n - 1)),
        |n| ("POST", "S/metadata", json!({"key": format!("k{n}"), "value": "v"})),
        |n| ("PUT", "S/metadata", json!({"metadata": {(format!("k{n}")): "w"}})),
        |n| ("PATCH", "S/acl", json!({"read": {"users": [format!("u{n}")]}})),
        |n| ("POST", "C/secrets", json!({"name": format!("m{n}"), "secret_ref": "S"})),
        |n| ("POST", "C/consumers", json!({"name": format!("n{n}"), "URL": "u"})),
        |_| ("DELETE", "C/acl", Value::Null),
        |_| ("GET", "S/payload", Value::Null),
        |_| ("GET", "C", Value::Null),
    ];
    let named = |text: &str| text.replace('S', &secret).replace('C', &container);
    let call = |n: usize| {
        let (method, path, mut body) = kinds[n % kinds.len()](n);
        if let Some(href) = body.get_mut("secret_ref") {
            *href = json!(secret);
        }
        api.call(method, &named(path)).json(&body)
    };
    let answered = crowd(&api, call).await;
    assert!(answered.keys().all(|status| matches!(status, 200 | 201 | 404 | 409)), "{answered:?}");
    let registered = api.get(&consumers).await.json()["total"].as_u64().unwrap();
    assert!(registered <= 10, "{registered}");
    let held = api.get(&container).await.json();
    assert_eq!(held["consumers"].as_array().unwrap().len(), CROWD / kinds.len());
    assert_eq!(held["secret_refs"].as_array().unwrap().len(), CROWD / kinds.len());

    // Now the secret goes in the midst of it.
    let answered = crowd(&api, |n| if n == CROWD / 2 { api.call("DELETE", &secret) } else { call(n + CROWD) }).await;
    let expected = |status: &u16| matches!(status, 200 | 201 | 204 | 404 | 409);
    assert!(answered.keys().all(expected), "{answered:?}");
    assert_eq!((api.get(&secret).await.status, api.bench.hsm.count()), (404, 0));
    assert_eq!(api.get(&container).await.json()["secret_refs"], json!([]), "no container holds what is gone");
}

/// Quotas hold over all ways at once: what is deleted makes room for exactly one other.
#[tokio::test(flavor = "multi_thread")]
async fn room_that_is_made_is_taken_once() {
    const MOST: usize = 20;
    let api = Api::new();
    let quotas = json!({"project_quotas": {"secrets": MOST}});
    assert_eq!(api.call("PUT", "/v1/project-quotas/p1").json(&quotas).send().await.status, 204);
    let mut paths = Vec::new();
    for _ in 0..MOST {
        paths.push(format!("/v1/secrets/{}", api.secret(json!({})).await));
    }
    let half = MOST / 2;
    let answered = crowd(&api, |n| match paths.get(n).filter(|_| n < half) {
        Some(path) => api.call("DELETE", path),
        None => api.call("POST", "/v1/secrets").json(&json!({})),
    })
    .await;
    assert_eq!(answered.get(&204), Some(&half), "{answered:?}");
    assert!(answered.keys().all(|status| matches!(status, 201 | 204 | 403)), "{answered:?}");
    let made = answered.get(&201).copied().unwrap_or_default();
    assert!(made <= half, "{answered:?}");
    let total = api.get("/v1/secrets").await.json()["total"].clone();
    assert_eq!(total, MOST - half + made);
}
