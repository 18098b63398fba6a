//! What is written can be read, for every row of every table in every version that has it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use kmip_codec::attribute::{Attribute, Attributes};
use kmip_codec::codec::Codec;
use kmip_codec::fuzzing::{self, Sample, Seeds};
use kmip_codec::limits::Limits;
use kmip_codec::message::{
    Payload, RequestHeader, RequestItem, RequestMessage, ResponseHeader, ResponseItem, ResponseMessage,
};
use kmip_codec::payload::{PAYLOADS, Request, Response};
use kmip_codec::spec::attributes::ATTRIBUTES;
use kmip_codec::spec::enums::{ENUMERATIONS, Operation};
use kmip_codec::spec::operations;
use kmip_codec::ttlv::{self, Context, Item, Writer};
use kmip_codec::version::{SUPPORTED, V3_0};
use kmip_codec::{ProtocolVersion, Tag};

/// Writes a payload and gives the item to `read`.
fn written<T>(payload: &impl Payload, version: ProtocolVersion, read: impl FnOnce(&Item<'_>) -> T) -> T {
    let mut writer = Writer::new(version);
    payload.encode_payload(Tag::REQUEST_PAYLOAD, &mut writer);
    let bytes = writer.finish().expect("short");
    read(&ttlv::parse(&bytes, &Limits::default()).expect("our own encoding"))
}

fn tags_of(item: &Item<'_>) -> BTreeSet<u32> {
    item.children().map(|child| child.tag.number()).collect()
}

#[test]
fn every_field_of_every_payload_in_every_version() {
    for row in PAYLOADS {
        for version in SUPPORTED.into_iter().filter(|version| operations::exists(row.operation, *version)) {
            let mut seeds = Seeds::new(u64::from(row.operation.number()));
            let (mut requests, mut responses) = (BTreeSet::new(), BTreeSet::new());
            for _ in 0..60 {
                let request = Request::sample(row.operation, &mut seeds, version).expect("the version has it");
                written(&request, version, |item| {
                    requests.extend(tags_of(item));
                    assert_eq!(Request::decode(row.operation, version, item).as_ref(), Ok(&request), "{version}");
                });
                let response = Response::sample(row.operation, &mut seeds, version).expect("the version has it");
                written(&response, version, |item| {
                    responses.extend(tags_of(item));
                    assert_eq!(Response::decode(row.operation, version, item).as_ref(), Ok(&response), "{version}");
                });
            }
            for (fields, seen) in [(row.request, requests), (row.response, responses)] {
                for field in fields.iter().filter(|field| field.versions.contains(version)) {
                    let tag = field.tag.expect("rows have tags");
                    assert!(seen.contains(&tag.number()), "{} {version}: {} never written", row.operation, field.field);
                }
            }
        }
    }
}

#[test]
fn every_attribute_in_every_version() {
    let mut seeds = Seeds::new(1);
    for row in ATTRIBUTES {
        for version in row.versions.versions() {
            for _ in 0..20 {
                let attribute = fuzzing::attribute_of_row(row, &mut seeds, version);
                let set: Attributes = [attribute].into_iter().collect();
                let mut writer = Writer::new(version);
                set.encode(Tag::ATTRIBUTES, &mut writer);
                let bytes = writer.finish().expect("short");
                let item = ttlv::parse(&bytes, &Limits::default()).expect("our own encoding");
                assert!(item.children().next().is_some(), "{} {version} was left out", row.name);
                let context = Context::new(version).expect("supported");
                assert_eq!(Attributes::decode(&item, context).as_ref(), Ok(&set), "{} {version}", row.name);
            }
        }
    }
}

#[test]
fn attributes_a_version_lacks_are_left_out() {
    let mut seeds = Seeds::new(2);
    for row in ATTRIBUTES {
        for from in row.versions.versions() {
            let attribute = fuzzing::attribute_of_row(row, &mut seeds, from);
            for to in SUPPORTED {
                let mut set: Attributes = [attribute.clone()].into_iter().collect();
                let has_kind = attribute.kind.is_defined(to) || attribute.tag(to).is_some();
                let is_written = encoded(&set, to, |item| item.children().next().is_some());
                assert_eq!(is_written, has_kind, "{} of {from} for {to}", row.name);

                set.retain_defined(to);
                let context = Context::new(to).expect("supported");
                let again = encoded(&set, to, |item| Attributes::decode(item, context));
                let again = again.unwrap_or_else(|error| panic!("{} of {from} for {to}: {error}", row.name));
                assert_eq!(again.items.len(), set.items.len(), "{} of {from} for {to}", row.name);
                assert!(
                    again.items.iter().all(|attribute| attribute.is_defined(to)),
                    "{} of {from} for {to}",
                    row.name
                );
            }
        }
    }
}

/// Shows `read` what a client of `version` gets of the attributes.
fn encoded<T>(set: &Attributes, version: ProtocolVersion, read: impl FnOnce(&Item<'_>) -> T) -> T {
    let mut writer = Writer::new(version);
    set.encode(Tag::ATTRIBUTES, &mut writer);
    let bytes = writer.finish().expect("short");
    read(&ttlv::parse(&bytes, &Limits::default()).expect("our own encoding"))
}

#[test]
fn every_enumeration_value_keeps_its_name_and_number() {
    for table in ENUMERATIONS {
        for row in table.rows {
            for version in row.versions.versions() {
                let same = |other: &&kmip_codec::spec::enums::EnumRow| {
                    other.versions.contains(version) && other.name == row.name
                };
                assert_eq!(table.rows.iter().filter(same).count(), 1, "{} {} {version}", table.name, row.name);
            }
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
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_survive((operation, version) in operation_and_version(), seed: u64) {
        let mut seeds = Seeds::new(seed);
        let payload = Request::sample(operation, &mut seeds, version).expect("the version has it");
        let mut item = RequestItem::new(operation, payload);
        item.id = (version < V3_0).then(|| seeds.bytes());
        item.extensions = vec![Sample::sample(&mut seeds, version)];
        let message = RequestMessage { header: RequestHeader::sample(&mut seeds, version), items: vec![item] };
        let bytes = message.encode().expect("short");
        let again = RequestMessage::decode(&bytes, &Limits::default()).expect("our own encoding");
        prop_assert_eq!(&again.header, &message.header);
        let (first, second) = (&message.items[0], &again.items[0]);
        prop_assert_eq!(&second.id, &first.id);
        prop_assert_eq!(&second.extensions, &first.extensions);
        let payload = Request::decode(second.operation, version, &second.payload);
        prop_assert_eq!(payload.as_ref(), Ok(&first.payload));
    }

    #[test]
    fn responses_survive((operation, version) in operation_and_version(), seed: u64) {
        let mut seeds = Seeds::new(seed);
        let payload = Response::sample(operation, &mut seeds, version).expect("the version has it");
        let message = ResponseMessage {
            header: ResponseHeader::sample(&mut seeds, version),
            items: vec![ResponseItem::success(operation, payload)],
        };
        let bytes = message.encode().expect("short");
        let again = ResponseMessage::decode(&bytes, &Limits::default()).expect("our own encoding");
        prop_assert_eq!(&again.header, &message.header);
        let payload = again.items[0].payload.as_ref().expect("a success has one");
        let payload = Response::decode(operation, version, payload);
        prop_assert_eq!(payload.as_ref().ok(), message.items[0].payload.as_ref());
    }

    #[test]
    fn fields_in_any_order_mean_the_same((operation, version) in operation_and_version(), seed: u64) {
        let mut seeds = Seeds::new(seed);
        let request = Request::sample(operation, &mut seeds, version).expect("the version has it");
        written(&request, version, |item| {
            let mut children = item.children().collect::<Vec<_>>();
            // Equal tags keep their order, all others are sorted backwards.
            children.sort_by_key(|child| std::cmp::Reverse(child.tag));
            let turned = Item::new(item.tag, ttlv::Value::Structure(children.into()));
            assert_eq!(Request::decode(operation, version, &turned), Request::decode(operation, version, item));
        });
    }

    #[test]
    fn a_single_attribute_survives(version in 0..SUPPORTED.len(), seed: u64) {
        let version = SUPPORTED[version];
        let attribute = Attribute::sample(&mut Seeds::new(seed), version);
        let mut writer = Writer::new(version);
        attribute.encode(Tag::NEW_ATTRIBUTE, &mut writer);
        let bytes = writer.finish().expect("short");
        let item = ttlv::parse(&bytes, &Limits::default()).expect("our own encoding");
        let again = Attribute::decode(&item, Context::new(version).expect("supported"));
        prop_assert_eq!(again.as_ref(), Ok(&attribute));
    }
}
