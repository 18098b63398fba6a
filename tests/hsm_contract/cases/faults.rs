//! What goes wrong on command: only the simulator can do that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hsm_sim::fault::control;
use portcullis::{
    domain::{
        CryptographicAlgorithm, CryptographicParameters, SecretValue, TokenReference, UsageMask, algorithm::Curve,
        reference::KeyKind,
    },
    engine::ports::{Found, Hsm, HsmAnswer, HsmError, HsmErrorKind, HsmRequest, Memory, PairKind, Terms},
    hsm::{Config, Isolation, Pool},
};

use crate::{
    harness::Context,
    pool::{Remembered, call, config, connect, exposed, found, import, isolation, made, pair, place, pool, reveal},
};

/// From now on this goes wrong.
fn install(context: &Context, rules: &str) {
    control::install(&context.folder.join("sim"), &format!("[faults]\n{rules}")).unwrap();
}

fn clear(context: &Context) {
    control::clear(&context.folder.join("sim")).unwrap();
}

fn answer(function: &str, code: &str, times: u32) -> String {
    format!(
        "[[faults.rule]]\nmatch = {{ function = \"{function}\" }}\ntimes = {times}\naction = {{ return = \"{code}\" }}\n"
    )
}

async fn hmac_key(pool: &Pool) -> TokenReference {
    import(pool, KeyKind::Generic, &[0x0B; 32], UsageMask::MAC_GENERATE).await
}

fn mac_request(key: &TokenReference) -> HsmRequest {
    HsmRequest::Mac {
        key: key.clone(),
        parameters: CryptographicParameters {
            cryptographic_algorithm: Some(CryptographicAlgorithm::HMAC_SHA256),
            ..CryptographicParameters::default()
        },
        data: SecretValue::new(b"Hi There".to_vec()),
    }
}

async fn mac(pool: &Pool, key: &TokenReference) -> Result<Vec<u8>, HsmError> {
    call(pool, mac_request(key)).await.map(exposed)
}

/// What a machine may take whose processors are busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until(pool: &Pool, what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never {what}: {:?}", pool.status()[0]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_ready(pool: &Pool) {
    until(pool, "ready", || pool.status()[0].health == "ready").await;
}

/// Contract §2: what the caller gets when the fault persists, and whether one fault alone is hidden by a second try.
const TABLE: &[(&str, HsmErrorKind, bool)] = &[
    ("CKR_HOST_MEMORY", HsmErrorKind::Busy, true),
    ("CKR_GENERAL_ERROR", HsmErrorKind::Internal, true),
    ("CKR_FUNCTION_FAILED", HsmErrorKind::Internal, true),
    ("CKR_DEVICE_ERROR", HsmErrorKind::Unavailable, true),
    ("CKR_DEVICE_MEMORY", HsmErrorKind::Busy, false),
    ("CKR_DEVICE_REMOVED", HsmErrorKind::Unavailable, false),
    ("CKR_TOKEN_NOT_PRESENT", HsmErrorKind::Unavailable, false),
    ("CKR_SESSION_HANDLE_INVALID", HsmErrorKind::Unavailable, true),
    ("CKR_SESSION_CLOSED", HsmErrorKind::Unavailable, true),
    ("CKR_USER_NOT_LOGGED_IN", HsmErrorKind::Unavailable, true),
    ("CKR_CRYPTOKI_NOT_INITIALIZED", HsmErrorKind::Unavailable, true),
    ("CKR_OPERATION_ACTIVE", HsmErrorKind::Internal, true),
    ("CKR_OPERATION_NOT_INITIALIZED", HsmErrorKind::Internal, true),
    ("CKR_OBJECT_HANDLE_INVALID", HsmErrorKind::ObjectMissing, true),
    ("CKR_KEY_HANDLE_INVALID", HsmErrorKind::ObjectMissing, true),
    ("CKR_MECHANISM_INVALID", HsmErrorKind::Unsupported, false),
    ("CKR_FUNCTION_NOT_SUPPORTED", HsmErrorKind::Unsupported, false),
    ("CKR_MECHANISM_PARAM_INVALID", HsmErrorKind::BadParameters, false),
    ("CKR_KEY_SIZE_RANGE", HsmErrorKind::BadParameters, false),
    ("CKR_KEY_TYPE_INCONSISTENT", HsmErrorKind::BadParameters, false),
    ("CKR_KEY_FUNCTION_NOT_PERMITTED", HsmErrorKind::NotPermitted, false),
    ("CKR_KEY_UNEXTRACTABLE", HsmErrorKind::NotExtractable, false),
    ("CKR_ACTION_PROHIBITED", HsmErrorKind::NotPermitted, false),
    ("CKR_DATA_INVALID", HsmErrorKind::BadData, false),
    ("CKR_DATA_LEN_RANGE", HsmErrorKind::BadData, false),
    ("CKR_FUNCTION_CANCELED", HsmErrorKind::Refused, false),
    ("CKR_FUNCTION_REJECTED", HsmErrorKind::Refused, false),
    ("CKR_PIN_LOCKED", HsmErrorKind::Unavailable, false),
    ("0x80001234", HsmErrorKind::Internal, true),
];

pub(super) async fn every_answer_has_its_class(context: Context) {
    let pool = pool(&context);
    let key = hmac_key(&pool).await;
    let expected = mac(&pool, &key).await.unwrap();
    for (code, kind, hidden) in TABLE {
        install(&context, &answer("C_Sign", code, 1));
        match mac(&pool, &key).await {
            Ok(mac) => assert!(*hidden && mac == expected, "{code} was hidden"),
            // The module is initialised and the token linked anew, which a busy machine may not do in time.
            Err(error) if *code == "CKR_CRYPTOKI_NOT_INITIALIZED" => assert_eq!(error.kind, *kind, "{error}"),
            Err(error) => assert!(!*hidden && error.kind == *kind, "one {code} gave {error}"),
        }
        until_ready(&pool).await;
        install(&context, &answer("C_Sign", code, 2));
        let error = mac(&pool, &key).await.unwrap_err();
        assert_eq!(error.kind, *kind, "{code}: {error}");
        clear(&context);
        until_ready(&pool).await;
        assert_eq!(mac(&pool, &key).await.unwrap(), expected, "after {code}");
    }
}

pub(super) async fn an_ambiguous_creation_leaves_one_object_or_none(context: Context) {
    let pool = pool(&context);
    for (times, function) in [(1, "C_GenerateKey"), (2, "C_GenerateKey"), (1, "C_CreateObject"), (2, "C_CreateObject")]
    {
        let at = place();
        let usage = UsageMask::ENCRYPT;
        let request = if function == "C_GenerateKey" {
            let kind = KeyKind::Aes;
            HsmRequest::GenerateKey { at: at.clone(), kind, bytes: 32, usage, extractable: true, digest: false }
        } else {
            let value = SecretValue::new(vec![1; 6000]);
            HsmRequest::HoldBytes { at: at.clone(), value, beside_key: false }
        };
        install(
            &context,
            &format!(
                "[[faults.rule]]\nmatch = {{ function = \"{function}\" }}\ntimes = {times}\n\
                 action = {{ return = \"CKR_DEVICE_ERROR\", phase = \"after\" }}\n"
            ),
        );
        let outcome = call(&pool, request).await;
        clear(&context);
        let count = match call(&pool, HsmRequest::Find { at }).await.unwrap() {
            HsmAnswer::Found(Found { secret, data, .. }) => secret + data,
            other => panic!("{other:?}"),
        };
        assert_eq!(outcome.is_ok(), times == 1, "{function}, {times} times: {outcome:?}");
        assert_eq!(count, u32::from(times == 1), "{function}, {times} times");
    }
}

pub(super) async fn a_token_that_was_taken_out_comes_back(context: Context) {
    let pool = pool(&context);
    let key = hmac_key(&pool).await;
    let expected = mac(&pool, &key).await.unwrap();
    let generation = pool.status()[0].generation;
    let (served, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..64)
        .map(|_| {
            let (pool, key, expected) = (Arc::clone(&pool), key.clone(), expected.clone());
            let (served, refused, over) = (Arc::clone(&served), Arc::clone(&refused), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    match call(&pool, mac_request(&key)).await {
                        Ok(answer) => {
                            assert_eq!(exposed(answer), expected);
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert_eq!(error.kind, HsmErrorKind::Unavailable, "{error}");
                            refused.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                }
            })
        })
        .collect();
    until(&pool, "served", || served.load(Ordering::Relaxed) > 0).await;
    install(
        &context,
        "[[faults.rule]]\nmatch = { function = \"C_Sign\" }\ntimes = 1\naction = { remove_token = \"2s\" }\n",
    );
    until(&pool, "lost", || pool.status()[0].generation > generation).await;
    let lost = Instant::now();
    until(&pool, "refusing", || refused.load(Ordering::Relaxed) > 0).await;
    until_ready(&pool).await;
    // Two seconds away and at most two more; the rest is for a machine that is busy.
    println!("ready {:?} after the loss", lost.elapsed());
    let before = served.load(Ordering::Relaxed);
    until(&pool, "served again", || served.load(Ordering::Relaxed) > before).await;
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(reveal(&pool, &key).await, [0x0B; 32]);
}

pub(super) async fn lost_sessions_are_opened_again(context: Context) {
    let pool = pool(&context);
    let key = hmac_key(&pool).await;
    let expected = mac(&pool, &key).await.unwrap();
    for which in ["this", "slot"] {
        install(
            &context,
            &format!(
                "[[faults.rule]]\nmatch = {{ function = \"C_Sign\" }}\ntimes = 1\naction = {{ drop_sessions = \"{which}\" }}\n"
            ),
        );
        match mac(&pool, &key).await {
            Ok(mac) => assert_eq!(mac, expected),
            // With the anchor gone the request may be over before the token is linked anew.
            Err(error) => assert_eq!((error.kind, which), (HsmErrorKind::Unavailable, "slot")),
        }
        clear(&context);
        until_ready(&pool).await;
        assert_eq!(mac(&pool, &key).await.unwrap(), expected);
        assert_eq!(reveal(&pool, &key).await, [0x0B; 32]);
    }
}

fn custom(context: &Context, change: impl FnOnce(&mut Config)) -> Arc<Pool> {
    let memory: Arc<dyn Memory> = Arc::new(Remembered::default());
    let mut config = config(context);
    change(&mut config);
    Arc::new(connect(config, &memory, &Arc::default()).unwrap())
}

pub(super) async fn a_call_that_hangs_is_replaced(context: Context) {
    // With the usual limit, so that no slow call of the preparation counts as hanging.
    let (key, expected) = {
        let pool = pool(&context);
        let key = hmac_key(&pool).await;
        let expected = mac(&pool, &key).await.unwrap();
        pool.close();
        (key, expected)
    };
    let pool = custom(&context, |config| {
        config.workers = Some(2);
        config.call_limit = Duration::from_millis(1500);
    });
    install(&context, "[[faults.rule]]\nmatch = { function = \"C_Sign\" }\ntimes = 2\naction = { delay = \"10s\" }\n");
    let hanging: Vec<_> = (0..2)
        .map(|_| {
            let (pool, key) = (Arc::clone(&pool), key.clone());
            tokio::spawn(async move { pool.call(mac_request(&key), Terms::of_gateway(Duration::from_secs(4))).await })
        })
        .collect();
    if matches!(isolation(), Isolation::Process(_)) {
        // The process is ended and a new one begins, where the plan would begin anew, too.
        until(&pool, "started again", || pool.status()[0].generation > 0).await;
        clear(&context);
        for call in hanging {
            let answer = call.await.unwrap();
            assert!(
                answer.as_ref().map_or_else(|error| error.kind == HsmErrorKind::Unavailable, |_| true),
                "{answer:?}"
            );
        }
        until_ready(&pool).await;
        assert_eq!(mac(&pool, &key).await.unwrap(), expected);
        return;
    }
    until(&pool, "degraded", || pool.status()[0].health == "degraded").await;
    for call in hanging {
        // Nobody waits longer than it said: for a call that hangs, or, on a busy machine, for a worker.
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error.function, "call limit" | "deadline"), "{error}");
    }
    // Both workers hang; their replacements serve. Whether one of those is slow is the machine's business.
    let start = Instant::now();
    while mac(&pool, &key).await.ok().as_ref() != Some(&expected) {
        assert!(start.elapsed() < PATIENCE, "nobody serves");
    }
    until_ready(&pool).await;
    assert_eq!(mac(&pool, &key).await.unwrap(), expected);
}

async fn crowd(pool: Arc<Pool>, sessions_max: usize) {
    let key = hmac_key(&pool).await;
    let expected = mac(&pool, &key).await.unwrap();
    let clients: Vec<_> = (0..64)
        .map(|_| {
            let (pool, key, expected) = (Arc::clone(&pool), key.clone(), expected.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    assert_eq!(mac(&pool, &key).await.unwrap(), expected);
                }
                assert_eq!(reveal(&pool, &key).await, [0x0B; 32]);
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert!(pool.status()[0].sessions <= sessions_max, "{:?}", pool.status()[0]);
    assert_eq!(found(&pool, &key).await, Found { secret: 1, ..Found::default() });
}

pub(super) async fn four_sessions_serve_many_callers(context: Context) {
    crowd(pool(&context), 3).await;
}

pub(super) async fn one_session_serves_many_callers(context: Context) {
    crowd(pool(&context), 0).await;
}

pub(super) async fn a_full_token_says_so(context: Context) {
    let pool = pool(&context);
    let mut held = Vec::new();
    let error = loop {
        let request = HsmRequest::HoldBytes { at: place(), value: SecretValue::new(vec![1; 32]), beside_key: false };
        match call(&pool, request).await {
            Ok(HsmAnswer::Made { reference, .. }) => held.push(reference),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
        assert!(held.len() <= 4);
    };
    assert_eq!(error.kind, HsmErrorKind::Full);
    assert_eq!(held.len(), 4);
    crate::pool::destroy(&pool, &held[0]).await;
    made(&pool, HsmRequest::HoldBytes { at: place(), value: SecretValue::new(vec![1; 32]), beside_key: false }).await;
}

pub(super) async fn keys_enter_wrapped_where_clear_is_refused(context: Context) {
    let pool = pool(&context);
    // The keys to take in come from the token itself.
    let (rsa, rsa_public) = pair(&pool, PairKind::Rsa { bits: 2048 }, true).await;
    let (ec, ec_public) = pair(&pool, PairKind::Ec(Curve::P256), true).await;
    let (edwards, edwards_public) = pair(&pool, PairKind::Ed25519, true).await;
    let mut keys = vec![
        (KeyKind::Aes, vec![1; 16], UsageMask::ENCRYPT),
        (KeyKind::Aes, vec![2; 32], UsageMask::ENCRYPT),
        (KeyKind::Generic, vec![3; 31], UsageMask::MAC_GENERATE),
        (KeyKind::Generic, vec![4; 4096], UsageMask::MAC_GENERATE),
    ];
    for reference in [rsa, ec, edwards] {
        keys.push((reference.key.unwrap(), reveal(&pool, &reference).await, UsageMask::SIGN));
    }
    for reference in [rsa_public, ec_public, edwards_public] {
        keys.push((reference.key.unwrap(), reveal(&pool, &reference).await, UsageMask::VERIFY));
    }
    let pool = crate::pool::pool(&context);
    // The pool tries it once with a throw-away key and believes the answer.
    install(&context, &answer("C_CreateObject", "CKR_TEMPLATE_INCONSISTENT", 1));
    for (kind, value, usage) in keys {
        let reference = import(&pool, kind, &value, usage).await;
        assert_eq!(reveal(&pool, &reference).await, value, "{kind:?}");
    }
    let held =
        made(&pool, HsmRequest::HoldBytes { at: place(), value: SecretValue::new(vec![5; 77]), beside_key: false });
    let reference = held.await;
    assert_eq!(exposed(call(&pool, HsmRequest::RevealBytes { reference }).await.unwrap()), [5; 77]);
    let stats = control::stats(&context.folder.join("sim")).unwrap();
    assert_eq!(stats.injected_total, 1);
    assert_eq!(stats.calls.get("C_UnwrapKey"), Some(&8), "seven secret keys and the held bytes");
}

pub(super) async fn templates_do_without_what_a_token_does_not_know(context: Context) {
    for function in ["C_GenerateKey", "C_GenerateKeyPair", "C_CreateObject"] {
        let pool = pool(&context);
        // The first creation of an object in clear is the pool's own probe.
        hmac_key(&pool).await;
        install(&context, &answer(function, "CKR_ATTRIBUTE_TYPE_INVALID", 1));
        match function {
            "C_GenerateKey" => {
                let (kind, usage) = (KeyKind::Aes, UsageMask::ENCRYPT);
                let request =
                    HsmRequest::GenerateKey { at: place(), kind, bytes: 32, usage, extractable: true, digest: true };
                made(&pool, request).await;
            }
            "C_GenerateKeyPair" => drop(pair(&pool, PairKind::Ec(Curve::P256), true).await),
            _ => drop(hmac_key(&pool).await),
        }
        let stats = control::stats(&context.folder.join("sim")).unwrap();
        assert_eq!(stats.injected_total, 1, "{function}");
        clear(&context);
    }
}
