//! Poll: asks for the result of a pending operation; the answer is that of the operation, so none is defined here (KMIP 1.0 §4.26, 2.1 §6.1.38).

use crate::codec::fields;

fields! {
    /// The request payload of Poll.
    #[derive(Clone)]
    pub struct PollRequest {
        asynchronous_correlation_value: required Vec<u8>, [ASYNCHRONOUS_CORRELATION_VALUE V1_0..];
    }

    /// The response payload of Poll.
    #[derive(Clone, Default)]
    pub struct PollResponse {
    }
}
