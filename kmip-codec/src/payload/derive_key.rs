//! Derive Key: makes a key or secret data out of others (KMIP 1.0 §4.5, 2.1 §6.1.14).

use crate::attribute::{Attributes, CryptographicParameters};
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::secret::SecretBytes;
use crate::spec::enums::{DerivationMethod, ObjectType};

fields! {
    /// The request payload of DeriveKey.
    pub struct DeriveKeyRequest {
        object_type: required ObjectType, [OBJECT_TYPE V1_0..];
        unique_identifiers: repeated UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        derivation_method: required DerivationMethod, [DERIVATION_METHOD V1_0..];
        derivation_parameters: required DerivationParameters, [DERIVATION_PARAMETERS V1_0..];
        attributes: required Attributes, [TEMPLATE_ATTRIBUTE V1_0..=V1_4] [ATTRIBUTES V2_0..];
    }

    /// The response payload of DeriveKey.
    pub struct DeriveKeyResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        template_attribute: optional Attributes, [TEMPLATE_ATTRIBUTE V1_0..=V1_4];
    }

    /// What the derivation method needs.
    #[derive(Default)]
    pub struct DerivationParameters {
        cryptographic_parameters: optional CryptographicParameters, [CRYPTOGRAPHIC_PARAMETERS V1_0..];
        initialization_vector: optional Vec<u8>, [INITIALIZATION_VECTOR V1_0..];
        derivation_data: optional SecretBytes, [DERIVATION_DATA V1_0..];
        salt: optional SecretBytes, [SALT V1_0..];
        iteration_count: optional i32, [ITERATION_COUNT V1_0..];
    }
}
