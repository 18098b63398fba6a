//! The store's files are damaged behind its back: a bit is flipped, an older copy put back, two records exchanged.
//!
//! Whatever is read of such a store afterwards is right, or is refused, or the comparison of records with index entries names
//! it. A store that was stopped is damaged many times; each time it is opened as the gateway does, with the mark that the token
//! knows, and everything in it is read: each record, the list of all, and each name. The engine's threads may panic over what they
//! find, so this happens in a process of its own, which goes on with the next damage as long as its engine works.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use portcullis::{
    domain::{
        AttributeKind, AttributeValue, Attributes, Lifecycle, ManagedObject, ObjectType, Origin, ProjectId,
        SecretValue, Timestamp, TokenId, TokenReference, UniqueIdentifier,
        reference::{DataHolder, HeldBytes},
        secret::{SecretFacet, SecretType},
    },
    engine::ports::{Batch, Guard, MetadataStore as _, Order, Revision, Scope, StoreError, Write},
    store::{
        Mark, RawStore, Repository,
        backend::{Backend, Direction, KeyRange, RawBatch},
        sled::{SledBackend, SledOptions},
    },
};
use portcullis_testing::{Gateway, PATIENCE, Rest, copy_folder};

use crate::{Chance, PROGRAM, alone, asked, seed, size};

const PROJECT: &str = "demo";
/// The objects' table.
const OBJECTS: u8 = 0x80;
/// The engine's segments.
const SEGMENT: usize = 512 << 10;
/// Writes of one commit.
const BATCH: usize = 20;

fn key() -> SecretValue {
    SecretValue::new(vec![42; 32])
}

fn id(number: u64) -> UniqueIdentifier {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    UniqueIdentifier::from_random(bytes)
}

fn object(number: u64, name: &str) -> ManagedObject {
    let identifier = id(number);
    let mut attributes = Attributes::default();
    attributes.add(AttributeKind::Name, AttributeValue::Name { value: name.to_owned(), kind: 1 }).unwrap();
    ManagedObject {
        identifier,
        object_type: ObjectType::OpaqueObject,
        project: ProjectId(PROJECT.to_owned()),
        creator: Some("somebody".to_owned()),
        origin: Origin::Barbican,
        value: Some(TokenReference {
            token: TokenId("main".to_owned()),
            cka_id: identifier.cka_id(),
            key: None,
            bytes: Some(HeldBytes { holder: DataHolder::Data, length: 100 }),
        }),
        format: None,
        subtype: None,
        lifecycle: Lifecycle::new(Timestamp::from_micros(1_800_000_000_000_000 + i64::try_from(number).unwrap())),
        attributes,
        secret: SecretFacet {
            name: Some("a secret of mine".to_owned()),
            secret_type: Some(SecretType::Opaque),
            content_type: Some("application/octet-stream".to_owned()),
            ..SecretFacet::default()
        },
    }
}

/// Whether an engine of this process has failed.
static FAILED: AtomicBool = AtomicBool::new(false);

/// As the gateway does: when the store fails, the process may end by itself, and does so in any case.
fn fails(_reason: &str) {
    FAILED.store(true, Ordering::SeqCst);
    thread::spawn(|| {
        thread::sleep(Duration::from_secs(20));
        process::exit(ENDED);
    });
}

/// The exit code of a process that ended because its store had failed, and did not come to an end by itself.
const ENDED: i32 = 74;

fn open(folder: &Path) -> Result<(RawStore, Repository), StoreError> {
    let raw = RawStore::open(folder, SledOptions::default(), Box::new(fails))?;
    let store = raw.unlock(&key())?;
    Ok((raw, store))
}

fn mark(number: u64) -> Mark {
    Mark { store: [7; 16], number, line: 0, line_hash: [0; 32] }
}

/// What a store must hold, and under which mark.
struct Whole {
    objects: BTreeMap<UniqueIdentifier, ManagedObject>,
    mark: u64,
}

/// Lives of the process that writes the store, and objects that each makes.
#[derive(Clone, Copy)]
struct Extent {
    lives: u64,
    objects: u64,
}

impl Extent {
    /// More than the engine's segments of half a MiB, so that a tear in one leaves others.
    fn chosen() -> Self {
        Self { lives: 3, objects: u64::try_from(size(200, 1_000)).unwrap() }
    }

    /// What a life makes, and what it changes of the life before it.
    fn writes(self, life: u64) -> Vec<(ManagedObject, Guard)> {
        let new = (0..self.objects).map(|number| life * self.objects + number);
        let made = new.map(|number| (object(number, &format!("name {number}")), Guard::Absent));
        let old = (0..self.objects).step_by(3).filter(|_| life > 0).map(|number| (life - 1) * self.objects + number);
        let changed =
            old.map(|number| (object(number, &format!("name {number} of life {life}")), Guard::At(Revision(1))));
        made.chain(changed).collect()
    }

    fn whole(self) -> Whole {
        let all = (0..self.lives).flat_map(|life| self.writes(life));
        Whole { objects: all.map(|(object, _)| (object.identifier, object)).collect(), mark: self.lives }
    }
}

/// Writes a store in several lives of the process, each ended by its mark; a copy of each is kept.
fn written(folder: &Path, extent: Extent) -> Vec<PathBuf> {
    let (store, mut copies) = (folder.join("store"), Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for life in 0..extent.lives {
        let (raw, repository) = open(&store).unwrap();
        let mut writes: Vec<_> = extent.writes(life).into_iter().collect();
        while !writes.is_empty() {
            let some = writes.drain(..writes.len().min(BATCH));
            let some = some.map(|(object, guard)| Write::PutObject(Box::new(object), guard)).collect();
            runtime.block_on(repository.commit(Batch(some))).unwrap();
        }
        let before = (life > 0).then(|| mark(life));
        repository.move_mark(before, mark(life + 1)).unwrap();
        drop((repository, raw));
        let copy = folder.join(format!("life-{}", life + 1));
        copy_folder(&store, &copy);
        copies.push(copy);
    }
    copies
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// What came of reading a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// It was not opened.
    Refused,
    /// It was seen to be an older one.
    Older,
    /// Something of it was refused, or its process ended, and everything else was right.
    Told,
    /// Something was wrong, and the comparison of records with index entries says so.
    Compared,
    /// Everything was right.
    Right,
    /// Something was wrong, and nothing says so.
    Wrong,
    /// No answer came.
    Hung,
}

const SEEN: [(Seen, &str); 7] = [
    (Seen::Refused, "refused at start"),
    (Seen::Older, "seen to be older"),
    (Seen::Told, "refused when read"),
    (Seen::Compared, "named by fsck only"),
    (Seen::Right, "harmless"),
    (Seen::Wrong, "silent wrong"),
    (Seen::Hung, "hung"),
];

/// Opens a store and reads everything in it; what came of it, and where.
fn seen(folder: &Path, whole: &Whole) -> (Seen, String) {
    let (_raw, store) = match open(folder) {
        Ok(opened) => opened,
        Err(error) => return (Seen::Refused, error.to_string()),
    };
    match store.mark() {
        Ok(Some(found)) if found == mark(whole.mark) => {}
        Ok(Some(found)) => return (Seen::Older, format!("mark {}", found.number)),
        // A gateway would take it for a new store.
        Ok(None) => return (Seen::Wrong, "no mark".to_owned()),
        Err(error) => return (Seen::Refused, error.to_string()),
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut refused, mut wrong) = (None, None);
    let mut judge = |what: String, is_right: Result<bool, StoreError>| match is_right {
        Ok(true) => {}
        Ok(false) => wrong = wrong.take().or(Some(what)),
        Err(error) => refused = refused.take().or_else(|| Some(format!("{what}: {error}"))),
    };
    for (id, object) in &whole.objects {
        let found = runtime.block_on(store.object(*id));
        judge(format!("{id}"), found.map(|found| found.is_some_and(|found| found.record == *object)));
        let name = object.names().next().unwrap();
        let scope = Scope::Name(ProjectId(PROJECT.to_owned()), name.to_owned());
        let found = runtime.block_on(store.objects(scope, Order::OldestFirst, None, 10));
        let is_right = found.map(|page| page.records.len() == 1 && page.records[0].record == *object);
        judge(format!("the name {name}"), is_right);
    }
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let page = runtime.block_on(store.objects(Scope::Everything, order, None, 10_000));
        let is_right = page.map(|page| {
            let found = page.records.iter().map(|found| (found.record.identifier, found.record.clone()));
            found.collect::<BTreeMap<_, _>>() == whole.objects
        });
        judge("the list".to_owned(), is_right);
    }
    // The check that an operator would run.
    let is_sound = store.check(|_| {}).is_ok_and(|check| check.is_sound());
    match (wrong, refused) {
        (Some(what), _) if is_sound => (Seen::Wrong, what),
        (Some(what), _) => (Seen::Compared, what),
        (None, Some(what)) => (Seen::Told, what),
        (None, None) if !is_sound => (Seen::Told, "by the check".to_owned()),
        (None, None) => (Seen::Right, String::new()),
    }
}

/// What the process that reads is given: the folder, and its first case and the one after the last.
const READS: &str = "PORTCULLIS_TEST_DAMAGED";

#[test]
fn the_process_that_reads() {
    let Some(folder) = env::var_os(READS).map(PathBuf::from) else { return };
    let number = |name: &str| usize::try_from(asked(name).unwrap()).unwrap();
    let cases = Cases::of(&folder);
    let whole = Extent::chosen().whole();
    for case in number("FROM")..number("TO") {
        println!("begin {case}");
        let victim = folder.join(format!("case-{case}"));
        let what = cases.prepare(case, &victim, &whole);
        let (seen, why) = seen(&victim, &whole);
        let word = SEEN.iter().find(|(it, _)| *it == seen).unwrap().1;
        println!("\nend {case}|{word}|{what}|{}", why.replace('\n', " "));
        fs::remove_dir_all(&victim).unwrap();
        if FAILED.load(Ordering::SeqCst) {
            // Its engine's threads are not those of a new process.
            process::exit(0);
        }
    }
}

/// What is done to copies of a store, by number: first bits are flipped, then older copies put back, then pairs exchanged.
struct Cases {
    store: PathBuf,
    older: Vec<PathBuf>,
    flips: usize,
    swaps: usize,
    /// Every block of the files in which something is written.
    places: Vec<(PathBuf, usize)>,
}

impl Cases {
    fn of(folder: &Path) -> Self {
        let lives = usize::try_from(Extent::chosen().lives).unwrap();
        let mut older: Vec<_> = (1..=lives).map(|life| folder.join(format!("life-{life}"))).collect();
        let store = older.pop().unwrap();
        let places = files(&store).into_iter().flat_map(|path| {
            let blocks = written_blocks(&fs::read(&path).unwrap());
            blocks.into_iter().map(move |at| (path.clone(), at))
        });
        let flips = asked("FLIPS").map_or_else(|| size(16, 1_000), |flips| usize::try_from(flips).unwrap());
        Self { places: places.collect(), store, older, flips, swaps: size(4, 100) }
    }

    fn count(&self) -> usize {
        1 + self.flips + self.older.len() + self.swaps
    }

    /// Which kind of case it is.
    fn kind(&self, case: usize) -> &'static str {
        match case {
            0 => "untouched",
            _ if case <= self.flips => "flip",
            _ if case <= self.flips + self.older.len() => "older copy",
            _ => "exchange",
        }
    }

    /// Makes the copy and damages it; says how.
    fn prepare(&self, case: usize, victim: &Path, whole: &Whole) -> String {
        // A case is the same in whichever process it comes up.
        let mut chance = Chance(seed().wrapping_mul(1_000_003).wrapping_add(u64::try_from(case).unwrap()));
        match self.kind(case) {
            "flip" => {
                copy_folder(&self.store, victim);
                let (mut path, mut block) = self.places[chance.below(self.places.len())].clone();
                match case % 8 {
                    // Most of the bytes are in one file, and the others count as well.
                    4 => {
                        let files = files(&self.store);
                        let files: Vec<_> =
                            files.into_iter().filter(|it| fs::metadata(it).unwrap().len() > 0).collect();
                        (path, block) = (files[chance.below(files.len())].clone(), 0);
                    }
                    // The heads of the engine's segments: of the first, then of any.
                    5 => block = 0,
                    6 => block = block / SEGMENT * SEGMENT,
                    _ => {}
                }
                let file = victim.join(path.strip_prefix(&self.store).unwrap());
                let mut bytes = fs::read(&file).unwrap();
                let at = (block + chance.below(64)).min(bytes.len() - 1);
                let bit = chance.below(8);
                bytes[at] ^= 1 << bit;
                fs::write(&file, bytes).unwrap();
                format!("bit {bit} of byte {at} of {}", path.file_name().unwrap().display())
            }
            "older copy" => {
                let copy = &self.older[case - self.flips - 1];
                copy_folder(copy, victim);
                copy.file_name().unwrap().display().to_string()
            }
            "exchange" => {
                copy_folder(&self.store, victim);
                let records = case.is_multiple_of(2);
                swap(victim, whole, &mut chance, records);
                if records { "two records" } else { "two names" }.to_owned()
            }
            _ => {
                copy_folder(&self.store, victim);
                String::new()
            }
        }
    }
}

/// Where a file has been written: its blocks of 64 bytes that are not all zeros.
fn written_blocks(bytes: &[u8]) -> Vec<usize> {
    let blocks = bytes.chunks(64).enumerate();
    blocks.filter(|(_, block)| block.iter().any(|byte| *byte != 0)).map(|(at, _)| at * 64).collect()
}

/// Runs processes that read until every case has an outcome.
fn outcomes(folder: &Path, cases: &Cases) -> Vec<(Seen, String)> {
    let mut found = Vec::new();
    while found.len() < cases.count() {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "damage::the_process_that_reads", "--nocapture", "--test-threads=1"]);
        command.env(READS, folder).env("FROM", found.len().to_string()).env("TO", cases.count().to_string());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (line, lines) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || {
            for read in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.send(read).is_err() {
                    return;
                }
            }
        });
        let before = found.len();
        let outcome = loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => found.extend(line.strip_prefix("end ").map(parsed)),
                Err(mpsc::RecvTimeoutError::Disconnected) => break None,
                Err(mpsc::RecvTimeoutError::Timeout) => break Some(Seen::Hung),
            }
        };
        if outcome == Some(Seen::Hung) {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        match outcome {
            Some(hung) => found.push((hung, format!("case {}", found.len()))),
            // It ended over the case, as a gateway would.
            None if status.code() != Some(0) || found.len() == before => {
                assert!(!matches!(status.code(), Some(0) | Some(101)), "case {}: {status}", found.len());
                found.push((Seen::Told, format!("case {}: the process ended: {status}", found.len())));
            }
            None => {}
        }
    }
    found
}

/// `case|outcome|what was done|what was seen`.
fn parsed(line: &str) -> (Seen, String) {
    let word = line.split('|').nth(1).unwrap();
    (SEEN.iter().find(|(_, it)| *it == word).unwrap().0, line.to_owned())
}

#[tokio::test]
async fn damage_is_detected_or_does_no_harm() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let (cases, found) = tokio::task::spawn_blocking(move || {
        written(folder.path(), Extent::chosen());
        let cases = Cases::of(folder.path());
        let found = outcomes(folder.path(), &cases);
        (cases, found)
    })
    .await
    .unwrap();
    for (seen, what) in &found {
        if env::var_os("SHOW").is_some() || matches!(seen, Seen::Compared | Seen::Wrong | Seen::Hung) {
            println!("{seen:?}: {what}");
        }
    }
    let tally = |kind: &str| {
        let of_kind = (0..).zip(&found).filter(|(case, _)| cases.kind(*case) == kind).map(|(_, (seen, _))| *seen);
        let of_kind: Vec<Seen> = of_kind.collect();
        let counts = SEEN.map(|(seen, word)| format!("{} {word}", of_kind.iter().filter(|it| **it == seen).count()));
        (of_kind.clone(), format!("{} × {kind}: {}", of_kind.len(), counts.join(", ")))
    };
    let (flips, older, exchanged) = (tally("flip"), tally("older copy"), tally("exchange"));
    println!("figures damage: {}; {}; {}", flips.1, older.1, exchanged.1);
    assert_eq!(found[0].0, Seen::Right, "the store is whole");
    let all = flips.0.iter().chain(&older.0).chain(&exchanged.0);
    assert_eq!(all.filter(|seen| matches!(seen, Seen::Wrong | Seen::Hung)).count(), 0);
    assert!(older.0.iter().all(|seen| *seen == Seen::Older), "an older store was not noticed");
    assert!(exchanged.0.iter().all(|seen| *seen != Seen::Right), "an exchange was not noticed");
}

/// Exchanges two records, or the targets of two names, beneath what authenticates them.
fn swap(folder: &Path, whole: &Whole, chance: &mut Chance, records: bool) {
    let backend = SledBackend::open(folder, SledOptions::default(), Box::new(fails)).unwrap();
    let ids: Vec<_> = whole.objects.keys().copied().collect();
    let one = chance.below(ids.len());
    let two = (one + 1 + chance.below(ids.len() - 1)) % ids.len();
    let (one, two) = (ids[one].bytes(), ids[two].bytes());
    let (first, second) = if records {
        ([[OBJECTS].as_slice(), &one].concat(), [[OBJECTS].as_slice(), &two].concat())
    } else {
        let everything = KeyRange::between(vec![0], vec![0xFF; 8]);
        let pairs = backend.scan(&everything, Direction::Up, 1_000_000).unwrap();
        let naming = |id: [u8; 16]| pairs.iter().find(|(_, value)| value.as_slice() == id).unwrap().0.clone();
        (naming(one), naming(two))
    };
    let (a, b) = (backend.get(&first).unwrap().unwrap(), backend.get(&second).unwrap().unwrap());
    let (done, waiting) = mpsc::channel();
    let batch = RawBatch { writes: [(first, Some(b)), (second, Some(a))].into(), ..RawBatch::default() };
    backend.commit(batch, Box::new(move |result| drop(done.send(result))));
    waiting.recv().unwrap().unwrap();
}

/// What is done to the values of a gateway's store.
const VALUES: u8 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_on_a_damaged_store_refuses_or_answers_right() {
    let _alone = alone().await;
    let outer = tempfile::tempdir().unwrap();
    let (folder, kept) = (outer.path().join("gateway"), outer.path().join("kept"));
    let mut gateway = Gateway::start(PROGRAM, &folder);
    let rest = Rest::new(&gateway.rest(), "demo");
    let mut stored = Vec::new();
    for number in 0..VALUES {
        stored.push(rest.store("symmetric", &[number; 32]).await.unwrap().reference("secret_ref"));
    }
    assert!(gateway.stop().success());
    copy_folder(&folder, &kept);
    let places: Vec<(PathBuf, usize)> = files(&kept.join("store"))
        .into_iter()
        .flat_map(|path| {
            let blocks = written_blocks(&fs::read(&path).unwrap());
            blocks.into_iter().map(move |at| (path.clone(), at))
        })
        .collect();
    let mut chance = Chance(seed());
    let (mut refused, mut ended, mut right, mut errors) = (0, 0, 0, 0);
    let flips = size(3, 20);
    for _ in 0..flips {
        copy_folder(&kept, &folder);
        let (path, block) = &places[chance.below(places.len())];
        let file = folder.join(path.strip_prefix(&kept).unwrap());
        let mut bytes = fs::read(&file).unwrap();
        let at = (block + chance.below(64)).min(bytes.len() - 1);
        bytes[at] ^= 1 << chance.below(8);
        fs::write(&file, bytes).unwrap();
        let mut gateway = match Gateway::attempt(PROGRAM, &folder) {
            Ok(gateway) => gateway,
            Err((status, said)) => {
                assert!(matches!(status.code(), Some(1 | 74)) && said.contains("PC-STORE-"), "{status}: {said}");
                refused += 1;
                continue;
            }
        };
        let rest = Rest::new(&gateway.rest(), "demo");
        for (number, id) in (0..).zip(&stored) {
            match rest.payload(id).await {
                Ok(answer) if answer.status == 200 => {
                    assert_eq!(answer.body, [number; 32], "a wrong value");
                    right += 1;
                }
                Ok(answer) => {
                    assert!(answer.status >= 500, "byte {at} of {}: {}", path.display(), answer.text());
                    errors += 1;
                }
                // It stopped.
                Err(_) => errors += 1,
            }
        }
        match gateway.stop().code() {
            Some(0) => {}
            Some(74) => ended += 1,
            other => panic!("{other:?}: {}", gateway.log()),
        }
    }
    println!(
        "figures damage, through the gateway: {flips} flips: {refused} refused at the start, {ended} ended with its own exit code, \
         {right} right answers, {errors} errors, 0 wrong, 0 hung"
    );
}
