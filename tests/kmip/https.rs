//! KMIP over HTTPS without the sockets: encodings, statuses, sizes.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{Request as HttpRequest, StatusCode, header},
};
use kmip_codec::{
    Limits, ProtocolVersion,
    message::{RequestHeader, RequestItem, RequestMessage, ResponseMessage},
    payload::{DiscoverVersionsRequest, QueryRequest, Request, Response},
    spec::enums::{Operation, QueryFunction, ResultReason, ResultStatus},
    text::{self, Encoding},
    version::{V1_2, V1_4, V2_1},
};
use portcullis::kmip::{Peer, Service, Settings, https};
use portcullis_testing::Kmip;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

use crate::support::{Gateway, create};

const TYPES: [(Encoding, &str); 3] =
    [(Encoding::Ttlv, "application/octet-stream"), (Encoding::Json, "application/json"), (Encoding::Xml, "text/xml")];

/// Status, content type and body.
async fn call(service: &Arc<Service>, peer: Option<Peer>, request: HttpRequest<Body>) -> (StatusCode, String, Vec<u8>) {
    let answer = https(Arc::clone(service), peer).oneshot(request).await.unwrap();
    let content_type = answer.headers().get(header::CONTENT_TYPE).map(|it| it.to_str().unwrap().to_owned());
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec();
    (status, content_type.unwrap_or_default(), body)
}

fn post(content_type: &str, body: impl Into<Body>) -> HttpRequest<Body> {
    HttpRequest::post("/kmip").header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap()
}

fn message(version: ProtocolVersion, operation: Operation, request: Request) -> Vec<u8> {
    let items = vec![RequestItem::new(operation, request)];
    RequestMessage { header: RequestHeader::new(version), items }.encode().unwrap().to_vec()
}

fn discover(version: ProtocolVersion) -> Vec<u8> {
    message(version, Operation::DISCOVER_VERSIONS, DiscoverVersionsRequest::default().into())
}

fn in_text(encoding: Encoding, ttlv: &[u8]) -> Vec<u8> {
    text::from_ttlv(encoding, ttlv, &Limits::default()).unwrap().to_vec()
}

/// The only item of an answer: version, operation, status, reason.
type Only = (ProtocolVersion, Option<Operation>, ResultStatus, Option<ResultReason>);

fn only(encoding: Encoding, body: &[u8]) -> Only {
    let ttlv = text::to_ttlv(encoding, body, &Limits::default()).expect("a whole message");
    let message = ResponseMessage::decode(&ttlv, &Limits::default()).unwrap();
    assert_eq!(message.items.len(), 1);
    let item = &message.items[0];
    (message.header.protocol_version, item.operation, item.status, item.reason)
}

#[tokio::test]
async fn each_encoding_is_answered_in_itself() {
    let gateway = Gateway::start();
    for (encoding, content_type) in TYPES {
        for version in [V1_2, V2_1] {
            let made =
                message(version, Operation::CREATE, create(&format!("{encoding:?} {version}"), Default::default()));
            let body = in_text(encoding, &made);
            let (status, answered, body) =
                call(&gateway.service, Some(gateway.peer.clone()), post(content_type, body)).await;
            assert_eq!((status, answered.as_str()), (StatusCode::OK, content_type));
            let expected = (version, Some(Operation::CREATE), ResultStatus::SUCCESS, None);
            assert_eq!(only(encoding, &body), expected, "{encoding:?}");
        }
    }
}

#[tokio::test]
async fn the_content_type_may_say_more_and_be_written_otherwise() {
    let gateway = Gateway::start();
    let xml = in_text(Encoding::Xml, &discover(V1_4));
    let json = in_text(Encoding::Json, &discover(V1_4));
    for (content_type, body, answered) in [
        ("application/xml", &xml, "text/xml"),
        ("Text/XML; charset=UTF-8", &xml, "text/xml"),
        ("application/json;charset=\"utf-8\"", &json, "application/json"),
    ] {
        let (status, found, _) =
            call(&gateway.service, Some(gateway.peer.clone()), post(content_type, body.clone())).await;
        assert_eq!((status, found.as_str()), (StatusCode::OK, answered), "{content_type}");
    }
}

#[tokio::test]
async fn http_level_faults_have_their_status() {
    let gateway = Gateway::start();
    let ttlv = discover(V1_4);
    let request = |method: &str, path: &str, content_type: Option<&str>| {
        let request = HttpRequest::builder().method(method).uri(path);
        let request = content_type.map(|it| request.header(header::CONTENT_TYPE, it));
        let request = request.unwrap_or_else(|| HttpRequest::builder().method(method).uri(path));
        request.body(Body::from(ttlv.clone())).unwrap()
    };
    let octets = Some("application/octet-stream");
    let table = [
        (request("GET", "/kmip", octets), StatusCode::METHOD_NOT_ALLOWED),
        (request("PUT", "/kmip", octets), StatusCode::METHOD_NOT_ALLOWED),
        (request("DELETE", "/kmip", octets), StatusCode::METHOD_NOT_ALLOWED),
        (request("POST", "/", octets), StatusCode::NOT_FOUND),
        (request("POST", "/kmip/", octets), StatusCode::NOT_FOUND),
        (request("POST", "/KMIP", octets), StatusCode::NOT_FOUND),
        (request("POST", "/kmip", None), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (request("POST", "/kmip", Some("text/plain")), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (request("POST", "/kmip", Some("application/json; charset=utf-16")), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (request("POST", "/kmip?a=b", octets), StatusCode::OK),
    ];
    for (request, expected) in table {
        let shown = format!("{} {}", request.method(), request.uri());
        let (status, _, _) = call(&gateway.service, Some(gateway.peer.clone()), request).await;
        assert_eq!(status, expected, "{shown}");
    }
    let mut packed = post("application/octet-stream", ttlv.clone());
    packed.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
    let (status, _, _) = call(&gateway.service, Some(gateway.peer.clone()), packed).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn garbage_is_answered_by_kmip() {
    let gateway = Gateway::start();
    let bodies: [&[u8]; 6] =
        [b"", b"garbage", b"{}", b"<D/>", &[0x42, 0x00, 0x78, 1, 0xFF, 0xFF, 0xFF, 0xF8], &[0xFF; 64]];
    for (encoding, content_type) in TYPES {
        for body in bodies {
            let (status, answered, answer) =
                call(&gateway.service, Some(gateway.peer.clone()), post(content_type, body.to_vec())).await;
            assert_eq!((status, answered.as_str()), (StatusCode::OK, content_type));
            let (_, operation, status, reason) = only(encoding, &answer);
            let expected = (None, ResultStatus::OPERATION_FAILED, Some(ResultReason::INVALID_MESSAGE));
            assert_eq!((operation, status, reason), expected, "{encoding:?} {body:?}");
        }
    }
}

#[tokio::test]
async fn a_cut_text_is_answered_in_the_version_it_named() {
    let gateway = Gateway::start();
    for (encoding, content_type) in [TYPES[1], TYPES[2]] {
        let whole = in_text(encoding, &discover(V1_2));
        let cut = whole[..whole.len() - 2].to_vec();
        let (status, _, answer) = call(&gateway.service, Some(gateway.peer.clone()), post(content_type, cut)).await;
        assert_eq!(status, StatusCode::OK);
        let expected = (V1_2, None, ResultStatus::OPERATION_FAILED, Some(ResultReason::INVALID_MESSAGE));
        assert_eq!(only(encoding, &answer), expected, "{encoding:?}");
    }
}

#[tokio::test]
async fn size_limits_hold_with_and_without_a_declared_length() {
    let gateway = Gateway::start();
    let limits = Limits { message_bytes_max: 4096, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let service = Arc::new(Service::new(Arc::clone(&gateway.bench.engine), settings));
    for (_, content_type) in TYPES {
        for (size, expected) in [(4096, StatusCode::OK), (4097, StatusCode::PAYLOAD_TOO_LARGE)] {
            let body = vec![b' '; size];
            let mut declared = post(content_type, body.clone());
            declared.headers_mut().insert(header::CONTENT_LENGTH, size.to_string().parse().unwrap());
            let (status, _, _) = call(&service, Some(gateway.peer.clone()), declared).await;
            assert_eq!(status, expected, "{content_type}, {size} bytes declared");
            let (status, _, _) = call(&service, Some(gateway.peer.clone()), post(content_type, body)).await;
            assert_eq!(status, expected, "{content_type}, {size} bytes");
        }
    }
    // Who is not enrolled may send less.
    let mut declared = post("text/xml", Vec::new());
    declared.headers_mut().insert(header::CONTENT_LENGTH, "1048577".parse().unwrap());
    let (status, _, _) = call(&gateway.service, None, declared).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn who_is_not_enrolled_is_told_so_in_every_encoding() {
    let gateway = Gateway::start();
    for (encoding, content_type) in TYPES {
        let body = in_text(encoding, &discover(V1_4));
        let (status, _, answer) = call(&gateway.service, None, post(content_type, body)).await;
        assert_eq!(status, StatusCode::OK);
        let (version, operation, status, reason) = only(encoding, &answer);
        assert_eq!((version, operation, status), (V1_4, None, ResultStatus::OPERATION_FAILED));
        assert_eq!(reason, Some(ResultReason::AUTHENTICATION_NOT_SUCCESSFUL));
    }
}

#[tokio::test]
async fn the_maximum_response_size_is_that_of_the_ttlv_form() {
    let gateway = Gateway::start();
    let query = QueryRequest { query_functions: vec![QueryFunction::QUERY_OPERATIONS], ..QueryRequest::default() };
    let size_of = |maximum_response_size| {
        let mut header = RequestHeader::new(V1_4);
        header.maximum_response_size = maximum_response_size;
        let items = vec![RequestItem::new(Operation::QUERY, Request::from(query.clone()))];
        RequestMessage { header, items }.encode().unwrap().to_vec()
    };
    let (_, _, body) =
        call(&gateway.service, Some(gateway.peer.clone()), post("application/octet-stream", size_of(None))).await;
    let exact = i32::try_from(body.len()).unwrap();
    for (encoding, content_type) in TYPES {
        // Correlation values of later requests may be a digit longer.
        for (size, expected) in [(exact + 16, None), (exact - 16, Some(ResultReason::RESPONSE_TOO_LARGE))] {
            let body = in_text(encoding, &size_of(Some(size)));
            let (_, _, answer) = call(&gateway.service, Some(gateway.peer.clone()), post(content_type, body)).await;
            assert_eq!(only(encoding, &answer).3, expected, "{encoding:?} {size}");
        }
    }
}

#[tokio::test]
async fn the_versions_are_the_same_in_every_encoding() {
    let gateway = Gateway::start();
    let mut found = Vec::new();
    for (encoding, content_type) in TYPES {
        let body = in_text(encoding, &discover(V1_4));
        let (_, _, answer) = call(&gateway.service, Some(gateway.peer.clone()), post(content_type, body)).await;
        let ttlv = text::to_ttlv(encoding, &answer, &Limits::default()).unwrap();
        let message = ResponseMessage::decode(&ttlv, &Limits::default()).unwrap();
        let payload = message.items[0].payload.as_ref().unwrap();
        match Response::decode(Operation::DISCOVER_VERSIONS, V1_4, payload).unwrap() {
            Response::DiscoverVersions(answer) => found.push(answer.protocol_versions),
            other => panic!("an answer to {}", other.operation()),
        }
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]) && found[0].contains(&V2_1));
}

/// One request over the connection; status line and body.
async fn exchange(kmip: &mut Kmip, content_type: &str, body: &[u8]) -> (String, Vec<u8>) {
    let stream = kmip.stream();
    let head = format!(
        "POST /kmip HTTP/1.1\r\nHost: gateway\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    let end = loop {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "it hung up");
        if let Some(end) = answer.windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
    while answer.len() < end + length {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "it hung up");
    }
    (head.lines().next().unwrap().to_owned(), answer[end..].to_vec())
}

#[tokio::test]
async fn the_listener_of_a_gateway_asks_for_the_certificate_and_keeps_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = portcullis_testing::Gateway::start(env!("CARGO_BIN_EXE_portcullis"), &folder.path().join("dev"));
    let url = gateway.kmip_https();
    let address = url.strip_prefix("https://").and_then(|it| it.strip_suffix("/kmip")).expect(&url).parse().unwrap();

    let mut kmip = Kmip::to(address, gateway.folder()).await.unwrap();
    for (encoding, content_type) in TYPES {
        let (status, body) = exchange(&mut kmip, content_type, &in_text(encoding, &discover(V1_4))).await;
        assert_eq!(status, "http/1.1 200 ok");
        assert_eq!(only(encoding, &body).2, ResultStatus::SUCCESS, "{encoding:?}");
    }
    let (status, _) = exchange(&mut kmip, "text/plain", b"hello").await;
    assert_eq!(status, "http/1.1 415 unsupported media type");

    // Without a certificate there is no request at all: TLS 1.3 tells the client with its first read.
    let mut stranger = Kmip::stranger(address, gateway.folder()).await.unwrap();
    let stream = stranger.stream();
    let sent = stream.write_all(b"POST /kmip HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n\r\n").await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    assert!(sent.is_err() || read.is_err(), "a stranger is answered: {}", String::from_utf8_lossy(&answer));
    assert!(answer.is_empty());
}
