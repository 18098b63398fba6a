//! Modules in processes of their own: what a crash, a hang or a wrong PIN there costs, with the built program.
//!
//! The first half is a gateway under clients of both protocols whose module's process is killed, crashes or hangs; the second
//! half is the session pool alone, where calls, descriptors and processes can be counted.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in tests a panic is the answer")]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hsm_sim::fault::control;
use portcullis::{
    domain::{SecretValue, TokenId},
    engine::ports::{Hsm as _, HsmAnswer, HsmError, HsmRequest, Memory, StoreError, Terms},
    hsm::{Config, Isolation, Observer, Pool, Program},
};
use portcullis_testing::{Failure, Gateway, Kmip, PATIENCE, Rest, aes, create, material, token};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

/// The processes whose parent is `parent`, dead ones apart.
fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Some(pid) = entry.unwrap().file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The name of the program stands in brackets and may hold anything; processes come and go.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        if fields[1] == parent.to_string() && fields[0] != "Z" {
            found.push(pid);
        }
    }
    found
}

fn kill(pid: u32) {
    // It may have ended already.
    let _ended = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL);
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The process of the gateway's only module, when there is one that is not `before`.
async fn module_process(gateway: &Gateway, before: u32) -> u32 {
    let mut found = 0;
    until("a process of the module", async || {
        found = children(gateway.pid()).into_iter().find(|pid| *pid != before).unwrap_or(0);
        found != 0
    })
    .await;
    found
}

fn isolated(folder: &Path, settings: &[(&str, &str)]) -> Gateway {
    let mut all = vec![("PORTCULLIS_HSM__MAIN__ISOLATION", "process"), ("PORTCULLIS_HSM__MAIN__WORKERS", "4")];
    all.extend(settings);
    Gateway::start_with(PROGRAM, folder, &all)
}

/// How often the process was started again, by reason.
async fn restarts(gateway: &Gateway, after: &str) -> u64 {
    let ops = Rest::new(&gateway.ops(), "demo");
    let metrics = ops.bare(Method::GET, "/metrics", "*/*").await.unwrap().text();
    let series = format!("portcullis_hsm_module_restarts_total{{after=\"{after}\",token=\"main\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
}

async fn until_ready(gateway: &Gateway) {
    let ops = Rest::new(&gateway.ops(), "demo");
    until("ready", async || ops.bare(Method::GET, "/readyz", "*/*").await.unwrap().status == 200).await;
}

/// What clients have done: acknowledged values by identifier, and how many answers they got.
#[derive(Default)]
struct Ledger {
    values: Mutex<Vec<(String, Vec<u8>)>>,
    answered: AtomicUsize,
    refused: AtomicUsize,
    stop: AtomicBool,
}

/// Stores and reads over the REST API until told to stop.
async fn rest_client(rest: Rest, ledger: Arc<Ledger>, number: u8) {
    let mut round = 0_u8;
    while !ledger.stop.load(Ordering::Relaxed) {
        round = round.wrapping_add(1);
        let value = vec![number ^ round; 32];
        let stored = rest.store("opaque", &value).await.unwrap();
        if stored.status != 201 {
            assert_eq!(stored.status, 503, "{}", stored.text());
            ledger.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let id = stored.reference("secret_ref");
        ledger.values.lock().unwrap().push((id.clone(), value.clone()));
        let read = rest.payload(&id).await.unwrap();
        match read.status {
            200 => assert_eq!(read.body, value),
            503 => drop(ledger.refused.fetch_add(1, Ordering::Relaxed)),
            status => panic!("{status}: {}", read.text()),
        }
        ledger.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes keys and reads them back over KMIP until told to stop.
async fn kmip_client(mut kmip: Kmip, ledger: Arc<Ledger>) {
    while !ledger.stop.load(Ordering::Relaxed) {
        let mut value = None;
        let made = kmip.make(create(aes())).await;
        let outcome = match made {
            Ok(id) => kmip.get(&id).await.map(|key| value = Some((id, material(key)))),
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(()) => ledger.values.lock().unwrap().extend(value),
            Err(Failure::Refused(..)) => drop(ledger.refused.fetch_add(1, Ordering::Relaxed)),
            Err(Failure::Connection(error)) => panic!("{error}"),
        }
        ledger.answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_killed_twenty_times_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = isolated(&folder.path().join("gateway"), &[]);
    let rest = Rest::new(&gateway.rest(), "demo");
    let ledger = Arc::new(Ledger::default());
    let mut clients = Vec::new();
    for number in 0..3 {
        clients.push(tokio::spawn(rest_client(rest.clone(), Arc::clone(&ledger), number)));
    }
    for _ in 0..2 {
        let kmip = Kmip::connect(&gateway).await.unwrap();
        clients.push(tokio::spawn(kmip_client(kmip, Arc::clone(&ledger))));
    }
    let mut killed = 0;
    for round in 0..20 {
        let answered = ledger.answered.load(Ordering::Relaxed);
        until("answers", async || ledger.answered.load(Ordering::Relaxed) >= answered + 10).await;
        let process = module_process(&gateway, killed).await;
        killed = process;
        kill(process);
        let started = u64::try_from(round).unwrap();
        until("a restart", async || restarts(&gateway, "crashed").await > started).await;
    }
    let answered = ledger.answered.load(Ordering::Relaxed);
    until("answers", async || ledger.answered.load(Ordering::Relaxed) >= answered + 10).await;
    ledger.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(children(gateway.pid()).len(), 1, "one process a module");
    let values = std::mem::take(&mut *ledger.values.lock().unwrap());
    let mut kmip = Kmip::connect(&gateway).await.unwrap();
    for (id, value) in &values {
        assert_eq!(material(kmip.get(id).await.unwrap()), *value, "{id}");
    }
    let (answered, refused) = (ledger.answered.load(Ordering::Relaxed), ledger.refused.load(Ordering::Relaxed));
    println!("{answered} answered, {refused} refused, {} values", values.len());
    // In flight when the process ended, and again in the next one: seldom, and told so.
    assert!(refused * 10 < answered, "{refused} of {answered} were refused");
}

#[tokio::test]
async fn a_library_that_crashes_or_hangs_is_ended_and_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = isolated(&folder.path().join("gateway"), &[("PORTCULLIS_HSM__MAIN__CALL_SECONDS", "2")]);
    let store = gateway.folder().join("hsm");
    let rest = Rest::new(&gateway.rest(), "demo");
    let value = [5; 32];
    let id = rest.store("symmetric", &value).await.unwrap().reference("secret_ref");
    let pid = gateway.pid();
    for (action, after) in [("abort = true", "crashed"), ("segv = true", "crashed"), ("hang = \"300s\"", "hung")] {
        let before = restarts(&gateway, after).await;
        let rule = "[[faults.rule]]\nmatch = { function = \"C_WrapKey\" }\naction = ";
        control::install(&store, &format!("[faults]\nallow_crash = true\n{rule}{{ {action} }}\n")).unwrap();
        let (client, wanted) = (rest.clone(), id.clone());
        let hanging = tokio::spawn(async move { client.payload(&wanted).await.unwrap() });
        if after == "hung" {
            // While it hangs, what does not wrap is served by the other sessions.
            until("another request is served", async || rest.store("opaque", &value).await.unwrap().status == 201)
                .await;
        }
        // Tried once, and once more in a new process: the module does the same each time.
        let answer = hanging.await.unwrap();
        assert_eq!(answer.status, 503, "{action}: {}", answer.text());
        until("started again", async || restarts(&gateway, after).await > before).await;
        control::clear(&store).unwrap();
        until("the value is given out", async || {
            let answer = rest.payload(&id).await.unwrap();
            assert!(answer.status == 503 || answer.body == value, "{}", answer.text());
            answer.status == 200
        })
        .await;
        until_ready(&gateway).await;
    }
    assert_eq!((gateway.pid(), children(gateway.pid()).len()), (pid, 1));
}

#[tokio::test]
async fn the_process_ends_with_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = isolated(&folder.path().join("gateway"), &[]);
    let process = module_process(&gateway, 0).await;
    gateway.kill();
    until("the end of the process", async || !Path::new(&format!("/proc/{process}")).exists()).await;
    gateway.restart();
    let process = module_process(&gateway, 0).await;
    assert!(gateway.stop().success(), "{}", gateway.log());
    until("the end of the process", async || !Path::new(&format!("/proc/{process}")).exists()).await;
}

/// Counts log-ins and restarts.
#[derive(Default)]
struct Counter {
    logins: AtomicUsize,
    restarts: AtomicUsize,
}

impl Observer for Counter {
    fn called(&self, _token: &TokenId, function: &'static str, _rv: u64, _took: Duration) {
        self.logins.fetch_add(usize::from(function == "C_Login"), Ordering::Relaxed);
    }

    fn waited(&self, _token: &TokenId, _waited: Duration) {}

    fn restarted(&self, _token: &TokenId, _after: &'static str) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Remembered(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory for Remembered {
    fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn remember(&self, name: &str, fact: &[u8]) -> Result<(), StoreError> {
        self.0.lock().unwrap().insert(name.to_owned(), fact.to_vec());
        Ok(())
    }
}

/// A pool of simulated tokens of these names, each with a process of its own, by a store of its own.
fn pool(folder: &Path, names: &[&str], pin: &'static str) -> (Arc<Pool>, Arc<Counter>) {
    let module = folder.join("module.so");
    if !module.exists() {
        let _module = token::module_copy(&module);
    }
    let configs = names.iter().map(|name| {
        let store = folder.join(name);
        if !store.exists() {
            token::make(&store, name, "right pin");
        }
        let program = Program {
            path: PROGRAM.into(),
            // What the log shows of a target of that name tells its process from the others.
            arguments: ["__module", "--log-format", "text", "--log-level", &format!("error,{name}=off")]
                .map(Into::into)
                .to_vec(),
            environment: BTreeMap::from([("HSM_SIM_STORE".to_owned(), store.display().to_string())]),
        };
        let source = Arc::new(move || Ok(SecretValue::new(pin.as_bytes().to_vec())));
        let config = Config::new(*name, &module, *name, source);
        Config { workers: Some(2), isolation: Isolation::Process(program), ..config }
    });
    let counter = Arc::new(Counter::default());
    let (memory, observer) = (Arc::new(Remembered::default()), Arc::clone(&counter));
    let (memory, observer) = (memory as Arc<dyn Memory>, observer as Arc<dyn Observer>);
    (Arc::new(Pool::connect(configs.collect(), &memory, &observer).unwrap()), counter)
}

async fn random(pool: &Pool, token: &str) -> Result<HsmAnswer, HsmError> {
    let request = HsmRequest::Random { token: Some(TokenId(token.to_owned())), bytes: 16 };
    pool.call(request, Terms::of_gateway(PATIENCE)).await
}

/// The process of that token's module. The tests of this file run side by side.
fn process_of(token: &str) -> Option<u32> {
    let wanted = format!("error,{token}=off");
    let has = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|all| all.contains(&wanted));
    children(std::process::id()).into_iter().find(has)
}

async fn until_served(pool: &Pool, token: &str) {
    until("served", async || random(pool, token).await.is_ok()).await;
}

#[tokio::test]
async fn three_modules_are_three_processes_and_one_end_is_one_end() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["alpha", "beta", "gamma"];
    let (pool, counter) = pool(folder.path(), &names, "right pin");
    for name in names {
        until_served(&pool, name).await;
    }
    let before = names.map(|name| process_of(name).unwrap());
    kill(before[1]);
    until("a new process", async || process_of("beta").is_some_and(|pid| pid != before[1])).await;
    until_served(&pool, "beta").await;
    assert_eq!(counter.restarts.load(Ordering::Relaxed), 1);
    let generations: Vec<u64> = pool.status().iter().map(|token| token.generation).collect();
    assert_eq!(generations, [0, 1, 0]);
    assert_eq!((process_of("alpha"), process_of("gamma")), (Some(before[0]), Some(before[2])));
    pool.close();
    assert!(names.iter().all(|name| process_of(name).is_none()), "closed pools leave no process");
}

/// How many descriptors and threads this process has.
fn belongings() -> [usize; 2] {
    ["/proc/self/fd", "/proc/self/task"].map(|folder| fs::read_dir(folder).unwrap().count())
}

/// Counting needs a process in which nothing else is tested.
const ALONE: &str = "PORTCULLIS_TEST_ALONE";

#[tokio::test]
async fn restarts_leave_no_descriptor_and_no_thread_behind() {
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().unwrap();
        let arguments = ["--exact", "restarts_leave_no_descriptor_and_no_thread_behind", "--nocapture"];
        let status = Command::new(program).args(arguments).env(ALONE, "1").status().unwrap();
        assert!(status.success(), "{status}");
        return;
    }
    let rounds = if std::env::var_os("LONG").is_some() { 50 } else { 10 };
    let folder = tempfile::tempdir().unwrap();
    let (pool, counter) = pool(folder.path(), &["delta"], "right pin");
    until_served(&pool, "delta").await;
    let (mut killed, mut before) = (0, belongings());
    for round in 1..=rounds {
        if round == 3 {
            // By now everything has been opened that stays open.
            before = belongings();
        }
        until("a new process", async || process_of("delta").is_some_and(|pid| pid != killed)).await;
        // One that ends as soon as it has begun is given pauses; this one has served.
        until_served(&pool, "delta").await;
        killed = process_of("delta").unwrap();
        kill(killed);
        until("a restart", async || counter.restarts.load(Ordering::Relaxed) >= round).await;
    }
    until_served(&pool, "delta").await;
    let fits = |now: [usize; 2]| now.iter().zip(before).all(|(now, before)| *now < before + (rounds - 3));
    until("as much as before", async || fits(belongings())).await;
    println!("{rounds} restarts: {before:?} descriptors and threads before, {:?} after", belongings());
    pool.close();
    assert_eq!(process_of("delta"), None);
}

#[tokio::test]
async fn a_refused_pin_is_not_tried_again_in_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let (pool, counter) = pool(folder.path(), &["epsilon"], "wrong pin");
    until("refused", async || pool.status()[0].health == "pin_rejected").await;
    for round in 1..=5 {
        let process = process_of("epsilon").unwrap();
        kill(process);
        until("a restart", async || counter.restarts.load(Ordering::Relaxed) >= round).await;
        until("refused", async || pool.status()[0].health == "pin_rejected").await;
    }
    assert_eq!(counter.logins.load(Ordering::Relaxed), 1);
    pool.close();
}

#[tokio::test]
async fn a_log_in_that_ends_the_process_is_not_tried_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("zeta");
    token::make(&store, "zeta", "right pin");
    let rule = "[[faults.rule]]\nmatch = { function = \"C_Login\" }\naction = { abort = true }\n";
    control::install(&store, &format!("[faults]\nallow_crash = true\n{rule}")).unwrap();
    let (pool, counter) = pool(folder.path(), &["zeta"], "right pin");
    until("refused", async || pool.status()[0].health == "pin_rejected").await;
    // The token may have counted each of them.
    assert_eq!(counter.logins.load(Ordering::Relaxed), 3);
    pool.close();
}
