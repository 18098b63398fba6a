//! The table of malformed input (KMIP contract §1), one test a row, at every version.

use std::{sync::Arc, time::Duration};

use kmip_codec::{
    ProtocolVersion, Tag,
    spec::enums::{Operation, ResultReason as R, ResultStatus},
    ttlv::{HEADER_BYTES, Writer},
    version::{SUPPORTED, V2_0, V2_1},
};
use portcullis::kmip::serve;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Answer, Gateway, peer};

const PATIENCE: Duration = Duration::from_secs(60);
/// An identifier of exactly eight bytes, so that its item can be patched.
const TEXT: &str = "abcdefgh";

/// What a row allows: in 1.x, and from 2.0 on.
type Allowed = (&'static [R], &'static [R]);

const INVALID: Allowed = (&[R::INVALID_MESSAGE], &[R::INVALID_MESSAGE, R::CODEC_ERROR]);
const UNKNOWN_FIELD: Allowed = (&[R::INVALID_FIELD], &[R::UNKNOWN_TAG, R::INVALID_FIELD]);

/// A request of any version, real or not, with a count that may be wrong and a payload that may be anything.
fn message(version: (i32, i32), count: i32, operation: u32, payload: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new(V2_1);
    writer.structure(Tag::REQUEST_MESSAGE, |writer| {
        writer.structure(Tag::REQUEST_HEADER, |writer| {
            writer.structure(Tag::PROTOCOL_VERSION, |writer| {
                writer.integer(Tag::PROTOCOL_VERSION_MAJOR, version.0);
                writer.integer(Tag::PROTOCOL_VERSION_MINOR, version.1);
            });
            // 3.0 counts nothing.
            if version.0 < 3 {
                writer.integer(Tag::BATCH_COUNT, count);
            }
        });
        writer.structure(Tag::BATCH_ITEM, |writer| {
            writer.enumeration(Tag::OPERATION, operation);
            writer.structure(Tag::REQUEST_PAYLOAD, payload);
        });
    });
    writer.finish().unwrap().to_vec()
}

fn numbers(version: ProtocolVersion) -> (i32, i32) {
    (version.major, version.minor)
}

fn get(version: ProtocolVersion) -> Vec<u8> {
    message(numbers(version), 1, Operation::GET.number(), |writer| writer.text_string(Tag::UNIQUE_IDENTIFIER, TEXT))
}

/// The Get with bytes of its identifier's item replaced, from that offset of the item on.
fn patched(version: ProtocolVersion, offset: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = get(version);
    let item = bytes.windows(TEXT.len()).position(|part| part == TEXT.as_bytes()).unwrap() - HEADER_BYTES;
    bytes[item + offset..item + offset + with.len()].copy_from_slice(with);
    bytes
}

fn not_found(version: ProtocolVersion) -> R {
    if version < V2_0 { R::ITEM_NOT_FOUND } else { R::OBJECT_NOT_FOUND }
}

async fn ask(gateway: &Gateway, bytes: &[u8]) -> (ProtocolVersion, Answer) {
    let (version, mut answers) = gateway.raw_items(bytes).await;
    assert_eq!(answers.len(), 1);
    (version, answers.remove(0))
}

fn check(version: ProtocolVersion, answer: &Answer, allowed: Allowed, what: &str) {
    let allowed = if version < V2_0 { allowed.0 } else { allowed.1 };
    assert_eq!(answer.status, ResultStatus::OPERATION_FAILED, "{what} in {version}");
    assert!(answer.reason.is_some_and(|it| allowed.contains(&it)), "{what} in {version}: {:?}", answer.reason);
}

#[tokio::test]
async fn what_cannot_be_delimited_is_closed_without_an_answer() {
    let gateway = Gateway::of_all_versions();
    let starts: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n",
        // A response, a leaf, a length beyond the limit, and one that is no multiple of eight.
        &[0x42, 0x00, 0x7B, 0x01, 0, 0, 0, 0x08],
        &[0x42, 0x00, 0x78, 0x02, 0, 0, 0, 0x04],
        &[0x42, 0x00, 0x78, 0x01, 0x7F, 0xFF, 0xFF, 0xF8],
        &[0x42, 0x00, 0x78, 0x01, 0, 0, 0, 0x05],
    ];
    for start in starts {
        let (mut stream, far) = duplex(1 << 16);
        let service = Arc::clone(&gateway.service);
        tokio::spawn(serve(far, peer("client", "demo", "member"), service, CancellationToken::new()));
        stream.write_all(start).await.unwrap();
        let mut rest = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed").unwrap();
        assert!(rest.is_empty(), "{start:02X?}");
    }
}

#[tokio::test]
async fn what_cannot_be_parsed_is_an_invalid_message_and_the_connection_stays() {
    let gateway = Gateway::of_all_versions();
    let faults: [(&str, usize, &[u8]); 7] = [
        ("a type that does not exist", 3, &[0x1F]),
        ("an integer of eight bytes", 3, &[0x02]),
        ("a child that is longer than its parent", 7, &[0x48]),
        ("a length that wraps around", 4, &[0xFF, 0xFF, 0xFF, 0xF8]),
        ("a structure whose length is no multiple of eight", 3, &[0x01, 0, 0, 0, 5]),
        ("a text that is no UTF-8", 8, &[0xFF, 0xFE]),
        ("a Boolean that is neither true nor false", 3, &[0x06]),
    ];
    for version in SUPPORTED {
        let (mut stream, far) = duplex(1 << 16);
        let service = Arc::clone(&gateway.service);
        tokio::spawn(serve(far, peer("client", "demo", "member"), service, CancellationToken::new()));
        for (what, offset, with) in faults {
            stream.write_all(&patched(version, offset, with)).await.unwrap();
            let mut header = [0; HEADER_BYTES];
            timeout(PATIENCE, stream.read_exact(&mut header)).await.unwrap().unwrap();
            let mut bytes = header.to_vec();
            let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            bytes.resize(HEADER_BYTES + usize::try_from(length).unwrap(), 0);
            timeout(PATIENCE, stream.read_exact(&mut bytes[HEADER_BYTES..])).await.unwrap().unwrap();
            let (of, answers) = crate::support::decode(&bytes);
            assert_eq!((of, answers.len(), answers[0].operation), (version, 1, None), "{what}");
            check(version, &answers[0], INVALID, what);
        }
    }
}

#[tokio::test]
async fn padding_is_tolerated_whatever_is_in_it() {
    let gateway = Gateway::of_all_versions();
    for version in SUPPORTED {
        // Seven bytes of text, and the eighth is padding that is not zero.
        let (_, answer) = ask(&gateway, &patched(version, 7, &[0x07])).await;
        assert_eq!(answer.reason, Some(not_found(version)), "{version}");
    }
}

#[tokio::test]
async fn an_unsupported_major_version_is_answered_in_the_newest() {
    let gateway = Gateway::of_all_versions();
    for (major, expected) in
        [(0, R::INVALID_MESSAGE), (4, R::UNSUPPORTED_PROTOCOL_VERSION), (99, R::UNSUPPORTED_PROTOCOL_VERSION)]
    {
        let bytes = message((major, 0), 1, Operation::DISCOVER_VERSIONS.number(), |_| ());
        let (version, answer) = ask(&gateway, &bytes).await;
        assert_eq!(Some(version), SUPPORTED.into_iter().max(), "{major}");
        assert_eq!((answer.operation, answer.reason), (None, Some(expected)), "{major}");
    }
}

#[tokio::test]
async fn a_higher_minor_version_is_processed_and_its_new_fields_are_ignored() {
    let gateway = Gateway::of_all_versions();
    for major in [1, 2, 3] {
        let bytes = message((major, 9), 1, Operation::GET.number(), |writer| {
            writer.text_string(Tag::UNIQUE_IDENTIFIER, TEXT);
            writer.integer(Tag::from_number(0x42_0FFF), 1);
        });
        let (_, answer) = ask(&gateway, &bytes).await;
        let expected = if major == 1 { R::ITEM_NOT_FOUND } else { R::OBJECT_NOT_FOUND };
        assert_eq!(answer.reason, Some(expected), "{major}.9");
    }
}

#[tokio::test]
async fn an_unknown_field_fails_its_item() {
    let gateway = Gateway::of_all_versions();
    for version in SUPPORTED {
        let bytes = message(numbers(version), 1, Operation::GET.number(), |writer| {
            writer.text_string(Tag::UNIQUE_IDENTIFIER, TEXT);
            writer.integer(Tag::LEASE_TIME, 1);
        });
        check(version, &ask(&gateway, &bytes).await.1, UNKNOWN_FIELD, "an unknown field");
    }
}

#[tokio::test]
async fn a_field_given_twice_is_invalid() {
    let gateway = Gateway::of_all_versions();
    for version in SUPPORTED {
        let bytes = message(numbers(version), 1, Operation::GET.number(), |writer| {
            writer.text_string(Tag::UNIQUE_IDENTIFIER, TEXT);
            writer.text_string(Tag::UNIQUE_IDENTIFIER, TEXT);
        });
        check(version, &ask(&gateway, &bytes).await.1, INVALID, "a field given twice");
    }
}

#[tokio::test]
async fn a_missing_field_is_invalid() {
    let gateway = Gateway::of_all_versions();
    for version in SUPPORTED {
        for operation in [Operation::CREATE, Operation::REGISTER, Operation::REVOKE] {
            let bytes = message(numbers(version), 1, operation.number(), |_| ());
            check(version, &ask(&gateway, &bytes).await.1, INVALID, &operation.to_string());
        }
    }
}

#[tokio::test]
async fn fields_come_in_any_order() {
    let gateway = Gateway::of_all_versions();
    for version in SUPPORTED {
        for first in [true, false] {
            let bytes = message(numbers(version), 1, Operation::GET.number(), |writer| {
                if first {
                    writer.text_string(Tag::UNIQUE_IDENTIFIER, TEXT);
                }
                writer.enumeration(Tag::KEY_FORMAT_TYPE, 1);
                if !first {
                    writer.text_string(Tag::UNIQUE_IDENTIFIER, TEXT);
                }
            });
            assert_eq!(ask(&gateway, &bytes).await.1.reason, Some(not_found(version)), "{version} {first}");
        }
    }
}

#[tokio::test]
async fn a_wrong_count_is_invalid_for_the_whole_message() {
    let gateway = Gateway::of_all_versions();
    for version in SUPPORTED.into_iter().filter(|version| *version <= V2_1) {
        for count in [0, 2, -1, i32::MAX] {
            let bytes = message(numbers(version), count, Operation::GET.number(), |writer| {
                writer.text_string(Tag::UNIQUE_IDENTIFIER, TEXT);
            });
            let (_, answer) = ask(&gateway, &bytes).await;
            assert_eq!(answer.operation, None, "{version} {count}");
            check(version, &answer, INVALID, "a wrong count");
        }
    }
}

#[tokio::test]
async fn an_unknown_operation_fails_its_item() {
    let gateway = Gateway::of_all_versions();
    for version in SUPPORTED {
        for operation in [0x41, 0xFF, 0x8000_0001, 0] {
            let (_, answer) = ask(&gateway, &message(numbers(version), 1, operation, |_| ())).await;
            assert_eq!(answer.reason, Some(R::OPERATION_NOT_SUPPORTED), "{version} {operation:#x}");
        }
    }
}

#[tokio::test]
async fn a_structure_for_a_leaf_and_the_reverse_are_invalid() {
    let gateway = Gateway::of_all_versions();
    for version in SUPPORTED {
        let bytes = message(numbers(version), 1, Operation::GET.number(), |writer| {
            writer.structure(Tag::UNIQUE_IDENTIFIER, |_| ());
        });
        check(version, &ask(&gateway, &bytes).await.1, INVALID, "a structure for a leaf");
        let bytes = message(numbers(version), 1, Operation::GET.number(), |writer| {
            writer.integer(Tag::KEY_WRAPPING_SPECIFICATION, 1);
        });
        check(version, &ask(&gateway, &bytes).await.1, INVALID, "a leaf for a structure");
    }
}
