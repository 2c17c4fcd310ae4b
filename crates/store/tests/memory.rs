//! The contract, on the state machine that the simulation trusts.

mod contract;

use std::sync::Arc;

use contract::Subject;
use howdah_store::memory::Memory;

async fn subject() -> Subject {
    let store = Arc::new(Memory::new());
    let clock = Arc::clone(&store);
    let pass = Box::new(move |span| clock.advance(span));
    Subject { store, pass, alone: true, _keep: Box::new(()) }
}

contract!(subject);
