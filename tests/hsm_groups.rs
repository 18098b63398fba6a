//! A replicated group of two tokens behind the built program: clients of both protocols while one of them fails in every
//! way, while it is away, and after it has come back.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the answer")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use hsm_sim::fault::control;
use portcullis_testing::{Gateway, Kmip, PATIENCE, Rest, aes, create, material, pin, token};
use reqwest::Method;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

/// A gateway with the group `pair` of the tokens `one` and `two`, each in a module of its own.
struct World {
    gateway: Gateway,
    rest: Rest,
    folder: PathBuf,
}

impl World {
    fn start(folder: &Path, group: &str) -> Self {
        Self::of(folder, &format!("[groups.pair]\ntokens = [\"one\", \"two\"]\nreplicas = 2\n{group}"))
    }

    /// With these groups.
    fn of(folder: &Path, groups: &str) -> Self {
        // The first start writes a configuration; what it made besides begins anew with the group.
        let dir = folder.join("gateway");
        let mut gateway = Gateway::start(PROGRAM, &dir);
        assert!(gateway.stop().success());
        for made in ["store", "audit"] {
            fs::remove_dir_all(dir.join(made)).unwrap();
        }
        let mut sections = String::new();
        fs::write(folder.join("pin"), pin()).unwrap();
        for name in ["one", "two"] {
            let store = folder.join(name);
            token::make(&store, name, pin());
            let module = token::module_copy(&folder.join(format!("{name}.so")));
            sections += &format!(
                "[hsm.{name}]\nmodule = {module:?}\nreserved = \"hsm-sim:store={}\"\ntoken_label = \"{name}\"\n\
                 pin_file = {:?}\nprobe_seconds = 1\n",
                store.display(),
                folder.join("pin"),
            );
        }
        sections += groups;
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

    fn plan(&self, token: &str, plan: &str) {
        control::install(&self.folder.join(token), plan).unwrap();
    }

    /// Every call of `functions` does this.
    fn fail(&self, token: &str, functions: &str, action: &str) {
        let rule = format!("[[faults.rule]]\nmatch = {{ function = {functions} }}\naction = {{ {action} }}\n");
        self.plan(token, &format!("[faults]\n{rule}"));
    }

    fn mend(&self, token: &str) {
        control::clear(&self.folder.join(token)).unwrap();
    }

    fn order(&self, words: &[&str]) -> (bool, String) {
        let config = self.gateway.folder().join("config.toml");
        let output = Command::new(PROGRAM).args(words).arg("--config").arg(config).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    fn token(&self, name: &str) -> Value {
        let (_, text) = self.order(&["hsm", "status", "--json"]);
        let lines: Vec<Value> = serde_json::from_str(text.split("\n{").next().unwrap()).unwrap();
        lines.into_iter().find(|line| line["token"] == name).unwrap()
    }

    /// Waits until a token is in this state and owes as much.
    async fn until(&self, name: &str, health: &str, owed: u64) {
        let began = Instant::now();
        loop {
            let token = self.token(name);
            let is = |key: &str, value: &Value| token.get(key) == Some(value);
            if is("health", &health.into()) && is("owed", &owed.into()) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{token}: {}", self.gateway.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the canary of a token was heard to sing wrongly.
    async fn is_fenced(&self, name: &str) {
        let began = Instant::now();
        while self.token(name).get("health") != Some(&"fenced".into()) {
            assert!(began.elapsed() < PATIENCE, "{}", self.gateway.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn both_serve(&self) {
        self.until("one", "ready", 0).await;
        self.until("two", "ready", 0).await;
    }

    async fn store(&self, value: &[u8]) -> String {
        let answer = self.rest.store("symmetric", value).await.unwrap();
        assert_eq!(answer.status, 201, "{}: {}", answer.text(), self.gateway.log());
        answer.reference("secret_ref")
    }

    async fn reads(&self, id: &str, value: &[u8]) {
        let answer = self.rest.payload(id).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, value), "{}", self.gateway.log());
    }

    /// One of everything, and nobody sees anything.
    async fn work(&self, round: u8) {
        let value = [round; 32];
        let id = self.store(&value).await;
        self.reads(&id, &value).await;
        let mut kmip = Kmip::connect(&self.gateway).await.unwrap();
        assert_eq!(material(kmip.get(&id).await.unwrap()), value, "{}", self.gateway.log());
        let key = kmip.make(create(aes())).await.unwrap();
        self.reads(&key, &material(kmip.get(&key).await.unwrap())).await;
        let order = json!({"type": "asymmetric", "meta": {"algorithm": "rsa", "bit_length": 2048}});
        let answer = self.rest.json(Method::POST, "/v1/orders", &order).await.unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert_eq!(self.rest.delete(&key).await.unwrap().status, 204, "{}", self.gateway.log());
    }

    /// What stands on a token under labels of ours, but for its own note of the store.
    fn objects(&self, token: &str) -> BTreeMap<String, Vec<String>> {
        let mut objects = token::objects_in(&self.folder.join(token), pin());
        objects.retain(|label, _| label.starts_with("portcullis") && !label.starts_with("portcullis-system:head-"));
        objects.values_mut().for_each(|classes| classes.sort());
        objects
    }

    fn equal(&self) -> usize {
        let (one, two) = (self.objects("one"), self.objects("two"));
        assert_eq!(one, two, "{}", self.gateway.log());
        one.len()
    }
}

#[tokio::test]
async fn every_object_is_on_every_token_and_one_that_was_away_catches_up() {
    if portcullis_testing::is_foreign("faults to order") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start(folder.path(), "");
    world.both_serve().await;
    world.work(1).await;
    let kept = world.store(&[2; 32]).await;
    let doomed = world.store(&[3; 32]).await;
    let big = vec![4; 9_000];
    let opaque = world.rest.store("opaque", &big).await.unwrap().reference("secret_ref");
    world.both_serve().await;
    let before = world.equal();
    assert!(before >= 9, "{before}");

    // Away: others are made, one is destroyed, all can be used.
    world.fail("one", "\"C_*\"", "return = \"CKR_DEVICE_REMOVED\"");
    world.reads(&kept, &[2; 32]).await;
    world.work(5).await;
    let made_meanwhile = world.store(&[6; 32]).await;
    assert_eq!(world.rest.delete(&doomed).await.unwrap().status, 204);
    assert!(world.token("one")["owed"].as_u64().unwrap() >= 2, "{}", world.token("one"));
    let ready = Rest::new(&world.gateway.ops(), "demo").bare(Method::GET, "/readyz", "*/*").await.unwrap();
    assert_eq!(ready.status, 200, "{}", ready.text());

    // What is owed outlives the process, and the other token serves alone after a start.
    world.restart();
    world.reads(&kept, &[2; 32]).await;
    world.mend("one");
    world.both_serve().await;
    world.equal();

    // It serves alone in its turn.
    world.fail("two", "\"C_*\"", "return = \"CKR_DEVICE_REMOVED\"");
    for (id, value) in [(&kept, vec![2; 32]), (&made_meanwhile, vec![6; 32]), (&opaque, big)] {
        world.reads(id, &value).await;
    }
    assert_eq!(world.rest.payload(&doomed).await.unwrap().status, 404);
    world.mend("two");
    world.both_serve().await;
    world.equal();
}

#[tokio::test]
async fn nobody_sees_how_a_token_fails() {
    if portcullis_testing::is_foreign("faults to order") {
        return;
    }
    /// Functions and what they do.
    const WAYS: &[(&str, &str)] = &[
        ("\"C_*\"", "return = \"CKR_DEVICE_ERROR\""),
        ("\"C_*\"", "return = \"CKR_GENERAL_ERROR\""),
        ("\"C_*\"", "return = \"CKR_TOKEN_NOT_PRESENT\""),
        ("\"C_*\"", "return = \"CKR_CRYPTOKI_NOT_INITIALIZED\""),
        ("\"C_*\"", "return = \"CKR_FUNCTION_FAILED\", phase = \"after\""),
        ("[\"C_Generate*\", \"C_WrapKey\", \"C_CreateObject\"]", "hang = \"20s\""),
        ("\"C_FindObjects\"", "drop_sessions = \"slot\""),
        ("\"C_WrapKey\"", "logout = true"),
        ("\"C_FindObjectsInit\"", "remove_token = \"2s\""),
        ("\"C_WrapKey\"", "restart = \"2s\""),
        ("[\"C_Generate*\", \"C_CreateObject\", \"C_UnwrapKey\"]", "return = \"CKR_HOST_MEMORY\""),
        ("[\"C_WrapKey\", \"C_UnwrapKey\"]", "delay = \"3s\""),
        ("\"C_Sign*\"", "corrupt = \"output-bit\""),
        ("\"C_Encrypt\"", "corrupt = \"output-bit\""),
    ];
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), "");
    world.both_serve().await;
    let long = std::env::var_os("LONG").is_some();
    for (round, (functions, action)) in WAYS.iter().enumerate() {
        let token = if round.is_multiple_of(2) { "one" } else { "two" };
        println!("{token}: {functions} {action}");
        world.fail(token, functions, action);
        for _ in 0..if long { 20 } else { 2 } {
            world.work(u8::try_from(round).unwrap()).await;
        }
        if action.starts_with("corrupt") {
            world.is_fenced(token).await;
            world.work(99).await;
        }
        control::release(&world.folder.join(token)).unwrap();
        world.mend(token);
        if action.starts_with("corrupt") {
            let (done, said) = world.order(&["hsm", "join", token]);
            assert!(done, "{said}");
        }
        world.both_serve().await;
    }
    world.equal();
}

#[tokio::test]
async fn an_operator_takes_a_token_out_and_lets_it_in_again() {
    if portcullis_testing::is_foreign("faults to order") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start(folder.path(), "");
    world.both_serve().await;
    let (done, said) = world.order(&["hsm", "drain", "one"]);
    assert!(done && said.contains("hsm.one is drained"), "{said}");
    world.work(1).await;
    let (done, said) = world.order(&["hsm", "drain", "two"]);
    assert!(!done && said.contains("PC-HSM-GROUP") && said.contains("too few"), "{said}");
    let (done, said) = world.order(&["hsm", "drain", "zzz"]);
    assert!(!done && said.contains("is no token of a replicated group"), "{said}");
    // Drained is drained, whatever happens to the process.
    world.restart();
    assert_eq!(world.token("one")["health"], "drained");
    let id = world.store(&[7; 32]).await;
    let (done, said) = world.order(&["hsm", "join", "one"]);
    assert!(done && said.contains("hsm.one serves"), "{said}");
    world.both_serve().await;
    world.equal();

    // An object that went missing on one token is copied again, when it is used or when an operator asks.
    let (done, said) = world.order(&["hsm", "resync", "one"]);
    assert!(done && said.contains("lacked 0 objects"), "{said}");
    world.reads(&id, &[7; 32]).await;
}

#[tokio::test]
async fn both_copies_may_be_demanded() {
    if portcullis_testing::is_foreign("faults to order") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), "min_replicas = 2\n");
    world.both_serve().await;
    let id = world.store(&[1; 32]).await;
    world.fail("two", "\"C_*\"", "return = \"CKR_DEVICE_REMOVED\"");
    world.reads(&id, &[1; 32]).await;
    let refused = world.rest.store("symmetric", &[2; 32]).await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    world.reads(&id, &[1; 32]).await;
    world.mend("two");
    world.both_serve().await;
    world.store(&[3; 32]).await;
    world.equal();
}

/// The request that finds a token of an unreplicated group full goes on at the other one; a crash on the way leaves nothing.
#[tokio::test]
async fn what_a_full_token_does_not_take_goes_to_the_other_one() {
    if portcullis_testing::is_foreign("faults to order") {
        return;
    }
    const MAKES: &str = "[\"C_Generate*\", \"C_CreateObject\", \"C_UnwrapKey\"]";
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::of(folder.path(), "[groups.both]\ntokens = [\"one\", \"two\"]\n");
    let held = |world: &World, token: &str| {
        let mut labels: Vec<String> = world.objects(token).into_keys().collect();
        labels.retain(|label| label.starts_with("portcullis:"));
        labels
    };
    // The gateway's own keys are there by now, and each way of making something finds the first token full anew.
    let full = |world: &World| world.fail("one", MAKES, "return = \"CKR_DEVICE_MEMORY\"");
    full(&world);
    let id = world.store(&[1; 32]).await;
    world.reads(&id, &[1; 32]).await;
    assert_eq!((held(&world, "one"), held(&world, "two").len()), (Vec::new(), 1));

    // After a start nobody knows that it is full.
    for round in 2..5 {
        world.mend("one");
        world.restart();
        full(&world);
        match round {
            2 => {
                let mut kmip = Kmip::connect(&world.gateway).await.unwrap();
                let key = kmip.make(create(aes())).await.unwrap();
                world.reads(&key, &material(kmip.get(&key).await.unwrap())).await;
            }
            3 => {
                let order = json!({"type": "asymmetric", "meta": {"algorithm": "rsa", "bit_length": 2048}});
                let answer = world.rest.json(Method::POST, "/v1/orders", &order).await.unwrap();
                assert_eq!(answer.status, 202, "{}", answer.text());
                let began = Instant::now();
                while held(&world, "two").len() < 4 {
                    assert!(began.elapsed() < PATIENCE, "{}", world.gateway.log());
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            _ => {
                let opaque = world.rest.store("opaque", &vec![4; 9_000]).await.unwrap();
                assert_eq!(opaque.status, 201, "{}", opaque.text());
                world.reads(&opaque.reference("secret_ref"), &vec![4; 9_000]).await;
            }
        }
        assert_eq!(held(&world, "one"), Vec::<String>::new());
    }
    let before = held(&world, "two");

    // Both are full: 507, and nothing is left.
    world.fail("two", MAKES, "return = \"CKR_DEVICE_MEMORY\"");
    let answer = world.rest.store("symmetric", &[5; 32]).await.unwrap();
    assert_eq!(answer.status, 507, "{}", answer.text());
    assert_eq!((held(&world, "one"), held(&world, "two")), (Vec::new(), before.clone()));

    // Killed while it is made at the second place, or just after: whatever is there then has a record.
    world.mend("one");
    world.mend("two");
    world.restart();
    full(&world);
    let cut_off = Rest::new(&world.gateway.rest(), "demo");
    let request = tokio::spawn(async move { cut_off.store("symmetric", &[6; 32]).await.is_ok() });
    let began = Instant::now();
    while held(&world, "two").len() == before.len() {
        assert!(began.elapsed() < PATIENCE, "{}", world.gateway.log());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.gateway.kill();
    request.abort();
    world.mend("one");
    world.restart();
    world.reads(&id, &[1; 32]).await;
    assert_eq!(held(&world, "one"), Vec::<String>::new());
    let (agree, said) = world.order(&["hsm", "fsck"]);
    assert!(agree, "{said}");
}
