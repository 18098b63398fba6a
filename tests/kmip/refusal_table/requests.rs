//! A request that succeeds, for every operation: what the conditions of the table spoil.

use kmip_codec::{
    ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{
        ApplicationSpecificInformation, Attribute, AttributeKind, AttributeList, AttributeValue, Attributes,
        CryptographicParameters, Name, RevocationReason, UsageLimits,
    },
    codec::DateTime,
    message::Ticket,
    object::{KeyBlock, KeyValue, ManagedObject, OpaqueObject, PasswordCredential, SymmetricKey},
    payload::*,
    secret::SecretText,
    spec::enums::{
        AdjustmentType, BlockCipherMode, CredentialType, CryptographicAlgorithm, DerivationMethod,
        DigitalSignatureAlgorithm, EndpointRole, HashingAlgorithm, InteropFunction, KeyFormatType, ObjectType,
        OpaqueDataType, Operation, PaddingMethod, Pkcs11Function, QueryFunction, RecommendedCurve,
        RevocationReasonCode, SplitKeyMethod, UsageLimitsUnit,
    },
    version::{V2_0, V2_1, V3_0},
};

use crate::support::{Answer, Gateway, create, reason};

/// Encrypt, Decrypt, Wrap, Unwrap, MAC Generate, MAC Verify, Derive.
const EVERY_USE: u32 = 0x3BC;
/// A long way off, so that Set Attribute has a date to move.
const FAR: i64 = 4_000_000_000;

/// What a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subject {
    /// No object.
    None,
    /// A symmetric key.
    Key,
    /// The private key of a pair.
    Private,
    /// The public key of a pair.
    Public,
    /// A certificate.
    Certificate,
    /// The parts of a key.
    Parts,
}

/// What an operation is about.
pub(super) fn subject(operation: Operation) -> Subject {
    match operation {
        Operation::RE_KEY
        | Operation::DERIVE_KEY
        | Operation::CHECK
        | Operation::GET
        | Operation::GET_ATTRIBUTES
        | Operation::GET_ATTRIBUTE_LIST
        | Operation::ADD_ATTRIBUTE
        | Operation::MODIFY_ATTRIBUTE
        | Operation::DELETE_ATTRIBUTE
        | Operation::SET_ATTRIBUTE
        | Operation::ADJUST_ATTRIBUTE
        | Operation::OBTAIN_LEASE
        | Operation::GET_USAGE_ALLOCATION
        | Operation::ACTIVATE
        | Operation::REVOKE
        | Operation::DESTROY
        | Operation::ARCHIVE
        | Operation::RECOVER
        | Operation::ENCRYPT
        | Operation::DECRYPT
        | Operation::MAC
        | Operation::MAC_VERIFY
        | Operation::CREATE_SPLIT_KEY
        | Operation::EXPORT
        | Operation::OBLITERATE
        | Operation::DEACTIVATE => Subject::Key,
        Operation::SIGN | Operation::RE_KEY_KEY_PAIR => Subject::Private,
        Operation::SIGNATURE_VERIFY | Operation::CERTIFY => Subject::Public,
        Operation::RE_CERTIFY | Operation::VALIDATE => Subject::Certificate,
        Operation::JOIN_SPLIT_KEY => Subject::Parts,
        _ => Subject::None,
    }
}

/// The state in which an operation finds its object when all is well.
pub(super) fn state_wanted(operation: Operation) -> State {
    match operation {
        Operation::ACTIVATE | Operation::DESTROY | Operation::OBLITERATE => State::PreActive,
        Operation::RECOVER => State::Archived,
        _ => State::Active,
    }
}

/// Where an object stands: its state, or in the archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    PreActive,
    Active,
    Deactivated,
    Compromised,
    Destroyed,
    DestroyedCompromised,
    Archived,
}

pub(super) const STATES: [(State, &str); 7] = [
    (State::PreActive, "Pre-Active"),
    (State::Active, "Active"),
    (State::Deactivated, "Deactivated"),
    (State::Compromised, "Compromised"),
    (State::Destroyed, "Destroyed"),
    (State::DestroyedCompromised, "Destroyed Compromised"),
    (State::Archived, "archived"),
];

async fn done(gateway: &Gateway, request: impl Into<Request>) -> Response {
    let request = request.into();
    let answer = gateway.one(V3_0, request.operation(), request).await;
    answer.payload.unwrap_or_else(|| panic!("{:?} {:?}", answer.reason, answer.message))
}

fn mask(bits: u32) -> AttributeValue {
    AttributeValue::Mask(bits)
}

fn limited() -> AttributeValue {
    AttributeValue::UsageLimits(UsageLimits { total: 1 << 40, count: None, unit: UsageLimitsUnit::OBJECT })
}

/// A symmetric key that may do everything.
pub(super) async fn key(gateway: &Gateway) -> UniqueIdentifier {
    let attributes = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, mask(EVERY_USE))
        .with(Tag::NAME, AttributeValue::Name(Name::text(fresh_identifier(gateway))))
        .with(Tag::USAGE_LIMITS, limited())
        .with(Tag::CONTACT_INFORMATION, AttributeValue::Text("the owner".to_owned()))
        .with(Tag::DEACTIVATION_DATE, AttributeValue::DateTime(DateTime(FAR)));
    gateway.aes_with_mask(V2_1, attributes).await
}

/// A pair on P-256: private, public.
pub(super) async fn pair(gateway: &Gateway) -> (UniqueIdentifier, UniqueIdentifier) {
    match done(gateway, pair_request()).await {
        Response::CreateKeyPair(made) => (made.private_key_unique_identifier, made.public_key_unique_identifier),
        other => panic!("{other:?}"),
    }
}

fn pair_request() -> CreateKeyPairRequest {
    let domain = kmip_codec::attribute::CryptographicDomainParameters {
        q_length: Some(256),
        recommended_curve: Some(RecommendedCurve::P_256),
    };
    let common = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::ECDSA.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256))
        .with(Tag::CRYPTOGRAPHIC_DOMAIN_PARAMETERS, AttributeValue::CryptographicDomainParameters(domain));
    CreateKeyPairRequest {
        common_attributes: Some(common),
        private_key_attributes: Some(Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, mask(1))),
        public_key_attributes: Some(Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, mask(2))),
        ..CreateKeyPairRequest::default()
    }
}

async fn certificate(gateway: &Gateway) -> UniqueIdentifier {
    let (_, public) = pair(gateway).await;
    let request = CertifyRequest { unique_identifier: Some(public), ..CertifyRequest::default() };
    match done(gateway, request).await {
        Response::Certify(made) => made.unique_identifier,
        other => panic!("{other:?}"),
    }
}

async fn parts(gateway: &Gateway) -> Vec<UniqueIdentifier> {
    match done(gateway, split(key(gateway).await)).await {
        Response::CreateSplitKey(made) => made.unique_identifiers,
        other => panic!("{other:?}"),
    }
}

fn split(of: UniqueIdentifier) -> CreateSplitKeyRequest {
    CreateSplitKeyRequest {
        object_type: ObjectType::SPLIT_KEY,
        unique_identifier: Some(of),
        split_key_parts: 3,
        split_key_threshold: 2,
        split_key_method: SplitKeyMethod::POLYNOMIAL_SHARING_GF28,
        split_key_polynomial: None,
        prime_field_size: None,
        attributes: Attributes::default(),
        protection_storage_masks: None,
    }
}

/// What holds three bytes and no key.
pub(super) async fn opaque(gateway: &Gateway) -> UniqueIdentifier {
    let object = OpaqueObject {
        opaque_data_type: OpaqueDataType::from_number(0x8000_0001),
        opaque_data_value: vec![1, 2, 3].into(),
    };
    let request = RegisterRequest {
        object_type: ObjectType::OPAQUE_OBJECT,
        attributes: Attributes::default().with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1))),
        object: Some(ManagedObject::OpaqueObject(object)),
        protection_storage_masks: None,
    };
    match done(gateway, request).await {
        Response::Register(made) => made.unique_identifier,
        other => panic!("{other:?}"),
    }
}

async fn activate(gateway: &Gateway, id: &UniqueIdentifier) {
    done(gateway, ActivateRequest { unique_identifier: Some(id.clone()) }).await;
}

async fn revoke(gateway: &Gateway, id: &UniqueIdentifier, code: RevocationReasonCode) {
    done(gateway, revocation(id.clone(), code)).await;
}

fn revocation(id: UniqueIdentifier, code: RevocationReasonCode) -> RevokeRequest {
    RevokeRequest {
        unique_identifier: Some(id),
        revocation_reason: RevocationReason { code, message: None },
        compromise_occurrence_date: None,
    }
}

/// Brings a Pre-Active object into a state.
pub(super) async fn bring(gateway: &Gateway, id: &UniqueIdentifier, state: State) {
    let destroy = || DestroyRequest { unique_identifier: Some(id.clone()) };
    match state {
        State::PreActive => {}
        State::Active => activate(gateway, id).await,
        State::Deactivated => {
            activate(gateway, id).await;
            revoke(gateway, id, RevocationReasonCode::SUPERSEDED).await;
        }
        State::Compromised => {
            activate(gateway, id).await;
            revoke(gateway, id, RevocationReasonCode::KEY_COMPROMISE).await;
        }
        State::Destroyed => drop(done(gateway, destroy()).await),
        State::DestroyedCompromised => {
            revoke(gateway, id, RevocationReasonCode::KEY_COMPROMISE).await;
            done(gateway, destroy()).await;
        }
        State::Archived => {
            activate(gateway, id).await;
            done(gateway, ArchiveRequest { unique_identifier: Some(id.clone()) }).await;
        }
    }
}

/// Objects of the kind an operation is about, in that state.
pub(super) async fn subjects(gateway: &Gateway, operation: Operation, state: State) -> Vec<UniqueIdentifier> {
    let ids = match subject(operation) {
        Subject::None => Vec::new(),
        Subject::Key => vec![key(gateway).await],
        Subject::Private => vec![pair(gateway).await.0],
        Subject::Public => vec![pair(gateway).await.1],
        Subject::Certificate => vec![certificate(gateway).await],
        Subject::Parts => parts(gateway).await,
    };
    for id in &ids {
        // What Certify makes is Active already.
        let is_active = subject(operation) == Subject::Certificate && state_of(gateway, id).await == 2;
        if !(is_active && state == State::Active) {
            bring(gateway, id, state).await;
        }
    }
    ids
}

async fn state_of(gateway: &Gateway, id: &UniqueIdentifier) -> u32 {
    let attribute_references = vec![Tag::STATE.into()];
    let request = GetAttributesRequest { unique_identifier: Some(id.clone()), attribute_references };
    match done(gateway, request).await {
        Response::GetAttributes(found) => match found.attributes.0.get(Tag::STATE) {
            Some(AttributeValue::Enumeration(number)) => *number,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn bytes() -> Option<Data> {
    Some(Data::from(vec![7; 16]))
}

fn cbc() -> Option<CryptographicParameters> {
    Some(CryptographicParameters {
        block_cipher_mode: Some(BlockCipherMode::CBC),
        padding_method: Some(PaddingMethod::NONE),
        ..CryptographicParameters::default()
    })
}

fn sha_256() -> CryptographicParameters {
    CryptographicParameters { hashing_algorithm: Some(HashingAlgorithm::SHA_256), ..CryptographicParameters::default() }
}

fn hmac() -> Option<CryptographicParameters> {
    Some(CryptographicParameters {
        cryptographic_algorithm: Some(CryptographicAlgorithm::HMAC_SHA256),
        hashing_algorithm: Some(HashingAlgorithm::SHA_256),
        ..CryptographicParameters::default()
    })
}

fn ecdsa() -> Option<CryptographicParameters> {
    Some(CryptographicParameters {
        digital_signature_algorithm: Some(DigitalSignatureAlgorithm::ECDSA_WITH_SHA256),
        ..CryptographicParameters::default()
    })
}

fn application() -> AttributeValue {
    AttributeValue::ApplicationSpecificInformation(ApplicationSpecificInformation {
        namespace: "ssl".to_owned(),
        data: Some("www.example.com".to_owned()),
    })
}

fn contact(text: &str) -> Attribute {
    Attribute::new(Tag::CONTACT_INFORMATION, AttributeValue::Text(text.to_owned()))
}

fn aes_facts() -> Attributes {
    Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::AES.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(128))
        .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, mask(0xC))
}

fn symmetric() -> Option<ManagedObject> {
    let key_block = KeyBlock {
        key_format_type: KeyFormatType::RAW,
        key_compression_type: None,
        key_value: Some(KeyValue::bytes(vec![9; 16])),
        cryptographic_algorithm: Some(CryptographicAlgorithm::AES),
        cryptographic_length: Some(128),
        key_wrapping_data: None,
    };
    Some(ManagedObject::SymmetricKey(SymmetricKey { key_block }))
}

/// A correlation value of an operation that waits.
async fn waiting(gateway: &Gateway, version: ProtocolVersion) -> Vec<u8> {
    let answer = crate::asynchronous::later(gateway, version, Operation::LOCATE, Request::Locate(Box::default())).await;
    answer.asynchronous_correlation_value.expect("it is pending")
}

async fn ticket(gateway: &Gateway) -> Ticket {
    match done(gateway, LoginRequest::default()).await {
        Response::Login(made) => made.ticket,
        other => panic!("{other:?}"),
    }
}

/// A request of the operation that succeeds; `None` for what clients do not ask.
pub(super) async fn request(
    gateway: &Gateway,
    operation: Operation,
    version: ProtocolVersion,
    subjects: &[UniqueIdentifier],
) -> Option<Request> {
    let unique_identifier = subjects.first().cloned();
    let attributes = Some(Attributes::default());
    Some(match operation {
        Operation::CREATE => create("", Attributes::default()),
        Operation::CREATE_KEY_PAIR => pair_request().into(),
        Operation::REGISTER => RegisterRequest {
            object_type: ObjectType::SYMMETRIC_KEY,
            attributes: aes_facts(),
            object: symmetric(),
            protection_storage_masks: None,
        }
        .into(),
        Operation::RE_KEY => ReKeyRequest { unique_identifier, attributes, ..ReKeyRequest::default() }.into(),
        Operation::DERIVE_KEY => DeriveKeyRequest {
            object_type: ObjectType::SYMMETRIC_KEY,
            unique_identifiers: subjects.to_vec(),
            derivation_method: DerivationMethod::HMAC,
            derivation_parameters: DerivationParameters {
                cryptographic_parameters: Some(sha_256()),
                derivation_data: Some(vec![1, 2].into()),
                ..DerivationParameters::default()
            },
            attributes: aes_facts(),
        }
        .into(),
        Operation::CERTIFY => CertifyRequest { unique_identifier, attributes, ..CertifyRequest::default() }.into(),
        Operation::RE_CERTIFY => {
            ReCertifyRequest { unique_identifier, attributes, ..ReCertifyRequest::default() }.into()
        }
        Operation::LOCATE => LocateRequest { maximum_items: Some(1), ..LocateRequest::default() }.into(),
        Operation::CHECK => CheckRequest { unique_identifier, ..CheckRequest::default() }.into(),
        Operation::GET => {
            GetRequest { unique_identifier, key_format_type: Some(KeyFormatType::RAW), ..GetRequest::default() }.into()
        }
        Operation::GET_ATTRIBUTES => {
            GetAttributesRequest { unique_identifier, attribute_references: vec![Tag::STATE.into()] }.into()
        }
        Operation::GET_ATTRIBUTE_LIST => GetAttributeListRequest { unique_identifier }.into(),
        Operation::ADD_ATTRIBUTE => AddAttributeRequest {
            unique_identifier,
            attribute: Attribute::new(Tag::APPLICATION_SPECIFIC_INFORMATION, application()),
        }
        .into(),
        Operation::MODIFY_ATTRIBUTE => {
            ModifyAttributeRequest { unique_identifier, current_attribute: None, attribute: contact("another") }.into()
        }
        Operation::DELETE_ATTRIBUTE => {
            let kind = AttributeKind::from(Tag::CONTACT_INFORMATION);
            DeleteAttributeRequest {
                unique_identifier,
                attribute_name: (version < V2_0).then(|| kind.clone()),
                attribute_index: None,
                current_attribute: None,
                attribute_reference: (version >= V2_0).then_some(kind),
            }
            .into()
        }
        Operation::SET_ATTRIBUTE => SetAttributeRequest { unique_identifier, attribute: contact("another") }.into(),
        Operation::ADJUST_ATTRIBUTE => AdjustAttributeRequest {
            unique_identifier,
            attribute_reference: Tag::DEACTIVATION_DATE.into(),
            adjustment_type: AdjustmentType::INCREMENT,
            adjustment_value: None,
        }
        .into(),
        Operation::OBTAIN_LEASE => ObtainLeaseRequest { unique_identifier }.into(),
        Operation::GET_USAGE_ALLOCATION => {
            GetUsageAllocationRequest { unique_identifier, usage_limits_count: 1 }.into()
        }
        Operation::ACTIVATE => ActivateRequest { unique_identifier }.into(),
        Operation::REVOKE => revocation(unique_identifier?, RevocationReasonCode::SUPERSEDED).into(),
        Operation::DESTROY => DestroyRequest { unique_identifier }.into(),
        Operation::ARCHIVE => ArchiveRequest { unique_identifier }.into(),
        Operation::RECOVER => RecoverRequest { unique_identifier }.into(),
        Operation::VALIDATE => {
            ValidateRequest { unique_identifiers: subjects.to_vec(), ..ValidateRequest::default() }.into()
        }
        Operation::QUERY => {
            QueryRequest { query_functions: vec![QueryFunction::QUERY_OPERATIONS], ..QueryRequest::default() }.into()
        }
        Operation::CANCEL => CancelRequest { asynchronous_correlation_value: waiting(gateway, version).await }.into(),
        Operation::POLL => PollRequest { asynchronous_correlation_value: waiting(gateway, version).await }.into(),
        Operation::PROCESS => ProcessRequest { asynchronous_correlation_value: waiting(gateway, version).await }.into(),
        Operation::QUERY_ASYNCHRONOUS_REQUESTS => QueryAsynchronousRequestsRequest::default().into(),
        Operation::RE_KEY_KEY_PAIR => {
            ReKeyKeyPairRequest { private_key_unique_identifier: unique_identifier, ..ReKeyKeyPairRequest::default() }
                .into()
        }
        Operation::DISCOVER_VERSIONS => DiscoverVersionsRequest::default().into(),
        Operation::ENCRYPT => EncryptRequest {
            unique_identifier,
            cryptographic_parameters: cbc(),
            data: bytes(),
            iv_counter_nonce: Some(vec![7; 16]),
            ..EncryptRequest::default()
        }
        .into(),
        Operation::DECRYPT => DecryptRequest {
            unique_identifier,
            cryptographic_parameters: cbc(),
            data: bytes(),
            iv_counter_nonce: Some(vec![7; 16]),
            ..DecryptRequest::default()
        }
        .into(),
        Operation::SIGN => SignRequest {
            unique_identifier,
            cryptographic_parameters: ecdsa(),
            data: bytes(),
            ..SignRequest::default()
        }
        .into(),
        Operation::SIGNATURE_VERIFY => SignatureVerifyRequest {
            unique_identifier,
            cryptographic_parameters: ecdsa(),
            data: bytes(),
            signature_data: Some(vec![1; 70]),
            ..SignatureVerifyRequest::default()
        }
        .into(),
        Operation::MAC => {
            MacRequest { unique_identifier, cryptographic_parameters: hmac(), data: bytes(), ..MacRequest::default() }
                .into()
        }
        Operation::MAC_VERIFY => MacVerifyRequest {
            unique_identifier,
            cryptographic_parameters: hmac(),
            data: bytes(),
            mac_data: Some(vec![1; 32]),
            ..MacVerifyRequest::default()
        }
        .into(),
        Operation::RNG_RETRIEVE => RngRetrieveRequest { data_length: 16 }.into(),
        Operation::RNG_SEED => RngSeedRequest { data: vec![1; 16].into() }.into(),
        Operation::HASH => {
            HashRequest { cryptographic_parameters: sha_256(), data: bytes(), ..HashRequest::default() }.into()
        }
        Operation::CREATE_SPLIT_KEY => split(unique_identifier?).into(),
        Operation::JOIN_SPLIT_KEY => JoinSplitKeyRequest {
            object_type: ObjectType::SYMMETRIC_KEY,
            unique_identifiers: subjects.to_vec(),
            secret_data_type: None,
            attributes,
            protection_storage_masks: None,
        }
        .into(),
        Operation::IMPORT => ImportRequest {
            unique_identifier: UniqueIdentifier::from(fresh_identifier(gateway)),
            object_type: (version >= V2_0).then_some(ObjectType::SYMMETRIC_KEY),
            replace_existing: None,
            key_wrap_type: None,
            attributes: AttributeList(aes_facts()),
            object: symmetric(),
        }
        .into(),
        Operation::EXPORT => {
            ExportRequest { unique_identifier, key_format_type: Some(KeyFormatType::RAW), ..ExportRequest::default() }
                .into()
        }
        Operation::LOG => LogRequest { log_message: "noted".to_owned() }.into(),
        Operation::LOGIN => LoginRequest { request_count: Some(3), ..LoginRequest::default() }.into(),
        Operation::LOGOUT => LogoutRequest { ticket: ticket(gateway).await }.into(),
        Operation::DELEGATED_LOGIN => DelegatedLoginRequest {
            lease_time: None,
            request_count: Some(3),
            usage_limits: None,
            rights: Rights::default(),
        }
        .into(),
        Operation::SET_ENDPOINT_ROLE => SetEndpointRoleRequest { endpoint_role: EndpointRole::SERVER }.into(),
        Operation::PKCS_11 => Pkcs11Request {
            interface: None,
            function: Pkcs11Function::C_GET_INFO,
            correlation_value: None,
            input_parameters: None,
        }
        .into(),
        Operation::INTEROP => {
            InteropRequest { interop_function: InteropFunction::BEGIN, interop_identifier: Some("a test".to_owned()) }
                .into()
        }
        Operation::SET_DEFAULTS => SetDefaultsRequest::default().into(),
        Operation::SET_CONSTRAINTS => SetConstraintsRequest::default().into(),
        Operation::GET_CONSTRAINTS => GetConstraintsRequest::default().into(),
        Operation::PING => PingRequest::default().into(),
        Operation::CREATE_GROUP => CreateGroupRequest { attributes: Attributes::default() }.into(),
        Operation::CREATE_USER => CreateUserRequest { attributes: Attributes::default() }.into(),
        Operation::CREATE_CREDENTIAL => {
            let password = PasswordCredential {
                password: Some(SecretText::copy_of("correct horse")),
                password_salt: None,
                password_salt_algorithm: None,
                salted_password: None,
            };
            CreateCredentialRequest {
                credential_type: CredentialType::PASSWORD,
                attributes: Attributes::default(),
                object: Some(ManagedObject::PasswordCredential(password)),
            }
            .into()
        }
        Operation::OBLITERATE => ObliterateRequest { unique_identifier }.into(),
        Operation::DEACTIVATE => DeactivateRequest { unique_identifier, deactivation_reason: None }.into(),
        // The server sends Notify and Put; Re-Provision is asked in `provision`, where somebody gives certificates.
        Operation::NOTIFY | Operation::PUT | Operation::RE_PROVISION => return None,
        other => panic!("{other} has no request"),
    })
}

/// An identifier that nobody has.
pub(super) fn fresh_identifier(gateway: &Gateway) -> String {
    let mut id = [0; 16];
    gateway.bench.engine.ports().chance.fill(&mut id);
    portcullis::domain::UniqueIdentifier::from_random(id).to_string()
}

/// Whether the answer is a success.
pub(super) fn told(answer: &Answer) -> String {
    if answer.reason.is_none() { "Success".to_owned() } else { reason(answer).to_string() }
}
