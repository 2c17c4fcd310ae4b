//! What one client says: each message becomes questions to its server, with the names of its
//! statements exchanged for the server's.
//!
//! | client says | the server has the statement | it has not |
//! |---|---|---|
//! | Parse | nothing is sent, ParseComplete is made | Parse, under the server's name |
//! | Bind, Describe | its name exchanged | Parse before it, whose answer nobody hears |
//! | Close of a statement | nothing is sent, CloseComplete is made | the same |

use crate::error_response::{ErrorResponse, Severity};
use crate::frontend::{Bind, Malformed, Named, Parse};
use crate::replies::{Asked, Question, Whose};
use crate::walk::{HEAD_LEN, Lost, Sender, Step, Walk};

use super::Cuts;
use super::orphan::Orphan;
use super::server_half::{PEEK_MAX, ServerHalf};
use super::session::{Leaves, left_by};
use super::statements::{Has, Held, Known, Names, Sense, Statement};

/// So many answers may be owed; then the client has to read some.
const OPEN_MAX: usize = 4_096;

/// The server that a client has for now, and what its thread knows.
#[derive(Debug)]
pub struct Linked<'a> {
    pub server: &'a mut ServerHalf,
    pub held: &'a mut Held,
    pub known: &'a mut Known,
    /// See [`Sense::settings`].
    pub settings: u32,
    /// What goes to it of what the client says, and what is made for it.
    pub to_server: &'a mut Cuts,
}

/// How far a client was followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Followed {
    /// Bytes that are done with; the rest is to be handed in again.
    pub used: usize,
    pub then: Then,
}

/// What has to happen before it can be followed further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// More of it has to come; so many bytes from [`Followed::used`] on at least.
    Need(usize),
    /// The server has to answer some of what it was asked.
    Answers,
    /// It has said that it goes.
    Gone,
}

/// The client's side of its connection, from its login on.
#[derive(Debug)]
pub struct ClientHalf {
    pub(super) walk: Walk,
    /// The body under way is the server's.
    pub(super) passing: bool,
    pub(super) names: Names,
    /// A Parse of more bytes is refused.
    pub(super) parse_max: usize,
    /// It has lost its server in the middle of something.
    pub(super) orphan: Option<Orphan>,
    /// It has said what may take all its statements away: what follows waits for the answer.
    pub(super) resets: bool,
    /// It has said what may leave something in its session.
    leaves: Option<Leaves>,
}

impl ClientHalf {
    pub fn new(parse_max: usize) -> ClientHalf {
        ClientHalf {
            walk: Walk::new(Sender::Client),
            passing: false,
            names: Names::default(),
            parse_max,
            orphan: None,
            resets: false,
            leaves: None,
        }
    }

    /// What it calls its statements.
    pub fn names(&mut self) -> &mut Names {
        &mut self.names
    }

    /// What may be left in its session by what it has said since this was last asked, beside what
    /// the tags of its statements tell.
    pub fn take_leaves(&mut self) -> Option<Leaves> {
        self.leaves.take()
    }

    /// No message is under way: its server may be taken away.
    pub fn is_between(&self) -> bool {
        self.walk.is_between()
    }

    /// Follows what the client says to its server.
    ///
    /// # Errors
    /// It speaks no protocol that can be followed: the session ends.
    pub fn speak(&mut self, bytes: &[u8], linked: &mut Linked<'_>) -> Result<Followed, ClientLost> {
        let mut at = 0;
        loop {
            match self.walk.step(&bytes[at..])? {
                Step::Rest(0) => return Ok(Followed { used: at, then: Then::Need(1) }),
                Step::Short => return Ok(Followed { used: at, then: Then::Need(HEAD_LEN) }),
                Step::Rest(len) => {
                    if self.passing {
                        linked.to_server.pass(at..at + len);
                    }
                    self.walk.pass(len);
                    at += len;
                }
                Step::Head { kind: b'X', .. } => {
                    return Ok(Followed { used: at, then: Then::Gone });
                }
                Step::Head { .. } if linked.server.replies().len() >= OPEN_MAX => {
                    return Ok(Followed { used: at, then: Then::Answers });
                }
                Step::Head { kind, body } => {
                    let there = &bytes[at + HEAD_LEN..];
                    let wanted = self.wanted(kind, body)?;
                    if there.len() < wanted {
                        return Ok(Followed { used: at, then: Then::Need(HEAD_LEN + wanted) });
                    }
                    let here = &there[..there.len().min(body as usize)];
                    let message = Message { kind, body, here, at };
                    let said = message.read()?;
                    if self.is_unsure(&said, linked) {
                        return Ok(Followed { used: at, then: Then::Answers });
                    }
                    self.passing = true;
                    self.one(&said, &message, linked);
                    // What is here of a body is no longer than the body.
                    self.walk.enter(body, u32::try_from(here.len()).unwrap_or(body));
                    at += HEAD_LEN + here.len();
                }
            }
        }
    }

    /// Bytes of its body without which such a message cannot be dealt with.
    fn wanted(&self, kind: u8, body: u32) -> Result<usize, ClientLost> {
        let body = body as usize;
        match kind {
            b'P' if body > self.parse_max => Err(ClientLost::TooLong { max: self.parse_max }),
            b'P' | b'D' | b'C' => Ok(body),
            b'B' => Ok(body.min(PEEK_MAX)),
            b'Q' => Ok(body.min(self.parse_max)),
            b'p' => Err(ClientLost::Stream(Lost::Kind(b'p'))),
            _ => Ok(0),
        }
    }

    /// What it names means one thing or another by how an earlier batch ends.
    fn is_unsure(&mut self, said: &Said<'_>, linked: &Linked<'_>) -> bool {
        self.resets &= !linked.server.replies().is_empty();
        let named = said.statement();
        self.resets || named.is_some_and(|name| self.names.is_unsure(name, linked.server.batch()))
    }

    fn one(&mut self, said: &Said<'_>, message: &Message<'_>, linked: &mut Linked<'_>) {
        match said {
            Said::Parse(parse) => self.parse(parse, message, linked),
            Said::Bind(bind) => self.bind(bind, message, linked),
            Said::Describe(named) => self.describe(named, message, linked),
            Said::Close(named) => self.close(named, message, linked),
            Said::Plain(asked) => self.plain(*asked, message, linked),
        }
    }

    /// It names nothing, and goes to the server as it is.
    fn plain(&mut self, asked: Option<Asked>, message: &Message<'_>, linked: &mut Linked<'_>) {
        if let Some(asked) = asked {
            self.resets |= asked == Asked::Query && resets(message.here);
            if asked == Asked::Query {
                self.note_leaves(left_by(message.here).as_ref());
            }
            let unseen = asked == Asked::Query && !message.is_whole();
            if unseen || asked == Asked::FunctionCall {
                self.note_leaves(Some(&Leaves { forever: true, ..Leaves::default() }));
            }
            // PostgreSQL gives the unnamed statement up at each Query.
            let gives_up = asked == Asked::Query && self.names.may_have(b"");
            let tag =
                if gives_up { self.names.change(b"", None, linked.server.batch()) } else { 0 };
            self.ask(asked, Whose::Clients, tag, linked);
        }
        message.pass(linked.to_server);
    }

    fn parse(&mut self, parse: &Parse<'_>, message: &Message<'_>, linked: &mut Linked<'_>) {
        if !parse.name.is_empty() && self.names.get(parse.name).is_some() {
            return self.parse_taken(parse.name, message, linked);
        }
        let (text, types) = parse.sense();
        let sense = Sense { text: text.into(), types: types.into(), settings: linked.settings };
        let statement = linked.known.of(sense);
        let number = statement.number;
        if statement.leaves.is_some() {
            note_leaves(&mut self.leaves, statement.leaves.as_ref());
        }
        let has = match linked.held.has(number, linked.server.batch()) {
            // Then it must be the server that answers: an aborted transaction takes no Parse.
            Has::Yes if linked.server.may_have_failed() => Has::Perhaps,
            has => has,
        };
        linked.forget(number, has);
        let whose = if has == Has::Yes { Whose::Made } else { Whose::Clients };
        let tag = self.names.change(parse.name, Some(statement), linked.server.batch());
        let heard = self.ask(Asked::Parse, whose, tag, linked);
        if has != Has::Yes {
            if heard {
                linked.held.add(number, linked.server.batch());
            }
            message.renamed(0, parse.name, number, linked.to_server);
        }
    }

    /// The server has to refuse it by itself, so that it passes over the rest of the batch: it gets
    /// the client's text under a name that it has.
    fn parse_taken(&mut self, name: &[u8], message: &Message<'_>, linked: &mut Linked<'_>) {
        if let Some(number) = self.prepare(name, linked) {
            let mut error = Vec::new();
            taken(name).encode(&mut error);
            linked.server.ask_in_vain(error);
            message.renamed(0, name, number, linked.to_server);
        }
    }

    fn bind(&mut self, bind: &Bind<'_>, message: &Message<'_>, linked: &mut Linked<'_>) {
        let number = self.prepare(bind.statement, linked);
        self.ask(Asked::Bind, Whose::Clients, 0, linked);
        let name = number.map(|number| (bind.portal.len() + 1, bind.statement, number));
        message.pass_renamed(name, linked.to_server);
    }

    fn describe(&mut self, named: &Named<'_>, message: &Message<'_>, linked: &mut Linked<'_>) {
        let (asked, name) = match named {
            Named::Portal(_) => (Asked::DescribePortal, None),
            Named::Statement(name) => {
                let number = self.prepare(name, linked);
                (Asked::DescribeStatement, number.map(|number| (1, *name, number)))
            }
        };
        self.ask(asked, Whose::Clients, 0, linked);
        message.pass_renamed(name, linked.to_server);
    }

    fn close(&mut self, named: &Named<'_>, message: &Message<'_>, linked: &mut Linked<'_>) {
        match named {
            Named::Statement(name) if self.names.get(name).is_some() => {
                let tag = self.names.change(name, None, linked.server.batch());
                self.ask(Asked::Close, Whose::Made, tag, linked);
            }
            // A portal, or a statement that was prepared by SQL and is the server's own.
            _ => {
                self.ask(Asked::Close, Whose::Clients, 0, linked);
                message.pass(linked.to_server);
            }
        }
    }

    fn note_leaves(&mut self, leaves: Option<&Leaves>) {
        note_leaves(&mut self.leaves, leaves);
    }

    /// Whether the server will hear it.
    fn ask(&mut self, asked: Asked, whose: Whose, tag: u32, linked: &mut Linked<'_>) -> bool {
        let heard = linked.server.ask(Question { asked, whose, tag });
        if !heard {
            self.names.passed_over(tag);
        }
        heard
    }

    /// Sees to it that the server has the statement of that name; `None`: the client has none, and
    /// the server's own error is the right one.
    fn prepare(&mut self, name: &[u8], linked: &mut Linked<'_>) -> Option<u32> {
        let statement = self.names.get(name)?;
        let number = statement.number;
        if statement.leaves.is_some() {
            note_leaves(&mut self.leaves, statement.leaves.as_ref());
        }
        let (batch, tag) = (linked.server.batch(), number);
        let has = linked.held.has(number, batch);
        if has != Has::Yes {
            linked.forget(number, has);
            if linked.server.ask(Question { asked: Asked::Parse, whose: Whose::Nobodys, tag }) {
                linked.held.add(number, batch);
            }
            linked.to_server.make(|out| statement.write_parse(out));
        }
        Some(number)
    }
}

impl Linked<'_> {
    /// A statement that the server may or may not have is closed, which is no error either way,
    /// before it is prepared again.
    fn forget(&mut self, number: u32, has: Has) {
        if has == Has::Perhaps {
            self.server.ask(Question { asked: Asked::Close, whose: Whose::Nobodys, tag: number });
            self.to_server.make(|out| Statement::write_close(number, out));
        }
    }
}

/// One message of the client's, as far as it is here.
struct Message<'a> {
    kind: u8,
    body: u32,
    here: &'a [u8],
    /// Where its head stands in what came.
    at: usize,
}

/// What it asks for, and what it names.
enum Said<'a> {
    Parse(Parse<'a>),
    Bind(Bind<'a>),
    Describe(Named<'a>),
    Close(Named<'a>),
    /// It names no statement; `None`: nothing answers it.
    Plain(Option<Asked>),
}

impl<'a> Said<'a> {
    fn statement(&self) -> Option<&'a [u8]> {
        match self {
            Said::Parse(parse) => Some(parse.name),
            Said::Bind(bind) => Some(bind.statement),
            Said::Describe(Named::Statement(name)) | Said::Close(Named::Statement(name)) => {
                Some(name)
            }
            Said::Describe(Named::Portal(_)) | Said::Close(Named::Portal(_)) | Said::Plain(_) => {
                None
            }
        }
    }
}

impl<'a> Message<'a> {
    fn read(&self) -> Result<Said<'a>, Malformed> {
        Ok(match self.kind {
            b'P' => Said::Parse(Parse::read(self.here)?),
            b'B' => Said::Bind(Bind::read(self.here)?),
            b'D' => Said::Describe(Named::read(self.here)?),
            b'C' => Said::Close(Named::read(self.here)?),
            b'Q' => Said::Plain(Some(Asked::Query)),
            b'E' => Said::Plain(Some(Asked::Execute)),
            b'S' => Said::Plain(Some(Asked::Sync)),
            b'F' => Said::Plain(Some(Asked::FunctionCall)),
            b'c' | b'f' => Said::Plain(Some(Asked::CopyEnd)),
            _ => Said::Plain(None),
        })
    }

    fn is_whole(&self) -> bool {
        self.here.len() == self.body as usize
    }

    fn end(&self) -> usize {
        self.at + HEAD_LEN + self.here.len()
    }

    fn pass(&self, to_server: &mut Cuts) {
        to_server.pass(self.at..self.end());
    }

    /// With the server's number in the place of a name that stands somewhere in the body.
    fn pass_renamed(&self, name: Option<(usize, &[u8], u32)>, to_server: &mut Cuts) {
        match name {
            Some((from, name, number)) => self.renamed(from, name, number, to_server),
            None => self.pass(to_server),
        }
    }

    /// With the server's name in the place of `name`, which stands at `from` in the body.
    fn renamed(&self, from: usize, name: &[u8], number: u32, to_server: &mut Cuts) {
        let new = Statement::name(number);
        to_server.make(|out| {
            out.push(self.kind);
            let len = 4 + self.body as usize - name.len() + new.len();
            // A body is at most 1 GB.
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(&self.here[..from]);
            out.extend_from_slice(new.as_bytes());
        });
        // Its zero comes along.
        to_server.pass(self.at + HEAD_LEN + from + name.len()..self.end());
    }
}

fn note_leaves(all: &mut Option<Leaves>, leaves: Option<&Leaves>) {
    if let Some(leaves) = leaves {
        all.get_or_insert_default().add(leaves);
    }
}

/// Whether a Query may be DISCARD or DEALLOCATE: as good a guess as its beginning allows, and one
/// that is wrong costs a round trip where the client does not wait for the answer anyway.
fn resets(query: &[u8]) -> bool {
    let word = query.trim_ascii_start();
    ["discard", "deallocate"].iter().any(|reset| {
        word.get(..reset.len()).is_some_and(|word| word.eq_ignore_ascii_case(reset.as_bytes()))
    })
}

/// As `StorePreparedStatement` says it (`src/backend/commands/prepare.c`).
fn taken(name: &[u8]) -> ErrorResponse {
    let name = String::from_utf8_lossy(name);
    ErrorResponse {
        severity: Severity::Error,
        code: "42P05",
        message: format!("prepared statement \"{name}\" already exists"),
        hint: None,
    }
}

/// The client's session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientLost {
    #[error(transparent)]
    Stream(#[from] Lost),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("a statement of more than {max} bytes cannot be prepared through the pooler")]
    TooLong { max: usize },
}
