//! Bytes that are no proper request (KMIP contract §1, "Malformed input").

use kmip_codec::{
    ProtocolVersion, Tag,
    attribute::Attributes,
    message::{MessageExtension, RequestHeader, RequestItem, RequestMessage},
    payload::{QueryRequest, Request},
    spec::enums::{Operation, QueryFunction, ResultReason, ResultStatus},
    ttlv::{Item, Value},
    version::{V1_0, V1_2, V1_4, V2_0, V2_1},
};

use crate::support::{Gateway, create, decode, reason};

fn discover(version: ProtocolVersion) -> Vec<u8> {
    let request = Request::DiscoverVersions(Box::default());
    let items = vec![RequestItem::new(Operation::DISCOVER_VERSIONS, request)];
    RequestMessage { header: RequestHeader::new(version), items }.encode().unwrap().to_vec()
}

/// Replaces the only occurrence of `from`.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let at: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, it)| *it == from).map(|(at, _)| at).collect();
    assert_eq!(at.len(), 1, "the pattern must occur once");
    bytes[at[0]..at[0] + to.len()].copy_from_slice(to);
    bytes
}

#[tokio::test]
async fn a_message_whose_inside_is_cut_short_is_invalid() {
    let gateway = Gateway::start();
    for version in [V1_0, V1_4, V2_1] {
        let whole = {
            let message = RequestMessage {
                header: RequestHeader::new(version),
                items: vec![RequestItem::new(Operation::CREATE, create("x", Attributes::default()))],
            };
            message.encode().unwrap().to_vec()
        };
        // The outer length is right, an inner item claims one byte more than its parent has.
        for cut in (64..whole.len() - 8).step_by(8) {
            let mut bytes = whole[..cut].to_vec();
            let length = u32::try_from(cut - 8).unwrap().to_be_bytes();
            bytes[4..8].copy_from_slice(&length);
            let (answered, items) = gateway.raw_items(&bytes).await;
            assert_eq!(items.len(), 1, "{version} cut at {cut}");
            assert_eq!(
                (answered, items[0].operation, reason(&items[0])),
                (version, None, ResultReason::INVALID_MESSAGE)
            );
        }
    }
}

#[tokio::test]
async fn an_unknown_major_version_is_answered_in_the_newest_we_have() {
    let gateway = Gateway::start();
    let bytes = patched(
        discover(V1_4),
        &[0x42, 0x00, 0x6A, 2, 0, 0, 0, 4, 0, 0, 0, 1],
        &[0x42, 0x00, 0x6A, 2, 0, 0, 0, 4, 0, 0, 0, 9],
    );
    let (version, items) = gateway.raw_items(&bytes).await;
    assert_eq!((version, items[0].operation), (V2_1, None));
    assert_eq!(reason(&items[0]), ResultReason::UNSUPPORTED_PROTOCOL_VERSION);
}

#[tokio::test]
async fn a_higher_minor_version_is_processed() {
    let gateway = Gateway::start();
    let bytes = patched(
        discover(V1_4),
        &[0x42, 0x00, 0x6B, 2, 0, 0, 0, 4, 0, 0, 0, 4],
        &[0x42, 0x00, 0x6B, 2, 0, 0, 0, 4, 0, 0, 0, 7],
    );
    let answer = gateway.raw(&bytes).await;
    // Message, header, version and the first number's header are 32 bytes; the second number's value follows 16 later.
    assert_eq!(
        (&answer[32..36], &answer[48..52]),
        (&[0, 0, 0, 1][..], &[0, 0, 0, 7][..]),
        "the request's version comes back"
    );
}

#[tokio::test]
async fn an_unknown_operation_fails_its_item_only() {
    let gateway = Gateway::start();
    for (version, code) in [(V1_0, 0x1F_u32), (V1_2, 0x2E), (V2_1, 0x7777)] {
        let payload = Item::new(Tag::REQUEST_PAYLOAD, Value::Structure(Default::default()));
        let items = vec![RequestItem::new(Operation::from_number(code), payload)];
        let message = RequestMessage { header: RequestHeader::new(version), items };
        let (_, items) = gateway.raw_items(&message.encode().unwrap()).await;
        assert_eq!(items[0].operation, Some(Operation::from_number(code)));
        assert_eq!(reason(&items[0]), ResultReason::OPERATION_NOT_SUPPORTED, "{version}");
    }
}

#[tokio::test]
async fn a_critical_extension_that_nobody_knows_stops_its_item() {
    let gateway = Gateway::start();
    for (critical, expected) in [(true, Some(ResultReason::FEATURE_NOT_SUPPORTED)), (false, None)] {
        let request = Request::Query(Box::new(QueryRequest {
            query_functions: vec![QueryFunction::QUERY_OPERATIONS],
            ..QueryRequest::default()
        }));
        let mut item = RequestItem::new(Operation::QUERY, request);
        item.extensions.push(MessageExtension {
            vendor_identification: "acme".into(),
            criticality_indicator: critical,
            vendor_extension: Value::Structure(Default::default()),
        });
        let answers = gateway.send(&RequestMessage { header: RequestHeader::new(V1_2), items: vec![item] }).await;
        assert_eq!(answers[0].reason, expected, "critical: {critical}");
    }
}

#[tokio::test]
async fn a_wrong_batch_count_is_invalid_for_the_whole_message() {
    let gateway = Gateway::start();
    let bytes = patched(
        discover(V1_4),
        &[0x42, 0x00, 0x0D, 2, 0, 0, 0, 4, 0, 0, 0, 1],
        &[0x42, 0x00, 0x0D, 2, 0, 0, 0, 4, 0, 0, 0, 2],
    );
    let (_, items) = gateway.raw_items(&bytes).await;
    assert_eq!((items[0].operation, reason(&items[0])), (None, ResultReason::INVALID_MESSAGE));
}

#[tokio::test]
async fn no_answer_ever_exceeds_the_maximum_response_size_but_the_refusal_itself() {
    let gateway = Gateway::start();
    let request = Request::Query(Box::new(QueryRequest {
        query_functions: vec![QueryFunction::QUERY_OPERATIONS],
        ..QueryRequest::default()
    }));
    let mut header = RequestHeader::new(V2_0);
    header.maximum_response_size = Some(256);
    let answers =
        gateway.send(&RequestMessage { header, items: vec![RequestItem::new(Operation::QUERY, request)] }).await;
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].operation, reason(&answers[0])), (Some(Operation::QUERY), ResultReason::RESPONSE_TOO_LARGE));
    assert!(answers[0].payload.is_none());
    assert_eq!(answers[0].status, ResultStatus::OPERATION_FAILED);
}

#[tokio::test]
async fn every_byte_flip_of_a_request_is_answered_with_a_whole_message() {
    let gateway = Gateway::start();
    let message = RequestMessage {
        header: RequestHeader::new(V1_4),
        items: vec![RequestItem::new(Operation::CREATE, create("flip", Attributes::default()))],
    };
    let bytes = message.encode().unwrap().to_vec();
    for at in 8..bytes.len() {
        for mask in [0x01, 0x80, 0xFF] {
            let mut flipped = bytes.clone();
            flipped[at] ^= mask;
            let answer = gateway.raw(&flipped).await;
            assert!(!decode(&answer).1.is_empty(), "byte {at} ^ {mask:02X}");
        }
    }
}
