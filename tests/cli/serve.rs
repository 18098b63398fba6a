//! `portcullis serve`, `check` and `hsm status` on a configuration of one's own.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Gateway, Site, change, ends, get, logged_address, metric, portcullis, site_config, text};

#[test]
fn serve_logs_json_and_reloads_certificates_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    let gateway = Gateway::serve(&config);
    let (kmip, ops) = (logged_address(&gateway, "kmip"), logged_address(&gateway, "ops"));
    for line in gateway.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let discover = |ca: &str, name: &str| {
        let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        let arguments =
            ["kmip", "discover", "--address", &kmip, "--ca", ca, "--certificate", &certificate, "--key", &key];
        ends(arguments).status.success()
    };
    let old_ca = file("old-ca.pem");
    fs::copy(file("site-ca.pem"), &old_ca).unwrap();
    assert!(discover(&old_ca, "client"));

    fs::write(file("server.pem"), "no certificate").unwrap();
    gateway.signal(Signal::HUP);
    metric(&ops, "portcullis_tls_reloads_total{result=\"error\"} 2");
    assert!(discover(&old_ca, "client"), "the old certificate stays");
    assert!(gateway.log().contains("PC-TLS-PEM"), "{}", gateway.log());

    // A new CA for both sides; the client's key stays enrolled, but its certificate is of the old CA.
    fs::rename(file("client.pem"), file("former.pem")).unwrap();
    fs::rename(file("client.key"), file("former.key")).unwrap();
    Site::new(folder.path()).issue("server");
    gateway.signal(Signal::HUP);
    metric(&ops, "portcullis_tls_reloads_total{result=\"ok\"} 2");
    assert!(!discover(&old_ca, "former"), "the old CA counts no longer");
    metric(&ops, "portcullis_tls_handshake_failures_total{listener=\"kmip\",reason=\"alert-received\"} 1");
    let (status, _) = gateway.stop();
    assert!(status.success());
}

#[test]
fn check_prints_what_would_be_served() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    let output = ends(["check", "--config", config.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in [
        "versions 1.0 1.1 1.2 1.3 1.4 2.0 2.1",
        "kmip clients      client",
        "https://127.0.0.1:0, unauth",
        "site, serial ",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }

    change(&config, "token_label = \"site\"", "token_label = \"other\"");
    let output = ends(["check", "--config", config.to_str().unwrap()]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("PC-HSM-"), "{said}");
}

#[test]
fn status_shows_the_tokens_beside_a_running_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    let _gateway = Gateway::serve(&config);
    let config = config.to_str().unwrap();

    let output = ends(["hsm", "status", "--json", "--config", config]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((status[0]["token"].as_str(), status[0]["health"].as_str()), (Some("main"), Some("ready")), "{status}");
    assert_eq!(status[0]["label"], "site");

    let table = text(&ends(["hsm", "status", "--config", config]).stdout);
    assert!(table.contains("| main") && table.contains("| ready"), "{table}");
}

#[test]
fn the_environment_goes_before_the_file_and_reaches_the_module() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    change(&config, "[ops]\nlisten = \"127.0.0.1:0\"", "[ops]\nlisten = \"203.0.113.1:1\"");
    // The simulator's options file can be named by the environment; one that is not there stops the module.
    let options = folder.path().join("options.toml");
    fs::write(&options, "no_such_option = 1\n").unwrap();
    let text_of = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text_of}[hsm.main.env]\nHSM_SIM_CONFIG = {:?}\n", options.to_str().unwrap())).unwrap();
    let mut command = portcullis(["check", "--config", config.to_str().unwrap()]);
    let output = command.env("PORTCULLIS_OPS__LISTEN", "127.0.0.1:0").output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("PC-HSM-"), "the module was told and refuses: {said}");

    fs::write(&options, "spare_slots = 0\n").unwrap();
    let mut command = portcullis(["check", "--config", config.to_str().unwrap()]);
    let output = command.env("PORTCULLIS_OPS__LISTEN", "127.0.0.1:0").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("http://127.0.0.1:0"), "{}", text(&output.stdout));
}

#[test]
fn a_gateway_whose_token_is_away_waits_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    // The ops listener is up before the token is reached, on a port that must be known beforehand: take a free one.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    change(&config, "[ops]\nlisten = \"127.0.0.1:0\"", &format!("[ops]\nlisten = \"{port}\""));
    let token = folder.path().join("hsm");
    let aside = folder.path().join("aside");
    fs::rename(&token, &aside).unwrap();
    fs::create_dir(&token).unwrap();
    let mut child = portcullis(["serve", "--config", config.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    let answer = loop {
        assert!(std::time::Instant::now() < deadline && child.try_wait().unwrap().is_none());
        if std::net::TcpStream::connect(port).is_ok() {
            let answer = get(&port.to_string(), "/readyz");
            if answer.contains("hsm.main") {
                break answer;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains(r#""part":"start""#), "{answer}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

const SOFTHSM2: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A token of SoftHSM2 in this folder; `None`, and why is said, where it is not installed.
fn softhsm2(folder: &std::path::Path) -> Option<String> {
    let conf = folder.join("softhsm2.conf");
    let tokens = folder.join("tokens");
    fs::create_dir(&tokens).unwrap();
    fs::write(&conf, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display())).unwrap();
    let made = std::process::Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "soft", "--so-pin", "12345678", "--pin", "123456"])
        .env("SOFTHSM2_CONF", &conf)
        .output();
    if !made.is_ok_and(|output| output.status.success()) || !std::path::Path::new(SOFTHSM2).exists() {
        println!("skipped, because softhsm2 is not installed");
        return None;
    }
    Some(conf.to_str().unwrap().to_owned())
}

#[test]
fn serve_and_dev_run_on_softhsm2() {
    let folder = tempfile::tempdir().unwrap();
    let Some(conf) = softhsm2(folder.path()) else { return };
    let config = site_config(folder.path());
    change(
        &config,
        "module = \"embedded\"\nsimulated_store = \"hsm\"\ntoken_label = \"site\"",
        &format!("module = \"{SOFTHSM2}\"\ntoken_label = \"soft\""),
    );
    let written = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{written}[hsm.main.env]\nSOFTHSM2_CONF = \"{conf}\"\n")).unwrap();
    let gateway = Gateway::serve(&config);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, certificate, key) = (file("site-ca.pem"), file("client.pem"), file("client.key"));
    let kmip = logged_address(&gateway, "kmip");
    let client = |more: &[&str]| {
        let server = ["kmip", "--address", &kmip, "--ca", &ca, "--certificate", &certificate, "--key", &key];
        let output = ends(server.into_iter().chain(more.iter().copied()));
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    let id = client(&["create"]);
    assert_eq!(client(&["get", &id]).len(), 64);
    assert!(gateway.stop().0.success());

    let dir = folder.path().join("dev");
    let dir_text = dir.to_str().unwrap();
    let any = "127.0.0.1:0";
    let mut command = portcullis([
        "dev",
        "--dir",
        dir_text,
        "--kmip",
        any,
        "--rest",
        any,
        "--ops",
        any,
        "--module",
        SOFTHSM2,
        "--token-label",
        "soft",
        "--pin-file",
        &file("pin"),
    ]);
    command.env("SOFTHSM2_CONF", &conf);
    let _gateway = Gateway::start(command, &dir.join("stderr.txt"));
    let id = text(&ends(["kmip", "create", "--dir", dir_text]).stdout);
    assert_eq!(text(&ends(["kmip", "get", id.trim(), "--dir", dir_text]).stdout).trim().len(), 64);
}

#[test]
fn rest_speaks_tls_with_both_versions_of_http() {
    let folder = tempfile::tempdir().unwrap();
    let config = site_config(folder.path());
    let gateway = Gateway::serve(&config);
    let url = format!("https://{}/v1/secrets", logged_address(&gateway, "rest"));
    let ca = folder.path().join("site-ca.pem");
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let curl = std::process::Command::new("curl")
            .args(["-sS", option, "--cacert", ca.to_str().unwrap(), "-H", "X-Project-Id: demo"])
            .args(["-o", "/dev/null", "-w", "%{http_code} %{http_version}", &url])
            .output();
        let Ok(output) = curl else {
            println!("skipped, because curl is not installed");
            return;
        };
        assert_eq!(text(&output.stdout), format!("200 {version}"), "{}", text(&output.stderr));
    }
}
