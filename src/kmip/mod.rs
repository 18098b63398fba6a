//! The KMIP front end: bytes of a TLS stream become use cases of the engine, and their results become bytes.
//!
//! It knows nothing of the HSM or the store. `dispatch::ROUTES` is the one list of operations: Query answers from it, so
//! what is announced is what works. Attribute values and reasons are translated to the version of each request.

mod announce;
mod asynchronous;
mod attributes;
mod batch;
mod certificates;
mod connection;
mod dispatch;
mod error;
mod https;
mod message;
mod ops;
mod standing;
mod streams;
mod tickets;
mod values;

pub use announce::{Listener, announce};
pub use connection::{Peer, refuse, serve};
pub use https::{PATH, https};
pub use message::{Service, Settings};
pub use ops::provision::Provision;
