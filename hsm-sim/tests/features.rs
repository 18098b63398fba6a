//! What the module's file exports, and the features that change it; those are built with `LONG=1` only.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The names that a file exports; none where there is no `nm`.
fn exported(file: &Path) -> Option<BTreeSet<String>> {
    let Ok(output) = Command::new("nm").args(["--dynamic", "--defined-only", "--format=posix"]).arg(file).output()
    else {
        println!("skipped, because there is no nm");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect())
}

const OF_3_0: [&str; 2] = ["C_GetInterface", "C_GetInterfaceList"];

#[test]
fn the_module_exports_the_functions_of_the_standard_and_nothing_else() {
    let Some(names) = exported(&support::module()) else { return };
    assert!(names.iter().all(|name| name.starts_with("C_")), "{names:?}");
    let newer = if cfg!(feature = "v240-only") { 0 } else { OF_3_0.len() };
    // 3.2 has 104 functions.
    assert_eq!(names.len(), 102 + newer);
    assert_eq!(OF_3_0.iter().filter(|name| names.contains(**name)).count(), newer);
}

/// Cargo on this crate with a feature, in a folder of its own, so that the files of other builds stay as they are.
fn cargo(arguments: &[&str]) -> Option<PathBuf> {
    if env::var_os("LONG").is_none() {
        println!("skipped, because LONG is not set: {}", arguments.join(" "));
        return None;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = support::module().ancestors().nth(3).unwrap().join("features");
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "-p", "hsm-sim", "--target-dir"])
        .arg(&target)
        .current_dir(root)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Some(target)
}

#[test]
fn v240_only_leaves_out_the_two_symbols_of_3_0() {
    let Some(target) = cargo(&["build", "--lib", "--features", "v240-only"]) else { return };
    let Some(names) = exported(&target.join("debug/libhsm_sim.so")) else { return };
    assert_eq!(names.len(), 102);
    assert!(OF_3_0.iter().all(|name| !names.contains(*name)) && names.contains("C_GetFunctionList"));
}

#[test]
fn a_seed_makes_runs_repeat_where_that_is_built_in() {
    cargo(&["test", "--test", "deterministic", "--features", "deterministic"]);
}
