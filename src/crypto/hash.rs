//! Hashing without a key and HMAC-SHA-256, by `aws-lc-rs`, and the small texts around them.
//!
//! Hashes are named as KMIP names them. MD5 and older are left out on purpose; SHA-512/224 and SHA3-224 because the library's
//! safe interface lacks them.

use std::fmt;

use aws_lc_rs::{digest as lc, hmac};

use super::{Error, bytes};
use crate::domain::{SecretValue, algorithm::HashingAlgorithm};

/// Which of KMIP's hashes we compute, and by what.
pub const HASHES: &[(HashingAlgorithm, &lc::Algorithm)] = &[
    (HashingAlgorithm::SHA_1, &lc::SHA1_FOR_LEGACY_USE_ONLY),
    (HashingAlgorithm::SHA_224, &lc::SHA224),
    (HashingAlgorithm::SHA_256, &lc::SHA256),
    (HashingAlgorithm::SHA_384, &lc::SHA384),
    (HashingAlgorithm::SHA_512, &lc::SHA512),
    (HashingAlgorithm::SHA_512_256, &lc::SHA512_256),
    (HashingAlgorithm::SHA3_256, &lc::SHA3_256),
    (HashingAlgorithm::SHA3_384, &lc::SHA3_384),
    (HashingAlgorithm::SHA3_512, &lc::SHA3_512),
];

/// The bytes before the digest in a PKCS#1 v1.5 signature: the DER of `DigestInfo` up to the digest (RFC 8017 §9.2, note 1;
/// the SHA-3 rows from RFC 9688's identifiers).
const DIGEST_INFO: &[(HashingAlgorithm, &[u8])] = &[
    (HashingAlgorithm::MD5, b"\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00\x04\x10"),
    (HashingAlgorithm::SHA_1, b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14"),
    (HashingAlgorithm::SHA_224, b"\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\x05\x00\x04\x1c"),
    (HashingAlgorithm::SHA_256, b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"),
    (HashingAlgorithm::SHA_384, b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"),
    (HashingAlgorithm::SHA_512, b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"),
    (HashingAlgorithm::SHA_512_224, b"\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x05\x05\x00\x04\x1c"),
    (HashingAlgorithm::SHA_512_256, b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x06\x05\x00\x04\x20"),
    (HashingAlgorithm::SHA3_224, b"\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x07\x05\x00\x04\x1c"),
    (HashingAlgorithm::SHA3_256, b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x08\x05\x00\x04\x20"),
    (HashingAlgorithm::SHA3_384, b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x09\x05\x00\x04\x30"),
    (HashingAlgorithm::SHA3_512, b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x0a\x05\x00\x04\x40"),
];

/// The digest of `data`.
///
/// # Errors
///
/// `Unsupported` for a hash that is not in [`HASHES`].
pub fn digest(algorithm: HashingAlgorithm, data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut hasher = Hasher::new(algorithm)?;
    hasher.update(data);
    Ok(hasher.finish())
}

/// The digest of a secret, computed where it lies.
///
/// # Errors
///
/// As [`digest`].
pub fn digest_secret(algorithm: HashingAlgorithm, value: &SecretValue) -> Result<Vec<u8>, Error> {
    digest(algorithm, bytes(value))
}

/// SHA-256, which always works.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    sha256_of(&[data])
}

/// SHA-256 of several parts in a row.
#[must_use]
pub fn sha256_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = lc::Context::new(&lc::SHA256);
    for part in parts {
        context.update(part);
    }
    fixed(context.finish().as_ref())
}

/// HMAC-SHA-256 of several parts in a row.
#[must_use]
pub fn hmac_sha256(key: &SecretValue, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, bytes(key)));
    for part in parts {
        context.update(part);
    }
    fixed(context.sign().as_ref())
}

/// The length of the digest in bytes, or `None` for a hash that we do not compute.
#[must_use]
pub fn digest_bytes(algorithm: HashingAlgorithm) -> Option<usize> {
    find(algorithm).map(|found| found.output_len)
}

/// The DER that stands before a digest of this hash in a PKCS#1 v1.5 signature; `None` for hashes without a registered form.
#[must_use]
pub fn digest_info_prefix(algorithm: HashingAlgorithm) -> Option<&'static [u8]> {
    DIGEST_INFO.iter().find(|(hash, _)| *hash == algorithm).map(|(_, prefix)| *prefix)
}

/// The whole `DigestInfo` for a digest that was made elsewhere.
///
/// # Errors
///
/// `Unsupported` for a hash without a registered form, `Malformed` when the digest has another length.
pub fn digest_info(algorithm: HashingAlgorithm, digest: &[u8]) -> Result<Vec<u8>, Error> {
    let prefix = digest_info_prefix(algorithm).ok_or(Error::Unsupported("a DigestInfo of this hash"))?;
    if prefix.last().is_none_or(|length| usize::from(*length) != digest.len()) {
        return Err(Error::malformed("digest of this hash"));
    }
    Ok([prefix, digest].concat())
}

/// A hash over data that comes in pieces.
#[derive(Clone)]
pub struct Hasher(lc::Context);

impl Hasher {
    /// Begins.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a hash that is not in [`HASHES`].
    pub fn new(algorithm: HashingAlgorithm) -> Result<Self, Error> {
        find(algorithm).map(|found| Self(lc::Context::new(found))).ok_or(Error::Unsupported("this hashing algorithm"))
    }

    /// Takes the next piece.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest of all pieces.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

/// Lower-case hexadecimal text.
#[must_use]
pub fn to_hex(data: &[u8]) -> String {
    data.iter()
        .flat_map(|byte| [byte >> 4, byte & 0xF])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

/// The bytes of hexadecimal text in either case, two digits a byte and nothing between them.
///
/// # Errors
///
/// `Malformed` for an odd count of digits or anything else than digits.
pub fn from_hex(text: &str) -> Result<Vec<u8>, Error> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some((nibble(*high)? << 4) | nibble(*low)?),
        _ => None,
    });
    pairs.collect::<Option<_>>().ok_or(Error::malformed("hexadecimal text"))
}

fn find(algorithm: HashingAlgorithm) -> Option<&'static lc::Algorithm> {
    HASHES.iter().find(|(hash, _)| *hash == algorithm).map(|(_, found)| *found)
}

fn fixed(digest: &[u8]) -> [u8; 32] {
    digest.try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests_of_abc() {
        // FIPS 180-4 and FIPS 202 example values for the message "abc".
        let known = [
            (HashingAlgorithm::SHA_1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (HashingAlgorithm::SHA_224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            (HashingAlgorithm::SHA_256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                HashingAlgorithm::SHA_384,
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (HashingAlgorithm::SHA_512_256, "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"),
            (HashingAlgorithm::SHA3_256, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
        ];
        for (hash, expected) in known {
            assert_eq!(to_hex(&digest(hash, b"abc").unwrap()), expected, "{:?}", hash.name());
        }
        assert_eq!(to_hex(&sha256_of(&[b"a", b"", b"bc"])), known[2].1);
    }

    #[test]
    fn known_hmac() {
        // RFC 4231, test case 2.
        let mac = hmac_sha256(&SecretValue::new(b"Jefe".to_vec()), &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(to_hex(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn other_hashes_are_refused() {
        let refused =
            [HashingAlgorithm::MD5, HashingAlgorithm::SHA3_224, HashingAlgorithm(0), HashingAlgorithm(0x8000_0001)];
        for hash in refused {
            assert_eq!(digest(hash, b""), Err(Error::Unsupported("this hashing algorithm")));
            assert_eq!(digest_bytes(hash), None);
        }
    }

    #[test]
    fn every_prefix_announces_its_digest() {
        for (hash, algorithm) in HASHES {
            let digest = vec![0xAB; algorithm.output_len];
            let info = digest_info(*hash, &digest).unwrap();
            assert_eq!(usize::from(info[1]) + 2, info.len(), "{:?}", hash.name());
            assert!(info.ends_with(&digest));
            assert_eq!(digest_info(*hash, &digest[1..]), Err(Error::malformed("digest of this hash")));
        }
        assert!(digest_info(HashingAlgorithm::WHIRLPOOL, &[0; 64]).is_err());
    }

    #[test]
    fn hexadecimal_text_is_exact() {
        assert_eq!(from_hex("00fFa1").unwrap(), [0x00, 0xFF, 0xA1]);
        assert_eq!(from_hex("").unwrap(), [0u8; 0]);
        for wrong in ["0", "0g", "0x", " 00", "00 11", "+1", "é"] {
            assert_eq!(from_hex(wrong), Err(Error::malformed("hexadecimal text")), "{wrong}");
        }
    }
}
