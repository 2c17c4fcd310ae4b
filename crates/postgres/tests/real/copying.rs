//! A copy is whole or not there, and belongs to the node that made it.

use std::fs;
use std::time::Duration;

use howdah_base::Term;
use howdah_postgres::directory::{self, DirectoryState};

use crate::harness::Server;

#[tokio::test]
async fn a_copy_gets_its_own_identity_and_streams() {
    let primary = Server::primary("n1").await;
    primary.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) a").await;
    // What an interrupted copy left, and a directory that is to be replaced.
    let mut standby = Server::of("n2");
    fs::create_dir(standby.data_dir.with_file_name("data.copying")).expect("make it");
    fs::write(standby.state_dir.join("unusable.json"), "a rewind was interrupted").expect("mark");
    fs::create_dir(primary.data_dir.join("log")).expect("make it");
    fs::write(primary.data_dir.join("log/postgresql-x.log"), "the primary's").expect("write");
    standby.copy_from(&primary).await.expect("copies");

    let state = directory::read(&standby.install, &standby.data_dir, &standby.state_dir);
    let DirectoryState::Ready(ready) = state else { panic!("{state:?}") };
    assert_eq!(ready.file.map(|file| file.id), Some(standby.id()));
    assert!(!standby.data_dir.join("log").exists(), "the primary's logs are not this server's");
    let beside = fs::read_dir(standby.data_dir.parent().expect("home")).expect("list");
    let names: Vec<_> = beside.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 2, "data and state only: {names:?}");

    standby.follow(&primary);
    standby.start().await;
    primary.wait_streaming(&standby).await;
    let probe = primary.session().await.probe().await.expect("probe");
    let slot = standby.id().slot(Term(1));
    assert!(probe.slots.iter().any(|s| s.name == slot && s.active), "{probe:?}");
}

/// The old directory is not touched until the new one is complete.
#[tokio::test]
async fn a_copy_that_fails_or_is_given_up_leaves_the_old_directory() {
    let mut primary = Server::primary("n1").await;
    let standby = Server::of("n2");
    let whole = || {
        let state = directory::read(&standby.install, &standby.data_dir, &standby.state_dir);
        assert!(matches!(state, DirectoryState::Ready(_)), "{state:?}");
    };
    let given_up = tokio::time::timeout(Duration::from_millis(30), standby.copy_from(&primary));
    assert!(given_up.await.is_err(), "a copy takes longer");
    whole();
    // The program died with the future.
    standby
        .until("pg_basebackup is gone", async || {
            let left = howdah_testkit::process::all();
            let is_it = |p: &howdah_testkit::process::Process| p.title().contains("pg_basebackup");
            (!left.iter().filter(|p| p.title().contains(standby.id().as_str())).any(is_it))
                .then_some(())
        })
        .await;
    standby.copy_from(&primary).await.expect("the next one cleans up");
    primary.kill9();
    // Asked of the one that is down: it cannot be reached.
    let error = standby.copy_through(&primary, "none").await.expect_err("nobody answers");
    let error = error.to_string();
    assert!(error.contains("Connection refused"), "{error}");
    whole();
}

/// Only a certificate of the cluster's own authority opens the replicator's way in.
#[tokio::test]
async fn without_the_certificate_there_is_no_way_in() {
    let primary = Server::primary("n1").await;
    let standby = Server::bare("n2");
    let conninfo = standby.conninfo(&primary);
    let ask = |conninfo: String| {
        let output = std::process::Command::new(primary.install.bin_dir.join("psql"))
            .args(["-XAtw", "-c", "SELECT current_user", &conninfo])
            .output()
            .expect("psql");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (let_in, said) = ask(format!("{conninfo} dbname=postgres"));
    assert!(let_in, "{said}");
    let (let_in, said) = ask(format!("{conninfo} dbname=postgres sslcert='' sslkey=''"));
    assert!(!let_in && said.contains("certificate"), "{said}");
    let (let_in, said) = ask(format!("{conninfo} dbname=postgres sslmode=disable"));
    assert!(!let_in && said.contains("pg_hba.conf rejects"), "{said}");
    let (let_in, said) = ask(format!("{conninfo} dbname=postgres user=postgres"));
    assert!(!let_in, "{said}");
}
