//! Every check against every kind of node, and every way of being too old to be believed.

use howdah_base::Timeline;
use serde_json::json;

use super::*;

const LEASE: Duration = Duration::from_secs(10);
const NOW: Tick = Tick(100_000);
const BOUNDS: Bounds = Bounds { lease: LEASE, ready_lag: 1 << 20 };

fn health(state: ServerState) -> Health {
    Health {
        state,
        leader_until: None,
        position: Some(Position { timeline: Timeline(2), lsn: Lsn(0x500_0300) }),
        replayed: Some(Lsn(0x500_0100)),
        leader_end: Some(Lsn(0x500_0500)),
        voter: false,
        beat: NOW - Duration::from_millis(500),
        system_identifier: Some(7_412_345_678_901_234_567),
        tags: Map::new(),
        paused: false,
        store_seen: Some(NOW - Duration::from_secs(1)),
        store_reachable: true,
    }
}

fn leader() -> Health {
    Health { leader_until: Some(NOW + LEASE), ..health(ServerState::Primary) }
}

fn question(query: &str) -> Question {
    let pairs: Vec<(String, String)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Question::parse(&pairs).expect("question")
}

fn passes(health: &Health, check: Check, query: &str) -> bool {
    health.passes(check, &question(query), NOW, BOUNDS)
}

/// The paths that answer 200, in the order of [`CHECKS`] with the probes behind.
fn passing(health: &Health, query: &str) -> String {
    let paths = CHECKS.iter().map(|(path, _)| (&path[1..], Check::of(path)));
    let paths = paths.chain([("liveness", Check::Liveness), ("readiness", Check::Readiness)]);
    let passing = paths.filter(|(_, check)| passes(health, *check, query));
    passing.map(|(path, _)| if path.is_empty() { "/" } else { path }).collect::<Vec<_>>().join(" ")
}

const OF_A_LEADER: &str = "primary read-write master leader read-only read-only-sync \
     read-only-synchronous read-only-quorum health / liveness readiness";
const OF_A_VOTER: &str = "replica read-only sync synchronous quorum read-only-sync \
     read-only-synchronous read-only-quorum health liveness readiness";
const OF_A_STANDBY: &str = "replica read-only async asynchronous health liveness readiness";

#[test]
fn each_kind_of_node_passes_its_own_checks() {
    assert_eq!(passing(&leader(), ""), OF_A_LEADER);
    let standby = health(ServerState::Streaming);
    assert_eq!(passing(&standby, ""), OF_A_STANDBY);
    assert_eq!(passing(&Health { voter: true, ..standby }, ""), OF_A_VOTER);
    assert_eq!(
        passing(&health(ServerState::Standby), ""),
        "replica read-only async asynchronous health liveness"
    );
    assert_eq!(passing(&health(ServerState::PrimaryGated), ""), "health liveness");
    for state in [
        ServerState::Creating,
        ServerState::Stopped,
        ServerState::Starting,
        ServerState::Stopping,
        ServerState::Refused,
        ServerState::Unknown,
    ] {
        assert_eq!(passing(&health(state), ""), "liveness", "{state:?}");
    }
}

#[test]
fn a_leader_whose_deadline_has_come_is_none() {
    let late = Health { leader_until: Some(NOW), ..leader() };
    assert_eq!(passing(&late, ""), "health liveness");
}

#[test]
fn an_agent_that_does_not_answer_is_not_healthy() {
    let silent = |health: Health, age| Health { beat: NOW - age, ..health };
    assert_eq!(passing(&silent(leader(), LEASE), ""), "");
    let standby = || health(ServerState::Streaming);
    assert_eq!(passing(&silent(standby(), LEASE), ""), "liveness");
    assert_eq!(passing(&silent(standby(), 2 * LEASE), ""), "");
    let paused = Health { paused: true, ..silent(leader(), 9 * LEASE) };
    assert_eq!(passing(&paused, ""), "liveness", "nothing is restarted in a pause");
}

#[test]
fn without_the_store_nobody_knows_who_is_synchronous() {
    let alone = |health: Health| Health { store_reachable: false, ..health };
    assert_eq!(
        passing(&alone(Health { voter: true, ..health(ServerState::Streaming) }), ""),
        "replica read-only health liveness readiness"
    );
    assert_eq!(
        passing(&alone(leader()), ""),
        "primary read-write master leader read-only health / liveness readiness"
    );
}

#[test]
fn a_standby_is_asked_how_far_behind_it_is() {
    let standby = health(ServerState::Streaming);
    for (query, replica, readiness) in [
        ("lag=1024", true, true),
        ("lag=1023", false, false),
        ("lag=16MB", true, true),
        ("lag=", true, true),
        ("lag=512&mode=write", false, true),
        ("lag=511&mode=write", false, false),
        ("lag=1024&mode=apply", true, true),
    ] {
        assert_eq!(passes(&standby, Check::Replica, query), replica, "replica {query}");
        assert_eq!(passes(&standby, Check::Readiness, query), readiness, "readiness {query}");
    }
    let far = Health { leader_end: Some(Lsn(0x600_0000)), ..standby.clone() };
    assert!(passes(&far, Check::Replica, "") && !passes(&far, Check::Readiness, ""));
    let unknown = Health { leader_end: None, ..standby };
    assert!(!passes(&unknown, Check::Replica, "lag=16MB"), "unknown is not zero");
    assert!(passes(&leader(), Check::ReadOnly, "lag=0"), "the leader is not behind");
}

#[test]
fn tags_and_the_replication_state_narrow_the_choice() {
    let mut standby = health(ServerState::Standby);
    let replica = |health: &Health, query| passes(health, Check::Replica, query);
    assert!(!replica(&standby, "replication_state=streaming"));
    assert!(!replica(&standby, "tag_zone=a"), "a tag that is missing");
    assert!(replica(&standby, "tag_zone="), "a name without a value says nothing");
    standby.tags.insert("zone".to_owned(), json!("a"));
    standby.tags.insert("clonefrom".to_owned(), json!(true));
    assert!(replica(&standby, "tag_zone=a&tag_clonefrom=true"));
    assert!(!replica(&standby, "tag_zone=b"));
    assert!(passes(&standby, Check::Running, "tag_zone=a"));
    assert!(!passes(&standby, Check::Running, "tag_zone=b"));
    standby.tags.insert("noloadbalance".to_owned(), json!(true));
    assert!(!replica(&standby, ""));
    assert!(passes(&leader(), Check::Primary, "tag_zone=b"), "a leader is asked in vain");
    assert!(!passes(&leader(), Check::ReadOnly, "tag_zone=b"));
}

#[test]
fn a_lag_that_cannot_be_read_is_refused() {
    let query = [("lag".to_owned(), "16 parsecs".to_owned())];
    let error = Question::parse(&query).expect_err("bad lag");
    assert!(error.contains("`16 parsecs`"), "{error}");
}
