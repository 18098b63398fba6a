//! What the fuzz target for bodies calls: every reader of bytes that a peer sends, without an engine behind it.
//!
//! Nothing here decides anything; a reader that panics or does not end is the finding.

use super::{
    acls, consumers, containers, content, dates, filters, json::Json, metadata, orders, path, query::Query, secrets,
};
use crate::domain::Timestamp;

/// Gives the bytes to every reader: as a JSON body of each resource, and as a path, a query, a date, an `Accept`.
pub fn read(bytes: &[u8]) {
    let now = Timestamp::from_seconds(0);
    let body = || Json::parse(bytes, None);
    if let Some(parsed) = body() {
        let _ = (parsed.repr(), parsed.to_value());
        metadata::try_body(&parsed);
        acls::try_body(&parsed);
        consumers::try_body(&parsed);
        containers::try_body(&parsed);
    }
    if let Some(body) = body() {
        secrets::try_body(body, now);
    }
    if let Some(body) = body() {
        orders::try_body(body, now);
    }
    let _ = content::decode(bytes);
    let text = String::from_utf8_lossy(bytes);
    let query = Query::parse(&text);
    let _ = (query.others(), filters::filter(&query).is_ok(), filters::sort(&query, now).is_ok());
    let _ = (path::parse(&text).is_ok(), dates::parse(&text).map(dates::show));
    let _ = (content::normalise(&text), content::wanted(Some(&text)).is_ok());
    if let Some((pattern, subject)) = text.split_once('\n') {
        let _ = filters::like(pattern, subject);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            super::read(&bytes);
        }

        #[test]
        fn no_body_of_the_right_shape_makes_a_reader_panic(
            name in "[ -~é]{0,12}", value in any::<i64>(), text in "\\PC{0,40}",
        ) {
            for body in [
                serde_json::json!({"name": name, "payload": text, "payload_content_type": text, "bit_length": value}),
                serde_json::json!({"type": "key", "meta": {"algorithm": text, "bit_length": value, "expiration": text}}),
                serde_json::json!({"type": "rsa", "secret_refs": [{"name": name, "secret_ref": text}]}),
                serde_json::json!({"metadata": {(name.clone()): text}, "read": {"users": [text]}, "key": name, "value": text}),
                serde_json::json!({"service": name, "resource_type": text, "resource_id": text, "URL": text}),
            ] {
                super::read(body.to_string().as_bytes());
            }
        }
    }
}
