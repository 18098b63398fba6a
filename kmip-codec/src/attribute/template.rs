//! Attributes as 1.x writes them: name, index and value, and the Template-Attribute around them (KMIP 1.0 §2.1.1, §2.1.8).
//!
//! A name no row has in this version is kept with whatever value it has; the server decides whether to refuse it. So is
//! an attribute without a name, as an unknown one with an empty name: CS-AC-M-8-12 registers a key with such an attribute
//! and expects success.

use super::{Attribute, AttributeKind, AttributeValue, Attributes, Name};
use crate::codec::{Codec, text_of};
use crate::error::DecodeError;
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, Reader, Writer};

pub(super) fn decode_name(item: &Item<'_>, context: Context) -> Result<AttributeKind, DecodeError> {
    text_of(item).map(|name| AttributeKind::from_name(name, context.version))
}

pub(super) fn decode_attribute(item: &Item<'_>, context: Context) -> Result<Attribute, DecodeError> {
    let mut reader = Reader::new(item, context)?;
    let name = reader.optional(Tag::ATTRIBUTE_NAME)?;
    let name = match &name {
        Some(name) => text_of(name).map_err(|error| reader.within(error))?,
        None => "",
    };
    let kind = AttributeKind::from_name(name, context.version);
    let index = match reader.optional(Tag::ATTRIBUTE_INDEX)? {
        Some(index) => Some(i32::decode(&index, context).map_err(|error| reader.within(error))?),
        None => None,
    };
    let value = match (reader.optional(Tag::ATTRIBUTE_VALUE)?, kind.row()) {
        (None, _) => None,
        (Some(value), Some(row)) => {
            Some(AttributeValue::decode(row.shape, &value, context).map_err(|error| reader.within(error))?)
        }
        (Some(value), None) => Some(AttributeValue::Other(value.value.into_owned())),
    };
    reader.finish()?;
    Ok(Attribute { kind, index, value })
}

/// Writes nothing when the version does not have the attribute.
pub(super) fn encode_attribute(attribute: &Attribute, tag: Tag, writer: &mut Writer) {
    let Some(name) = attribute.kind.name(writer.version()) else { return };
    writer.structure(tag, |writer| {
        if !name.is_empty() {
            writer.text_string(Tag::ATTRIBUTE_NAME, &name);
        }
        if let Some(index) = attribute.index {
            writer.integer(Tag::ATTRIBUTE_INDEX, index);
        }
        if let Some(value) = &attribute.value {
            value.encode(Tag::ATTRIBUTE_VALUE, writer);
        }
    });
}

pub(super) fn decode(item: &Item<'_>, context: Context) -> Result<Attributes, DecodeError> {
    let mut reader = Reader::new(item, context)?;
    let mut attributes = Attributes::default();
    for name in reader.repeated(Tag::NAME) {
        attributes.templates.push(Name::decode(&name, context).map_err(|error| reader.within(error))?);
    }
    for attribute in reader.repeated(Tag::ATTRIBUTE) {
        attributes.items.push(decode_attribute(&attribute, context).map_err(|error| reader.within(error))?);
    }
    reader.finish()?;
    Ok(attributes)
}

pub(super) fn encode(attributes: &Attributes, tag: Tag, writer: &mut Writer) {
    writer.structure(tag, |writer| {
        attributes.templates.iter().for_each(|name| name.encode(Tag::NAME, writer));
        attributes.items.iter().for_each(|attribute| encode_attribute(attribute, Tag::ATTRIBUTE, writer));
    });
}
