//! Ping: asks whether the server is there (KMIP 2.1 §6.1.36).

use crate::codec::fields;

fields! {
    /// The request payload of Ping.
    #[derive(Clone, Default)]
    pub struct PingRequest {
    }

    /// The response payload of Ping.
    #[derive(Clone, Default)]
    pub struct PingResponse {
    }
}
