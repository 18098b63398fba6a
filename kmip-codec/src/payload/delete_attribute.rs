//! Delete Attribute: removes an instance of an attribute; one of current attribute and reference is there from 2.0 (KMIP 1.0 §4.15, 2.1 §6.1.13).

use crate::attribute::{Attribute, AttributeKind};
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of DeleteAttribute.
    #[derive(Clone, Default)]
    pub struct DeleteAttributeRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        attribute_name: versioned AttributeKind, [ATTRIBUTE_NAME V1_0..=V1_4];
        attribute_index: optional i32, [ATTRIBUTE_INDEX V1_0..=V1_4];
        current_attribute: optional Attribute, [CURRENT_ATTRIBUTE V2_0..];
        attribute_reference: optional AttributeKind, [ATTRIBUTE_REFERENCE V2_0..];
    }

    /// The response payload of DeleteAttribute.
    #[derive(Clone)]
    pub struct DeleteAttributeResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        attribute: versioned Attribute, [ATTRIBUTE V1_0..=V1_4];
    }
}
