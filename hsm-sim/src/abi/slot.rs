//! Slot and token management (PKCS#11 3.1 §5.5).

use std::ops::Deref;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{Entry, call, pointer, session_call};
use crate::{
    core::{
        library::Library,
        names::Function,
        rv::{Result, Rv},
    },
    crypto, fault,
    store::{PinState, Role, TokenMeta},
};

/// The module's version, numbered after the standard it follows: some programs take a lower one for an old SoftHSM.
pub(super) const VERSION: CK_VERSION = CK_VERSION { major: 3, minor: 2 };

/// # Safety
///
/// `count` is null or points to a `CK_ULONG`; `slots` is null or points to that many writable slot ids.
pub(super) unsafe extern "C" fn C_GetSlotList(
    with_token: CK_BBOOL,
    slots: *mut CK_SLOT_ID,
    count: *mut CK_ULONG,
) -> CK_RV {
    call(Entry::new(Function::GetSlotList), |library| {
        if slots.is_null() {
            // The list may only change when its length is asked for (PKCS#11 3.1 §5.5.1).
            library.refresh_slots()?;
        }
        // SAFETY: as the caller promises.
        unsafe { pointer::put_list(slots, count, &library.slot_ids(with_token != CK_FALSE)) }
    })
}

/// # Safety
///
/// `info` is null or points to writable memory for a `CK_SLOT_INFO`.
pub(super) unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) -> CK_RV {
    call(Entry::slot(Function::GetSlotInfo, slot), |library| {
        let is_present = library.slot(slot)?;
        let removable = if library.has_removable_tokens() { CKF_REMOVABLE_DEVICE } else { 0 };
        let value = CK_SLOT_INFO {
            slotDescription: pointer::padded("hsm-sim simulated slot"),
            manufacturerID: pointer::padded(library.config.model().names.device),
            flags: removable | if is_present { CKF_TOKEN_PRESENT } else { 0 },
            hardwareVersion: VERSION,
            firmwareVersion: VERSION,
        };
        // SAFETY: as the caller promises.
        unsafe { pointer::put(info, value) }
    })
}

/// # Safety
///
/// `info` is null or points to writable memory for a `CK_TOKEN_INFO`.
pub(super) unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    call(Entry::slot(Function::GetTokenInfo, slot), |library| {
        let token = library.token(slot)?;
        let meta = token.store.meta()?;
        let (sessions, read_only) = token.session_counts();
        let limits = &library.config.limits;
        let mut value = CK_TOKEN_INFO {
            label: pointer::padded(&meta.label),
            manufacturerID: pointer::padded(library.config.model().names.device),
            model: pointer::padded(&library.config.profile.token_model()),
            serialNumber: pointer::padded(token.store.serial()),
            flags: token_flags(&meta) | pad_flag(library),
            // Zero is CK_EFFECTIVELY_INFINITE, and no limit in the options.
            ulMaxSessionCount: limits.max_sessions.into(),
            ulSessionCount: sessions.into(),
            ulMaxRwSessionCount: limits.max_rw_sessions.into(),
            ulRwSessionCount: sessions.saturating_sub(read_only).into(),
            ulMaxPinLen: library.config.max_pin as CK_ULONG,
            ulMinPinLen: library.config.min_pin as CK_ULONG,
            ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
            hardwareVersion: VERSION,
            firmwareVersion: VERSION,
            utcTime: [b' '; 16],
        };
        fault::token_info(&mut value);
        // SAFETY: as the caller promises.
        unsafe { pointer::put(info, value) }
    })
}

fn pad_flag(library: &Library) -> CK_FLAGS {
    if library.config.pinpad.is_some() { CKF_PROTECTED_AUTHENTICATION_PATH } else { 0 }
}

fn token_flags(meta: &TokenMeta) -> CK_FLAGS {
    let mut flags = CKF_RNG | CKF_LOGIN_REQUIRED;
    if meta.is_initialised {
        flags |= CKF_TOKEN_INITIALIZED;
    }
    if let Some(user) = meta.user {
        flags |= CKF_USER_PIN_INITIALIZED;
        flags |= pin_flags(user, [CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED]);
    }
    if let Some(so) = meta.so {
        flags |= pin_flags(so, [CKF_SO_PIN_COUNT_LOW, CKF_SO_PIN_FINAL_TRY, CKF_SO_PIN_LOCKED]);
    }
    flags
}

fn pin_flags(pin: PinState, [low, last, locked]: [CK_FLAGS; 3]) -> CK_FLAGS {
    match pin.left {
        0 => locked,
        1 => low | last,
        left if left < pin.max => low,
        _ => 0,
    }
}

/// # Safety
///
/// `count` is null or points to a `CK_ULONG`; `list` is null or points to that many writable mechanism types.
pub(super) unsafe extern "C" fn C_GetMechanismList(
    slot: CK_SLOT_ID,
    list: *mut CK_MECHANISM_TYPE,
    count: *mut CK_ULONG,
) -> CK_RV {
    call(Entry::slot(Function::GetMechanismList, slot), |library| {
        library.token(slot)?;
        let offered = crypto::mechanisms().iter().filter(|info| library.config.flags(info) != 0);
        let mechanisms: Vec<_> = offered.map(|info| info.mechanism).collect();
        // SAFETY: as the caller promises.
        unsafe { pointer::put_list(list, count, &mechanisms) }
    })
}

/// # Safety
///
/// `info` is null or points to writable memory for a `CK_MECHANISM_INFO`.
pub(super) unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    mechanism: CK_MECHANISM_TYPE,
    info: *mut CK_MECHANISM_INFO,
) -> CK_RV {
    let entry = Entry { mechanism: Some(mechanism), ..Entry::slot(Function::GetMechanismInfo, slot) };
    call(entry, |library| {
        library.token(slot)?;
        let known = crypto::mechanism(mechanism).ok_or(Rv(CKR_MECHANISM_INVALID))?;
        let flags = library.config.flags(known);
        if flags == 0 {
            return Err(Rv(CKR_MECHANISM_INVALID));
        }
        let min = library.config.size_min(known);
        let value = CK_MECHANISM_INFO { ulMinKeySize: min, ulMaxKeySize: known.max, flags };
        // SAFETY: as the caller promises.
        unsafe { pointer::put(info, value) }
    })
}

/// # Safety
///
/// `pin` is null or readable for its length; `label` is null or points to 32 bytes.
pub(super) unsafe extern "C" fn C_InitToken(
    slot: CK_SLOT_ID,
    pin: *mut CK_UTF8CHAR,
    pin_length: CK_ULONG,
    label: *mut CK_UTF8CHAR,
) -> CK_RV {
    call(Entry::slot(Function::InitToken, slot), |library| {
        // SAFETY: as the caller promises.
        let pin = unsafe { pin_bytes(library, CKU_SO, pin, pin_length) }?;
        pointer::check(label)?;
        // SAFETY: not null, and 32 bytes long as the caller promises.
        let label = unsafe { pointer::bytes(label, 32) }?;
        // Blank-padded by the standard; some callers send a C string, and what follows its end is not theirs.
        let label = label.split(|byte| *byte == 0).next().unwrap_or_default();
        let label = str::from_utf8(label).map_err(|_not_text| Rv(CKR_ARGUMENTS_BAD))?;
        library.init_token(slot, &pin, label.trim_end_matches(' '))
    })
}

/// A PIN of the caller, or from the PIN pad.
pub(super) enum Pin<'a> {
    Given(&'a [u8]),
    Entered(Zeroizing<Vec<u8>>),
}

impl Deref for Pin<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Given(pin) => pin,
            Self::Entered(pin) => pin,
        }
    }
}

/// A PIN; a null one means a protected authentication path, and is bad where the device has none.
///
/// # Safety
///
/// As [`pointer::bytes`].
pub(super) unsafe fn pin_bytes<'a>(
    library: &Library,
    user: CK_USER_TYPE,
    pin: *const CK_UTF8CHAR,
    length: CK_ULONG,
) -> Result<Pin<'a>> {
    if pin.is_null() {
        return library.entered_pin(user).map(Pin::Entered);
    }
    // SAFETY: as the caller promises.
    unsafe { pointer::bytes(pin, length) }.map(Pin::Given)
}

/// # Safety
///
/// `pin` is null or readable for its length.
pub(super) unsafe extern "C" fn C_InitPIN(
    session: CK_SESSION_HANDLE,
    pin: *mut CK_UTF8CHAR,
    pin_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::InitPIN, session, |library, session| {
        // SAFETY: as the caller promises.
        library.init_pin(session, &unsafe { pin_bytes(library, CKU_USER, pin, pin_length) }?)
    })
}

/// # Safety
///
/// Both PINs are null or readable for their lengths.
pub(super) unsafe extern "C" fn C_SetPIN(
    session: CK_SESSION_HANDLE,
    old: *mut CK_UTF8CHAR,
    old_length: CK_ULONG,
    new: *mut CK_UTF8CHAR,
    new_length: CK_ULONG,
) -> CK_RV {
    session_call(Function::SetPIN, session, |library, session| {
        // A new PIN at the pad would need somebody to think of one.
        pointer::check(new)?;
        let user = if session.token().role() == Some(Role::So) { CKU_SO } else { CKU_USER };
        // SAFETY: as the caller promises.
        let (old, new) = unsafe { (pin_bytes(library, user, old, old_length)?, pointer::bytes(new, new_length)?) };
        library.set_pin(session, &old, new)
    })
}
