//! `GET /metrics`: Patroni's metrics by their names, so that its dashboards and alerts go on.
//!
//! Text in Prometheus' exposition format, version 0.0.4.

use std::fmt::{Display, Write};

use howdah_base::Tick;
use howdah_base::record::ServerState;
use howdah_base::status::ClusterStatus;

use super::node::store_seen;
use super::{CONTRACT, role_word, version_number};
use crate::Health;

/// All of them, each with its type and what it says.
pub fn metrics(status: &ClusterStatus, health: &Health, now: Tick, unix_ms: u64) -> String {
    let mut page = Page { text: String::new(), label: label(status) };
    let running = health.running();
    let (primary, replica) = match role_word(health.state) {
        _ if !running => (false, false),
        role => (role == "primary", role == "replica"),
    };
    let own = status.nodes.iter().find(|node| node.node == status.seen_by);
    let member = own.and_then(|own| own.member.as_ref());
    let end = health.position.map_or(0, |position| position.lsn.0);
    let replayed = health.replayed.map_or(0, |lsn| lsn.0);
    let started = member.and_then(|member| member.started_unix_ms).filter(|_| running);
    let version = member.and_then(|member| version_number(member.version.as_deref()?));

    page.gauge("patroni_version", "Version of the contract, two digits a part.", contract());
    page.flag("patroni_postgres_running", "PostgreSQL runs.", running);
    let seconds = seconds(started.unwrap_or(0));
    page.gauge("patroni_postmaster_start_time", "Start of PostgreSQL, epoch seconds.", seconds);
    page.flag("patroni_master", "This node's server is the primary.", primary);
    page.flag("patroni_primary", "This node's server is the primary.", primary);
    let location = if primary { end } else { 0 };
    page.counter("patroni_xlog_location", "End of the WAL, 0 on a standby.", location);
    page.flag("patroni_standby_leader", "This node leads a standby cluster.", false);
    page.flag("patroni_replica", "This node's server is a standby.", replica);
    // A voter is both: users of either synchronous mode ask for their own name.
    let voter = replica && health.voter;
    page.flag("patroni_sync_standby", "Counts for synchronous commit.", voter);
    page.flag("patroni_quorum_standby", "Counts for the quorum of a commit.", voter);
    let (received, replayed) = if replica { (end, replayed) } else { (0, 0) };
    page.counter("patroni_xlog_received_location", "Received WAL, 0 on a primary.", received);
    page.counter("patroni_xlog_replayed_location", "Replayed WAL, 0 on a primary.", replayed);
    let sees = "Time of the last transaction replayed; 0: not known.";
    page.gauge("patroni_xlog_replayed_timestamp", sees, 0);
    page.flag("patroni_xlog_paused", "Replay is paused.", false);
    let streams = health.replication_state() == Some("streaming");
    page.flag("patroni_postgres_streaming", "The standby streams.", streams);
    let archive = health.replication_state() == Some("in archive recovery");
    page.flag("patroni_postgres_in_archive_recovery", "The standby does not stream.", archive);
    let version = version.filter(|_| running).unwrap_or(0);
    page.gauge("patroni_postgres_server_version", "PostgreSQL's version, 0 if down.", version);
    page.flag("patroni_cluster_unlocked", "No node holds the lease.", status.leader.is_none());
    page.flag("patroni_failsafe_mode_is_active", "There is no such mode.", false);
    let timeline = health.position.filter(|_| running).map_or(0, |at| at.timeline.0);
    page.counter("patroni_postgres_timeline", "Timeline, 0 if PostgreSQL is down.", timeline);
    let seen = store_seen(health, now, unix_ms);
    page.gauge("patroni_dcs_last_seen", "When the store answered last, epoch seconds.", seen);
    let pending = own.is_some_and(|own| !own.pending_restart.is_empty());
    page.flag("patroni_pending_restart", "Parameters wait for a restart.", pending);
    page.flag("patroni_is_paused", "The cluster is paused.", health.paused);
    let help = "State of PostgreSQL: 4 copied, 5 running, 6 starting, 8 start failed, \
         11 stopping, 12 stopped, -1 unknown.";
    page.gauge("patroni_postgres_state", help, state_number(health.state));
    durability(&mut page, status, unix_ms);
    page.text
}

/// What Patroni has no names for. `NaN` is "not known", or "nothing is promised".
fn durability(page: &mut Page, status: &ClusterStatus, unix_ms: u64) {
    let or_nan = |known: Option<u64>| known.map_or("NaN".to_owned(), |value| value.to_string());
    let voters = status.nodes.iter().filter(|node| node.voter).count();
    page.gauge("howdah_voters", "Nodes that count for synchronous commit.", voters);
    let spare = status.nodes_spare.map(u64::from);
    let help = "Nodes that may be lost now with writes going on and nothing acknowledged lost; NaN in async.";
    page.gauge("howdah_nodes_spare", help, or_nan(spare));
    let rpo = status.rpo;
    let help =
        "WAL that only the leader's host may hold although it was acknowledged; NaN: unknown.";
    page.gauge("howdah_rpo_bytes", help, or_nan(rpo.and_then(|rpo| rpo.bytes)));
    let since = rpo.and_then(|rpo| rpo.since_unix_ms);
    let age = since.map_or_else(
        || or_nan(rpo.and_then(|rpo| rpo.bytes).filter(|bytes| *bytes == 0)),
        |since| seconds(unix_ms.saturating_sub(since)),
    );
    page.gauge("howdah_rpo_seconds", "Age of the oldest of it.", age);
    let settings = status.opted_out.len();
    let help = "Roles and databases with a synchronous_commit below what the cluster promises.";
    page.gauge("howdah_opted_out_settings", help, settings);
    let help = "Sessions through the endpoints that asked for that when they connected.";
    page.gauge("howdah_opted_out_sessions", help, status.opted_out_sessions);
}

/// Source: `PostgresqlState` in `patroni/postgresql/misc.py`.
fn state_number(state: ServerState) -> i8 {
    match state {
        ServerState::Creating => 4,
        ServerState::Starting => 6,
        ServerState::Refused => 8,
        ServerState::Stopping => 11,
        ServerState::Stopped => 12,
        ServerState::Unknown => -1,
        _ => 5,
    }
}

struct Page {
    text: String,
    label: String,
}

impl Page {
    fn flag(&mut self, name: &str, help: &str, holds: bool) {
        self.gauge(name, help, u8::from(holds));
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.line("gauge", name, help, &value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.line("counter", name, help, &value);
    }

    fn line(&mut self, kind: &str, name: &str, help: &str, value: &dyn Display) {
        let label = &self.label;
        // Writing to a string does not fail.
        let _ = writeln!(
            self.text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{label} {value}"
        );
    }
}

/// Names hold no character that would need an escape here.
fn label(status: &ClusterStatus) -> String {
    format!("{{scope=\"{}\",name=\"{}\"}}", status.cluster, status.seen_by)
}

/// `4.1.0` as 040100.
fn contract() -> String {
    CONTRACT.split('.').map(|part| format!("{part:0>2}")).collect()
}

fn seconds(unix_ms: u64) -> String {
    format!("{}.{:03}", unix_ms / 1_000, unix_ms % 1_000)
}
