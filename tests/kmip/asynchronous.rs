//! Operations that are answered later: Pending, Poll, Cancel, Process (KMIP contract §4).

use kmip_codec::{
    ProtocolVersion,
    attribute::Attributes,
    message::{Asynchronous, RequestHeader, RequestItem, RequestMessage},
    payload::{CancelRequest, PollRequest, ProcessRequest, Request, Response},
    spec::enums::{AsynchronousIndicator, CancellationResult, Operation, ProcessingStage, ResultReason, ResultStatus},
    version::{V1_0, V1_2, V2_0, V2_1},
};

use crate::support::{Answer, Gateway, create, peer, reason};

pub(crate) async fn later(
    gateway: &Gateway,
    version: ProtocolVersion,
    operation: Operation,
    request: Request,
) -> Answer {
    let indicator = if version < V2_0 { AsynchronousIndicator::OPTIONAL } else { AsynchronousIndicator::MANDATORY };
    let header = RequestHeader { asynchronous_indicator: Some(Asynchronous(indicator)), ..RequestHeader::new(version) };
    let items = vec![RequestItem::new(operation, request)];
    gateway.send(&RequestMessage { header, items }).await.remove(0)
}

fn value(of: &Answer) -> Vec<u8> {
    assert_eq!(of.status, ResultStatus::OPERATION_PENDING, "{of:?}");
    of.asynchronous_correlation_value.clone().unwrap()
}

async fn poll(gateway: &Gateway, version: ProtocolVersion, value: &[u8]) -> Answer {
    let request = PollRequest { asynchronous_correlation_value: value.to_vec() };
    gateway.one(version, Operation::POLL, Request::Poll(Box::new(request))).await
}

fn locate() -> Request {
    Request::Locate(Box::default())
}

#[tokio::test]
async fn a_poll_has_the_answer_of_the_operation_once() {
    let gateway = Gateway::start();
    for (version, gone) in [
        (V1_0, ResultReason::ITEM_NOT_FOUND),
        (V1_2, ResultReason::ITEM_NOT_FOUND),
        (V2_0, ResultReason::INVALID_ASYNCHRONOUS_CORRELATION_VALUE),
        (V2_1, ResultReason::INVALID_ASYNCHRONOUS_CORRELATION_VALUE),
    ] {
        let pending = later(&gateway, version, Operation::CREATE, create("", Attributes::default())).await;
        let value = value(&pending);
        let answer = poll(&gateway, version, &value).await;
        assert_eq!((answer.operation, answer.status), (Some(Operation::CREATE), ResultStatus::SUCCESS), "{version}");
        assert!(matches!(answer.payload, Some(Response::Create(_))));
        assert_eq!(reason(&poll(&gateway, version, &value).await), gone);
    }
}

#[tokio::test]
async fn what_only_reads_waits_and_can_be_canceled() {
    let gateway = Gateway::start();
    let value = value(&later(&gateway, V1_2, Operation::LOCATE, locate()).await);
    let cancel =
        |value: &[u8]| Request::Cancel(Box::new(CancelRequest { asynchronous_correlation_value: value.to_vec() }));
    for (value, expected) in [
        (value.clone(), CancellationResult::CANCELED),
        (value.clone(), CancellationResult::COMPLETED),
        (vec![0; 24], CancellationResult::UNAVAILABLE),
    ] {
        let answer = gateway.one(V1_2, Operation::CANCEL, cancel(&value)).await;
        let Some(Response::Cancel(canceled)) = answer.payload else { panic!("{:?}", answer.reason) };
        assert_eq!(canceled.cancellation_result, expected);
    }
    assert_eq!(reason(&poll(&gateway, V1_2, &value).await), ResultReason::OPERATION_CANCELED_BY_REQUESTER);
}

#[tokio::test]
async fn pending_operations_are_listed_and_processed_for_their_own_account_only() {
    let mut gateway = Gateway::start();
    let value = value(&later(&gateway, V2_1, Operation::LOCATE, locate()).await);
    let request = || Request::QueryAsynchronousRequests(Box::default());
    let operation = Operation::QUERY_ASYNCHRONOUS_REQUESTS;
    let answer = gateway.one(V2_1, operation, request()).await;
    let Some(Response::QueryAsynchronousRequests(told)) = answer.payload else { panic!("{:?}", answer.reason) };
    assert_eq!(told.asynchronous_requests.len(), 1);
    assert_eq!(told.asynchronous_requests[0].processing_stage, ProcessingStage::SUBMITTED);

    let process = || Request::Process(Box::new(ProcessRequest { asynchronous_correlation_value: value.clone() }));
    let owner = std::mem::replace(&mut gateway.peer, peer("other", "demo", "member"));
    let foreign = gateway.one(V2_1, Operation::PROCESS, process()).await;
    assert_eq!(reason(&foreign), ResultReason::INVALID_ASYNCHRONOUS_CORRELATION_VALUE);
    let answer = gateway.one(V2_1, operation, request()).await;
    let Some(Response::QueryAsynchronousRequests(told)) = answer.payload else { panic!("{:?}", answer.reason) };
    assert!(told.asynchronous_requests.is_empty());
    gateway.peer = owner;

    assert_eq!(gateway.one(V2_1, Operation::PROCESS, process()).await.reason, None);
    let twice = gateway.one(V2_1, Operation::PROCESS, process()).await;
    assert_eq!(reason(&twice), ResultReason::DUPLICATE_PROCESS_REQUEST);
    assert_eq!(poll(&gateway, V2_1, &value).await.operation, Some(Operation::LOCATE));
}
