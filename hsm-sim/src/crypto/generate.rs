//! Random bytes and key generation.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    aes, chacha20, des, ecdsa, eddsa,
    error::{CryptoError, Result},
    ffi::{self, ec::EcKey, rsa::RsaKey},
    key::{
        Curve, DhGroup, DhPrivateKey, EcPrivateKey, GoldilocksPrivateKey, Key, LatticePrivateKey, ParameterSet,
        RawPrivateKey, RsaPrivateKey, rsa,
    },
    mechanism::MechanismInfo,
    ml_dsa, ml_kem,
    params::ParamKind,
    xts,
};

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] = &[
    MechanismInfo::new(CKM_AES_KEY_GEN, "AES_KEY_GEN", aes::KEY_TYPES, aes::SIZES, ParamKind::None).flags(CKF_GENERATE),
    MechanismInfo::new(CKM_DES2_KEY_GEN, "DES2_KEY_GEN", &[CKK_DES2], (16, 16), ParamKind::None).flags(CKF_GENERATE),
    MechanismInfo::new(CKM_DES3_KEY_GEN, "DES3_KEY_GEN", &[CKK_DES3], (24, 24), ParamKind::None).flags(CKF_GENERATE),
    MechanismInfo::new(
        CKM_GENERIC_SECRET_KEY_GEN,
        "GENERIC_SECRET_KEY_GEN",
        &[CKK_GENERIC_SECRET],
        (1, 4096),
        ParamKind::None,
    )
    .flags(CKF_GENERATE),
    MechanismInfo::new(
        CKM_RSA_PKCS_KEY_PAIR_GEN,
        "RSA_PKCS_KEY_PAIR_GEN",
        &[CKK_RSA],
        RSA_GENERATE_BITS,
        ParamKind::None,
    )
    .flags(CKF_GENERATE_KEY_PAIR),
    MechanismInfo::new(CKM_EC_KEY_PAIR_GEN, "EC_KEY_PAIR_GEN", ecdsa::KEY_TYPES, ecdsa::SIZES, ParamKind::None)
        .flags(CKF_GENERATE_KEY_PAIR | ecdsa::CURVE_FLAGS),
    MechanismInfo::new(
        CKM_EC_EDWARDS_KEY_PAIR_GEN,
        "EC_EDWARDS_KEY_PAIR_GEN",
        eddsa::KEY_TYPES,
        eddsa::SIZES,
        ParamKind::None,
    )
    .flags(CKF_GENERATE_KEY_PAIR | eddsa::CURVE_FLAGS),
    MechanismInfo::new(
        CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
        "EC_MONTGOMERY_KEY_PAIR_GEN",
        &[CKK_EC_MONTGOMERY],
        eddsa::SIZES,
        ParamKind::None,
    )
    .flags(CKF_GENERATE_KEY_PAIR | eddsa::CURVE_FLAGS),
    MechanismInfo::new(CKM_HKDF_KEY_GEN, "HKDF_KEY_GEN", &[CKK_HKDF], (1, 4096), ParamKind::None).flags(CKF_GENERATE),
    MechanismInfo::new(CKM_AES_XTS_KEY_GEN, "AES_XTS_KEY_GEN", xts::KEY_TYPES, xts::SIZES, ParamKind::None)
        .flags(CKF_GENERATE),
    MechanismInfo::new(CKM_CHACHA20_KEY_GEN, "CHACHA20_KEY_GEN", chacha20::KEY_TYPES, chacha20::SIZES, ParamKind::None)
        .flags(CKF_GENERATE),
    MechanismInfo::new(
        CKM_ML_KEM_KEY_PAIR_GEN,
        "ML_KEM_KEY_PAIR_GEN",
        ml_kem::KEY_TYPES,
        ml_kem::SIZES,
        ParamKind::None,
    )
    .flags(CKF_GENERATE_KEY_PAIR),
    MechanismInfo::new(
        CKM_ML_DSA_KEY_PAIR_GEN,
        "ML_DSA_KEY_PAIR_GEN",
        ml_dsa::KEY_TYPES,
        ml_dsa::SIZES,
        ParamKind::None,
    )
    .flags(CKF_GENERATE_KEY_PAIR),
    MechanismInfo::new(CKM_PKCS5_PBKD2, "PKCS5_PBKD2", ANY_SECRET, (1, 4096), ParamKind::Pbkdf2).flags(CKF_GENERATE),
];

/// Generic secrets that a hash's HMAC is meant for.
pub(super) const DIGEST_KEYS: &[MechanismInfo] = &[
    digest_key(CKM_SHA_1_KEY_GEN, "SHA_1_KEY_GEN", &[CKK_SHA_1_HMAC]),
    digest_key(CKM_SHA224_KEY_GEN, "SHA224_KEY_GEN", &[CKK_SHA224_HMAC]),
    digest_key(CKM_SHA256_KEY_GEN, "SHA256_KEY_GEN", &[CKK_SHA256_HMAC]),
    digest_key(CKM_SHA384_KEY_GEN, "SHA384_KEY_GEN", &[CKK_SHA384_HMAC]),
    digest_key(CKM_SHA512_KEY_GEN, "SHA512_KEY_GEN", &[CKK_SHA512_HMAC]),
    digest_key(CKM_SHA512_224_KEY_GEN, "SHA512_224_KEY_GEN", &[CKK_SHA512_224_HMAC]),
    digest_key(CKM_SHA512_256_KEY_GEN, "SHA512_256_KEY_GEN", &[CKK_SHA512_256_HMAC]),
    digest_key(CKM_SHA3_224_KEY_GEN, "SHA3_224_KEY_GEN", &[CKK_SHA3_224_HMAC]),
    digest_key(CKM_SHA3_256_KEY_GEN, "SHA3_256_KEY_GEN", &[CKK_SHA3_256_HMAC]),
    digest_key(CKM_SHA3_384_KEY_GEN, "SHA3_384_KEY_GEN", &[CKK_SHA3_384_HMAC]),
    digest_key(CKM_SHA3_512_KEY_GEN, "SHA3_512_KEY_GEN", &[CKK_SHA3_512_HMAC]),
];

const fn digest_key(
    mechanism: CK_MECHANISM_TYPE,
    name: &'static str,
    key_types: &'static [CK_KEY_TYPE],
) -> MechanismInfo {
    MechanismInfo::new(mechanism, name, key_types, (1, 4096), ParamKind::None).flags(CKF_GENERATE)
}

/// Every type of secret key: what a derivation starts from, and what a password can become.
pub(super) const ANY_SECRET: &[CK_KEY_TYPE] = &[
    CKK_GENERIC_SECRET,
    CKK_AES,
    CKK_AES_XTS,
    CKK_CHACHA20,
    CKK_DES2,
    CKK_DES3,
    CKK_HKDF,
    CKK_SHA_1_HMAC,
    CKK_SHA224_HMAC,
    CKK_SHA256_HMAC,
    CKK_SHA384_HMAC,
    CKK_SHA512_HMAC,
    CKK_SHA512_224_HMAC,
    CKK_SHA512_256_HMAC,
    CKK_SHA3_224_HMAC,
    CKK_SHA3_256_HMAC,
    CKK_SHA3_384_HMAC,
    CKK_SHA3_512_HMAC,
];

/// Fills `output` with random bytes.
pub fn random(output: &mut [u8]) -> Result<()> {
    ffi::random::fill(output)
}

/// Makes a secret of so many random bytes.
pub fn generate_secret(bytes: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut value = Zeroizing::new(vec![0; bytes]);
    random(&mut value)?;
    Ok(value)
}

/// Makes a DES2 (16 bytes) or DES3 (24 bytes) key with odd parity and single keys that differ.
pub fn generate_des(bytes: usize) -> Result<Zeroizing<Vec<u8>>> {
    if bytes != 16 && bytes != 24 {
        return Err(CryptoError::KeySizeRange);
    }
    loop {
        let mut value = generate_secret(bytes)?;
        des::set_odd_parity(&mut value);
        let mut keys = value.chunks_exact(8);
        let (first, second, third) = (keys.next(), keys.next(), keys.next());
        if first != second && second != third && first != third {
            return Ok(value);
        }
    }
}

/// What a key pair to be made is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairParams {
    /// `CKA_MODULUS_BITS` and `CKA_PUBLIC_EXPONENT`.
    Rsa {
        /// Bits of the modulus.
        modulus_bits: u32,
        /// The exponent, big-endian; 65537 when empty.
        public_exponent: Vec<u8>,
    },
    /// `CKA_EC_PARAMS`.
    Curve(Curve),
    /// `CKA_PARAMETER_SET`.
    Set(ParameterSet),
    /// `CKA_PRIME` and `CKA_BASE`.
    Dh {
        /// The group.
        group: DhGroup,
        /// Bits of the private value (`CKA_VALUE_BITS`); as many as the group has when none.
        value_bits: Option<u32>,
    },
}

/// Makes a private key, which contains its public half ([`Key::public`]).
pub fn generate_key_pair(mechanism: CK_MECHANISM_TYPE, params: &PairParams) -> Result<Key> {
    match (mechanism, params) {
        (CKM_RSA_PKCS_KEY_PAIR_GEN, PairParams::Rsa { modulus_bits, public_exponent }) => {
            generate_rsa(*modulus_bits, public_exponent)
        }
        (CKM_EC_KEY_PAIR_GEN, PairParams::Curve(curve)) if curve.is_prime() => generate_ec(*curve).map(Key::EcPrivate),
        (CKM_EC_EDWARDS_KEY_PAIR_GEN, PairParams::Curve(curve @ Curve::Ed25519)) => {
            RawPrivateKey::new(*curve, &generate_secret(32)?).map(Key::Ed25519Private)
        }
        (CKM_EC_EDWARDS_KEY_PAIR_GEN, PairParams::Curve(curve @ Curve::Ed448)) => {
            GoldilocksPrivateKey::new(*curve, &generate_secret(57)?).map(Key::Ed448Private)
        }
        (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, PairParams::Curve(curve @ Curve::X448)) => {
            GoldilocksPrivateKey::new(*curve, &generate_secret(56)?).map(Key::X448Private)
        }
        (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, PairParams::Curve(curve @ Curve::X25519)) => {
            RawPrivateKey::new(*curve, &generate_secret(32)?).map(Key::X25519Private)
        }
        (CKM_EC_KEY_PAIR_GEN | CKM_EC_EDWARDS_KEY_PAIR_GEN | CKM_EC_MONTGOMERY_KEY_PAIR_GEN, PairParams::Curve(_)) => {
            Err(CryptoError::CurveNotSupported)
        }
        (CKM_ML_KEM_KEY_PAIR_GEN, PairParams::Set(set)) if set.is_kem() => {
            LatticePrivateKey::generate(*set).map(Key::LatticePrivate)
        }
        (CKM_ML_DSA_KEY_PAIR_GEN, PairParams::Set(set)) if !set.is_kem() => {
            LatticePrivateKey::generate(*set).map(Key::LatticePrivate)
        }
        (CKM_DH_PKCS_KEY_PAIR_GEN, PairParams::Dh { group, value_bits }) => {
            DhPrivateKey::generate(group, *value_bits).map(Key::DhPrivate)
        }
        _ => Err(CryptoError::MechanismInvalid),
    }
}

fn generate_ec(curve: Curve) -> Result<EcPrivateKey> {
    #[cfg(feature = "deterministic")]
    if super::deterministic::is_on() {
        return super::deterministic::ec(curve);
    }
    EcPrivateKey::checked(EcKey::generate(curve)?)
}

fn generate_rsa(modulus_bits: u32, public_exponent: &[u8]) -> Result<Key> {
    if !(rsa::BITS_MIN..=rsa::BITS_MAX).contains(&modulus_bits) || !modulus_bits.is_multiple_of(128) {
        return Err(CryptoError::KeySizeRange);
    }
    let exponent = public_exponent
        .iter()
        .try_fold(0_u64, |value, byte| if value >> 56 == 0 { Some(value << 8 | u64::from(*byte)) } else { None });
    let exponent = match exponent {
        Some(0) if public_exponent.is_empty() => 65_537,
        // FIPS 186-5 §A.1.1 asks for an odd exponent above 2¹⁶; the library bounds it at 33 bits.
        Some(exponent) if exponent % 2 == 1 && (65_537..1 << 33).contains(&exponent) => exponent,
        _ => return Err(CryptoError::AttributeValueInvalid),
    };
    #[cfg(feature = "deterministic")]
    if super::deterministic::is_on() {
        let key = super::deterministic::rsa(modulus_bits, &exponent.to_be_bytes())?;
        return RsaPrivateKey::checked(key).map(Key::RsaPrivate);
    }
    RsaPrivateKey::checked(RsaKey::generate(modulus_bits, &exponent.to_be_bytes())?).map(Key::RsaPrivate)
}

/// Shorter keys are made for callers that say they want what is old; `core` asks.
pub const RSA_GENERATE_BITS_MIN: u32 = 2048;
const RSA_GENERATE_BITS: (CK_ULONG, CK_ULONG) = (RSA_GENERATE_BITS_MIN as CK_ULONG, rsa::BITS_MAX as CK_ULONG);
