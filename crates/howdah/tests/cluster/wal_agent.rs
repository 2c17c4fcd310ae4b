//! What PostgreSQL calls for single WAL files asks the node's agent, which knows what was streamed; and
//! does without it where there is none.

use std::time::Duration;

use howdah_testkit::http;

use crate::three;

const SOON: Duration = Duration::from_secs(30);

#[test]
pub fn the_agent_knows_what_was_streamed_and_nobody_depends_on_it() {
    let cluster = three().set("backup", "repository", "\"archive/shop\"").start();
    let node = cluster.primary();
    node.sql("create table t as select generate_series(1, 1000) g").expect("made");
    let name = node.sql("select pg_walfile_name(pg_switch_wal())").expect("a segment");
    let path = node.data_dir.join("pg_wal").join(name.trim()).display().to_string();
    let push = |path: &str| cluster.howdah(&["wal", "push", path]);
    let pushed = push(&path);
    assert!(pushed.status.success(), "{pushed:?}");
    let durable = || {
        let page = http::get(node.ports.http, "/metrics").ok()?.body;
        page.contains("howdah_archive_failing 0").then_some(())
    };
    cluster.wait_for("it is streamed", SOON, durable);

    // By its hash alone: nobody asks the storage.
    let repository = cluster.scratch().join("archive/shop");
    let away = repository.with_extension("away");
    std::fs::rename(&repository, &away).expect("renamed");
    let pushed = push(&path);
    assert!(pushed.status.success(), "{pushed:?}");
    std::fs::rename(&away, &repository).expect("renamed");

    // Another file under its name is another server's.
    let other = cluster.scratch().join(name.trim());
    let mut bytes = std::fs::read(&path).expect("there");
    bytes[20_000] ^= 1;
    std::fs::write(&other, bytes).expect("written");
    let refused = push(&other.display().to_string());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(78) && said.contains("other"), "{refused:?}");

    // Without an agent, by the same words.
    let into = cluster.scratch().join("got").display().to_string();
    let got = cluster.howdah(&["wal", "get", name.trim(), &into]);
    assert!(got.status.success(), "{got:?}");
    for node in cluster.nodes() {
        std::fs::remove_file(node.state_dir.join("archive.sock")).expect("there");
    }
    std::fs::remove_file(&into).expect("got");
    let got = cluster.howdah(&["wal", "get", name.trim(), &into]);
    assert!(got.status.success(), "{got:?}");
    assert!(std::fs::read(&into).expect("got") == std::fs::read(&path).expect("there"));
    let pushed = push(&path);
    assert!(pushed.status.success(), "{pushed:?}");
    let refused = push(&other.display().to_string());
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");

    // Behind the last one WAL ends; where later ones are, it is missing for whoever cannot stream.
    let get = |name: &str, whole: &[&str]| {
        let got = cluster.howdah(&[&["wal", "get"], whole, &[name, &into]].concat());
        (got.status.code(), String::from_utf8_lossy(&got.stderr).into_owned())
    };
    let later = format!("{}000000F0", &name[..16]);
    assert_eq!(get(&later, &["--whole"]).0, Some(1));
    let switch = "select pg_walfile_name(pg_switch_wal())";
    node.sql("insert into t values (1)").expect("written");
    node.sql(switch).expect("a segment");
    crate::wal_kept::is_kept(&cluster);
    remove_below(&repository, name.trim());
    assert_eq!(get(name.trim(), &[]).0, Some(1));
    let (code, said) = get(name.trim(), &["--whole"]);
    assert!(code > Some(125) && said.contains("WAL is missing"), "{code:?} {said}");
}

/// Everything of a segment, whole or in chunks.
fn remove_below(folder: &std::path::Path, name: &str) {
    for entry in std::fs::read_dir(folder).expect("listed").flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_below(&path, name);
        } else if entry.file_name().to_string_lossy().starts_with(name) {
            std::fs::remove_file(path).expect("removed");
        }
    }
}
