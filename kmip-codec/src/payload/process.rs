//! Process: completes a pending operation now (KMIP 2.1 §6.1.39).

use crate::codec::fields;

fields! {
    /// The request payload of Process.
    #[derive(Clone)]
    pub struct ProcessRequest {
        asynchronous_correlation_value: required Vec<u8>, [ASYNCHRONOUS_CORRELATION_VALUE V2_1..];
    }

    /// The response payload of Process.
    #[derive(Clone, Default)]
    pub struct ProcessResponse {
    }
}
