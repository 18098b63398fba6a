//! Notify: tells a client that attributes have changed (KMIP 1.0 §5.1, 2.1 §6.2.2).

use crate::attribute::{AttributeKind, OptionalAttributeList};
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of Notify.
    #[derive(Clone)]
    pub struct NotifyRequest {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        /// Attributes that changed; in 1.x one without value has been deleted.
        attributes: group OptionalAttributeList;
        attribute_references: repeated AttributeKind, [ATTRIBUTE_REFERENCE V2_0..];
    }

    /// The response payload of Notify.
    #[derive(Clone, Default)]
    pub struct NotifyResponse {
    }
}
