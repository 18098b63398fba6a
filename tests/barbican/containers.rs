//! `/v1/containers` and its members.

use serde_json::{Value, json};

use crate::support::{Api, BASE, NOBODY, id_of, refused};

fn href(id: &str) -> String {
    format!("{BASE}/v1/secrets/{id}")
}

fn member(name: &str, id: &str) -> Value {
    json!({"name": name, "secret_ref": href(id)})
}

async fn made(api: &Api, body: Value) -> String {
    let reply = api.post("/v1/containers/", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let href = reply.json()["container_ref"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), href);
    id_of(&json!(href))
}

fn schema(reason: &str, property: &str) -> (u16, Value) {
    refused(
        400,
        &format!("Provided object does not match schema 'Container': {reason}. Invalid property: '{property}'"),
    )
}

#[tokio::test]
async fn a_container_is_made_shown_listed_and_deleted() {
    let api = Api::new();
    let (one, two) = (api.text_secret("one").await, api.text_secret("two").await);
    let refs = json!([member("a", &one), {"secret_ref": format!("{}/", href(&two))}]);
    let id = made(&api, json!({"type": "generic", "name": " box ", "secret_refs": refs})).await;
    let path = format!("/v1/containers/{id}");
    let shown = api.get(&path).await.json();
    let (created, updated) = (shown["created"].clone(), shown["updated"].clone());
    assert_eq!(
        shown,
        json!({"created": created, "updated": updated, "status": "ACTIVE", "name": "box", "type": "generic",
               "creator_id": "alice", "consumers": [], "container_ref": format!("{BASE}{path}"),
               "secret_refs": [member("a", &one), {"name": null, "secret_ref": href(&two)}]})
    );
    made(&api, json!({"type": "rsa"})).await;
    for (query, total) in [("", 2), ("?type=rsa", 1), ("?name=BO%25", 1), ("?name=x", 0), ("?type=Rsa", 0)] {
        assert_eq!(api.get(&format!("/v1/containers{query}")).await.json()["total"], total, "{query}");
    }
    let listed = api.get("/v1/containers?limit=1").await.json();
    assert_eq!(listed["containers"][0], shown);
    assert_eq!(listed["next"], format!("{BASE}/v1/containers?limit=1&offset=1"));

    let reply = api.delete(&path).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!(api.get(&path).await.error(), refused(404, "Secrets container not found."));
    assert_eq!(api.get(&format!("/v1/secrets/{one}")).await.status, 200, "its members stay");
}

#[tokio::test]
async fn a_deleted_member_disappears_and_an_expired_one_stays() {
    let api = Api::new();
    let gone = api.text_secret("gone").await;
    let old = api.secret(json!({"expiration": "2026-11-22T07:00:00"})).await;
    let refs = json!([member("gone", &gone), member("old", &old)]);
    let id = made(&api, json!({"type": "generic", "secret_refs": refs})).await;
    api.delete(&format!("/v1/secrets/{gone}")).await;
    api.bench.clock.advance(7200);
    let shown = api.get(&format!("/v1/containers/{id}")).await.json();
    assert_eq!(shown["secret_refs"], json!([member("old", &old)]));
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused() {
    let api = Api::new();
    let one = api.text_secret("one").await;
    let foreign = api.call("POST", "/v1/secrets").project("p2").json(&json!({})).send().await.json();
    let foreign = id_of(&foreign["secret_ref"]);
    let two = api.text_secret("two").await;
    let elsewhere = json!({"name": "a", "secret_ref": format!("http://other/v1/secrets/{one}")});
    let rsa = "only 'private_key', 'public_key' and 'private_key_passphrase' reference names are allowed for RSA type";
    let certificate = "only 'private_key', 'certificate' , 'private_key_passphrase',  or 'intermediates' reference names \
                       are allowed for Certificate type";
    let refs = "secret_refs";
    for (body, expected) in [
        (json!({}), schema("'type' is a required property", "None")),
        (json!({"type": "foo"}), schema("'foo' is not one of ['generic', 'rsa', 'certificate']", "type")),
        (json!({"type": "generic", refs: null}), schema("None is not of type 'array'", refs)),
        (json!({"type": "generic", refs: [5]}), schema("5 is not of type 'object'", refs)),
        (json!({"type": "generic", refs: [{"name": "a"}]}), schema("'secret_ref' is a required property", refs)),
        (
            json!({"type": "generic", refs: [member("a", &one), member("a", &two)]}),
            schema("Duplicate reference names are not allowed", refs),
        ),
        (
            json!({"type": "generic", refs: [{"secret_ref": href(&one)}, {"secret_ref": href(&two)}]}),
            schema("Duplicate reference names are not allowed", refs),
        ),
        (
            json!({"type": "generic", refs: [member("a", &one), member("b", &one)]}),
            schema("Duplicate secret ids are not allowed", refs),
        ),
        (json!({"type": "generic", refs: [elsewhere]}), refused(400, "Provided field value is not supported")),
        (json!({"type": "rsa", refs: [member("x", &one)]}), schema(rsa, refs)),
        (
            json!({"type": "rsa", refs: [member("public_key", &one)]}),
            schema("The minimum required reference names are 'public_key' and'private_key' for RSA type", refs),
        ),
        (json!({"type": "certificate", refs: [member("public_key", &one)]}), schema(certificate, refs)),
        (
            json!({"type": "certificate", refs: [member("private_key", &one)]}),
            schema("The minimum required reference name is 'certificate' for Certificate type", refs),
        ),
        (
            json!({"type": "generic", refs: [member("a", NOBODY)]}),
            refused(404, "Secret provided for 'a' doesn't exist."),
        ),
        (json!({"type": "generic", refs: [member("a", "x")]}), refused(404, "Secret provided for 'a' doesn't exist.")),
        (
            json!({"type": "generic", refs: [member("a", &foreign)]}),
            refused(404, "Secret provided for 'a' doesn't exist."),
        ),
    ] {
        assert_eq!(api.post("/v1/containers", body.clone()).await.error(), expected, "{body}");
    }
    assert_eq!(api.get("/v1/containers").await.json(), json!({"containers": [], "total": 0}));
    let mixed = json!([{"name": null, "secret_ref": href(&one)}, {"secret_ref": href(&two)}]);
    made(&api, json!({"type": "generic", "secret_refs": mixed})).await;
}

#[tokio::test]
async fn typed_containers_take_the_names_of_their_type() {
    let api = Api::new();
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ids.push(api.text_secret(name).await);
    }
    let [a, b, c, d] = ids.as_slice() else { panic!("four") };
    let rsa = json!([member("private_key", a), member("public_key", b), member("private_key_passphrase", c)]);
    made(&api, json!({"type": "rsa", "secret_refs": rsa})).await;
    let all = json!([
        member("certificate", a),
        member("private_key", b),
        member("private_key_passphrase", c),
        member("intermediates", d)
    ]);
    made(&api, json!({"type": "certificate", "secret_refs": all})).await;
    made(&api, json!({"type": "certificate", "secret_refs": []})).await;
}

#[tokio::test]
async fn references_may_name_any_root_of_the_service() {
    let settings = portcullis::barbican::Settings {
        host_href: Some("https://api.test/key-manager/".into()),
        aliases: vec!["http://inner:9311".into()],
        ..Default::default()
    };
    let api = Api::with(settings);
    let id = api.text_secret("s").await;
    for (root, status) in [
        ("https://api.test/key-manager", 201),
        ("http://inner:9311", 201),
        // What the client called, though links are built otherwise; and what a proxy's catalogue makes of any of them.
        (BASE, 201),
        ("https://api.test", 201),
        ("http://inner:9311/some/prefix", 201),
        ("HTTPS://API.test/key-manager", 201),
        ("http://api.test/key-manager", 400),
        ("https://api.test:444", 400),
        ("https://api.test.evil.example", 400),
        ("https://evil.example/https://api.test/key-manager", 400),
        ("", 400),
    ] {
        let refs = json!([{"name": "a", "secret_ref": format!("{root}/v1/secrets/{id}")}]);
        let reply = api.post("/v1/containers", json!({"type": "generic", "secret_refs": refs})).await;
        assert_eq!(reply.status, status, "{root}: {}", reply.text());
    }
}

#[tokio::test]
async fn members_come_and_go() {
    let api = Api::new();
    let secret = api.text_secret("s").await;
    let id = made(&api, json!({"type": "generic"})).await;
    let path = format!("/v1/containers/{id}/secrets");
    // The part before the last slash is not compared.
    let body = json!({"name": "n", "secret_ref": format!("https://anywhere/{secret}")});
    for _ in 0..2 {
        let reply = api.post(&path, body.clone()).await;
        assert_eq!((reply.status, reply.json()), (201, json!({"container_ref": format!("{BASE}/v1/containers/{id}")})));
        assert_eq!(reply.header("location"), format!("{BASE}/v1/containers/{id}"));
        let conflict = "Conflict. A secret with that name and ID is already stored in this container. The same secret \
                        can exist in a container as long as the name is unique.";
        assert_eq!(api.post(&path, body.clone()).await.error(), refused(409, conflict));
        assert_eq!(api.post(&path, member("other", &secret)).await.status, 201);
        let reply = api.call("DELETE", &path).raw("", member("other", &secret).to_string()).send().await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{}", reply.text());
        assert_eq!(api.call("DELETE", &path).json(&body).send().await.status, 204);
        let reply = api.call("DELETE", &path).json(&body).send().await;
        assert_eq!(reply.error(), refused(404, "Secret provided is not in the container"));
    }
}

#[tokio::test]
async fn member_changes_that_do_not_fit_are_refused() {
    let api = Api::new();
    let secret = api.text_secret("s").await;
    let generic = format!("/v1/containers/{}/secrets", made(&api, json!({"type": "generic"})).await);
    let rsa = format!("/v1/containers/{}/secrets", made(&api, json!({"type": "rsa"})).await);
    let reply = api.call("POST", &rsa).raw("application/json", "{").send().await;
    assert_eq!(reply.error(), refused(400, "Only 'generic' containers can be modified."));
    assert_eq!(
        api.call("DELETE", &rsa).json(&member("a", &secret)).send().await.error(),
        refused(404, "Secret provided is not in the container")
    );
    assert_eq!(api.post(&generic, member("a", NOBODY)).await.error(), refused(404, "Secret provided doesn't exist."));
    let odd = json!({"name": "a", "secret_ref": secret});
    assert_eq!(api.post(&generic, odd).await.error(), refused(404, "Secret provided doesn't exist."));
    let reply = api.call("DELETE", &generic).json(&member("a", NOBODY)).send().await;
    let text = format!("Secret 'a' with reference '{}' doesn't exist.", href(NOBODY));
    assert_eq!(reply.error(), refused(404, &text));
    assert_eq!(api.delete(&generic).await.error(), refused(400, "Malformed JSON"));
    let reply = api.post(&generic, json!({"name": "a"})).await;
    let text = "Provided object does not match schema 'ContainerSecret': 'secret_ref' is a required property. Invalid \
                property: 'None'";
    assert_eq!(reply.error(), refused(400, text));
    assert_eq!(api.call("POST", &generic).raw("text/plain", "{}").send().await.status, 415);
    for method in ["GET", "PUT", "PATCH"] {
        let reply = api.call(method, &generic).send().await;
        assert_eq!((reply.error(), reply.header("allow")), (refused(405, ""), "DELETE, POST"), "{method}");
    }
}

#[tokio::test]
async fn containers_of_others_are_forbidden_and_unknown_ones_missing() {
    let api = Api::new();
    let id = made(&api, json!({"type": "generic"})).await;
    let reply = api.call("GET", &format!("/v1/containers/{id}")).project("p2").send().await;
    let text = "Container retrieval attempt not allowed - please review your user/project privileges";
    assert_eq!(reply.error(), refused(403, text));
    let reply = api.get("/v1/containers/x").await;
    assert_eq!(reply.error(), refused(404, "Not Found. Provided container id is invalid."));
    let reply = api.call("PUT", "/v1/containers").send().await;
    assert_eq!((reply.error(), reply.header("allow")), (refused(405, ""), "GET, POST"));
    let reply = api.call("PATCH", &format!("/v1/containers/{id}")).send().await;
    assert_eq!((reply.error(), reply.header("allow")), (refused(405, ""), "DELETE, GET"));
    assert_eq!(api.call("GET", "/v1/containers").project("p2").send().await.json()["total"], 0);
}
