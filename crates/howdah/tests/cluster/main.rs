//! What happens to a real cluster on a bad day: real servers, real kill -9, and a client that
//! remembers what it was told. One story a file; all in one program, because each would link
//! the same things again.

use std::time::Duration;

use howdah_testkit::{Cluster, Setup};

mod adopt_single;
mod agent_frozen;
mod agent_killed;
mod all_nodes_killed;
mod apply;
mod async_loss;
mod backed_up;
mod backend_killed;
mod backup_killed;
mod backup_refused;
mod bootstrap;
mod client_address;
mod clock_jump;
mod commit_gate;
mod console;
mod control;
mod disks;
mod drilled;
mod etcd;
mod four_nodes;
mod fresh_connections;
mod hooks;
mod hooks_fail;
mod host_lost;
mod hung;
mod logical_slot;
mod machine_suspended;
mod newcomers;
mod operator;
mod opted_out;
mod pooled;
mod postmaster_killed;
mod proxy_elsewhere;
mod proxy_rights;
mod recovered;
mod rejoin;
mod restored;
mod scheduled;
mod sizes;
mod standby_copied_anew;
mod standby_from_repository;
mod standbys_lost;
mod switchover;
mod switchover_stuck;
mod tags;
mod tail;
mod taken_back;
mod timelines;
mod told;
mod up_and_down;
mod up_refused;
mod users_slot;
mod wal_agent;
mod wal_kept;
mod watchdog;
mod wrong_directory;
mod wrong_surroundings;

/// Three nodes of the binary that was built for these tests.
fn three() -> Setup {
    Cluster::of(3, env!("CARGO_BIN_EXE_howdah"))
}

/// Any takeover is done within this, also on a busy machine: the lease is 10 seconds or less.
const TAKEOVER_WITHIN: Duration = Duration::from_secs(40);
/// A client writes again within this after the cluster is whole.
const ROWS_WITHIN: Duration = Duration::from_secs(30);
