//! `…/acl` of secrets and containers.

use serde_json::{Value, json};

use crate::support::{Api, BASE, NOBODY, id_of, refused};

async fn entities(api: &Api) -> [String; 2] {
    let secret = api.text_secret("s").await;
    let container = id_of(&api.post("/v1/containers", json!({"type": "generic"})).await.json()["container_ref"]);
    [format!("/v1/secrets/{secret}/acl"), format!("/v1/containers/{container}/acl")]
}

fn schema(reason: &str, property: &str) -> (u16, Value) {
    refused(400, &format!("Provided object does not match schema 'ACL': {reason}. Invalid property: '{property}'"))
}

#[tokio::test]
async fn a_list_is_set_changed_and_removed() {
    let api = Api::new();
    for path in entities(&api).await {
        let default = json!({"read": {"project-access": true}});
        assert_eq!(api.get(&path).await.json(), default);
        let answer = (200, json!({"acl_ref": format!("{BASE}{path}")}));
        let put = |body: Value| api.call("PUT", &path).json(&body).send();
        let patch = |body: Value| api.call("PATCH", &path).json(&body).send();

        let reply = put(json!({"read": {"users": ["u1", "u2", "u1"], "project-access": false}})).await;
        assert_eq!((reply.status, reply.json()), answer, "{path}");
        let shown = api.get(&path).await.json();
        assert_eq!(shown["read"]["users"], json!(["u1", "u2"]));
        assert_eq!(shown["read"]["project-access"], false);
        assert!(shown["read"]["created"].is_string() && shown["read"]["updated"].is_string());

        assert_eq!(patch(json!({"read": {"users": ["u3"]}})).await.status, 200);
        let shown = api.get(&path).await.json();
        assert_eq!((&shown["read"]["users"], &shown["read"]["project-access"]), (&json!(["u3"]), &json!(false)));
        assert_eq!(patch(json!({})).await.status, 200);
        assert_eq!(api.get(&path).await.json(), shown, "nothing given, nothing changed");

        assert_eq!(put(json!({"read": {"users": []}})).await.status, 200);
        let shown = api.get(&path).await.json();
        assert_eq!((&shown["read"]["users"], &shown["read"]["project-access"]), (&json!([]), &json!(true)));

        assert_eq!(put(json!({"read": {}})).await.status, 200);
        assert_eq!(api.get(&path).await.json(), default, "an empty PUT removes the list");

        assert_eq!(patch(json!({"read": {"users": ["u4"]}})).await.status, 200);
        assert_eq!(api.get(&path).await.json()["read"]["project-access"], true);
        for _ in 0..2 {
            let reply = api.delete(&path).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "null"));
        }
        assert_eq!(api.get(&path).await.json(), default);
    }
}

#[tokio::test]
async fn lists_that_do_not_fit_are_refused() {
    let api = Api::new();
    for path in entities(&api).await {
        for (body, expected) in [
            (json!({"write": {}}), schema("Additional properties are not allowed ('write' was unexpected)", "None")),
            (json!({"read": []}), schema("[] is not of type 'object'", "read")),
            (json!({"read": {"users": "u"}}), schema("'u' is not of type 'array'", "read")),
            (json!({"read": {"users": ["u", 5]}}), schema("5 is not of type 'string'", "read")),
            (json!({"read": {"project-access": "yes"}}), schema("'yes' is not of type 'boolean'", "read")),
            (
                json!({"read": {"groups": []}}),
                schema("Additional properties are not allowed ('groups' was unexpected)", "read"),
            ),
        ] {
            for method in ["PUT", "PATCH"] {
                assert_eq!(api.call(method, &path).json(&body).send().await.error(), expected, "{method} {body}");
            }
        }
        let reply = api.call("PUT", &path).raw("text/plain", "{}").send().await;
        assert_eq!(reply.status, 415);
        let reply = api.call("PUT", &path).json(&json!({})).roles("nobody").send().await;
        let kind = if path.contains("secrets") { "Secret" } else { "Container" };
        let text = format!("{kind}ACL(s) Update attempt not allowed - please review your user/project privileges");
        assert_eq!(reply.error(), refused(403, &text));
        let reply = api.call("POST", &path).json(&json!({})).send().await;
        assert_eq!((reply.error(), reply.header("allow")), (refused(405, ""), "DELETE, GET, PATCH, PUT"));
    }
    let reply = api.get(&format!("/v1/containers/{NOBODY}/acl")).await;
    assert_eq!(reply.error(), refused(404, "Secrets container not found."));
}

#[tokio::test]
async fn setting_a_list_changes_the_entity() {
    let api = Api::new();
    let id = api.text_secret("s").await;
    let path = format!("/v1/secrets/{id}");
    let before = api.get(&path).await.json()["updated"].clone();
    api.call("PUT", &format!("{path}/acl")).json(&json!({"read": {"users": ["u"]}})).send().await;
    assert_ne!(api.get(&path).await.json()["updated"], before);
}

#[tokio::test]
async fn those_whom_a_list_names_find_the_secret() {
    let api = Api::new();
    let id = api.text_secret("s").await;
    api.text_secret("other").await;
    let path = format!("/v1/secrets/{id}/acl");
    api.call("PUT", &path).json(&json!({"read": {"users": ["bob"]}})).send().await;
    let list = api.call("GET", "/v1/secrets?acl_only=TRUE").project("p2").user("bob").send().await.json();
    assert_eq!(list["total"], 1);
    assert_eq!(id_of(&list["secrets"][0]["secret_ref"]), id);
    let list = api.call("GET", "/v1/secrets?acl_only=true").project("p2").user("carol").send().await.json();
    assert_eq!(list, json!({"secrets": [], "total": 0}));
}
