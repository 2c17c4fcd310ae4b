//! What a client's messages say about statements and portals: names, texts and types, as ranges
//! of the body, so that a name can be exchanged where it stands.
//!
//! Source: PostgreSQL documentation, "Message Formats"; `exec_parse_message` and its neighbours in
//! `src/backend/tcop/postgres.c`.

/// Parse: a statement's name, its text, and the types of its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parse<'a> {
    /// Empty: the unnamed one.
    pub name: &'a [u8],
    pub text: &'a [u8],
    /// Four bytes a type, with their count of two bytes before them.
    pub types: &'a [u8],
}

impl<'a> Parse<'a> {
    pub fn read(body: &'a [u8]) -> Result<Parse<'a>, Malformed> {
        let (name, rest) = text(body)?;
        let (text, types) = text(rest)?;
        let (count, oids) = types.split_first_chunk::<2>().ok_or(Malformed)?;
        match oids.len() == 4 * usize::from(u16::from_be_bytes(*count)) {
            true => Ok(Parse { name, text, types }),
            false => Err(Malformed),
        }
    }

    /// Text and types: what two statements of any name have to share to be one.
    pub fn sense(&self) -> (&'a [u8], &'a [u8]) {
        (self.text, self.types)
    }
}

/// Bind: a portal's name and a statement's; values are not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bind<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
}

impl<'a> Bind<'a> {
    /// `body`: its beginning suffices, up to the end of both names.
    pub fn read(body: &'a [u8]) -> Result<Bind<'a>, Malformed> {
        let (portal, rest) = text(body)?;
        let (statement, _) = text(rest)?;
        Ok(Bind { portal, statement })
    }
}

/// Describe and Close: of a statement or of a portal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named<'a> {
    Statement(&'a [u8]),
    Portal(&'a [u8]),
}

impl<'a> Named<'a> {
    pub fn read(body: &'a [u8]) -> Result<Named<'a>, Malformed> {
        let (kind, rest) = body.split_first().ok_or(Malformed)?;
        let (name, after) = text(rest)?;
        match (kind, after) {
            (b'S', []) => Ok(Named::Statement(name)),
            (b'P', []) => Ok(Named::Portal(name)),
            _ => Err(Malformed),
        }
    }
}

/// Execute: a portal's name.
pub fn executed(body: &[u8]) -> Result<&[u8], Malformed> {
    match text(body)? {
        (portal, [_, _, _, _]) => Ok(portal),
        _ => Err(Malformed),
    }
}

/// Query: the statements.
pub fn queried(body: &[u8]) -> Result<&[u8], Malformed> {
    match text(body)? {
        (statements, []) => Ok(statements),
        _ => Err(Malformed),
    }
}

/// No such message: the server refuses it with `08P01`, and passes over the rest of its batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid message format")]
pub struct Malformed;

/// Up to a zero, and what follows that.
fn text(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
    Ok((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_stand() {
        let parse = Parse::read(b"s1\0SELECT $1\0\0\x01\0\0\0\x17").expect("a Parse");
        assert_eq!((parse.name, parse.text), (&b"s1"[..], &b"SELECT $1"[..]));
        assert_eq!(parse.sense().1, b"\0\x01\0\0\0\x17");
        let bind = Bind::read(b"p\0s1\0\0\0").expect("a Bind");
        assert_eq!((bind.portal, bind.statement), (&b"p"[..], &b"s1"[..]));
        assert_eq!(Named::read(b"Ss1\0"), Ok(Named::Statement(b"s1")));
        assert_eq!(Named::read(b"P\0"), Ok(Named::Portal(b"")));
        assert_eq!(executed(b"p\0\0\0\0\0"), Ok(&b"p"[..]));
        assert_eq!(queried(b"SELECT 1\0"), Ok(&b"SELECT 1"[..]));
    }

    #[test]
    fn a_message_that_is_cut_or_goes_on_is_none() {
        for bad in [&b""[..], b"s", b"s\0SELECT", b"s\0SELECT\0", b"s\0S\0\0\x01", b"s\0S\0\0\0\0"]
        {
            assert_eq!(Parse::read(bad), Err(Malformed), "{}", bad.escape_ascii());
        }
        for bad in [&b""[..], b"S", b"Ss", b"Xs\0", b"Ss\0\0"] {
            assert_eq!(Named::read(bad), Err(Malformed), "{}", bad.escape_ascii());
        }
        assert_eq!(Bind::read(b"p\0s"), Err(Malformed));
        assert_eq!(executed(b"p\0\0\0\0"), Err(Malformed));
        assert_eq!(queried(b"SELECT 1\0;\0"), Err(Malformed));
    }
}
