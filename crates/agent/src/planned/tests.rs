//! A round of planned restarts against the store's own state machine: any node may lead each step.

use howdah_store::memory::Memory;
use howdah_store::{Store, TxnOutcome};
use serde_json::{Value, json};

use super::*;

const AT: u64 = 1_800_000_000_000;
const STARTED: u64 = AT - 86_400_000;

fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

struct Rig {
    store: Memory,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    /// Three nodes that serve; `n1` leads.
    fn new() -> Rig {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let rig = Rig { store: Memory::new(), runtime };
        rig.put("leader", &json!({ "node": "n1", "term": 1 }));
        rig.member("n1", "primary", STARTED);
        rig.member("n2", "streaming", STARTED);
        rig.member("n3", "streaming", STARTED);
        rig
    }

    fn seen(&self) -> Snapshot {
        self.runtime.block_on(self.store.snapshot()).expect("an answer")
    }

    fn put(&self, key: &str, value: &Value) {
        self.apply(Txn::new().put(key, value));
    }

    fn delete(&self, key: &str) {
        self.apply(Txn::new().delete(key));
    }

    fn apply(&self, txn: Txn) {
        let outcome = self.runtime.block_on(self.store.txn(txn)).expect("an answer");
        assert!(matches!(outcome, TxnOutcome::Applied { .. }), "{outcome:?}");
    }

    fn member(&self, node: &str, server: &str, started: u64) {
        let member = json!({
            "node": node, "host": "h", "postgres_port": 1, "peer_port": 2, "http_port": 3,
            "directory": null, "server": server, "position": null, "history": null,
            "replayed": null, "streaming_from": null, "replay_lag_ms": null, "report": null,
            "ended": null, "rule": 1, "reason": "", "at_unix_ms": AT, "version": null,
            "started_unix_ms": started,
        });
        self.put(&format!("members/{node}"), &member);
    }

    /// Restarts of these nodes are asked for.
    fn plan(&self, nodes: &[&str]) -> Result<(), String> {
        let nodes: Vec<NodeName> = nodes.iter().map(|node| name(node)).collect();
        let planned = plan(&self.seen(), &nodes, &Conditions::default(), AT, "anna");
        self.apply(planned.map_err(|refusal| refusal.error)?.txn);
        Ok(())
    }

    fn picture(&self) -> Picture {
        let all = ["n1", "n2", "n3"].map(name).to_vec();
        Picture::of(&self.seen(), all).expect("records that read")
    }

    /// The leader of the moment, which remembers nothing, takes the next step.
    fn step(&self, now: u64) -> Next {
        let seen = self.seen();
        let leader = seen.entries.get("leader").map_or(0, |entry| entry.revision);
        let next = self.picture().next(now);
        if let Some(txn) = self.picture().txn(&next, leader, now) {
            self.apply(txn);
        }
        next
    }

    /// The node carries its order out.
    fn restarted(&self, node: &str, server: &str, started: u64) {
        self.member(node, server, started);
        self.delete(&format!("orders/{node}"));
    }

    fn has(&self, key: &str) -> bool {
        self.seen().entries.contains_key(key)
    }
}

#[test]
fn each_waits_until_the_former_streams_again_and_the_primary_is_last() {
    let rig = Rig::new();
    rig.plan(&["n1", "n2", "n3"]).expect("planned");
    assert_eq!(rig.step(AT - 1), Next::Nothing, "its moment has not come");
    for node in ["n2", "n3"] {
        assert_eq!(rig.step(AT), Next::Begin(name(node)));
        assert_eq!(rig.step(AT), Next::Nothing, "the order stands");
        rig.restarted(node, "standby", AT + 1);
        assert_eq!(rig.step(AT + 2), Next::Nothing, "it does not stream yet");
        rig.member(node, "streaming", AT + 1);
        assert_eq!(rig.step(AT + 3), Next::End(name(node), None));
    }
    assert_eq!(rig.step(AT + 4), Next::Begin(name("n1")));
    rig.restarted("n1", "primary", STARTED);
    assert_eq!(rig.step(AT + 5), Next::Nothing, "the record is of the old postmaster");
    rig.member("n1", "primary", AT + 6);
    assert_eq!(rig.step(AT + 7), Next::End(name("n1"), None));
    assert_eq!(rig.step(AT + 8), Next::Nothing);
    assert!(!rig.has("restarts/n1") && !rig.has("orders/n1"));
}

#[test]
fn another_leader_goes_on_where_the_former_stopped() {
    let rig = Rig::new();
    rig.plan(&["n1", "n2", "n3"]).expect("planned");
    assert_eq!(rig.step(AT), Next::Begin(name("n2")));
    // n1 is lost, and n3 leads: nothing is begun beside what is under way, nor without n1.
    rig.delete("members/n1");
    rig.put("leader", &json!({ "node": "n3", "term": 2 }));
    rig.member("n3", "primary", STARTED);
    assert_eq!(rig.step(AT + 1), Next::Nothing);
    rig.restarted("n2", "streaming", AT + 1);
    assert_eq!(rig.step(AT + 2), Next::End(name("n2"), None));
    let Next::Wait(why) = rig.step(AT + 3) else { panic!("begun without n1") };
    assert_eq!(why, "the agent of `n1` does not answer");
    assert_eq!(rig.picture().problems(AT + 3), [format!("a planned restart waits: {why}")]);
    rig.member("n1", "streaming", AT + 4);
    assert_eq!(rig.step(AT + 5), Next::Begin(name("n1")), "a standby now");
}

#[test]
fn the_rest_is_given_up_when_a_node_does_not_come_back_and_the_status_says_so() {
    let rig = Rig::new();
    rig.plan(&["n1", "n2", "n3"]).expect("planned");
    assert_eq!(rig.step(AT), Next::Begin(name("n2")));
    rig.delete("members/n2");
    assert_eq!(rig.step(AT + BACK_WITHIN_MS), Next::Nothing);
    let Next::GiveUp(why) = rig.step(AT + BACK_WITHIN_MS + 1) else { panic!("goes on") };
    assert_eq!(why, "`n2` did not serve again within 120 s of its restart");
    assert!(!rig.has("orders/n2"), "it is not restarted when it comes back");
    let problems = rig.picture().problems(AT + BACK_WITHIN_MS + 2);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[2].contains("of `n3` was given up: `n2` did not"), "{problems:?}");
    rig.member("n2", "streaming", AT + BACK_WITHIN_MS);
    assert_eq!(rig.step(AT + BACK_WITHIN_MS + 3), Next::Nothing, "what is given up stays so");
    // It is dropped by who was told, or by another plan.
    rig.apply(cancel(&rig.seen(), &name("n1")).expect("there").txn);
    rig.plan(&["n2", "n3"]).expect("replaced");
    assert_eq!(rig.picture().problems(AT), [""; 0]);
}

#[test]
fn what_could_not_be_begun_for_half_an_hour_is_given_up() {
    let rig = Rig::new();
    rig.plan(&["n3"]).expect("planned");
    rig.member("n2", "stopped", STARTED);
    assert_eq!(rig.step(AT + LATE_MAX_MS), Next::Wait("`n2` is stopped".to_owned()));
    let given_up = rig.step(AT + LATE_MAX_MS + 1);
    let why = "not begun within 30 minutes of its moment: `n2` is stopped";
    assert_eq!(given_up, Next::GiveUp(why.to_owned()));
}

#[test]
fn nothing_is_begun_in_a_pause_beside_another_order_or_on_a_fenced_node() {
    let rig = Rig::new();
    rig.plan(&["n2", "n3"]).expect("planned");
    rig.put("pause", &json!({ "by": "bob", "at_unix_ms": 0 }));
    assert_eq!(rig.step(AT), Next::Wait("the cluster is paused".to_owned()));
    rig.delete("pause");
    let copy = json!({ "id": "9", "by": "bob", "kind": { "kind": "reinit", "from": null } });
    rig.put("orders/n3", &copy);
    assert_eq!(rig.step(AT), Next::Wait("`n3` has another order".to_owned()));
    rig.delete("orders/n3");
    rig.put("fenced/n2", &json!({ "by": "bob", "at_unix_ms": 0 }));
    let why = "it has no server that is to run";
    assert_eq!(rig.step(AT), Next::End(name("n2"), Some(why.to_owned())));
    assert_eq!(rig.step(AT), Next::Begin(name("n3")));
}

#[test]
fn one_plan_a_node_and_its_cancellation_takes_the_order_along() {
    let rig = Rig::new();
    rig.plan(&["n3"]).expect("planned");
    let words = rig.plan(&["n2", "n3"]).expect_err("n3 is planned");
    assert_eq!(words, "a restart of `n3` is planned already, by anna");
    assert!(!rig.has("restarts/n2"), "all or none");
    rig.step(AT);
    assert!(rig.has("orders/n3"));
    rig.apply(cancel(&rig.seen(), &name("n3")).expect("there").txn);
    assert!(!rig.has("orders/n3") && !rig.has("restarts/n3"));
    let refusal = cancel(&rig.seen(), &name("n3")).expect_err("nothing is planned");
    assert_eq!(refusal.class, RefusalClass::Absent);
}

#[test]
fn an_order_that_was_not_needed_ends_its_plan() {
    let rig = Rig::new();
    rig.plan(&["n2"]).expect("planned");
    rig.step(AT);
    let seen = rig.seen();
    let (order, _) = seen.get::<Order>("orders/n2").expect("reads").expect("there");
    rig.delete("orders/n2");
    rig.put("answers/n2", &json!({ "id": order.id, "why": "it is a standby, not a primary" }));
    let why = Some("it is a standby, not a primary".to_owned());
    assert_eq!(rig.step(AT + 1), Next::End(name("n2"), why));
}
