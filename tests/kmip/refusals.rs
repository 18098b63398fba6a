//! Each operation on an object that is missing, destroyed, of another type, in another state, or not meant for it: the exact
//! reason of every version (KMIP contract §9).

use kmip_codec::{
    ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{Attribute, AttributeValue, Attributes, CryptographicParameters},
    codec::DateTime,
    object::{ManagedObject, OpaqueObject},
    payload::{
        ActivateRequest, AddAttributeRequest, CheckRequest, Data, DecryptRequest, DestroyRequest, EncryptRequest,
        GetAttributesRequest, GetRequest, MacRequest, MacVerifyRequest, RegisterRequest, Request, Response,
        SetAttributeRequest, SignRequest, SignatureVerifyRequest,
    },
    spec::{
        enums::{BlockCipherMode, ObjectType, OpaqueDataType, Operation, ResultReason as R},
        operations,
    },
    version::{SUPPORTED, V2_0, V2_1},
};

use crate::support::{Gateway, reason};

fn versions() -> impl Iterator<Item = ProtocolVersion> {
    SUPPORTED.into_iter().filter(|version| *version <= V2_1)
}

/// Columns of contract §9: 1.x, 2.0, 2.1.
fn expected(version: ProtocolVersion, columns: [R; 3]) -> R {
    let [old, v2_0, v2_1] = columns;
    if version >= V2_1 {
        v2_1
    } else if version >= V2_0 {
        v2_0
    } else {
        old
    }
}

fn data() -> Option<Data> {
    Some(Data::from(vec![1; 16]))
}

fn cbc() -> Option<CryptographicParameters> {
    Some(CryptographicParameters {
        block_cipher_mode: Some(BlockCipherMode::CBC),
        ..CryptographicParameters::default()
    })
}

/// Operations that use a key.
fn uses(id: &UniqueIdentifier) -> Vec<(Operation, Request)> {
    let unique_identifier = Some(id.clone());
    let encrypt = EncryptRequest {
        unique_identifier: unique_identifier.clone(),
        cryptographic_parameters: cbc(),
        data: data(),
        ..EncryptRequest::default()
    };
    let decrypt = DecryptRequest {
        unique_identifier: unique_identifier.clone(),
        cryptographic_parameters: cbc(),
        data: data(),
        iv_counter_nonce: Some(vec![0; 16]),
        ..DecryptRequest::default()
    };
    let sign = SignRequest { unique_identifier: unique_identifier.clone(), data: data(), ..SignRequest::default() };
    let verify = SignatureVerifyRequest {
        unique_identifier: unique_identifier.clone(),
        data: data(),
        signature_data: Some(vec![1; 64]),
        ..SignatureVerifyRequest::default()
    };
    let mac = MacRequest { unique_identifier: unique_identifier.clone(), data: data(), ..MacRequest::default() };
    let mac_verify = MacVerifyRequest {
        unique_identifier,
        data: data(),
        mac_data: Some(vec![1; 32]),
        ..MacVerifyRequest::default()
    };
    vec![
        (Operation::ENCRYPT, Request::from(encrypt)),
        (Operation::DECRYPT, Request::from(decrypt)),
        (Operation::SIGN, Request::from(sign)),
        (Operation::SIGNATURE_VERIFY, Request::from(verify)),
        (Operation::MAC, Request::from(mac)),
        (Operation::MAC_VERIFY, Request::from(mac_verify)),
    ]
}

/// Operations on any object.
fn touches(id: &UniqueIdentifier) -> Vec<(Operation, Request)> {
    let unique_identifier = || Some(id.clone());
    vec![
        (Operation::GET, Request::from(GetRequest { unique_identifier: unique_identifier(), ..GetRequest::default() })),
        (
            Operation::GET_ATTRIBUTES,
            Request::from(GetAttributesRequest {
                unique_identifier: unique_identifier(),
                ..GetAttributesRequest::default()
            }),
        ),
        (Operation::ACTIVATE, Request::from(ActivateRequest { unique_identifier: unique_identifier() })),
        (Operation::DESTROY, Request::from(DestroyRequest { unique_identifier: unique_identifier() })),
        (
            Operation::CHECK,
            Request::from(CheckRequest { unique_identifier: unique_identifier(), ..CheckRequest::default() }),
        ),
    ]
}

async fn all(gateway: &Gateway, requests: impl Fn() -> Vec<(Operation, Request)>, columns: [R; 3], what: &str) {
    for version in versions() {
        for (operation, request) in requests() {
            if operations::exists(operation, version) {
                let answer = gateway.one(version, operation, request).await;
                assert_eq!(reason(&answer), expected(version, columns), "{what}: {operation} in {version}");
            }
        }
    }
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let gateway = Gateway::start();
    let columns = [R::ITEM_NOT_FOUND, R::OBJECT_NOT_FOUND, R::OBJECT_NOT_FOUND];
    for unknown in ["6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f", "1", "", "Straße"] {
        let id = UniqueIdentifier::from(unknown);
        all(&gateway, || [uses(&id), touches(&id)].concat_all(), columns, unknown).await;
    }
}

/// Joins lists of requests, which cannot be cloned.
trait ConcatAll {
    fn concat_all(self) -> Vec<(Operation, Request)>;
}

impl<const N: usize> ConcatAll for [Vec<(Operation, Request)>; N] {
    fn concat_all(self) -> Vec<(Operation, Request)> {
        self.into_iter().flatten().collect()
    }
}

#[tokio::test]
async fn a_destroyed_key_is_of_no_use() {
    let gateway = Gateway::start();
    let id = gateway.aes(V2_1, "", Attributes::default()).await;
    let destroy = Request::from(DestroyRequest { unique_identifier: Some(id.clone()) });
    assert_eq!(gateway.one(V2_1, Operation::DESTROY, destroy).await.reason, None);
    let columns = [R::ITEM_NOT_FOUND, R::OBJECT_DESTROYED, R::OBJECT_DESTROYED];
    all(&gateway, || uses(&id), columns, "destroyed").await;
}

#[tokio::test]
async fn only_keys_are_used_as_keys() {
    let gateway = Gateway::start();
    let opaque = OpaqueObject {
        opaque_data_type: OpaqueDataType::from_number(0x8000_0001),
        opaque_data_value: vec![1, 2, 3].into(),
    };
    let request = RegisterRequest {
        object_type: ObjectType::OPAQUE_OBJECT,
        attributes: Attributes::default(),
        object: Some(ManagedObject::OpaqueObject(opaque)),
        protection_storage_masks: None,
    };
    let made = gateway.one(V2_1, Operation::REGISTER, Request::from(request)).await;
    let Some(Response::Register(made)) = made.payload else { panic!("{:?} {:?}", made.reason, made.message) };
    let columns = [R::INVALID_FIELD, R::INVALID_OBJECT_TYPE, R::INVALID_OBJECT_TYPE];
    all(&gateway, || uses(&made.unique_identifier), columns, "opaque").await;
}

#[tokio::test]
async fn a_key_that_is_not_active_protects_nothing() {
    let gateway = Gateway::start();
    let id = gateway.aes(V2_1, "", Attributes::default()).await;
    let columns = [R::PERMISSION_DENIED, R::PERMISSION_DENIED, R::WRONG_KEY_LIFECYCLE_STATE];
    let ciphers = || uses(&id).into_iter().filter(|(of, _)| [Operation::ENCRYPT, Operation::DECRYPT].contains(of));
    all(&gateway, || ciphers().collect(), columns, "pre-active").await;
}

#[tokio::test]
async fn a_key_does_only_what_its_mask_says() {
    let gateway = Gateway::start();
    let active = Attributes::default().with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1)));
    let id = gateway.aes(V2_1, "", active).await;
    let mask = R::INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK;
    let macs = || uses(&id).into_iter().filter(|(of, _)| [Operation::MAC, Operation::MAC_VERIFY].contains(of));
    all(&gateway, || macs().collect(), [R::PERMISSION_DENIED, mask, mask], "without the bit").await;
}

#[tokio::test]
async fn what_the_server_says_of_an_object_no_client_changes() {
    let gateway = Gateway::start();
    let id = gateway.aes(V2_1, "", Attributes::default()).await;
    let state = || Attribute::new(Tag::STATE, AttributeValue::Enumeration(2));
    for version in versions() {
        let request = AddAttributeRequest { unique_identifier: Some(id.clone()), attribute: state() };
        let answer = gateway.one(version, Operation::ADD_ATTRIBUTE, Request::from(request)).await;
        let columns = [R::PERMISSION_DENIED, R::ATTRIBUTE_READ_ONLY, R::ATTRIBUTE_READ_ONLY];
        assert_eq!(reason(&answer), expected(version, columns), "Add in {version}");
        if version >= V2_0 {
            let request = SetAttributeRequest { unique_identifier: Some(id.clone()), attribute: state() };
            let answer = gateway.one(version, Operation::SET_ATTRIBUTE, Request::from(request)).await;
            let columns = [R::PERMISSION_DENIED, R::READ_ONLY_ATTRIBUTE, R::ATTRIBUTE_READ_ONLY];
            assert_eq!(reason(&answer), expected(version, columns), "Set in {version}");
        }
    }
}
