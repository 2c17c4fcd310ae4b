//! Collects what is wrong while the file is read, and where each key stood.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::mistake::{Mistake, Mistakes};

/// The line of each key of the file, by its dotted path (`postgresql.parameters.work_mem`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    lines: BTreeMap<String, usize>,
}

impl Places {
    /// The line of `path`, or of the nearest table around it that the file names; 1 if none is.
    pub fn line(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rfind('.') {
                Some(dot) => path = &path[..dot],
                None => return 1,
            }
        }
    }

    /// Every path that the file names, in the order of the alphabet.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    /// Whether the file itself names `path`; otherwise its value is a default.
    pub fn names(&self, path: &str) -> bool {
        self.lines.contains_key(path)
    }
}

/// The one place that mistakes go to while a file is read.
pub(super) struct Report<'t> {
    file: &'t str,
    text: &'t str,
    found: RefCell<Found>,
}

#[derive(Default)]
struct Found {
    mistakes: Vec<Mistake>,
    places: Places,
    /// Paths whose value is wrong by itself, so that nothing follows from it.
    bad: BTreeSet<String>,
    /// Lines that are not TOML, so that what was read there means nothing.
    garbled: BTreeSet<usize>,
}

impl<'t> Report<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Report<'t> {
        Report { file, text, found: RefCell::default() }
    }

    /// The line in which a span of the text begins, counted from 1.
    pub(super) fn line_of(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    pub(super) fn saw(&self, path: &str, line: usize) {
        self.found.borrow_mut().places.lines.insert(path.to_owned(), line);
    }

    /// A line is not TOML. To be said before anything else of that line.
    pub(super) fn garbled(&self, line: usize, what: String, hint: &str) {
        if !self.found.borrow().garbled.contains(&line) {
            self.wrong("", line, what, hint.to_owned());
            self.found.borrow_mut().garbled.insert(line);
        }
    }

    /// `path` is wrong by itself.
    pub(super) fn wrong(&self, path: &str, line: usize, what: String, hint: String) {
        let mut found = self.found.borrow_mut();
        found.bad.insert(path.to_owned());
        if found.garbled.contains(&line) {
            return;
        }
        let file = self.file.to_owned();
        found.mistakes.push(Mistake { file, line, what, hint });
    }

    /// The values of `paths` do not go together; the first is where the operator should look.
    /// Says nothing when one of them is wrong already: what was meant is not known then.
    pub(super) fn conflict(&self, paths: &[&str], what: String, hint: String) {
        let mut found = self.found.borrow_mut();
        if paths.iter().any(|path| found.bad.contains(*path)) {
            return;
        }
        let line = paths.first().map_or(1, |path| found.places.line(path));
        let file = self.file.to_owned();
        found.mistakes.push(Mistake { file, line, what, hint });
    }

    pub(super) fn names(&self, path: &str) -> bool {
        self.found.borrow().places.names(path)
    }

    /// The places, and everything that was wrong, by line.
    pub(super) fn finish(self) -> (Places, Mistakes) {
        let Found { mut mistakes, places, .. } = self.found.into_inner();
        mistakes.sort();
        mistakes.dedup();
        (places, Mistakes(mistakes))
    }
}
