//! What has been asked of a server, for whoever counts.

use super::ahead::Ahead;
use crate::replies::{Asked, Question, Whose};

/// Numbers of messages.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Parse messages of clients.
    pub client_parses: u32,
    /// Parse messages that the server has got.
    pub server_parses: u32,
    pub binds: u32,
}

impl Tally {
    pub(super) fn note(&mut self, question: Question) {
        if Ahead::of(&question).is_some() {
            return;
        }
        match question.asked {
            Asked::Parse => {
                self.client_parses += u32::from(question.whose != Whose::Nobodys);
                self.server_parses += u32::from(question.whose != Whose::Made);
            }
            Asked::Bind => self.binds += 1,
            _ => {}
        }
    }
}
