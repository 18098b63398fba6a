//! Objects that KMIP clients made, as the API shows them.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::{
    crypto::PrivateKey,
    domain::{
        Attribute, AttributeKind, AttributeValue, CryptographicAlgorithm, ObjectType, Origin, Principal, ProjectId,
        Realm, UniqueIdentifier, UsageMask, audit::Protocol, lifecycle::RevocationReason,
    },
    engine::{
        Caller,
        ops::{
            create::Create,
            create_key_pair::CreateKeyPair,
            lifecycle::Revoke,
            reveal::{Form, Prefer, Reveal},
        },
        ports::Lane,
    },
};
use serde_json::json;

use crate::support::{Api, refused};

fn caller() -> Caller {
    Caller {
        principal: Arc::new(Principal {
            name: Some("backup-server".into()),
            project: ProjectId("p1".into()),
            roles: vec!["admin".into(), "member".into()],
            realm: Realm::Certificate,
            user_name: None,
        }),
        protocol: Protocol::Kmip,
        request: "k".into(),
        address: None,
        transaction: None,
        http: None,
        lane: Lane::Interactive,
        bounds: None,
    }
}

fn attributes(name: &str, usage: UsageMask) -> Vec<Attribute> {
    let name = AttributeValue::Name { value: name.into(), kind: 1 };
    vec![
        Attribute::new(AttributeKind::Name, name),
        Attribute::new(AttributeKind::CryptographicUsageMask, AttributeValue::Integer(usage.0.cast_signed())),
    ]
}

async fn aes(api: &Api, more: Vec<Attribute>) -> UniqueIdentifier {
    let mut attributes = attributes("disk key", UsageMask::ENCRYPT);
    attributes.extend(more);
    let create = Create {
        identifier: None,
        object_type: ObjectType::SymmetricKey,
        origin: Origin::Kmip,
        algorithm: Some(CryptographicAlgorithm::AES),
        length_bits: Some(256),
        subtype: None,
        attributes,
        secret: Default::default(),
    };
    api.bench.engine.execute(&caller(), create).await.unwrap().identifier
}

#[tokio::test]
async fn a_key_of_kmip_is_a_symmetric_secret() {
    let api = Api::new();
    let id = aes(&api, vec![]).await;
    let shown = api.get(&format!("/v1/secrets/{id}")).await.json();
    for (member, value) in [
        ("name", json!("disk key")),
        ("secret_type", json!("symmetric")),
        ("algorithm", json!("aes")),
        ("bit_length", json!(256)),
        ("mode", json!(null)),
        ("status", json!("ACTIVE")),
        ("creator_id", json!("backup-server")),
        ("expiration", json!(null)),
        ("content_types", json!({"default": "application/octet-stream"})),
    ] {
        assert_eq!(shown[member], value, "{member}");
    }
    assert_eq!(vec![api.get(&format!("/v1/secrets/{id}/payload")).await.body], api.bench.hsm.values(id));
    assert_eq!(api.get("/v1/secrets?name=disk%25&alg=AES").await.json()["total"], 1);
}

#[tokio::test]
async fn a_pair_of_kmip_is_read_as_pem() {
    let api = Api::new();
    let create = CreateKeyPair {
        identifiers: None,
        origin: Origin::Kmip,
        algorithm: CryptographicAlgorithm::EC,
        length_bits: Some(256),
        curve: None,
        private_attributes: attributes("signer", UsageMask::SIGN),
        public_attributes: attributes("verifier", UsageMask::VERIFY),
        secrets: Default::default(),
    };
    let pair = api.bench.engine.execute(&caller(), create).await.unwrap();
    for (object, secret_type, begin) in [
        (pair.private, "private", "-----BEGIN PRIVATE KEY-----\n"),
        (pair.public, "public", "-----BEGIN PUBLIC KEY-----\n"),
    ] {
        let path = format!("/v1/secrets/{}", object.identifier);
        let shown = api.get(&path).await.json();
        assert_eq!((&shown["secret_type"], &shown["algorithm"]), (&json!(secret_type), &json!("ec")));
        assert!(api.get(&format!("{path}/payload")).await.text().starts_with(begin), "{secret_type}");
    }
}

#[tokio::test]
async fn what_may_not_leave_is_refused() {
    let api = Api::new();
    let kept = vec![Attribute::new(AttributeKind::Extractable, AttributeValue::Boolean(false))];
    let id = aes(&api, kept).await;
    let reply = api.get(&format!("/v1/secrets/{id}/payload")).await;
    let text = "Secret payload retrieval issue seen - the object was made not to leave the HSM.";
    assert_eq!(reply.error(), refused(403, text));
    assert_eq!(api.bench.hsm.calls("reveal-key"), 0);
}

#[tokio::test]
async fn a_revoked_key_is_shown_as_such_and_a_deleted_one_is_gone() {
    let api = Api::new();
    let active = vec![Attribute::new(
        AttributeKind::ActivationDate,
        AttributeValue::Date(portcullis::domain::Timestamp::from_seconds(1)),
    )];
    let id = aes(&api, active).await;
    let reason = RevocationReason { code: 1, message: None };
    api.bench.engine.execute(&caller(), Revoke { object: id, reason, occurred: None }).await.unwrap();
    let path = format!("/v1/secrets/{id}");
    assert_eq!(api.get(&path).await.json()["status"], "ERROR");
    assert_eq!(api.delete(&path).await.status, 204);
    assert_eq!((api.get(&path).await.status, api.bench.hsm.count()), (404, 0));
}

/// The other direction: a key in PEM is PKCS#8 for KMIP, not the PEM text.
#[tokio::test]
async fn a_key_in_pem_is_pkcs8_for_kmip() {
    let api = Api::new();
    let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    let id = api
        .secret(json!({"secret_type": "private", "payload": STANDARD.encode(&pem),
            "payload_content_type": "application/octet-stream", "payload_content_encoding": "base64"}))
        .await;
    let reveal = Reveal { object: id.parse().unwrap(), prefer: Prefer::AsGiven };
    let revealed = api.bench.engine.execute(&caller(), reveal).await.unwrap();
    assert_eq!(revealed.form, Form::Canonical);
    assert_eq!(PrivateKey::from_pkcs8(&revealed.value).unwrap().bits(), 256);
    assert_eq!(api.get(&format!("/v1/secrets/{id}/payload")).await.text(), pem);
}
