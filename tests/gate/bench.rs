//! What `tests/tools/gate` counts the instructions of: pieces of a request's way, each alone and many times.
//!
//! `bench NAME ROUNDS` runs one piece in the function `counted`, which the counting is switched on for; without arguments every piece
//! runs once. Everything is in memory and no piece waits, so the counts are the same on every run. The one exception looks up keys on
//! a simulated token: there the counting is on in the pool's look-up alone, on whichever thread it runs.

use std::{env, fs, hint::black_box, sync::Arc, thread, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request as HttpRequest,
};
use kmip_codec::{
    Limits, Tag,
    attribute::{AttributeList, AttributeValue, Attributes, CryptographicParameters, Name},
    message::{RequestHeader, RequestItem, RequestMessage, ResponseItem, ResponseMessage},
    payload::{
        ActivateRequest, CreateRequest, Data, DiscoverVersionsRequest, EncryptRequest, GetRequest, LocateRequest,
        Request, Response,
    },
    spec::enums::{BlockCipherMode, CryptographicAlgorithm, ObjectType, Operation, PaddingMethod},
    version::V2_1,
};
use portcullis::{
    audit::record::{self, Entry},
    authz::{Authorizer, Resource},
    barbican,
    domain::{
        self, OperationKind, Origin, Principal, ProjectId, Realm, SecretValue, Timestamp, TokenId, UniqueIdentifier,
        UsageMask,
        audit::{AuditEvent, Outcome, Protocol},
        reference::{CkaId, KeyKind},
    },
    engine::{
        ports::{Hsm as _, HsmAnswer, HsmRequest, Memory, Placement, StoreError, Terms},
        testing::Bench,
    },
    hsm::{self, Pool},
    kmip::{Peer, Service, Settings},
};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// A piece that was made ready, to be run so many times.
type Piece = Box<dyn FnMut()>;

/// The name under which a piece's count is kept, and what makes it ready.
type Named = (&'static str, fn() -> Piece);

const PIECES: &[Named] = &[
    ("decode-get", decode_get),
    ("encode-get", encode_get),
    ("policy", policy),
    ("audit", audit),
    ("handle-lookup", handle_lookup),
    ("kmip-discover", || kmip(Operation::DISCOVER_VERSIONS)),
    ("kmip-get", || kmip(Operation::GET)),
    ("kmip-locate", || kmip(Operation::LOCATE)),
    ("kmip-encrypt", || kmip(Operation::ENCRYPT)),
    ("rest-metadata", || rest(Rest::Metadata)),
    ("rest-payload", || rest(Rest::Payload)),
    ("rest-list", || rest(Rest::List)),
];

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let named = arguments.next();
    let rounds = arguments.next().map_or(1, |rounds| rounds.parse().expect("a number of rounds"));
    let mut found = false;
    for (name, make) in PIECES {
        if named.as_deref().is_none_or(|named| named == *name) {
            let mut piece = make();
            // What is made at the first use is no part of the way.
            (0..20).for_each(|_| piece());
            counted(&mut piece, rounds);
            println!("{name} {rounds}");
            found = true;
        }
    }
    assert!(found, "no piece is called {named:?}");
}

/// Counting is on while this runs.
#[inline(never)]
fn counted(piece: &mut Piece, rounds: u32) {
    for _ in 0..rounds {
        piece();
    }
    black_box(rounds);
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn principal() -> Principal {
    Principal {
        name: Some("backup-server".to_owned()),
        project: ProjectId("demo".to_owned()),
        roles: vec!["member".to_owned(), "reader".to_owned()],
        realm: Realm::Certificate,
        user_name: None,
    }
}

fn message(operation: Operation, request: Request) -> Vec<u8> {
    let items = vec![RequestItem::new(operation, request)];
    RequestMessage { header: RequestHeader::new(V2_1), items }.encode().expect("a short message").to_vec()
}

fn get(id: &str) -> Vec<u8> {
    let request = GetRequest { unique_identifier: Some(id.into()), ..GetRequest::default() };
    message(Operation::GET, request.into())
}

fn decode_get() -> Piece {
    let (bytes, limits) = (get("5a0a0f6c-6a59-4f6a-9a51-4c2e0d0f2a11"), Limits::default());
    Box::new(move || {
        let message = RequestMessage::decode(black_box(&bytes), &limits).expect("our own");
        let item = message.items.first().expect("an item");
        black_box(Request::decode(item.operation, V2_1, &item.payload).expect("a Get"));
    })
}

/// A KMIP front end over everything in memory, and the runtime that it needs.
struct Front {
    runtime: Runtime,
    service: Arc<Service>,
    peer: Peer,
}

impl Front {
    fn new() -> Self {
        let service = Arc::new(Service::new(Bench::default().engine, Settings::default()));
        let peer = Peer { principal: Arc::new(principal()), address: "127.0.0.1".to_owned() };
        Self { runtime: runtime(), service, peer }
    }

    fn answer(&self, message: &[u8]) -> Vec<u8> {
        self.runtime.block_on(self.service.answer(&self.peer, "kmip-1-1", message)).to_vec()
    }

    fn asked(&self, operation: Operation, request: Request) -> Response {
        let answer = self.answer(&message(operation, request));
        let answer = ResponseMessage::decode(&answer, &Limits::default()).expect("our own");
        let item = answer.items.into_iter().next().expect("an item");
        let payload = item.payload.unwrap_or_else(|| panic!("{operation:?}: {:?}", item.reason));
        Response::decode(operation, V2_1, &payload).expect("a known answer")
    }

    fn key(&self) -> String {
        let mask = AttributeValue::Mask(0xC);
        let attributes = Attributes::default()
            .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::AES.number()))
            .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256))
            .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, mask)
            .with(Tag::NAME, AttributeValue::Name(Name::text("key of the third rack")));
        let create =
            CreateRequest { object_type: ObjectType::SYMMETRIC_KEY, attributes, protection_storage_masks: None };
        let Response::Create(made) = self.asked(Operation::CREATE, create.into()) else { panic!("no Create") };
        let activate = ActivateRequest { unique_identifier: Some(made.unique_identifier.clone()) };
        self.asked(Operation::ACTIVATE, activate.into());
        made.unique_identifier.as_text().expect("a text").to_owned()
    }
}

fn encode_get() -> Piece {
    let front = Front::new();
    let answer = front.answer(&get(&front.key()));
    let message = ResponseMessage::decode(&answer, &Limits::default()).expect("our own");
    let header = message.header.clone();
    let item = message.items.into_iter().next().expect("an item");
    let payload = Response::decode(Operation::GET, V2_1, &item.payload.expect("a success")).expect("a Get");
    let message = ResponseMessage { header, items: vec![ResponseItem::success(Operation::GET, payload)] };
    Box::new(move || drop(black_box(black_box(&message).encode().expect("a short message"))))
}

fn policy() -> Piece {
    let (authorizer, principal) = (Authorizer::default(), principal());
    let rest = Principal { realm: Realm::Keystone, ..principal.clone() };
    let project = principal.project.clone();
    Box::new(move || {
        let resource =
            Resource { project: &project, creator: Some("backup-server"), origin: Origin::Kmip, grants: None };
        for who in [&principal, &rest] {
            black_box(authorizer.permit(black_box(who), OperationKind::Reveal, None, &[resource], ()).is_ok());
        }
    })
}

fn audit() -> Piece {
    let event = AuditEvent {
        id: [7; 16],
        time: Timestamp::from_micros(1_800_000_000_123_456),
        request: "kmip-1-1".to_owned(),
        protocol: Protocol::Kmip,
        initiator: Some("backup-server".to_owned()),
        realm: Some(Realm::Certificate),
        project: Some(ProjectId("demo".to_owned())),
        address: Some("127.0.0.1".to_owned()),
        operation: OperationKind::Reveal,
        targets: vec![UniqueIdentifier::from_bytes([2; 16])],
        outcome: Outcome::Success,
        recovered: false,
        http: None,
    };
    let (mut line, mut head, mut seq) = (Vec::with_capacity(1024), [0; 32], 0);
    let entry = Entry::Event(Box::new(event));
    Box::new(move || {
        line.clear();
        seq += 1;
        record::write_line(&mut line, black_box(&entry), seq, &head, "portcullis").expect("a record");
        head = record::hash(&line);
    })
}

/// A memory for a pool that is used for a moment.
struct Forgetful;

impl Memory for Forgetful {
    fn recall(&self, _name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
    fn remember(&self, _name: &str, _fact: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A use of a key that the pool knows by its handle.
fn handle_lookup() -> Piece {
    const PIN: &str = "1234-user";
    const LIMIT: Duration = Duration::from_secs(600);
    let folder = tempfile::tempdir().expect("a folder");
    let (store, options) = (folder.path().join("sim"), folder.path().join("hsm-sim.toml"));
    fs::write(&options, "kdf_cost = \"test\"\ndurability = \"off\"\n").expect("a file");
    hsm_sim::admin::init_token(&store, "gate", b"5678-officer", PIN.as_bytes()).expect("a token");
    let module = env::current_exe().expect("a path").with_file_name("libhsm_sim.so");
    let pin: hsm::PinSource = Arc::new(|| Ok(SecretValue::new(PIN.as_bytes().to_vec())));
    let mut config = hsm::Config::new("one", module, "gate", pin);
    config.reserved = Some(format!("hsm-sim:store={};config={}", store.display(), options.display()));
    config.workers = Some(1);
    // Under valgrind everything takes its time.
    config.call_limit = LIMIT;
    let memory: Arc<dyn Memory> = Arc::new(Forgetful);
    let observer: Arc<dyn hsm::Observer> = Arc::new(hsm::Unobserved);
    let pool = Pool::connect(vec![config], &memory, &observer).expect("a pool");
    // Its start waits for a moment only.
    while pool.status().first().is_none_or(|token| token.health != "ready") {
        thread::sleep(Duration::from_millis(50));
    }
    let runtime = runtime();
    let call = move |request| runtime.block_on(pool.call(request, Terms::of_gateway(LIMIT))).expect("an answer");
    let at = Placement { token: TokenId("one".to_owned()), cka_id: CkaId([7; 16]) };
    let (kind, usage, value) = (KeyKind::Generic, UsageMask::MAC_GENERATE, SecretValue::new(vec![7; 32]));
    let import = HsmRequest::ImportKey { at, kind, value, usage, extractable: false };
    let HsmAnswer::Made { reference: key, .. } = call(import) else { panic!("nothing was made") };
    Box::new(move || {
        let _kept = &folder;
        let parameters = domain::CryptographicParameters {
            cryptographic_algorithm: Some(domain::CryptographicAlgorithm::HMAC_SHA256),
            ..domain::CryptographicParameters::default()
        };
        let mac = HsmRequest::Mac { key: key.clone(), parameters, data: SecretValue::new(vec![7; 32]) };
        black_box(call(mac));
    })
}

fn kmip(operation: Operation) -> Piece {
    let front = Front::new();
    let id = front.key();
    let request = match operation {
        Operation::GET => get(&id),
        Operation::LOCATE => {
            let name = AttributeValue::Name(Name::text("key of the third rack"));
            let attributes = AttributeList(Attributes::default().with(Tag::NAME, name));
            message(operation, LocateRequest { attributes, ..LocateRequest::default() }.into())
        }
        Operation::ENCRYPT => {
            let parameters = CryptographicParameters {
                block_cipher_mode: Some(BlockCipherMode::CBC),
                padding_method: Some(PaddingMethod::PKCS5),
                ..CryptographicParameters::default()
            };
            let encrypt = EncryptRequest {
                unique_identifier: Some(id.as_str().into()),
                cryptographic_parameters: Some(parameters),
                data: Some(Data::Bytes(vec![7; 32].into())),
                iv_counter_nonce: Some(vec![9; 16]),
                ..EncryptRequest::default()
            };
            message(operation, encrypt.into())
        }
        _ => message(operation, DiscoverVersionsRequest::default().into()),
    };
    let answer = front.answer(&request);
    let answer = ResponseMessage::decode(&answer, &Limits::default()).expect("our own");
    assert!(answer.items.iter().all(|item| item.reason.is_none()), "{:?}", answer.items.first().map(|it| it.reason));
    Box::new(move || drop(black_box(front.answer(black_box(&request)))))
}

/// A request of the REST API.
#[derive(Clone, Copy)]
enum Rest {
    Metadata,
    Payload,
    List,
}

fn rest(which: Rest) -> Piece {
    let bench = Bench::default();
    let (router, _jobs) = barbican::testing::over(&bench, barbican::Settings::default());
    let runtime = runtime();
    let mut id = String::new();
    for number in 0..10 {
        let body = format!(
            r#"{{"name": "secret {number}", "payload": "c2VjcmV0IG51bWJlcg==", "payload_content_encoding": "base64",
                "payload_content_type": "application/octet-stream", "algorithm": "aes", "bit_length": 128, "mode": "cbc"}}"#
        );
        let (status, stored) = runtime.block_on(ask(&router, "POST", "/v1/secrets", body));
        assert_eq!(status, 201, "{stored}");
        let href = stored.rsplit('/').next().expect("a reference");
        id = href.chars().take(36).collect();
    }
    let path = match which {
        Rest::Metadata => format!("/v1/secrets/{id}"),
        Rest::Payload => format!("/v1/secrets/{id}/payload"),
        Rest::List => "/v1/secrets".to_owned(),
    };
    Box::new(move || {
        let _kept = &bench;
        let (status, body) = runtime.block_on(ask(&router, "GET", &path, String::new()));
        assert_eq!(status, 200, "{body}");
    })
}

async fn ask(router: &Router, method: &str, path: &str, body: String) -> (u16, String) {
    let request = HttpRequest::builder().method(method).uri(path);
    let request = request.header("host", "keys.test:9311").header("x-project-id", "demo").header("x-user-id", "alice");
    let request = match method {
        "POST" => request.header("content-type", "application/json"),
        _ if path.ends_with("payload") => request.header("accept", "application/octet-stream"),
        _ => request.header("accept", "application/json"),
    };
    let answer = router.clone().oneshot(request.body(Body::from(body)).expect("a request")).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}
