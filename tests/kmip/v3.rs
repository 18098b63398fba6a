//! What KMIP 3.0 adds, and what earlier versions see of it.

use kmip_codec::{
    Tag, UniqueIdentifier,
    attribute::{AttributeKind, AttributeList, AttributeValue, Attributes, DeactivationReason, Link, Name},
    object::{HashedPasswordCredential, ManagedObject, PasswordCredential},
    payload::{
        ActivateRequest, AddAttributeRequest, CreateCredentialRequest, CreateGroupRequest, CreateUserRequest,
        DeactivateRequest, DestroyRequest, GetAttributesRequest, GetRequest, LocateRequest, ObliterateRequest,
        PingRequest, Request, Response,
    },
    secret::SecretText,
    spec::enums::{CredentialType, DeactivationReasonCode, LinkType, ObjectType, Operation, ResultReason, State},
    version::{V1_4, V2_1, V3_0},
};

use crate::support::{Answer, Gateway, peer, reason};

async fn ask(gateway: &Gateway, request: impl Into<Request>) -> Answer {
    let request = request.into();
    gateway.one(V3_0, request.operation(), request).await
}

/// The identifier that a creation answers with.
fn made(answer: Answer) -> UniqueIdentifier {
    match answer.payload {
        Some(Response::CreateUser(made)) => made.unique_identifier,
        Some(Response::CreateGroup(made)) => made.unique_identifier,
        Some(Response::CreateCredential(made)) => made.unique_identifier,
        other => panic!("{:?} {:?} {other:?}", answer.reason, answer.message),
    }
}

fn named(name: &str) -> Attributes {
    Attributes::default().with(Tag::NAME, AttributeValue::Name(Name::text(name)))
}

fn password(text: &str) -> CreateCredentialRequest {
    let password = PasswordCredential {
        password: Some(SecretText::copy_of(text)),
        password_salt: None,
        password_salt_algorithm: None,
        salted_password: None,
    };
    CreateCredentialRequest {
        credential_type: CredentialType::PASSWORD,
        attributes: Attributes::default(),
        object: Some(ManagedObject::PasswordCredential(password)),
    }
}

async fn attributes(gateway: &Gateway, id: &UniqueIdentifier, of: &[Tag]) -> Result<Attributes, ResultReason> {
    let attribute_references = of.iter().map(|tag| AttributeKind::from(*tag)).collect();
    let unique_identifier = Some(id.clone());
    let answer = ask(gateway, GetAttributesRequest { unique_identifier, attribute_references }).await;
    match answer.payload {
        Some(Response::GetAttributes(found)) => Ok(found.attributes.0),
        _ => Err(reason(&answer)),
    }
}

async fn locate(
    gateway: &Gateway,
    version: kmip_codec::ProtocolVersion,
    conditions: Attributes,
) -> Vec<UniqueIdentifier> {
    let request = LocateRequest { attributes: AttributeList(conditions), ..LocateRequest::default() };
    let answer = gateway.one(version, Operation::LOCATE, request.into()).await;
    match answer.payload {
        Some(Response::Locate(found)) => found.unique_identifiers,
        other => panic!("{:?} {other:?}", answer.reason),
    }
}

#[tokio::test]
async fn a_user_has_credentials_that_never_leave_again() {
    let gateway = Gateway::of_all_versions();
    let credential = made(ask(&gateway, password("correct horse")).await);
    let link = AttributeValue::Reference(credential.clone());
    let user = CreateUserRequest { attributes: named("ada").with(Tag::CREDENTIAL_LINK, link.clone()) };
    let user = made(ask(&gateway, user).await);

    let answer =
        ask(&gateway, GetRequest { unique_identifier: Some(credential.clone()), ..GetRequest::default() }).await;
    assert_eq!(reason(&answer), ResultReason::NOT_EXTRACTABLE);
    let of_user = attributes(&gateway, &user, &[]).await.unwrap();
    assert_eq!(of_user.get(Tag::CREDENTIAL_LINK), Some(&link));
    assert_eq!(of_user.get(Tag::OBJECT_TYPE), Some(&AttributeValue::Enumeration(ObjectType::USER.number())));
    let of_credential = attributes(&gateway, &credential, &[Tag::CREDENTIAL_TYPE, Tag::OBJECT_CLASS]).await.unwrap();
    let seven = AttributeValue::Enumeration(CredentialType::PASSWORD.number());
    assert_eq!(of_credential.get(Tag::CREDENTIAL_TYPE), Some(&seven));
    assert_eq!(of_credential.items.len(), 2);
    // Nobody else finds either, and a user is no object of earlier versions.
    assert_eq!(locate(&gateway, V3_0, named("ada")).await, [user]);
}

#[tokio::test]
async fn a_credential_is_what_its_request_says() {
    let gateway = Gateway::of_all_versions();
    let wrong = CreateCredentialRequest { credential_type: CredentialType::CERTIFICATE, ..password("x") };
    assert_eq!(reason(&ask(&gateway, wrong).await), ResultReason::INVALID_FIELD);
    let none = CreateCredentialRequest { object: None, ..password("x") };
    assert_eq!(reason(&ask(&gateway, none).await), ResultReason::INVALID_MESSAGE);
    let empty = PasswordCredential {
        password: None,
        password_salt: None,
        password_salt_algorithm: None,
        salted_password: None,
    };
    let empty = CreateCredentialRequest { object: Some(ManagedObject::PasswordCredential(empty)), ..password("x") };
    assert_eq!(reason(&ask(&gateway, empty).await), ResultReason::INVALID_FIELD);
    let hashed = HashedPasswordCredential {
        hashing_algorithm: None,
        hashed_username_password: vec![1; 32].into(),
        hashed_password_username: vec![2; 32].into(),
    };
    let hashed = CreateCredentialRequest {
        credential_type: CredentialType::HASHED_PASSWORD,
        attributes: Attributes::default(),
        object: Some(ManagedObject::HashedPasswordCredential(hashed)),
    };
    made(ask(&gateway, hashed).await);
}

#[tokio::test]
async fn links_of_a_user_point_to_credentials_and_groups() {
    let gateway = Gateway::of_all_versions();
    let group = made(ask(&gateway, CreateGroupRequest { attributes: named("operators") }).await);
    let link = |tag, target: &UniqueIdentifier| CreateUserRequest {
        attributes: Attributes::default().with(tag, AttributeValue::Reference(target.clone())),
    };
    assert_eq!(reason(&ask(&gateway, link(Tag::CREDENTIAL_LINK, &group)).await), ResultReason::INVALID_OBJECT_TYPE);
    let nobody: UniqueIdentifier = "6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f".into();
    assert_eq!(reason(&ask(&gateway, link(Tag::GROUP_LINK, &nobody)).await), ResultReason::OBJECT_NOT_FOUND);
    made(ask(&gateway, link(Tag::GROUP_LINK, &group)).await);
}

#[tokio::test]
async fn an_obliterated_object_leaves_nothing_but_the_answer() {
    let mut gateway = Gateway::of_all_versions();
    let id = gateway.aes(V3_0, "secret plans", Attributes::default()).await;
    let request = || ObliterateRequest { unique_identifier: Some(id.clone()) };
    match ask(&gateway, request()).await.payload {
        Some(Response::Obliterate(answer)) => assert_eq!(answer.unique_identifier, None),
        other => panic!("{other:?}"),
    }
    assert_eq!(attributes(&gateway, &id, &[Tag::STATE]).await, Err(ResultReason::ITEM_NOT_FOUND));
    assert_eq!(reason(&ask(&gateway, request()).await), ResultReason::ITEM_NOT_FOUND);
    assert_eq!(locate(&gateway, V3_0, named("secret plans")).await, []);
    gateway.aes(V3_0, "secret plans", Attributes::default()).await;
    gateway.peer = peer("stranger", "elsewhere", "member");
    assert_eq!(attributes(&gateway, &id, &[Tag::STATE]).await, Err(ResultReason::OBJECT_NOT_FOUND));
}

#[tokio::test]
async fn an_active_object_is_not_obliterated_and_a_destroyed_one_is() {
    let gateway = Gateway::of_all_versions();
    let id = gateway.aes(V3_0, "", Attributes::default()).await;
    let unique_identifier = Some(id.clone());
    let activated = ask(&gateway, ActivateRequest { unique_identifier: unique_identifier.clone() }).await;
    assert_eq!(activated.reason, None);
    let answer = ask(&gateway, ObliterateRequest { unique_identifier: unique_identifier.clone() }).await;
    assert_eq!(reason(&answer), ResultReason::WRONG_KEY_LIFECYCLE_STATE);

    let other = gateway.aes(V3_0, "", Attributes::default()).await;
    let unique_identifier = Some(other.clone());
    let destroyed = ask(&gateway, DestroyRequest { unique_identifier: unique_identifier.clone() }).await;
    assert_eq!(destroyed.reason, None);
    assert_eq!(ask(&gateway, ObliterateRequest { unique_identifier }).await.reason, None);
    assert_eq!(attributes(&gateway, &other, &[]).await, Err(ResultReason::ITEM_NOT_FOUND));
}

#[tokio::test]
async fn deactivate_keeps_its_reason() {
    let gateway = Gateway::of_all_versions();
    let id = gateway.aes(V3_0, "", Attributes::default()).await;
    let why = DeactivationReason { code: DeactivationReasonCode::from_number(1), message: Some("moved".to_owned()) };
    let request = || DeactivateRequest { unique_identifier: Some(id.clone()), deactivation_reason: Some(why.clone()) };
    assert_eq!(reason(&ask(&gateway, request()).await), ResultReason::WRONG_KEY_LIFECYCLE_STATE, "it is Pre-Active");
    assert_eq!(ask(&gateway, ActivateRequest { unique_identifier: Some(id.clone()) }).await.reason, None);
    assert_eq!(ask(&gateway, request()).await.reason, None);
    let found = attributes(&gateway, &id, &[Tag::STATE, Tag::DEACTIVATION_REASON]).await.unwrap();
    assert_eq!(found.get(Tag::STATE), Some(&AttributeValue::Enumeration(State::DEACTIVATED.number())));
    assert_eq!(found.get(Tag::DEACTIVATION_REASON), Some(&AttributeValue::DeactivationReason(why)));
}

#[tokio::test]
async fn a_group_by_name_is_the_object_group_of_earlier_versions() {
    let gateway = Gateway::of_all_versions();
    let old = Attributes::default().with(Tag::OBJECT_GROUP, AttributeValue::Text("array 7".to_owned()));
    let by_name = AttributeValue::Reference(UniqueIdentifier::Name("array 7".to_owned()));
    let new = Attributes::default().with(Tag::GROUP_LINK, by_name.clone());
    let made_old = gateway.aes(V1_4, "", old.clone()).await;
    let made_new = gateway.aes(V3_0, "", new.clone()).await;
    for (version, conditions) in [(V1_4, &old), (V2_1, &old), (V3_0, &new)] {
        let found = locate(&gateway, version, conditions.clone()).await;
        assert_eq!(found.len(), 2, "{version}");
        assert!(found.contains(&made_old) && found.contains(&made_new), "{version}");
    }
    let found = attributes(&gateway, &made_old, &[Tag::GROUP_LINK]).await.unwrap();
    assert_eq!(found.get(Tag::GROUP_LINK), Some(&by_name));
    assert_eq!(found.items.len(), 1);
}

#[tokio::test]
async fn each_type_of_link_is_asked_for_by_itself() {
    let gateway = Gateway::of_all_versions();
    let (first, second) =
        (gateway.aes(V3_0, "", Attributes::default()).await, gateway.aes(V3_0, "", Attributes::default()).await);
    for link_type in [LinkType::NEXT_LINK, LinkType::PARENT_LINK] {
        let link = AttributeValue::Link(Link { link_type, target: second.clone() });
        let attribute = kmip_codec::attribute::Attribute::new(Tag::LINK, link);
        let answer = ask(&gateway, AddAttributeRequest { unique_identifier: Some(first.clone()), attribute }).await;
        assert_eq!(answer.reason, None, "{:?}", answer.message);
    }
    let found = attributes(&gateway, &first, &[Tag::NEXT_LINK]).await.unwrap();
    assert_eq!(found.items.len(), 1);
    assert_eq!(
        found.get(Tag::LINK),
        Some(&AttributeValue::Link(Link { link_type: LinkType::NEXT_LINK, target: second }))
    );
}

#[tokio::test]
async fn a_chain_of_links_may_not_lead_back() {
    let gateway = Gateway::of_all_versions();
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(gateway.aes(V3_0, "", Attributes::default()).await);
    }
    let link = |from: usize, link_type: LinkType, to: usize| {
        let value = AttributeValue::Link(Link { link_type, target: keys[to].clone() });
        let attribute = kmip_codec::attribute::Attribute::new(Tag::LINK, value);
        AddAttributeRequest { unique_identifier: Some(keys[from].clone()), attribute }
    };
    for (from, to) in [(0, 1), (1, 2)] {
        assert_eq!(ask(&gateway, link(from, LinkType::NEXT_LINK, to)).await.reason, None);
        assert_eq!(
            ask(&gateway, link(to, LinkType::PREVIOUS_LINK, from)).await.reason,
            None,
            "the other way is a chain"
        );
    }
    for (from, to) in [(2, 0), (2, 2)] {
        let answer = ask(&gateway, link(from, LinkType::NEXT_LINK, to)).await;
        assert_eq!(reason(&answer), ResultReason::CIRCULAR_LINK_ERROR, "{from} to {to}");
    }
    let old = gateway.one(V2_1, Operation::ADD_ATTRIBUTE, link(2, LinkType::NEXT_LINK, 0).into()).await;
    assert_eq!(old.reason, None, "2.1 has no such rule");
}

#[tokio::test]
async fn earlier_versions_have_none_of_it() {
    let gateway = Gateway::of_all_versions();
    for operation in [
        Operation::CREATE_USER,
        Operation::CREATE_GROUP,
        Operation::CREATE_CREDENTIAL,
        Operation::OBLITERATE,
        Operation::DEACTIVATE,
    ] {
        let answer = gateway.one(V2_1, operation, Request::from(PingRequest::default())).await;
        assert_eq!(reason(&answer), ResultReason::OPERATION_NOT_SUPPORTED, "{operation}");
    }
}

/// A use is counted at once, and stands in the record after the next settling.
#[tokio::test]
async fn uses_are_counted_and_survive() {
    let gateway = Gateway::of_all_versions();
    let active =
        Attributes::default().with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(kmip_codec::codec::DateTime(1)));
    let id = gateway.aes(V3_0, "", active).await;
    let counters = || async {
        let ask = GetAttributesRequest {
            unique_identifier: Some(id.clone()),
            attribute_references: vec![Tag::ENCRYPT_COUNTER.into(), Tag::DECRYPT_COUNTER.into()],
        };
        let answer = gateway.one(V3_0, Operation::GET_ATTRIBUTES, Request::from(ask)).await;
        let Some(Response::GetAttributes(got)) = answer.payload else { panic!("{answer:?}") };
        let mut counts: Vec<_> = got.attributes.0.items.into_iter().map(|it| (it.kind, it.value)).collect();
        counts.sort_by_key(|(kind, _)| *kind == Tag::DECRYPT_COUNTER.into());
        counts.into_iter().map(|(_, value)| value.unwrap()).collect::<Vec<_>>()
    };
    let long = AttributeValue::LongInteger;
    assert_eq!(counters().await, [long(0), long(0)]);
    let ports = gateway.bench.engine.ports();
    for round in 1..=3 {
        let encrypt = kmip_codec::payload::EncryptRequest {
            unique_identifier: Some(id.clone()),
            cryptographic_parameters: Some(kmip_codec::attribute::CryptographicParameters {
                block_cipher_mode: Some(kmip_codec::spec::enums::BlockCipherMode::CBC),
                ..Default::default()
            }),
            data: Some(kmip_codec::payload::Data::from(vec![0; 16])),
            ..Default::default()
        };
        assert_eq!(gateway.one(V3_0, Operation::ENCRYPT, Request::from(encrypt)).await.reason, None);
        assert_eq!(counters().await, [long(round), long(0)]);
        if round == 2 {
            portcullis::engine::Uses::settle(ports).await.unwrap();
        }
        assert_eq!(counters().await, [long(round), long(0)]);
    }
    let text = id.as_text().unwrap().parse().unwrap();
    let stored = ports.store.object(text).await.unwrap().unwrap().record;
    let kind = portcullis::domain::AttributeKind::EncryptCounter;
    assert_eq!(stored.attributes.value(&kind), Some(&portcullis::domain::AttributeValue::Long(2)));
}
