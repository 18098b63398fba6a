//! The command beside the module: makes, lists, checks, copies and destroys tokens, controls faults, measures.

mod bench;
mod show;

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use hsm_sim::{
    admin,
    config::{Config, DEFAULT_STORE},
    fault::{control, scenario},
};
use zeroize::Zeroizing;

/// Sets up, controls, checks and measures simulated HSM tokens.
///
/// A simulated HSM is software: its keys are as safe as the computer they lie on.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Exit status: 0 done; 1 failed, or `fsck` found something wrong; 2 wrong usage."
)]
struct Arguments {
    /// The store's folder.
    #[arg(long, global = true, env = "HSM_SIM_STORE", default_value = DEFAULT_STORE)]
    store: PathBuf,
    /// The options file.
    #[arg(long, global = true, env = "HSM_SIM_CONFIG")]
    config: Option<PathBuf>,
    /// Answers in JSON, errors too.
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
    /// Checks the databases and opens every object.
    Fsck {
        /// Only the token of this label.
        #[arg(long)]
        label: Option<String>,
        /// A file with the user PIN; without it private objects are counted and not opened. A wrong PIN costs a try.
        #[arg(long)]
        pin_file: Option<PathBuf>,
    },
    /// Copies the store to a new folder while it is used. The copy holds the device key: guard it like the store.
    Backup {
        /// The folder, which must not be there or be empty.
        to: PathBuf,
    },
    /// Overwrites and deletes a token, or with --all the whole store.
    ///
    /// On solid-state and copy-on-write storage overwriting reaches a new place and leaves the old one to the device; what
    /// makes objects unreadable there is that PIN records and keys are gone. Whoever must be sure destroys the medium.
    Wipe {
        /// The token's serial, as `list` shows it.
        #[arg(long, required_unless_present = "all", conflicts_with = "all")]
        serial: Option<String>,
        /// The whole store with its device key.
        #[arg(long)]
        all: bool,
        /// Does it; without this it is only said what would be done.
        #[arg(long)]
        yes: bool,
    },
    /// Measures modules side by side: this one, SoftHSM2 where it is installed, and those named.
    Bench(bench::Options),
    /// One module's part of `bench`, in a process of its own.
    #[command(hide = true)]
    BenchChild(bench::ChildOptions),
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
    #[command(visible_alias = "rules")]
    Plan,
    /// Takes the installed plan away and releases what it holds.
    Clear,
    /// Lets hanging calls go on and puts tokens back in their slots.
    Release,
    /// Shows what was counted.
    Stats,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.json;
    match run(arguments) {
        Ok(code) => code,
        Err(error) if json => {
            eprintln!("{}", serde_json::json!({ "ok": false, "error": format!("{error:#}") }));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("hsm-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { store, config, json, command }: Arguments) -> Result<ExitCode> {
    match command {
        Command::Init { label, so_pin_file, pin_file } => {
            let config = config.map_or_else(|| Ok(Config::default()), |path| Config::load(&path))?;
            let (so_pin, pin) = (read_pin(&so_pin_file)?, read_pin(&pin_file)?);
            let token = admin::init_token_with(&store, &config, &label, &so_pin, &pin)?;
            show::tokens(&[token], json)?;
        }
        Command::List => show::tokens(&admin::tokens(&store)?, json)?,
        Command::Ctl(ctl) => control(&store, ctl, json)?,
        Command::Fsck { label, pin_file } => {
            let pin = pin_file.map(|path| read_pin(&path)).transpose()?;
            let pin = pin.as_ref().map(|pin| pin.as_slice());
            let bar = show::bar("checking");
            let reports = admin::fsck(&store, label.as_deref(), pin, &mut |done, total| show::step(&bar, done, total))?;
            bar.finish_and_clear();
            show::reports(&reports, json)?;
            if reports.iter().any(|report| !report.problems.is_empty()) {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Backup { to } => {
            let bar = show::bar("copying");
            let backup = admin::backup(&store, &to, &mut |done, total| show::step(&bar, done, total))?;
            bar.finish_and_clear();
            show::backup(&backup, &to, json)?;
        }
        Command::Wipe { serial, all: _, yes } => wipe(&store, serial.as_deref(), yes, json)?,
        Command::Bench(options) => bench::parent(&options, json)?,
        Command::BenchChild(options) => bench::child(&options)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn control(store: &Path, ctl: Ctl, json: bool) -> Result<()> {
    match ctl {
        Ctl::Set { plan } => control::install(store, &read_plan(&plan)?)?,
        Ctl::Scenario { name, seed } => control::install_scenario(store, &name, seed)?,
        Ctl::Scenarios => return show::scenarios(scenario::SCENARIOS, json),
        Ctl::Plan => return show::plan(control::plan(store)?, json),
        Ctl::Clear => control::clear(store)?,
        Ctl::Release => control::release(store)?,
        Ctl::Stats => return show::stats(&control::stats(store)?, json),
    }
    show::done(json);
    Ok(())
}

fn wipe(store: &Path, serial: Option<&str>, yes: bool, json: bool) -> Result<()> {
    let what = serial.map_or_else(|| format!("the store {}", store.display()), |serial| format!("the token {serial}"));
    anyhow::ensure!(yes, "{what} would be destroyed for good; say --yes if that is meant");
    let bar = show::bar("overwriting");
    let files = admin::wipe(store, serial, &mut |done, total| show::step(&bar, done, total))?;
    bar.finish_and_clear();
    show::wiped(&what, files, json)
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
