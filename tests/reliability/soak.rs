//! A mixed load for a long time on a token that fails now and then: nothing is wrong, and nothing grows.

use std::time::{Duration, Instant};

use hsm_sim::fault::control;
use portcullis_testing::Gateway;

use crate::{
    PROGRAM, alone, asked,
    clients::{Client, Fixture, Until, drive},
    descriptors, is_long, memory, milliseconds, seed, size, tail,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_flaky_token_gives_no_wrong_answer_and_nothing_grows() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(PROGRAM, &folder.path().join("gateway"));
    let fixture = Fixture::make(&gateway).await;
    let clients = size(8, 64);
    let crowd = Client::crowd(&gateway, &fixture, clients, seed()).await;
    // What grows only once has grown.
    let (mut crowd, mut report) = drive(crowd, Until::Requests(size(100, 20_000))).await;
    assert_eq!((report.errors(), report.wrong()), Default::default());
    let (before, open_before) = (memory(&gateway), descriptors(&gateway));

    control::install_scenario(&gateway.folder().join("hsm"), "flaky", seed()).unwrap();
    let seconds = asked("SOAK_SECONDS").unwrap_or_else(|| if is_long() { 1800 } else { 5 });
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut requests, mut refused, mut slowest, mut memories) = (0, 0, Duration::ZERO, Vec::new());
    while Instant::now() < end {
        (crowd, report) = drive(crowd, Until::Time(end.min(Instant::now() + Duration::from_secs(10)))).await;
        assert_eq!(report.wrong(), Vec::<String>::new(), "{}", tail(&gateway.log()));
        assert_eq!(report.unknowable(), Vec::<Instant>::new(), "{}", tail(&gateway.log()));
        requests += report.0.len();
        refused += report.errors().len();
        slowest = slowest.max(report.p99());
        memories.push(memory(&gateway));
    }
    let injected = control::stats(&gateway.folder().join("hsm")).unwrap().injected_total;
    control::clear(&gateway.folder().join("hsm")).unwrap();
    let (_, after) = drive(crowd, Until::Requests(100)).await;
    assert_eq!((after.errors(), after.wrong()), Default::default(), "{}", tail(&gateway.log()));
    let (now, open) = (memory(&gateway), descriptors(&gateway));
    let most = memories.iter().copied().max().unwrap_or(before);
    let half = memories.get(memories.len() / 2).copied().unwrap_or(before);
    println!("  MiB each ten seconds: {memories:?}");
    println!(
        "figures soak: {seconds} s, {clients} clients, {requests} requests, {injected} faults, {refused} refused, 0 wrong; worst p99 of \
         ten seconds {} ms; memory {before} MiB before, {half} at half time, {most} at most, {now} after; descriptors {open_before} and {open}",
        milliseconds(slowest),
    );
    assert!(injected > 0, "no fault met a call");
    // A few sessions and files may be open that were not before.
    assert!(open <= open_before + 16, "{open_before} descriptors before, {open} after");
    if is_long() {
        // What is destroyed leaves a record, so caches fill until they are full.
        assert!(now <= half + half / 8 + 16, "{half} MiB at half time, {now} MiB after");
    }
}
