//! Keys on elliptic curves: prime curves, Ed25519 and X25519.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Curve, unnamed};
use crate::crypto::{
    error::{CryptoError, Result},
    ffi::{
        ec::EcKey,
        ed25519,
        pkey::{Kind, PKey},
    },
};

/// A public key on a prime curve.
#[derive(Clone)]
pub struct EcPublicKey(pub(super) Arc<EcKey>);

/// A private key on a prime curve; the public point is contained.
#[derive(Clone)]
pub struct EcPrivateKey(pub(super) Arc<EcKey>);

impl EcPublicKey {
    /// Takes a point, bare or as a DER OCTET STRING, compressed or not, and checks that it is on the curve.
    pub fn new(curve: Curve, point: &[u8]) -> Result<Self> {
        Ok(Self(Arc::new(EcKey::public(curve, curve.bare_point(point)?)?)))
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.0.curve()
    }

    /// The uncompressed point, not wrapped.
    pub fn point(&self) -> Result<Vec<u8>> {
        self.0.point()
    }

    pub(super) fn to_spki(&self) -> Result<Vec<u8>> {
        if Curve::UNNAMED.contains(&self.curve()) { unnamed::spki(self) } else { self.0.pkey().to_spki() }
    }
}

impl EcPrivateKey {
    /// Takes a scalar (`CKA_VALUE`) below the order and computes its point.
    pub fn new(curve: Curve, scalar: &[u8]) -> Result<Self> {
        Ok(Self(Arc::new(EcKey::private(curve, scalar)?)))
    }

    pub(in crate::crypto) fn checked(key: EcKey) -> Result<Self> {
        if key.is_private() { Ok(Self(Arc::new(key))) } else { Err(CryptoError::KeyTypeInconsistent) }
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.0.curve()
    }

    /// The scalar, as long as the order.
    pub fn scalar(&self) -> Result<Zeroizing<Vec<u8>>> {
        self.0.scalar()
    }

    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>> {
        if Curve::UNNAMED.contains(&self.curve()) { unnamed::pkcs8(self) } else { self.0.pkey().to_pkcs8() }
    }

    /// The public half.
    pub fn public(&self) -> Result<EcPublicKey> {
        EcPublicKey::new(self.curve(), &self.0.point()?)
    }
}

/// A public key of 32 bytes, Ed25519 or X25519.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPublicKey {
    kind: Kind,
    bytes: [u8; 32],
}

/// A private key of 32 bytes, Ed25519 or X25519.
#[derive(Clone)]
pub struct RawPrivateKey(Arc<RawPrivate>);

struct RawPrivate {
    kind: Kind,
    /// The private bytes, then the public key: what Ed25519 signs with.
    expanded: Zeroizing<[u8; 64]>,
}

impl RawPublicKey {
    /// Takes a key of `Ed25519` or `X25519`, bare or as a DER OCTET STRING.
    pub fn new(curve: Curve, point: &[u8]) -> Result<Self> {
        let kind = kind(curve)?;
        let bytes = curve.bare_point(point)?.try_into().map_err(|_length| CryptoError::AttributeValueInvalid)?;
        Ok(Self { kind, bytes })
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        curve(self.kind)
    }

    /// The key itself, not wrapped.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    pub(super) fn pkey(&self) -> Result<PKey> {
        PKey::from_raw(self.kind, false, &self.bytes)
    }

    pub(super) fn from_pkey(kind: Kind, pkey: &PKey) -> Result<Self> {
        Ok(Self { kind, bytes: *pkey.raw(false)? })
    }
}

impl RawPrivateKey {
    /// Takes the 32 private bytes (`CKA_VALUE`): the seed of Ed25519, the scalar of X25519.
    pub fn new(curve: Curve, value: &[u8]) -> Result<Self> {
        let kind = kind(curve)?;
        let value: Zeroizing<[u8; 32]> =
            Zeroizing::new(value.try_into().map_err(|_length| CryptoError::AttributeValueInvalid)?);
        let expanded = match kind {
            Kind::Ed25519 => ed25519::expand(&value),
            _ => {
                let mut expanded = Zeroizing::new([0; 64]);
                let (private, public) = expanded.split_at_mut(32);
                private.copy_from_slice(&*value);
                public.copy_from_slice(&ed25519::x25519_public(&value));
                expanded
            }
        };
        Ok(Self(Arc::new(RawPrivate { kind, expanded })))
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        curve(self.0.kind)
    }

    /// The 32 private bytes.
    pub fn value(&self) -> &[u8; 32] {
        self.0.expanded.first_chunk().expect("the array has 64 bytes")
    }

    pub(in crate::crypto) fn expanded(&self) -> &[u8; 64] {
        &self.0.expanded
    }

    /// The public half.
    pub fn public(&self) -> RawPublicKey {
        let bytes = *self.0.expanded.last_chunk().expect("the array has 64 bytes");
        RawPublicKey { kind: self.0.kind, bytes }
    }

    pub(super) fn pkey(&self) -> Result<PKey> {
        PKey::from_raw(self.0.kind, true, self.value())
    }

    pub(super) fn from_pkey(kind: Kind, pkey: &PKey) -> Result<Self> {
        Self::new(curve(kind), &*pkey.raw(true)?)
    }
}

const fn kind(curve: Curve) -> Result<Kind> {
    match curve {
        Curve::Ed25519 => Ok(Kind::Ed25519),
        Curve::X25519 => Ok(Kind::X25519),
        Curve::P192
        | Curve::P224
        | Curve::P256
        | Curve::P384
        | Curve::P521
        | Curve::Secp256k1
        | Curve::BrainpoolP224r1
        | Curve::BrainpoolP256r1
        | Curve::BrainpoolP320r1
        | Curve::BrainpoolP384r1
        | Curve::BrainpoolP512r1
        | Curve::Ed448
        | Curve::X448 => Err(CryptoError::CurveNotSupported),
    }
}

/// Raw keys are only ever made of these two kinds.
const fn curve(kind: Kind) -> Curve {
    match kind {
        Kind::X25519 => Curve::X25519,
        Kind::Ed25519 | Kind::Rsa | Kind::Ec => Curve::Ed25519,
    }
}

impl std::fmt::Debug for EcPublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EcPublicKey").field("curve", &self.curve()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for EcPrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EcPrivateKey").field("curve", &self.curve()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RawPrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawPrivateKey").field("curve", &self.curve()).finish_non_exhaustive()
    }
}
