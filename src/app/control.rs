//! Orders of an operator to the gateway that runs: a socket beside the store, for its own user and root only.
//!
//! One line of JSON each way. Where no gateway runs, the command does the work itself: it opens the store as a start would.

use std::{
    fs, io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    adopt::{Adopted, Adoption},
    backup::{self, StoreCheck},
    fsck::Comparison,
    gateway::{Core, Mode},
    migration::{Progress, State},
    problem::{Explain, Problem},
    space,
};
use crate::{
    admin::Admin,
    config::Config,
    domain::{ProjectId, TokenId},
    engine::ports::{Hsm as _, StoreError, TokenStatus},
    engine::{
        Engine,
        ops::purge::{PurgedProject, purge_project},
    },
    hsm::{Pool, probe::Report},
    store::{
        backup::Verified,
        compaction::{self, Compacted},
        journal::PositionText,
    },
    telemetry::Metrics,
    tls,
};

/// A line is short.
const LINE_BYTES_MAX: u64 = 4096;
/// An answer tells of every token.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const LINE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is said how far a compaction is.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// How long a command waits for a gateway that is restarted.
const RESTART: Duration = Duration::from_secs(60);

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
    /// Every record and index entry is read.
    CheckStore,
    /// The records are written out: what follows the answer is described at [`Piece`].
    Backup,
    /// What lives in the store is copied into new files. [`Reply::Compacting`] comes until it is.
    Compact,
    /// A backup that was asked for is on disk.
    Kept(PositionText),
    /// Everything at one place is moved to another.
    Migrate {
        from: String,
        to: String,
    },
    /// How far the last migration is.
    Migration,
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
    Checked(Box<StoreCheck>),
    /// How far a compaction is.
    Compacting(compaction::Progress),
    /// It is done.
    Compacted(Box<Compacted>),
    /// A backup begins; about how many records it will have.
    BackingUp {
        records: u64,
    },
    /// It is complete.
    BackedUp(Box<Verified>),
    /// Store or trail was older than the token's note, and was accepted.
    Accepted(Option<String>),
    Migration(Box<Progress>),
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
pub(super) async fn serve(core: Core) {
    let path = socket(&core.config);
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
    let mut reading = JoinSet::new();
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
        // One after the other: an operator's orders are few, and two of them would be in each other's way. Those that read the
        // whole store only let others pass.
        match obey(stream, &core).await {
            Ok(None) => {}
            Ok(Some(long)) => {
                let core = core.clone();
                reading.spawn(async move {
                    if let Err(error) = long.obey(&core).await {
                        tracing::warn!(%error, "an order came to nothing");
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "an order came to nothing"),
        }
        while reading.try_join_next().is_some() {}
    }
}

/// An order that takes long and changes nothing that others see.
struct Long {
    order: Order,
    to: OwnedWriteHalf,
}

impl Long {
    async fn obey(mut self, core: &Core) -> io::Result<()> {
        let reply = match self.order {
            Order::Backup => return stream_backup(core, &mut self.to).await,
            Order::Compact => return stream_compaction(core, &mut self.to).await,
            _ => check(core).await,
        };
        say(&mut self.to, &reply).await
    }
}

async fn say(to: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let mut answer = serde_json::to_vec(reply)?;
    answer.push(b'\n');
    to.write_all(&answer).await
}

async fn check(core: &Core) -> Reply {
    let store = Arc::clone(&core.store);
    let checked = tokio::task::spawn_blocking(move || {
        let repository = store.repository();
        let journal = repository.check_journal();
        Ok(StoreCheck { indexes: repository.check(|_| {})?, journal })
    });
    match checked.await {
        Ok(checked) => done(checked.map_err(|error: StoreError| error.to_string()).map(Box::new), Reply::Checked),
        Err(ended) => Reply::Failed(ended.to_string()),
    }
}

/// Says how far a compaction is until it has ended. It goes on when nobody listens any more.
async fn stream_compaction(core: &Core, to: &mut OwnedWriteHalf) -> io::Result<()> {
    let (tell, told) = watch::channel(None);
    let mut working = std::pin::pin!(space::compact(core, move |progress| {
        tell.send_replace(Some(progress));
    }));
    let mut listens = true;
    let reply = loop {
        tokio::select! {
            made = &mut working => break done(made.map(Box::new), Reply::Compacted),
            () = tokio::time::sleep(TOLD_EVERY), if listens => {
                let progress = *told.borrow();
                if let Some(progress) = progress {
                    let said = timeout(LINE_TIMEOUT, say(to, &Reply::Compacting(progress))).await;
                    listens = matches!(said, Ok(Ok(())));
                }
            }
        }
    };
    say(to, &reply).await
}

/// One piece of a backup on its way: its length and how many records are done, both in four and eight bytes, then the bytes.
/// One of length 0 ends it, and the last answer follows.
struct Piece;

impl Piece {
    const HEAD: usize = 12;
    const BYTES_MAX: usize = 1 << 16;

    fn head(length: usize, records: u64) -> io::Result<[u8; Self::HEAD]> {
        let length = u32::try_from(length).map_err(io::Error::other)?;
        let mut head = [0; Self::HEAD];
        let (front, back) = head.split_at_mut(4);
        front.copy_from_slice(&length.to_be_bytes());
        back.copy_from_slice(&records.to_be_bytes());
        Ok(head)
    }

    fn parse(head: [u8; Self::HEAD]) -> (usize, u64) {
        let [a, b, c, d, records @ ..] = head;
        (usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX), u64::from_be_bytes(records))
    }
}

/// Writes into a queue of pieces; fails when nobody takes them any more.
struct Pieces(mpsc::Sender<Vec<u8>>);

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (piece, _) = bytes.split_at(bytes.len().min(Piece::BYTES_MAX));
        self.0.blocking_send(piece.to_vec()).map_err(|_gone| io::ErrorKind::BrokenPipe)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn stream_backup(core: &Core, to: &mut OwnedWriteHalf) -> io::Result<()> {
    let manifest = backup::manifest(core).await;
    say(to, &Reply::BackingUp { records: records(core) }).await?;
    let (sender, mut pieces) = mpsc::channel(16);
    let records = Arc::new(AtomicU64::new(0));
    let out = io::BufWriter::with_capacity(Piece::BYTES_MAX, Pieces(sender));
    let written = backup::write(core, manifest, out, Arc::clone(&records));
    let passed = async {
        while let Some(piece) = pieces.recv().await {
            to.write_all(&Piece::head(piece.len(), records.load(Ordering::Relaxed))?).await?;
            to.write_all(&piece).await?;
        }
        Ok::<_, io::Error>(to)
    };
    let (written, passed) = tokio::join!(written, passed);
    let to = passed?;
    to.write_all(&Piece::head(0, 0)?).await?;
    say(to, &done(written.map(Box::new), Reply::BackedUp)).await
}

/// About how many records a backup will have.
fn records(core: &Core) -> u64 {
    let stats = core.store.repository().stats();
    stats.objects.values().sum::<u64>() + stats.groups + stats.jobs
}

async fn obey(stream: UnixStream, core: &Core) -> io::Result<Option<Long>> {
    let (engine, pool) = (&core.engine, &core.pool);
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
        Ok(order @ (Order::CheckStore | Order::Backup | Order::Compact)) => return Ok(Some(Long { order, to: write })),
        Ok(Order::Kept(at)) => done(tokio::task::block_in_place(|| backup::kept(core, &at)), |()| Reply::Done),
        Ok(Order::Migrate { from, to }) => done(core.migrations.order(&from, &to).await, |()| Reply::Done),
        Ok(Order::Migration) => Reply::Migration(Box::new(core.migrations.progress())),
        Err(error) => Reply::Failed(format!("the order cannot be read: {error}")),
    };
    say(&mut write, &reply).await.map(|()| None)
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

/// `portcullis hsm migrate`: orders it, unless nothing is named, and shows how far it is; `true` when it is done.
pub(super) fn migrate(
    config: &Config,
    way: Option<(&str, &str)>,
    follow: bool,
    json: bool,
) -> Result<ExitCode, Problem> {
    let absent = |error: io::Error| match is_absent(&error) {
        true => Problem::new("PC-CONTROL", "no gateway runs with this configuration", "start it first"),
        false => Problem::new("PC-CONTROL", error, "look at the gateway's log"),
    };
    if let Some((from, to)) = way {
        let order = Order::Migrate { from: from.to_owned(), to: to.to_owned() };
        match block_on(ask(config, &order))?.map_err(absent)? {
            Reply::Done => {}
            Reply::Failed(what) => {
                return Err(Problem::new("PC-HSM-MIGRATE", what, "see `portcullis hsm status`"));
            }
            _ => return Err(strange()),
        }
    }
    let bar = indicatif::ProgressBar::new(0);
    let style = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    bar.set_style(style.explain("PC-OUTPUT", "the progress bar", "")?);
    let mut gone = None;
    let progress = loop {
        let progress = match block_on(ask(config, &Order::Migration))? {
            Ok(Reply::Migration(progress)) => *progress,
            Ok(_) => return Err(strange()),
            // It may be restarted: the migration goes on then, and so does this.
            Err(error) => {
                let since = *gone.get_or_insert_with(Instant::now);
                if !follow || since.elapsed() > RESTART {
                    return Err(absent(error));
                }
                std::thread::sleep(Duration::from_millis(500));
                continue;
            }
        };
        gone = None;
        if !follow || matches!(progress.state, State::Done | State::None) {
            break progress;
        }
        bar.set_length(u64::try_from(progress.moved + progress.remaining).unwrap_or(u64::MAX));
        bar.set_position(u64::try_from(progress.moved).unwrap_or(u64::MAX));
        bar.set_message(progress.reason.unwrap_or_else(|| "moving".to_owned()));
        std::thread::sleep(Duration::from_millis(200));
    };
    bar.finish_and_clear();
    let text = if json {
        serde_json::to_string_pretty(&progress).explain("PC-OUTPUT", "the progress", "")? + "\n"
    } else {
        super::migration::described(&progress)
    };
    super::inspect::print(&text)?;
    Ok(if progress.stayed_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

/// `portcullis store fsck`: by the gateway that runs, or here when none does.
pub(super) fn check_store(config: Config) -> Result<StoreCheck, Problem> {
    tls::install_provider();
    let reply = block_on(async {
        match ask(&config, &Order::CheckStore).await {
            Ok(reply) => Ok(reply),
            Err(error) if is_absent(&error) => alone(config, async |core| check(core).await).await,
            Err(error) => Err(Problem::new("PC-CONTROL", error, "look at the gateway's log")),
        }
    })?;
    match reply? {
        Reply::Checked(checked) => Ok(*checked),
        Reply::Failed(what) => Err(Problem::new("PC-STORE-FSCK", what, "look after the disk, or restore a backup")),
        _ => Err(strange()),
    }
}

/// `portcullis store compact`: by the gateway that runs, or here when none does.
pub(super) fn compact(config: Config, bar: &indicatif::ProgressBar) -> Result<Compacted, Problem> {
    tls::install_provider();
    let lost = |error: io::Error| Problem::new("PC-CONTROL", error, "look at the gateway's log");
    let reply = block_on(async {
        match begin(&config, &Order::Compact).await {
            Ok(mut read) => loop {
                match reply(&mut read).await.map_err(lost)? {
                    Reply::Compacting(progress) => space::show(bar, progress),
                    reply => break Ok(reply),
                }
            },
            Err(error) if is_absent(&error) => {
                let bar = bar.clone();
                let working = async |core: &Core| {
                    let made = space::compact(core, move |progress| space::show(&bar, progress)).await;
                    done(made.map(Box::new), Reply::Compacted)
                };
                alone(config, working).await
            }
            Err(error) => Err(lost(error)),
        }
    })?;
    match reply? {
        Reply::Compacted(made) => Ok(*made),
        Reply::Failed(what) => {
            Err(Problem::new("PC-STORE-COMPACT", what, "nothing is lost; mend that and run the command again"))
        }
        _ => Err(strange()),
    }
}

/// `portcullis store accept-older`: what was accepted.
pub(super) fn accept_older(config: Config) -> Result<Option<String>, Problem> {
    tls::install_provider();
    let reply = block_on(async {
        alone_as(config, Mode::AcceptOlder, async |core| Reply::Accepted(core.accepted.clone())).await
    })?;
    match reply? {
        Reply::Accepted(what) => Ok(what),
        _ => Err(strange()),
    }
}

/// `portcullis backup`: into this file, by the gateway that runs, or here when none does. The file is on disk when this
/// returns.
pub(super) fn back_up(config: Config, file: fs::File, bar: &indicatif::ProgressBar) -> Result<Verified, Problem> {
    tls::install_provider();
    let failed = |what: &dyn std::fmt::Display| Problem::new("PC-BACKUP", what, "mend that and run the command again");
    let whole = file.try_clone().map_err(|error| failed(&error))?;
    let outcome = block_on(async {
        match begin(&config, &Order::Backup).await {
            Ok(mut read) => receive_backup(&mut read, file, bar).await.map_err(|error| failed(&error)),
            Err(error) if is_absent(&error) => {
                let mut made = None;
                alone(config, async |core| {
                    let manifest = backup::manifest(core).await;
                    bar.set_length(records(core));
                    let out = io::BufWriter::with_capacity(Piece::BYTES_MAX, file);
                    let records = Arc::new(AtomicU64::new(0));
                    made = Some(backup::write(core, manifest, out, records).await);
                    Reply::Done
                })
                .await?;
                made.unwrap_or_else(|| Err("nothing was written".to_owned())).map_err(|error| failed(&error))
            }
            Err(error) => Err(Problem::new("PC-CONTROL", error, "look at the gateway's log")),
        }
    })?;
    let made = outcome?;
    whole.sync_all().map_err(|error| failed(&error))?;
    Ok(made)
}

/// Tells the gateway that runs that a backup is on disk.
pub(super) fn kept(config: &Config, at: &PositionText) -> Result<(), Problem> {
    match block_on(ask(config, &Order::Kept(at.clone())))? {
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Failed(what)) => Err(Problem::new("PC-BACKUP", what, "")),
        Ok(_) => Err(strange()),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(Problem::new("PC-CONTROL", error, "look at the gateway's log")),
    }
}

async fn receive_backup(
    read: &mut BufReader<OwnedReadHalf>,
    mut file: fs::File,
    bar: &indicatif::ProgressBar,
) -> Result<Verified, String> {
    let said = |error: io::Error| error.to_string();
    match reply(read).await.map_err(said)? {
        Reply::BackingUp { records } => bar.set_length(records),
        Reply::Failed(what) => return Err(what),
        _ => return Err(strange().what),
    }
    let mut piece = vec![0; Piece::BYTES_MAX];
    loop {
        let mut head = [0; Piece::HEAD];
        read.read_exact(&mut head).await.map_err(said)?;
        let (length, records) = Piece::parse(head);
        if length == 0 {
            break;
        }
        let piece = piece.get_mut(..length).ok_or_else(|| strange().what)?;
        read.read_exact(piece).await.map_err(said)?;
        io::Write::write_all(&mut file, piece).map_err(said)?;
        bar.set_position(records);
    }
    match reply(read).await.map_err(said)? {
        Reply::BackedUp(made) => Ok(*made),
        Reply::Failed(what) => Err(what),
        _ => Err(strange().what),
    }
}

/// What has come of having a start make what it makes.
pub(super) enum Prepared {
    /// A gateway runs, which has done so.
    Running,
    /// It is on every token.
    All,
    /// This token, of a group that serves without it, does not serve, and why.
    AllBut(String),
}

/// What a start makes is made, without listeners.
pub(super) fn prepared(config: Config) -> Result<Prepared, Problem> {
    tls::install_provider();
    block_on(async {
        match ask(&config, &Order::Migration).await {
            Ok(_) => Ok(Prepared::Running),
            Err(error) if is_absent(&error) => {
                let mut outcome = Prepared::All;
                let all_serve = async |core: &Core| {
                    let began = Instant::now();
                    // A group serves before all its tokens do, and what it makes has to reach them.
                    while let Some(away) = core.pool.status().iter().find(|token| !super::tokens::serves(token)) {
                        if began.elapsed() > RESTART || super::tokens::hopeless(away).is_some() {
                            outcome = Prepared::AllBut(super::tokens::describe(away));
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Reply::Done
                };
                // A token of no group is waited for at a start.
                match timeout(RESTART.saturating_mul(2), alone(config, all_serve)).await {
                    Ok(reply) => reply.map(|_| outcome),
                    Err(_elapsed) => Ok(Prepared::AllBut("a token does not serve; the log says which".to_owned())),
                }
            }
            Err(error) => Err(Problem::new("PC-CONTROL", error, "look at the gateway's log")),
        }
    })?
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
    reply(&mut begin(config, order).await?).await
}

/// One line of answer.
async fn reply(read: &mut BufReader<OwnedReadHalf>) -> io::Result<Reply> {
    let mut answer = String::new();
    read.take(ANSWER_BYTES_MAX).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}

/// Gives an order; what is to be read is the answer.
async fn begin(config: &Config, order: &Order) -> io::Result<BufReader<OwnedReadHalf>> {
    let stream = short(&socket(config), |path| std::os::unix::net::UnixStream::connect(path))?;
    stream.set_nonblocking(true)?;
    let (read, mut write) = UnixStream::from_std(stream)?.into_split();
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    // The gateway reads one line; that nothing follows tells it nothing.
    write.forget();
    Ok(BufReader::new(read))
}

/// Without a gateway: starts everything but the listeners.
async fn alone(config: Config, obeyed: impl AsyncFnOnce(&Core) -> Reply) -> Result<Reply, Problem> {
    // The token may be a simulator: what is to be worked on was made on it.
    alone_as(config, Mode::Dev, obeyed).await
}

async fn alone_as(config: Config, mode: Mode, obeyed: impl AsyncFnOnce(&Core) -> Reply) -> Result<Reply, Problem> {
    let metrics = Arc::new(Metrics::new());
    let admin = Admin::new(Arc::clone(&metrics));
    let (broken, mut fatal) = mpsc::unbounded_channel();
    let config = Arc::new(config);
    let working = async {
        let core = Core::start(&config, mode, &metrics, &admin, broken).await?;
        let reply = obeyed(&core).await;
        core.finish().await;
        Ok(reply)
    };
    tokio::select! {
        reply = working => match fatal.try_recv() {
            Ok(reason) => Err(Problem::store_failed(&reason)),
            Err(_none) => reply,
        },
        Some(reason) = fatal.recv() => Err(Problem::store_failed(&reason)),
    }
}
