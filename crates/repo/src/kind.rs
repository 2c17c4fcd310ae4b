//! What a sealed object is. The kind is part of its key, so that none is taken for another.

/// As the sixth byte of the envelope says it. Numbers are never used anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    Lineage = 1,
    Config = 2,
    History = 3,
    Segment = 4,
    Chunk = 5,
    Pack = 6,
    Manifest = 7,
    Proof = 8,
    Run = 9,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Lineage,
        Kind::Config,
        Kind::History,
        Kind::Segment,
        Kind::Chunk,
        Kind::Pack,
        Kind::Manifest,
        Kind::Proof,
        Kind::Run,
    ];

    pub fn byte(self) -> u8 {
        self as u8
    }

    pub fn of(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.byte() == byte)
    }
}
