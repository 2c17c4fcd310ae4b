//! From a command to the transaction that carries it out.

use howdah_base::record::{
    Answer, Change, ChangeKind, HISTORY_LEN_MAX, Initialize, Intent, IntentKind, Leader, Member,
    Planned, Sync, Timings, key,
};
use howdah_base::{NodeName, Term, Timeline};
use howdah_ha::{Command, Reason, StoreView, TakeOver, Versioned};
use howdah_store::{Held, LeaseId, Snapshot, Txn};

/// A request that has not been begun by then is not begun any more, milliseconds.
pub const INTENT_LIVES_MS: u64 = 60_000;

/// Who writes, and what the history says about it.
#[derive(Clone, Debug)]
pub struct Author {
    pub node: NodeName,
    pub lease: LeaseId,
    pub reason: Reason,
    /// Wall clock for display, milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Major version of this node's PostgreSQL.
    pub major: u32,
}

/// The transaction for a command of [`howdah_ha::Job::Txn`]; `None` for any other command, and
/// when the view lacks what it would compare (then it would be refused anyway).
pub fn txn_for(
    command: &Command,
    view: &StoreView,
    history: &[Change],
    author: &Author,
) -> Option<Txn> {
    Some(match command {
        Command::ClaimInitialize => Txn::new()
            .absent(key::INITIALIZE)
            .absent(key::INITIALIZING)
            .put_leased(key::INITIALIZING, &author.node, author.lease),
        Command::RecordInitialize { system_identifier, sync } => {
            initialize(*system_identifier, sync, history, author)
        }
        Command::TakeOver(order) => take_over(order, history, author),
        Command::Retake(sync) => {
            let leader = Leader { node: author.node.clone(), term: sync.term };
            Txn::new()
                .absent(key::LEADER)
                .absent(key::HANDOVER)
                .at(key::SYNC, view.sync.as_ref()?.revision)
                .put_leased(key::LEADER, &leader, author.lease)
                .put(key::SYNC, sync)
        }
        Command::WriteSync(sync) => write_sync(sync, view)?,
        Command::OfferHandover(offer) => {
            sole(view)?.absent(key::HANDOVER).put(key::HANDOVER, offer)
        }
        Command::WithdrawHandover => {
            mine(view)?.at(key::HANDOVER, view.handover.as_ref()?.revision).delete(key::HANDOVER)
        }
        Command::Release => sole(view)?.delete(key::LEADER).delete(key::BEAT).delete(key::HANDOVER),
        Command::ClearIntent(why) => {
            let intent = view.intent.as_ref()?;
            let answer = Answer { id: intent.value.id.clone(), why: why.clone() };
            Txn::new()
                .at(key::INTENT, intent.revision)
                .delete(key::INTENT)
                .put(key::ANSWER, &answer)
        }
        Command::BeginPlanned => {
            let planned = view.planned.as_ref()?;
            let Planned { id, to, by, .. } = planned.value.clone();
            let until_unix_ms = Some(author.at_unix_ms + INTENT_LIVES_MS);
            let kind = IntentKind::Switchover { to };
            let intent = Intent { id, kind, by, sealed: false, until_unix_ms };
            mine(view)?
                .at(key::PLANNED, planned.revision)
                .absent(key::INTENT)
                .delete(key::PLANNED)
                .put(key::INTENT, &intent)
        }
        Command::DropPlanned(why) => {
            let planned = view.planned.as_ref()?;
            let answer = Answer { id: planned.value.id.clone(), why: why.clone() };
            mine(view)?
                .at(key::PLANNED, planned.revision)
                .delete(key::PLANNED)
                .put(key::ANSWER, &answer)
        }
        Command::EndOrder(why) => end_order(why.as_ref(), view, author)?,
        _ => return None,
    })
}

/// A directory that is made a voter is compared with what its node last said: one that is about to
/// be repaired or replaced has said so first, and then it is not made one.
fn write_sync(sync: &Sync, view: &StoreView) -> Option<Txn> {
    let before = view.sync.as_ref()?;
    let mut txn = mine(view)?.at(key::SYNC, before.revision).put(key::SYNC, sync);
    for id in sync.voters.difference(&before.value.voters) {
        let of = |(_, member): &(&NodeName, &Member)| member.directory.as_ref() == Some(id);
        let member = view.members.iter().find(of).map(|(node, _)| node);
        let revision = member.and_then(|node| view.member_revisions.get(node));
        if let Some((node, revision)) = member.zip(revision) {
            txn = txn.at(format!("{}{node}", key::MEMBERS), *revision);
        }
    }
    Some(txn)
}

/// The order goes; why it was not carried out stays for whoever asked.
fn end_order(why: Option<&String>, view: &StoreView, author: &Author) -> Option<Txn> {
    let order = view.orders.get(&author.node)?;
    let key = format!("{}{}", key::ORDERS, author.node);
    let txn = Txn::new().at(key.clone(), order.revision).delete(key);
    let answers = format!("{}{}", key::ANSWERS, author.node);
    Some(match why {
        None => txn.delete(answers),
        Some(why) => {
            let answer = Answer { id: order.value.id.clone(), why: why.clone() };
            txn.put(answers, &answer)
        }
    })
}

/// The point of no return of the switchover in `view`: from here on an operator cannot give it
/// up. `None` when there is none; refused when it has been given up.
pub fn seal_txn(view: &StoreView) -> Option<Txn> {
    let intent = view.intent.as_ref()?;
    let sealed = Intent { sealed: true, ..intent.value.clone() };
    Some(
        mine(view)?
            .at(key::INTENT, intent.revision)
            .absent(key::HANDOVER)
            .put(key::INTENT, &sealed),
    )
}

/// What a leader's renewal asks for: the leader key as seen, and that others see the renewal.
pub fn held(leader: &Versioned<Leader>) -> Held {
    Held::from((key::LEADER.to_owned(), leader.revision)).marking(key::BEAT, &leader.value)
}

/// Given up on purpose, with no server left: the next leader need not wait for the lease's end.
/// `None` for who does not lead.
pub fn leave_txn(snapshot: &Snapshot, lease: LeaseId) -> Option<Txn> {
    let mine = snapshot.lease(key::LEADER) == Some(lease);
    let revision = snapshot.entries.get(key::LEADER).filter(|_| mine)?.revision;
    Some(Txn::new().at(key::LEADER, revision).delete(key::LEADER).delete(key::BEAT))
}

/// This node's own record, hanging on its lease.
pub fn member_txn(member: &Member, lease: LeaseId) -> Txn {
    Txn::new().put_leased(format!("{}{}", key::MEMBERS, member.node), member, lease)
}

/// Only while the leader key is still the one that was seen as this node's own.
fn mine(view: &StoreView) -> Option<Txn> {
    let leader = view.leader.as_ref().filter(|_| view.leader_mine)?;
    Some(Txn::new().at(key::LEADER, leader.revision))
}

/// And only while `sync` is: a leader that wants to be sure that a write of unknown end comes
/// no more rewrites that record.
fn sole(view: &StoreView) -> Option<Txn> {
    Some(mine(view)?.at(key::SYNC, view.sync.as_ref()?.revision))
}

fn initialize(identifier: u64, sync: &Sync, history: &[Change], author: &Author) -> Txn {
    let record =
        Initialize { by: author.node.clone(), system_identifier: identifier, major: author.major };
    let change = Change {
        timeline: sync.floor.timeline,
        from: None,
        kind: ChangeKind::Bootstrap,
        begins: sync.floor,
        loss: "none".to_owned(),
        timings: Timings::default(),
        ..change(sync.term, author)
    };
    leading(Txn::new().absent(key::INITIALIZE).absent(key::LEADER), sync, author)
        .delete(key::INITIALIZING)
        .put(key::INITIALIZE, &record)
        .put(key::TIMELINE, &sync.floor.timeline)
        .put(key::HISTORY, &with(history, change))
}

fn take_over(order: &TakeOver, history: &[Change], author: &Author) -> Txn {
    let mut txn = Txn::new()
        .as_seen(key::LEADER, order.leader_revision)
        .at(key::SYNC, order.sync_revision)
        .as_seen(key::HANDOVER, order.handover_revision);
    if order.handover_revision.is_some() {
        txn = txn.delete(key::HANDOVER);
    }
    if let Some(revision) = order.intent_revision {
        txn = txn.at(key::INTENT, revision).delete(key::INTENT);
    } else if order.kind == ChangeKind::Failover {
        // Nobody fails over by himself once a pause has been answered.
        txn = txn.absent(key::PAUSE);
    }
    let change = Change {
        timeline: order.timeline,
        from: order.from.clone(),
        kind: order.kind,
        begins: order.begins,
        loss: order.loss.clone(),
        timings: Timings::default(),
        ..change(order.term, author)
    };
    leading(txn, &order.sync, author)
        .put(key::TIMELINE, &order.timeline)
        .put(key::HISTORY, &with(history, change))
}

/// The part that makes `author` the leader of the term in `sync`.
fn leading(txn: Txn, sync: &Sync, author: &Author) -> Txn {
    let leader = Leader { node: author.node.clone(), term: sync.term };
    txn.put_leased(key::LEADER, &leader, author.lease)
        .put(key::BEAT, &leader)
        .put(key::TERM, &sync.term)
        .put(key::SYNC, sync)
}

fn change(term: Term, author: &Author) -> Change {
    Change {
        at_unix_ms: author.at_unix_ms,
        term,
        timeline: Timeline(0),
        leader: author.node.clone(),
        from: None,
        kind: ChangeKind::Failover,
        begins: Default::default(),
        rule: author.reason.rule.number(),
        reason: author.reason.to_string(),
        loss: String::new(),
        timings: Timings::default(),
    }
}

fn with(history: &[Change], change: Change) -> Vec<Change> {
    let skip = (history.len() + 1).saturating_sub(HISTORY_LEN_MAX);
    history.iter().skip(skip).cloned().chain([change]).collect()
}
