//! The one place where ports meet adapters: the commands, and the life of a gateway from start to drain.
//!
//! `gateway` builds everything from a configuration and runs it; `dev` makes a folder with everything that a
//! configuration needs. The other files are the smaller commands and the adapters between modules that do not know each
//! other.

mod adopt;
mod backup;
mod client;
pub mod command;
mod control;
mod dev;
mod dropped;
mod embedded;
mod enrol;
mod enrolled;
mod fronts;
mod fsck;
mod gateway;
mod inspect;
mod isolated;
mod marks;
mod migration;
mod notices;
mod observers;
mod policy;
mod probe;
mod problem;
mod provision;
mod refusals;
mod reissue;
mod space;
mod system;
mod token;
mod tokens;
mod trail;
mod upkeep;
mod watched;

pub use command::{Arguments, run};
pub use problem::Problem;
