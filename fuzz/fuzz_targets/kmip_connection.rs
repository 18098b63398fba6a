//! A whole KMIP connection against an engine in memory: any bytes in, whole answers or a closed connection out.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use portcullis::{
    authz::Authorizer,
    domain::{Principal, ProjectId, Realm},
    engine::testing::Bench,
    kmip::{Peer, Service, Settings, serve},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
};
use tokio_util::sync::CancellationToken;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

fuzz_target!(|bytes: &[u8]| {
    let bytes = bytes.to_vec();
    RUNTIME.block_on(async move {
        let bench = Bench::new(Authorizer::default());
        let settings = Settings { interop: true, ..Settings::default() };
        let service = Arc::new(Service::new(Arc::clone(&bench.engine), settings));
        let principal = Principal {
            name: Some("fuzz".into()),
            project: ProjectId("fuzz".into()),
            roles: vec!["admin".into(), "member".into(), "reader".into()],
            realm: Realm::Certificate,
            user_name: None,
        };
        let peer = Peer { principal, address: "127.0.0.1".into() };
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let serving = tokio::spawn(serve(server, peer, service, CancellationToken::new()));
        let _ = client.write_all(&bytes).await;
        let _ = client.shutdown().await;
        let mut answers = Vec::new();
        let _ = client.read_to_end(&mut answers).await;
        serving.await.expect("the connection must not panic");
        // Whatever came back is a sequence of whole response messages.
        let mut rest = answers.as_slice();
        while !rest.is_empty() {
            let length = u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize + 8;
            assert_eq!(&rest[..3], &[0x42, 0x00, 0x7B], "a response message");
            rest = &rest[length..];
        }
    });
});
