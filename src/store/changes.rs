//! Keys with values in a row, each key told by what it shares with the one before it.
//!
//! An item is `shared (1) ‖ middle (1) ‖ tail (1) ‖ value (1)`, then the middle of the key and the value: the key begins with
//! `shared` bytes of the one before and ends with `tail` of them. The entries of one object share its project at the front and
//! its position at the end, those of one list share all but the position. A value of 255 says that the key goes.

use super::backend::Key;
use crate::engine::ports::StoreError;

/// A key and its new value; `None` when it goes.
pub(super) type Change = (Key, Option<Vec<u8>>);

const GOES: u8 = u8::MAX;

/// Puts items in a row. Keys and values have at most 254 bytes.
#[derive(Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    last: Key,
}

impl Encoder {
    /// Adds one.
    ///
    /// # Errors
    ///
    /// `TooLarge`.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let shared = common(self.last.iter().zip(key));
        let rest = key.get(shared..).unwrap_or_default();
        let free = self.last.get(shared..).unwrap_or_default();
        let tail = common(free.iter().rev().zip(rest.iter().rev()));
        let middle = rest.get(..rest.len() - tail).unwrap_or_default();
        let length = |of: usize| u8::try_from(of).ok().filter(|it| *it != GOES).ok_or(StoreError::TooLarge);
        let value_length = value.map_or(Ok(GOES), |value| length(value.len()))?;
        length(key.len())?;
        self.bytes.extend([length(shared)?, length(middle.len())?, length(tail)?, value_length]);
        self.bytes.extend_from_slice(middle);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last.clear();
        self.last.extend_from_slice(key);
        Ok(())
    }

    /// How long the row is.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The row.
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

fn common<'a>(pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> usize {
    pairs.take_while(|(one, other)| one == other).count()
}

/// The items of a row.
///
/// # Errors
///
/// `Corrupt` when it is none.
pub(super) fn decoded(mut bytes: &[u8]) -> Result<Vec<Change>, StoreError> {
    let mut changes: Vec<Change> = Vec::new();
    while !bytes.is_empty() {
        let (change, rest) = item(changes.last().map_or(&[], |(key, _)| key.as_slice()), bytes)
            .ok_or_else(|| StoreError::Corrupt("a row of index entries cannot be read".to_owned()))?;
        changes.push(change);
        bytes = rest;
    }
    Ok(changes)
}

fn item<'a>(last: &[u8], bytes: &'a [u8]) -> Option<(Change, &'a [u8])> {
    let ([shared, middle, tail, value], rest) = bytes.split_first_chunk::<4>()?;
    let (middle, rest) = rest.split_at_checked(usize::from(*middle))?;
    let front = last.get(..usize::from(*shared))?;
    let back = last.get(last.len().checked_sub(usize::from(*tail))?..)?;
    let key = [front, middle, back].concat();
    if *value == GOES {
        return Some(((key, None), rest));
    }
    let (value, rest) = rest.split_at_checked(usize::from(*value))?;
    Some(((key, Some(value.to_vec())), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_a_row_comes_back() {
        let changes: Vec<Change> = vec![
            (b"".to_vec(), Some(vec![])),
            (b"abc-tail".to_vec(), Some(vec![])),
            (b"abd-tail".to_vec(), None),
            (b"abd-tail".to_vec(), Some(vec![7; 254])),
            (b"abd".to_vec(), Some(b"v".to_vec())),
            (vec![b'a'; 254], None),
            (vec![b'a'; 200], Some(vec![1])),
        ];
        let mut encoder = Encoder::default();
        changes.iter().for_each(|(key, value)| encoder.push(key, value.as_deref()).unwrap());
        let bytes = encoder.finish();
        assert_eq!(decoded(&bytes).unwrap(), changes);
        // Cut anywhere it is refused, or has fewer.
        for end in 0..bytes.len() {
            assert!(decoded(bytes.get(..end).unwrap()).map_or(true, |fewer| fewer.len() < changes.len()));
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x81;
            drop(decoded(&flipped));
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let mut encoder = Encoder::default();
        assert_eq!(encoder.push(&[1; 255], None), Err(StoreError::TooLarge));
        assert_eq!(encoder.push(&[1], Some(&[1; 255])), Err(StoreError::TooLarge));
        assert_eq!(encoder.len(), 0);
    }
}
