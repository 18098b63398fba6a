//! JSON bodies, read so that every text is zeroised when the request ends: one of them may be a payload.
//!
//! Blanks around every text are dropped, as Barbican's clients expect (contract §1.6), and a value can be printed as Python
//! prints it, because the API's schema errors do (§1.9).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use zeroize::Zeroizing;

/// A JSON value.
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(Zeroizing<String>),
    Array(Vec<Self>),
    /// Each name once; of several members of one name the last counts.
    Object(Vec<(String, Self)>),
}

impl Json {
    /// Reads a whole body. `keep` is a member of the outermost object whose text is not stripped.
    pub(super) fn parse(body: &[u8], keep: Option<&str>) -> Option<Self> {
        let mut json: Self = serde_json::from_slice(body).ok()?;
        json.strip(keep);
        Some(json)
    }

    fn strip(&mut self, keep: Option<&str>) {
        match self {
            Self::Text(text) => {
                let stripped = text.trim_matches(is_blank);
                if stripped.len() != text.len() {
                    *text = Zeroizing::new(stripped.to_owned());
                }
            }
            Self::Array(items) => items.iter_mut().for_each(|item| item.strip(None)),
            Self::Object(members) => {
                for (name, member) in members {
                    if keep != Some(name.as_str()) {
                        member.strip(None);
                    }
                }
            }
            Self::Null | Self::Bool(_) | Self::Number(_) => {}
        }
    }

    /// The member of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(have, _)| have == name).map(|(_, member)| member)
    }

    /// Takes a member out of an object.
    pub(super) fn take(&mut self, name: &str) -> Option<Self> {
        let Self::Object(members) = self else { return None };
        let at = members.iter().position(|(have, _)| have == name)?;
        Some(members.remove(at).1)
    }

    /// The members of an object; none for anything else.
    pub(super) fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) const fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// A whole number; `256.0` is one.
    pub(super) fn integer(&self) -> Option<i64> {
        let Self::Number(number) = self else { return None };
        #[expect(clippy::cast_possible_truncation, reason = "whole and within the range in which f64 counts by ones")]
        let whole = |float: f64| (float.fract() == 0.0 && float.abs() <= 9e15).then_some(float as i64);
        number.as_i64().or_else(|| number.as_f64().and_then(whole))
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// As Python prints it.
    pub(super) fn repr(&self) -> String {
        match self {
            Self::Null => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => repr_text(text),
            Self::Array(items) => format!("[{}]", items.iter().map(Self::repr).collect::<Vec<_>>().join(", ")),
            Self::Object(members) => {
                let members = members.iter().map(|(name, value)| format!("{}: {}", repr_text(name), value.repr()));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// As an ordinary JSON value, for what is no secret.
    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.to_string()),
            Self::Array(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Self::Object(members) => Value::Object(
                members.iter().map(|(name, value)| (name.clone(), value.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }
}

/// What Python's `str.strip` drops.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn repr_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            '\\' => shown.push_str("\\\\"),
            c if c == quote => shown.extend(['\\', c]),
            c if c.is_control() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown.push(quote);
    shown
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Number(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Number(value.into()))
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
                Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("not a finite number"))
            }
            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(Zeroizing::new(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Json, E> {
                Ok(Json::Text(Zeroizing::new(text)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut array = Vec::new();
                while let Some(item) = items.next_element()? {
                    array.push(item);
                }
                Ok(Json::Array(array))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
                let mut object: Vec<(String, Json)> = Vec::new();
                while let Some((name, value)) = members.next_entry::<String, Json>()? {
                    match object.iter_mut().find(|(have, _)| *have == name) {
                        Some(member) => member.1 = value,
                        None => object.push((name, value)),
                    }
                }
                Ok(Json::Object(object))
            }
        }
        from.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_stripped_at_any_depth_but_names_are_not() {
        let json = Json::parse(br#"{" a ":" x\n","b":["\t y ",{"c":" z "}]}"#, None).unwrap();
        assert_eq!(json.repr(), "{' a ': 'x', 'b': ['y', {'c': 'z'}]}");
    }

    #[test]
    fn the_payload_may_be_kept_as_it_is() {
        let json = Json::parse(br#"{"payload":" x ","name":" n "}"#, Some("payload")).unwrap();
        assert_eq!(json.repr(), "{'payload': ' x ', 'name': 'n'}");
    }

    #[test]
    fn values_are_printed_as_python_prints_them() {
        let json = Json::parse(br#"[null,true,false,5,2.5,"it's","a\"b","\u0001"]"#, None).unwrap();
        assert_eq!(json.repr(), r#"[None, True, False, 5, 2.5, "it's", 'a"b', '\x01']"#);
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_point() {
        let json = Json::parse(b"[256,256.0,2.5,1e300,\"5\",true]", None).unwrap();
        let integers: Vec<_> = json.items().unwrap().iter().map(Json::integer).collect();
        assert_eq!(integers, [Some(256), Some(256), None, None, None, None]);
    }

    #[test]
    fn the_last_of_equal_members_counts() {
        assert_eq!(Json::parse(br#"{"a":1,"a":2}"#, None).unwrap().repr(), "{'a': 2}");
    }

    #[test]
    fn what_is_no_json_is_not_read() {
        for body in [&b""[..], b"{", b"{}x", b"\xff", b"{\"a\":\xff}", b"nul", &[b'['; 100_000]] {
            assert!(Json::parse(body, None).is_none(), "{} bytes", body.len());
        }
    }
}
