//! More than the HSM can do: who waits, who is served, and what the others are told.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use hsm_sim::fault::control;
use kmip_codec::spec::enums::ResultReason;
use portcullis_testing::{Failure, Gateway, Kmip, Rest, aes, create};

use crate::{PROGRAM, alone, size};

/// A gateway whose token gives four sessions, and takes its time for each value that leaves it.
fn four_sessions(folder: &Path, settings: &[(&str, &str)]) -> Gateway {
    let mut gateway = Gateway::start_with(PROGRAM, folder, settings);
    assert!(gateway.stop().success());
    let options = folder.join("hsm-sim.toml");
    let text = fs::read_to_string(&options).unwrap();
    fs::write(&options, format!("{text}\n[limits]\nmax_sessions = 4\n")).unwrap();
    gateway.restart();
    let rule = "[faults]\n[[faults.rule]]\nmatch = { function = \"C_WrapKey\" }\naction = { delay = \"5ms\" }\n";
    control::install(&folder.join("hsm"), rule).unwrap();
    gateway
}

/// How often each client was served, until all together were served that often.
async fn served(until: usize, clients: Vec<Client>) -> Vec<usize> {
    let (total, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let (total, over) = (Arc::clone(&total), Arc::clone(&over));
            tokio::spawn(async move {
                let mut own = 0;
                while !over.load(Ordering::Relaxed) {
                    client.read().await;
                    own += 1;
                    if total.fetch_add(1, Ordering::Relaxed) + 1 >= until {
                        over.store(true, Ordering::Relaxed);
                    }
                }
                own
            })
        })
        .collect();
    let mut counts = Vec::with_capacity(tasks.len());
    for task in tasks {
        counts.push(task.await.unwrap());
    }
    counts
}

enum Client {
    Kmip(Box<Kmip>, String),
    Rest(Rest, String),
}

impl Client {
    async fn read(&mut self) {
        match self {
            Self::Kmip(kmip, id) => drop(kmip.get(id).await.unwrap()),
            Self::Rest(rest, id) => assert_eq!(rest.payload(id).await.unwrap().status, 200),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_sessions_are_shared_fairly_among_clients_and_projects() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let gateway = four_sessions(&folder.path().join("gateway"), &[]);
    let key = Kmip::connect(&gateway).await.unwrap().make(create(aes())).await.unwrap();
    let other = Rest::new(&gateway.rest(), "another-project");
    let secret = other.store("symmetric", &[7; 32]).await.unwrap().reference("secret_ref");
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(Client::Kmip(Box::new(Kmip::connect(&gateway).await.unwrap()), key.clone()));
    }
    for _ in 0..4 {
        clients.push(Client::Rest(Rest::new(&gateway.rest(), "another-project"), secret.clone()));
    }
    let counts = served(64 * size(25, 200), clients).await;
    let (busy, few) = counts.split_at(60);
    let (most, least) = (*busy.iter().max().unwrap(), *busy.iter().min().unwrap());
    assert!(most * 2 <= least * 3, "clients of one project, most {most} and least {least}: {counts:?}");
    // Four clients have their project's share to themselves, sixty have to divide theirs.
    assert!(few.iter().all(|count| *count > most), "the clients of the quiet project: {counts:?}");
    let sessions: usize = hsm_sessions(&gateway).await;
    assert!(sessions <= 4, "{sessions} sessions are open");
    println!(
        "figures sessions: 4 sessions, 64 clients of two projects, {} requests; the sixty of one project were served {least} to \
         {most} times each, at most {sessions} sessions open",
        counts.iter().sum::<usize>(),
    );
}

async fn hsm_sessions(gateway: &Gateway) -> usize {
    let text = reqwest::get(format!("{}/metrics", gateway.ops())).await.unwrap().text().await.unwrap();
    let line =
        text.lines().find(|line| line.starts_with("portcullis_hsm_sessions{")).unwrap_or_else(|| panic!("{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_place_is_refused_at_once_with_the_time_to_come_back() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let gateway = four_sessions(&folder.path().join("gateway"), &[("PORTCULLIS_HSM__MAIN__QUEUE_MAX", "4")]);
    let mut first = Kmip::connect(&gateway).await.unwrap();
    let key = first.make(create(aes())).await.unwrap();
    let rest = Rest::new(&gateway.rest(), "demo");
    let secret = rest.store("symmetric", &[7; 32]).await.unwrap().reference("secret_ref");
    // Whoever reads now waits for a minute, unless somebody says otherwise.
    let rule = "[faults]\n[[faults.rule]]\nmatch = { function = \"C_WrapKey\" }\naction = { delay = \"300ms\" }\n";
    control::install(&gateway.folder().join("hsm"), rule).unwrap();
    let mut tasks = Vec::new();
    for _ in 0..32 {
        let (mut kmip, key) = (Kmip::connect(&gateway).await.unwrap(), key.clone());
        tasks.push(tokio::spawn(async move {
            match kmip.get(&key).await {
                Ok(_) => (1, 0),
                Err(Failure::Refused(Some(ResultReason::SERVER_LIMIT_EXCEEDED), _)) => (0, 1),
                Err(other) => panic!("{other:?}"),
            }
        }));
        let (rest, secret) = (Rest::new(&gateway.rest(), "demo"), secret.clone());
        tasks.push(tokio::spawn(async move {
            let answer = rest.payload(&secret).await.unwrap();
            match answer.status {
                200 => (1, 0),
                503 => {
                    let after = answer.retry_after.unwrap();
                    assert!((1..=10).contains(&after), "{after}");
                    (0, 1)
                }
                other => panic!("{other}: {}", answer.text()),
            }
        }));
    }
    let (mut done, mut refused) = (0, 0);
    for task in tasks {
        let (one, other) = task.await.unwrap();
        done += one;
        refused += other;
    }
    assert_eq!(done + refused, 64);
    println!(
        "figures queue: 4 sessions, room for 4 to wait, 64 requests at once: {done} served, {refused} refused as busy"
    );
    assert!(done >= 4 && refused >= 4, "{done} were served and {refused} refused: {}", gateway.log());
    control::clear(&gateway.folder().join("hsm")).unwrap();
    first.get(&key).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_above_its_rate_is_told_so_in_both_protocols_and_others_are_served() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = [("PORTCULLIS_LIMITS__CLIENT_REQUESTS_PER_SECOND", "2")];
    let gateway = Gateway::start_with(PROGRAM, &folder.path().join("gateway"), &settings);
    let mut kmip = Kmip::connect(&gateway).await.unwrap();
    let mut tries = 0;
    let refusal = loop {
        match kmip.make(create(aes())).await {
            Ok(_) => tries += 1,
            Err(refusal) => break refusal,
        }
        assert!(tries < 1_000, "nobody counts");
    };
    assert!(
        matches!(refusal, Failure::Refused(Some(ResultReason::SERVER_LIMIT_EXCEEDED), _)),
        "{refusal:?} after {tries}"
    );
    let rest = Rest::new(&gateway.rest(), "demo");
    let answer = loop {
        let answer = rest.store("symmetric", &[7; 32]).await.unwrap();
        if answer.status != 201 {
            break answer;
        }
    };
    assert_eq!((answer.status, answer.retry_after), (503, Some(1)), "{}", answer.text());
    assert!(answer.text().contains("too many requests of this client"), "{}", answer.text());
    let other = Rest::new(&gateway.rest(), "another-project").store("symmetric", &[7; 32]).await.unwrap();
    assert_eq!(other.status, 201, "{}", other.text());
}
