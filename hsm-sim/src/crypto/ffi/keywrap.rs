//! AES key wrap, RFC 3394 and RFC 5649, on an expanded AES key.

use aws_lc_sys as sys;
use zeroize::Zeroize;

use super::{failure, pointer_or_null};
use crate::crypto::{
    error::{CryptoError, Result},
    operation::Direction,
};

/// An expanded AES key for one direction of key wrap.
pub(in crate::crypto) struct WrapKey {
    key: Box<sys::AES_KEY>,
}

impl WrapKey {
    pub(in crate::crypto) fn new(key: &[u8], direction: Direction) -> Result<Self> {
        let bits = match key.len() {
            16 => 128,
            24 => 192,
            32 => 256,
            _ => return Err(CryptoError::KeySizeRange),
        };
        // Expanded in place, so that no copy stays on the stack.
        let mut expanded = Box::new(sys::AES_KEY { rd_key: [0; 60], rounds: 0 });
        // SAFETY: the key has `bits` bits; the target is a whole `AES_KEY`.
        let answer = unsafe {
            match direction {
                Direction::Encrypt => sys::AES_set_encrypt_key(key.as_ptr(), bits, &raw mut *expanded),
                Direction::Decrypt => sys::AES_set_decrypt_key(key.as_ptr(), bits, &raw mut *expanded),
            }
        };
        if answer == 0 { Ok(Self { key: expanded }) } else { Err(failure()) }
    }

    /// RFC 3394: `input` is a multiple of 8 bytes, at least 16; `output` is 8 bytes longer.
    pub(in crate::crypto) fn wrap(&self, iv: Option<&[u8; 8]>, input: &[u8], output: &mut [u8]) -> Result<()> {
        if output.len() != input.len().saturating_add(8) {
            return Err(CryptoError::GeneralError);
        }
        // SAFETY: the IV is null or 8 bytes; the output has the length the library writes.
        let written = unsafe {
            sys::AES_wrap_key(
                &raw const *self.key,
                pointer_or_null(iv.map(<[u8; 8]>::as_slice)),
                output.as_mut_ptr(),
                input.as_ptr(),
                input.len(),
            )
        };
        if usize::try_from(written) == Ok(output.len()) { Ok(()) } else { Err(failure()) }
    }

    /// The inverse of [`wrap`](Self::wrap); the error says nothing more than that it failed.
    pub(in crate::crypto) fn unwrap(&self, iv: Option<&[u8; 8]>, input: &[u8], output: &mut [u8]) -> Result<()> {
        if output.len().saturating_add(8) != input.len() {
            return Err(CryptoError::GeneralError);
        }
        // SAFETY: as in `wrap`.
        let written = unsafe {
            sys::AES_unwrap_key(
                &raw const *self.key,
                pointer_or_null(iv.map(<[u8; 8]>::as_slice)),
                output.as_mut_ptr(),
                input.as_ptr(),
                input.len(),
            )
        };
        if usize::try_from(written) == Ok(output.len()) { Ok(()) } else { Err(failure()) }
    }

    /// RFC 5649: any input of 1 to 2³²−1 bytes; `output` holds the input rounded up to 8, plus 8.
    pub(in crate::crypto) fn wrap_padded(&self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let mut written = 0;
        // SAFETY: pointers and lengths belong together; the library checks `max_out`.
        let answer = unsafe {
            sys::AES_wrap_key_padded(
                &raw const *self.key,
                output.as_mut_ptr(),
                &raw mut written,
                output.len(),
                input.as_ptr(),
                input.len(),
            )
        };
        if answer == 1 { Ok(written) } else { Err(failure()) }
    }

    /// The inverse of [`wrap_padded`](Self::wrap_padded); `input` is a multiple of 8, `output` at least 8 shorter.
    pub(in crate::crypto) fn unwrap_padded(&self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        if !input.len().is_multiple_of(8) {
            return Err(CryptoError::GeneralError);
        }
        let mut written = 0;
        // SAFETY: as in `wrap_padded`; the library relies on the multiple of 8 checked above.
        let answer = unsafe {
            sys::AES_unwrap_key_padded(
                &raw const *self.key,
                output.as_mut_ptr(),
                &raw mut written,
                output.len(),
                input.as_ptr(),
                input.len(),
            )
        };
        if answer == 1 { Ok(written) } else { Err(failure()) }
    }
}

impl Drop for WrapKey {
    fn drop(&mut self) {
        self.key.rd_key.zeroize();
        self.key.rounds.zeroize();
    }
}
