//! RSA, ECDSA and Ed25519 as `core` uses them: made, taken apart, put together, and every mechanism of theirs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

use std::sync::LazyLock;

use cryptoki_sys::*;
use hsm_sim::crypto::{self, CryptoError, Curve, Hash, Key, Oaep, PairParams, Params, RsaPrivateKey, RsaPublicKey};

static RSA: LazyLock<Key> = LazyLock::new(|| {
    let params = PairParams::Rsa { modulus_bits: 2048, public_exponent: vec![1, 0, 1] };
    crypto::generate_key_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, &params).unwrap()
});

const HASHES: [(Hash, CK_MECHANISM_TYPE, CK_MECHANISM_TYPE); 9] = [
    (Hash::Sha1, CKM_SHA1_RSA_PKCS, CKM_SHA1_RSA_PKCS_PSS),
    (Hash::Sha224, CKM_SHA224_RSA_PKCS, CKM_SHA224_RSA_PKCS_PSS),
    (Hash::Sha256, CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS),
    (Hash::Sha384, CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS),
    (Hash::Sha512, CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS),
    (Hash::Sha3_224, CKM_SHA3_224_RSA_PKCS, CKM_SHA3_224_RSA_PKCS_PSS),
    (Hash::Sha3_256, CKM_SHA3_256_RSA_PKCS, CKM_SHA3_256_RSA_PKCS_PSS),
    (Hash::Sha3_384, CKM_SHA3_384_RSA_PKCS, CKM_SHA3_384_RSA_PKCS_PSS),
    (Hash::Sha3_512, CKM_SHA3_512_RSA_PKCS, CKM_SHA3_512_RSA_PKCS_PSS),
];

fn sign(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key, data: &[u8]) -> crypto::Result<Vec<u8>> {
    let mut operation = crypto::signer(mechanism, params, key)?;
    let (first, second) = data.split_at(data.len() / 3);
    operation.update(first)?;
    operation.update(second)?;
    let mut signature = vec![0; operation.signature_bytes()];
    let written = operation.finish(&mut signature)?;
    assert_eq!(written, signature.len());
    Ok(signature)
}

fn verify(
    mechanism: CK_MECHANISM_TYPE,
    params: &Params,
    key: &Key,
    data: &[u8],
    signature: &[u8],
) -> crypto::Result<()> {
    let mut operation = crypto::verifier(mechanism, params, key)?;
    operation.update(data)?;
    operation.finish(signature)
}

/// Signs, verifies, and checks that nothing else verifies.
fn sign_and_verify(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key, data: &[u8]) {
    let public = key.public().unwrap();
    let mut signature = sign(mechanism, params, key, data).unwrap();
    assert_eq!(verify(mechanism, params, &public, data, &signature), Ok(()));
    let mut other = data.to_vec();
    other[0] ^= 1;
    assert_eq!(verify(mechanism, params, &public, &other, &signature), Err(CryptoError::SignatureInvalid));
    let short = &signature[..signature.len() - 1];
    assert_eq!(verify(mechanism, params, &public, data, short), Err(CryptoError::SignatureLenRange));
    *signature.last_mut().unwrap() ^= 1;
    assert_eq!(verify(mechanism, params, &public, data, &signature), Err(CryptoError::SignatureInvalid));
    assert_eq!(sign(mechanism, params, &public, data).unwrap_err(), CryptoError::KeyTypeInconsistent);
}

fn crypt(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key, data: &[u8]) -> crypto::Result<Vec<u8>> {
    let mut operation = match key {
        Key::RsaPublic(_) => crypto::encryptor(mechanism, params, key)?,
        _ => crypto::decryptor(mechanism, params, key)?,
    };
    let mut output = vec![0; operation.output_bound(data.len())];
    let written = operation.process(data, &mut output)?;
    output.truncate(written);
    Ok(output)
}

#[test]
fn rsa_signatures_verify_and_changed_ones_do_not() {
    for (hash, pkcs, pss) in HASHES {
        sign_and_verify(pkcs, &Params::None, &RSA, b"a message");
        for salt_bytes in [0, 11, hash.output_bytes(), 256 - 2 - hash.output_bytes()] {
            for mgf in [hash, Hash::Sha256] {
                let params = Params::Pss { hash, mgf, salt_bytes };
                sign_and_verify(pss, &params, &RSA, b"a message");
                let digest = crypto::digest(hash, b"a message").unwrap();
                sign_and_verify(CKM_RSA_PKCS_PSS, &params, &RSA, &digest);
                let signature = sign(CKM_RSA_PKCS_PSS, &params, &RSA, &digest).unwrap();
                assert_eq!(verify(pss, &params, &RSA, b"a message", &signature), Ok(()));
            }
        }
        let too_long = Params::Pss { hash, mgf: hash, salt_bytes: 256 - 1 - hash.output_bytes() };
        let error = sign(pss, &too_long, &RSA, b"a message").unwrap_err();
        assert_eq!(error, CryptoError::MechanismParamInvalid);
    }
    let other_hash = Params::Pss { hash: Hash::Sha1, mgf: Hash::Sha1, salt_bytes: 20 };
    let error = sign(CKM_SHA256_RSA_PKCS_PSS, &other_hash, &RSA, b"x").unwrap_err();
    assert_eq!(error, CryptoError::MechanismParamInvalid);
    assert_eq!(sign(CKM_RSA_PKCS_PSS, &other_hash, &RSA, &[0; 19]).unwrap_err(), CryptoError::DataLenRange);
}

#[test]
fn raw_rsa_signatures_take_data_up_to_their_limit() {
    sign_and_verify(CKM_RSA_PKCS, &Params::None, &RSA, &[7; 245]);
    assert_eq!(sign(CKM_RSA_PKCS, &Params::None, &RSA, &[7; 246]).unwrap_err(), CryptoError::DataLenRange);
    sign_and_verify(CKM_RSA_X_509, &Params::None, &RSA, &[1, 2, 3]);
    sign_and_verify(CKM_RSA_X_509, &Params::None, &RSA, &[1; 256]);
    assert_eq!(sign(CKM_RSA_X_509, &Params::None, &RSA, &[0xff; 256]).unwrap_err(), CryptoError::DataInvalid);
    assert_eq!(sign(CKM_RSA_X_509, &Params::None, &RSA, &[1; 257]).unwrap_err(), CryptoError::DataLenRange);
    // The DigestInfo of SHA-256 (RFC 8017 §9.2) in front of a digest is what SHA256_RSA_PKCS signs.
    let mut info = vec![0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
    info.extend(crypto::digest(Hash::Sha256, b"a message").unwrap());
    assert_eq!(
        sign(CKM_RSA_PKCS, &Params::None, &RSA, &info),
        sign(CKM_SHA256_RSA_PKCS, &Params::None, &RSA, b"a message")
    );
}

#[test]
fn rsa_encryption_comes_back() {
    let public = RSA.public().unwrap();
    let none = Params::None;
    for length in [0, 1, 16, 245] {
        let cipher = crypt(CKM_RSA_PKCS, &none, &public, &vec![9; length]).unwrap();
        assert_eq!(crypt(CKM_RSA_PKCS, &none, &RSA, &cipher).unwrap(), vec![9; length]);
    }
    assert_eq!(crypt(CKM_RSA_PKCS, &none, &public, &[9; 246]).unwrap_err(), CryptoError::DataLenRange);
    assert_eq!(crypt(CKM_RSA_PKCS, &none, &RSA, &[9; 255]).unwrap_err(), CryptoError::EncryptedDataLenRange);
    let cipher = crypt(CKM_RSA_X_509, &none, &public, b"raw").unwrap();
    let plain = crypt(CKM_RSA_X_509, &none, &RSA, &cipher).unwrap();
    assert_eq!((plain.len(), &plain[253..]), (256, &b"raw"[..]));
    assert_eq!(crypt(CKM_RSA_X_509, &none, &RSA, &[0xff; 256]).unwrap_err(), CryptoError::EncryptedDataInvalid);
    for hash in [Hash::Sha1, Hash::Sha224, Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        for mgf in [Hash::Sha1, Hash::Sha224, Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            for label in [Vec::new(), b"label".to_vec()] {
                let params = Params::Oaep(Oaep { hash, mgf, label });
                let limit = 256 - 2 - 2 * hash.output_bytes();
                for length in [0, 1, limit] {
                    let mut cipher = crypt(CKM_RSA_PKCS_OAEP, &params, &public, &vec![3; length]).unwrap();
                    assert_eq!(crypt(CKM_RSA_PKCS_OAEP, &params, &RSA, &cipher).unwrap(), vec![3; length]);
                    cipher[255] ^= 1;
                    let error = crypt(CKM_RSA_PKCS_OAEP, &params, &RSA, &cipher).unwrap_err();
                    assert_eq!(error, CryptoError::EncryptedDataInvalid);
                }
                let error = crypt(CKM_RSA_PKCS_OAEP, &params, &public, &vec![3; limit + 1]).unwrap_err();
                assert_eq!(error, CryptoError::DataLenRange);
            }
        }
    }
}

#[test]
fn an_oaep_label_binds() {
    let params = |label: &[u8]| Params::Oaep(Oaep { hash: Hash::Sha256, mgf: Hash::Sha1, label: label.to_vec() });
    let cipher = crypt(CKM_RSA_PKCS_OAEP, &params(b"one"), &RSA.public().unwrap(), b"x").unwrap();
    let error = crypt(CKM_RSA_PKCS_OAEP, &params(b"two"), &RSA, &cipher).unwrap_err();
    assert_eq!(error, CryptoError::EncryptedDataInvalid);
}

#[test]
fn bad_v15_padding_decrypts_to_something_that_stays_the_same() {
    let public = RSA.public().unwrap();
    let mut lengths = std::collections::BTreeSet::new();
    for number in 0..32 {
        let mut block = [number; 255];
        block[0] = 1;
        let cipher = crypt(CKM_RSA_X_509, &Params::None, &public, &block).unwrap();
        let first = crypt(CKM_RSA_PKCS, &Params::None, &RSA, &cipher).unwrap();
        assert!(first.len() <= 245);
        assert_eq!(crypt(CKM_RSA_PKCS, &Params::None, &RSA, &cipher).unwrap(), first);
        lengths.insert(first.len());
    }
    assert!(lengths.len() > 16, "lengths vary: {lengths:?}");
}

#[test]
fn rsa_wrapping_carries_keys() {
    let public = RSA.public().unwrap();
    let oaep = Oaep { hash: Hash::Sha256, mgf: Hash::Sha256, label: Vec::new() };
    for (mechanism, params) in [
        (CKM_RSA_PKCS, Params::None),
        (CKM_RSA_PKCS_OAEP, Params::Oaep(oaep.clone())),
        (CKM_RSA_AES_KEY_WRAP, Params::RsaAes { aes_bits: 256, oaep: oaep.clone() }),
    ] {
        let wrapped = crypto::wrap(mechanism, &params, &public, &[5; 24]).unwrap();
        assert_eq!(*crypto::unwrap(mechanism, &params, &RSA, &wrapped).unwrap(), [5; 24]);
    }
    let params = Params::RsaAes { aes_bits: 128, oaep: oaep.clone() };
    let pkcs8 = RSA.to_pkcs8().unwrap();
    let mut wrapped = crypto::wrap(CKM_RSA_AES_KEY_WRAP, &params, &public, &pkcs8).unwrap();
    assert_eq!(crypto::unwrap(CKM_RSA_AES_KEY_WRAP, &params, &RSA, &wrapped).unwrap(), pkcs8);
    let other = Params::RsaAes { aes_bits: 256, oaep };
    let error = crypto::unwrap(CKM_RSA_AES_KEY_WRAP, &other, &RSA, &wrapped).unwrap_err();
    assert_eq!(error, CryptoError::WrappedKeyInvalid);
    *wrapped.last_mut().unwrap() ^= 1;
    let error = crypto::unwrap(CKM_RSA_AES_KEY_WRAP, &params, &RSA, &wrapped).unwrap_err();
    assert_eq!(error, CryptoError::WrappedKeyInvalid);
    let error = crypto::wrap(CKM_RSA_PKCS, &Params::None, &public, &[0; 246]).unwrap_err();
    assert_eq!(error.rv(), CKR_KEY_SIZE_RANGE);
}

#[test]
fn rsa_numbers_go_out_and_come_back_and_must_fit() {
    let Key::RsaPrivate(key) = &*RSA else { panic!("an RSA private key") };
    let numbers = key.numbers().unwrap();
    let again = Key::RsaPrivate(RsaPrivateKey::new(&numbers).unwrap());
    assert_eq!(again.to_pkcs8().unwrap(), RSA.to_pkcs8().unwrap());
    let mut without_crt = numbers.clone();
    without_crt.exponent_1.clear();
    let again = Key::RsaPrivate(RsaPrivateKey::new(&without_crt).unwrap());
    assert_eq!(again.to_pkcs8().unwrap(), RSA.to_pkcs8().unwrap());
    let changes: [fn(&mut crypto::RsaNumbers); 6] = [
        |numbers| numbers.modulus[100] ^= 1,
        |numbers| numbers.private_exponent[100] ^= 1,
        |numbers| numbers.prime_1[50] ^= 1,
        |numbers| numbers.coefficient[50] ^= 1,
        |numbers| numbers.exponent_2[50] ^= 1,
        |numbers| numbers.public_exponent = vec![3],
    ];
    for change in changes {
        let mut wrong = numbers.clone();
        change(&mut wrong);
        assert_eq!(RsaPrivateKey::new(&wrong).unwrap_err(), CryptoError::AttributeValueInvalid);
    }
    assert_eq!(RsaPublicKey::new(&[0xff; 63], &[1, 0, 1]).unwrap_err(), CryptoError::KeySizeRange);
    assert_eq!(RsaPublicKey::new(&[0xff; 1025], &[1, 0, 1]).unwrap_err(), CryptoError::KeySizeRange);
    assert_eq!(RsaPublicKey::new(&[0xff; 5000], &[1, 0, 1]).unwrap_err(), CryptoError::AttributeValueInvalid);
    assert_eq!(RsaPublicKey::new(&[], &[]).unwrap_err(), CryptoError::AttributeValueInvalid);
    assert_eq!(RsaPublicKey::new(&[0xff; 256], &[2]).unwrap_err(), CryptoError::AttributeValueInvalid);
}

#[test]
fn rsa_generation_refuses_weak_parameters() {
    let generate = |modulus_bits, public_exponent: &[u8]| {
        let params = PairParams::Rsa { modulus_bits, public_exponent: public_exponent.to_vec() };
        crypto::generate_key_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, &params).unwrap_err()
    };
    assert_eq!(generate(1016, &[]), CryptoError::KeySizeRange);
    assert_eq!(generate(2049, &[]), CryptoError::KeySizeRange);
    assert_eq!(generate(16384, &[]), CryptoError::KeySizeRange);
    assert_eq!(generate(2048, &[3]), CryptoError::AttributeValueInvalid);
    assert_eq!(generate(2048, &[1, 0, 0]), CryptoError::AttributeValueInvalid);
    assert_eq!(generate(2048, &[1; 9]), CryptoError::AttributeValueInvalid);
}

#[test]
fn ec_keys_sign_and_survive_every_form() {
    for curve in Curve::PRIME.iter().copied() {
        let key = crypto::generate_key_pair(CKM_EC_KEY_PAIR_GEN, &PairParams::Curve(curve)).unwrap();
        for mechanism in [CKM_ECDSA_SHA1, CKM_ECDSA_SHA256, CKM_ECDSA_SHA512, CKM_ECDSA_SHA3_384] {
            sign_and_verify(mechanism, &Params::None, &key, b"a message");
        }
        let digest = crypto::digest(Hash::Sha512, b"a message").unwrap();
        sign_and_verify(CKM_ECDSA, &Params::None, &key, &digest);
        let signature = sign(CKM_ECDSA, &Params::None, &key, &digest).unwrap();
        assert_eq!(verify(CKM_ECDSA_SHA512, &Params::None, &key, b"a message", &signature), Ok(()));
        assert_eq!(
            verify(CKM_ECDSA, &Params::None, &key, &digest, &vec![0; signature.len()]),
            Err(CryptoError::SignatureInvalid)
        );

        let Key::EcPrivate(private) = &key else { panic!("a private key") };
        let scalar = private.scalar().unwrap();
        assert_eq!(scalar.len(), curve.field_bytes());
        let again = Key::from_curve_private(curve, &scalar).unwrap();
        assert_eq!(again.to_spki().unwrap(), key.to_spki().unwrap());
        assert_eq!(Key::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap().to_spki().unwrap(), key.to_spki().unwrap());
        let Key::EcPublic(public) = Key::from_spki(&key.to_spki().unwrap()).unwrap() else { panic!("public") };
        let point = public.point().unwrap();
        assert_eq!(public.curve(), curve);
        for form in [point.clone(), crypto::to_octet_string(&point)] {
            let again = Key::from_curve_public(curve, &form).unwrap();
            assert_eq!(again.to_spki().unwrap(), key.to_spki().unwrap());
        }
        let mut off = point;
        *off.last_mut().unwrap() ^= 1;
        assert_eq!(Key::from_curve_public(curve, &off).unwrap_err(), CryptoError::PublicKeyInvalid);
        let zero = vec![0; curve.field_bytes()];
        assert_eq!(Key::from_curve_private(curve, &zero).unwrap_err(), CryptoError::AttributeValueInvalid);
        let above = vec![0xff; curve.field_bytes()];
        assert_eq!(Key::from_curve_private(curve, &above).unwrap_err(), CryptoError::AttributeValueInvalid);
    }
    let error = crypto::generate_key_pair(CKM_EC_KEY_PAIR_GEN, &PairParams::Curve(Curve::Ed25519)).unwrap_err();
    assert_eq!(error, CryptoError::CurveNotSupported);
}

/// 112233445566778899 times the base point, one of the multiples that NIST gives as examples.
#[test]
fn p192_is_the_curve_of_that_name() {
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let mut scalar = vec![0; 16];
    scalar.extend_from_slice(&112_233_445_566_778_899_u64.to_be_bytes());
    let key = Key::from_curve_private(Curve::P192, &scalar).unwrap();
    let Key::EcPublic(public) = key.public().unwrap() else { panic!("a public key") };
    let point = "0481e6e0f14c9302c8a8dca8a038b73165e9687d0490cd9f85f58067119eed8579388c4281dc645a27db7764750e812477";
    assert_eq!(public.point().unwrap(), hex(point));
    assert_eq!(Curve::from_ec_params(&hex("06082a8648ce3d030101")), Ok(Curve::P192));
    let other = crypto::generate_key_pair(CKM_EC_KEY_PAIR_GEN, &PairParams::Curve(Curve::P192)).unwrap();
    let agree = |own: &Key, peer: &Key| {
        let Key::EcPublic(peer) = peer.public().unwrap() else { panic!("a public key") };
        let params = Params::Ecdh { kdf: crypto::EcKdf::Null, public: peer.point().unwrap(), shared: Vec::new() };
        crypto::derive(CKM_ECDH1_DERIVE, &params, own, Some(16)).unwrap()
    };
    assert_eq!(agree(&key, &other), agree(&other, &key));
}

#[test]
fn the_forms_of_ed25519_do_not_verify_each_other() {
    let params = PairParams::Curve(Curve::Ed25519);
    let key = crypto::generate_key_pair(CKM_EC_EDWARDS_KEY_PAIR_GEN, &params).unwrap();
    let forms = [
        Params::None,
        Params::Eddsa { prehash: false, context: Vec::new() },
        Params::Eddsa { prehash: false, context: b"one".to_vec() },
        Params::Eddsa { prehash: false, context: b"two".to_vec() },
        Params::Eddsa { prehash: true, context: Vec::new() },
        Params::Eddsa { prehash: true, context: b"one".to_vec() },
    ];
    for form in &forms {
        sign_and_verify(CKM_EDDSA, form, &key, b"a message");
        let signature = sign(CKM_EDDSA, form, &key, b"a message").unwrap();
        for other in &forms {
            let verified = verify(CKM_EDDSA, other, &key, b"a message", &signature);
            assert_eq!(verified.is_ok(), form == other);
        }
    }
    for prehash in [false, true] {
        let params = Params::Eddsa { prehash, context: vec![0; 256] };
        assert_eq!(sign(CKM_EDDSA, &params, &key, b"x").unwrap_err(), CryptoError::MechanismParamInvalid);
    }
    assert_eq!(Key::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap().to_spki().unwrap(), key.to_spki().unwrap());
    let Key::Ed25519Public(public) = Key::from_spki(&key.to_spki().unwrap()).unwrap() else { panic!("public") };
    let again = Key::from_curve_public(Curve::Ed25519, &crypto::to_octet_string(public.bytes())).unwrap();
    assert_eq!(again.to_spki().unwrap(), key.to_spki().unwrap());
}

#[test]
fn rubbish_is_no_key() {
    let pkcs8 = RSA.to_pkcs8().unwrap();
    for cut in [0, 1, 20, pkcs8.len() - 1] {
        assert_eq!(Key::from_pkcs8(&pkcs8[..cut]).unwrap_err(), CryptoError::AttributeValueInvalid);
        assert_eq!(Key::from_spki(&pkcs8[..cut]).unwrap_err(), CryptoError::AttributeValueInvalid);
    }
    let mut longer = pkcs8.to_vec();
    longer.push(0);
    assert_eq!(Key::from_pkcs8(&longer).unwrap_err(), CryptoError::AttributeValueInvalid);
}

#[test]
fn keys_never_show_their_value() {
    let Key::RsaPrivate(key) = &*RSA else { panic!("an RSA private key") };
    assert_eq!(format!("{:?}", *RSA), "RsaPrivate(RsaPrivateKey { bits: 2048, .. })");
    assert_eq!(format!("{:?}", key.numbers().unwrap()), "RsaNumbers { modulus_bytes: 256, .. }");
    let secret = Key::from_secret(vec![0x41; 32].into());
    assert_eq!(format!("{secret:?}"), "Secret(SecretKey { bytes: 32, .. })");
}
