//! Objects made, taken in, given out, found and destroyed.

use portcullis::{
    domain::{
        SecretValue, TokenReference, UsageMask,
        algorithm::{Curve, HashingAlgorithm},
        reference::{DataHolder, HeldBytes, KeyKind},
    },
    engine::ports::{Found, HsmAnswer, HsmErrorKind, HsmRequest, PairKind, Placement},
};

use crate::{
    harness::Context,
    pool::{call, destroy, exposed, found, import, is_revealed, made, pair, place, pool, reveal, sha256},
};

const USAGE: UsageMask = UsageMask::ENCRYPT.with(UsageMask::DECRYPT);

fn bytes_of(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 256) as u8).collect()
}

pub(super) async fn generated_secret_keys_come_out_as_digested(context: Context) {
    let pool = pool(&context);
    let wanted = [
        (KeyKind::Aes, 16),
        (KeyKind::Aes, 24),
        (KeyKind::Aes, 32),
        (KeyKind::TripleDes, 24),
        (KeyKind::Generic, 32),
        (KeyKind::Generic, 64),
    ];
    for (kind, bytes) in wanted {
        let usage = if kind == KeyKind::Generic { UsageMask::MAC_GENERATE } else { USAGE };
        if kind == KeyKind::TripleDes && !offers_triple_des(&pool).await {
            println!("{}: no triple DES", context.name);
            continue;
        }
        let request = HsmRequest::GenerateKey { at: place(), kind, bytes, usage, extractable: true, digest: true };
        let HsmAnswer::Made { reference, digest } = call(&pool, request).await.unwrap() else { panic!() };
        let value = reveal(&pool, &reference).await;
        assert_eq!(value.len(), bytes as usize, "{kind:?}");
        assert_eq!(digest, Some(sha256(&value)));
        let request = HsmRequest::Digest { reference: reference.clone(), hash: HashingAlgorithm::SHA_256 };
        assert_eq!(Some(exposed(call(&pool, request).await.unwrap())), digest);
        assert_eq!(found(&pool, &reference).await, Found { secret: 1, ..Found::default() });
        destroy(&pool, &reference).await;
    }
    let request = HsmRequest::GenerateKey {
        at: place(),
        kind: KeyKind::Aes,
        bytes: 17,
        usage: USAGE,
        extractable: true,
        digest: false,
    };
    assert_eq!(call(&pool, request).await.unwrap_err().kind, HsmErrorKind::Unsupported);
}

async fn hold(pool: &portcullis::hsm::Pool, value: &[u8], at: Placement, beside_key: bool) -> TokenReference {
    made(pool, HsmRequest::HoldBytes { at, value: SecretValue::new(value.to_vec()), beside_key }).await
}

pub(super) async fn held_bytes_come_back_exactly(context: Context) {
    let pool = pool(&context);
    for length in [1, 7, 31, 32, 1000, 4095, 4096, 4097, 15_000] {
        let value = bytes_of(length);
        let reference = hold(&pool, &value, place(), false).await;
        let held = reference.bytes.unwrap();
        assert_eq!((held.length as usize, reference.key), (length, None));
        if length > 4096 {
            assert_eq!(held.holder, DataHolder::Data);
        }
        let request = HsmRequest::RevealBytes { reference: reference.clone() };
        assert_eq!(exposed(call(&pool, request).await.unwrap()), value, "{length} bytes");
        for (hash, expected) in [(HashingAlgorithm::SHA_256, 32), (HashingAlgorithm::SHA_512, 64)] {
            let request = HsmRequest::Digest { reference: reference.clone(), hash };
            let digest = exposed(call(&pool, request).await.unwrap());
            assert_eq!(digest.len(), expected);
            assert_eq!(digest, portcullis::crypto::hash::digest(hash, &value).unwrap());
        }
        let expected = match held.holder {
            DataHolder::GenericSecret => Found { secret: 1, ..Found::default() },
            DataHolder::Data => Found { data: 1, ..Found::default() },
        };
        assert_eq!(found(&pool, &reference).await, expected);
        destroy(&pool, &reference).await;
        assert!(found(&pool, &reference).await.is_empty());
    }
    let request = HsmRequest::HoldBytes { at: place(), value: SecretValue::new(Vec::new()), beside_key: false };
    assert_eq!(call(&pool, request).await.unwrap_err().kind, HsmErrorKind::BadData);
}

pub(super) async fn bytes_beside_a_key_are_told_apart(context: Context) {
    let pool = pool(&context);
    let key = import(&pool, KeyKind::Aes, &[9; 16], USAGE).await;
    let at = Placement { token: key.token.clone(), cka_id: key.cka_id };
    let text = b"the key as its owner wrote it";
    let beside = hold(&pool, text, at, true).await;
    assert_eq!(beside.bytes, Some(HeldBytes { holder: DataHolder::Data, length: 29 }));
    let both = TokenReference { bytes: beside.bytes, ..key };
    assert_eq!(reveal(&pool, &both).await, [9; 16]);
    let request = HsmRequest::RevealBytes { reference: both.clone() };
    assert_eq!(exposed(call(&pool, request).await.unwrap()), text);
    let request = HsmRequest::Digest { reference: both.clone(), hash: HashingAlgorithm::SHA_256 };
    assert_eq!(exposed(call(&pool, request).await.unwrap()), sha256(text), "held bytes come before the key");
    assert_eq!(found(&pool, &both).await, Found { secret: 1, data: 1, ..Found::default() });
    destroy(&pool, &both).await;
    assert!(found(&pool, &both).await.is_empty());
}

pub(super) async fn imported_keys_come_back_exactly(context: Context) {
    let pool = pool(&context);
    let values = [
        (KeyKind::Aes, bytes_of(16)),
        (KeyKind::Aes, bytes_of(24)),
        (KeyKind::Aes, bytes_of(32)),
        (KeyKind::TripleDes, [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF].repeat(3)),
        (KeyKind::Generic, bytes_of(1)),
        (KeyKind::Generic, bytes_of(31)),
        (KeyKind::Generic, bytes_of(4096)),
    ];
    for (kind, value) in values {
        let usage = if kind == KeyKind::Generic { UsageMask::MAC_GENERATE } else { USAGE };
        if kind == KeyKind::TripleDes && !offers_triple_des(&pool).await {
            println!("{}: no triple DES", context.name);
            continue;
        }
        let reference = import(&pool, kind, &value, usage).await;
        assert_eq!(reference.key, Some(kind));
        assert_eq!(reveal(&pool, &reference).await, value, "{kind:?}, {} bytes", value.len());
        destroy(&pool, &reference).await;
    }
}

pub(super) async fn bad_values_are_refused_and_leave_nothing(context: Context) {
    let pool = pool(&context);
    let wrong = [
        (KeyKind::Aes, bytes_of(15)),
        (KeyKind::Aes, Vec::new()),
        (KeyKind::Generic, Vec::new()),
        (KeyKind::RsaPrivate, b"no key".to_vec()),
        (KeyKind::EcPrivate(Curve::P256), bytes_of(32)),
        (KeyKind::RsaPublic, b"no key".to_vec()),
        (KeyKind::Ed25519Public, bytes_of(32)),
    ];
    for (kind, value) in wrong {
        let at = place();
        let value = SecretValue::new(value);
        let request = HsmRequest::ImportKey { at: at.clone(), kind, value, usage: UsageMask(0), extractable: true };
        assert_eq!(call(&pool, request).await.unwrap_err().kind, HsmErrorKind::BadData, "{kind:?}");
        assert!(matches!(call(&pool, HsmRequest::Find { at }).await, Ok(HsmAnswer::Found(found)) if found.is_empty()));
    }
    // A key of another kind than announced.
    let (private, public) = pair(&pool, PairKind::Ec(Curve::P256), true).await;
    for (reference, kind) in [(&private, KeyKind::EcPrivate(Curve::P384)), (&public, KeyKind::Ed25519Public)] {
        let value = SecretValue::new(reveal(&pool, reference).await);
        let request = HsmRequest::ImportKey { at: place(), kind, value, usage: UsageMask(0), extractable: true };
        assert_eq!(call(&pool, request).await.unwrap_err().kind, HsmErrorKind::BadData, "{kind:?}");
    }
    destroy(&pool, &private).await;
    destroy(&pool, &public).await;
}

pub(super) async fn pairs_come_out_and_in_again(context: Context) {
    let pool = pool(&context);
    let kinds = [
        PairKind::Rsa { bits: 2048 },
        PairKind::Rsa { bits: 3072 },
        PairKind::Ec(Curve::P256),
        PairKind::Ec(Curve::P384),
        PairKind::Ec(Curve::P521),
        PairKind::Ed25519,
    ];
    for kind in kinds {
        if kind == PairKind::Ed25519 && !offers_ed25519(&pool).await {
            println!("{}: no Ed25519", context.name);
            continue;
        }
        let (private, public) = pair(&pool, kind, true).await;
        assert_eq!(found(&pool, &private).await, Found { private: 1, ..Found::default() });
        assert_eq!(found(&pool, &public).await, Found { public: 1, ..Found::default() });
        for (reference, usage) in [(&private, UsageMask::SIGN), (&public, UsageMask::VERIFY)] {
            if kind == PairKind::Ed25519 && !is_revealed(&pool, reference).await {
                println!("{}: Ed25519 private keys do not leave it", context.name);
                destroy(&pool, reference).await;
                continue;
            }
            let der = reveal(&pool, reference).await;
            let copy = import(&pool, reference.key.unwrap(), &der, usage).await;
            assert_eq!(reveal(&pool, &copy).await, der, "{kind:?}");
            destroy(&pool, &copy).await;
            destroy(&pool, reference).await;
        }
    }
    let request = HsmRequest::GenerateKeyPair {
        private: place(),
        public: place(),
        kind: PairKind::Rsa { bits: 100 },
        private_usage: UsageMask::SIGN,
        public_usage: UsageMask::VERIFY,
        extractable: true,
    };
    assert_eq!(call(&pool, request).await.unwrap_err().kind, HsmErrorKind::Unsupported);
}

/// Whether the token knows triple DES; if not, it must say so.
pub(super) async fn offers_triple_des(pool: &portcullis::hsm::Pool) -> bool {
    let (at, kind) = (place(), KeyKind::TripleDes);
    let value = SecretValue::new([1, 2, 4, 7, 8, 11, 13, 14].repeat(3));
    let request = HsmRequest::ImportKey { at: at.clone(), kind, value, usage: USAGE, extractable: true };
    let offered = call(pool, request).await;
    let wrong = HsmRequest::ImportKey {
        at: place(),
        kind,
        value: SecretValue::new(vec![1; 23]),
        usage: USAGE,
        extractable: true,
    };
    let refusal = call(pool, wrong).await.unwrap_err().kind;
    match offered {
        Ok(_) => {
            call(pool, HsmRequest::Destroy { at }).await.unwrap();
            assert_eq!(refusal, HsmErrorKind::BadData);
            true
        }
        Err(error) => {
            assert_eq!((error.kind, refusal), (HsmErrorKind::Unsupported, HsmErrorKind::Unsupported), "{error}");
            false
        }
    }
}

async fn offers_ed25519(pool: &portcullis::hsm::Pool) -> bool {
    let (private, public) = (place(), place());
    let request = HsmRequest::GenerateKeyPair {
        private: private.clone(),
        public: public.clone(),
        kind: PairKind::Ed25519,
        private_usage: UsageMask::SIGN,
        public_usage: UsageMask::VERIFY,
        extractable: true,
    };
    match call(pool, request).await {
        Ok(_) => {
            for at in [private, public] {
                call(pool, HsmRequest::Destroy { at }).await.unwrap();
            }
            true
        }
        Err(error) => {
            assert_eq!(error.kind, HsmErrorKind::Unsupported, "{error}");
            false
        }
    }
}

pub(super) async fn what_may_not_leave_stays(context: Context) {
    let pool = pool(&context);
    let request = HsmRequest::GenerateKey {
        at: place(),
        kind: KeyKind::Aes,
        bytes: 32,
        usage: USAGE,
        extractable: false,
        digest: true,
    };
    let HsmAnswer::Made { reference, digest } = call(&pool, request).await.unwrap() else { panic!() };
    assert_eq!(digest, None);
    let (private, public) = pair(&pool, PairKind::Ec(Curve::P256), false).await;
    for reference in [&reference, &private] {
        let request = HsmRequest::RevealKey { reference: reference.clone() };
        assert_eq!(call(&pool, request).await.unwrap_err().kind, HsmErrorKind::NotExtractable);
        let request = HsmRequest::Digest { reference: reference.clone(), hash: HashingAlgorithm::SHA_256 };
        assert_eq!(call(&pool, request).await.unwrap_err().kind, HsmErrorKind::NotExtractable);
    }
    for reference in [reference, private, public] {
        destroy(&pool, &reference).await;
    }
}

pub(super) async fn destroying_is_idempotent_and_handles_are_forgotten(context: Context) {
    let (one, other) = (pool(&context), pool(&context));
    let key = import(&one, KeyKind::Aes, &[1; 16], USAGE).await;
    // Both pools know the handle now; the first destroys the object, the second finds its handle void.
    assert_eq!(reveal(&other, &key).await, [1; 16]);
    destroy(&one, &key).await;
    destroy(&one, &key).await;
    for pool in [&one, &other] {
        let request = HsmRequest::RevealKey { reference: key.clone() };
        assert_eq!(call(pool, request).await.unwrap_err().kind, HsmErrorKind::ObjectMissing);
    }
    destroy(&other, &key).await;
    let request = HsmRequest::RevealKey { reference: TokenReference { key: None, ..key } };
    assert_eq!(call(&one, request).await.unwrap_err().kind, HsmErrorKind::BadParameters);
}
