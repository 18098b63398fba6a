//! Get Attributes: returns attributes, all of them when none is named (KMIP 1.0 §4.11, 2.1 §6.1.20).

use crate::attribute::{AttributeKind, AttributeList};
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of GetAttributes.
    #[derive(Clone, Default)]
    pub struct GetAttributesRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        /// Which attributes.
        attribute_references: repeated AttributeKind, [ATTRIBUTE_NAME V1_0..=V1_4] [ATTRIBUTE_REFERENCE V2_0..];
    }

    /// The response payload of GetAttributes.
    #[derive(Clone)]
    pub struct GetAttributesResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        /// The attributes found.
        attributes: group AttributeList;
    }
}
