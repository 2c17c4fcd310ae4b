//! Queries that the pooler asks by itself, and Syncs, and who hears of it when one fails.

use crate::authentication::message;
use crate::replies::{Asked, Question, Whose};

use super::Cuts;
use super::ahead::Ahead;
use super::server_half::ServerHalf;

/// The tag of a Query of the pooler's own of whose failure nobody hears.
const QUIET: u32 = u32::MAX;

impl ServerHalf {
    /// The pooler asks by itself. Its failure is the last that the client hears, unless it is `quiet`.
    pub fn query(&mut self, text: &str, quiet: bool, to_server: &mut Cuts) {
        let tag = if quiet { QUIET } else { 0 };
        self.ask(Question { asked: Asked::Query, whose: Whose::Nobodys, tag });
        to_server.make(|out| message(out, b'Q', &[text.as_bytes(), &[0]]));
    }

    /// A Sync of the pooler's own.
    pub(super) fn sync(&mut self, to_server: &mut Cuts) {
        self.ask(Question { asked: Asked::Sync, whose: Whose::Nobodys, tag: 0 });
        to_server.make(|out| message(out, b'S', &[]));
    }
}

/// The session ends by its failure.
pub(super) fn is_last_question(question: &Question) -> bool {
    *question == Question { asked: Asked::Query, whose: Whose::Nobodys, tag: 0 }
}

/// Nobody hears of its failure.
pub(super) fn is_quiet(question: &Question) -> bool {
    let check = Question { asked: Asked::Query, whose: Whose::Nobodys, tag: QUIET };
    *question == check || Ahead::of(question).is_some()
}
