//! Ed25519 (RFC 8032) in its three forms, and X25519 (RFC 7748).

use aws_lc_sys as sys;
use zeroize::Zeroizing;

use super::ok;
use crate::crypto::error::Result;

/// Bytes of a signature.
pub(in crate::crypto) const SIGNATURE_BYTES: usize = 64;

/// The private key as the library takes it: seed, then public key.
pub(in crate::crypto) fn expand(seed: &[u8; 32]) -> Zeroizing<[u8; 64]> {
    let mut public = [0; 32];
    let mut private = Zeroizing::new([0; 64]);
    // SAFETY: all three arrays have the lengths the function reads and writes.
    unsafe { sys::ED25519_keypair_from_seed(public.as_mut_ptr(), private.as_mut_ptr(), seed.as_ptr()) };
    private
}

/// Pure Ed25519.
pub(in crate::crypto) fn sign(key: &[u8; 64], message: &[u8]) -> Result<[u8; SIGNATURE_BYTES]> {
    let mut signature = [0; SIGNATURE_BYTES];
    // SAFETY: 64 bytes of signature and key, as the function takes them.
    ok(unsafe { sys::ED25519_sign(signature.as_mut_ptr(), message.as_ptr(), message.len(), key.as_ptr()) })?;
    Ok(signature)
}

pub(in crate::crypto) fn verify(key: &[u8; 32], message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Result<()> {
    // SAFETY: 64 bytes of signature and 32 of key, as the function takes them.
    ok(unsafe { sys::ED25519_verify(message.as_ptr(), message.len(), signature.as_ptr(), key.as_ptr()) })
}

/// Ed25519ctx; the library refuses an empty context.
pub(in crate::crypto) fn sign_context(key: &[u8; 64], context: &[u8], message: &[u8]) -> Result<[u8; SIGNATURE_BYTES]> {
    let mut signature = [0; SIGNATURE_BYTES];
    // SAFETY: as in `sign`; the library checks the context's length.
    ok(unsafe {
        sys::ED25519ctx_sign(
            signature.as_mut_ptr(),
            message.as_ptr(),
            message.len(),
            key.as_ptr(),
            context.as_ptr(),
            context.len(),
        )
    })?;
    Ok(signature)
}

pub(in crate::crypto) fn verify_context(
    key: &[u8; 32],
    context: &[u8],
    message: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<()> {
    // SAFETY: as in `verify`; the library checks the context's length.
    ok(unsafe {
        sys::ED25519ctx_verify(
            message.as_ptr(),
            message.len(),
            signature.as_ptr(),
            key.as_ptr(),
            context.as_ptr(),
            context.len(),
        )
    })
}

/// Ed25519ph over the SHA-512 digest of the message.
pub(in crate::crypto) fn sign_prehash(
    key: &[u8; 64],
    context: &[u8],
    digest: &[u8; 64],
) -> Result<[u8; SIGNATURE_BYTES]> {
    let mut signature = [0; SIGNATURE_BYTES];
    // SAFETY: as in `sign`, with 64 bytes of digest; the library checks the context's length.
    ok(unsafe {
        sys::ED25519ph_sign_digest(
            signature.as_mut_ptr(),
            digest.as_ptr(),
            key.as_ptr(),
            context.as_ptr(),
            context.len(),
        )
    })?;
    Ok(signature)
}

pub(in crate::crypto) fn verify_prehash(
    key: &[u8; 32],
    context: &[u8],
    digest: &[u8; 64],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<()> {
    // SAFETY: as in `verify`, with 64 bytes of digest; the library checks the context's length.
    ok(unsafe {
        sys::ED25519ph_verify_digest(digest.as_ptr(), signature.as_ptr(), key.as_ptr(), context.as_ptr(), context.len())
    })
}

/// The X25519 public key of a private one.
pub(in crate::crypto) fn x25519_public(private: &[u8; 32]) -> [u8; 32] {
    let mut public = [0; 32];
    // SAFETY: both arrays have 32 bytes.
    unsafe { sys::X25519_public_from_private(public.as_mut_ptr(), private.as_ptr()) };
    public
}

/// The shared secret; an error when it is all zero (RFC 7748 §6.1).
pub(in crate::crypto) fn x25519(private: &[u8; 32], peer: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>> {
    let mut shared = Zeroizing::new([0; 32]);
    // SAFETY: all arrays have 32 bytes.
    ok(unsafe { sys::X25519(shared.as_mut_ptr(), private.as_ptr(), peer.as_ptr()) })?;
    Ok(shared)
}
