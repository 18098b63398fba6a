//! Mechanism parameters as safe, owned values.
//!
//! The `abi` layer turns a caller's raw parameter block into [`Params`]; [`ParamKind`] in a mechanism's row tells it which
//! structure to expect. Ranges that do not depend on the structure (IV lengths, tag sizes) are checked where the
//! parameters are used, so that `rlib` callers get the same answers.

use cryptoki_sys::*;

use super::{
    error::{CryptoError, Result},
    key::SecretKey,
};

/// A hash function, wherever a mechanism or a parameter names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-512/224.
    Sha512_224,
    /// SHA-512/256.
    Sha512_256,
    /// SHA3-224.
    Sha3_224,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-384.
    Sha3_384,
    /// SHA3-512.
    Sha3_512,
    /// SHAKE128 of 32 bytes, as HashML-DSA uses it.
    Shake128,
    /// SHAKE256 of 64 bytes, as HashML-DSA uses it.
    Shake256,
}

/// One row a hash: the hash, its digest mechanism, its MGF1 number (PKCS#11 3.1 table 42), output and block bytes.
const HASHES: &[(Hash, CK_MECHANISM_TYPE, Option<CK_RSA_PKCS_MGF_TYPE>, usize, usize)] = &[
    (Hash::Sha1, CKM_SHA_1, Some(CKG_MGF1_SHA1), 20, 64),
    (Hash::Sha224, CKM_SHA224, Some(CKG_MGF1_SHA224), 28, 64),
    (Hash::Sha256, CKM_SHA256, Some(CKG_MGF1_SHA256), 32, 64),
    (Hash::Sha384, CKM_SHA384, Some(CKG_MGF1_SHA384), 48, 128),
    (Hash::Sha512, CKM_SHA512, Some(CKG_MGF1_SHA512), 64, 128),
    (Hash::Sha512_224, CKM_SHA512_224, None, 28, 128),
    (Hash::Sha512_256, CKM_SHA512_256, None, 32, 128),
    (Hash::Sha3_224, CKM_SHA3_224, Some(CKG_MGF1_SHA3_224), 28, 144),
    (Hash::Sha3_256, CKM_SHA3_256, Some(CKG_MGF1_SHA3_256), 32, 136),
    (Hash::Sha3_384, CKM_SHA3_384, Some(CKG_MGF1_SHA3_384), 48, 104),
    (Hash::Sha3_512, CKM_SHA3_512, Some(CKG_MGF1_SHA3_512), 64, 72),
];

impl Hash {
    /// The hash of a digest mechanism (`CKM_SHA256`), as in the `hashAlg` of OAEP and PSS parameters.
    pub fn from_mechanism(mechanism: CK_MECHANISM_TYPE) -> Option<Self> {
        HASHES.iter().find(|row| row.1 == mechanism).map(|row| row.0)
    }

    /// The hash of a mask generation function (`CKG_MGF1_SHA256`).
    pub fn from_mgf(mgf: CK_RSA_PKCS_MGF_TYPE) -> Option<Self> {
        HASHES.iter().find(|row| row.2 == Some(mgf)).map(|row| row.0)
    }

    /// Length of the digest.
    pub const fn output_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha512_224 | Self::Sha3_224 => 28,
            Self::Sha256 | Self::Sha512_256 | Self::Sha3_256 | Self::Shake128 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 | Self::Shake256 => 64,
        }
    }
}

/// Parameters of a mechanism, already copied out of the caller's memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Params {
    /// No parameter.
    #[default]
    None,
    /// No parameter, and bad padding under PKCS#1 v1.5 is to be an error rather than a made-up message.
    ExplicitRejection,
    /// A bare IV (CBC, CFB, OFB).
    Iv(Vec<u8>),
    /// `CK_AES_CTR_PARAMS`.
    Ctr {
        /// Width of the counter in bits, at the low end of the block.
        counter_bits: u32,
        /// The initial counter block.
        block: [u8; 16],
    },
    /// `CK_GCM_PARAMS`.
    Gcm {
        /// The IV, 1 to 256 bytes.
        iv: Vec<u8>,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// Tag length in bits.
        tag_bits: u32,
    },
    /// `CK_CCM_PARAMS`.
    Ccm {
        /// Length of the plaintext, which CCM needs in advance.
        data_bytes: usize,
        /// The nonce, 7 to 13 bytes.
        nonce: Vec<u8>,
        /// Additional authenticated data.
        aad: Vec<u8>,
        /// Tag length in bytes.
        mac_bytes: usize,
    },
    /// `CK_CHACHA20_PARAMS`.
    ChaCha20 {
        /// The first block.
        counter: u64,
        /// How many bits of the state count: 32 or 64.
        counter_bits: u32,
        /// The nonce, 8 or 12 bytes.
        nonce: Vec<u8>,
    },
    /// `CK_SALSA20_CHACHA20_POLY1305_PARAMS`.
    ChaCha20Poly1305 {
        /// The nonce, 12 bytes.
        nonce: Vec<u8>,
        /// Additional authenticated data.
        aad: Vec<u8>,
    },
    /// `CK_RSA_PKCS_OAEP_PARAMS`.
    Oaep(Oaep),
    /// `CK_RSA_PKCS_PSS_PARAMS`.
    Pss {
        /// Hash of the message.
        hash: Hash,
        /// Hash of MGF1.
        mgf: Hash,
        /// Length of the salt.
        salt_bytes: usize,
    },
    /// `CK_RSA_AES_KEY_WRAP_PARAMS`.
    RsaAes {
        /// Size of the temporary AES key: 128, 192 or 256.
        aes_bits: u32,
        /// How the RSA key carries it.
        oaep: Oaep,
    },
    /// `CK_EDDSA_PARAMS`; pure Ed25519 is [`Params::None`].
    Eddsa {
        /// Ed25519ph rather than Ed25519ctx.
        prehash: bool,
        /// The context, at most 255 bytes.
        context: Vec<u8>,
    },
    /// `CK_MAC_GENERAL_PARAMS`: length of a truncated MAC in bytes.
    MacLength(usize),
    /// `CK_ECDH1_DERIVE_PARAMS`.
    Ecdh {
        /// What is made of the shared secret.
        kdf: EcKdf,
        /// The other party's public key, bare or as a DER OCTET STRING.
        public: Vec<u8>,
        /// Shared information that enters the derivation.
        shared: Vec<u8>,
    },
    /// `CK_KEY_DERIVATION_STRING_DATA`: bytes that enter a derivation.
    Data(Vec<u8>),
    /// `CK_AES_CBC_ENCRYPT_DATA_PARAMS`, or its DES form.
    IvData {
        /// The IV, one block.
        iv: Vec<u8>,
        /// What is encrypted.
        data: Vec<u8>,
    },
    /// `CK_EXTRACT_PARAMS`: the first bit to take.
    Extract(usize),
    /// `CK_OBJECT_HANDLE`: the key behind the base key.
    OtherKey(KeyRef),
    /// `CK_SP800_108_KDF_PARAMS`, or its feedback form.
    Kbkdf(Kbkdf),
    /// `CK_PKCS5_PBKD2_PARAMS` in both layouts.
    Pbkdf2 {
        /// Hash of the HMAC.
        hash: Hash,
        /// The salt.
        salt: Vec<u8>,
        /// Rounds.
        iterations: u32,
        /// The password.
        password: SecretKey,
    },
    /// `CK_SIGN_ADDITIONAL_CONTEXT`, or its form with a hash.
    SignContext {
        /// Whether a signature must be the same each time.
        hedge: Hedge,
        /// The context, at most 255 bytes.
        context: Vec<u8>,
        /// The hash that made the data, for `CKM_HASH_ML_DSA`.
        hash: Option<Hash>,
    },
    /// `CK_HKDF_PARAMS`.
    Hkdf {
        /// Hash of the HMAC.
        hash: Hash,
        /// The salt to extract with; none when the base key is already pseudo-random.
        extract: Option<HkdfSalt>,
        /// The information to expand with; none when the extracted key is the result.
        expand: Option<Vec<u8>>,
    },
}

/// The salt of HKDF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HkdfSalt {
    /// `CKF_HKDF_SALT_NULL`.
    None,
    /// `CKF_HKDF_SALT_DATA`.
    Data(Vec<u8>),
    /// `CKF_HKDF_SALT_KEY`: the value of a key.
    Key(KeyRef),
}

/// A key that parameters name: by handle as the caller gives it, by value once `core` has looked it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRef {
    /// Not looked up yet.
    Handle(CK_OBJECT_HANDLE),
    /// The key.
    Key(SecretKey),
}

impl KeyRef {
    /// The key's value; a handle that nobody has looked up is `MechanismParamInvalid`.
    pub(super) fn value(&self) -> Result<&[u8]> {
        match self {
            Self::Key(key) => Ok(key.value()),
            Self::Handle(_) => Err(CryptoError::MechanismParamInvalid),
        }
    }
}

impl Params {
    /// The keys that the parameters name.
    pub fn keys_mut(&mut self) -> Vec<&mut KeyRef> {
        match self {
            Self::OtherKey(key) | Self::Hkdf { extract: Some(HkdfSalt::Key(key)), .. } => vec![key],
            Self::Kbkdf(kbkdf) => kbkdf
                .parts
                .iter_mut()
                .filter_map(|part| match part {
                    KbkdfPart::Key(key) => Some(key),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// A key derivation of SP 800-108 (PKCS#11 3.1 §6.42).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kbkdf {
    /// The pseudo-random function.
    pub prf: Prf,
    /// What the function is run over, in this order.
    pub parts: Vec<KbkdfPart>,
    /// What feedback mode starts from.
    pub iv: Vec<u8>,
}

/// A pseudo-random function of SP 800-108.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prf {
    /// HMAC over a hash.
    Hmac(Hash),
    /// AES-CMAC.
    AesCmac,
    /// Triple DES CMAC.
    Des3Cmac,
}

impl Prf {
    /// The function of a MAC mechanism.
    pub fn from_mechanism(mechanism: CK_MECHANISM_TYPE) -> Option<Self> {
        match mechanism {
            CKM_AES_CMAC => Some(Self::AesCmac),
            CKM_DES3_CMAC => Some(Self::Des3Cmac),
            _ => PRF_HMACS.iter().find(|row| row.0 == mechanism).map(|row| Self::Hmac(row.1)),
        }
    }

    /// Bytes of one output.
    pub const fn output_bytes(self) -> usize {
        match self {
            Self::Hmac(hash) => hash.output_bytes(),
            Self::AesCmac => 16,
            Self::Des3Cmac => 8,
        }
    }
}

const PRF_HMACS: &[(CK_MECHANISM_TYPE, Hash)] = &[
    (CKM_SHA_1_HMAC, Hash::Sha1),
    (CKM_SHA224_HMAC, Hash::Sha224),
    (CKM_SHA256_HMAC, Hash::Sha256),
    (CKM_SHA384_HMAC, Hash::Sha384),
    (CKM_SHA512_HMAC, Hash::Sha512),
    (CKM_SHA3_224_HMAC, Hash::Sha3_224),
    (CKM_SHA3_256_HMAC, Hash::Sha3_256),
    (CKM_SHA3_384_HMAC, Hash::Sha3_384),
    (CKM_SHA3_512_HMAC, Hash::Sha3_512),
];

/// A piece of what the function of SP 800-108 is run over (`CK_PRF_DATA_PARAM`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KbkdfPart {
    /// The iteration variable: a counter with its format in counter mode, the chained value in the others.
    Iteration(Option<Number>),
    /// A counter, in the other modes.
    Counter(Number),
    /// The length of what is derived, in bits.
    Length {
        /// Of whole outputs rather than of the keys.
        of_segments: bool,
        /// How it is written.
        format: Number,
    },
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// The value of a key.
    Key(KeyRef),
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Low byte first.
    pub little_endian: bool,
    /// Its width, one to eight.
    pub bytes: usize,
}

/// Whether a signature may, must or must not contain randomness (`CK_HEDGE_TYPE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hedge {
    /// It may; it does.
    Preferred,
    /// It must.
    Required,
    /// It must not: the same input gives the same signature.
    Deterministic,
}

/// What an elliptic curve key agreement makes of the shared secret (`CK_EC_KDF_TYPE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcKdf {
    /// The secret itself, cut at its front.
    Null,
    /// ANSI X9.63.
    X963(Hash),
    /// The one-step derivation of SP 800-56C.
    Sp800(Hash),
}

/// PKCS#11 3.1 table 80, the derivations we offer.
const EC_KDFS: &[(CK_EC_KDF_TYPE, EcKdf)] = &[
    (CKD_NULL, EcKdf::Null),
    (CKD_SHA1_KDF, EcKdf::X963(Hash::Sha1)),
    (CKD_SHA224_KDF, EcKdf::X963(Hash::Sha224)),
    (CKD_SHA256_KDF, EcKdf::X963(Hash::Sha256)),
    (CKD_SHA384_KDF, EcKdf::X963(Hash::Sha384)),
    (CKD_SHA512_KDF, EcKdf::X963(Hash::Sha512)),
    (CKD_SHA3_224_KDF, EcKdf::X963(Hash::Sha3_224)),
    (CKD_SHA3_256_KDF, EcKdf::X963(Hash::Sha3_256)),
    (CKD_SHA3_384_KDF, EcKdf::X963(Hash::Sha3_384)),
    (CKD_SHA3_512_KDF, EcKdf::X963(Hash::Sha3_512)),
    (CKD_SHA1_KDF_SP800, EcKdf::Sp800(Hash::Sha1)),
    (CKD_SHA224_KDF_SP800, EcKdf::Sp800(Hash::Sha224)),
    (CKD_SHA256_KDF_SP800, EcKdf::Sp800(Hash::Sha256)),
    (CKD_SHA384_KDF_SP800, EcKdf::Sp800(Hash::Sha384)),
    (CKD_SHA512_KDF_SP800, EcKdf::Sp800(Hash::Sha512)),
    (CKD_SHA3_224_KDF_SP800, EcKdf::Sp800(Hash::Sha3_224)),
    (CKD_SHA3_256_KDF_SP800, EcKdf::Sp800(Hash::Sha3_256)),
    (CKD_SHA3_384_KDF_SP800, EcKdf::Sp800(Hash::Sha3_384)),
    (CKD_SHA3_512_KDF_SP800, EcKdf::Sp800(Hash::Sha3_512)),
];

impl EcKdf {
    /// The derivation of a `CKD_…` number.
    pub fn from_kdf(kdf: CK_EC_KDF_TYPE) -> Option<Self> {
        EC_KDFS.iter().find(|row| row.0 == kdf).map(|row| row.1)
    }
}

/// How OAEP pads: `CK_RSA_PKCS_OAEP_PARAMS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oaep {
    /// Hash of the label.
    pub hash: Hash,
    /// Hash of MGF1.
    pub mgf: Hash,
    /// The label, often empty.
    pub label: Vec<u8>,
}

/// The parameter structure a mechanism expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// No parameter: pointer NULL and length zero.
    None,
    /// So many bytes of IV.
    Iv(usize),
    /// So many bytes of IV, or no parameter at all (AES key wrap's default IV).
    OptionalIv(usize),
    /// `CK_AES_CTR_PARAMS`.
    Ctr,
    /// `CK_GCM_PARAMS`.
    Gcm,
    /// `CK_CCM_PARAMS`.
    Ccm,
    /// `CK_CHACHA20_PARAMS`.
    ChaCha20,
    /// `CK_SALSA20_CHACHA20_POLY1305_PARAMS`.
    ChaCha20Poly1305,
    /// `CK_RSA_PKCS_OAEP_PARAMS`.
    Oaep,
    /// `CK_RSA_PKCS_PSS_PARAMS`.
    Pss,
    /// `CK_RSA_AES_KEY_WRAP_PARAMS`.
    RsaAes,
    /// `CK_EDDSA_PARAMS` or no parameter.
    OptionalEddsa,
    /// `CK_MAC_GENERAL_PARAMS`.
    MacLength,
    /// `CK_ECDH1_DERIVE_PARAMS`.
    Ecdh,
    /// `CK_HKDF_PARAMS`.
    Hkdf,
    /// `CK_KEY_DERIVATION_STRING_DATA`.
    Data,
    /// Bytes of any length, without a structure: the other party's value in `CKM_DH_PKCS_DERIVE`.
    Bytes,
    /// `CK_AES_CBC_ENCRYPT_DATA_PARAMS`, or its DES form: so many bytes of IV before the data.
    IvData(usize),
    /// `CK_EXTRACT_PARAMS`.
    Extract,
    /// `CK_OBJECT_HANDLE`.
    OtherKey,
    /// `CK_SP800_108_KDF_PARAMS`.
    Kbkdf,
    /// `CK_SP800_108_FEEDBACK_KDF_PARAMS`.
    KbkdfFeedback,
    /// `CK_PKCS5_PBKD2_PARAMS2`, or the older layout.
    Pbkdf2,
    /// `CK_SIGN_ADDITIONAL_CONTEXT` or no parameter.
    OptionalSignContext,
    /// `CK_HASH_SIGN_ADDITIONAL_CONTEXT`.
    HashSignContext,
    /// `CK_GCM_PARAMS`, or a bare IV as before 3.0.
    Gmac,
}
