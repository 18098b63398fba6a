//! A KMIP client beside an engine in memory: no sockets, the whole front end.

use std::sync::Arc;

use kmip_codec::{
    Limits, ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{AttributeKind, AttributeValue, Attributes, Name},
    message::{RequestHeader, RequestItem, RequestMessage, ResponseItem, ResponseMessage},
    payload::{CreateRequest, Request, Response},
    spec::enums::{CryptographicAlgorithm, ObjectType, Operation, ResultReason},
    ttlv::Item,
    version::SUPPORTED,
};
use portcullis::{
    authz::Authorizer,
    domain::{Principal, ProjectId, Realm},
    engine::testing::Bench,
    kmip::{Peer, Service, Settings},
};

pub(crate) struct Gateway {
    pub(crate) bench: Bench,
    pub(crate) service: Arc<Service>,
    pub(crate) peer: Peer,
}

pub(crate) type Answer = ResponseItem<Response>;

pub(crate) fn peer(name: &str, project: &str, role: &str) -> Peer {
    let roles = match role {
        "admin" => vec!["admin", "member", "reader"],
        "member" => vec!["member", "reader"],
        other => vec![other],
    };
    let principal = Principal {
        name: Some(name.into()),
        project: ProjectId(project.into()),
        roles: roles.into_iter().map(Into::into).collect(),
        realm: Realm::Certificate,
        user_name: None,
    };
    Peer { principal: Arc::new(principal), address: "127.0.0.1".into() }
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::with(Settings::default())
    }

    /// One that speaks every version, 3.0 too.
    pub(crate) fn of_all_versions() -> Self {
        Self::with(Settings { versions: SUPPORTED.to_vec(), ..Settings::default() })
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let bench = Bench::new(Authorizer::default());
        let settings = Settings { interop: true, ..settings };
        let service = Arc::new(Service::new(Arc::clone(&bench.engine), settings));
        Self { bench, service, peer: peer("client", "demo", "member") }
    }

    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        self.service.answer(&self.peer, "test", bytes).await.to_vec()
    }

    pub(crate) async fn raw_items(&self, bytes: &[u8]) -> (ProtocolVersion, Vec<Answer>) {
        decode(&self.raw(bytes).await)
    }

    pub(crate) async fn send(&self, message: &RequestMessage<Request>) -> Vec<Answer> {
        self.raw_items(&message.encode().unwrap()).await.1
    }

    pub(crate) async fn one(&self, version: ProtocolVersion, operation: Operation, request: Request) -> Answer {
        let message =
            RequestMessage { header: RequestHeader::new(version), items: vec![RequestItem::new(operation, request)] };
        let mut answers = self.send(&message).await;
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    /// An AES-256 key that may encrypt and decrypt; its identifier.
    pub(crate) async fn aes(&self, version: ProtocolVersion, name: &str, extra: Attributes) -> UniqueIdentifier {
        let answer = self.one(version, Operation::CREATE, create(name, extra)).await;
        match answer.payload {
            Some(Response::Create(made)) => made.unique_identifier,
            other => panic!("{:?} {:?} {other:?}", answer.reason, answer.message),
        }
    }
}

impl Gateway {
    /// An AES-256 key with its usage mask among the attributes.
    pub(crate) async fn aes_with_mask(&self, version: ProtocolVersion, attributes: Attributes) -> UniqueIdentifier {
        let Request::Create(mut request) = create("", Attributes::default()) else { unreachable!("it is a Create") };
        request.attributes.items.retain(|it| it.kind != AttributeKind::from(Tag::CRYPTOGRAPHIC_USAGE_MASK));
        request.attributes.items.extend(attributes.items);
        let answer = self.one(version, Operation::CREATE, Request::Create(request)).await;
        match answer.payload {
            Some(Response::Create(made)) => made.unique_identifier,
            other => panic!("{:?} {:?} {other:?}", answer.reason, answer.message),
        }
    }
}

pub(crate) fn create(name: &str, extra: Attributes) -> Request {
    let mut attributes = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::AES.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256))
        .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0xC));
    if !name.is_empty() {
        attributes.push(AttributeKind::from(Tag::NAME), AttributeValue::Name(Name::text(name)));
    }
    attributes.items.extend(extra.items);
    let object_type = ObjectType::SYMMETRIC_KEY;
    Request::Create(Box::new(CreateRequest { object_type, attributes, protection_storage_masks: None }))
}

/// Decodes an answer; every payload must be one that the typed layer understands.
pub(crate) fn decode(bytes: &[u8]) -> (ProtocolVersion, Vec<Answer>) {
    let message = ResponseMessage::decode(bytes, &Limits::default()).expect("a well-formed answer");
    let version = message.header.protocol_version;
    let items = message.items.into_iter().map(|item| typed(item, version)).collect();
    (version, items)
}

fn typed(item: ResponseItem<Item<'_>>, version: ProtocolVersion) -> Answer {
    let payload = item.payload.map(|payload| {
        Response::decode(item.operation.expect("a payload has an operation"), version, &payload)
            .expect("a typed payload")
    });
    ResponseItem {
        operation: item.operation,
        id: item.id,
        status: item.status,
        reason: item.reason,
        message: item.message,
        asynchronous_correlation_value: item.asynchronous_correlation_value,
        payload,
        extensions: item.extensions,
    }
}

pub(crate) fn reason(answer: &Answer) -> ResultReason {
    answer.reason.unwrap_or_else(|| panic!("it succeeded: {answer:?}"))
}
