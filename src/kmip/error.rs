//! What a client is told: one table from the engine's error kinds to result reasons, with a column for each era of KMIP.
//!
//! The same refusal has other names in other versions (contract §9): 1.x calls most of them Permission Denied, 2.0 names
//! them, 2.1 names lifecycle errors. A code above the version's last is never sent; 1.x columns hold only old codes, and
//! the three that came within 1.x carry the version from which they may be sent.

use kmip_codec::{
    DecodeError, DecodeErrorKind, ProtocolVersion,
    spec::enums::ResultReason as R,
    version::{V1_1, V1_2, V1_4, V2_0, V2_1},
};

use crate::engine::{Error, ErrorKind};

/// A failed batch item: what the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The result reason, one that the request's version defines.
    pub reason: R,
    /// Free text; never a value.
    pub message: String,
}

impl Refusal {
    /// A refusal of the front end's own.
    pub(super) fn new(reason: R, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// The engine's failure in the words of `version`.
    pub(super) fn of(error: &Error, version: ProtocolVersion) -> Self {
        Self { reason: reason(error.kind, version), message: error.public.clone().into_owned() }
    }

    /// A payload that cannot be read, in the words of `version`.
    pub(super) fn malformed(error: &DecodeError, version: ProtocolVersion) -> Self {
        Self { reason: decode_reason(error.kind, version), message: error.to_string() }
    }
}

/// The reason for an engine error in a version.
#[must_use]
pub(super) fn reason(kind: ErrorKind, version: ProtocolVersion) -> R {
    let (old, late_1x, v2_0, v2_1) = row(kind);
    if version >= V2_1 {
        v2_1
    } else if version >= V2_0 {
        v2_0
    } else {
        late_1x.filter(|(from, _)| version >= *from).map_or(old, |(_, reason)| reason)
    }
}

type Row = (R, Option<(ProtocolVersion, R)>, R, R);

/// Columns: 1.x; a later 1.x reason and its first version; 2.0; 2.1 and later.
const fn row(kind: ErrorKind) -> Row {
    use ErrorKind as E;
    const fn same(reason: R) -> Row {
        (reason, None, reason, reason)
    }
    const fn split(old: R, new: R) -> Row {
        (old, None, new, new)
    }
    match kind {
        E::NotFound | E::Foreign => split(R::ITEM_NOT_FOUND, R::OBJECT_NOT_FOUND),
        E::Obliterated => same(R::ITEM_NOT_FOUND),
        E::Destroyed => split(R::ITEM_NOT_FOUND, R::OBJECT_DESTROYED),
        E::Archived => same(R::OBJECT_ARCHIVED),
        E::ValueMissing => (
            R::ITEM_NOT_FOUND,
            Some((V1_2, R::KEY_VALUE_NOT_PRESENT)),
            R::KEY_VALUE_NOT_PRESENT,
            R::KEY_VALUE_NOT_PRESENT,
        ),
        E::ValuePresent | E::InUse => same(R::PERMISSION_DENIED),
        E::WrongState => (R::PERMISSION_DENIED, None, R::PERMISSION_DENIED, R::WRONG_KEY_LIFECYCLE_STATE),
        E::IllegalTransition => split(R::ILLEGAL_OPERATION, R::WRONG_KEY_LIFECYCLE_STATE),
        E::WrongUsage => split(R::PERMISSION_DENIED, R::INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK),
        E::UsageSpent => same(R::PERMISSION_DENIED),
        E::AllocationRefused => split(R::PERMISSION_DENIED, R::USAGE_LIMIT_EXCEEDED),
        E::NoUsageLimit => split(R::ILLEGAL_OPERATION, R::ATTRIBUTE_NOT_FOUND),
        E::LeaseRefused => same(R::PERMISSION_DENIED),
        E::OffsetImpossible => split(R::ILLEGAL_OPERATION, R::INVALID_FIELD),
        E::WrongObjectType => split(R::INVALID_FIELD, R::INVALID_OBJECT_TYPE),
        E::NameTaken => split(R::INVALID_FIELD, R::NON_UNIQUE_NAME_ATTRIBUTE),
        E::NameTakenOnChange => split(R::ILLEGAL_OPERATION, R::NON_UNIQUE_NAME_ATTRIBUTE),
        E::AlreadyExists => (
            R::ILLEGAL_OPERATION,
            Some((V1_4, R::OBJECT_ALREADY_EXISTS)),
            R::OBJECT_ALREADY_EXISTS,
            R::OBJECT_ALREADY_EXISTS,
        ),
        E::Conflict | E::RequirementUnmet | E::TagLength => same(R::GENERAL_FAILURE),
        E::NotExtractable => {
            (R::PERMISSION_DENIED, Some((V1_4, R::NOT_EXTRACTABLE)), R::NOT_EXTRACTABLE, R::NOT_EXTRACTABLE)
        }
        E::Sensitive => (R::PERMISSION_DENIED, Some((V1_4, R::SENSITIVE)), R::SENSITIVE, R::SENSITIVE),
        E::Unauthenticated => same(R::AUTHENTICATION_NOT_SUCCESSFUL),
        E::NotAuthorised => split(R::PERMISSION_DENIED, R::NOT_AUTHORISED),
        E::Denied | E::QuotaReached => same(R::PERMISSION_DENIED),
        E::Malformed | E::Missing | E::IvMissing => same(R::INVALID_MESSAGE),
        E::InvalidField => same(R::INVALID_FIELD),
        E::InvalidAttributeValue => split(R::INVALID_FIELD, R::INVALID_ATTRIBUTE_VALUE),
        E::UnknownAttribute => split(R::INVALID_FIELD, R::INVALID_ATTRIBUTE),
        E::AttributeReadOnly => split(R::PERMISSION_DENIED, R::ATTRIBUTE_READ_ONLY),
        E::AttributeSingleValued => split(R::ILLEGAL_OPERATION, R::ATTRIBUTE_SINGLE_VALUED),
        E::AttributeMultiValued => split(R::ILLEGAL_OPERATION, R::MULTI_VALUED_ATTRIBUTE),
        E::AttributeMissing => split(R::ITEM_NOT_FOUND, R::ATTRIBUTE_NOT_FOUND),
        E::WrongDataType => split(R::INVALID_FIELD, R::INVALID_DATA_TYPE),
        E::OutOfRange => split(R::INVALID_FIELD, R::NUMERIC_RANGE),
        E::TooManyAttributes => split(R::INDEX_OUT_OF_BOUNDS, R::SERVER_LIMIT_EXCEEDED),
        E::FormatUnsupported => same(R::KEY_FORMAT_TYPE_NOT_SUPPORTED),
        E::WrappingKeyMissing => split(R::ITEM_NOT_FOUND, R::WRAPPING_OBJECT_NOT_FOUND),
        E::WrappingKeyWrongType => split(R::ILLEGAL_OPERATION, R::INVALID_OBJECT_TYPE),
        E::WrappingKeyWrongUsage => split(R::PERMISSION_DENIED, R::INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK),
        E::WrappingKeyWrongState => (R::PERMISSION_DENIED, None, R::PERMISSION_DENIED, R::WRONG_KEY_LIFECYCLE_STATE),
        E::WrappingKeyArchived => split(R::OBJECT_ARCHIVED, R::WRAPPING_OBJECT_ARCHIVED),
        E::WrapTypeUnsupported => split(R::FEATURE_NOT_SUPPORTED, R::KEY_WRAP_TYPE_NOT_SUPPORTED),
        E::WrappingKeyDestroyed => split(R::ITEM_NOT_FOUND, R::WRAPPING_OBJECT_DESTROYED),
        E::WrappingEncoding => (
            R::INVALID_FIELD,
            Some((V1_1, R::ENCODING_OPTION_ERROR)),
            R::ENCODING_OPTION_ERROR,
            R::ENCODING_OPTION_ERROR,
        ),
        E::UnsupportedOperation => same(R::OPERATION_NOT_SUPPORTED),
        E::UnsupportedFeature => same(R::FEATURE_NOT_SUPPORTED),
        E::UnsupportedParameters => split(R::INVALID_FIELD, R::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        E::BadParameters => split(R::INVALID_FIELD, R::BAD_CRYPTOGRAPHIC_PARAMETERS),
        E::TooLarge => split(R::INVALID_FIELD, R::SERVER_LIMIT_EXCEEDED),
        E::Cryptographic => same(R::CRYPTOGRAPHIC_FAILURE),
        E::Full | E::Busy => split(R::GENERAL_FAILURE, R::SERVER_LIMIT_EXCEEDED),
        E::Unavailable | E::Internal => split(R::GENERAL_FAILURE, R::INTERNAL_SERVER_ERROR),
    }
}

/// The reason for bytes that cannot be read (contract §1, "Malformed input").
#[must_use]
pub(super) fn decode_reason(kind: DecodeErrorKind, version: ProtocolVersion) -> R {
    use DecodeErrorKind as D;
    match kind {
        D::UnsupportedOperation(_) => R::OPERATION_NOT_SUPPORTED,
        D::UnexpectedField(_) | D::UnknownAttribute | D::OutOfRange if version < V2_0 => R::INVALID_FIELD,
        D::UnexpectedField(_) => R::INVALID_FIELD,
        D::UnknownAttribute => R::INVALID_ATTRIBUTE,
        D::UnknownTag(_) if version >= V2_0 => R::UNKNOWN_TAG,
        D::UnknownTag(_) => R::INVALID_FIELD,
        D::UnknownEnumeration(_) if version >= V2_0 => R::UNKNOWN_ENUMERATION,
        D::UnsupportedVersion(_) if version >= V2_0 => R::UNSUPPORTED_PROTOCOL_VERSION,
        _ => R::INVALID_MESSAGE,
    }
}

#[cfg(test)]
mod tests {
    use kmip_codec::version::SUPPORTED;

    use super::*;

    #[test]
    fn no_version_is_sent_a_reason_that_it_does_not_define() {
        for kind in ErrorKind::ALL {
            for version in SUPPORTED {
                let reason = reason(*kind, version);
                assert!(reason.is_defined(version), "{kind:?} in {version} is {reason}");
            }
        }
    }
}
