//! Get Constraints: returns the constraints (KMIP 2.1 §6.1.22).

use super::set_constraints::Constraints;
use crate::codec::fields;

fields! {
    /// The request payload of GetConstraints.
    #[derive(Clone, Default)]
    pub struct GetConstraintsRequest {
    }

    /// The response payload of GetConstraints.
    #[derive(Clone)]
    pub struct GetConstraintsResponse {
        constraints: required Constraints, [CONSTRAINTS V2_1..];
    }
}
