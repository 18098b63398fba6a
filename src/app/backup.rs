//! `portcullis backup`, `restore` and `store …`: the metadata store as a whole, by the gateway that runs or without one.
//!
//! A backup is read from a snapshot while the gateway serves, and comes to the command over the operators' socket. A restore
//! reads the whole file twice before it exchanges anything: once to verify it, once to fill a folder beside the store,
//! which is then checked and takes the store's place in one step. docs/backup.md describes the file.

use std::{
    fs::{self, File},
    io::{self, BufReader, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    control,
    gateway::{Core, STORE_KEY},
    inspect::print,
    marks,
    problem::{Explain as _, Problem, ends_when_it_fails},
    system::SystemClock,
    tokens,
};
use crate::{
    audit::{AuditOptions, FileSink, record::StoreOrder},
    config::Config,
    domain::SecretValue,
    engine::ports::{Clock as _, Hsm as _, HsmError, HsmErrorKind, Memory, StoreError},
    hsm::{Observer, Unobserved},
    store::{
        IndexCheck, Mark, RawStore,
        backup::{self, BackupError, Counts, Following, Manifest, Verified},
        journal::{self, Checked, Damage, History, JournalCheck, PositionText},
        sled::SledOptions,
    },
};

/// `portcullis backup`.
#[derive(Debug, Args)]
pub(super) struct BackupArguments {
    /// The configuration file.
    #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
    pub(super) config: PathBuf,
    /// The file to write; it must not exist.
    #[arg(value_name = "BACKUP")]
    file: PathBuf,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// `portcullis restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    /// The configuration file.
    #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
    pub(super) config: PathBuf,
    /// The backup.
    #[arg(value_name = "BACKUP")]
    file: PathBuf,
    /// Puts the store that is there aside, as STORE.before-restore-N.
    #[arg(long)]
    replace: bool,
    /// Verifies the backup and changes nothing.
    #[arg(long)]
    verify: bool,
    /// The journal of the store that the backup is of (STORE/journal): what was changed after the backup is made again.
    #[arg(long, value_name = "FOLDER")]
    journal: Option<PathBuf>,
    /// Takes what a journal has before a damaged place, and goes without what comes after it.
    #[arg(long, requires = "journal")]
    stop_at_damage: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// `portcullis store`.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Reads every record and compares records with index entries, both ways; reads all of the journal of changes. Changes
    /// nothing; exit code 1 when something is wrong.
    Fsck {
        /// The configuration file.
        #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
        config: PathBuf,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copies what lives in the store into new files and puts these in the place of the old ones, which only grow: while the gateway
    /// serves, with a pause of changes of some milliseconds, or without it. Needs room for the copy.
    Compact {
        /// The configuration file.
        #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
        config: PathBuf,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Puts the store's journal of changes aside and lets the next start begin another one, where the store is known to be right
    /// and the journal does not belong to it or is damaged. The gateway must be stopped; make a backup after its next start.
    BeginJournal {
        /// The configuration file.
        #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
        config: PathBuf,
    },
    /// Takes a store or an audit trail that is older than the token's note of it, as after an older copy was put back on purpose.
    /// The order is recorded. The gateway must be stopped.
    AcceptOlder {
        /// The configuration file.
        #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
        config: PathBuf,
    },
}

impl StoreCommand {
    pub(super) fn config(&self) -> &Path {
        match self {
            Self::Fsck { config, .. }
            | Self::Compact { config, .. }
            | Self::BeginJournal { config }
            | Self::AcceptOlder { config } => config,
        }
    }
}

/// A bar on standard error, where a person looks.
fn bar(length: u64, what: &'static str) -> Result<ProgressBar, Problem> {
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    bar.set_style(style.explain("PC-OUTPUT", "the progress bar", "")?);
    bar.set_message(what);
    Ok(bar)
}

// -------------------------------------------------------------------------------------------------------------- backup

/// What a backup that is about to begin says of itself.
pub(super) async fn manifest(core: &Core) -> Manifest {
    let mark = core.marks.now().await;
    Manifest {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made: SystemClock.now().micros(),
        store: marks::text(&mark.store),
        mark: mark.number,
        line: mark.line,
        journal: None,
    }
}

/// The fact that says up to where the last backup has the journal.
const KEPT: &str = "journal-kept";

/// A backup is on disk: what the one before it has of the journal can go. The last two stay of use, in case one of them is not.
pub(super) fn kept(core: &Core, at: &PositionText) -> Result<(), String> {
    let said = |error: StoreError| error.to_string();
    let before = core.memory.recall(KEPT).map_err(said)?;
    let before = before.and_then(|fact| serde_json::from_slice::<PositionText>(&fact).ok());
    if let Some(before) = before.and_then(|before| before.position()) {
        core.store.repository().prune_journal(before);
    }
    let fact = serde_json::to_vec(at).map_err(|error| error.to_string())?;
    core.memory.remember(KEPT, &fact).map_err(said)
}

/// Writes a backup and records that it was made; `done` counts its records.
pub(super) async fn write(
    core: &Core,
    manifest: Manifest,
    out: impl Write + Send + 'static,
    done: Arc<AtomicU64>,
) -> Result<Verified, String> {
    let store = Arc::clone(&core.store);
    let (store_id, mark) = (manifest.store.clone(), manifest.mark);
    let written = tokio::task::spawn_blocking(move || {
        store.repository().back_up(out, &manifest, |count| done.store(count, Ordering::Relaxed))
    });
    let made = written.await.map_err(|ended| ended.to_string())?.map_err(|error| error.to_string())?;
    let records = Some(made.counts.records());
    let order = StoreOrder { action: "backup", store: store_id, mark, known: mark, records };
    core.trail.order(order).await.map_err(|error| error.to_string())?;
    Ok(made)
}

/// The command.
pub(super) fn back_up(config: Config, arguments: &BackupArguments) -> Result<ExitCode, Problem> {
    let target = &arguments.file;
    let taken = |error: &dyn std::fmt::Display| {
        Problem::new("PC-BACKUP-FILE", format!("{}: {error}", target.display()), "choose another place for the backup")
    };
    if target.exists() {
        return Err(taken(&"there is a file of that name"));
    }
    let part = beside(target, ".part");
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&part);
    let file = file.map_err(|error| taken(&error))?;
    let bar = bar(0, "backing up")?;
    let made = control::back_up(config.clone(), file, &bar).and_then(|made| {
        // The name appears with the whole file behind it, and never in the place of another.
        renameat_with(CWD, &part, CWD, target, RenameFlags::NOREPLACE)
            .map_err(io::Error::from)
            .and_then(|()| File::open(folder_of(target))?.sync_all())
            .map_err(|error| taken(&error))?;
        Ok(made)
    });
    bar.finish_and_clear();
    let made = match made {
        Ok(made) => made,
        Err(problem) => {
            // What is left of it is of no use, and no other file.
            let _gone = fs::remove_file(&part);
            return Err(problem);
        }
    };
    if let Some(at) = &made.manifest.journal {
        // The backup is whole without it: a gateway that has ended meanwhile is told by the next one.
        if let Err(problem) = control::kept(&config, at) {
            tracing::debug!(%problem, "the journal keeps what the backup has");
        }
    }
    let bytes = fs::metadata(target).map_or(0, |metadata| metadata.len());
    let said = if arguments.json {
        pretty(&json!({"file": target, "bytes": bytes, "manifest": made.manifest, "counts": made.counts}))?
    } else {
        format!("{}: {bytes} bytes, {}\n", target.display(), described(&made))
    };
    print(&said)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn pretty(value: &impl Serialize) -> Result<String, Problem> {
    Ok(serde_json::to_string_pretty(value).explain("PC-OUTPUT", "the answer", "")? + "\n")
}

fn described(backup: &Verified) -> String {
    let Verified { manifest, counts } = backup;
    let Counts { objects, groups, jobs, projects, transport_keys, .. } = counts;
    format!(
        "{objects} objects, {groups} groups, {jobs} orders, {projects} projects, {transport_keys} transport keys; store {}, mark {}",
        manifest.store, manifest.mark
    )
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

// ------------------------------------------------------------------------------------------------------------- restore

/// The command.
pub(super) fn restore(config: Config, arguments: &RestoreArguments) -> Result<ExitCode, Problem> {
    let target = config.store.path.clone();
    let lock = if arguments.verify { None } else { prepare(&config, &target, arguments.replace)? };
    let path = &arguments.file;
    let size = fs::metadata(path).explain("PC-BACKUP-FILE", path.display(), "name the backup")?.len();
    let (verified, followed, restored) = control::block_on(async {
        let observer: Arc<dyn Observer> = Arc::new(Unobserved);
        let memory: Arc<dyn Memory> = Arc::new(RawStore::in_memory());
        let reached = config.clone();
        let pool = tokio::task::spawn_blocking(move || {
            // A group that is formed would be made equal by what the memory says, which is empty here.
            tokens::connect(&reached, tokens::Groups::LeftAlone, &memory, &observer).map(Arc::new)
        });
        let pool = pool.await.explain("PC-RUNTIME", "the tokens", "")??;
        let done = restore_from(&config, &pool, arguments, size).await;
        let closing = Arc::clone(&pool);
        if tokio::task::spawn_blocking(move || closing.close()).await.is_err() {
            tracing::warn!("the tokens did not let go");
        }
        done
    })??;
    let Some(restored) = restored else {
        if arguments.json {
            let Verified { manifest, counts } = &verified;
            print(&pretty(&json!({"manifest": manifest, "counts": counts, "journal": followed}))?)?;
        } else {
            print(&format!("it holds: {}\n{}", described(&verified), after(followed.as_ref())))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    drop(lock);
    if !arguments.json {
        print(&format!("restored: {}\n{}", described(&verified), after(followed.as_ref())))?;
        if let Some(aside) = &restored.aside {
            print(&format!("the store that was there: {}\n", aside.display()))?;
        }
        if restored.known > verified.manifest.mark && followed.is_none() {
            print(&format!(
                "changes after mark {} are gone: the token has seen mark {}\n",
                verified.manifest.mark, restored.known
            ))?;
        }
    }
    // What the tokens hold is compared with what the records now say.
    let compared = control::compare(config)?;
    if arguments.json {
        let report = json!({
            "manifest": verified.manifest, "counts": verified.counts, "known_mark": restored.known,
            "aside": restored.aside, "tokens": compared, "journal": followed,
        });
        print(&pretty(&report)?)?;
    } else {
        print(&compared.iter().map(super::fsck::described).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Sees to it that nobody uses the store that is to be replaced, and that it may be.
fn prepare(config: &Config, target: &Path, replace: bool) -> Result<Option<File>, Problem> {
    let in_use = || Problem::new("PC-RESTORE-RUNNING", "the gateway runs", "stop it, restore, then start it again");
    if control::tokens(config)?.is_some() {
        return Err(in_use());
    }
    let db = target.join("db");
    let lock = match File::options().read(true).write(true).open(&db) {
        Ok(file) => {
            file.try_lock().map_err(|_locked| in_use())?;
            Some(file)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).explain("PC-STORE-OPEN", db.display(), "run this as the gateway's user"),
    };
    let is_empty = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !is_empty && !replace {
        return Err(Problem::new(
            "PC-RESTORE-NOT-EMPTY",
            format!("there is a store in {}", target.display()),
            "say --replace to put it aside, or configure another folder",
        ));
    }
    Ok(lock)
}

/// What was exchanged.
struct Restored {
    /// Where the former store is now.
    aside: Option<PathBuf>,
    /// The mark that the token has seen.
    known: u64,
}

/// The key that authenticates backups, from the first token that has it; waits where one that is away may.
async fn store_key(pool: &crate::hsm::Pool) -> Result<SecretValue, Problem> {
    let error = match pool.system_secret_again(STORE_KEY).await {
        Ok(secret) => return Ok(secret),
        Err(error) => error,
    };
    if pool.status().iter().all(tokens::serves) {
        return Err(no_key(&error));
    }
    tokens::ready(pool, |what| tracing::warn!("{what}; waiting for it")).await?;
    pool.system_secret_again(STORE_KEY).await.map_err(|error| no_key(&error))
}

async fn restore_from(
    config: &Config,
    pool: &crate::hsm::Pool,
    arguments: &RestoreArguments,
    size: u64,
) -> Result<(Verified, Option<Checked>, Option<Restored>), Problem> {
    let path = &arguments.file;
    let secret = store_key(pool).await?;
    let open = || File::open(path).map(|file| BufReader::with_capacity(1 << 16, file));
    let open = || open().explain("PC-BACKUP-FILE", path.display(), "name the backup");

    let shown = bar(size, "verifying")?;
    let source = open()?;
    let verified = tokio::task::block_in_place(|| backup::verify(source, &secret, |bytes| shown.set_position(bytes)));
    shown.finish_and_clear();
    let verified = verified.map_err(|error| refused(path, error))?;
    let history = arguments.journal.as_deref().map(History::open).transpose().map_err(unfollowed)?;
    let following = history.as_ref().map(|history| Following { history, stop: arguments.stop_at_damage });
    let mut followed = None;
    if let Some(following) = &following {
        let shown = bar(following.history.bytes(), "verifying the journal")?;
        let checked =
            tokio::task::block_in_place(|| following.verify(&verified.manifest, |bytes| shown.set_position(bytes)));
        shown.finish_and_clear();
        followed = Some(checked.map_err(unfollowed)?);
    }
    if arguments.verify {
        return Ok((verified, followed, None));
    }

    let damaged = || refused(path, BackupError::Damaged("its manifest names no store".to_owned()));
    let id = verified.store().ok_or_else(damaged)?;
    let known = marks::noted_anywhere(pool, &id).await.map_or(0, |mark| mark.number);
    let number = known.max(verified.manifest.mark).saturating_add(1);
    let mark = Mark { store: id, number, line: 0, line_hash: [0; 32] };

    let target = &config.store.path;
    let fresh = beside(target, ".restoring");
    let failed = |what: &dyn std::fmt::Display| {
        let what = format!("{}: {what}", fresh.display());
        Problem::new("PC-RESTORE", what, "nothing was exchanged; mend that and run the command again")
    };
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(|error| failed(&error))?;
    }
    let shown = bar(size, "restoring")?;
    let source = open()?;
    let filled = tokio::task::block_in_place(|| {
        let options = || SledOptions { journal: None, ..SledOptions::default() };
        let made = || RawStore::open(&fresh, options(), ends_when_it_fails(|_| {}));
        let store = made()?;
        let filled = store.fill(source, &secret, mark, |bytes| shown.set_position(bytes))?;
        if let Some(following) = &following {
            shown.set_message("making the changes after it again");
            shown.set_length(following.history.bytes());
            store.follow(&filled.manifest, following, &secret, |bytes| shown.set_position(bytes))?;
        }
        drop(store);
        // Opened again, it is given the form in which it is small.
        let checked = made()?.unlock(&secret)?.check(|_| {})?;
        Ok::<_, BackupError>((filled, checked))
    });
    shown.finish_and_clear();
    let (filled, checked) = filled.map_err(|error| failed(&error))?;
    if filled != verified || !checked.is_sound() {
        return Err(failed(&"the file changed while it was read, or the new store does not hold"));
    }

    // Whatever is exchanged stands in the trail first.
    let folder = &config.audit.path;
    let trail = FileSink::open(folder, AuditOptions::default(), Arc::new(SystemClock));
    let trail = trail.explain("PC-AUDIT-OPEN", "the audit trail cannot be opened", "")?;
    let records = Some(verified.counts.records());
    let order = StoreOrder { action: "restore", store: marks::text(&id), mark: verified.manifest.mark, known, records };
    trail.order(order).await.explain("PC-AUDIT-OPEN", "the restore cannot be recorded", "")?;
    drop(trail);
    let aside = exchange(&fresh, target).map_err(|error| failed(&error))?;
    Ok((verified, followed, Some(Restored { aside, known })))
}

/// What the journal has added, for people.
fn after(followed: Option<&Checked>) -> String {
    let Some(Checked { groups, last, cut, stopped }) = followed else { return String::new() };
    let mut text = format!("after it: {groups} groups of changes, up to {last} of the journal\n");
    if *cut > 0 {
        text += &format!("  {cut} bytes at the journal's end were not written to their end: no acknowledged change\n");
    }
    if let Some(what) = stopped {
        text += &format!("  what comes after is lost: {what}\n");
    }
    text
}

fn unfollowed(error: StoreError) -> Problem {
    Problem::new(
        "PC-RESTORE-JOURNAL",
        error,
        "nothing was changed; name the journal of the store that the backup is of, or take a later backup; where it is damaged, \
         --stop-at-damage takes what comes before that place",
    )
}

/// Puts the new folder in the place of the old one, in one step where there is an old one; the old one's name from then on.
fn exchange(fresh: &Path, target: &Path) -> io::Result<Option<PathBuf>> {
    let parent = File::open(folder_of(target))?;
    if !target.exists() {
        fs::rename(fresh, target)?;
        parent.sync_all()?;
        return Ok(None);
    }
    let aside = (0_u32..).map(|at| beside(target, &format!(".before-restore-{at}"))).find(|path| !path.exists());
    let aside = aside.ok_or(io::ErrorKind::AlreadyExists)?;
    match renameat_with(CWD, fresh, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => fs::rename(fresh, &aside)?,
        // A file system that cannot exchange: there is a moment without a store, and both folders are whole.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::rename(target, &aside)?;
            fs::rename(fresh, target)?;
        }
        Err(error) => return Err(error.into()),
    }
    parent.sync_all()?;
    Ok(Some(aside))
}

fn no_key(error: &HsmError) -> Problem {
    let remedy = match error.kind {
        HsmErrorKind::ObjectMissing => "the token has no store key: restore the token first, or give the right one",
        _ => "see `portcullis hsm status`",
    };
    Problem::new("PC-HSM-SYSTEM-KEY", format!("the key that authenticates backups: {error}"), remedy)
}

fn refused(path: &Path, error: BackupError) -> Problem {
    let (code, remedy) = match error {
        BackupError::Format(_) => ("PC-BACKUP-FORMAT", "use the program that wrote it"),
        _ => {
            ("PC-BACKUP-DAMAGED", "nothing was changed; take another copy, and the token that the store was made with")
        }
    };
    Problem::new(code, format!("{}: {error}", path.display()), remedy)
}

// --------------------------------------------------------------------------------------------------------------- store

/// `portcullis store …`.
pub(super) fn store(command: &StoreCommand, config: Config) -> Result<ExitCode, Problem> {
    match command {
        StoreCommand::Fsck { json, .. } => fsck(config, *json),
        StoreCommand::Compact { json, .. } => super::space::run(config, *json),
        StoreCommand::BeginJournal { .. } => {
            let aside = journal::set_aside(&config.store.path).map_err(super::gateway::store_problem)?;
            let was = aside.map_or_else(|| "there was none".to_owned(), |path| path.display().to_string());
            print(&format!("the next start begins another journal; the former one: {was}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        StoreCommand::AcceptOlder { .. } => {
            let said = match control::accept_older(config)? {
                Some(what) => format!("accepted, and recorded: {what}\n"),
                None => "store and trail are not older than the token knows: nothing to accept\n".to_owned(),
            };
            print(&said)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What `store fsck` has found.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoreCheck {
    /// Of records and index entries.
    #[serde(flatten)]
    pub(super) indexes: IndexCheck,
    /// Of the journal of changes.
    pub(super) journal: Option<JournalCheck>,
}

impl StoreCheck {
    fn is_sound(&self) -> bool {
        self.indexes.is_sound() && self.journal.as_ref().is_none_or(JournalCheck::is_sound)
    }
}

/// What reading the journal has found, for people.
fn journal_described(journal: &JournalCheck) -> String {
    let JournalCheck { files, groups, bytes, after, last, damaged } = journal;
    let mut text =
        format!("journal: {files} files, {bytes} bytes, {groups} groups of changes, after {after} up to {last}\n");
    if !damaged.is_empty() {
        text += &format!("  {} places of the journal do not hold:\n", damaged.len());
        for Damage { file, byte, after, what } in damaged {
            text += &format!("    {file}, byte {byte}, after change {after}: {what}\n");
        }
        text += "  the store itself is read without it; a backup from before that place cannot be brought up to date any more: make \
                 one now, and look after the disk\n";
    }
    text
}

fn fsck(config: Config, json: bool) -> Result<ExitCode, Problem> {
    let bar = ProgressBar::new_spinner();
    bar.set_message("reading every record, every index entry and the journal");
    bar.enable_steady_tick(Duration::from_millis(120));
    let checked = control::check_store(config);
    bar.finish_and_clear();
    let checked = checked?;
    let text = if json {
        pretty(&checked)?
    } else {
        let IndexCheck { records, entries, damaged, missing, stray, miscounted } = &checked.indexes;
        let mut text = format!("{records} records, {entries} index entries\n");
        for (what, list) in [
            ("records that cannot be read: restore a backup", damaged),
            (
                "index entries are missing: objects are not found by them; a backup that is restored has them again",
                missing,
            ),
            ("index entries or pieces belong to no record", stray),
            ("counts are not those of the records; a backup that is restored has them again", miscounted),
        ] {
            if !list.is_empty() {
                text += &format!("  {}{} {what}:\n", list.len(), if list.len() == 100 { " or more" } else { "" });
                list.iter().for_each(|name| text += &format!("    {name}\n"));
            }
        }
        text + &checked.journal.as_ref().map(journal_described).unwrap_or_default()
    };
    print(&text)?;
    Ok(if checked.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
