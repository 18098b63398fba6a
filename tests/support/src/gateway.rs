//! The program as a process: started, told to stop, killed, started again.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::backend;

/// Nothing that a test waits for takes that long, unless the machine is very busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with a gateway that runs; the process ends with the value.
pub struct Gateway {
    program: PathBuf,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    child: Child,
    addresses: Value,
}

impl Gateway {
    /// Starts `dev` in `folder`, which is made or used again, and waits for `ready`.
    #[must_use]
    pub fn start(program: impl AsRef<OsStr>, folder: &Path) -> Self {
        Self::start_with(program, folder, &[])
    }

    /// As [`Self::start`], with settings: names of the environment overlay and their values.
    #[must_use]
    pub fn start_with(program: impl AsRef<OsStr>, folder: &Path, settings: &[(&str, &str)]) -> Self {
        let program = PathBuf::from(program.as_ref());
        let environment: Vec<_> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (child, addresses) = launch(&program, folder, &environment);
        Self { program, folder: folder.to_owned(), environment, child, addresses }
    }

    /// Starts `dev` in `folder`, where it may refuse to. Its log begins anew.
    ///
    /// # Errors
    ///
    /// How it ended, and what it said.
    pub fn attempt(program: impl AsRef<OsStr>, folder: &Path) -> Result<Self, (ExitStatus, String)> {
        let program = PathBuf::from(program.as_ref());
        for old in [folder.join("addresses.json"), log_file(folder)] {
            drop(fs::remove_file(old));
        }
        let mut child = command(&program, folder).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (ready, waiting) = mpsc::channel();
        let copy = folder.with_extension("out");
        thread::spawn(move || read_output(stdout, &copy, &ready));
        let said = || fs::read_to_string(log_file(folder)).unwrap_or_default();
        match waiting.recv_timeout(PATIENCE) {
            Ok(()) => {
                let addresses = serde_json::from_slice(&fs::read(folder.join("addresses.json")).unwrap()).unwrap();
                Ok(Self { program, folder: folder.to_owned(), environment: Vec::new(), child, addresses })
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err((child.wait().unwrap(), said())),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().unwrap();
                panic!("it neither gets ready nor ends; it said: {}", said())
            }
        }
    }

    /// Starts it again, after [`Self::kill`] or [`Self::stop`].
    pub fn restart(&mut self) {
        self.child.wait().unwrap();
        (self.child, self.addresses) = launch(&self.program, &self.folder, &self.environment);
    }

    /// `kill -9`: no chance to do anything. [`Self::restart`] waits for the end.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// SIGTERM, and the end that follows.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end; it said: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it speaks KMIP.
    #[must_use]
    pub fn kmip(&self) -> SocketAddr {
        self.address("kmip").parse().unwrap()
    }

    /// Where it takes KMIP over HTTPS, as a URL.
    #[must_use]
    pub fn kmip_https(&self) -> String {
        self.address("kmip_https").to_owned()
    }

    /// Where it speaks the Barbican API, as a URL.
    #[must_use]
    pub fn rest(&self) -> String {
        self.address("rest").to_owned()
    }

    /// Where its metrics are, as a URL.
    #[must_use]
    pub fn ops(&self) -> String {
        self.address("ops").to_owned()
    }

    fn address(&self, name: &str) -> &str {
        self.addresses.get(name).and_then(Value::as_str).unwrap()
    }

    /// What it has written to standard error, over all starts.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(log_file(&self.folder)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Only the process that this value started; it may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The log stands beside the folder, so that it is no part of what the gateway keeps.
fn log_file(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}

/// Starts `dev` in `folder` and kills it after `delay`, ready or not.
pub fn killed_while_starting(program: impl AsRef<OsStr>, folder: &Path, delay: Duration) {
    let mut child = command(Path::new(program.as_ref()), folder).spawn().unwrap();
    thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Where modules run in every test: `PORTCULLIS_TEST_ISOLATION`, `thread` or `process`.
fn isolation() -> Option<String> {
    std::env::var("PORTCULLIS_TEST_ISOLATION").ok().filter(|isolation| !isolation.is_empty())
}

/// `dev` on free ports; its output is kept beside the folder.
fn command(program: &Path, folder: &Path) -> Command {
    let any = "127.0.0.1:0";
    let errors = OpenOptions::new().create(true).append(true).open(log_file(folder)).unwrap();
    let mut command = clean(program);
    command.args(["dev", "--kmip", any, "--rest", any, "--ops", any, "--dir"]).arg(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
    backend::shape(&mut command, folder);
    if let Some(isolation) = isolation() {
        command.env("PORTCULLIS_HSM__MAIN__ISOLATION", isolation);
    }
    command
}

fn launch(program: &Path, folder: &Path, environment: &[(String, String)]) -> (Child, Value) {
    let log = log_file(folder);
    let addresses = folder.join("addresses.json");
    drop(fs::remove_file(&addresses));
    let mut command = command(program, folder);
    command.envs(environment.iter().map(|(name, value)| (name, value))).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let (ready, waiting) = mpsc::channel();
    let copy = folder.with_extension("out");
    thread::spawn(move || read_output(stdout, &copy, &ready));
    let said = || fs::read_to_string(&log).unwrap_or_default();
    waiting.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it does not get ready; it said: {}", said()));
    let addresses = fs::read(&addresses).unwrap_or_else(|error| panic!("{error}; it said: {}", said()));
    (child, serde_json::from_slice(&addresses).unwrap())
}

/// Keeps what is printed in a file, and says when `ready` was.
fn read_output(stdout: impl std::io::Read, copy: &Path, ready: &mpsc::Sender<()>) {
    use std::io::Write;
    let mut copy: File = OpenOptions::new().create(true).append(true).open(copy).unwrap();
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        writeln!(copy, "{line}").unwrap();
        if line == "ready" {
            // Nobody waits after the first one.
            let _nobody = ready.send(());
        }
    }
}

/// The program without what of our own environment it would read.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PORTCULLIS_")) {
        command.env_remove(name);
    }
    command
}

/// Runs `dev` where it must refuse to start; what it said.
#[must_use]
pub fn refused(program: impl AsRef<OsStr>, folder: &Path, settings: &[(&str, &str)]) -> String {
    let mut command = command(Path::new(program.as_ref()), folder);
    let output = command.envs(settings.iter().copied()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}
