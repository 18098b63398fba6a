//! The configuration: typed sections, read from a TOML file with the environment laid over it.
//!
//! Unknown keys are refused and all mistakes are reported at once, each with its line and a stable code. Units are part of
//! the names, secrets are given as paths of files, relative paths start at the folder of the file. `config/gateway.toml`
//! documents every key; a test compares it with [`sections`]. Only `app` reads this module.

mod check;
mod reader;
pub mod sections;
mod setting;

use std::{fmt, fs, path::Path};

pub use reader::{Mistake, Origin};
pub use sections::*;

use self::reader::{Reading, Setting};

/// Everything that is wrong with a configuration.
#[derive(Debug)]
pub struct Mistakes {
    /// The file.
    pub file: String,
    /// What is wrong, in the order of the file.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}: {mistake}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

impl Config {
    /// Whether references may name this: a token, or a replicated group.
    #[must_use]
    pub fn is_named(&self, place: &str) -> bool {
        self.hsm.contains_key(place) || self.places().contains(&place)
    }

    /// Where objects may be, by the names that references use: replicated groups, and the tokens outside of them.
    #[must_use]
    pub fn places(&self) -> Vec<&str> {
        let replicated = || self.groups.iter().filter(|(_, group)| group.replicas.size() > 1);
        let alone = self.hsm.keys().filter(|token| !replicated().any(|(_, group)| group.tokens.contains(token)));
        let mut places: Vec<&str> =
            replicated().map(|(name, _)| name.as_str()).chain(alone.map(String::as_str)).collect();
        places.sort_unstable();
        places
    }
}

/// Reads a configuration file, with `PORTCULLIS_SECTION__KEY` variables laid over it.
///
/// # Errors
///
/// Every mistake at once.
pub fn load(path: &Path, environment: impl Iterator<Item = (String, String)>) -> Result<Config, Mistakes> {
    let file = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => {
            let folder = path.parent().unwrap_or_else(|| Path::new(""));
            parse(&text, folder, environment).map_err(|mistakes| Mistakes { file, mistakes })
        }
        Err(error) => {
            let what = format!("cannot be read: {error}; name the configuration with --config");
            let mistake = Mistake { code: "PC-CONFIG-FILE", origin: Origin::Absent, setting: String::new(), what };
            Err(Mistakes { file, mistakes: vec![mistake] })
        }
    }
}

/// Reads a configuration text; `folder` is where relative paths start.
///
/// # Errors
///
/// Every mistake at once, in the order of the file.
pub fn parse(
    text: &str,
    folder: &Path,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, Vec<Mistake>> {
    let mut at = Reading::new(folder);
    let mut root = reader::parse(text, &mut at);
    reader::overlay(&mut root, environment, &mut at);
    let config = Config::read(root, &mut at);
    let Reading { mut mistakes, origins, .. } = at;
    if let Some(config) = &config {
        mistakes.extend(check::relations(config, &origins));
    }
    mistakes.sort_by(|a, b| (&a.origin, &a.setting).cmp(&(&b.origin, &b.setting)));
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        _ => Err(mistakes),
    }
}
