//! Typed values to items and back, and the `fields!` macro that makes a structure out of a table.
//!
//! A structure is written once, as rows: field, presence, type, tag, versions. Decoding, encoding, documentation and a
//! sample for the round-trip tests come from the rows. A field whose tag or shape differs between versions has several
//! rows whose versions do not overlap.

use std::borrow::Cow;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, ItemType, Reader, Value, Writer, wrong_type};
use crate::version::{ProtocolVersion, VersionRange};

/// A value that is one item.
pub trait Codec: Sized {
    /// Reads the value of `item`, whatever its tag.
    ///
    /// # Errors
    ///
    /// With a path that begins at the tag of `item`.
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError>;

    /// Writes the value under `tag`, in the form the writer's version has.
    fn encode(&self, tag: Tag, writer: &mut Writer);
}

/// Several fields of a structure that belong together, such as the one of many objects a payload carries.
pub trait FieldGroup: Sized {
    /// Takes the fields out of a structure.
    ///
    /// # Errors
    ///
    /// With a path that begins at the structure.
    fn take(reader: &mut Reader<'_, '_>) -> Result<Self, DecodeError>;

    /// Writes the fields.
    fn put(&self, writer: &mut Writer);
}

/// How often a field may occur.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// Once.
    Required,
    /// Once or not at all.
    Optional,
    /// Any number of times.
    Repeated,
    /// Once in the versions of its rows, not at all in others.
    Versioned,
    /// Several tags; a type of its own decides.
    Group,
}

/// One row of the table of a structure.
#[derive(Clone, Copy, Debug)]
pub struct FieldRow {
    /// The name of the field in Rust.
    pub field: &'static str,
    /// How often it may occur.
    pub presence: Presence,
    /// The tag it has in the versions of this row; `None` for groups.
    pub tag: Option<Tag>,
    /// The versions of this row.
    pub versions: VersionRange,
}

/// A structure that was made out of a table.
pub trait Structure: Codec {
    /// Its name in Rust.
    const NAME: &'static str;
    /// Its rows, in the order of the standard.
    const ROWS: &'static [FieldRow];

    /// Reads the fields and leaves what else there is to the caller.
    ///
    /// # Errors
    ///
    /// With a path that begins at the structure.
    fn decode_fields(reader: &mut Reader<'_, '_>) -> Result<Self, DecodeError>;

    /// Writes the fields without the structure around them.
    fn encode_fields(&self, writer: &mut Writer);
}

/// The tags of one field.
pub(crate) type Tags = [(Tag, VersionRange)];

fn tag_in(tags: &Tags, version: ProtocolVersion) -> Option<Tag> {
    tags.iter().find(|(_, versions)| versions.contains(version)).map(|(tag, _)| *tag)
}

pub(crate) fn decode_within<T: Codec>(reader: &Reader<'_, '_>, item: &Item<'_>) -> Result<T, DecodeError> {
    T::decode(item, reader.context()).map_err(|error| reader.within(error))
}

pub(crate) fn take_optional<T: Codec>(reader: &mut Reader<'_, '_>, tags: &Tags) -> Result<Option<T>, DecodeError> {
    let Some(tag) = tag_in(tags, reader.context().version) else { return Ok(None) };
    match reader.optional(tag)? {
        Some(item) => decode_within(reader, &item).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn take_versioned<T: Codec>(reader: &mut Reader<'_, '_>, tags: &Tags) -> Result<Option<T>, DecodeError> {
    match tag_in(tags, reader.context().version) {
        Some(_) => take_required(reader, tags).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn take_required<T: Codec>(reader: &mut Reader<'_, '_>, tags: &Tags) -> Result<T, DecodeError> {
    let tag = tag_in(tags, reader.context().version).or_else(|| tags.first().map(|(tag, _)| *tag));
    match (take_optional(reader, tags)?, tag) {
        (Some(value), _) => Ok(value),
        (None, tag) => Err(reader.missing(tag.unwrap_or(Tag::TAG))),
    }
}

pub(crate) fn take_repeated<T: Codec>(reader: &mut Reader<'_, '_>, tags: &Tags) -> Result<Vec<T>, DecodeError> {
    let Some(tag) = tag_in(tags, reader.context().version) else { return Ok(Vec::new()) };
    reader.repeated(tag).into_iter().map(|item| decode_within(reader, &item)).collect()
}

pub(crate) fn put_all<'v, T: Codec + 'v>(values: impl IntoIterator<Item = &'v T>, writer: &mut Writer, tags: &Tags) {
    if let Some(tag) = tag_in(tags, writer.version()) {
        for value in values {
            value.encode(tag, writer);
        }
    }
}

macro_rules! field_type {
    (required $type:ty) => { $type };
    (optional $type:ty) => { Option<$type> };
    (repeated $type:ty) => { Vec<$type> };
    (versioned $type:ty) => { Option<$type> };
    (group $type:ty) => { $type };
}
pub(crate) use field_type;

macro_rules! field_presence {
    (required) => {
        $crate::codec::Presence::Required
    };
    (optional) => {
        $crate::codec::Presence::Optional
    };
    (repeated) => {
        $crate::codec::Presence::Repeated
    };
    (versioned) => {
        $crate::codec::Presence::Versioned
    };
    (group) => {
        $crate::codec::Presence::Group
    };
}
pub(crate) use field_presence;

macro_rules! field_take {
    (required $reader:ident, $tags:expr) => {
        $crate::codec::take_required($reader, $tags)?
    };
    (optional $reader:ident, $tags:expr) => {
        $crate::codec::take_optional($reader, $tags)?
    };
    (repeated $reader:ident, $tags:expr) => {
        $crate::codec::take_repeated($reader, $tags)?
    };
    (versioned $reader:ident, $tags:expr) => {
        $crate::codec::take_versioned($reader, $tags)?
    };
    (group $reader:ident, $tags:expr) => {
        $crate::codec::FieldGroup::take($reader)?
    };
}
pub(crate) use field_take;

macro_rules! field_put {
    (required $value:expr, $writer:ident, $tags:expr) => {
        $crate::codec::put_all([&$value], $writer, $tags)
    };
    (group $value:expr, $writer:ident, $tags:expr) => {
        $crate::codec::FieldGroup::put(&$value, $writer)
    };
    ($presence:ident $value:expr, $writer:ident, $tags:expr) => {
        $crate::codec::put_all(&$value, $writer, $tags)
    };
}
pub(crate) use field_put;

macro_rules! field_sample {
    (required $type:ty, $seeds:ident, $version:ident, $tags:expr) => {
        <$type as $crate::fuzzing::Sample>::sample($seeds, $version)
    };
    (group $type:ty, $seeds:ident, $version:ident, $tags:expr) => {
        <$type as $crate::fuzzing::Sample>::sample($seeds, $version)
    };
    ($presence:ident $type:ty, $seeds:ident, $version:ident, $tags:expr) => {
        $crate::fuzzing::$presence::<$type>($seeds, $version, $tags)
    };
}
pub(crate) use field_sample;

/// Makes structures out of tables; see the module text.
///
/// A row is `name: presence Type, [TAG versions] …;`. A group has no tags of its own.
macro_rules! fields {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $presence:ident $type:ty $(, $([$tag:ident $($versions:tt)+])+)?;)*
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Debug, PartialEq)]
        $vis struct $name {
            $(
                $(#[$field_meta])*
                #[doc = concat!(stringify!($presence), $($(" · ", stringify!($tag), " ", $(stringify!($versions),)+)+)?)]
                pub $field: $crate::codec::field_type!($presence $type),
            )*
        }

        impl $crate::codec::Structure for $name {
            const NAME: &'static str = stringify!($name);
            const ROWS: &'static [$crate::codec::FieldRow] = &[$($($(
                $crate::codec::FieldRow {
                    field: stringify!($field),
                    presence: $crate::codec::field_presence!($presence),
                    tag: Some($crate::spec::tags::Tag::$tag),
                    versions: $crate::version::versions!($($versions)+),
                },
            )+)?)*];

            fn decode_fields(
                reader: &mut $crate::ttlv::Reader<'_, '_>,
            ) -> Result<Self, $crate::error::DecodeError> {
                let _ = &reader; // A structure may have no fields.
                Ok(Self {$(
                    $field: $crate::codec::field_take!($presence reader, const { &[$($(
                        ($crate::spec::tags::Tag::$tag, $crate::version::versions!($($versions)+)),
                    )+)?] }),
                )*})
            }

            fn encode_fields(&self, writer: &mut $crate::ttlv::Writer) {
                let _ = &writer;
                $(
                $crate::codec::field_put!($presence self.$field, writer, const { &[$($(
                    ($crate::spec::tags::Tag::$tag, $crate::version::versions!($($versions)+)),
                )+)?] });
                )*
            }
        }

        impl $crate::codec::Codec for $name {
            fn decode(
                item: &$crate::ttlv::Item<'_>,
                context: $crate::ttlv::Context,
            ) -> Result<Self, $crate::error::DecodeError> {
                let mut reader = $crate::ttlv::Reader::new(item, context)?;
                let value = <Self as $crate::codec::Structure>::decode_fields(&mut reader)?;
                reader.finish()?;
                Ok(value)
            }

            fn encode(&self, tag: $crate::spec::tags::Tag, writer: &mut $crate::ttlv::Writer) {
                writer.structure(tag, |writer| $crate::codec::Structure::encode_fields(self, writer));
            }
        }

        impl $crate::fuzzing::Sample for $name {
            fn sample(seeds: &mut $crate::fuzzing::Seeds, version: $crate::version::ProtocolVersion) -> Self {
                let _ = (&seeds, version);
                Self {$(
                    $field: $crate::codec::field_sample!($presence $type, seeds, version, const { &[$($(
                        ($crate::spec::tags::Tag::$tag, $crate::version::versions!($($versions)+)),
                    )+)?] }),
                )*}
            }
        }
    )+};
}
pub(crate) use fields;

/// Seconds since the POSIX epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DateTime(pub i64);

/// Microseconds since the POSIX epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DateTimeExtended(pub i64);

/// A span in seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Interval(pub u32);

/// Implements [`Codec`] for leaves: type, item type, pattern over the value, result, writer call.
macro_rules! leaves {
    ($($type:ty, $item_type:ident($value:pat) => $made:expr, |$self:ident, $tag:ident, $writer:ident| $put:expr;)+) => {$(
        impl Codec for $type {
            fn decode(item: &Item<'_>, _: Context) -> Result<Self, DecodeError> {
                match &item.value {
                    Value::$item_type($value) => Ok($made),
                    _ => Err(wrong_type(item, ItemType::$item_type)),
                }
            }

            fn encode(&$self, $tag: Tag, $writer: &mut Writer) {
                $put
            }
        }
    )+};
}

leaves! {
    i32, Integer(value) => *value, |self, tag, writer| writer.integer(tag, *self);
    i64, LongInteger(value) => *value, |self, tag, writer| writer.long_integer(tag, *self);
    bool, Boolean(value) => *value, |self, tag, writer| writer.boolean(tag, *self);
    String, TextString(text) => text.to_string(), |self, tag, writer| writer.text_string(tag, self);
    Vec<u8>, ByteString(bytes) => bytes.to_vec(), |self, tag, writer| writer.byte_string(tag, self);
    DateTime, DateTime(value) => Self(*value), |self, tag, writer| writer.date_time(tag, self.0);
    DateTimeExtended, DateTimeExtended(value) => Self(*value), |self, tag, writer| writer.date_time_extended(tag, self.0);
    Interval, Interval(value) => Self(*value), |self, tag, writer| writer.interval(tag, self.0);
    crate::secret::SecretBytes, ByteString(bytes) => Self::copy_of(bytes),
        |self, tag, writer| writer.byte_string(tag, self.expose_secret());
    crate::secret::SecretText, TextString(text) => Self::copy_of(text),
        |self, tag, writer| writer.text_string(tag, self.expose_secret());
}

impl Codec for crate::secret::BigInteger {
    fn decode(item: &Item<'_>, _: Context) -> Result<Self, DecodeError> {
        let Value::BigInteger(bytes) = &item.value else { return Err(wrong_type(item, ItemType::BigInteger)) };
        Self::from_encoded(bytes)
            .ok_or_else(|| DecodeError::new(item.offset, DecodeErrorKind::WrongLength(bytes.len())).within(item.tag))
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        writer.big_integer(tag, self.expose_secret());
    }
}

/// A value of whatever type, where the standard leaves the type open.
impl Codec for Value<'static> {
    fn decode(item: &Item<'_>, _: Context) -> Result<Self, DecodeError> {
        Ok(item.value.clone().into_owned())
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        writer.value(tag, self);
    }
}

/// Takes the text of a text-like item.
pub(crate) fn text_of<'i>(item: &'i Item<'_>) -> Result<&'i str, DecodeError> {
    match &item.value {
        Value::TextString(text) => Ok(Cow::as_ref(text)),
        _ => Err(wrong_type(item, ItemType::TextString)),
    }
}
