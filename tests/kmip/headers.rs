//! What a header asks for: an answer of a certain length, a clock that agrees, an answer later; and identifiers that stand
//! for the results of earlier items (KMIP contract §4).

use std::time::Duration;

use kmip_codec::{
    ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{AttributeKind, AttributeValue, Attributes},
    codec::DateTime,
    message::{Asynchronous, RequestHeader, RequestItem, RequestMessage},
    payload::{
        ActivateRequest, Data, EncryptRequest, GetAttributesRequest, GetRequest, LocateRequest, PollRequest, Request,
        Response, RngRetrieveRequest,
    },
    spec::enums::{AsynchronousIndicator, Operation, ResultReason as R, UniqueIdentifierEnumeration},
    version::{SUPPORTED, V2_1, V3_0},
};
use portcullis::{engine::ports::Clock, kmip::Settings};

use crate::support::{Answer, Gateway, create, reason};

async fn limited(gateway: &Gateway, version: ProtocolVersion, max: i32, request: Request) -> Answer {
    let header = RequestHeader { maximum_response_size: Some(max), ..RequestHeader::new(version) };
    let operation = request.operation();
    let message = RequestMessage { header, items: vec![RequestItem::new(operation, request)] };
    let mut answers = gateway.send(&message).await;
    assert_eq!(answers.len(), 1);
    let answer = answers.remove(0);
    assert_eq!(answer.operation, Some(operation));
    answer
}

async fn count(gateway: &Gateway, version: ProtocolVersion) -> usize {
    let answer = gateway.one(version, Operation::LOCATE, Request::from(LocateRequest::default())).await;
    match answer.payload {
        Some(Response::Locate(found)) => found.unique_identifiers.len(),
        other => panic!("{:?} {other:?}", answer.reason),
    }
}

#[tokio::test]
async fn what_cannot_fit_into_the_answer_is_not_done() {
    let gateway = Gateway::of_all_versions();
    for version in SUPPORTED {
        let before = count(&gateway, version).await;
        let answer = limited(&gateway, version, 170, create("", Attributes::default())).await;
        assert_eq!(reason(&answer), R::RESPONSE_TOO_LARGE, "{version}");
        assert_eq!(count(&gateway, version).await, before, "{version}: nothing was made");
        let answer = limited(&gateway, version, 1000, create("", Attributes::default())).await;
        assert_eq!(answer.reason, None, "{version}: {answer:?}");
        assert_eq!(count(&gateway, version).await, before + 1, "{version}");
    }
}

#[tokio::test]
async fn a_key_that_did_not_fit_was_not_read() {
    let gateway = Gateway::start();
    let id = gateway.aes(V2_1, "", Attributes::default()).await;
    let fresh = || async {
        let request = GetAttributesRequest {
            unique_identifier: Some(id.clone()),
            attribute_references: vec![AttributeKind::from(Tag::FRESH)],
        };
        let answer = gateway.one(V2_1, Operation::GET_ATTRIBUTES, Request::from(request)).await;
        let Some(Response::GetAttributes(got)) = answer.payload else { panic!("{answer:?}") };
        got.attributes.0.items[0].value == Some(AttributeValue::Boolean(true))
    };
    let get = || Request::from(GetRequest { unique_identifier: Some(id.clone()), ..GetRequest::default() });
    assert_eq!(reason(&limited(&gateway, V2_1, 280, get()).await), R::RESPONSE_TOO_LARGE);
    assert!(fresh().await);
    assert_eq!(limited(&gateway, V2_1, 600, get()).await.reason, None);
    assert!(!fresh().await);
}

#[tokio::test]
async fn long_outputs_are_refused_before_they_are_made() {
    let gateway = Gateway::start();
    let random = RngRetrieveRequest { data_length: 4096 };
    assert_eq!(reason(&limited(&gateway, V2_1, 4096, Request::from(random)).await), R::RESPONSE_TOO_LARGE);
    let limits = kmip_codec::attribute::UsageLimits {
        total: 4096,
        count: None,
        unit: kmip_codec::spec::enums::UsageLimitsUnit::BYTE,
    };
    let extra = Attributes::default()
        .with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1)))
        .with(Tag::USAGE_LIMITS, AttributeValue::UsageLimits(limits));
    let id = gateway.aes(V2_1, "", extra).await;
    let encrypt = || {
        let parameters = kmip_codec::attribute::CryptographicParameters {
            block_cipher_mode: Some(kmip_codec::spec::enums::BlockCipherMode::CBC),
            ..Default::default()
        };
        Request::from(EncryptRequest {
            unique_identifier: Some(id.clone()),
            cryptographic_parameters: Some(parameters),
            data: Some(Data::from(vec![0; 4096])),
            ..EncryptRequest::default()
        })
    };
    // All of the limit is still there after the refusal.
    assert_eq!(reason(&limited(&gateway, V2_1, 4096, encrypt()).await), R::RESPONSE_TOO_LARGE);
    assert_eq!(limited(&gateway, V2_1, 8192, encrypt()).await.reason, None);
}

#[tokio::test]
async fn an_answer_that_is_too_large_for_a_poll_stays_for_another() {
    let gateway = Gateway::start();
    let asynchronous_indicator = Some(Asynchronous(AsynchronousIndicator::MANDATORY));
    let header = RequestHeader { asynchronous_indicator, ..RequestHeader::new(V2_1) };
    let items = vec![RequestItem::new(Operation::CREATE, create("", Attributes::default()))];
    let mut pending = gateway.send(&RequestMessage { header, items }).await;
    let value = pending.remove(0).asynchronous_correlation_value.unwrap();
    let poll = || Request::from(PollRequest { asynchronous_correlation_value: value.clone() });
    let header = RequestHeader { maximum_response_size: Some(190), ..RequestHeader::new(V2_1) };
    let items = vec![RequestItem::new(Operation::POLL, poll())];
    let refused = gateway.send(&RequestMessage { header, items }).await;
    assert_eq!(reason(&refused[0]), R::RESPONSE_TOO_LARGE);
    let answer = gateway.one(V2_1, Operation::POLL, poll()).await;
    assert!(matches!(answer.payload, Some(Response::Create(_))), "{answer:?}");
}

#[tokio::test]
async fn a_time_stamp_far_from_the_clock_is_refused_where_the_operator_says_how_far() {
    for (skew, far_is) in [(None, None), (Some(Duration::from_secs(60)), Some(R::PERMISSION_DENIED))] {
        let settings = Settings { versions: SUPPORTED.to_vec(), skew_max: skew, ..Settings::default() };
        let gateway = Gateway::with(settings);
        let now = gateway.bench.clock.now().seconds();
        for version in SUPPORTED {
            for (stamp, expected) in [
                (None, None),
                (Some(now - 60), None),
                (Some(now + 60), None),
                (Some(now - 61), far_is),
                (Some(now + 61), far_is),
            ] {
                let header = RequestHeader { time_stamp: stamp.map(DateTime), ..RequestHeader::new(version) };
                let items = vec![RequestItem::new(Operation::LOCATE, Request::from(LocateRequest::default()))];
                let answers = gateway.send(&RequestMessage { header, items }).await;
                assert_eq!(answers[0].reason, expected, "{version} {stamp:?} of {now}");
            }
        }
    }
}

#[tokio::test]
async fn in_3_0_an_identifier_stands_for_everything_that_an_item_found() {
    let gateway = Gateway::of_all_versions();
    for _ in 0..3 {
        gateway.aes(V3_0, "", Attributes::default()).await;
    }
    let all = || Some(UniqueIdentifier::Enumeration(UniqueIdentifierEnumeration::LOCATE));
    let batch = |version| {
        let item = |operation, request| RequestItem {
            id: (version < V3_0).then(|| operation_number(operation)),
            ..RequestItem::new(operation, request)
        };
        RequestMessage {
            header: RequestHeader::new(version),
            items: vec![
                item(Operation::LOCATE, Request::from(LocateRequest::default())),
                item(Operation::ACTIVATE, Request::from(ActivateRequest { unique_identifier: all() })),
            ],
        }
    };
    let answers = gateway.send(&batch(V2_1)).await;
    assert_eq!(answers.len(), 2, "in 2.1 it is the first");
    let answers = gateway.send(&batch(V3_0)).await;
    assert_eq!(answers.len(), 1 + 1, "Stop: the newest is active already");
    assert_eq!(reason(&answers[1]), R::WRONG_KEY_LIFECYCLE_STATE);

    let mut go_on = batch(V3_0);
    go_on.header.batch_error_continuation_option =
        Some(kmip_codec::spec::enums::BatchErrorContinuationOption::CONTINUE);
    let answers = gateway.send(&go_on).await;
    let activated: Vec<_> = answers[1..].iter().map(|answer| answer.reason).collect();
    assert_eq!(activated, [Some(R::WRONG_KEY_LIFECYCLE_STATE), None, None]);
    let mut named: Vec<_> = answers[2..]
        .iter()
        .map(|answer| match &answer.payload {
            Some(Response::Activate(it)) => it.unique_identifier.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    named.dedup();
    assert_eq!(named.len(), 2, "each answer names its own object");
}

fn operation_number(operation: Operation) -> Vec<u8> {
    operation.number().to_be_bytes().to_vec()
}
