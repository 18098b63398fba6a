//! The command line.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand, ValueEnum, builder::RangedU64ValueParser};
use kmip_codec::{ProtocolVersion, version::SUPPORTED};

use crate::{drive::Plan, echo::Sizes};

/// Measures a running gateway: requests a second, latency, and what a request costs in processor time.
///
/// Start one with `portcullis dev`, then for example:
///   portcullis-load --protocol kmip --operation encrypt --connections 16
///   portcullis-load suite --seconds 3
#[derive(Parser, Debug)]
#[command(name = "portcullis-load", version, verbatim_doc_comment, args_conflicts_with_subcommands = false)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) common: Common,
    /// The protocol to speak; `echo` measures what TLS on loopback allows, without a gateway.
    #[arg(long, value_enum, default_value = "kmip")]
    pub(crate) protocol: Protocol,
    /// What to ask for. kmip: create get locate encrypt decrypt sign discover; rest: store metadata payload list version.
    #[arg(long)]
    pub(crate) operation: Option<String>,
    /// Connections, each with one request under way at a time.
    #[arg(long, default_value = "16", value_parser = RangedU64ValueParser::<u16>::new().range(1..=4096))]
    pub(crate) connections: u16,
    /// Bytes of a request of `echo`.
    #[arg(long, default_value = "256", value_parser = RangedU64ValueParser::<u32>::new().range(1..=1 << 20))]
    pub(crate) request_bytes: u32,
    /// Bytes of an answer of `echo`.
    #[arg(long, default_value = "256", value_parser = RangedU64ValueParser::<u32>::new().range(1..=1 << 20))]
    pub(crate) answer_bytes: u32,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Measures every operation, each beside the echo limit with messages of its sizes, and prints a Markdown table.
    Suite {
        /// The numbers of connections.
        #[arg(long, value_delimiter = ',', default_value = "1,16,64",
              value_parser = RangedU64ValueParser::<u16>::new().range(1..=4096))]
        connections: Vec<u16>,
        /// Only these operations, of whichever protocol.
        #[arg(long, value_delimiter = ',')]
        operations: Vec<String>,
    },
}

/// What every measurement needs.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// The folder of a running `portcullis dev`.
    #[arg(long, global = true, default_value = "./portcullis-dev")]
    pub(crate) dir: PathBuf,
    /// Seconds to measure, up to an hour.
    #[arg(long, global = true, default_value = "10", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Seconds before, which do not count.
    #[arg(long, global = true, default_value = "1", value_parser = seconds)]
    pub(crate) warmup: Duration,
    /// Seconds a request may take.
    #[arg(long, global = true, default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Bytes to encrypt, decrypt, sign or store.
    #[arg(long, global = true, default_value = "256", value_parser = RangedU64ValueParser::<u32>::new().range(1..=1 << 20))]
    pub(crate) size: u32,
    /// Objects that requests take turns on; made before measuring and destroyed after.
    #[arg(long, global = true, default_value = "64", value_parser = RangedU64ValueParser::<u32>::new().range(1..=1_000_000))]
    pub(crate) objects: u32,
    /// The version of KMIP requests.
    #[arg(long, global = true, default_value = "1.4", value_parser = version)]
    pub(crate) kmip_version: ProtocolVersion,
    /// The project of REST requests; a new one for each measurement unless it is named.
    #[arg(long, global = true)]
    pub(crate) project: Option<String>,
    /// The file with the Keystone or static token of REST requests; it says whose project they are for.
    #[arg(long, global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// The gateway's process; else the one that listens on the address.
    #[arg(long, global = true)]
    pub(crate) server_pid: Option<u32>,
    /// Measures a gateway on another machine, too.
    #[arg(long, global = true)]
    pub(crate) allow_remote: bool,
    /// Prints JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Common {
    /// How long, and when to give up.
    pub(crate) fn plan(&self) -> Plan {
        Plan { warmup: self.warmup, measured: self.seconds, timeout: self.timeout }
    }
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Kmip,
    Rest,
    Echo,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Kmip(KmipOperation),
    Rest(RestOperation),
    Echo(Sizes),
}

macro_rules! operations {
    ($(#[$meta:meta])* $type:ident: $($variant:ident $name:literal;)+) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $type { $($variant),+ }

        impl $type {
            /// All of them, in the order of the report.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it stands on the command line and in the report.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

operations! {
    /// What can be measured over KMIP.
    KmipOperation:
    Discover "discover";
    Create   "create";
    Get      "get";
    Locate   "locate";
    Encrypt  "encrypt";
    Decrypt  "decrypt";
    Sign     "sign";
}

operations! {
    /// What can be measured over the Barbican API.
    RestOperation:
    Version  "version";
    Store    "store";
    Metadata "metadata";
    Payload  "payload";
    List     "list";
}

impl Options {
    /// The single measurement that is asked for.
    ///
    /// # Errors
    ///
    /// When the protocol does not have the operation.
    pub(crate) fn what(&self) -> anyhow::Result<What> {
        let named = self.operation.as_deref();
        let bytes = |number: u32| usize::try_from(number).context("more bytes than this machine can address");
        match self.protocol {
            Protocol::Echo => {
                Ok(What::Echo(Sizes { request: bytes(self.request_bytes)?, answer: bytes(self.answer_bytes)? }))
            }
            Protocol::Kmip => {
                let found = KmipOperation::ALL.iter().find(|it| it.name() == named.unwrap_or("encrypt"));
                found.copied().map(What::Kmip).with_context(|| unknown(named, &names().0))
            }
            Protocol::Rest => {
                let found = RestOperation::ALL.iter().find(|it| it.name() == named.unwrap_or("payload"));
                found.copied().map(What::Rest).with_context(|| unknown(named, &names().1))
            }
        }
    }
}

/// Every operation of both protocols, or the named ones.
///
/// # Errors
///
/// When no protocol has one of them.
pub(crate) fn chosen(named: &[String]) -> anyhow::Result<Vec<What>> {
    let (kmip, rest) = names();
    if let Some(other) = named.iter().find(|name| !kmip.contains(&name.as_str()) && !rest.contains(&name.as_str())) {
        bail!("{}", unknown(Some(other), &[kmip, rest].concat()));
    }
    let wanted = |name: &str| named.is_empty() || named.iter().any(|one| one == name);
    let kmip = KmipOperation::ALL.iter().filter(|it| wanted(it.name())).map(|it| What::Kmip(*it));
    let rest = RestOperation::ALL.iter().filter(|it| wanted(it.name())).map(|it| What::Rest(*it));
    Ok(kmip.chain(rest).collect())
}

fn names() -> (Vec<&'static str>, Vec<&'static str>) {
    (KmipOperation::ALL.iter().map(|it| it.name()).collect(), RestOperation::ALL.iter().map(|it| it.name()).collect())
}

fn unknown(named: Option<&str>, known: &[&str]) -> String {
    format!("no such operation: {} (one of: {})", named.unwrap_or_default(), known.join(" "))
}

/// Seconds with a fraction, up to an hour.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_error| "not a number of seconds".to_owned())?;
    if (0.0..=3600.0).contains(&number) {
        Ok(Duration::from_secs_f64(number))
    } else {
        Err("not from 0 to 3600".to_owned())
    }
}

fn version(text: &str) -> Result<ProtocolVersion, String> {
    let known = SUPPORTED.into_iter().find(|version| version.to_string() == text);
    known.ok_or_else(|| format!("one of: {}", SUPPORTED.map(|version| version.to_string()).join(" ")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parsed(line: &str) -> Options {
        Options::try_parse_from(line.split_ascii_whitespace()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn each_protocol_has_its_operations_and_a_default() {
        assert_eq!(parsed("load").what().unwrap(), What::Kmip(KmipOperation::Encrypt));
        assert_eq!(parsed("load --protocol rest").what().unwrap(), What::Rest(RestOperation::Payload));
        assert_eq!(parsed("load --operation sign").what().unwrap(), What::Kmip(KmipOperation::Sign));
        let echo = parsed("load --protocol echo --request-bytes 3 --answer-bytes 4").what().unwrap();
        assert_eq!(echo, What::Echo(Sizes { request: 3, answer: 4 }));
        let refused = parsed("load --protocol rest --operation sign").what().unwrap_err().to_string();
        assert!(refused.contains("payload") && !refused.contains("encrypt"), "{refused}");
    }

    #[test]
    fn a_suite_takes_options_on_either_side_of_its_name() {
        let options = parsed("load --dir a suite --seconds 0.5 --connections 1,4 --operations sign,list");
        let Some(Command::Suite { connections, operations }) = options.command else { panic!("no suite") };
        assert_eq!((options.common.dir, options.common.seconds), (PathBuf::from("a"), Duration::from_millis(500)));
        assert_eq!(connections, [1, 4]);
        assert_eq!(chosen(&operations).unwrap(), [What::Kmip(KmipOperation::Sign), What::Rest(RestOperation::List)]);
        assert_eq!(chosen(&[]).unwrap().len(), 12);
        assert!(chosen(&["get".to_owned(), "fly".to_owned()]).unwrap_err().to_string().contains("fly"));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let bad = [
            "--connections 0",
            "--connections 4097",
            "--seconds 3601",
            "--seconds -1",
            "--seconds x",
            "--size 1048577",
            "--kmip-version 1.9",
            "--objects 0",
            "--protocol ftp",
        ];
        for line in bad {
            assert!(Options::try_parse_from(format!("load {line}").split_ascii_whitespace()).is_err(), "{line}");
        }
        for line in ["--connections 4096", "--seconds 3600", "--size 1048576", "--kmip-version 2.1"] {
            parsed(&format!("load {line}"));
        }
    }
}
