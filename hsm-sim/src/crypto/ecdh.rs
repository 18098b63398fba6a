//! Key agreement on prime curves, curve25519 and curve448 (PKCS#11 3.1 §6.3.17–6.3.18), and what is made of the shared secret.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    ecdsa,
    error::{CryptoError, Result},
    ffi::{ec::EcKey, ed25519},
    goldilocks,
    key::{Curve, Key, RawPublicKey},
    mechanism::MechanismInfo,
    operation::Digester,
    params::{EcKdf, Hash, ParamKind, Params},
};

/// The rows of this family. The cofactor of every curve here is one, or (curve25519) cleared by the scalar's form.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    MechanismInfo::new(CKM_ECDH1_DERIVE, "ECDH1_DERIVE", &[CKK_EC, CKK_EC_MONTGOMERY], ecdsa::SIZES, ParamKind::Ecdh)
        .flags(ecdsa::CURVE_FLAGS)
        .derives(derive),
    MechanismInfo::new(CKM_ECDH1_COFACTOR_DERIVE, "ECDH1_COFACTOR_DERIVE", &[CKK_EC], ecdsa::SIZES, ParamKind::Ecdh)
        .flags(ecdsa::CURVE_FLAGS)
        .derives(derive),
];

fn derive(params: &Params, key: &Key, bytes: Option<usize>) -> Result<Zeroizing<Vec<u8>>> {
    let Params::Ecdh { kdf, public, shared } = params else { return Err(CryptoError::MechanismParamInvalid) };
    if *kdf == EcKdf::Null && !shared.is_empty() {
        return Err(CryptoError::MechanismParamInvalid);
    }
    let secret = agree(key, public)?;
    match *kdf {
        EcKdf::Null => cut(secret, bytes),
        EcKdf::X963(hash) => expand(hash, bytes, |digester, counter| {
            [secret.as_slice(), counter, shared].iter().try_for_each(|part| digester.update(part))
        }),
        EcKdf::Sp800(hash) => expand(hash, bytes, |digester, counter| {
            [counter, secret.as_slice(), shared].iter().try_for_each(|part| digester.update(part))
        }),
    }
}

/// The shared secret. A public key that is no point of the curve is `PublicKeyInvalid`.
fn agree(key: &Key, public: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let malformed = |error| match error {
        CryptoError::AttributeValueInvalid => CryptoError::MechanismParamInvalid,
        other => other,
    };
    match key {
        Key::X25519Private(key) => {
            let peer = RawPublicKey::new(Curve::X25519, public).map_err(malformed)?;
            let shared = ed25519::x25519(key.value(), peer.bytes()).map_err(|_zero| CryptoError::PublicKeyInvalid)?;
            Ok(Zeroizing::new(shared.to_vec()))
        }
        Key::X448Private(key) => {
            let invalid = |_length| CryptoError::MechanismParamInvalid;
            let peer = Curve::X448.bare_point(public).map_err(malformed)?.try_into().map_err(invalid)?;
            let private = key.value().try_into().map_err(invalid)?;
            Ok(Zeroizing::new(goldilocks::x448(private, peer)?.to_vec()))
        }
        _ => {
            let key = key.ec_private()?;
            let peer = EcKey::public(key.curve(), key.curve().bare_point(public).map_err(malformed)?)?;
            key.agree(&peer)
        }
    }
}

/// PKCS#11 3.1 §6.3.17: a shorter key loses bytes from the front of the secret.
fn cut(mut secret: Zeroizing<Vec<u8>>, bytes: Option<usize>) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = bytes.unwrap_or(secret.len());
    let surplus = secret.len().checked_sub(bytes).ok_or(CryptoError::KeySizeRange)?;
    secret.drain(..surplus);
    Ok(secret)
}

/// Hashes block after block with a counter from one (SEC 1 §3.6.1, SP 800-56C §4.1).
fn expand(
    hash: Hash,
    bytes: Option<usize>,
    hash_block: impl Fn(&mut Digester, &[u8]) -> Result<()>,
) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = bytes.unwrap_or_else(|| hash.output_bytes());
    if bytes > BYTES_MAX {
        return Err(CryptoError::KeySizeRange);
    }
    let mut output = Zeroizing::new(vec![0; bytes]);
    for (counter, chunk) in (1_u32..).zip(output.chunks_mut(hash.output_bytes())) {
        let mut digester = Digester::new(hash)?;
        hash_block(&mut digester, &counter.to_be_bytes())?;
        let mut made = Zeroizing::new(vec![0; hash.output_bytes()]);
        digester.finish(&mut made)?;
        chunk.copy_from_slice(made.get(..chunk.len()).ok_or(CryptoError::GeneralError)?);
    }
    Ok(output)
}

/// More than any key; the standards' own limits are gigabytes.
const BYTES_MAX: usize = 1 << 16;
