//! Floods: idle connections, handshakes that are never finished, messages that come a byte at a time, messages as large as they
//! may be, and long batches. Memory stays bounded, and a client that does nothing of the kind is served.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kmip_codec::{
    message::{RequestHeader, RequestItem, RequestMessage},
    payload::{GetRequest, Request},
    version::V2_1,
};
use portcullis_testing::{Gateway, Kmip};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    PROGRAM, alone,
    clients::{Client, Fixture, Until, drive},
    is_long, memory, milliseconds, seed, size, tail,
};

/// What the gateway may use, whatever comes.
const MEMORY_MAX: u64 = 512;

struct World {
    gateway: Arc<Gateway>,
    good: Vec<Client>,
    normal: Duration,
    most: u64,
}

impl World {
    /// The good clients work while the flood runs; what they had to wait.
    async fn under(&mut self, name: &str, flood: impl Future<Output = usize> + Send + 'static) {
        let over = Arc::new(AtomicBool::new(false));
        let flood = {
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let count = flood.await;
                over.store(true, Ordering::SeqCst);
                count
            })
        };
        let mut times = Vec::new();
        let mut most = memory(&self.gateway);
        let began = Instant::now();
        while !over.load(Ordering::SeqCst) || times.len() < size(20, 200) {
            let (good, report) = drive(std::mem::take(&mut self.good), Until::Requests(10)).await;
            self.good = good;
            assert_eq!((report.errors(), report.wrong()), Default::default(), "{name}: {}", tail(&self.gateway.log()));
            times.extend(report.0.iter().map(|sample| sample.took));
            most = most.max(memory(&self.gateway));
        }
        let count = flood.await.unwrap();
        times.sort();
        let p99 = crate::percentile(&times, 99);
        println!(
            "figures flood: {name}, {count} in {:.1?}; a good client's p99 {} ms, before {} ms, {} requests, 0 errors; {most} MiB at most",
            began.elapsed(),
            milliseconds(p99),
            milliseconds(self.normal),
            times.len(),
        );
        self.most = self.most.max(most);
        assert!(most < MEMORY_MAX, "{name}: {most} MiB");
        if is_long() {
            // Flood and flooded share two processors: below a second there is nothing to tell apart.
            assert!(p99 < (self.normal * 5).max(Duration::from_secs(1)), "{name}: {p99:?}, before {:?}", self.normal);
        }
    }
}

/// The header of a request message of that many bytes after it.
fn header(length: u32) -> Vec<u8> {
    [&[0x42, 0x00, 0x78, 0x01], length.to_be_bytes().as_slice()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_neither_fill_the_memory_nor_keep_others_out() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = [("PORTCULLIS_KMIP__CONNECTIONS_MAX", "12000"), ("PORTCULLIS_REST__CONNECTIONS_MAX", "12000")];
    let gateway = Arc::new(Gateway::start_with(PROGRAM, &folder.path().join("gateway"), &settings));
    let fixture = Fixture::make(&gateway).await;
    let good = Client::crowd(&gateway, &fixture, 2, seed()).await;
    let (good, normal) = drive(good, Until::Requests(size(100, 1000))).await;
    assert_eq!((normal.errors(), normal.wrong()), Default::default());
    let mut world = World { gateway: Arc::clone(&gateway), good, normal: normal.p99(), most: 0 };
    let (kmip, rest) = (gateway.kmip(), gateway.rest().strip_prefix("http://").unwrap().to_owned());

    let (idle_kmip, idle_rest) = (size(30, 1000), size(100, 9000));
    let own = Arc::clone(&gateway);
    let address = rest.clone();
    world
        .under("idle connections", async move {
            let (mut secure, mut plain) = (Vec::new(), Vec::new());
            for _ in 0..idle_kmip {
                secure.push(Kmip::connect(&own).await.unwrap());
            }
            for _ in 0..idle_rest {
                plain.push(TcpStream::connect(&address).await.unwrap());
            }
            sleep(Duration::from_secs(1)).await;
            secure.len() + plain.len()
        })
        .await;

    let (rate, seconds) = (size(100, 1000), size(1, 10));
    world
        .under("handshakes never finished", async move {
            let mut open = Vec::new();
            for _ in 0..seconds * 10 {
                let began = Instant::now();
                for _ in 0..rate / 10 {
                    // Whoever is turned away at once has done what he could.
                    let Ok(mut stream) = TcpStream::connect(kmip).await else { continue };
                    if stream.write_all(&[22, 3, 1, 2, 0]).await.is_ok() {
                        open.push(stream);
                    }
                }
                sleep(Duration::from_millis(100).saturating_sub(began.elapsed())).await;
            }
            open.len()
        })
        .await;

    let (slow, letters) = (size(8, 64), size(3, 40));
    let own = Arc::clone(&gateway);
    world
        .under("a byte a second", async move {
            let mut tasks = JoinSet::new();
            for _ in 0..slow {
                let own = Arc::clone(&own);
                tasks.spawn(async move {
                    let mut client = Kmip::connect(&own).await.unwrap();
                    for byte in header(4096).into_iter().chain(std::iter::repeat(0)).take(letters) {
                        // The gateway has had enough of it.
                        let Ok(()) = client.stream().write_all(&[byte]).await else { break };
                        drop(client.stream().flush().await);
                        sleep(Duration::from_secs(1)).await;
                    }
                });
            }
            tasks.join_all().await.len()
        })
        .await;

    let (large, bytes) = (size(8, 64), size(4 << 20, (16 << 20) - 8));
    let own = Arc::clone(&gateway);
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    world
        .under("the largest messages", async move {
            let mut tasks = JoinSet::new();
            for _ in 0..large {
                let (own, counted) = (Arc::clone(&own), Arc::clone(&counted));
                tasks.spawn(async move {
                    let mut client = Kmip::connect(&own).await.unwrap();
                    let send = async {
                        let stream = client.stream();
                        stream.write_all(&header(u32::try_from(bytes).unwrap())).await?;
                        let piece = vec![0; 64 << 10];
                        let mut left = bytes;
                        while left > 0 {
                            let part = left.min(piece.len());
                            stream.write_all(&piece[..part]).await?;
                            counted.fetch_add(part, Ordering::Relaxed);
                            left -= part;
                        }
                        stream.flush().await?;
                        // It is no message, and is answered so.
                        stream.read_u8().await
                    };
                    // Readers wait for their share of the budget, and no longer than a message may take.
                    timeout(Duration::from_secs(120), send).await.is_ok_and(|sent| sent.is_ok())
                });
            }
            tasks.join_all().await.len()
        })
        .await;
    println!("  {} MiB were sent", sent.load(Ordering::Relaxed) >> 20);

    let (batches, items) = (size(2, 64), size(64, 1024));
    let own = Arc::clone(&gateway);
    let id = fixture.stored_id().to_owned();
    world
        .under("long batches", async move {
            let mut tasks = JoinSet::new();
            for _ in 0..batches {
                let (own, id) = (Arc::clone(&own), id.clone());
                tasks.spawn(async move {
                    let item = |number: usize| {
                        let get = GetRequest { unique_identifier: Some(id.as_str().into()), ..GetRequest::default() };
                        let request = Request::Get(Box::new(get));
                        RequestItem {
                            id: Some(number.to_be_bytes().to_vec()),
                            ..RequestItem::new(request.operation(), request)
                        }
                    };
                    let items: Vec<_> = (0..items).map(item).collect();
                    let message = RequestMessage { header: RequestHeader::new(V2_1), items };
                    let mut client = Kmip::connect(&own).await.unwrap();
                    let stream = client.stream();
                    stream.write_all(&message.encode().unwrap()).await.unwrap();
                    stream.flush().await.unwrap();
                    let mut answer = [0; 8];
                    stream.read_exact(&mut answer).await.unwrap();
                    let length = u32::from_be_bytes(answer[4..].try_into().unwrap());
                    let mut body = vec![0; usize::try_from(length).unwrap()];
                    stream.read_exact(&mut body).await.unwrap();
                });
            }
            tasks.join_all().await.len()
        })
        .await;

    // A client that comes now is served as ever.
    let late = Client::crowd(&gateway, &fixture, 2, seed()).await;
    let (_, after) = drive(late, Until::Requests(50)).await;
    assert_eq!((after.errors(), after.wrong()), Default::default(), "{}", tail(&gateway.log()));
    println!("figures flood: {} MiB at most over all floods", world.most);
}
