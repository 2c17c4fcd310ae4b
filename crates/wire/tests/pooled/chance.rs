//! What happens next: by a seed, or as somebody wrote it down.

/// Splitmix64, behind bytes that are used up first.
pub struct Chance {
    bytes: Vec<u8>,
    state: u64,
}

impl Chance {
    /// As the seed has it.
    pub fn of(seed: u64) -> Chance {
        Chance { bytes: Vec::new(), state: seed }
    }

    /// For whoever looks for bytes that show something.
    pub fn written(bytes: &[u8]) -> Chance {
        let state = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Chance { bytes: bytes.iter().rev().copied().collect(), state }
    }

    pub fn below(&mut self, end: u64) -> u64 {
        if let Some(byte) = self.bytes.pop() {
            return u64::from(byte) % end;
        }
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    pub fn one(&mut self, of: &'static [&'static str]) -> &'static str {
        of[self.below(of.len() as u64) as usize]
    }
}
