//! What a server still owes, in the order in which it was asked: each answer is the client's, or
//! nobody's because the pooler asked, or one that the pooler makes because the server never heard.
//!
//! ```text
//! asked    Parse(nobody)  Bind  Execute  Close(made)  Sync
//! server   1              2     D D C                 Z
//! client                  2     D D C    3            Z
//! ```
//! After an error the server passes over everything up to the next Sync, and owes nothing for it;
//! in COPY FROM it passes over Sync. Both is followed here: a server whose queue is not empty, or
//! which says what nobody asked for, never goes back to its pool.
//!
//! Source: PostgreSQL documentation, "Message Flow"; `PostgresMain` in
//! `src/backend/tcop/postgres.c` (`ignore_till_sync`); `CopyGetData` in
//! `src/backend/commands/copyfromparse.c`.

use std::collections::VecDeque;

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    Parse,
    Bind,
    DescribeStatement,
    DescribePortal,
    Execute,
    Close,
    Sync,
    Query,
    FunctionCall,
    /// CopyDone or CopyFail: nothing is owed for it, but where it stands tells what COPY has read.
    CopyEnd,
}

/// Whose the answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    Clients,
    /// The pooler asked.
    Nobodys,
    /// The server was not asked, and the answer is made when it is its turn.
    Made,
    /// The server is asked what it must refuse, and the client hears another error.
    Refused,
}

/// One question. `tag` is whoever asks' own: which statement it was, say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    pub asked: Asked,
    pub whose: Whose,
    pub tag: u32,
}

/// What is to become of a message of the server's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The client gets it.
    Pass,
    /// The client does not.
    Drop,
    /// The answer to this question is complete with it.
    Done(Question),
    /// An error: the question has failed, and with it all up to the next Sync
    /// ([`Replies::take_failed`]).
    Failed(Question),
    /// Nobody's answer: a notice, a notification, a parameter, the last words of a server that
    /// ends.
    Aside,
}

/// No server says that here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the server sent message `{}` out of turn", char::from(*.0))]
pub struct OutOfTurn(pub u8);

/// The questions of one server connection.
#[derive(Debug, Default)]
pub struct Replies {
    open: VecDeque<Question>,
    failed: Vec<Question>,
    /// Sync, Query and FunctionCall that have not been answered.
    syncs: u32,
    /// The server passes over everything until a Sync that it has not been sent.
    passing_over: bool,
    /// COPY FROM has begun.
    copying: bool,
    /// Something was heard of the first one.
    begun: bool,
    /// Syncs that COPY FROM was sent before the end of its data: it passes over what it reads, and
    /// leaves what it has not read to the session when it fails.
    early: u32,
    /// Of those, what a failed one may have left: each may be answered yet, or not.
    stray: u32,
}

impl Replies {
    /// Nothing is owed, and the next message will be heard.
    pub fn is_settled(&self) -> bool {
        self.is_quiet() && self.stray == 0
    }

    /// Nothing is owed for sure, and something perhaps.
    pub fn is_spent(&self) -> bool {
        self.is_quiet() && self.stray > 0
    }

    fn is_quiet(&self) -> bool {
        self.open.is_empty() && !self.passing_over && !self.copying
    }

    /// All that are open, in their order.
    pub fn open(&self) -> impl Iterator<Item = &Question> {
        self.open.iter()
    }

    /// Everything is passed over until a Sync that has not been asked.
    pub fn is_passing_over(&self) -> bool {
        self.passing_over
    }

    /// Questions that are open; who asks bounds them.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether anything is owed that the client has asked for.
    pub fn owe_the_client(&self) -> bool {
        self.open.iter().any(|question| question.whose != Whose::Nobodys)
    }

    /// ReadyForQuery messages that are owed.
    pub fn syncs(&self) -> u32 {
        self.syncs
    }

    /// COPY FROM has begun, and the server reads data.
    pub fn is_copying(&self) -> bool {
        self.copying
    }

    /// Data that comes now may be read: COPY FROM has begun, or may with what is asked.
    pub fn expects_data(&self) -> bool {
        self.copying || !self.open.is_empty()
    }

    /// A question is asked after all others. Whether the server will hear it: what it is known to
    /// pass over has failed already.
    pub fn ask(&mut self, question: Question) -> bool {
        let Question { asked, .. } = question;
        if self.passing_over && asked != Asked::Sync {
            self.failed.push(question);
            return false;
        }
        // Nothing has been said yet that is no data.
        let reads_data = self.copying && self.open.len() == 1;
        let unheard = match asked {
            Asked::Sync => reads_data,
            // A server that copies nothing does not mind it.
            Asked::CopyEnd => self.open.is_empty(),
            _ => false,
        };
        if unheard {
            self.early += u32::from(asked == Asked::Sync);
            return true;
        }
        if asked == Asked::Sync {
            self.passing_over = false;
        }
        self.syncs += u32::from(is_ready_owed(&question));
        self.open.push_back(question);
        true
    }

    /// The next answer that is to be made, if it is its turn.
    pub fn made(&mut self) -> Option<Question> {
        self.open.front().filter(|question| question.whose == Whose::Made)?;
        let made = self.open.pop_front();
        self.forget_copy_ends();
        made
    }

    /// The whole answer to a Query is to be made, and nothing else comes before it.
    pub fn is_ready_made(&self) -> bool {
        self.open.iter().take_while(|q| q.whose == Whose::Made).any(|q| q.asked == Asked::Query)
    }

    /// The answers that are next are not made: what comes after them has failed, and the client is
    /// to hear of none of it.
    pub fn unmake(&mut self) {
        while let Some(made) = self.made() {
            self.failed.push(made);
        }
    }

    /// What has failed since this was last asked: the server has done nothing of it.
    pub fn take_failed(&mut self) -> impl Iterator<Item = Question> + '_ {
        self.failed.drain(..)
    }

    /// The same, and it stays.
    pub fn failed(&self) -> &[Question] {
        &self.failed
    }

    /// The server says a message of this kind. What is to be made first ([`Replies::made`]) has
    /// been made.
    ///
    /// # Errors
    /// It fits no question.
    pub fn hear(&mut self, kind: u8) -> Result<Verdict, OutOfTurn> {
        if matches!(kind, b'N' | b'S' | b'A') {
            return Ok(Verdict::Aside);
        }
        if kind == b'Z' && self.is_stray() {
            self.stray -= 1;
            self.passing_over = false;
            return Ok(Verdict::Pass);
        }
        let Some(question) = self.open.front().copied() else {
            return if kind == b'E' { Ok(Verdict::Aside) } else { Err(OutOfTurn(kind)) };
        };
        self.begun = true;
        match (kind, question.asked) {
            (b'E', _) => Ok(self.fail(question)),
            (b'1', Asked::Parse)
            | (b'2', Asked::Bind)
            | (b'3', Asked::Close)
            | (b'T' | b'n', Asked::DescribeStatement | Asked::DescribePortal)
            | (b'C' | b'I' | b's', Asked::Execute)
            | (b'Z', Asked::Sync | Asked::Query | Asked::FunctionCall) => Ok(self.finish(question)),
            (b'G', Asked::Execute | Asked::Query) => {
                self.begin_copy();
                Ok(passing(question))
            }
            (b'C', Asked::Query) => {
                self.end_copy(1);
                Ok(passing(question))
            }
            (b't', Asked::DescribeStatement)
            | (b'D' | b'H' | b'W' | b'd' | b'c', Asked::Execute | Asked::Query)
            | (b'T' | b'I', Asked::Query)
            | (b'V', Asked::FunctionCall) => Ok(passing(question)),
            _ => Err(OutOfTurn(kind)),
        }
    }

    /// A ReadyForQuery that answers none of what is open: a Query's answer begins otherwise.
    fn is_stray(&self) -> bool {
        let fits = match self.open.front() {
            Some(question) if question.asked == Asked::Sync => true,
            Some(question) => ends_a_batch(question.asked) && self.begun,
            None => false,
        };
        self.stray > 0 && !fits
    }

    fn finish(&mut self, question: Question) -> Verdict {
        self.open.pop_front();
        self.begun = false;
        self.syncs -= u32::from(is_ready_owed(&question));
        if matches!(question.asked, Asked::Execute | Asked::Query) {
            self.end_copy(0);
        }
        self.forget_copy_ends();
        Verdict::Done(question)
    }

    /// The server passes over everything up to the next Sync; of a Query and its like only the
    /// rest of it, which its ReadyForQuery ends.
    fn fail(&mut self, question: Question) -> Verdict {
        let early = std::mem::take(&mut self.early);
        self.stray += if std::mem::take(&mut self.copying) { early } else { 0 };
        if ends_a_batch(question.asked) {
            return Verdict::Failed(question);
        }
        let until = self.open.iter().position(|q| q.asked == Asked::Sync);
        self.passing_over = until.is_none();
        self.begun = false;
        for passed_over in self.open.drain(..until.unwrap_or(self.open.len())) {
            self.syncs -= u32::from(is_ready_owed(&passed_over));
            self.failed.push(passed_over);
        }
        Verdict::Failed(question)
    }

    /// The Syncs behind the statement are read as data, and passed over, up to the end of the data
    /// or to what is none.
    fn begin_copy(&mut self) {
        self.copying = true;
        let behind = self.open.iter().skip(1);
        let early = behind.take_while(|question| question.asked == Asked::Sync).count();
        self.open.drain(1..=early);
        let early = u32::try_from(early).unwrap_or(u32::MAX);
        self.syncs -= early;
        self.early += early;
    }

    fn end_copy(&mut self, at: usize) {
        self.early = 0;
        if std::mem::take(&mut self.copying)
            && self.open.get(at).is_some_and(|question| question.asked == Asked::CopyEnd)
        {
            self.open.remove(at);
        }
    }

    /// Ends of data for statements that wanted none.
    fn forget_copy_ends(&mut self) {
        while self.open.front().is_some_and(|question| question.asked == Asked::CopyEnd) {
            self.open.pop_front();
        }
    }
}

/// Answered by ReadyForQuery.
fn ends_a_batch(asked: Asked) -> bool {
    matches!(asked, Asked::Sync | Asked::Query | Asked::FunctionCall)
}

/// By the server: what is made is nobody's debt.
fn is_ready_owed(question: &Question) -> bool {
    ends_a_batch(question.asked) && question.whose != Whose::Made
}

fn passing(question: Question) -> Verdict {
    match question.whose {
        Whose::Nobodys => Verdict::Drop,
        Whose::Clients | Whose::Made | Whose::Refused => Verdict::Pass,
    }
}

#[cfg(test)]
mod tests;
