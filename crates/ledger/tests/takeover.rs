//! A takeover decided from an old picture is refused by the store: each thing that it saw is
//! compared.

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_base::record::{ChangeKind, Leader, Sync, key};
use howdah_base::{DirectoryId, Lsn, NodeName, Position, Term, Tick, Timeline};
use howdah_ha::{Command, Reason, Rule, TakeOver};
use howdah_ledger::{Author, txn_for, view_of};
use howdah_store::memory::State;
use howdah_store::{LeaseId, Txn, TxnOutcome};

const NOW: Tick = Tick(1_000);

fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

fn sync(term: u64, leader: &str, revision: u64) -> Sync {
    Sync {
        revision,
        term: Term(term),
        leader: name(leader),
        directory: DirectoryId::new(&name(leader), 1),
        floor: Position { timeline: Timeline(1), lsn: Lsn(10) },
        voters: BTreeSet::new(),
        needed: 0,
    }
}

fn author(node: &str, lease: LeaseId) -> Author {
    let reason = Reason { rule: Rule::TakeOver, detail: String::new() };
    Author { node: name(node), lease, reason, at_unix_ms: 0, major: 15 }
}

/// A store in which term 1 has ended, and the order by which `n2` takes over.
fn after_term_one(state: &mut State) -> (TakeOver, LeaseId) {
    let lease = state.grant(Duration::from_secs(6), NOW);
    let record = Txn::new().put(key::SYNC, &sync(1, "n1", 1)).put(key::TERM, &Term(1));
    assert!(matches!(state.txn(record, NOW), TxnOutcome::Applied { .. }));
    let seen = view_of(&state.snapshot(), Some(lease), None, false).expect("it reads");
    let order = TakeOver {
        leader_revision: None,
        sync_revision: seen.sync.expect("sync").revision,
        handover_revision: None,
        intent_revision: None,
        term: Term(2),
        timeline: Timeline(2),
        sync: sync(2, "n2", 2),
        kind: ChangeKind::Failover,
        from: Some(name("n1")),
        begins: Position { timeline: Timeline(1), lsn: Lsn(10) },
        loss: "none".to_owned(),
    };
    (order, lease)
}

fn apply(state: &mut State, order: TakeOver, lease: LeaseId) -> TxnOutcome {
    let view = view_of(&state.snapshot(), Some(lease), None, false).expect("it reads");
    let command = Command::TakeOver(order);
    let txn = txn_for(&command, &view, &[], &author("n2", lease)).expect("a transaction");
    state.txn(txn, NOW)
}

#[test]
fn a_takeover_from_a_fresh_picture_is_applied_and_is_all_there() {
    let mut state = State::default();
    let (order, lease) = after_term_one(&mut state);
    assert!(matches!(apply(&mut state, order, lease), TxnOutcome::Applied { .. }));
    let view = view_of(&state.snapshot(), Some(lease), None, false).expect("it reads");
    assert!(view.leader_mine);
    assert_eq!((view.term, view.timeline), (Term(2), Timeline(2)));
    assert_eq!(view.sync.expect("sync").value.leader, name("n2"));
}

#[test]
fn a_record_that_was_rewritten_meanwhile_refuses_it() {
    let mut state = State::default();
    let (order, lease) = after_term_one(&mut state);
    state.txn(Txn::new().put(key::SYNC, &sync(1, "n1", 2)), NOW);
    assert!(matches!(apply(&mut state, order, lease), TxnOutcome::Refused { .. }));
}

#[test]
fn a_leader_that_came_meanwhile_refuses_it() {
    let mut state = State::default();
    let (order, lease) = after_term_one(&mut state);
    let other = state.grant(Duration::from_secs(6), NOW);
    let leader = Leader { node: name("n3"), term: Term(2) };
    state.txn(Txn::new().put_leased(key::LEADER, &leader, other), NOW);
    assert!(matches!(apply(&mut state, order, lease), TxnOutcome::Refused { .. }));
}

#[test]
fn a_lease_that_has_ended_meanwhile_refuses_it() {
    let mut state = State::default();
    let (order, lease) = after_term_one(&mut state);
    state.revoke(lease, NOW);
    assert!(matches!(apply(&mut state, order, lease), TxnOutcome::Refused { .. }));
}

/// The store has lost the leader's key; its holder `n1` and `n2` both want it.
fn retake(state: &mut State, lease: LeaseId) -> Txn {
    let view = view_of(&state.snapshot(), Some(lease), None, false).expect("it reads");
    let command = Command::Retake(sync(1, "n1", 2));
    txn_for(&command, &view, &[], &author("n1", lease)).expect("a transaction")
}

#[test]
fn a_key_taken_again_keeps_the_term_and_refuses_a_takeover_decided_before() {
    let mut state = State::default();
    let (order, other) = after_term_one(&mut state);
    let lease = state.grant(Duration::from_secs(6), NOW);
    let txn = retake(&mut state, lease);
    assert!(matches!(state.txn(txn, NOW), TxnOutcome::Applied { .. }));
    let view = view_of(&state.snapshot(), Some(lease), None, false).expect("it reads");
    assert!(view.leader_mine);
    assert_eq!((view.term, view.leader.expect("a leader").value.term), (Term(1), Term(1)));
    // Not even when the key is lost once more: the reports that it rests on are void.
    state.revoke(lease, NOW);
    assert!(matches!(apply(&mut state, order, other), TxnOutcome::Refused { .. }));
}

#[test]
fn a_key_that_another_took_is_not_taken_again() {
    let mut state = State::default();
    let (order, other) = after_term_one(&mut state);
    let lease = state.grant(Duration::from_secs(6), NOW);
    let txn = retake(&mut state, lease);
    assert!(matches!(apply(&mut state, order, other), TxnOutcome::Applied { .. }));
    // Nor after the other's lease has ended in its turn.
    state.revoke(other, NOW);
    assert!(matches!(state.txn(txn, NOW), TxnOutcome::Refused { .. }));
}
