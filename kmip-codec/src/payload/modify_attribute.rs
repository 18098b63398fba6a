//! Modify Attribute: changes an instance of an attribute (KMIP 1.0 §4.14, 2.1 §6.1.34).

use crate::attribute::Attribute;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of ModifyAttribute.
    #[derive(Clone)]
    pub struct ModifyAttributeRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        current_attribute: optional Attribute, [CURRENT_ATTRIBUTE V2_0..];
        attribute: required Attribute, [ATTRIBUTE V1_0..=V1_4] [NEW_ATTRIBUTE V2_0..];
    }

    /// The response payload of ModifyAttribute.
    #[derive(Clone)]
    pub struct ModifyAttributeResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        attribute: versioned Attribute, [ATTRIBUTE V1_0..=V1_4];
    }
}
