//! Every combination of small worlds: what no single golden case can show.

use std::collections::BTreeSet;

use howdah_base::record::{ChangeKind, Report};
use howdah_base::{DirectoryId, Term};
use howdah_ha::{Command, Directory, Job, Rule, StopMode, SyncSetting, decide};

mod words;

use words::{World, directory, history, node, place};

/// Whoever may write without the lease is ended, whatever else is going on; or it is being
/// ended already, or nothing is known of the store and the guard sees to it.
#[test]
fn a_server_that_may_write_without_the_lease_is_ended_first() {
    let leaders = ["leader none", "leader n2"];
    let servers = ["primary 0/200", "starting primary", "unknown primary"];
    let jobs = ["", "job Copy", "job SetSync", "job Promote", "job Txn", "job Start"];
    let directories = ["primary", "standby", "missing", "unusable", "fresh"];
    let others = [
        "",
        "handover n1 end 0/200",
        "intent switchover",
        "sync none",
        "sync alone",
        "held for 0.9",
    ];
    for leader in leaders {
        for server in servers {
            for job in jobs {
                for directory in directories {
                    for other in others {
                        let text = format!(
                            "server {server}\ndirectory {directory}\n{leader}\n{job}\n{other}"
                        );
                        let World { view, mut memory, now } = World::of(&text);
                        let decision = decide(&mut memory, &view, now);
                        let fence = vec![Command::Stop(StopMode::Fence)];
                        assert_eq!(decision.commands, fence, "{text}");
                    }
                }
            }
        }
    }
}

/// With voters: the winner of an election lacks nothing that any voter that reported has, and
/// enough of them reported. Of all nodes that judge the same reports, at most one wins.
#[test]
fn nobody_is_elected_who_lacks_what_a_voter_reported() {
    let ends = [None, Some("0/F0"), Some("0/190"), Some("0/200"), Some("2:0/160")];
    let voters = [vec!["n2"], vec!["n3"], vec!["n2", "n3"], vec!["n1", "n2", "n3"]];
    for own in ends.iter().flatten() {
        for second in ends {
            for third in ends {
                for voters in &voters {
                    for needed in 1..=voters.len() as u32 {
                        election(voters, needed, [Some(own), second, third]);
                    }
                }
            }
        }
    }
}

fn election(voters: &[&str], needed: u32, ends: [Option<&str>; 3]) {
    let mut winners = 0;
    // `n1` led and is gone; its directory may still report, as a standby's.
    let names = ["n2", "n3", "n1"];
    for (me, own) in names.iter().zip(ends).take(2) {
        let Some(own) = own else { continue };
        let text = format!(
            "me {me}\nleader none\nserver standby {own}\nremembers leaderless 9\nobserved 1\n\
             sync needs {needed} of {}",
            voters.join(" ")
        );
        let World { mut view, mut memory, now } = World::of(&text);
        for (name, end) in names.iter().zip(ends) {
            let member = view.store.members.get_mut(&node(name)).expect("a member");
            member.report = end.map(|end| {
                let position = place(end);
                let history = history(position.timeline);
                Report { term: Term(2), position, history, revision: Some(5) }
            });
        }
        let decision = decide(&mut memory, &view, now);
        if !matches!(decision.commands[..], [Command::TakeOver(_)]) {
            continue;
        }
        winners += 1;
        let rank = |end: &str| (place(end).timeline, place(end).lsn);
        let reported = names.iter().zip(ends).filter(|(name, _)| voters.contains(name));
        let reported: Vec<&str> = reported.filter_map(|(_, end)| end).collect();
        assert!(reported.len() + needed as usize > voters.len(), "{text} {ends:?}");
        assert!(reported.iter().all(|end| rank(end) <= rank(own)), "{text} {ends:?}");
        assert!(voters.contains(me), "{text} {ends:?}");
    }
    assert!(winners <= 1, "{voters:?} {needed} {ends:?}");
}

/// Condition C: `w - |S \ V| >= k` holds for every mixture of what was recorded and in force
/// before the step, and after it.
#[test]
fn no_change_of_voters_breaks_condition_c() {
    let all = ["n2", "n3", "n4"];
    let sets: Vec<Vec<&str>> = (0..8_u8)
        .map(|bits| (0..3).filter(|n| bits & (1 << n) != 0).map(|n| all[n]).collect())
        .collect();
    let mut steps = BTreeSet::new();
    for voters in &sets {
        for setting in &sets {
            for needs in needs(voters).flat_map(|k| needs(setting).map(move |w| (k, w))) {
                let at = Standing { voters, setting, needs };
                for streaming in &sets {
                    for leaving in [&sets[0], &sets[1], &sets[3]] {
                        for far in ["0/100", "0/190", "0/250"] {
                            steps.extend(change(&at, streaming, leaving, far));
                        }
                    }
                }
            }
        }
    }
    let all = [
        Rule::SetVoters,
        Rule::AddVoter,
        Rule::RemoveVoter,
        Rule::EndAlone,
        Rule::LowerNeeded,
        Rule::RaiseNeeded,
    ];
    assert!(all.iter().all(|rule| steps.contains(rule)), "not all kinds were seen: {steps:?}");
}

/// How many of `names` may have to confirm.
fn needs(names: &[&str]) -> std::ops::RangeInclusive<u32> {
    u32::from(!names.is_empty())..=howdah_ha::voters::needed_of(names.len())
}

/// What is recorded and what is in force: `needs` of the record, then of the setting.
struct Standing<'a> {
    voters: &'a [&'a str],
    setting: &'a [&'a str],
    needs: (u32, u32),
}

fn change(at: &Standing<'_>, streaming: &[&str], leaving: &[&str], since: &str) -> Option<Rule> {
    let (record, force) = (ids(at.voters), ids(at.setting));
    let (recorded, needed) = at.needs;
    if !holds(&record, recorded, &force, needed) {
        return None;
    }
    let mut text = String::from("senders none\nmember n4\nremembers short 11\n");
    for name in streaming {
        text += &format!("sender {name} 0/200\n");
    }
    for name in leaving {
        text += &format!("member {name} leaving\n");
    }
    let World { mut view, mut memory, now } = World::of(&text);
    let sync = &mut view.store.sync.as_mut().expect("a record").value;
    (sync.voters, sync.needed) = (record.clone(), recorded);
    let since = place(since).lsn;
    view.local.slots = ids(&["n2", "n3", "n4"]);
    view.local.sync = Some(SyncSetting { names: force.clone(), needed, since });
    let before = sync.clone();
    let decision = decide(&mut memory, &view, now);
    let what = format!(
        "{:?} {:?} {:?} {streaming:?} {leaving:?}: {:?}",
        at.voters, at.setting, at.needs, decision.commands
    );
    match &decision.commands[..] {
        [Command::WriteSync(next)] => {
            assert!(next.revision > before.revision, "{what}");
            // Until the answer comes nobody knows which of the two stands.
            assert!(holds(&next.voters, next.needed, &force, needed), "{what}");
            let removes = !before.voters.is_subset(&next.voters) || before.voters.is_empty();
            let demands = removes || next.needed > before.needed;
            let rises = next.floor.lsn >= since;
            let past = streaming.iter().filter(|id| next.voters.contains(&directory(id))).count();
            let shown = since <= place("0/200").lsn && past >= next.needed as usize;
            assert!(!demands || next.voters.is_empty() || rises && shown, "the floor rule: {what}");
        }
        [Command::SetSync { names, needed: after }] => {
            // While it changes, S is the union and w the minimum.
            let union: BTreeSet<_> = names.union(&force).cloned().collect();
            let least = (*after).min(needed);
            assert!(holds(&before.voters, recorded, &union, least), "{what}");
            assert!(*after as usize <= names.len(), "nobody could confirm: {what}");
        }
        _ => return None,
    }
    Some(decision.reason.rule)
}

fn ids(names: &[&str]) -> BTreeSet<DirectoryId> {
    names.iter().map(|name| directory(name)).collect()
}

/// Without voters the leader's own directory has everything: nothing is asked of others.
fn holds(voters: &BTreeSet<DirectoryId>, k: u32, names: &BTreeSet<DirectoryId>, w: u32) -> bool {
    let outside = names.difference(voters).count() as u32;
    voters.is_empty() || w >= outside + k
}

/// Nothing destructive while this directory is the leader's or a voter's by the record, or the
/// record is not of the leader's term.
#[test]
fn no_directory_that_may_be_the_last_copy_is_touched() {
    let servers = ["server down\nend 0/200", "server down", "server standby 0/200 from n1"];
    let records = ["sync by n2", "sync term 1", "sync needs 1 of n2", "sync none"];
    let failures = ["", "failed Rewind 3 times 60", "failed Start 9 times 90"];
    for server in servers {
        for record in records {
            for failed in failures {
                let text = format!(
                    "me n2\nannounced n2b\nmember n1 at 2:0/160 slots n2 n2b\n{server}\n{record}\n\
                     {failed}"
                );
                let World { view, mut memory, now } = World::of(&text);
                assert!(matches!(view.local.directory, Directory::Ready(_)));
                let decision = decide(&mut memory, &view, now);
                let jobs: Vec<_> = decision.commands.iter().filter_map(Command::job).collect();
                let spared = !jobs.contains(&Job::Copy) && !jobs.contains(&Job::Rewind);
                assert!(spared && !decision.recreate, "{text}: {:?}", decision.commands);
            }
        }
    }
}

/// While the cluster is paused nothing is begun that starts, stops, promotes or replaces a server,
/// whatever the view; but a server without its right to write is ended all the same.
#[test]
fn a_paused_cluster_begins_nothing_by_itself() {
    let mut held = 0;
    for me in ["n1", "n2"] {
        for leader in ["leader none", "leader n1", "leader n2", "leader n3"] {
            for server in ["down", "primary 0/200", "standby 0/200", "standby 2:0/200", "starting"]
            {
                for directory in ["primary", "standby", "missing", "unusable"] {
                    for other in
                        ["", "handover n2 end 0/200", "sync alone", "failed Start 3 times 60"]
                    {
                        let text = format!(
                            "me {me}\n{leader}\ndirectory {directory}\nserver {server}\n{other}\n\
                             observed 0\nremembers leaderless 60\nend 0/200"
                        );
                        held += u32::from(is_held(&text));
                    }
                }
            }
        }
    }
    assert!(held > 100, "hardly anything was held: {held}");
}

/// Whether the pause makes a difference; panics when it does not hold.
fn is_held(text: &str) -> bool {
    let decided = |text: &str| {
        let World { view, mut memory, now } = World::of(text);
        (decide(&mut memory, &view, now).commands, view)
    };
    let (free, _) = decided(text);
    let (commands, view) = decided(&format!("{text}\npaused"));
    let promotes = view.store.leader_mine && view.directory().is_some_and(|d| !d.was_primary);
    for command in &commands {
        let moves = match command {
            Command::Stop(mode) => *mode != StopMode::Fence,
            Command::TakeOver(order) => order.kind == ChangeKind::Failover,
            Command::StartPrimary { .. }
            | Command::StartStandby { .. }
            | Command::Promote { .. }
            | Command::OfferHandover(_)
            | Command::Copy { .. }
            | Command::Rewind { .. }
            | Command::Release
            | Command::Switchover { .. } => true,
            _ => false,
        };
        // A takeover that came before the pause is carried through.
        assert!(!moves || promotes, "{text}\n{command:?}");
    }
    free != commands
}
