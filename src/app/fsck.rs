//! `portcullis hsm fsck`: whether the tokens hold what the records name, and nothing else of ours.
//!
//! It reports and changes nothing: a value that is missing may stand on a token that is away, and an object without a record
//! may be the only copy of something. It runs in the gateway that serves, because nobody else may open the store; what comes and
//! goes meanwhile is looked at once more before it is reported.

use std::{collections::HashSet, process::ExitCode, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    control,
    problem::{Explain as _, Problem},
};
use crate::{
    config::Config,
    domain::{TokenId, UniqueIdentifier, reference::CkaId},
    engine::{
        Engine,
        ports::{MetadataStore, Order, Scope},
    },
    hsm::Pool,
};

/// Records read at a time.
const PAGE: usize = 500;
/// Identifiers named in one report; the counts are of all.
const NAMED_MAX: usize = 1_000;

/// What the comparison of one token with the records came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Comparison {
    /// The token.
    token: String,
    /// Records whose values it should hold.
    recorded: usize,
    /// Names of ours that it holds, the gateway's own keys apart.
    held: usize,
    /// How many values are missing.
    missing_count: usize,
    /// Their objects, the first thousand.
    missing: Vec<String>,
    /// How many names have no record.
    orphan_count: usize,
    /// These names, the first thousand.
    orphans: Vec<String>,
}

impl Comparison {
    const fn is_clean(&self) -> bool {
        self.missing_count == 0 && self.orphan_count == 0
    }

    fn name(list: &mut Vec<String>, count: &mut usize, id: UniqueIdentifier) {
        *count += 1;
        if list.len() < NAMED_MAX {
            list.push(id.to_string());
        }
    }
}

/// Compares one token.
pub(super) async fn compare(engine: &Arc<Engine>, pool: &Pool, token: TokenId) -> Result<Comparison, String> {
    let store = &engine.ports().store;
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let names = pool.names_of(&token).map_err(|error| said(&error))?;
    let holdings = pool.holdings(&token).await.map_err(|error| said(&error))?;
    let mut found = Comparison { token: token.0.clone(), held: holdings.len(), ..Comparison::default() };
    let held: HashSet<CkaId> = holdings.iter().copied().collect();
    let mut after = None;
    loop {
        let page = store.objects(Scope::Everything, Order::OldestFirst, after, PAGE).await;
        let page = page.map_err(|error| said(&error))?;
        for object in &page.records {
            let Some(value) = object.record.value.as_ref().filter(|value| names.contains(&value.token)) else {
                continue;
            };
            found.recorded += 1;
            if held.contains(&value.cka_id) || pool.owes(&token, value.cka_id) {
                continue;
            }
            // Made after the token was looked at, or destroyed since.
            let is_there = pool.stands(&token, value.cka_id).await.map_err(|error| said(&error))?;
            if !is_there && is_recorded(&**store, object.record.identifier, &names).await? {
                Comparison::name(&mut found.missing, &mut found.missing_count, object.record.identifier);
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let intents = store.intents().await.map_err(|error| said(&error))?;
    let expected: HashSet<CkaId> = intents.iter().flat_map(|intent| &intent.places).map(|at| at.cka_id).collect();
    for id in holdings {
        let object = UniqueIdentifier::from_bytes(id.0);
        if expected.contains(&id) || pool.owes(&token, id) || is_recorded(&**store, object, &names).await? {
            continue;
        }
        if pool.stands(&token, id).await.map_err(|error| said(&error))? {
            Comparison::name(&mut found.orphans, &mut found.orphan_count, object);
        }
    }
    Ok(found)
}

async fn is_recorded(store: &dyn MetadataStore, id: UniqueIdentifier, names: &[TokenId]) -> Result<bool, String> {
    let found = store.object(id).await.map_err(|error| error.to_string())?;
    Ok(found.is_some_and(|found| found.record.value.is_some_and(|value| names.contains(&value.token))))
}

/// The command.
pub(super) fn run(config: Config, json: bool) -> Result<ExitCode, Problem> {
    let bar = indicatif::ProgressBar::new_spinner();
    bar.set_message("comparing the tokens with the records");
    bar.enable_steady_tick(Duration::from_millis(120));
    let compared = control::compare(config);
    bar.finish_and_clear();
    let compared = compared?;
    let text = if json {
        serde_json::to_string_pretty(&compared).explain("PC-OUTPUT", "the comparison", "")? + "\n"
    } else {
        compared.iter().map(described).collect()
    };
    super::inspect::print(&text)?;
    Ok(if compared.iter().all(Comparison::is_clean) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A comparison for people.
pub(super) fn described(found: &Comparison) -> String {
    let Comparison { token, recorded, held, missing_count, missing, orphan_count, orphans } = found;
    let mut text = format!("hsm.{token}: {recorded} records, {held} names on the token\n");
    let mut list = |what: &str, count: usize, names: &[String]| {
        if count > 0 {
            text += &format!("  {count} {what}:\n");
            names.iter().for_each(|name| text += &format!("    {name}\n"));
            if names.len() < count {
                text += &format!("    and {} more\n", count - names.len());
            }
        }
    };
    list("values are missing: restore the token from its backup, or destroy these objects", *missing_count, missing);
    list(
        "names without a record: of another store, or of one that was put back; nothing is removed",
        *orphan_count,
        orphans,
    );
    text
}
