//! Every check against every kind of node, and every way of being too old to be believed.

use howdah_base::Timeline;

use super::*;

const LEASE: Duration = Duration::from_secs(10);
const NOW: Tick = Tick(100_000);

fn health(state: ServerState) -> Health {
    Health {
        cluster: "demo".parse().expect("name"),
        node: "n1".parse().expect("name"),
        term: Term(3),
        state,
        leader_until: None,
        position: Some(Position { timeline: Timeline(2), lsn: Lsn(0x500_0148) }),
        replayed: Some(Lsn(0x500_0100)),
        lag_bytes: Some(1024),
        voter: false,
        beat: NOW - Duration::from_millis(500),
        version: Some("15.18".to_owned()),
        system_identifier: Some(7_412_345_678_901_234_567),
        tags: BTreeMap::new(),
    }
}

fn leader() -> Health {
    Health { leader_until: Some(NOW + LEASE), ..health(ServerState::Primary) }
}

/// The paths that answer 200, in the order of [`CHECKS`].
fn passing(health: &Health, query: &str) -> String {
    let query: Vec<(String, String)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let question = Question::parse(&query).expect("question");
    let pass = |check| health.passes(check, &question, NOW, LEASE);
    let paths: Vec<_> =
        CHECKS.iter().filter(|(_, check)| pass(*check)).map(|(path, _)| &path[1..]).collect();
    paths.join(" ")
}

#[test]
fn each_kind_of_node_passes_its_own_checks() {
    assert_eq!(
        passing(&leader(), ""),
        "health leader primary master read-write read-only read-only-sync read-only-quorum \
         liveness readiness"
    );
    assert_eq!(
        passing(&health(ServerState::Streaming), ""),
        "health replica read-only async asynchronous liveness readiness"
    );
    let voter = Health { voter: true, ..health(ServerState::Streaming) };
    assert_eq!(
        passing(&voter, ""),
        "health replica read-only sync synchronous quorum read-only-sync read-only-quorum \
         liveness readiness"
    );
    assert_eq!(
        passing(&health(ServerState::Standby), ""),
        "health replica read-only async asynchronous liveness"
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
}

#[test]
fn a_standby_is_asked_how_far_behind_it_is() {
    let standby = health(ServerState::Streaming);
    assert!(passing(&standby, "lag=1024").contains("replica"));
    assert!(passing(&standby, "lag=16MB").contains("replica"));
    assert_eq!(passing(&standby, "lag=1023"), "health liveness");
    let unknown = Health { lag_bytes: None, ..standby };
    assert_eq!(passing(&unknown, "lag=16MB"), "health liveness");
    assert!(passing(&leader(), "lag=0").contains("read-only"), "the leader is not behind");
}

#[test]
fn tags_and_the_replication_state_narrow_the_choice() {
    let mut standby = health(ServerState::Standby);
    assert!(!passing(&standby, "replication_state=streaming").contains("replica"));
    assert!(!passing(&standby, "tag_zone=a").contains("replica"), "a tag that is missing");
    standby.tags.insert("zone".to_owned(), "a".to_owned());
    assert!(passing(&standby, "tag_zone=a").contains("replica"));
    assert!(!passing(&standby, "tag_zone=b").contains("replica"));
    standby.tags.insert("noloadbalance".to_owned(), "true".to_owned());
    assert!(!passing(&standby, "").contains("replica"));
}

#[test]
fn a_lag_that_cannot_be_read_is_refused() {
    let query = [("lag".to_owned(), "16 parsecs".to_owned())];
    let error = Question::parse(&query).expect_err("bad lag");
    assert!(error.contains("`16 parsecs`"), "{error}");
}

#[test]
fn the_body_has_patronis_shape() {
    let body = leader().body(NOW);
    assert_eq!(body["state"], "running");
    assert_eq!(body["role"], "primary");
    assert_eq!(body["server_version"], 150_018);
    assert_eq!(body["timeline"], 2);
    assert_eq!(body["xlog"], json!({ "location": 0x500_0148 }));
    assert_eq!(body["patroni"]["scope"], "demo");
    assert_eq!(body["patroni"]["name"], "n1");

    let body = health(ServerState::Streaming).body(NOW);
    assert_eq!(body["role"], "replica");
    assert_eq!(body["replication_state"], "streaming");
    assert_eq!(
        body["xlog"],
        json!({ "received_location": 0x500_0148, "replayed_location": 0x500_0100 })
    );
    assert!(health(ServerState::Stopped).body(NOW).get("xlog").is_none());
}

#[test]
fn versions_are_numbers_as_postgresql_counts() {
    assert_eq!(version_number("15.18"), Some(150_018));
    assert_eq!(version_number("17beta1"), None);
    assert_eq!(version_number("16.4 (Debian 16.4-1)"), Some(160_004));
    assert_eq!(version_number("18"), Some(180_000));
}
