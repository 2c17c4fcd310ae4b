//! A postmaster that is stopped (SIGSTOP): sessions that are open go on, new ones wait for ever.
//! After `hung_after` the server is ended and counts as crashed. What is only busy is let be.

use std::time::Duration;

use howdah_base::record::ServerState;
use howdah_testkit::{Cluster, Node, Writer, process, wait, writer};
use nix::sys::signal::Signal;
use tokio_postgres::NoTls;

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

/// Longer than `hung_after`, which is 10 seconds.
const LONG: Duration = Duration::from_secs(16);

#[test]
pub fn hung_postmaster_is_ended_and_clients_write_again() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let old = cluster.primary();
    let postmaster = old.postmaster_pid().expect("a postmaster");

    let short = Duration::from_secs(4);
    process::signal(postmaster, Signal::SIGSTOP);
    let stays = wait::stays(short, || old.postmaster_pid() == Some(postmaster));
    process::signal(postmaster, Signal::SIGCONT);
    assert!(stays, "a short pause ends nothing\n{}", cluster.seen());

    process::signal(postmaster, Signal::SIGSTOP);
    cluster.wait_for("the stopped server is ended", TAKEOVER_WITHIN, || {
        (!process::is_alive(postmaster)).then_some(())
    });
    // It is gone; had it survived it would go on from here.
    process::signal(postmaster, Signal::SIGCONT);
    cluster.wait_for("a new session writes", TAKEOVER_WITHIN, || {
        writer::query(&cluster.plan(), "CREATE TABLE again AS SELECT 1").ok()
    });
    assert!(old.log_text().contains("rule=601"), "{}", old.log_tail(60));
    cluster.wait_whole();
    client.wait_for_rows(100, ROWS_WITHIN);
    client.stop_and_check();
}

#[test]
fn hung_standby_is_ended_and_started_anew() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (term, standby) = (cluster.status().term, cluster.standbys()[0]);
    let postmaster = standby.postmaster_pid().expect("a postmaster");
    process::signal(postmaster, Signal::SIGSTOP);
    cluster.wait_for("the stopped server is ended", TAKEOVER_WITHIN, || {
        (!process::is_alive(postmaster)).then_some(())
    });
    cluster.wait_whole();
    assert_eq!(cluster.status().term, term, "the primary is not touched");
    client.wait_for_rows(100, ROWS_WITHIN);
    client.stop_and_check();
}

/// Every backend that the agent has open is stopped, then every connection is in use.
#[test]
fn busy_is_not_hung() {
    let cluster = three().parameter("max_connections", "20").start();
    cluster.expect_error("remaining connection slots");
    cluster.expect_error("too many clients");
    let primary = cluster.primary();
    let postmaster = primary.postmaster_pid();
    let goes_on = || {
        let own = primary.own_status().ok().map(|own| own.state);
        primary.postmaster_pid() == postmaster && own == Some(ServerState::Primary)
    };
    let backends = primary.sql(
        "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND application_name = 'howdah'
         AND pid <> pg_backend_pid()",
    );
    let backends = backends.expect("asked");
    let backends: Vec<i32> =
        backends.split_whitespace().map(|pid| pid.parse().expect("a process")).collect();
    assert!(!backends.is_empty(), "the agent has a session");
    for backend in &backends {
        process::signal(*backend, Signal::SIGSTOP);
    }
    let stays = wait::stays(LONG, goes_on);
    for backend in &backends {
        process::signal(*backend, Signal::SIGCONT);
    }
    assert!(stays, "{}", cluster.seen());

    let _sessions = Sessions::take_all(&cluster, primary);
    assert!(wait::stays(LONG, goes_on), "{}", cluster.seen());
    assert!(!primary.log_text().contains("rule=601"), "{}", primary.log_tail(60));
}

/// Every connection that the role `app` may have.
struct Sessions {
    _clients: Vec<tokio_postgres::Client>,
    _runtime: tokio::runtime::Runtime,
}

impl Sessions {
    fn take_all(cluster: &Cluster, node: &Node) -> Sessions {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let config = cluster.plan_direct(node).hosts.remove(0);
        let mut clients = Vec::new();
        while let Ok((client, connection)) = runtime.block_on(config.connect(NoTls)) {
            runtime.spawn(connection);
            clients.push(client);
            assert!(clients.len() < 20, "there is no end of connections");
        }
        assert!(clients.len() > 5, "hardly any connection was free: {}", clients.len());
        Sessions { _clients: clients, _runtime: runtime }
    }
}
