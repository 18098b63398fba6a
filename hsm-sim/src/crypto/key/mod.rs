//! Key material as the mechanisms take it.
//!
//! A [`Key`] is cheap to clone: it shares one zeroising copy of the value and, beside it, the contexts prepared from it
//! (expanded AES keys, parsed RSA keys), so a cached key costs no set-up per operation. It knows nothing of PKCS#11
//! objects; `core` translates attributes to and from the components here and checks usage before it comes here.

mod curve;
mod dh;
mod ec;
mod goldilocks;
mod lattice;
pub(super) mod rsa;
mod secret;
mod unnamed;

use std::sync::{Arc, OnceLock};

use cryptoki_sys::*;
use zeroize::Zeroizing;

pub use curve::{Curve, to_octet_string};
pub use dh::{DhGroup, DhPrivateKey, DhPublicKey};
pub use ec::{EcPrivateKey, EcPublicKey, RawPrivateKey, RawPublicKey};
pub use goldilocks::{GoldilocksPrivateKey, GoldilocksPublicKey};
pub use lattice::{LatticePrivateKey, LatticePublicKey, ParameterSet};
pub use rsa::{RsaNumbers, RsaPrivateKey, RsaPublicKey};
pub use secret::SecretKey;

use super::{
    error::{CryptoError, Result},
    ffi::{
        ec::EcKey,
        pkey::{Kind, PKey},
        rsa::RsaKey,
    },
};

/// A key of any type the token holds.
#[derive(Debug, Clone)]
pub enum Key {
    /// A secret key: AES, DES3, generic secret, HMAC.
    Secret(SecretKey),
    /// An RSA private key.
    RsaPrivate(RsaPrivateKey),
    /// An RSA public key.
    RsaPublic(RsaPublicKey),
    /// A private key on a prime curve.
    EcPrivate(EcPrivateKey),
    /// A public key on a prime curve.
    EcPublic(EcPublicKey),
    /// An Ed25519 private key.
    Ed25519Private(RawPrivateKey),
    /// An Ed25519 public key.
    Ed25519Public(RawPublicKey),
    /// An Ed448 private key.
    Ed448Private(GoldilocksPrivateKey),
    /// An Ed448 public key.
    Ed448Public(GoldilocksPublicKey),
    /// An X448 private key.
    X448Private(GoldilocksPrivateKey),
    /// An X448 public key.
    X448Public(GoldilocksPublicKey),
    /// An X25519 private key.
    X25519Private(RawPrivateKey),
    /// An X25519 public key.
    X25519Public(RawPublicKey),
    /// An ML-KEM or ML-DSA private key.
    LatticePrivate(LatticePrivateKey),
    /// An ML-KEM or ML-DSA public key.
    LatticePublic(LatticePublicKey),
    /// A Diffie-Hellman private key.
    DhPrivate(DhPrivateKey),
    /// A Diffie-Hellman public key.
    DhPublic(DhPublicKey),
}

impl Key {
    /// A secret key of these bytes.
    pub fn from_secret(value: Zeroizing<Vec<u8>>) -> Self {
        Self::Secret(SecretKey::new(value))
    }

    /// The same key with a count of users of its own, for one thread to use often.
    #[must_use]
    pub fn apart(&self) -> Self {
        match self {
            Self::Secret(key) => Self::Secret(key.apart()),
            // The others take so long that counting is nothing beside them.
            other => other.clone(),
        }
    }

    /// A private key on any curve, from `CKA_VALUE`.
    pub fn from_curve_private(curve: Curve, value: &[u8]) -> Result<Self> {
        Ok(match curve {
            Curve::Ed25519 => Self::Ed25519Private(RawPrivateKey::new(curve, value)?),
            Curve::X25519 => Self::X25519Private(RawPrivateKey::new(curve, value)?),
            Curve::Ed448 => Self::Ed448Private(GoldilocksPrivateKey::new(curve, value)?),
            Curve::X448 => Self::X448Private(GoldilocksPrivateKey::new(curve, value)?),
            _ => Self::EcPrivate(EcPrivateKey::new(curve, value)?),
        })
    }

    /// A public key on any curve, from `CKA_EC_POINT`.
    pub fn from_curve_public(curve: Curve, point: &[u8]) -> Result<Self> {
        Ok(match curve {
            Curve::Ed25519 => Self::Ed25519Public(RawPublicKey::new(curve, point)?),
            Curve::X25519 => Self::X25519Public(RawPublicKey::new(curve, point)?),
            Curve::Ed448 => Self::Ed448Public(GoldilocksPublicKey::new(curve, point)?),
            Curve::X448 => Self::X448Public(GoldilocksPublicKey::new(curve, point)?),
            _ => Self::EcPublic(EcPublicKey::new(curve, point)?),
        })
    }

    /// Reads a private key from PKCS#8 DER, as `C_UnwrapKey` finds it; `AttributeValueInvalid` when it is none.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self> {
        if let Some(key) = LatticePrivateKey::from_pkcs8(der) {
            return key.map(Self::LatticePrivate);
        }
        if let Some(key) = GoldilocksPrivateKey::from_pkcs8(der) {
            return key.map(|key| match key.public().curve() {
                Curve::X448 => Self::X448Private(key),
                _ => Self::Ed448Private(key),
            });
        }
        if let Some(key) = DhPrivateKey::from_pkcs8(der) {
            return key.map(Self::DhPrivate);
        }
        if let Some(key) = unnamed::from_pkcs8(der) {
            return key.map(Self::EcPrivate);
        }
        let pkey = PKey::from_pkcs8(der)?;
        Ok(match pkey.kind().ok_or(CryptoError::AttributeValueInvalid)? {
            Kind::Rsa => Self::RsaPrivate(RsaPrivateKey::checked(RsaKey::from_pkey(pkey)?)?),
            Kind::Ec => Self::EcPrivate(EcPrivateKey::checked(EcKey::from_pkey(pkey)?)?),
            kind @ Kind::Ed25519 => Self::Ed25519Private(RawPrivateKey::from_pkey(kind, &pkey)?),
            kind @ Kind::X25519 => Self::X25519Private(RawPrivateKey::from_pkey(kind, &pkey)?),
        })
    }

    /// Reads a public key from SubjectPublicKeyInfo DER; `AttributeValueInvalid` when it is none.
    pub fn from_spki(der: &[u8]) -> Result<Self> {
        if let Some(key) = LatticePublicKey::from_spki(der) {
            return key.map(Self::LatticePublic);
        }
        if let Some(key) = GoldilocksPublicKey::from_spki(der) {
            return key.map(|key| match key.curve() {
                Curve::X448 => Self::X448Public(key),
                _ => Self::Ed448Public(key),
            });
        }
        if let Some(key) = DhPublicKey::from_spki(der) {
            return key.map(Self::DhPublic);
        }
        if let Some(key) = unnamed::from_spki(der) {
            return key.map(Self::EcPublic);
        }
        let pkey = PKey::from_spki(der)?;
        Ok(match pkey.kind().ok_or(CryptoError::AttributeValueInvalid)? {
            Kind::Rsa => Self::RsaPublic(RsaPublicKey::checked(RsaKey::from_pkey(pkey)?)?),
            Kind::Ec => Self::EcPublic(EcPublicKey(Arc::new(EcKey::from_pkey(pkey)?))),
            kind @ Kind::Ed25519 => Self::Ed25519Public(RawPublicKey::from_pkey(kind, &pkey)?),
            kind @ Kind::X25519 => Self::X25519Public(RawPublicKey::from_pkey(kind, &pkey)?),
        })
    }

    /// Writes a private key as PKCS#8 DER, as `C_WrapKey` wants it.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::RsaPrivate(key) => key.0.pkey().to_pkcs8(),
            Self::EcPrivate(key) => key.to_pkcs8(),
            Self::Ed25519Private(key) | Self::X25519Private(key) => key.pkey()?.to_pkcs8(),
            Self::Ed448Private(key) | Self::X448Private(key) => Ok(key.to_pkcs8()),
            Self::LatticePrivate(key) => Ok(key.to_pkcs8()),
            Self::DhPrivate(key) => key.to_pkcs8(),
            _ => Err(CryptoError::KeyTypeInconsistent),
        }
    }

    /// Writes the public key, or the public half of a private key, as SubjectPublicKeyInfo DER (`CKA_PUBLIC_KEY_INFO`).
    pub fn to_spki(&self) -> Result<Vec<u8>> {
        match self {
            Self::RsaPrivate(RsaPrivateKey(key)) | Self::RsaPublic(RsaPublicKey(key)) => key.pkey().to_spki(),
            Self::EcPrivate(key) => key.public()?.to_spki(),
            Self::EcPublic(key) => key.to_spki(),
            Self::Ed25519Private(key) | Self::X25519Private(key) => key.public().pkey()?.to_spki(),
            Self::Ed25519Public(key) | Self::X25519Public(key) => key.pkey()?.to_spki(),
            Self::Ed448Private(key) | Self::X448Private(key) => Ok(key.public().to_spki()),
            Self::Ed448Public(key) | Self::X448Public(key) => Ok(key.to_spki()),
            Self::LatticePrivate(key) => Ok(key.public().to_spki()),
            Self::LatticePublic(key) => Ok(key.to_spki()),
            Self::DhPrivate(key) => key.public().to_spki(),
            Self::DhPublic(key) => key.to_spki(),
            Self::Secret(_) => Err(CryptoError::KeyTypeInconsistent),
        }
    }

    /// The public half of a private key.
    pub fn public(&self) -> Result<Self> {
        Ok(match self {
            Self::RsaPrivate(key) => Self::RsaPublic(key.public()?),
            Self::EcPrivate(key) => Self::EcPublic(key.public()?),
            Self::Ed25519Private(key) => Self::Ed25519Public(key.public()),
            Self::X25519Private(key) => Self::X25519Public(key.public()),
            Self::Ed448Private(key) => Self::Ed448Public(key.public().clone()),
            Self::X448Private(key) => Self::X448Public(key.public().clone()),
            Self::LatticePrivate(key) => Self::LatticePublic(key.public().clone()),
            Self::DhPrivate(key) => Self::DhPublic(key.public().clone()),
            _ => return Err(CryptoError::KeyTypeInconsistent),
        })
    }

    /// The PKCS#11 key type of an asymmetric key; a secret key's is not known here.
    pub fn key_type(&self) -> Option<CK_KEY_TYPE> {
        match self {
            Self::Secret(_) => None,
            Self::RsaPrivate(_) | Self::RsaPublic(_) => Some(CKK_RSA),
            Self::EcPrivate(_) | Self::EcPublic(_) => Some(CKK_EC),
            Self::Ed25519Private(_) | Self::Ed25519Public(_) | Self::Ed448Private(_) | Self::Ed448Public(_) => {
                Some(CKK_EC_EDWARDS)
            }
            Self::X25519Private(_) | Self::X25519Public(_) | Self::X448Private(_) | Self::X448Public(_) => {
                Some(CKK_EC_MONTGOMERY)
            }
            Self::LatticePrivate(key) => Some(lattice_type(key.set())),
            Self::LatticePublic(key) => Some(lattice_type(key.set())),
            Self::DhPrivate(_) | Self::DhPublic(_) => Some(CKK_DH),
        }
    }

    pub(super) fn secret(&self) -> Result<&SecretKey> {
        match self {
            Self::Secret(key) => Ok(key),
            _ => Err(CryptoError::KeyTypeInconsistent),
        }
    }

    pub(super) fn rsa_private(&self) -> Result<&Arc<RsaKey>> {
        match self {
            Self::RsaPrivate(key) => Ok(&key.0),
            _ => Err(CryptoError::KeyTypeInconsistent),
        }
    }

    /// An RSA key for public operations; a private key contains one.
    pub(super) fn rsa_public(&self) -> Result<&Arc<RsaKey>> {
        match self {
            Self::RsaPublic(RsaPublicKey(key)) | Self::RsaPrivate(RsaPrivateKey(key)) => Ok(key),
            _ => Err(CryptoError::KeyTypeInconsistent),
        }
    }

    pub(super) fn ec_private(&self) -> Result<&Arc<EcKey>> {
        match self {
            Self::EcPrivate(key) => Ok(&key.0),
            _ => Err(CryptoError::KeyTypeInconsistent),
        }
    }

    pub(super) fn ec_public(&self) -> Result<&Arc<EcKey>> {
        match self {
            Self::EcPublic(EcPublicKey(key)) | Self::EcPrivate(EcPrivateKey(key)) => Ok(key),
            _ => Err(CryptoError::KeyTypeInconsistent),
        }
    }
}

const fn lattice_type(set: ParameterSet) -> CK_KEY_TYPE {
    if set.is_kem() { CKK_ML_KEM } else { CKK_ML_DSA }
}

impl From<SecretKey> for Key {
    fn from(key: SecretKey) -> Self {
        Self::Secret(key)
    }
}

/// A value made on first use and shared from then on; two threads may both make it, one of the results stays.
struct Prepared<T>(OnceLock<T>);

impl<T> Prepared<T> {
    const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn get_or_try(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        if let Some(value) = self.0.get() {
            return Ok(value);
        }
        let made = make()?;
        Ok(self.0.get_or_init(|| made))
    }
}
