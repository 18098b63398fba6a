//! One item and its value, borrowed from the message it was read from.
//!
//! Equality ignores offsets, so that a decoded item can be compared with one made by hand. `Debug` shows lengths of
//! texts and bytes instead of their content, because any of them may be a secret.

use std::borrow::Cow;
use std::fmt;

use crate::spec::tags::Tag;
use crate::ttlv::{Children, Items};

/// A tagged value.
#[derive(Clone)]
pub struct Item<'a> {
    /// What the value is.
    pub tag: Tag,
    /// Where the item begins in the message; 0 for items made by hand.
    pub offset: usize,
    /// The value.
    pub value: Value<'a>,
}

/// The value of an item (KMIP 1.0 §9.1.1.2 and 9.1.1.4; 2.0 adds Date-Time Extended, 3.0 the last three).
#[derive(Clone, PartialEq)]
pub enum Value<'a> {
    /// Items, in the order of the message.
    Structure(Children<'a>),
    /// A signed 32-bit number; also masks.
    Integer(i32),
    /// A signed 64-bit number.
    LongInteger(i64),
    /// Two's complement, big endian, a multiple of eight bytes; kept as sent, leading zeros included.
    BigInteger(Cow<'a, [u8]>),
    /// An unsigned 32-bit number out of a table.
    Enumeration(u32),
    /// True or false.
    Boolean(bool),
    /// UTF-8 text.
    TextString(Cow<'a, str>),
    /// Bytes.
    ByteString(Cow<'a, [u8]>),
    /// Seconds since the POSIX epoch.
    DateTime(i64),
    /// Seconds.
    Interval(u32),
    /// Microseconds since the POSIX epoch.
    DateTimeExtended(i64),
    /// The identifier of an object.
    Identifier(Cow<'a, str>),
    /// The identifier of another object.
    Reference(Cow<'a, str>),
    /// The name of another object.
    NameReference(Cow<'a, str>),
}

/// The type byte of an item.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ItemType {
    /// 01
    Structure = 0x01,
    /// 02
    Integer = 0x02,
    /// 03
    LongInteger = 0x03,
    /// 04
    BigInteger = 0x04,
    /// 05
    Enumeration = 0x05,
    /// 06
    Boolean = 0x06,
    /// 07
    TextString = 0x07,
    /// 08
    ByteString = 0x08,
    /// 09
    DateTime = 0x09,
    /// 0A
    Interval = 0x0A,
    /// 0B, from 2.0
    DateTimeExtended = 0x0B,
    /// 0C, from 3.0
    Identifier = 0x0C,
    /// 0D, from 3.0
    Reference = 0x0D,
    /// 0E, from 3.0
    NameReference = 0x0E,
}

impl ItemType {
    /// Every item type, in the order of its codes.
    pub const ALL: [Self; 14] = [
        Self::Structure,
        Self::Integer,
        Self::LongInteger,
        Self::BigInteger,
        Self::Enumeration,
        Self::Boolean,
        Self::TextString,
        Self::ByteString,
        Self::DateTime,
        Self::Interval,
        Self::DateTimeExtended,
        Self::Identifier,
        Self::Reference,
        Self::NameReference,
    ];

    /// The type with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl<'a> Item<'a> {
    /// An item made by hand.
    pub const fn new(tag: Tag, value: Value<'a>) -> Self {
        Self { tag, offset: 0, value }
    }

    /// The children of a structure; a leaf has none.
    pub fn children(&self) -> Items<'_, 'a> {
        match &self.value {
            Value::Structure(children) => children.iter(),
            _ => Items::none(),
        }
    }

    /// The first child with this tag.
    pub fn child(&self, tag: Tag) -> Option<Self> {
        self.children().find(|child| child.tag == tag)
    }

    /// Copies what is borrowed, so that the item outlives the message.
    pub fn into_owned(self) -> Item<'static> {
        Item { tag: self.tag, offset: self.offset, value: self.value.into_owned() }
    }
}

impl Value<'_> {
    /// The item type of this value.
    pub const fn item_type(&self) -> ItemType {
        match self {
            Self::Structure(_) => ItemType::Structure,
            Self::Integer(_) => ItemType::Integer,
            Self::LongInteger(_) => ItemType::LongInteger,
            Self::BigInteger(_) => ItemType::BigInteger,
            Self::Enumeration(_) => ItemType::Enumeration,
            Self::Boolean(_) => ItemType::Boolean,
            Self::TextString(_) => ItemType::TextString,
            Self::ByteString(_) => ItemType::ByteString,
            Self::DateTime(_) => ItemType::DateTime,
            Self::Interval(_) => ItemType::Interval,
            Self::DateTimeExtended(_) => ItemType::DateTimeExtended,
            Self::Identifier(_) => ItemType::Identifier,
            Self::Reference(_) => ItemType::Reference,
            Self::NameReference(_) => ItemType::NameReference,
        }
    }

    /// Copies what is borrowed.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Structure(children) => Value::Structure(children.iter().map(Item::into_owned).collect()),
            Self::Integer(value) => Value::Integer(value),
            Self::LongInteger(value) => Value::LongInteger(value),
            Self::BigInteger(bytes) => Value::BigInteger(Cow::Owned(bytes.into_owned())),
            Self::Enumeration(value) => Value::Enumeration(value),
            Self::Boolean(value) => Value::Boolean(value),
            Self::TextString(text) => Value::TextString(Cow::Owned(text.into_owned())),
            Self::ByteString(bytes) => Value::ByteString(Cow::Owned(bytes.into_owned())),
            Self::DateTime(value) => Value::DateTime(value),
            Self::Interval(value) => Value::Interval(value),
            Self::DateTimeExtended(value) => Value::DateTimeExtended(value),
            Self::Identifier(text) => Value::Identifier(Cow::Owned(text.into_owned())),
            Self::Reference(text) => Value::Reference(Cow::Owned(text.into_owned())),
            Self::NameReference(text) => Value::NameReference(Cow::Owned(text.into_owned())),
        }
    }
}

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag && self.value == other.value
    }
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.tag)?;
        fmt::Debug::fmt(&self.value, f)
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure(children) => f.debug_list().entries(children).finish(),
            Self::Integer(value) => write!(f, "Integer {value}"),
            Self::LongInteger(value) => write!(f, "LongInteger {value}"),
            Self::Enumeration(value) => write!(f, "Enumeration {value:08X}"),
            Self::Boolean(value) => write!(f, "Boolean {value}"),
            Self::DateTime(value) => write!(f, "DateTime {value}"),
            Self::Interval(value) => write!(f, "Interval {value}"),
            Self::DateTimeExtended(value) => write!(f, "DateTimeExtended {value}"),
            Self::BigInteger(bytes) | Self::ByteString(bytes) => {
                write!(f, "{:?} of {} bytes", self.item_type(), bytes.len())
            }
            Self::TextString(text) | Self::Identifier(text) | Self::Reference(text) | Self::NameReference(text) => {
                write!(f, "{:?} of {} bytes", self.item_type(), text.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_types_agree() {
        for item_type in ItemType::ALL {
            assert_eq!(ItemType::from_code(item_type.code()), Some(item_type));
        }
        assert_eq!(ItemType::from_code(0), None);
        assert_eq!(ItemType::from_code(0x0F), None);
    }

    #[test]
    fn debug_shows_no_content() {
        let item = Item::new(
            Tag::KEY_MATERIAL,
            Value::Structure(Children::from(vec![
                Item::new(Tag::KEY, Value::ByteString(Cow::Borrowed(b"0123456789abcdef"))),
                Item::new(Tag::PASSWORD, Value::TextString(Cow::Borrowed("hunter2"))),
                Item::new(Tag::D, Value::BigInteger(Cow::Borrowed(&[0x77; 8]))),
            ])),
        );
        let shown = format!("{item:?}");
        assert!(shown.contains("16 bytes") && shown.contains("7 bytes"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("48") && !shown.contains("77"), "{shown}");
    }
}
