//! What the benchmark needs of a cluster, whoever made it.

use std::time::Duration;

use anyhow::Result;
use howdah_testkit::Plan;

/// What is done to the cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// kill -9 of the primary's postmaster; its node stays.
    Crash,
    /// Every process of the primary's node is killed at once; a node with a machine of its own
    /// goes dark first.
    HostLoss,
    /// An operator moves the primary.
    Switchover,
}

impl Fault {
    pub const ALL: [Fault; 3] = [Fault::Crash, Fault::HostLoss, Fault::Switchover];

    pub fn words(self) -> &'static str {
        match self {
            Fault::Crash => "PostgreSQL crash",
            Fault::HostLoss => "host loss",
            Fault::Switchover => "switchover",
        }
    }
}

/// A client of machines gives an answer, or a connection, up after this: nobody resets what is
/// open to a machine that is gone.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(2);

/// A running three-node cluster.
pub trait Stack {
    fn name(&self) -> &'static str;

    /// What it is, with versions and settings that matter, for the report.
    fn description(&self) -> String;

    /// Moves the calling thread to where this stack's client sits, when stacks have networks of
    /// their own.
    fn sit_down(&self) {}

    /// The client that writes while the cluster is hurt.
    fn plan(&self) -> Plan;

    /// `None` when there is one primary and two standbys that stream and have everything;
    /// otherwise what is amiss.
    fn amiss(&self) -> Option<String>;

    /// Something that changes when the fault has been dealt with: the primary and its process.
    fn incarnation(&self) -> Option<String>;

    /// Hurts it; returns when the hurt is done (for a switchover: when it was asked for and
    /// answered).
    fn inflict(&mut self, fault: Fault) -> Result<()>;

    /// Brings back what [`Stack::inflict`] took away.
    fn bring_back(&mut self) -> Result<()>;

    /// The processes of one node that keep its server, without the server itself.
    fn keepers(&self) -> Vec<i32>;

    /// Ends of log files, for a failed round.
    fn logs(&self) -> String;
}
