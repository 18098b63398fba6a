//! What a security officer does to a token before the gateway uses it: initialise it, set the user PIN, trust the wrapping key.
//!
//! This is the only place that logs in as SO. It runs in a process of its own, without a pool, on the module itself. Each step
//! looks first and is left out when it was done before; a token that is initialised is never initialised again. What the token
//! would not do is a step that says so, not an error: an SO PIN that is refused is one. It is not tried twice: the token says
//! that one was refused, and then no PIN is tried without the operator's word.

use std::sync::Arc;

use cryptoki_sys::*;
use serde::Serialize;

use super::{
    Config, Unobserved, error,
    layout::{Attribute, Mechanism},
    module::{Module, Start},
    pool::Class,
    raw::{Caller, Fault, Handle, Session, TokenInfo},
    system::{GROUP_KEY, system_name},
    template::{self, Life, Name},
    token,
};
use crate::domain::{SecretValue, TokenId, UsageMask};

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done now.
    Done,
    /// It had been done before.
    Already,
    /// The token would not do it.
    Refused,
    /// There was nothing to do it to.
    Skipped,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Of what.
    pub step: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What there is to say of it.
    pub note: String,
}

impl Step {
    /// One of them.
    #[must_use]
    pub fn new(step: &'static str, outcome: Outcome, note: impl Into<String>) -> Self {
        Self { step, outcome, note: note.into() }
    }
}

/// The group's wrapping key of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKey {
    /// The token is in no replicated group.
    None,
    /// It is trusted if it is there.
    IfThere,
    /// It is made here if it is not there, by the officer.
    Make,
}

/// The security officer.
pub struct Officer {
    /// The officer's PIN.
    pub pin: SecretValue,
    /// The operator's word that it may be tried although one was refused.
    pub may_retry: bool,
}

/// Initialises the token where that is asked for, and gives it the user PIN where it has none; tells each step when it is done.
///
/// # Errors
///
/// A text for the operator: the module or the token cannot be reached, several are meant, or the SO PIN was refused.
pub fn prepare(config: &Config, officer: &Officer, initialize: bool, steps: &mut Vec<Step>) -> Result<(), String> {
    let caller = reach(config)?;
    let (info, step) = match (found(&caller, config)?, initialize) {
        (Some(info), _) if info.flags & CKF_TOKEN_INITIALIZED != 0 => {
            let note = "the token is initialised; what is on it stays";
            (info, Step::new("initialise", Outcome::Already, note))
        }
        (_, false) => {
            return Err("no initialised token fits token_serial, token_label or slot_id; say --init to initialise one"
                .to_owned());
        }
        (candidate, true) => initialized(&caller, config, candidate, officer)?,
    };
    steps.push(step);
    steps.push(user_pin(&caller, config, &info, officer)?);
    Ok(())
}

/// Has the officer trust the group's wrapping key, and make it where that is asked for.
///
/// # Errors
///
/// As [`prepare`].
pub fn trust(config: &Config, officer: &Officer, key: GroupKey) -> Result<Step, String> {
    const STEP: &str = "trusted wrapping key";
    if key == GroupKey::None {
        return Ok(Step::new(
            STEP,
            Outcome::Skipped,
            "the token is in no replicated group: no wrapping key stays on it",
        ));
    }
    let caller = reach(config)?;
    let info = found(&caller, config)?.ok_or_else(|| "no token fits the configuration".to_owned())?;
    let mut session = log_in(&caller, &info, officer)?;
    let step = match trusted(&mut session, key) {
        Ok((outcome, note)) => Step::new(STEP, outcome, note),
        Err(fault) => {
            Step::new(STEP, Outcome::Refused, format!("the token does not let the SO do it: {}", said(&fault)))
        }
    };
    session.logout().map_err(|fault| said(&fault))?;
    Ok(step)
}

/// Whether the token is there, initialised, and has a user PIN.
///
/// # Errors
///
/// As [`prepare`].
pub fn is_usable(config: &Config) -> Result<bool, String> {
    const READY: CK_FLAGS = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED;
    Ok(found(&*reach(config)?, config)?.is_some_and(|info| info.flags & READY == READY))
}

/// Whether the token shows a group's wrapping key to who has not logged in, as one does that an officer made; `None` when it is
/// not there. Where the module shows a token that is not initialised, it is that one.
///
/// # Errors
///
/// As [`prepare`].
pub fn shows_group_key(config: &Config) -> Result<Option<bool>, String> {
    let caller = reach(config)?;
    let Some(info) = found(&caller, config)? else {
        let is_blank = tokens(&caller)?.iter().any(|info| info.flags & CKF_TOKEN_INITIALIZED == 0);
        return Ok(is_blank.then_some(false));
    };
    let mut session = caller.open(info.slot).map_err(|fault| said(&fault))?;
    Ok(Some(!wrapping_key(&mut session, &system_name(GROUP_KEY)).map_err(|fault| said(&fault))?.is_empty()))
}

fn reach(config: &Config) -> Result<Arc<Caller>, String> {
    let module = Module::load(&config.module, config.reserved.as_deref(), Start::Must)?;
    Ok(Arc::new(Caller::new(module, TokenId(config.name.clone()), Arc::new(Unobserved))))
}

fn tokens(caller: &Caller) -> Result<Vec<TokenInfo>, String> {
    let slots = caller.slots().map_err(|fault| said(&fault))?;
    // One broken slot does not hide the others.
    Ok(slots.into_iter().filter_map(|slot| caller.token_info(slot).ok()).collect())
}

/// The token that is meant, if it is there.
fn found(caller: &Caller, config: &Config) -> Result<Option<TokenInfo>, String> {
    let mut fitting = tokens(caller)?.into_iter().filter(|info| token::fits(config, info));
    match (fitting.next(), fitting.next()) {
        (Some(_), Some(_)) => Err("several tokens fit alike; name the one that is meant by `token_serial`".to_owned()),
        (info, _) => Ok(info),
    }
}

/// Initialises the token that is meant, or the only one that has not been.
fn initialized(
    caller: &Caller,
    config: &Config,
    candidate: Option<TokenInfo>,
    officer: &Officer,
) -> Result<(TokenInfo, Step), String> {
    let fits = |info: &TokenInfo| {
        let serial = config.token_serial.as_ref().is_none_or(|serial| serial.trim().as_bytes() == info.serial);
        info.flags & CKF_TOKEN_INITIALIZED == 0 && serial && config.slot_id.is_none_or(|slot| slot == info.slot)
    };
    let blank = match candidate {
        Some(info) => info,
        None => {
            let mut blank = tokens(caller)?.into_iter().filter(fits);
            match (blank.next(), blank.next()) {
                (Some(info), None) => info,
                (None, _) => return Err("the module shows no token that is not initialised yet".to_owned()),
                (Some(_), Some(_)) => {
                    return Err("several tokens are not initialised yet; choose one by `slot_id`".to_owned());
                }
            }
        }
    };
    let text = config.token_label.as_ref().unwrap_or(&config.name);
    let mut label = [b' '; 32];
    let bytes = text.trim_end().as_bytes();
    let place = label.get_mut(..bytes.len()).ok_or_else(|| format!("the label {text:?} is longer than 32 bytes"))?;
    place.copy_from_slice(bytes);
    may_try(&blank, officer)?;
    #[expect(clippy::disallowed_methods, reason = "C_InitToken takes the SO PIN")]
    caller.init_token(blank.slot, officer.pin.expose_secret(), label).map_err(|fault| officer_refused(&fault))?;
    // Some modules move an initialised token to another slot.
    let named = |info: &TokenInfo| match token::fits(config, info) {
        true => true,
        false => config.token_label.is_none() && info.label == bytes,
    };
    let info = tokens(caller)?.into_iter().find(|info| info.flags & CKF_TOKEN_INITIALIZED != 0 && named(info));
    let info = info.ok_or_else(|| {
        format!("the token was initialised as {text:?}, but the configuration does not find it: correct token_serial or slot_id")
    })?;
    let serial = String::from_utf8_lossy(&info.serial).into_owned();
    let note = format!("label {text:?}, serial {serial:?}, slot {}", info.slot);
    Ok((info, Step::new("initialise", Outcome::Done, note)))
}

fn user_pin(caller: &Arc<Caller>, config: &Config, info: &TokenInfo, officer: &Officer) -> Result<Step, String> {
    const STEP: &str = "user PIN";
    if info.flags & CKF_USER_PIN_INITIALIZED != 0 {
        return Ok(Step::new(STEP, Outcome::Already, "it is set, and stays as it is"));
    }
    let pin = (config.pin)().map_err(|why| format!("the user PIN cannot be read: {why}"))?;
    let session = log_in(caller, info, officer)?;
    #[expect(clippy::disallowed_methods, reason = "C_InitPIN takes the PIN")]
    let answer = session.init_pin(pin.expose_secret());
    session.logout().map_err(|fault| said(&fault))?;
    match answer {
        Ok(()) => Ok(Step::new(STEP, Outcome::Done, "it is the one that the configuration refers to")),
        Err(fault) => Ok(Step::new(STEP, Outcome::Refused, format!("the token does not take it: {}", said(&fault)))),
    }
}

/// Whether the officer's PIN may be tried: never when the next refusal would lock it, and after a refusal, whoever tried and
/// whichever PIN it was, only by the operator's word.
fn may_try(info: &TokenInfo, officer: &Officer) -> Result<(), String> {
    // SoftHSM2 says this of tokens that have no PINs yet.
    if info.flags & CKF_SO_PIN_LOCKED != 0 && info.flags & CKF_TOKEN_INITIALIZED != 0 {
        return Err("the SO PIN is locked; the vendor's tools say what can be done".to_owned());
    }
    if info.flags & CKF_SO_PIN_FINAL_TRY != 0 {
        return Err("one try is left before the SO PIN locks; log in once with the vendor's tools".to_owned());
    }
    if info.flags & CKF_SO_PIN_COUNT_LOW != 0 && !officer.may_retry {
        return Err(
            "an SO PIN was refused since the officer's last log-in, and none is tried now; check it, then say \
                    --retry-refused-pin"
                .to_owned(),
        );
    }
    Ok(())
}

/// A session in which the officer is logged in.
fn log_in(caller: &Arc<Caller>, info: &TokenInfo, officer: &Officer) -> Result<Session, String> {
    let info = caller.token_info(info.slot).map_err(|fault| said(&fault))?;
    may_try(&info, officer)?;
    let session = caller.open(info.slot).map_err(|fault| said(&fault))?;
    let asks_at_device = info.flags & CKF_PROTECTED_AUTHENTICATION_PATH != 0;
    #[expect(clippy::disallowed_methods, reason = "C_Login takes the SO PIN")]
    let pin = (!asks_at_device).then(|| officer.pin.expose_secret());
    session.login_officer(pin).map_err(|fault| officer_refused(&fault))?;
    Ok(session)
}

fn wrapping_key(session: &mut Session, name: &Name) -> Result<Vec<Handle>, Fault> {
    session.find(&[Attribute::number(CKA_CLASS, CKO_SECRET_KEY), Attribute::bytes(CKA_ID, name.id.0)], 2)
}

fn trusted(session: &mut Session, key: GroupKey) -> Result<(Outcome, String), Fault> {
    let name = system_name(GROUP_KEY);
    let found = wrapping_key(session, &name)?;
    let handle = match (found.as_slice(), key) {
        ([handle], _) => *handle,
        ([], GroupKey::Make) => {
            let usage = UsageMask::WRAP.with(UsageMask::UNWRAP);
            let mut template = template::named(template::key(Class::Secret, Life::Token, usage, true), &name);
            template.retain(|attribute| attribute.kind() != CKA_PRIVATE);
            template.extend([
                // The officer sees no private objects.
                Attribute::flag(CKA_PRIVATE, false),
                Attribute::flag(CKA_TRUSTED, true),
                Attribute::number(CKA_KEY_TYPE, CKK_AES),
                Attribute::number(CKA_VALUE_LEN, 32),
            ]);
            let made = session.generate(&Mechanism::plain(CKM_AES_KEY_GEN), &template)?;
            let is_trusted = session.flags(made, [CKA_TRUSTED, CKA_SENSITIVE]);
            if let Ok([true, true]) = is_trusted {
                return Ok((Outcome::Done, "it was made, and is trusted".to_owned()));
            }
            session.destroy(made)?;
            is_trusted?;
            return Ok((Outcome::Refused, "the token made it and did not trust it; it was destroyed again".to_owned()));
        }
        ([], _) => {
            let note =
                "the token shows the SO no wrapping key of the group: it is not made yet, or private to the user";
            return Ok((Outcome::Refused, note.to_owned()));
        }
        _ => return Ok((Outcome::Refused, "two wrapping keys of the group stand on the token".to_owned())),
    };
    if session.flags(handle, [CKA_TRUSTED, CKA_SENSITIVE])? == [true, true] {
        return Ok((Outcome::Already, "it is trusted".to_owned()));
    }
    session.set(handle, &[Attribute::flag(CKA_TRUSTED, true)])?;
    match session.flags(handle, [CKA_TRUSTED, CKA_SENSITIVE])? {
        [true, _] => Ok((Outcome::Done, "it is trusted from now on".to_owned())),
        _ => Ok((Outcome::Refused, "the token took the attribute and does not show it".to_owned())),
    }
}

fn officer_refused(fault: &Fault) -> String {
    if error::refuses_pin(fault.rv) {
        format!("the SO PIN was refused ({}) and is not tried again", said(fault))
    } else {
        said(fault)
    }
}

fn said(fault: &Fault) -> String {
    format!("{} answered 0x{:08X}", fault.function, fault.rv)
}
