//! `hsm-sim bench`: the same loops on several modules, each in a process of its own, one after the other.
//!
//! The parent makes a fresh store for each module, starts a child on it and puts what the children say beside each other:
//! absolute figures, the ratio to the first other module, and the target where there is one. Two figures that are no
//! module's are taken in the same run: how often a second the disk syncs, and how often the crypto library signs.

mod modules;
mod reference;
mod rows;

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::show;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// More modules, by path; SoftHSM2 and kryoptic are known by their file names.
    #[arg(long)]
    module: Vec<PathBuf>,
    /// Only the modules named, and this one.
    #[arg(long)]
    only: bool,
    /// Seconds for each figure.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rows to measure, by a part of their names; all without it.
    #[arg(long)]
    row: Vec<String>,
    /// Objects of the large store; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    objects: u64,
    /// Where the stores are made; the disk there is the one that is measured.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Exit status 1 when a target is missed.
    #[arg(long)]
    strict: bool,
}

/// One module's part.
#[derive(Args)]
pub(crate) struct ChildOptions {
    #[arg(long)]
    module: PathBuf,
    #[arg(long)]
    pin: String,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    row: Vec<String>,
    /// The token is there already and has so many objects.
    #[arg(long)]
    objects: Option<u64>,
}

/// What a child says of one row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) row: String,
    pub(crate) value: Option<f64>,
    pub(crate) error: Option<String>,
}

#[derive(Serialize)]
struct Column {
    name: String,
    path: PathBuf,
    figures: Vec<Figure>,
}

/// Measures and shows.
pub(crate) fn parent(options: &Options, json: bool) -> Result<()> {
    let base = match &options.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            folder.clone()
        }
        None => std::env::temp_dir(),
    };
    let folder = base.join(format!("hsm-sim-bench-{}", std::process::id()));
    std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let measured = measure(options, &folder, json);
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    measured
}

fn measure(options: &Options, folder: &std::path::Path, json: bool) -> Result<()> {
    let modules = modules::find(&options.module, options.only)?;
    let rows: Vec<_> = rows::ROWS.iter().filter(|row| is_wanted(options, row.name)).collect();
    let large = rows.iter().filter(|row| row.is_large).count();
    let figures = (rows.len() - large) * modules.len() + if options.objects > 0 { large } else { 0 };
    let bar = show::bar("measuring");
    let mut done = 0;
    show::step(&bar, 0, figures as u64);
    let reference = reference::take(folder, options.seconds)?;
    let mut columns = Vec::new();
    for module in &modules {
        let place = folder.join(&module.name);
        let environment = module.prepare(&place, &[])?;
        bar.set_message(module.name.clone());
        let mut tell = |_: &Figure| {
            done += 1;
            show::step(&bar, done, figures as u64);
        };
        let mut figures = run(options, module, &environment, None, &mut tell)?;
        if module.kind == modules::Kind::Simulator && options.objects > 0 && large > 0 {
            let place = folder.join("large");
            let environment = module.prepare_large(&place, options.objects, &bar)?;
            figures.extend(run(options, module, &environment, Some(options.objects), &mut tell)?);
        }
        columns.push(Column { name: module.name.clone(), path: module.path.clone(), figures });
    }
    bar.finish_and_clear();
    let missed = report(&rows, &columns, &reference, options.objects, json)?;
    if options.strict && missed > 0 {
        bail!("{missed} targets were missed");
    }
    Ok(())
}

fn is_wanted(options: &Options, name: &str) -> bool {
    options.row.is_empty() || options.row.iter().any(|part| name.contains(part.as_str()))
}

/// Runs a child and collects what it says.
fn run(
    options: &Options,
    module: &modules::Module,
    environment: &[(&'static str, PathBuf)],
    objects: Option<u64>,
    tell: &mut dyn FnMut(&Figure),
) -> Result<Vec<Figure>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bench-child").arg("--module").arg(&module.path).args(["--pin", modules::PIN]);
    command.args(["--seconds", &options.seconds.to_string()]);
    for row in &options.row {
        command.args(["--row", row]);
    }
    if let Some(objects) = objects {
        command.args(["--objects", &objects.to_string()]);
    }
    let mut child = command
        .env_remove("HSM_SIM_FAULTS")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("a child without output")?;
    let mut figures = Vec::new();
    for line in BufReader::new(output).lines() {
        // A module may write to the output of its process, too.
        if let Ok(figure) = serde_json::from_str::<Figure>(&line?) {
            tell(&figure);
            figures.push(figure);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        figures.push(Figure { row: String::new(), value: None, error: Some(format!("the process ended: {status}")) });
    }
    Ok(figures)
}

/// Shows the table; answers how many targets this module missed.
fn report(
    rows: &[&rows::Row],
    columns: &[Column],
    reference: &reference::Reference,
    objects: u64,
    json: bool,
) -> Result<usize> {
    let figure =
        |column: &Column, row: &rows::Row| column.figures.iter().find(|figure| figure.row == row.name).cloned();
    let value = |column: Option<&Column>, row: &rows::Row| column.and_then(|column| figure(column, row)?.value);
    let mut lines = Vec::new();
    let mut missed = 0;
    for row in rows.iter().filter(|row| !row.is_large || objects > 0) {
        let ours = value(columns.first(), row);
        let others: Vec<_> = columns.iter().skip(1).map(|column| value(Some(column), row)).collect();
        let find =
            |name: &str| rows::ROWS.iter().find(|row| row.name == name).and_then(|row| value(columns.first(), row));
        let target = row.target.figure(reference, others.first().copied().flatten(), &find);
        let is_met = match (ours, target) {
            (Some(ours), Some(target)) => Some(if row.is_less_better { ours <= target } else { ours >= target }),
            _ => None,
        };
        missed += usize::from(is_met == Some(false));
        let ratio = ours.zip(others.first().copied().flatten()).map(|(ours, other)| ours / other);
        lines.push((row, ours, others, ratio, target, is_met));
    }
    if json {
        let lines: Vec<_> = lines
            .iter()
            .map(|(row, ours, _, ratio, target, is_met)| {
                serde_json::json!({
                    "row": row.name, "about": row.about, "unit": row.unit, "value": ours, "ratio": ratio,
                    "target": target, "met": is_met,
                })
            })
            .collect();
        let whole = serde_json::json!({ "modules": columns, "reference": reference, "rows": lines, "missed": missed });
        println!("{}", serde_json::to_string_pretty(&whole)?);
        return Ok(missed);
    }
    println!("disk: {:.0} syncs/s   library: {:.0} RSA-2048 signatures/s", reference.syncs, reference.rsa_signatures);
    let names: Vec<_> = columns.iter().map(|column| format!("{:>12}", column.name)).collect();
    println!("{:<44} {} {:>8} {:>10}", "", names.join(" "), "ratio", "target");
    for (row, ours, others, ratio, target, is_met) in lines {
        let cells: Vec<_> = std::iter::once(ours).chain(others).map(|value| format!("{:>12}", number(value))).collect();
        let mark = match is_met {
            Some(true) => "",
            Some(false) => " MISSED",
            None => "",
        };
        let about = format!("{} ({})", row.about, row.unit);
        let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}"));
        println!("{about:<44} {} {ratio:>8} {:>10}{mark}", cells.join(" "), number(target));
    }
    for column in columns {
        for figure in column.figures.iter().filter(|figure| figure.error.is_some()) {
            println!("{} {}: {}", column.name, figure.row, figure.error.as_deref().unwrap_or_default());
        }
    }
    Ok(missed)
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

/// One module's part.
pub(crate) fn child(options: &ChildOptions) -> Result<()> {
    rows::run(options, &mut |figure| {
        println!("{}", serde_json::to_string(figure)?);
        Ok(())
    })
}
