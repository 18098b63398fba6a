//! Faults on command: what goes wrong, when, and how often it did.
//!
//! A plan is a list of rules; the first one that matches a call and fires decides. It comes from the options file, from
//! `HSM_SIM_FAULTS` (inline TOML or `@file`), or from `hsm-sim ctl`, each overriding the one before. Control needs no
//! thread in the module: it puts a plan file in the store and moves a counter in the store's shared page, which every
//! process compares at each call. With no plan that comparison is all a call pays.

pub mod control;
pub mod scenario;
pub mod socket;

mod action;
mod config;
mod engine;
mod inject;
mod plan;

pub use config::{ActionConfig, DelayConfig, Distribution, FaultsConfig, MatchConfig, Names, RuleConfig, Which};
pub use plan::PlanError;

pub(crate) use action::{Action, Delay, DropSessions, Phase, Replacement, parse_duration};
pub(crate) use engine::{Engine, Verdict};
pub(crate) use inject::{Injection, is_armed, is_losing, is_lost, needed, token_info, written};
pub(crate) use plan::{Call, Facts, check, is_match, random};
