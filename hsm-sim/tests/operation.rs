//! Using keys: encryption, digests, signatures, wrapping.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use cryptoki::{
    error::RvError,
    mechanism::{
        Mechanism, MechanismType,
        aead::GcmParams,
        rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams},
        vendor_defined::VendorDefinedMechanism,
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
};
use support::{Hsm, USER_PIN, aes, pin, refusal};

const P256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: [u8; 7] = [6, 5, 0x2b, 0x81, 4, 0, 0x22];
const P521: [u8; 7] = [6, 5, 0x2b, 0x81, 4, 0, 0x23];
const ED25519: [u8; 5] = [6, 3, 0x2b, 0x65, 0x70];

fn cipher_key(session: &Session) -> ObjectHandle {
    aes(session, &[Attribute::Encrypt(true), Attribute::Decrypt(true), Attribute::Token(true)])
}

fn rsa(session: &Session) -> (ObjectHandle, ObjectHandle) {
    let public =
        [Attribute::ModulusBits(2048.into()), Attribute::Encrypt(true), Attribute::Verify(true), Attribute::Wrap(true)];
    let private =
        [Attribute::Decrypt(true), Attribute::Sign(true), Attribute::Unwrap(true), Attribute::Extractable(true)];
    session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).unwrap()
}

fn pair(session: &Session, mechanism: &Mechanism<'_>, curve: &[u8]) -> (ObjectHandle, ObjectHandle) {
    let public = [Attribute::EcParams(curve.to_vec()), Attribute::Verify(true)];
    session.generate_key_pair(mechanism, &public, &[Attribute::Sign(true), Attribute::Extractable(true)]).unwrap()
}

#[test]
fn block_modes_round_trip_whole_and_in_parts() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let key = cipher_key(&session);
    let plain: Vec<u8> = (0..160).collect();
    for mechanism in [Mechanism::AesEcb, Mechanism::AesCbc([3; 16]), Mechanism::AesCbcPad([3; 16])] {
        let whole = session.encrypt(&mechanism, key, &plain).unwrap();
        assert_eq!(session.decrypt(&mechanism, key, &whole).unwrap(), plain);
        session.encrypt_init(&mechanism, key).unwrap();
        let mut parts = Vec::new();
        for part in plain.chunks(7) {
            parts.extend(session.encrypt_update(part).unwrap());
        }
        parts.extend(session.encrypt_final().unwrap());
        assert_eq!(parts, whole);
        session.decrypt_init(&mechanism, key).unwrap();
        let mut opened = Vec::new();
        for part in parts.chunks(23) {
            opened.extend(session.decrypt_update(part).unwrap());
        }
        opened.extend(session.decrypt_final().unwrap());
        assert_eq!(opened, plain);
    }
}

#[test]
fn padding_is_for_any_length_and_its_absence_is_not() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let key = cipher_key(&session);
    for bytes in 0..40 {
        let sealed = session.encrypt(&Mechanism::AesCbcPad([0; 16]), key, &vec![9; bytes]).unwrap();
        assert_eq!(sealed.len(), (bytes / 16 + 1) * 16);
        assert_eq!(session.decrypt(&Mechanism::AesCbcPad([0; 16]), key, &sealed).unwrap(), vec![9; bytes]);
    }
    assert!(matches!(refusal(session.encrypt(&Mechanism::AesCbc([0; 16]), key, &[9; 17])), RvError::DataLenRange));
    assert!(matches!(
        refusal(session.decrypt(&Mechanism::AesCbc([0; 16]), key, &[9; 17])),
        RvError::EncryptedDataLenRange
    ));
}

#[test]
fn gcm_opens_only_what_it_sealed() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let key = cipher_key(&session);
    let gcm = |aad: &[u8], work: &dyn Fn(&Mechanism<'_>) -> Result<Vec<u8>, cryptoki::error::Error>| {
        let mut iv = [5; 12];
        work(&Mechanism::AesGcm(GcmParams::new(&mut iv, aad, 128.into()).unwrap()))
    };
    let sealed = gcm(b"context", &|mechanism| session.encrypt(mechanism, key, b"message")).unwrap();
    assert_eq!(sealed.len(), 7 + 16);
    assert_eq!(gcm(b"context", &|mechanism| session.decrypt(mechanism, key, &sealed)).unwrap(), b"message");
    let mut changed = sealed.clone();
    changed[0] ^= 1;
    for (aad, blob) in [(&b"context"[..], &changed), (b"other", &sealed)] {
        let refused = refusal(gcm(aad, &|mechanism| session.decrypt(mechanism, key, blob)));
        assert!(matches!(refused, RvError::EncryptedDataInvalid), "{refused:?}");
    }
}

#[test]
fn keys_do_what_they_may_and_only_with_mechanisms_for_them() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let plain = aes(&session, &[]);
    assert!(matches!(refusal(session.encrypt_init(&Mechanism::AesEcb, plain)), RvError::KeyFunctionNotPermitted));
    let (public, private) = pair(&session, &Mechanism::EccKeyPairGen, &P256);
    assert!(matches!(refusal(session.encrypt_init(&Mechanism::AesEcb, public)), RvError::KeyTypeInconsistent));
    assert!(matches!(refusal(session.sign_init(&Mechanism::Ecdsa, public)), RvError::KeyFunctionNotPermitted));
    assert!(matches!(refusal(session.sign_init(&Mechanism::RsaPkcs, private)), RvError::KeyTypeInconsistent));
    assert!(matches!(refusal(session.sign_init(&Mechanism::Sha256, private)), RvError::MechanismInvalid));
    let bound = aes(&session, &[Attribute::Encrypt(true), Attribute::AllowedMechanisms(vec![MechanismType::AES_ECB])]);
    session.encrypt(&Mechanism::AesEcb, bound, &[0; 16]).unwrap();
    assert!(matches!(refusal(session.encrypt_init(&Mechanism::AesCbc([0; 16]), bound)), RvError::MechanismInvalid));
    let none = aes(&session, &[Attribute::Encrypt(true), Attribute::AllowedMechanisms(vec![])]);
    assert!(matches!(refusal(session.encrypt_init(&Mechanism::AesEcb, none)), RvError::MechanismInvalid));
}

#[test]
fn digests_agree_whole_and_in_parts() {
    let hsm = Hsm::new();
    let session = hsm.public();
    for (mechanism, bytes) in
        [(Mechanism::Sha1, 20), (Mechanism::Sha256, 32), (Mechanism::Sha384, 48), (Mechanism::Sha512, 64)]
    {
        let whole = session.digest(&mechanism, b"abcdef").unwrap();
        session.digest_init(&mechanism).unwrap();
        session.digest_update(b"abc").unwrap();
        session.digest_update(b"def").unwrap();
        assert_eq!((session.digest_final().unwrap(), whole.len()), (whole, bytes));
    }
    session.digest_init(&Mechanism::Sha256).unwrap();
    assert!(matches!(refusal(session.digest_init(&Mechanism::Sha256)), RvError::OperationActive));
}

#[test]
fn a_readable_key_can_be_digested_and_a_sensitive_one_cannot() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let key = |sensitive: bool| {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::Value(b"abcdef".to_vec()),
            Attribute::Sensitive(sensitive),
            Attribute::Extractable(true),
        ];
        session.create_object(&template).unwrap()
    };
    session.digest_init(&Mechanism::Sha256).unwrap();
    session.digest_key(key(false)).unwrap();
    let digest = session.digest_final().unwrap();
    assert_eq!(digest, session.digest(&Mechanism::Sha256, b"abcdef").unwrap());
    session.digest_init(&Mechanism::Sha256).unwrap();
    assert!(matches!(refusal(session.digest_key(key(true))), RvError::KeyIndigestible));
    assert!(matches!(refusal(session.digest_final()), RvError::OperationNotInitialized));
}

#[test]
fn macs_verify_and_a_changed_one_does_not() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let template = [Attribute::ValueLen(32.into()), Attribute::Sign(true), Attribute::Verify(true)];
    let key = session.generate_key(&Mechanism::GenericSecretKeyGen, &template).unwrap();
    for mechanism in [Mechanism::Sha1Hmac, Mechanism::Sha256Hmac, Mechanism::Sha384Hmac, Mechanism::Sha512Hmac] {
        let mut mac = session.sign(&mechanism, key, b"message").unwrap();
        session.verify(&mechanism, key, b"message", &mac).unwrap();
        session.sign_init(&mechanism, key).unwrap();
        session.sign_update(b"mess").unwrap();
        session.sign_update(b"age").unwrap();
        assert_eq!(session.sign_final().unwrap(), mac);
        mac[0] ^= 1;
        assert!(matches!(refusal(session.verify(&mechanism, key, b"message", &mac)), RvError::SignatureInvalid));
        assert!(matches!(refusal(session.verify(&mechanism, key, b"message", &mac[1..])), RvError::SignatureLenRange));
    }
}

#[test]
fn rsa_signs_decrypts_and_carries_keys() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let (public, private) = rsa(&session);
    let pss = PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: 32.into() };
    for mechanism in [Mechanism::Sha256RsaPkcs, Mechanism::Sha256RsaPkcsPss(pss), Mechanism::RsaPkcs] {
        let signature = session.sign(&mechanism, private, b"message").unwrap();
        assert_eq!(signature.len(), 256);
        session.verify(&mechanism, public, b"message", &signature).unwrap();
        assert!(matches!(
            refusal(session.verify(&mechanism, public, b"massage", &signature)),
            RvError::SignatureInvalid
        ));
    }
    let oaep = || {
        Mechanism::RsaPkcsOaep(PkcsOaepParams::new(
            MechanismType::SHA256,
            PkcsMgfType::MGF1_SHA256,
            PkcsOaepSource::data_specified(b"label"),
        ))
    };
    for mechanism in [oaep(), Mechanism::RsaPkcs] {
        let sealed = session.encrypt(&mechanism, public, b"message").unwrap();
        assert_eq!(session.decrypt(&mechanism, private, &sealed).unwrap(), b"message");
    }
    let secret = aes(&session, &[Attribute::Extractable(true), Attribute::Encrypt(true)]);
    let blob = session.wrap_key(&oaep(), public, secret).unwrap();
    let template =
        [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES), Attribute::Encrypt(true)];
    let back = session.unwrap_key(&oaep(), private, &blob, &template).unwrap();
    let seal = |key| session.encrypt(&Mechanism::AesEcb, key, &[1; 16]).unwrap();
    assert_eq!(seal(secret), seal(back));
}

#[test]
fn curves_sign_and_verify() {
    let hsm = Hsm::new();
    let session = hsm.user();
    for (curve, bytes) in [(&P256[..], 64), (&P384, 96), (&P521, 132)] {
        let (public, private) = pair(&session, &Mechanism::EccKeyPairGen, curve);
        let signature = session.sign(&Mechanism::Ecdsa, private, &[7; 32]).unwrap();
        assert_eq!(signature.len(), bytes);
        session.verify(&Mechanism::Ecdsa, public, &[7; 32], &signature).unwrap();
        assert!(matches!(
            refusal(session.verify(&Mechanism::Ecdsa, public, &[8; 32], &signature)),
            RvError::SignatureInvalid
        ));
        session.verify_signature_init(&Mechanism::Ecdsa, public, &signature).unwrap();
        session.verify_signature(&[7; 32]).unwrap();
    }
    let (public, private) = pair(&session, &Mechanism::EccEdwardsKeyPairGen, &ED25519);
    let eddsa = || {
        Mechanism::Eddsa(cryptoki::mechanism::eddsa::EddsaParams::new(
            cryptoki::mechanism::eddsa::EddsaSignatureScheme::Pure,
        ))
    };
    let signature = session.sign(&eddsa(), private, b"message").unwrap();
    session.verify(&eddsa(), public, b"message", &signature).unwrap();
    assert!(matches!(refusal(session.verify(&eddsa(), public, b"massage", &signature)), RvError::SignatureInvalid));
}

/// RFC 5649 under AES, for which the crate has only the older of its two names, and no variant.
fn kwp() -> Mechanism<'static> {
    Mechanism::VendorDefined(VendorDefinedMechanism::new::<()>(MechanismType::AES_KEY_WRAP_PAD, None))
}

fn wrapping_key(session: &Session, more: &[Attribute]) -> ObjectHandle {
    let mut template = vec![Attribute::Wrap(true), Attribute::Unwrap(true)];
    template.extend_from_slice(more);
    aes(session, &template)
}

#[test]
fn keys_of_every_kind_come_back_from_under_a_key() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let kek = wrapping_key(&session, &[]);
    let generic = session
        .create_object(&[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::Value(b"a passphrase of odd length".to_vec()),
            Attribute::Extractable(true),
        ])
        .unwrap();
    let blob = session.wrap_key(&kwp(), kek, generic).unwrap();
    let back = session
        .unwrap_key(
            &kwp(),
            kek,
            &blob,
            &[
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::GENERIC_SECRET),
                Attribute::Sensitive(false),
                Attribute::Extractable(true),
            ],
        )
        .unwrap();
    let value = session.get_attributes(back, &[AttributeType::Value]).unwrap();
    assert_eq!(value, [Attribute::Value(b"a passphrase of odd length".to_vec())]);
    let pairs = [
        (KeyType::RSA, Mechanism::Sha256RsaPkcs, rsa(&session)),
        (KeyType::EC, Mechanism::Ecdsa, pair(&session, &Mechanism::EccKeyPairGen, &P521)),
    ];
    for (key_type, mechanism, (public, private)) in pairs {
        let blob = session.wrap_key(&kwp(), kek, private).unwrap();
        let template = |key_type| {
            [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(key_type), Attribute::Sign(true)]
        };
        let back = session.unwrap_key(&kwp(), kek, &blob, &template(key_type)).unwrap();
        let signature = session.sign(&mechanism, back, &[7; 32]).unwrap();
        session.verify(&mechanism, public, &[7; 32], &signature).unwrap();
        let wrong = if key_type == KeyType::RSA { KeyType::EC } else { KeyType::RSA };
        assert!(matches!(
            refusal(session.unwrap_key(&kwp(), kek, &blob, &template(wrong))),
            RvError::WrappedKeyInvalid
        ));
        let mut changed = blob.clone();
        changed[9] ^= 1;
        assert!(matches!(
            refusal(session.unwrap_key(&kwp(), kek, &changed, &template(key_type))),
            RvError::WrappedKeyInvalid
        ));
    }
}

#[test]
fn keys_leave_only_as_their_attributes_allow() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let kek = wrapping_key(&session, &[]);
    let wrap = |kek, key| refusal(session.wrap_key(&Mechanism::AesKeyWrap, kek, key));
    assert!(matches!(wrap(kek, aes(&session, &[])), RvError::KeyUnextractable));
    let trusting = aes(&session, &[Attribute::Extractable(true), Attribute::WrapWithTrusted(true)]);
    assert!(matches!(wrap(kek, trusting), RvError::KeyNotWrappable));
    let open = aes(&session, &[Attribute::Extractable(true)]);
    assert!(matches!(wrap(open, open), RvError::KeyFunctionNotPermitted));
    let (public, _) = pair(&session, &Mechanism::EccKeyPairGen, &P256);
    assert!(matches!(wrap(kek, public), RvError::KeyNotWrappable));
    assert!(matches!(wrap(public, open), RvError::WrappingKeyTypeInconsistent));
    let blob = session.wrap_key(&Mechanism::AesKeyWrap, kek, open).unwrap();
    let template = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::DES3)];
    // 32 bytes are no triple-DES key, whoever says so.
    let confused = session.unwrap_key(&Mechanism::AesKeyWrap, kek, &blob, &template);
    assert!(matches!(refusal(confused), RvError::WrappedKeyInvalid));
    let template = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES)];
    let back = session.unwrap_key(&Mechanism::AesKeyWrap, kek, &blob, &template).unwrap();
    let history = session
        .get_attributes(back, &[AttributeType::Local, AttributeType::AlwaysSensitive, AttributeType::NeverExtractable]);
    assert_eq!(
        history.unwrap(),
        [Attribute::Local(false), Attribute::AlwaysSensitive(false), Attribute::NeverExtractable(false)]
    );
}

#[test]
fn a_key_that_wants_a_log_in_for_each_use_gets_it() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let public = [Attribute::EcParams(P256.to_vec()), Attribute::Verify(true)];
    let private = [Attribute::Sign(true), Attribute::AlwaysAuthenticate(true)];
    let (_, key) = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
    assert!(matches!(refusal(session.sign(&Mechanism::Ecdsa, key, &[7; 32])), RvError::UserNotLoggedIn));
    let login = || session.login(UserType::ContextSpecific, Some(&pin(USER_PIN)));
    assert!(matches!(refusal(login()), RvError::OperationNotInitialized));
    session.sign_init(&Mechanism::EcdsaSha256, key).unwrap();
    login().unwrap();
    session.sign_update(b"message").unwrap();
    session.sign_final().unwrap();
    assert!(matches!(refusal(session.sign(&Mechanism::Ecdsa, key, &[7; 32])), RvError::UserNotLoggedIn));
}

#[test]
fn random_bytes_come_in_any_number() {
    let hsm = Hsm::new();
    let session = hsm.public();
    let (a, b) = (session.generate_random_vec(32).unwrap(), session.generate_random_vec(32).unwrap());
    assert_ne!(a, b);
    assert_eq!(session.generate_random_vec(100_000).unwrap().len(), 100_000);
}

#[test]
fn a_key_that_was_just_used_is_refused_as_soon_as_it_is_gone_or_changed() {
    for is_token in [false, true] {
        let hsm = Hsm::new();
        let (one, other) = (hsm.user(), hsm.user());
        let make = || {
            let usage = [Attribute::Encrypt(true), Attribute::Token(is_token), Attribute::Label("used".into())];
            let key = aes(&one, &usage);
            one.encrypt(&Mechanism::AesEcb, key, &[0; 16]).unwrap();
            one.encrypt(&Mechanism::AesEcb, key, &[0; 16]).unwrap();
            key
        };
        let uses = |key| one.encrypt(&Mechanism::AesEcb, key, &[0; 16]);
        // The other session destroys it, or takes its use away.
        let key = make();
        other.destroy_object(key).unwrap();
        assert!(matches!(refusal(uses(key)), RvError::KeyHandleInvalid), "{is_token}");
        let key = make();
        other.update_attributes(key, &[Attribute::Encrypt(false)]).unwrap();
        assert!(matches!(refusal(uses(key)), RvError::KeyFunctionNotPermitted), "{is_token}");
        other.destroy_object(key).unwrap();
        if is_token {
            // Another process does.
            let module = hsm.another();
            let foreign = support::login(&module, hsm.slot);
            let key = make();
            let found = foreign.find_objects(&[Attribute::Label("used".into())]).unwrap();
            foreign.destroy_object(found[0]).unwrap();
            assert!(matches!(refusal(uses(key)), RvError::KeyHandleInvalid));
        }
        // The log-out hides it; a session object is gone for good.
        let key = make();
        other.logout().unwrap();
        assert!(matches!(refusal(uses(key)), RvError::KeyHandleInvalid), "{is_token}");
        one.login(UserType::User, Some(&pin(USER_PIN))).unwrap();
        assert_eq!(uses(key).is_ok(), is_token);
    }
}
