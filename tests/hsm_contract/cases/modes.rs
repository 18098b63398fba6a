//! Modes that a token has, or that are composed of what it has: CCM, XTS, PCBC, GMAC.

use portcullis::{
    crypto::hash::from_hex,
    domain::{
        CryptographicParameters, SecretValue, UsageMask,
        algorithm::{BlockCipherMode, PaddingMethod},
        reference::KeyKind,
    },
    engine::ports::{HsmAnswer, HsmErrorKind, HsmRequest},
};

use super::operations::{BOTH, decrypt, encrypt, mode};
use crate::{
    harness::Context,
    pool::{call, destroy, import, made, place, pool, reveal},
};

fn hex(text: &str) -> Vec<u8> {
    from_hex(text).unwrap()
}

fn counting(bytes: std::ops::Range<u8>) -> Vec<u8> {
    bytes.collect()
}

/// RFC 3610 §8, packet vector 1; SP 800-38C, examples 1 and 2. Composed of CBC and ECB where the token has no CCM.
pub(super) async fn ccm_matches_published_vectors(context: Context) {
    let pool = pool(&context);
    let sp800 = counting(0x40..0x50);
    let vectors = [
        (
            counting(0xC0..0xD0),
            hex("00000003020100a0a1a2a3a4a5"),
            counting(0..8),
            counting(8..31),
            hex("588c979a61c663d2f066d0c2c0f989806d5f6b61dac384"),
            hex("17e8d12cfdf926e0"),
        ),
        (sp800.clone(), counting(0x10..0x17), counting(0..8), counting(0x20..0x24), hex("7162015b"), hex("4dac255d")),
        (
            sp800,
            counting(0x10..0x18),
            counting(0..16),
            counting(0x20..0x30),
            hex("d2a1f0e051ea5f62081a7792073d593d"),
            hex("1fc64fbfaccd"),
        ),
    ];
    for (value, nonce, aad, plain, sealed, tag) in vectors {
        let key = import(&pool, KeyKind::Aes, &value, BOTH).await;
        let tag_length = i32::try_from(tag.len()).ok();
        let ccm = CryptographicParameters { tag_length, ..mode(BlockCipherMode::CCM, None) };
        let (data, made) = encrypt(&pool, &key, &ccm, Some(&nonce), &aad, &plain).await.unwrap();
        assert_eq!((&data, made.as_ref()), (&sealed, Some(&tag)));
        let back = decrypt(&pool, &key, &ccm, Some(&nonce), &aad, (&data, Some(&tag))).await.unwrap();
        assert_eq!(back, plain);
        let mut forged = tag.clone();
        forged[0] ^= 1;
        for (aad, tag) in [(aad.as_slice(), forged.as_slice()), (b"other", tag.as_slice())] {
            let error = decrypt(&pool, &key, &ccm, Some(&nonce), aad, (&data, Some(tag))).await.unwrap_err();
            assert_eq!(error.kind, HsmErrorKind::DecryptionFailed, "{error}");
        }
        // Nothing to encrypt: only the tag.
        let (nothing, tag) = encrypt(&pool, &key, &ccm, Some(&nonce), &aad, &[]).await.unwrap();
        assert!(nothing.is_empty());
        let back = decrypt(&pool, &key, &ccm, Some(&nonce), &aad, (&[], tag.as_deref())).await.unwrap();
        assert!(back.is_empty());
        for (nonce, tag_length) in [(&nonce[..6], Some(8)), (&[0; 14][..], Some(8)), (nonce.as_slice(), Some(5))] {
            let wrong = CryptographicParameters { tag_length, ..ccm.clone() };
            let error = encrypt(&pool, &key, &wrong, Some(nonce), &aad, &plain).await.unwrap_err();
            assert_eq!(error.kind, HsmErrorKind::BadParameters, "{error}");
        }
        // A nonce of 13 bytes leaves 16 bits for the length of the data.
        let error = encrypt(&pool, &key, &ccm, Some(&[0; 13]), &aad, &vec![0; 1 << 16]).await.unwrap_err();
        assert_eq!(error.kind, HsmErrorKind::BadData, "{error}");
        destroy(&pool, &key).await;
    }
}

/// IEEE 1619, vectors 2 and 10 (its first two blocks): an AES-256 key as two of 128 bits, and the two AES-256 keys of a key of 512.
pub(super) async fn xts_matches_published_vectors(context: Context) {
    let pool = pool(&context);
    let xts = mode(BlockCipherMode::XTS, None);
    let value = [[0x11; 16], [0x22; 16]].concat();
    let short = import(&pool, KeyKind::Aes, &value, BOTH).await;
    let tweak = hex("33333333330000000000000000000000");
    match encrypt(&pool, &short, &xts, Some(&tweak), &[], &[0x44; 32]).await {
        Ok((data, tag)) => {
            let expected = hex("c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0");
            assert_eq!((&data, tag), (&expected, None));
            let back = decrypt(&pool, &short, &xts, Some(&tweak), &[], (&data, None)).await.unwrap();
            assert_eq!(back, [0x44; 32]);
        }
        Err(error) => {
            assert_eq!(error.kind, HsmErrorKind::Unsupported, "{error}");
            let (kind, value) = (KeyKind::AesXts, SecretValue::new(vec![7; 64]));
            let request = HsmRequest::ImportKey { at: place(), kind, value, usage: BOTH, extractable: true };
            let error = call(&pool, request).await.unwrap_err();
            assert_eq!(error.kind, HsmErrorKind::Unsupported, "{error}");
            println!("skipped, because {} has no XTS", context.name);
            return;
        }
    }
    let error = encrypt(&pool, &short, &xts, Some(&tweak[1..]), &[], &[0x44; 32]).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::BadParameters, "{error}");
    let error = encrypt(&pool, &short, &xts, Some(&tweak), &[], &[0x44; 15]).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::BadData, "{error}");
    let value = hex("2718281828459045235360287471352662497757247093699959574966967627\
         3141592653589793238462643383279502884197169399375105820974944592");
    let long = import(&pool, KeyKind::AesXts, &value, BOTH).await;
    assert_eq!(reveal(&pool, &long).await, value);
    let tweak = hex("ff000000000000000000000000000000");
    let plain: Vec<u8> = (0..=255).collect();
    let (data, _) = encrypt(&pool, &long, &xts, Some(&tweak), &[], &plain).await.unwrap();
    assert_eq!(data[..32], hex("1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"));
    let back = decrypt(&pool, &long, &xts, Some(&tweak), &[], (&data, None)).await.unwrap();
    assert_eq!(back, plain);
    // It is no key for anything else, and one that the token makes is one, too.
    let error = encrypt(&pool, &long, &mode(BlockCipherMode::ECB, None), None, &[], &[0; 16]).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::Unsupported, "{error}");
    let kind = KeyKind::AesXts;
    let request =
        HsmRequest::GenerateKey { at: place(), kind, bytes: 64, usage: BOTH, extractable: true, digest: true };
    let own = made(&pool, request).await;
    assert_eq!(own.key, Some(kind));
    let (data, _) = encrypt(&pool, &own, &xts, Some(&tweak), &[], &plain).await.unwrap();
    let back = decrypt(&pool, &own, &xts, Some(&tweak), &[], (&data, None)).await.unwrap();
    assert_eq!(back, plain);
    // Of a key that may not leave no copy can be lent to XTS.
    let kind = KeyKind::Aes;
    let request =
        HsmRequest::GenerateKey { at: place(), kind, bytes: 32, usage: BOTH, extractable: false, digest: false };
    let stays = made(&pool, request).await;
    let error = encrypt(&pool, &stays, &xts, Some(&tweak), &[], &plain).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::NotExtractable, "{error}");
    for key in [short, long, own, stays] {
        destroy(&pool, &key).await;
    }
}

/// By its definition over single blocks: Cᵢ = E(Pᵢ ⊕ Pᵢ₋₁ ⊕ Cᵢ₋₁), with the IV before the first.
pub(super) async fn pcbc_chains_plain_and_encrypted_blocks(context: Context) {
    let pool = pool(&context);
    for (kind, block, value) in [
        (KeyKind::Aes, 16, counting(0x20..0x40)),
        (KeyKind::TripleDes, 8, hex("0123456789abcdef23456789abcdef01456789abcdef0123")),
    ] {
        let usage = BOTH;
        let request =
            HsmRequest::ImportKey { at: place(), kind, value: SecretValue::new(value), usage, extractable: true };
        let key = match call(&pool, request).await {
            Ok(HsmAnswer::Made { reference, .. }) => reference,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!((error.kind, kind), (HsmErrorKind::Unsupported, KeyKind::TripleDes), "{error}");
                continue;
            }
        };
        let (plain, iv) = (counting(1..1 + u8::try_from(3 * block).unwrap()), vec![0x5A; block]);
        let unpadded = mode(BlockCipherMode::PCBC, None);
        let sealed = match encrypt(&pool, &key, &unpadded, Some(&iv), &[], &plain).await {
            Ok((sealed, None)) => sealed,
            // The model of an approved mode encrypts nothing with triple DES.
            Err(error) if kind == KeyKind::TripleDes && context.name.ends_with("luna7-fips") => {
                assert_eq!(error.kind, HsmErrorKind::Unsupported, "{error}");
                destroy(&pool, &key).await;
                continue;
            }
            other => panic!("{other:?}"),
        };
        let mut expected = Vec::new();
        let mut mask = iv.clone();
        for part in plain.chunks(block) {
            let input: Vec<u8> = part.iter().zip(&mask).map(|(byte, mask)| byte ^ mask).collect();
            let ecb = mode(BlockCipherMode::ECB, None);
            let (output, _) = encrypt(&pool, &key, &ecb, None, &[], &input).await.unwrap();
            mask = part.iter().zip(&output).map(|(one, other)| one ^ other).collect();
            expected.extend(output);
        }
        assert_eq!(sealed, expected, "{kind:?}");
        let back = decrypt(&pool, &key, &unpadded, Some(&iv), &[], (&sealed, None)).await.unwrap();
        assert_eq!(back, plain, "{kind:?}");
        let padded = mode(BlockCipherMode::PCBC, Some(PaddingMethod::PKCS5));
        let (sealed, _) = encrypt(&pool, &key, &padded, Some(&iv), &[], &plain[..block + 3]).await.unwrap();
        assert_eq!(sealed.len(), 2 * block);
        let back = decrypt(&pool, &key, &padded, Some(&iv), &[], (&sealed, None)).await.unwrap();
        assert_eq!(back, plain[..block + 3]);
        let error = encrypt(&pool, &key, &unpadded, Some(&iv), &[], &plain[1..]).await.unwrap_err();
        assert_eq!(error.kind, HsmErrorKind::BadData, "{error}");
        let error = encrypt(&pool, &key, &unpadded, Some(&iv[1..]), &[], &plain).await.unwrap_err();
        assert_eq!(error.kind, HsmErrorKind::BadParameters, "{error}");
        destroy(&pool, &key).await;
    }
}

/// GMAC is GCM over additional data alone (SP 800-38D §3); a vector of its validation system. It needs an IV, which the
/// request of a MAC has no place for.
pub(super) async fn gmac_is_gcm_without_data(context: Context) {
    let pool = pool(&context);
    let usage = BOTH.with(UsageMask::MAC_GENERATE);
    let key = import(&pool, KeyKind::Aes, &hex("77be63708971c4e240d1cb79e8d77feb"), usage).await;
    let gcm = CryptographicParameters { tag_length: Some(16), ..mode(BlockCipherMode::GCM, None) };
    let (iv, aad) = (hex("e0e00f19fed7ba0136a797f3"), hex("7a43ec1d9c0a5a78a0b16533a6213cab"));
    let request = HsmRequest::Encrypt {
        key: key.clone(),
        parameters: gcm.clone(),
        iv: Some(iv.clone()),
        aad: aad.clone(),
        data: SecretValue::new(Vec::new()),
    };
    let HsmAnswer::Encrypted { data, iv: own, auth_tag } = call(&pool, request).await.unwrap() else {
        panic!("no encrypted data")
    };
    assert!(data.is_empty());
    // A device that makes the IV makes another tag, which opens with that IV.
    if own.is_none() {
        assert_eq!(auth_tag, Some(hex("209fcc8d3675ed938e9c7166709dd946")));
    }
    let iv = own.unwrap_or(iv);
    let back = decrypt(&pool, &key, &gcm, Some(&iv), &aad, (&[], auth_tag.as_deref())).await.unwrap();
    assert!(back.is_empty());
    let error = decrypt(&pool, &key, &gcm, Some(&iv), b"other", (&[], auth_tag.as_deref())).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::DecryptionFailed, "{error}");
    let request = HsmRequest::Mac { key: key.clone(), parameters: gcm, data: SecretValue::new(aad) };
    assert_eq!(call(&pool, request).await.unwrap_err().kind, HsmErrorKind::Unsupported);
    destroy(&pool, &key).await;
}
