//! Lines of an ini as PgBouncer reads them: sections, `name = value`, comments, `%include`.
//!
//! Source: PgBouncer's manual, pgbouncer.ini(5), "Generic settings", "Include directive".

/// One line that says something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The file and the line in it, as messages name it.
    pub place: String,
    /// Counted from 1.
    pub number: usize,
    pub section: String,
    pub says: Says,
}

/// What a line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Says {
    Key(String, String),
    /// Another file, to be read here.
    Include(String),
    /// Nothing that is understood. It may hold anything.
    Nothing,
}

/// All lines of a text that are neither empty nor comments.
pub fn lines(file: &str, text: &str) -> Vec<Line> {
    let mut section = String::new();
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
            continue;
        }
        let says = if let Some(path) = line.strip_prefix("%include") {
            Says::Include(path.trim().to_owned())
        } else {
            key(line).map_or(Says::Nothing, |(name, value)| Says::Key(name, value))
        };
        let place = format!("{file}:{}", at + 1);
        found.push(Line { place, number: at + 1, section: section.clone(), says });
    }
    found
}

/// A name may stand in double quotes, with a quote in it doubled.
fn key(line: &str) -> Option<(String, String)> {
    let Some(quoted) = line.strip_prefix('"') else {
        let (name, value) = line.split_once('=')?;
        let name = name.trim();
        return (!name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned()));
    };
    let (name, rest) = unquote(quoted, '"')?;
    Some((name, rest.trim_start().strip_prefix('=')?.trim().to_owned()))
}

/// What stands before the closing quote, and the rest behind it.
pub(super) fn unquote(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != quote {
            value.push(letter);
        } else if letters.next_if(|(_, next)| *next == quote).is_some() {
            value.push(quote);
        } else {
            return Some((value, &text[at + quote.len_utf8()..]));
        }
    }
    None
}
