//! No key is dropped in silence: whatever an input holds, by a count that does not know how it
//! is read, stands among the findings, and what is carried stands in the file.

use std::collections::BTreeMap;

use howdah_import::yaml;
use howdah_import::{Fate, Finding, Input, Kind, import, kind_of};

use crate::{cases, inputs};

/// How many keys a line of a file holds.
type Lines = BTreeMap<(String, usize), usize>;

#[test]
fn every_key_of_every_case_is_told_of() {
    for case in cases() {
        let inputs = inputs(&case);
        let mut wanted = Lines::new();
        for input in &inputs {
            count(input, &mut wanted);
        }
        let imported = import(&inputs).expect("an import");
        let mut told = Lines::new();
        for Finding { file, line, .. } in &imported.findings {
            *told.entry((file.clone(), *line)).or_default() += 1;
        }
        assert_eq!(told, wanted, "{}", case.display());
    }
}

fn count(input: &Input, lines: &mut Lines) {
    let mut add = |line: usize| *lines.entry((input.file.clone(), line)).or_default() += 1;
    // What is included has no kind of its own; all of it is postgresql.conf.
    match kind_of(input).unwrap_or(Kind::PostgresqlConf) {
        Kind::Patroni | Kind::PatroniDynamic | Kind::CloudNativePg | Kind::Compose => {
            for document in yaml::documents(&input.text).expect("YAML") {
                document.leaves().iter().for_each(|leaf| add(leaf.node.line));
            }
        }
        kind => {
            let mut goes_on = false;
            for (place, line) in input.text.lines().enumerate() {
                let says = match kind {
                    Kind::PgBouncer => !line.starts_with([';', '#', '[']) && !line.is_empty(),
                    _ => !line.trim().is_empty() && !line.trim_start().starts_with('#'),
                };
                if says && !goes_on {
                    add(place + 1);
                }
                goes_on = kind == Kind::PgHba && line.ends_with('\\');
            }
        }
    }
    for included in &input.included {
        included.files.iter().flatten().for_each(|input| count(input, lines));
    }
}

#[test]
fn what_is_carried_stands_in_the_file() {
    for case in cases() {
        let imported = import(&inputs(&case)).expect("an import");
        for finding in &imported.findings {
            let Fate::Carried(to) = &finding.fate else { continue };
            let first = to.split([',', ':']).next().unwrap_or(to);
            let last = first.rsplit('.').next().unwrap_or(first).trim_matches('"');
            assert!(imported.toml.contains(last), "{}: {finding}", case.display());
        }
    }
}
