//! Control over a Unix socket: one JSON object a line in, one out.
//!
//! The module serves it on a thread of its own while `HSM_SIM_CONTROL` names a path, the only case in which it starts a
//! thread. The socket's file is readable by its owner only. Requests are `{"do":"set","plan":"…"}`,
//! `{"do":"scenario","name":"…","seed":0}`, `{"do":"clear"}`, `{"do":"release"}`, `{"do":"plan"}` and `{"do":"stats"}`;
//! answers are `{"ok":true,…}` or `{"ok":false,"error":"…"}`.

use std::{
    env, fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::{FaultsConfig, PlanError, check, control};

/// The longest request, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Clients served at the same time.
const CLIENTS_MAX: u32 = 16;
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    Set {
        plan: String,
    },
    Scenario {
        name: String,
        #[serde(default)]
        seed: u64,
    },
    Clear,
    Release,
    Plan,
    Stats,
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<control::Stats>,
}

/// The answer to one line of the protocol, without its line end.
#[must_use]
pub fn answer(store: &Path, line: &str) -> String {
    let outcome = serde_json::from_str(line).map_err(|error| error.to_string());
    let outcome = outcome.and_then(|request| obey(store, request).map_err(|error| error.to_string()));
    let answer = outcome.unwrap_or_else(|error| Answer { ok: false, error: Some(error), plan: None, stats: None });
    // Strings and numbers under fixed names always serialise.
    serde_json::to_string(&answer).unwrap_or_else(|_never| r#"{"ok":false}"#.to_owned())
}

/// Reads a request as far as that goes without a store; for the fuzz targets.
pub(crate) fn read(line: &str) {
    if let Ok(Request::Set { plan }) = serde_json::from_str(line)
        && let Ok(plan) = FaultsConfig::parse(&plan)
    {
        let _refused = check(&plan);
    }
}

fn obey(store: &Path, request: Request) -> Result<Answer, PlanError> {
    let (mut plan, mut stats) = (None, None);
    match request {
        Request::Set { plan } => control::install(store, &plan)?,
        Request::Scenario { name, seed } => control::install_scenario(store, &name, seed)?,
        Request::Clear => control::clear(store)?,
        Request::Release => control::release(store)?,
        Request::Plan => plan = control::plan(store)?,
        Request::Stats => stats = Some(control::stats(store)?),
    }
    Ok(Answer { ok: true, error: None, plan, stats })
}

/// A socket that is served until this is dropped.
pub(crate) struct Server {
    path: PathBuf,
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// The server that `HSM_SIM_CONTROL` asks for. Why there is none although it asks is told on the error stream: a
    /// module must not fail for want of its remote control.
    pub(crate) fn from_environment(store: &Path) -> Option<Self> {
        let path = PathBuf::from(env::var_os("HSM_SIM_CONTROL")?);
        match Self::start(&path, store) {
            Ok(server) => server,
            Err(error) => {
                eprintln!("hsm-sim: no control socket at {}: {error}", path.display());
                None
            }
        }
    }

    /// Serves a path; nothing when another process already does.
    fn start(path: &Path, store: &Path) -> std::io::Result<Option<Self>> {
        if UnixStream::connect(path).is_ok() {
            return Ok(None);
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // The file of a socket gets the mode that the socket has when it is bound, so nobody else can ever connect.
        rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&socket, 16)?;
        let listener = UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (stop, store) = (Arc::clone(&is_stopped), store.to_path_buf());
        let thread = std::thread::Builder::new()
            .name("hsm-sim-control".to_owned())
            .spawn(move || accept(&listener, &store, &stop))?;
        Ok(Some(Self { path: path.to_path_buf(), is_stopped, thread: Some(thread) }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked is as gone as one that ended.
            let _ended = thread.join();
        }
        // Somebody else may have removed it already.
        let _removed = fs::remove_file(&self.path);
    }
}

fn accept(listener: &UnixListener, store: &Path, stop: &Arc<AtomicBool>) {
    let clients = Arc::new(AtomicU32::new(0));
    while !stop.load(Ordering::Acquire) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(PAUSE);
            continue;
        };
        if clients.fetch_add(1, Ordering::AcqRel) >= CLIENTS_MAX {
            clients.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (store, stop, leaving) = (store.to_path_buf(), Arc::clone(stop), Arc::clone(&clients));
        let served = std::thread::Builder::new().spawn(move || {
            // A client that goes away in the middle is its own affair.
            let _gone = serve(&stream, &store, &stop);
            leaving.fetch_sub(1, Ordering::AcqRel);
        });
        if served.is_err() {
            clients.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn serve(stream: &UnixStream, store: &Path, stop: &AtomicBool) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while !stop.load(Ordering::Acquire) {
        let room = LINE_BYTES_MAX.saturating_sub(line.len() as u64);
        match (&mut reader).take(room).read_until(b'\n', &mut line) {
            Ok(_) if line.last() != Some(&b'\n') => return Ok(()),
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                let mut stream = stream;
                stream.write_all(format!("{}\n", answer(store, text.trim_end())).as_bytes())?;
                line.clear();
            }
            // Time to look whether the module was finalised; what has been read of the line is kept.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
