//! The whole way of an input: golden cases, and what must hold of all of them.
//!
//! Inputs lie in `../cases`, one folder a case; see [`golden`].

mod accounted;
mod golden;
mod mangled;
mod sample;
mod secrets;

use std::fs;
use std::path::{Path, PathBuf};

use howdah_import::{IncludeWhat, Included, Input, includes};

/// What a case becomes, beside its inputs.
const EXPECTED: [&str; 2] = ["howdah.toml", "findings.txt"];

/// The folders of all cases.
fn cases() -> Vec<PathBuf> {
    let mut cases = folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    cases.retain(|path| path.is_dir());
    assert!(cases.len() > 15, "cases are missing");
    cases
}

/// The inputs of a case.
fn inputs(case: &Path) -> Vec<Input> {
    let is_expected = |path: &PathBuf| {
        EXPECTED.iter().any(|name| path.file_name().is_some_and(|file| file == *name))
    };
    let mut files = folder(case);
    files.retain(|path| path.is_file() && !is_expected(path));
    files.iter().map(|path| read(path)).collect()
}

/// A file with what it includes: folders below a case are only reached so.
fn read(path: &Path) -> Input {
    let text = fs::read_to_string(path).expect("input");
    let beside = path.parent().expect("folder");
    let included = includes(&text).into_iter().map(|include| {
        let target = beside.join(&include.path);
        let files = match target.is_dir() {
            true => Ok(folder(&target).iter().map(|path| read(path)).collect()),
            false if target.is_file() => Ok(vec![read(&target)]),
            false if include.what == IncludeWhat::IfExists => Ok(Vec::new()),
            false => Err("not found".to_owned()),
        };
        Included { line: include.line, files }
    });
    let included = included.collect();
    let file = path.file_name().expect("name").to_string_lossy().into_owned();
    Input { file, text, kind: None, included }
}

fn folder(path: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(path).expect("folder").map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    paths
}
