//! The key block: format, value, algorithm and wrapping of a key (KMIP 1.0 §2.1.3, §2.1.4).
//!
//! The value is a structure of material and attributes, or bytes when it is wrapped with its encoding. Algorithm and
//! length may be missing where the material tells them or nobody can (KMIP 1.0 §2.1.3).

use super::{KeyMaterial, KeyWrappingData};
use crate::attribute::OptionalAttributeList;
use crate::codec::{Codec, FieldGroup, fields};
use crate::error::DecodeError;
use crate::fuzzing::{Sample, Seeds};
use crate::secret::SecretBytes;
use crate::spec::enums::{CryptographicAlgorithm, KeyCompressionType, KeyFormatType};
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, Reader, Value, Writer};
use crate::version::ProtocolVersion;

fields! {
    /// A key with what is needed to understand it.
    pub struct KeyBlock {
        key_format_type: required KeyFormatType, [KEY_FORMAT_TYPE V1_0..];
        key_compression_type: optional KeyCompressionType, [KEY_COMPRESSION_TYPE V1_0..];
        /// The key; absent for objects whose value the server does not have (KMIP 1.2 §2.1.3).
        key_value: group Option<KeyValue>;
        cryptographic_algorithm: optional CryptographicAlgorithm, [CRYPTOGRAPHIC_ALGORITHM V1_0..];
        cryptographic_length: optional i32, [CRYPTOGRAPHIC_LENGTH V1_0..];
        key_wrapping_data: optional KeyWrappingData, [KEY_WRAPPING_DATA V1_0..];
    }
}

/// The value of a key block.
#[derive(PartialEq, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every key value is plain")]
pub enum KeyValue {
    /// Material, wrapped without its encoding or not at all.
    Plain {
        /// The material.
        material: KeyMaterial,
        /// Attributes that travel with it.
        attributes: OptionalAttributeList,
    },
    /// The encoding of a plain value, wrapped.
    Wrapped(SecretBytes),
}

impl KeyValue {
    /// Material that is bytes, without attributes.
    pub fn bytes(material: impl Into<SecretBytes>) -> Self {
        Self::Plain { material: KeyMaterial::Bytes(material.into()), attributes: OptionalAttributeList::default() }
    }

    /// Reads a key value of this format; also what TTLV wrapping contained, once unwrapped.
    ///
    /// # Errors
    ///
    /// As every decode; the structure must be of the given format.
    pub fn decode(format: KeyFormatType, item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        if !matches!(item.value, Value::Structure(_)) {
            return Codec::decode(item, context).map(Self::Wrapped);
        }
        let mut reader = Reader::new(item, context)?;
        let material = reader.required(Tag::KEY_MATERIAL)?;
        let material = KeyMaterial::decode(format, &material, context).map_err(|error| reader.within(error))?;
        let attributes = OptionalAttributeList::take(&mut reader)?;
        reader.finish()?;
        Ok(Self::Plain { material, attributes })
    }

    /// Writes the value; the encoding of a plain value is also what TTLV wrapping encrypts.
    pub fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Plain { material, attributes } => writer.structure(Tag::KEY_VALUE, |writer| {
                material.encode(writer);
                attributes.put(writer);
            }),
            Self::Wrapped(bytes) => bytes.encode(Tag::KEY_VALUE, writer),
        }
    }
}

impl FieldGroup for Option<KeyValue> {
    fn take(reader: &mut Reader<'_, '_>) -> Result<Self, DecodeError> {
        let context = reader.context();
        let Some(value) = reader.optional(Tag::KEY_VALUE)? else { return Ok(None) };
        let format = reader.peek(Tag::KEY_FORMAT_TYPE).ok_or_else(|| reader.missing(Tag::KEY_FORMAT_TYPE))?;
        KeyFormatType::decode(&format, context)
            .and_then(|format| KeyValue::decode(format, &value, context))
            .map(Some)
            .map_err(|error| reader.within(error))
    }

    fn put(&self, writer: &mut Writer) {
        if let Some(value) = self {
            value.encode(writer);
        }
    }
}

/// Only bytes, which suit every format; the tests below go through the transparent ones.
impl Sample for Option<KeyValue> {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        match seeds.below(4) {
            0 => None,
            1 => Some(KeyValue::Wrapped(Sample::sample(seeds, version))),
            _ => Some(KeyValue::Plain {
                material: KeyMaterial::Bytes(Sample::sample(seeds, version)),
                attributes: Sample::sample(seeds, version),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DecodeErrorKind;
    use crate::limits::Limits;
    use crate::ttlv;
    use crate::version::{SUPPORTED, V1_0, V2_1};

    #[test]
    fn every_format_comes_back_in_every_version() {
        let mut seeds = Seeds::new(7);
        for version in SUPPORTED {
            for row in KeyFormatType::ROWS.iter().filter(|row| row.versions.contains(version)) {
                let format = KeyFormatType::from_number(row.number);
                let block = KeyBlock {
                    key_format_type: format,
                    key_value: Some(KeyValue::Plain {
                        material: KeyMaterial::sample(format, &mut seeds, version),
                        attributes: Sample::sample(&mut seeds, version),
                    }),
                    ..Sample::sample(&mut seeds, version)
                };
                let mut writer = Writer::new(version);
                block.encode(Tag::KEY_BLOCK, &mut writer);
                let bytes = writer.finish().expect("short");
                let item = ttlv::parse(&bytes, &Limits::default()).expect("our own encoding");
                let context = Context::new(version).expect("supported");
                assert_eq!(KeyBlock::decode(&item, context).as_ref(), Ok(&block), "{format} in {version}");
            }
        }
    }

    #[test]
    fn a_structure_of_no_known_format_is_refused() {
        let mut writer = Writer::new(V1_0);
        writer.structure(Tag::KEY_BLOCK, |writer| {
            writer.enumeration(Tag::KEY_FORMAT_TYPE, 0x8000_0001);
            writer.structure(Tag::KEY_VALUE, |writer| writer.structure(Tag::KEY_MATERIAL, |_| ()));
        });
        let bytes = writer.finish().expect("short");
        let item = ttlv::parse(&bytes, &Limits::default()).expect("well formed");
        let error = KeyBlock::decode(&item, Context::new(V2_1).expect("supported")).expect_err("unknown format");
        assert_eq!(error.kind, DecodeErrorKind::UnknownEnumeration(0x8000_0001));
        assert_eq!((error.offset, error.path), (32, vec![Tag::KEY_BLOCK, Tag::KEY_VALUE, Tag::KEY_MATERIAL]));
    }

    #[test]
    fn debug_shows_no_material() {
        let value = KeyValue::bytes(vec![0xA5; 16]);
        let shown = format!("{value:?}");
        assert!(!shown.contains("165") && !shown.to_lowercase().contains("a5"), "{shown}");
    }
}
