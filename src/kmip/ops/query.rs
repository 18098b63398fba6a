//! Query, Discover Versions, and the small operations that touch no object: Log, Interop, Ping.

use kmip_codec::{
    payload::{
        CapabilityInformation, DiscoverVersionsRequest, DiscoverVersionsResponse, InteropRequest, InteropResponse,
        LogRequest, LogResponse, PingRequest, PingResponse, ProfileInformation, ProfileVersion, ProtectionStorageMasks,
        QueryRequest, QueryResponse, ServerInformation,
    },
    spec::{
        enums::{
            ClientRegistrationMethod, DestroyAction, InteropFunction, ObjectType, ProfileName, QueryFunction,
            ResultReason, RngMode, ShreddingAlgorithm, UnwrapMode,
        },
        masks::ProtectionStorageMask,
    },
    version::{V1_3, V1_4, V2_0, V2_1},
};

use crate::kmip::{
    attributes,
    batch::{self, Exchange},
    error::Refusal,
    message,
};

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
            QueryFunction::QUERY_OPERATIONS => {
                answer.operations = message::operations(on.service, version);
                answer.operations.retain(|operation| on.allows(*operation));
            }
            QueryFunction::QUERY_OBJECTS => {
                answer.object_types = OBJECTS.iter().copied().filter(|it| it.is_defined(version)).collect();
            }
            QueryFunction::QUERY_SERVER_INFORMATION => {
                answer.vendor_identification = Some("Portcullis".to_owned());
                answer.server_information = Some(server_information(on));
            }
            QueryFunction::QUERY_RNGS if version >= V1_3 => {
                let generator = &on.service.engine.ports().settings.generator;
                answer.rng_parameters = vec![attributes::generator_out(generator)];
            }
            QueryFunction::QUERY_VALIDATIONS if version >= V1_3 => {
                answer.validation_information.clone_from(&on.service.settings.validations);
            }
            QueryFunction::QUERY_PROFILES if version >= V1_3 => answer.profile_information = profiles(on),
            QueryFunction::QUERY_CAPABILITIES if version >= V1_3 => {
                answer.capability_information = vec![CapabilityInformation {
                    streaming_capability: Some(true),
                    asynchronous_capability: Some(true),
                    attestation_capability: Some(false),
                    batch_undo_capability: (version >= V1_4).then_some(true),
                    batch_continue_capability: (version >= V1_4).then_some(true),
                    unwrap_mode: Some(UnwrapMode::NOT_PROCESSED),
                    destroy_action: Some(DestroyAction::KEY_MATERIAL_DELETED),
                    shredding_algorithm: Some(ShreddingAlgorithm::UNSUPPORTED),
                    rng_mode: Some(RngMode::SHARED_INSTANTIATION),
                    quantum_safe_capability: (version >= V2_0).then_some(true),
                }];
            }
            QueryFunction::QUERY_CLIENT_REGISTRATION_METHODS if version >= V1_3 => {
                // An operator enrols the certificate that the client brings.
                answer.client_registration_methods = vec![ClientRegistrationMethod::CLIENT_GENERATED];
            }
            QueryFunction::QUERY_DEFAULTS_INFORMATION if version >= V2_0 => {
                let defaults = on.service.standing.defaults(&on.principal().project)?;
                answer.defaults_information = (!defaults.object_defaults.is_empty()).then_some(defaults);
            }
            QueryFunction::QUERY_STORAGE_PROTECTION_MASKS if version >= V2_0 => {
                let simulated = on.service.engine.ports().settings.simulated_hsm;
                let mask = if simulated { ProtectionStorageMask::SOFTWARE } else { ProtectionStorageMask::HARDWARE };
                answer.protection_storage_masks = Some(ProtectionStorageMasks { masks: vec![mask] });
            }
            QueryFunction::QUERY_APPLICATION_NAMESPACES => {
                answer.application_namespaces = batch::NAMESPACES.iter().map(|it| (*it).to_owned()).collect();
            }
            // Asked for and empty: there are none.
            QueryFunction::QUERY_EXTENSION_LIST
            | QueryFunction::QUERY_EXTENSION_MAP
            | QueryFunction::QUERY_ATTESTATION_TYPES
            | QueryFunction::QUERY_CREDENTIAL_INFORMATION
                if function.is_defined(version) => {}
            _ => return Err(Refusal::new(ResultReason::INVALID_FIELD, "the query function is not known")),
        }
    }
    Ok(answer)
}

/// Families of profiles that are served, by the beginning of their names; a version follows. They are those whose published
/// cases pass: `tests/kmip/profiles.rs` holds the answer against the table of results.
const PROFILES: &[&str] = &[
    "BaselineServer",
    "TapeLibraryServer",
    "SymmetricKeyLifecycleServer",
    "AsymmetricKeyLifecycleServer",
    "BasicCryptographicServer",
    "AdvancedCryptographicServer",
    "RNGCryptographicServer",
    "SymmetricKeyFoundryServer",
    "OpaqueManagedObjectStoreServer",
    "StorageArrayWithSelfEncryptingDriveServer",
    "AESXTSServer",
    "QuantumSafeServer",
    "PKCS_11Server",
];

/// The profiles in the words of the version: up to 1.4 a name for each version that is served, later the version beside it.
fn profiles(on: &Exchange<'_>) -> Vec<ProfileInformation> {
    let served = &on.service.settings.versions;
    let rows = ProfileName::ROWS.iter().filter(|row| row.versions.contains(on.version));
    let ours = rows.filter(|row| {
        PROFILES.iter().any(|family| row.name.starts_with(family))
            && row.name.rsplit_once("KMIPV").is_none_or(|(_, version)| {
                served.iter().any(|known| version == format!("{}_{}", known.major, known.minor))
            })
    });
    let version = (on.version >= V2_1).then_some(ProfileVersion { major: on.version.major, minor: on.version.minor });
    ours.map(|row| ProfileInformation {
        profile_name: ProfileName::from_number(row.number),
        profile_version: version.clone(),
        server_uri: None,
        server_port: None,
    })
    .collect()
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
    request: InteropRequest,
) -> Result<InteropResponse, Refusal> {
    if !attributes::is_known(InteropFunction::ROWS, request.interop_function.number()) {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "the interop function is not known"));
    }
    Ok(InteropResponse::default())
}

pub(in crate::kmip) async fn ping(_on: &mut Exchange<'_>, _request: PingRequest) -> Result<PingResponse, Refusal> {
    Ok(PingResponse::default())
}
