//! What the audit trail says of a request: the same as its answer (contract §6.3).

use portcullis::domain::audit::{AuditEvent, Outcome};
use serde_json::json;

use crate::support::{Api, NOBODY, Reply};

/// The one record that a request left; its status is the answer's.
fn last(api: &Api, before: usize, reply: &Reply, what: &str) -> AuditEvent {
    let events = api.bench.audit.events();
    assert_eq!(events.len(), before + 1, "{what}");
    let event = events.last().unwrap().clone();
    assert_eq!(event.http.as_ref().unwrap().status, Some(reply.status), "{what}");
    assert_eq!(event.outcome == Outcome::Success, reply.status < 400, "{what}");
    event
}

#[tokio::test]
async fn every_answer_stands_on_the_trail_with_its_status() {
    let api = Api::new();
    let secret = format!("/v1/secrets/{}", api.text_secret("s").await);
    let late = format!("/v1/secrets/{}", api.secret(json!({})).await);
    let bytes = json!({"payload": "/////w==", "payload_content_type": "application/octet-stream",
                       "payload_content_encoding": "base64"});
    let binary = format!("/v1/secrets/{}", api.secret(bytes).await);
    let made = api.post("/v1/containers", json!({"type": "generic"})).await.json();
    let container = made["container_ref"].as_str().unwrap().replace(crate::support::BASE, "");
    let member = json!({"name": "a", "secret_ref": format!("{}{secret}", crate::support::BASE)});
    let consumer = json!({"service": "s", "resource_type": "t", "resource_id": "r"});
    let of_container = json!({"name": "n", "URL": "u"});
    let key = json!({"key": "k", "value": "v"});
    let order = json!({"type": "key", "meta": {"algorithm": "aes", "bit_length": 128}});
    let quotas = json!({"project_quotas": {"secrets": 9}});
    let transport = json!({"plugin_name": "p", "transport_key": "t"});
    let nobody = format!("/v1/secrets/{NOBODY}");
    let none = json!({});
    for (method, path, body, accept, status) in [
        ("GET", "/v1", &none, "*/*", 200),
        ("GET", "/v1/foo", &none, "*/*", 404),
        ("GET", "/v1/secrets", &none, "*/*", 200),
        ("GET", "/v1/secrets", &none, "application/xml", 406),
        ("GET", "/v1/secrets?sort=size", &none, "*/*", 400),
        ("PATCH", "/v1/secrets", &none, "*/*", 405),
        ("POST", "/v1/secrets", &none, "*/*", 201),
        ("POST", "/v1/secrets", &json!({"payload": 5}), "*/*", 400),
        ("GET", &nobody, &none, "*/*", 404),
        ("GET", "/v1/secrets/x", &none, "*/*", 404),
        ("GET", &secret, &none, "*/*", 200),
        ("GET", &format!("{secret}/payload"), &none, "text/plain", 200),
        ("GET", &format!("{secret}/payload"), &none, "text/html", 406),
        ("GET", &format!("{binary}/payload"), &none, "text/plain", 406),
        ("GET", &format!("{late}/payload"), &none, "*/*", 404),
        ("PUT", &secret, &none, "*/*", 415),
        ("GET", &format!("{secret}/metadata"), &none, "*/*", 200),
        ("GET", &format!("{secret}/metadata/k"), &none, "*/*", 404),
        ("POST", &format!("{secret}/metadata"), &key, "*/*", 201),
        ("POST", &format!("{secret}/metadata"), &key, "*/*", 409),
        ("PUT", &format!("{secret}/metadata/k"), &key, "*/*", 200),
        ("PUT", &format!("{secret}/metadata"), &json!({"metadata": {}}), "*/*", 201),
        ("DELETE", &format!("{secret}/metadata/k"), &none, "*/*", 204),
        ("PUT", &format!("{secret}/acl"), &json!({"read": {"users": ["u"]}}), "*/*", 200),
        ("GET", &format!("{secret}/acl"), &none, "*/*", 200),
        ("DELETE", &format!("{secret}/acl"), &none, "*/*", 200),
        ("POST", &format!("{secret}/consumers"), &consumer, "*/*", 200),
        ("DELETE", &format!("{secret}/consumers"), &consumer, "*/*", 200),
        ("DELETE", &format!("{secret}/consumers"), &consumer, "*/*", 404),
        ("POST", "/v1/containers", &json!({"type": "generic"}), "*/*", 201),
        ("POST", &format!("{container}/secrets"), &member, "*/*", 201),
        ("POST", &format!("{container}/secrets"), &member, "*/*", 409),
        ("DELETE", &format!("{container}/secrets"), &member, "*/*", 204),
        ("POST", &format!("{container}/consumers"), &of_container, "*/*", 200),
        ("GET", &container, &none, "*/*", 200),
        ("DELETE", &container, &none, "*/*", 204),
        ("POST", "/v1/orders", &order, "*/*", 202),
        ("PUT", "/v1/orders", &order, "*/*", 405),
        ("GET", "/v1/orders", &none, "*/*", 200),
        ("GET", "/v1/quotas", &none, "*/*", 200),
        ("GET", "/v1/project-quotas/p", &none, "*/*", 404),
        ("PUT", "/v1/project-quotas/p", &quotas, "*/*", 204),
        ("GET", "/v1/project-quotas/p", &none, "*/*", 200),
        ("DELETE", "/v1/project-quotas/p", &none, "*/*", 204),
        ("GET", "/v1/secret-stores", &none, "*/*", 404),
        ("POST", "/v1/transport_keys", &transport, "*/*", 201),
        ("GET", "/v1/transport_keys", &none, "*/*", 200),
        ("GET", &format!("/v1/transport_keys/{NOBODY}"), &none, "*/*", 404),
        ("DELETE", &secret, &none, "*/*", 204),
    ] {
        let before = api.bench.audit.events().len();
        let reply = api.call(method, path).json(body).accept(accept).send().await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        let event = last(&api, before, &reply, &format!("{method} {path}"));
        let http = event.http.unwrap();
        assert_eq!((http.method.as_str(), http.path.as_str()), (method, path));
        assert_eq!(http.service, crate::support::BASE);
        assert_eq!((event.initiator.as_deref(), event.project.unwrap().0.as_str()), (Some("alice"), "p1"));
    }
}

#[tokio::test]
async fn who_is_refused_before_being_known_is_on_the_trail_too() {
    let api = Api::new();
    for (token, project, status, kind) in
        [("bad", "p1", 401, "unauthenticated"), ("down", "p1", 503, "unavailable"), ("good", "", 400, "malformed")]
    {
        let mut call = api.call("GET", "/v1/secrets/x").header("x-auth-token", token).header("user-agent", "curl/8");
        if project.is_empty() {
            call = call.without("x-project-id");
        }
        let before = api.bench.audit.events().len();
        let reply = call.send().await;
        assert_eq!(reply.status, status);
        let event = last(&api, before, &reply, token);
        assert_eq!(event.outcome, Outcome::Failure(kind.into()));
        assert_eq!((event.initiator, event.project), (None, None));
        let http = event.http.unwrap();
        assert_eq!((http.path.as_str(), http.agent.as_deref()), ("/v1/secrets/x", Some("curl/8")));
        assert_eq!(reply.header("x-openstack-request-id"), event.request);
    }
    for (version, status) in [("1.9", 406), ("x", 400)] {
        let before = api.bench.audit.events().len();
        let reply = api.call("GET", "/v1/secrets").version(version).send().await;
        assert_eq!(reply.status, status);
        assert_eq!(last(&api, before, &reply, version).initiator.as_deref(), Some("alice"));
    }
}
