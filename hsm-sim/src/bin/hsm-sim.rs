//! The command beside the module: makes and lists tokens, and controls faults.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use hsm_sim::{
    admin::{self, TokenSummary},
    config::{Config, DEFAULT_STORE},
    fault::{control, scenario},
};
use zeroize::Zeroizing;

/// Sets up and controls simulated HSM tokens.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The store's folder.
    #[arg(long, global = true, env = "HSM_SIM_STORE", default_value = DEFAULT_STORE)]
    store: PathBuf,
    /// The options file.
    #[arg(long, global = true, env = "HSM_SIM_CONFIG")]
    config: Option<PathBuf>,
    /// Answers in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an initialised token.
    Init {
        /// The token's label, at most 32 bytes.
        #[arg(long)]
        label: String,
        /// A file with the SO PIN; a line end after it is not part of it.
        #[arg(long)]
        so_pin_file: PathBuf,
        /// A file with the user PIN.
        #[arg(long)]
        pin_file: PathBuf,
    },
    /// Lists the tokens of the store.
    List,
    /// Controls the faults of every process that uses the store.
    #[command(subcommand)]
    Ctl(Ctl),
}

#[derive(Subcommand)]
enum Ctl {
    /// Installs a fault plan, a TOML file with a [faults] table, and starts the counts anew.
    Set {
        /// The file, or `-` for standard input.
        plan: PathBuf,
    },
    /// Installs a named scenario.
    Scenario {
        /// Its name; `scenarios` lists them.
        name: String,
        /// Makes its random decisions reproducible.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Lists the scenarios.
    Scenarios,
    /// Shows the installed plan.
    Plan,
    /// Takes the installed plan away and releases what it holds.
    Clear,
    /// Lets hanging calls go on and puts tokens back in their slots.
    Release,
    /// Shows what was counted.
    Stats,
}

fn main() -> Result<()> {
    let Arguments { store, config, json, command } = Arguments::parse();
    match command {
        Command::Init { label, so_pin_file, pin_file } => {
            let config = config.map_or_else(|| Ok(Config::default()), |path| Config::load(&path))?;
            let (so_pin, pin) = (read_pin(&so_pin_file)?, read_pin(&pin_file)?);
            let token = admin::init_token_with(&store, &config, &label, &so_pin, &pin)?;
            show(&[token], json)
        }
        Command::List => show(&admin::tokens(&store)?, json),
        Command::Ctl(Ctl::Set { plan }) => {
            control::install(&store, &read_plan(&plan)?)?;
            Ok(())
        }
        Command::Ctl(Ctl::Scenario { name, seed }) => Ok(control::install_scenario(&store, &name, seed)?),
        Command::Ctl(Ctl::Scenarios) => show_scenarios(json),
        Command::Ctl(Ctl::Plan) => show_plan(control::plan(&store)?, json),
        Command::Ctl(Ctl::Clear) => Ok(control::clear(&store)?),
        Command::Ctl(Ctl::Release) => Ok(control::release(&store)?),
        Command::Ctl(Ctl::Stats) => show_stats(&control::stats(&store)?, json),
    }
}

fn read_pin(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let mut pin = Zeroizing::new(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    while matches!(pin.last(), Some(b'\n' | b'\r')) {
        pin.pop();
    }
    Ok(pin)
}

fn read_plan(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn show(tokens: &[TokenSummary], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(tokens)?);
        return Ok(());
    }
    for token in tokens {
        let label = if token.is_initialised { token.label.as_str() } else { "(not initialised)" };
        let tries = token.user_tries_left.map_or_else(|| "no user PIN".to_owned(), |left| format!("{left} tries left"));
        println!("slot {:<10} serial {} {tries:<14} {label}", token.slot, token.serial);
    }
    Ok(())
}

fn show_scenarios(json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(scenario::SCENARIOS)?);
        return Ok(());
    }
    for scenario in scenario::SCENARIOS {
        println!("{:<18} {}", scenario.name, scenario.about);
    }
    Ok(())
}

fn show_plan(plan: Option<String>, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "plan": plan }))?);
    } else if let Some(plan) = plan {
        println!("{}", plan.trim_end());
    }
    Ok(())
}

fn show_stats(stats: &control::Stats, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(stats)?);
        return Ok(());
    }
    println!("{} faults injected", stats.injected_total);
    for (function, calls) in &stats.calls {
        let injected = stats.injected.get(function).copied().unwrap_or_default();
        println!("{function:<28} {calls:>10} calls {injected:>8} faults");
    }
    for (mechanism, calls) in &stats.mechanisms {
        println!("{mechanism:<28} {calls:>10} calls");
    }
    for (code, answers) in &stats.answers {
        println!("{code:<36} {answers:>10} answers");
    }
    for (place, rule) in stats.rules.iter().enumerate() {
        println!("rule {:<3} matched {:>10} fired {:>8}", place + 1, rule.matched, rule.fired);
    }
    Ok(())
}
