//! The API's schemas: which members a body may have, and the texts of what is wrong with them (contract §1.9).
//!
//! The texts follow the Python library that the reference service uses, so that people find them where they search. Values
//! of `payload` never appear in them.

use super::{error::Refusal, json::Json};

/// A JSON type, as the texts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Array,
    Boolean,
    Integer,
    Null,
    Object,
    String,
}

impl Type {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Null => "null",
            Self::Object => "object",
            Self::String => "string",
        }
    }

    fn is(self, json: &Json) -> bool {
        match self {
            Self::Array => matches!(json, Json::Array(_)),
            Self::Boolean => matches!(json, Json::Bool(_)),
            Self::Integer => json.integer().is_some(),
            Self::Null => json.is_null(),
            Self::Object => matches!(json, Json::Object(_)),
            Self::String => matches!(json, Json::Text(_)),
        }
    }
}

/// What one member may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) types: &'static [Type],
    pub(super) required: bool,
    pub(super) one_of: &'static [&'static str],
    /// Characters.
    pub(super) length: (usize, usize),
    pub(super) range: (i64, i64),
}

impl Field {
    /// A member that may be left out and has these types.
    pub(super) const fn new(name: &'static str, types: &'static [Type]) -> Self {
        Self { name, types, required: false, one_of: &[], length: (0, usize::MAX), range: (i64::MIN, i64::MAX) }
    }

    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) const fn one_of(mut self, words: &'static [&'static str]) -> Self {
        self.one_of = words;
        self
    }

    pub(super) const fn length(mut self, least: usize, most: usize) -> Self {
        self.length = (least, most);
        self
    }

    pub(super) const fn range(mut self, least: i64, most: i64) -> Self {
        self.range = (least, most);
        self
    }

    fn fault(&self, json: &Json) -> Option<String> {
        let shown = || if self.name == "payload" { "<redacted>".to_owned() } else { json.repr() };
        if !self.types.is_empty() && !self.types.iter().any(|kind| kind.is(json)) {
            let names: Vec<String> = self.types.iter().map(|kind| format!("'{}'", kind.name())).collect();
            return Some(format!("{} is not of type {}", shown(), names.join(", ")));
        }
        if !self.one_of.is_empty() && !json.text().is_some_and(|text| self.one_of.contains(&text)) {
            return Some(format!("{} is not one of {}", shown(), list(self.one_of)));
        }
        if let Some(text) = json.text() {
            let length = text.chars().count();
            if length > self.length.1 {
                return Some(format!("{} is too long", shown()));
            }
            if length < self.length.0 {
                return Some(format!("{} should be non-empty", shown()));
            }
        }
        match json.integer() {
            Some(number) if number < self.range.0 => {
                Some(format!("{number} is less than the minimum of {}", self.range.0))
            }
            Some(number) if number > self.range.1 => {
                Some(format!("{number} is greater than the maximum of {}", self.range.1))
            }
            _ => None,
        }
    }
}

/// A Python list of texts.
pub(super) fn list(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    format!("[{}]", words.join(", "))
}

/// A schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema {
    /// Its name in the texts.
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
    /// Whether no other members are allowed.
    pub(super) closed: bool,
    /// Whether a missing member is named as the property at fault: the older of the two drafts in use does.
    pub(super) names_missing: bool,
}

impl Schema {
    /// The refusal for a fault of a property, or of the body as a whole.
    pub(super) fn refuse(&self, reason: impl std::fmt::Display, property: Option<&str>) -> Refusal {
        let property = property.unwrap_or("None");
        let name = self.name;
        Refusal::bad_request(format!(
            "Provided object does not match schema '{name}': {reason}. Invalid property: '{property}'"
        ))
    }

    /// Checks a body.
    pub(super) fn check(&self, body: &Json) -> Result<(), Refusal> {
        self.check_under(body, None)
    }

    /// Checks an object that lies below the top-level member `property`.
    pub(super) fn check_under(&self, body: &Json, property: Option<&str>) -> Result<(), Refusal> {
        if !Type::Object.is(body) {
            let shown = if property == Some("payload") { "<redacted>".to_owned() } else { body.repr() };
            return Err(self.refuse(format!("{shown} is not of type 'object'"), property));
        }
        for field in self.fields {
            match body.get(field.name) {
                Some(json) => {
                    if let Some(reason) = field.fault(json) {
                        return Err(self.refuse(reason, property.or(Some(field.name))));
                    }
                }
                None if field.required => {
                    let at = property.or_else(|| self.names_missing.then_some(field.name));
                    return Err(self.refuse(format!("'{}' is a required property", field.name), at));
                }
                None => {}
            }
        }
        if self.closed
            && let Some((name, _)) =
                body.members().iter().find(|(name, _)| !self.fields.iter().any(|field| field.name == name))
        {
            let reason = format!("Additional properties are not allowed ('{name}' was unexpected)");
            return Err(self.refuse(reason, property));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: Schema = Schema {
        name: "Thing",
        fields: &[
            Field::new("name", &[Type::String, Type::Null]).length(1, 3),
            Field::new("bits", &[Type::Integer]).range(1, 9),
            Field::new("kind", &[Type::String]).one_of(&["a", "b"]).required(),
            Field::new("payload", &[Type::String]),
        ],
        closed: true,
        names_missing: false,
    };

    fn fault(body: &str) -> String {
        let refusal = SCHEMA.check(&Json::parse(body.as_bytes(), None).unwrap()).unwrap_err();
        refusal.description.unwrap().replace("Provided object does not match schema 'Thing': ", "")
    }

    #[test]
    fn faults_are_worded_as_the_reference_words_them() {
        for (body, text) in [
            ("[]", "[] is not of type 'object'. Invalid property: 'None'"),
            ("{}", "'kind' is a required property. Invalid property: 'None'"),
            (r#"{"kind":"a","name":5}"#, "5 is not of type 'string', 'null'. Invalid property: 'name'"),
            (r#"{"kind":"a","name":"long"}"#, "'long' is too long. Invalid property: 'name'"),
            (r#"{"kind":"a","name":""}"#, "'' should be non-empty. Invalid property: 'name'"),
            (r#"{"kind":"a","bits":0}"#, "0 is less than the minimum of 1. Invalid property: 'bits'"),
            (r#"{"kind":"a","bits":10}"#, "10 is greater than the maximum of 9. Invalid property: 'bits'"),
            (r#"{"kind":"a","bits":true}"#, "True is not of type 'integer'. Invalid property: 'bits'"),
            (r#"{"kind":"x"}"#, "'x' is not one of ['a', 'b']. Invalid property: 'kind'"),
            (r#"{"kind":"a","payload":["s3cret"]}"#, "<redacted> is not of type 'string'. Invalid property: 'payload'"),
            (
                r#"{"kind":"a","z":1}"#,
                "Additional properties are not allowed ('z' was unexpected). Invalid property: 'None'",
            ),
        ] {
            assert_eq!(fault(body), text, "{body}");
        }
    }
}
