//! What a server says until a session begins: message by message, without its contents but for
//! the few that decide whether the client may still be given another server.

use crate::walk::HEAD_LEN;

/// A longer message is none of those that come before a session.
pub const GREETING_LEN_MAX: usize = 64 * 1024;
const SASL: u32 = 10;

/// A message of the new protocol: its type, and what follows its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    pub kind: u8,
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The first message of `bytes` and what follows it; `None` while it is not whole. A length
    /// that cannot be one is [`Oversized`].
    pub fn first(bytes: &'a [u8]) -> Result<Option<(Message<'a>, &'a [u8])>, Oversized> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>() else { return Ok(None) };
        let [kind, len @ ..] = *head;
        let len = u32::from_be_bytes(len).checked_sub(4).ok_or(Oversized)? as usize;
        if len > GREETING_LEN_MAX {
            return Err(Oversized);
        }
        Ok(rest.split_at_checked(len).map(|(body, after)| (Message { kind, body }, after)))
    }

    /// The SQLSTATE of an ErrorResponse.
    pub fn sqlstate(&self) -> Option<&'a [u8]> {
        let fields = (self.kind == b'E').then_some(self.body)?.split(|byte| *byte == 0);
        fields.filter_map(|field| field.split_first()).find(|(name, _)| **name == b'C').map(|f| f.1)
    }

    /// AuthenticationSASL: the client's answer to it depends on nothing that this server alone
    /// knows.
    pub fn asks_for_sasl(&self) -> bool {
        self.kind == b'R' && self.body.starts_with(&SASL.to_be_bytes())
    }
}

/// No message of a session's beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Oversized;

/// Looks for the first ReadyForQuery in what a server sends, in pieces of any size.
#[derive(Debug, Default)]
pub struct UntilReady {
    head: Vec<u8>,
    skip: u64,
}

impl UntilReady {
    /// Whether the session has begun with this piece.
    pub fn sees(&mut self, mut piece: &[u8]) -> bool {
        while !piece.is_empty() {
            let skipped = piece.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            piece = &piece[skipped..];
            self.skip -= skipped as u64;
            let missing = piece.len().min(HEAD_LEN - self.head.len());
            let (head, rest) = piece.split_at(missing);
            self.head.extend_from_slice(head);
            piece = rest;
            if let Some([kind, len @ ..]) = self.head.first_chunk::<HEAD_LEN>() {
                if *kind == b'Z' {
                    return true;
                }
                self.skip = u64::from(u32::from_be_bytes(*len)).saturating_sub(4);
                self.head.clear();
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorResponse;

    #[test]
    fn a_message_is_given_once_it_is_whole() {
        let bytes = b"R\0\0\0\x0c\0\0\0\x0aSCRAv";
        for cut in 0..13 {
            assert_eq!(Message::first(&bytes[..cut]), Ok(None), "{cut}");
        }
        let (message, rest) = Message::first(bytes).expect("a length").expect("a whole one");
        assert_eq!((message.kind, rest), (b'R', &b"v"[..]));
        assert!(message.asks_for_sasl());
        assert!(!Message { kind: b'R', body: &[0; 4] }.asks_for_sasl());
        // A server that cannot fork says it in the old protocol: a text without a length.
        assert_eq!(Message::first(b"Ecould not fork"), Err(Oversized));
        assert_eq!(Message::first(b"E\0\0\0\x03"), Err(Oversized));
    }

    #[test]
    fn an_error_has_its_sqlstate() {
        let mut bytes = Vec::new();
        ErrorResponse::fatal("57P03", "the Cdatabase system is starting up").encode(&mut bytes);
        let (message, _) = Message::first(&bytes).expect("a length").expect("a whole one");
        assert_eq!(message.sqlstate(), Some(&b"57P03"[..]));
        assert_eq!(Message { kind: b'N', ..message }.sqlstate(), None);
    }

    #[test]
    fn a_session_begins_with_the_first_ready_for_query_however_it_is_cut() {
        let bytes = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x06ZZZ\0\0\0\x05I";
        for size in 1..=bytes.len() {
            let mut until = UntilReady::default();
            let seen: Vec<_> = bytes.chunks(size).map(|piece| until.sees(piece)).collect();
            let ready = seen.iter().position(|seen| *seen).expect("it begins");
            // Type and length tell: the 21st byte.
            assert_eq!(ready, 20 / size, "{size}: {seen:?}");
        }
    }
}
