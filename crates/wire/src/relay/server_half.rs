//! What one server connection says: to whom each message goes, and whether the server is clean.

use crate::Message;
use crate::authentication::message;
use crate::replies::{Asked, OutOfTurn, Question, Replies, Verdict, Whose};
use crate::walk::{HEAD_LEN, Lost, Sender, Step, Walk};

use super::Cuts;
use super::again::Again;
use super::ahead::Ahead;
use super::misnamed::{self, Called};
use super::orphan::{as_last, is_last};
use super::own::{is_last_question, is_quiet};
use super::tally::Tally;
use super::unsure::{self, is_unsure};

/// So much of a body is looked into at most, bytes: whoever reads from a server has room for a
/// head and this.
pub const PEEK_MAX: usize = 2_048;

/// ReadyForQuery's word on the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Idle,
    Open,
    Failed,
}

/// What the pool has to know of what a server said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A question is answered.
    Done(Question),
    /// A question has failed, by this SQLSTATE; what else has failed is in
    /// [`ServerHalf::take_failed`].
    Failed(Question, &'a [u8]),
    /// What it was told ahead of its client's word has failed, by an error with this body.
    NotAhead(Ahead, &'a [u8]),
    Ready(Status),
    /// ParameterStatus, its name and value each with a zero at the end.
    Parameter(&'a [u8]),
    /// CommandComplete of a client's statement, and whether all of it is here.
    Command(&'a [u8], bool),
    /// All prepared statements are gone. `clients`: a client's statement did it.
    Emptied {
        clients: bool,
    },
    /// A DataRow of the answer to the pooler's own question, and whether all of it is here.
    Row(&'a [u8], bool),
    /// The body of an error with which the server is about to end. The client has not heard it.
    LastWords(&'a [u8]),
    /// An error calls the statement with this number by the server's name for it.
    Misnamed(u32, &'a Called),
}

/// The server's side of its connection, from its first ReadyForQuery on.
#[derive(Debug)]
pub struct ServerHalf {
    walk: Walk,
    replies: Replies,
    status: Status,
    /// The body under way is the client's.
    passing: bool,
    /// What clients hear of questions that are asked in vain, by their tags.
    refusals: Vec<(u32, Vec<u8>)>,
    refused: u32,
    batch: u32,
    /// It has been asked something since the last Sync: a transaction has begun that only the
    /// next one ends.
    in_batch: bool,
    /// Its client has asked something since then.
    pub(super) in_clients_batch: bool,
    /// It has been sent Flush since it was asked last.
    flushed: bool,
    /// The client waits for answers without having ended its batch.
    awaited: bool,
    again: Again,
    /// See [`ServerHalf::fail_unsure`].
    fails_unsure: bool,
    unsure: bool,
    tally: Tally,
}

impl Default for ServerHalf {
    fn default() -> ServerHalf {
        ServerHalf {
            walk: Walk::new(Sender::Server),
            replies: Replies::default(),
            status: Status::Idle,
            passing: false,
            refusals: Vec::new(),
            refused: 0,
            batch: 0,
            fails_unsure: false,
            unsure: false,
            in_batch: false,
            in_clients_batch: false,
            flushed: false,
            awaited: false,
            again: Again::default(),
            tally: Tally::default(),
        }
    }
}

impl ServerHalf {
    /// Something is asked of it, or answered in its place; whether it will hear it.
    pub fn ask(&mut self, question: Question) -> bool {
        self.batch = self.batch.wrapping_add(u32::from(question.asked == Asked::Sync));
        self.flushed = false;
        match question.asked {
            Asked::Sync | Asked::Query | Asked::FunctionCall => {
                // It answers by itself.
                self.awaited = false;
                (self.in_batch, self.in_clients_batch) = (false, false);
            }
            Asked::CopyEnd => {}
            _ => {
                self.in_batch |= question.whose != Whose::Made;
                self.in_clients_batch |= matches!(question.whose, Whose::Clients | Whose::Refused);
            }
        }
        self.tally.note(question);
        self.replies.ask(question)
    }

    /// What has been asked since this was last taken.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Which batch is being asked: a Sync ends each, and what fails in one does not fail in another.
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// It is asked a Parse under a name that is taken; the client hears `error` in the place of that
    /// one, and whatever else may be wrong with it as it is.
    pub fn ask_in_vain(&mut self, error: Vec<u8>) {
        self.refused = self.refused.wrapping_add(1);
        self.refusals.push((self.refused, error));
        self.ask(Question { asked: Asked::Parse, whose: Whose::Refused, tag: self.refused });
        self.forget_refusals();
    }

    /// Whether a commit of which no standby is known to have it is an error to the client.
    pub fn fail_unsure(&mut self, fails: bool) {
        self.fails_unsure = fails;
    }

    pub fn status(&self) -> Status {
        self.status
    }

    pub fn replies(&self) -> &Replies {
        &self.replies
    }

    /// What has failed with the last error.
    pub fn take_failed(&mut self) -> impl Iterator<Item = Question> + '_ {
        self.replies.take_failed()
    }

    /// Something has been asked since the last Sync.
    pub fn in_batch(&self) -> bool {
        self.in_batch
    }

    /// The client has said Flush: what is made for it is due.
    pub(super) fn note_flush(&mut self) {
        self.awaited = true;
    }

    /// What it owes has to come before its client can go on: without a Sync it may keep it.
    pub(super) fn flush(&mut self, to_server: &mut Cuts) {
        self.awaited = true;
        if self.in_batch && !std::mem::replace(&mut self.flushed, true) {
            to_server.make(|out| message(out, b'H', &[]));
        }
    }

    /// So many errors are kept for what is asked in vain, bytes.
    pub(super) fn refusal_bytes(&self) -> usize {
        self.refusals.iter().map(|(_, error)| error.len()).sum()
    }

    pub(super) fn again(&mut self) -> &mut Again {
        &mut self.again
    }

    /// Its client's batch came to nothing by no fault of the client's, and is to be said once more:
    /// [`super::ClientHalf::say_again`].
    pub fn is_to_hear_again(&self) -> bool {
        self.again.is_due()
    }

    /// What its client said last is to be said once more, as soon as it is ready.
    pub(super) fn is_waiting_for_again(&self) -> bool {
        self.again.is_pending()
    }

    /// No transaction is open, not even one that a Sync ends.
    pub(super) fn is_idle(&self) -> bool {
        self.status == Status::Idle && !self.in_batch
    }

    /// No message is under way.
    pub fn is_between(&self) -> bool {
        self.walk.is_between()
    }

    /// Nothing is owed, no transaction is open, and no message is under way: another client may
    /// have it, as far as the protocol goes.
    pub fn is_clean(&self) -> bool {
        self.replies.is_settled() && self.is_quiet()
    }

    /// As far as is known nothing is owed, and yet one ReadyForQuery more may come: its client is
    /// done with it, and nobody else is to have it.
    pub fn is_spent(&self) -> bool {
        self.replies.is_spent() && self.is_quiet()
    }

    fn is_quiet(&self) -> bool {
        let between = self.walk.is_between() && !self.in_batch;
        between && self.status == Status::Idle && !self.again.is_pending()
    }

    /// Follows what the server says: puts into `to_client` what the client hears, tells `tell` what
    /// the pool has to know, and answers how many of `bytes` have been used; the rest is to be
    /// handed in again with more behind it.
    ///
    /// # Errors
    /// The server speaks no protocol that can be followed, or out of turn.
    pub fn hear(
        &mut self,
        bytes: &[u8],
        to_client: &mut Cuts,
        mut tell: impl FnMut(Event<'_>),
    ) -> Result<usize, ServerLost> {
        let mut at = 0;
        loop {
            match self.walk.step(&bytes[at..])? {
                Step::Rest(0) | Step::Short => {
                    // A server that is to speak first says when they are due: one write less. As
                    // PostgreSQL does, nothing goes out before a Flush or a Sync.
                    let awaited = self.awaited || self.replies.is_ready_made();
                    if awaited && self.replies.syncs() == 0 {
                        self.make_due(to_client, &mut tell);
                    }
                    return Ok(at);
                }
                Step::Rest(len) => {
                    if self.passing {
                        to_client.pass(at..at + len);
                    }
                    self.walk.pass(len);
                    at += len;
                }
                Step::Head { kind, body } => {
                    let there = &bytes[at + HEAD_LEN..];
                    if there.len() < peeked(kind, body, self.is_ours()) {
                        return Ok(at);
                    }
                    let here = &there[..there.len().min(body as usize)];
                    let mended = kind == b'E' && self.mend(here, &mut tell);
                    if !mended {
                        self.make_due(to_client, &mut tell);
                        self.passing = self.judge(kind, body, here, to_client, &mut tell)?;
                    }
                    let end = at + HEAD_LEN + here.len();
                    if self.passing {
                        to_client.pass(at..end);
                        self.again.heard();
                    }
                    // What is here of a body is no longer than the body.
                    self.walk.enter(body, u32::try_from(here.len()).unwrap_or(body));
                    at = end;
                }
            }
        }
    }

    /// Whether an error is one that the client need not hear: its batch is said again.
    fn mend(&mut self, body: &[u8], tell: &mut impl FnMut(Event<'_>)) -> bool {
        let state = sqlstate(body);
        if is_last(body) || !self.again.mends(&self.replies, state) {
            return false;
        }
        self.replies.unmake();
        if let Ok(Verdict::Failed(question)) = self.replies.hear(b'E') {
            tell(Event::Failed(question, state));
        }
        self.again.fail();
        self.passing = false;
        true
    }

    /// Whether the client hears it.
    fn judge(
        &mut self,
        kind: u8,
        body: u32,
        here: &[u8],
        to_client: &mut Cuts,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<bool, ServerLost> {
        if kind == b'E' && is_last(here) {
            tell(Event::LastWords(here));
            return Ok(false);
        }
        let verdict = self.replies.hear(kind)?;
        let asked_by_client = match verdict {
            Verdict::Pass => true,
            Verdict::Drop => false,
            Verdict::Done(question) | Verdict::Failed(question) => question.whose != Whose::Nobodys,
            Verdict::Aside => kind == b'A' || !self.is_ours(),
        };
        self.unsure |= kind == b'N' && self.fails_unsure && is_unsure(here);
        match (kind, verdict) {
            (b'E', Verdict::Failed(question)) => tell(failed(question, here)),
            (b'E', _) => tell(Event::LastWords(here)),
            (b'S', _) => tell(Event::Parameter(here)),
            (b'D', Verdict::Drop) => tell(Event::Row(here, here.len() == body as usize)),
            (b'C', _) if asked_by_client => tell(Event::Command(here, here.len() == body as usize)),
            _ => {}
        }
        if let Verdict::Done(question) = verdict {
            if question.whose == Whose::Refused {
                return Err(ServerLost::Taken);
            }
            if (Ahead::of(&question), question.asked) == (Some(Ahead::Begin), Asked::Execute) {
                self.status = Status::Open;
            }
            tell(Event::Done(question));
        }
        if let (b'C', b"DEALLOCATE ALL\0" | b"DISCARD ALL\0") = (kind, here) {
            tell(Event::Emptied { clients: asked_by_client });
        }
        if kind == b'Z' {
            self.status = status(here)?;
            tell(Event::Ready(self.status));
            if std::mem::take(&mut self.unsure) && asked_by_client {
                to_client.make(|out| unsure::error().encode(out));
            }
            if self.again.ready() {
                return Ok(false);
            }
        }
        if let Verdict::Failed(question) = verdict
            && let Some(error) = self.in_other_words(question, body, here, tell)
        {
            self.again.heard();
            to_client.make(|out| out.extend_from_slice(&error));
            return Ok(false);
        }
        // Whatever fails that its own statements need, the client hears of it.
        let told = matches!(verdict, Verdict::Failed(question) if !is_quiet(&question));
        Ok(asked_by_client && kind != b'E' || told)
    }

    /// What the client hears in the place of the server's error, if that is another.
    fn in_other_words(
        &mut self,
        question: Question,
        body: u32,
        here: &[u8],
        tell: &mut impl FnMut(Event<'_>),
    ) -> Option<Vec<u8>> {
        match self.refusal(question).filter(|_| sqlstate(here) == TAKEN) {
            None if is_last_question(&question) => as_last(body, here),
            None => misnamed::mended(&question, body, here, tell),
            refusal => refusal,
        }
    }

    /// What the client hears of it, if it was asked in vain.
    fn refusal(&mut self, question: Question) -> Option<Vec<u8>> {
        let of_it =
            |(tag, _): &(u32, Vec<u8>)| question.whose == Whose::Refused && *tag == question.tag;
        let at = self.refusals.iter().position(of_it);
        let error = at.map(|at| self.refusals.remove(at).1);
        self.forget_refusals();
        error
    }

    /// Those that the server passes over.
    fn forget_refusals(&mut self) {
        let failed = self.replies.failed();
        let passed_over =
            |tag: u32| failed.iter().any(|q| q.whose == Whose::Refused && q.tag == tag);
        self.refusals.retain(|(tag, _)| !passed_over(*tag));
    }

    /// What is asked now, the pooler asked.
    fn is_ours(&self) -> bool {
        let asked = self.replies.open().find(|question| question.whose != Whose::Made);
        asked.is_some_and(|question| question.whose == Whose::Nobodys)
    }

    fn make_due(&mut self, to_client: &mut Cuts, tell: &mut impl FnMut(Event<'_>)) {
        if !self.walk.is_between() {
            return;
        }
        while let Some(question) = self.replies.made() {
            to_client.make(|out| match question.asked {
                Asked::Parse => message(out, b'1', &[]),
                Asked::Close => message(out, b'3', &[]),
                Asked::Execute => message(out, b'C', &[DEALLOCATED]),
                Asked::Query => {
                    message(out, b'C', &[DEALLOCATED]);
                    message(out, b'Z', &[self.status.letter()]);
                }
                // Nothing else is ever made.
                _ => {}
            });
            self.again.heard();
            tell(Event::Done(question));
        }
    }
}

/// The tag of a statement that takes away one that no server is asked about.
const DEALLOCATED: &[u8] = b"DEALLOCATE\0";

impl Status {
    fn letter(self) -> &'static [u8] {
        match self {
            Status::Idle => b"I",
            Status::Open => b"T",
            Status::Failed => b"E",
        }
    }
}

fn failed(question: Question, error: &[u8]) -> Event<'_> {
    match Ahead::of(&question) {
        Some(ahead) => Event::NotAhead(ahead, error),
        None => Event::Failed(question, sqlstate(error)),
    }
}

/// `duplicate_prepared_statement`: it names the server's name.
const TAKEN: &[u8] = b"42P05";

/// Bytes of its body without which such a message is not judged.
fn peeked(kind: u8, body: u32, ours: bool) -> usize {
    let body = body as usize;
    match kind {
        b'Z' | b'S' | b'E' | b'C' | b'N' => body.min(PEEK_MAX),
        b'D' if ours => body.min(PEEK_MAX),
        _ => 0,
    }
}

fn status(body: &[u8]) -> Result<Status, ServerLost> {
    match body {
        b"I" => Ok(Status::Idle),
        b"T" => Ok(Status::Open),
        b"E" => Ok(Status::Failed),
        _ => Err(ServerLost::Status),
    }
}

/// Of an ErrorResponse; empty where it has none.
fn sqlstate(body: &[u8]) -> &[u8] {
    Message { kind: b'E', body }.sqlstate().unwrap_or_default()
}

/// The connection is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ServerLost {
    #[error("the server's messages cannot be followed: {0}")]
    Stream(#[from] Lost),
    #[error(transparent)]
    OutOfTurn(#[from] OutOfTurn),
    #[error("the server names no status of its transaction")]
    Status,
    #[error("the server took a statement under a name that it was to have already")]
    Taken,
}

#[cfg(test)]
mod tests;
