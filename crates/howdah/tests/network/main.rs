//! Three machines, each a network namespace, with the nodes' own etcd: hosts that go dark,
//! cables that are cut in one direction or both, agents that are restarted. One story a file.
//!
//! The client sits at a fourth machine that reaches all three whatever is cut between them, so
//! it would be told of two primaries if there were two.

#![expect(clippy::print_stderr, reason = "what was not shown is said")]

use std::time::Duration;

use howdah_testkit::{Cluster, Setup};

mod agent_exchanged;
mod bootstrap;
mod cut;
mod false_alarm;
mod host_lost;
mod isolated;
mod store_lost;
mod taken_back;
mod vip;
mod watch;
mod witness;

const BINARY: &str = env!("CARGO_BIN_EXE_howdah");

/// Three machines of the binary that was built for these tests; `None` where this process may
/// not make networks, which is for root.
fn three() -> Option<Setup> {
    let setup = Cluster::of(3, BINARY).on_machines();
    if setup.is_none() {
        eprintln!("no network namespaces here: nothing was shown");
    }
    setup
}

/// Any takeover is done within this, also on a busy machine: the lease is 6 seconds.
const TAKEOVER_WITHIN: Duration = Duration::from_secs(40);
/// A client writes again within this after the cluster is whole.
const ROWS_WITHIN: Duration = Duration::from_secs(30);
