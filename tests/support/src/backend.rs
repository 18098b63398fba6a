//! On which token the gateways of a test run keep their keys: `PORTCULLIS_TEST_PROFILE`.
//!
//! Nothing, or `default`, is the simulated HSM as `dev` makes it. The name of one of its models has it behave like that model,
//! and `softhsm2` or `kryoptic` is that module with a token of its own. A test that finds something missing there says
//! `not supported` and goes on; on the default token everything is there, so it fails.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use kmip_codec::spec::enums::ResultReason;

use super::Failure;

const LABEL: &str = "of-tests";
const SO_PIN: &str = "12345678";

/// A module that the gateway is given instead of the simulator that it embeds.
struct Module {
    name: &'static str,
    path: &'static str,
    /// The variable that names its configuration.
    variable: &'static str,
    /// Its configuration, where `{}` is the folder of the token.
    configuration: &'static str,
}

const USER_AND_PASSWORD: &str = "crypto:a-password-of-tests";

const MODULES: &[Module] = &[
    Module {
        name: "softhsm2",
        path: "/usr/lib/softhsm/libsofthsm2.so",
        variable: "SOFTHSM2_CONF",
        configuration: "directories.tokendir = {}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n",
    },
    Module {
        name: "kryoptic",
        path: concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/kryoptic/libkryoptic_pkcs11.so"),
        variable: "KRYOPTIC_CONF",
        configuration: "[[slots]]\nslot = 1\ndbtype = \"sqlite\"\ndbargs = \"{}/token.sql\"\n",
    },
];

/// Which token is asked for, where it is another than the default one.
#[must_use]
pub fn profile() -> Option<String> {
    std::env::var("PORTCULLIS_TEST_PROFILE").ok().filter(|profile| !profile.is_empty() && profile != "default")
}

/// The PIN of tokens that a test makes itself.
#[must_use]
pub fn pin() -> &'static str {
    if profile().is_some_and(|profile| is_of_users(&profile)) { USER_AND_PASSWORD } else { "1234" }
}

/// There a PIN is a user and a password.
fn is_of_users(profile: &str) -> bool {
    profile.starts_with("cloudhsm")
}

fn module() -> Option<&'static Module> {
    let profile = profile()?;
    MODULES.iter().find(|module| module.name == profile)
}

/// Whether the token is another module's than the simulator's, so that nobody can have it fail or look at it as the
/// simulator's administrator; says so.
#[must_use]
pub fn is_foreign(what: &str) -> bool {
    let Some(module) = module() else { return false };
    println!("skipped, because {} has no {what}", module.name);
    true
}

/// Whether an answer says that the token cannot do it, which only another token than the default one may; says so.
#[must_use]
pub fn is_unsupported<T>(answer: &Result<T, Failure>, what: &str) -> bool {
    let Err(Failure::Refused(reason, text)) = answer else { return false };
    let says_so = matches!(
        *reason,
        Some(
            ResultReason::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS
                | ResultReason::INVALID_FIELD
                | ResultReason::CRYPTOGRAPHIC_FAILURE
        )
    ) && text.contains("does not offer")
        // What the token cannot unwrap is kept as it came.
        || *reason == Some(ResultReason::KEY_WRAP_TYPE_NOT_SUPPORTED);
    let Some(profile) = profile().filter(|_| says_so) else { return false };
    println!("skipped, because {profile} does not support it: {what}");
    true
}

/// Prepares the folder of a gateway, and a command that will start it there or work on its token.
pub fn shape(command: &mut Command, folder: &Path) {
    let Some(profile) = profile() else { return };
    if let Some(module) = module() {
        return give(module, command, folder);
    }
    let options = folder.with_extension("hsm-sim.toml");
    // A test may have put limits into the options that the gateway wrote.
    let written = fs::read_to_string(folder.join("hsm-sim.toml")).unwrap_or_default();
    let sections = written.find("\n[").map_or("", |begin| &written[begin..]);
    fs::write(&options, format!("profile = \"{profile}\"\nsimulate_latency = false\n{sections}")).unwrap();
    // It stands above what `dev` writes into its configuration; a test may have put another module there, or renamed it.
    let is_embedded = fs::read_to_string(folder.join("config.toml"))
        .map_or(true, |text| text.contains("simulated_config") && text.contains("[hsm.main]"));
    if is_embedded {
        command.env("PORTCULLIS_HSM__MAIN__SIMULATED_CONFIG", &options);
    }
    command.env("HSM_SIM_CONFIG", options);
    if is_of_users(&profile) && !folder.join("pin").exists() {
        write_pin(folder, USER_AND_PASSWORD);
    }
}

fn private_folder(path: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
}

fn write_pin(folder: &Path, text: &str) -> PathBuf {
    private_folder(folder);
    let pin = folder.join("pin");
    fs::write(&pin, text).unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    pin
}

/// The token lives where the simulator's would, its PIN too.
fn give(module: &Module, command: &mut Command, folder: &Path) {
    let store = folder.join("hsm");
    if !store.exists() {
        let pin = "1234-user";
        write_pin(folder, pin);
        private_folder(&store.join("tokens"));
        fs::write(store.join("conf"), module.configuration.replace("{}", store.to_str().unwrap())).unwrap();
        let slot = ["--slot-index", "0", "--label", LABEL];
        tool(module, folder, &[&["--init-token", "--so-pin", SO_PIN][..], &slot].concat());
        let officer = ["--token-label", LABEL, "--login", "--login-type", "so", "--so-pin", SO_PIN];
        tool(module, folder, &[&officer[..], &["--init-pin", "--pin", pin]].concat());
    }
    command.env(module.variable, store.join("conf"));
    if !folder.join("config.toml").exists() {
        command.args(["--module", module.path, "--token-label", LABEL, "--pin-file"]).arg(folder.join("pin"));
    }
}

fn tool(module: &Module, folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("pkcs11-tool");
    command.args(["--module", module.path]).args(arguments).stdin(Stdio::null());
    let output = command.env(module.variable, folder.join("hsm/conf")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The objects of a token that is no simulated one: classes by label.
pub(crate) fn objects(folder: &Path, pin: &str) -> Option<BTreeMap<String, Vec<String>>> {
    let said = tool(module()?, folder, &["--token-label", LABEL, "--login", "--pin", pin, "--list-objects"]);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut class = String::new();
    for line in said.lines() {
        if !line.starts_with(' ') {
            class = line.split_whitespace().next().unwrap_or_default().to_lowercase();
        } else if let Some(label) = line.trim().strip_prefix("label:") {
            found.entry(label.trim().trim_matches('\'').to_owned()).or_default().push(class.clone());
        }
    }
    Some(found)
}
