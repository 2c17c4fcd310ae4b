//! One world of a few clients, and what must be so in it.

use super::chance::Chance;
use super::client::conversation;
use super::model::alone;
use super::pool::Pool;

const CLIENTS: usize = 3;

/// Plays a conversation of each client and compares what they hear.
pub fn check(chance: &mut Chance, named: &str) {
    let said: Vec<Vec<u8>> = (0..CLIENTS).map(|_| conversation(chance)).collect();
    let heard = Pool::new(&said).play(chance);
    for (client, (said, heard)) in said.iter().zip(&heard).enumerate() {
        let alone = alone(said);
        assert_eq!(show(heard), show(&alone), "{named}, client {client} said {}", show(said));
    }
}

/// Heads and bodies, one a line, with errors by their SQLSTATE: names in their texts are the
/// server's own.
pub fn show(bytes: &[u8]) -> String {
    let (mut rest, mut lines) = (bytes, Vec::new());
    while let [kind, a, b, c, d, after @ ..] = rest {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
        let body = match (kind, after[..len].iter().position(|byte| *byte == b'C')) {
            (b'E', Some(at)) if len > 9 && after[0] == b'S' => &after[at..at + 6],
            _ => &after[..len],
        };
        lines.push(format!("{} {}", char::from(*kind), body.escape_ascii()));
        rest = &after[len..];
    }
    lines.join("\n")
}
