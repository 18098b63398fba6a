//! Versions, methods, `Accept`, authentication, health: what comes before any resource.

use serde_json::json;

use crate::support::{Api, BASE, NOBODY, refused};

#[tokio::test]
async fn the_root_lists_versions_without_authentication() {
    let api = Api::new();
    let links = json!([{"rel": "self", "href": format!("{BASE}/v1/")},
                       {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"}]);
    let reply = api.get("/").await;
    assert_eq!(reply.status, 300);
    assert_eq!(
        reply.json(),
        json!({"versions": {"values": [{"id": "v1", "status": "stable", "links": links,
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.key-manager-v1+json"}]}]}})
    );
    assert_eq!(reply.header("openstack-api-version"), "key-manager 1.0");
    assert_eq!(reply.header("vary"), "OpenStack-API-Version");

    let reply = api.call("GET", "/").version("latest").send().await;
    let document = json!({"id": "v1", "status": "CURRENT", "min_version": "1.0", "max_version": "1.2", "links": links});
    assert_eq!((reply.status, reply.json()), (300, json!({"versions": [document]})));
    assert_eq!(reply.header("openstack-api-version"), "key-manager 1.2");

    for path in ["/v1", "/v1/"] {
        let reply = api.call("GET", path).version("1.1").send().await;
        assert_eq!((reply.status, reply.json()), (200, json!({"version": document})), "{path}");
    }
}

#[tokio::test]
async fn other_verbs_on_the_versions_are_not_allowed() {
    let api = Api::new();
    let reply = api.call("POST", "/").send().await;
    assert_eq!((reply.status, reply.header("allow")), (405, "GET"));
    let reply = api.call("PUT", "/v1").send().await;
    assert_eq!(reply.error(), refused(405, ""));
    assert_eq!(reply.header("allow"), "GET");
    assert_eq!(api.call("HEAD", "/").send().await.status, 405);
    assert_eq!(api.call("HEAD", "/v1").send().await.status, 405);
}

#[tokio::test]
async fn microversions_that_do_not_exist_are_refused() {
    let api = Api::new();
    for path in ["/", "/v1", "/v1/secrets"] {
        let reply = api.call("GET", path).version("1.9").send().await;
        assert_eq!(reply.error(), refused(406, "Invalid microversion: Unacceptable version header: 1.9"), "{path}");
        assert_eq!(reply.header("openstack-api-version"), "");
        let reply = api.call("GET", path).version("abc").send().await;
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.text().contains("Invalid microversion: invalid version string: abc; "));
    }
}

#[tokio::test]
async fn what_is_no_path_is_not_found() {
    let api = Api::new();
    for path in ["/v2", "/foo", "/V1/secrets", "/v1secrets"] {
        let reply = api.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.header("content-type").starts_with("text/plain"), "{path}");
    }
    for path in ["/v1/foo", "/v1/cas", "/v1/cas/x", &format!("/v1/secrets/{NOBODY}/payload/x")] {
        assert_eq!(api.get(path).await.error(), refused(404, ""), "{path}");
    }
    let text = "Not Found. Multiple backends support is not enabled in service configuration.";
    for (method, path) in
        [("GET", "/v1/secret-stores"), ("POST", "/v1/secret-stores/x/preferred"), ("PUT", "/v1/secret-stores/")]
    {
        assert_eq!(api.call(method, path).send().await.error(), refused(404, text), "{method} {path}");
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let api = Api::new();
    let mut seen = Vec::new();
    for path in ["/", "/v1/secrets", "/nowhere", "/healthcheck"] {
        let id = api.get(path).await.header("x-openstack-request-id").to_owned();
        assert!(id.starts_with("req-") && id.len() == 40, "{path}: {id}");
        assert!(!seen.contains(&id));
        seen.push(id);
    }
}

#[tokio::test]
async fn nobody_is_told_so() {
    let api = Api::new();
    let reply = api.call("GET", "/v1/secrets").header("x-auth-token", "bad").send().await;
    assert_eq!(reply.error(), refused(401, "The request you have made requires authentication."));
    assert_eq!(reply.json()["error"]["title"], "Unauthorized");
    assert_eq!(reply.header("www-authenticate"), "Keystone uri=\"http://k\"");
    let reply = api.call("GET", "/v1").header("x-auth-token", "down").send().await;
    assert_eq!(reply.error(), refused(503, "The Keystone service is temporarily unavailable."));
    let mut call = api.call("GET", "/v1/secrets");
    call = call.header("x-project-id", "");
    assert_eq!(call.send().await.status, 200, "an empty project is a project of the development context");
}

#[tokio::test]
async fn health_is_told_in_four_ways() {
    let api = Api::new();
    let reply = api.get("/healthcheck").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "OK"));
    assert_eq!(reply.header("openstack-api-version"), "");
    let reply = api.call("GET", "/healthcheck").accept("application/json").send().await;
    assert_eq!((reply.status, reply.json()), (200, json!({"detailed": false, "reasons": ["OK"]})));
    let reply = api.call("HEAD", "/healthcheck").send().await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));

    let file = tempfile::NamedTempFile::new().unwrap();
    let settings =
        portcullis::barbican::Settings { healthcheck_disable_file: Some(file.path().to_owned()), ..Default::default() };
    let api = Api::with(settings);
    let reply = api.get("/healthcheck").await;
    assert_eq!((reply.status, reply.text().as_str()), (503, "DISABLED BY FILE"));
    assert_eq!(api.call("HEAD", "/healthcheck").send().await.status, 503);
}

#[tokio::test]
async fn options_is_answered_everywhere() {
    let api = Api::new();
    for path in ["/", "/v1/secrets", "/v1/nowhere", "/foo"] {
        let reply = api.call("OPTIONS", path).send().await;
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{path}");
    }
}

/// Contract §1.1: which of two faults is told.
#[tokio::test]
async fn refusals_come_in_their_order() {
    let api = Api::new();
    let secret = format!("/v1/secrets/{}", api.text_secret("s").await);
    let unknown = format!("/v1/secrets/{NOBODY}");
    // 404 before 405, 406, 403, 415
    assert_eq!(api.call("PATCH", &unknown).send().await.error(), refused(404, "Secret not found."));
    assert_eq!(api.call("GET", &format!("{unknown}/metadata")).accept("text/plain").send().await.status, 404);
    assert_eq!(api.call("GET", &unknown).roles("nobody").send().await.error(), refused(404, "Secret not found."));
    assert_eq!(api.call("PUT", &unknown).raw("image/png", "x").send().await.status, 404);
    // 405 before 403
    assert_eq!(api.call("POST", &secret).roles("nobody").send().await.status, 405);
    // 406 before 403
    let reply = api.call("GET", "/v1/secrets").roles("nobody").accept("application/xml").send().await;
    assert_eq!(reply.status, 406);
    assert_eq!(reply.json(), json!({"code": 406, "title": "Not Acceptable", "description": null}));
    // 403 before 415 and 400
    let reply = api.call("POST", "/v1/secrets").roles("nobody").raw("text/html", "x").send().await;
    let text = "Secret creation attempt not allowed - please review your user/project privileges";
    assert_eq!(reply.error(), refused(403, text));
    // 415 before 400
    let reply = api.call("POST", "/v1/secrets").raw("text/html", "x").send().await;
    assert_eq!(
        reply.error(),
        refused(415, "Unexpected content type. Expected content types are: ['application/json']")
    );
}
