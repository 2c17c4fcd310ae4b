//! What the server hears while the caller is busy: that somebody is there, and only what is
//! durable.

use std::time::Duration;

use howdah_base::{Lsn, Timeline};
use howdah_postgres::replication::Event;
use howdah_testkit::{majors, wait};

use crate::rig::{Kept, SLOT, client, first, meanwhile, read, run, stream};

const FLUSH: &str = "select coalesce(flush_lsn, '0/0')::text from pg_stat_replication \
                     where state <> 'startup'";

#[test]
fn a_busy_caller_is_not_given_up_by_an_impatient_server() {
    majors::each(|mut node| {
        node.set("wal_sender_timeout = '1s'").set("wal_keep_size = '1GB'").start();
        run(async {
            let mut client = client(&node).await;
            client.create_slot(SLOT).await.expect("a slot");
            let from = first(&mut client).await;
            let mut stream = stream(&node, from).await;
            let sender = "select pid::text from pg_stat_replication";
            let before = meanwhile(|| node.query(sender));
            // More than queue and socket hold: nothing is read any more.
            let end = meanwhile(|| {
                let sql = "select sum(length(pg_logical_emit_message(false, 'a', \
                           repeat('x', 1000000))::text)) from generate_series(1, 40)";
                node.query(sql);
                node.query("select pg_switch_wal()")
            });
            let stays =
                meanwhile(|| wait::stays(Duration::from_secs(3), || node.query(sender) == before));
            assert!(stays, "the server gave it up");
            let mut kept = Kept::new(from.lsn);
            read(&mut stream, &mut kept, end[0].parse().expect("an LSN")).await.expect("WAL");
            assert!(kept.is_what_the_server_has(&node, Timeline(1)) >= 2);
            assert_eq!(meanwhile(|| node.query(sender)), before);
        });
    });
}

#[test]
fn the_server_is_never_told_more_than_is_durable_and_that_at_once() {
    majors::each(|mut node| {
        node.set("wal_sender_timeout = '1s'").start();
        run(async {
            let mut client = client(&node).await;
            client.create_slot(SLOT).await.expect("a slot");
            let from = first(&mut client).await;
            let mut stream = stream(&node, from).await;
            let end = meanwhile(|| node.query("select pg_switch_wal()"));
            let end: Lsn = end[0].parse().expect("an LSN");
            let mut kept = Kept::new(from.lsn);
            read(&mut stream, &mut kept, end).await.expect("WAL");
            // Several statuses go out in that time.
            let mut seen = Vec::new();
            let mut says_nothing = || {
                seen = node.query(FLUSH);
                seen == ["0/0"]
            };
            let nothing = meanwhile(|| wait::stays(Duration::from_millis(1200), &mut says_nothing));
            assert!(nothing, "nothing was told to be durable: {seen:?}");
            let slot = client.slot(SLOT).await.expect("an answer").expect("a slot");
            assert!(slot.restart.is_some_and(|restart| restart < end), "{slot:?}");

            let feedback = stream.feedback();
            feedback.report(end, Lsn(end.0 - 8));
            let shows = |lsn: Lsn| {
                let seen = || (node.query(FLUSH) == [lsn.to_string()]).then_some(());
                wait::found_within(Duration::from_secs(5), seen).is_some()
            };
            assert!(meanwhile(|| shows(Lsn(end.0 - 8))), "it is told");
            feedback.report(end, from.lsn);
            feedback.report(end, end);
            assert!(meanwhile(|| shows(end)), "it never goes back");
            // It shows before the slot lets go; the story's own bound ends this.
            while client.slot(SLOT).await.expect("an answer").and_then(|s| s.restart) != Some(end) {
            }
        });
    });
}

/// A fast shutdown waits until everything that was sent is reported as flushed, for ever, because
/// somebody answers. Whoever holds a stream must let go of it.
#[test]
fn a_shutdown_waits_for_a_caller_that_reports_nothing_until_it_lets_go() {
    majors::each(|mut node| {
        node.set("wal_sender_timeout = '1s'").start();
        run(async move {
            let mut client = client(&node).await;
            client.create_slot(SLOT).await.expect("a slot");
            let from = first(&mut client).await;
            let mut stream = stream(&node, from).await;
            let end = meanwhile(|| node.query("select pg_switch_wal()"));
            let mut kept = Kept::new(from.lsn);
            read(&mut stream, &mut kept, end[0].parse().expect("an LSN")).await.expect("WAL");
            let stopping = tokio::task::spawn_blocking(move || node.stop());
            let waits =
                meanwhile(|| wait::stays(Duration::from_secs(3), || !stopping.is_finished()));
            assert!(waits, "it did not wait");
            drop(stream);
            stopping.await.expect("it ends");
        });
    });
}

/// One that reports everything hears the end.
#[test]
fn a_shutdown_ends_a_stream_that_reports_everything() {
    majors::each(|mut node| {
        node.start();
        run(async move {
            let mut client = client(&node).await;
            client.create_slot(SLOT).await.expect("a slot");
            let from = first(&mut client).await;
            let mut stream = stream(&node, from).await;
            let feedback = stream.feedback();
            let stopping = tokio::task::spawn_blocking(move || node.stop());
            let error = loop {
                match stream.next().await {
                    Ok(Event::Wal { start, bytes, .. }) => {
                        let end = Lsn(start.0 + bytes.len() as u64);
                        feedback.report(end, end);
                    }
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(error.to_string().contains("shutting down"), "{error}");
            stopping.await.expect("it ends");
        });
    });
}
