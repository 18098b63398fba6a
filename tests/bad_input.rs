//! What operators and strangers do wrong, with the built program: each is told what happened and what to do, costs nobody
//! else anything, and leaves everything as it was. Malformed messages are the subject of the protocols' own suites.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the answer")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use kmip_codec::payload::{CreateRequest, Request};
use kmip_codec::spec::enums::ObjectType;
use portcullis_testing::{Gateway, Kmip, PATIENCE, Rest, aes, refused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

fn create() -> Request {
    let object_type = ObjectType::SYMMETRIC_KEY;
    Request::Create(Box::new(CreateRequest { object_type, attributes: aes(), protection_storage_masks: None }))
}

/// Waits until `/metrics` has that line.
async fn metric(gateway: &Gateway, line: &str) {
    let ops = Rest::new(&gateway.ops(), "demo");
    let began = Instant::now();
    loop {
        let shown = ops.bare(reqwest::Method::GET, "/metrics", "*/*").await.unwrap().text();
        if shown.lines().any(|have| have == line) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "no `{line}` in {shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// ----------------------------------------------------------------------------------------------------------- strangers

#[tokio::test]
async fn a_slow_sender_is_cut_off_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("PORTCULLIS_KMIP__MESSAGE_SECONDS", "1")];
    let gateway = Gateway::start_with(PROGRAM, &folder.path().join("gateway"), &settings);
    let mut slow = Kmip::connect(&gateway).await.unwrap();
    let mut other = Kmip::connect(&gateway).await.unwrap();

    // A header that promises 256 bytes, and then a byte every 100 ms.
    slow.stream().write_all(&[0x42, 0x00, 0x78, 0x01, 0, 0, 1, 0]).await.unwrap();
    let began = Instant::now();
    let mut sent = 0_u32;
    let cut_off = loop {
        other.make(create()).await.unwrap();
        let mut byte = [0];
        match tokio::time::timeout(Duration::from_millis(100), slow.stream().read(&mut byte)).await {
            Ok(Ok(0) | Err(_)) => break began.elapsed(),
            Ok(Ok(_)) => panic!("half a message is answered"),
            Err(_still_open) => {}
        }
        if slow.stream().write_all(&[0x42]).await.is_err() {
            break began.elapsed();
        }
        sent += 1;
        assert!(sent < 256, "the whole message was awaited");
    };
    assert!(cut_off >= Duration::from_millis(900), "it had its second: {cut_off:?}");
    assert!(cut_off < PATIENCE, "{cut_off:?}");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("PORTCULLIS_KMIP__CONNECTIONS_MAX", "2")];
    let gateway = Gateway::start_with(PROGRAM, &folder.path().join("gateway"), &settings);
    let mut first = Kmip::connect(&gateway).await.unwrap();
    let second = Kmip::connect(&gateway).await.unwrap();

    assert!(Kmip::connect(&gateway).await.is_err(), "a third connection is taken");

    metric(&gateway, "portcullis_connections_refused_total{listener=\"kmip\"} 1").await;
    first.make(create()).await.unwrap();
    // The other protocol has its own limit.
    assert_eq!(Rest::new(&gateway.rest(), "demo").store("opaque", b"value").await.unwrap().status, 201);
    drop(second);
    let began = Instant::now();
    let mut third = loop {
        match Kmip::connect(&gateway).await {
            Ok(client) => break client,
            Err(error) => assert!(began.elapsed() < PATIENCE, "the place is not free again: {error}"),
        }
    };
    third.make(create()).await.unwrap();
}

// ----------------------------------------------------------------------------------------------------------- operators

fn tries_left(folder: &Path) -> u32 {
    let tokens = hsm_sim::admin::tokens(&folder.join("hsm")).unwrap();
    tokens.iter().find_map(|token| token.user_tries_left).unwrap()
}

#[test]
fn a_wrong_pin_is_tried_once_however_often_it_is_started() {
    if portcullis_testing::is_foreign("count of PIN tries to read") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("gateway");
    assert!(Gateway::start(PROGRAM, &folder).stop().success());
    let (pin, before) = (fs::read(folder.join("pin")).unwrap(), tries_left(&folder));
    // Of the form that models want whose PINs are a user and a password.
    fs::write(folder.join("pin"), "crypto:not the PIN").unwrap();

    for start in 1..=3 {
        let said = refused(PROGRAM, &folder, &[]);
        assert!(said.contains("PC-HSM-PIN: hsm.main is pin_rejected: "), "start {start}: {said}");
        assert!(said.contains("what to do: put the right PIN into the PIN file"), "start {start}: {said}");
        assert!(!said.contains("not the PIN"), "start {start}: it repeats the PIN");
        assert_eq!(tries_left(&folder), before - 1, "start {start}");
    }

    // Another wrong one is another try; the right one is taken and gives all tries back.
    fs::write(folder.join("pin"), "crypto:not this one").unwrap();
    assert!(refused(PROGRAM, &folder, &[]).contains("PC-HSM-PIN"));
    assert_eq!(tries_left(&folder), before - 2);
    fs::write(folder.join("pin"), &pin).unwrap();
    assert!(Gateway::start(PROGRAM, &folder).stop().success());
    assert_eq!(tries_left(&folder), before);
}

/// The C library that this test runs on: a library, and no PKCS#11 module.
fn some_library() -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().filter_map(|line| line.find('/').map(|at| line.split_at(at).1));
    path.filter(|path| path.contains("libc.so")).map(PathBuf::from).next().unwrap()
}

#[test]
fn a_module_that_is_none_is_named() {
    if portcullis_testing::is_foreign("embedded module to replace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let gateway = folder.path().join("gateway");
    assert!(Gateway::start(PROGRAM, &gateway).stop().success());
    let file = gateway.join("config.toml");
    let good = fs::read_to_string(&file).unwrap();
    let text = folder.path().join("notes.so");
    fs::write(&text, "not a library").unwrap();
    for (module, reason) in [
        (text, "cannot be loaded as a library"),
        (folder.path().to_owned(), "is not a file"),
        (folder.path().join("missing.so"), "cannot be read (No such file"),
        (some_library(), "is a library but no PKCS#11 module: it has no C_GetFunctionList"),
    ] {
        let module = module.display().to_string();
        let embedded = "module = \"embedded\"\nsimulated_store = \"hsm\"\nsimulated_config = \"hsm-sim.toml\"\n";
        assert!(good.contains(embedded), "{good}");
        fs::write(&file, good.replace(embedded, &format!("module = \"{module}\"\n"))).unwrap();
        let said = refused(PROGRAM, &gateway, &[]);
        assert!(said.starts_with("PC-HSM-CONNECT: hsm.main: "), "{module}: {said}");
        assert!(said.contains(reason) && said.contains(&module), "{module}: {said}");
    }
    fs::write(&file, good).unwrap();
    assert!(Gateway::start(PROGRAM, &gateway).stop().success(), "nothing is left of it");
}

#[test]
fn unknown_keys_and_wrong_values_are_told_all_at_once_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("gateway");
    assert!(Gateway::start(PROGRAM, &folder).stop().success());
    let file = folder.join("config.toml");
    let good = fs::read_to_string(&file).unwrap();
    let lines = good.lines().count();
    let bad = "\n[limits]\nhsm_secs = 1\nkeygen_seconds = \"long\"\n[unheard_of]\nkey = 1\n";
    fs::write(&file, format!("{good}{bad}")).unwrap();

    let said = refused(PROGRAM, &folder, &[]);

    assert!(said.starts_with("PC-CONFIG: 3 mistakes in the configuration\n"), "{said}");
    for (line, what) in [
        (lines + 3, "limits.hsm_secs: is not a known key"),
        (lines + 4, "limits.keygen_seconds: must be"),
        (lines + 5, "unheard_of: is not a known"),
    ] {
        let expected = format!("line {line}: {what}");
        assert!(said.contains(&expected), "`{expected}` is not in {said}");
    }
}

#[test]
fn folders_that_another_process_uses_are_refused_and_free_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let mut running = Gateway::start(PROGRAM, &one);
    assert!(Gateway::start(PROGRAM, &other).stop().success());

    assert!(refused(PROGRAM, &one, &[]).starts_with("PC-DEV-IN-USE: "));
    for (setting, part, code) in
        [("PORTCULLIS_STORE__PATH", "store", "PC-STORE-OPEN"), ("PORTCULLIS_AUDIT__PATH", "audit", "PC-AUDIT-OPEN")]
    {
        let path = one.join(part).display().to_string();
        let said = refused(PROGRAM, &other, &[(setting, path.as_str())]);
        assert!(said.contains(code) && said.contains("in use") && said.contains(&path), "{said}");
    }

    running.kill();
    running.restart();
    assert!(running.stop().success());
}

#[test]
fn a_store_of_another_token_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    assert!(Gateway::start(PROGRAM, &one).stop().success());
    assert!(Gateway::start(PROGRAM, &other).stop().success());
    let path = one.join("store").display().to_string();

    let said = refused(PROGRAM, &other, &[("PORTCULLIS_STORE__PATH", path.as_str())]);

    assert!(said.contains("PC-HSM-TOKEN: hsm.main is wrong_token: "), "{said}");
    assert!(said.contains("what to do: "), "{said}");
    assert!(Gateway::start(PROGRAM, &one).stop().success(), "its own gateway still opens it");
}
