//! Keys on prime curves, and ECDSA.

use std::{ffi::c_int, ptr};

use aws_lc_sys as sys;
use zeroize::Zeroizing;

use super::{Owned, bignum, failure, ok, pkey::PKey};
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
        if curve == Curve::P192 {
            let group = p192()?;
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

    fn from_key(key: Owned<sys::EC_KEY>) -> Result<Self> {
        let pkey = PKey::empty()?;
        // SAFETY: both objects are live; the container takes its own reference.
        ok(unsafe { sys::EVP_PKEY_set1_EC_KEY(pkey.0.as_mut_ptr(), key.as_mut_ptr()) })?;
        Self::from_pkey(pkey)
    }

    pub(in crate::crypto) fn generate(curve: Curve) -> Result<Self> {
        let key = Self::blank(curve)?;
        // SAFETY: the key is live and has a group.
        ok(unsafe { sys::EC_KEY_generate_key(key.as_mut_ptr()) })?;
        Self::from_key(key)
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
        Self::from_key(key)
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
        Self::from_key(key)
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

/// P-192, which the library has no name for, from its numbers (SEC 2 §2.2.2, version 1).
fn p192() -> Result<Owned<sys::EC_GROUP>> {
    let [prime, a, b, x, y, order] = &P192;
    let (prime, a, b) = (Owned::from_bytes(prime)?, Owned::from_bytes(a)?, Owned::from_bytes(b)?);
    let (x, y, order) = (Owned::from_bytes(x)?, Owned::from_bytes(y)?, Owned::from_bytes(order)?);
    // SAFETY: the numbers are live; the group is ours.
    let group =
        unsafe { Owned::new(sys::EC_GROUP_new_curve_GFp(prime.as_ptr(), a.as_ptr(), b.as_ptr(), ptr::null_mut())) }?;
    // SAFETY: the group is live and the point is ours; `BN_value_one` is static.
    unsafe {
        let generator = Owned::new(sys::EC_POINT_new(group.as_ptr()))?;
        ok(sys::EC_POINT_set_affine_coordinates_GFp(
            group.as_ptr(),
            generator.as_mut_ptr(),
            x.as_ptr(),
            y.as_ptr(),
            ptr::null_mut(),
        ))?;
        ok(sys::EC_GROUP_set_generator(group.as_mut_ptr(), generator.as_ptr(), order.as_ptr(), sys::BN_value_one()))?;
    }
    Ok(group)
}

/// The prime, a, b, the base point's coordinates and its order, high byte first.
const P192: [[u8; 24]; 6] = [
    [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    ],
    [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xfc,
    ],
    [
        0x64, 0x21, 0x05, 0x19, 0xe5, 0x9c, 0x80, 0xe7, 0x0f, 0xa7, 0xe9, 0xab, 0x72, 0x24, 0x30, 0x49, 0xfe, 0xb8,
        0xde, 0xec, 0xc1, 0x46, 0xb9, 0xb1,
    ],
    [
        0x18, 0x8d, 0xa8, 0x0e, 0xb0, 0x30, 0x90, 0xf6, 0x7c, 0xbf, 0x20, 0xeb, 0x43, 0xa1, 0x88, 0x00, 0xf4, 0xff,
        0x0a, 0xfd, 0x82, 0xff, 0x10, 0x12,
    ],
    [
        0x07, 0x19, 0x2b, 0x95, 0xff, 0xc8, 0xda, 0x78, 0x63, 0x10, 0x11, 0xed, 0x6b, 0x24, 0xcd, 0xd5, 0x73, 0xf9,
        0x77, 0xa1, 0x1e, 0x79, 0x48, 0x11,
    ],
    [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x99, 0xde, 0xf8, 0x36, 0x14, 0x6b,
        0xc9, 0xb1, 0xb4, 0xd2, 0x28, 0x31,
    ],
];

const fn number(curve: Curve) -> Option<c_int> {
    match curve {
        // A group made from numbers has this one.
        Curve::P192 => Some(sys::NID_undef),
        Curve::P224 => Some(sys::NID_secp224r1),
        Curve::P256 => Some(sys::NID_X9_62_prime256v1),
        Curve::P384 => Some(sys::NID_secp384r1),
        Curve::P521 => Some(sys::NID_secp521r1),
        Curve::Secp256k1 => Some(sys::NID_secp256k1),
        Curve::Ed25519 | Curve::Ed448 | Curve::X25519 | Curve::X448 => None,
    }
}
