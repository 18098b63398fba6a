//! Revoke: ends the use of an object (KMIP 1.0 §4.19, 2.1 §6.1.44).

use crate::attribute::RevocationReason;
use crate::codec::{DateTime, fields};
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of Revoke.
    #[derive(Clone)]
    pub struct RevokeRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        revocation_reason: required RevocationReason, [REVOCATION_REASON V1_0..];
        compromise_occurrence_date: optional DateTime, [COMPROMISE_OCCURRENCE_DATE V1_0..];
    }

    /// The response payload of Revoke.
    #[derive(Clone)]
    pub struct RevokeResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }
}
