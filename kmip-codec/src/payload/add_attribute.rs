//! Add Attribute: adds an instance of an attribute (KMIP 1.0 §4.13, 2.1 §6.1.2).

use crate::attribute::Attribute;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of AddAttribute.
    #[derive(Clone)]
    pub struct AddAttributeRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        attribute: required Attribute, [ATTRIBUTE V1_0..=V1_4] [NEW_ATTRIBUTE V2_0..];
    }

    /// The response payload of AddAttribute.
    #[derive(Clone)]
    pub struct AddAttributeResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        attribute: versioned Attribute, [ATTRIBUTE V1_0..=V1_4];
    }
}
