//! What one client says: each message becomes questions to its server, with the names of its
//! statements exchanged for the server's.
//!
//! | client says | the server has the statement | it has not |
//! |---|---|---|
//! | Parse | nothing is sent, ParseComplete is made | Parse, under the server's name |
//! | Bind, Describe | its name exchanged | Parse before it, whose answer nobody hears |
//! | Close of a statement | nothing is sent, CloseComplete is made | the same |
//! | DEALLOCATE of one that it named by Parse | nothing is sent, its answer is made | the same |

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::error_response::{ErrorResponse, Severity};
use crate::frontend::{Bind, Named, Parse};
use crate::replies::{Asked, Question, Whose};
use crate::walk::{HEAD_LEN, Lost, Sender, Step, Walk};

use super::linked::Linked;
use super::orphan::Orphan;
use super::plain_set::Says;
use super::resets::{Resets, resets};
use super::said::{ClientLost, Message, Said};
use super::server_half::{PEEK_MAX, ServerHalf, Status};
use super::session::{Leaves, left_by};
use super::statements::{Has, Names, Sense, Statement};

/// So many answers may be owed; then the client has to read some.
const OPEN_MAX: usize = 4_096;
/// The same, bytes of errors that are kept for what is asked in vain.
const REFUSALS_MAX: usize = 64 * 1024;
/// Portals that take statements away and have not been carried out; others are taken for such.
const PORTALS_MAX: usize = 64;

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

/// A statement that takes others away, bound to a portal.
#[derive(Debug)]
struct Taker {
    statement: Rc<Statement>,
    /// The portal ends with its batch, or with its transaction block.
    batch: u32,
    in_block: bool,
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
    /// Portals that take statements away.
    portals: BTreeMap<Box<[u8]>, Taker>,
    /// It has said what may leave something in its session.
    leaves: Option<Leaves>,
    /// What it has said since its server was clean last.
    pub(super) says: Says,
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
            portals: BTreeMap::new(),
            leaves: None,
            says: Says::Nothing,
        }
    }

    /// What it calls its statements.
    pub fn names(&mut self) -> &mut Names {
        &mut self.names
    }

    /// How many statements it has prepared under names.
    pub fn prepared(&self) -> usize {
        self.names.count()
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
                Step::Head { .. } if is_full(linked.server) => return Ok(waits(at, linked)),
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
                        return Ok(waits(at, linked));
                    }
                    let end = at + HEAD_LEN + here.len();
                    let clean = linked.server.is_clean() || linked.server.is_just_told();
                    self.says.add(clean, &said);
                    linked.server.again().say(clean, kind, &bytes[at..end], message.is_whole());
                    self.passing = true;
                    self.one(&said, &message, linked);
                    // What is here of a body is no longer than the body.
                    self.walk.enter(body, u32::try_from(here.len()).unwrap_or(body));
                    at = end;
                }
            }
        }
    }

    /// Says once more what came to nothing ([`ServerHalf::is_to_hear_again`]); what goes to the
    /// server is cut out of the bytes that are given back.
    ///
    /// # Errors
    /// As with [`ClientHalf::speak`].
    pub fn say_again(&mut self, linked: &mut Linked<'_>) -> Result<Vec<u8>, ClientLost> {
        let bytes = linked.server.again().begin();
        let said = self.speak(&bytes, linked);
        linked.server.again().end();
        said.map(|_| bytes)
    }

    /// Bytes of its body without which such a message cannot be dealt with.
    fn wanted(&self, kind: u8, body: u32) -> Result<usize, ClientLost> {
        let body = body as usize;
        match kind {
            b'P' if body > self.parse_max => Err(ClientLost::TooLong { max: self.parse_max }),
            b'P' | b'D' | b'C' => Ok(body),
            b'B' => Ok(body.min(PEEK_MAX)),
            b'Q' => Ok(body.min(self.parse_max)),
            b'E' => Ok(body),
            b'p' => Err(ClientLost::Stream(Lost::Kind(b'p'))),
            _ => Ok(0),
        }
    }

    /// Its server has answered everything: nothing that it said before is to be waited for.
    pub fn settle(&mut self) {
        self.resets = false;
    }

    /// What it names means one thing or another by how an earlier batch ends.
    fn is_unsure(&mut self, said: &Said<'_>, linked: &Linked<'_>) -> bool {
        let server = &linked.server;
        if server.replies().is_empty() {
            self.resets = false;
            if server.is_idle() {
                self.portals.clear();
            }
        }
        let unsure = match said {
            // Whatever it meant before.
            Said::Parse(Parse { name: [], .. }) => false,
            // Whether the server is to be asked at all depends on how the transaction stands.
            Said::Query(text) => {
                // It is looked into where the client does not wait only.
                let taken = || match resets(text) {
                    Some(Resets::One(name)) => self.names.may_have(&name),
                    Some(Resets::Perhaps) => self.may_take_several(text),
                    None => false,
                };
                !server.replies().is_empty() && taken()
            }
            Said::Execute(portal) => {
                let one = |taker: &Taker| matches!(taker.statement.resets, Some(Resets::One(_)));
                !server.replies().is_empty() && self.portals.get(*portal).is_some_and(one)
            }
            Said::Bind(Bind { statement, .. })
                if self.names.get(statement).is_some_and(|it| it.resets.is_some()) =>
            {
                // In its own batch the transaction stands as it did before.
                server.replies().syncs() > 0
            }
            // Whichever it is.
            _ => said.statement().is_some_and(|name| self.names.is_unsure(name, server.batch())),
        };
        self.resets || unsure || server.is_waiting_for_again()
    }

    fn one(&mut self, said: &Said<'_>, message: &Message<'_>, linked: &mut Linked<'_>) {
        match said {
            Said::Parse(parse) => self.parse(parse, message, linked),
            Said::Bind(bind) => self.bind(bind, message, linked),
            Said::Describe(named) => self.describe(named, message, linked),
            Said::Close(named) => self.close(named, message, linked),
            Said::Query(text) => self.query(text, message, linked),
            Said::Execute(portal) => self.execute(portal, message, linked),
            Said::CopyData if !linked.server.replies().expects_data() => self.passing = false,
            Said::CopyData => message.pass(linked.to_server),
            Said::Malformed(asked) => {
                // A server that takes it knows more of it than is known here, and is lost.
                self.ask(*asked, Whose::Refused, 0, linked);
                message.pass(linked.to_server);
            }
            Said::Plain(asked) => self.plain(*asked, message, linked),
        }
    }

    /// It names nothing, and goes to the server as it is.
    fn plain(&mut self, asked: Option<Asked>, message: &Message<'_>, linked: &mut Linked<'_>) {
        if message.kind == b'H' {
            linked.server.note_flush();
        }
        if let Some(asked) = asked {
            if asked == Asked::FunctionCall {
                self.note_leaves(Some(&Leaves { forever: true, ..Leaves::default() }));
            }
            self.ask(asked, Whose::Clients, 0, linked);
        }
        message.pass(linked.to_server);
    }

    fn query(&mut self, text: &[u8], message: &Message<'_>, linked: &mut Linked<'_>) {
        self.note_leaves(left_by(text).as_ref());
        if !message.is_whole() {
            self.note_leaves(Some(&Leaves { forever: true, ..Leaves::default() }));
        }
        let taken = if message.is_whole() { resets(text) } else { Some(Resets::Perhaps) };
        // PostgreSQL gives the unnamed statement up at each Query.
        let gives_up = self.names.may_have(b"");
        let batch = linked.server.batch();
        let tag = if gives_up { self.names.change(b"", None, batch) } else { 0 };
        if let Some(Resets::One(name)) = &taken
            && self.takes_away(name, Asked::Query, linked)
        {
            self.names.done(tag);
            return;
        }
        let perhaps = taken == Some(Resets::Perhaps);
        if perhaps && message.is_whole() && self.takes_several(text, tag, message, linked) {
            return;
        }
        self.resets |= perhaps;
        self.ask(Asked::Query, Whose::Clients, tag, linked);
        message.pass(linked.to_server);
    }

    fn execute(&mut self, portal: &[u8], message: &Message<'_>, linked: &mut Linked<'_>) {
        let (batch, status) = (linked.server.batch(), linked.server.status());
        let taker = self
            .portals
            .get(portal)
            .filter(|taker| taker.batch == batch || taker.in_block && status == Status::Open);
        let statement = taker.map(|taker| taker.statement.clone());
        match statement.as_ref().and_then(|statement| statement.resets.as_ref()) {
            Some(Resets::One(name)) if self.takes_away(name, Asked::Execute, linked) => return,
            taken => self.resets |= taken == Some(&Resets::Perhaps),
        }
        self.ask(Asked::Execute, Whose::Clients, 0, linked);
        message.pass(linked.to_server);
    }

    /// DEALLOCATE of one of its own: the name is given up here, the statement may be others' too.
    /// Whether that was so: an aborted transaction takes no such thing, and the server says so.
    fn takes_away(&mut self, name: &[u8], asked: Asked, linked: &mut Linked<'_>) -> bool {
        let server = &linked.server;
        let replies = server.replies();
        let settled = replies.is_settled() || replies.is_spent();
        if !settled || server.status() == Status::Failed || self.names.get(name).is_none() {
            return false;
        }
        if asked == Asked::Query && server.in_batch() {
            // As a Query does, it ends what was begun without a Sync.
            linked.server.sync(linked.to_server);
        }
        let server = &linked.server;
        let tag = self.names.change(name, None, server.batch());
        self.ask(asked, Whose::Made, tag, linked);
        self.passing = false;
        true
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
        let has = match linked.held.has_anew(number, linked.server.batch()) {
            // Then it must be the server that answers: an aborted transaction takes no Parse.
            Has::Yes if linked.server.may_have_failed() => Has::Perhaps,
            has => has,
        };
        linked.forget(&statement, has);
        let whose = if has == Has::Yes { Whose::Made } else { Whose::Clients };
        let tag = self.names.change(parse.name, Some(statement.clone()), linked.server.batch());
        let heard = self.ask(Asked::Parse, whose, tag, linked);
        if has != Has::Yes {
            if heard {
                linked.held.add(&statement, linked.server.batch());
            }
            message.renamed(0, parse.name, statement.name, linked.to_server);
        }
    }

    /// The server has to refuse it by itself, so that it passes over the rest of the batch: it gets
    /// the client's text under a name that it has.
    fn parse_taken(&mut self, name: &[u8], message: &Message<'_>, linked: &mut Linked<'_>) {
        let Some(mut statement) = self.names.get(name).cloned() else { return };
        if linked.held.has(statement.number, linked.server.batch()) != Has::Yes {
            // To prepare that anew may fail by itself; no transaction refuses an empty one.
            let (text, types) = (Box::default(), [0, 0].into());
            statement = linked.known.of(Sense { text, types, settings: 0 });
        }
        linked.prepare(&statement);
        let mut error = Vec::new();
        taken(name).encode(&mut error);
        linked.server.ask_in_vain(error);
        message.renamed(0, name, statement.name, linked.to_server);
    }

    fn bind(&mut self, bind: &Bind<'_>, message: &Message<'_>, linked: &mut Linked<'_>) {
        let statement = self.prepare(bind.statement, linked);
        let tag = statement.as_ref().map_or(0, |statement| statement.number);
        self.ask(Asked::Bind, Whose::Clients, tag, linked);
        let from = bind.portal.len() + 1;
        let name = statement.as_ref().map(|it| (from, bind.statement, it.name));
        message.pass_renamed(name, linked.to_server);
        self.portals.remove(bind.portal);
        if let Some(statement) = statement.filter(|statement| statement.resets.is_some()) {
            if self.portals.len() < PORTALS_MAX {
                let (batch, status) = (linked.server.batch(), linked.server.status());
                let in_block = status == Status::Open || linked.server.owes_begin();
                self.portals.insert(bind.portal.into(), Taker { statement, batch, in_block });
            } else {
                self.resets = true;
            }
        }
    }

    fn describe(&mut self, named: &Named<'_>, message: &Message<'_>, linked: &mut Linked<'_>) {
        let (asked, tag, name) = match named {
            Named::Portal(_) => (Asked::DescribePortal, 0, None),
            Named::Statement(name) => {
                let statement = self.prepare(name, linked);
                let tag = statement.as_ref().map_or(0, |statement| statement.number);
                (Asked::DescribeStatement, tag, statement.map(|it| (1, *name, it.name)))
            }
        };
        self.ask(asked, Whose::Clients, tag, linked);
        message.pass_renamed(name, linked.to_server);
    }

    fn close(&mut self, named: &Named<'_>, message: &Message<'_>, linked: &mut Linked<'_>) {
        match named {
            Named::Statement(name) if self.names.get(name).is_some() => {
                let tag = self.names.change(name, None, linked.server.batch());
                self.ask(Asked::Close, Whose::Made, tag, linked);
                self.passing = false;
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

    /// Whether the server will hear it. A tag is a change of a name, or a statement that is bound
    /// or described.
    fn ask(&mut self, asked: Asked, whose: Whose, tag: u32, linked: &mut Linked<'_>) -> bool {
        let heard = linked.server.ask(Question { asked, whose, tag });
        if !heard && !matches!(asked, Asked::Bind | Asked::DescribeStatement) {
            self.names.passed_over(tag);
        }
        heard
    }

    /// Sees to it that the server has the statement of that name; `None`: the client has none, and
    /// the server's own error is the right one.
    fn prepare(&mut self, name: &[u8], linked: &mut Linked<'_>) -> Option<Rc<Statement>> {
        let statement = self.names.get(name)?.clone();
        if statement.leaves.is_some() {
            note_leaves(&mut self.leaves, statement.leaves.as_ref());
        }
        linked.prepare(&statement);
        Some(statement)
    }
}

/// The client has to read before more is asked for it.
fn is_full(server: &ServerHalf) -> bool {
    server.replies().len() >= OPEN_MAX || server.refusal_bytes() >= REFUSALS_MAX
}

/// Until the server has answered, which it need not do at once without a Sync.
fn waits(at: usize, linked: &mut Linked<'_>) -> Followed {
    linked.server.flush(linked.to_server);
    Followed { used: at, then: Then::Answers }
}

fn note_leaves(all: &mut Option<Leaves>, leaves: Option<&Leaves>) {
    if let Some(leaves) = leaves {
        all.get_or_insert_default().add(leaves);
    }
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
