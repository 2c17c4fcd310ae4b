//! No client ever sees what is another's. Everything that a client leaves or causes carries its own
//! mark: rows, settings, notices, errors, statements, tables, locks, notifications. Whoever vanishes,
//! after whatever message, leaves nothing.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use howdah_proxy::Endpoint::Rw;
use howdah_spec::PoolMode;
use tokio_postgres::Client;

use crate::conversations::chance::Chance;
use crate::conversations::heard::{Message, shown};
use crate::conversations::raw::Raw;
use crate::conversations::saying::Saying;
use crate::pg::Pg;
use crate::pooled::{direct, pool_of, value};
use crate::rig::{Node, Tls, connect, until};

/// Clients that do all at once what they do.
const CLIENTS: usize = 12;
/// What each of them does, before it may vanish and come back.
const DEEDS: usize = 25;
/// How often it comes back.
const LIVES: usize = 3;

#[tokio::test]
async fn nobody_sees_anothers_mark_whoever_comes_and_goes() {
    let (pg, tls) = (Pg::start(), Tls::new());
    value(&direct(&pg).await, "create role other").await;
    for (mode, size) in
        [(PoolMode::Transaction, 1), (PoolMode::Transaction, 3), (PoolMode::Session, 4)]
    {
        let node = pool_of(&pg, &tls, mode, size).await;
        let seed = std::env::var("HOWDAH_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(1) * 1_000 + u64::from(size);
        join_all((0..CLIENTS).map(|number| lives(&node, number, seed + number as u64 * 50))).await;
    }
}

/// A client that vanishes in the middle of something and comes back.
async fn lives(node: &Node, number: usize, seed: u64) {
    let mut chance = Chance(seed);
    for _ in 0..LIVES {
        let mut raw = Raw::log_in(Ipv4Addr::LOCALHOST, node.address(Rw), "postgres").await;
        only_own(number, seed, &Saying::default(), &raw.greeting);
        for _ in 0..chance.below(DEEDS) {
            let said = deed(&mut chance, number);
            let mut readies = 0;
            let enough = |kind| {
                readies += usize::from(kind == b'Z');
                readies == said.readies
            };
            let (heard, came) = raw.exchange(&said.bytes, &mut Chance(seed), enough).await;
            assert!(
                came,
                "seed {seed}, client {number} hangs: {:#?}\n{}",
                said.lines,
                shown(&heard)
            );
            only_own(number, seed, &said, &heard);
        }
        let last = deed(&mut chance, number).bytes;
        raw.vanish(&last[..chance.below(last.len() + 1)]).await;
    }
}

/// What belongs to a client has this in it.
fn mark(number: usize) -> String {
    format!("mark{number}_")
}

fn only_own(number: usize, seed: u64, said: &Saying, heard: &[Message]) {
    let own = mark(number);
    for message in heard {
        let text = String::from_utf8_lossy(&message.1);
        for (at, _) in text.match_indices("mark") {
            assert!(
                text[at..].starts_with(&own),
                "seed {seed}: {own} sees another's\n{:#?}\n{}",
                said.lines,
                shown(heard)
            );
        }
    }
}

/// Leaves a mark, or looks for marks.
fn deed(chance: &mut Chance, number: usize) -> Saying {
    let (mark, key) = (mark(number), number);
    let mut said = Saying::default();
    let looks = "select coalesce(current_setting('app.mark', true), ''), \
                 current_setting('application_name'), current_setting('search_path')";
    match chance.below(18) {
        0 => said.query(&format!("set app.mark = '{mark}'")),
        1 => said.query(&format!("set application_name = '{mark}'; begin")),
        2 => said.query(&format!("select set_config('search_path', '{mark}', false)")),
        3 => said.query(&format!("create temp table if not exists tt as select '{mark}' as m")),
        4 => said.query("select * from tt; select * from pg_listening_channels()"),
        5 => said.query(&format!("prepare p0 as select '{mark}'")),
        6 => said
            .query("execute p0; select name, statement from pg_prepared_statements where from_sql"),
        7 => said.query(&format!("select pg_advisory_lock({key}), '{mark}'")),
        8 => said.query(&format!("listen {mark}; notify {mark}, '{mark}'")),
        9 => said.query(&format!("do $$ begin raise notice '{mark}'; raise '{mark}'; end $$")),
        10 => said.query(&format!("declare c0 cursor with hold for select '{mark}'")),
        11 => said.query("fetch c0; select name, statement from pg_cursors"),
        12 => said.query(chance.of(&["commit", "rollback", "discard all", "reset all"])),
        13 => said.query(&format!("select repeat('{mark}', {})", chance.below(30_000))),
        14 => {
            // The same name for everybody, whose text is its own.
            let name = chance.of(&["", "s0", "s1"]);
            said.close(b'S', name);
            said.parse(name, &format!("select '{mark}', $1::text"));
            bound(&mut said, name, &mark);
        }
        15 => bound(&mut said, chance.of(&["", "s0", "s1"]), &mark),
        16 => {
            said.parse("", &format!("select set_config('app.mark', '{mark}', false), 1 / $1::int"));
            bound(&mut said, "", "0");
            said.query(looks);
        }
        _ => said.query(looks),
    }
    said
}

fn bound(said: &mut Saying, name: &str, value: &str) {
    said.bind("", name, &[(0, value.as_bytes().to_vec())], 0);
    said.describe(b'P', "");
    said.execute("", 0);
    said.sync();
}

#[tokio::test]
async fn whoever_vanishes_after_any_message_leaves_nothing() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let outside = direct(&pg).await;
    for mode in [PoolMode::Transaction, PoolMode::Session] {
        let node = pool_of(&pg, &tls, mode, 1).await;
        let messages = all_that_may_be_left();
        for count in 1..=messages.len() {
            for heard_all in [false, true] {
                vanish(&node, &messages[..count], heard_all).await;
                let next = connect(node.address(Rw)).await.expect("let in");
                let seen = value(&next, LEFT).await;
                assert_eq!(seen, "", "after {:#?}", messages[count - 1].lines);
                until("its lock is free", async || free(&outside).await).await;
            }
        }
    }
}

/// Everything that is not as in a new session.
const LEFT: &str = "select coalesce(current_setting('app.mark', true), '') || \
    current_setting('application_name') || coalesce(to_regclass('mine')::text, '') || \
    coalesce((select string_agg(statement, '') from pg_prepared_statements where from_sql), '') || \
    coalesce((select string_agg(name, '') from pg_cursors where name <> ''), '') || \
    coalesce((select string_agg(c, '') from pg_listening_channels() c), '') || \
    replace(current_setting('work_mem'), '4MB', '') || replace(current_user, 'app', '') || \
    replace(current_setting('transaction_isolation'), 'read committed', '')";

async fn free(outside: &Client) -> Result<(), String> {
    let sql = "select count(*) from pg_locks where locktype = 'advisory'";
    match &*value(outside, sql).await {
        "0" => Ok(()),
        held => Err(format!("{held} locks")),
    }
}

/// One message each, as far as a Query and its answer go.
fn all_that_may_be_left() -> Vec<Saying> {
    let mut all = Vec::new();
    let mut say = |message: &dyn Fn(&mut Saying)| {
        let mut said = Saying::default();
        message(&mut said);
        all.push(said);
    };
    for sql in [
        "set app.mark = 'left'",
        "set application_name = 'left'; set work_mem = '99MB'",
        "create temp table mine as select 'left'",
        "select pg_advisory_lock(5)",
        "prepare mine as select 'left'",
        "listen left",
        "declare mine cursor with hold for select 'left'",
        "set role other",
        "set session characteristics as transaction isolation level serializable",
        "begin",
        "select pg_advisory_xact_lock(6)",
    ] {
        say(&|said| said.query(sql));
    }
    say(&|said| said.parse("s0", "select set_config('app.mark', 'left', false), $1::text"));
    say(&|said| said.bind("a", "s0", &[(0, b"x".to_vec())], 0));
    say(&|said| said.describe(b'P', "a"));
    say(&|said| said.execute("a", 0));
    say(&Saying::flush);
    say(&|said| said.close(b'P', "a"));
    say(&Saying::sync);
    say(&|said| said.query("commit"));
    say(&|said| said.query("copy pg_temp.mine from stdin"));
    say(&|said| said.copy_data("left\n"));
    all
}

/// Says it all at once or answer by answer, and is gone.
async fn vanish(node: &Node, messages: &[Saying], heard_all: bool) {
    let mut raw = Raw::log_in(Ipv4Addr::LOCALHOST, node.address(Rw), "postgres").await;
    let mut rest = Vec::new();
    for said in messages {
        let begins_copy = said.lines[0].contains("copy");
        rest.extend_from_slice(&said.bytes);
        if heard_all && said.readies == 1 && !begins_copy {
            let (_, came) = raw.exchange(&rest, &mut Chance(1), |kind| kind == b'Z').await;
            assert!(came, "no answer to {:#?}", said.lines);
            rest.clear();
        }
    }
    raw.vanish(&rest).await;
}
