//! Log: writes a line to the log of the server (KMIP 2.0 §6.1.28, 2.1 §6.1.29).

use crate::codec::fields;

fields! {
    /// The request payload of Log.
    #[derive(Clone)]
    pub struct LogRequest {
        log_message: required String, [LOG_MESSAGE V2_0..];
    }

    /// The response payload of Log.
    #[derive(Clone, Default)]
    pub struct LogResponse {
    }
}
