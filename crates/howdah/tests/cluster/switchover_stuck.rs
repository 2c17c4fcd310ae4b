//! What can hold a switchover up: an archiver that hangs, transactions that do not end, a
//! CHECKPOINT that does not. Each is waited for within a bound; before the shutdown the switchover
//! is abandoned, and whoever asked hears where it stood.

use std::time::{Duration, Instant};

use howdah_testkit::{Cluster, Writer, process};
use nix::sys::signal::Signal;
use tokio_postgres::NoTls;
use tokio_postgres::config::Config;

use crate::{ROWS_WITHIN, three};

/// `drain_timeout` and the wait for the archiver, with as much again for a busy machine; far
/// below `switchover_timeout`, at which the guard would end everything.
const MOVED_WITHIN: Duration = Duration::from_secs(22);

/// A session that has begun a transaction and does nothing more.
fn idle_in_transaction(config: Config) -> impl Drop {
    struct Idle {
        stop: Option<std::sync::mpsc::Sender<()>>,
        thread: Option<std::thread::JoinHandle<()>>,
    }
    impl Drop for Idle {
        fn drop(&mut self) {
            self.stop.take();
            self.thread.take().map(std::thread::JoinHandle::join);
        }
    }
    let (begun, is_idle) = std::sync::mpsc::channel();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(async {
            let (client, session) = config.connect(NoTls).await.expect("a session");
            tokio::spawn(session);
            client.batch_execute("BEGIN; SELECT txid_current()").await.expect("a transaction");
            client
        });
        begun.send(()).expect("somebody waits");
        stopped.recv().ok();
        drop(client);
    });
    is_idle.recv_timeout(Duration::from_secs(30)).expect("it is idle");
    Idle { stop: Some(stop), thread: Some(thread) }
}

#[test]
pub fn an_archiver_that_hangs_and_transactions_that_do_not_end_hold_no_switchover_up() {
    let cluster = three()
        .set("ha", "drain_timeout", "\"2s\"")
        .parameter("archive_mode", "on")
        .parameter("archive_command", "sleep 600")
        .start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let old = cluster.primary();
    for _ in 0..3 {
        old.sql("SELECT pg_switch_wal() FROM pg_create_restore_point('a')").expect("a WAL file");
    }
    cluster.wait_for("the archiver hangs", Duration::from_secs(30), || {
        let sleeps = |p: &process::Process| p.arguments.iter().any(|word| word == "600");
        old.server_processes().iter().any(sleeps).then_some(())
    });
    let session = cluster.hosts(|ports| ports.rw).swap_remove(0);
    let idle = idle_in_transaction(session);

    std::thread::scope(|scope| {
        scope.spawn(|| old.sql("SELECT pg_sleep(25)").is_ok());
        cluster.wait_for("a long transaction runs", Duration::from_secs(10), || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
            (old.sql(sql).ok()? == "1").then_some(())
        });
        let asked = Instant::now();
        cluster.howdah_ok(&["switchover"]);
        let took = asked.elapsed();
        assert!(took < MOVED_WITHIN, "it took {took:?}\n{}", cluster.seen());
    });
    cluster.wait_for_other_primary(&old.name, Duration::from_secs(10));
    drop(idle);
    client.wait_for_rows(50, ROWS_WITHIN);
    cluster.wait_whole();
    let log = old.log_text();
    assert!(log.contains("not waited for any longer"), "it says what it left: {log}");
    client.stop_and_check();
}

#[test]
pub fn a_checkpoint_that_does_not_end_abandons_the_switchover_and_says_so() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (old, term) = (cluster.primary(), cluster.status().term);
    let checkpointer = checkpointer(&cluster);
    process::signal(checkpointer, Signal::SIGSTOP);
    let output = cluster.howdah(&["switchover"]);
    process::signal(checkpointer, Signal::SIGCONT);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{words}");
    assert!(words.contains("abandoned") && words.contains("CHECKPOINT"), "{words}");
    client.wait_for_rows(50, ROWS_WITHIN);
    cluster.wait_whole();
    assert_eq!((&cluster.primary().name, cluster.status().term), (&old.name, term));
    client.stop_and_check();
}

fn checkpointer(cluster: &Cluster) -> i32 {
    let processes = cluster.primary().server_processes().into_iter();
    let found = processes.filter(|p| p.title().contains("checkpointer")).map(|p| p.pid).next();
    found.expect("a checkpointer")
}
