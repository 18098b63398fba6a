//! A cursor over the fields of one structure.
//!
//! Fields are asked for by tag, in any order; [`Reader::finish`] then refuses whatever was not asked for. A field that
//! is found where the standard puts it costs one comparison, one that is out of order a search.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::spec::tags::Tag;
use crate::ttlv::children::{Head, Place};
use crate::ttlv::{Children, Item, ItemType, Value};
use crate::version::ProtocolVersion;

/// What decoding needs to know besides the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// The version whose tables apply.
    pub version: ProtocolVersion,
    /// Fields no table names are skipped: the peer speaks a higher minor version than we do.
    pub ignore_unknown: bool,
}

impl Context {
    /// The context for a message of this version.
    ///
    /// # Errors
    ///
    /// `UnsupportedVersion` when there are no tables for the major version.
    pub fn new(version: ProtocolVersion) -> Result<Self, DecodeError> {
        match version.nearest() {
            Some(nearest) => Ok(Self { version: nearest, ignore_unknown: nearest != version }),
            None => Err(DecodeError::new(0, DecodeErrorKind::UnsupportedVersion(version))),
        }
    }
}

/// Takes the fields of a structure one after the other.
pub struct Reader<'r, 'a> {
    structure: &'r Item<'a>,
    children: &'r Children<'a>,
    /// Where the next field is expected.
    next: Place,
    /// Everything before this has been taken.
    first_left: Place,
    /// Which children have been taken; the first 64 without allocating.
    taken: u64,
    taken_further: Vec<bool>,
    /// How many children there are, and how many were taken.
    count: usize,
    taken_count: usize,
    /// A bit for the low six bits of each child's tag: fields that are absent, as most are, cost one look.
    present: u64,
    /// The same for what may be there twice.
    twice: u64,
    context: Context,
}

impl<'r, 'a> Reader<'r, 'a> {
    /// Starts at the first field of `structure`.
    ///
    /// # Errors
    ///
    /// `WrongType` when the item is not a structure.
    pub fn new(structure: &'r Item<'a>, context: Context) -> Result<Self, DecodeError> {
        let Value::Structure(children) = &structure.value else {
            return Err(wrong_type(structure, ItemType::Structure));
        };
        let (mut count, mut present, mut twice) = (0, 0, 0);
        let mut at = Place::default();
        while let Some((head, next)) = children.head(at) {
            twice |= present & bit(head.tag);
            present |= bit(head.tag);
            count += 1;
            at = next;
        }
        Ok(Self {
            structure,
            children,
            next: Place::default(),
            first_left: Place::default(),
            taken: 0,
            taken_further: Vec::new(),
            count,
            taken_count: 0,
            present,
            twice,
            context,
        })
    }

    /// The version whose tables apply, and how strict to be.
    pub const fn context(&self) -> Context {
        self.context
    }

    /// Takes the only field with this tag, if there is one.
    ///
    /// # Errors
    ///
    /// `DuplicateField` when there are two.
    pub fn optional(&mut self, tag: Tag) -> Result<Option<Item<'a>>, DecodeError> {
        let Some(found) = self.take(tag) else { return Ok(None) };
        if self.twice & bit(tag) == 0 {
            return Ok(Some(found));
        }
        match self.find(tag) {
            None => Ok(Some(found)),
            Some(second) => {
                let offset = self.children.item(second).map_or(self.structure.offset, |item| item.offset);
                Err(self.error(offset, DecodeErrorKind::DuplicateField(tag)))
            }
        }
    }

    /// Takes the only field with this tag.
    ///
    /// # Errors
    ///
    /// `MissingField` when there is none, `DuplicateField` when there are two.
    pub fn required(&mut self, tag: Tag) -> Result<Item<'a>, DecodeError> {
        match self.optional(tag)? {
            Some(found) => Ok(found),
            None => Err(self.missing(tag)),
        }
    }

    /// Looks at the first field with this tag without taking it.
    pub fn peek(&self, tag: Tag) -> Option<Item<'a>> {
        let head = self.heads().find(|head| head.tag == tag)?;
        self.children.item(head)
    }

    /// Takes the next field with this tag; called until it returns `None` for fields that may repeat.
    pub fn take(&mut self, tag: Tag) -> Option<Item<'a>> {
        if self.present & bit(tag) == 0 {
            return None;
        }
        if let Some((head, next)) = self.children.head(self.next)
            && head.tag == tag
            && !self.is_taken(head.position)
        {
            self.next = next;
            self.mark(head.position);
            return self.children.item(head);
        }
        let head = self.find(tag)?;
        self.mark(head.position);
        self.next = self.children.after(head);
        self.children.item(head)
    }

    /// Takes every field with this tag, in the order of the message.
    pub fn repeated(&mut self, tag: Tag) -> Vec<Item<'a>> {
        let mut found = Vec::new();
        if self.present & bit(tag) == 0 {
            return found;
        }
        let mut at = Place::default();
        while let Some((head, next)) = self.children.head(at) {
            if head.tag == tag && !self.is_taken(head.position) {
                self.mark(head.position);
                self.next = next;
                found.extend(self.children.item(head));
            }
            at = next;
        }
        found
    }

    /// Takes the first field that is left, whatever its tag, for structures whose fields are found by their tags.
    pub fn any(&mut self) -> Option<Item<'a>> {
        while let Some((head, next)) = self.children.head(self.first_left) {
            self.first_left = next;
            if !self.is_taken(head.position) {
                self.mark(head.position);
                return self.children.item(head);
            }
        }
        None
    }

    fn heads(&self) -> impl Iterator<Item = Head> + '_ {
        let mut at = Place::default();
        std::iter::from_fn(move || {
            let (head, next) = self.children.head(at)?;
            at = next;
            Some(head)
        })
    }

    /// The first field with this tag that is left.
    fn find(&self, tag: Tag) -> Option<Head> {
        self.heads().find(|head| head.tag == tag && !self.is_taken(head.position))
    }

    /// Ends the structure.
    ///
    /// # Errors
    ///
    /// `UnexpectedField` or `UnknownTag` when a field was not taken, unless such fields are to be ignored.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.context.ignore_unknown || self.taken_count == self.count {
            return Ok(());
        }
        let left = self.heads().find(|head| !self.is_taken(head.position));
        let Some(child) = left.and_then(|head| self.children.item(head)) else { return Ok(()) };
        let kind = if child.tag.is_defined(self.context.version) {
            DecodeErrorKind::UnexpectedField(child.tag)
        } else {
            DecodeErrorKind::UnknownTag(child.tag)
        };
        Err(self.error(child.offset, kind))
    }

    /// The error of a field that this structure lacks.
    pub fn missing(&self, tag: Tag) -> DecodeError {
        self.error(self.structure.offset, DecodeErrorKind::MissingField(tag))
    }

    /// An error about this structure.
    pub fn error(&self, offset: usize, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(offset, kind).within(self.structure.tag)
    }

    /// Adds this structure to the path of an error about one of its fields.
    pub fn within(&self, error: DecodeError) -> DecodeError {
        error.within(self.structure.tag)
    }

    fn is_taken(&self, position: usize) -> bool {
        match position.checked_sub(64) {
            None => self.taken & (1 << position) != 0,
            Some(further) => self.taken_further.get(further).copied().unwrap_or(false),
        }
    }

    fn mark(&mut self, position: usize) {
        self.taken_count += 1;
        match position.checked_sub(64) {
            None => self.taken |= 1 << position,
            Some(further) => {
                if self.taken_further.len() <= further {
                    self.taken_further.resize(further + 1, false);
                }
                if let Some(flag) = self.taken_further.get_mut(further) {
                    *flag = true;
                }
            }
        }
    }
}

/// The bit that stands for a tag among 64.
const fn bit(tag: Tag) -> u64 {
    1 << (tag.number() & 63)
}

/// The error of a leaf or structure that is of another type than its field says.
pub(crate) fn wrong_type(item: &Item<'_>, expected: ItemType) -> DecodeError {
    let found = item.value.item_type();
    DecodeError::new(item.offset, DecodeErrorKind::WrongType { expected, found }).within(item.tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::V1_0;

    #[test]
    fn fields_far_beyond_the_first_64_are_taken_once_each() {
        let children: Vec<_> = (0..200).map(|at| Item::new(Tag::D, Value::Integer(at))).collect();
        let structure = Item::new(Tag::ATTRIBUTE, Value::Structure(children.into()));
        let context = Context::new(V1_0).expect("supported");
        let mut reader = Reader::new(&structure, context).expect("a structure");
        assert_eq!(reader.repeated(Tag::D).len(), 200);
        assert!(reader.take(Tag::D).is_none() && reader.any().is_none());
        assert_eq!(reader.finish(), Ok(()));

        let mut reader = Reader::new(&structure, context).expect("a structure");
        let count = std::iter::from_fn(|| reader.any()).count();
        assert_eq!(count, 200);
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn what_is_left_is_found_before_and_after_what_was_taken() {
        let tags = [Tag::P, Tag::Q, Tag::G];
        let children = tags.map(|tag| Item::new(tag, Value::Integer(0))).to_vec();
        let structure = Item::new(Tag::ATTRIBUTE, Value::Structure(children.into()));
        let mut reader = Reader::new(&structure, Context::new(V1_0).expect("supported")).expect("a structure");
        assert!(reader.take(Tag::Q).is_some());
        let left: Vec<_> = std::iter::from_fn(|| reader.any()).map(|item| item.tag).collect();
        assert_eq!(left, [Tag::P, Tag::G]);
    }
}
