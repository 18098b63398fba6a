//! Interop: marks the begin and end of a test (KMIP 2.0 §6.1.25, 2.1 §6.1.26).

use crate::codec::fields;
use crate::spec::enums::InteropFunction;

fields! {
    /// The request payload of Interop.
    #[derive(Clone)]
    pub struct InteropRequest {
        interop_function: required InteropFunction, [INTEROP_FUNCTION V2_0..];
        interop_identifier: optional String, [INTEROP_IDENTIFIER V2_0..];
    }

    /// The response payload of Interop.
    #[derive(Clone, Default)]
    pub struct InteropResponse {
    }
}
