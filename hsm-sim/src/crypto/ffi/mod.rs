//! Safe owners of the library's C objects: the only place of the crypto layer with `unsafe`.
//!
//! Each file wraps one kind of object. A wrapper takes slices, checks every length the C function does not check itself,
//! and turns the library's 0/1 answers into `Result`. Failures also empty the thread's error queue, which nobody reads.

pub(super) mod aead;
mod bignum;
pub(super) mod chacha;
pub(super) mod cipher;
pub(super) mod dh;
pub(super) mod digest;
pub(super) mod ec;
pub(super) mod ed25519;
pub(super) mod kdf;
pub(super) mod keywrap;
pub(super) mod lattice;
pub(super) mod locked;
pub(super) mod mac;
mod numbers;
pub(super) mod pkey;
pub(super) mod random;
pub(super) mod rsa;

use std::{
    ffi::c_int,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
};

use aws_lc_sys as sys;

use super::error::{CryptoError, Result};

/// A C object with its own destructor.
pub(super) trait Foreign {
    /// Frees the object.
    ///
    /// # Safety
    ///
    /// `object` came from the library, is owned by the caller and is not used afterwards.
    unsafe fn free(object: *mut Self);
}

/// Owner of one reference to a C object.
pub(super) struct Owned<T: Foreign>(NonNull<T>);

impl<T: Foreign> Owned<T> {
    /// Takes over what a constructor of the library returned.
    ///
    /// # Safety
    ///
    /// `object` is null or a reference that nobody else will free.
    unsafe fn new(object: *mut T) -> Result<Self> {
        NonNull::new(object).map(Self).ok_or_else(failure)
    }

    /// Gives the reference up to the library.
    fn release(self) -> *mut T {
        ManuallyDrop::new(self).0.as_ptr()
    }

    fn as_ptr(&self) -> *const T {
        self.0.as_ptr()
    }

    /// The object for functions that take a mutable pointer. Those that do mutate it take `&mut self` in our wrappers;
    /// those that are only declared so (reference counts, RSA with its internal lock) say so where they are called.
    fn as_mut_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T: Foreign> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: we own the reference and it is not used again.
        unsafe { T::free(self.0.as_ptr()) }
    }
}

// SAFETY: the library's objects are not tied to a thread.
unsafe impl<T: Foreign> Send for Owned<T> {}
// SAFETY: our wrappers give shared access only to functions that the library documents as not mutating the object, or as
// locking it internally (RSA, EC_KEY).
unsafe impl<T: Foreign> Sync for Owned<T> {}

macro_rules! foreign {
    ($($type:ident => $free:ident),+ $(,)?) => {$(
        impl Foreign for sys::$type {
            unsafe fn free(object: *mut Self) {
                // SAFETY: the caller's promise.
                unsafe { sys::$free(object) }
            }
        }
    )+};
}

foreign! {
    BIGNUM => BN_clear_free,
    BN_CTX => BN_CTX_free,
    DH => DH_free,
    ECDSA_SIG => ECDSA_SIG_free,
    EC_GROUP => EC_GROUP_free,
    EC_KEY => EC_KEY_free,
    EC_POINT => EC_POINT_free,
    EVP_CIPHER_CTX => EVP_CIPHER_CTX_free,
    EVP_PKEY => EVP_PKEY_free,
    EVP_PKEY_CTX => EVP_PKEY_CTX_free,
    RSA => RSA_free,
    EVP_AEAD_CTX => EVP_AEAD_CTX_free,
    EVP_MD_CTX => EVP_MD_CTX_free,
    HMAC_CTX => HMAC_CTX_free,
    CMAC_CTX => CMAC_CTX_free,
}

/// Checks the 1 of success.
fn ok(answer: c_int) -> Result<()> {
    if answer == 1 { Ok(()) } else { Err(failure()) }
}

/// Empties the error queue and names the failure; callers who know what it means map it.
fn failure() -> CryptoError {
    // SAFETY: no preconditions; the queue belongs to this thread.
    unsafe { sys::ERR_clear_error() }
    CryptoError::GeneralError
}

/// The pointer of an optional IV.
fn pointer_or_null(bytes: Option<&[u8]>) -> *const u8 {
    bytes.map_or(ptr::null(), <[u8]>::as_ptr)
}
