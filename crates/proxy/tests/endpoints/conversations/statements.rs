//! Statements that conversations are made of: whatever leaves something behind, fails, warns, or is
//! long. Names are few, so that they meet; `mark` is the conversation's own.

use super::chance::Chance;

/// Something that has no parameters and no COPY FROM.
pub fn any(chance: &mut Chance, mark: u64) -> String {
    let n = chance.below(9);
    match chance.below(100) {
        0..=16 => plain(chance, mark),
        17..=31 => block(chance),
        32..=51 => setting(chance, mark),
        52..=61 => table(chance, mark),
        62..=67 => chance
            .of(&[
                "prepare p0 as select 'p0'",
                "prepare p1(int) as select $1 + 1",
                "execute p0",
                "execute p1(3)",
                "deallocate p0",
                "deallocate p1",
                "deallocate all",
                "discard all",
            ])
            .to_owned(),
        68..=73 => temporary(chance, mark),
        74..=80 => lock(chance, mark),
        81..=84 => format!(
            "{} ch{mark}{}",
            chance.of(&["listen", "notify", "unlisten"]),
            chance.of(&["", "", "_other"])
        ),
        85..=94 => cursor(chance),
        _ => format!(
            "select {n}, repeat('{n}', {}) from generate_series(1, 3)",
            chance.of(&[3, 900, 9_000, 90_000])
        ),
    }
}

fn plain(chance: &mut Chance, mark: u64) -> String {
    let n = chance.below(9);
    match chance.below(12) {
        0 => "select 'ü', null, 1.5, true".to_owned(),
        1 => String::new(),
        2 => "selekt".to_owned(),
        3 => "select * from missing".to_owned(),
        4 => "select 1 / 0".to_owned(),
        5 => format!("do $$ begin raise notice 'n{mark} %', {n}; end $$"),
        6 => format!("do $$ begin raise exception 'x{mark}' using errcode = 'P004{n}'; end $$"),
        7 => format!("do $$ begin raise warning 'w{mark}'; perform 1 / 0; end $$"),
        8 => format!("select 1 / (5 - g) from generate_series(1, {n}) g"),
        9 => "copy (select g, 'x' from generate_series(1, 40) g) to stdout".to_owned(),
        10 => "copy (select 1 / (20 - g) from generate_series(1, 40) g) to stdout".to_owned(),
        _ => format!("select '{mark}', {n}"),
    }
}

fn block(chance: &mut Chance) -> String {
    chance
        .of(&[
            "begin",
            "begin",
            "begin",
            "begin isolation level serializable",
            "start transaction read only",
            " BEGIN WORK isolation level repeatable read, read only deferrable ;",
            "start transaction read write",
            "begin transaction read only read write",
            "begin isolation level nonsense",
            "commit",
            "commit",
            "commit",
            "rollback",
            "rollback",
            "commit and chain",
            "rollback and chain",
            "savepoint a",
            "rollback to a",
            "release a",
        ])
        .to_owned()
}

fn setting(chance: &mut Chance, mark: u64) -> String {
    let n = chance.below(9) + 1;
    let local = chance.of(&["", "", "local "]);
    match chance.below(24) {
        0 | 1 => format!("set {local}work_mem = '{n}MB'"),
        2 => "show work_mem".to_owned(),
        3 => "reset work_mem".to_owned(),
        4 => format!("set {local}application_name = 'a{mark}_{n}'"),
        5 => "show application_name".to_owned(),
        6 => format!("set {local}datestyle = '{}'", chance.of(&["German", "SQL, DMY", "ISO"])),
        7 => "select date '2024-02-01', timestamptz '2024-02-01 00:00Z'".to_owned(),
        8 => format!("set {local}timezone = '{}'", chance.of(&["Asia/Tokyo", "UTC", "nowhere"])),
        9 => format!("set {local}client_encoding = '{}'", chance.of(&["LATIN1", "UTF8"])),
        10 => format!("select set_config('app.x', 'v{mark}_{n}', {})", chance.of(&[true, false])),
        // Where it has been set once it is not null any more.
        11 | 12 => "select coalesce(current_setting('app.x', true), ''), \
                    coalesce(current_setting('app.y', true), '')"
            .to_owned(),
        13 => format!("set {local}app.y = 'y{mark}'"),
        14 => chance.of(&["reset app.x", "reset all", "set app.y to default"]).to_owned(),
        15 => format!("set {local}search_path = {}", chance.of(&["public", "pg_catalog", "''"])),
        16 => "show search_path".to_owned(),
        17 => format!("set {local}role {}", chance.of(&["other", "none", "missing"])),
        18 => "select current_user, session_user".to_owned(),
        19 => chance.of(&["reset role", "set session authorization default"]).to_owned(),
        20 => format!(
            "set session characteristics as transaction {}",
            chance.of(&["read only", "read write", "isolation level serializable"])
        ),
        21 => "select current_setting('transaction_isolation'), current_setting('transaction_read_only')".to_owned(),
        22 => chance.of(&["discard temp", "discard plans", "discard sequences"]).to_owned(),
        _ => format!("set {local}standard_conforming_strings = {}", chance.of(&["on", "off"])),
    }
}

fn table(chance: &mut Chance, mark: u64) -> String {
    let n = chance.below(9);
    match chance.below(6) {
        0 | 1 => format!("insert into t{mark} values ({n}, 'l{n}')"),
        2 => format!("update t{mark} set a = a + 1 where a = {n}"),
        3 => format!("delete from t{mark} where a = {n}"),
        4 => format!("insert into t{mark} select g from generate_series(1, 5) g returning a"),
        _ => format!("select a, b from t{mark} order by a, b"),
    }
}

fn temporary(chance: &mut Chance, mark: u64) -> String {
    match chance.below(6) {
        0 => "create temp table tt (a int)".to_owned(),
        1 => format!("create temp table tt on commit drop as select {mark} as a"),
        2 => format!("insert into tt values ({mark})"),
        3 => "select * from tt".to_owned(),
        4 => "create table pg_temp.tt (a int)".to_owned(),
        _ => "drop table tt".to_owned(),
    }
}

fn lock(chance: &mut Chance, mark: u64) -> String {
    let key = mark * 10 + chance.below(2) as u64;
    match chance.below(7) {
        0 => format!("select pg_advisory_lock({key})"),
        1 => format!("select pg_advisory_unlock({key})"),
        2 => format!("select pg_try_advisory_lock_shared({key})"),
        3 => format!("select pg_advisory_xact_lock({key})"),
        4 => "select pg_advisory_unlock_all()".to_owned(),
        _ => "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
            .to_owned(),
    }
}

fn cursor(chance: &mut Chance) -> String {
    let name = chance.of(&["c0", "c1"]);
    match chance.below(10) {
        0 | 1 => format!("declare {name} cursor with hold for select generate_series(1, 9)"),
        2 | 3 => format!("declare {name} scroll cursor for select generate_series(1, 9)"),
        4 | 5 => format!("fetch {} from {name}", chance.of(&["1", "3", "all"])),
        6 => format!("move 2 in {name}"),
        7 => format!("close {name}"),
        8 => "close all".to_owned(),
        _ => "select name, is_holdable from pg_cursors where name <> '' order by 1".to_owned(),
    }
}

/// With parameters, and how many.
pub fn with_parameters(chance: &mut Chance, mark: u64) -> (String, usize) {
    let (text, count) = match chance.below(9) {
        0 => ("select $1::int + $2::int", 2),
        1 => ("select $1::text", 1),
        2 => ("select $1::bytea, $2::text", 2),
        3 => return (format!("insert into t{mark} values ($1, $2) returning b"), 2),
        4 => ("select generate_series(1, $1::int)", 1),
        5 => ("select length($1::text)", 1),
        6 => ("select set_config('app.x', $1, false)", 1),
        7 => ("select 1 / $1::int", 1),
        _ => return (format!("select '{mark}', $1::int from generate_series(1, 4)"), 1),
    };
    (text.to_owned(), count)
}
