//! Payloads, one file an operation.
//!
//! [`Request`] and [`Response`] have a variant for every operation of the standard. A payload is decoded on its own, from
//! the item its batch item carries, so that one bad payload fails one batch item. Whether a version has an operation is
//! asked of `spec::operations` first.

mod activate;
mod add_attribute;
mod adjust_attribute;
mod archive;
mod cancel;
mod certify;
mod check;
mod common;
mod create;
mod create_credential;
mod create_group;
mod create_key_pair;
mod create_split_key;
mod create_user;
mod deactivate;
mod decrypt;
mod delegated_login;
mod delete_attribute;
mod derive_key;
mod destroy;
mod discover_versions;
mod encrypt;
mod export;
mod get;
mod get_attribute_list;
mod get_attributes;
mod get_constraints;
mod get_usage_allocation;
mod hash;
mod import;
mod interop;
mod join_split_key;
mod locate;
mod log;
mod login;
mod logout;
mod mac;
mod mac_verify;
mod modify_attribute;
mod notify;
mod obliterate;
mod obtain_lease;
mod ping;
mod pkcs11;
mod poll;
mod process;
mod put;
mod query;
mod query_asynchronous_requests;
mod re_certify;
mod re_key;
mod re_key_key_pair;
mod re_provision;
mod recover;
mod register;
mod revoke;
mod rng_retrieve;
mod rng_seed;
mod set_attribute;
mod set_constraints;
mod set_defaults;
mod set_endpoint_role;
mod sign;
mod signature_verify;
mod validate;

pub use activate::{ActivateRequest, ActivateResponse};
pub use add_attribute::{AddAttributeRequest, AddAttributeResponse};
pub use adjust_attribute::{AdjustAttributeRequest, AdjustAttributeResponse};
pub use archive::{ArchiveRequest, ArchiveResponse};
pub use cancel::{CancelRequest, CancelResponse};
pub use certify::{CertifyRequest, CertifyResponse};
pub use check::{CheckRequest, CheckResponse};
pub use common::{
    Data, DefaultsInformation, ObjectDefaults, ObjectGroups, ObjectTypes, Objects, Operations, ProtectionStorageMasks,
    TicketLease, VendorItems,
};
pub use create::{CreateRequest, CreateResponse};
pub use create_credential::{CreateCredentialRequest, CreateCredentialResponse};
pub use create_group::{CreateGroupRequest, CreateGroupResponse};
pub use create_key_pair::{CreateKeyPairRequest, CreateKeyPairResponse};
pub use create_split_key::{CreateSplitKeyRequest, CreateSplitKeyResponse};
pub use create_user::{CreateUserRequest, CreateUserResponse};
pub use deactivate::{DeactivateRequest, DeactivateResponse};
pub use decrypt::{DecryptRequest, DecryptResponse};
pub use delegated_login::{DelegatedLoginRequest, DelegatedLoginResponse, Right, Rights};
pub use delete_attribute::{DeleteAttributeRequest, DeleteAttributeResponse};
pub use derive_key::{DerivationParameters, DeriveKeyRequest, DeriveKeyResponse};
pub use destroy::{DestroyRequest, DestroyResponse};
pub use discover_versions::{DiscoverVersionsRequest, DiscoverVersionsResponse};
pub use encrypt::{EncryptRequest, EncryptResponse};
pub use export::{ExportRequest, ExportResponse};
pub use get::{GetRequest, GetResponse};
pub use get_attribute_list::{GetAttributeListRequest, GetAttributeListResponse};
pub use get_attributes::{GetAttributesRequest, GetAttributesResponse};
pub use get_constraints::{GetConstraintsRequest, GetConstraintsResponse};
pub use get_usage_allocation::{GetUsageAllocationRequest, GetUsageAllocationResponse};
pub use hash::{HashRequest, HashResponse};
pub use import::{ImportRequest, ImportResponse};
pub use interop::{InteropRequest, InteropResponse};
pub use join_split_key::{JoinSplitKeyRequest, JoinSplitKeyResponse};
pub use locate::{LocateRequest, LocateResponse};
pub use log::{LogRequest, LogResponse};
pub use login::{LoginRequest, LoginResponse};
pub use logout::{LogoutRequest, LogoutResponse};
pub use mac::{MacRequest, MacResponse};
pub use mac_verify::{MacVerifyRequest, MacVerifyResponse};
pub use modify_attribute::{ModifyAttributeRequest, ModifyAttributeResponse};
pub use notify::{NotifyRequest, NotifyResponse};
pub use obliterate::{ObliterateRequest, ObliterateResponse};
pub use obtain_lease::{ObtainLeaseRequest, ObtainLeaseResponse};
pub use ping::{PingRequest, PingResponse};
pub use pkcs11::{Pkcs11Request, Pkcs11Response};
pub use poll::{PollRequest, PollResponse};
pub use process::{ProcessRequest, ProcessResponse};
pub use put::{PutRequest, PutResponse};
pub use query::{
    CapabilityInformation, ExtensionInformation, ProfileInformation, ProfileVersion, QueryRequest, QueryResponse,
    ServerInformation, ValidationInformation,
};
pub use query_asynchronous_requests::{
    AsynchronousCorrelationValues, AsynchronousRequest, QueryAsynchronousRequestsRequest,
    QueryAsynchronousRequestsResponse,
};
pub use re_certify::{ReCertifyRequest, ReCertifyResponse};
pub use re_key::{ReKeyRequest, ReKeyResponse};
pub use re_key_key_pair::{ReKeyKeyPairRequest, ReKeyKeyPairResponse};
pub use re_provision::{ReProvisionRequest, ReProvisionResponse};
pub use recover::{RecoverRequest, RecoverResponse};
pub use register::{RegisterRequest, RegisterResponse};
pub use revoke::{RevokeRequest, RevokeResponse};
pub use rng_retrieve::{RngRetrieveRequest, RngRetrieveResponse};
pub use rng_seed::{RngSeedRequest, RngSeedResponse};
pub use set_attribute::{SetAttributeRequest, SetAttributeResponse};
pub use set_constraints::{Constraint, Constraints, SetConstraintsRequest, SetConstraintsResponse};
pub use set_defaults::{SetDefaultsRequest, SetDefaultsResponse};
pub use set_endpoint_role::{SetEndpointRoleRequest, SetEndpointRoleResponse};
pub use sign::{SignRequest, SignResponse};
pub use signature_verify::{SignatureVerifyRequest, SignatureVerifyResponse};
pub use validate::{ValidateRequest, ValidateResponse};

use crate::codec::{Codec, FieldRow, Structure};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::fuzzing::{Sample, Seeds};
use crate::message::Payload;
use crate::spec::enums::Operation;
use crate::spec::operations;
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, Writer};
use crate::version::ProtocolVersion;

/// The tables of one operation's payloads.
#[derive(Clone, Copy, Debug)]
pub struct PayloadRow {
    /// The operation.
    pub operation: Operation,
    /// The fields of its request.
    pub request: &'static [FieldRow],
    /// The fields of its response.
    pub response: &'static [FieldRow],
}

macro_rules! payload_enum {
    ($(#[$meta:meta])* $enum:ident: $($variant:ident $operation:ident $type:ident;)+) => {
        $(#[$meta])*
        #[derive(PartialEq, Debug)]
        pub enum $enum {
            $(
                #[doc = concat!("`", stringify!($operation), "`.")]
                $variant(Box<$type>),
            )+
        }

        impl $enum {
            /// Reads the payload of a batch item.
            ///
            /// # Errors
            ///
            /// `UnsupportedOperation` when `version` does not have the operation, `UnsupportedVersion` when there are no
            /// tables for its major; otherwise the first fault, with a path that begins at the payload.
            pub fn decode(
                operation: Operation,
                version: ProtocolVersion,
                payload: &Item<'_>,
            ) -> Result<Self, DecodeError> {
                let context = Context::new(version)?;
                if !operations::exists(operation, context.version) {
                    let kind = DecodeErrorKind::UnsupportedOperation(operation.number());
                    return Err(DecodeError::new(payload.offset, kind).within(payload.tag));
                }
                match operation {
                    $(Operation::$operation => Codec::decode(payload, context).map(|read| Self::$variant(Box::new(read))),)+
                    other => Err(DecodeError::new(
                        payload.offset,
                        DecodeErrorKind::UnsupportedOperation(other.number()),
                    )
                    .within(payload.tag)),
                }
            }

            /// The operation this is a payload of.
            pub const fn operation(&self) -> Operation {
                match self {
                    $(Self::$variant(_) => Operation::$operation,)+
                }
            }

            /// A random payload for round-trip tests; `None` when `version` does not have the operation.
            #[doc(hidden)]
            pub fn sample(operation: Operation, seeds: &mut Seeds, version: ProtocolVersion) -> Option<Self> {
                if !operations::exists(operation, version) {
                    return None;
                }
                match operation {
                    $(Operation::$operation => Some(Self::$variant(Box::new(Sample::sample(seeds, version)))),)+
                    _ => None,
                }
            }
        }

        impl Payload for $enum {
            fn encode_payload(&self, tag: Tag, writer: &mut Writer) {
                match self {
                    $(Self::$variant(payload) => payload.encode(tag, writer),)+
                }
            }
        }

        $(
            impl From<$type> for $enum {
                fn from(payload: $type) -> Self {
                    Self::$variant(Box::new(payload))
                }
            }
        )+
    };
}

macro_rules! payloads {
    ($($variant:ident $operation:ident $request:ident $response:ident;)+) => {
        payload_enum! {
            /// What a client asks for.
            Request: $($variant $operation $request;)+
        }

        payload_enum! {
            /// What the server answers.
            Response: $($variant $operation $response;)+
        }

        /// The tables of every operation, in the order of the codes.
        pub const PAYLOADS: &[PayloadRow] = &[$(
            PayloadRow {
                operation: Operation::$operation,
                request: <$request as Structure>::ROWS,
                response: <$response as Structure>::ROWS,
            },
        )+];
    };
}

payloads! {
    Create                    CREATE                      CreateRequest                    CreateResponse;
    CreateKeyPair             CREATE_KEY_PAIR             CreateKeyPairRequest             CreateKeyPairResponse;
    Register                  REGISTER                    RegisterRequest                  RegisterResponse;
    ReKey                     RE_KEY                      ReKeyRequest                     ReKeyResponse;
    DeriveKey                 DERIVE_KEY                  DeriveKeyRequest                 DeriveKeyResponse;
    Certify                   CERTIFY                     CertifyRequest                   CertifyResponse;
    ReCertify                 RE_CERTIFY                  ReCertifyRequest                 ReCertifyResponse;
    Locate                    LOCATE                      LocateRequest                    LocateResponse;
    Check                     CHECK                       CheckRequest                     CheckResponse;
    Get                       GET                         GetRequest                       GetResponse;
    GetAttributes             GET_ATTRIBUTES              GetAttributesRequest             GetAttributesResponse;
    GetAttributeList          GET_ATTRIBUTE_LIST          GetAttributeListRequest          GetAttributeListResponse;
    AddAttribute              ADD_ATTRIBUTE               AddAttributeRequest              AddAttributeResponse;
    ModifyAttribute           MODIFY_ATTRIBUTE            ModifyAttributeRequest           ModifyAttributeResponse;
    DeleteAttribute           DELETE_ATTRIBUTE            DeleteAttributeRequest           DeleteAttributeResponse;
    ObtainLease               OBTAIN_LEASE                ObtainLeaseRequest               ObtainLeaseResponse;
    GetUsageAllocation        GET_USAGE_ALLOCATION        GetUsageAllocationRequest        GetUsageAllocationResponse;
    Activate                  ACTIVATE                    ActivateRequest                  ActivateResponse;
    Revoke                    REVOKE                      RevokeRequest                    RevokeResponse;
    Destroy                   DESTROY                     DestroyRequest                   DestroyResponse;
    Archive                   ARCHIVE                     ArchiveRequest                   ArchiveResponse;
    Recover                   RECOVER                     RecoverRequest                   RecoverResponse;
    Validate                  VALIDATE                    ValidateRequest                  ValidateResponse;
    Query                     QUERY                       QueryRequest                     QueryResponse;
    Cancel                    CANCEL                      CancelRequest                    CancelResponse;
    Poll                      POLL                        PollRequest                      PollResponse;
    Notify                    NOTIFY                      NotifyRequest                    NotifyResponse;
    Put                       PUT                         PutRequest                       PutResponse;
    ReKeyKeyPair              RE_KEY_KEY_PAIR             ReKeyKeyPairRequest              ReKeyKeyPairResponse;
    DiscoverVersions          DISCOVER_VERSIONS           DiscoverVersionsRequest          DiscoverVersionsResponse;
    Encrypt                   ENCRYPT                     EncryptRequest                   EncryptResponse;
    Decrypt                   DECRYPT                     DecryptRequest                   DecryptResponse;
    Sign                      SIGN                        SignRequest                      SignResponse;
    SignatureVerify           SIGNATURE_VERIFY            SignatureVerifyRequest           SignatureVerifyResponse;
    Mac                       MAC                         MacRequest                       MacResponse;
    MacVerify                 MAC_VERIFY                  MacVerifyRequest                 MacVerifyResponse;
    RngRetrieve               RNG_RETRIEVE                RngRetrieveRequest               RngRetrieveResponse;
    RngSeed                   RNG_SEED                    RngSeedRequest                   RngSeedResponse;
    Hash                      HASH                        HashRequest                      HashResponse;
    CreateSplitKey            CREATE_SPLIT_KEY            CreateSplitKeyRequest            CreateSplitKeyResponse;
    JoinSplitKey              JOIN_SPLIT_KEY              JoinSplitKeyRequest              JoinSplitKeyResponse;
    Import                    IMPORT                      ImportRequest                    ImportResponse;
    Export                    EXPORT                      ExportRequest                    ExportResponse;
    Log                       LOG                         LogRequest                       LogResponse;
    Login                     LOGIN                       LoginRequest                     LoginResponse;
    Logout                    LOGOUT                      LogoutRequest                    LogoutResponse;
    DelegatedLogin            DELEGATED_LOGIN             DelegatedLoginRequest            DelegatedLoginResponse;
    AdjustAttribute           ADJUST_ATTRIBUTE            AdjustAttributeRequest           AdjustAttributeResponse;
    SetAttribute              SET_ATTRIBUTE               SetAttributeRequest              SetAttributeResponse;
    SetEndpointRole           SET_ENDPOINT_ROLE           SetEndpointRoleRequest           SetEndpointRoleResponse;
    Pkcs11                    PKCS_11                     Pkcs11Request                    Pkcs11Response;
    Interop                   INTEROP                     InteropRequest                   InteropResponse;
    ReProvision               RE_PROVISION                ReProvisionRequest               ReProvisionResponse;
    SetDefaults               SET_DEFAULTS                SetDefaultsRequest               SetDefaultsResponse;
    SetConstraints            SET_CONSTRAINTS             SetConstraintsRequest            SetConstraintsResponse;
    GetConstraints            GET_CONSTRAINTS             GetConstraintsRequest            GetConstraintsResponse;
    QueryAsynchronousRequests QUERY_ASYNCHRONOUS_REQUESTS QueryAsynchronousRequestsRequest QueryAsynchronousRequestsResponse;
    Process                   PROCESS                     ProcessRequest                   ProcessResponse;
    Ping                      PING                        PingRequest                      PingResponse;
    CreateGroup               CREATE_GROUP                CreateGroupRequest               CreateGroupResponse;
    Obliterate                OBLITERATE                  ObliterateRequest                ObliterateResponse;
    CreateUser                CREATE_USER                 CreateUserRequest                CreateUserResponse;
    CreateCredential          CREATE_CREDENTIAL           CreateCredentialRequest          CreateCredentialResponse;
    Deactivate                DEACTIVATE                  DeactivateRequest                DeactivateResponse;
}
