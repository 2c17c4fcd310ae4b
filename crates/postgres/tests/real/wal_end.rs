//! The end of the WAL of a stopped server is where PostgreSQL itself finds it.

use std::process::Command;
use std::time::{Duration, Instant};

use howdah_base::{Lsn, Position, Timeline};
use howdah_postgres::{control, wal};
use nix::sys::signal::Signal;

use crate::harness::Server;

/// A crash under load; then the next start says where it found the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_crashed_server_it_is_where_recovery_stops() {
    let mut server = Server::primary("n1").await;
    server.sql("CREATE TABLE t (a int, b text)").await;
    for round in 0..4 {
        let load = tokio::spawn({
            let client = server.client().await;
            async move {
                // Small and large records, across pages and segments, until the kill.
                let sql = "INSERT INTO t SELECT i, repeat('x', i * 7 % 3000) \
                           FROM generate_series(1, 1500) i";
                while client.batch_execute(sql).await.is_ok() {}
            }
        });
        let begun = Instant::now();
        let far = Duration::from_millis(300 + 170 * round);
        server.until("some load", async || (begun.elapsed() > far).then_some(())).await;
        let hint = server.session().await.probe().await.expect("probe").position();
        server.kill9();
        load.await.expect("ended");

        let begun = Instant::now();
        let whole = wal::end(&server.install, &server.data_dir, None).expect("end");
        let took_whole = begun.elapsed();
        let begun = Instant::now();
        let hinted = wal::end(&server.install, &server.data_dir, Some(hint)).expect("end");
        let took_hinted = begun.elapsed();
        assert_eq!(whole, hinted);
        let last = by_waldump(&server, whole);
        let control = control::read(&server.install, &server.data_dir).expect("control");
        println!(
            "round {round}: {} bytes since redo in {took_whole:?}, from the hint {took_hinted:?}",
            whole.lsn.bytes_past(control.redo)
        );

        let (pg_control, old) = (server.data_dir.join("global/pg_control"), round.to_string());
        std::fs::copy(&pg_control, server.state_dir.join(&old)).expect("keep");
        let told = server.log().len();
        server.start().await;
        let log = server.log().split_off(told);
        let redone: Lsn = word_after(&log, "redo done at ").expect("redo").parse().expect("lsn");
        assert_eq!(redone, last, "{log}");
        if let Some(stopped) = word_after(&log, "invalid record length at ") {
            assert_eq!(stopped.trim_end_matches(':').parse(), Ok(whole.lsn), "{log}");
        }
        after_an_overwritten_record(&mut server, &old).await;
    }
}

/// A record that the crash cut off is followed by WAL that says so: the walk from the checkpoint
/// before the crash passes it and ends where the one from the checkpoint after it does.
async fn after_an_overwritten_record(server: &mut Server, old_control: &str) {
    server.kill9();
    let newer = wal::end(&server.install, &server.data_dir, None).expect("end");
    let pg_control = server.data_dir.join("global/pg_control");
    let aside = server.state_dir.join("newer");
    std::fs::rename(&pg_control, &aside).expect("put aside");
    std::fs::copy(server.state_dir.join(old_control), &pg_control).expect("bring back");
    let older = wal::end(&server.install, &server.data_dir, None).expect("end");
    assert_eq!(older, newer);
    std::fs::rename(&aside, &pg_control).expect("take back");
    server.start().await;
}

#[tokio::test]
async fn of_a_clean_shutdown_it_is_the_end_of_the_checkpoint() {
    let mut server = Server::primary("n1").await;
    server.stop(Signal::SIGINT);
    let control = control::read(&server.install, &server.data_dir).expect("control");
    assert!(control.clean_shutdown());
    let end = wal::end(&server.install, &server.data_dir, None).expect("end");
    by_waldump(&server, end);
    assert!(end.lsn.bytes_past(control.checkpoint) < 200, "{end}");
    // A hint that promises more than there is does not make the end later.
    let lie = Position { timeline: end.timeline, lsn: Lsn(end.lsn.0 + (8 << 20)) };
    assert_eq!(wal::end(&server.install, &server.data_dir, Some(lie)).expect("end"), end);
}

/// As pg_rewind leaves a directory whose source made a checkpoint meanwhile: the control file came
/// last and tells of a checkpoint that is not in the WAL that came before.
#[tokio::test]
async fn of_a_rewound_directory_the_walk_begins_where_its_label_says() {
    let mut server = Server::primary("n1").await;
    server.sql("CHECKPOINT").await;
    let before = control::read(&server.install, &server.data_dir).expect("control");
    server.sql("CREATE TABLE t AS SELECT generate_series(1, 100) i").await;
    let copied = server.session().await.probe_commit().await.expect("probe");
    let segment = copied.0 / before.segment;
    let segment = format!("pg_wal/0000000100000000{segment:08X}");
    let (segment, aside) = (server.data_dir.join(segment), server.state_dir.join("segment"));
    std::fs::copy(&segment, &aside).expect("keep");
    server.sql("INSERT INTO t SELECT generate_series(1, 1000)").await;
    server.sql("CHECKPOINT").await;
    server.kill9();
    std::fs::copy(&aside, &segment).expect("bring back");
    let end = || wal::end(&server.install, &server.data_dir, None);
    assert!(end().is_err(), "the checkpoint of the control file has not come along");
    let label = format!("START WAL LOCATION: {} (file 000000010000000000000001)\n", before.redo);
    std::fs::write(server.data_dir.join("backup_label"), label).expect("write the label");
    let end = end().expect("end");
    let control = control::read(&server.install, &server.data_dir).expect("control");
    assert!(end.lsn >= copied && end.lsn < control.redo, "{end} {copied} {}", control.redo);
}

/// The next record would begin in a segment that does not exist.
#[tokio::test]
async fn after_a_switch_it_is_the_next_segment() {
    let mut server = Server::primary("n1").await;
    server.sql("SELECT pg_logical_emit_message(true, 'x', 'y')").await;
    server.sql("SELECT pg_switch_wal()").await;
    let position = server.session().await.probe().await.expect("probe").position();
    server.kill9();
    let begun = Instant::now();
    let end = wal::end(&server.install, &server.data_dir, Some(position)).expect("end");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(end.lsn.0 % (16 << 20), 0, "{end}");
}

/// A standby that was killed holds what it has flushed, at least.
#[tokio::test]
async fn of_a_killed_standby_it_is_what_it_confirmed() {
    let primary = Server::primary("n1").await;
    let mut standby = Server::standby("n2", &primary).await;
    primary.sql("CREATE TABLE t AS SELECT generate_series(1, 20000) a").await;
    let lsn = primary.session().await.probe_commit().await.expect("probe");
    let id = standby.id().as_str().to_owned();
    primary
        .until("the standby confirms", async || {
            let confirmed =
                primary.session().await.confirmed(lsn, std::slice::from_ref(&id)).await.ok()?;
            (confirmed == 1).then_some(())
        })
        .await;
    standby.kill9();
    let end = wal::end(&standby.install, &standby.data_dir, None).expect("end");
    assert_eq!(end.timeline, Timeline(1));
    assert!(end.lsn >= lsn, "{end} {lsn}");
    by_waldump(&standby, end);
}

/// `pg_waldump` sees a valid record before the end and none at it: the last that it prints begins
/// before `end`, and where it names the place of the invalid one, that is `end`.
fn by_waldump(server: &Server, end: Position) -> Lsn {
    let control = control::read(&server.install, &server.data_dir).expect("control");
    let output = Command::new(server.install.bin_dir.join("pg_waldump"))
        .arg("--path")
        .arg(server.data_dir.join("pg_wal"))
        .args(["--timeline", &end.timeline.to_string(), "--start", &control.redo.to_string()])
        .env("LC_ALL", "C")
        .output()
        .expect("pg_waldump");
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    let last = word_after(&printed, "lsn: ").expect("a record");
    let last: Lsn = last.trim_end_matches(',').parse().expect("an LSN");
    assert!(last < end.lsn, "{end}; {said}");
    assert!(said.contains(&format!("error in WAL record at {last}")), "{said}");
    let invalid = said.rsplit_once(" at ").map(|(_, rest)| rest.split([':', ' ', '\n']).next());
    let invalid = invalid.flatten().and_then(|place| place.parse::<Lsn>().ok());
    if let Some(invalid) = invalid.filter(|invalid| *invalid != last) {
        assert_eq!(invalid, end.lsn, "{said}");
    }
    last
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn word_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.rsplit_once(before)?.1.split_whitespace().next()
}
