//! What must hold at the moment at which a client learns of a commit, be it told or be it read;
//! and at the moment at which clients are let in (PROTOCOL section 9: A1, A3, A5).

use howdah_base::Timeline;
use howdah_base::record::Sync;

use crate::check::Acknowledged;
use crate::server::Commit;
use crate::world::World;

impl World {
    pub(crate) fn acknowledged(&mut self, node: usize, timeline: Timeline, commit: Commit) {
        self.known(node, timeline, commit);
        let row = commit.row;
        for client in &mut self.clients {
            client.waits = client.waits.filter(|(waited, _)| *waited != row);
        }
    }

    /// A client knows of it: from here on it must not be lost.
    fn known(&mut self, node: usize, timeline: Timeline, commit: Commit) {
        let Commit { row, lsn } = commit;
        let ack = Acknowledged { row, lsn, timeline, at: self.now };
        self.checker.acknowledged.push(ack);
        if !self.keeps_everything() {
            return;
        }
        let Some(sync) = self.checker.sync.as_ref() else { return };
        if !self.leader_has(&ack, sync) {
            let (name, leader) = (&self.nodes[node].name, &sync.leader);
            let why = format!(
                "double primary: {name} acknowledges row {row}, record {lsn} on timeline \
                 {timeline}, which {leader} lacks, the leader of term {}",
                sync.term
            );
            self.checker.found(why);
        } else if !self.is_recorded(&ack, sync) {
            let why = misplaced(&ack, sync);
            self.checker.found(why);
        }
    }

    fn leader_has(&self, ack: &Acknowledged, sync: &Sync) -> bool {
        let disks = self.nodes.iter().filter_map(|node| node.disk.data.as_ref());
        let mut leaders = disks.filter(|data| data.id == sync.directory);
        leaders.all(|data| data.holds(ack.row, ack.lsn))
    }

    /// It is in the leader's directory, and at or before the floor or on `needed` of the voters.
    fn is_recorded(&self, ack: &Acknowledged, sync: &Sync) -> bool {
        if !self.leader_has(ack, sync) {
            return false;
        }
        if ack.lsn <= sync.floor.lsn.0 {
            return true;
        }
        let disks = self.nodes.iter().filter_map(|node| node.disk.data.as_ref());
        let voters = disks.filter(|data| sync.voters.contains(&data.id));
        let copies = voters.filter(|data| data.holds(ack.row, ack.lsn)).count();
        let gone = sync.voters.iter().filter(|id| self.checker.deleted.contains(id)).count();
        copies + gone >= sync.needed as usize
    }

    /// A3 for every commit, whenever the record or a directory has changed other than by growing.
    pub(crate) fn check_meaning(&mut self) {
        if !self.keeps_everything() {
            return;
        }
        let Some(sync) = self.checker.sync.as_ref() else { return };
        let wrong = self.checker.acknowledged.iter().find(|ack| !self.is_recorded(ack, sync));
        if let Some(why) = wrong.map(|ack| misplaced(ack, sync)) {
            self.checker.found(why);
        }
    }

    /// Clients are let in at `node`: they read every row up to `lsn`. And A5: the timeline is the
    /// one that was reserved.
    pub(crate) fn let_in(&mut self, node: usize, lsn: u64) {
        let machine = &self.nodes[node];
        let Some(data) = &machine.disk.data else { return };
        let timeline = data.history.timeline;
        let leads = self.checker.leads(&machine.name);
        if leads && timeline.0 != self.checker.timeline {
            let reserved = self.checker.timeline;
            let why = format!(
                "{} lets clients in on timeline {timeline}, reserved is {reserved}",
                machine.name
            );
            self.checker.found(why);
        }
        let told: std::collections::BTreeSet<u64> =
            self.checker.acknowledged.iter().map(|ack| ack.row).collect();
        let rows = data.log.iter().zip(1..=lsn).filter_map(|(record, lsn)| {
            let row = record.row.filter(|row| !told.contains(row))?;
            Some(Commit { lsn, row })
        });
        for commit in rows.collect::<Vec<_>>() {
            self.known(node, timeline, commit);
        }
    }

    /// A5: a promotion has the record of its own term, the voters' setting in force, and all that
    /// the record says to be past.
    pub(crate) fn check_promotion(&mut self, node: usize) {
        let machine = &self.nodes[node];
        let known = self.checker.sync.as_ref().zip(machine.disk.data.as_ref());
        let Some(((sync, data), server)) = known.zip(machine.server.as_ref()) else { return };
        // Whose lease has just gone may be promoted still: its guard ends it.
        if !self.checker.leads(&machine.name) {
            return;
        }
        let waits = server.waits || sync.voters.is_empty();
        let in_force = server.setting.names == sync.voters && server.setting.needed >= sync.needed;
        let past = data.log.len() as u64 >= sync.floor.lsn.0;
        if sync.directory != data.id || !waits || !in_force || !past {
            let why = format!(
                "{} is promoted without its proofs: {} of {:?} in force, waiting: {}, {} records; \
                 the record: {sync:?}",
                machine.name,
                server.setting.needed,
                server.setting.names,
                server.waits,
                data.log.len()
            );
            self.checker.found(why);
        }
    }
}

fn misplaced(ack: &Acknowledged, sync: &Sync) -> String {
    format!(
        "row {}, acknowledged, record {} on timeline {}, is not where sync revision {} says",
        ack.row, ack.lsn, ack.timeline, sync.revision
    )
}
