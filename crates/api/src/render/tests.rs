//! Golden screens: what an operator reads, word for word. After a change of wording run with
//! `HOWDAH_BLESS=1` and read the diff.

use std::path::Path;

use howdah_base::backups::{Archived, BackupRun, Backups, LastBackup, NextRun};
use howdah_base::commits::{OptedOut, Rpo};
use howdah_base::record::{Change, ChangeKind, Ended, Member, Report, ServerState};
use howdah_base::status::{ClusterStatus, Endpoint, NodeStatus, StoreStatus};
use howdah_base::{History, Lsn, NodeName, Position, Term, Timeline};

use super::{explain, history, screen, topology, verdict};

fn name(text: &str) -> NodeName {
    text.parse().expect("name")
}

fn at(timeline: u32, lsn: u64) -> Position {
    Position { timeline: Timeline(timeline), lsn: Lsn(lsn) }
}

fn node(number: u16, state: ServerState) -> NodeStatus {
    NodeStatus {
        node: name(&format!("n{number}")),
        host: "127.0.0.1".to_owned(),
        postgres_port: 5440 + number,
        http_port: 8010 + number,
        state,
        position: Some(at(2, 0x500_0148)),
        lag_bytes: Some(0),
        lag_ms: Some(0),
        voter: true,
        rule: 60,
        reason: "follow n1".to_owned(),
        not_promotable: None,
        not_switchable: None,
        failover_loses: None,
        pending_restart: Vec::new(),
        fenced: None,
        order: None,
        restart: None,
        problems: Vec::new(),
        alive: true,
        member: None,
    }
}

fn endpoints(host: &str) -> Vec<Endpoint> {
    let of = |number: u16| {
        [("rw", 5000), ("ro", 5001), ("any", 5002)].map(|(kind, port)| Endpoint {
            node: name(&format!("n{number}")),
            name: kind.to_owned(),
            host: host.to_owned(),
            port: port + 10 * number,
        })
    };
    (1..=3).flat_map(of).collect()
}

fn healthy() -> ClusterStatus {
    let leader = NodeStatus {
        lag_bytes: None,
        lag_ms: None,
        voter: false,
        rule: 20,
        reason: "keep the lease".to_owned(),
        ..node(1, ServerState::Primary)
    };
    ClusterStatus {
        cluster: "demo".parse().expect("name"),
        seen_by: name("n2"),
        durability: "quorum".to_owned(),
        term: Term(3),
        leader: Some(name("n1")),
        store: StoreStatus { kind: "embedded".to_owned(), reachable: true, error: None },
        nodes: vec![leader, node(2, ServerState::Streaming), node(3, ServerState::Streaming)],
        endpoints: endpoints("127.0.0.1"),
        nodes_spare: Some(1),
        rpo: Some(Rpo::NOTHING),
        opted_out: Vec::new(),
        opted_out_sessions: 0,
        problems: Vec::new(),
        history: vec![change(1, ChangeKind::Bootstrap, None), failover()],
        config_revision: 4,
        paused: None,
        planned: None,
        switchover: Vec::new(),
        backups: None,
    }
}

#[test]
fn planned_restarts_are_on_the_screen() {
    let mut status = healthy();
    let plan = |begun: Option<u64>, given_up: Option<&str>| {
        serde_json::from_value(serde_json::json!({
            "id": "1", "by": "anna", "at_unix_ms": 1_779_280_496_123_u64,
            "begun_unix_ms": begun, "given_up": given_up,
        }))
        .expect("a plan")
    };
    status.nodes[0].restart = plan(None, None);
    status.nodes[1].restart = plan(Some(1), None);
    status.nodes[2].restart = plan(None, Some("n2 is gone"));
    let screen = screen(&status);
    let told: Vec<&str> = screen.lines().filter(|line| line.contains("anna")).collect();
    let wanted = [
        "planned: a restart of n1 at 2026-05-20 12:34:56 UTC, asked for by anna",
        "under way: the planned restart of n2, asked for by anna",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn what_was_lost_at_the_last_change_of_leader_is_on_the_screen() {
    let mut status = ClusterStatus { history: vec![failover()], ..troubled() };
    assert!(!screen(&status).contains("lost when"));
    let loss = "at most what `n3` wrote after 0/5000000; 24 bytes of that were seen".to_owned();
    status.history.push(Change { loss: loss.clone(), ..failover() });
    let line = format!("lost when n1 took over from n3 (term 3): {loss}");
    assert!(screen(&status).lines().any(|said| said == line), "{}", screen(&status));
}

fn change(term: u64, kind: ChangeKind, from: Option<&str>) -> Change {
    Change {
        at_unix_ms: 1_779_280_496_123,
        term: Term(term),
        timeline: Timeline(1),
        leader: name("n3"),
        from: from.map(name),
        kind,
        begins: at(1, 0x150_0000),
        rule: 12,
        reason: "nobody has started the cluster yet".to_owned(),
        loss: "none".to_owned(),
        timings: Default::default(),
    }
}

fn failover() -> Change {
    Change {
        timeline: Timeline(2),
        leader: name("n1"),
        begins: at(2, 0x500_0000),
        rule: 44,
        reason: "the host of n3 is lost and enough voters have revoked term 2".to_owned(),
        ..change(3, ChangeKind::Failover, Some("n3"))
    }
}

/// n3 is gone, n2 lags and waits for a restart, the store has trouble.
fn troubled() -> ClusterStatus {
    let mut status = healthy();
    status.store.reachable = false;
    status.nodes_spare = Some(0);
    status.problems = vec!["the store has not answered for 4.2 s".to_owned()];
    status.nodes[1].lag_bytes = Some(20 << 20);
    status.nodes[1].lag_ms = Some(3_250);
    status.nodes[1].pending_restart = vec!["max_connections".to_owned()];
    status.nodes[1].not_promotable = Some("it is 20.0 MB behind".to_owned());
    status.nodes[2].alive = false;
    status.nodes[2].position = None;
    status.nodes[2].lag_bytes = None;
    status.nodes[2].lag_ms = None;
    status.nodes[2].voter = false;
    status.nodes[2].not_promotable = Some("it does not report".to_owned());
    status.nodes[2].problems = vec!["its disk is full".to_owned()];
    status
}

fn member() -> Member {
    let member = serde_json::json!({
        "node": "n2", "host": "127.0.0.1", "postgres_port": 5442, "peer_port": 6442,
        "http_port": 8012, "directory": "n2_0badcafe", "server": "streaming",
        "replayed": "0/5000100", "streaming_from": "n1", "failover_priority": 100,
        "rule": 60, "reason": "follow n1", "at_unix_ms": 0,
    });
    let mut member: Member = serde_json::from_value(member).expect("member");
    member.position = Some(at(2, 0x500_0148));
    member.ended = Some(Ended { term: Term(2), end: at(1, 0x500_0000), clean: false, why: None });
    let history = History::root(Timeline(1));
    member.report =
        Some(Report { term: Term(2), position: at(1, 0x500_0000), history, revision: None });
    member
}

fn check(case: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/render/cases").join(case);
    if std::env::var_os("HOWDAH_BLESS").is_some() {
        std::fs::write(&path, seen).expect("write");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(seen, wanted, "{case} differs; HOWDAH_BLESS=1 accepts what is seen:\n{seen}");
}

#[test]
fn a_healthy_cluster() {
    check("healthy.screen.txt", &screen(&healthy()));
    check("healthy.explain.txt", &explain(&healthy()));
    check("healthy.history.txt", &history(&healthy()));
    assert_eq!(verdict(&healthy()), "all is well");
}

#[test]
fn what_may_be_lost_is_on_the_screen() {
    let mut status = healthy();
    let told = |status: &ClusterStatus| {
        let screen = screen(status);
        screen.lines().filter(|line| line.starts_with("RPO")).collect::<String>()
    };
    assert_eq!(told(&status), "RPO now: 0, no acknowledged commit is on the leader only");
    status.durability = "async".to_owned();
    let (bytes, since_unix_ms) = (Some(20 << 20), Some(1_779_280_496_123));
    status.rpo = Some(Rpo { bytes, since_unix_ms });
    assert_eq!(
        told(&status),
        "RPO now: 20.0 MB of WAL that no standby has confirmed, written since 2026-05-20 12:34:56 \
         UTC"
    );
    status.rpo = Some(Rpo::default());
    assert_eq!(told(&status), "RPO now: not known, no standby has confirmed anything yet");
    status.rpo = None;
    assert_eq!(told(&status), "");
}

#[test]
fn whose_commits_do_not_wait_is_on_the_screen() {
    let mut status = healthy();
    status.opted_out =
        vec![OptedOut { role: Some("loader".to_owned()), database: None, value: "off".to_owned() }];
    status.opted_out_sessions = 2;
    check("opted_out.screen.txt", &screen(&status));
    assert_eq!(verdict(&status), "all is well");
}

#[test]
fn a_cluster_in_trouble() {
    let mut status = troubled();
    check("troubled.screen.txt", &screen(&status));
    status.nodes[1].member = Some(member());
    check("troubled.explain.txt", &explain(&status));
    assert_eq!(verdict(&status), "4 problems");
}

#[test]
fn backups_are_on_the_screen() {
    let mut status = healthy();
    let at = 1_779_280_496_123;
    let run = |task: &str, outcome: Option<&str>| BackupRun {
        task: task.to_owned(),
        node: "n2".to_owned(),
        begun_unix_ms: at,
        ended_unix_ms: outcome.map(|_| at + 60_000),
        outcome: outcome.map(str::to_owned),
        rpo_ms: Some(1_200),
        rto_ms: Some(74_000),
        ..BackupRun::default()
    };
    let next = |task: &str, hours: u64| NextRun {
        task: task.to_owned(),
        at_unix_ms: at + hours * 3_600_000,
    };
    status.backups = Some(Backups::default());
    check("no_backups.screen.txt", &screen(&status));
    status.backups = Some(Backups {
        last: Some(LastBackup {
            label: "20260520-123456".to_owned(),
            started_unix_ms: at,
            stopped_unix_ms: at + 83_000,
            bytes: 5 << 30,
            stored_bytes: 81 << 20,
        }),
        running: Some(run("backup", None)),
        next: vec![next("backup", 12), next("verify", 80)],
        drill: Some(run("drill", Some("done"))),
        gaps: 2,
        wal: Some(Archived {
            behind_bytes: Some(20 << 20),
            since_unix_ms: Some(at),
            failing: false,
        }),
        ..Backups::default()
    });
    check("backups.screen.txt", &screen(&status));
}

/// n3 streams from n2, that from n1; n4 has found nobody.
#[test]
fn who_streams_from_whom() {
    let mut status = healthy();
    let from = |upstream: &str| Member { streaming_from: Some(name(upstream)), ..member() };
    status.nodes[1].member = Some(from("n1"));
    status.nodes[2].member = Some(from("n2"));
    status.nodes.push(NodeStatus { member: Some(from("n2")), ..node(4, ServerState::Streaming) });
    status.nodes.push(NodeStatus { member: Some(from("n1")), ..node(5, ServerState::Streaming) });
    status.nodes.push(NodeStatus {
        lag_bytes: None,
        lag_ms: None,
        ..node(6, ServerState::Standby)
    });
    check("cascade.topology.txt", &topology(&status));
}

#[test]
fn a_cluster_that_starts() {
    let mut status = healthy();
    status.leader = None;
    status.term = Term(0);
    status.history.clear();
    status.endpoints.clear();
    (status.nodes_spare, status.rpo) = (None, None);
    status.durability = "async".to_owned();
    status.nodes.truncate(1);
    let first = &mut status.nodes[0];
    (first.state, first.position, first.host) = (ServerState::Creating, None, "::1".to_owned());
    check("starting.screen.txt", &screen(&status));
    assert_eq!(history(&status), "nothing has happened yet\n");
}

#[test]
fn nothing_is_called_well_that_is_not() {
    let unwell: [fn(&mut ClusterStatus); 6] = [
        |status| status.store.reachable = false,
        |status| status.leader = None,
        |status| status.nodes[2].alive = false,
        |status| status.nodes[1].problems.push("its disk is full".to_owned()),
        |status| status.nodes[1].pending_restart.push("wal_level".to_owned()),
        |status| status.problems.push("anything".to_owned()),
    ];
    for (number, spoil) in unwell.into_iter().enumerate() {
        let mut status = healthy();
        spoil(&mut status);
        assert_eq!(verdict(&status), "1 problem", "case {number}");
        assert!(!screen(&status).contains("all is well"), "case {number}");
    }
}

#[test]
fn a_problem_is_told_once() {
    let mut status = healthy();
    status.problems.push("n3: its disk is full".to_owned());
    status.nodes[2].problems.push("its disk is full".to_owned());
    assert_eq!(verdict(&status), "1 problem");

    let mut status = healthy();
    status.nodes[2].alive = false;
    status.problems.push("n3 has been down since 12:34".to_owned());
    assert_eq!(verdict(&status), "1 problem");
    status.problems[0] = "n33 has been down since 12:34".to_owned();
    assert_eq!(verdict(&status), "2 problems", "n33 is another node");
}
