//! A pool on the token of the case, and short forms of the requests.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use portcullis::{
    domain::{
        SecretValue, TokenId, TokenReference, UsageMask,
        reference::{CkaId, KeyKind},
    },
    engine::ports::{
        Found, Hsm, HsmAnswer, HsmError, HsmErrorKind, HsmRequest, Memory, PairKind, Placement, StoreError, Terms,
    },
    hsm::{Config, ConnectError, Isolation, Observer, Pool, Program},
};
use uuid::Uuid;

use crate::harness::Context;

/// A memory that lasts as long as the process.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<HashMap<String, Vec<u8>>>);

impl Memory for Remembered {
    fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }
    fn remember(&self, name: &str, fact: &[u8]) -> Result<(), StoreError> {
        self.0.lock().unwrap().insert(name.to_owned(), fact.to_vec());
        Ok(())
    }
}

/// Counts log-ins and all calls.
#[derive(Default)]
pub(crate) struct Counter {
    pub(crate) logins: AtomicU64,
    pub(crate) finds: AtomicU64,
}

impl Observer for Counter {
    fn called(&self, _token: &TokenId, function: &'static str, _rv: u64, _took: Duration) {
        match function {
            "C_Login" => self.logins.fetch_add(1, Ordering::Relaxed),
            "C_FindObjectsInit" => self.finds.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
    fn waited(&self, _token: &TokenId, _waited: Duration) {}
}

pub(crate) fn config(context: &Context) -> Config {
    let pin = context.pin.clone();
    let config =
        Config::new("one", &context.module, &context.label, Arc::new(move || Ok(SecretValue::new(pin.clone()))));
    Config { isolation: isolation(), ..config }
}

/// Where the module runs: `PORTCULLIS_TEST_ISOLATION=process` gives it a process of its own.
pub(crate) fn isolation() -> Isolation {
    match std::env::var("PORTCULLIS_TEST_ISOLATION").as_deref() {
        Ok("process") => Isolation::Process(Program {
            path: env!("CARGO_BIN_EXE_portcullis").into(),
            arguments: ["__module", "--log-format", "text", "--log-level", "warn"].map(Into::into).to_vec(),
            environment: std::collections::BTreeMap::new(),
        }),
        _ => Isolation::Thread,
    }
}

pub(crate) fn connect(config: Config, memory: &Arc<dyn Memory>, counter: &Arc<Counter>) -> Result<Pool, ConnectError> {
    let observer: Arc<dyn Observer> = Arc::clone(counter) as Arc<dyn Observer>;
    Pool::connect(vec![config], memory, &observer)
}

/// A ready pool.
pub(crate) fn pool(context: &Context) -> Arc<Pool> {
    let memory: Arc<dyn Memory> = Arc::new(Remembered::default());
    let pool = connect(config(context), &memory, &Arc::default()).unwrap();
    let status = pool.status();
    assert_eq!((status[0].health, status[0].reason.as_deref()), ("ready", None));
    Arc::new(pool)
}

pub(crate) const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn place() -> Placement {
    Placement { token: TokenId("one".into()), cka_id: CkaId(*Uuid::new_v4().as_bytes()) }
}

pub(crate) async fn call(pool: &Pool, request: HsmRequest) -> Result<HsmAnswer, HsmError> {
    pool.call(request, Terms::of_gateway(LIMIT)).await
}

pub(crate) async fn made(pool: &Pool, request: HsmRequest) -> TokenReference {
    match call(pool, request).await.unwrap() {
        HsmAnswer::Made { reference, .. } => reference,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn import(pool: &Pool, kind: KeyKind, value: &[u8], usage: UsageMask) -> TokenReference {
    let value = SecretValue::new(value.to_vec());
    made(pool, HsmRequest::ImportKey { at: place(), kind, value, usage, extractable: true }).await
}

pub(crate) async fn pair(pool: &Pool, kind: PairKind, extractable: bool) -> (TokenReference, TokenReference) {
    let (private_usage, public_usage) = match kind {
        PairKind::Rsa { .. } => (UsageMask::SIGN.with(UsageMask::DECRYPT), UsageMask::VERIFY.with(UsageMask::ENCRYPT)),
        PairKind::Ec(_) | PairKind::Ed25519 => (UsageMask::SIGN, UsageMask::VERIFY),
    };
    let request = HsmRequest::GenerateKeyPair {
        private: place(),
        public: place(),
        kind,
        private_usage,
        public_usage,
        extractable,
    };
    match call(pool, request).await.unwrap() {
        HsmAnswer::MadePair { private, public, private_digest, public_digest } => {
            // SoftHSM2 2.6 cannot wrap Ed25519 keys; everything else that may leave can.
            let can_leave = extractable && (kind != PairKind::Ed25519 || is_revealed(pool, &private).await);
            assert_eq!(private_digest.is_some(), can_leave);
            assert_eq!(public_digest, sha256(&reveal(pool, &public).await));
            if let Some(digest) = private_digest {
                assert_eq!(digest, sha256(&reveal(pool, &private).await));
            }
            (private, public)
        }
        other => panic!("{other:?}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "tests compare values")]
pub(crate) fn exposed(answer: HsmAnswer) -> Vec<u8> {
    match answer {
        HsmAnswer::Value(value) => value.expose_secret().to_vec(),
        HsmAnswer::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn reveal(pool: &Pool, reference: &TokenReference) -> Vec<u8> {
    let reference = reference.clone();
    exposed(call(pool, HsmRequest::RevealKey { reference }).await.unwrap())
}

/// Whether the token lets the key out; if not, it must say so.
pub(crate) async fn is_revealed(pool: &Pool, reference: &TokenReference) -> bool {
    match call(pool, HsmRequest::RevealKey { reference: reference.clone() }).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind, HsmErrorKind::NotExtractable, "{error}");
            false
        }
    }
}

pub(crate) async fn found(pool: &Pool, reference: &TokenReference) -> Found {
    let at = Placement { token: reference.token.clone(), cka_id: reference.cka_id };
    match call(pool, HsmRequest::Find { at }).await.unwrap() {
        HsmAnswer::Found(found) => found,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn destroy(pool: &Pool, reference: &TokenReference) {
    let at = Placement { token: reference.token.clone(), cka_id: reference.cka_id };
    assert!(matches!(call(pool, HsmRequest::Destroy { at }).await, Ok(HsmAnswer::Done)));
}

pub(crate) fn sha256(data: &[u8]) -> Vec<u8> {
    portcullis::crypto::hash::sha256(data).to_vec()
}
