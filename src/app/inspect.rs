//! `portcullis check` and `portcullis hsm status`: what a configuration amounts to, without serving it.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::{
    fronts, gateway, policy,
    problem::{Explain, Problem},
    refusals, tokens,
};
use crate::{
    config::Config,
    engine::ports::{Hsm as _, Memory, TokenStatus},
    hsm::{Observer, Unobserved},
    kmip::PATH,
    store::{RawStore, sled::SledOptions},
};

/// Says what would be served; exit code 1 when a token is not ready.
pub(super) fn check(config: &Config) -> Result<ExitCode, Problem> {
    refusals::serve(config)?;
    let gateway::Certificates { kmip, rest, .. } = gateway::certificates(config)?;
    let rules = policy::authorizer(config)?;
    fronts::clients(config)?;
    fronts::authenticator(config)?;
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

/// Shows every token; exit code 1 when one is not ready.
pub(super) fn status(config: &Config, json: bool) -> Result<ExitCode, Problem> {
    let status = reach(config)?;
    let text = if json {
        let text = serde_json::to_string_pretty(&status).explain("PC-OUTPUT", "the status", "")?;
        text + "\n"
    } else {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "token",
            "health",
            "label",
            "serial",
            "model",
            "firmware",
            "sessions",
            "longest secret",
            "module",
        ]);
        for token in &status {
            table.add_row([
                token.token.0.clone(),
                token.health.to_owned(),
                token.label.clone(),
                token.serial.clone(),
                format!("{} {}", token.manufacturer, token.model),
                token.firmware.clone(),
                token.sessions.to_string(),
                format!("{} bytes", token.generic_secret_bytes_max),
                token.module.clone(),
            ]);
        }
        let troubles =
            status.iter().filter(|token| !serves(token)).map(|token| format!("{}\n", tokens::describe(token)));
        format!("{table}\n{}", troubles.collect::<String>())
    };
    print(&text)?;
    Ok(if status.iter().all(serves) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reaches the tokens once.
fn reach(config: &Config) -> Result<Vec<TokenStatus>, Problem> {
    // The store remembers refused PINs, so that looking twice does not burn a second try; a gateway that runs holds it.
    let store = config.store.path.is_dir().then(|| {
        let options = SledOptions::default();
        RawStore::open(&config.store.path, options, Box::new(|reason| tracing::warn!(reason, "the store failed")))
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
    let pool = tokens::connect(config, &memory, &observer)?;
    let status = pool.status();
    pool.close();
    Ok(status)
}

fn serves(token: &TokenStatus) -> bool {
    matches!(token.health, "ready" | "degraded")
}

fn date(seconds: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| "?".to_owned(), |time| time.date().to_string())
}

/// Prints on standard output.
pub(super) fn print(text: &str) -> Result<(), Problem> {
    io::stdout().write_all(text.as_bytes()).explain("PC-OUTPUT", "standard output", "")
}
