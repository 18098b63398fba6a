//! What the rules of the domain refuse, with both sides of the rule.

use thiserror::Error;

use super::lifecycle::{State, Trigger};

/// A state that cannot be left by that trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no transition leaves {} by {trigger:?}", from.name())]
pub struct IllegalTransition {
    /// The state at the time of the request.
    pub from: State,
    /// What was asked.
    pub trigger: Trigger,
}

/// An attribute change that the attribute rules refuse.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AttributeRefusal {
    /// The attribute is set by the server only.
    #[error("the attribute is read-only")]
    ReadOnly,
    /// A second instance of a single-valued attribute.
    #[error("the attribute has a value already")]
    SingleValued,
    /// There is no such instance.
    #[error("the object has no such attribute instance")]
    NoSuchInstance,
    /// The attribute does not apply to this type of object.
    #[error("the attribute does not apply to this type of object")]
    NotApplicable,
    /// The value breaks a rule of the attribute.
    #[error("the value is not allowed: {0}")]
    InvalidValue(&'static str),
    /// The object's state forbids the change.
    #[error("the object's state forbids the change")]
    WrongState,
    /// Several instances, and the request does not say which one.
    #[error("the attribute has several instances")]
    MultiValued,
    /// More instances than the limit.
    #[error("the object has too many attributes")]
    TooMany,
}
