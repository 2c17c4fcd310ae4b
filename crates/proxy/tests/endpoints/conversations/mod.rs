//! Random conversations, each with PostgreSQL itself and through the pooler, several at once and with
//! clients among them that vanish: whatever may be compared of what they hear is the same.
//!
//! `HOWDAH_CONVERSATIONS` says how many, `HOWDAH_SEED` which is the first.

pub mod chance;
pub mod heard;
pub mod raw;
pub mod saying;
mod script;
mod statements;

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::future::join_all;
use howdah_proxy::Endpoint::Rw;
use howdah_spec::PoolMode;

use crate::pg::Pg;
use crate::pooled::{direct, pool_of, value};
use crate::rig::{Node, Tls, connect};
use chance::Chance;
use heard::{Message, comparable, comparable_greeting, forget_what_is_prepared_again, shown};
use raw::Raw;
use saying::{Saying, Until};

/// Conversations of one kind of pool, unless more are asked for.
const CONVERSATIONS: u64 = 48;
/// Differences that are enough to look at.
const SHOWN_MAX: usize = 3;
/// So many at once.
const AT_ONCE: u64 = 4;

#[tokio::test]
async fn conversations_in_transaction_mode_are_those_with_the_server_itself() {
    compare(PoolMode::Transaction, &[1, 2, 3]).await;
}

#[tokio::test]
async fn conversations_in_session_mode_are_those_with_the_server_itself() {
    compare(PoolMode::Session, &[2]).await;
}

async fn compare(mode: PoolMode, sizes: &[u32]) {
    let (pg, tls) = (Pg::start(), Tls::new());
    let admin = direct(&pg).await;
    value(&admin, "create database pooled").await;
    value(&admin, "create role other").await;
    let first = number("HOWDAH_SEED").unwrap_or(1);
    let count = number("HOWDAH_CONVERSATIONS").unwrap_or(CONVERSATIONS);
    let mut nodes = Vec::new();
    for size in sizes {
        nodes.push(pool_of(&pg, &tls, mode, *size).await);
    }
    let mut differing = Vec::new();
    for (turn, seed) in (first..first + count).step_by(AT_ONCE as usize).enumerate() {
        let node = &nodes[turn % nodes.len()];
        let seeds = seed..(seed + AT_ONCE).min(first + count);
        let alone = join_all(seeds.clone().map(|seed| {
            let to = (Ipv4Addr::LOCALHOST, pg.port).into();
            play(seed, Ipv4Addr::new(127, 72, 68, 1), to, "postgres")
        }));
        let alone = alone.await;
        let through =
            seeds.clone().map(|seed| play(seed, Ipv4Addr::LOCALHOST, node.address(Rw), "pooled"));
        let vanishing = (0..2).map(|n| vanish(1_000_000 + 2 * seed + n, node));
        let (through, _) = tokio::join!(join_all(through), join_all(vanishing));
        for (seed, (alone, through)) in seeds.zip(alone.iter().zip(&through)) {
            differing.extend(difference(seed, alone, through));
        }
        if differing.len() >= SHOWN_MAX {
            break;
        }
    }
    let shown: String = differing.concat();
    assert!(differing.is_empty(), "{shown}");
}

/// PostgreSQL ends it because it does not know any more where its messages begin.
#[tokio::test]
async fn whoever_speaks_of_other_things_while_copy_reads_is_ended() {
    let (pg, tls) = (Pg::start(), Tls::new());
    value(&direct(&pg).await, "create table copied (a int)").await;
    for mode in [PoolMode::Transaction, PoolMode::Session] {
        let node = pool_of(&pg, &tls, mode, 1).await;
        let mut raw = Raw::log_in(Ipv4Addr::LOCALHOST, node.address(Rw), "postgres").await;
        let mut begins = Saying::default();
        begins.parse("", "copy copied from stdin");
        begins.bind("", "", &[], 0);
        begins.execute("", 0);
        begins.flush();
        raw.exchange(&begins.bytes, &mut Chance(1), |kind| kind == b'G').await;
        let mut other = Saying::default();
        other.bind("", "", &[], 0);
        other.execute("", 0);
        other.sync();
        let (heard, came) = raw.exchange(&other.bytes, &mut Chance(1), |_| false).await;
        assert!(came, "it hangs, and has heard\n{}", shown(&heard));
        assert!(shown(&heard).contains("C08P01"), "{}", shown(&heard));
        let next = connect(node.address(Rw)).await.expect("let in");
        assert_eq!(value(&next, "select count(*) from copied").await, "0");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What was heard in each turn, and what was said.
type Played = Vec<(String, Vec<Message>)>;

async fn play(seed: u64, from: Ipv4Addr, to: SocketAddr, database: &str) -> Played {
    let mut raw = Raw::log_in(from, to, database).await;
    let mut chance = Chance(seed);
    let mut played = vec![("login".to_owned(), comparable_greeting(&raw.greeting))];
    for turn in script::conversation(seed) {
        let mut next = Some(turn);
        while let Some(saying) = next.take() {
            let (heard, came) = take_turn(&mut raw, &saying, &mut chance).await;
            let last = heard.last().map(|message| message.0);
            let kinds = shown(&heard);
            played.push((saying.lines.join("\n    "), heard));
            assert!(came, "seed {seed} hangs: {:#?}\nheard\n{kinds}", saying.lines);
            match (saying.then, last) {
                (Some(then), Some(b'G' | b'C' | b's' | b'I')) => next = Some(then.0),
                (Some(then), _) => next = then.1,
                (None, _) => {}
            }
        }
    }
    let end = raw.leave().await.into_iter().map(comparable).collect();
    played.push(("Terminate".to_owned(), end));
    played
}

async fn take_turn(raw: &mut Raw, saying: &Saying, chance: &mut Chance) -> (Vec<Message>, bool) {
    let (until, mut readies) = (saying.until(), 0);
    let enough = |kind| {
        readies += usize::from(kind == b'Z');
        match until {
            Until::Ready(count) => readies == count,
            Until::Answer => b"CsIE".contains(&kind),
            Until::Copying { synced } => kind == b'G' || kind == if synced { b'Z' } else { b'E' },
        }
    };
    let (heard, came) = raw.exchange(&saying.bytes, chance, enough).await;
    let mut heard = heard.into_iter().map(comparable).collect();
    forget_what_is_prepared_again(&mut heard);
    (heard, came)
}

/// Some turns of a conversation, and a part of one.
async fn vanish(seed: u64, node: &Node) {
    let mut chance = Chance(seed);
    let mut raw = Raw::log_in(Ipv4Addr::LOCALHOST, node.address(Rw), "pooled").await;
    let turns = script::conversation(seed);
    let last = chance.below(turns.len());
    for turn in &turns[..last] {
        if turn.then.is_some() {
            continue;
        }
        let (heard, came) = take_turn(&mut raw, turn, &mut chance).await;
        assert!(came, "seed {seed} hangs: {:#?}\nheard\n{}", turn.lines, shown(&heard));
    }
    let bytes = &turns[last].bytes;
    raw.vanish(&bytes[..chance.below(bytes.len() + 1)]).await;
}

/// The first turn in which one heard another thing than the other.
fn difference(seed: u64, alone: &Played, through: &Played) -> Option<String> {
    let turn = alone.iter().zip(through).position(|(one, other)| one != other)?;
    let before: Vec<_> = alone[..turn].iter().map(|(said, _)| said.as_str()).collect();
    Some(format!(
        "seed {seed} differs (HOWDAH_SEED={seed} HOWDAH_CONVERSATIONS=1)\nbefore\n    {}\n\
         said\n    {}\nalone heard\n{}through the pooler heard\n{}",
        before.join("\n    "),
        alone[turn].0,
        shown(&alone[turn].1),
        shown(&through[turn].1)
    ))
}
