//! Batches: order, continuation, the placeholder (KMIP contract §4).

use kmip_codec::{
    Limits, ProtocolVersion, Tag, UniqueIdentifier,
    attribute::Attributes,
    message::{Payload, RequestHeader, RequestItem, RequestMessage},
    payload::{DestroyRequest, GetRequest, Request, Response, RngSeedRequest},
    spec::enums::{
        BatchErrorContinuationOption as Option_, Operation, ResultReason, ResultStatus, UniqueIdentifierEnumeration,
    },
    ttlv::{self, Item, Value, Writer},
    version::{V1_0, V1_2, V1_4, V2_0, V2_1},
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

fn undo(version: ProtocolVersion) -> RequestHeader {
    RequestHeader { batch_error_continuation_option: Some(Option_::UNDO), ..RequestHeader::new(version) }
}

#[tokio::test]
async fn a_batch_that_fails_leaves_nothing_behind_and_tells_what_it_undid() {
    let gateway = Gateway::start();
    let kept = gateway.aes(V2_1, "kept", Attributes::default()).await;
    for version in [V1_0, V1_4, V2_0, V2_1] {
        let items = vec![
            item(1, Operation::CREATE, create("new", Attributes::default())),
            item(2, Operation::ACTIVATE, Request::Activate(Box::default())),
            item(
                3,
                Operation::DESTROY,
                Request::Destroy(Box::new(DestroyRequest { unique_identifier: Some(kept.clone()) })),
            ),
            item(4, Operation::GET, get(Some(UniqueIdentifier::from("nobody")))),
            item(5, Operation::CREATE, create("never", Attributes::default())),
        ];
        let answers = gateway.send(&RequestMessage { header: undo(version), items }).await;
        let statuses: Vec<ResultStatus> = answers.iter().map(|answer| answer.status).collect();
        let undone = ResultStatus::OPERATION_UNDONE;
        assert_eq!(statuses, [undone, undone, undone, ResultStatus::OPERATION_FAILED], "{version}");
        assert!(answers[0].payload.is_some() && answers[2].payload.is_some(), "undone items keep their payloads");
        assert_eq!((gateway.bench.hsm.count(), gateway.bench.store.open_intents()), (1, 0), "{version}");
        let Some(Response::Create(made)) = &answers[0].payload else { panic!("{:?}", answers[0]) };
        let gone = gateway.one(V2_1, Operation::GET, get(Some(made.unique_identifier.clone()))).await;
        assert_eq!(reason(&gone), ResultReason::OBJECT_NOT_FOUND);
        let still = gateway.one(V2_1, Operation::GET, get(Some(kept.clone()))).await;
        assert_eq!(still.reason, None, "a destruction waits for the end of its batch");
    }
}

#[tokio::test]
async fn a_batch_that_succeeds_is_true_as_a_whole() {
    let gateway = Gateway::start();
    let old = gateway.aes(V2_1, "old", Attributes::default()).await;
    let items = vec![
        item(1, Operation::CREATE, create("new", Attributes::default())),
        item(2, Operation::ACTIVATE, Request::Activate(Box::default())),
        item(3, Operation::CREATE, create("new", Attributes::default())),
    ];
    let answers = gateway.send(&RequestMessage { header: undo(V2_1), items }).await;
    assert_eq!(reason(&answers[2]), ResultReason::NON_UNIQUE_NAME_ATTRIBUTE, "names are taken inside, too");
    let items = vec![
        item(1, Operation::CREATE, create("new", Attributes::default())),
        item(2, Operation::ACTIVATE, Request::Activate(Box::default())),
        item(
            3,
            Operation::DESTROY,
            Request::Destroy(Box::new(DestroyRequest { unique_identifier: Some(old.clone()) })),
        ),
    ];
    let answers = gateway.send(&RequestMessage { header: undo(V2_1), items }).await;
    assert!(answers.iter().all(|answer| answer.status == ResultStatus::SUCCESS), "{answers:?}");
    assert_eq!((gateway.bench.hsm.count(), gateway.bench.store.open_intents()), (1, 0));
    let destroyed = gateway.one(V2_1, Operation::GET, get(Some(old))).await;
    assert_eq!(reason(&destroyed), ResultReason::OBJECT_DESTROYED);
}

#[tokio::test]
async fn what_cannot_be_undone_is_no_part_of_such_a_batch() {
    let gateway = Gateway::start();
    let seed = Request::RngSeed(Box::new(RngSeedRequest { data: vec![1].into() }));
    let items = vec![item(1, Operation::CREATE, create("", Attributes::default())), item(2, Operation::RNG_SEED, seed)];
    let answers = gateway.send(&RequestMessage { header: undo(V1_4), items }).await;
    assert_eq!(reason(&answers[1]), ResultReason::FEATURE_NOT_SUPPORTED);
    assert_eq!((answers[0].status, gateway.bench.hsm.count()), (ResultStatus::OPERATION_UNDONE, 0));
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

fn unknown() -> UniqueIdentifier {
    UniqueIdentifier::from("6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f")
}

/// Good and bad items in turn: item n is bad where n is a multiple of three.
fn mixed(count: u32) -> Vec<RequestItem<Request>> {
    let item = |number: u32| {
        let (operation, request) = if number.is_multiple_of(3) {
            (Operation::GET, get(Some(unknown())))
        } else {
            (Operation::CREATE, create("", Attributes::default()))
        };
        RequestItem { id: Some(number.to_be_bytes().to_vec()), ..RequestItem::new(operation, request) }
    };
    (1..=count).map(item).collect()
}

/// 1 024 items are the limit (`Limits::batch_items_max`).
#[tokio::test]
async fn a_thousand_items_are_answered_each_for_itself_and_in_order() {
    for version in [V1_0, V1_4, V2_0, V2_1] {
        let gateway = Gateway::start();
        let header =
            RequestHeader { batch_error_continuation_option: Some(Option_::CONTINUE), ..RequestHeader::new(version) };
        let answers = gateway.send(&RequestMessage { header, items: mixed(1000) }).await;
        assert_eq!(answers.len(), 1000, "{version}");
        for (number, answer) in (1_u32..).zip(&answers) {
            assert_eq!(answer.id, Some(number.to_be_bytes().to_vec()), "{version}");
            assert_eq!(answer.reason.is_some(), number.is_multiple_of(3), "{version} {number}: {answer:?}");
            assert_eq!(answer.payload.is_some(), !number.is_multiple_of(3), "{version} {number}");
        }
        assert_eq!((gateway.bench.hsm.count(), gateway.bench.store.open_intents()), (667, 0), "{version}");
    }
}

#[tokio::test]
async fn a_batch_over_the_limit_is_refused_as_a_whole() {
    let gateway = Gateway::start();
    let header = RequestHeader { batch_error_continuation_option: Some(Option_::CONTINUE), ..RequestHeader::new(V2_1) };
    let answers = gateway.send(&RequestMessage { header, items: mixed(1025) }).await;
    assert_eq!((answers.len(), answers[0].operation, reason(&answers[0])), (1, None, ResultReason::INVALID_MESSAGE));
    assert_eq!(gateway.bench.hsm.count(), 0, "nothing of it was done");
}

/// The items that fail in their own ways: what they ask, how they are written, what they ask it of.
fn bad_items() -> Vec<(Operation, Item<'static>)> {
    let payload = |fields: Vec<Item<'static>>| Item::new(Tag::REQUEST_PAYLOAD, Value::Structure(fields.into()));
    let text = |tag, text: &'static str| Item::new(tag, Value::TextString(text.into()));
    vec![
        (Operation::GET, payload(vec![text(Tag::UNIQUE_IDENTIFIER, "nobody")])),
        (Operation::CREATE, payload(Vec::new())),
        (Operation::GET, payload(vec![Item::new(Tag::UNIQUE_IDENTIFIER, Value::Boolean(true))])),
        (Operation::GET, payload(vec![Item::new(Tag::from_number(0x42_0FFF), Value::Integer(1))])),
        (Operation::from_number(0xFF), payload(Vec::new())),
        (Operation::from_number(0x8000_0001), payload(vec![text(Tag::UNIQUE_IDENTIFIER, "nobody")])),
        (Operation::REVOKE, payload(vec![text(Tag::UNIQUE_IDENTIFIER, "a"), text(Tag::UNIQUE_IDENTIFIER, "b")])),
    ]
}

fn encoded(version: ProtocolVersion, request: &Request) -> Item<'static> {
    let mut writer = Writer::new(version);
    request.encode_payload(Tag::REQUEST_PAYLOAD, &mut writer);
    ttlv::parse(&writer.finish().unwrap(), &Limits::default()).unwrap().into_owned()
}

/// Whatever is wrong with an item, and wherever it stands: Continue does the others, Stop those before, Undo none.
#[tokio::test]
async fn no_bad_item_spoils_another() {
    let options = [None, Some(Option_::STOP), Some(Option_::CONTINUE), Some(Option_::UNDO)];
    for version in [V1_0, V1_2, V1_4, V2_0, V2_1] {
        for (operation, bad) in bad_items() {
            for (option, at) in options.into_iter().flat_map(|option| [0, 1, 2].map(|at| (option, at))) {
                let gateway = Gateway::start();
                let good = encoded(version, &create("", Attributes::default()));
                let mut items: Vec<_> = (0..2).map(|_| RequestItem::new(Operation::CREATE, good.clone())).collect();
                items.insert(at, RequestItem::new(operation, bad.clone()));
                for (number, item) in (0..).zip(&mut items) {
                    item.id = Some(vec![number]);
                }
                let header = RequestHeader { batch_error_continuation_option: option, ..RequestHeader::new(version) };
                let bytes = RequestMessage { header, items }.encode().unwrap();
                let (_, answers) = gateway.raw_items(&bytes).await;
                let what = format!("{operation} at {at} with {option:?} in {version}");
                let (answered, kept) = match option {
                    Some(Option_::CONTINUE) => (3, 2),
                    Some(Option_::UNDO) => (at + 1, 0),
                    _ => (at + 1, at),
                };
                assert_eq!((answers.len(), gateway.bench.hsm.count()), (answered, kept), "{what}: {answers:?}");
                for (number, answer) in answers.iter().enumerate() {
                    let expected = match option {
                        _ if number == at => ResultStatus::OPERATION_FAILED,
                        Some(Option_::UNDO) => ResultStatus::OPERATION_UNDONE,
                        _ => ResultStatus::SUCCESS,
                    };
                    assert_eq!(answer.status, expected, "{what}");
                    assert_eq!(answer.id, Some(vec![u8::try_from(number).unwrap()]), "{what}");
                }
                assert_eq!(gateway.bench.store.open_intents(), 0, "{what}");
            }
        }
    }
}
