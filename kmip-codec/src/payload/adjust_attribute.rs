//! Adjust Attribute: increments, decrements or negates an attribute (KMIP 2.0 §6.1.3, 2.1 §6.1.3).

use crate::attribute::AttributeKind;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::spec::enums::AdjustmentType;
use crate::ttlv::Value;

fields! {
    /// The request payload of AdjustAttribute.
    #[derive(Clone)]
    pub struct AdjustAttributeRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V2_0..];
        attribute_reference: required AttributeKind, [ATTRIBUTE_REFERENCE V2_0..];
        adjustment_type: required AdjustmentType, [ADJUSTMENT_TYPE V2_0..];
        /// Of the item type that suits the attribute; 1 when absent.
        adjustment_value: optional Value<'static>, [ADJUSTMENT_VALUE V2_0..];
    }

    /// The response payload of AdjustAttribute.
    #[derive(Clone)]
    pub struct AdjustAttributeResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V2_0..];
    }
}
