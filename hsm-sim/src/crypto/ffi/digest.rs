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
        }
    }
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
        let mut written: c_uint = 0;
        // SAFETY: `output` has the digest's length, checked above.
        ok(unsafe { sys::EVP_DigestFinal_ex(self.0.as_mut_ptr(), output.as_mut_ptr(), &raw mut written) })
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
