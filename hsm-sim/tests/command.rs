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

use cryptoki::{error::RvError, mechanism::Mechanism, object::Attribute};
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

/// A token with two keys, closed again.
fn filled() -> Hsm {
    let hsm = Hsm::new();
    let session = hsm.user();
    for label in ["first", "second"] {
        support::aes(&session, &[Attribute::Token(true), Attribute::Label(label.into()), Attribute::Encrypt(true)]);
    }
    drop(session);
    hsm.pkcs11.clone().finalize().unwrap();
    hsm
}

fn pin_file(hsm: &Hsm, pin: &str) -> String {
    let path = hsm.folder.path().join("pin");
    fs::write(&path, pin).unwrap();
    path.display().to_string()
}

fn database(hsm: &Hsm) -> std::path::PathBuf {
    let listed = json(&run(&hsm.store(), &["list", "--json"], ""));
    let tokens = listed.as_array().unwrap();
    let serial =
        tokens.iter().find(|token| token["is_initialised"] == true).unwrap()["serial"].as_str().unwrap().to_owned();
    hsm.store().join("tokens").join(serial).join("token.db")
}

#[test]
fn fsck_opens_every_object_and_tells_which_one_is_damaged() {
    let hsm = filled();
    let pin = pin_file(&hsm, support::USER_PIN);
    let report = json(&run(&hsm.store(), &["fsck", "--pin-file", &pin, "--json"], ""));
    assert_eq!((&report[0]["objects"], &report[0]["unopened"]), (&2.into(), &0.into()));
    assert_eq!(report[0]["problems"], serde_json::json!([]));
    let report = json(&run(&hsm.store(), &["fsck", "--json"], ""));
    assert_eq!(report[0]["unopened"], 2);

    let connection = rusqlite::Connection::open(database(&hsm)).unwrap();
    connection.execute("UPDATE objects SET i_label = zeroblob(16) WHERE handle = 1", []).unwrap();
    connection.execute("UPDATE objects SET body = zeroblob(80) WHERE handle = 2", []).unwrap();
    drop(connection);
    let output = run(&hsm.store(), &["fsck", "--label", "test", "--pin-file", &pin, "--json"], "");
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let handles: Vec<_> =
        report[0]["problems"].as_array().unwrap().iter().map(|problem| problem["handle"].clone()).collect();
    assert_eq!(handles, [1, 2]);

    let wrong = run(&hsm.store(), &["fsck", "--pin-file", &pin_file(&hsm, "wrong-pin"), "--json"], "");
    assert_eq!(wrong.status.code(), Some(1));
    let error: serde_json::Value = serde_json::from_slice(&wrong.stderr).unwrap();
    assert_eq!((&error["ok"], &error["error"]), (&false.into(), &"the PIN is wrong".into()));
    assert_eq!(run(&hsm.store(), &["fsck", "--label", "nobody"], "").status.code(), Some(1));
    assert_eq!(run(&hsm.store(), &["fsck", "--nonsense"], "").status.code(), Some(2));
    // Looking at a store that is not there does not make one.
    let nowhere = hsm.folder.path().join("nowhere");
    assert_eq!(run(&nowhere, &["fsck"], "").status.code(), Some(1));
    assert!(!nowhere.exists());
}

#[test]
fn a_backup_taken_under_use_is_a_store_with_the_same_objects_and_handles() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let handles: Vec<_> =
        (0..3).map(|_| support::aes(&session, &[Attribute::Token(true), Attribute::Encrypt(true)])).collect();
    session.destroy_object(handles[2]).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let to = copy.path().join("store");
    let backup = json(&run(&hsm.store(), &["backup", &to.display().to_string(), "--json"], ""));
    assert_eq!(backup["objects"], 2);
    let again = run(&hsm.store(), &["backup", &to.display().to_string()], "");
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("not empty"));
    fs::copy(hsm.folder.path().join("hsm-sim.toml"), copy.path().join("hsm-sim.toml")).unwrap();
    let pkcs11 = load(copy.path());
    let there = login(&pkcs11, hsm.slot);
    assert_eq!(there.find_objects(&[]).unwrap(), handles[..2]);
    there.encrypt(&Mechanism::AesEcb, handles[0], &[0; 16]).unwrap();
    // A handle that was used up is not given again.
    assert!(support::aes(&there, &[Attribute::Token(true)]).handle() > handles[2].handle());
    let pin = pin_file(&hsm, support::USER_PIN);
    let report = json(&run(&to, &["fsck", "--pin-file", &pin, "--json"], ""));
    assert_eq!(report[0]["problems"], serde_json::json!([]));
}

#[test]
fn wipe_destroys_a_token_that_nobody_uses_and_only_when_meant() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let serial = hsm.pkcs11.get_token_info(hsm.slot).unwrap().serial_number().to_owned();
    let wipe = |more: &[&str]| run(&hsm.store(), &[&["wipe"], more].concat(), "");
    assert_eq!(wipe(&[]).status.code(), Some(2));
    assert_eq!(wipe(&["--serial", &serial]).status.code(), Some(1));
    let busy = wipe(&["--serial", &serial, "--yes"]);
    assert!(String::from_utf8_lossy(&busy.stderr).contains("sessions open"));
    drop(session);
    hsm.pkcs11.clone().finalize().unwrap();
    let wiped = json(&wipe(&["--serial", &serial, "--yes", "--json"]));
    assert!(wiped["files"].as_u64().unwrap() >= 3);
    assert!(!hsm.store().join("tokens").join(&serial).exists());
    assert!(hsm.store().join("device.key").exists());
    assert!(wipe(&["--serial", &serial, "--yes"]).status.code() == Some(1));
    assert!(wipe(&["--all", "--yes"]).status.success());
    assert!(!hsm.store().exists());
}

#[test]
fn ctl_installs_scenarios_shows_the_plan_and_releases() {
    let hsm = Hsm::new();
    let session = hsm.public();
    let names = json(&run(&hsm.store(), &["ctl", "scenarios", "--json"], ""));
    assert_eq!(names.as_array().unwrap().len(), 12);
    assert_eq!(json(&run(&hsm.store(), &["ctl", "plan", "--json"], ""))["plan"], serde_json::Value::Null);
    assert_eq!(json(&run(&hsm.store(), &["ctl", "scenario", "reboot", "--json"], ""))["ok"], true);
    assert!(matches!(refusal(session.generate_random_vec(1)), RvError::DeviceError));
    let plan = json(&run(&hsm.store(), &["ctl", "plan", "--json"], ""));
    assert!(plan["plan"].as_str().unwrap().contains("restart"));
    assert!(run(&hsm.store(), &["ctl", "release"], "").status.success());
    hsm.public().generate_random_vec(1).unwrap();
    let unknown = run(&hsm.store(), &["ctl", "scenario", "sunshine"], "");
    assert!(!unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("brownout"));
}

#[test]
fn bench_measures_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display().to_string();
    let arguments = [
        "bench",
        "--only",
        "--seconds",
        "0.02",
        "--row",
        "random",
        "--row",
        "large",
        "--objects",
        "300",
        "--folder",
        &at,
        "--json",
    ];
    // The command looks for the module beside itself; cargo puts both there.
    let output = run(folder.path(), &arguments, "");
    let measured = json(&output);
    let rows: Vec<_> = measured["rows"].as_array().unwrap().iter().map(|row| row["row"].as_str().unwrap()).collect();
    assert_eq!(rows, ["random", "find-large", "open-large", "memory-large"]);
    for row in measured["rows"].as_array().unwrap() {
        assert!(row["value"].as_f64().unwrap() > 0.0, "{measured}");
    }
    assert!(measured["reference"]["syncs"].as_f64().unwrap() > 0.0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
