//! The source tree itself: what every file has, and what none may contain.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Longer files have a second subject; the tables of the specification are one long one.
const LINES_MAX: usize = 1_000;

/// Folders with `unsafe` blocks; nobody else has any.
const UNSAFE: &[&str] = &["hsm-sim/src/abi", "hsm-sim/src/crypto", "src/hsm/raw.rs", "src/mem.rs"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the repository that is ours, by its path from the root.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["target", "vectors", "corpus"].contains(&name) && !name.starts_with('.') {
                    walk(&path, found);
                }
            } else if name.ends_with(".rs") {
                let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((relative, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["src", "kmip-codec", "hsm-sim", "tests", "fuzz"] {
        let folder = root().join(folder);
        if folder.is_dir() {
            walk(&folder, &mut found);
        }
    }
    assert!(found.len() > 50, "the walk finds the tree");
    found
}

fn complain(wrong: &[String]) {
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is() {
    let lacks: Vec<String> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    complain(&lacks);
}

#[test]
fn no_file_is_too_long() {
    let long = sources()
        .into_iter()
        .filter(|(path, text)| !path.starts_with("kmip-codec/src/spec/") && text.lines().count() > LINES_MAX);
    complain(&long.map(|(path, text)| format!("{path}: {} lines", text.lines().count())).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_undone_in_the_code() {
    // Spelt apart, so that this file does not contain them.
    let words = [["TO", "DO"], ["FIX", "ME"], ["X", "XX"], ["todo", "!("], ["unimplemented", "!("], ["dbg", "!("]];
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for word in words.map(|parts| parts.concat()) {
            let whole = |at: usize| !text.split_at(at).0.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if text.match_indices(&word).any(|(at, _)| whole(at)) {
                wrong.push(format!("{path}: {word}"));
            }
        }
    }
    complain(&wrong);
}

#[test]
fn unsafe_code_stays_where_it_belongs() {
    let block = [" uns", "afe {"].concat();
    let wrong = sources().into_iter().filter(|(path, text)| {
        let here = UNSAFE.iter().any(|place| path.starts_with(place));
        let is_test = path.contains("/tests/") || path.starts_with("tests/") || path.starts_with("fuzz/");
        !here && !is_test && text.contains(&block)
    });
    complain(&wrong.map(|(path, _)| path).collect::<Vec<_>>());
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let allow = ["#[all", "ow("].concat();
    let allow_all = ["#![all", "ow("].concat();
    let wrong = sources().into_iter().filter(|(_, text)| text.contains(&allow) || text.contains(&allow_all));
    complain(&wrong.map(|(path, _)| path).collect::<Vec<_>>());
}

#[test]
fn the_places_of_this_machine_are_not_named() {
    let words = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"]].map(|parts| parts.concat());
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        wrong.extend(words.iter().filter(|word| text.contains(*word)).map(|word| format!("{path}: {word}")));
    }
    complain(&wrong);
}

#[test]
fn every_decision_has_its_parts() {
    let folder = root().join("docs/decisions");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for part in ["# ", "**Context.**", "**Choice.**", "**Cost.**"] {
            assert!(text.contains(part), "{} lacks {part}", path.display());
        }
    }
}
