//! XML: an element for each item, its value in an attribute.
//!
//! There is nothing here that could grow: document types, processing instructions and entities of one's own are refused,
//! depth and items are counted, and values stay slices of the text until they are resolved.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::raw::{self, Raw, RawValue, State, Text, offset_in};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::spec::tags::Tag;
use crate::ttlv::ItemType;

/// Attributes that an element may have: tag, name, type, value, and declarations of the name space.
const ATTRIBUTES_MAX: usize = 8;

/// Reads one message.
pub(super) fn read<'a>(text: &'a str, state: &State<'_>) -> Result<Raw<'a>, DecodeError> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Raw<'a>> = Vec::new();
    let mut whole: Option<Raw<'a>> = None;
    loop {
        let event = reader.read_event();
        let offset = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let fail = |kind| state.error(offset, kind);
        match event.map_err(|_grammar| fail(DecodeErrorKind::Syntax))? {
            Event::Start(start) => {
                refuse_second(&whole).map_err(fail)?;
                let item = element(text, &start, state).map_err(fail)?;
                if open.len() >= state.limits.depth_max && item.item_type == ItemType::Structure {
                    return Err(fail(DecodeErrorKind::TooDeep));
                }
                state.enter(item.tag);
                open.push(item);
            }
            Event::Empty(start) => {
                refuse_second(&whole).map_err(fail)?;
                let item = element(text, &start, state).map_err(fail)?;
                if open.len() >= state.limits.depth_max && item.item_type == ItemType::Structure {
                    return Err(fail(DecodeErrorKind::TooDeep));
                }
                close(item, &mut open, &mut whole).map_err(fail)?;
            }
            // The reader compares the name with that of the element it ends.
            Event::End(_) => {
                let item = open.pop().ok_or_else(|| fail(DecodeErrorKind::Syntax))?;
                state.leave();
                close(item, &mut open, &mut whole).map_err(fail)?;
            }
            Event::Text(between) if between.trim_ascii().is_empty() => {}
            Event::Comment(_) => {}
            Event::Decl(declaration) => {
                let is_utf8 = match declaration.encoding() {
                    None => true,
                    Some(Ok(name)) => name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("us-ascii"),
                    Some(Err(_)) => false,
                };
                if !is_utf8 {
                    return Err(fail(DecodeErrorKind::BadUtf8));
                }
            }
            Event::Text(_) | Event::CData(_) | Event::PI(_) | Event::DocType(_) | Event::GeneralRef(_) => {
                return Err(fail(DecodeErrorKind::Syntax));
            }
            Event::Eof => {
                return match whole {
                    Some(item) if open.is_empty() => Ok(item),
                    _ => Err(fail(DecodeErrorKind::Truncated)),
                };
            }
        }
    }
}

const fn refuse_second(whole: &Option<Raw<'_>>) -> Result<(), DecodeErrorKind> {
    if whole.is_some() { Err(DecodeErrorKind::TrailingBytes) } else { Ok(()) }
}

/// Puts a finished item where it belongs.
fn close<'a>(item: Raw<'a>, open: &mut [Raw<'a>], whole: &mut Option<Raw<'a>>) -> Result<(), DecodeErrorKind> {
    match open.last_mut() {
        Some(parent) => match &mut parent.value {
            RawValue::Structure(children) => children.push(item),
            _ => return Err(DecodeErrorKind::BadValue(parent.item_type)),
        },
        None => *whole = Some(item),
    }
    Ok(())
}

/// Reads an element without what is in it.
fn element<'a>(text: &'a str, start: &BytesStart<'_>, state: &State<'_>) -> Result<Raw<'a>, DecodeErrorKind> {
    state.count()?;
    let name = start.local_name();
    let name: &str = name.as_ref();
    let (mut number, mut item_type, mut value) = (None, ItemType::Structure, None);
    for (position, attribute) in start.attributes().enumerate() {
        let attribute = attribute.map_err(|_grammar| DecodeErrorKind::Syntax)?;
        if position >= ATTRIBUTES_MAX {
            return Err(DecodeErrorKind::TooMany);
        }
        let key: &str = attribute.key.as_ref();
        match key {
            "type" => item_type = raw::item_type(&attribute.value)?,
            "value" => {
                let at = offset_in(text, &attribute.value).ok_or(DecodeErrorKind::Syntax)?;
                value = text.get(at..at + attribute.value.len());
            }
            "tag" => number = Some(raw::tag(&attribute.value)?),
            // The name of an extension, which says nothing that its number does not (Profiles 1.0 §5.4.1.1).
            "name" => {}
            other if other.starts_with("xmlns") || other.starts_with("xsi:") || other.starts_with("xml:") => {}
            _ => return Err(DecodeErrorKind::Syntax),
        }
    }
    let tag = match (name, number) {
        ("TTLV", Some(tag)) => tag,
        ("TTLV", None) => return Err(DecodeErrorKind::UnknownName),
        (name, _) => Tag::from_name(name).ok_or(DecodeErrorKind::UnknownName)?,
    };
    let value = match (item_type, value) {
        (ItemType::Structure, None) => RawValue::Structure(Vec::new()),
        (ItemType::Structure, Some(_)) => return Err(DecodeErrorKind::BadValue(ItemType::Structure)),
        (_, Some(value)) if value.contains('&') => RawValue::Text(Text::Escaped(value)),
        (_, Some(value)) => RawValue::Text(Text::Plain(value)),
        // An empty text or byte string may leave its value out.
        (_, None) => RawValue::Text(Text::Plain("")),
    };
    state.notice(tag, &value);
    Ok(Raw { tag, offset: offset_in(text, name).unwrap_or(0), item_type, value })
}
