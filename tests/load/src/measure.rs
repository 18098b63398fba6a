//! One measurement from beginning to end: connect, prepare, drive, clean up.

use std::{fs, io::Read as _, path::Path};

use anyhow::Context as _;
use hyper::header::HeaderValue;
use tokio::task::JoinSet;

use crate::{
    drive::{self, Subject, drive},
    echo, kmip,
    options::{Common, KmipOperation, RestOperation, What},
    process::{self, Server},
    rest,
    stats::{Failure, Measured, Tally},
    target::Target,
    transport::Endpoint,
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
pub(crate) async fn measure(what: What, connections: u16, common: &Common) -> anyhow::Result<Done> {
    let connections = usize::from(connections);
    let done = match what {
        What::Echo(sizes) => {
            let driven = echo::run(connections, sizes, common.plan()).await?;
            Done { measured: driven.measured, interrupted: driven.interrupted }
        }
        What::Kmip(operation) => over_kmip(operation, connections, common).await?,
        What::Rest(operation) => over_rest(operation, connections, common).await?,
    };
    drive::clear_progress();
    Ok(done)
}

async fn over_kmip(operation: KmipOperation, connections: usize, common: &Common) -> anyhow::Result<Done> {
    let endpoint = Target::read(&common.dir, common.allow_remote)?.kmip()?;
    let version = common.kmip_version;
    let mut link = kmip::Link::open(&endpoint, version).await.with_context(|| unreachable(&endpoint))?;
    let (count, size) = (usize::try_from(common.objects)?, usize::try_from(common.size)?);
    let prepared = kmip::Prepared::make(&mut link, operation, count, size, &run_name()?).await;
    let prepared = prepared.context("objects could not be prepared")?;
    let mut clients = vec![prepared.client(link, 0)];
    for number in 1..connections {
        let link = kmip::Link::open(&endpoint, version).await.with_context(|| unreachable(&endpoint))?;
        clients.push(prepared.client(link, number));
    }
    let server = server(common, &endpoint)?;
    let subject = Subject { protocol: "kmip", operation: operation.name(), server };
    let mut driven = drive(clients, common.plan(), subject).await?;
    let objects = prepared.into_objects(&mut driven.clients);
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

/// The token in a file, which is in no log.
fn token(path: &Path) -> anyhow::Result<HeaderValue> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut token = HeaderValue::from_str(text.trim()).with_context(|| format!("{}: no token", path.display()))?;
    token.set_sensitive(true);
    Ok(token)
}

async fn over_rest(operation: RestOperation, connections: usize, common: &Common) -> anyhow::Result<Done> {
    let (endpoint, authority) = Target::read(&common.dir, common.allow_remote)?.rest()?;
    let project = common.project.clone().map_or_else(run_name, Ok)?;
    let token = common.token_file.as_ref().map(|path| token(path)).transpose()?;
    let site = rest::Site { endpoint, authority, project, token };
    let mut link = rest::Link::open(&site).await.with_context(|| unreachable(&site.endpoint))?;
    let (count, size) = (usize::try_from(common.objects)?, usize::try_from(common.size)?);
    let prepared = rest::Prepared::make(&mut link, operation, count, size).await;
    let prepared = prepared.context("secrets could not be prepared")?;
    let mut clients = vec![prepared.client(link, 0)];
    for number in 1..connections {
        let link = rest::Link::open(&site).await.with_context(|| unreachable(&site.endpoint))?;
        clients.push(prepared.client(link, number));
    }
    let server = server(common, &site.endpoint)?;
    let subject = Subject { protocol: "rest", operation: operation.name(), server };
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
