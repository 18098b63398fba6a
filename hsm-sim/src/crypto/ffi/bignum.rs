//! Big integers, only to carry key components across the border.

use aws_lc_sys as sys;
use zeroize::Zeroizing;

use super::{Owned, ok};
use crate::crypto::error::{CryptoError, Result};

impl Owned<sys::BIGNUM> {
    /// Reads an unsigned big-endian number; `AttributeValueInvalid` when it is longer than any key component.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > BYTES_MAX {
            return Err(CryptoError::AttributeValueInvalid);
        }
        // SAFETY: the bytes are valid for their length; a null target asks for a new number, which we own.
        unsafe { Self::new(sys::BN_bin2bn(bytes.as_ptr(), bytes.len(), std::ptr::null_mut())) }
    }

    pub(super) fn zero() -> Result<Self> {
        // SAFETY: a fresh object that we own.
        unsafe { Self::new(sys::BN_new()) }
    }

    /// `self mod (other − 1)`, for the CRT exponents of an imported key.
    pub(super) fn modulo_predecessor(&self, other: &Self) -> Result<Self> {
        let (predecessor, result) = (Self::zero()?, Self::zero()?);
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::BN_CTX_new()) }?;
        // SAFETY: all objects are live; `BN_value_one` is static. A zero divisor is refused by the library.
        unsafe {
            ok(sys::BN_sub(predecessor.as_mut_ptr(), other.as_ptr(), sys::BN_value_one()))?;
            ok(sys::BN_nnmod(result.as_mut_ptr(), self.as_ptr(), predecessor.as_ptr(), context.as_mut_ptr()))?;
        }
        Ok(result)
    }

    /// One less.
    #[cfg(feature = "deterministic")]
    pub(super) fn predecessor(&self) -> Result<Self> {
        let result = Self::zero()?;
        // SAFETY: both numbers are live; `BN_value_one` is static.
        ok(unsafe { sys::BN_sub(result.as_mut_ptr(), self.as_ptr(), sys::BN_value_one()) })?;
        Ok(result)
    }

    /// The product.
    #[cfg(feature = "deterministic")]
    pub(super) fn times(&self, other: &Self) -> Result<Self> {
        let result = Self::zero()?;
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::BN_CTX_new()) }?;
        // SAFETY: all objects are live.
        ok(unsafe { sys::BN_mul(result.as_mut_ptr(), self.as_ptr(), other.as_ptr(), context.as_mut_ptr()) })?;
        Ok(result)
    }

    /// Whether it is a prime; as many rounds as the library thinks right for its size.
    #[cfg(feature = "deterministic")]
    pub(super) fn is_prime(&self) -> Result<bool> {
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::BN_CTX_new()) }?;
        // SAFETY: both objects are live; no callback.
        let answer =
            unsafe { sys::BN_is_prime_fasttest_ex(self.as_ptr(), 0, context.as_mut_ptr(), 1, std::ptr::null_mut()) };
        match answer {
            0 | 1 => Ok(answer == 1),
            _ => Err(super::failure()),
        }
    }

    /// The inverse of `self` modulo `modulus`.
    pub(super) fn inverse(&self, modulus: &Self) -> Result<Self> {
        let result = Self::zero()?;
        // SAFETY: a fresh object that we own.
        let context = unsafe { Owned::new(sys::BN_CTX_new()) }?;
        // SAFETY: all objects are live; the answer is `result` itself, or null.
        let answer =
            unsafe { sys::BN_mod_inverse(result.as_mut_ptr(), self.as_ptr(), modulus.as_ptr(), context.as_mut_ptr()) };
        if answer.is_null() { Err(super::failure()) } else { Ok(result) }
    }
}

/// The minimal big-endian form of a number.
///
/// # Safety
///
/// `number` is null or a live number.
pub(super) unsafe fn to_bytes(number: *const sys::BIGNUM) -> Result<Zeroizing<Vec<u8>>> {
    if number.is_null() {
        return Err(CryptoError::GeneralError);
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { sys::BN_num_bytes(number) };
    let mut output = Zeroizing::new(vec![0; usize::try_from(bytes).map_err(|_wide| CryptoError::GeneralError)?]);
    // SAFETY: the output has the length the number needs.
    unsafe { sys::BN_bn2bin(number, output.as_mut_ptr()) };
    Ok(output)
}

/// The big-endian form of a number, filled up with zeros in front.
///
/// # Safety
///
/// `number` is a live number.
pub(super) unsafe fn to_padded(number: *const sys::BIGNUM, output: &mut [u8]) -> Result<()> {
    // SAFETY: the caller's promise; the library fails when the output is too short.
    ok(unsafe { sys::BN_bn2bin_padded(output.as_mut_ptr(), output.len(), number) })
}

/// Components of RSA keys of 16 384 bits.
const BYTES_MAX: usize = 2048;
