//! What operators see of a running gateway: metrics and log lines.
//!
//! Both carry identifiers, enumerations and counts only; no type here has a field that a value could go into. Everything
//! below the front ends may use [`Metrics`]; only `app` starts the logging.

pub mod logging;
pub mod metrics;

pub use metrics::Metrics;
