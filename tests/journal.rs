//! The store's journal of changes: what a crash may leave is mended, what it cannot leave is refused, and nothing is missing.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the answer")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use portcullis::{
    engine::ports::StoreError,
    store::{
        backend::{Backend, Direction, KeyRange, RawBatch},
        journal::{History, JournalOptions, Position, folder},
        sled::{SledBackend, SledOptions},
    },
};

/// The key under which the tree keeps its position; its pieces begin with the same byte.
const HEAD: u8 = 0;

fn options(journal: JournalOptions) -> SledOptions {
    SledOptions { journal: Some(journal), ..SledOptions::default() }
}

fn tried(path: &Path) -> Result<SledBackend, StoreError> {
    SledBackend::open(path, SledOptions::default(), Box::new(|reason| panic!("{reason}")))
}

fn opened(path: &Path) -> SledBackend {
    tried(path).unwrap()
}

/// Why a store does not open.
fn refused(path: &Path) -> String {
    match tried(path) {
        Err(StoreError::Journal(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opened"),
    }
}

fn write(store: &SledBackend, writes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) {
    let (answer, answers) = flume::bounded(1);
    let batch = RawBatch { writes: writes.into_iter().collect(), ..RawBatch::default() };
    store.commit(batch, Box::new(move |result| answer.send(result).unwrap()));
    answers.recv().unwrap().unwrap();
}

fn key(number: u32) -> Vec<u8> {
    [&[0x80][..], &number.to_be_bytes(), &[7; 12]].concat()
}

fn put(store: &SledBackend, number: u32) {
    write(store, [(key(number), Some(number.to_be_bytes().repeat(40)))]);
}

fn has(store: &SledBackend, number: u32) -> bool {
    match store.get(&key(number)).unwrap() {
        Some(value) => value == number.to_be_bytes().repeat(40),
        None => false,
    }
}

fn everything(store: &SledBackend) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut pairs: BTreeMap<_, _> =
        store.scan(&KeyRange::prefix(&[]), Direction::Up, usize::MAX).unwrap().into_iter().collect();
    pairs.retain(|key, _| key.first() != Some(&HEAD));
    pairs
}

fn last(store: &SledBackend) -> Position {
    store.journal().unwrap().last
}

fn parts(store: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<_> = fs::read_dir(folder(store)).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.sort();
    parts
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// The folder of a store as it was, with the journal that it has now.
fn with_todays_journal(before: &Path, now: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    copy(before, to);
    fs::remove_dir_all(folder(to)).unwrap();
    copy(&folder(now), &folder(to));
}

/// What a journal makes of nothing.
fn made_again(store: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let history = History::open(&folder(store)).unwrap();
    let Position { journal, .. } = last(&opened(store));
    let start = Position { journal, sequence: 0, chain: [0; 32] };
    let mut pairs = BTreeMap::new();
    let checked = history
        .after(start, false, |_, changes, _| {
            for (key, value) in changes {
                match value {
                    Some(value) => drop(pairs.insert(key, value)),
                    None => drop(pairs.remove(&key)),
                }
            }
            Ok(())
        })
        .unwrap();
    assert_eq!((checked.cut, checked.stopped), (0, None));
    pairs
}

#[test]
fn the_journal_alone_is_the_whole_store() {
    let folder = tempfile::tempdir().unwrap();
    let small = JournalOptions { part_bytes: 4_000, ..JournalOptions::default() };
    for round in 0..3 {
        let store = SledBackend::open(folder.path(), options(small), Box::new(|reason| panic!("{reason}"))).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for at in 0..20 {
                        put(store, round * 1_000 + writer * 100 + at);
                        if at % 3 == 0 {
                            write(store, [(key(round * 1_000 + writer * 100 + at / 2), None)]);
                        }
                        if at % 5 == 0 {
                            store.remove_lazily(key(round * 1_000 + writer * 100 + at));
                        }
                    }
                });
            }
        });
    }
    assert!(parts(folder.path()).len() > 3, "files follow each other");
    let again = made_again(folder.path());
    assert!(again.len() > 50);
    assert_eq!(again, everything(&opened(folder.path())));
}

#[test]
fn a_tree_that_is_behind_is_brought_forward() {
    let outer = tempfile::tempdir().unwrap();
    let (path, one, many, test) =
        (outer.path().join("store"), outer.path().join("one"), outer.path().join("many"), outer.path().join("test"));
    let store = opened(&path);
    (0..10).for_each(|number| put(&store, number));
    drop(store);
    copy(&path, &many);
    let store = opened(&path);
    (10..30).for_each(|number| put(&store, number));
    write(&store, [(key(3), None)]);
    drop(store);
    copy(&path, &one);
    let store = opened(&path);
    put(&store, 30);
    let end = last(&store);
    drop(store);
    for before in [&one, &many] {
        with_todays_journal(before, &path, &test);
        // Twice, because it must be on disk after the first.
        for _ in 0..2 {
            let store = opened(&test);
            assert_eq!(last(&store), end);
            assert!((0..31).all(|number| has(&store, number) == (number != 3)));
        }
        assert_eq!(everything(&opened(&test)), everything(&opened(&path)));
    }
}

#[test]
fn a_tree_that_is_ahead_by_one_gives_the_record_back() {
    let outer = tempfile::tempdir().unwrap();
    let (path, before, test) = (outer.path().join("store"), outer.path().join("before"), outer.path().join("test"));
    let store = opened(&path);
    (0..10).for_each(|number| put(&store, number));
    drop(store);
    copy(&path, &before);
    let store = opened(&path);
    // Of several keys, one that goes, and more of them than one value of the tree names.
    write(&store, (10..500).map(|number| (key(number), Some(vec![1; 9]))).chain([(key(2), None)]));
    let end = last(&store);
    drop(store);
    copy(&path, &test);
    fs::remove_dir_all(folder(&test)).unwrap();
    copy(&folder(&before), &folder(&test));
    assert_eq!(last(&opened(&test)), end);
    assert_eq!(made_again(&test), everything(&opened(&path)));

    // Ahead by two is not what a crash leaves.
    let store = opened(&path);
    put(&store, 600);
    drop(store);
    fs::remove_dir_all(folder(&path)).unwrap();
    copy(&folder(&before), &folder(&path));
    assert!(refused(&path).contains("its end is missing"));
}

#[test]
fn a_torn_record_is_cut_and_a_damaged_one_is_named() {
    let outer = tempfile::tempdir().unwrap();
    let (path, test) = (outer.path().join("store"), outer.path().join("test"));
    let store = opened(&path);
    (0..6).for_each(|number| put(&store, number));
    let end = last(&store);
    drop(store);
    let bytes = fs::read(&parts(&path)[0]).unwrap();
    let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let (mut mended, mut named) = (0, 0);
    let changed = |at: usize, change: &dyn Fn(&mut Vec<u8>)| {
        if test.exists() {
            fs::remove_dir_all(&test).unwrap();
        }
        copy(&path, &test);
        let mut bytes = bytes.clone();
        change(&mut bytes);
        fs::write(&parts(&test)[0], bytes).unwrap();
        match tried(&test) {
            Ok(store) => {
                assert_eq!(last(&store), end, "byte {at}");
                assert!((0..6).all(|number| has(&store, number)), "byte {at}");
                true
            }
            Err(StoreError::Journal(why)) => {
                assert!(why.contains(".journal") || why.contains("its end is missing"), "{why}");
                false
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
    };
    for at in (0..used + 100).step_by(97).chain([used - 1, used, used + 40]) {
        match changed(at, &|bytes| bytes[at] ^= 0x10) {
            true => mended += 1,
            false => named += 1,
        }
    }
    assert!(mended >= 4 && named > 5, "{mended} mended, {named} named");
    // The last record's end is missing, or it is missing as a whole: the tree has it. More than that is no crash.
    assert!(changed(used, &|bytes| bytes.truncate(used - 5)));
    assert!(changed(used, &|bytes| bytes.truncate(used - 150)));
    assert!(!changed(used, &|bytes| bytes.truncate(used - 700)));
}

/// The tree of a store that was killed does not have the last groups: a record whose bits have changed must not pass for one that was
/// not written to its end.
#[test]
fn a_bit_that_has_changed_after_a_crash_costs_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let (path, killed, test) = (outer.path().join("store"), outer.path().join("killed"), outer.path().join("test"));
    let store = opened(&path);
    (0..6).for_each(|number| put(&store, number));
    copy(&path, &killed);
    let end = last(&store);
    drop(store);
    let bytes = fs::read(&parts(&killed)[0]).unwrap();
    let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    for back in [1, 2, 60, 161, 180, 190, 205, 215, 230] {
        if test.exists() {
            fs::remove_dir_all(&test).unwrap();
        }
        copy(&killed, &test);
        let mut bytes = bytes.clone();
        bytes[used - back] ^= 0x04;
        fs::write(&parts(&test)[0], bytes).unwrap();
        let store = opened(&test);
        assert_eq!(last(&store), end, "{back} bytes before the end");
        assert!((0..6).all(|number| has(&store, number)), "{back} bytes before the end");
    }
}

#[test]
fn what_a_crash_cannot_leave_is_refused() {
    let outer = tempfile::tempdir().unwrap();
    let (path, test, other) = (outer.path().join("store"), outer.path().join("test"), outer.path().join("other"));
    let small = JournalOptions { part_bytes: 1_000, ..JournalOptions::default() };
    let store = SledBackend::open(&path, options(small), Box::new(|reason| panic!("{reason}"))).unwrap();
    (0..20).for_each(|number| put(&store, number));
    drop(store);
    let store = opened(&other);
    put(&store, 1);
    drop(store);
    let fresh = || {
        if test.exists() {
            fs::remove_dir_all(&test).unwrap();
        }
        copy(&path, &test);
    };

    fresh();
    fs::remove_dir_all(folder(&test)).unwrap();
    assert!(refused(&test).contains("is gone"));

    fresh();
    fs::remove_file(&parts(&test)[2]).unwrap();
    assert!(refused(&test).contains("a file is missing"));

    fresh();
    fs::remove_dir_all(folder(&test)).unwrap();
    copy(&folder(&other), &folder(&test));
    assert!(refused(&test).contains("another journal"));

    // Without the store's file nothing is made in its place.
    fresh();
    fs::remove_file(test.join("db")).unwrap();
    assert!(refused(&test).contains("the store's file is gone"));
    assert!(!test.join("db").exists());

    // A file that was begun and has nothing in it.
    fresh();
    let next = folder(&test).join("ffffffffffffffff.journal");
    File::create(&next).unwrap().write_all_at(&[0; 100], 0).unwrap();
    let store = opened(&test);
    put(&store, 99);
    drop(store);
    assert!(has(&opened(&test), 99));
}

#[test]
fn it_takes_no_more_room_than_it_may_and_lets_go_of_what_a_backup_has() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("store");
    let small = JournalOptions { part_bytes: 2_000, bytes_max: 10_000 };
    let open = || SledBackend::open(&path, options(small), Box::new(|reason| panic!("{reason}"))).unwrap();
    let store = open();
    (0..200).for_each(|number| put(&store, number));
    let status = store.journal().unwrap();
    assert!(status.bytes <= 10_000 + 4_000, "{status:?}");
    assert!(status.after > 100, "{status:?}");
    drop(store);

    // It opens, because the rest is whole, and does not go back to the beginning.
    let store = open();
    let start = Position { journal: last(&store).journal, sequence: 0, chain: [0; 32] };
    let history = History::open(&folder(&path)).unwrap();
    let Err(StoreError::Journal(why)) = history.after(start, false, |_, _, _| Ok(())) else { panic!("it does") };
    assert!(why.contains("does not go back"), "{why}");

    let backup = last(&store);
    (200..230).for_each(|number| put(&store, number));
    store.prune_journal(backup);
    put(&store, 230);
    let status = store.journal().unwrap();
    assert!(status.after <= backup.sequence && status.after + 20 > backup.sequence, "{status:?} {backup}");
    let checked = History::open(&folder(&path)).unwrap().after(backup, false, |_, _, _| Ok(())).unwrap();
    assert_eq!(checked.groups, 31);
}
