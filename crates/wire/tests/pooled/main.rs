//! Clients that share servers hear what each would hear from a server of its own: random batches
//! with statements of the same names and texts, errors in the middle, transactions, any split of
//! the bytes, answers that come late. The servers are models of PostgreSQL's rules for statements.

mod chance;
mod client;
mod model;
mod pool;
mod world;

use chance::Chance;
use world::check;

/// Conversations that are played.
const SEEDS: u64 = 4_000;
/// Such as found something that seldom happens.
const FOUND: [u64; 1] = [116_080];
/// What fuzzing has found (`make fuzz`).
const WRITTEN: [&[u8]; 2] = [b"", b"\x83\xff}}\xffSELEC\x0bD\x1b"];

#[test]
fn clients_that_share_servers_hear_what_each_would_hear_alone() {
    for seed in (1..=SEEDS).chain(FOUND) {
        check(&mut Chance::of(seed), &format!("seed {seed}"));
    }
}

#[test]
fn what_was_found_by_fuzzing_stays_mended() {
    for bytes in WRITTEN {
        check(&mut Chance::written(bytes), &bytes.escape_ascii().to_string());
    }
}
