//! `portcullis audit verify`.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::problem::{Explain, Problem};
use crate::{
    audit::{CheckpointKey, file::rotated_files, verify_files},
    crypto::hash::to_hex,
};

/// Verifies the files in order; a folder stands for the files of its trail.
pub(super) fn verify(paths: &[PathBuf], key: Option<&Path>) -> Result<ExitCode, Problem> {
    let remedy = "name the files of one trail, oldest first, or its folder";
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(rotated_files(path).explain("PC-AUDIT-FILE", path.display(), remedy)?);
            files.push(path.join("audit.log"));
        } else {
            files.push(path.clone());
        }
    }
    let key = key.map(|path| {
        let bytes = fs::read(path).explain("PC-AUDIT-KEY", path.display(), "name the public key file")?;
        CheckpointKey::parse(&bytes).explain("PC-AUDIT-KEY", path.display(), "give a P-256 public key, PEM or DER")
    });
    let key = key.transpose()?;
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let report = verify_files(&files, key.as_ref()).explain("PC-AUDIT-FILE", "the trail cannot be read", remedy)?;
    let mut out = io::stdout().lock();
    let written = if let Some(bad) = &report.bad {
        writeln!(out, "broken: {} line {}: {}", bad.file.display(), bad.line, bad.why)
    } else {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        writeln!(
            out,
            "holds: {} lines, {} to {}, {} checkpoints, signatures {}, head {}",
            report.lines,
            number(report.first),
            number(report.last),
            report.checkpoints,
            match (&key, report.signed_through) {
                (None, _) => "not checked (no --key)".to_owned(),
                (Some(_), None) => "none".to_owned(),
                (Some(_), Some(line)) => format!("good through line {line}"),
            },
            report.head.map_or_else(|| "-".to_owned(), |head| to_hex(&head)),
        )
    };
    written.explain("PC-OUTPUT", "standard output", "")?;
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
