//! Values at the edge of what their types can say, in trees of any shape: TTLV, JSON and XML agree about all of them.

use std::borrow::Cow;

use proptest::prelude::*;

use kmip_codec::Tag;
use kmip_codec::error::{DecodeErrorKind, EncodeError};
use kmip_codec::limits::Limits;
use kmip_codec::secret::BigInteger;
use kmip_codec::text::{self, Encoding};
use kmip_codec::ttlv::{self, Children, Item, Value};

const TEXTS: [Encoding; 2] = [Encoding::Json, Encoding::Xml];

/// The largest number of JSON that is written as a number.
const JSON_EDGE: i64 = 1 << 52;

fn written(encoding: Encoding, item: &Item<'_>) -> Result<Vec<u8>, EncodeError> {
    text::write(encoding, item).map(|bytes| bytes.to_vec())
}

/// Through TTLV and back, and through both texts and back.
fn survives(item: &Item<'_>) {
    let bytes = written(Encoding::Ttlv, item).expect("short");
    assert!(bytes.len().is_multiple_of(8), "{item:?}");
    assert_eq!(ttlv::parse(&bytes, &Limits::default()).as_ref(), Ok(item));
    for encoding in TEXTS {
        let text = match written(encoding, item) {
            Err(EncodeError::NotInXml) if encoding == Encoding::Xml => continue,
            other => other.expect("it can be written"),
        };
        let back = text::to_ttlv(encoding, &text, &Limits::default()).map(|bytes| bytes.to_vec());
        assert_eq!(back.as_ref().ok(), Some(&bytes), "{encoding:?} {} {back:?}", String::from_utf8_lossy(&text));
    }
}

fn long() -> impl Strategy<Value = i64> {
    let edges = vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX, JSON_EDGE, JSON_EDGE + 1, -JSON_EDGE, -JSON_EDGE - 1];
    prop_oneof![prop::sample::select(edges), any::<i64>(), -100_000_000_000..100_000_000_000_i64]
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![prop::sample::select(vec![i32::MIN, -1, 0, 1, i32::MAX]), any::<i32>()]
}

fn unsigned() -> impl Strategy<Value = u32> {
    prop_oneof![prop::sample::select(vec![0, 1, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, u32::MAX]), any::<u32>()]
}

/// Whole groups of eight, whatever their first bits.
fn big() -> impl Strategy<Value = Vec<u8>> {
    let first = prop::sample::select(vec![0x00, 0x01, 0x7F, 0x80, 0xFF]);
    (1..=9_usize, first, any::<u8>()).prop_map(|(groups, first, rest)| {
        std::iter::once(first).chain(std::iter::repeat_n(rest, groups * 8 - 1)).collect()
    })
}

/// From nothing to what needs four bytes, with what JSON and XML escape.
fn words() -> impl Strategy<Value = String> {
    let edges = vec!["", " ", "  a  ", "\"\\/&<>'", "a\nb\tc\r", "\u{1F511}\u{FE0F}", "\u{E9}\u{30A}", "]]>", "0x10"];
    prop_oneof![prop::sample::select(edges).prop_map(str::to_owned), "\\PC{0,40}", any::<String>()]
}

fn leaf() -> impl Strategy<Value = Item<'static>> {
    let tag = || prop::sample::select(vec![Tag::D, Tag::from_number(0x54_0001), Tag::from_number(0x54_FFFF)]);
    let masks = prop::sample::select(vec![Tag::CRYPTOGRAPHIC_USAGE_MASK, Tag::STORAGE_STATUS_MASK]);
    let tables = prop::sample::select(vec![Tag::STATE, Tag::OPERATION, Tag::CRYPTOGRAPHIC_ALGORITHM, Tag::LINK_TYPE]);
    let value = prop_oneof![
        number().prop_map(Value::Integer),
        long().prop_map(Value::LongInteger),
        big().prop_map(|bytes| Value::BigInteger(Cow::Owned(bytes))),
        unsigned().prop_map(Value::Enumeration),
        any::<bool>().prop_map(Value::Boolean),
        words().prop_map(|text| Value::TextString(Cow::Owned(text))),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::ByteString(Cow::Owned(bytes))),
        long().prop_map(Value::DateTime),
        unsigned().prop_map(Value::Interval),
        long().prop_map(Value::DateTimeExtended),
        words().prop_map(|text| Value::Identifier(Cow::Owned(text))),
        words().prop_map(|text| Value::Reference(Cow::Owned(text))),
        words().prop_map(|text| Value::NameReference(Cow::Owned(text))),
    ];
    prop_oneof![
        8 => (tag(), value).prop_map(|(tag, value)| Item::new(tag, value)),
        1 => (masks, number()).prop_map(|(tag, bits)| Item::new(tag, Value::Integer(bits))),
        1 => (tables, unsigned()).prop_map(|(tag, number)| Item::new(tag, Value::Enumeration(number))),
    ]
}

fn tree() -> impl Strategy<Value = Item<'static>> {
    leaf().prop_recursive(12, 64, 5, |inner| {
        prop::collection::vec(inner, 0..5)
            .prop_map(|items| Item::new(Tag::ATTRIBUTES, Value::Structure(Children::from(items))))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_leaf_survives(item in leaf()) {
        survives(&item);
    }

    #[test]
    fn a_tree_survives(item in tree()) {
        survives(&item);
    }

    #[test]
    fn a_magnitude_of_any_length_survives(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
        let big = BigInteger::from_magnitude(&bytes);
        let encoded = big.expose_secret().to_vec();
        prop_assert!(encoded.len().is_multiple_of(8) && !encoded.is_empty());
        // It is not negative, and what stands before the magnitude is zeros.
        prop_assert!(encoded[0] < 0x80);
        let digits = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        prop_assert_eq!(digits(&encoded), digits(&bytes));
        prop_assert_eq!(BigInteger::from_encoded(&encoded), Some(big));
        survives(&Item::new(Tag::D, Value::BigInteger(Cow::Owned(encoded))));
    }
}

#[test]
fn a_big_integer_of_another_length_is_none() {
    for length in (0..40).filter(|length| *length % 8 != 0) {
        assert_eq!(BigInteger::from_encoded(&vec![1; length]), None, "{length}");
    }
}

fn nested(depth: usize) -> Item<'static> {
    (1..depth).fold(Item::new(Tag::D, Value::Structure(Children::from(Vec::new()))), |inner, _| {
        Item::new(Tag::ATTRIBUTES, Value::Structure(Children::from(vec![inner])))
    })
}

#[test]
fn the_deepest_tree_survives_and_one_deeper_is_refused_everywhere() {
    let deepest = Limits::default().depth_max;
    survives(&nested(deepest));
    let deeper = nested(deepest + 1);
    let bytes = written(Encoding::Ttlv, &deeper).expect("writing has no limit");
    let refused = ttlv::parse(&bytes, &Limits::default()).expect_err("too deep").kind;
    assert_eq!(refused, DecodeErrorKind::TooDeep);
    for encoding in TEXTS {
        let text = written(encoding, &deeper).expect("writing has no limit");
        let refused = text::to_ttlv(encoding, &text, &Limits::default()).expect_err("too deep");
        assert_eq!(refused.error.kind, DecodeErrorKind::TooDeep, "{encoding:?}");
    }
}

#[test]
fn the_longest_text_survives_and_one_longer_is_refused_everywhere() {
    let longest = Limits::default().text_bytes_max;
    let of = |length: usize| Item::new(Tag::D, Value::TextString(Cow::Owned("x".repeat(length))));
    survives(&of(longest));
    let longer = of(longest + 1);
    let bytes = written(Encoding::Ttlv, &longer).expect("writing has no limit");
    let refused = ttlv::parse(&bytes, &Limits::default()).expect_err("too long").kind;
    assert_eq!(refused, DecodeErrorKind::TextTooLong(longest + 1));
    for encoding in TEXTS {
        let text = written(encoding, &longer).expect("writing has no limit");
        let refused = text::to_ttlv(encoding, &text, &Limits::default()).expect_err("too long");
        assert_eq!(refused.error.kind, DecodeErrorKind::TextTooLong(longest + 1), "{encoding:?}");
    }
}
