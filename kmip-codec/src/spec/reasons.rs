//! Result reasons: which version has which, and what an older version is told instead.
//!
//! A client must never be sent a reason its version does not define (some fail to parse it), so every reason that does
//! not exist everywhere has a row here. Which reason a situation has is the server's business; this is only about
//! saying it in a version.

use crate::error::DecodeErrorKind;
use crate::spec::enums::ResultReason;
use crate::version::ProtocolVersion;

/// Reason, and what to say instead where it is not defined; chains end at a reason of all versions.
pub const FALLBACKS: &[(ResultReason, ResultReason)] = &[
    (ResultReason::ILLEGAL_OPERATION, ResultReason::PERMISSION_DENIED),
    (ResultReason::INDEX_OUT_OF_BOUNDS, ResultReason::SERVER_LIMIT_EXCEEDED),
    (ResultReason::ENCODING_OPTION_ERROR, ResultReason::INVALID_FIELD),
    (ResultReason::KEY_VALUE_NOT_PRESENT, ResultReason::ITEM_NOT_FOUND),
    (ResultReason::ATTESTATION_REQUIRED, ResultReason::PERMISSION_DENIED),
    (ResultReason::ATTESTATION_FAILED, ResultReason::AUTHENTICATION_NOT_SUCCESSFUL),
    (ResultReason::SENSITIVE, ResultReason::PERMISSION_DENIED),
    (ResultReason::NOT_EXTRACTABLE, ResultReason::PERMISSION_DENIED),
    (ResultReason::OBJECT_ALREADY_EXISTS, ResultReason::ILLEGAL_OPERATION),
    (ResultReason::INVALID_TICKET, ResultReason::AUTHENTICATION_NOT_SUCCESSFUL),
    (ResultReason::USAGE_LIMIT_EXCEEDED, ResultReason::PERMISSION_DENIED),
    (ResultReason::NUMERIC_RANGE, ResultReason::INVALID_FIELD),
    (ResultReason::INVALID_DATA_TYPE, ResultReason::INVALID_FIELD),
    (ResultReason::READ_ONLY_ATTRIBUTE, ResultReason::PERMISSION_DENIED),
    (ResultReason::MULTI_VALUED_ATTRIBUTE, ResultReason::ILLEGAL_OPERATION),
    (ResultReason::UNSUPPORTED_ATTRIBUTE, ResultReason::INVALID_FIELD),
    (ResultReason::ATTRIBUTE_INSTANCE_NOT_FOUND, ResultReason::ITEM_NOT_FOUND),
    (ResultReason::ATTRIBUTE_NOT_FOUND, ResultReason::ITEM_NOT_FOUND),
    (ResultReason::ATTRIBUTE_READ_ONLY, ResultReason::PERMISSION_DENIED),
    (ResultReason::ATTRIBUTE_SINGLE_VALUED, ResultReason::ILLEGAL_OPERATION),
    (ResultReason::BAD_CRYPTOGRAPHIC_PARAMETERS, ResultReason::INVALID_FIELD),
    (ResultReason::BAD_PASSWORD, ResultReason::AUTHENTICATION_NOT_SUCCESSFUL),
    (ResultReason::CODEC_ERROR, ResultReason::INVALID_MESSAGE),
    (ResultReason::ILLEGAL_OBJECT_TYPE, ResultReason::INVALID_FIELD),
    (ResultReason::INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK, ResultReason::PERMISSION_DENIED),
    (ResultReason::INTERNAL_SERVER_ERROR, ResultReason::GENERAL_FAILURE),
    (ResultReason::INVALID_ASYNCHRONOUS_CORRELATION_VALUE, ResultReason::ITEM_NOT_FOUND),
    (ResultReason::INVALID_ATTRIBUTE, ResultReason::INVALID_FIELD),
    (ResultReason::INVALID_ATTRIBUTE_VALUE, ResultReason::INVALID_FIELD),
    (ResultReason::INVALID_CORRELATION_VALUE, ResultReason::INVALID_FIELD),
    (ResultReason::INVALID_CSR, ResultReason::INVALID_FIELD),
    (ResultReason::INVALID_OBJECT_TYPE, ResultReason::INVALID_FIELD),
    (ResultReason::KEY_WRAP_TYPE_NOT_SUPPORTED, ResultReason::FEATURE_NOT_SUPPORTED),
    (ResultReason::MISSING_INITIALIZATION_VECTOR, ResultReason::INVALID_MESSAGE),
    (ResultReason::NON_UNIQUE_NAME_ATTRIBUTE, ResultReason::INVALID_FIELD),
    (ResultReason::OBJECT_DESTROYED, ResultReason::ITEM_NOT_FOUND),
    (ResultReason::OBJECT_NOT_FOUND, ResultReason::ITEM_NOT_FOUND),
    (ResultReason::NOT_AUTHORISED, ResultReason::PERMISSION_DENIED),
    (ResultReason::SERVER_LIMIT_EXCEEDED, ResultReason::PERMISSION_DENIED),
    (ResultReason::UNKNOWN_ENUMERATION, ResultReason::INVALID_MESSAGE),
    (ResultReason::UNKNOWN_MESSAGE_EXTENSION, ResultReason::FEATURE_NOT_SUPPORTED),
    (ResultReason::UNKNOWN_TAG, ResultReason::INVALID_FIELD),
    (ResultReason::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS, ResultReason::INVALID_FIELD),
    (ResultReason::UNSUPPORTED_PROTOCOL_VERSION, ResultReason::INVALID_MESSAGE),
    (ResultReason::WRAPPING_OBJECT_ARCHIVED, ResultReason::OBJECT_ARCHIVED),
    (ResultReason::WRAPPING_OBJECT_DESTROYED, ResultReason::ITEM_NOT_FOUND),
    (ResultReason::WRAPPING_OBJECT_NOT_FOUND, ResultReason::ITEM_NOT_FOUND),
    (ResultReason::WRONG_KEY_LIFECYCLE_STATE, ResultReason::PERMISSION_DENIED),
    (ResultReason::PROTECTION_STORAGE_UNAVAILABLE, ResultReason::CRYPTOGRAPHIC_FAILURE),
    (ResultReason::PKCS_11_CODEC_ERROR, ResultReason::INVALID_FIELD),
    (ResultReason::PKCS_11_INVALID_FUNCTION, ResultReason::INVALID_FIELD),
    (ResultReason::PKCS_11_INVALID_INTERFACE, ResultReason::INVALID_FIELD),
    (ResultReason::PRIVATE_PROTECTION_STORAGE_UNAVAILABLE, ResultReason::CRYPTOGRAPHIC_FAILURE),
    (ResultReason::PUBLIC_PROTECTION_STORAGE_UNAVAILABLE, ResultReason::CRYPTOGRAPHIC_FAILURE),
    (ResultReason::UNKNOWN_OBJECT_GROUP, ResultReason::INVALID_ATTRIBUTE_VALUE),
    (ResultReason::CONSTRAINT_VIOLATION, ResultReason::INVALID_ATTRIBUTE_VALUE),
    (ResultReason::DUPLICATE_PROCESS_REQUEST, ResultReason::INVALID_ASYNCHRONOUS_CORRELATION_VALUE),
    (ResultReason::CIRCULAR_LINK_ERROR, ResultReason::INVALID_ATTRIBUTE_VALUE),
];

/// The reason as `version` can say it. Extensions (8xxxxxxx) pass; what nobody knows becomes General Failure.
pub fn in_version(reason: ResultReason, version: ProtocolVersion) -> ResultReason {
    let mut said = reason;
    // A chain is at most as long as the table; the bound keeps a mistake in the table from looping.
    for _ in 0..=FALLBACKS.len() {
        if said.is_defined(version) || said.number() >= 0x8000_0000 {
            return said;
        }
        match FALLBACKS.iter().find(|(newer, _)| *newer == said) {
            Some((_, older)) => said = *older,
            None => break,
        }
    }
    ResultReason::GENERAL_FAILURE
}

/// The reason for a message or payload that cannot be decoded.
pub fn of_decode_error(kind: DecodeErrorKind, version: ProtocolVersion) -> ResultReason {
    let reason = match kind {
        DecodeErrorKind::UnknownTag(_) => ResultReason::UNKNOWN_TAG,
        DecodeErrorKind::UnexpectedField(_) => ResultReason::INVALID_FIELD,
        DecodeErrorKind::UnknownEnumeration(_) => ResultReason::UNKNOWN_ENUMERATION,
        DecodeErrorKind::UnknownAttribute => ResultReason::UNSUPPORTED_ATTRIBUTE,
        DecodeErrorKind::UnsupportedOperation(_) => ResultReason::OPERATION_NOT_SUPPORTED,
        DecodeErrorKind::UnsupportedVersion(_) => ResultReason::UNSUPPORTED_PROTOCOL_VERSION,
        _ => ResultReason::INVALID_MESSAGE,
    };
    in_version(reason, version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tags::Tag;
    use crate::version::{SUPPORTED, V1_0, V1_4, V2_0, V2_1, V3_0};

    #[test]
    fn every_reason_that_some_version_lacks_has_a_fallback() {
        for row in ResultReason::ROWS {
            let everywhere = SUPPORTED.iter().all(|version| row.versions.contains(*version));
            let has_fallback = FALLBACKS.iter().any(|(newer, _)| newer.number() == row.number);
            assert_ne!(everywhere, has_fallback, "{}", row.name);
        }
    }

    #[test]
    fn no_version_is_sent_a_reason_it_lacks() {
        for version in SUPPORTED {
            for row in ResultReason::ROWS {
                let said = in_version(ResultReason::from_number(row.number), version);
                assert!(said.is_defined(version), "{} in {version}", row.name);
                assert!(said.number() == row.number || !row.versions.contains(version), "{} in {version}", row.name);
            }
        }
    }

    #[test]
    fn reasons_of_the_contract() {
        let rows = [
            (ResultReason::SENSITIVE, V1_0, ResultReason::PERMISSION_DENIED),
            (ResultReason::SENSITIVE, V1_4, ResultReason::SENSITIVE),
            (ResultReason::OBJECT_DESTROYED, V1_4, ResultReason::ITEM_NOT_FOUND),
            (ResultReason::OBJECT_DESTROYED, V2_0, ResultReason::OBJECT_DESTROYED),
            (ResultReason::INDEX_OUT_OF_BOUNDS, V2_1, ResultReason::SERVER_LIMIT_EXCEEDED),
            (ResultReason::CIRCULAR_LINK_ERROR, V1_0, ResultReason::INVALID_FIELD),
            (ResultReason::CIRCULAR_LINK_ERROR, V2_0, ResultReason::INVALID_ATTRIBUTE_VALUE),
            (ResultReason::UNKNOWN_OBJECT_GROUP, V3_0, ResultReason::INVALID_ATTRIBUTE_VALUE),
            (ResultReason::OBJECT_ALREADY_EXISTS, V1_0, ResultReason::ILLEGAL_OPERATION),
        ];
        for (reason, version, said) in rows {
            assert_eq!(in_version(reason, version), said, "{reason} in {version}");
        }
        assert_eq!(in_version(ResultReason::from_number(0x8000_0001), V1_0).number(), 0x8000_0001);
        assert_eq!(in_version(ResultReason::from_number(0x0000_7777), V3_0), ResultReason::GENERAL_FAILURE);
    }

    #[test]
    fn an_unknown_field_is_invalid_in_1_x_and_unknown_from_2_0() {
        let kind = DecodeErrorKind::UnknownTag(Tag::ATTRIBUTES);
        assert_eq!(of_decode_error(kind, V1_4), ResultReason::INVALID_FIELD);
        assert_eq!(of_decode_error(kind, V2_0), ResultReason::UNKNOWN_TAG);
        assert_eq!(of_decode_error(DecodeErrorKind::BadUtf8, V3_0), ResultReason::INVALID_MESSAGE);
    }
}
