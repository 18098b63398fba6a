//! Every malformation of the item layer is refused with its offset, its path and its kind.

use kmip_codec::error::DecodeErrorKind::{self, *};
use kmip_codec::limits::Limits;
use kmip_codec::spec::tags::Tag;
use kmip_codec::ttlv::{self, MessageKind, message_length};

mod support;

/// A structure 540001 around what the hex says.
fn around(hex: &str) -> Vec<u8> {
    let body = support::from_hex(hex);
    let mut bytes = support::from_hex("540001 01");
    bytes.extend(u32::try_from(body.len()).expect("short").to_be_bytes());
    bytes.extend(body);
    bytes
}

#[test]
fn malformed_items_are_refused_where_they_begin() {
    let unknown = |number| Tag::from_number(number);
    let rows: [(&str, &str, usize, &[u32], DecodeErrorKind); 18] = [
        ("header cut off", "540002 02 0000", 0, &[0x540001], WrongLength(6)),
        (
            "header of a child cut off",
            "540002 02 00000004 00000001 00000000 540003 02",
            0,
            &[0x540001],
            WrongLength(20),
        ),
        ("integer of three bytes", "540002 02 00000003 0000000100000000", 8, &[0x540001, 0x540002], WrongLength(3)),
        ("integer of eight bytes", "540002 02 00000008 0000000100000000", 8, &[0x540001, 0x540002], WrongLength(8)),
        ("date of four bytes", "540002 09 00000004 0000000100000000", 8, &[0x540001, 0x540002], WrongLength(4)),
        (
            "big integer of twelve bytes",
            "540002 04 0000000c 000000010000000000000000 00000000",
            8,
            &[0x540001, 0x540002],
            WrongLength(12),
        ),
        ("big integer of no bytes", "540002 04 00000000", 8, &[0x540001, 0x540002], WrongLength(0)),
        (
            "structure not a multiple of eight",
            "540002 01 00000004 0000000000000000",
            8,
            &[0x540001, 0x540002],
            WrongLength(4),
        ),
        ("child longer than its parent", "540002 08 00000009 0000000000000000", 8, &[0x540001, 0x540002], Truncated),
        ("child of 4 GiB", "540002 08 ffffffff 0000000000000000", 8, &[0x540001, 0x540002], Truncated),
        (
            "padding cut off",
            "540002 01 00000010 540003 07 00000009 0000000000000000",
            16,
            &[0x540001, 0x540002, 0x540003],
            Truncated,
        ),
        ("Boolean of two", "540002 06 00000008 0000000000000002", 8, &[0x540001, 0x540002], BadBoolean),
        ("text not UTF-8", "540002 07 00000001 ff00000000000000", 8, &[0x540001, 0x540002], BadUtf8),
        ("reference not UTF-8", "540002 0d 00000002 c32000000000 0000", 8, &[0x540001, 0x540002], BadUtf8),
        ("type 00", "540002 00 00000004 0000000000000000", 8, &[0x540001, 0x540002], IllegalType(0)),
        ("type 0F", "540002 0f 00000004 0000000000000000", 8, &[0x540001, 0x540002], IllegalType(15)),
        ("tag 43xxxx", "430001 02 00000004 0000000000000000", 8, &[0x540001], IllegalTag(unknown(0x430001))),
        (
            "second of two children",
            "540002 02 00000004 0000000000000000 540003 06 00000008 0100000000000000",
            24,
            &[0x540001, 0x540003],
            BadBoolean,
        ),
    ];
    for (name, hex, offset, path, kind) in rows {
        let error = ttlv::parse(&around(hex), &Limits::default()).expect_err(name);
        let path: Vec<Tag> = path.iter().map(|number| unknown(*number)).collect();
        assert_eq!((error.offset, error.path, error.kind), (offset, path, kind), "{name}");
    }
}

#[test]
fn bytes_after_the_message_are_refused() {
    let mut bytes = around("");
    bytes.push(0);
    let error = ttlv::parse(&bytes, &Limits::default()).expect_err("a byte too many");
    assert_eq!((error.offset, error.kind), (8, TrailingBytes));
}

#[test]
fn no_bytes_and_half_a_header_are_truncated() {
    for length in 0..8 {
        let error = ttlv::parse(&around("")[..length], &Limits::default()).expect_err("cut off");
        assert_eq!((error.offset, error.kind), (0, Truncated));
    }
}

#[test]
fn padding_may_hold_anything_and_is_written_as_zeros() {
    let item = around("540002 02 00000004 00000001 deadbeef");
    let item = ttlv::parse(&item, &Limits::default()).expect("dirty padding is tolerated");
    let mut writer = ttlv::Writer::new(kmip_codec::version::V1_0);
    writer.item(&item);
    assert_eq!(writer.finish().expect("short").to_vec(), around("540002 02 00000004 00000001 00000000"));
}

#[test]
fn framing_takes_only_the_expected_message() {
    let limits = Limits { message_bytes_max: 24, ..Limits::default() };
    let length = |hex: &str, kind| {
        let header: [u8; 8] = support::from_hex(hex).try_into().expect("eight bytes");
        message_length(&header, kind, &limits).map_err(|error| error.kind)
    };
    assert_eq!(length("42007801 00000010", MessageKind::Request), Ok(24));
    assert_eq!(length("42007801 00000018", MessageKind::Request), Err(TooLong(32)));
    assert_eq!(length("42007801 ffffffff", MessageKind::Request), Err(TooLong(0x1_0000_0007)));
    assert_eq!(length("42007801 0000000c", MessageKind::Request), Err(WrongLength(12)));
    assert_eq!(length("42007b01 00000010", MessageKind::Request), Err(NotAMessage));
    assert_eq!(length("42007b01 00000010", MessageKind::Response), Ok(24));
    assert_eq!(length("42007802 00000010", MessageKind::Request), Err(NotAMessage));
    assert_eq!(length("47455420 2f204854", MessageKind::Request), Err(NotAMessage));
}
