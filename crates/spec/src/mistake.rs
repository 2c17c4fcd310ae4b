//! What is wrong with a cluster file, said so that it can be put right in one go.

use std::fmt;

/// Exit code for a cluster file that cannot be used (`EX_USAGE` of `sysexits.h`).
pub const EXIT_USAGE: u8 = 64;

/// One thing wrong, with its place and what to do about it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mistake {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    pub what: String,
    pub hint: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n  hint: {}", self.file, self.line, self.what, self.hint)
    }
}

/// All that is wrong with a file, in the order of its lines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The known word that `text` was probably meant to be, if any is near.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters wrong is still a typing mistake; more is another word.
    let limit = (text.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(text, word), word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word)
}

/// Edit distance (insert, delete, replace, swap of neighbours), by the usual three rows.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_one_typing_mistake_away() {
        let known = ["durability", "listen", "rw_port", "ro_port"];
        assert_eq!(nearest("durabilty", known), Some("durability"));
        assert_eq!(nearest("lisetn", known), Some("listen"));
        assert_eq!(nearest("rwport", known), Some("rw_port"));
        assert_eq!(nearest("colour", known), None);
    }
}
