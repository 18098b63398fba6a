//! The `[faults]` table as it is written.

use serde::Deserialize;

use super::PlanError;

/// A fault plan: `[faults]` and its `[[faults.rule]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultsConfig {
    /// Makes the stream of random decisions reproducible.
    pub seed: u64,
    /// Whether the rules apply.
    pub enabled: bool,
    /// Whether calls are counted even when no rule is there.
    pub count: bool,
    /// Whether rules may end the process with `abort` or `segv`.
    pub allow_crash: bool,
    /// The rules, in order.
    pub rule: Vec<RuleConfig>,
}

impl Default for FaultsConfig {
    fn default() -> Self {
        Self { seed: 0, enabled: true, count: false, allow_crash: false, rule: Vec::new() }
    }
}

/// One rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Which calls the rule is about.
    #[serde(default, rename = "match")]
    pub matching: MatchConfig,
    /// Matching calls to let pass first.
    #[serde(default)]
    pub after: u64,
    /// Fires at every n-th matching call.
    pub every: Option<u64>,
    /// Fires with this probability.
    pub rate: Option<f64>,
    /// Fires at these matching calls, the first one being 1.
    #[serde(default)]
    pub at: Vec<u64>,
    /// Fires at most so many times.
    pub times: Option<u64>,
    /// Matches only when so much time has passed since the plan began, as `30s`.
    pub after_time: Option<String>,
    /// Matches only for the first part of each period since the plan began, as `10s/60s`; `30s` alone: only at first.
    pub window: Option<String>,
    /// What happens.
    pub action: ActionConfig,
}

/// Which calls a rule is about; a field that is not given matches everything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchConfig {
    /// Names of functions; `*` stands for any text.
    pub function: Option<Names>,
    /// Names of mechanisms without `CKM_`, or their numbers; `*` stands for any text.
    pub mechanism: Option<Names>,
    /// A slot id, or `any`.
    pub slot: Option<Which>,
    /// A session handle, or `any`.
    pub session: Option<Which>,
    /// A process id, or `any`.
    pub process: Option<Which>,
    /// The key or object of the call: `id:` and hexadecimal digits, `label:` and text, or `handle:` and a number.
    pub object: Option<String>,
}

/// One name or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// This one.
    One(String),
    /// Any of these.
    Several(Vec<String>),
}

impl Names {
    /// The names as a slice.
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// A number, or any.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Which {
    /// This one.
    Number(u64),
    /// `any`, or a number in quotes.
    Text(String),
}

/// What happens: exactly one action; `phase` and `leave_operation_active` go with `return`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionConfig {
    /// A return code by name or number.
    #[serde(rename = "return")]
    pub code: Option<String>,
    /// `before` (the default) or `after` the operation is done.
    pub phase: Option<String>,
    /// The refused call does not end its operation, as modules do that do not follow the standard. Alone:
    /// `CKR_DEVICE_ERROR`.
    pub leave_operation_active: Option<bool>,
    /// Waits before the operation.
    pub delay: Option<DelayConfig>,
    /// Blocks for so long, or until `release`.
    pub hang: Option<String>,
    /// `output-bit`: one bit of the result is flipped.
    pub corrupt: Option<String>,
    /// The length of the result is so many bytes less.
    pub short_write: Option<u64>,
    /// A question for the length is answered with so many bytes more.
    pub size_query_overestimate: Option<u64>,
    /// The process aborts; only with `allow_crash`.
    pub abort: Option<bool>,
    /// The process ends with a segmentation fault; only with `allow_crash`.
    pub segv: Option<bool>,
    /// `this` session or all of its `slot` are gone.
    pub drop_sessions: Option<String>,
    /// Nobody is logged in any more.
    pub logout: Option<bool>,
    /// The token is out of its slot for so long, as `5s` or `200ms`.
    pub remove_token: Option<String>,
    /// Another token is in the slot until `release`: `blank` or, of the same label, `other-serial`.
    pub replace_token: Option<String>,
    /// The device starts anew and answers `CKR_DEVICE_ERROR` for so long; sessions and all handles are gone.
    pub restart: Option<String>,
    /// The object cannot be found from now on; spelt as in `match`.
    pub lose_object: Option<String>,
    /// `low`, `final` or `locked`: what the token's information says of the user PIN.
    pub pin_state: Option<String>,
    /// The token has a clock that is off by so many seconds.
    pub clock_skew: Option<i64>,
}

/// How long a delay is.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum DelayConfig {
    /// Always the same, as `5ms`.
    Constant(String),
    /// Drawn anew for each call.
    Distribution(Distribution),
}

/// A distribution of delays.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "dist", rename_all = "lowercase", deny_unknown_fields)]
pub enum Distribution {
    /// Always the same.
    Const {
        /// Milliseconds.
        ms: f64,
    },
    /// Evenly between two bounds.
    Uniform {
        /// Milliseconds at least.
        min_ms: f64,
        /// Milliseconds at most.
        max_ms: f64,
    },
    /// Log-normal by two percentiles.
    Lognormal {
        /// Median.
        p50_ms: f64,
        /// 99th percentile.
        p99_ms: f64,
        /// Milliseconds at most.
        max_ms: Option<f64>,
    },
    /// Replayed from a file of milliseconds, one a line, over and over.
    Trace {
        /// The file.
        file: std::path::PathBuf,
    },
    /// Pareto by two percentiles.
    Pareto {
        /// Median.
        p50_ms: f64,
        /// 99th percentile.
        p99_ms: f64,
        /// Milliseconds at most.
        max_ms: Option<f64>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    faults: FaultsConfig,
}

impl FaultsConfig {
    /// Parses a plan: a document with a `[faults]` table.
    ///
    /// # Errors
    ///
    /// When it does not parse or has a key that is not known.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        toml::from_str::<Document>(text)
            .map(|document| document.faults)
            .map_err(|error| PlanError::Malformed(error.to_string()))
    }

    /// The plan of `HSM_SIM_FAULTS`: inline TOML, or `@` and the path of a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or the plan does not parse.
    pub fn from_variable(text: &str) -> Result<Self, PlanError> {
        let Some(path) = text.strip_prefix('@') else { return Self::parse(text) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| PlanError::Malformed(format!("cannot read {path}: {error}")))?;
        Self::parse(&text)
    }
}
