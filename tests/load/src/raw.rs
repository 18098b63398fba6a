//! The limit of everything that goes to the HSM: the same call of the same module, from threads of this process.
//!
//! Each thread has a session of its own and calls through `cryptoki`, as a program without a gateway would. Keys are objects on the
//! token, as those of the gateway are, and are destroyed afterwards. The module stays loaded until the process ends.

use std::{
    fs,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::Error,
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};

use crate::{
    drive::Plan,
    options::{Common, RawOperation},
    process,
    stats::{Failure, Measured, Tally},
    work::pattern,
};

/// Measures one call on so many threads.
///
/// # Errors
///
/// When the module, its token or a key cannot be used at all; calls that fail are counted instead.
pub(crate) fn run(operation: RawOperation, threads: usize, common: &Common) -> anyhow::Result<Measured> {
    let module = common.module.as_deref().context("--module says which module to measure")?;
    let token = Token::open(module, common)?;
    let keys = token.keys(operation, usize::try_from(common.objects)?)?;
    let mut data = pattern(usize::try_from(common.size)?);
    match operation {
        RawOperation::Decrypt => data = cipher_text(&token.session, first(&keys)?, &data)?,
        // The digest is the caller's part, as it is where a token has ECDSA alone.
        RawOperation::Sign => data.resize(32, 0),
        RawOperation::Create | RawOperation::Encrypt | RawOperation::SignRsa => {}
    }
    // Every thread's session is there before the first call.
    let sessions = (0..threads).map(|_| token.module.open_rw_session(token.slot)).collect::<Result<Vec<_>, _>>()?;
    let stop = AtomicBool::new(false);
    let (tally, cpu) = thread::scope(|scope| {
        let (keys, data, stop) = (keys.as_slice(), data.as_slice(), &stop);
        let start = Instant::now() + common.warmup;
        let end = start + common.seconds;
        let running: Vec<_> = sessions
            .into_iter()
            .enumerate()
            .map(|(number, session)| {
                scope.spawn(move || {
                    let mut caller = Caller { session, operation, keys, data, turn: number, made: Vec::new() };
                    let tally = caller.repeat(start, end, common.plan(), stop);
                    // By many threads, since each waits for the disk.
                    caller.made.iter().try_for_each(|made| caller.session.destroy_object(*made))?;
                    Ok::<_, Error>(tally)
                })
            })
            .collect();
        thread::sleep(start.saturating_duration_since(Instant::now()));
        let before = process::usage(None)?.client;
        thread::sleep(end.saturating_duration_since(Instant::now()));
        let cpu = process::usage(None)?.client.saturating_sub(before);
        stop.store(true, Relaxed);
        let mut all = Tally::new();
        for thread in running {
            let tally = thread.join().map_err(|_panic| anyhow!("a thread panicked"))?;
            all.merge(tally.context("a key cannot be destroyed")?);
        }
        anyhow::Ok((all, cpu))
    })?;
    for object in keys {
        token.session.destroy_object(object).context("a key cannot be destroyed")?;
    }
    Ok(Measured {
        protocol: "pkcs11",
        operation: operation.name(),
        connections: threads,
        in_flight: 1,
        items: 1,
        elapsed: common.seconds,
        completed: tally.completed(),
        latency: tally.latency(),
        errors: tally.errors,
        // The module is the server here, and what calls it is next to nothing.
        server_cpu: Some(cpu),
        ..Measured::default()
    })
}

/// A token with a user logged in: its session keeps the login of all others.
struct Token {
    module: &'static Pkcs11,
    slot: Slot,
    session: Session,
}

impl Token {
    fn open(path: &Path, common: &Common) -> anyhow::Result<Self> {
        static LOADED: OnceLock<Pkcs11> = OnceLock::new();
        let module = match LOADED.get() {
            Some(module) => module,
            None => {
                let module = Pkcs11::new(path).with_context(|| path.display().to_string())?;
                module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
                LOADED.get_or_init(|| module)
            }
        };
        let label = common.token_label.as_str();
        let mut slots = module.get_slots_with_token()?.into_iter();
        let slot = slots
            .find(|slot| module.get_token_info(*slot).is_ok_and(|token| token.label() == label))
            .with_context(|| format!("{}: no token is called {label}", path.display()))?;
        let file = common.pin_file.as_deref().context("--pin-file says where the PIN is")?;
        let pin = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let session = module.open_rw_session(slot)?;
        match session.login(UserType::User, Some(&AuthPin::new(pin.trim().into()))) {
            Ok(()) | Err(Error::Pkcs11(cryptoki::error::RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(error).context("the login"),
        }
        Ok(Self { module, slot, session })
    }

    /// The keys that calls take turns on.
    fn keys(&self, operation: RawOperation, count: usize) -> anyhow::Result<Vec<ObjectHandle>> {
        let pair = |mechanism, public: &[Attribute]| {
            let own =
                [Attribute::Token(true), Attribute::Private(true), Attribute::Sensitive(true), Attribute::Sign(true)];
            let public = [public, &[Attribute::Token(false), Attribute::Verify(true)]].concat();
            Ok(self.session.generate_key_pair(mechanism, &public, &own)?.1)
        };
        let each = |_| match operation {
            RawOperation::Create => Ok(None),
            RawOperation::Encrypt | RawOperation::Decrypt => Ok(Some(aes(&self.session, b"load")?)),
            // The OID of P-256 in DER.
            RawOperation::Sign => {
                let curve = Attribute::EcParams(vec![6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7]);
                pair(&Mechanism::EccKeyPairGen, &[curve]).map(Some)
            }
            RawOperation::SignRsa => {
                let public = [Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])];
                pair(&Mechanism::RsaPkcsKeyPairGen, &public).map(Some)
            }
        };
        let keys: anyhow::Result<Vec<Option<ObjectHandle>>> = (0..count).map(each).collect();
        Ok(keys.context("a key cannot be made")?.into_iter().flatten().collect())
    }
}

/// A key on the token, as the gateway makes it: it gets an identifier, and stays inside.
fn aes(session: &Session, id: &[u8]) -> cryptoki::error::Result<ObjectHandle> {
    let template = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(true),
        Attribute::ValueLen(32.into()),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Id(id.to_vec()),
        Attribute::Label(id.to_vec()),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template)
}

fn first(keys: &[ObjectHandle]) -> anyhow::Result<ObjectHandle> {
    keys.first().copied().context("--objects says 0")
}

/// What every Decrypt gets, as each has a key of its own: the text of the first; so all take turns on that.
fn cipher_text(session: &Session, key: ObjectHandle, data: &[u8]) -> anyhow::Result<Vec<u8>> {
    gcm(|mechanism| session.encrypt(mechanism, key, data)).context("the first encryption")
}

/// AES-GCM with a tag of 16 bytes, as the gateway asks for it.
fn gcm<T>(call: impl FnOnce(&Mechanism<'_>) -> cryptoki::error::Result<T>) -> cryptoki::error::Result<T> {
    let mut iv = IV;
    call(&Mechanism::AesGcm(GcmParams::new(&mut iv, &[], 128.into())?))
}

/// The same for each message: nothing secret is encrypted here, and making one costs next to nothing.
const IV: [u8; 12] = [7; 12];

/// One thread.
struct Caller<'a> {
    session: Session,
    operation: RawOperation,
    keys: &'a [ObjectHandle],
    data: &'a [u8],
    turn: usize,
    made: Vec<ObjectHandle>,
}

impl Caller<'_> {
    fn repeat(&mut self, start: Instant, end: Instant, plan: Plan, stop: &AtomicBool) -> Tally {
        let mut tally = Tally::new();
        let mut failed = Duration::ZERO;
        while !stop.load(Relaxed) && failed < plan.timeout {
            let begun = Instant::now();
            if begun >= end {
                break;
            }
            let result = self.once();
            let ended = Instant::now();
            match result {
                Ok(()) if (start..end).contains(&ended) => tally.record(ended - begun, (0, 0)),
                Ok(()) => {}
                Err(error) => {
                    tally.fail(Failure::refused(format!("PKCS#11: {error}")));
                    thread::sleep(PAUSE);
                    failed += PAUSE;
                }
            }
        }
        tally
    }

    fn once(&mut self) -> cryptoki::error::Result<()> {
        self.turn += 1;
        let session = &self.session;
        if self.operation == RawOperation::Create {
            let made = aes(session, &self.turn.to_be_bytes())?;
            self.made.push(made);
            return Ok(());
        }
        let at = if self.operation == RawOperation::Decrypt {
            0
        } else {
            self.turn.checked_rem(self.keys.len()).unwrap_or(0)
        };
        let key = *self.keys.get(at).ok_or(Error::InvalidValue)?;
        match self.operation {
            RawOperation::Encrypt => gcm(|mechanism| session.encrypt(mechanism, key, self.data)).map(drop),
            RawOperation::Decrypt => gcm(|mechanism| session.decrypt(mechanism, key, self.data)).map(drop),
            RawOperation::Sign => session.sign(&Mechanism::Ecdsa, key, self.data).map(drop),
            RawOperation::SignRsa | RawOperation::Create => {
                session.sign(&Mechanism::Sha256RsaPkcs, key, self.data).map(drop)
            }
        }
    }
}

/// After a call that failed, so that a token that is gone is not hammered.
const PAUSE: Duration = Duration::from_millis(50);
