//! What goes wrong while bytes become messages, and while messages become bytes.
//!
//! A [`DecodeError`] says where (offset and path) and what (kind). It holds tags and numbers only, never a value of the
//! message, so it can be logged and shown to the peer.

use std::fmt;

use thiserror::Error;

use crate::spec::tags::Tag;
use crate::ttlv::ItemType;
use crate::version::ProtocolVersion;

/// Where and how a message is malformed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{kind} at byte {offset} in {}", Path(.path))]
pub struct DecodeError {
    /// Where the offending item begins, counted from the first byte of the message.
    pub offset: usize,
    /// The tags from the message down to the structure or leaf that is wrong.
    pub path: Vec<Tag>,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

impl DecodeError {
    /// An error about the item that begins at `offset`; callers add the path on the way up.
    pub const fn new(offset: usize, kind: DecodeErrorKind) -> Self {
        Self { offset, path: Vec::new(), kind }
    }

    /// Adds the structure around, outermost last to be called.
    #[must_use]
    pub fn within(mut self, tag: Tag) -> Self {
        self.path.insert(0, tag);
        self
    }
}

/// The ways in which a message can be malformed, each with the tag or number that matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the item does, or an item is longer than the structure around it.
    #[error("truncated item")]
    Truncated,
    /// Bytes follow the end of the message.
    #[error("trailing bytes")]
    TrailingBytes,
    /// The message is longer than the limit.
    #[error("message of {0} bytes is over the limit")]
    TooLong(usize),
    /// The message is of another kind than the one expected here.
    #[error("not the message expected")]
    NotAMessage,
    /// The tag lies outside 42xxxx and 54xxxx, the only legal ranges.
    #[error("illegal tag {:06X}", .0.number())]
    IllegalTag(Tag),
    /// The item type is none of 01 to 0E.
    #[error("illegal item type {0:02X}")]
    IllegalType(u8),
    /// The length does not suit the item type.
    #[error("wrong length {0}")]
    WrongLength(usize),
    /// A text is not UTF-8.
    #[error("text is not UTF-8")]
    BadUtf8,
    /// A Boolean is neither 0 nor 1.
    #[error("Boolean is neither 0 nor 1")]
    BadBoolean,
    /// A text is longer than the limit.
    #[error("text of {0} bytes is over the limit")]
    TextTooLong(usize),
    /// Structures are nested deeper than the limit.
    #[error("nested too deeply")]
    TooDeep,
    /// There are more items than the limit allows.
    #[error("too many items")]
    TooMany,
    /// The tag is in no table of this version.
    #[error("unknown tag {:06X}", .0.number())]
    UnknownTag(Tag),
    /// The tag is known but has no place in this structure, in this version.
    #[error("unexpected {0}")]
    UnexpectedField(Tag),
    /// A field that this structure must have is missing.
    #[error("missing {0}")]
    MissingField(Tag),
    /// A field that may occur once occurs again.
    #[error("duplicate {0}")]
    DuplicateField(Tag),
    /// The item type is not the one this field has.
    #[error("item type {found:?} where {expected:?} is required")]
    WrongType {
        /// What the field's table says.
        expected: ItemType,
        /// What the message holds.
        found: ItemType,
    },
    /// The enumeration value decides the shape of what follows and is unknown.
    #[error("unknown enumeration value {0:08X}")]
    UnknownEnumeration(u32),
    /// A value is outside what its field allows.
    #[error("value out of range")]
    OutOfRange,
    /// No attribute has this name or tag in this version.
    #[error("unknown attribute")]
    UnknownAttribute,
    /// There is no table for this operation.
    #[error("operation {0:08X} is not supported")]
    UnsupportedOperation(u32),
    /// There are no tables for this protocol version.
    #[error("protocol version {0} is not supported")]
    UnsupportedVersion(ProtocolVersion),
    /// A JSON or XML text breaks the grammar, or uses what messages have no place for.
    #[error("not well-formed")]
    Syntax,
    /// A JSON or XML text names a tag, type, value or member that no table has.
    #[error("unknown name")]
    UnknownName,
    /// A JSON object has one member twice.
    #[error("duplicate member")]
    DuplicateMember,
    /// A JSON or XML text holds something that is no value of this type.
    #[error("not a value of type {0:?}")]
    BadValue(ItemType),
    /// Batch Count names another number than there are batch items.
    #[error("batch count does not match the batch items")]
    BatchCount,
}

/// Why a message cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// An item is longer than its 32-bit length can say.
    #[error("item is longer than a TTLV length can express")]
    TooLong,
    /// A text holds a character that XML has no way to write.
    #[error("a text holds a character that XML cannot express")]
    NotInXml,
    /// The bytes that were to be written in another encoding are no message.
    #[error("the bytes are not TTLV")]
    NotTtlv,
    /// The bytes of a big integer are not a multiple of eight.
    #[error("big integer is not a multiple of eight bytes")]
    BigIntegerLength,
}

/// Prints a path as `RequestMessage/BatchItem/…`.
struct Path<'a>(&'a [Tag]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the message");
        }
        for (position, tag) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("/")?;
            }
            write!(f, "{tag}")?;
        }
        Ok(())
    }
}
