//! The items of a structure, read when they are looked at.
//!
//! `parse` checks a whole message once and keeps nothing but the place of its first structure; what is in it is read again,
//! item by item, when somebody asks. So decoding items allocates nothing, however many there are, and costs the same
//! memory for a message of a hundred bytes and one of sixteen megabytes.

use std::slice;

use super::parse;
use super::{HEADER_BYTES, Item};
use crate::spec::tags::Tag;

/// The items of a structure, in the order of the message.
#[derive(Clone)]
pub struct Children<'a>(Kept<'a>);

#[derive(Clone)]
enum Kept<'a> {
    /// As they lie in a message that has been checked, and where they begin in it.
    Encoded { body: &'a [u8], offset: usize },
    /// Put together by hand.
    Made(Vec<Item<'a>>),
}

/// One item without its value: which it is, and how to get at it.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) tag: Tag,
    /// How many stand before it.
    pub(super) position: usize,
    place: usize,
}

/// Where to go on looking.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    position: usize,
    byte: usize,
}

impl<'a> Children<'a> {
    /// Bytes that `parse` has checked.
    pub(super) const fn encoded(body: &'a [u8], offset: usize) -> Self {
        Self(Kept::Encoded { body, offset })
    }

    /// The items.
    pub fn iter(&self) -> Items<'_, 'a> {
        Items(match &self.0 {
            Kept::Encoded { body, offset } => Left::Encoded { body, offset: *offset },
            Kept::Made(items) => Left::Made(items.iter()),
        })
    }

    /// Tells whether there is none.
    pub const fn is_empty(&self) -> bool {
        match &self.0 {
            Kept::Encoded { body, .. } => body.is_empty(),
            Kept::Made(items) => items.is_empty(),
        }
    }

    /// The head at a place, and the place behind it.
    pub(super) fn head(&self, at: Place) -> Option<(Head, Place)> {
        let (tag, place, byte) = match &self.0 {
            Kept::Encoded { body, .. } => {
                let (tag, length) = parse::head(body.get(at.byte..)?)?;
                (tag, at.byte, at.byte + HEADER_BYTES + length.next_multiple_of(8))
            }
            Kept::Made(items) => (items.get(at.position)?.tag, at.position, 0),
        };
        let position = at.position;
        Some((Head { tag, position, place }, Place { position: position + 1, byte }))
    }

    /// The place behind a head.
    pub(super) fn after(&self, head: Head) -> Place {
        let at = match &self.0 {
            Kept::Encoded { .. } => Place { position: head.position, byte: head.place },
            Kept::Made(_) => Place { position: head.position, byte: 0 },
        };
        self.head(at).map_or(at, |(_, next)| next)
    }

    /// The item of a head.
    pub(super) fn item(&self, head: Head) -> Option<Item<'a>> {
        match &self.0 {
            Kept::Encoded { body, offset } => {
                parse::checked(body.get(head.place..)?, offset + head.place).map(|(item, _)| item)
            }
            Kept::Made(items) => items.get(head.place).cloned(),
        }
    }
}

impl<'a> From<Vec<Item<'a>>> for Children<'a> {
    fn from(items: Vec<Item<'a>>) -> Self {
        Self(Kept::Made(items))
    }
}

impl<'a> FromIterator<Item<'a>> for Children<'a> {
    fn from_iter<I: IntoIterator<Item = Item<'a>>>(items: I) -> Self {
        Self(Kept::Made(items.into_iter().collect()))
    }
}

impl Default for Children<'_> {
    fn default() -> Self {
        Self(Kept::Made(Vec::new()))
    }
}

impl PartialEq for Children<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'c, 'a> IntoIterator for &'c Children<'a> {
    type Item = Item<'a>;
    type IntoIter = Items<'c, 'a>;

    fn into_iter(self) -> Items<'c, 'a> {
        self.iter()
    }
}

/// The items of a structure one after the other.
#[derive(Clone)]
pub struct Items<'c, 'a>(Left<'c, 'a>);

#[derive(Clone)]
enum Left<'c, 'a> {
    Encoded { body: &'a [u8], offset: usize },
    Made(slice::Iter<'c, Item<'a>>),
}

impl Items<'_, '_> {
    /// No items: those of a leaf.
    pub(super) fn none() -> Self {
        Self(Left::Made([].iter()))
    }
}

impl<'a> Iterator for Items<'_, 'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        match &mut self.0 {
            Left::Encoded { body, offset } => {
                let (item, length) = parse::checked(body, *offset)?;
                *body = body.get(length..)?;
                *offset += length;
                Some(item)
            }
            Left::Made(items) => items.next().cloned(),
        }
    }
}
