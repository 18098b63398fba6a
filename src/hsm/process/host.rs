//! The gateway's side of a module's process: starting it, ending it, and when to start it again.
//!
//! A thread of its own starts the process and waits for its end: the kernel ends the process when that thread ends, so it must
//! live as long. A module that keeps ending soon after its start is started again with growing pauses; one that ends too often
//! altogether waits, too, because each end costs every token of the module its sessions.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fs::{self, File},
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::MetadataExt,
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex};
use rustix::{
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
        socketpair,
    },
    process::{Pid, WaitId, WaitIdOptions, waitid},
};

use super::{
    super::{Program, module::Start},
    FILE, LANE,
    wire::{self, Ask, Reply, Told},
};

/// A process that ends sooner after its start counts as one that cannot live, unless it has answered more than reaching a token
/// takes.
const INFANCY: Duration = Duration::from_secs(1);
/// More than reaching a token takes.
const GROWN: u64 = 64;
/// The first pause before another start of such a module; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// This many ends in [`RECENT`] are too many, however long each process had lived.
const ENDS_MAX: usize = 60;
/// What counts as recent.
const RECENT: Duration = Duration::from_secs(60);
/// How long a process may take to end after it was told to, or killed.
const LEAVE: Duration = Duration::from_secs(5);
/// How long one write to it may take: it reads whenever it has nothing else to do.
const WRITE: Duration = Duration::from_secs(10);

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hsm) enum End {
    /// By itself, or by somebody else's hand.
    Crashed,
    /// A call took too long, and the gateway ended it.
    Hung,
    /// It answered what no module's process answers.
    Garbled,
    /// The gateway wanted the module initialised anew.
    Renewed,
}

impl End {
    /// In a word, for the metrics.
    pub(in crate::hsm) const fn word(self) -> &'static str {
        match self {
            Self::Crashed => "crashed",
            Self::Hung => "hung",
            Self::Garbled => "garbled",
            Self::Renewed => "renewed",
        }
    }
}

/// A process of a module, from its start to its end.
pub(in crate::hsm) struct Process {
    /// Counts the starts of the module.
    pub(super) number: u64,
    born: Instant,
    answers: AtomicU64,
    control: OwnedFd,
    child: Mutex<Option<Child>>,
    /// Why the gateway wants its end.
    doomed: OnceLock<(End, String)>,
    ended: Mutex<Option<String>>,
    end: Condvar,
    /// Whether only one thread may work with the module, and what it says of itself.
    loaded: OnceLock<(bool, String, String)>,
}

impl Process {
    /// Whether it may be asked.
    pub(in crate::hsm) fn is_alive(&self) -> bool {
        self.doomed.get().is_none() && self.ended.lock().is_none()
    }

    /// Ends it. Only the first reason counts.
    pub(super) fn kill(&self, end: End, why: String) {
        if self.doomed.set((end, why)).is_ok() {
            self.strike();
        }
    }

    fn strike(&self) {
        if let Some(child) = &mut *self.child.lock()
            && let Err(error) = child.kill()
        {
            tracing::error!(%error, "a module's process cannot be killed");
        }
    }

    /// How and why it ended; for the log and the operator.
    fn obituary(&self) -> (End, String) {
        let status = self.ended.lock().clone().unwrap_or_else(|| "it is ending".to_owned());
        match self.doomed.get() {
            None | Some((End::Crashed, _)) => (End::Crashed, format!("the process of its module has ended: {status}")),
            Some((end, why)) => (*end, format!("the process of its module was ended: {why}")),
        }
    }

    fn wait(&self, until: Instant) -> bool {
        let mut ended = self.ended.lock();
        while ended.is_none() {
            if self.end.wait_until(&mut ended, until).timed_out() {
                return ended.is_some();
            }
        }
        true
    }

    /// A connection of its own.
    pub(super) fn lane(self: &Arc<Self>) -> io::Result<Lane> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_write_timeout(Some(WRITE))?;
        hand_over(&self.control, LANE, theirs.as_fd())?;
        Ok(Lane { stream: ours, process: Arc::clone(self) })
    }
}

fn hand_over(control: &OwnedFd, kind: u8, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(control, &[IoSlice::new(&[kind])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A connection to a process, for one thread at a time.
pub(super) struct Lane {
    stream: UnixStream,
    pub(super) process: Arc<Process>,
}

impl Lane {
    /// One question, one answer. Whatever goes wrong is the end of the process: an answer that comes late would be taken for
    /// the next one's.
    pub(super) fn ask(&self, ask: &Ask<'_>, limit: Duration) -> Option<Reply> {
        let patience = ask.patience(limit);
        let answer = wire::send(&self.stream, ask)
            .and_then(|()| wire::receive(&self.stream, Instant::now().checked_add(patience)))
            .and_then(|frame| {
                postcard::from_bytes(&frame).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
            });
        let error = match answer {
            Ok(reply) => {
                self.process.answers.fetch_add(1, Ordering::Relaxed);
                return Some(reply);
            }
            Err(error) => error,
        };
        let end = match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => End::Hung,
            io::ErrorKind::InvalidData => End::Garbled,
            _ => End::Crashed,
        };
        let why = match end {
            End::Hung => format!("{} took longer than {} s", ask.function(), patience.as_secs_f64()),
            _ => format!("{}: {error}", ask.function()),
        };
        self.process.kill(end, why);
        None
    }

    /// Says something to which there is no answer.
    pub(super) fn tell(&self, ask: &Ask<'_>) {
        if let Err(error) = wire::send(&self.stream, ask) {
            tracing::debug!(%error, "a module's process takes no farewell");
        }
    }
}

/// A module that runs in processes of its own, one after the other.
pub(in crate::hsm) struct Host {
    module: PathBuf,
    identity: (u64, u64),
    reserved: Option<String>,
    program: Program,
    users: AtomicUsize,
    starts: AtomicU64,
    current: ArcSwapOption<Process>,
    history: Mutex<History>,
    wakers: Arc<Mutex<Vec<flume::Sender<()>>>>,
}

/// What is known of earlier processes.
#[derive(Default)]
struct History {
    last: Option<(End, String)>,
    ends: VecDeque<Instant>,
    infants: u32,
    not_before: Option<Instant>,
}

impl History {
    /// Takes an end into account.
    fn note(&mut self, process: &Process) {
        let now = Instant::now();
        let (end, why) = process.obituary();
        tracing::error!(module_end = end.word(), why, "a module's process is started again");
        self.ends.push_back(now);
        while self.ends.front().is_some_and(|at| now - *at > RECENT) {
            self.ends.pop_front();
        }
        let infant = process.born.elapsed() < INFANCY && process.answers.load(Ordering::Relaxed) < GROWN;
        self.infants = match infant && end == End::Crashed {
            true => self.infants.saturating_add(1),
            false => 0,
        };
        let pause = match self.infants {
            _ if self.ends.len() > ENDS_MAX => LONGEST_PAUSE,
            // Once may be chance.
            0 | 1 => Duration::ZERO,
            infants => FIRST_PAUSE.saturating_mul(1 << (infants - 2).min(16)).min(LONGEST_PAUSE),
        };
        self.not_before = Some(now + pause);
        self.last = Some((end, why));
    }
}

/// Every module that has a process, so that tokens of one module share it.
static HOSTS: Mutex<Vec<Weak<Host>>> = Mutex::new(Vec::new());

impl Host {
    /// The module's process, started unless there is one.
    ///
    /// # Errors
    ///
    /// A text for the operator: what is wrong with the file or the module.
    pub(in crate::hsm) fn load(
        path: &Path,
        reserved: Option<&str>,
        program: &Program,
        start: Start,
        limit: Duration,
    ) -> Result<Arc<Self>, String> {
        let name = path.display();
        let metadata = fs::metadata(path).map_err(|error| {
            format!("the PKCS#11 module {name} cannot be read ({error}); correct `module`, or install it")
        })?;
        let identity = (metadata.dev(), metadata.ino());
        let mut hosts = HOSTS.lock();
        hosts.retain(|host| host.strong_count() > 0);
        let same = |host: &Arc<Self>| {
            host.users.load(Ordering::Acquire) > 0
                && host.identity == identity
                && host.reserved.as_deref() == reserved
                && host.program == *program
        };
        let host = match hosts.iter().filter_map(Weak::upgrade).find(same) {
            Some(host) => host,
            None => {
                let host = Arc::new(Self {
                    module: path.to_owned(),
                    identity,
                    reserved: reserved.map(str::to_owned),
                    program: program.clone(),
                    users: AtomicUsize::new(0),
                    starts: AtomicU64::new(0),
                    current: ArcSwapOption::empty(),
                    history: Mutex::default(),
                    wakers: Arc::default(),
                });
                hosts.push(Arc::downgrade(&host));
                host
            }
        };
        match host.initialize(limit) {
            Err(Unready { forever: true, why }) => return Err(format!("{name} is not usable: {why}")),
            Err(Unready { why, .. }) if start == Start::Must => {
                return Err(format!("{name} did not initialise: {why}"));
            }
            Err(Unready { why, .. }) => {
                tracing::warn!(module = %name, why, "the module did not initialise; it is tried again");
            }
            Ok(()) => {}
        }
        host.users.fetch_add(1, Ordering::AcqRel);
        Ok(host)
    }

    /// Sees to it that there is a process with the module initialised.
    ///
    /// # Errors
    ///
    /// Why there is none now.
    pub(in crate::hsm) fn initialize(&self, limit: Duration) -> Result<(), Unready> {
        let later = |why: String| Unready { forever: false, why };
        // Held until the module has answered: of several tokens one starts it.
        let mut history = self.history.lock();
        let process = match self.current.load_full() {
            Some(process) if process.is_alive() => process,
            before => {
                if let Some(before) = before {
                    if !before.wait(Instant::now() + LEAVE) {
                        return Err(later("the module's process cannot be ended; it hangs in the kernel".to_owned()));
                    }
                    history.note(&before);
                    self.current.store(None);
                }
                let wait = history.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
                if !wait.is_zero() {
                    let why = history.last.as_ref().map_or("", |(_, why)| why);
                    return Err(later(format!(
                        "{why}; it has ended {} times in a minute and is started again in {:.1} s: ask the module's vendor",
                        history.ends.len(),
                        wait.as_secs_f64()
                    )));
                }
                let process = self.start().map_err(|error| later(format!("its process cannot be started: {error}")))?;
                self.current.store(Some(Arc::clone(&process)));
                process
            }
        };
        let broken = |error: io::Error| later(format!("its process takes no connection: {error}"));
        let lane = process.lane().map_err(|error| {
            process.kill(End::Crashed, format!("it takes no connection: {error}"));
            broken(error)
        })?;
        let by_file = self.module.starts_with("/proc/self/fd");
        let path = if by_file { None } else { Some(self.module.to_string_lossy()) };
        let reserved = self.reserved.as_deref().map(Cow::Borrowed);
        match lane.ask(&Ask::Load { path, reserved }, limit).map(Reply::told) {
            Some(Ok(Told::Loaded { one_thread, description, library })) => {
                // The same each time.
                let _known = process.loaded.set((one_thread, description, library));
                Ok(())
            }
            Some(Ok(Told::Refused { is_module, why })) => Err(Unready { forever: !is_module, why }),
            Some(Ok(_)) => {
                process.kill(End::Garbled, "another answer than to its question".to_owned());
                Err(later("its process answers what was not asked".to_owned()))
            }
            Some(Err(fault)) => Err(later(format!("{} answered 0x{:08X}", fault.function, fault.rv))),
            None => {
                process.wait(Instant::now() + LEAVE);
                Err(later(process.obituary().1))
            }
        }
    }

    fn start(&self) -> io::Result<Arc<Process>> {
        let (control, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new(&self.program.path);
        command.args(&self.program.arguments).envs(&self.program.environment);
        // A process group of its own: what a terminal sends to the gateway is not for it.
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).process_group(0);
        let (started, outcome) = flume::bounded(1);
        let number = self.starts.fetch_add(1, Ordering::Relaxed) + 1;
        let wakers = Arc::clone(&self.wakers);
        let watch = move || {
            let child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    // Whoever wanted it waits.
                    let _told = started.send(Err(error));
                    return;
                }
            };
            // The child's end of the socket must not be open here, or its end would not be seen.
            drop(command);
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let process = Arc::new(Process {
                number,
                born: Instant::now(),
                answers: AtomicU64::new(0),
                control,
                child: Mutex::new(Some(child)),
                doomed: OnceLock::new(),
                ended: Mutex::new(None),
                end: Condvar::new(),
                loaded: OnceLock::new(),
            });
            let _told = started.send(Ok(Arc::clone(&process)));
            let weak = Arc::downgrade(&process);
            drop(process);
            watch_over(&weak, pid, &wakers);
        };
        thread::Builder::new().name("hsm-process".to_owned()).spawn(watch)?;
        let process = outcome.recv().map_err(io::Error::other)??;
        if self.module.starts_with("/proc/self/fd") {
            hand_over(&process.control, FILE, File::open(&self.module)?.as_fd())?;
        }
        tracing::info!(module = %self.module.display(), start = number, "a module's process was started");
        Ok(process)
    }

    /// The present process, if there is one.
    pub(super) fn process(&self) -> Option<Arc<Process>> {
        self.current.load_full().filter(|process| process.is_alive())
    }

    /// Ends the present process, so that the next [`Self::initialize`] begins with a new one.
    pub(in crate::hsm) fn renew(&self) -> bool {
        let process = self.process();
        if let Some(process) = &process {
            process.kill(End::Renewed, "its tokens stay away".to_owned());
        }
        process.is_some()
    }

    /// How the process before the present one has ended, or the present one is ending.
    pub(in crate::hsm) fn last_end(&self) -> Option<(End, String)> {
        match self.current.load_full() {
            Some(process) if !process.is_alive() => Some(process.obituary()),
            // Held while a module initialises, which may take long.
            _ => self.history.try_lock().and_then(|history| history.last.clone()),
        }
    }

    /// Wakes that keeper when a process ends.
    pub(in crate::hsm) fn tell_of_ends(&self, waker: flume::Sender<()>) {
        self.wakers.lock().push(waker);
    }

    /// One pool fewer uses the module; the last one ends the process.
    pub(in crate::hsm) fn release(&self, finalize: impl FnOnce()) {
        let _loading = HOSTS.lock();
        if self.users.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        if self.process().is_some() {
            finalize();
        }
        if let Some(process) = self.current.swap(None) {
            // It reads the end of the control socket and leaves.
            if let Err(error) = rustix::net::shutdown(&process.control, rustix::net::Shutdown::Both) {
                tracing::debug!(%error, "the control socket of a module's process");
            }
            if !process.wait(Instant::now() + LEAVE) {
                process.kill(End::Renewed, "it does not leave".to_owned());
            }
        }
    }

    /// Whether only one thread may work with the module.
    pub(in crate::hsm) fn is_for_one_thread(&self) -> bool {
        self.current
            .load()
            .as_ref()
            .and_then(|process| process.loaded.get())
            .is_some_and(|(one_thread, ..)| *one_thread)
    }

    /// Manufacturer and description of the library.
    pub(in crate::hsm) fn description(&self) -> String {
        let process = self.current.load();
        let loaded = process.as_ref().and_then(|process| process.loaded.get());
        loaded.map(|(_, description, _)| description.clone()).unwrap_or_default()
    }

    /// What it says of itself, with versions.
    pub(in crate::hsm) fn library(&self) -> String {
        let process = self.current.load();
        let loaded = process.as_ref().and_then(|process| process.loaded.get());
        loaded.map_or_else(|| "not told".to_owned(), |(_, _, library)| library.clone())
    }

    /// Where the module is loaded from.
    pub(in crate::hsm) fn path(&self) -> &Path {
        &self.module
    }
}

/// Why a module is not to be had.
#[derive(Debug)]
pub(in crate::hsm) struct Unready {
    /// Waiting does not help.
    forever: bool,
    /// What happened.
    pub(in crate::hsm) why: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody can ask it any more; the thread that watches over it reaps it.
        if self.ended.get_mut().is_none()
            && let Some(child) = self.child.get_mut()
            && let Err(error) = child.kill()
        {
            tracing::debug!(%error, "a module's process cannot be killed");
        }
    }
}

/// Waits for the end and says so. The process is reaped under its lock, so that its number is never killed when it is another's.
fn watch_over(process: &Weak<Process>, pid: Option<Pid>, wakers: &Mutex<Vec<flume::Sender<()>>>) {
    let Some(pid) = pid else { return };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::Pid(pid), options) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => {
                tracing::error!(%error, "the end of a module's process cannot be waited for");
                break;
            }
        }
    }
    match process.upgrade() {
        Some(process) => {
            let child = process.child.lock().take();
            let status = child.map(|mut child| child.wait());
            let text = match status {
                Some(Ok(status)) => describe(status),
                Some(Err(error)) => error.to_string(),
                None => "it is gone".to_owned(),
            };
            *process.ended.lock() = Some(text);
            process.end.notify_all();
        }
        // Its last user has let it go, and killed it.
        None => {
            let reaped = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
            if let Err(error) = reaped {
                tracing::debug!(%error, "a module's process");
            }
        }
    }
    wakers.lock().retain(|waker| !matches!(waker.try_send(()), Err(flume::TrySendError::Disconnected(()))));
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => status.to_string(),
    }
}
