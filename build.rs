//! Tells the library where the simulated HSM's module lies, so that `dev` can carry it inside the binary.
//!
//! Cargo writes the `cdylib` of a normal dependency to `deps/libhsm_sim.so`, three levels above `OUT_DIR`. `cargo check`
//! and `clippy` do not link it; an empty stand-in then lets `include_bytes!` compile, and start-up refuses it by its magic.
//! The compiler itself notes that the module was read, so a new one builds the library again; naming it here as well would
//! build everything twice on a fresh clone.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let profile = out.ancestors().nth(3).expect("OUT_DIR is <profile>/build/<package>/out");
    let module = profile.join("deps").join("libhsm_sim.so");
    if !module.exists() {
        fs::create_dir_all(profile.join("deps")).expect("the deps folder can be made");
        fs::write(&module, b"").expect("the stand-in can be written");
    }
    println!("cargo:rustc-env=HSM_SIM_SO={}", module.display());
}
