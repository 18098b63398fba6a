//! Builds a message in one buffer; a structure's length is filled in when it ends.
//!
//! Responses carry key material, so the buffer is wiped when it is dropped and also when it has to grow. What cannot be
//! written is remembered and reported by [`Writer::finish`], which keeps every encoder free of error handling.

use std::mem;

use zeroize::Zeroize;

use crate::error::EncodeError;
use crate::secret::Wiped;
use crate::spec::tags::Tag;
use crate::ttlv::{Item, ItemType, Value};
use crate::version::ProtocolVersion;

/// Writes items for one protocol version.
pub struct Writer {
    version: ProtocolVersion,
    bytes: Wiped,
    fault: Option<EncodeError>,
}

impl Writer {
    /// An empty message for a peer that speaks `version`.
    pub fn new(version: ProtocolVersion) -> Self {
        Self::with_capacity(version, 1024)
    }

    /// The same, when the caller knows about how long the message will be.
    pub fn with_capacity(version: ProtocolVersion, bytes: usize) -> Self {
        Self { version, bytes: Wiped::new(Vec::with_capacity(bytes)), fault: None }
    }

    /// The version the message is for.
    pub const fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Tells whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes of everything written.
    ///
    /// # Errors
    ///
    /// The first thing that could not be written.
    pub fn finish(self) -> Result<Wiped, EncodeError> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.bytes),
        }
    }

    /// Writes a structure; `body` writes what is in it.
    pub fn structure(&mut self, tag: Tag, body: impl FnOnce(&mut Self)) {
        self.header(tag, ItemType::Structure, 0);
        let start = self.bytes.len();
        body(self);
        match u32::try_from(self.bytes.len() - start) {
            Ok(length) => {
                if let Some(field) = self.bytes.get_mut(start - 4..start) {
                    field.copy_from_slice(&length.to_be_bytes());
                }
            }
            Err(_) => self.refuse(EncodeError::TooLong),
        }
    }

    /// Writes an Integer.
    pub fn integer(&mut self, tag: Tag, value: i32) {
        self.four_bytes(tag, ItemType::Integer, value.to_be_bytes());
    }

    /// Writes a Long Integer.
    pub fn long_integer(&mut self, tag: Tag, value: i64) {
        self.eight_bytes(tag, ItemType::LongInteger, value.to_be_bytes());
    }

    /// Writes a Big Integer from its two's complement bytes.
    pub fn big_integer(&mut self, tag: Tag, bytes: &[u8]) {
        if bytes.is_empty() || !bytes.len().is_multiple_of(8) {
            self.refuse(EncodeError::BigIntegerLength);
        }
        self.string(tag, ItemType::BigInteger, bytes);
    }

    /// Writes an Enumeration.
    pub fn enumeration(&mut self, tag: Tag, value: u32) {
        self.four_bytes(tag, ItemType::Enumeration, value.to_be_bytes());
    }

    /// Writes a Boolean.
    pub fn boolean(&mut self, tag: Tag, value: bool) {
        self.eight_bytes(tag, ItemType::Boolean, u64::from(value).to_be_bytes());
    }

    /// Writes a Text String.
    pub fn text_string(&mut self, tag: Tag, text: &str) {
        self.string(tag, ItemType::TextString, text.as_bytes());
    }

    /// Writes a Byte String.
    pub fn byte_string(&mut self, tag: Tag, bytes: &[u8]) {
        self.string(tag, ItemType::ByteString, bytes);
    }

    /// Writes a Date-Time, seconds since the epoch.
    pub fn date_time(&mut self, tag: Tag, seconds: i64) {
        self.eight_bytes(tag, ItemType::DateTime, seconds.to_be_bytes());
    }

    /// Writes an Interval in seconds.
    pub fn interval(&mut self, tag: Tag, seconds: u32) {
        self.four_bytes(tag, ItemType::Interval, seconds.to_be_bytes());
    }

    /// Writes a Date-Time Extended, microseconds since the epoch.
    pub fn date_time_extended(&mut self, tag: Tag, microseconds: i64) {
        self.eight_bytes(tag, ItemType::DateTimeExtended, microseconds.to_be_bytes());
    }

    /// Writes an Identifier.
    pub fn identifier(&mut self, tag: Tag, text: &str) {
        self.string(tag, ItemType::Identifier, text.as_bytes());
    }

    /// Writes a Reference.
    pub fn reference(&mut self, tag: Tag, text: &str) {
        self.string(tag, ItemType::Reference, text.as_bytes());
    }

    /// Writes a Name Reference.
    pub fn name_reference(&mut self, tag: Tag, text: &str) {
        self.string(tag, ItemType::NameReference, text.as_bytes());
    }

    /// Writes an item and everything in it as it is.
    pub fn item(&mut self, item: &Item<'_>) {
        self.value(item.tag, &item.value);
    }

    /// Writes a value under a tag of the caller's choice.
    pub fn value(&mut self, tag: Tag, value: &Value<'_>) {
        match value {
            Value::Structure(items) => self.structure(tag, |writer| items.iter().for_each(|item| writer.item(&item))),
            Value::Integer(value) => self.integer(tag, *value),
            Value::LongInteger(value) => self.long_integer(tag, *value),
            Value::BigInteger(bytes) => self.big_integer(tag, bytes),
            Value::Enumeration(value) => self.enumeration(tag, *value),
            Value::Boolean(value) => self.boolean(tag, *value),
            Value::TextString(text) => self.text_string(tag, text),
            Value::ByteString(bytes) => self.byte_string(tag, bytes),
            Value::DateTime(value) => self.date_time(tag, *value),
            Value::Interval(value) => self.interval(tag, *value),
            Value::DateTimeExtended(value) => self.date_time_extended(tag, *value),
            Value::Identifier(text) => self.identifier(tag, text),
            Value::Reference(text) => self.reference(tag, text),
            Value::NameReference(text) => self.name_reference(tag, text),
        }
    }

    fn four_bytes(&mut self, tag: Tag, item_type: ItemType, value: [u8; 4]) {
        self.header(tag, item_type, 4);
        self.append(&value);
        self.append(&[0; 4]);
    }

    fn eight_bytes(&mut self, tag: Tag, item_type: ItemType, value: [u8; 8]) {
        self.header(tag, item_type, 8);
        self.append(&value);
    }

    fn string(&mut self, tag: Tag, item_type: ItemType, bytes: &[u8]) {
        const ZEROS: [u8; 8] = [0; 8];
        let Ok(length) = u32::try_from(bytes.len()) else {
            return self.refuse(EncodeError::TooLong);
        };
        self.header(tag, item_type, length);
        self.append(bytes);
        if let Some(padding) = ZEROS.get(..(8 - bytes.len() % 8) % 8) {
            self.append(padding);
        }
    }

    fn header(&mut self, tag: Tag, item_type: ItemType, length: u32) {
        let [_, t0, t1, t2] = tag.number().to_be_bytes();
        let [l0, l1, l2, l3] = length.to_be_bytes();
        self.append(&[t0, t1, t2, item_type.code(), l0, l1, l2, l3]);
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.bytes.capacity() - self.bytes.len() < bytes.len() {
            self.grow(bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Moves to a bigger buffer by hand: `Vec` would leave the old bytes, which may be key material, in freed memory.
    #[cold]
    fn grow(&mut self, more: usize) {
        let mut bigger = Vec::with_capacity((self.bytes.len() + more).max(self.bytes.capacity() * 2));
        bigger.extend_from_slice(&self.bytes);
        let mut old = mem::replace(&mut *self.bytes, bigger);
        old.zeroize();
    }

    fn refuse(&mut self, fault: EncodeError) {
        self.fault.get_or_insert(fault);
    }
}
