//! A full backup of a server that works, and what is restored of it.

use std::collections::BTreeMap;
use std::process::Command;

use howdah_archive::backup::engine::{Phase, Progress};
use howdah_archive::restore::plan::Target;
use howdah_testkit::{Load, PgNode, majors, pg_node};

use crate::place::{Place, check, content, options};

#[test]
fn a_backup_under_load_is_the_server_at_any_point_behind_it() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        let far = place.folder_for_servers("far");
        node.query(&format!("create tablespace far location '{}'", far.display()));
        node.query("create table away tablespace far as select g from generate_series(1, 90000) g");
        node.query("create unlogged table passing as select g from generate_series(1, 1000) g");
        let load = Load::on(&node, 5);
        let report = place.backs_up(&node, "full");
        assert_eq!((report.bad_pages.len(), &report.about.base), (0, &None));
        load.ends();
        node.query("select pg_create_restore_point('here')");
        let tables = ["pgbench_accounts", "pgbench_history", "pgbench_branches", "away"];
        let before = content(&node, &tables);
        let dumped = dump(&node);
        node.query("delete from pgbench_history");
        place.reaches(&ships, &node);
        let oid = report.about.tablespaces[0].oid;
        let moved = place.folder_for_servers("moved");
        let tablespaces = BTreeMap::from([(oid, moved.clone())]);
        let restored = place.server(&node, "full", tablespaces, Target::Name("here".to_owned()));
        assert_eq!(content(&restored, &tables), before);
        assert_eq!(content(&restored, &["passing"]), ["passing 0 0"]);
        let there = restored
            .query("select pg_tablespace_location(oid) from pg_tablespace where spcname = 'far'");
        assert_eq!(there, [moved.display().to_string()]);
        let back = dump(&restored).replace(&there[0], &far.display().to_string());
        same(&dumped, &back);
        check(restored);
    });
}

#[test]
fn what_is_dropped_cut_and_made_meanwhile_is_as_it_was_in_the_end() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        for table in ["dropped", "cut", "grown", "moved"] {
            let rows = "select g a, repeat(md5(g::text), 6) b from generate_series(1, 80000) g";
            node.query(&format!("create table {table} as {rows}"));
        }
        node.query("create index on moved (a)");
        let mut options = options("meanwhile");
        // Some seconds of reading, so that there is a meanwhile.
        options.bytes_per_s = Some(24 << 20);
        let seen = |progress: &Progress| {
            progress.phase == Phase::Copying && progress.done > progress.total / 4
        };
        place.backs_up_while(&node, &options, seen, || {
            node.query("drop table dropped");
            node.query("truncate cut");
            node.query("insert into cut select g, 'x' from generate_series(1, 1000) g");
            node.query(
                "insert into grown select g, repeat('y', 200) from generate_series(1, 9000) g",
            );
            node.query("delete from moved where a % 3 = 0");
            node.query("delete from moved where a > 20000");
            node.query("vacuum moved");
            node.query("create database d");
            node.query("create table made as select g from generate_series(1, 90000) g");
            // What was dropped goes from the disk with the checkpoint.
            node.query("checkpoint");
        });
        let tables = ["cut", "grown", "moved", "made"];
        let before = content(&node, &tables);
        place.reaches(&ships, &node);
        let restored = place.server(&node, "meanwhile", BTreeMap::new(), Target::Latest);
        assert_eq!(content(&restored, &tables), before);
        assert_eq!(restored.query("select to_regclass('dropped') is null"), ["t"]);
        let made = restored.query("select datname from pg_database where datname = 'd'");
        assert_eq!(made, ["d"]);
        check(restored);
    });
}

/// All of a server, as pg_dumpall writes it. Rows of unlogged tables are none of a backup's.
fn dump(node: &PgNode) -> String {
    let mut command = Command::new(node.programs().join("pg_dumpall"));
    command.args(["-h", "127.0.0.1", "-p", &node.port().to_string(), "-U", "postgres"]);
    command.arg("--no-unlogged-table-data").env("PGPASSWORD", pg_node::PASSWORD);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    // A word that each dump makes up for itself.
    let is_said =
        |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.lines().filter(is_said).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn same(one: &str, other: &str) {
    assert!(one.contains("COPY public.pgbench_accounts") && one.lines().count() > 200_000);
    let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert_eq!(differs, None);
    assert_eq!(one.lines().count(), other.lines().count());
}
