//! A value is on the token and nowhere else.
//!
//! `ways` brings values in by every way there is, on both protocols, and asks for them back through both. Then every file
//! that the gateway keeps or writes — store, trail, configuration, logs at the finest level — and its metrics are searched
//! for every value in every disguise that `search` knows: 0 hits. What a search finds is proven on planted files first.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in tests a panic is the answer")]

mod search;
mod ways;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use portcullis_testing::{Gateway, Kmip, Rest};
use search::Search;
use ways::Canary;

const PROJECT: &str = "demo";

fn start(folder: &Path) -> Gateway {
    let settings = [("PORTCULLIS_LOG", "trace")];
    Gateway::start_with(env!("CARGO_BIN_EXE_portcullis"), &folder.join("gateway"), &settings)
}

/// Every file of the gateway, its output included, except where secrets live by design: the token, its PIN, the
/// certificates' keys.
fn files(gateway: &Gateway) -> Vec<PathBuf> {
    let folder = gateway.folder();
    let mut found = vec![folder.with_extension("log"), folder.with_extension("out")];
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let is_secret = ["hsm", "pin", "tls"].iter().any(|name| path == folder.join(name));
            match path.is_dir() {
                _ if is_secret => {}
                true => folders.push(path),
                // The operators' socket holds nothing.
                false if !path.is_file() => {}
                false => found.push(path),
            }
        }
    }
    found
}

async fn metrics(gateway: &Gateway) -> Vec<u8> {
    let ops = Rest::new(&gateway.ops(), PROJECT);
    ops.bare(reqwest::Method::GET, "/metrics", "*/*").await.unwrap().body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_is_outside_of_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = start(folder.path());
    let (rest, mut kmip) = (Rest::new(&gateway.rest(), PROJECT), Kmip::connect(&gateway).await.unwrap());

    let mut canaries = ways::through_kmip(&mut kmip).await;
    canaries.extend(ways::through_barbican(&rest).await);
    ways::read_back(&canaries, &rest, &mut kmip).await;
    canaries.extend(ways::generated(&rest, &mut kmip).await);
    canaries.extend(ways::used(&mut kmip).await);
    canaries.extend(ways::refused(&rest, &mut kmip).await);
    let pin = fs::read(gateway.folder().join("pin")).unwrap();
    canaries.push(Canary::alone("the token's PIN", pin.trim_ascii().to_vec()));

    let search = Search::new(canaries.iter().map(|canary| (canary.name.as_str(), canary.secrets.as_slice())));
    let shown = metrics(&gateway).await;
    let mut hits = search.hits(&shown, "/metrics");
    // While it runs, after a drain, and after another start: every file that was ever flushed.
    for _ in 0..2 {
        hits.extend(
            files(&gateway).iter().flat_map(|path| search.hits(&fs::read(path).unwrap(), &path.display().to_string())),
        );
        assert!(gateway.stop().success());
        gateway.restart();
    }
    assert!(hits.is_empty(), "{} hits:\n{}", hits.len(), hits.join("\n"));

    let looked_at: BTreeMap<PathBuf, u64> =
        files(&gateway).into_iter().map(|path| (path.clone(), fs::metadata(&path).unwrap().len())).collect();
    for part in ["store", "audit"] {
        let under = gateway.folder().join(part);
        assert!(looked_at.iter().any(|(path, size)| path.starts_with(&under) && *size > 1000), "{part} is empty");
    }
    assert!(gateway.log().contains("DEBUG"), "the finest level was on");
    println!("{} values, {} needles, {} files, 0 hits", canaries.len(), search.needles(), looked_at.len());
}

/// The files that hold records: all of `store/` and `audit/`.
fn kept_bytes(gateway: &Gateway) -> u64 {
    let kept = ["store", "audit"].map(|part| gateway.folder().join(part));
    let files = files(gateway).into_iter().filter(|path| kept.iter().any(|part| path.starts_with(part)));
    files.map(|path| fs::metadata(path).unwrap().len()).sum()
}

/// Compressed, enciphered or split, a value that is kept takes its room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_value_takes_no_room_outside_of_the_token() {
    const LIMIT: u64 = 4096;
    let folder = tempfile::tempdir().unwrap();
    let gateway = start(folder.path());
    let (rest, mut kmip) = (Rest::new(&gateway.rest(), PROJECT), Kmip::connect(&gateway).await.unwrap());

    let mut most = 0;
    for round in 0..5 {
        let value = ways::random(15_000);
        let before = kept_bytes(&gateway);
        let id = rest.store("opaque", &value).await.unwrap().reference("secret_ref");
        let grown = kept_bytes(&gateway).saturating_sub(before);
        assert!(grown < LIMIT, "round {round}: Barbican's payload made the files grow by {grown} bytes");
        most = most.max(grown);
        assert_eq!(rest.payload(&id).await.unwrap().body, value);

        let value = ways::random(15_000);
        let before = kept_bytes(&gateway);
        let id = kmip.make(ways::opaque(&value)).await.unwrap();
        let grown = kept_bytes(&gateway).saturating_sub(before);
        assert!(grown < LIMIT, "round {round}: KMIP's opaque object made the files grow by {grown} bytes");
        most = most.max(grown);
        assert_eq!(rest.payload(&id).await.unwrap().body, value);
    }
    println!("the files grew by at most {most} bytes for 15000");
}
