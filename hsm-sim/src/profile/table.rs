//! The rows: one model each.

use cryptoki_sys::*;

use super::{GcmIv, Keys, Names, PinForm, Profile};

const ALL: CK_FLAGS = CK_FLAGS::MAX;

const ANY_KEYS: Keys = Keys { strict_roles: false, import: None, id: None, secret_id: true, extractable: true };

/// Software that says so.
const OURS: Names =
    Names { library: "hsm-sim", description: "hsm-sim: a simulated HSM", device: "hsm-sim", model: None };

const PLAIN: Profile = Profile {
    name: "default",
    sessions: 0,
    objects: 0,
    bytes: 0,
    missing: &[],
    data: &[],
    keys: ANY_KEYS,
    gcm_iv: GcmIv::Caller,
    pin: PinForm::Any,
    has_read_only_sessions: true,
    is_permissive: false,
    is_generic: false,
    names: OURS,
    mixes_keys: true,
    needs_login_to_log_out: true,
    latency: &[],
    engines: 0,
    lost_link: None,
};

/// Every profile; the first is the one that nobody has to name.
pub(crate) const PROFILES: &[Profile; 11] = &[
    Profile { is_generic: true, mixes_keys: false, ..PLAIN },
    Profile {
        name: "softhsm",
        is_permissive: true,
        is_generic: true,
        missing: &[("AES_MAC*", ALL)],
        names: Names {
            library: "SoftHSM",
            description: "Implementation of PKCS11",
            device: "SoftHSM project",
            model: Some("hsm-sim softhsm"),
        },
        needs_login_to_log_out: false,
        ..PLAIN
    },
    Profile {
        name: "luna7",
        sessions: 256,
        objects: 20_000,
        keys: Keys { strict_roles: true, ..ANY_KEYS },
        latency: &[("RSA*", 3.0), ("*", 2.0)],
        engines: 16,
        ..PLAIN
    },
    Profile {
        name: "luna7-fips",
        sessions: 256,
        objects: 20_000,
        missing: &[
            ("RSA_PKCS", CKF_DECRYPT | CKF_UNWRAP),
            ("DES3_*", CKF_ENCRYPT | CKF_WRAP),
            ("SHA1_RSA_*", CKF_SIGN),
            ("ECDSA_SHA1", CKF_SIGN),
        ],
        keys: Keys { strict_roles: true, import: Some(0), ..ANY_KEYS },
        gcm_iv: GcmIv::Appended,
        latency: &[("*", 2.0)],
        engines: 16,
        ..PLAIN
    },
    Profile {
        name: "yubihsm2",
        sessions: 16,
        objects: 256,
        bytes: 126_000,
        missing: &[("AES_GCM", ALL), ("AES_CTR", ALL), ("AES_KEY_WRAP*", ALL), ("DES*", ALL)],
        keys: Keys { import: Some(2048), id: Some(2), ..ANY_KEYS },
        pin: PinForm::KeyAndPassword,
        latency: &[("RSA*", 250.0), ("SHA*_RSA*", 250.0), ("*", 15.0)],
        engines: 1,
        ..PLAIN
    },
    Profile {
        name: "cloudhsm",
        sessions: 1024,
        objects: 3_300,
        missing: CLOUD_MISSING,
        data: &[("AES_GCM", 16 << 10)],
        gcm_iv: GcmIv::WrittenBack,
        pin: PinForm::UserAndPassword,
        has_read_only_sessions: false,
        latency: &[("*", 4.0)],
        engines: 8,
        ..PLAIN
    },
    Profile {
        name: "cloudhsm2",
        sessions: 1024,
        objects: 16_666,
        missing: CLOUD_MISSING,
        data: &[("AES_GCM", 16 << 10)],
        gcm_iv: GcmIv::WrittenBack,
        pin: PinForm::UserAndPassword,
        has_read_only_sessions: false,
        latency: &[("*", 4.0)],
        engines: 8,
        ..PLAIN
    },
    Profile {
        name: "smartcard",
        sessions: 1,
        objects: 60,
        missing: &[
            ("AES_KEY_WRAP*", ALL),
            ("AES_*", CKF_WRAP | CKF_UNWRAP),
            ("AES_GCM", ALL),
            ("GENERIC_SECRET_KEY_GEN", ALL),
            ("SHA*_HMAC*", ALL),
        ],
        data: &[("AES_CBC*", 1024)],
        keys: Keys { import: Some(0), id: Some(16), extractable: false, ..ANY_KEYS },
        latency: &[("RSA*", 900.0), ("SHA*_RSA*", 900.0), ("*", 60.0)],
        engines: 1,
        ..PLAIN
    },
    Profile {
        name: "tpm2",
        sessions: 16,
        objects: 512,
        missing: &[("AES_GCM", ALL), ("AES_KEY_WRAP*", ALL), ("DES*", ALL), ("EDDSA", ALL), ("EC_EDWARDS*", ALL)],
        keys: Keys { extractable: false, ..ANY_KEYS },
        latency: &[("RSA*", 180.0), ("SHA*_RSA*", 180.0), ("*", 25.0)],
        engines: 1,
        ..PLAIN
    },
    Profile {
        name: "nshield",
        sessions: 2048,
        missing: &[("DES2*", ALL)],
        keys: Keys { strict_roles: false, ..ANY_KEYS },
        latency: &[("RSA*", 4.0), ("*", 2.5)],
        engines: 8,
        ..PLAIN
    },
    Profile {
        name: "proteccio",
        sessions: 64,
        objects: 5_000,
        keys: Keys { secret_id: false, ..ANY_KEYS },
        latency: &[("*", 3.0)],
        engines: 4,
        lost_link: Some(0x8100_0071),
        ..PLAIN
    },
];

const CLOUD_MISSING: &[(&str, CK_FLAGS)] =
    &[("EDDSA", ALL), ("EC_EDWARDS*", ALL), ("SHA3*", ALL), ("*SHA3*", ALL), ("*CMAC*", ALL)];
