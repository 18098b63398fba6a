//! `…/consumers` of secrets and containers, and what they keep from being deleted.

use serde_json::{Value, json};

use crate::support::{Api, BASE, NOBODY, id_of, refused};

fn consumer(id: &str) -> Value {
    json!({"service": "glance", "resource_type": "image", "resource_id": id, "more": 1})
}

async fn container(api: &Api) -> String {
    id_of(&api.post("/v1/containers", json!({"type": "generic", "name": "c"})).await.json()["container_ref"])
}

#[tokio::test]
async fn a_consumer_of_a_secret_is_registered_once_and_removed() {
    let api = Api::new();
    let id = api.text_secret("s").await;
    let path = format!("/v1/secrets/{id}/consumers");
    for _ in 0..2 {
        let reply = api.post(&format!("{path}/"), consumer("1")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("location"), format!("{BASE}/v1/consumers/{id}/consumers"));
        let secret = reply.json();
        assert_eq!(secret["name"], "s");
        let registered = json!([{"service": "glance", "resource_type": "image", "resource_id": "1"}]);
        assert_eq!(secret["consumers"], registered);
    }
    let listed = api.get(&path).await.json();
    let (created, updated) = (listed["consumers"][0]["created"].clone(), listed["consumers"][0]["updated"].clone());
    assert_eq!(
        listed,
        json!({"consumers": [{"service": "glance", "resource_type": "image", "resource_id": "1", "status": "ACTIVE",
                              "created": created, "updated": updated}], "total": 1})
    );
    let shown = api.call("GET", &format!("/v1/secrets/{id}")).version("1.1").send().await.json();
    assert_eq!(shown["consumers"].as_array().unwrap().len(), 1);

    let reply = api.call("DELETE", &path).json(&consumer("1")).send().await;
    assert_eq!((reply.status, &reply.json()["consumers"]), (200, &json!([])));
    let reply = api.call("DELETE", &path).json(&consumer("1")).send().await;
    assert_eq!(reply.error(), refused(404, "Consumer not found."));
}

#[tokio::test]
async fn consumers_come_in_pages() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}/consumers", api.text_secret("s").await);
    for number in 0..3 {
        api.post(&path, consumer(&number.to_string())).await;
    }
    let listed = api.get(&format!("{path}?limit=1&offset=1")).await.json();
    assert_eq!(listed["consumers"][0]["resource_id"], "1");
    assert_eq!(listed["total"], 3);
    assert_eq!(listed["next"], format!("{BASE}{path}?limit=1&offset=2"));
    assert_eq!(listed["previous"], format!("{BASE}{path}?limit=1&offset=0"));
}

#[tokio::test]
async fn consumers_that_do_not_fit_are_refused() {
    let api = Api::new();
    let path = format!("/v1/secrets/{}/consumers", api.text_secret("s").await);
    let schema = |reason: &str, property: &str| {
        let text = "Provided object does not match schema 'Secret Consumer': ";
        refused(400, &format!("{text}{reason}. Invalid property: '{property}'"))
    };
    for (body, expected) in [
        (json!({"service": "a", "resource_type": "b"}), schema("'resource_id' is a required property", "None")),
        (json!({"service": "", "resource_type": "b", "resource_id": "c"}), schema("'' should be non-empty", "service")),
    ] {
        assert_eq!(api.post(&path, body.clone()).await.error(), expected, "{body}");
    }
    let reply = api.call("DELETE", &path).raw("", consumer("1").to_string()).send().await;
    assert_eq!(reply.status, 415);
    let reply = api.post(&path, consumer("1")).await;
    assert_eq!(reply.status, 200);
    let reply = api.call("POST", &path).roles("nobody").json(&consumer("2")).send().await;
    let text = "SecretConsumer creation attempt not allowed - please review your user/project privileges";
    assert_eq!(reply.error(), refused(403, text));
    let reply = api.call("PUT", &path).json(&consumer("1")).send().await;
    assert_eq!((reply.error(), reply.header("allow")), (refused(405, ""), "DELETE, GET, POST"));
}

#[tokio::test]
async fn single_consumers_are_never_found() {
    let api = Api::new();
    let paths = [format!("secrets/{}", api.text_secret("s").await), format!("containers/{}", container(&api).await)];
    for path in paths {
        let reply = api.get(&format!("/v1/{path}/consumers/x")).await;
        assert_eq!(reply.error(), refused(404, "Not Found. Provided consumer id is invalid."), "{path}");
        let reply = api.get(&format!("/v1/{path}/consumers/{NOBODY}")).await;
        assert_eq!(reply.error(), refused(404, "Consumer not found."), "{path}");
    }
}

#[tokio::test]
async fn consumers_guard_a_secret_from_microversion_1_2_on() {
    let api = Api::new();
    let id = api.text_secret("s").await;
    let path = format!("/v1/secrets/{id}");
    api.post(&format!("{path}/consumers"), consumer("1")).await;
    let delete = |version: &'static str, query: &'static str| {
        api.call("DELETE", &format!("{path}{query}")).version(version).send()
    };
    let text = "Secret deletion issue seen - Secret cannot be deleted as it has consumers..";
    assert_eq!(delete("1.2", "").await.error(), refused(400, text));
    assert_eq!(delete("1.2", "?force=no").await.error(), refused(400, text));
    for bad in ["?force=", "?force=maybe"] {
        let reply = delete("1.2", bad).await;
        assert_eq!(reply.error(), refused(400, "URI provided invalid query string parameters."), "{bad}");
    }
    let reply = api.call("DELETE", &format!("{path}?force=bad")).version("1.2").roles("nobody").send().await;
    assert_eq!(reply.status, 403, "policy comes before the parameter");
    assert_eq!(delete("1.2", "?force=True").await.status, 204);

    let id = api.text_secret("t").await;
    let path = format!("/v1/secrets/{id}");
    api.post(&format!("{path}/consumers"), consumer("1")).await;
    assert_eq!(api.call("DELETE", &format!("{path}?force=bad")).version("1.1").send().await.status, 204);
}

#[tokio::test]
async fn a_consumer_of_a_container_is_registered_once_and_removed() {
    let api = Api::new();
    let id = container(&api).await;
    let path = format!("/v1/containers/{id}/consumers");
    for (name, url) in [("b", "lb://2"), ("a", "lb://1"), ("a", "lb://1")] {
        let reply = api.post(&path, json!({"name": name, "URL": url})).await;
        assert_eq!((reply.status, &reply.json()["name"]), (200, &json!("c")));
        assert_eq!(reply.header("location"), format!("{BASE}/v1/consumers/{id}/consumers"));
    }
    let listed = api.get(&path).await.json();
    let names: Vec<_> = listed["consumers"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!((names, &listed["total"]), (vec![json!("a"), json!("b")], &json!(2)));
    assert_eq!(listed["consumers"][0]["URL"], "lb://1");
    let reply = api.call("DELETE", &path).json(&json!({"name": "a", "URL": "lb://1"})).send().await;
    assert_eq!((reply.status, &reply.json()["consumers"]), (200, &json!([{"name": "b", "URL": "lb://2"}])));
    let reply = api.call("DELETE", &path).json(&json!({"name": "a", "URL": "lb://1"})).send().await;
    assert_eq!(reply.error(), refused(404, "Consumer not found."));
    let reply = api.post(&path, json!({"name": "x".repeat(37), "URL": "u"})).await;
    let text = format!(
        "Provided object does not match schema 'Consumer': '{}' is too long. Invalid property: 'name'",
        "x".repeat(37)
    );
    assert_eq!(reply.error(), refused(400, &text));
    assert_eq!(api.delete(&format!("/v1/containers/{id}")).await.status, 204, "consumers do not guard a container");
}
