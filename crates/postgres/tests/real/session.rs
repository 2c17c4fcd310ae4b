//! What a session sees and does: the probe, slots, clients, the replicator's role, the files.

use std::collections::BTreeMap;
use std::fs;

use howdah_base::{Lsn, Timeline};
use howdah_postgres::control;
use howdah_postgres::session::{Probe, Slot};

use crate::harness::Server;

async fn probe(server: &Server) -> Probe {
    server.session().await.probe().await.expect("probe")
}

#[tokio::test]
async fn the_probe_tells_a_primary_and_its_standby() {
    let primary = Server::primary("n1").await;
    let mut standby = Server::standby("n2", &primary).await;
    let end = primary.session().await.probe_commit().await.expect("commit");
    standby.wait_replayed(end).await;

    let seen = probe(&primary).await;
    let control = control::read(&primary.install, &primary.data_dir).expect("control");
    assert!(!seen.in_recovery && seen.receiver.is_none() && seen.replayed.is_none(), "{seen:?}");
    assert_eq!(seen.system_identifier, control.system_identifier);
    assert_eq!(seen.version, primary.install.version);
    assert!(seen.position().lsn >= end && seen.position().timeline == Timeline(1), "{seen:?}");
    let sender = &seen.senders[0];
    assert_eq!(sender.application_name, standby.id().as_str());
    assert_eq!(sender.state, "streaming");

    let seen = probe(&standby).await;
    assert!(seen.in_recovery && seen.senders.is_empty(), "{seen:?}");
    assert_eq!(seen.receiver.as_ref().map(|r| r.status.as_str()), Some("streaming"));
    assert_eq!(seen.replay_lag_ms, Some(0));
    assert!(seen.pending_restart.is_empty(), "{seen:?}");

    // The receiver goes; what was received stays.
    let before = seen.position();
    standby.set("primary_conninfo", "");
    standby.set("max_connections", "150");
    standby.reconfigure(true).await;
    let seen = standby
        .until("the receiver is gone", async || {
            let seen = probe(&standby).await;
            (seen.receiver.is_none() && !seen.pending_restart.is_empty()).then_some(seen)
        })
        .await;
    assert!(seen.position().lsn >= before.lsn, "{seen:?}");
    assert_eq!(seen.position().timeline, before.timeline);
    assert_eq!(seen.pending_restart, ["max_connections"]);
}

#[tokio::test]
async fn a_slot_in_use_is_dropped_although_its_receiver_comes_back() {
    let primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    let session = primary.session().await;
    let slot = standby.id().slot(howdah_base::Term(1));
    session.drop_slot(&slot).await.expect("drops");
    assert!(session.slots().await.expect("slots").iter().all(|known| known.name != slot));
    session.drop_slot(&slot).await.expect("none is no error");
    session.create_slot(&slot).await.expect("anew");
    primary.wait_streaming(&standby).await;
}

/// After the number of confirmations has changed, every sender begins anew with it.
#[tokio::test]
async fn senders_from_before_a_reload_are_renewed() {
    let primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    let names = [standby.id().as_str().to_owned()];
    let started = "SELECT pid FROM pg_stat_replication";
    let before = primary.value(started).await;
    let session = primary.session().await;
    session.reload().await.expect("reload");
    primary
        .until("the old sender is gone", async || {
            session.renew_senders(&names).await.expect("renews");
            let pids = primary
                .value(
                    "SELECT coalesce(string_agg(pid::text, ','), '') \
                                      FROM pg_stat_replication",
                )
                .await;
            (pids != before).then_some(())
        })
        .await;
    primary.wait_streaming(&standby).await;
    let now = primary.value(started).await;
    session.renew_senders(&names).await.expect("nothing to do");
    assert_eq!(primary.value(started).await, now, "a young sender stays");
}

#[tokio::test]
async fn users_slots_are_kept_on_a_standby() {
    let primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    let users = async |server: &Server| -> BTreeMap<String, Option<Lsn>> {
        let slots = server.session().await.slots().await.expect("slots");
        let users = slots.into_iter().filter(|s: &Slot| !s.name.starts_with("howdah_"));
        users.map(|slot| (slot.name, slot.restart_lsn)).collect()
    };
    primary.sql("SELECT pg_create_physical_replication_slot('barman', true)").await;
    primary.sql("SELECT pg_create_physical_replication_slot('later')").await;
    primary.sql("CREATE TABLE t AS SELECT generate_series(1, 1000)").await;
    let end = primary.session().await.probe_commit().await.expect("commit");
    standby.wait_replayed(end).await;
    let session = standby.session().await;
    session.keep_user_slots(&users(&primary).await).await.expect("made");
    let here = users(&standby).await;
    assert_eq!(here.keys().collect::<Vec<_>>(), ["barman", "later"]);
    assert!(here["barman"].is_some() && here["later"].is_none(), "{here:?}");

    primary.sql(&format!("SELECT pg_replication_slot_advance('barman', '{end}')")).await;
    session.keep_user_slots(&users(&primary).await).await.expect("advanced");
    assert_eq!(users(&standby).await["barman"], Some(end));

    primary.sql("SELECT pg_drop_replication_slot('barman')").await;
    session.keep_user_slots(&users(&primary).await).await.expect("dropped");
    assert_eq!(users(&standby).await.into_keys().collect::<Vec<_>>(), ["later"]);
}

#[tokio::test]
async fn the_replicator_is_made_once() {
    let primary = Server::primary("n1").await;
    let session = primary.session().await;
    session.ensure_replicator().await.expect("is there");
    let rights = "SELECT rolreplication AND rolcanlogin AND NOT rolsuper FROM pg_roles \
                  WHERE rolname = 'howdah_replicator'";
    assert_eq!(primary.value(rights).await, "t");
}

#[tokio::test]
async fn clients_are_ended_and_howdah_stays() {
    let primary = Server::primary("n1").await;
    let standby = Server::standby("n2", &primary).await;
    primary.sql("CREATE ROLE app LOGIN PASSWORD 'x'").await;
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(primary.port).user("app").password("x").dbname("postgres");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    client.simple_query("SELECT 1").await.expect("works");
    let session = primary.session().await;
    assert_eq!(session.end_clients().await.expect("ends"), 1);
    primary.until("the client is gone", async || client.simple_query("SELECT 1").await.err()).await;
    primary.wait_streaming(&standby).await;
    assert_eq!(session.end_clients().await.expect("ends"), 0);
}

/// ALTER SYSTEM cannot override what Howdah sets, and keeps the rest.
#[tokio::test]
async fn only_what_howdah_sets_is_taken_out_of_the_automatic_file() {
    let primary = Server::primary("n1").await;
    primary.sql("ALTER SYSTEM SET shared_buffers = '64MB'").await;
    primary.sql("ALTER SYSTEM SET work_mem = '5MB'").await;
    primary.reconfigure(false).await;
    let auto = fs::read_to_string(primary.data_dir.join("postgresql.auto.conf")).expect("file");
    assert!(!auto.contains("shared_buffers") && auto.contains("work_mem"), "{auto}");
    primary.session().await.shows("work_mem", "5MB").await.expect("kept");
    let name = format!("it's a \\ test/{}", primary.node());
    primary.session().await.shows("cluster_name", &name).await.expect("quoted as it was meant");
    assert!(probe(&primary).await.pending_restart.is_empty());
}
