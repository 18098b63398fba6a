//! `/v1/secrets` and `/v1/secrets/ID`.

use portcullis::engine::ports::HsmErrorKind;
use serde_json::{Value, json};

use crate::support::{Api, BASE, NOBODY, id_of, refused};

fn schema(reason: &str, property: &str) -> (u16, Value) {
    let text = format!("Provided object does not match schema 'Secret': {reason}. Invalid property: '{property}'");
    refused(400, &text)
}

#[tokio::test]
async fn a_secret_without_anything_is_an_opaque_one() {
    let api = Api::new();
    for path in ["/v1/secrets", "/v1/secrets/"] {
        let reply = api.post(path, json!({})).await;
        let href = reply.json()["secret_ref"].as_str().unwrap().to_owned();
        assert_eq!((reply.status, reply.header("location")), (201, href.as_str()));
        assert_eq!(reply.json(), json!({"secret_ref": href}));
        assert!(href.starts_with(&format!("{BASE}/v1/secrets/")));
        let shown = api.get(&href[BASE.len()..]).await.json();
        let (created, updated) = (shown["created"].clone(), shown["updated"].clone());
        assert_eq!(
            shown,
            json!({"created": created, "updated": updated, "status": "ACTIVE", "name": null, "secret_type": "opaque",
                   "expiration": null, "algorithm": null, "bit_length": null, "mode": null, "creator_id": "alice",
                   "secret_ref": href})
        );
    }
}

#[tokio::test]
async fn all_labels_come_back() {
    let api = Api::new();
    let id = api
        .secret(json!({"name": " AES key ", "secret_type": "symmetric", "algorithm": "aes", "bit_length": 256.0,
            "mode": "cbc", "expiration": "2030-02-28T19:14:44.180394+02:00", "payload": "YmVl\ncg==",
            "payload_content_type": "Application/Octet-Stream", "payload_content_encoding": "base64", "colour": "red"}))
        .await;
    let shown = api.call("GET", &format!("/v1/secrets/{id}/")).version("1.1").send().await.json();
    for (member, value) in [
        ("name", json!("AES key")),
        ("secret_type", json!("symmetric")),
        ("algorithm", json!("aes")),
        ("bit_length", json!(256)),
        ("mode", json!("cbc")),
        ("expiration", json!("2030-02-28T17:14:44.180394")),
        ("content_types", json!({"default": "application/octet-stream"})),
        ("consumers", json!([])),
        ("status", json!("ACTIVE")),
    ] {
        assert_eq!(shown[member], value, "{member}");
    }
    assert_eq!(api.get(&format!("/v1/secrets/{id}/payload")).await.body, b"beer");
}

#[tokio::test]
async fn bodies_that_do_not_fit_the_schema_are_refused() {
    let api = Api::new();
    let supported = "payload_content_type is not one of ['text/plain', 'text/plain;charset=utf-8', \
                     'text/plain; charset=utf-8', 'application/octet-stream', 'application/pkcs8']";
    for (body, reason, property) in [
        (json!([]), "[] is not of type 'object'", "None"),
        (json!({"name": 5}), "5 is not of type 'string', 'null'", "name"),
        (
            json!({"secret_type": "Opaque"}),
            "'Opaque' is not one of ['symmetric', 'passphrase', 'private', 'public', 'certificate', 'opaque']",
            "secret_type",
        ),
        (json!({"algorithm": null}), "None is not of type 'string'", "algorithm"),
        (json!({"bit_length": 0}), "0 is less than the minimum of 1", "bit_length"),
        (json!({"bit_length": 32768}), "32768 is greater than the maximum of 32767", "bit_length"),
        (json!({"bit_length": true}), "True is not of type 'integer'", "bit_length"),
        (json!({"mode": []}), "[] is not of type 'string'", "mode"),
        (json!({"payload": null}), "<redacted> is not of type 'string'", "payload"),
        (json!({"transport_key_needed": true}), "True is not of type 'string'", "transport_key_needed"),
        (
            json!({"payload": "x"}),
            "If 'payload' is supplied, 'payload_content_type' must also be supplied.",
            "payload_content_type",
        ),
        (
            json!({"payload": "x", "payload_content_type": null}),
            "If 'payload' is supplied, 'payload_content_type' must also be supplied.",
            "payload_content_type",
        ),
        (
            json!({"payload_content_type": null}),
            "payload must be provided when payload_content_type is specified",
            "payload",
        ),
        (
            json!({"payload": "  ", "payload_content_type": "text/plain"}),
            "If 'payload' specified, must be non empty",
            "payload",
        ),
        (json!({"payload": "x", "payload_content_type": "text/html"}), supported, "payload_content_type"),
        (json!({"payload": "x", "payload_content_type": ""}), supported, "payload_content_type"),
        (
            json!({"payload": "x", "payload_content_type": "text/plain", "payload_content_encoding": "base64"}),
            "payload_content_encoding is not one of None",
            "payload_content_encoding",
        ),
        (
            json!({"payload": "x", "payload_content_type": "application/octet-stream"}),
            "payload_content_encoding is not one of ['base64', 'binary']",
            "payload_content_encoding",
        ),
        (
            json!({"payload": "x", "payload_content_type": "application/octet-stream", "payload_content_encoding": "binary"}),
            "'binary' is not one of ['base64']",
            "payload_content_encoding",
        ),
        (
            json!({"payload": "abc", "payload_content_type": "application/octet-stream", "payload_content_encoding": "base64"}),
            "Invalid payload for payload_content_encoding",
            "payload",
        ),
        (json!({"expiration": "soon"}), "Invalid date for 'expiration'", "expiration"),
        (json!({"expiration": "2020-01-01"}), "'expiration' is before current time", "expiration"),
    ] {
        let reply = api.post("/v1/secrets", body.clone()).await;
        assert_eq!(reply.error(), schema(reason, property), "{body}");
    }
    let long = "x".repeat(256);
    let reply = api.post("/v1/secrets", json!({"name": long})).await;
    assert_eq!(reply.error(), schema(&format!("'{long}' is too long"), "name"));
    assert_eq!(api.get("/v1/secrets").await.json()["total"], 0);
    assert_eq!(api.bench.hsm.count(), 0);
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let api = Api::new();
    for body in [&b""[..], b"{", b"\xff\xfe", b"{\"a\":}", &[b' '; 30_000]] {
        let reply = api.call("POST", "/v1/secrets").raw("application/json", body.to_vec()).send().await;
        assert_eq!(reply.error(), refused(400, "Malformed JSON"), "{} bytes", body.len());
    }
}

#[tokio::test]
async fn sizes_are_limited() {
    let api = Api::new();
    let text = |length: usize| json!({"payload": "x".repeat(length), "payload_content_type": "text/plain"});
    api.secret(text(20_000)).await;
    let reply = api.post("/v1/secrets", text(20_001)).await;
    assert_eq!(reply.error(), refused(413, "Provided information too large to process"));
    assert_eq!(reply.json()["title"], "Request Entity Too Large");
    assert_eq!(api.post("/v1/secrets", text(25_000)).await.error(), refused(400, "Malformed JSON"));
}

#[tokio::test]
async fn transport_keys_are_not_offered() {
    let api = Api::new();
    let reply = api.post("/v1/secrets", json!({"transport_key_needed": "true"})).await;
    assert_eq!(reply.error(), refused(400, "Secret creation issue seen - Secret store supported plugin not found.."));
    let reply = api
        .post("/v1/secrets", json!({"transport_key_id": "x", "payload": "p", "payload_content_type": "text/plain"}))
        .await;
    assert_eq!(reply.error(), refused(400, "Secret creation issue seen - Provided transport key was not found.."));
}

#[tokio::test]
async fn only_the_hsm_holds_the_value() {
    let api = Api::new();
    let id = api.text_secret("s").await;
    assert_eq!(api.bench.hsm.values(id.parse().unwrap()), [b"beer".to_vec()]);
    assert_eq!(api.bench.store.open_intents(), 0);
}

#[tokio::test]
async fn a_refused_creation_leaves_nothing() {
    let api = Api::new();
    api.bench.hsm.fail("hold-bytes", HsmErrorKind::Unavailable, 1);
    let body = json!({"payload": "beer", "payload_content_type": "text/plain"});
    let reply = api.post("/v1/secrets", body.clone()).await;
    let text = "Secret creation issue seen - the HSM is not reachable; try again later.";
    assert_eq!(reply.error(), refused(503, text));
    api.bench.hsm.fail("place", HsmErrorKind::Full, 1);
    let reply = api.post("/v1/secrets", body).await;
    assert_eq!(reply.error(), refused(507, "Secret creation issue seen - no HSM token has room for another object."));
    assert_eq!((api.bench.hsm.count(), api.bench.store.open_intents()), (0, 0));
    assert_eq!(api.get("/v1/secrets").await.json()["total"], 0);
}

#[tokio::test]
async fn secrets_of_others_are_forbidden_and_unknown_ones_missing() {
    let api = Api::new();
    let id = api.text_secret("s").await;
    let reply = api.call("GET", &format!("/v1/secrets/{id}")).project("p2").roles("member").send().await;
    let text = "Secret retrieval attempt not allowed - please review your user/project privileges";
    assert_eq!(reply.error(), refused(403, text));
    assert_eq!(api.get(&format!("/v1/secrets/{NOBODY}")).await.error(), refused(404, "Secret not found."));
    for bad in ["x", &NOBODY.to_uppercase(), &NOBODY.replace('-', "")] {
        let reply = api.get(&format!("/v1/secrets/{bad}")).await;
        assert_eq!(reply.error(), refused(404, "Not Found. Provided secret id is invalid."), "{bad}");
    }
}

#[tokio::test]
async fn an_expired_secret_is_nowhere() {
    let api = Api::new();
    let id = api
        .secret(json!({"expiration": "2026-11-22T07:00:00", "payload": "x", "payload_content_type": "text/plain"}))
        .await;
    assert_eq!(api.get(&format!("/v1/secrets/{id}")).await.status, 200);
    api.bench.clock.advance(3600);
    for path in ["", "/payload", "/metadata"] {
        let reply = api.get(&format!("/v1/secrets/{id}{path}")).await;
        assert_eq!(reply.error(), refused(404, "Secret not found."), "{path}");
    }
    assert_eq!(api.delete(&format!("/v1/secrets/{id}")).await.status, 404);
    assert_eq!(api.get("/v1/secrets").await.json(), json!({"secrets": [], "total": 0}));
}

#[tokio::test]
async fn a_deleted_secret_is_gone_from_the_hsm_and_from_every_path() {
    let api = Api::new();
    let id = api.text_secret("s").await;
    let path = format!("/v1/secrets/{id}");
    let reply = api.delete(&path).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!((api.bench.hsm.count(), api.bench.store.open_intents()), (0, 0));
    for tail in ["", "/payload", "/metadata", "/acl", "/consumers"] {
        assert_eq!(api.get(&format!("{path}{tail}")).await.error(), refused(404, "Secret not found."), "{tail}");
    }
    assert_eq!(api.delete(&path).await.error(), refused(404, "Secret not found."));
    let kinds: Vec<_> = api.bench.audit.events().iter().map(|event| event.operation.name()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "retire").count(), 2, "one record each: {kinds:?}");
}

#[tokio::test]
async fn a_delete_that_the_hsm_refuses_is_told_and_finished_later() {
    let api = Api::new();
    let id = api.text_secret("s").await;
    api.bench.hsm.fail("destroy", HsmErrorKind::Unavailable, 1);
    let reply = api.delete(&format!("/v1/secrets/{id}")).await;
    let text = "Secret deletion issue seen - the HSM is not reachable; try again later.";
    assert_eq!(reply.error(), refused(503, text));
    assert_eq!(api.bench.store.open_intents(), 1, "the reconciler comes back to it");
}

#[tokio::test]
async fn verbs_that_secrets_do_not_have_are_refused() {
    let api = Api::new();
    let id = api.text_secret("s").await;
    for (method, path, allow) in [
        ("PUT", "/v1/secrets".to_owned(), "GET, POST"),
        ("PATCH", "/v1/secrets".to_owned(), "GET, POST"),
        ("DELETE", "/v1/secrets".to_owned(), "GET, POST"),
        ("POST", format!("/v1/secrets/{id}"), "DELETE, GET, PUT"),
        ("PATCH", format!("/v1/secrets/{id}"), "DELETE, GET, PUT"),
        ("HEAD", format!("/v1/secrets/{id}"), "DELETE, GET, PUT"),
        ("PUT", format!("/v1/secrets/{id}/payload"), ""),
        ("DELETE", format!("/v1/secrets/{id}/payload"), ""),
    ] {
        let reply = api.call(method, &path).send().await;
        assert_eq!((reply.status, reply.header("allow")), (405, allow), "{method} {path}");
        if method != "HEAD" {
            assert_eq!(reply.error(), refused(405, ""), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let api = Api::new();
    for number in 0..5 {
        api.text_secret(&format!("n{number}")).await;
    }
    api.call("POST", "/v1/secrets").project("p2").json(&json!({"name": "foreign"})).send().await;
    let names = |list: &Value| -> Vec<String> {
        list["secrets"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    let list = api.get("/v1/secrets?limit=2&offset=2&mode=&name=n%25").await.json();
    assert_eq!((names(&list), &list["total"]), (vec!["n2".into(), "n3".into()], &json!(5)));
    assert_eq!(list["next"], format!("{BASE}/v1/secrets?limit=2&offset=4&mode=&name=n%25"));
    assert_eq!(list["previous"], format!("{BASE}/v1/secrets?limit=2&offset=0&mode=&name=n%25"));
    let list = api.get("/v1/secrets?limit=0&offset=0").await.json();
    assert_eq!((names(&list).len(), &list["total"]), (1, &json!(5)));
    let list = api.get("/v1/secrets?offset=50").await.json();
    assert_eq!(list, json!({"secrets": [], "total": 5}));
    let list = api.get("/v1/secrets?sort=name:desc&limit=1").await.json();
    assert_eq!(names(&list), ["n4"]);
    let item = api.call("GET", "/v1/secrets?limit=1").version("1.1").send().await.json()["secrets"][0].clone();
    assert_eq!(item["consumers"], json!([]));
}

#[tokio::test]
async fn filters_keep_what_they_say() {
    let api = Api::new();
    api.secret(
        json!({"name": "alpha", "algorithm": "AES", "bit_length": 256, "mode": "cbc", "secret_type": "symmetric"}),
    )
    .await;
    api.bench.clock.advance(60);
    api.secret(json!({"name": "beta", "algorithm": "rsa", "bit_length": 2048, "secret_type": "private", "expiration": "2030-01-01"})).await;
    for (query, expected) in [
        ("name=alpha", 1),
        ("name=ALPHA", 1),
        ("name=alp", 0),
        ("name=%25a", 2),
        ("alg=aes", 1),
        ("mode=CBC", 1),
        ("bits=2048", 1),
        ("bits=abc", 2),
        ("bits=-1", 2),
        ("secret_type=private", 1),
        ("secret_type=Private", 0),
        ("created=gt:2026-11-22T06:00:30", 1),
        ("created=gte:2026-11-22T06:00:00Z,lt:2026-11-22T06:00:30", 1),
        ("expiration=2030-01-01", 1),
        ("updated=lt:2020-01-01", 0),
        ("name=alpha&alg=rsa", 0),
        ("unknown=x&unknown=y", 2),
        ("acl_only=false", 2),
    ] {
        assert_eq!(api.get(&format!("/v1/secrets?{query}")).await.json()["total"], expected, "{query}");
    }
    for query in
        ["name=a&name=b", "created=eq:2020-01-01", "created=x", "sort=size", "sort=name,name", "expiration=gt:1,gte:2"]
    {
        let reply = api.get(&format!("/v1/secrets?{query}")).await;
        assert_eq!(reply.error(), refused(400, "URI provided invalid query string parameters."), "{query}");
    }
    let reply = api.call("GET", "/v1/secrets?sort=size").roles("nobody").send().await;
    assert_eq!(reply.status, 403, "policy comes before the filters");
}

#[tokio::test]
async fn secrets_are_their_projects_own_in_lists() {
    let api = Api::new();
    let reply = api.call("POST", "/v1/secrets").project("p2").json(&json!({"name": "theirs"})).send().await;
    let id = id_of(&reply.json()["secret_ref"]);
    assert_eq!(api.get("/v1/secrets").await.json()["total"], 0);
    let list = api.call("GET", "/v1/secrets").project("p2").send().await.json();
    assert_eq!(id_of(&list["secrets"][0]["secret_ref"]), id);
}
