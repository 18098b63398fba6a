//! What the command prints: for people, or as JSON.

use std::path::Path;

use anyhow::Result;
use hsm_sim::{
    admin::{Backup, Report, TokenSummary},
    fault::{control::Stats, scenario::Scenario},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

fn print(value: &(impl Serialize + ?Sized)) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A bar on the error stream, shown on terminals only.
pub(crate) fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}

/// Moves a bar.
pub(crate) fn step(bar: &ProgressBar, done: u64, total: u64) {
    bar.set_length(total);
    bar.set_position(done);
}

/// For what has nothing to say.
pub(crate) fn done(json: bool) {
    if json {
        println!("{}", serde_json::json!({ "ok": true }));
    }
}

pub(crate) fn tokens(tokens: &[TokenSummary], json: bool) -> Result<()> {
    if json {
        return print(tokens);
    }
    for token in tokens {
        let label = if token.is_initialised { token.label.as_str() } else { "(not initialised)" };
        let tries = token.user_tries_left.map_or_else(|| "no user PIN".to_owned(), |left| format!("{left} tries left"));
        println!("slot {:<10} serial {} {tries:<14} {label}", token.slot, token.serial);
    }
    Ok(())
}

pub(crate) fn reports(reports: &[Report], json: bool) -> Result<()> {
    if json {
        return print(reports);
    }
    for report in reports {
        let unopened = match report.unopened {
            0 => String::new(),
            unopened => format!(", {unopened} private ones not opened without the PIN"),
        };
        let word = if report.problems.is_empty() { "clean" } else { "DAMAGED" };
        println!("{} {}: {word}, {} objects{unopened}", report.serial, report.label, report.objects);
        for problem in &report.problems {
            match problem.handle {
                Some(handle) => println!("  object {handle}: {}", problem.what),
                None => println!("  {}", problem.what),
            }
        }
    }
    Ok(())
}

pub(crate) fn backup(backup: &Backup, to: &Path, json: bool) -> Result<()> {
    if json {
        return print(backup);
    }
    println!("{} tokens with {} objects are in {}", backup.tokens.len(), backup.objects, to.display());
    Ok(())
}

pub(crate) fn wiped(what: &str, files: u64, json: bool) -> Result<()> {
    if json {
        return print(&serde_json::json!({ "ok": true, "files": files }));
    }
    println!("{what}: {files} files overwritten and deleted");
    println!(
        "Solid-state and copy-on-write storage may keep the old blocks; without PIN records and keys they do not open."
    );
    Ok(())
}

pub(crate) fn scenarios(scenarios: &[Scenario], json: bool) -> Result<()> {
    if json {
        return print(scenarios);
    }
    for scenario in scenarios {
        println!("{:<18} {}", scenario.name, scenario.about);
    }
    Ok(())
}

pub(crate) fn plan(plan: Option<String>, json: bool) -> Result<()> {
    if json {
        return print(&serde_json::json!({ "plan": plan }));
    }
    println!("{}", plan.as_deref().map_or("no plan is installed", str::trim_end));
    Ok(())
}

pub(crate) fn stats(stats: &Stats, json: bool) -> Result<()> {
    if json {
        return print(stats);
    }
    println!("{} faults injected", stats.injected_total);
    for (function, calls) in &stats.calls {
        let injected = stats.injected.get(function).copied().unwrap_or_default();
        println!("{function:<28} {calls:>10} calls {injected:>8} faults");
    }
    for (mechanism, calls) in &stats.mechanisms {
        println!("{mechanism:<28} {calls:>10} calls");
    }
    for (code, answers) in &stats.answers {
        println!("{code:<36} {answers:>10} answers");
    }
    for (place, rule) in stats.rules.iter().enumerate() {
        println!("rule {:<3} matched {:>10} fired {:>8}", place + 1, rule.matched, rule.fired);
    }
    Ok(())
}
