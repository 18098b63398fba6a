//! Many callers on a pool that has just been connected: every first use happens at once.

use std::sync::Arc;

use portcullis::{
    domain::{
        SecretValue, TokenReference, UsageMask,
        algorithm::{Curve, HashingAlgorithm},
        reference::KeyKind,
    },
    engine::ports::{Found, HsmAnswer, HsmError, HsmRequest, Memory, PairKind, Placement},
    hsm::Pool,
};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    harness::Context,
    pool::{Remembered, call, config, connect, exposed, place, sha256},
};

const CALLERS: usize = 16;
const POOLS: usize = 3;

/// Generating, taking in, holding, giving out, using and destroying, by sixteen callers at once, as the very first use of
/// three pools one after the other. Each answer is right, and nothing is left on the token.
pub(super) async fn the_first_uses_may_all_come_at_once(context: Context) {
    for round in 0..POOLS {
        let mut config = config(&context);
        config.workers = Some(CALLERS);
        let memory: Arc<dyn Memory> = Arc::new(Remembered::default());
        let pool = Arc::new(connect(config, &memory, &Arc::default()).unwrap());
        let start = Arc::new(Barrier::new(CALLERS));
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            let (pool, start) = (Arc::clone(&pool), Arc::clone(&start));
            callers.spawn(async move {
                start.wait().await;
                // Each begins elsewhere, so that each kind of request is the first one of some caller.
                for step in 0..STEPS.len() {
                    let (name, run) = STEPS[(number + step) % STEPS.len()];
                    if let Err(error) = run(&pool, number).await {
                        panic!("{name}, caller {number} of pool {round}, step {step}: {error}");
                    }
                }
                pool.system_secret("crowd").await.unwrap()
            });
        }
        let secrets = callers.join_all().await;
        assert!(secrets.iter().all(|secret| secret.matches(&secrets[0])), "they all made one system key");
        pool.close();
    }
}

type Outcome<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), HsmError>> + Send + 'a>>;
type Step = fn(&Pool, usize) -> Outcome<'_>;

const STEPS: [(&str, Step); 5] = [
    ("generate", |pool, _| Box::pin(generate(pool))),
    ("import", |pool, number| Box::pin(import(pool, number))),
    ("hold", |pool, number| Box::pin(hold(pool, number))),
    ("pair", |pool, _| Box::pin(pair(pool))),
    ("hold beside", |pool, number| Box::pin(hold_much(pool, number))),
];

const USAGE: UsageMask = UsageMask::ENCRYPT.with(UsageMask::DECRYPT);

fn at_of(reference: &TokenReference) -> Placement {
    Placement { token: reference.token.clone(), cka_id: reference.cka_id }
}

async fn made(pool: &Pool, request: HsmRequest) -> Result<(TokenReference, Option<Vec<u8>>), HsmError> {
    match call(pool, request).await? {
        HsmAnswer::Made { reference, digest } => Ok((reference, digest)),
        other => panic!("{other:?}"),
    }
}

/// It is there once; then it is destroyed, and gone.
async fn end(pool: &Pool, reference: &TokenReference, expected: Found) -> Result<(), HsmError> {
    let find = || HsmRequest::Find { at: at_of(reference) };
    assert!(matches!(call(pool, find()).await?, HsmAnswer::Found(found) if found == expected));
    call(pool, HsmRequest::Destroy { at: at_of(reference) }).await?;
    assert!(matches!(call(pool, find()).await?, HsmAnswer::Found(found) if found.is_empty()));
    Ok(())
}

async fn generate(pool: &Pool) -> Result<(), HsmError> {
    let (kind, bytes) = (KeyKind::Aes, 16);
    let request = HsmRequest::GenerateKey { at: place(), kind, bytes, usage: USAGE, extractable: true, digest: true };
    let (reference, digest) = made(pool, request).await?;
    let value = exposed(call(pool, HsmRequest::RevealKey { reference: reference.clone() }).await?);
    assert_eq!((value.len(), digest), (16, Some(sha256(&value))));
    end(pool, &reference, Found { secret: 1, ..Found::default() }).await
}

async fn import(pool: &Pool, number: usize) -> Result<(), HsmError> {
    let bytes = vec![number as u8; 32];
    let value = SecretValue::new(bytes.clone());
    let request = HsmRequest::ImportKey { at: place(), kind: KeyKind::Aes, value, usage: USAGE, extractable: true };
    let (reference, _) = made(pool, request).await?;
    assert_eq!(exposed(call(pool, HsmRequest::RevealKey { reference: reference.clone() }).await?), bytes);
    end(pool, &reference, Found { secret: 1, ..Found::default() }).await
}

async fn hold(pool: &Pool, number: usize) -> Result<(), HsmError> {
    let bytes = vec![number as u8 + 1; 21];
    let request = HsmRequest::HoldBytes { at: place(), value: SecretValue::new(bytes.clone()), beside_key: false };
    let (reference, _) = made(pool, request).await?;
    let hash = HashingAlgorithm::SHA_256;
    let digest = call(pool, HsmRequest::Digest { reference: reference.clone(), hash }).await?;
    assert_eq!(exposed(digest), sha256(&bytes));
    assert_eq!(exposed(call(pool, HsmRequest::RevealBytes { reference: reference.clone() }).await?), bytes);
    // Where a token cannot wrap, short values are data objects, too; then none of them is anything else.
    let held = reference.bytes.unwrap().holder == portcullis::domain::reference::DataHolder::Data;
    end(pool, &reference, Found { secret: u32::from(!held), data: u32::from(held), ..Found::default() }).await
}

async fn hold_much(pool: &Pool, number: usize) -> Result<(), HsmError> {
    let bytes = vec![number as u8 + 1; 6000];
    let request = HsmRequest::HoldBytes { at: place(), value: SecretValue::new(bytes.clone()), beside_key: true };
    let (reference, _) = made(pool, request).await?;
    assert_eq!(exposed(call(pool, HsmRequest::RevealBytes { reference: reference.clone() }).await?), bytes);
    end(pool, &reference, Found { data: 1, ..Found::default() }).await
}

async fn pair(pool: &Pool) -> Result<(), HsmError> {
    let request = HsmRequest::GenerateKeyPair {
        private: place(),
        public: place(),
        kind: PairKind::Ec(Curve::P256),
        private_usage: UsageMask::SIGN,
        public_usage: UsageMask::VERIFY,
        extractable: true,
    };
    let (private, public) = match call(pool, request).await? {
        HsmAnswer::MadePair { private, public, private_digest, public_digest } => {
            for (half, digest) in [(&private, private_digest), (&public, Some(public_digest))] {
                let value = exposed(call(pool, HsmRequest::RevealKey { reference: half.clone() }).await?);
                assert_eq!(digest, Some(sha256(&value)));
            }
            (private, public)
        }
        other => panic!("{other:?}"),
    };
    end(pool, &private, Found { private: 1, ..Found::default() }).await?;
    end(pool, &public, Found { public: 1, ..Found::default() }).await
}
