//! Set Attribute: adds a single-valued attribute or replaces its value (KMIP 2.0 §6.1.48, 2.1 §6.1.51).

use crate::attribute::Attribute;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of SetAttribute.
    #[derive(Clone)]
    pub struct SetAttributeRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V2_0..];
        attribute: required Attribute, [NEW_ATTRIBUTE V2_0..];
    }

    /// The response payload of SetAttribute.
    #[derive(Clone)]
    pub struct SetAttributeResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V2_0..];
    }
}
