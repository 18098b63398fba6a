//! A plan, checked and ready to be asked.

use cryptoki_sys::CK_MECHANISM_TYPE;
use thiserror::Error;

use super::{
    action::{self, Action, Selector},
    config::{FaultsConfig, MatchConfig, Names, RuleConfig, Which},
};
use crate::{core::names::Function, crypto, store::page};

/// Why a plan cannot be used.
#[derive(Debug, Error)]
pub enum PlanError {
    /// An action that is none or several.
    #[error("rule {0}: an action is exactly one thing, such as {{ return = \"CKR_DEVICE_ERROR\" }}")]
    Action(usize),
    /// The process may not be ended.
    #[error("rule {0}: `abort` and `segv` need `allow_crash = true` beside them in [faults]")]
    Crash(usize),
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
    /// No scenario bears this name.
    #[error("there is no scenario {0:?}; there are {1}")]
    Scenario(String, String),
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] crate::store::StoreError),
    /// More rules than the shared page counts.
    #[error("a plan has at most {} rules", page::RULES)]
    TooManyRules,
    /// A trace of delays that cannot be used.
    #[error("rule {0}: {1}")]
    Trace(usize, String),
}

/// Checks a plan without putting it in force.
pub(crate) fn check(config: &FaultsConfig) -> Result<(), PlanError> {
    Plan::new(config).map(drop)
}

/// A call as a rule sees it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) slot: Option<u64>,
    pub(crate) session: Option<u64>,
    pub(crate) mechanism: Option<CK_MECHANISM_TYPE>,
    pub(crate) object: Option<Facts>,
}

/// What a selector can ask of an object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) handle: u64,
    pub(crate) id: Vec<u8>,
    pub(crate) label: Vec<u8>,
}

/// One rule, checked.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    functions: Vec<String>,
    mechanisms: Vec<String>,
    slot: Option<u64>,
    session: Option<u64>,
    process: Option<u64>,
    object: Option<Selector>,
    after: u64,
    every: Option<u64>,
    rate: Option<f64>,
    at: Vec<u64>,
    after_time: u64,
    window: Option<(u64, Option<u64>)>,
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
        let rules = config.rule.iter().enumerate().map(|(place, rule)| Rule::new(place + 1, rule, config.allow_crash));
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

    /// Whether a rule wants to know about the objects of calls.
    pub(super) fn wants_objects(&self) -> bool {
        self.rules.iter().any(|rule| rule.object.is_some())
    }
}

impl Rule {
    fn new(place: usize, config: &RuleConfig, allow_crash: bool) -> Result<Self, PlanError> {
        let MatchConfig { function, mechanism, slot, session, process, object } = &config.matching;
        let functions = function.as_ref().map_or_else(|| vec!["*".to_owned()], |names| names.as_slice().to_vec());
        for function in &functions {
            if !Function::ALL.iter().any(|known| is_match(function, known.name())) {
                return Err(PlanError::Function(place, function.clone()));
            }
        }
        let mechanisms = mechanism.as_ref().map_or(&[][..], Names::as_slice);
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
        let object = object.as_deref().filter(|text| *text != "any").map(|text| Selector::parse(place, text));
        Ok(Self {
            functions,
            mechanisms: mechanisms.iter().filter(|pattern| *pattern != "any").cloned().collect(),
            slot: number(slot)?,
            session: number(session)?,
            process: number(process)?,
            object: object.transpose()?,
            after: config.after,
            every: config.every,
            rate: config.rate,
            at: config.at.clone(),
            after_time: config.after_time.as_deref().map_or(Ok(0), |text| milliseconds(place, text))?,
            window: config.window.as_deref().map(|text| window(place, text)).transpose()?,
            times: config.times,
            action: action::parse(place, &config.action, allow_crash)?,
        })
    }

    /// Whether the rule is about a call, so long after the plan began.
    pub(super) fn matches(&self, call: &Call, elapsed: u64) -> bool {
        let same = |wanted: Option<u64>, found: Option<u64>| wanted.is_none() || wanted == found;
        self.functions.iter().any(|pattern| is_match(pattern, call.function.name()))
            && same(self.slot, call.slot)
            && same(self.session, call.session)
            && same(self.process, Some(u64::from(std::process::id())))
            && (self.mechanisms.is_empty()
                || call
                    .mechanism
                    .is_some_and(|mechanism| self.mechanisms.iter().any(|pattern| is_mechanism(pattern, mechanism))))
            && self.object.as_ref().is_none_or(|wanted| call.object.as_ref().is_some_and(|facts| wanted.is(facts)))
            && self.is_in_time(elapsed)
    }

    /// Whether the rule is in force so many milliseconds after the plan began.
    fn is_in_time(&self, elapsed: u64) -> bool {
        let Some(since) = elapsed.checked_sub(self.after_time) else { return false };
        match self.window {
            None => true,
            Some((open, None)) => since < open,
            Some((open, Some(period))) => since % period < open,
        }
    }

    /// Whether the rule fires at its `count`-th matching call, the first one being 1.
    pub(super) fn fires(&self, count: u64, random: u64) -> bool {
        let Some(place) = count.checked_sub(self.after).filter(|place| *place > 0) else { return false };
        (self.at.is_empty() || self.at.contains(&place))
            && self.every.is_none_or(|every| place.is_multiple_of(every))
            && self.rate.is_none_or(|rate| action::unit(random) < rate)
    }
}

/// The random word of a seed and a place in the stream (SplitMix64).
pub(crate) fn random(seed: u64, place: u64) -> u64 {
    let mut word = seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn milliseconds(place: usize, text: &str) -> Result<u64, PlanError> {
    Ok(u64::try_from(action::duration(place, text)?.as_millis()).unwrap_or(u64::MAX))
}

/// Parses `10s/60s` or `30s`.
fn window(place: usize, text: &str) -> Result<(u64, Option<u64>), PlanError> {
    let Some((open, period)) = text.split_once('/') else { return Ok((milliseconds(place, text)?, None)) };
    let (open, period) = (milliseconds(place, open)?, milliseconds(place, period)?);
    if open == 0 || open > period {
        return Err(PlanError::Value(place, "a `window` is a part of its period, as 10s/60s"));
    }
    Ok((open, Some(period)))
}

pub(super) fn is_mechanism(pattern: &str, mechanism: CK_MECHANISM_TYPE) -> bool {
    let pattern = pattern.strip_prefix("CKM_").unwrap_or(pattern);
    let number = pattern.strip_prefix("0x").and_then(|digits| CK_MECHANISM_TYPE::from_str_radix(digits, 16).ok());
    number == Some(mechanism) || crypto::mechanism(mechanism).is_some_and(|known| is_match(pattern, known.name))
}

/// Whether a pattern, in which `*` stands for any text, fits a name.
pub(crate) fn is_match(pattern: &str, name: &str) -> bool {
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

    fn call(function: Function) -> Call {
        Call { function, slot: None, session: None, mechanism: None, object: None }
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
    fn a_rule_matches_in_its_time_only() {
        let action = r#"action = { return = "CKR_DEVICE_ERROR" }"#;
        let matched = |text: &str, times: &[u64]| {
            let rule = rule(&format!("{text}\n{action}"));
            times.iter().copied().filter(|time| rule.matches(&call(Function::Login), *time)).collect::<Vec<_>>()
        };
        let times = [0, 999, 1000, 4000, 9999, 10_000, 10_999, 11_000];
        assert_eq!(matched("window = \"1s/10s\"", &times), [0, 999, 10_000, 10_999]);
        assert_eq!(matched("window = \"4001ms\"", &times), [0, 999, 1000, 4000]);
        assert_eq!(matched("after_time = \"10s\"", &times), [10_000, 10_999, 11_000]);
        assert_eq!(matched("after_time = \"1s\"\nwindow = \"3001ms\"", &times), [1000, 4000]);
    }

    #[test]
    fn names_may_be_several_and_objects_are_told_apart() {
        let action = r#"action = { return = "CKR_DEVICE_ERROR" }"#;
        let several = rule(&format!("match = {{ function = [\"C_Login\", \"C_Sign*\"] }}\n{action}"));
        let matched =
            [Function::Login, Function::SignInit, Function::Verify].map(|name| several.matches(&call(name), 0));
        assert_eq!(matched, [true, true, false]);
        let facts = Facts { handle: 7, id: vec![0xa1, 2], label: b"key".to_vec() };
        let of = |selector: &str| {
            let rule = rule(&format!("match = {{ object = \"{selector}\" }}\n{action}"));
            rule.matches(&Call { object: Some(facts.clone()), ..call(Function::SignInit) }, 0)
        };
        let found = ["id:a102", "id:a1", "label:key", "label:k", "handle:7", "handle:8", "any"].map(of);
        assert_eq!(found, [true, false, true, false, true, false, true]);
    }

    #[test]
    fn a_plan_that_cannot_work_is_refused() {
        for text in [
            r#"action = { return = "CKR_NICE" }"#,
            r#"action = {}"#,
            r#"action = { return = "CKR_OK", delay = "1s" }"#,
            r#"action = { drop_sessions = "some" }"#,
            r#"action = { remove_token = "5" }"#,
            r#"action = { corrupt = "everything" }"#,
            r#"action = { replace_token = "better" }"#,
            r#"action = { lose_object = "id:xy" }"#,
            r#"action = { lose_object = "name:x" }"#,
            r#"action = { abort = true }"#,
            r#"action = { logout = false }"#,
            r#"action = { pin_state = "fine" }"#,
            r#"action = { delay = { dist = "trace", file = "/nowhere/at/all" } }"#,
            "window = \"2s/1s\"\naction = { delay = \"1s\" }",
            "match = { function = \"C_Nothing\" }\naction = { delay = \"1s\" }",
            "match = { function = [\"C_Login\", \"C_Nothing\"] }\naction = { delay = \"1s\" }",
            "every = 0\naction = { delay = \"1s\" }",
        ] {
            let config = FaultsConfig::parse(&format!("[[faults.rule]]\n{text}")).unwrap();
            assert!(Plan::new(&config).is_err(), "{text}");
        }
        assert!(FaultsConfig::parse("[[faults.rule]]\naction = { explode = true }").is_err());
        let crash = "[faults]\nallow_crash = true\n[[faults.rule]]\naction = { abort = true }";
        assert!(Plan::new(&FaultsConfig::parse(crash).unwrap()).is_ok());
    }
}
