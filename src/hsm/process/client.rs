//! What `raw` is to a module in this process, for one in a process of its own: the same methods, asked over a connection.
//!
//! Everything belongs to the process that was there when the token was linked. A session of an earlier one answers nothing any
//! more, and none is opened in a later one before the token is linked anew: object handles would mean other objects there.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_SLOT_ID, CK_ULONG, CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_GENERAL_ERROR,
};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{
    super::{
        Observer,
        layout::{Attribute, Mechanism},
        raw::{Fault, Handle, Sealed, TokenInfo},
    },
    host::{End, Host, Lane},
    wire::{Ask, Bytes, Told},
};
use crate::domain::TokenId;

type Result<T> = std::result::Result<T, Fault>;

/// Takes the answer of the kind that belongs to the question.
macro_rules! told {
    ($answer:expr, $lane:expr, $kind:pat => $value:expr) => {
        match $answer? {
            $kind => Ok($value),
            _ => Err(garbled($lane)),
        }
    };
}

fn garbled(lane: &Lane) -> Fault {
    lane.process.kill(End::Garbled, "another answer than to its question".to_owned());
    Fault { function: "C_Initialize", rv: CKR_CRYPTOKI_NOT_INITIALIZED }
}

/// Who calls: one token's pool, for the functions that need no session.
pub(in crate::hsm) struct Caller {
    host: Arc<Host>,
    token: TokenId,
    observer: Arc<dyn Observer>,
    /// How long a call may take.
    limit: Duration,
    /// The process that the token's link is with.
    bound: AtomicU64,
    /// As in `raw`: counts how often all sessions became void.
    epoch: AtomicU64,
    lane: Mutex<Option<Lane>>,
}

impl Caller {
    pub(in crate::hsm) fn new(host: Arc<Host>, token: TokenId, observer: Arc<dyn Observer>, limit: Duration) -> Self {
        let (bound, epoch) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { host, token, observer, limit, bound, epoch, lane: Mutex::new(None) }
    }

    /// Belongs to the present process from now on; whether it belonged to another one before.
    pub(in crate::hsm) fn bind(&self) -> bool {
        let number = self.host.process().map_or(0, |process| process.number);
        let before = self.bound.swap(number, Ordering::AcqRel);
        before != 0 && before != number
    }

    /// A connection to the process that this caller belongs to.
    fn lane(&self, function: &'static str) -> Result<Lane> {
        let bound = self.bound.load(Ordering::Acquire);
        let process = self.host.process().filter(|process| process.number == bound);
        let lane = process.and_then(|process| match process.lane() {
            Ok(lane) => Some(lane),
            Err(error) => {
                tracing::warn!(token = %self.token, %error, "no connection to the module's process");
                None
            }
        });
        lane.ok_or_else(|| self.gone(function, Instant::now()))
    }

    fn gone(&self, function: &'static str, start: Instant) -> Fault {
        let rv = CKR_CRYPTOKI_NOT_INITIALIZED;
        self.observer.called(&self.token, function, rv, start.elapsed());
        Fault { function, rv }
    }

    fn ask_on(&self, lane: &Lane, ask: &Ask<'_>) -> Result<Told> {
        let start = Instant::now();
        let Some(reply) = lane.ask(ask, self.limit) else { return Err(self.gone(ask.function(), start)) };
        for call in &reply.calls {
            let (function, rv, took) = call.parts();
            self.observer.called(&self.token, function, rv, took);
        }
        reply.told()
    }

    fn ask<T>(&self, ask: &Ask<'_>, take: impl FnOnce(Told) -> Option<T>) -> Result<T> {
        let mut kept = self.lane.lock();
        let bound = self.bound.load(Ordering::Acquire);
        let lane = match kept.take() {
            Some(lane) if lane.process.number == bound && lane.process.is_alive() => lane,
            _ => self.lane(ask.function())?,
        };
        let lane = kept.insert(lane);
        take(self.ask_on(lane, ask)?).ok_or_else(|| garbled(lane))
    }

    pub(in crate::hsm) fn slots(&self) -> Result<Vec<CK_SLOT_ID>> {
        self.ask(&Ask::Slots, |told| if let Told::Numbers(slots) = told { Some(slots) } else { None })
    }

    pub(in crate::hsm) fn token_info(&self, slot: CK_SLOT_ID) -> Result<TokenInfo> {
        self.ask(&Ask::TokenInfo(slot), |told| if let Told::Token(info) = told { Some(info) } else { None })
    }

    pub(in crate::hsm) fn mechanisms(&self, slot: CK_SLOT_ID) -> Result<Vec<CK_MECHANISM_TYPE>> {
        self.ask(&Ask::Mechanisms(slot), |told| if let Told::Numbers(list) = told { Some(list) } else { None })
    }

    pub(in crate::hsm) fn mechanism_info(
        &self,
        slot: CK_SLOT_ID,
        code: CK_MECHANISM_TYPE,
    ) -> Result<CK_MECHANISM_INFO> {
        self.ask(&Ask::MechanismInfo(slot, code), |told| match told {
            Told::Numbers(numbers) => match *numbers {
                [least, most, flags] => Some(CK_MECHANISM_INFO { ulMinKeySize: least, ulMaxKeySize: most, flags }),
                _ => None,
            },
            _ => None,
        })
    }

    pub(in crate::hsm) fn open(self: &Arc<Self>, slot: CK_SLOT_ID) -> Result<Session> {
        let lane = self.lane("C_OpenSession")?;
        self.ask_on(&lane, &Ask::Open(slot))?;
        let epoch = self.epoch.load(Ordering::Acquire);
        Ok(Session { caller: Arc::clone(self), lane, epoch, abandoned: false })
    }

    pub(in crate::hsm) fn void_sessions(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub(in crate::hsm) fn close_all(&self, slot: CK_SLOT_ID) -> Result<()> {
        self.ask(&Ask::CloseAll(slot), |_done| Some(()))
    }

    pub(in crate::hsm) fn finalize(&self) -> Result<()> {
        self.ask(&Ask::Finalize, |_done| Some(()))
    }
}

/// One session, closed on drop, with a connection of its own.
pub(in crate::hsm) struct Session {
    caller: Arc<Caller>,
    lane: Lane,
    epoch: u64,
    abandoned: bool,
}

impl Session {
    fn ask(&self, ask: &Ask<'_>) -> Result<Told> {
        self.caller.ask_on(&self.lane, ask)
    }

    /// Whether its process is there.
    pub(in crate::hsm) fn is_alive(&self) -> bool {
        self.lane.process.is_alive()
    }

    pub(in crate::hsm) fn abandon(mut self) {
        self.abandoned = true;
    }

    pub(in crate::hsm) fn state(&self) -> Result<CK_ULONG> {
        told!(self.ask(&Ask::State), &self.lane, Told::Number(state) => state)
    }

    pub(in crate::hsm) fn login(&self, pin: Option<&[u8]>) -> Result<()> {
        self.ask(&Ask::Login(pin.map(Bytes))).map(drop)
    }

    pub(in crate::hsm) fn cancel(&mut self) -> Result<()> {
        self.ask(&Ask::Cancel).map(drop)
    }

    pub(in crate::hsm) fn random(&mut self, count: usize) -> Result<Zeroizing<Vec<u8>>> {
        let bytes: Result<_> = told!(self.ask(&Ask::Random(count as u64)), &self.lane, Told::Bytes(bytes) => bytes);
        bytes.and_then(|bytes| if bytes.len() == count { Ok(bytes) } else { Err(garbled(&self.lane)) })
    }

    pub(in crate::hsm) fn seed(&mut self, seed: &[u8]) -> Result<()> {
        self.ask(&Ask::Seed(Bytes(seed))).map(drop)
    }

    pub(in crate::hsm) fn create(&mut self, template: &[Attribute]) -> Result<Handle> {
        told!(self.ask(&Ask::Create(Cow::Borrowed(template))), &self.lane, Told::Number(handle) => handle)
    }

    pub(in crate::hsm) fn destroy(&mut self, object: Handle) -> Result<()> {
        self.ask(&Ask::Destroy(object)).map(drop)
    }

    pub(in crate::hsm) fn find(&mut self, template: &[Attribute], max: usize) -> Result<Vec<Handle>> {
        let ask = Ask::Find(Cow::Borrowed(template), max as u64);
        told!(self.ask(&ask), &self.lane, Told::Numbers(handles) => handles)
    }

    pub(in crate::hsm) fn attribute(
        &mut self,
        object: Handle,
        kind: CK_ATTRIBUTE_TYPE,
        guess: usize,
    ) -> Result<Zeroizing<Vec<u8>>> {
        told!(self.ask(&Ask::Attribute(object, kind, guess as u64)), &self.lane, Told::Bytes(bytes) => bytes)
    }

    pub(in crate::hsm) fn set(&mut self, object: Handle, template: &[Attribute]) -> Result<()> {
        self.ask(&Ask::Set(object, Cow::Borrowed(template))).map(drop)
    }

    pub(in crate::hsm) fn flags(&mut self, object: Handle, kinds: [CK_ATTRIBUTE_TYPE; 2]) -> Result<[bool; 2]> {
        told!(self.ask(&Ask::Flags(object, kinds)), &self.lane, Told::Flags(flags) => flags)
    }

    pub(in crate::hsm) fn number(&mut self, object: Handle, kind: CK_ATTRIBUTE_TYPE) -> Result<CK_ULONG> {
        let bytes = self.attribute(object, kind, size_of::<CK_ULONG>())?;
        bytes
            .first_chunk()
            .map(|bytes| CK_ULONG::from_ne_bytes(*bytes))
            .ok_or(Fault { function: "C_GetAttributeValue", rv: CKR_GENERAL_ERROR })
    }

    pub(in crate::hsm) fn generate(&mut self, mechanism: &Mechanism, template: &[Attribute]) -> Result<Handle> {
        let ask = Ask::Generate(Cow::Borrowed(mechanism), Cow::Borrowed(template));
        told!(self.ask(&ask), &self.lane, Told::Number(handle) => handle)
    }

    pub(in crate::hsm) fn generate_pair(
        &mut self,
        mechanism: &Mechanism,
        public: &[Attribute],
        private: &[Attribute],
    ) -> Result<(Handle, Handle)> {
        let ask = Ask::GeneratePair(Cow::Borrowed(mechanism), Cow::Borrowed(public), Cow::Borrowed(private));
        told!(self.ask(&ask), &self.lane, Told::Pair(public, private) => (public, private))
    }

    pub(in crate::hsm) fn wrap(
        &mut self,
        mechanism: &Mechanism,
        wrapping: Handle,
        key: Handle,
        guess: usize,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let ask = Ask::Wrap { mechanism: Cow::Borrowed(mechanism), wrapping, key, guess: guess as u64 };
        told!(self.ask(&ask), &self.lane, Told::Bytes(bytes) => bytes)
    }

    pub(in crate::hsm) fn derive(
        &mut self,
        mechanism: &Mechanism,
        base: Handle,
        template: &[Attribute],
    ) -> Result<Handle> {
        let ask = Ask::Derive(Cow::Borrowed(mechanism), base, Cow::Borrowed(template));
        told!(self.ask(&ask), &self.lane, Told::Number(handle) => handle)
    }

    pub(in crate::hsm) fn unwrap(
        &mut self,
        mechanism: &Mechanism,
        unwrapping: Handle,
        blob: &[u8],
        template: &[Attribute],
    ) -> Result<Handle> {
        let (mechanism, template) = (Cow::Borrowed(mechanism), Cow::Borrowed(template));
        let ask = Ask::Unwrap { mechanism, unwrapping, blob: Bytes(blob), template };
        told!(self.ask(&ask), &self.lane, Told::Number(handle) => handle)
    }

    pub(in crate::hsm) fn encrypt(
        &mut self,
        mechanism: &Mechanism,
        key: Handle,
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let ask = Ask::Encrypt(Cow::Borrowed(mechanism), key, Bytes(data));
        told!(self.ask(&ask), &self.lane, Told::Bytes(bytes) => bytes)
    }

    pub(in crate::hsm) fn encrypt_back(&mut self, mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Sealed> {
        let ask = Ask::EncryptBack(Cow::Borrowed(mechanism), key, Bytes(data));
        told!(self.ask(&ask), &self.lane, Told::Sealed(output, iv) => (output, iv))
    }

    pub(in crate::hsm) fn decrypt(
        &mut self,
        mechanism: &Mechanism,
        key: Handle,
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let ask = Ask::Decrypt(Cow::Borrowed(mechanism), key, Bytes(data));
        told!(self.ask(&ask), &self.lane, Told::Bytes(bytes) => bytes)
    }

    pub(in crate::hsm) fn sign(&mut self, mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Vec<u8>> {
        let ask = Ask::Sign(Cow::Borrowed(mechanism), key, Bytes(data));
        told!(self.ask(&ask), &self.lane, Told::Bytes(mut signature) => std::mem::take(&mut *signature))
    }

    pub(in crate::hsm) fn verify(
        &mut self,
        mechanism: &Mechanism,
        key: Handle,
        data: &[u8],
        signature: &[u8],
    ) -> Result<bool> {
        let (data, signature) = (Bytes(data), Bytes(signature));
        let ask = Ask::Verify { mechanism: Cow::Borrowed(mechanism), key, data, signature };
        told!(self.ask(&ask), &self.lane, Told::Verdict(holds) => holds)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_alive() {
            return;
        }
        if self.abandoned || self.epoch != self.caller.epoch.load(Ordering::Acquire) {
            self.lane.tell(&Ask::Abandon);
        } else if let Err(Fault { rv, .. }) = self.ask(&Ask::Close) {
            tracing::debug!(token = %self.caller.token, rv, "C_CloseSession");
        }
    }
}
