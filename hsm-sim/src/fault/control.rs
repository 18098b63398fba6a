//! Control from outside the process: installs a plan, takes it away, reads the counts.
//!
//! This is what `hsm-sim ctl` does, and what a test does that shares no process with the module.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use super::{FaultsConfig, PlanError, engine, plan::Plan, scenario};
use crate::{
    core::{clock, names::RETURN_CODES},
    crypto,
    store::{StoreError, StoreFolder, page},
};

/// What was counted while a plan was installed, or counting was on.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Faults injected over all functions.
    pub injected_total: u64,
    /// Milliseconds since the installed plan began; 0 when none ever was.
    pub began_ms_ago: u64,
    /// Calls by function; functions that were not called are left out.
    pub calls: BTreeMap<String, u64>,
    /// Faults injected by function.
    pub injected: BTreeMap<String, u64>,
    /// Calls by mechanism, by name or number.
    pub mechanisms: BTreeMap<String, u64>,
    /// Answers by return code; codes outside the standard are counted together as `other`.
    pub answers: BTreeMap<String, u64>,
    /// Matching calls and firings by rule of the installed plan, in its order.
    pub rules: Vec<RuleStats>,
}

/// How often a rule of the installed plan matched and fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct RuleStats {
    /// Calls that matched.
    pub matched: u64,
    /// Times it fired; the counter also stops at the rule's `times`.
    pub fired: u64,
}

fn path(store: &StoreFolder) -> PathBuf {
    store.root().join("faults.toml")
}

/// The plan that was installed, if any.
pub(super) fn installed(store: &StoreFolder) -> Result<Option<FaultsConfig>, PlanError> {
    text(store)?.map(|text| FaultsConfig::parse(&text)).transpose()
}

/// Installs a plan for every process that uses the store, and starts its counts anew.
///
/// # Errors
///
/// When the plan does not parse or cannot work, or the store cannot be written.
pub fn install(store: &Path, text: &str) -> Result<(), PlanError> {
    Plan::new(&FaultsConfig::parse(text)?)?;
    let store = StoreFolder::open(store)?;
    let _lock = store.lock()?;
    let path = path(&store);
    let draft = path.with_extension("draft");
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.and_then(|()| fs::rename(&draft, &path)).map_err(StoreError::io(&path))?;
    for word in page::MATCHED..page::END {
        store.page().word(word).store(0, Ordering::Release);
    }
    store.page().word(page::BEGAN).store(clock::milliseconds(), Ordering::Release);
    announce(&store);
    Ok(())
}

/// Installs a named scenario, with a seed for its random decisions.
///
/// # Errors
///
/// When there is none of that name, or the store cannot be written.
pub fn install_scenario(store: &Path, name: &str, seed: u64) -> Result<(), PlanError> {
    let found = scenario::find(name).ok_or_else(|| {
        let names: Vec<_> = scenario::SCENARIOS.iter().map(|scenario| scenario.name).collect();
        PlanError::Scenario(name.to_owned(), names.join(", "))
    })?;
    install(store, &format!("[faults]\nseed = {seed}\n{}", found.plan))
}

/// Lets hanging calls go on, and puts tokens that are away, restarting or replaced back in their slots.
///
/// # Errors
///
/// When the store cannot be read.
pub fn release(store: &Path) -> Result<(), PlanError> {
    Ok(let_go(&StoreFolder::open(store)?)?)
}

fn let_go(store: &StoreFolder) -> Result<(), StoreError> {
    store.page().word(page::RELEASES).fetch_add(1, Ordering::AcqRel);
    store.put_tokens_back()
}

/// The text of the installed plan, if there is one.
///
/// # Errors
///
/// When the store cannot be read.
pub fn plan(store: &Path) -> Result<Option<String>, PlanError> {
    text(&StoreFolder::open(store)?)
}

fn text(store: &StoreFolder) -> Result<Option<String>, PlanError> {
    match fs::read_to_string(path(store)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(&path(store))(error).into()),
    }
}

/// Takes the installed plan away and releases what it held; each process is back to its own plan. Counts stay.
///
/// # Errors
///
/// When the store cannot be written.
pub fn clear(store: &Path) -> Result<(), PlanError> {
    let store = StoreFolder::open(store)?;
    let _lock = store.lock()?;
    match fs::remove_file(path(&store)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(StoreError::io(&path(&store))(error).into()),
        _ => {}
    }
    let_go(&store)?;
    announce(&store);
    Ok(())
}

fn announce(store: &StoreFolder) {
    store.page().word(page::PLAN).fetch_add(1, Ordering::AcqRel);
}

/// Reads the counts.
///
/// # Errors
///
/// When the store cannot be opened or its plan file does not parse.
pub fn stats(store: &Path) -> Result<Stats, PlanError> {
    let store = StoreFolder::open(store)?;
    let began = store.page().load(page::BEGAN);
    let began_ms_ago = if began == 0 { 0 } else { clock::milliseconds().saturating_sub(began) };
    let mut stats = Stats { began_ms_ago, ..Stats::default() };
    for (function, calls, injected) in engine::counts(&store) {
        if calls > 0 {
            stats.calls.insert(function.name().to_owned(), calls);
        }
        if injected > 0 {
            stats.injected.insert(function.name().to_owned(), injected);
            stats.injected_total += injected;
        }
    }
    for (mechanism, calls) in engine::mechanism_counts(&store) {
        let name = crypto::mechanism(mechanism).map_or_else(|| format!("{mechanism:#x}"), |info| info.name.to_owned());
        stats.mechanisms.insert(name, calls);
    }
    let names = RETURN_CODES.iter().map(|row| row.0);
    for (place, name) in names.enumerate().chain([(page::CODES - 1, "other")]) {
        let answers = store.page().load(page::ANSWERS + place);
        if answers > 0 {
            stats.answers.insert(name.to_owned(), answers);
        }
    }
    let rules = installed(&store)?.map_or(0, |config| config.rule.len());
    let word = |first: usize, place: usize| store.page().load(first + place);
    stats.rules = (0..rules)
        .map(|place| RuleStats { matched: word(page::MATCHED, place), fired: word(page::FIRED, place) })
        .collect();
    Ok(stats)
}
