//! Clients that share servers hear what each would hear alone, by conversations, splits and turns
//! that the bytes tell: the world of `crates/wire/tests/pooled`.
#![no_main]

#[path = "../../crates/wire/tests/pooled/chance.rs"]
mod chance;
#[path = "../../crates/wire/tests/pooled/client.rs"]
mod client;
#[path = "../../crates/wire/tests/pooled/model.rs"]
mod model;
#[path = "../../crates/wire/tests/pooled/pool.rs"]
mod pool;
#[path = "../../crates/wire/tests/pooled/world.rs"]
mod world;

use chance::Chance;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // By a seed where there is nothing else to go by.
    if bytes.is_empty() {
        return world::check(&mut Chance::of(0), "nothing");
    }
    world::check(&mut Chance::written(bytes), &bytes.escape_ascii().to_string());
});
