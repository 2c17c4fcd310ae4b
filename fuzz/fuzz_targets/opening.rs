//! The first packet of a connection: read as far as it asks for, it is the same packet whatever
//! stands behind it, and what is read of it does not panic.
#![no_main]

use howdah_wire::{Opening, Step, opening};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut there = 0;
    let last = loop {
        match opening(&bytes[..there]) {
            Ok(Step::Need(more)) => {
                assert!(more > 0 && there + more <= 10_004, "it waits for {more} more");
                there += more;
                if there > bytes.len() {
                    return;
                }
            }
            other => break other,
        }
    };
    let Ok(Step::Packet(packet, len)) = &last else {
        let _ = last.err().and_then(|malformed| malformed.answer());
        return;
    };
    assert!(*len <= there);
    assert_eq!(opening(bytes), last, "what stands behind it is not looked at");
    if let Opening::Startup(startup) = packet {
        let _ = (startup.user(), startup.database(), startup.settings());
        let _ = startup.asks_for("search_path");
        assert!(startup.negotiation().is_none_or(|answer| answer.len() < 20_000));
    }
});
