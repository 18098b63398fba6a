//! Keys that leave and come back wrapped, with the built program and its simulated HSM: every method, mode and encoding that
//! is offered brings back the same key, and what was changed on its way is not taken in.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the answer")]

use kmip_codec::{
    Tag, UniqueIdentifier,
    attribute::{AttributeValue, Attributes, CryptographicParameters},
    codec::DateTime,
    object::{
        EncryptionKeyInformation, KeyBlock, KeyMaterial, KeyValue, KeyWrappingSpecification,
        MacSignatureKeyInformation, ManagedObject, SymmetricKey,
    },
    payload::{CreateKeyPairRequest, GetRequest, RegisterRequest, Request, Response},
    secret::SecretBytes,
    spec::enums::{
        BlockCipherMode, CryptographicAlgorithm, EncodingOption, HashingAlgorithm, KeyFormatType, KeyWrapType,
        ObjectType, PaddingMethod, ResultReason, WrappingMethod,
    },
};
use portcullis_testing::{Failure, Gateway, Kmip, is_unsupported, key_of, material};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");
const WRAP: u32 = 0x10;
const UNWRAP: u32 = 0x20;
const MAC: u32 = 0x180;

fn attributes(algorithm: CryptographicAlgorithm, bits: i32, mask: u32) -> Attributes {
    Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(algorithm.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(bits))
        .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(mask))
        .with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1)))
}

fn symmetric(key_block: KeyBlock) -> ManagedObject {
    ManagedObject::SymmetricKey(SymmetricKey { key_block })
}

async fn register(client: &mut Kmip, attributes: Attributes, object: ManagedObject) -> Result<String, Failure> {
    let request = RegisterRequest {
        object_type: ObjectType::SYMMETRIC_KEY,
        attributes,
        object: Some(object),
        protection_storage_masks: None,
    };
    client.make(Request::from(request)).await
}

/// A registered symmetric key of those bytes.
async fn key(client: &mut Kmip, algorithm: CryptographicAlgorithm, bytes: &[u8], mask: u32) -> String {
    let bits = i32::try_from(8 * bytes.len()).unwrap();
    let material = KeyMaterial::Bytes(SecretBytes::from(bytes.to_vec()));
    let block = key_of(KeyFormatType::RAW, material, Some(algorithm), Some(bits));
    register(client, attributes(algorithm, bits, mask), symmetric(block)).await.unwrap()
}

async fn get(client: &mut Kmip, request: GetRequest) -> Result<ManagedObject, Failure> {
    match client.ask(Request::from(request)).await? {
        Response::Get(got) => Ok(got.object),
        other => panic!("{other:?}"),
    }
}

/// A Get of the key under that specification.
async fn wrapped(
    client: &mut Kmip,
    id: &str,
    specification: KeyWrappingSpecification,
) -> Result<ManagedObject, Failure> {
    let request = GetRequest {
        unique_identifier: Some(id.into()),
        key_wrapping_specification: Some(specification),
        ..GetRequest::default()
    };
    get(client, request).await
}

fn specification(
    method: WrappingMethod,
    encryption: Option<(&str, Option<CryptographicParameters>)>,
    authentication: Option<(&str, Option<CryptographicParameters>)>,
    bare: bool,
) -> KeyWrappingSpecification {
    KeyWrappingSpecification {
        wrapping_method: method,
        encryption_key_information: encryption.map(|(id, cryptographic_parameters)| EncryptionKeyInformation {
            unique_identifier: id.into(),
            cryptographic_parameters,
        }),
        mac_signature_key_information: authentication.map(|(id, cryptographic_parameters)| {
            MacSignatureKeyInformation { unique_identifier: id.into(), cryptographic_parameters }
        }),
        attribute_names: Vec::new(),
        attribute_references: Vec::new(),
        encoding_option: bare.then_some(EncodingOption::NO_ENCODING),
    }
}

fn mode(mode: BlockCipherMode, padding: Option<PaddingMethod>) -> CryptographicParameters {
    CryptographicParameters {
        block_cipher_mode: Some(mode),
        padding_method: padding,
        ..CryptographicParameters::default()
    }
}

fn block(object: &mut ManagedObject) -> &mut KeyBlock {
    match object {
        ManagedObject::SymmetricKey(key) => &mut key.key_block,
        other => panic!("{other:?}"),
    }
}

fn wrapped_bytes(object: &mut ManagedObject) -> Vec<u8> {
    match &block(object).key_value {
        Some(KeyValue::Wrapped(bytes)) => bytes.expose_secret().to_vec(),
        other => panic!("{other:?}"),
    }
}

/// Registers what was given out wrapped, and gives its plain bytes.
async fn back(client: &mut Kmip, object: ManagedObject, bits: i32) -> Result<Vec<u8>, Failure> {
    let id = register(client, attributes(CryptographicAlgorithm::AES, bits, 0xC), object).await?;
    let request = GetRequest {
        unique_identifier: Some(id.as_str().into()),
        key_wrap_type: Some(KeyWrapType::NOT_WRAPPED),
        ..GetRequest::default()
    };
    get(client, request).await.map(material)
}

fn reason(failure: &Failure) -> Option<ResultReason> {
    match failure {
        Failure::Refused(reason, _) => *reason,
        Failure::Connection(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn every_mode_and_method_brings_back_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(PROGRAM, &folder.path().join("gateway"));
    let mut client = Kmip::connect(&gateway).await.unwrap();
    let client = &mut client;
    let kek = key(client, CryptographicAlgorithm::AES, &[7; 32], WRAP | UNWRAP).await;
    let triple = key(client, CryptographicAlgorithm::DES3, &[[1; 8], [2; 8], [4; 8]].concat(), WRAP | UNWRAP).await;
    let mac = key(client, CryptographicAlgorithm::HMAC_SHA256, &[9; 32], MAC).await;
    let mask = |bits| Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(bits));
    let common = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::RSA.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(2048))
        .with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1)));
    let pair = CreateKeyPairRequest {
        common_attributes: Some(common),
        private_key_attributes: Some(mask(UNWRAP)),
        public_key_attributes: Some(mask(WRAP)),
        ..CreateKeyPairRequest::default()
    };
    let Response::CreateKeyPair(pair) = client.ask(Request::from(pair)).await.unwrap() else { panic!("no pair") };
    let (public, private) = (text(&pair.public_key_unique_identifier), text(&pair.private_key_unique_identifier));
    let oaep = |hash| CryptographicParameters {
        padding_method: Some(PaddingMethod::OAEP),
        hashing_algorithm: Some(hash),
        mask_generator_hashing_algorithm: Some(hash),
        ..CryptographicParameters::default()
    };
    let pkcs1 = CryptographicParameters {
        padding_method: Some(PaddingMethod::PKCS1V1_5),
        ..CryptographicParameters::default()
    };
    let pkcs5 = Some(PaddingMethod::PKCS5);
    // Which key, its parameters, and whether there is an IV.
    let ways: Vec<(&str, Option<CryptographicParameters>, bool)> = vec![
        (&kek, None, false),
        (&kek, Some(mode(BlockCipherMode::NIST_KEY_WRAP, None)), false),
        (&kek, Some(mode(BlockCipherMode::AES_KEY_WRAP_PADDING, None)), false),
        (&kek, Some(mode(BlockCipherMode::CBC, pkcs5)), true),
        (&kek, Some(mode(BlockCipherMode::CBC, None)), true),
        (&kek, Some(mode(BlockCipherMode::GCM, None)), true),
        (&triple, Some(mode(BlockCipherMode::CBC, pkcs5)), true),
        (&public, Some(oaep(HashingAlgorithm::SHA_256)), false),
        (&public, Some(oaep(HashingAlgorithm::SHA_1)), false),
        (&public, Some(pkcs1), false),
        (&public, None, false),
    ];
    let value: Vec<u8> = (0..32).collect();
    let target = key(client, CryptographicAlgorithm::AES, &value, 0xC).await;
    let methods =
        [WrappingMethod::ENCRYPT, WrappingMethod::ENCRYPT_THEN_MAC_SIGN, WrappingMethod::MAC_SIGN_THEN_ENCRYPT];
    for (key, parameters, has_iv) in ways {
        for method in methods {
            for bare in [true, false] {
                let what = format!("{method} {bare} {parameters:?}");
                let authentication = (method != WrappingMethod::ENCRYPT).then_some((mac.as_str(), None));
                let specification = specification(method, Some((key, parameters.clone())), authentication, bare);
                let given = wrapped(client, &target, specification).await;
                if is_unsupported(&given, &what) {
                    continue;
                }
                let mut given = given.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
                assert!(!wrapped_bytes(&mut given).windows(8).any(|part| value.windows(8).any(|it| it == part)));
                let data = block(&mut given).key_wrapping_data.clone().unwrap();
                assert_eq!(data.iv_counter_nonce.is_some(), has_iv, "{what}");
                assert_eq!(data.mac_signature.is_some(), method != WrappingMethod::ENCRYPT, "{what}");
                let again = back(client, given, 256).await;
                if is_unsupported(&again, &what) {
                    continue;
                }
                let again = again.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
                assert_eq!(again, value, "{what}");
            }
        }
    }
    // The private half may be named as well.
    // By the hash that every module has.
    let asked =
        specification(WrappingMethod::ENCRYPT, Some((&public, Some(oaep(HashingAlgorithm::SHA_1)))), None, true);
    let mut given = wrapped(client, &target, asked).await.unwrap();
    if let Some(data) = &mut block(&mut given).key_wrapping_data
        && let Some(information) = &mut data.encryption_key_information
    {
        information.unique_identifier = private.as_str().into();
    }
    assert_eq!(back(client, given, 256).await.unwrap(), value);
}

fn text(id: &UniqueIdentifier) -> String {
    id.as_text().unwrap().to_owned()
}

#[tokio::test]
async fn what_was_changed_on_its_way_is_not_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(PROGRAM, &folder.path().join("gateway"));
    let mut client = Kmip::connect(&gateway).await.unwrap();
    let client = &mut client;
    let kek = key(client, CryptographicAlgorithm::AES, &[7; 32], WRAP | UNWRAP).await;
    let mac = key(client, CryptographicAlgorithm::HMAC_SHA256, &[9; 32], MAC).await;
    let value: Vec<u8> = (0..32).collect();
    let target = key(client, CryptographicAlgorithm::AES, &value, 0xC).await;
    let cbc = || Some(mode(BlockCipherMode::CBC, None));
    for method in [WrappingMethod::ENCRYPT_THEN_MAC_SIGN, WrappingMethod::MAC_SIGN_THEN_ENCRYPT] {
        let asked = specification(method, Some((&kek, cbc())), Some((&mac, None)), true);
        let mut given = wrapped(client, &target, asked).await.unwrap();
        let mut bytes = wrapped_bytes(&mut given);
        *bytes.last_mut().unwrap() ^= 1;
        block(&mut given).key_value = Some(KeyValue::Wrapped(SecretBytes::from(bytes)));
        let refused = back(client, given, 256).await;
        if is_unsupported(&refused, "unwrapping by CBC without padding") {
            continue;
        }
        assert_eq!(reason(&refused.unwrap_err()), Some(ResultReason::CRYPTOGRAPHIC_FAILURE), "{method}");
    }
    // A MAC alone: the key is plain, and the MAC is over its encoding or its bytes.
    for bare in [true, false] {
        let asked = specification(WrappingMethod::MAC_SIGN, None, Some((&mac, None)), bare);
        let given = wrapped(client, &target, asked.clone()).await.unwrap();
        assert_eq!(material(given), value);
        let given = wrapped(client, &target, asked.clone()).await.unwrap();
        assert_eq!(back(client, given, 256).await.unwrap(), value);
        let mut changed = wrapped(client, &target, asked).await.unwrap();
        block(&mut changed).key_value = Some(KeyValue::bytes(vec![1; 32]));
        let refused = back(client, changed, 256).await.unwrap_err();
        assert_eq!(reason(&refused), Some(ResultReason::CRYPTOGRAPHIC_FAILURE));
    }
    // CBC without padding takes whole blocks only, and nothing is filled up that nobody could take off again.
    let odd = key(client, CryptographicAlgorithm::AES, &[5; 24], 0xC).await;
    let asked = specification(WrappingMethod::ENCRYPT, Some((&kek, cbc())), None, true);
    let refused = wrapped(client, &odd, asked).await.unwrap_err();
    assert_eq!(reason(&refused), Some(ResultReason::CRYPTOGRAPHIC_FAILURE));
    // What does not go together.
    let cases = [
        (specification(WrappingMethod::TR_31, Some((&kek, None)), None, true), ResultReason::FEATURE_NOT_SUPPORTED),
        (specification(WrappingMethod::ENCRYPT, None, None, true), ResultReason::INVALID_MESSAGE),
        (
            specification(WrappingMethod::ENCRYPT, Some((&kek, None)), Some((&mac, None)), true),
            ResultReason::INVALID_FIELD,
        ),
        (
            specification(WrappingMethod::ENCRYPT_THEN_MAC_SIGN, Some((&kek, None)), None, true),
            ResultReason::INVALID_MESSAGE,
        ),
        (
            specification(WrappingMethod::ENCRYPT, Some((&mac, None)), None, true),
            ResultReason::INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK,
        ),
        (
            specification(WrappingMethod::MAC_SIGN, None, Some((&kek, None)), true),
            ResultReason::INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK,
        ),
        (
            specification(
                WrappingMethod::ENCRYPT,
                Some((&kek, Some(mode(BlockCipherMode::X9_102AESKW, None)))),
                None,
                true,
            ),
            ResultReason::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS,
        ),
        (
            specification(WrappingMethod::ENCRYPT, Some(("6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f", None)), None, true),
            ResultReason::WRAPPING_OBJECT_NOT_FOUND,
        ),
    ];
    for (asked, expected) in cases {
        let what = format!("{asked:?}");
        let refused = wrapped(client, &target, asked).await.unwrap_err();
        assert_eq!(reason(&refused), Some(expected), "{what}");
    }
    let mut attributes = specification(WrappingMethod::ENCRYPT, Some((&kek, None)), None, true);
    attributes.attribute_names = vec!["Name".to_owned()];
    let refused = wrapped(client, &target, attributes).await.unwrap_err();
    assert_eq!(reason(&refused), Some(ResultReason::ENCODING_OPTION_ERROR));
}

#[tokio::test]
async fn attributes_are_wrapped_with_the_key_by_name_and_by_reference() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(PROGRAM, &folder.path().join("gateway"));
    let mut client = Kmip::connect(&gateway).await.unwrap();
    let client = &mut client;
    let kek = key(client, CryptographicAlgorithm::AES, &[7; 32], WRAP | UNWRAP).await;
    let value: Vec<u8> = (0..32).collect();
    let target = key(client, CryptographicAlgorithm::AES, &value, 0xC).await;
    let plain = specification(WrappingMethod::ENCRYPT, Some((&kek, None)), None, false);
    let by_name =
        KeyWrappingSpecification { attribute_names: vec!["Cryptographic Usage Mask".to_owned()], ..plain.clone() };
    let by_reference =
        KeyWrappingSpecification { attribute_references: vec![Tag::CRYPTOGRAPHIC_USAGE_MASK.into()], ..plain.clone() };
    let unknown = KeyWrappingSpecification { attribute_names: vec!["Nothing".to_owned()], ..plain.clone() };
    let mut lengths = Vec::new();
    for asked in [plain, by_name, by_reference, unknown] {
        let mut given = wrapped(client, &target, asked).await.unwrap();
        lengths.push(wrapped_bytes(&mut given).len());
        assert_eq!(back(client, given, 256).await.unwrap(), value);
    }
    // Key Value, Key Material and the wrap; the structure of attributes and the mask in it.
    assert_eq!(lengths, [8 + 8 + 32 + 8, 8 + 8 + 32 + 8 + 24, 8 + 8 + 32 + 8 + 24, 8 + 8 + 32 + 8]);
}

#[tokio::test]
async fn strict_wrapping_takes_authenticated_modes_only() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("PORTCULLIS_KMIP__WRAPPING", "strict")];
    let gateway = Gateway::start_with(PROGRAM, &folder.path().join("gateway"), &settings);
    let mut client = Kmip::connect(&gateway).await.unwrap();
    let client = &mut client;
    let kek = key(client, CryptographicAlgorithm::AES, &[7; 32], WRAP | UNWRAP).await;
    let target = key(client, CryptographicAlgorithm::AES, &[3; 32], 0xC).await;
    let ask = |parameters| specification(WrappingMethod::ENCRYPT, Some((&kek, Some(parameters))), None, true);
    let refused = wrapped(client, &target, ask(mode(BlockCipherMode::CBC, None))).await.unwrap_err();
    assert_eq!(reason(&refused), Some(ResultReason::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS));
    let given = wrapped(client, &target, ask(mode(BlockCipherMode::GCM, None))).await;
    if is_unsupported(&given, "wrapping by GCM") {
        return;
    }
    let given = given.unwrap();
    assert_eq!(back(client, given, 256).await.unwrap(), [3; 32]);
}
