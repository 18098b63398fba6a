//! Set Constraints: says which attribute values new objects must have (KMIP 2.1 §6.1.52).

use super::common::{ObjectGroups, ObjectTypes};
use crate::attribute::Attributes;
use crate::codec::fields;

fields! {
    /// The request payload of SetConstraints.
    #[derive(Clone, Default)]
    pub struct SetConstraintsRequest {
        /// None removes all constraints, as TC-MD-24-21 does.
        constraints: optional Constraints, [CONSTRAINTS V2_1..];
    }

    /// The response payload of SetConstraints.
    #[derive(Clone, Default)]
    pub struct SetConstraintsResponse {
    }

    /// Constraints, all of which must hold (KMIP 2.1 §7.5).
    #[derive(Clone, Default)]
    pub struct Constraints {
        constraints: repeated Constraint, [CONSTRAINT V2_1..];
    }

    /// Attribute values required of some objects (KMIP 2.1 §7.4).
    #[derive(Clone, Default)]
    pub struct Constraint {
        object_types: optional ObjectTypes, [OBJECT_TYPES V2_1..];
        object_groups: optional ObjectGroups, [OBJECT_GROUPS V2_1..=V2_1];
        attributes: optional Attributes, [ATTRIBUTES V2_1..];
    }
}
