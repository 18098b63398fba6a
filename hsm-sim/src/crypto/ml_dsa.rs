//! ML-DSA and HashML-DSA (PKCS#11 3.2 §6.67, FIPS 204).
//!
//! The message enters the digest μ as it comes, so parts are never kept. What is signed begins with the form (0 for a
//! message, 1 for its digest), the context and, for a digest, the OID of its hash: no form verifies another's signature.

use cryptoki_sys::*;

use super::{
    error::{CryptoError, Result},
    ffi::{digest::DigestContext, lattice::MU},
    key::{Key, LatticePrivateKey, LatticePublicKey},
    mechanism::MechanismInfo,
    operation::{SignOperation, VerifyOperation},
    params::{Hash, Hedge, ParamKind, Params},
};

/// The key type.
pub(super) const KEY_TYPES: &[CK_KEY_TYPE] = &[CKK_ML_DSA];
/// Sizes of public keys in bytes, which is how the standard counts here.
pub(super) const SIZES: (CK_ULONG, CK_ULONG) = (1312, 2592);

const fn row(mechanism: CK_MECHANISM_TYPE, name: &'static str, params: ParamKind) -> MechanismInfo {
    MechanismInfo::new(mechanism, name, KEY_TYPES, SIZES, params)
}

macro_rules! hashed {
    ($($mechanism:ident $name:literal $hash:ident;)+) => {
        &[$(row($mechanism, $name, ParamKind::OptionalSignContext).signs(
            |params, key| sign(Form::Hashing(Hash::$hash), params, key),
            |params, key| verify(Form::Hashing(Hash::$hash), params, key),
        ),)+]
    };
}

/// The rows that take a message or its digest.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    row(CKM_ML_DSA, "ML_DSA", ParamKind::OptionalSignContext)
        .signs(|params, key| sign(Form::Pure, params, key), |params, key| verify(Form::Pure, params, key)),
    row(CKM_HASH_ML_DSA, "HASH_ML_DSA", ParamKind::HashSignContext)
        .single_part()
        .signs(|params, key| sign(Form::Digest, params, key), |params, key| verify(Form::Digest, params, key)),
];

/// The rows that make the digest, too.
pub(super) const HASHED: &[MechanismInfo] = hashed! {
    CKM_HASH_ML_DSA_SHA224 "HASH_ML_DSA_SHA224" Sha224;
    CKM_HASH_ML_DSA_SHA256 "HASH_ML_DSA_SHA256" Sha256;
    CKM_HASH_ML_DSA_SHA384 "HASH_ML_DSA_SHA384" Sha384;
    CKM_HASH_ML_DSA_SHA512 "HASH_ML_DSA_SHA512" Sha512;
    CKM_HASH_ML_DSA_SHA3_224 "HASH_ML_DSA_SHA3_224" Sha3_224;
    CKM_HASH_ML_DSA_SHA3_256 "HASH_ML_DSA_SHA3_256" Sha3_256;
    CKM_HASH_ML_DSA_SHA3_384 "HASH_ML_DSA_SHA3_384" Sha3_384;
    CKM_HASH_ML_DSA_SHA3_512 "HASH_ML_DSA_SHA3_512" Sha3_512;
    CKM_HASH_ML_DSA_SHAKE128 "HASH_ML_DSA_SHAKE128" Shake128;
    CKM_HASH_ML_DSA_SHAKE256 "HASH_ML_DSA_SHAKE256" Shake256;
};

/// The last part of each hash's OID under 2.16.840.1.101.3.4.2 (NIST CSOR).
const HASH_OIDS: &[(Hash, u8)] = &[
    (Hash::Sha256, 1),
    (Hash::Sha384, 2),
    (Hash::Sha512, 3),
    (Hash::Sha224, 4),
    (Hash::Sha512_224, 5),
    (Hash::Sha512_256, 6),
    (Hash::Sha3_224, 7),
    (Hash::Sha3_256, 8),
    (Hash::Sha3_384, 9),
    (Hash::Sha3_512, 10),
    (Hash::Shake128, 11),
    (Hash::Shake256, 12),
];

#[derive(Debug, Clone, Copy)]
enum Form {
    /// The message itself.
    Pure,
    /// A digest that the caller made.
    Digest,
    /// A digest that we make.
    Hashing(Hash),
}

fn sign(form: Form, params: &Params, key: &Key) -> Result<Box<dyn SignOperation>> {
    let Key::LatticePrivate(key) = key else { return Err(CryptoError::KeyTypeInconsistent) };
    key.public().dsa()?;
    let (hedge, message) = Message::new(form, params, key.public())?;
    Ok(Box::new(Signer { key: key.clone(), hedged: hedge != Hedge::Deterministic, message }))
}

fn verify(form: Form, params: &Params, key: &Key) -> Result<Box<dyn VerifyOperation>> {
    let key = match key {
        Key::LatticePublic(key) => key,
        Key::LatticePrivate(key) => key.public(),
        _ => return Err(CryptoError::KeyTypeInconsistent),
    };
    key.dsa()?;
    let (_, message) = Message::new(form, params, key)?;
    Ok(Box::new(Verifier { key: key.clone(), message }))
}

/// The message on its way into μ.
struct Message {
    mu: DigestContext,
    /// The digest that goes in at the end, where one is made here.
    inner: Option<DigestContext>,
    inner_hash: Option<Hash>,
    /// Bytes that must still come, where the length is known.
    missing: Option<usize>,
}

impl Message {
    fn new(form: Form, params: &Params, key: &LatticePublicKey) -> Result<(Hedge, Self)> {
        let (hedge, context, named) = match params {
            Params::None => (Hedge::Preferred, &[][..], None),
            Params::SignContext { hedge, context, hash } => (*hedge, context.as_slice(), *hash),
            _ => return Err(CryptoError::MechanismParamInvalid),
        };
        let hash = match (form, named) {
            (Form::Pure, None) => None,
            (Form::Digest, Some(hash)) | (Form::Hashing(hash), None) => Some(hash),
            _ => return Err(CryptoError::MechanismParamInvalid),
        };
        let context_bytes = u8::try_from(context.len()).map_err(|_too_long| CryptoError::MechanismParamInvalid)?;
        let mut public = DigestContext::new(Hash::Shake256)?;
        public.update(key.bytes())?;
        let mut key_digest = [0; 64];
        public.finish(&mut key_digest)?;
        let mut mu = DigestContext::new(Hash::Shake256)?;
        mu.update(&key_digest)?;
        mu.update(&[u8::from(hash.is_some()), context_bytes])?;
        mu.update(context)?;
        if let Some(hash) = hash {
            let last = HASH_OIDS.iter().find(|row| row.0 == hash).ok_or(CryptoError::MechanismParamInvalid)?.1;
            mu.update(&[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last])?;
        }
        let (inner, missing) = match (form, hash) {
            (Form::Hashing(_), Some(hash)) => (Some(DigestContext::new(hash)?), None),
            (_, Some(hash)) => (None, Some(hash.output_bytes())),
            (_, None) => (None, None),
        };
        Ok((hedge, Self { mu, inner, inner_hash: hash, missing }))
    }

    fn update(&mut self, data: &[u8]) -> Result<()> {
        if let Some(missing) = &mut self.missing {
            *missing = missing.checked_sub(data.len()).ok_or(CryptoError::DataLenRange)?;
        }
        self.inner.as_mut().unwrap_or(&mut self.mu).update(data)
    }

    fn finish(&mut self) -> Result<[u8; MU]> {
        if self.missing.is_some_and(|missing| missing > 0) {
            return Err(CryptoError::DataLenRange);
        }
        if let (Some(mut inner), Some(hash)) = (self.inner.take(), self.inner_hash) {
            let mut digest = [0; 64];
            let digest = digest.get_mut(..hash.output_bytes()).ok_or(CryptoError::GeneralError)?;
            inner.finish(digest)?;
            self.mu.update(digest)?;
        }
        let mut mu = [0; MU];
        self.mu.finish(&mut mu)?;
        Ok(mu)
    }
}

struct Signer {
    key: LatticePrivateKey,
    hedged: bool,
    message: Message,
}

impl SignOperation for Signer {
    fn signature_bytes(&self) -> usize {
        self.key.public().dsa().map_or(0, |dsa| dsa.sizes.signature)
    }

    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.message.update(data)
    }

    fn finish(&mut self, signature: &mut [u8]) -> Result<usize> {
        let dsa = self.key.public().dsa()?;
        let signature = signature.get_mut(..dsa.sizes.signature).ok_or(CryptoError::GeneralError)?;
        dsa.sign(self.key.value(), &self.message.finish()?, self.hedged, signature)?;
        Ok(signature.len())
    }
}

struct Verifier {
    key: LatticePublicKey,
    message: Message,
}

impl VerifyOperation for Verifier {
    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.message.update(data)
    }

    fn finish(&mut self, signature: &[u8]) -> Result<()> {
        let dsa = self.key.dsa()?;
        if signature.len() != dsa.sizes.signature {
            return Err(CryptoError::SignatureLenRange);
        }
        let mu = self.message.finish()?;
        dsa.verify(self.key.bytes(), &mu, signature).map_err(|_whatever| CryptoError::SignatureInvalid)
    }
}
