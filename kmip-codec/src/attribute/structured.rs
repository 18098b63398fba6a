//! Attributes as 2.0 and later write them: each a child of `Attributes` under its own tag (KMIP 2.0 §4, §5.1).
//!
//! Vendor attributes are `Attribute` structures of vendor, name and value. In 3.0 a link is an attribute of its own type;
//! it becomes `Link` here, and goes back to the tag of its type when written.

use super::{Attribute, AttributeKind, AttributeValue, Attributes, Link};
use crate::codec::{Codec, text_of};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::identifier::UniqueIdentifier;
use crate::spec::attributes::{self as table, Shape};
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, ItemType, Reader, Value, Writer, wrong_type};
use crate::version::V3_0;

pub(super) fn decode(item: &Item<'_>, context: Context) -> Result<Attributes, DecodeError> {
    let mut reader = Reader::new(item, context)?;
    let mut attributes = Attributes::default();
    while let Some(child) = reader.any() {
        attributes.items.extend(decode_attribute(&child, context).map_err(|error| reader.within(error))?);
    }
    Ok(attributes)
}

pub(super) fn encode(attributes: &Attributes, tag: Tag, writer: &mut Writer) {
    writer.structure(tag, |writer| attributes.items.iter().for_each(|attribute| encode_attribute(attribute, writer)));
}

/// Reads one child of `Attributes`; `None` when it is unknown and such are ignored.
pub(super) fn decode_attribute(item: &Item<'_>, context: Context) -> Result<Option<Attribute>, DecodeError> {
    if item.tag == Tag::ATTRIBUTE {
        return decode_vendor(item, context).map(Some);
    }
    let Some(row) = table::by_tag(item.tag, context.version) else {
        if context.ignore_unknown {
            return Ok(None);
        }
        let kind = if item.tag.is_defined(context.version) {
            DecodeErrorKind::UnknownAttribute
        } else {
            DecodeErrorKind::UnknownTag(item.tag)
        };
        return Err(DecodeError::new(item.offset, kind).within(item.tag));
    };
    if let (Shape::Link, Some(link_type)) = (row.shape, table::link_type(row.tag)) {
        let target = UniqueIdentifier::decode(item, context)?;
        return Ok(Some(Attribute::new(Tag::LINK, AttributeValue::Link(Link { link_type, target }))));
    }
    AttributeValue::decode(row.shape, item, context).map(|value| Some(Attribute::new(row.tag, value)))
}

/// Writes nothing when the version does not have the attribute, or a standard one has no value.
pub(super) fn encode_attribute(attribute: &Attribute, writer: &mut Writer) {
    let Some(tag) = attribute.tag(writer.version()) else { return };
    match (&attribute.kind, &attribute.value) {
        (AttributeKind::Vendor { vendor, name }, value) => writer.structure(tag, |writer| {
            writer.text_string(Tag::VENDOR_IDENTIFICATION, vendor);
            writer.text_string(Tag::ATTRIBUTE_NAME, name);
            if let Some(value) = value {
                value.encode(Tag::ATTRIBUTE_VALUE, writer);
            }
        }),
        (_, Some(AttributeValue::Link(link))) if writer.version() >= V3_0 => link.target.encode_reference(tag, writer),
        (_, Some(value)) => value.encode(tag, writer),
        (_, None) => {}
    }
}

fn decode_vendor(item: &Item<'_>, context: Context) -> Result<Attribute, DecodeError> {
    let mut reader = Reader::new(item, context)?;
    let kind = take_vendor(&mut reader)?;
    let value = reader.optional(Tag::ATTRIBUTE_VALUE)?;
    let value = value.map(|value| AttributeValue::Other(value.value.into_owned()));
    reader.finish()?;
    Ok(Attribute { kind, index: None, value })
}

fn take_vendor(reader: &mut Reader<'_, '_>) -> Result<AttributeKind, DecodeError> {
    let vendor = reader.required(Tag::VENDOR_IDENTIFICATION)?;
    let name = reader.required(Tag::ATTRIBUTE_NAME)?;
    let text = |item: &Item<'_>| text_of(item).map(str::to_owned).map_err(|error| reader.within(error));
    Ok(AttributeKind::Vendor { vendor: text(&vendor)?, name: text(&name)? })
}

pub(super) fn decode_reference(item: &Item<'_>, context: Context) -> Result<AttributeKind, DecodeError> {
    match &item.value {
        Value::Enumeration(number) => {
            let tag = Tag::from_number(*number);
            // The upper byte must not be cut off: 0142008D is not a reference to State.
            if tag.number() != *number || !tag.is_legal() {
                let kind = DecodeErrorKind::UnknownEnumeration(*number);
                return Err(DecodeError::new(item.offset, kind).within(item.tag));
            }
            Ok(match table::by_tag(tag, context.version) {
                Some(row) => AttributeKind::Standard(row.tag),
                None => AttributeKind::Unknown(format!("{number:06X}")),
            })
        }
        Value::Structure(_) => {
            let mut reader = Reader::new(item, context)?;
            let kind = take_vendor(&mut reader)?;
            reader.finish()?;
            Ok(kind)
        }
        _ => Err(wrong_type(item, ItemType::Enumeration)),
    }
}

pub(super) fn encode_reference(kind: &AttributeKind, tag: Tag, writer: &mut Writer) {
    match kind {
        AttributeKind::Standard(attribute) if table::by_tag(*attribute, writer.version()).is_some() => {
            writer.enumeration(tag, attribute.number());
        }
        AttributeKind::Standard(_) => {}
        AttributeKind::Vendor { vendor, name } => writer.structure(tag, |writer| {
            writer.text_string(Tag::VENDOR_IDENTIFICATION, vendor);
            writer.text_string(Tag::ATTRIBUTE_NAME, name);
        }),
        AttributeKind::Unknown(number) => {
            // What decoding made of a tag that is no attribute here goes back as it came; a 1.x name has no form here.
            if let Ok(number) = u32::from_str_radix(number, 16) {
                writer.enumeration(tag, number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::ttlv;
    use crate::version::{ProtocolVersion, V2_1, V3_0};

    fn reference(number: u32, version: ProtocolVersion) -> Result<AttributeKind, DecodeErrorKind> {
        let item = Item::new(Tag::ATTRIBUTE_REFERENCE, Value::Enumeration(number));
        let context = Context::new(version).expect("supported");
        decode_reference(&item, context).map_err(|error| error.kind)
    }

    #[test]
    fn a_vendor_attribute_without_a_value_comes_back() {
        let mut writer = Writer::new(V2_1);
        writer.structure(Tag::ATTRIBUTES, |writer| {
            writer.structure(Tag::ATTRIBUTE, |writer| {
                writer.text_string(Tag::VENDOR_IDENTIFICATION, "x");
                writer.text_string(Tag::ATTRIBUTE_NAME, "Rack");
            });
        });
        let bytes = writer.finish().expect("short");
        let item = ttlv::parse(&bytes, &Limits::default()).expect("well formed");
        let attributes = decode(&item, Context::new(V2_1).expect("supported")).expect("a deleted one in Notify");
        let mut writer = Writer::new(V2_1);
        encode(&attributes, Tag::ATTRIBUTES, &mut writer);
        assert_eq!(writer.finish().expect("short"), bytes);
    }

    #[test]
    fn a_reference_is_not_cut_to_three_bytes() {
        assert_eq!(reference(0x0042_008D, V2_1), Ok(Tag::STATE.into()));
        assert_eq!(reference(0x0142_008D, V2_1), Err(DecodeErrorKind::UnknownEnumeration(0x0142_008D)));
        assert_eq!(reference(0x0043_008D, V2_1), Err(DecodeErrorKind::UnknownEnumeration(0x0043_008D)));
    }

    #[test]
    fn a_reference_to_no_attribute_of_the_version_comes_back_unchanged() {
        // A tag that is no attribute, an attribute of 3.0 only, one of 1.x only, an extension.
        for (number, version) in [(0x42_000D, V2_1), (0x42_01B3, V2_1), (0x42_005D, V3_0), (0x54_0001, V3_0)] {
            let kind = reference(number, version).expect("a legal tag");
            assert_eq!(kind, AttributeKind::Unknown(format!("{number:06X}")));
            let mut writer = Writer::new(version);
            encode_reference(&kind, Tag::ATTRIBUTE_REFERENCE, &mut writer);
            let bytes = writer.finish().expect("short");
            let item = ttlv::parse(&bytes, &Limits::default()).expect("our own encoding");
            assert_eq!(item.value, Value::Enumeration(number));
        }
    }
}
