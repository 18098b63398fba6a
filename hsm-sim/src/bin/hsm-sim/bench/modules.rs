//! The modules that are measured, and fresh stores for them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use hsm_sim::{admin, config::Config};
use indicatif::ProgressBar;

use crate::show;

/// The user PIN of every token that is made here.
pub(crate) const PIN: &str = "1234-user";
/// The SO PIN.
pub(super) const SO_PIN: &str = "5678-officer";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Simulator,
    SoftHsm,
    Kryoptic,
}

pub(super) struct Module {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

const SOFTHSM: &[&str] = &[
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
];

/// This module, which lies beside the command, then the others.
pub(super) fn find(named: &[PathBuf], only: bool) -> Result<Vec<Module>> {
    let beside = std::env::current_exe()?.with_file_name("libhsm_sim.so");
    // Where cargo has it while it runs tests.
    let deps = beside.with_file_name("deps").join("libhsm_sim.so");
    let Some(own) = [&beside, &deps].into_iter().find(|path| path.exists()).cloned() else {
        bail!("{} is not there: the module is built with `cargo build -p hsm-sim`", beside.display());
    };
    let mut modules = vec![Module { name: "hsm-sim".to_owned(), path: own, kind: Kind::Simulator }];
    if !only && let Some(path) = SOFTHSM.iter().map(PathBuf::from).find(|path| path.exists()) {
        modules.push(Module { name: "softhsm2".to_owned(), path, kind: Kind::SoftHsm });
    }
    for path in named {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (name, kind) = match name {
            name if name.contains("softhsm") => ("softhsm2".to_owned(), Kind::SoftHsm),
            name if name.contains("kryoptic") => ("kryoptic".to_owned(), Kind::Kryoptic),
            name => (name.replace(".so", ""), Kind::Simulator),
        };
        let path = fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
        if !modules.iter().any(|module| module.path == path || (module.name == name && module.kind != Kind::Simulator))
        {
            let taken = modules.iter().filter(|module| module.name.starts_with(&name)).count();
            let name = if taken == 0 { name } else { format!("{name}-{}", taken + 1) };
            modules.push(Module { name, path, kind });
        }
    }
    Ok(modules)
}

type Environment = Vec<(&'static str, PathBuf)>;

impl Module {
    /// A folder for the module's tokens; answers with the environment that leads there.
    pub(super) fn prepare(&self, folder: &Path, lines: &[&str]) -> Result<Environment> {
        fs::create_dir(folder)?;
        match self.kind {
            Kind::Simulator => {
                let config = folder.join("hsm-sim.toml");
                fs::write(&config, lines.join("\n"))?;
                Ok(vec![("HSM_SIM_STORE", folder.join("store")), ("HSM_SIM_CONFIG", config)])
            }
            Kind::SoftHsm => {
                let tokens = folder.join("tokens");
                fs::create_dir(&tokens)?;
                let conf = folder.join("softhsm2.conf");
                let text = format!(
                    "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
                    tokens.display()
                );
                fs::write(&conf, text)?;
                Ok(vec![("SOFTHSM2_CONF", conf)])
            }
            Kind::Kryoptic => {
                let conf = folder.join("kryoptic.conf");
                let text =
                    format!("[[slots]]\nslot = 1\ndbtype = \"sqlite\"\ndbargs = \"{}/token.sql\"\n", folder.display());
                fs::write(&conf, text)?;
                Ok(vec![("KRYOPTIC_CONF", conf)])
            }
        }
    }

    /// A store of this module with very many objects.
    pub(super) fn prepare_large(&self, folder: &Path, objects: u64, bar: &ProgressBar) -> Result<Environment> {
        let environment = self.prepare(folder, &[])?;
        let store = folder.join("store");
        admin::init_token_with(&store, &Config::default(), "bench", SO_PIN.as_bytes(), PIN.as_bytes())?;
        let (length, position) = (bar.length(), bar.position());
        bar.set_message("filling a large store");
        admin::fill(&store, "bench", PIN.as_bytes(), objects, &mut |done, total| show::step(bar, done, total))?;
        show::step(bar, position, length.unwrap_or_default());
        bar.set_message(self.name.clone());
        Ok(environment)
    }
}
