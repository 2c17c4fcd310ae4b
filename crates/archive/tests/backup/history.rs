//! restore(backup(x), t) = replay(x, t): over random histories of a server, each moment that was noted is
//! reached from the backup that the planner takes for it.
//!
//! `HOWDAH_SEED` tells another history; the seed is printed.

use std::cell::Cell;
use std::collections::BTreeMap;

use howdah_archive::restore::holding;
use howdah_archive::restore::plan::{Target, Wish, plan};
use howdah_base::Lsn;
use howdah_testkit::{PgNode, majors};

use crate::place::{Place, Ships, check, content, options};

const STEPS: usize = 18;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("small")
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// What was there at a moment, and how the moment is called.
struct Moment {
    tables: Vec<String>,
    content: Vec<String>,
    name: String,
    lsn: Lsn,
    xid: u32,
    time: u64,
    /// Backups that were complete.
    backups: usize,
}

struct Told<'a> {
    node: &'a PgNode,
    place: &'a Place,
    random: Random,
    moments: Vec<Moment>,
    backups: Vec<String>,
    made: usize,
    said: String,
}

impl Told<'_> {
    fn step(&mut self) {
        let tables = tables(self.node);
        let table = self.random.pick(&tables).clone();
        let many = 1 + self.random.below(4000);
        let step = match self.random.below(16) {
            0..3 => insert(&table, many),
            3 => format!("update {table} set b = b || 'x' where a % {} = 0", 1 + many % 50),
            4 => format!("delete from {table} where a % {} = 0", 2 + many % 9),
            5 => format!("truncate {table}"),
            6 | 7 => {
                self.made += 1;
                let made = format!("t{}", self.made);
                let index = format!("create index on {made} (b)");
                format!("create table {made} (a bigint, b text); {}; {index}", insert(&made, many))
            }
            8 if tables.len() > 2 => format!("drop table {table}"),
            8 | 9 => format!("vacuum {table}"),
            10 => format!("vacuum full {table}"),
            11 => "checkpoint".to_owned(),
            12 => "select pg_switch_wal()".to_owned(),
            13 => format!("begin; delete from {table}; savepoint s; truncate {table}; rollback"),
            14 => return self.backs_up(many.is_multiple_of(3)),
            _ => format!("begin; {}; savepoint s; truncate {table}; rollback to s; commit", {
                insert(&table, many)
            }),
        };
        self.said += &format!("{step}\n");
        self.node.query(&step);
    }

    fn backs_up(&mut self, full: bool) {
        let label = format!("b{}", self.backups.len());
        self.said += &format!("backup {label}, full: {full}\n");
        let options =
            howdah_archive::backup::engine::Options { incremental: !full, ..options(&label) };
        let backed_up = self.place.tries(self.node, &options);
        backed_up.unwrap_or_else(|error| panic!("{error}\n{}", self.said));
        self.backups.push(label);
    }

    /// It is one of which nothing else that is written lies in the same millisecond.
    fn notes(&mut self) {
        let name = format!("m{}", self.moments.len());
        let sql = format!("insert into moments values ('{name}') returning pg_current_xact_id()");
        let xid = self.node.query(&sql)[0].parse::<u64>().expect("a number");
        let tables = tables(self.node);
        let names: Vec<&str> = tables.iter().map(String::as_str).chain(["moments"]).collect();
        let content = content(self.node, &names);
        let lsn = self.node.query("select pg_current_wal_insert_lsn()")[0].parse().expect("one");
        self.node.query(&format!("select pg_create_restore_point('{name}')"));
        let time = "select (extract(epoch from clock_timestamp()) * 1000)::bigint + 1 \
                    from pg_sleep(0.002)";
        let time = self.node.query(time)[0].parse().expect("a number");
        self.node.query("select pg_sleep(0.003)");
        let xid = u32::try_from(xid & u64::from(u32::MAX)).expect("half");
        let backups = self.backups.len();
        self.said += &format!("-- {name}: {lsn}, {xid}, {time}\n");
        self.moments.push(Moment { tables, content, name, lsn, xid, time, backups });
    }

    /// Restored from where the planner says.
    fn is_reached(&self, moment: &Moment, target: Target) {
        let wish = Wish { target: target.clone(), timeline: None, backup: None };
        let holding = self.place.runtime.block_on(holding::look(&self.place.lineage));
        let plan = plan(&holding.expect("looked"), &wish);
        let plan = plan.unwrap_or_else(|refusal| panic!("{target:?}: {refusal}\n{}", self.said));
        let expected = match target {
            Target::Xid(_) | Target::Name(_) => &self.backups[0],
            _ => &self.backups[moment.backups - 1],
        };
        assert_eq!(&plan.backup, expected, "{target:?}\n{}", self.said);
        let place = self.place;
        let restored = place.server(self.node, &plan.backup, BTreeMap::new(), target.clone());
        assert_eq!(tables(&restored), moment.tables, "{target:?}\n{}", self.said);
        let names: Vec<&str> =
            moment.tables.iter().map(String::as_str).chain(["moments"]).collect();
        assert_eq!(content(&restored, &names), moment.content, "{target:?}\n{}", self.said);
        if target == Target::Latest {
            check(restored);
        }
    }
}

fn insert(table: &str, many: usize) -> String {
    format!("insert into {table} select g, md5(g::text) from generate_series(1, {many}) g")
}

fn tables(node: &PgNode) -> Vec<String> {
    node.query("select relname from pg_class where relname ~ '^t[0-9]+$' order by 1")
}

/// `by` says how the moments are called that are gone back to; the last one always is.
fn lives(place: &Place, ships: &Ships, node: &PgNode, seed: u64, by: [fn(&Moment) -> Target; 2]) {
    let random = Random(seed);
    let (moments, backups, said) = (vec![], vec![], String::new());
    let mut told = Told { node, place, random, moments, backups, made: 1, said };
    node.query("create table moments (name text)");
    for table in ["t0", "t1"] {
        node.query(&format!("create table {table} (a bigint, b text)"));
        node.query(&insert(table, 5000));
    }
    told.backs_up(true);
    for _ in 0..STEPS {
        told.step();
        told.notes();
    }
    place.reaches(ships, node);
    // The last one has nothing behind it that would end recovery.
    let last = told.moments.len() - 1;
    let mut random = Random(seed ^ 1);
    let mut any = || &told.moments[random.below(last)];
    for target in by {
        let moment = any();
        told.is_reached(moment, target(moment));
    }
    told.is_reached(&told.moments[last], Target::Latest);
}

#[test]
fn what_is_restored_is_what_was_there() {
    let seed = std::env::var("HOWDAH_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(6);
    println!("HOWDAH_SEED={seed}");
    let told = Cell::new(0);
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        if node.query("select current_setting('server_version_num')::int >= 170000") == ["t"] {
            node.query("alter system set summarize_wal = on");
            node.query("select pg_reload_conf()");
        }
        let place = Place::of(&node);
        let ships = place.ships(&node);
        // Each major has a history of its own.
        let number = told.replace(told.get() + 1);
        let by: [fn(&Moment) -> Target; 2] = match (seed + number) % 2 {
            0 => [|moment| Target::Name(moment.name.clone()), |moment| Target::Time(moment.time)],
            _ => [|moment| Target::Lsn(moment.lsn), |moment| Target::Xid(moment.xid)],
        };
        lives(&place, &ships, &node, seed + number, by);
    });
}
