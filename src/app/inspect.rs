//! `portcullis check`, `hsm status` and `hsm rebind`: what a configuration amounts to, without serving it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use parking_lot::Mutex;
use serde_json::Value;

use super::{
    control,
    enrolled::{Register, file_of},
    fronts, gateway, notices, policy,
    problem::{Explain, Problem, ends_when_it_fails},
    refusals,
    tokens::{self, serves},
};
use crate::{
    config::Config,
    engine::ports::{Hsm as _, Memory, StoreError, TokenStatus},
    hsm::{Observer, Unobserved, serial_fact},
    kmip::PATH,
    store::{RawStore, sled::SledOptions},
};

/// Says what would be served; exit code 1 when a token is not ready.
pub(super) fn check(config: &Config) -> Result<ExitCode, Problem> {
    refusals::serve(config)?;
    let gateway::Certificates { kmip, rest, .. } = gateway::certificates(config)?;
    let rules = policy::authorizer(config)?;
    Register::read(&file_of(config))?.with(config)?;
    fronts::authenticator(config)?;
    notices::prepare(config)?;
    let status = reach(config)?;
    refusals::tokens(config, &status)?;

    let versions = config.kmip.versions.iter().map(|version| version.word()).collect::<Vec<_>>().join(" ");
    let clients = config.kmip.clients.iter().map(|client| client.name.as_str()).collect::<Vec<_>>().join(" ");
    let scheme = if rest.is_some() { "https" } else { "http" };
    let https = config.kmip.https_listen.map_or_else(|| "off".to_owned(), |listen| format!("https://{listen}{PATH}"));
    let lines = [
        ("kmip", format!("{}, versions {versions}", config.kmip.listen)),
        ("kmip over HTTPS", https),
        ("kmip certificate", format!("{}, until {}", kmip.summary().subject, date(kmip.summary().not_after))),
        ("kmip clients", clients),
        ("rest", format!("{scheme}://{}, {}", config.rest.listen, config.rest.auth.mode.word())),
        ("rest rules", format!("{}, {} rules", config.rest.policy.defaults.word(), rules.names().len())),
        ("ops", format!("http://{}", config.ops.listen)),
        ("store", config.store.path.display().to_string()),
        ("audit", config.audit.path.display().to_string()),
    ];
    let mut text = String::new();
    for (what, value) in lines {
        text.push_str(&format!("{what:<17} {value}\n"));
    }
    for token in &status {
        text.push_str(&format!(
            "{:<17} {}, serial {}, {}\n",
            format!("hsm.{}", token.token.0),
            token.label,
            token.serial,
            token.health
        ));
    }
    print(&text)?;
    match status.iter().find(|token| !serves(token)) {
        Some(token) => Err(Problem::new("PC-HSM-NOT-READY", tokens::describe(token), "mend that, then check again")),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Shows every token, as the gateway that runs sees it, or as it is found when none does; exit code 1 when one is not ready.
pub(super) fn status(config: &Config, json: bool) -> Result<ExitCode, Problem> {
    let status = match control::tokens(config)? {
        Some(status) => status,
        None => {
            let status = reach(config)?.iter().map(serde_json::to_value).collect::<Result<_, _>>();
            status.explain("PC-OUTPUT", "the status", "")?
        }
    };
    let said = |token: &Value, key: &str| match token.get(key) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    let serves = |token: &Value| matches!(said(token, "health").as_str(), "ready" | "degraded");
    let text = if json {
        let text = serde_json::to_string_pretty(&status).explain("PC-OUTPUT", "the status", "")?;
        text + "\n"
    } else {
        const COLUMNS: &[(&str, &str)] = &[
            ("token", "token"),
            ("group", "group"),
            ("health", "health"),
            ("owed", "owed"),
            ("label", "label"),
            ("serial", "serial"),
            ("model", "model"),
            ("firmware", "firmware"),
            ("sessions", "sessions"),
            ("longest secret", "generic_secret_bytes_max"),
            ("module", "module"),
        ];
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header(COLUMNS.iter().map(|(title, _)| *title));
        for token in &status {
            table.add_row(COLUMNS.iter().map(|(_, key)| match *key {
                "model" => format!("{} {}", said(token, "manufacturer"), said(token, key)),
                "generic_secret_bytes_max" => format!("{} bytes", said(token, key)),
                key => said(token, key),
            }));
        }
        let troubles = status.iter().filter(|token| !serves(token)).map(|token| {
            let reason = token.get("reason").and_then(Value::as_str).unwrap_or("no reason is known");
            format!("hsm.{} is {}: {reason}\n", said(token, "token"), said(token, "health"))
        });
        format!("{table}\n{}", troubles.collect::<String>())
    };
    print(&text)?;
    Ok(if status.iter().all(serves) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Puts the serial that a token shows now in the place of the remembered one. Whether the token carries the store's keys, the
/// next start finds out.
pub(super) fn rebind(config: &Config, name: Option<&str>) -> Result<ExitCode, Problem> {
    let mut names = config.hsm.keys();
    let name = match (name, names.next(), names.next()) {
        (Some(name), ..) => name,
        (None, Some(only), None) => only,
        _ => {
            return Err(Problem::new("PC-HSM-NAME", "the configuration has several tokens", "choose one with --token"));
        }
    };
    let store = RawStore::open(&config.store.path, SledOptions::default(), ends_when_it_fails(|_| {}));
    let store = store.explain("PC-STORE-OPEN", config.store.path.display(), "stop the gateway that uses it")?;
    let unbound = Arc::new(Unbound { store: store.clone(), serials: Mutex::default() });
    let memory: Arc<dyn Memory> = Arc::clone(&unbound) as Arc<dyn Memory>;
    let observer: Arc<dyn Observer> = Arc::new(Unobserved);
    let pool = tokens::connect(config, tokens::Groups::LeftAlone, &memory, &observer)?;
    let status = pool.status();
    pool.close();
    let no_token = || Problem::new("PC-HSM-NAME", format!("there is no token hsm.{name}"), "correct --token");
    let token = status.iter().find(|token| token.token.0 == name).ok_or_else(no_token)?;
    if !serves(token) {
        return Err(Problem::new("PC-HSM-NOT-READY", tokens::describe(token), "mend that, then try again"));
    }
    let fact = serial_fact(name);
    let shown = unbound.serials.lock().remove(&fact).unwrap_or_default();
    let remembered = store.recall(&fact).explain("PC-STORE-OPEN", "what is known of the token", "")?;
    let text = |serial: &[u8]| String::from_utf8_lossy(serial).into_owned();
    let said = match remembered {
        Some(serial) if serial == shown => format!("hsm.{name} is the token it was: serial {}\n", text(&shown)),
        before => {
            store.remember(&fact, &shown).explain("PC-STORE-OPEN", "the new serial cannot be kept", "")?;
            let before = before.map_or_else(|| "no serial".to_owned(), |serial| format!("serial {}", text(&serial)));
            format!("hsm.{name} was {before} and is serial {} from now on\n", text(&shown))
        }
    };
    print(&said)?;
    Ok(ExitCode::SUCCESS)
}

/// The store's memory without its serials: every token is taken as the first of its name, and no PIN is tried that was refused.
struct Unbound {
    store: RawStore,
    serials: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Memory for Unbound {
    fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if name.ends_with("/serial") { Ok(None) } else { self.store.recall(name) }
    }

    fn remember(&self, name: &str, fact: &[u8]) -> Result<(), StoreError> {
        if !name.ends_with("/serial") {
            return self.store.remember(name, fact);
        }
        self.serials.lock().insert(name.to_owned(), fact.to_vec());
        Ok(())
    }
}

/// Reaches the tokens once.
fn reach(config: &Config) -> Result<Vec<TokenStatus>, Problem> {
    // The store remembers refused PINs, so that looking twice does not burn a second try; a gateway that runs holds it.
    let store = config.store.path.is_dir().then(|| {
        let options = SledOptions::default();
        RawStore::open(&config.store.path, options, ends_when_it_fails(|_| {}))
    });
    let memory: Arc<dyn Memory> = match store {
        Some(Ok(store)) => Arc::new(store),
        Some(Err(error)) => {
            tracing::info!(%error, "refused PINs are not remembered this time");
            Arc::new(RawStore::in_memory())
        }
        None => Arc::new(RawStore::in_memory()),
    };
    let observer: Arc<dyn Observer> = Arc::new(Unobserved);
    let pool = tokens::connect(config, tokens::Groups::LeftAlone, &memory, &observer)?;
    let status = pool.status();
    pool.close();
    Ok(status)
}

fn date(seconds: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| "?".to_owned(), |time| time.date().to_string())
}

/// Prints on standard output.
pub(super) fn print(text: &str) -> Result<(), Problem> {
    io::stdout().write_all(text.as_bytes()).explain("PC-OUTPUT", "standard output", "")
}
