//! One line of postgresql.conf, as `guc-file.l` of PostgreSQL 15 reads it.

use super::IncludeWhat;

/// What a line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// Nothing, or a comment.
    Blank,
    Setting {
        name: String,
        value: String,
    },
    Include {
        what: IncludeWhat,
        path: String,
    },
    Garbled,
}

pub(crate) fn line(text: &str) -> Line {
    let text = text.trim_start_matches(is_blank);
    if text.is_empty() || text.starts_with('#') {
        return Line::Blank;
    }
    let end = text.find(|c| !is_in_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let name_begins = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    if !name.starts_with(name_begins) || name.ends_with('.') {
        return Line::Garbled;
    }
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start_matches(is_blank);
    let Some((value, rest)) = value(rest) else { return Line::Garbled };
    let rest = rest.trim_start_matches(is_blank);
    if !rest.is_empty() && !rest.starts_with('#') {
        return Line::Garbled;
    }
    let what = match name.to_ascii_lowercase().as_str() {
        "include" => IncludeWhat::File,
        "include_if_exists" => IncludeWhat::IfExists,
        "include_dir" => IncludeWhat::Dir,
        _ => return Line::Setting { name: name.to_owned(), value },
    };
    Line::Include { what, path: value }
}

/// A value and what comes after it.
fn value(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('\'') {
        return quoted(rest);
    }
    // Unquoted: a number with a unit, or letters; a sign only at the start.
    let is_plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '-' | '+') || !c.is_ascii()
    };
    let end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    (!value.is_empty()).then(|| (value.to_owned(), rest))
}

/// The rest of a quoted text: `''` and `\'` are quotes, `\n` and its kin control characters,
/// `\101` a character by its octal number.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if chars.next_if(|(_, next)| *next == '\'').is_some() => value.push('\''),
            '\'' => return Some((value, &text[at + 1..])),
            '\\' => {
                let (_, escaped) = chars.next()?;
                match escaped {
                    'b' => value.push('\u{8}'),
                    'f' => value.push('\u{c}'),
                    'n' => value.push('\n'),
                    'r' => value.push('\r'),
                    't' => value.push('\t'),
                    '0'..='7' => {
                        let mut code = escaped.to_digit(8)?;
                        for _ in 0..2 {
                            let Some((_, digit)) = chars.next_if(|(_, c)| c.is_digit(8)) else {
                                break;
                            };
                            code = code * 8 + digit.to_digit(8)?;
                        }
                        value.push(char::from_u32(code & 0xff)?);
                    }
                    other => value.push(other),
                }
            }
            c => value.push(c),
        }
    }
    None
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.') || !c.is_ascii()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(text: &str) -> (String, String) {
        match line(text) {
            Line::Setting { name, value } => (name, value),
            other => panic!("`{text}`: {other:?}"),
        }
    }

    #[test]
    fn settings_are_read_as_postgresql_reads_them() {
        for (text, name, value) in [
            ("max_connections = 100\t\t# (change requires restart)", "max_connections", "100"),
            ("max_connections 100", "max_connections", "100"),
            ("  work_mem=4MB#x", "work_mem", "4MB"),
            ("a.b = 'it''s \\'so\\' \\101'", "a.b", "it's 'so' A"),
            ("log_line_prefix = '%m [%p] # %u'", "log_line_prefix", "%m [%p] # %u"),
            ("DateStyle = 'iso, mdy'\r", "DateStyle", "iso, mdy"),
            ("x = ''", "x", ""),
            ("cost = -1", "cost", "-1"),
        ] {
            assert_eq!(setting(text), (name.to_owned(), value.to_owned()));
        }
    }

    #[test]
    fn what_is_no_setting_is_told() {
        for text in ["= 1", "a = ", "a", "a = 'b", "a = b c", "1a = 2", "a = 'b' c"] {
            assert_eq!(line(text), Line::Garbled, "{text}");
        }
        assert_eq!(line("  # a = b"), Line::Blank);
        assert_eq!(line(""), Line::Blank);
        let include = Line::Include { what: IncludeWhat::Dir, path: "conf.d".to_owned() };
        assert_eq!(line("include_dir 'conf.d' # and so on"), include);
    }
}
