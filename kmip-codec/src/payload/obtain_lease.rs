//! Obtain Lease: asks how long an object may be used without asking again (KMIP 1.0 §4.16, 2.1 §6.1.35).

use crate::codec::{DateTime, Interval, fields};
use crate::identifier::UniqueIdentifier;

fields! {
    /// The request payload of ObtainLease.
    #[derive(Clone, Default)]
    pub struct ObtainLeaseRequest {
        unique_identifier: optional UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
    }

    /// The response payload of ObtainLease.
    #[derive(Clone)]
    pub struct ObtainLeaseResponse {
        unique_identifier: required UniqueIdentifier, [UNIQUE_IDENTIFIER V1_0..];
        lease_time: required Interval, [LEASE_TIME V1_0..];
        last_change_date: required DateTime, [LAST_CHANGE_DATE V1_0..];
    }
}
