//! Create User: makes a user (KMIP 3.0).

use crate::attribute::Attributes;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of CreateUser.
    #[derive(Clone)]
    pub struct CreateUserRequest {
        attributes: required Attributes, [ATTRIBUTES V3_0..];
    }

    /// The response payload of CreateUser.
    #[derive(Clone)]
    pub struct CreateUserResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V3_0..];
    }
}
