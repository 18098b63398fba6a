//! From TOML and the environment to typed sections, with every mistake at once.
//!
//! serde stops at the first mistake; a person who edits a file wants them all. So the file is parsed into [`Node`]s that
//! know their line, the environment is laid over them, and each section takes its keys out: what is missing, of the wrong
//! kind or left over becomes a [`Mistake`], and reading goes on.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In the file, on this line.
    Line(usize),
    /// In this environment variable.
    Environment(String),
    /// Nowhere: it is missing.
    Absent,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The stable code.
    pub code: &'static str,
    /// Where.
    pub origin: Origin,
    /// The setting, as `section.key`; empty for the file as a whole.
    pub setting: String,
    /// What is wrong and what to do.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Line(line) => write!(f, "line {line}: ")?,
            Origin::Environment(name) => write!(f, "environment {name}: ")?,
            Origin::Absent => {}
        }
        if !self.setting.is_empty() {
            write!(f, "{}: ", self.setting)?;
        }
        write!(f, "{} [{}]", self.what, self.code)
    }
}

/// A value and where it was given.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) content: Content,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// From the environment, where everything is text.
    Raw(String),
    /// A kind no setting has.
    Other(&'static str),
}

impl Content {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Raw(_) => "text from the environment",
            Self::Other(kind) => kind,
        }
    }
}

/// The state of reading: where we are, what was wrong, which setting came from where.
pub(super) struct Reading<'a> {
    path: Vec<String>,
    base: &'a Path,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) origins: BTreeMap<String, Origin>,
}

/// What can be read from a node.
pub(super) trait Setting: Sized {
    /// Reads it, or reports what is wrong.
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self>;

    /// What its absence means: a mistake, unless the type says otherwise.
    fn absent(at: &mut Reading<'_>) -> Option<Self> {
        at.report("PC-CONFIG-MISSING-KEY", Origin::Absent, "is missing; it has no default".to_owned());
        None
    }
}

impl<'a> Reading<'a> {
    pub(super) const fn new(base: &'a Path) -> Self {
        Self { path: Vec::new(), base, mistakes: Vec::new(), origins: BTreeMap::new() }
    }

    pub(super) fn report(&mut self, code: &'static str, origin: Origin, what: String) {
        self.mistakes.push(Mistake { code, origin, setting: self.path.join("."), what });
    }

    /// A value of the right kind that is not allowed.
    pub(super) fn refuse<T>(&mut self, origin: Origin, what: String) -> Option<T> {
        self.report("PC-CONFIG-VALUE", origin, what);
        None
    }

    pub(super) fn wrong_kind<T>(&mut self, node: &Node, wanted: &str) -> Option<T> {
        let found = node.content.kind();
        self.report("PC-CONFIG-KIND", node.origin.clone(), format!("must be {wanted}, but is {found}"));
        None
    }

    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// The table of a section.
    pub(super) fn table(&mut self, node: Node) -> Option<BTreeMap<String, Node>> {
        match node.content {
            Content::Table(table) => Some(table),
            _ => self.wrong_kind(&node, "a table"),
        }
    }

    /// Reads the setting `key` out of a section's table.
    pub(super) fn take<T: Setting>(
        &mut self,
        table: &mut BTreeMap<String, Node>,
        key: &str,
        default: Option<T>,
    ) -> Option<T> {
        self.within(key, |at| match (table.remove(key), default) {
            (Some(node), _) => at.enter(node),
            (None, Some(default)) => Some(default),
            (None, None) => T::absent(at),
        })
    }

    /// Reads one item of a list or table.
    pub(super) fn item<T: Setting>(&mut self, key: &str, node: Node) -> Option<T> {
        self.within(key, |at| at.enter(node))
    }

    /// Reads a node and remembers where the setting came from.
    fn enter<T: Setting>(&mut self, node: Node) -> Option<T> {
        self.origins.insert(self.path.join("."), node.origin.clone());
        T::read(node, self)
    }

    /// Reports what is left of a section's table.
    pub(super) fn nothing_left(&mut self, table: BTreeMap<String, Node>, known: &[&str]) {
        for (key, node) in table {
            let hint =
                known.iter().map(|name| (distance(name, &key), name)).min().filter(|(far, _)| *far <= 3).map_or_else(
                    || format!("known here: {}", known.join(", ")),
                    |(_, name)| format!("did you mean `{name}`?"),
                );
            self.within(&key, |at| {
                at.report("PC-CONFIG-UNKNOWN-KEY", node.origin, format!("is not a known key; {hint}"));
            });
        }
    }

    pub(super) fn within<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.to_owned());
        let result = read(self);
        self.path.pop();
        result
    }
}

/// Parses a file's text; syntax mistakes are reported, and what could be parsed goes on.
pub(super) fn parse(text: &str, at: &mut Reading<'_>) -> Node {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::new(text);
    for error in errors {
        let origin = error.span().map_or(Origin::Absent, |span| Origin::Line(lines.of(span.start)));
        at.report("PC-CONFIG-SYNTAX", origin, format!("is not TOML: {}", error.message()));
    }
    Node { origin: Origin::Line(1), content: table_content(table.get_ref(), &lines) }
}

/// Lays `PORTCULLIS_SECTION__KEY=value` over the file. Variables without a double underscore mean something else.
pub(super) fn overlay(root: &mut Node, environment: impl Iterator<Item = (String, String)>, at: &mut Reading<'_>) {
    for (name, value) in environment {
        let Some(path) = name.strip_prefix("PORTCULLIS_").filter(|path| path.contains("__")) else { continue };
        let origin = Origin::Environment(name.clone());
        let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        if !place(root, &path, Node { origin: origin.clone(), content: Content::Raw(value) }) {
            at.report("PC-CONFIG-KIND", origin, "names a key inside of something that is no table".to_owned());
        }
    }
}

/// Puts a node at a path below `root`; `false` where something on the way is no table.
fn place(root: &mut Node, path: &[String], node: Node) -> bool {
    let Some((key, rest)) = path.split_first() else {
        *root = node;
        return true;
    };
    let Content::Table(table) = &mut root.content else { return false };
    let origin = node.origin.clone();
    let inner = table.entry(key.clone()).or_insert_with(|| Node { origin, content: Content::Table(BTreeMap::new()) });
    place(inner, rest, node)
}

fn table_content(table: &DeTable<'_>, lines: &Lines) -> Content {
    let entries = table.iter().map(|(key, value)| {
        let origin = Origin::Line(lines.of(key.span().start));
        (key.get_ref().to_string(), Node { origin, content: content(value.get_ref(), lines) })
    });
    Content::Table(entries.collect())
}

fn content(value: &DeValue<'_>, lines: &Lines) -> Content {
    match value {
        DeValue::String(text) => Content::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Content::Other("a number beyond all limits"), Content::Integer),
        DeValue::Boolean(value) => Content::Boolean(*value),
        DeValue::Array(items) => {
            let node = |item: &toml::Spanned<DeValue<'_>>| Node {
                origin: Origin::Line(lines.of(item.span().start)),
                content: content(item.get_ref(), lines),
            };
            Content::List(items.iter().map(node).collect())
        }
        DeValue::Table(table) => table_content(table, lines),
        DeValue::Float(_) => Content::Other("a number with a fraction"),
        DeValue::Datetime(_) => Content::Other("a date"),
    }
}

/// Byte offsets to line numbers.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    fn of(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

/// How many characters must be changed, added or removed; for "did you mean".
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, (b, pair)) in other.iter().zip(row.windows(2)).enumerate() {
            let (Some(diagonal), Some(above), Some(left)) = (pair.first(), pair.get(1), next.get(j)) else { continue };
            next.push((diagonal + usize::from(a != *b)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_a_typing_mistake() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("listen", "lisen"), 1);
        assert_eq!(distance("listen", "litsen"), 2);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::new("a\nb\n\nc");
        assert_eq!([0, 1, 2, 4, 5].map(|at| lines.of(at)), [1, 1, 2, 3, 4]);
    }
}
