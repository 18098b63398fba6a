//! Finds values in files, whatever they are written as.
//!
//! Of each value several pieces are looked for, so that a value that was cut is found, too. A piece is looked for raw, byte
//! by byte in reverse, as hexadecimal digits of both cases, as base64 of both alphabets from each of the three positions it
//! may begin at, and each of these texts in UTF-16 of both byte orders.

use std::collections::HashMap;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Shorter than any value here, longer than chance finds: 12 random bytes.
const PIECE: usize = 12;
/// Pieces of one secret.
const PIECES: usize = 8;
/// The beginning of a needle, by which candidates are found.
const KEY: usize = 6;

/// Needles by their beginning.
pub(crate) struct Search {
    needles: HashMap<[u8; KEY], Vec<Needle>>,
    beginnings: Vec<bool>,
    count: usize,
}

struct Needle {
    bytes: Vec<u8>,
    what: String,
}

impl Search {
    /// For the secrets of each name; a secret shorter than a piece is looked for as a whole.
    pub(crate) fn new<'a>(secrets: impl Iterator<Item = (&'a str, &'a [Vec<u8>])>) -> Self {
        let mut search = Self { needles: HashMap::new(), beginnings: vec![false; 1 << 16], count: 0 };
        for (name, values) in secrets {
            for piece in values.iter().flat_map(|value| pieces(value)) {
                for (encoding, bytes) in encodings(piece) {
                    search.add(Needle { bytes, what: format!("{name}, {encoding}") });
                }
            }
        }
        search
    }

    fn add(&mut self, needle: Needle) {
        let key = *needle.bytes.first_chunk().unwrap_or_else(|| panic!("{} is too short", needle.what));
        self.beginnings[usize::from(u16::from_be_bytes([key[0], key[1]]))] = true;
        self.needles.entry(key).or_default().push(needle);
        self.count += 1;
    }

    pub(crate) fn needles(&self) -> usize {
        self.count
    }

    /// Every place in `content` where a needle is.
    pub(crate) fn hits(&self, content: &[u8], place: &str) -> Vec<String> {
        let mut hits = Vec::new();
        for (offset, window) in content.windows(KEY).enumerate() {
            if !self.beginnings[usize::from(u16::from_be_bytes([window[0], window[1]]))] {
                continue;
            }
            let Some(needles) = self.needles.get(window) else { continue };
            let found = needles.iter().filter(|needle| content[offset..].starts_with(&needle.bytes));
            hits.extend(found.map(|needle| format!("{place} at {offset}: {}", needle.what)));
        }
        hits
    }
}

/// Evenly spread pieces, first and last included.
fn pieces(value: &[u8]) -> Vec<&[u8]> {
    let Some(room) = value.len().checked_sub(PIECE) else { return vec![value] };
    let count = PIECES.min(room + 1);
    let at = |number: usize| if count == 1 { 0 } else { room * number / (count - 1) };
    (0..count).map(|number| &value[at(number)..at(number) + PIECE]).collect()
}

/// The piece in every disguise.
fn encodings(piece: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reversed = piece.to_vec();
    reversed.reverse();
    let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut texts = vec![("hex".to_owned(), hex.clone()), ("HEX".to_owned(), hex.to_uppercase())];
    for skipped in 0..3 {
        // What stands before decides how the bits are grouped; digits that share bits with neighbours are left out.
        let padded = [vec![0; skipped], piece.to_vec()].concat();
        let inner = |text: String| {
            let from = (skipped * 8).div_ceil(6);
            let to = padded.len() * 8 / 6;
            text[from..to].to_owned()
        };
        texts.push((format!("base64 from {skipped}"), inner(STANDARD_NO_PAD.encode(&padded))));
        texts.push((format!("base64url from {skipped}"), inner(URL_SAFE_NO_PAD.encode(&padded))));
    }
    let wide = |bytes: &[u8], order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        bytes.iter().flat_map(|byte| order(u16::from(*byte))).collect()
    };
    let mut all = vec![("raw".to_owned(), piece.to_vec()), ("reversed".to_owned(), reversed)];
    all.extend(texts.into_iter().map(|(name, text)| (name, text.into_bytes())));
    let in_utf16: Vec<_> = all
        .iter()
        .flat_map(|(name, bytes)| {
            [
                (format!("{name} in UTF-16LE"), wide(bytes, u16::to_le_bytes)),
                (format!("{name} in UTF-16BE"), wide(bytes, u16::to_be_bytes)),
            ]
        })
        .collect();
    all.extend(in_utf16);
    // Without a `+` or `/` the two alphabets agree.
    all.dedup_by(|second, first| second.1 == first.1);
    all
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// What a careless program might write, and must be found.
    fn written(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        let utf16 = |text: &str| -> Vec<u16> { text.encode_utf16().collect() };
        let little = |text: &str| utf16(text).into_iter().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let big = |text: &str| utf16(text).into_iter().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        let as_text: String = value.iter().map(|byte| char::from(*byte)).collect();
        let behind = |count: usize| STANDARD.encode([vec![b'x'; count], value.to_vec(), b"after".to_vec()].concat());
        vec![
            ("raw", value.to_vec()),
            ("reversed", value.iter().rev().copied().collect()),
            ("hex", hex.clone().into_bytes()),
            ("HEX", hex.to_uppercase().into_bytes()),
            ("base64 at 0", behind(0).into_bytes()),
            ("base64 at 1", behind(1).into_bytes()),
            ("base64 at 2", behind(2).into_bytes()),
            ("base64 at 7", behind(7).into_bytes()),
            ("base64url", URL_SAFE_NO_PAD.encode(value).into_bytes()),
            ("UTF-16LE", little(&as_text)),
            ("UTF-16BE", big(&as_text)),
            ("hex in UTF-16LE", little(&hex)),
            ("HEX in UTF-16BE", big(&hex.to_uppercase())),
            ("base64 in UTF-16LE", little(&behind(1))),
            ("base64 in UTF-16BE", big(&behind(2))),
        ]
    }

    #[test]
    fn every_disguise_of_a_planted_value_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("planted");
        for value in [crate::ways::random(16), crate::ways::random(300), b"a passphrase".to_vec()] {
            let search = Search::new([("planted", [value.clone()].as_slice())].into_iter());
            for (how, bytes) in written(&value) {
                let around = crate::ways::random(5000);
                std::fs::write(&file, [around.as_slice(), &bytes, &around].concat()).unwrap();
                let hits = search.hits(&std::fs::read(&file).unwrap(), "planted");
                assert!(!hits.is_empty(), "{how} of {} bytes is not found", value.len());
                assert!(search.hits(&around, "around").is_empty(), "nothing is found where nothing is");
            }
        }
    }

    #[test]
    fn a_part_of_a_planted_value_is_found() {
        let value = crate::ways::random(400);
        let search = Search::new([("planted", [value.clone()].as_slice())].into_iter());
        for part in [&value[..100], &value[150..250], &value[300..]] {
            assert!(!search.hits(part, "part").is_empty());
        }
    }
}
