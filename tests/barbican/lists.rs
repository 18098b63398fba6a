//! Filters, orders and pages of lists (contract §1.11, §2.1.2): each parameter, at its borders, alone and with others.

use serde_json::{Value, json};

use crate::support::{Api, BASE, id_of, refused};

const INVALID: &str = "URI provided invalid query string parameters.";

/// Seven secrets, made a second apart from 06:00:00 on.
async fn seven() -> Api {
    let api = Api::new();
    let text = |name: &str| json!({"name": name, "payload": "x", "payload_content_type": "text/plain"});
    for body in [
        json!({"name": "b", "algorithm": "aes", "bit_length": 256, "mode": "cbc", "secret_type": "symmetric"}),
        json!({"name": "A", "algorithm": "AES", "bit_length": 128, "mode": "xts", "expiration": "2030-01-01"}),
        json!({"name": "c", "algorithm": "rsa", "bit_length": 2048, "secret_type": "private"}),
        json!({"name": "b", "expiration": "2029-01-01T00:00:00Z"}),
        json!({"expiration": "2031-06-01T12:30:00+02:00"}),
        text("d%e"),
        text("D_E"),
    ] {
        api.secret(body).await;
        api.bench.clock.advance(1);
    }
    api
}

/// The numbers, from 0, of the secrets of a page, in its order.
fn numbers(page: &Value) -> Vec<usize> {
    let number = |secret: &Value| secret["created"].as_str().unwrap()[17..19].parse().unwrap();
    page["secrets"].as_array().unwrap().iter().map(number).collect()
}

#[tokio::test]
async fn every_filter_keeps_what_it_says() {
    let api = seven().await;
    let all: &[usize] = &[0, 1, 2, 3, 4, 5, 6];
    let whole = api.get("/v1/secrets").await.json();
    let at = |number: usize| whole["secrets"][number]["created"].as_str().unwrap().to_owned();
    let rows: Vec<(String, &[usize])> = vec![
        ("name=b".into(), &[0, 3]),
        ("name=B".into(), &[0, 3]),
        ("name=d%25e".into(), &[5, 6]),
        ("name=d%2525e".into(), &[5, 6]),
        ("name=d_e".into(), &[5, 6]),
        ("name=%25".into(), &[0, 1, 2, 3, 5, 6]),
        ("name=%2525".into(), &[0, 1, 2, 3, 5, 6]),
        ("name=_".into(), &[0, 1, 2, 3]),
        ("name=".into(), all),
        ("alg=aes".into(), &[0, 1]),
        ("alg=%2525s%2525".into(), &[0, 1, 2]),
        ("mode=XTS".into(), &[1]),
        ("mode=%2525".into(), &[0, 1]),
        ("bits=128".into(), &[1]),
        ("bits=%2B128".into(), &[1]),
        ("bits=+128+".into(), &[1]),
        ("bits=0".into(), all),
        ("bits=-128".into(), all),
        ("bits=128.0".into(), all),
        ("bits=x".into(), all),
        ("bits=99999999999999999999".into(), &[]),
        ("secret_type=private".into(), &[2]),
        ("secret_type=Private".into(), &[]),
        ("secret_type=opaque".into(), &[1, 3, 4, 5, 6]),
        ("alg=aes&bits=256&mode=cbc&secret_type=symmetric&name=b".into(), &[0]),
        ("unknown=1&".into(), all),
        ("acl_only=nope".into(), all),
        (format!("created={}", at(3)), &[3]),
        (format!("created=gt:{}", at(3)), &[4, 5, 6]),
        (format!("created=gte:{}", at(3)), &[3, 4, 5, 6]),
        (format!("created=lt:{}", at(3)), &[0, 1, 2]),
        (format!("created=lte:{}", at(3)), &[0, 1, 2, 3]),
        (format!("created=gt:{},lte:{}", at(1), at(4)), &[2, 3, 4]),
        (format!("created=lt:{},gte:{}", at(4), at(1)), &[1, 2, 3]),
        (format!("created=gt:{},lt:{}", at(4), at(1)), &[]),
        (format!("created={},gt:{}", at(3), at(1)), &[3]),
        (format!("created={},lt:{}", at(3), at(1)), &[]),
        (format!("created=gte:{}Z", at(6)), &[6]),
        (format!("created=gte:{}%2B00:00", at(6)), &[6]),
        ("created=gt:2026-11-22T08:00:05.9%2B02:00".into(), &[6]),
        ("created=gte:2026-11-22T06:00:05.5".into(), &[6]),
        ("created=gt:2026-11-22".into(), all),
        ("created=".into(), all),
        ("updated=lt:2026-11-22T06:00:02.9".into(), &[0, 1, 2]),
        ("expiration=gt:2000-01-01".into(), &[1, 3, 4]),
        ("expiration=2029-01-01".into(), &[3]),
        ("expiration=gte:2029-01-01,lt:2031-06-01T10:30:00".into(), &[1, 3]),
        ("expiration=lte:2031-06-01T10:30:00".into(), &[1, 3, 4]),
    ];
    for (query, expected) in rows {
        let page = api.get(&format!("/v1/secrets?{query}")).await.json();
        assert_eq!((numbers(&page).as_slice(), &page["total"]), (expected, &json!(expected.len())), "{query}");
    }
}

#[tokio::test]
async fn parameters_that_mean_nothing_are_refused() {
    let api = seven().await;
    let mut rows: Vec<String> = ["name", "alg", "mode", "bits", "secret_type", "created", "sort", "acl_only"]
        .map(|name| format!("{name}=1&{name}=1"))
        .into();
    for date in ["created", "updated", "expiration"] {
        for wrong in [
            "bogus",
            "gt:",
            "gt:bogus",
            "eq:2020-01-01",
            "GT:2020-01-01",
            "gt:gt:2020-01-01",
            "2020-13-01",
            "2020-02-30",
            "gt:2020-01-01,gt:2020-01-02",
            "gt:2020-01-01,gte:2020-01-01",
            "lt:2020-01-01,lte:2020-01-01",
            "2020-01-01,2020-01-01",
            "2020-01-01,gte:2019-01-01",
            "2020-01-01,lte:2021-01-01",
            "gt:2020-01-01,",
            ",",
        ] {
            rows.push(format!("{date}={wrong}"));
        }
    }
    for wrong in
        ["size", "name,name", "name:asc,name:desc", "name:up", "name:", "name:asc:desc", ",", "name,", "Name", "id"]
    {
        rows.push(format!("sort={wrong}"));
    }
    for query in rows {
        assert_eq!(api.get(&format!("/v1/secrets?{query}")).await.error(), refused(400, INVALID), "{query}");
        // Policy comes before what the query means.
        let reply = api.call("GET", &format!("/v1/secrets?{query}")).roles("reader").send().await;
        assert_eq!(reply.status, 403, "{query}");
    }
}

#[tokio::test]
async fn every_order_sorts_by_its_keys_and_then_as_it_was() {
    let api = seven().await;
    for (sort, expected) in [
        ("created", [0, 1, 2, 3, 4, 5, 6]),
        ("created:desc", [6, 5, 4, 3, 2, 1, 0]),
        ("bit_length:desc,created", [2, 0, 1, 3, 4, 5, 6]),
        ("bit_length,created:desc", [6, 5, 4, 3, 1, 0, 2]),
        ("expiration:desc,created:asc", [4, 1, 3, 0, 2, 5, 6]),
        ("updated:desc", [6, 5, 4, 3, 2, 1, 0]),
        ("secret_type,created", [1, 3, 4, 5, 6, 2, 0]),
        ("mode:desc,created", [1, 0, 2, 3, 4, 5, 6]),
        ("algorithm:desc,created", [2, 0, 1, 3, 4, 5, 6]),
        ("status,created:desc", [6, 5, 4, 3, 2, 1, 0]),
    ] {
        let page = api.get(&format!("/v1/secrets?sort={sort}")).await.json();
        assert_eq!(numbers(&page), expected, "{sort}");
    }
    let by_name = numbers(&api.get("/v1/secrets?sort=name,created:desc").await.json());
    let at = |number| by_name.iter().position(|it| *it == number).unwrap();
    assert!(at(3) < at(0) && at(4) == 0, "one without a name comes first, and equal ones by the next key: {by_name:?}");
}

/// Pages of any filter and order, put together, are the whole list; links lead from each to the next and back.
#[tokio::test]
async fn pages_of_every_list_fit_together() {
    let api = seven().await;
    let keys = ["algorithm", "bit_length", "created", "expiration", "mode", "name", "secret_type", "status", "updated"];
    let mut queries = vec![String::new(), "&name=b".into(), "&created=gt%3A2026-11-22T06%3A00%3A01".into()];
    for key in keys {
        queries.extend([format!("&sort={key}"), format!("&sort={key}%3Adesc"), format!("&alg=a%25&sort={key}%3Aasc")]);
    }
    for query in queries {
        let whole = api.get(&format!("/v1/secrets?limit=100{query}")).await.json();
        let total = whole["total"].as_u64().unwrap();
        let (mut path, mut together, mut offset) = (format!("/v1/secrets?limit=2{query}"), Vec::new(), 0);
        loop {
            let page = api.get(&path).await.json();
            together.extend(numbers(&page));
            assert_eq!(page["total"], total, "{path}");
            let link = |at: u64| json!(format!("{BASE}/v1/secrets?limit=2&offset={at}{query}"));
            let previous = (offset > 0).then(|| link(offset - 2));
            assert_eq!(page.get("previous"), previous.as_ref(), "{path}");
            let next = (offset + 2 < total).then(|| link(offset + 2));
            assert_eq!(page.get("next"), next.as_ref(), "{path}");
            let Some(next) = next else { break };
            path = next.as_str().unwrap().replace(BASE, "");
            offset += 2;
        }
        assert_eq!(together, numbers(&whole), "{query}");
    }
}

/// The other collections: what a link has lost, the next page would not know.
#[tokio::test]
async fn links_keep_the_filters_of_all_collections() {
    let api = Api::new();
    let secret = api.text_secret("s").await;
    let holder =
        id_of(&api.post("/v1/containers", json!({"type": "generic", "name": "c"})).await.json()["container_ref"]);
    for n in 0..3 {
        api.post("/v1/containers", json!({"type": "generic", "name": "c"})).await;
        api.post("/v1/orders", json!({"type": "key", "meta": {"algorithm": "aes", "bit_length": 128, "name": "o"}}))
            .await;
        api.post("/v1/transport_keys", json!({"plugin_name": "p", "transport_key": "k"})).await;
        api.call("PUT", &format!("/v1/project-quotas/p{n}")).json(&json!({"project_quotas": {}})).send().await;
        let consumer = json!({"service": "s", "resource_type": "t", "resource_id": n.to_string()});
        api.post(&format!("/v1/secrets/{secret}/consumers"), consumer).await;
        let consumer = json!({"name": format!("n{n}"), "URL": "u"});
        api.post(&format!("/v1/containers/{holder}/consumers"), consumer).await;
    }
    for (path, members, filter) in [
        ("containers".to_owned(), "containers", "&name=c&type=generic"),
        ("orders".to_owned(), "orders", "&meta=o"),
        ("transport_keys".to_owned(), "transport_keys", "&plugin_name=p"),
        ("project-quotas".to_owned(), "project_quotas", "&x=1"),
        (format!("secrets/{secret}/consumers"), "consumers", "&x=1"),
        (format!("containers/{holder}/consumers"), "consumers", "&x=1"),
    ] {
        let page = api.get(&format!("/v1/{path}?offset=1&limit=1{filter}")).await.json();
        let link = |at: usize| json!(format!("{BASE}/v1/{path}?limit=1&offset={at}{filter}"));
        assert_eq!((&page["next"], &page["previous"]), (&link(2), &link(0)), "{path}");
        assert_eq!(page[members].as_array().unwrap().len(), 1, "{path}");
        let beyond = api.get(&format!("/v1/{path}?offset=99&limit=0{filter}")).await.json();
        assert_eq!((beyond.get("next"), beyond.get("previous")), (None, None), "{path}");
        assert!(beyond["total"].as_u64().unwrap() >= 3 && beyond[members] == json!([]), "{path}");
        let most = api.get(&format!("/v1/{path}?limit=1000{filter}")).await.json();
        assert_eq!(most.get("next"), None, "{path}");
    }
}
