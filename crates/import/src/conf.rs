//! postgresql.conf and postgresql.auto.conf, with what they include.

pub(crate) mod lines;

use crate::draft::{Draft, LeafId, Rank};
use crate::finding::Fate;
use crate::input::Input;
use crate::parameters::{self, Origin};
use crate::yaml::Path;

use lines::Line;

/// An `include` line of a postgresql.conf: whoever calls reads the files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Include {
    /// Counted from 1.
    pub line: usize,
    /// As written: relative to the folder of the file.
    pub path: String,
    pub what: IncludeWhat,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IncludeWhat {
    File,
    /// A file that may be missing.
    IfExists,
    /// All files of a directory whose names end in `.conf` and do not begin with a dot, in the
    /// order of the C locale.
    Dir,
}

/// The `include` lines of a postgresql.conf, in order.
pub fn includes(text: &str) -> Vec<Include> {
    let line = |(place, line)| match lines::line(line) {
        Line::Include { what, path } => Some(Include { line: place + 1, path, what }),
        _ => None,
    };
    text.lines().enumerate().filter_map(line).collect()
}

/// Nested includes that are followed; PostgreSQL's own bound (`CONF_FILE_MAX_DEPTH`).
pub const INCLUDE_DEPTH_MAX: usize = 10;

/// Carries over the parameters of a file.
pub(crate) fn carry(draft: &mut Draft, source: usize, input: &Input, rank: Rank) {
    let mut settings = Vec::new();
    read(draft, source, input, None, &mut settings, 0);
    // All leaves first: of parameters that stand twice only the last is claimed.
    for (path, name, value) in settings {
        if let Some(leaf) = draft.leaves(source).find(&path.0).filter(|leaf| *leaf == path.1) {
            parameters::take(draft, leaf, &name, &value, rank, Origin::Conf);
        }
    }
}

/// A parameter with its leaf.
type Setting = ((Path, LeafId), String, String);

fn read(
    draft: &mut Draft,
    source: usize,
    input: &Input,
    file: Option<&str>,
    settings: &mut Vec<Setting>,
    depth: usize,
) {
    for (place, text) in input.text.lines().enumerate() {
        let number = place + 1;
        let add = |draft: &mut Draft, path: &Path, key: &str| {
            draft.leaves(source).add_of(path, key, number, file)
        };
        // Only parameters may stand twice.
        let once = |key: &str| Path(vec![key.to_owned(), input.file.clone(), number.to_string()]);
        match lines::line(text) {
            Line::Blank => {}
            Line::Setting { name, value } => {
                let path = Path(vec![name.to_ascii_lowercase()]);
                let leaf = add(draft, &path, &name);
                settings.push(((path, leaf), name, value));
            }
            Line::Include { path, .. } => {
                let leaf = add(draft, &once("include"), &format!("include {path}"));
                let fate = include(draft, source, input, number, settings, depth);
                draft.tell(leaf, fate);
            }
            Line::Garbled => {
                let leaf = add(draft, &once("garbled"), &format!("line {number}"));
                draft.tell(leaf, Fate::Unknown("not a line of postgresql.conf".to_owned()));
            }
        }
    }
}

fn include(
    draft: &mut Draft,
    source: usize,
    input: &Input,
    line: usize,
    settings: &mut Vec<Setting>,
    depth: usize,
) -> Fate {
    let Some(included) = input.included.iter().find(|included| included.line == line) else {
        return Fate::not_carried("import that file too");
    };
    match &included.files {
        Ok(files) if depth < INCLUDE_DEPTH_MAX => {
            for file in files {
                read(draft, source, file, Some(&file.file), settings, depth + 1);
            }
            Fate::replaced(match files.len() {
                0 => "nothing to include".to_owned(),
                count => format!("its settings stand in the cluster file (files: {count})"),
            })
        }
        Ok(_) => Fate::not_carried(format!("included more than {INCLUDE_DEPTH_MAX} levels deep")),
        Err(why) => Fate::not_carried(why.clone()),
    }
}
