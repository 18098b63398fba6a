//! Validate: checks a chain of certificates (KMIP 1.0 §4.23, 2.1 §6.1.57).

use crate::codec::{DateTime, fields};
use crate::identifier::UniqueIdentifier;
use crate::object::Certificate;
use crate::spec::enums::ValidityIndicator;

fields! {
    /// The request payload of Validate.
    #[derive(Default)]
    pub struct ValidateRequest {
        certificates: repeated Certificate, [CERTIFICATE V1_0..];
        unique_identifiers: repeated UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        validity_date: optional DateTime, [VALIDITY_DATE V1_0..];
    }

    /// The response payload of Validate.
    #[derive(Clone)]
    pub struct ValidateResponse {
        validity_indicator: required ValidityIndicator, [VALIDITY_INDICATOR V1_0..];
    }
}
