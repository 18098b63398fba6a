//! Attribute values: how objects hold them, how templates bring them, how they are written to the store.
//!
//! A value is kept as the bytes a caller gives and gets, `CK_ULONG`s in little-endian 64 bits, so that matching and reading
//! are plain copies. Nested templates are kept in the same encoding as an object's body.

use cryptoki_sys::*;
use zeroize::Zeroizing;

pub(crate) use super::value::Value;
use super::{
    rules::{self, Kind},
    rv::{Result, Rv},
};
use crate::store::StoreError;

const _: () = assert!(size_of::<CK_ULONG>() == 8, "values are kept with CK_ULONG of 64 bits");

/// Attributes by rising type.
#[derive(Clone, Default)]
pub(crate) struct Attributes {
    entries: Vec<(CK_ATTRIBUTE_TYPE, Value)>,
}

const FORMAT: u8 = 1;

impl Attributes {
    /// A template: refuses an attribute given with two values or unknown, and values of the wrong shape. One given twice
    /// with the same value counts once (PKCS#11 3.1 §4.1.1).
    pub(crate) fn from_template(given: Vec<(CK_ATTRIBUTE_TYPE, Value)>) -> Result<Self> {
        let mut entries = given;
        for (attribute, value) in &mut entries {
            check_shape(*attribute, value)?;
        }
        entries.sort_by_key(|entry| entry.0);
        entries.dedup();
        if entries.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
            return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
        }
        Ok(Self { entries })
    }

    /// The value of an attribute, if it is there.
    pub(crate) fn get(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        let place = self.entries.binary_search_by_key(&attribute, |entry| entry.0).ok()?;
        self.entries.get(place).map(|entry| entry.1.as_slice())
    }

    /// Whether an attribute is there.
    pub(crate) fn has(&self, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        self.get(attribute).is_some()
    }

    /// A boolean attribute, if it is there.
    pub(crate) fn bool(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<bool> {
        self.get(attribute).map(|value| value.first().is_some_and(|byte| *byte != 0))
    }

    /// Whether a boolean attribute is there and true.
    pub(crate) fn is(&self, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        self.bool(attribute) == Some(true)
    }

    /// A number, if it is there.
    pub(crate) fn ulong(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<CK_ULONG> {
        self.get(attribute).and_then(|value| Some(CK_ULONG::from_le_bytes(value.try_into().ok()?)))
    }

    /// Sets an attribute.
    pub(crate) fn set(&mut self, attribute: CK_ATTRIBUTE_TYPE, value: impl AsRef<[u8]>) {
        let value = value_of(attribute, value.as_ref());
        match self.entries.binary_search_by_key(&attribute, |entry| entry.0) {
            Ok(place) => {
                if let Some(entry) = self.entries.get_mut(place) {
                    entry.1 = value;
                }
            }
            Err(place) => self.entries.insert(place, (attribute, value)),
        }
    }

    /// Sets a boolean attribute.
    pub(crate) fn set_bool(&mut self, attribute: CK_ATTRIBUTE_TYPE, value: bool) {
        self.set(attribute, [u8::from(value)]);
    }

    /// Sets a number.
    pub(crate) fn set_ulong(&mut self, attribute: CK_ATTRIBUTE_TYPE, value: CK_ULONG) {
        self.set(attribute, value.to_le_bytes());
    }

    /// Sets a boolean attribute that is not there yet.
    pub(crate) fn default_bool(&mut self, attribute: CK_ATTRIBUTE_TYPE, value: bool) {
        if !self.has(attribute) {
            self.set_bool(attribute, value);
        }
    }

    /// Takes an attribute out.
    pub(crate) fn remove(&mut self, attribute: CK_ATTRIBUTE_TYPE) {
        self.entries.retain(|entry| entry.0 != attribute);
    }

    /// All of them, by rising type.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CK_ATTRIBUTE_TYPE, &[u8])> {
        self.entries.iter().map(|(attribute, value)| (*attribute, value.as_slice()))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Memory the values take.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.1.len() + size_of::<(CK_ATTRIBUTE_TYPE, Value)>()).sum()
    }

    /// The mechanisms of `CKA_ALLOWED_MECHANISMS`, if it is there.
    pub(crate) fn allowed_mechanisms(&self) -> Option<impl Iterator<Item = CK_MECHANISM_TYPE>> {
        let (mechanisms, _) = self.get(CKA_ALLOWED_MECHANISMS)?.as_chunks::<8>();
        Some(mechanisms.iter().map(|bytes| CK_MECHANISM_TYPE::from_le_bytes(*bytes)))
    }

    /// A nested template, if it is there.
    pub(crate) fn template(&self, attribute: CK_ATTRIBUTE_TYPE) -> Result<Option<Self>> {
        self.get(attribute).map(|value| Self::decode(value).map_err(Rv::from)).transpose()
    }

    /// The form in which attributes are stored.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let bytes = self.entries.iter().map(|entry| entry.1.len() + 12).sum::<usize>() + 1;
        let mut body = Zeroizing::new(Vec::with_capacity(bytes));
        body.push(FORMAT);
        for (attribute, value) in &self.entries {
            body.extend_from_slice(&attribute.to_le_bytes());
            // A value is bounded by the caller's memory and by `VALUE_BYTES_MAX`, far below 4 GiB.
            body.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
            body.extend_from_slice(value);
        }
        body
    }

    /// Reads the stored form back.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, StoreError> {
        const DAMAGED: StoreError = StoreError::Corrupt("an object's body does not parse");
        let [FORMAT, rest @ ..] = body else { return Err(DAMAGED) };
        let mut rest = rest;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (attribute, after) = rest.split_first_chunk::<8>().ok_or(DAMAGED)?;
            let (length, after) = after.split_first_chunk::<4>().ok_or(DAMAGED)?;
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_too_long| DAMAGED)?;
            let (value, after) = after.split_at_checked(length).ok_or(DAMAGED)?;
            let attribute = CK_ATTRIBUTE_TYPE::from_le_bytes(*attribute);
            entries.push((attribute, value_of(attribute, value)));
            rest = after;
        }
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(DAMAGED);
        }
        Ok(Self { entries })
    }
}

/// A value in the memory that its attribute wants.
pub(crate) fn value_of(attribute: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Value {
    if rules::may_be_secret(attribute) { Value::secret(value) } else { Value::new(value) }
}

/// The longest value of an attribute.
pub(crate) const VALUE_BYTES_MAX: usize = 1 << 20;

/// Refuses a value that cannot be one of its attribute, and makes booleans canonical.
fn check_shape(attribute: CK_ATTRIBUTE_TYPE, value: &mut Value) -> Result<()> {
    let kind = rules::kind(attribute).ok_or(Rv(CKR_ATTRIBUTE_TYPE_INVALID))?;
    let fits = match kind {
        Kind::Bool => match value.as_mut_slice() {
            [byte] => {
                *byte = u8::from(*byte != 0);
                true
            }
            _ => false,
        },
        Kind::Ulong => value.len() == size_of::<CK_ULONG>(),
        Kind::Date => value.is_empty() || is_date(value),
        Kind::Mechanisms => {
            value.len().is_multiple_of(size_of::<CK_MECHANISM_TYPE>()) && value.len() <= VALUE_BYTES_MAX
        }
        Kind::Bytes | Kind::Template => value.len() <= VALUE_BYTES_MAX,
    };
    if fits { Ok(()) } else { Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)) }
}

/// Whether bytes are a `CK_DATE`: year, month and day in digits, and a day that the calendar has.
fn is_date(value: &[u8]) -> bool {
    let number = |digits: &[u8]| {
        digits
            .iter()
            .try_fold(0_u32, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
    };
    let &[y1, y2, y3, y4, m1, m2, d1, d2] = value else { return false };
    let (Some(year), Some(month), Some(day)) = (number(&[y1, y2, y3, y4]), number(&[m1, m2]), number(&[d1, d2])) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip_and_a_cut_one_is_refused() {
        let mut attributes = Attributes::default();
        attributes.set_ulong(CKA_CLASS, CKO_SECRET_KEY);
        attributes.set(CKA_LABEL, *b"label");
        attributes.set_bool(CKA_TOKEN, true);
        let body = attributes.encode();
        let read = Attributes::decode(&body).unwrap();
        assert_eq!(read.get(CKA_LABEL), Some(&b"label"[..]));
        assert_eq!(read.ulong(CKA_CLASS), Some(CKO_SECRET_KEY));
        for end in 2..body.len() {
            if let Ok(shorter) = Attributes::decode(&body[..end]) {
                assert!(shorter.len() < read.len());
            }
        }
    }

    #[test]
    fn a_template_with_two_values_of_an_attribute_or_a_long_boolean_is_refused() {
        let value = Value::new;
        let twice = vec![(CKA_LABEL, value(b"a")), (CKA_LABEL, value(b"a"))];
        assert_eq!(Attributes::from_template(twice).map(|attributes| attributes.len()).ok(), Some(1));
        let twice = vec![(CKA_LABEL, value(b"a")), (CKA_LABEL, value(b"b"))];
        assert_eq!(Attributes::from_template(twice).err(), Some(Rv(CKR_TEMPLATE_INCONSISTENT)));
        let long = vec![(CKA_TOKEN, value(&[1, 0]))];
        assert_eq!(Attributes::from_template(long).err(), Some(Rv(CKR_ATTRIBUTE_VALUE_INVALID)));
        let unknown = vec![(CKA_VENDOR_DEFINED + 7, value(&[]))];
        assert_eq!(Attributes::from_template(unknown).err(), Some(Rv(CKR_ATTRIBUTE_TYPE_INVALID)));
    }

    #[test]
    fn dates_follow_the_calendar() {
        assert!(is_date(b"20240229"));
        assert!(!is_date(b"20230229"));
        assert!(!is_date(b"20231301"));
        assert!(!is_date(b"2023010 "));
    }
}
