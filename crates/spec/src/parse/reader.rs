//! Reads typed values out of TOML. A value of the wrong type is reported and read as absent,
//! so that the walk goes on to the next mistake.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use howdah_base::{Bytes, Span};
use toml::de::{DeTable, DeValue};

use super::keys::Section;
use super::report::Report;
use crate::mistake::nearest;

/// One table of the file.
pub(super) struct Table<'a> {
    pub(super) path: String,
    entries: Vec<(&'a str, Value<'a>)>,
}

/// One value of the file, with its place.
#[derive(Clone)]
pub(super) struct Value<'a> {
    report: &'a Report<'a>,
    pub(super) path: String,
    line: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Table<'a> {
    /// The table at `path` with any keys, in the order of the file.
    pub(super) fn open(report: &'a Report<'a>, path: &str, table: &'a DeTable<'a>) -> Table<'a> {
        let mut keys: Vec<_> = table.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        let read = |key: &'a str, line, value| {
            let path = join(path, key);
            report.saw(&path, line);
            (key, Value { report, path, line, value })
        };
        let entries = keys.into_iter().map(|(key, value)| {
            read(key.get_ref().as_ref(), report.line_of(&key.span()), value.get_ref())
        });
        Table { path: path.to_owned(), entries: entries.collect() }
    }

    /// The same, with unknown keys reported.
    pub(super) fn closed(
        report: &'a Report<'a>,
        path: &str,
        table: &'a DeTable<'a>,
        section: &Section,
    ) -> Table<'a> {
        let table = Table::open(report, path, table);
        for (key, value) in table.entries.iter().filter(|(key, _)| !section.keys.contains(key)) {
            let hint = match nearest(key, section.keys.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None if section.path.is_empty() => {
                    format!("at the top are {}", section.keys.join(", "))
                }
                None => format!("in `[{}]` are {}", section.path, section.keys.join(", ")),
            };
            value.wrong(format!("unknown key `{key}`"), hint);
        }
        table
    }

    /// A table that the file does not have.
    pub(super) fn absent(path: &str) -> Table<'a> {
        Table { path: path.to_owned(), entries: Vec::new() }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &Value<'a>)> {
        self.entries.iter().map(|(name, value)| (*name, value))
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.text()
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.flag()
    }

    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let list = self.get(key).map(Value::list).unwrap_or_default();
        list.iter().filter_map(Value::text).collect()
    }

    pub(super) fn integer<N: TryFrom<i64>>(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Option<N> {
        self.get(key)?.integer(range)
    }

    pub(super) fn span(&self, key: &str) -> Option<Span> {
        self.get(key)?.parsed("a duration", "write it as `\"10s\"`; units are us, ms, s, min, h, d")
    }

    pub(super) fn bytes(&self, key: &str) -> Option<Bytes> {
        self.get(key)?.parsed("a size", "write it as `\"4GB\"`; units are B, kB, MB, GB, TB")
    }

    /// A closed table below this one; an empty one when the file has none.
    pub(super) fn table(&self, key: &str, section: &Section) -> Table<'a> {
        let table = self.get(key).and_then(|value| value.table(section));
        table.unwrap_or_else(|| Table::absent(&join(&self.path, key)))
    }

    /// A table below this one whose keys the operator chooses.
    pub(super) fn names(&self, key: &str) -> Table<'a> {
        let table = self.get(key).and_then(Value::open_table);
        table.unwrap_or_else(|| Table::absent(&join(&self.path, key)))
    }

    /// Names and plain values, as `postgresql.conf` and `SET` know them: names in lower case,
    /// booleans as `on` and `off`. `a.b = 1` is TOML's table `a`, so tables become dotted names.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        self.collect_settings(&self.path, "", &mut settings);
        settings
    }

    fn collect_settings(&self, root: &str, prefix: &str, settings: &mut BTreeMap<String, String>) {
        for (name, value) in self.entries() {
            let name = join(prefix, &name.to_ascii_lowercase());
            if let DeValue::Table(table) = value.value {
                Table::open(value.report, &value.path, table)
                    .collect_settings(root, &name, settings);
            } else if let Some(text) = value.scalar() {
                value.report.saw(&join(root, &name), value.line);
                value.set(name, text, settings);
            }
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn wrong(&self, what: String, hint: impl Into<String>) {
        self.report.wrong(&self.path, self.line, what, hint.into());
    }

    fn not<T>(&self, want: &str, hint: &str) -> Option<T> {
        self.wrong(format!("`{}` is not {want}: {}", self.path, shown(self.value)), hint);
        None
    }

    pub(super) fn text(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref().to_owned()),
            _ => self.not("a text", "write it in quotes"),
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.not("a truth value", "write `true` or `false`, without quotes"),
        }
    }

    pub(super) fn integer<N: TryFrom<i64>>(&self, range: RangeInclusive<i64>) -> Option<N> {
        let hint = format!("write a number from {} to {}", range.start(), range.end());
        let DeValue::Integer(integer) = self.value else {
            return self.not("a whole number", &hint);
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        match number.and_then(|number| N::try_from(number).ok()) {
            Some(number) => Some(number),
            None => self.not("in range", &hint),
        }
    }

    /// A text that means something else: a duration, an address, a name.
    pub(super) fn parsed<T>(&self, want: &str, hint: &str) -> Option<T>
    where
        T: FromStr<Err: fmt::Display>,
    {
        match self.value {
            DeValue::String(text) => match text.parse() {
                Ok(value) => Some(value),
                Err(_) => self.not(want, hint),
            },
            _ => self.not(want, hint),
        }
    }

    /// The elements of an array, each with its own line; none when this is no array.
    pub(super) fn list(&self) -> Vec<Value<'a>> {
        let DeValue::Array(array) = self.value else {
            return self.not("a list", "write it as `[\"...\", \"...\"]`").unwrap_or_default();
        };
        let element = |element: &'a toml::Spanned<DeValue<'a>>| Value {
            line: self.report.line_of(&element.span()),
            value: element.get_ref(),
            ..self.clone()
        };
        array.iter().map(element).collect()
    }

    pub(super) fn table(&self, section: &Section) -> Option<Table<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Table::closed(self.report, &self.path, table, section)),
            _ => self.not("a table", &format!("write it as `[{}]` with keys below", self.path)),
        }
    }

    pub(super) fn open_table(&self) -> Option<Table<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Table::open(self.report, &self.path, table)),
            _ => self.not("a table", &format!("write it as `[{}]` with keys below", self.path)),
        }
    }

    /// Keeps a setting, if it is one and the only one of its name.
    fn set(&self, name: String, text: String, settings: &mut BTreeMap<String, String>) {
        if !is_parameter_name(&name) {
            let hint = "names are letters, digits, `_` and `.`";
            self.wrong(format!("not a parameter's name: `{}`", name.escape_debug()), hint);
        } else if text.contains(char::is_control) {
            self.wrong(format!("the value is not one line: `{name}`"), "write it on one line");
        } else if settings.insert(name.clone(), text).is_some() {
            self.wrong(format!("set twice: `{name}`"), "names do not tell case apart; drop one");
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// A text, number or truth value, as `postgresql.conf` would have it.
    pub(super) fn scalar(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref().to_owned()),
            DeValue::Boolean(flag) => Some(if *flag { "on" } else { "off" }.to_owned()),
            DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str().to_owned()),
            DeValue::Float(float) => Some(float.as_str().to_owned()),
            _ => self.not("a plain value", "write a text, a number, `true` or `false`"),
        }
    }
}

/// What `postgresql.conf` takes as a name. Anything else could smuggle in a line of its own.
fn is_parameter_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
    name.split('.').all(|part| !part.is_empty() && part.chars().all(plain))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The offending value for a message, short.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("`\"{text}\"`"),
        DeValue::Integer(integer) => format!("`{integer}`"),
        DeValue::Float(float) => format!("`{float}`"),
        DeValue::Boolean(flag) => format!("`{flag}`"),
        DeValue::Datetime(datetime) => format!("`{datetime}`"),
        DeValue::Array(_) => "`[...]`".to_owned(),
        DeValue::Table(_) => "`{ ... }`".to_owned(),
    }
}
