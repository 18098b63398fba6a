//! JSON: an object of tag, type and value for each item.
//!
//! Members may come in any order; one that comes twice, or that is none of these, refuses the message. serde_json keeps
//! its own limit of 128 levels beside ours, and values stay slices of the text unless they hold escapes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::raw::{self, Raw, RawValue, State, Text, offset_in};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::spec::tags::Tag;
use crate::ttlv::ItemType;

/// Reads one message.
pub(super) fn read<'a>(text: &'a str, state: &State<'_>) -> Result<Raw<'a>, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let node = Node { text, state };
    let read = node.deserialize(&mut deserializer).and_then(|item| deserializer.end().map(|()| item));
    read.map_err(|error| state.error(position(text, error.line(), error.column()), state.fault()))
}

/// The byte at a line and column, both counted from one.
fn position(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column.saturating_sub(1)).min(text.len())
}

/// Reads one object.
#[derive(Clone, Copy)]
struct Node<'s, 'l, 'a> {
    text: &'a str,
    state: &'s State<'l>,
}

impl Node<'_, '_, '_> {
    /// Our own fault in the parser's clothes.
    fn refuse<E: Error>(&self, kind: DecodeErrorKind) -> E {
        self.state.remember(kind);
        E::custom("refused")
    }
}

impl<'a> DeserializeSeed<'a> for Node<'_, '_, 'a> {
    type Value = Raw<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Raw<'a>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// The members of an object.
#[derive(Clone, Copy, PartialEq)]
enum Member {
    Tag,
    Type,
    Value,
    Name,
}

impl<'a> Visitor<'a> for Node<'_, '_, 'a> {
    type Value = Raw<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tag, type and value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Raw<'a>, A::Error> {
        self.state.count().map_err(|kind| self.refuse(kind))?;
        let (mut tag, mut item_type, mut value) = (None, None, None);
        let (mut named, mut offset, mut entered) = (false, 0, false);
        while let Some(member) = map.next_key_seed(Key(self))? {
            let twice = match member {
                Member::Tag => tag.is_some(),
                Member::Type => item_type.is_some(),
                Member::Value => value.is_some(),
                Member::Name => named,
            };
            if twice {
                return Err(self.refuse(DecodeErrorKind::DuplicateMember));
            }
            match member {
                Member::Tag => {
                    let (found, at) = map.next_value_seed(Word(self, raw::tag))?;
                    (tag, offset) = (Some(found), at);
                    self.state.enter(found);
                    entered = true;
                }
                Member::Type => item_type = Some(map.next_value_seed(Word(self, raw::item_type))?.0),
                Member::Value => value = Some(map.next_value_seed(Content(self))?),
                Member::Name => {
                    map.next_value::<IgnoredAny>()?;
                    named = true;
                }
            }
        }
        let tag: Tag = tag.ok_or_else(|| self.refuse(DecodeErrorKind::UnknownName))?;
        let item_type = item_type.unwrap_or(ItemType::Structure);
        let value = match (item_type, value) {
            (ItemType::Structure, None) => RawValue::Structure(Vec::new()),
            (ItemType::Structure, Some(RawValue::Structure(children))) => RawValue::Structure(children),
            (_, None | Some(RawValue::Structure(_))) | (ItemType::Structure, Some(_)) => {
                return Err(self.refuse(DecodeErrorKind::BadValue(item_type)));
            }
            (_, Some(value)) => value,
        };
        self.state.notice(tag, &value);
        if entered {
            self.state.leave();
        }
        Ok(Raw { tag, offset, item_type, value })
    }
}

/// Reads the name of a member.
struct Key<'s, 'l, 'a>(Node<'s, 'l, 'a>);

impl<'a> DeserializeSeed<'a> for Key<'_, '_, 'a> {
    type Value = Member;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key<'_, '_, 'a> {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tag, type, value or name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Member, E> {
        match key {
            "tag" => Ok(Member::Tag),
            "type" => Ok(Member::Type),
            "value" => Ok(Member::Value),
            "name" => Ok(Member::Name),
            _ => Err(self.0.refuse(DecodeErrorKind::UnknownName)),
        }
    }
}

/// Reads a text that a function understands, with its place.
struct Word<'s, 'l, 'a, T>(Node<'s, 'l, 'a>, fn(&str) -> Result<T, DecodeErrorKind>);

impl<'a, T> DeserializeSeed<'a> for Word<'_, '_, 'a, T> {
    type Value = (T, usize);

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(T, usize), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T> Visitor<'_> for Word<'_, '_, '_, T> {
    type Value = (T, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name or a number in hex")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<(T, usize), E> {
        let found = (self.1)(word).map_err(|kind| self.0.refuse(kind))?;
        Ok((found, offset_in(self.0.text, word).unwrap_or(0)))
    }
}

/// Reads a value of whatever kind.
struct Content<'s, 'l, 'a>(Node<'s, 'l, 'a>);

impl<'a> DeserializeSeed<'a> for Content<'_, '_, 'a> {
    type Value = RawValue<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<RawValue<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Content<'_, '_, 'a> {
    type Value = RawValue<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<RawValue<'a>, E> {
        Ok(RawValue::Text(Text::Plain(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawValue<'a>, E> {
        Ok(RawValue::Text(Text::Owned(Zeroizing::new(text.to_owned()))))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RawValue<'a>, E> {
        Ok(RawValue::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<RawValue<'a>, E> {
        Ok(RawValue::Number(number.into()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<RawValue<'a>, E> {
        Ok(RawValue::Boolean(value))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<RawValue<'a>, A::Error> {
        let (node, state) = (self.0, self.0.state);
        state.deeper().map_err(|kind| node.refuse(kind))?;
        let mut children = Vec::new();
        while let Some(child) = sequence.next_element_seed(node)? {
            children.push(child);
        }
        state.higher();
        Ok(RawValue::Structure(children))
    }
}
