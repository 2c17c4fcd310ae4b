//! Which files of a data directory a backup takes.
//!
//! Source: `src/backend/backup/basebackup.c` (`excludeDirContents`, `excludeFiles`, `sendDir`),
//! `src/common/relpath.c` (names of relations' files).

use std::collections::BTreeSet;

/// What a backup does with an entry of the data directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Take {
    /// It is made anew by whoever starts the copy, or is another server's affair.
    Nothing,
    /// The folder itself, without what is in it.
    Empty,
    /// A relation's fork: pages that the server writes at any time.
    Pages,
    /// Read as a whole.
    Whole,
}

/// Folders whose contents are no use to a copy.
const EMPTY: [&str; 8] = [
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_wal",
];

/// Files of a server that runs, of other backups, and of the node that has it.
const NOT_TAKEN: [&str; 11] = [
    "backup_label",
    "backup_label.old",
    "backup_manifest",
    "current_logfiles",
    "current_logfiles.tmp",
    "howdah-restore",
    "howdah.json",
    "postgresql.auto.conf.tmp",
    "postmaster.opts",
    "postmaster.pid",
    "tablespace_map",
];

/// Where Howdah's servers write their logs.
const LOGS: &str = "log";
/// `PG_TEMP_FILE_PREFIX`.
const TEMPORARY: &str = "pgsql_tmp";
/// The relation cache, made at need; in each database's folder and in `global`.
const RELATION_CACHE: &str = "pg_internal.init";

/// What is done with a folder at `path` from the data directory.
pub fn folder(path: &str) -> Take {
    let name = path.rsplit('/').next().unwrap_or(path);
    if path == LOGS || name.starts_with(TEMPORARY) {
        Take::Nothing
    } else if EMPTY.contains(&path) {
        Take::Empty
    } else {
        Take::Whole
    }
}

/// What is done with a file at `path`; `unlogged`: the relations of its folder that have an
/// init fork.
pub fn file(path: &str, unlogged: &BTreeSet<u32>) -> Take {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name.starts_with(TEMPORARY)
        || name.starts_with(RELATION_CACHE)
        || folder.is_empty() && NOT_TAKEN.contains(&name)
    {
        return Take::Nothing;
    }
    if !has_relations(folder) {
        return Take::Whole;
    }
    if is_temporary(name) {
        return Take::Nothing;
    }
    match Relation::named(name) {
        Some(Relation { fork: "init", .. }) => Take::Pages,
        Some(relation) if unlogged.contains(&relation.number) => Take::Nothing,
        Some(_) => Take::Pages,
        None => Take::Whole,
    }
}

/// Whether files of relations lie in it: `global`, `base/<database>`,
/// `pg_tblspc/<tablespace>/PG_<version>/<database>`.
pub fn has_relations(folder: &str) -> bool {
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match folder.split('/').collect::<Vec<_>>()[..] {
        ["global"] => true,
        ["base", database] => number(&database),
        ["pg_tblspc", space, version, database] => {
            number(&space) && version.starts_with("PG_") && number(&database)
        }
        _ => false,
    }
}

/// A file of a relation: `<number>[_<fork>][.<segment>]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relation<'a> {
    pub number: u32,
    /// `main`, `fsm`, `vm` or `init`.
    pub fork: &'a str,
    /// Which gigabyte of the fork.
    pub segment: u32,
}

impl<'a> Relation<'a> {
    pub fn named(name: &'a str) -> Option<Relation<'a>> {
        let (rest, segment) = match name.split_once('.') {
            Some((rest, segment)) => (rest, plain(segment)?),
            None => (name, 0),
        };
        let (number, fork) = rest.split_once('_').unwrap_or((rest, "main"));
        let known = matches!(fork, "main" | "fsm" | "vm" | "init");
        // `123_main` is no name that a server gives.
        let given = rest.contains('_') != (fork == "main");
        (known && given).then_some(Relation { number: plain(number)?, fork, segment })
    }
}

/// Digits without a zero before them.
fn plain(digits: &str) -> Option<u32> {
    let first = digits.as_bytes().first()?;
    (first.is_ascii_digit() && *first != b'0').then(|| digits.parse().ok()).flatten()
}

/// `t<backend>_<relation>...`: of a session that is gone in the copy.
fn is_temporary(name: &str) -> bool {
    let Some((backend, relation)) = name.strip_prefix('t').and_then(|rest| rest.split_once('_'))
    else {
        return false;
    };
    !backend.is_empty()
        && backend.bytes().all(|byte| byte.is_ascii_digit())
        && Relation::named(relation).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str) -> Take {
        file(path, &BTreeSet::from([16_500]))
    }

    #[test]
    fn relations_are_pages_but_for_what_a_crash_empties() {
        for (path, take) in [
            ("base/5/16400", Take::Pages),
            ("base/5/16400.3", Take::Pages),
            ("base/5/16400_fsm", Take::Pages),
            ("base/5/16400_vm.1", Take::Pages),
            ("base/5/16500_init", Take::Pages),
            ("base/5/16500", Take::Nothing),
            ("base/5/16500_fsm", Take::Nothing),
            ("base/5/16500.2", Take::Nothing),
            ("base/5/t3_16400", Take::Nothing),
            ("base/5/t3_16400_fsm.1", Take::Nothing),
            ("base/5/16400_main", Take::Whole),
            ("base/5/016400", Take::Whole),
            ("base/5/PG_VERSION", Take::Whole),
            ("base/5/pg_filenode.map", Take::Whole),
            ("base/5/pg_internal.init", Take::Nothing),
            ("global/1262", Take::Pages),
            ("global/pg_control", Take::Whole),
            ("pg_tblspc/16390/PG_15_202209061/5/16400", Take::Pages),
            ("pg_tblspc/16390/PG_15_202209061/pgsql_tmp/x", Take::Whole),
            ("pg_xact/0000", Take::Whole),
            ("pg_tblspc/16390/other/5/16400", Take::Whole),
        ] {
            assert_eq!(says(path), take, "{path}");
        }
    }

    #[test]
    fn what_belongs_to_one_server_stays_with_it() {
        for path in ["postmaster.pid", "backup_label", "howdah.json", "base/pgsql_tmp1.2"] {
            assert_eq!(says(path), Take::Nothing, "{path}");
        }
        assert_eq!(says("base/5/backup_label"), Take::Whole, "only at the top");
        assert_eq!(says("postgresql.conf"), Take::Whole);
        assert_eq!(folder("pg_wal"), Take::Empty);
        assert_eq!(folder("pg_replslot"), Take::Empty);
        assert_eq!(folder("log"), Take::Nothing);
        assert_eq!(folder("base/pgsql_tmp"), Take::Nothing);
        assert_eq!(folder("pg_logical/snapshots"), Take::Whole);
    }
}
