//! Accepting connections: one loop for KMIP, REST and the ops listener, with or without TLS.
//!
//! A [`Listener`] takes TCP connections up to a limit, does the TLS handshake under a second limit and a time-out, and
//! hands a [`Connection`] with its peer's certificate to a handler. Draining stops accepting, tells every handler through
//! [`Connection::drain`], and ends what is left after the grace period. Who the peer is, is decided elsewhere.

mod bus;
mod dial;
mod failure;
mod http;
mod listener;
mod stream;

pub use bus::Broker;
#[cfg(feature = "amqp")]
pub use bus::{BusError, Queue};
pub use dial::Dialer;
pub use failure::reason;
pub use http::{HttpLimits, PeerCertificate, serve_http};
pub use listener::{Connection, Events, Limits, Listener, Security};
pub use stream::Stream;
