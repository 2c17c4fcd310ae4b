//! Splits a pg_hba line as `next_token` of PostgreSQL's hba.c does.
//!
//! A line is fields between blanks; a field is a list of tokens between commas; quotes keep
//! blanks, commas and `#` in a token, and take a keyword's meaning away.

/// Bytes of one token; PostgreSQL 15 skips a longer one.
pub const TOKEN_LEN_MAX: usize = 255;

/// One word of a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    pub text: String,
    /// It starts with a quote, so it is no keyword.
    pub quoted: bool,
}

impl Token {
    pub fn is_keyword(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }

    /// Whether it starts with a sign that a quote would have disarmed (`+`, `@`).
    pub fn has_sign(&self, sign: char) -> bool {
        !self.quoted && self.text.starts_with(sign)
    }
}

/// A quote was opened and not closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenQuote;

/// The fields of `line`, without its comment.
pub fn fields(line: &str) -> Result<Vec<Vec<Token>>, OpenQuote> {
    let mut rest = line;
    let mut fields: Vec<Vec<Token>> = Vec::new();
    let mut goes_on = false;
    loop {
        let (word, after) = next(rest)?;
        rest = after;
        let Some(word) = word else { return Ok(fields) };
        match fields.last_mut() {
            Some(field) if goes_on => field.push(word.token),
            _ => fields.push(vec![word.token]),
        }
        goes_on = word.comma;
    }
}

struct Word {
    token: Token,
    /// The field goes on with the next word.
    comma: bool,
}

/// The next word of `text` and what comes after it; no word at the end of the line.
fn next(text: &str) -> Result<(Option<Word>, &str), OpenQuote> {
    let text = text.trim_start_matches(|c: char| is_blank(c) || c == ',');
    let mut token = Token { text: String::new(), quoted: false };
    let (mut in_quote, mut was_quote, mut saw_quote) = (false, false, false);
    let done = |token: Token, saw_quote: bool, comma: bool| {
        (saw_quote || !token.text.is_empty()).then_some(Word { token, comma })
    };
    for (at, c) in text.char_indices() {
        match c {
            '#' if !in_quote => return Ok((done(token, saw_quote, false), "")),
            ',' if !in_quote => return Ok((done(token, saw_quote, true), &text[at + 1..])),
            c if is_blank(c) && !in_quote => {
                return Ok((done(token, saw_quote, false), &text[at..]));
            }
            '"' => {
                if was_quote {
                    // Two quotes inside quotes are one literal quote.
                    token.text.push('"');
                }
                was_quote = in_quote && !was_quote;
                in_quote = !in_quote;
                saw_quote = true;
                token.quoted |= token.text.is_empty();
            }
            c => {
                token.text.push(c);
                was_quote = false;
            }
        }
    }
    if in_quote { Err(OpenQuote) } else { Ok((done(token, saw_quote, false), "")) }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}
