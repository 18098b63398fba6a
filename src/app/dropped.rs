//! Tokens and replicated groups that the configuration no longer names although values lie on them.
//!
//! Without such a token these values cannot be read, and nobody would notice before somebody asks for one. So the gateway does
//! not start, unless the operator has written down that the token is gone for good. Which tokens there were is remembered; only
//! when one is missing are the records looked through.

use std::{collections::BTreeMap, sync::Arc};

use super::problem::{Explain, Problem};
use crate::{
    config::Config,
    engine::ports::{Memory, MetadataStore, Order, Scope},
};

/// The tokens of the last start, a name a line.
const FACT: &str = "tokens";
/// Records looked at a time.
const STEP: usize = 256;

/// What is known of the tokens of earlier starts.
pub(super) struct Known {
    memory: Arc<dyn Memory>,
    before: Option<String>,
    now: String,
}

impl Known {
    /// Asks the memory of the store.
    pub(super) fn recall(config: &Config, memory: &Arc<dyn Memory>) -> Result<Self, Problem> {
        let before = memory.recall(FACT).explain("PC-STORE-OPEN", "which tokens there were", "")?;
        Ok(Self {
            memory: Arc::clone(memory),
            before: before.map(|names| String::from_utf8_lossy(&names).into_owned()),
            now: now(config),
        })
    }

    /// Names that were there and are not any more.
    fn missing(&self, config: &Config) -> Vec<&str> {
        let before = self.before.as_deref().unwrap_or_default();
        before.lines().filter(|name| !config.is_named(name)).collect()
    }

    /// Why the store does not open, where a missing token is the likely reason: the store's key may have been on it.
    pub(super) fn explains(&self, config: &Config) -> Option<Problem> {
        let missing = self.missing(config);
        (!missing.is_empty()).then(|| dropped(&missing.join(", "), "the key of the store or"))
    }

    /// Refuses a configuration without a token that is still needed; else remembers the tokens that there are.
    pub(super) async fn check(&self, config: &Config, store: &dyn MetadataStore) -> Result<(), Problem> {
        // A store that an earlier program made knows nothing: then the records tell.
        if self.before.is_none() || !self.missing(config).is_empty() {
            for (name, count) in held_elsewhere(config, store).await? {
                if !config.store.abandoned_tokens.contains(&name) {
                    return Err(dropped(&name, &count.to_string()));
                }
                tracing::warn!(token = name, secrets = count, "the token was given up, and what it holds with it");
            }
        }
        if self.before.as_ref() != Some(&self.now) {
            let remembered = self.memory.remember(FACT, self.now.as_bytes());
            remembered.explain("PC-STORE-OPEN", "which tokens there are", "")?;
        }
        Ok(())
    }
}

/// The names that references may bear: tokens and replicated groups.
fn now(config: &Config) -> String {
    let mut names = config.places();
    names.extend(config.hsm.keys().map(String::as_str));
    names.sort_unstable();
    names.dedup();
    names.join("\n")
}

/// How many values lie on each token that the configuration does not name.
async fn held_elsewhere(config: &Config, store: &dyn MetadataStore) -> Result<BTreeMap<String, u64>, Problem> {
    let mut held = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.objects(Scope::Everything, Order::OldestFirst, after, STEP).await;
        let page = page.explain("PC-STORE-OPEN", "the records cannot be looked through", "")?;
        for value in page.records.iter().filter_map(|found| found.record.value.as_ref()) {
            if !config.is_named(&value.token.0) {
                *held.entry(value.token.0.clone()).or_default() += 1;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(held);
        }
    }
}

fn dropped(name: &str, what: &str) -> Problem {
    Problem::new(
        "PC-HSM-TOKEN-DROPPED",
        format!("the token hsm.{name} is not in the configuration, but holds {what} secrets of this store"),
        format!(
            "configure it again; if it is gone for good: store.abandoned_tokens = [\"{name}\"], which gives them up"
        ),
    )
}
