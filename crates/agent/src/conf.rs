//! How the local server is configured now, and how that becomes PostgreSQL's files.
//!
//! The state is kept beside the lease lock in `state_dir/conf.json`, so that an agent that is
//! started anew knows what the running server was told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use howdah_base::{DirectoryId, NodeName, Term};
use howdah_ha::Command;
use howdah_postgres::conf::{self, ServerConf};
use howdah_postgres::wal::tail;
use serde::{Deserialize, Serialize};

use crate::shared::Shared;

/// A standby that does not exist: commits that wait for it wait.
pub(crate) const NOBODY: &str = "howdah_nobody";

/// What changes in the configuration while a node lives.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ConfState {
    pub standby: bool,
    /// The upstream, and the term of the slot used there.
    pub upstream: Option<(NodeName, Term)>,
    /// `ANY needed (names)`.
    pub names: BTreeSet<DirectoryId>,
    pub needed: u32,
    /// Users' pg_hba rules are in force.
    pub gate_open: bool,
    /// Revision of the cluster file that was written.
    pub file_revision: u64,
    /// The term that this node leads.
    #[serde(default)]
    pub leads: Option<Term>,
    /// Values of parameters that nodes get in an order, in place of the file's
    /// ([`howdah_spec::effective::sizes`]).
    #[serde(default)]
    pub sizes: BTreeMap<String, u64>,
    /// Fetched WAL is replayed. Holds as long as the job that fetched it, so it is never read
    /// back: every other write of the files ends it.
    #[serde(skip)]
    pub restores: bool,
}

impl ConfState {
    /// Whether an agent of this node has ever configured a server.
    pub fn exists(shared: &Shared) -> bool {
        path(shared).exists()
    }

    /// What the last agent of this node wrote; the default when there is nothing.
    pub fn load(shared: &Shared) -> ConfState {
        let text = std::fs::read_to_string(path(shared)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// What a job makes of the server counts from its beginning, not only when it has got there: one that
    /// fails may have got there all the same, and its outcome then tells nothing of what it has written.
    /// Voters that are in force and not known here would be gone with the next file that is written.
    pub fn foresees(&mut self, command: &Command) {
        match command {
            Command::StartPrimary { names, needed } => {
                self.closes();
                (self.names, self.needed) = (names.clone(), *needed);
            }
            // A standby, and open to readers, until it has happened.
            Command::Promote { names, needed, .. } => {
                (self.names, self.needed) = (names.clone(), *needed);
            }
            Command::StartStandby { .. } => self.standby = true,
            _ => {}
        }
    }

    /// The server is a primary from now on, or is about to be one. A standby's gate is open, and a job that
    /// makes a primary closes it; what that job has written is known only once it has ended, and until then
    /// the gate must not count as open: clients would be led to a server that refuses them.
    pub fn closes(&mut self) {
        self.standby = false;
        self.gate_open = false;
    }

    /// `synchronous_standby_names`. A standby's is never empty: the flag that makes commits wait
    /// is set by the checkpointer some time after a reload, and a session that is open while the
    /// standby is promoted must not find it unset.
    pub fn setting(&self) -> String {
        if self.standby && self.names.is_empty() {
            return conf::synchronous_standby_names(1, &[NOBODY.to_owned()]);
        }
        let names: Vec<String> = self.names.iter().map(|id| id.as_str().to_owned()).collect();
        conf::synchronous_standby_names(self.needed, &names)
    }

    /// `synchronized_standby_slots`: consumers of failover slots get nothing that the voters do
    /// not have, or they would be ahead of the next primary.
    fn synchronized(&self) -> String {
        let Some(term) = self.leads.filter(|_| !self.standby) else { return String::new() };
        self.names.iter().map(|id| id.slot(term)).collect::<Vec<_>>().join(",")
    }

    /// Writes PostgreSQL's files, durably, then remembers the state. Blocking.
    pub fn write(&self, shared: &Shared, id: &DirectoryId) -> Result<(), String> {
        let conf = server_conf(self, shared, id)?;
        let data_dir = &shared.config.own().data_dir;
        conf::write(data_dir, &conf).map_err(|e| e.to_string())?;
        if !self.restores {
            tail::clear(data_dir).map_err(|e| e.to_string())?;
        }
        let text = serde_json::to_string(self).map_err(|e| e.to_string())?;
        let path = path(shared);
        let fresh = path.with_extension("tmp");
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .map_err(|e| format!("cannot write `{}`: {e}", path.display()))
    }
}

fn path(shared: &Shared) -> PathBuf {
    shared.config.own().state_dir.join("conf.json")
}

fn server_conf(state: &ConfState, shared: &Shared, id: &DirectoryId) -> Result<ServerConf, String> {
    let spec = shared.spec();
    let config = &shared.config;
    let effective = howdah_spec::effective(&spec, &config.node, &config.machine, config.major());
    let mut parameters: BTreeMap<String, String> =
        effective.into_iter().map(|(name, effective)| (name, effective.value)).collect();
    for (name, size) in &state.sizes {
        parameters.insert(name.clone(), size.to_string());
    }
    let own = config.own();
    let listen: Vec<String> = config.listen().iter().map(ToString::to_string).collect();
    let mut set = |name: &str, value: String| parameters.insert(name.to_owned(), value);
    set("listen_addresses", listen.join(","));
    set("port", own.postgres_port.to_string());
    set("unix_socket_directories", config.socket_dir().display().to_string());
    set("unix_socket_permissions", "0700".to_owned());
    set("cluster_name", format!("{}/{}", spec.cluster, config.node));
    set("ssl", "on".to_owned());
    set("ssl_ca_file", config.tls.ca.display().to_string());
    set("ssl_cert_file", config.tls.server_cert.display().to_string());
    set("ssl_key_file", config.tls.server_key.display().to_string());
    set("synchronous_standby_names", state.setting());
    let (conninfo, slot) = upstream(state, shared, id)?;
    let keeps_slots = config.major() >= howdah_postgres::logical::KEPT_SINCE;
    if keeps_slots && state.standby && !conninfo.is_empty() {
        // The worker that synchronizes failover slots asks in a database.
        set("primary_conninfo", format!("{conninfo} dbname='postgres'"));
    } else {
        set("primary_conninfo", conninfo);
    }
    if keeps_slots {
        set("sync_replication_slots", "on".to_owned());
        set("synchronized_standby_slots", state.synchronized());
    }
    set("primary_slot_name", slot);
    let restore = if state.restores { tail::RESTORE_COMMAND } else { "" };
    set("restore_command", restore.to_owned());
    set("recovery_target_timeline", "latest".to_owned());
    let users: Vec<String> = spec.hba.iter().map(|rule| rule.line.clone()).collect();
    Ok(ServerConf {
        parameters,
        hba: conf::hba_text(state.gate_open, &users),
        ident: conf::ident_text(&config.os_user),
        standby: state.standby,
    })
}

/// `primary_conninfo` and `primary_slot_name`; empty without an upstream.
fn upstream(
    state: &ConfState,
    shared: &Shared,
    id: &DirectoryId,
) -> Result<(String, String), String> {
    let Some((node, term)) = &state.upstream else {
        return Ok((String::new(), String::new()));
    };
    Ok((shared.conninfo(node, id.as_str())?, id.slot(*term)))
}

#[cfg(test)]
mod tests {
    use howdah_base::Timeline;

    use super::*;

    /// The job says no more than that it failed; a probe finds a primary.
    #[test]
    fn the_voters_of_a_promotion_that_failed_behind_its_end_stay_in_force() {
        let names = BTreeSet::from(["n2_00000001".parse().expect("an identity")]);
        let (term, slots) = (Term(2), BTreeSet::new());
        let mut conf = ConfState { standby: true, gate_open: true, ..ConfState::default() };
        assert_eq!(conf.setting(), "ANY 1 (\"howdah_nobody\")");
        let (timeline, needed) = (Timeline(2), 1);
        conf.foresees(&Command::Promote { timeline, names: names.clone(), needed, term, slots });
        assert!(conf.standby && conf.gate_open, "until it has happened: {conf:?}");
        conf.closes();
        // The next that is written is the open gate.
        let opened = ConfState { gate_open: true, ..conf.clone() };
        assert_eq!(opened.setting(), "ANY 1 (\"n2_00000001\")");
        assert!(!conf.standby && !conf.gate_open);

        let mut conf = ConfState { gate_open: true, ..ConfState::default() };
        conf.foresees(&Command::StartPrimary { names, needed });
        assert_eq!(conf.setting(), "ANY 1 (\"n2_00000001\")");
        assert!(!conf.gate_open);
    }
}
