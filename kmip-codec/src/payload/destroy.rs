//! Destroy: removes the value of an object (KMIP 1.0 §4.20, 2.1 §6.1.15).

use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of Destroy.
    #[derive(Clone, Default)]
    pub struct DestroyRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }

    /// The response payload of Destroy.
    #[derive(Clone)]
    pub struct DestroyResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }
}
