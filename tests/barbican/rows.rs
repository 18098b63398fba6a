//! What holds for every row of the API: authentication, microversions, `Accept`, headers, unknown targets, roles.

use serde_json::json;

use crate::support::{Api, NOBODY, id_of, refused};

/// Verb, path with `S` and `C` for a secret and a container, and whether the answer is JSON.
const ROWS: &[(&str, &str, bool)] = &[
    ("GET", "/v1", true),
    ("GET", "/v1/secrets", true),
    ("POST", "/v1/secrets", true),
    ("GET", "/v1/secrets/S", false),
    ("PUT", "/v1/secrets/S", false),
    ("DELETE", "/v1/secrets/S", false),
    ("GET", "/v1/secrets/S/payload", false),
    ("GET", "/v1/secrets/S/metadata", true),
    ("PUT", "/v1/secrets/S/metadata", true),
    ("POST", "/v1/secrets/S/metadata", true),
    ("GET", "/v1/secrets/S/metadata/k", true),
    ("PUT", "/v1/secrets/S/metadata/k", true),
    ("DELETE", "/v1/secrets/S/metadata/k", true),
    ("GET", "/v1/secrets/S/acl", true),
    ("PUT", "/v1/secrets/S/acl", true),
    ("PATCH", "/v1/secrets/S/acl", true),
    ("DELETE", "/v1/secrets/S/acl", true),
    ("GET", "/v1/secrets/S/consumers", true),
    ("POST", "/v1/secrets/S/consumers", true),
    ("DELETE", "/v1/secrets/S/consumers", true),
    ("GET", "/v1/containers", true),
    ("POST", "/v1/containers", true),
    ("GET", "/v1/containers/C", true),
    ("DELETE", "/v1/containers/C", false),
    ("POST", "/v1/containers/C/secrets", true),
    ("DELETE", "/v1/containers/C/secrets", false),
    ("GET", "/v1/containers/C/acl", true),
    ("PUT", "/v1/containers/C/acl", true),
    ("PATCH", "/v1/containers/C/acl", true),
    ("DELETE", "/v1/containers/C/acl", true),
    ("GET", "/v1/containers/C/consumers", true),
    ("POST", "/v1/containers/C/consumers", true),
    ("DELETE", "/v1/containers/C/consumers", true),
    ("GET", "/v1/orders", true),
    ("POST", "/v1/orders", true),
    ("PUT", "/v1/orders", false),
    ("GET", "/v1/orders/O", true),
    ("DELETE", "/v1/orders/O", false),
    ("GET", "/v1/quotas", true),
    ("GET", "/v1/project-quotas", true),
    ("GET", "/v1/project-quotas/p1", true),
    ("PUT", "/v1/project-quotas/p1", true),
    ("DELETE", "/v1/project-quotas/p1", false),
    ("GET", "/v1/transport_keys", true),
    ("POST", "/v1/transport_keys", true),
    ("GET", "/v1/transport_keys/6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f", true),
    ("DELETE", "/v1/transport_keys/6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f", false),
];

async fn rows(api: &Api) -> Vec<(&'static str, String, bool)> {
    let secret = api.text_secret("s").await;
    let container = id_of(&api.post("/v1/containers", json!({"type": "generic"})).await.json()["container_ref"]);
    let meta = json!({"algorithm": "aes", "bit_length": 128});
    let order = id_of(&api.post("/v1/orders", json!({"type": "key", "meta": meta})).await.json()["order_ref"]);
    let row = |(method, path, json): &(&'static str, &str, bool)| {
        let path = path.replace("/S", &format!("/{secret}")).replace("/C", &format!("/{container}"));
        (*method, path.replace("/O", &format!("/{order}")), *json)
    };
    ROWS.iter().map(row).collect()
}

#[tokio::test]
async fn nobody_gets_anywhere() {
    let api = Api::new();
    for (method, path, _) in rows(&api).await {
        let reply = api.call(method, &path).header("x-auth-token", "bad").send().await;
        let text = "The request you have made requires authentication.";
        assert_eq!(reply.error(), refused(401, text), "{method} {path}");
        assert_eq!(reply.header("openstack-api-version"), "", "{method} {path}");
    }
}

#[tokio::test]
async fn microversions_are_judged_and_told_everywhere() {
    let api = Api::new();
    for (method, path, _) in rows(&api).await {
        assert_eq!(api.call(method, &path).version("1.9").send().await.status, 406, "{method} {path}");
        assert_eq!(api.call(method, &path).version("x").send().await.status, 400, "{method} {path}");
        let reply = api.call(method, &path).version("1.1").send().await;
        let told = (reply.header("openstack-api-version"), reply.header("vary"));
        assert_eq!(told, ("key-manager 1.1", "OpenStack-API-Version"), "{method} {path}");
        assert!(reply.header("x-openstack-request-id").starts_with("req-"), "{method} {path}");
    }
}

#[tokio::test]
async fn answers_in_json_are_given_as_json_only() {
    let api = Api::new();
    for (method, path, json) in rows(&api).await {
        if json {
            let reply = api.call(method, &path).accept("application/xml").roles("nobody").send().await;
            let body = json!({"code": 406, "title": "Not Acceptable", "description": null});
            assert_eq!((reply.status, reply.json()), (406, body), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn those_without_a_role_are_refused_before_their_body_is_judged() {
    let api = Api::new();
    for (method, path, _) in rows(&api).await {
        if path == "/v1" {
            continue;
        }
        let reply = api.call(method, &path).roles("nobody").raw("application/json", "{").send().await;
        let (status, text) = reply.error();
        assert_eq!(status, 403, "{method} {path}");
        let ending = " attempt not allowed - please review your user/project privileges";
        assert!(text.as_str().unwrap().ends_with(ending), "{method} {path}: {text}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_missing_for_every_verb() {
    let api = Api::new();
    for (method, path, _) in ROWS {
        for (letter, text) in
            [("S", "Secret not found."), ("C", "Secrets container not found."), ("O", "Order not found.")]
        {
            let unknown = path.replace(&format!("/{letter}"), &format!("/{NOBODY}"));
            if unknown != **path {
                let reply = api.call(method, &unknown).roles("nobody").raw("a/b", "{").accept("a/b").send().await;
                assert_eq!(reply.error(), refused(404, text), "{method} {path}");
            }
        }
    }
}

/// Contract §4.5: an access list opens reading, for users of any project, and nothing else.
#[tokio::test]
async fn an_access_list_opens_reading_and_nothing_else() {
    let api = Api::new();
    let secret = format!("/v1/secrets/{}", api.text_secret("s").await);
    api.call("PUT", &format!("{secret}/acl")).json(&json!({"read": {"users": ["bob"]}})).send().await;
    let consumer = json!({"service": "s", "resource_type": "t", "resource_id": "r"});
    let bob = |method: &str, path: &str| {
        api.call(method, path).project("p2").user("bob").roles("nobody").json(&consumer).accept("*/*").send()
    };
    for (method, tail, status) in [
        ("GET", "", 200),
        ("GET", "/payload", 200),
        ("GET", "/metadata", 200),
        ("GET", "/consumers", 200),
        ("POST", "/consumers", 200),
        ("DELETE", "/consumers", 200),
        ("GET", "/acl", 403),
        ("PUT", "/metadata", 403),
        ("PUT", "", 403),
        ("DELETE", "", 403),
    ] {
        assert_eq!(bob(method, &format!("{secret}{tail}")).await.status, status, "{method} {tail}");
    }
    let private = json!({"read": {"users": ["bob"], "project-access": false}});
    api.call("PUT", &format!("{secret}/acl")).json(&private).send().await;
    let payload = format!("{secret}/payload");
    for (user, roles, status) in
        [("alice", "member", 200), ("carol", "member", 403), ("carol", "admin", 200), ("alice", "nobody", 403)]
    {
        let reply = api.call("GET", &payload).user(user).roles(roles).send().await;
        assert_eq!(reply.status, status, "{user} {roles}");
    }
}

/// Contract §1.6, §3.3: a JSON body may have 25 000 bytes; one more, and it is cut, which makes it no JSON.
#[tokio::test]
async fn bodies_are_taken_up_to_the_limit_and_not_a_byte_more() {
    let api = Api::new();
    let mut with_body = 0;
    for (method, path, json) in rows(&api).await {
        let takes_json = match method {
            "DELETE" => path.ends_with("/consumers") || path.ends_with("/secrets"),
            method => json && method != "GET",
        };
        if !takes_json || path.starts_with("/v1/orders/") {
            continue;
        }
        with_body += 1;
        for (length, cut) in [(25_000, false), (25_001, true)] {
            let body = format!("{{}}{}", " ".repeat(length - 2));
            let reply = api.call(method, &path).raw("application/json", body).send().await;
            let malformed = reply.status == 400 && reply.json()["description"] == "Malformed JSON";
            assert_eq!(malformed, cut, "{method} {path} {length}: {}", reply.text());
        }
    }
    assert_eq!(with_body, 18);
}

/// With `rest.hide_foreign` what another project has answers every verb as what nobody has: the same bytes, the same headers, and
/// the same work. Only what misses the store's cache costs time that can be measured from outside, so the misses are equal; a
/// record that is there is one read from the cache. `tests/bench-hidden` measures what is left of the difference.
#[tokio::test]
async fn what_is_hidden_answers_as_what_is_missing_byte_for_byte() {
    let settings = portcullis::engine::Settings { hide_foreign: true, ..Default::default() };
    let bench = portcullis::engine::testing::Bench::with(settings);
    let (router, jobs) = portcullis::barbican::testing::over(&bench, portcullis::barbican::Settings::default());
    let api = Api { bench, router, jobs };
    let there = rows(&api).await;
    let mut compared = 0;
    for (row, (method, path, _)) in ROWS.iter().zip(there) {
        let missing = ["/S", "/C", "/O"].iter().fold(row.1.to_owned(), |path, letter| {
            if path.contains(&format!("{letter}/")) || path.ends_with(letter) {
                path.replace(letter, &format!("/{NOBODY}"))
            } else {
                path
            }
        });
        if missing == row.1 {
            continue;
        }
        for (roles, body, accept) in
            [("member", "{}", "*/*"), ("reader", "{", "application/xml"), ("", "", "text/plain")]
        {
            let ask = |path: &str| {
                let call = api.call(method, path).project("p2").user("mallory").roles(roles).accept(accept);
                call.raw("application/json", body.to_owned()).send()
            };
            let (store, trail) = (&api.bench.store, &api.bench.audit);
            let work = || (store.reads(), trail.events().len());
            let start = work();
            let hidden = ask(&path).await;
            let middle = work();
            let absent = ask(&missing).await;
            let end = work();
            let spent = |from: ((u64, u64), usize), to: ((u64, u64), usize)| (to.0.1 - from.0.1, to.1 - from.1);
            assert_eq!(spent(start, middle), spent(middle, end), "misses and audit records of {method} {path} {roles}");
            let found = (middle.0.0 - start.0.0, end.0.0 - middle.0.0);
            assert_eq!(found, (1, 0), "what {method} {path} {roles} found");
            assert_eq!((hidden.status, &hidden.body), (absent.status, &absent.body), "{method} {path} {roles}");
            assert_eq!(hidden.status, 404, "{method} {path} {roles}");
            let told = |reply: &crate::support::Reply| {
                let mut headers = reply.headers.clone();
                headers.remove("x-openstack-request-id");
                headers
            };
            assert_eq!(told(&hidden), told(&absent), "{method} {path} {roles}");
        }
        compared += 1;
    }
    assert!(compared >= 30, "{compared}");
}
