//! The figures, one row each, taken through the `cryptoki` crate as a Rust program would.

use std::{
    fs,
    num::NonZero,
    sync::Barrier,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};

use super::{
    ChildOptions, Figure,
    modules::SO_PIN,
    reference::{Reference, per_second},
};

/// A figure.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) unit: &'static str,
    pub(super) target: Target,
    pub(super) is_less_better: bool,
    /// Taken on the store of very many objects.
    pub(super) is_large: bool,
    run: fn(&World) -> Result<f64>,
}

/// What a figure should be.
pub(super) enum Target {
    None,
    /// So much, and so many times the first other module.
    AtLeast(f64, f64),
    /// So many times the disk's syncs.
    Syncs(f64),
    /// So many times the library's signatures.
    Library(f64),
    /// So many times another row of the same module.
    Row(&'static str, f64),
}

impl Target {
    pub(super) fn figure(
        &self,
        reference: &Reference,
        other: Option<f64>,
        row: &dyn Fn(&str) -> Option<f64>,
    ) -> Option<f64> {
        match *self {
            Self::None => None,
            Self::AtLeast(figure, times) => Some(other.map_or(figure, |other| figure.max(other * times))),
            Self::Syncs(times) => Some(reference.syncs * times),
            Self::Library(times) => Some(reference.rsa_signatures * times),
            Self::Row(name, times) => row(name).map(|figure| figure * times),
        }
    }
}

const fn row(name: &'static str, about: &'static str, target: Target, run: fn(&World) -> Result<f64>) -> Row {
    Row { name, about, unit: "/s", target, is_less_better: false, is_large: false, run }
}

impl Row {
    const fn large(mut self) -> Self {
        self.is_large = true;
        self
    }

    const fn less(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self.is_less_better = true;
        self
    }
}

pub(super) const ROWS: &[Row] = &[
    row("session", "open and close a session", Target::AtLeast(500_000.0, 0.0), |world| {
        world.measure(|session| drop(world.pkcs11.open_rw_session(world.slot).map(drop).map(|()| session)))
    }),
    row("keygen-session", "make and destroy an AES-256 session key", Target::AtLeast(100_000.0, 5.0), |world| {
        world.try_measure(|session| {
            let key = session.generate_key(&Mechanism::AesKeyGen, &[Attribute::ValueLen(32.into())])?;
            session.destroy_object(key)
        })
    }),
    row("keygen-token", "make an AES-256 token key", Target::Syncs(0.7), |world| world.threads(1, token_key)),
    row("keygen-token-16", "the same on 16 threads", Target::Syncs(4.0), |world| world.threads(16, token_key)),
    row("find", "find by CKA_ID with 800 objects", Target::AtLeast(50_000.0, 5.0), |world| {
        world.fill(800)?;
        let mut number = 0_u32;
        world.try_measure(|session| {
            number = (number + 7) % 800;
            find(session, number.into())
        })
    }),
    row("gcm-1k", "AES-256-GCM 1 KiB", Target::AtLeast(300_000.0, 5.0), |world| gcm(world, 1, 1 << 10)),
    row("gcm-1k-2", "the same on 2 threads", Target::Row("gcm-1k", 1.8), |world| gcm(world, 2, 1 << 10)),
    row("gcm-16k", "AES-256-GCM 16 KiB", Target::AtLeast(80_000.0, 5.0), |world| gcm(world, 1, 16 << 10)),
    row("cbc-1k", "AES-256-CBC-PAD 1 KiB", Target::AtLeast(150_000.0, 5.0), |world| {
        let data = vec![7; 1 << 10];
        world.try_measure(|session| session.encrypt(&Mechanism::AesCbcPad([1; 16]), world.key, &data).map(drop))
    }),
    row("wrap", "wrap AES-256 by AES-KWP", Target::AtLeast(100_000.0, 5.0), |world| {
        world.try_measure(|session| session.wrap_key(&Mechanism::AesKeyWrapPad, world.key, world.target).map(drop))
    }),
    row("unwrap", "unwrap it to a session key and destroy that", Target::AtLeast(60_000.0, 5.0), |world| {
        let wrapped = world.session.wrap_key(&Mechanism::AesKeyWrapPad, world.key, world.target)?;
        let template = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES)];
        world.try_measure(|session| {
            let key = session.unwrap_key(&Mechanism::AesKeyWrapPad, world.key, &wrapped, &template)?;
            session.destroy_object(key)
        })
    }),
    row("rsa-2048", "RSA-2048 PKCS#1 SHA-256 signature", Target::Library(0.9), |world| {
        let public = [Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])];
        let pair = world.session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &[Attribute::Sign(true)])?;
        world.try_measure(|session| session.sign(&Mechanism::Sha256RsaPkcs, pair.1, b"measured").map(drop))
    }),
    row("ecdsa-p256", "ECDSA P-256 signature", Target::AtLeast(20_000.0, 0.0), |world| {
        // The OID of P-256 in DER.
        let curve = Attribute::EcParams(vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
        let pair = world.session.generate_key_pair(&Mechanism::EccKeyPairGen, &[curve], &[Attribute::Sign(true)])?;
        world.try_measure(|session| session.sign(&Mechanism::Ecdsa, pair.1, &[7; 32]).map(drop))
    }),
    row("random", "32 random bytes", Target::AtLeast(1_000_000.0, 0.0), |world| {
        let mut bytes = [0; 32];
        world.try_measure(|session| session.generate_random_slice(&mut bytes))
    }),
    row("attributes", "read three attributes", Target::AtLeast(500_000.0, 0.0), |world| {
        let wanted = [AttributeType::Class, AttributeType::KeyType, AttributeType::Encrypt];
        world.try_measure(|session| session.get_attributes(world.key, &wanted).map(drop))
    }),
    row("login", "log in (slow on purpose)", Target::None, |world| {
        let pin = AuthPin::new(world.pin.clone().into());
        world.session.logout()?;
        let start = Instant::now();
        world.session.login(UserType::User, Some(&pin))?;
        let took = start.elapsed();
        Ok(took.as_secs_f64() * 1e3)
    })
    .less("ms"),
    row("find-large", "find by CKA_ID in the large store", Target::AtLeast(20_000.0, 0.0), |world| {
        let objects = u32::try_from(world.objects).context("too many objects")?;
        let mut number = 0_u32;
        world.try_measure(|session| {
            // A stride that is prime meets objects all over the store.
            number = (number + 7_919) % objects;
            find(session, number.into())
        })
    })
    .large(),
    row("open-large", "C_Initialize and log-in on the large store", Target::AtLeast(500.0, 0.0), |world| {
        Ok(world.opening.as_secs_f64() * 1e3)
    })
    .less("ms")
    .large(),
    row("memory-large", "memory of the process after that", Target::AtLeast(128.0, 0.0), |_| resident())
        .less("MiB")
        .large(),
];

/// Everything that a row may use.
pub(super) struct World {
    pkcs11: Pkcs11,
    slot: Slot,
    session: Session,
    pin: String,
    seconds: f64,
    /// An AES key that may do everything.
    key: ObjectHandle,
    /// An AES key that may leave.
    target: ObjectHandle,
    objects: u64,
    opening: Duration,
}

/// Runs the rows of a child.
pub(super) fn run(options: &ChildOptions, tell: &mut dyn FnMut(&Figure) -> Result<()>) -> Result<()> {
    let world = World::new(options)?;
    let wanted = |row: &&Row| {
        row.is_large == options.objects.is_some()
            && (options.row.is_empty() || options.row.iter().any(|part| row.name.contains(part.as_str())))
    };
    for row in ROWS.iter().filter(wanted) {
        let (value, error) = match (row.run)(&world) {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        tell(&Figure { row: row.name.to_owned(), value, error })?;
    }
    Ok(())
}

impl World {
    fn new(options: &ChildOptions) -> Result<Self> {
        let pkcs11 = Pkcs11::new(&options.module)?;
        let start = Instant::now();
        pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        let pin = AuthPin::new(options.pin.clone().into());
        let slot = if options.objects.is_some() {
            *pkcs11.get_slots_with_initialized_token()?.first().context("no initialised token")?
        } else {
            make_token(&pkcs11, &pin)?
        };
        let session = pkcs11.open_rw_session(slot)?;
        session.login(UserType::User, Some(&pin))?;
        let opening = start.elapsed();
        let usage = [
            Attribute::ValueLen(32.into()),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(true),
            Attribute::Unwrap(true),
        ];
        let key = session.generate_key(&Mechanism::AesKeyGen, &usage)?;
        let free = [Attribute::ValueLen(32.into()), Attribute::Extractable(true)];
        let target = session.generate_key(&Mechanism::AesKeyGen, &free)?;
        let objects = options.objects.unwrap_or_default();
        let (pin, seconds) = (options.pin.clone(), options.seconds);
        Ok(Self { pkcs11, slot, session, pin, seconds, key, target, objects, opening })
    }

    fn measure(&self, mut job: impl FnMut(&Session)) -> Result<f64> {
        per_second(self.seconds, || {
            job(&self.session);
            Ok(())
        })
    }

    fn try_measure(&self, mut job: impl FnMut(&Session) -> cryptoki::error::Result<()>) -> Result<f64> {
        per_second(self.seconds, || Ok(job(&self.session)?))
    }

    /// The sum over threads that have a session each.
    fn threads(&self, threads: usize, job: fn(&Session) -> cryptoki::error::Result<()>) -> Result<f64> {
        let (start, seconds) = (Barrier::new(threads), self.seconds);
        std::thread::scope(|scope| {
            let mut running = Vec::new();
            for _ in 0..threads {
                let session = self.pkcs11.open_rw_session(self.slot)?;
                let start = &start;
                running.push(scope.spawn(move || {
                    start.wait();
                    per_second(seconds, || Ok(job(&session)?))
                }));
            }
            let mut sum = 0.0;
            for thread in running {
                sum += thread.join().ok().context("a thread panicked")??;
            }
            Ok(sum)
        })
    }

    /// Makes token keys up to a number, with an id each.
    fn fill(&self, objects: u32) -> Result<()> {
        for number in 0..objects {
            let template = [
                Attribute::ValueLen(32.into()),
                Attribute::Token(true),
                Attribute::Id(u64::from(number).to_be_bytes().to_vec()),
            ];
            self.session.generate_key(&Mechanism::AesKeyGen, &template)?;
        }
        Ok(())
    }
}

fn make_token(pkcs11: &Pkcs11, pin: &AuthPin) -> Result<Slot> {
    let so_pin = AuthPin::new(SO_PIN.into());
    let slots = pkcs11.get_slots_with_token()?;
    let is_free = |slot: &&Slot| pkcs11.get_token_info(**slot).is_ok_and(|info| !info.token_initialized());
    let free = *slots.iter().find(is_free).context("no slot with a token that is not initialised")?;
    pkcs11.init_token(free, &so_pin, "bench")?;
    // SoftHSM2 moves an initialised token to another slot.
    for slot in pkcs11.get_slots_with_token()? {
        if pkcs11.get_token_info(slot).is_ok_and(|info| info.label() == "bench") {
            let session = pkcs11.open_rw_session(slot)?;
            session.login(UserType::So, Some(&so_pin))?;
            session.init_pin(pin)?;
            session.logout()?;
            return Ok(slot);
        }
    }
    bail!("the token that was made is not there")
}

fn token_key(session: &Session) -> cryptoki::error::Result<()> {
    let template = [Attribute::ValueLen(32.into()), Attribute::Token(true)];
    session.generate_key(&Mechanism::AesKeyGen, &template).map(drop)
}

fn find(session: &Session, number: u64) -> cryptoki::error::Result<()> {
    let found = session.find_objects(&[Attribute::Id(number.to_be_bytes().to_vec())])?;
    if found.len() == 1 { Ok(()) } else { Err(cryptoki::error::Error::InvalidValue) }
}

fn gcm(world: &World, threads: usize, bytes: usize) -> Result<f64> {
    let (start, seconds, key) = (Barrier::new(threads), world.seconds, world.key);
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for _ in 0..threads {
            let session = world.pkcs11.open_rw_session(world.slot)?;
            let start = &start;
            running.push(scope.spawn(move || -> Result<f64> {
                let data = vec![7; bytes];
                let mut iv = [1; 12];
                let params = GcmParams::new(&mut iv, &[], 128.into())?;
                let mechanism = Mechanism::AesGcm(params);
                start.wait();
                per_second(seconds, || Ok(session.encrypt(&mechanism, key, &data).map(drop)?))
            }));
        }
        let mut sum = 0.0;
        for thread in running {
            sum += thread.join().ok().context("a thread panicked")??;
        }
        Ok(sum)
    })
}

/// Memory of this process, in MiB.
fn resident() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: NonZero<u32> = line.trim().trim_end_matches(" kB").parse()?;
    Ok(f64::from(kib.get()) / 1024.0)
}
