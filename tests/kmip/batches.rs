//! Batches: order, continuation, the placeholder (KMIP contract §4).

use kmip_codec::{
    UniqueIdentifier,
    attribute::Attributes,
    message::{RequestHeader, RequestItem, RequestMessage},
    payload::{GetRequest, Request, Response},
    spec::enums::{BatchErrorContinuationOption as Option_, Operation, ResultReason, UniqueIdentifierEnumeration},
    version::{V1_0, V1_2, V2_1},
};

use crate::support::{Gateway, create, reason};

fn item(number: u8, operation: Operation, request: Request) -> RequestItem<Request> {
    RequestItem { id: Some(vec![number]), ..RequestItem::new(operation, request) }
}

fn get(id: Option<UniqueIdentifier>) -> Request {
    Request::Get(Box::new(GetRequest { unique_identifier: id, ..GetRequest::default() }))
}

#[tokio::test]
async fn the_placeholder_names_what_the_item_before_made() {
    let gateway = Gateway::start();
    for version in [V1_0, V1_2, V2_1] {
        let items = vec![
            item(1, Operation::CREATE, create("", Attributes::default())),
            item(2, Operation::ACTIVATE, Request::Activate(Box::default())),
            item(3, Operation::GET, get(None)),
            item(4, Operation::GET_ATTRIBUTES, Request::GetAttributes(Box::default())),
        ];
        let answers = gateway.send(&RequestMessage { header: RequestHeader::new(version), items }).await;
        assert_eq!(answers.len(), 4);
        assert!(answers.iter().all(|answer| answer.reason.is_none()), "{version}: {answers:?}");
        assert_eq!(answers[2].id, Some(vec![3]));
    }
}

#[tokio::test]
async fn from_2_0_an_earlier_result_can_be_named_by_its_operation() {
    let gateway = Gateway::start();
    let earlier = UniqueIdentifier::Enumeration(UniqueIdentifierEnumeration::CREATE);
    let items = vec![
        item(1, Operation::CREATE, create("", Attributes::default())),
        item(2, Operation::GET, get(Some(earlier))),
    ];
    let answers = gateway.send(&RequestMessage { header: RequestHeader::new(V2_1), items }).await;
    assert!(answers.iter().all(|answer| answer.reason.is_none()), "{answers:?}");
}

#[tokio::test]
async fn an_empty_placeholder_names_nothing() {
    let gateway = Gateway::start();
    let old = gateway.one(V1_2, Operation::GET, get(None)).await;
    assert_eq!(reason(&old), ResultReason::ITEM_NOT_FOUND);
    let new = gateway.one(V2_1, Operation::GET, get(None)).await;
    assert_eq!(reason(&new), ResultReason::INVALID_MESSAGE);
}

#[tokio::test]
async fn stop_is_the_default_and_continue_goes_on() {
    let gateway = Gateway::start();
    for (option, expected) in [(None, 2), (Some(Option_::STOP), 2), (Some(Option_::CONTINUE), 3)] {
        let unknown = UniqueIdentifier::from("6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f");
        let items = vec![
            item(1, Operation::CREATE, create("", Attributes::default())),
            item(2, Operation::GET, get(Some(unknown))),
            item(3, Operation::CREATE, create("", Attributes::default())),
        ];
        let header = RequestHeader { batch_error_continuation_option: option, ..RequestHeader::new(V1_2) };
        let answers = gateway.send(&RequestMessage { header, items }).await;
        assert_eq!(answers.len(), expected, "{option:?}");
        assert_eq!(reason(&answers[1]), ResultReason::ITEM_NOT_FOUND);
    }
}

#[tokio::test]
async fn a_batch_of_several_items_needs_distinct_ids() {
    let gateway = Gateway::start();
    let without = vec![
        RequestItem::new(Operation::CREATE, create("", Attributes::default())),
        item(2, Operation::DESTROY, Request::Destroy(Box::default())),
    ];
    let answers = gateway.send(&RequestMessage { header: RequestHeader::new(V1_2), items: without }).await;
    assert_eq!((answers.len(), reason(&answers[0])), (1, ResultReason::INVALID_MESSAGE));
    let twice = vec![
        item(1, Operation::CREATE, create("", Attributes::default())),
        item(1, Operation::CREATE, create("", Attributes::default())),
    ];
    let answers = gateway.send(&RequestMessage { header: RequestHeader::new(V1_2), items: twice }).await;
    assert_eq!((answers.len(), reason(&answers[0])), (1, ResultReason::INVALID_MESSAGE));
    assert_eq!(gateway.bench.hsm.count(), 0, "a refused batch must not reach the HSM");
}

#[tokio::test]
async fn an_undo_batch_is_refused_before_anything_happens() {
    let gateway = Gateway::start();
    let items = vec![
        item(1, Operation::CREATE, create("", Attributes::default())),
        item(2, Operation::CREATE, create("", Attributes::default())),
    ];
    let header = RequestHeader { batch_error_continuation_option: Some(Option_::UNDO), ..RequestHeader::new(V1_2) };
    let answers = gateway.send(&RequestMessage { header, items }).await;
    assert_eq!(reason(&answers[0]), ResultReason::FEATURE_NOT_SUPPORTED);
    assert_eq!(gateway.bench.hsm.count(), 0);
}

#[tokio::test]
async fn a_deleted_value_is_gone_for_every_item_after() {
    let gateway = Gateway::start();
    let items = vec![
        item(1, Operation::CREATE, create("", Attributes::default())),
        item(2, Operation::DESTROY, Request::Destroy(Box::default())),
        item(3, Operation::GET, get(None)),
    ];
    let answers = gateway.send(&RequestMessage { header: RequestHeader::new(V2_1), items }).await;
    assert!(matches!(answers[1].payload, Some(Response::Destroy(_))));
    assert_eq!(reason(&answers[2]), ResultReason::OBJECT_DESTROYED);
    assert_eq!(gateway.bench.hsm.count(), 0, "the token holds nothing any more");
}
