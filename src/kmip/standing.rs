//! Standing rules of a project: attributes that new objects get, and values that they must have (KMIP 2.1 §6.1.51, §6.1.52).
//!
//! They are kept as 2.1 encodes them, one fact a project, and read once a process. Where several constraints fit an object,
//! those that name one of its groups go before those that name none, so that a group may have a rule of its own.

use std::{collections::HashMap, sync::Arc};

use kmip_codec::{
    Limits, Tag,
    codec::Codec,
    payload::{Constraint, Constraints, DefaultsInformation},
    spec::enums::{ObjectType as WireType, ResultReason},
    ttlv::{self, Context, Writer},
    version::V2_1,
};
use parking_lot::Mutex;

use super::{attributes, error::Refusal};
use crate::{
    domain::{Attribute, AttributeKind, AttributeValue, ObjectType, ProjectId},
    engine::ports::{Memory, StoreError},
};

/// What one project has set.
#[derive(Clone, Default)]
struct Rules {
    defaults: Arc<DefaultsInformation>,
    constraints: Arc<Constraints>,
}

/// The rules of every project.
pub(super) struct Standing {
    memory: Option<Arc<dyn Memory>>,
    known: Mutex<HashMap<ProjectId, Rules>>,
}

const DEFAULTS: &str = "kmip-defaults";
const CONSTRAINTS: &str = "kmip-constraints";

impl Standing {
    /// Without a memory they last as long as the process.
    pub(super) fn new(memory: Option<Arc<dyn Memory>>) -> Self {
        Self { memory, known: Mutex::default() }
    }

    fn rules(&self, project: &ProjectId) -> Result<Rules, Refusal> {
        if let Some(rules) = self.known.lock().get(project) {
            return Ok(rules.clone());
        }
        let rules = Rules {
            defaults: Arc::new(self.recall(DEFAULTS, project, Tag::DEFAULTS_INFORMATION)?),
            constraints: Arc::new(self.recall(CONSTRAINTS, project, Tag::CONSTRAINTS)?),
        };
        self.known.lock().insert(project.clone(), rules.clone());
        Ok(rules)
    }

    fn recall<T: Codec + Default>(&self, what: &str, project: &ProjectId, tag: Tag) -> Result<T, Refusal> {
        let Some(memory) = &self.memory else { return Ok(T::default()) };
        let Some(bytes) = memory.recall(&fact(what, project)).map_err(|error| refused(&error))? else {
            return Ok(T::default());
        };
        let read = ttlv::parse(&bytes, &Limits::default())
            .and_then(|item| if item.tag == tag { T::decode(&item, Context::new(V2_1)?) } else { Ok(T::default()) });
        read.map_err(|error| {
            tracing::error!(%error, what, "a project's standing rules cannot be read");
            Refusal::new(ResultReason::GENERAL_FAILURE, "the project's standing rules are damaged")
        })
    }

    fn remember<T: Codec>(&self, what: &str, project: &ProjectId, tag: Tag, value: &T) -> Result<(), Refusal> {
        let mut writer = Writer::new(V2_1);
        value.encode(tag, &mut writer);
        let bytes = writer.finish().map_err(|error| Refusal::new(ResultReason::INVALID_FIELD, error.to_string()))?;
        if let Some(memory) = &self.memory {
            memory.remember(&fact(what, project), &bytes).map_err(|error| refused(&error))?;
        }
        Ok(())
    }

    /// Replaces the defaults.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub(super) fn set_defaults(&self, project: &ProjectId, defaults: DefaultsInformation) -> Result<(), Refusal> {
        let before = self.rules(project)?;
        self.remember(DEFAULTS, project, Tag::DEFAULTS_INFORMATION, &defaults)?;
        self.known.lock().insert(project.clone(), Rules { defaults: Arc::new(defaults), ..before });
        Ok(())
    }

    /// Replaces the constraints.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub(super) fn set_constraints(&self, project: &ProjectId, constraints: Constraints) -> Result<(), Refusal> {
        let before = self.rules(project)?;
        self.remember(CONSTRAINTS, project, Tag::CONSTRAINTS, &constraints)?;
        self.known.lock().insert(project.clone(), Rules { constraints: Arc::new(constraints), ..before });
        Ok(())
    }

    /// The defaults.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub(super) fn defaults(&self, project: &ProjectId) -> Result<DefaultsInformation, Refusal> {
        Ok((*self.rules(project)?.defaults).clone())
    }

    /// The constraints.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub(super) fn constraints(&self, project: &ProjectId) -> Result<Constraints, Refusal> {
        Ok((*self.rules(project)?.constraints).clone())
    }

    /// Adds the defaults that a new object lacks, and holds it against the constraints.
    ///
    /// # Errors
    ///
    /// *Constraint Violation*, in older words where the version lacks it; the store's own.
    pub(super) fn apply(
        &self,
        project: &ProjectId,
        object_type: ObjectType,
        list: &mut Vec<Attribute>,
    ) -> Result<(), Refusal> {
        let rules = self.rules(project)?;
        let wire = WireType::from_number(object_type.number());
        for default in &rules.defaults.object_defaults {
            let several = default.object_types.iter().flat_map(|types| &types.object_types);
            let fits = several.chain(&default.object_type).any(|of| *of == wire)
                || (default.object_type.is_none() && default.object_types.is_none());
            let groups = default.object_groups.iter().flat_map(|groups| &groups.object_groups);
            let mut groups = groups.peekable();
            if fits && (groups.peek().is_none() || groups.any(|group| is_in(list, group))) {
                for attribute in attributes::all(default.attributes.clone(), V2_1)? {
                    if !list.iter().any(|given| given.kind == attribute.kind) {
                        list.push(attribute);
                    }
                }
            }
        }
        let groups_of = |constraint: &Constraint| constraint.object_groups.clone().unwrap_or_default().object_groups;
        let fitting = rules.constraints.constraints.iter().filter(|constraint| {
            constraint.object_types.as_ref().is_none_or(|types| types.object_types.contains(&wire))
        });
        let (named, general): (Vec<_>, Vec<_>) = fitting.partition(|constraint| !groups_of(constraint).is_empty());
        let mut own = named.into_iter().filter(|it| groups_of(it).iter().any(|group| is_in(list, group))).peekable();
        let in_force: Vec<&Constraint> = if own.peek().is_some() { own.collect() } else { general };
        for constraint in in_force {
            let Some(wanted) = constraint.attributes.clone() else { continue };
            for wanted in attributes::all(wanted, V2_1)? {
                if !list.iter().any(|given| given.kind == wanted.kind && given.value == wanted.value) {
                    let text = "a constraint of the project is not met";
                    return Err(Refusal::new(ResultReason::CONSTRAINT_VIOLATION, text));
                }
            }
        }
        Ok(())
    }
}

fn is_in(list: &[Attribute], group: &str) -> bool {
    let is =
        |it: &Attribute| it.kind == AttributeKind::ObjectGroup && it.value == AttributeValue::Text(group.to_owned());
    list.iter().any(is)
}

fn fact(what: &str, project: &ProjectId) -> String {
    format!("{what}:{project}")
}

fn refused(error: &StoreError) -> Refusal {
    tracing::error!(%error, "a project's standing rules");
    Refusal::new(ResultReason::GENERAL_FAILURE, "the store does not answer")
}
