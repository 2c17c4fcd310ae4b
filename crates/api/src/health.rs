//! Health checks as Patroni answers them: what set-ups of HAProxy and Kubernetes ask already.
//!
//! Source: Patroni's documentation, "Patroni REST API", and for the order of its rules its
//! `patroni/api.py`. The agent judges its own server; here only a path's question is put to that
//! judgement, together with its age.

use std::time::Duration;

use howdah_base::record::ServerState;
use howdah_base::{Bytes, Lsn, Position, Tick};
use serde_json::{Map, Value};

/// What the agent says of its own node; it is the only writer.
#[derive(Clone, PartialEq, Debug)]
pub struct Health {
    pub state: ServerState,
    /// Until when this node is the leader with its gate open: the guard's deadline, not a
    /// wish. After it the answer is no, whether or not the agent still runs to say so.
    pub leader_until: Option<Tick>,
    /// End of the WAL: written on a primary, received on a standby.
    pub position: Option<Position>,
    pub replayed: Option<Lsn>,
    /// Where the leader's WAL ended when it was seen last, so that a lag is known without one.
    pub leader_end: Option<Lsn>,
    /// Counts for synchronous commit.
    pub voter: bool,
    /// The agent's last full turn.
    pub beat: Tick,
    pub system_identifier: Option<u64>,
    /// In Patroni's names, see [`crate::patroni::tags`].
    pub tags: Map<String, Value>,
    pub paused: bool,
    /// When the store answered last.
    pub store_seen: Option<Tick>,
    /// It answered when it was asked last.
    pub store_reachable: bool,
}

/// What a path asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// This node leads a standby cluster: there are none yet.
    StandbyLeader,
    /// This node holds the lease, and clients may write.
    Primary,
    /// A running standby that may serve reads.
    Replica,
    /// A standby as above, or the primary.
    ReadOnly,
    /// PostgreSQL runs.
    Running,
    /// A standby that counts for synchronous commit.
    Sync,
    /// A standby that does not.
    Async,
    ReadOnlySync,
    /// The agent takes its turns.
    Liveness,
    /// The primary, or a streaming standby that is not too far behind.
    Readiness,
    /// No rule knows the path: nothing has it.
    Unknown,
}

/// Paths as Patroni's documents name them, for the description. The router asks
/// [`Check::of`], which knows more.
pub const CHECKS: [(&str, &str); 17] = [
    ("/primary", "The primary: it holds the lease, and clients may write."),
    ("/read-write", "As `/primary`."),
    ("/master", "As `/primary`, by its old name."),
    ("/leader", "As `/primary`, there being no standby clusters."),
    ("/standby-leader", "Never: there are no standby clusters."),
    ("/replica", "A running standby without the tag `noloadbalance`."),
    ("/read-only", "The primary, or what `/replica` asks."),
    ("/sync", "A standby as above that counts for synchronous commit."),
    ("/synchronous", "As `/sync`."),
    ("/quorum", "As `/sync`."),
    ("/async", "A standby as above that does not count for synchronous commit."),
    ("/asynchronous", "As `/async`."),
    ("/read-only-sync", "The primary, or what `/sync` asks."),
    ("/read-only-synchronous", "As `/read-only-sync`."),
    ("/read-only-quorum", "As `/read-only-sync`."),
    ("/health", "PostgreSQL runs."),
    ("/", "As `/primary`; a browser gets the status page instead."),
];

impl Check {
    /// Patroni's rules for a path that nothing else has: what it contains decides, in this
    /// order.
    pub fn of(path: &str) -> Check {
        let has = |part: &str| path.contains(part);
        if has("standby_leader") || has("standby-leader") {
            Check::StandbyLeader
        } else if path == "/" || ["leader", "master", "primary", "read-write"].into_iter().any(has)
        {
            Check::Primary
        } else if has("replica") {
            Check::Replica
        } else if has("read-only") && !has("sync") && !has("quorum") {
            Check::ReadOnly
        } else if has("health") {
            Check::Running
        } else {
            match path {
                "/sync" | "/synchronous" | "/quorum" => Check::Sync,
                "/async" | "/asynchronous" => Check::Async,
                "/read-only-sync" | "/read-only-synchronous" | "/read-only-quorum" => {
                    Check::ReadOnlySync
                }
                _ => Check::Unknown,
            }
        }
    }

    /// A balancer asks a leader for its tags in vain: only one node can be it.
    fn heeds_tags(self) -> bool {
        !matches!(self, Check::Primary | Check::StandbyLeader | Check::Liveness | Check::Readiness)
    }
}

/// What the query of a path adds to its question.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Question {
    /// Most bytes behind the leader.
    pub lag_max: Option<u64>,
    /// `/readiness`: count what is received, not what is replayed.
    pub received: bool,
    /// `streaming`, for instance.
    pub replication_state: Option<String>,
    pub tags: Vec<(String, String)>,
}

impl Question {
    /// Reads `lag=16MB&replication_state=streaming&tag_zone=a`. A lag that cannot be read is
    /// refused, because ignoring it would send reads to a standby that is too old.
    pub fn parse(query: &[(String, String)]) -> Result<Question, String> {
        let mut question = Question::default();
        // As in Patroni, a name without a value says nothing.
        for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "lag" => question.lag_max = Some(parse_lag(value)?),
                "mode" => question.received = value == "write",
                "replication_state" => question.replication_state = Some(value.clone()),
                _ => {
                    if let Some(tag) = name.strip_prefix("tag_") {
                        question.tags.push((tag.to_owned(), value.clone()));
                    }
                }
            }
        }
        Ok(question)
    }
}

fn parse_lag(text: &str) -> Result<u64, String> {
    text.parse::<u64>()
        .or_else(|_| text.parse::<Bytes>().map(|bytes| bytes.0))
        .map_err(|error| error.to_string())
}

/// What the cluster file says about checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// What the agent said longer ago than this counts for nothing.
    pub lease: Duration,
    /// The lag of `/readiness` when it names none: bytes.
    pub ready_lag: u64,
}

impl Health {
    /// The answer: 200 when true, 503 when false.
    pub fn passes(&self, check: Check, question: &Question, now: Tick, bounds: Bounds) -> bool {
        let (silent, lease) = (now.since(self.beat), bounds.lease);
        let holds = match check {
            // In a pause nothing is restarted because its agent is stuck.
            Check::Liveness => self.paused || silent < self.patience(lease),
            _ if silent >= lease => false,
            Check::Running => self.running(),
            Check::Primary => self.leads(now),
            Check::StandbyLeader | Check::Unknown => false,
            Check::Replica => self.serves_reads(question),
            Check::ReadOnly => self.leads(now) || self.serves_reads(question),
            Check::Sync | Check::Async | Check::ReadOnlySync if !self.store_reachable => false,
            Check::Sync => self.voter && self.serves_reads(question),
            Check::Async => !self.voter && self.serves_reads(question),
            Check::ReadOnlySync => self.leads(now) || (self.voter && self.serves_reads(question)),
            Check::Readiness => self.leads(now) || self.ready(question, bounds.ready_lag),
        };
        holds && (!check.heeds_tags() || self.has_tags(&question.tags))
    }

    pub fn leads(&self, now: Tick) -> bool {
        self.state == ServerState::Primary && self.leader_until.is_some_and(|until| now < until)
    }

    pub fn running(&self) -> bool {
        use ServerState::{Primary, PrimaryGated, Standby, Streaming};
        matches!(self.state, Primary | PrimaryGated | Standby | Streaming)
    }

    fn is_primary(&self) -> bool {
        matches!(self.state, ServerState::Primary | ServerState::PrimaryGated)
    }

    /// Patroni's words for where a standby's WAL comes from.
    pub fn replication_state(&self) -> Option<&'static str> {
        match self.state {
            ServerState::Streaming => Some("streaming"),
            ServerState::Standby => Some("in archive recovery"),
            _ => None,
        }
    }

    /// Bytes between where the leader was seen last and what is replayed here, or received.
    fn lag(&self, received: bool) -> Option<u64> {
        let position = self.position.map(|position| position.lsn);
        let here = if received { position } else { self.replayed.or(position) };
        Some(self.leader_end?.bytes_past(here?))
    }

    fn serves_reads(&self, question: &Question) -> bool {
        let standby = matches!(self.state, ServerState::Standby | ServerState::Streaming);
        let asked = question.replication_state.as_deref();
        standby
            && self.tags.get("noloadbalance") != Some(&Value::Bool(true))
            && asked.is_none_or(|wanted| self.replication_state() == Some(wanted))
            && question.lag_max.is_none_or(|most| self.lag(false).is_some_and(|lag| lag <= most))
    }

    fn ready(&self, question: &Question, lag_max: u64) -> bool {
        let most = question.lag_max.unwrap_or(lag_max);
        self.state == ServerState::Streaming
            && self.lag(question.received).is_some_and(|lag| lag <= most)
    }

    fn has_tags(&self, wanted: &[(String, String)]) -> bool {
        let words = |tag: &Value| tag.as_str().map_or_else(|| tag.to_string(), str::to_owned);
        wanted.iter().all(|(name, value)| self.tags.get(name).map(words).as_ref() == Some(value))
    }

    /// A standby's agent is given twice the time: nothing is lost while it waits.
    fn patience(&self, lease: Duration) -> Duration {
        if self.is_primary() { lease } else { 2 * lease }
    }
}

#[cfg(test)]
#[path = "health/tests.rs"]
mod tests;
