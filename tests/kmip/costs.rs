//! What a batch costs beside the same requests one by one: a ratio within one run, printed. Without the network, where a batch
//! saves the most, and with the engine in memory.

use std::time::{Duration, Instant};

use kmip_codec::{
    message::{RequestHeader, RequestItem, RequestMessage},
    payload::{GetRequest, Request, Response},
    spec::enums::Operation,
    version::V2_1,
};

use crate::support::{Gateway, create};

const ITEMS: usize = 1_000;
const ROUNDS: usize = 5;

#[tokio::test]
async fn a_batch_of_a_thousand_costs_no_more_than_a_thousand_requests() {
    let gateway = Gateway::start();
    let made = gateway.one(V2_1, Operation::CREATE, create("", Default::default())).await;
    let Some(Response::Create(made)) = made.payload else { panic!("{:?}", made.reason) };
    let get = |number: usize| {
        let request = GetRequest { unique_identifier: Some(made.unique_identifier.clone()), ..GetRequest::default() };
        let id = Some(u32::try_from(number).unwrap().to_be_bytes().to_vec());
        RequestItem { id, ..RequestItem::new(Operation::GET, Request::from(request)) }
    };
    let message = |items: Vec<RequestItem<Request>>| RequestMessage { header: RequestHeader::new(V2_1), items };
    let (mut alone, mut together) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for number in 0..ITEMS {
            let answers = gateway.send(&message(vec![get(number)])).await;
            assert!(answers.iter().all(|answer| answer.payload.is_some()));
        }
        alone = alone.min(began.elapsed());
        let batch = message((0..ITEMS).map(get).collect());
        let began = Instant::now();
        let answers = gateway.send(&batch).await;
        together = together.min(began.elapsed());
        assert_eq!(answers.len(), ITEMS);
        assert!(answers.iter().all(|answer| answer.payload.is_some()));
    }
    let ratio = together.as_secs_f64() / alone.as_secs_f64();
    println!("{ITEMS} Gets: {alone:?} one by one, {together:?} in a batch, ratio {ratio:.2}");
    // The best of some rounds of each; a machine that is busy with other things decides nothing unless it is asked.
    assert!(std::env::var_os("LONG").is_none() || ratio <= 1.0, "{ratio:.2}");
}
