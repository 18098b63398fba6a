//! Get: returns an object with its value (KMIP 1.0 §4.10, 2.1 §6.1.19).

use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::object::{KeyWrappingSpecification, ManagedObject};
use crate::spec::enums::{KeyCompressionType, KeyFormatType, KeyWrapType, ObjectType};

fields! {
    /// The request payload of Get.
    #[derive(Clone, Default)]
    pub struct GetRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        key_format_type: optional KeyFormatType, [KEY_FORMAT_TYPE V1_0..];
        key_wrap_type: optional KeyWrapType, [KEY_WRAP_TYPE V1_4..];
        key_compression_type: optional KeyCompressionType, [KEY_COMPRESSION_TYPE V1_0..];
        key_wrapping_specification: optional KeyWrappingSpecification, [KEY_WRAPPING_SPECIFICATION V1_0..];
    }

    /// The response payload of Get.
    pub struct GetResponse {
        object_type: required ObjectType, [OBJECT_TYPE V1_0..];
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        /// The object.
        object: group ManagedObject;
    }
}
