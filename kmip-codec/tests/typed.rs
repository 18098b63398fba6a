//! Every message goes through the typed layer and comes out byte for byte.
//!
//! What does not is in `vectors/exceptions.txt` with its reason, and that list is exact: a vector that begins to pass
//! has to leave it.

use std::collections::BTreeMap;

use kmip_codec::limits::Limits;
use kmip_codec::message::{RequestItem, RequestMessage, ResponseItem, ResponseMessage};
use kmip_codec::payload::{Request, Response};

mod support;

/// Decodes and encodes a request through the typed layer.
fn request_again(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let message = RequestMessage::decode(bytes, &Limits::default()).map_err(|error| error.to_string())?;
    let version = message.header.protocol_version;
    let typed = |item: RequestItem<_>| {
        let payload = Request::decode(item.operation, version, &item.payload).map_err(|error| error.to_string())?;
        let RequestItem { operation, ephemeral, id, extensions, .. } = item;
        Ok(RequestItem { operation, ephemeral, id, payload, extensions })
    };
    let items = message.items.into_iter().map(typed).collect::<Result<_, String>>()?;
    let again = RequestMessage { header: message.header, items }.encode().map_err(|error| error.to_string())?;
    Ok(again.to_vec())
}

/// Decodes and encodes a response through the typed layer. A payload without an operation stays an item.
fn response_again(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let message = ResponseMessage::decode(bytes, &Limits::default()).map_err(|error| error.to_string())?;
    let version = message.header.protocol_version;
    let typed = |item: ResponseItem<_>| {
        let payload = match (item.operation, item.payload) {
            (Some(operation), Some(payload)) => {
                Some(Response::decode(operation, version, &payload).map_err(|error| error.to_string())?)
            }
            (None, Some(_)) => return Err("a payload without an operation".to_owned()),
            (_, None) => None,
        };
        Ok(ResponseItem { payload, ..ResponseItem::with_status(item.operation, item.status) }).map(|mut again| {
            again.id = item.id;
            again.reason = item.reason;
            again.message = item.message;
            again.asynchronous_correlation_value = item.asynchronous_correlation_value;
            again.extensions = item.extensions;
            again
        })
    };
    let items = message.items.into_iter().map(typed).collect::<Result<_, String>>()?;
    let again = ResponseMessage { header: message.header, items }.encode().map_err(|error| error.to_string())?;
    Ok(again.to_vec())
}

fn again(bytes: &[u8]) -> Result<(), String> {
    let is_request = bytes.starts_with(&[0x42, 0x00, 0x78]);
    let result = if is_request { request_again(bytes)? } else { response_again(bytes)? };
    if result == bytes { Ok(()) } else { Err("other bytes".to_owned()) }
}

#[test]
fn own_messages_survive_the_typed_layer() {
    for (name, bytes) in support::own().into_iter().filter(|(_, bytes)| bytes[0] == 0x42) {
        assert_eq!(again(&bytes), Ok(()), "{name}");
    }
}

#[test]
fn published_messages_survive_the_typed_layer() {
    let Some(vectors) = support::published() else { return };
    let mut counts: BTreeMap<(bool, &str), (usize, usize)> = BTreeMap::new();
    let mut failures = BTreeMap::new();
    for vector in &vectors {
        let (all, good) = counts.entry((vector.is_request, vector.version.as_str())).or_default();
        *all += 1;
        match again(&vector.bytes) {
            Ok(()) => *good += 1,
            Err(reason) => drop(failures.insert(vector.name.clone(), reason)),
        }
    }
    for ((is_request, version), (all, good)) in &counts {
        println!("{version} {}: {good} of {all}", if *is_request { "requests" } else { "responses" });
    }
    for (name, reason) in &failures {
        println!("FAIL {name}: {reason}");
    }
    let expected: Vec<&str> = include_str!("vectors/exceptions.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_once(": ").map(|(name, _)| name))
        .collect();
    let failed: Vec<&str> = failures.keys().map(String::as_str).collect();
    assert_eq!(failed, expected);
}
