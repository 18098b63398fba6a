//! MACs: HMAC over every hash (PKCS#11 3.1 §6.20 ff.), AES-CMAC (§6.13.6) and the older AES-MAC (§6.13.9), whole or shortened.

use cryptoki_sys::*;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    aes, des,
    error::{CryptoError, Result},
    ffi::{
        cipher::{Cipher, CipherContext},
        mac::{Cmac, Hmac, MAC_BYTES_MAX},
    },
    gcm,
    key::Key,
    mechanism::MechanismInfo,
    operation::{Direction, SignOperation, VerifyOperation},
    params::{Hash, ParamKind, Params},
};

/// The two rows of one hash: the whole MAC, and the shortened one.
macro_rules! hmac {
    ($($hash:ident $whole:ident $whole_name:literal $general:ident $general_name:literal $key_type:ident;)+) => {
        &[$(
            hmac_row($whole, $whole_name, &[CKK_GENERIC_SECRET, $key_type], ParamKind::None).signs(
                |params, key| Ok(Box::new(hmac(Hash::$hash, params, key)?)),
                |params, key| Ok(Box::new(hmac(Hash::$hash, params, key)?)),
            ),
            hmac_row($general, $general_name, &[CKK_GENERIC_SECRET, $key_type], ParamKind::MacLength).signs(
                |params, key| Ok(Box::new(hmac(Hash::$hash, params, key)?)),
                |params, key| Ok(Box::new(hmac(Hash::$hash, params, key)?)),
            ),
        )+]
    };
}

const fn hmac_row(
    mechanism: CK_MECHANISM_TYPE,
    name: &'static str,
    key_types: &'static [CK_KEY_TYPE],
    params: ParamKind,
) -> MechanismInfo {
    MechanismInfo::new(mechanism, name, key_types, (1, 4096), params)
}

/// The HMAC rows.
pub(super) const HMAC_MECHANISMS: &[MechanismInfo] = hmac! {
    Sha1 CKM_SHA_1_HMAC "SHA_1_HMAC" CKM_SHA_1_HMAC_GENERAL "SHA_1_HMAC_GENERAL" CKK_SHA_1_HMAC;
    Sha224 CKM_SHA224_HMAC "SHA224_HMAC" CKM_SHA224_HMAC_GENERAL "SHA224_HMAC_GENERAL" CKK_SHA224_HMAC;
    Sha256 CKM_SHA256_HMAC "SHA256_HMAC" CKM_SHA256_HMAC_GENERAL "SHA256_HMAC_GENERAL" CKK_SHA256_HMAC;
    Sha384 CKM_SHA384_HMAC "SHA384_HMAC" CKM_SHA384_HMAC_GENERAL "SHA384_HMAC_GENERAL" CKK_SHA384_HMAC;
    Sha512 CKM_SHA512_HMAC "SHA512_HMAC" CKM_SHA512_HMAC_GENERAL "SHA512_HMAC_GENERAL" CKK_SHA512_HMAC;
    Sha512_224 CKM_SHA512_224_HMAC "SHA512_224_HMAC" CKM_SHA512_224_HMAC_GENERAL "SHA512_224_HMAC_GENERAL"
        CKK_SHA512_224_HMAC;
    Sha512_256 CKM_SHA512_256_HMAC "SHA512_256_HMAC" CKM_SHA512_256_HMAC_GENERAL "SHA512_256_HMAC_GENERAL"
        CKK_SHA512_256_HMAC;
    Sha3_224 CKM_SHA3_224_HMAC "SHA3_224_HMAC" CKM_SHA3_224_HMAC_GENERAL "SHA3_224_HMAC_GENERAL" CKK_SHA3_224_HMAC;
    Sha3_256 CKM_SHA3_256_HMAC "SHA3_256_HMAC" CKM_SHA3_256_HMAC_GENERAL "SHA3_256_HMAC_GENERAL" CKK_SHA3_256_HMAC;
    Sha3_384 CKM_SHA3_384_HMAC "SHA3_384_HMAC" CKM_SHA3_384_HMAC_GENERAL "SHA3_384_HMAC_GENERAL" CKK_SHA3_384_HMAC;
    Sha3_512 CKM_SHA3_512_HMAC "SHA3_512_HMAC" CKM_SHA3_512_HMAC_GENERAL "SHA3_512_HMAC_GENERAL" CKK_SHA3_512_HMAC;
};

/// The CMAC rows.
pub(super) const CMAC_MECHANISMS: &[MechanismInfo] = &[
    MechanismInfo::new(CKM_AES_CMAC, "AES_CMAC", aes::KEY_TYPES, aes::SIZES, ParamKind::None)
        .signs(|params, key| Ok(Box::new(cmac(params, key)?)), |params, key| Ok(Box::new(cmac(params, key)?))),
    MechanismInfo::new(CKM_AES_CMAC_GENERAL, "AES_CMAC_GENERAL", aes::KEY_TYPES, aes::SIZES, ParamKind::MacLength)
        .signs(|params, key| Ok(Box::new(cmac(params, key)?)), |params, key| Ok(Box::new(cmac(params, key)?))),
    MechanismInfo::new(CKM_DES3_CMAC, "DES3_CMAC", des::KEY_TYPES, des::SIZES, ParamKind::None)
        .signs(|params, key| Ok(Box::new(des3(params, key)?)), |params, key| Ok(Box::new(des3(params, key)?))),
    MechanismInfo::new(CKM_DES3_CMAC_GENERAL, "DES3_CMAC_GENERAL", des::KEY_TYPES, des::SIZES, ParamKind::MacLength)
        .signs(|params, key| Ok(Box::new(des3(params, key)?)), |params, key| Ok(Box::new(des3(params, key)?))),
];

/// The rows of CBC-MAC, which is safe only for messages of one length: AES-CMAC has taken its place.
pub(super) const CBC_MAC_MECHANISMS: &[MechanismInfo] = &[
    MechanismInfo::new(CKM_AES_MAC, "AES_MAC", aes::KEY_TYPES, aes::SIZES, ParamKind::None)
        .legacy()
        .signs(|params, key| Ok(Box::new(cbc_mac(params, key)?)), |params, key| Ok(Box::new(cbc_mac(params, key)?))),
    MechanismInfo::new(CKM_AES_MAC_GENERAL, "AES_MAC_GENERAL", aes::KEY_TYPES, aes::SIZES, ParamKind::MacLength)
        .legacy()
        .signs(|params, key| Ok(Box::new(cbc_mac(params, key)?)), |params, key| Ok(Box::new(cbc_mac(params, key)?))),
];

/// Half a block unless the parameter says otherwise (PKCS#11 3.1 §6.13.10).
fn cbc_mac(params: &Params, key: &Key) -> Result<MacOperation> {
    let bytes = if *params == Params::None { BLOCK_BYTES / 2 } else { mac_bytes(params, BLOCK_BYTES)? };
    let template = key.secret()?.template(Cipher::AesCbc, Direction::Encrypt)?;
    let context = template.start(Some(&[0; BLOCK_BYTES]), Direction::Encrypt)?;
    let chain = CbcMac { context, part: Vec::with_capacity(BLOCK_BYTES), last: [0; BLOCK_BYTES], has_blocks: false };
    Ok(MacOperation { mac: Mac::Cbc(chain), bytes })
}

/// FIPS 113: the last block of an encryption in CBC mode, where zeros fill what is missing of it.
struct CbcMac {
    context: CipherContext,
    part: Vec<u8>,
    last: [u8; BLOCK_BYTES],
    has_blocks: bool,
}

impl CbcMac {
    fn update(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let (taken, rest) = data.split_at(data.len().min(BLOCK_BYTES - self.part.len()));
            self.part.extend_from_slice(taken);
            data = rest;
            if self.part.len() == BLOCK_BYTES {
                self.block()?;
            }
        }
        Ok(())
    }

    fn block(&mut self) -> Result<()> {
        self.context.update(&self.part, &mut self.last)?;
        self.part.clear();
        self.has_blocks = true;
        Ok(())
    }

    fn finish(&mut self) -> Result<([u8; MAC_BYTES_MAX], usize)> {
        if !self.part.is_empty() || !self.has_blocks {
            self.part.resize(BLOCK_BYTES, 0);
            self.block()?;
        }
        let mut output = [0; MAC_BYTES_MAX];
        output.get_mut(..BLOCK_BYTES).ok_or(CryptoError::GeneralError)?.copy_from_slice(&self.last);
        Ok((output, BLOCK_BYTES))
    }
}

const BLOCK_BYTES: usize = 16;

/// The GMAC row.
pub(super) const GMAC_MECHANISMS: &[MechanismInfo] =
    &[MechanismInfo::new(CKM_AES_GMAC, "AES_GMAC", aes::KEY_TYPES, aes::SIZES, ParamKind::Gmac)
        .signs(|params, key| Ok(Box::new(gmac(params, key)?)), |params, key| Ok(Box::new(gmac(params, key)?)))];

/// GCM over no text: what is signed is the additional data (SP 800-38D §3).
fn gmac(params: &Params, key: &Key) -> Result<MacOperation> {
    let Params::Gcm { iv, aad, tag_bits } = params else { return Err(CryptoError::MechanismParamInvalid) };
    let fits = aad.is_empty() && gcm::TAG_BITS.contains(tag_bits) && (1..=gcm::IV_BYTES_MAX).contains(&iv.len());
    let bytes = usize::try_from(tag_bits / 8).ok().filter(|_| fits).ok_or(CryptoError::MechanismParamInvalid)?;
    let template = key.secret()?.template(Cipher::AesGcm, Direction::Encrypt)?;
    Ok(MacOperation { mac: Mac::Gmac(template.start(Some(iv), Direction::Encrypt)?), bytes })
}

fn des3(params: &Params, key: &Key) -> Result<MacOperation> {
    let bytes = mac_bytes(params, 8)?;
    Ok(MacOperation { mac: Mac::Cmac(key.secret()?.des3_cmac()?.start()?), bytes })
}

fn hmac(hash: Hash, params: &Params, key: &Key) -> Result<MacOperation> {
    let bytes = mac_bytes(params, hash.output_bytes())?;
    Ok(MacOperation { mac: Mac::Hmac(key.secret()?.hmac(hash)?), bytes })
}

fn cmac(params: &Params, key: &Key) -> Result<MacOperation> {
    let bytes = mac_bytes(params, 16)?;
    Ok(MacOperation { mac: Mac::Cmac(key.secret()?.cmac()?.start()?), bytes })
}

/// The HMAC of parts that belong together, in one call.
pub(super) fn hmac_once(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Result<Zeroizing<Vec<u8>>> {
    let mut mac = Hmac::keyed(hash, key)?;
    for part in parts {
        mac.update(part)?;
    }
    let (output, bytes) = mac.finish()?;
    output.get(..bytes).map(|output| Zeroizing::new(output.to_vec())).ok_or(CryptoError::GeneralError)
}

fn mac_bytes(params: &Params, whole: usize) -> Result<usize> {
    match params {
        Params::None => Ok(whole),
        Params::MacLength(bytes) if (1..=whole).contains(bytes) => Ok(*bytes),
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

enum Mac {
    Hmac(Hmac),
    Cmac(Cmac),
    Cbc(CbcMac),
    Gmac(CipherContext),
}

struct MacOperation {
    mac: Mac,
    bytes: usize,
}

impl MacOperation {
    fn take(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.mac {
            Mac::Hmac(mac) => mac.update(data),
            Mac::Cmac(mac) => mac.update(data),
            Mac::Cbc(mac) => mac.update(data),
            Mac::Gmac(mac) => mac.authenticate(data),
        }
    }

    fn end(&mut self) -> Result<[u8; MAC_BYTES_MAX]> {
        let (mac, whole) = match &mut self.mac {
            Mac::Hmac(mac) => mac.finish()?,
            Mac::Cmac(mac) => mac.finish()?,
            Mac::Cbc(mac) => mac.finish()?,
            Mac::Gmac(mac) => {
                let mut output = [0; MAC_BYTES_MAX];
                mac.seal(output.get_mut(..16).ok_or(CryptoError::GeneralError)?)?;
                (output, 16)
            }
        };
        if self.bytes > whole { Err(CryptoError::GeneralError) } else { Ok(mac) }
    }
}

impl SignOperation for MacOperation {
    fn signature_bytes(&self) -> usize {
        self.bytes
    }

    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.take(data)
    }

    fn finish(&mut self, signature: &mut [u8]) -> Result<usize> {
        let mac = self.end()?;
        let (Some(signature), Some(mac)) = (signature.get_mut(..self.bytes), mac.get(..self.bytes)) else {
            return Err(CryptoError::GeneralError);
        };
        signature.copy_from_slice(mac);
        Ok(self.bytes)
    }
}

impl VerifyOperation for MacOperation {
    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.take(data)
    }

    fn finish(&mut self, signature: &[u8]) -> Result<()> {
        if signature.len() != self.bytes {
            return Err(CryptoError::SignatureLenRange);
        }
        let mac = self.end()?;
        let mac = mac.get(..self.bytes).ok_or(CryptoError::GeneralError)?;
        if bool::from(mac.ct_eq(signature)) { Ok(()) } else { Err(CryptoError::SignatureInvalid) }
    }
}
