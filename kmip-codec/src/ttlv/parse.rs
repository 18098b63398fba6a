//! Bytes to items: the only place that uses nom.
//!
//! The whole message is checked here, and nothing is allocated: what a structure holds is read when it is looked at.
//! Framing has counted the bytes already, so the parsers are the `complete` ones and never ask for more. A length is
//! compared with what its parent holds before anything is taken or allocated. Padding is skipped whatever it contains,
//! because some clients do not clear it (KMIP 1.0 §9.1.1.3); the writer always writes zeros.

use std::borrow::Cow;

use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::{Err, IResult, Offset, Parser};

use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::spec::tags::Tag;
use crate::ttlv::{Children, HEADER_BYTES, Item, ItemType, Value};

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
        let (Some((tag, length)), Some((&[_, _, _, code, ..], rest))) =
            (head(input), input.split_first_chunk::<HEADER_BYTES>())
        else {
            return refuse(offset, DecodeErrorKind::Truncated);
        };
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
        length: usize,
        depth: usize,
    ) -> IResult<&'a [u8], Value<'a>, Fault> {
        let Some(item_type) = ItemType::from_code(code) else {
            return refuse(offset, DecodeErrorKind::IllegalType(code));
        };
        if !length_suits(item_type, length) {
            return refuse(offset, DecodeErrorKind::WrongLength(length));
        }
        let padding = (8 - length % 8) % 8;
        if length.checked_add(padding).is_none_or(|needed| needed > input.len()) {
            return refuse(offset, DecodeErrorKind::Truncated);
        }
        let (rest, (body, _)) = (take(length), take(padding)).parse(input)?;
        if item_type == ItemType::Structure {
            self.children(body, depth)?;
            return Ok((rest, Value::Structure(Children::encoded(body, offset + HEADER_BYTES))));
        }
        if is_text(item_type) && body.len() > self.limits.text_bytes_max {
            return refuse(offset, DecodeErrorKind::TextTooLong(body.len()));
        }
        let value = leaf(item_type, body).or_else(|kind| refuse(offset, kind))?;
        Ok((rest, value))
    }

    /// Checks the items of a structure; they are read again when somebody looks at them.
    fn children(&mut self, mut body: &'a [u8], depth: usize) -> Result<(), Err<Fault>> {
        if depth > self.limits.depth_max {
            let offset = self.message.offset(body).saturating_sub(HEADER_BYTES);
            return refuse(offset, DecodeErrorKind::TooDeep);
        }
        while !body.is_empty() {
            (body, _) = self.item(body, depth + 1)?;
        }
        Ok(())
    }
}

/// Tag and length of the item that `input` begins with.
pub(super) fn head(input: &[u8]) -> Option<(Tag, usize)> {
    let [t0, t1, t2, _, l0, l1, l2, l3] = *input.first_chunk()?;
    let tag = Tag::from_number(u32::from_be_bytes([0, t0, t1, t2]));
    Some((tag, usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).ok()?))
}

/// The item that checked bytes begin with, and the bytes it takes with its padding; `None` at their end.
pub(super) fn checked(input: &[u8], offset: usize) -> Option<(Item<'_>, usize)> {
    let (tag, length) = head(input)?;
    let item_type = ItemType::from_code(*input.get(3)?)?;
    let body = input.get(HEADER_BYTES..HEADER_BYTES.checked_add(length)?)?;
    let value = match item_type {
        ItemType::Structure => Value::Structure(Children::encoded(body, offset + HEADER_BYTES)),
        _ => leaf(item_type, body).ok()?,
    };
    Some((Item { tag, offset, value }, HEADER_BYTES + length.next_multiple_of(8)))
}

/// A value that is no structure, out of as many bytes as its type has.
fn leaf(item_type: ItemType, body: &[u8]) -> Result<Value<'_>, DecodeErrorKind> {
    let four = || body.first_chunk().copied().ok_or(DecodeErrorKind::WrongLength(body.len()));
    let eight = || body.first_chunk().copied().ok_or(DecodeErrorKind::WrongLength(body.len()));
    let text = || str::from_utf8(body).map(Cow::Borrowed).map_err(|_not_text| DecodeErrorKind::BadUtf8);
    Ok(match item_type {
        ItemType::Structure => return Err(DecodeErrorKind::IllegalType(item_type.code())),
        ItemType::Integer => Value::Integer(i32::from_be_bytes(four()?)),
        ItemType::LongInteger => Value::LongInteger(i64::from_be_bytes(eight()?)),
        ItemType::BigInteger => Value::BigInteger(Cow::Borrowed(body)),
        ItemType::Enumeration => Value::Enumeration(u32::from_be_bytes(four()?)),
        ItemType::Boolean => match u64::from_be_bytes(eight()?) {
            0 => Value::Boolean(false),
            1 => Value::Boolean(true),
            _ => return Err(DecodeErrorKind::BadBoolean),
        },
        ItemType::TextString => Value::TextString(text()?),
        ItemType::ByteString => Value::ByteString(Cow::Borrowed(body)),
        ItemType::DateTime => Value::DateTime(i64::from_be_bytes(eight()?)),
        ItemType::Interval => Value::Interval(u32::from_be_bytes(four()?)),
        ItemType::DateTimeExtended => Value::DateTimeExtended(i64::from_be_bytes(eight()?)),
        ItemType::Identifier => Value::Identifier(text()?),
        ItemType::Reference => Value::Reference(text()?),
        ItemType::NameReference => Value::NameReference(text()?),
    })
}

const fn is_text(item_type: ItemType) -> bool {
    matches!(item_type, ItemType::TextString | ItemType::Identifier | ItemType::Reference | ItemType::NameReference)
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
