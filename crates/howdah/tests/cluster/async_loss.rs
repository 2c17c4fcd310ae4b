//! `async`, and the primary's host is lost: what no standby had received is lost, nothing else,
//! and status and history say how much.

use std::time::{Duration, Instant};

use howdah_base::record::ChangeKind;
use howdah_testkit::{Writer, process, writer};
use nix::sys::signal::Signal;

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

/// A row has reached a standby that streams within this.
const SENT_WITHIN: Duration = Duration::from_secs(1);

#[test]
pub fn host_lost_in_async_what_no_standby_had_is_lost_and_said() {
    let cluster = three().asynchronous().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let old = cluster.primary();
    let term = cluster.status().term;

    let standbys = cluster.standbys();
    let receivers: Vec<i32> = standbys.iter().filter_map(|node| node.wal_receiver_pid()).collect();
    assert_eq!(receivers.len(), 2, "{}", cluster.seen());
    client.wait_for_rows(400, ROWS_WITHIN);
    let cut = Instant::now();
    // Frozen with the signal to end waiting: nothing that is sent from here on is received.
    for receiver in &receivers {
        process::signal(*receiver, Signal::SIGSTOP);
        process::signal(*receiver, Signal::SIGTERM);
    }
    client.wait_for_rows(100, ROWS_WITHIN);
    old.kill9_everything();
    for receiver in &receivers {
        process::signal(*receiver, Signal::SIGCONT);
    }
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(50, ROWS_WITHIN);

    let status = cluster.wait_for("the new term", Duration::from_secs(20), || {
        new.status().ok().filter(|status| status.term > term)
    });
    let change = status.history.last().expect("a change").clone();
    assert_eq!(change.kind, ChangeKind::Failover);
    let wrote = format!("at most what `{}` wrote after {}", old.name, change.begins.lsn);
    for words in [wrote.as_str(), "bytes of that were seen", "the last commit here was made at"] {
        assert!(change.loss.contains(words), "`{words}` in: {}", change.loss);
    }
    let screen = cluster.howdah_ok(&["status"]);
    let line = format!("lost when {} took over from {} ", change.leader, old.name);
    assert!(screen.contains(&line) && screen.contains(&change.loss), "{screen}");
    assert!(cluster.howdah_ok(&["history"]).contains(&change.loss));

    old.start();
    cluster.wait_whole();
    let journal = client.stop();
    let present = writer::rows(&cluster.plan()).expect("read the rows back");
    let missing = journal.missing_from(&present);
    assert!(!missing.is_empty(), "the story lost something, or shows nothing");
    let early: Vec<_> = journal
        .acknowledged
        .iter()
        .filter(|row| row.at + SENT_WITHIN < cut && missing.contains(&row.number))
        .collect();
    assert!(early.is_empty(), "what a standby had received is there: {early:?}");
}
