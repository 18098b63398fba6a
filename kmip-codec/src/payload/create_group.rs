//! Create Group: makes a group of objects (KMIP 3.0).

use crate::attribute::Attributes;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of CreateGroup.
    #[derive(Clone)]
    pub struct CreateGroupRequest {
        attributes: required Attributes, [ATTRIBUTES V3_0..];
    }

    /// The response payload of CreateGroup.
    #[derive(Clone)]
    pub struct CreateGroupResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V3_0..];
    }
}
