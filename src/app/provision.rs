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
    control,
    problem::{Explain as _, Problem},
    tokens,
};
use crate::{
    config::Config,
    domain::SecretValue,
    engine::ports::Memory as _,
    hsm::provision::{GroupKey, Outcome, Step, is_usable, prepare, shows_group_key, trust},
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
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl ProvisionArguments {
    pub(super) fn config(&self) -> &Path {
        &self.config
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
    let trouble = |what: String| {
        Problem::new("PC-HSM-PROVISION", format!("hsm.{name}: {what}"), "what was done before stays done")
    };

    let mut steps = prepare(&token, &so_pin, arguments.init).map_err(trouble)?;
    let key = group_key(&config, &name, arguments.trusted_group_key)?;
    // What the officer makes has to be there before the group makes its own.
    if key == GroupKey::Make {
        steps.push(trust(&token, &so_pin, key).map_err(trouble)?);
    }
    steps.push(own_keys(&config)?);
    if key != GroupKey::Make {
        steps.push(trust(&token, &so_pin, key).map_err(trouble)?);
    }

    let report = Report { token: &name, steps };
    let text = if arguments.json {
        serde_json::to_string_pretty(&report).explain("PC-OUTPUT", "the report", "")? + "\n"
    } else {
        described(&report)
    };
    super::inspect::print(&text)?;
    Ok(ExitCode::SUCCESS)
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

/// What is to be done about the group's wrapping key. It is made by the officer only while there is none anywhere.
fn group_key(config: &Config, name: &str, wanted: bool) -> Result<GroupKey, Problem> {
    let group =
        config.groups.iter().find(|(_, group)| group.replicas.size() > 1 && group.tokens.iter().any(|one| one == name));
    let Some((group_name, group)) = group else { return Ok(GroupKey::None) };
    if !wanted {
        return Ok(GroupKey::IfThere);
    }
    if config.store.path.exists() {
        let store = RawStore::open(&config.store.path, SledOptions::default(), Box::new(|_reason| {}));
        let store = store.explain("PC-STORE-OPEN", config.store.path.display(), "stop the gateway that uses it")?;
        let fact = store.recall(&format!("group/{group_name}/key"));
        if fact.explain("PC-STORE-OPEN", "what is known of the group", "")?.is_some() {
            return Ok(GroupKey::IfThere);
        }
    }
    for other in group.tokens.iter().filter(|other| *other != name) {
        let Some(hsm) = config.hsm.get(other) else { continue };
        let shows = shows_group_key(&tokens::token(other, hsm, &config.log)?);
        if shows
            .map_err(|what| Problem::new("PC-HSM-PROVISION", format!("hsm.{other}: {what}"), "it may have the key"))?
        {
            return Ok(GroupKey::IfThere);
        }
    }
    Ok(GroupKey::Make)
}

/// The keys that the gateway makes for itself, the group's canary among them: by a start that opens no listener.
fn own_keys(config: &Config) -> Result<Step, Problem> {
    const STEP: &str = "own keys, transport key and canary";
    for (name, hsm) in &config.hsm {
        let token = tokens::token(name, hsm, &config.log)?;
        if !is_usable(&token).unwrap_or(false) {
            let note = format!(
                "hsm.{name} is not ready yet; they are made at the first start, or by the next run of this command"
            );
            return Ok(Step::new(STEP, Outcome::Skipped, note));
        }
    }
    let is_new = !config.store.path.exists();
    if control::prepared(config.clone())? {
        let note = "on the first configured token, or on every token of its group";
        Ok(Step::new(STEP, if is_new { Outcome::Done } else { Outcome::Already }, note))
    } else {
        Ok(Step::new(STEP, Outcome::Already, "the gateway that runs has them"))
    }
}
