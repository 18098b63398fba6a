//! Deactivate: makes an active object deactivated (KMIP 3.0).

use crate::attribute::DeactivationReason;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of Deactivate.
    #[derive(Clone, Default)]
    pub struct DeactivateRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V3_0..];
        deactivation_reason: optional DeactivationReason, [DEACTIVATION_REASON V3_0..];
    }

    /// The response payload of Deactivate.
    #[derive(Clone)]
    pub struct DeactivateResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V3_0..];
    }
}
