//! How many bytes the next message needs, from its first eight.
//!
//! This is all a connection has to know before it reads the rest. An error here means that the stream cannot be
//! followed any further: the connection is closed without an answer.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::spec::tags::Tag;
use crate::ttlv::ItemType;

/// Bytes of tag, type and length.
pub const HEADER_BYTES: usize = 8;

/// Which message is expected: servers read requests, clients responses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageKind {
    /// A Request Message.
    Request,
    /// A Response Message.
    Response,
}

impl MessageKind {
    /// The tag the message begins with.
    pub const fn tag(self) -> Tag {
        match self {
            Self::Request => Tag::REQUEST_MESSAGE,
            Self::Response => Tag::RESPONSE_MESSAGE,
        }
    }
}

/// The bytes of the whole message, these eight included.
///
/// # Errors
///
/// `NotAMessage` unless the bytes begin a structure with the tag of `kind`, `WrongLength` when the length is not a
/// multiple of eight, `TooLong` when the message exceeds `limits.message_bytes_max`.
pub fn message_length(header: &[u8; HEADER_BYTES], kind: MessageKind, limits: &Limits) -> Result<usize, DecodeError> {
    let [t0, t1, t2, item_type, l0, l1, l2, l3] = *header;
    let tag = Tag::from_number(u32::from_be_bytes([0, t0, t1, t2]));
    if tag != kind.tag() || item_type != ItemType::Structure.code() {
        return Err(DecodeError::new(0, DecodeErrorKind::NotAMessage));
    }
    let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let total = length.saturating_add(HEADER_BYTES);
    if total > limits.message_bytes_max {
        return Err(DecodeError::new(0, DecodeErrorKind::TooLong(total)).within(tag));
    }
    if !length.is_multiple_of(8) {
        return Err(DecodeError::new(0, DecodeErrorKind::WrongLength(length)).within(tag));
    }
    Ok(total)
}
