//! Imports point one way only: each module's `use` lines are compared with what its rank allows.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Module and what of ours it may import: the module names, or single modules below them.
const ALLOWED: &[(&str, &[&str])] = &[
    // rank 0
    ("domain", &[]),
    ("telemetry", &[]),
    ("alarm", &[]),
    ("net", &["alarm"]),
    ("mem", &[]),
    ("crypto", &["domain"]),
    // rank 1
    ("authz", &["domain"]),
    ("authn", &["domain", "crypto"]),
    // rank 2
    ("engine", &["domain", "authz", "telemetry", "crypto"]),
    // rank 3: adapters know the ports, not the use cases, and not each other
    ("hsm", &["domain", "crypto", "telemetry", "alarm", "engine::ports"]),
    ("store", &["domain", "crypto", "telemetry", "engine::ports"]),
    ("audit", &["domain", "crypto", "telemetry", "engine::ports"]),
    // rank 4: front ends know the engine, not each other, and neither HSM nor store
    ("kmip", &["domain", "crypto", "telemetry", "alarm", "authn", "engine"]),
    ("barbican", &["domain", "crypto", "telemetry", "authn", "engine"]),
    ("admin", &["domain", "telemetry", "engine::ports"]),
    // rank 5: `app` alone reads the configuration and the certificates
    ("config", &["domain", "telemetry"]),
    ("tls", &["crypto"]),
    (
        "app",
        &[
            "domain",
            "telemetry",
            "net",
            "mem",
            "crypto",
            "authz",
            "authn",
            "engine",
            "hsm",
            "store",
            "audit",
            "kmip",
            "barbican",
            "admin",
            "config",
            "tls",
        ],
    ),
];

/// Crate and the modules that may name it.
const CRATES: &[(&str, &[&str])] = &[
    ("cryptoki", &["hsm"]),
    ("cryptoki_sys", &["hsm"]),
    ("sled", &["store"]),
    ("rcgen", &["tls"]),
    ("rustls", &["tls", "net", "app", "authn"]),
    ("tokio_rustls", &["tls", "net", "app"]),
    ("kmip_codec", &["kmip", "app"]),
    ("hsm_sim", &["app"]),
    ("axum", &["barbican", "kmip", "admin", "net", "app"]),
    ("prometheus", &["telemetry"]),
    ("clap", &["app"]),
    ("amqprs", &["net"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file of the library with the module path it stands for.
fn files() -> Vec<(Vec<String>, String)> {
    fn walk(folder: &Path, module: &[String], found: &mut Vec<(Vec<String>, String)>) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let mut inner = module.to_vec();
            if path.is_dir() {
                inner.push(stem);
                walk(&path, &inner, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                if !["mod", "lib", "main"].contains(&stem.as_str()) {
                    inner.push(stem);
                }
                found.push((inner, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &[], &mut found);
    found
}

/// The text without comments and without what stands in quotes.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| {
            let line = line.split("//").next().unwrap_or_default();
            line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// What stands after a prefix such as `crate::`: one path, or each path of a group in braces.
fn paths_after(text: &str) -> Vec<String> {
    let Some(group) = text.strip_prefix('{') else {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
        let path = text.split_at(end).0;
        // `engine::ports::{…}`: what the braces hold is below it.
        return vec![path.trim_end_matches(':').to_owned()];
    };
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(group.get(start..at).unwrap());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(group.get(start..at).unwrap());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).flat_map(expand).collect()
}

/// `engine::{ports::X, Engine}` becomes `engine::ports::X` and `engine::Engine`.
fn expand(part: &str) -> Vec<String> {
    match part.split_once("::{") {
        Some((head, rest)) => {
            paths_after(&format!("{{{rest}")).into_iter().map(|tail| format!("{head}::{tail}")).collect()
        }
        None => paths_after(part),
    }
}

/// Paths of ours that a file names, from the crate's root.
fn imports(module: &[String], text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, prefix) in text.match_indices("crate::") {
        found.extend(
            paths_after(text.split_at(at + prefix.len()).1.trim_start()).into_iter().flat_map(|path| expand(&path)),
        );
    }
    // As many `super` as the file is deep end at the root; inside of the tests' own module it would be one more.
    let text = text.split("mod tests {").next().unwrap_or_default();
    let climb = "super::".repeat(module.len().max(1));
    for (at, prefix) in text.match_indices(&climb) {
        if !module.is_empty() && !text.split_at(at).0.ends_with("super::") {
            found.extend(paths_after(text.split_at(at + prefix.len()).1));
        }
    }
    found
}

/// The code without what it imports from us: there a module of ours may bear the name of the crate it wraps.
fn foreign(text: &str) -> String {
    let ours = |statement: &str| {
        let statement = statement.trim_start();
        let statement = statement.strip_prefix("pub ").unwrap_or(statement);
        ["use crate::", "use super::", "use self::"].iter().any(|start| statement.starts_with(start))
    };
    // An attribute or a brace before `use` ends a line, so statements are looked at from their last line break on.
    let code = code(text);
    code.split_inclusive(';')
        .map(|statement| match statement.rfind("use ") {
            Some(at) if ours(statement.split_at(at).1) => statement.split_at(at).0,
            _ => statement,
        })
        .collect()
}

#[test]
fn every_import_is_one_that_its_rank_allows() {
    let mut wrong = Vec::new();
    for (module, text) in files() {
        let Some(top) = module.first() else { continue };
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| name == top) else {
            wrong.push(format!("src/{top} has no rank: add it to the table"));
            continue;
        };
        for path in imports(&module, &code(&text)) {
            let own = path.split("::").next() == Some(top.as_str());
            let fits = |allowed: &&str| path == **allowed || path.starts_with(&format!("{allowed}::"));
            if !own && !allowed.iter().any(fits) {
                wrong.push(format!("{} imports {path}", module.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn foreign_crates_stay_in_their_modules() {
    let mut wrong = Vec::new();
    for (module, text) in files() {
        let Some(top) = module.first() else { continue };
        let code = foreign(&text);
        for (name, allowed) in CRATES {
            let named = code.match_indices(&format!("{name}::")).any(|(at, _)| {
                let before = code.split_at(at).0.chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            });
            // A module of ours may bear the name of the crate it wraps.
            let is_ours = text.contains(&format!("mod {name};"));
            if named && !is_ours && !allowed.contains(&top.as_str()) {
                wrong.push(format!("{} names {name}", module.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_engine_knows_no_protocol() {
    let words = ["ProtocolVersion", "kmip_codec", "serde_json", "axum", "cryptoki", "sled"];
    for (module, text) in files() {
        if module.first().is_some_and(|top| ["engine", "domain", "authz"].contains(&top.as_str())) {
            let code = code(&text);
            for word in words {
                assert!(!code.contains(word), "{} names {word}", module.join("::"));
            }
        }
    }
}

#[test]
fn the_scanner_sees_every_form() {
    let module = ["kmip".to_owned(), "ops".to_owned()];
    let text = "use crate::{\n    domain::{A, B},\n    engine::{self, ports::{C, D}},\n};\nuse crate::store::X;\nlet y = super::super::hsm::Pool;";
    let found = imports(&module, &code(text));
    let expected =
        ["domain::A", "domain::B", "engine::ports::C", "engine::ports::D", "engine::self", "hsm::Pool", "store::X"];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}
