//! Which files have changed since a backup, by the server's WAL summaries: the rules of
//! `GetFileBackupMethod` in `src/backend/backup/basebackup_incremental.c`.
//!
//! A file that is called unchanged here is not read. Everything that WAL does not tell for certain is
//! read and compared: the map of free space, which is not logged, and that of visibility, whose changes
//! come with records of the table.

use std::collections::{BTreeMap, BTreeSet};

use howdah_base::{Lsn, Timeline};
use howdah_postgres::session::{Change, Fork, Summary};

use super::files::Relation;

/// Blocks of a stretch: 16 MiB.
pub const STRETCH: u32 = 2048;
/// `DEFAULTTABLESPACE_OID` and `GLOBALTABLESPACE_OID`.
const DEFAULT: u32 = 1663;
const GLOBAL: u32 = 1664;
const MAIN_FORK: u32 = 0;

/// What has changed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Changes {
    forks: BTreeMap<Fork, Changed>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Changed {
    /// The lowest block from which on nothing is as it was.
    limit: Option<u32>,
    stretches: BTreeSet<u32>,
}

impl Changes {
    pub fn add(&mut self, fork: Fork, change: Change) {
        let changed = self.forks.entry(fork).or_default();
        match change {
            Change::Limit(block) => {
                changed.limit = Some(changed.limit.map_or(block, |limit| limit.min(block)));
            }
            Change::Stretch(number) => {
                changed.stretches.insert(number);
            }
        }
    }

    /// Whether a file of `pages` pages, of which an earlier backup has as many, is as it was.
    /// `per_file`: pages of a relation's file until the next begins.
    pub fn leaves(&self, path: &str, pages: u32, per_file: u32) -> bool {
        let Some((place, relation)) = place(path) else { return false };
        if relation.fork != "main" || pages == 0 || pages > per_file {
            return false;
        }
        // The database was made, or came to this tablespace, since.
        if self.forks.contains_key(&Fork { relation: 0, ..place }) {
            return false;
        }
        let Some(changed) = self.forks.get(&place) else { return true };
        let first = relation.segment.saturating_mul(per_file);
        let end = first.saturating_add(pages);
        let stretches = first / STRETCH..=(end - 1) / STRETCH;
        changed.limit.is_none_or(|limit| limit >= end)
            && changed.stretches.range(stretches).next().is_none()
    }
}

/// The fork that a file is of: `global/<relation>`, `base/<database>/<relation>`,
/// `pg_tblspc/<tablespace>/<version>/<database>/<relation>`.
fn place(path: &str) -> Option<(Fork, Relation<'_>)> {
    let parts: Vec<&str> = path.split('/').collect();
    let (tablespace, database, name) = match parts[..] {
        ["global", name] => (GLOBAL, 0, name),
        ["base", database, name] => (DEFAULT, database.parse().ok()?, name),
        ["pg_tblspc", tablespace, _, database, name] => {
            (tablespace.parse().ok()?, database.parse().ok()?, name)
        }
        _ => return None,
    };
    let relation = Relation::named(name)?;
    Some((Fork { tablespace, database, relation: relation.number, fork: MAIN_FORK }, relation))
}

/// How far summaries lead through a stretch of WAL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cover {
    /// These are all that it takes.
    Whole(Vec<Summary>),
    /// The server has not summarized it to its end yet.
    NotYet,
    /// What is missing will never come.
    Hole(Lsn),
}

/// Those of `summaries`, which are in order, that cover a timeline's WAL from `from` to `to`.
pub fn cover(summaries: &[Summary], timeline: Timeline, from: Lsn, to: Lsn) -> Cover {
    let of: Vec<&Summary> = summaries.iter().filter(|one| one.timeline == timeline).collect();
    let mut reached = from;
    let mut needed = Vec::new();
    for summary in &of {
        if summary.to <= from || summary.from >= to {
            continue;
        }
        if summary.from > reached {
            return Cover::Hole(reached);
        }
        reached = reached.max(summary.to);
        needed.push(**summary);
    }
    match reached >= to {
        true => Cover::Whole(needed),
        false if of.iter().any(|one| one.from > reached) => Cover::Hole(reached),
        false => Cover::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_FILE: u32 = 131_072;

    fn changes(of: &[(&str, Change)]) -> Changes {
        let mut changes = Changes::default();
        for (path, change) in of {
            let fork = match place(path) {
                Some((fork, _)) => fork,
                None => {
                    let (_, database) = path.split_once('/').expect("base/<database>");
                    let database = database.parse().expect("a number");
                    Fork { tablespace: DEFAULT, database, relation: 0, fork: 0 }
                }
            };
            changes.add(fork, *change);
        }
        changes
    }

    #[test]
    fn only_what_wal_tells_of_for_certain_is_left() {
        let changed = changes(&[
            ("base/5/100", Change::Stretch(3)),
            ("base/5/200", Change::Limit(5000)),
            ("base/5/300", Change::Limit(0)),
            ("base/7", Change::Limit(0)),
            ("global/1262", Change::Stretch(0)),
        ]);
        let leaves = |path: &str, pages| changed.leaves(path, pages, PER_FILE);
        for (path, pages, is_left) in [
            ("base/5/400", 10, true),
            ("base/5/400", 0, false),
            ("base/5/400", PER_FILE + 1, false),
            ("base/5/400_fsm", 10, false),
            ("base/5/400_vm", 10, false),
            ("base/5/400_init", 10, false),
            ("base/5/100", 3 * 2048, true),
            ("base/5/100", 3 * 2048 + 1, false),
            ("base/5/100.1", 10, true),
            ("base/5/200", 5000, true),
            ("base/5/200", 5001, false),
            ("base/5/200.1", 10, false),
            ("base/5/300", 1, false),
            ("base/7/100", 10, false),
            ("pg_tblspc/9/PG_18_1/7/100", 10, true),
            ("pg_tblspc/9/other/100", 10, false),
            ("global/1262", 10, false),
            ("global/1261", 10, true),
            ("pg_xact/0000", 10, false),
        ] {
            assert_eq!(leaves(path, pages), is_left, "{path} {pages}");
        }
        let later = changes(&[("base/5/100", Change::Stretch(64 + 3))]);
        assert!(later.leaves("base/5/100", PER_FILE, PER_FILE));
        assert!(!later.leaves("base/5/100.1", PER_FILE, PER_FILE));
    }

    #[test]
    fn summaries_lead_through_without_a_hole_or_not_at_all() {
        let one = |timeline, from, to| Summary {
            timeline: Timeline(timeline),
            from: Lsn(from),
            to: Lsn(to),
        };
        let there = [one(1, 10, 20), one(1, 20, 30), one(1, 40, 50), one(2, 25, 60)];
        let says = |timeline, from, to| match cover(&there, Timeline(timeline), Lsn(from), Lsn(to))
        {
            Cover::Whole(needed) => format!("{} of them", needed.len()),
            other => format!("{other:?}"),
        };
        assert_eq!(says(1, 12, 30), "2 of them");
        assert_eq!(says(1, 20, 30), "1 of them");
        assert_eq!(says(1, 5, 30), "Hole(0/5)");
        assert_eq!(says(1, 12, 35), "Hole(0/1E)");
        assert_eq!(says(1, 12, 45), "Hole(0/1E)");
        assert_eq!(says(1, 42, 50), "1 of them");
        assert_eq!(says(1, 42, 51), "NotYet");
        assert_eq!(says(1, 60, 70), "NotYet");
        assert_eq!(says(2, 25, 60), "1 of them");
        assert_eq!(says(3, 1, 2), "NotYet");
    }
}
