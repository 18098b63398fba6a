//! How often decoding asks for memory: not at all for items, and a small known number of times for typed messages.

mod counting;

use kmip_codec::codec::DateTime;
use kmip_codec::limits::Limits;
use kmip_codec::message::{RequestHeader, RequestItem, RequestMessage, ResponseHeader, ResponseItem, ResponseMessage};
use kmip_codec::object::{KeyBlock, KeyValue, ManagedObject, OpaqueObject, SymmetricKey};
use kmip_codec::payload::{GetRequest, GetResponse, RegisterRequest, Request, Response};
use kmip_codec::spec::enums::{CryptographicAlgorithm, KeyFormatType, ObjectType, OpaqueDataType, Operation};
use kmip_codec::ttlv::{self, Item};
use kmip_codec::version::{SUPPORTED, V2_1};

use counting::{count, peak};

const ID: &str = "5a0a0f6c-6a59-4f6a-9a51-4c2e0d0f2a11";

fn walk(item: &Item<'_>) -> usize {
    1 + item.children().map(|child| walk(&child)).sum::<usize>()
}

#[test]
fn decoding_items_allocates_nothing_and_typed_messages_little() {
    for version in SUPPORTED {
        let get = GetRequest { unique_identifier: Some(ID.into()), ..GetRequest::default() };
        let request = RequestMessage {
            header: RequestHeader::new(version),
            items: vec![RequestItem::new(Operation::GET, Request::from(get))],
        };
        let request = request.encode().expect("short");
        let key_block = KeyBlock {
            key_format_type: KeyFormatType::RAW,
            key_compression_type: None,
            key_value: Some(KeyValue::bytes(vec![0x5A; 32])),
            cryptographic_algorithm: Some(CryptographicAlgorithm::AES),
            cryptographic_length: Some(256),
            key_wrapping_data: None,
        };
        let got = GetResponse {
            object_type: ObjectType::SYMMETRIC_KEY,
            unique_identifier: ID.into(),
            object: ManagedObject::SymmetricKey(SymmetricKey { key_block }),
        };
        let response = ResponseMessage {
            header: ResponseHeader::new(version, DateTime(0)),
            items: vec![ResponseItem::success(Operation::GET, Response::from(got))],
        };
        let response = response.encode().expect("short");
        let limits = Limits::default();
        for bytes in [&request, &response] {
            let (items, allocations) = count(|| walk(&ttlv::parse(bytes, &limits).expect("our own")));
            assert!(items > 8, "{items}");
            assert_eq!(allocations, 0, "{version}: items");
        }
        // The list of batch items, the payload, the identifier; in the answer the key as well.
        let (_, allocations) = count(|| {
            let message = RequestMessage::decode(&request, &limits).expect("our own");
            message.items.iter().map(|item| Request::decode(Operation::GET, version, &item.payload)).next()
        });
        assert!(allocations <= 3, "{version}: {allocations} for a request");
        let (_, allocations) = count(|| {
            let message = ResponseMessage::decode(&response, &limits).expect("our own");
            let payload = message.items.into_iter().next().and_then(|item| item.payload).expect("a success");
            Response::decode(Operation::GET, version, &payload)
        });
        assert!(allocations <= 4, "{version}: {allocations} for an answer");
    }
}

#[test]
fn a_message_of_16_mib_takes_less_than_twice_its_size_more() {
    let opaque = OpaqueObject {
        opaque_data_type: OpaqueDataType::from_number(0x8000_0001),
        opaque_data_value: vec![7; (16 << 20) - 1024].into(),
    };
    let register = RegisterRequest {
        object_type: ObjectType::OPAQUE_OBJECT,
        attributes: Default::default(),
        object: Some(ManagedObject::OpaqueObject(opaque)),
        protection_storage_masks: None,
    };
    let message = RequestMessage {
        header: RequestHeader::new(V2_1),
        items: vec![RequestItem::new(Operation::REGISTER, Request::from(register))],
    };
    let bytes = message.encode().expect("under 4 GiB");
    drop(message);
    let (_, above) = peak(|| {
        let message = RequestMessage::decode(&bytes, &Limits::default()).expect("our own");
        message.items.iter().map(|item| Request::decode(Operation::REGISTER, V2_1, &item.payload)).next()
    });
    assert!(above < 2 * bytes.len(), "{above} bytes beside a message of {}", bytes.len());

    // The worst that fits: as many items as the limit allows.
    let mut writer = ttlv::Writer::new(V2_1);
    writer.structure(kmip_codec::Tag::REQUEST_MESSAGE, |writer| {
        (0..(1 << 18) - 1).for_each(|at| writer.integer(kmip_codec::Tag::D, at));
    });
    let bytes = writer.finish().expect("short");
    let (items, above) = peak(|| walk(&ttlv::parse(&bytes, &Limits::default()).expect("within the limits")));
    assert_eq!((items, above), (1 << 18, 0));
}
