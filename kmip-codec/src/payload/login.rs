//! Login: exchanges credentials for a ticket (KMIP 2.0 §6.1.29, 2.1 §6.1.30).

use super::common::TicketLease;
use crate::attribute::UsageLimits;
use crate::codec::fields;
use crate::message::Ticket;

fields! {
    /// The request payload of Login.
    #[derive(Clone, Default)]
    pub struct LoginRequest {
        lease_time: optional TicketLease, [LEASE_TIME V2_0..];
        request_count: optional i32, [REQUEST_COUNT V2_0..];
        usage_limits: optional UsageLimits, [USAGE_LIMITS V2_0..];
    }

    /// The response payload of Login.
    pub struct LoginResponse {
        ticket: required Ticket, [TICKET V2_0..];
    }
}
