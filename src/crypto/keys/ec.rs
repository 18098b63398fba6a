//! EC keys over the NIST primes and secp256k1: SEC 1 ECPrivateKey (RFC 5915) ↔ PKCS#8 ↔ (curve, scalar, point); SPKI ↔ (curve, point).
//!
//! Points are uncompressed. A private key always carries its point here: where an encoding leaves it out it is computed, where
//! it is given it must fit, because a token would sign with one and advertise the other.

use aws_lc_rs::{
    agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521},
    signature::{self, ECDSA_P256K1_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef};
use pkcs8::PrivateKeyInfoRef;
use sec1::{EcParameters, EcPrivateKey};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use zeroize::Zeroizing;

use crate::crypto::{
    Error,
    asn1::{self, into_secret},
    bytes,
};
use crate::domain::{SecretValue, algorithm::Curve};

const PRIVATE: &str = "EC private key";
const PUBLIC: &str = "EC public key";

/// What of the library knows a curve: secp256k1 is there for signatures only.
#[derive(Clone, Copy)]
enum Library {
    Agreement(&'static agreement::Algorithm),
    Signature(&'static signature::EcdsaSigningAlgorithm),
}

/// The named curves by object identifier (RFC 5480 §2.1.1.1, SEC 2 §A.2), with what knows them.
const CURVES: &[(Curve, ObjectIdentifier, Library)] = &[
    (Curve::P256, ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), Library::Agreement(&ECDH_P256)),
    (Curve::P384, ObjectIdentifier::new_unwrap("1.3.132.0.34"), Library::Agreement(&ECDH_P384)),
    (Curve::P521, ObjectIdentifier::new_unwrap("1.3.132.0.35"), Library::Agreement(&ECDH_P521)),
    (
        Curve::Secp256k1,
        ObjectIdentifier::new_unwrap("1.3.132.0.10"),
        Library::Signature(&ECDSA_P256K1_SHA256_ASN1_SIGNING),
    ),
];

impl Library {
    /// The uncompressed point of a scalar of full width; `None` for one that is zero or too large.
    fn point(self, curve: Curve, scalar: &SecretValue) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Agreement(algorithm) => Ok(agreement::PrivateKey::from_private_key(algorithm, bytes(scalar))
                .ok()
                .and_then(|key| key.compute_public_key().ok())
                .map(|point| point.as_ref().to_vec())),
            Self::Signature(algorithm) => {
                let parameters = Some(EcParameters::NamedCurve(oid(curve)));
                let key = EcPrivateKey { private_key: bytes(scalar), parameters, public_key: None };
                let der = asn1::encode(PRIVATE, &key)?;
                let pair = EcdsaKeyPair::from_private_key_der(algorithm, &der).ok();
                Ok(pair.map(|pair| pair.public_key().as_ref().to_vec()))
            }
        }
    }

    /// Whether an uncompressed point is on the curve.
    fn holds(self, point: &[u8]) -> bool {
        match self {
            Self::Agreement(algorithm) => {
                agreement::ParsedPublicKey::try_from(agreement::UnparsedPublicKey::new(algorithm, point)).is_ok()
            }
            Self::Signature(_) => signature::ParsedPublicKey::new(&signature::ECDSA_P256K1_SHA256_ASN1, point).is_ok(),
        }
    }
}

/// The DER of `ECParameters` that names the curve: what PKCS#11 calls `CKA_EC_PARAMS`.
///
/// # Errors
///
/// Only those of the encoder.
pub fn curve_parameters(curve: Curve) -> Result<Vec<u8>, Error> {
    Ok(std::mem::take(&mut *asn1::encode("EC parameters", &oid(curve))?))
}

/// The curve that the DER of `ECParameters` names.
///
/// # Errors
///
/// `Malformed` when it names none, `Unsupported` when it is not one of ours.
pub fn curve_from_parameters(parameters: &[u8]) -> Result<Curve, Error> {
    named(asn1::decode("EC parameters", parameters)?)
}

/// An EC private key.
#[derive(Debug)]
pub struct EcPrivate {
    scalar: SecretValue,
    public: EcPublic,
}

impl EcPrivate {
    /// From the scalar, big-endian, of any width that its value fits, and the point where one is known.
    ///
    /// # Errors
    ///
    /// `Malformed` when the scalar is zero or too large, `Inconsistent` when the point belongs to another scalar.
    pub fn from_scalar(curve: Curve, scalar: &SecretValue, point: Option<&[u8]>) -> Result<Self, Error> {
        let scalar = fixed_width(curve, bytes(scalar))?;
        let point_of = library(curve).point(curve, &scalar)?.ok_or(Error::malformed(PRIVATE))?;
        let public = EcPublic { curve, point: point_of };
        if let Some(given) = point
            && EcPublic::from_point(curve, given)? != public
        {
            return Err(Error::Inconsistent(PRIVATE));
        }
        Ok(Self { scalar, public })
    }

    /// From SEC 1 DER, which must name its curve.
    ///
    /// # Errors
    ///
    /// `Malformed`, `Unsupported` (curve), `Inconsistent`.
    pub fn from_sec1(der: &SecretValue) -> Result<Self, Error> {
        Self::from_sec1_within(None, bytes(der))
    }

    pub(super) fn from_info(info: &PrivateKeyInfoRef<'_>) -> Result<Self, Error> {
        let curve = curve_of(PRIVATE, info.algorithm.parameters)?;
        let key = Self::from_sec1_within(Some(curve), info.private_key.as_bytes())?;
        if let Some(given) = &info.public_key
            && given.as_bytes() != Some(key.public.point())
        {
            return Err(Error::Inconsistent(PRIVATE));
        }
        Ok(key)
    }

    fn from_sec1_within(outer: Option<Curve>, der: &[u8]) -> Result<Self, Error> {
        let key: EcPrivateKey<'_> = asn1::decode(PRIVATE, der)?;
        let inner = key.parameters.and_then(EcParameters::named_curve).map(named).transpose()?;
        let curve = match (outer, inner) {
            (Some(outer), Some(inner)) if outer != inner => return Err(Error::Inconsistent(PRIVATE)),
            (outer, inner) => outer.or(inner).ok_or(Error::Unsupported("an EC key that does not name its curve"))?,
        };
        Self::from_scalar(curve, &SecretValue::new(key.private_key.to_vec()), key.public_key)
    }

    /// SEC 1 DER with curve and point.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_sec1(&self) -> Result<SecretValue, Error> {
        Ok(into_secret(self.sec1(true)?))
    }

    /// PKCS#8 DER; the inner structure has the point and leaves the curve to the outer one, as common tools write it.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_pkcs8(&self) -> Result<SecretValue, Error> {
        let inner = self.sec1(false)?;
        let curve = oid(self.public.curve);
        let algorithm = AlgorithmIdentifierRef { oid: asn1::EC, parameters: Some(AnyRef::from(&curve)) };
        let key =
            OctetStringRef::new(&inner).map_err(|cause| Error::Malformed { what: PRIVATE, cause: Some(cause) })?;
        asn1::encode_secret(PRIVATE, &PrivateKeyInfoRef::new(algorithm, key))
    }

    fn sec1(&self, with_curve: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
        let parameters = with_curve.then(|| EcParameters::NamedCurve(oid(self.public.curve)));
        let key = EcPrivateKey { private_key: bytes(&self.scalar), parameters, public_key: Some(&self.public.point) };
        asn1::encode(PRIVATE, &key)
    }

    /// The scalar, as wide as the curve's field.
    #[must_use]
    pub const fn scalar(&self) -> &SecretValue {
        &self.scalar
    }

    /// Gives the scalar away.
    #[must_use]
    pub fn into_scalar(self) -> SecretValue {
        self.scalar
    }

    /// The curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.public.curve
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &EcPublic {
        &self.public
    }
}

/// An EC public key: a point on its curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcPublic {
    curve: Curve,
    point: Vec<u8>,
}

impl EcPublic {
    /// From the uncompressed point, `04‖x‖y`.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a compressed point, `Malformed` for another form or a point that is not on the curve.
    pub fn from_point(curve: Curve, point: &[u8]) -> Result<Self, Error> {
        match point.first() {
            Some(4) if point.len() == 1 + 2 * curve.bytes() => {}
            Some(2 | 3) if point.len() == 1 + curve.bytes() => return Err(Error::Unsupported("a compressed EC point")),
            _ => return Err(Error::malformed(PUBLIC)),
        }
        if library(curve).holds(point) {
            Ok(Self { curve, point: point.to_vec() })
        } else {
            Err(Error::malformed(PUBLIC))
        }
    }

    pub(super) fn from_info(info: &SubjectPublicKeyInfoRef<'_>) -> Result<Self, Error> {
        let curve = curve_of(PUBLIC, info.algorithm.parameters)?;
        Self::from_point(curve, info.subject_public_key.as_bytes().ok_or(Error::malformed(PUBLIC))?)
    }

    /// SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// Only those of the encoder.
    pub fn to_spki(&self) -> Result<Vec<u8>, Error> {
        let curve = oid(self.curve);
        let info = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef { oid: asn1::EC, parameters: Some(AnyRef::from(&curve)) },
            subject_public_key: BitStringRef::from_bytes(&self.point)
                .map_err(|cause| Error::Malformed { what: PUBLIC, cause: Some(cause) })?,
        };
        Ok(std::mem::take(&mut *asn1::encode(PUBLIC, &info)?))
    }

    /// The curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The uncompressed point, `04‖x‖y`.
    #[must_use]
    pub fn point(&self) -> &[u8] {
        &self.point
    }
}

fn curve_of(what: &'static str, parameters: Option<AnyRef<'_>>) -> Result<Curve, Error> {
    let parameters = parameters.ok_or_else(|| Error::malformed(what))?;
    let curve = parameters.decode_as::<ObjectIdentifier>();
    named(curve.map_err(|cause| Error::Malformed { what, cause: Some(cause) })?)
}

fn named(curve: ObjectIdentifier) -> Result<Curve, Error> {
    CURVES.iter().find(|row| row.1 == curve).map(|row| row.0).ok_or(Error::Unsupported("this elliptic curve"))
}

fn row(curve: Curve) -> &'static (Curve, ObjectIdentifier, Library) {
    CURVES.iter().find(|row| row.0 == curve).expect("CURVES has a row for every curve; a test walks them")
}

fn oid(curve: Curve) -> ObjectIdentifier {
    row(curve).1
}

fn library(curve: Curve) -> Library {
    row(curve).2
}

/// Some encoders drop leading zeros, some add one: the value counts, the width is the curve's.
fn fixed_width(curve: Curve, scalar: &[u8]) -> Result<SecretValue, Error> {
    let zeros = scalar.len().saturating_sub(curve.bytes());
    let (head, tail) = scalar.split_at(zeros);
    if head.iter().any(|byte| *byte != 0) || tail.is_empty() {
        return Err(Error::malformed(PRIVATE));
    }
    let mut fixed = Vec::with_capacity(curve.bytes());
    fixed.resize(curve.bytes() - tail.len(), 0);
    fixed.extend_from_slice(tail);
    Ok(SecretValue::new(fixed))
}
