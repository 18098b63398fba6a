//! KMIP messages in TTLV: bytes to typed messages and back, for every protocol version from 1.0 to 3.0.
//!
//! [`ttlv`] turns bytes into an item tree and back; [`spec`] holds the tables of the standards. There is no I/O, no
//! clock, no asynchronous code and no `unsafe` here, and nothing a peer sends makes a function of this crate panic.
#![forbid(unsafe_code)]

pub mod attribute;
pub mod codec;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod identifier;
pub mod limits;
pub mod message;
pub mod object;
pub mod payload;
pub mod secret;
pub mod spec;
pub mod ttlv;
pub mod version;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use identifier::UniqueIdentifier;
pub use limits::Limits;
pub use spec::tags::Tag;
pub use version::ProtocolVersion;
