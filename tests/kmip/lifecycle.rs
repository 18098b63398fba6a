//! States, uses and refusals by version (KMIP contract §7 and §9).

use kmip_codec::{
    ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{Attribute, AttributeValue, Attributes, CryptographicParameters, RevocationReason},
    codec::DateTime,
    payload::{
        ActivateRequest, AddAttributeRequest, DecryptRequest, DestroyRequest, EncryptRequest, GetAttributesRequest,
        GetRequest, Request, Response, RevokeRequest,
    },
    spec::enums::{BlockCipherMode, Operation, PaddingMethod, ResultReason, RevocationReasonCode},
    version::{V1_0, V1_2, V1_4, V2_0, V2_1},
};
use portcullis::engine::ports::HsmErrorKind;

use crate::support::{Answer, Gateway, create, peer, reason};

fn id(of: &UniqueIdentifier) -> Option<UniqueIdentifier> {
    Some(of.clone())
}

async fn activate(gateway: &Gateway, version: ProtocolVersion, key: &UniqueIdentifier) -> Answer {
    let request = Request::Activate(Box::new(ActivateRequest { unique_identifier: id(key) }));
    gateway.one(version, Operation::ACTIVATE, request).await
}

async fn revoke(
    gateway: &Gateway,
    version: ProtocolVersion,
    key: &UniqueIdentifier,
    code: RevocationReasonCode,
) -> Answer {
    let request = Request::Revoke(Box::new(RevokeRequest {
        unique_identifier: id(key),
        revocation_reason: RevocationReason { code, message: None },
        compromise_occurrence_date: Some(DateTime(6)),
    }));
    gateway.one(version, Operation::REVOKE, request).await
}

async fn destroy(gateway: &Gateway, version: ProtocolVersion, key: &UniqueIdentifier) -> Answer {
    let request = Request::Destroy(Box::new(DestroyRequest { unique_identifier: id(key) }));
    gateway.one(version, Operation::DESTROY, request).await
}

async fn get(gateway: &Gateway, version: ProtocolVersion, key: &UniqueIdentifier) -> Answer {
    let request = Request::Get(Box::new(GetRequest { unique_identifier: id(key), ..GetRequest::default() }));
    gateway.one(version, Operation::GET, request).await
}

async fn state(gateway: &Gateway, key: &UniqueIdentifier) -> u32 {
    let request = Request::GetAttributes(Box::new(GetAttributesRequest {
        unique_identifier: id(key),
        attribute_references: vec![Tag::STATE.into()],
    }));
    match gateway.one(V2_1, Operation::GET_ATTRIBUTES, request).await.payload {
        Some(Response::GetAttributes(found)) => match found.attributes.0.get(Tag::STATE) {
            Some(AttributeValue::Enumeration(number)) => *number,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn cbc() -> Option<CryptographicParameters> {
    Some(CryptographicParameters {
        block_cipher_mode: Some(BlockCipherMode::CBC),
        padding_method: Some(PaddingMethod::PKCS5),
        ..CryptographicParameters::default()
    })
}

async fn encrypt(gateway: &Gateway, version: ProtocolVersion, key: &UniqueIdentifier) -> Answer {
    let request = Request::Encrypt(Box::new(EncryptRequest {
        unique_identifier: id(key),
        cryptographic_parameters: cbc(),
        data: Some(b"attack at dawn".to_vec().into()),
        iv_counter_nonce: Some(vec![7; 16]),
        ..EncryptRequest::default()
    }));
    gateway.one(version, Operation::ENCRYPT, request).await
}

/// SKLC-M-2: an active key must be revoked before it can be destroyed.
#[tokio::test]
async fn destroy_of_an_active_key_is_refused_in_the_words_of_the_version() {
    let expected = [
        (V1_0, ResultReason::PERMISSION_DENIED),
        (V1_4, ResultReason::PERMISSION_DENIED),
        (V2_0, ResultReason::PERMISSION_DENIED),
        (V2_1, ResultReason::WRONG_KEY_LIFECYCLE_STATE),
    ];
    for (version, wanted) in expected {
        let gateway = Gateway::start();
        let key = gateway.aes(version, "", Attributes::default()).await;
        assert_eq!(activate(&gateway, version, &key).await.reason, None);
        assert_eq!(reason(&destroy(&gateway, version, &key).await), wanted);
        assert_eq!(state(&gateway, &key).await, 2, "still active");
        assert_eq!(gateway.bench.hsm.count(), 1, "a refused destroy must not reach the HSM");
        assert_eq!(revoke(&gateway, version, &key, RevocationReasonCode::CESSATION_OF_OPERATION).await.reason, None);
        assert_eq!(destroy(&gateway, version, &key).await.reason, None);
        assert_eq!(gateway.bench.hsm.count(), 0);
    }
}

#[tokio::test]
async fn a_key_is_used_only_while_it_is_active() {
    let gateway = Gateway::start();
    let key = gateway.aes(V1_4, "", Attributes::default()).await;
    assert_eq!(reason(&encrypt(&gateway, V1_4, &key).await), ResultReason::PERMISSION_DENIED);
    activate(&gateway, V1_4, &key).await;
    let Some(Response::Encrypt(encrypted)) = encrypt(&gateway, V1_4, &key).await.payload else { panic!("refused") };
    revoke(&gateway, V1_4, &key, RevocationReasonCode::CESSATION_OF_OPERATION).await;
    assert_eq!(reason(&encrypt(&gateway, V2_1, &key).await), ResultReason::WRONG_KEY_LIFECYCLE_STATE);
    let request = Request::Decrypt(Box::new(DecryptRequest {
        unique_identifier: id(&key),
        cryptographic_parameters: cbc(),
        data: Some(encrypted.data.unwrap().expose_secret().to_vec().into()),
        iv_counter_nonce: Some(vec![7; 16]),
        ..DecryptRequest::default()
    }));
    let Some(Response::Decrypt(plain)) = gateway.one(V1_4, Operation::DECRYPT, request).await.payload else {
        panic!("a deactivated key still decrypts")
    };
    assert_eq!(plain.data.unwrap().expose_secret(), b"attack at dawn");
}

#[tokio::test]
async fn decrypting_without_an_iv_is_an_invalid_message() {
    let gateway = Gateway::start();
    let key = gateway.aes(V1_4, "", Attributes::default()).await;
    activate(&gateway, V1_4, &key).await;
    for version in [V1_2, V1_4, V2_0, V2_1] {
        let request = Request::Decrypt(Box::new(DecryptRequest {
            unique_identifier: id(&key),
            cryptographic_parameters: cbc(),
            data: Some(vec![0; 16].into()),
            ..DecryptRequest::default()
        }));
        assert_eq!(reason(&gateway.one(version, Operation::DECRYPT, request).await), ResultReason::INVALID_MESSAGE);
    }
}

#[tokio::test]
async fn the_clock_activates_a_key_without_a_request() {
    let gateway = Gateway::start();
    let now = gateway.bench.engine.ports().clock.now().seconds();
    let later = Attributes::default().with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(now + 100)));
    let key = gateway.aes(V1_2, "", later).await;
    assert_eq!(state(&gateway, &key).await, 1);
    gateway.bench.clock.advance(101);
    assert_eq!(state(&gateway, &key).await, 2);
    assert_eq!(encrypt(&gateway, V1_2, &key).await.reason, None);
}

#[tokio::test]
async fn another_projects_object_does_not_exist() {
    let mut gateway = Gateway::start();
    let key = gateway.aes(V1_4, "mine", Attributes::default()).await;
    gateway.peer = peer("stranger", "other", "admin");
    for (version, wanted) in [(V1_4, ResultReason::ITEM_NOT_FOUND), (V2_1, ResultReason::OBJECT_NOT_FOUND)] {
        assert_eq!(reason(&get(&gateway, version, &key).await), wanted);
        assert_eq!(reason(&destroy(&gateway, version, &key).await), wanted);
    }
    let all = Request::Locate(Box::default());
    let Some(Response::Locate(found)) = gateway.one(V1_4, Operation::LOCATE, all).await.payload else {
        panic!("refused")
    };
    assert!(found.unique_identifiers.is_empty());
}

#[tokio::test]
async fn a_name_is_unique_within_a_project_and_free_after_destroy() {
    let gateway = Gateway::start();
    let key = gateway.aes(V1_2, "payroll", Attributes::default()).await;
    let again = gateway.one(V1_2, Operation::CREATE, create("payroll", Attributes::default())).await;
    assert_eq!(reason(&again), ResultReason::INVALID_FIELD);
    let again = gateway.one(V2_1, Operation::CREATE, create("payroll", Attributes::default())).await;
    assert_eq!(reason(&again), ResultReason::NON_UNIQUE_NAME_ATTRIBUTE);
    assert_eq!(gateway.bench.hsm.count(), 1, "what a refused creation made is gone again");
    assert_eq!(gateway.bench.store.open_intents(), 0);
    destroy(&gateway, V1_2, &key).await;
    gateway.aes(V1_2, "payroll", Attributes::default()).await;
}

#[tokio::test]
async fn what_leaves_and_what_does_not() {
    let gateway = Gateway::start();
    let sensitive = Attributes::default().with(Tag::SENSITIVE, AttributeValue::Boolean(true));
    let key = gateway.aes(V1_4, "", sensitive).await;
    let reasons =
        [(V1_2, ResultReason::PERMISSION_DENIED), (V1_4, ResultReason::SENSITIVE), (V2_1, ResultReason::SENSITIVE)];
    for (version, wanted) in reasons {
        assert_eq!(reason(&get(&gateway, version, &key).await), wanted);
    }
    let kept = Attributes::default().with(Tag::EXTRACTABLE, AttributeValue::Boolean(false));
    let key = gateway.aes(V1_4, "", kept).await;
    let reasons = [
        (V1_2, ResultReason::PERMISSION_DENIED),
        (V1_4, ResultReason::NOT_EXTRACTABLE),
        (V2_1, ResultReason::NOT_EXTRACTABLE),
    ];
    for (version, wanted) in reasons {
        assert_eq!(reason(&get(&gateway, version, &key).await), wanted);
    }
}

#[tokio::test]
async fn read_only_attributes_stay_as_they_are() {
    let gateway = Gateway::start();
    let key = gateway.aes(V1_2, "", Attributes::default()).await;
    for (version, wanted) in [(V1_2, ResultReason::PERMISSION_DENIED), (V2_1, ResultReason::ATTRIBUTE_READ_ONLY)] {
        let request = Request::AddAttribute(Box::new(AddAttributeRequest {
            unique_identifier: id(&key),
            attribute: Attribute::new(Tag::STATE, AttributeValue::Enumeration(2)),
        }));
        assert_eq!(reason(&gateway.one(version, Operation::ADD_ATTRIBUTE, request).await), wanted);
    }
}

#[tokio::test]
async fn an_hsm_that_is_away_is_no_cryptographic_failure() {
    let gateway = Gateway::start();
    let key = gateway.aes(V1_4, "", Attributes::default()).await;
    activate(&gateway, V1_4, &key).await;
    for (version, wanted) in [(V1_4, ResultReason::GENERAL_FAILURE), (V2_1, ResultReason::INTERNAL_SERVER_ERROR)] {
        gateway.bench.hsm.fail("encrypt", HsmErrorKind::Unavailable, 1);
        assert_eq!(reason(&encrypt(&gateway, version, &key).await), wanted);
    }
    assert_eq!(encrypt(&gateway, V1_4, &key).await.reason, None);
}

#[tokio::test]
async fn an_old_client_never_sees_a_newer_attribute() {
    let gateway = Gateway::start();
    let key = gateway.aes(V2_1, "", Attributes::default()).await;
    for version in [V1_0, V1_2, V1_4, V2_0, V2_1] {
        let request = Request::GetAttributes(Box::new(GetAttributesRequest {
            unique_identifier: id(&key),
            attribute_references: Vec::new(),
        }));
        let Some(Response::GetAttributes(found)) =
            gateway.one(version, Operation::GET_ATTRIBUTES, request).await.payload
        else {
            panic!("refused")
        };
        assert!(!found.attributes.0.items.is_empty());
        for attribute in &found.attributes.0.items {
            assert!(attribute.is_defined(version), "{:?} in {version}", attribute.kind);
        }
    }
}

#[tokio::test]
async fn a_change_that_another_one_overtook_is_made_on_the_newer_record() {
    let gateway = Gateway::start();
    let key = gateway.aes(V1_4, "overtaken", Attributes::default()).await;
    let add = || {
        Request::AddAttribute(Box::new(AddAttributeRequest {
            unique_identifier: id(&key),
            attribute: Attribute::new(Tag::CONTACT_INFORMATION, AttributeValue::Text("somebody".into())),
        }))
    };
    gateway.bench.store.conflict(3);
    assert!(gateway.one(V1_4, Operation::ADD_ATTRIBUTE, add()).await.reason.is_none());
    gateway.bench.store.conflict(3);
    assert!(activate(&gateway, V1_4, &key).await.reason.is_none());
    gateway.bench.store.conflict(3);
    assert!(revoke(&gateway, V1_4, &key, RevocationReasonCode::KEY_COMPROMISE).await.reason.is_none());
    // Compromised.
    assert_eq!(state(&gateway, &key).await, 4);
}
