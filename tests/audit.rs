//! The audit trail: what it writes is what `verify` accepts, and nothing else is.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use portcullis::{
    audit::{
        AuditOptions, CheckpointKey, FileSink, Report, Signer,
        file::{RECENT_RECORDS, rotated_files},
        record::{hash, signed_message},
        verify_files,
    },
    domain::{
        OperationKind, ProjectId, Realm, Timestamp, UniqueIdentifier,
        audit::{AuditEvent, Outcome, Protocol},
    },
    engine::ports::{AuditSink, Clock, Durability},
};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }
}

fn event(number: u64) -> AuditEvent {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    AuditEvent {
        id,
        time: Timestamp::from_micros(1_800_000_000_000_000 + i64::try_from(number).unwrap()),
        request: "req-5e5e9f0c-7f0e-4a52-9a4c-1f2f3a4b5c6d".to_owned(),
        protocol: Protocol::Barbican,
        initiator: Some("0b5ff6f27c8a4bb5a0f7fd5aa2e0e0c1".to_owned()),
        realm: Some(Realm::Keystone),
        project: Some(ProjectId("4f5d1c4b0f4a4a0d8f0e2a1b3c4d5e6f".to_owned())),
        address: Some("127.0.0.1".to_owned()),
        operation: OperationKind::Register,
        targets: vec![UniqueIdentifier::from_random(id)],
        outcome: Outcome::Success,
        recovered: false,
        http: None,
    }
}

fn open_with(folder: &Path, options: AuditOptions) -> FileSink {
    FileSink::open(folder, options, Arc::new(Noon)).unwrap()
}

fn open(folder: &Path) -> FileSink {
    open_with(folder, AuditOptions::default())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Writes records to a fresh or existing trail and closes it.
fn write(folder: &Path, numbers: std::ops::Range<u64>) {
    let sink = open(folder);
    runtime().block_on(async {
        for number in numbers {
            sink.record(event(number), Durability::Synced).await.unwrap();
        }
    });
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = rotated_files(folder).unwrap();
    files.push(folder.join("audit.log"));
    files
}

fn verify(folder: &Path, key: Option<&CheckpointKey>) -> Report {
    let files = files(folder);
    verify_files(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>(), key).unwrap()
}

/// A software stand-in for the HSM's key.
fn signing_key() -> (Signer, CheckpointKey) {
    let pair = Arc::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap());
    let public =
        aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let key = CheckpointKey::parse(public.as_ref()).unwrap();
    let signer: Signer = Arc::new(move |message| {
        let pair = Arc::clone(&pair);
        Box::pin(async move {
            let random = aws_lc_rs::rand::SystemRandom::new();
            Ok(pair.sign(&random, &message).unwrap().as_ref().to_vec())
        })
    });
    (signer, key)
}

#[test]
fn the_chain_goes_on_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..4 {
        write(folder.path(), round * 10..(round + 1) * 10);
    }
    let report = verify(folder.path(), None);
    assert_eq!((report.lines, report.first, report.last, report.bad), (40, Some(1), Some(40), None));
    let text = fs::read_to_string(folder.path().join("audit.log")).unwrap();
    assert_eq!(hash(text.lines().last().unwrap().as_bytes()), report.head.unwrap());
    println!("{} bytes a line", text.len() / 40);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(folder.path().join("audit.log")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn every_changed_byte_is_found_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0..4);
    let path = folder.path().join("audit.log");
    let good = fs::read(&path).unwrap();
    let before_last = good.len() - good.split(|byte| *byte == b'\n').nth(3).unwrap().len() - 1;
    for at in 0..before_last {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let report = verify(folder.path(), None);
        // The change shows in the line itself or in the hash that the next line carries.
        let changed = good[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let found = report.bad.unwrap_or_else(|| panic!("byte {at} went unnoticed")).line;
        assert!(found == changed || found == changed + 1, "byte {at}: line {found}");
    }
}

#[test]
fn lines_removed_swapped_repeated_or_inserted_are_found() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0..6);
    let path = folder.path().join("audit.log");
    let good = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let orders: [(&[usize], u64); 6] = [
        (&[0, 1, 3, 4, 5], 3),
        (&[0, 2, 1, 3, 4, 5], 2),
        (&[0, 1, 1, 2, 3], 3),
        (&[0, 0], 2),
        (&[0, 1, 2, 5], 4),
        (&[0, 1, 2, 3, 0, 4], 5),
    ];
    for (order, bad) in orders {
        let text: String = order.iter().flat_map(|at| [lines[*at], "\n"]).collect();
        fs::write(&path, text).unwrap();
        assert_eq!(verify(folder.path(), None).bad.unwrap().line, bad, "{order:?}");
    }
    fs::write(&path, good.trim_end()).unwrap();
    let bad = verify(folder.path(), None).bad.unwrap();
    assert!(bad.line == 6 && bad.why.contains("does not end"), "{bad:?}");
}

#[test]
fn a_torn_last_line_is_moved_away_and_noted() {
    let tails: [&[u8]; 4] = [b"{\"typeURI\":\"http://sch", &[0; 5000], b"{\"seq\":4,", b"garbage\nmore\n"];
    for tail in tails {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0..3);
        let path = folder.path().join("audit.log");
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(tail).unwrap();
        assert!(!verify(folder.path(), None).holds());
        write(folder.path(), 3..5);
        let report = verify(folder.path(), None);
        assert_eq!((report.lines, report.bad), (6, None));
        let text = fs::read_to_string(&path).unwrap();
        let note: serde_json::Value = serde_json::from_str(text.lines().nth(3).unwrap()).unwrap();
        assert_eq!(note["action"], "repair");
        assert_eq!(note["repair"]["bytes"], tail.len());
        assert_eq!(fs::read(folder.path().join(note["repair"]["file"].as_str().unwrap())).unwrap(), tail);
    }
}

/// Of what was not synced a power cut may take sectors from the middle: then whole lines follow what cannot be read.
#[test]
fn sectors_that_a_power_cut_took_from_the_middle_end_the_trail_there() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0..12);
    let path = folder.path().join("audit.log");
    let good = fs::read(&path).unwrap();
    let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    for sector in 1..good.len() / 512 - 2 {
        // The sector had its beginning when it was synced last, or nothing yet; or what was written later, and not before.
        for (kept, later) in [(0, 0), (1, 0), (300, 0), (508, 0), (0, 7), (0, 500)] {
            let mut bad = good.clone();
            let (from, to) = (sector * 512 + kept, (sector + 1) * 512 - later);
            bad[from..to].fill(0);
            fs::write(&path, &bad).unwrap();
            drop(open(folder.path()));
            let report = verify(folder.path(), None);
            // The line of the repair stands behind those that are left.
            let whole = u64::try_from(lines(&good[..from])).unwrap();
            assert_eq!((report.last, report.bad), (Some(whole + 1), None), "sector {sector} from {kept} on");
            let moved = fs::read(folder.path().join(format!("audit.torn-before-{}", whole + 1))).unwrap();
            assert!(bad.ends_with(&moved), "sector {sector} from {kept} on");
        }
    }
}

#[test]
fn damage_before_the_end_refuses_to_open() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0..5);
    let path = folder.path().join("audit.log");
    let good = fs::read_to_string(&path).unwrap();
    for (from, to) in
        [("\"seq\":2", "\"seq\":7"), ("\"outcome\":\"success\"", "\"outcome\":\"failure\""), ("{\"typeURI\"", "}")]
    {
        fs::write(&path, good.replacen(from, to, 2)).unwrap();
        let error = FileSink::open(folder.path(), AuditOptions::default(), Arc::new(Noon)).map(drop).unwrap_err();
        assert!(error.0.contains("the chain breaks"), "{error}");
    }
    fs::write(&path, good).unwrap();
    write(folder.path(), 5..6);
}

#[test]
fn rotation_keeps_the_chain_and_the_recent_records() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3_u64 {
        let sink = open_with(folder.path(), AuditOptions { file_bytes_max: 20_000, ..AuditOptions::default() });
        runtime().block_on(async {
            for number in round * 60..(round + 1) * 60 {
                sink.record(event(number), Durability::Synced).await.unwrap();
            }
        });
    }
    let files = files(folder.path());
    assert!(files.len() > 4, "{files:?}");
    let report = verify(folder.path(), None);
    assert_eq!((report.lines, report.first, report.bad), (180, Some(1), None));
    // A later part by itself is whole too, and says where it begins.
    let later = verify_files(&[&files[2]], None).unwrap();
    assert!(later.holds() && later.first.unwrap() > 1);
    let missing: Vec<&Path> = [&files[0], &files[2]].map(PathBuf::as_path).into();
    assert_eq!(verify_files(&missing, None).unwrap().bad.unwrap().file, files[2]);
    // A crash between putting the old file aside and beginning the new one.
    let last = files.last().unwrap();
    let first: serde_json::Value =
        serde_json::from_str(fs::read_to_string(last).unwrap().lines().next().unwrap()).unwrap();
    fs::rename(last, folder.path().join(format!("audit.{:020}.log", first["seq"].as_u64().unwrap()))).unwrap();
    let sink = open(folder.path());
    assert!(sink.holds(event(179).id));
    drop(sink);
    write(folder.path(), 180..181);
    assert_eq!(verify(folder.path(), None).lines, 181);
}

#[test]
fn recent_records_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let total = RECENT_RECORDS as u64 + 500;
    let sink = open(folder.path());
    runtime().block_on(async {
        for number in 0..total {
            sink.record(event(number), Durability::Handed).await.unwrap();
        }
    });
    let check = |sink: &FileSink| {
        assert!(sink.holds(event(total - 1).id));
        assert!(sink.holds(event(500).id));
        assert!(!sink.holds(event(499).id));
        assert!(!sink.holds(event(total).id));
    };
    check(&sink);
    drop(sink);
    check(&open(folder.path()));
}

#[test]
fn checkpoints_sign_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let (signer, key) = signing_key();
    let (_, another) = signing_key();
    let sink = open(folder.path());
    runtime().block_on(async {
        sink.checkpoint(&signer).await.unwrap();
        for number in 0..5 {
            sink.record(event(number), Durability::Handed).await.unwrap();
        }
        sink.checkpoint(&signer).await.unwrap();
        // Nothing happened since: nothing to sign.
        sink.checkpoint(&signer).await.unwrap();
        sink.record(event(5), Durability::Handed).await.unwrap();
        sink.checkpoint(&signer).await.unwrap();
        sink.record(event(6), Durability::Handed).await.unwrap();
    });
    drop(sink);
    let report = verify(folder.path(), Some(&key));
    assert_eq!((report.lines, report.checkpoints, report.signed_through, &report.bad), (9, 2, Some(7), &None));
    assert_eq!(verify(folder.path(), None).signed_through, None);
    let bad = verify(folder.path(), Some(&another)).bad.unwrap();
    assert!(bad.line == 6 && bad.why.contains("signature"), "{bad:?}");

    // Whoever rewrites the whole chain with hashes that fit still has no signature.
    let path = folder.path().join("audit.log");
    let mut prev = "0".repeat(64);
    let mut forged = String::new();
    for line in fs::read_to_string(&path).unwrap().lines() {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["seq"] == 2 {
            line["outcome"] = "failure".into();
        }
        line["prev"] = prev.clone().into();
        if line["checkpoint"].is_object() {
            line["checkpoint"]["head"] = prev.clone().into();
        }
        let text = line.to_string();
        prev = hash(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        forged.push_str(&text);
        forged.push('\n');
    }
    fs::write(&path, forged).unwrap();
    assert!(verify(folder.path(), None).holds());
    let bad = verify(folder.path(), Some(&key)).bad.unwrap();
    assert!(bad.line == 6 && bad.why.contains("signature"), "{bad:?}");
}

#[test]
fn a_signer_that_fails_costs_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let sink = open(folder.path());
    let refusing: Signer = Arc::new(|_| Box::pin(async { Err("the token is away".to_owned()) }));
    runtime().block_on(async {
        sink.record(event(1), Durability::Synced).await.unwrap();
        assert!(sink.checkpoint(&refusing).await.unwrap_err().0.contains("the token is away"));
        sink.record(event(2), Durability::Synced).await.unwrap();
    });
    drop(sink);
    assert_eq!(verify(folder.path(), None).lines, 2);
}

#[test]
fn keys_are_taken_as_pem_and_der_and_nothing_else() {
    assert!(CheckpointKey::parse(b"").is_err());
    assert!(CheckpointKey::parse(&[0x30; 91]).is_err());
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let der =
        aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
    let pem = der::Document::try_from(der.as_ref()).unwrap().to_pem("PUBLIC KEY", der::pem::LineEnding::LF).unwrap();
    CheckpointKey::parse(der.as_ref()).unwrap();
    CheckpointKey::parse(pem.as_bytes()).unwrap();
    let relabelled = pem.replace("PUBLIC KEY", "CERTIFICATE");
    assert!(CheckpointKey::parse(relabelled.as_bytes()).unwrap_err().contains("a CERTIFICATE, not"));
    assert_eq!(signed_message(1, &[0; 32]).len(), 23 + 8 + 32);
}

#[test]
fn after_an_error_every_record_fails() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("audit");
    let sink = open_with(&inner, AuditOptions { file_bytes_max: 0, ..AuditOptions::default() });
    runtime().block_on(async {
        sink.record(event(1), Durability::Synced).await.unwrap();
        sink.health().unwrap();
        // The next record begins a new file, for which there is no folder.
        fs::remove_dir_all(&inner).unwrap();
        for (number, durability) in [(2, Durability::Synced), (3, Durability::Handed), (4, Durability::Synced)] {
            assert!(sink.record(event(number), durability).await.is_err());
            assert!(!sink.holds(event(number).id));
        }
        assert!(sink.health().is_err());
    });
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let second = FileSink::open(folder.path(), AuditOptions::default(), Arc::new(Noon)).map(drop);
    assert!(second.unwrap_err().0.contains("in use by another process: stop it"));
    drop(first);
    open(folder.path());
}

/// Whoever hands a record in may go away before it is written: the record stays, in its place.
#[test]
fn a_record_whose_asker_went_away_is_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let sink = open(folder.path());
    runtime().block_on(async {
        for number in 0..50 {
            let mut record = sink.record(event(number), Durability::Handed);
            // Handed in at the first look, and not asked for again.
            let looked = std::future::poll_fn(|context| std::task::Poll::Ready(record.as_mut().poll(context))).await;
            assert!(looked.is_pending(), "it was written before others could join it");
            drop(record);
            assert!(sink.holds(event(number).id), "record {number}");
        }
        sink.record(event(50), Durability::Synced).await.unwrap();
    });
    drop(sink);
    assert_eq!(verify(folder.path(), None).lines, 51);
}

/// Records that many hand in at once are all there, once each, in a chain that holds, whether or not they wait for the disk.
#[test]
fn records_of_many_askers_share_writes_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Arc::new(open(folder.path()));
    runtime().block_on(async {
        let tasks: Vec<_> = (0..64_u64)
            .map(|task| {
                let sink = Arc::clone(&sink);
                tokio::spawn(async move {
                    for number in 0..20 {
                        let durability = if number % 10 == 0 { Durability::Synced } else { Durability::Handed };
                        sink.record(event(task * 100 + number), durability).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    drop(sink);
    assert_eq!(verify(folder.path(), None).lines, 64 * 20);
}

#[test]
fn handed_records_are_synced_soon() {
    let folder = tempfile::tempdir().unwrap();
    let synced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&synced);
    let on_sync = move |_: Duration, records: usize| {
        count.fetch_add(records, Ordering::SeqCst);
    };
    let sink = open_with(folder.path(), AuditOptions { on_sync: Some(Arc::new(on_sync)), ..AuditOptions::default() });
    runtime().block_on(async {
        sink.record(event(1), Durability::Handed).await.unwrap();
        let (started, deadline) = (Instant::now(), Duration::from_secs(60));
        while synced.load(Ordering::SeqCst) == 0 {
            assert!(started.elapsed() < deadline, "never synced");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("synced after {} ms", started.elapsed().as_millis());
        sink.record(event(2), Durability::Synced).await.unwrap();
        assert_eq!(synced.load(Ordering::SeqCst), 2);
    });
}

/// What the store owes is settled when the record is on disk, not before, and not at all when it never is.
#[test]
fn what_is_owed_is_settled_when_it_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("audit");
    let synced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&synced);
    let on_sync = move |_: Duration, records: usize| {
        count.fetch_add(records, Ordering::SeqCst);
    };
    let options = AuditOptions { on_sync: Some(Arc::new(on_sync)), file_bytes_max: 0, ..AuditOptions::default() };
    let sink = open_with(&inner, options);
    let (settled, told) = std::sync::mpsc::channel();
    let owed = |number: u64| {
        let (settled, synced) = (settled.clone(), Arc::clone(&synced));
        let then = move || settled.send((number, synced.load(Ordering::SeqCst))).unwrap();
        sink.record_owed(event(number), Box::new(then))
    };
    runtime().block_on(async {
        for number in 1..=5 {
            owed(number).await.unwrap();
            assert!(sink.holds(event(number).id));
        }
    });
    for number in 1..=5 {
        let (which, on_disk) = told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(which, number);
        assert!(on_disk >= usize::try_from(number).unwrap(), "{number} was settled when {on_disk} were on disk");
    }
    // The next record begins a new file, for which there is no folder.
    fs::remove_dir_all(&inner).unwrap();
    runtime().block_on(async { owed(6).await.unwrap_err() });
    drop(settled);
    assert!(told.recv_timeout(Duration::from_secs(60)).is_err(), "settled, and not on disk");
}

const CHILD: &str = "PORTCULLIS_TEST_AUDIT_CHILD";

#[test]
fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let sink = Arc::new(open(Path::new(&folder)));
    let first = u64::from(std::process::id()) << 32;
    runtime().block_on(async move {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let sink = Arc::clone(&sink);
            let durability = if writer % 2 == 0 { Durability::Synced } else { Durability::Handed };
            writers.spawn(async move {
                for number in (first + writer..).step_by(8) {
                    sink.record(event(number), durability).await.unwrap();
                    // One write call a line, so that a kill cuts no line in two.
                    std::io::stdout().write_all(format!("acknowledged {number}\n").as_bytes()).unwrap();
                }
            });
        }
        writers.join_all().await;
    });
}

#[test]
fn whatever_was_acknowledged_before_a_kill_is_in_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let before = acknowledged.len();
        let mut note = |line: std::io::Result<String>| {
            if let Some((_, number)) = line.unwrap().split_once("acknowledged ") {
                acknowledged.insert(number.parse::<u64>().unwrap());
            }
        };
        for line in lines.by_ref().take(300 + round * 71) {
            note(line);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(note);
        assert!(acknowledged.len() > before + 200, "the child did not get far");
        drop(open(folder.path()));
        assert_eq!(verify(folder.path(), None).bad, None);
        let text = fs::read_to_string(folder.path().join("audit.log")).unwrap();
        let written: BTreeSet<String> = text
            .lines()
            .filter_map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().map(str::to_owned)
            })
            .collect();
        for number in &acknowledged {
            let id = uuid::Uuid::from_bytes(event(*number).id).to_string();
            assert!(written.contains(&id), "{number} is lost");
        }
    }
    println!("{} acknowledged records over 4 kills, none lost", acknowledged.len());
}

/// What the process runs whose files may not grow: records until it is refused.
const LIMITED: &str = "PORTCULLIS_TEST_AUDIT_LIMITED";

#[test]
fn the_process_that_may_not_write() {
    let Some(folder) = std::env::var_os(LIMITED) else { return };
    let sink = open(Path::new(&folder));
    runtime().block_on(async {
        let mut number = 0;
        while sink.record(event(number), Durability::Synced).await.is_ok() {
            println!("acknowledged {number}");
            number += 1;
        }
        for durability in [Durability::Handed, Durability::Synced] {
            assert!(sink.record(event(number + 1), durability).await.is_err());
        }
        assert!(sink.health().is_err());
        assert!(!sink.holds(event(number).id));
    });
    println!("refused");
}

#[test]
fn a_disk_error_fails_the_record_and_every_later_one() {
    let folder = tempfile::tempdir().unwrap();
    // An ignored SIGXFSZ stays ignored over exec: then a write beyond the limit is an error and not the end.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_may_not_write", "--nocapture", "--test-threads=1"])
        .env(LIMITED, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && text.contains("refused"), "{}", String::from_utf8_lossy(&child.stderr));
    let acknowledged = text.lines().filter(|line| line.contains("acknowledged")).count() as u64;
    assert!(acknowledged > 20, "{acknowledged}");
    // The line that did not fit was written in part; the next start notes that and goes on.
    assert!(!verify(folder.path(), None).holds());
    write(folder.path(), 1000..1001);
    let report = verify(folder.path(), None);
    assert_eq!((report.lines, report.bad), (acknowledged + 2, None));
}

/// Prints what records cost here; asserts only that they all arrived.
#[test]
fn records_a_second() {
    for (durability, writers) in
        [(Durability::Synced, 1), (Durability::Synced, 64), (Durability::Handed, 1), (Durability::Handed, 64)]
    {
        let folder = tempfile::tempdir().unwrap();
        let sink = Arc::new(open(folder.path()));
        let (started, each) = (Instant::now(), 3200 / writers);
        runtime().block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for writer in 0..writers {
                let sink = Arc::clone(&sink);
                tasks.spawn(async move {
                    for at in 0..each {
                        sink.record(event(writer * 1_000_000 + at), durability).await.unwrap();
                    }
                });
            }
            tasks.join_all().await;
        });
        println!("{durability:?}, {writers:2} writers: {:6.0} records/s", 3200.0 / started.elapsed().as_secs_f64());
        drop(sink);
        assert_eq!(verify(folder.path(), None).lines, writers * each);
    }
}
