//! Key derivation functions.

use aws_lc_sys as sys;

use super::{digest, ok};
use crate::crypto::{
    error::{CryptoError, Result},
    params::Hash,
};

/// HKDF, extract and expand (RFC 5869); fails when the output is longer than 255 digests.
pub(in crate::crypto) fn hkdf(hash: Hash, secret: &[u8], salt: &[u8], info: &[u8], output: &mut [u8]) -> Result<()> {
    // SAFETY: pointers and lengths belong together; the hash is static.
    ok(unsafe {
        sys::HKDF(
            output.as_mut_ptr(),
            output.len(),
            digest::evp(hash),
            secret.as_ptr(),
            secret.len(),
            salt.as_ptr(),
            salt.len(),
            info.as_ptr(),
            info.len(),
        )
    })
}

/// HKDF-Extract (RFC 5869 §2.2); `output` has the hash's length.
pub(in crate::crypto) fn hkdf_extract(hash: Hash, secret: &[u8], salt: &[u8], output: &mut [u8]) -> Result<()> {
    if output.len() != hash.output_bytes() {
        return Err(CryptoError::GeneralError);
    }
    let mut written = 0;
    // SAFETY: pointers and lengths belong together; the output has the hash's length, which is what is written.
    ok(unsafe {
        sys::HKDF_extract(
            output.as_mut_ptr(),
            &raw mut written,
            digest::evp(hash),
            secret.as_ptr(),
            secret.len(),
            salt.as_ptr(),
            salt.len(),
        )
    })
}

/// HKDF-Expand (RFC 5869 §2.3); fails when the output is longer than 255 digests.
pub(in crate::crypto) fn hkdf_expand(hash: Hash, key: &[u8], info: &[u8], output: &mut [u8]) -> Result<()> {
    // SAFETY: pointers and lengths belong together; the hash is static.
    ok(unsafe {
        sys::HKDF_expand(
            output.as_mut_ptr(),
            output.len(),
            digest::evp(hash),
            key.as_ptr(),
            key.len(),
            info.as_ptr(),
            info.len(),
        )
    })
}

/// PBKDF2 with HMAC (RFC 8018 §5.2).
pub(in crate::crypto) fn pbkdf2(
    hash: Hash,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    output: &mut [u8],
) -> Result<()> {
    // SAFETY: pointers and lengths belong together; the hash is static.
    ok(unsafe {
        sys::PKCS5_PBKDF2_HMAC(
            password.as_ptr().cast(),
            password.len(),
            salt.as_ptr(),
            salt.len(),
            iterations,
            digest::evp(hash),
            output.len(),
            output.as_mut_ptr(),
        )
    })
}
