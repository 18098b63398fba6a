//! An operator's changes to single rules: `policy.yaml` or `policy.json`, as oslo.policy reads them.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

use super::language::{Check, SyntaxError};

/// A file larger than this is no policy.
const BYTES_MAX: usize = 1 << 20;
/// References between rules are followed recursively, so their number is bounded.
const RULES_MAX: usize = 1000;

/// Rules that replace built-in ones or stand beside them.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    rules: BTreeMap<String, Check>,
}

/// Everything that is wrong with a policy, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    pub(super) fn add(&mut self, rule: &str, text: impl fmt::Display) {
        self.0.push(format!("rule `{rule}`: {text}"));
    }

    pub(super) fn none_or_all(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

/// A rule as a file may write it. The list form is the old one: any of the inner lists, of which all.
#[derive(Deserialize)]
#[serde(untagged)]
enum RuleText {
    Text(String),
    Any(Vec<AllOf>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AllOf {
    One(String),
    All(Vec<String>),
}

impl Overrides {
    /// Reads a file's text, YAML or JSON.
    ///
    /// # Errors
    ///
    /// [`Mistakes`]: where the file stops being YAML, or else every rule that cannot be read.
    pub fn from_yaml(text: &str) -> Result<Self, Mistakes> {
        if text.len() > BYTES_MAX {
            return Err(Mistakes(vec![format!("the file is larger than {BYTES_MAX} bytes")]));
        }
        // A file of comments only, as the shipped one is, has no document at all.
        if text.lines().all(|line| matches!(line.trim_start().chars().next(), None | Some('#'))) {
            return Ok(Self::default());
        }
        let file: BTreeMap<String, RuleText> =
            serde_saphyr::from_str(text).map_err(|error| Mistakes(vec![error.to_string()]))?;
        if file.len() > RULES_MAX {
            return Err(Mistakes(vec![format!("the file has more than {RULES_MAX} rules")]));
        }
        let (mut rules, mut mistakes) = (BTreeMap::new(), Mistakes::default());
        for (name, text) in file {
            match text.check() {
                Ok(check) => drop(rules.insert(name, check)),
                Err(error) => mistakes.add(&name, error),
            }
        }
        mistakes.none_or_all()?;
        Ok(Self { rules })
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = (&str, &Check)> {
        self.rules.iter().map(|(name, check)| (name.as_str(), check))
    }
}

impl RuleText {
    fn check(&self) -> Result<Check, SyntaxError> {
        match self {
            Self::Text(text) => Check::parse(text),
            Self::Any(lists) if lists.is_empty() => Ok(Check::True),
            Self::Any(lists) => lists.iter().map(AllOf::check).collect::<Result<_, _>>().map(Check::Any),
        }
    }
}

impl AllOf {
    fn check(&self) -> Result<Check, SyntaxError> {
        match self {
            Self::One(text) => Check::single(text),
            Self::All(texts) => texts.iter().map(|text| Check::single(text)).collect::<Result<_, _>>().map(Check::All),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(text: &str) -> Vec<(String, Check)> {
        Overrides::from_yaml(text).unwrap().rules.into_iter().collect()
    }

    #[test]
    fn yaml_json_and_the_old_list_form_say_the_same() {
        let expected = Check::parse("role:a and role:b or @").unwrap();
        for text in [
            "# comment\n\"secrets:post\": \"role:a and role:b or @\"\n",
            "secrets:post: role:a and role:b or @",
            "{\"secrets:post\": \"role:a and role:b or @\"}",
            "secrets:post: [[role:a, role:b], '@']",
            "secrets:post:\n  - - role:a\n    - role:b\n  - '@'\n",
        ] {
            assert_eq!(checks(text), [("secrets:post".to_owned(), expected.clone())], "{text}");
        }
        assert_eq!(checks("x: ''\ny: []"), [("x".to_owned(), Check::True), ("y".to_owned(), Check::True)]);
    }

    #[test]
    fn a_file_of_comments_changes_nothing() {
        for text in ["", "\n\n", "# one\n  # two\n", "{}"] {
            assert!(checks(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn every_wrong_rule_is_told_at_once() {
        let mistakes = Overrides::from_yaml("a: role\nb: role:x\nc: role:x and\nd: http://x\n").unwrap_err();
        assert_eq!(
            mistakes.lines(),
            [
                "rule `a`: `role` is no check: it has no colon",
                "rule `c`: the rule ends where a check is expected",
                "rule `d`: a check by a remote server is not supported",
            ]
        );
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let large = format!("a: '@' # {}", "x".repeat(BYTES_MAX));
        let rules = |count: usize| (0..count).map(|n| format!("r{n}: rule:r{}\n", n + 1)).collect::<String>();
        assert_eq!(checks(&rules(RULES_MAX)).len(), RULES_MAX);
        for text in [
            &rules(RULES_MAX + 1),
            "- a\n- b\n",
            "just text",
            "a: {b: c}",
            "a: [",
            "a: '@'\na: '!'\n",
            "a: 1.5: 2",
            &large,
        ] {
            assert_eq!(Overrides::from_yaml(text).map(|_| ()).unwrap_err().lines().len(), 1, "{text:.40}");
        }
    }
}
