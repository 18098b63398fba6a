//! Archive: puts an object off-line (KMIP 1.0 §4.21, 2.1 §6.1.4).

use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of Archive.
    #[derive(Clone, Default)]
    pub struct ArchiveRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }

    /// The response payload of Archive.
    #[derive(Clone)]
    pub struct ArchiveResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }
}
