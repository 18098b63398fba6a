//! The power is cut under writers: what was acknowledged is there, and every disk that a cut can leave opens.
//!
//! The gateway runs once over a disk that is recorded (`disk`). Afterwards the power is cut at random places of that record, with
//! everything dropped that was not synced, or some of its sectors kept; each time a gateway starts on what is left. Store and
//! trail are on that disk. The token is not: an HSM keeps what it has acknowledged by means of its own.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use portcullis_testing::{Gateway, Kmip, PATIENCE, Rest, aes, create};
use serde_json::Value;

use crate::{
    Chance, PROGRAM, alone,
    disk::{Cut, Disk, frames, shim},
    seed, size, tail,
};

/// Folders on a disk of their own.
const SPARED: &[&str] = &["hsm", "tls", "addresses.json", "control"];

/// What clients know of an object, with the places in the record where they sent and were answered.
#[derive(Clone, Debug, Default)]
struct Told {
    made: u64,
    value: Option<Vec<u8>>,
    /// A destruction was sent here, and acknowledged there.
    ending: Option<u64>,
    ended: Option<u64>,
}

struct Notes {
    record: std::path::PathBuf,
    objects: Mutex<BTreeMap<String, Told>>,
    acknowledged: AtomicUsize,
}

impl Notes {
    /// Where the record is now: what is answered before was written before.
    fn place(&self) -> u64 {
        fs::metadata(&self.record).unwrap().len()
    }
}

async fn rest_writer(base: String, notes: Arc<Notes>, stop: Arc<AtomicBool>, mut chance: Chance) {
    let rest = Rest::new(&base, "demo");
    let mut own: Vec<String> = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        if own.len() > 3 && chance.below(3) == 0 {
            let id = own.swap_remove(chance.below(own.len()));
            notes.objects.lock().get_mut(&id).unwrap().ending = Some(notes.place());
            let Ok(answer) = rest.delete(&id).await else { return };
            assert_eq!(answer.status, 204, "{}", answer.text());
            notes.objects.lock().get_mut(&id).unwrap().ended = Some(notes.place());
        } else {
            let value = chance.bytes(32);
            let Ok(answer) = rest.store("symmetric", &value).await else { return };
            assert_eq!(answer.status, 201, "{}", answer.text());
            let id = answer.reference("secret_ref");
            let told = Told { made: notes.place(), value: Some(value), ..Told::default() };
            notes.objects.lock().insert(id.clone(), told);
            own.push(id);
        }
        notes.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

async fn kmip_writer(gateway: Arc<Gateway>, notes: Arc<Notes>, stop: Arc<AtomicBool>) {
    let mut kmip = Kmip::connect(&gateway).await.unwrap();
    while !stop.load(Ordering::SeqCst) {
        let Ok(id) = kmip.make(create(aes())).await else { return };
        notes.objects.lock().insert(id, Told { made: notes.place(), ..Told::default() });
        notes.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs a gateway over the recorded disk until so much is acknowledged; where the record was when it began to serve.
async fn recorded(gateway: &mut Arc<Gateway>, notes: &Arc<Notes>, writes: usize) -> u64 {
    let (stop, mut writers) = (Arc::new(AtomicBool::new(false)), tokio::task::JoinSet::new());
    let began = notes.place();
    for writer in 0..4 {
        let chance = Chance(seed() + writer);
        writers.spawn(rest_writer(gateway.rest(), Arc::clone(notes), Arc::clone(&stop), chance));
        writers.spawn(kmip_writer(Arc::clone(gateway), Arc::clone(notes), Arc::clone(&stop)));
    }
    let started = Instant::now();
    while notes.acknowledged.load(Ordering::SeqCst) < writes {
        assert!(started.elapsed() < PATIENCE * 10, "it is too slow: {}", tail(&gateway.log()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gateway.kill();
    stop.store(true, Ordering::SeqCst);
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    began
}

/// No file of store and trail is mapped for writing: that would go past the record.
fn nothing_is_mapped(gateway: &Gateway) {
    let maps = fs::read_to_string(format!("/proc/{}/maps", gateway.pid())).unwrap();
    for line in maps.lines().filter(|line| line.contains(" rw-s ")) {
        let ours = ["store", "audit"].iter().any(|name| line.contains(gateway.folder().join(name).to_str().unwrap()));
        assert!(!ours, "{line}");
    }
}

fn json(folder: &Path, words: &[&str]) -> Value {
    let output = Command::new(PROGRAM).args(words).arg("--config").arg(folder.join("config.toml")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn power_is_cut_under_writers() {
    let _alone = alone().await;
    let outer = tempfile::tempdir().unwrap();
    let library = match shim(outer.path()) {
        Ok(library) => library,
        Err(why) => {
            println!("skipped, because {why}");
            return;
        }
    };
    let outer = fs::canonicalize(outer.path()).unwrap();
    let (folder, record) = (outer.join("gateway"), outer.join("record"));
    assert!(Gateway::start(PROGRAM, &folder).stop().success());
    let baseline = outer.join("baseline");
    let mut disk = Disk::of(&folder, SPARED);
    let (images, writes) = (size(3, 100), size(120, 3_000));

    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (library, at, log) = (text(&library), text(&folder), text(&record));
    let settings = [("LD_PRELOAD", library.as_str()), ("DISK_FOLDER", at.as_str()), ("DISK_LOG", log.as_str())];
    let mut gateway = Arc::new(Gateway::start_with(PROGRAM, &folder, &settings));
    let notes = Arc::new(Notes { record, objects: Mutex::default(), acknowledged: AtomicUsize::new(0) });
    nothing_is_mapped(&gateway);
    let began = recorded(&mut gateway, &notes, writes).await;
    drop(gateway);
    let frames = frames(&fs::read(&notes.record).unwrap(), &folder);
    let objects = notes.objects.lock().clone();

    // Cuts while it serves, in their order, so that the record is gone through once.
    let mut chance = Chance(seed());
    let first = frames.iter().position(|frame| frame.end > began).unwrap();
    let mut places: Vec<usize> = (0..images).map(|_| first + chance.below(frames.len() - first) + 1).collect();
    places.sort_unstable();
    let (mut promised, mut unsynced) = (0, 0);
    for (image, place) in places.into_iter().enumerate() {
        disk.advance(&frames, place);
        unsynced += disk.unsynced();
        let cut = if image.is_multiple_of(2) { Cut::Dropped } else { Cut::Torn };
        disk.image(&baseline, cut, &mut chance);
        for part in ["store", "audit", "hsm"] {
            fs::remove_dir_all(folder.join(part)).unwrap();
            fs::rename(baseline.join(part), folder.join(part)).unwrap();
        }
        let mut gateway = Gateway::start(PROGRAM, &folder);
        let at = frames[place - 1].end;
        promised += holds(&gateway, &objects, at).await;
        assert!(gateway.stop().success(), "{}", tail(&gateway.log()));
        json(&folder, &["store", "fsck", "--json"]);
        let verified = Command::new(PROGRAM).args(["audit", "verify"]).arg(folder.join("audit")).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
    println!(
        "figures power: {images} cuts under {} acknowledged changes, {} with all dropped that was not synced, the others torn; \
         {unsynced} writes were not synced; {promised} promises looked at, 0 lost, all opened",
        notes.acknowledged.load(Ordering::SeqCst),
        images.div_ceil(2),
    );
    assert!(unsynced > 0, "no cut has met anything");
}

/// Whatever was acknowledged before this place of the record is as it was told: how many objects that were.
async fn holds(gateway: &Gateway, objects: &BTreeMap<String, Told>, place: u64) -> usize {
    let rest = Rest::new(&gateway.rest(), "demo");
    let trail: String = fs::read_dir(gateway.folder().join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut promised = 0;
    for (id, told) in objects.iter().filter(|(_, told)| told.made <= place) {
        let answer = rest.payload(id).await.unwrap();
        if told.ended.is_some_and(|ended| ended <= place) {
            assert_eq!(answer.status, 404, "{id} was destroyed and is back; {}", tail(&gateway.log()));
        } else if told.ending.is_none_or(|ending| ending >= place) {
            assert_eq!(answer.status, 200, "{id} was acknowledged and is lost; {}", tail(&gateway.log()));
            if let Some(value) = &told.value {
                assert_eq!(&answer.body, value, "{id} has another value");
            }
        } else {
            continue;
        }
        assert!(trail.contains(id.as_str()), "{id} is not on the trail");
        promised += 1;
    }
    promised
}
