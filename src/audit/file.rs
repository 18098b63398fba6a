//! The trail in a file: append-only, one writer at a time, its own group commit.
//!
//! Whoever hands a record in writes it, with all that were handed in beside it, unless somebody is writing already: then that one
//! takes it, too. So a record costs a share of one `write` and no change of threads. A thread of the trail's own syncs: at once
//! for who waits for the disk, within 100 ms for the others; and it writes for all as long as the disk is slow, so that the
//! async threads are not kept. Who is owed a record by the store is told when it is on disk. After an error every later record fails, so that nothing happens unrecorded. The chain goes
//! on over restarts and rotations: the file in use is `audit.log`, older ones are `audit.<number of their first line>.log`.
//! What a crash left after the last whole line is moved to a file beside it and noted by a line of its own.

use std::{
    collections::{HashSet, VecDeque},
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::{Condvar, Mutex};
use tokio::{sync::oneshot, task::yield_now};

use super::{
    record::{
        BEGINNING, Checkpoint, Entry, LineHash, ReadLine, Repair, StoreOrder, event_id, hash, hex, signed_message,
        write_line,
    },
    verify::Chain,
};
use crate::{
    domain::audit::AuditEvent,
    engine::ports::{Answer, AuditError, AuditSink, Clock, Durability, OnDisk},
};

/// Signs a message by ECDSA with SHA-256, with the trail's P-256 key in an HSM; the signature is DER.
pub type Signer = Arc<dyn Fn(Vec<u8>) -> Answer<'static, Result<Vec<u8>, String>> + Send + Sync>;

/// Called with the seconds of a sync and the number of records that it made durable.
pub type Observer = Arc<dyn Fn(Duration, usize) + Send + Sync>;

/// How the trail is kept.
#[derive(Clone)]
pub struct AuditOptions {
    /// Who writes it, as the lines name it.
    pub observer_id: String,
    /// A new file is begun when the current one is longer.
    pub file_bytes_max: u64,
    /// Told about each sync.
    pub on_sync: Option<Observer>,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { observer_id: "portcullis".to_owned(), file_bytes_max: 256 << 20, on_sync: None }
    }
}

/// The sink.
pub struct FileSink {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    clock: Arc<dyn Clock>,
    opened: Opened,
}

/// The end of the trail when it was opened: all of that was on disk.
#[derive(Default)]
struct Opened {
    last: u64,
    hash: LineHash,
    /// Of the lines up to the last one, as far back as was read.
    hashes: VecDeque<LineHash>,
}

/// What the trail had under a number when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineAtOpen {
    /// A line of this hash.
    Is(LineHash),
    /// Nothing: the trail ended at this line.
    Beyond(u64),
    /// It is too far back to have been read.
    NotRead,
}

struct Shared {
    desk: Mutex<Desk>,
    /// There is something for the thread.
    woken: Condvar,
    /// Locked by whoever the desk says is writing.
    writer: Mutex<Writer>,
    /// Held while a file is synced: an error is told to one of two who sync at the same time.
    syncing: Mutex<()>,
    folder: PathBuf,
    recent: Mutex<Recent>,
    failed: Mutex<Option<String>>,
    /// Why the last record was refused, where room on the disk would help.
    full: Mutex<Option<String>>,
}

/// Where records are handed in. Never locked while a file is touched.
struct Desk {
    waiting: Vec<Waiting>,
    /// Room for the next group.
    spare: Vec<Waiting>,
    /// Somebody is writing, and takes what comes meanwhile.
    is_busy: bool,
    /// The thread is to write what waits.
    is_left: bool,
    /// Until when the thread writes for all, because the disk is slow.
    slow_until: Option<Instant>,
    head: Head,
    unsynced: Unsynced,
    /// Who is answered when the file is synced.
    confirm: Vec<Reply>,
    /// What is done when it is.
    settle: Vec<OnDisk>,
    is_closing: bool,
}

/// A record that was handed in.
struct Waiting {
    entry: Entry,
    until: Until,
    reply: Reply,
}

/// Until when a record is waited for.
enum Until {
    Synced,
    /// Until it is with the kernel; something may be left to do when it is on disk.
    Handed(Option<OnDisk>),
}

impl From<Durability> for Until {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Synced => Self::Synced,
            Durability::Handed => Self::Handed(None),
        }
    }
}

type Reply = oneshot::Sender<Result<(), AuditError>>;

/// The identifiers of the latest records.
#[derive(Default)]
struct Recent {
    order: VecDeque<[u8; 16]>,
    known: HashSet<[u8; 16]>,
}

/// The end of the chain.
#[derive(Clone, Copy)]
struct Head {
    seq: u64,
    hash: LineHash,
    is_signed: bool,
}

/// How many identifiers are kept for [`AuditSink::holds`].
pub const RECENT_RECORDS: usize = 10_000;
/// Records that are handed to the kernel are on disk within 100 ms; the rest of that time is the disk's.
const SYNC_WITHIN: Duration = Duration::from_millis(60);
/// Waiting records that are taken into one group.
const GROUP_MAX: usize = 512;
/// Groups that one caller writes for others before the thread goes on with it.
const GROUPS_MAX: usize = 4;
/// A write takes a few microseconds, unless the kernel waits for the disk.
const SLOW_WRITE: Duration = Duration::from_millis(20);
/// How long callers do not write themselves after that.
const SLOW_FOR: Duration = Duration::from_millis(200);
/// How much of a file's end is read at start: more than 10 000 records take.
const TAIL_BYTES: u64 = 16 << 20;

/// What a disk writes as a whole.
const SECTOR_BYTES: u64 = 512;

/// A disk with so much room takes records again.
const ROOM_BYTES: u64 = 1 << 20;

const CURRENT: &str = "audit.log";

impl FileSink {
    /// Opens the trail in `folder`, makes it when it is missing, and repairs what a crash left.
    ///
    /// # Errors
    ///
    /// When the folder is in use, cannot be written, or the chain's end does not hold.
    pub fn open(folder: &Path, options: AuditOptions, clock: Arc<dyn Clock>) -> Result<Self, AuditError> {
        let failed = |error: io::Error| AuditError(format!("{}: {error}", folder.display()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let lock = File::open(folder).map_err(failed)?;
        lock.try_lock().map_err(|_locked| {
            AuditError(format!(
                "{} is in use by another process: stop it, or give this one a folder of its own",
                folder.display()
            ))
        })?;
        let found = Found::read(folder)?;
        let file = append_to(&folder.join(CURRENT)).map_err(failed)?;
        let opened = Opened { last: found.head.seq, hash: found.head.hash, hashes: found.hashes };
        let mut writer = Writer {
            folder: folder.to_path_buf(),
            length: file.metadata().map_err(failed)?.len(),
            file: Arc::new(file),
            lock,
            head: found.head,
            first_of_file: found.first_of_file,
            options,
            room: Vec::new(),
        };
        let mut recent = found.recent;
        // What a process that was killed had handed to the kernel counts as held: it must be on disk.
        writer.file.sync_all().and_then(|()| writer.lock.sync_all()).map_err(failed)?;
        if let Some(repair) = found.repair {
            tracing::warn!(bytes = repair.bytes, file = %repair.file, "the audit trail ended in an unfinished line, which was moved away");
            let note = [Entry::Repair(clock.now(), repair)];
            writer.write(note.iter(), &mut recent).and_then(|()| writer.file.sync_data()).map_err(failed)?;
        }
        let desk = Desk {
            waiting: Vec::new(),
            spare: Vec::new(),
            is_busy: false,
            is_left: false,
            slow_until: None,
            head: writer.head,
            unsynced: Unsynced::default(),
            confirm: Vec::new(),
            settle: Vec::new(),
            is_closing: false,
        };
        let shared = Arc::new(Shared {
            desk: Mutex::new(desk),
            woken: Condvar::new(),
            writer: Mutex::new(writer),
            syncing: Mutex::new(()),
            folder: folder.to_path_buf(),
            recent: Mutex::new(recent),
            failed: Mutex::new(None),
            full: Mutex::new(None),
        });
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new().name("audit-writer".to_owned()).spawn(move || own.run()).map_err(failed)?;
        Ok(Self { shared, thread: Some(thread), clock, opened })
    }

    /// Whether records are still taken.
    ///
    /// # Errors
    ///
    /// Why they are not.
    pub fn health(&self) -> Result<(), AuditError> {
        self.shared.check()?;
        let mut full = self.shared.full.lock();
        let Some(reason) = full.clone() else { return Ok(()) };
        let space = rustix::fs::statvfs(&self.shared.folder);
        let free = space.map(|space| space.f_bavail.saturating_mul(space.f_frsize));
        match free {
            Ok(free) if free >= ROOM_BYTES => {
                *full = None;
                Ok(())
            }
            _ => Err(AuditError(reason)),
        }
    }

    /// The last line of the trail when it was opened, 0 for none, and its hash.
    #[must_use]
    pub const fn end_at_open(&self) -> (u64, LineHash) {
        (self.opened.last, self.opened.hash)
    }

    /// What the trail had under a number when it was opened.
    #[must_use]
    pub fn line_at_open(&self, number: u64) -> LineAtOpen {
        let Some(back) = self.opened.last.checked_sub(number) else { return LineAtOpen::Beyond(self.opened.last) };
        if back == 0 {
            return LineAtOpen::Is(self.opened.hash);
        }
        let back = usize::try_from(back).unwrap_or(usize::MAX);
        let at = self.opened.hashes.len().checked_sub(1).and_then(|end| end.checked_sub(back));
        at.and_then(|at| self.opened.hashes.get(at)).map_or(LineAtOpen::NotRead, |hash| LineAtOpen::Is(*hash))
    }

    /// Records what an operator did with the store, on disk when this returns.
    ///
    /// # Errors
    ///
    /// As [`AuditSink::record`].
    pub async fn order(&self, order: StoreOrder) -> Result<(), AuditError> {
        self.append(Entry::Order(self.clock.now(), order), Until::Synced).await
    }

    /// Signs the head of the chain, unless nothing was recorded since the last time: the line that was signed, which is on disk,
    /// and its hash. To be called at intervals and at shutdown.
    ///
    /// # Errors
    ///
    /// The signer's, and those of [`AuditSink::record`].
    pub async fn checkpoint(&self, signer: &Signer) -> Result<Option<(u64, LineHash)>, AuditError> {
        let head = self.shared.desk.lock().head;
        if head.is_signed {
            return Ok(None);
        }
        let signature = signer(signed_message(head.seq, &head.hash)).await;
        let signature = signature.map_err(|error| AuditError(format!("the head cannot be signed: {error}")))?;
        let checkpoint = Checkpoint {
            seq: head.seq,
            head: hex(&head.hash),
            algorithm: "ecdsa-p256-sha256".to_owned(),
            signature: STANDARD.encode(signature),
        };
        self.append(Entry::Checkpoint(self.clock.now(), checkpoint), Until::Synced).await?;
        Ok(Some((head.seq, head.hash)))
    }

    /// Signs the head at intervals, for as long as it is polled. A signer that fails is tried again the next time.
    pub async fn checkpoints(&self, signer: &Signer, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = self.checkpoint(signer).await {
                tracing::warn!(%error, "the audit trail's head is not signed");
            }
        }
    }

    async fn append(&self, entry: Entry, until: Until) -> Result<(), AuditError> {
        self.shared.check()?;
        let (reply, mut answered) = oneshot::channel();
        let mut handed_in = self.shared.hand_in(Waiting { entry, until, reply });
        // Whatever else is ready hands its record in as well: they share a write.
        yield_now().await;
        match answered.try_recv() {
            Ok(answer) => {
                handed_in.is_done = true;
                return answer;
            }
            Err(oneshot::error::TryRecvError::Empty) => drop(handed_in),
            Err(oneshot::error::TryRecvError::Closed) => return Err(ended()),
        }
        answered.await.map_err(|_dropped| ended())?
    }
}

fn ended() -> AuditError {
    AuditError("the writer has ended".to_owned())
}

impl AuditSink for FileSink {
    fn record(&self, event: AuditEvent, durability: Durability) -> Answer<'_, Result<(), AuditError>> {
        Box::pin(self.append(Entry::Event(Box::new(event)), durability.into()))
    }

    fn record_owed(&self, event: AuditEvent, then: OnDisk) -> Answer<'_, Result<(), AuditError>> {
        Box::pin(self.append(Entry::Event(Box::new(event)), Until::Handed(Some(then))))
    }

    fn holds(&self, event: [u8; 16]) -> bool {
        self.shared.recent.lock().known.contains(&event)
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.shared.desk.lock().is_closing = true;
        self.shared.woken.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the audit writer thread panicked");
        }
    }
}

/// A record that waits to be written; dropped, it is written if nobody has done so, also when its asker goes away.
struct HandedIn<'a> {
    shared: &'a Shared,
    is_done: bool,
}

impl Drop for HandedIn<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.write_waiting(GROUPS_MAX);
        }
    }
}

/// What is left of a writer that panicked: the trail ends.
struct Busy<'a> {
    shared: &'a Shared,
    is_over: bool,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // What of it is in the file is unknown, so the chain cannot go on. Who waits is told by the end of his channel.
            self.shared.fail(&io::Error::other("a panic while records were written"));
            let mut desk = self.shared.desk.lock();
            desk.waiting.clear();
            desk.is_busy = false;
        }
    }
}

impl Shared {
    fn check(&self) -> Result<(), AuditError> {
        match &*self.failed.lock() {
            Some(reason) => Err(AuditError(reason.clone())),
            None => Ok(()),
        }
    }

    /// This record is not taken; the next one is tried again.
    fn refuse(&self, error: &io::Error) -> AuditError {
        let reason = format!("no room for a record on the disk of the audit trail: {error}");
        let mut full = self.full.lock();
        if full.is_none() {
            tracing::error!(%error, "the disk of the audit trail is full: requests fail until there is room");
        }
        *full = Some(reason.clone());
        AuditError(reason)
    }

    /// No record is taken any more; the first reason stays.
    fn fail(&self, error: &io::Error) -> AuditError {
        let mut failed = self.failed.lock();
        let reason = failed.get_or_insert_with(|| {
            tracing::error!(%error, "the audit trail cannot be written: requests will fail until a restart");
            error.to_string()
        });
        AuditError(reason.clone())
    }

    fn hand_in(&self, record: Waiting) -> HandedIn<'_> {
        let mut desk = self.desk.lock();
        desk.waiting.push(record);
        let is_slow = desk.slow_until.is_some_and(|until| Instant::now() < until);
        if is_slow {
            desk.is_left = true;
            self.woken.notify_one();
        } else {
            desk.slow_until = None;
        }
        HandedIn { shared: self, is_done: is_slow }
    }

    /// Writes what waits, in so many groups at most, unless somebody is at it: that one takes everything.
    fn write_waiting(&self, groups: usize) {
        let mut busy = Busy { shared: self, is_over: true };
        let mut desk = self.desk.lock();
        if desk.is_busy {
            return;
        }
        desk.is_busy = true;
        busy.is_over = false;
        for _ in 0..groups {
            let count = desk.waiting.len().min(GROUP_MAX);
            if count == 0 {
                break;
            }
            let mut group = std::mem::take(&mut desk.spare);
            if count == desk.waiting.len() {
                std::mem::swap(&mut group, &mut desk.waiting);
            } else {
                group.extend(desk.waiting.drain(..count));
            }
            drop(desk);
            self.write_group(&mut group);
            desk = self.desk.lock();
            desk.spare = group;
        }
        if !desk.waiting.is_empty() {
            desk.is_left = true;
            self.woken.notify_one();
        }
        desk.is_busy = false;
        busy.is_over = true;
    }

    /// Writes a group with one `write`, and answers those who do not wait for the disk. What is left of the group is its room.
    fn write_group(&self, group: &mut Vec<Waiting>) {
        let started = Instant::now();
        let mut writer = self.writer.lock();
        let result = self.check().and_then(|()| {
            writer.rotate_if_long(self)?;
            let written = writer.write(group.iter().map(|waiting| &waiting.entry), &mut self.recent.lock());
            written.map_err(|error| writer.refused(&error, self))
        });
        if result.is_ok()
            && let Some(mut full) = self.full.try_lock()
        {
            *full = None;
        }
        let head = writer.head;
        drop(writer);
        let mut desk = self.desk.lock();
        desk.head = head;
        if result.is_ok() {
            desk.unsynced.records += group.len();
            let is_first = desk.unsynced.since.is_none();
            desk.unsynced.since.get_or_insert(started);
            let synced = group.extract_if(.., |waiting| matches!(waiting.until, Until::Synced));
            desk.confirm.extend(synced.map(|waiting| waiting.reply));
            for waiting in &mut *group {
                if let Until::Handed(then) = &mut waiting.until {
                    desk.settle.extend(then.take());
                }
            }
            if is_first || !desk.confirm.is_empty() {
                self.woken.notify_one();
            }
            if started.elapsed() > SLOW_WRITE {
                desk.slow_until = Some(Instant::now() + SLOW_FOR);
            }
        }
        drop(desk);
        answer(group.drain(..).map(|waiting| waiting.reply), &result);
    }

    /// The thread's life: it syncs, and writes what is left to it.
    fn run(&self) {
        loop {
            let mut desk = self.desk.lock();
            let is_due = loop {
                if desk.is_left || desk.is_closing || !desk.confirm.is_empty() {
                    break !desk.confirm.is_empty() || desk.is_closing;
                }
                match desk.unsynced.since.map(|since| since + SYNC_WITHIN) {
                    None => self.woken.wait(&mut desk),
                    Some(due) if due <= Instant::now() => break true,
                    Some(due) => drop(self.woken.wait_until(&mut desk, due)),
                }
            };
            let is_closing = desk.is_closing;
            let is_left = std::mem::take(&mut desk.is_left);
            drop(desk);
            if is_left || is_closing {
                self.write_waiting(usize::MAX);
            }
            // Also when records were left: those may be what somebody waits for.
            let overdue = self.desk.lock().unsynced.since.is_some_and(|since| since.elapsed() >= SYNC_WITHIN);
            if is_due || overdue {
                self.sync();
            }
            if is_closing {
                break;
            }
        }
        // Closing would do, were it not for a child process that is just being started and still has the descriptor.
        if let Err(error) = self.writer.lock().lock.unlock() {
            tracing::warn!(%error, "the lock of the audit folder");
        }
    }

    /// Makes durable what was written until now, and answers who waits for that.
    fn sync(&self) {
        let (unsynced, confirm, settle) = {
            let desk = &mut *self.desk.lock();
            let (confirm, settle) = (std::mem::take(&mut desk.confirm), std::mem::take(&mut desk.settle));
            (std::mem::take(&mut desk.unsynced), confirm, settle)
        };
        // What was written to an older file was synced before this one was begun.
        let (file, on_sync) = {
            let writer = self.writer.lock();
            (Arc::clone(&writer.file), writer.options.on_sync.clone())
        };
        let started = Instant::now();
        let result = if unsynced.since.is_some() { self.sync_file(&file) } else { self.check() };
        if let (Ok(()), Some(on_sync), true) = (&result, on_sync, unsynced.since.is_some()) {
            on_sync(started.elapsed(), unsynced.records);
        }
        answer(confirm.into_iter(), &result);
        if result.is_ok() {
            settle.into_iter().for_each(|then| then());
        }
    }

    fn sync_file(&self, file: &File) -> Result<(), AuditError> {
        let _alone = self.syncing.lock();
        self.check()?;
        file.sync_data().map_err(|error| self.fail(&error))
    }
}

/// Askers that went away need no answer.
fn answer(replies: impl Iterator<Item = Reply>, result: &Result<(), AuditError>) {
    replies.for_each(|reply| drop(reply.send(result.clone())));
}

impl Recent {
    fn push(&mut self, id: [u8; 16]) {
        if self.known.insert(id) {
            self.order.push_back(id);
        }
        if self.order.len() > RECENT_RECORDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// The end of the trail, and the file it is in.
struct Writer {
    folder: PathBuf,
    file: Arc<File>,
    /// The folder: locked, and synced when a file appears.
    lock: File,
    length: u64,
    head: Head,
    /// The number of the current file's first line.
    first_of_file: u64,
    options: AuditOptions,
    /// Where the lines of a group are put together.
    room: Vec<u8>,
}

/// What was written and not synced.
#[derive(Default)]
struct Unsynced {
    records: usize,
    since: Option<Instant>,
}

/// How much room for the lines of a group is kept for the next one.
const ROOM_MAX: usize = 64 << 10;

impl Writer {
    /// Appends lines with one `write`.
    fn write<'a>(&mut self, entries: impl Iterator<Item = &'a Entry> + Clone, recent: &mut Recent) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.room);
        bytes.clear();
        let mut head = self.head;
        for entry in entries.clone() {
            let (seq, start) = (head.seq + 1, bytes.len());
            write_line(&mut bytes, entry, seq, &head.hash, &self.options.observer_id)?;
            let hash = hash(bytes.get(start..).unwrap_or_default());
            head = Head { seq, hash, is_signed: matches!(entry, Entry::Checkpoint(..)) };
            bytes.push(b'\n');
        }
        (&*self.file).write_all(&bytes)?;
        self.head = head;
        self.length += bytes.len() as u64;
        for entry in entries {
            if let Entry::Event(event) = entry {
                recent.push(event.id);
            }
        }
        if bytes.capacity() <= ROOM_MAX {
            self.room = bytes;
        }
        Ok(())
    }

    /// Puts a file that is long enough aside, whole and synced, and begins a new one.
    fn rotate_if_long(&mut self, shared: &Shared) -> Result<(), AuditError> {
        if self.length <= self.options.file_bytes_max {
            return Ok(());
        }
        shared.sync_file(&self.file)?;
        self.rotate().map_err(|error| self.refused(&error, shared))
    }

    /// A disk that is full may have taken half a line: what is beyond the last whole one goes, and the trail is as it was.
    fn refused(&self, error: &io::Error, shared: &Shared) -> AuditError {
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match is_full.then(|| self.file.set_len(self.length)) {
            Some(Ok(())) => shared.refuse(error),
            _ => shared.fail(error),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let current = self.folder.join(CURRENT);
        fs::rename(&current, self.folder.join(format!("audit.{:020}.log", self.first_of_file)))?;
        self.file = Arc::new(append_to(&current)?);
        self.lock.sync_all()?;
        self.length = 0;
        self.first_of_file = self.head.seq + 1;
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

/// What the folder holds at start.
struct Found {
    head: Head,
    first_of_file: u64,
    recent: Recent,
    repair: Option<Repair>,
    hashes: VecDeque<LineHash>,
}

impl Found {
    fn read(folder: &Path) -> Result<Self, AuditError> {
        let failed = |error: io::Error| AuditError(format!("{}: {error}", folder.display()));
        let current = folder.join(CURRENT);
        let older = rotated_files(folder).map_err(failed)?;
        let mut found = Self {
            head: Head { seq: 0, hash: BEGINNING, is_signed: true },
            first_of_file: 1,
            recent: Recent::default(),
            repair: None,
            hashes: VecDeque::new(),
        };
        let end = match current.try_exists().map_err(failed)? {
            true => Tail::read(&current)?,
            false => Tail::default(),
        };
        // The files before are needed for the chain's head when the current one has no line yet, and for recent records.
        if end.records.len() < RECENT_RECORDS
            && let Some(before) = older.last()
        {
            let tail = Tail::read(before)?;
            if tail.torn.is_some() {
                return Err(AuditError(format!("{} does not end with a whole line", before.display())));
            }
            tail.records.into_iter().for_each(|id| found.recent.push(id));
            found.hashes = tail.hashes;
            if let Some(head) = tail.head {
                found.head = head;
                found.first_of_file = head.seq + 1;
            }
        }
        end.records.into_iter().for_each(|id| found.recent.push(id));
        if let Some(first) = end.first {
            found.first_of_file = first;
        }
        found.hashes.extend(end.hashes);
        if let Some(head) = end.head {
            found.head = head;
        }
        if let Some(torn) = end.torn {
            found.repair = Some(torn.move_away(folder, &current, found.head.seq + 1).map_err(failed)?);
        }
        Ok(found)
    }
}

/// Files put aside by rotation, oldest first: their numbers have a fixed width.
pub fn rotated_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name.strip_prefix("audit.").and_then(|rest| rest.strip_suffix(".log"));
        if number.is_some_and(|number| number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit())) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The end of a file.
#[derive(Default)]
struct Tail {
    /// The number of the file's very first line.
    first: Option<u64>,
    head: Option<Head>,
    records: Vec<[u8; 16]>,
    hashes: VecDeque<LineHash>,
    torn: Option<Torn>,
}

/// Bytes after the last whole line.
struct Torn {
    at: u64,
    bytes: Vec<u8>,
}

impl Tail {
    fn read(path: &Path) -> Result<Self, AuditError> {
        let failed = |error: io::Error| AuditError(format!("{}: {error}", path.display()));
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut tail = Self { first: first_number(&mut file).map_err(failed)?, ..Self::default() };
        let start = length.saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        // Unless the whole file was read, the first line is likely half of one.
        let skipped =
            if start == 0 { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1) };
        let mut rest = bytes.get(skipped..).unwrap_or_default();
        let mut chain = Chain::default();
        let mut is_signed = false;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            match chain.step(line, None) {
                Ok(read) => {
                    is_signed = read.checkpoint.is_some();
                    tail.records.extend(read.id.as_deref().and_then(event_id));
                }
                Err(why) if is_audit_line(rest) && !lost_a_sector(line, length - rest.len() as u64) => {
                    let after =
                        chain.report.last.map_or_else(|| "the beginning".to_owned(), |last| format!("line {last}"));
                    return Err(AuditError(format!(
                        "{}: the chain breaks after {after}: {why}; see `audit verify`",
                        path.display()
                    )));
                }
                Err(_unreadable) => break,
            }
            rest = after.get(1..).unwrap_or_default();
        }
        if let (Some(seq), Some(hash)) = (chain.report.last, chain.report.head) {
            tail.head = Some(Head { seq, hash, is_signed });
        }
        tail.hashes = std::mem::take(&mut chain.latest);
        if !rest.is_empty() {
            tail.torn = Some(Torn { at: length - rest.len() as u64, bytes: rest.to_vec() });
        }
        Ok(tail)
    }
}

/// Whether a power cut has taken something out of the middle of what was not synced: no line has zeros, and what did not reach the disk
/// has them from the beginning of a sector or of what was written, or up to the end of a sector.
fn lost_a_sector(line: &[u8], at: u64) -> bool {
    let mut zeros = line.iter().zip(at..).filter(|(byte, _)| **byte == 0).map(|(_, place)| place);
    zeros.any(|place| {
        place == at || place.is_multiple_of(SECTOR_BYTES) || place.saturating_add(1).is_multiple_of(SECTOR_BYTES)
    })
}

/// Whether any whole line in there is one of ours: then it is no litter of a crash.
fn is_audit_line(bytes: &[u8]) -> bool {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    lines.any(|line| serde_json::from_slice::<ReadLine>(line).is_ok())
}

fn first_number(file: &mut File) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    let mut reader = io::BufReader::new(file.take(super::verify::LINE_BYTES_MAX));
    io::BufRead::read_until(&mut reader, b'\n', &mut line)?;
    Ok(serde_json::from_slice::<ReadLine>(&line).ok().map(|line| line.seq))
}

impl Torn {
    /// Copies the bytes to a file of their own before the trail is cut.
    fn move_away(&self, folder: &Path, trail: &Path, next: u64) -> io::Result<Repair> {
        let name = format!("audit.torn-before-{next}");
        let mut copy = File::options().write(true).create(true).truncate(true).mode(0o600).open(folder.join(&name))?;
        copy.write_all(&self.bytes)?;
        copy.sync_all()?;
        File::open(folder)?.sync_all()?;
        let trail = File::options().write(true).open(trail)?;
        trail.set_len(self.at)?;
        trail.sync_all()?;
        Ok(Repair { bytes: self.bytes.len() as u64, file: name })
    }
}
