//! A batch that can be said again: a server that answers with `0A000` that a plan is out of date,
//! or with `26000` that it has not the statement, has done nothing of it, and the client need not
//! hear of what is the pooler's to mend. A client that goes by what it was told of the rows before
//! must hear of `0A000`: it would read other rows than come.
//!
//! ```text
//! said from a clean server ─► Saying ── Sync ─► Said ── 0A000, 26000 ─► Failed ── Z ─► Due ─► once more
//!      too long, cut, a Query ─► Off    │ anything more of the client's, or of the server's ─► Off
//! ```

use crate::replies::{Asked, Question, Replies, Whose};

/// Bytes of a batch that is kept.
const KEPT_MAX: usize = 4 * 1024;
/// The statement is not there.
pub(super) const UNKNOWN: &[u8] = b"26000";
/// "cached plan must not change result type", among others.
pub(super) const OUTDATED: &[u8] = b"0A000";

/// What a client has said since its server was clean last.
#[derive(Default)]
pub(super) struct Again {
    state: State,
    bytes: Vec<u8>,
    /// It asks anew what rows will come.
    describes: bool,
}

/// There are values in it.
impl std::fmt::Debug for Again {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Again({:?}, {} bytes)", self.state, self.bytes.len())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum State {
    /// It cannot be said again.
    #[default]
    Off,
    Saying,
    /// Up to its Sync.
    Said,
    /// It is over as soon as the server is ready.
    Failed,
    /// It is to be said now.
    Due,
    /// It is being said for the second time, and there is no third.
    Repeating,
}

impl Again {
    /// The client says a message; `clean`: nothing was asked before it. `whole`: all of it is
    /// here.
    pub fn say(&mut self, clean: bool, kind: u8, message: &[u8], whole: bool) {
        if self.state == State::Repeating {
            return;
        }
        if clean {
            self.bytes.clear();
            self.describes = false;
            self.state = State::Saying;
        }
        let fits = whole && self.bytes.len() + message.len() <= KEPT_MAX;
        let of_batch = matches!(kind, b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S');
        self.state = match (self.state, fits && of_batch) {
            (State::Saying, true) => {
                self.bytes.extend_from_slice(message);
                self.describes |= matches!(kind, b'D' | b'P');
                if kind == b'S' { State::Said } else { State::Saying }
            }
            _ => State::Off,
        };
    }

    /// The client has heard something of it.
    pub fn heard(&mut self) {
        if self.state != State::Repeating {
            self.state = State::Off;
        }
    }

    /// An error with this SQLSTATE: whether the client need not hear it.
    pub fn mends(&self, replies: &Replies, state: &[u8]) -> bool {
        let failed = replies.open().find(|question| question.whose != Whose::Made);
        let by_us = failed.is_some_and(|Question { asked, whose, tag }| {
            let names_it = matches!(asked, Asked::Bind | Asked::DescribeStatement);
            names_it && *whose == Whose::Clients && *tag != 0
        });
        let known = state == UNKNOWN || state == OUTDATED && self.describes;
        self.state == State::Said && by_us && known
    }

    pub fn fail(&mut self) {
        self.state = State::Failed;
    }

    /// The server is ready. Whether that is nobody's news.
    pub fn ready(&mut self) -> bool {
        let failed = self.state == State::Failed;
        if failed {
            self.state = State::Due;
        }
        failed
    }

    /// What the client says behind it has to wait.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Failed | State::Due)
    }

    pub fn is_due(&self) -> bool {
        self.state == State::Due
    }

    /// What is to be said once more.
    pub fn begin(&mut self) -> Vec<u8> {
        self.state = State::Repeating;
        std::mem::take(&mut self.bytes)
    }

    /// It has been said.
    pub fn end(&mut self) {
        self.state = State::Off;
    }
}
