//! Put: gives a client an object (KMIP 1.0 §5.2, 2.1 §6.2.3).

use crate::attribute::OptionalAttributeList;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::object::ManagedObject;
use crate::spec::enums::PutFunction;

fields! {
    /// The request payload of Put.
    pub struct PutRequest {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        put_function: required PutFunction, [PUT_FUNCTION V1_0..];
        replaced_unique_identifier: optional UniqueIdentifier, [REPLACED_UNIQUE_IDENTIFIER V1_0..];
        /// The object.
        object: group ManagedObject;
        /// Attributes of the object.
        attributes: group OptionalAttributeList;
    }

    /// The response payload of Put.
    #[derive(Clone, Default)]
    pub struct PutResponse {
    }
}
