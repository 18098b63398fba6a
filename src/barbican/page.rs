//! Pages of a list and the links between them (contract §1.11).

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::query::Query;
use crate::engine::ops::list_secrets::Listed;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) limit: usize,
    pub(super) offset: usize,
}

impl Window {
    /// From `limit` and `offset`; what makes no sense is replaced, never refused.
    pub(super) fn of(query: &Query, default: usize, most: usize) -> Self {
        let limit = match query.last("limit").and_then(integer) {
            None => default,
            Some(limit) => usize::try_from(limit.clamp(1, i64::try_from(most).unwrap_or(i64::MAX))).unwrap_or(most),
        };
        let offset = query.last("offset").and_then(integer).filter(|offset| *offset < i64::MAX);
        let offset = offset.and_then(|offset| usize::try_from(offset).ok());
        Self { limit, offset: offset.unwrap_or(0) }
    }

    /// The answer: the page under `name`, the total, and the links that apply. `url` is that of the collection.
    pub(super) fn answer<'a, T, J: Serialize>(
        self,
        name: &'static str,
        listed: &'a Listed<T>,
        show: impl Fn(&'a T) -> J,
        url: &str,
        query: &Query,
    ) -> Answer<J> {
        let (mut next, mut previous) = (None, None);
        if !listed.records.is_empty() {
            let link = |offset: usize| format!("{url}?limit={}&offset={offset}{}", self.limit, query.others());
            let end = self.offset.saturating_add(self.limit);
            next = (listed.total > end).then(|| link(end));
            previous = (self.offset > 0).then(|| link(self.offset.saturating_sub(self.limit)));
        }
        Answer { name, records: listed.records.iter().map(show).collect(), next, previous, total: listed.total }
    }
}

/// A page as it is answered.
pub(super) struct Answer<J> {
    name: &'static str,
    records: Vec<J>,
    next: Option<String>,
    previous: Option<String>,
    total: usize,
}

impl<J: Serialize> Serialize for Answer<J> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut answer = serializer.serialize_map(None)?;
        for (name, link) in [("next", &self.next), ("previous", &self.previous)] {
            if let Some(link) = link {
                answer.serialize_entry(name, link)?;
            }
        }
        answer.serialize_entry(self.name, &self.records)?;
        answer.serialize_entry("total", &self.total)?;
        answer.end()
    }
}

/// An integer as Python reads one: blanks around, a sign, and single underscores between digits are fine. One that is too
/// large for us is as large as can be.
pub(super) fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (is_negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let mut number = 0_i64;
    for group in digits.split('_') {
        if group.is_empty() {
            return None;
        }
        for digit in group.chars() {
            number = number.saturating_mul(10).saturating_add(i64::from(digit.to_digit(10)?));
        }
    }
    Some(if is_negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn window(query: &str) -> (usize, usize) {
        let window = Window::of(&Query::parse(query), 10, 100);
        (window.limit, window.offset)
    }

    #[test]
    fn nonsense_is_replaced() {
        for (query, expected) in [
            ("", (10, 0)),
            ("limit=5&offset=7", (5, 7)),
            ("limit=0", (1, 0)),
            ("limit=-4", (1, 0)),
            ("limit=101", (100, 0)),
            ("limit=", (10, 0)),
            ("limit=abc&offset=abc", (10, 0)),
            ("limit=99999999999999999999", (100, 0)),
            ("limit=-99999999999999999999", (1, 0)),
            ("limit=1_5&offset=%2B5", (15, 5)),
            ("limit=1__5&offset=_5", (10, 0)),
            ("limit= 7 &offset=1.0", (7, 0)),
            ("offset=-1", (10, 0)),
            ("offset=99999999999999999999", (10, 0)),
        ] {
            assert_eq!(window(query), expected, "{query}");
        }
    }

    #[test]
    fn links_stand_where_there_is_more() {
        let query = Query::parse("limit=2&offset=2&name=a");
        let listed = Listed { records: vec![3, 4], total: 5 };
        let answer = Window { limit: 2, offset: 2 }.answer("xs", &listed, |x| json!(x), "http://h/v1/xs", &query);
        assert_eq!(
            serde_json::to_value(&answer).unwrap(),
            json!({"xs": [3, 4], "total": 5, "next": "http://h/v1/xs?limit=2&offset=4&name=a",
                   "previous": "http://h/v1/xs?limit=2&offset=0&name=a"})
        );
        let empty = Listed { records: Vec::<i32>::new(), total: 5 };
        let answer = Window { limit: 2, offset: 9 }.answer("xs", &empty, |x| json!(x), "http://h/v1/xs", &query);
        assert_eq!(serde_json::to_value(&answer).unwrap(), json!({"xs": [], "total": 5}));
    }
}
