//! RSA keys, put together from and taken apart into the numbers PKCS#11 keeps as attributes.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::crypto::{
    error::{CryptoError, Result},
    ffi::rsa::{Component, PrivateNumbers, RsaKey},
};

/// An RSA public key.
#[derive(Clone)]
pub struct RsaPublicKey(pub(super) Arc<RsaKey>);

/// An RSA private key; the public one is contained.
#[derive(Clone)]
pub struct RsaPrivateKey(pub(super) Arc<RsaKey>);

/// The numbers of an RSA private key, unsigned and big-endian (`CKA_MODULUS` to `CKA_COEFFICIENT`).
#[derive(Clone, Default)]
pub struct RsaNumbers {
    /// `CKA_MODULUS`.
    pub modulus: Vec<u8>,
    /// `CKA_PUBLIC_EXPONENT`.
    pub public_exponent: Vec<u8>,
    /// `CKA_PRIVATE_EXPONENT`.
    pub private_exponent: Zeroizing<Vec<u8>>,
    /// `CKA_PRIME_1`.
    pub prime_1: Zeroizing<Vec<u8>>,
    /// `CKA_PRIME_2`.
    pub prime_2: Zeroizing<Vec<u8>>,
    /// `CKA_EXPONENT_1`; computed when this or one of the next two is empty.
    pub exponent_1: Zeroizing<Vec<u8>>,
    /// `CKA_EXPONENT_2`.
    pub exponent_2: Zeroizing<Vec<u8>>,
    /// `CKA_COEFFICIENT`.
    pub coefficient: Zeroizing<Vec<u8>>,
}

impl RsaPublicKey {
    /// Takes modulus and exponent; `KeySizeRange` when the modulus is too small or large, `AttributeValueInvalid` when
    /// they cannot be an RSA key.
    pub fn new(modulus: &[u8], public_exponent: &[u8]) -> Result<Self> {
        Self::checked(RsaKey::public(modulus, public_exponent)?)
    }

    pub(in crate::crypto) fn checked(key: RsaKey) -> Result<Self> {
        check_size(&key, PUBLIC_BITS_MIN)?;
        Ok(Self(Arc::new(key)))
    }

    /// `CKA_MODULUS`.
    pub fn modulus(&self) -> Result<Vec<u8>> {
        Ok(self.0.component(Component::Modulus)?.to_vec())
    }

    /// `CKA_PUBLIC_EXPONENT`.
    pub fn public_exponent(&self) -> Result<Vec<u8>> {
        Ok(self.0.component(Component::PublicExponent)?.to_vec())
    }

    /// `CKA_MODULUS_BITS`.
    pub fn bits(&self) -> u32 {
        self.0.bits()
    }
}

impl RsaPrivateKey {
    /// Takes all numbers; those that contradict each other are `AttributeValueInvalid`.
    pub fn new(numbers: &RsaNumbers) -> Result<Self> {
        let crt = [&numbers.exponent_1, &numbers.exponent_2, &numbers.coefficient];
        let key = RsaKey::private(&PrivateNumbers {
            n: &numbers.modulus,
            e: &numbers.public_exponent,
            d: &numbers.private_exponent,
            p: &numbers.prime_1,
            q: &numbers.prime_2,
            crt: crt.iter().all(|number| !number.is_empty()).then(|| crt.map(|number| number.as_slice())),
        })?;
        Self::checked(key)
    }

    pub(in crate::crypto) fn checked(key: RsaKey) -> Result<Self> {
        check_size(&key, BITS_MIN)?;
        if !key.is_private() {
            return Err(CryptoError::KeyTypeInconsistent);
        }
        Ok(Self(Arc::new(key)))
    }

    /// All numbers, as attributes hold them.
    pub fn numbers(&self) -> Result<RsaNumbers> {
        Ok(RsaNumbers {
            modulus: self.0.component(Component::Modulus)?.to_vec(),
            public_exponent: self.0.component(Component::PublicExponent)?.to_vec(),
            private_exponent: self.0.component(Component::PrivateExponent)?,
            prime_1: self.0.component(Component::Prime1)?,
            prime_2: self.0.component(Component::Prime2)?,
            exponent_1: self.0.component(Component::Exponent1)?,
            exponent_2: self.0.component(Component::Exponent2)?,
            coefficient: self.0.component(Component::Coefficient)?,
        })
    }

    /// Bits of the modulus.
    pub fn bits(&self) -> u32 {
        self.0.bits()
    }

    /// The public half.
    pub fn public(&self) -> Result<RsaPublicKey> {
        RsaPublicKey::new(&self.0.component(Component::Modulus)?, &self.0.component(Component::PublicExponent)?)
    }
}

impl std::fmt::Debug for RsaPublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RsaPublicKey").field("bits", &self.bits()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RsaPrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RsaPrivateKey").field("bits", &self.bits()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RsaNumbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RsaNumbers").field("modulus_bytes", &self.modulus.len()).finish_non_exhaustive()
    }
}

fn check_size(key: &RsaKey, bits_min: u32) -> Result<()> {
    if (bits_min..=BITS_MAX).contains(&key.bits()) { Ok(()) } else { Err(CryptoError::KeySizeRange) }
}

/// The smallest modulus of a public key: old certificates are still read and verified.
const PUBLIC_BITS_MIN: u32 = 512;
/// The smallest modulus of a private key taken for import; making keys starts at 2048.
pub(in crate::crypto) const BITS_MIN: u32 = 1024;
/// The largest modulus.
pub(in crate::crypto) const BITS_MAX: u32 = 8192;
