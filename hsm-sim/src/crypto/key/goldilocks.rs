//! Keys on the two curves of 448 bits. The library has neither, so their DER forms (RFC 8410) are written here, too: they
//! have fixed lengths.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Curve;
use crate::crypto::{
    error::{CryptoError, Result},
    goldilocks,
};

/// An Ed448 or X448 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldilocksPublicKey {
    curve: Curve,
    bytes: Vec<u8>,
}

/// An Ed448 or X448 private key; the public one is contained.
#[derive(Clone)]
pub struct GoldilocksPrivateKey(Arc<Private>);

struct Private {
    value: Zeroizing<Vec<u8>>,
    public: GoldilocksPublicKey,
}

impl GoldilocksPublicKey {
    /// Takes a key, bare or as a DER OCTET STRING; one of Ed448 must be a point of its curve.
    pub fn new(curve: Curve, point: &[u8]) -> Result<Self> {
        let bytes = curve.bare_point(point)?.to_vec();
        match (curve, <&[u8; goldilocks::KEY_BYTES]>::try_from(bytes.as_slice())) {
            (Curve::Ed448, Ok(key)) if !goldilocks::is_public_key(key) => Err(CryptoError::PublicKeyInvalid),
            (Curve::Ed448, Ok(_)) | (Curve::X448, Err(_)) => Ok(Self { curve, bytes }),
            _ => Err(CryptoError::CurveNotSupported),
        }
    }

    /// The curve.
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The key itself, not wrapped.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn to_spki(&self) -> Vec<u8> {
        [head(self.curve).0, &self.bytes].concat()
    }

    pub(super) fn from_spki(der: &[u8]) -> Option<Result<Self>> {
        CURVES.iter().find_map(|curve| {
            let key = der.strip_prefix(head(*curve).0)?;
            let has_length = key.len() == curve.field_bytes();
            Some(if has_length { Self::new(*curve, key) } else { Err(CryptoError::AttributeValueInvalid) })
        })
    }
}

impl GoldilocksPrivateKey {
    /// Takes the private bytes (`CKA_VALUE`).
    pub fn new(curve: Curve, value: &[u8]) -> Result<Self> {
        let wrong = |_length| CryptoError::AttributeValueInvalid;
        let bytes = match curve {
            Curve::Ed448 => goldilocks::public_key(value.try_into().map_err(wrong)?)?.to_vec(),
            Curve::X448 => goldilocks::x448_public(value.try_into().map_err(wrong)?).to_vec(),
            _ => return Err(CryptoError::CurveNotSupported),
        };
        let public = GoldilocksPublicKey { curve, bytes };
        Ok(Self(Arc::new(Private { value: Zeroizing::new(value.to_vec()), public })))
    }

    /// The private bytes.
    pub fn value(&self) -> &[u8] {
        &self.0.value
    }

    /// The public half.
    pub fn public(&self) -> &GoldilocksPublicKey {
        &self.0.public
    }

    pub(super) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([head(self.public().curve).1, self.value()].concat())
    }

    /// Reads the key without attributes and public key behind it, as it is written here and elsewhere.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Result<Self>> {
        CURVES.iter().find_map(|curve| der.strip_prefix(head(*curve).1).map(|value| Self::new(*curve, value)))
    }
}

impl std::fmt::Debug for GoldilocksPrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GoldilocksPrivateKey").field("curve", &self.0.public.curve).finish_non_exhaustive()
    }
}

const CURVES: [Curve; 2] = [Curve::Ed448, Curve::X448];

/// What comes before the key in a SubjectPublicKeyInfo and in a PrivateKeyInfo.
const fn head(curve: Curve) -> (&'static [u8], &'static [u8]) {
    match curve {
        Curve::X448 => (
            &[0x30, 0x42, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6f, 0x03, 0x39, 0x00],
            &[0x30, 0x46, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6f, 0x04, 0x3a, 0x04, 0x38],
        ),
        _ => (
            &[0x30, 0x43, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x71, 0x03, 0x3a, 0x00],
            &[0x30, 0x47, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x71, 0x04, 0x3b, 0x04, 0x39],
        ),
    }
}
