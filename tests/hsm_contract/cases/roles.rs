//! What a token does not want in one key: it makes it or says that it does not offer it, and what was not asked for is no reason.

use portcullis::{
    domain::{
        CryptographicAlgorithm, CryptographicParameters, SecretValue, TokenReference, UsageMask,
        algorithm::BlockCipherMode, reference::KeyKind,
    },
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, HsmRequest, WrapMode},
    hsm::Pool,
};

use super::operations::{encrypt, mode};
use crate::{
    harness::Context,
    pool::{call, destroy, exposed, import, place, pool},
};

const WRAPS: UsageMask = UsageMask::ENCRYPT.with(UsageMask::WRAP);

/// The two ways by which a key of these uses comes to be.
async fn both_ways(pool: &Pool, usage: UsageMask) -> [Result<TokenReference, HsmError>; 2] {
    let (kind, bytes) = (KeyKind::Aes, 32);
    let generated = HsmRequest::GenerateKey { at: place(), kind, bytes, usage, extractable: true, digest: false };
    let value = SecretValue::new(vec![5; 32]);
    let imported = HsmRequest::ImportKey { at: place(), kind, value, usage, extractable: true };
    let mut made = Vec::new();
    for request in [generated, imported] {
        made.push(call(pool, request).await.map(|answer| match answer {
            HsmAnswer::Made { reference, .. } => reference,
            other => panic!("{other:?}"),
        }));
    }
    made.try_into().unwrap()
}

/// A token may keep wrapping and encrypting apart. A key that may encrypt and wrap needs nothing of what it keeps apart.
pub(super) async fn uses_that_a_token_keeps_apart_are_not_offered(context: Context) {
    let pool = pool(&context);
    let target = import(&pool, KeyKind::Aes, &[7; 16], UsageMask(0)).await;
    for key in both_ways(&pool, WRAPS).await {
        let key = key.unwrap();
        let (data, _) = encrypt(&pool, &key, &mode(BlockCipherMode::ECB, None), None, &[], &[0; 16]).await.unwrap();
        assert_eq!(data.len(), 16);
        let request = HsmRequest::WrapKey { wrapping: key.clone(), target: target.clone(), mode: WrapMode::AesKeyWrap };
        assert_eq!(exposed(call(&pool, request).await.unwrap()).len(), 24);
        destroy(&pool, &key).await;
    }
    let all = WRAPS.with(UsageMask::DECRYPT).with(UsageMask::UNWRAP);
    let keeps_apart = context.name == "hsm-sim-luna7-fips";
    for key in both_ways(&pool, all).await {
        match key {
            Ok(key) if !keeps_apart => destroy(&pool, &key).await,
            Err(error) if keeps_apart => assert_eq!(error.kind, HsmErrorKind::Unsupported, "{error}"),
            other => panic!("{other:?}"),
        }
    }
    destroy(&pool, &target).await;
}

/// HMAC takes keys of any length (RFC 2104 §3); a token that does not says so.
pub(super) async fn a_short_key_makes_a_mac_or_is_not_offered(context: Context) {
    let pool = pool(&context);
    let key = import(&pool, KeyKind::Generic, &[7; 16], UsageMask::MAC_GENERATE).await;
    let parameters = CryptographicParameters {
        cryptographic_algorithm: Some(CryptographicAlgorithm::HMAC_SHA256),
        ..CryptographicParameters::default()
    };
    let request = HsmRequest::Mac { key: key.clone(), parameters, data: SecretValue::new(b"data".to_vec()) };
    match call(&pool, request).await {
        Ok(mac) => {
            let known = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 16]);
            assert_eq!(exposed(mac), aws_lc_rs::hmac::sign(&known, b"data").as_ref());
        }
        Err(error) => {
            assert_eq!((context.name.as_str(), error.kind), ("softhsm2", HsmErrorKind::Unsupported), "{error}");
        }
    }
    destroy(&pool, &key).await;
}
