//! Import: gives the server an object with its identifier and all its attributes (KMIP 1.4 §4.41, 2.1 §6.1.25).

use crate::attribute::AttributeList;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::object::ManagedObject;
use crate::spec::enums::{KeyWrapType, ObjectType};

fields! {
    /// The request payload of Import.
    pub struct ImportRequest {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_4..];
        object_type: versioned ObjectType, [OBJECT_TYPE V2_0..];
        replace_existing: optional bool, [REPLACE_EXISTING V1_4..];
        key_wrap_type: optional KeyWrapType, [KEY_WRAP_TYPE V1_4..];
        /// Every attribute.
        attributes: group AttributeList;
        /// The object; absent when the attributes describe one that has been destroyed.
        object: group Option<ManagedObject>;
    }

    /// The response payload of Import.
    #[derive(Clone)]
    pub struct ImportResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_4..];
    }
}
