//! The routes: operation → handler. Query is answered from this table, so nothing is announced that does not work.

use std::{future::Future, pin::Pin};

use kmip_codec::{
    ProtocolVersion,
    payload::{Data, Request, Response},
    spec::{
        enums::{Operation, ResultReason},
        operations,
    },
    ttlv::Item,
};

use super::{batch::Exchange, error::Refusal, message::Settings, ops, tickets::TICKET_BYTES};

type Outcome<'a> = Pin<Box<dyn Future<Output = Result<Response, Refusal>> + Send + 'a>>;

/// One operation that is answered.
pub(super) struct Route {
    /// Which.
    pub(super) operation: Operation,
    /// Whether a switch must be on for it.
    pub(super) enabled: fn(&Settings) -> bool,
    run: for<'a> fn(&'a mut Exchange<'_>, Request) -> Outcome<'a>,
}

macro_rules! routes {
    ($($variant:ident $operation:ident => $handler:path $(, if $enabled:expr)?;)+) => {
        /// Every operation that is answered, in the order of the codes.
        pub(super) const ROUTES: &[Route] = &[$(
            Route {
                operation: Operation::$operation,
                enabled: routes!(@enabled $($enabled)?),
                run: |exchange, request| Box::pin(async move {
                    match request {
                        Request::$variant(payload) => $handler(exchange, *payload).await.map(|it| Response::$variant(Box::new(it))),
                        _ => Err(Refusal::new(ResultReason::INVALID_MESSAGE, "the payload is another operation's")),
                    }
                }),
            },
        )+];
    };
    (@enabled) => { |_| true };
    (@enabled $enabled:expr) => { $enabled };
}

routes! {
    Create CREATE => ops::create::create;
    CreateKeyPair CREATE_KEY_PAIR => ops::create::create_key_pair;
    Register REGISTER => ops::register::register;
    ReKey RE_KEY => ops::rekey::re_key;
    DeriveKey DERIVE_KEY => ops::derive::derive_key;
    Certify CERTIFY => ops::certify::certify;
    ReCertify RE_CERTIFY => ops::certify::re_certify;
    Locate LOCATE => ops::locate::locate;
    Check CHECK => ops::lifecycle::check;
    Get GET => ops::get::get;
    GetAttributes GET_ATTRIBUTES => ops::attributes::get_attributes;
    GetAttributeList GET_ATTRIBUTE_LIST => ops::attributes::get_attribute_list;
    AddAttribute ADD_ATTRIBUTE => ops::attributes::add_attribute;
    ModifyAttribute MODIFY_ATTRIBUTE => ops::attributes::modify_attribute;
    DeleteAttribute DELETE_ATTRIBUTE => ops::attributes::delete_attribute;
    ObtainLease OBTAIN_LEASE => ops::lease::obtain_lease;
    GetUsageAllocation GET_USAGE_ALLOCATION => ops::lease::get_usage_allocation;
    Activate ACTIVATE => ops::lifecycle::activate;
    Revoke REVOKE => ops::lifecycle::revoke;
    Destroy DESTROY => ops::lifecycle::destroy;
    Archive ARCHIVE => ops::lease::archive;
    Recover RECOVER => ops::lease::recover;
    Validate VALIDATE => ops::certify::validate;
    Query QUERY => ops::query::query;
    ReKeyKeyPair RE_KEY_KEY_PAIR => ops::rekey::re_key_key_pair;
    DiscoverVersions DISCOVER_VERSIONS => ops::query::discover_versions;
    Cancel CANCEL => ops::asynchronous::cancel;
    Poll POLL => ops::asynchronous::poll;
    Encrypt ENCRYPT => ops::crypt::encrypt;
    Decrypt DECRYPT => ops::crypt::decrypt;
    Sign SIGN => ops::crypt::sign;
    SignatureVerify SIGNATURE_VERIFY => ops::crypt::signature_verify;
    Mac MAC => ops::crypt::mac;
    MacVerify MAC_VERIFY => ops::crypt::mac_verify;
    RngRetrieve RNG_RETRIEVE => ops::crypt::rng_retrieve;
    RngSeed RNG_SEED => ops::crypt::rng_seed;
    CreateSplitKey CREATE_SPLIT_KEY => ops::split::create_split_key;
    JoinSplitKey JOIN_SPLIT_KEY => ops::split::join_split_key;
    Import IMPORT => ops::transfer::import;
    Export EXPORT => ops::transfer::export;
    Hash HASH => ops::crypt::hash;
    Log LOG => ops::query::log;
    Login LOGIN => ops::session::login;
    Logout LOGOUT => ops::session::logout;
    DelegatedLogin DELEGATED_LOGIN => ops::session::delegated_login;
    AdjustAttribute ADJUST_ATTRIBUTE => ops::attributes::adjust_attribute;
    SetAttribute SET_ATTRIBUTE => ops::attributes::set_attribute;
    SetEndpointRole SET_ENDPOINT_ROLE => ops::session::set_endpoint_role;
    Pkcs11 PKCS_11 => ops::pkcs11::pkcs11;
    Interop INTEROP => ops::query::interop, if |settings| settings.interop;
    ReProvision RE_PROVISION => ops::provision::re_provision, if |settings| settings.re_provision;
    SetDefaults SET_DEFAULTS => ops::standing::set_defaults;
    SetConstraints SET_CONSTRAINTS => ops::standing::set_constraints;
    GetConstraints GET_CONSTRAINTS => ops::standing::get_constraints;
    QueryAsynchronousRequests QUERY_ASYNCHRONOUS_REQUESTS => ops::asynchronous::query_asynchronous_requests;
    Process PROCESS => ops::asynchronous::process;
    Ping PING => ops::query::ping;
    CreateGroup CREATE_GROUP => ops::accounts::create_group;
    Obliterate OBLITERATE => ops::accounts::obliterate;
    CreateUser CREATE_USER => ops::accounts::create_user;
    CreateCredential CREATE_CREDENTIAL => ops::accounts::create_credential;
    Deactivate DEACTIVATE => ops::accounts::deactivate;
}

/// The operations that a version offers.
pub(super) fn offered(settings: &Settings, version: ProtocolVersion) -> impl Iterator<Item = Operation> {
    ROUTES
        .iter()
        .filter(move |route| (route.enabled)(settings) && operations::exists(route.operation, version))
        .map(|route| route.operation)
}

/// What is done for good: not in a batch that may be undone.
const FOR_GOOD: &[Operation] = &[
    Operation::RNG_SEED,
    Operation::LOGIN,
    Operation::LOGOUT,
    Operation::DELEGATED_LOGIN,
    Operation::POLL,
    Operation::CANCEL,
    Operation::PROCESS,
    Operation::PKCS_11,
    Operation::SET_DEFAULTS,
    Operation::SET_CONSTRAINTS,
    Operation::SET_ENDPOINT_ROLE,
    Operation::RE_PROVISION,
    Operation::NOTIFY,
    Operation::PUT,
    Operation::OBLITERATE,
];

/// Bytes of a byte string in an answer.
const fn string(bytes: usize) -> usize {
    8 + bytes.next_multiple_of(8)
}

/// Bytes of an identifier in an answer.
const IDENTIFIER: usize = string(36);

/// How many bytes the payload of a success has at least. What changes something is not begun when its answer cannot fit;
/// reading an object is held against its length where it is read.
fn least(request: &Request) -> usize {
    let length = |number: i32| usize::try_from(number).unwrap_or(0);
    match request {
        Request::Create(_)
        | Request::Register(_)
        | Request::Import(_)
        | Request::ReKey(_)
        | Request::DeriveKey(_)
        | Request::Certify(_)
        | Request::ReProvision(_)
        | Request::ReCertify(_)
        | Request::JoinSplitKey(_)
        | Request::CreateUser(_)
        | Request::CreateGroup(_)
        | Request::CreateCredential(_)
        | Request::Activate(_)
        | Request::Deactivate(_)
        | Request::Revoke(_)
        | Request::Destroy(_)
        | Request::Obliterate(_)
        | Request::Archive(_)
        | Request::Recover(_)
        | Request::AddAttribute(_)
        | Request::ModifyAttribute(_)
        | Request::DeleteAttribute(_)
        | Request::SetAttribute(_)
        | Request::AdjustAttribute(_)
        | Request::ObtainLease(_)
        | Request::GetUsageAllocation(_)
        | Request::Get(_)
        | Request::Export(_)
        | Request::Sign(_)
        | Request::Mac(_) => IDENTIFIER,
        Request::CreateKeyPair(_) | Request::ReKeyKeyPair(_) => 2 * IDENTIFIER,
        Request::CreateSplitKey(it) => IDENTIFIER * length(it.split_key_parts),
        Request::Encrypt(it) => match &it.data {
            Some(Data::Bytes(data)) if it.correlation_value.is_none() && it.init_indicator.is_none() => {
                IDENTIFIER + string(data.expose_secret().len())
            }
            _ => IDENTIFIER,
        },
        Request::RngRetrieve(it) => string(length(it.data_length)),
        Request::Login(_) | Request::DelegatedLogin(_) => string(TICKET_BYTES),
        _ => 0,
    }
}

/// How many bytes an operation processes, for a ticket that counts them.
fn processed(exchange: &Exchange<'_>, request: &Request) -> usize {
    let data = match request {
        Request::Encrypt(it) => it.data.as_ref(),
        Request::Decrypt(it) => it.data.as_ref(),
        Request::Sign(it) => it.data.as_ref(),
        Request::SignatureVerify(it) => it.data.as_ref(),
        Request::Mac(it) => it.data.as_ref(),
        Request::MacVerify(it) => it.data.as_ref(),
        Request::Hash(it) => it.data.as_ref(),
        _ => None,
    };
    exchange.bytes_of(data)
}

/// Decodes a payload and runs its handler.
pub(super) async fn run(
    exchange: &mut Exchange<'_>,
    operation: Operation,
    payload: &Item<'_>,
) -> Result<Response, Refusal> {
    let settings = &exchange.service.settings;
    let route = ROUTES
        .iter()
        .find(|route| {
            route.operation == operation && (route.enabled)(settings) && operations::exists(operation, exchange.version)
        })
        .ok_or_else(|| Refusal::new(ResultReason::OPERATION_NOT_SUPPORTED, "the operation is not offered"))?;
    exchange.begin(operation)?;
    if exchange.may_be_undone() && FOR_GOOD.contains(&operation) {
        return Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, "what the operation does cannot be undone"));
    }
    let request = Request::decode(operation, exchange.asked, payload)
        .map_err(|error| Refusal::malformed(&error, exchange.version))?;
    exchange.fits(least(&request))?;
    exchange.spend(operation, processed(exchange, &request))?;
    (route.run)(exchange, request).await
}
