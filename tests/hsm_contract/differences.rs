//! Cases that fail on a module for a known reason, from `differences.txt`.
//!
//! The list is checked both ways: a case that is not in it must pass, one that is in it must fail, and every line names a
//! module that is known and a case that exists.

use crate::cases::Case;

const TEXT: &str = include_str!("differences.txt");
const MODULES: &[&str] = &["hsm-sim", "hsm-sim-luna7-fips", "hsm-sim-cloudhsm", "softhsm2", "kryoptic"];

/// One line.
pub(crate) struct Difference {
    module: &'static str,
    case: &'static str,
    pub(crate) reason: &'static str,
}

/// All lines; a comment begins with `#`.
pub(crate) fn list() -> Vec<Difference> {
    let lines = TEXT.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().map(str::trim).unwrap_or_default();
            Difference { module: word(), case: word(), reason: word() }
        })
        .collect()
}

impl Difference {
    pub(crate) fn is(&self, module: &str, case: &str) -> bool {
        self.module == module && self.case == case
    }

    /// What is wrong with the line itself, if anything is.
    pub(crate) fn refers_to_nothing(&self, cases: &[Case]) -> Option<String> {
        let Self { module, case, reason } = self;
        if !MODULES.contains(module) {
            Some(format!("no module is called {module:?}"))
        } else if !cases.iter().any(|known| known.name == *case) {
            Some(format!("no case is called {case:?}"))
        } else if reason.is_empty() {
            Some(format!("{module} {case}: no reason is given"))
        } else {
            None
        }
    }
}
