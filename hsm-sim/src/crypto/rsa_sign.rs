//! RSA signatures (PKCS#11 3.1 §6.1): PKCS#1 v1.5, PSS and raw, over data, digests and messages.

use std::sync::Arc;

use cryptoki_sys::*;
use subtle::ConstantTimeEq;

use super::{
    error::{CryptoError, Result},
    ffi::rsa::{Padding, RsaKey},
    key::Key,
    mechanism::MechanismInfo,
    message::Message,
    operation::{SignOperation, VerifyOperation},
    params::{Hash, ParamKind, Params},
    rsa_cipher::{KEY_TYPES, PKCS1_OVERHEAD, RSA_PKCS, RSA_X_509, SIZES, raw_block},
};

/// The two rows of one hash: PKCS#1 v1.5 and PSS.
macro_rules! hashed {
    ($hash:ident $pkcs:ident $pkcs_name:literal $pss:ident $pss_name:literal) => {
        [
            MechanismInfo::new($pkcs, $pkcs_name, KEY_TYPES, SIZES, ParamKind::None).signs(
                |params, key| sign(pkcs1(Some(Hash::$hash), params)?, key),
                |params, key| verify(pkcs1(Some(Hash::$hash), params)?, key),
            ),
            MechanismInfo::new($pss, $pss_name, KEY_TYPES, SIZES, ParamKind::Pss).signs(
                |params, key| sign(pss(Some(Hash::$hash), params)?, key),
                |params, key| verify(pss(Some(Hash::$hash), params)?, key),
            ),
        ]
    };
}

/// The rows that take whole messages, by hash.
pub(super) const HASHED: &[[MechanismInfo; 2]] = &[
    hashed!(Sha1 CKM_SHA1_RSA_PKCS "SHA1_RSA_PKCS" CKM_SHA1_RSA_PKCS_PSS "SHA1_RSA_PKCS_PSS"),
    hashed!(Sha224 CKM_SHA224_RSA_PKCS "SHA224_RSA_PKCS" CKM_SHA224_RSA_PKCS_PSS "SHA224_RSA_PKCS_PSS"),
    hashed!(Sha256 CKM_SHA256_RSA_PKCS "SHA256_RSA_PKCS" CKM_SHA256_RSA_PKCS_PSS "SHA256_RSA_PKCS_PSS"),
    hashed!(Sha384 CKM_SHA384_RSA_PKCS "SHA384_RSA_PKCS" CKM_SHA384_RSA_PKCS_PSS "SHA384_RSA_PKCS_PSS"),
    hashed!(Sha512 CKM_SHA512_RSA_PKCS "SHA512_RSA_PKCS" CKM_SHA512_RSA_PKCS_PSS "SHA512_RSA_PKCS_PSS"),
    hashed!(Sha3_224 CKM_SHA3_224_RSA_PKCS "SHA3_224_RSA_PKCS" CKM_SHA3_224_RSA_PKCS_PSS "SHA3_224_RSA_PKCS_PSS"),
    hashed!(Sha3_256 CKM_SHA3_256_RSA_PKCS "SHA3_256_RSA_PKCS" CKM_SHA3_256_RSA_PKCS_PSS "SHA3_256_RSA_PKCS_PSS"),
    hashed!(Sha3_384 CKM_SHA3_384_RSA_PKCS "SHA3_384_RSA_PKCS" CKM_SHA3_384_RSA_PKCS_PSS "SHA3_384_RSA_PKCS_PSS"),
    hashed!(Sha3_512 CKM_SHA3_512_RSA_PKCS "SHA3_512_RSA_PKCS" CKM_SHA3_512_RSA_PKCS_PSS "SHA3_512_RSA_PKCS_PSS"),
];

/// The rows that take data or a digest.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    RSA_PKCS.signs(|params, key| sign(pkcs1(None, params)?, key), |params, key| verify(pkcs1(None, params)?, key)),
    RSA_X_509.signs(|params, key| sign(raw(params)?, key), |params, key| verify(raw(params)?, key)),
    MechanismInfo::new(CKM_RSA_PKCS_PSS, "RSA_PKCS_PSS", KEY_TYPES, SIZES, ParamKind::Pss)
        .single_part()
        .signs(|params, key| sign(pss(None, params)?, key), |params, key| verify(pss(None, params)?, key)),
];

#[derive(Debug, Clone, Copy)]
enum Scheme {
    /// The data fills the modulus.
    Raw,
    /// The data is padded as it is: usually a DigestInfo.
    Pkcs1,
    Pkcs1Hashed(Hash),
    /// Over a digest; `hashes` says whether we make it.
    Pss {
        hash: Hash,
        mgf: Hash,
        salt_bytes: usize,
        hashes: bool,
    },
}

fn raw(params: &Params) -> Result<Scheme> {
    pkcs1(None, params).map(|_| Scheme::Raw)
}

fn pkcs1(hash: Option<Hash>, params: &Params) -> Result<Scheme> {
    match (params, hash) {
        (Params::None, None) => Ok(Scheme::Pkcs1),
        (Params::None, Some(hash)) => Ok(Scheme::Pkcs1Hashed(hash)),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

fn pss(of_mechanism: Option<Hash>, params: &Params) -> Result<Scheme> {
    match params {
        Params::Pss { hash, mgf, salt_bytes } if of_mechanism.is_none_or(|expected| expected == *hash) => {
            Ok(Scheme::Pss { hash: *hash, mgf: *mgf, salt_bytes: *salt_bytes, hashes: of_mechanism.is_some() })
        }
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

/// `C_SignRecover` under PKCS#1 v1.5: the data as it is, padded.
pub(super) fn sign_recover_pkcs1(key: &Key, data: &[u8]) -> Result<Vec<u8>> {
    sign_recover(Scheme::Pkcs1, key, data)
}

/// `C_SignRecover` without padding.
pub(super) fn sign_recover_raw(key: &Key, data: &[u8]) -> Result<Vec<u8>> {
    sign_recover(Scheme::Raw, key, data)
}

fn sign_recover(scheme: Scheme, key: &Key, data: &[u8]) -> Result<Vec<u8>> {
    let mut signer = RsaSignature::new(scheme, key.rsa_private()?)?;
    SignOperation::update(&mut signer, data)?;
    let mut signature = vec![0; signer.signature_bytes()];
    SignOperation::finish(&mut signer, &mut signature)?;
    Ok(signature)
}

/// `C_VerifyRecover` under PKCS#1 v1.5.
pub(super) fn verify_recover_pkcs1(key: &Key, signature: &[u8]) -> Result<Vec<u8>> {
    verify_recover(Padding::Pkcs1, key, signature)
}

/// `C_VerifyRecover` without padding: the whole block.
pub(super) fn verify_recover_raw(key: &Key, signature: &[u8]) -> Result<Vec<u8>> {
    verify_recover(Padding::None, key, signature)
}

fn verify_recover(padding: Padding, key: &Key, signature: &[u8]) -> Result<Vec<u8>> {
    let key = key.rsa_public()?;
    if signature.len() != key.modulus_bytes() {
        return Err(CryptoError::SignatureLenRange);
    }
    let mut recovered = vec![0; key.modulus_bytes()];
    let bytes =
        key.verify_raw(padding, signature, &mut recovered).map_err(|_whatever| CryptoError::SignatureInvalid)?;
    recovered.truncate(bytes);
    Ok(recovered)
}

fn sign(scheme: Scheme, key: &Key) -> Result<Box<dyn SignOperation>> {
    Ok(Box::new(RsaSignature::new(scheme, key.rsa_private()?)?))
}

fn verify(scheme: Scheme, key: &Key) -> Result<Box<dyn VerifyOperation>> {
    Ok(Box::new(RsaSignature::new(scheme, key.rsa_public()?)?))
}

struct RsaSignature {
    key: Arc<RsaKey>,
    scheme: Scheme,
    message: Message,
}

impl RsaSignature {
    fn new(scheme: Scheme, key: &Arc<RsaKey>) -> Result<Self> {
        let modulus = key.modulus_bytes();
        let message = match scheme {
            Scheme::Raw => Message::whole(modulus),
            Scheme::Pkcs1 => Message::whole(modulus - PKCS1_OVERHEAD),
            Scheme::Pkcs1Hashed(hash) => Message::digest(hash)?,
            Scheme::Pss { hash, salt_bytes, hashes, .. } => {
                // RFC 8017 §9.1.1: the encoded message is one bit shorter than the modulus.
                let encoded = usize::try_from(key.bits() - 1).unwrap_or_default().div_ceil(8);
                if hash.output_bytes().saturating_add(salt_bytes).saturating_add(2) > encoded {
                    return Err(CryptoError::MechanismParamInvalid);
                }
                if hashes { Message::digest(hash)? } else { Message::whole(hash.output_bytes()) }
            }
        };
        Ok(Self { key: Arc::clone(key), scheme, message })
    }

    /// The bytes the scheme works on; a digest of another length than its hash makes is refused.
    fn end(&mut self) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        let data = self.message.finish()?;
        match self.scheme {
            Scheme::Pss { hash, .. } if data.len() != hash.output_bytes() => Err(CryptoError::DataLenRange),
            _ => Ok(data),
        }
    }

    fn check(&self, data: &[u8], signature: &[u8]) -> Result<()> {
        match self.scheme {
            Scheme::Raw => self.recover(Padding::None, &raw_block(self.key.modulus_bytes(), data)?, signature),
            Scheme::Pkcs1 => self.recover(Padding::Pkcs1, data, signature),
            Scheme::Pkcs1Hashed(hash) => self.key.verify_digest(hash, data, signature),
            Scheme::Pss { hash, mgf, salt_bytes, .. } => self.key.verify_pss(hash, mgf, salt_bytes, data, signature),
        }
    }

    fn recover(&self, padding: Padding, expected: &[u8], signature: &[u8]) -> Result<()> {
        let mut recovered = vec![0; self.key.modulus_bytes()];
        let bytes = self.key.verify_raw(padding, signature, &mut recovered)?;
        let recovered = recovered.get(..bytes).ok_or(CryptoError::GeneralError)?;
        if bool::from(recovered.ct_eq(expected)) { Ok(()) } else { Err(CryptoError::SignatureInvalid) }
    }
}

impl SignOperation for RsaSignature {
    fn signature_bytes(&self) -> usize {
        self.key.modulus_bytes()
    }

    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.message.update(data)
    }

    fn finish(&mut self, signature: &mut [u8]) -> Result<usize> {
        let data = self.end()?;
        let modulus = self.key.modulus_bytes();
        let signature = signature.get_mut(..modulus).ok_or(CryptoError::GeneralError)?;
        match self.scheme {
            Scheme::Raw => {
                let block = raw_block(modulus, &data)?;
                self.key.sign_raw(Padding::None, &block, signature).map_err(|_not_below| CryptoError::DataInvalid)?;
            }
            Scheme::Pkcs1 => self.key.sign_raw(Padding::Pkcs1, &data, signature)?,
            Scheme::Pkcs1Hashed(hash) => self.key.sign_digest(hash, &data, signature)?,
            Scheme::Pss { hash, mgf, salt_bytes, .. } => {
                self.key.sign_pss(hash, mgf, salt_bytes, &data, signature)?;
            }
        }
        Ok(modulus)
    }
}

impl VerifyOperation for RsaSignature {
    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.message.update(data)
    }

    fn finish(&mut self, signature: &[u8]) -> Result<()> {
        let data = self.end()?;
        if signature.len() != self.key.modulus_bytes() {
            return Err(CryptoError::SignatureLenRange);
        }
        self.check(&data, signature).map_err(|_whatever| CryptoError::SignatureInvalid)
    }
}
