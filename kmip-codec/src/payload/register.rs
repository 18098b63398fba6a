//! Register: gives the server an object made elsewhere (KMIP 1.0 §4.3, 2.1 §6.1.43).

use super::common::ProtectionStorageMasks;
use crate::attribute::Attributes;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::object::ManagedObject;
use crate::spec::enums::ObjectType;

fields! {
    /// The request payload of Register.
    pub struct RegisterRequest {
        object_type: required ObjectType, [OBJECT_TYPE V1_0..];
        attributes: required Attributes, [TEMPLATE_ATTRIBUTE V1_0..=V1_4] [ATTRIBUTES V2_0..];
        /// The object; without a value, or absent in 1.0 and 1.1, when the server is to know its attributes only.
        object: group Option<ManagedObject>;
        protection_storage_masks: optional ProtectionStorageMasks, [PROTECTION_STORAGE_MASKS V2_0..];
    }

    /// The response payload of Register.
    pub struct RegisterResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        template_attribute: optional Attributes, [TEMPLATE_ATTRIBUTE V1_0..=V1_4];
    }
}
