//! What becomes of a store whose engine fails, or that was repaired at the start. Only on disk.

use super::*;

/// sled takes a snapshot that a crash left half-written for the newest one, and refuses to open.
#[test]
fn a_half_written_snapshot_is_taken_away_and_everything_compared() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("store");
    let torn = "snap.FFFFFFFFFFFFFFFF.generating";
    let (raw, runtime) = (open(&folder), runtime());
    let store = raw.unlock(&key()).unwrap();
    runtime.block_on(async {
        for number in 0..50 {
            add(&store, named(number, "p", &[&format!("n{number}")])).await;
        }
    });
    drop((store, raw));

    std::fs::write(folder.join(torn), b"half").unwrap();
    let raw = open(&folder);
    assert!(!folder.join(torn).exists() && outer.path().join("store.before-repair-0").join(torn).exists());
    assert!(folder.join("unchecked").exists());
    let store = raw.unlock(&key()).unwrap();
    assert!(!folder.join("unchecked").exists());
    runtime.block_on(async {
        for number in 0..50 {
            assert!(store.object(id(number)).await.unwrap().is_some(), "{number}");
        }
    });
    drop((store, raw));

    // Where what is left does not agree, nothing is served, as often as it is tried.
    let backend = SledBackend::open(&folder, SledOptions::default(), Box::new(|reason| panic!("{reason}"))).unwrap();
    let (done, finished) = std::sync::mpsc::channel();
    let writes = [([&[0x80], id(7).bytes().as_slice()].concat(), None)].into();
    backend.commit(RawBatch { writes, ..RawBatch::default() }, Box::new(move |result| done.send(result).unwrap()));
    finished.recv().unwrap().unwrap();
    drop(backend);
    std::fs::write(folder.join(torn), b"half").unwrap();
    for _ in 0..2 {
        let raw = open(&folder);
        let Err(StoreError::Corrupt(text)) = raw.unlock(&key()).map(drop) else { panic!("it was taken as it is") };
        assert!(text.contains("does not agree"), "{text}");
    }
}

/// What the process runs in which a thread of the engine panics.
const PANICKING: &str = "PORTCULLIS_TEST_STORE_PANICKING";

#[test]
fn the_process_whose_engine_panics() {
    let Some(folder) = std::env::var_os(PANICKING) else { return };
    let (fatal, fatals) = std::sync::mpsc::channel();
    let on_fatal = move |reason: &str| fatal.send(reason.to_owned()).unwrap();
    let raw = RawStore::open(Path::new(&folder), SledOptions::default(), Box::new(on_fatal)).unwrap();
    let store = raw.unlock(&key()).unwrap();
    runtime().block_on(add(&store, object(1, "p")));
    // As sled's own do; nobody sees its result.
    let engine = std::thread::Builder::new().name("sled-io-7".to_owned());
    engine.spawn(|| panic!("a torn segment")).unwrap().join().unwrap_err();
    let reason = fatals.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(reason.contains("failures.rs:") && reason.contains("a torn segment"), "{reason}");
    runtime().block_on(async {
        let refused = commit(&store, vec![put(object(2, "p"), Guard::Absent)]).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(matches!(store.object(id(2)).await, Err(StoreError::Unavailable(_))));
    });
    assert!(matches!(raw.remember("fact", b""), Err(StoreError::Unavailable(_))));
    assert!(matches!(store.mark(), Err(StoreError::Unavailable(_))));
    // Nothing waits for the engine's threads.
    drop((store, raw));
    assert_eq!(fatals.try_iter().count(), 0, "it is told once");
    println!("refused");
}

#[test]
fn a_panic_in_a_thread_of_the_engine_is_final() {
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "failures::the_process_whose_engine_panics", "--nocapture", "--test-threads=1"])
        .env(PANICKING, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && text.contains("refused"), "{:?}\n{text}\n{said}", child.status);
    // What was acknowledged is there.
    let raw = open(folder.path());
    let store = raw.unlock(&key()).unwrap();
    assert!(runtime().block_on(store.object(id(1))).unwrap().is_some());
}
