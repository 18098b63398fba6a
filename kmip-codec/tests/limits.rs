//! Every limit of the item layer, at the limit and one beyond.

use kmip_codec::error::DecodeErrorKind::{self, *};
use kmip_codec::limits::Limits;
use kmip_codec::message::{RequestHeader, RequestItem, RequestMessage};
use kmip_codec::spec::enums::Operation;
use kmip_codec::ttlv::{self, Item, Value, Writer};
use kmip_codec::{Tag, version::V1_0};

const LIMITS: Limits =
    Limits { message_bytes_max: 256, depth_max: 5, items_max: 9, batch_items_max: 4, text_bytes_max: 20 };

fn parse(build: impl FnOnce(&mut Writer)) -> Result<(), DecodeErrorKind> {
    let mut writer = Writer::new(V1_0);
    build(&mut writer);
    let bytes = writer.finish().expect("short");
    ttlv::parse(&bytes, &LIMITS).map(drop).map_err(|error| error.kind)
}

fn nested(writer: &mut Writer, depth: usize) {
    writer.structure(Tag::ATTRIBUTE, |writer| {
        if depth > 1 {
            nested(writer, depth - 1);
        }
    });
}

#[test]
fn depth() {
    assert_eq!(parse(|writer| nested(writer, 5)), Ok(()));
    assert_eq!(parse(|writer| nested(writer, 6)), Err(TooDeep));
}

#[test]
fn items() {
    let children = |count| {
        parse(|writer| writer.structure(Tag::ATTRIBUTE, |writer| (0..count).for_each(|at| writer.integer(Tag::D, at))))
    };
    assert_eq!(children(8), Ok(()));
    assert_eq!(children(9), Err(TooMany));
}

#[test]
fn text() {
    assert_eq!(parse(|writer| writer.text_string(Tag::COMMENT, &"x".repeat(20))), Ok(()));
    assert_eq!(parse(|writer| writer.text_string(Tag::COMMENT, &"x".repeat(21))), Err(TextTooLong(21)));
    assert_eq!(parse(|writer| writer.byte_string(Tag::DATA, &[0; 64])), Ok(()));
}

#[test]
fn message() {
    assert_eq!(parse(|writer| writer.byte_string(Tag::DATA, &[0; 248])), Ok(()));
    assert_eq!(parse(|writer| writer.byte_string(Tag::DATA, &[0; 249])), Err(TooLong(264)));
}

#[test]
fn a_structure_of_many_megabytes_of_length_allocates_nothing() {
    let bytes = [0x42, 0x00, 0x78, 0x01, 0xFF, 0xFF, 0xFF, 0xF8];
    assert_eq!(ttlv::parse(&bytes, &LIMITS).map_err(|error| error.kind), Err(Truncated));
}

#[test]
fn batch_items() {
    let decode = |count| {
        let header = RequestHeader::new(V1_0);
        let payload = || Item::new(Tag::REQUEST_PAYLOAD, Value::Structure(Default::default()));
        let items = (0..count).map(|_| RequestItem::new(Operation::QUERY, payload())).collect();
        let bytes = RequestMessage { header, items }.encode().expect("short");
        let limits = Limits { message_bytes_max: 4096, items_max: 100, ..LIMITS };
        RequestMessage::decode(&bytes, &limits).map(|message| message.items.len()).map_err(|error| error.kind)
    };
    assert_eq!(decode(4), Ok(4));
    assert_eq!(decode(5), Err(TooMany));
}
