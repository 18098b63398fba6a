//! Groups: several tokens, of one module or of several, as one place for objects.
//!
//! A group without replicas spreads new objects over its tokens, and a reference names the token. In a replicated group every
//! token holds every object, and a reference names the group (`Mirror`). Which group a new object goes to is said by its
//! project and its type.

mod ledger;
mod member;
mod minder;
mod mirror;

use crate::domain::{ObjectType, ProjectId};

pub(super) use self::{minder::start, mirror::Mirror};

/// Several tokens as one place: `[groups.<name>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its name, which references of replicated objects bear; no token has the same.
    pub name: String,
    /// Names of its tokens; a token is in one group at most.
    pub tokens: Vec<String>,
    /// Whether every object is on every token.
    pub replicated: bool,
    /// How many copies a new object must have before it is acknowledged, in a replicated group.
    pub min_replicas: usize,
    /// Whose new objects it takes; nobody's in particular when empty.
    pub projects: Vec<ProjectId>,
    /// Which new objects it takes; none in particular when empty.
    pub types: Vec<ObjectType>,
}

impl Config {
    /// How well a new object fits: `None` not at all, else the more the better.
    pub(super) fn fit(&self, project: &ProjectId, object_type: ObjectType) -> Option<u8> {
        let fits = |named: bool, meant: bool| match (named, meant) {
            (false, _) => Some(0),
            (true, true) => Some(1),
            (true, false) => None,
        };
        let project = fits(!self.projects.is_empty(), self.projects.contains(project))?;
        let object_type = fits(!self.types.is_empty(), self.types.contains(&object_type))?;
        Some(2 * project + object_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_names_the_project_comes_before_the_one_that_names_the_type() {
        let group = |projects: &[&str], types: &[ObjectType]| Config {
            name: "g".to_owned(),
            tokens: Vec::new(),
            replicated: false,
            min_replicas: 1,
            projects: projects.iter().map(|id| ProjectId((*id).to_owned())).collect(),
            types: types.to_vec(),
        };
        let fit = |group: Config| group.fit(&ProjectId("p".to_owned()), ObjectType::SymmetricKey);
        assert_eq!(fit(group(&[], &[])), Some(0));
        assert_eq!(fit(group(&[], &[ObjectType::SymmetricKey])), Some(1));
        assert_eq!(fit(group(&["q", "p"], &[])), Some(2));
        assert_eq!(fit(group(&["p"], &[ObjectType::SymmetricKey])), Some(3));
        assert_eq!(fit(group(&["p"], &[ObjectType::PublicKey])), None);
        assert_eq!(fit(group(&["q"], &[])), None);
    }
}
