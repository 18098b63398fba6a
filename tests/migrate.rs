//! `portcullis hsm migrate` with the built program: every kind of object goes from one token to another, of the same module and
//! of others, while clients of both protocols work with them and while the gateway is killed.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in tests a panic is the answer")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hsm_sim::fault::control;
use kmip_codec::{
    Tag,
    attribute::{AttributeValue, Attributes, CryptographicParameters},
    codec::DateTime,
    object::{
        EncryptionKeyInformation, KeyMaterial, KeyWrappingSpecification, ManagedObject, OpaqueObject, SecretData,
    },
    payload::{ActivateRequest, DestroyRequest, EncryptRequest, GetRequest, RegisterRequest, Request, Response},
    spec::enums::{
        BlockCipherMode, CryptographicAlgorithm, EncodingOption, KeyFormatType, ObjectType, OpaqueDataType,
        PaddingMethod, SecretDataType, WrappingMethod,
    },
};
use portcullis_testing::{Failure, Gateway, Kmip, PATIENCE, Rest, aes, create, key_of, material, token};
use reqwest::Method;
use serde_json::{Value, json};

const PIN: &str = "123456";
const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");
const SOFTHSM2: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The example of RFC 8410, section 10.3.
const PEM: &[u8] =
    b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

/// A gateway with tokens of these names beside the one that it made for itself.
struct World {
    gateway: Gateway,
    rest: Rest,
    folder: PathBuf,
}

/// The section of a simulated token, which is made.
fn simulated(folder: &Path, name: &str) -> String {
    token::make(&folder.join(name), name, PIN);
    let module = token::module_copy(&folder.join(format!("{name}.so")));
    format!(
        "[hsm.{name}]\nmodule = {module:?}\nreserved = \"hsm-sim:store={}\"\ntoken_label = \"{name}\"\n\
         pin_file = {:?}\nprobe_seconds = 1\n",
        folder.join(name).display(),
        folder.join("pin"),
    )
}

/// The same of SoftHSM2; `None`, and why is said, where it is not installed.
fn softhsm2(folder: &Path, name: &str) -> Option<String> {
    let (conf, tokens) = (folder.join("softhsm2.conf"), folder.join("tokens"));
    fs::create_dir_all(&tokens).unwrap();
    fs::write(&conf, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display())).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", name, "--so-pin", "12345678", "--pin", PIN])
        .env("SOFTHSM2_CONF", &conf)
        .output();
    if !made.is_ok_and(|output| output.status.success()) || !Path::new(SOFTHSM2).exists() {
        println!("skipped, because softhsm2 is not installed");
        return None;
    }
    Some(format!(
        "[hsm.{name}]\nmodule = \"{SOFTHSM2}\"\ntoken_label = \"{name}\"\npin_file = {:?}\n\
         env = {{ SOFTHSM2_CONF = {conf:?} }}\n",
        folder.join("pin"),
    ))
}

/// The same of kryoptic.
fn kryoptic(folder: &Path, name: &str) -> Option<String> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/kryoptic/libkryoptic_pkcs11.so");
    if !module.exists() {
        println!("skipped, because kryoptic is not at {}", module.display());
        return None;
    }
    let (conf, store) = (folder.join("kryoptic.conf"), folder.join("kryoptic.sql"));
    let slot = format!("[[slots]]\nslot = 1\ndbtype = \"sqlite\"\ndbargs = {store:?}\n");
    fs::write(&conf, slot).unwrap();
    let tool = |words: &[&str]| {
        let made =
            Command::new("pkcs11-tool").arg("--module").arg(&module).args(words).env("KRYOPTIC_CONF", &conf).output();
        made.is_ok_and(|output| output.status.success())
    };
    let made = tool(&["--slot", "1", "--init-token", "--label", name, "--so-pin", "12345678"])
        && tool(&[
            "--slot",
            "1",
            "--init-pin",
            "--login",
            "--login-type",
            "so",
            "--so-pin",
            "12345678",
            "--new-pin",
            PIN,
        ]);
    if !made {
        println!("skipped, because pkcs11-tool (Debian package opensc) is not installed");
        return None;
    }
    Some(format!(
        "[hsm.{name}]\nmodule = {module:?}\ntoken_label = \"{name}\"\npin_file = {:?}\nenv = {{ KRYOPTIC_CONF = {conf:?} }}\n",
        folder.join("pin"),
    ))
}

impl World {
    /// With the tokens `one` and `two`; new objects go to `one`.
    fn start(folder: &Path) -> Self {
        fs::write(folder.join("pin"), PIN).unwrap();
        let sections = [simulated(folder, "one"), simulated(folder, "two")];
        Self::with(folder, &sections.concat())
    }

    fn with(folder: &Path, sections: &str) -> Self {
        // The first start writes a configuration; what it made besides begins anew with these tokens.
        let dir = folder.join("gateway");
        let mut gateway = Gateway::start(PROGRAM, &dir);
        assert!(gateway.stop().success());
        for made in ["store", "audit"] {
            fs::remove_dir_all(dir.join(made)).unwrap();
        }
        let config = dir.join("config.toml");
        let text = fs::read_to_string(&config).unwrap().replace("[hsm.main]", "[hsm.zzz]");
        fs::write(&config, format!("{text}\n{sections}")).unwrap();
        gateway.restart();
        let rest = Rest::new(&gateway.rest(), "demo");
        Self { gateway, rest, folder: folder.to_owned() }
    }

    fn restart(&mut self) {
        self.gateway.kill();
        self.gateway.restart();
        self.rest = Rest::new(&self.gateway.rest(), "demo");
    }

    fn config(&self) -> PathBuf {
        self.gateway.folder().join("config.toml")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(words).arg("--config").arg(self.config()).stdin(Stdio::null());
        command
    }

    fn order(&self, words: &[&str]) -> (bool, String) {
        let output = self.command(words).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    /// Moves everything; what the command says when it is done.
    async fn migrate(&self, from: &str, to: &str) -> (bool, Value) {
        let mut command = self.command(&["hsm", "migrate", "--json", "--from", from, "--to", to]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let Ok(told) = serde_json::from_slice(&output.stdout) else { panic!("{said}: {}", self.gateway.log()) };
        (output.status.success(), told)
    }

    fn detached(&self, from: &str, to: &str) {
        self.order(&["hsm", "migrate", "--detach", "--from", from, "--to", to]);
    }

    fn status(&self) -> Value {
        let (_, text) = self.order(&["hsm", "migrate", "--status", "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
    }

    async fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let status = self.status();
            if is(&status) {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "not {what}: {status}: {}", self.gateway.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// As long as it takes, if it gets on.
    async fn until_done(&self) -> Value {
        let (mut last, mut began) = (Value::Null, Instant::now());
        loop {
            let status = self.status();
            if status["state"] == "done" {
                return status;
            }
            if status != last {
                (last, began) = (status, Instant::now());
            }
            assert!(began.elapsed() < PATIENCE, "not done: {last}: {}", self.gateway.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = reqwest::get(format!("{}/metrics", self.gateway.ops())).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.trim().parse().unwrap()
    }

    /// Waits until that many objects remain; `false` when it is done before.
    async fn is_moving(&self, remaining: usize) -> bool {
        let (mut last, mut began) = (0.0, Instant::now());
        loop {
            if self.metric("portcullis_migration_state{state=\"done\"}").await > 0.0 {
                return false;
            }
            let now = self.metric("portcullis_migration_objects{state=\"remaining\"}").await;
            // Nothing remains until it is counted.
            if now > 0.0 && now <= remaining as f64 {
                return true;
            }
            if now.total_cmp(&last).is_ne() {
                (last, began) = (now, Instant::now());
            }
            assert!(began.elapsed() < PATIENCE, "{now} remain: {}", self.gateway.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn fail(&self, token: &str, functions: &str, action: &str) {
        let rule = format!("[[faults.rule]]\nmatch = {{ function = {functions} }}\naction = {{ {action} }}\n");
        control::install(&self.folder.join(token), &format!("[faults]\n{rule}")).unwrap();
    }

    fn mend(&self, token: &str) {
        control::clear(&self.folder.join(token)).unwrap();
    }

    /// The managed objects on a simulated token, with their classes.
    fn objects(&self, token: &str) -> BTreeMap<String, Vec<String>> {
        let mut objects = token::objects_in(&self.folder.join(token), PIN);
        objects.retain(|label, _| label.starts_with("portcullis:"));
        objects.values_mut().for_each(|classes| classes.sort());
        objects
    }

    /// Tokens and records agree.
    fn is_sound(&self) {
        let (clean, said) = self.order(&["hsm", "fsck"]);
        assert!(clean, "{said}");
    }

    async fn kmip(&self) -> Kmip {
        Kmip::connect(&self.gateway).await.unwrap()
    }

    async fn store(&self, kind: &str, value: &[u8]) -> String {
        let answer = self.rest.store(kind, value).await.unwrap();
        assert_eq!(answer.status, 201, "{}: {}", answer.text(), self.gateway.log());
        answer.reference("secret_ref")
    }

    /// What an object is, for clients of both protocols.
    async fn seen(&self, kmip: &mut Kmip, id: &str) -> (Vec<u8>, String) {
        let answer = self.rest.payload(id).await.unwrap();
        assert_eq!(answer.status, 200, "{id}: {}: {}", answer.text(), self.gateway.log());
        let object = kmip.get(id).await.unwrap_or_else(|failure| panic!("{id}: {failure:?}: {}", self.gateway.log()));
        (answer.body, format!("{object:?}"))
    }

    async fn all_seen(&self, ids: &[String]) -> BTreeMap<String, (Vec<u8>, String)> {
        let mut kmip = self.kmip().await;
        let mut seen = BTreeMap::new();
        for id in ids {
            seen.insert(id.clone(), self.seen(&mut kmip, id).await);
        }
        seen
    }

    /// One of every kind that there is.
    async fn one_of_each(&self) -> Vec<String> {
        let mut kmip = self.kmip().await;
        let mut ids = vec![
            kmip.make(create(aes())).await.unwrap(),
            kmip.make(create(key_attributes(CryptographicAlgorithm::AES, 256, 0x18C))).await.unwrap(),
            kmip.make(create(key_attributes(CryptographicAlgorithm::HMAC_SHA256, 256, 0x180))).await.unwrap(),
            kmip.make(create(key_attributes(CryptographicAlgorithm::DES3, 168, 0xC))).await.unwrap(),
            kmip.make(secret_data(b"seven b")).await.unwrap(),
            kmip.make(secret_data(b"ends in zeros\0\0\0")).await.unwrap(),
            kmip.make(opaque(&[5; 9_000])).await.unwrap(),
            kmip.make(opaque(&[6; 60])).await.unwrap(),
            self.store("symmetric", &[7; 32]).await,
            self.store("private", PEM).await,
            self.store("passphrase", b"a passphrase").await,
            self.store("opaque", &[8; 15_000]).await,
        ];
        for meta in [
            json!({"type": "asymmetric", "meta": {"algorithm": "rsa", "bit_length": 2048}}),
            json!({"type": "asymmetric", "meta": {"algorithm": "ec", "bit_length": 256}}),
        ] {
            let answer = self.rest.json(Method::POST, "/v1/orders", &meta).await.unwrap();
            if answer.status == 202 {
                ids.extend(self.pair(&answer.reference("order_ref")).await);
            }
        }
        ids
    }

    /// The halves that an order made.
    async fn pair(&self, order: &str) -> Vec<String> {
        let began = Instant::now();
        loop {
            let answer = self.rest.bare(Method::GET, &format!("/v1/orders/{order}"), "application/json").await.unwrap();
            match answer.json()["status"].as_str() {
                Some("ACTIVE") => {
                    let container = answer.reference("container_ref");
                    let path = format!("/v1/containers/{container}");
                    let parts = self.rest.bare(Method::GET, &path, "application/json").await.unwrap().json();
                    let parts = parts["secret_refs"].as_array().unwrap().clone();
                    let id = |part: &Value| part["secret_ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
                    return parts.iter().map(id).collect();
                }
                Some("PENDING") if began.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(50)).await,
                _ => return Vec::new(),
            }
        }
    }
}

fn key_attributes(algorithm: CryptographicAlgorithm, bits: i32, mask: u32) -> Attributes {
    Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(algorithm.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(bits))
        .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(mask))
        .with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1)))
}

fn register(object_type: ObjectType, object: ManagedObject) -> Request {
    let attributes = Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0));
    let object = Some(object);
    Request::Register(Box::new(RegisterRequest { object_type, attributes, object, protection_storage_masks: None }))
}

fn secret_data(value: &[u8]) -> Request {
    let key_block = key_of(KeyFormatType::OPAQUE, KeyMaterial::Bytes(value.to_vec().into()), None, None);
    let data = SecretData { secret_data_type: SecretDataType::PASSWORD, key_block };
    register(ObjectType::SECRET_DATA, ManagedObject::SecretData(data))
}

fn opaque(value: &[u8]) -> Request {
    let opaque = OpaqueObject {
        opaque_data_type: OpaqueDataType::from_number(0x8000_0001),
        opaque_data_value: value.to_vec().into(),
    };
    register(ObjectType::OPAQUE_OBJECT, ManagedObject::OpaqueObject(opaque))
}

/// How long it comes out.
async fn encrypt(kmip: &mut Kmip, id: &str) -> Result<usize, Failure> {
    let request = EncryptRequest {
        unique_identifier: Some(id.into()),
        cryptographic_parameters: Some(CryptographicParameters {
            block_cipher_mode: Some(BlockCipherMode::CBC),
            padding_method: Some(PaddingMethod::PKCS5),
            ..CryptographicParameters::default()
        }),
        data: Some(b"what is encrypted".to_vec().into()),
        iv_counter_nonce: Some(vec![9; 16]),
        ..EncryptRequest::default()
    };
    match kmip.ask(Request::from(request)).await? {
        Response::Encrypt(answer) => Ok(answer.data.unwrap().len()),
        other => panic!("an answer to {}", other.operation()),
    }
}

/// Works with its own and with shared objects through both protocols until it is told to stop; every request must succeed.
async fn work(world: Arc<World>, shared: Arc<Vec<String>>, stop: Arc<AtomicBool>, number: usize) -> usize {
    let mut kmip = world.kmip().await;
    let mut requests = 0;
    let log = || world.gateway.log();
    let mut own: Vec<String> = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let id = shared.get((requests * 7 + number * 31) % shared.len()).unwrap();
        let sealed =
            encrypt(&mut kmip, id).await.unwrap_or_else(|failure| panic!("encrypt {id}: {failure:?}: {}", log()));
        let value = material(kmip.get(id).await.unwrap_or_else(|failure| panic!("get {id}: {failure:?}: {}", log())));
        let payload = world.rest.payload(id).await.unwrap();
        assert_eq!((payload.status, &payload.body), (200, &value), "{id}: {}: {}", payload.text(), log());
        assert_eq!(sealed, 32);

        let made = kmip.make(create(aes())).await.unwrap_or_else(|failure| panic!("create: {failure:?}: {}", log()));
        own.push(made);
        own.push(world.store("symmetric", &[1; 32]).await);
        if own.len() > 6 {
            let old = own.remove(0);
            let destroy = DestroyRequest { unique_identifier: Some(old.as_str().into()) };
            // Half of them are of KMIP's kind, which may be destroyed as they are; the others are active.
            if kmip.ask(Request::from(destroy)).await.is_err() {
                let deleted = world.rest.delete(&old).await.unwrap();
                assert_eq!(deleted.status, 204, "{old}: {}: {}", deleted.text(), log());
            }
            let last = own.first().unwrap();
            // Active ones refuse it, and that is as it should be.
            let _active =
                kmip.ask(Request::from(ActivateRequest { unique_identifier: Some(last.as_str().into()) })).await;
        }
        requests += 7;
    }
    requests
}

fn is_long() -> bool {
    env::var_os("LONG").is_some()
}

#[tokio::test]
async fn every_kind_of_object_is_moved_and_stays_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path());
    let ids = world.one_of_each().await;
    assert!(ids.len() >= 14, "{ids:?}");
    let (before, standing) = (world.all_seen(&ids).await, world.objects("one"));
    assert!(world.objects("two").is_empty());

    let (done, told) = world.migrate("one", "two").await;
    assert!(done, "{told}");
    assert_eq!((&told["state"], &told["moved"]), (&json!("done"), &json!(ids.len())), "{told}");
    assert_eq!(told["own_keys"], json!(true));
    assert_eq!(world.objects("two"), standing, "what stands there is what stood here");
    assert!(world.objects("one").is_empty(), "nothing is left behind");
    assert_eq!(world.all_seen(&ids).await, before);
    world.is_sound();

    // New ones go to where the others are, and so it stays after a restart.
    let mut world = world;
    let new = world.store("symmetric", &[2; 32]).await;
    world.restart();
    let newer = world.kmip().await.make(create(aes())).await.unwrap();
    assert!([&new, &newer].iter().all(|id| world.objects("two").contains_key(&format!("portcullis:{id}"))));
    assert_eq!(world.status()["state"], "done");

    // And back again.
    let (done, told) = world.migrate("two", "one").await;
    assert!(done, "{told}");
    assert!(world.objects("two").is_empty());
    assert_eq!(world.all_seen(&ids).await, before);
    world.store("symmetric", &[3; 32]).await;
    assert!(world.objects("two").is_empty());
    world.is_sound();
}

#[tokio::test]
async fn clients_notice_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = Arc::new(World::start(folder.path()));
    let mut kmip = world.kmip().await;
    let mut shared = Vec::new();
    for _ in 0..if is_long() { 2_000 } else { 120 } {
        shared.push(kmip.make(create(key_attributes(CryptographicAlgorithm::AES, 256, 0xC))).await.unwrap());
    }
    let before = world.all_seen(&shared).await;
    let (shared, stop) = (Arc::new(shared), Arc::new(AtomicBool::new(false)));
    let workers: Vec<_> = (0..4)
        .map(|number| tokio::spawn(work(Arc::clone(&world), Arc::clone(&shared), Arc::clone(&stop), number)))
        .collect();
    for (from, to) in [("one", "two"), ("two", "one")] {
        let (done, told) = world.migrate(from, to).await;
        assert!(done && told["moved"].as_u64().unwrap() >= shared.len() as u64, "{told}");
    }
    stop.store(true, Ordering::SeqCst);
    let mut requests = 0;
    for worker in workers {
        requests += worker.await.unwrap();
    }
    println!("{requests} requests, none refused");
    assert_eq!(world.all_seen(&shared).await, before);
    assert!(world.objects("two").is_empty(), "{:?}", world.status());
    world.is_sound();
}

/// Clients that work while everything is moved and the gateway is killed.
struct Load {
    world: World,
    values: BTreeMap<String, Vec<u8>>,
    ids: Vec<String>,
    /// The round is over: who gets no answer now was cut off by the kill.
    stop: AtomicBool,
    answered: AtomicUsize,
    /// Each is asked again in the next round.
    cut: Mutex<Vec<Ask>>,
    /// Keys that were made meanwhile.
    made: Mutex<Vec<String>>,
}

/// One request.
enum Ask {
    Encrypt(String),
    Get(String),
    Payload(String),
    Create,
}

impl Load {
    /// One client in one round: first what was cut off before.
    async fn client(self: Arc<Self>, number: usize, again: Vec<Ask>) {
        let mut kmip = match Kmip::connect(&self.world.gateway).await {
            Ok(kmip) => kmip,
            Err(error) => {
                assert!(self.stop.load(Ordering::SeqCst), "{error}: {}", self.world.gateway.log());
                return self.cut.lock().unwrap().extend(again);
            }
        };
        let mut again = again.into_iter();
        for turn in 0.. {
            let id = || self.ids[(turn * 7_919 + number * 104_729) % self.ids.len()].clone();
            let ask = match again.next() {
                Some(ask) => ask,
                None if self.stop.load(Ordering::SeqCst) => return,
                None => match turn % 8 {
                    0..3 => Ask::Encrypt(id()),
                    3..5 => Ask::Get(id()),
                    5..7 => Ask::Payload(id()),
                    _ => Ask::Create,
                },
            };
            if !self.is_answered(&mut kmip, &ask).await {
                let mut cut = self.cut.lock().unwrap();
                cut.push(ask);
                return cut.extend(again);
            }
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// An answer has to be the right one; no answer means that the gateway was killed.
    async fn is_answered(&self, kmip: &mut Kmip, ask: &Ask) -> bool {
        let is_over = || self.stop.load(Ordering::SeqCst);
        let failed = |what: &str, failure: Failure| match failure {
            Failure::Connection(_) if is_over() => false,
            failure => panic!("{what}: {failure:?}: {}", self.world.gateway.log()),
        };
        match ask {
            Ask::Encrypt(id) => match encrypt(kmip, id).await {
                Ok(length) => assert_eq!(length, 32),
                Err(failure) => return failed(&format!("encrypt by {id}"), failure),
            },
            Ask::Get(id) => match kmip.get(id).await {
                Ok(object) => assert_eq!(material(object), self.values[id], "{id}"),
                Err(failure) => return failed(&format!("get {id}"), failure),
            },
            Ask::Payload(id) => match self.world.rest.payload(id).await {
                Ok(answer) => {
                    let text = answer.text();
                    assert_eq!((answer.status, &answer.body), (200, &self.values[id]), "{id}: {text}");
                }
                Err(error) if is_over() => return !is_cut_off(&error),
                Err(error) => panic!("payload of {id}: {error}: {}", self.world.gateway.log()),
            },
            Ask::Create => match kmip.make(create(encrypting())).await {
                Ok(id) => self.made.lock().unwrap().push(id),
                Err(failure) => return failed("create", failure),
            },
        }
        true
    }
}

/// Whether the connection was the reason, which it is unless the answer cannot be read.
fn is_cut_off(error: &reqwest::Error) -> bool {
    assert!(!error.is_builder() && !error.is_redirect() && !error.is_status(), "{error}");
    true
}

fn encrypting() -> Attributes {
    key_attributes(CryptographicAlgorithm::AES, 256, 0xC)
}

/// The values of keys, read by several clients.
async fn values(world: &World, ids: &[String]) -> BTreeMap<String, Vec<u8>> {
    let values = Mutex::new(BTreeMap::new());
    let readers = ids.chunks(ids.len().div_ceil(8)).map(|part| {
        let values = &values;
        async move {
            let mut kmip = world.kmip().await;
            for id in part {
                let object = kmip.get(id).await.unwrap_or_else(|failure| panic!("{id}: {failure:?}"));
                values.lock().unwrap().insert(id.clone(), material(object));
            }
        }
    });
    futures_join(readers).await;
    values.into_inner().unwrap()
}

/// A size that the environment may set.
fn sized(name: &str, long: usize, short: usize) -> usize {
    let asked = env::var(name).ok().map(|text| text.parse().expect("a number"));
    let usual = if is_long() { long } else { short };
    asked.unwrap_or(usual)
}

/// `KEYS` and `KILLS` set how many.
#[tokio::test]
async fn a_killed_gateway_goes_on_where_it_was() {
    const CLIENTS: usize = 4;
    let (count, kills) = (sized("KEYS", 100_000, 500), sized("KILLS", 20, 2));
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path());
    let (ids, left) = (Mutex::new(Vec::with_capacity(count)), AtomicUsize::new(count));
    let makers = (0..8).map(|_| async {
        let mut kmip = world.kmip().await;
        while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            let id = kmip.make(create(encrypting())).await.unwrap();
            ids.lock().unwrap().push(id);
        }
    });
    futures_join(makers).await;
    let ids = ids.into_inner().unwrap();
    let before = values(&world, &ids).await;
    assert_eq!((ids.len(), before.len()), (count, count));

    let mut load = Arc::new(Load {
        values: before.clone(),
        ids: ids.clone(),
        stop: AtomicBool::new(false),
        answered: AtomicUsize::new(0),
        cut: Mutex::default(),
        made: Mutex::default(),
        world,
    });
    load.world.detached("one", "two");
    let (began, mut on_the_way, mut cut) = (Instant::now(), 0, 0);
    for round in 0..=kills {
        let again = std::mem::take(&mut *load.cut.lock().unwrap());
        cut += again.len();
        let mut shares: [Vec<Ask>; CLIENTS] = Default::default();
        again.into_iter().enumerate().for_each(|(place, ask)| shares[place % CLIENTS].push(ask));
        let clients = shares.into_iter().enumerate();
        let clients: Vec<_> =
            clients.map(|(number, again)| tokio::spawn(Arc::clone(&load).client(number, again))).collect();
        if round < kills {
            on_the_way += usize::from(load.world.is_moving(count * (kills - round) / (kills + 1)).await);
        } else {
            load.world.until_done().await;
        }
        load.stop.store(true, Ordering::SeqCst);
        if round < kills {
            load.world.gateway.kill();
        }
        for client in clients {
            client.await.unwrap();
        }
        if round < kills {
            let load = Arc::get_mut(&mut load).expect("the clients have ended");
            load.world.restart();
            load.stop = AtomicBool::new(false);
        }
    }
    let took = began.elapsed();
    let (world, made) = (&load.world, load.made.lock().unwrap().clone());

    let told = world.status();
    assert_eq!(told["stayed_count"], json!(0), "{told}");
    let standing = world.objects("two");
    let lost = ids.iter().chain(&made).filter(|id| !standing.contains_key(&format!("portcullis:{id}"))).count();
    assert_eq!(lost, 0);
    assert!(standing.len() <= count + made.len() + cut, "{} names", standing.len());
    assert_eq!(world.objects("one"), BTreeMap::new());
    assert!(values(world, &ids).await == before, "another value");
    assert_eq!(values(world, &made).await.len(), made.len());
    world.is_sound();
    assert!(on_the_way > 0, "no kill met the migration");
    println!(
        "figures migration: {count} keys in {:.0} s under {CLIENTS} clients, {kills} kills, {on_the_way} of them on the way, {} requests answered, \
         0 failed, {cut} cut off by a kill and asked again, {} made meanwhile, 0 lost, same identifiers and values",
        took.as_secs_f64(),
        load.answered.load(Ordering::SeqCst),
        made.len(),
    );
}

/// All at once, without a crate for it.
async fn futures_join(futures: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn what_may_not_leave_stays_and_still_wraps_what_was_moved() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path());
    let mut kmip = world.kmip().await;
    let kek =
        key_attributes(CryptographicAlgorithm::AES, 256, 0x3C).with(Tag::EXTRACTABLE, AttributeValue::Boolean(false));
    let kek = kmip.make(create(kek)).await.unwrap();
    let key = kmip.make(create(aes())).await.unwrap();
    let get_wrapped = || GetRequest {
        unique_identifier: Some(key.as_str().into()),
        key_wrapping_specification: Some(KeyWrappingSpecification {
            wrapping_method: WrappingMethod::ENCRYPT,
            encryption_key_information: Some(EncryptionKeyInformation {
                unique_identifier: kek.as_str().into(),
                cryptographic_parameters: Some(CryptographicParameters {
                    block_cipher_mode: Some(BlockCipherMode::NIST_KEY_WRAP),
                    ..CryptographicParameters::default()
                }),
            }),
            mac_signature_key_information: None,
            attribute_names: Vec::new(),
            attribute_references: Vec::new(),
            encoding_option: Some(EncodingOption::NO_ENCODING),
        }),
        ..GetRequest::default()
    };
    let wrapped = |answer: Response| match answer {
        Response::Get(got) => format!("{:?}", got.object),
        other => panic!("an answer to {}", other.operation()),
    };
    let before = wrapped(kmip.ask(Request::from(get_wrapped())).await.unwrap());

    let (done, told) = world.migrate("one", "two").await;
    assert!(!done, "{told}");
    assert_eq!((&told["moved"], &told["stayed_count"]), (&json!(1), &json!(1)), "{told}");
    assert_eq!(told["stayed"][0]["object"], json!(kek), "{told}");
    assert!(told["stayed"][0]["reason"].as_str().unwrap().contains("may not leave"), "{told}");
    encrypt(&mut kmip, &kek).await.unwrap();
    let after = wrapped(kmip.ask(Request::from(get_wrapped())).await.unwrap());
    assert_eq!(after, before, "RFC 3394 wraps one key in one way");
    assert_eq!(world.objects("one").len(), 1);
    world.is_sound();
}

#[tokio::test]
async fn a_target_that_is_away_or_full_makes_it_wait() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start(folder.path());
    let mut ids = Vec::new();
    for number in 0..20_u8 {
        ids.push(world.store("symmetric", &[number; 32]).await);
    }
    let before = world.all_seen(&ids).await;
    for action in ["return = \"CKR_DEVICE_MEMORY\"", "return = \"CKR_DEVICE_REMOVED\""] {
        world.fail("two", "\"C_*\"", action);
        if action.contains("MEMORY") {
            world.fail("two", "[\"C_UnwrapKey\", \"C_CreateObject\"]", action);
        }
        world.detached("one", "two");
        let waits = world.until("waiting", |status| status["state"] == "waiting").await;
        assert!(!waits["reason"].as_str().unwrap().is_empty());
        // Nobody who works with what is at the source notices, and new objects go there.
        assert_eq!(world.all_seen(&ids).await, before);
        ids.push(world.store("symmetric", &[77; 32]).await);
        let doomed = world.store("symmetric", &[78; 32]).await;
        assert_eq!(world.rest.delete(&doomed).await.unwrap().status, 204, "{}", world.gateway.log());
        world.mend("two");
        world.until_done().await;
        assert!(world.objects("one").is_empty());
        // Back, for the next way to fail.
        let (done, told) = world.migrate("two", "one").await;
        assert!(done, "{told}");
        let seen = world.all_seen(&ids).await;
        assert!(before.iter().all(|(id, value)| seen.get(id) == Some(value)));
        ids.truncate(20);
        world.restart();
    }
    world.is_sound();
}

#[tokio::test]
async fn a_copy_that_is_not_the_same_is_not_relied_on() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path());
    // The key of the move gets there while nothing is wrong.
    let first = world.kmip().await.make(create(aes())).await.unwrap();
    assert!(world.migrate("one", "two").await.0);
    assert!(world.migrate("two", "one").await.0);

    let id = world.kmip().await.make(create(aes())).await.unwrap();
    let before = world.all_seen(&[first.clone(), id.clone()]).await;
    // What the target says of its copies is never what the source says of the originals.
    world.fail("two", "\"C_WrapKey\"", "corrupt = \"output-bit\"");
    let (done, told) = world.migrate("one", "two").await;
    assert!(!done, "{told}");
    assert_eq!((&told["moved"], &told["stayed_count"]), (&json!(0), &json!(2)), "{told}");
    assert!(world.objects("two").is_empty(), "no copy is left");
    assert_eq!(world.all_seen(&[first.clone(), id.clone()]).await, before);
    world.mend("two");
    let (done, told) = world.migrate("one", "two").await;
    assert!(done && told["moved"] == json!(2), "{told}");
    assert_eq!(world.all_seen(&[first, id]).await, before);
    world.is_sound();
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path());
    for (from, to, why) in [
        ("one", "one", "moved to itself"),
        ("one", "nowhere", "there is no token [hsm.nowhere]"),
        ("nowhere", "one", "there is no token [hsm.nowhere]"),
    ] {
        let (done, said) = world.order(&["hsm", "migrate", "--from", from, "--to", to]);
        assert!(!done && said.contains("PC-HSM-MIGRATE") && said.contains(why), "{said}");
    }
    assert_eq!(world.status()["state"], "none");
    let (done, _) = world.order(&["hsm", "migrate", "--from", "one"]);
    assert!(!done);
}

/// To another vendor's module and back.
async fn there_and_back(other: &str, section: impl FnOnce(&Path, &str) -> Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pin"), PIN).unwrap();
    let Some(other_section) = section(folder.path(), other) else { return };
    let world = World::with(folder.path(), &[simulated(folder.path(), "one"), other_section].concat());
    let ids = world.one_of_each().await;
    let before = world.all_seen(&ids).await;
    for (from, to) in [("one", other), (other, "one")] {
        let (_, told) = world.migrate(from, to).await;
        assert_eq!(told["state"], json!("done"), "{told}");
        println!("from {from} to {to}: {told}");
        // What a module has no mechanism for may stay, and is named; nothing else.
        let stayed = told["stayed"].as_array().unwrap();
        for one in stayed {
            let reason = one["reason"].as_str().unwrap();
            assert!(reason.contains("does not offer"), "{told}: {}", world.gateway.log());
        }
        let moved = usize::try_from(told["moved"].as_u64().unwrap()).unwrap();
        if from == "one" {
            assert_eq!(moved + stayed.len(), ids.len(), "{told}");
        }
        assert!(moved >= 12, "{told}: {}", world.gateway.log());
        assert_eq!(world.all_seen(&ids).await, before, "{from} to {to}");
        world.is_sound();
    }
    let held = world.objects("one");
    assert!(ids.iter().all(|id| held.contains_key(&format!("portcullis:{id}"))), "everything is back");
}

#[tokio::test]
async fn objects_are_moved_to_softhsm2_and_back() {
    there_and_back("soft", softhsm2).await;
}

#[tokio::test]
async fn objects_are_moved_to_kryoptic_and_back() {
    there_and_back("other", kryoptic).await;
}
