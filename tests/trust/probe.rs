//! `hsm probe`.

use std::fs;

use portcullis::hsm::probe::Profile;
use portcullis_testing::Gateway;
use serde_json::Value;

use super::tokens::{ALL, Kind, World};

fn report(world: &World, more: &[&str]) -> Value {
    let arguments: Vec<_> = ["probe", "--json"].into_iter().chain(more.iter().copied()).collect();
    let mut reports: Value = serde_json::from_str(&world.prints(&arguments)).unwrap();
    assert_eq!(reports.as_array().unwrap().len(), 1);
    reports[0].take()
}

/// How a trial ended.
fn outcome<'a>(report: &'a Value, name: &str) -> &'a str {
    let found = report["findings"].as_array().unwrap().iter().find(|finding| finding["name"] == name);
    found.map_or("not there", |finding| finding["outcome"].as_str().unwrap())
}

fn by<'a>(report: &'a Value, ability: &str) -> Option<&'a str> {
    let rows = report["abilities"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == ability).unwrap()["by"].as_str()
}

const GCM: &str = "AES-GCM with the caller's IV of 12 bytes";
const CLEAR: &str = "secret keys in clear (C_CreateObject), AES-256 known answer";

#[test]
fn every_token_is_tried_out_and_nothing_on_it_changes() {
    for kind in ALL {
        let Some(world) = World::new(*kind) else { continue };
        let before = world.objects();
        let profile = world.path("profile.toml");
        let report = report(&world, &["main", "--write", profile.to_str().unwrap()]);
        assert_eq!(world.objects(), before, "{kind:?}");
        assert_eq!(outcome(&report, "sensitive keys keep their value"), "yes", "{kind:?}");
        assert_eq!(outcome(&report, "keys that are not extractable are not wrapped"), "yes", "{kind:?}");
        assert_eq!(outcome(&report, "RSA-PSS, SHA-256, salt of 32 bytes"), "yes", "{kind:?}: {report}");
        assert_eq!(by(&report, "AES key"), Some("CKM_AES_KEY_GEN"), "{kind:?}");
        assert!(
            report["round_trips"].as_array().unwrap().iter().all(|trip| trip["p50"].as_u64() <= trip["p99"].as_u64()),
            "{kind:?}"
        );
        let expected = match kind {
            Kind::Model("luna7-fips") => [("no", GCM), ("no", CLEAR)],
            Kind::Model("cloudhsm") => [("no", GCM), ("yes", CLEAR)],
            _ => [("yes", GCM), ("yes", CLEAR)],
        };
        for (wanted, name) in expected {
            assert_eq!(outcome(&report, name), wanted, "{kind:?}: {name}");
        }
        let text = fs::read_to_string(&profile).unwrap();
        let written = Profile::parse(&text).unwrap();
        assert_eq!(written.facts.clear_import, Some(expected[1].0 == "yes"), "{kind:?}");
        assert_eq!(written.facts.kwp.unwrap().fills, *kind == Kind::SoftHsm, "{kind:?}");
    }
}

#[test]
fn a_profile_is_believed_for_its_own_make_only() {
    let world = World::new(Kind::Model("default")).unwrap();
    let profile = world.path("profile.toml");
    report(&world, &["--write", profile.to_str().unwrap()]);
    world.reconfigure("profile = \"profile.toml\"");
    let believed = |report: &Value| {
        report["quirks"].as_array().unwrap().iter().any(|row| row[0] == "profile" && row[1] == "believed")
    };
    assert!(believed(&report(&world, &[])));

    let text = fs::read_to_string(&profile).unwrap();
    fs::write(&profile, text.replace("model = \"default\"", "model = \"another\"")).unwrap();
    let output = world.hsm(&["probe", "--json"]);
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!believed(&reports[0]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another make"), "it says so");

    fs::write(&profile, text.replace("short_gcm", "long_gcm")).unwrap();
    assert!(world.refuses(&["probe"]).contains("PC-HSM-PROFILE"));
}

#[test]
fn what_a_profile_calls_unusable_is_composed() {
    let world = World::new(Kind::Model("default")).unwrap();
    let profile = world.path("profile.toml");
    let measured = report(&world, &["--write", profile.to_str().unwrap()]);
    assert_eq!(by(&measured, "AES CTR"), Some("CKM_AES_CTR"));
    let (group, name) = ("\n[facts]\n", "\n[facts]\nunusable = [\"CKM_AES_CTR\"]\n");
    fs::write(&profile, fs::read_to_string(&profile).unwrap().replace(group, name)).unwrap();
    world.reconfigure("profile = \"profile.toml\"");
    // It measures anew all the same: a profile never hides what a token can do.
    assert_eq!(by(&report(&world, &[]), "AES CTR"), Some("CKM_AES_CTR"));
}

#[test]
fn a_refused_pin_is_tried_once() {
    for kind in [Kind::Model("default"), Kind::SoftHsm] {
        let Some(world) = World::new(kind) else { continue };
        fs::write(world.path("pin"), "wrong-pin").unwrap();
        let said = world.refuses(&["probe"]);
        assert!(said.contains("PC-HSM-PIN") && said.contains("the PIN was refused"), "{said}");
        let said = world.refuses(&["probe"]);
        assert!(said.contains("refused before and is not tried again"), "{said}");
        fs::write(world.path("pin"), world.pin()).unwrap();
        report(&world, &[]);
    }
}

#[test]
fn a_name_that_is_not_configured_is_refused() {
    let world = World::new(Kind::Model("default")).unwrap();
    let said = world.refuses(&["probe", "other"]);
    assert!(said.contains("PC-HSM-NAME") && said.contains("main"), "{said}");
}

#[test]
fn the_gateway_that_runs_measures_between_its_other_work() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("gateway");
    let gateway = Gateway::start(env!("CARGO_BIN_EXE_portcullis"), &dir);
    let config = dir.join("config.toml");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["hsm", "probe", "--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("by the gateway that runs") && said.contains("CKM_AES_GCM"), "{said}");
    drop(gateway);
}
