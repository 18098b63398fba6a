//! The gateway as the client of a connection: Set Endpoint Role, Notify, Put (KMIP contract §6).

use std::{sync::Arc, time::Duration};

use kmip_codec::{
    Limits, ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{AttributeKind, AttributeValue, Attributes},
    codec::DateTime,
    message::{RequestHeader, RequestItem, RequestMessage, ResponseHeader, ResponseItem, ResponseMessage},
    object::ManagedObject,
    payload::{
        ActivateRequest, AddAttributeRequest, DeleteAttributeRequest, DestroyRequest, NotifyResponse, PutResponse,
        Request, Response, SetEndpointRoleRequest,
    },
    spec::enums::{EndpointRole, Operation, PutFunction, ResultReason as R},
    ttlv::{HEADER_BYTES, MessageKind, message_length},
    version::{SUPPORTED, V1_0, V1_4, V2_0, V2_1},
};
use portcullis::{
    kmip::{Listener, Settings, announce, serve},
    net::Dialer,
    tls::{Identity, Reloadable, ServerFiles, client_config, make_dev_files},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::support::{Gateway, decode, peer, reason};

const PATIENCE: Duration = Duration::from_secs(60);

/// A connection whose roles are turned.
struct Turned {
    stream: DuplexStream,
    drain: CancellationToken,
}

async fn message<S: AsyncRead + Unpin>(stream: &mut S, kind: MessageKind) -> Vec<u8> {
    let read = async {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).await.unwrap();
        let length = message_length(&header, kind, &Limits::default()).unwrap();
        let mut bytes = header.to_vec();
        bytes.resize(length, 0);
        stream.read_exact(&mut bytes[HEADER_BYTES..]).await.unwrap();
        bytes
    };
    timeout(PATIENCE, read).await.expect("a message in time")
}

impl Turned {
    async fn new(gateway: &Gateway, version: ProtocolVersion) -> Self {
        let (mut stream, far) = duplex(1 << 16);
        let drain = CancellationToken::new();
        let (service, token) = (Arc::clone(&gateway.service), drain.clone());
        tokio::spawn(serve(far, peer("listener", "demo", "admin"), service, token));
        let request = Request::from(SetEndpointRoleRequest { endpoint_role: EndpointRole::CLIENT });
        let items = vec![RequestItem::new(Operation::SET_ENDPOINT_ROLE, request)];
        let ask = RequestMessage { header: RequestHeader::new(version), items }.encode().unwrap();
        stream.write_all(&ask).await.unwrap();
        let (_, answers) = decode(&message(&mut stream, MessageKind::Response).await);
        assert!(
            matches!(&answers[0].payload, Some(Response::SetEndpointRole(it)) if it.endpoint_role == EndpointRole::CLIENT)
        );
        Self { stream, drain }
    }

    async fn told(&mut self, version: ProtocolVersion) -> Request {
        told(&mut self.stream, version).await
    }
}

/// The next thing that is told, and the answer to it.
async fn told<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, version: ProtocolVersion) -> Request {
    let bytes = message(stream, MessageKind::Request).await;
    let told = RequestMessage::decode(&bytes, &Limits::default()).unwrap();
    assert_eq!(told.header.protocol_version, version);
    let item = &told.items[0];
    let request = Request::decode(item.operation, version, &item.payload).unwrap();
    let response = match item.operation {
        Operation::NOTIFY => Response::from(NotifyResponse::default()),
        Operation::PUT => Response::from(PutResponse::default()),
        other => panic!("{other}"),
    };
    let header = ResponseHeader::new(version, DateTime(0));
    let answer = ResponseMessage { header, items: vec![ResponseItem::success(item.operation, response)] };
    stream.write_all(&answer.encode().unwrap()).await.unwrap();
    stream.flush().await.unwrap();
    request
}

fn has(list: &Attributes, tag: Tag) -> bool {
    list.items.iter().any(|it| it.kind == AttributeKind::from(tag))
}

#[tokio::test]
async fn a_client_that_turns_its_connection_is_told_of_what_changes() {
    for version in [V2_0, V2_1] {
        let gateway = Gateway::start();
        let mut turned = Turned::new(&gateway, version).await;
        let id = gateway.aes(version, "told", Attributes::default()).await;
        let Request::Notify(new) = turned.told(version).await else { panic!("a new object is told of") };
        assert_eq!(new.unique_identifier, id);
        assert!(has(&new.attributes.0, Tag::NAME) && has(&new.attributes.0, Tag::STATE));

        let comment = kmip_codec::attribute::Attribute::new(Tag::COMMENT, AttributeValue::Text("one".into()));
        let add = AddAttributeRequest { unique_identifier: Some(id.clone()), attribute: comment };
        assert_eq!(gateway.one(version, Operation::ADD_ATTRIBUTE, Request::from(add)).await.reason, None);
        let Request::Notify(changed) = turned.told(version).await else { panic!() };
        assert!(has(&changed.attributes.0, Tag::COMMENT) && !has(&changed.attributes.0, Tag::NAME));

        let delete = DeleteAttributeRequest {
            unique_identifier: Some(id.clone()),
            attribute_reference: Some(AttributeKind::from(Tag::COMMENT)),
            ..DeleteAttributeRequest::default()
        };
        assert_eq!(gateway.one(version, Operation::DELETE_ATTRIBUTE, Request::from(delete)).await.reason, None);
        let Request::Notify(changed) = turned.told(version).await else { panic!() };
        assert_eq!(changed.attribute_references, [AttributeKind::from(Tag::COMMENT)]);

        // What fails changes nothing and is not told; neither is what belongs to others.
        let destroy = || Request::from(DestroyRequest { unique_identifier: Some(id.clone()) });
        let activate = || Request::from(ActivateRequest { unique_identifier: Some(id.clone()) });
        let stranger = Gateway { peer: peer("other", "elsewhere", "member"), ..gateway };
        stranger.aes(version, "", Attributes::default()).await;
        let gateway = Gateway { peer: peer("client", "demo", "member"), ..stranger };
        assert_eq!(gateway.one(version, Operation::DESTROY, destroy()).await.reason, None);
        let Request::Notify(gone) = turned.told(version).await else { panic!() };
        assert!(gone.unique_identifier == id && has(&gone.attributes.0, Tag::DESTROY_DATE));
        assert_eq!(reason(&gateway.one(version, Operation::ACTIVATE, activate()).await), R::OBJECT_DESTROYED);
        let next = gateway.aes(version, "", Attributes::default()).await;
        let Request::Notify(new) = turned.told(version).await else { panic!() };
        assert_eq!(new.unique_identifier, next);

        turned.drain.cancel();
        let mut rest = Vec::new();
        timeout(PATIENCE, turned.stream.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(rest.is_empty(), "nothing else was told");
    }
}

#[tokio::test]
async fn where_the_operator_says_so_new_objects_are_put() {
    let gateway = Gateway::with(Settings { versions: SUPPORTED.to_vec(), put: true, ..Settings::default() });
    let mut turned = Turned::new(&gateway, V2_1).await;
    let id = gateway.aes(V2_1, "", Attributes::default()).await;
    let Request::Put(put) = turned.told(V2_1).await else { panic!("an object") };
    assert_eq!((put.unique_identifier, put.put_function), (id.clone(), PutFunction::NEW));
    assert!(matches!(put.object, ManagedObject::SymmetricKey(_)) && has(&put.attributes.0, Tag::STATE));
    // Its read ended *Fresh*, which is a change.
    let Request::Notify(read) = turned.told(V2_1).await else { panic!() };
    assert!(read.unique_identifier == id && has(&read.attributes.0, Tag::FRESH));

    let rekey = kmip_codec::payload::ReKeyRequest { unique_identifier: Some(id.clone()), ..Default::default() };
    let answer = gateway.one(V2_1, Operation::RE_KEY, Request::from(rekey)).await;
    let Some(Response::ReKey(made)) = answer.payload else { panic!("{answer:?}") };
    let mut replaced: Option<UniqueIdentifier> = None;
    for _ in 0..2 {
        match turned.told(V2_1).await {
            Request::Put(put) => {
                assert_eq!((&put.unique_identifier, put.put_function), (&made.unique_identifier, PutFunction::REPLACE));
                replaced = put.replaced_unique_identifier;
            }
            Request::Notify(old) => assert_eq!(old.unique_identifier, id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(replaced, Some(id));

    let hidden = Attributes::default().with(Tag::SENSITIVE, AttributeValue::Boolean(true));
    let hidden = gateway.aes(V2_1, "", hidden).await;
    loop {
        // What may not leave is told of only.
        match turned.told(V2_1).await {
            Request::Notify(told) if told.unique_identifier == hidden => break,
            Request::Notify(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn roles_are_turned_on_a_connection_only() {
    let gateway = Gateway::start();
    let ask = |endpoint_role| Request::from(SetEndpointRoleRequest { endpoint_role });
    let answer = gateway.one(V2_1, Operation::SET_ENDPOINT_ROLE, ask(EndpointRole::CLIENT)).await;
    assert_eq!(reason(&answer), R::OPERATION_NOT_SUPPORTED);
    let answer = gateway.one(V2_1, Operation::SET_ENDPOINT_ROLE, ask(EndpointRole::SERVER)).await;
    assert_eq!(answer.reason, None, "it is the server already");
}

/// A client of 1.x has a listener of its own. A delivery that fails is tried again, and nothing is lost meanwhile.
#[tokio::test]
async fn a_listener_is_connected_to_until_it_hears() {
    let folder = tempfile::tempdir().unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let files = make_dev_files(folder.path(), "teller", now).unwrap();
    let tls = Reloadable::load(ServerFiles {
        certificate: files.server.clone(),
        key: files.server_key.clone(),
        client_ca: Some(files.ca.clone()),
        alpn: &[],
    });
    let acceptor = TlsAcceptor::from(tls.unwrap().current().load_full());
    for version in [V1_0, V1_4] {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::start();
        let address = tcp.local_addr().unwrap().to_string();
        let dialer = Dialer {
            address: address.clone(),
            name: "127.0.0.1".try_into().unwrap(),
            tls: client_config(&files.ca, Identity::read(&files.client, &files.client_key).unwrap()).unwrap(),
        };
        let listener = Listener { peer: peer("array", "demo", "admin"), address, version, put: false };
        let drain = CancellationToken::new();
        let telling = tokio::spawn(announce(
            listener,
            move || dialer.clone().connect(),
            Arc::clone(&gateway.service),
            drain.clone(),
        ));
        // It listens from its first moment on.
        while !gateway.bench.engine.is_heard() {
            tokio::task::yield_now().await;
        }
        let id = gateway.aes(version, "told", Attributes::default()).await;
        let activate = Request::from(ActivateRequest { unique_identifier: Some(id.clone()) });
        assert_eq!(gateway.one(version, Operation::ACTIVATE, activate).await.reason, None);
        // The first attempt is refused.
        drop(timeout(PATIENCE, tcp.accept()).await.unwrap().unwrap());
        let (stream, _) = timeout(PATIENCE, tcp.accept()).await.unwrap().unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let Request::Notify(new) = told(&mut stream, version).await else { panic!() };
        assert!(new.unique_identifier == id && has(&new.attributes.0, Tag::NAME));
        let Request::Notify(active) = told(&mut stream, version).await else { panic!() };
        assert!(active.unique_identifier == id && has(&active.attributes.0, Tag::ACTIVATION_DATE));
        drain.cancel();
        timeout(PATIENCE, telling).await.unwrap().unwrap();
    }
}
