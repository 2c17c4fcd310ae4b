//! The proofs of a synchronous setting prove it, and fail where there is nothing to prove.

use howdah_postgres::conf;

use crate::harness::Server;

async fn put(primary: &mut Server, needed: u32, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let text = conf::synchronous_standby_names(needed, &names);
    primary.set("synchronous_standby_names", &text);
    primary.reconfigure(false).await;
    let session = primary.session().await;
    session.shows("synchronous_standby_names", &text).await.expect("in force");
}

#[tokio::test]
async fn from_empty_to_a_voter_and_back() {
    let mut primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    let id = standby.id().as_str().to_owned();
    let session = primary.session().await;
    session.prove_waiting().await.expect_err("nobody waits yet");

    put(&mut primary, 1, &["howdah_nobody"]).await;
    session.prove_waiting().await.expect("commits wait");
    put(&mut primary, 1, &[&id]).await;
    // A commit that waits comes back, because the voter confirms it.
    primary.sql("SET synchronous_commit = on; CREATE TABLE t (a int)").await;
    let probe = session.probe().await.expect("probe");
    assert_eq!(probe.senders.len(), 1);
    assert!(probe.senders[0].sync_priority > 0, "{probe:?}");
    session.prove_only(std::slice::from_ref(&id)).await.expect("only it counts");

    put(&mut primary, 1, &[]).await;
    session.prove_only(&[]).await.expect("it has left");
    assert_eq!(session.probe().await.expect("probe").senders[0].sync_priority, 0);
}

/// A voter that is still named has not left.
#[tokio::test]
async fn who_still_counts_has_not_left() {
    let mut primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    let id = standby.id().as_str().to_owned();
    put(&mut primary, 1, &[&id]).await;
    primary
        .until("the sender has it in force", async || {
            let probe = primary.session().await.probe().await.ok()?;
            (probe.senders.first()?.sync_priority > 0).then_some(())
        })
        .await;
    let session = primary.session().await;
    let error = session.prove_only(&[]).await.expect_err("it counts").to_string();
    assert!(error.contains("still count"), "{error}");
}

#[tokio::test]
async fn a_setting_that_is_not_in_force_is_told() {
    let primary = Server::primary("n1").await;
    let session = primary.session().await;
    let error = session.shows("synchronous_standby_names", "ANY 1 (\"x\")").await;
    let error = error.expect_err("not set").to_string();
    assert!(error.contains("it shows ``"), "{error}");
}

/// The gate's question: who has flushed the probe commit.
#[tokio::test]
async fn only_those_who_flushed_past_it_confirm() {
    let primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    let names = [standby.id().as_str().to_owned(), "n3_00000000".to_owned()];
    let session = primary.session().await;
    let far = howdah_base::Lsn(u64::MAX >> 8);
    assert_eq!(session.confirmed(far, &names).await.expect("count"), 0);
    assert_eq!(session.confirmed(howdah_base::Lsn(1), &[]).await.expect("count"), 0);
    let probe = session.probe_commit().await.expect("probe");
    primary
        .until("it is confirmed", async || {
            (session.confirmed(probe, &names).await.ok()? == 1).then_some(())
        })
        .await;
}

/// A floor is an insert position: on an idle server WAL must still come to pass it, also where
/// it stands behind a page's header and nothing has been written there.
#[tokio::test]
async fn an_idle_server_passes_its_own_insert_position() {
    let primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    let id = [standby.id().as_str().to_owned()];
    let session = primary.session().await;
    primary.sql("SELECT pg_switch_wal()").await;
    let floor = session.insert_lsn().await.expect("insert");
    primary
        .until("the voter is past the floor", async || {
            (session.confirmed(floor, &id).await.ok()? == 1).then_some(())
        })
        .await;
}
