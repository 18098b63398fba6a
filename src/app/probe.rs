//! `portcullis hsm probe`: what the tokens of a configuration really do, for people, programs and the next start.
//!
//! Where a gateway runs, it is asked: it is logged in, and a token or module that lets only one application in is its own
//! then. Where none runs, the tokens are reached as at a start, and a PIN that is refused is remembered.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use parking_lot::Mutex;

use super::{
    control,
    problem::{Explain as _, Problem, ends_when_it_fails},
    tokens::{self, serves},
};
use crate::{
    config::Config,
    engine::ports::{Hsm as _, Memory, StoreError},
    hsm::{
        Observer, Pool, Unobserved,
        probe::{Outcome, Report},
    },
    store::{RawStore, sled::SledOptions},
};

/// Which token, and how to tell.
#[derive(Debug, Args)]
pub(super) struct ProbeArguments {
    /// The configuration file; config/gateway.toml documents every option.
    #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// The configured name of the token; without it, all of them.
    #[arg(value_name = "TOKEN")]
    token: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Writes what was measured where `profile` in [hsm.<name>] can name it; for one token.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

impl ProbeArguments {
    pub(super) fn config(&self) -> &Path {
        &self.config
    }
}

/// Probes, prints, and writes the profile.
pub(super) fn run(config: &Config, arguments: &ProbeArguments) -> Result<ExitCode, Problem> {
    let names: Vec<String> = match &arguments.token {
        Some(name) if config.hsm.contains_key(name) => vec![name.clone()],
        Some(name) => {
            let named: Vec<_> = config.hsm.keys().map(String::as_str).collect();
            let remedy = format!("name one of {}", named.join(", "));
            return Err(Problem::new("PC-HSM-NAME", format!("there is no token hsm.{name}"), remedy));
        }
        None => config.hsm.keys().cloned().collect(),
    };
    if arguments.write.is_some() && names.len() > 1 {
        return Err(Problem::new("PC-HSM-NAME", "a profile is of one token", "name the token before --write"));
    }
    let bar = indicatif::ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(120));
    let reports = probed(config, &names, &bar);
    bar.finish_and_clear();
    let (reports, by_gateway) = reports?;
    if by_gateway {
        tracing::info!("the gateway that runs has measured this, on sessions of its own");
    }
    let text = if arguments.json {
        serde_json::to_string_pretty(&reports).explain("PC-OUTPUT", "the report", "")? + "\n"
    } else {
        let who = if by_gateway { "by the gateway that runs, between its other work" } else { "without a gateway" };
        reports.iter().map(|report| described(report, who)).collect()
    };
    super::inspect::print(&text)?;
    if let (Some(path), Some(report)) = (&arguments.write, reports.first()) {
        let profile = report.profile.to_text().explain("PC-HSM-PROFILE", path.display(), "")?;
        fs::write(path, profile).explain("PC-HSM-PROFILE", path.display(), "choose a place that can be written")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The reports, and whether the gateway that runs has made them.
fn probed(config: &Config, names: &[String], bar: &indicatif::ProgressBar) -> Result<(Vec<Report>, bool), Problem> {
    let mut reports = Vec::with_capacity(names.len());
    for name in names {
        bar.set_message(format!("trying out hsm.{name}"));
        match control::probed(config, name)? {
            Some(report) => reports.push(report),
            None => return Ok((alone(config, names, bar)?, false)),
        }
    }
    Ok((reports, true))
}

fn alone(config: &Config, names: &[String], bar: &indicatif::ProgressBar) -> Result<Vec<Report>, Problem> {
    let memory: Arc<dyn Memory> = Arc::new(Looking::open(&config.store.path)?);
    let observer: Arc<dyn Observer> = Arc::new(Unobserved);
    let mut chosen = config.clone();
    chosen.hsm.retain(|name, _| names.contains(name));
    let pool = tokens::connect(&chosen, tokens::Groups::LeftAlone, &memory, &observer)?;
    let reports = names.iter().map(|name| {
        bar.set_message(format!("trying out hsm.{name}"));
        one(&pool, name)
    });
    let reports = reports.collect();
    pool.close();
    reports
}

fn one(pool: &Pool, name: &str) -> Result<Report, Problem> {
    let status = pool.status();
    let found = status.iter().find(|status| status.token.0 == name);
    let status = found.ok_or_else(|| Problem::new("PC-HSM-NAME", format!("there is no token hsm.{name}"), ""))?;
    if !serves(status) {
        let code = if status.health == "pin_rejected" { "PC-HSM-PIN" } else { "PC-HSM-NOT-READY" };
        return Err(Problem::new(code, tokens::describe(status), "mend that, then try again"));
    }
    let answer = control::block_on(pool.probe(&status.token))?;
    answer.map_err(|error| Problem::new("PC-HSM-PROBE", format!("hsm.{name}: {error}"), "run it again"))
}

/// What the store knows of tokens and refused PINs; a store that is not there is made when a PIN has to be remembered. A serial
/// is compared with the remembered one, but looking at a token for the first time does not bind it.
struct Looking {
    path: PathBuf,
    store: Mutex<Option<RawStore>>,
}

fn open(path: &Path) -> Result<RawStore, StoreError> {
    RawStore::open(path, SledOptions::default(), ends_when_it_fails(|_| {}))
}

impl Looking {
    fn open(path: &Path) -> Result<Self, Problem> {
        let store = match path.is_dir() {
            true => Some(open(path).explain("PC-STORE-OPEN", path.display(), "stop the program that uses it")?),
            false => None,
        };
        Ok(Self { path: path.to_owned(), store: Mutex::new(store) })
    }
}

impl Memory for Looking {
    fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.lock().as_ref().map_or(Ok(None), |store| store.recall(name))
    }

    fn remember(&self, name: &str, fact: &[u8]) -> Result<(), StoreError> {
        if name.ends_with("/serial") {
            return Ok(());
        }
        let mut store = self.store.lock();
        let store = match &mut *store {
            Some(store) => store,
            empty => empty.insert(open(&self.path)?),
        };
        store.remember(name, fact)
    }
}

fn described(report: &Report, who: &str) -> String {
    let table = |header: &[&str], rows: Vec<Vec<String>>| {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header(header.iter().copied());
        table.add_rows(rows);
        format!("{table}\n")
    };
    let pairs = |rows: &[(String, String)]| -> String {
        rows.iter().map(|(name, value)| format!("  {name:<40} {value}\n")).collect()
    };
    let findings = report.findings.iter().map(|finding| {
        let outcome = match finding.outcome {
            Outcome::Yes => "yes",
            Outcome::No => "no",
            Outcome::Untried => "not tried",
        };
        vec![finding.name.clone(), outcome.to_owned(), finding.detail.clone()]
    });
    let abilities = report.abilities.iter().map(|ability| {
        let by = ability.by.as_deref().unwrap_or("not supported");
        vec![ability.group.clone(), ability.name.clone(), by.to_owned()]
    });
    let mechanisms = report.mechanisms.iter().map(|one| {
        vec![one.group.clone(), one.name.clone(), format!("{} to {}", one.min, one.max), one.flags.join(" ")]
    });
    let trips = report.round_trips.iter().map(|trip| {
        vec![trip.call.clone(), trip.rounds.to_string(), format!("{} µs", trip.p50), format!("{} µs", trip.p99)]
    });
    let quirks = report.quirks.iter().map(|(name, value, source)| vec![name.clone(), value.clone(), source.clone()]);
    [
        format!("hsm.{}, tried out {who}\n{}", report.token, pairs(&report.identity)),
        format!("\nLimits\n{}", pairs(&report.limits)),
        format!("\nWhat works\n{}", table(&["request", "of", "by"], abilities.collect())),
        format!("\nTrials\n{}", table(&["trial", "works", "answer"], findings.collect())),
        format!("\nRound trips\n{}", table(&["call", "rounds", "half below", "99 % below"], trips.collect())),
        format!("\nQuirks\n{}", table(&["quirk", "value", "from"], quirks.collect())),
        format!(
            "\nThe token's list: {} mechanisms\n{}\n",
            report.mechanisms.len(),
            table(&["use", "mechanism", "key sizes", "flags"], mechanisms.collect())
        ),
    ]
    .concat()
}
