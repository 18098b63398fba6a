//! `EVP_MD_CTX`: running hashes.

use std::{ffi::c_uint, ptr};

use aws_lc_sys as sys;

use super::{Owned, ok};
use crate::crypto::{
    error::{CryptoError, Result},
    params::Hash,
};

/// The library's description of a hash.
pub(super) fn evp(hash: Hash) -> *const sys::EVP_MD {
    // SAFETY: these functions return pointers to static tables.
    unsafe {
        match hash {
            Hash::Sha1 => sys::EVP_sha1(),
            Hash::Sha224 => sys::EVP_sha224(),
            Hash::Sha256 => sys::EVP_sha256(),
            Hash::Sha384 => sys::EVP_sha384(),
            Hash::Sha512 => sys::EVP_sha512(),
            Hash::Sha512_224 => sys::EVP_sha512_224(),
            Hash::Sha512_256 => sys::EVP_sha512_256(),
            Hash::Sha3_224 => sys::EVP_sha3_224(),
            Hash::Sha3_256 => sys::EVP_sha3_256(),
            Hash::Sha3_384 => sys::EVP_sha3_384(),
            Hash::Sha3_512 => sys::EVP_sha3_512(),
            Hash::Shake128 => sys::EVP_shake128(),
            Hash::Shake256 => sys::EVP_shake256(),
        }
    }
}

/// SHAKE256 over parts, as many bytes as the output takes.
pub(in crate::crypto) fn shake256(parts: &[&[u8]], output: &mut [u8]) -> Result<()> {
    let mut context = DigestContext::new(Hash::Shake256)?;
    for part in parts {
        context.update(part)?;
    }
    // SAFETY: the function gives as many bytes as are asked for.
    ok(unsafe { sys::EVP_DigestFinalXOF(context.0.as_mut_ptr(), output.as_mut_ptr(), output.len()) })
}

/// A running hash.
pub(in crate::crypto) struct DigestContext(Owned<sys::EVP_MD_CTX>, Hash);

impl DigestContext {
    pub(in crate::crypto) fn new(hash: Hash) -> Result<Self> {
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::EVP_MD_CTX_new()) }?;
        // SAFETY: the context is live and the hash static.
        ok(unsafe { sys::EVP_DigestInit_ex(context.as_mut_ptr(), evp(hash), ptr::null_mut()) })?;
        Ok(Self(context, hash))
    }

    pub(in crate::crypto) fn update(&mut self, data: &[u8]) -> Result<()> {
        // SAFETY: the data is valid for its length.
        ok(unsafe { sys::EVP_DigestUpdate(self.0.as_mut_ptr(), data.as_ptr().cast(), data.len()) })
    }

    /// Writes the digest; `output` has exactly its length.
    pub(in crate::crypto) fn finish(&mut self, output: &mut [u8]) -> Result<()> {
        if output.len() != self.1.output_bytes() {
            return Err(CryptoError::GeneralError);
        }
        if matches!(self.1, Hash::Shake128 | Hash::Shake256) {
            // SAFETY: these functions give as many bytes as are asked for.
            return ok(unsafe { sys::EVP_DigestFinalXOF(self.0.as_mut_ptr(), output.as_mut_ptr(), output.len()) });
        }
        let mut written: c_uint = 0;
        // SAFETY: `output` has the digest's length, checked above.
        ok(unsafe { sys::EVP_DigestFinal_ex(self.0.as_mut_ptr(), output.as_mut_ptr(), &raw mut written) })
    }

    /// Bytes of the library's state of a hash, for those whose state is one plain structure.
    const fn state_bytes(hash: Hash) -> Option<usize> {
        match hash {
            Hash::Sha1 => Some(size_of::<sys::SHA_CTX>()),
            Hash::Sha224 | Hash::Sha256 => Some(size_of::<sys::SHA256_CTX>()),
            Hash::Sha384 | Hash::Sha512 | Hash::Sha512_224 | Hash::Sha512_256 => Some(size_of::<sys::SHA512_CTX>()),
            _ => None,
        }
    }

    /// A copy of the state, if the hash has one that can be copied.
    pub(in crate::crypto) fn save(&self) -> Option<Vec<u8>> {
        let bytes = Self::state_bytes(self.1)?;
        // SAFETY: the context is live and initialised, so its state is this hash's structure, which the library zeroed at
        // the start; it consists of integers without padding.
        Some(unsafe { std::slice::from_raw_parts((*self.0.as_ptr()).md_data.cast::<u8>(), bytes) }.to_vec())
    }

    /// Continues from a copy of the state. The copy must be one that [`save`](Self::save) made of the same hash: the
    /// structure has an index into itself. The caller has checked that by a MAC.
    pub(in crate::crypto) fn restore(hash: Hash, state: &[u8]) -> Option<Self> {
        if Self::state_bytes(hash)? != state.len() {
            return None;
        }
        let context = Self::new(hash).ok()?;
        // SAFETY: the context's state is this hash's structure, of the length checked above, and an authentic copy is one
        // of its valid values.
        unsafe {
            ptr::copy_nonoverlapping(state.as_ptr(), (*context.0.as_ptr()).md_data.cast::<u8>(), state.len());
        }
        Some(context)
    }

    fn duplicate(&self) -> Result<Self> {
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::EVP_MD_CTX_new()) }?;
        // SAFETY: both contexts are live; the source is only read.
        ok(unsafe { sys::EVP_MD_CTX_copy_ex(context.as_mut_ptr(), self.0.as_ptr()) })?;
        Ok(Self(context, self.1))
    }
}

impl Clone for DigestContext {
    fn clone(&self) -> Self {
        self.duplicate().expect("copying a live digest fails only when memory is exhausted, as any allocation")
    }
}
