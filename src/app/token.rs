//! `portcullis token`: a new static bearer token, and the section that lets it in.

use std::process::ExitCode;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use zeroize::Zeroizing;

use super::{inspect::print, problem::Problem, system::SystemChance};
use crate::{
    crypto::hash::{sha256_of, to_hex},
    engine::ports::Chance as _,
};

/// Whom the token is for.
#[derive(Debug, Args)]
pub(super) struct TokenArguments {
    /// Who it is: creator of what it makes, initiator in audit records.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// For which project.
    #[arg(long, value_name = "ID")]
    project: String,
    /// With which roles, separated by commas.
    #[arg(long, value_name = "ROLES", default_value = "member", value_delimiter = ',')]
    roles: Vec<String>,
}

/// 256 random bits.
const BYTES: usize = 32;

/// Prints a token once; only its hash is kept, by whoever puts the section into the configuration.
pub(super) fn make(arguments: &TokenArguments) -> Result<ExitCode, Problem> {
    let mut random = Zeroizing::new([0; BYTES]);
    SystemChance::new().fill(&mut *random);
    let token = Zeroizing::new(format!("pct_{}", URL_SAFE_NO_PAD.encode(*random)));
    let hash = to_hex(&sha256_of(&[token.as_bytes()]));
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let roles: Vec<String> = arguments.roles.iter().map(|role| text(role.trim())).collect();
    let (name, project) = (text(&arguments.name), text(&arguments.project));
    let shown = Zeroizing::new(format!(
        "# The token, shown this once; give it to the client:\n#   {}\n[[rest.auth.tokens]]\nname = {name}\nsha256 = \
         \"{hash}\"\nproject = {project}\nroles = [{}]\n",
        *token,
        roles.join(", ")
    ));
    print(&shown)?;
    Ok(ExitCode::SUCCESS)
}
