//! What several payloads share.

use crate::attribute::Attributes;
use crate::codec::{Codec, DateTime, FieldGroup, Interval, fields};
use crate::error::DecodeError;
use crate::fuzzing::{Sample, Seeds};
use crate::identifier::UniqueIdentifier;
use crate::secret::SecretBytes;
use crate::spec::enums::{DataEnumeration, ObjectType, Operation};
use crate::spec::masks::ProtectionStorageMask;
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, Reader, Value, Writer};
use crate::version::{ProtocolVersion, V2_0};

/// The data of a cryptographic operation: bytes, or from 2.0 what an earlier item of the batch returned
/// (KMIP 2.1 §7.9).
#[derive(PartialEq, Debug)]
pub enum Data {
    /// The bytes themselves.
    Bytes(SecretBytes),
    /// The output of an earlier operation.
    Enumeration(DataEnumeration),
    /// The n-th output of the batch.
    Integer(i32),
}

impl Data {
    /// The bytes, when they are given as such.
    pub const fn as_bytes(&self) -> Option<&SecretBytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl Codec for Data {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        match item.value {
            Value::Enumeration(number) if context.version >= V2_0 => {
                Ok(Self::Enumeration(DataEnumeration::from_number(number)))
            }
            Value::Integer(position) if context.version >= V2_0 => Ok(Self::Integer(position)),
            _ => SecretBytes::decode(item, context).map(Self::Bytes),
        }
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        match self {
            Self::Bytes(bytes) => bytes.encode(tag, writer),
            Self::Enumeration(value) => value.encode(tag, writer),
            Self::Integer(position) => writer.integer(tag, *position),
        }
    }
}

impl Sample for Data {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        match seeds.below(if version >= V2_0 { 3 } else { 1 }) {
            0 => Self::Bytes(Sample::sample(seeds, version)),
            1 => Self::Enumeration(Sample::sample(seeds, version)),
            _ => Self::Integer(Sample::sample(seeds, version)),
        }
    }
}

/// When a ticket ends: after a span, or at a time (KMIP 2.0 §6.1.10, §6.1.29).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TicketLease {
    /// So long after it was given out; 0 is without an end.
    For(Interval),
    /// Then.
    Until(DateTime),
}

impl Codec for TicketLease {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        match item.value {
            Value::DateTime(_) => DateTime::decode(item, context).map(Self::Until),
            _ => Interval::decode(item, context).map(Self::For),
        }
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        match self {
            Self::For(span) => span.encode(tag, writer),
            Self::Until(time) => time.encode(tag, writer),
        }
    }
}

impl Sample for TicketLease {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        match seeds.below(2) {
            0 => Self::For(Sample::sample(seeds, version)),
            _ => Self::Until(Sample::sample(seeds, version)),
        }
    }
}

/// Whatever else a structure holds, under tags of a vendor's choice.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct VendorItems(pub Vec<Item<'static>>);

impl FieldGroup for VendorItems {
    fn take(reader: &mut Reader<'_, '_>) -> Result<Self, DecodeError> {
        let mut items = Vec::new();
        while let Some(item) = reader.any() {
            items.push(item.into_owned());
        }
        Ok(Self(items))
    }

    fn put(&self, writer: &mut Writer) {
        self.0.iter().for_each(|item| writer.item(item));
    }
}

impl Sample for VendorItems {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        Self((0..seeds.below(3)).map(|_| Sample::sample(seeds, version)).collect())
    }
}

fields! {
    /// Where a new object may be kept, any of the masks (KMIP 2.0 §5.8).
    #[derive(Clone, Default)]
    pub struct ProtectionStorageMasks {
        masks: repeated ProtectionStorageMask, [PROTECTION_STORAGE_MASK V2_0..];
    }

    /// Operations (KMIP 2.1 §7.25).
    #[derive(Clone, Default)]
    pub struct Operations {
        operations: repeated Operation, [OPERATION V2_0..];
    }

    /// Objects (KMIP 2.1 §7.22).
    #[derive(Clone, Default)]
    pub struct Objects {
        unique_identifiers: repeated UniqueIdentifier, [UNIQUE_IDENTIFIER V2_0..];
    }

    /// Object groups (KMIP 2.1 §7.24).
    #[derive(Clone, Default)]
    pub struct ObjectGroups {
        object_groups: repeated String, [OBJECT_GROUP V2_1..=V2_1];
    }

    /// Object types (KMIP 2.1 §7.26).
    #[derive(Clone, Default)]
    pub struct ObjectTypes {
        object_types: repeated ObjectType, [OBJECT_TYPE V2_1..];
    }

    /// Attributes that objects get by default (KMIP 2.0 §5.24).
    #[derive(Clone, Default)]
    pub struct DefaultsInformation {
        object_defaults: repeated ObjectDefaults, [OBJECT_DEFAULTS V2_0..];
    }

    /// The defaults of some objects; one of type and types is there (KMIP 2.1 §7.23).
    #[derive(Clone)]
    pub struct ObjectDefaults {
        object_type: optional ObjectType, [OBJECT_TYPE V2_0..];
        object_types: optional ObjectTypes, [OBJECT_TYPES V2_1..];
        attributes: required Attributes, [ATTRIBUTES V2_0..];
        object_groups: optional ObjectGroups, [OBJECT_GROUPS V2_1..=V2_1];
    }
}
