//! DEALLOCATE of statements that a client has named by Parse, in a Query of several statements: the
//! server is to take it, in its turn, and knows none of them by the client's name.
//!
//! ```text
//! client  Query `SELECT 1; DEALLOCATE a`
//! server  Close a, Parse a ``   Query `SELECT 1; DEALLOCATE a`   Close a, Sync
//! ```
//! An empty statement has the name meanwhile: no transaction, not even one that has failed, refuses
//! it. What has been taken away is known by the tags of the answer.

use std::collections::BTreeSet;

use crate::authentication::message;
use crate::replies::{Asked, Question, Whose};

use super::client_half::ClientHalf;
use super::linked::Linked;
use super::resets::several;
use super::said::Message;

impl ClientHalf {
    /// It has or may have one of the names that a Query takes away among other statements.
    pub(super) fn may_take_several(&self, text: &[u8]) -> bool {
        several(text).iter().any(|name| self.names.may_have(name))
    }

    /// Asks the server a Query that takes some of the client's statements away among others; `false`:
    /// it does not, or nobody can tell.
    pub(super) fn takes_several(
        &mut self,
        text: &[u8],
        tag: u32,
        message: &Message<'_>,
        linked: &mut Linked<'_>,
    ) -> bool {
        if !linked.server.replies().is_settled() {
            return false;
        }
        let names = several(text);
        let own = names.iter().filter(|name| self.names.get(name).is_some());
        let own: BTreeSet<_> = own.cloned().collect();
        if own.is_empty() {
            return false;
        }
        for name in &own {
            linked.close_named(name);
            linked.ask_of_its_own(Asked::Parse, b'P', &[name, &[0, 0, 0, 0]]);
        }
        self.names.expect_taken(names);
        self.resets = true;
        linked.server.ask(Question { asked: Asked::Query, whose: Whose::Clients, tag });
        message.pass(linked.to_server);
        own.iter().for_each(|name| linked.close_named(name));
        linked.server.sync(linked.to_server);
        true
    }
}

impl Linked<'_> {
    fn close_named(&mut self, name: &[u8]) {
        self.ask_of_its_own(Asked::Close, b'C', &[b"S", name, &[0]]);
    }

    fn ask_of_its_own(&mut self, asked: Asked, kind: u8, parts: &[&[u8]]) {
        self.server.ask(Question { asked, whose: Whose::Nobodys, tag: 0 });
        self.to_server.make(|out| message(out, kind, parts));
    }
}
