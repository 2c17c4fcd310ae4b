//! The record before and after, on the state machine that every store is.

use howdah_base::{DirectoryId, History, Lsn, Position, Tick};
use howdah_store::TxnOutcome;
use howdah_store::memory::State;

use super::super::journal::Phase;
use super::*;

fn at(timeline: u32, lsn: u64) -> Position {
    Position { timeline: Timeline(timeline), lsn: Lsn(lsn) }
}

fn id(text: &str) -> DirectoryId {
    text.parse().expect("an id")
}

fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

fn sync() -> Sync {
    Sync {
        revision: 7,
        term: Term(3),
        leader: name("n1"),
        directory: id("n1_0000000a"),
        floor: at(3, 0x300),
        voters: BTreeSet::from([id("n2_0000000b")]),
        needed: 1,
    }
}

fn apply(state: &mut State, txn: Txn) -> bool {
    matches!(state.txn(txn, Tick(0)), TxnOutcome::Applied { .. })
}

/// A cluster in term 3 on timeline 3, with n1 as its leader.
fn cluster() -> State {
    let mut state = State::default();
    let lease = state.grant(std::time::Duration::from_secs(10), Tick(0));
    let initialize = Initialize { by: name("n1"), system_identifier: 42, major: 17 };
    let leader = Leader { node: name("n1"), term: Term(3) };
    let txn = Txn::new()
        .put(key::INITIALIZE, &initialize)
        .put(key::SYNC, &sync())
        .put(key::TERM, &Term(3))
        .put(key::TIMELINE, &Timeline(3))
        .put_leased(key::LEADER, &leader, lease);
    assert!(apply(&mut state, txn));
    state
}

fn seen(state: &State) -> Seen {
    Seen::of(&state.snapshot()).expect("read").expect("recorded")
}

fn journal(timeline: u32) -> Journal {
    Journal {
        phase: Phase::Switching,
        what: "as it was at time=x".to_owned(),
        node: name("n1"),
        old: id("n1_0000000a"),
        aside: "/aside".into(),
        kept: "as it was until then".to_owned(),
        new: id("n1_0000000c"),
        beside: "/beside".into(),
        begins: at(timeline, 0x280),
        before: None,
    }
}

fn switched(state: &State, timeline: u32) -> Result<Txn, String> {
    seen(state).switched(&journal(timeline), [name("n1")].iter(), 5)
}

#[test]
fn a_number_is_never_given_out_twice() {
    let mut state = cluster();
    // A standby that is about to take over has seen the record, and would take the next number too.
    let before = seen(&state);
    let candidate = Txn::new().at(key::SYNC, before.sync.1).put(key::TIMELINE, &Timeline(4));
    let (timeline, txn) = before.reserve([Timeline(2)].into_iter());
    assert_eq!(timeline, Timeline(4));
    assert!(apply(&mut state, txn.clone()));
    assert!(!apply(&mut state, candidate), "it looks again");
    assert!(!apply(&mut state, txn), "nor twice for us");
    let after = seen(&state);
    assert_eq!(after.sync.0, Sync { revision: 8, ..sync() }, "who has what is as it was");
    assert_eq!(after.reserve([Timeline(9)].into_iter()).0, Timeline(10), "one that lies on a disk");
}

#[test]
fn everything_rises_and_nobody_leads() {
    let mut state = cluster();
    let (timeline, txn) = seen(&state).reserve(std::iter::empty());
    assert!(apply(&mut state, txn));
    let before = seen(&state);
    let txn = before.switched(&journal(timeline.0), [name("n1")].iter(), 5).expect("allowed");
    assert!(apply(&mut state, txn));
    let after = seen(&state);
    assert_eq!(after.leader, None);
    assert_eq!(after.term, Term(4));
    let new = &after.sync.0;
    assert_eq!((new.term, new.revision, new.needed), (Term(4), 9, 0));
    assert_eq!(new.directory, id("n1_0000000c"));
    assert!(new.voters.is_empty(), "nobody else has what it has");
    // No directory of before may ever be elected, by whatever it holds.
    let old = History { timeline: Timeline(3), forks: vec![(Timeline(1), Lsn(0x100))] };
    assert!(!old.past(Lsn(0x900), new.floor));
    assert_eq!(after.history.last().map(|change| change.kind), Some(ChangeKind::Forced));
}

#[test]
fn a_cluster_that_went_another_way_meanwhile_is_left_alone() {
    let mut state = cluster();
    let why = |state: &State, timeline| switched(state, timeline).expect_err("no");
    assert!(why(&state, 4).contains("timeline 3"), "it was not reserved");
    let taken = Sync { leader: name("n2"), directory: id("n2_0000000b"), ..sync() };
    assert!(apply(&mut state, Txn::new().put(key::SYNC, &taken)));
    assert!(why(&state, 3).contains("`n2` leads"));
}

#[test]
fn nobody_takes_over_by_himself_until_it_is_done() {
    let mut state = cluster();
    let before = seen(&state);
    // As every failover is written: `take_over` of crates/ledger.
    let candidate = Txn::new().at(key::SYNC, before.sync.1).absent(key::PAUSE);
    let hush = before.hushed(&journal(3), 5).expect("allowed").expect("needed");
    assert!(apply(&mut state, hush.clone()));
    assert!(!apply(&mut state.clone(), candidate.clone()));
    assert!(!apply(&mut state, hush), "once");
    assert_eq!(seen(&state).hushed(&journal(3), 6), Ok(None));
    // Either end takes it away.
    let mut gone_back = state.clone();
    let resume = seen(&gone_back).resumed(&journal(3)).expect("it stands");
    assert!(apply(&mut gone_back, resume));
    assert!(apply(&mut gone_back.clone(), candidate), "as before");
    assert_eq!(seen(&gone_back).resumed(&journal(3)), None);
    let txn = switched(&state, 3).expect("allowed");
    assert!(apply(&mut state, txn));
    assert_eq!(seen(&state).pause, None);
}

#[test]
fn another_ones_pause_is_his() {
    let mut state = cluster();
    let pause = Pause { by: "root".to_owned(), at_unix_ms: 1 };
    assert!(apply(&mut state, Txn::new().put(key::PAUSE, &pause)));
    assert!(seen(&state).hushed(&journal(3), 5).expect_err("no").contains("by root"));
    assert_eq!(seen(&state).resumed(&journal(3)), None);
    assert!(switched(&state, 3).expect_err("no").contains("by root"));
}

#[test]
fn who_goes_on_elsewhere_stays_a_member() {
    let state = cluster();
    let txn = switched(&state, 3).expect("allowed");
    let mut state = state;
    for node in ["n1", "n2"] {
        let member = Txn::new().put(format!("{}{node}", key::MEMBERS), &"as it is");
        assert!(apply(&mut state, member));
    }
    assert!(apply(&mut state, txn));
    let entries = state.snapshot().entries;
    let has = |node: &str| entries.contains_key(&format!("{}{node}", key::MEMBERS));
    assert_eq!((has("n1"), has("n2")), (false, true));
}

#[test]
fn one_that_comes_late_finds_the_door_closed() {
    let mut state = cluster();
    let late = switched(&state, 3).expect("allowed");
    let bar = seen(&state).barred();
    assert!(apply(&mut state, bar));
    assert!(!apply(&mut state, late));
    assert_eq!(seen(&state).sync.0, Sync { revision: 8, ..sync() });
}

#[test]
fn what_changes_between_the_look_and_the_write_refuses_it() {
    let state = cluster();
    let txn = switched(&state, 3).expect("allowed");
    let changes = [
        Txn::new().put(key::SYNC, &sync()),
        Txn::new().put(key::TIMELINE, &Timeline(4)),
        Txn::new().put(key::LEADER, &Leader { node: name("n2"), term: Term(4) }),
        Txn::new().put(key::INTENT, &"anything"),
    ];
    for change in changes {
        let mut state = state.clone();
        assert!(apply(&mut state, change.clone()));
        assert!(!apply(&mut state, txn.clone()), "{change:?}");
    }
    assert!(apply(&mut state.clone(), txn));
}
