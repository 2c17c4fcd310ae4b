//! Patronictl's arguments, verb by verb. Source: `patroni/ctl.py`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use howdah_base::NodeName;

use super::settings::Edit;
use crate::output::Format;

/// Whom a verb is for.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Leader,
    #[value(alias = "master")]
    Primary,
    #[value(name = "standby-leader")]
    StandbyLeader,
    Replica,
    Standby,
    Any,
}

/// `-W`, `-w SECONDS`.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Watch {
    /// Again every two seconds
    #[arg(short = 'W')]
    again: bool,
    /// Again every so many seconds
    #[arg(short = 'w', long = "watch", value_name = "SECONDS")]
    every: Option<f64>,
}

impl Watch {
    pub fn period(self) -> Option<Duration> {
        let asked = self.every.filter(|seconds| (0.1..86_400.0).contains(seconds));
        asked.or(self.again.then_some(2.0)).map(Duration::from_secs_f64)
    }
}

#[derive(clap::Args, Debug)]
pub struct Cluster {
    pub cluster: Option<String>,
}

/// List the members of the cluster
#[derive(clap::Args, Debug)]
pub struct List {
    pub clusters: Vec<String>,
    #[command(flatten)]
    pub view: View,
    /// Output format
    #[arg(short, long, value_enum, default_value = "pretty")]
    pub format: Format,
}

/// How a list looks.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct View {
    /// Show some extra information
    #[arg(short, long)]
    pub extended: bool,
    /// Print the time
    #[arg(short, long)]
    pub timestamp: bool,
    #[command(flatten)]
    pub watch: Watch,
}

/// Show who streams from whom
#[derive(clap::Args, Debug)]
pub struct Topology {
    pub clusters: Vec<String>,
    #[command(flatten)]
    pub watch: Watch,
}

/// Show the history of failovers and switchovers
#[derive(clap::Args, Debug)]
pub struct History {
    pub cluster: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "pretty")]
    pub format: Format,
}

/// Show the version of this program, or of running members
#[derive(clap::Args, Debug)]
pub struct Version {
    pub cluster: Option<String>,
    pub members: Vec<NodeName>,
}

/// Print host and port of a member, the leader unless told otherwise
#[derive(clap::Args, Debug)]
pub struct Dsn {
    pub cluster: Option<String>,
    /// Any member with this role
    #[arg(short, long, value_enum)]
    pub role: Option<Role>,
    /// This member
    #[arg(short, long, conflicts_with = "role")]
    pub member: Option<NodeName>,
}

/// Run SQL on a member
#[derive(clap::Args, Debug)]
pub struct Query {
    pub cluster: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value = "tsv")]
    pub format: Format,
    /// Execute the SQL of this file
    #[arg(short = 'f', long = "file", value_name = "FILE", required_unless_present = "command")]
    pub sql_file: Option<PathBuf>,
    /// The SQL
    #[arg(short, long, conflicts_with = "sql_file")]
    pub command: Option<String>,
    /// Without effect: passwords are in the pgpass file that `howdah up` has written
    #[arg(long, hide = true)]
    pub password: bool,
    /// Database user
    #[arg(short = 'U', long)]
    pub username: Option<String>,
    /// Database name
    #[arg(short, long)]
    pub dbname: Option<String>,
    #[arg(short, long, value_enum)]
    pub role: Option<Role>,
    /// This member
    #[arg(short, long, conflicts_with = "role")]
    pub member: Option<NodeName>,
    /// What stands between columns
    #[arg(long, default_value = "\t")]
    pub delimiter: String,
    #[command(flatten)]
    pub watch: Watch,
}

/// Change the dynamic configuration
#[derive(clap::Args, Debug)]
pub struct EditConfig {
    pub cluster: Option<String>,
    #[command(flatten)]
    pub edit: Edit,
}

/// Fail over to a replica
#[derive(clap::Args, Debug)]
pub struct Failover {
    pub cluster: Option<String>,
    /// The current leader
    #[arg(long, visible_aliases = ["primary", "master"])]
    pub leader: Option<NodeName>,
    /// Who takes over
    #[arg(long)]
    pub candidate: Option<NodeName>,
    /// Do not ask
    #[arg(long)]
    pub force: bool,
}

/// Switch over to a replica
#[derive(clap::Args, Debug)]
pub struct Switchover {
    pub cluster: Option<String>,
    /// The current leader
    #[arg(long, visible_aliases = ["primary", "master"])]
    pub leader: Option<NodeName>,
    /// Who takes over
    #[arg(long)]
    pub candidate: Option<NodeName>,
    /// When: `now`, or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub scheduled: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub force: bool,
}

/// Restart members
#[derive(clap::Args, Debug)]
pub struct Restart {
    pub cluster: String,
    pub members: Vec<NodeName>,
    /// Only members with this role
    #[arg(short, long, value_enum, default_value = "any")]
    pub role: Role,
    /// A single member only
    #[arg(long = "any")]
    pub one: bool,
    /// When: `now`, or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub scheduled: Option<String>,
    /// Only if PostgreSQL is older, such as 15.9
    #[arg(long = "pg-version", value_name = "VERSION")]
    pub pg_version: Option<String>,
    /// Only where it is pending
    #[arg(long)]
    pub pending: bool,
    /// Most seconds to wait for the end
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub force: bool,
}

/// Reload members
#[derive(clap::Args, Debug)]
pub struct Reload {
    pub cluster: String,
    pub members: Vec<NodeName>,
    /// Only members with this role
    #[arg(short, long, value_enum, default_value = "any")]
    pub role: Role,
    /// Do not ask
    #[arg(long)]
    pub force: bool,
}

/// Copy replicas anew
#[derive(clap::Args, Debug)]
pub struct Reinit {
    pub cluster: String,
    pub members: Vec<NodeName>,
    /// Copy from the leader
    #[arg(long)]
    pub from_leader: bool,
    /// Come back when it streams again
    #[arg(long)]
    pub wait: bool,
    /// Do not ask
    #[arg(long)]
    pub force: bool,
}

/// Drop what is scheduled: CLUSTER [MEMBER]... restart|switchover
#[derive(clap::Args, Debug)]
pub struct Flush {
    pub cluster: String,
    #[arg(required = true, value_name = "[MEMBER]... restart|switchover")]
    pub words: Vec<String>,
    /// Only members with this role
    #[arg(short, long, value_enum, default_value = "any")]
    pub role: Role,
    /// Do not ask
    #[arg(long)]
    pub force: bool,
}

/// Switch automatic failover off, or on again
#[derive(clap::Args, Debug)]
pub struct Pause {
    pub cluster: Option<String>,
    /// Come back when every node knows of it
    #[arg(long)]
    pub wait: bool,
}

/// Refused: a cluster goes by `howdah down --purge`
#[derive(clap::Args, Debug)]
pub struct Remove {
    pub cluster: String,
    #[arg(short, long, value_enum, default_value = "pretty", hide = true)]
    pub format: Format,
}
