//! Elliptic curves by the names `CKA_EC_PARAMS` may use, and the encodings of points.

use crate::crypto::error::{CryptoError, Result};

/// A curve the token offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-192, which only callers of what is old are given.
    P192,
    /// NIST P-224.
    P224,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// SEC 2 secp256k1.
    Secp256k1,
    /// RFC 5639 brainpoolP224r1.
    BrainpoolP224r1,
    /// RFC 5639 brainpoolP256r1.
    BrainpoolP256r1,
    /// RFC 5639 brainpoolP320r1.
    BrainpoolP320r1,
    /// RFC 5639 brainpoolP384r1.
    BrainpoolP384r1,
    /// RFC 5639 brainpoolP512r1.
    BrainpoolP512r1,
    /// edwards25519 for signatures.
    Ed25519,
    /// edwards448 for signatures.
    Ed448,
    /// curve25519 for key agreement.
    X25519,
    /// curve448 for key agreement.
    X448,
}

/// Each curve with the contents of its OID, the names a `curveName` may carry, and its field's bytes.
const CURVES: &[(Curve, &[u8], &[&str], usize)] = &[
    (Curve::P192, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x01], &["secp192r1", "prime192v1", "P-192"], 24),
    (Curve::P224, &[0x2b, 0x81, 0x04, 0x00, 0x21], &["secp224r1", "P-224"], 28),
    (Curve::P256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], &["secp256r1", "prime256v1", "P-256"], 32),
    (Curve::P384, &[0x2b, 0x81, 0x04, 0x00, 0x22], &["secp384r1", "P-384"], 48),
    (Curve::P521, &[0x2b, 0x81, 0x04, 0x00, 0x23], &["secp521r1", "P-521"], 66),
    (Curve::Secp256k1, &[0x2b, 0x81, 0x04, 0x00, 0x0a], &["secp256k1"], 32),
    (Curve::BrainpoolP224r1, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x05], &["brainpoolP224r1"], 28),
    (Curve::BrainpoolP256r1, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07], &["brainpoolP256r1"], 32),
    (Curve::BrainpoolP320r1, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x09], &["brainpoolP320r1"], 40),
    (Curve::BrainpoolP384r1, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b], &["brainpoolP384r1"], 48),
    (Curve::BrainpoolP512r1, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d], &["brainpoolP512r1"], 64),
    (Curve::Ed25519, &[0x2b, 0x65, 0x70], &["edwards25519"], 32),
    (Curve::Ed448, &[0x2b, 0x65, 0x71], &["edwards448"], 57),
    (Curve::X25519, &[0x2b, 0x65, 0x6e], &["curve25519"], 32),
    (Curve::X448, &[0x2b, 0x65, 0x6f], &["curve448"], 56),
];

impl Curve {
    /// The curves of short Weierstrass form, key type `CKK_EC`.
    pub const PRIME: &'static [Self] = &[
        Self::P192,
        Self::P224,
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Secp256k1,
        Self::BrainpoolP224r1,
        Self::BrainpoolP256r1,
        Self::BrainpoolP320r1,
        Self::BrainpoolP384r1,
        Self::BrainpoolP512r1,
    ];

    /// Those of them that the crypto library has no name for, so that their keys are encoded here.
    pub(super) const UNNAMED: &'static [Self] = &[
        Self::P192,
        Self::BrainpoolP224r1,
        Self::BrainpoolP256r1,
        Self::BrainpoolP320r1,
        Self::BrainpoolP384r1,
        Self::BrainpoolP512r1,
    ];

    /// Reads `CKA_EC_PARAMS`: a named curve as OID or as PrintableString (PKCS#11 3.1 §6.3.3); explicit parameters are
    /// `CurveNotSupported`, what is no DER at all is `AttributeValueInvalid`.
    pub fn from_ec_params(der: &[u8]) -> Result<Self> {
        let (tag, length, content) = match der {
            [tag, length, content @ ..] => (*tag, usize::from(*length), content),
            _ => return Err(CryptoError::AttributeValueInvalid),
        };
        // A long-form length cannot belong to a name, only to explicit parameters.
        if tag == SEQUENCE {
            return Err(CryptoError::CurveNotSupported);
        }
        if length != content.len() {
            return Err(CryptoError::AttributeValueInvalid);
        }
        let named = |row: &&(Self, &[u8], &[&str], usize)| match tag {
            OID => row.1 == content,
            PRINTABLE_STRING => row.2.iter().any(|name| name.as_bytes() == content),
            _ => false,
        };
        match CURVES.iter().find(named) {
            Some(row) => Ok(row.0),
            None if tag == OID || tag == PRINTABLE_STRING => Err(CryptoError::CurveNotSupported),
            None => Err(CryptoError::AttributeValueInvalid),
        }
    }

    /// The curve's `CKA_EC_PARAMS`, as an OID.
    pub fn to_ec_params(self) -> Vec<u8> {
        let oid = self.row().1;
        let mut der = vec![OID, u8::try_from(oid.len()).unwrap_or_default()];
        der.extend_from_slice(oid);
        der
    }

    /// Bytes of a coordinate, which for every curve here is also the length of a scalar.
    pub fn field_bytes(self) -> usize {
        self.row().3
    }

    /// Bits as `C_GetMechanismInfo` counts them.
    pub fn bits(self) -> u32 {
        match self {
            Self::P192 => 192,
            Self::P224 | Self::BrainpoolP224r1 => 224,
            Self::P256 | Self::Secp256k1 | Self::BrainpoolP256r1 => 256,
            Self::BrainpoolP320r1 => 320,
            Self::P384 | Self::BrainpoolP384r1 => 384,
            Self::BrainpoolP512r1 => 512,
            Self::P521 => 521,
            Self::Ed25519 | Self::X25519 => 255,
            Self::Ed448 | Self::X448 => 448,
        }
    }

    /// Whether points have two coordinates and `ECDSA` applies.
    pub fn is_prime(self) -> bool {
        Self::PRIME.contains(&self)
    }

    fn row(self) -> &'static (Self, &'static [u8], &'static [&'static str], usize) {
        CURVES.iter().find(|row| row.0 == self).expect("every curve has a row, which a test walks")
    }

    /// The bare point of a `CKA_EC_POINT`, which may be a DER OCTET STRING, as the standard says, or the point itself, as
    /// many callers send it. Both may begin with 0x04, so lengths decide.
    pub fn bare_point(self, point: &[u8]) -> Result<&[u8]> {
        let field = self.field_bytes();
        let is_bare = |point: &[u8]| match self.is_prime() {
            true => point.len() == 1 + field || point.len() == 1 + 2 * field,
            false => point.len() == field,
        };
        if is_bare(point) {
            return Ok(point);
        }
        let content = match point {
            [OCTET_STRING, 0x81, length, content @ ..] if usize::from(*length) == content.len() => content,
            [OCTET_STRING, length, content @ ..] if *length < 0x80 && usize::from(*length) == content.len() => content,
            _ => return Err(CryptoError::AttributeValueInvalid),
        };
        if is_bare(content) { Ok(content) } else { Err(CryptoError::AttributeValueInvalid) }
    }
}

/// Wraps a point as `CKA_EC_POINT` wants it: a DER OCTET STRING.
pub fn to_octet_string(point: &[u8]) -> Vec<u8> {
    let length = u8::try_from(point.len()).unwrap_or(u8::MAX);
    let mut der = if length < 0x80 { vec![OCTET_STRING, length] } else { vec![OCTET_STRING, 0x81, length] };
    der.extend_from_slice(point);
    der
}

const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const PRINTABLE_STRING: u8 = 0x13;
const SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_reads_back_its_parameters_and_names() {
        for (curve, _, names, _) in CURVES {
            assert_eq!(Curve::from_ec_params(&curve.to_ec_params()), Ok(*curve));
            for name in *names {
                let mut der = vec![PRINTABLE_STRING, u8::try_from(name.len()).unwrap()];
                der.extend_from_slice(name.as_bytes());
                assert_eq!(Curve::from_ec_params(&der), Ok(*curve));
            }
        }
        for curve in Curve::PRIME {
            assert!(CURVES.iter().any(|row| row.0 == *curve));
        }
    }

    #[test]
    fn what_is_no_named_curve_is_told_apart() {
        assert_eq!(Curve::from_ec_params(&[]), Err(CryptoError::AttributeValueInvalid));
        assert_eq!(Curve::from_ec_params(&[6, 9, 1]), Err(CryptoError::AttributeValueInvalid));
        assert_eq!(Curve::from_ec_params(&[6, 1, 1]), Err(CryptoError::CurveNotSupported));
        assert_eq!(Curve::from_ec_params(&[0x30, 0x81, 0x80, 0]), Err(CryptoError::CurveNotSupported));
        assert_eq!(Curve::from_ec_params(&[4, 1, 1]), Err(CryptoError::AttributeValueInvalid));
    }

    #[test]
    fn points_are_taken_bare_or_wrapped() {
        for curve in [Curve::P256, Curve::P521, Curve::Ed25519] {
            let bytes = if curve.is_prime() { 1 + 2 * curve.field_bytes() } else { 32 };
            let point = vec![4; bytes];
            assert_eq!(curve.bare_point(&point), Ok(&*point));
            assert_eq!(curve.bare_point(&to_octet_string(&point)), Ok(&*point));
            assert!(curve.bare_point(&point[1..]).is_err());
            assert!(curve.bare_point(&[]).is_err());
        }
    }
}
