//! `EVP_PKEY`: the container that knows PKCS#8 and SubjectPublicKeyInfo.

use std::{mem::MaybeUninit, ptr, slice};

use aws_lc_sys as sys;
use zeroize::Zeroizing;

use super::{Owned, ok};
use crate::crypto::error::{CryptoError, Result};

/// The kinds of asymmetric keys we hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::crypto) enum Kind {
    Rsa,
    Ec,
    Ed25519,
    X25519,
}

/// An asymmetric key of the library.
pub(in crate::crypto) struct PKey(pub(super) Owned<sys::EVP_PKEY>);

impl PKey {
    pub(super) fn empty() -> Result<Self> {
        // SAFETY: a fresh object that we own.
        unsafe { Owned::new(sys::EVP_PKEY_new()) }.map(Self)
    }

    /// Makes a raw key, Ed25519 (from its seed) or X25519.
    pub(in crate::crypto) fn from_raw(kind: Kind, is_private: bool, bytes: &[u8]) -> Result<Self> {
        let kind = match kind {
            Kind::Ed25519 => sys::EVP_PKEY_ED25519,
            Kind::X25519 => sys::EVP_PKEY_X25519,
            Kind::Rsa | Kind::Ec => return Err(CryptoError::GeneralError),
        };
        // SAFETY: the bytes are valid for their length, which the library checks; the answer is ours or null.
        unsafe {
            Owned::new(if is_private {
                sys::EVP_PKEY_new_raw_private_key(kind, ptr::null_mut(), bytes.as_ptr(), bytes.len())
            } else {
                sys::EVP_PKEY_new_raw_public_key(kind, ptr::null_mut(), bytes.as_ptr(), bytes.len())
            })
        }
        .map(Self)
    }

    /// The 32 bytes of a raw key.
    pub(in crate::crypto) fn raw(&self, is_private: bool) -> Result<Zeroizing<[u8; 32]>> {
        let mut output = Zeroizing::new([0; 32]);
        let mut length = output.len();
        // SAFETY: the output has the length given; the library refuses keys of other kinds or lengths.
        ok(unsafe {
            if is_private {
                sys::EVP_PKEY_get_raw_private_key(self.0.as_ptr(), output.as_mut_ptr(), &raw mut length)
            } else {
                sys::EVP_PKEY_get_raw_public_key(self.0.as_ptr(), output.as_mut_ptr(), &raw mut length)
            }
        })?;
        if length == output.len() { Ok(output) } else { Err(CryptoError::GeneralError) }
    }

    /// Which kind of key it is, if it is one of ours.
    pub(in crate::crypto) fn kind(&self) -> Option<Kind> {
        // SAFETY: the key is live.
        match unsafe { sys::EVP_PKEY_id(self.0.as_ptr()) } {
            sys::EVP_PKEY_RSA => Some(Kind::Rsa),
            sys::EVP_PKEY_EC => Some(Kind::Ec),
            sys::EVP_PKEY_ED25519 => Some(Kind::Ed25519),
            sys::EVP_PKEY_X25519 => Some(Kind::X25519),
            _ => None,
        }
    }

    /// Reads a PKCS#8 PrivateKeyInfo, with nothing behind it.
    pub(in crate::crypto) fn from_pkcs8(der: &[u8]) -> Result<Self> {
        // SAFETY: `parse` hands over a live reader.
        unsafe { Self::parse(der, |cbs| sys::EVP_parse_private_key(cbs)) }
    }

    /// Reads a SubjectPublicKeyInfo, with nothing behind it.
    pub(in crate::crypto) fn from_spki(der: &[u8]) -> Result<Self> {
        // SAFETY: `parse` hands over a live reader.
        unsafe { Self::parse(der, |cbs| sys::EVP_parse_public_key(cbs)) }
    }

    /// # Safety
    ///
    /// `read` returns a reference that we may own, or null.
    unsafe fn parse(der: &[u8], read: impl FnOnce(*mut sys::CBS) -> *mut sys::EVP_PKEY) -> Result<Self> {
        let mut cbs = MaybeUninit::uninit();
        // SAFETY: the library initialises the reader, which borrows `der` for this call only.
        unsafe { sys::CBS_init(cbs.as_mut_ptr(), der.as_ptr(), der.len()) };
        // SAFETY: the caller's promise.
        let key = unsafe { Owned::new(read(cbs.as_mut_ptr())) }.map_err(|_parse| CryptoError::AttributeValueInvalid)?;
        // SAFETY: the reader is initialised.
        if unsafe { sys::CBS_len(cbs.as_ptr()) } != 0 {
            return Err(CryptoError::AttributeValueInvalid);
        }
        Ok(Self(key))
    }

    /// Writes a PKCS#8 PrivateKeyInfo.
    pub(in crate::crypto) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>> {
        // SAFETY: `marshal` hands over a live writer, and the key is live.
        marshal(|cbb| unsafe { sys::EVP_marshal_private_key(cbb, self.0.as_ptr()) })
    }

    /// Writes a SubjectPublicKeyInfo.
    pub(in crate::crypto) fn to_spki(&self) -> Result<Vec<u8>> {
        // SAFETY: `marshal` hands over a live writer, and the key is live.
        let mut der = marshal(|cbb| unsafe { sys::EVP_marshal_public_key(cbb, self.0.as_ptr()) })?;
        Ok(std::mem::take(&mut *der))
    }
}

fn marshal(write: impl FnOnce(*mut sys::CBB) -> std::ffi::c_int) -> Result<Zeroizing<Vec<u8>>> {
    let mut cbb = MaybeUninit::zeroed();
    // SAFETY: the library initialises the writer.
    ok(unsafe { sys::CBB_init(cbb.as_mut_ptr(), 2048) })?;
    let (mut data, mut length) = (ptr::null_mut(), 0);
    // SAFETY: the writer is initialised and finished at most once.
    let written = ok(write(cbb.as_mut_ptr()))
        .and_then(|()| ok(unsafe { sys::CBB_finish(cbb.as_mut_ptr(), &raw mut data, &raw mut length) }));
    if written.is_err() || data.is_null() {
        // SAFETY: an unfinished writer is cleaned up once.
        unsafe { sys::CBB_cleanup(cbb.as_mut_ptr()) };
        return Err(CryptoError::GeneralError);
    }
    // SAFETY: the library handed over `length` bytes, which we copy and free once; it cleanses what it frees.
    let output = unsafe { Zeroizing::new(slice::from_raw_parts(data, length).to_vec()) };
    // SAFETY: as above.
    unsafe { sys::OPENSSL_free(data.cast()) };
    Ok(output)
}
