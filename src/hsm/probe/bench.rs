//! Where trials happen: a session for each, so that none inherits what another has left behind.

use std::collections::BTreeSet;

use cryptoki_sys::*;

use super::{Facts, Finding, Outcome};
use crate::{
    domain::UsageMask,
    engine::ports::HsmError,
    hsm::{
        error::{After, classify},
        layout::{Attribute, Mechanism},
        pool::{Class, Seat, Shared},
        raw::{Fault, Handle},
        template::{self, Life},
    },
};

type Result<T> = std::result::Result<T, HsmError>;

/// What the trials have come to so far.
pub(super) struct Bench<'a> {
    shared: &'a Shared,
    slot: u64,
    /// The session to use where the token gives no further one.
    only: &'a mut Seat,
    codes: BTreeSet<CK_MECHANISM_TYPE>,
    /// Whether session objects are seen by the other sessions of the process.
    pub(super) shares: bool,
    lost: Option<HsmError>,
    pub(super) findings: Vec<Finding>,
    pub(super) facts: Facts,
}

/// A pair of the token's: public, private.
pub(super) type Pair = (Handle, Handle);

/// What is done with a pair; what came of it in words.
type Use = Box<dyn Fn(&mut Scratch<'_>, Pair) -> Result<String>>;

/// One use of a pair.
pub(super) struct Attempt {
    pub(super) name: String,
    pub(super) run: Use,
}

impl<'a> Bench<'a> {
    pub(super) fn new(shared: &'a Shared, slot: u64, only: &'a mut Seat, codes: BTreeSet<CK_MECHANISM_TYPE>) -> Self {
        Self { shared, slot, only, codes, shares: false, lost: None, findings: Vec::new(), facts: Facts::default() }
    }

    pub(super) fn lists(&self, mechanism: CK_MECHANISM_TYPE) -> bool {
        self.codes.contains(&mechanism)
    }

    /// A session of its own.
    pub(super) fn open(&self) -> std::result::Result<Seat, Fault> {
        Ok(Seat::new(self.shared.caller.open(self.slot)?))
    }

    /// Runs a trial on a session of its own, and destroys what it has made.
    pub(super) fn trial<T>(&mut self, run: impl FnOnce(&mut Scratch<'_>) -> Result<T>) -> Result<T> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        let answer = match self.open() {
            Ok(mut seat) => Scratch::new(&mut seat).end(run),
            Err(fault) if classify(fault.function, fault.rv).after == After::TooMany => {
                let answer = Scratch::new(self.only).end(run);
                if answer.is_err()
                    && let Err(fault) = self.only.session.cancel()
                {
                    tracing::debug!(rv = fault.rv, "C_SessionCancel");
                }
                answer
            }
            Err(fault) => Err(fault.into()),
        };
        answer.inspect_err(|error| {
            if error.rv != 0 && matches!(classify(error.function, error.rv).after, After::TokenLost | After::ModuleLost)
            {
                self.lost = Some(error.clone());
            }
        })
    }

    /// The token went away while it was tried: the report would be about that.
    pub(super) fn check(&self) -> Result<()> {
        self.lost.clone().map_or(Ok(()), Err)
    }

    pub(super) fn found(&mut self, name: impl Into<String>, outcome: Outcome, detail: impl Into<String>) {
        self.findings.push(Finding { name: name.into(), outcome, detail: detail.into() });
    }

    /// Runs a trial and notes what came of it; its text where it works.
    pub(super) fn tried(&mut self, name: &str, run: impl FnOnce(&mut Scratch<'_>) -> Result<String>) -> bool {
        let answer = self.trial(run);
        let works = answer.is_ok();
        self.note(name, answer);
        works
    }

    pub(super) fn note(&mut self, name: &str, answer: Result<String>) {
        match answer {
            Ok(detail) => self.found(name, Outcome::Yes, detail),
            Err(error) => self.found(name, Outcome::No, said(&error)),
        }
    }

    /// Makes a pair and uses it in every way. Where session objects are private to their session, all is done on one; what
    /// cannot be cleaned there after a failure ends the attempts.
    pub(super) fn with_pair(
        &mut self,
        name: &str,
        make: impl FnOnce(&mut Scratch<'_>) -> Result<(Pair, String)>,
        attempts: Vec<Attempt>,
    ) {
        if self.shares
            && let Ok(mut holder) = self.open()
        {
            let mut scratch = Scratch::new(&mut holder);
            match make(&mut scratch) {
                Err(error) => self.found(name, Outcome::No, said(&error)),
                Ok((pair, detail)) => {
                    self.found(name, Outcome::Yes, detail);
                    for Attempt { name, run } in attempts {
                        self.tried(&name, |scratch| run(scratch, pair));
                    }
                }
            }
            scratch.clear();
            return;
        }
        let mut notes = Vec::new();
        let answer = self.trial(|scratch| {
            let (pair, detail) = make(scratch)?;
            let mut is_clean = true;
            for Attempt { name, run } in attempts {
                if !is_clean {
                    notes.push((name, Outcome::Untried, "the only session was not clean any more".to_owned()));
                    continue;
                }
                match run(scratch, pair) {
                    Ok(detail) => notes.push((name, Outcome::Yes, detail)),
                    Err(error) => {
                        notes.push((name, Outcome::No, said(&error)));
                        is_clean = scratch.seat.session.cancel().is_ok();
                    }
                }
            }
            Ok(detail)
        });
        self.note(name, answer);
        for (name, outcome, detail) in notes {
            self.found(name, outcome, detail);
        }
    }
}

/// What was answered, in a line.
pub(super) fn said(error: &HsmError) -> String {
    if error.rv == 0 {
        format!("not as it should be: {}", error.function)
    } else {
        format!("{} answered 0x{:08X}", error.function, error.rv)
    }
}

/// A session and what was made in it.
pub(super) struct Scratch<'a> {
    pub(super) seat: &'a mut Seat,
    made: Vec<Handle>,
}

impl<'a> Scratch<'a> {
    pub(super) const fn new(seat: &'a mut Seat) -> Self {
        Self { seat, made: Vec::new() }
    }

    /// Runs, and clears.
    fn end<T>(mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let answer = run(&mut self);
        self.clear();
        answer
    }

    /// Destroys what was made.
    pub(super) fn clear(mut self) {
        for handle in std::mem::take(&mut self.made) {
            if let Err(fault) = self.seat.session.destroy(handle) {
                tracing::debug!(rv = fault.rv, "a session object of the probe; it ends with its session");
            }
        }
    }

    pub(super) fn keep(&mut self, handle: Handle) -> Handle {
        self.made.push(handle);
        handle
    }

    /// A secret key of the token's own making.
    pub(super) fn secret(
        &mut self,
        (generate, key_type, bytes): (CK_MECHANISM_TYPE, CK_KEY_TYPE, Option<CK_ULONG>),
        usage: UsageMask,
        extractable: bool,
        more: &[Attribute],
    ) -> Result<Handle> {
        let mut template = template::key(Class::Secret, Life::Session, usage, extractable);
        template.push(Attribute::number(CKA_KEY_TYPE, key_type));
        template.extend(bytes.map(|bytes| Attribute::number(CKA_VALUE_LEN, bytes)));
        template.extend_from_slice(more);
        let handle = self.seat.session.generate(&Mechanism::plain(generate), &template)?;
        Ok(self.keep(handle))
    }

    /// An AES-256 key.
    pub(super) fn aes(&mut self, usage: UsageMask, extractable: bool) -> Result<Handle> {
        self.secret((CKM_AES_KEY_GEN, CKK_AES, Some(32)), usage, extractable, &[])
    }

    /// A pair of the token's own making.
    pub(super) fn pair(
        &mut self,
        mechanism: CK_MECHANISM_TYPE,
        parameters: &[Attribute],
        (public, private): (UsageMask, UsageMask),
    ) -> Result<Pair> {
        let mut public = template::key(Class::Public, Life::Session, public, false);
        public.extend_from_slice(parameters);
        let private = template::key(Class::Private, Life::Session, private, false);
        let (public, private) = self.seat.session.generate_pair(&Mechanism::plain(mechanism), &public, &private)?;
        Ok((self.keep(public), self.keep(private)))
    }
}
