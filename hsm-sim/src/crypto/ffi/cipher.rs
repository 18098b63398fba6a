//! `EVP_CIPHER_CTX`: block and stream modes, and GCM in parts.

use std::{ffi::c_int, ptr};

use aws_lc_sys as sys;

use super::{Owned, ok, pointer_or_null};
use crate::crypto::{
    error::{CryptoError, Result},
    operation::Direction,
};

/// A cipher and mode of the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::crypto) enum Cipher {
    AesEcb,
    AesCbc,
    AesCtr,
    AesCfb8,
    AesCfb128,
    AesOfb,
    AesGcm,
    AesCcm,
    Des3Ecb,
    Des3Cbc,
}

impl Cipher {
    /// The library's description for a key of so many bytes, null when the cipher has no such size.
    fn evp(self, key_bytes: usize) -> *const sys::EVP_CIPHER {
        // SAFETY: these functions return pointers to static tables.
        unsafe {
            match (self, key_bytes) {
                (Self::AesEcb, 16) => sys::EVP_aes_128_ecb(),
                (Self::AesEcb, 24) => sys::EVP_aes_192_ecb(),
                (Self::AesEcb, 32) => sys::EVP_aes_256_ecb(),
                (Self::AesCbc, 16) => sys::EVP_aes_128_cbc(),
                (Self::AesCbc, 24) => sys::EVP_aes_192_cbc(),
                (Self::AesCbc, 32) => sys::EVP_aes_256_cbc(),
                (Self::AesCtr, 16) => sys::EVP_aes_128_ctr(),
                (Self::AesCtr, 24) => sys::EVP_aes_192_ctr(),
                (Self::AesCtr, 32) => sys::EVP_aes_256_ctr(),
                (Self::AesCfb8, 16) => sys::EVP_aes_128_cfb8(),
                (Self::AesCfb8, 24) => sys::EVP_aes_192_cfb8(),
                (Self::AesCfb8, 32) => sys::EVP_aes_256_cfb8(),
                (Self::AesCfb128, 16) => sys::EVP_aes_128_cfb128(),
                (Self::AesCfb128, 24) => sys::EVP_aes_192_cfb128(),
                (Self::AesCfb128, 32) => sys::EVP_aes_256_cfb128(),
                (Self::AesOfb, 16) => sys::EVP_aes_128_ofb(),
                (Self::AesOfb, 24) => sys::EVP_aes_192_ofb(),
                (Self::AesOfb, 32) => sys::EVP_aes_256_ofb(),
                (Self::AesGcm, 16) => sys::EVP_aes_128_gcm(),
                (Self::AesGcm, 24) => sys::EVP_aes_192_gcm(),
                (Self::AesGcm, 32) => sys::EVP_aes_256_gcm(),
                (Self::AesCcm, 16) => sys::EVP_aes_128_ccm(),
                (Self::AesCcm, 24) => sys::EVP_aes_192_ccm(),
                (Self::AesCcm, 32) => sys::EVP_aes_256_ccm(),
                (Self::Des3Ecb, 24) => sys::EVP_des_ede3_ecb(),
                (Self::Des3Cbc, 24) => sys::EVP_des_ede3_cbc(),
                _ => ptr::null(),
            }
        }
    }

    const fn iv_bytes(self) -> usize {
        match self {
            Self::AesEcb | Self::Des3Ecb => 0,
            Self::Des3Cbc => 8,
            Self::AesCbc | Self::AesCtr | Self::AesCfb8 | Self::AesCfb128 | Self::AesOfb => 16,
            Self::AesGcm | Self::AesCcm => 12,
        }
    }
}

/// What a CCM message authenticates besides its text.
pub(in crate::crypto) struct Ccm<'a> {
    pub(in crate::crypto) nonce: &'a [u8],
    pub(in crate::crypto) aad: &'a [u8],
}

/// A cipher context. One that was only keyed serves as a template, from which operations are started cheaply.
pub(in crate::crypto) struct CipherContext {
    context: Owned<sys::EVP_CIPHER_CTX>,
    cipher: Cipher,
}

impl CipherContext {
    /// Expands a key; `KeySizeRange` when the cipher has no such size.
    pub(in crate::crypto) fn keyed(cipher: Cipher, key: &[u8], direction: Direction) -> Result<Self> {
        let evp = cipher.evp(key.len());
        if evp.is_null() {
            return Err(CryptoError::KeySizeRange);
        }
        let this = Self::blank(cipher)?;
        // SAFETY: `evp` takes a key of this length; a null IV leaves the IV unset.
        ok(unsafe {
            sys::EVP_CipherInit_ex(
                this.context.as_mut_ptr(),
                evp,
                ptr::null_mut(),
                key.as_ptr(),
                ptr::null(),
                encrypting(direction),
            )
        })?;
        // SAFETY: the context has a cipher. Padding is ours to do, in constant time.
        ok(unsafe { sys::EVP_CIPHER_CTX_set_padding(this.context.as_mut_ptr(), 0) })?;
        Ok(this)
    }

    fn blank(cipher: Cipher) -> Result<Self> {
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::EVP_CIPHER_CTX_new()) }?;
        Ok(Self { context, cipher })
    }

    /// Starts an operation from a keyed template.
    pub(in crate::crypto) fn start(&self, iv: Option<&[u8]>, direction: Direction) -> Result<Self> {
        let mut started = Self::blank(self.cipher)?;
        // SAFETY: both contexts are live; the source is only read.
        ok(unsafe { sys::EVP_CIPHER_CTX_copy(started.context.as_mut_ptr(), self.context.as_ptr()) })?;
        started.set_iv(iv, direction)?;
        Ok(started)
    }

    /// Sets the IV anew and forgets buffered key stream.
    pub(in crate::crypto) fn set_iv(&mut self, iv: Option<&[u8]>, direction: Direction) -> Result<()> {
        let context = self.context.as_mut_ptr();
        match (self.cipher, iv) {
            (Cipher::AesGcm, Some(iv)) => {
                let length = c_int::try_from(iv.len()).map_err(|_too_long| CryptoError::MechanismParamInvalid)?;
                // SAFETY: the control takes the length in `arg` and no pointer; it refuses lengths below one.
                ok(unsafe {
                    sys::EVP_CIPHER_CTX_ctrl(context, sys::EVP_CTRL_AEAD_SET_IVLEN, length, ptr::null_mut())
                })?;
            }
            (cipher, iv) if iv.map_or(0, <[u8]>::len) != cipher.iv_bytes() => {
                return Err(CryptoError::MechanismParamInvalid);
            }
            _ => {}
        }
        // SAFETY: the context keeps its cipher and key; the IV has the length the context expects, checked above.
        ok(unsafe {
            sys::EVP_CipherInit_ex(
                context,
                ptr::null(),
                ptr::null_mut(),
                ptr::null(),
                pointer_or_null(iv),
                encrypting(direction),
            )
        })
    }

    /// Processes bytes. Block modes must be given whole blocks, so that as many bytes come out as went in.
    pub(in crate::crypto) fn update(&mut self, input: &[u8], output: &mut [u8]) -> Result<()> {
        if output.len() < input.len() {
            return Err(CryptoError::GeneralError);
        }
        for (input, output) in input.chunks(CHUNK_BYTES).zip(output.chunks_mut(CHUNK_BYTES)) {
            let length = c_int::try_from(input.len()).map_err(|_chunked| CryptoError::GeneralError)?;
            let mut written = 0;
            // SAFETY: `output` holds at least as many bytes as `input`. Stream modes write exactly that many; block modes
            // do because whole blocks go in and nothing is buffered from before.
            ok(unsafe {
                sys::EVP_CipherUpdate(
                    self.context.as_mut_ptr(),
                    output.as_mut_ptr(),
                    &raw mut written,
                    input.as_ptr(),
                    length,
                )
            })?;
            if written != length {
                return Err(CryptoError::GeneralError);
            }
        }
        Ok(())
    }

    /// Authenticates additional data (GCM), before any other byte.
    pub(in crate::crypto) fn authenticate(&mut self, aad: &[u8]) -> Result<()> {
        for aad in aad.chunks(CHUNK_BYTES) {
            let length = c_int::try_from(aad.len()).map_err(|_chunked| CryptoError::GeneralError)?;
            let mut written = 0;
            // SAFETY: a null output marks additional data; nothing is written.
            ok(unsafe {
                sys::EVP_CipherUpdate(
                    self.context.as_mut_ptr(),
                    ptr::null_mut(),
                    &raw mut written,
                    aad.as_ptr(),
                    length,
                )
            })?;
        }
        Ok(())
    }

    /// Ends a GCM encryption with the first bytes of its tag, as many as `tag` holds.
    pub(in crate::crypto) fn seal(&mut self, tag: &mut [u8]) -> Result<()> {
        self.end()?;
        let length = c_int::try_from(tag.len()).map_err(|_tag| CryptoError::GeneralError)?;
        // SAFETY: the control writes `arg` bytes to `ptr` and refuses more than 16.
        ok(unsafe {
            sys::EVP_CIPHER_CTX_ctrl(
                self.context.as_mut_ptr(),
                sys::EVP_CTRL_AEAD_GET_TAG,
                length,
                tag.as_mut_ptr().cast(),
            )
        })
    }

    /// Ends a GCM decryption; an error says that the tag does not verify.
    pub(in crate::crypto) fn open(&mut self, tag: &[u8]) -> Result<()> {
        let length = c_int::try_from(tag.len()).map_err(|_tag| CryptoError::GeneralError)?;
        // SAFETY: the control reads `arg` bytes from `ptr`, which it takes as mutable only for the sake of its type, and
        // refuses more than 16.
        ok(unsafe {
            sys::EVP_CIPHER_CTX_ctrl(
                self.context.as_mut_ptr(),
                sys::EVP_CTRL_AEAD_SET_TAG,
                length,
                tag.as_ptr().cast_mut().cast(),
            )
        })?;
        self.end()
    }

    /// Does a whole CCM message, with the nonce's and the tag's lengths as given: CCM needs all lengths in advance. Answers
    /// with the tag when encrypting; when decrypting, `tag` is checked before anything is released.
    pub(in crate::crypto) fn ccm(
        &self,
        direction: Direction,
        message: &Ccm<'_>,
        input: &[u8],
        output: &mut [u8],
        tag: &mut [u8],
    ) -> Result<()> {
        if self.cipher != Cipher::AesCcm || output.len() < input.len() || input.len() > CHUNK_BYTES {
            return Err(CryptoError::GeneralError);
        }
        let length = |bytes: &[u8]| c_int::try_from(bytes.len()).map_err(|_wide| CryptoError::DataLenRange);
        let given = match direction {
            Direction::Encrypt => ptr::null_mut(),
            Direction::Decrypt => tag.as_mut_ptr().cast(),
        };
        let started = Self::blank(self.cipher)?;
        let context = started.context.as_mut_ptr();
        let mut written = 0;
        // SAFETY: both contexts are live. The library checks the nonce's and the tag's lengths as they are set and then
        // reads exactly these. Null for output and input announces the length; null for output alone marks additional
        // data. The output takes as many bytes as the input has, checked above.
        unsafe {
            ok(sys::EVP_CIPHER_CTX_copy(context, self.context.as_ptr()))?;
            let (null, engine) = (ptr::null(), ptr::null_mut());
            ok(sys::EVP_CipherInit_ex(context, ptr::null(), engine, null, null, encrypting(direction)))?;
            let nonce = length(message.nonce)?;
            ok(sys::EVP_CIPHER_CTX_ctrl(context, sys::EVP_CTRL_AEAD_SET_IVLEN, nonce, ptr::null_mut()))?;
            ok(sys::EVP_CIPHER_CTX_ctrl(context, sys::EVP_CTRL_AEAD_SET_TAG, length(tag)?, given))?;
            let nonce = message.nonce.as_ptr();
            ok(sys::EVP_CipherInit_ex(context, ptr::null(), engine, null, nonce, encrypting(direction)))?;
            ok(sys::EVP_CipherUpdate(context, ptr::null_mut(), &raw mut written, null, length(input)?))?;
            if !message.aad.is_empty() {
                let aad = message.aad.as_ptr();
                ok(sys::EVP_CipherUpdate(context, ptr::null_mut(), &raw mut written, aad, length(message.aad)?))?;
            }
            let (data, target) = (input.as_ptr(), output.as_mut_ptr());
            ok(sys::EVP_CipherUpdate(context, target, &raw mut written, data, length(input)?))?;
            if direction == Direction::Encrypt {
                let target = tag.as_mut_ptr().cast();
                ok(sys::EVP_CIPHER_CTX_ctrl(context, sys::EVP_CTRL_AEAD_GET_TAG, length(tag)?, target))?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let mut rest = [0; 16];
        let mut written = 0;
        // SAFETY: the library writes at most one block.
        ok(unsafe { sys::EVP_CipherFinal_ex(self.context.as_mut_ptr(), rest.as_mut_ptr(), &raw mut written) })
    }
}

const fn encrypting(direction: Direction) -> c_int {
    match direction {
        Direction::Encrypt => 1,
        Direction::Decrypt => 0,
    }
}

/// Lengths of the library's cipher calls are C ints; a multiple of every block size.
const CHUNK_BYTES: usize = 1 << 30;
