//! Bodies and the codes that they get: the same as Patroni's for the same mistake.

use howdah_base::Term;
use howdah_base::record::{Pause, ServerState};
use howdah_base::status::{Check, NodeStatus, StoreStatus, Verdict};

use super::*;
use crate::fields;
use crate::routes::ROUTES;

const NOW: u64 = 1_900_000_000_000;

fn name(text: &str) -> NodeName {
    text.parse().expect("name")
}

fn node(text: &str, state: ServerState, not_promotable: Option<&str>) -> NodeStatus {
    NodeStatus {
        node: name(text),
        host: "127.0.0.1".to_owned(),
        postgres_port: 5433,
        http_port: 8008,
        state,
        position: None,
        lag_bytes: None,
        lag_ms: None,
        voter: false,
        rule: 0,
        reason: String::new(),
        not_promotable: not_promotable.map(str::to_owned),
        not_switchable: not_promotable.map(str::to_owned),
        failover_loses: None,
        pending_restart: Vec::new(),
        problems: Vec::new(),
        fenced: None,
        order: None,
        restart: None,
        alive: true,
        member: None,
    }
}

/// n1 leads, n2 can take over, n3 cannot.
fn cluster() -> ClusterStatus {
    ClusterStatus {
        cluster: "demo".parse().expect("name"),
        seen_by: name("n1"),
        durability: "quorum".to_owned(),
        term: Term(1),
        leader: Some(name("n1")),
        store: StoreStatus { kind: "memory".to_owned(), reachable: true, error: None },
        nodes: vec![
            node("n1", ServerState::Primary, None),
            node("n2", ServerState::Streaming, None),
            node("n3", ServerState::Streaming, Some("it has the tag no_failover")),
        ],
        endpoints: Vec::new(),
        nodes_spare: None,
        rpo: None,
        opted_out: Vec::new(),
        opted_out_sessions: 0,
        problems: Vec::new(),
        history: Vec::new(),
        config_revision: 1,
        paused: None,
        planned: None,
        switchover: Vec::new(),
        backups: None,
    }
}

fn without_leader() -> ClusterStatus {
    let mut status = cluster();
    status.leader = None;
    status.nodes[0].alive = false;
    status
}

fn paused() -> ClusterStatus {
    ClusterStatus { paused: Some(Pause { by: "anna".to_owned(), at_unix_ms: 0 }), ..cluster() }
}

/// What is asked of the agent, or the code of the refusal.
fn asked(op: Op, status: &ClusterStatus, body: &str) -> String {
    let route = ROUTES.iter().find(|route| route.op == op).expect("a route");
    let known = Known { status, now: NOW, query: &[] };
    let read = fields::object(&route.body, body).and_then(|body| read(op, &body, known));
    match read {
        Ok(wish) => format!("{} {:?}", wish.done.as_u16(), wish.ask),
        Err(refused) => {
            assert!(!refused.refusal.error.is_empty());
            refused.code.as_u16().to_string()
        }
    }
}

#[track_caller]
fn check(op: Op, status: &ClusterStatus, cases: &[(&str, &str)]) {
    for (body, wanted) in cases {
        assert_eq!(asked(op, status, body), *wanted, "{body}");
    }
}

#[test]
fn switchovers() {
    const TO: &str = "200 Switchover { to: Some(n2), at_unix_ms: None }";
    const BEST: &str = "200 Switchover { to: None, at_unix_ms: None }";
    check(
        Op::Switchover,
        &cluster(),
        &[
            (r#"{"leader": "n1", "candidate": "n2"}"#, TO),
            (r#"{"leader": "n1", "member": "n2", "scheduled_at": null}"#, TO),
            (r#"{"leader": "n1"}"#, BEST),
            (r#"{"leader": "n1", "candidate": ""}"#, BEST),
            (r#"{"to": "n2"}"#, TO),
            (r#"{"to": null}"#, BEST),
            (r#"{"candidate": "n2"}"#, "400"),
            (r#"{"scheduled_at": "nonsense"}"#, "400"),
            (r#"{"leader": "n1", "candidate": "n1"}"#, "400"),
            (r#"{"leader": "n2", "candidate": "n3"}"#, "412"),
            (r#"{"leader": "n1", "candidate": "n3"}"#, "412"),
            (r#"{"leader": "n1", "candidate": "n9"}"#, "412"),
            (r#"{"leader": "n1", "candidate": "N 9"}"#, "412"),
            (r#"{"leader": 5}"#, "400"),
            (r#"{"leader": "n1", "at_once": true}"#, "400"),
            ("{}", "400"),
            ("[]", "400"),
            ("n2", "400"),
            ("", "400"),
        ],
    );
    assert_eq!(asked(Op::Switchover, &without_leader(), r#"{"leader": "n1"}"#), "412");
}

/// The checks of `howdah switchover --check` are those of a request.
#[test]
fn what_prevents_a_switchover_refuses_it() {
    let with = |what: &str, verdict: Verdict| {
        let (what, said) = (what.to_owned(), format!("{what} is so"));
        ClusterStatus { switchover: vec![Check { what, verdict, said }], ..cluster() }
    };
    const TO: &str = "200 Switchover { to: Some(n2), at_unix_ms: None }";
    for (what, verdict, wanted) in [
        ("archive", Verdict::Warns, TO),
        ("archive", Verdict::Prevents, "412"),
        ("leader", Verdict::Prevents, "412"),
        // Of the best standby; the one that is named is judged by itself.
        ("candidate", Verdict::Prevents, TO),
        // The store knows better: 409.
        ("request", Verdict::Prevents, TO),
    ] {
        let status = with(what, verdict);
        let body = r#"{"leader": "n1", "candidate": "n2"}"#;
        assert_eq!(asked(Op::Switchover, &status, body), wanted, "{what} {verdict:?}");
        assert_eq!(asked(Op::Failover, &status, body), wanted, "{what} {verdict:?}");
    }
    let later = r#"{"at": "+1min"}"#;
    assert!(asked(Op::Switchover, &with("archive", Verdict::Prevents), later).starts_with("202"));
}

#[test]
fn planned_switchovers() {
    let planned = format!("202 Switchover {{ to: None, at_unix_ms: Some({}) }}", NOW + 60_000);
    check(
        Op::Switchover,
        &cluster(),
        &[
            (r#"{"leader": "n1", "scheduled_at": "2030-03-17T17:47:40+00:00"}"#, &planned),
            (r#"{"at": "+1min"}"#, &planned),
            (r#"{"leader": "n1", "scheduled_at": "2030-03-17T17:47:40"}"#, "400"),
            (r#"{"leader": "n1", "scheduled_at": "1999-03-17T17:47:40Z"}"#, "422"),
            (r#"{"leader": "n1", "scheduled_at": "tomorrow"}"#, "422"),
            (r#"{"leader": "n1", "scheduled_at": 5}"#, "422"),
        ],
    );
    let at = r#"{"leader": "n1", "candidate": "n2", "scheduled_at": "2030-03-17T17:47:40Z"}"#;
    check(
        Op::Switchover,
        &paused(),
        &[
            (at, "400"),
            (r#"{"leader": "n1"}"#, "400"),
            (
                r#"{"leader": "n1", "candidate": "n2"}"#,
                "200 Switchover { to: Some(n2), at_unix_ms: None }",
            ),
        ],
    );
}

#[test]
fn failovers() {
    const FORCED: &str = "200 Failover { to: n2, accept_loss: false }";
    const HANDED: &str = "200 Switchover { to: Some(n2), at_unix_ms: None }";
    check(
        Op::Failover,
        &without_leader(),
        &[
            (r#"{"candidate": "n2"}"#, FORCED),
            (r#"{"to": "n2"}"#, FORCED),
            (r#"{"to": "n3", "accept_loss": true}"#, "200 Failover { to: n3, accept_loss: true }"),
            (r#"{"candidate": "n3"}"#, "412"),
            (r#"{"candidate": "n9"}"#, "412"),
            (r#"{"leader": "n1", "candidate": "n2"}"#, "412"),
            (r#"{"candidate": "n2", "scheduled_at": "2030-03-17T17:47:40Z"}"#, "400"),
            (r#"{"leader": "n1"}"#, "400"),
            (r#"{"to": "n2", "accept_loss": "perhaps"}"#, "400"),
            ("{}", "400"),
            ("", "400"),
        ],
    );
    check(
        Op::Failover,
        &cluster(),
        &[
            (r#"{"candidate": "n2"}"#, HANDED),
            (r#"{"leader": "n1", "candidate": "n2"}"#, HANDED),
            (r#"{"leader": "n2", "candidate": "n3"}"#, "412"),
            (r#"{"leader": "n1", "candidate": "n1"}"#, "400"),
            (r#"{"candidate": "n3"}"#, "412"),
            (r#"{"to": "n2"}"#, FORCED),
        ],
    );
}

#[test]
fn restarts() {
    let restart = |nodes: &str, pending: bool, role: &str, older: &str, at: &str| {
        format!(
            "Restart {{ nodes: [{nodes}], conditions: Conditions {{ pending: {pending}, role: \
             {role}, older_than: {older} }}, at_unix_ms: {at} }}"
        )
    };
    let plain = format!("200 {}", restart("n1", false, "None", "None", "None"));
    let all = format!("200 {}", restart("", false, "None", "None", "None"));
    let narrow = restart("n1", true, "Some(\"standby\")", "Some(\"15.9\")", "None");
    let later = restart("n1", false, "None", "None", &format!("Some({})", NOW + 60_000));
    check(
        Op::Restart,
        &cluster(),
        &[
            ("", &plain),
            ("{}", &plain),
            (r#"{"timeout": 30}"#, &plain),
            (r#"{"timeout": "30s"}"#, &plain),
            (r#"{"nodes": []}"#, &all),
            (
                r#"{"role": "replica", "restart_pending": "on", "postgres_version": "15.9"}"#,
                &format!("200 {narrow}"),
            ),
            (r#"{"schedule": "2030-03-17T17:47:40Z"}"#, &format!("202 {later}")),
            (r#"{"schedule": "2030-03-17 17:47:40"}"#, "400"),
            (r#"{"schedule": "2000-03-17T17:47:40Z"}"#, "422"),
            (r#"{"schedule": "soon"}"#, "422"),
            (r#"{"role": "sync"}"#, "400"),
            (r#"{"postgres_version": "fifteen"}"#, "400"),
            (r#"{"postgres_version": "9.5"}"#, "400"),
            (r#"{"timeout": 0}"#, "400"),
            (r#"{"timeout": "-5"}"#, "400"),
            (r#"{"foo": "bar"}"#, "400"),
            (r#"{"nodes": "n1"}"#, "400"),
            ("[]", "400"),
            ("nonsense", "400"),
        ],
    );
    let planned = r#"{"schedule": "2030-03-17T17:47:40Z"}"#;
    check(Op::Restart, &paused(), &[(planned, "500"), ("", &plain)]);
}

#[test]
fn the_rest() {
    check(
        Op::Reload,
        &cluster(),
        &[
            ("", "202 Reload { nodes: [n1] }"),
            (r#"{"nodes": ["n2"]}"#, "202 Reload { nodes: [n2] }"),
        ],
    );
    check(
        Op::Reinitialize,
        &cluster(),
        &[
            ("", "200 Reinit { node: n1, from: None, repository: false }"),
            (r#"{"force": true}"#, "200 Reinit { node: n1, from: None, repository: false }"),
            (
                r#"{"from_leader": "true"}"#,
                "200 Reinit { node: n1, from: Some(n1), repository: false }",
            ),
            (
                r#"{"node": "n3", "from_repository": true}"#,
                "200 Reinit { node: n3, from: None, repository: true }",
            ),
            (
                r#"{"node": "n3", "from": "n2"}"#,
                "200 Reinit { node: n3, from: Some(n2), repository: false }",
            ),
            (r#"{"force": "perhaps"}"#, "400"),
        ],
    );
    check(Op::Fence, &cluster(), &[(r#"{"node": "n3"}"#, "200 Fence { node: n3 }"), ("", "400")]);
    check(Op::Unfence, &cluster(), &[(r#"{"node": "n3"}"#, "200 Unfence { node: n3 }")]);
    check(
        Op::AbortSwitchover,
        &cluster(),
        &[("", "200 AbortSwitchover"), ("x", "200 AbortSwitchover")],
    );
    check(Op::CancelRestart, &cluster(), &[("", "200 CancelRestart { node: n1 }")]);
    check(Op::Pause, &cluster(), &[("", "200 Pause")]);
}

#[test]
fn a_cluster_file_is_for_one_revision_if_it_says_so() {
    let status = cluster();
    let applied = |text: &str, query: &[(String, String)]| {
        apply(text, Known { status: &status, now: NOW, query })
            .map(|wish| wish.ask)
            .map_err(|refused| refused.code.as_u16())
    };
    let of = |revision| Ok(Ask::Apply { text: "x".to_owned(), revision });
    let query = |value: &str| [("revision".to_owned(), value.to_owned())];
    assert_eq!(applied("x", &[]), of(None));
    assert_eq!(applied("x", &query("7")), of(Some(7)));
    assert_eq!(applied("x", &query("seven")), Err(400));
    assert_eq!(applied(" \n", &[]), Err(400));
}

#[test]
fn each_refusal_has_its_code() {
    use RefusalClass::{Absent, Conflict, Malformed, Precondition, Unavailable};
    for (op, class, code) in [
        (Op::Switchover, Precondition, 412),
        (Op::Switchover, Conflict, 409),
        (Op::Switchover, Unavailable, 503),
        (Op::AbortSwitchover, Absent, 404),
        (Op::CancelRestart, Absent, 404),
        (Op::Restart, Precondition, 503),
        (Op::Restart, Conflict, 409),
        (Op::Reinitialize, Conflict, 503),
        (Op::Reinitialize, Precondition, 503),
        (Op::Apply, Malformed, 400),
        (Op::PatchConfig, Conflict, 409),
    ] {
        assert_eq!(code_of(op, class).as_u16(), code, "{op:?} {class:?}");
    }
}
