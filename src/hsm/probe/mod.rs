//! What a token really does: its lists, limits and answers, tried out on a session of its own.
//!
//! Lists lie in both directions, so everything that can be tried with session objects is tried (contract §6). Trials make
//! nothing but session objects, destroy them and end with their session; they touch no object that stands on the token, and
//! they use the log-in that is there: no PIN is tried for them. A [`Report`] is for people, a [`Profile`] for the next start.

mod abilities;
mod bench;
mod keys;
mod profile;
mod trials;

use std::time::{Duration, Instant};

use cryptoki_sys::*;
use serde::{Deserialize, Serialize};

use self::bench::Bench;
pub(super) use self::profile::overlaid;
pub use self::profile::{Code, Facts, Kwp, Of, Profile};
use super::{pool::Seat, quirks, request::Turn, template, work::Tray};
use crate::{
    domain::UsageMask,
    engine::ports::{HsmAnswer, HsmError},
};

/// What the probe of one token found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The configured name.
    pub token: String,
    /// What module and token say of themselves, as name and value.
    pub identity: Vec<(String, String)>,
    /// Sessions, PINs and memory, as name and value.
    pub limits: Vec<(String, String)>,
    /// Every mechanism that the token lists.
    pub mechanisms: Vec<Listed>,
    /// What the gateway can do with it, and by what.
    pub abilities: Vec<Ability>,
    /// What was tried.
    pub findings: Vec<Finding>,
    /// How long short calls take.
    pub round_trips: Vec<RoundTrip>,
    /// The quirks that hold: name, value, and where it comes from.
    pub quirks: Vec<(String, String, String)>,
    /// What the configuration can name.
    pub profile: Profile,
}

/// A mechanism of the token's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What the gateway does with it.
    pub group: String,
    /// `CKM_…`, or its number.
    pub name: String,
    /// Its number.
    pub code: u64,
    /// Smallest key, in the mechanism's own unit.
    pub min: u64,
    /// Largest key.
    pub max: u64,
    /// What it does, by the token's word.
    pub flags: Vec<String>,
}

/// Something a client may ask for, and what makes it here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ability {
    /// The kind of request.
    pub group: String,
    /// What is asked for.
    pub name: String,
    /// The mechanism, with what the gateway adds to it; `None`: not supported.
    pub by: Option<String>,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It works.
    Yes,
    /// It does not.
    No,
    /// It could not be tried.
    Untried,
}

/// One trial.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What was tried.
    pub name: String,
    /// Whether it works.
    pub outcome: Outcome,
    /// What came of it.
    pub detail: String,
}

/// How long a call takes, queue and network included.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoundTrip {
    /// The call.
    pub call: String,
    /// How often it was made.
    pub rounds: usize,
    /// Half were faster, in microseconds.
    pub p50: u64,
    /// One in a hundred was slower, in microseconds.
    pub p99: u64,
}

impl Turn<'_> {
    /// Tries everything and lays the report down.
    pub(super) fn probe(&mut self, tray: &Tray<Report>) -> Result<HsmAnswer, HsmError> {
        let listed = self.listed()?;
        let description =
            format!("{} {} {}", self.shared.module.description(), self.link.info.manufacturer, self.link.info.model);
        let usual = quirks::find(&description);
        let codes = listed.iter().map(|listed| listed.code).collect();
        let mut bench = Bench::new(self.shared, self.link.info.slot, self.seat, codes);
        trials::run(&mut bench)?;
        let Bench { findings, facts, .. } = bench;
        let round_trips = self.round_trips();
        let info = &self.link.info;
        let of = Of {
            manufacturer: info.manufacturer.clone(),
            model: info.model.clone(),
            firmware: info.firmware.clone(),
            library: self.shared.module.library(),
        };
        let report = Report {
            token: self.shared.id.0.clone(),
            identity: self.identity(&of),
            limits: self.limits(usual.workers),
            abilities: abilities::table(&listed, &facts.unusable),
            mechanisms: listed,
            findings,
            round_trips,
            quirks: profile::quirks(usual, &facts, self.link.profiled),
            profile: Profile { token: of, facts },
        };
        tray.lock().push(report);
        Ok(HsmAnswer::Done)
    }

    fn listed(&self) -> Result<Vec<Listed>, HsmError> {
        let slot = self.link.info.slot;
        let mut listed = Vec::new();
        for code in self.shared.caller.mechanisms(slot)? {
            // Some modules list what they then know nothing of.
            let info = self.shared.caller.mechanism_info(slot, code).unwrap_or_default();
            let (group, name) = abilities::named(code);
            listed.push(Listed {
                group: group.to_owned(),
                name,
                code,
                min: info.ulMinKeySize,
                max: info.ulMaxKeySize,
                flags: abilities::flags(info.flags),
            });
        }
        listed.sort_by_key(|one| (abilities::place(one.code), one.code));
        listed.dedup_by_key(|one| one.code);
        Ok(listed)
    }

    fn identity(&self, of: &Of) -> Vec<(String, String)> {
        let info = &self.link.info;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        named([
            ("module", self.shared.module.path().display().to_string()),
            ("library", of.library.clone()),
            ("slot", info.slot.to_string()),
            ("label", text(&info.label)),
            ("serial", text(&info.serial)),
            ("manufacturer", info.manufacturer.clone()),
            ("model", info.model.clone()),
            ("firmware", info.firmware.clone()),
            ("hardware", info.hardware.clone()),
        ])
    }

    fn limits(&self, usual_workers: usize) -> Vec<(String, String)> {
        let info = &self.link.info;
        let count = |count: CK_ULONG| match count {
            CK_UNAVAILABLE_INFORMATION => "not told".to_owned(),
            CK_EFFECTIVELY_INFINITE => "no limit".to_owned(),
            count => count.to_string(),
        };
        let memory = |count: CK_ULONG| match count {
            CK_UNAVAILABLE_INFORMATION => "not told".to_owned(),
            count => format!("{count} bytes"),
        };
        named([
            ("sessions", count(info.raw.ulMaxSessionCount)),
            ("read-write sessions", count(info.raw.ulMaxRwSessionCount)),
            ("worker sessions here", self.link.workers.to_string()),
            ("worker sessions, usual for this vendor", usual_workers.to_string()),
            ("PIN length", format!("{} to {} bytes", info.raw.ulMinPinLen, info.raw.ulMaxPinLen)),
            ("private memory, free", memory(info.raw.ulFreePrivateMemory)),
            ("private memory", memory(info.raw.ulTotalPrivateMemory)),
        ])
    }

    /// Short calls, one after the other on one session.
    fn round_trips(&mut self) -> Vec<RoundTrip> {
        let mut own;
        let seat: &mut Seat = match self.shared.caller.open(self.link.info.slot) {
            Ok(session) => {
                own = Seat::new(session);
                &mut own
            }
            Err(_no_more_sessions) => &mut *self.seat,
        };
        let mut trips = Vec::new();
        trips.extend(measured("C_GetSessionInfo", || seat.session.state().is_ok()));
        trips.extend(measured("C_GenerateRandom, 32 bytes", || seat.session.random(32).is_ok()));
        let usage = UsageMask::ENCRYPT.with(UsageMask::DECRYPT);
        let mut wanted = template::key(super::pool::Class::Secret, template::Life::Session, usage, false);
        wanted.push(super::layout::Attribute::number(CKA_KEY_TYPE, CKK_AES));
        wanted.push(super::layout::Attribute::number(CKA_VALUE_LEN, 32));
        if let Ok(key) = seat.session.generate(&super::layout::Mechanism::plain(CKM_AES_KEY_GEN), &wanted) {
            let block = super::layout::Mechanism::plain(CKM_AES_ECB);
            trips.extend(measured("C_EncryptInit and C_Encrypt, AES-ECB, 16 bytes", || {
                seat.session.encrypt(&block, key, &[0; 16]).is_ok()
            }));
            if let Err(fault) = seat.session.destroy(key) {
                tracing::warn!(
                    rv = fault.rv,
                    "a session key of the probe could not be destroyed; it ends with its session"
                );
            }
        }
        trips
    }
}

fn named<const N: usize>(rows: [(&str, String); N]) -> Vec<(String, String)> {
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Rounds of one call.
const ROUNDS: usize = 100;
/// A slow token is not asked for longer.
const ROUNDS_TAKE: Duration = Duration::from_secs(2);

/// Nothing where the call fails.
fn measured(call: &str, mut run: impl FnMut() -> bool) -> Option<RoundTrip> {
    let began = Instant::now();
    let mut took = Vec::with_capacity(ROUNDS);
    while took.len() < ROUNDS && began.elapsed() < ROUNDS_TAKE {
        let start = Instant::now();
        if !run() {
            return None;
        }
        took.push(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    took.sort_unstable();
    let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1))).copied();
    Some(RoundTrip { call: call.to_owned(), rounds: took.len(), p50: at(50)?, p99: at(99)? })
}
