//! Howdah for those who come from Patroni: the same requests to Debian's Patroni and to Howdah,
//! a real HAProxy with Patroni's checks, a monitoring plugin written for Patroni, and its verbs.

mod check_patroni;
mod description;
mod differences;
mod haproxy;
mod http;
mod pair;
mod peer;
mod questions;
mod same_codes;
mod tools;
mod verbs;

use howdah_testkit::{Cluster, Setup};

/// Nodes of the binary that was built for these tests, with a user for Patroni's clients.
fn nodes(size: usize) -> Setup {
    Cluster::of(size, env!("CARGO_BIN_EXE_howdah")).set("http", "user", "\"admin\"").set(
        "http",
        "password",
        "{ file = \"http\" }",
    )
}
