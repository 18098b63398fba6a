//! AES-256 key wrap with padding (RFC 5649): how values cross the boundary of a token under a transport key.

use aws_lc_rs::{
    error::Unspecified,
    key_wrap::{AES_256, KeyEncryptionKey, KeyWrapPadded},
};
use zeroize::Zeroizing;

use super::{Error, asn1::cut_into_secret, bytes};
use crate::domain::SecretValue;

/// The length of the wrapping key in bytes.
pub const KEK_BYTES: usize = 32;

/// Wraps `value`, which must not be empty, under a 32-byte key.
///
/// # Errors
///
/// `Malformed` for a key of another length or an empty value.
pub fn wrap(kek: &SecretValue, value: &SecretValue) -> Result<Vec<u8>, Error> {
    if value.is_empty() {
        return Err(Error::malformed("value to wrap"));
    }
    let mut output = vec![0; value.len() + 15];
    let length =
        key(kek)?.wrap_with_padding(bytes(value), &mut output).map_err(|Unspecified| Error::Failed("key wrap"))?.len();
    output.truncate(length);
    Ok(output)
}

/// Unwraps what [`wrap`] or a token's `CKM_AES_KEY_WRAP_KWP` made.
///
/// # Errors
///
/// `Malformed` for a key of another length, `Unopened` for anything that this key did not wrap.
pub fn unwrap(kek: &SecretValue, wrapped: &[u8]) -> Result<SecretValue, Error> {
    let mut output = Zeroizing::new(vec![0; wrapped.len()]);
    let length = key(kek)?.unwrap_with_padding(wrapped, &mut output).map_err(|Unspecified| Error::Unopened)?.len();
    Ok(cut_into_secret(output, length))
}

fn key(kek: &SecretValue) -> Result<KeyEncryptionKey<aws_lc_rs::key_wrap::AesBlockCipher>, Error> {
    if kek.len() != KEK_BYTES {
        return Err(Error::malformed("AES-256 wrapping key"));
    }
    KeyEncryptionKey::new(&AES_256, bytes(kek)).map_err(|Unspecified| Error::Failed("key wrap"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: &[u8]) -> SecretValue {
        SecretValue::new(bytes.to_vec())
    }

    #[test]
    fn every_length_comes_back() {
        let kek = secret(&[7; 32]);
        for length in [1, 7, 8, 9, 16, 31, 32, 33, 1000] {
            let value = secret(&vec![0xA5; length]);
            let wrapped = wrap(&kek, &value).unwrap();
            assert_eq!(wrapped.len(), length.div_ceil(8).max(1) * 8 + 8);
            assert!(unwrap(&kek, &wrapped).unwrap().matches(&value), "{length}");
        }
    }

    #[test]
    fn whatever_was_changed_does_not_open() {
        let kek = secret(&[7; 32]);
        let wrapped = wrap(&kek, &secret(b"twenty-four bytes of key")).unwrap();
        for position in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[position] ^= 1;
            assert_eq!(unwrap(&kek, &changed).unwrap_err(), Error::Unopened, "{position}");
        }
        for length in 0..wrapped.len() {
            assert_eq!(unwrap(&kek, &wrapped[..length]).unwrap_err(), Error::Unopened, "{length}");
        }
        assert_eq!(unwrap(&secret(&[8; 32]), &wrapped).unwrap_err(), Error::Unopened);
    }

    #[test]
    fn other_keys_and_empty_values_are_refused() {
        assert_eq!(wrap(&secret(&[7; 16]), &secret(b"x")).unwrap_err(), Error::malformed("AES-256 wrapping key"));
        assert_eq!(unwrap(&secret(&[]), &[0; 16]).unwrap_err(), Error::malformed("AES-256 wrapping key"));
        assert_eq!(wrap(&secret(&[7; 32]), &secret(b"")).unwrap_err(), Error::malformed("value to wrap"));
    }
}
