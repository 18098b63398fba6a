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
    /// The rules, in order.
    pub rule: Vec<RuleConfig>,
}

impl Default for FaultsConfig {
    fn default() -> Self {
        Self { seed: 0, enabled: true, count: false, rule: Vec::new() }
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
    /// What happens.
    pub action: ActionConfig,
}

/// Which calls a rule is about; a field that is not given matches everything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchConfig {
    /// Name of a function; `*` stands for any text.
    pub function: Option<String>,
    /// Name of a mechanism without `CKM_`, or its number; `*` stands for any text.
    pub mechanism: Option<String>,
    /// A slot id, or `any`.
    pub slot: Option<Which>,
    /// A session handle, or `any`.
    pub session: Option<Which>,
    /// A process id, or `any`.
    pub process: Option<Which>,
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

/// What happens: exactly one of `return`, `delay`, `drop_sessions`, `remove_token`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionConfig {
    /// A return code by name or number.
    #[serde(rename = "return")]
    pub code: Option<String>,
    /// `before` (the default) or `after` the operation is done.
    pub phase: Option<String>,
    /// Waits before the operation.
    pub delay: Option<DelayConfig>,
    /// `this` session or all of its `slot` are gone.
    pub drop_sessions: Option<String>,
    /// The token is out of its slot for so long, as `5s` or `200ms`.
    pub remove_token: Option<String>,
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
