//! What a client says that has lost its server and has not done with what it had begun there.

use crate::frontend::{Named, Parse};
use crate::replies::Asked;
use crate::walk::{HEAD_LEN, Lost, Step};

use super::client_half::{ClientHalf, Followed, Then};
use super::orphan::{Ends, Orphan, Says, ends};
use super::said::{ClientLost, Message, Said};
use super::server_half::{PEEK_MAX, ServerHalf};
use super::statements::{Known, Sense};

/// No longer text only ends a transaction.
const END_LEN: usize = 64;

impl ClientHalf {
    /// Its server is lost in the middle of something; `error` is what it hears of that. Appends to
    /// `out` what it hears now. Whatever is under way of its own messages is passed over.
    pub fn bereave(&mut self, server: &ServerHalf, error: &[u8], out: &mut Vec<u8>) {
        self.orphan = Orphan::of(server, error, out);
        self.passing = false;
        self.resets = false;
        self.names.forget_open();
    }

    /// It is answered without a server until it has done with what it had begun.
    pub fn is_alone(&self) -> bool {
        self.orphan.is_some()
    }

    /// Answers what it says. When it is not alone any more the rest is for a server.
    ///
    /// # Errors
    /// It speaks no protocol that can be followed: the session ends.
    pub fn speak_alone(
        &mut self,
        bytes: &[u8],
        known: &mut Known,
        out: &mut Vec<u8>,
    ) -> Result<Followed, ClientLost> {
        let mut at = 0;
        while self.orphan.is_some() {
            match self.walk.step(&bytes[at..])? {
                Step::Rest(0) => return Ok(Followed { used: at, then: Then::Need(1) }),
                Step::Short => return Ok(Followed { used: at, then: Then::Need(HEAD_LEN) }),
                Step::Rest(len) => {
                    self.walk.pass(len);
                    at += len;
                }
                Step::Head { kind: b'X', .. } => {
                    return Ok(Followed { used: at, then: Then::Gone });
                }
                Step::Head { kind, body } => {
                    let there = &bytes[at + HEAD_LEN..];
                    let wanted = self.wanted_alone(kind, body)?;
                    if there.len() < wanted {
                        return Ok(Followed { used: at, then: Then::Need(HEAD_LEN + wanted) });
                    }
                    let here = &there[..there.len().min(body as usize)];
                    let says = self.says(&Message { kind, body, here, at }, known)?;
                    if self.orphan.as_mut().is_some_and(|orphan| !orphan.hear(says, out)) {
                        self.orphan = None;
                    }
                    self.passing = false;
                    self.walk.enter(body, u32::try_from(here.len()).unwrap_or(body));
                    at += HEAD_LEN + here.len();
                }
            }
        }
        Ok(Followed { used: at, then: Then::Need(1) })
    }

    fn wanted_alone(&self, kind: u8, body: u32) -> Result<usize, ClientLost> {
        let body = body as usize;
        match kind {
            b'P' if body > self.parse_max => Err(ClientLost::TooLong { max: self.parse_max }),
            b'P' | b'D' | b'C' => Ok(body),
            b'B' => Ok(body.min(PEEK_MAX)),
            b'Q' => Ok(body.min(END_LEN)),
            b'p' => Err(ClientLost::Stream(Lost::Kind(b'p'))),
            _ => Ok(0),
        }
    }

    fn says(&mut self, message: &Message<'_>, known: &mut Known) -> Result<Says, ClientLost> {
        Ok(match message.read()? {
            Said::Query(text) => Says::Query(ends(text).filter(|_| message.is_whole())),
            Said::Parse(parse) => Says::Parse(self.prepare_alone(&parse, known)),
            Said::Bind(bind) => {
                let statement = self.names.get(bind.statement);
                Says::Bind(statement.and_then(|statement| ends(&statement.sense.text)))
            }
            Said::Describe(named) => {
                Says::Describe { statement: matches!(named, Named::Statement(_)) }
            }
            Said::Execute(_) => Says::Execute,
            Said::Close(_) => Says::Close,
            Said::Malformed(_) => Says::Malformed,
            Said::Plain(Some(Asked::Sync)) => Says::Sync,
            Said::Plain(Some(Asked::FunctionCall)) => Says::FunctionCall,
            Said::Plain(_) | Said::CopyData => Says::Nothing,
        })
    }

    /// A statement that ends the transaction gets its name, as any does that the server takes.
    fn prepare_alone(&mut self, parse: &Parse<'_>, known: &mut Known) -> Option<Ends> {
        let (text, types) = parse.sense();
        let ends = ends(text)?;
        let statement = known.of(Sense { text: text.into(), types: types.into(), settings: 0 });
        let tag = self.names.change(parse.name, Some(statement), 0);
        self.names.done(tag);
        Some(ends)
    }
}
