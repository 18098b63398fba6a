//! What belongs to a project as such: quotas, the store it prefers; and what hides one project from another.

use std::sync::Arc;

use portcullis::{
    barbican::{Settings as Front, testing::over},
    domain::{ProjectId, Timestamp, TokenId, UniqueIdentifier, project::Quotas},
    engine::{
        SecretStore, Settings,
        ops::purge::{Purged, PurgedProject, purge_due, purge_project},
        ports::MetadataStore,
        testing::Bench,
    },
};
use serde_json::{Value, json};

use crate::support::{Api, id_of, refused};

const QUOTA: &str = "issue seen - Creation not allowed because a quota has been reached.";

fn with(settings: Settings, front: Front) -> Api {
    let bench = Bench::with(settings);
    let (router, jobs) = over(&bench, front);
    Api { router, bench, jobs }
}

fn store(number: u8, is_default: bool) -> SecretStore {
    SecretStore {
        identifier: UniqueIdentifier::from_random([number; 16]),
        token: TokenId(format!("token-{number}")),
        name: format!("store {number}"),
        is_default,
        created: Timestamp::from_seconds(1),
    }
}

async fn token_of(api: &Api, secret: &str) -> String {
    let object = api.bench.store.object(secret.parse().unwrap()).await.unwrap().unwrap().record;
    object.value.unwrap().token.0
}

async fn quota(api: &Api, quotas: Value) {
    let reply = api.call("PUT", "/v1/project-quotas/p1").json(&json!({"project_quotas": quotas})).send().await;
    assert_eq!(reply.status, 204, "{}", reply.text());
}

#[tokio::test]
async fn defaults_count_where_a_project_has_no_quota_of_its_own() {
    let quotas = Quotas { secrets: Some(1), containers: Some(1), ..Quotas::default() };
    let api = with(Settings { quotas, ..Settings::default() }, Front::default());
    let shown = api.get("/v1/quotas").await.json();
    assert_eq!(shown["quotas"], json!({"secrets": 1, "orders": -1, "containers": 1, "consumers": -1, "cas": -1}));
    api.text_secret("s").await;
    assert_eq!(api.post("/v1/secrets", json!({})).await.error(), refused(403, &format!("Secret creation {QUOTA}")));
    quota(&api, json!({"secrets": -1})).await;
    api.text_secret("s").await;
    let generic = json!({"type": "generic"});
    assert_eq!(api.post("/v1/containers", generic.clone()).await.status, 201);
    assert_eq!(api.post("/v1/containers", generic).await.error(), refused(403, &format!("Container creation {QUOTA}")));
}

#[tokio::test]
async fn what_is_gone_makes_room() {
    let api = Api::new();
    quota(&api, json!({"secrets": 1, "orders": 1, "containers": 1, "consumers": 1})).await;
    let id = api.text_secret("s").await;
    assert_eq!(api.post("/v1/secrets", json!({})).await.status, 403);
    assert_eq!(api.delete(&format!("/v1/secrets/{id}")).await.status, 204);
    // One that has expired does not count, even before it is removed.
    api.secret(json!({"expiration": "2026-11-22T07:00:00"})).await;
    assert_eq!(api.post("/v1/secrets", json!({})).await.status, 403);
    api.bench.clock.advance(3 * 3600);
    let path = format!("/v1/secrets/{}/consumers", api.text_secret("s").await);
    let consumer = |id: &str| json!({"service": "s", "resource_type": "t", "resource_id": id});
    assert_eq!(api.post(&path, consumer("a")).await.status, 200);
    assert_eq!(api.post(&path, consumer("b")).await.status, 403);
    assert_eq!(api.call("DELETE", &path).json(&consumer("a")).send().await.status, 200);
    assert_eq!(api.post(&path, consumer("b")).await.status, 200);
    let order = json!({"type": "key", "meta": {"algorithm": "aes", "bit_length": 128}});
    let made = api.post("/v1/orders", order.clone()).await;
    assert_eq!(api.post("/v1/orders", order.clone()).await.error(), refused(403, &format!("Order creation {QUOTA}")));
    // What an order makes is not refused, and counts afterwards.
    api.jobs.run_pending().await.unwrap();
    assert_eq!(api.delete(&format!("/v1/orders/{}", id_of(&made.json()["order_ref"]))).await.status, 204);
    assert_eq!(api.post("/v1/orders", order).await.status, 202);
}

#[tokio::test]
async fn values_go_where_the_project_prefers() {
    let stores = vec![store(1, false), store(2, true)];
    let api = with(Settings { stores, ..Settings::default() }, Front::default());
    assert_eq!(token_of(&api, &api.text_secret("s").await).await, "token-2");
    let listed = api.get("/v1/secret-stores").await.json();
    assert_eq!(listed["secret_stores"].as_array().unwrap().len(), 2);
    assert_eq!(api.get("/v1/secret-stores/global-default").await.json()["name"], "store 2");
    let chosen = id_of(&listed["secret_stores"][0]["secret_store_ref"]);
    let preferred = format!("/v1/secret-stores/{chosen}/preferred");
    assert_eq!(api.call("POST", &preferred).send().await.status, 204);
    assert_eq!(api.get("/v1/secret-stores/preferred").await.json()["name"], "store 1");
    assert_eq!(token_of(&api, &api.text_secret("s").await).await, "token-1");
    // A two-step secret binds its store at the second step.
    let late = api.secret(json!({})).await;
    assert_eq!(api.delete(&preferred).await.status, 204);
    let put = api.call("PUT", &format!("/v1/secrets/{late}")).raw("text/plain", "x").send().await;
    assert_eq!((put.status, token_of(&api, &late).await.as_str()), (204, "token-2"));
}

#[tokio::test]
async fn what_is_foreign_may_look_missing() {
    let api = with(Settings { hide_foreign: true, ..Settings::default() }, Front::default());
    let secret = api.text_secret("s").await;
    let container = id_of(&api.post("/v1/containers", json!({"type": "generic"})).await.json()["container_ref"]);
    let nobody = crate::support::NOBODY;
    for (method, tail) in [
        ("GET", ""),
        ("GET", "/payload"),
        ("PUT", ""),
        ("DELETE", ""),
        ("PATCH", ""),
        ("GET", "/acl"),
        ("PUT", "/metadata"),
        ("POST", "/consumers"),
    ] {
        for (collection, id) in [("secrets", &secret), ("containers", &container)] {
            let ask = |id: &str| {
                let path = format!("/v1/{collection}/{id}{tail}");
                api.call(method, &path).project("p2").roles("member").json(&json!({})).send()
            };
            let (hidden, missing) = (ask(id).await, ask(nobody).await);
            assert_eq!((hidden.status, &hidden.body), (missing.status, &missing.body), "{method} {collection}{tail}");
            let names = |reply: &crate::support::Reply| reply.headers.keys().cloned().collect::<Vec<_>>();
            assert_eq!((hidden.status, names(&hidden)), (404, names(&missing)), "{method} {collection}{tail}");
        }
    }
    // Whoever is named in the access list knows of it.
    let read = json!({"read": {"users": ["bob"]}});
    api.call("PUT", &format!("/v1/secrets/{secret}/acl")).json(&read).send().await;
    let bob = api.call("GET", &format!("/v1/secrets/{secret}")).project("p2").user("bob").roles("nobody");
    assert_eq!(bob.send().await.status, 200);
}

#[tokio::test]
async fn private_secrets_may_be_left_out_of_lists() {
    let front = Front { hide_private: true, ..Front::default() };
    let api = with(Settings::default(), front);
    let private = api.text_secret("private").await;
    let acl = json!({"read": {"project-access": false, "users": ["bob"]}});
    api.call("PUT", &format!("/v1/secrets/{private}/acl")).json(&acl).send().await;
    for (user, roles, total) in
        [("alice", "member", 1), ("bob", "member", 1), ("carol", "member", 0), ("carol", "admin", 1)]
    {
        let listed = api.call("GET", "/v1/secrets").user(user).roles(roles).send().await.json();
        assert_eq!(listed["total"], total, "{user} {roles}");
    }
}

#[tokio::test]
async fn a_project_is_removed_with_everything_it_has() {
    let api = Api::new();
    let secret = api.text_secret("s").await;
    let refs = json!([{"name": "a", "secret_ref": format!("{}/v1/secrets/{secret}", crate::support::BASE)}]);
    api.post("/v1/containers", json!({"type": "generic", "secret_refs": refs})).await;
    let meta = json!({"algorithm": "rsa", "bit_length": 2048, "passphrase": "x"});
    api.post("/v1/orders", json!({"type": "asymmetric", "meta": meta})).await;
    quota(&api, json!({"secrets": 9})).await;
    let other = api.call("POST", "/v1/secrets").project("p2").json(&json!({})).send().await;
    let purged = purge_project(&api.bench.engine, &ProjectId("p1".into())).await.unwrap();
    assert_eq!(purged, PurgedProject { secrets: 2, containers: 1, orders: 1 });
    assert_eq!(api.bench.hsm.count(), 0);
    for path in ["/v1/secrets", "/v1/containers", "/v1/orders"] {
        assert_eq!(api.get(path).await.json()["total"], 0, "{path}");
    }
    assert_eq!(api.get("/v1/project-quotas/p1").await.status, 404);
    assert_eq!(
        api.call("GET", &other.json()["secret_ref"].as_str().unwrap().replace(crate::support::BASE, ""))
            .project("p2")
            .send()
            .await
            .status,
        200
    );
    assert_eq!(purge_project(&api.bench.engine, &ProjectId("p1".into())).await.unwrap(), PurgedProject::default());
}

#[tokio::test]
async fn what_is_past_its_time_is_removed() {
    let api = Api::new();
    let brief = api
        .secret(json!({"expiration": "2026-11-22T07:00:00", "payload": "x", "payload_content_type": "text/plain"}))
        .await;
    let kept = api.text_secret("kept").await;
    let now = |api: &Api| api.bench.engine.ports().clock.now();
    assert_eq!(purge_due(&api.bench.engine, now(&api), Some(now(&api))).await.unwrap(), Purged::default());
    api.bench.clock.advance(2 * 3600);
    assert_eq!(api.get(&format!("/v1/secrets/{brief}")).await.status, 404);
    assert_eq!(api.bench.hsm.holds(brief.parse().unwrap()), 1);
    let purged = purge_due(&api.bench.engine, now(&api), None).await.unwrap();
    assert_eq!((purged, api.bench.hsm.holds(brief.parse().unwrap())), (Purged { expired: 1, forgotten: 0 }, 0));
    assert!(api.bench.store.object(brief.parse().unwrap()).await.unwrap().is_some(), "its record stays for now");
    let purged = purge_due(&api.bench.engine, now(&api), Some(now(&api))).await.unwrap();
    assert_eq!(purged, Purged { expired: 0, forgotten: 1 });
    assert!(api.bench.store.object(brief.parse().unwrap()).await.unwrap().is_none());
    assert_eq!(api.get(&format!("/v1/secrets/{kept}")).await.status, 200);
    let named = |event: &portcullis::domain::audit::AuditEvent| event.operation.name() == "purge-expired";
    assert_eq!(api.bench.audit.events().iter().filter(|event| named(event)).count(), 2);
}

#[tokio::test]
async fn a_quota_is_neither_exceeded_nor_undercut_by_a_hundred_at_once() {
    let api = Arc::new(Api::new());
    quota(&api, json!({"secrets": 10})).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        calls.spawn(api.call("POST", "/v1/secrets").json(&json!({})).send());
    }
    let mut made = 0;
    while let Some(reply) = calls.join_next().await {
        let reply = reply.unwrap();
        made += usize::from(reply.status == 201);
        assert!(matches!(reply.status, 201 | 403), "{}", reply.text());
    }
    assert_eq!(made, 10);
}

#[tokio::test]
async fn browsers_are_answered_for_the_origins_that_are_known() {
    let front = Front { cors_origins: vec!["https://board.example".into()], ..Front::default() };
    let api = with(Settings::default(), front);
    let ask = |origin: &str, method: &str| {
        let call = api.call("OPTIONS", "/v1/secrets").header("origin", origin);
        call.header("access-control-request-method", method)
            .header("access-control-request-headers", "X-Auth-Token")
            .send()
    };
    let reply = ask("https://board.example", "POST").await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, "https://board.example"));
    assert_eq!(reply.header("access-control-allow-methods"), "POST");
    assert_eq!(reply.header("access-control-allow-credentials"), "true");
    assert_eq!(reply.header("access-control-max-age"), "3600");
    assert_eq!(reply.header("access-control-allow-headers"), "X-Auth-Token");
    assert_eq!(ask("https://evil.example", "POST").await.header("access-control-allow-origin"), "");
    assert_eq!(ask("https://board.example", "TRACE").await.header("access-control-allow-origin"), "");
    let reply = api.call("GET", "/v1/secrets").header("origin", "https://board.example").send().await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, "https://board.example"));
    assert!(reply.header("access-control-expose-headers").contains("X-Auth-Token"));
    let reply = api.call("GET", "/v1/secrets").header("origin", "https://evil.example").send().await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, ""));
}

#[tokio::test]
async fn a_rule_of_one_request_leaves_the_others_alone() {
    use portcullis::authz::{Authorizer, Overrides, RuleSet};
    let overrides =
        Overrides::from_yaml("'secret_meta:delete': '!'\n'orders:put': '!'\n'consumers:post': '!'\n").unwrap();
    let authorizer = Authorizer::new(RuleSet::Secure, &overrides).unwrap();
    assert_eq!(authorizer.deprecated_overrides(), [("consumers:post", "container_consumers:post")]);
    let bench = Bench::new(authorizer);
    let (router, jobs) = over(&bench, Front::default());
    let api = Api { router, bench, jobs };
    let path = format!("/v1/secrets/{}/metadata", api.text_secret("s").await);
    assert_eq!(api.post(&path, json!({"key": "k", "value": "v"})).await.status, 201);
    assert_eq!(api.delete(&format!("{path}/k")).await.status, 403);
    assert_eq!(api.call("PUT", "/v1/orders").send().await.status, 403);
    let order = json!({"type": "key", "meta": {"algorithm": "aes", "bit_length": 128}});
    assert_eq!(api.post("/v1/orders", order).await.status, 202);
    let container = id_of(&api.post("/v1/containers", json!({"type": "generic"})).await.json()["container_ref"]);
    let consumers = format!("/v1/containers/{container}/consumers");
    assert_eq!(api.post(&consumers, json!({"name": "n", "URL": "u"})).await.status, 403);
    assert_eq!(api.get(&consumers).await.status, 200);
}
