//! Random attributes for round-trip tests and fuzzing.

use std::borrow::Cow;

use super::{Attribute, AttributeKind, AttributeList, AttributeValue, Attributes, Link, OptionalAttributeList};
use crate::fuzzing::{Sample, Seeds};
use crate::identifier::UniqueIdentifier;
use crate::spec::attributes::{ATTRIBUTES, AttributeRow, Shape};
use crate::spec::enums::LinkType;
use crate::spec::tags::Tag;
use crate::ttlv::Value;
use crate::version::{ProtocolVersion, V2_0, V3_0};

/// Identifies the sample of one row, for tests that walk the table.
pub(crate) fn of_row(row: &AttributeRow, seeds: &mut Seeds, version: ProtocolVersion) -> Attribute {
    let typed_link = if version >= V3_0 { crate::spec::attributes::link_type(row.tag) } else { None };
    if let Some(link_type) = typed_link {
        let target = reference(seeds, version);
        return Attribute::new(Tag::LINK, AttributeValue::Link(Link { link_type, target }));
    }
    let index = if version < V2_0 && seeds.below(2) == 0 { Some(i32::sample(seeds, version)) } else { None };
    Attribute { kind: row.tag.into(), index, value: Some(value(row.shape, seeds, version)) }
}

fn reference(seeds: &mut Seeds, version: ProtocolVersion) -> UniqueIdentifier {
    match seeds.below(2) {
        0 if version >= V3_0 => UniqueIdentifier::Name(String::sample(seeds, version)),
        _ => UniqueIdentifier::Text(String::sample(seeds, version)),
    }
}

macro_rules! by_shape {
    ($($shape:ident),+) => {
        fn value(shape: Shape, seeds: &mut Seeds, version: ProtocolVersion) -> AttributeValue {
            match shape {
                $(Shape::$shape => AttributeValue::$shape(Sample::sample(seeds, version)),)+
                Shape::CryptographicParameters => {
                    AttributeValue::CryptographicParameters(Box::new(Sample::sample(seeds, version)))
                }
                Shape::Enumeration(rows) => AttributeValue::Enumeration(seeds.row(rows, version)),
                Shape::Mask(rows) => AttributeValue::Mask(seeds.row(rows, version)),
                Shape::Reference => AttributeValue::Reference(reference(seeds, version)),
                Shape::Link => AttributeValue::Link(Link {
                    link_type: LinkType::from_number(seeds.row(LinkType::ROWS, version)),
                    target: reference(seeds, version),
                }),
            }
        }
    };
}

by_shape! {
    Integer, LongInteger, Boolean, Text, Bytes, DateTime, Interval, Identifier, Name, CryptographicDomainParameters,
    X509CertificateIdentifier, X509CertificateSubject, X509CertificateIssuer, CertificateIdentifier,
    CertificateSubject, CertificateIssuer, Digest, UsageLimits, RevocationReason, DeactivationReason,
    ApplicationSpecificInformation, AlternativeName, KeyValueLocation, RngParameters, RotateName
}

impl Sample for Attribute {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        let rows: Vec<_> = ATTRIBUTES.iter().filter(|row| row.versions.contains(version)).collect();
        match seeds.one_of(&rows) {
            Some(row) if seeds.below(8) > 0 => of_row(row, seeds, version),
            _ => Self::new(
                AttributeKind::Vendor { vendor: "x".to_owned(), name: String::sample(seeds, version) },
                AttributeValue::Other(Value::TextString(Cow::Owned(String::sample(seeds, version)))),
            ),
        }
    }
}

impl Sample for AttributeKind {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        Attribute::sample(seeds, version).kind_in(version)
    }
}

impl Sample for Attributes {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        let templates = if version < V2_0 { seeds.below(3) } else { 0 };
        Self {
            templates: (0..templates).map(|_| Sample::sample(seeds, version)).collect(),
            items: (0..seeds.below(6)).map(|_| Sample::sample(seeds, version)).collect(),
        }
    }
}

impl Sample for AttributeList {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        Self(Attributes { templates: Vec::new(), ..Sample::sample(seeds, version) })
    }
}

impl Sample for OptionalAttributeList {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        Self(AttributeList::sample(seeds, version).0)
    }
}
