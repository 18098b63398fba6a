//! Keystone's notices over a message bus, with the whole program: a broker that a test plays, and a real one where a URL names it.
//!
//! `PORTCULLIS_TEST_AMQP_URL=amqp://guest:guest@127.0.0.1:5672 cargo test --features amqp --test amqp`
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

#[path = "../cli/support.rs"]
#[expect(dead_code, reason = "the helpers of the tests of commands, of which few are needed here")]
mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use support::{Gateway, PATIENCE, change, ends, get, http, logged_address, metric, refused, site_config, text};

/// The client methods that are answered, and with what: class and method, and the arguments of the answer.
const START: (u16, u16) = (10, 10);
const TUNE: (u16, u16) = (10, 30);
const OPEN: (u16, u16) = (10, 40);
const CHANNEL_OPEN: (u16, u16) = (20, 10);
const CHANNEL_CLOSE: (u16, u16) = (20, 40);
const EXCHANGE_DECLARE: (u16, u16) = (40, 10);
const QUEUE_DECLARE: (u16, u16) = (50, 10);
const QUEUE_BIND: (u16, u16) = (50, 20);
const QOS: (u16, u16) = (60, 10);
const CONSUME: (u16, u16) = (60, 20);
const DELIVER: (u16, u16) = (60, 60);
const ACK: (u16, u16) = (60, 80);

/// The broker's end of one connection (AMQP 0-9-1 §4.2).
struct Broker(TcpStream);

impl Broker {
    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let mut frame = vec![kind];
        frame.extend(channel.to_be_bytes());
        frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend(payload);
        frame.push(0xCE);
        self.0.write_all(&frame).unwrap();
    }

    fn method(&mut self, channel: u16, (class, method): (u16, u16), arguments: &[u8]) {
        self.frame(1, channel, &[&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat());
    }

    /// The next method of the client: its channel, what it is, its arguments. Signs of life are passed over.
    fn hear(&mut self) -> (u16, (u16, u16), Vec<u8>) {
        loop {
            let mut head = [0; 7];
            self.0.read_exact(&mut head).unwrap();
            let length = usize::try_from(u32::from_be_bytes(head[3..7].try_into().unwrap())).unwrap();
            let mut payload = vec![0; length + 1];
            self.0.read_exact(&mut payload).unwrap();
            assert_eq!(payload.pop(), Some(0xCE));
            if head[0] == 1 {
                let number = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
                return (u16::from_be_bytes([head[1], head[2]]), (number(0), number(2)), payload.split_off(4));
            }
        }
    }

    /// Takes a connection and everything up to the consumer; the log-in, and the exchange where it `is_there`.
    fn accept(listener: &TcpListener, is_there: bool) -> (Self, u16, Vec<u8>) {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut broker = Self(stream);
        let mut header = [0; 8];
        broker.0.read_exact(&mut header).unwrap();
        assert_eq!(&header, b"AMQP\0\0\x09\x01");
        // Version 0-9, no properties, the mechanisms, the languages.
        broker.method(0, START, b"\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US");
        let (_, start_ok, login) = broker.hear();
        assert_eq!(start_ok, (10, 11));
        // 2047 channels, frames of 128 KiB, a sign of life each minute.
        broker.method(0, TUNE, &[0x07, 0xFF, 0, 2, 0, 0, 0, 60]);
        assert_eq!((broker.hear().1, broker.hear().1), ((10, 31), OPEN));
        broker.method(0, (10, 41), &[0]);
        let mut refuses = !is_there;
        loop {
            let (channel, method, arguments) = broker.hear();
            match method {
                CHANNEL_OPEN => broker.method(channel, (20, 11), &[0; 4]),
                EXCHANGE_DECLARE => {
                    assert!(arguments[2..].starts_with(b"\x08keystone\x05topic"), "{arguments:?}");
                    if std::mem::take(&mut refuses) {
                        // 404, no text, the method that it is about.
                        broker.method(channel, CHANNEL_CLOSE, &[0x01, 0x94, 0, 0, 40, 0, 10]);
                    } else {
                        broker.method(channel, (40, 11), &[]);
                    }
                }
                (20, 41) => {}
                QUEUE_DECLARE => {
                    // Durable, and nothing else.
                    assert!(arguments[2..].starts_with(b"\x0aportcullis\x02"), "{arguments:?}");
                    broker.method(channel, (50, 11), b"\x0aportcullis\0\0\0\0\0\0\0\0");
                }
                QUEUE_BIND => {
                    let expected = b"\x0aportcullis\x08keystone\x12notifications.info";
                    assert!(arguments[2..].starts_with(expected), "{arguments:?}");
                    broker.method(channel, (50, 21), &[]);
                }
                QOS => {
                    assert_eq!(arguments, [0, 0, 0, 0, 0, 1, 0], "one message at a time");
                    broker.method(channel, (60, 11), &[]);
                }
                CONSUME => {
                    broker.method(channel, (60, 21), b"\x0aportcullis");
                    return (broker, channel, login);
                }
                other => panic!("{other:?} is not expected"),
            }
        }
    }

    fn deliver(&mut self, channel: u16, tag: u8, body: &[u8]) {
        let arguments = [b"\x0aportcullis\0\0\0\0\0\0\0".as_slice(), &[tag, 0], b"\x08keystone\x12notifications.info"];
        self.method(channel, DELIVER, &arguments.concat());
        let size = u64::try_from(body.len()).unwrap().to_be_bytes();
        self.frame(2, channel, &[&[0, 60, 0, 0], size.as_slice(), &[0, 0]].concat());
        if !body.is_empty() {
            self.frame(3, channel, body);
        }
    }

    fn acknowledged(&mut self) -> u8 {
        let (_, method, arguments) = self.hear();
        assert_eq!(method, ACK);
        arguments[7]
    }
}

fn notice(project: &str) -> Vec<u8> {
    let inner = json!({"event_type": "identity.project.deleted", "payload": {"resource_info": project}}).to_string();
    json!({"oslo.version": "2.0", "oslo.message": inner}).to_string().into_bytes()
}

/// A configuration with a Keystone that nobody asks, a static token for the project `gone`, and a bus.
fn configured(folder: &Path, url: &str) -> (PathBuf, String) {
    let config = site_config(folder);
    let made = ends(["token", "--name", "test", "--project", "gone", "--roles", "admin"]);
    let section = text(&made.stdout);
    let token = section.split_ascii_whitespace().find(|word| word.starts_with("pct_")).unwrap().to_owned();
    fs::write(folder.join("amqp-url"), url).unwrap();
    fs::write(folder.join("password"), "x").unwrap();
    change(
        &config,
        "certificate = \"server.pem\"\nkey = \"server.key\"\n[rest.auth]\nmode = \"unauthenticated\"\n",
        &format!(
            "[rest.auth]\nmode = \"keystone\"\n{section}[rest.auth.keystone]\nurl = \"http://127.0.0.1:9\"\nusername = \"u\"\n\
         password_file = \"password\"\n[rest.auth.keystone.notifications]\nurl_file = \"amqp-url\"\n"
        ),
    );
    (config, token)
}

/// A secret of the project; its path.
fn secret(rest: &str, token: &str) -> String {
    let body = r#"{"payload":"x","payload_content_type":"text/plain"}"#;
    let answer = http(
        rest,
        &format!(
            "POST /v1/secrets HTTP/1.1\r\nHost: {rest}\r\nX-Auth-Token: {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let made: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    made["secret_ref"].as_str().unwrap().split_once("/v1/").map(|(_, path)| format!("/v1/{path}")).unwrap()
}

fn status(rest: &str, token: &str, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {rest}\r\nX-Auth-Token: {token}\r\nConnection: close\r\n\r\n");
    http(rest, &request).split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_deleted_project_is_removed_before_the_notice_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rabbit://us%65r:geheim@{}/", listener.local_addr().unwrap());
    let (config, token) = configured(folder.path(), &url);
    let (tell, told) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    let broker = thread::spawn(move || {
        // The first connection is lost with a message that nobody acknowledged.
        let (mut broker, channel, login) = Broker::accept(&listener, true);
        assert!(login.windows(14).any(|it| it == b"\0user\0geheim\x05e".as_slice()), "{login:?}");
        gone.recv().unwrap();
        broker.deliver(channel, 1, b"");
        drop(broker);
        // The second broker has no such exchange.
        let (mut broker, channel, _) = Broker::accept(&listener, false);
        for (tag, body) in [(1, b"nonsense".to_vec()), (2, notice("other")), (3, notice("gone"))] {
            broker.deliver(channel, tag, &body);
            assert_eq!(broker.acknowledged(), tag);
            tell.send(tag).unwrap();
        }
        // It waits for the gateway to leave.
        let mut rest = Vec::new();
        broker.0.read_to_end(&mut rest).ok();
    });
    let gateway = Gateway::serve(&config);
    let (rest, ops) = (logged_address(&gateway, "rest"), logged_address(&gateway, "ops"));
    metric(&ops, "portcullis_keystone_bus_connected 1");
    let path = secret(&rest, &token);
    go.send(()).unwrap();
    for tag in [1, 2] {
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), tag);
        assert_eq!(status(&rest, &token, &path), 200);
    }
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 3);
    assert_eq!(status(&rest, &token, &path), 404);
    // What became of the message that was lost is not said: it may have been read before the connection ended.
    metric(&ops, "portcullis_keystone_notices_total{outcome=\"purged\"} 2");
    metric(&ops, "portcullis_keystone_bus_connected 1");
    let log = gateway.log();
    assert!(log.contains("connecting again after a pause") && !log.contains("geheim"), "{log}");
    assert!(gateway.stop().0.success());
    broker.join().unwrap();
    let trail: String = fs::read_dir(folder.path().join("audit"))
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
        .collect();
    assert!(trail.contains("purge-project"), "{trail}");
}

#[test]
fn a_bus_that_cannot_be_used_is_told_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = configured(folder.path(), "http://127.0.0.1");
    let serve = || refused(["serve", "--config", config.to_str().unwrap()]);
    assert!(serve().contains("the broker's URL cannot be read"), "{}", serve());
    fs::write(folder.path().join("amqp-url"), "amqps://u:p@127.0.0.1").unwrap();
    assert!(serve().contains("no CA is named"), "{}", serve());
    fs::remove_file(folder.path().join("amqp-url")).unwrap();
    assert!(serve().contains("PC-KEYSTONE-NOTICES"), "{}", serve());
}

#[test]
fn a_real_broker_keeps_notices_while_the_gateway_is_away() {
    let Ok(url) = std::env::var("PORTCULLIS_TEST_AMQP_URL") else {
        eprintln!("skipped, because PORTCULLIS_TEST_AMQP_URL does not name a broker");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (config, token) = configured(folder.path(), &url);
    let gateway = Gateway::serve(&config);
    let (rest, ops) = (logged_address(&gateway, "rest"), logged_address(&gateway, "ops"));
    metric(&ops, "portcullis_keystone_bus_connected 1");
    let first = secret(&rest, &token);
    publish(&url, notice("gone"));
    let began = Instant::now();
    while status(&rest, &token, &first) != 404 {
        assert!(began.elapsed() < PATIENCE, "{}", get(&ops, "/metrics"));
        thread::sleep(Duration::from_millis(50));
    }
    let second = secret(&rest, &token);
    assert!(gateway.stop().0.success());
    publish(&url, notice("gone"));
    let gateway = Gateway::serve(&config);
    let (rest, ops) = (logged_address(&gateway, "rest"), logged_address(&gateway, "ops"));
    metric(&ops, "portcullis_keystone_notices_total{outcome=\"purged\"} 1");
    assert_eq!(status(&rest, &token, &second), 404);
    assert!(gateway.stop().0.success());
}

/// Says it as Keystone does.
fn publish(url: &str, message: Vec<u8>) {
    use amqprs::{
        BasicProperties,
        channel::BasicPublishArguments,
        connection::{Connection, OpenConnectionArguments},
    };
    let broker = portcullis::net::Broker::parse(url).unwrap();
    let (host, port) = broker.hosts[0].clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut arguments = OpenConnectionArguments::new(&host, port, &broker.user, &broker.password);
        arguments.virtual_host(&broker.virtual_host);
        let connection = Connection::open(&arguments).await.unwrap();
        let channel = connection.open_channel(None).await.unwrap();
        let to = BasicPublishArguments::new("keystone", "notifications.info");
        channel.basic_publish(BasicProperties::default(), message, to).await.unwrap();
        channel.close().await.unwrap();
        connection.close().await.unwrap();
    });
}
