//! The token that a fault puts into the slot of another module's token.
//!
//! The other module has no second token to give, so this process answers in its place: the real one is hidden and safe, and
//! what stands there is empty, has PINs that nobody knows or none, and keeps nothing. `release` ends it.

use cryptoki_sys::*;

use super::{Forward, Target};
use crate::{core::names::Function, fault::Replacement, store::page};

use super::faults::Seen;

/// What stands in a slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct StandIn {
    kind: Replacement,
    /// In place of the real one's.
    serial: u64,
    /// How often `release` had been said when it came.
    releases: u64,
}

impl StandIn {
    /// What the stand-in answers to a call; `None` for what has nothing to do with what is on a token.
    const fn answer(self, function: Function, is_on_object: bool) -> Option<CK_RV> {
        let nobody = match self.kind {
            Replacement::Blank => CKR_USER_PIN_NOT_INITIALIZED,
            Replacement::OtherSerial => CKR_PIN_INCORRECT,
        };
        Some(match function {
            Function::Login | Function::LoginUser => nobody,
            Function::Logout | Function::InitPIN => CKR_USER_NOT_LOGGED_IN,
            Function::SetPIN => CKR_PIN_INCORRECT,
            Function::InitToken | Function::CreateObject | Function::GenerateKey | Function::GenerateKeyPair => {
                CKR_TOKEN_WRITE_PROTECTED
            }
            Function::GetAttributeValue
            | Function::SetAttributeValue
            | Function::DestroyObject
            | Function::CopyObject
            | Function::GetObjectSize => CKR_OBJECT_HANDLE_INVALID,
            _ if is_on_object => CKR_KEY_HANDLE_INVALID,
            _ => return None,
        })
    }

    fn describe(self, info: &mut CK_TOKEN_INFO) {
        const STATE: CK_FLAGS = CKF_TOKEN_INITIALIZED
            | CKF_USER_PIN_INITIALIZED
            | CKF_USER_PIN_COUNT_LOW
            | CKF_USER_PIN_FINAL_TRY
            | CKF_USER_PIN_LOCKED
            | CKF_SO_PIN_COUNT_LOW
            | CKF_SO_PIN_FINAL_TRY
            | CKF_SO_PIN_LOCKED;
        let digits = format!("{:016x}", self.serial);
        info.serialNumber.iter_mut().zip(digits.bytes()).for_each(|(place, digit)| *place = digit);
        if self.kind == Replacement::Blank {
            info.label = [b' '; 32];
            info.flags &= !STATE;
        }
    }
}

impl Forward {
    fn releases(&self) -> u64 {
        self.store.page().load(page::RELEASES)
    }

    /// Puts another token into a slot.
    pub(super) fn stand_in(&self, slot: CK_SLOT_ID, kind: Replacement, serial: u64) {
        self.standing.lock().insert(slot, StandIn { kind, serial, releases: self.releases() });
    }

    /// Takes back what was released. The sessions on it go, as when a token is exchanged.
    pub(super) fn put_back(&self, target: &Target) {
        let releases = self.releases();
        self.standing.lock().retain(|slot, stand_in| {
            if stand_in.releases != releases
                && let Some(close) = target.list.C_CloseAllSessions
            {
                // SAFETY: a function of numbers only.
                let _closed = unsafe { close(*slot) };
            }
            stand_in.releases == releases
        });
    }

    /// What a stand-in in the slot answers in the other module's place.
    pub(super) fn answer_in_place(&self, slot: Option<CK_SLOT_ID>, seen: &Seen) -> Option<CK_RV> {
        let stand_in = *self.standing.lock().get(&slot?)?;
        stand_in.answer(seen.function, seen.object.is_some())
    }

    /// Whether what a slot's token holds is not to be seen.
    pub(super) fn hides(&self, slot: Option<CK_SLOT_ID>) -> bool {
        slot.is_some_and(|slot| self.standing.lock().contains_key(&slot))
    }

    /// Makes the information about a token that of the one that stands in for it.
    pub(super) fn describe_in_place(&self, slot: CK_SLOT_ID, info: &mut CK_TOKEN_INFO) {
        if let Some(stand_in) = self.standing.lock().get(&slot) {
            stand_in.describe(info);
        }
    }
}
