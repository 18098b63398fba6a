//! Keys that come from keys: replaced, derived, split, joined, moved between servers, certified.

use kmip_codec::{
    Tag, UniqueIdentifier,
    attribute::{
        AttributeList, AttributeValue, Attributes, CryptographicParameters, Link, Name, OptionalAttributeList,
        X509CertificateIdentifier,
    },
    codec::{DateTime, Interval},
    object::{
        Certificate, EncryptionKeyInformation, KeyBlock, KeyMaterial, KeyValue, KeyWrappingData, ManagedObject,
        SplitKey, SymmetricKey,
    },
    payload::{
        CertifyRequest, CreateKeyPairRequest, CreateSplitKeyRequest, DerivationParameters, DeriveKeyRequest,
        ExportRequest, GetAttributesRequest, GetRequest, GetUsageAllocationRequest, ImportRequest, JoinSplitKeyRequest,
        LocateRequest, ReCertifyRequest, ReKeyKeyPairRequest, ReKeyRequest, RegisterRequest, Request, Response,
        ValidateRequest,
    },
    spec::enums::{
        BlockCipherMode, CertificateType, CryptographicAlgorithm, DerivationMethod, EncodingOption, HashingAlgorithm,
        KeyFormatType, KeyWrapType, LinkType, ObjectType, Operation, RecommendedCurve, ResultReason, SplitKeyMethod,
        State, ValidityIndicator, WrappingMethod,
    },
    version::{V1_0, V1_2, V1_4, V2_0, V2_1},
};
use portcullis::{
    crypto::pem,
    engine::{Settings as EngineSettings, testing::Bench},
    kmip::{Service, Settings},
};

use crate::support::{Answer, Gateway, reason};

async fn attributes(gateway: &Gateway, of: &UniqueIdentifier) -> Attributes {
    let request = GetAttributesRequest { unique_identifier: Some(of.clone()), attribute_references: Vec::new() };
    let answer = gateway.one(V2_1, Operation::GET_ATTRIBUTES, Request::GetAttributes(Box::new(request))).await;
    match answer.payload {
        Some(Response::GetAttributes(found)) => found.attributes.0,
        other => panic!("{:?} {other:?}", answer.reason),
    }
}

fn names(attributes: &Attributes) -> Vec<&str> {
    attributes
        .items
        .iter()
        .filter_map(|it| match &it.value {
            Some(AttributeValue::Name(name)) => Some(name.value.as_str()),
            _ => None,
        })
        .collect()
}

fn linked(attributes: &Attributes, kind: LinkType) -> Vec<UniqueIdentifier> {
    attributes
        .items
        .iter()
        .filter_map(|it| match &it.value {
            Some(AttributeValue::Link(Link { link_type, target })) if *link_type == kind => Some(target.clone()),
            _ => None,
        })
        .collect()
}

fn date(attributes: &Attributes, tag: Tag) -> Option<i64> {
    match attributes.get(tag) {
        Some(AttributeValue::DateTime(at)) => Some(at.0),
        _ => None,
    }
}

fn mask(bits: u32) -> Attributes {
    Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(bits))
}

fn aes_block(bytes: &[u8]) -> KeyBlock {
    KeyBlock {
        key_format_type: KeyFormatType::RAW,
        key_compression_type: None,
        key_value: Some(KeyValue::bytes(bytes.to_vec())),
        cryptographic_algorithm: Some(CryptographicAlgorithm::AES),
        cryptographic_length: Some(128),
        key_wrapping_data: None,
    }
}

fn active(attributes: Attributes) -> Attributes {
    attributes.with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1_000_000)))
}

async fn register(
    gateway: &Gateway,
    object_type: ObjectType,
    attributes: Attributes,
    object: ManagedObject,
) -> UniqueIdentifier {
    let object = Some(object);
    let request = RegisterRequest { object_type, attributes, object, protection_storage_masks: None };
    let answer = gateway.one(V2_1, Operation::REGISTER, Request::Register(Box::new(request))).await;
    match answer.payload {
        Some(Response::Register(made)) => made.unique_identifier,
        other => panic!("{:?} {other:?}", answer.reason),
    }
}

async fn get(gateway: &Gateway, of: &UniqueIdentifier, how: Option<KeyWrapType>) -> Answer {
    let request = GetRequest { unique_identifier: Some(of.clone()), key_wrap_type: how, ..GetRequest::default() };
    gateway.one(V2_1, Operation::GET, Request::Get(Box::new(request))).await
}

/// KMIP 1.0 §2.1.4: what is encapsulated with the key is the object's; what the request itself says goes before it.
#[tokio::test]
async fn attributes_inside_a_key_value_are_those_of_the_object() {
    let gateway = Gateway::start();
    for (round, version) in [V1_0, V1_4, V2_0, V2_1].into_iter().enumerate() {
        let name = |text: &str| AttributeValue::Name(Name::text(format!("{text} {round}")));
        let inside = Attributes::default()
            .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0x4))
            .with(Tag::CONTACT_INFORMATION, AttributeValue::Text("inside".into()))
            .with(Tag::NAME, name("inside"))
            // The server's own: it knows better.
            .with(Tag::STATE, AttributeValue::Enumeration(State::COMPROMISED.number()));
        let given = Attributes::default()
            .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0xC))
            .with(Tag::NAME, name("given"));
        let key = SymmetricKey {
            key_block: KeyBlock {
                key_format_type: KeyFormatType::RAW,
                key_compression_type: None,
                key_value: Some(KeyValue::Plain {
                    material: KeyMaterial::Bytes(vec![7; 16].into()),
                    attributes: OptionalAttributeList(inside),
                }),
                cryptographic_algorithm: Some(CryptographicAlgorithm::AES),
                cryptographic_length: Some(128),
                key_wrapping_data: None,
            },
        };
        let request = RegisterRequest {
            object_type: ObjectType::SYMMETRIC_KEY,
            attributes: given,
            object: Some(ManagedObject::SymmetricKey(key)),
            protection_storage_masks: None,
        };
        let answer = gateway.one(version, Operation::REGISTER, Request::Register(Box::new(request))).await;
        let Some(Response::Register(made)) = answer.payload else { panic!("{version}: {:?}", answer.message) };
        let found = attributes(&gateway, &made.unique_identifier).await;
        assert_eq!(names(&found), [format!("given {round}")], "{version}");
        let of = |tag: Tag| found.items.iter().find(|it| it.kind == tag.into()).and_then(|it| it.value.clone());
        assert_eq!(of(Tag::CRYPTOGRAPHIC_USAGE_MASK), Some(AttributeValue::Mask(0xC)), "{version}");
        assert_eq!(of(Tag::CONTACT_INFORMATION), Some(AttributeValue::Text("inside".into())), "{version}");
        assert_eq!(of(Tag::STATE), Some(AttributeValue::Enumeration(State::PRE_ACTIVE.number())), "{version}");
    }
}

/// The bytes of a symmetric key.
async fn value(gateway: &Gateway, of: &UniqueIdentifier) -> Vec<u8> {
    let answer = get(gateway, of, None).await;
    let Some(Response::Get(got)) = answer.payload else { panic!("{:?}", answer.reason) };
    let ManagedObject::SymmetricKey(key) = got.object else { panic!("another type") };
    match key.key_block.key_value {
        Some(KeyValue::Plain { material: KeyMaterial::Bytes(bytes), .. }) => bytes.expose_secret().to_vec(),
        other => panic!("{other:?}"),
    }
}

async fn rekey(
    gateway: &Gateway,
    of: &UniqueIdentifier,
    offset: Option<u32>,
    attributes: Option<Attributes>,
) -> Answer {
    let offset = offset.map(Interval);
    let request = ReKeyRequest { unique_identifier: Some(of.clone()), offset, attributes, ..ReKeyRequest::default() };
    gateway.one(V2_1, Operation::RE_KEY, Request::ReKey(Box::new(request))).await
}

fn rekeyed(answer: Answer) -> UniqueIdentifier {
    match answer.payload {
        Some(Response::ReKey(made)) => made.unique_identifier,
        other => panic!("{:?} {other:?}", answer.reason),
    }
}

#[tokio::test]
async fn a_new_key_takes_names_and_dates_and_both_link_to_each_other() {
    let gateway = Gateway::start();
    let dates = Attributes::default()
        .with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1_000)))
        .with(Tag::DEACTIVATION_DATE, AttributeValue::DateTime(DateTime(4_000_000_000)));
    let old = gateway.aes(V2_1, "volume", dates).await;
    let given = Attributes::default().with(Tag::NAME, AttributeValue::Name(Name::text("volume-2")));
    let new = rekeyed(rekey(&gateway, &old, None, Some(given)).await);
    let (before, after) = (attributes(&gateway, &old).await, attributes(&gateway, &new).await);
    assert_eq!((names(&before), names(&after)), (vec![], vec!["volume", "volume-2"]));
    assert_eq!(linked(&before, LinkType::REPLACEMENT_OBJECT_LINK), std::slice::from_ref(&new));
    assert_eq!(linked(&after, LinkType::REPLACED_OBJECT_LINK), std::slice::from_ref(&old));
    assert_eq!(date(&after, Tag::ACTIVATION_DATE), Some(1_000));
    assert_eq!(date(&after, Tag::DEACTIVATION_DATE), Some(4_000_000_000));
    assert_ne!(value(&gateway, &old).await, value(&gateway, &new).await);
}

fn state(attributes: &Attributes) -> State {
    match attributes.get(Tag::STATE) {
        Some(AttributeValue::Enumeration(number)) => State::from_number(*number),
        other => panic!("{other:?}"),
    }
}

/// TC_92: a key whose time ends while nobody asks for it is replaced by one with the same times from now on.
#[tokio::test]
async fn a_key_that_expired_by_the_clock_is_replaced_by_one_of_the_same_life() {
    let gateway = Gateway::start();
    let now = gateway.bench.engine.ports().clock.now().seconds();
    let dates = Attributes::default()
        .with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(now)))
        .with(Tag::DEACTIVATION_DATE, AttributeValue::DateTime(DateTime(now + 120)));
    let old = gateway.aes(V2_1, "", dates).await;
    assert_eq!(state(&attributes(&gateway, &old).await), State::ACTIVE);
    gateway.bench.clock.advance(121);
    assert_eq!(state(&attributes(&gateway, &old).await), State::DEACTIVATED);
    let new = rekeyed(rekey(&gateway, &old, Some(0), None).await);
    let after = attributes(&gateway, &new).await;
    let initial = date(&after, Tag::INITIAL_DATE).unwrap();
    assert_eq!(date(&after, Tag::ACTIVATION_DATE), Some(initial));
    assert_eq!(date(&after, Tag::DEACTIVATION_DATE), Some(initial + 120));
    assert_eq!(state(&after), State::ACTIVE);
}

/// TC-PKCS12-2 asks for a certificate by the whole INTEGER of its serial number; its content alone means the same, and
/// every version that has the attribute finds what another registered.
#[tokio::test]
async fn a_certificate_is_located_by_its_issuer_and_serial_number() {
    let gateway = Gateway::start();
    let der = pem::decode(include_bytes!("../vectors/keys/p384.certificate.pem")).unwrap().der;
    let der = portcullis::crypto::Certificate::parse_secret(&der).unwrap().der;
    let read = portcullis::crypto::Certificate::from_der(&der).unwrap();
    let object =
        ManagedObject::Certificate(Certificate { certificate_type: CertificateType::X_509, certificate_value: der });
    let made = register(&gateway, ObjectType::CERTIFICATE, Attributes::default(), object).await;
    let whole = [&[2, u8::try_from(read.serial.len()).unwrap()], read.serial.as_slice()].concat();
    for version in [V1_2, V1_4, V2_0, V2_1] {
        for (serial, found) in [(&whole, true), (&read.serial, true), (&vec![2, 1, 9], false)] {
            let identifier =
                X509CertificateIdentifier { issuer: read.issuer.der.clone(), serial_number: serial.clone() };
            let attributes = Attributes::default()
                .with(Tag::X_509_CERTIFICATE_IDENTIFIER, AttributeValue::X509CertificateIdentifier(identifier));
            let request = LocateRequest { attributes: AttributeList(attributes), ..LocateRequest::default() };
            let answer = gateway.one(version, Operation::LOCATE, Request::Locate(Box::new(request))).await;
            let Some(Response::Locate(located)) = answer.payload else { panic!("{:?}", answer.reason) };
            assert_eq!(located.unique_identifiers.contains(&made), found, "{version} {serial:02x?}");
        }
    }
}

#[tokio::test]
async fn an_offset_moves_every_date_by_the_same_distance() {
    let gateway = Gateway::start();
    let dates = Attributes::default()
        .with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1_000)))
        .with(Tag::DEACTIVATION_DATE, AttributeValue::DateTime(DateTime(5_000)));
    let old = gateway.aes(V2_1, "", dates).await;
    let new = rekeyed(rekey(&gateway, &old, Some(60), None).await);
    let after = attributes(&gateway, &new).await;
    let initial = date(&after, Tag::INITIAL_DATE).unwrap();
    assert_eq!(date(&after, Tag::ACTIVATION_DATE), Some(initial + 60));
    assert_eq!(date(&after, Tag::DEACTIVATION_DATE), Some(initial + 60 + 4_000));
    let dates = active(Attributes::default());
    assert_eq!(reason(&rekey(&gateway, &new, Some(60), Some(dates)).await), ResultReason::INVALID_MESSAGE);
    let undated = Attributes::default().with(Tag::DEACTIVATION_DATE, AttributeValue::DateTime(DateTime(4_000_000_000)));
    let undated = gateway.aes(V2_1, "", undated).await;
    assert_eq!(reason(&rekey(&gateway, &undated, Some(60), None).await), ResultReason::INVALID_FIELD);
}

async fn pair(gateway: &Gateway) -> (UniqueIdentifier, UniqueIdentifier) {
    let common = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::EC.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256))
        .with(
            Tag::CRYPTOGRAPHIC_DOMAIN_PARAMETERS,
            AttributeValue::CryptographicDomainParameters(kmip_codec::attribute::CryptographicDomainParameters {
                q_length: None,
                recommended_curve: Some(RecommendedCurve::P_256),
            }),
        );
    let request = CreateKeyPairRequest {
        common_attributes: Some(common),
        private_key_attributes: Some(mask(1)),
        public_key_attributes: Some(mask(2)),
        ..CreateKeyPairRequest::default()
    };
    let answer = gateway.one(V2_1, Operation::CREATE_KEY_PAIR, Request::CreateKeyPair(Box::new(request))).await;
    match answer.payload {
        Some(Response::CreateKeyPair(made)) => (made.private_key_unique_identifier, made.public_key_unique_identifier),
        other => panic!("{:?} {other:?}", answer.reason),
    }
}

#[tokio::test]
async fn four_keys_of_two_pairs_link_to_each_other() {
    let gateway = Gateway::start();
    let (private, public) = pair(&gateway).await;
    let request =
        ReKeyKeyPairRequest { private_key_unique_identifier: Some(private.clone()), ..ReKeyKeyPairRequest::default() };
    let answer = gateway.one(V2_1, Operation::RE_KEY_KEY_PAIR, Request::ReKeyKeyPair(Box::new(request))).await;
    let Some(Response::ReKeyKeyPair(made)) = answer.payload else { panic!("{:?}", answer.reason) };
    let (new_private, new_public) = (made.private_key_unique_identifier, made.public_key_unique_identifier);
    let links = [
        (&private, LinkType::PUBLIC_KEY_LINK, &public),
        (&private, LinkType::REPLACEMENT_OBJECT_LINK, &new_private),
        (&public, LinkType::REPLACEMENT_OBJECT_LINK, &new_public),
        (&new_private, LinkType::PUBLIC_KEY_LINK, &new_public),
        (&new_public, LinkType::PRIVATE_KEY_LINK, &new_private),
        (&new_private, LinkType::REPLACED_OBJECT_LINK, &private),
        (&new_public, LinkType::REPLACED_OBJECT_LINK, &public),
    ];
    for (from, kind, to) in links {
        assert_eq!(linked(&attributes(&gateway, from).await, kind), std::slice::from_ref(to), "{kind}");
    }
}

fn derive(from: &UniqueIdentifier, method: DerivationMethod, data: Option<&[u8]>, bits: i32) -> Request {
    let parameters = CryptographicParameters {
        hashing_algorithm: Some(HashingAlgorithm::SHA_256),
        ..CryptographicParameters::default()
    };
    Request::DeriveKey(Box::new(DeriveKeyRequest {
        object_type: ObjectType::SYMMETRIC_KEY,
        unique_identifiers: vec![from.clone()],
        derivation_method: method,
        derivation_parameters: DerivationParameters {
            cryptographic_parameters: Some(parameters),
            derivation_data: data.map(|data| data.to_vec().into()),
            ..DerivationParameters::default()
        },
        attributes: mask(0xC)
            .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::AES.number()))
            .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(bits)),
    }))
}

/// The keys of TC-DERIVEKEY-1 and -2.
#[tokio::test]
async fn derived_keys_are_those_of_the_published_cases() {
    let gateway = Gateway::start();
    let bytes: Vec<u8> = (0..16_u8).map(|at| at * 0x11).collect();
    let key = ManagedObject::SymmetricKey(SymmetricKey { key_block: aes_block(&bytes) });
    let base = register(&gateway, ObjectType::SYMMETRIC_KEY, active(mask(0x20C)), key).await;
    let salt: &[u8] = &[1, 2];
    let cases = [
        (DerivationMethod::HASH, None, [0xA8, 0xFA, 0xED, 0x6A]),
        (DerivationMethod::HMAC, Some(salt), [0x1E, 0x15, 0xC1, 0xF1]),
    ];
    for (method, data, begins) in cases {
        let answer = gateway.one(V2_1, Operation::DERIVE_KEY, derive(&base, method, data, 128)).await;
        let Some(Response::DeriveKey(made)) = answer.payload else { panic!("{:?}", answer.reason) };
        let derived = value(&gateway, &made.unique_identifier).await;
        assert_eq!((derived.len(), &derived[..4]), (16, &begins[..]), "{method}");
        let links = linked(&attributes(&gateway, &made.unique_identifier).await, LinkType::DERIVATION_BASE_OBJECT_LINK);
        assert_eq!(links, std::slice::from_ref(&base));
    }
    assert_eq!(linked(&attributes(&gateway, &base).await, LinkType::DERIVED_KEY_LINK).len(), 2);
}

/// What the HSM cannot do is refused unless the operator's table names it; where it does, trail and object say so.
#[tokio::test]
async fn what_is_derived_outside_of_the_hsm_is_the_operators_choice() {
    let register_base = async |gateway: &Gateway| {
        let key = ManagedObject::SymmetricKey(SymmetricKey { key_block: aes_block(&[7; 16]) });
        register(gateway, ObjectType::SYMMETRIC_KEY, active(mask(0x20C)), key).await
    };
    let hash = |base: &UniqueIdentifier| derive(base, DerivationMethod::HASH, Some(b"x"), 128);
    let mut gateway = Gateway::start();
    gateway.bench = Bench::with(EngineSettings::default());
    gateway.service =
        std::sync::Arc::new(Service::new(std::sync::Arc::clone(&gateway.bench.engine), Settings::default()));
    let base = register_base(&gateway).await;
    for (version, reason) in
        [(V2_1, ResultReason::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS), (V1_4, ResultReason::INVALID_FIELD)]
    {
        let answer = gateway.one(version, Operation::DERIVE_KEY, hash(&base)).await;
        assert_eq!(answer.reason, Some(reason), "{:?}", answer.message);
    }
    // HMAC is the HSM's own, and needs no table.
    let answer = gateway.one(V2_1, Operation::DERIVE_KEY, derive(&base, DerivationMethod::HMAC, Some(b"x"), 128)).await;
    assert!(answer.payload.is_some(), "{:?}", answer.message);
    let told = |gateway: &Gateway| gateway.bench.audit.events().last().unwrap().operation.name();
    assert_eq!(told(&gateway), "derive");

    let gateway = Gateway::start();
    let base = register_base(&gateway).await;
    let answer = gateway.one(V2_1, Operation::DERIVE_KEY, hash(&base)).await;
    let Some(Response::DeriveKey(made)) = answer.payload else { panic!("{:?}", answer.message) };
    assert_eq!(told(&gateway), "derive-in-software");
    let storage = attributes(&gateway, &made.unique_identifier).await;
    assert!(
        storage
            .items
            .iter()
            .any(|it| { it.kind == Tag::PROTECTION_STORAGE_MASK.into() && it.value == Some(AttributeValue::Mask(1)) })
    );
}

#[tokio::test]
async fn a_derivation_is_refused_for_what_it_lacks() {
    let gateway = Gateway::start();
    let may = gateway.aes_with_mask(V2_1, active(mask(0x20C))).await;
    let may_not = gateway.aes_with_mask(V2_1, active(mask(0xC))).await;
    let hash = DerivationMethod::HASH;
    for (request, version, expected) in [
        (derive(&may_not, hash, None, 128), V2_1, ResultReason::INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK),
        (derive(&may_not, hash, None, 128), V1_4, ResultReason::PERMISSION_DENIED),
        // SHA-256 has 256 bits.
        (derive(&may, DerivationMethod::HMAC, Some(b"x"), 512), V2_1, ResultReason::CRYPTOGRAPHIC_FAILURE),
        (derive(&may, DerivationMethod::HMAC, None, 128), V2_1, ResultReason::INVALID_MESSAGE),
        (derive(&may, hash, None, 12), V2_1, ResultReason::INVALID_FIELD),
    ] {
        let answer = gateway.one(version, Operation::DERIVE_KEY, request).await;
        assert_eq!(reason(&answer), expected);
    }
    assert_eq!(gateway.bench.store.open_intents(), 0);
}

#[tokio::test]
async fn parts_of_a_key_are_joined_and_too_few_are_not() {
    let gateway = Gateway::start();
    let key = gateway.aes(V2_1, "", Attributes::default()).await;
    let request = CreateSplitKeyRequest {
        object_type: ObjectType::SPLIT_KEY,
        unique_identifier: Some(key.clone()),
        split_key_parts: 3,
        split_key_threshold: 2,
        split_key_method: SplitKeyMethod::POLYNOMIAL_SHARING_GF28,
        split_key_polynomial: None,
        prime_field_size: None,
        attributes: Attributes::default(),
        protection_storage_masks: None,
    };
    let answer = gateway.one(V2_1, Operation::CREATE_SPLIT_KEY, Request::CreateSplitKey(Box::new(request))).await;
    let Some(Response::CreateSplitKey(made)) = answer.payload else { panic!("{:?}", answer.reason) };
    let parts = made.unique_identifiers;
    assert_eq!(linked(&attributes(&gateway, &key).await, LinkType::CHILD_LINK), parts);
    let second = attributes(&gateway, &parts[1]).await;
    assert_eq!(linked(&second, LinkType::PARENT_LINK), std::slice::from_ref(&key));
    assert_eq!(linked(&second, LinkType::PREVIOUS_LINK), [parts[0].clone()]);
    assert_eq!(linked(&second, LinkType::NEXT_LINK), [parts[2].clone()]);
    for (chosen, expected) in [(vec![0, 2], None), (vec![1], Some(ResultReason::CRYPTOGRAPHIC_FAILURE))] {
        let request = JoinSplitKeyRequest {
            object_type: ObjectType::SYMMETRIC_KEY,
            unique_identifiers: chosen.iter().map(|at: &usize| parts[*at].clone()).collect(),
            secret_data_type: None,
            attributes: Some(mask(0xC)),
            protection_storage_masks: None,
        };
        let answer = gateway.one(V2_1, Operation::JOIN_SPLIT_KEY, Request::JoinSplitKey(Box::new(request))).await;
        assert_eq!(answer.reason, expected);
        if let Some(Response::JoinSplitKey(joined)) = answer.payload {
            assert_eq!(value(&gateway, &joined.unique_identifier).await, value(&gateway, &key).await);
        }
    }
}

#[tokio::test]
async fn a_part_that_is_registered_comes_back_as_it_was() {
    let gateway = Gateway::start();
    let part = SplitKey {
        split_key_parts: 4,
        key_part_identifier: 3,
        split_key_threshold: 2,
        split_key_method: SplitKeyMethod::POLYNOMIAL_SHARING_GF28,
        split_key_polynomial: None,
        prime_field_size: None,
        key_block: aes_block(&[0xA8; 16]),
    };
    let object = ManagedObject::SplitKey(part);
    let id = register(&gateway, ObjectType::SPLIT_KEY, Attributes::default(), object).await;
    let answer = get(&gateway, &id, None).await;
    let Some(Response::Get(got)) = answer.payload else { panic!("{:?}", answer.reason) };
    let ManagedObject::SplitKey(part) = got.object else { panic!("another type") };
    assert_eq!((part.split_key_parts, part.key_part_identifier, part.split_key_threshold), (4, 3, 2));
    assert_eq!(part.key_block, aes_block(&[0xA8; 16]));
}

/// A wrapped key whose wrapping key is nobody's is held and comes back as it came; it cannot be given unwrapped.
#[tokio::test]
async fn a_wrapped_key_comes_back_as_it_came() {
    let gateway = Gateway::start();
    let block = || KeyBlock {
        key_wrapping_data: Some(KeyWrappingData {
            wrapping_method: WrappingMethod::ENCRYPT,
            encryption_key_information: Some(EncryptionKeyInformation {
                unique_identifier: UniqueIdentifier::Text("somebody's".to_owned()),
                cryptographic_parameters: Some(CryptographicParameters {
                    block_cipher_mode: Some(BlockCipherMode::NIST_KEY_WRAP),
                    ..CryptographicParameters::default()
                }),
            }),
            mac_signature_key_information: None,
            mac_signature: None,
            iv_counter_nonce: None,
            encoding_option: Some(EncodingOption::NO_ENCODING),
        }),
        ..aes_block(&[0x1F; 24])
    };
    let object = ManagedObject::SymmetricKey(SymmetricKey { key_block: block() });
    let id = register(&gateway, ObjectType::SYMMETRIC_KEY, mask(0xC), object).await;
    for how in [None, Some(KeyWrapType::AS_REGISTERED)] {
        let answer = get(&gateway, &id, how).await;
        let Some(Response::Get(got)) = answer.payload else { panic!("{:?}", answer.reason) };
        assert_eq!(got.object, ManagedObject::SymmetricKey(SymmetricKey { key_block: block() }));
    }
    let answer = get(&gateway, &id, Some(KeyWrapType::NOT_WRAPPED)).await;
    assert_eq!(reason(&answer), ResultReason::KEY_WRAP_TYPE_NOT_SUPPORTED);
}

#[tokio::test]
async fn what_is_exported_is_imported_elsewhere_and_not_over_what_is_there() {
    let (here, there) = (Gateway::start(), Gateway::start());
    let key = here.aes(V2_1, "moving", Attributes::default()).await;
    let export = ExportRequest { unique_identifier: Some(key.clone()), ..ExportRequest::default() };
    let answer = here.one(V2_1, Operation::EXPORT, Request::Export(Box::new(export.clone()))).await;
    let Some(Response::Export(exported)) = answer.payload else { panic!("{:?}", answer.reason) };
    assert!(exported.attributes.0.get(Tag::DIGEST).is_some(), "Export tells every attribute");
    let fresh = attributes(&here, &key).await;
    assert_eq!(fresh.get(Tag::FRESH), Some(&AttributeValue::Boolean(true)), "Export changes nothing");
    let import = |replace, object| {
        Request::Import(Box::new(ImportRequest {
            unique_identifier: key.clone(),
            object_type: Some(ObjectType::SYMMETRIC_KEY),
            replace_existing: Some(replace),
            key_wrap_type: None,
            attributes: exported.attributes.clone(),
            object: Some(object),
        }))
    };
    let bytes = value(&here, &key).await;
    let object = |bytes: &[u8]| {
        let key_block = KeyBlock { cryptographic_length: Some(256), ..aes_block(bytes) };
        ManagedObject::SymmetricKey(SymmetricKey { key_block })
    };
    assert_eq!(there.one(V2_1, Operation::IMPORT, import(false, object(&bytes))).await.reason, None);
    assert_eq!(value(&there, &key).await, bytes);
    assert_eq!(names(&attributes(&there, &key).await), ["moving"]);
    let again = there.one(V2_1, Operation::IMPORT, import(false, object(&bytes))).await;
    assert_eq!(reason(&again), ResultReason::OBJECT_ALREADY_EXISTS);
    assert_eq!(there.one(V2_1, Operation::IMPORT, import(true, object(&[9; 32]))).await.reason, None);
    assert_eq!(value(&there, &key).await, [9; 32]);
    assert_eq!((there.bench.hsm.count(), there.bench.store.open_intents()), (1, 0), "the old value is gone");
}

#[tokio::test]
async fn an_allocation_is_taken_until_nothing_is_left() {
    let limits = kmip_codec::attribute::UsageLimits {
        total: 10,
        count: None,
        unit: kmip_codec::spec::enums::UsageLimitsUnit::OBJECT,
    };
    let gateway = Gateway::start();
    let limited = active(Attributes::default()).with(Tag::USAGE_LIMITS, AttributeValue::UsageLimits(limits));
    let key = gateway.aes(V1_2, "", limited).await;
    let take = |count| {
        let request = GetUsageAllocationRequest { unique_identifier: Some(key.clone()), usage_limits_count: count };
        Request::GetUsageAllocation(Box::new(request))
    };
    assert_eq!(gateway.one(V1_2, Operation::GET_USAGE_ALLOCATION, take(6)).await.reason, None);
    for (version, expected) in [(V1_2, ResultReason::PERMISSION_DENIED), (V2_0, ResultReason::USAGE_LIMIT_EXCEEDED)] {
        assert_eq!(reason(&gateway.one(version, Operation::GET_USAGE_ALLOCATION, take(6)).await), expected);
    }
    assert_eq!(gateway.one(V1_2, Operation::GET_USAGE_ALLOCATION, take(4)).await.reason, None);
    assert_eq!(
        reason(&gateway.one(V2_1, Operation::GET_USAGE_ALLOCATION, take(-1)).await),
        ResultReason::INVALID_FIELD
    );
}

async fn certificate(gateway: &Gateway, of: &UniqueIdentifier) -> Certificate {
    let answer = get(gateway, of, None).await;
    match answer.payload {
        Some(Response::Get(got)) => match got.object {
            ManagedObject::Certificate(certificate) => certificate,
            other => panic!("{other:?}"),
        },
        other => panic!("{:?} {other:?}", answer.reason),
    }
}

async fn validity(gateway: &Gateway, request: ValidateRequest) -> ValidityIndicator {
    let answer = gateway.one(V2_1, Operation::VALIDATE, Request::Validate(Box::new(request))).await;
    match answer.payload {
        Some(Response::Validate(told)) => told.validity_indicator,
        other => panic!("{:?} {other:?}", answer.reason),
    }
}

#[tokio::test]
async fn a_public_key_is_certified_and_its_certificate_renewed() {
    let gateway = Gateway::start();
    let (_, public) = pair(&gateway).await;
    let request = CertifyRequest {
        unique_identifier: Some(public.clone()),
        attributes: Some(Attributes::default().with(Tag::NAME, AttributeValue::Name(Name::text("first")))),
        ..CertifyRequest::default()
    };
    let answer = gateway.one(V2_1, Operation::CERTIFY, Request::Certify(Box::new(request))).await;
    let Some(Response::Certify(made)) = answer.payload else { panic!("{:?} {:?}", answer.reason, answer.message) };
    let first = made.unique_identifier;
    assert_eq!(linked(&attributes(&gateway, &public).await, LinkType::CERTIFICATE_LINK), std::slice::from_ref(&first));
    let whole = certificate(&gateway, &first).await;
    assert_eq!(whole.certificate_type, CertificateType::X_509);
    let by_id = ValidateRequest { unique_identifiers: vec![first.clone()], ..ValidateRequest::default() };
    assert_eq!(validity(&gateway, by_id).await, ValidityIndicator::VALID);
    let later = ValidateRequest {
        unique_identifiers: vec![first.clone()],
        validity_date: Some(DateTime(4_000_000_000)),
        ..ValidateRequest::default()
    };
    assert_eq!(validity(&gateway, later).await, ValidityIndicator::INVALID);
    let mut forged = whole.certificate_value.clone();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Certificate { certificate_type: CertificateType::X_509, certificate_value: forged };
    let forged = ValidateRequest { certificates: vec![forged], ..ValidateRequest::default() };
    assert_eq!(validity(&gateway, forged).await, ValidityIndicator::INVALID);

    let request = ReCertifyRequest {
        unique_identifier: Some(first.clone()),
        attributes: Some(Attributes::default().with(Tag::NAME, AttributeValue::Name(Name::text("second")))),
        ..ReCertifyRequest::default()
    };
    let answer = gateway.one(V2_1, Operation::RE_CERTIFY, Request::ReCertify(Box::new(request))).await;
    let Some(Response::ReCertify(made)) = answer.payload else { panic!("{:?} {:?}", answer.reason, answer.message) };
    let second = made.unique_identifier;
    let (old, new) = (attributes(&gateway, &first).await, attributes(&gateway, &second).await);
    assert_eq!((names(&old), names(&new)), (vec![], vec!["second", "first"]));
    assert_eq!(linked(&old, LinkType::REPLACEMENT_OBJECT_LINK), std::slice::from_ref(&second));
    assert_eq!(linked(&new, LinkType::REPLACED_OBJECT_LINK), [first]);
    assert_eq!(linked(&attributes(&gateway, &public).await, LinkType::CERTIFICATE_LINK), [second]);
}

#[tokio::test]
async fn what_cannot_be_certified_is_refused() {
    let gateway = Gateway::start();
    let (_, public) = pair(&gateway).await;
    let key = gateway.aes(V2_1, "", Attributes::default()).await;
    let ask = |of: &UniqueIdentifier, request: Option<Vec<u8>>| {
        let unique_identifier = Some(of.clone());
        let certify = CertifyRequest { unique_identifier, certificate_request: request, ..CertifyRequest::default() };
        Request::Certify(Box::new(certify))
    };
    for (request, expected) in [
        (ask(&key, None), ResultReason::INVALID_OBJECT_TYPE),
        (ask(&public, Some(b"no request".to_vec())), ResultReason::INVALID_FIELD),
    ] {
        assert_eq!(reason(&gateway.one(V2_1, Operation::CERTIFY, request).await), expected);
    }
}
