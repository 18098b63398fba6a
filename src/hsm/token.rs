//! Finding the one token the configuration means, and logging in to it.
//!
//! A wrong partition is worse than no service, so two matches are refused. A PIN is tried once in its life: what was refused is
//! remembered across restarts as sixteen bits of a salted slow hash, enough to recognise it and too little to recover it.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
};

use aws_lc_rs::pbkdf2;
use cryptoki_sys::{
    CKF_LOGIN_REQUIRED, CKF_PROTECTED_AUTHENTICATION_PATH, CKF_TOKEN_INITIALIZED, CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_INITIALIZED, CKF_USER_PIN_LOCKED, CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
};
use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    Config, error,
    home::{Caller, Session},
    raw::{Fault, TokenInfo},
};
use crate::{domain::SecretValue, engine::ports::Memory};

/// Why a token cannot be used now, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not there, or does not answer; it may come back.
    Away(String),
    /// The configuration fits several tokens.
    Ambiguous(String),
    /// Another token stands behind the name.
    WrongToken(String),
    /// The PIN was refused, or must not be tried.
    PinRejected(String),
}

impl Trouble {
    /// The state in `TokenStatus::health`.
    pub(super) const fn health(&self) -> &'static str {
        match self {
            Self::Away(_) => "down",
            Self::Ambiguous(_) | Self::WrongToken(_) => "wrong_token",
            Self::PinRejected(_) => "pin_rejected",
        }
    }

    /// What happened and what to do.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Away(reason) | Self::Ambiguous(reason) | Self::WrongToken(reason) | Self::PinRejected(reason) => {
                reason
            }
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Away(format!("{} answered 0x{:08X}; check the token and its connection", fault.function, fault.rv))
    }
}

/// The token that the configuration means: by serial, then label, then slot (contract §1.2).
pub(super) fn choose(caller: &Caller, config: &Config) -> Result<TokenInfo, Trouble> {
    let mut matching = Vec::new();
    let mut seen = Vec::new();
    for slot in caller.slots()? {
        let info = match caller.token_info(slot) {
            Ok(info) => info,
            // One broken slot does not hide the others.
            Err(fault) => {
                tracing::debug!(token = %config.name, slot, rv = fault.rv, "C_GetTokenInfo");
                continue;
            }
        };
        let (label, serial) = (String::from_utf8_lossy(&info.label), String::from_utf8_lossy(&info.serial));
        seen.push(format!("slot {slot}: label {label:?}, serial {serial:?}"));
        if fits(config, &info) {
            matching.push(info);
        }
    }
    let names: Vec<String> = matching.iter().map(|info| info.slot.to_string()).collect();
    let mut matching = matching.into_iter();
    match (matching.next(), matching.next()) {
        (Some(info), None) => usable(info),
        (None, _) if seen.is_empty() => {
            Err(Trouble::Away("the module shows no token; connect or initialise one".to_owned()))
        }
        (None, _) => Err(Trouble::Away(format!(
            "no token fits token_serial, token_label or slot_id; the module shows {}",
            seen.join("; ")
        ))),
        (Some(_), Some(_)) => Err(Trouble::Ambiguous(format!(
            "the tokens in slots {} fit alike; name the one that is meant by `token_serial`",
            names.join(", ")
        ))),
    }
}

/// Whether it is the token that the configuration names.
pub(super) fn fits(config: &Config, info: &TokenInfo) -> bool {
    let serial = config.token_serial.as_ref().map(|serial| serial.trim().as_bytes() == info.serial);
    let label = config.token_label.as_ref().map(|label| label.trim_end().as_bytes() == info.label);
    match (serial, label) {
        (None, None) => config.slot_id == Some(info.slot),
        (serial, label) => serial.unwrap_or(true) && label.unwrap_or(true),
    }
}

fn usable(info: TokenInfo) -> Result<TokenInfo, Trouble> {
    let label = String::from_utf8_lossy(&info.label);
    if info.flags & CKF_TOKEN_INITIALIZED == 0 {
        return Err(Trouble::Away(format!("the token {label:?} is not initialised; initialise it and set a user PIN")));
    }
    if info.flags & CKF_LOGIN_REQUIRED != 0 && info.flags & CKF_USER_PIN_INITIALIZED == 0 {
        return Err(Trouble::Away(format!("the token {label:?} has no user PIN; set one")));
    }
    Ok(info)
}

/// Under which name the serial of a token is remembered.
#[must_use]
pub fn serial_fact(token: &str) -> String {
    format!("hsm/{token}/serial")
}

/// Compares the serial with the one recorded at first success; records it then.
pub(super) fn check_serial(memory: &dyn Memory, config: &Config, info: &TokenInfo) -> Result<(), Trouble> {
    let name = serial_fact(&config.name);
    match memory.recall(&name) {
        Ok(Some(serial)) if serial == info.serial => Ok(()),
        Ok(Some(serial)) => Err(Trouble::WrongToken(format!(
            "the token shows serial {:?}, but {:?} was used before; put the old token back, or confirm the new one with \
             `portcullis hsm rebind` if it carries the same keys",
            String::from_utf8_lossy(&info.serial),
            String::from_utf8_lossy(&serial),
        ))),
        Ok(None) => memory.remember(&name, &info.serial).map_err(|error| forgetful(&error)),
        Err(error) => Err(forgetful(&error)),
    }
}

fn forgetful(error: &dyn std::error::Error) -> Trouble {
    Trouble::Away(format!("what is known of the token cannot be read or kept ({error}); repair the store"))
}

/// Logs the application in on `session`, with every rule of the contract's §1.3.
pub(super) fn login(
    session: &Session,
    caller: &Caller,
    slot: u64,
    config: &Config,
    memory: &dyn Memory,
    refused: &RefusedPins,
) -> Result<(), Trouble> {
    // The flags are read anew before each attempt: somebody else may have used up the tries.
    let info = caller.token_info(slot)?;
    if info.flags & CKF_LOGIN_REQUIRED == 0 {
        return Ok(());
    }
    if info.flags & CKF_USER_PIN_LOCKED != 0 {
        return Err(Trouble::PinRejected("the user PIN is locked; unlock it as SO".to_owned()));
    }
    let forced = refused.forced();
    if info.flags & CKF_USER_PIN_FINAL_TRY != 0 && !forced {
        return Err(Trouble::PinRejected(
            "one try is left before the user PIN locks; check the PIN, then start once with `retry_refused_pin`"
                .to_owned(),
        ));
    }
    if info.flags & CKF_PROTECTED_AUTHENTICATION_PATH != 0 {
        return accepted(session.login(None)).map_err(|fault| match error::refuses_pin(fault.rv) {
            true => Trouble::PinRejected(format!("the log-in at the device was refused (0x{:08X})", fault.rv)),
            false => fault.into(),
        });
    }
    let pin = (config.pin)().map_err(|why| Trouble::PinRejected(format!("the PIN cannot be read: {why}")))?;
    if refused.holds(&pin, memory, config)? && !forced {
        return Err(Trouble::PinRejected(
            "this PIN was refused before and is not tried again; correct the PIN, or start once with \
             `retry_refused_pin` if the token's PIN was changed to it"
                .to_owned(),
        ));
    }
    match refused.doubts(&pin) {
        0 => {}
        // Somebody's log-in was refused since the last one that succeeded, and the one without an answer may have been it.
        doubts if !forced && (info.flags & CKF_USER_PIN_COUNT_LOW != 0 || doubts >= DOUBTS_MAX) => {
            refused.remember(&pin, memory, config);
            return Err(Trouble::PinRejected(format!(
                "the module ended {doubts} times during the log-in, so this PIN may have been refused and is not tried again; \
                 check it, then start once with `retry_refused_pin`"
            )));
        }
        _ => {}
    }
    #[expect(clippy::disallowed_methods, reason = "C_Login takes the PIN")]
    let answer = accepted(session.login(Some(pin.expose_secret())));
    match answer {
        Ok(()) => {
            refused.trust();
            if forced {
                refused.forget(memory, config);
            }
            Ok(())
        }
        Err(fault) if error::refuses_pin(fault.rv) => {
            refused.remember(&pin, memory, config);
            Err(Trouble::PinRejected(format!(
                "the PIN was refused (0x{:08X}) and is not tried again; correct the PIN the configuration refers to",
                fault.rv
            )))
        }
        Err(fault) => {
            if !session.is_alive() {
                refused.doubt(&pin);
            }
            Err(fault.into())
        }
    }
}

fn accepted(answer: Result<(), Fault>) -> Result<(), Fault> {
    match answer {
        Err(Fault { rv: CKR_USER_ALREADY_LOGGED_IN, .. }) => Ok(()),
        Err(fault @ Fault { rv: CKR_USER_ANOTHER_ALREADY_LOGGED_IN, .. }) => {
            tracing::error!("another kind of user is logged in to the token in this process");
            Err(fault)
        }
        answer => answer,
    }
}

const SALT: usize = 16;
const MARK: usize = 2;
const REMEMBERED_MAX: usize = 16;
/// Log-ins that may end with the module's process before its PIN counts as refused: the token may have counted each.
const DOUBTS_MAX: u32 = 3;
/// Some 0.1 s on a current processor.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(300_000).expect("not zero");

/// The PINs a token has refused: sixteen bytes of salt and two of the hash for each. Kept in memory as well, so that a store
/// that cannot write does not make the pool try a PIN twice.
#[derive(Debug)]
pub(super) struct RefusedPins {
    entries: Mutex<Option<Vec<u8>>>,
    /// The operator's word that a refused PIN may be tried: good for one try a process.
    force: AtomicBool,
    /// A PIN whose log-in had no answer, because the module's process ended in it, and how often.
    doubted: Mutex<Option<Doubted>>,
}

/// Recognised by sixteen bits of a salted slow hash, as the refused ones are.
#[derive(Debug)]
struct Doubted {
    salt: [u8; SALT],
    mark: [u8; MARK],
    count: u32,
}

impl RefusedPins {
    /// Nothing recalled yet.
    pub(super) const fn new(force: bool) -> Self {
        Self { entries: Mutex::new(None), force: AtomicBool::new(force), doubted: Mutex::new(None) }
    }

    /// A log-in with this PIN had no answer.
    fn doubt(&self, pin: &SecretValue) {
        let count = self.doubts(pin).saturating_add(1);
        let salt = *Uuid::new_v4().as_bytes();
        *self.doubted.lock() = Some(Doubted { salt, mark: hash(&salt, pin), count });
    }

    /// How many log-ins with this PIN had no answer since one succeeded.
    fn doubts(&self, pin: &SecretValue) -> u32 {
        let doubted = self.doubted.lock();
        doubted.as_ref().filter(|doubted| hash(&doubted.salt, pin) == doubted.mark).map_or(0, |doubted| doubted.count)
    }

    /// A log-in succeeded.
    fn trust(&self) {
        *self.doubted.lock() = None;
    }

    /// Uses the operator's word up.
    fn forced(&self) -> bool {
        self.force.swap(false, Ordering::Relaxed)
    }

    fn name(config: &Config) -> String {
        format!("hsm/{}/refused_pins", config.name)
    }

    /// Whether this PIN was refused before.
    fn holds(&self, pin: &SecretValue, memory: &dyn Memory, config: &Config) -> Result<bool, Trouble> {
        let mut entries = self.entries.lock();
        let entries = match &mut *entries {
            Some(entries) => entries,
            empty => {
                // Without this memory no PIN is tried at all: a restart loop must not lock the token.
                let fact = memory.recall(&Self::name(config)).map_err(|error| forgetful(&error))?;
                empty.insert(fact.unwrap_or_default())
            }
        };
        Ok(entries.chunks_exact(SALT + MARK).any(|entry| {
            let (salt, mark) = entry.split_at(SALT);
            hash(salt, pin) == mark
        }))
    }

    fn remember(&self, pin: &SecretValue, memory: &dyn Memory, config: &Config) {
        let mut entries = self.entries.lock();
        let entries = entries.get_or_insert_default();
        let salt = *Uuid::new_v4().as_bytes();
        entries.extend(salt);
        entries.extend(hash(&salt, pin));
        let excess = entries.len().saturating_sub(REMEMBERED_MAX * (SALT + MARK));
        entries.drain(..excess);
        if let Err(error) = memory.remember(&Self::name(config), entries) {
            tracing::error!(token = %config.name, %error, "the refused PIN could not be remembered; do not restart with it");
        }
    }

    fn forget(&self, memory: &dyn Memory, config: &Config) {
        let entries = self.entries.lock().replace(Vec::new());
        if entries.is_some_and(|entries| !entries.is_empty())
            && let Err(error) = memory.remember(&Self::name(config), &[])
        {
            tracing::warn!(token = %config.name, %error, "the refused PINs could not be forgotten");
        }
    }
}

fn hash(salt: &[u8], pin: &SecretValue) -> [u8; MARK] {
    let mut mark = [0; MARK];
    #[expect(clippy::disallowed_methods, reason = "sixteen bits of a slow hash recognise a refused PIN")]
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, pin.expose_secret(), &mut mark);
    mark
}
