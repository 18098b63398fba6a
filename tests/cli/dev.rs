//! `portcullis dev`: everything in one go, and again.

use std::{fs, net::TcpStream, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use crate::support::{Gateway, address, ends, get, http, metric, portcullis, refused, text};

#[test]
fn the_three_commands_work_as_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::dev(folder.path());
    let closing = "Everything is in ";
    while !gateway.printed.last().unwrap().starts_with(closing) {
        gateway.printed.push(gateway.lines.recv().unwrap());
    }
    let commands: Vec<String> =
        gateway.printed.iter().filter(|line| line.starts_with("curl") || line.contains(" kmip ")).cloned().collect();
    assert_eq!(commands.len(), 3, "{:?}", gateway.printed);
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped, because curl is not installed");
        return;
    }
    let outputs: Vec<String> = commands
        .iter()
        .map(|command| {
            let output = Command::new("sh").args(["-c", command]).output().unwrap();
            assert!(output.status.success(), "{command}: {}", text(&output.stderr));
            text(&output.stdout)
        })
        .collect();
    assert!(outputs[0].contains("\"secret_ref\":\"http://127.0.0.1:"), "{}", outputs[0]);
    assert_eq!(outputs[1].trim().len(), 36, "an identifier: {}", outputs[1]);
    assert!(outputs[2].contains("operation=\"create\""), "{}", outputs[2]);
}

#[test]
fn the_folder_is_private_and_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("gateway");
    let first = Gateway::dev(&dir);
    for file in ["config.toml", "pin", "tls/ca.key", "tls/server.key", "tls/client.key", "addresses.json"] {
        let mode = fs::metadata(dir.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
    let kmip = |more: &[&str]| ends(["kmip", "--dir", dir.to_str().unwrap()].into_iter().chain(more.iter().copied()));
    let id = text(&kmip(&["create", "--name", "kept"]).stdout);
    let value = kmip(&["get", id.trim()]).stdout;
    let pin = fs::read(dir.join("pin")).unwrap();
    let (status, _) = first.stop();
    assert!(status.success());

    let _second = Gateway::dev(&dir);

    assert_eq!(fs::read(dir.join("pin")).unwrap(), pin);
    assert_eq!(text(&kmip(&["locate", "--name", "kept"]).stdout), id);
    assert_eq!(kmip(&["get", id.trim()]).stdout, value);
    assert_eq!(value.len(), 65, "32 bytes in hex");
}

#[test]
fn one_folder_serves_one_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let _running = Gateway::dev(folder.path());
    let said = refused(["dev", "--dir", folder.path().to_str().unwrap()]);
    assert!(said.starts_with("PC-DEV-IN-USE: "), "{said}");
    assert!(said.contains("what to do: stop that one, or give this one a folder of its own with --dir"), "{said}");
}

#[test]
fn dev_listens_on_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    let said = refused(["dev", "--dir", folder.path().to_str().unwrap(), "--rest", "0.0.0.0:0"]);
    assert!(said.starts_with("PC-DEV-LOOPBACK: `dev` does not listen on 0.0.0.0:0"), "{said}");
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let any = "127.0.0.1:0";
    let said =
        refused(["dev", "--dir", folder.path().to_str().unwrap(), "--kmip", &address, "--rest", any, "--ops", any]);
    assert!(said.contains(&format!("PC-LISTEN: kmip.listen = {address}: ")), "{said}");
    assert!(said.contains("port 0 takes a free one"), "{said}");
}

#[test]
fn sigterm_ends_within_ten_seconds_with_open_connections() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::dev(folder.path());
    let idle: Vec<TcpStream> = ["kmip", "rest", "ops"]
        .map(|name| TcpStream::connect(address(folder.path(), name)).unwrap())
        .into_iter()
        .collect();

    let (status, took) = gateway.stop();

    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(idle);
}

#[test]
fn health_and_readiness_answer_and_metrics_pass_promtool() {
    let folder = tempfile::tempdir().unwrap();
    let _gateway = Gateway::dev(folder.path());
    let ops = address(folder.path(), "ops");
    assert!(get(&ops, "/healthz").starts_with("HTTP/1.1 200 "));
    let ready = get(&ops, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200 ") && ready.ends_with(r#"{"ready":true,"reasons":[]}"#), "{ready}");
    assert!(get(&ops, "/elsewhere").starts_with("HTTP/1.1 404 "));
    metric(&ops, "portcullis_objects{state=\"active\"} 0");
    metric(&ops, "portcullis_hsm_token_ready{token=\"main\"} 1");
}

#[test]
fn strangers_on_the_kmip_port_are_counted_by_reason() {
    let folder = tempfile::tempdir().unwrap();
    let _gateway = Gateway::dev(folder.path());
    let (kmip, ops) = (address(folder.path(), "kmip"), address(folder.path(), "ops"));

    let answer = get(&kmip, "/");
    assert!(!answer.contains("HTTP/"), "no HTTP there: {answer}");
    metric(&ops, "portcullis_tls_handshake_failures_total{listener=\"kmip\",reason=\"not-tls\"} 1");

    // The folder of another gateway: another CA.
    let other = tempfile::tempdir().unwrap();
    let files = portcullis::tls::make_dev_files(other.path(), "demo", time::OffsetDateTime::now_utc().unix_timestamp());
    let files = files.unwrap();
    let ca = folder.path().join("tls/ca.pem");
    let said = refused([
        "kmip",
        "discover",
        "--address",
        &kmip,
        "--ca",
        ca.to_str().unwrap(),
        "--certificate",
        files.client.to_str().unwrap(),
        "--key",
        files.client_key.to_str().unwrap(),
    ]);
    assert!(said.starts_with("PC-KMIP-CONNECT: "), "{said}");
    metric(&ops, "portcullis_tls_handshake_failures_total{listener=\"kmip\",reason=\"certificate-unknown-issuer\"} 1");
}

#[test]
fn an_unenrolled_client_is_not_authenticated() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::dev(folder.path());
    let kmip = address(folder.path(), "kmip");
    // A second client of the same CA, whose key nobody enrolled.
    let other = tempfile::tempdir().unwrap();
    for file in ["ca.pem", "ca.key"] {
        fs::copy(folder.path().join("tls").join(file), other.path().join(file)).unwrap();
    }
    let files =
        portcullis::tls::make_dev_files(other.path(), "guest", time::OffsetDateTime::now_utc().unix_timestamp());
    let files = files.unwrap();

    let said = refused([
        "kmip",
        "discover",
        "--address",
        &kmip,
        "--ca",
        files.ca.to_str().unwrap(),
        "--certificate",
        files.client.to_str().unwrap(),
        "--key",
        files.client_key.to_str().unwrap(),
    ]);

    assert!(said.contains("AuthenticationNotSuccessful: the client certificate is not enrolled"), "{said}");
    assert!(gateway.log().contains("add it to [[kmip.clients]]"), "{}", gateway.log());
    // Its key is on the trail, and that it was refused.
    let key = portcullis::tls::Identity::read(&files.client, &files.client_key).unwrap().summary.spki_sha256;
    let trail: String = fs::read_dir(folder.path().join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let line = trail.lines().find(|line| line.contains(&format!("spki-sha256:{key}"))).expect("a line of the trail");
    assert!(line.contains(r#""action":"connect""#) && line.contains(r#""reasonCode":"not-enrolled""#), "{line}");
}

#[test]
fn the_log_is_as_the_folder_s_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    drop(Gateway::dev(folder.path()));
    let config = folder.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("format = \"text\"\nlevel = \"warn\""), "{text}");
    fs::write(&config, text.replace("format = \"text\"\nlevel = \"warn\"", "format = \"json\"\nlevel = \"info\""))
        .unwrap();
    let gateway = Gateway::dev(folder.path());
    assert!(gateway.log().lines().any(|line| line.contains(r#""level":"INFO""#)), "{}", gateway.log());
}

/// Another token behind the name is refused until somebody says that it is meant; whether it has the store's keys, the start
/// finds out.
#[test]
fn another_token_is_confirmed_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, config) = (folder.path().to_str().unwrap(), folder.path().join("config.toml"));
    let any = "127.0.0.1:0";
    let dev = ["dev", "--dir", dir, "--kmip", any, "--rest", any, "--ops", any];
    let rebind = || ends(["hsm", "rebind", "--config", config.to_str().unwrap()]);
    assert!(Gateway::dev(folder.path()).stop().0.success());
    let same = rebind();
    assert!(same.status.success() && text(&same.stdout).contains("is the token it was"), "{same:?}");

    let (token, aside) = (folder.path().join("hsm"), folder.path().join("aside"));
    fs::rename(&token, &aside).unwrap();
    let said = refused(dev);
    assert!(said.contains("PC-HSM-TOKEN") && said.contains("portcullis hsm rebind"), "{said}");
    let confirmed = rebind();
    assert!(confirmed.status.success() && text(&confirmed.stdout).contains("from now on"), "{confirmed:?}");
    assert!(refused(dev).contains("PC-STORE-DAMAGED"), "a token without the store's keys");

    fs::remove_dir_all(&token).unwrap();
    fs::rename(&aside, &token).unwrap();
    assert!(refused(dev).contains("PC-HSM-TOKEN"));
    assert!(rebind().status.success());
    assert!(Gateway::dev(folder.path()).stop().0.success());
}

#[test]
fn the_client_reads_what_barbican_made_and_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let _gateway = Gateway::dev(folder.path());
    let rest = address(folder.path(), "rest");
    let body = r#"{"name":"shared","payload":"c2l4dGVlbiBieXRlcyEh","payload_content_type":"application/octet-stream","payload_content_encoding":"base64","secret_type":"opaque"}"#;
    let head = format!("Host: {rest}\r\nX-Project-Id: demo\r\nConnection: close\r\n");
    let made = http(
        &rest,
        &format!(
            "POST /v1/secrets HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let id = made.rsplit('/').next().unwrap().split('"').next().unwrap().to_owned();
    let dir = folder.path().to_str().unwrap();

    let got = text(&ends(["kmip", "get", &id, "--dir", dir]).stdout);
    assert_eq!(got.trim(), portcullis::crypto::hash::to_hex(b"sixteen bytes!!"), "{made}");

    let key = text(&ends(["kmip", "create", "--bits", "128", "--dir", dir]).stdout);
    let payload = http(
        &rest,
        &format!("GET /v1/secrets/{}/payload HTTP/1.1\r\n{head}Accept: application/octet-stream\r\n\r\n", key.trim()),
    );
    assert!(payload.starts_with("HTTP/1.1 200 ") && payload.contains("content-length: 16\r\n"), "{payload}");
}

#[test]
fn a_module_of_ones_own_must_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let (pin, text_file) = (folder.path().join("my-pin"), folder.path().join("notes.txt"));
    fs::write(&pin, "1234").unwrap();
    fs::write(&text_file, "not a library").unwrap();
    let any = "127.0.0.1:0";
    let dev = |module: &str| {
        let dir = folder.path().join("gateway");
        refused([
            "dev",
            "--dir",
            dir.to_str().unwrap(),
            "--kmip",
            any,
            "--rest",
            any,
            "--ops",
            any,
            "--module",
            module,
            "--token-label",
            "mine",
            "--pin-file",
            pin.to_str().unwrap(),
        ])
    };
    let said = dev(text_file.to_str().unwrap());
    assert!(said.starts_with("PC-HSM-CONNECT: hsm.main: ") && said.contains("cannot be loaded as a library"), "{said}");
    let said = dev("/nowhere/module.so");
    assert!(said.starts_with("PC-DEV-MODULE: /nowhere/module.so: "), "{said}");
}

#[test]
fn only_commands_that_work_are_advertised() {
    let help = text(&portcullis(["--help"]).output().unwrap().stdout);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // What is said about a command may go on in the next line, further in.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        commands,
        [
            "dev", "serve", "check", "kmip", "client", "backup", "restore", "store", "audit", "hsm", "policy",
            "project", "token", "help"
        ]
    );
}
