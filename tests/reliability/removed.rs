//! The only token is pulled out under 64 clients and comes back after five seconds.

use std::time::{Duration, Instant};

use hsm_sim::fault::control;
use portcullis_testing::Gateway;

use crate::{
    PROGRAM, alone,
    clients::{Client, Fixture, Until, drive},
    is_long, is_ready, metric, milliseconds, seed, size, tail, until,
};

/// What a handle or a session of before would be answered.
const OLD: [&str; 3] = ["CKR_OBJECT_HANDLE_INVALID", "CKR_KEY_HANDLE_INVALID", "CKR_SESSION_HANDLE_INVALID"];

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_pulled_out_and_comes_back() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(PROGRAM, &folder.path().join("gateway"));
    let fixture = Fixture::make(&gateway).await;
    let clients = size(16, 64);
    let mut crowd = Client::crowd(&gateway, &fixture, clients, seed()).await;
    let (rounds, away) = (size(1, 10), Duration::from_secs(if is_long() { 5 } else { 2 }));
    let (mut slowest, mut served, mut refused, mut old) = (Duration::ZERO, 0, 0, 0);
    for round in 0..rounds {
        let generation = metric(&gateway, "portcullis_hsm_token_generation", &[]).await;
        let plan = format!(
            "[faults]\nseed = {}\n[[faults.rule]]\nmatch = {{ function = [\"C_Sign\", \"C_WrapKey\"] }}\nafter = 20\n\
             times = 1\naction = {{ remove_token = \"{}s\" }}\n",
            seed(),
            away.as_secs()
        );
        control::install(&gateway.folder().join("hsm"), &plan).unwrap();
        let watcher = async {
            until("the token is away", &gateway, async || !is_ready(&gateway).await).await;
            let gone = Instant::now();
            until("it is ready again", &gateway, async || is_ready(&gateway).await).await;
            gone.elapsed()
        };
        let end = Until::Time(Instant::now() + away + Duration::from_secs(4));
        let (out, (mut back, report)) = tokio::join!(watcher, drive(crowd, end));
        assert_eq!(report.wrong(), Vec::<String>::new(), "{}", tail(&gateway.log()));
        assert_eq!(report.unknowable(), Vec::<Instant>::new());
        let late: Vec<_> = report.0.iter().filter(|sample| sample.took > Duration::from_secs(12)).collect();
        assert!(late.is_empty() || !is_long(), "beyond the deadline: {late:?}");
        refused += report.errors().len();
        slowest = slowest.max(out.saturating_sub(away));
        let after;
        (back, after) = drive(back, Until::Requests(size(100, 500))).await;
        assert_eq!((after.errors(), after.wrong()), Default::default(), "{}", tail(&gateway.log()));
        served += report.0.len() + after.0.len();
        crowd = back;
        let now = metric(&gateway, "portcullis_hsm_token_generation", &[]).await;
        assert!(now > generation, "round {round}: handles of before were not given up");
        let stats = control::stats(&gateway.folder().join("hsm")).unwrap();
        old += OLD.iter().map(|code| stats.answers.get(*code).copied().unwrap_or(0)).sum::<u64>();
        control::clear(&gateway.folder().join("hsm")).unwrap();
    }
    println!(
        "figures removed: {clients} clients, {rounds} times away for {} s, {served} requests, {refused} refused while it was away, \
         0 wrong, ready {} ms after its return at the latest, {old} uses of an old session or handle",
        away.as_secs(),
        milliseconds(slowest),
    );
    assert_eq!(old, 0, "old sessions or handles were used: {}", tail(&gateway.log()));
    if is_long() {
        assert!(slowest <= Duration::from_secs(2), "ready {slowest:?} after its return");
    }
}
