//! Numbers and texts of manifests and page maps, as few bytes as they need.
//!
//! A number is a LEB128 varint: seven bits a byte, the lowest first, the high bit set on all but
//! the last. A text is its length and its bytes. Reading is total.

/// Bytes that are being read from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // Only the shortest spelling of a number is one.
                return (byte != 0 || shift == 0).then_some(value);
            }
        }
        None
    }

    pub(crate) fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let folded = self.number()?;
        Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.bytes(len)?).ok()
    }

    /// So many of something that takes at least `each` bytes; never more than can be there.
    pub(crate) fn count(&mut self, each: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len() / each.max(1)).then_some(count)
    }

    pub(crate) fn ended(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Bytes that are being written.
#[derive(Clone, Default, Debug)]
pub(crate) struct Output(pub(crate) Vec<u8>);

impl Output {
    pub(crate) fn number(&mut self, value: impl Into<u64>) {
        let mut value: u64 = value.into();
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn signed(&mut self, value: i64) {
        self.number((value << 1 ^ value >> 63) as u64);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut output = Output::default();
            output.number(value);
            output.signed(value as i64);
            let mut input = Input(&output.0);
            assert_eq!(input.number(), Some(value));
            assert_eq!(input.signed(), Some(value as i64));
            assert_eq!(input.ended(), Some(()));
        }
        let golden = [(300, vec![0xac, 0x02]), (0, vec![0])];
        for (value, bytes) in golden {
            let mut output = Output::default();
            output.number(value as u64);
            assert_eq!(output.0, bytes);
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for bad in
            [vec![], vec![0x80], vec![0x80, 0], vec![0xff; 11], [vec![0xff; 9], vec![2]].concat()]
        {
            assert_eq!(Input(&bad).number(), None, "{bad:?}");
        }
        assert_eq!(Input(&[200, 1, 0]).count(1), None, "no more than is there");
    }
}
