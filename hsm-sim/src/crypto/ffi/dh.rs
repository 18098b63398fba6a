//! Diffie-Hellman in the multiplicative group of a prime.

use std::ptr;

use aws_lc_sys as sys;
use zeroize::Zeroizing;

use super::{Owned, bignum, failure, ok};
use crate::crypto::error::{CryptoError, Result};

/// A group and, for what a private key is for, the private value in it.
fn group(prime: &[u8], base: &[u8], private: Option<&[u8]>) -> Result<Owned<sys::DH>> {
    let (prime, base) = (Owned::from_bytes(prime)?, Owned::from_bytes(base)?);
    let private = private.map(Owned::from_bytes).transpose()?;
    // SAFETY: a fresh object that we own.
    let dh = unsafe { Owned::new(sys::DH_new()) }?;
    // SAFETY: all objects are live; on success the group takes the numbers over, and then we forget them.
    unsafe {
        ok(sys::DH_set0_pqg(dh.as_mut_ptr(), prime.as_mut_ptr(), ptr::null_mut(), base.as_mut_ptr()))?;
        prime.release();
        base.release();
        if let Some(private) = private {
            ok(sys::DH_set0_key(dh.as_mut_ptr(), ptr::null_mut(), private.as_mut_ptr()))?;
            private.release();
        }
    }
    Ok(dh)
}

/// The public value: the one of a private value, or of a new one of so many bits. Both are answered, private first.
pub(in crate::crypto) fn key_pair(
    prime: &[u8],
    base: &[u8],
    private: Option<&[u8]>,
    bits: Option<u32>,
) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let dh = group(prime, base, private)?;
    // SAFETY: the group is live; the numbers that it answers with are its own and live as long.
    unsafe {
        if let Some(bits) = bits {
            ok(sys::DH_set_length(dh.as_mut_ptr(), bits))?;
        }
        ok(sys::DH_generate_key(dh.as_mut_ptr())).map_err(|_unfit| CryptoError::AttributeValueInvalid)?;
        let private = bignum::to_bytes(sys::DH_get0_priv_key(dh.as_ptr()))?;
        let public = bignum::to_bytes(sys::DH_get0_pub_key(dh.as_ptr()))?;
        Ok((private, public.to_vec()))
    }
}

/// Whether a public value is between 2 and the prime less 2 (SP 800-56A §5.6.2.3.2).
pub(in crate::crypto) fn is_public_value(prime: &[u8], base: &[u8], public: &[u8]) -> Result<bool> {
    let (dh, public) = (group(prime, base, None)?, Owned::from_bytes(public)?);
    let mut wrong = 0;
    // SAFETY: both objects are live, and the answer goes to a local.
    ok(unsafe { sys::DH_check_pub_key(dh.as_ptr(), public.as_ptr(), &raw mut wrong) })
        .map_err(|_unfit| CryptoError::AttributeValueInvalid)?;
    Ok(wrong == 0)
}

/// The shared secret, as long as the prime.
pub(in crate::crypto) fn agree(prime: &[u8], base: &[u8], private: &[u8], public: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let (dh, public) = (group(prime, base, Some(private))?, Owned::from_bytes(public)?);
    let mut output = Zeroizing::new(vec![0; prime.len()]);
    // SAFETY: both objects are live; the function writes as many bytes as the prime has, which `prime` holds at least.
    let written = unsafe { sys::DH_compute_key_padded(output.as_mut_ptr(), public.as_ptr(), dh.as_mut_ptr()) };
    match usize::try_from(written) {
        Ok(written) if written == output.len() => Ok(output),
        _ => Err(failure()).map_err(|_refused: CryptoError| CryptoError::PublicKeyInvalid),
    }
}
