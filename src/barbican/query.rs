//! The query of a URL: read in order, and written back into pagination links (contract §1.2, §1.11).

use std::fmt::Write;

use super::error::Refusal;

/// The parameters in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

/// The refusal of a parameter that is repeated or means nothing.
pub(super) fn invalid() -> Refusal {
    Refusal::bad_request("URI provided invalid query string parameters.")
}

impl Query {
    /// Reads `a=b&c`; empty elements are passed over, broken escapes stay as they are.
    pub(super) fn parse(raw: &str) -> Self {
        let pairs = raw.split('&').filter(|element| !element.is_empty()).map(|element| {
            let (name, value) = element.split_once('=').unwrap_or((element, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// The value of a parameter that may stand once.
    pub(super) fn once(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut found = self.0.iter().filter(|(have, _)| have == name).map(|(_, value)| value.as_str());
        let first = found.next();
        if found.next().is_some() { Err(invalid()) } else { Ok(first) }
    }

    /// The last value of a parameter.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// A filter that counts only when it has a value.
    pub(super) fn filter(&self, name: &str) -> Result<Option<&str>, Refusal> {
        Ok(self.once(name)?.filter(|value| !value.is_empty()))
    }

    /// The parameters but `limit` and `offset`, encoded, each with `&` before it.
    pub(super) fn others(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.0.iter().filter(|(name, _)| !matches!(name.as_str(), "limit" | "offset")) {
            text.push('&');
            encode(name, &mut text);
            text.push('=');
            encode(value, &mut text);
        }
        text
    }
}

/// `+` and `%XX` decoded; what is no escape stays.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        let (byte, next) = match (escaped, first) {
            (Some(byte), _) => (byte, tail.get(2..).unwrap_or_default()),
            (None, b'+') => (b' ', tail),
            (None, byte) => (byte, tail),
        };
        bytes.push(byte);
        rest = next;
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => into.push(char::from(byte)),
            b' ' => into.push('+'),
            _ => write!(into, "%{byte:02X}").expect("writing to a String does not fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_repeat_the_other_parameters_in_their_order() {
        let query = Query::parse("limit=2&created=gt:2020-01-01T00:00:00&offset=4&name=a%20b+c");
        assert_eq!(query.others(), "&created=gt%3A2020-01-01T00%3A00%3A00&name=a+b+c");
    }

    #[test]
    fn empty_elements_and_values_count_for_nothing() {
        let query = Query::parse("&name=x&&mode=");
        assert_eq!(query.filter("name").unwrap(), Some("x"));
        assert_eq!(query.filter("mode").unwrap(), None);
    }

    #[test]
    fn a_repeated_filter_is_refused() {
        assert!(Query::parse("name=a&name=b").once("name").is_err());
    }

    #[test]
    fn broken_escapes_stay() {
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(decode("%41"), "A");
    }
}
