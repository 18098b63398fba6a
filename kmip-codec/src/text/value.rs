//! Leaves: text to value and back, apart from the grammar around them.

use std::fmt::Write;

use super::date;
use super::names::{self, Meaning};
use crate::error::DecodeErrorKind;
use crate::secret::Wiped;
use crate::spec::tags::Tag;
use crate::ttlv::{ItemType, Writer};
use crate::version::ProtocolVersion;

/// What a leaf is read with.
pub(super) struct Leaf {
    pub(super) tag: Tag,
    pub(super) item_type: ItemType,
    pub(super) meaning: Meaning,
    pub(super) version: Option<ProtocolVersion>,
}

impl Leaf {
    const fn bad(&self) -> DecodeErrorKind {
        DecodeErrorKind::BadValue(self.item_type)
    }

    /// Writes the value that a text stands for.
    pub(super) fn text(&self, text: &str, text_bytes_max: usize, writer: &mut Writer) -> Result<(), DecodeErrorKind> {
        let (tag, bad) = (self.tag, self.bad());
        let is_text = matches!(
            self.item_type,
            ItemType::TextString | ItemType::Identifier | ItemType::Reference | ItemType::NameReference
        );
        if is_text && text.len() > text_bytes_max {
            return Err(DecodeErrorKind::TextTooLong(text.len()));
        }
        let word = text.trim_ascii();
        match self.item_type {
            ItemType::Structure => return Err(bad),
            ItemType::Integer => writer.integer(tag, self.integer(word)?),
            ItemType::LongInteger => writer.long_integer(tag, long(word).ok_or(bad)?),
            ItemType::BigInteger => writer.big_integer(tag, &big(word).ok_or(bad)?),
            ItemType::Enumeration => writer.enumeration(tag, self.enumeration(word)?),
            ItemType::Boolean => writer.boolean(tag, boolean(word).ok_or(bad)?),
            ItemType::TextString => writer.text_string(tag, text),
            ItemType::ByteString => writer.byte_string(tag, &bytes(text).ok_or(bad)?),
            ItemType::DateTime => {
                let seconds = long(word).or_else(|| date::parse(word).map(|(seconds, _)| seconds));
                writer.date_time(tag, seconds.ok_or(bad)?);
            }
            ItemType::Interval => writer.interval(tag, unsigned(word).ok_or(bad)?),
            ItemType::DateTimeExtended => {
                let micros = long(word).or_else(|| date::parse_micros(word));
                writer.date_time_extended(tag, micros.ok_or(bad)?);
            }
            ItemType::Identifier => writer.identifier(tag, text),
            ItemType::Reference => writer.reference(tag, text),
            ItemType::NameReference => writer.name_reference(tag, text),
        }
        Ok(())
    }

    /// Writes the value that a JSON number stands for.
    pub(super) fn number(&self, number: i128, writer: &mut Writer) -> Result<(), DecodeErrorKind> {
        let (tag, bad) = (self.tag, self.bad());
        let long = i64::try_from(number).map_err(|_too_big| bad);
        let unsigned = u32::try_from(number).map_err(|_too_big| bad);
        match self.item_type {
            ItemType::Integer => writer.integer(tag, i32::try_from(number).map_err(|_too_big| bad)?),
            ItemType::LongInteger => writer.long_integer(tag, long?),
            ItemType::BigInteger => match long {
                Ok(long) => writer.big_integer(tag, &long.to_be_bytes()),
                Err(_) => writer.big_integer(tag, &number.to_be_bytes()),
            },
            ItemType::Enumeration => writer.enumeration(tag, unsigned?),
            ItemType::DateTime => writer.date_time(tag, long?),
            ItemType::Interval => writer.interval(tag, unsigned?),
            ItemType::DateTimeExtended => writer.date_time_extended(tag, long?),
            _ => return Err(bad),
        }
        Ok(())
    }

    /// Writes the value that a JSON truth value stands for.
    pub(super) fn truth(&self, value: bool, writer: &mut Writer) -> Result<(), DecodeErrorKind> {
        if self.item_type != ItemType::Boolean {
            return Err(self.bad());
        }
        writer.boolean(self.tag, value);
        Ok(())
    }

    fn integer(&self, word: &str) -> Result<i32, DecodeErrorKind> {
        if let Some(bits) = hex(word, 8) {
            return u32::try_from(bits).map(u32::cast_signed).map_err(|_too_big| self.bad());
        }
        if let Some(number) = decimal(word) {
            return i32::try_from(number).map_err(|_too_big| self.bad());
        }
        let Meaning::Mask(rows) = self.meaning else { return Err(self.bad()) };
        let mut bits = 0;
        let words = word.split(|separator: char| separator == '|' || separator.is_ascii_whitespace());
        for name in words.filter(|name| !name.is_empty()) {
            bits |= match hex(name, 8) {
                Some(bits) => u32::try_from(bits).map_err(|_too_big| self.bad())?,
                None => names::number(rows, name, self.version).ok_or(DecodeErrorKind::UnknownName)?,
            };
        }
        Ok(bits.cast_signed())
    }

    fn enumeration(&self, word: &str) -> Result<u32, DecodeErrorKind> {
        if let Some(number) = unsigned(word) {
            return Ok(number);
        }
        let found = match self.meaning {
            Meaning::Enumeration(rows) => names::number(rows, word, self.version),
            Meaning::Tags => Tag::from_name(word).map(Tag::number),
            Meaning::Mask(_) | Meaning::Other => None,
        };
        found.ok_or(DecodeErrorKind::UnknownName)
    }
}

/// The name of an enumeration's value, or its number in hex.
pub(super) fn enumeration(number: u32, meaning: Meaning, version: Option<ProtocolVersion>) -> String {
    let name = match meaning {
        Meaning::Enumeration(rows) => names::name(rows, number, version),
        Meaning::Tags if number <= 0x00FF_FFFF => Tag::from_number(number).name(),
        _ => None,
    };
    name.map_or_else(|| format!("0x{number:08x}"), str::to_owned)
}

/// The names of a mask's bits; what has no name follows in hex.
pub(super) fn mask(bits: u32, meaning: Meaning, version: Option<ProtocolVersion>, separator: &str) -> Option<String> {
    let Meaning::Mask(rows) = meaning else { return None };
    let (mut text, mut left) = (String::new(), bits);
    for bit in (0..u32::BITS).map(|position| 1 << position).filter(|bit| bits & bit != 0) {
        if let Some(name) = names::name(rows, bit, version) {
            let between = if text.is_empty() { "" } else { separator };
            let _infallible = write!(text, "{between}{name}");
            left &= !bit;
        }
    }
    if left != 0 {
        let between = if text.is_empty() { "" } else { separator };
        let _infallible = write!(text, "{between}0x{left:08x}");
    }
    (bits != 0).then_some(text)
}

/// A date in ISO 8601, or in hex where the year has not four digits.
pub(super) fn date_time(seconds: i64) -> String {
    match date::civil(seconds) {
        Some([year, month, day, hour, minute, second]) => {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
        }
        None => format!("0x{seconds:016x}"),
    }
}

/// `0x` and at most that many digits.
fn hex(word: &str, digits_max: usize) -> Option<u64> {
    let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"))?;
    let fits = (1..=digits_max).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if fits { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// A decimal number, with a sign at most.
fn decimal(word: &str) -> Option<i64> {
    if word.starts_with('+') { None } else { word.parse().ok() }
}

fn long(word: &str) -> Option<i64> {
    hex(word, 16).map(u64::cast_signed).or_else(|| decimal(word))
}

fn unsigned(word: &str) -> Option<u32> {
    match hex(word, 8) {
        Some(bits) => u32::try_from(bits).ok(),
        None => decimal(word).and_then(|number| u32::try_from(number).ok()),
    }
}

fn boolean(word: &str) -> Option<bool> {
    match word {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => match hex(word, 16)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}

/// Hex digits, blanks between them allowed.
fn bytes(text: &str) -> Option<Wiped> {
    let mut found = Wiped::new(Vec::with_capacity(text.len() / 2));
    let mut high = None;
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = u8::try_from(char::from(byte).to_digit(16)?).ok()?;
        match high.take() {
            None => high = Some(digit << 4),
            Some(first) => found.push(first | digit),
        }
    }
    high.is_none().then_some(found)
}

/// Two's complement in hex; what is no multiple of eight bytes is extended by its sign.
fn big(word: &str) -> Option<Wiped> {
    let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
    let given = bytes(digits)?;
    let sign = if given.first()? & 0x80 == 0 { 0x00 } else { 0xFF };
    let length = given.len().next_multiple_of(8);
    let mut found = Wiped::new(Vec::with_capacity(length));
    found.resize(length - given.len(), sign);
    found.extend_from_slice(&given);
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::enums::State;
    use crate::spec::masks::CryptographicUsageMask;
    use crate::version::{V1_0, V2_1};

    fn leaf(item_type: ItemType, meaning: Meaning) -> Leaf {
        Leaf { tag: Tag::STATE, item_type, meaning, version: Some(V2_1) }
    }

    /// The value part of what is written.
    fn written(item_type: ItemType, meaning: Meaning, text: &str) -> Option<Vec<u8>> {
        let mut writer = Writer::new(V2_1);
        leaf(item_type, meaning).text(text, 100, &mut writer).ok()?;
        Some(writer.finish().expect("short")[8..].to_vec())
    }

    #[test]
    fn each_form_of_each_leaf() {
        let plain = |item_type, text| written(item_type, Meaning::Other, text);
        let eight = |number: i64| Some(number.to_be_bytes().to_vec());
        let four = |number: u32| Some([number.to_be_bytes(), [0; 4]].concat());
        assert_eq!(plain(ItemType::Integer, "-1"), four(u32::MAX));
        assert_eq!(plain(ItemType::Integer, "0xFFFFFFFF"), four(u32::MAX));
        assert_eq!(plain(ItemType::Integer, "2147483648"), None);
        assert_eq!(plain(ItemType::Integer, "Encrypt"), None);
        assert_eq!(plain(ItemType::LongInteger, "0xfffffffffffffffe"), eight(-2));
        assert_eq!(plain(ItemType::LongInteger, "9223372036854775808"), None);
        assert_eq!(plain(ItemType::BigInteger, "ff00"), eight(-256));
        assert_eq!(plain(ItemType::BigInteger, "0x0100"), eight(256));
        assert_eq!(plain(ItemType::BigInteger, ""), None);
        assert_eq!(
            plain(ItemType::BigInteger, "00000000000000000000000000000001"),
            Some([[0; 8], 1_u64.to_be_bytes()].concat())
        );
        assert_eq!(plain(ItemType::Boolean, "0x0000000000000001"), eight(1));
        assert_eq!(plain(ItemType::Boolean, "2"), None);
        assert_eq!(plain(ItemType::Boolean, "TRUE"), None);
        assert_eq!(plain(ItemType::ByteString, "01 02"), Some(vec![1, 2, 0, 0, 0, 0, 0, 0]));
        assert_eq!(plain(ItemType::ByteString, "0102 3"), None);
        assert_eq!(plain(ItemType::ByteString, "0x01"), None);
        assert_eq!(plain(ItemType::Interval, "4294967295"), four(u32::MAX));
        assert_eq!(plain(ItemType::Interval, "0x00000010"), four(16));
        assert_eq!(plain(ItemType::Interval, "-1"), None);
        assert_eq!(plain(ItemType::DateTime, "1970-01-01T00:00:16.9Z"), eight(16));
        assert_eq!(plain(ItemType::DateTime, "0x0000000000000010"), eight(16));
        assert_eq!(plain(ItemType::DateTimeExtended, "1970-01-01T00:00:00.000016Z"), eight(16));
        assert_eq!(plain(ItemType::TextString, &"x".repeat(101)), None);
    }

    #[test]
    fn names_numbers_and_hex_of_enumerations_and_masks() {
        let state = Meaning::Enumeration(State::ROWS);
        for text in ["Active", "2", "0x00000002", " active "] {
            assert_eq!(written(ItemType::Enumeration, state, text).map(|bytes| bytes[3]), Some(2), "{text}");
        }
        assert_eq!(written(ItemType::Enumeration, state, "Sleeping"), None);
        let usage = Meaning::Mask(CryptographicUsageMask::ROWS);
        for text in ["Encrypt Decrypt", "Encrypt|Decrypt", "12", "0x0000000c", "Encrypt 0x8"] {
            assert_eq!(written(ItemType::Integer, usage, text).map(|bytes| bytes[3]), Some(12), "{text}");
        }
        assert_eq!(written(ItemType::Integer, usage, "Encrypt Sleep"), None);
        assert_eq!(mask(12, usage, Some(V1_0), " ").as_deref(), Some("Encrypt Decrypt"));
        assert_eq!(mask(0x4000_0004, usage, Some(V1_0), "|").as_deref(), Some("Encrypt|0x40000000"));
        assert_eq!(mask(0, usage, Some(V1_0), "|"), None);
        assert_eq!(enumeration(2, state, Some(V1_0)), "Active");
        assert_eq!(enumeration(0x8000_0001, state, Some(V1_0)), "0x80000001");
        assert_eq!(enumeration(0x42_008D, Meaning::Tags, Some(V2_1)), "State");
    }
}
