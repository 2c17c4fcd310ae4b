//! What goes out: stretches of what came in, and bytes of our own between them, for one vectored
//! write. What came in is not copied.

use std::ops::Range;

/// A plan for one write.
#[derive(Debug, Default)]
pub struct Cuts {
    cuts: Vec<Cut>,
    made: Vec<u8>,
    len: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Cut {
    Came(Range<usize>),
    Made(Range<usize>),
}

impl Cuts {
    /// Bytes that came, as they are; what follows on the last stretch is one with it.
    pub fn pass(&mut self, came: Range<usize>) {
        self.len += came.len();
        match self.cuts.last_mut() {
            Some(Cut::Came(last)) if last.end == came.start => last.end = came.end,
            _ if came.is_empty() => {}
            _ => self.cuts.push(Cut::Came(came)),
        }
    }

    /// Bytes of our own.
    pub fn make(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.made.len();
        write(&mut self.made);
        let made = start..self.made.len();
        self.len += made.len();
        match self.cuts.last_mut() {
            Some(Cut::Made(last)) => last.end = made.end,
            _ if made.is_empty() => {}
            _ => self.cuts.push(Cut::Made(made)),
        }
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// In their order; `came`: what the stretches are of.
    pub fn slices<'a>(&'a self, came: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.cuts.iter().map(move |cut| match cut {
            Cut::Came(range) => &came[range.clone()],
            Cut::Made(range) => &self.made[range.clone()],
        })
    }

    /// Begins anew, with the room that it has.
    pub fn clear(&mut self) {
        self.cuts.clear();
        self.made.clear();
        self.len = 0;
    }

    /// All of it in one piece.
    pub fn to_vec(&self, came: &[u8]) -> Vec<u8> {
        self.slices(came).collect::<Vec<_>>().concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_meet_are_one_and_ours_stand_between_them() {
        let mut cuts = Cuts::default();
        cuts.pass(0..2);
        cuts.pass(2..4);
        cuts.make(|out| out.extend_from_slice(b"-"));
        cuts.make(|out| out.extend_from_slice(b"+"));
        cuts.pass(6..6);
        cuts.pass(6..8);
        assert_eq!(cuts.cuts.len(), 3, "{cuts:?}");
        assert_eq!((cuts.to_vec(b"abcdefgh"), cuts.len()), (b"abcd-+gh".to_vec(), 8));
        cuts.clear();
        assert!(cuts.is_empty() && cuts.slices(b"").next().is_none());
    }
}
