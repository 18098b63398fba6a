//! Key encodings: PKCS#1, PKCS#8, SEC 1, SubjectPublicKeyInfo, PEM, and the bare numbers that KMIP and PKCS#11 want.
//!
//! Parsing checks what a token would have to trust: the RSA numbers fit each other, an EC point is on its curve and belongs to
//! its scalar. Every secret part is a [`SecretValue`]; the encoders write into zeroised buffers of exact size.

mod ec;
mod ed25519;
pub mod pbes2;
mod rsa;
#[cfg(test)]
mod tests;

use pkcs8::PrivateKeyInfoRef;
use spki::SubjectPublicKeyInfoRef;

pub use self::{
    ec::{EcPrivate, EcPublic, curve_from_parameters, curve_parameters},
    ed25519::{Ed25519Private, Ed25519Public},
    rsa::{RsaParts, RsaPrivate, RsaPublic},
};
use super::{Error, asn1, bytes, pem};
use crate::domain::{CryptographicAlgorithm, SecretValue};

const PRIVATE: &str = "private key";
const PUBLIC: &str = "public key";

/// A private key of any family.
#[derive(Debug)]
pub enum PrivateKey {
    /// RSA with two primes.
    Rsa(RsaPrivate),
    /// A NIST curve or secp256k1.
    Ec(EcPrivate),
    /// Ed25519.
    Ed25519(Ed25519Private),
}

impl PrivateKey {
    /// From whatever a client may send as a private key: PKCS#8, PKCS#1 or SEC 1, as DER or PEM.
    ///
    /// # Errors
    ///
    /// `Malformed` when it is none of them, `Unsupported` for other algorithms, curves and encrypted PEM, `Inconsistent`.
    pub fn parse(value: &SecretValue) -> Result<Self, Error> {
        if pem::is_pem(bytes(value)) { Self::from_pem(value) } else { Self::from_der(value) }
    }

    /// From PKCS#8 DER (RFC 5958, version 1 or 2).
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_pkcs8(der: &SecretValue) -> Result<Self, Error> {
        let info: PrivateKeyInfoRef<'_> = asn1::decode("PKCS#8 private key", bytes(der))?;
        match info.algorithm.oid {
            asn1::RSA => RsaPrivate::from_info(&info).map(Self::Rsa),
            asn1::EC => EcPrivate::from_info(&info).map(Self::Ec),
            asn1::ED25519 => Ed25519Private::from_info(&info).map(Self::Ed25519),
            _ => Err(Error::Unsupported("this private key algorithm")),
        }
    }

    /// From DER in any of the three structures; they cannot be taken for each other.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_der(der: &SecretValue) -> Result<Self, Error> {
        // The second element tells them apart: an AlgorithmIdentifier, the modulus, or the scalar.
        match asn1::elements(PRIVATE, bytes(der))?.get(1).and_then(|element| element.first()) {
            Some(0x30) => Self::from_pkcs8(der),
            Some(0x02) => RsaPrivate::from_pkcs1(der).map(Self::Rsa),
            Some(0x04) => EcPrivate::from_sec1(der).map(Self::Ec),
            _ => Err(Error::malformed(PRIVATE)),
        }
    }

    /// From PEM with one private key block.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_pem(text: &SecretValue) -> Result<Self, Error> {
        let block = pem::decode_secret(text)?;
        match block.label.as_str() {
            pem::PRIVATE_KEY => Self::from_pkcs8(&block.der),
            pem::RSA_PRIVATE_KEY => RsaPrivate::from_pkcs1(&block.der).map(Self::Rsa),
            pem::EC_PRIVATE_KEY => EcPrivate::from_sec1(&block.der).map(Self::Ec),
            pem::ENCRYPTED_PRIVATE_KEY => Err(Error::Unsupported("an encrypted private key without its passphrase")),
            _ => Err(Error::malformed("PEM private key")),
        }
    }

    /// PKCS#8 DER, version 1: the form in which a value is given to and taken from the HSM layer.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_pkcs8(&self) -> Result<SecretValue, Error> {
        match self {
            Self::Rsa(key) => key.to_pkcs8(),
            Self::Ec(key) => key.to_pkcs8(),
            Self::Ed25519(key) => key.to_pkcs8(),
        }
    }

    /// `BEGIN PRIVATE KEY`.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_pem(&self) -> Result<SecretValue, Error> {
        pem::encode_secret(pem::PRIVATE_KEY, &self.to_pkcs8()?)
    }

    /// The public half.
    ///
    /// # Errors
    ///
    /// `Failed` when the library cannot compute it.
    pub fn public(&self) -> Result<PublicKey, Error> {
        Ok(match self {
            Self::Rsa(key) => PublicKey::Rsa(key.public().clone()),
            Self::Ec(key) => PublicKey::Ec(key.public().clone()),
            Self::Ed25519(key) => PublicKey::Ed25519(key.public()?),
        })
    }

    /// KMIP's name of the algorithm; `EC` for both uses of such a key.
    #[must_use]
    pub const fn algorithm(&self) -> CryptographicAlgorithm {
        match self {
            Self::Rsa(_) => CryptographicAlgorithm::RSA,
            Self::Ec(_) => CryptographicAlgorithm::EC,
            Self::Ed25519(_) => CryptographicAlgorithm::ED25519,
        }
    }

    /// KMIP's *Cryptographic Length*: bits of the modulus or of the field.
    #[must_use]
    pub fn bits(&self) -> u32 {
        match self {
            Self::Rsa(key) => key.public().bits(),
            Self::Ec(key) => key.curve().bits(),
            Self::Ed25519(_) => 256,
        }
    }
}

/// A public key of any family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA.
    Rsa(RsaPublic),
    /// A NIST curve or secp256k1.
    Ec(EcPublic),
    /// Ed25519.
    Ed25519(Ed25519Public),
}

impl PublicKey {
    /// From whatever a client may send as a public key: SubjectPublicKeyInfo or PKCS#1, as DER or PEM.
    ///
    /// # Errors
    ///
    /// `Malformed` when it is neither, `Unsupported` for other algorithms and curves.
    pub fn parse(value: &[u8]) -> Result<Self, Error> {
        if pem::is_pem(value) { Self::from_pem(value) } else { Self::from_der(value) }
    }

    /// As [`Self::parse`], of bytes that were held as a secret.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_secret(value: &SecretValue) -> Result<Self, Error> {
        Self::parse(bytes(value))
    }

    /// From SubjectPublicKeyInfo DER.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let info: SubjectPublicKeyInfoRef<'_> = asn1::decode("SubjectPublicKeyInfo", der)?;
        match info.algorithm.oid {
            asn1::RSA => RsaPublic::from_info(&info).map(Self::Rsa),
            asn1::EC => EcPublic::from_info(&info).map(Self::Ec),
            asn1::ED25519 => Ed25519Public::from_info(&info).map(Self::Ed25519),
            _ => Err(Error::Unsupported("this public key algorithm")),
        }
    }

    /// From DER in either structure.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        match asn1::elements(PUBLIC, der)?.first().and_then(|element| element.first()) {
            Some(0x30) => Self::from_spki(der),
            Some(0x02) => RsaPublic::from_pkcs1(der).map(Self::Rsa),
            _ => Err(Error::malformed(PUBLIC)),
        }
    }

    /// From PEM with one public key block.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let block = pem::decode(text)?;
        match block.label.as_str() {
            pem::PUBLIC_KEY => Self::from_spki(bytes(&block.der)),
            pem::RSA_PUBLIC_KEY => RsaPublic::from_pkcs1(bytes(&block.der)).map(Self::Rsa),
            _ => Err(Error::malformed("PEM public key")),
        }
    }

    /// SubjectPublicKeyInfo DER.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_spki(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Rsa(key) => key.to_spki(),
            Self::Ec(key) => key.to_spki(),
            Self::Ed25519(key) => key.to_spki(),
        }
    }

    /// `BEGIN PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_pem(&self) -> Result<String, Error> {
        pem::encode(pem::PUBLIC_KEY, &self.to_spki()?)
    }

    /// KMIP's name of the algorithm; `EC` for both uses of such a key.
    #[must_use]
    pub const fn algorithm(&self) -> CryptographicAlgorithm {
        match self {
            Self::Rsa(_) => CryptographicAlgorithm::RSA,
            Self::Ec(_) => CryptographicAlgorithm::EC,
            Self::Ed25519(_) => CryptographicAlgorithm::ED25519,
        }
    }

    /// KMIP's *Cryptographic Length*: bits of the modulus or of the field.
    #[must_use]
    pub fn bits(&self) -> u32 {
        match self {
            Self::Rsa(key) => key.bits(),
            Self::Ec(key) => key.curve().bits(),
            Self::Ed25519(_) => 256,
        }
    }
}
