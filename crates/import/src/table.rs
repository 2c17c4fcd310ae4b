//! Keys of others by pattern, and what is to be said of each.

use crate::draft::Draft;
use crate::finding::Fate;
use crate::yaml::Path;

/// A pattern of a dotted path, and what becomes of the keys that fit it. `*` stands for one
/// part or the rest of one, `**` at the end for any number of them.
pub(crate) type Row = (&'static str, Meaning);

/// What becomes of a key that is not carried over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning {
    /// Howdah does it itself: how.
    Replaced(&'static str),
    /// What is to be done by hand.
    ByHand(&'static str),
}

impl Meaning {
    pub(crate) fn fate(self) -> Fate {
        match self {
            Meaning::Replaced(how) => Fate::replaced(how),
            Meaning::ByHand(what) => Fate::not_carried(what),
        }
    }
}

/// What the first row that fits `path` says.
pub(crate) fn look_up<'r>(
    rows: impl IntoIterator<Item = &'r Row>,
    path: &[String],
) -> Option<Fate> {
    let row = rows.into_iter().find(|(pattern, _)| fits(pattern, path))?;
    Some(row.1.fate())
}

/// Tells of every leaf of `source` below `root` that nobody has claimed or told of.
pub(crate) fn tell_rest<'r>(
    draft: &mut Draft,
    source: usize,
    root: &Path,
    rows: impl IntoIterator<Item = &'r Row> + Clone,
    unknown: &str,
) {
    for (leaf, path) in draft.untold(source) {
        let Some(below) = path.0.strip_prefix(root.0.as_slice()) else { continue };
        let fate = look_up(rows.clone(), below);
        draft.tell(leaf, fate.unwrap_or_else(|| Fate::Unknown(unknown.to_owned())));
    }
}

fn fits(pattern: &str, path: &[String]) -> bool {
    let mut path = path.iter();
    for part in pattern.split('.') {
        match (part, path.next()) {
            ("**", _) => return true,
            ("*", Some(_)) => {}
            (part, Some(given))
                if part.strip_suffix('*').is_some_and(|start| given.starts_with(start)) => {}
            (part, Some(given)) if part == given => {}
            _ => return false,
        }
    }
    path.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(pattern: &str, path: &str) -> bool {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        fits(pattern, &path)
    }

    #[test]
    fn a_star_is_one_part_and_two_are_the_rest() {
        assert!(fit("a.b", "a.b") && fit("a.*", "a.b") && fit("a.**", "a.b.c") && fit("a.**", "a"));
        assert!(fit("x-*.**", "x-common.restart") && !fit("x-*", "y"));
        assert!(!fit("a.b", "a") && !fit("a", "a.b") && !fit("a.*", "a") && !fit("a.*", "a.b.c"));
    }
}
