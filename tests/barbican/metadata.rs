//! `/v1/secrets/ID/metadata` and its items.

use serde_json::{Value, json};

use crate::support::{Api, BASE, NOBODY, refused};

async fn api_with_secret() -> (Api, String) {
    let api = Api::new();
    let path = format!("/v1/secrets/{}/metadata", api.text_secret("s").await);
    (api, path)
}

fn schema(name: &str, reason: &str, property: &str) -> (u16, Value) {
    refused(400, &format!("Provided object does not match schema '{name}': {reason}. Invalid property: '{property}'"))
}

#[tokio::test]
async fn the_whole_set_is_replaced() {
    let (api, path) = api_with_secret().await;
    assert_eq!(api.get(&path).await.json(), json!({"metadata": {}}));
    let reply = api.call("PUT", &path).json(&json!({"metadata": {"Region": " x ", "a-b_1": ""}})).send().await;
    assert_eq!((reply.status, reply.json()), (201, json!({"metadata_ref": format!("{BASE}{path}")})));
    assert_eq!(reply.header("location"), "");
    assert_eq!(api.get(&path).await.json(), json!({"metadata": {"region": "x", "a-b_1": ""}}));
    assert_eq!(api.call("PUT", &path).json(&json!({"metadata": {"K": "1", "k": "2"}})).send().await.status, 201);
    assert_eq!(api.get(&path).await.json(), json!({"metadata": {"k": "1"}}), "the first of equal keys counts");
    api.call("PUT", &path).json(&json!({"metadata": {}})).send().await;
    assert_eq!(api.get(&path).await.json(), json!({"metadata": {}}));
}

#[tokio::test]
async fn sets_that_do_not_fit_are_refused() {
    let (api, path) = api_with_secret().await;
    for (body, expected) in [
        (json!({}), schema("SecretMetadata", "'metadata' is a required property", "metadata")),
        (json!({"metadata": []}), schema("SecretMetadata", "[] is not of type 'object'", "metadata")),
        (json!({"metadata": {"a": 5}}), refused(400, "Invalid Metadata. Keys and Values must be Strings.")),
        (json!({"metadata": {"a": null}}), refused(400, "Invalid Metadata. Keys and Values must be Strings.")),
        (json!({"metadata": {"a/b": "x"}}), refused(400, "Invalid Key. Key must be URL safe.")),
        (json!({"metadata": {"": "x"}}), refused(400, "Invalid Key. Key must be URL safe.")),
    ] {
        assert_eq!(api.call("PUT", &path).json(&body).send().await.error(), expected, "{body}");
    }
    let long = json!({"metadata": {"a": "x".repeat(256)}});
    assert_eq!(api.call("PUT", &path).json(&long).send().await.status, 400);
    assert_eq!(api.call("PUT", &path).raw("text/plain", "{}").send().await.status, 415);
    let reply = api.call("PUT", &path).roles("nobody").json(&json!({"metadata": {}})).send().await;
    let text = "Secret metadata creation attempt not allowed - please review your user/project privileges";
    assert_eq!(reply.error(), refused(403, text));
    let reply = api.call("PUT", &path.replace(&path[12..48], NOBODY)).json(&json!({})).send().await;
    assert_eq!(reply.error(), refused(404, "Secret not found."));
}

#[tokio::test]
async fn one_key_is_added_once() {
    let (api, path) = api_with_secret().await;
    let reply = api.post(&path, json!({"key": "NewKey", "value": "v"})).await;
    assert_eq!((reply.status, reply.json()), (201, json!({"key": "newkey", "value": "v"})));
    assert_eq!(reply.header("location"), format!("{BASE}{path}/newkey"));
    let reply = api.post(&path, json!({"key": "newkey", "value": "w"})).await;
    assert_eq!(reply.error(), refused(409, "Conflict. Key in request is already in the secret metadata"));
    for (body, expected) in [
        (json!({"value": "v"}), schema("SecretMetadatum", "'key' is a required property", "key")),
        (json!({"key": "k", "value": 5}), schema("SecretMetadatum", "5 is not of type 'string'", "value")),
        (
            json!({"key": "k", "value": "v", "x": 1}),
            schema("SecretMetadatum", "Additional properties are not allowed ('x' was unexpected)", "None"),
        ),
        (json!({"key": "a b", "value": "v"}), refused(400, "Invalid Key. Key must be URL safe.")),
    ] {
        assert_eq!(api.post(&path, body.clone()).await.error(), expected, "{body}");
    }
}

#[tokio::test]
async fn one_key_is_read_changed_and_removed() {
    let (api, path) = api_with_secret().await;
    api.post(&path, json!({"key": "Key", "value": "v"})).await;
    let item = format!("{path}/key");
    assert_eq!(api.get(&item).await.json(), json!({"key": "key", "value": "v"}));
    assert_eq!(api.get(&format!("{path}/Key")).await.error(), refused(404, "Secret metadata not found."));
    let reply = api.call("PUT", &item).json(&json!({"key": "KEY", "value": "w"})).send().await;
    assert_eq!((reply.status, reply.json()), (200, json!({"key": "key", "value": "w"})));
    let reply = api.call("PUT", &item).json(&json!({"key": "other", "value": "w"})).send().await;
    assert_eq!(reply.error(), refused(409, "Key in request data does not match key in the "));
    let reply = api.call("PUT", &format!("{path}/nix")).json(&json!({"key": "nix", "value": "w"})).send().await;
    assert_eq!(reply.error(), refused(404, "Secret metadata not found."));
    for _ in 0..2 {
        let reply = api.delete(&item).await;
        assert_eq!((reply.status, reply.body.len()), (204, 0));
    }
    assert_eq!(api.get(&item).await.status, 404);
    let reply = api.delete(&format!("/v1/secrets/{NOBODY}/metadata/k")).await;
    assert_eq!(reply.error(), refused(404, "Secret not found."));
}

#[tokio::test]
async fn verbs_that_metadata_does_not_have_are_refused() {
    let (api, path) = api_with_secret().await;
    for (method, path, allow) in [
        ("DELETE", path.clone(), "GET, POST, PUT"),
        ("PATCH", path.clone(), "GET, POST, PUT"),
        ("POST", format!("{path}/k"), ""),
        ("PATCH", format!("{path}/k"), ""),
    ] {
        let reply = api.call(method, &path).send().await;
        assert_eq!((reply.error(), reply.header("allow")), (refused(405, ""), allow), "{method} {path}");
    }
}
