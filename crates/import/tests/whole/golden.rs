//! Golden cases: each folder of `cases` holds inputs, the cluster file that they become
//! (`howdah.toml`) and what became of each key (`findings.txt`).
//!
//! `HOWDAH_BLESS=1 cargo nextest run -p howdah-import` writes both anew; review the diff.

use std::fs;
use std::path::Path;

use howdah_import::{Imported, import};
use howdah_spec::parameters::{ServerParameters, check_against};
use howdah_spec::{Context, parse_with_places};

use crate::{EXPECTED, cases, inputs};

/// As `postgres --describe-config` of version 15 printed it, without the descriptions.
pub const DESCRIBED: &str = include_str!("../../../spec/tests/describe-config-15.tsv");

#[test]
fn every_case_becomes_what_stands_beside_it() {
    let wrong: Vec<_> = cases().iter().flat_map(|case| check(case)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What differs.
fn check(case: &Path) -> Vec<String> {
    let imported =
        import(&inputs(case)).unwrap_or_else(|bad| panic!("{}: {bad:?}", case.display()));
    assert_eq!(imported.mistakes, Vec::<String>::new(), "{}", case.display());
    let context = Context { default_base: "/var/lib/howdah".into(), relative_to: "/".into() };
    let parsed = parse_with_places("howdah.toml", &imported.toml, &context)
        .unwrap_or_else(|mistakes| panic!("{}: {mistakes}\n{}", case.display(), imported.toml));
    let server = ServerParameters::parse(15, DESCRIBED).expect("described");
    assert_eq!(check_against("howdah.toml", &parsed, &server), [], "{}", case.display());
    let said = [imported.toml.clone(), told(&imported)];
    EXPECTED.iter().zip(said).filter_map(|(name, said)| compare(&case.join(name), &said)).collect()
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
