//! Reaching tokens, and the pool itself.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use portcullis::{
    domain::{ObjectType, ProjectId, SecretValue, TokenId, UsageMask, reference::KeyKind},
    engine::ports::{Hsm, HsmErrorKind, HsmRequest, Memory, Terms},
    hsm::{Observer, Pool, Unobserved},
};

use crate::{
    harness::Context,
    pool::{Counter, Remembered, call, config, connect, destroy, import, reveal},
};

fn memory() -> Arc<dyn Memory> {
    Arc::new(Remembered::default())
}

pub(super) async fn a_file_that_is_no_module_is_refused(context: Context) {
    let text = context.folder.join("text.so");
    fs::write(&text, "no library at all").unwrap();
    let library = ["/lib/x86_64-linux-gnu/libm.so.6", "/usr/lib/libm.so.6", "/lib64/libm.so.6"];
    let library = library.into_iter().find(|path| fs::exists(path).unwrap());
    let mut wrong = vec![
        (text.to_str().unwrap().to_owned(), "cannot be loaded as a library"),
        ("/nonexistent/module.so".to_owned(), "cannot be read"),
        ("/".to_owned(), "is not a file"),
    ];
    wrong.extend(library.map(|path| (path.to_owned(), "no PKCS#11 module")));
    for (path, says) in wrong {
        let mut config = config(&context);
        config.module = path.clone().into();
        let error = connect(config, &memory(), &Arc::default()).unwrap_err();
        assert!(error.reason.contains(says) && error.reason.contains(&path), "{error}");
        assert_eq!(error.token, "one");
    }
}

pub(super) async fn a_label_nobody_has_is_not_ready(context: Context) {
    let mut config = config(&context);
    config.token_label = Some("somebody else's".into());
    let pool = connect(config, &memory(), &Arc::default()).unwrap();
    let status = pool.status().remove(0);
    assert_eq!(status.health, "down");
    assert!(status.reason.unwrap().contains(&context.label), "the tokens that are there are named");
    let error = call(&pool, HsmRequest::Random { token: None, bytes: 8 }).await.unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::Unavailable);
    let error = pool.place(&ProjectId("p".to_owned()), ObjectType::SymmetricKey).unwrap_err();
    assert_eq!(error.kind, HsmErrorKind::Unavailable);
}

pub(super) async fn two_tokens_of_one_label_are_refused(context: Context) {
    let error = connect(config(&context), &memory(), &Arc::default()).unwrap_err();
    assert!(error.reason.contains("token_serial"), "{error}");
}

pub(super) async fn a_refused_pin_is_tried_once(context: Context) {
    let (memory, counter) = (memory(), Arc::new(Counter::default()));
    for restart in 0..5 {
        let mut config = config(&context);
        config.pin = Arc::new(|| Ok(SecretValue::new(b"wrong-pin".to_vec())));
        let pool = connect(config, &memory, &counter).unwrap();
        let status = pool.status().remove(0);
        assert_eq!(status.health, "pin_rejected", "start {restart}");
        assert!(!status.reason.unwrap().contains("wrong-pin"));
        pool.close();
    }
    assert_eq!(counter.logins.load(Ordering::Relaxed), 1);
    // The right PIN is another value: it is tried, and the token is served.
    let pool = connect(config(&context), &memory, &counter).unwrap();
    assert_eq!(pool.status()[0].health, "ready");
    assert_eq!(counter.logins.load(Ordering::Relaxed), 2);
    pool.close();
    // The operator's word lets a refused PIN be tried once more, and not twice.
    let mut forced = config(&context);
    forced.pin = Arc::new(|| Ok(SecretValue::new(b"wrong-pin".to_vec())));
    forced.retry_refused_pin = true;
    let pool = connect(forced, &memory, &counter).unwrap();
    assert_eq!(pool.status()[0].health, "pin_rejected");
    assert_eq!(counter.logins.load(Ordering::Relaxed), 3);
}

pub(super) async fn a_serial_that_changed_is_not_served(context: Context) {
    let memory = memory();
    memory.remember("hsm/one/serial", b"another serial").unwrap();
    let counter = Arc::new(Counter::default());
    let pool = connect(config(&context), &memory, &counter).unwrap();
    let status = pool.status().remove(0);
    assert_eq!(status.health, "wrong_token");
    assert!(status.reason.unwrap().contains("rebind"));
    assert_eq!(counter.logins.load(Ordering::Relaxed), 0, "no PIN is shown to a strange token");
}

/// Holds the worker that takes the first request until it is told to go on: a module that is slow, without its chances.
struct Gate {
    taken: mpsc::Sender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
    held: AtomicBool,
}

impl Observer for Gate {
    fn called(&self, _token: &TokenId, _function: &'static str, _rv: u64, _took: Duration) {}

    fn waited(&self, _token: &TokenId, _waited: Duration) {
        if !self.held.swap(true, Ordering::SeqCst) {
            self.taken.send(()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
        }
    }
}

pub(super) async fn a_full_queue_and_a_passed_deadline_are_busy(context: Context) {
    let mut config = config(&context);
    config.workers = Some(1);
    config.queue = 2;
    let ((taken, is_taken), (go, go_on)) = (mpsc::channel(), mpsc::channel());
    let gate: Arc<dyn Observer> = Arc::new(Gate { taken, go_on: Mutex::new(go_on), held: AtomicBool::new(false) });
    let pool = Arc::new(Pool::connect(vec![config], &memory(), &gate).unwrap());
    let random = || HsmRequest::Random { token: None, bytes: 8 };
    let running = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { call(&pool, random()).await })
    };
    tokio::task::spawn_blocking(move || is_taken.recv()).await.unwrap().unwrap();

    // The worker has its hands full. Two may wait, and wait no longer than they said.
    let started = Instant::now();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { pool.call(random(), Terms::of_gateway(Duration::from_millis(1))).await })
        })
        .collect();
    for late in waiting {
        let error = late.await.unwrap().unwrap_err();
        assert_eq!((error.kind, error.function), (HsmErrorKind::Busy, "deadline"));
    }
    assert!(started.elapsed() < Duration::from_secs(60), "a caller waits no longer than it said");
    // They give their places to whoever comes, and when those wait there is none for others.
    assert_eq!(pool.status()[0].queued, 2);
    let patient = || Terms::of_gateway(Duration::from_secs(600));
    let (mut first, mut second) = (pool.call(random(), patient()), pool.call(random(), patient()));
    for waiting in [&mut first, &mut second] {
        tokio::select! {
            biased;
            answer = waiting => panic!("nobody is there to answer: {answer:?}"),
            () = std::future::ready(()) => {}
        }
    }
    assert_eq!(pool.status()[0].queued, 2);
    for _ in 0..8 {
        let error = pool.call(random(), Terms::of_gateway(Duration::from_secs(60))).await.unwrap_err();
        assert_eq!((error.kind, error.function), (HsmErrorKind::Busy, "queue"));
    }

    go.send(()).unwrap();
    running.await.unwrap().unwrap();
    first.await.unwrap();
    second.await.unwrap();
    call(&pool, random()).await.unwrap();
}

pub(super) async fn system_keys_last(context: Context) {
    let memory = memory();
    let observer: Arc<dyn Observer> = Arc::new(Unobserved);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let pool = Arc::new(Pool::connect(vec![config(&context)], &memory, &observer).unwrap());
        let secret = pool.system_secret("record-mac").await.unwrap();
        assert_eq!(secret.len(), 32);
        assert!(!secret.matches(&pool.system_secret("other").await.unwrap()));
        let signer = pool.system_signer("audit").await.unwrap();
        let signature = signer.sign(b"head of the chain".to_vec(), Duration::from_secs(10)).await.unwrap();
        super::operations::assert_ecdsa_p256(signer.public_key(), b"head of the chain", &signature);
        seen.push((secret, signer.public_key().to_vec()));
        drop(signer);
        pool.close();
    }
    assert!(seen[0].0.matches(&seen[1].0), "a restart computes the same secret");
    assert_eq!(seen[0].1, seen[1].1);
}

pub(super) async fn many_callers_share_few_sessions(context: Context) {
    let mut config = config(&context);
    config.workers = Some(3);
    let counter = Arc::new(Counter::default());
    let pool = Arc::new(connect(config, &memory(), &counter).unwrap());
    let key = import(&pool, KeyKind::Aes, &[7; 32], UsageMask::ENCRYPT).await;
    reveal(&pool, &key).await;
    let finds = counter.finds.load(Ordering::Relaxed);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (pool, key) = (Arc::clone(&pool), key.clone());
            tokio::spawn(async move {
                for _ in 0..5 {
                    assert_eq!(reveal(&pool, &key).await, [7; 32]);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(counter.finds.load(Ordering::Relaxed), finds, "a known handle is not searched for");
    assert!(pool.status()[0].sessions <= 3);
    destroy(&pool, &key).await;
}
