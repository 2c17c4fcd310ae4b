//! A client's server while it has one, and the statements that the server is to have.

use std::rc::Rc;

use crate::replies::{Asked, Question, Whose};

use super::Cuts;
use super::server_half::ServerHalf;
use super::statements::{Has, Held, Known, Statement};

/// The server that a client has for now, and what its thread knows.
#[derive(Debug)]
pub struct Linked<'a> {
    pub server: &'a mut ServerHalf,
    pub held: &'a mut Held,
    pub known: &'a mut Known,
    /// See [`super::statements::Sense::settings`].
    pub settings: u32,
    /// What goes to it of what the client says, and what is made for it.
    pub to_server: &'a mut Cuts,
}

impl Linked<'_> {
    /// A statement that the server may or may not have is closed, which is no error either way,
    /// before it is prepared again.
    pub(super) fn forget(&mut self, statement: &Statement, has: Has) {
        if has == Has::Perhaps {
            let (asked, whose) = (Asked::Close, Whose::Nobodys);
            self.server.ask(Question { asked, whose, tag: statement.number });
            self.to_server.make(|out| statement.name.write_close(out));
        }
    }

    /// Sees to it that the server has the statement.
    pub(super) fn prepare(&mut self, statement: &Rc<Statement>) {
        let (batch, tag) = (self.server.batch(), statement.number);
        let has = self.held.has(tag, batch);
        if has == Has::Yes {
            return;
        }
        self.forget(statement, has);
        if self.server.ask(Question { asked: Asked::Parse, whose: Whose::Nobodys, tag }) {
            self.held.add(statement, batch);
        }
        self.to_server.make(|out| statement.write_parse(out));
    }
}
