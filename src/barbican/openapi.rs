//! `/openapi.json`: the API as an OpenAPI 3.1 document, made from the table of verbs and from the schemas that judge bodies.
//!
//! `docs/openapi.json` is the same, compared by a test. What JSON Schema cannot say (a payload needs a content type, a typed
//! container its names) stands in the descriptions; such bodies answer 400 like all others.

use axum::{
    body::Body,
    http::{HeaderValue, Method, Response, header},
};
use serde_json::{Map, Value, json};

use super::{
    acls, consumers, containers, metadata, orders,
    path::Kind,
    quotas, routes,
    schema::{Field, Schema, Type},
    secrets, transport_keys,
};

/// Every kind of place and its path; what stands in braces is a parameter.
const PATHS: &[(Kind, &str)] = &[
    (Kind::Version, "/v1"),
    (Kind::Secrets, "/v1/secrets"),
    (Kind::Secret, "/v1/secrets/{secret_id}"),
    (Kind::Payload, "/v1/secrets/{secret_id}/payload"),
    (Kind::Metadata, "/v1/secrets/{secret_id}/metadata"),
    (Kind::MetadataItem, "/v1/secrets/{secret_id}/metadata/{key}"),
    (Kind::SecretAcl, "/v1/secrets/{secret_id}/acl"),
    (Kind::SecretConsumers, "/v1/secrets/{secret_id}/consumers"),
    (Kind::Containers, "/v1/containers"),
    (Kind::Container, "/v1/containers/{container_id}"),
    (Kind::ContainerSecrets, "/v1/containers/{container_id}/secrets"),
    (Kind::ContainerAcl, "/v1/containers/{container_id}/acl"),
    (Kind::ContainerConsumers, "/v1/containers/{container_id}/consumers"),
    (Kind::Orders, "/v1/orders"),
    (Kind::Order, "/v1/orders/{order_id}"),
    (Kind::Quotas, "/v1/quotas"),
    (Kind::ProjectQuotas, "/v1/project-quotas"),
    (Kind::ProjectQuota, "/v1/project-quotas/{project_id}"),
    (Kind::SecretStores, "/v1/secret-stores"),
    (Kind::DefaultStore, "/v1/secret-stores/global-default"),
    (Kind::PreferredStore, "/v1/secret-stores/preferred"),
    (Kind::SecretStore, "/v1/secret-stores/{secret_store_id}"),
    (Kind::StorePreference, "/v1/secret-stores/{secret_store_id}/preferred"),
    (Kind::TransportKeys, "/v1/transport_keys"),
    (Kind::TransportKey, "/v1/transport_keys/{transport_key_id}"),
];

/// The status of a success, and the name of the schema of its body.
pub(super) fn success(kind: Kind, method: &Method) -> (u16, Option<&'static str>) {
    match (kind, method.as_str()) {
        (Kind::Version, _) => (200, Some("Version")),
        (Kind::Secrets, "GET") => (200, Some("SecretList")),
        (Kind::Secrets, _) => (201, Some("SecretRef")),
        (Kind::Secret, "GET") | (Kind::SecretConsumers, "POST" | "DELETE") => (200, Some("Secret")),
        (Kind::Metadata, "PUT") => (201, Some("MetadataRef")),
        (Kind::Metadata, "POST") => (201, Some("MetadataItem")),
        (Kind::Metadata, _) => (200, Some("Metadata")),
        (Kind::MetadataItem, "GET" | "PUT") => (200, Some("MetadataItem")),
        (Kind::SecretAcl | Kind::ContainerAcl, "GET") => (200, Some("Acl")),
        (Kind::SecretAcl | Kind::ContainerAcl, "DELETE") => (200, Some("Null")),
        (Kind::SecretAcl | Kind::ContainerAcl, _) => (200, Some("AclRef")),
        (Kind::SecretConsumers | Kind::ContainerConsumers, "GET") => (200, Some("ConsumerList")),
        (Kind::Containers, "GET") => (200, Some("ContainerList")),
        (Kind::Containers, _) | (Kind::ContainerSecrets, "POST") => (201, Some("ContainerRef")),
        (Kind::Container, "GET") | (Kind::ContainerConsumers, _) => (200, Some("Container")),
        (Kind::Orders, "GET") => (200, Some("OrderList")),
        (Kind::Orders, _) => (202, Some("OrderRef")),
        (Kind::Order, "GET") => (200, Some("Order")),
        (Kind::Quotas, _) => (200, Some("Quotas")),
        (Kind::ProjectQuotas, _) => (200, Some("ProjectQuotasList")),
        (Kind::ProjectQuota, "GET") => (200, Some("ProjectQuotas")),
        (Kind::SecretStores, _) => (200, Some("SecretStoreList")),
        (Kind::DefaultStore | Kind::PreferredStore | Kind::SecretStore, _) => (200, Some("SecretStore")),
        (Kind::TransportKeys, "GET") => (200, Some("TransportKeyList")),
        (Kind::TransportKeys, _) => (201, Some("TransportKeyRef")),
        (Kind::TransportKey, "GET") => (200, Some("TransportKey")),
        (Kind::Payload, _) => (200, None),
        _ => (204, None),
    }
}

/// The schema of the JSON body that a verb takes.
fn body(kind: Kind, method: &Method) -> Option<Value> {
    let nested = |outer: &Schema, name: &str, inner: Value| {
        let mut schema = schema_of(&[outer]);
        if let Some(member) = schema.pointer_mut(&format!("/properties/{name}")) {
            *member = inner;
        }
        schema
    };
    Some(match (kind, method.as_str()) {
        (Kind::Secrets, "POST") => schema_of(&[&secrets::SECRET, &secrets::VALUE]),
        (Kind::Metadata, "PUT") => {
            let values = json!({"type": "object", "additionalProperties": {"type": "string", "maxLength": 255},
                "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,255}$"}});
            nested(&metadata::ALL, "metadata", values)
        }
        (Kind::Metadata, "POST") | (Kind::MetadataItem, "PUT") => schema_of(&[&metadata::ITEM]),
        (Kind::SecretAcl | Kind::ContainerAcl, "PUT" | "PATCH") => {
            let users = json!({"type": "array", "items": {"type": "string", "maxLength": 255}});
            nested(&acls::ACL, "read", nested(&acls::READ, "users", users))
        }
        (Kind::SecretConsumers, "POST" | "DELETE") => schema_of(&[&consumers::OF_SECRET]),
        (Kind::ContainerConsumers, "POST" | "DELETE") => schema_of(&[&consumers::OF_CONTAINER]),
        (Kind::Containers, "POST") => {
            let refs = json!({"type": "array", "items": schema_of(&[&containers::MEMBER])});
            nested(&containers::CONTAINER, "secret_refs", refs)
        }
        (Kind::ContainerSecrets, "POST" | "DELETE") => schema_of(&[&containers::CONTAINER_SECRET]),
        (Kind::Orders, "POST") => {
            let mut meta = schema_of(&[&orders::META]);
            if let Some(meta) = meta.as_object_mut() {
                meta.insert("required".to_owned(), json!(["algorithm", "bit_length"]));
            }
            nested(&orders::ORDER, "meta", meta)
        }
        (Kind::ProjectQuota, "PUT") => nested(&quotas::BODY, "project_quotas", schema_of(&[&quotas::QUOTAS])),
        (Kind::TransportKeys, "POST") => {
            let mut schema = schema_of(&[&transport_keys::BODY]);
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("required".to_owned(), json!(["plugin_name", "transport_key"]));
            }
            schema
        }
        _ => return None,
    })
}

/// Our schemas as JSON Schema; several of them judge one body together.
fn schema_of(schemas: &[&Schema]) -> Value {
    let fields = || schemas.iter().flat_map(|schema| schema.fields);
    let properties: Map<String, Value> = fields().map(|field| (field.name.to_owned(), field_of(field))).collect();
    let required: Vec<&str> = fields().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if let Some(members) = schema.as_object_mut() {
        if !required.is_empty() {
            members.insert("required".to_owned(), json!(required));
        }
        if schemas.iter().any(|schema| schema.closed) {
            members.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    schema
}

fn field_of(field: &Field) -> Value {
    let mut schema = Map::new();
    let mut put = |name: &str, value: Value| drop(schema.insert(name.to_owned(), value));
    let types: Vec<&str> = field.types.iter().map(|kind| kind.name()).collect();
    match types.as_slice() {
        [] => {}
        [one] => put("type", json!(one)),
        several => put("type", json!(several)),
    }
    if !field.one_of.is_empty() {
        put("enum", json!(field.one_of));
    }
    if field.types.contains(&Type::String) {
        if field.length.0 > 0 {
            put("minLength", json!(field.length.0));
        }
        if field.length.1 < usize::MAX {
            put("maxLength", json!(field.length.1));
        }
    }
    if field.range.0 > i64::MIN {
        put("minimum", json!(field.range.0));
    }
    if field.range.1 < i64::MAX {
        put("maximum", json!(field.range.1));
    }
    Value::Object(schema)
}

/// The query parameters of a list, and of the few others that have some.
fn queries(kind: Kind, method: &Method) -> Vec<(&'static str, Value)> {
    let text = || json!({"type": "string"});
    let page = || vec![("limit", json!({"type": "integer"})), ("offset", json!({"type": "integer"}))];
    match (kind, method.as_str()) {
        (Kind::Secrets, "GET") => {
            let names = ["name", "alg", "mode", "secret_type", "created", "updated", "expiration", "sort", "acl_only"];
            let mut all = page();
            all.extend(names.map(|name| (name, text())));
            all.push(("bits", json!({"type": "integer"})));
            all
        }
        (Kind::Containers, "GET") => [page(), vec![("name", text()), ("type", text())]].concat(),
        (Kind::Orders, "GET") => [page(), vec![("meta", text())]].concat(),
        (Kind::TransportKeys, "GET") => [page(), vec![("plugin_name", text())]].concat(),
        (Kind::SecretConsumers | Kind::ContainerConsumers | Kind::ProjectQuotas, "GET") => page(),
        (Kind::Secret, "DELETE") => vec![("force", text())],
        _ => Vec::new(),
    }
}

/// The schemas of answers. They are open: microversions add members.
fn components() -> Value {
    let text = json!({"type": "string"});
    let maybe = json!({"type": ["string", "null"]});
    let object = |properties: Value| {
        let required: Vec<String> = properties.as_object().into_iter().flat_map(Map::keys).cloned().collect();
        json!({"type": "object", "properties": properties, "required": required})
    };
    let list = |name: &str, of: &str| {
        let items = json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{of}")}});
        let mut schema = object(json!({name: items, "total": {"type": "integer"}}));
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert("next".to_owned(), json!({"type": "string"}));
            properties.insert("previous".to_owned(), json!({"type": "string"}));
        }
        schema
    };
    let quota = json!({"type": ["integer", "null"]});
    let quotas =
        object(json!({"secrets": quota, "orders": quota, "containers": quota, "consumers": quota, "cas": quota}));
    json!({
        "Error": {"type": "object", "required": ["code", "title"], "properties": {
            "code": {"type": "integer"}, "title": text, "description": maybe}},
        "Null": {"type": "null"},
        "Version": object(json!({"version": {"type": "object"}})),
        "SecretRef": object(json!({"secret_ref": text})),
        "Secret": object(json!({"created": text, "updated": text, "status": text, "name": maybe, "secret_type": text,
            "expiration": maybe, "algorithm": maybe, "bit_length": {"type": ["integer", "null"]}, "mode": maybe,
            "creator_id": maybe, "secret_ref": text})),
        "SecretList": list("secrets", "Secret"),
        "Metadata": object(json!({"metadata": {"type": "object", "additionalProperties": text}})),
        "MetadataRef": object(json!({"metadata_ref": text})),
        "MetadataItem": object(json!({"key": text, "value": text})),
        "Acl": object(json!({"read": {"type": "object", "required": ["project-access"]}})),
        "AclRef": object(json!({"acl_ref": text})),
        "Consumer": object(json!({"created": text, "updated": text, "status": text})),
        "ConsumerList": list("consumers", "Consumer"),
        "ContainerRef": object(json!({"container_ref": text})),
        "Container": object(json!({"created": text, "updated": text, "status": text, "name": maybe, "type": text,
            "creator_id": maybe, "secret_refs": {"type": "array"}, "consumers": {"type": "array"},
            "container_ref": text})),
        "ContainerList": list("containers", "Container"),
        "OrderRef": object(json!({"order_ref": text})),
        "Order": object(json!({"created": text, "updated": text, "status": {"enum": ["PENDING", "ACTIVE", "ERROR"]},
            "type": text, "meta": {"type": "object"}, "creator_id": maybe, "order_ref": text})),
        "OrderList": list("orders", "Order"),
        "Quotas": object(json!({"quotas": quotas})),
        "ProjectQuotas": object(json!({"project_quotas": quotas})),
        "ProjectQuotasEntry": object(json!({"project_id": text, "project_quotas": quotas})),
        "ProjectQuotasList": list("project_quotas", "ProjectQuotasEntry"),
        "SecretStore": object(json!({"created": text, "updated": text, "status": text, "name": text,
            "global_default": {"type": "boolean"}, "secret_store_plugin": text, "crypto_plugin": maybe,
            "secret_store_ref": text})),
        "SecretStoreList": object(json!({"secret_stores": {"type": "array",
            "items": {"$ref": "#/components/schemas/SecretStore"}}})),
        "Href": text,
        "TransportKeyRef": object(json!({"transport_key_ref": text})),
        "TransportKey": object(json!({"id": text, "plugin_name": text, "transport_key": text, "status": text,
            "created_at": text, "updated_at": text, "deleted": {"type": "boolean"}, "deleted_at": maybe})),
        "TransportKeyList": list("transport_keys", "Href"),
    })
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for (kind, path) in PATHS {
        let mut verbs = Map::new();
        for row in routes::rows(*kind) {
            verbs.insert(row.method.as_str().to_ascii_lowercase(), operation(*kind, path, row));
        }
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<Value> = names
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}}))
            .collect();
        if !parameters.is_empty() {
            verbs.insert("parameters".to_owned(), Value::Array(parameters));
        }
        paths.insert((*path).to_owned(), Value::Object(verbs));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis: the Barbican key-manager API",
            "version": "1.2",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Microversions 1.0 to 1.2, chosen by the header OpenStack-API-Version: key-manager X.Y. A trailing \
                slash is accepted everywhere; HEAD is not offered; unknown query parameters are ignored.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components(),
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
    })
}

fn operation(kind: Kind, path: &str, row: &routes::Row) -> Value {
    let parameters: Vec<Value> = queries(kind, &row.method)
        .into_iter()
        .map(|(name, schema)| json!({"name": name, "in": "query", "required": false, "schema": schema}))
        .collect();
    let mut responses = Map::new();
    let error = json!({"description": "Refused; the body says why.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
    match (kind, row.method.as_str()) {
        (Kind::Payload, _) => {
            let any = json!({"schema": {}});
            let content = json!({"application/octet-stream": any, "text/plain": any, "application/pkcs8": any});
            responses.insert("200".to_owned(), json!({"description": "The payload.", "content": content}));
        }
        (Kind::Orders, "PUT") => {}
        (kind, _) => {
            let (status, schema) = success(kind, &row.method);
            let mut response = json!({"description": row.operation});
            if let (Some(name), Some(members)) = (schema, response.as_object_mut()) {
                let schema = json!({"$ref": format!("#/components/schemas/{name}")});
                let mut content = json!({"application/json": {"schema": schema}});
                if let (Kind::Secret, Some(content)) = (kind, content.as_object_mut()) {
                    // Old clients read the payload here, by its Accept.
                    for media in ["application/octet-stream", "text/plain", "application/pkcs8"] {
                        content.insert(media.to_owned(), json!({"schema": {}}));
                    }
                }
                members.insert("content".to_owned(), content);
            }
            responses.insert(status.to_string(), response);
        }
    }
    responses.insert("4XX".to_owned(), error.clone());
    responses.insert("503".to_owned(), error);
    let id = format!("{} {path}", row.method.as_str().to_ascii_lowercase()).replace(['/', '{', '}', ' ', '-'], "_");
    let mut operation = json!({"operationId": id, "summary": row.operation, "responses": responses});
    let Some(members) = operation.as_object_mut() else { return operation };
    if !parameters.is_empty() {
        members.insert("parameters".to_owned(), Value::Array(parameters));
    }
    if let Some(schema) = body(kind, &row.method) {
        let content = json!({"application/json": {"schema": schema}});
        members.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    } else if (kind, row.method.as_str()) == (Kind::Secret, "PUT") {
        let any = json!({"schema": {}});
        let content = json!({"application/octet-stream": any, "text/plain": any});
        members.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    if let Some(rule) = row.rule {
        members.insert("x-policy-rule".to_owned(), json!(rule));
    }
    operation
}

/// `GET /openapi.json`, for everybody.
pub(super) fn serve() -> Response<Body> {
    static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| document().to_string());
    let mut response = Response::new(Body::from(TEXT.as_str()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::barbican::path::parse;

    const ID: &str = "6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f";

    #[test]
    fn the_document_and_the_routes_are_the_same_both_ways() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        for (path, verbs) in paths {
            let real: String =
                path.split('/').map(|part| if part.starts_with('{') { ID } else { part }).collect::<Vec<_>>().join("/");
            let place = parse(real.strip_prefix("/v1").unwrap()).unwrap();
            let known: Vec<String> =
                routes::rows(place.kind).iter().map(|row| row.method.as_str().to_lowercase()).collect();
            let mut shown: Vec<&String> =
                verbs.as_object().unwrap().keys().filter(|key| *key != "parameters").collect();
            let mut known: Vec<&String> = known.iter().collect();
            shown.sort();
            known.sort();
            assert_eq!(shown, known, "{path}");
        }
        for kind in Kind::ALL {
            let is_listed = PATHS.iter().any(|(listed, _)| listed == kind);
            assert_eq!(is_listed, !routes::rows(*kind).is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn the_checked_in_document_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let made = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), made, "run with UPDATE=1 and look at the difference");
    }
}
