//! A caller's `CK_MECHANISM` as a number and owned parameters.
//!
//! The mechanism's row says which structure to expect; a parameter of another length, a null pointer with a length, or a
//! parameter where none belongs is `CKR_MECHANISM_PARAM_INVALID`. Ranges are the crypto layer's business.

use cryptoki_sys::*;

use super::pointer;
use crate::{
    core::{
        attributes::Attributes,
        rv::{Result, Rv},
    },
    crypto::{
        self, EcKdf, Hash, Hedge, HkdfSalt, Kbkdf, KbkdfPart, KeyRef, Number, Oaep, ParamKind, Params, Prf, SecretKey,
    },
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

/// Bytes in one field of a parameter: additional data may be long, but not longer than what one message may be.
const PARAMETER_BYTES_MAX: CK_ULONG = 64 << 20;

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
        if self.count > PARAMETER_BYTES_MAX {
            return Err(INVALID);
        }
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
        ParamKind::Gcm if block.count == size_of::<GcmParams220>() as CK_ULONG && takes_gcm_v220() => {
            // SAFETY: as above.
            let gcm = unsafe { block.structure::<GcmParams220>() }?;
            // SAFETY: as above.
            let (iv, aad) = unsafe { (field(gcm.iv, gcm.iv_length)?, field(gcm.aad, gcm.aad_length)?) };
            Params::Gcm { iv, aad, tag_bits: number(gcm.tag_bits)? }
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
        ParamKind::ChaCha20 => {
            // SAFETY: as above.
            let chacha = unsafe { block.structure::<CK_CHACHA20_PARAMS>() }?;
            if !matches!(chacha.blockCounterBits, 32 | 64) || chacha.ulNonceBits % 8 != 0 {
                return Err(INVALID);
            }
            // SAFETY: as above.
            let (counter, nonce) = unsafe {
                (
                    field(chacha.pBlockCounter, chacha.blockCounterBits / 8)?,
                    field(chacha.pNonce, chacha.ulNonceBits / 8)?,
                )
            };
            // The words of the state are little-endian, and the counter is one or two of them.
            let counter = counter.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
            Params::ChaCha20 { counter, counter_bits: number(chacha.blockCounterBits)?, nonce }
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
                CKF_HKDF_SALT_KEY => HkdfSalt::Key(KeyRef::Handle(hkdf.hSaltKey)),
                _ => return Err(INVALID),
            };
            Params::Hkdf {
                hash: Hash::from_mechanism(hkdf.prfHashMechanism).ok_or(INVALID)?,
                extract: (hkdf.bExtract != CK_FALSE).then_some(salt),
                expand: (hkdf.bExpand != CK_FALSE).then_some(info),
            }
        }
        ParamKind::Data => {
            // SAFETY: as above.
            let data = unsafe { block.structure::<CK_KEY_DERIVATION_STRING_DATA>() }?;
            // SAFETY: as above.
            Params::Data(unsafe { field(data.pData, data.ulLen) }?)
        }
        // SAFETY: as above.
        ParamKind::Bytes => Params::Data(unsafe { block.bytes() }?),
        ParamKind::IvData(8) => {
            // SAFETY: as above.
            let data = unsafe { block.structure::<CK_DES_CBC_ENCRYPT_DATA_PARAMS>() }?;
            // SAFETY: as above.
            Params::IvData { iv: data.iv.to_vec(), data: unsafe { field(data.pData, data.length) }? }
        }
        ParamKind::IvData(_) => {
            // SAFETY: as above.
            let data = unsafe { block.structure::<CK_AES_CBC_ENCRYPT_DATA_PARAMS>() }?;
            // SAFETY: as above.
            Params::IvData { iv: data.iv.to_vec(), data: unsafe { field(data.pData, data.length) }? }
        }
        // SAFETY: as above.
        ParamKind::Extract => Params::Extract(number(unsafe { block.structure::<CK_EXTRACT_PARAMS>() }?)?),
        ParamKind::OtherKey => {
            // SAFETY: as above.
            Params::OtherKey(KeyRef::Handle(unsafe { block.structure::<CK_OBJECT_HANDLE>() }?))
        }
        ParamKind::Kbkdf => {
            // SAFETY: as above.
            let kdf = unsafe { block.structure::<CK_SP800_108_KDF_PARAMS>() }?;
            // SAFETY: as above.
            Params::Kbkdf(unsafe { kbkdf(kdf.prfType, kdf.pDataParams, kdf.ulNumberOfDataParams, Vec::new()) }?)
        }
        ParamKind::KbkdfFeedback => {
            // SAFETY: as above.
            let kdf = unsafe { block.structure::<CK_SP800_108_FEEDBACK_KDF_PARAMS>() }?;
            // SAFETY: as above.
            let iv = unsafe { field(kdf.pIV, kdf.ulIVLen) }?;
            // SAFETY: as above.
            Params::Kbkdf(unsafe { kbkdf(kdf.prfType, kdf.pDataParams, kdf.ulNumberOfDataParams, iv) }?)
        }
        // SAFETY: as above.
        ParamKind::Pbkdf2 => unsafe { pbkdf2(block) }?,
        ParamKind::OptionalSignContext if block.is_empty() => Params::None,
        ParamKind::OptionalSignContext => {
            // SAFETY: as above.
            let sign = unsafe { block.structure::<CK_SIGN_ADDITIONAL_CONTEXT>() }?;
            // SAFETY: as above.
            let context = unsafe { field(sign.pContext, sign.ulContextLen) }?;
            Params::SignContext { hedge: hedge(sign.hedgeVariant)?, context, hash: None }
        }
        ParamKind::HashSignContext => {
            // SAFETY: as above.
            let sign = unsafe { block.structure::<CK_HASH_SIGN_ADDITIONAL_CONTEXT>() }?;
            // SAFETY: as above.
            let context = unsafe { field(sign.pContext, sign.ulContextLen) }?;
            let hash = Hash::from_mechanism(sign.hash).ok_or(INVALID)?;
            Params::SignContext { hedge: hedge(sign.hedgeVariant)?, context, hash: Some(hash) }
        }
        // Before 3.2 the parameter was the IV itself, of the recommended length.
        ParamKind::Gmac if block.count == GMAC_IV_BYTES => {
            // SAFETY: as above.
            Params::Gcm { iv: unsafe { block.bytes() }?, aad: Vec::new(), tag_bits: 128 }
        }
        // SAFETY: as above.
        ParamKind::Gmac => unsafe { params(ParamKind::Gcm, block) }?,
    })
}

/// `CK_GCM_PARAMS` before version 2.40 had the IV's length in bits.
#[repr(C)]
struct GcmParams220 {
    iv: *const CK_BYTE,
    iv_length: CK_ULONG,
    aad: *const CK_BYTE,
    aad_length: CK_ULONG,
    tag_bits: CK_ULONG,
}

fn takes_gcm_v220() -> bool {
    super::module::current().is_some_and(|module| module.library.config.gcm_v220)
}

fn hedge(variant: CK_HEDGE_TYPE) -> Result<Hedge> {
    match variant {
        CKH_HEDGE_PREFERRED => Ok(Hedge::Preferred),
        CKH_HEDGE_REQUIRED => Ok(Hedge::Required),
        CKH_DETERMINISTIC_REQUIRED => Ok(Hedge::Deterministic),
        _ => Err(INVALID),
    }
}

/// SP 800-38D §8.2: the IV that GMAC had before it had a structure.
const GMAC_IV_BYTES: CK_ULONG = 12;

/// Parts in one derivation, and keys beside the first.
const PARTS_MAX: CK_ULONG = 256;

/// # Safety
///
/// `parts` is null or points to `count` readable parts, whose values are null or readable for their lengths.
unsafe fn kbkdf(
    prf: CK_SP800_108_PRF_TYPE,
    parts: *const CK_PRF_DATA_PARAM,
    count: CK_ULONG,
    iv: Vec<u8>,
) -> Result<Kbkdf> {
    if parts.is_null() || count == 0 || count > PARTS_MAX {
        return Err(INVALID);
    }
    let mut read = Vec::new();
    for place in 0..number::<usize>(count)? {
        // SAFETY: `place` is below the count that the caller promises.
        let part = unsafe { parts.add(place).read_unaligned() };
        let block = Block { pointer: part.pValue.cast(), count: part.ulValueLen };
        // SAFETY (all of the blocks below): the value is readable for its length, as the caller promises.
        read.push(match part.type_ {
            CK_SP800_108_ITERATION_VARIABLE if part.pValue.is_null() && block.is_empty() => KbkdfPart::Iteration(None),
            // SAFETY: as above.
            CK_SP800_108_ITERATION_VARIABLE => KbkdfPart::Iteration(Some(unsafe { counter(&block) }?)),
            // SAFETY: as above.
            CK_SP800_108_COUNTER => KbkdfPart::Counter(unsafe { counter(&block) }?),
            CK_SP800_108_DKM_LENGTH => {
                // SAFETY: as above.
                let length = unsafe { block.structure::<CK_SP800_108_DKM_LENGTH_FORMAT>() }?;
                let of_segments = match length.dkmLengthMethod {
                    CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS => false,
                    CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS => true,
                    _ => return Err(INVALID),
                };
                KbkdfPart::Length { of_segments, format: format(length.bLittleEndian, length.ulWidthInBits, 64)? }
            }
            CK_SP800_108_BYTE_ARRAY if !block.is_empty() => {
                // SAFETY: as above.
                KbkdfPart::Bytes(unsafe { block.bytes() }?)
            }
            CK_SP800_108_KEY_HANDLE => {
                // SAFETY: as above.
                KbkdfPart::Key(KeyRef::Handle(unsafe { block.structure::<CK_OBJECT_HANDLE>() }?))
            }
            _ => return Err(INVALID),
        });
    }
    Ok(Kbkdf { prf: Prf::from_mechanism(prf).ok_or(INVALID)?, parts: read, iv })
}

/// # Safety
///
/// As [`Block::structure`].
unsafe fn counter(block: &Block) -> Result<Number> {
    // SAFETY: as the caller promises.
    let counter = unsafe { block.structure::<CK_SP800_108_COUNTER_FORMAT>() }?;
    format(counter.bLittleEndian, counter.ulWidthInBits, 32)
}

fn format(little_endian: CK_BBOOL, bits: CK_ULONG, bits_max: CK_ULONG) -> Result<Number> {
    if bits == 0 || bits > bits_max || !bits.is_multiple_of(8) || little_endian > CK_TRUE {
        return Err(INVALID);
    }
    Ok(Number { little_endian: little_endian != CK_FALSE, bytes: number(bits / 8)? })
}

/// # Safety
///
/// The block's pointer is null or readable for its count, and holds one of the two structures for passwords.
unsafe fn pbkdf2(block: &Block) -> Result<Params> {
    // Both structures have the same size. The older one has a pointer to the password's length where the newer one has
    // the length; what is larger than any password is such a pointer.
    // SAFETY: as the caller promises.
    let pbkdf2 = unsafe { block.structure::<CK_PKCS5_PBKD2_PARAMS2>() }?;
    let mut length = pbkdf2.ulPasswordLen;
    if length > PASSWORD_BYTES_MAX {
        let place = std::ptr::with_exposed_provenance::<CK_ULONG>(number(length)?);
        // SAFETY: as the caller promises, it is the structure of the older standard.
        length = unsafe { place.read_unaligned() };
    }
    if pbkdf2.saltSource != CKZ_SALT_SPECIFIED || length > PASSWORD_BYTES_MAX || pbkdf2.ulPrfDataLen != 0 {
        return Err(INVALID);
    }
    let hash = match pbkdf2.prf {
        CKP_PKCS5_PBKD2_HMAC_SHA1 => Hash::Sha1,
        CKP_PKCS5_PBKD2_HMAC_SHA224 => Hash::Sha224,
        CKP_PKCS5_PBKD2_HMAC_SHA256 => Hash::Sha256,
        CKP_PKCS5_PBKD2_HMAC_SHA384 => Hash::Sha384,
        CKP_PKCS5_PBKD2_HMAC_SHA512 => Hash::Sha512,
        CKP_PKCS5_PBKD2_HMAC_SHA512_224 => Hash::Sha512_224,
        CKP_PKCS5_PBKD2_HMAC_SHA512_256 => Hash::Sha512_256,
        _ => return Err(INVALID),
    };
    // SAFETY: as the caller promises.
    let (salt, password) = unsafe {
        (field(pbkdf2.pSaltSourceData.cast(), pbkdf2.ulSaltSourceDataLen)?, field(pbkdf2.pPassword, length)?)
    };
    Ok(Params::Pbkdf2 { hash, salt, iterations: number(pbkdf2.iterations)?, password: SecretKey::new(password.into()) })
}

/// Longer than any password, below any address.
const PASSWORD_BYTES_MAX: CK_ULONG = 65_536;

/// A key to be derived beside the first: its template, and where its handle goes.
pub(super) struct Additional {
    pub(super) template: Result<Attributes>,
    pub(super) place: *mut CK_OBJECT_HANDLE,
}

/// The further keys that a derivation is to make (PKCS#11 3.1 §6.42.6).
///
/// # Safety
///
/// As [`read`], which has accepted the mechanism; the templates are as `pointer::template` wants them, and the places null
/// or writable.
pub(super) unsafe fn additional(mechanism: *const CK_MECHANISM) -> Result<Vec<Additional>> {
    pointer::check(mechanism)?;
    // SAFETY: not null, and readable as the caller promises.
    let raw = unsafe { mechanism.read_unaligned() };
    let block = Block { pointer: raw.pParameter.cast(), count: raw.ulParameterLen };
    let (keys, count) = match raw.mechanism {
        CKM_SP800_108_COUNTER_KDF | CKM_SP800_108_DOUBLE_PIPELINE_KDF => {
            // SAFETY: as the caller promises.
            let kdf = unsafe { block.structure::<CK_SP800_108_KDF_PARAMS>() }?;
            (kdf.pAdditionalDerivedKeys, kdf.ulAdditionalDerivedKeys)
        }
        CKM_SP800_108_FEEDBACK_KDF => {
            // SAFETY: as the caller promises.
            let kdf = unsafe { block.structure::<CK_SP800_108_FEEDBACK_KDF_PARAMS>() }?;
            (kdf.pAdditionalDerivedKeys, kdf.ulAdditionalDerivedKeys)
        }
        _ => return Ok(Vec::new()),
    };
    if (keys.is_null() && count > 0) || count >= PARTS_MAX {
        return Err(INVALID);
    }
    let mut read = Vec::new();
    for place in 0..number::<usize>(count)? {
        // SAFETY: `place` is below the count that the caller promises.
        let key = unsafe { keys.add(place).read_unaligned() };
        pointer::check(key.phKey)?;
        // SAFETY: as the caller promises.
        let template = unsafe { pointer::template(key.pTemplate, key.ulAttributeCount) };
        read.push(Additional { template, place: key.phKey });
    }
    Ok(read)
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
