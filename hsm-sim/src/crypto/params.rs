//! Mechanism parameters as safe, owned values.
//!
//! The `abi` layer turns a caller's raw parameter block into [`Params`]; [`ParamKind`] in a mechanism's row tells it which
//! structure to expect. Ranges that do not depend on the structure (IV lengths, tag sizes) are checked where the
//! parameters are used, so that `rlib` callers get the same answers.

use cryptoki_sys::*;

use super::key::SecretKey;

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
            Self::Sha256 | Self::Sha512_256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }
}

/// Parameters of a mechanism, already copied out of the caller's memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Params {
    /// No parameter.
    #[default]
    None,
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
    /// `CKF_HKDF_SALT_KEY`: the value of a key, which `core` has looked up.
    Key(SecretKey),
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
}
