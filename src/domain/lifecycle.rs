//! The lifecycle of a managed object: stored events and dates, and the state they mean at a given time.
//!
//! State is never stored. It follows from the dates by the clock, so an activation date that passes activates an object
//! without a request (KMIP 2.1 §4.57, Figure 1). [`TRANSITIONS`] is the table of what a request may do.

use serde::{Deserialize, Serialize};

use super::{error::IllegalTransition, time::Timestamp};

/// KMIP *State* (KMIP 2.1 §4.57).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Exists, may not be used for cryptography yet.
    PreActive,
    /// May be used.
    Active,
    /// May only process what was protected before.
    Deactivated,
    /// As deactivated, and not trusted any more.
    Compromised,
    /// The value is gone.
    Destroyed,
    /// The value is gone and was compromised.
    DestroyedCompromised,
}

impl State {
    /// Every state, in the order of the standard.
    pub const ALL: [Self; 6] = [
        Self::PreActive,
        Self::Active,
        Self::Deactivated,
        Self::Compromised,
        Self::Destroyed,
        Self::DestroyedCompromised,
    ];

    /// KMIP's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::PreActive => 1,
            Self::Active => 2,
            Self::Deactivated => 3,
            Self::Compromised => 4,
            Self::Destroyed => 5,
            Self::DestroyedCompromised => 6,
        }
    }

    /// From KMIP's number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// The standard's words, also the label of a metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreActive => "pre-active",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
            Self::DestroyedCompromised => "destroyed-compromised",
        }
    }

    /// Whether the value has been destroyed.
    #[must_use]
    pub const fn is_destroyed(self) -> bool {
        matches!(self, Self::Destroyed | Self::DestroyedCompromised)
    }
}

/// What moves an object from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Activate, or the activation date.
    Activate,
    /// Revoke for any reason that is no compromise, or the deactivation date.
    Deactivate,
    /// Revoke because of a compromise.
    Compromise,
    /// Destroy.
    Destroy,
}

impl Trigger {
    /// Every trigger.
    pub const ALL: [Self; 4] = [Self::Activate, Self::Deactivate, Self::Compromise, Self::Destroy];
}

/// The numbered transitions of KMIP 2.1 §4.57, Figure 1; number 1 is creation.
pub const TRANSITIONS: &[(State, Trigger, State)] = &[
    (State::PreActive, Trigger::Destroy, State::Destroyed),      //  2
    (State::PreActive, Trigger::Compromise, State::Compromised), //  3
    (State::PreActive, Trigger::Activate, State::Active),        //  4
    (State::Active, Trigger::Compromise, State::Compromised),    //  5
    (State::Active, Trigger::Deactivate, State::Deactivated),    //  6
    (State::Deactivated, Trigger::Destroy, State::Destroyed),    //  7
    (State::Deactivated, Trigger::Compromise, State::Compromised), //  8
    (State::Compromised, Trigger::Destroy, State::DestroyedCompromised), //  9
    (State::Destroyed, Trigger::Compromise, State::DestroyedCompromised), // 10
    // Not in the figure, but asked for by the operations: revoking again changes nothing.
    (State::Deactivated, Trigger::Deactivate, State::Deactivated),
    (State::Compromised, Trigger::Deactivate, State::Compromised),
    (State::Compromised, Trigger::Compromise, State::Compromised),
    (State::DestroyedCompromised, Trigger::Compromise, State::DestroyedCompromised),
];

/// Why an object was revoked (KMIP 2.1 §4.52).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationReason {
    /// KMIP's *Revocation Reason Code*.
    pub code: u32,
    /// Free text of the client.
    pub message: Option<String>,
}

impl RevocationReason {
    /// Key Compromise.
    pub const KEY_COMPROMISE: u32 = 2;
    /// CA Compromise.
    pub const CA_COMPROMISE: u32 = 3;

    /// Whether the reason means that the value may be known to others.
    #[must_use]
    pub const fn is_compromise(&self) -> bool {
        matches!(self.code, Self::KEY_COMPROMISE | Self::CA_COMPROMISE)
    }
}

/// Every date and event of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Initial Date: when the server got to know the object.
    pub initial: Timestamp,
    /// Original Creation Date, if known.
    pub original_creation: Option<Timestamp>,
    /// Activation Date.
    pub activation: Option<Timestamp>,
    /// Process Start Date.
    pub process_start: Option<Timestamp>,
    /// Protect Stop Date.
    pub protect_stop: Option<Timestamp>,
    /// Deactivation Date.
    pub deactivation: Option<Timestamp>,
    /// Compromise Occurrence Date, as the client gave it.
    pub compromise_occurrence: Option<Timestamp>,
    /// Compromise Date: when the server was told.
    pub compromise: Option<Timestamp>,
    /// Destroy Date.
    pub destroy: Option<Timestamp>,
    /// Archive Date.
    pub archive: Option<Timestamp>,
    /// Last Change Date.
    pub last_change: Timestamp,
    /// Why it was revoked.
    pub revocation: Option<RevocationReason>,
}

impl Lifecycle {
    /// An object that appears now and has no other dates.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            initial: now,
            original_creation: None,
            activation: None,
            process_start: None,
            protect_stop: None,
            deactivation: None,
            compromise_occurrence: None,
            compromise: None,
            destroy: None,
            archive: None,
            last_change: now,
            revocation: None,
        }
    }

    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        let reached = |date: Option<Timestamp>| date.is_some_and(|date| date <= now);
        match (self.destroy.is_some(), self.compromise.is_some()) {
            (true, true) => State::DestroyedCompromised,
            (true, false) => State::Destroyed,
            (false, true) => State::Compromised,
            (false, false) if reached(self.deactivation) => State::Deactivated,
            (false, false) if reached(self.activation) => State::Active,
            (false, false) => State::PreActive,
        }
    }

    /// Moves the object by `trigger`, or says why that is not possible. Changes nothing on refusal.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when [`TRANSITIONS`] has no row for the state at `now`.
    pub fn apply(&mut self, trigger: Trigger, now: Timestamp) -> Result<State, IllegalTransition> {
        let from = self.state(now);
        let to = TRANSITIONS
            .iter()
            .find(|(state, by, _)| *state == from && *by == trigger)
            .map(|(_, _, to)| *to)
            .ok_or(IllegalTransition { from, trigger })?;
        match trigger {
            Trigger::Activate => self.activation = Some(now.to_seconds()),
            Trigger::Deactivate if from == State::Active => self.deactivation = Some(now.to_seconds()),
            Trigger::Deactivate => {}
            Trigger::Compromise => self.compromise = Some(self.compromise.unwrap_or_else(|| now.to_seconds())),
            Trigger::Destroy => self.destroy = Some(now.to_seconds()),
        }
        self.last_change = now;
        Ok(to)
    }

    /// Ends the object whatever its state, because its value is gone: an active one is deactivated and destroyed in one step.
    pub fn end(&mut self, now: Timestamp) {
        if self.apply(Trigger::Destroy, now).is_err() {
            self.deactivation = self.deactivation.filter(|date| *date <= now).or_else(|| Some(now.to_seconds()));
            self.destroy = Some(self.destroy.unwrap_or_else(|| now.to_seconds()));
            self.last_change = now;
        }
    }

    /// Whether the dates stand in their required order: process start and protect stop between activation and
    /// deactivation. Between the two themselves there is no order: CS-BC-M-14 stops protecting before it starts to process.
    #[must_use]
    pub fn dates_in_order(&self) -> bool {
        let fits = |date| [self.activation, date, self.deactivation].into_iter().flatten().is_sorted();
        fits(self.process_start) && fits(self.protect_stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn in_state(state: State) -> Lifecycle {
        let mut life = Lifecycle::new(Timestamp::from_seconds(1));
        let past = Some(Timestamp::from_seconds(10));
        match state {
            State::PreActive => {}
            State::Active => life.activation = past,
            State::Deactivated => (life.activation, life.deactivation) = (past, past),
            State::Compromised => life.compromise = past,
            State::Destroyed => life.destroy = past,
            State::DestroyedCompromised => (life.compromise, life.destroy) = (past, past),
        }
        life
    }

    #[test]
    fn every_pair_follows_the_table() {
        for state in State::ALL {
            for trigger in Trigger::ALL {
                let mut life = in_state(state);
                assert_eq!(life.state(NOW), state);
                let expected = TRANSITIONS.iter().find(|row| row.0 == state && row.1 == trigger).map(|row| row.2);
                let got = life.apply(trigger, NOW).ok();
                assert_eq!(got, expected, "{state:?} by {trigger:?}");
                assert_eq!(life.state(NOW), expected.unwrap_or(state), "{state:?} by {trigger:?}");
            }
        }
    }

    #[test]
    fn the_clock_activates_and_deactivates() {
        let mut life = Lifecycle::new(NOW);
        life.activation = Some(NOW.plus_seconds(10));
        life.deactivation = Some(NOW.plus_seconds(20));
        assert_eq!(life.state(NOW), State::PreActive);
        assert_eq!(life.state(NOW.plus_seconds(10)), State::Active);
        assert_eq!(life.state(NOW.plus_seconds(20)), State::Deactivated);
    }

    #[test]
    fn dates_out_of_order_are_noticed() {
        let mut life = Lifecycle::new(NOW);
        life.process_start = Some(NOW);
        life.activation = Some(NOW.plus_seconds(1));
        assert!(!life.dates_in_order());
    }
}
