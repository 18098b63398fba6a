//! Create Split Key: splits a key into parts (KMIP 1.2 §4.38, 2.1 §6.1.10).

use super::common::ProtectionStorageMasks;
use crate::attribute::Attributes;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::secret::BigInteger;
use crate::spec::enums::{ObjectType, SplitKeyMethod, SplitKeyPolynomial};

fields! {
    /// The request payload of CreateSplitKey.
    pub struct CreateSplitKeyRequest {
        object_type: required ObjectType, [OBJECT_TYPE V1_2..];
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        split_key_parts: required i32, [SPLIT_KEY_PARTS V1_2..];
        split_key_threshold: required i32, [SPLIT_KEY_THRESHOLD V1_2..];
        split_key_method: required SplitKeyMethod, [SPLIT_KEY_METHOD V1_2..];
        split_key_polynomial: optional SplitKeyPolynomial, [SPLIT_KEY_POLYNOMIAL V3_0..];
        prime_field_size: optional BigInteger, [PRIME_FIELD_SIZE V1_2..];
        attributes: required Attributes, [TEMPLATE_ATTRIBUTE V1_2..=V1_4] [ATTRIBUTES V2_0..];
        protection_storage_masks: optional ProtectionStorageMasks, [PROTECTION_STORAGE_MASKS V2_0..];
    }

    /// The response payload of CreateSplitKey.
    #[derive(Clone, Default)]
    pub struct CreateSplitKeyResponse {
        unique_identifiers: repeated UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        template_attribute: optional Attributes, [TEMPLATE_ATTRIBUTE V1_2..=V1_4];
    }
}
