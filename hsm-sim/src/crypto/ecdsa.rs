//! ECDSA on prime curves (PKCS#11 3.1 §6.3.12): over a digest, or over a message with its hash.

use std::sync::Arc;

use cryptoki_sys::*;

use super::{
    error::{CryptoError, Result},
    ffi::ec::EcKey,
    key::Key,
    mechanism::MechanismInfo,
    message::Message,
    operation::{SignOperation, VerifyOperation},
    params::{Hash, ParamKind, Params},
};

/// The key type of prime curves.
pub(super) const KEY_TYPES: &[CK_KEY_TYPE] = &[CKK_EC];
/// Sizes of the curves in bits.
pub(super) const SIZES: (CK_ULONG, CK_ULONG) = (224, 521);
/// The size of P-192, below that.
pub const P192_BITS: CK_ULONG = 192;
/// What C_GetMechanismInfo says of our curves and points.
pub(super) const CURVE_FLAGS: CK_FLAGS =
    CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME | CKF_EC_UNCOMPRESS | CKF_EC_COMPRESS;

macro_rules! row {
    ($mechanism:ident $name:literal $hash:expr) => {
        MechanismInfo::new($mechanism, $name, KEY_TYPES, SIZES, ParamKind::None)
            .flags(CURVE_FLAGS)
            .signs(|params, key| sign($hash, params, key), |params, key| verify($hash, params, key))
    };
}

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    row!(CKM_ECDSA "ECDSA" None).single_part(),
    row!(CKM_ECDSA_SHA1 "ECDSA_SHA1" Some(Hash::Sha1)),
    row!(CKM_ECDSA_SHA224 "ECDSA_SHA224" Some(Hash::Sha224)),
    row!(CKM_ECDSA_SHA256 "ECDSA_SHA256" Some(Hash::Sha256)),
    row!(CKM_ECDSA_SHA384 "ECDSA_SHA384" Some(Hash::Sha384)),
    row!(CKM_ECDSA_SHA512 "ECDSA_SHA512" Some(Hash::Sha512)),
    row!(CKM_ECDSA_SHA3_224 "ECDSA_SHA3_224" Some(Hash::Sha3_224)),
    row!(CKM_ECDSA_SHA3_256 "ECDSA_SHA3_256" Some(Hash::Sha3_256)),
    row!(CKM_ECDSA_SHA3_384 "ECDSA_SHA3_384" Some(Hash::Sha3_384)),
    row!(CKM_ECDSA_SHA3_512 "ECDSA_SHA3_512" Some(Hash::Sha3_512)),
];

fn sign(hash: Option<Hash>, params: &Params, key: &Key) -> Result<Box<dyn SignOperation>> {
    Ok(Box::new(EcSignature::new(hash, params, key.ec_private()?)?))
}

fn verify(hash: Option<Hash>, params: &Params, key: &Key) -> Result<Box<dyn VerifyOperation>> {
    Ok(Box::new(EcSignature::new(hash, params, key.ec_public()?)?))
}

struct EcSignature {
    key: Arc<EcKey>,
    message: Message,
}

impl EcSignature {
    fn new(hash: Option<Hash>, params: &Params, key: &Arc<EcKey>) -> Result<Self> {
        let Params::None = params else { return Err(CryptoError::MechanismParamInvalid) };
        let message = match hash {
            Some(hash) => Message::digest(hash)?,
            None => Message::whole(DIGEST_BYTES_MAX),
        };
        Ok(Self { key: Arc::clone(key), message })
    }

    /// r and s, each as long as the order.
    fn bytes(&self) -> usize {
        2 * self.key.curve().field_bytes()
    }
}

impl SignOperation for EcSignature {
    fn signature_bytes(&self) -> usize {
        self.bytes()
    }

    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.message.update(data)
    }

    fn finish(&mut self, signature: &mut [u8]) -> Result<usize> {
        let digest = self.message.finish()?;
        let bytes = self.bytes();
        self.key.sign(&digest, signature.get_mut(..bytes).ok_or(CryptoError::GeneralError)?)?;
        Ok(bytes)
    }
}

impl VerifyOperation for EcSignature {
    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.message.update(data)
    }

    fn finish(&mut self, signature: &[u8]) -> Result<()> {
        let digest = self.message.finish()?;
        if signature.len() != self.bytes() {
            return Err(CryptoError::SignatureLenRange);
        }
        self.key.verify(&digest, signature).map_err(|_whatever| CryptoError::SignatureInvalid)
    }
}

/// PKCS#11 3.1 §6.3.12 lets raw data be of any length and cuts it to the order; this is more than any digest.
const DIGEST_BYTES_MAX: usize = 1024;
