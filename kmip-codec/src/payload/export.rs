//! Export: returns an object with all its attributes (KMIP 1.4 §4.40, 2.1 §6.1.18).

use crate::attribute::AttributeList;
use crate::codec::fields;
use crate::identifier::UniqueIdentifier;
use crate::object::{KeyWrappingSpecification, ManagedObject};
use crate::spec::enums::{KeyCompressionType, KeyFormatType, KeyWrapType, ObjectType};

fields! {
    /// The request payload of Export.
    #[derive(Clone, Default)]
    pub struct ExportRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_4..];
        key_format_type: optional KeyFormatType, [KEY_FORMAT_TYPE V1_4..];
        key_wrap_type: optional KeyWrapType, [KEY_WRAP_TYPE V1_4..];
        key_compression_type: optional KeyCompressionType, [KEY_COMPRESSION_TYPE V1_4..];
        key_wrapping_specification: optional KeyWrappingSpecification, [KEY_WRAPPING_SPECIFICATION V1_4..];
    }

    /// The response payload of Export.
    pub struct ExportResponse {
        object_type: required ObjectType, [OBJECT_TYPE V1_4..];
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_4..];
        /// Every attribute.
        attributes: group AttributeList;
        /// The object; absent when it has been destroyed.
        object: group Option<ManagedObject>;
    }
}
