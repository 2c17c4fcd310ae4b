//! Where messages begin in a stream that comes in pieces: heads are read, bodies pass unseen.
//!
//! ```text
//! | 'D' len | body ............. | 'C' len | body | 'Z' len | I |
//!   ^ Head                          ^ Head           ^ Head
//! ```
//! Nothing is copied and no row is looked into. Who needs a body asks for all of it ([`Walk::step`]
//! with what was buffered); all others let it pass, in as many pieces as it takes.

/// A type and a length.
pub const HEAD_LEN: usize = 5;

/// PostgreSQL's bound of messages with text or data in them: `PQ_LARGE_MESSAGE_LIMIT`, libpq.h.
const LARGE_MAX: u32 = 0x3fff_ffff - 1 - LEN;
/// Of all others: `PQ_SMALL_MESSAGE_LIMIT`.
const SMALL_MAX: u32 = 10_000 - LEN;
/// Of an answer to a question about a password: `PG_MAX_AUTH_TOKEN_LENGTH`, auth.c.
const PASSWORD_MAX: u32 = 65_535 - LEN;
/// The length counts itself, in PostgreSQL's bounds too.
const LEN: u32 = 4;

/// Who sends, and so which messages there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// After its first packet.
    Client,
    Server,
}

impl Sender {
    /// The longest body of such a message, bytes; `None`: there is no such message.
    fn body_max(self, kind: u8) -> Option<u32> {
        match (self, kind) {
            (Sender::Client, b'Q' | b'P' | b'B' | b'F' | b'd') => Some(LARGE_MAX),
            (Sender::Client, b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f') => {
                Some(SMALL_MAX)
            }
            (Sender::Client, b'p') => Some(PASSWORD_MAX),
            (Sender::Client, _) => None,
            // A row may be longer than what a client may send.
            (Sender::Server, b'D' | b'd' | b'E' | b'N' | b'T' | b'A' | b'S' | b'V') => {
                Some(u32::MAX - 4)
            }
            (
                Sender::Server,
                b'1' | b'2' | b'3' | b'C' | b'G' | b'H' | b'I' | b'K' | b'R' | b'W' | b'Z' | b'c'
                | b'n' | b's' | b't' | b'v',
            ) => Some(LARGE_MAX),
            (Sender::Server, _) => None,
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// So many bytes belong to the body of the message that is under way.
    Rest(usize),
    /// A message begins: its type, and bytes of its body. It is not under way yet.
    Head { kind: u8, body: u32 },
    /// Not a whole head.
    Short,
}

/// A place in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walk {
    sender: Sender,
    /// Bytes of the body under way that have not come yet.
    left: u32,
}

impl Walk {
    pub const fn new(sender: Sender) -> Walk {
        Walk { sender, left: 0 }
    }

    /// Nothing is under way: the stream may end here.
    pub fn is_between(&self) -> bool {
        self.left == 0
    }

    /// What `bytes`, which come next, begin with.
    ///
    /// # Errors
    /// No such message, or no such length: where the next one begins is not known any more.
    pub fn step(&self, bytes: &[u8]) -> Result<Step, Lost> {
        if self.left > 0 {
            return Ok(Step::Rest(bytes.len().min(self.left as usize)));
        }
        let Some([kind, len @ ..]) = bytes.first_chunk::<HEAD_LEN>() else {
            // Whoever sends no message at all is not waited for.
            return match bytes.first() {
                Some(kind) if self.sender.body_max(*kind).is_none() => Err(Lost::Kind(*kind)),
                _ => Ok(Step::Short),
            };
        };
        let max = self.sender.body_max(*kind).ok_or(Lost::Kind(*kind))?;
        match u32::from_be_bytes(*len).checked_sub(4) {
            Some(body) if body <= max => Ok(Step::Head { kind: *kind, body }),
            _ => Err(Lost::Length(*kind)),
        }
    }

    /// The message at whose head the walk stands is let go, with `taken` bytes of its `body`.
    pub fn enter(&mut self, body: u32, taken: u32) {
        debug_assert!(self.left == 0 && taken <= body, "{self:?}");
        self.left = body - taken;
    }

    /// So many bytes of the body under way have gone.
    pub fn pass(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.left as usize, "{self:?}");
        self.left -= u32::try_from(bytes).unwrap_or(self.left);
    }
}

/// The stream cannot be followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Lost {
    /// PostgreSQL's own words.
    #[error("invalid frontend message type {0}")]
    Kind(u8),
    #[error("invalid message length")]
    Length(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads and bodies of a stream that comes in pieces of `size`, all bodies let pass.
    fn heads(sender: Sender, stream: &[u8], size: usize) -> Result<Vec<(u8, u32)>, Lost> {
        let (mut walk, mut heads) = (Walk::new(sender), Vec::new());
        let mut there: Vec<u8> = Vec::new();
        for piece in stream.chunks(size) {
            there.extend_from_slice(piece);
            loop {
                match walk.step(&there)? {
                    Step::Rest(len) => {
                        walk.pass(len);
                        there.drain(..len);
                    }
                    Step::Head { kind, body } => {
                        heads.push((kind, body));
                        walk.enter(body, 0);
                        there.drain(..HEAD_LEN);
                    }
                    Step::Short => break,
                }
                if there.is_empty() {
                    break;
                }
            }
        }
        assert!(walk.is_between() && there.is_empty(), "{walk:?} {there:?}");
        Ok(heads)
    }

    #[test]
    fn a_stream_has_the_same_messages_however_it_is_cut() {
        let stream = b"T\0\0\0\x06\0\0D\0\0\0\x10ZZZZZZZZZZZZC\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
        let want = vec![(b'T', 2), (b'D', 12), (b'C', 9), (b'Z', 1)];
        for size in 1..=stream.len() {
            assert_eq!(heads(Sender::Server, stream, size), Ok(want.clone()), "{size}");
        }
    }

    #[test]
    fn what_cannot_be_a_message_is_refused_before_anything_is_waited_for() {
        let client = |bytes: &[u8]| Walk::new(Sender::Client).step(bytes);
        assert_eq!(client(b"\0"), Err(Lost::Kind(0)));
        assert_eq!(client(b"G"), Err(Lost::Kind(b'G')));
        assert_eq!(client(b"Q\0\0\0"), Ok(Step::Short));
        assert_eq!(client(b"Q\0\0\0\x03"), Err(Lost::Length(b'Q')));
        assert_eq!(client(b"Q\xff\xff\xff\xff"), Err(Lost::Length(b'Q')));
        assert_eq!(client(b"S\0\0\x27\x11"), Err(Lost::Length(b'S')));
        assert_eq!(client(b"S\0\0\x27\x10"), Ok(Step::Head { kind: b'S', body: 9_996 }));
        assert_eq!(client(b"Q\x3f\xff\xff\xfe"), Ok(Step::Head { kind: b'Q', body: LARGE_MAX }));
        assert_eq!(client(b"Q\x3f\xff\xff\xff"), Err(Lost::Length(b'Q')));
    }
}
