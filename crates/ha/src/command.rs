//! What a decision asks the shell to do.
//!
//! Each command says what must have happened before it is legal. A command is carried out once;
//! its outcome shows in the next [`crate::View`].

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_base::record::{ChangeKind, Handover, Revocation, Sync};
use howdah_base::{DirectoryId, NodeName, Position, Term, Timeline};

/// One thing to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Prolong the lease, in a transaction that compares the leader key. The clock is noted
    /// before it is sent; success moves the guard's deadline to that instant + lease - margin.
    Renew,
    /// Take the right to run initdb, bound to this node's lease; compares that nobody has it
    /// and that the cluster is not initialized.
    ClaimInitialize,
    /// Legal only with the right of `ClaimInitialize`. Leaves a directory marked fresh.
    Initdb,
    /// The cluster's first record, in one transaction: `initialize`, `leader`, `term` 1,
    /// `timeline`, `sync` standing alone. Legal only for a fresh directory.
    RecordInitialize { system_identifier: u64, sync: Sync },
    /// Become the leader in one transaction.
    TakeOver(TakeOver),
    /// Put the leader key that the store lost on this node's lease again, in the same term, and
    /// rewrite `sync`, so that no takeover that was decided meanwhile succeeds. Compares that
    /// nobody leads, and `sync` itself. Prolongs no deadline: the next renewal does.
    Retake(Sync),
    /// Rewrite `sync`; compares that the leader key is still this node's, and `sync` itself.
    WriteSync(Sync),
    /// Offer the term to another node. Legal only when no process of the instance is left, and
    /// binds this node not to start as primary until the offer has been withdrawn.
    OfferHandover(Handover),
    /// Take the offer back by compare-and-swap; whoever wins that race decides.
    WithdrawHandover,
    /// Give the lease up. Legal only when no process of the instance is left.
    Release,
    /// Remove the operator's request, as done or refused; the sentence goes to the log.
    ClearIntent(String),

    /// Make the planned switchover an operator's request, with the same id.
    BeginPlanned,
    /// Remove the planned switchover; the sentence is for whoever asked.
    DropPlanned(String),
    /// Remove the order to this node, as done or with the reason why it is not.
    EndOrder(Option<String>),

    /// Read the end of the WAL from the disk. Legal only when no process is left, or no receiver
    /// of a standby.
    ReadEnd,
    /// Start as primary, gate closed, with the record's setting of voters written before, under
    /// a write deadline. Legal only for the leader, whose directory last was a primary.
    StartPrimary { names: BTreeSet<DirectoryId>, needed: u32 },
    /// Start in recovery; without an upstream it waits.
    StartStandby { upstream: Option<(NodeName, Term)> },
    /// Point a running standby at the leader, through the slot of its term.
    Follow { upstream: (NodeName, Term) },
    /// Write down, durably, that nothing is received from the term before the record has a higher
    /// revision. It replaces a lower promise and is never taken back by itself.
    Promise(Revocation),
    /// Let a running standby stream from nobody, fetch the WAL files from its own position up to
    /// `end` from the disk of the leader, whose server is down, and replay them. Given up
    /// `within`; when this is done, for better or worse, nothing more is taken from there. Legal
    /// only for whom the leader offers its term to.
    Fetch { from: NodeName, term: Term, end: Position, within: Duration },
    /// Let a running standby stream from nobody; its WAL receiver is gone when this is done.
    Detach,
    /// Promote to exactly `timeline`, with the record's setting of voters in force before, and with
    /// slots of this `term` for `slots`, as far as they can be made: standbys come at once then.
    /// Legal only for the leader, under a write deadline.
    Promote {
        timeline: Timeline,
        names: BTreeSet<DirectoryId>,
        needed: u32,
        term: Term,
        slots: BTreeSet<DirectoryId>,
    },
    /// Stop the server and leave no process of the instance.
    Stop(StopMode),
    /// A planned end: CHECKPOINT, hold new clients, drain, fast shutdown. Bounded. The request
    /// for it is sealed right before the shutdown is sent; until then it is abandoned cleanly.
    Switchover { to: NodeName },
    /// Put `ANY needed (names)` in force and prove it.
    SetSync { names: BTreeSet<DirectoryId>, needed: u32 },
    /// Prove by a probe commit that `needed` of `voters` confirm, then let clients in.
    OpenGate { voters: BTreeSet<DirectoryId>, needed: u32 },
    /// Make this term's slots for exactly these directories; drop those of older terms and of
    /// directories that are gone. Users' own slots are not touched.
    Slots { term: Term, directories: BTreeSet<DirectoryId> },
    /// Copy the whole directory from the leader, under the new identity that this node
    /// announced. Legal only when no process of the instance is left, and when this directory
    /// cannot be the last copy of a commit. `repository`: from the newest backup and WAL, and from
    /// the server only if that does not come off.
    Copy { from: NodeName, term: Term, repository: bool },
    /// pg_rewind against the leader. Legal as `Copy` is, and only when the leader's control
    /// file shows its own timeline (its gate is open).
    Rewind { from: NodeName },
}

/// How hard a server is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopMode {
    /// Clean shutdown; standbys receive everything.
    Fast,
    /// It cannot do its work any more: asked to end at once, then every process is killed.
    Immediate,
    /// Now: it has no right to write any more.
    Fence,
}

/// The takeover transaction (PROTOCOL section 1).
#[derive(Clone, PartialEq, Debug)]
pub struct TakeOver {
    /// The leader key as seen: absent, or at this revision (hand-over).
    pub leader_revision: Option<u64>,
    pub sync_revision: u64,
    /// Also compare and remove the hand-over at this revision.
    pub handover_revision: Option<u64>,
    /// Also remove the operator's request at this revision.
    pub intent_revision: Option<u64>,
    pub term: Term,
    /// The number reserved for the promotion; unchanged when nothing is promoted.
    pub timeline: Timeline,
    pub sync: Sync,
    pub kind: ChangeKind,
    pub from: Option<NodeName>,
    /// Where the new term begins.
    pub begins: Position,
    /// What can be said about loss.
    pub loss: String,
}

impl Command {
    /// The operation that this command keeps busy, if it is a long one.
    pub fn job(&self) -> Option<crate::Job> {
        use crate::Job;
        Some(match self {
            Command::Renew => return None,
            Command::ClaimInitialize
            | Command::RecordInitialize { .. }
            | Command::TakeOver(_)
            | Command::Retake(_)
            | Command::WriteSync(_)
            | Command::OfferHandover(_)
            | Command::WithdrawHandover
            | Command::Release
            | Command::ClearIntent(_)
            | Command::BeginPlanned
            | Command::DropPlanned(_)
            | Command::EndOrder(_) => Job::Txn,
            Command::Initdb => Job::Initdb,
            Command::ReadEnd => Job::ReadEnd,
            Command::StartPrimary { .. } | Command::StartStandby { .. } => Job::Start,
            Command::Follow { .. } | Command::Detach => Job::Follow,
            Command::Promise(_) => Job::Promise,
            Command::Fetch { .. } => Job::Fetch,
            Command::Promote { .. } => Job::Promote,
            Command::Stop(_) => Job::Stop,
            Command::Switchover { .. } => Job::Switchover,
            Command::SetSync { .. } => Job::SetSync,
            Command::OpenGate { .. } => Job::OpenGate,
            Command::Slots { .. } => Job::Slots,
            Command::Copy { .. } => Job::Copy,
            Command::Rewind { .. } => Job::Rewind,
        })
    }
}
