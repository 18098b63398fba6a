//! What the clock does to an object without a request: activation, process start, protect stop, deactivation (KMIP contract
//! §7). Each operation is asked at each moment of a key's life, one second before and after each date.

use kmip_codec::{
    ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{Attribute, AttributeValue, Attributes, CryptographicParameters, RevocationReason},
    codec::DateTime,
    payload::{
        ActivateRequest, DecryptRequest, DestroyRequest, EncryptRequest, GetAttributesRequest, GetRequest, MacRequest,
        MacVerifyRequest, ModifyAttributeRequest, Request, Response, RevokeRequest,
    },
    spec::enums::{
        BlockCipherMode, HashingAlgorithm, Operation, PaddingMethod, ResultReason as R, RevocationReasonCode, State,
    },
    version::{SUPPORTED, V1_2, V2_1},
};

use crate::support::{Answer, Gateway, reason};

/// When things happen, in seconds from now on: in the order of the attributes of [`DATES`].
const AT: [i64; 4] = [100, 200, 300, 400];
const DATES: [Tag; 4] = [Tag::ACTIVATION_DATE, Tag::PROCESS_START_DATE, Tag::PROTECT_STOP_DATE, Tag::DEACTIVATION_DATE];

/// Moments, with the state and what may be done then: protect, process.
const MOMENTS: [(i64, State, bool, bool); 8] = [
    (99, State::PRE_ACTIVE, false, false),
    (101, State::ACTIVE, true, false),
    (199, State::ACTIVE, true, false),
    (201, State::ACTIVE, true, true),
    (299, State::ACTIVE, true, true),
    (301, State::ACTIVE, false, true),
    (399, State::ACTIVE, false, true),
    (401, State::DEACTIVATED, false, true),
];

fn now(gateway: &Gateway) -> i64 {
    gateway.bench.engine.ports().clock.now().seconds()
}

/// A key of every use, with all four dates.
async fn dated(gateway: &Gateway) -> UniqueIdentifier {
    let from = now(gateway);
    let mut attributes = Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0x38C));
    for (tag, at) in DATES.into_iter().zip(AT) {
        attributes.push(tag, AttributeValue::DateTime(DateTime(from + at)));
    }
    gateway.aes_with_mask(V2_1, attributes).await
}

async fn state(gateway: &Gateway, version: ProtocolVersion, id: &UniqueIdentifier) -> State {
    let unique_identifier = Some(id.clone());
    let request = GetAttributesRequest { unique_identifier, attribute_references: vec![Tag::STATE.into()] };
    match gateway.one(version, Operation::GET_ATTRIBUTES, request.into()).await.payload {
        Some(Response::GetAttributes(found)) => match found.attributes.0.get(Tag::STATE) {
            Some(AttributeValue::Enumeration(number)) => State::from_number(*number),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn uses(id: &UniqueIdentifier) -> ([Request; 2], [Request; 2]) {
    let unique_identifier = || Some(id.clone());
    let cbc = || {
        Some(CryptographicParameters {
            block_cipher_mode: Some(BlockCipherMode::CBC),
            padding_method: Some(PaddingMethod::NONE),
            ..CryptographicParameters::default()
        })
    };
    let mac = || {
        Some(CryptographicParameters {
            hashing_algorithm: Some(HashingAlgorithm::SHA_256),
            ..CryptographicParameters::default()
        })
    };
    let data = || Some(vec![7; 16].into());
    let encrypt = EncryptRequest {
        unique_identifier: unique_identifier(),
        cryptographic_parameters: cbc(),
        data: data(),
        iv_counter_nonce: Some(vec![7; 16]),
        ..EncryptRequest::default()
    };
    let decrypt = DecryptRequest {
        unique_identifier: unique_identifier(),
        cryptographic_parameters: cbc(),
        data: data(),
        iv_counter_nonce: Some(vec![7; 16]),
        ..DecryptRequest::default()
    };
    let make = MacRequest {
        unique_identifier: unique_identifier(),
        cryptographic_parameters: mac(),
        data: data(),
        ..MacRequest::default()
    };
    let verify = MacVerifyRequest {
        unique_identifier: unique_identifier(),
        cryptographic_parameters: mac(),
        data: data(),
        mac_data: Some(vec![1; 32]),
        ..MacVerifyRequest::default()
    };
    ([encrypt.into(), make.into()], [decrypt.into(), verify.into()])
}

fn wrong_state(version: ProtocolVersion) -> R {
    if version >= V2_1 { R::WRONG_KEY_LIFECYCLE_STATE } else { R::PERMISSION_DENIED }
}

fn told(answer: &Answer) -> Option<R> {
    answer.reason
}

#[tokio::test]
async fn each_date_opens_and_closes_what_it_is_for() {
    for version in SUPPORTED.into_iter().filter(|version| *version >= V1_2) {
        let gateway = Gateway::of_all_versions();
        let begun = now(&gateway);
        let id = dated(&gateway).await;
        for (moment, expected, protects, processes) in MOMENTS {
            gateway.bench.clock.advance(begun + moment - now(&gateway));
            assert_eq!(state(&gateway, version, &id).await, expected, "{version} at {moment}");
            let (protecting, processing) = uses(&id);
            for (requests, allowed) in [(protecting, protects), (processing, processes)] {
                for request in requests {
                    let operation = request.operation();
                    let answer = gateway.one(version, operation, request).await;
                    let right = (!allowed).then(|| wrong_state(version));
                    assert_eq!(told(&answer), right, "{operation} in {version} at {moment}: {answer:?}");
                }
            }
            let get = GetRequest { unique_identifier: Some(id.clone()), ..GetRequest::default() };
            assert_eq!(told(&gateway.one(version, Operation::GET, get.into()).await), None, "{version} at {moment}");
        }
    }
}

/// What a client may do to the key itself at each moment: activate, revoke, destroy.
#[tokio::test]
async fn the_state_by_the_clock_is_the_state_for_every_operation() {
    for version in SUPPORTED {
        for (moment, expected, ..) in MOMENTS {
            let asked: [(Operation, Option<R>); 3] = match expected {
                State::PRE_ACTIVE => [
                    (Operation::ACTIVATE, None),
                    (
                        Operation::REVOKE,
                        Some(if version < kmip_codec::version::V2_0 {
                            R::ILLEGAL_OPERATION
                        } else {
                            R::WRONG_KEY_LIFECYCLE_STATE
                        }),
                    ),
                    (Operation::DESTROY, None),
                ],
                State::ACTIVE => [
                    (Operation::ACTIVATE, Some(wrong_state(version))),
                    (Operation::REVOKE, None),
                    (Operation::DESTROY, Some(wrong_state(version))),
                ],
                _ => [
                    (Operation::ACTIVATE, Some(wrong_state(version))),
                    (Operation::REVOKE, None),
                    (Operation::DESTROY, None),
                ],
            };
            for (operation, right) in asked {
                let gateway = Gateway::of_all_versions();
                let begun = now(&gateway);
                let id = dated(&gateway).await;
                gateway.bench.clock.advance(begun + moment - now(&gateway));
                let unique_identifier = Some(id);
                let request: Request = match operation {
                    Operation::ACTIVATE => ActivateRequest { unique_identifier }.into(),
                    Operation::REVOKE => RevokeRequest {
                        unique_identifier,
                        revocation_reason: RevocationReason { code: RevocationReasonCode::SUPERSEDED, message: None },
                        compromise_occurrence_date: None,
                    }
                    .into(),
                    _ => DestroyRequest { unique_identifier }.into(),
                };
                let answer = gateway.one(version, operation, request).await;
                assert_eq!(told(&answer), right, "{operation} in {version} at {moment}");
            }
        }
    }
}

/// KMIP 1.4 §3.24 to §3.27: until when a client may move each date.
#[tokio::test]
async fn a_date_is_moved_until_it_is_reached() {
    for version in SUPPORTED {
        for (tag, at) in DATES.into_iter().zip(AT) {
            for (moment, ..) in MOMENTS {
                let gateway = Gateway::of_all_versions();
                let begun = now(&gateway);
                let id = dated(&gateway).await;
                gateway.bench.clock.advance(begun + moment - now(&gateway));
                let attribute = Attribute::new(tag, AttributeValue::DateTime(DateTime(begun + at)));
                let request =
                    ModifyAttributeRequest { unique_identifier: Some(id), current_attribute: None, attribute };
                let answer = gateway.one(version, Operation::MODIFY_ATTRIBUTE, request.into()).await;
                if moment < at {
                    assert_eq!(told(&answer), None, "{tag} in {version} at {moment}: {answer:?}");
                } else {
                    assert_eq!(reason(&answer), wrong_state(version), "{tag} in {version} at {moment}");
                }
            }
        }
    }
}
