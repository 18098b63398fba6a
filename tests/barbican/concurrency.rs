//! What happens when somebody else changes the same record at the same moment.

use serde_json::{Value, json};

use crate::support::{Api, id_of, refused};

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

#[tokio::test]
async fn many_at_once_are_all_remembered() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}/consumers", api.text_secret("s").await);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..20 {
        let call = api.call("POST", &path).json(&consumer(number));
        calls.spawn(call.send());
    }
    while let Some(reply) = calls.join_next().await {
        assert_eq!(reply.unwrap().status, 200);
    }
    assert_eq!(api.get(&path).await.json()["total"], 20);
}
