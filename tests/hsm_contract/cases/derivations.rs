//! Values made from keys, the second object of a cipher key, wrapped bytes, and the issuer's key.

use aws_lc_rs::{hmac, signature};
use portcullis::{
    crypto::{
        PublicKey,
        hash::{from_hex, sha256},
    },
    domain::{
        CryptographicParameters, SecretValue, TokenReference, UsageMask,
        algorithm::{BlockCipherMode, Curve, HashingAlgorithm},
        reference::KeyKind,
    },
    engine::ports::{Derivation, HsmAnswer, HsmError, HsmErrorKind, HsmRequest, PairKind, WrapMode},
    hsm::Pool,
};

use super::operations::{BOTH, decrypt, encrypt, mode};
use crate::{
    harness::Context,
    pool::{call, destroy, exposed, found, import, made, place, pool, reveal},
};

fn hex(text: &str) -> Vec<u8> {
    from_hex(text).unwrap()
}

fn secret(bytes: &[u8]) -> SecretValue {
    SecretValue::new(bytes.to_vec())
}

async fn derive(pool: &Pool, key: &TokenReference, how: &Derivation, outside: bool) -> Result<Vec<u8>, HsmError> {
    call(pool, HsmRequest::Derive { key: key.clone(), how: how.clone(), outside }).await.map(exposed)
}

/// The value whether the token makes it or the gateway may; and whether it was the token.
async fn derived(pool: &Pool, key: &TokenReference, how: &Derivation) -> (Vec<u8>, bool) {
    let outside = derive(pool, key, how, true).await.unwrap();
    match derive(pool, key, how, false).await {
        Ok(inside) => {
            assert_eq!(inside, outside, "{how:?}");
            (inside, true)
        }
        Err(error) => {
            assert_eq!(error.kind, HsmErrorKind::Unsupported, "{how:?}: {error}");
            (outside, false)
        }
    }
}

/// RFC 5869 §A.1, RFC 6070, AWS's own example of its signing key, and a hash by its definition. What the token cannot do is
/// done outside only when the request allows it.
pub(super) async fn derivations_match_published_vectors(context: Context) {
    let pool = pool(&context);
    let usage = UsageMask::DERIVE;
    let key = import(&pool, KeyKind::Generic, &[0x0B; 22], usage).await;
    let hkdf = |bytes| Derivation::Hkdf {
        hash: HashingAlgorithm::SHA_256,
        salt: (0..13).collect(),
        info: (0xF0..0xFA).collect(),
        bytes,
    };
    let (value, hkdf_inside) = derived(&pool, &key, &hkdf(42)).await;
    assert_eq!(value, hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"));
    let amazon = import(&pool, KeyKind::Generic, b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", usage).await;
    let scope = [b"20120215".to_vec(), b"us-east-1".to_vec(), b"iam".to_vec()];
    // Tokens that offer concatenation let a reader of its output take keys apart; the simulated HSM does not by default.
    let (value, _) = derived(&pool, &amazon, &Derivation::AwsSignature { scope }).await;
    assert_eq!(value, hex("f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"));
    let password =
        made(&pool, HsmRequest::HoldBytes { at: place(), value: secret(b"password"), beside_key: false }).await;
    let pbkdf2 = Derivation::Pbkdf2 { hash: HashingAlgorithm::SHA_1, salt: b"salt".to_vec(), iterations: 2, bytes: 20 };
    let (value, inside) = derived(&pool, &password, &pbkdf2).await;
    assert_eq!((value, inside), (hex("ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"), false));
    let data = b"data".to_vec();
    let (value, inside) = derived(&pool, &key, &Derivation::Hash { hash: HashingAlgorithm::SHA_256, data }).await;
    assert_eq!((value, inside), (sha256(&[&[0x0B; 22][..], b"data"].concat()).to_vec(), false));
    if context.name.starts_with("hsm-sim") && !context.name.contains("luna") && !context.name.contains("cloudhsm") {
        assert!(hkdf_inside, "the simulated HSM has HKDF");
    }
    // A key that may not leave is no obstacle inside, and stays inside otherwise.
    let (kind, bytes) = (KeyKind::Generic, 32);
    let request = HsmRequest::GenerateKey { at: place(), kind, bytes, usage, extractable: false, digest: false };
    let stays = made(&pool, request).await;
    match derive(&pool, &stays, &hkdf(32), true).await {
        Ok(value) => assert!(hkdf_inside && value.len() == 32),
        Err(error) => assert!(!hkdf_inside && error.kind == HsmErrorKind::NotExtractable, "{error}"),
    }
    // Nothing lets more out than the hash can give.
    assert!(derive(&pool, &key, &hkdf(255 * 32 + 1), true).await.is_err());
    for reference in [key, amazon, password, stays] {
        destroy(&pool, &reference).await;
    }
}

/// Both sides of ECDH come to one value, which is as wide as the curve; the key stays on the token.
pub(super) async fn both_sides_agree_on_one_value(context: Context) {
    let pool = pool(&context);
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        let mut sides = Vec::new();
        for extractable in [true, false] {
            let request = HsmRequest::GenerateKeyPair {
                private: place(),
                public: place(),
                kind: PairKind::Ec(curve),
                private_usage: UsageMask::KEY_AGREEMENT,
                public_usage: UsageMask(0),
                extractable,
            };
            match call(&pool, request).await.unwrap() {
                HsmAnswer::MadePair { private, public, .. } => sides.push((private, public)),
                other => panic!("{other:?}"),
            }
        }
        let mut agreed = Vec::new();
        for (mine, theirs) in [(0, 1), (1, 0)] {
            let peer = reveal(&pool, &sides[theirs].1).await;
            agreed.push(derive(&pool, &sides[mine].0, &Derivation::Agreement { peer }, false).await.unwrap());
        }
        assert_eq!((&agreed[0], agreed[0].len()), (&agreed[1], curve.bytes()), "{curve:?}");
        // A point of another curve, and one that is none.
        let other = if curve == Curve::P256 { Curve::P384 } else { Curve::P256 };
        let (private, public) = crate::pool::pair(&pool, PairKind::Ec(other), true).await;
        let mut bad = reveal(&pool, &public).await;
        let error = derive(&pool, &sides[0].0, &Derivation::Agreement { peer: bad.clone() }, false).await.unwrap_err();
        assert_eq!(error.kind, HsmErrorKind::BadParameters, "{error}");
        bad.truncate(20);
        let error = derive(&pool, &sides[0].0, &Derivation::Agreement { peer: bad }, false).await.unwrap_err();
        assert_eq!(error.kind, HsmErrorKind::BadParameters, "{error}");
        for (private, public) in sides.into_iter().chain([(private, public)]) {
            destroy(&pool, &private).await;
            destroy(&pool, &public).await;
        }
    }
}

/// A cipher key that also makes MACs is two objects of one name; each does its own, and both go together.
pub(super) async fn a_twin_makes_macs_beside_its_cipher_key(context: Context) {
    let pool = pool(&context);
    let value: Vec<u8> = (1..33).collect();
    let usage = BOTH.with(UsageMask::MAC_GENERATE);
    let hmac_sha256 = CryptographicParameters {
        hashing_algorithm: Some(HashingAlgorithm::SHA_256),
        ..CryptographicParameters::default()
    };
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &value), b"data").as_ref().to_vec();
    // With the value at hand, and read from the token.
    for given in [Some(secret(&value)), None] {
        let key = import(&pool, KeyKind::Aes, &value, BOTH).await;
        let usage = UsageMask(usage.0 & !BOTH.0);
        let twin = HsmRequest::MakeTwin { of: key.clone(), value: given, usage, extractable: true };
        let both = made(&pool, twin).await;
        assert_eq!((both.key, both.cka_id), (key.key, key.cka_id));
        assert!(both.bytes.is_some());
        let here = found(&pool, &both).await;
        assert_eq!((here.secret, here.data), (2, 0));
        let request = HsmRequest::Mac { key: both.clone(), parameters: hmac_sha256.clone(), data: secret(b"data") };
        assert_eq!(exposed(call(&pool, request).await.unwrap()), expected);
        let ecb = mode(BlockCipherMode::ECB, None);
        let (data, _) = encrypt(&pool, &both, &ecb, None, &[], &[7; 16]).await.unwrap();
        assert_eq!(decrypt(&pool, &both, &ecb, None, &[], (&data, None)).await.unwrap(), [7; 16]);
        let reference = both.clone();
        assert_eq!(exposed(call(&pool, HsmRequest::RevealBytes { reference }).await.unwrap()), value);
        assert_eq!(reveal(&pool, &both).await, value);
        destroy(&pool, &both).await;
        let here = found(&pool, &both).await;
        assert_eq!((here.secret, here.private, here.public, here.data), (0, 0, 0, 0));
    }
}

/// What was wrapped under a key opens under it, in every mode that the token wraps by, and not when it was changed.
pub(super) async fn wrapped_bytes_open_again(context: Context) {
    let pool = pool(&context);
    let usage = UsageMask::WRAP.with(UsageMask::UNWRAP);
    let wrapping = import(&pool, KeyKind::Aes, &[0x42; 32], usage).await;
    let (value, iv) = ((0..32).collect::<Vec<u8>>(), vec![0x24; 16]);
    let gcm = CryptographicParameters { tag_length: Some(16), ..mode(BlockCipherMode::GCM, None) };
    let cipher = |parameters, iv: &[u8]| WrapMode::Cipher { parameters: Box::new(parameters), iv: Some(iv.to_vec()) };
    let modes = [
        (WrapMode::AesKeyWrap, true),
        (WrapMode::AesKeyWrapPadding, true),
        (cipher(mode(BlockCipherMode::CBC, None), &iv), false),
        (cipher(gcm, &iv[..12]), false),
        (cipher(mode(BlockCipherMode::XTS, None), &iv), false),
        (cipher(mode(BlockCipherMode::CCM, None), &iv[..12]), false),
    ];
    let mut worked = 0;
    for (how, everywhere) in modes {
        let request = HsmRequest::WrapBytes { wrapping: wrapping.clone(), value: secret(&value), mode: how.clone() };
        let mut blob = match call(&pool, request).await {
            Ok(answer) => exposed(answer),
            Err(error) => {
                let refused = [HsmErrorKind::Unsupported, HsmErrorKind::BadParameters, HsmErrorKind::NotPermitted];
                assert!(!everywhere && refused.contains(&error.kind), "{how:?}: {error}");
                continue;
            }
        };
        worked += 1;
        assert_ne!(blob, value);
        let open = |blob: &[u8]| {
            let (wrapping, blob, mode) = (wrapping.clone(), blob.to_vec(), how.clone());
            call(&pool, HsmRequest::UnwrapBytes { wrapping, blob, mode })
        };
        // A device that makes the IV of GCM itself does not open with ours.
        match open(&blob).await {
            Ok(answer) => assert_eq!(exposed(answer), value, "{how:?}"),
            Err(error) if context.name.contains("cloudhsm") => assert!(!everywhere, "{how:?}: {error}"),
            // SoftHSM2 wraps by CBC and does not unwrap by it.
            Err(error) => {
                assert!(!everywhere && error.kind == HsmErrorKind::Unsupported, "{how:?}: {error}");
                continue;
            }
        }
        let last = blob.len() - 1;
        blob[last] ^= 1;
        match open(&blob).await {
            // An unauthenticated mode opens to something else.
            Ok(answer) => assert!(!everywhere && exposed(answer) != value, "{how:?}"),
            Err(error) => assert_eq!(error.kind, HsmErrorKind::DecryptionFailed, "{how:?}: {error}"),
        }
    }
    assert!(worked >= 2, "key wrap is everywhere");
    destroy(&pool, &wrapping).await;
}

/// The issuer's key is made once, stays, and what it signs holds.
pub(super) async fn the_issuer_signs_with_one_key(context: Context) {
    let pool = pool(&context);
    let spki = exposed(call(&pool, HsmRequest::CertifierKey).await.unwrap());
    let PublicKey::Rsa(key) = PublicKey::from_spki(&spki).unwrap() else { panic!("the issuer's key is RSA") };
    let public = signature::RsaPublicKeyComponents { n: key.n(), e: key.e() };
    for data in [b"to be signed".to_vec(), vec![0x5A; 100_000]] {
        let signed = exposed(call(&pool, HsmRequest::CertifierSign { data: data.clone() }).await.unwrap());
        public.verify(&signature::RSA_PKCS1_2048_8192_SHA256, &data, &signed).unwrap();
    }
    let again = crate::pool::pool(&context);
    assert_eq!(exposed(call(&again, HsmRequest::CertifierKey).await.unwrap()), spki);
}
