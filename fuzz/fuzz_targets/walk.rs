//! Where messages begin, in a stream of any bytes: the same wherever it is cut.
#![no_main]

use howdah_wire::walk::{HEAD_LEN, Lost, Sender, Step, Walk};
use libfuzzer_sys::fuzz_target;

/// Heads up to the end or to what cannot be followed, in pieces of `size`.
fn heads(sender: Sender, stream: &[u8], size: usize) -> (Vec<(u8, u32)>, Option<Lost>) {
    let (mut walk, mut heads, mut there) = (Walk::new(sender), Vec::new(), Vec::new());
    for piece in stream.chunks(size) {
        there.extend_from_slice(piece);
        loop {
            let done = match walk.step(&there) {
                Err(lost) => return (heads, Some(lost)),
                Ok(Step::Short | Step::Rest(0)) => break,
                Ok(Step::Rest(len)) => {
                    walk.pass(len);
                    len
                }
                Ok(Step::Head { kind, body }) => {
                    heads.push((kind, body));
                    walk.enter(body, 0);
                    HEAD_LEN
                }
            };
            there.drain(..done);
        }
    }
    (heads, None)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, stream)) = bytes.split_first() else { return };
    for sender in [Sender::Client, Sender::Server] {
        let whole = heads(sender, stream, stream.len().max(1));
        assert_eq!(heads(sender, stream, usize::from(*size).max(1)), whole);
    }
});
