//! What fuzz targets and round-trip tests call; not part of the API and free to change.
//!
//! The first half are whole entry points that must not panic on any bytes. The second half makes samples: every
//! structure can build a random value of itself for a version, from the same table that encodes it.

use crate::attribute::{self, Attribute};
use crate::codec::{DateTime, DateTimeExtended, Interval, Tags};
use crate::error::{DecodeError, EncodeError};
use crate::limits::Limits;
use crate::message::{Payload, RequestMessage, ResponseMessage, peek_version};
use crate::payload::{Request, Response};
use crate::secret::{BigInteger, SecretBytes, SecretText};
use crate::spec::attributes::AttributeRow;
use crate::spec::enums::EnumRow;
use crate::spec::tags::Tag;
use crate::text::{self, Encoding};
use crate::ttlv::{self, Item, MessageKind, Value, Writer, message_length};
use crate::version::{ProtocolVersion, V3_0};

/// Decodes bytes to items.
pub fn decode(bytes: &[u8]) {
    let _ = ttlv::parse(bytes, &Limits::BEFORE_AUTHENTICATION);
}

/// Decodes bytes, encodes the items, decodes again; what was accepted once must survive.
///
/// # Panics
///
/// When it does not: that is the finding.
pub fn decode_encode_decode(bytes: &[u8]) {
    let Ok(first) = ttlv::parse(bytes, &Limits::BEFORE_AUTHENTICATION) else { return };
    let mut writer = Writer::new(V3_0);
    writer.item(&first);
    let again = writer.finish().expect("what was read can be written");
    let second = ttlv::parse(&again, &Limits::AUTHENTICATED).expect("what was written can be read");
    assert!(first == second, "an item changed on its way");
    assert_eq!(again.len(), bytes.len(), "an encoding has one length");
}

/// Reads the length out of the first eight bytes.
pub fn framing(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk() {
        for kind in [MessageKind::Request, MessageKind::Response] {
            if let Ok(length) = message_length(header, kind, &Limits::BEFORE_AUTHENTICATION) {
                assert!(length >= header.len() && length <= Limits::BEFORE_AUTHENTICATION.message_bytes_max);
            }
        }
    }
}

/// Reads a JSON or XML text; what was accepted must be the same after it was written in every encoding.
///
/// # Panics
///
/// When it is not: that is the finding.
pub fn text(encoding: Encoding, bytes: &[u8]) {
    let limits = Limits::BEFORE_AUTHENTICATION;
    let Ok(ttlv) = text::to_ttlv(encoding, bytes, &limits) else { return };
    // The texts may be longer than what was read: names instead of numbers.
    let wide = Limits { message_bytes_max: usize::MAX, ..Limits::AUTHENTICATED };
    for encoding in [Encoding::Json, Encoding::Xml] {
        match text::from_ttlv(encoding, &ttlv, &wide) {
            Ok(again) => {
                let back = text::to_ttlv(encoding, &again, &wide).expect("what was written can be read");
                assert!(back == ttlv, "a message changed on its way through {encoding:?}");
            }
            Err(error) => assert_eq!(error, EncodeError::NotInXml, "what was read can be written"),
        }
    }
}

/// Decodes a message through the typed layer; every payload that can be read must survive being written.
///
/// # Panics
///
/// When one does not: that is the finding.
pub fn message(bytes: &[u8]) {
    let limits = Limits::BEFORE_AUTHENTICATION;
    let _ = peek_version(bytes);
    if let Ok(request) = RequestMessage::decode(bytes, &limits) {
        let version = request.header.protocol_version;
        for item in &request.items {
            let Ok(first) = Request::decode(item.operation, version, &item.payload) else { continue };
            let second = write_and_read(&first, version, |item| Request::decode(first.operation(), version, item));
            assert!(first == second, "a request changed on its way");
        }
    }
    if let Ok(response) = ResponseMessage::decode(bytes, &limits) {
        let version = response.header.protocol_version;
        for item in &response.items {
            let (Some(operation), Some(payload)) = (item.operation, &item.payload) else { continue };
            let Ok(first) = Response::decode(operation, version, payload) else { continue };
            let second = write_and_read(&first, version, |item| Response::decode(operation, version, item));
            assert!(first == second, "a response changed on its way");
        }
    }
}

fn write_and_read<P: Payload>(
    payload: &P,
    version: ProtocolVersion,
    read: impl FnOnce(&Item<'_>) -> Result<P, DecodeError>,
) -> P {
    let mut writer = Writer::new(version.nearest().expect("what was decoded has a known version"));
    payload.encode_payload(Tag::REQUEST_PAYLOAD, &mut writer);
    let bytes = writer.finish().expect("what was read can be written");
    let item = ttlv::parse(&bytes, &Limits::AUTHENTICATED).expect("what was written can be parsed");
    read(&item).expect("what was written can be read")
}

/// A random attribute of one row, for tests that walk the table.
pub fn attribute_of_row(row: &AttributeRow, seeds: &mut Seeds, version: ProtocolVersion) -> Attribute {
    attribute::sample_of_row(row, seeds, version)
}

/// A value that can make a random one of itself.
pub trait Sample: Sized {
    /// A value that `version` can express completely.
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self;
}

/// A repeatable sequence of numbers (SplitMix64).
pub struct Seeds(u64);

impl Seeds {
    /// The sequence that begins with this number.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is at least one.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    /// One of several values; `None` only when there are none.
    pub fn one_of<'t, T>(&mut self, choices: &'t [T]) -> Option<&'t T> {
        choices.get(self.below(choices.len()))
    }

    /// The number of a row that `version` has.
    pub fn row(&mut self, rows: &[EnumRow], version: ProtocolVersion) -> u32 {
        let known: Vec<u32> = rows.iter().filter(|row| row.versions.contains(version)).map(|row| row.number).collect();
        self.one_of(&known).copied().unwrap_or(0x8000_0001)
    }

    /// Up to 40 bytes.
    pub fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(41);
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// The sample of an optional field.
pub fn optional<T: Sample>(seeds: &mut Seeds, version: ProtocolVersion, tags: &Tags) -> Option<T> {
    let defined = tags.iter().any(|(_, versions)| versions.contains(version));
    (defined && seeds.below(2) == 0).then(|| T::sample(seeds, version))
}

/// The sample of a field that some versions require.
pub fn versioned<T: Sample>(seeds: &mut Seeds, version: ProtocolVersion, tags: &Tags) -> Option<T> {
    let defined = tags.iter().any(|(_, versions)| versions.contains(version));
    defined.then(|| T::sample(seeds, version))
}

/// The sample of a repeated field.
pub fn repeated<T: Sample>(seeds: &mut Seeds, version: ProtocolVersion, tags: &Tags) -> Vec<T> {
    let defined = tags.iter().any(|(_, versions)| versions.contains(version));
    let count = if defined { seeds.below(4) } else { 0 };
    (0..count).map(|_| T::sample(seeds, version)).collect()
}

/// Samples of leaves, one expression a type.
macro_rules! samples {
    ($($type:ty, |$seeds:ident| $sample:expr;)+) => {$(
        impl Sample for $type {
            fn sample($seeds: &mut Seeds, _: ProtocolVersion) -> Self {
                $sample
            }
        }
    )+};
}

samples! {
    i32, |seeds| i32::from_le_bytes(*seeds.next().to_le_bytes().first_chunk().expect("eight bytes hold four"));
    i64, |seeds| seeds.next().cast_signed();
    bool, |seeds| seeds.next().is_multiple_of(2);
    String, |seeds| format!("sämple {}", seeds.below(1000));
    Vec<u8>, |seeds| seeds.bytes();
    DateTime, |seeds| Self(seeds.next().cast_signed());
    DateTimeExtended, |seeds| Self(seeds.next().cast_signed());
    Interval, |seeds| Self(u32::from_le_bytes(*seeds.next().to_le_bytes().first_chunk().expect("eight bytes hold four")));
    SecretBytes, |seeds| seeds.bytes().into();
    SecretText, |seeds| Self::copy_of(&format!("secret {}", seeds.below(1000)));
    Value<'static>, |seeds| Value::Structure(ttlv::Children::from(vec![Item::new(
        Tag::from_number(0x54_0001),
        Value::TextString(format!("vendor's {}", seeds.below(1000)).into()),
    )]));
    Item<'static>, |seeds| Item::new(Tag::from_number(0x54_0002), Value::ByteString(seeds.bytes().into()));
    BigInteger, |seeds| Self::from_magnitude(&seeds.bytes());
}
