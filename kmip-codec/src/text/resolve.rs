//! Raw values to TTLV, once the whole message and its version are known.

use std::borrow::Cow;

use super::names::{self, Meaning};
use super::raw::{Raw, RawValue, Text};
use super::value::Leaf;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::secret::Wiped;
use crate::spec::tags::Tag;
use crate::ttlv::{ItemType, Writer};
use crate::version::{ProtocolVersion, SUPPORTED};

/// Writes the tree as TTLV.
pub(super) fn resolve(tree: &Raw<'_>, version: Option<ProtocolVersion>, limits: &Limits) -> Result<Wiped, DecodeError> {
    let [newest, ..] = SUPPORTED;
    let mut writer = Writer::new(newest);
    let resolver = Resolver { version: version.and_then(ProtocolVersion::nearest), limits };
    resolver.item(tree, Meaning::Other, &mut writer)?;
    let bytes = writer.finish().map_err(|_too_long| DecodeError::new(0, DecodeErrorKind::TooLong(usize::MAX)))?;
    if bytes.len() > limits.message_bytes_max {
        return Err(DecodeError::new(0, DecodeErrorKind::TooLong(bytes.len())));
    }
    Ok(bytes)
}

struct Resolver<'l> {
    version: Option<ProtocolVersion>,
    limits: &'l Limits,
}

impl Resolver<'_> {
    /// Writes one item; `attribute` is what an Attribute Value at this place means.
    fn item(&self, raw: &Raw<'_>, attribute: Meaning, writer: &mut Writer) -> Result<(), DecodeError> {
        let at = |kind| DecodeError::new(raw.offset, kind).within(raw.tag);
        if let RawValue::Structure(children) = &raw.value {
            let attribute = meaning_beside_name(children);
            let mut outcome = Ok(());
            writer.structure(raw.tag, |writer| {
                outcome = children.iter().try_for_each(|child| self.item(child, attribute, writer));
            });
            return outcome.map_err(|error| error.within(raw.tag));
        }
        let meaning = match raw.tag {
            Tag::ATTRIBUTE_VALUE => attribute,
            tag => names::of_tag(tag),
        };
        let leaf = Leaf { tag: raw.tag, item_type: raw.item_type, meaning, version: self.version };
        let written = match &raw.value {
            RawValue::Text(text) => {
                let text = plain(text).map_err(at)?;
                leaf.text(&text, self.limits.text_bytes_max, writer)
            }
            RawValue::Number(number) => leaf.number(*number, writer),
            RawValue::Boolean(value) => leaf.truth(*value, writer),
            RawValue::Structure(_) => Err(DecodeErrorKind::BadValue(ItemType::Structure)),
        };
        written.map_err(at)
    }
}

/// The text that the message means.
fn plain<'t>(text: &'t Text<'_>) -> Result<Cow<'t, str>, DecodeErrorKind> {
    match text {
        Text::Plain(text) => Ok(Cow::Borrowed(text)),
        Text::Owned(text) => Ok(Cow::Borrowed(text.as_str())),
        // Character references and the five names of XML itself; there are no others without a DTD.
        Text::Escaped(text) => quick_xml::escape::unescape(text).map_err(|_unknown| DecodeErrorKind::Syntax),
    }
}

/// What an Attribute Value among these fields means (KMIP 1.0 §2.1.1).
fn meaning_beside_name(fields: &[Raw<'_>]) -> Meaning {
    let name = fields.iter().find(|field| field.tag == Tag::ATTRIBUTE_NAME);
    match name.map(|field| &field.value) {
        Some(RawValue::Text(text)) => plain(text).map_or(Meaning::Other, |name| names::of_attribute(&name)),
        _ => Meaning::Other,
    }
}
