//! Query Asynchronous Requests: lists pending operations (KMIP 2.1 §6.1.41).

use super::common::Operations;
use crate::codec::{DateTimeExtended, fields};
use crate::spec::enums::{Operation, ProcessingStage};

fields! {
    /// The request payload of QueryAsynchronousRequests.
    #[derive(Clone, Default)]
    pub struct QueryAsynchronousRequestsRequest {
        asynchronous_correlation_values: optional AsynchronousCorrelationValues, [ASYNCHRONOUS_CORRELATION_VALUES V2_1..];
        operations: optional Operations, [OPERATIONS V2_1..];
    }

    /// The response payload of QueryAsynchronousRequests.
    #[derive(Clone, Default)]
    pub struct QueryAsynchronousRequestsResponse {
        asynchronous_requests: repeated AsynchronousRequest, [ASYNCHRONOUS_REQUEST V2_1..];
    }

    /// Which requests are meant.
    #[derive(Clone, Default)]
    pub struct AsynchronousCorrelationValues {
        values: repeated Vec<u8>, [ASYNCHRONOUS_CORRELATION_VALUE V2_1..];
    }

    /// One pending operation (KMIP 2.1 §7.1).
    #[derive(Clone)]
    pub struct AsynchronousRequest {
        asynchronous_correlation_value: required Vec<u8>, [ASYNCHRONOUS_CORRELATION_VALUE V2_1..];
        operation: required Operation, [OPERATION V2_1..];
        submission_date: required DateTimeExtended, [SUBMISSION_DATE V2_1..];
        processing_stage: required ProcessingStage, [PROCESSING_STAGE V2_1..];
    }
}
