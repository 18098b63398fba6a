//! Create Credential: makes a credential that users log in with (KMIP 3.0).

use crate::attribute::Attributes;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::object::ManagedObject;
use crate::spec::enums::CredentialType;

fields! {
    /// The request payload of CreateCredential.
    pub struct CreateCredentialRequest {
        credential_type: required CredentialType, [CREDENTIAL_TYPE V3_0..];
        attributes: required Attributes, [ATTRIBUTES V3_0..];
        /// The credential.
        object: group Option<ManagedObject>;
    }

    /// The response payload of CreateCredential.
    #[derive(Clone)]
    pub struct CreateCredentialResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V3_0..];
    }
}
