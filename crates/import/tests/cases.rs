//! Golden cases: each folder of `cases` holds inputs, the cluster file that they become
//! (`howdah.toml`) and what became of each key (`findings.txt`).
//!
//! `HOWDAH_BLESS=1 cargo nextest run -p howdah-import` writes both anew; review the diff.

use std::fs;
use std::path::{Path, PathBuf};

use howdah_import::{Imported, Included, Input, import, includes};
use howdah_spec::{Context, parse};

const EXPECTED: [&str; 2] = ["howdah.toml", "findings.txt"];

#[test]
fn every_case_becomes_what_stands_beside_it() {
    let mut cases = folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    cases.retain(|path| path.is_dir());
    assert!(cases.len() > 10, "cases are missing");
    let wrong: Vec<_> = cases.iter().flat_map(|case| check(case)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What differs.
fn check(case: &Path) -> Vec<String> {
    let imported = run(case);
    let said = [imported.toml.clone(), told(&imported)];
    EXPECTED.iter().zip(said).filter_map(|(name, said)| compare(&case.join(name), &said)).collect()
}

fn run(case: &Path) -> Imported {
    let is_expected = |path: &PathBuf| {
        EXPECTED.iter().any(|name| path.file_name().is_some_and(|file| file == *name))
    };
    let mut files = folder(case);
    files.retain(|path| path.is_file() && !is_expected(path));
    let inputs: Vec<Input> = files.iter().map(|path| read(path)).collect();
    let imported = import(&inputs).unwrap_or_else(|bad| panic!("{}: {bad:?}", case.display()));
    assert_eq!(imported.mistakes, Vec::<String>::new(), "{}", case.display());
    let context = Context { default_base: "/var/lib/howdah".into(), relative_to: "/".into() };
    parse("howdah.toml", &imported.toml, &context)
        .unwrap_or_else(|mistakes| panic!("{}: {mistakes}\n{}", case.display(), imported.toml));
    imported
}

fn told(imported: &Imported) -> String {
    let mut told: String = imported.findings.iter().map(|finding| format!("{finding}\n")).collect();
    for secret in &imported.secrets {
        told += &format!("secret of {}: {} (found in {})\n", secret.of, secret.place, secret.found);
    }
    told
}

fn compare(path: &Path, said: &str) -> Option<String> {
    if std::env::var_os("HOWDAH_BLESS").is_some() {
        fs::write(path, said).expect("bless");
    }
    let wanted = fs::read_to_string(path).unwrap_or_default();
    let name = path.display();
    (said != wanted).then(|| format!("--- {name}: wanted\n{wanted}--- {name}: said\n{said}"))
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
