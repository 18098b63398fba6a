//! Obliterate: removes an object with its attributes (KMIP 3.0).

use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of Obliterate.
    #[derive(Clone, Default)]
    pub struct ObliterateRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V3_0..];
    }

    /// The response payload of Obliterate.
    #[derive(Clone, Default)]
    pub struct ObliterateResponse {
        /// Absent in BL-M-20-30, since there is nothing left to name.
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V3_0..];
    }
}
