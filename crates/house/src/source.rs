//! Rust source without what does not count: tests, comments, the contents of strings.

/// The part of a file above its tests, which stand at the bottom (`#[cfg(test)]` before a
/// module). Elsewhere the attribute hides nothing.
pub fn shipped(text: &str) -> &str {
    let mut start = 0;
    while let Some(found) = text[start..].find("\n#[cfg(test)]\n") {
        let cut = start + found + 1;
        let mut rest = text[cut..].lines().skip(1).skip_while(|line| line.starts_with("#["));
        if rest.next().is_some_and(|line| line.starts_with("mod ")) {
            return &text[..cut];
        }
        start = cut;
    }
    text
}

/// `text` with comments, strings and characters blanked out; lines stay where they are.
pub fn code(text: &str) -> String {
    let mut reader = Reader { rest: text, out: String::with_capacity(text.len()) };
    while !reader.rest.is_empty() {
        reader.step();
    }
    reader.out
}

struct Reader<'a> {
    rest: &'a str,
    out: String,
}

impl Reader<'_> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            self.blank(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.blank(block_comment(self.rest));
        } else if let Some(length) = raw_string(self.rest).filter(|_| !self.in_word()) {
            self.blank(length);
        } else if self.rest.starts_with('"') {
            self.blank(quoted(self.rest));
        } else if let Some(length) = character(self.rest) {
            self.blank(length);
        } else {
            let length = self.rest.chars().next().map_or(0, char::len_utf8);
            self.out.push_str(&self.rest[..length]);
            self.rest = &self.rest[length..];
        }
    }

    /// `r"` at the end of a word is not the start of a raw string.
    fn in_word(&self) -> bool {
        self.out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    }

    fn blank(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.out.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        let step = match rest {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"…"`, `br#"…"#` and their kin, if one starts here.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let after = &text[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opening = prefix.len() + hashes + 1;
    Some(body.find(&end).map_or(text.len(), |found| opening + found + end.len()))
}

/// The length of a character literal; a lifetime (`'a`) is none.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    if body.starts_with('\\') {
        let closing = body.char_indices().skip(2).find(|(_, c)| *c == '\'')?.0;
        return Some(1 + closing + 1);
    }
    let length = body.chars().next()?.len_utf8();
    body[length..].starts_with('\'').then_some(1 + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_count_is_blanked() {
        let text = "let a = \"std::fs \\\" x\"; // std::fs\nlet b = '\"'; /* std::fs /* x */ */ b";
        let code = code(text);
        assert!(!code.contains("std::fs"), "{code}");
        assert!(code.contains("let b = "), "{code}");
        assert_eq!(code.lines().count(), 2);
        assert!(code.ends_with("b"), "{code}");
    }

    #[test]
    fn raw_strings_characters_and_lifetimes_are_told_apart() {
        assert_eq!(code(r##"f(r#"std::fs " "#, x)"##).replace(' ', ""), "f(,x)");
        assert_eq!(code("fn f<'a>(x: &'a str) -> &'a str"), "fn f<'a>(x: &'a str) -> &'a str");
        assert_eq!(code(r"('\'', '\u{1F418}', 'x', y)").replace(' ', ""), "(,,,y)");
    }

    #[test]
    fn tests_at_the_bottom_are_cut_and_nothing_else() {
        let text = "//! x\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(shipped(text), "//! x\nfn a() {}\n\n");
        let text = "//! x\n#[cfg(test)]\n#[path = \"t.rs\"]\nmod tests;\n";
        assert_eq!(shipped(text), "//! x\n");
        let text = "//! x\n#[cfg(test)]\nuse std::fs;\nfn a() { std::fs::read(\"x\"); }\n";
        assert_eq!(shipped(text), text);
    }
}
