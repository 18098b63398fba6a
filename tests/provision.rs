//! `portcullis hsm provision` with the built program: tokens that nobody has used, of the simulator and of SoftHSM2, alone and in a
//! replicated group.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in tests a panic is the answer")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use portcullis_testing::{Gateway, create, material, token};
use serde_json::{Value, json};

const PIN: &str = "123456";
const SO_PIN: &str = "an officer's";
const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");
const SOFTHSM2: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A configuration that names tokens that are not initialised yet.
struct World {
    gateway: Gateway,
    folder: PathBuf,
}

fn simulated(folder: &Path, name: &str) -> String {
    let module = token::module_copy(&folder.join(format!("{name}.so")));
    let store = folder.join(name);
    fs::create_dir_all(&store).unwrap();
    format!(
        "[hsm.{name}]\nmodule = {module:?}\nreserved = \"hsm-sim:store={}\"\ntoken_label = \"{name}\"\npin_file = {:?}\n\
         probe_seconds = 1\n",
        store.display(),
        folder.join("pin"),
    )
}

/// Tokens of one module.
fn softhsm2(folder: &Path, name: &str) -> String {
    let (conf, tokens) = (folder.join("softhsm2.conf"), folder.join("tokens"));
    fs::create_dir_all(&tokens).unwrap();
    fs::write(&conf, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display())).unwrap();
    format!(
        "[hsm.{name}]\nmodule = \"{SOFTHSM2}\"\ntoken_label = \"{name}\"\npin_file = {:?}\n\
         env = {{ SOFTHSM2_CONF = {conf:?} }}\nprobe_seconds = 1\n",
        folder.join("pin"),
    )
}

fn has_softhsm2() -> bool {
    let is_there = Path::new(SOFTHSM2).exists();
    if !is_there {
        println!("skipped, because softhsm2 is not installed");
    }
    is_there
}

impl World {
    fn new(folder: &Path, sections: &str) -> Self {
        fs::write(folder.join("pin"), PIN).unwrap();
        fs::write(folder.join("so-pin"), format!("{SO_PIN}\n")).unwrap();
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
        Self { gateway, folder: folder.to_owned() }
    }

    fn command(&self, words: &[&str]) -> (bool, String, String) {
        let config = self.gateway.folder().join("config.toml");
        let mut command = Command::new(PROGRAM);
        command.args(["hsm", "provision", "--config"]).arg(config).args(words).stdin(Stdio::null());
        let output = command.env("OFFICER", SO_PIN).env("NOT_THE_OFFICER", "somebody else's").output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    /// The outcomes of a token's steps.
    fn provision(&self, token: &str, words: &[&str]) -> [String; 4] {
        let file = self.folder.join("so-pin");
        let all = [&[token, "--json", "--so-pin-file", file.to_str().unwrap()][..], words].concat();
        let (done, said, log) = self.command(&all);
        assert!(done, "{said}{log}");
        println!("{said}");
        for secret in [PIN, SO_PIN] {
            assert!(!said.contains(secret) && !log.contains(secret));
        }
        let told: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(told["token"], json!(token));
        let steps = told["steps"].as_array().unwrap();
        ["initialise", "user PIN", "own keys, transport key and canary", "trusted wrapping key"].map(|name| {
            let step =
                steps.iter().find(|step| step["step"] == json!(name)).unwrap_or_else(|| panic!("{name}: {said}"));
            step["outcome"].as_str().unwrap().to_owned()
        })
    }
}

/// A token of its own: initialised once, used, and left as it is by the second run.
async fn one_token(section: impl Fn(&Path, &str) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), &section(folder.path(), "one"));
    let file = folder.path().join("so-pin");
    let file = file.to_str().unwrap();
    let (done, _, said) = world.command(&["one", "--so-pin-file", file]);
    assert!(!done && said.contains("PC-HSM-PROVISION") && said.contains("--init"), "{said}");

    assert_eq!(world.provision("one", &["--init"]), ["done", "done", "done", "skipped"]);
    assert_eq!(world.provision("one", &["--init"]), ["already", "already", "already", "skipped"]);
    world.gateway.restart();
    let mut kmip = portcullis_testing::Kmip::connect(&world.gateway).await.unwrap();
    let id = kmip.make(create(portcullis_testing::aes())).await.unwrap();
    let value = material(kmip.get(&id).await.unwrap());
    assert_eq!(world.provision("one", &[]), ["already", "already", "already", "skipped"], "while the gateway runs");
    drop(kmip);
    assert!(world.gateway.stop().success());
    assert_eq!(world.provision("one", &["--init"]), ["already", "already", "already", "skipped"]);
    world.gateway.restart();
    let mut kmip = portcullis_testing::Kmip::connect(&world.gateway).await.unwrap();
    assert_eq!(material(kmip.get(&id).await.unwrap()), value, "nothing was initialised again");
}

/// Two tokens whose officer makes the group's wrapping key; what comes of trusting the second one's, at first and later.
async fn a_group(section: impl Fn(&Path, &str) -> String, others: [&str; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let sections = ["left", "right"].map(|name| section(folder.path(), name)).concat();
    let group = "[groups.pair]\ntokens = [\"left\", \"right\"]\nreplicas = 2\n";
    let mut world = World::new(folder.path(), &[&sections, group].concat());

    let first = world.provision("left", &["--init", "--trusted-group-key"]);
    assert_eq!(first, ["done", "done", "skipped", "done"], "the other one is not there yet");
    let second = world.provision("right", &["--init", "--trusted-group-key"]);
    assert_eq!(second, ["done", "done", "done", others[0]]);
    for (token, key) in [("left", "already"), ("right", others[1])] {
        let again = world.provision(token, &["--init", "--trusted-group-key"]);
        assert_eq!(again, ["already", "already", "already", key], "{token}");
    }

    // An officer's PIN that is wrong is tried once, and said. From then on none is tried without the operator's word.
    for why in ["the SO PIN was refused", "an SO PIN was refused since", "an SO PIN was refused since"] {
        let (done, told, said) = world.command(&["left", "--so-pin-env", "NOT_THE_OFFICER"]);
        assert!(!done && said.contains(why), "{said}");
        assert!(!said.contains("somebody else's") && told.is_empty(), "{told}");
    }
    let (done, _, said) = world.command(&["left", "--so-pin-env", "OFFICER"]);
    assert!(!done && said.contains("--retry-refused-pin"), "{said}");
    let (done, said, log) = world.command(&["left", "--so-pin-env", "OFFICER", "--retry-refused-pin"]);
    assert!(done && said.contains("| trusted wrapping key") && said.contains("done before"), "{said}{log}");

    world.gateway.restart();
    let mut kmip = portcullis_testing::Kmip::connect(&world.gateway).await.unwrap();
    let id = kmip.make(create(portcullis_testing::aes())).await.unwrap();
    assert_eq!(material(kmip.get(&id).await.unwrap()).len(), 32);
}

/// A later step that fails does not hide what was changed before it.
#[test]
fn what_was_changed_is_told_when_a_later_step_fails() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path(), &simulated(folder.path(), "one"));
    fs::remove_file(folder.path().join("pin")).unwrap();
    let file = folder.path().join("so-pin");
    let words = ["one", "--init", "--json", "--so-pin-file", file.to_str().unwrap()];
    let (done, told, said) = world.command(&words);
    assert!(!done && said.contains("the user PIN cannot be read"), "{said}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["steps"][0]["outcome"], &told["steps"][1]), (&json!("done"), &Value::Null), "{told}");

    // It goes on from there.
    fs::write(folder.path().join("pin"), PIN).unwrap();
    assert_eq!(world.provision("one", &["--init"]), ["already", "done", "done", "skipped"]);
}

/// A token whose module has a process of its own: the officer works on the same token, found by the same environment.
#[test]
fn a_token_in_a_process_of_its_own_is_prepared() {
    if !has_softhsm2() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let section = softhsm2(folder.path(), "one") + "isolation = \"process\"\n";
    let world = World::new(folder.path(), &section);
    assert_eq!(world.provision("one", &["--init"]), ["done", "done", "done", "skipped"]);
    assert_eq!(world.provision("one", &["--init"]), ["already", "already", "already", "skipped"]);
}

#[tokio::test]
async fn a_simulated_token_is_prepared() {
    one_token(simulated).await;
}

#[tokio::test]
async fn a_token_of_softhsm2_is_prepared() {
    if has_softhsm2() {
        one_token(softhsm2).await;
    }
}

#[tokio::test]
async fn the_wrapping_key_of_simulated_tokens_is_trusted() {
    a_group(simulated, ["done", "already"]).await;
}

#[tokio::test]
async fn the_wrapping_key_of_softhsm2s_tokens_is_trusted() {
    if has_softhsm2() {
        // There a key is trusted when it is made, or never.
        a_group(softhsm2, ["refused", "refused"]).await;
    }
}

/// A key that the gateway made is the user's, and the officer does not see it: that is said, and nothing fails.
#[tokio::test]
async fn a_private_wrapping_key_is_not_trusted_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let sections = ["left", "right"].map(|name| simulated(folder.path(), name)).concat();
    let group = "[groups.pair]\ntokens = [\"left\", \"right\"]\nreplicas = 2\n";
    let world = World::new(folder.path(), &[&sections, group].concat());
    assert_eq!(world.provision("left", &["--init"]), ["done", "done", "skipped", "refused"]);
    assert_eq!(world.provision("right", &["--init"]), ["done", "done", "done", "refused"]);
    assert_eq!(world.provision("left", &["--trusted-group-key"]), ["already", "already", "already", "refused"]);
}

#[test]
fn an_officers_pin_is_no_argument() {
    for words in [&["--so-pin", "12345678"][..], &[]] {
        let output =
            Command::new(PROGRAM).args(["hsm", "provision", "--config", "nowhere"]).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
