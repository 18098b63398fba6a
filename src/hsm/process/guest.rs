//! The process in which the module is.
//!
//! It takes connections from the gateway on standard input, which is a socket, and has a thread for each. It writes nothing
//! anywhere, and ends when the gateway does: by the signal that the kernel sends then, or by the end of that socket.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    process::{Signal, getpid, kill_process, set_parent_process_death_signal},
};

use super::{
    super::{
        Observer,
        module::{Module, Start},
        raw::{Caller, Fault, Session},
    },
    FILE, LANE,
    wire::{self, Ask, Bytes, Call, Reply, Told},
};
use crate::domain::TokenId;

/// What the threads of this process share.
#[derive(Default)]
struct House {
    module: Mutex<Option<&'static Module>>,
    file: OnceLock<File>,
    finalized: AtomicBool,
}

/// The life of a module's process; its standard input is the gateway's socket.
pub fn serve() -> ExitCode {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        tracing::warn!(%error, "the module's process learns of the gateway's end by its socket only");
    }
    let house = Arc::new(House::default());
    let control = io::stdin();
    loop {
        match message(control.as_fd()) {
            Ok(Some((LANE, Some(lane)))) => {
                let house = Arc::clone(&house);
                let stream = UnixStream::from(lane);
                let attend = move || Attendant::new(&house).attend(&stream);
                if let Err(error) = thread::Builder::new().name("lane".to_owned()).spawn(attend) {
                    // The gateway sees that the connection is closed.
                    tracing::error!(%error, "no thread for a session");
                }
            }
            Ok(Some((FILE, Some(file)))) => {
                // Only the first one counts: the module is loaded once.
                let _known = house.file.set(File::from(file));
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                eprintln!("this command belongs to the gateway, which starts it where a module is isolated ({error})");
                return ExitCode::FAILURE;
            }
        }
    }
    if !house.finalized.load(Ordering::Acquire)
        && let Err(error) = kill_process(getpid(), Signal::KILL)
    {
        tracing::error!(%error, "the module's process cannot end itself");
    }
    ExitCode::SUCCESS
}

/// The next message and the descriptor that came with it; `None` at the end.
fn message(control: impl AsFd) -> io::Result<Option<(u8, Option<OwnedFd>)>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(&control, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let [kind] = byte;
    Ok(Some((kind, descriptors.flatten().next())))
}

/// Lays the calls aside until the answer takes them along.
#[derive(Default)]
struct Collector(Mutex<Vec<Call>>);

impl Observer for Collector {
    fn called(&self, _token: &TokenId, function: &'static str, rv: u64, took: Duration) {
        self.0.lock().push(Call::new(function, rv, took));
    }

    fn waited(&self, _token: &TokenId, _waited: Duration) {}
}

/// One connection: the gateway's own calls, or one session.
struct Attendant<'a> {
    house: &'a House,
    calls: Arc<Collector>,
    caller: Option<Arc<Caller>>,
    session: Option<Session>,
}

impl<'a> Attendant<'a> {
    fn new(house: &'a House) -> Self {
        Self { house, calls: Arc::default(), caller: None, session: None }
    }

    fn attend(mut self, stream: &UnixStream) {
        // Without a next question the gateway has gone, or let the session go; then it is closed.
        while let Ok(frame) = wire::receive(stream, None) {
            let told = match postcard::from_bytes(&frame) {
                Ok(Ask::Abandon) => {
                    self.session.take().into_iter().for_each(Session::abandon);
                    return;
                }
                Ok(ask) => self.perform(ask),
                Err(error) => {
                    tracing::error!(%error, "a question that cannot be read");
                    return;
                }
            };
            let calls = std::mem::take(&mut *self.calls.0.lock());
            if let Err(error) = wire::send(stream, &Reply::new(told, calls)) {
                tracing::debug!(%error, "an answer that nobody waits for");
                return;
            }
        }
    }

    fn load(&self, path: Option<&str>, reserved: Option<&str>) -> Told {
        let handed = || self.house.file.get().map(|file| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
        let Some(path) = path.map(|path| Path::new(path).to_owned()).or_else(handed) else {
            return Told::Refused { is_module: false, why: "no module was handed over".to_owned() };
        };
        let mut loaded = self.house.module.lock();
        let module = match *loaded {
            Some(module) => module,
            None => match Module::load(&path, reserved, Start::MayFail) {
                Ok(module) => *loaded.insert(module),
                Err(why) => return Told::Refused { is_module: false, why },
            },
        };
        match module.initialize() {
            Ok(()) => {
                self.house.finalized.store(false, Ordering::Release);
                Told::Loaded {
                    one_thread: module.is_for_one_thread(),
                    description: module.description(),
                    library: module.library(),
                }
            }
            Err(why) => Told::Refused { is_module: true, why },
        }
    }

    /// Who calls; there is one as soon as the module is loaded.
    fn caller(&mut self, function: &'static str) -> Result<Arc<Caller>, Fault> {
        if let Some(caller) = &self.caller {
            return Ok(Arc::clone(caller));
        }
        let module = *self.house.module.lock();
        let module = module.ok_or(Fault { function, rv: cryptoki_sys::CKR_CRYPTOKI_NOT_INITIALIZED })?;
        let observer = Arc::clone(&self.calls) as Arc<dyn Observer>;
        let caller = Arc::new(Caller::new(module, TokenId("isolated".to_owned()), observer));
        Ok(Arc::clone(self.caller.insert(caller)))
    }

    fn perform(&mut self, ask: Ask<'_>) -> Result<Told, Fault> {
        let function = ask.function();
        if let Ask::Load { path, reserved } = &ask {
            return Ok(self.load(path.as_deref(), reserved.as_deref()));
        }
        let caller = self.caller(function)?;
        let answer = match ask {
            Ask::Slots => return caller.slots().map(Told::Numbers),
            Ask::TokenInfo(slot) => return caller.token_info(slot).map(Told::Token),
            Ask::Mechanisms(slot) => return caller.mechanisms(slot).map(Told::Numbers),
            Ask::MechanismInfo(slot, code) => {
                let info = caller.mechanism_info(slot, code)?;
                return Ok(Told::Numbers(vec![info.ulMinKeySize, info.ulMaxKeySize, info.flags]));
            }
            Ask::CloseAll(slot) => return caller.close_all(slot).map(|()| Told::Done),
            Ask::Open(slot) => {
                self.session = Some(caller.open(slot)?);
                return Ok(Told::Done);
            }
            Ask::Finalize => {
                caller.finalize()?;
                self.house.finalized.store(true, Ordering::Release);
                return Ok(Told::Done);
            }
            Ask::Close => {
                drop(self.session.take());
                return Ok(Told::Done);
            }
            of_session => of_session,
        };
        let session = self.session.as_mut();
        let session = session.ok_or(Fault { function, rv: cryptoki_sys::CKR_SESSION_HANDLE_INVALID })?;
        on_session(session, answer)
    }
}

/// A count as this process has it; what does not fit is more than there is.
fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn on_session(session: &mut Session, ask: Ask<'_>) -> Result<Told, Fault> {
    match ask {
        Ask::State => session.state().map(Told::Number),
        Ask::Login(pin) => session.login(pin.map(|Bytes(pin)| pin)).map(|()| Told::Done),
        Ask::Cancel => session.cancel().map(|()| Told::Done),
        Ask::Random(count) => session.random(size(count)).map(Told::Bytes),
        Ask::Seed(Bytes(seed)) => session.seed(seed).map(|()| Told::Done),
        Ask::Create(template) => session.create(&template).map(Told::Number),
        Ask::Destroy(object) => session.destroy(object).map(|()| Told::Done),
        Ask::Find(template, max) => session.find(&template, size(max)).map(Told::Numbers),
        Ask::Attribute(object, kind, guess) => session.attribute(object, kind, size(guess)).map(Told::Bytes),
        Ask::Set(object, template) => session.set(object, &template).map(|()| Told::Done),
        Ask::Flags(object, kinds) => session.flags(object, kinds).map(Told::Flags),
        Ask::Generate(mechanism, template) => session.generate(&mechanism, &template).map(Told::Number),
        Ask::GeneratePair(mechanism, public, private) => {
            session.generate_pair(&mechanism, &public, &private).map(|(public, private)| Told::Pair(public, private))
        }
        Ask::Wrap { mechanism, wrapping, key, guess } => {
            session.wrap(&mechanism, wrapping, key, size(guess)).map(Told::Bytes)
        }
        Ask::Derive(mechanism, base, template) => session.derive(&mechanism, base, &template).map(Told::Number),
        Ask::Unwrap { mechanism, unwrapping, blob: Bytes(blob), template } => {
            session.unwrap(&mechanism, unwrapping, blob, &template).map(Told::Number)
        }
        Ask::Encrypt(mechanism, key, Bytes(data)) => session.encrypt(&mechanism, key, data).map(Told::Bytes),
        Ask::EncryptBack(mechanism, key, Bytes(data)) => {
            session.encrypt_back(&mechanism, key, data).map(|(output, iv)| Told::Sealed(output, iv))
        }
        Ask::Decrypt(mechanism, key, Bytes(data)) => session.decrypt(&mechanism, key, data).map(Told::Bytes),
        Ask::Sign(mechanism, key, Bytes(data)) => {
            session.sign(&mechanism, key, data).map(|signature| Told::Bytes(signature.into()))
        }
        Ask::Verify { mechanism, key, data: Bytes(data), signature: Bytes(signature) } => {
            session.verify(&mechanism, key, data, signature).map(Told::Verdict)
        }
        Ask::Load { .. }
        | Ask::Slots
        | Ask::TokenInfo(_)
        | Ask::Mechanisms(_)
        | Ask::MechanismInfo(..)
        | Ask::Open(_)
        | Ask::CloseAll(_)
        | Ask::Finalize
        | Ask::Close
        | Ask::Abandon => Ok(Told::Done),
    }
}
