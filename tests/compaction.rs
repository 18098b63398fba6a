//! `portcullis store compact`: the store becomes small while it is written and read, and nothing of it is lost, wherever it is cut
//! short; and `store fsck`, which reads the journal as well.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in tests a panic is the answer")]

use std::{
    collections::BTreeMap,
    env, fs,
    ops::ControlFlow,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use portcullis::store::{
    backend::{Backend, Direction, KeyRange, RawBatch},
    compaction::{CompactError, Compacted, Progress, Stage},
    journal::{History, JournalOptions, Position, folder},
    sled::{SledBackend, SledOptions},
};
use portcullis_testing::{Gateway, Kmip, PATIENCE, Rest, aes, create};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");
/// The key under which the tree keeps its position in the journal begins so.
const HEAD: u8 = 0;
/// Keys of the store's own tests: of no table.
const OURS: u8 = 0x80;

// ------------------------------------------------------------------------------------------------------------- the engine

fn opened(path: &Path, options: SledOptions) -> SledBackend {
    SledBackend::open(path, options, Box::new(|reason| panic!("{reason}"))).unwrap()
}

fn key(number: u32) -> Vec<u8> {
    [&[OURS][..], &number.to_be_bytes(), &[7; 12]].concat()
}

fn value(number: u32, version: u32) -> Vec<u8> {
    [number.to_be_bytes(), version.to_be_bytes()].concat().repeat(40)
}

fn write(store: &SledBackend, writes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) {
    let (answer, answers) = flume::bounded(1);
    let batch = RawBatch { writes: writes.into_iter().collect(), ..RawBatch::default() };
    store.commit(batch, Box::new(move |result| answer.send(result).unwrap()));
    answers.recv().unwrap().unwrap();
}

fn everything(store: &SledBackend) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let pairs = store.scan(&KeyRange::prefix(&[OURS]), Direction::Up, usize::MAX).unwrap();
    pairs.into_iter().collect()
}

/// What the journal makes of nothing.
fn made_again(store: &Path, journal: [u8; 16]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let start = Position { journal, sequence: 0, chain: [0; 32] };
    let mut pairs = BTreeMap::new();
    let history = History::open(&folder(store)).unwrap();
    let read = history.after(start, false, |_, changes, _| {
        for (key, value) in changes.into_iter().filter(|(key, _)| key.first() != Some(&HEAD)) {
            match value {
                Some(value) => drop(pairs.insert(key, value)),
                None => drop(pairs.remove(&key)),
            }
        }
        Ok(())
    });
    assert_eq!(read.unwrap().stopped, None);
    pairs
}

fn compacted(store: &SledBackend) -> Compacted {
    store.compact(&|_| ControlFlow::Continue(())).unwrap()
}

/// Rewrites a hundred thousand bytes and more.
fn churned(store: &SledBackend, rounds: u32) {
    for version in 0..rounds {
        write(store, (0..500).map(|number| (key(number), Some(value(number, version)))));
    }
}

fn beside(store: &Path) -> PathBuf {
    store.with_file_name("store.compacting")
}

#[test]
fn what_is_written_meanwhile_is_in_the_compacted_store() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("store");
    // Small files, so that the journal goes from one to the next under way.
    let journal = Some(JournalOptions { part_bytes: 64 << 10, ..JournalOptions::default() });
    let options = SledOptions { journal, ..SledOptions::default() };
    let store = Arc::new(opened(&path, options.clone()));
    churned(&store, 40);
    fs::write(path.join("marked"), b"").unwrap();
    fs::create_dir(path.join("journal.before-0")).unwrap();
    fs::write(path.join("journal.before-0/0.journal"), b"put aside").unwrap();

    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let writers: Vec<_> = (0..4_u32)
        .map(|writer| {
            let (store, stop, written) = (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&written));
            thread::spawn(move || {
                let mut acknowledged = BTreeMap::new();
                let mut version = 0;
                while !stop.load(Ordering::Relaxed) {
                    version += 1;
                    let number = 1_000_000 * (writer + 1) + version % 300;
                    let new = if version % 7 == 0 { None } else { Some(value(number, version)) };
                    write(&store, [(key(number), new.clone())]);
                    // What was acknowledged is read, whichever files it is in.
                    assert_eq!(store.get(&key(number)).unwrap(), new);
                    acknowledged.insert(key(number), new);
                    written.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            })
        })
        .collect();
    let before = store.bytes_on_disk();
    let inode = fs::metadata(&path).unwrap().ino();
    let mut followed = 0;
    for round in 0..3 {
        let enough = written.load(Ordering::Relaxed) + 50;
        while written.load(Ordering::Relaxed) < enough {
            thread::sleep(Duration::from_millis(1));
        }
        let made = compacted(&store);
        println!("round {round}: {made:?}");
        followed += made.groups;
        assert!(!beside(&path).exists());
    }
    stop.store(true, Ordering::Relaxed);
    let mut expected: BTreeMap<_, _> = (0..500).map(|number| (key(number), Some(value(number, 39)))).collect();
    writers.into_iter().for_each(|writer| expected.extend(writer.join().unwrap()));
    expected.retain(|_, value| value.is_some());
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(key, value)| (key, value.unwrap())).collect();
    assert!(followed > 0, "nothing was written meanwhile");
    assert_ne!(fs::metadata(&path).unwrap().ino(), inode, "the folder was not exchanged");
    println!("{before} bytes before, {} after", store.bytes_on_disk());

    assert_eq!(everything(&store), expected);
    let last = store.journal().unwrap().last;
    assert!(store.check_journal().unwrap().is_sound(), "{:?}", store.check_journal());
    drop(store);
    let store = opened(&path, options);
    assert_eq!(store.journal().unwrap().last, last);
    assert_eq!(everything(&store), expected);
    drop(store);
    assert_eq!(made_again(&path, last.journal), expected);
    assert!(path.join("marked").exists());
    assert_eq!(fs::read(path.join("journal.before-0/0.journal")).unwrap(), b"put aside");
}

#[test]
fn a_store_that_was_rewritten_often_becomes_small() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("store");
    let store = opened(&path, SledOptions { reserve_bytes: 0, ..SledOptions::default() });
    let many = |version| (0..8_000).map(move |number| (key(number), Some(value(number, version))));
    (0..6).for_each(|version| write(&store, many(version)));
    write(&store, (0..7_900).map(|number| (key(number), None)));
    let made = compacted(&store);
    assert!(made.bytes_after < made.bytes_before / 2, "{made:?}");
    // With the names of the last group's keys, which the store notes.
    assert!(made.bytes_live < 400_000 && made.keys >= 100, "{made:?}");
    assert_eq!(everything(&store).len(), 100);
    // And once more, of the engine that was a copy.
    compacted(&store);
    write(&store, [(key(1), Some(vec![1]))]);
    drop(store);
    assert_eq!(everything(&opened(&path, SledOptions::default())).len(), 101);
}

/// Where a compaction tells to be broken off there is the store of before, and everything that was written.
#[test]
fn what_is_broken_off_leaves_the_store_as_it_was() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("store");
    let store = opened(&path, SledOptions::default());
    churned(&store, 3);
    let inode = fs::metadata(&path).unwrap().ino();
    for stage in [Stage::Counting, Stage::Copying, Stage::Exchanging] {
        let stopped = store.compact(&|progress: Progress| match progress.stage == stage {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        assert!(matches!(stopped, Err(CompactError::Stopped)), "{stage:?}: {stopped:?}");
        assert!(!beside(&path).exists());
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        write(&store, [(key(9_000), Some(vec![stage as u8]))]);
    }
    assert_eq!(everything(&store).len(), 501);
    compacted(&store);
    assert_eq!(everything(&store).len(), 501);
}

#[test]
fn what_cannot_be_done_is_refused_and_said() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("store");
    let free = Arc::new(Mutex::new(u64::MAX));
    let asked = Arc::clone(&free);
    let options = SledOptions { free: Some(Arc::new(move || *asked.lock().unwrap())), ..SledOptions::default() };
    let needed = options.free_bytes_min;
    let store = opened(&path, options);
    churned(&store, 1);
    let refused = |said: &str| {
        let refused = store.compact(&|_| ControlFlow::Continue(()));
        assert!(matches!(&refused, Err(CompactError::Refused(text)) if text.contains(said)), "{refused:?}");
        assert!(!beside(&path).exists());
    };
    *free.lock().unwrap() = needed + (1 << 20);
    refused("make room");
    *free.lock().unwrap() = u64::MAX;
    let snapshot = store.snapshot().unwrap();
    refused("a backup is being made");
    drop(snapshot);
    let second = Mutex::new(None);
    let made = store.compact(&|_| {
        second.lock().unwrap().get_or_insert_with(|| store.compact(&|_| ControlFlow::Continue(())));
        ControlFlow::Continue(())
    });
    let second = second.into_inner().unwrap().unwrap();
    assert!(matches!(&second, Err(CompactError::Refused(text)) if text.contains("already")), "{second:?}");
    made.unwrap();
}

/// A backup that was begun before goes on reading what there was.
#[test]
fn a_snapshot_reads_on_over_the_exchange() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("store");
    let store = opened(&path, SledOptions::default());
    churned(&store, 1);
    let before = everything(&store);
    let (snapshot, seen) = (Mutex::new(None), Mutex::new(None));
    let made = store.compact(&|progress| {
        match progress.stage {
            Stage::Exchanging => *snapshot.lock().unwrap() = Some(store.snapshot().unwrap()),
            // The old files are there as long as it reads them.
            Stage::Removing => {
                if let Some(mut snapshot) = snapshot.lock().unwrap().take() {
                    write(&store, (0..500).map(|number| (key(number), None)));
                    *seen.lock().unwrap() = Some(snapshot.read(&KeyRange::prefix(&[OURS]), 10_000).unwrap());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    made.unwrap();
    let (pairs, next) = seen.into_inner().unwrap().unwrap();
    assert_eq!(next, None);
    let pairs: BTreeMap<_, _> = pairs.into_iter().collect();
    assert_eq!(pairs, before);
    assert_eq!(everything(&store).len(), 0);
}

#[test]
fn what_a_crash_leaves_beside_the_store_is_put_away_by_the_next_start() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("gateway");
    let mut gateway = Gateway::start(PROGRAM, &dir);
    assert!(gateway.stop().success());
    let left = dir.join("store.compacting");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("db"), b"half a copy").unwrap();
    gateway.restart();
    assert!(!left.exists(), "{}", gateway.log());
}

// ------------------------------------------------------------------------------------------------------------ the journal

#[test]
fn a_flipped_bit_in_an_old_file_of_the_journal_is_named() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("store");
    let journal = Some(JournalOptions { part_bytes: 16 << 10, ..JournalOptions::default() });
    let store = opened(&path, SledOptions { journal, ..SledOptions::default() });
    (0..200).for_each(|number| write(&store, [(key(number), Some(value(number, 0)))]));
    let whole = store.check_journal().unwrap();
    assert!(whole.is_sound() && whole.files > 3, "{whole:?}");
    assert_eq!((whole.groups, whole.last, whole.after), (200, 200, 0));
    let mut parts: Vec<_> = fs::read_dir(folder(&path)).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.sort();

    let file = fs::File::options().read(true).write(true).open(&parts[1]).unwrap();
    let flip = |at: u64| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    };
    let name = parts[1].to_str().unwrap();
    // In a record, in the last one and in the head.
    let bytes = fs::metadata(&parts[1]).unwrap().len();
    for at in [2_000, 30] {
        flip(at);
        let found = store.check_journal().unwrap();
        let damage = found.damaged.first().unwrap_or_else(|| panic!("byte {at} of {bytes}: {found:?}"));
        assert_eq!(damage.file, name, "{found:?}");
        assert!(damage.byte <= at && found.damaged.len() == 1, "{found:?}");
        flip(at);
        assert!(store.check_journal().unwrap().is_sound());
    }
    fs::rename(&parts[1], outer.path().join("gone")).unwrap();
    let found = store.check_journal().unwrap();
    assert!(found.damaged.len() == 1 && found.damaged[0].file == parts[2].to_str().unwrap(), "{found:?}");
    assert!(found.damaged[0].what.contains("missing"), "{found:?}");
    fs::rename(outer.path().join("gone"), &parts[1]).unwrap();
    // The end: what the store has noted, and the journal has not.
    fs::rename(parts.last().unwrap(), outer.path().join("gone")).unwrap();
    let found = store.check_journal().unwrap();
    assert!(found.damaged.len() == 1 && found.damaged[0].what.contains("its end is missing"), "{found:?}");
}

// ------------------------------------------------------------------------------------------------------------ the program

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(words).arg("--config").arg(folder.join("config.toml")).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A command that succeeds; its JSON.
async fn json(folder: &Path, words: &[&str]) -> Value {
    let mut command = command(folder, words);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", said(&output)))
}

/// What was acknowledged, by what it was told to be; a key has no value that is known.
type Made = Mutex<Vec<(String, Option<Vec<u8>>)>>;

/// Clients of both protocols that make and read until they are stopped.
struct Clients {
    stop: Arc<AtomicBool>,
    made: Arc<Made>,
    failed: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Clients {
    async fn start(gateway: &Gateway, count: usize) -> Self {
        let (stop, made, failed) = <(Arc<AtomicBool>, Arc<Mutex<Vec<_>>>, Arc<Mutex<Vec<_>>>)>::default();
        let mut tasks = Vec::new();
        for client in 0..count {
            let (stop, made, failed) = (Arc::clone(&stop), Arc::clone(&made), Arc::clone(&failed));
            let rest = Rest::new(&gateway.rest(), "demo");
            let mut kmip = Kmip::connect(gateway).await.unwrap();
            tasks.push(tokio::spawn(async move {
                let mut turn = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    let done = match (client + turn as usize) % 2 {
                        0 => Self::kmip(&mut kmip, &made).await,
                        _ => {
                            Self::rest(&rest, [client.to_be_bytes().as_slice(), &turn.to_be_bytes()].concat(), &made)
                                .await
                        }
                    };
                    if let Err(what) = done {
                        failed.lock().unwrap().push(what);
                        return;
                    }
                }
            }));
        }
        Self { stop, made, failed, tasks }
    }

    async fn kmip(kmip: &mut Kmip, made: &Made) -> Result<(), String> {
        let id = kmip.make(create(aes())).await.map_err(|failure| format!("Create: {failure:?}"))?;
        made.lock().unwrap().push((id.clone(), None));
        kmip.get(&id).await.map_err(|failure| format!("Get: {failure:?}"))?;
        Ok(())
    }

    async fn rest(rest: &Rest, value: Vec<u8>, made: &Made) -> Result<(), String> {
        let answer = rest.store("opaque", &value).await.map_err(|error| format!("POST: {error}"))?;
        if answer.status != 201 {
            return Err(format!("POST: {}: {}", answer.status, answer.text()));
        }
        let id = answer.reference("secret_ref");
        made.lock().unwrap().push((id.clone(), Some(value.clone())));
        let answer = rest.payload(&id).await.map_err(|error| format!("GET: {error}"))?;
        if answer.status != 200 || answer.body != value {
            return Err(format!("GET: {}: {}", answer.status, answer.text()));
        }
        Ok(())
    }

    async fn until(&self, count: usize) {
        let began = Instant::now();
        while self.made.lock().unwrap().len() < count {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.failed.lock().unwrap());
            assert!(self.failed.lock().unwrap().is_empty(), "{:?}", self.failed.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What was acknowledged, and what went wrong.
    async fn end(self) -> (Vec<(String, Option<Vec<u8>>)>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let (made, failed) = (self.made.lock().unwrap().clone(), self.failed.lock().unwrap().clone());
        (made, failed)
    }
}

/// Everything is there, for both protocols, and the store agrees with itself.
async fn is_whole(gateway: &Gateway, made: &[(String, Option<Vec<u8>>)]) {
    let rest = Rest::new(&gateway.rest(), "demo");
    let mut kmip = Kmip::connect(gateway).await.unwrap();
    for (id, value) in made {
        kmip.get(id).await.unwrap_or_else(|failure| panic!("{id}: {failure:?}: {}", gateway.log()));
        let answer = rest.payload(id).await.unwrap();
        assert_eq!(answer.status, 200, "{id}: {}: {}", answer.text(), gateway.log());
        if let Some(value) = value {
            assert_eq!(&answer.body, value, "{id}");
        }
    }
    let checked = json(gateway.folder(), &["store", "fsck", "--json"]).await;
    assert!(checked["journal"]["groups"].as_u64().unwrap() > 0, "{checked}");
    let compared = json(gateway.folder(), &["hsm", "fsck", "--json"]).await;
    assert_eq!((&compared[0]["missing_count"], &compared[0]["orphan_count"]), (&0.into(), &0.into()), "{compared}");
}

async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let text = reqwest::get(format!("{}/metrics", gateway.ops())).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_both_protocols_see_nothing_of_a_compaction() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("gateway");
    let mut gateway = Gateway::start(PROGRAM, &folder);
    let clients = Clients::start(&gateway, 4).await;
    clients.until(40).await;
    let (mut longest, mut groups) = (0, 0);
    for round in 1..=3 {
        let made = json(&folder, &["store", "compact", "--json"]).await;
        longest = longest.max(made["paused_micros"].as_u64().unwrap());
        groups += made["groups"].as_u64().unwrap();
        assert!(made["keys"].as_u64().unwrap() > 0 && made["bytes_after"].as_u64().unwrap() > 0, "{made}");
        clients.until(40 + 20 * round).await;
    }
    let (made, failed) = clients.end().await;
    assert!(failed.is_empty(), "{failed:?}: {}", gateway.log());
    println!(
        "figures compaction: {} objects, 3 compactions beside 4 clients: 0 failed, {groups} groups followed, changes waited {:.1} ms at most",
        made.len(),
        Duration::from_micros(longest).as_secs_f64() * 1000.0
    );
    is_whole(&gateway, &made).await;
    assert!(metric(&gateway, "portcullis_store_disk_bytes").await > 0.0);
    assert!(metric(&gateway, "portcullis_store_journal_bytes").await > 0.0);
    let began = Instant::now();
    while metric(&gateway, "portcullis_store_live_bytes").await == 0.0 {
        assert!(began.elapsed() < PATIENCE, "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(gateway.stop().success());
    let trail = fs::read_to_string(folder.join("audit/audit.log")).unwrap();
    assert_eq!(trail.matches("\"action\":\"compact\"").count(), 3, "{trail}");

    // The same without a gateway.
    let alone = json(&folder, &["store", "compact", "--json"]).await;
    assert_eq!(alone["groups"], 0, "{alone}");
    let text = command(&folder, &["store", "compact"]).output().unwrap();
    assert!(text.status.success() && said(&text).contains("compacted: "), "{}", said(&text));
    gateway.restart();
    is_whole(&gateway, &made).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fsck_names_a_damaged_file_of_the_journal() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("gateway");
    let gateway = Gateway::start(PROGRAM, &folder);
    let rest = Rest::new(&gateway.rest(), "demo");
    for number in 0..5 {
        assert_eq!(rest.store("opaque", &[number; 20]).await.unwrap().status, 201);
    }
    json(&folder, &["store", "fsck", "--json"]).await;
    let part = folder.join("store/journal/0000000000000000.journal");
    let file = fs::File::options().read(true).write(true).open(&part).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 200).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 200).unwrap();
    for words in [&["store", "fsck"][..], &["store", "fsck", "--json"]] {
        let mut command = command(&folder, words);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = said(&output);
        assert!(!output.status.success() && text.contains("0000000000000000.journal"), "{text}");
        assert!(text.contains("byte"), "{text}");
    }
}

/// Where the gateway is killed: at the time that it does this.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// The folder of the copy is there.
    Begun,
    /// After that, and so many milliseconds more.
    Later(u64),
    /// The folders have changed places.
    Exchanged,
}

async fn killed_at(gateway: &Gateway, point: Point, mut compacting: Child) {
    let (store, copy) = (gateway.folder().join("store"), gateway.folder().join("store.compacting"));
    let inode = fs::metadata(&store).unwrap().ino();
    let began = Instant::now();
    loop {
        let is_there = match point {
            Point::Begun | Point::Later(_) => copy.exists(),
            Point::Exchanged => fs::metadata(&store).is_ok_and(|store| store.ino() != inode),
        };
        // One that has ended meanwhile was faster than we look: it is killed all the same.
        if is_there || compacting.try_wait().unwrap().is_some() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{}", gateway.log());
        thread::sleep(Duration::from_micros(200));
    }
    if let Point::Later(millis) = point {
        thread::sleep(Duration::from_millis(millis));
    }
    gateway.kill();
    compacting.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_compacts_the_gateway_has_everything_at_the_next_start() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("gateway");
    let mut gateway = Gateway::start(PROGRAM, &folder);
    let long = env::var_os("LONG").is_some();
    let points: Vec<Point> = match long {
        false => vec![Point::Begun, Point::Later(60), Point::Exchanged],
        true => (0..30)
            .map(|at| match at % 3 {
                0 => Point::Later(at * 3),
                1 => Point::Later(at * 10),
                _ => Point::Exchanged,
            })
            .collect(),
    };
    let (mut all, mut exchanged) = (Vec::new(), 0);
    for point in &points {
        let inode = fs::metadata(folder.join("store")).unwrap().ino();
        let clients = Clients::start(&gateway, 4).await;
        clients.until(30).await;
        let mut command = command(&folder, &["store", "compact"]);
        let compacting = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        killed_at(&gateway, *point, compacting).await;
        // What a kill has cut off may have been done, and is not asked for.
        let (made, _cut_off) = clients.end().await;
        all.extend(made);
        exchanged += usize::from(fs::metadata(folder.join("store")).unwrap().ino() != inode);
        gateway.restart();
        assert!(!folder.join("store.compacting").exists(), "{point:?}: {}", gateway.log());
        is_whole(&gateway, &all).await;
    }
    println!(
        "figures compaction killed: {} kills, {exchanged} after the exchange, {} objects acknowledged: 0 lost",
        points.len(),
        all.len()
    );
}
