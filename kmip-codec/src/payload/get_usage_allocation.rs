//! Get Usage Allocation: takes a part of what an object may be used (KMIP 1.0 §4.17, 2.1 §6.1.23).

use crate::codec::fields;
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of GetUsageAllocation.
    #[derive(Clone, Default)]
    pub struct GetUsageAllocationRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        usage_limits_count: required i64, [USAGE_LIMITS_COUNT V1_0..];
    }

    /// The response payload of GetUsageAllocation.
    #[derive(Clone)]
    pub struct GetUsageAllocationResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }
}
