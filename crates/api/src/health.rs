//! Health checks as Patroni answers them: what set-ups of HAProxy and Kubernetes ask already.
//!
//! Source: Patroni's documentation, "Patroni REST API". The agent judges its own server; here
//! only a path's question is put to that judgement, together with its age.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_base::record::ServerState;
use howdah_base::{Bytes, ClusterName, Lsn, NodeName, Position, Term, Tick};
use serde_json::{Value, json};

/// What the agent says of its own node; it is the only writer.
#[derive(Clone, PartialEq, Debug)]
pub struct Health {
    pub cluster: ClusterName,
    pub node: NodeName,
    pub term: Term,
    pub state: ServerState,
    /// Until when this node is the leader with its gate open: the guard's deadline, not a
    /// wish. After it the answer is no, whether or not the agent still runs to say so.
    pub leader_until: Option<Tick>,
    /// End of the WAL: written on a primary, received on a standby.
    pub position: Option<Position>,
    pub replayed: Option<Lsn>,
    /// Behind the leader; unknown is not zero.
    pub lag_bytes: Option<u64>,
    /// Counts for synchronous commit.
    pub voter: bool,
    /// The agent's last full turn.
    pub beat: Tick,
    /// PostgreSQL's version, such as `15.18`.
    pub version: Option<String>,
    pub system_identifier: Option<u64>,
    pub tags: BTreeMap<String, String>,
}

/// A question that a path asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// PostgreSQL runs.
    Running,
    /// This node is the leader.
    Leader,
    /// This node leads a standby cluster: there are none yet.
    StandbyLeader,
    /// A running standby that may serve reads.
    Replica,
    /// A standby as above, or the leader.
    ReadOnly,
    Sync,
    Async,
    ReadOnlySync,
    /// The agent takes its turns.
    Liveness,
    /// The leader, or a streaming standby that is not too far behind.
    Readiness,
}

/// Paths and what they ask, in Patroni's words.
pub const CHECKS: [(&str, Check); 18] = [
    ("/health", Check::Running),
    ("/leader", Check::Leader),
    ("/primary", Check::Leader),
    ("/master", Check::Leader),
    ("/read-write", Check::Leader),
    ("/standby-leader", Check::StandbyLeader),
    ("/standby_leader", Check::StandbyLeader),
    ("/replica", Check::Replica),
    ("/read-only", Check::ReadOnly),
    ("/sync", Check::Sync),
    ("/synchronous", Check::Sync),
    ("/quorum", Check::Sync),
    ("/async", Check::Async),
    ("/asynchronous", Check::Async),
    ("/read-only-sync", Check::ReadOnlySync),
    ("/read-only-quorum", Check::ReadOnlySync),
    ("/liveness", Check::Liveness),
    ("/readiness", Check::Readiness),
];

/// What the query of a path adds to its question.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Question {
    /// Most bytes behind the leader.
    pub lag_max: Option<u64>,
    /// `streaming`, for instance.
    pub replication_state: Option<String>,
    pub tags: Vec<(String, String)>,
}

impl Question {
    /// Reads `lag=16MB&replication_state=streaming&tag_zone=a`. A lag that cannot be read is
    /// refused, because ignoring it would send reads to a standby that is too old.
    pub fn parse(query: &[(String, String)]) -> Result<Question, String> {
        let mut question = Question::default();
        for (name, value) in query {
            match name.as_str() {
                "lag" => question.lag_max = Some(parse_lag(value)?),
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

impl Health {
    /// The answer: 200 when true, 503 when false.
    pub fn passes(&self, check: Check, question: &Question, now: Tick, lease: Duration) -> bool {
        let fresh = now.since(self.beat) < lease;
        match check {
            Check::Liveness => now.since(self.beat) < self.patience(lease),
            _ if !fresh => false,
            Check::Running => self.running(),
            Check::Leader => self.leads(now),
            Check::StandbyLeader => false,
            Check::Replica => self.serves_reads(question),
            Check::ReadOnly => self.leads(now) || self.serves_reads(question),
            Check::Sync => self.voter && self.serves_reads(question),
            Check::Async => !self.voter && self.serves_reads(question),
            Check::ReadOnlySync => self.leads(now) || (self.voter && self.serves_reads(question)),
            Check::Readiness => {
                let near = self.near_enough(question);
                self.leads(now) || (self.state == ServerState::Streaming && near)
            }
        }
    }

    /// The body of every answer, in the shape of Patroni's `GET /patroni`.
    pub fn body(&self, now: Tick) -> Value {
        let mut body = json!({
            "state": state_word(self.state),
            "role": self.role(),
            "term": self.term,
            "leader": self.leads(now),
            "heartbeat_age_ms": u64::try_from(now.since(self.beat).as_millis()).unwrap_or(u64::MAX),
            "tags": self.tags,
            "patroni": self.identity(),
            "howdah": self.identity(),
        });
        if self.running() {
            body["xlog"] = self.xlog();
        }
        let optional = [
            ("server_version", self.version.as_deref().and_then(version_number).map(Value::from)),
            ("timeline", self.position.map(|position| position.timeline.0.into())),
            ("database_system_identifier", self.system_identifier.map(|id| id.to_string().into())),
            ("lag", self.lag_bytes.map(Value::from)),
            ("replication_state", self.replication_state().map(Value::from)),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        body
    }

    fn identity(&self) -> Value {
        json!({ "version": env!("CARGO_PKG_VERSION"), "scope": self.cluster, "name": self.node })
    }

    fn xlog(&self) -> Value {
        let end = self.position.map(|position| position.lsn.0);
        if self.role() == "primary" {
            json!({ "location": end })
        } else {
            let replayed = self.replayed.map(|lsn| lsn.0);
            json!({ "received_location": end, "replayed_location": replayed })
        }
    }

    fn running(&self) -> bool {
        use ServerState::{Primary, PrimaryGated, Standby, Streaming};
        matches!(self.state, Primary | PrimaryGated | Standby | Streaming)
    }

    fn leads(&self, now: Tick) -> bool {
        self.state == ServerState::Primary && self.leader_until.is_some_and(|until| now < until)
    }

    fn serves_reads(&self, question: &Question) -> bool {
        let standby = matches!(self.state, ServerState::Standby | ServerState::Streaming);
        let asked = question.replication_state.as_deref();
        standby
            && self.tags.get("noloadbalance").is_none_or(|value| value != "true")
            && asked.is_none_or(|wanted| self.replication_state() == Some(wanted))
            && question.tags.iter().all(|(name, value)| self.tags.get(name) == Some(value))
            && self.near_enough(question)
    }

    fn near_enough(&self, question: &Question) -> bool {
        question.lag_max.is_none_or(|most| self.lag_bytes.is_some_and(|lag| lag <= most))
    }

    fn role(&self) -> &'static str {
        match self.state {
            ServerState::Primary | ServerState::PrimaryGated => "primary",
            ServerState::Standby | ServerState::Streaming => "replica",
            _ => "uninitialized",
        }
    }

    fn replication_state(&self) -> Option<&'static str> {
        match self.state {
            ServerState::Streaming => Some("streaming"),
            ServerState::Standby => Some("in archive recovery"),
            _ => None,
        }
    }

    /// A standby's agent is given twice the time: nothing is lost while it waits.
    fn patience(&self, lease: Duration) -> Duration {
        if self.role() == "primary" { lease } else { 2 * lease }
    }
}

fn state_word(state: ServerState) -> &'static str {
    match state {
        ServerState::Creating => "creating replica",
        ServerState::Stopped => "stopped",
        ServerState::Starting => "starting",
        ServerState::Stopping => "stopping",
        ServerState::Refused => "refused",
        ServerState::Unknown => "unknown",
        _ => "running",
    }
}

/// `15.18` as PostgreSQL's `server_version_num`: 150018.
fn version_number(version: &str) -> Option<u32> {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
    Some(major.parse::<u32>().ok()? * 10_000 + minor[..digits].parse::<u32>().ok()?)
}

#[cfg(test)]
#[path = "health/tests.rs"]
mod tests;
