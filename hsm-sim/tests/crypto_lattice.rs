//! ML-KEM and ML-DSA against the published Wycheproof vectors, and HashML-DSA against its own definition.

use cryptoki_sys::*;
use hsm_sim::crypto::{
    self, CryptoError, Hash, Hedge, Key, LatticePrivateKey, LatticePublicKey, PairParams, ParameterSet, Params,
};
use wycheproof::{mldsa_sign, mldsa_verify, mlkem};

fn signed(hedge: Hedge, context: &[u8], hash: Option<Hash>) -> Params {
    Params::SignContext { hedge, context: context.to_vec(), hash }
}

fn sign(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key, data: &[u8]) -> crypto::Result<Vec<u8>> {
    let mut operation = crypto::signer(mechanism, params, key)?;
    let (first, second) = data.split_at(data.len() / 2);
    operation.update(first)?;
    operation.update(second)?;
    let mut signature = vec![0; operation.signature_bytes()];
    operation.finish(&mut signature)?;
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

#[test]
fn ml_kem_keys_and_secrets_are_the_published_ones() {
    use mlkem::TestName::*;
    let sets = [
        (ParameterSet::MlKem512, [MlKem512, MlKem512Encaps, MlKem512KeyGenSeed, MlKem512SemiExpandedDecaps]),
        (ParameterSet::MlKem768, [MlKem768, MlKem768Encaps, MlKem768KeyGenSeed, MlKem768SemiExpandedDecaps]),
        (ParameterSet::MlKem1024, [MlKem1024, MlKem1024Encaps, MlKem1024KeyGenSeed, MlKem1024SemiExpandedDecaps]),
    ];
    let (mut keys, mut secrets, mut refused) = (0, 0, 0);
    for (set, names) in sets {
        for name in names {
            for group in mlkem::TestSet::load(name).unwrap().test_groups {
                for test in &group.tests {
                    let label = format!("{name:?} {}", test.tc_id);
                    let key = match (&test.seed, &test.decaps_key) {
                        (Some(seed), _) => LatticePrivateKey::from_seed(set, seed),
                        (None, Some(value)) => LatticePrivateKey::new(set, value, None),
                        // What is left are public keys alone, of which the bad ones must be refused.
                        (None, None) => {
                            let public = LatticePublicKey::new(set, test.encaps_key.as_ref().unwrap());
                            assert_eq!(public.is_err(), test.result.must_fail(), "{label}");
                            refused += usize::from(public.is_err());
                            continue;
                        }
                    };
                    let Ok(key) = key else {
                        assert!(test.result.must_fail(), "{label}");
                        refused += 1;
                        continue;
                    };
                    if let Some(public) = &test.encaps_key {
                        assert_eq!(key.public().bytes(), &public[..], "{label}");
                    }
                    if let Some(value) = &test.decaps_key {
                        assert_eq!(key.value(), &value[..], "{label}");
                    }
                    keys += 1;
                    let Some(ciphertext) = &test.ct else { continue };
                    match key.decapsulate(ciphertext) {
                        Ok(shared) => {
                            if let Some(expected) = &test.shared_secret {
                                assert_eq!(*shared, expected[..], "{label}");
                                secrets += 1;
                            }
                        }
                        Err(error) => {
                            assert_eq!(error, CryptoError::WrappedKeyLenRange, "{label}");
                            assert!(test.result.must_fail(), "{label}");
                            refused += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(keys > 100 && secrets > 50 && refused > 20, "{keys} {secrets} {refused}");
}

#[test]
fn ml_dsa_signatures_are_the_published_ones() {
    use mldsa_sign::TestName::*;
    let sets = [
        (ParameterSet::MlDsa44, [MlDsa44SignNoSeed, MlDsa44SignSeed]),
        (ParameterSet::MlDsa65, [MlDsa65SignNoSeed, MlDsa65SignSeed]),
        (ParameterSet::MlDsa87, [MlDsa87SignNoSeed, MlDsa87SignSeed]),
    ];
    let (mut ran, mut refused) = (0, 0);
    for (set, names) in sets {
        for name in names {
            for group in mldsa_sign::TestSet::load(name).unwrap().test_groups {
                let key = match (&group.privseed, &group.privkey) {
                    (Some(seed), _) => LatticePrivateKey::from_seed(set, seed),
                    (None, Some(value)) => LatticePrivateKey::new(set, value, None),
                    (None, None) => continue,
                };
                let Ok(key) = key.map(Key::LatticePrivate) else {
                    assert!(group.tests.iter().all(|test| test.result.must_fail()), "{name:?}");
                    refused += 1;
                    continue;
                };
                for test in &group.tests {
                    // Randomness of the vector's choice cannot be given to a token, nor a digest of its own.
                    let (Some(message), None) = (&test.msg, test.rnd.as_ref()) else { continue };
                    let context = test.ctx.as_ref().map_or(&[][..], |context| &context[..]);
                    let params = signed(Hedge::Deterministic, context, None);
                    let made = sign(CKM_ML_DSA, &params, &key, message);
                    let label = format!("{name:?} {}", test.tc_id);
                    if test.result.must_fail() {
                        assert!(made.is_err(), "{label}");
                        refused += 1;
                        continue;
                    }
                    let made = made.unwrap();
                    assert!(made == test.sig[..], "{label}");
                    assert_eq!(verify(CKM_ML_DSA, &params, &key, message, &made), Ok(()), "{label}");
                    ran += 1;
                }
            }
        }
    }
    assert!(ran > 100 && refused > 3, "{ran} {refused}");
}

#[test]
fn ml_dsa_verifies_what_is_published_and_nothing_else() {
    use mldsa_verify::TestName::*;
    let sets = [
        (ParameterSet::MlDsa44, MlDsa44Verify),
        (ParameterSet::MlDsa65, MlDsa65Verify),
        (ParameterSet::MlDsa87, MlDsa87Verify),
    ];
    let mut ran = 0;
    for (set, name) in sets {
        for group in mldsa_verify::TestSet::load(name).unwrap().test_groups {
            let Ok(key) = LatticePublicKey::new(set, &group.pubkey).map(Key::LatticePublic) else {
                assert!(group.tests.iter().all(|test| test.result.must_fail()));
                continue;
            };
            for test in &group.tests {
                let context = test.ctx.as_ref().map_or(&[][..], |context| &context[..]);
                let params = signed(Hedge::Preferred, context, None);
                let verified = verify(CKM_ML_DSA, &params, &key, &test.msg, &test.sig);
                assert_eq!(verified.is_err(), test.result.must_fail(), "{name:?} {}", test.tc_id);
                ran += 1;
            }
        }
    }
    assert!(ran > 100, "{ran}");
}

#[test]
fn hashing_here_or_there_is_the_same_and_no_form_is_another() {
    let key = crypto::generate_key_pair(CKM_ML_DSA_KEY_PAIR_GEN, &PairParams::Set(ParameterSet::MlDsa65)).unwrap();
    let message = b"what is signed";
    let hashes = [
        (CKM_HASH_ML_DSA_SHA224, Hash::Sha224),
        (CKM_HASH_ML_DSA_SHA256, Hash::Sha256),
        (CKM_HASH_ML_DSA_SHA384, Hash::Sha384),
        (CKM_HASH_ML_DSA_SHA512, Hash::Sha512),
        (CKM_HASH_ML_DSA_SHA3_224, Hash::Sha3_224),
        (CKM_HASH_ML_DSA_SHA3_256, Hash::Sha3_256),
        (CKM_HASH_ML_DSA_SHA3_384, Hash::Sha3_384),
        (CKM_HASH_ML_DSA_SHA3_512, Hash::Sha3_512),
        (CKM_HASH_ML_DSA_SHAKE128, Hash::Shake128),
        (CKM_HASH_ML_DSA_SHAKE256, Hash::Shake256),
    ];
    let pure = sign(CKM_ML_DSA, &signed(Hedge::Deterministic, b"c", None), &key, message).unwrap();
    for (mechanism, hash) in hashes {
        let params = signed(Hedge::Deterministic, b"c", None);
        let here = sign(mechanism, &params, &key, message).unwrap();
        let digest = crypto::digest(hash, message).unwrap();
        let named = signed(Hedge::Deterministic, b"c", Some(hash));
        assert!(sign(CKM_HASH_ML_DSA, &named, &key, &digest).unwrap() == here, "{hash:?}");
        assert_eq!(sign(CKM_HASH_ML_DSA, &named, &key, message).unwrap_err(), CryptoError::DataLenRange);
        assert_eq!(verify(mechanism, &params, &key, message, &here), Ok(()));
        for (other, _) in hashes {
            assert_eq!(verify(other, &params, &key, message, &here).is_ok(), other == mechanism);
        }
        let other = signed(Hedge::Preferred, b"d", None);
        assert_eq!(verify(mechanism, &other, &key, message, &here), Err(CryptoError::SignatureInvalid));
        assert_eq!(verify(mechanism, &params, &key, message, &pure), Err(CryptoError::SignatureInvalid));
    }
    let hedged = signed(Hedge::Required, b"", None);
    let twice = [(); 2].map(|()| sign(CKM_ML_DSA, &hedged, &key, message).unwrap());
    assert!(twice.first() != twice.last());
    let long = signed(Hedge::Preferred, &[0; 256], None);
    assert_eq!(sign(CKM_ML_DSA, &long, &key, message).unwrap_err(), CryptoError::MechanismParamInvalid);
}
