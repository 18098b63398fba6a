//! From `[hsm.<name>]` to the session pool: the module's path, the PIN's source, and waiting until a token serves.

use std::{env, fs, path::Path, sync::Arc, time::Duration};

use zeroize::Zeroizing;

use super::{
    embedded, isolated,
    problem::{Explain as _, Problem},
};
use crate::{
    config::{Config, Group, Hsm, Isolation, Log, Module, PlacedType},
    domain::{ObjectType, ProjectId, SecretValue},
    engine::ports::{Hsm as _, Memory, TokenStatus},
    hsm::{self, PinSource, Pool, probe::Profile},
};

/// A PIN is a line, not a document.
const PIN_BYTES_MAX: usize = 1024;

/// Whether the tokens are reached as the gateway that serves, or only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Groups {
    /// Formed: their tokens are let in, made equal and watched.
    Formed,
    /// Left alone.
    LeftAlone,
}

/// Loads the modules and reaches for the tokens; blocks.
pub(super) fn connect(
    config: &Config,
    groups: Groups,
    memory: &Arc<dyn Memory>,
    observer: &Arc<dyn hsm::Observer>,
) -> Result<Pool, Problem> {
    let configs = config.hsm.iter().map(|(name, hsm)| token(name, hsm, &config.log)).collect::<Result<Vec<_>, _>>()?;
    let groups = match groups {
        Groups::Formed => config.groups.iter().map(|(name, settings)| group(name, settings)).collect(),
        Groups::LeftAlone => Vec::new(),
    };
    Pool::connect_groups(configs, groups, memory, observer).map_err(|error| {
        Problem::new("PC-HSM-CONNECT", format!("hsm.{}: {}", error.token, error.reason), "correct that section")
    })
}

fn group(name: &str, group: &Group) -> hsm::group::Config {
    hsm::group::Config {
        name: name.to_owned(),
        tokens: group.tokens.clone(),
        replicated: group.replicas.size() > 1,
        min_replicas: group.min_replicas.size(),
        projects: group.projects.iter().cloned().map(ProjectId).collect(),
        types: group.types.iter().map(|placed| object_type(*placed)).collect(),
    }
}

const fn object_type(placed: PlacedType) -> ObjectType {
    match placed {
        PlacedType::SymmetricKey => ObjectType::SymmetricKey,
        PlacedType::PrivateKey => ObjectType::PrivateKey,
        PlacedType::PublicKey => ObjectType::PublicKey,
        PlacedType::Certificate => ObjectType::Certificate,
        PlacedType::SecretData => ObjectType::SecretData,
        PlacedType::OpaqueObject => ObjectType::OpaqueObject,
        PlacedType::SplitKey => ObjectType::SplitKey,
        PlacedType::PgpKey => ObjectType::PgpKey,
    }
}

/// What the session pool is told of a token.
pub(super) fn token(name: &str, hsm: &Hsm, log: &Log) -> Result<hsm::Config, Problem> {
    let (module, reserved) = match (&hsm.module, &hsm.simulated_store) {
        (Module::File(path), _) => (path.clone(), hsm.reserved.clone()),
        (Module::Embedded, store) => {
            let store = store.as_deref().unwrap_or_else(|| Path::new(""));
            let store = std::path::absolute(store).unwrap_or_else(|_unknown| store.to_owned());
            let mut reserved = format!("hsm-sim:store={}", store.display());
            if let Some(options) = &hsm.simulated_config {
                let options = std::path::absolute(options).unwrap_or_else(|_unknown| options.clone());
                reserved.push_str(&format!(";config={}", options.display()));
            }
            (embedded::module()?, Some(reserved))
        }
    };
    let profile = hsm.profile.as_deref().map(profile).transpose()?;
    let longest = hsm.generic_secret_bytes_max.small();
    Ok(hsm::Config {
        name: name.to_owned(),
        module,
        reserved,
        token_serial: hsm.token_serial.clone(),
        token_label: hsm.token_label.clone(),
        slot_id: hsm.slot_id.map(|slot| slot.get()),
        pin: pin(hsm),
        retry_refused_pin: hsm.retry_refused_pin,
        workers: hsm.workers.map(|workers| workers.size()),
        queue: hsm.queue_max.size(),
        call_limit: hsm.call_seconds.seconds(),
        probe_interval: hsm.probe_seconds.seconds(),
        generic_secret_bytes_max: profile
            .as_ref()
            .and_then(|profile| profile.facts.generic_secret_bytes_max)
            .map_or(longest, |most| most.min(longest)),
        profile,
        isolation: match hsm.isolation {
            Isolation::Thread => hsm::Isolation::Thread,
            Isolation::Process => hsm::Isolation::Process(isolated::program(log, hsm.env.clone())),
        },
    })
}

fn profile(path: &Path) -> Result<Profile, Problem> {
    let remedy = "write it anew with `portcullis hsm probe --write`, or remove `profile`";
    let text = fs::read_to_string(path).explain("PC-HSM-PROFILE", path.display(), remedy)?;
    Profile::parse(&text).explain("PC-HSM-PROFILE", path.display(), remedy)
}

/// The PIN is read each time it is needed, so that a new one takes effect without a restart.
fn pin(hsm: &Hsm) -> PinSource {
    match (&hsm.pin_file, &hsm.pin_env) {
        (Some(path), _) => {
            let path = path.clone();
            Arc::new(move || {
                let file = path.display();
                let bytes = fs::read(&path).map_err(|error| format!("the PIN file {file} cannot be read: {error}"))?;
                line(bytes).ok_or_else(|| format!("the PIN file {file} does not hold one line with a PIN"))
            })
        }
        (None, name) => {
            let name = name.clone().unwrap_or_default();
            Arc::new(move || {
                let text = env::var(&name).map_err(|error| format!("the PIN's variable {name}: {error}"))?;
                line(text.into_bytes()).ok_or_else(|| format!("the variable {name} does not hold a PIN"))
            })
        }
    }
}

/// A PIN as a file or variable holds it.
pub(super) fn line(bytes: Vec<u8>) -> Option<SecretValue> {
    let bytes = Zeroizing::new(bytes);
    let pin = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let pin = pin.strip_suffix(b"\r").unwrap_or(pin);
    let fits = (1..=PIN_BYTES_MAX).contains(&pin.len()) && !pin.contains(&b'\n');
    fits.then(|| SecretValue::new(pin.to_vec()))
}

/// Waits until every token serves, or enough tokens of each group; `report` is told what is waited for.
///
/// # Errors
///
/// What waiting does not mend: a refused PIN, another token than the one remembered; but for a token of a group that serves
/// without it.
pub(super) async fn ready(pool: &Pool, mut report: impl FnMut(String)) -> Result<(), Problem> {
    let mut pause = Duration::from_millis(100);
    loop {
        let status = pool.status();
        let awaited = status.iter().filter(|token| !serves(token) && !token.spared);
        let Some(away) = awaited.clone().next() else {
            for missing in status.iter().filter(|token| !serves(token)) {
                tracing::warn!(token = %missing.token, "{}; the others of its group serve", describe(missing));
            }
            return Ok(());
        };
        if let Some(problem) = awaited.clone().find_map(hopeless) {
            return Err(problem);
        }
        report(describe(away));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Whether requests go to the token.
pub(super) fn serves(token: &TokenStatus) -> bool {
    matches!(token.health, "ready" | "degraded")
}

/// What waiting does not mend.
pub(super) fn hopeless(token: &TokenStatus) -> Option<Problem> {
    let (code, remedy) = match token.health {
        "pin_rejected" => {
            ("PC-HSM-PIN", "put the right PIN into the PIN file; it was tried once and is not tried again")
        }
        "wrong_token" => {
            ("PC-HSM-TOKEN", "insert the token that this store belongs to, or correct token_label and token_serial")
        }
        _ => return None,
    };
    Some(Problem::new(code, describe(token), remedy))
}

/// One token's trouble in a line.
pub(super) fn describe(token: &TokenStatus) -> String {
    let reason = token.reason.as_deref().unwrap_or("no reason is known");
    format!("hsm.{} is {}: {reason}", token.token.0, token.health)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_one_line() {
        let length = |text: &[u8]| line(text.to_vec()).map(|pin| pin.len());
        assert_eq!(length(b"1234"), Some(4));
        assert_eq!(length(b"1234\n"), Some(4));
        assert_eq!(length(b"1234\r\n"), Some(4));
        assert_eq!(length(b""), None);
        assert_eq!(length(b"\n"), None);
        assert_eq!(length(b"12\n34\n"), None);
        assert_eq!(length(&[b'1'; PIN_BYTES_MAX + 1]), None);
    }
}
