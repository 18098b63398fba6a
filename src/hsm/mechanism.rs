//! Which mechanism does what a client asks for: tables from KMIP's words to `CKM_…` (contract §9).
//!
//! What a token lacks is composed here where the key stays inside: padding around an unpadded mode, counter and feedback modes
//! from single blocks, hashing before a bare signature. The engine has filled in defaults; what is still absent is refused.

use cryptoki_sys::*;

use super::{
    capability::Capability,
    error::refused,
    layout::{Mechanism, Parameter},
};
use crate::{
    crypto::signature::Signed,
    domain::{
        CryptographicAlgorithm, CryptographicParameters,
        algorithm::{BlockCipherMode, Curve, DigitalSignatureAlgorithm, HashingAlgorithm, PaddingMethod},
        reference::KeyKind,
    },
    engine::ports::{HsmError, HsmErrorKind},
};

/// A hash as PKCS#11 numbers it.
#[derive(Debug)]
pub(super) struct Hash {
    pub(super) algorithm: HashingAlgorithm,
    pub(super) bytes: u32,
    pub(super) mechanism: CK_MECHANISM_TYPE,
    mgf: CK_RSA_PKCS_MGF_TYPE,
    hmac: CK_MECHANISM_TYPE,
    keyed: CryptographicAlgorithm,
    rsa: CK_MECHANISM_TYPE,
    ecdsa: CK_MECHANISM_TYPE,
}

macro_rules! hashes {
    ($($algorithm:ident $bytes:literal $mechanism:ident $mgf:ident $hmac:ident $keyed:ident $rsa:ident $ecdsa:ident;)*) => {
        &[$(Hash {
            algorithm: HashingAlgorithm::$algorithm,
            bytes: $bytes,
            mechanism: $mechanism,
            mgf: $mgf,
            hmac: $hmac,
            keyed: CryptographicAlgorithm::$keyed,
            rsa: $rsa,
            ecdsa: $ecdsa,
        },)*]
    };
}

static HASHES: &[Hash] = hashes! {
    SHA_1    20 CKM_SHA_1    CKG_MGF1_SHA1     CKM_SHA_1_HMAC    HMAC_SHA1     CKM_SHA1_RSA_PKCS     CKM_ECDSA_SHA1;
    SHA_224  28 CKM_SHA224   CKG_MGF1_SHA224   CKM_SHA224_HMAC   HMAC_SHA224   CKM_SHA224_RSA_PKCS   CKM_ECDSA_SHA224;
    SHA_256  32 CKM_SHA256   CKG_MGF1_SHA256   CKM_SHA256_HMAC   HMAC_SHA256   CKM_SHA256_RSA_PKCS   CKM_ECDSA_SHA256;
    SHA_384  48 CKM_SHA384   CKG_MGF1_SHA384   CKM_SHA384_HMAC   HMAC_SHA384   CKM_SHA384_RSA_PKCS   CKM_ECDSA_SHA384;
    SHA_512  64 CKM_SHA512   CKG_MGF1_SHA512   CKM_SHA512_HMAC   HMAC_SHA512   CKM_SHA512_RSA_PKCS   CKM_ECDSA_SHA512;
    SHA3_256 32 CKM_SHA3_256 CKG_MGF1_SHA3_256 CKM_SHA3_256_HMAC HMAC_SHA3_256 CKM_SHA3_256_RSA_PKCS CKM_ECDSA_SHA3_256;
    SHA3_384 48 CKM_SHA3_384 CKG_MGF1_SHA3_384 CKM_SHA3_384_HMAC HMAC_SHA3_384 CKM_SHA3_384_RSA_PKCS CKM_ECDSA_SHA3_384;
    SHA3_512 64 CKM_SHA3_512 CKG_MGF1_SHA3_512 CKM_SHA3_512_HMAC HMAC_SHA3_512 CKM_SHA3_512_RSA_PKCS CKM_ECDSA_SHA3_512;
};

fn bad() -> HsmError {
    refused(HsmErrorKind::BadParameters, "parameters")
}

fn unsupported() -> HsmError {
    refused(HsmErrorKind::Unsupported, "mechanism")
}

/// The row of a hash.
pub(super) fn hash(algorithm: HashingAlgorithm) -> Result<&'static Hash, HsmError> {
    HASHES.iter().find(|hash| hash.algorithm == algorithm).ok_or_else(unsupported)
}

// ------------------------------------------------------------------------------------------------------------ ciphers

/// How data is encrypted or decrypted.
#[derive(Debug)]
pub(super) enum Cipher {
    /// The token does it all.
    Native(Mechanism),
    /// The token does an unpadded mode; padding to that block length is ours.
    Padded(Mechanism, usize, PaddingMethod),
    /// The token does GCM; the tag of that many bytes stands at the end of its output.
    Gcm(Mechanism, usize),
    /// The token does CCM; the tag of that many bytes stands at the end of its output.
    Ccm(Mechanism, usize),
    /// CCM from the token's CBC and ECB.
    ComposedCcm(Ccm),
    /// The token does XTS, with keys of its own kind.
    Xts(Mechanism),
    /// PCBC from single blocks of that length, an unpadded mechanism, the IV and a padding.
    Propagating(Mechanism, usize, Vec<u8>, Option<PaddingMethod>),
    /// The token does ChaCha20-Poly1305, whose tag of 16 bytes at the end of its output is cut to that many.
    Poly1305(Mechanism, usize),
    /// The token encrypts single blocks, and we make this mode of them.
    Blocks(Feedback, [u8; 16]),
}

/// What CCM is given (SP 800-38C).
#[derive(Debug)]
pub(super) struct Ccm {
    pub(super) nonce: Vec<u8>,
    pub(super) aad: Vec<u8>,
    pub(super) tag_bytes: usize,
}

/// A mode made from encrypted blocks of AES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feedback {
    /// Counter mode with that many counting bits.
    Counter(u32),
    /// Cipher feedback with whole blocks.
    Cipher,
    /// Output feedback.
    Output,
}

/// One mode of a block cipher: mode, key kind, unpadded mechanism, mechanism with PKCS#5 padding, block, length of the IV.
struct BlockMode {
    mode: BlockCipherMode,
    kind: KeyKind,
    plain: CK_MECHANISM_TYPE,
    padded: Option<CK_MECHANISM_TYPE>,
    block: usize,
    iv: usize,
}

static BLOCK_MODES: &[BlockMode] = &[
    BlockMode {
        mode: BlockCipherMode::CBC,
        kind: KeyKind::Aes,
        plain: CKM_AES_CBC,
        padded: Some(CKM_AES_CBC_PAD),
        block: 16,
        iv: 16,
    },
    BlockMode { mode: BlockCipherMode::ECB, kind: KeyKind::Aes, plain: CKM_AES_ECB, padded: None, block: 16, iv: 0 },
    BlockMode {
        mode: BlockCipherMode::CBC,
        kind: KeyKind::TripleDes,
        plain: CKM_DES3_CBC,
        padded: Some(CKM_DES3_CBC_PAD),
        block: 8,
        iv: 8,
    },
    BlockMode {
        mode: BlockCipherMode::ECB,
        kind: KeyKind::TripleDes,
        plain: CKM_DES3_ECB,
        padded: None,
        block: 8,
        iv: 0,
    },
];

/// The cipher that a request asks for.
pub(super) fn cipher(
    capability: &Capability,
    kind: KeyKind,
    parameters: &CryptographicParameters,
    iv: Option<&[u8]>,
    aad: &[u8],
    data_bytes: usize,
    short_gcm: bool,
) -> Result<Cipher, HsmError> {
    match kind {
        KeyKind::Aes | KeyKind::AesXts | KeyKind::TripleDes => {}
        KeyKind::RsaPrivate | KeyKind::RsaPublic => return rsa_cipher(parameters),
        KeyKind::ChaCha20 => return chacha20(capability, parameters, iv.unwrap_or_default(), aad),
        _ => return Err(unsupported()),
    }
    let iv = iv.unwrap_or_default();
    let mode = parameters.block_cipher_mode.ok_or_else(bad)?;
    let padding = match parameters.padding_method {
        None | Some(PaddingMethod::NONE) => None,
        Some(
            method @ (PaddingMethod::PKCS5
            | PaddingMethod::SSL3
            | PaddingMethod::ZEROS
            | PaddingMethod::ANSI_X9_23
            | PaddingMethod::ISO_10126),
        ) => Some(method),
        Some(_) => return Err(unsupported()),
    };
    if let Some(row) = BLOCK_MODES.iter().find(|row| row.mode == mode && row.kind == kind) {
        if iv.len() != row.iv {
            return Err(bad());
        }
        return Ok(match (row.padded, padding) {
            (Some(native), Some(PaddingMethod::PKCS5)) if capability.offers(native) => {
                Cipher::Native(Mechanism::with_iv(native, iv))
            }
            (_, Some(method)) => Cipher::Padded(Mechanism::with_iv(row.plain, iv), row.block, method),
            (_, None) => Cipher::Native(Mechanism::with_iv(row.plain, iv)),
        });
    }
    if mode == BlockCipherMode::PCBC && kind != KeyKind::AesXts {
        let (code, block) = if kind == KeyKind::Aes { (CKM_AES_ECB, 16) } else { (CKM_DES3_ECB, 8) };
        return match iv.len() == block {
            true => Ok(Cipher::Propagating(Mechanism::plain(code), block, iv.to_vec(), padding)),
            false => Err(bad()),
        };
    }
    if padding.is_some() {
        return Err(unsupported());
    }
    match (mode, kind) {
        (BlockCipherMode::XTS, KeyKind::Aes | KeyKind::AesXts) if iv.len() != 16 => return Err(bad()),
        (BlockCipherMode::XTS, KeyKind::Aes | KeyKind::AesXts) if capability.offers(CKM_AES_XTS) => {
            return Ok(Cipher::Xts(Mechanism::with_iv(CKM_AES_XTS, iv)));
        }
        (_, KeyKind::Aes) => {}
        _ => return Err(unsupported()),
    }
    match mode {
        BlockCipherMode::GCM => gcm(parameters, iv, aad, short_gcm),
        BlockCipherMode::CCM => ccm(capability, parameters, iv, aad, data_bytes),
        BlockCipherMode::CTR => {
            let bits = parameters.counter_length.map_or(Ok(128), u32::try_from).ok().ok_or_else(bad)?;
            if !(1..=128).contains(&bits) {
                return Err(bad());
            }
            let block: [u8; 16] = iv.try_into().ok().ok_or_else(bad)?;
            Ok(if capability.offers(CKM_AES_CTR) {
                Cipher::Native(Mechanism { code: CKM_AES_CTR, parameter: Parameter::Counter { bits, block } })
            } else {
                Cipher::Blocks(Feedback::Counter(bits), block)
            })
        }
        BlockCipherMode::CFB | BlockCipherMode::OFB => {
            let block: [u8; 16] = iv.try_into().ok().ok_or_else(bad)?;
            let (native, feedback) = if mode == BlockCipherMode::CFB {
                (CKM_AES_CFB128, Feedback::Cipher)
            } else {
                (CKM_AES_OFB, Feedback::Output)
            };
            Ok(if capability.offers(native) {
                Cipher::Native(Mechanism::with_iv(native, iv))
            } else {
                Cipher::Blocks(feedback, block)
            })
        }
        _ => Err(unsupported()),
    }
}

fn gcm(parameters: &CryptographicParameters, iv: &[u8], aad: &[u8], short: bool) -> Result<Cipher, HsmError> {
    let tag = parameters.tag_length.map_or(Ok(16_u8), u8::try_from).ok().ok_or_else(bad)?;
    if iv.is_empty() || iv.len() > 256 || !matches!(tag, 4 | 8 | 12..=16) {
        return Err(bad());
    }
    let parameter = Parameter::Gcm { iv: iv.to_vec(), aad: aad.to_vec(), tag_bits: 8 * u32::from(tag), short };
    Ok(Cipher::Gcm(Mechanism { code: CKM_AES_GCM, parameter }, tag.into()))
}

/// CCM: a nonce of 7 to 13 bytes leaves the rest of a block but one byte for the length of the data (SP 800-38C §A.1).
fn ccm(
    capability: &Capability,
    parameters: &CryptographicParameters,
    nonce: &[u8],
    aad: &[u8],
    data_bytes: usize,
) -> Result<Cipher, HsmError> {
    let tag = parameters.tag_length.map_or(Ok(16_u8), u8::try_from).ok().ok_or_else(bad)?;
    if !matches!(nonce.len(), 7..=13) || !matches!(tag, 4 | 6 | 8 | 10 | 12 | 14 | 16) {
        return Err(bad());
    }
    let length_bits = u32::try_from(8 * (15 - nonce.len())).unwrap_or(u32::MAX);
    if u64::try_from(data_bytes).is_ok_and(|bytes| length_bits < 64 && bytes >> length_bits != 0) {
        return Err(refused(HsmErrorKind::BadData, "length of the data for this nonce"));
    }
    let (nonce, aad) = (nonce.to_vec(), aad.to_vec());
    if capability.offers(CKM_AES_CCM) {
        let parameter = Parameter::Ccm { data_bytes, nonce, aad, tag_bytes: tag.into() };
        return Ok(Cipher::Ccm(Mechanism { code: CKM_AES_CCM, parameter }, tag.into()));
    }
    Ok(Cipher::ComposedCcm(Ccm { nonce, aad, tag_bytes: tag.into() }))
}

/// ChaCha20 as it was first published (nonce of 8 bytes) or as RFC 8439 has it (12 bytes); the mode AEAD adds Poly1305.
fn chacha20(
    capability: &Capability,
    parameters: &CryptographicParameters,
    nonce: &[u8],
    aad: &[u8],
) -> Result<Cipher, HsmError> {
    if !matches!(parameters.padding_method, None | Some(PaddingMethod::NONE)) {
        return Err(unsupported());
    }
    let (code, cipher) = match (parameters.block_cipher_mode, nonce.len()) {
        (Some(BlockCipherMode::AEAD), 12) => {
            let tag = parameters.tag_length.map_or(Ok(16_u8), u8::try_from).ok().ok_or_else(bad)?;
            if !matches!(tag, 4 | 8 | 12..=16) {
                return Err(bad());
            }
            let parameter = Parameter::ChaCha20Poly1305 { nonce: nonce.to_vec(), aad: aad.to_vec() };
            let code = CKM_CHACHA20_POLY1305;
            (code, Cipher::Poly1305(Mechanism { code, parameter }, tag.into()))
        }
        (None, 8 | 12) => {
            let counter = parameters.initial_counter_value.map_or(Ok(0), u32::try_from).ok().ok_or_else(bad)?;
            let parameter = Parameter::ChaCha20 { counter, nonce: nonce.to_vec() };
            (CKM_CHACHA20, Cipher::Native(Mechanism { code: CKM_CHACHA20, parameter }))
        }
        (None | Some(BlockCipherMode::AEAD), _) => return Err(bad()),
        _ => return Err(unsupported()),
    };
    if capability.offers(code) { Ok(cipher) } else { Err(unsupported()) }
}

fn rsa_cipher(parameters: &CryptographicParameters) -> Result<Cipher, HsmError> {
    match parameters.padding_method {
        Some(PaddingMethod::PKCS1_V1_5) => Ok(Cipher::Native(Mechanism::plain(CKM_RSA_PKCS))),
        Some(PaddingMethod::OAEP) => {
            let of = hash(parameters.hashing_algorithm.ok_or_else(bad)?)?;
            let mgf = parameters.mask_generator_hashing_algorithm.map_or(Ok(of), hash)?.mgf;
            let label = parameters.p_source.clone().unwrap_or_default();
            let parameter = Parameter::Oaep { hash: of.mechanism, mgf, label };
            Ok(Cipher::Native(Mechanism { code: CKM_RSA_PKCS_OAEP, parameter }))
        }
        None => Err(bad()),
        Some(_) => Err(unsupported()),
    }
}

// --------------------------------------------------------------------------------------------------------- signatures

/// How something is signed.
#[derive(Debug)]
pub(super) enum Scheme {
    /// RSA over DigestInfo.
    RsaPkcs1(&'static Hash),
    /// RSA with PKCS#1 v1.5 padding over bytes as they are.
    RsaBare,
    /// RSA-PSS over the digest.
    RsaPss(&'static Hash, Parameter),
    /// ECDSA over the digest, cut to the curve's width.
    Ecdsa(&'static Hash, Curve),
    /// Ed25519 over the data itself.
    EdDsa,
    /// ECDSA over a digest whose hash is not named.
    Bare(Curve),
}

/// KMIP's combined algorithms (KMIP 2.1 §11.17): what they say of hash and padding.
static COMBINED: &[(DigitalSignatureAlgorithm, Option<HashingAlgorithm>, Option<PaddingMethod>)] = {
    use DigitalSignatureAlgorithm as D;
    use HashingAlgorithm as H;
    const PKCS1: Option<PaddingMethod> = Some(PaddingMethod::PKCS1_V1_5);
    &[
        (D::SHA1_WITH_RSA, Some(H::SHA_1), PKCS1),
        (D::SHA224_WITH_RSA, Some(H::SHA_224), PKCS1),
        (D::SHA256_WITH_RSA, Some(H::SHA_256), PKCS1),
        (D::SHA384_WITH_RSA, Some(H::SHA_384), PKCS1),
        (D::SHA512_WITH_RSA, Some(H::SHA_512), PKCS1),
        (D::RSASSA_PSS, None, Some(PaddingMethod::PSS)),
        (D::ECDSA_WITH_SHA1, Some(H::SHA_1), None),
        (D::ECDSA_WITH_SHA224, Some(H::SHA_224), None),
        (D::ECDSA_WITH_SHA256, Some(H::SHA_256), None),
        (D::ECDSA_WITH_SHA384, Some(H::SHA_384), None),
        (D::ECDSA_WITH_SHA512, Some(H::SHA_512), None),
        (D::SHA3_256_WITH_RSA, Some(H::SHA3_256), PKCS1),
        (D::SHA3_384_WITH_RSA, Some(H::SHA3_384), PKCS1),
        (D::SHA3_512_WITH_RSA, Some(H::SHA3_512), PKCS1),
    ]
};

/// The signature scheme that a request asks for.
pub(super) fn scheme(kind: KeyKind, parameters: &CryptographicParameters, digested: bool) -> Result<Scheme, HsmError> {
    let (combined_hash, combined_padding) = match parameters.digital_signature_algorithm {
        None => (None, None),
        Some(algorithm) => {
            let (_, hash, padding) =
                COMBINED.iter().find(|(combined, ..)| *combined == algorithm).ok_or_else(unsupported)?;
            (*hash, *padding)
        }
    };
    let of = || hash(combined_hash.or(parameters.hashing_algorithm).ok_or_else(bad)?);
    match kind {
        KeyKind::RsaPrivate | KeyKind::RsaPublic => match combined_padding.or(parameters.padding_method) {
            None | Some(PaddingMethod::PKCS1_V1_5)
                if digested && combined_hash.or(parameters.hashing_algorithm).is_none() =>
            {
                Ok(Scheme::RsaBare)
            }
            None | Some(PaddingMethod::PKCS1_V1_5) => Ok(Scheme::RsaPkcs1(of()?)),
            Some(PaddingMethod::PSS) => {
                let of = of()?;
                let mgf = parameters.mask_generator_hashing_algorithm.map_or(Ok(of), hash)?.mgf;
                let salt = parameters.salt_length.map_or(Ok(of.bytes), u32::try_from).ok().ok_or_else(bad)?;
                Ok(Scheme::RsaPss(of, Parameter::Pss { hash: of.mechanism, mgf, salt }))
            }
            Some(_) => Err(unsupported()),
        },
        KeyKind::EcPrivate(curve) | KeyKind::EcPublic(curve) => Ok(Scheme::Ecdsa(of()?, curve)),
        KeyKind::Ed25519Private | KeyKind::Ed25519Public => Ok(Scheme::EdDsa),
        KeyKind::Aes | KeyKind::AesXts | KeyKind::TripleDes | KeyKind::ChaCha20 | KeyKind::Generic => Err(bad()),
    }
}

/// The scheme of an elliptic curve for a digest whose hash is not named.
pub(super) const fn bare_curve(kind: KeyKind) -> Option<Scheme> {
    match kind {
        KeyKind::EcPrivate(curve) | KeyKind::EcPublic(curve) => Some(Scheme::Bare(curve)),
        _ => None,
    }
}

impl Scheme {
    /// The hash that stands before the signature; none for Ed25519, which signs the data itself.
    pub(super) const fn hash(&self) -> Option<&'static Hash> {
        match self {
            Self::RsaPkcs1(hash) | Self::RsaPss(hash, _) | Self::Ecdsa(hash, _) => Some(hash),
            Self::RsaBare | Self::EdDsa | Self::Bare(..) => None,
        }
    }

    /// The mechanism over what is hashed already.
    pub(super) fn bare(&self) -> Mechanism {
        match self {
            Self::RsaPkcs1(_) | Self::RsaBare => Mechanism::plain(CKM_RSA_PKCS),
            Self::RsaPss(_, parameter) => Mechanism { code: CKM_RSA_PKCS_PSS, parameter: parameter.clone() },
            Self::Ecdsa(..) => Mechanism::plain(CKM_ECDSA),
            Self::EdDsa => Mechanism::plain(CKM_EDDSA),
            Self::Bare(_) => Mechanism::plain(CKM_ECDSA),
        }
    }

    /// What the bare mechanism signs, as software verifies it; none where software cannot.
    pub(super) fn signed<'a>(&self, form: &'a [u8]) -> Option<Signed<'a>> {
        match self {
            Self::RsaPkcs1(hash) => {
                let start = form.len().checked_sub(usize::try_from(hash.bytes).ok()?)?;
                Some(Signed::Digest(hash.algorithm, form.get(start..)?))
            }
            Self::RsaPss(hash, Parameter::Pss { mgf, salt, .. }) if *mgf == hash.mgf && *salt == hash.bytes => {
                Some(Signed::Pss(hash.algorithm, form))
            }
            Self::Ecdsa(hash, _) => Some(Signed::Digest(hash.algorithm, form)),
            Self::EdDsa => Some(Signed::Data(form)),
            Self::RsaPss(..) | Self::RsaBare | Self::Bare(_) => None,
        }
    }

    /// The mechanism that hashes by itself, where there is one beside the bare one.
    pub(super) const fn hashing(&self) -> Option<Mechanism> {
        match self {
            Self::RsaPkcs1(hash) => Some(Mechanism::plain(hash.rsa)),
            Self::Ecdsa(hash, _) => Some(Mechanism::plain(hash.ecdsa)),
            Self::RsaPss(..) | Self::RsaBare | Self::EdDsa | Self::Bare(..) => None,
        }
    }
}

/// The MAC that a request asks for.
pub(super) fn mac(kind: KeyKind, parameters: &CryptographicParameters) -> Result<Mechanism, HsmError> {
    if parameters.block_cipher_mode == Some(BlockCipherMode::CMAC) {
        return match kind {
            KeyKind::Aes => Ok(Mechanism::plain(CKM_AES_CMAC)),
            KeyKind::TripleDes => Ok(Mechanism::plain(CKM_DES3_CMAC)),
            _ => Err(bad()),
        };
    }
    if parameters.block_cipher_mode.is_some() {
        return Err(unsupported());
    }
    let keyed = parameters.cryptographic_algorithm;
    let row = HASHES.iter().find(|hash| Some(hash.keyed) == keyed);
    match (row, parameters.hashing_algorithm) {
        (Some(row), _) => Ok(Mechanism::plain(row.hmac)),
        (None, Some(algorithm)) => Ok(Mechanism::plain(hash(algorithm)?.hmac)),
        (None, None) => Err(if keyed.is_some() { unsupported() } else { bad() }),
    }
}

// ------------------------------------------------------------------------------------------------------------ padding

/// How long what an HMAC gives is; `None` for what is none.
pub(super) fn hmac_bytes(mechanism: &Mechanism) -> Option<u32> {
    HASHES.iter().find(|hash| hash.hmac == mechanism.code).map(|hash| hash.bytes)
}

/// Whether a MAC is made by a block cipher.
pub(super) const fn is_cmac(mechanism: &Mechanism) -> bool {
    matches!(mechanism.code, CKM_AES_CMAC | CKM_DES3_CMAC)
}

/// Adds padding. PKCS#5 (RFC 8018 §6.1.1) repeats the count; ANSI X9.23 and ISO 10126 end with it, behind zeros and behind
/// random bytes; SSL 3.0 ends with how many stand before it; zeros fill up to the block and no further.
pub(super) fn pad(data: &mut Vec<u8>, block: usize, method: PaddingMethod, filling: &[u8]) {
    let count = block - data.len() % block;
    if method == PaddingMethod::ZEROS {
        data.resize(data.len() + count % block, 0);
        return;
    }
    // A block has at most sixteen bytes.
    let number = u8::try_from(count).unwrap_or(u8::MAX);
    if method == PaddingMethod::PKCS5 {
        data.resize(data.len() + count, number);
        return;
    }
    let filling = if method == PaddingMethod::ANSI_X9_23 { &[] } else { filling };
    data.extend(filling.iter().chain(std::iter::repeat(&0)).take(count - 1));
    data.push(if method == PaddingMethod::SSL3 { number - 1 } else { number });
}

/// The length without the padding, or `None` when it is none. Takes the same time wherever a byte is wrong.
pub(super) fn unpadded(data: &[u8], block: usize, method: PaddingMethod) -> Option<usize> {
    match method {
        PaddingMethod::PKCS5 => without_counts(data, block),
        PaddingMethod::ZEROS => {
            let tail = data.len().checked_sub(block).and_then(|start| data.get(start..))?;
            let zeros = tail.iter().rev().take_while(|byte| **byte == 0).count();
            data.len().is_multiple_of(block).then(|| data.len() - zeros.min(block - 1))
        }
        _ => {
            let count = usize::from(*data.last()?) + usize::from(method == PaddingMethod::SSL3);
            let tail = data.len().checked_sub(block).and_then(|start| data.get(start..))?;
            let zeros = method == PaddingMethod::ANSI_X9_23;
            let wrong = tail
                .iter()
                .rev()
                .enumerate()
                .skip(1)
                .fold(0_u8, |wrong, (place, byte)| wrong | if zeros && place < count { *byte } else { 0 });
            let fits = data.len().is_multiple_of(block) && (1..=block).contains(&count) && wrong == 0;
            fits.then(|| data.len() - count)
        }
    }
}

fn without_counts(data: &[u8], block: usize) -> Option<usize> {
    let last = *data.last()?;
    let count = usize::from(last);
    let tail = data.len().checked_sub(block).and_then(|start| data.get(start..))?;
    let wrong = tail
        .iter()
        .rev()
        .enumerate()
        .fold(0_u8, |wrong, (place, byte)| wrong | if place < count { byte ^ last } else { 0 });
    let fits = data.len().is_multiple_of(block) && (1..=block).contains(&count) && wrong == 0;
    fits.then(|| data.len() - count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_comes_off_as_it_went_on_and_nothing_else_does() {
        for length in 0..40 {
            let mut data = vec![0x41; length];
            pad(&mut data, 16, PaddingMethod::PKCS5, &[]);
            assert_eq!(data.len() % 16, 0);
            assert_eq!(unpadded(&data, 16, PaddingMethod::PKCS5), Some(length));
        }
        for bad in [&[0_u8; 16][..], &[17; 32], &[2; 15], &[], &[[9; 15].as_slice(), &[2]].concat()] {
            assert_eq!(unpadded(bad, 16, PaddingMethod::PKCS5), None, "{bad:?}");
        }
    }

    #[test]
    fn a_combined_algorithm_wins_over_its_parts() {
        let parameters = CryptographicParameters {
            digital_signature_algorithm: Some(DigitalSignatureAlgorithm::SHA384_WITH_RSA),
            hashing_algorithm: Some(HashingAlgorithm::SHA_256),
            ..CryptographicParameters::default()
        };
        let scheme = scheme(KeyKind::RsaPrivate, &parameters, false).unwrap();
        assert_eq!(scheme.hash().unwrap().algorithm, HashingAlgorithm::SHA_384);
        assert!(matches!(scheme, Scheme::RsaPkcs1(_)));
    }

    #[test]
    fn what_is_absent_is_a_parameter_error_and_what_is_unknown_is_unsupported() {
        let none = CryptographicParameters::default();
        assert_eq!(scheme(KeyKind::RsaPrivate, &none, false).unwrap_err().kind, HsmErrorKind::BadParameters);
        assert_eq!(mac(KeyKind::Generic, &none).unwrap_err().kind, HsmErrorKind::BadParameters);
        let md5 = CryptographicParameters {
            hashing_algorithm: Some(HashingAlgorithm::MD5),
            ..CryptographicParameters::default()
        };
        assert_eq!(scheme(KeyKind::RsaPrivate, &md5, false).unwrap_err().kind, HsmErrorKind::Unsupported);
    }

    #[test]
    fn every_padding_is_taken_off_again() {
        for method in [
            PaddingMethod::PKCS5,
            PaddingMethod::SSL3,
            PaddingMethod::ZEROS,
            PaddingMethod::ANSI_X9_23,
            PaddingMethod::ISO_10126,
        ] {
            for length in 1..40 {
                let mut data = vec![7; length];
                pad(&mut data, 16, method, &[9; 16]);
                assert!(data.len().is_multiple_of(16), "{method:?} {length}");
                assert_eq!(unpadded(&data, 16, method), Some(length), "{method:?}");
            }
        }
        assert_eq!(unpadded(&[9; 15], 16, PaddingMethod::ANSI_X9_23), None);
        let mut wrong = vec![0; 16];
        (wrong[14], wrong[15]) = (1, 2);
        assert_eq!(unpadded(&wrong, 16, PaddingMethod::ANSI_X9_23), None, "not zeros");
        assert_eq!(unpadded(&wrong, 16, PaddingMethod::ISO_10126), Some(14));
    }
}
