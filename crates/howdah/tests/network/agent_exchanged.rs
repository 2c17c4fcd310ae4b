//! `howdah run` is restarted or replaced by another version under load. Clients that are
//! connected straight to PostgreSQL see nothing of it, and nothing changes hands.

use std::path::Path;
use std::time::Duration;

use howdah_testkit::{Cluster, Scratch, Writer, process, wait};
use nix::sys::signal::Signal;

use crate::{BINARY, ROWS_WITHIN, TAKEOVER_WITHIN, three};

/// What the unit sends for a restart: the agent leaves, its server stays.
const LEAVE: Signal = Signal::SIGUSR2;

#[test]
fn agents_restarted_one_after_the_other_are_not_noticed() {
    let Some(setup) = three() else { return };
    unnoticed(&setup.start(), |_| {}, LEAVE);
}

#[test]
fn agents_killed_and_started_again_are_not_noticed() {
    let Some(setup) = three() else { return };
    unnoticed(&setup.start(), |_| {}, Signal::SIGKILL);
}

/// The program is another file by the time the agents are restarted; guard and keeper of etcd
/// go on with the old one.
#[test]
fn an_upgrade_is_not_noticed() {
    let place = Scratch::new();
    let installed = place.path().join("howdah");
    std::fs::copy(BINARY, &installed).expect("install it");
    let Some(setup) = Cluster::of(3, &installed).on_machines() else { return };
    let cluster = setup.start();
    unnoticed(&cluster, |cluster| cluster.exchange_binary(Path::new(BINARY)), LEAVE);
    for node in cluster.nodes() {
        let guard = node.guard_pid().expect("a guard");
        let runs = std::fs::read_link(format!("/proc/{guard}/exe")).expect("its program");
        assert!(runs.display().to_string().ends_with("(deleted)"), "{}", runs.display());
    }
}

fn unnoticed(cluster: &Cluster, prepare: impl Fn(&Cluster), signal: Signal) {
    let primary = cluster.primary();
    let servers = || cluster.nodes().iter().map(|node| node.postmaster_pid()).collect::<Vec<_>>();
    let (before, term) = (servers(), cluster.status().term);
    let direct = Writer::start(cluster.plan_direct(primary));
    direct.wait_for_rows(100, ROWS_WITHIN);
    prepare(cluster);
    // The primary's last, as one does it.
    for node in cluster.standbys().into_iter().chain([primary]) {
        let agent = node.agent_pid().expect("an agent");
        process::signal(agent, signal);
        cluster.wait_for("the agent has left", TAKEOVER_WITHIN, || {
            node.agent_pid().is_none().then_some(())
        });
        node.start();
        cluster.wait_whole();
    }
    // Longer than a lease: a deadline that nobody moved would have ended a server by then.
    let stays = wait::stays(Duration::from_secs(8), || servers() == before);
    assert!(stays, "a server was restarted\n{}", cluster.seen());
    assert_eq!((cluster.status().term, &cluster.primary().name), (term, &primary.name));
    let journal = direct.stop_and_check();
    assert!(journal.errors.is_empty(), "{}", journal.last_errors());
}
