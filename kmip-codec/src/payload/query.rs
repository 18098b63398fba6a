//! Query: asks what the server can do (KMIP 1.0 §4.24, 2.1 §6.1.40).

use super::common::{DefaultsInformation, ObjectGroups, ProtectionStorageMasks, VendorItems};
use crate::attribute::RngParameters;
use crate::codec::fields;
use crate::spec::enums::{
    AttestationType, ClientRegistrationMethod, DestroyAction, ObjectType, Operation, ProfileName, QueryFunction,
    RngMode, ShreddingAlgorithm, UnwrapMode, ValidationAuthorityType, ValidationType,
};
use crate::ttlv::Value;

fields! {
    /// The request payload of Query.
    #[derive(Clone, Default)]
    pub struct QueryRequest {
        query_functions: repeated QueryFunction, [QUERY_FUNCTION V1_0..];
        object_groups: optional ObjectGroups, [OBJECT_GROUPS V2_1..=V2_1];
    }

    /// The response payload of Query.
    #[derive(Clone, Default)]
    pub struct QueryResponse {
        operations: repeated Operation, [OPERATION V1_0..];
        object_types: repeated ObjectType, [OBJECT_TYPE V1_0..];
        vendor_identification: optional String, [VENDOR_IDENTIFICATION V1_0..];
        server_information: optional ServerInformation, [SERVER_INFORMATION V1_0..];
        application_namespaces: repeated String, [APPLICATION_NAMESPACE V1_0..];
        extension_information: repeated ExtensionInformation, [EXTENSION_INFORMATION V1_1..];
        attestation_types: repeated AttestationType, [ATTESTATION_TYPE V1_2..];
        rng_parameters: repeated RngParameters, [RNG_PARAMETERS V1_3..];
        profile_information: repeated ProfileInformation, [PROFILE_INFORMATION V1_3..];
        validation_information: repeated ValidationInformation, [VALIDATION_INFORMATION V1_3..];
        capability_information: repeated CapabilityInformation, [CAPABILITY_INFORMATION V1_3..];
        client_registration_methods: repeated ClientRegistrationMethod, [CLIENT_REGISTRATION_METHOD V1_3..];
        defaults_information: optional DefaultsInformation, [DEFAULTS_INFORMATION V2_0..];
        protection_storage_masks: optional ProtectionStorageMasks, [PROTECTION_STORAGE_MASKS V2_0..];
    }

    /// What the server says of itself; in 1.x only what a vendor adds.
    #[derive(Clone, Default)]
    pub struct ServerInformation {
        server_name: optional String, [SERVER_NAME V2_0..];
        server_serial_number: optional String, [SERVER_SERIAL_NUMBER V2_0..];
        server_version: optional String, [SERVER_VERSION V2_0..];
        server_load: optional String, [SERVER_LOAD V2_0..];
        product_name: optional String, [PRODUCT_NAME V2_0..];
        build_level: optional String, [BUILD_LEVEL V2_0..];
        build_date: optional String, [BUILD_DATE V2_0..];
        cluster_info: optional String, [CLUSTER_INFO V2_0..];
        alternate_failover_endpoints: repeated String, [ALTERNATE_FAILOVER_ENDPOINTS V2_0..];
        /// What a vendor adds.
        vendor_specific: group VendorItems;
    }

    /// An extension of the standard that the server knows (KMIP 1.1 §2.1.9).
    #[derive(Clone)]
    pub struct ExtensionInformation {
        extension_name: required String, [EXTENSION_NAME V1_1..];
        extension_tag: optional i32, [EXTENSION_TAG V1_1..];
        /// The item type: an Integer in 1.x and an Enumeration from 2.0.
        extension_type: optional Value<'static>, [EXTENSION_TYPE V1_1..];
        extension_enumeration: optional i32, [EXTENSION_ENUMERATION V2_0..];
        extension_attribute: optional bool, [EXTENSION_ATTRIBUTE V2_0..];
        extension_parent_structure_tag: optional i32, [EXTENSION_PARENT_STRUCTURE_TAG V2_0..];
        extension_description: optional String, [EXTENSION_DESCRIPTION V2_0..];
    }

    /// A profile the server conforms to (KMIP 1.3 §2.1.19).
    #[derive(Clone)]
    pub struct ProfileInformation {
        profile_name: required ProfileName, [PROFILE_NAME V1_3..];
        profile_version: optional ProfileVersion, [PROFILE_VERSION V2_0..];
        server_uri: optional String, [SERVER_URI V1_3..];
        server_port: optional i32, [SERVER_PORT V1_3..];
    }

    /// The version of a profile (KMIP 2.1 §7.29).
    #[derive(Clone)]
    pub struct ProfileVersion {
        major: required i32, [PROFILE_VERSION_MAJOR V2_0..];
        minor: required i32, [PROFILE_VERSION_MINOR V2_0..];
    }

    /// A validation of the server by an authority (KMIP 1.3 §2.1.20).
    #[derive(Clone)]
    pub struct ValidationInformation {
        authority_type: required ValidationAuthorityType, [VALIDATION_AUTHORITY_TYPE V1_3..];
        authority_country: optional String, [VALIDATION_AUTHORITY_COUNTRY V1_3..];
        authority_uri: optional String, [VALIDATION_AUTHORITY_URI V1_3..];
        version_major: required i32, [VALIDATION_VERSION_MAJOR V1_3..];
        version_minor: optional i32, [VALIDATION_VERSION_MINOR V1_3..];
        validation_type: required ValidationType, [VALIDATION_TYPE V1_3..];
        level: required i32, [VALIDATION_LEVEL V1_3..];
        certificate_identifier: optional String, [VALIDATION_CERTIFICATE_IDENTIFIER V1_3..];
        certificate_uri: optional String, [VALIDATION_CERTIFICATE_URI V1_3..];
        vendor_uri: optional String, [VALIDATION_VENDOR_URI V1_3..];
        profiles: repeated String, [VALIDATION_PROFILE V1_3..];
    }

    /// What the server is able to do (KMIP 1.3 §2.1.21).
    #[derive(Clone, Default)]
    pub struct CapabilityInformation {
        streaming_capability: optional bool, [STREAMING_CAPABILITY V1_3..];
        asynchronous_capability: optional bool, [ASYNCHRONOUS_CAPABILITY V1_3..];
        attestation_capability: optional bool, [ATTESTATION_CAPABILITY V1_3..];
        batch_undo_capability: optional bool, [BATCH_UNDO_CAPABILITY V1_4..];
        batch_continue_capability: optional bool, [BATCH_CONTINUE_CAPABILITY V1_4..];
        unwrap_mode: optional UnwrapMode, [UNWRAP_MODE V1_3..];
        destroy_action: optional DestroyAction, [DESTROY_ACTION V1_3..];
        shredding_algorithm: optional ShreddingAlgorithm, [SHREDDING_ALGORITHM V1_3..];
        rng_mode: optional RngMode, [RNG_MODE V1_3..];
        quantum_safe_capability: optional bool, [QUANTUM_SAFE_CAPABILITY V2_0..];
    }
}
