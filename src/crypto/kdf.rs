//! Key derivation over a value that is in zeroised memory: what KMIP's Derive Key offers beyond the mechanisms of tokens.
//!
//! The outputs are secrets. The HSM layer calls these on the worker's thread, so the value they start from goes nowhere else.

use std::num::NonZeroU32;

use aws_lc_rs::{hkdf, hmac, pbkdf2};
use zeroize::Zeroizing;

use super::{Error, bytes, hash::Hasher};
use crate::domain::{SecretValue, algorithm::HashingAlgorithm};

/// Most bytes that one derivation makes.
pub const OUTPUT_MAX: usize = 1 << 16;

fn room(count: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    if (1..=OUTPUT_MAX).contains(&count) {
        Ok(Zeroizing::new(vec![0; count]))
    } else {
        Err(Error::Unsupported("this length of a derived value"))
    }
}

fn secret(mut output: Zeroizing<Vec<u8>>) -> SecretValue {
    SecretValue::new(std::mem::take(&mut *output))
}

/// The digest of a value with data after it.
///
/// # Errors
///
/// `Unsupported` for a hash that we do not compute.
pub fn hash(algorithm: HashingAlgorithm, value: &SecretValue, data: &[u8]) -> Result<SecretValue, Error> {
    let mut hasher = Hasher::new(algorithm)?;
    hasher.update(bytes(value));
    hasher.update(data);
    Ok(SecretValue::new(hasher.finish()))
}

/// PBKDF2 with HMAC (RFC 8018 §5.2).
///
/// # Errors
///
/// `Unsupported` for other hashes than SHA-1, SHA-256, SHA-384 and SHA-512, for no iteration and for absurd lengths.
pub fn pbkdf2(
    algorithm: HashingAlgorithm,
    password: &SecretValue,
    salt: &[u8],
    iterations: u32,
    count: usize,
) -> Result<SecretValue, Error> {
    let algorithm = match algorithm {
        HashingAlgorithm::SHA_1 => pbkdf2::PBKDF2_HMAC_SHA1,
        HashingAlgorithm::SHA_256 => pbkdf2::PBKDF2_HMAC_SHA256,
        HashingAlgorithm::SHA_384 => pbkdf2::PBKDF2_HMAC_SHA384,
        HashingAlgorithm::SHA_512 => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => return Err(Error::Unsupported("PBKDF2 with this hash")),
    };
    let iterations = NonZeroU32::new(iterations).ok_or(Error::Unsupported("PBKDF2 without iterations"))?;
    let mut output = room(count)?;
    pbkdf2::derive(algorithm, iterations, salt, bytes(password), &mut output);
    Ok(secret(output))
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF, extract and expand (RFC 5869).
///
/// # Errors
///
/// `Unsupported` for other hashes than SHA-1, SHA-256, SHA-384 and SHA-512, and for more than 255 blocks.
pub fn hkdf(
    algorithm: HashingAlgorithm,
    value: &SecretValue,
    salt: &[u8],
    info: &[u8],
    count: usize,
) -> Result<SecretValue, Error> {
    let algorithm = match algorithm {
        HashingAlgorithm::SHA_1 => hkdf::HKDF_SHA1_FOR_LEGACY_USE_ONLY,
        HashingAlgorithm::SHA_256 => hkdf::HKDF_SHA256,
        HashingAlgorithm::SHA_384 => hkdf::HKDF_SHA384,
        HashingAlgorithm::SHA_512 => hkdf::HKDF_SHA512,
        _ => return Err(Error::Unsupported("HKDF with this hash")),
    };
    let mut output = room(count)?;
    let too_long = |_unspecified| Error::Unsupported("this length of a derived value");
    let extracted = hkdf::Salt::new(algorithm, salt).extract(bytes(value));
    let info = [info];
    let expanded = extracted.expand(&info, Length(count)).map_err(too_long)?;
    expanded.fill(&mut output).map_err(too_long)?;
    Ok(secret(output))
}

/// The signing key of AWS Signature Version 4: date, region, service and a fixed word, HMAC'ed in turn.
#[must_use]
pub fn aws_signature(value: &SecretValue, scope: &[Vec<u8>; 3]) -> SecretValue {
    let [date, rest @ ..] = scope;
    let mut key = Zeroizing::new(Vec::with_capacity(AWS_PREFIX.len() + value.len()));
    key.extend_from_slice(AWS_PREFIX);
    key.extend_from_slice(bytes(value));
    let first = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), date);
    aws_signature_of(&SecretValue::new(first.as_ref().to_vec()), rest)
}

/// What stands before the secret access key (AWS Signature Version 4).
pub const AWS_PREFIX: &[u8] = b"AWS4";

/// The rest of it: from the HMAC of the date on, which is no key of the HSM any more.
#[must_use]
pub fn aws_signature_of(date_key: &SecretValue, rest: &[Vec<u8>; 2]) -> SecretValue {
    let mut key = Zeroizing::new(bytes(date_key).to_vec());
    for part in rest.iter().map(Vec::as_slice).chain([b"aws4_request".as_slice()]) {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part);
        key = Zeroizing::new(tag.as_ref().to_vec());
    }
    secret(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::to_hex;

    fn value(bytes: &[u8]) -> SecretValue {
        SecretValue::new(bytes.to_vec())
    }

    fn hex(value: &SecretValue) -> String {
        to_hex(bytes(value))
    }

    #[test]
    fn pbkdf2_answers_as_rfc_6070_says() {
        let derived = pbkdf2(HashingAlgorithm::SHA_1, &value(b"password"), b"salt", 4096, 20).unwrap();
        assert_eq!(hex(&derived), "4b007901b765489abead49d926f721d065a429c1");
        assert!(pbkdf2(HashingAlgorithm::SHA_1, &value(b"password"), b"salt", 0, 20).is_err());
        assert!(pbkdf2(HashingAlgorithm::MD5, &value(b"password"), b"salt", 1, 20).is_err());
        assert!(pbkdf2(HashingAlgorithm::SHA_1, &value(b"password"), b"salt", 1, 0).is_err());
    }

    #[test]
    fn hkdf_answers_as_rfc_5869_says() {
        let salt: Vec<u8> = (0..=0x0C).collect();
        let info: Vec<u8> = (0xF0..=0xF9).collect();
        let derived = hkdf(HashingAlgorithm::SHA_256, &value(&[0x0B; 22]), &salt, &info, 42).unwrap();
        assert_eq!(
            hex(&derived),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
        assert!(hkdf(HashingAlgorithm::SHA_256, &value(&[1]), &[], &[], 255 * 32 + 1).is_err());
    }

    #[test]
    fn the_hash_goes_over_the_value_and_what_follows() {
        let derived = hash(HashingAlgorithm::SHA_256, &value(b"ab"), b"c").unwrap();
        assert_eq!(hex(&derived), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn the_aws_key_is_the_one_of_the_published_example() {
        let scope = [b"20120215".to_vec(), b"us-east-1".to_vec(), b"iam".to_vec()];
        let derived = aws_signature(&value(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), &scope);
        assert_eq!(hex(&derived), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }
}
