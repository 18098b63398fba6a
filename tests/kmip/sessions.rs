//! Who a message is from: users, devices and tickets beside the certificate (KMIP contract §3).

use std::sync::Arc;

use kmip_codec::{
    ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{AttributeValue, Attributes, UsageLimits},
    codec::{DateTime, Interval},
    message::{
        Authentication, Credential, RequestHeader, RequestItem, RequestMessage, Ticket, TicketCredential,
        UsernameAndPassword,
    },
    payload::{
        DelegatedLoginRequest, GetRequest, HashRequest, LoginRequest, LogoutRequest, ObjectGroups, Objects, Operations,
        QueryRequest, Request, Response, Right, Rights, TicketLease,
    },
    secret::SecretText,
    spec::enums::{HashingAlgorithm, Operation, QueryFunction, ResultReason, TicketType, UsageLimitsUnit},
    version::{V1_0, V1_4, V2_0, V2_1},
};
use portcullis::{
    authn::{Credentials, OneTimeBy, User},
    domain::SecretValue,
    engine::ports::Clock,
    kmip::{Service, Settings},
};

use crate::{
    states::{derive, rekey, split},
    support::{Answer, Gateway, create, reason},
};

async fn send(
    gateway: &Gateway,
    version: ProtocolVersion,
    credential: Option<Credential>,
    operation: Operation,
    request: Request,
) -> Answer {
    let authentication = credential.map(|credential| Authentication { credentials: vec![credential] });
    let header = RequestHeader { authentication, ..RequestHeader::new(version) };
    let items = vec![RequestItem::new(operation, request)];
    gateway.send(&RequestMessage { header, items }).await.remove(0)
}

fn ticket(of: &Answer) -> Vec<u8> {
    match &of.payload {
        Some(Response::Login(it)) => it.ticket.ticket_value.expose_secret().to_vec(),
        Some(Response::DelegatedLogin(it)) => it.ticket.ticket_value.expose_secret().to_vec(),
        other => panic!("{:?} {other:?}", of.reason),
    }
}

fn with(value: &[u8]) -> Option<Credential> {
    let ticket = Ticket { ticket_type: TicketType::LOGIN, ticket_value: value.to_vec().into() };
    Some(Credential::Ticket(TicketCredential { ticket }))
}

fn query() -> Request {
    let query_functions = vec![QueryFunction::QUERY_OPERATIONS];
    Request::Query(Box::new(QueryRequest { query_functions, ..QueryRequest::default() }))
}

fn get(id: &UniqueIdentifier) -> Request {
    Request::Get(Box::new(GetRequest { unique_identifier: Some(id.clone()), ..GetRequest::default() }))
}

#[tokio::test]
async fn a_ticket_counts_its_requests_and_ends_with_logout() {
    let gateway = Gateway::start();
    for version in [V2_0, V2_1] {
        let request = LoginRequest { request_count: Some(2), ..LoginRequest::default() };
        let login = send(&gateway, version, None, Operation::LOGIN, Request::Login(Box::new(request))).await;
        let value = ticket(&login);
        for _ in 0..2 {
            assert_eq!(send(&gateway, version, with(&value), Operation::QUERY, query()).await.reason, None);
        }
        let spent = send(&gateway, version, with(&value), Operation::QUERY, query()).await;
        assert_eq!((reason(&spent), spent.operation), (ResultReason::USAGE_LIMIT_EXCEEDED, None));

        let login = send(&gateway, version, None, Operation::LOGIN, Request::Login(Box::default())).await;
        let value = ticket(&login);
        let ticket = Ticket { ticket_type: TicketType::LOGIN, ticket_value: value.clone().into() };
        let logout = Request::Logout(Box::new(LogoutRequest { ticket }));
        assert_eq!(send(&gateway, version, None, Operation::LOGOUT, logout).await.reason, None);
        let after = send(&gateway, version, with(&value), Operation::QUERY, query()).await;
        assert_eq!(reason(&after), ResultReason::INVALID_TICKET);
    }
}

#[tokio::test]
async fn a_delegated_ticket_allows_what_it_says_and_nothing_else() {
    let gateway = Gateway::start();
    let mine = gateway.aes(V2_1, "mine", Attributes::default()).await;
    let other = gateway.aes(V2_1, "other", Attributes::default()).await;
    let right = |operations: Vec<Operation>, objects: Option<Vec<UniqueIdentifier>>| Right {
        operations: Some(Operations { operations }),
        objects: objects.map(|unique_identifiers| Objects { unique_identifiers }),
        ..Right::default()
    };
    let rights = vec![right(vec![Operation::QUERY], None), right(vec![Operation::GET], Some(vec![mine.clone()]))];
    let request =
        DelegatedLoginRequest { lease_time: None, request_count: None, usage_limits: None, rights: Rights { rights } };
    let login = Request::DelegatedLogin(Box::new(request));
    let value = ticket(&send(&gateway, V2_1, None, Operation::DELEGATED_LOGIN, login).await);
    let answer = send(&gateway, V2_1, with(&value), Operation::QUERY, query()).await;
    let Some(Response::Query(told)) = answer.payload else { panic!("{:?}", answer.reason) };
    assert_eq!(told.operations, [Operation::GET, Operation::QUERY], "Query tells of what is allowed");
    assert_eq!(send(&gateway, V2_1, with(&value), Operation::GET, get(&mine)).await.reason, None);
    for (operation, request) in [(Operation::GET, get(&other)), (Operation::CREATE, create("", Attributes::default()))]
    {
        let refused = send(&gateway, V2_1, with(&value), operation, request).await;
        assert_eq!(reason(&refused), ResultReason::NOT_AUTHORISED, "{operation}");
    }
}

async fn delegate(gateway: &Gateway, rights: Vec<Right>) -> Vec<u8> {
    let request =
        DelegatedLoginRequest { lease_time: None, request_count: None, usage_limits: None, rights: Rights { rights } };
    ticket(&send(gateway, V2_1, None, Operation::DELEGATED_LOGIN, Request::DelegatedLogin(Box::new(request))).await)
}

#[tokio::test]
async fn a_right_to_a_group_reaches_what_is_in_it_at_that_time() {
    let gateway = Gateway::start();
    let of = |group: &str| Attributes::default().with(Tag::OBJECT_GROUP, AttributeValue::Text(group.into()));
    let mine = gateway.aes(V2_1, "mine", of("tapes")).await;
    let other = gateway.aes(V2_1, "other", of("disks")).await;
    let none = gateway.aes(V2_1, "none", Attributes::default()).await;
    let right = Right {
        object_groups: Some(ObjectGroups { object_groups: vec!["tapes".into(), "films".into()] }),
        ..Right::default()
    };
    let value = delegate(&gateway, vec![right]).await;
    assert_eq!(send(&gateway, V2_1, with(&value), Operation::GET, get(&mine)).await.reason, None);
    let refusals = [
        (Operation::GET, get(&other), ResultReason::NOT_AUTHORISED),
        (Operation::GET, get(&none), ResultReason::NOT_AUTHORISED),
        // The right is to objects that exist; what does not is not told apart from what nobody may see.
        (Operation::GET, get(&"6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f".into()), ResultReason::OBJECT_NOT_FOUND),
        (Operation::CREATE, create("", of("tapes")), ResultReason::NOT_AUTHORISED),
        (Operation::QUERY, query(), ResultReason::NOT_AUTHORISED),
    ];
    for (operation, request, expected) in refusals {
        let refused = send(&gateway, V2_1, with(&value), operation, request).await;
        assert_eq!(reason(&refused), expected, "{operation}");
    }
}

#[tokio::test]
async fn a_right_and_a_ticket_are_used_up_by_operations_or_by_bytes() {
    let gateway = Gateway::start();
    let key = gateway.aes(V2_1, "key", Attributes::default()).await;
    let limit = |unit, total| Some(UsageLimits { total, count: None, unit });
    let hash = |bytes: usize| {
        let parameters = kmip_codec::attribute::CryptographicParameters {
            hashing_algorithm: Some(HashingAlgorithm::SHA_256),
            ..Default::default()
        };
        let data = Some(vec![1; bytes].into());
        Request::Hash(Box::new(HashRequest { cryptographic_parameters: parameters, data, ..HashRequest::default() }))
    };
    let rights = vec![
        Right {
            operations: Some(Operations { operations: vec![Operation::GET] }),
            usage_limits: limit(UsageLimitsUnit::OBJECT, 2),
            ..Right::default()
        },
        Right {
            operations: Some(Operations { operations: vec![Operation::HASH] }),
            usage_limits: limit(UsageLimitsUnit::BYTE, 10),
            ..Right::default()
        },
    ];
    let lent = delegate(&gateway, rights).await;
    let request = LoginRequest { usage_limits: limit(UsageLimitsUnit::BYTE, 10), ..LoginRequest::default() };
    let own = ticket(&send(&gateway, V2_1, None, Operation::LOGIN, Request::Login(Box::new(request))).await);
    for (value, operation, request, expected) in [
        (&lent, Operation::GET, get(&key), None),
        (&lent, Operation::HASH, hash(6), None),
        (&lent, Operation::HASH, hash(6), Some(ResultReason::USAGE_LIMIT_EXCEEDED)),
        (&lent, Operation::HASH, hash(4), None),
        (&lent, Operation::GET, get(&key), None),
        (&lent, Operation::GET, get(&key), Some(ResultReason::USAGE_LIMIT_EXCEEDED)),
        (&own, Operation::HASH, hash(10), None),
        (&own, Operation::HASH, hash(1), Some(ResultReason::USAGE_LIMIT_EXCEEDED)),
        // What processes no data is not counted in bytes.
        (&own, Operation::GET, get(&key), None),
    ] {
        assert_eq!(send(&gateway, V2_1, with(value), operation, request).await.reason, expected, "{operation}");
    }
}

#[tokio::test]
async fn a_lease_is_a_span_or_a_time() {
    let gateway = Gateway::start();
    let now = gateway.bench.clock.now().seconds();
    let login = |lease| {
        let request = LoginRequest { lease_time: Some(lease), ..LoginRequest::default() };
        send(&gateway, V2_1, None, Operation::LOGIN, Request::Login(Box::new(request)))
    };
    let mut tickets = Vec::new();
    for lease in [TicketLease::For(Interval(60)), TicketLease::Until(DateTime(now + 60)), TicketLease::For(Interval(0))]
    {
        tickets.push(ticket(&login(lease).await));
    }
    let past = login(TicketLease::Until(DateTime(now - 1))).await;
    assert_eq!(reason(&past), ResultReason::INVALID_FIELD);
    for (seconds, expected) in [(0, [true; 3]), (61, [false, false, true])] {
        gateway.bench.clock.advance(seconds);
        for (value, valid) in tickets.iter().zip(expected) {
            let answer = send(&gateway, V2_1, with(value), Operation::QUERY, query()).await;
            assert_eq!(answer.reason, (!valid).then_some(ResultReason::INVALID_TICKET), "after {seconds} s");
        }
    }
}

#[tokio::test]
async fn what_a_user_makes_is_its_own() {
    let mut gateway = Gateway::start();
    let user = |name: &str| User {
        name: name.into(),
        password: Some(SecretValue::new(b"secret".to_vec())),
        one_time_secret: None,
        one_time_by: OneTimeBy::Time,
    };
    let credentials =
        Credentials::new(vec![user("fred"), user("barney")], Vec::new(), false, gateway.bench.clock.now());
    let (engine, settings) = (Arc::clone(&gateway.bench.engine), Settings::default());
    gateway.service = Arc::new(Service::with(engine, settings, credentials.unwrap(), None));
    let by = |user: &str, password: &str| {
        let (username, password) = (user.to_owned(), Some(SecretText::copy_of(password)));
        Some(Credential::UsernameAndPassword(UsernameAndPassword { username, password }))
    };
    for version in [V1_0, V1_4, V2_1] {
        let made = send(&gateway, version, by("fred", "secret"), Operation::CREATE, create("", Attributes::default()));
        let Some(Response::Create(made)) = made.await.payload else { panic!("{version}") };
        let key = made.unique_identifier;
        assert_eq!(send(&gateway, version, by("fred", "secret"), Operation::GET, get(&key)).await.reason, None);
        let denied = send(&gateway, version, by("barney", "secret"), Operation::GET, get(&key)).await;
        assert_eq!(reason(&denied), ResultReason::PERMISSION_DENIED);
        if version >= V2_0 {
            let login = Request::Login(Box::default());
            let value = ticket(&send(&gateway, version, by("fred", "secret"), Operation::LOGIN, login).await);
            // The ticket stands for the user: it uses what is the user's, and what it makes is, too.
            let own = send(&gateway, version, with(&value), Operation::GET, get(&key)).await;
            assert_eq!(own.reason, None);
            let made =
                send(&gateway, version, with(&value), Operation::CREATE, create("", Attributes::default())).await;
            let Some(Response::Create(made)) = made.payload else { panic!("{version}") };
            let by_ticket = made.unique_identifier;
            let denied = send(&gateway, version, by("barney", "secret"), Operation::GET, get(&by_ticket)).await;
            assert_eq!(reason(&denied), ResultReason::PERMISSION_DENIED);
        }
        let wrong = send(&gateway, version, by("fred", "wrong"), Operation::GET, get(&key)).await;
        assert_eq!((reason(&wrong), wrong.operation), (ResultReason::AUTHENTICATION_NOT_SUCCESSFUL, None));
        let unknown = send(&gateway, version, by("admin", "admin"), Operation::QUERY, query()).await;
        assert_eq!(unknown.reason, None, "a name that nobody enrolled means nothing");
    }
    // What comes of a user's key is the user's as well.
    let Request::Create(mut request) = create("", Attributes::default()) else { panic!("it is a Create") };
    request.attributes.items.retain(|it| it.kind != Tag::CRYPTOGRAPHIC_USAGE_MASK.into());
    let more = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0x20C))
        .with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1)));
    request.attributes.items.extend(more.items);
    let made = send(&gateway, V2_1, by("fred", "secret"), Operation::CREATE, Request::Create(request)).await;
    let Some(Response::Create(made)) = made.payload else { panic!("{:?}", made.reason) };
    for from in [derive, split, rekey] {
        let (operation, request) = from(made.unique_identifier.clone());
        let answer = send(&gateway, V2_1, by("fred", "secret"), operation, request).await;
        let id = match answer.payload {
            Some(Response::DeriveKey(it)) => it.unique_identifier,
            Some(Response::CreateSplitKey(it)) => it.unique_identifiers[0].clone(),
            Some(Response::ReKey(it)) => it.unique_identifier,
            other => panic!("{operation}: {:?} {other:?}", answer.reason),
        };
        assert_eq!(send(&gateway, V2_1, by("fred", "secret"), Operation::GET, get(&id)).await.reason, None);
        let denied = send(&gateway, V2_1, by("barney", "secret"), Operation::GET, get(&id)).await;
        assert_eq!(reason(&denied), ResultReason::PERMISSION_DENIED, "{operation}");
    }
}
