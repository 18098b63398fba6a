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
    /// What to ask for. kmip: discover create register get locate encrypt decrypt sign sign-rsa batch connect resume;
    /// rest: version store metadata payload list; pkcs11: create encrypt decrypt sign sign-rsa.
    #[arg(long)]
    pub(crate) operation: Option<String>,
    /// Several operations of the protocol instead, with their weights: get=8,encrypt=4,create=1.
    #[arg(long, value_delimiter = ',', value_parser = weight, conflicts_with = "operation")]
    pub(crate) mix: Vec<(String, u32)>,
    /// Connections, or threads and sessions of `pkcs11`.
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
    /// Measures every operation, each beside its limits: the TLS echo with messages of its sizes, for REST a hello-world, for new
    /// connections a bare handshake, and with --module the same call of the PKCS#11 module.
    Suite {
        /// The numbers of connections.
        #[arg(long, value_delimiter = ',', default_value = "1,16,64",
              value_parser = RangedU64ValueParser::<u16>::new().range(1..=4096))]
        connections: Vec<u16>,
        /// Only these operations, of whichever protocol.
        #[arg(long, value_delimiter = ',')]
        operations: Vec<String>,
    },
    /// Makes objects that stay, for measuring among many.
    Fill {
        /// How many.
        #[arg(long)]
        count: u64,
        /// Connections.
        #[arg(long, default_value = "64", value_parser = RangedU64ValueParser::<u16>::new().range(1..=4096))]
        connections: u16,
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
    /// KMIP requests under way on each connection.
    #[arg(long, global = true, default_value = "1", value_parser = RangedU64ValueParser::<u16>::new().range(1..=256))]
    pub(crate) in_flight: u16,
    /// Items of a `batch`.
    #[arg(long, global = true, default_value = "100", value_parser = RangedU64ValueParser::<u16>::new().range(2..=1000))]
    pub(crate) batch: u16,
    /// The PKCS#11 module to measure beside the gateway: a token of its own, or one that processes can share.
    #[arg(long, global = true, requires = "pin_file")]
    pub(crate) module: Option<PathBuf>,
    /// Its token.
    #[arg(long, global = true, default_value = "portcullis-load")]
    pub(crate) token_label: String,
    /// The file with its user PIN.
    #[arg(long, global = true)]
    pub(crate) pin_file: Option<PathBuf>,
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
    /// The calls of a PKCS#11 module, in this process.
    Pkcs11,
    Echo,
}

/// One thing to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// One operation, or several in turn, each as often as its weight says.
    Kmip(Vec<(KmipOperation, u32)>),
    Rest(Vec<(RestOperation, u32)>),
    Pkcs11(RawOperation),
    Echo(Sizes),
    /// A bare server with the gateway's TLS, and a new connection for each request.
    Handshake {
        sizes: Sizes,
        resumes: bool,
    },
    /// The smallest server that axum can be.
    Hello(Sizes),
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
    Register "register";
    Get      "get";
    Locate   "locate";
    Encrypt  "encrypt";
    Decrypt  "decrypt";
    Sign     "sign";
    SignRsa  "sign-rsa";
    Batch    "batch";
    Connect  "connect";
    Resume   "resume";
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

operations! {
    /// Calls of a PKCS#11 module.
    RawOperation:
    Create  "create";
    Encrypt "encrypt";
    Decrypt "decrypt";
    Sign    "sign";
    SignRsa "sign-rsa";
}

/// The operations of a protocol that are named.
macro_rules! find {
    ($type:ty, $named:expr) => {
        $named
            .iter()
            .map(|(name, weight)| {
                let found = <$type>::ALL.iter().copied().find(|it| it.name() == name);
                let known = || <$type>::ALL.iter().map(|it| it.name()).collect::<Vec<_>>();
                found.map(|it| (it, *weight)).with_context(|| unknown(name, &known()))
            })
            .collect::<anyhow::Result<Vec<_>>>()
    };
}

impl Options {
    /// The single measurement that is asked for.
    ///
    /// # Errors
    ///
    /// When the protocol does not have the operation.
    pub(crate) fn what(&self) -> anyhow::Result<What> {
        let named = |default: &str| match (&self.operation, self.mix.as_slice()) {
            (None, []) => vec![(default.to_owned(), 1)],
            (None, mix) => mix.to_vec(),
            (Some(name), _) => vec![(name.clone(), 1)],
        };
        let bytes = |number: u32| usize::try_from(number).context("more bytes than this machine can address");
        match self.protocol {
            Protocol::Echo => {
                Ok(What::Echo(Sizes { request: bytes(self.request_bytes)?, answer: bytes(self.answer_bytes)? }))
            }
            Protocol::Kmip => find!(KmipOperation, named("encrypt")).map(What::Kmip),
            Protocol::Rest => find!(RestOperation, named("payload")).map(What::Rest),
            Protocol::Pkcs11 => match find!(RawOperation, named("encrypt"))?.as_slice() {
                [(one, _)] => Ok(What::Pkcs11(*one)),
                _ => bail!("calls of a module are measured one by one"),
            },
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
        return Err(unknown(other, &[kmip, rest].concat()));
    }
    let wanted = |name: &str| named.is_empty() || named.iter().any(|one| one == name);
    let kmip = KmipOperation::ALL.iter().filter(|it| wanted(it.name())).map(|it| What::Kmip(vec![(*it, 1)]));
    let rest = RestOperation::ALL.iter().filter(|it| wanted(it.name())).map(|it| What::Rest(vec![(*it, 1)]));
    Ok(kmip.chain(rest).collect())
}

fn names() -> (Vec<&'static str>, Vec<&'static str>) {
    (KmipOperation::ALL.iter().map(|it| it.name()).collect(), RestOperation::ALL.iter().map(|it| it.name()).collect())
}

fn unknown(named: &str, known: &[&str]) -> anyhow::Error {
    anyhow::anyhow!("no such operation: {named} (one of: {})", known.join(" "))
}

/// An operation with its weight, 1 unless it is said.
fn weight(text: &str) -> Result<(String, u32), String> {
    let (name, weight) = text.split_once('=').unwrap_or((text, "1"));
    match weight.parse() {
        Ok(weight @ 1..=1000) => Ok((name.to_owned(), weight)),
        _ => Err("not a weight from 1 to 1000".to_owned()),
    }
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
        assert_eq!(parsed("load").what().unwrap(), What::Kmip(vec![(KmipOperation::Encrypt, 1)]));
        assert_eq!(parsed("load --protocol rest").what().unwrap(), What::Rest(vec![(RestOperation::Payload, 1)]));
        assert_eq!(parsed("load --operation sign").what().unwrap(), What::Kmip(vec![(KmipOperation::Sign, 1)]));
        let raw = parsed("load --protocol pkcs11 --operation create --module m --pin-file p").what().unwrap();
        assert_eq!(raw, What::Pkcs11(RawOperation::Create));
        let echo = parsed("load --protocol echo --request-bytes 3 --answer-bytes 4").what().unwrap();
        assert_eq!(echo, What::Echo(Sizes { request: 3, answer: 4 }));
        let refused = parsed("load --protocol rest --operation sign").what().unwrap_err().to_string();
        assert!(refused.contains("payload") && !refused.contains("encrypt"), "{refused}");
    }

    #[test]
    fn a_mix_is_of_one_protocol_and_weighs_one_unless_it_is_said() {
        let mix = parsed("load --protocol rest --mix payload=8,metadata").what().unwrap();
        assert_eq!(mix, What::Rest(vec![(RestOperation::Payload, 8), (RestOperation::Metadata, 1)]));
        assert!(parsed("load --mix get=2,payload=1").what().unwrap_err().to_string().contains("payload"));
        for wrong in ["--mix get=0", "--mix get=many", "--mix get=1 --operation get"] {
            let line = format!("load {wrong}");
            assert!(Options::try_parse_from(line.split_ascii_whitespace()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_suite_takes_options_on_either_side_of_its_name() {
        let options = parsed("load --dir a suite --seconds 0.5 --connections 1,4 --operations sign,list");
        let Some(Command::Suite { connections, operations }) = options.command else { panic!("no suite") };
        assert_eq!((options.common.dir, options.common.seconds), (PathBuf::from("a"), Duration::from_millis(500)));
        assert_eq!(connections, [1, 4]);
        let both = [What::Kmip(vec![(KmipOperation::Sign, 1)]), What::Rest(vec![(RestOperation::List, 1)])];
        assert_eq!(chosen(&operations).unwrap(), both);
        assert_eq!(chosen(&[]).unwrap().len(), 17);
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
