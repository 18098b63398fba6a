//! Who may do what: rules over the principal and the stored entity, never over request parameters.
//!
//! The rules are text in the language of oslo.policy (`language`), two built-in sets of them (`defaults`), changed by an
//! operator's file (`overrides`), asked by use case (`rules`). The answer is a value that the use case must be given (`permit`).

mod defaults;
mod language;
mod overrides;
mod permit;
mod rules;

pub use defaults::RuleSet;
pub use language::{Entity, entity_of};
pub use overrides::{Mistakes, Overrides};
pub use permit::Permitted;
pub use rules::{Authorizer, Denied, Explained, OPERATIONS, Resource, Row};
