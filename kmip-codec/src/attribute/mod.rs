//! Attributes: one canonical set, whatever the version.
//!
//! An [`Attribute`] is a kind, an instance index and a value with the shape of its row in `spec::attributes`. `template`
//! writes and reads the 1.x form (names, indices), `structured` the form of 2.0 and later (tags). What a version does
//! not define is left out when writing for it, so one set can be sent to every client.
//!
//! Two things have different names in different versions and one name here: custom attributes `x-NAME` and `y-NAME` of
//! 1.x are vendor attributes (x, NAME) and (y, NAME); the typed links of 3.0 are `Link` with a link type.

use crate::codec::{Codec, DateTime, Interval};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::identifier::UniqueIdentifier;
use crate::spec::attributes::{self as table, AttributeRow, Shape};
use crate::spec::enums::EnumRow;
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, Reader, Value, Writer};
use crate::version::{ProtocolVersion, V2_0, V3_0};

mod sample;
mod structured;
mod template;
mod values;

pub(crate) use sample::of_row as sample_of_row;
pub use values::{
    AlternativeName, ApplicationSpecificInformation, CertificateIdentifier, CertificateIssuer, CertificateSubject,
    CryptographicDomainParameters, CryptographicParameters, DeactivationReason, Digest, KeyValueLocation, Link, Name,
    NameFields, Nonce, RevocationReason, RngParameters, RotateName, UsageLimits, X509CertificateIdentifier,
    X509CertificateIssuer, X509CertificateSubject,
};

/// Which attribute.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum AttributeKind {
    /// An attribute of the standard, by its tag.
    Standard(Tag),
    /// An attribute of a vendor; vendor `x` is the client, `y` the server.
    Vendor {
        /// The vendor identification.
        vendor: String,
        /// The name.
        name: String,
    },
    /// What the version does not define: a name in 1.x, from 2.0 the tag of a reference in hex.
    Unknown(String),
}

impl AttributeKind {
    /// The kind with this 1.x name, as `version` understands it.
    pub fn from_name(name: &str, version: ProtocolVersion) -> Self {
        if let Some(row) = table::by_name(name, version) {
            return Self::Standard(row.tag);
        }
        match name.split_once('-') {
            Some((vendor @ ("x" | "y"), rest)) => Self::Vendor { vendor: vendor.to_owned(), name: rest.to_owned() },
            _ => Self::Unknown(name.to_owned()),
        }
    }

    /// The name a 1.x version gives this kind; `None` when the version does not have it.
    pub fn name(&self, version: ProtocolVersion) -> Option<String> {
        match self {
            Self::Standard(tag) => table::by_tag(*tag, version).map(|row| row.name.to_owned()),
            Self::Vendor { vendor, name } if matches!(vendor.as_str(), "x" | "y") => Some(format!("{vendor}-{name}")),
            Self::Vendor { .. } => None,
            Self::Unknown(name) => Some(name.clone()),
        }
    }

    /// The row of a standard attribute, in whatever version.
    pub fn row(&self) -> Option<&'static AttributeRow> {
        match self {
            Self::Standard(tag) => table::any_by_tag(*tag),
            _ => None,
        }
    }

    /// Tells whether `version` can name this kind.
    pub fn is_defined(&self, version: ProtocolVersion) -> bool {
        match self {
            Self::Standard(tag) => table::by_tag(*tag, version).is_some(),
            Self::Vendor { vendor, .. } => version >= V2_0 || matches!(vendor.as_str(), "x" | "y"),
            Self::Unknown(_) => version < V2_0,
        }
    }
}

impl From<Tag> for AttributeKind {
    fn from(tag: Tag) -> Self {
        Self::Standard(tag)
    }
}

/// A reference to an attribute: its name as text in 1.x, its tag or vendor and name from 2.0 (KMIP 2.0 §5.5).
impl Codec for AttributeKind {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        if context.version < V2_0 {
            return template::decode_name(item, context);
        }
        structured::decode_reference(item, context)
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        if writer.version() >= V2_0 {
            structured::encode_reference(self, tag, writer);
        } else if let Some(name) = self.name(writer.version()) {
            writer.text_string(tag, &name);
        }
    }
}

/// The value of an attribute, one variant a shape.
#[derive(Clone, PartialEq, Debug)]
pub enum AttributeValue {
    /// Integer.
    Integer(i32),
    /// Long Integer.
    LongInteger(i64),
    /// Boolean.
    Boolean(bool),
    /// Enumeration; the row of the kind says which.
    Enumeration(u32),
    /// Mask; the row of the kind says which.
    Mask(u32),
    /// Text String.
    Text(String),
    /// Byte String.
    Bytes(Vec<u8>),
    /// Date-Time.
    DateTime(DateTime),
    /// Interval.
    Interval(Interval),
    /// A unique identifier.
    Identifier(UniqueIdentifier),
    /// Another object (3.0).
    Reference(UniqueIdentifier),
    /// Name.
    Name(Name),
    /// Link.
    Link(Link),
    /// Cryptographic Parameters.
    CryptographicParameters(Box<CryptographicParameters>),
    /// Cryptographic Domain Parameters.
    CryptographicDomainParameters(CryptographicDomainParameters),
    /// X.509 Certificate Identifier.
    X509CertificateIdentifier(X509CertificateIdentifier),
    /// X.509 Certificate Subject.
    X509CertificateSubject(X509CertificateSubject),
    /// X.509 Certificate Issuer.
    X509CertificateIssuer(X509CertificateIssuer),
    /// Certificate Identifier.
    CertificateIdentifier(CertificateIdentifier),
    /// Certificate Subject.
    CertificateSubject(CertificateSubject),
    /// Certificate Issuer.
    CertificateIssuer(CertificateIssuer),
    /// Digest.
    Digest(Digest),
    /// Usage Limits.
    UsageLimits(UsageLimits),
    /// Revocation Reason.
    RevocationReason(RevocationReason),
    /// Deactivation Reason.
    DeactivationReason(DeactivationReason),
    /// Application Specific Information.
    ApplicationSpecificInformation(ApplicationSpecificInformation),
    /// Alternative Name.
    AlternativeName(AlternativeName),
    /// Key Value Location.
    KeyValueLocation(KeyValueLocation),
    /// RNG Parameters.
    RngParameters(RngParameters),
    /// Rotate Name.
    RotateName(RotateName),
    /// Whatever a vendor attribute or an unknown one holds.
    Other(Value<'static>),
}

/// Walks the shapes that are one `Codec` type each.
macro_rules! by_shape {
    ($($shape:ident),+) => {
        impl AttributeValue {
            /// Reads a value of this shape.
            fn decode(shape: Shape, item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
                match shape {
                    $(Shape::$shape => Codec::decode(item, context).map(Self::$shape),)+
                    Shape::CryptographicParameters => {
                        Codec::decode(item, context).map(|value| Self::CryptographicParameters(Box::new(value)))
                    }
                    Shape::Enumeration(_) => enumeration(item),
                    Shape::Mask(_) => i32::decode(item, context).map(|bits| Self::Mask(bits.cast_unsigned())),
                    Shape::Reference => UniqueIdentifier::decode(item, context).map(Self::Reference),
                    Shape::Identifier => UniqueIdentifier::decode(item, context).map(Self::Identifier),
                }
            }

            /// Writes the value under `tag`.
            fn encode(&self, tag: Tag, writer: &mut Writer) {
                match self {
                    $(Self::$shape(value) => value.encode(tag, writer),)+
                    Self::CryptographicParameters(value) => value.encode(tag, writer),
                    Self::Enumeration(number) => writer.enumeration(tag, *number),
                    Self::Mask(bits) => writer.integer(tag, bits.cast_signed()),
                    Self::Reference(value) => value.encode_reference(tag, writer),
                    Self::Identifier(value) => value.encode(tag, writer),
                    Self::Other(value) => writer.value(tag, value),
                }
            }
        }
    };
}

by_shape! {
    Integer, LongInteger, Boolean, Text, Bytes, DateTime, Interval, Name, Link, CryptographicDomainParameters,
    X509CertificateIdentifier, X509CertificateSubject, X509CertificateIssuer, CertificateIdentifier,
    CertificateSubject, CertificateIssuer, Digest, UsageLimits, RevocationReason, DeactivationReason,
    ApplicationSpecificInformation, AlternativeName, KeyValueLocation, RngParameters, RotateName
}

fn enumeration(item: &Item<'_>) -> Result<AttributeValue, DecodeError> {
    match item.value {
        Value::Enumeration(number) => Ok(AttributeValue::Enumeration(number)),
        _ => Err(crate::ttlv::wrong_type(item, crate::ttlv::ItemType::Enumeration)),
    }
}

/// One attribute of an object.
#[derive(Clone, PartialEq, Debug)]
pub struct Attribute {
    /// Which attribute.
    pub kind: AttributeKind,
    /// Which instance, in 1.x; absent means 0.
    pub index: Option<i32>,
    /// Its value; absent only in a 1.x Notify of a deleted attribute (KMIP 1.4 §2.1.1).
    pub value: Option<AttributeValue>,
}

impl Attribute {
    /// The first or only instance of an attribute.
    pub fn new(kind: impl Into<AttributeKind>, value: AttributeValue) -> Self {
        Self { kind: kind.into(), index: None, value: Some(value) }
    }

    /// The tag under which `version`, 2.0 or later, writes this attribute; links differ by link type in 3.0.
    pub fn tag(&self, version: ProtocolVersion) -> Option<Tag> {
        match (&self.kind, &self.value) {
            (AttributeKind::Standard(Tag::LINK), Some(AttributeValue::Link(link))) if version >= V3_0 => {
                table::link_tag(link.link_type)
            }
            (AttributeKind::Standard(tag), _) => table::by_tag(*tag, version).map(|row| row.tag),
            (AttributeKind::Vendor { .. }, _) => Some(Tag::ATTRIBUTE),
            (AttributeKind::Unknown(_), _) => None,
        }
    }

    /// The kind as `version` lists it: in 3.0 each type of link is an attribute of its own.
    pub fn kind_in(&self, version: ProtocolVersion) -> AttributeKind {
        match self.tag(version) {
            Some(tag) if tag != Tag::ATTRIBUTE && version >= V2_0 => AttributeKind::Standard(tag),
            _ => self.kind.clone(),
        }
    }

    /// Tells whether `version` defines the attribute and, for enumerations and identifiers, its value.
    ///
    /// Extension values (8xxxxxxx) are nobody's business but the peers', so they pass.
    pub fn is_defined(&self, version: ProtocolVersion) -> bool {
        let known = |rows: &[EnumRow], number: u32| {
            number >= 0x8000_0000 || rows.iter().any(|row| row.number == number && row.versions.contains(version))
        };
        let kind_is_known = if version >= V2_0 { self.tag(version).is_some() } else { self.kind.is_defined(version) };
        kind_is_known
            && match (&self.value, self.kind.row().map(|row| row.shape)) {
                (Some(AttributeValue::Enumeration(number)), Some(Shape::Enumeration(rows))) => known(rows, *number),
                (Some(AttributeValue::Link(link)), _) => {
                    link.target.is_defined(version) && (version >= V3_0 || link.link_type.is_defined(version))
                }
                (Some(AttributeValue::Identifier(identifier) | AttributeValue::Reference(identifier)), _) => {
                    identifier.is_defined(version)
                }
                _ => true,
            }
    }
}

/// A single attribute as a field: `Attribute` in 1.x, `Current Attribute` and `New Attribute` around one from 2.0.
impl Codec for Attribute {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        if context.version < V2_0 {
            return template::decode_attribute(item, context);
        }
        let mut reader = Reader::new(item, context)?;
        let Some(child) = reader.any() else {
            return Err(reader.missing(Tag::ATTRIBUTE));
        };
        let attribute = structured::decode_attribute(&child, context).map_err(|error| reader.within(error))?;
        reader.finish()?;
        attribute.ok_or_else(|| reader_error(item, &child))
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        if writer.version() < V2_0 {
            template::encode_attribute(self, tag, writer);
        } else {
            writer.structure(tag, |writer| structured::encode_attribute(self, writer));
        }
    }
}

fn reader_error(item: &Item<'_>, child: &Item<'_>) -> DecodeError {
    DecodeError::new(child.offset, DecodeErrorKind::UnknownAttribute).within(item.tag)
}

/// A set of attributes, in the order they were sent.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Attributes {
    /// Templates whose attributes are to be added; 1.x only (KMIP 1.0 §2.1.8).
    pub templates: Vec<Name>,
    /// The attributes.
    pub items: Vec<Attribute>,
}

impl Attributes {
    /// The first instance of a standard attribute.
    pub fn get(&self, tag: Tag) -> Option<&AttributeValue> {
        self.all(tag).next()
    }

    /// Every instance of a standard attribute.
    pub fn all(&self, tag: Tag) -> impl Iterator<Item = &AttributeValue> {
        self.items
            .iter()
            .filter(move |attribute| attribute.kind == AttributeKind::Standard(tag))
            .filter_map(|attribute| attribute.value.as_ref())
    }

    /// Adds an attribute.
    pub fn push(&mut self, kind: impl Into<AttributeKind>, value: AttributeValue) {
        self.items.push(Attribute::new(kind, value));
    }

    /// The same, for building a set in one expression.
    #[must_use]
    pub fn with(mut self, kind: impl Into<AttributeKind>, value: AttributeValue) -> Self {
        self.push(kind, value);
        self
    }

    /// Drops what `version` does not define, values included, so that an old client understands all it gets.
    pub fn retain_defined(&mut self, version: ProtocolVersion) {
        self.items.retain(|attribute| attribute.is_defined(version));
    }

    /// Tells whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.templates.is_empty()
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute>>(items: I) -> Self {
        Self { templates: Vec::new(), items: items.into_iter().collect() }
    }
}

impl Codec for Attributes {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        if context.version < V2_0 { template::decode(item, context) } else { structured::decode(item, context) }
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        if writer.version() < V2_0 {
            template::encode(self, tag, writer);
        } else {
            structured::encode(self, tag, writer);
        }
    }
}

/// Attributes as fields of the structure around them: repeated `Attribute` in 1.x, one `Attributes` from 2.0, which is
/// always written.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct AttributeList(pub Attributes);

/// The same where `Attributes` is left out when there are none.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct OptionalAttributeList(pub Attributes);

fn take_list(reader: &mut Reader<'_, '_>) -> Result<Attributes, DecodeError> {
    if reader.context().version >= V2_0 {
        let found = reader.optional(Tag::ATTRIBUTES)?;
        return found.map_or_else(
            || Ok(Attributes::default()),
            |item| Attributes::decode(&item, reader.context()).map_err(|error| reader.within(error)),
        );
    }
    reader
        .repeated(Tag::ATTRIBUTE)
        .into_iter()
        .map(|item| template::decode_attribute(&item, reader.context()).map_err(|error| reader.within(error)))
        .collect()
}

fn put_list(list: &Attributes, writer: &mut Writer) {
    if writer.version() >= V2_0 {
        list.encode(Tag::ATTRIBUTES, writer);
    } else {
        list.items.iter().for_each(|attribute| template::encode_attribute(attribute, Tag::ATTRIBUTE, writer));
    }
}

impl crate::codec::FieldGroup for AttributeList {
    fn take(reader: &mut Reader<'_, '_>) -> Result<Self, DecodeError> {
        take_list(reader).map(Self)
    }

    fn put(&self, writer: &mut Writer) {
        put_list(&self.0, writer);
    }
}

impl crate::codec::FieldGroup for OptionalAttributeList {
    fn take(reader: &mut Reader<'_, '_>) -> Result<Self, DecodeError> {
        take_list(reader).map(Self)
    }

    fn put(&self, writer: &mut Writer) {
        if !self.0.items.is_empty() {
            put_list(&self.0, writer);
        }
    }
}
