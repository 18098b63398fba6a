//! What the call that runs on this thread is to suffer beyond a delay or a code: its answer is tampered with, or objects
//! are lost to it.
//!
//! The entry point sets it, the places that write output or look objects up ask for it. A thread that runs no faulty call
//! pays one thread-local load there.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use cryptoki_sys::*;

use super::{Facts, action::Selector, action::Tamper};
use crate::core::clock;

#[derive(Clone, Copy)]
struct Armed {
    tamper: Tamper,
    random: u64,
}

thread_local! {
    static ARMED: Cell<Option<Armed>> = const { Cell::new(None) };
    static APPLIED: Cell<bool> = const { Cell::new(false) };
    static IS_LOSING: Cell<bool> = const { Cell::new(false) };
    static LOST: RefCell<Option<Arc<[Selector]>>> = const { RefCell::new(None) };
}

/// Holds for one call of this thread.
pub(crate) struct Injection(());

impl Injection {
    /// Arms a tampering, with the random word it may use, and hides lost objects.
    pub(crate) fn new(tamper: Option<(Tamper, u64)>, lost: Option<Arc<[Selector]>>) -> Self {
        ARMED.set(tamper.map(|(tamper, random)| Armed { tamper, random }));
        APPLIED.set(false);
        IS_LOSING.set(lost.is_some());
        LOST.with_borrow_mut(|place| *place = lost);
        Self(())
    }

    /// Whether the tampering found something to tamper with.
    pub(crate) fn was_applied(&self) -> bool {
        APPLIED.get()
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        ARMED.set(None);
        IS_LOSING.set(false);
        LOST.with_borrow_mut(|place| *place = None);
    }
}

/// The length to tell a caller who asked how much room it needs, or was told that its room is too small.
pub(crate) fn needed(bytes: usize) -> usize {
    match ARMED.get() {
        Some(Armed { tamper: Tamper::Overestimate(more), .. }) => {
            APPLIED.set(true);
            bytes.saturating_add(more)
        }
        _ => bytes,
    }
}

/// The length to tell a caller whose output this is; the output may be spoilt.
pub(crate) fn written(output: &mut [u8]) -> usize {
    match ARMED.get() {
        Some(Armed { tamper: Tamper::FlipBit, random }) if !output.is_empty() => {
            let bits = u64::try_from(output.len()).unwrap_or(u64::MAX).saturating_mul(8);
            let bit = random % bits;
            if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|place| output.get_mut(place)) {
                *byte ^= 1 << (bit % 8);
                APPLIED.set(true);
            }
            output.len()
        }
        Some(Armed { tamper: Tamper::ShortWrite(less), .. }) if !output.is_empty() => {
            APPLIED.set(true);
            output.len().saturating_sub(less)
        }
        _ => output.len(),
    }
}

/// Whether outputs of this thread's call are to be shown to [`written`].
pub(crate) fn is_armed() -> bool {
    ARMED.get().is_some()
}

/// Whether any object is lost to this thread's call.
pub(crate) fn is_losing() -> bool {
    IS_LOSING.get()
}

/// Spoils what the token says of itself.
pub(crate) fn token_info(info: &mut CK_TOKEN_INFO) {
    match ARMED.get() {
        Some(Armed { tamper: Tamper::TokenFlags(flags), .. }) => {
            info.flags |= flags;
            APPLIED.set(true);
        }
        Some(Armed { tamper: Tamper::ClockSkew(seconds), .. }) => {
            info.flags |= CKF_CLOCK_ON_TOKEN;
            info.utcTime = clock::utc(seconds);
            APPLIED.set(true);
        }
        _ => {}
    }
}

/// Whether an object is lost to this thread's call; the facts are only asked for if any is.
pub(crate) fn is_lost(facts: impl FnOnce() -> Facts) -> bool {
    IS_LOSING.get()
        && LOST.with_borrow(|lost| {
            let Some(lost) = lost else { return false };
            let facts = facts();
            lost.iter().any(|selector| selector.is(&facts))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_injection_holds_for_one_call() {
        let mut output = [0; 4];
        {
            let call = Injection::new(Some((Tamper::FlipBit, 9)), None);
            assert_eq!(needed(7), 7);
            assert!(!call.was_applied());
            assert_eq!(written(&mut output), 4);
            assert!(call.was_applied());
        }
        assert_eq!(output, [0, 2, 0, 0]);
        assert_eq!(written(&mut output), 4);
        let _call = Injection::new(Some((Tamper::ShortWrite(1), 0)), Some([Selector::Handle(3)].into()));
        assert_eq!(written(&mut output), 3);
        assert!(is_lost(|| Facts { handle: 3, ..Facts::default() }));
        assert!(!is_lost(|| Facts { handle: 4, ..Facts::default() }));
    }
}
