//! What KMIP 1.3 adds, what 1.2 sees of it, and what 1.3 does not see of 1.4: no published case is of this version.

use kmip_codec::{
    Limits, ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{Attribute, AttributeKind, AttributeValue, Attributes, CryptographicParameters, Link},
    message::{RequestHeader, RequestItem, RequestMessage},
    payload::{
        AddAttributeRequest, Data, GetAttributeListRequest, GetAttributesRequest, GetRequest, HashRequest,
        LocateRequest, QueryRequest, QueryResponse, Request, Response,
    },
    spec::enums::{
        CryptographicAlgorithm, HashingAlgorithm, KeyFormatType, LinkType, ObjectType, Operation, QueryFunction,
        ResultReason as R,
    },
    ttlv::{self, Children, Item, Value, Writer},
    version::{V1_2, V1_3, V1_4},
};

use crate::support::{Answer, Gateway, create, reason};

fn structure(tag: Tag, fields: Vec<Item<'static>>) -> Item<'static> {
    Item::new(tag, Value::Structure(Children::from(fields)))
}

fn text(tag: Tag, value: &str) -> Item<'static> {
    Item::new(tag, Value::TextString(value.to_owned().into()))
}

fn identifier(id: &UniqueIdentifier) -> Item<'static> {
    text(Tag::UNIQUE_IDENTIFIER, id.as_text().unwrap())
}

fn attribute(name: &str, value: Value<'static>) -> Item<'static> {
    structure(Tag::ATTRIBUTE, vec![text(Tag::ATTRIBUTE_NAME, name), Item::new(Tag::ATTRIBUTE_VALUE, value)])
}

/// Sends a payload that its version may not know.
async fn raw(gateway: &Gateway, version: ProtocolVersion, operation: Operation, fields: Vec<Item<'static>>) -> Answer {
    let items = vec![RequestItem::new(operation, structure(Tag::REQUEST_PAYLOAD, fields))];
    let message = RequestMessage { header: RequestHeader::new(version), items };
    gateway.raw_items(&message.encode().unwrap()).await.1.remove(0)
}

async fn query(gateway: &Gateway, version: ProtocolVersion, function: QueryFunction) -> Result<QueryResponse, R> {
    let request = QueryRequest { query_functions: vec![function], ..QueryRequest::default() };
    let answer = gateway.one(version, Operation::QUERY, request.into()).await;
    match answer.payload {
        Some(Response::Query(told)) => Ok(*told),
        _ => Err(reason(&answer)),
    }
}

async fn attributes(gateway: &Gateway, version: ProtocolVersion, id: &UniqueIdentifier) -> Attributes {
    let request = GetAttributesRequest { unique_identifier: Some(id.clone()), attribute_references: Vec::new() };
    match gateway.one(version, Operation::GET_ATTRIBUTES, request.into()).await.payload {
        Some(Response::GetAttributes(found)) => found.attributes.0,
        other => panic!("{other:?}"),
    }
}

/// Attributes that 1.4 added.
fn later_attributes() -> Vec<(&'static str, Tag, Value<'static>)> {
    let word = || Value::TextString("word".into());
    vec![
        ("Sensitive", Tag::SENSITIVE, Value::Boolean(true)),
        ("Extractable", Tag::EXTRACTABLE, Value::Boolean(true)),
        ("Always Sensitive", Tag::ALWAYS_SENSITIVE, Value::Boolean(true)),
        ("Never Extractable", Tag::NEVER_EXTRACTABLE, Value::Boolean(true)),
        ("Comment", Tag::COMMENT, word()),
        ("Description", Tag::DESCRIPTION, word()),
        ("PKCS#12 Friendly Name", Tag::PKCS_12_FRIENDLY_NAME, word()),
        ("Certificate Subject CN", Tag::CERTIFICATE_SUBJECT_CN, word()),
    ]
}

#[tokio::test]
async fn five_query_functions_came_with_1_3_and_those_of_2_0_are_not_there() {
    let gateway = Gateway::start();
    for function in [
        QueryFunction::QUERY_RNGS,
        QueryFunction::QUERY_VALIDATIONS,
        QueryFunction::QUERY_PROFILES,
        QueryFunction::QUERY_CAPABILITIES,
        QueryFunction::QUERY_CLIENT_REGISTRATION_METHODS,
    ] {
        assert!(query(&gateway, V1_3, function).await.is_ok(), "{function}");
        assert_eq!(query(&gateway, V1_2, function).await.err(), Some(R::INVALID_FIELD), "{function}");
    }
    for number in [0xD, 0xE, 0xF] {
        let function = QueryFunction::from_number(number);
        assert_eq!(query(&gateway, V1_3, function).await.err(), Some(R::INVALID_FIELD), "{function}");
    }
}

#[tokio::test]
async fn what_query_tells_a_client_of_1_3_is_of_1_3() {
    let gateway = Gateway::start();
    let profiles = query(&gateway, V1_3, QueryFunction::QUERY_PROFILES).await.unwrap().profile_information;
    assert!(!profiles.is_empty());
    for profile in &profiles {
        let name = profile.profile_name.name(V1_3).expect("a profile of this version");
        assert!(name.ends_with("1_3") || !name.ends_with("1_4"), "{name}");
        assert_eq!(profile.profile_version, None);
    }
    let told = query(&gateway, V1_3, QueryFunction::QUERY_CAPABILITIES).await.unwrap();
    let [capability] = told.capability_information.as_slice() else { panic!("{told:?}") };
    assert_eq!(capability.streaming_capability, Some(true));
    // Batch Undo and Batch Continue are 1.4's.
    assert_eq!((capability.batch_undo_capability, capability.batch_continue_capability), (None, None));
    let operations = query(&gateway, V1_3, QueryFunction::QUERY_OPERATIONS).await.unwrap().operations;
    assert!(operations.iter().all(|operation| operation.is_defined(V1_3)), "{operations:?}");
    assert!(operations.contains(&Operation::HASH) && !operations.contains(&Operation::EXPORT));
    // Templates are deprecated in 1.3, not gone.
    let objects = query(&gateway, V1_3, QueryFunction::QUERY_OBJECTS).await.unwrap().object_types;
    assert!(objects.contains(&ObjectType::TEMPLATE) && objects.iter().all(|it| it.is_defined(V1_3)), "{objects:?}");
}

#[tokio::test]
async fn operations_of_1_4_are_not_offered() {
    let gateway = Gateway::start();
    for operation in [Operation::IMPORT, Operation::EXPORT] {
        let answer = raw(&gateway, V1_3, operation, Vec::new()).await;
        assert_eq!(reason(&answer), R::OPERATION_NOT_SUPPORTED, "{operation}");
    }
}

#[tokio::test]
async fn locate_pages_from_1_3_on() {
    let gateway = Gateway::start();
    for _ in 0..5 {
        gateway.aes(V1_3, "", Attributes::default()).await;
    }
    let mut seen = Vec::new();
    for (offset, expected) in [(0, 2), (2, 2), (4, 1), (5, 0), (100, 0)] {
        let page = LocateRequest { maximum_items: Some(2), offset_items: Some(offset), ..LocateRequest::default() };
        let answer = gateway.one(V1_3, Operation::LOCATE, page.into()).await;
        let Some(Response::Locate(found)) = answer.payload else { panic!("{:?}", answer.reason) };
        assert_eq!((found.unique_identifiers.len(), found.located_items), (expected, Some(5)), "{offset}");
        seen.extend(found.unique_identifiers.iter().map(|id| id.as_text().unwrap().to_owned()));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5, "no page repeats another");

    let offset = vec![Item::new(Tag::OFFSET_ITEMS, Value::Integer(1))];
    assert_eq!(reason(&raw(&gateway, V1_2, Operation::LOCATE, offset).await), R::INVALID_FIELD);
    let answer = gateway.one(V1_2, Operation::LOCATE, LocateRequest::default().into()).await;
    let Some(Response::Locate(found)) = answer.payload else { panic!("{:?}", answer.reason) };
    assert_eq!((found.unique_identifiers.len(), found.located_items), (5, None));
}

#[tokio::test]
async fn the_generator_of_a_key_is_seen_from_1_3_on() {
    let gateway = Gateway::start();
    let id = gateway.aes(V1_3, "", Attributes::default()).await;
    assert!(attributes(&gateway, V1_3, &id).await.get(Tag::RANDOM_NUMBER_GENERATOR).is_some());
    assert!(attributes(&gateway, V1_2, &id).await.get(Tag::RANDOM_NUMBER_GENERATOR).is_none());
}

#[tokio::test]
async fn parts_of_an_operation_came_with_1_3() {
    let gateway = Gateway::start();
    let id = gateway.aes(V1_3, "", Attributes::default()).await;
    for (operation, tag, value) in [
        (Operation::ENCRYPT, Tag::INIT_INDICATOR, Value::Boolean(true)),
        (Operation::DECRYPT, Tag::FINAL_INDICATOR, Value::Boolean(true)),
        (Operation::MAC, Tag::CORRELATION_VALUE, Value::ByteString(vec![1].into())),
    ] {
        let fields = vec![identifier(&id), Item::new(tag, value)];
        assert_eq!(reason(&raw(&gateway, V1_2, operation, fields).await), R::INVALID_FIELD, "{operation} {tag}");
    }
    let hash = |data: &str, value: Option<Vec<u8>>, last: bool| HashRequest {
        cryptographic_parameters: with_hash(HashingAlgorithm::SHA_256),
        data: Some(Data::from(data.as_bytes().to_vec())),
        init_indicator: value.is_none().then_some(true),
        final_indicator: last.then_some(true),
        correlation_value: value,
    };
    let ask = |request: HashRequest| gateway.one(V1_3, Operation::HASH, request.into());
    let Some(Response::Hash(first)) = ask(hash("one", None, false)).await.payload else { panic!("refused") };
    let value = first.correlation_value.expect("more may come");
    let Some(Response::Hash(last)) = ask(hash("two", Some(value.clone()), true)).await.payload else {
        panic!("refused")
    };
    let whole = HashRequest { init_indicator: None, ..hash("onetwo", None, false) };
    let Some(Response::Hash(whole)) = ask(whole).await.payload else { panic!("refused") };
    assert_eq!((last.data, last.correlation_value), (whole.data, None));
    let again = ask(hash("three", Some(value), true)).await;
    assert_eq!(reason(&again), R::INVALID_FIELD, "what has ended is unknown");
}

fn with_hash(hash: HashingAlgorithm) -> CryptographicParameters {
    CryptographicParameters { hashing_algorithm: Some(hash), ..CryptographicParameters::default() }
}

#[tokio::test]
async fn attributes_of_1_4_are_neither_taken_nor_shown_nor_found() {
    let gateway = Gateway::start();
    let id = gateway.aes(V1_4, "", Attributes::default()).await;
    let seen = attributes(&gateway, V1_3, &id).await;
    let list = GetAttributeListRequest { unique_identifier: Some(id.clone()) };
    let list = gateway.one(V1_3, Operation::GET_ATTRIBUTE_LIST, list.into()).await.payload;
    let Some(Response::GetAttributeList(list)) = list else { panic!("refused") };
    for (name, tag, value) in later_attributes() {
        assert_eq!(seen.get(tag), None, "{name}");
        assert!(!list.attribute_references.contains(&AttributeKind::from(tag)), "{name}");
        let template = vec![
            attribute("Cryptographic Algorithm", Value::Enumeration(CryptographicAlgorithm::AES.number())),
            attribute("Cryptographic Length", Value::Integer(128)),
            attribute("Cryptographic Usage Mask", Value::Integer(12)),
            attribute(name, value.clone()),
        ];
        let create = vec![
            Item::new(Tag::OBJECT_TYPE, Value::Enumeration(ObjectType::SYMMETRIC_KEY.number())),
            structure(Tag::TEMPLATE_ATTRIBUTE, template),
        ];
        for (operation, fields) in [
            (Operation::ADD_ATTRIBUTE, vec![identifier(&id), attribute(name, value.clone())]),
            (Operation::LOCATE, vec![attribute(name, value)]),
            (Operation::CREATE, create),
        ] {
            let answer = raw(&gateway, V1_3, operation, fields).await;
            assert_eq!(reason(&answer), R::INVALID_FIELD, "{operation} {name}");
        }
        // A name that the version does not have is no attribute of the object.
        let ask = vec![identifier(&id), text(Tag::ATTRIBUTE_NAME, name)];
        let answer = raw(&gateway, V1_3, Operation::GET_ATTRIBUTES, ask).await;
        let Some(Response::GetAttributes(found)) = answer.payload else { panic!("{name}: {:?}", answer.reason) };
        assert!(found.attributes.0.items.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn fields_of_1_4_are_unknown() {
    let gateway = Gateway::start();
    let id = gateway.aes(V1_4, "", Attributes::default()).await;
    let bytes = || Value::ByteString(vec![1; 16].into());
    let parameter = |tag, value| structure(Tag::CRYPTOGRAPHIC_PARAMETERS, vec![Item::new(tag, value)]);
    for (operation, field) in [
        (Operation::GET, Item::new(Tag::KEY_WRAP_TYPE, Value::Enumeration(1))),
        (Operation::ENCRYPT, Item::new(Tag::AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, bytes())),
        (Operation::DECRYPT, Item::new(Tag::AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, bytes())),
        (Operation::DECRYPT, Item::new(Tag::AUTHENTICATED_ENCRYPTION_TAG, bytes())),
        (Operation::SIGN, Item::new(Tag::DIGESTED_DATA, bytes())),
        (Operation::SIGNATURE_VERIFY, Item::new(Tag::DIGESTED_DATA, bytes())),
        (Operation::SIGN, parameter(Tag::SALT_LENGTH, Value::Integer(32))),
        (Operation::ENCRYPT, parameter(Tag::MASK_GENERATOR, Value::Enumeration(1))),
        (Operation::ENCRYPT, parameter(Tag::P_SOURCE, bytes())),
    ] {
        let what = format!("{operation} {field:?}");
        let answer = raw(&gateway, V1_3, operation, vec![identifier(&id), field]).await;
        assert_eq!(reason(&answer), R::INVALID_FIELD, "{what}");
    }
}

/// A request whose header says more than its version has.
fn with_client_correlation(version: ProtocolVersion) -> Vec<u8> {
    let mut writer = Writer::new(version);
    writer.structure(Tag::REQUEST_MESSAGE, |writer| {
        writer.structure(Tag::REQUEST_HEADER, |writer| {
            writer.structure(Tag::PROTOCOL_VERSION, |writer| {
                writer.integer(Tag::PROTOCOL_VERSION_MAJOR, version.major);
                writer.integer(Tag::PROTOCOL_VERSION_MINOR, version.minor);
            });
            writer.text_string(Tag::CLIENT_CORRELATION_VALUE, "mine");
            writer.integer(Tag::BATCH_COUNT, 1);
        });
        writer.structure(Tag::BATCH_ITEM, |writer| {
            writer.enumeration(Tag::OPERATION, Operation::DISCOVER_VERSIONS.number());
            writer.structure(Tag::REQUEST_PAYLOAD, |_| ());
        });
    });
    writer.finish().unwrap().to_vec()
}

#[tokio::test]
async fn correlation_of_messages_came_with_1_4() {
    let gateway = Gateway::start();
    let (_, answers) = gateway.raw_items(&with_client_correlation(V1_3)).await;
    assert_eq!((answers.len(), answers[0].operation, reason(&answers[0])), (1, None, R::INVALID_FIELD));
    for (version, expected) in [(V1_3, false), (V1_4, true)] {
        let items = vec![RequestItem::new(Operation::QUERY, Request::Query(Box::default()))];
        let request = RequestMessage { header: RequestHeader::new(version), items };
        let bytes = gateway.raw(&request.encode().unwrap()).await;
        let message = ttlv::parse(&bytes, &Limits::default()).unwrap();
        let header = message.child(Tag::RESPONSE_HEADER).unwrap();
        assert_eq!(header.child(Tag::SERVER_CORRELATION_VALUE).is_some(), expected, "{version}");
    }
}

#[tokio::test]
async fn reasons_of_1_4_have_older_names() {
    let gateway = Gateway::start();
    for (tag, value) in [(Tag::SENSITIVE, true), (Tag::EXTRACTABLE, false)] {
        let kept = Attributes::default().with(tag, AttributeValue::Boolean(value));
        let id = gateway.aes(V1_4, "", kept).await;
        let get = GetRequest { unique_identifier: Some(id), ..GetRequest::default() };
        let answer = gateway.one(V1_3, Operation::GET, get.into()).await;
        assert_eq!(reason(&answer), R::PERMISSION_DENIED, "{tag}");
    }
}

/// Every tag, and every enumeration whose tag tells which it is, is of the version.
fn only_of(version: ProtocolVersion, item: &Item<'_>) {
    assert!(item.tag.is_defined(version), "{} in {version}", item.tag);
    if let Value::Enumeration(number) = item.value {
        let known = match item.tag {
            Tag::CRYPTOGRAPHIC_ALGORITHM => CryptographicAlgorithm::from_number(number).is_defined(version),
            Tag::HASHING_ALGORITHM => HashingAlgorithm::from_number(number).is_defined(version),
            Tag::KEY_FORMAT_TYPE => KeyFormatType::from_number(number).is_defined(version),
            Tag::LINK_TYPE => LinkType::from_number(number).is_defined(version),
            Tag::OPERATION => Operation::from_number(number).is_defined(version),
            Tag::RESULT_REASON => R::from_number(number).is_defined(version),
            _ => true,
        };
        assert!(known, "{} {number:#x} in {version}", item.tag);
    }
    item.children().for_each(|child| only_of(version, &child));
}

fn of_algorithm(algorithm: CryptographicAlgorithm) -> Request {
    let Request::Create(mut request) = create("", Attributes::default()) else { unreachable!("it is a Create") };
    for attribute in &mut request.attributes.items {
        if attribute.kind == AttributeKind::from(Tag::CRYPTOGRAPHIC_ALGORITHM) {
            attribute.value = Some(AttributeValue::Enumeration(algorithm.number()));
        }
    }
    Request::Create(request)
}

#[tokio::test]
async fn values_of_1_4_are_not_shown() {
    let gateway = Gateway::start();
    let answer = gateway.one(V1_4, Operation::CREATE, of_algorithm(CryptographicAlgorithm::CHA_CHA20)).await;
    let Some(Response::Create(made)) = answer.payload else { panic!("{:?} {:?}", answer.reason, answer.message) };
    let id = made.unique_identifier;
    let link = AttributeValue::Link(Link { link_type: LinkType::PKCS_12_PASSWORD_LINK, target: id.clone() });
    let add = AddAttributeRequest { unique_identifier: Some(id.clone()), attribute: Attribute::new(Tag::LINK, link) };
    assert_eq!(gateway.one(V1_4, Operation::ADD_ATTRIBUTE, add.into()).await.reason, None);

    for version in [V1_3, V1_2] {
        let get = GetRequest { unique_identifier: Some(id.clone()), ..GetRequest::default() };
        let all = GetAttributesRequest { unique_identifier: Some(id.clone()), attribute_references: Vec::new() };
        for request in [Request::from(get), Request::from(all)] {
            let items = vec![RequestItem::new(request.operation(), request)];
            let message = RequestMessage { header: RequestHeader::new(version), items };
            let bytes = gateway.raw(&message.encode().unwrap()).await;
            only_of(version, &ttlv::parse(&bytes, &Limits::default()).unwrap());
        }
        let seen = attributes(&gateway, version, &id).await;
        assert_eq!((seen.get(Tag::LINK), seen.get(Tag::CRYPTOGRAPHIC_ALGORITHM)), (None, None), "{version}");
        assert!(seen.get(Tag::CRYPTOGRAPHIC_LENGTH).is_some(), "{version}");

        let get = GetRequest {
            unique_identifier: Some(id.clone()),
            key_format_type: Some(KeyFormatType::PKCS_12),
            ..GetRequest::default()
        };
        let answer = gateway.one(version, Operation::GET, get.into()).await;
        assert_eq!(reason(&answer), R::KEY_FORMAT_TYPE_NOT_SUPPORTED, "{version}");
    }
}
