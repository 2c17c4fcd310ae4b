//! What the server is asked before a stream.

use howdah_base::{Lsn, Position, Timeline};
use howdah_postgres::PgError;
use howdah_postgres::replication::{Client, Event, SEGMENT_REMOVED, SLOT_IN_USE, Start};
use howdah_testkit::majors;

use crate::rig::{SEGMENT, SLOT, begin, client, first, meanwhile, run, stream};

#[test]
fn a_server_says_who_it_is_and_keeps_a_slot() {
    majors::each(|mut node| {
        node.start();
        run(async {
            let mut client = client(&node).await;
            let identity = client.identify().await.expect("an identity");
            let sql = "select system_identifier from pg_control_system()";
            let said = meanwhile(|| node.query(sql));
            assert_eq!(said, [identity.system_identifier.to_string()]);
            assert_eq!(identity.end.timeline, Timeline(1));
            assert!(identity.end.lsn > Lsn(SEGMENT), "{identity:?}");
            assert_eq!(client.segment_size().await.expect("a size"), SEGMENT);

            assert_eq!(client.slot(SLOT).await.expect("an answer"), None);
            client.create_slot(SLOT).await.expect("a slot");
            let made = client.slot(SLOT).await.expect("an answer").expect("a slot");
            assert!(made.restart.is_some_and(|restart| restart <= identity.end.lsn), "{made:?}");
            assert_eq!(made.timeline, Some(Timeline(1)));
            client.create_slot(SLOT).await.expect("one that is there is fine");
            assert_eq!(client.slot(SLOT).await.expect("an answer"), Some(made));

            let other = stream(&node, first(&mut client).await).await;
            let refused = begin(&node, first(&mut client).await).await.map(drop);
            assert!(refused.as_ref().is_err_and(|e| e.is_refused(SLOT_IN_USE)), "{refused:?}");
            drop(other);
            while client.drop_slot(SLOT).await.is_err_and(|e| e.is_refused(SLOT_IN_USE)) {}
            client.drop_slot(SLOT).await.expect("one that is not there is dropped");
            assert_eq!(client.slot(SLOT).await.expect("an answer"), None);
        });
    });
}

#[test]
fn what_is_refused_is_told_by_its_sqlstate_and_the_connection_goes_on() {
    majors::each(|mut node| {
        node.start();
        run(async {
            let mut asking = client(&node).await;
            let history = asking.history(Timeline(7)).await;
            assert!(history.as_ref().is_err_and(|e| e.is_refused("58P01")), "{history:?}");
            let end = asking.identify().await.expect("it goes on").end;

            meanwhile(|| {
                for _ in 0..3 {
                    node.query("select pg_logical_emit_message(true, 'a', 'b')");
                    node.query("select pg_switch_wal()");
                }
                node.query("checkpoint");
            });
            let from = Position { lsn: Lsn(end.lsn.0 / SEGMENT * SEGMENT), ..end };
            let gone = refused(client(&node).await, from).await;
            assert!(gone.is_refused(SEGMENT_REMOVED), "{gone}");
            let ahead = Position { lsn: Lsn(1 << 40), ..end };
            let ahead = refused(client(&node).await, ahead).await;
            assert!(ahead.to_string().contains("ahead of the WAL flush position"), "{ahead}");
            let unknown = Position { timeline: Timeline(7), ..end };
            let unknown = refused(client(&node).await, unknown).await;
            assert!(unknown.to_string().contains("timeline 7"), "{unknown}");
        });
    });
}

/// Why nothing comes, whether it is said at the start or in the stream.
async fn refused(client: Client, from: Position) -> PgError {
    let mut stream = match client.start(Start { slot: None, from }).await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    loop {
        match stream.next().await {
            Ok(Event::KeepAlive { .. }) => {}
            Ok(event) => panic!("it came: {event:?}"),
            Err(error) => return error,
        }
    }
}
