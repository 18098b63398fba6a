//! Unique identifiers, which are text at first, and in later versions also a placeholder or a name.

use std::borrow::Cow;

use crate::codec::Codec;
use crate::error::DecodeError;
use crate::fuzzing::{Sample, Seeds};
use crate::spec::enums::UniqueIdentifierEnumeration;
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, ItemType, Value, Writer, wrong_type};
use crate::version::{ProtocolVersion, V2_0, V3_0};

/// What names a managed object in a field (KMIP 1.0 §3.1, 2.0 §4.63).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum UniqueIdentifier {
    /// The identifier itself; an Identifier or Reference item in 3.0, a Text String before.
    Text(String),
    /// The result of an earlier item of the same batch, from 2.0.
    Enumeration(UniqueIdentifierEnumeration),
    /// The n-th identifier that the latest such item returned, from 2.0.
    Integer(i32),
    /// The name of the object instead of its identifier, from 3.0.
    Name(String),
}

impl UniqueIdentifier {
    /// The identifier, when it is given as such.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Tells whether `version` can express it; a name counts as text before 3.0.
    pub fn is_defined(&self, version: ProtocolVersion) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Enumeration(value) => value.is_defined(version),
            Self::Integer(_) => version >= V2_0,
            Self::Name(_) => version >= V3_0,
        }
    }

    /// Writes the identifier where another object is meant: a Reference in 3.0.
    pub fn encode_reference(&self, tag: Tag, writer: &mut Writer) {
        match self {
            Self::Text(text) if writer.version() >= V3_0 => writer.reference(tag, text),
            other => other.encode(tag, writer),
        }
    }
}

impl From<&str> for UniqueIdentifier {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for UniqueIdentifier {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Codec for UniqueIdentifier {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        let owned = |text: &Cow<'_, str>| text.to_string();
        match &item.value {
            Value::TextString(text) => Ok(Self::Text(owned(text))),
            Value::Enumeration(number) if context.version >= V2_0 => {
                Ok(Self::Enumeration(UniqueIdentifierEnumeration::from_number(*number)))
            }
            Value::Integer(position) if context.version >= V2_0 => Ok(Self::Integer(*position)),
            Value::Identifier(text) | Value::Reference(text) if context.version >= V3_0 => Ok(Self::Text(owned(text))),
            Value::NameReference(text) if context.version >= V3_0 => Ok(Self::Name(owned(text))),
            _ if context.version >= V3_0 => Err(wrong_type(item, ItemType::Identifier)),
            _ => Err(wrong_type(item, ItemType::TextString)),
        }
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        match self {
            Self::Text(text) if writer.version() >= V3_0 => writer.identifier(tag, text),
            Self::Name(text) if writer.version() >= V3_0 => writer.name_reference(tag, text),
            Self::Text(text) | Self::Name(text) => writer.text_string(tag, text),
            Self::Enumeration(value) => value.encode(tag, writer),
            Self::Integer(position) => writer.integer(tag, *position),
        }
    }
}

impl Sample for UniqueIdentifier {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        let kinds = if version >= V3_0 {
            4
        } else if version >= V2_0 {
            3
        } else {
            1
        };
        match seeds.below(kinds) {
            0 => Self::Text(String::sample(seeds, version)),
            1 => Self::Enumeration(Sample::sample(seeds, version)),
            2 => Self::Integer(Sample::sample(seeds, version)),
            _ => Self::Name(String::sample(seeds, version)),
        }
    }
}
