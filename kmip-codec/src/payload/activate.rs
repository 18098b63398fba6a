//! Activate: makes a pre-active object active (KMIP 1.0 §4.18, 2.1 §6.1.1).

use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of Activate.
    #[derive(Clone, Default)]
    pub struct ActivateRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }

    /// The response payload of Activate.
    #[derive(Clone)]
    pub struct ActivateResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }
}
