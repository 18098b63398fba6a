//! What JSON and XML readers produce: tags and types are known, values are still text, numbers or truth values.

use std::cell::{Cell, RefCell};

use zeroize::Zeroizing;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::spec::tags::Tag;
use crate::ttlv::ItemType;
use crate::version::ProtocolVersion;

/// One item whose value is not yet understood.
pub(super) struct Raw<'a> {
    pub(super) tag: Tag,
    /// Where it stands in the text.
    pub(super) offset: usize,
    pub(super) item_type: ItemType,
    pub(super) value: RawValue<'a>,
}

/// A value as the text has it.
pub(super) enum RawValue<'a> {
    Structure(Vec<Raw<'a>>),
    Text(Text<'a>),
    /// A JSON number.
    Number(i128),
    /// A JSON truth value.
    Boolean(bool),
}

/// A text value, borrowed wherever the message has it in one piece.
pub(super) enum Text<'a> {
    /// As it stands.
    Plain(&'a str),
    /// With XML references in it.
    Escaped(&'a str),
    /// JSON escapes resolved.
    Owned(Zeroizing<String>),
}

/// What the readers of one message share.
pub(super) struct State<'l> {
    pub(super) limits: &'l Limits,
    items: Cell<usize>,
    /// Structures inside structures, in JSON, where a tag may follow its value.
    depth: Cell<usize>,
    major: Cell<Option<i32>>,
    minor: Cell<Option<i32>>,
    /// The structures around the place that is read.
    path: RefCell<Vec<Tag>>,
    /// The fault behind an error that a parser library reports in its own words.
    fault: Cell<Option<DecodeErrorKind>>,
}

impl<'l> State<'l> {
    pub(super) const fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            items: Cell::new(0),
            depth: Cell::new(0),
            major: Cell::new(None),
            minor: Cell::new(None),
            path: RefCell::new(Vec::new()),
            fault: Cell::new(None),
        }
    }

    /// The version, once both its numbers were seen. The first ones count: the header comes first.
    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        Some(ProtocolVersion::new(self.major.get()?, self.minor.get()?))
    }

    /// Counts an item.
    pub(super) fn count(&self) -> Result<(), DecodeErrorKind> {
        let items = self.items.get() + 1;
        self.items.set(items);
        if items > self.limits.items_max { Err(DecodeErrorKind::TooMany) } else { Ok(()) }
    }

    /// Takes notice of the version's numbers as they come by.
    pub(super) fn notice(&self, tag: Tag, value: &RawValue<'_>) {
        let cell = match tag {
            Tag::PROTOCOL_VERSION_MAJOR => &self.major,
            Tag::PROTOCOL_VERSION_MINOR => &self.minor,
            _ => return,
        };
        if cell.get().is_none() {
            cell.set(match value {
                RawValue::Number(number) => i32::try_from(*number).ok(),
                RawValue::Text(Text::Plain(text)) => text.trim().parse().ok(),
                _ => None,
            });
        }
    }

    pub(super) fn enter(&self, tag: Tag) {
        self.path.borrow_mut().push(tag);
    }

    pub(super) fn leave(&self) {
        self.path.borrow_mut().pop();
    }

    /// Goes one level down.
    pub(super) fn deeper(&self) -> Result<(), DecodeErrorKind> {
        let depth = self.depth.get() + 1;
        self.depth.set(depth);
        if depth > self.limits.depth_max { Err(DecodeErrorKind::TooDeep) } else { Ok(()) }
    }

    /// Comes back up.
    pub(super) fn higher(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }

    /// An error at a place of the text, within the structures that are open.
    pub(super) fn error(&self, offset: usize, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { offset, path: self.path.borrow().clone(), kind }
    }

    /// Remembers a fault for [`Self::fault`].
    pub(super) fn remember(&self, kind: DecodeErrorKind) {
        if self.fault.get().is_none() {
            self.fault.set(Some(kind));
        }
    }

    /// The fault that was remembered, or that of a text that breaks the grammar.
    pub(super) fn fault(&self) -> DecodeErrorKind {
        self.fault.get().unwrap_or(DecodeErrorKind::Syntax)
    }
}

/// Where `part`, which was taken out of `text`, lies in it.
pub(super) fn offset_in(text: &str, part: &str) -> Option<usize> {
    let at = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    (at.checked_add(part.len())? <= text.len()).then_some(at)
}

/// Reads a tag: its name, or its number in hex.
pub(super) fn tag(text: &str) -> Result<Tag, DecodeErrorKind> {
    let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else {
        return Tag::from_name(text).ok_or(DecodeErrorKind::UnknownName);
    };
    match u32::from_str_radix(digits, 16) {
        Ok(number) if number <= 0x00FF_FFFF && digits.len() <= 8 && !digits.starts_with('+') => {
            let tag = Tag::from_number(number);
            if tag.is_legal() { Ok(tag) } else { Err(DecodeErrorKind::IllegalTag(tag)) }
        }
        _ => Err(DecodeErrorKind::UnknownName),
    }
}

/// Reads an item type: its name, or its code in hex.
pub(super) fn item_type(text: &str) -> Result<ItemType, DecodeErrorKind> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let code = u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 8 && !digits.starts_with('+'));
        let code = code.ok_or(DecodeErrorKind::UnknownName)?;
        return ItemType::from_code(code).ok_or(DecodeErrorKind::IllegalType(code));
    }
    ItemType::ALL.into_iter().find(|known| name_of(*known) == text).ok_or(DecodeErrorKind::UnknownName)
}

/// The name of an item type.
pub(super) const fn name_of(item_type: ItemType) -> &'static str {
    match item_type {
        ItemType::Structure => "Structure",
        ItemType::Integer => "Integer",
        ItemType::LongInteger => "LongInteger",
        ItemType::BigInteger => "BigInteger",
        ItemType::Enumeration => "Enumeration",
        ItemType::Boolean => "Boolean",
        ItemType::TextString => "TextString",
        ItemType::ByteString => "ByteString",
        ItemType::DateTime => "DateTime",
        ItemType::Interval => "Interval",
        ItemType::DateTimeExtended => "DateTimeExtended",
        ItemType::Identifier => "Identifier",
        ItemType::Reference => "Reference",
        ItemType::NameReference => "NameReference",
    }
}
