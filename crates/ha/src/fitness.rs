//! What a node knows of its own body: whether its server answers, what its disks are fit for, and
//! how often it has been mended. Facts; the rules judge them.

use std::time::Duration;

/// The file systems of this node's directory, as last tried by a thread of their own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Disk {
    /// How long a small write has been waiting to be durable; none when the last one is.
    pub stalled: Option<Duration>,
    /// The last write failed, not for lack of space: read-only, or an I/O error.
    pub broken: Option<String>,
    /// There is no room for more WAL, or the reserve that was given up for it is not back.
    pub full: Option<String>,
}

impl Disk {
    /// Why no server can do its work on it, given how long a write may wait.
    pub fn unfit(&self, stalled_after: Duration) -> Option<String> {
        let stalled = self.stalled.is_some_and(|waiting| waiting >= stalled_after);
        let seconds = stalled_after.as_secs();
        self.broken
            .as_ref()
            .map(|why| format!("its disk cannot be written: {why}"))
            .or_else(|| stalled.then(|| format!("its disk has stalled for more than {seconds} s")))
    }

    /// The same, and why it must not become a primary's.
    pub fn bars(&self, stalled_after: Duration) -> Option<String> {
        let full = self.full.as_ref().map(|why| format!("its disk is full: {why}"));
        self.unfit(stalled_after).or(full)
    }
}

/// How often this node's directory has been mended and its server has crashed, as kept in its
/// state directory: the counts survive the agent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attempts {
    /// Rewinds begun since the directory last streamed.
    pub rewinds: u32,
    /// Copies begun since the directory last streamed.
    pub copies: u32,
    /// When the last of them was begun, wall clock, milliseconds since 1970.
    pub last_unix_ms: u64,
    /// When its server crashed as primary, lately; wall clock, milliseconds since 1970.
    pub crashes: Vec<u64>,
}
