//! A plan, checked and ready to be asked.

use std::time::Duration;

use cryptoki_sys::{CK_MECHANISM_TYPE, CK_RV};
use thiserror::Error;

use super::config::{ActionConfig, DelayConfig, Distribution, FaultsConfig, MatchConfig, RuleConfig, Which};
use crate::{
    core::names::{Function, return_code},
    crypto,
    store::page,
};

/// Why a plan cannot be used.
#[derive(Debug, Error)]
pub enum PlanError {
    /// An action that is none or several.
    #[error("rule {0}: an action is exactly one of return, delay, drop_sessions, remove_token")]
    Action(usize),
    /// A text that should be a duration.
    #[error("rule {0}: {1:?} is not a duration such as 5s or 200ms")]
    Duration(usize, String),
    /// No function bears this name.
    #[error("rule {0}: no function matches {1:?}")]
    Function(usize, String),
    /// The document does not parse.
    #[error("{0}")]
    Malformed(String),
    /// A number out of its range, or a word that is not one of the choices.
    #[error("rule {0}: {1}")]
    Value(usize, &'static str),
    /// No return code bears this name.
    #[error("rule {0}: {1:?} is not a return code")]
    ReturnCode(usize, String),
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] crate::store::StoreError),
    /// More rules than the shared page counts.
    #[error("a plan has at most {} rules", page::RULES)]
    TooManyRules,
}

/// A call as a rule sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) slot: Option<u64>,
    pub(crate) session: Option<u64>,
    pub(crate) mechanism: Option<CK_MECHANISM_TYPE>,
}

/// When a returned code takes the place of the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The operation is not done.
    Before,
    /// The operation is done and its answer lost.
    After,
}

/// Which sessions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropSessions {
    /// The session of the call.
    This,
    /// All sessions of this process on the slot of the call.
    Slot,
}

/// What happens to a call.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Return { code: CK_RV, phase: Phase },
    Delay(Delay),
    DropSessions(DropSessions),
    RemoveToken(Duration),
}

/// How long a delay is.
#[derive(Debug, Clone)]
pub(crate) enum Delay {
    Constant(f64),
    Uniform(f64, f64),
    Lognormal { mu: f64, sigma: f64, max: f64 },
    Pareto { scale: f64, shape: f64, max: f64 },
}

impl Delay {
    /// A delay drawn with two random words.
    pub(crate) fn draw(&self, random: [u64; 2]) -> Duration {
        let [a, b] = random.map(unit);
        let milliseconds = match *self {
            Self::Constant(ms) => ms,
            Self::Uniform(min, max) => (max - min).mul_add(a, min),
            Self::Lognormal { mu, sigma, max } => {
                let normal = (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos();
                sigma.mul_add(normal, mu).exp().min(max)
            }
            Self::Pareto { scale, shape, max } => (scale * (1.0 - a).powf(-1.0 / shape)).min(max),
        };
        Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or(DELAY_MAX).min(DELAY_MAX)
    }
}

/// The longest delay, whatever a distribution draws.
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// A random word as a number from 0 to below 1.
fn unit(word: u64) -> f64 {
    const STEPS: f64 = 4_294_967_296.0;
    // The upper half of the word, which a double holds exactly.
    f64::from(u32::try_from(word >> 32).unwrap_or(u32::MAX)) / STEPS
}

/// The random word of a seed and a place in the stream (SplitMix64).
pub(super) fn random(seed: u64, place: u64) -> u64 {
    let mut word = seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// One rule, checked.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    function: String,
    mechanism: Option<String>,
    slot: Option<u64>,
    session: Option<u64>,
    process: Option<u64>,
    after: u64,
    every: Option<u64>,
    rate: Option<f64>,
    at: Vec<u64>,
    pub(super) times: Option<u64>,
    pub(super) action: Action,
}

/// A plan, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(super) seed: u64,
    pub(super) counts: bool,
    pub(super) rules: Vec<Rule>,
}

impl Plan {
    /// Checks a plan.
    pub(crate) fn new(config: &FaultsConfig) -> Result<Self, PlanError> {
        if config.rule.len() > page::RULES {
            return Err(PlanError::TooManyRules);
        }
        let rules = config.rule.iter().enumerate().map(|(place, rule)| Rule::new(place + 1, rule));
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            seed: config.seed,
            counts: config.count || (config.enabled && !rules.is_empty()),
            rules: if config.enabled { rules } else { Vec::new() },
        })
    }

    /// Whether calls can go by without asking.
    pub(super) const fn is_calm(&self) -> bool {
        !self.counts
    }
}

impl Rule {
    fn new(place: usize, config: &RuleConfig) -> Result<Self, PlanError> {
        let MatchConfig { function, mechanism, slot, session, process } = &config.matching;
        let function = function.clone().unwrap_or_else(|| "*".to_owned());
        if !Function::ALL.iter().any(|known| is_match(&function, known.name())) {
            return Err(PlanError::Function(place, function));
        }
        if config.every == Some(0) || config.at.contains(&0) {
            return Err(PlanError::Value(place, "`every` and `at` count from 1"));
        }
        if config.rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
            return Err(PlanError::Value(place, "`rate` is from 0 to 1"));
        }
        let number = |which: &Option<Which>| match which {
            None => Ok(None),
            Some(Which::Number(number)) => Ok(Some(*number)),
            Some(Which::Text(text)) if text == "any" => Ok(None),
            Some(Which::Text(text)) => text
                .parse()
                .map(Some)
                .map_err(|_not_a_number| PlanError::Value(place, "slot, session and process are a number or \"any\"")),
        };
        Ok(Self {
            function,
            mechanism: mechanism.clone().filter(|pattern| pattern != "any"),
            slot: number(slot)?,
            session: number(session)?,
            process: number(process)?,
            after: config.after,
            every: config.every,
            rate: config.rate,
            at: config.at.clone(),
            times: config.times,
            action: action(place, &config.action)?,
        })
    }

    /// Whether the rule is about a call.
    pub(super) fn matches(&self, call: &Call) -> bool {
        let same = |wanted: Option<u64>, found: Option<u64>| wanted.is_none() || wanted == found;
        is_match(&self.function, call.function.name())
            && same(self.slot, call.slot)
            && same(self.session, call.session)
            && same(self.process, Some(u64::from(std::process::id())))
            && self
                .mechanism
                .as_deref()
                .is_none_or(|pattern| call.mechanism.is_some_and(|mechanism| is_mechanism(pattern, mechanism)))
    }

    /// Whether the rule fires at its `count`-th matching call, the first one being 1.
    pub(super) fn fires(&self, count: u64, random: u64) -> bool {
        let Some(place) = count.checked_sub(self.after).filter(|place| *place > 0) else { return false };
        (self.at.is_empty() || self.at.contains(&place))
            && self.every.is_none_or(|every| place.is_multiple_of(every))
            && self.rate.is_none_or(|rate| unit(random) < rate)
    }
}

fn action(place: usize, config: &ActionConfig) -> Result<Action, PlanError> {
    let ActionConfig { code, phase, delay, drop_sessions, remove_token } = config;
    let phase = match phase.as_deref() {
        None | Some("before") => Phase::Before,
        Some("after") if code.is_some() => Phase::After,
        Some(_) => return Err(PlanError::Value(place, "`phase` is \"before\" or, with `return`, \"after\"")),
    };
    match (code, delay, drop_sessions.as_deref(), remove_token) {
        (Some(text), None, None, None) => {
            let code = return_code(text).ok_or_else(|| PlanError::ReturnCode(place, text.clone()))?;
            Ok(Action::Return { code, phase })
        }
        (None, Some(delay), None, None) => Ok(Action::Delay(self::delay(place, delay)?)),
        (None, None, Some("this"), None) => Ok(Action::DropSessions(DropSessions::This)),
        (None, None, Some("slot"), None) => Ok(Action::DropSessions(DropSessions::Slot)),
        (None, None, Some(_), None) => Err(PlanError::Value(place, "`drop_sessions` is \"this\" or \"slot\"")),
        (None, None, None, Some(text)) => Ok(Action::RemoveToken(duration(place, text)?)),
        _ => Err(PlanError::Action(place)),
    }
}

fn delay(place: usize, config: &DelayConfig) -> Result<Delay, PlanError> {
    let percentiles = |p50: f64, p99: f64| {
        if p50 > 0.0 && p99 > p50 { Ok(()) } else { Err(PlanError::Value(place, "a delay needs 0 < p50_ms < p99_ms")) }
    };
    // The 99th percentile of the standard normal distribution.
    const Z99: f64 = 2.326_347_874;
    Ok(match config {
        DelayConfig::Constant(text) => Delay::Constant(duration(place, text)?.as_secs_f64() * 1000.0),
        DelayConfig::Distribution(Distribution::Const { ms }) => Delay::Constant(*ms),
        DelayConfig::Distribution(Distribution::Uniform { min_ms, max_ms }) => Delay::Uniform(*min_ms, *max_ms),
        DelayConfig::Distribution(Distribution::Lognormal { p50_ms, p99_ms, max_ms }) => {
            percentiles(*p50_ms, *p99_ms)?;
            Delay::Lognormal {
                mu: p50_ms.ln(),
                sigma: (p99_ms / p50_ms).ln() / Z99,
                max: max_ms.unwrap_or(f64::INFINITY),
            }
        }
        DelayConfig::Distribution(Distribution::Pareto { p50_ms, p99_ms, max_ms }) => {
            percentiles(*p50_ms, *p99_ms)?;
            let shape = 50.0_f64.ln() / (p99_ms / p50_ms).ln();
            Delay::Pareto { scale: p50_ms / 2.0_f64.powf(1.0 / shape), shape, max: max_ms.unwrap_or(f64::INFINITY) }
        }
    })
}

/// Parses `5s`, `200ms` or `2m`.
fn duration(place: usize, text: &str) -> Result<Duration, PlanError> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let milliseconds = match text.get(digits.len()..) {
        Some("ms") => 1,
        Some("s") => 1_000,
        Some("m") => 60_000,
        _ => 0,
    };
    match digits.parse::<u64>() {
        Ok(number) if milliseconds > 0 => Ok(Duration::from_millis(number.saturating_mul(milliseconds))),
        _ => Err(PlanError::Duration(place, text.to_owned())),
    }
}

fn is_mechanism(pattern: &str, mechanism: CK_MECHANISM_TYPE) -> bool {
    let pattern = pattern.strip_prefix("CKM_").unwrap_or(pattern);
    let number = pattern.strip_prefix("0x").and_then(|digits| CK_MECHANISM_TYPE::from_str_radix(digits, 16).ok());
    number == Some(mechanism) || crypto::mechanism(mechanism).is_some_and(|known| is_match(pattern, known.name))
}

/// Whether a pattern, in which `*` stands for any text, fits a name.
fn is_match(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut pieces: Vec<_> = rest.split('*').collect();
    let Some(end) = pieces.pop() else { return true };
    for piece in pieces {
        match name.find(piece).and_then(|place| name.get(place + piece.len()..)) {
            Some(after) => name = after,
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        let config = FaultsConfig::parse(&format!("[[faults.rule]]\n{text}")).unwrap();
        Plan::new(&config).unwrap().rules.remove(0)
    }

    #[test]
    fn patterns_match_by_stars() {
        assert!(is_match("C_Sign*", "C_SignInit"));
        assert!(is_match("*", "C_Login"));
        assert!(is_match("C_*Key", "C_WrapKey"));
        assert!(!is_match("C_*Key", "C_GenerateKeyPair"));
        assert!(!is_match("C_Sign", "C_SignInit"));
    }

    #[test]
    fn a_rule_fires_where_it_says() {
        let action = r#"action = { return = "CKR_DEVICE_ERROR" }"#;
        let fired = |text: &str| {
            let rule = rule(&format!("{text}\n{action}"));
            (1..=10).filter(|count| rule.fires(*count, 0)).collect::<Vec<_>>()
        };
        assert_eq!(fired("after = 7"), [8, 9, 10]);
        assert_eq!(fired("every = 4"), [4, 8]);
        assert_eq!(fired("at = [2, 9]"), [2, 9]);
        assert_eq!(fired("after = 2\nevery = 3"), [5, 8]);
    }

    #[test]
    fn a_plan_that_cannot_work_is_refused() {
        for text in [
            r#"action = { return = "CKR_NICE" }"#,
            r#"action = {}"#,
            r#"action = { return = "CKR_OK", delay = "1s" }"#,
            r#"action = { drop_sessions = "some" }"#,
            r#"action = { remove_token = "5" }"#,
            "match = { function = \"C_Nothing\" }\naction = { delay = \"1s\" }",
            "every = 0\naction = { delay = \"1s\" }",
        ] {
            let config = FaultsConfig::parse(&format!("[[faults.rule]]\n{text}")).unwrap();
            assert!(Plan::new(&config).is_err(), "{text}");
        }
        assert!(FaultsConfig::parse("[[faults.rule]]\naction = { explode = true }").is_err());
    }

    #[test]
    fn delays_stay_in_their_bounds() {
        let lognormal = Delay::Lognormal { mu: 3.0_f64.ln(), sigma: 1.0, max: 20.0 };
        for place in 0..1000 {
            let words = [random(1, place), random(2, place)];
            assert!(lognormal.draw(words) <= Duration::from_millis(20));
            let uniform = Delay::Uniform(5.0, 6.0).draw(words);
            assert!(uniform >= Duration::from_millis(5) && uniform <= Duration::from_millis(6));
        }
    }
}
