//! The `hsm-sim` command: makes tokens that the module opens, and controls faults of a running module.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use cryptoki::error::RvError;
use support::{Hsm, load, login, refusal};

fn run(store: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hsm-sim"))
        .env("HSM_SIM_STORE", store)
        .env_remove("HSM_SIM_CONFIG")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_token_made_by_the_command_opens_with_its_pin() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("so"), format!("{}\n", support::SO_PIN)).unwrap();
    fs::write(at("pin"), format!("{}\n", support::USER_PIN)).unwrap();
    fs::write(at("hsm-sim.toml"), "kdf_cost = \"test\"\n").unwrap();
    let text = |name: &str| at(name).display().to_string();
    let (options, so, pin) = (text("hsm-sim.toml"), text("so"), text("pin"));
    let init = ["init", "--label", "mine", "--so-pin-file", &so, "--pin-file", &pin, "--config", &options, "--json"];
    let made = json(&run(&at("store"), &init, ""));
    assert_eq!((&made[0]["label"], &made[0]["has_user_pin"]), (&"mine".into(), &true.into()));
    let listed = json(&run(&at("store"), &["list", "--json"], ""));
    assert_eq!(listed, made);
    let pkcs11 = load(folder.path());
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    assert_eq!(made[0]["slot"], slot.id());
    login(&pkcs11, slot);
}

#[test]
fn a_bad_init_leaves_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let pin = folder.path().join("pin");
    fs::write(&pin, "12").unwrap();
    let pin = pin.display().to_string();
    let store = folder.path().join("store");
    let output = run(&store, &["init", "--label", "mine", "--so-pin-file", &pin, "--pin-file", &pin], "");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("PIN"));
    assert_eq!(json(&run(&store, &["list", "--json"], "")), serde_json::json!([]));
}

#[test]
fn ctl_sets_clears_and_counts() {
    let hsm = Hsm::new();
    let session = hsm.public();
    let plan =
        "[[faults.rule]]\nmatch = { function = \"C_GenerateRandom\" }\naction = { return = \"CKR_DEVICE_ERROR\" }";
    assert!(run(&hsm.store(), &["ctl", "set", "-"], plan).status.success());
    assert!(matches!(refusal(session.generate_random_vec(8)), RvError::DeviceError));
    let stats = json(&run(&hsm.store(), &["ctl", "stats", "--json"], ""));
    assert_eq!(stats["injected"]["C_GenerateRandom"], 1);
    assert!(run(&hsm.store(), &["ctl", "clear"], "").status.success());
    session.generate_random_vec(8).unwrap();
    let refused = run(&hsm.store(), &["ctl", "set", "-"], "[faults]\nsede = 1");
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("sede"));
}
