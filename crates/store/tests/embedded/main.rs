//! The embedded driver: the contract, and what only a file shared by processes can suffer.

#[path = "../contract/mod.rs"]
mod contract;
mod damage;
mod disk_full;
mod model;
mod processes;
mod scratch;

use std::sync::Arc;

use contract::Subject;
use howdah_store::embedded::Embedded;
use scratch::{Clock, Scratch};

async fn subject() -> Subject {
    let scratch = Scratch::new();
    let clock = Clock::new();
    let store = Embedded::open(&scratch.store(), clock.options("this-boot")).await.expect("opens");
    Subject {
        store: Arc::new(store),
        pass: Box::new(move |span| clock.pass(span)),
        alone: true,
        _keep: Box::new(scratch),
    }
}

contract!(subject);
