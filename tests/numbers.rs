//! The domain numbers KMIP's enumerations itself, because it does not know the codec; both must mean the same.

use kmip_codec::spec::enums as wire;
use portcullis::domain::algorithm as domain;

macro_rules! same {
    ($($enumeration:ident: $($ours:ident $(= $theirs:ident)?),*;)*) => {
        &[$($((
            concat!(stringify!($enumeration), "::", stringify!($ours)),
            domain::$enumeration::$ours.0,
            same!(@wire $enumeration $ours $($theirs)?).number(),
        ),)*)*]
    };
    (@wire $enumeration:ident $ours:ident $theirs:ident) => { wire::$enumeration::$theirs };
    (@wire $enumeration:ident $ours:ident) => { wire::$enumeration::$ours };
}

#[test]
fn every_name_has_the_same_number_on_the_wire() {
    let pairs: &[(&str, u32, u32)] = same! {
        CryptographicAlgorithm: DES, TRIPLE_DES = DES3, AES, RSA, DSA, ECDSA, HMAC_SHA1, HMAC_SHA224,
            HMAC_SHA256, HMAC_SHA384, HMAC_SHA512, HMAC_MD5, DH, ECDH, ECMQV, BLOWFISH, CAMELLIA, CAST5,
            IDEA, MARS, RC2, RC4, RC5, SKIPJACK, TWOFISH, EC, ONE_TIME_PAD, CHACHA20 = CHA_CHA20,
            POLY1305, CHACHA20_POLY1305 = CHA_CHA20_POLY1305, SHA3_224, SHA3_256, SHA3_384, SHA3_512,
            HMAC_SHA3_224, HMAC_SHA3_256, HMAC_SHA3_384, HMAC_SHA3_512, ED25519;
        HashingAlgorithm: MD2, MD4, MD5, SHA_1, SHA_224, SHA_256, SHA_384, SHA_512, RIPEMD_160, TIGER,
            WHIRLPOOL, SHA_512_224, SHA_512_256, SHA3_224, SHA3_256, SHA3_384, SHA3_512;
        BlockCipherMode: CBC, ECB, PCBC, CFB, OFB, CTR, CMAC, CCM, GCM, CBC_MAC, XTS,
            AES_KEY_WRAP_PADDING, NIST_KEY_WRAP, X9_102_AESKW = X9_102AESKW, X9_102_TDKW = X9_102TDKW,
            X9_102_AKW1 = X9_102AKW1, X9_102_AKW2 = X9_102AKW2, AEAD;
        PaddingMethod: NONE, OAEP, PKCS5, SSL3, ZEROS, ANSI_X9_23 = ANSIX9_23, ISO_10126 = ISO10126,
            PKCS1_V1_5 = PKCS1V1_5, X9_31, PSS;
        DigitalSignatureAlgorithm: MD2_WITH_RSA = MD2_WITH_RSA_ENCRYPTION, MD5_WITH_RSA =
            MD5_WITH_RSA_ENCRYPTION, SHA1_WITH_RSA = SHA_1_WITH_RSA_ENCRYPTION, SHA224_WITH_RSA =
            SHA_224_WITH_RSA_ENCRYPTION, SHA256_WITH_RSA = SHA_256_WITH_RSA_ENCRYPTION, SHA384_WITH_RSA =
            SHA_384_WITH_RSA_ENCRYPTION, SHA512_WITH_RSA = SHA_512_WITH_RSA_ENCRYPTION, RSASSA_PSS,
            DSA_WITH_SHA1 = DSA_WITH_SHA_1, DSA_WITH_SHA224, DSA_WITH_SHA256, ECDSA_WITH_SHA1 =
            ECDSA_WITH_SHA_1, ECDSA_WITH_SHA224, ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ECDSA_WITH_SHA512,
            SHA3_256_WITH_RSA = SHA3_256_WITH_RSA_ENCRYPTION, SHA3_384_WITH_RSA =
            SHA3_384_WITH_RSA_ENCRYPTION, SHA3_512_WITH_RSA = SHA3_512_WITH_RSA_ENCRYPTION;
        KeyFormatType: RAW, OPAQUE, PKCS_1, PKCS_8, X_509, EC_PRIVATE_KEY, TRANSPARENT_SYMMETRIC_KEY,
            TRANSPARENT_DSA_PRIVATE_KEY, TRANSPARENT_DSA_PUBLIC_KEY, TRANSPARENT_RSA_PRIVATE_KEY,
            TRANSPARENT_RSA_PUBLIC_KEY, TRANSPARENT_DH_PRIVATE_KEY, TRANSPARENT_DH_PUBLIC_KEY,
            TRANSPARENT_ECDSA_PRIVATE_KEY, TRANSPARENT_ECDSA_PUBLIC_KEY, TRANSPARENT_ECDH_PRIVATE_KEY,
            TRANSPARENT_ECDH_PUBLIC_KEY, TRANSPARENT_ECMQV_PRIVATE_KEY, TRANSPARENT_ECMQV_PUBLIC_KEY,
            TRANSPARENT_EC_PRIVATE_KEY, TRANSPARENT_EC_PUBLIC_KEY, PKCS_12, PKCS_10;
        RecommendedCurve: P_192, P_224, P_256, P_384, P_521, CURVE25519;
    };
    for (name, ours, theirs) in pairs {
        assert_eq!(ours, theirs, "{name}");
    }
    assert!(pairs.len() > 100);
}
