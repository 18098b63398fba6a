//! Keys on prime curves, and ECDSA.

use std::{ffi::c_int, ptr};

use aws_lc_sys as sys;
use zeroize::Zeroizing;

use super::{Owned, bignum, failure, numbers, ok, pkey::PKey};
use crate::crypto::{
    error::{CryptoError, Result},
    key::Curve,
};

/// A key on a prime curve, public or private.
pub(in crate::crypto) struct EcKey {
    pkey: PKey,
    curve: Curve,
}

impl EcKey {
    /// Takes an EC key out of its container; the caller has checked the kind.
    pub(in crate::crypto) fn from_pkey(pkey: PKey) -> Result<Self> {
        // SAFETY: the container is live; it answers null for another kind.
        let key = unsafe { sys::EVP_PKEY_get0_EC_KEY(pkey.0.as_ptr()) };
        if key.is_null() {
            return Err(failure());
        }
        // SAFETY: the key is live and always has a group.
        let nid = unsafe { sys::EC_GROUP_get_curve_name(sys::EC_KEY_get0_group(key)) };
        let curve = Curve::PRIME.iter().copied().find(|curve| number(*curve) == Some(nid));
        Ok(Self { pkey, curve: curve.ok_or(CryptoError::CurveNotSupported)? })
    }

    fn blank(curve: Curve) -> Result<Owned<sys::EC_KEY>> {
        if let Some(group) = numbers::group(curve) {
            let group = group?;
            // SAFETY: a fresh object that we own.
            let key = unsafe { Owned::new(sys::EC_KEY_new()) }?;
            // SAFETY: both objects are live; the key takes its own copy of the group.
            ok(unsafe { sys::EC_KEY_set_group(key.as_mut_ptr(), group.as_ptr()) })?;
            return Ok(key);
        }
        let nid = number(curve).ok_or(CryptoError::CurveNotSupported)?;
        // SAFETY: a fresh object that we own.
        unsafe { Owned::new(sys::EC_KEY_new_by_curve_name(nid)) }
    }

    fn from_key(key: Owned<sys::EC_KEY>, curve: Curve) -> Result<Self> {
        let pkey = PKey::empty()?;
        // SAFETY: both objects are live; the container takes its own reference.
        ok(unsafe { sys::EVP_PKEY_set1_EC_KEY(pkey.0.as_mut_ptr(), key.as_mut_ptr()) })?;
        Ok(Self { pkey, curve })
    }

    pub(in crate::crypto) fn generate(curve: Curve) -> Result<Self> {
        let key = Self::blank(curve)?;
        // SAFETY: the key is live and has a group.
        ok(unsafe { sys::EC_KEY_generate_key(key.as_mut_ptr()) })?;
        Self::from_key(key, curve)
    }

    /// Reads a point, compressed or not; `PublicKeyInvalid` when it is not on the curve or at infinity.
    pub(in crate::crypto) fn public(curve: Curve, point: &[u8]) -> Result<Self> {
        let key = Self::blank(curve)?;
        let read = || {
            // SAFETY: the key lives through the block and with it its group; the point is ours.
            unsafe {
                let group = sys::EC_KEY_get0_group(key.as_ptr());
                let target = Owned::new(sys::EC_POINT_new(group))?;
                ok(sys::EC_POINT_oct2point(group, target.as_mut_ptr(), point.as_ptr(), point.len(), ptr::null_mut()))?;
                ok(sys::EC_KEY_set_public_key(key.as_mut_ptr(), target.as_ptr()))?;
                ok(sys::EC_KEY_check_key(key.as_ptr()))
            }
        };
        read().map_err(|_invalid| CryptoError::PublicKeyInvalid)?;
        Self::from_key(key, curve)
    }

    /// Takes a scalar of 1 to the order minus one and computes its point.
    pub(in crate::crypto) fn private(curve: Curve, scalar: &[u8]) -> Result<Self> {
        let key = Self::blank(curve)?;
        let scalar = Owned::from_bytes(scalar)?;
        let read = || {
            // SAFETY: the key lives through the block and with it its group; point and scalar are ours.
            unsafe {
                let group = sys::EC_KEY_get0_group(key.as_ptr());
                let point = Owned::new(sys::EC_POINT_new(group))?;
                ok(sys::EC_KEY_set_private_key(key.as_mut_ptr(), scalar.as_ptr()))?;
                ok(sys::EC_POINT_mul(
                    group,
                    point.as_mut_ptr(),
                    scalar.as_ptr(),
                    ptr::null(),
                    ptr::null(),
                    ptr::null_mut(),
                ))?;
                ok(sys::EC_KEY_set_public_key(key.as_mut_ptr(), point.as_ptr()))?;
                ok(sys::EC_KEY_check_key(key.as_ptr()))
            }
        };
        read().map_err(|_invalid| CryptoError::AttributeValueInvalid)?;
        Self::from_key(key, curve)
    }

    pub(in crate::crypto) const fn pkey(&self) -> &PKey {
        &self.pkey
    }

    pub(in crate::crypto) const fn curve(&self) -> Curve {
        self.curve
    }

    fn key(&self) -> *const sys::EC_KEY {
        // SAFETY: the container is live and holds an EC key, checked at construction.
        unsafe { sys::EVP_PKEY_get0_EC_KEY(self.pkey.0.as_ptr()) }
    }

    pub(in crate::crypto) fn is_private(&self) -> bool {
        // SAFETY: the key is live.
        !unsafe { sys::EC_KEY_get0_private_key(self.key()) }.is_null()
    }

    /// The private scalar, as long as the order.
    pub(in crate::crypto) fn scalar(&self) -> Result<Zeroizing<Vec<u8>>> {
        let mut output = Zeroizing::new(vec![0; self.curve.field_bytes()]);
        // SAFETY: the key is live and with it the number, null when there is none.
        unsafe {
            let scalar = sys::EC_KEY_get0_private_key(self.key());
            if scalar.is_null() {
                return Err(CryptoError::KeyTypeInconsistent);
            }
            bignum::to_padded(scalar, &mut output)?;
        }
        Ok(output)
    }

    /// The uncompressed point (SEC 1 §2.3.3).
    pub(in crate::crypto) fn point(&self) -> Result<Vec<u8>> {
        let mut output = vec![0; 1 + 2 * self.curve.field_bytes()];
        // SAFETY: the key is live and with it group and point; the output's length is given.
        let written = unsafe {
            sys::EC_POINT_point2oct(
                sys::EC_KEY_get0_group(self.key()),
                sys::EC_KEY_get0_public_key(self.key()),
                sys::point_conversion_form_t::POINT_CONVERSION_UNCOMPRESSED,
                output.as_mut_ptr(),
                output.len(),
                ptr::null_mut(),
            )
        };
        if written == output.len() { Ok(output) } else { Err(failure()) }
    }

    /// Signs a digest, which is cut to the order's bits; writes r and s side by side, each as long as the order.
    pub(in crate::crypto) fn sign(&self, digest: &[u8], output: &mut [u8]) -> Result<()> {
        let half = self.curve.field_bytes();
        let (r_bytes, s_bytes) = output.split_at_mut_checked(half).ok_or(CryptoError::GeneralError)?;
        let s_bytes = s_bytes.get_mut(..half).ok_or(CryptoError::GeneralError)?;
        // SAFETY: the key is live; the answer is ours or null; it owns the numbers it answers with.
        unsafe {
            let signature = Owned::new(sys::ECDSA_do_sign(digest.as_ptr(), digest.len(), self.key()))?;
            let (mut r, mut s) = (ptr::null(), ptr::null());
            sys::ECDSA_SIG_get0(signature.as_ptr(), &raw mut r, &raw mut s);
            bignum::to_padded(r, r_bytes)?;
            bignum::to_padded(s, s_bytes)
        }
    }

    /// Verifies r and s side by side over a digest.
    pub(in crate::crypto) fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<()> {
        let (r, s) = signature.split_at_checked(self.curve.field_bytes()).ok_or(CryptoError::SignatureLenRange)?;
        let (r, s) = (Owned::from_bytes(r)?, Owned::from_bytes(s)?);
        // SAFETY: the signature object takes over both numbers when the call succeeds, and then we forget them.
        unsafe {
            let signature = Owned::new(sys::ECDSA_SIG_new())?;
            ok(sys::ECDSA_SIG_set0(signature.as_mut_ptr(), r.as_mut_ptr(), s.as_mut_ptr()))?;
            r.release();
            s.release();
            ok(sys::ECDSA_do_verify(digest.as_ptr(), digest.len(), signature.as_ptr(), self.key()))
        }
    }

    /// The x coordinate of the product of our scalar and the peer's point (SP 800-56A §5.7.1.2).
    pub(in crate::crypto) fn agree(&self, peer: &Self) -> Result<Zeroizing<Vec<u8>>> {
        if peer.curve != self.curve || !self.is_private() {
            return Err(CryptoError::KeyTypeInconsistent);
        }
        let mut output = Zeroizing::new(vec![0; self.curve.field_bytes()]);
        // SAFETY: both keys are live; the output's length is given; no derivation function.
        let written = unsafe {
            sys::ECDH_compute_key(
                output.as_mut_ptr().cast(),
                output.len(),
                sys::EC_KEY_get0_public_key(peer.key()),
                self.key(),
                None,
            )
        };
        if usize::try_from(written) == Ok(output.len()) { Ok(output) } else { Err(failure()) }
    }
}

const fn number(curve: Curve) -> Option<c_int> {
    match curve {
        Curve::P224 => Some(sys::NID_secp224r1),
        Curve::P256 => Some(sys::NID_X9_62_prime256v1),
        Curve::P384 => Some(sys::NID_secp384r1),
        Curve::P521 => Some(sys::NID_secp521r1),
        Curve::Secp256k1 => Some(sys::NID_secp256k1),
        // Groups made from numbers have none.
        Curve::P192
        | Curve::BrainpoolP224r1
        | Curve::BrainpoolP256r1
        | Curve::BrainpoolP320r1
        | Curve::BrainpoolP384r1
        | Curve::BrainpoolP512r1
        | Curve::Ed25519
        | Curve::Ed448
        | Curve::X25519
        | Curve::X448 => None,
    }
}
