//! What a rule does, checked: one variant an action of the plan.

use std::{sync::Arc, time::Duration};

use cryptoki_sys::*;

use super::{
    PlanError,
    config::{ActionConfig, DelayConfig, Distribution},
    plan::Facts,
};
use crate::core::names::return_code;

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

/// Which token comes into the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// One that is not initialised.
    Blank,
    /// Another one of the same label.
    OtherSerial,
}

/// What is done to the answer of a call that is otherwise done as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tamper {
    /// One bit of the output is flipped.
    FlipBit,
    /// The output is said to be so much shorter.
    ShortWrite(usize),
    /// The output is said to need so much more.
    Overestimate(usize),
    /// The token's information has these flags, too.
    TokenFlags(CK_FLAGS),
    /// The token has a clock that is off by so many seconds.
    ClockSkew(i64),
}

/// What happens to a call.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Return { code: CK_RV, phase: Phase, ends_operation: bool },
    Delay(Delay),
    Hang(Duration),
    Tamper(Tamper),
    Abort,
    Segv,
    DropSessions(DropSessions),
    LogOut,
    RemoveToken(Duration),
    ReplaceToken(Replacement),
    Restart(Duration),
    LoseObject(Selector),
}

/// How an object is named in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    Handle(u64),
    Id(Vec<u8>),
    Label(Vec<u8>),
}

impl Selector {
    pub(super) fn parse(place: usize, text: &str) -> Result<Self, PlanError> {
        let refused = || {
            PlanError::Value(place, "an object is id: and hexadecimal digits, label: and text, or handle: and a number")
        };
        let (kind, rest) = text.split_once(':').ok_or_else(refused)?;
        match kind {
            "handle" => rest.parse().map(Self::Handle).map_err(|_not_a_number| refused()),
            "label" => Ok(Self::Label(rest.as_bytes().to_vec())),
            "id" => hexadecimal(rest).map(Self::Id).ok_or_else(refused),
            _ => Err(refused()),
        }
    }

    /// Whether it names the object of these facts.
    pub(crate) fn is(&self, facts: &Facts) -> bool {
        match self {
            Self::Handle(handle) => *handle == facts.handle,
            Self::Id(id) => *id == facts.id,
            Self::Label(label) => *label == facts.label,
        }
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// How long a delay is.
#[derive(Debug, Clone)]
pub(crate) enum Delay {
    Constant(f64),
    Uniform(f64, f64),
    Lognormal { mu: f64, sigma: f64, max: f64 },
    Pareto { scale: f64, shape: f64, max: f64 },
    Trace(Arc<[f64]>),
}

/// The longest delay, whatever a distribution draws.
const DELAY_MAX: Duration = Duration::from_secs(3600);

impl Delay {
    /// The log-normal delay of two percentiles.
    pub(crate) fn lognormal(p50_ms: f64, p99_ms: f64, max: f64) -> Self {
        // The 99th percentile of the standard normal distribution.
        const Z99: f64 = 2.326_347_874;
        Self::Lognormal { mu: p50_ms.ln(), sigma: (p99_ms / p50_ms).ln() / Z99, max }
    }

    /// The delay of the `turn`-th use, counted from 1, drawn with two random words.
    pub(crate) fn draw(&self, random: [u64; 2], turn: u64) -> Duration {
        let [a, b] = random.map(unit);
        let milliseconds = match self {
            Self::Constant(ms) => *ms,
            Self::Uniform(min, max) => (max - min).mul_add(a, *min),
            Self::Lognormal { mu, sigma, max } => {
                let normal = (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos();
                sigma.mul_add(normal, *mu).exp().min(*max)
            }
            Self::Pareto { scale, shape, max } => (scale * (1.0 - a).powf(-1.0 / shape)).min(*max),
            Self::Trace(steps) => {
                let place = usize::try_from(turn.wrapping_sub(1)).unwrap_or(0).checked_rem(steps.len()).unwrap_or(0);
                steps.get(place).copied().unwrap_or_default()
            }
        };
        Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or(DELAY_MAX).min(DELAY_MAX)
    }
}

/// A random word as a number from 0 to below 1.
pub(super) fn unit(word: u64) -> f64 {
    const STEPS: f64 = 4_294_967_296.0;
    // The upper half of the word, which a double holds exactly.
    f64::from(u32::try_from(word >> 32).unwrap_or(u32::MAX)) / STEPS
}

/// Checks an action: exactly one thing.
pub(super) fn parse(place: usize, config: &ActionConfig, allow_crash: bool) -> Result<Action, PlanError> {
    let wrong = |text| PlanError::Value(place, text);
    let mut actions = Vec::new();
    if config.code.is_some() || config.leave_operation_active.is_some() {
        actions.push(refusal(place, config)?);
    } else if config.phase.is_some() {
        return Err(wrong("`phase` goes with `return`"));
    }
    if let Some(delay) = &config.delay {
        actions.push(Action::Delay(self::delay(place, delay)?));
    }
    if let Some(time) = &config.hang {
        actions.push(Action::Hang(duration(place, time)?));
    }
    if let Some(what) = &config.corrupt {
        if what != "output-bit" {
            return Err(wrong("`corrupt` is \"output-bit\""));
        }
        actions.push(Action::Tamper(Tamper::FlipBit));
    }
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    actions.extend(config.short_write.map(|less| Action::Tamper(Tamper::ShortWrite(bytes(less)))));
    actions.extend(config.size_query_overestimate.map(|more| Action::Tamper(Tamper::Overestimate(bytes(more)))));
    actions.extend(config.clock_skew.map(|seconds| Action::Tamper(Tamper::ClockSkew(seconds))));
    for (flag, action) in [(config.abort, Action::Abort), (config.segv, Action::Segv), (config.logout, Action::LogOut)]
    {
        match flag {
            Some(true) => actions.push(action),
            Some(false) => return Err(wrong("`abort`, `segv` and `logout` are true or not there")),
            None => {}
        }
    }
    if let Some(which) = &config.drop_sessions {
        actions.push(Action::DropSessions(match which.as_str() {
            "this" => DropSessions::This,
            "slot" => DropSessions::Slot,
            _ => return Err(wrong("`drop_sessions` is \"this\" or \"slot\"")),
        }));
    }
    if let Some(time) = &config.remove_token {
        actions.push(Action::RemoveToken(duration(place, time)?));
    }
    if let Some(which) = &config.replace_token {
        actions.push(Action::ReplaceToken(match which.as_str() {
            "blank" => Replacement::Blank,
            "other-serial" => Replacement::OtherSerial,
            _ => return Err(wrong("`replace_token` is \"blank\" or \"other-serial\"")),
        }));
    }
    if let Some(time) = &config.restart {
        actions.push(Action::Restart(duration(place, time)?));
    }
    if let Some(text) = &config.lose_object {
        actions.push(Action::LoseObject(Selector::parse(place, text)?));
    }
    if let Some(state) = &config.pin_state {
        actions.push(Action::Tamper(Tamper::TokenFlags(match state.as_str() {
            "low" => CKF_USER_PIN_COUNT_LOW,
            "final" => CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY,
            "locked" => CKF_USER_PIN_LOCKED,
            _ => return Err(wrong("`pin_state` is \"low\", \"final\" or \"locked\"")),
        })));
    }
    let (Some(action), true) = (actions.pop(), actions.is_empty()) else { return Err(PlanError::Action(place)) };
    if matches!(action, Action::Abort | Action::Segv) && !allow_crash {
        return Err(PlanError::Crash(place));
    }
    Ok(action)
}

fn refusal(place: usize, config: &ActionConfig) -> Result<Action, PlanError> {
    let leaves_active = match config.leave_operation_active {
        Some(false) => return Err(PlanError::Value(place, "`leave_operation_active` is true or not there")),
        leaves => leaves.is_some(),
    };
    let code = match &config.code {
        Some(text) => return_code(text).ok_or_else(|| PlanError::ReturnCode(place, text.clone()))?,
        None => CKR_DEVICE_ERROR,
    };
    let phase = match config.phase.as_deref() {
        None | Some("before") => Phase::Before,
        Some("after") if !leaves_active => Phase::After,
        Some(_) => return Err(PlanError::Value(place, "`phase` is \"before\" or \"after\"")),
    };
    Ok(Action::Return { code, phase, ends_operation: !leaves_active })
}

fn delay(place: usize, config: &DelayConfig) -> Result<Delay, PlanError> {
    let percentiles = |p50: f64, p99: f64| {
        if p50 > 0.0 && p99 > p50 { Ok(()) } else { Err(PlanError::Value(place, "a delay needs 0 < p50_ms < p99_ms")) }
    };
    Ok(match config {
        DelayConfig::Constant(text) => Delay::Constant(duration(place, text)?.as_secs_f64() * 1000.0),
        DelayConfig::Distribution(Distribution::Const { ms }) => Delay::Constant(*ms),
        DelayConfig::Distribution(Distribution::Uniform { min_ms, max_ms }) => Delay::Uniform(*min_ms, *max_ms),
        DelayConfig::Distribution(Distribution::Lognormal { p50_ms, p99_ms, max_ms }) => {
            percentiles(*p50_ms, *p99_ms)?;
            Delay::lognormal(*p50_ms, *p99_ms, max_ms.unwrap_or(f64::INFINITY))
        }
        DelayConfig::Distribution(Distribution::Pareto { p50_ms, p99_ms, max_ms }) => {
            percentiles(*p50_ms, *p99_ms)?;
            let shape = 50.0_f64.ln() / (p99_ms / p50_ms).ln();
            Delay::Pareto { scale: p50_ms / 2.0_f64.powf(1.0 / shape), shape, max: max_ms.unwrap_or(f64::INFINITY) }
        }
        DelayConfig::Distribution(Distribution::Trace { file }) => {
            let refused = |why: String| PlanError::Trace(place, format!("{}: {why}", file.display()));
            let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
            let steps = text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.trim().parse::<f64>());
            let steps: Vec<f64> = steps.collect::<Result<_, _>>().map_err(|error| refused(error.to_string()))?;
            if steps.is_empty() {
                return Err(refused("there is no number in it".to_owned()));
            }
            Delay::Trace(steps.into())
        }
    })
}

/// Parses `5s`, `200ms`, `2m` or `1h`.
pub(super) fn duration(place: usize, text: &str) -> Result<Duration, PlanError> {
    parse_duration(text).ok_or_else(|| PlanError::Duration(place, text.to_owned()))
}

/// Parses `5s`, `200ms`, `2m` or `1h`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let milliseconds = match text.get(digits.len()..)? {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let number = digits.parse::<u64>().ok()?;
    Some(Duration::from_millis(number.saturating_mul(milliseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::plan::random;

    #[test]
    fn delays_stay_in_their_bounds() {
        let lognormal = Delay::Lognormal { mu: 3.0_f64.ln(), sigma: 1.0, max: 20.0 };
        for place in 0..1000 {
            let words = [random(1, place), random(2, place)];
            assert!(lognormal.draw(words, 1) <= Duration::from_millis(20));
            let uniform = Delay::Uniform(5.0, 6.0).draw(words, 1);
            assert!(uniform >= Duration::from_millis(5) && uniform <= Duration::from_millis(6));
        }
    }

    #[test]
    fn delays_have_the_percentiles_they_were_given() {
        let text = |dist: &str| {
            let config =
                format!("[[faults.rule]]\naction = {{ delay = {{ dist = \"{dist}\", p50_ms = 3, p99_ms = 40 }} }}");
            let config = crate::fault::FaultsConfig::parse(&config).unwrap();
            match parse(1, &config.rule[0].action, false).unwrap() {
                Action::Delay(delay) => delay,
                other => panic!("{other:?}"),
            }
        };
        for delay in [text("lognormal"), text("pareto")] {
            let mut drawn: Vec<_> =
                (0..20_000).map(|place| delay.draw([random(7, place), random(8, place)], 1)).collect();
            drawn.sort_unstable();
            let (p50, p99) = (drawn[10_000].as_secs_f64() * 1e3, drawn[19_800].as_secs_f64() * 1e3);
            assert!((2.8..3.2).contains(&p50) && (34.0..46.0).contains(&p99), "{delay:?}: {p50} {p99}");
        }
    }

    #[test]
    fn a_trace_is_replayed_in_order() {
        let trace = Delay::Trace(vec![1.0, 5.0, 9.0].into());
        let drawn: Vec<_> = (1..=5).map(|turn| trace.draw([0, 0], turn).as_millis()).collect();
        assert_eq!(drawn, [1, 5, 9, 1, 5]);
    }
}
