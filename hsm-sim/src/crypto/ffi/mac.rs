//! `HMAC_CTX` and `CMAC_CTX`.

use std::{ffi::c_uint, ptr};

use aws_lc_sys as sys;

use super::{Owned, digest, ok};
use crate::crypto::{
    error::{CryptoError, Result},
    params::Hash,
};

/// The longest MAC: HMAC-SHA-512.
pub(in crate::crypto) const MAC_BYTES_MAX: usize = 64;

/// A keyed HMAC; a copy of one that was only keyed starts a message.
pub(in crate::crypto) struct Hmac(Owned<sys::HMAC_CTX>);

impl Hmac {
    pub(in crate::crypto) fn keyed(hash: Hash, key: &[u8]) -> Result<Self> {
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::HMAC_CTX_new()) }?;
        // SAFETY: the key is valid for its length; the hash is static.
        ok(unsafe {
            sys::HMAC_Init_ex(context.as_mut_ptr(), key.as_ptr().cast(), key.len(), digest::evp(hash), ptr::null_mut())
        })?;
        Ok(Self(context))
    }

    pub(in crate::crypto) fn start(&self) -> Result<Self> {
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::HMAC_CTX_new()) }?;
        // SAFETY: both contexts are live; the source is only read.
        ok(unsafe { sys::HMAC_CTX_copy_ex(context.as_mut_ptr(), self.0.as_ptr()) })?;
        Ok(Self(context))
    }

    pub(in crate::crypto) fn update(&mut self, data: &[u8]) -> Result<()> {
        // SAFETY: the data is valid for its length.
        ok(unsafe { sys::HMAC_Update(self.0.as_mut_ptr(), data.as_ptr(), data.len()) })
    }

    pub(in crate::crypto) fn finish(&mut self) -> Result<([u8; MAC_BYTES_MAX], usize)> {
        let mut output = [0; MAC_BYTES_MAX];
        let mut written: c_uint = 0;
        // SAFETY: the output takes the longest MAC.
        ok(unsafe { sys::HMAC_Final(self.0.as_mut_ptr(), output.as_mut_ptr(), &raw mut written) })?;
        Ok((output, usize::try_from(written).map_err(|_wide| CryptoError::GeneralError)?))
    }
}

/// A keyed AES-CMAC or TDES-CMAC; a copy of one that was only keyed starts a message.
pub(in crate::crypto) struct Cmac(Owned<sys::CMAC_CTX>);

impl Cmac {
    pub(in crate::crypto) fn aes(key: &[u8]) -> Result<Self> {
        // SAFETY: these functions return pointers to static tables.
        let cipher = unsafe {
            match key.len() {
                16 => sys::EVP_aes_128_cbc(),
                24 => sys::EVP_aes_192_cbc(),
                32 => sys::EVP_aes_256_cbc(),
                _ => return Err(CryptoError::KeySizeRange),
            }
        };
        Self::keyed(cipher, key)
    }

    pub(in crate::crypto) fn des3(key: &[u8]) -> Result<Self> {
        if key.len() != 24 {
            return Err(CryptoError::KeySizeRange);
        }
        // SAFETY: the function returns a pointer to a static table.
        Self::keyed(unsafe { sys::EVP_des_ede3_cbc() }, key)
    }

    /// The key has the cipher's length, which the callers check.
    fn keyed(cipher: *const sys::EVP_CIPHER, key: &[u8]) -> Result<Self> {
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::CMAC_CTX_new()) }?;
        // SAFETY: the key has the cipher's length.
        ok(unsafe { sys::CMAC_Init(context.as_mut_ptr(), key.as_ptr().cast(), key.len(), cipher, ptr::null_mut()) })?;
        Ok(Self(context))
    }

    pub(in crate::crypto) fn start(&self) -> Result<Self> {
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::CMAC_CTX_new()) }?;
        // SAFETY: both contexts are live; the source is only read.
        ok(unsafe { sys::CMAC_CTX_copy(context.as_mut_ptr(), self.0.as_ptr()) })?;
        Ok(Self(context))
    }

    pub(in crate::crypto) fn update(&mut self, data: &[u8]) -> Result<()> {
        // SAFETY: the data is valid for its length.
        ok(unsafe { sys::CMAC_Update(self.0.as_mut_ptr(), data.as_ptr(), data.len()) })
    }

    pub(in crate::crypto) fn finish(&mut self) -> Result<([u8; MAC_BYTES_MAX], usize)> {
        let mut output = [0; MAC_BYTES_MAX];
        let mut written = 0;
        // SAFETY: the output takes more than a block.
        ok(unsafe { sys::CMAC_Final(self.0.as_mut_ptr(), output.as_mut_ptr(), &raw mut written) })?;
        Ok((output, written))
    }
}
