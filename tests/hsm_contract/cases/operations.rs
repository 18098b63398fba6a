//! Keys in use, against published vectors and against another implementation.

use aws_lc_rs::{hmac, signature};
use portcullis::{
    crypto::{PublicKey, hash::from_hex, kwp},
    domain::{
        CryptographicAlgorithm, CryptographicParameters, SecretValue, TokenReference, UsageMask,
        algorithm::{BlockCipherMode, Curve, DigitalSignatureAlgorithm, HashingAlgorithm, PaddingMethod},
        reference::KeyKind,
    },
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, HsmRequest, PairKind, SignInput, WrapMode},
    hsm::Pool,
};

use crate::{
    harness::Context,
    pool::{call, destroy, exposed, import, made, pair, place, pool, reveal},
};

pub(super) const BOTH: UsageMask = UsageMask::ENCRYPT.with(UsageMask::DECRYPT);

fn hex(text: &str) -> Vec<u8> {
    from_hex(text).unwrap()
}

fn secret(bytes: &[u8]) -> SecretValue {
    SecretValue::new(bytes.to_vec())
}

pub(super) fn mode(mode: BlockCipherMode, padding: Option<PaddingMethod>) -> CryptographicParameters {
    CryptographicParameters {
        block_cipher_mode: Some(mode),
        padding_method: padding,
        ..CryptographicParameters::default()
    }
}

pub(super) async fn encrypt(
    pool: &Pool,
    key: &TokenReference,
    parameters: &CryptographicParameters,
    iv: Option<&[u8]>,
    aad: &[u8],
    data: &[u8],
) -> Result<(Vec<u8>, Option<Vec<u8>>), HsmError> {
    let request = HsmRequest::Encrypt {
        key: key.clone(),
        parameters: parameters.clone(),
        iv: iv.map(<[u8]>::to_vec),
        aad: aad.to_vec(),
        data: secret(data),
    };
    match call(pool, request).await? {
        HsmAnswer::Encrypted { data, iv: None, auth_tag } => Ok((data, auth_tag)),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn decrypt(
    pool: &Pool,
    key: &TokenReference,
    parameters: &CryptographicParameters,
    iv: Option<&[u8]>,
    aad: &[u8],
    (data, auth_tag): (&[u8], Option<&[u8]>),
) -> Result<Vec<u8>, HsmError> {
    let request = HsmRequest::Decrypt {
        key: key.clone(),
        parameters: parameters.clone(),
        iv: iv.map(<[u8]>::to_vec),
        aad: aad.to_vec(),
        auth_tag: auth_tag.map(<[u8]>::to_vec),
        data: data.to_vec(),
    };
    call(pool, request).await.map(exposed)
}

/// NIST SP 800-38A, appendix F.
const KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
                     30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
const IV: &str = "000102030405060708090a0b0c0d0e0f";

pub(super) async fn block_modes_match_published_vectors(context: Context) {
    let pool = pool(&context);
    let key = import(&pool, KeyKind::Aes, &hex(KEY), BOTH).await;
    let plain = hex(PLAIN);
    let vectors = [
        (
            BlockCipherMode::ECB,
            None,
            "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf\
          43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4",
        ),
        (
            BlockCipherMode::CBC,
            Some(IV),
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2\
          73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        ),
        (
            BlockCipherMode::CFB,
            Some(IV),
            "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b\
          26751f67a3cbb140b1808cf187a4f4dfc04b05357c5d1c0eeac4c66f9ff7f2e6",
        ),
        (
            BlockCipherMode::OFB,
            Some(IV),
            "3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825\
          9740051e9c5fecf64344f7a82260edcc304c6528f659c77866a510d9c1d6ae5e",
        ),
        (
            BlockCipherMode::CTR,
            Some("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff\
          5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
        ),
    ];
    for (block_mode, iv, expected) in vectors {
        let (parameters, iv) = (mode(block_mode, None), iv.map(hex));
        let (data, tag) = encrypt(&pool, &key, &parameters, iv.as_deref(), &[], &plain).await.unwrap();
        assert_eq!((data.as_slice(), tag), (hex(expected).as_slice(), None), "{block_mode:?}");
        let back = decrypt(&pool, &key, &parameters, iv.as_deref(), &[], (&data, None)).await.unwrap();
        assert_eq!(back, plain, "{block_mode:?}");
        // Stream modes take any length, and the result is the beginning of the longer one.
        if !matches!(block_mode, BlockCipherMode::ECB | BlockCipherMode::CBC) {
            let (part, _) = encrypt(&pool, &key, &parameters, iv.as_deref(), &[], &plain[..37]).await.unwrap();
            assert_eq!(part, data[..37], "{block_mode:?}");
            let back = decrypt(&pool, &key, &parameters, iv.as_deref(), &[], (&part, None)).await.unwrap();
            assert_eq!(back, plain[..37], "{block_mode:?}");
        }
        let short = encrypt(&pool, &key, &parameters, Some(&[0; 3]), &[], &plain).await.unwrap_err();
        assert_eq!(short.kind, HsmErrorKind::BadParameters, "{block_mode:?} with a short IV");
    }
    destroy(&pool, &key).await;
}

/// Some devices use an IV of their own whatever they are given: then the answer says which.
pub(super) async fn what_gcm_sealed_opens_with_the_iv_of_the_answer(context: Context) {
    let pool = pool(&context);
    let key = import(&pool, KeyKind::Aes, &hex(KEY), BOTH).await;
    let parameters = CryptographicParameters { tag_length: Some(16), ..mode(BlockCipherMode::GCM, None) };
    for length in [0, 1, 100] {
        let (given, plain) = (vec![9; 12], vec![0x55; length]);
        let request = HsmRequest::Encrypt {
            key: key.clone(),
            parameters: parameters.clone(),
            iv: Some(given.clone()),
            aad: b"aad".to_vec(),
            data: SecretValue::new(plain.clone()),
        };
        let HsmAnswer::Encrypted { data, iv, auth_tag } = call(&pool, request).await.unwrap() else {
            panic!("another answer")
        };
        assert_eq!((data.len(), auth_tag.as_ref().map(Vec::len)), (length, Some(16)));
        let iv = iv.unwrap_or(given);
        let back = decrypt(&pool, &key, &parameters, Some(&iv), b"aad", (&data, auth_tag.as_deref())).await.unwrap();
        assert_eq!(back, plain, "{}", context.name);
    }
}

pub(super) async fn padding_and_tags_are_checked(context: Context) {
    let pool = pool(&context);
    let aes = import(&pool, KeyKind::Aes, &hex(KEY), BOTH).await;
    let mut keys = vec![(&aes, 16)];
    let des;
    if super::objects::offers_triple_des(&pool).await {
        des = import(&pool, KeyKind::TripleDes, &hex("0123456789abcdef23456789abcdef01456789abcdef0123"), BOTH).await;
        keys.push((&des, 8));
    } else {
        println!("{}: no triple DES", context.name);
    }
    let pkcs5 = |of| mode(of, Some(PaddingMethod::PKCS5));
    let modes = [BlockCipherMode::CBC, BlockCipherMode::ECB];
    for (key, block, block_mode) in keys.iter().flat_map(|(key, block)| modes.map(|mode| (*key, *block, mode))) {
        let parameters = pkcs5(block_mode);
        let iv = (block_mode == BlockCipherMode::CBC).then(|| vec![3; block]);
        for length in [1, 7, 8, 15, 16, 17, 100] {
            let plain = vec![0x55; length];
            let (data, _) = encrypt(&pool, key, &parameters, iv.as_deref(), &[], &plain).await.unwrap();
            assert_eq!(data.len(), (length / block + 1) * block);
            let back = decrypt(&pool, key, &parameters, iv.as_deref(), &[], (&data, None)).await.unwrap();
            assert_eq!(back, plain);
        }
        // A last block that is no padding, made without padding: it decrypts to zeros.
        let unpadded = mode(block_mode, None);
        let (data, _) = encrypt(&pool, key, &unpadded, iv.as_deref(), &[], &[0; 32]).await.unwrap();
        let error = decrypt(&pool, key, &parameters, iv.as_deref(), &[], (&data, None)).await.unwrap_err();
        assert_eq!(error.kind, HsmErrorKind::DecryptionFailed);
        let error = decrypt(&pool, key, &parameters, iv.as_deref(), &[], (&data[..31], None)).await.unwrap_err();
        assert_eq!(error.kind, HsmErrorKind::DecryptionFailed);
        let error = encrypt(&pool, key, &unpadded, iv.as_deref(), &[], &[0; 31]).await.unwrap_err();
        assert_eq!(error.kind, HsmErrorKind::BadData);
    }
    // "The Galois/Counter Mode of Operation", test case 4.
    let gcm = CryptographicParameters { tag_length: Some(16), ..mode(BlockCipherMode::GCM, None) };
    let key = import(&pool, KeyKind::Aes, &hex("feffe9928665731c6d6a8f9467308308"), BOTH).await;
    let iv = hex("cafebabefacedbaddecaf888");
    let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let plain = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    let (data, tag) = encrypt(&pool, &key, &gcm, Some(&iv), &aad, &plain).await.unwrap();
    let tag = tag.unwrap();
    assert_eq!(
        data,
        hex("42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
             21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091")
    );
    assert_eq!(tag, hex("5bc94fbc3221a5db94fae95ae7121a47"));
    let back = decrypt(&pool, &key, &gcm, Some(&iv), &aad, (&data, Some(&tag))).await.unwrap();
    assert_eq!(back, plain);
    let mut forged = tag.clone();
    forged[0] ^= 1;
    for (aad, tag) in [(aad.as_slice(), forged.as_slice()), (b"other", tag.as_slice())] {
        let error = decrypt(&pool, &key, &gcm, Some(&iv), aad, (&data, Some(tag))).await.unwrap_err();
        assert_eq!(error.kind, HsmErrorKind::DecryptionFailed);
    }
    let error = decrypt(&pool, &key, &gcm, Some(&iv), &aad, (&data, Some(&tag[..12]))).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::BadParameters);
    // Nothing to encrypt, nothing to authenticate: only the tag. And the session still works after all those errors.
    let (data, tag) = encrypt(&pool, &key, &gcm, Some(&iv), &[], &plain).await.unwrap();
    let back = decrypt(&pool, &key, &gcm, Some(&iv), &[], (&data, tag.as_deref())).await.unwrap();
    assert_eq!(back, plain);
    for (key, _) in keys {
        destroy(&pool, key).await;
    }
    destroy(&pool, &key).await;
}

const SUNSCREEN: &[u8] =
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
sunscreen would be it.";

/// A ChaCha20 key, or `None` where the token has no such keys.
async fn chacha20_key(pool: &Pool, context: &Context, value: &[u8]) -> Option<TokenReference> {
    let (kind, value) = (KeyKind::ChaCha20, secret(value));
    match call(pool, HsmRequest::ImportKey { at: place(), kind, value, usage: BOTH, extractable: true }).await {
        Ok(HsmAnswer::Made { reference, .. }) => Some(reference),
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(error.kind, HsmErrorKind::Unsupported);
            println!("skipped, because {} has no ChaCha20", context.name);
            None
        }
    }
}

/// RFC 8439 §2.4.2 and §2.8.2, and the first vector of draft-agl-tls-chacha20poly1305 with its shorter nonce.
pub(super) async fn chacha20_matches_published_vectors(context: Context) {
    let pool = pool(&context);
    let value: Vec<u8> = (0..32).collect();
    let Some(key) = chacha20_key(&pool, &context, &value).await else { return };
    assert_eq!(reveal(&pool, &key).await, value);
    let from = |counter| CryptographicParameters {
        cryptographic_algorithm: Some(CryptographicAlgorithm::CHACHA20),
        initial_counter_value: Some(counter),
        ..CryptographicParameters::default()
    };
    let nonce = hex("000000000000004a00000000");
    let (data, tag) = encrypt(&pool, &key, &from(1), Some(&nonce), &[], SUNSCREEN).await.unwrap();
    assert_eq!((&data[..16], tag), (hex("6e2e359a2568f98041ba0728dd0d6981").as_slice(), None));
    assert_eq!(decrypt(&pool, &key, &from(1), Some(&nonce), &[], (&data, None)).await.unwrap(), SUNSCREEN);
    for (nonce, counter) in [(&nonce[..11], 1), (&[][..], 1), (&nonce[..], -1)] {
        let refused = encrypt(&pool, &key, &from(counter), Some(nonce), &[], SUNSCREEN).await;
        assert_eq!(refused.unwrap_err().kind, HsmErrorKind::BadParameters);
    }
    destroy(&pool, &key).await;

    let key = chacha20_key(&pool, &context, &[0; 32]).await.unwrap();
    let (stream, _) = encrypt(&pool, &key, &from(0), Some(&[0; 8]), &[], &[0; 64]).await.unwrap();
    assert_eq!(stream[..16], hex("76b8e0ada0f13d90405d6ae55386bd28"));
    destroy(&pool, &key).await;

    let key: Vec<u8> = (0x80..0xA0).collect();
    let key = chacha20_key(&pool, &context, &key).await.unwrap();
    let (nonce, aad) = (hex("070000004041424344454647"), hex("50515253c0c1c2c3c4c5c6c7"));
    let sealed = |tag_length| CryptographicParameters {
        cryptographic_algorithm: Some(CryptographicAlgorithm::CHACHA20_POLY1305),
        tag_length: Some(tag_length),
        ..mode(BlockCipherMode::AEAD, None)
    };
    let full = hex("1ae10b594f09e26a7e902ecbd0600691");
    for length in [16, 12, 8] {
        let short = i32::try_from(length).unwrap();
        let (data, tag) = encrypt(&pool, &key, &sealed(short), Some(&nonce), &aad, SUNSCREEN).await.unwrap();
        assert_eq!(data[..16], hex("d31a8d34648e60db7b86afbc53ef7ec2"));
        let tag = tag.unwrap();
        assert_eq!(tag, full[..length]);
        let open = async |data: &[u8], tag: &[u8], aad: &[u8]| {
            decrypt(&pool, &key, &sealed(short), Some(&nonce), aad, (data, Some(tag))).await
        };
        assert_eq!(open(&data, &tag, &aad).await.unwrap(), SUNSCREEN);
        for place in [0, length - 1] {
            let mut wrong = tag.clone();
            wrong[place] ^= 1;
            assert_eq!(open(&data, &wrong, &aad).await.unwrap_err().kind, HsmErrorKind::DecryptionFailed);
        }
        let mut wrong = data.clone();
        wrong[3] ^= 1;
        assert_eq!(open(&wrong, &tag, &aad).await.unwrap_err().kind, HsmErrorKind::DecryptionFailed);
        assert_eq!(open(&data, &tag, b"").await.unwrap_err().kind, HsmErrorKind::DecryptionFailed);
    }
    destroy(&pool, &key).await;
}

/// A key of such a cipher is made all the same, and its value can be had; using it is what is refused.
pub(super) async fn a_cipher_that_the_token_lacks_is_held_and_refused(context: Context) {
    let pool = pool(&context);
    for (kind, bytes) in [(KeyKind::ChaCha20, 32), (KeyKind::TripleDes, 24)] {
        let at = place();
        let request = HsmRequest::GenerateKey { at, kind, bytes, usage: BOTH, extractable: true, digest: false };
        let key = match call(&pool, request).await.unwrap() {
            HsmAnswer::Made { reference, .. } => reference,
            other => panic!("{other:?}"),
        };
        assert_eq!(reveal(&pool, &key).await.len(), usize::try_from(bytes).unwrap());
        let (parameters, nonce) = match kind {
            KeyKind::ChaCha20 => (CryptographicParameters::default(), &[0; 12][..]),
            _ => (mode(BlockCipherMode::CBC, None), &[0; 8][..]),
        };
        let used = encrypt(&pool, &key, &parameters, Some(nonce), &[], &[0; 8]).await;
        // A token in an approved mode makes triple DES keys, too, and encrypts nothing with them.
        match used {
            Ok(_) => assert_eq!(key.key, Some(kind)),
            Err(error) => assert_eq!(error.kind, HsmErrorKind::Unsupported, "{}: {kind:?}", context.name),
        }
        destroy(&pool, &key).await;
    }
}

pub(super) async fn macs_match_published_vectors(context: Context) {
    let pool = pool(&context);
    // RFC 4231 §4.7.
    let key = vec![0xAA; 131];
    let data = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let reference = import(&pool, KeyKind::Generic, &key, UsageMask::MAC_VERIFY).await;
    let mac = |parameters| call(&pool, HsmRequest::Mac { key: reference.clone(), parameters, data: secret(data) });
    let by_algorithm = |algorithm| CryptographicParameters {
        cryptographic_algorithm: Some(algorithm),
        ..CryptographicParameters::default()
    };
    let sha256 = exposed(mac(by_algorithm(CryptographicAlgorithm::HMAC_SHA256)).await.unwrap());
    assert_eq!(sha256, hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
    for (algorithm, oracle) in [
        (CryptographicAlgorithm::HMAC_SHA1, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        (CryptographicAlgorithm::HMAC_SHA384, hmac::HMAC_SHA384),
        (CryptographicAlgorithm::HMAC_SHA512, hmac::HMAC_SHA512),
    ] {
        let expected = hmac::sign(&hmac::Key::new(oracle, &key), data);
        assert_eq!(exposed(mac(by_algorithm(algorithm)).await.unwrap()), expected.as_ref(), "{algorithm:?}");
    }
    let by_hash = CryptographicParameters {
        hashing_algorithm: Some(HashingAlgorithm::SHA_256),
        ..CryptographicParameters::default()
    };
    assert_eq!(exposed(mac(by_hash).await.unwrap()), sha256);
    let error = mac(by_algorithm(CryptographicAlgorithm::HMAC_MD5)).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::Unsupported);
    // RFC 4493 §4, example 2.
    let aes = import(&pool, KeyKind::Aes, &hex(KEY), UsageMask::MAC_GENERATE).await;
    let request = HsmRequest::Mac {
        key: aes.clone(),
        parameters: mode(BlockCipherMode::CMAC, None),
        data: secret(&hex("6bc1bee22e409f96e93d7e117393172a")),
    };
    let cmac = exposed(call(&pool, request).await.unwrap());
    assert_eq!(cmac, hex("070a16b46b4d4144f79bdd9dd04a287c"));
    destroy(&pool, &aes).await;
    destroy(&pool, &reference).await;
}

fn padding(method: PaddingMethod, hash: HashingAlgorithm) -> CryptographicParameters {
    CryptographicParameters {
        padding_method: Some(method),
        hashing_algorithm: Some(hash),
        ..CryptographicParameters::default()
    }
}

const MESSAGE: &[u8] = b"What hath God wrought";

async fn sign(pool: &Pool, key: &TokenReference, parameters: &CryptographicParameters, input: SignInput) -> Vec<u8> {
    let request = HsmRequest::Sign { key: key.clone(), parameters: parameters.clone(), input };
    exposed(call(pool, request).await.unwrap())
}

async fn verify(
    pool: &Pool,
    key: &TokenReference,
    parameters: &CryptographicParameters,
    data: &[u8],
    signature: &[u8],
) -> bool {
    let request = HsmRequest::Verify {
        key: key.clone(),
        parameters: parameters.clone(),
        input: SignInput::Data(secret(data)),
        signature: signature.to_vec(),
    };
    match call(pool, request).await.unwrap() {
        HsmAnswer::Verified(holds) => holds,
        other => panic!("{other:?}"),
    }
}

/// By another implementation, with the public key as the HSM gave it.
fn holds(algorithm: &'static dyn signature::VerificationAlgorithm, spki: &[u8], data: &[u8], signature: &[u8]) -> bool {
    let raw = match PublicKey::from_spki(spki).unwrap() {
        PublicKey::Rsa(key) => key.to_pkcs1().unwrap(),
        PublicKey::Ec(key) => key.point().to_vec(),
        PublicKey::Ed25519(key) => key.bytes().to_vec(),
    };
    signature::UnparsedPublicKey::new(algorithm, raw).verify(data, signature).is_ok()
}

pub(crate) fn assert_ecdsa_p256(spki: &[u8], data: &[u8], signature: &[u8]) {
    assert!(holds(&signature::ECDSA_P256_SHA256_ASN1, spki, data, signature));
}

async fn assert_signs(
    pool: &Pool,
    (private, public): &(TokenReference, TokenReference),
    parameters: &CryptographicParameters,
    algorithm: &'static dyn signature::VerificationAlgorithm,
    by_digest: Option<HashingAlgorithm>,
) {
    let spki = reveal(pool, public).await;
    let mut inputs = vec![SignInput::Data(secret(MESSAGE))];
    if let Some(hash) = by_digest {
        inputs.push(SignInput::Digest(portcullis::crypto::hash::digest(hash, MESSAGE).unwrap()));
    }
    for input in inputs {
        let signature = sign(pool, private, parameters, input).await;
        assert!(holds(algorithm, &spki, MESSAGE, &signature), "{parameters:?}");
        assert!(verify(pool, public, parameters, MESSAGE, &signature).await);
        assert!(!verify(pool, public, parameters, b"another message", &signature).await);
        let mut forged = signature.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert!(!verify(pool, public, parameters, MESSAGE, &forged).await);
        assert!(!verify(pool, public, parameters, MESSAGE, &signature[1..]).await);
        assert!(!verify(pool, public, parameters, MESSAGE, b"").await);
    }
}

pub(super) async fn rsa_signatures_hold(context: Context) {
    let pool = pool(&context);
    let keys = pair(&pool, PairKind::Rsa { bits: 2048 }, true).await;
    let hash = HashingAlgorithm::SHA_256;
    let pkcs1 = padding(PaddingMethod::PKCS1_V1_5, hash);
    assert_signs(&pool, &keys, &pkcs1, &signature::RSA_PKCS1_2048_8192_SHA256, Some(hash)).await;
    let pkcs1 = padding(PaddingMethod::PKCS1_V1_5, HashingAlgorithm::SHA_512);
    assert_signs(&pool, &keys, &pkcs1, &signature::RSA_PKCS1_2048_8192_SHA512, Some(HashingAlgorithm::SHA_512)).await;
    let combined = CryptographicParameters {
        digital_signature_algorithm: Some(DigitalSignatureAlgorithm::SHA384_WITH_RSA),
        ..CryptographicParameters::default()
    };
    assert_signs(&pool, &keys, &combined, &signature::RSA_PKCS1_2048_8192_SHA384, Some(HashingAlgorithm::SHA_384))
        .await;
    let pss = CryptographicParameters { salt_length: Some(32), ..padding(PaddingMethod::PSS, hash) };
    assert_signs(&pool, &keys, &pss, &signature::RSA_PSS_2048_8192_SHA256, Some(hash)).await;
    let (private, public) = keys;
    let wrong = HsmRequest::Sign { key: private.clone(), parameters: pss, input: SignInput::Digest(vec![0; 31]) };
    assert_eq!(call(&pool, wrong).await.unwrap_err().kind, HsmErrorKind::BadData);
    // The half that cannot do it.
    let wrong = HsmRequest::Sign { key: public.clone(), parameters: pkcs1, input: SignInput::Data(secret(MESSAGE)) };
    let error = call(&pool, wrong).await.unwrap_err();
    assert!(
        matches!(error.kind, HsmErrorKind::NotPermitted | HsmErrorKind::BadParameters | HsmErrorKind::ObjectMissing),
        "{error}"
    );
    destroy(&pool, &private).await;
    destroy(&pool, &public).await;
}

pub(super) async fn curve_signatures_hold(context: Context) {
    let pool = pool(&context);
    let with = |hash| CryptographicParameters { hashing_algorithm: Some(hash), ..CryptographicParameters::default() };
    let curves: [(Curve, HashingAlgorithm, &'static dyn signature::VerificationAlgorithm); 4] = [
        (Curve::P256, HashingAlgorithm::SHA_256, &signature::ECDSA_P256_SHA256_ASN1),
        (Curve::P384, HashingAlgorithm::SHA_384, &signature::ECDSA_P384_SHA384_ASN1),
        (Curve::P384, HashingAlgorithm::SHA_256, &signature::ECDSA_P384_SHA256_ASN1),
        (Curve::P521, HashingAlgorithm::SHA_512, &signature::ECDSA_P521_SHA512_ASN1),
    ];
    for (curve, hash, algorithm) in curves {
        let keys = pair(&pool, PairKind::Ec(curve), true).await;
        assert_signs(&pool, &keys, &with(hash), algorithm, Some(hash)).await;
        // r‖s is taken as well.
        let signature = sign(&pool, &keys.0, &with(hash), SignInput::Data(secret(MESSAGE))).await;
        let fixed = portcullis::crypto::ecdsa::to_fixed(curve, &signature).unwrap();
        assert!(verify(&pool, &keys.1, &with(hash), MESSAGE, &fixed).await);
        destroy(&pool, &keys.0).await;
        destroy(&pool, &keys.1).await;
    }
    // A longer digest is cut to the curve's width (FIPS 186-5 §6.4.1): P-256 with SHA-512, checked by the digest's beginning.
    let keys = pair(&pool, PairKind::Ec(Curve::P256), true).await;
    let sha512 = with(HashingAlgorithm::SHA_512);
    let signature = sign(&pool, &keys.0, &sha512, SignInput::Data(secret(MESSAGE))).await;
    assert!(verify(&pool, &keys.1, &sha512, MESSAGE, &signature).await);
    let digest = portcullis::crypto::hash::digest(HashingAlgorithm::SHA_512, MESSAGE).unwrap();
    let cut = HsmRequest::Verify {
        key: keys.1.clone(),
        parameters: with(HashingAlgorithm::SHA_256),
        input: SignInput::Digest(digest[..32].to_vec()),
        signature,
    };
    assert!(matches!(call(&pool, cut).await, Ok(HsmAnswer::Verified(true))));
    let request = HsmRequest::GenerateKeyPair {
        private: place(),
        public: place(),
        kind: PairKind::Ed25519,
        private_usage: UsageMask::SIGN,
        public_usage: UsageMask::VERIFY,
        extractable: false,
    };
    match call(&pool, request).await {
        Ok(HsmAnswer::MadePair { private, public, .. }) => {
            let parameters = CryptographicParameters::default();
            assert_signs(&pool, &(private, public), &parameters, &signature::ED25519, None).await;
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(error.kind, HsmErrorKind::Unsupported);
            println!("{}: no Ed25519", context.name);
        }
    }
}

pub(super) async fn secp256k1_signs(context: Context) {
    let pool = pool(&context);
    let parameters = CryptographicParameters {
        hashing_algorithm: Some(HashingAlgorithm::SHA_256),
        ..CryptographicParameters::default()
    };
    let request = HsmRequest::GenerateKeyPair {
        private: place(),
        public: place(),
        kind: PairKind::Ec(Curve::Secp256k1),
        private_usage: UsageMask::SIGN,
        public_usage: UsageMask::VERIFY,
        extractable: true,
    };
    let keys = match call(&pool, request).await {
        Ok(HsmAnswer::MadePair { private, public, .. }) => (private, public),
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(error.kind, HsmErrorKind::Unsupported);
            println!("skipped, because {} has no secp256k1", context.name);
            return;
        }
    };
    assert_signs(&pool, &keys, &parameters, &signature::ECDSA_P256K1_SHA256_ASN1, Some(HashingAlgorithm::SHA_256))
        .await;
    // A digest of a hash that nobody names is signed as it is, here one of half the width.
    let bare = CryptographicParameters::default();
    let signature = sign(&pool, &keys.0, &bare, SignInput::Digest(vec![7; 16])).await;
    let check = |digest: u8| HsmRequest::Verify {
        key: keys.1.clone(),
        parameters: bare.clone(),
        input: SignInput::Digest(vec![digest; 16]),
        signature: signature.clone(),
    };
    assert!(matches!(call(&pool, check(7)).await, Ok(HsmAnswer::Verified(true))));
    assert!(matches!(call(&pool, check(8)).await, Ok(HsmAnswer::Verified(false))));
    destroy(&pool, &keys.0).await;
    destroy(&pool, &keys.1).await;
}

pub(super) async fn rsa_encryption_round_trips(context: Context) {
    let pool = pool(&context);
    let (private, public) = pair(&pool, PairKind::Rsa { bits: 2048 }, true).await;
    let pkcs1 = CryptographicParameters {
        padding_method: Some(PaddingMethod::PKCS1_V1_5),
        ..CryptographicParameters::default()
    };
    let labelled = CryptographicParameters {
        p_source: Some(b"label".to_vec()),
        ..padding(PaddingMethod::OAEP, HashingAlgorithm::SHA_256)
    };
    let mixed = CryptographicParameters {
        mask_generator_hashing_algorithm: Some(HashingAlgorithm::SHA_1),
        ..padding(PaddingMethod::OAEP, HashingAlgorithm::SHA_256)
    };
    let ways = [
        pkcs1,
        padding(PaddingMethod::OAEP, HashingAlgorithm::SHA_1),
        padding(PaddingMethod::OAEP, HashingAlgorithm::SHA_256),
        labelled,
        mixed,
    ];
    let mut worked = 0;
    for parameters in &ways {
        let (data, _) = match encrypt(&pool, &public, parameters, None, &[], b"attack at dawn").await {
            Ok(answer) => answer,
            Err(error) => {
                assert_eq!(error.kind, HsmErrorKind::Unsupported, "{parameters:?}: {error}");
                println!("{}: does not offer {parameters:?}", context.name);
                continue;
            }
        };
        worked += 1;
        assert_eq!(data.len(), 256);
        let back = decrypt(&pool, &private, parameters, None, &[], (&data, None)).await.unwrap();
        assert_eq!(back, b"attack at dawn");
        if parameters.padding_method == Some(PaddingMethod::OAEP) {
            let error = decrypt(&pool, &private, parameters, None, &[], (&[1; 256], None)).await.unwrap_err();
            assert_eq!(error.kind, HsmErrorKind::DecryptionFailed, "{error}");
        }
        // Without a zero at its beginning it is the same number, which some modules decrypt: take another ciphertext then.
        let mut data = data;
        while data[0] == 0 {
            data = encrypt(&pool, &public, parameters, None, &[], b"attack at dawn").await.unwrap().0;
        }
        let error = decrypt(&pool, &private, parameters, None, &[], (&data[1..], None)).await.unwrap_err();
        assert_eq!(error.kind, HsmErrorKind::DecryptionFailed, "{error}");
    }
    assert!(worked >= 2, "PKCS#1 v1.5 and OAEP with SHA-1 are everywhere");
}

pub(super) async fn keys_wrap_as_the_standards_say(context: Context) {
    let pool = pool(&context);
    // RFC 3394 §4.6.
    let kek = hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    let wrapping = import(&pool, KeyKind::Aes, &kek, UsageMask::WRAP).await;
    let value = hex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f");
    let target = import(&pool, KeyKind::Aes, &value, BOTH).await;
    let wrap = |target: &TokenReference, mode| {
        call(&pool, HsmRequest::WrapKey { wrapping: wrapping.clone(), target: target.clone(), mode })
    };
    let rfc3394 = hex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21");
    assert_eq!(exposed(wrap(&target, WrapMode::AesKeyWrap).await.unwrap()), rfc3394);
    let padded = exposed(wrap(&target, WrapMode::AesKeyWrapPadding).await.unwrap());
    assert!(kwp::unwrap(&secret(&kek), &padded).unwrap().matches(&secret(&value)));
    let odd = import(&pool, KeyKind::Generic, &[5; 31], UsageMask(0)).await;
    // A module that fills odd values with zeros would hand out another value: then the pool refuses.
    let fills = context.name == "softhsm2";
    match wrap(&odd, WrapMode::AesKeyWrapPadding).await {
        Ok(answer) => {
            assert!(!fills);
            assert!(kwp::unwrap(&secret(&kek), &exposed(answer)).unwrap().matches(&secret(&[5; 31])));
        }
        Err(error) => assert!(fills && error.kind == HsmErrorKind::Unsupported, "{error}"),
    }
    let request =
        HsmRequest::WrapBytes { wrapping: wrapping.clone(), value: secret(&value), mode: WrapMode::AesKeyWrap };
    assert_eq!(exposed(call(&pool, request).await.unwrap()), rfc3394);
    let held = made(&pool, HsmRequest::HoldBytes { at: place(), value: secret(&value), beside_key: false }).await;
    assert_eq!(exposed(wrap(&held, WrapMode::AesKeyWrap).await.unwrap()), rfc3394);
    // Not a wrapping key.
    let request =
        HsmRequest::WrapKey { wrapping: target.clone(), target: held.clone(), mode: WrapMode::AesKeyWrapPadding };
    let error = call(&pool, request).await.unwrap_err();
    // kryoptic calls the handle of such a key invalid.
    let says = if context.name == "kryoptic" { HsmErrorKind::ObjectMissing } else { HsmErrorKind::NotPermitted };
    assert_eq!(error.kind, says, "{error}");
    // A private key.
    let (private, public) = pair(&pool, PairKind::Rsa { bits: 2048 }, true).await;
    let der = reveal(&pool, &private).await;
    match wrap(&private, WrapMode::AesKeyWrapPadding).await {
        Ok(answer) => {
            assert!(!fills || der.len() % 8 == 0);
            assert!(kwp::unwrap(&secret(&kek), &exposed(answer)).unwrap().matches(&secret(&der)));
        }
        Err(error) => assert!(fills && der.len() % 8 != 0 && error.kind == HsmErrorKind::Unsupported, "{error}"),
    }
    for reference in [wrapping, target, odd, held, private, public] {
        destroy(&pool, &reference).await;
    }
}

pub(super) async fn random_bytes_differ(context: Context) {
    let pool = pool(&context);
    let random = |bytes| call(&pool, HsmRequest::Random { token: None, bytes });
    let one = exposed(random(64).await.unwrap());
    assert_eq!(one.len(), 64);
    assert_ne!(one, exposed(random(64).await.unwrap()));
    assert_eq!(random(u32::MAX).await.unwrap_err().kind, HsmErrorKind::BadParameters);
    match call(&pool, HsmRequest::SeedRandom { data: secret(&[0x5E; 32]) }).await {
        Ok(HsmAnswer::Done) => {}
        Err(error) => assert_eq!(error.kind, HsmErrorKind::Unsupported, "{error}"),
        Ok(other) => panic!("{other:?}"),
    }
}

pub(super) async fn usage_bits_bind(context: Context) {
    let pool = pool(&context);
    let idle = import(&pool, KeyKind::Aes, &[3; 16], UsageMask(0)).await;
    let ecb = mode(BlockCipherMode::ECB, None);
    let error = encrypt(&pool, &idle, &ecb, None, &[], &[0; 16]).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::NotPermitted);
    let error = decrypt(&pool, &idle, &ecb, None, &[], (&[0; 16], None)).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::NotPermitted);
    let only = import(&pool, KeyKind::Aes, &[3; 16], UsageMask::ENCRYPT).await;
    let (data, _) = encrypt(&pool, &only, &ecb, None, &[], &[0; 16]).await.unwrap();
    let error = decrypt(&pool, &only, &ecb, None, &[], (&data, None)).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::NotPermitted);
    let missing = TokenReference { cka_id: place().cka_id, ..only };
    let error = encrypt(&pool, &missing, &ecb, None, &[], &[0; 16]).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::ObjectMissing);
}
