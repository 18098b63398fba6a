//! One measurement from beginning to end: connect, prepare, drive, clean up.

use std::{
    fs,
    io::Read as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::{Context as _, ensure};
use hyper::header::HeaderValue;
use tokio::task::{self, JoinSet};

use crate::{
    drive::{self, Driven, Subject, drive},
    echo::{self, Sizes},
    hello,
    kmip::{self, KmipClient},
    options::{Common, KmipOperation, RawOperation, RestOperation, What},
    process::{self, Server},
    raw, rest,
    stats::{Failure, Measured, Tally},
    target::Target,
    transport::Endpoint,
    work::{self, Extent, Schedule},
};

/// A result, and whether somebody wants no more of them.
pub(crate) struct Done {
    pub(crate) measured: Measured,
    pub(crate) interrupted: bool,
}

/// Measures one thing.
///
/// # Errors
///
/// What keeps it from being measured at all; requests that fail are in the result.
pub(crate) async fn measure(what: &What, connections: u16, common: &Common) -> anyhow::Result<Done> {
    let connections = usize::from(connections);
    let plan = common.plan();
    let target = || Target::read(&common.dir, common.allow_remote);
    let done = match what {
        What::Echo(sizes) => bare(echo::run(connections, *sizes, plan).await?),
        What::Handshake { sizes, resumes } => {
            bare(echo::handshakes(connections, *sizes, *resumes, plan, &target()?).await?)
        }
        What::Hello(sizes) => bare(hello::run(connections, *sizes, plan).await?),
        What::Kmip(operations) => over_kmip(operations, connections, common, &target()?).await?,
        What::Rest(operations) => {
            ensure!(common.in_flight == 1, "HTTP/1.1 has one request at a time on a connection");
            over_rest(operations, connections, common, &target()?).await?
        }
        What::Pkcs11(operation) => {
            let (operation, common) = (*operation, common.clone());
            let measured = task::spawn_blocking(move || raw::run(operation, connections, &common)).await??;
            Done { measured, interrupted: false }
        }
    };
    drive::clear_progress();
    Ok(done)
}

/// What there is nothing to clean up after.
fn bare<C>(driven: Driven<C>) -> Done {
    Done { measured: driven.measured, interrupted: driven.interrupted }
}

/// What a measurement is compared with: the limits that count for it, with messages of its sizes.
pub(crate) fn limits(what: &What, measured: &Measured, common: &Common) -> Vec<What> {
    let sizes = Sizes { request: bytes(measured.request_bytes), answer: bytes(measured.answer_bytes) };
    let raw = |operation| match operation {
        KmipOperation::Create | KmipOperation::Register => Some(RawOperation::Create),
        KmipOperation::Encrypt | KmipOperation::Batch => Some(RawOperation::Encrypt),
        KmipOperation::Decrypt => Some(RawOperation::Decrypt),
        KmipOperation::Sign => Some(RawOperation::Sign),
        KmipOperation::SignRsa => Some(RawOperation::SignRsa),
        _ => None,
    };
    match what {
        What::Kmip(operations) => match operations.as_slice() {
            [(KmipOperation::Connect, _)] => vec![What::Handshake { sizes, resumes: false }],
            [(KmipOperation::Resume, _)] => vec![What::Handshake { sizes, resumes: true }],
            [(one, _)] if common.module.is_some() => {
                [Some(What::Echo(sizes)), raw(*one).map(What::Pkcs11)].into_iter().flatten().collect()
            }
            _ => vec![What::Echo(sizes)],
        },
        What::Rest(_) => vec![What::Echo(sizes), What::Hello(sizes)],
        What::Pkcs11(_) | What::Echo(_) | What::Handshake { .. } | What::Hello(_) => Vec::new(),
    }
}

/// A mean number of bytes as a size; at least one, and bounded as the command line bounds it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a range that fits")]
fn bytes(mean: f64) -> usize {
    mean.round().clamp(1.0, f64::from(1 << 24)) as usize
}

/// What a run is called in the report.
fn name<T: Copy>(operations: &[(T, u32)], name: impl Fn(T) -> &'static str) -> &'static str {
    match operations {
        [(one, _)] => name(*one),
        _ => "mix",
    }
}

async fn over_kmip(
    operations: &[(KmipOperation, u32)],
    connections: usize,
    common: &Common,
    target: &Target,
) -> anyhow::Result<Done> {
    let endpoint = target.kmip()?;
    let version = common.kmip_version;
    let mut link = kmip::Link::open(&endpoint, version).await.with_context(|| unreachable(&endpoint))?;
    let extent = Extent {
        objects: usize::try_from(common.objects)?,
        bytes: usize::try_from(common.size)?,
        batch: usize::from(common.batch),
    };
    let made = Schedule::make(&mut link, operations, extent, &run_name()?).await;
    let (schedule, mut objects) = made.context("objects could not be prepared")?;
    let (schedule, in_flight) = (Arc::new(schedule), usize::from(common.in_flight));
    let mut clients = vec![KmipClient::new(link, Arc::clone(&schedule), 0, in_flight).prime().await?];
    for number in 1..connections {
        let link = kmip::Link::open(&endpoint, version).await.with_context(|| unreachable(&endpoint))?;
        clients.push(KmipClient::new(link, Arc::clone(&schedule), number, in_flight).prime().await?);
    }
    let server = server(common, &endpoint)?;
    let subject = Subject {
        ops: target.ops(),
        in_flight,
        items: schedule.items(),
        ..Subject::new("kmip", name(operations, KmipOperation::name), server)
    };
    let mut driven = drive(clients, common.plan(), subject).await?;
    let made = driven.clients.iter_mut().flat_map(|client| client.made.drain(..)).map(|id| (id, false));
    objects.extend(made);
    drop(driven.clients);
    let errors = clean_up(objects, move |objects| {
        let endpoint = endpoint.clone();
        async move {
            let mut tally = Tally::new();
            let mut link = kmip::Link::open(&endpoint, version).await?;
            for (id, is_active) in objects {
                if let Err(failure) = kmip::destroy(&mut link, &id, is_active).await {
                    tally.fail(failure);
                }
            }
            Ok(tally)
        }
    });
    Ok(finish(driven.measured, driven.interrupted, errors.await?))
}

/// Makes objects that stay. Their names begin with what is returned, and end with their numbers.
///
/// # Errors
///
/// The first refusal.
pub(crate) async fn fill(count: u64, connections: u16, common: &Common) -> anyhow::Result<String> {
    let endpoint = Target::read(&common.dir, common.allow_remote)?.kmip()?;
    let (version, prefix, next) = (common.kmip_version, run_name()?, Arc::new(AtomicU64::new(0)));
    let batch = u64::from(common.batch);
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut link = kmip::Link::open(&endpoint, version).await.with_context(|| unreachable(&endpoint))?;
        let (next, prefix) = (Arc::clone(&next), prefix.clone());
        tasks.spawn(async move {
            loop {
                let from = next.fetch_add(batch, Relaxed);
                let requests = (from..count.min(from + batch)).map(|at| work::create(format!("{prefix}-{at}")));
                let requests: Vec<_> = requests.collect();
                if requests.is_empty() {
                    return Ok::<_, Failure>(());
                }
                let message = work::Message::of(version, requests)?;
                link.send(&message).await?;
                link.receive(&message).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a connection's task panicked")?.context("objects could not be made")?;
        drive::say(&format!("fill: {} of {count}", next.load(Relaxed).min(count)));
    }
    drive::clear_progress();
    Ok(prefix)
}

/// The token in a file, which is in no log.
fn token(path: &Path) -> anyhow::Result<HeaderValue> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut token = HeaderValue::from_str(text.trim()).with_context(|| format!("{}: no token", path.display()))?;
    token.set_sensitive(true);
    Ok(token)
}

async fn over_rest(
    operations: &[(RestOperation, u32)],
    connections: usize,
    common: &Common,
    target: &Target,
) -> anyhow::Result<Done> {
    let (endpoint, authority) = target.rest()?;
    let project = common.project.clone().map_or_else(run_name, Ok)?;
    let token = common.token_file.as_ref().map(|path| token(path)).transpose()?;
    let site = rest::Site { endpoint, authority, project, token };
    let mut link = rest::Link::open(&site).await.with_context(|| unreachable(&site.endpoint))?;
    let (count, size) = (usize::try_from(common.objects)?, usize::try_from(common.size)?);
    let prepared = rest::Prepared::make(&mut link, operations, count, size).await;
    let prepared = prepared.context("secrets could not be prepared")?;
    let mut clients = vec![prepared.client(link, 0)];
    for number in 1..connections {
        let link = rest::Link::open(&site).await.with_context(|| unreachable(&site.endpoint))?;
        clients.push(prepared.client(link, number));
    }
    let server = server(common, &site.endpoint)?;
    let subject = Subject { ops: target.ops(), ..Subject::new("rest", name(operations, RestOperation::name), server) };
    let mut driven = drive(clients, common.plan(), subject).await?;
    let secrets = prepared.into_secrets(&mut driven.clients);
    drop(driven.clients);
    let errors = clean_up(secrets, move |secrets| {
        let site = site.clone();
        async move {
            let mut tally = Tally::new();
            let mut link = rest::Link::open(&site).await?;
            for id in secrets {
                if let Err(failure) = link.delete(&id).await {
                    tally.fail(failure);
                }
            }
            Ok(tally)
        }
    });
    Ok(finish(driven.measured, driven.interrupted, errors.await?))
}

/// Removes what a run made over a few connections, and counts what cannot be removed.
async fn clean_up<T, F>(objects: Vec<T>, remove: impl Fn(Vec<T>) -> F) -> anyhow::Result<Tally>
where
    F: Future<Output = Result<Tally, Failure>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut objects = objects.into_iter().peekable();
    let share = objects.len().div_ceil(REMOVERS).max(1);
    while objects.peek().is_some() {
        tasks.spawn(remove(objects.by_ref().take(share).collect()));
    }
    let mut all = Tally::new();
    while let Some(removed) = tasks.join_next().await {
        all.merge(removed.context("a removal panicked")?.context("no connection to remove objects")?);
    }
    Ok(all)
}

fn finish(mut measured: Measured, interrupted: bool, removal: Tally) -> Done {
    for (kind, count) in removal.errors {
        *measured.errors.entry(format!("removing objects: {kind}")).or_default() += count;
    }
    Done { measured, interrupted }
}

/// The server's process: the one named, or on this machine the one that listens.
fn server(common: &Common, endpoint: &Endpoint) -> anyhow::Result<Option<Server>> {
    if let Some(pid) = common.server_pid {
        return Ok(Some(Server::Process(pid)));
    }
    if !endpoint.address.ip().is_loopback() {
        return Ok(None);
    }
    Ok(process::listener(endpoint.address)?.map(Server::Process))
}

fn unreachable(endpoint: &Endpoint) -> String {
    format!("no connection to {}", endpoint.address)
}

/// Tells this run's objects, and its project, from those of all others.
fn run_name() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("load-{:016x}", u64::from_ne_bytes(bytes)))
}

const REMOVERS: usize = 16;
