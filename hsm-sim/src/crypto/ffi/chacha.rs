//! `CRYPTO_chacha_20`: the bare stream cipher.

use aws_lc_sys as sys;

use crate::crypto::error::{CryptoError, Result};

/// Bytes of a key.
pub(in crate::crypto) const KEY_BYTES: usize = 32;
/// Bytes of one block of the key stream.
pub(in crate::crypto) const BLOCK_BYTES: usize = 64;

/// Encrypts or decrypts `input` to the front of `output` from the block that `counter` names. The last three of the state's
/// words are `nonce`; the caller sees to it that the counter does not pass its 32 bits.
pub(in crate::crypto) fn apply(
    key: &[u8],
    nonce: &[u8; 12],
    counter: u32,
    input: &[u8],
    output: &mut [u8],
) -> Result<()> {
    let output = output.get_mut(..input.len()).ok_or(CryptoError::GeneralError)?;
    if key.len() != KEY_BYTES {
        return Err(CryptoError::KeySizeRange);
    }
    // SAFETY: key and nonce have the lengths that the function reads, input and output are valid for the length given and
    // do not overlap.
    unsafe {
        sys::CRYPTO_chacha_20(output.as_mut_ptr(), input.as_ptr(), input.len(), key.as_ptr(), nonce.as_ptr(), counter);
    }
    Ok(())
}
