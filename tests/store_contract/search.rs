//! Searches by attributes: what the indexes find is what looking at every record finds, whatever was changed before.

use portcullis::{
    engine::{
        ops::locate::Locate,
        ports::{Search, Shown, storage_status},
    },
    store::backend::Done,
};

use super::*;

/// Small random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from.get(usize::try_from(self.below(from.len() as u64)).unwrap()).unwrap().clone()
    }
}

const PROJECTS: [&str; 2] = ["p", "q"];
/// Seconds at which things happen.
const BEGIN: i64 = 1_800_000_000;
const SPAN: u64 = 40;

fn moment(dice: &mut Dice) -> Timestamp {
    Timestamp::from_seconds(BEGIN + i64::try_from(dice.below(SPAN)).unwrap())
}

fn text(dice: &mut Dice) -> String {
    dice.pick(&["a", "b", "c", "ä", ""]).to_owned()
}

/// A value as a client may give it, or ask for it.
fn attribute(dice: &mut Dice) -> Attribute {
    use AttributeKind as K;
    use AttributeValue as V;
    let vendor = |name: &str| K::Vendor { vendor: "x".to_owned(), name: name.to_owned() };
    let number = u32::try_from(dice.below(4)).unwrap();
    let signed = i32::try_from(number).unwrap();
    let (kind, value) = match dice.below(17) {
        0 => (K::ObjectGroup, V::Text(text(dice))),
        1 => (K::ContactInformation, V::Text(text(dice))),
        2 => (K::CryptographicAlgorithm, V::Enumeration(number)),
        3 => (K::CryptographicLength, V::Integer(128 * signed)),
        4 => (K::CryptographicUsageMask, V::Integer(signed)),
        5 => (vendor("site"), V::Text(text(dice))),
        6 => (vendor("level"), V::Integer(signed)),
        7 => (vendor("since"), V::Date(moment(dice))),
        8 => (K::Link, V::Link { kind: 0x101 + number, target: id(dice.below(9)).to_string() }),
        9 => (K::AlternativeName, V::AlternativeName { value: text(dice), kind: 1 + number }),
        10 => {
            let data = (!dice.one_in(3)).then(|| text(dice));
            (K::ApplicationSpecificInformation, V::Application { namespace: text(dice), data })
        }
        11 => {
            let value = vec![7; usize::try_from(number).unwrap()];
            (K::Digest, V::Digest { hashing_algorithm: 6 + number % 2, value, format: Some(number) })
        }
        12 => (K::Sensitive, V::Boolean(dice.one_in(2))),
        13 => (K::X509CertificateSubject, V::Structure(vec![u8::try_from(number).unwrap()])),
        14 => (K::CertificateSubjectCn, V::Text(text(dice))),
        15 => (K::CertificateIssuerSerialNumber, V::Bytes(vec![u8::try_from(number).unwrap()])),
        _ => (K::Description, V::Text(text(dice))),
    };
    Attribute::new(kind, value)
}

/// An object with some of everything; `number` says when it was made.
fn random_object(dice: &mut Dice, number: u64) -> ManagedObject {
    let mut made = object(number, dice.pick(&PROJECTS));
    made.object_type = dice.pick(&[ObjectType::SymmetricKey, ObjectType::Certificate, ObjectType::OpaqueObject]);
    made.origin = dice.pick(&[Origin::Kmip, Origin::Barbican]);
    made.subtype = dice.one_in(2).then_some(1);
    made.secret.name = dice.one_in(2).then(|| text(dice));
    made.secret.algorithm = dice.one_in(2).then(|| dice.pick(&["AES", "aes", "rsa", "Ä"]).to_owned());
    made.secret.mode = dice.one_in(2).then(|| dice.pick(&["cbc", "CBC", "ctr"]).to_owned());
    made.secret.bit_length = dice.one_in(2).then(|| dice.pick(&[128, 256]));
    made.secret.secret_type = dice.one_in(2).then(|| dice.pick(&SecretType::ALL));
    // Several are made in the same second, and some at the same moment.
    let at = BEGIN * 1_000_000 + i64::try_from(number / 2 * 300_000).unwrap();
    made.lifecycle = Lifecycle::new(Timestamp::from_micros(at));
    if dice.one_in(2) {
        let name = format!("name {number}");
        made.attributes.add(AttributeKind::Name, AttributeValue::Name { value: name, kind: 1 }).unwrap();
    }
    change(dice, &mut made);
    made
}

/// Changes attributes, dates, state and status as requests and the clock do.
fn change(dice: &mut Dice, object: &mut ManagedObject) {
    for _ in 0..dice.below(6) {
        let Attribute { kind, value, .. } = attribute(dice);
        if dice.one_in(4) {
            object.attributes.clear(&kind);
        }
        // A second instance of what there is one of is refused, and that is fine.
        object.attributes.add(kind, value).ok();
    }
    let lifecycle = &mut object.lifecycle;
    lifecycle.last_change = moment(dice).max(lifecycle.last_change);
    let slots = [
        &mut lifecycle.activation,
        &mut lifecycle.deactivation,
        &mut lifecycle.process_start,
        &mut lifecycle.protect_stop,
        &mut lifecycle.original_creation,
        &mut lifecycle.compromise_occurrence,
    ];
    for slot in slots {
        if dice.one_in(3) {
            *slot = dice.one_in(4).then(|| moment(dice)).or(*slot).or_else(|| Some(moment(dice)));
        }
    }
    for slot in [&mut lifecycle.compromise, &mut lifecycle.destroy] {
        if dice.one_in(12) {
            *slot = slot.or_else(|| Some(moment(dice)));
        }
    }
    if dice.one_in(8) {
        lifecycle.archive = lifecycle.archive.is_none().then(|| moment(dice));
    }
    if dice.one_in(8) {
        object.secret.expiration = Some(moment(dice));
    }
    if dice.one_in(30) {
        object.object_type = ObjectType::Obliterated;
    }
}

/// A question as a client asks it.
fn question(dice: &mut Dice) -> Locate {
    use AttributeKind as K;
    use AttributeValue as V;
    let mut conditions = Vec::new();
    for _ in 0..dice.below(4) {
        match dice.below(9) {
            0 => conditions.push(Attribute::new(K::State, V::Enumeration(u32::try_from(dice.below(8)).unwrap()))),
            1 => conditions.push(Attribute::new(K::ObjectType, V::Enumeration(dice.pick(&[1, 2, 8, 3])))),
            2 => {
                let target = id(dice.below(120)).to_string();
                let text = if dice.one_in(4) { "no identifier".to_owned() } else { target };
                conditions.push(Attribute::new(K::UniqueIdentifier, V::Text(text)));
            }
            3 => {
                let value = format!("name {}", dice.below(120));
                conditions.push(Attribute::new(K::Name, V::Name { value, kind: 1 }));
            }
            4 | 5 => {
                let kind = dice.pick(&[
                    K::InitialDate,
                    K::LastChangeDate,
                    K::ActivationDate,
                    K::DeactivationDate,
                    K::OriginalCreationDate,
                    K::DestroyDate,
                    K::ArchiveDate,
                    K::CompromiseDate,
                    K::CompromiseOccurrenceDate,
                    K::ProcessStartDate,
                    K::ProtectStopDate,
                ]);
                // Once is that date, twice a range in whatever order, and the largest means that there is none.
                for _ in 0..=dice.below(2) {
                    let at = if dice.one_in(9) { Timestamp::from_micros(i64::MAX) } else { moment(dice) };
                    conditions.push(Attribute::new(kind.clone(), V::Date(at)));
                }
            }
            _ => conditions.push(attribute(dice)),
        }
    }
    let storage_status = (!dice.one_in(3)).then(|| u32::try_from(dice.below(9)).unwrap());
    Locate { conditions, storage_status, ..Locate::default() }
}

/// What a walk over the index gives, judged record by record as the use case does.
async fn by_index(store: &Repository, locate: &Locate, order: Order, limit: usize, now: Timestamp) -> Vec<String> {
    let scope = Scope::Having(Box::new(locate.search(project("p"))));
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.objects(scope.clone(), order, after, limit).await.unwrap();
        assert!(page.records.len() <= limit);
        let fits = page.records.iter().map(|it| &it.record).filter(|it| locate.matches(it, now));
        found.extend(fits.map(|it| it.identifier.to_string()));
        after = page.next;
        pages += 1;
        assert!(pages < 1_000, "the walk does not end: {locate:?}");
        if after.is_none() {
            return found;
        }
    }
}

async fn everything(store: &Repository) -> Vec<ManagedObject> {
    let page = store.objects(Scope::Everything, Order::OldestFirst, None, 10_000).await.unwrap();
    page.records.into_iter().map(|it| it.record).collect()
}

/// Asks many questions and compares with looking at every record.
async fn answers_agree(store: &Repository, dice: &mut Dice, questions: usize) -> usize {
    let all = everything(store).await;
    let latest = all.iter().map(|it| it.lifecycle.last_change).max().unwrap();
    let mut hits = 0;
    for _ in 0..questions {
        let locate = question(dice);
        // The clock goes on: activations and deactivations come to pass without a write.
        let now = moment(dice).max(latest).plus_seconds(i64::try_from(dice.below(40)).unwrap());
        let order = dice.pick(&[Order::OldestFirst, Order::NewestFirst]);
        let mut expected: Vec<String> = all
            .iter()
            .filter(|it| it.project == project("p") && locate.matches(it, now))
            .map(|it| it.identifier.to_string())
            .collect();
        if order == Order::NewestFirst {
            expected.reverse();
        }
        let limit = dice.pick(&[1, 2, 7, 256]);
        assert_eq!(by_index(store, &locate, order, limit, now).await, expected, "{locate:?} at {now:?}");
        hits += expected.len();
    }
    hits
}

/// What the lists of the Barbican API are filtered by, compared in the same way.
async fn shown_agree(store: &Repository, dice: &mut Dice) -> usize {
    let all = everything(store).await;
    let mut hits = 0;
    for _ in 0..40 {
        let mut shown = Vec::new();
        for _ in 0..=dice.below(2) {
            shown.push(match dice.below(4) {
                0 => Shown::Algorithm(dice.pick(&["AES", "aes", "rsa", "ä", "3des", "none"]).to_owned()),
                1 => Shown::Mode(dice.pick(&["cbc", "CTR", "x"]).to_owned()),
                2 => Shown::BitLength(dice.pick(&[128, 256, 384, 7])),
                _ => Shown::Type(dice.pick(&SecretType::ALL)),
            });
        }
        let shows = |it: &ManagedObject| {
            let same =
                |have: Option<&str>, asked: &str| have.is_some_and(|have| have.to_lowercase() == asked.to_lowercase());
            shown.iter().all(|asked| match asked {
                Shown::Algorithm(text) => same(it.shown_algorithm().as_deref(), text),
                Shown::Mode(text) => same(it.secret.mode.as_deref(), text),
                Shown::BitLength(bits) => it.shown_bit_length() == Some(*bits),
                Shown::Type(kind) => it.shown_type() == *kind,
            })
        };
        let search = Search { shown: shown.clone(), ..Search::all(project("p"), 3) };
        let scope = Scope::Having(Box::new(search.clone()));
        let mut page = store.objects(scope, Order::OldestFirst, None, 1_000).await.unwrap();
        page.records.retain(|it| shows(&it.record));
        let expected: Vec<_> = all.iter().filter(|it| search.admits(it) && shows(it)).map(|it| it.identifier).collect();
        assert_eq!(ids(&page), expected, "{shown:?}");
        hits += expected.len();
    }
    hits
}

/// As many as there are, by status.
async fn totals_agree(store: &Repository) {
    let now = Timestamp::from_seconds(BEGIN + 20);
    let all = everything(store).await;
    for (name, statuses) in PROJECTS.into_iter().flat_map(|name| [1, 2, 4].map(|statuses| (name, statuses))) {
        let search = Search::all(project(name), statuses);
        let live = |it: &&ManagedObject| search.admits(it) && !it.is_expired(now);
        let scope = Scope::Having(Box::new(search.clone()));
        let window = Window { order: Order::NewestFirst, offset: 1, limit: 3 };
        let slice = store.live(scope, window, now).await.unwrap();
        let ids = |them: &mut dyn Iterator<Item = &ManagedObject>| them.map(|it| it.identifier).collect::<Vec<_>>();
        if statuses == 4 {
            // What has expired is looked for among what is not destroyed.
            continue;
        }
        assert_eq!(slice.total, all.iter().filter(live).count(), "{name} {statuses}");
        let expected = ids(&mut all.iter().rev().filter(live).skip(1).take(3));
        assert_eq!(ids(&mut slice.records.iter()), expected, "{name} {statuses}");
    }
}

#[test]
fn the_indexes_find_what_looking_at_every_record_finds() {
    on_each(async |store, backend| {
        let mut dice = Dice(0x5EED_0F1D);
        for number in 0..120 {
            add(&store, random_object(&mut dice, number)).await;
        }
        let mut hits = 0;
        for _ in 0..6 {
            hits += answers_agree(&store, &mut dice, 150).await;
            for _ in 0..60 {
                let number = dice.below(130);
                match store.object(id(number)).await.unwrap() {
                    Some(found) if dice.one_in(9) => {
                        commit(&store, vec![Write::RemoveObject(id(number), Guard::At(found.revision))]).await.unwrap();
                    }
                    Some(found) => {
                        let mut object = found.record;
                        change(&mut dice, &mut object);
                        commit(&store, vec![put(object, Guard::At(found.revision))]).await.unwrap();
                    }
                    None => add(&store, random_object(&mut dice, number)).await,
                }
            }
            totals_agree(&store).await;
            assert!(shown_agree(&store, &mut dice).await > 50);
        }
        assert!(hits > 1_000, "the questions are too narrow to say anything: {hits}");
        let again = reread(&backend);
        answers_agree(&again, &mut dice, 100).await;
        totals_agree(&again).await;
        let check = store.check_indexes().await.unwrap();
        assert!(check.is_sound(), "{check:?}");
        assert!(check.records > 80 && check.entries > check.records * 5, "{check:?}");
    });
}

#[test]
fn a_walk_goes_on_after_its_pages_while_objects_come_and_go() {
    on_each(async |store, _| {
        for number in 0..40 {
            let mut made = object(number, "p");
            made.attributes.add(AttributeKind::ObjectGroup, AttributeValue::Text("g".to_owned())).unwrap();
            add(&store, made).await;
        }
        let group = Attribute::new(AttributeKind::ObjectGroup, AttributeValue::Text("g".to_owned()));
        let scope = Scope::Having(Box::new(Search { carries: vec![group], ..Search::all(project("p"), 1) }));
        let first = store.objects(scope.clone(), Order::OldestFirst, None, 10).await.unwrap();
        // The one that the cursor stands on goes, and so does one behind it.
        for gone in [9, 20] {
            commit(&store, vec![Write::RemoveObject(id(gone), Guard::At(Revision(1)))]).await.unwrap();
        }
        let rest = store.objects(scope.clone(), Order::OldestFirst, first.next.clone(), 100).await.unwrap();
        assert_eq!(ids(&rest), (10..40).filter(|it| *it != 20).map(id).collect::<Vec<_>>());
        assert!(rest.next.is_none());
        for odd in [Cursor(vec![]), Cursor(vec![0xFF; 3]), Cursor(vec![0; 24])] {
            let page = store.objects(scope.clone(), Order::OldestFirst, Some(odd), 100).await.unwrap();
            assert_eq!(page.records.len(), 38);
        }
        let end = store.objects(scope, Order::OldestFirst, Some(Cursor(vec![0xFF; 24])), 100).await.unwrap();
        assert!(end.records.is_empty() && end.next.is_none());
    });
}

#[test]
fn a_check_tells_of_entries_that_are_missing_or_astray() {
    on_each(async |store, backend| {
        add(&store, named(1, "p", &["n"])).await;
        commit(&store, vec![Write::PutGroup(Box::new(group(2, "p", &[1])), Guard::Absent)]).await.unwrap();
        commit(&store, vec![Write::PutJob(Box::new(job(3, "p")), Guard::Absent)]).await.unwrap();
        let check = store.check_indexes().await.unwrap();
        assert!(check.is_sound(), "{check:?}");
        assert_eq!(check.records, 3);
        // Each table of indexes loses one entry, then gets one that nobody has.
        let entries = through(&backend);
        let names = backend.scan(&KeyRange::prefix(&[0x32]), Direction::Up, 10).unwrap();
        let mut indexes = entries.scan(&KeyRange::between(vec![0x30], vec![0x3F]), Direction::Up, 1_000).unwrap();
        indexes.extend(names);
        let tables: BTreeSet<u8> = indexes.iter().map(|(key, _)| key[0]).collect();
        assert!(tables.len() > 7, "{tables:?}");
        for table in tables {
            let (key, value) = indexes.iter().find(|(key, _)| key[0] == table).unwrap().clone();
            write(&entries, vec![(key.clone(), None)]);
            let check = reread(&backend).check_indexes().await.unwrap();
            assert_eq!((check.missing.len(), check.stray.len()), (1, 0), "{table:#x} {check:?}");
            let mut astray = key.clone();
            astray[2] ^= 1;
            write(&entries, vec![(key, Some(value.clone())), (astray.clone(), Some(value))]);
            let check = reread(&backend).check_indexes().await.unwrap();
            assert_eq!((check.missing.len(), check.stray.len()), (0, 1), "{table:#x} {check:?}");
            write(&entries, vec![(astray, None)]);
        }
        assert!(reread(&backend).check_indexes().await.unwrap().is_sound());
        // A count that is lost, and one that nobody counted.
        let counts = backend.scan(&KeyRange::prefix(&[0x22]), Direction::Up, 10).unwrap();
        assert_eq!(counts.len(), 2, "of everything, and of the one project");
        for (key, value) in counts {
            write(&backend, vec![(key.clone(), None)]);
            let check = store.check_indexes().await.unwrap();
            assert_eq!((check.miscounted.len(), check.is_sound()), (1, false), "{check:?}");
            let other = [&[0x22][..], &[0; 16]].concat();
            write(&backend, vec![(key, Some(value.clone())), (other.clone(), Some(value))]);
            // What cannot be of a project is damage, and the rest a count too many.
            assert_eq!(store.check_indexes().await.map_or(1, |check| check.miscounted.len()), 1);
            write(&backend, vec![(other, None)]);
        }
        assert!(store.check_indexes().await.unwrap().is_sound());
    });
}

/// The index entries as the store sees them.
fn through(backend: &Arc<dyn Backend>) -> Arc<dyn Backend> {
    Arc::new(Packed::open(Arc::clone(backend)).unwrap())
}

/// Every index entry, names apart.
fn all_entries(backend: &Arc<dyn Backend>) -> Vec<(Vec<u8>, Vec<u8>)> {
    through(backend).scan(&KeyRange::between(vec![0x30], vec![0x3F]), Direction::Up, usize::MAX).unwrap()
}

fn write(backend: &Arc<dyn Backend>, writes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
    let (answer, answered) = std::sync::mpsc::sync_channel(1);
    let batch = RawBatch { writes: writes.into_iter().collect(), ..RawBatch::default() };
    backend.commit(batch, Box::new(move |result| answer.send(result).unwrap()));
    answered.recv().unwrap().unwrap();
}

/// Takes a store back to what an older program left: index entries as single keys; and by the layout before, no index by
/// attributes, no counts, values in the index by creation.
fn grow_younger(backend: &Arc<dyn Backend>, layout: u8) {
    let single = all_entries(backend).into_iter().filter(|(key, _)| layout == 5 || !key.starts_with(&[0x3E]));
    let value = |(key, value): (Vec<u8>, Vec<u8>)| {
        let value = if layout < 5 && key.starts_with(&[0x30]) { vec![2, 0] } else { value };
        (key, Some(value))
    };
    let mut writes: Vec<(Vec<u8>, Option<Vec<u8>>)> = single.map(value).collect();
    let blocks = backend.scan(&KeyRange::between(vec![0x40], vec![0x42]), Direction::Up, usize::MAX).unwrap();
    writes.extend(blocks.into_iter().map(|(key, _)| (key, None)));
    if layout < 5 {
        let counts = backend.scan(&KeyRange::prefix(&[0x22]), Direction::Up, usize::MAX).unwrap();
        writes.extend(counts.into_iter().map(|(key, _)| (key, None)));
    }
    writes.push((vec![0x03], Some(vec![layout])));
    write(backend, writes);
}

/// An engine that takes so many commits and then fails, as when the process is stopped.
struct Failing {
    inner: Arc<dyn Backend>,
    left: AtomicU64,
}

impl Backend for Failing {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn scan(&self, range: &KeyRange, way: Direction, limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        self.inner.scan(range, way, limit)
    }

    fn commit(&self, batch: RawBatch, done: Done) {
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => self.inner.commit(batch, done),
            Err(_) => done(Err(StoreError::Unavailable("stopped".to_owned()))),
        }
    }

    fn remove_lazily(&self, key: Vec<u8>) {
        self.inner.remove_lazily(key);
    }

    fn snapshot(&self) -> Result<Box<dyn portcullis::store::backend::Snapshot>, StoreError> {
        self.inner.snapshot()
    }

    fn bytes_on_disk(&self) -> u64 {
        self.inner.bytes_on_disk()
    }
}

#[test]
fn an_older_store_gets_its_indexes_when_it_is_opened_and_goes_on_where_it_was_stopped() {
    on_each(async |store, backend| {
        let mut dice = Dice(0x0DD_BA11);
        // More than are indexed in one commit.
        let batches: Vec<Vec<Write>> = (0..12)
            .map(|batch| (0..100).map(|at| put(random_object(&mut dice, batch * 100 + at), Guard::Absent)).collect())
            .collect();
        for batch in batches {
            commit(&store, batch).await.unwrap();
        }
        commit(&store, vec![Write::PutGroup(Box::new(group(5_000, "p", &[1])), Guard::Absent)]).await.unwrap();
        let before = all_entries(&backend);
        let expected = store.stats();
        drop(store);
        for layout in [2, 5] {
            grow_younger(&backend, layout);
            let mut stops = 0;
            let store = loop {
                let failing = Failing { inner: Arc::clone(&backend), left: AtomicU64::new(1) };
                match RawStore::on(Arc::new(failing)).unlock(&key()) {
                    Ok(_) => break reread(&backend),
                    Err(StoreError::Unavailable(reason)) => assert_eq!(reason, "stopped"),
                    Err(error) => panic!("{error}"),
                }
                stops += 1;
                assert!(stops < 50, "it begins anew each time");
            };
            assert!(stops >= 3, "{stops}");
            assert!(before == all_entries(&backend));
            let single = backend.scan(&KeyRange::between(vec![0x30], vec![0x3F]), Direction::Up, usize::MAX).unwrap();
            assert!(single.iter().all(|(key, _)| key[0] == 0x32), "only names are single keys");
            assert_eq!(backend.get(&[0x03]).unwrap(), Some(vec![6]));
            assert_eq!(store.stats().objects, expected.objects);
            answers_agree(&store, &mut dice, 50).await;
            totals_agree(&store).await;
            // Which status an object has is one of three.
            assert!(everything(&store).await.iter().all(|it| [1, 2, 4].contains(&storage_status(it))));
        }
    });
}

#[test]
fn a_store_of_single_keys_is_copied_into_a_new_folder_that_takes_its_place() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let engine = || -> Arc<dyn Backend> {
        Arc::new(SledBackend::open(&path, SledOptions::default(), Box::new(|reason| panic!("{reason}"))).unwrap())
    };
    let (before, stats) = {
        let backend = engine();
        let store = RawStore::on(Arc::clone(&backend)).unlock(&key()).unwrap();
        let mut dice = Dice(0xC0B1);
        let objects = (0..200).map(|number| put(random_object(&mut dice, number), Guard::Absent)).collect();
        runtime().block_on(commit(&store, objects)).unwrap();
        let stats = store.stats();
        drop(store);
        let before = all_entries(&backend);
        grow_younger(&backend, 5);
        (before, stats)
    };
    let first = std::fs::metadata(&path).unwrap().ino();
    // What an attempt that was stopped has left.
    let left = folder.path().join("store.converted");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("db"), b"half of it").unwrap();
    let raw = open(&path);
    assert_ne!(std::fs::metadata(&path).unwrap().ino(), first, "another folder");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing beside it");
    let store = raw.unlock(&key()).unwrap();
    assert_eq!(store.stats().objects, stats.objects);
    let check = runtime().block_on(store.check_indexes()).unwrap();
    assert!(check.is_sound() && check.records >= 200, "{check:?}");
    drop((store, raw));
    let backend = engine();
    assert!(before == all_entries(&backend));
    let single = backend.scan(&KeyRange::between(vec![0x30], vec![0x3F]), Direction::Up, usize::MAX).unwrap();
    assert!(single.iter().all(|(key, _)| key[0] == 0x32), "only names are single keys");
    drop(backend);
    // From now on it is left alone.
    let second = std::fs::metadata(&path).unwrap().ino();
    open(&path).unlock(&key()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), second);
}

/// A key as many are: of one of 1 000 groups, at one of 100 000 sites, of one of two lengths.
fn one_of_many(number: u64) -> ManagedObject {
    let mut made = named(number, "p", &[&format!("key-{number}")]);
    (made.object_type, made.origin, made.secret.name) = (ObjectType::SymmetricKey, Origin::Kmip, None);
    made.lifecycle.activation = Some(made.lifecycle.initial);
    let values = [
        (AttributeKind::CryptographicAlgorithm, AttributeValue::Enumeration(3)),
        (AttributeKind::CryptographicLength, AttributeValue::Integer(if number.is_multiple_of(3) { 128 } else { 256 })),
        (AttributeKind::CryptographicUsageMask, AttributeValue::Integer(12)),
        (AttributeKind::ObjectGroup, AttributeValue::Text(format!("group-{}", number % 1_000))),
        (site(), AttributeValue::Text(format!("site-{}", number % 100_000))),
    ];
    for (kind, value) in values {
        made.attributes.add(kind, value).unwrap();
    }
    made
}

fn site() -> AttributeKind {
    AttributeKind::Vendor { vendor: "x".to_owned(), name: "site".to_owned() }
}

/// What a search costs among many objects: `LONG=1 cargo test --release --test store_contract among_many -- --nocapture`;
/// `OBJECTS` says how many there are. Index, records and judgement, without the protocol around them.
#[test]
fn what_a_search_costs_among_many_objects() {
    if std::env::var_os("LONG").is_none() {
        println!("skipped, because it takes minutes: LONG=1 runs it");
        return;
    }
    let many: u64 = std::env::var("OBJECTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let backend: Arc<dyn Backend> = Arc::new(
        SledBackend::open(folder.path(), SledOptions::default(), Box::new(|reason| panic!("{reason}"))).unwrap(),
    );
    let store = RawStore::on(Arc::clone(&backend)).unlock(&key()).unwrap();
    runtime().block_on(async {
        let began = Instant::now();
        for batch in 0..many.div_ceil(1_000) {
            let numbers = batch * 1_000..many.min((batch + 1) * 1_000);
            commit(&store, numbers.map(|it| put(one_of_many(it), Guard::Absent)).collect()).await.unwrap();
        }
        println!("{many} objects in {:?}, {} MB", began.elapsed(), backend.bytes_on_disk() >> 20);
        let began = Instant::now();
        let store = reread(&backend);
        println!("opened again in {:?}", began.elapsed());
        let text = |kind: AttributeKind, text: String| Attribute::new(kind, AttributeValue::Text(text));
        let group = |of: u64| text(AttributeKind::ObjectGroup, format!("group-{}", of % 1_000));
        let length = |bits: i32| Attribute::new(AttributeKind::CryptographicLength, AttributeValue::Integer(bits));
        let state = |number: u32| Attribute::new(AttributeKind::State, AttributeValue::Enumeration(number));
        type Question<'a> = (&'a str, Box<dyn Fn(u64) -> Vec<Attribute> + 'a>);
        let questions: [Question<'_>; 6] = [
            (
                "name",
                Box::new(|of| {
                    let value = AttributeValue::Name { value: format!("key-{of}"), kind: 1 };
                    vec![Attribute::new(AttributeKind::Name, value)]
                }),
            ),
            ("group, a page of 100", Box::new(|of| vec![group(of)])),
            ("custom attribute", Box::new(|of| vec![text(site(), format!("site-{}", of % 100_000))])),
            ("group and length, a page of 100", Box::new(|of| vec![group(of), length(256)])),
            (
                "state and custom attribute",
                Box::new(|of| vec![state(2), text(site(), format!("site-{}", of % 100_000))]),
            ),
            ("a state that nothing has", Box::new(|_| vec![state(4)])),
        ];
        let mut dice = Dice(7);
        let now = Timestamp::from_seconds(2_000_000_000);
        for (what, question) in &questions {
            let (mut took, mut hits) = (Vec::new(), 0);
            for _ in 0..500 {
                let locate = Locate { conditions: question(dice.below(many)), ..Locate::default() };
                let scope = match locate.conditions.first().map(|first| &first.value) {
                    Some(AttributeValue::Name { value, .. }) => Scope::Name(project("p"), value.clone()),
                    _ => Scope::Having(Box::new(locate.search(project("p")))),
                };
                let began = Instant::now();
                let page = store.objects(scope, Order::NewestFirst, None, 100).await.unwrap();
                hits += page.records.iter().filter(|it| locate.matches(&it.record, now)).count();
                took.push(began.elapsed().as_micros());
            }
            took.sort_unstable();
            let at = |percent: usize| took.get((took.len() - 1) * percent / 100).unwrap();
            println!("{what}: p50 {} µs, p99 {} µs, {} hits each", at(50), at(99), hits / took.len());
        }
    });
}
