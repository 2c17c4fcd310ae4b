//! A client whose server is lost in the middle of something keeps its connection: it hears one error
//! for each answer that it waits for, and a transaction that it had begun can only be ended.
//!
//! ```text
//! asked, not answered          E Z for each Query and Sync
//! a batch without its Sync     E, and nothing more until the Sync: Z
//! a transaction, nothing asked the next statement gets E; COMMIT must not pass for done
//! then, in a transaction       all is refused (25P02) until ROLLBACK, as PostgreSQL does
//! ```

use crate::authentication::message;
use crate::error_response::{ErrorResponse, Severity};
use crate::replies::{Asked, Whose};

use super::ServerHalf;
use super::server_half::Status;

/// What a client without its server still has to hear.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Orphan {
    /// The transaction is lost, and it has not been ended.
    block: bool,
    /// The error that it has not heard yet.
    untold: Option<Vec<u8>>,
    /// Nothing is heard before the next Sync.
    skips: bool,
    /// What was bound last ends the transaction, and what was carried out has.
    bound: Option<Ends>,
}

/// How a statement ends a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ends {
    /// As if nothing had been done.
    Back,
    /// It was to be done.
    Done,
}

/// What such a client says, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Says {
    Query(Option<Ends>),
    Parse(Option<Ends>),
    Bind(Option<Ends>),
    Describe {
        statement: bool,
    },
    Execute,
    Close,
    Sync,
    FunctionCall,
    /// No good message.
    Malformed,
    /// Flush, and data of a COPY that is over.
    Nothing,
}

impl Orphan {
    /// `server` is lost, and `error` is what the client hears of it. Appends to `out` what it hears
    /// now; `None`: that is all.
    pub fn of(server: &ServerHalf, error: &[u8], out: &mut Vec<u8>) -> Option<Orphan> {
        let block = server.status() != Status::Idle || server.owes_begin();
        let (mut owed, mut begun) = (0_u32, false);
        for question in server.replies().open().filter(|q| q.whose != Whose::Nobodys) {
            match question.asked {
                Asked::Sync | Asked::Query | Asked::FunctionCall => {
                    owed += 1;
                    begun = false;
                }
                Asked::CopyEnd => {}
                _ => begun = true,
            }
        }
        // A batch that was to be said again.
        owed += u32::from(server.is_to_hear_again());
        for _ in 0..owed {
            out.extend_from_slice(error);
            ready(block, out);
        }
        let mut orphan = Orphan { block, ..Orphan::default() };
        if server.in_clients_batch || begun {
            // What has failed already has been told.
            if !server.replies().is_passing_over() {
                out.extend_from_slice(error);
            }
            orphan.skips = true;
        } else if owed == 0 && block {
            orphan.untold = Some(error.to_vec());
        }
        (orphan.skips || orphan.block).then_some(orphan)
    }

    /// Its transaction could not be begun by this error.
    pub fn of_begin(error: &[u8]) -> Orphan {
        Orphan { block: true, untold: Some(error.to_vec()), ..Orphan::default() }
    }

    /// Answers one message. `false`: it is an orphan no more.
    pub fn hear(&mut self, says: Says, out: &mut Vec<u8>) -> bool {
        if self.skips && says != Says::Sync {
            return true;
        }
        match says {
            Says::Query(Some(ends)) => {
                self.end(ends, out);
                ready(false, out);
            }
            Says::Query(None) | Says::FunctionCall => {
                self.refuse(out);
                ready(true, out);
            }
            Says::Parse(ends) => self.answer(ends.is_some(), b'1', out),
            Says::Bind(ends) => {
                self.bound = ends;
                self.answer(ends.is_some(), b'2', out);
            }
            Says::Describe { statement } => {
                if statement {
                    message(out, b't', &[&[0, 0]]);
                }
                message(out, b'n', &[]);
            }
            Says::Execute => match self.bound {
                Some(ends) => self.end(ends, out),
                None => self.answer(false, b'C', out),
            },
            Says::Close => message(out, b'3', &[]),
            Says::Sync => {
                self.skips = false;
                ready(self.block, out);
            }
            Says::Malformed => {
                out.extend(self.untold.take().unwrap_or_else(malformed));
                self.skips = true;
            }
            Says::Nothing => {}
        }
        let is_over = !self.block && matches!(says, Says::Query(_) | Says::Sync);
        !is_over
    }

    fn answer(&mut self, passes: bool, kind: u8, out: &mut Vec<u8>) {
        if passes {
            message(out, kind, &[]);
        } else {
            self.refuse(out);
            self.skips = true;
        }
    }

    fn refuse(&mut self, out: &mut Vec<u8>) {
        match self.untold.take() {
            Some(error) => out.extend(error),
            None => aborted().encode(out),
        }
    }

    /// A COMMIT of what is lost fails, unless the client has heard that it is.
    fn end(&mut self, ends: Ends, out: &mut Vec<u8>) {
        self.block = false;
        match self.untold.take() {
            Some(error) if ends == Ends::Done => {
                out.extend(error);
                self.skips = true;
            }
            _ => message(out, b'C', &[b"ROLLBACK\0"]),
        }
    }
}

/// Whether a statement of this text ends a transaction, and does nothing else.
pub(super) fn ends(text: &[u8]) -> Option<Ends> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.trim_end_matches(|c: char| c == ';' || c == '\0' || c.is_whitespace());
    let mut words = text.split_whitespace();
    let first = words.next()?.to_ascii_lowercase();
    let rest = words.next().map(str::to_ascii_lowercase);
    let alone = matches!(rest.as_deref(), None | Some("work" | "transaction"));
    match (&*first, alone && words.next().is_none()) {
        ("rollback" | "abort", true) => Some(Ends::Back),
        ("commit" | "end", true) => Some(Ends::Done),
        _ => None,
    }
}

/// The same error for a session that goes on: a server's last word is FATAL, and is not its
/// client's. `None`: it is none that can be read.
pub fn as_error(body: &[u8]) -> Option<Vec<u8>> {
    said_as(b"ERROR\0", body)
}

/// The same error for a session that ends by it, as far as all of it is here.
pub(super) fn as_last(body: u32, here: &[u8]) -> Option<Vec<u8>> {
    said_as(b"FATAL\0", here).filter(|_| here.len() == body as usize)
}

fn said_as(severity: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let fields = body.strip_suffix(&[0])?.strip_suffix(&[0])?;
    let mut new = Vec::with_capacity(body.len() + 2);
    for field in fields.split(|byte| *byte == 0) {
        match field.first()? {
            kind @ (b'S' | b'V') => new.extend([&[*kind][..], severity].concat()),
            _ => new.extend([field, &[0]].concat()),
        }
    }
    let mut out = Vec::new();
    message(&mut out, b'E', &[&new, &[0]]);
    Some(out)
}

/// Whether an ErrorResponse is a session's last.
pub(super) fn is_last(body: &[u8]) -> bool {
    let mut fields = body.split(|byte| *byte == 0);
    fields.any(|field| matches!(field, b"VFATAL" | b"VPANIC"))
}

fn ready(block: bool, out: &mut Vec<u8>) {
    message(out, b'Z', &[if block { b"E" } else { b"I" }]);
}

/// As `exec_simple_query` says it (`src/backend/tcop/postgres.c`).
fn aborted() -> ErrorResponse {
    ErrorResponse {
        severity: Severity::Error,
        code: "25P02",
        message: "current transaction is aborted, commands ignored until end of transaction block"
            .to_owned(),
        hint: None,
    }
}

/// As `pq_getmsgend` and its neighbours say it (`src/backend/libpq/pqformat.c`), each with other words.
fn malformed() -> Vec<u8> {
    let mut out = Vec::new();
    let message = "invalid message format".to_owned();
    ErrorResponse { severity: Severity::Error, code: "08P01", message, hint: None }
        .encode(&mut out);
    out
}

#[cfg(test)]
mod tests;
