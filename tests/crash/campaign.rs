//! `kill -9` at random moments, under 64 writers on both protocols, with the built program.
//!
//! Each writer notes what it was told: an object is acknowledged, its destruction asked for, or its destruction
//! acknowledged. After each start what was acknowledged is read; at the end the token's objects, the gateway's records and
//! the notes must be the same. `LONG=1` kills 500 times and writes at least 5000 times, `KILLS` sets another number; the default kills 5 times.
//! `ROUND_MS` sets how long writers write before a kill at least.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kmip_codec::{
    Tag,
    attribute::{AttributeList, AttributeValue, Attributes},
    object::{KeyMaterial, ManagedObject, OpaqueObject, SecretData},
    payload::{CreateKeyPairRequest, CreateRequest, DestroyRequest, LocateRequest, RegisterRequest, Request, Response},
    spec::enums::{CryptographicAlgorithm, KeyFormatType, ObjectType, OpaqueDataType, ResultReason, SecretDataType},
};
use parking_lot::Mutex;
use portcullis_testing::{Failure, Gateway, Kmip, Rest, aes, key_of, material, text_of, token};
use reqwest::Method;
use serde_json::json;

const WRITERS_PER_PROTOCOL: u64 = 32;
const PROJECT: &str = "demo";

/// How large a campaign is.
struct Size {
    kills: u64,
    writes: u64,
    starts: u64,
    /// A round lasts this long before the kill, and up to twice as long.
    round: Duration,
}

impl Size {
    fn asked() -> Self {
        let is_long = ["LONG", "PORTCULLIS_LONG"].iter().any(|name| env::var(name).is_ok_and(|it| !it.is_empty()));
        if is_long {
            let kills = env::var("KILLS").ok().map_or(500, |text| text.parse().unwrap());
            Self { kills, writes: kills * 10, starts: 25, round: Self::round() }
        } else {
            Self { kills: 5, writes: 100, starts: 4, round: Self::round() }
        }
    }

    fn round() -> Duration {
        Duration::from_millis(env::var("ROUND_MS").ok().map_or(1500, |text| text.parse().unwrap()))
    }
}

/// What a writer was told about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Note {
    /// It is there, with this value where the writer knows it.
    There(Option<Vec<u8>>),
    /// Its destruction was asked for and not answered.
    Unknown(Option<Vec<u8>>),
    /// Its destruction was acknowledged.
    Gone,
}

/// What all writers were told.
#[derive(Default)]
struct Notes {
    objects: Mutex<BTreeMap<String, Note>>,
    orders: Mutex<Vec<String>>,
    acknowledged: AtomicU64,
    cut_off: AtomicU64,
    refused: Mutex<Vec<String>>,
}

impl Notes {
    fn made(&self, id: String, value: Option<Vec<u8>>) {
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        let before = self.objects.lock().insert(id.clone(), Note::There(value));
        assert_eq!(before, None, "{id} was given twice");
    }

    /// An object of this writer that may be destroyed; it is unknown from now on.
    fn doomed(&self, own: &mut Vec<String>, chance: &mut Chance) -> Option<String> {
        let id = (!own.is_empty()).then(|| own.swap_remove(chance.below(own.len())))?;
        let mut objects = self.objects.lock();
        let note = objects.get_mut(&id).unwrap();
        if let Note::There(value) = note {
            *note = Note::Unknown(value.take());
        }
        Some(id)
    }

    fn gone(&self, id: String) {
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        self.objects.lock().insert(id, Note::Gone);
    }

    fn refused(&self, what: String) {
        self.refused.lock().push(what);
    }
}

/// Small random numbers; their beginning is printed, though threads and kills make no run like another.
struct Chance(u64);

impl Chance {
    /// Below `bound`, by SplitMix64.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

/// The connection broke: the kill was there.
struct CutOff;

// ------------------------------------------------------------------------------------------------------------- writing

/// Writes through KMIP until the connection breaks or the round ends.
async fn kmip_writer(gateway: Arc<Gateway>, notes: Arc<Notes>, stop: Arc<AtomicBool>, seed: u64) {
    let mut chance = Chance(seed);
    let mut own = Vec::new();
    let Ok(mut client) = Kmip::connect(&gateway).await else { return };
    while !stop.load(Ordering::SeqCst) {
        if kmip_write(&mut client, &notes, &mut own, &mut chance).await.is_err() {
            notes.cut_off.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

async fn kmip_write(
    client: &mut Kmip,
    notes: &Notes,
    own: &mut Vec<String>,
    chance: &mut Chance,
) -> Result<(), CutOff> {
    let (request, value) = match chance.below(10) {
        0..3 => (create(), None),
        3..5 => {
            let value = random(1 + chance.below(300));
            (register_secret_data(&value), Some(value))
        }
        5 => {
            let value = random(1 + chance.below(9000));
            (register_opaque(&value), Some(value))
        }
        6 => (create_pair(), None),
        _ => {
            let Some(id) = notes.doomed(own, chance) else { return Ok(()) };
            let destroy = DestroyRequest { unique_identifier: Some(id.as_str().into()) };
            return match client.ask(Request::Destroy(Box::new(destroy))).await {
                Ok(_) => {
                    notes.gone(id);
                    Ok(())
                }
                Err(Failure::Connection(_)) => Err(CutOff),
                Err(refused) => {
                    notes.refused(format!("destroying {id}: {refused:?}"));
                    Ok(())
                }
            };
        }
    };
    match client.ask(request).await {
        Ok(Response::CreateKeyPair(made)) => {
            for id in [made.private_key_unique_identifier, made.public_key_unique_identifier] {
                notes.made(text_of(&id), None);
            }
        }
        Ok(Response::Create(made)) => {
            own.push(text_of(&made.unique_identifier));
            notes.made(text_of(&made.unique_identifier), value);
        }
        Ok(Response::Register(made)) => {
            own.push(text_of(&made.unique_identifier));
            notes.made(text_of(&made.unique_identifier), value);
        }
        Ok(other) => panic!("an answer to {}", other.operation()),
        Err(Failure::Connection(_)) => return Err(CutOff),
        Err(refused) => notes.refused(format!("making: {refused:?}")),
    }
    Ok(())
}

fn create() -> Request {
    let (object_type, attributes) = (ObjectType::SYMMETRIC_KEY, aes());
    Request::Create(Box::new(CreateRequest { object_type, attributes, protection_storage_masks: None }))
}

fn create_pair() -> Request {
    let mask = |bits| Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(bits));
    let algorithm = AttributeValue::Enumeration(CryptographicAlgorithm::ECDSA.number());
    let common = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, algorithm)
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256));
    Request::CreateKeyPair(Box::new(CreateKeyPairRequest {
        common_attributes: Some(common),
        private_key_attributes: Some(mask(1)),
        public_key_attributes: Some(mask(2)),
        ..CreateKeyPairRequest::default()
    }))
}

fn register(object_type: ObjectType, object: ManagedObject) -> Request {
    let attributes = Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0));
    let object = Some(object);
    Request::Register(Box::new(RegisterRequest { object_type, attributes, object, protection_storage_masks: None }))
}

fn register_secret_data(value: &[u8]) -> Request {
    let key_block = key_of(KeyFormatType::OPAQUE, KeyMaterial::Bytes(value.to_vec().into()), None, None);
    let data = SecretData { secret_data_type: SecretDataType::PASSWORD, key_block };
    register(ObjectType::SECRET_DATA, ManagedObject::SecretData(data))
}

fn register_opaque(value: &[u8]) -> Request {
    let opaque = OpaqueObject {
        opaque_data_type: OpaqueDataType::from_number(0x8000_0001),
        opaque_data_value: value.to_vec().into(),
    };
    register(ObjectType::OPAQUE_OBJECT, ManagedObject::OpaqueObject(opaque))
}

/// Writes through the Barbican API until the connection breaks or the round ends.
async fn rest_writer(rest: Rest, notes: Arc<Notes>, stop: Arc<AtomicBool>, seed: u64) {
    let mut chance = Chance(seed);
    let mut own = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        if rest_write(&rest, &notes, &mut own, &mut chance).await.is_err() {
            notes.cut_off.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

async fn rest_write(rest: &Rest, notes: &Notes, own: &mut Vec<String>, chance: &mut Chance) -> Result<(), CutOff> {
    let broken = |_: reqwest::Error| CutOff;
    match chance.below(10) {
        kind @ 0..4 => {
            let (secret_type, value) = match kind {
                0 => ("symmetric", random(32)),
                1 => ("passphrase", random(1 + chance.below(40))),
                _ => ("opaque", random(1 + chance.below(9000))),
            };
            let answer = rest.store(secret_type, &value).await.map_err(broken)?;
            if answer.status != 201 {
                notes.refused(format!("storing {secret_type}: {answer:?}"));
                return Ok(());
            }
            let id = answer.reference("secret_ref");
            own.push(id.clone());
            notes.made(id, Some(value));
        }
        4 => {
            let answer = rest.json(Method::POST, "/v1/secrets", &json!({"secret_type": "opaque"})).await;
            let id = answer.map_err(broken)?.reference("secret_ref");
            let (path, value) = (format!("/v1/secrets/{id}"), random(1 + chance.below(2000)));
            let answer = rest.send(Method::PUT, &path, "*/*", "application/octet-stream", value.clone()).await;
            let answer = answer.map_err(broken)?;
            if answer.status == 204 {
                own.push(id.clone());
                notes.made(id, Some(value));
            } else {
                notes.refused(format!("the second step: {answer:?}"));
            }
        }
        5 => {
            let meta = json!({"type": "key", "meta": {"algorithm": "aes", "bit_length": 256, "mode": "cbc"}});
            let answer = rest.json(Method::POST, "/v1/orders", &meta).await.map_err(broken)?;
            if answer.status == 202 {
                notes.acknowledged.fetch_add(1, Ordering::SeqCst);
                notes.orders.lock().push(answer.reference("order_ref"));
            } else {
                notes.refused(format!("ordering: {answer:?}"));
            }
        }
        _ => {
            let Some(id) = notes.doomed(own, chance) else { return Ok(()) };
            let answer = rest.delete(&id).await.map_err(broken)?;
            if answer.status == 204 {
                notes.gone(id);
            } else {
                notes.refused(format!("deleting {id}: {answer:?}"));
            }
        }
    }
    Ok(())
}

// ------------------------------------------------------------------------------------------------------------ checking

/// So many look at what was told, each at its part.
const READERS: usize = 8;

/// Every object that was acknowledged since the last check is as it was told; what was unknown is settled and noted.
async fn check(gateway: &Arc<Gateway>, notes: &Notes, checked: &mut BTreeMap<String, Note>) {
    let told: Vec<(String, Note)> = {
        let objects = notes.objects.lock();
        objects
            .iter()
            .filter(|(id, note)| checked.get(*id) != Some(*note))
            .map(|(i, n)| (i.clone(), n.clone()))
            .collect()
    };
    let mut readers = tokio::task::JoinSet::new();
    for part in told.chunks(told.len().div_ceil(READERS).max(1)) {
        readers.spawn(settled(Arc::clone(gateway), part.to_vec()));
    }
    while let Some(part) = readers.join_next().await {
        for (id, note) in part.unwrap() {
            notes.objects.lock().insert(id.clone(), note.clone());
            checked.insert(id, note);
        }
    }
}

/// What has become of these.
async fn settled(gateway: Arc<Gateway>, told: Vec<(String, Note)>) -> Vec<(String, Note)> {
    let rest = Rest::new(&gateway.rest(), PROJECT);
    let mut kmip = Kmip::connect(&gateway).await.unwrap();
    let mut found = Vec::with_capacity(told.len());
    for (id, note) in told {
        let note = match note {
            Note::There(value) => {
                readable(&rest, &mut kmip, &id, value.as_deref()).await;
                Note::There(value)
            }
            Note::Gone => {
                destroyed(&rest, &mut kmip, &id).await;
                Note::Gone
            }
            Note::Unknown(value) => {
                // Either way, but wholly.
                if rest.payload(&id).await.unwrap().status == 200 {
                    readable(&rest, &mut kmip, &id, value.as_deref()).await;
                    Note::There(value)
                } else {
                    destroyed(&rest, &mut kmip, &id).await;
                    Note::Gone
                }
            }
        };
        found.push((id, note));
    }
    found
}

/// Through both protocols, with the value that was given.
async fn readable(rest: &Rest, kmip: &mut Kmip, id: &str, value: Option<&[u8]>) {
    let answer = rest.payload(id).await.unwrap();
    assert_eq!(answer.status, 200, "{id} was acknowledged and is lost: {}", answer.text());
    let object = kmip.get(id).await.unwrap_or_else(|failure| panic!("{id} was acknowledged and is lost: {failure:?}"));
    if let Some(value) = value {
        assert_eq!(answer.body, value, "{id} has another value");
        assert_eq!(material(object), value, "{id} has another value");
    }
}

async fn destroyed(rest: &Rest, kmip: &mut Kmip, id: &str) {
    let status = rest.payload(id).await.unwrap().status;
    assert_eq!(status, 404, "{id} is destroyed");
    match kmip.get(id).await {
        Err(Failure::Refused(Some(ResultReason::OBJECT_DESTROYED), _)) => {}
        other => panic!("{id} is destroyed: {other:?}"),
    }
}

/// Every order that was acknowledged comes to its end, and its key is there.
async fn orders(gateway: &Gateway, notes: &Notes) -> usize {
    let rest = Rest::new(&gateway.rest(), PROJECT);
    let orders = notes.orders.lock().clone();
    for order in &orders {
        let began = Instant::now();
        let done = loop {
            let answer = rest.bare(Method::GET, &format!("/v1/orders/{order}"), "application/json").await.unwrap();
            assert_eq!(answer.status, 200, "order {order} was acknowledged and is lost");
            match answer.json()["status"].as_str() {
                Some("PENDING") if began.elapsed() < portcullis_testing::PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Some("ACTIVE") => break answer,
                _ => panic!("order {order}: {}", answer.text()),
            }
        };
        assert_eq!(rest.payload(&done.reference("secret_ref")).await.unwrap().body.len(), 32);
    }
    orders.len()
}

/// The records of the gateway that are not destroyed.
async fn located(gateway: &Gateway) -> Vec<String> {
    let mut kmip = Kmip::connect(gateway).await.unwrap();
    let mut found = Vec::new();
    loop {
        let page = LocateRequest {
            maximum_items: Some(500),
            offset_items: Some(i32::try_from(found.len()).unwrap()),
            storage_status_mask: None,
            object_group_member: None,
            attributes: AttributeList::default(),
        };
        let Ok(Response::Locate(answer)) = kmip.ask(Request::Locate(Box::new(page))).await else {
            panic!("Locate answers")
        };
        if answer.unique_identifiers.is_empty() {
            return found;
        }
        found.extend(answer.unique_identifiers.iter().map(text_of));
    }
}

/// The chain of the trail holds over all kills, and names every object that was acknowledged.
fn trail(gateway: &Gateway, objects: &BTreeMap<String, Note>) {
    let folder = gateway.folder().join("audit");
    let verified = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["audit", "verify", folder.to_str().unwrap(), "--key", folder.join("audit.pub").to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{said}");
    let lines: String = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "log"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for word in lines.split('"').filter(|word| word.len() == 36) {
        *named.entry(word).or_default() += 1;
    }
    for (id, note) in objects {
        // Once for its making; once more for its end.
        let least = if *note == Note::Gone { 2 } else { 1 };
        assert!(named.get(id.as_str()).is_some_and(|count| *count >= least), "{id}: {note:?} is not on the trail");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_writers() {
    let size = Size::asked();
    let folder = tempfile::tempdir().unwrap();
    let seed = u64::from(std::process::id());
    let mut chance = Chance(seed);
    let mut gateway = Arc::new(Gateway::start(env!("CARGO_BIN_EXE_portcullis"), &folder.path().join("gateway")));
    let notes = Arc::new(Notes::default());
    let mut checked = BTreeMap::new();

    let mut kills = 0;
    while kills < size.kills || notes.acknowledged.load(Ordering::SeqCst) < size.writes {
        let stop = Arc::new(AtomicBool::new(false));
        let rest = Rest::new(&gateway.rest(), PROJECT);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS_PER_PROTOCOL {
            let seed = seed + kills * 1000 + writer;
            writers.spawn(kmip_writer(Arc::clone(&gateway), Arc::clone(&notes), Arc::clone(&stop), seed));
            writers.spawn(rest_writer(rest.clone(), Arc::clone(&notes), Arc::clone(&stop), seed + 500));
        }
        let round = size.round.mul_f64(1.0 + f64::from(u16::try_from(chance.below(1000)).unwrap()) / 1000.0);
        tokio::time::sleep(round).await;
        gateway.kill();
        stop.store(true, Ordering::SeqCst);
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
        kills += 1;
        Arc::get_mut(&mut gateway).expect("the writers have ended").restart();
        check(&gateway, &notes, &mut checked).await;
    }

    // Nothing was refused: every failure of a request was the kill.
    assert_eq!(*notes.refused.lock(), Vec::<String>::new());
    assert!(notes.cut_off.load(Ordering::SeqCst) > 0, "no kill met a request");
    let ordered = orders(&gateway, &notes).await;

    // What the token holds is what the records name; both hold everything that was acknowledged, and nothing destroyed.
    let records: BTreeSet<String> = located(&gateway).await.into_iter().collect();
    let token = token::objects(gateway.folder());
    let held: BTreeSet<String> =
        token.keys().filter_map(|label| label.strip_prefix("portcullis:")).map(str::to_owned).collect();
    let orphans: Vec<_> = held.difference(&records).collect();
    assert!(orphans.is_empty(), "orphans on the token: {orphans:?}");
    let rest = Rest::new(&gateway.rest(), PROJECT);
    for id in records.difference(&held) {
        // The second step of a two-step secret was cut off, or its first one was all there was.
        assert_eq!(rest.payload(id).await.unwrap().status, 404, "{id} has a record and no value");
    }
    let objects = notes.objects.lock().clone();
    let mut there = 0;
    for (id, note) in &objects {
        let is_there = matches!(note, Note::There(_));
        there += usize::from(is_there);
        assert_eq!(records.contains(id), is_there, "{id}: {note:?}");
        assert_eq!(held.contains(id), is_there, "{id}: {note:?}");
    }
    assert!(Arc::get_mut(&mut gateway).expect("nobody else uses it").stop().success());
    trail(&gateway, &objects);
    let acknowledged = notes.acknowledged.load(Ordering::SeqCst);
    println!(
        "figures kill: {kills} kills, {acknowledged} acknowledged writes, {} requests cut off, {there} objects there, {ordered} orders, 0 lost, 0 orphans",
        notes.cut_off.load(Ordering::SeqCst),
    );
}

/// A start that is cut off, the first one above all, is made up for by the next.
#[tokio::test]
async fn killed_while_starting() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_portcullis");
    let began = Instant::now();
    assert!(Gateway::start(program, &folder.path().join("whole")).stop().success());
    let whole = began.elapsed();

    let mut chance = Chance(u64::from(std::process::id()));
    let starts = Size::asked().starts;
    for number in 0..starts {
        let gateway = folder.path().join(format!("gateway-{number}"));
        // From the first instruction to about when it is ready; then again on what that left.
        for _ in 0..2 {
            let part = f64::from(u16::try_from(chance.below(1000)).unwrap()) / 1000.0;
            portcullis_testing::killed_while_starting(program, &gateway, whole.mul_f64(part));
        }
        let mut gateway = Gateway::start(program, &gateway);
        let id = {
            let mut kmip = Kmip::connect(&gateway).await.unwrap();
            kmip.make(create()).await.unwrap()
        };
        assert!(gateway.stop().success());
        let token = token::objects(gateway.folder());
        let mut labels: Vec<&str> = token.keys().map(String::as_str).collect();
        labels.retain(|label| !label.starts_with("portcullis-system:"));
        assert_eq!(labels, [format!("portcullis:{id}")], "nothing is left of the starts that were cut off");
        assert!(
            token.iter().filter(|(label, _)| label.starts_with("portcullis-system:")).all(|(_, classes)| {
                let mut once = classes.clone();
                once.dedup();
                once == *classes
            }),
            "a key of the gateway's own was made twice: {token:?}"
        );
    }
    println!("{starts} first starts cut off twice, all made up for");
}
