//! A stream goes over a promotion: its timeline ends, and the connection asks for the next.

use howdah_base::{History, Lsn, Position, Timeline};
use howdah_postgres::replication::{Event, Start};
use howdah_testkit::{majors, wait};

use crate::rig::{Kept, SEGMENT, SLOT, client, first, meanwhile, read, run, stream};

#[test]
fn a_promoted_standby_is_followed_onto_its_new_timeline() {
    majors::each(|mut node| {
        node.start();
        let mut standby = node.standby();
        standby.set("wal_keep_size = '1GB'").start();
        run(async {
            let mut asking = client(&standby).await;
            asking.create_slot(SLOT).await.expect("a slot");
            let from = first(&mut asking).await;
            let mut old = stream(&standby, from).await;
            meanwhile(|| {
                node.query("create table t as select generate_series(1, 10000)");
                let end: Lsn = node.query("select pg_current_wal_lsn()")[0].parse().expect("LSN");
                let caught_up = format!("select pg_last_wal_replay_lsn() >= '{end}'");
                wait::until(
                    "the standby has it",
                    std::time::Duration::from_secs(30),
                    || (standby.query(&caught_up) == ["t"]).then_some(()),
                    String::new,
                );
                standby.query("select pg_promote()");
            });
            let mut kept = Kept::new(from.lsn);
            let ends = read(&mut old, &mut kept, Lsn(u64::MAX)).await.expect("the end");
            let Some(Event::TimelineEnds { next, switchpoint }) = ends else { panic!("{ends:?}") };
            assert_eq!((next, switchpoint), (Timeline(2), kept.end()));

            let mut again = old.end().await.expect("the connection");
            let content = again.history(next).await.expect("a history");
            let text = String::from_utf8(content).expect("text");
            let history = History::parse(next, &text).expect("a history");
            assert_eq!(history.forks, [(Timeline(1), switchpoint)]);
            let lsn = Lsn(switchpoint.0 / SEGMENT * SEGMENT);
            let from = Position { timeline: next, lsn };
            let mut new = again.start(Start { slot: Some(SLOT), from }).await.expect("a stream");
            let end = meanwhile(|| {
                standby.query("create table u as select generate_series(1, 10000)");
                standby.query("select pg_switch_wal()")
            });
            let mut kept = Kept::new(lsn);
            read(&mut new, &mut kept, end[0].parse().expect("an LSN")).await.expect("WAL");
            kept.is_what_the_server_has(&standby, next);
        });
    });
}

#[test]
fn a_timeline_of_which_nothing_is_left_ends_at_once() {
    majors::each(|mut node| {
        node.start();
        let mut standby = node.standby();
        standby.start();
        run(async {
            meanwhile(|| standby.query("select pg_promote()"));
            let mut asking = client(&standby).await;
            let content = asking.history(Timeline(2)).await.expect("a history");
            let text = String::from_utf8(content).expect("text");
            let fork = History::parse(Timeline(2), &text).expect("a history").forks[0].1;
            let from = Position { timeline: Timeline(1), lsn: fork };
            let mut over = asking.start(Start { slot: None, from }).await.expect("a stream");
            let ends = over.next().await.expect("its end");
            assert_eq!(ends, Event::TimelineEnds { next: Timeline(2), switchpoint: fork });
            over.end().await.expect("the connection").identify().await.expect("an answer");
        });
    });
}
