//! Logout: ends a ticket (KMIP 2.0 §6.1.30, 2.1 §6.1.31).

use crate::codec::fields;
use crate::message::Ticket;

fields! {
    /// The request payload of Logout.
    pub struct LogoutRequest {
        ticket: required Ticket, [TICKET V2_0..];
    }

    /// The response payload of Logout.
    #[derive(Clone, Default)]
    pub struct LogoutResponse {
    }
}
