//! Every operation on a key in every state: what is done, and the exact refusal (KMIP contract §7 and §9).

use kmip_codec::{
    ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{Attribute, AttributeValue, Attributes, CryptographicParameters, RevocationReason},
    payload::{
        ActivateRequest, AddAttributeRequest, ArchiveRequest, CheckRequest, CreateSplitKeyRequest, DecryptRequest,
        DerivationParameters, DeriveKeyRequest, DestroyRequest, EncryptRequest, ExportRequest, GetAttributesRequest,
        GetRequest, GetUsageAllocationRequest, ObtainLeaseRequest, ReKeyRequest, Request, RevokeRequest,
    },
    spec::enums::{
        BlockCipherMode, CryptographicAlgorithm, DerivationMethod, HashingAlgorithm, ObjectType, Operation,
        PaddingMethod, ResultReason, RevocationReasonCode, SplitKeyMethod,
    },
    version::{V1_4, V2_0, V2_1},
};

use crate::support::{Answer, Gateway};

/// What comes of it.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Done,
    /// The state forbids it.
    State,
    /// No such transition exists.
    Illegal,
    /// The object has been destroyed.
    Gone,
    /// No lease.
    Denied,
    /// Nothing to take from.
    NoLimit,
}
use Expected::{Denied, Done, Gone, Illegal, NoLimit, State};

impl Expected {
    fn reason(self, version: ProtocolVersion) -> Option<ResultReason> {
        let (old, v2_0, v2_1) = match self {
            Done => return None,
            State => (
                ResultReason::PERMISSION_DENIED,
                ResultReason::PERMISSION_DENIED,
                ResultReason::WRONG_KEY_LIFECYCLE_STATE,
            ),
            Illegal => (
                ResultReason::ILLEGAL_OPERATION,
                ResultReason::WRONG_KEY_LIFECYCLE_STATE,
                ResultReason::WRONG_KEY_LIFECYCLE_STATE,
            ),
            Gone => (ResultReason::ITEM_NOT_FOUND, ResultReason::OBJECT_DESTROYED, ResultReason::OBJECT_DESTROYED),
            Denied => {
                (ResultReason::PERMISSION_DENIED, ResultReason::PERMISSION_DENIED, ResultReason::PERMISSION_DENIED)
            }
            NoLimit => {
                (ResultReason::ILLEGAL_OPERATION, ResultReason::ATTRIBUTE_NOT_FOUND, ResultReason::ATTRIBUTE_NOT_FOUND)
            }
        };
        Some(match version {
            V2_1 => v2_1,
            V2_0 => v2_0,
            _ => old,
        })
    }
}

/// A request for the key of that identifier.
type Ask = fn(UniqueIdentifier) -> (Operation, Request);

/// Which operation, and what comes of it for a key that is Pre-Active, Active, Deactivated, Compromised, Destroyed,
/// Destroyed Compromised.
const TABLE: &[(&str, Ask, [Expected; 6])] = &[
    ("activate", activate, [Done, State, State, State, Gone, Gone]),
    ("revoke", |id| revoke(id, RevocationReasonCode::SUPERSEDED), [Illegal, Done, Done, Done, Illegal, Illegal]),
    ("compromise", |id| revoke(id, RevocationReasonCode::KEY_COMPROMISE), [Done, Done, Done, Done, Done, Done]),
    ("destroy", destroy, [Done, State, Done, Done, Gone, Gone]),
    ("encrypt", encrypt, [State, Done, State, State, Gone, Gone]),
    ("decrypt", decrypt, [State, Done, Done, Done, Gone, Gone]),
    ("derive", derive, [State, Done, State, State, Gone, Gone]),
    ("get", get, [Done, Done, Done, Done, Gone, Gone]),
    ("export", export, [Done, Done, Done, Done, Done, Done]),
    ("attributes", attributes, [Done, Done, Done, Done, Done, Done]),
    ("comment", comment, [Done, Done, Done, Done, Done, Done]),
    ("check", check, [Done, Done, Done, Done, Gone, Gone]),
    ("re-key", rekey, [Done, Done, Done, Done, Gone, Gone]),
    ("split", split, [Done, Done, Done, Done, Gone, Gone]),
    ("archive", archive, [Done, Done, Done, Done, Gone, Gone]),
    ("lease", lease, [Done, Done, Done, Denied, Denied, Denied]),
    ("allocation", allocate, [State, NoLimit, State, State, Gone, Gone]),
];

#[tokio::test]
async fn every_operation_answers_in_every_state_as_the_table_says() {
    for version in [V1_4, V2_0, V2_1] {
        for (name, ask, row) in TABLE {
            for (at, expected) in row.iter().enumerate() {
                let gateway = Gateway::start();
                let key = in_state(&gateway, version, at).await;
                let (operation, request) = ask(key);
                let answer = gateway.one(version, operation, request).await;
                let told = answer
                    .reason
                    .filter(|it| operation != Operation::DECRYPT || *it != ResultReason::CRYPTOGRAPHIC_FAILURE);
                assert_eq!(told, expected.reason(version), "{name} in state {} of {version}: {answer:?}", at + 1);
                assert_eq!(gateway.bench.store.open_intents(), 0, "{name} in state {}", at + 1);
            }
        }
    }
}

async fn done(gateway: &Gateway, version: ProtocolVersion, (operation, request): (Operation, Request)) -> Answer {
    let answer = gateway.one(version, operation, request).await;
    assert_eq!(answer.reason, None, "{answer:?}");
    answer
}

async fn in_state(gateway: &Gateway, version: ProtocolVersion, state: usize) -> UniqueIdentifier {
    let mask = Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0x20C));
    let key = gateway.aes_with_mask(version, mask).await;
    let id = || key.clone();
    match state {
        0 => {}
        1 => drop(done(gateway, version, activate(id())).await),
        2 => {
            done(gateway, version, activate(id())).await;
            done(gateway, version, revoke(id(), RevocationReasonCode::SUPERSEDED)).await;
        }
        3 => {
            done(gateway, version, activate(id())).await;
            done(gateway, version, revoke(id(), RevocationReasonCode::KEY_COMPROMISE)).await;
        }
        4 => drop(done(gateway, version, destroy(id())).await),
        _ => {
            done(gateway, version, revoke(id(), RevocationReasonCode::KEY_COMPROMISE)).await;
            done(gateway, version, destroy(id())).await;
        }
    }
    key
}

fn activate(id: UniqueIdentifier) -> (Operation, Request) {
    (Operation::ACTIVATE, Request::Activate(Box::new(ActivateRequest { unique_identifier: Some(id) })))
}

fn revoke(id: UniqueIdentifier, code: RevocationReasonCode) -> (Operation, Request) {
    let request = RevokeRequest {
        unique_identifier: Some(id),
        revocation_reason: RevocationReason { code, message: None },
        compromise_occurrence_date: None,
    };
    (Operation::REVOKE, Request::Revoke(Box::new(request)))
}

fn destroy(id: UniqueIdentifier) -> (Operation, Request) {
    (Operation::DESTROY, Request::Destroy(Box::new(DestroyRequest { unique_identifier: Some(id) })))
}

fn cbc() -> Option<CryptographicParameters> {
    Some(CryptographicParameters {
        block_cipher_mode: Some(BlockCipherMode::CBC),
        padding_method: Some(PaddingMethod::PKCS5),
        ..CryptographicParameters::default()
    })
}

fn encrypt(id: UniqueIdentifier) -> (Operation, Request) {
    let request = EncryptRequest {
        unique_identifier: Some(id),
        cryptographic_parameters: cbc(),
        data: Some(b"attack at dawn".to_vec().into()),
        iv_counter_nonce: Some(vec![7; 16]),
        ..EncryptRequest::default()
    };
    (Operation::ENCRYPT, Request::Encrypt(Box::new(request)))
}

/// What is decrypted was never encrypted, so that a key that may be used answers that it does not decrypt, or, by chance,
/// something: both mean that the state allowed it.
fn decrypt(id: UniqueIdentifier) -> (Operation, Request) {
    let request = DecryptRequest {
        unique_identifier: Some(id),
        cryptographic_parameters: cbc(),
        data: Some(vec![0; 16].into()),
        iv_counter_nonce: Some(vec![7; 16]),
        ..DecryptRequest::default()
    };
    (Operation::DECRYPT, Request::Decrypt(Box::new(request)))
}

pub(crate) fn derive(id: UniqueIdentifier) -> (Operation, Request) {
    let parameters = CryptographicParameters {
        hashing_algorithm: Some(HashingAlgorithm::SHA_256),
        ..CryptographicParameters::default()
    };
    let request = DeriveKeyRequest {
        object_type: ObjectType::SYMMETRIC_KEY,
        unique_identifiers: vec![id],
        derivation_method: DerivationMethod::HMAC,
        derivation_parameters: DerivationParameters {
            cryptographic_parameters: Some(parameters),
            derivation_data: Some(vec![1, 2].into()),
            ..DerivationParameters::default()
        },
        attributes: Attributes::default()
            .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::AES.number()))
            .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(128))
            .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0xC)),
    };
    (Operation::DERIVE_KEY, Request::DeriveKey(Box::new(request)))
}

fn get(id: UniqueIdentifier) -> (Operation, Request) {
    (Operation::GET, Request::Get(Box::new(GetRequest { unique_identifier: Some(id), ..GetRequest::default() })))
}

fn export(id: UniqueIdentifier) -> (Operation, Request) {
    let request = ExportRequest { unique_identifier: Some(id), ..ExportRequest::default() };
    (Operation::EXPORT, Request::Export(Box::new(request)))
}

fn attributes(id: UniqueIdentifier) -> (Operation, Request) {
    let request = GetAttributesRequest { unique_identifier: Some(id), attribute_references: vec![Tag::STATE.into()] };
    (Operation::GET_ATTRIBUTES, Request::GetAttributes(Box::new(request)))
}

fn comment(id: UniqueIdentifier) -> (Operation, Request) {
    let attribute = Attribute::new(Tag::COMMENT, AttributeValue::Text("noted".to_owned()));
    let request = AddAttributeRequest { unique_identifier: Some(id), attribute };
    (Operation::ADD_ATTRIBUTE, Request::AddAttribute(Box::new(request)))
}

fn check(id: UniqueIdentifier) -> (Operation, Request) {
    let request = CheckRequest { unique_identifier: Some(id), lease_time: None, ..CheckRequest::default() };
    (Operation::CHECK, Request::Check(Box::new(request)))
}

pub(crate) fn rekey(id: UniqueIdentifier) -> (Operation, Request) {
    let request = ReKeyRequest { unique_identifier: Some(id), ..ReKeyRequest::default() };
    (Operation::RE_KEY, Request::ReKey(Box::new(request)))
}

pub(crate) fn split(id: UniqueIdentifier) -> (Operation, Request) {
    let request = CreateSplitKeyRequest {
        object_type: ObjectType::SPLIT_KEY,
        unique_identifier: Some(id),
        split_key_parts: 3,
        split_key_threshold: 2,
        split_key_method: SplitKeyMethod::POLYNOMIAL_SHARING_GF28,
        split_key_polynomial: None,
        prime_field_size: None,
        attributes: Attributes::default(),
        protection_storage_masks: None,
    };
    (Operation::CREATE_SPLIT_KEY, Request::CreateSplitKey(Box::new(request)))
}

fn archive(id: UniqueIdentifier) -> (Operation, Request) {
    (Operation::ARCHIVE, Request::Archive(Box::new(ArchiveRequest { unique_identifier: Some(id) })))
}

fn lease(id: UniqueIdentifier) -> (Operation, Request) {
    (Operation::OBTAIN_LEASE, Request::ObtainLease(Box::new(ObtainLeaseRequest { unique_identifier: Some(id) })))
}

fn allocate(id: UniqueIdentifier) -> (Operation, Request) {
    let request = GetUsageAllocationRequest { unique_identifier: Some(id), usage_limits_count: 1 };
    (Operation::GET_USAGE_ALLOCATION, Request::GetUsageAllocation(Box::new(request)))
}
