//! The engine: use cases over ports, in one pipeline for both protocols.
//!
//! It knows neither KMIP nor JSON, neither `cryptoki` nor `sled`. A front end turns bytes into a typed use case and calls
//! [`Engine::execute`]; everything that must happen around a use case happens there, once.

mod changes;
pub mod error;
pub mod jobs;
mod late;
pub mod operation;
pub mod ops;
mod pipeline;
pub mod ports;
mod rates;
pub mod reconcile;
mod search;
mod terms;
pub mod testing;
mod tools;
mod transaction;
mod uses;
mod vanished;

/// What a use case is given; a front end that has one of its own names it, and cannot make it.
pub use crate::authz::Permitted;
pub use changes::{Change, Listening};
pub use error::{Error, ErrorKind};
pub use late::{Judged, Late};
pub use operation::{Operation, Target, Targets};
pub use pipeline::{Bounds, Caller, Engine, Http, Observer, StatusOf, Stranger};
use tools::unexpected;

pub use rates::Rates;
pub use tools::{Announced, ISSUER, Ports, SecretStore, Settings, SoftwareFallback, Tools};
pub use transaction::Transaction;
pub use uses::Uses;
