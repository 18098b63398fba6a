//! Orders of an operator to the gateway that runs: a socket beside the store, for its own user and root only.
//!
//! One line of JSON each way. Where no gateway runs, the command does the work itself: it opens the store as a start would.

use std::{
    fs, io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
    time::timeout,
};

use super::{
    adopt::{Adopted, Adoption},
    fsck::Comparison,
    gateway::{Core, Mode},
    problem::{Explain, Problem},
};
use crate::{
    admin::Admin,
    config::Config,
    domain::{ProjectId, TokenId},
    engine::ports::{Hsm as _, TokenStatus},
    engine::{
        Engine,
        ops::purge::{PurgedProject, purge_project},
    },
    hsm::{Pool, probe::Report},
    telemetry::Metrics,
    tls,
};

/// A line is short.
const LINE_BYTES_MAX: u64 = 4096;
/// An answer tells of every token.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const LINE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Order {
    PurgeProject(String),
    /// The state of every token.
    Tokens,
    /// A token of a replicated group is taken out.
    Drain(String),
    /// It serves again.
    Join(String),
    /// It is compared with another one.
    Resync(String),
    /// Every token is compared with the records.
    Compare,
    /// A key that stands on a token becomes a managed object.
    Adopt(Box<Adoption>),
    /// It is tried out what a token can do.
    Probe(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Purged {
        secrets: usize,
        containers: usize,
        orders: usize,
    },
    /// What `hsm status --json` prints.
    Tokens(Vec<Value>),
    Done,
    /// How many objects are copied to the token.
    Copying(usize),
    Compared(Vec<Comparison>),
    Probed(Box<Report>),
    Adopted(Vec<Adopted>),
    Failed(String),
}

/// The socket: the store's path with `.sock` after it.
fn socket(config: &Config) -> PathBuf {
    let mut path = config.store.path.clone().into_os_string();
    path.push(".sock");
    PathBuf::from(path)
}

/// A socket's path has at most 107 bytes, a store's may have more: the folder is named by a descriptor then.
fn short<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() < 100 {
        return with(path);
    }
    let (folder, name) = (path.parent().unwrap_or_else(|| Path::new(".")), path.file_name().unwrap_or_default());
    let folder = fs::File::open(folder)?;
    with(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
}

/// The socket while the gateway serves; it goes with this.
pub(super) struct Control {
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        // Gone already, or not ours to remove: the next start does it.
        let _gone = fs::remove_file(&self.path);
    }
}

/// Opens the socket and takes orders until the task is ended. A gateway without it serves all the same.
pub(super) async fn serve(config: Arc<Config>, engine: Arc<Engine>, pool: Arc<Pool>) {
    let path = socket(&config);
    // Whoever holds the store is alone, so what lies there was left by a crash.
    let _left = fs::remove_file(&path);
    let listener = match short(&path, |path| UnixListener::bind(path)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "no orders can be given to this gateway while it runs");
            return;
        }
    };
    let _socket = Control { path };
    let own = rustix::process::getuid().as_raw();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an order could not be taken");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0) {
            tracing::warn!("an order of another user was refused");
            continue;
        }
        // One after the other: an operator's orders are few, and two of them would be in each other's way.
        if let Err(error) = obey(stream, &engine, &pool).await {
            tracing::warn!(%error, "an order came to nothing");
        }
    }
}

async fn obey(stream: UnixStream, engine: &Arc<Engine>, pool: &Arc<Pool>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    timeout(LINE_TIMEOUT, BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut line)).await??;
    let reply = match serde_json::from_str(&line) {
        Ok(Order::PurgeProject(project)) => {
            tracing::warn!(project, "everything of the project is removed, as ordered");
            purged(engine, project).await
        }
        Ok(Order::Tokens) => {
            let tokens = pool.status().iter().map(serde_json::to_value).collect::<Result<_, _>>();
            tokens.map_or_else(|error| Reply::Failed(error.to_string()), Reply::Tokens)
        }
        Ok(Order::Drain(token)) => done(pool.drain(&TokenId(token)).await, |()| Reply::Done),
        Ok(Order::Join(token)) => done(pool.join(&TokenId(token)).await, |()| Reply::Done),
        Ok(Order::Resync(token)) => done(pool.resync(&TokenId(token)).await, Reply::Copying),
        Ok(Order::Compare) => compare_all(engine, pool).await,
        Ok(Order::Adopt(adoption)) => done(super::adopt::adopt(engine, pool, *adoption).await, Reply::Adopted),
        Ok(Order::Probe(token)) => match pool.probe(&TokenId(token)).await {
            Ok(report) => Reply::Probed(Box::new(report)),
            Err(error) => Reply::Failed(error.to_string()),
        },
        Err(error) => Reply::Failed(format!("the order cannot be read: {error}")),
    };
    let mut answer = serde_json::to_vec(&reply)?;
    answer.push(b'\n');
    write.write_all(&answer).await
}

async fn purged(engine: &Arc<Engine>, project: String) -> Reply {
    match purge_project(engine, &ProjectId(project)).await {
        Ok(PurgedProject { secrets, containers, orders }) => Reply::Purged { secrets, containers, orders },
        Err(error) => Reply::Failed(error.to_string()),
    }
}

fn done<T>(outcome: Result<T, String>, reply: impl FnOnce(T) -> Reply) -> Reply {
    outcome.map_or_else(Reply::Failed, reply)
}

/// `portcullis project purge`: by the gateway that runs, or here when none does.
pub(super) fn purge(config: Config, project: &str) -> Result<ExitCode, Problem> {
    tls::install_provider();
    let reply = block_on(async {
        match ask(&config, &Order::PurgeProject(project.to_owned())).await {
            Ok(reply) => Ok(reply),
            Err(error) if is_absent(&error) => {
                alone(config, async |core| purged(&core.engine, project.to_owned()).await).await
            }
            Err(error) => Err(Problem::new("PC-CONTROL", error, "look at the gateway's log")),
        }
    })?;
    match reply? {
        Reply::Purged { secrets, containers, orders } => {
            super::inspect::print(&format!(
                "removed of project {project}: {secrets} secrets, {containers} containers, {orders} orders\n"
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Reply::Failed(what) => Err(Problem::new(
            "PC-PROJECT-PURGE",
            what,
            "mend that and run the command again; it goes on where it stopped",
        )),
        _ => Err(strange()),
    }
}

/// The tokens as the gateway that runs sees them; `None` where none runs.
pub(super) fn tokens(config: &Config) -> Result<Option<Vec<Value>>, Problem> {
    match block_on(ask(config, &Order::Tokens))? {
        Ok(Reply::Tokens(tokens)) => Ok(Some(tokens)),
        Ok(_) => Err(strange()),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Problem::new("PC-CONTROL", error, "look at the gateway's log")),
    }
}

/// A token as the gateway that runs finds it when it tries it out; `None` where none runs.
pub(super) fn probed(config: &Config, token: &str) -> Result<Option<Report>, Problem> {
    match block_on(ask(config, &Order::Probe(token.to_owned())))? {
        Ok(Reply::Probed(report)) => Ok(Some(*report)),
        Ok(Reply::Failed(what)) => {
            Err(Problem::new("PC-HSM-PROBE", what, "see `portcullis hsm status`, and run it again"))
        }
        Ok(_) => Err(strange()),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Problem::new("PC-CONTROL", error, "look at the gateway's log")),
    }
}

/// What an operator does with a token of a replicated group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// `hsm drain`.
    Drain,
    /// `hsm join`.
    Join,
    /// `hsm resync`.
    Resync,
}

/// Does it in the gateway that runs; shows how far it is where objects are copied.
pub(super) fn change(config: &Config, token: &str, change: Change) -> Result<ExitCode, Problem> {
    let name = token.to_owned();
    let order = match change {
        Change::Drain => Order::Drain(name),
        Change::Join => Order::Join(name),
        Change::Resync => Order::Resync(name),
    };
    let reply = block_on(ask(config, &order))?.map_err(|error| match is_absent(&error) {
        true => Problem::new("PC-CONTROL", "no gateway runs with this configuration", "start it first"),
        false => Problem::new("PC-CONTROL", error, "look at the gateway's log"),
    })?;
    let said = match reply {
        Reply::Failed(what) => return Err(Problem::new("PC-HSM-GROUP", what, "see `portcullis hsm status`")),
        Reply::Done if change == Change::Drain => format!("hsm.{token} is drained: no request goes to it\n"),
        Reply::Done => {
            follow(config, token)?;
            format!("hsm.{token} serves\n")
        }
        Reply::Copying(count) => {
            follow(config, token)?;
            format!("hsm.{token} lacked {count} objects and has them now\n")
        }
        _ => return Err(strange()),
    };
    super::inspect::print(&said)?;
    Ok(ExitCode::SUCCESS)
}

/// `portcullis hsm fsck`: by the gateway that runs, or here when none does.
pub(super) fn compare(config: Config) -> Result<Vec<Comparison>, Problem> {
    tls::install_provider();
    let reply = block_on(async {
        match ask(&config, &Order::Compare).await {
            Ok(reply) => Ok(reply),
            Err(error) if is_absent(&error) => {
                alone(config, async |core| compare_all(&core.engine, &core.pool).await).await
            }
            Err(error) => Err(Problem::new("PC-CONTROL", error, "look at the gateway's log")),
        }
    })?;
    match reply? {
        Reply::Compared(compared) => Ok(compared),
        Reply::Failed(what) => Err(Problem::new("PC-HSM-FSCK", what, "see `portcullis hsm status`, and run it again")),
        _ => Err(strange()),
    }
}

/// `portcullis hsm adopt`: by the gateway that runs, or here when none does.
pub(super) fn adopt(config: Config, adoption: Adoption) -> Result<Vec<Adopted>, Problem> {
    tls::install_provider();
    let order = Order::Adopt(Box::new(adoption));
    let reply = block_on(async {
        match (ask(&config, &order).await, order) {
            (Ok(reply), _) => Ok(reply),
            (Err(error), Order::Adopt(adoption)) if is_absent(&error) => {
                alone(config, async |core| {
                    done(super::adopt::adopt(&core.engine, &core.pool, *adoption).await, Reply::Adopted)
                })
                .await
            }
            (Err(error), _) => Err(Problem::new("PC-CONTROL", error, "look at the gateway's log")),
        }
    })?;
    match reply? {
        Reply::Adopted(adopted) => Ok(adopted),
        Reply::Failed(what) => Err(Problem::new("PC-HSM-ADOPT", what, "nothing was changed")),
        _ => Err(strange()),
    }
}

async fn compare_all(engine: &Arc<Engine>, pool: &Pool) -> Reply {
    let mut compared = Vec::new();
    for status in pool.status() {
        if !super::tokens::serves(&status) && status.health != "resyncing" {
            return Reply::Failed(super::tokens::describe(&status));
        }
        let TokenStatus { token, .. } = status;
        let name = token.clone();
        match super::fsck::compare(engine, pool, token).await {
            Ok(one) => compared.push(one),
            Err(what) => return Reply::Failed(format!("hsm.{name}: {what}")),
        }
    }
    Reply::Compared(compared)
}

/// Waits until a token serves and owes nothing, with a bar on standard error where a person looks.
fn follow(config: &Config, token: &str) -> Result<(), Problem> {
    let bar = indicatif::ProgressBar::new(0);
    let style = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    bar.set_style(style.explain("PC-OUTPUT", "the progress bar", "")?);
    loop {
        let gone = || Problem::new("PC-CONTROL", "the gateway has ended", "start it again");
        let tokens = tokens(config)?.ok_or_else(gone)?;
        let state =
            tokens.iter().find(|it| it.get("token").and_then(Value::as_str) == Some(token)).ok_or_else(strange)?;
        let health = state.get("health").and_then(Value::as_str).unwrap_or_default().to_owned();
        let owed = state.get("owed").and_then(Value::as_u64).unwrap_or_default();
        if health == "ready" && owed == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        if health == "fenced" {
            let reason = state.get("reason").and_then(Value::as_str).unwrap_or_default();
            return Err(Problem::new(
                "PC-HSM-GROUP",
                format!("hsm.{token} is fenced: {reason}"),
                "replace or mend the token",
            ));
        }
        bar.set_length(bar.length().unwrap_or_default().max(owed));
        bar.set_position(bar.length().unwrap_or_default().saturating_sub(owed));
        bar.set_message(health);
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn strange() -> Problem {
    Problem::new("PC-CONTROL", "the gateway's answer makes no sense", "use the program of the same version")
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.explain("PC-RUNTIME", "no threads can be started", "raise the limit of processes")?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(result)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn ask(config: &Config, order: &Order) -> io::Result<Reply> {
    let stream = short(&socket(config), |path| std::os::unix::net::UnixStream::connect(path))?;
    stream.set_nonblocking(true)?;
    let (read, mut write) = UnixStream::from_std(stream)?.into_split();
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    let mut answer = String::new();
    BufReader::new(read.take(ANSWER_BYTES_MAX)).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}

/// Without a gateway: starts everything but the listeners.
async fn alone(config: Config, obeyed: impl AsyncFnOnce(&Core) -> Reply) -> Result<Reply, Problem> {
    let metrics = Arc::new(Metrics::new());
    let admin = Admin::new(Arc::clone(&metrics));
    let (broken, _fatal) = mpsc::unbounded_channel();
    // The token may be a simulator: what is to be removed was made on it.
    let core = Core::start(&Arc::new(config), Mode::Dev, &metrics, &admin, broken).await?;
    let reply = obeyed(&core).await;
    core.finish().await;
    Ok(reply)
}
