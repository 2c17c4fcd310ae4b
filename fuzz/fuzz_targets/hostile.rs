//! Clients and servers that say anything at all: no panic, no more memory than what they said is
//! worth, and a server is clean only when nothing is owed.
#![no_main]

use howdah_wire::ErrorResponse;
use howdah_wire::relay::statements::{Held, Known};
use howdah_wire::relay::{ClientHalf, Cuts, Linked, ServerHalf, note, note_failed};
use libfuzzer_sys::fuzz_target;

/// Whole messages of a client's; by chance alone there are few.
const CLIENTS: [(u8, &[u8]); 22] = [
    (b'P', b"a\0one\0\0\0"),
    (b'P', b"\0two\0\0\0"),
    (b'P', b"b\0deallocate all\0\0\0"),
    (b'P', b"d\0deallocate a\0\0\0"),
    (b'B', b"\0a\0\0\0\0\0\0\0"),
    (b'B', b"\0\0\0\0\0\0\0\0"),
    (b'B', b"p\0b\0\0\0\0\0\0\0"),
    (b'B', b"p\0d\0\0\0\0\0\0\0"),
    (b'D', b"Sa\0"),
    (b'D', b"P\0"),
    (b'C', b"Sa\0"),
    (b'E', b"\0\0\0\0\0"),
    (b'E', b"p\0\0\0\0\0"),
    (b'S', b""),
    (b'H', b""),
    (b'Q', b"one\0"),
    (b'Q', b"deallocate a\0"),
    (b'Q', b"discard all\0"),
    (b'F', b"\0\0\0\0"),
    (b'd', b"rows"),
    (b'c', b""),
    (b'f', b"\0"),
];
/// And of a server's.
const SERVERS: [(u8, &[u8]); 24] = [
    (b'1', b""),
    (b'2', b""),
    (b'3', b""),
    (b'n', b""),
    (b's', b""),
    (b'I', b""),
    (b'c', b""),
    (b't', b"\0\0"),
    (b'T', b"\0\0"),
    (b'D', b"\0\0"),
    (b'G', b"\0\0\0"),
    (b'H', b"\0\0\0"),
    (b'C', b"SELECT 1\0"),
    (b'C', b"DEALLOCATE ALL\0"),
    (b'C', b"ALTER TABLE\0"),
    (b'Z', b"I"),
    (b'Z', b"T"),
    (b'Z', b"E"),
    (b'E', b"SERROR\0C26000\0\0"),
    (b'E', b"SERROR\0C0A000\0\0"),
    (b'E', b"SERROR\0C42P05\0\0"),
    (b'E', b"VFATAL\0C57P01\0\0"),
    (b'N', b"\0"),
    (b'S', b"a\0b\0"),
];

/// What somebody says next: raw bytes, or a message of the table.
fn piece<'a>(who: u8, table: &[(u8, &[u8])], rest: &'a [u8]) -> (Vec<u8>, &'a [u8]) {
    if who & 2 == 0 {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(who >> 2)));
        return (piece.to_vec(), rest);
    }
    let (kind, body) = table[usize::from(who >> 2) % table.len()];
    let len = (body.len() as u32 + 4).to_be_bytes();
    ([&[kind][..], &len, body].concat(), rest)
}

/// A statement that is prepared again goes out whole each time it is asked for.
const GROWTH: usize = 200;

fuzz_target!(|bytes: &[u8]| {
    let (mut client, mut server) = (ClientHalf::new(500), ServerHalf::default());
    let (mut held, mut known) = (Held::default(), Known::new(10_000, [7; 32]));
    let (mut said, mut answered) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    // A byte says who, and what or how much.
    while let [who, after @ ..] = rest {
        let table = if who & 1 == 0 { &CLIENTS[..] } else { &SERVERS[..] };
        let (piece, after) = piece(*who, table, after);
        rest = after;
        let mut cuts = Cuts::default();
        if who & 1 == 0 {
            said.extend(piece);
            let (server, held, known) = (&mut server, &mut held, &mut known);
            let before = said.len();
            if client.is_alone() {
                let mut out = Vec::new();
                let Ok(followed) = client.speak_alone(&said, known, &mut out) else { return };
                said.drain(..followed.used);
                continue;
            }
            let mut linked = Linked { server, held, known, settings: 0, to_server: &mut cuts };
            let Ok(followed) = client.speak(&said, &mut linked) else { return };
            assert!(cuts.len() <= (before + 1) * GROWTH, "{} of {before}", cuts.len());
            let _ = cuts.to_vec(&said);
            said.drain(..followed.used);
        } else {
            answered.extend(piece);
            let names = client.names();
            let heard = server.hear(&answered, &mut cuts, |event| note(&event, names, &mut held));
            for question in server.take_failed().collect::<Vec<_>>() {
                note_failed(question, names, &mut held);
            }
            let _ = cuts.to_vec(&answered);
            let Ok(used) = heard else {
                let (mut out, mut error) = (Vec::new(), Vec::new());
                ErrorResponse::fatal("57P01", "gone").encode(&mut error);
                client.bereave(&server, &error, &mut out);
                (server, held, answered) = (ServerHalf::default(), Held::default(), Vec::new());
                continue;
            };
            answered.drain(..used);
            if server.is_to_hear_again() {
                let (server, held, known) = (&mut server, &mut held, &mut known);
                let mut cuts = Cuts::default();
                let to_server = &mut cuts;
                let mut linked = Linked { server, held, known, settings: 0, to_server };
                let again = client.say_again(&mut linked).expect("it was understood before");
                let _ = cuts.to_vec(&again);
            }
        }
        assert!(!server.is_clean() || server.replies().is_empty());
        assert!(server.replies().len() < 10_000);
        assert!(client.names().bytes() < 1_000 * (bytes.len() + 1));
    }
});
