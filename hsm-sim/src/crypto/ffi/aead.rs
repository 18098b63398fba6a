//! `EVP_AEAD_CTX`: authenticated encryption in one call under a prepared key that threads may share.

use std::ptr;

use aws_lc_sys as sys;

use super::{Owned, failure, ok};
use crate::crypto::error::{CryptoError, Result};

/// Tag of every AEAD offered here, before any truncation.
pub(in crate::crypto) const TAG_BYTES: usize = 16;

/// An AEAD of the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::crypto) enum Aead {
    AesGcm,
    ChaCha20Poly1305,
}

/// A prepared AEAD key.
pub(in crate::crypto) struct AeadKey(Owned<sys::EVP_AEAD_CTX>);

impl AeadKey {
    pub(in crate::crypto) fn new(aead: Aead, key: &[u8]) -> Result<Self> {
        // SAFETY: these functions return pointers to static tables.
        let evp = unsafe {
            match (aead, key.len()) {
                (Aead::AesGcm, 16) => sys::EVP_aead_aes_128_gcm(),
                (Aead::AesGcm, 24) => sys::EVP_aead_aes_192_gcm(),
                (Aead::AesGcm, 32) => sys::EVP_aead_aes_256_gcm(),
                (Aead::ChaCha20Poly1305, 32) => sys::EVP_aead_chacha20_poly1305(),
                _ => return Err(CryptoError::KeySizeRange),
            }
        };
        // SAFETY: the key has the AEAD's length; the answer is a fresh object or null.
        unsafe { Owned::new(sys::EVP_AEAD_CTX_new(evp, key.as_ptr(), key.len(), TAG_BYTES)) }.map(Self)
    }

    /// Encrypts `input` to the front of `output`, which holds at least as much, and returns the tag.
    pub(in crate::crypto) fn seal(
        &self,
        nonce: &[u8],
        aad: &[u8],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<[u8; TAG_BYTES]> {
        if output.len() < input.len() {
            return Err(CryptoError::GeneralError);
        }
        let mut tag = [0; TAG_BYTES];
        let mut tag_bytes = 0;
        // SAFETY: all pointers are valid for the lengths given; `output` takes `input.len()` bytes; the context is only
        // read, which the library allows from several threads.
        ok(unsafe {
            sys::EVP_AEAD_CTX_seal_scatter(
                self.0.as_ptr(),
                output.as_mut_ptr(),
                tag.as_mut_ptr(),
                &raw mut tag_bytes,
                tag.len(),
                nonce.as_ptr(),
                nonce.len(),
                input.as_ptr(),
                input.len(),
                ptr::null(),
                0,
                aad.as_ptr(),
                aad.len(),
            )
        })?;
        if tag_bytes == TAG_BYTES { Ok(tag) } else { Err(failure()) }
    }

    /// Decrypts `input` to the front of `output`; on a wrong tag the output is zeroed and the error is returned.
    pub(in crate::crypto) fn open(
        &self,
        nonce: &[u8],
        aad: &[u8],
        input: &[u8],
        tag: &[u8],
        output: &mut [u8],
    ) -> Result<()> {
        let output = output.get_mut(..input.len()).ok_or(CryptoError::GeneralError)?;
        // SAFETY: as in `seal`.
        let answer = ok(unsafe {
            sys::EVP_AEAD_CTX_open_gather(
                self.0.as_ptr(),
                output.as_mut_ptr(),
                nonce.as_ptr(),
                nonce.len(),
                input.as_ptr(),
                input.len(),
                tag.as_ptr(),
                tag.len(),
                aad.as_ptr(),
                aad.len(),
            )
        });
        if answer.is_err() {
            output.fill(0);
        }
        answer
    }
}
