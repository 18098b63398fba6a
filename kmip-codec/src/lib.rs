//! KMIP messages in TTLV, JSON and XML: bytes to typed messages and back, for every protocol version from 1.0 to 3.0.
//!
//! [`ttlv`] turns bytes into an item tree and back. [`message`] reads headers and batch framing, [`payload`] one
//! operation's request or response; [`attribute`] and [`object`] are what payloads carry. [`text`] is the same items in
//! JSON and XML. [`spec`] holds the tables of
//! the standards. There is one tree of types for all versions: what differs is a column of a table. There is no I/O, no
//! clock, no asynchronous code and no `unsafe` here, and nothing a peer sends makes a function of this crate panic.
//!
//! ```
//! use kmip_codec::codec::DateTime;
//! use kmip_codec::message::{RequestHeader, RequestItem, RequestMessage, ResponseHeader, ResponseItem, ResponseMessage};
//! use kmip_codec::payload::{ActivateRequest, ActivateResponse, Request, Response};
//! use kmip_codec::spec::enums::{Operation, ResultReason};
//! use kmip_codec::spec::reasons;
//! use kmip_codec::{Limits, version::V1_2};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let activate = ActivateRequest { unique_identifier: Some("1f16".into()) };
//! let bytes = RequestMessage {
//!     header: RequestHeader::new(V1_2),
//!     items: vec![RequestItem::new(Operation::ACTIVATE, Request::from(activate))],
//! }
//! .encode()?;
//!
//! let request = RequestMessage::decode(&bytes, &Limits::BEFORE_AUTHENTICATION)?;
//! let version = request.header.protocol_version;
//! let answers = request.items.iter().map(|item| match Request::decode(item.operation, version, &item.payload) {
//!     Ok(Request::Activate(activate)) => {
//!         let unique_identifier = activate.unique_identifier.unwrap_or_else(|| "the placeholder".into());
//!         ResponseItem::success(item.operation, Response::from(ActivateResponse { unique_identifier }))
//!     }
//!     Ok(_) => ResponseItem::failure(Some(item.operation), ResultReason::OPERATION_NOT_SUPPORTED, ""),
//!     Err(error) => {
//!         let reason = reasons::of_decode_error(error.kind, version);
//!         ResponseItem::failure(Some(item.operation), reason, error.to_string())
//!     }
//! });
//! let header = ResponseHeader::new(version, DateTime(1_700_000_000));
//! let response = ResponseMessage { header, items: answers.collect() }.encode()?;
//! assert_eq!(response.len() % 8, 0);
//! # Ok(())
//! # }
//! ```
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
pub mod text;
pub mod ttlv;
pub mod version;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use identifier::UniqueIdentifier;
pub use limits::Limits;
pub use spec::tags::Tag;
pub use version::ProtocolVersion;
