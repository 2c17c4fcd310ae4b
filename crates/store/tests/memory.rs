//! The contract, on the state machine that the simulation trusts.

mod contract;

use std::sync::Arc;

use contract::Subject;
use howdah_store::memory::Memory;

async fn subject() -> Subject {
    let store = Arc::new(Memory::new());
    let clock = Arc::clone(&store);
    Subject { store, pass: Box::new(move |span| clock.advance(span)), _keep: Box::new(()) }
}

contract!(subject);
