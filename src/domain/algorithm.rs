//! Algorithms, lengths, usage mask and cryptographic parameters, numbered as KMIP numbers them.
//!
//! The newtypes are open: a number that this server does not know is kept and shown again, and refused only where it would
//! have to be used.

use serde::{Deserialize, Serialize};

macro_rules! open_enumeration {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u32);
        impl $name {
            $($(#[$vmeta])* #[doc = concat!("`", $text, "`.")] pub const $variant: Self = Self($number);)*
            /// The standard's name, or `None` for a number it does not define.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)* _ => None }
            }
        }
    };
}

open_enumeration! {
    /// KMIP *Cryptographic Algorithm* (KMIP 2.1 §11.10).
    CryptographicAlgorithm {
        DES = 0x01, "DES";
        TRIPLE_DES = 0x02, "3DES";
        AES = 0x03, "AES";
        RSA = 0x04, "RSA";
        DSA = 0x05, "DSA";
        ECDSA = 0x06, "ECDSA";
        HMAC_SHA1 = 0x07, "HMAC-SHA1";
        HMAC_SHA224 = 0x08, "HMAC-SHA224";
        HMAC_SHA256 = 0x09, "HMAC-SHA256";
        HMAC_SHA384 = 0x0A, "HMAC-SHA384";
        HMAC_SHA512 = 0x0B, "HMAC-SHA512";
        HMAC_MD5 = 0x0C, "HMAC-MD5";
        DH = 0x0D, "DH";
        ECDH = 0x0E, "ECDH";
        ECMQV = 0x0F, "ECMQV";
        BLOWFISH = 0x10, "Blowfish";
        CAMELLIA = 0x11, "Camellia";
        CAST5 = 0x12, "CAST5";
        IDEA = 0x13, "IDEA";
        MARS = 0x14, "MARS";
        RC2 = 0x15, "RC2";
        RC4 = 0x16, "RC4";
        RC5 = 0x17, "RC5";
        SKIPJACK = 0x18, "SKIPJACK";
        TWOFISH = 0x19, "Twofish";
        EC = 0x1A, "EC";
        ONE_TIME_PAD = 0x1B, "One Time Pad";
        CHACHA20 = 0x1C, "ChaCha20";
        POLY1305 = 0x1D, "Poly1305";
        CHACHA20_POLY1305 = 0x1E, "ChaCha20Poly1305";
        SHA3_224 = 0x1F, "SHA3-224";
        SHA3_256 = 0x20, "SHA3-256";
        SHA3_384 = 0x21, "SHA3-384";
        SHA3_512 = 0x22, "SHA3-512";
        HMAC_SHA3_224 = 0x23, "HMAC-SHA3-224";
        HMAC_SHA3_256 = 0x24, "HMAC-SHA3-256";
        HMAC_SHA3_384 = 0x25, "HMAC-SHA3-384";
        HMAC_SHA3_512 = 0x26, "HMAC-SHA3-512";
        ED25519 = 0x37, "Ed25519";
    }
}

impl CryptographicAlgorithm {
    /// The word that Barbican's clients use for it.
    #[must_use]
    pub fn word(self) -> Option<String> {
        Some(self.name()?.to_ascii_lowercase().replace('-', ""))
    }
}

open_enumeration! {
    /// KMIP *Hashing Algorithm* (KMIP 2.1 §11.24).
    HashingAlgorithm {
        MD2 = 0x01, "MD2";
        MD4 = 0x02, "MD4";
        MD5 = 0x03, "MD5";
        SHA_1 = 0x04, "SHA-1";
        SHA_224 = 0x05, "SHA-224";
        SHA_256 = 0x06, "SHA-256";
        SHA_384 = 0x07, "SHA-384";
        SHA_512 = 0x08, "SHA-512";
        RIPEMD_160 = 0x09, "RIPEMD-160";
        TIGER = 0x0A, "Tiger";
        WHIRLPOOL = 0x0B, "Whirlpool";
        SHA_512_224 = 0x0C, "SHA-512/224";
        SHA_512_256 = 0x0D, "SHA-512/256";
        SHA3_224 = 0x0E, "SHA-3-224";
        SHA3_256 = 0x0F, "SHA-3-256";
        SHA3_384 = 0x10, "SHA-3-384";
        SHA3_512 = 0x11, "SHA-3-512";
    }
}

open_enumeration! {
    /// KMIP *Block Cipher Mode* (KMIP 2.1 §11.5).
    BlockCipherMode {
        CBC = 0x01, "CBC";
        ECB = 0x02, "ECB";
        PCBC = 0x03, "PCBC";
        CFB = 0x04, "CFB";
        OFB = 0x05, "OFB";
        CTR = 0x06, "CTR";
        CMAC = 0x07, "CMAC";
        CCM = 0x08, "CCM";
        GCM = 0x09, "GCM";
        CBC_MAC = 0x0A, "CBC-MAC";
        XTS = 0x0B, "XTS";
        AES_KEY_WRAP_PADDING = 0x0C, "AESKeyWrapPadding";
        NIST_KEY_WRAP = 0x0D, "NISTKeyWrap";
        X9_102_AESKW = 0x0E, "X9.102 AESKW";
        X9_102_TDKW = 0x0F, "X9.102 TDKW";
        X9_102_AKW1 = 0x10, "X9.102 AKW1";
        X9_102_AKW2 = 0x11, "X9.102 AKW2";
        AEAD = 0x12, "AEAD";
    }
}

open_enumeration! {
    /// KMIP *Padding Method* (KMIP 2.1 §11.34).
    PaddingMethod {
        NONE = 0x01, "None";
        OAEP = 0x02, "OAEP";
        PKCS5 = 0x03, "PKCS5";
        SSL3 = 0x04, "SSL3";
        ZEROS = 0x05, "Zeros";
        ANSI_X9_23 = 0x06, "ANSI X9.23";
        ISO_10126 = 0x07, "ISO 10126";
        PKCS1_V1_5 = 0x08, "PKCS1 v1.5";
        X9_31 = 0x09, "X9.31";
        PSS = 0x0A, "PSS";
    }
}

open_enumeration! {
    /// KMIP *Digital Signature Algorithm* (KMIP 2.1 §11.17).
    DigitalSignatureAlgorithm {
        MD2_WITH_RSA = 0x01, "MD2 with RSA Encryption";
        MD5_WITH_RSA = 0x02, "MD5 with RSA Encryption";
        SHA1_WITH_RSA = 0x03, "SHA-1 with RSA Encryption";
        SHA224_WITH_RSA = 0x04, "SHA-224 with RSA Encryption";
        SHA256_WITH_RSA = 0x05, "SHA-256 with RSA Encryption";
        SHA384_WITH_RSA = 0x06, "SHA-384 with RSA Encryption";
        SHA512_WITH_RSA = 0x07, "SHA-512 with RSA Encryption";
        RSASSA_PSS = 0x08, "RSASSA-PSS";
        DSA_WITH_SHA1 = 0x09, "DSA with SHA-1";
        DSA_WITH_SHA224 = 0x0A, "DSA with SHA224";
        DSA_WITH_SHA256 = 0x0B, "DSA with SHA256";
        ECDSA_WITH_SHA1 = 0x0C, "ECDSA with SHA-1";
        ECDSA_WITH_SHA224 = 0x0D, "ECDSA with SHA224";
        ECDSA_WITH_SHA256 = 0x0E, "ECDSA with SHA256";
        ECDSA_WITH_SHA384 = 0x0F, "ECDSA with SHA384";
        ECDSA_WITH_SHA512 = 0x10, "ECDSA with SHA512";
        SHA3_256_WITH_RSA = 0x11, "SHA3-256 with RSA Encryption";
        SHA3_384_WITH_RSA = 0x12, "SHA3-384 with RSA Encryption";
        SHA3_512_WITH_RSA = 0x13, "SHA3-512 with RSA Encryption";
    }
}

open_enumeration! {
    /// KMIP *Key Format Type* (KMIP 2.1 §11.26).
    KeyFormatType {
        RAW = 0x01, "Raw";
        OPAQUE = 0x02, "Opaque";
        PKCS_1 = 0x03, "PKCS#1";
        PKCS_8 = 0x04, "PKCS#8";
        X_509 = 0x05, "X.509";
        EC_PRIVATE_KEY = 0x06, "ECPrivateKey";
        TRANSPARENT_SYMMETRIC_KEY = 0x07, "Transparent Symmetric Key";
        TRANSPARENT_DSA_PRIVATE_KEY = 0x08, "Transparent DSA Private Key";
        TRANSPARENT_DSA_PUBLIC_KEY = 0x09, "Transparent DSA Public Key";
        TRANSPARENT_RSA_PRIVATE_KEY = 0x0A, "Transparent RSA Private Key";
        TRANSPARENT_RSA_PUBLIC_KEY = 0x0B, "Transparent RSA Public Key";
        TRANSPARENT_DH_PRIVATE_KEY = 0x0C, "Transparent DH Private Key";
        TRANSPARENT_DH_PUBLIC_KEY = 0x0D, "Transparent DH Public Key";
        TRANSPARENT_ECDSA_PRIVATE_KEY = 0x0E, "Transparent ECDSA Private Key";
        TRANSPARENT_ECDSA_PUBLIC_KEY = 0x0F, "Transparent ECDSA Public Key";
        TRANSPARENT_ECDH_PRIVATE_KEY = 0x10, "Transparent ECDH Private Key";
        TRANSPARENT_ECDH_PUBLIC_KEY = 0x11, "Transparent ECDH Public Key";
        TRANSPARENT_ECMQV_PRIVATE_KEY = 0x12, "Transparent ECMQV Private Key";
        TRANSPARENT_ECMQV_PUBLIC_KEY = 0x13, "Transparent ECMQV Public Key";
        TRANSPARENT_EC_PRIVATE_KEY = 0x14, "Transparent EC Private Key";
        TRANSPARENT_EC_PUBLIC_KEY = 0x15, "Transparent EC Public Key";
        PKCS_12 = 0x16, "PKCS#12";
        PKCS_10 = 0x17, "PKCS#10";
    }
}

open_enumeration! {
    /// KMIP *Recommended Curve* (KMIP 2.1 §11.44), the ones this server can make.
    RecommendedCurve {
        P_192 = 0x01, "P-192";
        P_224 = 0x04, "P-224";
        P_256 = 0x07, "P-256";
        P_384 = 0x0A, "P-384";
        P_521 = 0x0D, "P-521";
        SECP256K1 = 0x19, "SECP256K1";
        CURVE25519 = 0x45, "CURVE25519";
    }
}

/// A named curve that the HSM layer can make and use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Curve {
    /// NIST P-256, secp256r1.
    P256,
    /// NIST P-384, secp384r1.
    P384,
    /// NIST P-521, secp521r1.
    P521,
    /// SEC 2 secp256k1.
    Secp256k1,
}

impl Curve {
    /// Every curve.
    pub const ALL: [Self; 4] = [Self::P256, Self::P384, Self::P521, Self::Secp256k1];

    /// The size of the field in bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::P256 | Self::Secp256k1 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    /// The width of one coordinate or scalar in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::P256 | Self::Secp256k1 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The NIST curve of that size, if there is one.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            256 => Some(Self::P256),
            384 => Some(Self::P384),
            521 => Some(Self::P521),
            _ => None,
        }
    }

    /// KMIP's name of the curve.
    #[must_use]
    pub const fn recommended(self) -> RecommendedCurve {
        match self {
            Self::P256 => RecommendedCurve::P_256,
            Self::P384 => RecommendedCurve::P_384,
            Self::P521 => RecommendedCurve::P_521,
            Self::Secp256k1 => RecommendedCurve::SECP256K1,
        }
    }

    /// From KMIP's name of the curve.
    #[must_use]
    pub const fn from_recommended(curve: RecommendedCurve) -> Option<Self> {
        match curve {
            RecommendedCurve::P_256 => Some(Self::P256),
            RecommendedCurve::P_384 => Some(Self::P384),
            RecommendedCurve::P_521 => Some(Self::P521),
            RecommendedCurve::SECP256K1 => Some(Self::Secp256k1),
            _ => None,
        }
    }
}

/// KMIP *Cryptographic Usage Mask* (KMIP 2.1 §12.2): what a key may be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UsageMask(pub u32);

impl UsageMask {
    /// Sign.
    pub const SIGN: Self = Self(0x1);
    /// Verify.
    pub const VERIFY: Self = Self(0x2);
    /// Encrypt.
    pub const ENCRYPT: Self = Self(0x4);
    /// Decrypt.
    pub const DECRYPT: Self = Self(0x8);
    /// Wrap Key.
    pub const WRAP: Self = Self(0x10);
    /// Unwrap Key.
    pub const UNWRAP: Self = Self(0x20);
    /// MAC Generate.
    pub const MAC_GENERATE: Self = Self(0x80);
    /// MAC Verify.
    pub const MAC_VERIFY: Self = Self(0x100);
    /// Derive Key.
    pub const DERIVE: Self = Self(0x200);
    /// Key Agreement.
    pub const KEY_AGREEMENT: Self = Self(0x800);
    /// Certificate Sign.
    pub const CERTIFICATE_SIGN: Self = Self(0x1000);
    /// CRL Sign.
    pub const CRL_SIGN: Self = Self(0x2000);

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// KMIP *Cryptographic Parameters* (KMIP 2.1 §4.17): how a key is to be used. Every field may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CryptographicParameters {
    /// Block Cipher Mode.
    pub block_cipher_mode: Option<BlockCipherMode>,
    /// Padding Method.
    pub padding_method: Option<PaddingMethod>,
    /// Hashing Algorithm.
    pub hashing_algorithm: Option<HashingAlgorithm>,
    /// Key Role Type.
    pub key_role_type: Option<u32>,
    /// Digital Signature Algorithm.
    pub digital_signature_algorithm: Option<DigitalSignatureAlgorithm>,
    /// Cryptographic Algorithm.
    pub cryptographic_algorithm: Option<CryptographicAlgorithm>,
    /// Random IV: the server makes the IV and returns it.
    pub random_iv: Option<bool>,
    /// IV Length in bits.
    pub iv_length: Option<i32>,
    /// Tag Length in bytes.
    pub tag_length: Option<i32>,
    /// Fixed Field Length in bits.
    pub fixed_field_length: Option<i32>,
    /// Invocation Field Length in bits.
    pub invocation_field_length: Option<i32>,
    /// Counter Length in bits.
    pub counter_length: Option<i32>,
    /// Initial Counter Value.
    pub initial_counter_value: Option<i32>,
    /// Salt Length in bytes.
    pub salt_length: Option<i32>,
    /// Mask Generator.
    pub mask_generator: Option<u32>,
    /// Mask Generator Hashing Algorithm.
    pub mask_generator_hashing_algorithm: Option<HashingAlgorithm>,
    /// P Source, the OAEP label.
    pub p_source: Option<Vec<u8>>,
    /// Trailer Field.
    pub trailer_field: Option<i32>,
}
