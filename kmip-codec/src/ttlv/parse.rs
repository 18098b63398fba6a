//! Bytes to items: the only place that uses nom.
//!
//! Framing has counted the bytes already, so the parsers are the `complete` ones and never ask for more. A length is
//! compared with what its parent holds before anything is taken or allocated. Padding is skipped whatever it contains,
//! because some clients do not clear it (KMIP 1.0 §9.1.1.3); the writer always writes zeros.

use std::borrow::Cow;

use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{be_i32, be_i64, be_u8, be_u24, be_u32, be_u64};
use nom::{Err, IResult, Offset, Parser};

use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::spec::tags::Tag;
use crate::ttlv::{HEADER_BYTES, Item, ItemType, Value};

/// Reads one item that fills `bytes`.
///
/// # Errors
///
/// The first malformation in reading order, with its offset and path.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Item<'a>, DecodeError> {
    if bytes.len() > limits.message_bytes_max {
        return Err(DecodeError::new(0, DecodeErrorKind::TooLong(bytes.len())));
    }
    let mut parser = ItemParser { message: bytes, limits, items: 0 };
    match parser.item(bytes, 1) {
        Ok(([], item)) => Ok(item),
        Ok((rest, _)) => Err(DecodeError::new(bytes.offset(rest), DecodeErrorKind::TrailingBytes)),
        Err(Err::Incomplete(_)) => Err(DecodeError::new(bytes.len(), DecodeErrorKind::Truncated)),
        Err(Err::Error(fault) | Err::Failure(fault)) => Err(fault.0),
    }
}

/// Our error in nom's clothes. nom itself can only run out of bytes here.
struct Fault(DecodeError);

impl ParseError<&[u8]> for Fault {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self(DecodeError::new(0, DecodeErrorKind::Truncated))
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// Places an error at an item and ends the parse.
fn refuse<T>(offset: usize, kind: DecodeErrorKind) -> Result<T, Err<Fault>> {
    Err(Err::Failure(Fault(DecodeError::new(offset, kind))))
}

struct ItemParser<'a, 'l> {
    message: &'a [u8],
    limits: &'l Limits,
    items: usize,
}

impl<'a> ItemParser<'a, '_> {
    /// Reads one item, its padding included. `depth` is the depth this item has if it is a structure.
    fn item(&mut self, input: &'a [u8], depth: usize) -> IResult<&'a [u8], Item<'a>, Fault> {
        let offset = self.message.offset(input);
        self.items += 1;
        if self.items > self.limits.items_max {
            return refuse(offset, DecodeErrorKind::TooMany);
        }
        let Ok((rest, (number, code, length))) = (be_u24::<_, Fault>, be_u8, be_u32).parse(input) else {
            return refuse(offset, DecodeErrorKind::Truncated);
        };
        let tag = Tag::from_number(number);
        if !tag.is_legal() {
            return refuse(offset, DecodeErrorKind::IllegalTag(tag));
        }
        self.value(rest, offset, code, length, depth)
            .map(|(rest, value)| (rest, Item { tag, offset, value }))
            .map_err(|error| error.map(|fault| Fault(fault.0.within(tag))))
    }

    fn value(
        &mut self,
        input: &'a [u8],
        offset: usize,
        code: u8,
        length: u32,
        depth: usize,
    ) -> IResult<&'a [u8], Value<'a>, Fault> {
        let Some(item_type) = ItemType::from_code(code) else {
            return refuse(offset, DecodeErrorKind::IllegalType(code));
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !length_suits(item_type, length) {
            return refuse(offset, DecodeErrorKind::WrongLength(length));
        }
        let padding = (8 - length % 8) % 8;
        if length.checked_add(padding).is_none_or(|needed| needed > input.len()) {
            return refuse(offset, DecodeErrorKind::Truncated);
        }
        let (rest, (body, _)) = (take(length), take(padding)).parse(input)?;
        let value = match item_type {
            ItemType::Structure => Value::Structure(self.children(body, offset, depth)?),
            ItemType::Integer => Value::Integer(be_i32(body)?.1),
            ItemType::LongInteger => Value::LongInteger(be_i64(body)?.1),
            ItemType::BigInteger => Value::BigInteger(Cow::Borrowed(body)),
            ItemType::Enumeration => Value::Enumeration(be_u32(body)?.1),
            ItemType::Boolean => match be_u64(body)?.1 {
                0 => Value::Boolean(false),
                1 => Value::Boolean(true),
                _ => return refuse(offset, DecodeErrorKind::BadBoolean),
            },
            ItemType::TextString => Value::TextString(self.text(body, offset)?),
            ItemType::ByteString => Value::ByteString(Cow::Borrowed(body)),
            ItemType::DateTime => Value::DateTime(be_i64(body)?.1),
            ItemType::Interval => Value::Interval(be_u32(body)?.1),
            ItemType::DateTimeExtended => Value::DateTimeExtended(be_i64(body)?.1),
            ItemType::Identifier => Value::Identifier(self.text(body, offset)?),
            ItemType::Reference => Value::Reference(self.text(body, offset)?),
            ItemType::NameReference => Value::NameReference(self.text(body, offset)?),
        };
        Ok((rest, value))
    }

    fn children(&mut self, mut body: &'a [u8], offset: usize, depth: usize) -> Result<Vec<Item<'a>>, Err<Fault>> {
        if depth > self.limits.depth_max {
            return refuse(offset, DecodeErrorKind::TooDeep);
        }
        let mut children = Vec::new();
        while !body.is_empty() {
            let (rest, child) = self.item(body, depth + 1)?;
            children.push(child);
            body = rest;
        }
        Ok(children)
    }

    fn text(&self, body: &'a [u8], offset: usize) -> Result<Cow<'a, str>, Err<Fault>> {
        if body.len() > self.limits.text_bytes_max {
            return refuse(offset, DecodeErrorKind::TextTooLong(body.len()));
        }
        str::from_utf8(body).map(Cow::Borrowed).or_else(|_| refuse(offset, DecodeErrorKind::BadUtf8))
    }
}

/// The lengths of KMIP 1.0 §9.1.1.3. A structure's children are padded, so its length is a multiple of eight.
fn length_suits(item_type: ItemType, length: usize) -> bool {
    match item_type {
        ItemType::Structure => length.is_multiple_of(HEADER_BYTES),
        ItemType::BigInteger => length > 0 && length.is_multiple_of(8),
        ItemType::Integer | ItemType::Enumeration | ItemType::Interval => length == 4,
        ItemType::LongInteger | ItemType::Boolean | ItemType::DateTime | ItemType::DateTimeExtended => length == 8,
        ItemType::TextString
        | ItemType::ByteString
        | ItemType::Identifier
        | ItemType::Reference
        | ItemType::NameReference => true,
    }
}
