//! Token and records compared, by the gateway that runs and without one.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the answer")]

use std::{
    path::Path,
    process::{Command, Output},
};

use portcullis_testing::{Gateway, Rest, copy_folder};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

fn fsck(folder: &Path, words: &[&str]) -> Output {
    let config = folder.join("config.toml");
    let mut command = Command::new(PROGRAM);
    portcullis_testing::shape(&mut command, folder);
    command.args(["hsm", "fsck", "--config"]).arg(config).args(words).output().unwrap()
}

fn compared(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str::<Vec<Value>>(&text).unwrap_or_else(|_| panic!("{text}{error}")).remove(0)
}

async fn store(gateway: &Gateway) -> String {
    let answer = Rest::new(&gateway.rest(), "demo").store("symmetric", &[9; 32]).await.unwrap();
    answer.reference("secret_ref")
}

#[tokio::test]
async fn what_is_missing_and_what_nobody_knows_is_named_and_nothing_is_changed() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("gateway");
    let mut gateway = Gateway::start(PROGRAM, &folder);
    store(&gateway).await;
    let running = fsck(&folder, &["--json"]);
    let found = compared(&running);
    assert!(running.status.success(), "{found}");
    assert_eq!(
        (&found["recorded"], &found["missing_count"], &found["orphan_count"]),
        (&1.into(), &0.into(), &0.into())
    );

    assert!(gateway.stop().success());
    let (early_store, early_token) = (outer.path().join("store"), outer.path().join("hsm"));
    copy_folder(&folder.join("store"), &early_store);
    copy_folder(&folder.join("hsm"), &early_token);
    gateway.restart();
    let late = store(&gateway).await;
    assert!(gateway.stop().success());
    let late_store = outer.path().join("late");
    copy_folder(&folder.join("store"), &late_store);

    // The store of before: the token holds a name that no record knows.
    copy_folder(&early_store, &folder.join("store"));
    let config = folder.join("config.toml");
    let accepted = Command::new(PROGRAM).args(["store", "accept-older", "--config"]).arg(&config).output().unwrap();
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    for words in [&["--json"][..], &["--json"]] {
        let found = compared(&fsck(&folder, words));
        assert_eq!((&found["missing_count"], &found["orphan_count"]), (&0.into(), &1.into()), "{found}");
        assert_eq!(found["orphans"][0], late.as_str(), "{found}");
    }
    let said = fsck(&folder, &[]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(!said.status.success() && text.contains("names without a record") && text.contains(&late), "{text}");

    // The token of before: a record's value is missing.
    copy_folder(&late_store, &folder.join("store"));
    copy_folder(&early_token, &folder.join("hsm"));
    gateway.restart();
    for _ in 0..2 {
        let found = compared(&fsck(&folder, &["--json"]));
        assert_eq!((&found["missing_count"], &found["orphan_count"]), (&1.into(), &0.into()), "{found}");
        assert_eq!(found["missing"][0], late.as_str(), "{found}");
    }
}
