//! What a client says: batches of the extended protocol, simple queries between them, and data.

use super::chance::Chance;
use super::model::message;

/// Batches of one client.
const BATCHES: u64 = 6;

/// Messages of a client: batches of the extended protocol, and simple queries between them.
pub fn conversation(chance: &mut Chance) -> Vec<u8> {
    let mut said = Vec::new();
    for _ in 0..chance.below(BATCHES) + 1 {
        match chance.below(14) {
            5 => message(&mut said, b'Q', &[b" discard ALL\0"]),
            0 => message(&mut said, b'Q', &[text(chance).as_bytes(), &[0]]),
            1 => message(&mut said, b'Q', &[b"BEGIN\0"]),
            2 => message(&mut said, b'Q', &[b"ROLLBACK\0"]),
            3 => message(&mut said, b'Q', &[b"deallocate a\0"]),
            4 => message(&mut said, b'Q', &[b"DEALLOCATE ALL\0"]),
            6 => copy(chance, &mut said),
            _ => batch(chance, &mut said),
        }
    }
    // Nothing of it stays open.
    message(&mut said, b'Q', &[b"ROLLBACK\0"]);
    said
}

fn batch(chance: &mut Chance, said: &mut Vec<u8>) {
    for _ in 0..chance.below(7) {
        let (name, portal) = (name(chance).as_bytes(), portal(chance).as_bytes());
        let name = [name, &[0]].concat();
        let portal = [portal, &[0]].concat();
        match chance.below(9) {
            0 | 1 => {
                let text = text(chance).as_bytes();
                message(said, b'P', &[&name, text, &[0], &[0, 0]]);
            }
            2 | 3 => message(said, b'B', &[&portal, &name, &[0, 0, 0, 0, 0, 0]]),
            4 => message(said, b'D', &[b"S", &name]),
            5 => message(said, b'D', &[b"P", &portal]),
            6 | 7 => message(said, b'E', &[&portal, &[0; 4]]),
            _ => message(said, b'C', &[b"S", &name]),
        }
        if chance.below(10) == 0 {
            message(said, b'H', &[]);
        }
    }
    message(said, b'S', &[]);
}

/// COPY FROM as libpq says it, with a Sync behind Execute that is read as data, and by Query.
fn copy(chance: &mut Chance, said: &mut Vec<u8>) {
    let extended = chance.below(2) == 0;
    if extended {
        message(said, b'P', &[b"\0copy\0\0\0"]);
        message(said, b'B', &[&[0; 8]]);
        message(said, b'E', &[&[0; 5]]);
        message(said, b'S', &[]);
    } else {
        message(said, b'Q', &[b"copy\0"]);
    }
    for _ in 0..chance.below(4) {
        message(said, b'd', &[chance.one(&["rows", "more rows", "wrong"]).as_bytes()]);
    }
    match chance.below(3) {
        0 => message(said, b'f', &[b"enough\0"]),
        _ => message(said, b'c', &[]),
    }
    if extended {
        message(said, b'S', &[]);
        // Or what comes behind might begin another COPY, and not end it.
        message(said, b'Q', &[b"two\0"]);
    }
}

fn name(chance: &mut Chance) -> &'static str {
    chance.one(&["", "a", "b", "c"])
}

fn portal(chance: &mut Chance) -> &'static str {
    chance.one(&["", "", "p"])
}

fn text(chance: &mut Chance) -> &'static str {
    chance.one(&[
        "one",
        "two",
        "three",
        "four",
        "five",
        "bad",
        "breaks",
        "deallocate b",
        "Deallocate all",
    ])
}
