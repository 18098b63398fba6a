//! The JSON and XML forms of messages (message-encoding profiles), beside the binary one and over the same items.
//!
//! Names are those of the tables in `spec`; a value is looked up in the version that the message's own header names, then
//! in any other. Reading ends in TTLV, so that everything behind it, limits and response sizes included, sees one form.
//! Reading works in two steps: `json` and `xml` turn text into `raw::Raw`, which borrows from it; `resolve` then gives
//! each value its type, because JSON members come in any order and what a 1.x Attribute Value means is said by the
//! Attribute Name beside it.

use zeroize::Zeroize;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::limits::Limits;
use crate::secret::Wiped;
use crate::spec::tags::Tag;
use crate::ttlv::{self, Item, Value};
use crate::version::ProtocolVersion;

mod date;
mod json;
mod names;
mod raw;
mod resolve;
mod value;
mod write;
mod xml;

/// How messages are written down.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Encoding {
    /// Tag, type, length, value.
    Ttlv,
    /// Objects of tag, type and value.
    Json,
    /// Elements named after the tag.
    Xml,
}

/// A text that is no message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Where and why; the offset counts bytes of the text.
    pub error: DecodeError,
    /// The protocol version, where the text said it before it went wrong.
    pub version: Option<ProtocolVersion>,
}

/// The TTLV form of a JSON or XML message.
///
/// # Errors
///
/// The first malformation found, with the version where it could be read.
pub fn to_ttlv(encoding: Encoding, bytes: &[u8], limits: &Limits) -> Result<Wiped, Refused> {
    let refused = |error| Refused { error, version: None };
    if bytes.len() > limits.message_bytes_max {
        return Err(refused(DecodeError::new(0, DecodeErrorKind::TooLong(bytes.len()))));
    }
    if encoding == Encoding::Ttlv {
        return match ttlv::parse(bytes, limits) {
            Ok(_) => Ok(Wiped::new(bytes.to_vec())),
            Err(error) => Err(Refused { error, version: crate::message::peek_version(bytes) }),
        };
    }
    let text = str::from_utf8(bytes)
        .map_err(|error| refused(DecodeError::new(error.valid_up_to(), DecodeErrorKind::BadUtf8)))?;
    let state = raw::State::new(limits);
    let tree = match encoding {
        Encoding::Xml => xml::read(text, &state),
        Encoding::Ttlv | Encoding::Json => json::read(text, &state),
    };
    let version = state.version();
    tree.and_then(|tree| resolve::resolve(&tree, version, limits)).map_err(|error| Refused { error, version })
}

/// The JSON or XML form of a TTLV message.
///
/// # Errors
///
/// `NotTtlv` when the bytes are no message; `NotInXml` for a text that XML has no way to write.
pub fn from_ttlv(encoding: Encoding, bytes: &[u8], limits: &Limits) -> Result<Wiped, EncodeError> {
    let item = ttlv::parse(bytes, limits).map_err(|_malformed| EncodeError::NotTtlv)?;
    write(encoding, &item)
}

/// An item in JSON or XML, or in TTLV. Names are those of the version that its header names.
///
/// # Errors
///
/// `NotInXml` for a text that XML has no way to write.
pub fn write(encoding: Encoding, item: &Item<'_>) -> Result<Wiped, EncodeError> {
    let version = version_of(item);
    match encoding {
        Encoding::Ttlv => {
            let [newest, ..] = crate::version::SUPPORTED;
            let mut writer = ttlv::Writer::new(newest);
            writer.item(item);
            writer.finish()
        }
        Encoding::Json => write::json(item, version),
        Encoding::Xml => write::xml(item, version),
    }
}

/// The version that the header of a message names.
pub fn version_of(message: &Item<'_>) -> Option<ProtocolVersion> {
    let version = message.children().next()?.child(Tag::PROTOCOL_VERSION)?;
    let number = |tag| match version.child(tag)?.value {
        Value::Integer(number) => Some(number),
        _ => None,
    };
    Some(ProtocolVersion::new(number(Tag::PROTOCOL_VERSION_MAJOR)?, number(Tag::PROTOCOL_VERSION_MINOR)?))
}

/// Text that may hold secrets: wiped when dropped, and never left behind by growing, because its size is known before.
struct Output {
    text: Wiped,
    /// Bytes counted in the first pass; nothing is kept then.
    counted: usize,
    counting: bool,
}

impl Output {
    fn counter() -> Self {
        Self { text: Wiped::new(Vec::new()), counted: 0, counting: true }
    }

    fn of_size(bytes: usize) -> Self {
        Self { text: Wiped::new(Vec::with_capacity(bytes)), counted: 0, counting: false }
    }

    fn push(&mut self, text: &str) {
        if self.counting {
            self.counted += text.len();
        } else {
            self.text.extend_from_slice(text.as_bytes());
        }
    }

    fn push_hex(&mut self, bytes: &[u8]) {
        if self.counting {
            self.counted += 2 * bytes.len();
            return;
        }
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        for byte in bytes {
            self.text.extend_from_slice(&[digit(byte >> 4), digit(byte & 0x0F)]);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}
