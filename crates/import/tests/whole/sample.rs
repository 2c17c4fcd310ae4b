//! PostgreSQL's own sample file with every line of it in force: each parameter of it is told of,
//! and a server takes what is carried.

use std::fs;
use std::path::PathBuf;

use howdah_import::{Fate, Input, Kind, import};
use howdah_spec::parameters::{ServerParameters, check_against};
use howdah_spec::{Context, parse_with_places};

use crate::golden::DESCRIBED;

#[test]
fn every_line_of_the_sample_file_is_told_of() {
    let (file, sample) = sample();
    let text = in_force(&sample);
    let count = text.lines().count();
    assert!(count > 250, "a sample of {count} lines: {}", file.display());
    let input = Input { file: "postgresql.conf".to_owned(), text, ..Input::default() };
    assert_eq!(howdah_import::kind_of(&input), Some(Kind::PostgresqlConf));
    let imported = import(&[input]).expect("an import");
    assert_eq!(imported.mistakes, Vec::<String>::new());
    assert_eq!(imported.findings.len(), count);
    let unknown: Vec<_> =
        imported.findings.iter().filter(|f| matches!(f.fate, Fate::Unknown(_))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let context = Context { default_base: "/var/lib/howdah".into(), relative_to: "/".into() };
    let parsed = parse_with_places("howdah.toml", &imported.toml, &context).expect("valid");
    assert!(parsed.spec.postgresql.parameters.len() > 200, "{}", imported.toml);
    let server = ServerParameters::parse(15, DESCRIBED).expect("described");
    assert_eq!(check_against("howdah.toml", &parsed, &server), []);
}

/// The sample of version 15, where its package puts it.
fn sample() -> (PathBuf, String) {
    let share = PathBuf::from("/usr/share/postgresql/15/postgresql.conf.sample");
    let text = fs::read_to_string(&share);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", share.display()));
    (share, text)
}

/// `#name = value   # why` without the signs: as PostgreSQL would have it by default.
fn in_force(sample: &str) -> String {
    let setting = |line: &str| {
        let line = line.strip_prefix('#')?;
        let (name, value) = line.split_once(" = ")?;
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.' | 'S'));
        // A comment may speak of a setting.
        let is_setting = plain && !name.is_empty() && !value.starts_with(' ');
        is_setting.then(|| format!("{name} = {value}\n"))
    };
    sample.lines().filter_map(setting).collect()
}
