//! The rules by number, each with a sentence that an operator understands.
//!
//! The number is the same in the log, in `howdah explain`, in the history and in metrics, and
//! is never given to another rule.

use std::fmt;

macro_rules! rules {
    ($($name:ident = $number:literal, $sentence:literal;)+) => {
        /// Why a decision was taken.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Rule {
            $(#[doc = $sentence] $name = $number,)+
        }

        impl Rule {
            /// Every rule, for tests that each one is reached.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),+];

            pub fn number(self) -> u16 {
                self as u16
            }

            pub fn sentence(self) -> &'static str {
                match self {
                    $(Rule::$name => $sentence,)+
                }
            }
        }
    };
}

rules! {
    StoreAway = 101, "the store does not answer: nothing is changed, and a primary goes on only while its right to write lasts";
    FenceDeposed = 102, "another node is the leader: this server must not accept writes and is ended";
    FenceLeaseless = 103, "this node no longer holds the lease: its server must not accept writes and is ended";
    RefusedDirectory = 104, "the data directory must not be used";
    Busy = 105, "an operation is under way";
    BackOff = 106, "the last attempt failed: the next one waits";
    Paused = 107, "the cluster is paused: nothing is started, stopped or promoted by itself";
    Fenced = 108, "an operator fenced this node: its server stays down";
    FenceNode = 109, "an operator fenced this node: its server is ended";
    RestartOrdered = 110, "an operator asked for a restart: the server is shut down and started in place";
    ReinitOrdered = 111, "an operator asked for a new copy of this directory";
    EndOrder = 112, "what an operator asked of this node is done, or is not possible";
    Witness = 113, "this node is a witness: it keeps the store and has no PostgreSQL";
    Retake = 114, "the store lost this leader's key before its time was over: take it again";

    ClaimInitialize = 201, "no cluster exists yet: ask for the right to create it";
    AwaitInitialize = 202, "another node is creating the cluster";
    Initdb = 203, "this node creates the database cluster";
    RecordInitialize = 204, "the database cluster is created: record it and lead its first term";
    StoreForgot = 205, "the store knows no cluster but this directory belongs to one: nothing is started until an operator decides";
    AwaitSource = 206, "there is no directory yet and no leader to copy from";
    AwaitSlot = 207, "the leader has not made this node's slot yet";
    Copy = 208, "there is no usable directory: copy the leader's";

    ReadEnd = 301, "the leader's server is down: read where its WAL ends";
    AwaitConfirm = 302, "the leader's server is down: a standby may hold all of its WAL";
    OfferHandover = 303, "the leader's server is down: hand the term over to a standby";
    AwaitHandover = 304, "the term is on offer to a standby";
    WithdrawHandover = 305, "the standby did not take the term in time: take the offer back";
    StartPrimary = 306, "the leader's server is down: start it";
    StartToPromote = 307, "this node leads and its directory is a standby's: start it to promote it";
    Promote = 308, "this node leads: promote its server";
    RaiseFloor = 309, "a new timeline has begun: record where";
    MakeSlots = 310, "the set of standbys changed: make their slots";
    OpenGate = 311, "the server accepts writes: prove that commits are confirmed, then let clients in";
    SetVoters = 312, "put the voters' setting in force";
    AddVoter = 313, "a standby has caught up: it becomes a voter";
    RemoveVoter = 314, "a voter is gone or has been away for long: it stops being one";
    EndAlone = 315, "standbys confirm commits from here on: the leader no longer stands alone";
    StandAlone = 316, "no voter is left: the leader goes on alone";
    AwaitVoters = 317, "the voters have not confirmed the change yet";
    RefuseSwitchover = 318, "the switchover asked for is not possible";
    Switchover = 319, "a switchover was asked for: the server is shut down cleanly";
    LetGo = 320, "this node's server does not start, or must not: give the lease up";
    Lead = 321, "this node leads";
    AwaitServer = 322, "the server is starting or does not answer";
    SettleRecord = 324, "a write to the record may still be on its way: write it anew, so that none comes later";
    BeginPlanned = 325, "the time of the planned switchover has come";
    LowerNeeded = 326, "fewer voters stream than must confirm a commit: ask for fewer";
    RaiseNeeded = 327, "there are more voters: more of them must confirm a commit";
    ShowLife = 328, "another node suspects this leader, which lives: write the record anew, so that standbys receive from it again";
    WrongTimeline = 323, "the promotion took another timeline than the reserved one: end it";

    SameDirectory = 401, "no leader: this directory wrote the last term, so it leads again";
    StartToStand = 402, "no leader: start as a standby, to be able to stand for election";
    NotEligible = 403, "no leader: this node cannot become one";
    AwaitReports = 404, "no leader: not enough nodes have said what they hold";
    Defer = 405, "no leader: another node holds more or is preferred";
    TakeOver = 406, "no leader, or its term is revoked: this node holds the most and takes over";
    FetchTail = 417, "the leader hands its term to this node, which fetches the WAL that it lacks from the leader's disk";
    AcceptHandover = 407, "the leader hands its term to this node, which holds all of its WAL";
    AwaitReplay = 408, "the leader hands its term to this node, which has not got all of its WAL yet";
    Forced = 409, "an operator ordered this node to take over";
    AwaitLeader = 410, "no leader: this node waits for one";
    Detach = 411, "this standby receives nothing more from the last leader, so that what it says it holds stays true";
    Promise = 412, "no leader, or none that gives a sign of life: write down, durably, to receive nothing more from its term";
    Revoked = 413, "this node has promised to receive nothing more from the leader's term: it waits for the next term, or for a sign of life in the record";
    Suspect = 414, "the leader gives no sign of life, neither in the store nor directly: the voters are asked to revoke its term";
    HeldBack = 415, "no leader: this node has promised it, while the store was away, to take part in no takeover yet";
    EndStart = 418, "this voter's server has been starting for long, and the others ask what it holds: the server is ended, and the disk answers";
    ReadHeld = 416, "nothing is received any more: read from the disk where the WAL that this node holds ends";

    StartStandby = 501, "the leader is known and this directory is on its history: start as its standby";
    LeaveVoters = 502, "this directory is to be repaired, replaced or fenced: it must stop being a voter first";
    StopDiverged = 503, "this server left the leader's history: stop it to repair it";
    Rewind = 504, "this directory left the leader's history: rewind it";
    CopyAnew = 505, "this directory cannot be rewound: copy the leader's";
    LastCopy = 506, "this directory may hold the only copy of a commit: it is not touched";
    Follow = 507, "whom this node streams from has changed: follow that one";
    AwaitStream = 508, "this standby is not streaming yet";
    Standby = 509, "this standby streams from the leader";
    ReadOwnEnd = 511, "this node's server is down: read where its WAL ends";
    StopForCopy = 512, "a server runs whose directory is gone or unusable: stop it, to make a new one";
    AwaitPrimary = 510, "the leader's server is not open yet";
    WalGone = 513, "the WAL that this standby needs is gone from its upstream: it is stopped, to be copied anew";
    CopyLater = 514, "copies of this directory came to nothing: the next one waits";
    GiveUp = 515, "this directory could not be mended: an operator must look";

    EndHung = 601, "this server accepts no connection, or answers on none: it is ended and counts as crashed";
    EndUnfit = 602, "the leader's disk has stalled or cannot be written, and another node can take over: its server is ended";
    Lapse = 603, "the leader's disk has stalled or cannot be written, and its server may not end: the lease is no longer renewed";
    NowhereToGo = 604, "the leader's disk is full, has stalled or cannot be written, and nobody can take over";
    LeaveFull = 605, "the leader's disk is full: the server is switched over to a node that has room";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {}", self.number(), self.sentence())
    }
}

/// A rule with the particulars of this case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    pub rule: Rule,
    /// Names and figures; may be empty.
    pub detail: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule.sentence())?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}
