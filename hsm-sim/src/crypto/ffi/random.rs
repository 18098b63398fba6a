//! Random bytes.

use aws_lc_sys as sys;

use super::ok;
use crate::crypto::error::Result;

/// Fills `output` from the library's generator, which reseeds itself and notices a fork.
pub(in crate::crypto) fn fill(output: &mut [u8]) -> Result<()> {
    #[cfg(feature = "deterministic")]
    if crate::crypto::deterministic::is_on() {
        return crate::crypto::deterministic::fill(output);
    }
    // SAFETY: the buffer is valid for its length.
    ok(unsafe { sys::RAND_bytes(output.as_mut_ptr(), output.len()) })
}
