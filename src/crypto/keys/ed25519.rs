//! Ed25519 keys: PKCS#8 version 1 and SubjectPublicKeyInfo (RFC 8410) ↔ the 32 bytes.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use der::asn1::{AnyRef, BitStringRef, OctetStringRef};
use pkcs8::PrivateKeyInfoRef;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::crypto::{Error, asn1, bytes};
use crate::domain::SecretValue;

const PRIVATE: &str = "Ed25519 private key";
const PUBLIC: &str = "Ed25519 public key";
const LENGTH: usize = 32;

/// An Ed25519 private key: its seed.
#[derive(Debug)]
pub struct Ed25519Private {
    seed: SecretValue,
}

impl Ed25519Private {
    /// From the 32-byte seed.
    ///
    /// # Errors
    ///
    /// `Malformed` for another length.
    pub fn from_seed(seed: SecretValue) -> Result<Self, Error> {
        if seed.len() == LENGTH { Ok(Self { seed }) } else { Err(Error::malformed(PRIVATE)) }
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> &SecretValue {
        &self.seed
    }

    /// Gives the seed away.
    #[must_use]
    pub fn into_seed(self) -> SecretValue {
        self.seed
    }

    /// From the octets inside PKCS#8: an OCTET STRING in an OCTET STRING. A public key beside them must fit.
    pub(super) fn from_info(info: &PrivateKeyInfoRef<'_>) -> Result<Self, Error> {
        no_parameters(PRIVATE, info.algorithm.parameters)?;
        let seed: &OctetStringRef = asn1::decode(PRIVATE, info.private_key.as_bytes())?;
        let key = Self::from_seed(SecretValue::new(seed.as_bytes().to_vec()))?;
        if let Some(given) = &info.public_key
            && given.as_bytes() != Some(key.public()?.bytes())
        {
            return Err(Error::Inconsistent(PRIVATE));
        }
        Ok(key)
    }

    /// PKCS#8 version 1.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_pkcs8(&self) -> Result<SecretValue, Error> {
        let refused = |cause| Error::Malformed { what: PRIVATE, cause: Some(cause) };
        let inner = asn1::encode(PRIVATE, &OctetStringRef::new(bytes(&self.seed)).map_err(refused)?)?;
        let key = OctetStringRef::new(&inner).map_err(refused)?;
        asn1::encode_secret(
            PRIVATE,
            &PrivateKeyInfoRef::new(AlgorithmIdentifierRef { oid: asn1::ED25519, parameters: None }, key),
        )
    }

    /// The public half.
    ///
    /// # Errors
    ///
    /// `Failed` when the library cannot compute it.
    pub fn public(&self) -> Result<Ed25519Public, Error> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(bytes(&self.seed)).map_err(|_rejected| Error::Failed("Ed25519"))?;
        Ed25519Public::from_bytes(pair.public_key().as_ref())
    }
}

/// An Ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ed25519Public {
    point: [u8; LENGTH],
}

impl Ed25519Public {
    /// From its 32 bytes.
    ///
    /// # Errors
    ///
    /// `Malformed` for another length.
    pub fn from_bytes(point: &[u8]) -> Result<Self, Error> {
        point.try_into().map(|point| Self { point }).ok().ok_or(Error::malformed(PUBLIC))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.point
    }

    pub(super) fn from_info(info: &SubjectPublicKeyInfoRef<'_>) -> Result<Self, Error> {
        no_parameters(PUBLIC, info.algorithm.parameters)?;
        Self::from_bytes(info.subject_public_key.as_bytes().ok_or(Error::malformed(PUBLIC))?)
    }

    /// SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_spki(&self) -> Result<Vec<u8>, Error> {
        let refused = |cause| Error::Malformed { what: PUBLIC, cause: Some(cause) };
        let info = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef { oid: asn1::ED25519, parameters: None },
            subject_public_key: BitStringRef::from_bytes(&self.point).map_err(refused)?,
        };
        Ok(std::mem::take(&mut *asn1::encode(PUBLIC, &info)?))
    }
}

/// RFC 8410 §3: the parameters must be absent.
fn no_parameters(what: &'static str, parameters: Option<AnyRef<'_>>) -> Result<(), Error> {
    if parameters.is_none() { Ok(()) } else { Err(Error::malformed(what)) }
}
