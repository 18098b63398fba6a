//! What `serve` and `check` refuse, with code and remedy.

use std::fs;

use crate::support::{Gateway, change, ends, http, logged_address, refused, site_config, text};

fn serve(config: &std::path::Path) -> String {
    refused(["serve", "--config", config.to_str().unwrap()])
}

#[test]
fn all_mistakes_are_printed_with_file_line_and_code() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    fs::write(&config, "[kmip]\nlisen = \"x\"\n[hsm.main]\nworkers = 0\n").unwrap();
    let name = config.display();

    let said = refused(["check", "--config", config.to_str().unwrap()]);

    assert!(said.starts_with("PC-CONFIG: 8 mistakes in the configuration\n"), "{said}");
    for line in [
        format!("{name}: line 2: kmip.lisen: is not a known key; did you mean `listen`? [PC-CONFIG-UNKNOWN-KEY]"),
        format!("{name}: line 4: hsm.main.workers: must be a whole number from 1 to 1024 [PC-CONFIG-VALUE]"),
        format!("{name}: store.path: is missing; it has no default [PC-CONFIG-MISSING-KEY]"),
    ] {
        assert!(said.lines().any(|have| have == line), "{line} is not in {said}");
    }
    let said = refused(["serve", "--config", "/nowhere.toml"]);
    assert!(said.contains("[PC-CONFIG-FILE]"), "{said}");
}

#[test]
fn serve_refuses_what_is_for_development() {
    let dev = tempfile::tempdir().unwrap();
    drop(Gateway::dev(dev.path()));
    let said = serve(&dev.path().join("config.toml"));
    assert!(said.starts_with("PC-SERVE-DEV-CERTIFICATE: "), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    change(&config, "allow_simulated_hsm = true\n", "");
    let said = serve(&config);
    assert!(said.starts_with("PC-SERVE-SIMULATED-HSM: the token hsm.main is a simulator"), "{said}");
}

#[test]
fn serve_refuses_open_rest_off_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    change(&config, "[rest]\nlisten = \"127.0.0.1:0\"", "[rest]\nlisten = \"0.0.0.0:0\"");
    let said = serve(&config);
    assert!(said.starts_with("PC-SERVE-UNAUTHENTICATED: "), "{said}");

    change(
        &config,
        "mode = \"unauthenticated\"",
        "mode = \"keystone\"\n[rest.auth.keystone]\nurl = \"http://127.0.0.1:1\"\nusername = \"u\"\npassword_file = \"pin\"",
    );
    change(
        &config,
        "[rest]\nlisten = \"0.0.0.0:0\"\ncertificate = \"server.pem\"\nkey = \"server.key\"",
        "[rest]\nlisten = \"0.0.0.0:0\"",
    );
    let said = serve(&config);
    assert!(said.starts_with("PC-SERVE-PLAIN-HTTP: "), "{said}");
    assert!(said.contains("rest.behind_proxy = true"), "{said}");
}

#[test]
fn a_wrong_pin_costs_one_try_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    fs::write(folder.path().join("pin"), "654321\n").unwrap();
    let tries = || {
        let tokens = hsm_sim::admin::tokens(&folder.path().join("hsm")).unwrap();
        tokens.into_iter().find(|token| token.label == "site").unwrap().user_tries_left.unwrap()
    };
    let before = tries();

    for _ in 0..2 {
        let said = serve(&config);
        assert!(said.contains("PC-HSM-PIN: hsm.main is pin_rejected: "), "{said}");
    }
    assert_eq!(tries(), before - 1);

    fs::write(folder.path().join("pin"), "123456\n").unwrap();
    let output = ends(["check", "--config", config.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_store_that_is_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    let _running = Gateway::serve(&config);
    let said = serve(&config);
    assert!(said.contains("PC-STORE-OPEN: ") && said.contains("in use"), "{said}");
}

#[test]
fn files_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    fs::copy(folder.path().join("client.key"), folder.path().join("server.key")).unwrap();
    let said = serve(&config);
    assert!(said.starts_with("PC-TLS-CERTIFICATE: ") && said.contains("server.pem"), "{said}");
    fs::remove_file(folder.path().join("server.key")).unwrap();
    let said = serve(&config);
    assert!(said.starts_with("PC-TLS-FILE: ") && said.contains("server.key"), "{said}");
}

#[test]
fn a_damaged_trail_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::dev(folder.path());
    let dir = folder.path().to_str().unwrap();
    for _ in 0..3 {
        let made = ends(["kmip", "create", "--dir", dir]);
        assert!(made.status.success(), "{}{}", text(&made.stderr), gateway.log());
    }
    gateway.stop();
    let trail = folder.path().join("audit");
    let verify = || {
        let key = trail.join("audit.pub");
        ends(["audit", "verify", trail.to_str().unwrap(), "--key", key.to_str().unwrap()])
    };
    let output = verify();
    let said = text(&output.stdout);
    assert!(
        output.status.success() && said.starts_with("holds: ") && said.contains("signatures good through"),
        "{said}"
    );

    let file = trail.join("audit.log");
    let lines = fs::read_to_string(&file).unwrap();
    fs::write(&file, lines.replacen("success", "failure", 1)).unwrap();
    let output = verify();
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("broken: ") && said.contains("audit.log line "), "{said}");
}

/// Values that nobody can reach any more are not noticed before somebody asks for them, so the start says it.
#[test]
fn a_token_that_still_holds_secrets_is_not_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    let plain = "[rest]\nlisten = \"127.0.0.1:0\"\n";
    change(&config, &format!("{plain}certificate = \"server.pem\"\nkey = \"server.key\"\n"), plain);
    let gateway = Gateway::serve(&config);
    let rest = logged_address(&gateway, "rest");
    let body = r#"{"payload":"beer","payload_content_type":"text/plain"}"#;
    let head = format!("POST /v1/secrets HTTP/1.1\r\nHost: {rest}\r\nX-Project-Id: p\r\nConnection: close\r\n");
    let length = body.len();
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    assert!(http(&rest, &request).starts_with("HTTP/1.1 201 "));
    assert!(gateway.stop().0.success());

    // The same token under another name: what the records name is gone.
    change(&config, "[hsm.main]", "[hsm.other]");
    let said = serve(&config);
    let expected =
        "PC-HSM-TOKEN-DROPPED: the token hsm.main is not in the configuration, but holds 1 secrets of this store";
    assert!(said.contains(expected), "{said}");
    // A second try is refused, too, and the old configuration still works.
    assert!(serve(&config).contains("PC-HSM-TOKEN-DROPPED: "));
    change(&config, "[hsm.other]", "[hsm.main]");
    assert!(Gateway::serve(&config).stop().0.success());

    change(&config, "[hsm.main]", "[hsm.other]");
    change(&config, "path = \"store\"\n", "path = \"store\"\nabandoned_tokens = [\"main\"]\n");
    let gateway = Gateway::serve(&config);
    assert!(gateway.log().contains("the token was given up"), "{}", gateway.log());
    assert!(gateway.stop().0.success());
}
