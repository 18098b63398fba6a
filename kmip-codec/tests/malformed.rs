//! Well-formed items that make no sense as messages are refused with their offset, their path and their kind; what the
//! standard or real clients ask us to tolerate is not.

use kmip_codec::error::DecodeErrorKind::{self, *};
use kmip_codec::fuzzing::{self, Seeds};
use kmip_codec::limits::Limits;
use kmip_codec::message::{RequestMessage, peek_version};
use kmip_codec::payload::Request;
use kmip_codec::spec::enums::Operation;
use kmip_codec::ttlv::{self, ItemType, Writer};
use kmip_codec::version::{V1_0, V1_1, V1_2, V1_4, V2_1, V3_0};
use kmip_codec::{ProtocolVersion, Tag};

mod support;

type Refused = (usize, Vec<Tag>, DecodeErrorKind);

/// Decodes a request payload that `build` writes.
fn payload(
    operation: Operation,
    version: ProtocolVersion,
    build: impl FnOnce(&mut Writer),
) -> Result<Request, Refused> {
    let mut writer = Writer::new(version);
    writer.structure(Tag::REQUEST_PAYLOAD, build);
    let bytes = writer.finish().expect("short");
    let item = ttlv::parse(&bytes, &Limits::default()).expect("well formed");
    Request::decode(operation, version, &item).map_err(|error| (error.offset, error.path, error.kind))
}

/// Decodes a request message that `build` writes.
fn message(build: impl FnOnce(&mut Writer)) -> Result<Vec<Operation>, Refused> {
    let mut writer = Writer::new(V1_2);
    writer.structure(Tag::REQUEST_MESSAGE, build);
    let bytes = writer.finish().expect("short");
    RequestMessage::decode(&bytes, &Limits::default())
        .map(|message| message.items.iter().map(|item| item.operation).collect())
        .map_err(|error| (error.offset, error.path, error.kind))
}

fn header(writer: &mut Writer, version: (i32, i32), rest: impl FnOnce(&mut Writer)) {
    writer.structure(Tag::REQUEST_HEADER, |writer| {
        writer.structure(Tag::PROTOCOL_VERSION, |writer| {
            writer.integer(Tag::PROTOCOL_VERSION_MAJOR, version.0);
            writer.integer(Tag::PROTOCOL_VERSION_MINOR, version.1);
        });
        rest(writer);
    });
}

fn query(writer: &mut Writer) {
    writer.structure(Tag::BATCH_ITEM, |writer| {
        writer.enumeration(Tag::OPERATION, Operation::QUERY.number());
        writer.structure(Tag::REQUEST_PAYLOAD, |_| ());
    });
}

#[test]
fn a_missing_field_is_named() {
    let refused = payload(Operation::CREATE, V1_2, |writer| {
        writer.structure(Tag::TEMPLATE_ATTRIBUTE, |_| ());
    });
    assert_eq!(refused, Err((0, vec![Tag::REQUEST_PAYLOAD], MissingField(Tag::OBJECT_TYPE))));
}

#[test]
fn the_second_of_two_fields_is_refused() {
    let refused = payload(Operation::GET, V1_0, |writer| {
        writer.text_string(Tag::UNIQUE_IDENTIFIER, "a");
        writer.text_string(Tag::UNIQUE_IDENTIFIER, "b");
    });
    assert_eq!(refused, Err((24, vec![Tag::REQUEST_PAYLOAD], DuplicateField(Tag::UNIQUE_IDENTIFIER))));
}

#[test]
fn a_field_of_a_later_version_is_unknown() {
    let build = |writer: &mut Writer| writer.integer(Tag::OFFSET_ITEMS, 1);
    let refused = payload(Operation::LOCATE, V1_2, build);
    assert_eq!(refused, Err((8, vec![Tag::REQUEST_PAYLOAD], UnknownTag(Tag::OFFSET_ITEMS))));
    assert!(payload(Operation::LOCATE, V1_4, build).is_ok());
}

#[test]
fn a_known_field_in_the_wrong_structure_is_unexpected() {
    let build = |writer: &mut Writer| writer.integer(Tag::MAXIMUM_ITEMS, 1);
    let refused = payload(Operation::ACTIVATE, V1_0, build);
    assert_eq!(refused, Err((8, vec![Tag::REQUEST_PAYLOAD], UnexpectedField(Tag::MAXIMUM_ITEMS))));
}

#[test]
fn a_higher_minor_may_bring_fields_we_do_not_know() {
    let build = |writer: &mut Writer| {
        writer.text_string(Tag::UNIQUE_IDENTIFIER, "a");
        writer.integer(Tag::from_number(0x42_0FFF), 1);
    };
    assert!(payload(Operation::GET, ProtocolVersion::new(1, 9), build).is_ok());
    let refused = payload(Operation::GET, V1_4, build);
    assert_eq!(refused, Err((24, vec![Tag::REQUEST_PAYLOAD], UnknownTag(Tag::from_number(0x42_0FFF)))));
}

#[test]
fn fields_out_of_order_are_accepted() {
    let made = payload(Operation::CREATE, V1_2, |writer| {
        writer.structure(Tag::TEMPLATE_ATTRIBUTE, |_| ());
        writer.enumeration(Tag::OBJECT_TYPE, 2);
    });
    assert!(matches!(made, Ok(Request::Create(create)) if create.object_type.number() == 2));
}

#[test]
fn a_leaf_of_another_type_is_refused() {
    let refused = payload(Operation::GET, V1_0, |writer| writer.integer(Tag::UNIQUE_IDENTIFIER, 1));
    let path = vec![Tag::REQUEST_PAYLOAD, Tag::UNIQUE_IDENTIFIER];
    let kind = WrongType { expected: ItemType::TextString, found: ItemType::Integer };
    assert_eq!(refused, Err((8, path, kind)));
    assert!(payload(Operation::GET, V2_1, |writer| writer.integer(Tag::UNIQUE_IDENTIFIER, 1)).is_ok());
}

#[test]
fn a_structure_in_place_of_a_leaf_is_refused_and_the_reverse() {
    let refused = payload(Operation::GET, V1_0, |writer| writer.structure(Tag::UNIQUE_IDENTIFIER, |_| ()));
    let kind = WrongType { expected: ItemType::TextString, found: ItemType::Structure };
    assert_eq!(refused, Err((8, vec![Tag::REQUEST_PAYLOAD, Tag::UNIQUE_IDENTIFIER], kind)));

    let refused = payload(Operation::REVOKE, V1_0, |writer| writer.integer(Tag::REVOCATION_REASON, 1));
    let kind = WrongType { expected: ItemType::Structure, found: ItemType::Integer };
    assert_eq!(refused, Err((8, vec![Tag::REQUEST_PAYLOAD, Tag::REVOCATION_REASON], kind)));
}

#[test]
fn an_attribute_of_the_wrong_type_is_refused_and_an_unknown_one_is_kept() {
    let template = |name: &str| {
        payload(Operation::CREATE, V1_0, |writer| {
            writer.enumeration(Tag::OBJECT_TYPE, 2);
            writer.structure(Tag::TEMPLATE_ATTRIBUTE, |writer| {
                writer.structure(Tag::ATTRIBUTE, |writer| {
                    writer.text_string(Tag::ATTRIBUTE_NAME, name);
                    writer.boolean(Tag::ATTRIBUTE_VALUE, true);
                });
            });
        })
    };
    let path = vec![Tag::REQUEST_PAYLOAD, Tag::TEMPLATE_ATTRIBUTE, Tag::ATTRIBUTE, Tag::ATTRIBUTE_VALUE];
    let kind = WrongType { expected: ItemType::Enumeration, found: ItemType::Boolean };
    assert_eq!(template("State"), Err((56, path, kind)));
    assert!(template("Sensitive").is_ok(), "not an attribute of 1.0, so any value is kept");
    assert!(template("x-Rack").is_ok());
}

#[test]
fn from_2_0_an_attribute_is_known_by_its_tag() {
    let attributes = |version, tag: Tag| {
        payload(Operation::CREATE, version, |writer| {
            writer.enumeration(Tag::OBJECT_TYPE, 2);
            writer.structure(Tag::ATTRIBUTES, |writer| writer.integer(tag, 1));
        })
    };
    let path = |tag| vec![Tag::REQUEST_PAYLOAD, Tag::ATTRIBUTES, tag];
    assert_eq!(attributes(V2_1, Tag::BATCH_COUNT), Err((32, path(Tag::BATCH_COUNT), UnknownAttribute)));
    let later = Tag::NIST_SECURITY_CATEGORY;
    assert_eq!(attributes(V2_1, later), Err((32, path(later), UnknownTag(later))));
    assert!(attributes(V3_0, later).is_ok());
}

#[test]
fn operations_and_versions_that_do_not_exist_are_refused() {
    let refused = payload(Operation::ENCRYPT, V1_1, |_| ());
    assert_eq!(refused, Err((0, vec![Tag::REQUEST_PAYLOAD], UnsupportedOperation(0x1F))));
    let refused = payload(Operation::from_number(0x8000_0001), V1_1, |_| ());
    assert_eq!(refused, Err((0, vec![Tag::REQUEST_PAYLOAD], UnsupportedOperation(0x8000_0001))));
    let version = ProtocolVersion::new(4, 0);
    assert_eq!(payload(Operation::QUERY, version, |_| ()), Err((0, Vec::new(), UnsupportedVersion(version))));
}

#[test]
fn the_header_comes_first_and_once() {
    let path = || vec![Tag::REQUEST_MESSAGE];
    let refused = message(|writer| {
        query(writer);
        header(writer, (1, 2), |writer| writer.integer(Tag::BATCH_COUNT, 1));
    });
    assert_eq!(refused, Err((0, path(), MissingField(Tag::REQUEST_HEADER))));
    assert_eq!(message(|_| ()), Err((0, path(), MissingField(Tag::REQUEST_HEADER))));
    let refused = message(|writer| {
        header(writer, (1, 2), |writer| writer.integer(Tag::BATCH_COUNT, 0));
        header(writer, (1, 2), |writer| writer.integer(Tag::BATCH_COUNT, 0));
    });
    assert_eq!(refused, Err((72, path(), DuplicateField(Tag::REQUEST_HEADER))));
    let refused = message(|writer| {
        header(writer, (1, 2), |writer| writer.integer(Tag::BATCH_COUNT, 0));
        writer.integer(Tag::BATCH_COUNT, 1);
    });
    assert_eq!(refused, Err((72, path(), UnexpectedField(Tag::BATCH_COUNT))));
}

#[test]
fn the_batch_count_is_the_number_of_items() {
    let with_count = |count| {
        message(|writer| {
            header(writer, (1, 2), |writer| writer.integer(Tag::BATCH_COUNT, count));
            query(writer);
        })
    };
    let path = vec![Tag::REQUEST_MESSAGE, Tag::REQUEST_HEADER, Tag::BATCH_COUNT];
    assert_eq!(with_count(1), Ok(vec![Operation::QUERY]));
    for wrong in [0, 2, -1] {
        assert_eq!(with_count(wrong), Err((56, path.clone(), BatchCount)), "{wrong}");
    }
}

#[test]
fn in_3_0_there_is_no_batch_count_and_before_there_must_be() {
    let without = |version| {
        message(|writer| {
            header(writer, version, |_| ());
            query(writer);
        })
    };
    assert_eq!(without((3, 0)), Ok(vec![Operation::QUERY]));
    let path = vec![Tag::REQUEST_MESSAGE, Tag::REQUEST_HEADER];
    assert_eq!(without((2, 1)), Err((8, path, MissingField(Tag::BATCH_COUNT))));
}

#[test]
fn an_unknown_major_version_is_told_apart_from_a_malformed_message() {
    let refused = message(|writer| header(writer, (7, 1), |writer| writer.integer(Tag::BATCH_COUNT, 0)));
    let kind = UnsupportedVersion(ProtocolVersion::new(7, 1));
    assert_eq!(refused, Err((0, vec![Tag::REQUEST_MESSAGE], kind)));
}

#[test]
fn a_header_field_we_do_not_know_is_refused_in_our_version_and_ignored_in_a_higher_minor() {
    let with_field = |version| {
        message(|writer| {
            header(writer, version, |writer| {
                writer.text_string(Tag::CLIENT_CORRELATION_VALUE, "c");
                writer.integer(Tag::BATCH_COUNT, 0);
            });
        })
    };
    let path = vec![Tag::REQUEST_MESSAGE, Tag::REQUEST_HEADER];
    assert_eq!(with_field((1, 2)), Err((56, path, UnknownTag(Tag::CLIENT_CORRELATION_VALUE))));
    assert_eq!(with_field((1, 4)), Ok(Vec::new()));
    assert_eq!(with_field((1, 7)), Ok(Vec::new()));
}

#[test]
fn one_bad_payload_leaves_the_others_readable() {
    let mut writer = Writer::new(V1_2);
    writer.structure(Tag::REQUEST_MESSAGE, |writer| {
        header(writer, (1, 2), |writer| writer.integer(Tag::BATCH_COUNT, 2));
        writer.structure(Tag::BATCH_ITEM, |writer| {
            writer.enumeration(Tag::OPERATION, Operation::ACTIVATE.number());
            writer.structure(Tag::REQUEST_PAYLOAD, |writer| writer.boolean(Tag::UNIQUE_IDENTIFIER, true));
        });
        query(writer);
    });
    let bytes = writer.finish().expect("short");
    let message = RequestMessage::decode(&bytes, &Limits::default()).expect("header and framing are good");
    let read = |at: usize| Request::decode(message.items[at].operation, V1_2, &message.items[at].payload);
    assert!(matches!(read(0).expect_err("a Boolean").kind, WrongType { .. }));
    assert!(matches!(read(1), Ok(Request::Query(_))));
}

#[test]
fn the_version_of_a_malformed_message_can_be_read() {
    let mut bytes = support::own().into_iter().find(|(name, _)| name == "create-1.2").expect("it is there").1;
    let last = bytes.len() - 1;
    bytes.truncate(last);
    assert_eq!(peek_version(&bytes), Some(V1_2));
    assert_eq!(peek_version(&bytes[..40]), None);
    assert_eq!(peek_version(b""), None);
}

#[test]
fn errors_and_messages_show_no_values() {
    let mut writer = Writer::new(V1_0);
    writer.structure(Tag::REQUEST_PAYLOAD, |writer| writer.byte_string(Tag::UNIQUE_IDENTIFIER, b"hunter2"));
    let bytes = writer.finish().expect("short");
    let item = ttlv::parse(&bytes, &Limits::default()).expect("well formed");
    let error = Request::decode(Operation::GET, V1_0, &item).expect_err("bytes are not text");
    let expected = "item type ByteString where TextString is required at byte 8 in RequestPayload/UniqueIdentifier";
    assert_eq!(error.to_string(), expected);
    let encrypt = support::own().into_iter().find(|(name, _)| name == "encrypt-1.4").expect("it is there").1;
    let message = RequestMessage::decode(&encrypt, &Limits::default()).expect("good");
    let request = Request::decode(Operation::ENCRYPT, V1_4, &message.items[0].payload).expect("good");
    assert!(!format!("{message:?} {request:?}").contains("secret"));
}

/// Bytes changed at random must be refused or survive; nothing may panic. The fuzz targets do the same for longer.
#[test]
fn mutated_messages_do_no_harm() {
    let mut seeds = Seeds::new(0xC0DEC);
    for (name, original) in support::own() {
        for _ in 0..1500 {
            let mut bytes = original.clone();
            for _ in 0..=seeds.below(3) {
                let at = seeds.below(bytes.len());
                bytes[at] = seeds.next().to_le_bytes()[0];
            }
            if seeds.below(8) == 0 {
                bytes.truncate(seeds.below(bytes.len()));
            }
            fuzzing::decode(&bytes);
            fuzzing::decode_encode_decode(&bytes);
            fuzzing::framing(&bytes);
            fuzzing::message(&bytes);
        }
        println!("{name} is harmless");
    }
}
