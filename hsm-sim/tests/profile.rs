//! Profiles: what each model lacks, holds and does in its own way.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use std::{fs, time::Instant};

use cryptoki::{
    error::RvError,
    mechanism::{
        Mechanism, MechanismType,
        aead::GcmParams,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, KeyType, ObjectClass},
    session::{Session, UserType},
};
use hsm_sim::{
    admin,
    config::{Config, Model},
};
use support::{Hsm, SO_PIN, aes, pin, refusal};

/// A token of a profile that takes no time.
fn model(name: &str) -> Hsm {
    Hsm::with_config(&format!("profile = \"{name}\"\nsimulate_latency = false"))
}

/// One whose user PIN has a form of its own.
fn with_pin(name: &str, user_pin: &str) -> (Hsm, Session) {
    let folder = tempfile::tempdir().unwrap();
    let options = folder.path().join("hsm-sim.toml");
    let text = format!("kdf_cost = \"test\"\ndurability = \"off\"\nprofile = \"{name}\"\nsimulate_latency = false");
    fs::write(&options, text).unwrap();
    let (store, config) = (folder.path().join("store"), Config::load(&options).unwrap());
    admin::init_token_with(&store, &config, "test", SO_PIN.as_bytes(), user_pin.as_bytes()).unwrap();
    let pkcs11 = support::load(folder.path());
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = pkcs11.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&pin(user_pin))).unwrap();
    (Hsm { folder, pkcs11, slot }, session)
}

fn offers(hsm: &Hsm, mechanism: MechanismType) -> bool {
    let listed = hsm.pkcs11.get_mechanism_list(hsm.slot).unwrap().contains(&mechanism);
    assert_eq!(listed, hsm.pkcs11.get_mechanism_info(hsm.slot, mechanism).is_ok());
    listed
}

fn secret(bytes: usize) -> [Attribute; 3] {
    [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Value(vec![7; bytes]),
    ]
}

fn gcm(session: &Session, bytes: usize) -> (Vec<u8>, [u8; 12], Result<Vec<u8>, cryptoki::error::Error>) {
    let key = aes(session, &[Attribute::Encrypt(true), Attribute::Decrypt(true)]);
    let mut iv = [9; 12];
    let sealed = {
        let params = GcmParams::new(&mut iv, b"aad", 128.into()).unwrap();
        session.encrypt(&Mechanism::AesGcm(params), key, &vec![5; bytes])
    };
    let Ok(sealed) = sealed else { return (Vec::new(), iv, sealed) };
    let mut used = iv;
    let params = GcmParams::new(&mut used, b"aad", 128.into()).unwrap();
    let opened = session.decrypt(&Mechanism::AesGcm(params), key, &sealed);
    (sealed, iv, opened)
}

#[test]
fn every_profile_shows_its_name_and_makes_a_key() {
    for name in Model::names() {
        let user_pin = match name {
            "cloudhsm" | "cloudhsm2" => "crypto:secret",
            "yubihsm2" => "0001secret",
            _ => support::USER_PIN,
        };
        let (hsm, session) = with_pin(name, user_pin);
        let info = hsm.pkcs11.get_token_info(hsm.slot).unwrap();
        assert!(info.model().ends_with(name));
        assert!(format!("{} {}", info.manufacturer_id(), info.model()).contains("hsm-sim"), "{name}");
        let key = aes(&session, &[Attribute::Encrypt(true), Attribute::Token(true)]);
        assert_eq!(session.encrypt(&Mechanism::AesEcb, key, &[0; 16]).unwrap().len(), 16);
    }
}

#[test]
fn luna7_fips_takes_no_values_in_the_clear_and_signs_nothing_with_sha_1() {
    let hsm = model("luna7-fips");
    let session = hsm.user();
    assert!(matches!(refusal(session.create_object(&secret(16))), RvError::AttributeValueInvalid));
    let public = [Attribute::ModulusBits(2048.into())];
    let usage = [Attribute::Sign(true), Attribute::Decrypt(true)];
    let (_, key) = session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &usage).unwrap();
    assert!(matches!(refusal(session.sign(&Mechanism::Sha1RsaPkcs, key, b"x")), RvError::MechanismInvalid));
    assert!(matches!(refusal(session.decrypt(&Mechanism::RsaPkcs, key, &[1; 256])), RvError::MechanismInvalid));
    session.sign(&Mechanism::Sha256RsaPkcs, key, b"x").unwrap();
    let both = [Attribute::ValueLen(32.into()), Attribute::Wrap(true), Attribute::Decrypt(true)];
    let made = session.generate_key(&Mechanism::AesKeyGen, &both);
    assert!(matches!(refusal(made), RvError::TemplateInconsistent));
    let des =
        session.generate_key(&Mechanism::Des3KeyGen, &[Attribute::Encrypt(true), Attribute::Decrypt(true)]).unwrap();
    assert!(matches!(refusal(session.encrypt(&Mechanism::Des3Ecb, des, &[0; 8])), RvError::MechanismInvalid));
    session.decrypt(&Mechanism::Des3Ecb, des, &[0; 8]).unwrap();
}

#[test]
fn luna7_fips_appends_the_iv_it_made() {
    let hsm = model("luna7-fips");
    let session = hsm.user();
    let (sealed, iv, opened) = gcm(&session, 40);
    assert_eq!(sealed.len(), 40 + 16 + 16);
    assert_eq!(iv, [9; 12]);
    assert_eq!(opened.unwrap(), [5; 40]);
    // Taken apart, as callers of that model do.
    let key = aes(&session, &[Attribute::Encrypt(true), Attribute::Decrypt(true)]);
    let mut unused = [0; 12];
    let params = GcmParams::new(&mut unused, &[], 128.into()).unwrap();
    let sealed = session.encrypt(&Mechanism::AesGcm(params), key, b"plain").unwrap();
    let (body, iv) = sealed.split_at(sealed.len() - 16);
    let mut iv = iv.to_vec();
    let params = GcmParams::new(&mut iv, &[], 128.into()).unwrap();
    assert_eq!(session.decrypt(&Mechanism::AesGcm(params), key, body).unwrap(), b"plain");
    // In parts.
    let mut unused = [0; 12];
    session.encrypt_init(&Mechanism::AesGcm(GcmParams::new(&mut unused, &[], 128.into()).unwrap()), key).unwrap();
    let mut sealed = session.encrypt_update(b"pl").unwrap();
    sealed.extend(session.encrypt_update(b"ain").unwrap());
    sealed.extend(session.encrypt_final().unwrap());
    assert_eq!(sealed.len(), 5 + 16 + 16);
    let mut unused = [0; 12];
    session.decrypt_init(&Mechanism::AesGcm(GcmParams::new(&mut unused, &[], 128.into()).unwrap()), key).unwrap();
    let mut opened = session.decrypt_update(&sealed[..7]).unwrap();
    opened.extend(session.decrypt_update(&sealed[7..]).unwrap());
    opened.extend(session.decrypt_final().unwrap());
    assert_eq!(opened, b"plain");
    sealed[0] ^= 1;
    let mut unused = [0; 12];
    let params = GcmParams::new(&mut unused, &[], 128.into()).unwrap();
    assert!(matches!(
        refusal(session.decrypt(&Mechanism::AesGcm(params), key, &sealed)),
        RvError::EncryptedDataInvalid
    ));
}

#[test]
fn cloudhsm_writes_the_iv_back_and_wants_user_and_password() {
    let (hsm, session) = with_pin("cloudhsm", "crypto:secret");
    let (sealed, iv, opened) = gcm(&session, 40);
    assert_eq!(sealed.len(), 40 + 16);
    assert_ne!(iv, [9; 12]);
    assert_eq!(opened.unwrap(), [5; 40]);
    assert!(matches!(refusal(gcm(&session, (16 << 10) + 1).2), RvError::DataLenRange));
    assert!(matches!(refusal(hsm.pkcs11.open_ro_session(hsm.slot)), RvError::SessionReadOnly));
    for missing in [MechanismType::EDDSA, MechanismType::AES_CMAC] {
        assert!(!offers(&hsm, missing), "{missing}");
    }
    assert!(offers(&hsm, MechanismType::AES_GCM));
    session.create_object(&secret(32)).unwrap();
    session.logout().unwrap();
    let tries = || hsm.pkcs11.get_token_info(hsm.slot).unwrap().user_pin_count_low();
    assert!(matches!(refusal(session.login(UserType::User, Some(&pin("secret")))), RvError::PinIncorrect));
    assert!(!tries());
    assert!(matches!(refusal(session.login(UserType::User, Some(&pin("crypto:wrong")))), RvError::PinIncorrect));
    assert!(tries());
}

#[test]
fn yubihsm2_is_small() {
    let (hsm, session) = with_pin("yubihsm2", "0001secret");
    for missing in
        [MechanismType::AES_GCM, MechanismType::AES_CTR, MechanismType::AES_KEY_WRAP, MechanismType::DES3_CBC]
    {
        assert!(!offers(&hsm, missing), "{missing}");
    }
    let with_id = |id: &[u8]| {
        session.generate_key(&Mechanism::AesKeyGen, &[Attribute::ValueLen(16.into()), Attribute::Id(id.to_vec())])
    };
    with_id(&[1, 2]).unwrap();
    assert!(matches!(refusal(with_id(&[1, 2, 3])), RvError::AttributeValueInvalid));
    session.create_object(&secret(2048)).unwrap();
    assert!(matches!(refusal(session.create_object(&secret(2049))), RvError::AttributeValueInvalid));
    let sessions: Vec<_> = std::iter::from_fn(|| hsm.pkcs11.open_rw_session(hsm.slot).ok()).take(20).collect();
    assert_eq!(sessions.len(), 15);
    let info = hsm.pkcs11.get_token_info(hsm.slot).unwrap();
    assert!(matches!(info.max_session_count(), cryptoki::slot::Limit::Max(16)));
    let mut token_key = secret(2048).to_vec();
    token_key.push(Attribute::Token(true));
    let made = std::iter::from_fn(|| session.create_object(&token_key).ok()).take(100).count();
    // 126 000 bytes of sealed objects.
    assert!((40..62).contains(&made), "{made}");
    let pair = |params| {
        let curve = Attribute::EcParams(vec![6, 3, 0x2b, 0x65, 0x70]);
        let generate = Mechanism::EccEdwardsKeyPairGen;
        let (_, key) = session.generate_key_pair(&generate, &[curve], &[Attribute::Sign(true)]).unwrap();
        session.sign(&Mechanism::Eddsa(EddsaParams::new(params)), key, b"x")
    };
    pair(EddsaSignatureScheme::Pure).unwrap();
    assert!(matches!(refusal(pair(EddsaSignatureScheme::Ed25519ctx(b"context"))), RvError::MechanismInvalid));
}

#[test]
fn a_smartcard_has_one_session_and_keeps_its_keys() {
    let hsm = model("smartcard");
    let session = hsm.user();
    assert!(matches!(refusal(hsm.pkcs11.open_rw_session(hsm.slot)), RvError::SessionCount));
    for missing in [MechanismType::AES_GCM, MechanismType::AES_KEY_WRAP, MechanismType::GENERIC_SECRET_KEY_GEN] {
        assert!(!offers(&hsm, missing), "{missing}");
    }
    let free = [Attribute::ValueLen(16.into()), Attribute::Extractable(true)];
    assert!(matches!(refusal(session.generate_key(&Mechanism::AesKeyGen, &free)), RvError::AttributeValueInvalid));
    assert!(matches!(refusal(session.create_object(&secret(16))), RvError::AttributeValueInvalid));
    let key = aes(&session, &[Attribute::Encrypt(true)]);
    session.encrypt(&Mechanism::AesCbc([0; 16]), key, &[0; 1024]).unwrap();
    assert!(matches!(refusal(session.encrypt(&Mechanism::AesCbc([0; 16]), key, &[0; 1040])), RvError::DataLenRange));
    let made = std::iter::from_fn(|| {
        session.generate_key(&Mechanism::AesKeyGen, &[Attribute::ValueLen(16.into()), Attribute::Token(true)]).ok()
    });
    assert_eq!(made.take(100).count(), 60);
}

#[test]
fn proteccio_has_no_ids_on_secret_keys_and_loses_its_link_for_good() {
    let hsm = Hsm::with_config(
        "profile = \"proteccio\"\nsimulate_latency = false\n[[faults.rule]]\nmatch = { function = \"C_GenerateRandom\" }\n\
         at = [1]\naction = { remove_token = \"200ms\" }",
    );
    let session = hsm.user();
    let named = [Attribute::ValueLen(16.into()), Attribute::Id(vec![1])];
    assert!(matches!(refusal(session.generate_key(&Mechanism::AesKeyGen, &named)), RvError::AttributeTypeInvalid));
    aes(&session, &[Attribute::Label("by label".into())]);
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::VendorDefined(0x8100_0071)));
    drop(session);
    assert!(hsm.pkcs11.clone().finalize().is_err());
}

#[test]
fn softhsm_lets_keys_do_what_they_can_by_default() {
    let hsm = model("softhsm");
    let session = hsm.user();
    let key = aes(&session, &[]);
    session.encrypt(&Mechanism::AesEcb, key, &[0; 16]).unwrap();
}

#[test]
fn softhsm_has_its_names_and_a_log_out_that_is_always_fine() {
    let hsm = model("softhsm");
    let library = hsm.pkcs11.get_library_info().unwrap();
    assert_eq!((library.manufacturer_id(), library.library_description()), ("SoftHSM", "Implementation of PKCS11"));
    let token = hsm.pkcs11.get_token_info(hsm.slot).unwrap();
    assert_eq!((token.manufacturer_id(), token.model()), ("SoftHSM project", "hsm-sim softhsm"));
    assert_eq!(hsm.pkcs11.get_slot_info(hsm.slot).unwrap().slot_description(), "hsm-sim simulated slot");
    hsm.public().logout().unwrap();
    let plain = Hsm::new();
    assert_eq!(plain.pkcs11.get_library_info().unwrap().manufacturer_id(), "hsm-sim");
    assert!(matches!(refusal(plain.public().logout()), RvError::UserNotLoggedIn));
    Hsm::with_config("usage_defaults = \"permissive\"").public().logout().unwrap();
}

#[test]
fn a_models_time_and_engines_are_felt() {
    let hsm = Hsm::with_config("profile = \"tpm2\"");
    let session = hsm.public();
    let start = Instant::now();
    for _ in 0..10 {
        session.generate_random_vec(1).unwrap();
    }
    // 25 ms in the middle.
    assert!(start.elapsed().as_millis() >= 100, "{:?}", start.elapsed());
}

#[test]
fn limits_of_the_options_hold_without_a_profile() {
    let hsm = Hsm::with_config("[limits]\nthroughput = { \"AES_ECB\" = 50 }\nmax_bytes = 3000\nop_serial = true");
    let session = hsm.user();
    let key = aes(&session, &[Attribute::Encrypt(true)]);
    let start = Instant::now();
    for _ in 0..6 {
        session.encrypt(&Mechanism::AesEcb, key, &[0; 16]).unwrap();
    }
    // Each is two calls, and each call takes its turn of 20 ms.
    assert!(start.elapsed().as_millis() >= 200, "{:?}", start.elapsed());
    let made = std::iter::from_fn(|| {
        session.generate_key(&Mechanism::AesKeyGen, &[Attribute::ValueLen(16.into()), Attribute::Token(true)]).ok()
    });
    assert!((1..20).contains(&made.take(100).count()));
    let slow = Hsm::with_config("[limits]\nslow_start = \"150ms\"");
    let start = Instant::now();
    slow.user();
    assert!(start.elapsed().as_millis() >= 150);
}

#[test]
fn fips_mode_and_strict_roles_work_on_any_profile() {
    let hsm = Hsm::with_config("fips_mode = true\nstrict_roles = true");
    let session = hsm.user();
    assert!(matches!(refusal(session.create_object(&secret(16))), RvError::AttributeValueInvalid));
    let both = [Attribute::ValueLen(32.into()), Attribute::Unwrap(true), Attribute::Encrypt(true)];
    assert!(matches!(refusal(session.generate_key(&Mechanism::AesKeyGen, &both)), RvError::TemplateInconsistent));
    assert_eq!(gcm(&session, 8).0.len(), 8 + 16 + 16);
}
