//! Backups, restores and what shows that an older store was put back: by the program, with a token and a trail.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the answer")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use portcullis_testing::{Gateway, Rest, copy_folder, refused};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

fn run(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(words).arg("--config").arg(folder.join("config.toml"));
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A command that succeeds; its JSON.
fn json(folder: &Path, words: &[&str]) -> Value {
    let output = run(folder, words);
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", said(&output)))
}

/// A command that fails; what it said.
fn fails(folder: &Path, words: &[&str], code: &str) -> String {
    let output = run(folder, words);
    let text = said(&output);
    assert!(!output.status.success() && text.contains(code), "{words:?}: {text}");
    text
}

async fn put(gateway: &Gateway, value: &[u8]) -> String {
    Rest::new(&gateway.rest(), "demo").store("symmetric", value).await.unwrap().reference("secret_ref")
}

async fn value(gateway: &Gateway, id: &str) -> Vec<u8> {
    Rest::new(&gateway.rest(), "demo").payload(id).await.unwrap().body
}

fn trail(folder: &Path) -> String {
    fs::read_to_string(folder.join("audit/audit.log")).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Every file below a folder with its bytes, to see that nothing was changed.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => found.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_gateway_that_serves_is_restored_whole() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("gateway");
    let mut gateway = Gateway::start(PROGRAM, &folder);
    let mut before = Vec::new();
    for number in 0..20 {
        before.push(put(&gateway, &[number; 32]).await);
    }
    // Writers go on while the backup is made.
    let enough = Arc::new(AtomicBool::new(false));
    let (stop, rest) = (Arc::clone(&enough), gateway.rest());
    let writer = tokio::spawn(async move {
        let client = Rest::new(&rest, "demo");
        let mut made = 0;
        loop {
            client.store("opaque", b"meanwhile").await.unwrap();
            made += 1;
            if stop.load(Ordering::Relaxed) {
                return made;
            }
        }
    });
    let file = outer.path().join("one.backup");
    let (at, to) = (folder.clone(), file.clone());
    let made = tokio::task::spawn_blocking(move || json(&at, &["backup", text(&to), "--json"])).await.unwrap();
    let fsck = folder.clone();
    let checked = tokio::task::spawn_blocking(move || json(&fsck, &["store", "fsck", "--json"])).await.unwrap();
    enough.store(true, Ordering::Relaxed);
    let meanwhile: u64 = writer.await.unwrap();
    assert!(meanwhile > 0);
    assert_eq!(
        (&checked["damaged"], &checked["missing"], &checked["stray"]),
        (&Value::Array(vec![]), &Value::Array(vec![]), &Value::Array(vec![]))
    );
    let held = made["counts"]["objects"].as_u64().unwrap();
    assert!((20..=20 + meanwhile).contains(&held), "{made}");
    fails(&folder, &["backup", text(&file)], "PC-BACKUP-FILE");
    fails(&folder, &["restore", text(&file), "--replace"], "PC-RESTORE-RUNNING");
    let after = put(&gateway, &[99; 32]).await;
    assert!(gateway.stop().success());
    let values = [[9; 32].as_slice(), &[19; 32]];
    assert!(values.iter().all(|value| !fs::read(&file).unwrap().windows(value.len()).any(|at| at == *value)));

    let verified = json(&folder, &["restore", text(&file), "--verify", "--json"]);
    assert_eq!(verified["counts"], made["counts"]);
    fails(&folder, &["restore", text(&file)], "PC-RESTORE-NOT-EMPTY");
    let restored = json(&folder, &["restore", text(&file), "--replace", "--json"]);
    // What was made after the backup is on the token, and no record knows it.
    let orphans = restored["tokens"][0]["orphan_count"].as_u64().unwrap();
    assert_eq!(orphans, 20 + meanwhile + 1 - held, "{restored}");
    assert_eq!(restored["tokens"][0]["missing_count"], 0);
    assert!(folder.join("store.before-restore-0").is_dir() && !folder.join("store.restoring").exists());
    assert!(trail(&folder).contains("\"action\":\"restore\"") && trail(&folder).contains("\"action\":\"backup\""));

    gateway.restart();
    for (number, id) in (0..20).zip(&before) {
        assert_eq!(value(&gateway, id).await, [number; 32]);
    }
    let gone = Rest::new(&gateway.rest(), "demo").payload(&after).await.unwrap();
    assert_eq!(gone.status, 404);
    assert!(gateway.stop().success());
    json(&folder, &["store", "fsck", "--json"]);

    // Without a gateway, into a folder that is not there.
    let second = outer.path().join("two.backup");
    let again = json(&folder, &["backup", text(&second), "--json"]);
    assert_eq!(again["counts"]["objects"], held);
    fs::remove_dir_all(folder.join("store")).unwrap();
    json(&folder, &["restore", text(&second), "--json"]);
    gateway.restart();
    assert_eq!(value(&gateway, &before[3]).await, [3; 32]);
}

#[tokio::test]
async fn a_backup_that_was_changed_or_belongs_elsewhere_changes_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("gateway");
    let mut gateway = Gateway::start(PROGRAM, &folder);
    put(&gateway, &[7; 32]).await;
    let file = outer.path().join("one.backup");
    json(&folder, &["backup", text(&file), "--json"]);
    assert!(gateway.stop().success());
    let whole = fs::read(&file).unwrap();
    let before = contents(&folder.join("store"));

    let bad = outer.path().join("bad.backup");
    let middle = whole.len() / 2;
    let mut flipped = whole.clone();
    flipped[middle] ^= 1;
    let mut versioned = whole.clone();
    versioned[19] ^= 2;
    let longer = [whole.as_slice(), &[0]].concat();
    for (bytes, code) in [
        (flipped.as_slice(), "PC-BACKUP-DAMAGED"),
        (&whole[..middle], "PC-BACKUP-DAMAGED"),
        (&longer, "PC-BACKUP-DAMAGED"),
        (b"something else", "PC-BACKUP-DAMAGED"),
        (&versioned, "PC-BACKUP-FORMAT"),
    ] {
        fs::write(&bad, bytes).unwrap();
        fails(&folder, &["restore", text(&bad), "--replace"], code);
    }
    assert_eq!(contents(&folder.join("store")), before);

    // Another token has another key, or none.
    let other = outer.path().join("other");
    let mut stranger = Gateway::start(PROGRAM, &other);
    assert!(stranger.stop().success());
    fails(&other, &["restore", text(&file), "--replace"], "PC-BACKUP-DAMAGED");
}

#[tokio::test]
async fn an_older_store_or_trail_is_noticed_and_taken_only_on_an_order() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("gateway");
    let mut gateway = Gateway::start(PROGRAM, &folder);
    let early = put(&gateway, &[1; 32]).await;
    assert!(gateway.stop().success());
    let kept = outer.path().join("kept");
    copy_folder(&folder.join("store"), &kept.join("store"));
    copy_folder(&folder.join("audit"), &kept.join("audit"));
    gateway.restart();
    let late = put(&gateway, &[2; 32]).await;
    // A crash is no reason to doubt the store.
    gateway.kill();
    gateway.restart();
    assert_eq!(value(&gateway, &late).await, [2; 32]);
    assert!(gateway.stop().success());
    let newest = outer.path().join("newest");
    copy_folder(&folder.join("store"), &newest.join("store"));
    copy_folder(&folder.join("audit"), &newest.join("audit"));

    copy_folder(&kept.join("store"), &folder.join("store"));
    let text = refused(PROGRAM, &folder, &[]);
    assert!(text.contains("PC-STORE-OLDER") && text.contains("accept-older"), "{text}");
    // The newest store serves again as if nothing had been.
    copy_folder(&newest.join("store"), &folder.join("store"));
    gateway.restart();
    assert_eq!(value(&gateway, &late).await, [2; 32]);
    assert!(gateway.stop().success());

    copy_folder(&folder.join("audit"), &newest.join("audit"));
    copy_folder(&kept.join("audit"), &folder.join("audit"));
    let text = refused(PROGRAM, &folder, &[]);
    assert!(text.contains("PC-AUDIT-OLDER") && text.contains("the audit trail ends at line"), "{text}");
    // Of a trail of the same length every line that was signed is known, too.
    copy_folder(&newest.join("audit"), &folder.join("audit"));
    copy_folder(&kept.join("store"), &folder.join("store"));
    let output = run(&folder, &["store", "accept-older"]);
    assert!(output.status.success() && said(&output).contains("older copy"), "{}", said(&output));
    assert!(trail(&folder).contains("\"action\":\"accept-older\""));
    gateway.restart();
    assert_eq!(value(&gateway, &early).await, [1; 32]);
    let gone = Rest::new(&gateway.rest(), "demo").payload(&late).await.unwrap();
    assert_eq!(gone.status, 404);
    assert!(gateway.stop().success());
    // From then on the one that was the newest is another history.
    copy_folder(&newest.join("store"), &folder.join("store"));
    assert!(refused(PROGRAM, &folder, &[]).contains("PC-STORE-OLDER"));
}

/// What was acknowledged after the backup comes from the journal when the store's file is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_with_the_stores_file() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("gateway");
    let mut gateway = Gateway::start(PROGRAM, &folder);
    let mut kept = Vec::new();
    for number in 0..6 {
        kept.push(put(&gateway, &[number; 32]).await);
    }
    let file = outer.path().join("one.backup");
    let made = json(&folder, &["backup", text(&file), "--json"]);
    assert!(made["manifest"]["journal"]["sequence"].as_u64().unwrap() > 6, "{made}");
    for number in 6..30 {
        kept.push(put(&gateway, &[number; 32]).await);
    }
    let rest = Rest::new(&gateway.rest(), "demo");
    // One of the backup's and one of later.
    for gone in [2, 20] {
        assert_eq!(rest.delete(&kept[gone]).await.unwrap().status, 204);
    }
    gateway.kill();

    fs::remove_file(folder.join("store/db")).unwrap();
    fails(&folder, &["store", "fsck"], "PC-STORE-JOURNAL");
    let journal = outer.path().join("journal");
    copy_folder(&folder.join("store/journal"), &journal);
    let part = fs::read_dir(&journal).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&part).unwrap();
    let used = whole.len() - whole.iter().rev().take_while(|byte| **byte == 0).count();

    // A bit in the middle is named, and nothing is changed, unless what comes before it is to be taken.
    let mut flipped = whole.clone();
    flipped[used - 3_000] ^= 4;
    fs::write(&part, &flipped).unwrap();
    let words = ["restore", text(&file), "--replace", "--journal", text(&journal)];
    let why = fails(&folder, &words, "PC-RESTORE-JOURNAL");
    assert!(why.contains("damaged at byte") && why.contains(".journal"), "{why}");
    assert!(!folder.join("store.restoring").exists() && !folder.join("store.before-restore-0").exists());
    let some = json(&folder, &[&words[..2], &["--verify", "--stop-at-damage", "--json"], &words[3..]].concat());
    assert!(some["journal"]["stopped"].is_string(), "{some}");

    // A record that was not written to its end is none.
    let mut torn = whole.clone();
    torn.resize(whole.len().max(used + 200), 0);
    torn[used + 100..used + 160].fill(7);
    fs::write(&part, torn).unwrap();
    let all = json(&folder, &[&words[..], &["--json"]].concat());
    assert!(all["journal"]["cut"].as_u64().unwrap() >= 60 && all["journal"]["stopped"].is_null(), "{all}");
    assert_eq!(
        (&all["tokens"][0]["orphan_count"], &all["tokens"][0]["missing_count"]),
        (&0.into(), &0.into()),
        "{all}"
    );
    assert!(some["journal"]["groups"].as_u64() < all["journal"]["groups"].as_u64());
    json(&folder, &["store", "fsck", "--json"]);
    gateway.restart();
    let rest = Rest::new(&gateway.rest(), "demo");
    for (number, id) in (0..30).zip(&kept) {
        let answer = rest.payload(id).await.unwrap();
        match number {
            2 | 20 => assert_eq!(answer.status, 404),
            _ => assert_eq!(answer.body, [number; 32], "{number}"),
        }
    }
    put(&gateway, &[77; 32]).await;
}
