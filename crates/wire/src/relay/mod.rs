//! Both halves of a pooled conversation, without sockets: what a client says goes to a server, and
//! what the server says to whoever asked.
//!
//! ```text
//! bytes of a client ─► ClientHalf::speak ─► Cuts (for the server) + questions to its ServerHalf
//! bytes of a server ─► ServerHalf::hear ─► Cuts (for the client) + Event (for the pool)
//! ```

mod again;
mod ahead;
mod alone;
mod begin;
mod client_half;
mod cuts;
mod held;
mod linked;
mod misnamed;
mod names;
mod orphan;
mod own;
mod plain_set;
mod resets;
mod said;
mod server_half;
mod several;
mod tally;
mod unsure;

pub mod session;
pub mod statements;

pub use ahead::Ahead;
pub use begin::Begun;
pub use client_half::{ClientHalf, Followed, Then};
pub use cuts::Cuts;
pub use linked::Linked;
pub use misnamed::Called;
pub use orphan::as_error;
pub use said::ClientLost;
pub use server_half::{Event, PEEK_MAX, ServerHalf, ServerLost, Status};
pub use tally::Tally;

use crate::replies::{Asked, Question, Whose};
use again::{OUTDATED, UNKNOWN};
use statements::{Held, Names};

/// What an answer means for the statements of the client and of its server.
pub fn note(event: &Event<'_>, names: &mut Names, held: &mut Held) {
    match *event {
        // Their tags are statements, not changes of names.
        Event::Done(Question { asked: Asked::Bind | Asked::DescribeStatement, .. }) => {}
        Event::Done(Question { asked: Asked::Parse, whose: Whose::Nobodys, tag }) => {
            held.prove(tag)
        }
        Event::Done(Question { whose: Whose::Clients, tag, .. }) => {
            if let Some(number) = names.done(tag) {
                held.prove(number);
            }
        }
        Event::Done(Question { whose: Whose::Made, tag, .. }) => drop(names.done(tag)),
        Event::Failed(
            Question { asked: Asked::Bind | Asked::DescribeStatement, tag, .. },
            state,
        ) => match state {
            _ if tag == 0 => {}
            UNKNOWN => held.doubt_all(),
            OUTDATED => held.doubt(tag),
            _ => {}
        },
        Event::Failed(Question { whose: Whose::Clients, tag, .. }, _) => {
            if let Some(number) = names.failed(tag) {
                held.fail(number);
            }
        }
        Event::Misnamed(number, called) => {
            *called.borrow_mut() = names.called(number).map(Box::from);
        }
        Event::Command(b"DEALLOCATE\0", _) => names.taken(),
        Event::Command(tag, _) if alters(tag) => held.alter(),
        Event::Emptied { clients } => {
            if clients {
                names.clear();
            }
            held.clear();
        }
        Event::Ready(status) => {
            names.expect_taken(Vec::new());
            if status == Status::Idle {
                held.end_transaction();
            }
        }
        _ => {}
    }
}

/// What was asked and has not been done.
pub fn note_failed(question: Question, names: &mut Names, held: &mut Held) {
    match question {
        Question { asked: Asked::Bind | Asked::DescribeStatement, .. } => {}
        Question { asked: Asked::Parse, whose: Whose::Nobodys, tag } => held.fail(tag),
        Question { whose: Whose::Clients, tag, .. } => {
            if let Some(number) = names.passed_over(tag) {
                held.fail(number);
            }
        }
        Question { whose: Whose::Made, tag, .. } => drop(names.passed_over(tag)),
        _ => {}
    }
}

/// Whether what ended with this tag may have changed what texts mean: a client that parses one anew
/// must not get a plan of before.
fn alters(tag: &[u8]) -> bool {
    [&b"ALTER "[..], b"CREATE ", b"DROP ", b"DO\0"].iter().any(|start| tag.starts_with(start))
}
