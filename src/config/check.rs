//! Rules between settings: what goes together, and what excludes what.

use std::collections::BTreeMap;

use super::{
    reader::{Mistake, Origin},
    sections::{AuthMode, Config, Module},
};
use crate::telemetry::logging;

/// Every broken rule.
pub(super) fn relations(config: &Config, origins: &BTreeMap<String, Origin>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut refuse = |setting: &str, what: &str| {
        let origin = origin(setting, origins);
        mistakes.push(Mistake {
            code: "PC-CONFIG-RELATION",
            origin,
            setting: setting.to_owned(),
            what: what.to_owned(),
        });
    };

    if config.rest.certificate.is_some() != config.rest.key.is_some() {
        let given = if config.rest.certificate.is_some() { "rest.certificate" } else { "rest.key" };
        refuse(given, "`certificate` and `key` go together: give both, or neither for plain HTTP");
    }
    match (config.rest.auth.mode, &config.rest.auth.keystone) {
        (AuthMode::Keystone, None) => refuse(
            "rest.auth",
            "mode `keystone` needs a section [rest.auth.keystone] with url, username and password_file",
        ),
        (AuthMode::Unauthenticated, Some(_)) => {
            refuse("rest.auth.keystone", "mode `unauthenticated` excludes a Keystone: remove one of them");
        }
        (AuthMode::Tokens, Some(_)) => {
            refuse("rest.auth.keystone", "mode `tokens` excludes a Keystone: mode `keystone` takes static tokens, too");
        }
        (AuthMode::Keystone, Some(_)) | (AuthMode::Unauthenticated | AuthMode::Tokens, None) => {}
    }
    if let Some(bus) = config.rest.auth.keystone.as_ref().and_then(|keystone| keystone.notifications.as_ref())
        && bus.url_file.is_some() == bus.url_env.is_some()
    {
        refuse("rest.auth.keystone.notifications", "give the broker's URL by url_file or by url_env, one of them");
    }
    match (config.rest.auth.mode, config.rest.auth.tokens.is_empty()) {
        (AuthMode::Tokens, true) => {
            refuse("rest.auth", "mode `tokens` needs a section [[rest.auth.tokens]]; `portcullis token` makes one");
        }
        (AuthMode::Unauthenticated, false) => {
            refuse("rest.auth.tokens", "mode `unauthenticated` excludes tokens: remove them, or use mode `tokens`");
        }
        _ => {}
    }
    for (index, token) in config.rest.auth.tokens.iter().enumerate() {
        let setting = format!("rest.auth.tokens.[{index}]");
        let earlier = config.rest.auth.tokens.iter().take(index);
        if earlier.clone().any(|other| other.name == token.name) {
            refuse(&format!("{setting}.name"), "two tokens have this name");
        }
        if earlier.clone().any(|other| other.sha256 == token.sha256) {
            refuse(&format!("{setting}.sha256"), "two tokens have this hash");
        }
    }
    let is_place = |name: &String| config.places().contains(&name.as_str());
    if let Some(default) = config.rest.secret_stores.default.as_ref().filter(|name| !is_place(name)) {
        let what = format!(
            "there is no token [hsm.{default}] outside of replicated groups, and no replicated group of that name"
        );
        refuse("rest.secret_stores.default", &what);
    }
    if config.rest.page_default.get() > config.rest.page_max.get() {
        refuse("rest.page_default", "is more than rest.page_max");
    }
    if config.kmip.versions.is_empty() {
        refuse("kmip.versions", "must name at least one version");
    }
    for (index, listener) in config.kmip.listeners.iter().enumerate() {
        if listener.certificate.is_some() != listener.key.is_some() {
            refuse(&format!("kmip.listeners.[{index}]"), "`certificate` and `key` go together: give both, or neither");
        }
    }
    for (index, client) in config.kmip.clients.iter().enumerate() {
        let setting = format!("kmip.clients.[{index}]");
        let earlier = config.kmip.clients.iter().take(index);
        if earlier.clone().any(|other| other.name == client.name) {
            refuse(&format!("{setting}.name"), "two clients have this name");
        }
        if earlier.clone().any(|other| other.spki_sha256 == client.spki_sha256) {
            refuse(&format!("{setting}.spki_sha256"), "two clients have this key");
        }
    }
    if config.hsm.is_empty() {
        refuse("hsm", "no token: add a section such as [hsm.main] with module, token_label and pin_file");
    }
    for (name, hsm) in &config.hsm {
        let setting = format!("hsm.{name}");
        if hsm.token_label.is_none() && hsm.token_serial.is_none() && hsm.slot_id.is_none() {
            refuse(&setting, "which token? give token_serial, token_label or slot_id");
        }
        if hsm.pin_file.is_some() == hsm.pin_env.is_some() {
            refuse(&setting, "give the PIN by pin_file or by pin_env, one of them");
        }
        match (&hsm.module, &hsm.simulated_store) {
            (Module::Embedded, None) => {
                refuse(&setting, "module `embedded` needs simulated_store, the folder of its tokens")
            }
            (Module::File(_), Some(_)) => {
                refuse(&format!("{setting}.simulated_store"), "is for module `embedded` only; use `env` or `reserved`");
            }
            (Module::Embedded, Some(_)) | (Module::File(_), None) => {}
        }
        if hsm.simulated_config.is_some() && hsm.module != Module::Embedded {
            refuse(&format!("{setting}.simulated_config"), "is for module `embedded` only; use `env` or `reserved`");
        }
        for (variable, value) in &hsm.env {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if variable.is_empty() || !variable.chars().all(is_name) || value.contains('\0') {
                refuse(
                    &format!("{setting}.env.{variable}"),
                    "is not an environment variable: letters, digits and _ only",
                );
            }
        }
        if hsm.module == Module::Embedded && hsm.reserved.is_some() {
            refuse(&format!("{setting}.reserved"), "is not for module `embedded`, which is given its simulated_store");
        }
    }
    for (name, group) in &config.groups {
        let setting = format!("groups.{name}");
        if config.hsm.contains_key(name) {
            refuse(&setting, "a token has this name: references would mean both");
        }
        if group.tokens.is_empty() {
            refuse(&format!("{setting}.tokens"), "no token: name those that belong together");
        }
        for (index, token) in group.tokens.iter().enumerate() {
            let place = format!("{setting}.tokens.[{index}]");
            if !config.hsm.contains_key(token) {
                refuse(&place, &format!("there is no token [hsm.{token}]"));
            }
            if group.tokens.iter().take(index).any(|other| other == token) {
                refuse(&place, "is named twice");
            }
            if let Some((other, _)) =
                config.groups.range(..name.clone()).find(|(_, other)| other.tokens.contains(token))
            {
                refuse(&place, &format!("is in [groups.{other}] already; a token is in one group at most"));
            }
        }
        let (replicas, min) = (group.replicas.size(), group.min_replicas.size());
        if replicas > 1 && replicas != group.tokens.len() {
            refuse(
                &format!("{setting}.replicas"),
                "must be 1, or the number of its tokens: make two groups for other numbers",
            );
        }
        if min > replicas {
            refuse(&format!("{setting}.min_replicas"), "is more than replicas");
        }
    }
    if let Err(error) = logging::check_filter(&config.log.level) {
        refuse("log.level", &format!("is not a filter: {error}; such as info, or info,portcullis::hsm=debug"));
    }
    mistakes
}

/// Where a setting, or the nearest one around it, was given.
fn origin(setting: &str, origins: &BTreeMap<String, Origin>) -> Origin {
    let mut path = setting;
    loop {
        if let Some(found) = origins.get(path) {
            return found.clone();
        }
        match path.rsplit_once('.') {
            Some((outer, _)) => path = outer,
            None => return Origin::Absent,
        }
    }
}
