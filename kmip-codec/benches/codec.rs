//! How long messages take, per message and per byte, and how often decoding them asks for memory.
//!
//! `cargo bench -p kmip-codec --bench codec`; criterion prints nanoseconds and, since the throughput is known, GiB/s.

#[expect(dead_code, reason = "the tests measure the peak as well")]
#[path = "../tests/counting/mod.rs"]
mod counting;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kmip_codec::attribute::{AttributeValue, Attributes, Name};
use kmip_codec::codec::DateTime;
use kmip_codec::limits::Limits;
use kmip_codec::message::{RequestHeader, RequestItem, RequestMessage, ResponseHeader, ResponseItem, ResponseMessage};
use kmip_codec::object::{KeyBlock, KeyValue, ManagedObject, SymmetricKey};
use kmip_codec::payload::{CreateRequest, GetRequest, GetResponse, Request, Response};
use kmip_codec::spec::enums::{CryptographicAlgorithm, KeyFormatType, ObjectType, Operation};
use kmip_codec::spec::masks::CryptographicUsageMask;
use kmip_codec::version::{V1_2, V2_1};
use kmip_codec::{ProtocolVersion, Tag, ttlv};

fn create_request(version: ProtocolVersion) -> RequestMessage<Request> {
    let mask = CryptographicUsageMask::ENCRYPT | CryptographicUsageMask::DECRYPT;
    let attributes = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::AES.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256))
        .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(mask.bits()))
        .with(Tag::NAME, AttributeValue::Name(Name::text("backup key of the third rack")));
    let create = CreateRequest { object_type: ObjectType::SYMMETRIC_KEY, attributes, protection_storage_masks: None };
    RequestMessage {
        header: RequestHeader::new(version),
        items: vec![RequestItem::new(Operation::CREATE, create.into())],
    }
}

fn get_response(version: ProtocolVersion) -> ResponseMessage<Response> {
    let key_block = KeyBlock {
        key_format_type: KeyFormatType::RAW,
        key_compression_type: None,
        key_value: Some(KeyValue::bytes(vec![0x5A; 32])),
        cryptographic_algorithm: Some(CryptographicAlgorithm::AES),
        cryptographic_length: Some(256),
        key_wrapping_data: None,
    };
    let get = GetResponse {
        object_type: ObjectType::SYMMETRIC_KEY,
        unique_identifier: "5a0a0f6c-6a59-4f6a-9a51-4c2e0d0f2a11".into(),
        object: ManagedObject::SymmetricKey(SymmetricKey { key_block }),
    };
    ResponseMessage {
        header: ResponseHeader::new(version, DateTime(1_700_000_000)),
        items: vec![ResponseItem::success(Operation::GET, get.into())],
    }
}

fn get_request(version: ProtocolVersion) -> RequestMessage<Request> {
    let unique_identifier = Some("5a0a0f6c-6a59-4f6a-9a51-4c2e0d0f2a11".into());
    let get = GetRequest { unique_identifier, ..GetRequest::default() };
    RequestMessage { header: RequestHeader::new(version), items: vec![RequestItem::new(Operation::GET, get.into())] }
}

/// Reads a request down to its typed payload.
fn decode_request(bytes: &[u8], version: ProtocolVersion, limits: &Limits) -> Option<Request> {
    let message = RequestMessage::decode(bytes, limits).ok()?;
    let item = message.items.first()?;
    Request::decode(item.operation, version, &item.payload).ok()
}

/// Reads a response down to its typed payload.
fn decode_response(bytes: &[u8], version: ProtocolVersion, limits: &Limits) -> Option<Response> {
    let message = ResponseMessage::decode(bytes, limits).ok()?;
    let item = message.items.first()?;
    Response::decode(item.operation?, version, item.payload.as_ref()?).ok()
}

fn walk(item: &ttlv::Item<'_>) -> usize {
    1 + item.children().map(|child| walk(&child)).sum::<usize>()
}

/// A Get from end to end: request and response, each written and read.
fn get(criterion: &mut Criterion) {
    let limits = Limits::default();
    for version in [V1_2, V2_1] {
        let (request, response) = (get_request(version), get_response(version));
        let (asked, answered) = (request.encode().expect("short"), response.encode().expect("short"));
        for (what, bytes) in [("request", &asked), ("response", &answered)] {
            let (_, items) = counting::count(|| ttlv::parse(bytes, &limits).map(|item| walk(&item)));
            let (_, typed) = counting::count(|| match what {
                "request" => decode_request(bytes, version, &limits).is_some(),
                _ => decode_response(bytes, version, &limits).is_some(),
            });
            println!("Get {what} {version}: {items} allocations for its items, {typed} for the typed message");
        }
        criterion.bench_function(&format!("get {version}/request and response, encode and decode"), |bencher| {
            bencher.iter(|| {
                let asked = black_box(&request).encode().expect("short");
                let request = decode_request(&asked, version, &limits);
                let answered = black_box(&response).encode().expect("short");
                (request, decode_response(&answered, version, &limits))
            });
        });
        criterion.bench_function(&format!("get {version}/the server's part"), |bencher| {
            bencher.iter(|| (decode_request(black_box(&asked), version, &limits), black_box(&response).encode()));
        });
    }
}

fn codec(criterion: &mut Criterion) {
    let limits = Limits::default();
    for version in [V1_2, V2_1] {
        let create = create_request(version);
        let bytes = create.encode().expect("short");
        let mut group = criterion.benchmark_group(format!("create request {version}"));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("encode", |bencher| bencher.iter(|| black_box(&create).encode()));
        group.bench_function("items", |bencher| {
            bencher.iter(|| ttlv::parse(black_box(&bytes), &limits).map(|item| walk(&item)));
        });
        group.bench_function("decode", |bencher| {
            bencher.iter(|| {
                let message = RequestMessage::decode(black_box(&bytes), &limits).expect("our own");
                message
                    .items
                    .iter()
                    .map(|item| Request::decode(item.operation, version, &item.payload))
                    .collect::<Vec<_>>()
            });
        });
        group.finish();

        let get = get_response(version);
        let bytes = get.encode().expect("short");
        let mut group = criterion.benchmark_group(format!("get response {version}"));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("encode", |bencher| bencher.iter(|| black_box(&get).encode()));
        group.bench_function("items", |bencher| {
            bencher.iter(|| ttlv::parse(black_box(&bytes), &limits).map(|item| walk(&item)));
        });
        group.bench_function("decode", |bencher| {
            bencher.iter(|| {
                let message = ResponseMessage::decode(black_box(&bytes), &limits).expect("our own");
                let item = message.items.first().expect("one item");
                item.payload.as_ref().map(|payload| Response::decode(Operation::GET, version, payload))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, get, codec);
criterion_main!(benches);
