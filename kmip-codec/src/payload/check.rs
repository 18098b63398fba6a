//! Check: asks whether policy allows a use (KMIP 1.0 §4.9, 2.1 §6.1.7).

use crate::codec::{Interval, fields};
use crate::identifier::UniqueIdentifier;
use crate::spec::masks::CryptographicUsageMask;

fields! {
    /// The request payload of Check.
    #[derive(Clone, Default)]
    pub struct CheckRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        usage_limits_count: optional i64, [USAGE_LIMITS_COUNT V1_0..];
        cryptographic_usage_mask: optional CryptographicUsageMask, [CRYPTOGRAPHIC_USAGE_MASK V1_0..];
        lease_time: optional Interval, [LEASE_TIME V1_0..];
    }

    /// The response payload of Check.
    #[derive(Clone, Default)]
    pub struct CheckResponse {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        usage_limits_count: optional i64, [USAGE_LIMITS_COUNT V1_0..];
        cryptographic_usage_mask: optional CryptographicUsageMask, [CRYPTOGRAPHIC_USAGE_MASK V1_0..];
        lease_time: optional Interval, [LEASE_TIME V1_0..];
    }
}
