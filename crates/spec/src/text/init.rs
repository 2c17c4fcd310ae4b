//! `howdah init`: a short cluster file to begin with.

use std::path::Path;

use howdah_base::ClusterName;

use super::toml::quoted;

/// A file for `nodes` nodes on this machine, ready for `howdah up`, with backups in `repository`.
pub fn init_text(cluster: &ClusterName, nodes: u32, repository: &Path) -> String {
    let repository = quoted(repository.display());
    let nodes: String = (1..=nodes.max(1)).map(|number| format!("[nodes.n{number}]\n")).collect();
    format!(
        r##"# A PostgreSQL cluster on this machine. `howdah check` shows all that is in force,
# `howdah up` starts it, and `examples/reference.toml` explains every key.

cluster = "{cluster}"

# A commit is acknowledged when a standby has it too: it survives the loss of a node.
durability = "quorum"

# Who may connect, with pg_hba rules; without them passwords from this machine only.
# hba = ["hostssl app app 10.0.0.0/8 scram-sha-256"]

# Nodes live on this machine, with ports of their own: the first one's are 6432 (read and
# write), 6433 (read) and 6434 (any), each further node's ten higher.
{nodes}
# WAL a second after it was written, and a backup a day: `howdah backups`. On this disk they are good
# against a dropped table, and not against the loss of the disk: better a place elsewhere, or
# "s3://bucket/prefix".
[backup]
repository = {repository}

# Parameters of PostgreSQL. Memory is set by itself: see `howdah tune`.
[postgresql.parameters]
# max_connections = 200

[databases.app]
owner = "app"
extensions = ["pg_stat_statements"]

# Passwords are never in this file. A file that is missing gets a random password from
# `howdah up`; {{ env = "NAME" }} and {{ command = ["program"] }} work too.
[roles.app]
kind = "app"
password = {{ file = "app.password" }}

[roles.readonly]
kind = "readonly"
password = {{ file = "readonly.password" }}

[roles.admin]
kind = "admin"
password = {{ file = "admin.password" }}

[roles.monitor]
kind = "monitor"
password = {{ file = "monitor.password" }}

[roles.backup]
kind = "backup"
password = {{ file = "backup.password" }}
"##
    )
}
