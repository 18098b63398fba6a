//! What the token store needs: sealed records and derived keys.
//!
//! A sealed record is nonce, ciphertext and tag of AES-256-GCM in one string. Nonces are random, so one key may seal about
//! 2³² records (SP 800-38D §8.3); the store derives a key per token, far from that.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    error::{CryptoError, Result},
    ffi::{
        aead::{Aead, AeadKey, TAG_BYTES},
        kdf, random,
    },
    mac,
    params::Hash,
};

/// A prepared key that seals and opens records; threads may share it.
pub struct SealKey(AeadKey);

impl SealKey {
    /// Prepares a key of 32 bytes; `KeySizeRange` for any other that AES does not have.
    pub fn new(key: &[u8]) -> Result<Self> {
        AeadKey::new(Aead::AesGcm, key).map(Self)
    }

    /// Seals `plain`, bound to `aad`.
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = vec![0; NONCE_BYTES + plain.len() + TAG_BYTES];
        let (nonce, rest) = sealed.split_at_mut_checked(NONCE_BYTES).ok_or(CryptoError::GeneralError)?;
        let (body, end) = rest.split_at_mut_checked(plain.len()).ok_or(CryptoError::GeneralError)?;
        random::fill(nonce)?;
        end.copy_from_slice(&self.0.seal(nonce, aad, plain, body)?);
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made with the same `aad`; every other string is `AeadDecryptFailed`.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let parts = || {
            let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES)?;
            let (body, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
            Some((nonce, body, tag))
        };
        let (nonce, body, tag) = parts().ok_or(CryptoError::AeadDecryptFailed)?;
        let mut plain = Zeroizing::new(vec![0; body.len()]);
        self.0.open(nonce, aad, body, tag, &mut plain).map_err(|_whatever| CryptoError::AeadDecryptFailed)?;
        Ok(plain)
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealKey").finish_non_exhaustive()
    }
}

/// Seals one record; with many under one key, keep a [`SealKey`].
pub fn seal(key: &[u8], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    SealKey::new(key)?.seal(aad, plain)
}

/// Opens one record.
pub fn open(key: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    SealKey::new(key)?.open(aad, sealed)
}

/// HKDF with SHA-256, extract and expand (RFC 5869).
pub fn hkdf_sha256(secret: &[u8], salt: &[u8], info: &[u8], output: &mut [u8]) -> Result<()> {
    kdf::hkdf(Hash::Sha256, secret, salt, info, output)
}

/// HMAC with SHA-256 over parts that belong together; the caller keeps their borders unambiguous.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Result<[u8; 32]> {
    let mac = mac::hmac_once(Hash::Sha256, key, parts)?;
    mac.as_slice().try_into().map_err(|_length| CryptoError::GeneralError)
}

/// Compares without telling by time where two strings differ; lengths are not secret.
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    bool::from(left.ct_eq(right))
}

const NONCE_BYTES: usize = 12;
