//! `portcullis hsm provision`: a security officer prepares a token for the gateway, once.
//!
//! Initialising, the user PIN and the trusted attribute need the SO, who logs in here and nowhere else; the gateway's own keys, the
//! group's wrapping key and its canary are made as at a start. Everything is looked at first, so the command may be run again. What
//! the token would not do is said, and is no failure: the gateway serves without a trusted key.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    control::{self, Prepared},
    problem::{Explain as _, Problem},
    tokens,
};
use crate::{
    config::{Config, Isolation},
    domain::SecretValue,
    engine::ports::Memory as _,
    hsm::{
        self,
        provision::{GroupKey, Officer, Outcome, Step, is_usable, prepare, shows_group_key, trust},
    },
    store::{RawStore, sled::SledOptions},
};

/// Which token, and by whose word.
#[derive(Debug, Args)]
pub(super) struct ProvisionArguments {
    /// The configuration file; config/gateway.toml documents every option.
    #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// The configured name of the token; not needed where there is one.
    #[arg(value_name = "TOKEN")]
    token: Option<String>,
    /// The file that holds the PIN of the security officer, in one line.
    #[arg(long, value_name = "FILE", required_unless_present = "so_pin_env", conflicts_with = "so_pin_env")]
    so_pin_file: Option<PathBuf>,
    /// The variable of the environment that holds it.
    #[arg(long, value_name = "NAME")]
    so_pin_env: Option<String>,
    /// Initialises the token if it has not been: it gets the configured label and this PIN of the officer. A token that is
    /// initialised stays as it is.
    #[arg(long)]
    init: bool,
    /// Has the officer make the wrapping key of the token's replicated group, trusted: before the group's first start, on one of
    /// its tokens. Such a key can be seen without log-in.
    #[arg(long)]
    trusted_group_key: bool,
    /// Tries the officer's PIN although the token says that one was refused since the officer's last log-in.
    #[arg(long)]
    retry_refused_pin: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl ProvisionArguments {
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// The officer works in this process, on the token's module and on those of its group: they want their environment here,
    /// wherever the gateway runs them.
    pub(super) fn brings_here(&self, config: &Config) -> Vec<String> {
        let Ok(name) = name(config, self.token.as_deref()) else { return Vec::new() };
        let group = config.groups.values().find(|group| group.tokens.contains(&name));
        let others = group.filter(|_| self.trusted_group_key).map_or_else(Vec::new, |group| group.tokens.clone());
        [vec![name], others].concat()
    }
}

#[derive(Serialize)]
struct Report<'a> {
    token: &'a str,
    steps: Vec<Step>,
}

/// Carries it out and prints what was done.
pub(super) fn run(config: Config, arguments: &ProvisionArguments) -> Result<ExitCode, Problem> {
    let name = name(&config, arguments.token.as_deref())?;
    let so_pin = so_pin(arguments)?;
    let hsm = config
        .hsm
        .get(&name)
        .ok_or_else(|| Problem::new("PC-HSM-NAME", format!("there is no token hsm.{name}"), ""))?;
    let token = tokens::token(&name, hsm, &config.log)?;
    let officer = Officer { pin: so_pin, may_retry: arguments.retry_refused_pin };
    let mut steps = Vec::new();
    let outcome = carry_out(&config, arguments, &token, &officer, &mut steps);

    // What was changed is told, also when a later step went wrong.
    if outcome.is_ok() || steps.iter().any(|step| step.outcome == Outcome::Done) {
        let report = Report { token: &name, steps };
        let text = if arguments.json {
            serde_json::to_string_pretty(&report).explain("PC-OUTPUT", "the report", "")? + "\n"
        } else {
            described(&report)
        };
        super::inspect::print(&text)?;
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

fn carry_out(
    config: &Config,
    arguments: &ProvisionArguments,
    token: &hsm::Config,
    officer: &Officer,
    steps: &mut Vec<Step>,
) -> Result<(), Problem> {
    let trouble = |what: String| {
        Problem::new("PC-HSM-PROVISION", format!("hsm.{}: {what}", token.name), "what was done before stays done")
    };
    prepare(token, officer, arguments.init, steps).map_err(trouble)?;
    let key = group_key(config, token, arguments.trusted_group_key)?;
    // What the officer makes has to be there before the group makes its own.
    if key == GroupKey::Make {
        steps.push(trust(token, officer, key).map_err(trouble)?);
    }
    steps.push(own_keys(config, &token.name)?);
    if key != GroupKey::Make {
        steps.push(trust(token, officer, key).map_err(trouble)?);
    }
    Ok(())
}

fn described(report: &Report<'_>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["step", "outcome", "what there is to say"]);
    for Step { step, outcome, note } in &report.steps {
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Already => "done before",
            Outcome::Refused => "the token would not",
            Outcome::Skipped => "left out",
        };
        table.add_row([step, outcome, note]);
    }
    format!("hsm.{}\n{table}\n", report.token)
}

fn name(config: &Config, named: Option<&str>) -> Result<String, Problem> {
    let mut names = config.hsm.keys();
    match (named, names.next(), names.next()) {
        (Some(name), ..) => Ok(name.to_owned()),
        (None, Some(only), None) => Ok(only.clone()),
        _ => Err(Problem::new("PC-HSM-NAME", "the configuration has several tokens", "name one")),
    }
}

/// Never an argument: those are shown to everybody on the machine.
fn so_pin(arguments: &ProvisionArguments) -> Result<SecretValue, Problem> {
    let remedy = "give it in one line, by --so-pin-file or --so-pin-env";
    let bytes = match (&arguments.so_pin_file, &arguments.so_pin_env) {
        (Some(path), _) => Zeroizing::new(fs::read(path).explain("PC-HSM-PIN", path.display(), remedy)?),
        (None, Some(name)) => {
            Zeroizing::new(env::var(name).explain("PC-HSM-PIN", format!("the variable {name}"), remedy)?.into_bytes())
        }
        (None, None) => Zeroizing::default(),
    };
    tokens::line(bytes.to_vec()).ok_or_else(|| Problem::new("PC-HSM-PIN", "the SO PIN is not one line", remedy))
}

/// A fact of the store, if there is one.
fn recall(config: &Config, fact: &str) -> Result<Option<Vec<u8>>, Problem> {
    if !config.store.path.exists() {
        return Ok(None);
    }
    let store = RawStore::open(&config.store.path, SledOptions::default(), Box::new(|_reason| {}));
    let store = store.explain("PC-STORE-OPEN", config.store.path.display(), "stop the gateway that uses it")?;
    store.recall(fact).explain("PC-STORE-OPEN", "what is known of the tokens", "")
}

/// What is to be done about the group's wrapping key. It is made by the officer only while there is none anywhere.
fn group_key(config: &Config, token: &hsm::Config, wanted: bool) -> Result<GroupKey, Problem> {
    let name = token.name.as_str();
    let group =
        config.groups.iter().find(|(_, group)| group.replicas.size() > 1 && group.tokens.iter().any(|one| one == name));
    let Some((group_name, group)) = group else { return Ok(GroupKey::None) };
    if !wanted {
        return Ok(GroupKey::IfThere);
    }
    if recall(config, &format!("group/{group_name}/key"))?.is_some() {
        return Ok(GroupKey::IfThere);
    }
    for other in group.tokens.iter().filter(|other| *other != name) {
        let Some(hsm) = config.hsm.get(other) else { continue };
        let other = tokens::token(other, hsm, &config.log)?;
        let trouble =
            |what| Problem::new("PC-HSM-PROVISION", format!("hsm.{}: {what}", other.name), "it may have the key");
        match shows_group_key(&other).map_err(trouble)? {
            Some(true) => return Ok(GroupKey::IfThere),
            Some(false) => {}
            // The module that shows this one shows every token that has been initialised.
            None if (&other.module, &other.reserved) == (&token.module, &token.reserved) => {}
            None => return Err(trouble("the token is not there".to_owned())),
        }
    }
    Ok(GroupKey::Make)
}

/// The keys that the gateway makes for itself, the group's canary among them: by a start that opens no listener.
fn own_keys(config: &Config, name: &str) -> Result<Step, Problem> {
    const STEP: &str = "own keys, transport key and canary";
    for (other, hsm) in &config.hsm {
        // What a process of its own would show is seen at the start.
        let token = tokens::token(other, hsm, &config.log)?;
        let is_here = other == name || hsm.isolation == Isolation::Thread;
        if is_here && !is_usable(&token).unwrap_or(false) {
            let note = format!(
                "hsm.{other} is not ready yet; they are made at the first start, or by the next run of this command"
            );
            return Ok(Step::new(STEP, Outcome::Skipped, note));
        }
    }
    // A token that the gateway has reached before is remembered by its serial.
    let is_new = recall(config, &hsm::serial_fact(name)).is_ok_and(|serial| serial.is_none());
    Ok(match control::prepared(config.clone())? {
        Prepared::All if is_new => Step::new(STEP, Outcome::Done, WHERE),
        Prepared::All => Step::new(STEP, Outcome::Already, WHERE),
        Prepared::Running => Step::new(STEP, Outcome::Already, "the gateway that runs has them"),
        Prepared::AllBut(away) => Step::new(STEP, Outcome::Skipped, format!("{away}; run the command again")),
    })
}

/// Where they are.
const WHERE: &str = "on the first configured token, or on every token of its group";
