//! Cancel: ends an operation that is pending (KMIP 1.0 §4.25, 2.1 §6.1.5).

use crate::codec::fields;
use crate::spec::enums::CancellationResult;

fields! {
    /// The request payload of Cancel.
    #[derive(Clone)]
    pub struct CancelRequest {
        asynchronous_correlation_value: required Vec<u8>, [ASYNCHRONOUS_CORRELATION_VALUE V1_0..];
    }

    /// The response payload of Cancel.
    #[derive(Clone)]
    pub struct CancelResponse {
        asynchronous_correlation_value: required Vec<u8>, [ASYNCHRONOUS_CORRELATION_VALUE V1_0..];
        cancellation_result: required CancellationResult, [CANCELLATION_RESULT V1_0..];
    }
}
