//! WAL arrives as the server wrote it, and resumes where it is wanted after a crash.

use howdah_base::{Lsn, Timeline};
use howdah_postgres::replication::Event;
use howdah_testkit::{Load, majors};

use crate::rig::{Kept, SLOT, client, first, meanwhile, read, run, stream};

#[test]
fn what_is_received_under_load_is_what_the_server_has_byte_for_byte() {
    majors::each(|mut node| {
        // Nothing is recycled: the files are compared at the end.
        node.set("wal_keep_size = '1GB'").start();
        run(async {
            let mut client = client(&node).await;
            client.create_slot(SLOT).await.expect("a slot");
            let from = first(&mut client).await;
            let mut stream = stream(&node, from).await;
            let load = meanwhile(|| Load::on(&node, 4));
            let mut kept = Kept::new(from.lsn);
            for _ in 0..4 {
                let end = meanwhile(|| node.query("select pg_switch_wal()"));
                let end: Lsn = end[0].parse().expect("an LSN");
                assert!(read(&mut stream, &mut kept, end).await.expect("WAL").is_none());
            }
            meanwhile(|| load.ends());
            let end = meanwhile(|| node.query("select pg_current_wal_flush_lsn()"));
            let end: Lsn = end[0].parse().expect("an LSN");
            read(&mut stream, &mut kept, end).await.expect("WAL");
            assert!(kept.is_what_the_server_has(&node, Timeline(1)) >= 4);
        });
    });
}

#[test]
fn a_killed_server_is_an_error_and_the_stream_resumes_where_it_is_wanted() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        run(async {
            let from = {
                let mut client = client(&node).await;
                client.create_slot(SLOT).await.expect("a slot");
                first(&mut client).await
            };
            let mut cut = stream(&node, from).await;
            let mut kept = Kept::new(from.lsn);
            let load = meanwhile(|| Load::on(&node, 30));
            let end = meanwhile(|| node.query("select pg_current_wal_flush_lsn()"));
            read(&mut cut, &mut kept, end[0].parse().expect("an LSN")).await.expect("WAL");
            meanwhile(|| {
                node.kill9();
                drop(load);
            });
            let error = loop {
                match cut.next().await {
                    Ok(Event::Wal { bytes, .. }) => kept.bytes.extend(bytes),
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(error.to_string().starts_with("no connection to the server"), "{error}");

            meanwhile(|| node.start());
            let mut again = first(&mut client(&node).await).await;
            assert_eq!(again, from, "nothing was reported: the slot still holds all of it");
            again.lsn = kept.end();
            let mut resumed = stream(&node, again).await;
            let end = meanwhile(|| node.query("select pg_switch_wal()"));
            read(&mut resumed, &mut kept, end[0].parse().expect("an LSN")).await.expect("WAL");
            kept.is_what_the_server_has(&node, Timeline(1));
        });
    });
}
