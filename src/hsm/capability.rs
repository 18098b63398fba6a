//! What a token can do: its mechanism list, and what only trying tells.
//!
//! Lists lie in both directions, so a listed mechanism may still fail, and what was probed is remembered for as long as the
//! token stays.

use std::{collections::BTreeSet, sync::OnceLock};

use cryptoki_sys::CK_MECHANISM_TYPE;

use super::{home::Caller, probe::Facts, raw::Fault};

/// How a token wraps as RFC 5649 says.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyWrap {
    /// The mechanism.
    pub(super) mechanism: CK_MECHANISM_TYPE,
    /// It fills the value up to eight bytes with zeros before it wraps, so that its length has to be learnt elsewhere.
    pub(super) fills: bool,
}

/// What is known of a token since it was reached.
#[derive(Debug)]
pub(super) struct Capability {
    mechanisms: BTreeSet<CK_MECHANISM_TYPE>,
    /// The mechanism that is RFC 5649, by its answer; `None` inside when there is none.
    pub(super) kwp: OnceLock<Option<KeyWrap>>,
    /// Whether `C_CreateObject` takes keys in clear.
    pub(super) clear_import: OnceLock<bool>,
    /// Whether templates must do without attributes that some modules do not know.
    pub(super) bare_templates: OnceLock<()>,
    /// Whether Ed25519 is named by a PrintableString instead of its object identifier.
    pub(super) edwards_by_name: OnceLock<()>,
}

impl Capability {
    /// Reads the mechanism list; what was measured before is known from the start.
    pub(super) fn discover(caller: &Caller, slot: u64, facts: &Facts) -> Result<Self, Fault> {
        let unusable = |mechanism: &CK_MECHANISM_TYPE| facts.unusable.iter().any(|code| code.0 == *mechanism);
        let mechanisms: BTreeSet<_> =
            caller.mechanisms(slot)?.into_iter().filter(|mechanism| !unusable(mechanism)).collect();
        let kwp = facts.kwp.map(|kwp| {
            let listed = kwp.mechanism.filter(|mechanism| mechanisms.contains(&mechanism.0));
            listed.map(|mechanism| KeyWrap { mechanism: mechanism.0, fills: kwp.fills })
        });
        Ok(Self {
            mechanisms,
            kwp: known(kwp),
            clear_import: known(facts.clear_import),
            bare_templates: known(facts.bare_templates.filter(|bare| *bare).map(drop)),
            edwards_by_name: known(facts.edwards_by_name.filter(|by_name| *by_name).map(drop)),
        })
    }

    /// Whether the mechanism is listed.
    pub(super) fn offers(&self, mechanism: CK_MECHANISM_TYPE) -> bool {
        self.mechanisms.contains(&mechanism)
    }
}

fn known<T>(fact: Option<T>) -> OnceLock<T> {
    fact.map_or_else(OnceLock::new, OnceLock::from)
}
