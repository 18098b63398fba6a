//! Create: makes a key or secret data inside the server (KMIP 1.0 §4.1, 2.1 §6.1.8).

use super::common::ProtectionStorageMasks;
use crate::attribute::Attributes;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::spec::enums::ObjectType;

fields! {
    /// The request payload of Create.
    pub struct CreateRequest {
        object_type: required ObjectType, [OBJECT_TYPE V1_0..];
        attributes: required Attributes, [TEMPLATE_ATTRIBUTE V1_0..=V1_4] [ATTRIBUTES V2_0..];
        protection_storage_masks: optional ProtectionStorageMasks, [PROTECTION_STORAGE_MASKS V2_0..];
    }

    /// The response payload of Create.
    pub struct CreateResponse {
        object_type: required ObjectType, [OBJECT_TYPE V1_0..];
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        template_attribute: optional Attributes, [TEMPLATE_ATTRIBUTE V1_0..=V1_4];
    }
}
