//! Join Split Key: joins the parts of a key (KMIP 1.2 §4.39, 2.1 §6.1.27).

use super::common::ProtectionStorageMasks;
use crate::attribute::Attributes;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::spec::enums::{ObjectType, SecretDataType};

fields! {
    /// The request payload of JoinSplitKey.
    pub struct JoinSplitKeyRequest {
        object_type: required ObjectType, [OBJECT_TYPE V1_2..];
        unique_identifiers: repeated UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        secret_data_type: optional SecretDataType, [SECRET_DATA_TYPE V1_2..];
        attributes: optional Attributes, [TEMPLATE_ATTRIBUTE V1_2..=V1_4] [ATTRIBUTES V2_0..];
        protection_storage_masks: optional ProtectionStorageMasks, [PROTECTION_STORAGE_MASKS V2_0..];
    }

    /// The response payload of JoinSplitKey.
    #[derive(Clone)]
    pub struct JoinSplitKeyResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_2..];
        template_attribute: optional Attributes, [TEMPLATE_ATTRIBUTE V1_2..=V1_4];
    }
}
