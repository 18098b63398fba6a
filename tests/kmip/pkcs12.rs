//! Private keys in PKCS#12 containers: in with their certificates, out under the password that they link to.

use kmip_codec::{
    ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{AttributeValue, Attributes, Link},
    codec::DateTime,
    object::{KeyBlock, KeyMaterial, KeyValue, ManagedObject, PrivateKey, SecretData},
    payload::{ActivateRequest, GetAttributesRequest, GetRequest, RegisterRequest, Request, Response},
    spec::enums::{
        CryptographicAlgorithm, KeyFormatType, LinkType, ObjectType, Operation, ResultReason, SecretDataType,
    },
    version::{V1_4, V2_0, V2_1},
};
use portcullis::{
    crypto::{Certificate, pem, pkcs12},
    domain::SecretValue,
};

use crate::support::{Answer, Gateway, reason};

const CONTAINER: &[u8] = include_bytes!("../vectors/keys/p256.older.p12");
const KEY: &[u8] = include_bytes!("../vectors/keys/p256.pkcs8.pem");

async fn register(
    gateway: &Gateway,
    version: ProtocolVersion,
    attributes: Attributes,
    (object_type, object): (ObjectType, ManagedObject),
) -> Answer {
    let request = RegisterRequest { object_type, attributes, object: Some(object), protection_storage_masks: None };
    gateway.one(version, Operation::REGISTER, Request::Register(Box::new(request))).await
}

fn made(answer: Answer) -> UniqueIdentifier {
    match answer.payload {
        Some(Response::Register(made)) => made.unique_identifier,
        other => panic!("{:?} {other:?}", answer.reason),
    }
}

fn block(format: KeyFormatType, value: KeyValue) -> KeyBlock {
    KeyBlock {
        key_format_type: format,
        key_compression_type: None,
        key_value: Some(value),
        cryptographic_algorithm: None,
        cryptographic_length: None,
        key_wrapping_data: None,
    }
}

async fn password(gateway: &Gateway, text: &str, active: bool) -> UniqueIdentifier {
    let object = ManagedObject::SecretData(SecretData {
        secret_data_type: SecretDataType::PASSWORD,
        key_block: block(KeyFormatType::OPAQUE, KeyValue::bytes(text.as_bytes().to_vec())),
    });
    let mut attributes = Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0x200));
    if active {
        attributes = attributes.with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1_000_000)));
    }
    made(register(gateway, V1_4, attributes, (ObjectType::SECRET_DATA, object)).await)
}

fn signing(links: &[(LinkType, &UniqueIdentifier)]) -> Attributes {
    let mask = Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(1));
    links.iter().fold(mask, |attributes, (link_type, target)| {
        let link = Link { link_type: *link_type, target: (*target).clone() };
        attributes.with(Tag::LINK, AttributeValue::Link(link))
    })
}

fn container(value: KeyValue) -> (ObjectType, ManagedObject) {
    let key_block = block(KeyFormatType::PKCS_12, value);
    (ObjectType::PRIVATE_KEY, ManagedObject::PrivateKey(PrivateKey { key_block }))
}

/// As 1.x has it, where the container stands for the key value.
fn older() -> (ObjectType, ManagedObject) {
    container(KeyValue::Wrapped(CONTAINER.to_vec().into()))
}

async fn get(
    gateway: &Gateway,
    version: ProtocolVersion,
    of: &UniqueIdentifier,
    format: Option<KeyFormatType>,
) -> Result<ManagedObject, ResultReason> {
    let request = GetRequest { unique_identifier: Some(of.clone()), key_format_type: format, ..GetRequest::default() };
    let answer = gateway.one(version, Operation::GET, Request::Get(Box::new(request))).await;
    match answer.payload {
        Some(Response::Get(got)) => Ok(got.object),
        _ => Err(reason(&answer)),
    }
}

fn key_value(object: ManagedObject) -> (KeyFormatType, KeyValue) {
    let ManagedObject::PrivateKey(key) = object else { panic!("it is no private key") };
    (key.key_block.key_format_type, key.key_block.key_value.unwrap())
}

async fn attributes(gateway: &Gateway, of: &UniqueIdentifier) -> Attributes {
    let request = GetAttributesRequest { unique_identifier: Some(of.clone()), attribute_references: Vec::new() };
    let answer = gateway.one(V2_1, Operation::GET_ATTRIBUTES, Request::GetAttributes(Box::new(request))).await;
    match answer.payload {
        Some(Response::GetAttributes(found)) => found.attributes.0,
        other => panic!("{:?} {other:?}", answer.reason),
    }
}

async fn linked(gateway: &Gateway, of: &UniqueIdentifier) -> Vec<UniqueIdentifier> {
    let targets = attributes(gateway, of).await.items.into_iter().filter_map(|it| match it.value {
        Some(AttributeValue::Link(link)) if link.link_type == LinkType::PKCS_12_CERTIFICATE_LINK => Some(link.target),
        _ => None,
    });
    targets.collect()
}

/// TC-PKCS12-2, and what it leaves out: the whole chain becomes objects, and goes back into the container.
#[tokio::test]
async fn a_key_comes_out_of_a_container_with_its_chain_and_goes_back_into_one() {
    let gateway = Gateway::start();
    let password = password(&gateway, "passphrase", true).await;
    let link = [(LinkType::PKCS_12_PASSWORD_LINK, &password)];
    for (version, given) in [(V1_4, older()), (V2_0, older()), (V2_1, container(KeyValue::bytes(CONTAINER.to_vec())))] {
        let key = made(register(&gateway, version, signing(&link), given).await);
        let found = attributes(&gateway, &key).await;
        assert_eq!(
            found.get(Tag::CRYPTOGRAPHIC_ALGORITHM),
            Some(&AttributeValue::Enumeration(CryptographicAlgorithm::EC.number()))
        );
        assert_eq!(found.get(Tag::PKCS_12_FRIENDLY_NAME), Some(&AttributeValue::Text("alias".into())));
        let (format, value) = key_value(get(&gateway, version, &key, None).await.unwrap());
        assert_eq!(format, KeyFormatType::PKCS_8);
        let KeyValue::Plain { material: KeyMaterial::Bytes(bytes), .. } = value else { panic!("no PKCS#8") };
        assert!(SecretValue::new(bytes.expose_secret().to_vec()).matches(&pem::decode(KEY).unwrap().der));

        let mut next = linked(&gateway, &key).await;
        let mut subjects = Vec::new();
        while let [certificate] = next.as_slice() {
            let ManagedObject::Certificate(found) = get(&gateway, version, certificate, None).await.unwrap() else {
                panic!("it is no certificate")
            };
            subjects.push(Certificate::from_der(&found.certificate_value).unwrap().subject.text);
            next = linked(&gateway, certificate).await;
        }
        assert_eq!(subjects, ["CN=container", "CN=Container CA"]);

        let (format, value) = key_value(get(&gateway, version, &key, Some(KeyFormatType::PKCS_12)).await.unwrap());
        assert_eq!(format, KeyFormatType::PKCS_12);
        let bytes = match value {
            KeyValue::Wrapped(bytes) if version < V2_0 => bytes,
            KeyValue::Plain { material: KeyMaterial::Bytes(bytes), .. } if version >= V2_0 => bytes,
            other => panic!("{version}: {other:?}"),
        };
        let built = SecretValue::new(bytes.expose_secret().to_vec());
        let opened = pkcs12::open(&built, &SecretValue::new(b"passphrase".to_vec()), Some("alias")).unwrap();
        assert!(opened.key.to_pkcs8().unwrap().matches(&pem::decode(KEY).unwrap().der));
        assert_eq!(opened.chain.len(), 2);
    }
}

/// Import takes a container as Register does, under the identifier that it names; what is refused leaves no certificate behind.
#[tokio::test]
async fn a_container_is_imported_too() {
    let gateway = Gateway::start();
    let password = password(&gateway, "passphrase", true).await;
    let link = [(LinkType::PKCS_12_PASSWORD_LINK, &password)];
    let import = |id: &str, attributes: Attributes| {
        let (object_type, object) = container(KeyValue::bytes(CONTAINER.to_vec()));
        Request::Import(Box::new(kmip_codec::payload::ImportRequest {
            unique_identifier: id.into(),
            object_type: Some(object_type),
            replace_existing: None,
            key_wrap_type: None,
            attributes: kmip_codec::attribute::AttributeList(attributes),
            object: Some(object),
        }))
    };
    let id = "8f14e45f-ceea-467f-a3d2-0123456789ab";
    let answer = gateway.one(V2_1, Operation::IMPORT, import(id, signing(&link))).await;
    assert!(answer.payload.is_some(), "{:?}", answer.message);
    let key = UniqueIdentifier::from(id);
    let (format, value) = key_value(get(&gateway, V2_1, &key, None).await.unwrap());
    assert_eq!(format, KeyFormatType::PKCS_8);
    let KeyValue::Plain { material: KeyMaterial::Bytes(bytes), .. } = value else { panic!("no PKCS#8") };
    assert!(SecretValue::new(bytes.expose_secret().to_vec()).matches(&pem::decode(KEY).unwrap().der));
    assert_eq!(linked(&gateway, &key).await.len(), 1);
    let held = gateway.bench.hsm.count();
    // The identifier is taken now; and without the password nothing is opened.
    let answer = gateway.one(V2_1, Operation::IMPORT, import(id, signing(&link))).await;
    assert_eq!(reason(&answer), ResultReason::OBJECT_ALREADY_EXISTS);
    let other = "8f14e45f-ceea-467f-a3d2-0123456789ac";
    let answer = gateway.one(V2_1, Operation::IMPORT, import(other, signing(&[]))).await;
    assert_eq!(reason(&answer), ResultReason::BAD_PASSWORD);
    assert_eq!(gateway.bench.hsm.count(), held, "the certificates of what was refused are gone");
}

/// KMIP 1.4 §11.19, 2.1 §6.1.43: the password is one Secret Data object, a password, and active.
#[tokio::test]
async fn a_container_needs_its_one_active_password() {
    let gateway = Gateway::start();
    let right = password(&gateway, "passphrase", true).await;
    let wrong = password(&gateway, "another", true).await;
    let sleeping = password(&gateway, "passphrase", false).await;
    let key = gateway.aes(V2_1, "no password", Attributes::default()).await;
    let link = LinkType::PKCS_12_PASSWORD_LINK;
    let cases: &[(&[&UniqueIdentifier], ResultReason, ResultReason)] = &[
        (&[], ResultReason::INVALID_FIELD, ResultReason::BAD_PASSWORD),
        (&[&right, &wrong], ResultReason::INVALID_FIELD, ResultReason::BAD_PASSWORD),
        (&[&key], ResultReason::INVALID_FIELD, ResultReason::BAD_PASSWORD),
        (&[&wrong], ResultReason::CRYPTOGRAPHIC_FAILURE, ResultReason::BAD_PASSWORD),
        (&[&sleeping], ResultReason::PERMISSION_DENIED, ResultReason::WRONG_KEY_LIFECYCLE_STATE),
    ];
    for (passwords, old, new) in cases {
        let links: Vec<_> = passwords.iter().map(|password| (link, *password)).collect();
        for (version, expected) in [(V1_4, old), (V2_0, new), (V2_1, new)] {
            let answer = register(&gateway, version, signing(&links), older()).await;
            assert_eq!(reason(&answer), *expected, "{version} {passwords:?}");
        }
    }
    let activate = ActivateRequest { unique_identifier: Some(sleeping.clone()) };
    gateway.one(V2_1, Operation::ACTIVATE, Request::Activate(Box::new(activate))).await;
    made(register(&gateway, V2_1, signing(&[(link, &sleeping)]), older()).await);
}

#[tokio::test]
async fn what_is_no_container_is_refused_and_leaves_nothing() {
    let gateway = Gateway::start();
    let password = password(&gateway, "passphrase", true).await;
    let attributes = || signing(&[(LinkType::PKCS_12_PASSWORD_LINK, &password)]);
    let cut = container(KeyValue::Wrapped(CONTAINER[..1000].to_vec().into()));
    assert_eq!(reason(&register(&gateway, V1_4, attributes(), cut).await), ResultReason::INVALID_FIELD);
    let rc2 = include_bytes!("../vectors/keys/p256.rc2.p12").to_vec();
    let rc2 = container(KeyValue::Wrapped(rc2.into()));
    let refused = register(&gateway, V1_4, attributes(), rc2).await;
    assert_eq!(reason(&refused), ResultReason::KEY_FORMAT_TYPE_NOT_SUPPORTED);
    let named = attributes().with(Tag::PKCS_12_FRIENDLY_NAME, AttributeValue::Text("somebody else".into()));
    assert_eq!(reason(&register(&gateway, V2_1, named, older()).await), ResultReason::INVALID_FIELD);
    // The key is refused for its attributes after its certificates were taken in: they go, too.
    let contradicting = attributes().with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(384));
    assert_eq!(reason(&register(&gateway, V2_1, contradicting, older()).await), ResultReason::INVALID_FIELD);
    let aes = gateway.aes(V2_1, "a key", Attributes::default()).await;
    let refused = get(&gateway, V2_1, &aes, Some(KeyFormatType::PKCS_12)).await;
    assert_eq!(refused.unwrap_err(), ResultReason::KEY_FORMAT_TYPE_NOT_SUPPORTED);
}
