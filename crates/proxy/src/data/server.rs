//! A connection to a server, as its thread keeps it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use howdah_base::Held as Counted;
use howdah_wire::relay::session::{Found, Settings};
use howdah_wire::relay::statements::Held;
use howdah_wire::relay::{ServerHalf, Status};

use super::Parameters;
use super::ahead::Ahead;
use super::conn::Conn;
use crate::route::Site;

/// Prepared statements that a server keeps.
pub(super) const STATEMENTS_MAX: usize = 500;
/// As many are left when there were more: closing some costs a round trip.
pub(super) const STATEMENTS_KEPT: usize = 450;

/// A question what a session has of its own, on its way.
#[derive(Default)]
pub(super) struct Check {
    pub found: Found,
    /// The names of the user's own that are asked for.
    pub names: BTreeSet<Box<str>>,
    /// One setting is asked for; the others are as they were.
    pub one: bool,
    /// The client says nothing before it is answered: what it asked for first may have to be set.
    pub waits: bool,
}

pub(super) struct Server {
    pub conn: Conn,
    pub half: ServerHalf,
    pub held: Held,
    pub pool: usize,
    pub client: Option<usize>,
    /// The class of whoever has its place, until that is given back.
    pub class: usize,
    /// What is set in its session.
    pub settings: Rc<Settings>,
    pub site: Site,
    pub key: Vec<u8>,
    /// Its number among all of the thread's: its place may be another's later.
    pub born: u64,
    pub opened: Instant,
    /// Since when its client has it, or nobody.
    pub since: Instant,
    /// When its client began a transaction, if it has one.
    pub begun: Instant,
    /// When it was asked something, or had answered all that it was asked.
    pub turned: Instant,
    /// Its client's statement was cancelled for taking too long.
    pub timed_out: Option<Instant>,
    /// What it has reported, by name.
    pub parameters: Parameters,
    /// A client may have left something in the session.
    pub dirty: bool,
    /// A client may have set back what its first packet asked for.
    pub reset: bool,
    /// The session has been asked what it has of its own.
    pub checking: Option<Check>,
    /// The error with which it ended, for its client.
    pub last_words: Option<Vec<u8>>,
    /// Cancel requests on their way: what they would hit must not be another client's.
    pub cancelling: u32,
    /// Its client has said something to it.
    pub used: bool,
    /// Nobody has used it for long: it may have gone without a word.
    pub unchecked: bool,
    /// It is read from in the next turn of the loop.
    pub queued: bool,
    /// It has not answered what it was told ahead of its client's word: nothing more is said to it.
    pub ahead: Option<Ahead>,
    /// It is not what its clients want any more, or not to be trusted: nobody else gets it.
    pub stale: bool,
    /// Statements that it is to forget are being closed.
    pub tidying: bool,
    /// What its last client left is being thrown away.
    pub resetting: bool,
    pub _load: Counted,
}

impl Server {
    /// One that nobody has used yet.
    #[expect(clippy::too_many_arguments, reason = "each is what only its opener knows")]
    pub fn new(
        conn: Conn,
        half: ServerHalf,
        site: Site,
        key: Vec<u8>,
        load: Counted,
        pool: usize,
        born: u64,
        now: Instant,
    ) -> Server {
        Server {
            conn,
            half,
            held: Held::default(),
            pool,
            client: None,
            class: 0,
            settings: Rc::default(),
            site,
            key,
            born,
            opened: now,
            since: now,
            begun: now,
            turned: now,
            timed_out: None,
            parameters: Parameters::default(),
            dirty: false,
            reset: false,
            checking: None,
            last_words: None,
            cancelling: 0,
            used: false,
            unchecked: false,
            queued: false,
            ahead: None,
            stale: false,
            tidying: false,
            resetting: false,
            _load: load,
        }
    }

    /// It has said something; `ready`: that it is, and in which state of a transaction.
    pub fn note_turn(&mut self, ready: Option<Status>, now: Instant) {
        if self.half.replies().is_empty() {
            self.turned = now;
        }
        if let Some(status) = ready {
            self.turn(now, status == Status::Idle);
        }
    }

    /// It is asked again, or has answered everything. `idle`: no transaction is open.
    pub fn turn(&mut self, now: Instant, idle: bool) {
        self.turned = now;
        self.timed_out = None;
        if idle {
            self.begun = now;
        }
    }
}
