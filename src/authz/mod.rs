//! Who may do what: rules over the principal and the stored entity, never over request parameters.

mod permit;
mod rules;

pub use permit::Permitted;
pub use rules::{Authorizer, Denied, Resource};
