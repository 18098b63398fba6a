//! Items to JSON and XML.
//!
//! Everything is written twice, first only to count, so that the text, which may hold key material, has its size from the
//! beginning and is never moved.

use super::names::{self, Meaning};
use super::{Output, raw, value};
use crate::error::EncodeError;
use crate::secret::Wiped;
use crate::spec::tags::Tag;
use crate::ttlv::{Item, Value};
use crate::version::ProtocolVersion;

/// JSON numbers beyond this lose bits in many parsers (Profiles 1.0 §5.5.1.3).
const EXACT: std::ops::RangeInclusive<i64> = -(1 << 52)..=1 << 52;

pub(super) fn json(item: &Item<'_>, version: Option<ProtocolVersion>) -> Result<Wiped, EncodeError> {
    twice(|output| Form { version, output }.json(item, Meaning::Other))
}

pub(super) fn xml(item: &Item<'_>, version: Option<ProtocolVersion>) -> Result<Wiped, EncodeError> {
    twice(|output| {
        output.push("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Form { version, output }.xml(item, Meaning::Other)
    })
}

fn twice(mut write: impl FnMut(&mut Output) -> Result<(), EncodeError>) -> Result<Wiped, EncodeError> {
    let mut counter = Output::counter();
    write(&mut counter)?;
    let mut output = Output::of_size(counter.counted);
    write(&mut output)?;
    Ok(std::mem::take(&mut output.text))
}

struct Form<'o> {
    version: Option<ProtocolVersion>,
    output: &'o mut Output,
}

/// What the value of an item means; `attribute` is that of an Attribute Value at this place.
fn meaning(item: &Item<'_>, attribute: Meaning) -> Meaning {
    if item.tag == Tag::ATTRIBUTE_VALUE { attribute } else { names::of_tag(item.tag) }
}

/// What an Attribute Value within this structure means.
fn meaning_inside(item: &Item<'_>) -> Meaning {
    match item.child(Tag::ATTRIBUTE_NAME).map(|name| name.value) {
        Some(Value::TextString(name)) => names::of_attribute(&name),
        _ => Meaning::Other,
    }
}

impl Form<'_> {
    fn json(&mut self, item: &Item<'_>, attribute: Meaning) -> Result<(), EncodeError> {
        self.output.push("{\"tag\":\"");
        match item.tag.name() {
            Some(name) => self.output.push(name),
            None => self.output.push(&format!("0x{:06X}", item.tag.number())),
        }
        if let Value::Structure(children) = &item.value {
            self.output.push("\",\"value\":[");
            let attribute = meaning_inside(item);
            for (position, child) in children.iter().enumerate() {
                if position > 0 {
                    self.output.push(",");
                }
                self.json(&child, attribute)?;
            }
            self.output.push("]}");
            return Ok(());
        }
        self.output.push("\",\"type\":\"");
        self.output.push(raw::name_of(item.value.item_type()));
        self.output.push("\",\"value\":");
        let meaning = meaning(item, attribute);
        match &item.value {
            Value::Structure(_) => {}
            Value::Integer(number) => match value::mask(number.cast_unsigned(), meaning, self.version, "|") {
                Some(names) => self.quoted(&names),
                None => self.output.push(&number.to_string()),
            },
            Value::LongInteger(number) if EXACT.contains(number) => self.output.push(&number.to_string()),
            Value::LongInteger(number) => self.quoted(&format!("0x{number:016x}")),
            Value::BigInteger(bytes) => {
                self.output.push("\"0x");
                self.output.push_hex(bytes);
                self.output.push("\"");
            }
            Value::Enumeration(number) => self.quoted(&value::enumeration(*number, meaning, self.version)),
            Value::Boolean(value) => self.output.push(if *value { "true" } else { "false" }),
            Value::TextString(text) | Value::Identifier(text) | Value::Reference(text) | Value::NameReference(text) => {
                self.quoted(text);
            }
            Value::ByteString(bytes) => {
                self.output.push("\"");
                self.output.push_hex(bytes);
                self.output.push("\"");
            }
            Value::DateTime(seconds) => self.quoted(&value::date_time(*seconds)),
            Value::Interval(seconds) => self.output.push(&seconds.to_string()),
            Value::DateTimeExtended(micros) => self.quoted(&format!("0x{micros:016x}")),
        }
        self.output.push("}");
        Ok(())
    }

    /// A JSON string.
    fn quoted(&mut self, text: &str) {
        self.output.push("\"");
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
            let (clean, from) = rest.split_at(at);
            self.output.push(clean);
            let mut characters = from.chars();
            match characters.next() {
                Some('"') => self.output.push("\\\""),
                Some('\\') => self.output.push("\\\\"),
                Some('\n') => self.output.push("\\n"),
                Some('\r') => self.output.push("\\r"),
                Some('\t') => self.output.push("\\t"),
                Some(other) => self.output.push(&format!("\\u{:04x}", u32::from(other))),
                None => {}
            }
            rest = characters.as_str();
        }
        self.output.push(rest);
        self.output.push("\"");
    }

    fn xml(&mut self, item: &Item<'_>, attribute: Meaning) -> Result<(), EncodeError> {
        let name = item.tag.name().unwrap_or("TTLV");
        self.output.push("<");
        self.output.push(name);
        if item.tag.name().is_none() {
            self.output.push(&format!(" tag=\"0x{:06X}\"", item.tag.number()));
        }
        if let Value::Structure(children) = &item.value {
            if children.is_empty() {
                self.output.push("/>");
                return Ok(());
            }
            self.output.push(">");
            let attribute = meaning_inside(item);
            for child in children {
                self.xml(&child, attribute)?;
            }
            self.output.push("</");
            self.output.push(name);
            self.output.push(">");
            return Ok(());
        }
        self.output.push(" type=\"");
        self.output.push(raw::name_of(item.value.item_type()));
        self.output.push("\" value=\"");
        let meaning = meaning(item, attribute);
        match &item.value {
            Value::Structure(_) => {}
            Value::Integer(number) => match value::mask(number.cast_unsigned(), meaning, self.version, " ") {
                Some(names) => self.output.push(&names),
                None => self.output.push(&number.to_string()),
            },
            Value::LongInteger(number) => self.output.push(&number.to_string()),
            Value::BigInteger(bytes) | Value::ByteString(bytes) => self.output.push_hex(bytes),
            Value::Enumeration(number) => self.output.push(&value::enumeration(*number, meaning, self.version)),
            Value::Boolean(value) => self.output.push(if *value { "true" } else { "false" }),
            Value::TextString(text) | Value::Identifier(text) | Value::Reference(text) | Value::NameReference(text) => {
                self.escaped(text)?;
            }
            Value::DateTime(seconds) => self.output.push(&value::date_time(*seconds)),
            Value::Interval(seconds) => self.output.push(&seconds.to_string()),
            Value::DateTimeExtended(micros) => self.output.push(&format!("0x{micros:016x}")),
        }
        self.output.push("\"/>");
        Ok(())
    }

    /// The text of an XML attribute; XML 1.0 §2.2 has no way to write most control characters.
    fn escaped(&mut self, text: &str) -> Result<(), EncodeError> {
        let special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\u{FFFE}' | '\u{FFFF}') || c < ' ';
        let mut rest = text;
        while let Some(at) = rest.find(special) {
            let (clean, from) = rest.split_at(at);
            self.output.push(clean);
            let mut characters = from.chars();
            self.output.push(match characters.next() {
                Some('&') => "&amp;",
                Some('<') => "&lt;",
                Some('>') => "&gt;",
                Some('"') => "&quot;",
                Some('\t') => "&#9;",
                Some('\n') => "&#10;",
                Some('\r') => "&#13;",
                _ => return Err(EncodeError::NotInXml),
            });
            rest = characters.as_str();
        }
        self.output.push(rest);
        Ok(())
    }
}
