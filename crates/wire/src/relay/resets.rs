//! Statements that take prepared ones away, as far as their text tells: what a client says behind
//! one of them waits until it is known what is left.
//!
//! Source: `DeallocateStmt` in `src/backend/parser/gram.y`; identifiers are cut and lowered as
//! `src/backend/parser/scansup.c` does.

use std::fmt;

use memchr::memchr2_iter;

/// What a statement of some text may take away.
#[derive(Clone, PartialEq, Eq)]
pub enum Resets {
    /// DEALLOCATE of this name, and nothing else.
    One(Box<[u8]>),
    /// The words are there: DEALLOCATE ALL, DISCARD ALL, several statements, or neither.
    Perhaps,
}

/// A name is its client's.
impl fmt::Debug for Resets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resets::One(_) => "One(***)",
            Resets::Perhaps => "Perhaps",
        })
    }
}

/// Names of one Query that are looked after.
const SEVERAL_MAX: usize = 64;

/// `None`: nothing. A guess that is wrong costs a round trip where the client does not wait for the
/// answer anyway.
pub fn resets(text: &[u8]) -> Option<Resets> {
    const WORDS: [&[u8]; 2] = [b"discard", b"deallocate"];
    let starts = |at: usize| {
        WORDS.iter().any(|word| {
            text.get(at..at + word.len()).is_some_and(|there| there.eq_ignore_ascii_case(word))
        })
    };
    let at = memchr2_iter(b'd', b'D', text).find(|at| starts(*at))?;
    let alone = text[..at].iter().all(u8::is_ascii_whitespace);
    let name = alone.then(|| one(&text[at..])).flatten();
    Some(name.map_or(Resets::Perhaps, |name| Resets::One(name.into())))
}

/// The names of a Query's DEALLOCATE statements, in the order in which they are carried out, where it
/// has others besides; none, where that cannot be told without the server's own scanner.
pub(super) fn several(text: &[u8]) -> Vec<Box<[u8]>> {
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    let has = |word: &[u8]| text.windows(word.len()).any(|there| there.eq_ignore_ascii_case(word));
    // What may hide the end of a text, and what the name's meaning would matter to.
    if [&b"\\"[..], b"$", b"--", b"/*", b"copy", b"execute"].into_iter().any(has) {
        return Vec::new();
    }
    let mut names = Vec::new();
    for statement in statements(text) {
        match resets(statement) {
            Some(Resets::One(name)) if names.len() < SEVERAL_MAX => names.push(name),
            Some(_) => return Vec::new(),
            None => {}
        }
    }
    names
}

/// Cut at each semicolon that stands in no quotes; one that is doubled inside them ends them and
/// begins others.
fn statements(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quote = None;
    text.split(move |byte| {
        match (quote, *byte) {
            (None, b'\'' | b'"') => quote = Some(*byte),
            (Some(begun), byte) if byte == begun => quote = None,
            _ => {}
        }
        quote.is_none() && *byte == b';'
    })
}

/// The name behind DEALLOCATE; `None`: there is something else.
fn one(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(&[0]).unwrap_or(text).trim_ascii_end();
    let text = text.strip_suffix(b";").unwrap_or(text).trim_ascii_end();
    let rest = word(text, b"deallocate")?;
    let rest = word(rest, b"prepare").filter(|rest| !rest.is_empty()).unwrap_or(rest);
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        return unquoted(quoted.strip_suffix(b"\"")?);
    }
    let of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
    let begins = rest.first().is_some_and(|first| !first.is_ascii_digit() && *first != b'$');
    let name = rest.to_ascii_lowercase();
    (begins && name.iter().all(of_name) && name != b"all").then_some(name)
}

/// What stands behind a word and white space.
fn word<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (there, rest) = text.split_at_checked(word.len())?;
    let ends = rest.is_empty() || rest.starts_with(b"\"") || rest[0].is_ascii_whitespace();
    (there.eq_ignore_ascii_case(word) && ends).then(|| rest.trim_ascii_start())
}

fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        name.push(*byte);
        if *byte == b'"' && bytes.next() != Some(&b'"') {
            return None;
        }
    }
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deallocate_of_one_name_is_told_from_all_the_rest() {
        for (text, name) in [
            ("DEALLOCATE a", "a"),
            (" deallocate Prepare Abc_1 ;\0", "abc_1"),
            ("deallocate \"A\"\"b\"", "A\"b"),
            ("deallocate\"x\"", "x"),
            ("deallocate prepare", "prepare"),
            ("deallocate _pg3_0\0", "_pg3_0"),
        ] {
            let one = Resets::One(name.as_bytes().into());
            assert_eq!(resets(text.as_bytes()), Some(one), "{text}");
        }
        for text in [
            "deallocate all",
            "DISCARD ALL",
            "discard plans",
            "select 1; deallocate a",
            "deallocate a; select 1",
            "deallocate/**/a",
            "deallocate \"a\"b\"",
            "deallocate 1",
            "deallocatex",
        ] {
            assert_eq!(resets(text.as_bytes()), Some(Resets::Perhaps), "{text}");
        }
        for text in ["", "d", "select 1", "disc", "deal locate a"] {
            assert_eq!(resets(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn names_are_found_among_other_statements() {
        for (text, names) in [
            ("select 1; deallocate a", &["a"][..]),
            ("deallocate a; select 1; DEALLOCATE \"B\";\0", &["a", "B"]),
            ("select 'it''s; x; '; deallocate \"a;b\"", &["a;b"]),
            // Not for certain.
            ("select 1; deallocate all", &[]),
            ("select 'deallocate x'; deallocate a", &[]),
            ("select $$; deallocate a", &[]),
            ("select '\\'; deallocate a; --'", &[]),
            ("select 1 /* ; */; deallocate a", &[]),
            ("execute a; deallocate a", &[]),
            ("copy t from stdin; deallocate a", &[]),
            ("select 1", &[]),
        ] {
            let found = several(text.as_bytes());
            let found: Vec<_> = found.iter().map(|name| String::from_utf8_lossy(name)).collect();
            assert_eq!(found, names, "{text}");
        }
    }
}
