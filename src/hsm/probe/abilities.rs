//! Mechanisms by name, by what the gateway does with them, and what therefore works.

use cryptoki_sys::*;

use super::{Ability, Code, Listed};

/// Group and mechanisms, in the order they are shown.
macro_rules! groups {
    ($($group:literal: $($name:ident)*;)*) => {
        &[$(($group, &[$(($name, stringify!($name)),)*]),)*]
    };
}

type Group = (&'static str, &'static [(CK_MECHANISM_TYPE, &'static str)]);

static GROUPS: &[Group] = groups! {
    "make keys": CKM_AES_KEY_GEN CKM_AES_XTS_KEY_GEN CKM_DES2_KEY_GEN CKM_DES3_KEY_GEN CKM_CHACHA20_KEY_GEN
        CKM_GENERIC_SECRET_KEY_GEN CKM_RSA_PKCS_KEY_PAIR_GEN CKM_EC_KEY_PAIR_GEN CKM_EC_EDWARDS_KEY_PAIR_GEN;
    "encrypt": CKM_AES_ECB CKM_AES_CBC CKM_AES_CBC_PAD CKM_AES_CTR CKM_AES_CFB128 CKM_AES_OFB CKM_AES_GCM CKM_AES_CCM
        CKM_AES_XTS CKM_DES3_ECB CKM_DES3_CBC CKM_DES3_CBC_PAD CKM_CHACHA20 CKM_CHACHA20_POLY1305 CKM_RSA_PKCS
        CKM_RSA_PKCS_OAEP CKM_RSA_X_509;
    "sign": CKM_RSA_PKCS_PSS CKM_SHA1_RSA_PKCS CKM_SHA224_RSA_PKCS CKM_SHA256_RSA_PKCS CKM_SHA384_RSA_PKCS
        CKM_SHA512_RSA_PKCS CKM_SHA3_256_RSA_PKCS CKM_SHA3_384_RSA_PKCS CKM_SHA3_512_RSA_PKCS CKM_ECDSA CKM_ECDSA_SHA1
        CKM_ECDSA_SHA224 CKM_ECDSA_SHA256 CKM_ECDSA_SHA384 CKM_ECDSA_SHA512 CKM_ECDSA_SHA3_256 CKM_ECDSA_SHA3_384
        CKM_ECDSA_SHA3_512 CKM_EDDSA;
    "authenticate": CKM_AES_CMAC CKM_DES3_CMAC CKM_SHA_1_HMAC CKM_SHA224_HMAC CKM_SHA256_HMAC CKM_SHA384_HMAC
        CKM_SHA512_HMAC CKM_SHA3_256_HMAC CKM_SHA3_384_HMAC CKM_SHA3_512_HMAC;
    "derive": CKM_HKDF_DERIVE CKM_ECDH1_DERIVE CKM_CONCATENATE_DATA_AND_BASE;
    "wrap": CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD CKM_AES_KEY_WRAP_KWP;
    "done in the gateway": CKM_SHA_1 CKM_SHA224 CKM_SHA256 CKM_SHA384 CKM_SHA512 CKM_SHA512_256 CKM_SHA3_256 CKM_SHA3_384
        CKM_SHA3_512 CKM_MD5 CKM_PKCS5_PBKD2;
    "not used": CKM_RSA_AES_KEY_WRAP CKM_RSA_PKCS_TPM_1_1 CKM_SHA1_RSA_PKCS_PSS CKM_SHA224_RSA_PKCS_PSS
        CKM_SHA256_RSA_PKCS_PSS CKM_SHA384_RSA_PKCS_PSS CKM_SHA512_RSA_PKCS_PSS CKM_AES_MAC CKM_AES_GMAC CKM_AES_CTS
        CKM_AES_ECB_ENCRYPT_DATA CKM_AES_CBC_ENCRYPT_DATA CKM_DES3_MAC CKM_ECDH1_COFACTOR_DERIVE CKM_HKDF_DATA
        CKM_HKDF_KEY_GEN CKM_SP800_108_COUNTER_KDF CKM_SP800_108_FEEDBACK_KDF CKM_SP800_108_DOUBLE_PIPELINE_KDF
        CKM_CONCATENATE_BASE_AND_KEY CKM_CONCATENATE_BASE_AND_DATA CKM_XOR_BASE_AND_DATA CKM_EC_MONTGOMERY_KEY_PAIR_GEN
        CKM_ML_KEM_KEY_PAIR_GEN CKM_ML_KEM CKM_ML_DSA_KEY_PAIR_GEN CKM_ML_DSA CKM_DES_KEY_GEN CKM_DES_ECB CKM_DES_CBC
        CKM_DES_CBC_PAD CKM_DSA CKM_DSA_KEY_PAIR_GEN CKM_DH_PKCS_KEY_PAIR_GEN CKM_DH_PKCS_DERIVE CKM_MD5_HMAC
        CKM_MD5_RSA_PKCS CKM_SHA224_KEY_GEN CKM_SHA256_KEY_GEN CKM_SHA512_224;
};

const UNKNOWN: &str = "not used";

fn all() -> impl Iterator<Item = (&'static str, CK_MECHANISM_TYPE, &'static str)> {
    GROUPS.iter().flat_map(|(group, names)| names.iter().map(|(code, name)| (*group, *code, *name)))
}

/// Group and name of a mechanism.
pub(super) fn named(code: CK_MECHANISM_TYPE) -> (&'static str, String) {
    match all().find(|(_, known, _)| *known == code) {
        Some((group, _, name)) => (group, name.to_owned()),
        None => (UNKNOWN, Code(code).to_string()),
    }
}

/// Where it stands among the others.
pub(super) fn place(code: CK_MECHANISM_TYPE) -> usize {
    all().position(|(_, known, _)| known == code).unwrap_or(usize::MAX)
}

/// The mechanism of a name.
pub(super) fn code(name: &str) -> Option<CK_MECHANISM_TYPE> {
    all().find(|(.., known)| *known == name).map(|(_, code, _)| code)
}

/// `CKF_…` of mechanisms, in words.
static FLAGS: &[(CK_FLAGS, &str)] = &[
    (CKF_HW, "hardware"),
    (CKF_ENCRYPT, "encrypt"),
    (CKF_DECRYPT, "decrypt"),
    (CKF_DIGEST, "digest"),
    (CKF_SIGN, "sign"),
    (CKF_VERIFY, "verify"),
    (CKF_GENERATE, "generate"),
    (CKF_GENERATE_KEY_PAIR, "generate pair"),
    (CKF_WRAP, "wrap"),
    (CKF_UNWRAP, "unwrap"),
    (CKF_DERIVE, "derive"),
];

/// What a mechanism does, by the token's word.
pub(super) fn flags(flags: CK_FLAGS) -> Vec<String> {
    FLAGS.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, word)| (*word).to_owned()).collect()
}

/// An ability: the ways to it in order; a way is a mechanism, and what the gateway adds.
type Row = (&'static str, &'static str, &'static [(CK_MECHANISM_TYPE, &'static str)]);

/// The gateway needs no mechanism for it.
const ALWAYS: CK_MECHANISM_TYPE = CK_MECHANISM_TYPE::MAX;

static ABILITIES: &[Row] = &[
    ("create", "AES key", &[(CKM_AES_KEY_GEN, "")]),
    ("create", "AES-XTS key", &[(CKM_AES_XTS_KEY_GEN, ""), (CKM_GENERIC_SECRET_KEY_GEN, "held, not usable")]),
    ("create", "triple DES key", &[(CKM_DES3_KEY_GEN, ""), (CKM_GENERIC_SECRET_KEY_GEN, "held, not usable")]),
    ("create", "ChaCha20 key", &[(CKM_CHACHA20_KEY_GEN, ""), (CKM_GENERIC_SECRET_KEY_GEN, "held, not usable")]),
    ("create", "HMAC key", &[(CKM_GENERIC_SECRET_KEY_GEN, "")]),
    ("create", "RSA pair", &[(CKM_RSA_PKCS_KEY_PAIR_GEN, "")]),
    ("create", "elliptic curve pair", &[(CKM_EC_KEY_PAIR_GEN, "")]),
    ("create", "Ed25519 pair", &[(CKM_EC_EDWARDS_KEY_PAIR_GEN, "")]),
    ("encrypt", "AES ECB", &[(CKM_AES_ECB, "")]),
    ("encrypt", "AES CBC", &[(CKM_AES_CBC, "")]),
    ("encrypt", "AES CBC, PKCS5 padding", &[(CKM_AES_CBC_PAD, ""), (CKM_AES_CBC, "padding by the gateway")]),
    ("encrypt", "AES CTR", &[(CKM_AES_CTR, ""), (CKM_AES_ECB, "counter blocks by the gateway")]),
    ("encrypt", "AES CFB", &[(CKM_AES_CFB128, ""), (CKM_AES_ECB, "feedback by the gateway")]),
    ("encrypt", "AES OFB", &[(CKM_AES_OFB, ""), (CKM_AES_ECB, "feedback by the gateway")]),
    ("encrypt", "AES GCM", &[(CKM_AES_GCM, "")]),
    ("encrypt", "AES CCM", &[(CKM_AES_CCM, ""), (CKM_AES_CBC, "with CKM_AES_ECB, put together by the gateway")]),
    ("encrypt", "AES XTS", &[(CKM_AES_XTS, ""), (CKM_AES_ECB, "not composed: the tweak key would be needed")]),
    ("encrypt", "triple DES CBC", &[(CKM_DES3_CBC, "")]),
    ("encrypt", "ChaCha20-Poly1305", &[(CKM_CHACHA20_POLY1305, "")]),
    ("encrypt", "RSA OAEP", &[(CKM_RSA_PKCS_OAEP, ""), (CKM_RSA_X_509, "padding by the gateway")]),
    ("encrypt", "RSA PKCS#1 v1.5", &[(CKM_RSA_PKCS, "")]),
    ("sign", "RSA PKCS#1 v1.5", &[(CKM_RSA_PKCS, "hash by the gateway")]),
    ("sign", "RSA PSS", &[(CKM_RSA_PKCS_PSS, "hash by the gateway")]),
    ("sign", "ECDSA", &[(CKM_ECDSA, "hash by the gateway"), (CKM_ECDSA_SHA256, "this hash only")]),
    ("sign", "Ed25519", &[(CKM_EDDSA, "")]),
    ("MAC", "HMAC-SHA-1", &[(CKM_SHA_1_HMAC, "")]),
    ("MAC", "HMAC-SHA-256", &[(CKM_SHA256_HMAC, "")]),
    ("MAC", "HMAC-SHA-384", &[(CKM_SHA384_HMAC, "")]),
    ("MAC", "HMAC-SHA-512", &[(CKM_SHA512_HMAC, "")]),
    ("MAC", "HMAC-SHA3-256", &[(CKM_SHA3_256_HMAC, "")]),
    ("MAC", "AES-CMAC", &[(CKM_AES_CMAC, "")]),
    ("derive", "HKDF", &[(CKM_HKDF_DERIVE, "")]),
    ("derive", "ECDH", &[(CKM_ECDH1_DERIVE, "")]),
    ("derive", "HMAC and NIST 800-108", &[(CKM_SHA256_HMAC, "put together by the gateway")]),
    ("wrap", "AES key wrap (RFC 3394)", &[(CKM_AES_KEY_WRAP, "")]),
    (
        "wrap",
        "AES key wrap with padding (RFC 5649)",
        &[(CKM_AES_KEY_WRAP_KWP, ""), (CKM_AES_KEY_WRAP_PAD, "if it is RFC 5649: see the trials")],
    ),
    ("hash", "SHA-1 to SHA-3", &[(ALWAYS, "by the gateway")]),
];

/// What works with these mechanisms.
pub(super) fn table(listed: &[Listed], unusable: &[Code]) -> Vec<Ability> {
    let has = |code: CK_MECHANISM_TYPE| {
        code == ALWAYS || listed.iter().any(|one| one.code == code) && !unusable.contains(&Code(code))
    };
    let by = |ways: &[(CK_MECHANISM_TYPE, &str)]| {
        let (code, with) = ways.iter().find(|(code, with)| has(*code) && !with.starts_with("not "))?;
        Some(match (*code, *with) {
            (ALWAYS, with) => with.to_owned(),
            (code, "") => named(code).1,
            (code, with) => format!("{}, {with}", named(code).1),
        })
    };
    let row = |(group, name, ways): &Row| Ability { group: (*group).into(), name: (*name).into(), by: by(ways) };
    ABILITIES.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn listed(code: CK_MECHANISM_TYPE) -> Listed {
        Listed { group: String::new(), name: String::new(), code, min: 0, max: 0, flags: Vec::new() }
    }

    #[test]
    fn every_mechanism_stands_in_one_group() {
        let codes: BTreeSet<_> = all().map(|(_, code, _)| code).collect();
        assert_eq!(codes.len(), all().count());
        assert_eq!(code("CKM_AES_GCM"), Some(CKM_AES_GCM));
        assert_eq!(named(0x8000_011C), ("not used", "0x8000011C".to_owned()));
    }

    #[test]
    fn what_does_not_work_is_composed_or_not_supported() {
        let by = |listed: &[Listed], unusable: &[Code], name: &str| {
            table(listed, unusable).into_iter().find(|one| one.name == name).unwrap().by
        };
        let both = [listed(CKM_AES_CTR), listed(CKM_AES_ECB)];
        assert_eq!(by(&both, &[], "AES CTR").as_deref(), Some("CKM_AES_CTR"));
        let composed = by(&both, &[Code(CKM_AES_CTR)], "AES CTR");
        assert_eq!(composed.as_deref(), Some("CKM_AES_ECB, counter blocks by the gateway"));
        assert_eq!(by(&both, &[], "AES GCM"), None);
        assert_eq!(by(&both, &[], "AES XTS"), None);
        assert_eq!(by(&[], &[], "SHA-1 to SHA-3").as_deref(), Some("by the gateway"));
    }
}
