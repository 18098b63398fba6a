//! Recover: brings an archived object back (KMIP 1.0 §4.22, 2.1 §6.1.42).

use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of Recover.
    #[derive(Clone, Default)]
    pub struct RecoverRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }

    /// The response payload of Recover.
    #[derive(Clone)]
    pub struct RecoverResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }
}
