//! The judge must not be deceived, and must not accuse an innocent: one case each.

use super::*;
use crate::history::Made;

/// A write on timeline 1 that takes half a second.
fn op(what: What, sent: Micros, outcome: Outcome) -> Op {
    let made = Some(Made { node: "n1".to_owned(), timeline: 1 });
    Op { client: "c".to_owned(), what, sent, done: sent + 500_000, outcome, made }
}

fn insert(id: i64, sent: Micros, outcome: Outcome) -> Op {
    op(What::Insert { id }, sent, outcome)
}

fn append(item: i64, sent: Micros, outcome: Outcome) -> Op {
    op(What::Append { key: "k".to_owned(), item }, sent, outcome)
}

fn on(timeline: u32, mut op: Op) -> Op {
    op.made = Some(Made { node: format!("n{timeline}"), timeline });
    op
}

fn judged(ops: Vec<Op>, held: &Final) -> Verdict {
    judge(&History { ops, ..History::default() }, held, 1)
}

fn rows(ids: &[i64]) -> Final {
    Final { rows: ids.iter().copied().collect(), ..Final::default() }
}

fn list(items: &[i64]) -> Final {
    let lists = BTreeMap::from([("k".to_owned(), items.to_vec())]);
    Final { lists, ..Final::default() }
}

use Outcome::{Acknowledged, Failed, Indeterminate};

#[test]
fn what_was_acknowledged_must_be_there_and_what_failed_must_not() {
    let ops = || {
        vec![
            insert(1, 0, Acknowledged),
            insert(2, 0, Indeterminate),
            insert(3, 0, Indeterminate),
            insert(4, 0, Failed),
        ]
    };
    let fine = judged(ops(), &rows(&[1, 2]));
    assert_eq!(fine.complaints(), Vec::<String>::new());
    assert_eq!((fine.acknowledged, fine.indeterminate, fine.indeterminate_present), (1, 2, 1));
    let bad = judged(ops(), &rows(&[2, 4, 9]));
    assert_eq!((bad.lost.len(), bad.ghosts.len()), (1, 2), "{bad:?}");
    assert!(bad.complaints()[0].starts_with("lost: row 1 of c made on n1"), "{bad:?}");
}

#[test]
fn a_lost_and_a_reordered_item_are_found() {
    let ops = || vec![append(1, 0, Acknowledged), append(2, 1_000_000, Acknowledged)];
    assert_eq!(judged(ops(), &list(&[1, 2])).complaints(), Vec::<String>::new());
    assert_eq!(judged(ops(), &list(&[2])).lost.len(), 1);
    assert_eq!(judged(ops(), &list(&[2, 1])).reordered.len(), 1);
    assert_eq!(judged(ops(), &list(&[1, 2, 2])).reordered.len(), 1);
}

#[test]
fn items_that_were_on_their_way_together_may_stand_either_way() {
    let ops = || vec![append(1, 0, Acknowledged), append(2, 400_000, Acknowledged)];
    assert_eq!(judged(ops(), &list(&[2, 1])).complaints(), Vec::<String>::new());
}

#[test]
fn an_item_without_an_answer_may_come_later_but_not_before_it_was_sent() {
    let later = || vec![append(1, 0, Indeterminate), append(2, 1_000_000, Acknowledged)];
    assert_eq!(judged(later(), &list(&[2, 1])).complaints(), Vec::<String>::new());
    let earlier = vec![append(1, 0, Acknowledged), append(2, 1_000_000, Indeterminate)];
    assert_eq!(judged(earlier, &list(&[2, 1])).reordered.len(), 1);
}

#[test]
fn a_violation_far_apart_in_the_list_is_found() {
    let ops = vec![
        append(1, 0, Acknowledged),
        append(2, 1_000_000, Acknowledged),
        append(3, 1_100_000, Acknowledged),
    ];
    assert_eq!(judged(ops, &list(&[2, 3, 1])).reordered.len(), 1);
}

#[test]
fn money_neither_comes_nor_goes() {
    let what = What::Transfer { id: 7, from: 1, to: 2, amount: 5 };
    let ops = || vec![op(what.clone(), 0, Acknowledged)];
    let held = |one: i64, other: i64| Final {
        transfers: BTreeMap::from([(7, (1, 2, 5))]),
        balances: BTreeMap::from([(1, one), (2, other)]),
        opening: 100,
        ..Final::default()
    };
    assert_eq!(judged(ops(), &held(95, 105)).complaints(), Vec::<String>::new());
    assert_eq!(judged(ops(), &held(95, 100)).odd_sums.len(), 1);
    let mut none = held(100, 100);
    none.transfers.clear();
    assert_eq!(judged(ops(), &none).lost.len(), 1);
    let mut history = History { ops: ops(), ..History::default() };
    history.odd_sums.push((1, "n2".to_owned(), 195));
    assert_eq!(judge(&history, &held(95, 105), 1).odd_sums.len(), 1);
}

#[test]
fn a_row_that_was_seen_must_not_vanish() {
    let mut history = History { ops: vec![insert(1, 0, Indeterminate)], ..History::default() };
    history.seen.insert(1, (5, "n1".to_owned()));
    assert_eq!(judge(&history, &rows(&[1]), 1).complaints(), Vec::<String>::new());
    assert_eq!(judge(&history, &rows(&[]), 1).vanished.len(), 1);
}

#[test]
fn two_primaries_at_once_are_found_and_a_late_answer_is_none() {
    let both = |sent| {
        vec![
            on(1, insert(1, 0, Acknowledged)),
            on(2, insert(2, 1_000_000, Acknowledged)),
            on(1, insert(3, sent, Acknowledged)),
        ]
    };
    let held = rows(&[1, 2, 3]);
    let double = judged(both(1_600_000), &held);
    assert_eq!((double.double_primaries.len(), double.late), (1, 0), "{double:?}");
    let late = judged(both(1_400_000), &held);
    assert_eq!((late.double_primaries.len(), late.late, late.timelines), (0, 1, 2), "{late:?}");
    // What the old one does not acknowledge any more is no second primary.
    let mut ops = both(1_600_000);
    ops[2].outcome = Indeterminate;
    assert!(judged(ops, &held).double_primaries.is_empty());
}

#[test]
fn the_longest_outages_come_first_and_the_last_one_may_last_to_the_end() {
    let ops = vec![
        insert(1, 0, Acknowledged),
        insert(2, 2_000_000, Acknowledged),
        insert(3, 2_100_000, Acknowledged),
        insert(4, 3_000_000, Indeterminate),
    ];
    let history = History { ops, ..History::default() };
    let verdict = judge(&history, &rows(&[1, 2, 3]), 9_000_000);
    assert_eq!(verdict.outages, [(2_600_000, 6_400_000), (500_000, 2_000_000)]);
}
