//! Delegated Login: makes a ticket with fewer rights (KMIP 2.0 §6.1.12, 2.1 §6.1.12).

use super::common::{ObjectGroups, Objects, Operations, TicketLease};
use crate::attribute::UsageLimits;
use crate::codec::fields;
use crate::message::Ticket;

fields! {
    /// The request payload of DelegatedLogin.
    #[derive(Clone)]
    pub struct DelegatedLoginRequest {
        lease_time: optional TicketLease, [LEASE_TIME V2_0..];
        request_count: optional i32, [REQUEST_COUNT V2_0..];
        usage_limits: optional UsageLimits, [USAGE_LIMITS V2_0..];
        rights: required Rights, [RIGHTS V2_0..];
    }

    /// The response payload of DelegatedLogin.
    pub struct DelegatedLoginResponse {
        ticket: required Ticket, [TICKET V2_0..];
    }

    /// What the holder of a ticket may do (KMIP 2.1 §7.33).
    #[derive(Clone, Default)]
    pub struct Rights {
        rights: repeated Right, [RIGHT V2_0..];
    }

    /// One right; what is absent is not limited (KMIP 2.1 §7.32).
    #[derive(Clone, Default)]
    pub struct Right {
        usage_limits: optional UsageLimits, [USAGE_LIMITS V2_0..];
        operations: optional Operations, [OPERATIONS V2_0..];
        objects: optional Objects, [OBJECTS V2_0..];
        object_groups: optional ObjectGroups, [OBJECT_GROUPS V2_1..=V2_1];
    }
}
