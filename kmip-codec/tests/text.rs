//! JSON, XML and TTLV say the same, and what is wrong is refused with its place.

use proptest::prelude::*;

use kmip_codec::error::DecodeErrorKind::{self, *};
use kmip_codec::error::EncodeError;
use kmip_codec::fuzzing::{Sample, Seeds};
use kmip_codec::limits::Limits;
use kmip_codec::message::{RequestHeader, RequestItem, RequestMessage, ResponseHeader, ResponseItem, ResponseMessage};
use kmip_codec::payload::{Request, Response};
use kmip_codec::spec::enums::Operation;
use kmip_codec::spec::operations;
use kmip_codec::text::{self, Encoding};
use kmip_codec::ttlv::{self, Item, ItemType, Value, Writer};
use kmip_codec::version::{SUPPORTED, V1_2, V2_1, V3_0};
use kmip_codec::{ProtocolVersion, Tag};

mod support;

const TEXTS: [Encoding; 2] = [Encoding::Json, Encoding::Xml];

fn into(encoding: Encoding, bytes: &[u8]) -> String {
    let text = text::from_ttlv(encoding, bytes, &Limits::default()).expect("it can be written");
    String::from_utf8(text.to_vec()).expect("it is text")
}

fn back(encoding: Encoding, text: &str) -> Vec<u8> {
    match text::to_ttlv(encoding, text.as_bytes(), &Limits::default()) {
        Ok(bytes) => bytes.to_vec(),
        Err(refused) => panic!("{refused:?}\n{text}"),
    }
}

fn kind(encoding: Encoding, text: &str) -> DecodeErrorKind {
    let limits =
        Limits { message_bytes_max: 4096, depth_max: 3, items_max: 6, text_bytes_max: 10, ..Limits::default() };
    match text::to_ttlv(encoding, text.as_bytes(), &limits) {
        Ok(bytes) => panic!("{text} is {}", support::to_hex(&bytes)),
        Err(refused) => refused.error.kind,
    }
}

#[test]
fn published_messages_are_the_same_in_all_encodings() {
    let Some(vectors) = support::published() else { return };
    for vector in &vectors {
        let name = format!("{} {}", vector.version, vector.name);
        for encoding in TEXTS {
            let text = into(encoding, &vector.bytes);
            assert!(back(encoding, &text) == vector.bytes, "{name} in {encoding:?}\n{text}");
        }
        let ours = support::to_hex(&back(Encoding::Xml, &vector.xml));
        assert_eq!(ours, support::to_hex(&vector.bytes), "{name} as published\n{}", vector.xml);
    }
    println!("{} messages", vectors.len());
}

#[test]
fn own_messages_are_the_same_in_all_encodings() {
    for (name, bytes) in support::own() {
        for encoding in TEXTS {
            assert_eq!(support::to_hex(&back(encoding, &into(encoding, &bytes))), support::to_hex(&bytes), "{name}");
        }
    }
}

fn operation_and_version() -> impl Strategy<Value = (Operation, ProtocolVersion)> {
    let known: Vec<_> = SUPPORTED
        .into_iter()
        .flat_map(|version| operations::of_version(version).map(move |operation| (operation, version)))
        .collect();
    prop::sample::select(known)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_messages_are_the_same_in_all_encodings((operation, version) in operation_and_version(), seed: u64) {
        let mut seeds = Seeds::new(seed);
        let payload = Request::sample(operation, &mut seeds, version).expect("the version has it");
        let mut item = RequestItem::new(operation, payload);
        item.extensions = vec![Sample::sample(&mut seeds, version)];
        let header = RequestHeader::sample(&mut seeds, version);
        let request = RequestMessage { header, items: vec![item] }.encode().expect("short");
        let payload = Response::sample(operation, &mut seeds, version).expect("the version has it");
        let header = ResponseHeader::sample(&mut seeds, version);
        let response =
            ResponseMessage { header, items: vec![ResponseItem::success(operation, payload)] }.encode().expect("short");
        for bytes in [request, response] {
            for encoding in TEXTS {
                let text = into(encoding, &bytes);
                prop_assert_eq!(support::to_hex(&back(encoding, &text)), support::to_hex(&bytes), "{}", text);
            }
        }
    }

    #[test]
    fn members_in_any_order_mean_the_same(seed: u64) {
        let mut seeds = Seeds::new(seed);
        let payload = Request::sample(Operation::CREATE, &mut seeds, V1_2).expect("1.2 has it");
        let message = RequestMessage {
            header: RequestHeader::sample(&mut seeds, V1_2),
            items: vec![RequestItem::new(Operation::CREATE, payload)],
        };
        let bytes = message.encode().expect("short");
        let tree: serde_json::Value = serde_json::from_str(&into(Encoding::Json, &bytes)).expect("JSON");
        // Its map sorts members by name, so that the value comes after the type and before nothing: turn them round.
        let turned = backwards(&tree);
        prop_assert_eq!(support::to_hex(&back(Encoding::Json, &turned)), support::to_hex(&bytes));
    }

    #[test]
    fn a_damaged_text_is_refused_or_means_the_same_everywhere(seed: u64, at in 0_usize..4096, with: u8) {
        let mut seeds = Seeds::new(seed);
        let payload = Request::sample(Operation::CREATE, &mut seeds, V2_1).expect("2.1 has it");
        let header = RequestHeader::sample(&mut seeds, V2_1);
        let message = RequestMessage { header, items: vec![RequestItem::new(Operation::CREATE, payload)] };
        let bytes = message.encode().expect("short");
        for encoding in TEXTS {
            let mut text = into(encoding, &bytes).into_bytes();
            let place = at % text.len();
            text[place] = with;
            kmip_codec::fuzzing::text(encoding, &text);
            text.truncate(place);
            kmip_codec::fuzzing::text(encoding, &text);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[<>/=\"{}\\[\\]:,a-zA-Z0-9 &;#!?-]{0,200}") {
        for encoding in TEXTS {
            let _ = text::to_ttlv(encoding, text.as_bytes(), &Limits::default());
        }
    }
}

/// JSON with value, type and tag in this order.
fn backwards(tree: &serde_json::Value) -> String {
    match tree {
        serde_json::Value::Object(members) => {
            let members: Vec<_> = ["value", "type", "tag"]
                .iter()
                .filter_map(|name| members.get(*name).map(|value| format!("\"{name}\" : {}", backwards(value))))
                .collect();
            format!("{{ {} }}", members.join(" ,\n"))
        }
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(backwards).collect::<Vec<_>>().join(","))
        }
        leaf => leaf.to_string(),
    }
}

/// One item in both texts.
fn both(item: &Item<'_>) -> (String, String) {
    let text = |encoding| String::from_utf8(text::write(encoding, item).expect("expressible").to_vec()).expect("text");
    (text(Encoding::Json), text(Encoding::Xml))
}

#[test]
fn each_type_has_its_form() {
    let xml = |inside: &str| format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{inside}");
    let table: [(Tag, Value<'_>, &str, &str); 14] = [
        (
            Tag::STATE,
            Value::Enumeration(2),
            r#"{"tag":"State","type":"Enumeration","value":"0x00000002"}"#,
            r#"<State type="Enumeration" value="0x00000002"/>"#,
        ),
        (Tag::D, Value::Integer(-3), r#"{"tag":"D","type":"Integer","value":-3}"#, r#"<D type="Integer" value="-3"/>"#),
        (
            Tag::D,
            Value::LongInteger(1 << 52),
            r#"{"tag":"D","type":"LongInteger","value":4503599627370496}"#,
            r#"<D type="LongInteger" value="4503599627370496"/>"#,
        ),
        (
            Tag::D,
            Value::LongInteger((1 << 52) + 1),
            r#"{"tag":"D","type":"LongInteger","value":"0x0010000000000001"}"#,
            r#"<D type="LongInteger" value="4503599627370497"/>"#,
        ),
        (
            Tag::D,
            Value::BigInteger((&[0xFF; 8]).into()),
            r#"{"tag":"D","type":"BigInteger","value":"0xffffffffffffffff"}"#,
            r#"<D type="BigInteger" value="ffffffffffffffff"/>"#,
        ),
        (
            Tag::D,
            Value::Boolean(true),
            r#"{"tag":"D","type":"Boolean","value":true}"#,
            r#"<D type="Boolean" value="true"/>"#,
        ),
        (
            Tag::D,
            Value::TextString("a<\"\\\n\u{e9}".into()),
            "{\"tag\":\"D\",\"type\":\"TextString\",\"value\":\"a<\\\"\\\\\\n\u{e9}\"}",
            "<D type=\"TextString\" value=\"a&lt;&quot;\\&#10;\u{e9}\"/>",
        ),
        (
            Tag::D,
            Value::ByteString((&[0x0A, 0xB0]).into()),
            r#"{"tag":"D","type":"ByteString","value":"0ab0"}"#,
            r#"<D type="ByteString" value="0ab0"/>"#,
        ),
        (
            Tag::D,
            Value::DateTime(0),
            r#"{"tag":"D","type":"DateTime","value":"1970-01-01T00:00:00+00:00"}"#,
            r#"<D type="DateTime" value="1970-01-01T00:00:00+00:00"/>"#,
        ),
        (
            Tag::D,
            Value::Interval(u32::MAX),
            r#"{"tag":"D","type":"Interval","value":4294967295}"#,
            r#"<D type="Interval" value="4294967295"/>"#,
        ),
        (
            Tag::D,
            Value::DateTimeExtended(-1),
            r#"{"tag":"D","type":"DateTimeExtended","value":"0xffffffffffffffff"}"#,
            r#"<D type="DateTimeExtended" value="0xffffffffffffffff"/>"#,
        ),
        (
            Tag::D,
            Value::Identifier("i".into()),
            r#"{"tag":"D","type":"Identifier","value":"i"}"#,
            r#"<D type="Identifier" value="i"/>"#,
        ),
        (
            Tag::from_number(0x54_0001),
            Value::Integer(1),
            r#"{"tag":"0x540001","type":"Integer","value":1}"#,
            r#"<TTLV tag="0x540001" type="Integer" value="1"/>"#,
        ),
        (Tag::ATTRIBUTES, Value::Structure(Default::default()), r#"{"tag":"Attributes","value":[]}"#, "<Attributes/>"),
    ];
    for (tag, value, in_json, in_xml) in table {
        let item = Item::new(tag, value);
        let (json, xml_text) = both(&item);
        assert_eq!(json, in_json);
        assert_eq!(xml_text, xml(in_xml));
        let bytes = text::write(Encoding::Ttlv, &item).expect("short").to_vec();
        assert_eq!(back(Encoding::Json, &json), bytes);
        assert_eq!(back(Encoding::Xml, &xml_text), bytes);
    }
}

#[test]
fn names_are_those_of_the_version_in_the_header() {
    let message = |version: ProtocolVersion| {
        let mut writer = Writer::new(V3_0);
        writer.structure(Tag::REQUEST_MESSAGE, |writer| {
            writer.structure(Tag::REQUEST_HEADER, |writer| {
                writer.structure(Tag::PROTOCOL_VERSION, |writer| {
                    writer.integer(Tag::PROTOCOL_VERSION_MAJOR, version.major);
                    writer.integer(Tag::PROTOCOL_VERSION_MINOR, version.minor);
                });
            });
            writer.structure(Tag::BATCH_ITEM, |writer| {
                writer.enumeration(Tag::OPERATION, 0x2B);
                writer.integer(Tag::CRYPTOGRAPHIC_USAGE_MASK, 0xC);
                writer.enumeration(Tag::ATTRIBUTE_REFERENCE, Tag::STATE.number());
                writer.structure(Tag::ATTRIBUTE, |writer| {
                    writer.text_string(Tag::ATTRIBUTE_NAME, "State");
                    writer.enumeration(Tag::ATTRIBUTE_VALUE, 2);
                });
            });
        });
        writer.finish().expect("short").to_vec()
    };
    let old = into(Encoding::Xml, &message(V1_2));
    let new = into(Encoding::Json, &message(V2_1));
    assert!(old.contains("<Operation type=\"Enumeration\" value=\"0x0000002b\"/>"), "1.2 has no Export: {old}");
    assert!(old.contains("<CryptographicUsageMask type=\"Integer\" value=\"Encrypt Decrypt\"/>"), "{old}");
    assert!(old.contains("<AttributeValue type=\"Enumeration\" value=\"Active\"/>"), "{old}");
    assert!(new.contains(r#"{"tag":"Operation","type":"Enumeration","value":"Export"}"#), "{new}");
    assert!(new.contains(r#"{"tag":"CryptographicUsageMask","type":"Integer","value":"Encrypt|Decrypt"}"#), "{new}");
    assert!(new.contains(r#"{"tag":"AttributeReference","type":"Enumeration","value":"State"}"#), "{new}");
}

#[test]
fn lenient_forms_are_read() {
    let one = |text: &str, encoding| back(encoding, text);
    let seven = one(r#"<D type="Integer" value="7"/>"#, Encoding::Xml);
    for text in [
        r#"<D type="0x02" value="7"/>"#,
        r#"<D xmlns="urn:oasis:tc:kmip:xmlns" type="Integer" value="7"></D>"#,
        r#"<TTLV tag="0x42002E" name="D" type="Integer" value=" 7 "/>"#,
        "\u{FEFF}<?xml version='1.0'?><!-- seven -->\n<D type='Integer' value='&#x37;'/>\n",
    ] {
        assert_eq!(one(text, Encoding::Xml), seven, "{text}");
    }
    for text in [
        r#"{"tag":"0x42002e","type":"0x02","value":7}"#,
        r#"{"value":"0x00000007","type":"Integer","name":"D","tag":"D"}"#,
        " {\"tag\" : \"D\", \"type\" : \"Integer\", \"value\" : \"\\u0037\"}\n",
    ] {
        assert_eq!(one(text, Encoding::Json), seven, "{text}");
    }
    let empty = one("<Attributes></Attributes>", Encoding::Xml);
    assert_eq!(one(r#"{"tag":"Attributes"}"#, Encoding::Json), empty);
    assert_eq!(one(r#"{"tag":"Attributes","type":"Structure","value":[]}"#, Encoding::Json), empty);
}

#[test]
fn bad_json() {
    let deep = r#"{"tag":"D","value":[{"tag":"D","value":[{"tag":"D","value":[{"tag":"D","value":[]}]}]}]}"#;
    let many = format!(r#"{{"tag":"D","value":[{}]}}"#, [r#"{"tag":"D"}"#; 6].join(","));
    let table: [(&str, DecodeErrorKind); 23] = [
        ("", Syntax),
        ("null", Syntax),
        ("[]", Syntax),
        (r#"{"tag":"D""#, Syntax),
        (r#"{"tag":"D"} {}"#, Syntax),
        (r#"{"tag":"D","value":[],"value":[]}"#, DuplicateMember),
        (r#"{"tag":"D","tag":"D"}"#, DuplicateMember),
        (r#"{"tag":"D","colour":"red"}"#, UnknownName),
        (r#"{"type":"Integer","value":1}"#, UnknownName),
        (r#"{"tag":"Nonsense"}"#, UnknownName),
        (r#"{"tag":"0x410001"}"#, IllegalTag(Tag::from_number(0x41_0001))),
        (r#"{"tag":"0x1420001"}"#, UnknownName),
        (r#"{"tag":42}"#, Syntax),
        (r#"{"tag":"D","type":"Real","value":1}"#, UnknownName),
        (r#"{"tag":"D","type":"0x0F","value":1}"#, IllegalType(0x0F)),
        (r#"{"tag":"D","type":"Integer","value":1.5}"#, Syntax),
        (r#"{"tag":"D","type":"Integer","value":2147483648}"#, BadValue(ItemType::Integer)),
        (r#"{"tag":"D","type":"Integer","value":true}"#, BadValue(ItemType::Integer)),
        (r#"{"tag":"D","type":"Integer","value":[]}"#, BadValue(ItemType::Integer)),
        (r#"{"tag":"D","type":"Integer"}"#, BadValue(ItemType::Integer)),
        (r#"{"tag":"D","value":"x"}"#, BadValue(ItemType::Structure)),
        (deep, TooDeep),
        (&many, TooMany),
    ];
    for (text, expected) in table {
        assert_eq!(kind(Encoding::Json, text), expected, "{text}");
    }
    assert_eq!(kind(Encoding::Json, r#"{"tag":"D","type":"TextString","value":"01234567890"}"#), TextTooLong(11));
    assert_eq!(kind(Encoding::Json, &" ".repeat(5000)), TooLong(5000));
    assert_eq!(kind(Encoding::Json, &"[".repeat(4000)), Syntax);
    assert_eq!(kind(Encoding::Json, &r#"{"tag":"D","value":["#.repeat(190)), TooDeep);
}

#[test]
fn bad_xml() {
    let many = format!("<D>{}</D>", "<D/>".repeat(6));
    let bomb = "<!DOCTYPE D [<!ENTITY a \"aaaa\">]><D type=\"TextString\" value=\"&a;\"/>";
    let table: [(&str, DecodeErrorKind); 21] = [
        ("", Truncated),
        ("D", Syntax),
        ("<D>", Truncated),
        ("<D></E>", Syntax),
        ("</D>", Syntax),
        ("<D/><D/>", TrailingBytes),
        ("<D/>x", Syntax),
        ("<D>x</D>", Syntax),
        ("<D><![CDATA[x]]></D>", Syntax),
        ("<?php x?><D/>", Syntax),
        (bomb, Syntax),
        ("<D type=\"TextString\" value=\"&a;\"/>", Syntax),
        ("<D>&amp;</D>", Syntax),
        ("<?xml version=\"1.0\" encoding=\"UTF-16\"?><D/>", BadUtf8),
        ("<D type=\"Integer\" type=\"Integer\" value=\"1\"/>", Syntax),
        ("<D colour=\"red\"/>", Syntax),
        ("<Nonsense/>", UnknownName),
        ("<TTLV type=\"Integer\" value=\"1\"/>", UnknownName),
        ("<D value=\"1\"/>", BadValue(ItemType::Structure)),
        ("<D type=\"Integer\" value=\"1\"><D/></D>", BadValue(ItemType::Integer)),
        (&many, TooMany),
    ];
    for (text, expected) in table {
        assert_eq!(kind(Encoding::Xml, text), expected, "{text}");
    }
    assert_eq!(kind(Encoding::Xml, "<D><D><D><D/></D></D></D>"), TooDeep);
    assert_eq!(kind(Encoding::Xml, &"<D>".repeat(500)), TooDeep);
    assert_eq!(kind(Encoding::Xml, "<D type=\"TextString\" value=\"01234567890\"/>"), TextTooLong(11));
    assert_eq!(kind(Encoding::Xml, &" ".repeat(5000)), TooLong(5000));
    let attributes: String = (0..20).map(|at| format!(" xmlns:n{at}=\"u\"")).collect();
    assert_eq!(kind(Encoding::Xml, &format!("<D{attributes}/>")), TooMany);
    let latin = text::to_ttlv(Encoding::Xml, b"<D type='TextString' value='\xE9'/>", &Limits::default());
    assert_eq!(latin.map_err(|refused| refused.error.kind).err(), Some(BadUtf8));
}

#[test]
fn an_error_says_where_and_for_which_version() {
    let text = "<RequestMessage><RequestHeader><ProtocolVersion><ProtocolVersionMajor type=\"Integer\" value=\"1\"/>\
                <ProtocolVersionMinor type=\"Integer\" value=\"2\"/></ProtocolVersion><BatchCount type=\"Integer\" value=\"x\"/>\
                </RequestHeader></RequestMessage>";
    let refused = text::to_ttlv(Encoding::Xml, text.as_bytes(), &Limits::default()).expect_err("x is no number");
    assert_eq!(refused.version, Some(V1_2));
    assert_eq!(refused.error.path, [Tag::REQUEST_MESSAGE, Tag::REQUEST_HEADER, Tag::BATCH_COUNT]);
    assert_eq!(text.get(refused.error.offset..refused.error.offset + 10), Some("BatchCount"));

    let cut = text.split("<BatchCount").next().expect("a part");
    let refused = text::to_ttlv(Encoding::Xml, cut.as_bytes(), &Limits::default()).expect_err("it is cut");
    assert_eq!((refused.version, refused.error.path.len()), (Some(V1_2), 2));

    let json = into(
        Encoding::Json,
        &RequestMessage {
            header: RequestHeader::new(V2_1),
            items: vec![RequestItem::new(
                Operation::PING,
                Item::new(Tag::REQUEST_PAYLOAD, Value::Structure(Default::default())),
            )],
        }
        .encode()
        .expect("short"),
    );
    let bad = json.replace("\"Ping\"", "\"Pong\"");
    let refused = text::to_ttlv(Encoding::Json, bad.as_bytes(), &Limits::default()).expect_err("there is no Pong");
    assert_eq!((refused.error.kind, refused.version), (UnknownName, Some(V2_1)));
    assert_eq!(refused.error.path, [Tag::REQUEST_MESSAGE, Tag::BATCH_ITEM, Tag::OPERATION]);
    let cut = json.get(..json.len() - 3).expect("ASCII");
    let refused = text::to_ttlv(Encoding::Json, cut.as_bytes(), &Limits::default()).expect_err("it is cut");
    assert_eq!((refused.error.kind, refused.version), (Syntax, Some(V2_1)));
}

#[test]
fn a_control_character_cannot_be_written_in_xml() {
    let item = Item::new(Tag::COMMENT, Value::TextString("\u{1}".into()));
    assert_eq!(text::write(Encoding::Xml, &item).err(), Some(EncodeError::NotInXml));
    let json = text::write(Encoding::Json, &item).expect("JSON has escapes");
    let bytes = text::to_ttlv(Encoding::Json, &json, &Limits::default()).expect("our own");
    assert_eq!(ttlv::parse(&bytes, &Limits::default()).as_ref(), Ok(&item));
}
