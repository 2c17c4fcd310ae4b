//! Bytes become lines: both ends of the socket read through this, with a bound.

use crate::message::MESSAGE_BYTES_MAX;

/// A line longer than [`MESSAGE_BYTES_MAX`]: its sender is not one of us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

/// What has arrived and is not yet a whole line.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    /// Takes bytes as they arrived and gives the lines that are whole now, without their end.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.buffer.len() + part.len() > MESSAGE_BYTES_MAX {
                return Err(TooLong);
            }
            self.buffer.extend_from_slice(part);
            if self.buffer.pop_if(|byte| *byte == b'\n').is_some() {
                lines.push(std::mem::take(&mut self.buffer));
            }
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_were_cut() {
        let text = b"one\ntwo\n\nthree";
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let mut seen = lines.take(&text[..cut]).expect("short");
            seen.extend(lines.take(&text[cut..]).expect("short"));
            assert_eq!(seen, [b"one".to_vec(), b"two".to_vec(), Vec::new()], "cut at {cut}");
            assert_eq!(lines.take(b"\n").expect("short"), [b"three".to_vec()]);
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut lines = Lines::default();
        assert!(lines.take(&vec![b'x'; MESSAGE_BYTES_MAX]).expect("at the bound").is_empty());
        assert_eq!(lines.take(b"x"), Err(TooLong));
    }
}
