//! Both halves of a pooled conversation, without sockets: what a client says goes to a server, and
//! what the server says to whoever asked.
//!
//! ```text
//! bytes of a client ─► ClientHalf::speak ─► Cuts (for the server) + questions to its ServerHalf
//! bytes of a server ─► ServerHalf::hear ─► Cuts (for the client) + Event (for the pool)
//! ```

mod alone;
mod client_half;
mod cuts;
mod orphan;
mod server_half;

pub mod session;
pub mod statements;

pub use client_half::{ClientHalf, ClientLost, Followed, Linked, Then};
pub use cuts::Cuts;
pub use orphan::as_error;
pub use server_half::{Event, PEEK_MAX, ServerHalf, ServerLost, Status};

use crate::replies::{Asked, Question, Whose};
use statements::{Held, Names};

/// What an answer means for the statements of the client and of its server.
pub fn note(event: &Event<'_>, names: &mut Names, held: &mut Held) {
    match event {
        Event::Done(Question { asked: Asked::Parse, whose: Whose::Nobodys, tag }) => {
            held.prove(*tag)
        }
        Event::Done(Question { whose: Whose::Clients, tag, .. }) => {
            if let Some(number) = names.done(*tag) {
                held.prove(number);
            }
        }
        Event::Done(Question { whose: Whose::Made, tag, .. }) => drop(names.done(*tag)),
        Event::Failed(Question { whose: Whose::Clients, tag, .. }, _) => {
            if let Some(number) = names.failed(*tag) {
                held.doubt(number);
            }
        }
        Event::Command(b"DEALLOCATE ALL\0" | b"DISCARD ALL\0", _) => {
            names.clear();
            held.clear();
        }
        _ => {}
    }
}

/// What was asked and has not been done.
pub fn note_failed(question: Question, names: &mut Names, held: &mut Held) {
    match question {
        Question { asked: Asked::Parse, whose: Whose::Nobodys, tag } => held.doubt(tag),
        Question { whose: Whose::Clients, tag, .. } => {
            if let Some(number) = names.passed_over(tag) {
                held.doubt(number);
            }
        }
        Question { whose: Whose::Made, tag, .. } => drop(names.passed_over(tag)),
        _ => {}
    }
}
