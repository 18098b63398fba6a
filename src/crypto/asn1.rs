//! Small helpers over the `der` crate: exact decoding, encoding without stray copies, walking raw elements, and the OIDs we know.

use der::{
    Decode, Encode, Reader, SliceReader, Tagged,
    asn1::{AnyRef, ObjectIdentifier},
};
use zeroize::{Zeroize, Zeroizing};

use super::Error;
use crate::domain::SecretValue;

/// RFC 8017 `rsaEncryption`.
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480 `id-ecPublicKey`.
pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 8410 `id-Ed25519`.
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Decodes all of `bytes`; what is left over is an error.
pub(super) fn decode<'a, T: Decode<'a, Error = der::Error>>(what: &'static str, bytes: &'a [u8]) -> Result<T, Error> {
    T::from_der(bytes).map_err(|cause| Error::Malformed { what, cause: Some(cause) })
}

/// Encodes into a buffer of the exact size, so that no growing buffer leaves a copy behind.
pub(super) fn encode(what: &'static str, value: &impl Encode) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |cause| Error::Malformed { what, cause: Some(cause) };
    let length = usize::try_from(value.encoded_len().map_err(failed)?).map_err(failed)?;
    let mut buffer = Zeroizing::new(vec![0; length]);
    value.encode_to_slice(&mut buffer).map_err(failed)?;
    Ok(buffer)
}

/// As [`encode`], into a secret.
pub(super) fn encode_secret(what: &'static str, value: &impl Encode) -> Result<SecretValue, Error> {
    Ok(into_secret(encode(what, value)?))
}

/// Hands a zeroising buffer over without copying it.
pub(super) fn into_secret(mut buffer: Zeroizing<Vec<u8>>) -> SecretValue {
    SecretValue::new(std::mem::take(&mut *buffer))
}

/// Cuts a zeroising buffer to `length` and hands it over; what is cut off is wiped.
pub(super) fn cut_into_secret(mut buffer: Zeroizing<Vec<u8>>, length: usize) -> SecretValue {
    if let Some(rest) = buffer.get_mut(length..) {
        rest.zeroize();
    }
    buffer.truncate(length);
    into_secret(buffer)
}

/// The elements inside one constructed element, each with its header.
pub(super) fn elements<'a>(what: &'static str, constructed: &'a [u8]) -> Result<Vec<&'a [u8]>, Error> {
    let failed = |cause| Error::Malformed { what, cause: Some(cause) };
    let outer: AnyRef<'a> = decode(what, constructed)?;
    if !outer.tag().is_constructed() {
        return Err(Error::malformed(what));
    }
    let mut reader = SliceReader::new(outer.value()).map_err(failed)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(reader.tlv_bytes().map_err(failed)?);
    }
    Ok(found)
}
