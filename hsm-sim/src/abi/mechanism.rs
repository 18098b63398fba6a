//! A caller's `CK_MECHANISM` as a number and owned parameters.
//!
//! The mechanism's row says which structure to expect; a parameter of another length, a null pointer with a length, or a
//! parameter where none belongs is `CKR_MECHANISM_PARAM_INVALID`. Ranges are the crypto layer's business.

use cryptoki_sys::*;

use super::pointer;
use crate::{
    core::rv::{Result, Rv},
    crypto::{self, EcKdf, Hash, HkdfSalt, Oaep, ParamKind, Params},
};

const INVALID: Rv = Rv(CKR_MECHANISM_PARAM_INVALID);

/// A mechanism and its parameters.
pub(super) struct Mechanism {
    pub(super) number: CK_MECHANISM_TYPE,
    pub(super) params: Params,
}

/// Reads a mechanism; one that the token does not offer is refused here.
///
/// # Safety
///
/// `pointer` is null or points to a `CK_MECHANISM` whose parameter is null or readable for its length, and holds the
/// structure of that mechanism.
pub(super) unsafe fn read(pointer: *const CK_MECHANISM) -> Result<Mechanism> {
    pointer::check(pointer)?;
    // SAFETY: not null, and readable as the caller promises.
    let raw = unsafe { pointer.read_unaligned() };
    let info = crypto::mechanism(raw.mechanism).ok_or(Rv(CKR_MECHANISM_INVALID))?;
    // SAFETY: as the caller promises.
    let params = unsafe { params(info.params, &Block { pointer: raw.pParameter.cast(), count: raw.ulParameterLen }) }?;
    Ok(Mechanism { number: raw.mechanism, params })
}

/// A parameter as the caller gives it.
struct Block {
    pointer: *const CK_BYTE,
    count: CK_ULONG,
}

impl Block {
    /// The structure in it.
    ///
    /// # Safety
    ///
    /// The pointer is null or readable for the count, and every bit pattern is a `T`.
    unsafe fn structure<T>(&self) -> Result<T> {
        if self.pointer.is_null() || self.count != size_of::<T>() as CK_ULONG {
            return Err(INVALID);
        }
        // SAFETY: not null and of the right length; alignment does not matter.
        Ok(unsafe { self.pointer.cast::<T>().read_unaligned() })
    }

    /// The bytes in it.
    ///
    /// # Safety
    ///
    /// The pointer is null or readable for the count.
    unsafe fn bytes(&self) -> Result<Vec<u8>> {
        // SAFETY: as the caller promises.
        unsafe { pointer::bytes(self.pointer, self.count) }.map(<[u8]>::to_vec).map_err(|_bad| INVALID)
    }

    const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Bytes that a structure points to.
///
/// # Safety
///
/// The pointer is null or readable for the count.
unsafe fn field(pointer: *const CK_BYTE, count: CK_ULONG) -> Result<Vec<u8>> {
    // SAFETY: as the caller promises.
    unsafe { Block { pointer, count }.bytes() }
}

fn number<T: TryFrom<CK_ULONG>>(value: CK_ULONG) -> Result<T> {
    T::try_from(value).map_err(|_too_large| INVALID)
}

/// # Safety
///
/// The block's pointer is null or readable for its count, and holds a structure of that kind.
unsafe fn params(kind: ParamKind, block: &Block) -> Result<Params> {
    // SAFETY (all of the blocks below): the structure is the one that the mechanism takes, and what it points to is
    // readable for the length beside it, as the caller promises.
    Ok(match kind {
        ParamKind::None => {
            if !block.is_empty() {
                return Err(INVALID);
            }
            Params::None
        }
        ParamKind::Iv(bytes) => {
            // SAFETY: as above.
            let iv = unsafe { block.bytes() }?;
            if iv.len() != bytes {
                return Err(INVALID);
            }
            Params::Iv(iv)
        }
        ParamKind::OptionalIv(_) if block.is_empty() => Params::None,
        ParamKind::OptionalIv(bytes) => {
            // SAFETY: as above.
            let iv = unsafe { block.bytes() }?;
            if iv.len() != bytes {
                return Err(INVALID);
            }
            Params::Iv(iv)
        }
        ParamKind::Ctr => {
            // SAFETY: as above.
            let ctr = unsafe { block.structure::<CK_AES_CTR_PARAMS>() }?;
            Params::Ctr { counter_bits: number(ctr.ulCounterBits)?, block: ctr.cb }
        }
        ParamKind::Gcm => {
            // SAFETY: as above.
            let gcm = unsafe { block.structure::<CK_GCM_PARAMS>() }?;
            // SAFETY: as above.
            let (iv, aad) = unsafe { (field(gcm.pIv, gcm.ulIvLen)?, field(gcm.pAAD, gcm.ulAADLen)?) };
            Params::Gcm { iv, aad, tag_bits: number(gcm.ulTagBits)? }
        }
        ParamKind::Ccm => {
            // SAFETY: as above.
            let ccm = unsafe { block.structure::<CK_CCM_PARAMS>() }?;
            // SAFETY: as above.
            let (nonce, aad) = unsafe { (field(ccm.pNonce, ccm.ulNonceLen)?, field(ccm.pAAD, ccm.ulAADLen)?) };
            Params::Ccm { data_bytes: number(ccm.ulDataLen)?, nonce, aad, mac_bytes: number(ccm.ulMACLen)? }
        }
        ParamKind::ChaCha20Poly1305 => {
            // SAFETY: as above.
            let chacha = unsafe { block.structure::<CK_SALSA20_CHACHA20_POLY1305_PARAMS>() }?;
            // SAFETY: as above.
            let (nonce, aad) =
                unsafe { (field(chacha.pNonce, chacha.ulNonceLen)?, field(chacha.pAAD, chacha.ulAADLen)?) };
            Params::ChaCha20Poly1305 { nonce, aad }
        }
        // SAFETY: as above.
        ParamKind::Oaep => Params::Oaep(unsafe { oaep(block) }?),
        ParamKind::Pss => {
            // SAFETY: as above.
            let pss = unsafe { block.structure::<CK_RSA_PKCS_PSS_PARAMS>() }?;
            Params::Pss {
                hash: Hash::from_mechanism(pss.hashAlg).ok_or(INVALID)?,
                mgf: Hash::from_mgf(pss.mgf).ok_or(INVALID)?,
                salt_bytes: number(pss.sLen)?,
            }
        }
        ParamKind::RsaAes => {
            // SAFETY: as above.
            let wrap = unsafe { block.structure::<CK_RSA_AES_KEY_WRAP_PARAMS>() }?;
            let inner =
                Block { pointer: wrap.pOAEPParams.cast(), count: size_of::<CK_RSA_PKCS_OAEP_PARAMS>() as CK_ULONG };
            // SAFETY: as above.
            Params::RsaAes { aes_bits: number(wrap.ulAESKeyBits)?, oaep: unsafe { oaep(&inner) }? }
        }
        ParamKind::OptionalEddsa if block.is_empty() => Params::None,
        ParamKind::OptionalEddsa => {
            // SAFETY: as above.
            let eddsa = unsafe { block.structure::<CK_EDDSA_PARAMS>() }?;
            // SAFETY: as above.
            let context = unsafe { field(eddsa.pContextData, eddsa.ulContextDataLen) }?;
            Params::Eddsa { prehash: eddsa.phFlag != CK_FALSE, context }
        }
        ParamKind::MacLength => {
            // SAFETY: as above.
            Params::MacLength(number(unsafe { block.structure::<CK_MAC_GENERAL_PARAMS>() }?)?)
        }
        ParamKind::Ecdh => {
            // SAFETY: as above.
            let ecdh = unsafe { block.structure::<CK_ECDH1_DERIVE_PARAMS>() }?;
            // SAFETY: as above.
            let (public, shared) = unsafe {
                (field(ecdh.pPublicData, ecdh.ulPublicDataLen)?, field(ecdh.pSharedData, ecdh.ulSharedDataLen)?)
            };
            Params::Ecdh { kdf: EcKdf::from_kdf(ecdh.kdf).ok_or(INVALID)?, public, shared }
        }
        ParamKind::Hkdf => {
            // SAFETY: as above.
            let hkdf = unsafe { block.structure::<CK_HKDF_PARAMS>() }?;
            // SAFETY: as above.
            let (salt, info) = unsafe { (field(hkdf.pSalt, hkdf.ulSaltLen)?, field(hkdf.pInfo, hkdf.ulInfoLen)?) };
            let salt = match hkdf.ulSaltType {
                CKF_HKDF_SALT_NULL => HkdfSalt::None,
                CKF_HKDF_SALT_DATA => HkdfSalt::Data(salt),
                // A salt key would have to be looked up in the session, which is not known here.
                _ => return Err(INVALID),
            };
            Params::Hkdf {
                hash: Hash::from_mechanism(hkdf.prfHashMechanism).ok_or(INVALID)?,
                extract: (hkdf.bExtract != CK_FALSE).then_some(salt),
                expand: (hkdf.bExpand != CK_FALSE).then_some(info),
            }
        }
    })
}

/// # Safety
///
/// As [`params`].
unsafe fn oaep(block: &Block) -> Result<Oaep> {
    // SAFETY: as the caller promises.
    let oaep = unsafe { block.structure::<CK_RSA_PKCS_OAEP_PARAMS>() }?;
    // SAFETY: as the caller promises.
    let label = unsafe { field(oaep.pSourceData.cast(), oaep.ulSourceDataLen) }?;
    // Many callers leave the source at zero when there is no label.
    if oaep.source != CKZ_DATA_SPECIFIED && !(oaep.source == 0 && label.is_empty()) {
        return Err(INVALID);
    }
    Ok(Oaep {
        hash: Hash::from_mechanism(oaep.hashAlg).ok_or(INVALID)?,
        mgf: Hash::from_mgf(oaep.mgf).ok_or(INVALID)?,
        label,
    })
}
