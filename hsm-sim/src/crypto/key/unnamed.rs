//! The encodings of keys on curves that the crypto library has no name for (RFC 5480, RFC 5915, RFC 5958).
//!
//! What we write is the one form in which everybody writes such keys: a named curve, a whole scalar, an uncompressed point.
//! Reading compares with that form, byte by byte, and leaves all others to the library, which refuses them.

use zeroize::Zeroizing;

use super::{Curve, EcPrivateKey, EcPublicKey};
use crate::crypto::error::{CryptoError, Result};

const ID_EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const PUBLIC_KEY: u8 = 0xa1;

fn tlv(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let content = Zeroizing::new(parts.concat());
    // Nothing here is longer than 255 bytes.
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    Zeroizing::new([head.as_slice(), &content].concat())
}

fn algorithm(curve: Curve) -> Zeroizing<Vec<u8>> {
    tlv(SEQUENCE, &[ID_EC_PUBLIC_KEY, &curve.to_ec_params()])
}

fn spki_of(curve: Curve, point: &[u8]) -> Zeroizing<Vec<u8>> {
    tlv(SEQUENCE, &[&algorithm(curve), &tlv(BIT_STRING, &[&[0], point])])
}

fn pkcs8_of(curve: Curve, scalar: &[u8], point: Option<&[u8]>) -> Zeroizing<Vec<u8>> {
    let public = point.map(|point| tlv(PUBLIC_KEY, &[&tlv(BIT_STRING, &[&[0], point])]));
    let public = public.as_ref().map_or(&[][..], |public| public.as_slice());
    let key = tlv(SEQUENCE, &[&[0x02, 0x01, 0x01], &tlv(OCTET_STRING, &[scalar]), public]);
    tlv(SEQUENCE, &[&[0x02, 0x01, 0x00], &algorithm(curve), &tlv(OCTET_STRING, &[&key])])
}

/// A public key as SubjectPublicKeyInfo.
pub(super) fn spki(key: &EcPublicKey) -> Result<Vec<u8>> {
    Ok(spki_of(key.curve(), &key.point()?).to_vec())
}

/// A private key as PrivateKeyInfo.
pub(super) fn pkcs8(key: &EcPrivateKey) -> Result<Zeroizing<Vec<u8>>> {
    Ok(pkcs8_of(key.curve(), &key.scalar()?, Some(&key.public()?.point()?)))
}

/// Reads what [`spki`] writes; `None` for everything else.
pub(super) fn from_spki(der: &[u8]) -> Option<Result<EcPublicKey>> {
    Curve::UNNAMED.iter().find_map(|curve| {
        let (_, point) = der.split_at_checked(der.len().checked_sub(1 + 2 * curve.field_bytes())?)?;
        (*spki_of(*curve, point) == der).then(|| EcPublicKey::new(*curve, point))
    })
}

/// Reads what [`pkcs8`] writes, with the public key behind it or without; `None` for everything else.
pub(super) fn from_pkcs8(der: &[u8]) -> Option<Result<EcPrivateKey>> {
    Curve::UNNAMED.iter().find_map(|curve| {
        let field = curve.field_bytes();
        let tail = |bytes: usize| der.len().checked_sub(bytes).and_then(|start| der.get(start..));
        // The scalar comes last, or before the point and what announces that.
        let bare = tail(field).filter(|scalar| *pkcs8_of(*curve, scalar, None) == der);
        let whole = || {
            let point = tail(1 + 2 * field)?;
            let after = tlv(PUBLIC_KEY, &[&tlv(BIT_STRING, &[&[0], point])]).len();
            let scalar = tail(after + field)?.get(..field)?;
            (*pkcs8_of(*curve, scalar, Some(point)) == der).then_some((scalar, point))
        };
        match (bare, whole()) {
            (Some(scalar), _) => Some(EcPrivateKey::new(*curve, scalar)),
            (None, Some((scalar, point))) => Some(EcPrivateKey::new(*curve, scalar).and_then(|key| {
                if key.public()?.point()? == point { Ok(key) } else { Err(CryptoError::AttributeValueInvalid) }
            })),
            (None, None) => None,
        }
    })
}
