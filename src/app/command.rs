//! The command line.

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, ExitCode},
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    adopt, backup, client, control, dev, enrol, fsck, gateway, inspect, isolated,
    isolated::LogFormat,
    policy, probe,
    problem::{Explain, Problem},
    provision, token, trail,
};
use crate::{
    config::{self, Config, Isolation, Rules},
    telemetry::logging,
};

/// A key-management gateway: KMIP and the Barbican API in front of PKCS#11 HSMs.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a complete gateway on this machine, with a simulated HSM and certificates of its own.
    Dev(DevArguments),
    /// Runs the gateway that a configuration file describes.
    Serve(ConfigArguments),
    /// Says what is wrong with a configuration, reaches its HSM, and prints what would be served.
    Check(ConfigArguments),
    /// Talks KMIP to a gateway: for people and smoke tests.
    Kmip(client::ClientArguments),
    /// Enrols, lists and revokes KMIP clients.
    #[command(subcommand)]
    Client(enrol::ClientCommand),
    /// Writes a backup of the metadata store, while the gateway serves or without it: records and references, never a value.
    Backup(backup::BackupArguments),
    /// Verifies a backup and puts it in the place of the metadata store; compares it with the tokens. The gateway must be stopped.
    Restore(backup::RestoreArguments),
    /// Works on the metadata store.
    #[command(subcommand)]
    Store(backup::StoreCommand),
    /// Works on audit trails.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Looks at the tokens of a configuration.
    #[command(subcommand)]
    Hsm(HsmCommand),
    /// Looks at the rules of the Barbican API.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Works on a project as a whole.
    #[command(subcommand)]
    Project(ProjectCommand),
    /// The process of an isolated module: the gateway starts it, nobody else.
    #[command(name = "__module", hide = true)]
    Module {
        #[arg(long, value_name = "FORMAT")]
        log_format: LogFormat,
        #[arg(long, value_name = "LEVEL")]
        log_level: String,
    },
    /// Makes a static bearer token for the Barbican API, and prints the section of the configuration that lets it in.
    Token(token::TokenArguments),
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Says whether a request would be allowed, and by which rule: exit code 0 when it would, 1 when not.
    Explain(policy::ExplainArguments),
}

#[derive(Debug, Subcommand)]
enum ProjectCommand {
    /// Removes everything of a project: orders, containers, secrets and keys with their values, quotas.
    Purge {
        #[command(flatten)]
        config: ConfigArguments,
        /// The project's id.
        #[arg(value_name = "ID")]
        project: String,
    },
}

/// Which configuration.
#[derive(Debug, Args)]
struct ConfigArguments {
    /// The configuration file; config/gateway.toml documents every option.
    #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
    config: PathBuf,
}

/// Where and what `dev` is.
#[derive(Clone, Debug, Args)]
pub(super) struct DevArguments {
    /// The folder of everything; made when it is missing, reused when it is there.
    #[arg(long, default_value = "./portcullis-dev", value_name = "DIR")]
    pub(super) dir: PathBuf,
    /// Where KMIP listens [default: 127.0.0.1:5696]; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) kmip: Option<SocketAddr>,
    /// Where KMIP over HTTPS listens [default: 127.0.0.1:5695, or a free port where --kmip is given].
    #[arg(long, value_name = "ADDRESS")]
    pub(super) kmip_https: Option<SocketAddr>,
    /// Where the Barbican API listens [default: 127.0.0.1:9311].
    #[arg(long, value_name = "ADDRESS")]
    pub(super) rest: Option<SocketAddr>,
    /// Where metrics and health listen [default: 127.0.0.1:9380].
    #[arg(long, value_name = "ADDRESS")]
    pub(super) ops: Option<SocketAddr>,
    /// The built-in rules of the Barbican API [default: secure].
    #[arg(long, value_enum)]
    pub(super) policy: Option<Policy>,
    /// A PKCS#11 module to use instead of the simulated HSM.
    #[arg(long, value_name = "PATH", requires_all = ["token_label", "pin_file"])]
    pub(super) module: Option<PathBuf>,
    /// The label of that module's token.
    #[arg(long, value_name = "LABEL", requires = "module")]
    pub(super) token_label: Option<String>,
    /// The file with the user PIN of that token.
    #[arg(long, value_name = "FILE", requires = "module")]
    pub(super) pin_file: Option<PathBuf>,
}

/// The built-in rules.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Policy {
    /// As Barbican 23.
    Secure,
    /// As older releases.
    Legacy,
}

impl From<Policy> for Rules {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Secure => Self::Secure,
            Policy::Legacy => Self::Legacy,
        }
    }
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Checks the hash chain of a trail: exit code 0 when it holds, 1 with the first bad line.
    Verify {
        /// The files of the trail in order, or its folder.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The public key of the checkpoints, PEM or DER; without it signatures are not checked.
        #[arg(long, value_name = "PUB")]
        key: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum HsmCommand {
    /// Shows every token: health, identity, sessions.
    Status {
        #[command(flatten)]
        config: ConfigArguments,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compares every token with the records: values that are missing, names without a record. Changes nothing; exit code 1 when
    /// there are any.
    Fsck {
        #[command(flatten)]
        config: ConfigArguments,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes a key that stands on a token already a managed object of a project, where it is: by its CKA_ID or label, which
    /// change. Of two matches none is taken.
    Adopt(adopt::AdoptArguments),
    /// Tries out what tokens can do: mechanisms, limits, answers, round trips. With session objects only; where the gateway
    /// runs, it does it.
    Probe(probe::ProbeArguments),
    /// Prepares a token for the gateway by the word of its security officer, once: initialises it where that is said, sets the user
    /// PIN, has the gateway's own keys made, trusts the wrapping key of a replicated group. May be run again.
    Provision(provision::ProvisionArguments),
    /// Takes a token out of its replicated group, for maintenance: no request goes to it, and what it misses is owed.
    Drain(MemberArguments),
    /// Lets a token that was drained or fenced serve again, once it has been made equal to the others; shows how far it is.
    Join(MemberArguments),
    /// Compares a token with another one of its group and copies what it lacks; shows how far it is.
    Resync(MemberArguments),
    /// Moves every object of a token or group to another one while the gateway serves, and shows how far it is. It goes on when
    /// this command is interrupted, and after a restart; from then on new objects go to the target. Exit code 1 when objects stay
    /// because they cannot be moved: each is named.
    Migrate {
        #[command(flatten)]
        config: ConfigArguments,
        /// What is emptied: the name of a token or group.
        #[arg(long, value_name = "NAME", required_unless_present = "status", requires = "to")]
        from: Option<String>,
        /// Where its objects go: the name of a token or group.
        #[arg(long, value_name = "NAME", requires = "from")]
        to: Option<String>,
        /// Says how far the last one is, and orders nothing.
        #[arg(long, conflicts_with_all = ["from", "to", "detach"])]
        status: bool,
        /// Does not wait for the end.
        #[arg(long)]
        detach: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Confirms that another token than before stands behind a name: a replacement that carries the same keys. The gateway
    /// must be stopped.
    Rebind {
        #[command(flatten)]
        config: ConfigArguments,
        /// The configured name of the token; not needed where there is one.
        #[arg(long, value_name = "NAME")]
        token: Option<String>,
    },
}

/// A token of a replicated group, in the gateway that runs.
#[derive(Debug, Args)]
struct MemberArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The configured name of the token.
    #[arg(value_name = "TOKEN")]
    token: String,
}

impl MemberArguments {
    fn order(&self, change: control::Change) -> Result<ExitCode, Problem> {
        let config = configuration(&self.config.config)?;
        start_logging(&config)?;
        control::change(&config, &self.token, change)
    }
}

/// Runs the command; what it prints is on standard output, what goes wrong on standard error.
///
/// # Errors
///
/// The problem for the person who typed it.
pub fn run(arguments: Arguments) -> Result<ExitCode, Problem> {
    match arguments.command {
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Serve(arguments) => {
            let config = configuration(&arguments.config)?;
            start_logging(&config)?;
            gateway::serve(config)
        }
        Command::Check(arguments) => {
            let config = configuration(&arguments.config)?;
            start_logging(&config)?;
            inspect::check(&config)
        }
        Command::Kmip(arguments) => client::run(arguments),
        Command::Client(command) => {
            let config = configuration(command.config())?;
            enrol::run(&command, &config)
        }
        Command::Backup(arguments) => {
            let config = configuration(&arguments.config)?;
            start_logging(&config)?;
            backup::back_up(config, &arguments)
        }
        Command::Restore(arguments) => {
            let config = configuration(&arguments.config)?;
            start_logging(&config)?;
            backup::restore(config, &arguments)
        }
        Command::Store(command) => {
            let config = configuration(command.config())?;
            start_logging(&config)?;
            backup::store(&command, config)
        }
        Command::Policy(PolicyCommand::Explain(arguments)) => {
            let config = arguments.config.as_deref().map(configuration).transpose()?;
            policy::explain(&arguments, config.as_ref())
        }
        Command::Project(ProjectCommand::Purge { config, project }) => {
            let config = configuration(&config.config)?;
            start_logging(&config)?;
            control::purge(config, &project)
        }
        Command::Token(arguments) => token::make(&arguments),
        Command::Module { log_format, log_level } => isolated::run(log_format, &log_level),
        Command::Audit(AuditCommand::Verify { files, key }) => trail::verify(&files, key.as_deref()),
        Command::Hsm(HsmCommand::Status { config, json }) => {
            let config = configuration(&config.config)?;
            start_logging(&config)?;
            inspect::status(&config, json)
        }
        Command::Hsm(HsmCommand::Fsck { config, json }) => {
            let config = configuration(&config.config)?;
            start_logging(&config)?;
            fsck::run(config, json)
        }
        Command::Hsm(HsmCommand::Adopt(arguments)) => {
            let config = configuration(&arguments.config)?;
            start_logging(&config)?;
            adopt::run(config, &arguments)
        }
        Command::Hsm(HsmCommand::Probe(arguments)) => {
            let config = configuration(arguments.config())?;
            start_logging(&config)?;
            probe::run(&config, &arguments)
        }
        Command::Hsm(HsmCommand::Provision(arguments)) => {
            let config = configuration_with(arguments.config(), |config| arguments.brings_here(config))?;
            start_logging(&config)?;
            provision::run(config, &arguments)
        }
        Command::Hsm(HsmCommand::Drain(member)) => member.order(control::Change::Drain),
        Command::Hsm(HsmCommand::Join(member)) => member.order(control::Change::Join),
        Command::Hsm(HsmCommand::Resync(member)) => member.order(control::Change::Resync),
        Command::Hsm(HsmCommand::Migrate { config, from, to, status, detach, json }) => {
            let config = configuration(&config.config)?;
            start_logging(&config)?;
            control::migrate(&config, from.as_deref().zip(to.as_deref()), !status && !detach, json)
        }
        Command::Hsm(HsmCommand::Rebind { config, token }) => {
            let config = configuration(&config.config)?;
            start_logging(&config)?;
            inspect::rebind(&config, token.as_deref())
        }
    }
}

/// Reads a configuration, with what the environment lays over it, and sees to it that modules find their environment.
pub(super) fn configuration(path: &Path) -> Result<Config, Problem> {
    configuration_with(path, |_| Vec::new())
}

/// The same where the modules of these tokens are used in this process, too.
fn configuration_with(path: &Path, here: impl FnOnce(&Config) -> Vec<String>) -> Result<Config, Problem> {
    let config = config::load(
        path,
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    )?;
    apply_environment(&config, &here(&config))?;
    Ok(config)
}

pub(super) fn start_logging(config: &Config) -> Result<(), Problem> {
    let format = match config.log.format {
        config::LogFormat::Json => logging::Format::Json,
        config::LogFormat::Text => logging::Format::Text,
    };
    logging::start(format, &config.log.level).explain("PC-LOG", "log.level", "give a level such as info")
}

/// Vendor modules read environment variables, and a process may not change its own once threads run. So the program
/// starts itself again with them, keeping its process id.
fn apply_environment(config: &Config, here: &[String]) -> Result<(), Problem> {
    // A module in a process of its own is given its own.
    let is_here = |(name, hsm): &(&String, &config::Hsm)| hsm.isolation == Isolation::Thread || here.contains(name);
    let shared = || config.hsm.iter().filter(is_here).map(|(_, hsm)| hsm);
    let wanted: BTreeMap<&String, &String> = shared().flat_map(|hsm| &hsm.env).collect();
    for hsm in shared() {
        for (name, value) in &hsm.env {
            if wanted.get(name).is_some_and(|other| *other != value) {
                return Err(Problem::new(
                    "PC-HSM-ENV",
                    format!("two tokens want different values of the environment variable {name}"),
                    "modules of one process share the environment: give it one value, or isolation = \"process\"",
                ));
            }
        }
    }
    if wanted.iter().all(|(name, value)| env::var_os(name).is_some_and(|have| have == value.as_str())) {
        return Ok(());
    }
    let program = env::current_exe().explain("PC-HSM-ENV", "the program's own file", "set the variables beforehand")?;
    let failed = process::Command::new(program).args(env::args_os().skip(1)).envs(wanted).exec();
    Err(Problem::new(
        "PC-HSM-ENV",
        format!("the program cannot start itself again: {failed}"),
        "set the variables beforehand",
    ))
}
