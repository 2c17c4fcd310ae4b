//! What the cluster's record says before and after: which node led, which number the new timeline gets, and
//! the one transaction that makes another directory the leader's. Pure.
//!
//! Nothing is forgotten: term, revision and timeline only rise, so promises that stand on disks, proxies
//! and slots of before are all below. The floor lies on the new timeline: a directory of before
//! is not past it, so it is never elected, in `async` neither.

use std::collections::BTreeSet;

use howdah_base::record::{
    Change, ChangeKind, HISTORY_LEN_MAX, Initialize, Leader, Member, Pause, Sync, Timings, key,
};
use howdah_base::{NodeName, Term, Timeline};
use howdah_ha::Rule;
use howdah_store::{Snapshot, StoreError, Txn};

use super::journal::Journal;

/// The record, as far as it counts here.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    pub system_identifier: u64,
    pub leader: Option<(Leader, u64)>,
    pub sync: (Sync, u64),
    pub timeline: (Timeline, u64),
    pub term: Term,
    pub members: Vec<Member>,
    /// Who has paused the cluster.
    pub pause: Option<(Pause, u64)>,
    pub fenced: BTreeSet<String>,
    handover: Option<u64>,
    intent: Option<u64>,
    history: Vec<Change>,
}

impl Seen {
    /// `None` where no cluster has been recorded.
    pub fn of(snapshot: &Snapshot) -> Result<Option<Seen>, StoreError> {
        let initialize = snapshot.get::<Initialize>(key::INITIALIZE)?;
        let known = snapshot.get::<Sync>(key::SYNC)?.zip(snapshot.get(key::TIMELINE)?);
        let Some(((initialize, _), (sync, timeline))) = initialize.zip(known) else {
            return Ok(None);
        };
        let revision = |key: &str| snapshot.entries.get(key).map(|entry| entry.revision);
        let members = snapshot.below::<Member>(key::MEMBERS)?;
        let fenced = snapshot.below::<serde_json::Value>(key::FENCED)?;
        Ok(Some(Seen {
            system_identifier: initialize.system_identifier,
            leader: snapshot.get(key::LEADER)?,
            term: snapshot.get(key::TERM)?.map_or(sync.0.term, |(term, _)| term),
            sync,
            timeline,
            members: members.into_values().map(|(member, _)| member).collect(),
            pause: snapshot.get(key::PAUSE)?,
            fenced: fenced.into_keys().collect(),
            handover: revision(key::HANDOVER),
            intent: revision(key::INTENT),
            history: snapshot.get(key::HISTORY)?.map(|(history, _)| history).unwrap_or_default(),
        }))
    }

    /// Whose directory the last term was written in.
    pub fn node(&self) -> &NodeName {
        &self.sync.0.leader
    }

    /// A number above every one that was ever given out, and above `other` that were seen elsewhere. The
    /// record of the voters is rewritten as it is: whoever stands for election by what he saw before would
    /// reserve the same number, and is refused.
    pub fn reserve(&self, others: impl Iterator<Item = Timeline>) -> (Timeline, Txn) {
        let ours = self.members.iter().filter_map(|member| member.history.as_ref());
        let seen = ours.map(|history| history.timeline).chain(others);
        let highest = seen.chain([self.timeline.0]).max().unwrap_or_default();
        let next = Timeline(highest.0 + 1);
        let (sync, revision) = &self.sync;
        let sync = Sync { revision: sync.revision + 1, ..sync.clone() };
        let txn = Txn::new()
            .at(key::SYNC, *revision)
            .at(key::TIMELINE, self.timeline.1)
            .put(key::SYNC, &sync)
            .put(key::TIMELINE, &next);
        (next, txn)
    }

    /// The record as it is, rewritten: a transaction of [`Seen::switched`] whose end is unknown is refused
    /// from then on, however late it comes.
    pub fn barred(&self) -> Txn {
        let (sync, revision) = &self.sync;
        let sync = Sync { revision: sync.revision + 1, ..sync.clone() };
        Txn::new().at(key::SYNC, *revision).put(key::SYNC, &sync)
    }

    /// A pause: nobody takes over by himself while it stands, whoever is away and however long. `None` where
    /// this one has paused the cluster already.
    ///
    /// # Errors
    /// Somebody else has.
    pub fn hushed(&self, journal: &Journal, at_unix_ms: u64) -> Result<Option<Txn>, String> {
        match &self.pause {
            Some(_) if self.is_hushed(journal) => Ok(None),
            Some((pause, _)) => Err(format!("the cluster is paused, by {}", pause.by)),
            None => {
                let pause = Pause { by: name_of(journal), at_unix_ms };
                Ok(Some(Txn::new().absent(key::PAUSE).put(key::PAUSE, &pause)))
            }
        }
    }

    /// Its end, if it stands.
    pub fn resumed(&self, journal: &Journal) -> Option<Txn> {
        let (_, revision) = self.pause.as_ref().filter(|_| self.is_hushed(journal))?;
        Some(Txn::new().at(key::PAUSE, *revision).delete(key::PAUSE))
    }

    fn is_hushed(&self, journal: &Journal) -> bool {
        self.pause.as_ref().is_some_and(|(pause, _)| pause.by == name_of(journal))
    }

    /// The new directory is the leader's, and has everything: whoever else has data copies from it. Only
    /// when no process of the nodes in `ended` is left; the leader is one of them.
    ///
    /// # Errors
    /// The cluster is another one than that for which it was restored.
    pub fn switched<'a>(
        &self,
        journal: &Journal,
        ended: impl Iterator<Item = &'a NodeName>,
        at_unix_ms: u64,
    ) -> Result<Txn, String> {
        let (sync, revision) = &self.sync;
        if sync.leader != journal.node || sync.directory != journal.old {
            return Err(format!("`{}` leads meanwhile", sync.leader));
        }
        if self.timeline.0 != journal.begins.timeline {
            return Err(format!("timeline {} has been begun meanwhile", self.timeline.0));
        }
        if let Some((pause, _)) = self.pause.as_ref().filter(|_| !self.is_hushed(journal)) {
            return Err(format!("the cluster is paused meanwhile, by {}", pause.by));
        }
        let term = self.term.max(sync.term).next();
        let next = Sync {
            revision: sync.revision + 1,
            term,
            leader: journal.node.clone(),
            directory: journal.new.clone(),
            floor: journal.begins,
            voters: BTreeSet::new(),
            needed: 0,
        };
        let skip = (self.history.len() + 1).saturating_sub(HISTORY_LEN_MAX);
        let change = change(journal, term, at_unix_ms);
        let history: Vec<Change> =
            self.history.iter().skip(skip).cloned().chain([change]).collect();
        let leader = self.leader.as_ref().map(|(_, revision)| *revision);
        let txn = Txn::new()
            .at(key::SYNC, *revision)
            .at(key::TIMELINE, self.timeline.1)
            .as_seen(key::LEADER, leader)
            .as_seen(key::HANDOVER, self.handover)
            .as_seen(key::INTENT, self.intent)
            .as_seen(key::PAUSE, self.pause.as_ref().map(|(_, revision)| *revision));
        // Nobody holds the right to write any more: it need not run out first.
        let gone = [key::LEADER, key::BEAT, key::HANDOVER, key::INTENT, key::PAUSE];
        let gone = gone.map(str::to_owned);
        let members = ended.map(|node| format!("{}{node}", key::MEMBERS));
        let txn = gone.into_iter().chain(members).fold(txn, Txn::delete);
        Ok(txn.put(key::TERM, &term).put(key::SYNC, &next).put(key::HISTORY, &history))
    }
}

/// As every node's status shows it while the pause stands.
fn name_of(journal: &Journal) -> String {
    format!("`howdah restore --cluster` on {}", journal.node)
}

fn change(journal: &Journal, term: Term, at_unix_ms: u64) -> Change {
    Change {
        at_unix_ms,
        term,
        timeline: journal.begins.timeline,
        leader: journal.node.clone(),
        from: None,
        kind: ChangeKind::Forced,
        begins: journal.begins,
        rule: Rule::Forced.number(),
        reason: format!("by `howdah restore --cluster`: {}", journal.what),
        loss: format!("what was written after {}; it is kept aside", journal.begins.lsn),
        timings: Timings::default(),
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
