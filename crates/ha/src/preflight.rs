//! What can be said of a switchover before it is tried: a list of checks, the same for the status,
//! for whoever asks, and for the leader that carries it out.

use howdah_base::record::{Archiver, Member, ServerState};
use howdah_base::status::{Check, Verdict};

use crate::{View, election};

/// WAL files that wait for the archive: a shutdown waits until they are there. With more, it would
/// be cut off at `switchover_timeout`.
const ARCHIVE_WAITING_MAX: u64 = 1_000;
/// With more it takes seconds.
const ARCHIVE_WAITING_FEW: u64 = 10;

/// The checks of a switchover to the best standby, asked for now.
pub fn checks(view: &View) -> Vec<Check> {
    let leader = leader(view);
    let mut all = vec![leads(view, leader), candidate(view)];
    all.extend(others(view));
    all.extend(leader.and_then(archive));
    all.extend(leader.and_then(transactions));
    all.extend(requests(view));
    all
}

fn check(what: &str, verdict: Verdict, said: String) -> Check {
    Check { what: what.to_owned(), verdict, said }
}

fn leader(view: &View) -> Option<&Member> {
    view.leader().and_then(|leader| view.store.members.get(&leader.node))
}

fn leads(view: &View, leader: Option<&Member>) -> Check {
    let prevented = |said: String| check("leader", Verdict::Prevents, said);
    let Some(name) = view.leader().map(|leader| &leader.node) else {
        return prevented("there is no leader to switch over from".to_owned());
    };
    match leader.map(|leader| leader.server) {
        Some(ServerState::Primary) => {
            check("leader", Verdict::Fine, format!("`{name}` leads and lets clients in"))
        }
        Some(_) => prevented(format!("`{name}` leads, and does not let clients in now")),
        None => prevented(format!("`{name}` leads, and its agent does not answer")),
    }
}

/// Whoever may take over, best first.
pub(crate) fn fit(view: &View) -> Vec<&Member> {
    let leader = view.leader().map(|leader| &leader.node);
    let members = view.store.members.values();
    let mut fit: Vec<&Member> = members
        .filter(|m| Some(&m.node) != leader && election::not_switchable(view, m).is_none())
        .collect();
    fit.sort_by_key(|m| {
        let position = m.position.map(|p| p.lsn);
        (std::cmp::Reverse((m.failover_priority, position)), m.node.clone())
    });
    fit
}

fn candidate(view: &View) -> Check {
    let Some(best) = fit(view).first().copied() else {
        let said = "no standby can take over".to_owned();
        return check("candidate", Verdict::Prevents, said);
    };
    let end = leader(view).and_then(|leader| leader.position);
    let behind = end.zip(best.position).map_or(0, |(end, at)| end.lsn.bytes_past(at.lsn));
    let name = &best.node;
    let said = format!("`{name}` is the best candidate, {behind} bytes behind");
    check("candidate", Verdict::Fine, said)
}

/// Why the others are no candidates.
fn others(view: &View) -> Vec<Check> {
    let leader = view.leader().map(|leader| &leader.node);
    let barred = view.store.members.values().filter(|m| Some(&m.node) != leader);
    let barred = barred.filter_map(|m| {
        let why = election::not_switchable(view, m)?;
        Some(check("standby", Verdict::Warns, format!("`{}` cannot take over: {why}", m.node)))
    });
    barred.collect()
}

fn archive(leader: &Member) -> Option<Check> {
    let archiver = leader.archiver.as_ref()?;
    let Archiver { failing, waiting } = *archiver;
    let files = format!("{waiting} WAL files wait for the archive of `{}`", leader.node);
    let (verdict, said) = if failing {
        let said = "archiving fails: the shutdown tries once more and leaves them to the next one";
        (Verdict::Warns, format!("{files}; {said}"))
    } else if waiting > ARCHIVE_WAITING_MAX {
        let said = "the shutdown would wait for them, and be cut off";
        (Verdict::Prevents, format!("{files}; {said}"))
    } else if waiting > ARCHIVE_WAITING_FEW {
        (Verdict::Warns, format!("{files}; the shutdown waits for them"))
    } else {
        (Verdict::Fine, files)
    };
    Some(check("archive", verdict, said))
}

/// Why the leader itself must not be shut down now.
pub(crate) fn prevented(view: &View) -> Option<String> {
    let archive = leader(view).and_then(archive)?;
    (archive.verdict == Verdict::Prevents).then_some(archive.said)
}

fn transactions(leader: &Member) -> Option<Check> {
    let count = leader.long_transactions;
    (count > 0).then(|| {
        let said = format!(
            "{count} transactions have run for long on `{}`: they get `drain_timeout`, then they \
             are ended",
            leader.node
        );
        check("transactions", Verdict::Warns, said)
    })
}

fn requests(view: &View) -> Vec<Check> {
    let mut all = Vec::new();
    if let Some(intent) = view.intent() {
        let said = format!("another request is under way, asked for by {}", intent.by);
        all.push(check("request", Verdict::Prevents, said));
    }
    if let Some(planned) = &view.store.planned {
        let said = format!("one is planned already, asked for by {}", planned.value.by);
        all.push(check("planned", Verdict::Warns, said));
    }
    if view.store.paused {
        let said = "the cluster is paused: what is asked for is done all the same".to_owned();
        all.push(check("pause", Verdict::Warns, said));
    }
    all
}
