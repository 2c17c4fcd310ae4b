//! Statements that take prepared ones away, as far as their text tells: what a client says behind
//! one of them waits until it is known what is left.
//!
//! Source: `DeallocateStmt` in `src/backend/parser/gram.y`; identifiers are cut and lowered as
//! `src/backend/parser/scansup.c` does.

use std::fmt;

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

/// `None`: nothing. A guess that is wrong costs a round trip where the client does not wait for the
/// answer anyway.
pub fn resets(text: &[u8]) -> Option<Resets> {
    const WORDS: [&[u8]; 2] = [b"discard", b"deallocate"];
    let starts = |at: usize| {
        WORDS.iter().any(|word| {
            text.get(at..at + word.len()).is_some_and(|there| there.eq_ignore_ascii_case(word))
        })
    };
    let at = (0..text.len()).find(|at| matches!(text[*at], b'd' | b'D') && starts(*at))?;
    let alone = text[..at].iter().all(u8::is_ascii_whitespace);
    let name = alone.then(|| one(&text[at..])).flatten();
    Some(name.map_or(Resets::Perhaps, |name| Resets::One(name.into())))
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
}
