//! Get Attribute List: names the attributes an object has (KMIP 1.0 §4.12, 2.1 §6.1.21).

use crate::attribute::AttributeKind;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of GetAttributeList.
    #[derive(Clone, Default)]
    pub struct GetAttributeListRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }

    /// The response payload of GetAttributeList.
    #[derive(Clone)]
    pub struct GetAttributeListResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        /// Each attribute once.
        attribute_references: repeated AttributeKind, [ATTRIBUTE_NAME V1_0..=V1_4] [ATTRIBUTE_REFERENCE V2_0..];
    }
}
