//! One call hangs for minutes; nobody else notices, and the module is not finalised under it.

use std::time::{Duration, Instant};

use hsm_sim::fault::control;
use portcullis_testing::{Gateway, Rest};

use crate::{
    PROGRAM, alone,
    clients::{Client, Fixture, Until, drive},
    is_long, metric, milliseconds, seed, size, tail, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_call_hangs_and_all_others_are_served() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = [("PORTCULLIS_HSM__MAIN__CALL_SECONDS", if is_long() { "30" } else { "2" })];
    let mut gateway = Gateway::start_with(PROGRAM, &folder.path().join("gateway"), &settings);
    let fixture = Fixture::make(&gateway).await;
    let clients = size(16, 64);
    let crowd = Client::crowd(&gateway, &fixture, clients, seed()).await;
    let (crowd, normal) = drive(crowd, Until::Requests(size(100, 2000))).await;
    assert_eq!((normal.errors(), normal.wrong()), Default::default());

    let store = gateway.folder().join("hsm");
    let plan = "[faults]\ncount = true\n[[faults.rule]]\nmatch = { function = \"C_WrapKey\" }\ntimes = 1\n\
                action = { hang = \"300s\" }\n";
    control::install(&store, plan).unwrap();
    let began = Instant::now();
    let rest = Rest::new(&gateway.rest(), "demo");
    let id = fixture.stored_id().to_owned();
    let victim = tokio::spawn(async move { rest.payload(&id).await.unwrap().status });
    until("the call hangs", &gateway, async || control::stats(&store).unwrap().injected_total == 1).await;
    let end = if is_long() { Until::Time(began + Duration::from_secs(295)) } else { Until::Requests(400) };
    let (crowd, report) = drive(crowd, end).await;
    assert_eq!((report.errors(), report.wrong()), Default::default(), "{}", tail(&gateway.log()));
    let refused = victim.await.unwrap();
    assert_eq!(refused, 503, "who asked for what hangs is told");
    let stuck = async |wanted: f64| metric(&gateway, "portcullis_hsm_workers_stuck", &[]).await == wanted;
    until("one worker is stuck", &gateway, async || stuck(1.0).await).await;
    let (crowd, more) = drive(crowd, Until::Requests(50)).await;
    assert_eq!((more.errors(), more.wrong()), Default::default(), "{}", tail(&gateway.log()));
    let hung = began.elapsed();

    let stats = control::stats(&store).unwrap();
    assert_eq!(stats.calls.get("C_Finalize").copied().unwrap_or(0), 0, "{stats:?}");
    // It returns in the end: nothing is stuck any more.
    control::release(&store).unwrap();
    until("nothing is stuck", &gateway, async || stuck(0.0).await).await;
    let (_, last) = drive(crowd, Until::Requests(50)).await;
    assert_eq!((last.errors(), last.wrong()), Default::default(), "{}", tail(&gateway.log()));
    assert!(gateway.stop().success());
    println!(
        "figures hang: {clients} clients, one call hung {:.0} s, {} other requests, 0 errors, p99 {} ms, before {} ms; 1 stuck, \
         0 finalised",
        hung.as_secs_f64(),
        report.0.len() + more.0.len(),
        milliseconds(report.p99()),
        milliseconds(normal.p99()),
    );
}
