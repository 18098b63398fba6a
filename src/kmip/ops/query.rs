//! Query, Discover Versions, and the small operations that touch no object: Log, Interop, Ping.

use kmip_codec::{
    attribute::RngParameters,
    payload::{
        CapabilityInformation, DiscoverVersionsRequest, DiscoverVersionsResponse, InteropRequest, InteropResponse,
        LogRequest, LogResponse, PingRequest, PingResponse, QueryRequest, QueryResponse, ServerInformation,
    },
    spec::enums::{ObjectType, QueryFunction, ResultReason, RngAlgorithm, UnwrapMode},
    version::{V1_3, V1_4, V2_0},
};

use crate::kmip::{batch::Exchange, error::Refusal, message};

/// The object types that are kept, in the order of their numbers.
const OBJECTS: &[ObjectType] = &[
    ObjectType::CERTIFICATE,
    ObjectType::SYMMETRIC_KEY,
    ObjectType::PUBLIC_KEY,
    ObjectType::PRIVATE_KEY,
    ObjectType::TEMPLATE,
    ObjectType::SECRET_DATA,
    ObjectType::OPAQUE_OBJECT,
    ObjectType::USER,
    ObjectType::GROUP,
    ObjectType::PASSWORD_CREDENTIAL,
    ObjectType::DEVICE_CREDENTIAL,
    ObjectType::ONE_TIME_PASSWORD_CREDENTIAL,
    ObjectType::HASHED_PASSWORD_CREDENTIAL,
];

pub(in crate::kmip) async fn query(on: &mut Exchange<'_>, request: QueryRequest) -> Result<QueryResponse, Refusal> {
    let version = on.version;
    let mut answer = QueryResponse::default();
    for function in request.query_functions {
        match function {
            QueryFunction::QUERY_OPERATIONS => answer.operations = message::operations(on.service, version),
            QueryFunction::QUERY_OBJECTS => {
                answer.object_types = OBJECTS.iter().copied().filter(|it| it.is_defined(version)).collect();
            }
            QueryFunction::QUERY_SERVER_INFORMATION => {
                answer.vendor_identification = Some("Portcullis".to_owned());
                answer.server_information = Some(server_information(on));
            }
            QueryFunction::QUERY_RNGS if version >= V1_3 => {
                answer.rng_parameters = vec![RngParameters {
                    rng_algorithm: RngAlgorithm::UNSPECIFIED,
                    cryptographic_algorithm: None,
                    cryptographic_length: None,
                    hashing_algorithm: None,
                    drbg_algorithm: None,
                    recommended_curve: None,
                    fips186_variation: None,
                    prediction_resistance: None,
                }];
            }
            QueryFunction::QUERY_CAPABILITIES if version >= V1_3 => {
                answer.capability_information = vec![CapabilityInformation {
                    streaming_capability: Some(false),
                    asynchronous_capability: Some(false),
                    attestation_capability: Some(false),
                    batch_undo_capability: (version >= V1_4).then_some(false),
                    batch_continue_capability: (version >= V1_4).then_some(true),
                    unwrap_mode: Some(UnwrapMode::NOT_PROCESSED),
                    destroy_action: None,
                    shredding_algorithm: None,
                    rng_mode: None,
                    quantum_safe_capability: (version >= V2_0).then_some(true),
                }];
            }
            // Asked for and empty: there are none.
            QueryFunction::QUERY_APPLICATION_NAMESPACES
            | QueryFunction::QUERY_EXTENSION_LIST
            | QueryFunction::QUERY_EXTENSION_MAP
            | QueryFunction::QUERY_ATTESTATION_TYPES
            | QueryFunction::QUERY_VALIDATIONS
            | QueryFunction::QUERY_PROFILES
            | QueryFunction::QUERY_CLIENT_REGISTRATION_METHODS
            | QueryFunction::QUERY_DEFAULTS_INFORMATION
            | QueryFunction::QUERY_STORAGE_PROTECTION_MASKS
                if function.is_defined(version) => {}
            _ => return Err(Refusal::new(ResultReason::INVALID_FIELD, "the query function is not known")),
        }
    }
    Ok(answer)
}

fn server_information(on: &Exchange<'_>) -> ServerInformation {
    if on.version < V2_0 {
        return ServerInformation::default();
    }
    ServerInformation {
        server_name: Some("Portcullis".to_owned()),
        server_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        product_name: Some("Portcullis".to_owned()),
        ..ServerInformation::default()
    }
}

pub(in crate::kmip) async fn discover_versions(
    on: &mut Exchange<'_>,
    request: DiscoverVersionsRequest,
) -> Result<DiscoverVersionsResponse, Refusal> {
    let ours = on.service.settings.versions.iter().copied();
    let asked = request.protocol_versions;
    let protocol_versions = ours.filter(|version| asked.is_empty() || asked.contains(version)).collect();
    Ok(DiscoverVersionsResponse { protocol_versions })
}

pub(in crate::kmip) async fn log(on: &mut Exchange<'_>, request: LogRequest) -> Result<LogResponse, Refusal> {
    // The text is the client's: its length is logged, never its content, which might be anything.
    tracing::info!(version = %on.version, length = request.log_message.len(), "a client logged a message");
    Ok(LogResponse::default())
}

pub(in crate::kmip) async fn interop(
    _on: &mut Exchange<'_>,
    _request: InteropRequest,
) -> Result<InteropResponse, Refusal> {
    Ok(InteropResponse::default())
}

pub(in crate::kmip) async fn ping(_on: &mut Exchange<'_>, _request: PingRequest) -> Result<PingResponse, Refusal> {
    Ok(PingResponse::default())
}
